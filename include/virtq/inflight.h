/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Which requests of a queue are out, noted in memory that outlives the device: so that a successor
 * of a device that was killed can carry them out again, each exactly once as the driver sees it.
 *
 * A region of that memory belongs to one queue. Its layout is the one that vhost-user calls "inflight
 * I/O tracking" (version 1), in the byte order of the machine. It need not be shared with anybody: a
 * copy of it in private memory is how requests that are out are handed over as plain data.
 *
 * Whatever the device does between two of its stores, the region says which requests the driver has not
 * seen used. It is read once, when it is attached, and not trusted.
 *
 * Threads: as virtq/device.h. Memory: all of it is the caller's.
 */
#ifndef VIRTQ_INFLIGHT_H
#define VIRTQ_INFLIGHT_H

#include <virtq/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a queue notes its requests. Zero what is not needed. */
struct virtq_inflight_config {
	size_t size; /**< sizeof(struct virtq_inflight_config) */
	/** the region, aligned to 8, until virtq_dev_fini(); all zero when it is new */
	void *region;
	size_t region_bytes; /**< at least virtq_inflight_bytes() */
	/** entries that the region was made for: the queue's size or more, at most 32768 */
	uint32_t entries;
	uint32_t reserved;
	void *scratch; /**< virtq_inflight_scratch() bytes, aligned to 8, until virtq_dev_fini() */
	size_t scratch_bytes;
};

/**
 * Bytes of a region.
 * @param entries  1 to 32768
 * @param packed   whether it is for a packed ring
 */
size_t virtq_inflight_bytes(uint32_t entries, int packed);

/** Bytes of scratch memory that a queue needs besides. */
size_t virtq_inflight_scratch(const struct virtq_dev *vq, uint32_t entries);

/**
 * Note requests from here on, and take over those that a predecessor noted and did not finish. To be
 * called after virtq_dev_init() and before anything else; mapped memory only.
 *
 * A region that is all zero is made ready. From any other the queue takes its positions, whatever the
 * state said: the used position is that of the ring, and what is available comes after the requests
 * that are out. virtq_dev_pop() gives these first, in the order in which they were popped once.
 * @return how many requests come again; VIRTQ_EINVAL (configuration); VIRTQ_EBADMSG: the region
 *         contradicts itself or the ring. On error the queue can only be finished.
 */
VIRTQ_MUST_CHECK int virtq_inflight_attach_sized(struct virtq_dev *vq, size_t vq_size,
                                                 const struct virtq_inflight_config *cfg);

/** See virtq_inflight_attach_sized(). */
VIRTQ_MUST_CHECK static inline int virtq_inflight_attach(struct virtq_dev *vq,
                                                         const struct virtq_inflight_config *cfg)
{
	return virtq_inflight_attach_sized(vq, sizeof(*vq), cfg);
}

/** Requests of a predecessor that virtq_dev_pop() will give before any other. */
uint32_t virtq_inflight_left(const struct virtq_dev *vq);

/**
 * virtq_dev_state() of a queue whose region stays: requests of a predecessor that were not popped again
 * count as taken, so that the available position is behind them.
 * @return 0, or VIRTQ_EBUSY: chains are out, or what was pushed is not published
 */
VIRTQ_MUST_CHECK int virtq_inflight_state(const struct virtq_dev *vq, struct virtq_state *out);

/** 1 when the region at @p region was never used, or was cleared. It holds at least 16 bytes. */
int virtq_inflight_fresh(const void *region);

/** Forget what a region says; it may then be attached as a new one. No queue may be using it. */
void virtq_inflight_clear(void *region);

/** Bytes at the start of a region that say whether it was used and, of a packed ring, where that is. */
#define VIRTQ_INFLIGHT_HEAD 32

/**
 * Where a packed ring is, as a region says that nobody uses: for whoever connects the ring's next device.
 * @param head  the first VIRTQ_INFLIGHT_HEAD bytes of the region, or a copy of them; aligned to 8
 * @param size  of the ring
 * @param used  receives two used positions (as virtq_state.used). The ring is at the first one while the
 *              descriptor there is still available, as the driver made it; else at the second one.
 * @return 1; 0: the region is fresh; VIRTQ_EBADMSG: it says what can't be
 */
VIRTQ_MUST_CHECK int virtq_inflight_used(const void *head, uint16_t size, uint16_t used[2]);

#ifdef __cplusplus
}
#endif

#endif
