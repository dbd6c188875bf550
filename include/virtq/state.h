/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A queue's state as plain data. It is what a queue is started from, fresh or restored: there is no
 * other way in, and it is not trusted.
 */
#ifndef VIRTQ_STATE_H
#define VIRTQ_STATE_H

#include <stdint.h>

#include <virtq/error.h>
#include <virtq/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of virtq_state. */
enum virtq_state_flag {
	/** unsignalled is known. Without it, the first entries used after the start always notify. */
	VIRTQ_STATE_SIGNALLED = 1,
	/**
	 * Split ring: take the used index from the ring in memory instead of from used (vhost-user).
	 * Mapped memory only.
	 */
	VIRTQ_STATE_USED_IN_RING = 2,
	/** With the former: what was available and not used counts as not yet taken; avail is ignored. */
	VIRTQ_STATE_AVAIL_IS_USED = 4
};

/** Bit of virtq_state.avail and .used in the packed ring: the wrap counter. */
#define VIRTQ_STATE_WRAP 0x8000u

/**
 * State of a queue whose buffers are all given back. A fresh one: the addresses and the size, all
 * else 0 for a split ring; avail = used = #VIRTQ_STATE_WRAP for a packed one (virtq_state_fresh()).
 */
struct virtq_state {
	uint64_t desc;   /**< address of the descriptor table, or of the packed ring */
	uint64_t driver; /**< address of the driver area: available ring, or event suppression */
	uint64_t device; /**< address of the device area: used ring, or event suppression */
	uint16_t size;   /**< descriptors: a power of two to 32768 (split), 1 to 32768 (packed) */
	uint16_t avail;  /**< next available entry: free-running index, or place with wrap counter */
	uint16_t used;   /**< next used entry, likewise */
	uint16_t unsignalled; /**< entries (packed: slots) used since should_interrupt was last asked */
	uint16_t flags;       /**< enum virtq_state_flag */
	uint16_t reserved[3]; /**< 0 */
};

/** Set the positions of @p s to those of a queue that was never used. Addresses and size stay. */
void virtq_state_fresh(struct virtq_state *s, const struct virtq_features *features);

/**
 * Check a state against itself: size, alignment of the parts (sections 2.7, 2.8), positions within
 * the ring, reserved fields, sums that would wrap.
 * @return 0, or VIRTQ_EBADMSG
 */
VIRTQ_MUST_CHECK int virtq_state_check(const struct virtq_state *s,
                                       const struct virtq_features *features);

#ifdef __cplusplus
}
#endif

#endif
