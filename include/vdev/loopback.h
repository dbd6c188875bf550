/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Loopback: a device and its driver in one process, no sockets. For tests, fuzzers, courses, and
 * for using a device model as a library. It plays the driver by the standard (section 3.1.1) with
 * libvirtq's driver side.
 *
 * Threads: everything from one thread, unless queues were given owners; then each queue's driver
 * side has one owner.
 */
#ifndef VDEV_LOOPBACK_H
#define VDEV_LOOPBACK_H

#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_loopback;

/** How the driver side is to behave. Zero what is not needed. */
struct vdev_loopback_config {
	size_t size;                  /**< sizeof(struct vdev_loopback_config) */
	void *memory;                 /**< what driver and device share; the caller's */
	uint64_t bytes;               /**< of it */
	uint64_t gpa;                 /**< its guest address */
	struct virtq_features wanted; /**< accepted where offered; VERSION_1 always */
	uint16_t queue_size;          /**< 0: 256, or the queue's largest if smaller */
	uint16_t indirect_max;        /**< entries of indirect tables, with INDIRECT_DESC; 0: none */
	uint32_t nqueues;             /**< 0: all */
	/**
	 * A used buffer notification of queue @p q, or a configuration change (q = UINT32_MAX). May be
	 * NULL.
	 */
	void (*interrupt)(void *ctx, unsigned q);
	void *ctx;
};

/** Attach to @p v and take the front of the memory for the rings. The driver does nothing yet. */
VIRTQ_MUST_CHECK int vdev_loopback_new(struct vdev_loopback **out, const struct vdev_env *env,
                                       struct vdev *v, const struct vdev_loopback_config *cfg);
/**
 * Initialise the device as a driver does, up to DRIVER_OK.
 * @return 0, VIRTQ_ENOTSUP (features refused), others
 */
VIRTQ_MUST_CHECK int vdev_loopback_start(struct vdev_loopback *l);
/**
 * Reset the device and wait by serving its queues.
 * @return 0, VIRTQ_EAGAIN when something is stuck
 */
VIRTQ_MUST_CHECK int vdev_loopback_reset(struct vdev_loopback *l);
/** Driver side of queue @p q, or NULL. */
struct virtq_drv *vdev_loopback_drv(struct vdev_loopback *l, unsigned q);
/**
 * The shared memory that the rings do not use: its first byte here, and (if not NULL) address and
 * bytes.
 */
void *vdev_loopback_memory(struct vdev_loopback *l, uint64_t *gpa, uint64_t *bytes);
/** Publish what was added to queue @p q, and notify the device if it wants that. */
void vdev_loopback_kick(struct vdev_loopback *l, unsigned q);
/**
 * One request from start to end: copies @p out into shared memory, waits, copies what the device
 * wrote to @p in.
 * @return bytes the device wrote, or VIRTQ_E*
 */
VIRTQ_MUST_CHECK int64_t vdev_loopback_request(struct vdev_loopback *l, unsigned q, const void *out,
                                               uint32_t out_len, void *in, uint32_t in_len);
/** Features that were negotiated. */
void vdev_loopback_features(const struct vdev_loopback *l, struct virtq_features *out);
/**
 * Reset, detach, free. The device stays. One that is stuck (vdev_loopback_reset()) stays attached, and
 * what it may still use is not freed.
 */
void vdev_loopback_free(struct vdev_loopback *l);

#ifdef __cplusplus
}
#endif

#endif
