/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a frame costs in virtio-net: instructions and time of the device side, in one process, from vdev_queue_run()
 * down; sending goes into a back-end that forgets, receiving is from one that makes frames. And how many there are in a
 * second over vhost-user, with DPDK's driver in front of ours and of DPDK's back-end.
 */
#include <stdlib.h>
#include <string.h>

#include "net_bench.h"

enum { FEW = 3200, MANY = 35200 };

struct options {
	int json, quick, instructions, pps, switched;
	unsigned windows;
	uint64_t window_ns;
	const char *only; /* cases with this in their names; NULL: all */
};

static const char *const ways[] = {"tx", "rx"};
static const char *const layouts[] = {"split", "packed"};
static const char *const forms[] = {"plain", "mergeable", "in-order", "hashed"};

static const char *form_of(const struct net_kind *k)
{
	return forms[k->hashed ? 3 : k->in_order ? 2 : k->mergeable];
}

/*
 * Instructions of the same work in DPDK 22.11's vhost library, by callgrind: a 64-byte frame with its copy and the
 * work on its mbuf, burst 32 (rte_vhost_dequeue_burst(), rte_vhost_enqueue_burst()). Split rings in order: not measured.
 * Hashes: it has none.
 */
static double dpdk(const struct net_kind *k)
{
	static const double plain[2][2] = {{289, 382}, {189, 162}}, in_order[2] = {166, 159};

	if (k->len != 64 || k->burst != NET_BURST || (k->in_order && !k->packed) || k->hashed)
		return -1;
	return k->in_order ? in_order[k->receive] : plain[k->packed][k->receive];
}

static void name_of(char *to, size_t room, const struct net_kind *k)
{
	snprintf(to, room, "%s, %s %s, %u bytes, burst %u", ways[k->receive], layouts[k->packed],
	         form_of(k), k->len, k->burst);
}

/* Of argv, without what the back-end needs to make frames: DPDK's are made by its application. */
static int64_t count_run(const struct net_kind *k, char *const argv[])
{
	int64_t all = bench_callgrind("device_side", argv);
	int64_t source = k->receive ? bench_callgrind("source_receive", argv) : 0;

	return all > 0 && source >= 0 ? all - source : -1;
}

/* Instructions of a frame: the difference of two runs, so that set-up and warm-up drop out. < 0: none. */
static double count(const struct net_kind *k)
{
	char burst[16], len[16], few[16], many[16];
	char *argv[] = {(char *)(uintptr_t)bench_self(),
	                (char *)"--one",
	                few,
	                (char *)(uintptr_t)ways[k->receive],
	                (char *)(uintptr_t)layouts[k->packed],
	                (char *)(uintptr_t)form_of(k),
	                burst,
	                len,
	                NULL};
	int64_t a, b;

	snprintf(burst, sizeof(burst), "%u", k->burst);
	snprintf(len, sizeof(len), "%u", k->len);
	snprintf(few, sizeof(few), "%d", FEW);
	snprintf(many, sizeof(many), "%d", MANY);
	a = count_run(k, argv);
	argv[2] = many;
	b = count_run(k, argv);
	return a <= 0 || b <= a ? -1 : (double)(b - a) / (MANY - FEW);
}

static void counted(const struct options *o, struct net_kind *k)
{
	double ours = count(k), peer = dpdk(k);
	char name[64];

	if (ours < 0) {
		fprintf(stderr, "net: no instruction counts (is valgrind there?)\n");
		return;
	}
	name_of(name, sizeof(name), k);
	bench_print_count(stdout, "net", name, "instructions", ours,
	                  peer < 0 ? NULL : "DPDK 22.11 vhost", peer, o->json);
}

/* Nanoseconds of a frame with both sides on one core. */
static double both_sides(void *ctx, uint64_t ns)
{
	struct net_kind *k = ctx;
	struct net_rig *r = net_rig_new(k);
	uint64_t start = bench_now_ns(), spent = 0, n = 0;

	while (spent < ns) {
		for (unsigned i = 0; i < 256; i++, n += k->burst) {
			net_offer(r);
			device_side(r);
			net_reap(r);
		}
		spent = bench_now_ns() - start;
	}
	net_rig_free(r);
	return (double)spent / (double)n;
}

static void timed(const struct options *o, struct net_kind *k)
{
	struct bench_case c = {.bench = "net",
	                       .unit = "ns",
	                       .windows = o->windows,
	                       .window_ns = o->window_ns,
	                       .ours = {"vdevkit", both_sides, k}};
	struct bench_result r;
	char name[64];

	name_of(name, sizeof(name), k);
	c.name = name;
	bench_run(&c, &r);
	bench_print(stdout, &c, &r, o->json);
}

/* Every kind of frame, one after the other. */
static void kinds(const struct options *o, void (*each)(const struct options *, struct net_kind *))
{
	static const uint32_t lens[] = {64, 512, 1500};

	for (int i = 0; i < 16; i++) {
		for (unsigned l = 0; l < (o->quick ? 1 : 3); l++) {
			struct net_kind k = {.receive = i % 2,
			                     .packed = i / 2 % 2,
			                     .mergeable = i / 4 == 1,
			                     .in_order = i / 4 == 2,
			                     .hashed = i / 4 == 3,
			                     .burst = NET_BURST,
			                     .len = lens[l]};

			/* Buffers to send from are not merged, and nobody wants their hashes. */
			if (k.receive || !(k.mergeable || k.hashed))
				each(o, &k);
		}
	}
}

static int wanted(const struct options *o, const char *name)
{
	return o->only == NULL || strstr(name, o->only) != NULL;
}

static void one_load(const struct options *o, const struct net_load *load)
{
	static const char *const names[] = {"to host", "to guest", "loop"};
	char name[64];

	snprintf(name, sizeof(name), "%s, %s%s%s, %u bytes", names[load->way], layouts[load->packed],
	         load->in_order ? " in-order" : "", load->mergeable ? " mergeable" : "", load->len);
	if (wanted(o, name) && net_pmd_run(load, name, o->windows, o->window_ns, o->json) < 0)
		fprintf(stderr, "net: %s: a program did not do its part\n", name);
}

/* Frames a second with testpmd in front of ours and of DPDK's, in turns. */
static void over_vhost_user(const struct options *o)
{
	static const uint32_t lens[] = {64, 512, 1500};

	if (!net_pmd_there()) {
		fprintf(stderr, "net: no dpdk-testpmd, no examples/vhost-user-net or one processor only: "
		                "frames a second are left out\n");
		return;
	}
	for (unsigned i = 0; i < 72; i++) {
		struct net_load load = {.way = (enum net_way)(i % 3),
		                        .len = lens[i / 3 % 3],
		                        .packed = i / 36 % 2,
		                        .in_order = i / 18 % 2,
		                        .mergeable = i / 9 % 2};

		/* Nothing is merged that only goes to the host. */
		if (load.way == NET_TO_HOST && load.mergeable)
			continue;
		if (o->quick && (load.len != 64 || load.packed != load.in_order ||
		                 load.mergeable == (load.way == NET_TO_HOST)))
			continue;
		one_load(o, &load);
	}
}

static void one_flow(const struct options *o, struct net_flow *f, const char *name,
                     struct net_flow *peer)
{
	struct bench_case c = {.bench = "net",
	                       .name = name,
	                       .unit = f->mpps ? "Mpps" : "Gbit/s",
	                       .more_is_better = 1,
	                       .windows = o->windows,
	                       .window_ns = o->window_ns,
	                       .ours = {"switch", net_switch_window, f},
	                       .peer = {"memcpy", net_memcpy_window, f}};
	struct bench_result r;
	int cpu[2];

	if (!wanted(o, name) || bench_two_cpus(cpu) < 0)
		return;
	c.cpu = cpu;
	if (peer != NULL)
		c.peer = (struct bench_side){"two receivers", net_switch_window, peer};
	bench_run(&c, &r);
	bench_print(stdout, &c, &r, o->json);
}

/* Two who send to one, beside two who send to one each; and how often they are in each other's way. */
static void two_senders(const struct options *o, struct net_flow f, const char *name)
{
	struct net_flow apart;
	char what[80];

	f.senders = 2;
	apart = f;
	apart.apart = 1;
	one_flow(o, &f, name, &apart);
	snprintf(what, sizeof(what), "%s, given back", name);
	if (f.frames > 0)
		bench_print_count(stdout, "net", what, "of 1,000 frames",
		                  (double)f.not_taken * 1000 / (double)f.frames, NULL, -1, o->json);
}

/* From guest to guest. */
static void through_the_switch(const struct options *o)
{
	const uint32_t lens[] = {net_large, 1500, 64};
	char name[64];

	for (unsigned i = 0; i < 8; i++) {
		struct net_flow f = {.packed = i >= 4, .senders = 1, .len = lens[i % 4 % 3]};

		f.segmented = i % 4 == 3;
		f.mpps = f.len == 64;
		snprintf(name, sizeof(name), "switch, %s, %u bytes%s", layouts[f.packed], f.len,
		         f.segmented ? ", segmented" : "");
		one_flow(o, &f, name, NULL);
		if (f.segmented)
			continue;
		f.frames = f.not_taken = 0;
		snprintf(name, sizeof(name), "two senders, %s, %u bytes", layouts[f.packed], f.len);
		two_senders(o, f, name);
	}
}

/* What runs under callgrind. */
static int run_one(char **argv)
{
	uint64_t frames = strtoull(argv[0], NULL, 10);
	struct net_kind k = {.receive = strcmp(argv[1], "rx") == 0,
	                     .packed = strcmp(argv[2], "packed") == 0,
	                     .mergeable = strcmp(argv[3], "mergeable") == 0,
	                     .in_order = strcmp(argv[3], "in-order") == 0,
	                     .hashed = strcmp(argv[3], "hashed") == 0,
	                     .burst = (uint32_t)strtoul(argv[4], NULL, 10),
	                     .len = (uint32_t)strtoul(argv[5], NULL, 10)};
	struct net_rig *r;

	bench_need(k.burst > 0 && k.burst <= NET_BURST, "a burst of 1 to 32");
	bench_need(k.len >= 60 && k.len <= 1514, "a frame of 60 to 1514 bytes");
	r = net_rig_new(&k);
	for (uint64_t i = 0; i < frames / k.burst; i++) {
		net_offer(r);
		device_side(r);
		net_reap(r);
	}
	net_rig_free(r);
	return 0;
}

static const char help[] =
	"usage: net [--quick] [--json] [--windows N] [--only TEXT] \n"
	"           [--instructions | --pps | --switch]\n"
	"       net --one FRAMES tx|rx split|packed plain|mergeable|in-order|hashed BURST BYTES\n"
	"Cost of a frame in virtio-net, driver and device in one process: ns of both sides on one\n"
	"core, and instructions of the device side (valgrind; with --instructions these alone) beside\n"
	"those of DPDK's vhost. Then frames a second over vhost-user with testpmd in front, beside\n"
	"net_vhost in alternating windows (with --pps these alone), and from guest to guest\n"
	"through the switch, beside memcpy (with --switch this alone). --one runs without a clock,\n"
	"for profilers: the function is device_side.\n";

int main(int argc, char **argv)
{
	struct options o = {.windows = 9, .window_ns = 250000000};
	unsigned windows = 0;
	int all;

	if (argc == 8 && strcmp(argv[1], "--one") == 0)
		return run_one(argv + 2);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			o.json = 1;
		} else if (strcmp(argv[i], "--quick") == 0) {
			o.quick = 1;
			o.windows = 3;
			o.window_ns = 100000000;
		} else if (strcmp(argv[i], "--instructions") == 0) {
			o.instructions = 1;
		} else if (strcmp(argv[i], "--pps") == 0) {
			o.pps = 1;
		} else if (strcmp(argv[i], "--switch") == 0) {
			o.switched = 1;
		} else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
			o.only = argv[++i];
		} else if (strcmp(argv[i], "--windows") == 0 && i + 1 < argc) {
			windows = (unsigned)strtoul(argv[++i], NULL, 10);
		} else {
			fputs(help, stdout);
			return strcmp(argv[i], "--help") != 0;
		}
	}
	if (windows > 0)
		o.windows = windows;
	bench_print_head(stdout, o.json);
	all = !o.instructions && !o.pps && !o.switched;
	if (all || o.instructions)
		kinds(&o, counted);
	if (all)
		kinds(&o, timed);
	if (all || o.pps)
		over_vhost_user(&o);
	if (all || o.switched)
		through_the_switch(&o);
	return 0;
}
