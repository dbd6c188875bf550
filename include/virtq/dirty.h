/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Dirty log: which pages of guest memory the device side has written since the log was last read.
 *
 * The bitmap is the caller's memory. In its exported form page n is bit n%8 of byte n/8, which is
 * what vhost-user shares; on a big-endian machine the words are arranged so that the bytes come out
 * so.
 */
#ifndef VIRTQ_DIRTY_H
#define VIRTQ_DIRTY_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** For targets without atomic read-modify-write: how to do it there. */
struct virtq_dirty_hooks {
	size_t size; /**< sizeof(struct virtq_dirty_hooks) */
	/** *word |= bits, atomically against every other user of the log. */
	void (*or_word)(void *ctx, uintptr_t *word, uintptr_t bits);
	/** Return *word and set it to 0, atomically. */
	uintptr_t (*take_word)(void *ctx, uintptr_t *word);
	void *ctx;
};

/** A log. Fields are private; initialise with virtq_dirty_init(). */
struct virtq_dirty {
	uintptr_t *words;
	size_t nwords;
	uint64_t base;
	uint64_t npages;
	uint32_t page_shift;
	uint32_t outside;
	const struct virtq_dirty_hooks *hooks;
};

/**
 * Set up a log of the pages from address @p base on.
 * @param base        log address of the first page, a multiple of the page size
 * @param page_shift  page size is 1 << page_shift bytes; 0 to 30
 * @param words       bitmap of @p nwords words in the machine's native width, not cleared here (a
 *                    front-end may share one that already has bits); stays the caller's and must
 *                    outlive the log
 * @param hooks       NULL where the machine has atomics
 * @return 0, or VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK int virtq_dirty_init(struct virtq_dirty *d, uint64_t base, uint32_t page_shift,
                                      uintptr_t *words, size_t nwords,
                                      const struct virtq_dirty_hooks *hooks);

/**
 * Mark every page that [@p addr, @p addr + @p len) touches. Any thread. Pages outside of the log
 * are not marked but counted, see virtq_dirty_outside().
 */
void virtq_dirty_mark(struct virtq_dirty *d, uint64_t addr, uint64_t len);

/**
 * Fetch and clear the marks of @p nwords words from word @p first on. Any thread; each mark is
 * returned to exactly one caller.
 * @param out  receives the words in exported form (native order of the bitmap's memory)
 * @return number of marked pages, or VIRTQ_EINVAL when the range is outside of the log
 */
VIRTQ_MUST_CHECK int64_t virtq_dirty_take(struct virtq_dirty *d, size_t first, size_t nwords,
                                          uintptr_t *out);

/** How many marks fell outside of the log since it was set up (it wraps). Any thread. */
uint32_t virtq_dirty_outside(const struct virtq_dirty *d);

/**
 * The switch that says whether writes are logged, and into which log. One is shared by all memory
 * maps of a device so that turning it on covers buffers that are already out. Zero-initialised:
 * off.
 */
struct virtq_log {
	struct virtq_dirty *current;
};

/**
 * Turn logging on (into @p d) or off (NULL). Any thread. After it is turned off a thread that is
 * just releasing buffers may still write into the old log: free it only once each queue's owner has
 * been through its run call.
 */
void virtq_log_set(struct virtq_log *log, struct virtq_dirty *d);

#ifdef __cplusplus
}
#endif

#endif
