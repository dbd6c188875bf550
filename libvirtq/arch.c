/* SPDX-License-Identifier: BSD-3-Clause */
/* What a build for size calls instead of having it in each place; else nothing. */
#define ARCH_BODIES 1
#include "mem.h"

#ifdef VIRTQ_FOR_SIZE

void virtq__read_barrier(const struct virtq_platform *pf)
{
	read_barrier(pf);
}

void virtq__write_barrier(const struct virtq_platform *pf)
{
	write_barrier(pf);
}

void virtq__full_barrier(const struct virtq_platform *pf)
{
	full_barrier(pf);
}

void virtq__cache_invalidate(const struct virtq_platform *pf, const void *p, size_t len)
{
	cache_invalidate(pf, p, len);
}

void virtq__cache_clean(const struct virtq_platform *pf, const void *p, size_t len)
{
	cache_clean(pf, p, len);
}

struct virtq_dirty *virtq__mem_log(const struct virtq_mem *mem)
{
	return mem_log(mem);
}

#endif
