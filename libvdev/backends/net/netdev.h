/* SPDX-License-Identifier: BSD-3-Clause */
/* What back-ends on a network interface of the host share. All results: >= 0, or -errno. */
#ifndef VDEV_NET_NETDEV_H
#define VDEV_NET_NETDEV_H

#include <pthread.h>
#include <sys/socket.h>

#include <vdev/netif_tap.h>

#include "libvdev/backends/net/simple/simple.h"
#include "libvdev/net/frame.h"
#include "libvdev/os/os.h"

/* setsockopt() */
VIRTQ_MUST_CHECK int net_set(int fd, int level, int name, const void *value, socklen_t len);
/* So much room for what is sent, or as much as we are allowed. */
void net_set_send_buffer(int fd, int bytes);
/* While this packet socket is open the interface hears everything. */
VIRTQ_MUST_CHECK int net_hear_all(int fd, int ifindex);

/* A descriptor that is readable once, at the next frame after arming. */
struct net_watch {
	int ep;
	int fd;
	int armed;
};

VIRTQ_MUST_CHECK int net_watch_init(struct net_watch *w, int fd);
void net_watch_free(struct net_watch *w);
void net_watch_arm(struct net_watch *w);
/* Not readable any more. */
void net_watch_rest(struct net_watch *w);

/*
 * What is left to be done to a frame, for the kernel, which drops those of which something is said that is wrong and means
 * nothing.
 */
static inline struct vdev_net_offload net_offload_of(const struct vdev_frame *f)
{
	struct vdev_net_offload o = f->offload;

	/* ECN alone. */
	if (o.gso_type == VDEV_NET_GSO_ECN)
		o.gso_type = VDEV_NET_GSO_NONE;
	/* A hint, no more. */
	if (o.hdr_len > f->len)
		o.hdr_len = 0;
	return o;
}

/* An interface, seen from its network namespace, and whoever wants to know how it is. */
struct net_dev {
	int sock;  /* any socket of the namespace; -1: we can't look */
	int index; /* names change */
	pthread_mutex_t lock;
	const struct vdev_net_sink *sink;
	struct vdev_netif_info told;
};

/* By the name of an interface of this thread's namespace; NULL: of another, nothing is known of it. */
VIRTQ_MUST_CHECK int net_dev_init(struct net_dev *d, const char *name);
void net_dev_free(struct net_dev *d);
VIRTQ_MUST_CHECK int net_dev_name(struct net_dev *d, char name[VDEV_NETIF_NAME]);
/* Fill in link and mtu as they are now. */
void net_dev_info(struct net_dev *d, struct vdev_netif_info *out);
void net_dev_set_sink(struct net_dev *d, const struct vdev_net_sink *sink);
/* Tell the sink if something changed: 1, else 0. */
int net_dev_refresh(struct net_dev *d);

#endif
