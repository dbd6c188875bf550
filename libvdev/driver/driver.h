/* SPDX-License-Identifier: BSD-3-Clause */
/* What a transport of the driver side does for driver.c. */
#ifndef VDEV_DRIVER_DRIVER_H
#define VDEV_DRIVER_DRIVER_H

#include <vdev/driver.h>

/* Of a struct vdev_driver_queue. */
enum driver_queue_state { QUEUE_OFF, QUEUE_STARTED, QUEUE_RESETTING, QUEUE_STOPPED };

/* Registers read and written; all checks of phase and caller are made before. */
struct vdev_driver_ops {
	uint64_t known; /* of feature bits 0 to 63, those of 24 to 49 that this transport can have */
	uint32_t (*status)(struct vdev_driver *d);
	void (*set_status)(struct vdev_driver *d, uint8_t status);
	uint32_t (*offered)(struct vdev_driver *d, uint32_t word);
	void (*accept)(struct vdev_driver *d, uint32_t word, uint32_t bits);
	/* After a reset, before anything else. 0, or VIRTQ_EIO. May be NULL. */
	int (*was_reset)(struct vdev_driver *d);
	/* Whether the transport goes with the features. May be NULL. */
	int (*check)(struct vdev_driver *d);
	int (*queue_max)(struct vdev_driver *d, uint16_t index);
	int (*queue_start)(struct vdev_driver_queue *q, const struct virtq_state *s, uint16_t vector);
	/* Ask for the queue's reset; how far it got; whether the queue shows as enabled. */
	void (*queue_reset)(struct vdev_driver_queue *q);
	uint32_t (*queue_resetting)(struct vdev_driver_queue *q);
	uint32_t (*queue_enabled)(struct vdev_driver_queue *q);
	void (*notify)(struct vdev_driver_queue *q, uint32_t data, uint32_t width);
	uint32_t (*interrupts)(struct vdev_driver *d);
	void (*interrupts_done)(struct vdev_driver *d, uint32_t which);
	uint32_t (*config_bytes)(const struct vdev_driver *d);
	uint32_t (*generation)(struct vdev_driver *d);
	uint32_t (*config_read)(struct vdev_driver *d, uint32_t offset, uint32_t width);
	void (*config_write)(struct vdev_driver *d, uint32_t offset, uint32_t width, uint32_t value);
};

#define FEATURE(bit) ((uint64_t)1 << (bit))

/* What both transports know of the bits 24 to 49. */
#define DRIVER_KNOWN                                                                               \
	(FEATURE(VIRTQ_F_INDIRECT_DESC) | FEATURE(VIRTQ_F_EVENT_IDX) | FEATURE(VIRTQ_F_VERSION_1) |    \
	 FEATURE(VIRTQ_F_ACCESS_PLATFORM) | FEATURE(VIRTQ_F_RING_PACKED) | FEATURE(VIRTQ_F_IN_ORDER) | \
	 FEATURE(VIRTQ_F_ORDER_PLATFORM) | FEATURE(VIRTQ_F_NOTIFICATION_DATA) |                        \
	 FEATURE(VIRTQ_F_RING_RESET) | FEATURE(VIRTQ_F_SUSPEND))

#define DRIVER_POLLS 10000u

/* A size that the device gave: itself, VIRTQ_ENOTSUP or VIRTQ_EPROTO. */
int driver_queue_size(const struct vdev_driver *d, uint32_t size);

/* Whether q is of the device's present life and in this state. */
int driver_queue_is(const struct vdev_driver_queue *q, enum driver_queue_state state);

/* Whether the device is in a phase in which queues can be set up and used. */
int driver_live(const struct vdev_driver *d);

/* Its status, or VIRTQ_EIO: nothing answers, or what does knows nothing of what was written to it. */
int driver_shown(struct vdev_driver *d);

#endif
