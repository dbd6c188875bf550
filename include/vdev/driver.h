/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The driver side of a virtio device, whatever its transport: status, features, queues, notifications,
 * configuration space. A transport's header makes one (vdev/pci_driver.h, vdev/mmio_driver.h); rings
 * are driven with virtq/driver.h. For user-space drivers and firmware: no allocation, no threads, no
 * system calls; registers are reached through callbacks.
 *
 * The device is not trusted: every wait has a bound, and what it says of itself (places, sizes, counts)
 * is checked before it is used.
 *
 * The way of a driver (VIRTIO 1.4 section 3.1.1): transport's init, vdev_driver_begin(),
 * vdev_driver_negotiate(), for each queue vdev_driver_queue_max(), virtq_drv_init(),
 * vdev_driver_queue_start(); vdev_driver_ready(); then virtq_drv_add(), vdev_driver_kick(),
 * virtq_drv_take(); at the end vdev_driver_reset().
 *
 * Threads: one at a time for all calls on a device and its queues, except vdev_driver_notify() and
 * vdev_driver_kick(), which belong to the queue's owner and may run beside other queues' owners and
 * beside the device's thread, as long as that resets neither the device nor this queue. vdev_driver_phase()
 * may be asked by any thread. (Through PCI's window all this only with locks, see struct vdev_pci_access.)
 *
 * Memory: all of it is the caller's, and there is nothing to free. The device's object, its queues' and their rings
 * stay where they are, and rings and buffers remain the device's, until vdev_driver_reset() has returned 0 (of one queue:
 * vdev_driver_queue_reset()). After VIRTQ_EAGAIN they are still the device's. After VIRTQ_EIO nothing is there that could
 * use them; whoever can't be sure of that switches its bus mastering or its IOMMU off first. Access callbacks are
 * called from inside calls alone, and may be given up once no more calls come.
 */
#ifndef VDEV_DRIVER_H
#define VDEV_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/driver.h>
#include <virtq/error.h>
#include <virtq/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/** No MSI-X vector (section 4.1.5.1.2). */
#define VDEV_DRIVER_NO_VECTOR 0xffffu

/** Why a device interrupted, vdev_driver_interrupts(). */
enum vdev_driver_interrupt {
	VDEV_DRIVER_INTERRUPT_QUEUE = 1, /**< a buffer was used in some queue */
	VDEV_DRIVER_INTERRUPT_CONFIG = 2 /**< configuration or status changed */
};

/** Where a driver stands with its device. */
enum vdev_driver_phase {
	VDEV_DRIVER_RESET,      /**< nothing said to the device since its reset */
	VDEV_DRIVER_BEGUN,      /**< ACKNOWLEDGE and DRIVER set, offered features known */
	VDEV_DRIVER_NEGOTIATED, /**< FEATURES_OK: queues can be set up */
	VDEV_DRIVER_RUNNING,    /**< DRIVER_OK */
	VDEV_DRIVER_SUSPENDED,  /**< SUSPEND asked for */
	VDEV_DRIVER_FAILED      /**< FAILED set; only a reset helps */
};

struct vdev_driver_ops;

/** A device seen from its driver; part of a transport's object. Fields are private. */
struct vdev_driver {
	const struct vdev_driver_ops *ops;
	struct virtq_features offered;
	struct virtq_features features;
	void (*wait)(void *ctx);
	void *wait_ctx;
	uint32_t device_id;
	uint32_t epoch; /* counts resets: queues set up before one are gone */
	uint32_t polls;
	uint8_t phase;
	uint8_t status; /* as written */
	uint16_t reserved16;
	uint64_t reserved[4];
};

/** A queue as its device knows it. Fields are private; any content before the first start. */
struct vdev_driver_queue {
	struct vdev_driver *driver;
	struct virtq_drv *vq;
	uint64_t notify; /* PCI: where to notify, in the BAR */
	uint32_t epoch;
	uint16_t index;
	uint16_t notify_id; /* index, or queue_notif_config_data */
	uint8_t state;
	uint8_t reserved8[3];
	uint64_t reserved[2];
};

/** A field of the device's configuration space; 64-bit ones are two accesses (section 4.1.3.1). */
struct vdev_driver_field {
	uint32_t offset; /**< a multiple of width, of 4 for a width of 8 */
	uint32_t width;  /**< 1, 2, 4 or 8 bytes */
	uint64_t value;
};

/** The device's type (section 5): 1 network, 2 block, 4 entropy, ... */
uint32_t vdev_driver_device_id(const struct vdev_driver *d);

/** How far the driver got. @return enum vdev_driver_phase */
int vdev_driver_phase(const struct vdev_driver *d);

/**
 * Reset the device and wait until that is done (sections 2.4, 4.1.4.3.2). Queues set up before are
 * gone: take back their buffers with virtq_drv_detach(). Any phase.
 * @return 0; VIRTQ_EAGAIN: not done within the bound, and buffers still belong to the device: call
 *         again; VIRTQ_EIO: the device is gone (its registers read as all ones; on some buses as zeroes)
 */
VIRTQ_MUST_CHECK int vdev_driver_reset(struct vdev_driver *d);

/**
 * Reset, set ACKNOWLEDGE and DRIVER, read what is offered. Any phase. Afterwards configuration space
 * may be read.
 * @return as vdev_driver_reset()
 */
VIRTQ_MUST_CHECK int vdev_driver_begin(struct vdev_driver *d);

/** What the device offers. Valid from vdev_driver_begin() on. */
void vdev_driver_offered(const struct vdev_driver *d, struct virtq_features *out);

/**
 * Settle the features (section 3.1.1 steps 4 to 6): of what is offered those in @p wanted or
 * @p required, and VERSION_1 always. Of bits 24 to 49 only those that this library and the transport
 * know are ever accepted; which device-specific bits have which prerequisites is the caller's duty.
 * Phase BEGUN.
 * @param required  may be NULL. When something of it is not offered (or VERSION_1 is not), FAILED is set.
 * @return 0; VIRTQ_ENOTSUP: a required feature is missing or the device refused the set; the device
 *         has been told FAILED. VIRTQ_EPROTO: the transport contradicts the features; likewise.
 *         VIRTQ_EINVAL: wrong phase. VIRTQ_EIO: gone.
 */
VIRTQ_MUST_CHECK int vdev_driver_negotiate(struct vdev_driver *d,
                                           const struct virtq_features *wanted,
                                           const struct virtq_features *required);

/** What was negotiated, for virtq_drv_config.features. Valid from vdev_driver_negotiate() on. */
void vdev_driver_features(const struct vdev_driver *d, struct virtq_features *out);

/**
 * The largest size of a queue. From phase NEGOTIATED on, and while the queue is not enabled.
 * @return 1 to 32768 (a power of two unless RING_PACKED); VIRTQ_ENOTSUP: no such queue;
 *         VIRTQ_EPROTO: the device gives a size that can't be; VIRTQ_EIO: gone; VIRTQ_EINVAL: wrong phase
 */
VIRTQ_MUST_CHECK int vdev_driver_queue_max(struct vdev_driver *d, uint16_t index);

/**
 * Tell the device a queue's place, and enable it. In phase NEGOTIATED, and with RING_RESET also in
 * RUNNING (a queue that was reset, section 2.6.1.2).
 * @param q       filled in if all goes well, else left as it is; stays where it is until the queue or the device is
 *                reset
 * @param vq      set up with virtq_drv_init() for the negotiated features, fresh
 * @param vector  MSI-X vector of its used buffer notifications, or VDEV_DRIVER_NO_VECTOR
 * @return 0; VIRTQ_ENOTSUP: no such queue; VIRTQ_EINVAL: larger than vdev_driver_queue_max(), ring not
 *         as negotiated, no such vector, wrong phase; VIRTQ_EBUSY: enabled already, or its reset is not over;
 *         VIRTQ_ENOSPC: the device has no resources for the vector: try fewer vectors;
 *         VIRTQ_EPROTO: the device contradicts itself; VIRTQ_EIO: gone
 */
VIRTQ_MUST_CHECK int vdev_driver_queue_start(struct vdev_driver_queue *q, struct vdev_driver *d,
                                             uint16_t index, struct virtq_drv *vq, uint16_t vector);

/**
 * Set DRIVER_OK: from now on the device works. Phase NEGOTIATED.
 * @return 0, VIRTQ_EINVAL, VIRTQ_EIO, or VIRTQ_EBROKEN when the device wants a reset at once
 */
VIRTQ_MUST_CHECK int vdev_driver_ready(struct vdev_driver *d);

/**
 * The device status as the device shows it; VIRTQ_STATUS_NEEDS_RESET says that requests that are out
 * may never end. Any phase.
 * @return 0 to 254, or VIRTQ_EIO when the device is gone
 */
VIRTQ_MUST_CHECK int vdev_driver_status(struct vdev_driver *d);

/** Give up: set FAILED. Any phase. Only vdev_driver_reset() or vdev_driver_begin() may follow. */
void vdev_driver_fail(struct vdev_driver *d);

/**
 * Send the queue's available buffer notification, with what was negotiated of NOTIFICATION_DATA and
 * NOTIF_CONFIG_DATA (sections 2.9, 4.1.5.2, 4.2.3.3). Nothing is sent unless phase is RUNNING.
 * The access callback sees it after everything that virtq_drv_publish() stored; that the device does
 * too is the callback's duty (ordered, not write-combined).
 */
void vdev_driver_notify(struct vdev_driver_queue *q);

/**
 * Publish what was added to the queue, and notify the device if it wants that. In phase NEGOTIATED the buffers of a
 * started queue are published and nothing is sent; in SUSPENDED, and for a queue that is not started, nothing
 * happens. What was not told then is with the first kick after vdev_driver_ready() or vdev_driver_resume(), which
 * may have nothing new.
 * @return 1: it was notified, 0: no need, or not now
 */
int vdev_driver_kick(struct vdev_driver_queue *q);

/**
 * Read why the device interrupted. PCI without MSI-X: this also ends the interrupt; with MSI-X it is
 * not for queues' vectors (section 4.1.4.5.2).
 * @return enum vdev_driver_interrupt, several or none (a shared interrupt line)
 */
unsigned vdev_driver_interrupts(struct vdev_driver *d);

/**
 * The interrupts @p which have been handled (section 4.2.3.4; on PCI nothing needs to be done). What
 * happens between handling and this call is shown by no further interrupt, so afterwards look again:
 * virtq_drv_arm() for each queue, and configuration space when it was VDEV_DRIVER_INTERRUPT_CONFIG.
 */
void vdev_driver_interrupts_done(struct vdev_driver *d, unsigned which);

/**
 * Read fields of configuration space, all of one generation (section 2.5.1). From phase BEGUN on.
 * Whether a field exists is a question of features.
 * @return 0; VIRTQ_ENOTSUP: a field is beyond what the device has; VIRTQ_EAGAIN: it changed all the
 *         time, and the values belong to no one generation; VIRTQ_EIO: gone, the values mean nothing;
 *         VIRTQ_EINVAL: width, alignment or phase
 */
VIRTQ_MUST_CHECK int vdev_driver_config_read(struct vdev_driver *d, struct vdev_driver_field *field,
                                             uint32_t n);

/**
 * Write a field of configuration space. Phases NEGOTIATED and RUNNING.
 * @return 0, VIRTQ_ENOTSUP or VIRTQ_EINVAL as vdev_driver_config_read()
 */
VIRTQ_MUST_CHECK int vdev_driver_config_write(struct vdev_driver *d,
                                              const struct vdev_driver_field *field);

/**
 * Reset one queue and wait until that is done (RING_RESET, section 2.6.1.1). Then take back its
 * buffers (virtq_drv_detach()), and start it again as at first (vdev_driver_queue_start()).
 * @return 0; VIRTQ_EAGAIN: not done within the bound, the buffers still belong to the device: call
 *         again; VIRTQ_ENOTSUP: not negotiated; VIRTQ_EPROTO: the device says it is done and shows the
 *         queue still enabled: reset the device; VIRTQ_EIO: the device is gone; VIRTQ_EINVAL: not started
 */
VIRTQ_MUST_CHECK int vdev_driver_queue_reset(struct vdev_driver_queue *q);

/**
 * Suspend the device and wait until it is (SUSPEND, section 3.4). Meanwhile nothing is notified and
 * the caller adds no buffers; a kick that another thread has begun may still arrive, so owners of
 * queues stop first. Phase RUNNING, or SUSPENDED after VIRTQ_EAGAIN.
 * @return 0; VIRTQ_EAGAIN: not within the bound, call again; VIRTQ_ENOTSUP: not negotiated; VIRTQ_EBROKEN: the
 *         device wants a reset instead; VIRTQ_EINVAL: wrong phase, or vdev_driver_resume() has begun; VIRTQ_EIO: gone
 */
VIRTQ_MUST_CHECK int vdev_driver_suspend(struct vdev_driver *d);

/**
 * Let a suspended device go on, and wait until it does. Phase SUSPENDED; RUNNING when this has returned 0.
 * @return 0; VIRTQ_EAGAIN: vdev_driver_suspend() has not returned 0 yet (nothing was asked; it may suspend at any
 *         moment, so call that again first), or the device does not go on within the bound: call again;
 *         VIRTQ_EBROKEN, VIRTQ_EINVAL, VIRTQ_EIO as vdev_driver_suspend()
 */
VIRTQ_MUST_CHECK int vdev_driver_resume(struct vdev_driver *d);

#ifdef __cplusplus
}
#endif

#endif
