/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Driver side of a virtqueue, split or packed: add, publish, should_kick, take, arm.
 *
 * The device is not trusted either: which descriptors are free, what a buffer's cookie is and how
 * long its writable part is are kept in private memory, and what the device writes is only compared
 * with it.
 *
 * Threads: a queue has one owner at a time, and every call here is the owner's. Memory is the
 * caller's.
 */
#ifndef VIRTQ_DRIVER_H
#define VIRTQ_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/error.h>
#include <virtq/mem.h>
#include <virtq/platform.h>
#include <virtq/state.h>
#include <virtq/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to set up the driver side. Zero what is not needed. */
struct virtq_drv_config {
	size_t size;                    /**< sizeof(struct virtq_drv_config) */
	struct virtq_features features; /**< as negotiated */
	uint16_t queue_size;            /**< descriptors */
	/**
	 * Entries of each indirect table, at most 32768; 0: none are used. Needs INDIRECT_DESC. In a
	 * split ring no more than queue_size of them are used (section 2.7.5.3.1).
	 */
	uint16_t indirect_max;
	uint32_t reserved;
	void *ring;         /**< virtq_drv_ring_bytes() bytes that the device sees, aligned to 16 */
	uint64_t ring_addr; /**< device address of ring */
	/** queue_size * indirect_max * 16 bytes that the device sees, aligned to 16 */
	void *indirect;
	uint64_t indirect_addr; /**< device address of indirect */
	void *scratch;          /**< virtq_drv_bytes() bytes, private, aligned to 8 */
	size_t scratch_bytes;
	const struct virtq_platform *platform; /**< NULL: coherent memory, compiler's fences */
};

/** Driver side of a queue. Fields are private; initialise with virtq_drv_init(). */
struct virtq_drv {
	uint8_t *desc;
	uint8_t *driver;
	uint8_t *device;
	uint8_t *indirect;
	struct virtq_drv_slot *slots;
	const struct virtq_platform *platform;
	uint64_t ring_addr;
	uint64_t indirect_addr;
	size_t publishes;
	uint32_t inflight;
	uint32_t unkicked;  /* published since should_kick was asked: buffers (packed: slots) */
	uint32_t batch_len; /* IN_ORDER: what the used entry of the open batch says */
	uint16_t size;
	uint16_t indirect_max;
	uint16_t free_head; /* of the free descriptors (packed: ids); IN_ORDER: the next in turn */
	uint16_t free_count;
	uint16_t avail;       /* split: free-running; packed: place */
	uint16_t avail_shown; /* split: avail->idx in memory; packed: place with wrap counter */
	uint16_t used;        /* split: free-running; packed: place */
	uint16_t unshown;     /* added, not yet published: buffers (packed: slots) */
	uint16_t oldest;      /* IN_ORDER: head (packed: id) of the oldest buffer that is out */
	uint16_t batch_id;    /* IN_ORDER: last buffer of the open batch */
	uint16_t held_flags;  /* packed: flags of the first descriptor, held back until publish */
	uint16_t held_place;
	uint16_t detach_at;
	uint8_t packed;
	uint8_t avail_wrap;
	uint8_t used_wrap;
	uint8_t event_idx;
	uint8_t in_order;
	uint8_t in_batch;
	uint8_t held;
	uint8_t broken;
	uint16_t reserved16;
	uint32_t reserved[4];
};

/** A buffer that the device has used. */
struct virtq_done {
	void *cookie;     /**< as given to virtq_drv_add() */
	uint32_t written; /**< bytes the device says it wrote; never more than the writable part */
	uint32_t reserved;
};

/** Bytes of ring memory. @return 0 when size and features don't go together */
size_t virtq_drv_ring_bytes(uint16_t queue_size, const struct virtq_features *features);
/** Bytes of private memory. @return 0 when size and features don't go together */
size_t virtq_drv_bytes(uint16_t queue_size, const struct virtq_features *features);

/** Set up the driver side, see virtq_drv_init(). */
VIRTQ_MUST_CHECK int virtq_drv_init_sized(struct virtq_drv *vq, size_t vq_size,
                                          const struct virtq_drv_config *cfg);

/**
 * Set up the driver side of a fresh queue. The ring memory is cleared.
 * @return 0, VIRTQ_EINVAL, or VIRTQ_ENOTSUP (layout left out of this build)
 */
VIRTQ_MUST_CHECK static inline int virtq_drv_init(struct virtq_drv *vq,
                                                  const struct virtq_drv_config *cfg)
{
	return virtq_drv_init_sized(vq, sizeof(*vq), cfg);
}

/** Addresses, size and fresh positions, to tell the device through a transport. */
void virtq_drv_state(const struct virtq_drv *vq, struct virtq_state *out);

/**
 * Make a buffer available; the device sees it with the next virtq_drv_publish().
 * @param seg     @p nread readable pieces, then @p nwrite writable ones, by device address; copied
 * @param cookie  returned with the buffer by virtq_drv_take()
 * @return 0; VIRTQ_ENOSPC: no free descriptors now; VIRTQ_EINVAL: no pieces at all, more than can
 *         ever fit, a piece above 2^32-1 bytes or 2^32 bytes and more in all; VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int virtq_drv_add(struct virtq_drv *vq, const struct virtq_seg *seg,
                                   uint32_t nread, uint32_t nwrite, void *cookie);

/** Show the device everything that was added, with one store. */
void virtq_drv_publish(struct virtq_drv *vq);

/**
 * Whether the device wants an available buffer notification for what was published since this was
 * last asked. @return 1 or 0
 */
VIRTQ_MUST_CHECK int virtq_drv_should_kick(struct virtq_drv *vq);

/**
 * The data to notify with (NOTIFICATION_DATA, section 2.9).
 * @param vqn  queue index, or the device's queue_notif_config_data
 */
uint32_t virtq_drv_notify_data(const struct virtq_drv *vq, uint16_t vqn);

/**
 * Take up to @p max buffers that the device has used.
 * @return how many; VIRTQ_EBROKEN: the device wrote nonsense (an id that is not out, a length above
 *         the buffer's, an index too far ahead) and the queue must be reset
 */
VIRTQ_MUST_CHECK int virtq_drv_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max);

/**
 * Ask for a notification of the next used buffer, then look once more.
 * @return 1: take again, which also says when the queue is broken; 0: it will come
 */
VIRTQ_MUST_CHECK int virtq_drv_arm(struct virtq_drv *vq);

/**
 * Tell the device that notifications are not needed now. A hint. With EVENT_IDX a split ring has no
 * such hint: there nothing is done.
 */
void virtq_drv_disarm(struct virtq_drv *vq);

/** Free descriptors. */
uint32_t virtq_drv_free(const struct virtq_drv *vq);

/** Buffers that are out. */
uint32_t virtq_drv_inflight(const struct virtq_drv *vq);

/**
 * Where the ring is now: addresses, size, the next available entry that will be shown (avail) and the
 * next used one that will be taken (used), as a device that has nothing in flight would state them.
 */
void virtq_drv_position(const struct virtq_drv *vq, struct virtq_state *out);

/**
 * The device went without a reset, and its successor will begin at the used position
 * (virtq_drv_position()): make sure that it finds there every buffer that is out. A split ring's
 * available entries are written anew; order among buffers that are out is not kept. With IN_ORDER
 * there is nothing to do. Nobody may be using the ring.
 * @param recorded  the successor knows by itself what is out (an in-flight record): the ring is left
 *         as it is
 * @return 0; VIRTQ_EAGAIN: used buffers have to be taken first; VIRTQ_EBUSY: a packed ring with
 *         buffers out, whose descriptors may be gone: virtq_drv_detach() and begin afresh;
 *         VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int virtq_drv_rewind(struct virtq_drv *vq, int recorded);

/**
 * Take back a buffer that the device has not used, after the queue or the device was reset.
 * Afterwards only virtq_drv_init() makes the queue usable.
 * @param cookie  receives the cookie of one buffer
 * @return 1, or 0 when none is left
 */
VIRTQ_MUST_CHECK int virtq_drv_detach(struct virtq_drv *vq, void **cookie);

#ifdef __cplusplus
}
#endif

#endif
