/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_DMA_MEM_H
#define TESTS_SUPPORT_DMA_MEM_H

#include "ring.h"
#include "rng.h"

#define DMA_MEM_PENDING 8192

struct dma_mem_read {
	uint64_t addr;
	void *dst;
	uint32_t len;
	uint32_t tag;
	uint32_t steps; /* until it completes */
};

/*
 * Guest memory across a bus, for one queue: a read completes some steps later, in any order, and shows memory as it is
 * at that moment. Hand ops to ring_dev_init() as cfg.dma, then call dma_mem_step() for time to pass.
 */
struct dma_mem {
	struct virtq_dma ops;
	struct guest *guest;
	struct rng rng;
	uint32_t max_delay;   /* steps; 0: reads are done at once (read returns 1) */
	uint32_t fail_one_in; /* 0: never; else one read in so many fails, at its start or at its end */
	uint32_t npending;
	uint64_t reads;
	uint64_t writes;
	struct dma_mem_read pending[DMA_MEM_PENDING];
};

void dma_mem_init(struct dma_mem *m, struct guest *g, uint32_t max_delay, uint64_t seed);
/* One step: what is due completes, in random order. Returns how many did. */
uint32_t dma_mem_step(struct dma_mem *m, struct virtq_dev *vq);
/* Steps until nothing is pending. */
void dma_mem_drain(struct dma_mem *m, struct virtq_dev *vq);

#endif
