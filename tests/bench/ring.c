/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device side of a ring in mapped memory: pop, push, publish and should_interrupt for bursts of
 * chains of one descriptor, buffers in four regions by turns, EVENT_IDX, logging off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <virtq/virtq.h>

#include "support/bench.h"

enum { REGIONS = 4, REGION_BYTES = 1 << 16, SIZE = 256, BURST = 32, BUFFER = 64, IOV = 1024 };

struct bench {
	struct virtq_mem mem;
	struct virtq_region regions[REGIONS];
	struct virtq_drv drv;
	struct virtq_dev dev;
	void *drv_scratch, *dev_scratch;
	struct virtq_chain chains[BURST];
	struct virtq_iov iov[IOV];
	uint32_t written[BURST];
	uint64_t interrupts;
};

static void set_up(struct bench *b, int packed)
{
	struct virtq_drv_config drv = {.size = sizeof(drv), .queue_size = SIZE};
	struct virtq_dev_config dev = {.size = sizeof(dev), .mem = &b->mem};

	for (unsigned i = 0; i < REGIONS; i++)
		b->regions[i] = (struct virtq_region){.gpa = (uint64_t)(i + 1) << 32,
		                                      .len = REGION_BYTES,
		                                      .host = bench_zeroed(REGION_BYTES)};
	bench_need(virtq_mem_init(&b->mem, b->regions, REGIONS) == 0, "virtq_mem_init");
	virtq_features_set(&drv.features, VIRTQ_F_VERSION_1);
	virtq_features_set(&drv.features, VIRTQ_F_EVENT_IDX);
	if (packed)
		virtq_features_set(&drv.features, VIRTQ_F_RING_PACKED);
	bench_need(virtq_drv_ring_bytes(SIZE, &drv.features) <= REGION_BYTES / 2,
	           "a ring of half a region");
	drv.ring = b->regions[0].host;
	drv.ring_addr = b->regions[0].gpa;
	drv.scratch_bytes = virtq_drv_bytes(SIZE, &drv.features);
	drv.scratch = b->drv_scratch = bench_zeroed(drv.scratch_bytes);
	bench_need(virtq_drv_init(&b->drv, &drv) == 0, "virtq_drv_init");
	dev.features = drv.features;
	virtq_drv_state(&b->drv, &dev.state);
	dev.scratch_bytes = virtq_dev_bytes(&dev);
	dev.scratch = b->dev_scratch = bench_zeroed(dev.scratch_bytes);
	bench_need(virtq_dev_init(&b->dev, &dev) == 0, "virtq_dev_init");
	bench_need(virtq_dev_max_iov(&b->dev) <= IOV, "room for the longest chain");
}

static void tear_down(struct bench *b)
{
	bench_need(virtq_dev_fini(&b->dev) == 0, "virtq_dev_fini");
	virtq_mem_unref(&b->mem);
	for (unsigned i = 0; i < REGIONS; i++)
		free(b->regions[i].host);
	free(b->drv_scratch);
	free(b->dev_scratch);
}

static void offer(struct bench *b)
{
	for (uint64_t i = 0; i < BURST; i++) {
		const struct virtq_seg seg = {
			.addr = b->regions[i % REGIONS].gpa + REGION_BYTES / 2 + i * BUFFER, .len = BUFFER};

		bench_need(virtq_drv_add(&b->drv, &seg, 1, 0, &b->chains[i]) == 0, "virtq_drv_add");
	}
	virtq_drv_publish(&b->drv);
}

/* What is measured: the instructions of a chain are those of this function, with all it calls. */
static __attribute__((noinline)) void device_side(struct bench *b)
{
	int n = virtq_dev_pop(&b->dev, b->chains, BURST, b->iov, IOV);

	if (n != BURST || virtq_dev_push(&b->dev, b->chains, b->written, BURST) != 0)
		abort();
	virtq_dev_publish(&b->dev);
	b->interrupts += (uint64_t)virtq_dev_should_interrupt(&b->dev);
}

static void reap(struct bench *b)
{
	struct virtq_done done[BURST];

	bench_need(virtq_drv_take(&b->drv, done, BURST) == BURST, "virtq_drv_take");
	bench_need(virtq_drv_arm(&b->drv) == 0, "virtq_drv_arm");
}

/* Nanoseconds of the device side for one chain; the clock's own two looks a burst are within. */
static double measure(int packed, uint64_t chains)
{
	struct bench *b = bench_zeroed(sizeof(*b));
	uint64_t spent = 0, bursts = chains / BURST;
	double ns;

	set_up(b, packed);
	for (uint64_t i = 0; i < bursts + bursts / 10; i++) {
		uint64_t start;

		offer(b);
		start = bench_now_ns();
		device_side(b);
		if (i >= bursts / 10) /* warm by now */
			spent += bench_now_ns() - start;
		reap(b);
	}
	ns = (double)spent / (double)(bursts * BURST);
	tear_down(b);
	free(b);
	return ns;
}

static const char help[] =
	"usage: ring [--json] [--layout split|packed] [--chains N]\n"
	"Device side of a ring (pop, push, publish, should_interrupt), ns for a chain of one\n"
	"descriptor: bursts of 32, four regions, EVENT_IDX, both sides on one core.\n"
	"Instructions for a chain, from the build tree: run this for 32,000 chains and for\n"
	"1,032,000; the difference of the two counts, by 1,100,000 (a tenth is warming up), is it.\n"
	"  libtool --mode=execute valgrind --tool=callgrind --callgrind-out-file=/dev/null \\\n"
	"    --toggle-collect=device_side tests/bench/ring --layout split --chains 32000\n";

int main(int argc, char **argv)
{
	static const char *const names[] = {"split", "packed"};
	uint64_t chains = 3200000;
	int json = 0, only = -1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = 1;
		} else if (strcmp(argv[i], "--layout") == 0 && i + 1 < argc) {
			only = strcmp(argv[++i], "packed") == 0;
		} else if (strcmp(argv[i], "--chains") == 0 && i + 1 < argc) {
			chains = strtoull(argv[++i], NULL, 10);
		} else {
			fputs(help, stdout);
			return strcmp(argv[i], "--help") != 0;
		}
	}
	bench_need(chains >= BURST, "at least a burst of chains");
	if (!json)
		printf("layout  ns a chain\n");
	for (int packed = 0; packed < 2; packed++) {
		double ns;

		if (only >= 0 && only != packed)
			continue;
		ns = measure(packed, chains);
		if (json)
			printf("{\"bench\":\"ring\",\"layout\":\"%s\",\"burst\":%d,\"chains\":%llu,"
			       "\"ns_per_chain\":%.2f}\n",
			       names[packed], BURST, (unsigned long long)chains, ns);
		else
			printf("%-7s %.2f\n", names[packed], ns);
	}
	return 0;
}
