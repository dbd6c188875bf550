/* SPDX-License-Identifier: BSD-3-Clause */
/* Both sides of a ring in one program: in mapped memory, or with a "bus" that answers at once. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ring_bench.h"

enum { BUFFER = 64, OUT_MAX = 64 };

static int bus_read(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	const void *p = virtq_mem_at(ctx, addr, len, 0);

	(void)tag;
	if (p == NULL)
		return VIRTQ_EFAULT;
	memcpy(dst, p, len);
	return 1;
}

static int bus_write(void *ctx, uint64_t addr, const void *src, uint32_t len)
{
	void *p = virtq_mem_at(ctx, addr, len, 1);

	if (p == NULL)
		return VIRTQ_EFAULT;
	memcpy(p, src, len);
	return 0;
}

static void driver_set_up(struct ring_rig *r, struct virtq_drv_config *drv)
{
	*drv = (struct virtq_drv_config){.size = sizeof(*drv), .queue_size = RING_SIZE};
	virtq_features_set(&drv->features, VIRTQ_F_VERSION_1);
	virtq_features_set(&drv->features, VIRTQ_F_EVENT_IDX);
	if (r->kind.packed)
		virtq_features_set(&drv->features, VIRTQ_F_RING_PACKED);
	if (r->kind.indirect) {
		virtq_features_set(&drv->features, VIRTQ_F_INDIRECT_DESC);
		drv->indirect_max = RING_TABLE;
		drv->indirect = (char *)r->regions[0].host + RING_REGION_BYTES / 4;
		drv->indirect_addr = r->regions[0].gpa + RING_REGION_BYTES / 4;
	}
	drv->ring = r->regions[0].host;
	drv->ring_addr = r->regions[0].gpa;
	drv->scratch_bytes = virtq_drv_bytes(RING_SIZE, &drv->features);
	drv->scratch = r->drv_scratch = bench_zeroed(drv->scratch_bytes);
	bench_need(virtq_drv_init(&r->drv, drv) == 0, "virtq_drv_init");
}

struct ring_rig *ring_rig_new(const struct ring_kind *kind)
{
	struct ring_rig *r = bench_zeroed(sizeof(*r));
	struct virtq_dma bus = {
		.size = sizeof(bus), .read = bus_read, .write = bus_write, .ctx = &r->mem};
	struct virtq_dev_config dev = {.size = sizeof(dev), .mem = &r->mem};
	struct virtq_dma *kept = bench_zeroed(sizeof(*kept));
	struct virtq_drv_config drv;

	r->kind = *kind;
	r->plain = ring_plain_new();
	for (unsigned i = 0; i < RING_REGIONS; i++)
		r->regions[i] = (struct virtq_region){.gpa = (uint64_t)(i + 1) << 32,
		                                      .len = RING_REGION_BYTES,
		                                      .host = bench_zeroed(RING_REGION_BYTES)};
	bench_need(virtq_mem_init(&r->mem, r->regions, RING_REGIONS) == 0, "virtq_mem_init");
	if (kind->logged) {
		size_t words = (RING_REGIONS << 20) / (8 * sizeof(uintptr_t));

		r->bitmap = bench_zeroed(words * sizeof(uintptr_t));
		bench_need(virtq_dirty_init(&r->dirty, r->regions[0].gpa, 12, r->bitmap, words, NULL) == 0,
		           "virtq_dirty_init");
		virtq_mem_set_log(&r->mem, &r->log);
		virtq_log_set(&r->log, &r->dirty);
	}
	driver_set_up(r, &drv);
	dev.features = drv.features;
	virtq_drv_state(&r->drv, &dev.state);
	*kept = bus;
	if (kind->dma_window > 0) {
		dev.dma = kept;
		dev.dma_window = kind->dma_window;
	}
	dev.scratch_bytes = virtq_dev_bytes(&dev);
	dev.scratch = r->dev_scratch = bench_zeroed(dev.scratch_bytes);
	bench_need(virtq_dev_init(&r->dev, &dev) == 0, "virtq_dev_init");
	bench_need(virtq_dev_max_iov(&r->dev) <= RING_IOV, "room for the longest chain");
	if (kind->dma_window == 0)
		free(kept); /* else it lives as long as the program */
	return r;
}

void ring_rig_free(struct ring_rig *r)
{
	bench_need(virtq_dev_fini(&r->dev) == 0, "virtq_dev_fini");
	virtq_mem_unref(&r->mem);
	for (unsigned i = 0; i < RING_REGIONS; i++)
		free(r->regions[i].host);
	free(r->plain);
	free(r->bitmap);
	free(r->drv_scratch);
	free(r->dev_scratch);
	free(r);
}

/* One request: 64 readable bytes, with a table 64 writable ones too, of three pieces twice 64; regions by turns. */
static int add_one(struct ring_rig *r)
{
	uint64_t i = r->offered++;
	uint64_t at =
		r->regions[i % RING_REGIONS].gpa + RING_REGION_BYTES / 2 + i % RING_SIZE * 2 * BUFFER;
	const struct virtq_seg seg[3] = {
		{at, BUFFER}, {at + BUFFER, BUFFER}, {at + 2 * BUFFER, BUFFER}};

	return virtq_drv_add(&r->drv, seg, 1, r->kind.three ? 2 : r->kind.indirect ? 1 : 0, r);
}

__attribute__((noinline)) void driver_offer(struct ring_rig *r)
{
	for (uint32_t i = 0; i < r->kind.burst; i++)
		bench_need(add_one(r) == 0, "virtq_drv_add");
	virtq_drv_publish(&r->drv);
}

__attribute__((noinline)) void device_side(struct ring_rig *r)
{
	int n = virtq_dev_pop(&r->dev, r->chains, r->kind.burst, r->iov, RING_IOV);

	if (n != (int)r->kind.burst || virtq_dev_push(&r->dev, r->chains, r->written, (uint32_t)n) != 0)
		abort();
	virtq_dev_publish(&r->dev);
	r->interrupts += (uint64_t)virtq_dev_should_interrupt(&r->dev);
}

__attribute__((noinline)) void driver_reap(struct ring_rig *r)
{
	struct virtq_done done[RING_BURST];

	if (virtq_drv_take(&r->drv, done, r->kind.burst) != (int)r->kind.burst ||
	    virtq_drv_arm(&r->drv) != 0)
		abort();
}

double ring_one_core(void *ctx, uint64_t ns)
{
	struct ring_rig *r = ring_rig_new(ctx);
	uint64_t start = bench_now_ns(), spent = 0, n = 0;

	while (spent < ns) {
		for (unsigned i = 0; i < 256; i++, n += r->kind.burst) {
			driver_offer(r);
			device_side(r);
			driver_reap(r);
		}
		spent = bench_now_ns() - start;
	}
	ring_rig_free(r);
	return (double)spent / (double)n;
}

struct device_thread {
	struct ring_rig *rig;
	int cpu;
	int ready, stop;
};

static void *device_polls(void *ctx)
{
	struct device_thread *t = ctx;
	struct ring_rig *r = t->rig;

	(void)bench_pin(t->cpu);
	__atomic_store_n(&t->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		int n = virtq_dev_pop(&r->dev, r->chains, r->kind.burst, r->iov, RING_IOV);

		if (n < 0 || (n > 0 && virtq_dev_push(&r->dev, r->chains, r->written, (uint32_t)n) != 0))
			abort();
		if (n > 0)
			virtq_dev_publish(&r->dev);
	}
	return NULL;
}

/* One step of the driver: fill up what may be out, take what is back. Returns how many came back. */
static uint64_t driver_step(struct ring_rig *r)
{
	struct virtq_done done[RING_BURST];
	uint32_t out = virtq_drv_inflight(&r->drv);
	int n;

	for (uint32_t i = 0; out < OUT_MAX && i < r->kind.burst; i++, out++)
		if (add_one(r) != 0)
			abort();
	virtq_drv_publish(&r->drv);
	n = virtq_drv_take(&r->drv, done, RING_BURST);
	if (n < 0)
		abort();
	return (uint64_t)n;
}

double ring_two_cores(void *ctx, uint64_t ns)
{
	struct ring_rig *r = ring_rig_new(ctx);
	struct device_thread t = {.rig = r};
	uint64_t start, spent = 0, n = 0;
	pthread_t thread;
	int cpu[2];

	bench_need(bench_two_cpus(cpu) == 0, "two processors");
	bench_need(bench_pin(cpu[0]) == 0, "binding to a processor");
	t.cpu = cpu[1];
	bench_need(pthread_create(&thread, NULL, device_polls, &t) == 0, "a thread");
	while (!__atomic_load_n(&t.ready, __ATOMIC_ACQUIRE))
		sched_yield();
	for (start = bench_now_ns(); spent < ns; spent = bench_now_ns() - start)
		for (unsigned i = 0; i < 256; i++)
			n += driver_step(r);
	while (virtq_drv_inflight(&r->drv) > 0) {
		struct virtq_done done[RING_BURST];

		if (virtq_drv_take(&r->drv, done, RING_BURST) < 0)
			abort();
	}
	__atomic_store_n(&t.stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	bench_unpin();
	ring_rig_free(r);
	return n > 0 ? (double)spent / (double)n : -1;
}

double ring_dma_ops(const struct ring_kind *kind)
{
	struct ring_rig *r = ring_rig_new(kind);
	struct virtq_dma_count count;
	uint64_t n = 0;

	for (unsigned round = 0; round < 1000; round++) {
		driver_offer(r);
		for (uint32_t left = r->kind.burst, tries = 0; left > 0; tries++) {
			int got = virtq_dev_pop_seg(&r->dev, r->chains, left, r->seg, RING_IOV);

			/* 0 says what the last look saw: the next call looks again. */
			bench_need((got >= 0 || got == VIRTQ_EAGAIN) && tries < 100, "virtq_dev_pop_seg");
			if (got <= 0)
				continue;
			bench_need(virtq_dev_push(&r->dev, r->chains, r->written, (uint32_t)got) == 0, "push");
			left -= (uint32_t)got;
			n += (uint32_t)got;
		}
		virtq_dev_publish(&r->dev);
		r->interrupts += (uint64_t)(virtq_dev_should_interrupt(&r->dev) > 0);
		driver_reap(r);
	}
	virtq_dev_dma_count(&r->dev, &count);
	ring_rig_free(r);
	return (double)(count.reads + count.writes) / (double)n;
}
