/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qtest_drive FOLDER [--all]: our driver side on QEMU's devices; prints TAP. Whatever values two
 * parameters can have together, they have in some case; with --all every combination is a case. Images are made in FOLDER.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "qtest_rig.h"

#define PARAMETERS   9
#define CASE_SECONDS 240
#define AT_ONCE      2

static const int values[PARAMETERS] = {3, 2, 2, 2, 2, 2, 2, 2, 2};

/* A case as numbers, one a parameter. */
static struct spec spec_of(const int *v)
{
	return (struct spec){v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]};
}

/* MMIO has neither vectors nor a window; through the window the table of vectors can't be reached. */
static int possible(const int *v)
{
	return !(v[0] == MACHINE_MICROVM && (v[7] || v[8])) && !(v[7] && v[8]);
}

static void nth(unsigned n, int *v)
{
	for (int p = 0; p < PARAMETERS; p++) {
		v[p] = (int)(n % (unsigned)values[p]);
		n /= (unsigned)values[p];
	}
}

static unsigned combinations(void)
{
	unsigned n = 1;

	for (int p = 0; p < PARAMETERS; p++)
		n *= (unsigned)values[p];
	return n;
}

/* Which values of two parameters have met in a case. */
static uint8_t met[PARAMETERS][3][PARAMETERS][3];

static unsigned new_meetings(const int *v, int mark)
{
	unsigned n = 0;

	for (int a = 0; a < PARAMETERS; a++)
		for (int b = a + 1; b < PARAMETERS; b++) {
			n += !met[a][v[a]][b][v[b]];
			if (mark)
				met[a][v[a]][b][v[b]] = 1;
		}
	return n;
}

/* The next case: the one with most meetings that were in none yet. 0 when there is none. */
static int next_case(int *best)
{
	unsigned most = 0, offset = 0;

	for (unsigned i = 0; i < combinations(); i++) {
		unsigned n;
		int v[PARAMETERS];

		offset = (offset + 367) % combinations(); /* prime to it: all come, well mixed */
		nth(offset, v);
		n = possible(v) ? new_meetings(v, 0) : 0;
		if (n > most) {
			most = n;
			memcpy(best, v, sizeof(v));
		}
	}
	if (most > 0)
		(void)new_meetings(best, 1);
	return most > 0;
}

/* --- Running ------------------------------------------------------------------------------------ */

struct job {
	char name[160];
	struct spec spec;
	void (*run)(struct rig *r);
	pid_t pid;
	int out; /* what it says */
	char image[256];
	int64_t end;
};

static unsigned ended, failed;

static void describe(char *name, size_t room, const struct spec *s)
{
	static const char *const machines[] = {"pc", "q35", "microvm"};

	snprintf(name, room, "%s %s, %s%s%s%s%s, %s%s", s->rng ? "rng" : "blk", machines[s->machine],
	         s->packed ? "packed" : "split", s->platform ? ", iommu_platform" : "",
	         s->event_idx ? ", event_idx" : "", s->indirect ? ", indirect" : "",
	         s->queue_reset ? ", queue_reset" : "",
	         s->msix                         ? "MSI-X"
	         : s->machine == MACHINE_MICROVM ? "InterruptStatus"
	                                         : "ISR",
	         s->window ? ", window" : "");
}

static void run_job(const struct job *j)
{
	struct rig r;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(j->image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)DISK_SECTORS * 512) != 0) {
		printf("%s: no image can be made\n", j->image);
		exit(1);
	}
	close(fd);
	rig_begin(&r, &j->spec, j->image);
	j->run(&r);
	free(r.scratch);
	fflush(stdout);
	_exit(0);
}

static void start(struct job *j, const char *folder, unsigned number)
{
	int out[2];

	snprintf(j->image, sizeof(j->image), "%s/qtest-%u.img", folder, number);
	if (pipe(out) != 0)
		abort();
	fflush(stdout);
	j->end = (int64_t)time(NULL) + CASE_SECONDS;
	j->pid = fork();
	if (j->pid < 0)
		abort();
	if (j->pid == 0) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		run_job(j);
	}
	close(out[1]);
	j->out = out[0];
}

/* Print a case's line and what it said, as comments. */
static void finish(struct job *j, int ok)
{
	char text[4096];
	ssize_t n = read(j->out, text, sizeof(text) - 1);
	char *save = NULL;

	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++ended, j->name);
	failed += !ok;
	text[n > 0 ? n : 0] = 0;
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		printf("#   %s\n", line);
	fflush(stdout);
	close(j->out);
	unlink(j->image);
	j->pid = 0;
}

/* Wait until one of the jobs has ended. */
static void reap(struct job *jobs)
{
	for (;;) {
		for (int i = 0; i < AT_ONCE; i++) {
			int status;

			if (jobs[i].pid == 0)
				continue;
			if (waitpid(jobs[i].pid, &status, WNOHANG) == jobs[i].pid) {
				finish(&jobs[i], WIFEXITED(status) && WEXITSTATUS(status) == 0);
				return;
			}
			if ((int64_t)time(NULL) > jobs[i].end)
				kill(jobs[i].pid, SIGKILL);
		}
		usleep(5000);
	}
}

static void run(struct job *jobs, const char *folder, const struct spec *spec, const char *name,
                void (*how)(struct rig *r))
{
	static unsigned number;

	for (;;) {
		for (int i = 0; i < AT_ONCE; i++) {
			if (jobs[i].pid != 0)
				continue;
			jobs[i].spec = *spec;
			jobs[i].run = how;
			if (name != NULL)
				snprintf(jobs[i].name, sizeof(jobs[i].name), "%s", name);
			else
				describe(jobs[i].name, sizeof(jobs[i].name), spec);
			start(&jobs[i], folder, number++);
			return;
		}
		reap(jobs);
	}
}

static void run_spec(struct job *jobs, const char *folder, const int *v)
{
	struct spec s = spec_of(v);

	run(jobs, folder, &s, NULL, s.rng ? rng_case : blk_case);
}

int main(int argc, char **argv)
{
	int all = argc > 2 && strcmp(argv[2], "--all") == 0, v[PARAMETERS];
	struct job jobs[AT_ONCE];

	if (argc < 2) {
		fprintf(stderr, "usage: qtest_drive FOLDER [--all]\n");
		return 2;
	}
	memset(jobs, 0, sizeof(jobs));
	for (unsigned i = 0; i < mean_count; i++)
		run(jobs, argv[1], &mean_cases[i].spec, mean_cases[i].name, mean_cases[i].run);
	if (all) {
		for (unsigned i = 0; i < combinations(); i++) {
			nth(i, v);
			if (possible(v))
				run_spec(jobs, argv[1], v);
		}
	} else {
		while (next_case(v))
			run_spec(jobs, argv[1], v);
	}
	for (;;) {
		int busy = 0;

		for (int i = 0; i < AT_ONCE; i++)
			busy |= jobs[i].pid != 0;
		if (!busy)
			break;
		reap(jobs);
	}
	printf("1..%u\n", ended);
	return failed > 0;
}
