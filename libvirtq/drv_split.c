/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side of the split ring (VIRTIO 1.4 section 2.7). */
#include "drv.h"

#if !defined(VIRTQ_NO_DRIVER) && !defined(VIRTQ_NO_SPLIT)

/* available ring: flags, idx, ring[size], used_event. We write it. */
static inline uint8_t *avail_entry(const struct virtq_drv *vq, uint16_t i)
{
	return vq->driver + 4 + 2 * (size_t)(i & (vq->size - 1));
}

static inline uint8_t *used_event(const struct virtq_drv *vq)
{
	return vq->driver + 4 + 2 * (size_t)vq->size;
}

/* used ring: flags, idx, ring[size], avail_event. The device writes it. */
static inline const uint8_t *used_entry(const struct virtq_drv *vq, uint16_t i)
{
	return vq->device + 4 + VIRTQ_USED_ELEM_BYTES * (size_t)(i & (vq->size - 1));
}

static inline const uint8_t *avail_event(const struct virtq_drv *vq)
{
	return vq->device + 4 + VIRTQ_USED_ELEM_BYTES * (size_t)vq->size;
}

void drv_split_start(struct virtq_drv *vq)
{
	(void)vq; /* zeros all over are a fresh ring */
}

/* Write the descriptors of a buffer. Returns the one that comes after them. */
static uint16_t fill_direct(struct virtq_drv *vq, const struct drv_buffer *b, uint16_t head)
{
	uint16_t at = head;

	for (uint32_t i = 0; i < b->count; i++) {
		uint16_t flags = drv_desc_flags(b, i), after = vq->slots[at].next, next = 0;
		uint8_t *p = vq->desc + (size_t)at * VIRTQ_DESC_BYTES;

		if (i + 1 < b->count) {
			flags |= VIRTQ_DESC_NEXT;
			next = after;
		}
		drv_desc_store(p, b->seg[i].addr, (uint32_t)b->seg[i].len, flags, next);
		cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
		at = after;
	}
	return at;
}

static uint16_t fill_indirect(struct virtq_drv *vq, const struct drv_buffer *b, uint16_t head)
{
	uint8_t *p = vq->desc + (size_t)head * VIRTQ_DESC_BYTES;

	drv_table_fill(vq, b, head);
	drv_desc_store(p, vq->indirect_addr + drv_table_offset(vq, head), b->count * VIRTQ_DESC_BYTES,
	               VIRTQ_DESC_INDIRECT, 0);
	cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	return vq->slots[head].next;
}

void drv_split_add(struct virtq_drv *vq, const struct drv_buffer *b)
{
	uint16_t head = vq->free_head;

	vq->free_head = b->indirect ? fill_indirect(vq, b, head) : fill_direct(vq, b, head);
	drv_out(vq, b, head, b->indirect ? 1 : b->count);
	shared_store16(avail_entry(vq, vq->avail), head);
	cache_clean(vq->platform, avail_entry(vq, vq->avail), 2);
	vq->avail++;
	vq->unshown++;
}

void drv_split_publish(struct virtq_drv *vq)
{
	/* Buffers, descriptors and entries before the index; pairs with the device's barrier after reading it. */
	write_barrier(vq->platform);
	shared_store16(vq->driver + 2, vq->avail);
	cache_clean(vq->platform, vq->driver, 4);
	vq->avail_shown = vq->avail;
}

int drv_split_should_kick(struct virtq_drv *vq, uint32_t n)
{
	if (!vq->event_idx) {
		cache_invalidate(vq->platform, vq->device, 2);
		return (shared_load16(vq->device) & VIRTQ_USED_NO_NOTIFY) == 0;
	}
	if (n > UINT16_MAX)
		return 1;
	cache_invalidate(vq->platform, avail_event(vq), 2);
	return event_passed(shared_load16(avail_event(vq)), vq->avail_shown,
	                    (uint16_t)(vq->avail_shown - n));
}

/* Return the descriptors of a buffer that takes n. With IN_ORDER the next ones in turn are free by themselves. */
static void free_chain(struct virtq_drv *vq, uint16_t head, uint16_t n)
{
	uint16_t last = head;

	while (--n > 0)
		last = vq->slots[last].next;
	vq->slots[last].next = vq->free_head;
	vq->free_head = head;
}

/* Read the used entry at our place, once, and check it. */
static int used_load(struct virtq_drv *vq, uint16_t *id, uint32_t *written)
{
	const uint8_t *p = used_entry(vq, vq->used);
	uint32_t raw;

	cache_invalidate(vq->platform, p, VIRTQ_USED_ELEM_BYTES);
	raw = shared_load32(p);
	*written = shared_load32(p + 4);
	*id = (uint16_t)raw;
	return drv_used_ok(vq, raw, *written);
}

static int take_one(struct virtq_drv *vq, struct virtq_done *out)
{
	uint32_t written;
	uint16_t id, n;

	if (unlikely(!used_load(vq, &id, &written)))
		return 0;
	n = vq->slots[id].ndesc;
	drv_done(vq, id, written, out);
	free_chain(vq, id, n);
	return 1;
}

/* IN_ORDER: the entry at the place of a batch's first buffer names its last one. */
static int take_in_order(struct virtq_drv *vq, struct virtq_done *out)
{
	uint16_t head = vq->oldest, n;

	if (!vq->in_batch) {
		if (unlikely(!used_load(vq, &vq->batch_id, &vq->batch_len)))
			return 0;
		vq->in_batch = 1;
	}
	n = vq->slots[head].ndesc;
	drv_done(vq, head, drv_batch_written(vq), out);
	vq->oldest = (uint16_t)((head + n) & (vq->size - 1));
	return 1;
}

int drv_split_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max)
{
	uint16_t idx, ready;
	uint32_t taken = 0;

	cache_invalidate(vq->platform, vq->device, 4);
	idx = shared_load16(vq->device + 2);
	ready = (uint16_t)(idx - vq->used);
	if (unlikely(ready > (uint16_t)(vq->avail_shown - vq->used))) {
		vq->broken = 1;
		return 0;
	}
	/* Entries and buffers after the index; pairs with the device's barrier before writing it. */
	read_barrier(vq->platform);
	if (max > ready)
		max = ready;
	while (taken < max) {
		if (unlikely(
				!(vq->in_order ? take_in_order(vq, &out[taken]) : take_one(vq, &out[taken])))) {
			vq->broken = 1;
			break;
		}
		taken++;
		vq->used++;
	}
	/* The index moves on by whole batches. */
	if (unlikely(vq->in_batch) && vq->used == idx)
		vq->broken = 1;
	return (int)taken;
}

int drv_split_arm(struct virtq_drv *vq)
{
	if (vq->event_idx) {
		shared_store16(used_event(vq), vq->used);
		cache_clean(vq->platform, used_event(vq), 2);
	} else {
		shared_store16(vq->driver, 0);
		cache_clean(vq->platform, vq->driver, 2);
	}
	/* Our wish before the device's index; pairs with the device's barrier between its index and our wish. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->device, 4);
	return shared_load16(vq->device + 2) != vq->used;
}

void drv_split_disarm(struct virtq_drv *vq)
{
	/* With EVENT_IDX flags must stay 0 (2.7.7.1), and an event index that is not moved on silences by itself. */
	if (vq->event_idx)
		return;
	shared_store16(vq->driver, VIRTQ_AVAIL_NO_INTERRUPT);
	cache_clean(vq->platform, vq->driver, 2);
}

#endif
