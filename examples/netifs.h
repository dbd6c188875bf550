/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_NETIFS_H
#define EXAMPLES_NETIFS_H

#include <vdev/net_switch.h>
#include <vdev/netif.h>

#include "daemon.h"
#include "net_options.h"

/* What the guests of vhost-user-net are plugged into, by socket. */
struct netifs {
	struct vdev_switch *sw;
	int has_links; /* interfaces of this host */
	int links;     /* with those: socket by which the kernel tells of interfaces */
	struct vdev_netif *plain[NET_SOCKETS];
	struct vdev_netif *netif[NET_SOCKETS]; /* the same, or what captures it */
};

/* Make them as the options say. Returns 0, or 2 after one line about why not. */
int netifs_open(struct netifs *n, const struct daemon *d, const struct net_options *o);

/* Have devices told when an interface of the host goes up or down. Returns 0 or 2. */
int netifs_watch(struct netifs *n, struct daemon *d);

/* The devices are gone by now. */
void netifs_close(struct netifs *n);

#endif
