/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the packed ring (VIRTIO 1.4 section 2.8). */
#include "dev.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_PACKED)

#define LEN_AT   8
#define ID_AT    12
#define FLAGS_AT 14

static inline uint8_t *desc_at(const struct virtq_dev *vq, uint16_t place)
{
	return vq->desc + (size_t)place * VIRTQ_DESC_BYTES;
}

int packed_start(struct virtq_dev *vq, const struct virtq_state *s)
{
	vq->avail = s->avail & (uint16_t)~VIRTQ_STATE_WRAP;
	vq->avail_wrap = (s->avail & VIRTQ_STATE_WRAP) != 0;
	vq->used = s->used & (uint16_t)~VIRTQ_STATE_WRAP;
	vq->used_wrap = (s->used & VIRTQ_STATE_WRAP) != 0;
	/* Slots between used and avail are out elsewhere; they count as taken. */
	vq->slots_out =
		(uint16_t)(vq->avail + (vq->avail_wrap != vq->used_wrap ? vq->size : 0) - vq->used);
	return 0;
}

void packed_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	out->avail = place_with_wrap(vq->avail, vq->avail_wrap);
	out->used = place_with_wrap(vq->used, vq->used_wrap);
}

/* What a walk over the ring has found: the id, and the slots it takes. */
struct list {
	uint16_t id;
	uint16_t slots;
};

/* The rest of a list whose head has NEXT. The id is that of the last descriptor (2.8.6). */
static int walk_rest(struct walk *w, struct list *l)
{
	struct virtq_dev *vq = w->vq;
	uint16_t place = vq->avail;
	uint8_t wrap = vq->avail_wrap;
	struct desc d;

	do {
		int err;

		if ((uint32_t)l->slots + vq->slots_out >= vq->size)
			return VIRTQ_FAULT_TOO_MANY;
		advance(vq, &place, &wrap, 1);
		cache_invalidate(vq->platform, desc_at(vq, place), VIRTQ_DESC_BYTES);
		d = desc_load(desc_at(vq, place), 1);
		err = packed_rest_check(&d, wrap);
		if (err == 0)
			err = chain_add(w, &d);
		if (err != 0)
			return err;
		l->slots++;
	} while (d.flags & VIRTQ_DESC_NEXT);
	l->id = d.extra;
	return 0;
}

/* Walk the list at the avail place. -1: nothing is available there. */
static inline int walk_list(struct walk *w, struct list *l)
{
	struct virtq_dev *vq = w->vq;
	const uint8_t *p = desc_at(vq, vq->avail);
	struct desc d;
	int err;

	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	d.flags = shared_load16(p + FLAGS_AT);
	if (!is_avail(d.flags, vq->avail_wrap))
		return -1;
	/* The rest after the flags; pairs with the driver's barrier before it writes them. */
	read_barrier(vq->platform);
	d.addr = shared_load64(p);
	d.len = shared_load32(p + LEN_AT);
	d.extra = shared_load16(p + ID_AT);
	*l = (struct list){.id = d.extra, .slots = 1};
	if (unlikely(vq->slots_out >= vq->size))
		return VIRTQ_FAULT_TOO_MANY; /* it was used for what is still out */
	if (unlikely(d.flags & VIRTQ_DESC_INDIRECT)) {
		if (d.flags & VIRTQ_DESC_NEXT)
			return VIRTQ_FAULT_INDIRECT_FLAGS;
		return chain_indirect(w, &d, 1);
	}
	err = chain_add(w, &d);
	if (likely(err == 0) && unlikely(d.flags & VIRTQ_DESC_NEXT))
		err = walk_rest(w, l);
	return err;
}

static inline int id_check(const struct virtq_dev *vq, uint16_t id)
{
	if (unlikely(id >= vq->size))
		return VIRTQ_FAULT_HEAD;
	return unlikely(busy_test(vq, id)) ? VIRTQ_FAULT_DUPLICATE : 0;
}

int packed_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov)
{
	struct walk w = {.vq = vq, .mem = dev_mem(vq), .iov = iov, .left = niov};
	uint32_t popped = 0;
	struct list l = {.id = 0xffff};
	int err = 0;

	for (; popped < max; popped++) {
		struct virtq_iov *first = w.iov;

		w.nread = w.nwrite = w.count = 0;
		w.read_bytes = w.write_bytes = 0;
		err = walk_list(&w, &l);
		if (err == 0)
			err = id_check(vq, l.id);
		if (err == 0)
			err = pieces_check(&w);
		if (unlikely(err != 0))
			break;
		chain_fill(&chains[popped], &w, first, l.id, l.slots);
		chain_out(vq, l.id);
		advance(vq, &vq->avail, &vq->avail_wrap, l.slots);
		vq->slots_out = (uint16_t)(vq->slots_out + l.slots);
	}
	vq->inflight = (uint16_t)(vq->inflight + popped);
	vq->maps[vq->cur_map].out += popped;
	return err == 0 || err == -1 ? (int)popped : pop_failed(vq, err, l.id, popped);
}

void packed_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < n; i++)
		slots += chains[i].ndesc;
	if (slots > vq->avail) {
		vq->avail_wrap ^= 1;
		vq->avail = (uint16_t)(vq->avail + vq->size - slots);
	} else {
		vq->avail = (uint16_t)(vq->avail - slots);
	}
	vq->slots_out = (uint16_t)(vq->slots_out - slots);
}

/*
 * Write a used descriptor. The first one since the last publish keeps its old flags until then, so that the driver,
 * which reads in ring order, sees all of them at once.
 */
void packed_use(struct virtq_dev *vq, uint16_t id, uint16_t ndesc, uint32_t written)
{
	uint8_t *p = desc_at(vq, vq->used);
	uint16_t flags = vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;

	if (written > 0)
		flags |= VIRTQ_DESC_WRITE;
	shared_store32(p + LEN_AT, written);
	shared_store16(p + ID_AT, id);
	if (vq->held) {
		shared_store16(p + FLAGS_AT, flags);
		cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	} else {
		vq->held = 1;
		vq->held_flags = flags;
		vq->held_place = vq->used;
	}
	if (dev_logging(vq))
		dev_mark_desc(vq, (uint32_t)vq->used * VIRTQ_DESC_BYTES, VIRTQ_DESC_BYTES);
	advance(vq, &vq->used, &vq->used_wrap, ndesc);
	vq->slots_out = (uint16_t)(vq->slots_out - ndesc);
	vq->held_slots = (uint16_t)(vq->held_slots + ndesc);
}

void packed_publish(struct virtq_dev *vq)
{
	uint8_t *p = desc_at(vq, vq->held_place);

	if (!vq->held)
		return;
	/* Buffers and the other used descriptors before these flags; pairs with the driver's barrier after them. */
	write_barrier(vq->platform);
	shared_store16(p + FLAGS_AT, vq->held_flags);
	cache_clean(vq->platform, p, VIRTQ_DESC_BYTES);
	if (dev_logging(vq))
		dev_mark_desc(vq, (uint32_t)vq->held_place * VIRTQ_DESC_BYTES, VIRTQ_DESC_BYTES);
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

static void event_store(struct virtq_dev *vq, uint16_t place, uint32_t flags)
{
	shared_store32(vq->device, flags << 16 | place);
	cache_clean(vq->platform, vq->device, VIRTQ_PACKED_EVENT_BYTES);
	if (dev_logging(vq))
		dev_mark_device_area(vq, 0, VIRTQ_PACKED_EVENT_BYTES);
}

int packed_arm(struct virtq_dev *vq)
{
	const uint8_t *flags = desc_at(vq, vq->avail) + FLAGS_AT;

	if (vq->event_idx)
		event_store(vq, place_with_wrap(vq->avail, vq->avail_wrap), VIRTQ_EVENT_DESC);
	else
		event_store(vq, 0, VIRTQ_EVENT_ENABLE);
	vq->armed = 1;
	/* Our wish before the driver's flags; pairs with the driver's barrier between its flags and our wish. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, flags, 2);
	return is_avail(shared_load16(flags), vq->avail_wrap);
}

void packed_disarm(struct virtq_dev *vq)
{
	event_store(vq, 0, VIRTQ_EVENT_DISABLE);
	vq->armed = 0;
}

#endif
