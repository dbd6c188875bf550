/* SPDX-License-Identifier: BSD-3-Clause */
#include <vdev/netif.h>

void vdev_netif_free(struct vdev_netif *n)
{
	if (n != NULL)
		n->ops->destroy(n);
}
