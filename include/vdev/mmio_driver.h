/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Driver side of virtio over MMIO, version 2 (VIRTIO 1.4 section 4.2). Gives a struct vdev_driver
 * (vdev/driver.h) for a block of registers that the caller reaches.
 *
 * Threads: as in vdev/driver.h.
 */
#ifndef VDEV_MMIO_DRIVER_H
#define VDEV_MMIO_DRIVER_H

#include <vdev/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How to reach one block of registers. A read returns the register's value on any machine; offsets
 * are multiples of the width. Each callback comes from inside a call of the library, on its thread: where queues have
 * threads of their own, write is called by several at once. Callbacks don't call back into the library. They and
 * @p ctx stay valid as long as any call on the device or its queues may come; none comes by itself.
 */
struct vdev_mmio_access {
	size_t size; /**< sizeof(struct vdev_mmio_access) */
	/** Read 4 bytes; below 0x100 nothing else, in configuration space also 1 or 2. */
	uint32_t (*read)(void *ctx, uint32_t offset, uint32_t width);
	/** Write, after all memory that was stored before. */
	void (*write)(void *ctx, uint32_t offset, uint32_t width, uint32_t value);
	/** Called between two looks at something that takes its time. May sleep. May be NULL. */
	void (*wait)(void *ctx);
	void *ctx;      /**< first argument of each callback */
	uint32_t bytes; /**< of the block, at least 0x100; configuration space is what follows that */
	uint32_t polls; /**< how often to look before VIRTQ_EAGAIN; 0: 10000 */
};

/** A block of virtio MMIO registers. Fields are private; initialise with vdev_mmio_driver_init(). */
struct vdev_mmio_driver {
	struct vdev_driver driver;
	struct vdev_mmio_access access;
	uint64_t reserved[4];
};

/** Set up a block of registers, see vdev_mmio_driver_init(). */
VIRTQ_MUST_CHECK int vdev_mmio_driver_init_sized(struct vdev_mmio_driver *m, size_t m_size,
                                                 const struct vdev_mmio_access *access);

/**
 * Look what is there: reads MagicValue, Version and DeviceID, nothing else (section 4.2.3.1).
 * @param access  copied
 * @return the device's type (above 0); 0: a place without a device, which is no error;
 *         VIRTQ_ENOTSUP: not virtio MMIO of version 2; VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK static inline int vdev_mmio_driver_init(struct vdev_mmio_driver *m,
                                                         const struct vdev_mmio_access *access)
{
	return vdev_mmio_driver_init_sized(m, sizeof(*m), access);
}

/** The device for the calls of vdev/driver.h. */
static inline struct vdev_driver *vdev_mmio_driver_device(struct vdev_mmio_driver *m)
{
	return &m->driver;
}

/**
 * Stop using a queue without RING_RESET (section 4.2.2.2): QueueReady is written 0 and read back. The
 * device no longer touches the ring, but buffers that it has taken from it are still its own until
 * the device is reset, so nothing may be detached before that.
 * @return 0; VIRTQ_EPROTO: the device shows it ready still; VIRTQ_EIO: gone; VIRTQ_EINVAL: not started
 */
VIRTQ_MUST_CHECK int vdev_mmio_driver_queue_stop(struct vdev_driver_queue *q);

#ifdef __cplusplus
}
#endif

#endif
