/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: what is the same for both layouts. */
#include "dev.h"

#ifndef VIRTQ_NO_DEVICE

#include "dma.h"

uint32_t virtq_dev_inflight(const struct virtq_dev *vq)
{
	return vq->inflight;
}

/* An old map goes when its last chain is back. */
static void map_settle(struct virtq_dev *vq, unsigned i)
{
	if (vq->maps[i].out == 0 && i != vq->cur_map && vq->maps[i].mem != NULL) {
		struct virtq_mem *mem = vq->maps[i].mem;

		vq->maps[i].mem = NULL;
		virtq_mem_unref(mem);
	}
}

int virtq_dev_fetch(struct virtq_dev *vq, uint32_t max)
{
	if (vq->broken)
		return VIRTQ_EBROKEN;
	return vq->dma != NULL ? virtq_dma_fetch(vq, max) : 0;
}

uint32_t virtq_dev_max_iov(const struct virtq_dev *vq)
{
	return vq->max_iov;
}

int virtq_dev_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                  struct virtq_iov *iov, uint32_t niov)
{
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (unlikely(vq->dma != NULL || niov < vq->max_iov))
		return VIRTQ_EINVAL;
	if (unlikely(vq->track != NULL))
		return vq->track->pop(vq, chains, max, iov, niov);
	return LAYOUT(vq, pop, vq, chains, max, iov, niov);
}

int virtq_dev_pop_seg(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                      struct virtq_seg *seg, uint32_t nseg)
{
	if (vq->broken)
		return VIRTQ_EBROKEN;
	if (vq->dma == NULL || nseg < vq->max_iov)
		return VIRTQ_EINVAL;
	return virtq_dma_pop_seg(vq, chains, max, seg, nseg);
}

static inline int is_out(const struct virtq_dev *vq, const struct virtq_chain *c)
{
	return c->id < vq->size && vq->owner[c->id] != OWNER_NONE && vq->owner[c->id] != OWNER_HELD;
}

static void mark_chain(struct virtq_dev *vq, const struct virtq_chain *c,
                       const struct virtq_mem *mem)
{
	if (vq->dma == NULL)
		virtq_mem_mark_iov(mem, c->iov + c->nread, c->nwrite);
	for (uint32_t i = c->nread; vq->dma != NULL && i < c->nread + c->nwrite; i++)
		virtq_mem_mark(mem, c->seg[i].addr, c->seg[i].len);
}

/*
 * Take n chains off the list of those that are out; all or none. What they may have written is marked, before any
 * used entry of theirs can be seen.
 */
static int take_back(struct virtq_dev *vq, const struct virtq_chain *chains,
                     const uint32_t *written, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];

		if (!is_out(vq, c) || vq->owner[c->id] & OWNER_GOING ||
		    (written != NULL && written[i] > c->write_bytes)) {
			while (i-- > 0)
				vq->owner[chains[i].id] ^= OWNER_GOING;
			return VIRTQ_EINVAL;
		}
		vq->owner[c->id] |= OWNER_GOING; /* a second mention in the same burst is refused too */
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];
		unsigned owner = vq->owner[c->id] ^ OWNER_GOING;
		unsigned map = owner == OWNER_NOW ? vq->cur_map : owner - OWNER_OLD;

		if (mem_log(vq->maps[map].mem) != NULL)
			mark_chain(vq, c, vq->maps[map].mem);
		vq->owner[c->id] = OWNER_NONE;
		vq->maps[map].out--;
		if (map != vq->cur_map)
			map_settle(vq, map);
	}
	vq->inflight = (uint16_t)(vq->inflight - n);
	return 0;
}

static int is_last_popped(const struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (chains[i].seq != vq->seq - n + i)
			return 0;
	return n <= vq->inflight;
}

int virtq_dev_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	int err;

	if (n == 0)
		return 0;
	if (!is_last_popped(vq, chains, n))
		return VIRTQ_EINVAL;
	err = take_back(vq, chains, NULL, n);
	if (err != 0)
		return err;
	vq->seq -= n;
	if (vq->dma != NULL)
		virtq_dma_unpop(vq, chains, n);
	else if (vq->track != NULL)
		vq->track->unpop(vq, chains, n);
	else
		LAYOUT(vq, unpop, vq, chains, n);
	return 0;
}

static void use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	if (vq->dma != NULL)
		virtq_dma_use(vq, id, more, written);
	else
		LAYOUT(vq, use, vq, id, more, written);
}

/* IN_ORDER (section 2.7.9, 2.8.9): keep what is done until everything popped before it is done too. */
static void use_in_order(struct virtq_dev *vq, const struct virtq_chain *c, uint32_t written)
{
	struct virtq_dev_done *d = &vq->done[c->seq & vq->done_mask];

	vq->owner[c->id] = OWNER_HELD;
	*d = (struct virtq_dev_done){.written = written, .id = c->id, .more = c->more, .ready = 1};
	for (d = &vq->done[vq->seq_used & vq->done_mask]; d->ready;
	     d = &vq->done[vq->seq_used & vq->done_mask]) {
		d->ready = 0;
		vq->seq_used++;
		vq->owner[d->id] = OWNER_NONE;
		if (vq->track != NULL)
			vq->track->used(vq, d->id);
		use(vq, d->id, d->more, d->written);
	}
}

static void note_used(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vq->track->used(vq, chains[i].id);
}

/* Push chains of whatever kind, of whatever maps. */
NOINLINE int push_any(struct virtq_dev *vq, const struct virtq_chain *chains,
                      const uint32_t *written, uint32_t n)
{
	int err = take_back(vq, chains, written, n);

	if (err != 0)
		return err;
	if (vq->broken)
		return VIRTQ_EBROKEN;
	for (uint32_t i = 0; i < n; i++) {
		if (vq->in_order)
			use_in_order(vq, &chains[i], written[i]);
		else
			use(vq, chains[i].id, chains[i].more, written[i]);
	}
	if (vq->track != NULL && !vq->in_order)
		note_used(vq, chains, n);
	return 0;
}

int virtq_dev_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
                   uint32_t n)
{
#ifdef DEV_BURSTS
	if (likely(dev_bursts(vq) && !vq->broken && !vq->in_order && !dev_logging(vq)) &&
	    LAYOUT(vq, push, vq, chains, written, n) == 0) {
		if (unlikely(vq->track != NULL))
			note_used(vq, chains, n);
		return 0;
	}
#endif
	return push_any(vq, chains, written, n);
}

int virtq_dev_release(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	return take_back(vq, chains, NULL, n);
}

void virtq_dev_publish(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return;
	if (unlikely(vq->dma != NULL))
		virtq_dma_publish(vq);
	else if (unlikely(vq->track != NULL))
		vq->track->publish(vq);
	else
		LAYOUT(vq, publish, vq);
}

int virtq_dev_should_interrupt(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return 0;
	if (unlikely(vq->dma != NULL))
		return virtq_dma_should_interrupt(vq);
	return LAYOUT(vq, should_interrupt, vq);
}

int virtq_dev_arm(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (unlikely(vq->dma != NULL))
		return virtq_dma_arm(vq);
	if (unlikely(vq->track != NULL) && vq->track->left(vq) > 0)
		return 1;
	return LAYOUT(vq, arm, vq);
}

void virtq_dev_disarm(struct virtq_dev *vq)
{
	if (vq->broken || !vq->armed)
		return;
	if (vq->dma != NULL)
		virtq_dma_disarm(vq);
	else
		LAYOUT(vq, disarm, vq);
}

int virtq_dev_notify_data(const struct virtq_dev *vq, uint32_t data)
{
	uint16_t next = (uint16_t)(data >> 16);

	if (vq->packed)
		return next != (vq->avail | (vq->avail_wrap ? VIRTQ_STATE_WRAP : 0));
	return next != vq->avail;
}

void dev_break(struct virtq_dev *vq, int reason, uint16_t head)
{
	if (vq->broken == DEV_BROKEN)
		return;
	vq->broken = DEV_BROKEN;
	vq->fault = (struct virtq_fault){.reason = (uint16_t)reason, .head = head, .avail = vq->avail};
}

void virtq_dev_break(struct virtq_dev *vq, uint16_t head)
{
	dev_break(vq, VIRTQ_FAULT_DEVICE, head);
}

int virtq_dev_fault(const struct virtq_dev *vq, struct virtq_fault *out)
{
	if (vq->broken != DEV_BROKEN)
		return 0;
	if (out != NULL)
		*out = vq->fault;
	return 1;
}

/* What we write to the ring is marked after it is written: a reader of the log that comes in between must find it. */
static void mark_ring(struct virtq_dev *vq, uint8_t *part, uint32_t offset, uint32_t len)
{
	struct virtq_iov piece = {part + offset, len};

	virtq_mem_mark_iov(dev_mem(vq), &piece, 1);
}

void dev_mark_device_area(struct virtq_dev *vq, uint32_t offset, uint32_t len)
{
	struct virtq_dirty *d = mem_log(dev_mem(vq));

	if (!vq->used_log_set)
		mark_ring(vq, vq->device, offset, len);
	else if (d != NULL)
		virtq_dirty_mark(d, vq->used_log + offset, len);
}

void dev_mark_places(struct virtq_dev *vq, uint32_t first, uint32_t n)
{
	uint32_t end = vq->size - first;

	if (n > vq->size)
		n = vq->size;
	mark_ring(vq, vq->desc, first * VIRTQ_DESC_BYTES, (n < end ? n : end) * VIRTQ_DESC_BYTES);
	if (n > end)
		mark_ring(vq, vq->desc, 0, (n - end) * VIRTQ_DESC_BYTES);
}

void virtq_dev_dma_done(struct virtq_dev *vq, uint32_t tag, int result)
{
	if (vq->dma != NULL)
		virtq_dma_done(vq, tag, result);
}

void virtq_dev_dma_count(const struct virtq_dev *vq, struct virtq_dma_count *out)
{
	*out = (struct virtq_dma_count){0};
	if (vq->dma != NULL)
		virtq_dma_count(vq, out);
}

#endif
