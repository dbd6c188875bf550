/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_mem.h"

#include <stdlib.h>
#include <string.h>

static int copy_out(struct dma_mem *m, const struct dma_mem_read *rd)
{
	return virtq_mem_read(&m->guest->mem, rd->addr, rd->dst, rd->len);
}

static int dma_read(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	struct dma_mem *m = ctx;
	struct dma_mem_read rd = {.addr = addr, .dst = dst, .len = len, .tag = tag};

	m->reads++;
	if (m->fail_one_in != 0 && rng_one_in(&m->rng, m->fail_one_in))
		return VIRTQ_EIO;
	if (m->max_delay == 0)
		return copy_out(m, &rd) == 0 ? 1 : VIRTQ_EFAULT;
	if (m->npending == DMA_MEM_PENDING)
		abort();
	/* Nobody may look before it is done: packed descriptors seem available, in this lap or in the other. */
	memset(dst, 0xa5, len);
	for (uint32_t i = 15; i < len; i += 16)
		((uint8_t *)dst)[i - m->reads % 2] = 0x25;
	rd.steps = 1 + rng_below(&m->rng, m->max_delay);
	m->pending[m->npending++] = rd;
	return 0;
}

static int dma_write(void *ctx, uint64_t addr, const void *src, uint32_t len)
{
	struct dma_mem *m = ctx;

	m->writes++;
	return virtq_mem_write(&m->guest->mem, addr, src, len);
}

void dma_mem_init(struct dma_mem *m, struct guest *g, uint32_t max_delay, uint64_t seed)
{
	*m = (struct dma_mem){
		.ops = {.size = sizeof(m->ops), .read = dma_read, .write = dma_write, .ctx = m},
		.guest = g,
		.max_delay = max_delay,
	};
	rng_seed(&m->rng, seed);
}

static void complete(struct dma_mem *m, struct virtq_dev *vq, uint32_t i)
{
	struct dma_mem_read rd = m->pending[i];
	int err;

	m->pending[i] = m->pending[--m->npending];
	err = copy_out(m, &rd);
	if (m->fail_one_in != 0 && rng_one_in(&m->rng, m->fail_one_in))
		err = VIRTQ_EIO;
	virtq_dev_dma_done(vq, rd.tag, err);
}

/* A random one of those that are due, or npending. */
static uint32_t pick_due(struct dma_mem *m)
{
	uint32_t start = m->npending > 0 ? rng_below(&m->rng, m->npending) : 0;

	for (uint32_t i = 0; i < m->npending; i++) {
		uint32_t at = (start + i) % m->npending;

		if (m->pending[at].steps == 0)
			return at;
	}
	return m->npending;
}

uint32_t dma_mem_step(struct dma_mem *m, struct virtq_dev *vq)
{
	uint32_t done = 0, at;

	for (uint32_t i = 0; i < m->npending; i++)
		if (m->pending[i].steps > 0)
			m->pending[i].steps--;
	/* A completion may start further reads; these are not due in this step. */
	while ((at = pick_due(m)) != m->npending) {
		complete(m, vq, at);
		done++;
	}
	return done;
}

void dma_mem_drain(struct dma_mem *m, struct virtq_dev *vq)
{
	while (m->npending > 0)
		dma_mem_step(m, vq);
}
