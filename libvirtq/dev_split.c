/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the split ring (VIRTIO 1.4 section 2.7). */
#include "dev_short.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_SPLIT)

/* available ring: flags, idx, ring[size], used_event. The driver writes it. */
static inline const uint8_t *avail_idx(const struct virtq_dev *vq)
{
	return vq->driver + 2;
}

static inline const uint8_t *avail_entry(const struct virtq_dev *vq, uint16_t i)
{
	return vq->driver + 4 + 2 * (size_t)(i & (vq->size - 1));
}

static inline const uint8_t *used_event(const struct virtq_dev *vq)
{
	return vq->driver + 4 + 2 * (size_t)vq->size;
}

/* used ring: flags, idx, ring[size], avail_event. We write it. */
static inline uint32_t used_entry(const struct virtq_dev *vq, uint16_t i)
{
	return 4 + 8 * (uint32_t)(i & (vq->size - 1));
}

static inline uint32_t avail_event(const struct virtq_dev *vq)
{
	return 4 + 8 * (uint32_t)vq->size;
}

int split_start(struct virtq_dev *vq, const struct virtq_state *s)
{
	vq->avail = s->avail;
	vq->avail_seen = s->avail;
	vq->used = s->used;
	if (s->flags & VIRTQ_STATE_USED_IN_RING) {
		vq->used = shared_load16(vq->device + 2);
		if (s->flags & VIRTQ_STATE_AVAIL_IS_USED)
			vq->avail = vq->avail_seen = vq->used;
		else if ((uint16_t)(s->avail - vq->used) > vq->size)
			return VIRTQ_EBADMSG;
	}
	vq->used_shown = vq->used;
	return 0;
}

void split_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	out->avail = vq->avail;
	out->used = vq->used;
}

/* How many entries are available: 0 to size, or a negative error when the index makes no sense. */
static int available(struct virtq_dev *vq)
{
	uint16_t n = (uint16_t)(vq->avail_seen - vq->avail);

	if (n != 0)
		return n;
	cache_invalidate(vq->platform, vq->driver, VIRTQ_SPLIT_DRIVER_BYTES(vq->size));
	vq->avail_seen = shared_load16(avail_idx(vq));
	n = (uint16_t)(vq->avail_seen - vq->avail);
	/* What is out, or held back by IN_ORDER, is the device's until it is used: only the rest can have come. */
	if (unlikely(n > vq->size - (uint16_t)(vq->avail - vq->used))) {
		dev_break(vq, VIRTQ_FAULT_AVAIL_IDX, 0xffff);
		return VIRTQ_EBROKEN;
	}
	/* Entries, descriptors and buffers are read after the index; pairs with the driver's barrier before it. */
	read_barrier(vq->platform);
	return n;
}

int split_available(struct virtq_dev *vq)
{
	return available(vq);
}

static inline const uint8_t *desc_at(const struct virtq_dev *vq, uint16_t i)
{
	const uint8_t *p = vq->desc + (size_t)i * VIRTQ_DESC_BYTES;

	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	return p;
}

/* Follow a chain from its first descriptor. Direct ones, and perhaps a final one that points at a table. */
static int walk_chain(struct walk *w, struct desc d)
{
	struct virtq_dev *vq = w->vq;

	for (;;) {
		uint32_t i = 0;
		int err;

		if (d.flags & VIRTQ_DESC_INDIRECT) {
			if (d.flags & VIRTQ_DESC_NEXT)
				return VIRTQ_FAULT_INDIRECT_FLAGS;
			return chain_indirect(w, &d, 0);
		}
		err = chain_add(w, &d);
		if (unlikely(err != 0))
			return err;
		w->count++;
		err = chain_next(&d, vq->size, w->count, &i);
		if (err != 0)
			return err == CHAIN_END ? 0 : err;
		d = desc_load(desc_at(vq, (uint16_t)i), 0);
	}
}

int split_walk(struct walk *w, uint16_t head)
{
	return walk_chain(w, desc_load(desc_at(w->vq, head), 0));
}

/* Follow the next chain from where it was left. */
static inline int walk_next(struct walk *w, struct next *next)
{
#ifdef DEV_BURSTS
	const uint8_t *table = next->table;
	uint32_t seen = w->count;

	if (unlikely(table != NULL)) {
		next->table = NULL;
		w->count = 0;
		return chain_table_rest(w, table, next->entries, seen, next->d, 0);
	}
#endif
	return walk_chain(w, next->d);
}

/* Read how the next chain begins. */
static void next_load(struct virtq_dev *vq, struct next *next)
{
	next->head = shared_load16(avail_entry(vq, vq->avail));
	next->err = head_check(vq, next->head);
	if (next->err == 0)
		next->d = desc_load(desc_at(vq, next->head), 0);
}

#ifdef DEV_BURSTS
/*
 * Pop up to n plain chains, no further than the end of the ring; what changes is kept in registers. Where it ends
 * early, next is how the next chain begins.
 */
NOINLINE uint32_t pop_plain(struct virtq_dev *vq, struct virtq_chain *chains, struct virtq_iov *iov,
                            uint32_t n, struct next *next)
{
	const struct virtq_mem *mem = dev_mem(vq);
	const uint8_t *first = avail_entry(vq, vq->avail), *p = first, *end = p + 2 * (size_t)n;
	uint8_t *owner = vq->owner;
	uint32_t shift = mem->index_shift, seq = vq->seq;
	size_t size = vq->size;

	for (; p != end; p += 2, chains++, iov++, seq++) {
		size_t head = shared_load16(p);
		uint16_t flags;
		const uint8_t *desc = vq->desc + head * VIRTQ_DESC_BYTES;
		uint64_t addr, len;
		void *base;

		if (unlikely(head >= size) || unlikely(owner[head] != OWNER_NONE)) {
			next->head = (uint16_t)head;
			next->err = head_check(vq, next->head);
			break;
		}
		addr = shared_load64(desc);
		len = shared_load32(desc + DESC_LEN);
		forget_origin(len);
		flags = shared_load16(desc + SPLIT_DESC_FLAGS);
		if (unlikely((flags & ~VIRTQ_DESC_WRITE) != 0) ||
		    unlikely(!mem_plain(mem, shift, addr, len, &base))) {
			next->head = (uint16_t)head;
			next->err = 0;
			next->d =
				(struct desc){addr, (uint32_t)len, flags, shared_load16(desc + SPLIT_DESC_NEXT)};
			break;
		}
		owner[head] = OWNER_NOW;
		chain_fill_plain(chains, iov, base, len, flags, head, seq);
	}
	n = (uint32_t)(p - first) / 2;
	vq->avail = (uint16_t)(vq->avail + n);
	vq->seq = seq;
	return n;
}

/*
 * Pop up to n chains of plain descriptors, no further than the end of the ring. next is how the first one begins; where
 * it ends early, next and w are how the next one goes on.
 */
NOINLINE uint32_t pop_short(struct walk *w, struct virtq_chain *chains, uint32_t n,
                            struct next *next)
{
	struct virtq_dev *vq = w->vq;
	const struct virtq_mem *mem = w->mem;
	const uint8_t *entry = avail_entry(vq, vq->avail), *ring = vq->desc;
	struct virtq_iov *iov = w->iov, *end = iov + w->left;
	struct virtq_chain *c = chains, *last = chains + n;
	struct raw d = raw_of(&next->d, 0);
	uint32_t shift = mem->index_shift, seq = vq->seq;
	uint8_t *owner = vq->owner;
	size_t size = vq->size, head = next->head;

	for (;; d = raw_load(ring + head * VIRTQ_DESC_BYTES)) {
		const uint8_t *table = NULL;
		size_t entries = size;
		struct run r;

		/* A table that has to be looked at closer ends the run by its flag. */
		if ((uint16_t)(d.rest >> 32) == VIRTQ_DESC_INDIRECT &&
		    likely((table = run_table_at(vq, mem, shift, &d)) != NULL)) {
			entries = (uint32_t)d.rest / VIRTQ_DESC_BYTES;
			d = raw_load(table);
		}
		run_begin(&r, c, iov, end, entries);
		if (unlikely(iov > r.last) ||
		    unlikely(!run_split(&r, c, mem, shift, table != NULL ? table : ring, entries, &d)) ||
		    unlikely(run_check(&r) != 0)) {
			run_leave(&r, c, w, next, desc_from(d.addr, d.rest, 0));
			next->table = table;
			next->entries = (uint32_t)entries;
			iov = r.iov;
			break;
		}
		iov = r.iov;
		owner[head] = OWNER_NOW;
		run_fill(&r, c, head, seq++);
		c->more = 0;
		if (++c == last)
			break;
		entry += 2;
		head = shared_load16(entry);
		if (unlikely(head >= size) || unlikely(owner[head] != OWNER_NONE)) {
			next->err = head_check(vq, (uint16_t)head);
			break;
		}
	}
	next->head = (uint16_t)head;
	w->left -= (uint32_t)(iov - w->iov);
	w->iov = iov;
	n = (uint32_t)(c - chains);
	vq->avail = (uint16_t)(vq->avail + n);
	vq->seq = seq;
	return n;
}

static uint32_t plain_room(const struct virtq_dev *vq, uint32_t n)
{
	uint32_t end = (uint32_t)vq->size - (vq->avail & (vq->size - 1u));

	if (!dev_bursts(vq))
		return 0;
	return n < end ? n : end;
}

/*
 * Pop what can go a short way: chains of one descriptor, then those of several. Where next->begun is set, before or
 * afterwards, next and w are how the next chain goes on.
 */
static uint32_t pop_bursts(struct walk *w, struct virtq_chain *chains, uint32_t max,
                           struct next *next)
{
	uint32_t room = plain_room(w->vq, max), most = room < w->left ? room : w->left, n = 0;

	if (next->begun) {
		/* A burst of chains of one descriptor has met something else. */
	} else if (most > 0 && !next->several) {
		n = pop_plain(w->vq, chains, w->iov, most, next);
		w->iov += n;
		w->left -= n;
		if (n == most)
			return n;
	} else {
		next_load(w->vq, next);
	}
	next->begun = 1;
	if (n == room || next->err != 0)
		return n;
	return pop_several(w, chains, n, room, next);
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
	int err = 0;

	while (popped < max) {
		walk_begin(&w);
		popped += pop_bursts(&w, &chains[popped], max - popped, next);
		if (!next->begun)
			continue;
		next->begun = 0;
		err = next->err;
		if (likely(err == 0))
			err = walk_next(&w, next);
		if (likely(err == 0))
			err = pieces_check(&w);
		if (unlikely(err != 0))
			break;
		chain_fill(&chains[popped], &w, w.iov - (w.nread + w.nwrite), next->head, 0);
		chain_out(vq, next->head);
		vq->avail++;
		popped++;
	}
	chains_out(vq, popped);
	chains_kind(vq, chains, popped);
	return likely(err == 0) ? (int)popped : pop_failed(vq, err, next->head, popped);
}

int split_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max, struct virtq_iov *iov,
              uint32_t niov)
{
	int ready = available(vq);
	struct next next;
	uint32_t n = 0;

	if (ready <= 0)
		return ready;
	if (max > (uint32_t)ready)
		max = (uint32_t)ready;
	next_init(&next, vq);
#ifdef DEV_BURSTS
	if (!vq->several) {
		uint32_t room = plain_room(vq, max < niov ? max : niov);

		if (room > 0)
			n = pop_plain(vq, chains, iov, room, &next);
		if (n == max) {
			chains_out(vq, n);
			return (int)n;
		}
		next.begun = n < room;
	}
#endif
	return pop_any(vq, chains, max, iov, niov, n, &next);
}

void split_untake(struct virtq_dev *vq, uint32_t n)
{
	vq->avail = (uint16_t)(vq->avail - n);
}

void split_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	(void)chains;
	split_untake(vq, n);
}

void split_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	uint8_t *entry = vq->device + used_entry(vq, vq->used);

	(void)more;
	shared_store32(entry, id);
	shared_store32(entry + 4, written);
	vq->used++;
}

#ifdef DEV_BURSTS
int split_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
               uint32_t n)
{
	uint8_t *ring = vq->device + 4, *end = ring + VIRTQ_USED_ELEM_BYTES * (size_t)vq->size;
	uint8_t *p = vq->device + used_entry(vq, vq->used), *owner = vq->owner;
	const struct virtq_chain *c = chains, *last = c + n;
	size_t size = vq->size;

	for (; c != last; c++, written++) {
		uint32_t len = *written;
		size_t id = chain_id_plain(c);

		if (unlikely(!push_plain_ok(owner, size, c, id, len))) {
			/* Entries that are not shown are nobody's: only what we know of the chains is put back. */
			while (c-- != chains)
				owner[c->id] = OWNER_NOW;
			return VIRTQ_EINVAL;
		}
		owner[id] = OWNER_NONE;
		shared_store32(p, (uint32_t)id);
		shared_store32(p + 4, len);
		p += VIRTQ_USED_ELEM_BYTES;
		if (unlikely(p == end))
			p = ring;
	}
	vq->used = (uint16_t)(vq->used + n);
	chains_back(vq, n);
	return 0;
}
#endif

/* The entries from used_shown to used, in one stretch or two. A driver that does not wait makes them more than a ring. */
static void mark_used(struct virtq_dev *vq, uint16_t n)
{
	uint32_t first = used_entry(vq, vq->used_shown), end = avail_event(vq);
	uint32_t bytes = 8u * (n < vq->size ? n : vq->size);

	if (bytes > end - first) {
		dev_mark_device_area(vq, first, end - first);
		dev_mark_device_area(vq, 4, bytes - (end - first));
	} else {
		dev_mark_device_area(vq, first, bytes);
	}
	dev_mark_device_area(vq, 2, 2);
}

void split_publish(struct virtq_dev *vq)
{
	uint16_t n = (uint16_t)(vq->used - vq->used_shown);

	if (n == 0)
		return;
	cache_clean(vq->platform, vq->device, VIRTQ_SPLIT_DEVICE_BYTES(vq->size));
	/* Buffers and used entries before the index; pairs with the driver's barrier after reading it. */
	write_barrier(vq->platform);
	shared_store16(vq->device + 2, vq->used);
	cache_clean(vq->platform, vq->device, 4);
	if (dev_logging(vq))
		mark_used(vq, n);
	vq->used_shown = vq->used;
	if (n > UINT16_MAX - vq->unsignalled)
		vq->signalled_known = 0;
	else
		vq->unsignalled = (uint16_t)(vq->unsignalled + n);
}

int split_should_interrupt(struct virtq_dev *vq)
{
	uint16_t n = vq->unsignalled;
	int known = vq->signalled_known;

	if (n == 0 && known)
		return 0;
	vq->unsignalled = 0;
	vq->signalled_known = 1;
	/* Our index before the driver's wish; pairs with the driver's barrier between its wish and our index. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->driver, VIRTQ_SPLIT_DRIVER_BYTES(vq->size));
	return split_wanted(vq, shared_load16(vq->event_idx ? used_event(vq) : vq->driver),
	                    vq->used_shown, n, known);
}

int split_arm(struct virtq_dev *vq)
{
	uint32_t at = vq->event_idx ? avail_event(vq) : 0;

	if (vq->avail_seen != vq->avail)
		return 1;
	shared_store16(vq->device + at, vq->event_idx ? vq->avail : 0);
	cache_clean(vq->platform, vq->device + at, 2);
	if (dev_logging(vq))
		dev_mark_device_area(vq, at, 2);
	vq->armed = 1;
	/* Our wish before the driver's index; pairs with the driver's barrier between its index and our wish. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->driver, 4);
	return shared_load16(avail_idx(vq)) != vq->avail;
}

void split_disarm(struct virtq_dev *vq)
{
	/* With EVENT_IDX flags must stay 0 (2.7.10.1), and an event index that is not moved on silences by itself. */
	if (!vq->event_idx) {
		shared_store16(vq->device, VIRTQ_USED_NO_NOTIFY);
		cache_clean(vq->platform, vq->device, 2);
		if (dev_logging(vq))
			dev_mark_device_area(vq, 0, 2);
	}
	vq->armed = 0;
}

#endif
