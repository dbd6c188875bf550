/* SPDX-License-Identifier: BSD-3-Clause */
/* The shortest example of a network back-end. */
#include "simple.h"

static const struct vdev_netif_ops null_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "null",
	.info = simple_info,
	.open = simple_open,
	.close = simple_close,
	.send = simple_forget,
	.set_sink = simple_no_sink,
	.destroy = simple_destroy,
	.counters = simple_counters,
};

int vdev_netif_null_new(struct vdev_netif **out, const struct vdev_env *env)
{
	struct simple_netif *s;

	if (out == NULL || !env_usable(env))
		return VIRTQ_EINVAL;
	s = simple_new(env, &null_ops, sizeof(*s));
	if (s == NULL)
		return VIRTQ_ENOMEM;
	*out = &s->netif;
	return 0;
}
