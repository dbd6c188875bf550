/* SPDX-License-Identifier: BSD-3-Clause */
/* A device whose queue 0 is a supply of buffers, and whose queue 1 has requests that are completed at once; its driver. */
#ifndef TESTS_UNIT_SUPPLY_RIG_H
#define TESTS_UNIT_SUPPLY_RIG_H

#include <stdint.h>

#include <vdev/loopback.h>
#include <vdev/model.h>

enum { SLOT = 256, SIZE = 8, GPA = 0x40000 };

struct rig {
	struct vdev_env env;
	struct vdev_queue *q[2];
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *memory;
	uint64_t now;
	unsigned interrupts[2];
	unsigned processed; /* chains of queue 1 */
	unsigned polls;     /* of queue 0 */
	uint32_t give_in_poll;
	unsigned mistakes;          /* entries in the log with VIRTQ_EINVAL */
	unsigned slot, woken, stop; /* for the tests */
};

/* What the device is made of. */
struct vdev_model rig_model(struct rig *r);
/* A device that its driver has started. clock: whether there is one, which stands at r->now. */
void rig_init(struct rig *r, int packed, int clock);
void rig_fini(struct rig *r);
/* The driver gives queue q a buffer of slot, and its name is the slot's number and 1. */
void rig_add(struct rig *r, unsigned q, unsigned slot);
void rig_publish(struct rig *r, unsigned q);
/* One byte into each of n chains of queue 0, which are given back then. */
void rig_give(struct rig *r, const struct virtq_chain *c, uint32_t n, uint8_t byte);
uint64_t rig_now(void *ctx);

#endif
