/* SPDX-License-Identifier: BSD-3-Clause */
#include "mem.h"

enum { INDEX_SHIFT_MIN = 12, INDEX_SHIFT_END = 60 };

static int region_ok(const struct virtq_region *r)
{
	/* An empty one has a last byte before its first: its address, or that of its memory here, is too large. */
	if (r->host == NULL || r->len - 1 > UINT64_MAX - r->gpa)
		return 0;
	if (r->len > SIZE_MAX || (uintptr_t)r->host > UINTPTR_MAX - (uintptr_t)(r->len - 1))
		return 0;
	if ((r->flags & ~(uint32_t)(VIRTQ_REGION_READONLY | VIRTQ_REGION_LOG)) != 0)
		return 0;
	return !(r->flags & VIRTQ_REGION_LOG) || r->len - 1 <= UINT64_MAX - r->log;
}

#if VIRTQ_MEM_INDEX > 0

/* The nth slot that a region touches, and how many there are. */
static struct virtq_mem_slot *index_slot(struct virtq_mem *mem, const struct virtq_region *r,
                                         uint32_t shift, uint32_t n)
{
	return &mem->index[((r->gpa >> shift) + n) % VIRTQ_MEM_INDEX];
}

static uint32_t index_slots(const struct virtq_region *r, uint32_t shift)
{
	uint64_t n = ((r->gpa + (r->len - 1)) >> shift) - (r->gpa >> shift) + 1;

	return n < VIRTQ_MEM_INDEX ? (uint32_t)n : VIRTQ_MEM_INDEX;
}

/*
 * Fill the index by the address bits from shift on. Of regions that touch a slot the largest gets it. Returns how
 * many bytes are in regions that have all their slots. What can't be written is left to those who look closer.
 */
static uint64_t index_fill(struct virtq_mem *mem, uint32_t shift)
{
	uint64_t bytes = 0;

	__builtin_memset(mem->index, 0, sizeof(mem->index));
	mem->index_shift = shift - MEM_SLOT_SHIFT;
	for (uint32_t i = 0; i < mem->count; i++) {
		const struct virtq_region *r = &mem->regions[i];

		for (uint32_t n = index_slots(r, shift); n > 0 && !(r->flags & VIRTQ_REGION_READONLY);) {
			struct virtq_mem_slot *slot = index_slot(mem, r, shift, --n);

			if (r->len > slot->len)
				*slot = (struct virtq_mem_slot){.end = r->gpa + r->len,
				                                .len = r->len,
				                                .host = (uintptr_t)r->host - (uintptr_t)r->gpa};
		}
	}
	for (uint32_t i = 0; i < mem->count; i++) {
		const struct virtq_region *r = &mem->regions[i];
		uint32_t n = index_slots(r, shift);

		while (n > 0 && index_slot(mem, r, shift, n - 1)->end == r->gpa + r->len)
			n--;
		if (n == 0)
			bytes += r->len;
	}
	return bytes;
}

/* Choose the bits that tell the regions apart best. */
static void index_build(struct virtq_mem *mem)
{
	uint64_t all = 0, most = 0;
	uint32_t best = INDEX_SHIFT_MIN;

	for (uint32_t i = 0; i < mem->count; i++)
		if (!(mem->regions[i].flags & VIRTQ_REGION_READONLY))
			all += mem->regions[i].len;
	for (uint32_t shift = INDEX_SHIFT_MIN; shift < INDEX_SHIFT_END && most < all; shift++) {
		uint64_t bytes = index_fill(mem, shift);

		if (bytes > most) {
			most = bytes;
			best = shift;
		}
	}
	(void)index_fill(mem, best);
}

#else
#define index_build(mem) ((void)(mem))
#endif

int virtq_mem_init(struct virtq_mem *mem, const struct virtq_region *regions, uint32_t n)
{
	if (n > 0 && regions == NULL)
		return VIRTQ_EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (!region_ok(&regions[i]))
			return VIRTQ_EINVAL;
		if (i > 0 && regions[i].gpa <= regions[i - 1].gpa + (regions[i - 1].len - 1))
			return VIRTQ_EINVAL;
	}
	*mem = (struct virtq_mem){.regions = regions, .count = n, .refs = 1};
	index_build(mem);
	return 0;
}

void virtq_mem_set_log(struct virtq_mem *mem, struct virtq_log *log)
{
	mem->log = log;
}

void virtq_mem_set_release(struct virtq_mem *mem, virtq_mem_release_fn release, void *ctx)
{
	mem->release = release;
	mem->ctx = ctx;
}

void virtq_mem_ref(struct virtq_mem *mem)
{
	fetch_add(&mem->refs, 1);
}

void virtq_mem_unref(struct virtq_mem *mem)
{
	/* Everybody's accesses through the map come before the last one's release of the memory. */
	if (fetch_add(&mem->refs, UINT32_MAX) == 1 && mem->release != NULL)
		mem->release(mem, mem->ctx);
}

const struct virtq_region *mem_find_sorted(const struct virtq_mem *mem, uint64_t gpa)
{
	uint32_t lo = 0, hi = mem->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct virtq_region *r = &mem->regions[mid];

		if (gpa < r->gpa)
			hi = mid;
		else if (gpa - r->gpa < r->len)
			return r;
		else
			lo = mid + 1;
	}
	return NULL;
}

void *virtq_mem_at(const struct virtq_mem *mem, uint64_t gpa, uint64_t len, int write)
{
	const struct virtq_region *r = mem_find(mem, gpa);

	if (r == NULL || (write && r->flags & VIRTQ_REGION_READONLY) || len > r->len - (gpa - r->gpa))
		return NULL;
	return (uint8_t *)r->host + (gpa - r->gpa);
}

int virtq_mem_map(const struct virtq_mem *mem, uint64_t gpa, uint64_t len, int write,
                  struct virtq_iov *iov, uint32_t max)
{
	uint32_t n = 0;

	if (len == 0)
		return mem_find(mem, gpa) != NULL ? 0 : VIRTQ_EFAULT;
	if (len - 1 > UINT64_MAX - gpa)
		return VIRTQ_EFAULT;
	while (len > 0) {
		const struct virtq_region *r = mem_find(mem, gpa);
		uint64_t part;

		if (r == NULL || (write && r->flags & VIRTQ_REGION_READONLY))
			return VIRTQ_EFAULT;
		part = r->len - (gpa - r->gpa);
		if (part > len)
			part = len;
		if (n == max || n == INT32_MAX)
			return VIRTQ_ENOSPC;
		iov[n].base = (uint8_t *)r->host + (gpa - r->gpa);
		iov[n++].len = (size_t)part;
		gpa += part;
		len -= part;
	}
	return (int)n;
}

/* One step of a copy: the piece at gpa, at most len bytes. */
static size_t piece_at(const struct virtq_mem *mem, uint64_t gpa, size_t len, int write, void **p)
{
	struct virtq_iov iov;
	const struct virtq_region *r = mem_find(mem, gpa);
	uint64_t left;

	if (r == NULL)
		return 0;
	left = r->len - (gpa - r->gpa);
	if (virtq_mem_map(mem, gpa, left < len ? left : len, write, &iov, 1) != 1)
		return 0;
	*p = iov.base;
	return iov.len;
}

int virtq_mem_read(const struct virtq_mem *mem, uint64_t gpa, void *dst, size_t len)
{
	size_t done = 0;

	if (len > 0 && len - 1 > UINT64_MAX - gpa)
		goto fault;
	while (done < len) {
		void *p;
		size_t part = piece_at(mem, gpa + done, len - done, 0, &p);

		if (part == 0)
			goto fault;
		__builtin_memcpy((uint8_t *)dst + done, p, part);
		done += part;
	}
	return 0;
fault:
	__builtin_memset(dst, 0, len);
	return VIRTQ_EFAULT;
}

int virtq_mem_write(const struct virtq_mem *mem, uint64_t gpa, const void *src, size_t len)
{
	void *p;
	size_t part;

	if (len > 0 && len - 1 > UINT64_MAX - gpa)
		return VIRTQ_EFAULT;
	for (size_t done = 0; done < len;
	     done += part) { /* all of it first, so that nothing is half written */
		part = piece_at(mem, gpa + done, len - done, 1, &p);
		if (part == 0)
			return VIRTQ_EFAULT;
	}
	for (size_t done = 0; done < len; done += part) {
		part = piece_at(mem, gpa + done, len - done, 1, &p);
		__builtin_memcpy(p, (const uint8_t *)src + done, part);
	}
	virtq_mem_mark(mem, gpa, len);
	return 0;
}

static uint64_t log_address(const struct virtq_region *r, uint64_t offset)
{
	return (r->flags & VIRTQ_REGION_LOG ? r->log : r->gpa) + offset;
}

void virtq_mem_mark(const struct virtq_mem *mem, uint64_t gpa, uint64_t len)
{
	struct virtq_dirty *d = mem_log(mem);

	if (d == NULL)
		return;
	while (len > 0) {
		const struct virtq_region *r = mem_find(mem, gpa);
		uint64_t part;

		if (r == NULL)
			return;
		part = r->len - (gpa - r->gpa);
		if (part > len)
			part = len;
		virtq_dirty_mark(d, log_address(r, gpa - r->gpa), part);
		gpa += part;
		len -= part;
	}
}

void virtq_mem_mark_iov(const struct virtq_mem *mem, const struct virtq_iov *iov, uint32_t n)
{
	struct virtq_dirty *d = mem_log(mem);

	if (d == NULL)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uintptr_t at = (uintptr_t)iov[i].base;
		size_t len = iov[i].len;

		/* Several regions may show some of the same memory, from before the piece on or within it: all are marked. */
		for (uint32_t j = 0; j < mem->count; j++) {
			const struct virtq_region *r = &mem->regions[j];
			uintptr_t host = (uintptr_t)r->host;
			uintptr_t skip = at < host ? host - at : 0, offset = at < host ? 0 : at - host;

			if (skip < len && offset < r->len)
				virtq_dirty_mark(d, log_address(r, offset),
				                 len - skip < r->len - offset ? len - skip : r->len - offset);
		}
	}
}
