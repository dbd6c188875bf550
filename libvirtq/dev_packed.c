/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the packed ring (VIRTIO 1.4 section 2.8): what the driver makes available. */
#include "dev_short.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_PACKED)

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
	next->head = next->d.extra;
	next->err = 0;
}

static void next_load(struct virtq_dev *vq, struct next *next)
{
	const uint8_t *p = packed_desc(vq, vq->avail);

	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	next_rest(vq, p, shared_load16(p + DESC_FLAGS), next);
}

/*
 * Follow a list from a descriptor that was read, l->slots of it come before that. The id is that of the last one
 * (2.8.6).
 */
static int walk_list(struct walk *w, struct desc d, struct list *l)
{
	struct virtq_dev *vq = w->vq;
	uint16_t place = vq->avail;
	uint8_t wrap = vq->avail_wrap;

	if (unlikely((uint32_t)l->slots + vq->slots_out >= vq->size))
		return VIRTQ_FAULT_TOO_MANY; /* it was used for what is still out */
	if (l->slots == 0 && d.flags & VIRTQ_DESC_INDIRECT) {
		l->slots = 1;
		if (d.flags & VIRTQ_DESC_NEXT)
			return VIRTQ_FAULT_INDIRECT_FLAGS;
		return chain_indirect(w, &d, 1);
	}
	advance(vq, &place, &wrap, l->slots);
	for (;;) {
		int err = l->slots > 0 ? packed_rest_check(&d, wrap) : 0;

		if (err == 0)
			err = chain_add(w, &d);
		if (err != 0)
			return err;
		l->slots++;
		if (!(d.flags & VIRTQ_DESC_NEXT))
			break;
		if ((uint32_t)l->slots + vq->slots_out >= vq->size)
			return VIRTQ_FAULT_TOO_MANY;
		advance(vq, &place, &wrap, 1);
		cache_invalidate(vq->platform, packed_desc(vq, place), VIRTQ_DESC_BYTES);
		d = desc_load(packed_desc(vq, place), 1);
	}
	l->id = d.extra;
	return 0;
}

/* Follow the next list from where it was left. */
static int walk_next(struct walk *w, struct next *next, struct list *l)
{
	*l = (struct list){.id = next->head};
#ifdef DEV_BURSTS
	if (next->table != NULL) {
		const uint8_t *table = next->table;
		uint32_t seen = w->count;

		next->table = NULL;
		w->count = 0;
		l->slots = 1;
		return chain_table_rest(w, table, next->entries, seen, next->d, 1);
	}
	l->slots = (uint16_t)w->count;
#endif
	return walk_list(w, next->d, l);
}

#ifdef DEV_BURSTS
/* Up to n plain chains up to the end of the ring, as for a split one. Where it ends early, next is how it goes on. */
NOINLINE uint32_t pop_plain(struct virtq_dev *vq, struct virtq_chain *chains, struct virtq_iov *iov,
                            uint32_t n, struct next *next)
{
	struct virtq_dev *volatile aside = vq; /* the loop needs the registers */
	struct next *volatile next_aside = next;
	const struct virtq_mem *mem = dev_mem(vq);
	const uint8_t *p = packed_desc(vq, vq->avail), *end = p + (size_t)n * VIRTQ_DESC_BYTES;
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
			next_rest(aside, p, (uint16_t)(flags ^ plain), next_aside);
			break;
		}
		/* The rest after the flags; pairs with the driver's barrier before it writes them. */
		read_barrier(NULL);
		addr = shared_load64(p);
		len = shared_load32(p + DESC_LEN);
		id = shared_load16(p + DESC_ID);
		forget_origin(len);
		forget_origin(id);
		if (unlikely(id >= size) || unlikely(owner[id] != OWNER_NONE) ||
		    unlikely(!mem_plain(mem, shift, addr, len, &base))) {
			next = next_aside;
			next->err = 0;
			next->d = (struct desc){addr, (uint32_t)len, (uint16_t)(flags ^ plain), (uint16_t)id};
			next->head = (uint16_t)id;
			break;
		}
		forget_origin(id); /* nor where the address of its owner is */
		owner[id] = OWNER_NOW;
		chain_fill_plain(chains, iov, base, len, flags, id, seq);
	}
	vq = aside;
	n = (uint32_t)((size_t)(p - packed_desc(vq, vq->avail)) / VIRTQ_DESC_BYTES);
	advance(vq, &vq->avail, &vq->avail_wrap, n);
	vq->slots_out = (uint16_t)(vq->slots_out + n);
	vq->seq = seq;
	return n;
}

/* The place of the queue, and how it gets to where a burst has come to. */
static struct place place_of(const struct virtq_dev *vq)
{
	return (struct place){.p = packed_desc(vq, vq->avail),
	                      .ring = vq->desc,
	                      .end = packed_desc(vq, vq->size),
	                      .lap = vq->avail_wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED};
}

/*
 * Pop up to n chains of plain descriptors. next is how the first one begins; where it ends early, next and w are how the
 * next one goes on.
 */
NOINLINE uint32_t pop_short(struct walk *w, struct virtq_chain *chains, uint32_t n,
                            struct next *next)
{
	struct virtq_dev *vq = w->vq;
	const struct virtq_mem *mem = w->mem;
	struct virtq_iov *iov = w->iov, *end = iov + w->left;
	struct virtq_chain *c = chains, *last = chains + n;
	struct place at = place_of(vq);
	struct raw d = raw_of(&next->d, 1);
	unsigned flags = next->d.flags ^ at.lap;
	uint32_t shift = mem->index_shift, seq = vq->seq;
	uint8_t *owner = vq->owner;
	size_t size = vq->size, room = size - vq->slots_out, left = room;

	for (;;) {
		const uint8_t *table = NULL;
		uint32_t entries = 0;
		size_t id = (uint16_t)(d.rest >> 32), took;
		struct run r;
		int whole;

		next->head = (uint16_t)id;
		/* A table that has to be looked at closer ends the run by its flag. */
		if (flags == VIRTQ_DESC_INDIRECT && left != 0)
			table = run_table_at(vq, mem, shift, &d);
		if (table == NULL) {
			run_begin(&r, c, iov, end, left);
			whole = likely(iov <= r.last) && run_list(&r, c, mem, shift, &at, &d, &flags);
			took = (size_t)(r.iov - iov);
			id = (uint16_t)(d.rest >> 32);
		} else {
			entries = (uint32_t)d.rest / VIRTQ_DESC_BYTES;
			d = raw_load(table);
			run_begin(&r, c, iov, end, entries);
			whole = likely(iov <= r.last) && run_packed(&r, c, mem, shift, table, entries, &d);
			took = 1;
			place_advance(&at);
		}
		iov = r.iov;
		if (unlikely(!whole) || unlikely(run_check(&r) != 0)) {
			uint16_t all = (uint16_t)(table != NULL ? d.rest >> 48 : flags ^ at.lap);

			run_leave(&r, c, w, next,
			          (struct desc){d.addr, (uint32_t)d.rest, all, (uint16_t)(d.rest >> 32)});
			next->table = table;
			next->entries = entries;
			break;
		}
		if (unlikely(id >= size) || unlikely(owner[id] != OWNER_NONE)) {
			next->head = (uint16_t)id;
			next->err = head_check(vq, (uint16_t)id);
			break;
		}
		owner[id] = OWNER_NOW;
		run_fill(&r, c, id, seq++);
		c->more = (uint16_t)(took - 1);
		left -= took;
		if (++c == last)
			break;
		flags = shared_load16(at.p + DESC_FLAGS) ^ at.lap;
		if (flags & (VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED)) {
			next->err = NOTHING;
			break;
		}
		/* The rest after the flags; pairs with the driver's barrier before it writes them. */
		read_barrier(NULL);
		d = raw_rest(at.p);
	}
	w->left -= (uint32_t)(iov - w->iov);
	w->iov = iov;
	advance(vq, &vq->avail, &vq->avail_wrap, (uint32_t)(room - left));
	vq->slots_out = (uint16_t)(vq->slots_out + (room - left));
	vq->seq = seq;
	return (uint32_t)(c - chains);
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

/*
 * Pop what can go a short way: chains of one descriptor, then those of several. Where next->begun is set, before or
 * afterwards, next and w are how the next chain goes on.
 */
static uint32_t pop_bursts(struct walk *w, struct virtq_chain *chains, uint32_t max,
                           struct next *next)
{
	uint32_t room = plain_room(w->vq, max < w->left ? max : w->left), n = 0;

	if (next->begun) {
		/* A burst of chains of one descriptor has met something else. */
	} else if (room > 0 && !next->several) {
		n = pop_plain(w->vq, chains, w->iov, room, next);
		w->iov += n;
		w->left -= n;
		if (n == room)
			return n;
	} else {
		next_load(w->vq, next);
	}
	next->begun = 1;
	if (next->err != 0 || !dev_bursts(w->vq))
		return n;
	return pop_several(w, chains, n, max, next);
}
#else
#define pop_bursts(w, chains, max, next) (next_load((w)->vq, next), (next)->begun = 1, 0u)
#endif

/* Pop chains of every kind; so many were popped before. */
BURSTS_NOINLINE int pop_any(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                            struct virtq_iov *iov, uint32_t niov, uint32_t popped,
                            struct next *next)
{
	struct walk w = {.vq = vq, .mem = dev_mem(vq), .iov = iov + popped, .left = niov - popped};
	struct list l = {.id = 0xffff};
	int err = 0;

	while (popped < max) {
		walk_begin(&w);
		popped += pop_bursts(&w, &chains[popped], max - popped, next);
		if (!next->begun)
			continue;
		next->begun = 0;
		l.id = next->head;
		err = next->err;
		if (err == 0)
			err = walk_next(&w, next, &l);
		if (err == 0)
			err = head_check(vq, l.id);
		if (err == 0)
			err = pieces_check(&w);
		if (unlikely(err != 0))
			break;
		chain_fill(&chains[popped], &w, w.iov - (w.nread + w.nwrite), l.id,
		           (uint16_t)(l.slots - 1));
		chain_out(vq, l.id);
		advance(vq, &vq->avail, &vq->avail_wrap, l.slots);
		vq->slots_out = (uint16_t)(vq->slots_out + l.slots);
		popped++;
	}
	chains_out(vq, popped);
	chains_kind(vq, chains, popped);
	return err == 0 || err == NOTHING ? (int)popped : pop_failed(vq, err, l.id, popped);
}

int packed_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov)
{
	struct next next;
	uint32_t n = 0;

	next.head = 0xffff;
	next_init(&next, vq);
#ifdef DEV_BURSTS
	if (!vq->several) {
		uint32_t room = plain_room(vq, max < niov ? max : niov);

		if (room > 0)
			n = pop_plain(vq, chains, iov, room, &next);
		if (n == max || (n < room && next.err == NOTHING)) {
			chains_out(vq, n);
			return (int)n;
		}
		next.begun = n < room;
	}
#endif
	return pop_any(vq, chains, max, iov, niov, n, &next);
}

/* The last slots that were taken are available again. */
void packed_untake(struct virtq_dev *vq, uint32_t slots)
{
	if (slots > vq->avail) {
		vq->avail_wrap ^= 1;
		vq->avail = (uint16_t)(vq->avail + vq->size - slots);
	} else {
		vq->avail = (uint16_t)(vq->avail - slots);
	}
	vq->slots_out = (uint16_t)(vq->slots_out - slots);
}

void packed_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < n; i++)
		slots += chains[i].more + 1u;
	packed_untake(vq, slots);
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
	const uint8_t *flags = packed_desc(vq, vq->avail) + DESC_FLAGS;

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
