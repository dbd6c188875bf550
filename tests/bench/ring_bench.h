/* SPDX-License-Identifier: BSD-3-Clause */
/* The two sides of a ring for tests/bench/ring, and what they are compared with. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <virtq/virtq.h>

#include "support/bench.h"

enum {
	RING_REGIONS = 4,
	RING_REGION_BYTES = 1 << 18,
	RING_SIZE = 256,
	RING_BURST = 32,
	RING_TABLE = 4,
	RING_IOV = 1024
};

/* What is varied. */
struct ring_kind {
	int packed;
	int indirect; /* requests of two pieces, in a table; else of one */
	int three;    /* direct requests of three pieces, one out and two in */
	int logged;   /* with a dirty log */
	uint32_t burst;
	uint32_t dma_window; /* 0: mapped memory */
};

struct ring_rig {
	struct ring_kind kind;
	struct virtq_mem mem;
	struct virtq_region regions[RING_REGIONS];
	struct virtq_drv drv;
	struct virtq_dev dev;
	void *drv_scratch, *dev_scratch;
	struct virtq_chain chains[RING_BURST];
	struct virtq_iov iov[RING_IOV];
	struct virtq_seg seg[RING_IOV];
	uint32_t written[RING_BURST];
	uint64_t offered, interrupts, stopped;
	struct plain *plain;
	struct virtq_log log;
	struct virtq_dirty dirty;
	void *bitmap;
};

/* The device side as a plain loop with the same checks, for direct requests. */
struct plain *ring_plain_new(void);
void plain_side(struct ring_rig *r);

struct ring_rig *ring_rig_new(const struct ring_kind *kind);
void ring_rig_free(struct ring_rig *r);

/* The parts that are measured: the instructions of a request are those of these functions, with all they call. */
void driver_offer(struct ring_rig *r); /* add and publish a burst */
void device_side(struct ring_rig *r);  /* pop, push, publish, should_interrupt */
void driver_reap(struct ring_rig *r);  /* take the burst and arm */

/* bench_side windows: ns a request. ctx is a struct ring_kind. */
double ring_one_core(void *ctx, uint64_t ns);
double ring_two_cores(void *ctx, uint64_t ns); /* polled, at most 64 requests out */

/* The peer that nobody can beat: a ring of pointers between two threads that trust each other. */
double spsc_one_core(void *ctx, uint64_t ns);
double spsc_two_cores(void *ctx, uint64_t ns);

/* Operations across a bus for a request, with kind's dma_window. */
double ring_dma_ops(const struct ring_kind *kind);

#endif
