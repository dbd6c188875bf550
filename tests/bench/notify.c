/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest's frames cost in notifications: two user-mode Linux guests behind two of our network devices, joined by a
 * switch. One sends in ways that the other takes. Kicks are those of the sender's transmit queue, interrupts those of the
 * receiver's receive queue and of the sender's transmit queue, as the devices count them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vdev/loop.h>
#include <vdev/net.h>
#include <vdev/net_switch.h>
#include <vdev/vhost_user.h>

#include "support/bench.h"

enum { GUESTS = 2, QUEUES = 3, RX = 0, TX = 1, LINE = 512, PATIENCE_MS = 120000 };

struct options {
	int json, quick;
	unsigned ms, spin_us;
	const char *only, *guest;
};

/* One of the two guests with its device. */
struct guest {
	pid_t pid;
	int out; /* what it says */
	size_t have;
	char line[LINE]; /* the one that comes in */
	char socket[96];
	struct vdev_netif *port;
	struct vdev *net;
	struct vdev_vhost_user *vu;
};

struct rig {
	const struct options *o;
	int event_idx, coalesce;
	char dir[64], initramfs[96];
	struct vdev_switch *sw;
	struct vdev_loop *queues, *control;
	struct guest guest[GUESTS];
};

/* What is counted, and when. */
struct counts {
	uint64_t ns, sent, received, bytes;
	uint64_t kicks, tx_interrupts, rx_interrupts;
};

static struct rig rig;

/* --- what the guests are made of ------------------------------------------------------------------ */

static void run(const char *command)
{
	bench_need(system(command) == 0, command);
}

/* The guests of the tests with another first process: a later archive's files take the place of an earlier one's. */
static void make_initramfs(struct rig *r)
{
	char command[4096];

	snprintf(r->dir, sizeof(r->dir), "/tmp/vdevkit-notify-XXXXXX");
	bench_need(mkdtemp(r->dir) != NULL, "a folder");
	snprintf(r->initramfs, sizeof(r->initramfs), "%s/initramfs", r->dir);
	snprintf(command, sizeof(command),
	         "mkdir %s/root && install -m 755 '%s' %s/root/notify-init && install -m 755 '%s' "
	         "%s/root/notify-traffic && { cat '%s/initramfs' && cd %s/root && find notify-* | cpio "
	         "-o -H newc --quiet; } > %s",
	         r->dir, NOTIFY_GUEST, r->dir, bench_program("tests/bench/notify-traffic"), r->dir,
	         r->o->guest, r->dir, r->initramfs);
	run(command);
}

static void clean_up(void)
{
	char command[160];

	for (unsigned i = 0; i < GUESTS; i++)
		if (rig.guest[i].pid > 0)
			kill(-rig.guest[i].pid, SIGKILL);
	if (rig.dir[0] == '\0')
		return;
	snprintf(command, sizeof(command), "rm -rf %s", rig.dir);
	(void)!system(command);
	rig.dir[0] = '\0';
}

static void on_end(int sig)
{
	clean_up();
	_exit(128 + sig);
}

/* --- devices -------------------------------------------------------------------------------------- */

static void device_new(struct rig *r, unsigned i)
{
	struct guest *g = &r->guest[i];
	struct vdev_net_config net = {.size = sizeof(net), .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)}};
	struct vdev_vhost_user_config vu = {
		.size = sizeof(vu), .path = g->socket, .fd = -1, .flags = VDEV_VHOST_USER_QUEUE_TASKS};
	const struct vdev_env *env = vdev_env_hosted();
	struct virtq_features without = {{0}};
	struct vdev_task task;

	snprintf(g->socket, sizeof(g->socket), "%s/%u.sock", r->dir, i + 1);
	if (!r->event_idx)
		virtq_features_set(&without, VIRTQ_F_EVENT_IDX);
	bench_need(vdev_switch_port_new(&g->port, r->sw, NULL) == 0, "a port");
	bench_need(vdev_net_new(&g->net, env, g->port, &net) == 0, "a device");
	bench_need(vdev_withhold(g->net, &without) == 0, "withholding EVENT_IDX");
	bench_need(vdev_vhost_user_new(&g->vu, env, g->net, &vu) == 0, "a socket");
	vdev_vhost_user_task(g->vu, &task);
	bench_need(vdev_loop_add(r->control, 0, &task) == 0, "a task");
	for (unsigned q = 0; q < QUEUES; q++)
		bench_need(vdev_vhost_user_queue_task(g->vu, q, &task) == 0 &&
		               vdev_loop_add(r->queues, i, &task) == 0,
		           "a queue's task");
}

/* A thread for each guest, as the daemon has it. */
static void devices_new(struct rig *r)
{
	const struct vdev_env *env = vdev_env_hosted();

	bench_need(vdev_switch_new(&r->sw, env, NULL) == 0, "a switch");
	bench_need(vdev_loop_new(&r->queues, env, GUESTS, r->o->spin_us) == 0, "threads");
	bench_need(vdev_loop_new(&r->control, env, 1, 0) == 0, "a thread");
	for (unsigned i = 0; i < GUESTS; i++)
		device_new(r, i);
}

static void devices_free(struct rig *r)
{
	vdev_loop_free(r->queues);
	vdev_loop_free(r->control);
	for (unsigned i = 0; i < GUESTS; i++) {
		vdev_vhost_user_free(r->guest[i].vu);
		bench_need(vdev_free(r->guest[i].net) == 0, "an idle device");
		vdev_netif_free(r->guest[i].port);
	}
	bench_need(vdev_switch_free(r->sw) == 0, "a switch without ports");
}

static void look(const struct rig *r, struct counts *c)
{
	struct vdev_counters tx, rx;
	struct vdev_net_counters from, to;

	vdev_queue_counters(r->guest[0].net, TX, &tx);
	vdev_queue_counters(r->guest[1].net, RX, &rx);
	vdev_net_counters(r->guest[0].net, &from);
	vdev_net_counters(r->guest[1].net, &to);
	*c = (struct counts){.ns = bench_now_ns(),
	                     .sent = from.sent,
	                     .received = to.received,
	                     .bytes = to.received_bytes,
	                     .kicks = tx.kicks,
	                     .tx_interrupts = tx.interrupts,
	                     .rx_interrupts = rx.interrupts};
}

/* --- guests --------------------------------------------------------------------------------------- */

static void guest_start(struct rig *r, unsigned i)
{
	struct guest *g = &r->guest[i];
	char kernel[256], initrd[128], device[160], ip[16], ms[32], coalesce[32];
	pid_t parent = getpid();
	int fd[2];

	snprintf(kernel, sizeof(kernel), "%s/linux.uml", r->o->guest);
	snprintf(initrd, sizeof(initrd), "initrd=%s", r->initramfs);
	snprintf(device, sizeof(device), "virtio_uml.device=%s:1", g->socket);
	snprintf(ip, sizeof(ip), "vd.ip=%u", i + 1);
	snprintf(ms, sizeof(ms), "vd.ms=%u", r->o->ms);
	snprintf(coalesce, sizeof(coalesce), "vd.coalesce=%d", r->coalesce);
	bench_need(pipe2(fd, O_CLOEXEC) == 0, "a pipe");
	g->have = 0;
	g->out = fd[0];
	g->pid = fork();
	bench_need(g->pid >= 0, "a process");
	if (g->pid == 0) {
		char *argv[] = {kernel,
		                (char *)"mem=128M",
		                initrd,
		                device,
		                (char *)"con=null",
		                (char *)"con0=null,fd:1",
		                ip,
		                ms,
		                coalesce,
		                (char *)"quiet",
		                (char *)"panic=-1",
		                (char *)"rdinit=/notify-init",
		                NULL};
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TMPDIR", r->dir, 1); /* its memory is a file there */
		if (setpgid(0, 0) != 0 || getppid() != parent || null < 0 || dup2(null, 0) < 0 ||
		    dup2(fd[1], 1) < 0 || dup2(null, 2) < 0)
			_exit(127);
		execv(kernel, argv);
		_exit(127);
	}
	(void)setpgid(g->pid, g->pid); /* whichever of the two comes first */
	close(fd[1]);
}

/* It has processes of its own, which a kernel that is killed leaves behind: a group of them all. */
static void guest_end(struct guest *g)
{
	int status;

	for (unsigned i = 0; i < 3000 && waitpid(g->pid, &status, WNOHANG) == 0; i++) {
		if (i == 2000)
			kill(-g->pid, SIGKILL);
		usleep(10000);
	}
	kill(-g->pid, SIGKILL);
	g->pid = 0;
	close(g->out);
}

/* The next line that it says to us, without "VD "; NULL: none yet, or its end. */
static const char *said(struct guest *g, int *end)
{
	while (g->have < LINE - 1) {
		ssize_t n = read(g->out, g->line + g->have, 1);

		if (n <= 0) {
			*end = 1;
			return NULL;
		}
		if (g->line[g->have] == '\r')
			continue;
		if (g->line[g->have] != '\n') {
			g->have++;
			continue;
		}
		g->line[g->have] = '\0';
		g->have = 0;
		return strncmp(g->line, "VD ", 3) == 0 ? g->line + 3 : NULL;
	}
	g->have = 0;
	return NULL;
}

/* --- figures -------------------------------------------------------------------------------------- */

static double per(uint64_t n, uint64_t of)
{
	return of == 0 ? -1 : (double)n / (double)of;
}

static void figure(const struct rig *r, const char *name, const char *what, const char *unit,
                   double v)
{
	char full[160];

	snprintf(full, sizeof(full), "%s: %s", name, what);
	if (v >= 0)
		bench_print_count(stdout, "notify", full, unit, v, NULL, -1, r->o->json);
}

static void cell(double v)
{
	if (v >= 0)
		printf(v < 100 ? " %9.2f" : " %9.0f", v);
	else
		printf(" %9s", "-");
}

static void report(const struct rig *r, const char *way, const struct counts *a,
                   const struct counts *b)
{
	static const char *const what[] = {"frames a second",
	                                   "frames a kick",
	                                   "kicks a second",
	                                   "frames an interrupt, received",
	                                   "interrupts a second, received",
	                                   "interrupts a second, sent",
	                                   "Mbit/s received"};
	static const char *const units[] = {"frames/s", "frames", "1/s",   "frames",
	                                    "1/s",      "1/s",    "Mbit/s"};
	double s = (double)(b->ns - a->ns) / 1e9;
	double v[] = {(double)(b->sent - a->sent) / s,
	              per(b->sent - a->sent, b->kicks - a->kicks),
	              (double)(b->kicks - a->kicks) / s,
	              per(b->received - a->received, b->rx_interrupts - a->rx_interrupts),
	              (double)(b->rx_interrupts - a->rx_interrupts) / s,
	              (double)(b->tx_interrupts - a->tx_interrupts) / s,
	              (double)(b->bytes - a->bytes) * 8 / 1e6 / s};
	char name[80];

	snprintf(name, sizeof(name), "%s, %s, %s", way, r->event_idx ? "EVENT_IDX" : "flags",
	         r->coalesce ? "coalesced" : "at once");
	if (r->o->only != NULL && strstr(name, r->o->only) == NULL)
		return;
	if (r->o->json) {
		for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
			figure(r, name, what[i], units[i], v[i]);
		return;
	}
	printf("%-36s", name);
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		cell(v[i]);
	putchar('\n');
	fflush(stdout);
}

static void way_of(char *to, size_t room, const char *words)
{
	char name[16] = "";
	unsigned burst = 0;

	(void)sscanf(words, "%15s %u", name, &burst);
	if (strcmp(name, "udp") == 0)
		snprintf(to, room, "datagrams, bursts of %u", burst);
	else
		snprintf(to, room, "%s", strcmp(name, "tcp") == 0 ? "TCP stream" : "question and answer");
}

/* Until the sending guest is through. 0; -1: one of them was not. */
static int follow(struct rig *r)
{
	struct pollfd p[GUESTS] = {{.fd = r->guest[0].out, .events = POLLIN},
	                           {.fd = r->guest[1].out, .events = POLLIN}};
	struct counts begin = {0}, end;
	char way[64] = "";
	int over = 0;

	while (!over && poll(p, GUESTS, PATIENCE_MS) > 0) {
		for (unsigned i = 0; i < GUESTS; i++) {
			const char *words = p[i].revents != 0 ? said(&r->guest[i], &over) : NULL;

			if (words == NULL)
				continue;
			if (strncmp(words, "begin ", 6) == 0) {
				way_of(way, sizeof(way), words + 6);
				look(r, &begin);
			} else if (strcmp(words, "end") == 0) {
				look(r, &end);
				report(r, way, &begin, &end);
			} else if (strcmp(words, "over ok") == 0) {
				if (i == 0)
					return 0;
				p[i].fd = -1; /* the receiver may be the first to go */
			} else if (strncmp(words, "over ", 5) == 0) {
				fprintf(stderr, "notify: the guest gives up: %s\n", words + 5);
				return -1;
			}
		}
	}
	fprintf(stderr, "notify: a guest ended early, or says nothing\n");
	return -1;
}

static int once(struct rig *r, int event_idx, int coalesce)
{
	int rc;

	r->event_idx = event_idx;
	r->coalesce = coalesce;
	devices_new(r);
	for (unsigned i = 0; i < GUESTS; i++)
		guest_start(r, i);
	rc = follow(r);
	for (unsigned i = 0; i < GUESTS; i++) {
		if (rc < 0)
			kill(-r->guest[i].pid, SIGKILL);
		guest_end(&r->guest[i]);
	}
	devices_free(r);
	return rc;
}

/* --- the whole ------------------------------------------------------------------------------------ */

static const char help[] =
	"usage: notify [--quick] [--json] [--ms N] [--spin US] [--only TEXT] [--guest FOLDER]\n"
	"Notifications of virtio-net: two user-mode Linux guests (scripts/peers) and a switch, one\n"
	"sends to the other for --ms milliseconds each way (2000). With and without EVENT_IDX, with\n"
	"and without coalescing (100 us or 32 frames). Threads look for --spin microseconds before\n"
	"they sleep (50).\n";

static int read_options(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			o->ms = 300;
		else if (strcmp(argv[i], "--json") == 0)
			o->json = 1;
		else if (strcmp(argv[i], "--ms") == 0 && i + 1 < argc)
			o->ms = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--spin") == 0 && i + 1 < argc)
			o->spin_us = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			o->only = argv[++i];
		else if (strcmp(argv[i], "--guest") == 0 && i + 1 < argc)
			o->guest = argv[++i];
		else
			return -1;
	}
	return o->ms >= 10 && o->ms <= 60000 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options o = {.ms = 2000, .spin_us = 50};
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char guest[512], kernel[600];
	int rc = 0;

	if (read_options(&o, argc, argv) < 0) {
		fputs(help, stdout);
		return argc < 2 || strcmp(argv[1], "--help") != 0;
	}
	snprintf(guest, sizeof(guest), "%s%s/vdevkit/uml", cache != NULL ? cache : home,
	         cache != NULL ? "" : "/.cache");
	if (o.guest == NULL)
		o.guest = guest;
	snprintf(kernel, sizeof(kernel), "%s/linux.uml", o.guest);
	if (access(kernel, X_OK) != 0 || !bench_have("cpio")) {
		fprintf(stderr, "notify: no %s (scripts/peers makes it), or no cpio\n", kernel);
		return 0;
	}
	rig.o = &o;
	atexit(clean_up);
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	signal(SIGHUP, on_end);
	signal(SIGPIPE, SIG_IGN);
	make_initramfs(&rig);
	if (!o.json)
		printf("%-36s %9s %9s %9s %9s %9s %9s %9s\n%-36s %9s %9s %9s %9s %9s %9s %9s\n", "case",
		       "frames/s", "frames/", "kicks/s", "frames/", "rx", "tx", "Mbit/s", "", "", "kick",
		       "", "interrupt", "intr/s", "intr/s", "");
	for (int i = 0; i < 4 && rc == 0; i++)
		rc = once(&rig, i / 2, i % 2);
	return rc < 0;
}
