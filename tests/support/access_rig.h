/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_ACCESS_RIG_H
#define TESTS_SUPPORT_ACCESS_RIG_H

#include "check_main.h"
#include "fake_virtio.h"

/* A driver on fake registers, over one of the ways to reach them. */
enum access_way { WAY_PCI, WAY_WINDOW, WAY_MMIO, WAYS };

struct access_rig {
	struct fake fake;
	struct vdev_pci_driver pci;
	struct vdev_mmio_driver mmio;
	struct vdev_driver *d;
	struct virtq_drv vq[2];
	struct vdev_driver_queue q[2];
	void *ring[2], *scratch[2];
};

/* The usual device, found; nothing said to it. */
void access_init(struct access_rig *r, enum access_way way);
/* Up to FEATURES_OK, with these features wanted. */
void access_negotiate(struct access_rig *r, struct virtq_features wanted);
/* Ring i of this size for queue i; what starting it says. */
int access_start(struct access_rig *r, unsigned i, uint16_t size, uint16_t vector);
/* All in one: two rings of 16, DRIVER_OK. */
void access_run(struct access_rig *r, struct virtq_features wanted);
/* Ends the test when the driver broke a rule. */
void access_fini(struct access_rig *r);

/* Place in the log of the n-th (from 0) write of this status, or -1. */
int access_status_written(const struct access_rig *r, uint8_t value, unsigned n);
/* What was told by the last notification: its value and width. */
struct fake_access access_last_notify(const struct access_rig *r);
/* What was made available in a split ring of 16. */
unsigned access_avail_index(const struct access_rig *r, unsigned i);

#endif
