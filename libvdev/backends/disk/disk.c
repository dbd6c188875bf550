/* SPDX-License-Identifier: BSD-3-Clause */
/* What all disks share. */
#include <vdev/disk.h>

void vdev_disk_free(struct vdev_disk *d)
{
	if (d != NULL)
		d->ops->destroy(d);
}
