/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking up guest addresses: the part of mem.c that the ring code wants inlined. */
#ifndef LIBVIRTQ_MEM_H
#define LIBVIRTQ_MEM_H

#include <virtq/mem.h>

#include "arch.h"

/* Up to here a plain scan is quicker than halving; a build for size has but one of them. */
#ifdef VIRTQ_FOR_SIZE
#define MEM_SCAN_MAX 0
#else
#define MEM_SCAN_MAX 8
#endif

const struct virtq_region *mem_find_sorted(const struct virtq_mem *mem, uint64_t gpa);

/* The region that holds gpa, or NULL. */
static inline const struct virtq_region *mem_find(const struct virtq_mem *mem, uint64_t gpa)
{
	const struct virtq_region *r = mem->regions;

	if (MEM_SCAN_MAX == 0 || unlikely(mem->count > MEM_SCAN_MAX))
		return mem_find_sorted(mem, gpa);
	for (uint32_t i = mem->count; i > 0; i--, r++)
		if (gpa - r->gpa < r->len)
			return r;
	return NULL;
}

#if VIRTQ_MEM_INDEX > 0
/* The address bits from index_shift on are the slot's place in bytes, so that nothing is multiplied. */
#define MEM_SLOT_SHIFT 5
#define MEM_SLOT_MASK  ((uint64_t)(VIRTQ_MEM_INDEX - 1) << MEM_SLOT_SHIFT)

_Static_assert(sizeof(struct virtq_mem_slot) == 1 << MEM_SLOT_SHIFT, "size of a slot");
#endif

/*
 * Where a buffer lies here: 1 and *base, if it is not empty and lies whole in a region that can be written and that
 * the index knows, which is nearly always so; else 0, and somebody has to look closer. shift is mem->index_shift.
 */
static inline int mem_plain(const struct virtq_mem *mem, uint32_t shift, uint64_t gpa, uint64_t len,
                            void **base)
{
#if VIRTQ_MEM_INDEX > 0
	const uint8_t *slots = (const uint8_t *)mem->index;
	const struct virtq_mem_slot *slot = (const void *)(slots + (gpa >> shift & MEM_SLOT_MASK));
	uint64_t left = slot->end - gpa;

	if (unlikely(left > slot->len) || unlikely(len - 1 >= left))
		return 0;
	*base = (void *)(slot->host + (uintptr_t)gpa);
	return 1;
#else
	const struct virtq_region *r = mem_find(mem, gpa);

	(void)shift;
	if (r == NULL || len == 0 || len > r->len - (gpa - r->gpa) || r->flags & VIRTQ_REGION_READONLY)
		return 0;
	*base = (uint8_t *)r->host + (gpa - r->gpa);
	return 1;
#endif
}

/* The log that writes are to be marked in, or NULL. */
static inline struct virtq_dirty *mem_log(const struct virtq_mem *mem)
{
	if (mem == NULL || mem->log == NULL)
		return NULL;
	return load_acquire(&mem->log->current);
}

#ifdef VIRTQ_FOR_SIZE
struct virtq_dirty *virtq__mem_log(const struct virtq_mem *mem);
#ifndef ARCH_BODIES
#define mem_log(mem) virtq__mem_log(mem)
#endif
#endif

#endif
