/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device behind a loopback, made while allocations fail: each call is made again as inject.h says. */
#ifndef TESTS_ALLOC_RIG_H
#define TESTS_ALLOC_RIG_H

#include <vdev/blk.h>
#include <vdev/loopback.h>
#include <virtq/virtq.h>

#include "inject.h"

enum { RIG_RAM = 1 << 19, RIG_GPA = 0x40000000, RIG_DISK = 65536, RIG_SECTOR = 512 };

int rig_blk(struct vdev **v, struct vdev_disk *disk, const struct vdev_blk_config *cfg);
int rig_loopback(struct vdev_loopback **l, struct vdev *v, const struct vdev_loopback_config *cfg);
int rig_start(struct vdev_loopback *l);
/*
 * A request of a type (IN, OUT, FLUSH): a sector of this byte is written, or it has to be what is read. Requests need no
 * memory, they go well whatever fails: 0, or VIRTQ_EBROKEN.
 */
int rig_request(struct vdev_loopback *l, unsigned q, uint8_t type, uint8_t sector, uint8_t byte);
/* Any of them may be NULL. */
void rig_free(struct vdev_disk *disk, struct vdev *v, struct vdev_loopback *l);

#endif
