/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request costs in a ring: both sides on one core, two cores, instructions of each side, operations across a
 * bus. Mapped memory of four regions, buffers in them by turns, EVENT_IDX, logging off, the shared library.
 */
#include <stdlib.h>
#include <string.h>

#include "ring_bench.h"

enum { FEW = 3200, MANY = 35200 };

struct options {
	int json, quick, instructions;
	unsigned windows;
	uint64_t window_ns;
};

static const char *const layouts[] = {"split", "packed"};
static const char *const forms[] = {"direct", "indirect", "three"};

static const char *form_of(const struct ring_kind *k)
{
	return forms[k->three ? 2 : k->indirect];
}

static void name_of(char *to, size_t room, const char *what, const struct ring_kind *k)
{
	snprintf(to, room, "%s, %s %s, burst %u%s", what, layouts[k->packed], form_of(k), k->burst,
	         k->logged ? ", logged" : "");
}

static void timed(const struct options *o, const char *what, struct ring_kind *k,
                  double (*ours)(void *, uint64_t), double (*peer)(void *, uint64_t),
                  const int *cpu)
{
	struct bench_case c = {.bench = "ring",
	                       .unit = "ns",
	                       .cpu = cpu,
	                       .windows = o->windows,
	                       .window_ns = o->window_ns,
	                       .ours = {"vdevkit", ours, k},
	                       .peer = {"unchecked pointer ring", peer, k}};
	struct bench_result r;
	char name[64];

	name_of(name, sizeof(name), what, k);
	c.name = name;
	bench_run(&c, &r);
	bench_print(stdout, &c, &r, o->json);
}

/* Instructions of a request in one function: the difference of two runs, so that set-up and warm-up drop out. < 0: none. */
static double count(const char *function, const struct ring_kind *k, const char *how)
{
	char burst[16], few[16], many[16];
	char *argv[] = {(char *)(uintptr_t)bench_self(),
	                (char *)"--one",
	                few,
	                (char *)(uintptr_t)layouts[k->packed],
	                (char *)(uintptr_t)form_of(k),
	                burst,
	                (char *)(uintptr_t)how,
	                NULL};
	int64_t a, b;

	snprintf(burst, sizeof(burst), "%u", k->burst);
	snprintf(few, sizeof(few), "%d", FEW);
	snprintf(many, sizeof(many), "%d", MANY);
	a = bench_callgrind(function, argv);
	argv[2] = many;
	b = bench_callgrind(function, argv);
	return a <= 0 || b <= a ? -1 : (double)(b - a) / (MANY - FEW);
}

static void counted(const struct options *o, const char *what, const char *function,
                    const struct ring_kind *k)
{
	int plain = strcmp(function, "device_side") == 0 && !k->indirect && !k->logged;
	double ours = count(function, k, k->logged ? "logged" : NULL);
	double peer = plain ? count("plain_side", k, "plain") : -1;
	char name[64];

	if (ours < 0 || (plain && peer < 0)) {
		fprintf(stderr, "ring: no instruction counts (is valgrind there?)\n");
		return;
	}
	name_of(name, sizeof(name), what, k);
	bench_print_count(stdout, "ring", name, "instructions", ours, plain ? "plain loop" : NULL, peer,
	                  o->json);
}

/* Every kind of request, one after the other. */
static void kinds(const struct options *o, void (*each)(const struct options *, struct ring_kind *))
{
	for (int i = 0; i < 8; i++) {
		struct ring_kind k = {
			.packed = i / 4, .indirect = i / 2 % 2, .burst = i % 2 != 0 ? RING_BURST : 1};

		each(o, &k);
	}
}

static void one_core(const struct options *o, struct ring_kind *k)
{
	timed(o, "both sides", k, ring_one_core, spsc_one_core, NULL);
}

static void instructions(const struct options *o, struct ring_kind *k)
{
	counted(o, "device", "device_side", k);
	counted(o, "driver add", "driver_offer", k);
	counted(o, "driver take", "driver_reap", k);
}

/* Requests of three pieces, and with a log. */
static void more_instructions(const struct options *o)
{
	for (int i = 0; i < 8; i++) {
		struct ring_kind k = {
			.packed = i / 4, .three = i / 2 % 2, .logged = i % 2, .burst = RING_BURST};

		if (k.three || k.logged)
			counted(o, "device", "device_side", &k);
	}
}

static void two_cores(const struct options *o, struct ring_kind *k)
{
	int cpu[2];

	if (bench_two_cpus(cpu) == 0)
		timed(o, "round trip", k, ring_two_cores, spsc_two_cores, cpu);
}

static void across_a_bus(const struct options *o)
{
	static const uint32_t windows[] = {1, 8, 32};

	for (int i = 0; i < 6; i++) {
		struct ring_kind k = {.packed = i / 3, .burst = RING_BURST, .dma_window = windows[i % 3]};
		char name[64];

		snprintf(name, sizeof(name), "across a bus, %s, window %u", layouts[k.packed],
		         k.dma_window);
		bench_print_count(stdout, "ring", name, "operations", ring_dma_ops(&k), NULL, -1, o->json);
	}
}

/* What runs under callgrind. */
static int run_one(char **argv)
{
	uint64_t chains = strtoull(argv[0], NULL, 10);
	struct ring_kind k = {.packed = strcmp(argv[1], "packed") == 0,
	                      .indirect = strcmp(argv[2], "indirect") == 0,
	                      .three = strcmp(argv[2], "three") == 0,
	                      .logged = argv[4] != NULL && strcmp(argv[4], "logged") == 0,
	                      .burst = (uint32_t)strtoul(argv[3], NULL, 10)};
	int plain = argv[4] != NULL && strcmp(argv[4], "plain") == 0;
	struct ring_rig *r;

	bench_need(k.burst > 0 && k.burst <= RING_BURST, "a burst of 1 to 32");
	r = ring_rig_new(&k);
	for (uint64_t i = 0; i < chains / k.burst; i++) {
		driver_offer(r);
		if (plain)
			plain_side(r);
		else
			device_side(r);
		driver_reap(r);
	}
	ring_rig_free(r);
	return 0;
}

static const char help[] =
	"usage: ring [--quick] [--json] [--instructions]\n"
	"       ring --one REQUESTS split|packed direct|indirect|three BURST [plain|logged]\n"
	"Cost of a request: ns with both sides on one core and on two, beside a ring of pointers\n"
	"without checks and the cache-line round trip; operations across a bus; with\n"
	"--instructions only the instructions of each side (valgrind). --one runs without a\n"
	"clock, for profilers: the functions are device_side, plain_side, driver_offer and "
	"driver_reap.\n";

int main(int argc, char **argv)
{
	struct options o = {.windows = 9, .window_ns = 250000000};

	if ((argc == 6 || argc == 7) && strcmp(argv[1], "--one") == 0)
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
		} else {
			fputs(help, stdout);
			return strcmp(argv[i], "--help") != 0;
		}
	}
	bench_print_head(stdout, o.json);
	if (o.instructions) {
		kinds(&o, instructions);
		more_instructions(&o);
		return 0;
	}
	kinds(&o, one_core);
	across_a_bus(&o);
	kinds(&o, two_cores);
	return 0;
}
