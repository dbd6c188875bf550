/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking up guest addresses: the part of mem.c that the ring code wants inlined. */
#ifndef LIBVIRTQ_MEM_H
#define LIBVIRTQ_MEM_H

#include <virtq/mem.h>

#include "arch.h"

/* Up to here a plain scan is quicker than halving. */
#define MEM_SCAN_MAX 8

const struct virtq_region *mem_find_sorted(const struct virtq_mem *mem, uint64_t gpa);

/* The region that holds gpa, or NULL. */
static inline const struct virtq_region *mem_find(const struct virtq_mem *mem, uint64_t gpa)
{
	const struct virtq_region *r = mem->regions;

	if (unlikely(mem->count > MEM_SCAN_MAX))
		return mem_find_sorted(mem, gpa);
	for (uint32_t i = mem->count; i > 0; i--, r++)
		if (gpa - r->gpa < r->len)
			return r;
	return NULL;
}

/* The log that writes are to be marked in, or NULL. */
static inline struct virtq_dirty *mem_log(const struct virtq_mem *mem)
{
	if (mem == NULL || mem->log == NULL)
		return NULL;
	return load_acquire(&mem->log->current);
}

#endif
