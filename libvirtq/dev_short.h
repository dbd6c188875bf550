/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way of a chain of several descriptors, for both layouts: each descriptor is read once, checked, translated
 * and written as a piece, with all that is known of the chain in registers. Its buffers are plain (mem_plain()), not
 * empty, first the readable ones and then the writable ones, and not too many. Whatever is different is not judged
 * here: the walk goes on from the descriptor that was read, with what came before it.
 */
#ifndef LIBVIRTQ_DEV_SHORT_H
#define LIBVIRTQ_DEV_SHORT_H

#include "dev.h"

#ifdef DEV_BURSTS

/* A descriptor as it lies in memory, in two loads. */
struct raw {
	uint64_t addr;
	uint64_t rest; /* length, and above it flags and next (split) or id and flags (packed) */
};

static inline struct raw raw_load(const uint8_t *p)
{
	return (struct raw){shared_load64(p), shared_load64(p + DESC_LEN)};
}

/* The same of a packed ring, but for the flags, which were read before. */
static inline struct raw raw_rest(const uint8_t *p)
{
	uint64_t id = shared_load16(p + DESC_ID);

	return (struct raw){shared_load64(p), shared_load32(p + DESC_LEN) | id << 32};
}

static inline struct raw raw_of(const struct desc *d, int packed)
{
	uint64_t low = packed ? d->extra : d->flags, high = packed ? d->flags : d->extra;

	return (struct raw){d->addr, d->len | low << 32 | high << 48};
}

/* A chain so far. How many of its pieces and bytes are readable is in the chain itself. */
struct run {
	struct virtq_iov *iov;  /* the next piece */
	struct virtq_iov *last; /* the last one that it may have, or that there is room for */
	unsigned flags; /* of a descriptor that has a next one: NEXT, and WRITE once one had that */
	uint64_t bytes;
};

/* Begin a chain of at most limit descriptors, with room for pieces up to end. */
static inline void run_begin(struct run *r, struct virtq_chain *c, struct virtq_iov *iov,
                             const struct virtq_iov *end, size_t limit)
{
	size_t room = (size_t)((const uint8_t *)end - (const uint8_t *)iov);
	size_t most = limit * sizeof(*iov);

	c->iov = r->iov = iov;
	r->last = (struct virtq_iov *)(void *)((uint8_t *)iov + (room < most ? room : most)) - 1;
	r->flags = VIRTQ_DESC_NEXT;
	r->bytes = 0;
}

/* Whether a descriptor may come whose flags are others: it is the first writable one, and has no flags but NEXT. */
static inline int run_turn(struct run *r, struct virtq_chain *c, unsigned flags)
{
	/* In the writable part a descriptor with other flags lacks WRITE. */
	if (unlikely((flags | VIRTQ_DESC_NEXT) != (VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE)))
		return 0;
	r->flags = VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE;
	c->nread = (uint32_t)(r->iov - c->iov);
	c->read_bytes = (uint32_t)r->bytes;
	return 1;
}

/* Write a plain buffer's piece, which does not belong to the chain yet. 0: it is not plain. */
static inline int run_piece(struct run *r, const struct virtq_mem *mem, uint32_t shift,
                            const struct raw *d)
{
	void *base;

	if (unlikely(!mem_plain(mem, shift, d->addr, (uint32_t)d->rest, &base)))
		return 0;
	r->iov->base = base;
	r->iov->len = (uint32_t)d->rest;
	return 1;
}

/* The piece that was written last belongs to the chain. */
static inline void run_count(struct run *r, const struct raw *d)
{
	r->iov++;
	r->bytes += (uint32_t)d->rest;
}

/*
 * Walk a table of a split ring that lies at host, from *d on. 1: the chain is whole; 0: it is not, *d was read and does
 * not belong to it yet.
 */
static inline int run_split(struct run *r, struct virtq_chain *c, const struct virtq_mem *mem,
                            uint32_t shift, const uint8_t *host, size_t entries, struct raw *d)
{
	for (;;) {
		unsigned flags = (uint16_t)(d->rest >> 32);
		size_t next = d->rest >> 48;

		if (unlikely(!run_piece(r, mem, shift, d)))
			return 0;
		if (flags != r->flags) {
			if (flags == (r->flags ^ VIRTQ_DESC_NEXT))
				break;
			if (unlikely(!run_turn(r, c, flags)))
				return 0;
			if (flags == VIRTQ_DESC_WRITE)
				break;
		}
		if (unlikely(r->iov == r->last) || unlikely(next >= entries))
			return 0;
		run_count(r, d);
		*d = raw_load(host + next * VIRTQ_DESC_BYTES);
	}
	run_count(r, d);
	return 1;
}

/* The same for a table of a packed ring, where only WRITE counts (2.8.7), and all of it is the chain. */
static inline int run_packed(struct run *r, struct virtq_chain *c, const struct virtq_mem *mem,
                             uint32_t shift, const uint8_t *host, size_t entries, struct raw *d)
{
	const uint8_t *last = host + (entries - 1) * VIRTQ_DESC_BYTES;

	for (;; *d = raw_load(host += VIRTQ_DESC_BYTES)) {
		unsigned flags = ((unsigned)(d->rest >> 48) & VIRTQ_DESC_WRITE) | VIRTQ_DESC_NEXT;

		if (unlikely(!run_piece(r, mem, shift, d)) ||
		    (flags != r->flags && unlikely(!run_turn(r, c, flags))))
			return 0;
		if (host == last)
			break;
		if (unlikely(r->iov == r->last))
			return 0;
		run_count(r, d);
	}
	run_count(r, d);
	return 1;
}

/* Where a list of a packed ring goes on. */
struct place {
	const uint8_t *p, *ring, *end;
	unsigned lap; /* the flag that an available descriptor has there, of AVAIL and USED */
};

static inline void place_advance(struct place *at)
{
	at->p += VIRTQ_DESC_BYTES;
	if (unlikely(at->p == at->end)) {
		at->p = at->ring;
		at->lap ^= VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
	}
}

/* The same for a list of descriptors in a packed ring. *flags are those of *d but for the lap's. */
static inline int run_list(struct run *r, struct virtq_chain *c, const struct virtq_mem *mem,
                           uint32_t shift, struct place *at, struct raw *d, unsigned *flags)
{
	for (;; *flags = (unsigned)(d->rest >> 48) ^ at->lap) {
		if (unlikely(!run_piece(r, mem, shift, d)))
			return 0;
		if (*flags != r->flags) {
			if (*flags == (r->flags ^ VIRTQ_DESC_NEXT))
				break;
			if (unlikely(!run_turn(r, c, *flags)))
				return 0;
			if (*flags == VIRTQ_DESC_WRITE)
				break;
		}
		if (unlikely(r->iov == r->last))
			return 0;
		run_count(r, d);
		place_advance(at);
		*d = raw_load(at->p);
	}
	run_count(r, d);
	place_advance(at);
	return 1;
}

/*
 * Where a table lies here whose descriptor has INDIRECT and nothing else; NULL: somebody has to look closer. Nothing
 * comes before it.
 */
static inline const uint8_t *run_table_at(const struct virtq_dev *vq, const struct virtq_mem *mem,
                                          uint32_t shift, const struct raw *d)
{
	struct desc table = {.addr = d->addr, .len = (uint32_t)d->rest};
	void *host;

	if (unlikely(indirect_check(vq, &table, 0) != 0) ||
	    unlikely(!mem_plain(mem, shift, table.addr, table.len, &host)) ||
	    unlikely((uintptr_t)host % sizeof(uint64_t) != 0))
		return NULL;
	return host;
}

/* What is left to find out of a chain: 0 or a fault. */
static inline int run_check(const struct run *r)
{
	return unlikely(r->bytes > UINT32_MAX) ? VIRTQ_FAULT_TOO_LONG : 0;
}

/* A chain is whole. */
static inline void run_fill(const struct run *r, struct virtq_chain *c, size_t id, uint32_t seq)
{
	if (likely(r->flags & VIRTQ_DESC_WRITE)) {
		c->nwrite = (uint32_t)(r->iov - c->iov) - c->nread;
		c->write_bytes = (uint32_t)r->bytes - c->read_bytes;
	} else {
		c->nread = (uint32_t)(r->iov - c->iov);
		c->read_bytes = (uint32_t)r->bytes;
		c->nwrite = c->write_bytes = 0;
	}
	c->id = (uint16_t)id;
	c->seq = seq;
}

/* A chain is not plain: tell the walk what was found of it, and where it goes on. */
static inline void run_leave(const struct run *r, const struct virtq_chain *c, struct walk *w,
                             struct next *next, struct desc d)
{
	uint32_t count = (uint32_t)(r->iov - c->iov);

	int write = (r->flags & VIRTQ_DESC_WRITE) != 0;

	w->nread = write ? c->nread : count;
	w->nwrite = count - w->nread;
	w->read_bytes = write ? c->read_bytes : r->bytes;
	w->write_bytes = r->bytes - w->read_bytes;
	w->count = count;
	next->d = d;
	next->err = run_check(r);
}

NOINLINE uint32_t pop_short(struct walk *w, struct virtq_chain *chains, uint32_t n,
                            struct next *next);

/*
 * Once n of at most max chains were popped, go on the short way where chains of several descriptors were met. Returns
 * how many it makes; next is how the next chain begins, and where next->begun is left set, w and it are how it goes on.
 */
static inline uint32_t pop_several(struct walk *w, struct virtq_chain *chains, uint32_t n,
                                   uint32_t max, struct next *next)
{
	uint32_t more;

	next->several |= (next->d.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) != 0;
	if (!next->several)
		return n;
	more = pop_short(w, &chains[n], max - n, next);
	next->begun = more < max - n;
	return n + more;
}

#endif

#endif
