/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vdev/netif.h>

void vdev_netif_free(struct vdev_netif *n)
{
	if (n != NULL)
		n->ops->destroy(n);
}

int vdev_netif_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	if (n == NULL || out == NULL)
		return VIRTQ_EINVAL;
	memset(out, 0, sizeof(*out));
	if (n->ops->size < offsetof(struct vdev_netif_ops, counters) + sizeof(n->ops->counters) ||
	    n->ops->counters == NULL)
		return VIRTQ_ENOTSUP;
	n->ops->counters(n, out);
	return 0;
}
