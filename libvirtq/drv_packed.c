/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side of the packed ring (VIRTIO 1.4 section 2.8). */
#include "drv.h"

#if !defined(VIRTQ_NO_DRIVER) && !defined(VIRTQ_NO_PACKED)

static inline uint8_t *desc_at(const struct virtq_drv *vq, uint16_t place)
{
	return vq->desc + (size_t)place * VIRTQ_DESC_BYTES;
}

static inline uint16_t place_with_wrap(uint16_t place, int wrap)
{
	return (uint16_t)(place | (wrap ? VIRTQ_STATE_WRAP : 0));
}

/* Move a place on by n <= size steps; a whole lap ends where it began, with the counter turned. */
static inline void advance(const struct virtq_drv *vq, uint16_t *place, uint8_t *wrap, uint32_t n)
{
	uint32_t to = *place + n;

	if (to >= vq->size) {
		to -= vq->size;
		*wrap ^= 1;
	}
	*place = (uint16_t)to;
}

void drv_packed_start(struct virtq_drv *vq)
{
	vq->avail_wrap = 1;
	vq->used_wrap = 1;
	vq->avail_shown = VIRTQ_STATE_WRAP;
}

/* Nothing of the descriptor at this place can be seen as available before its flags are written. */
static void place_store(struct virtq_drv *vq, uint64_t addr, uint32_t len, uint16_t id,
                        uint16_t flags)
{
	uint8_t *p = desc_at(vq, vq->avail);

	flags |= vq->avail_wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED;
	if (vq->held) {
		/* The device reads in ring order and stops at the one that is held. */
		drv_desc_store(p, addr, len, id, flags);
	} else {
		shared_store64(p, addr);
		shared_store32(p + DESC_LEN, len);
		shared_store16(p + DESC_ID, id);
		vq->held = 1;
		vq->held_flags = flags;
		vq->held_place = vq->avail;
	}
	cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	advance(vq, &vq->avail, &vq->avail_wrap, 1);
}

/*
 * With IN_ORDER a buffer's id is the place of its head: buffers come back in the order of their places, so that the
 * oldest one's is where the device uses next. Otherwise ids are taken from a list.
 */
static uint16_t id_take(struct virtq_drv *vq)
{
	uint16_t id = vq->in_order ? vq->avail : vq->free_head;

	vq->free_head = vq->slots[id].next;
	return id;
}

void drv_packed_add(struct virtq_drv *vq, const struct drv_buffer *b)
{
	uint16_t id = id_take(vq);
	uint32_t n = b->indirect ? 1 : b->count;

	if (b->indirect) {
		drv_table_fill(vq, b, id);
		place_store(vq, vq->indirect_addr + drv_table_offset(vq, id), b->count * VIRTQ_DESC_BYTES,
		            id, VIRTQ_DESC_INDIRECT);
	} else {
		for (uint32_t i = 0; i < n; i++) {
			uint16_t next = i + 1 < n ? VIRTQ_DESC_NEXT : 0;

			place_store(vq, b->seg[i].addr, (uint32_t)b->seg[i].len, id,
			            drv_desc_flags(b, i) | next);
		}
	}
	drv_out(vq, b, id, n);
	vq->unshown = (uint16_t)(vq->unshown + n);
}

void drv_packed_publish(struct virtq_drv *vq)
{
	uint8_t *p = desc_at(vq, vq->held_place);

	/* Buffers and descriptors before these flags; pairs with the device's barrier after reading them. */
	write_barrier(vq->platform);
	shared_store16(p + DESC_FLAGS, vq->held_flags);
	cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	vq->held = 0;
	vq->avail_shown = place_with_wrap(vq->avail, vq->avail_wrap);
}

int drv_packed_should_kick(struct virtq_drv *vq, uint32_t n)
{
	uint16_t place, shown = vq->avail_shown & (uint16_t)~VIRTQ_STATE_WRAP;
	uint32_t event, flags;

	cache_invalidate(vq->platform, vq->device, VIRTQ_PACKED_EVENT_BYTES);
	event = shared_load32(vq->device); /* place and flags together, so that they belong together */
	flags = event >> 16 & 3;
	if (flags == VIRTQ_EVENT_DISABLE)
		return 0;
	if (flags != VIRTQ_EVENT_DESC || !vq->event_idx || n >= vq->size)
		return 1;
	place = event & (uint16_t)~VIRTQ_STATE_WRAP;
	if (((event ^ vq->avail_shown) & VIRTQ_STATE_WRAP) != 0)
		place = (uint16_t)(place - vq->size);
	return event_passed(place, shown, (uint16_t)(shown - n));
}

/* AVAIL and USED both equal our wrap counter (2.8.1). */
static inline int is_used(uint16_t flags, int wrap)
{
	const uint16_t both = VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;

	return (flags & both) == (wrap ? both : 0);
}

/* Whether there is a used descriptor at our place; with these flags. */
static int is_ready(struct virtq_drv *vq, uint16_t *flags)
{
	const uint8_t *p = desc_at(vq, vq->used);

	/* Without a published descriptor there, flags are what is left of an earlier lap. */
	if ((uint32_t)vq->free_count + vq->unshown >= vq->size)
		return 0;
	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	*flags = shared_load16(p + DESC_FLAGS);
	return is_used(*flags, vq->used_wrap);
}

/*
 * Read the used descriptor at our place, once, and check it. Where nothing can be written, a used descriptor without
 * WRITE has a length that means nothing (2.8.5): some devices leave there what they read.
 */
static int used_load(struct virtq_drv *vq, uint16_t flags, uint16_t *id, uint32_t *written)
{
	const uint8_t *p = desc_at(vq, vq->used);

	/* The rest and the buffers after the flags; pairs with the device's barrier before writing them. */
	read_barrier(vq->platform);
	*written = shared_load32(p + DESC_LEN);
	*id = shared_load16(p + DESC_ID);
	if (!(flags & VIRTQ_DESC_WRITE) && *id < vq->size && vq->slots[*id].writable == 0)
		*written = 0;
	return drv_used_ok(vq, *id, *written);
}

static int take_one(struct virtq_drv *vq, uint16_t flags, struct virtq_done *out)
{
	uint32_t written;
	uint16_t id;

	if (unlikely(!used_load(vq, flags, &id, &written)))
		return 0;
	advance(vq, &vq->used, &vq->used_wrap, vq->slots[id].ndesc);
	drv_done(vq, id, written, out);
	vq->slots[id].next = vq->free_head;
	vq->free_head = id;
	return 1;
}

/* IN_ORDER: the descriptor at the place of a batch's first buffer names its last one. */
static int take_in_order(struct virtq_drv *vq, uint16_t flags, struct virtq_done *out)
{
	if (!vq->in_batch) {
		if (unlikely(!used_load(vq, flags, &vq->batch_id, &vq->batch_len)))
			return 0;
		vq->in_batch = 1;
	}
	vq->oldest = vq->used;
	advance(vq, &vq->used, &vq->used_wrap, vq->slots[vq->oldest].ndesc);
	drv_done(vq, vq->oldest, drv_batch_written(vq), out);
	return 1;
}

int drv_packed_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max)
{
	uint32_t taken = 0;
	uint16_t flags = 0;

	while (taken < max && (vq->in_batch || is_ready(vq, &flags))) {
		if (unlikely(!(vq->in_order ? take_in_order(vq, flags, &out[taken])
		                            : take_one(vq, flags, &out[taken])))) {
			vq->broken = 1;
			break;
		}
		taken++;
	}
	return (int)taken;
}

static void event_store(struct virtq_drv *vq, uint16_t place, uint32_t flags)
{
	shared_store32(vq->driver, flags << 16 | place);
	cache_clean(vq->platform, vq->driver, VIRTQ_PACKED_EVENT_BYTES);
}

int drv_packed_arm(struct virtq_drv *vq)
{
	uint16_t flags;

	if (vq->event_idx)
		event_store(vq, place_with_wrap(vq->used, vq->used_wrap), VIRTQ_EVENT_DESC);
	else
		event_store(vq, 0, VIRTQ_EVENT_ENABLE);
	/* Our wish before the device's flags; pairs with the device's barrier between its flags and our wish. */
	full_barrier(vq->platform);
	return vq->in_batch || is_ready(vq, &flags);
}

void drv_packed_disarm(struct virtq_drv *vq)
{
	event_store(vq, 0, VIRTQ_EVENT_DISABLE);
}

#endif
