/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_fixture.h"

#include <string.h>

struct evil ev;

static struct evil_config config;

static void queue_start(struct evil_queue *q, uint16_t size, uint32_t max_chain)
{
	struct ring_config cfg = {.size = size, .region = RING_GPA, .indirect_max = 0};
	struct virtq_dev_config dev = {.max_chain = max_chain, .platform = config.platform};

	cfg.features = features_of(1, VIRTQ_F_VERSION_1);
	if (ev.packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	if (!config.direct_only)
		virtq_features_set(&cfg.features, VIRTQ_F_INDIRECT_DESC);
	if (config.event_idx)
		virtq_features_set(&cfg.features, VIRTQ_F_EVENT_IDX);
	if (config.in_order)
		virtq_features_set(&cfg.features, VIRTQ_F_IN_ORDER);
	ring_init(&q->ring, &ev.guest, &cfg);
	if (ev.dma) {
		dma_mem_init(&q->mem, &ev.guest, 5, 7);
		dev.dma = &q->mem.ops;
		dev.dma_window = 16;
	}
	ck_assert_int_eq(ring_dev_init(&q->ring, &dev, EVIL_CHAINS), 0);
}

void evil_start(int mode, const struct evil_config *cfg)
{
	memset(&ev, 0, sizeof(ev));
	config = cfg != NULL ? *cfg : (struct evil_config){0};
	if (config.size == 0)
		config.size = 8;
	ev.packed = mode % 2;
	ev.dma = mode >= EVIL_DMA_SPLIT;
	guest_init(&ev.guest, NULL, 0);
	queue_start(&ev.q, config.size, config.max_chain);
	queue_start(&ev.other, 16, 0);
}

static void queue_end(struct evil_queue *q)
{
	if (ev.dma)
		dma_mem_drain(&q->mem, &q->ring.dev);
	ck_assert_uint_eq(virtq_dev_inflight(&q->ring.dev), 0);
	ring_fini(&q->ring);
}

void evil_reset(void)
{
	queue_end(&ev.q);
	queue_start(&ev.q, config.size, config.max_chain);
}

void evil_end(void)
{
	evil_other_works();
	queue_end(&ev.q);
	queue_end(&ev.other);
	guest_fini(&ev.guest); /* checks that no reference to the map was lost or leaked */
}

static int queue_pop(struct evil_queue *q, struct virtq_chain *chains, uint32_t max)
{
	int n;

	if (!ev.dma)
		return virtq_dev_pop(&q->ring.dev, chains, max, q->ring.iov, q->ring.niov);
	n = virtq_dev_fetch(&q->ring.dev, max);
	ck_assert(n == 0 || n == VIRTQ_EBROKEN);
	do {
		dma_mem_drain(&q->mem, &q->ring.dev);
		n = virtq_dev_pop_seg(&q->ring.dev, chains, max, q->ring.seg, q->ring.niov);
	} while (n == VIRTQ_EAGAIN);
	return n;
}

int evil_pop(uint32_t max)
{
	return queue_pop(&ev.q, ev.chains, max);
}

void evil_breaks(uint16_t reason)
{
	struct virtq_fault f = {0};

	ck_assert_int_eq(evil_pop(EVIL_CHAINS), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ev.q.ring.dev, &f), 1);
	ck_assert_uint_eq(f.reason, reason);
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_arm(&ev.q.ring.dev), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ev.q.ring.dev), 0);
}

void evil_push(const struct virtq_chain *c, uint32_t written)
{
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, c, &written, 1), 0);
	virtq_dev_publish(&ev.q.ring.dev);
}

void evil_one(void)
{
	ck_assert_int_eq(evil_pop(1), 1);
	evil_push(&ev.chains[0], ev.chains[0].write_bytes);
}

void evil_release(uint32_t n)
{
	ck_assert_int_eq(virtq_dev_release(&ev.q.ring.dev, ev.chains, n), 0);
}

int evil_piece_is(const struct virtq_chain *c, uint32_t i, uint64_t gpa, uint64_t len)
{
	if (i >= c->nread + c->nwrite)
		return 0;
	if (ev.dma)
		return c->seg[i].addr == gpa && c->seg[i].len == len;
	return c->iov[i].base == guest_at(&ev.guest, gpa, len) && c->iov[i].len == len;
}

void evil_offer(uint16_t id, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (ev.packed) {
		raw_packed_offer(&ev.q.ring, addr, len, id, flags);
	} else {
		raw_desc(&ev.q.ring, id, addr, len, flags, 0);
		raw_offer(&ev.q.ring, id);
	}
}

void evil_list(uint16_t id, uint32_t n, uint64_t addr, uint32_t len, uint16_t last)
{
	for (uint32_t i = 0; i < n; i++) {
		uint16_t flags = i + 1 < n ? VIRTQ_DESC_NEXT : last;
		uint16_t at = (uint16_t)((id + i) % ev.q.ring.size);

		if (ev.packed)
			raw_packed_offer(&ev.q.ring, addr, len, id, flags);
		else
			raw_desc(&ev.q.ring, at, addr, len, flags, (uint16_t)((at + 1) % ev.q.ring.size));
	}
	if (!ev.packed)
		raw_offer(&ev.q.ring, id);
}

void evil_table(uint64_t table, uint32_t n, uint64_t addr, uint32_t len, uint16_t last)
{
	for (uint32_t i = 0; i < n; i++)
		raw_table(&ev.q.ring, table, i, addr, len, i + 1 < n ? VIRTQ_DESC_NEXT : last,
		          (uint16_t)(i + 1));
}

static uint8_t *bytes_of(const struct virtq_chain *c, uint32_t i)
{
	if (ev.dma)
		return guest_at(&ev.guest, c->seg[i].addr, c->seg[i].len);
	return c->iov[i].base;
}

void evil_other_works(void)
{
	struct virtq_seg seg[2] = {{0x1000, 32}, {0x2000, 64}};
	uint8_t *in = guest_at(&ev.guest, 0x1000, 32), *back = guest_at(&ev.guest, 0x2000, 64);
	struct virtq_chain c;
	struct virtq_done done;
	uint32_t written = 64;

	memset(in, 0x5a, 32);
	memset(back, 0, 64);
	ck_assert_int_eq(virtq_drv_add(&ev.other.ring.drv, seg, 1, 1, &seg), 0);
	virtq_drv_publish(&ev.other.ring.drv);
	ck_assert_int_eq(queue_pop(&ev.other, &c, 1), 1);
	ck_assert_uint_eq(c.read_bytes, 32);
	ck_assert_uint_eq(c.write_bytes, 64);
	ck_assert_ptr_eq(bytes_of(&c, 0), in);
	memset(bytes_of(&c, 1), 0xc3, 64);
	ck_assert_int_eq(virtq_dev_push(&ev.other.ring.dev, &c, &written, 1), 0);
	virtq_dev_publish(&ev.other.ring.dev);
	ck_assert_int_eq(virtq_drv_take(&ev.other.ring.drv, &done, 1), 1);
	ck_assert_ptr_eq(done.cookie, &seg);
	ck_assert_uint_eq(done.written, 64);
	ck_assert_uint_eq(back[0], 0xc3);
	ck_assert_uint_eq(back[63], 0xc3);
	ev.honest++;
}
