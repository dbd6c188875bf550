/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translations that the front-end has told us of: stretches of I/O addresses that don't overlap, sorted, bounded in
 * number. It is a cache: whatever it forgets is asked for again.
 */
#ifndef VDEV_VHOST_USER_IOTLB_CACHE_H
#define VDEV_VHOST_USER_IOTLB_CACHE_H

#include <vdev/env.h>

/* Both ends are in it, so that one may reach up to 2^64. */
struct vu_xlat {
	uint64_t first;
	uint64_t last;
	uint64_t gpa;  /* of first */
	uint32_t perm; /* enum vu_iotlb_perm */
};

struct vu_cache {
	struct vdev_env env;
	struct vu_xlat *entry;
	uint32_t n;
	uint32_t room;
	uint32_t max;
	uint32_t random;
	uint64_t evicted;
};

void vu_cache_init(struct vu_cache *c, const struct vdev_env *env, uint32_t max);
void vu_cache_free(struct vu_cache *c);
/*
 * Put in [first, last], in place of what was there. 1 when something else was: an address that lay elsewhere or allowed
 * more; 0 when not; VIRTQ_ENOMEM.
 */
int vu_cache_insert(struct vu_cache *c, const struct vu_xlat *x);
/* Forget [first, last]; entries that reach out of it are cut. */
void vu_cache_remove(struct vu_cache *c, uint64_t first, uint64_t last);
/* The entry that holds an address, or NULL. */
const struct vu_xlat *vu_cache_find(const struct vu_cache *c, uint64_t iova);

#endif
