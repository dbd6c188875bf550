/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one walker that turns descriptors into a checked chain, for every layout and every kind of memory.
 *
 * It sees copies of descriptors only. Results: 0, VIRTQ_EAGAIN (a translation is not known yet), VIRTQ_ENOSPC (the
 * caller's pieces are used up, try with more), or a fault reason (> 0).
 */
#ifndef LIBVIRTQ_CHAIN_H
#define LIBVIRTQ_CHAIN_H

#include <virtq/device.h>

#include "mem.h"

/*
 * Bursts of plain chains go a short way: buffers that the index of regions knows, coherent memory. Small machines save
 * its text and go the general way with every chain.
 */
#if VIRTQ_MEM_INDEX > 0 && !defined(VIRTQ_FOR_SIZE)
#define DEV_BURSTS 1
#endif

/* A chain under construction. Lives on the stack; nothing of the queue is changed before the chain is whole. */
struct walk {
	struct virtq_dev *vq;
	const struct virtq_mem *mem;
	struct virtq_iov *iov; /* mapped memory: next free piece, and how many are left */
	struct virtq_seg *seg; /* memory across a bus: likewise */
	uint32_t left;
	uint32_t nread;
	uint32_t nwrite;
	uint32_t count; /* descriptors so far, direct and indirect */
	uint64_t read_bytes;
	uint64_t write_bytes;
};

/*
 * Add a buffer that is no plain stretch of one region: it crosses regions, its address is translated, or it lies
 * across a bus.
 */
int chain_add_pieces(struct walk *w, const struct desc *d);

/* Take a chain from an indirect table in mapped memory. */
int chain_indirect(struct walk *w, const struct desc *table, int packed);

/* Go on in a table that lies here: so many of its entries were taken, d is the next one. */
int chain_table_rest(struct walk *w, const uint8_t *table, uint32_t entries, uint32_t seen,
                     struct desc d, int packed);

/* Whether a descriptor may point at an indirect table: negotiated, length, limit. 0 or a fault reason. */
static inline int indirect_check(const struct virtq_dev *vq, const struct desc *table,
                                 uint32_t before)
{
	if (unlikely(!vq->indirect))
		return VIRTQ_FAULT_INDIRECT;
	if (unlikely(table->len == 0 || table->len % VIRTQ_DESC_BYTES != 0))
		return VIRTQ_FAULT_INDIRECT_LEN;
	if (unlikely(table->len / VIRTQ_DESC_BYTES > vq->max_chain - before))
		return VIRTQ_FAULT_INDIRECT_LEN;
	return 0;
}

/* What holds for every buffer, whatever its memory: order, sum. */
static inline int buffer_check(struct walk *w, const struct desc *d)
{
	if (d->flags & VIRTQ_DESC_WRITE) {
		w->write_bytes += d->len;
	} else {
		if (unlikely(w->nwrite > 0))
			return VIRTQ_FAULT_ORDER;
		w->read_bytes += d->len;
	}
	if (unlikely(w->read_bytes + w->write_bytes > UINT32_MAX))
		return VIRTQ_FAULT_TOO_LONG;
	return 0;
}

/* A chain or table ends here. */
#define CHAIN_END (-1)

/*
 * Where a chain goes on after a descriptor, seen of which were followed so far: 0 and *at, CHAIN_END, or a fault.
 * limit is the length of the table that it lies in.
 */
static inline int chain_next(const struct desc *d, uint32_t limit, uint32_t seen, uint32_t *at)
{
	if (likely(!(d->flags & VIRTQ_DESC_NEXT)))
		return CHAIN_END;
	if (unlikely(seen >= limit))
		return VIRTQ_FAULT_TOO_MANY; /* circular: more steps than entries */
	*at = d->extra;
	return unlikely(*at >= limit) ? VIRTQ_FAULT_NEXT : 0;
}

/*
 * Take entry *at of an indirect table. 0: goes on at the new *at; CHAIN_END; or as chain_add(). seen counts the
 * entries that were taken.
 */
int chain_table_step(struct walk *w, const struct desc *d, int packed, uint32_t entries,
                     uint32_t *seen, uint32_t *at);

static inline void piece_put(struct walk *w, void *base, size_t len, int write)
{
	w->iov->base = base;
	w->iov->len = len;
	w->iov++;
	w->left--;
	if (write)
		w->nwrite++;
	else
		w->nread++;
}

/* The buffer is no plain stretch of one region that the index knows: chain_add_pieces() is to add it. */
#define NOT_PLAIN INT32_MIN

/* Add the buffer of one descriptor, if it is plain. An empty one is left out. Calls nothing. */
static inline int chain_add_plain(struct walk *w, const struct desc *d)
{
	void *base;
	int err;

	if (unlikely(d->len == 0))
		return 0;
	err = buffer_check(w, d);
	if (unlikely(err != 0))
		return err;
	if (unlikely(!w->vq->plain) ||
	    unlikely(!mem_plain(w->mem, w->mem->index_shift, d->addr, d->len, &base)))
		return NOT_PLAIN;
	if (unlikely(w->left == 0))
		return VIRTQ_ENOSPC;
	piece_put(w, base, d->len, d->flags & VIRTQ_DESC_WRITE);
	return 0;
}

#ifdef DEV_BURSTS
static inline int chain_add(struct walk *w, const struct desc *d)
{
	int err = chain_add_plain(w, d);

	return unlikely(err == NOT_PLAIN) ? chain_add_pieces(w, d) : err;
}
#else
/* Less text. */
int virtq__chain_add(struct walk *w, const struct desc *d);
#define chain_add virtq__chain_add
#endif

static inline void chain_fill(struct virtq_chain *c, const struct walk *w,
                              const struct virtq_iov *iov, uint16_t id, uint16_t more)
{
	struct virtq_dev *vq = w->vq;

	c->iov = iov;
	c->nread = w->nread;
	c->nwrite = w->nwrite;
	c->read_bytes = (uint32_t)w->read_bytes;
	c->write_bytes = (uint32_t)w->write_bytes;
	c->id = id;
	c->more = more;
	c->seq = vq->seq;
}

/*
 * Translate [iova, iova + *len) for a queue that has a translation: *gpa, and *len cut to what is contiguous.
 * 0, VIRTQ_EAGAIN, VIRTQ_EFAULT.
 */
int xlat_lookup(struct virtq_dev *vq, uint64_t iova, uint64_t *len, int write, uint64_t *gpa);

#endif
