/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-blk over vhost-user: the daemon of the examples and qemu-storage-daemon, each on one processor, the same client
 * on the other, in alternating windows. Whoever's window it is not is stopped, since a polling daemon takes its
 * processor whether it has work or not.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk_bench.h"

enum { COUNTS = 4 }; /* runs of which the least counts */
enum { WINDOWS_MAX = 64 };

/* What is compared with what. Places %s are the file's. */
struct disk_kind {
	const char *name;
	const char *ours;
	const char *peer; /* blockdev options of qemu-storage-daemon; NULL: nobody */
	const char *peer_name;
	int fio; /* beside it */
};

#define QSD_FILE "driver=file,filename=%s,aio=io_uring,cache.direct=off"
static const struct disk_kind kinds[] = {
	{"null", "void:64M", "driver=null-co,size=67108864,read-zeroes=off", "qsd null-co", 0},
	{"mem", "mem:64M", QSD_FILE, "qsd tmpfs file", 0},
	{"tmpfs", "file:%s", QSD_FILE, "qsd tmpfs io_uring", 1},
	{"tmpfs-uring", "file:%s,engine=uring", QSD_FILE, "qsd tmpfs io_uring", 1},
};

struct options {
	int quick, json, instructions;
	unsigned windows;
	uint64_t window_ns;
	const char *only; /* cases whose name has this in it */
	const char *daemon;
};

struct side {
	struct bench_process daemon;
	struct blk_client client;
	int there;
};

struct bench {
	struct options o;
	int cpu[2]; /* the client's, the daemons' */
	char dir[64];
	char files[3][80]; /* ours, the peer's, fio's */
	struct side ours, peer;
	struct blk_load load;
};

/* --- what is measured of a window ----------------------------------------------- */

enum { IOPS, P50, P99, CPU, NOTES, METRICS };
static const struct {
	const char *name, *unit;
	int more_is_better;
} metrics[METRICS] = {{"", "IOPS", 1},
                      {" p50", "us", 0},
                      {" p99", "us", 0},
                      {" device CPU", "ns/request", 0},
                      {" notifications", "per 1000", 0}};

struct sample {
	enum bench_place place;
	double line;
	double v[METRICS];
};

static int measure(struct bench *b, struct side *s, struct sample *out)
{
	double before = bench_line_ns(b->cpu), after;
	struct blk_window w;
	uint64_t cpu;
	int rc;

	bench_process_resume(&s->daemon);
	bench_process_confine(&s->daemon, b->cpu[1]);
	cpu = bench_process_cpu(&s->daemon);
	rc = blk_client_run(&s->client, &b->load, b->o.window_ns, 0, &w);
	cpu = bench_process_cpu(&s->daemon) - cpu;
	bench_process_pause(&s->daemon);
	if (rc < 0 || w.requests == 0)
		return -1;
	after = bench_line_ns(b->cpu);
	out->place = bench_place_of(before);
	if (out->place != bench_place_of(after))
		out->place = BENCH_MIXED;
	out->line = (before + after) / 2;
	out->v[IOPS] = w.iops;
	out->v[P50] = w.p50;
	out->v[P99] = w.p99;
	out->v[CPU] = (double)cpu / (double)w.requests;
	out->v[NOTES] = (double)(w.kicks + w.calls) * 1000.0 / (double)w.requests;
	return 0;
}

/* --- medians ------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct bench_spread spread_of(const struct sample *s, unsigned n, enum bench_place place,
                                     int metric)
{
	struct bench_spread out = {0};
	double v[WINDOWS_MAX];
	unsigned m = 0;

	for (unsigned i = 0; i < n; i++)
		if (s[i].place == place)
			v[m++] = metric < 0 ? s[i].line : s[i].v[metric];
	out.windows = m;
	if (m == 0)
		return out;
	qsort(v, m, sizeof(v[0]), by_size);
	out.median = m % 2 != 0 ? v[m / 2] : (v[m / 2 - 1] + v[m / 2]) / 2;
	out.low = v[m / 4];
	out.high = v[(3 * m - 1) / 4];
	return out;
}

static double no_window(void *ctx, uint64_t ns)
{
	(void)ctx;
	(void)ns;
	return -1;
}

static void report(struct bench *b, const char *name, const char *peer_name,
                   const struct sample *ours, unsigned nours, const struct sample *peer,
                   unsigned npeer)
{
	for (int m = 0; m < METRICS; m++) {
		char full[96];
		struct bench_case c = {.bench = "blk",
		                       .name = full,
		                       .unit = metrics[m].unit,
		                       .more_is_better = metrics[m].more_is_better,
		                       .cpu = b->cpu,
		                       .ours = {.name = "vhost-user-blk", .window = no_window},
		                       .peer = {.name = npeer > 0 ? peer_name : NULL}};
		struct bench_result r;

		snprintf(full, sizeof(full), "%s%s", name, metrics[m].name);
		for (int p = 0; p < BENCH_PLACES; p++) {
			r.ours[p] = spread_of(ours, nours, (enum bench_place)p, m);
			r.peer[p] = spread_of(peer, npeer, (enum bench_place)p, m);
			r.line[p] = spread_of(ours, nours, (enum bench_place)p, -1);
		}
		bench_print(stdout, &c, &r, b->o.json);
	}
}

/* --- the sides ------------------------------------------------------------------------ */

static void fill(char *to, size_t len, const char *pattern, const char *file)
{
	const char *at = strstr(pattern, "%s");

	if (at == NULL)
		snprintf(to, len, "%s", pattern);
	else
		snprintf(to, len, "%.*s%s%s", (int)(at - pattern), pattern, file, at + 2);
}

static char valgrind[] = "valgrind", tool[] = "--tool=callgrind",
			out_file[] = "--callgrind-out-file=/dev/null", fair[] = "--fair-sched=yes";

/* Start a daemon whose command line is argv from argv[4] on; with count, under callgrind. */
static int start(struct bench *b, struct side *s, const char *name, char **argv, int packed,
                 int count)
{
	char *const wrapped[] = {valgrind, tool, out_file, fair};

	snprintf(s->daemon.socket, sizeof(s->daemon.socket), "%s/%s.sock", b->dir, name);
	for (unsigned i = 0; i < 4; i++)
		argv[i] = wrapped[i];
	if (bench_process_start(&s->daemon, count ? argv : argv + 4, b->cpu[1], count) < 0)
		return -1;
	if (blk_client_open(&s->client, s->daemon.socket, packed) < 0) {
		blk_client_close(&s->client);
		(void)bench_process_end(&s->daemon);
		return -1;
	}
	s->there = 1;
	return 0;
}

static int start_ours(struct bench *b, const struct disk_kind *k, int notified, int packed,
                      int count)
{
	char disk[160], path[200];
	char *argv[BLK_ARGS] = {0};
	unsigned n = 4;

	fill(disk, sizeof(disk), k->ours, b->files[0]);
	snprintf(path, sizeof(path), "%s/ours.sock", b->dir);
	argv[n++] = (char *)(uintptr_t)b->o.daemon;
	argv[n++] = (char *)(uintptr_t) "--socket";
	argv[n++] = path;
	argv[n++] = (char *)(uintptr_t) "--disk";
	argv[n++] = disk;
	if (!notified)
		argv[n++] = (char *)(uintptr_t) "--poll";
	return start(b, &b->ours, "ours", argv, packed, count);
}

static int start_peer(struct bench *b, const struct disk_kind *k, int notified, int count)
{
	char drive[240], blockdev[300], thread[80], export[300];
	char *argv[BLK_ARGS] = {0};
	unsigned n = 4;

	if (k->peer == NULL || !bench_have("qemu-storage-daemon"))
		return -1;
	fill(drive, sizeof(drive), k->peer, b->files[1]);
	snprintf(blockdev, sizeof(blockdev), "node-name=disk,%s", drive);
	snprintf(thread, sizeof(thread), "iothread,id=io,poll-max-ns=%u", notified ? 32768 : 1000000);
	snprintf(export, sizeof(export),
	         "type=vhost-user-blk,id=e,node-name=disk,writable=on,iothread=io,"
	         "addr.type=unix,addr.path=%s/peer.sock",
	         b->dir);
	argv[n++] = (char *)(uintptr_t) "qemu-storage-daemon";
	argv[n++] = (char *)(uintptr_t) "--object";
	argv[n++] = thread;
	argv[n++] = (char *)(uintptr_t) "--blockdev";
	argv[n++] = blockdev;
	argv[n++] = (char *)(uintptr_t) "--export";
	argv[n++] = export;
	return start(b, &b->peer, "peer", argv, 0, count);
}

static int64_t end(struct side *s)
{
	int64_t n;

	bench_process_resume(&s->daemon);
	if (s->there)
		blk_client_close(&s->client);
	n = bench_process_end(&s->daemon);
	s->there = 0;
	return n;
}

/* --- cases ------------------------------------------------------------------------------ */

static int wanted(const struct bench *b, const char *name)
{
	return b->o.only == NULL || strstr(name, b->o.only) != NULL;
}

static void beside_fio(struct bench *b, const char *name, const struct sample *ours, unsigned n)
{
	struct sample fio[WINDOWS_MAX], flat[WINDOWS_MAX];
	unsigned m = 0;

	for (unsigned i = 0; i < n; i++) {
		double iops = blk_fio(b->files[2], b->load.depth, b->load.write, b->cpu[1],
		                      (unsigned)(b->o.window_ns / 1000000));

		if (iops > 0)
			fio[m++] = (struct sample){.place = BENCH_ONE_CORE, .v = {iops}};
		flat[i] = ours[i];
		flat[i].place = BENCH_ONE_CORE; /* fio needs no second one */
	}
	if (m > 0) {
		struct bench_case c = {.bench = "blk",
		                       .name = name,
		                       .unit = "IOPS",
		                       .more_is_better = 1,
		                       .ours = {.name = "vhost-user-blk"},
		                       .peer = {.name = "fio io_uring, one core"}};
		struct bench_result r = {0};

		r.ours[BENCH_ONE_CORE] = spread_of(flat, n, BENCH_ONE_CORE, IOPS);
		r.peer[BENCH_ONE_CORE] = spread_of(fio, m, BENCH_ONE_CORE, IOPS);
		bench_print(stdout, &c, &r, b->o.json);
	}
}

/* One depth and direction, both sides in turn. */
static void compare(struct bench *b, const struct disk_kind *k, const char *name)
{
	struct sample ours[WINDOWS_MAX], peer[WINDOWS_MAX];
	unsigned nours = 0, npeer = 0;

	for (unsigned i = 0; i < b->o.windows; i++) {
		int first = i % 2 != 0;

		for (int turn = 0; turn < 2; turn++) {
			if ((turn ^ first) == 0)
				nours += measure(b, &b->ours, &ours[nours]) == 0;
			else if (b->peer.there)
				npeer += measure(b, &b->peer, &peer[npeer]) == 0;
		}
	}
	if (nours == 0)
		fprintf(stderr, "blk: %s: the device gave no answer\n", name);
	report(b, name, k->peer_name, ours, nours, peer, npeer);
	if (k->fio && !b->load.notified && nours > 0)
		beside_fio(b, name, ours, nours);
}

static void run_kind(struct bench *b, const struct disk_kind *k, int notified, int packed)
{
	static const unsigned depths[] = {1, 32, 128};
	char name[80];
	int any = 0;

	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "%s %s depth %u %s%s", k->name, i % 2 ? "write" : "read",
		         depths[i / 2], notified ? "notified" : "polled", packed ? " packed" : "");
		any |= wanted(b, name);
	}
	if (!any)
		return;
	if (start_ours(b, k, notified, packed, 0) < 0) {
		fprintf(stderr, "blk: %s: our daemon can't be used\n", k->name);
		return;
	}
	bench_process_pause(&b->ours.daemon);
	if (!packed && start_peer(b, k, notified, 0) == 0)
		bench_process_pause(&b->peer.daemon);
	for (unsigned i = 0; i < 6; i++) {
		b->load =
			(struct blk_load){.depth = depths[i / 2], .write = (int)(i % 2), .notified = notified};
		snprintf(name, sizeof(name), "%s %s depth %u %s%s", k->name, i % 2 ? "write" : "read",
		         depths[i / 2], notified ? "notified" : "polled", packed ? " packed" : "");
		if (wanted(b, name))
			compare(b, k, name);
	}
	(void)end(&b->ours);
	(void)end(&b->peer);
}

/* --- instructions ------------------------------------------------------------------------- */

/* The whole daemon's for so many requests, from its start to its end. */
static int64_t count_once(struct bench *b, const struct disk_kind *k, int peer, int write,
                          uint64_t requests)
{
	struct blk_load load = {.depth = BLK_DEPTH_MAX, .write = write};
	struct side *s = peer ? &b->peer : &b->ours;
	struct blk_window w;
	int rc = peer ? start_peer(b, k, 0, 1) : start_ours(b, k, 0, 0, 1);
	int64_t n;

	if (rc == 0)
		rc = blk_client_run(&s->client, &load, 0, requests, &w);
	n = end(s);
	return rc < 0 ? -1 : n;
}

/*
 * Between two numbers of requests. It polls, and nearly always has work; when the client does not get its processor there
 * is none, and the looks that find nothing count too: the least of some runs has the fewest of them.
 */
static double count(struct bench *b, const struct disk_kind *k, int peer, int write)
{
	static const uint64_t requests[] = {20000, 60000};
	int64_t least[2] = {INT64_MAX, INT64_MAX};

	for (unsigned i = 0; i < 2 * COUNTS; i++) {
		int64_t n = count_once(b, k, peer, write, requests[i % 2]);

		if (n < 0)
			return -1;
		if (n < least[i % 2])
			least[i % 2] = n;
	}
	return (double)(least[1] - least[0]) / (double)(requests[1] - requests[0]);
}

static void count_all(struct bench *b)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (int write = 0; write < 2; write++) {
			char name[80];
			double ours;

			snprintf(name, sizeof(name), "%s %s depth 128 polled, daemon", kinds[i].name,
			         write ? "write" : "read");
			if (!wanted(b, name))
				continue;
			ours = count(b, &kinds[i], 0, write);
			if (ours < 0)
				fprintf(stderr, "blk: %s: not counted\n", name);
			else
				bench_print_count(stdout, "blk", name, "instructions", ours, kinds[i].peer_name,
				                  count(b, &kinds[i], 1, write), b->o.json);
		}
	}
}

/* --- the whole ------------------------------------------------------------------------------ */

static struct bench bench;

static void clean_up(void)
{
	(void)end(&bench.ours);
	(void)end(&bench.peer);
	for (unsigned i = 0; i < 3; i++)
		if (bench.files[i][0] != '\0')
			unlink(bench.files[i]);
	if (bench.dir[0] != '\0')
		rmdir(bench.dir);
}

/* Somebody ends us: no daemon and no file stays behind. Safe calls alone. */
static void on_end(int sig)
{
	const struct bench_process *const daemons[] = {&bench.ours.daemon, &bench.peer.daemon};

	for (unsigned i = 0; i < 2; i++) {
		if (daemons[i]->pid > 0)
			kill(daemons[i]->pid, SIGKILL);
		unlink(daemons[i]->socket);
	}
	for (unsigned i = 0; i < 3; i++)
		unlink(bench.files[i]);
	rmdir(bench.dir);
	_exit(128 + sig);
}

/* Files whose pages are all there. */
static void make_files(struct bench *b)
{
	static const char *const names[] = {"ours", "peer", "fio"};
	char *page = bench_zeroed(1 << 20);

	snprintf(b->dir, sizeof(b->dir), "/dev/shm/vdevkit-bench-XXXXXX");
	if (mkdtemp(b->dir) == NULL)
		b->dir[0] = '\0';
	bench_need(b->dir[0] != '\0', "a directory in /dev/shm");
	for (unsigned i = 0; i < 3; i++) {
		int fd;

		snprintf(b->files[i], sizeof(b->files[i]), "%s/%s.img", b->dir, names[i]);
		fd = open(b->files[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		bench_need(fd >= 0, "a file in /dev/shm");
		for (unsigned k = 0; k < BLK_DISK_BYTES >> 20; k++)
			bench_need(write(fd, page, 1 << 20) == 1 << 20, "writing a file");
		close(fd);
	}
	free(page);
}

static const char help[] =
	"usage: blk [--quick] [--json] [--windows N] [--only TEXT] [--instructions] [--daemon PATH]\n"
	"4 KiB requests at random places to vhost-user-blk and to qemu-storage-daemon (qsd), one\n"
	"queue, the same client; the peer of the memory disk is qsd on a file in tmpfs, for qsd has\n"
	"no memory disk. --only: cases with TEXT in their name. --instructions: of the whole daemon\n"
	"for a request, counted by callgrind, instead of timings.\n";

static int read_options(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			o->quick = 1;
		else if (strcmp(argv[i], "--json") == 0)
			o->json = 1;
		else if (strcmp(argv[i], "--instructions") == 0)
			o->instructions = 1;
		else if (strcmp(argv[i], "--windows") == 0 && i + 1 < argc)
			o->windows = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			o->only = argv[++i];
		else if (strcmp(argv[i], "--daemon") == 0 && i + 1 < argc)
			o->daemon = argv[++i];
		else
			return -1;
	}
	if (o->quick) {
		o->windows = 2;
		o->window_ns = 60000000;
	}
	return o->windows < 1 || o->windows > WINDOWS_MAX ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct bench *b = &bench;

	b->o = (struct options){.windows = 8, .window_ns = 250000000};
	if (read_options(&b->o, argc, argv) < 0) {
		fputs(help, stdout);
		return argc < 2 || strcmp(argv[1], "--help") != 0;
	}
	if (b->o.daemon == NULL)
		b->o.daemon = bench_program("examples/vhost-user-blk");
	bench_need(bench_two_cpus(b->cpu) == 0, "finding two processors");
	bench_need(bench_pin(b->cpu[0]) == 0, "binding to a processor");
	atexit(clean_up);
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	signal(SIGHUP, on_end);
	make_files(b);
	if (!bench_have("qemu-storage-daemon"))
		fputs("blk: no qemu-storage-daemon: ours alone\n", stderr);
	if (!bench_have("fio"))
		fputs("blk: no fio: nothing beside the file\n", stderr);
	if (b->o.instructions) {
		count_all(b);
		return 0;
	}
	bench_print_head(stdout, b->o.json);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int notified = 0; notified < 2; notified++)
			run_kind(b, &kinds[i], notified, 0);
	run_kind(b, &kinds[0], 0, 1);
	return 0;
}
