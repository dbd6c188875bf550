/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames a second over vhost-user: the daemon of the examples and DPDK's net_vhost, each behind a testpmd of its own, on
 * the same two processors in alternating windows. Whoever's window it is not is stopped. What counts is what the
 * front-end sent or received, as its telemetry has it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net_bench.h"

enum { ARGS = 40, WORD = 256, WARM_US = 20000, START_S = 60 };

/* A command line that is put together. */
struct line {
	char words[ARGS][WORD];
	char *argv[ARGS + 1];
	unsigned n;
};

static __attribute__((format(printf, 2, 3))) void word(struct line *l, const char *format, ...)
{
	va_list args;

	bench_need(l->n < ARGS, "room for a command line");
	va_start(args, format);
	vsnprintf(l->words[l->n], WORD, format, args);
	va_end(args);
	l->argv[l->n] = l->words[l->n];
	l->argv[++l->n] = NULL;
}

/* --- testpmd -------------------------------------------------------------------------------------- */

static void prefix_of(char *to, size_t room, const char *name)
{
	snprintf(to, room, "vdevkit-bench-%d-%s", (int)getpid(), name);
}

/* A testpmd that forwards at once, with stdin at its end and nobody to read what it says. */
static int pmd_start(struct bench_process *p, const char *name, int cpu, const char *vdev,
                     const char *forward, const struct net_load *load)
{
	struct line l = {.n = 0};
	char prefix[64];

	prefix_of(prefix, sizeof(prefix), name);
	word(&l, "dpdk-testpmd");
	word(&l, "--lcores=0@%d,1@%d", cpu, cpu);
	word(&l, "--no-pci");
	word(&l, "--no-huge");
	word(&l, "--single-file-segments");
	word(&l, "-m");
	word(&l, "192");
	word(&l, "--file-prefix=%s", prefix);
	word(&l, "--vdev=%s", vdev);
	word(&l, "--");
	word(&l, "--nb-cores=1");
	word(&l, "--no-lsc-interrupt");
	word(&l, "--total-num-mbufs=16384");
	/* Otherwise a back-end throws away what comes before it forwards: all of a loop's frames, when the front is quick. */
	word(&l, "--no-flush-rx");
	word(&l, "--stats-period=100000");
	word(&l, "--txpkts=%u", load->len);
	/* Frames for a loop come from its front-end: a burst, which is enough to keep both sides at work. */
	if (strcmp(forward, "loop") == 0) {
		word(&l, "--forward-mode=io");
		word(&l, "--tx-first");
		word(&l, "--burst=128");
	} else {
		word(&l, "--forward-mode=%s", forward);
	}
	return bench_process_start(p, l.argv, -1, 0);
}

/* A counter of port 0, or < 0. */
static double pmd_count(const char *name, const char *key)
{
	static const char ask[] = "/ethdev/stats,0";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 2};
	char prefix[64], answer[16384], quoted[64];
	const char *found;
	double value = -1;
	ssize_t got;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	prefix_of(prefix, sizeof(prefix), name);
	snprintf(at.sun_path, sizeof(at.sun_path), "/var/run/dpdk/%s/dpdk_telemetry.v2", prefix);
	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    recv(fd, answer, sizeof(answer), 0) > 0 &&
	    send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0 &&
	    (got = recv(fd, answer, sizeof(answer) - 1, 0)) > 0) {
		answer[got] = '\0';
		found = strstr(answer, quoted);
		if (found != NULL)
			value = strtod(found + strlen(quoted), NULL);
	}
	if (fd >= 0)
		close(fd);
	return value;
}

/* --- one of the two ------------------------------------------------------------------------------- */

struct side {
	const struct net_load *load;
	struct bench_process back, front;
	char front_name[16], back_name[16];
};

static const char *counter_of(const struct net_load *l)
{
	return l->way == NET_TO_HOST ? "opackets" : "ipackets";
}

static void pause_side(const struct side *s)
{
	bench_process_pause(&s->front);
	bench_process_pause(&s->back);
}

static void resume_side(const struct side *s)
{
	bench_process_resume(&s->back);
	bench_process_resume(&s->front);
}

/* Where a counter stands, and when: asking takes its time on busy processors. */
static double look(const struct side *s, double *at)
{
	double before = (double)bench_now_ns();
	double n = pmd_count(s->front_name, counter_of(s->load));

	*at = (before + (double)bench_now_ns()) / 2;
	return n;
}

/* Mpps of a window. */
static double window(void *ctx, uint64_t ns)
{
	struct side *s = ctx;
	double from, to, begin, end;

	resume_side(s);
	usleep(WARM_US);
	from = look(s, &begin);
	usleep((useconds_t)(ns / 1000));
	to = look(s, &end);
	pause_side(s);
	return from < 0 || to <= from ? -1 : (to - from) * 1000 / (end - begin);
}

static int listens(const char *path)
{
	for (int i = 0; i < START_S * 50; i++) {
		if (access(path, F_OK) == 0)
			return 0;
		usleep(20000);
	}
	return -1;
}

/* Frames go through. */
static int runs(const struct side *s)
{
	double at;

	for (int i = 0; i < START_S * 10; i++) {
		if (look(s, &at) > 0)
			return 0;
		usleep(100000);
	}
	return -1;
}

static int our_back(struct side *s, const char *socket, int cpu)
{
	struct line l = {.n = 0};

	word(&l, "%s", bench_program("examples/vhost-user-net"));
	word(&l, "--socket");
	word(&l, "%s", socket);
	word(&l, "--net");
	if (s->load->way == NET_TO_GUEST)
		word(&l, "source:%u", s->load->len);
	else
		word(&l, "%s", s->load->way == NET_LOOP ? "echo" : "null");
	word(&l, "--threads");
	word(&l, "1");
	word(&l, "--poll");
	return bench_process_start(&s->back, l.argv, cpu, 0);
}

static int peer_back(struct side *s, const char *socket, int cpu)
{
	static const char *const forward[] = {"rxonly", "txonly", "macswap"};
	char vdev[WORD];

	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s,queues=1", socket);
	return pmd_start(&s->back, s->back_name, cpu, vdev, forward[s->load->way], s->load);
}

static int without(const struct side *s, const char *what)
{
	fprintf(stderr, "net: %s: %s\n", s->back_name, what);
	return -1;
}

static int start(struct side *s, int peer, const int cpu[2], const char *dir)
{
	static const char *const forward[] = {"txonly", "rxonly", "loop"};
	char socket[96], vdev[WORD];

	snprintf(socket, sizeof(socket), "%s/%s", dir, peer ? "peer" : "ours");
	snprintf(s->front_name, sizeof(s->front_name), "%s-front", peer ? "peer" : "ours");
	snprintf(s->back_name, sizeof(s->back_name), "%s-back", peer ? "peer" : "ours");
	(void)unlink(socket);
	if ((peer ? peer_back(s, socket, cpu[1]) : our_back(s, socket, cpu[1])) < 0 ||
	    listens(socket) < 0)
		return without(s, "nobody listens");
	snprintf(s->back.socket, sizeof(s->back.socket), "%s", socket);
	snprintf(
		vdev, sizeof(vdev),
		"net_virtio_user0,path=%s,queues=1,queue_size=256,packed_vq=%d,in_order=%d,mrg_rxbuf=%d",
		socket, s->load->packed, s->load->in_order, s->load->mergeable);
	if (pmd_start(&s->front, s->front_name, cpu[0], vdev, forward[s->load->way], s->load) < 0 ||
	    runs(s) < 0)
		return without(s, "no frames");
	pause_side(s);
	return 0;
}

/* What a DPDK program keeps for others, and leaves when it is ended. */
static void clean(const char *name)
{
	char prefix[64], command[160];

	prefix_of(prefix, sizeof(prefix), name);
	snprintf(command, sizeof(command), "rm -rf /var/run/dpdk/%s", prefix);
	if (system(command) != 0)
		fprintf(stderr, "net: can't remove /var/run/dpdk/%s\n", prefix);
}

static void stop(struct side *s)
{
	resume_side(s);
	(void)bench_process_end(&s->front);
	(void)bench_process_end(&s->back);
	clean(s->front_name);
	clean(s->back_name);
}

int net_pmd_there(void)
{
	int cpu[2];

	return bench_have("dpdk-testpmd") && bench_two_cpus(cpu) == 0 &&
	       access(bench_program("examples/vhost-user-net"), X_OK) == 0;
}

int net_pmd_run(const struct net_load *load, const char *name, unsigned windows, uint64_t window_ns,
                int json)
{
	char dir[] = "/tmp/vdevkit-bench-net-XXXXXX";
	struct side ours = {.load = load}, peer = {.load = load};
	struct bench_case c = {.bench = "net",
	                       .name = name,
	                       .unit = "Mpps",
	                       .more_is_better = 1,
	                       .windows = windows,
	                       .window_ns = window_ns,
	                       .ours = {"vhost-user-net", window, &ours},
	                       .peer = {"net_vhost", window, &peer}};
	struct bench_result r;
	int cpu[2], rc = -1;

	bench_need(bench_two_cpus(cpu) == 0 && mkdtemp(dir) != NULL, "two processors and a folder");
	c.cpu = cpu;
	/* Starting needs a processor, and whoever polls keeps one. */
	if (start(&ours, 0, cpu, dir) == 0 && start(&peer, 1, cpu, dir) == 0) {
		bench_run(&c, &r);
		bench_print(stdout, &c, &r, json);
		fflush(stdout);
		rc = 0;
	}
	stop(&ours);
	stop(&peer);
	rmdir(dir);
	return rc;
}
