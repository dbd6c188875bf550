/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * virtio-blk (section 5.2), all request types but the zoned ones.
 */
#ifndef VDEV_BLK_H
#define VDEV_BLK_H

#include <vdev/disk.h>
#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Feature bits of the device type (5.2.3). */
enum vdev_blk_feature {
	VDEV_BLK_F_SIZE_MAX = 1,
	VDEV_BLK_F_SEG_MAX = 2,
	VDEV_BLK_F_GEOMETRY = 4,
	VDEV_BLK_F_RO = 5,
	VDEV_BLK_F_BLK_SIZE = 6,
	VDEV_BLK_F_FLUSH = 9,
	VDEV_BLK_F_TOPOLOGY = 10,
	VDEV_BLK_F_CONFIG_WCE = 11,
	VDEV_BLK_F_MQ = 12,
	VDEV_BLK_F_DISCARD = 13,
	VDEV_BLK_F_WRITE_ZEROES = 14,
	VDEV_BLK_F_LIFETIME = 15,
	VDEV_BLK_F_SECURE_ERASE = 16
};

/**
 * How much may go through per second; 0: no limit. Tokens gather up to the burst. The queues of a device share them, and
 * the one that has waited longest goes first. Ranges that are discarded or zeroed cost an operation and no bytes.
 */
struct vdev_blk_limit {
	uint64_t ops_per_s;
	uint64_t bytes_per_s;
	/** operations at once after a rest; 0: a tenth of a second's worth, at least 1 */
	uint64_t ops_burst;
	/** bytes likewise. A single larger request passes when the bucket is full, and owes the rest */
	uint64_t bytes_burst;
};

/** What a new block device is made from. Zero what is not needed. */
struct vdev_blk_config {
	size_t size;      /**< sizeof(struct vdev_blk_config) */
	uint32_t nqueues; /**< 0: 1; at most 256 */
	/** largest queue size; 0: 256; a power of two where split rings are wanted */
	uint16_t queue_max;
	uint16_t reserved;
	uint32_t seg_max;      /**< most data segments of a request; 0: 126 */
	uint32_t size_max;     /**< most bytes of a segment; 0: not offered */
	uint32_t readonly;     /**< 1: offer RO although the disk could be written */
	uint32_t max_inflight; /**< requests under way per queue; 0: the queue's size */
	char serial[20];       /**< GET_ID's answer, padded with 0 */
	struct {
		uint16_t cylinders;
		uint8_t heads;
		uint8_t sectors;
	} geometry;                  /**< all 0: not offered */
	struct vdev_blk_limit limit; /**< needs vdev_env.now */
	uint32_t own_disk;           /**< 1: vdev_free() destroys the disk too, after vdev_blk_new() */
	uint32_t reserved2;
};

/**
 * Create a virtio-blk device on @p disk, which must outlive it.
 * @param cfg  NULL: all defaults
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_blk_new(struct vdev **out, const struct vdev_env *env,
                                  struct vdev_disk *disk, const struct vdev_blk_config *cfg);
/**
 * The disk's capacity has changed: look again, and notify the driver. Control thread.
 * @return 0 or VIRTQ_EINVAL (not a virtio-blk)
 */
VIRTQ_MUST_CHECK int vdev_blk_resized(struct vdev *v);
/** Change the rate limit. Control thread. @return 0, VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_blk_set_limit(struct vdev *v, const struct vdev_blk_limit *limit);

/** Flags of vdev_blk_open(). */
enum vdev_blk_open_flag { VDEV_BLK_READONLY = 1 };
/**
 * The shortest way: a raw image at @p path, served with plain system calls on the calling thread.
 * Hosted. The device owns the disk and gives it back with vdev_free().
 * @param mem  guest memory, or NULL to set it later
 * @return 0, or -errno
 */
VIRTQ_MUST_CHECK int vdev_blk_open(struct vdev **out, struct virtq_mem *mem, const char *path,
                                   unsigned flags);

#ifdef __cplusplus
}
#endif

#endif
