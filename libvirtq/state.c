/* SPDX-License-Identifier: BSD-3-Clause */
#include <virtq/state.h>

#include "arch.h"

void virtq_state_fresh(struct virtq_state *s, const struct virtq_features *features)
{
	uint16_t start = virtq_features_has(features, VIRTQ_F_RING_PACKED) ? VIRTQ_STATE_WRAP : 0;

	s->avail = start;
	s->used = start;
	s->unsignalled = 0;
	s->flags = VIRTQ_STATE_SIGNALLED;
	s->reserved[0] = s->reserved[1] = s->reserved[2] = 0;
}

static int part_ok(uint64_t addr, uint64_t bytes, uint64_t align)
{
	return addr % align == 0 && bytes - 1 <= UINT64_MAX - addr;
}

static int split_ok(const struct virtq_state *s)
{
	if ((s->size & (s->size - 1)) != 0)
		return 0;
	if (!part_ok(s->desc, VIRTQ_SPLIT_DESC_BYTES(s->size), 16) ||
	    !part_ok(s->driver, VIRTQ_SPLIT_DRIVER_BYTES(s->size), 2) ||
	    !part_ok(s->device, VIRTQ_SPLIT_DEVICE_BYTES(s->size), 4))
		return 0;
	/* Chains between used and avail are out elsewhere (a crashed predecessor has them): at most a ring full. */
	if (s->flags & VIRTQ_STATE_USED_IN_RING)
		return 1;
	if (s->flags & VIRTQ_STATE_AVAIL_IS_USED)
		return 0;
	return (uint16_t)(s->avail - s->used) <= s->size;
}

static uint32_t packed_steps(const struct virtq_state *s)
{
	uint32_t avail = s->avail & ~VIRTQ_STATE_WRAP, used = s->used & ~VIRTQ_STATE_WRAP;

	if ((s->avail ^ s->used) & VIRTQ_STATE_WRAP)
		avail += s->size;
	return avail - used; /* wraps to something huge when avail is behind used */
}

static int packed_ok(const struct virtq_state *s)
{
	if (!part_ok(s->desc, VIRTQ_PACKED_DESC_BYTES(s->size), 16) ||
	    !part_ok(s->driver, VIRTQ_PACKED_EVENT_BYTES, 4) ||
	    !part_ok(s->device, VIRTQ_PACKED_EVENT_BYTES, 4))
		return 0;
	if ((s->avail & ~VIRTQ_STATE_WRAP) >= s->size || (s->used & ~VIRTQ_STATE_WRAP) >= s->size)
		return 0;
	return !(s->flags & (VIRTQ_STATE_USED_IN_RING | VIRTQ_STATE_AVAIL_IS_USED)) &&
	       packed_steps(s) <= s->size;
}

int virtq_state_check(const struct virtq_state *s, const struct virtq_features *features)
{
	const uint16_t in_ring = VIRTQ_STATE_USED_IN_RING | VIRTQ_STATE_AVAIL_IS_USED;
	const uint16_t known = VIRTQ_STATE_SIGNALLED | in_ring;
	int ok;

	if (s->size == 0 || s->size > VIRTQ_MAX_SIZE || (s->flags & ~known) != 0 ||
	    (s->reserved[0] | s->reserved[1] | s->reserved[2]) != 0)
		return VIRTQ_EBADMSG;
	ok = virtq_features_has(features, VIRTQ_F_RING_PACKED) ? packed_ok(s) : split_ok(s);
	return ok ? 0 : VIRTQ_EBADMSG;
}
