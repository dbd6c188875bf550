/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed descriptors of buffers, four at a time, where the processor has AVX2: found out when a queue is set up. These
 * only do what is as usual, and leave the rest, from the first four on of which one is different, to the plain loops.
 * VIRTQ_NO_WIDE leaves them out of a build, VIRTQ_DEV_NO_WIDE out of a queue.
 */
#ifndef LIBVIRTQ_DEV_WIDE_H
#define LIBVIRTQ_DEV_WIDE_H

#include "dev.h"

#if defined(DEV_BURSTS) && !defined(VIRTQ_NO_PACKED) && !defined(VIRTQ_NO_DEVICE) &&               \
	!defined(VIRTQ_NO_WIDE) && !defined(UNDER_TSAN) && defined(__x86_64__) &&                      \
	defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define DEV_WIDE 1
#endif
#endif

#ifdef DEV_WIDE
/* Whether processor and operating system have what it takes. */
int dev_wide_here(void);

/*
 * Take up to n available descriptors from p on, which have these flags; the ring does not end before p + n. Returns how
 * many were taken.
 */
uint32_t dev_wide_take(struct virtq_dev *vq, const uint8_t *p, struct virtq_buffer *b, uint32_t n,
                       uint32_t flags);

/* Write n used descriptors from p on with these flags, the first with others. written: NULL when the buffers were read. */
uint32_t dev_wide_give(struct virtq_dev *vq, uint8_t *p, const struct virtq_buffer *b,
                       const uint32_t *written, uint32_t n, uint32_t flags, uint32_t first_flags);
#else
static inline int dev_wide_here(void)
{
	return 0;
}

static inline uint32_t dev_wide_take(struct virtq_dev *vq, const uint8_t *p, struct virtq_buffer *b,
                                     uint32_t n, uint32_t flags)
{
	(void)vq;
	(void)p;
	(void)b;
	(void)n;
	(void)flags;
	return 0;
}

static inline uint32_t dev_wide_give(struct virtq_dev *vq, uint8_t *p, const struct virtq_buffer *b,
                                     const uint32_t *written, uint32_t n, uint32_t flags,
                                     uint32_t first_flags)
{
	(void)vq;
	(void)p;
	(void)b;
	(void)written;
	(void)n;
	(void)flags;
	(void)first_flags;
	return 0;
}
#endif

#endif
