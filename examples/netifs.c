/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guests of vhost-user-net are plugged into. */
#include <stddef.h>

#include <vdev/netif_simple.h>

#include "netifs.h"

static int open_source(const struct daemon *d, const struct net_spec *spec, struct vdev_netif **out)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg),
	                                       .dst = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	                                       .src = {0x02, 0, 0, 0, 0, 0x01},
	                                       .frame_len = spec->frame_len,
	                                       .flows = spec->flows,
	                                       .count = spec->count};

	return vdev_netif_source_new(out, &d->env, &cfg);
}

static int open_one(const struct daemon *d, const struct net_spec *spec, struct vdev_netif **out)
{
	switch (spec->kind) {
	case NET_ECHO:
		return vdev_netif_echo_new(out, &d->env);
	case NET_NULL:
		return vdev_netif_null_new(out, &d->env);
	case NET_SOURCE:
		return open_source(d, spec, out);
	default:
		return VIRTQ_EINVAL;
	}
}

int netifs_open(struct netifs *n, const struct daemon *d, const struct net_options *o)
{
	for (unsigned i = 0; i < o->nsockets; i++) {
		const struct net_spec *spec = net_options_net(o, i);
		int rc;

		if (n->netif[i] != NULL)
			continue;
		rc = open_one(d, spec, &n->netif[i]);
		if (rc < 0)
			return daemon_fail(d, "can't use", spec->name != NULL ? spec->name : "the network", rc);
	}
	return 0;
}

void netifs_close(struct netifs *n)
{
	for (unsigned i = 0; i < NET_SOCKETS; i++)
		vdev_netif_free(n->netif[i]);
}
