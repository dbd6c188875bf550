/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the packed ring (VIRTIO 1.4 section 2.8): what we have used. */
#include "dev.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_PACKED)

/*
 * Write a used descriptor. The first one since the last publish keeps its old flags until then, so that the driver,
 * which reads in ring order, sees all of them at once.
 */
static void used_store(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	uint8_t *p = packed_desc(vq, vq->used);
	uint16_t flags = vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;

	if (written > 0)
		flags |= VIRTQ_DESC_WRITE;
	shared_store32(p + DESC_LEN, written);
	shared_store16(p + DESC_ID, id);
	if (vq->held) {
		shared_store16(p + DESC_FLAGS, flags);
		cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	} else {
		vq->held = 1;
		vq->held_flags = flags;
		vq->held_place = vq->used;
	}
	advance(vq, &vq->used, &vq->used_wrap, more + 1u);
}

static void slots_back(struct virtq_dev *vq, uint32_t n)
{
	vq->slots_out = (uint16_t)(vq->slots_out - n);
	vq->held_slots = (uint16_t)(vq->held_slots + n);
}

void packed_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	used_store(vq, id, more, written);
	slots_back(vq, more + 1u);
}

#ifdef DEV_BURSTS
/* Take chains of one place each off the list of those that are out, up to the first that is another. How many. */
NOINLINE uint32_t push_take(struct virtq_dev *vq, const struct virtq_chain *c,
                            const uint32_t *written, uint32_t n)
{
	const struct virtq_chain *first = c, *last = c + n;
	size_t size = vq->size;
	uint8_t *owner = vq->owner;

	UNROLLED
	for (; c != last; c++, written++) {
		size_t id = chain_id_plain(c);

		if (unlikely(!push_plain_ok(owner, size, c, id, *written)))
			break;
		owner[id] = OWNER_NONE;
	}
	return (uint32_t)(c - first);
}

/* Likewise, of any number of places: 0, or VIRTQ_EINVAL with nothing changed, and what was taken before given back. */
NOINLINE int push_take_rest(struct virtq_dev *vq, const struct virtq_chain *chains,
                            const uint32_t *written, uint32_t i, uint32_t n)
{
	uint8_t *owner = vq->owner;
	size_t size = vq->size;

	for (; i < n; i++) {
		const struct virtq_chain *c = &chains[i];
		size_t id = c->id;

		if (unlikely(!push_plain_ok(owner, size, c, id, written[i]))) {
			while (i-- > 0)
				owner[chains[i].id] = OWNER_NOW;
			return VIRTQ_EINVAL;
		}
		owner[id] = OWNER_NONE;
	}
	return 0;
}

/* What the used descriptors of a lap say in their upper half besides WRITE. */
static inline uint32_t used_lap(const struct virtq_dev *vq)
{
	return (vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0u) << 16;
}

static inline void used_write(uint8_t *p, uint32_t lap, uint32_t id, uint32_t len)
{
	shared_store32(p + DESC_LEN, len);
	shared_store32(p + DESC_ID, (len > 0 ? lap | (uint32_t)VIRTQ_DESC_WRITE << 16 : lap) | id);
}

/* Of the first one since the last publish the flags are held back; so many were written here. */
static inline uint32_t used_hold(struct virtq_dev *vq, uint8_t *p, uint32_t lap, uint32_t id,
                                 uint32_t len)
{
	if (vq->held)
		return 0;
	shared_store32(p + DESC_LEN, len);
	shared_store16(p + DESC_ID, (uint16_t)id);
	vq->held = 1;
	vq->held_flags = (uint16_t)(lap >> 16 | (len > 0 ? VIRTQ_DESC_WRITE : 0u));
	vq->held_place = vq->used;
	return 1;
}

/* Write used descriptors for n chains of one place each, which end no later than the ring does; at least one. */
NOINLINE void push_plain(struct virtq_dev *vq, const struct virtq_chain *c, const uint32_t *written,
                         uint32_t n)
{
	uint32_t lap = used_lap(vq), held;
	uint8_t *p = packed_desc(vq, vq->used);
	const struct virtq_chain *last = c + n;

	held = used_hold(vq, p, lap, c->id, *written);
	c += held;
	written += held;
	p += held * (size_t)VIRTQ_DESC_BYTES;
	UNROLLED
	for (; c != last; c++, written++) {
		used_write(p, lap, (uint32_t)chain_id_plain(c), *written);
		p += VIRTQ_DESC_BYTES;
	}
	advance(vq, &vq->used, &vq->used_wrap, n);
}

/* The same for chains of any number of places, to the end of the ring and on. */
NOINLINE void push_several(struct virtq_dev *vq, const struct virtq_chain *c,
                           const uint32_t *written, uint32_t n)
{
	uint8_t *ring = vq->desc, *p = packed_desc(vq, vq->used), *end = packed_desc(vq, vq->size);
	uint32_t lap = used_lap(vq), bytes = (uint32_t)(end - ring);

	for (const struct virtq_chain *last = c + n; c != last; c++, written++) {
		if (likely(vq->held) || !used_hold(vq, p, lap, c->id, *written))
			used_write(p, lap, c->id, *written);
		p += (c->more + 1u) * (size_t)VIRTQ_DESC_BYTES;
		if (unlikely(p >= end)) {
			p -= bytes;
			lap ^= (uint32_t)(VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED) << 16;
			vq->used_wrap ^= 1;
		}
	}
	vq->used = (uint16_t)((size_t)(p - ring) / VIRTQ_DESC_BYTES);
}

/* The ring is not touched before all of them are known to be out. */
int packed_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
                uint32_t n)
{
	uint32_t plain = n > 1 ? push_take(vq, chains, written, n) : 0, end;
	uint32_t used = vq->used, wrap = vq->used_wrap;

	if (plain < n) {
		if (push_take_rest(vq, chains, written, plain, n) != 0)
			return VIRTQ_EINVAL;
		push_several(vq, chains, written, n);
	} else {
		for (uint32_t i = 0; i < n; i += end) {
			end = (uint32_t)vq->size - vq->used;
			if (end > n - i)
				end = n - i;
			push_plain(vq, &chains[i], &written[i], end);
		}
	}
	slots_back(vq, (uint32_t)vq->used + (vq->used_wrap != wrap ? vq->size : 0) - used);
	chains_back(vq, n);
	return 0;
}
#endif

void packed_publish(struct virtq_dev *vq)
{
	uint8_t *p = packed_desc(vq, vq->held_place);

	if (!vq->held)
		return;
	/* Buffers and the other used descriptors before these flags; pairs with the driver's barrier after them. */
	write_barrier(vq->platform);
	shared_store16(p + DESC_FLAGS, vq->held_flags);
	cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	/* All of them: the log may have been turned on since they were pushed. */
	if (dev_logging(vq))
		dev_mark_places(vq, vq->held_place, vq->held_slots);
	vq->held = 0;
	if (vq->held_slots > UINT16_MAX - vq->unsignalled)
		vq->signalled_known = 0;
	else
		vq->unsignalled = (uint16_t)(vq->unsignalled + vq->held_slots);
	vq->held_slots = 0;
}

/* The used place that the driver can see: what is held back is not part of it. */
static uint16_t shown_place(const struct virtq_dev *vq)
{
	uint16_t place = vq->used;
	int wrap = vq->used_wrap;

	if (vq->held_slots > place) {
		place = (uint16_t)(place + vq->size);
		wrap = !wrap;
	}
	return place_with_wrap((uint16_t)(place - vq->held_slots), wrap);
}

int packed_should_interrupt(struct virtq_dev *vq)
{
	uint16_t n = vq->unsignalled;
	int known = vq->signalled_known;
	uint32_t event;

	if (n == 0 && known)
		return 0;
	vq->unsignalled = 0;
	vq->signalled_known = 1;
	/* Our flags before the driver's wish; pairs with the driver's barrier between its wish and our flags. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->driver, VIRTQ_PACKED_EVENT_BYTES);
	event = shared_load32(vq->driver); /* place and flags together, so that they belong together */
	return packed_wanted(vq, event, shown_place(vq), n, known);
}

#endif
