/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "netdev.h"

/* --- sockets --------------------------------------------------------------------- */

int net_set(int fd, int level, int name, const void *value, socklen_t len)
{
	return setsockopt(fd, level, name, value, len) < 0 ? -errno : 0;
}

void net_set_send_buffer(int fd, int bytes)
{
	if (net_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)!net_set(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int net_hear_all(int fd, int ifindex)
{
	struct packet_mreq all = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	return net_set(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all));
}

/* --- readable once ------------------------------------------------------------ */

static void watch_for(struct net_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT};

	(void)epoll_ctl(w->ep, EPOLL_CTL_MOD, w->fd, &ev);
}

int net_watch_init(struct net_watch *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLONESHOT};

	*w = (struct net_watch){.ep = vdev_os_epoll(), .fd = fd};
	if (w->ep < 0)
		return w->ep;
	if (epoll_ctl(w->ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int rc = -errno;

		vdev_os_close(w->ep);
		return rc;
	}
	return 0;
}

void net_watch_free(struct net_watch *w)
{
	vdev_os_close(w->ep);
}

void net_watch_arm(struct net_watch *w)
{
	w->armed = 1;
	watch_for(w, EPOLLIN);
}

void net_watch_rest(struct net_watch *w)
{
	if (!w->armed)
		return;
	w->armed = 0;
	watch_for(w, 0);
}

/* --- the interface -------------------------------------------------------------- */

int net_dev_init(struct net_dev *d, const char *name)
{
	struct ifreq r;
	int rc = 0;

	memset(d, 0, sizeof(*d));
	d->sock = -1;
	if (name != NULL) {
		/* What kind of socket does not matter. */
		d->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		memset(&r, 0, sizeof(r));
		strncpy(r.ifr_name, name, IFNAMSIZ - 1);
		if (d->sock < 0 || ioctl(d->sock, SIOCGIFINDEX, &r) < 0)
			rc = -errno;
		d->index = r.ifr_ifindex;
	}
	if (rc == 0)
		rc = -pthread_mutex_init(&d->lock, NULL);
	if (rc < 0) {
		vdev_os_close(d->sock);
		return rc;
	}
	net_dev_info(d, &d->told);
	return 0;
}

void net_dev_free(struct net_dev *d)
{
	pthread_mutex_destroy(&d->lock);
	vdev_os_close(d->sock);
}

static int get_name(struct net_dev *d, struct ifreq *r)
{
	memset(r, 0, sizeof(*r));
	r->ifr_ifindex = d->index;
	return d->sock >= 0 && ioctl(d->sock, SIOCGIFNAME, r) == 0 ? 0 : -ENODEV;
}

int net_dev_name(struct net_dev *d, char name[VDEV_NETIF_NAME])
{
	struct ifreq r;
	int rc = get_name(d, &r);

	if (rc == 0)
		memcpy(name, r.ifr_name, VDEV_NETIF_NAME);
	return rc;
}

void net_dev_info(struct net_dev *d, struct vdev_netif_info *out)
{
	struct ifreq r;

	out->link = d->sock < 0;
	out->mtu = 0;
	out->speed = UINT32_MAX;
	out->duplex = 0xff;
	if (get_name(d, &r) < 0)
		return;
	/* Running: up, and with a carrier. */
	if (ioctl(d->sock, SIOCGIFFLAGS, &r) == 0)
		out->link = (r.ifr_flags & IFF_UP) && (r.ifr_flags & IFF_RUNNING);
	if (ioctl(d->sock, SIOCGIFMTU, &r) == 0 && r.ifr_mtu >= VDEV_NET_MIN_MTU)
		out->mtu = r.ifr_mtu < 65535 ? (uint32_t)r.ifr_mtu : 65535;
}

void net_dev_set_sink(struct net_dev *d, const struct vdev_net_sink *sink)
{
	pthread_mutex_lock(&d->lock);
	d->sink = sink;
	pthread_mutex_unlock(&d->lock);
}

int net_dev_refresh(struct net_dev *d)
{
	struct vdev_netif_info now;
	int changed;

	memset(&now, 0, sizeof(now));
	net_dev_info(d, &now);
	/* Held over the call, so that set_sink waits for its end. */
	pthread_mutex_lock(&d->lock);
	changed = now.link != d->told.link || now.mtu != d->told.mtu;
	d->told = now;
	if (changed && d->sink != NULL && d->sink->link != NULL)
		d->sink->link(d->sink->ctx);
	pthread_mutex_unlock(&d->lock);
	return changed;
}
