/* SPDX-License-Identifier: BSD-3-Clause */
#include "chain.h"

#ifndef VIRTQ_NO_DEVICE

enum { ASK_AHEAD = 15, ASK_STEP = 4096 };

static struct virtq_xlat *xlat_slot(struct virtq_dev *vq, uint64_t iova)
{
	return &vq->xlat_cache[(iova >> 12) & (vq->xlat_entries - 1)];
}

static int xlat_covers(const struct virtq_xlat *x, uint64_t iova, int write)
{
	return iova - x->iova < x->len && (x->perm & (write ? 2u : 1u)) != 0;
}

int xlat_lookup(struct virtq_dev *vq, uint64_t iova, uint64_t *len, int write, uint64_t *gpa)
{
	struct virtq_xlat answer, *x = NULL;
	uint64_t left;
	int err;

	if (vq->xlat_entries > 0)
		x = xlat_slot(vq, iova);
	if (x == NULL || !xlat_covers(x, iova, write)) {
		answer = (struct virtq_xlat){0};
		err = vq->xlat->translate(vq->xlat->ctx, iova, write, &answer);
		if (err != 0)
			return err == VIRTQ_EAGAIN ? err : VIRTQ_EFAULT;
		if (!xlat_covers(&answer, iova, write))
			return VIRTQ_EFAULT;
		if (x != NULL)
			*x = answer;
		x = &answer;
	}
	left = x->len - (iova - x->iova);
	*gpa = x->gpa + (iova - x->iova);
	if (*len > left)
		*len = left;
	return 0;
}

void virtq_dev_invalidate(struct virtq_dev *vq, uint64_t iova, uint64_t len)
{
	for (uint32_t i = 0; i < vq->xlat_entries; i++) {
		struct virtq_xlat *x = &vq->xlat_cache[i];

		if (len == UINT64_MAX ||
		    (x->len > 0 && len > 0 && (x->iova - iova < len || iova - x->iova < x->len)))
			x->len = 0;
	}
}

/* Bus addresses go out as they came: whoever does the transfers knows what they mean. */
static int seg_put(struct walk *w, uint64_t addr, uint64_t len, int write)
{
	if (w->left == 0)
		return VIRTQ_ENOSPC;
	*w->seg++ = (struct virtq_seg){addr, len};
	w->left--;
	if (write)
		w->nwrite++;
	else
		w->nread++;
	return 0;
}

/*
 * The pages that follow one whose translation is not known will be needed too: ask for some of them at once, so that
 * their answers don't wait for each other. What comes of it shows when the chain is popped.
 */
static void ask_ahead(struct virtq_dev *vq, uint64_t addr, uint64_t left, int write)
{
	for (int i = 0; i < ASK_AHEAD; i++) {
		uint64_t step = ASK_STEP - addr % ASK_STEP, len = 1, gpa;

		if (left <= step)
			return;
		addr += step;
		left -= step;
		(void)xlat_lookup(vq, addr, &len, write, &gpa);
	}
}

int chain_add_pieces(struct walk *w, const struct desc *d)
{
	int write = d->flags & VIRTQ_DESC_WRITE;
	uint64_t addr = d->addr, left = d->len;

	if (left - 1 > UINT64_MAX - addr)
		return VIRTQ_FAULT_ADDRESS;
	if (w->seg != NULL)
		return seg_put(w, addr, left, write);
	while (left > 0) {
		uint64_t gpa = addr, len = left;
		int n;

		if (w->vq->xlat != NULL) {
			n = xlat_lookup(w->vq, addr, &len, write, &gpa);
			if (n == VIRTQ_EAGAIN)
				ask_ahead(w->vq, addr, left, write);
			if (n != 0)
				return n == VIRTQ_EAGAIN ? n : VIRTQ_FAULT_ADDRESS;
		}
		n = virtq_mem_map(w->mem, gpa, len, write, w->iov, w->left);
		if (n < 0)
			return n == VIRTQ_ENOSPC ? n : VIRTQ_FAULT_ADDRESS;
		w->iov += n;
		w->left -= (uint32_t)n;
		if (write)
			w->nwrite += (uint32_t)n;
		else
			w->nread += (uint32_t)n;
		addr += len;
		left -= len;
	}
	return 0;
}

/* Drop our copy of a stretch of guest memory, where the machine is not coherent. */
static void stretch_invalidate(const struct walk *w, uint64_t gpa, uint64_t len)
{
	while (len > 0 && w->vq->platform != NULL) {
		const struct virtq_region *r = mem_find(w->mem, gpa);
		uint64_t part;

		if (r == NULL)
			return;
		part = r->len - (gpa - r->gpa);
		if (part > len)
			part = len;
		cache_invalidate(w->vq->platform, (const uint8_t *)r->host + (gpa - r->gpa), (size_t)part);
		gpa += part;
		len -= part;
	}
}

/* Copy a descriptor of a table that may lie anywhere: unaligned, across regions, behind a translation. */
static int table_copy(struct walk *w, uint64_t addr, uint8_t *dst)
{
	uint64_t left = VIRTQ_DESC_BYTES; /* the table does not go over the end of the addresses */

	while (left > 0) {
		uint64_t gpa = addr, len = left;
		int err;

		if (w->vq->xlat != NULL) {
			err = xlat_lookup(w->vq, addr, &len, 0, &gpa);
			if (err != 0)
				return err == VIRTQ_EAGAIN ? err : VIRTQ_FAULT_ADDRESS;
		}
		stretch_invalidate(w, gpa, len);
		if (virtq_mem_read(w->mem, gpa, dst, (size_t)len) != 0)
			return VIRTQ_FAULT_ADDRESS;
		dst += len;
		addr += len;
		left -= len;
	}
	return 0;
}

#ifndef DEV_BURSTS
int chain_add(struct walk *w, const struct desc *d)
{
	int err = chain_add_plain(w, d);

	return err == NOT_PLAIN ? chain_add_pieces(w, d) : err;
}
#endif

/* Where the table goes on after an entry whose buffer was added. */
static inline int table_next(const struct desc *d, int packed, uint32_t entries, uint32_t *seen,
                             uint32_t *at)
{
	(*seen)++;
	if (!packed)
		return chain_next(d, entries, *seen, at);
	*at = *seen;
	return *seen == entries ? CHAIN_END : 0;
}

/* In a packed table only WRITE counts (2.8.7); in a split one, no table within a table (2.7.5.3). */
static inline int table_nested(const struct desc *d, int packed)
{
	return !packed && (d->flags & VIRTQ_DESC_INDIRECT) != 0;
}

int chain_table_step(struct walk *w, const struct desc *d, int packed, uint32_t entries,
                     uint32_t *seen, uint32_t *at)
{
	int err;

	if (unlikely(table_nested(d, packed)))
		return VIRTQ_FAULT_INDIRECT_FLAGS;
	err = chain_add(w, d);
	return err != 0 ? err : table_next(d, packed, entries, seen, at);
}

/* Where a table lies here, in one piece and aligned; NULL: it does not, and is read piecewise. */
static const uint8_t *table_at(const struct walk *w, const struct desc *table)
{
	void *host = NULL;

	if (w->vq->xlat != NULL)
		return NULL;
	if (!mem_plain(w->mem, w->mem->index_shift, table->addr, table->len, &host))
		host = virtq_mem_at(w->mem, table->addr, table->len, 0);
	return (uintptr_t)host % sizeof(uint64_t) == 0 ? host : NULL;
}

/* Read an entry of a table that lies anywhere. */
static int table_load(struct walk *w, uint64_t addr, int packed, struct desc *out)
{
	uint64_t raw[2];
	int err = table_copy(w, addr, (uint8_t *)raw);

	if (err == 0)
		*out = desc_from(le64(raw[0]), le64(raw[1]), packed);
	return err;
}

/* Follow a table from d on; host is NULL where its entries have to be copied. */
static int table_walk(struct walk *w, const uint8_t *host, uint64_t addr, uint32_t entries,
                      uint32_t seen, struct desc d, int packed)
{
	for (;;) {
		uint32_t i = 0;
		int err = chain_table_step(w, &d, packed, entries, &seen, &i);

		if (err == CHAIN_END)
			break;
		if (err == 0 && host != NULL)
			d = desc_load(host + (size_t)i * VIRTQ_DESC_BYTES, packed);
		else if (err == 0)
			err = table_load(w, addr + (uint64_t)i * VIRTQ_DESC_BYTES, packed, &d);
		if (err != 0)
			return err;
	}
	w->count += seen;
	return 0;
}

int chain_indirect(struct walk *w, const struct desc *table, int packed)
{
	int err = indirect_check(w->vq, table, w->count);
	const uint8_t *host;
	struct desc d;

	if (err != 0)
		return err;
	if (table->len - 1 > UINT64_MAX - table->addr)
		return VIRTQ_FAULT_ADDRESS;
	host = table_at(w, table);
	if (host != NULL) {
		cache_invalidate(w->vq->platform, host, table->len);
		d = desc_load(host, packed);
	} else {
		err = table_load(w, table->addr, packed, &d);
	}
	if (err != 0)
		return err;
	return table_walk(w, host, table->addr, table->len / VIRTQ_DESC_BYTES, 0, d, packed);
}

#ifdef DEV_BURSTS
int chain_table_rest(struct walk *w, const uint8_t *table, uint32_t entries, uint32_t seen,
                     struct desc d, int packed)
{
	return table_walk(w, table, 0, entries, seen, d, packed);
}
#endif

#endif
