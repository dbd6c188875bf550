/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guests of vhost-user-net are plugged into. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_packet.h>
#include <vdev/netif_pair.h>
#include <vdev/netif_pcap.h>
#include <vdev/netif_simple.h>
#include <vdev/netif_tap.h>
#include <vdev/netif_xdp.h>

#include "netifs.h"

/* A port of the one switch, which comes with the first of them. */
static int open_port(struct netifs *n, const struct daemon *d, const struct net_spec *spec,
                     struct vdev_netif **out)
{
	struct vdev_switch_port_config cfg = {.size = sizeof(cfg), .vlan = spec->vlan};
	int rc = 0;

	if (spec->trunk)
		cfg.mode = VDEV_SWITCH_TRUNK;
	else if (spec->vlan != 0)
		cfg.mode = VDEV_SWITCH_ACCESS;
	cfg.vlans = spec->nvlans != 0 ? spec->vlans : NULL;
	cfg.nvlans = spec->nvlans;
	if (n->sw == NULL)
		rc = vdev_switch_new(&n->sw, &d->env, NULL);
	return rc < 0 ? rc : vdev_switch_port_new(out, n->sw, &cfg);
}

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

static int open_tap(const struct daemon *d, const struct net_spec *spec, unsigned pairs,
                    struct vdev_netif **out)
{
	struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .name = spec->name, .pairs = pairs};

	return vdev_netif_tap_new(out, &d->env, &cfg);
}

static int open_packet(const struct daemon *d, const struct net_spec *spec, unsigned pairs,
                       struct vdev_netif **out)
{
	struct vdev_netif_packet_config cfg = {.size = sizeof(cfg), .name = spec->name, .pairs = pairs};

	return vdev_netif_packet_new(out, &d->env, &cfg);
}

static int open_xdp(const struct daemon *d, const struct net_spec *spec, unsigned pairs,
                    struct vdev_netif **out)
{
	struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = spec->name, .pairs = pairs};

	return vdev_netif_xdp_new(out, &d->env, &cfg);
}

/* One netif, or with a pair this one and the next. */
static int open_one(struct netifs *n, const struct daemon *d, const struct net_spec *spec,
                    unsigned pairs, struct vdev_netif **out)
{
	switch (spec->kind) {
	case NET_SWITCH:
		return open_port(n, d, spec, out);
	case NET_PAIR:
		return vdev_netif_pair_new(out, &d->env);
	case NET_TAP:
		return open_tap(d, spec, pairs, out);
	case NET_PACKET:
		return open_packet(d, spec, pairs, out);
	case NET_XDP:
		return open_xdp(d, spec, pairs, out);
	case NET_ECHO:
		return vdev_netif_echo_new(out, &d->env);
	case NET_PCAP:
	case NET_NULL:
		return vdev_netif_null_new(out, &d->env);
	case NET_SOURCE:
		return open_source(d, spec, out);
	default:
		return VIRTQ_EINVAL;
	}
}

/* Put what writes a file in front of a netif. */
static int capture(const struct daemon *d, const char *path, struct vdev_netif **netif)
{
	struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg), .path = path, .own_netif = 1};
	struct vdev_netif *out;
	int rc = vdev_netif_pcap_new(&out, &d->env, *netif, &cfg);

	if (rc < 0)
		return daemon_fail(d, "can't write", path, rc);
	*netif = out;
	return 0;
}

int netifs_open(struct netifs *n, const struct daemon *d, const struct net_options *o)
{
	int rc = 0;

	for (unsigned i = 0; i < o->nsockets && rc == 0; i++) {
		const struct net_spec *spec = net_options_net(o, i);

		if (n->plain[i] == NULL)
			rc = open_one(n, d, spec, o->pairs, &n->plain[i]);
		if (rc < 0)
			return daemon_fail(d, "can't use", spec->name != NULL ? spec->name : "the network", rc);
		n->has_links |= spec->kind == NET_TAP || spec->kind == NET_PACKET || spec->kind == NET_XDP;
		n->netif[i] = n->plain[i];
		if (spec->kind == NET_PCAP)
			rc = capture(d, spec->name, &n->netif[i]);
		if (rc == 0 && i < o->npcaps)
			rc = capture(d, o->pcaps[i], &n->netif[i]);
	}
	return rc;
}

/* Whatever the kernel tells, and even if some of it got lost: look at all of them. */
static int on_link(void *ctx, unsigned flags)
{
	struct netifs *n = ctx;
	char message[4096];
	ssize_t got = recv(n->links, message, sizeof(message), MSG_DONTWAIT);

	(void)flags;
	if (got < 0 && errno != ENOBUFS)
		return 0;
	for (unsigned i = 0; i < NET_SOCKETS; i++) {
		if (n->plain[i] != NULL && vdev_netif_tap_refresh(n->plain[i]) < 0 &&
		    vdev_netif_packet_refresh(n->plain[i]) < 0 && vdev_netif_xdp_refresh(n->plain[i]) < 0)
			continue; /* it is none of them */
	}
	return 1;
}

int netifs_watch(struct netifs *n, struct daemon *d)
{
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	struct vdev_task task = {.run = on_link, .ctx = n};

	if (!n->has_links)
		return 0;
	n->links = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (n->links < 0 || bind(n->links, (struct sockaddr *)&to, sizeof(to)) < 0)
		return daemon_fail(d, "can't watch", "interfaces", -errno);
	task.fd = n->links;
	return vdev_loop_add(d->control, 0, &task) < 0
	           ? daemon_fail(d, "can't watch", "interfaces", VIRTQ_ENOMEM)
	           : 0;
}

void netifs_close(struct netifs *n)
{
	if (n->links > 0)
		close(n->links);
	for (unsigned i = 0; i < NET_SOCKETS; i++)
		vdev_netif_free(n->netif[i] != NULL ? n->netif[i] : n->plain[i]);
	if (n->sw != NULL && vdev_switch_free(n->sw) < 0)
		n->sw = NULL; /* it has no ports any more, so this does not happen */
}
