/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a platform may need done otherwise than with the compiler's atomics: barriers towards a
 * device that is not a processor (ORDER_PLATFORM, section 6), caches that are not coherent, memory
 * across a bus.
 */
#ifndef VIRTQ_PLATFORM_H
#define VIRTQ_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Barriers and cache care. Any member may be NULL: then the compiler's fences are used (which suit
 * another processor that shares the memory coherently), and nothing is done about caches.
 */
struct virtq_platform {
	size_t size;                /**< sizeof(struct virtq_platform) */
	void (*barrier)(void *ctx); /**< full: earlier loads and stores before later ones */
	void (*read_barrier)(void *ctx);
	void (*write_barrier)(void *ctx);
	/** write back, before the other side reads */
	void (*clean)(void *ctx, const void *p, size_t len);
	void (*invalidate)(void *ctx, const void *p, size_t len); /**< drop, before we read */
	void *ctx;
};

/**
 * Memory across a bus. Reads may take their time and may finish in any order; writes take effect in
 * the order they were given, and before any read that is started later. A read of an aligned 16-byte
 * descriptor must not show flags newer than the rest of it.
 */
struct virtq_dma {
	size_t size; /**< sizeof(struct virtq_dma) */
	/**
	 * Start reading @p len bytes at bus address @p addr into @p dst, which stays put until it is
	 * done.
	 * @return 0: started, virtq_dev_dma_done() with @p tag follows (never from inside this call);
	 *         1: done already; < 0: it can't be read, which breaks the queue.
	 */
	int (*read)(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag);
	/** Write; @p src may be reused on return. @return 0, or < 0, which breaks the queue. */
	int (*write)(void *ctx, uint64_t addr, const void *src, uint32_t len);
	void *ctx;
};

#ifdef __cplusplus
}
#endif

#endif
