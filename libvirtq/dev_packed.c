/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the packed ring (VIRTIO 1.4 section 2.8). */
#include "dev.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_PACKED)

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

/* Nothing is available at the avail place. */
#define NOTHING (-1)

/* How the next list begins, once its flags are read. next->err is NOTHING where there is none. */
static void next_rest(struct virtq_dev *vq, const uint8_t *p, uint16_t flags, struct next *next)
{
	next->err = NOTHING;
	if (!is_avail(flags, vq->avail_wrap))
		return;
	/* The rest after the flags; pairs with the driver's barrier before it writes them. */
	read_barrier(vq->platform);
	next->d = (struct desc){shared_load64(p), shared_load32(p + DESC_LEN), flags,
	                        shared_load16(p + DESC_ID)};
	next->err = 0;
}

static void next_load(struct virtq_dev *vq, struct next *next)
{
	const uint8_t *p = desc_at(vq, vq->avail);

	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	next_rest(vq, p, shared_load16(p + DESC_FLAGS), next);
}

/* Follow a list from its first descriptor. */
static int walk_list(struct walk *w, const struct desc *d, struct list *l)
{
	struct virtq_dev *vq = w->vq;
	int err;

	*l = (struct list){.id = d->extra, .slots = 1};
	if (unlikely(vq->slots_out >= vq->size))
		return VIRTQ_FAULT_TOO_MANY; /* it was used for what is still out */
	if (d->flags & VIRTQ_DESC_INDIRECT) {
		if (d->flags & VIRTQ_DESC_NEXT)
			return VIRTQ_FAULT_INDIRECT_FLAGS;
		return chain_indirect(w, d, 1);
	}
	err = chain_add(w, d);
	if (err == 0 && d->flags & VIRTQ_DESC_NEXT)
		err = walk_rest(w, l);
	return err;
}

#ifdef DEV_BURSTS
/* Up to n plain chains up to the end of the ring, as for a split one. Where it ends early, next is how it goes on. */
NOINLINE uint32_t pop_plain(struct virtq_dev *vq, struct virtq_chain *chains, struct virtq_iov *iov,
                            uint32_t n, struct next *next)
{
	const struct virtq_mem *mem = dev_mem(vq);
	const uint8_t *first = desc_at(vq, vq->avail), *p = first;
	const uint8_t *end = p + (size_t)n * VIRTQ_DESC_BYTES;
	const size_t plain = vq->avail_wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED;
	uint32_t shift = mem->index_shift, seq = vq->seq;
	uint8_t *owner = vq->owner;
	size_t size = vq->size;

	for (; p != end; p += VIRTQ_DESC_BYTES, chains++, iov++, seq++) {
		size_t flags = shared_load16(p + DESC_FLAGS) ^ plain, id; /* WRITE or nothing is left */
		uint64_t addr, len;
		void *base;

		forget_origin(flags);
		if (unlikely((flags & ~(size_t)VIRTQ_DESC_WRITE) != 0)) {
			next_rest(vq, p, (uint16_t)(flags ^ plain), next);
			break;
		}
		/* The rest after the flags; pairs with the driver's barrier before it writes them. */
		read_barrier(NULL);
		addr = shared_load64(p);
		len = shared_load32(p + DESC_LEN);
		id = shared_load16(p + DESC_ID);
		if (unlikely(id >= size) || unlikely(owner[id] != OWNER_NONE) ||
		    unlikely(!mem_plain(mem, shift, addr, len, &base))) {
			next->err = 0;
			next->d = (struct desc){addr, (uint32_t)len, (uint16_t)(flags ^ plain), (uint16_t)id};
			break;
		}
		owner[id] = OWNER_NOW;
		chain_fill_plain(chains, iov, base, len, flags, id, seq);
	}
	n = (uint32_t)((size_t)(p - first) / VIRTQ_DESC_BYTES);
	advance(vq, &vq->avail, &vq->avail_wrap, n);
	vq->slots_out = (uint16_t)(vq->slots_out + n);
	vq->seq = seq;
	return n;
}

/* How many places there are for plain chains before the end of the ring, or before those that are out. */
static uint32_t plain_room(const struct virtq_dev *vq, uint32_t n)
{
	uint32_t end = (uint32_t)vq->size - vq->avail, left = (uint32_t)vq->size - vq->slots_out;

	if (!dev_bursts(vq))
		return 0;
	if (n > end)
		n = end;
	return n < left ? n : left;
}
#endif

int packed_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov)
{
	struct walk w = {.vq = vq, .mem = dev_mem(vq), .iov = iov, .left = niov};
#ifdef DEV_BURSTS
	int walked = 0;
#endif
	struct list l = {.id = 0xffff};
	struct next next = {.err = 0};
	uint32_t popped = 0;
	int err = 0;

	while (popped < max) {
		struct virtq_iov *first;
#ifdef DEV_BURSTS
		uint32_t room = walked ? 0 : plain_room(vq, max - popped < w.left ? max - popped : w.left);
		uint32_t plain = room > 0 ? pop_plain(vq, &chains[popped], w.iov, room, &next) : 0;

		popped += plain;
		w.iov += plain;
		w.left -= plain;
		if (room > 0 && plain == room)
			continue;
		if (room == 0)
			next_load(vq, &next);
		/* Chains come in kinds: after one that is not plain the short way is not tried. */
		walked = (next.d.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) != 0;
#else
		next_load(vq, &next);
#endif
		first = w.iov;
		walk_begin(&w);
		err = next.err;
		if (err == 0)
			err = walk_list(&w, &next.d, &l);
		if (err == 0)
			err = head_check(vq, l.id);
		if (err == 0)
			err = pieces_check(&w);
		if (unlikely(err != 0))
			break;
		chain_fill(&chains[popped], &w, first, l.id, (uint16_t)(l.slots - 1));
		chain_out(vq, l.id);
		advance(vq, &vq->avail, &vq->avail_wrap, l.slots);
		vq->slots_out = (uint16_t)(vq->slots_out + l.slots);
		popped++;
	}
	chains_out(vq, popped);
	return err == 0 || err == NOTHING ? (int)popped : pop_failed(vq, err, l.id, popped);
}

void packed_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < n; i++)
		slots += chains[i].more + 1u;
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
static void used_store(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	uint8_t *p = desc_at(vq, vq->used);
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
/*
 * Write used descriptors for n chains of one place each, which end no later than the ring does, none of them the first
 * since the last publish.
 */
NOINLINE void push_plain(struct virtq_dev *vq, const struct virtq_chain *c, const uint32_t *written,
                         uint32_t n)
{
	uint32_t flags = (vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0u) << 16;
	uint32_t wrote = flags | (uint32_t)VIRTQ_DESC_WRITE << 16;
	uint8_t *p = desc_at(vq, vq->used);

	UNROLLED
	for (const struct virtq_chain *last = c + n; c != last; c++, written++) {
		uint32_t len = *written;

		shared_store32(p + DESC_LEN, len);
		shared_store32(p + DESC_ID, (len > 0 ? wrote : flags) | (uint32_t)chain_id_plain(c));
		p += VIRTQ_DESC_BYTES;
	}
	advance(vq, &vq->used, &vq->used_wrap, n);
}

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
static int push_take_rest(struct virtq_dev *vq, const struct virtq_chain *chains,
                          const uint32_t *written, uint32_t i, uint32_t n)
{
	for (; i < n; i++) {
		const struct virtq_chain *c = &chains[i];

		if (unlikely(!push_plain_ok(vq->owner, vq->size, c, c->id, written[i]))) {
			while (i-- > 0)
				vq->owner[chains[i].id] = OWNER_NOW;
			return VIRTQ_EINVAL;
		}
		vq->owner[c->id] = OWNER_NONE;
	}
	return 0;
}

/* The ring is not touched before all of them are known to be out. */
int packed_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
                uint32_t n)
{
	uint32_t plain = n > 1 ? push_take(vq, chains, written, n) : 0, i = 0;
	uint16_t used = vq->used;
	uint8_t wrap = vq->used_wrap;

	if (plain < n && push_take_rest(vq, chains, written, plain, n) != 0)
		return VIRTQ_EINVAL;
	while (i < n) {
		uint32_t end = (uint32_t)vq->size - vq->used;

		if (vq->held && i < plain) {
			if (end > plain - i)
				end = plain - i;
			push_plain(vq, &chains[i], &written[i], end);
			i += end;
		} else {
			used_store(vq, chains[i].id, chains[i].more, written[i]);
			i++;
		}
	}
	slots_back(vq, (uint32_t)vq->used + (vq->used_wrap != wrap ? vq->size : 0) - used);
	chains_back(vq, n);
	return 0;
}
#endif

void packed_publish(struct virtq_dev *vq)
{
	uint8_t *p = desc_at(vq, vq->held_place);

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

static void event_store(struct virtq_dev *vq, uint16_t place, uint32_t flags)
{
	shared_store32(vq->device, flags << 16 | place);
	cache_clean(vq->platform, vq->device, VIRTQ_PACKED_EVENT_BYTES);
	if (dev_logging(vq))
		dev_mark_device_area(vq, 0, VIRTQ_PACKED_EVENT_BYTES);
}

int packed_arm(struct virtq_dev *vq)
{
	const uint8_t *flags = desc_at(vq, vq->avail) + DESC_FLAGS;

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
