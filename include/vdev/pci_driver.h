/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Driver side of virtio over PCI (VIRTIO 1.4 section 4.1), modern interface. Gives a struct
 * vdev_driver (vdev/driver.h) for a function whose configuration space and BARs the caller reaches:
 * through VFIO, UIO, ports, another machine's test socket.
 *
 * Threads: as in vdev/driver.h; through the window (a struct vdev_pci_access without BARs) only where it has locks.
 */
#ifndef VDEV_PCI_DRIVER_H
#define VDEV_PCI_DRIVER_H

#include <vdev/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How to reach one PCI function. Accesses are little-endian in meaning: a 4-byte read returns the
 * register's value on any machine. Offsets are multiples of the width. A read that can't be carried
 * out returns all ones, as a bus does.
 *
 * Each callback comes from inside a call of the library, on its thread; so where queues have threads of their own,
 * bar_write (without BARs: the four that the window takes) is called by several at once, and each single access must
 * arrive whole. Callbacks don't call back into the library. They and @p ctx stay valid as long as any call on the
 * device or its queues may come; none comes by itself.
 */
struct vdev_pci_access {
	size_t size; /**< sizeof(struct vdev_pci_access) */
	/** Read 1, 2 or 4 bytes of configuration space. */
	uint32_t (*config_read)(void *ctx, uint32_t offset, uint32_t width);
	/** Write 1, 2 or 4 bytes of configuration space. */
	void (*config_write)(void *ctx, uint32_t offset, uint32_t width, uint32_t value);
	/**
	 * Bytes of BAR @p bar (0 to 5) that bar_read and bar_write reach; 0 for one that they don't (not
	 * there, not mapped, ports on a machine without). The answer stays the same.
	 */
	uint64_t (*bar_bytes)(void *ctx, unsigned bar);
	/**
	 * Read 1, 2 or 4 bytes of a BAR. NULL, with bar_bytes and bar_write: everything goes through
	 * the window in configuration space (section 4.1.4.9), slowly.
	 */
	uint32_t (*bar_read)(void *ctx, unsigned bar, uint64_t offset, uint32_t width);
	/** Write 1, 2 or 4 bytes of a BAR, after all memory that was stored before. */
	void (*bar_write)(void *ctx, unsigned bar, uint64_t offset, uint32_t width, uint32_t value);
	/** Called between two looks at something that takes its time. May sleep. May be NULL. */
	void (*wait)(void *ctx);
	void *ctx;      /**< first argument of each callback */
	uint32_t polls; /**< how often to look before VIRTQ_EAGAIN; 0: 10000 */
	uint32_t reserved;
	/**
	 * Without BARs: called before the window is pointed at a register and after that was accessed, which are four
	 * accesses that belong together; kicks come from queues' threads beside all else. Held over config_read and
	 * config_write alone. Both or none: with none, all calls on a device and its queues, kicks too, are one thread's
	 * at a time. Not used with BARs.
	 */
	void (*window_lock)(void *ctx);
	void (*window_unlock)(void *ctx); /**< see window_lock */
};

/** Where a structure of the device lies, clipped to its BAR. */
struct vdev_pci_place {
	uint64_t offset; /**< in the BAR */
	uint32_t bytes;  /**< 0: there is none */
	uint8_t bar;
	uint8_t reserved[3];
};

/** A virtio PCI function. Fields are private; initialise with vdev_pci_driver_init(). */
struct vdev_pci_driver {
	struct vdev_driver driver;
	struct vdev_pci_access access;
	struct vdev_pci_place common;
	struct vdev_pci_place notify;
	struct vdev_pci_place isr;
	struct vdev_pci_place device;
	struct vdev_pci_place msix_table;
	uint32_t notify_multiplier;
	uint16_t msix_vectors;
	uint8_t msix; /* place of the capability; 0: none */
	uint8_t window;
	uint64_t reserved[4];
};

/** Set up a PCI function, see vdev_pci_driver_init(). */
VIRTQ_MUST_CHECK int vdev_pci_driver_init_sized(struct vdev_pci_driver *p, size_t p_size,
                                                const struct vdev_pci_access *access);

/**
 * Recognise a virtio function and find its structures (section 4.1.4). The device is not reset and
 * none of its virtio registers is touched yet. Memory and port decoding are switched on in the command
 * register if BARs are used (they must have addresses); vdev_driver_begin() switches on bus mastering,
 * after the reset.
 * @param access  copied
 * @return the device's type (above 0); VIRTQ_ENOTSUP: not a virtio device, or no modern interface
 *         whose structures can be reached; VIRTQ_EPROTO: capabilities that contradict themselves;
 *         VIRTQ_EINVAL; VIRTQ_EIO: no function there
 */
VIRTQ_MUST_CHECK static inline int vdev_pci_driver_init(struct vdev_pci_driver *p,
                                                        const struct vdev_pci_access *access)
{
	return vdev_pci_driver_init_sized(p, sizeof(*p), access);
}

/** The device for the calls of vdev/driver.h. */
static inline struct vdev_driver *vdev_pci_driver_device(struct vdev_pci_driver *p)
{
	return &p->driver;
}

/** Vectors of the MSI-X table; 0: no MSI-X. */
unsigned vdev_pci_driver_vectors(const struct vdev_pci_driver *p);

/**
 * Write an entry of the MSI-X table and unmask it. For callers that own the table; under VFIO the kernel
 * does. @return 0; VIRTQ_EINVAL: no such vector; VIRTQ_ENOTSUP: the table can't be reached
 */
VIRTQ_MUST_CHECK int vdev_pci_driver_set_message(struct vdev_pci_driver *p, unsigned vector,
                                                 uint64_t addr, uint32_t data);

/**
 * Switch MSI-X on or off. On before queues get vectors. @return 0, or VIRTQ_ENOTSUP: no MSI-X
 */
VIRTQ_MUST_CHECK int vdev_pci_driver_set_msix(struct vdev_pci_driver *p, int on);

/**
 * Map configuration change notifications to an MSI-X vector, or to none. From phase NEGOTIATED on.
 * @return 0, VIRTQ_EINVAL: no such vector or wrong phase, VIRTQ_ENOSPC: the device has no resources
 *         for it, VIRTQ_ENOTSUP: no MSI-X, VIRTQ_EPROTO: it was to map none and shows another
 */
VIRTQ_MUST_CHECK int vdev_pci_driver_set_config_vector(struct vdev_pci_driver *p, uint16_t vector);

/**
 * The administration virtqueues (ADMIN_VQ, section 4.1.4.3), which vdev_driver_queue_start() takes
 * beside the ordinary ones. Phase NEGOTIATED or RUNNING.
 * @param first  receives the index of the first one
 * @return how many; VIRTQ_ENOTSUP: not negotiated; VIRTQ_EPROTO: they overlap the ordinary ones or
 *         leave the range of indices; VIRTQ_EINVAL: wrong phase
 */
VIRTQ_MUST_CHECK int vdev_pci_driver_admin_queues(struct vdev_pci_driver *p, uint16_t *first);

/**
 * Where a queue's notifications go, for callers that write there themselves: 16 bits wide, or 32 with
 * NOTIFICATION_DATA (then virtq_drv_notify_data() of @p id).
 * @return 0, or VIRTQ_EINVAL when it is not started
 */
VIRTQ_MUST_CHECK int vdev_pci_driver_notify_place(const struct vdev_driver_queue *q,
                                                  struct vdev_pci_place *place, uint16_t *id);

#ifdef __cplusplus
}
#endif

#endif
