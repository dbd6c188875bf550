/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes of a benchmark: started, confined, paused, ended. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static void confine(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	(void)sched_setaffinity(tid, sizeof(set),
	                        &set); /* some kernels let nobody move their workers */
}

void bench_process_confine(const struct bench_process *d, int cpu)
{
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)d->pid);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			confine((pid_t)atoi(e->d_name), cpu);
	if (dir != NULL)
		closedir(dir);
}

int bench_process_start(struct bench_process *d, char *const argv[], int cpu, int keep)
{
	pid_t parent = getpid();
	int fd[2] = {-1, -1};

	d->pid = 0;
	d->err = -1;
	if (keep && pipe2(fd, O_CLOEXEC) != 0)
		return -1;
	d->pid = fork();
	if (d->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		/* Also when the benchmark is killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || null < 0)
			_exit(127);
		dup2(null, 0);
		dup2(null, 1);
		dup2(keep ? fd[1] : null, 2);
		if (cpu >= 0)
			confine(0, cpu);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (keep)
		close(fd[1]);
	if (d->pid < 0) {
		d->pid = 0;
		if (keep)
			close(fd[0]);
		return -1;
	}
	d->err = fd[0];
	return 0;
}

void bench_process_pause(const struct bench_process *d)
{
	int status;

	if (d->pid > 0 && kill(d->pid, SIGSTOP) == 0)
		(void)waitpid(d->pid, &status, WUNTRACED);
}

void bench_process_resume(const struct bench_process *d)
{
	if (d->pid > 0)
		kill(d->pid, SIGCONT);
}

uint64_t bench_process_cpu(const struct bench_process *d)
{
	struct timespec t;
	clockid_t clock;

	if (d->pid == 0 || clock_getcpuclockid(d->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int64_t counted(int fd)
{
	static const char mark[] = "Collected : ";
	int64_t n = -1;
	char line[512];
	FILE *in = fdopen(fd, "r");

	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		const char *p = strstr(line, mark);

		if (p != NULL)
			n = strtoll(p + sizeof(mark) - 1, NULL, 10);
	}
	if (in != NULL)
		fclose(in);
	return n;
}

int64_t bench_process_end(struct bench_process *d)
{
	int64_t n = -1;
	pid_t ended = 0;
	int status;

	if (d->pid == 0)
		return -1;
	bench_process_resume(d);
	kill(d->pid, SIGTERM);
	for (int i = 0; i < 3000 && ended == 0; i++) {
		ended = waitpid(d->pid, &status, WNOHANG);
		if (ended == 0)
			usleep(10000);
	}
	if (ended == 0) {
		kill(d->pid, SIGKILL);
		(void)waitpid(d->pid, &status, 0);
	}
	if (d->err >= 0)
		n = counted(d->err); /* little enough to lie in the pipe */
	d->pid = 0;
	d->err = -1;
	if (d->socket[0] != '\0')
		unlink(d->socket);
	return n;
}

int bench_have(const char *program)
{
	const char *path = getenv("PATH");
	char list[4096], full[4352];

	snprintf(list, sizeof(list), "%s", path != NULL ? path : "");
	for (char *save = NULL, *dir = strtok_r(list, ":", &save); dir != NULL;
	     dir = strtok_r(NULL, ":", &save)) {
		snprintf(full, sizeof(full), "%s/%s", dir, program);
		if (access(full, X_OK) == 0)
			return 1;
	}
	return 0;
}

const char *bench_program(const char *name)
{
	static char path[8192];
	char top[4096];

	snprintf(top, sizeof(top), "%s", bench_self());
	for (int i = 0; i < 3; i++) {
		char *cut = strrchr(top, '/');

		bench_need(cut != NULL, "finding the build tree");
		*cut = '\0';
	}
	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}
