/* SPDX-License-Identifier: BSD-3-Clause */
/* Between dev.c, which is what users call, and the layouts. */
#ifndef LIBVIRTQ_DEV_H
#define LIBVIRTQ_DEV_H

#include <virtq/device.h>

#include "chain.h"

/* Call the layout that the queue has. A layout that is left out can't have been set up. */
#if defined(VIRTQ_NO_SPLIT)
#define LAYOUT(vq, name, ...) packed_##name(__VA_ARGS__)
#elif defined(VIRTQ_NO_PACKED)
#define LAYOUT(vq, name, ...) split_##name(__VA_ARGS__)
#else
#define LAYOUT(vq, name, ...)                                                                      \
	((vq)->packed ? packed_##name(__VA_ARGS__) : split_##name(__VA_ARGS__))
#endif

/* A completion that IN_ORDER holds back. Their number is a power of two, found by the order of popping. */
struct virtq_dev_done {
	uint32_t written;
	uint16_t id;
	uint16_t more;
	uint16_t ready;
	uint16_t reserved;
};

/* Scratch memory is dealt out in pieces that are aligned to 8. */
#define ROUND_UP(n) (((n) + 7) & ~(size_t)7)

/* What virtq_dev.broken says: why the ring may not be touched. */
enum { DEV_BROKEN = 1, DEV_UNMAPPED = 2 };

/* Find all three parts of the ring in a map. 0, or VIRTQ_EAGAIN or VIRTQ_EFAULT with nothing changed. */
int dev_map_ring(struct virtq_dev *vq, const struct virtq_mem *mem);

/* virtq_dev_state(), but for what a predecessor left. */
int dev_position(const struct virtq_dev *vq, struct virtq_state *out);

/* What is called instead, or besides, while requests in flight are noted (track.h). */
struct virtq_track_calls {
	int (*pop)(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
	           struct virtq_iov *iov, uint32_t niov);
	void (*unpop)(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
	/* Of each chain that is pushed, in that order, before it is published. */
	void (*used)(struct virtq_dev *vq, uint16_t id);
	void (*publish)(struct virtq_dev *vq);
	/* Chains of a predecessor that pop gives first. */
	uint32_t (*left)(const struct virtq_dev *vq);
};

/* Latch a fault. The first one stays. */
void dev_break(struct virtq_dev *vq, int reason, uint16_t head);

/* What a write of ours to the ring itself leaves in the log: in the device area, or in n places of a packed ring. */
void dev_mark_device_area(struct virtq_dev *vq, uint32_t offset, uint32_t len);
void dev_mark_places(struct virtq_dev *vq, uint32_t first, uint32_t n);

static inline const struct virtq_mem *dev_mem(const struct virtq_dev *vq)
{
	return vq->maps[vq->cur_map].mem;
}

static inline int dev_logging(const struct virtq_dev *vq)
{
	return mem_log(dev_mem(vq)) != NULL;
}

/*
 * What vq->owner says of a head or id: nothing is out under it; a chain of the current map is; or one of the map
 * OWNER_OLD + n. HELD is a chain that was given back, but waits for its turn (IN_ORDER): its used entry is not written,
 * so the driver may not use the id again. GOING is set for chains that are about to be taken back.
 */
enum { OWNER_NONE = 0, OWNER_NOW = 1, OWNER_OLD = 2, OWNER_HELD = 0x40, OWNER_GOING = 0x80 };

/* Whether a head or id may come: it is one of the ring's, and not out already. */
static inline int head_check(const struct virtq_dev *vq, uint16_t head)
{
	if (unlikely(head >= vq->size))
		return VIRTQ_FAULT_HEAD;
	return unlikely(vq->owner[head] != OWNER_NONE) ? VIRTQ_FAULT_DUPLICATE : 0;
}

/* Account for a chain that is popped whole. */
static inline void chain_out(struct virtq_dev *vq, uint16_t id)
{
	vq->owner[id] = OWNER_NOW;
	vq->seq++;
}

/* Chains come in kinds: what the next burst tries first is what this one ended with. */
static inline void chains_kind(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	if (n > 0)
		vq->several = chains[n - 1].nread + chains[n - 1].nwrite > 1;
}

/* Account for n of them together, when the burst has ended. */
static inline void chains_out(struct virtq_dev *vq, uint32_t n)
{
	vq->inflight = (uint16_t)(vq->inflight + n);
	vq->maps[vq->cur_map].out += n;
}

#ifdef DEV_BURSTS
#define BURSTS_NOINLINE NOINLINE
static inline int dev_bursts(const struct virtq_dev *vq)
{
	return vq->plain && vq->platform == NULL;
}

_Static_assert(offsetof(struct virtq_chain, nwrite) ==
                       offsetof(struct virtq_chain, nread) + sizeof(uint32_t) &&
                   offsetof(struct virtq_chain, write_bytes) ==
                       offsetof(struct virtq_chain, read_bytes) + sizeof(uint32_t) &&
                   sizeof(uint32_t) % VIRTQ_DESC_WRITE == 0,
               "what is of the writable part lies one word behind what is of the readable one");
_Static_assert(offsetof(struct virtq_chain, id) % sizeof(uint32_t) == 0 &&
                   offsetof(struct virtq_chain, more) ==
                       offsetof(struct virtq_chain, id) + sizeof(uint16_t) &&
                   offsetof(struct virtq_chain, seq) ==
                       offsetof(struct virtq_chain, id) + sizeof(uint32_t),
               "id and more are one word");

/*
 * chain_fill() for a chain of one descriptor of so many bytes, with the flag WRITE or none. There is no branch:
 * requests in and out may alternate.
 */
static inline void chain_fill_plain(struct virtq_chain *c, struct virtq_iov *iov, void *base,
                                    uint64_t len, size_t write, size_t id, uint32_t seq)
{
	uint8_t *side = (uint8_t *)c + sizeof(uint32_t) / VIRTQ_DESC_WRITE * write;

	iov->base = base;
	iov->len = (size_t)len;
	c->iov = iov;
	c->nread = c->nwrite = 0;
	c->read_bytes = c->write_bytes = 0;
	*(uint32_t *)(void *)(side + offsetof(struct virtq_chain, nread)) = 1;
	*(uint32_t *)(void *)(side + offsetof(struct virtq_chain, read_bytes)) = (uint32_t)len;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	c->id = (uint16_t)id;
	c->more = 0;
#else
	/* Both at once. */
	__builtin_memcpy((uint8_t *)c + offsetof(struct virtq_chain, id), &(uint32_t){(uint32_t)id}, 4);
#endif
	c->seq = seq;
}

/* The id of a chain that takes one place, and something above every id for one that takes more. */
static inline size_t chain_id_plain(const struct virtq_chain *c)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return c->id | (size_t)c->more << 16;
#else
	uint32_t both;

	__builtin_memcpy(&both, (const uint8_t *)c + offsetof(struct virtq_chain, id), sizeof(both));
	return both;
#endif
}

/* Whether a chain with that id may be pushed the short way: it is out, under the current map. */
static inline int push_plain_ok(const uint8_t *owner, size_t size, const struct virtq_chain *c,
                                size_t id, uint32_t written)
{
	return id < size && owner[id] == OWNER_NOW && written <= c->write_bytes;
}

/* n chains of the current map are back. */
static inline void chains_back(struct virtq_dev *vq, uint32_t n)
{
	vq->inflight = (uint16_t)(vq->inflight - n);
	vq->maps[vq->cur_map].out -= n;
}
#else
#define BURSTS_NOINLINE static
#endif

/* What a walk needs to be told of the next chain: how it begins, or where the short way left it. */
struct next {
	struct desc d; /* was read, but is not in the walk yet */
	uint16_t head;
	int err;              /* of its head: a fault reason */
	const uint8_t *table; /* d is of this table, and what is in the walk too; NULL: of the ring */
	uint32_t entries;
	uint8_t begun;   /* there is one */
	uint8_t several; /* chains of several descriptors were met */
};

static inline void next_init(struct next *next, const struct virtq_dev *vq)
{
	next->table = NULL;
	next->begun = 0;
	next->several = vq->several;
}

/* Begin to walk another chain. */
static inline void walk_begin(struct walk *w)
{
	w->nread = w->nwrite = w->count = 0;
	w->read_bytes = w->write_bytes = 0;
}

/* A chain is whole: whether it has no more pieces than virtq_dev_max_iov() promises. */
static inline int pieces_check(const struct walk *w)
{
	return unlikely(w->nread + w->nwrite > w->vq->max_iov) ? VIRTQ_FAULT_TOO_MANY : 0;
}

/* Turn the result of a failed walk into pop's: chains that were popped before are returned first. */
static inline int pop_failed(struct virtq_dev *vq, int why, uint16_t head, uint32_t popped)
{
	if (why == VIRTQ_ENOSPC && popped == 0)
		why = VIRTQ_FAULT_TOO_MANY; /* it had all the room that a chain may need */
	if (why > 0)
		dev_break(vq, why, head);
	if (popped > 0)
		return (int)popped;
	return why == VIRTQ_EAGAIN ? why : VIRTQ_EBROKEN;
}

/* What the driver's event fields say, however they were read. "used" is our position, the last n steps of which the
 * question is about. */

/* Split ring: flags or used_event (2.7.7). */
static inline int split_wanted(const struct virtq_dev *vq, uint16_t wish, uint16_t used, uint16_t n,
                               int known)
{
	if (!vq->event_idx)
		return (wish & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
	return !known || event_passed(wish, used, (uint16_t)(used - n));
}

/* AVAIL equals our wrap counter and USED does not (2.8.1). */
static inline int is_avail(uint16_t flags, int wrap)
{
	return ((flags & VIRTQ_DESC_AVAIL) != 0) == wrap && ((flags & VIRTQ_DESC_USED) != 0) != wrap;
}

static inline uint16_t place_with_wrap(uint16_t place, int wrap)
{
	return (uint16_t)(place | (wrap ? VIRTQ_STATE_WRAP : 0));
}

/* Move a place on by n <= size steps; a whole lap ends where it began, with the counter turned. */
static inline void advance(const struct virtq_dev *vq, uint16_t *place, uint8_t *wrap, uint32_t n)
{
	uint32_t to = *place + n;

	if (to >= vq->size) {
		to -= vq->size;
		*wrap ^= 1;
	}
	*place = (uint16_t)to;
}

static inline uint8_t *packed_desc(const struct virtq_dev *vq, uint16_t place)
{
	return vq->desc + (size_t)place * VIRTQ_DESC_BYTES;
}

/* A further descriptor of a list. The driver shows the head last: the rest must be available by now. */
static inline int packed_rest_check(const struct desc *d, int wrap)
{
	if (!is_avail(d->flags, wrap))
		return VIRTQ_FAULT_UNAVAILABLE;
	return d->flags & VIRTQ_DESC_INDIRECT ? VIRTQ_FAULT_INDIRECT_FLAGS : 0;
}

/* Packed ring: place and flags (2.8.10). */
static inline int packed_wanted(const struct virtq_dev *vq, uint32_t wish, uint16_t used,
                                uint16_t n, int known)
{
	uint16_t event = wish & (uint16_t)~VIRTQ_STATE_WRAP, now = used & (uint16_t)~VIRTQ_STATE_WRAP;

	switch ((wish >> 16) & 3) {
	case VIRTQ_EVENT_DISABLE:
		return 0;
	case VIRTQ_EVENT_DESC:
		if (!vq->event_idx || !known || n >= vq->size)
			return 1;
		if ((used ^ wish) & VIRTQ_STATE_WRAP)
			event = (uint16_t)(event - vq->size);
		return event_passed(event, now, (uint16_t)(now - n));
	default:
		return 1;
	}
}

/* The layouts. */
int split_start(struct virtq_dev *vq, const struct virtq_state *s);
int split_walk(struct walk *w, uint16_t head);
void split_state(const struct virtq_dev *vq, struct virtq_state *out);
int split_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max, struct virtq_iov *iov,
              uint32_t niov);
void split_untake(struct virtq_dev *vq, uint32_t n);
int split_available(struct virtq_dev *vq);
void split_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
int split_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
               uint32_t n);
void split_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written);
void split_publish(struct virtq_dev *vq);
int split_should_interrupt(struct virtq_dev *vq);
int split_arm(struct virtq_dev *vq);
void split_disarm(struct virtq_dev *vq);

int packed_start(struct virtq_dev *vq, const struct virtq_state *s);
void packed_state(const struct virtq_dev *vq, struct virtq_state *out);
int packed_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov);
void packed_untake(struct virtq_dev *vq, uint32_t slots);
void packed_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
int packed_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
                uint32_t n);
void packed_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written);
void packed_publish(struct virtq_dev *vq);
int packed_should_interrupt(struct virtq_dev *vq);
int packed_arm(struct virtq_dev *vq);
void packed_disarm(struct virtq_dev *vq);

#endif
