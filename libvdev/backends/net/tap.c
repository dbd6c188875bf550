/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to and from a tap interface: one system call a frame, as the kernel has it. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netdev.h"

/* Since Linux 6.2; headers may be older. */
#define TAP_USO4 0x20u
#define TAP_USO6 0x40u

enum {
	HDR = NET_HDR_PLAIN,
	MAX_PAIRS = 256,
	PIECES = 1023, /* of a frame; IOV_MAX with the header */
	LINE = 64,
	ROOM = (HDR + VDEV_NET_MAX_FRAME + LINE - 1) / LINE * LINE /* of a frame at most */
};

_Static_assert(sizeof(struct iovec) == sizeof(struct virtq_iov) &&
                   offsetof(struct iovec, iov_len) == offsetof(struct virtq_iov, len),
               "pieces go to writev as they are");

struct tap {
	struct simple_netif base; /* first */
	struct net_dev dev;
	uint32_t takes;     /* what the kernel takes */
	uint32_t max_pairs; /* of fds */
	uint32_t pairs;     /* attached; with waiting under lock */
	pthread_mutex_t lock;
	uint32_t hdr; /* bytes before a frame */
	int fds[];    /* of each pair */
};

struct tap_send {
	struct simple_channel base; /* first */
	int fd;
	uint8_t hdr[HDR];
	struct iovec iov[1 + PIECES];
	uint8_t copy[VDEV_NET_MAX_FRAME];
};

/* Frames of a burst lie one behind the other, so that short ones touch little memory. */
struct tap_receive {
	struct simple_channel base; /* first */
	int fd;
	struct net_watch watch;
	uint32_t n; /* in use in iov */
	struct virtq_iov iov[VDEV_NET_BURST];
	uint8_t bytes[2 * (size_t)LINE + (size_t)VDEV_NET_BURST * ROOM];
};

static struct tap *to_tap(struct vdev_netif *n)
{
	return (struct tap *)n;
}

static void tap_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct tap *t = to_tap(n);

	memset(out, 0, sizeof(*out));
	net_dev_info(&t->dev, out);
	out->takes = t->takes;
	out->max_pairs = t->max_pairs;
}

/* --- sending -------------------------------------------------------------------- */

/* The frame as the kernel wants it. Returns the number of pieces. */
static int gather(struct tap_send *c, const struct vdev_frame *f, uint32_t hdr)
{
	if (hdr > 0) {
		struct vdev_net_offload o = net_offload_of(f);

		net_hdr_put(c->hdr, HDR, &o);
	}
	c->iov[0] = (struct iovec){c->hdr, hdr};
	if (likely(f->niov <= PIECES)) {
		memcpy(&c->iov[1], f->iov, f->niov * sizeof(*f->iov));
		return (int)f->niov + 1;
	}
	c->iov[1] = (struct iovec){c->copy, frame_read(f, 0, c->copy, sizeof(c->copy))};
	return 2;
}

static uint32_t tap_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                         uint32_t n)
{
	struct tap_send *c = (struct tap_send *)channel;
	uint32_t hdr = to_tap(channel->netif)->hdr;
	uint64_t bytes = 0, good = 0;

	for (uint32_t i = 0; i < n; i++) {
		int niov = gather(c, &frames[i], hdr);
		ssize_t done;

		do
			done = writev(c->fd, c->iov, niov);
		while (done < 0 && errno == EINTR);
		/*
		 * Whatever the reason is, it is this frame's: EINVAL for its header, EIO while the interface is down, EAGAIN and
		 * ENOBUFS when too many are under way. None of them ends the channel, and nothing would tell us when to try again.
		 */
		if (done < 0)
			continue;
		good++;
		bytes += frames[i].len;
	}
	count(&c->base.sent, good);
	count(&c->base.sent_bytes, bytes);
	count(&c->base.send_dropped, n - good);
	return n;
}

/* --- receiving ------------------------------------------------------------------- */

/*
 * Read a frame to @p at. Returns its bytes with the header, 0 when there is none, -EBADMSG for one that makes no sense,
 * -errno.
 */
static ssize_t read_frame(struct tap_receive *c, uint8_t *at, uint32_t hdr, struct vdev_frame *f)
{
	ssize_t got;

	do
		got = read(c->fd, at, hdr + (size_t)VDEV_NET_MAX_FRAME);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	if ((size_t)got < hdr + (size_t)VDEV_NET_ETH)
		return -EBADMSG;
	c->iov[c->n] = (struct virtq_iov){at + hdr, (size_t)got - hdr};
	*f = (struct vdev_frame){.iov = &c->iov[c->n], .niov = 1, .len = (uint32_t)got - hdr};
	if (hdr > 0)
		net_hdr_get(at, HDR, &f->offload);
	return frame_offload_check(f) == 0 ? got : -EBADMSG;
}

static int tap_receive(struct vdev_netif_channel *channel, struct vdev_frame *frames, uint32_t max)
{
	struct tap_receive *c = (struct tap_receive *)channel;
	uint32_t hdr = to_tap(channel->netif)->hdr;
	uint8_t *at = c->bytes + 2 * (size_t)LINE - (uintptr_t)c->bytes % LINE - hdr;
	uint64_t bytes = 0, bad = 0;
	ssize_t got = 0;

	net_watch_rest(&c->watch);
	c->n = 0;
	if (max > VDEV_NET_BURST)
		max = VDEV_NET_BURST;
	/* Bounded also when nothing comes but what makes no sense. */
	while (c->n < max && bad < VDEV_NET_BURST) {
		got = read_frame(c, at, hdr, &frames[c->n]);
		if (got == -EBADMSG) {
			bad++;
			continue;
		}
		if (got <= 0)
			break;
		bytes += frames[c->n].len;
		c->n++;
		at += ((size_t)got + LINE - 1) / LINE * LINE;
	}
	count(&c->base.received, c->n);
	count(&c->base.received_bytes, bytes);
	count(&c->base.receive_dropped, bad);
	if (c->n > 0 || got >= 0 || got == -EBADMSG)
		return (int)c->n;
	/* The interface is gone. While it is down there is just nothing. */
	return got == -EBADFD || got == -ENODEV ? (int)got : 0;
}

static int tap_fd(struct vdev_netif_channel *channel)
{
	return ((struct tap_receive *)channel)->watch.ep;
}

static int tap_arm(struct vdev_netif_channel *channel)
{
	net_watch_arm(&((struct tap_receive *)channel)->watch);
	return 0;
}

/* --- channels and queues ----------------------------------------------------------- */

static int open_send(struct tap *t, unsigned pair, struct vdev_netif_channel **out)
{
	struct tap_send *c =
		(struct tap_send *)simple_channel_new(&t->base, pair, sizeof(struct tap_send));

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->fd = t->fds[pair];
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int open_receive(struct tap *t, unsigned pair, struct vdev_netif_channel **out)
{
	struct tap_receive *c =
		(struct tap_receive *)simple_channel_new(&t->base, pair, sizeof(struct tap_receive));
	int rc;

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->fd = t->fds[pair];
	rc = net_watch_init(&c->watch, c->fd);
	if (rc < 0) {
		env_free(&t->base.env, c, sizeof(*c));
		return rc;
	}
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int tap_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                    struct vdev_netif_channel **out)
{
	struct tap *t = to_tap(n);

	if (pair >= t->max_pairs)
		return VIRTQ_EINVAL;
	return way == VDEV_NET_SEND ? open_send(t, pair, out) : open_receive(t, pair, out);
}

static void tap_close(struct vdev_netif_channel *channel)
{
	if (to_simple_channel(channel)->bytes == sizeof(struct tap_receive))
		net_watch_free(&((struct tap_receive *)channel)->watch);
	simple_close(channel);
}

static int attach(int fd, int on)
{
	struct ifreq r = {.ifr_flags = (short)(on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE)};

	return ioctl(fd, TUNSETQUEUE, &r) < 0 ? -errno : 0;
}

/* In the order that leaves the kernel's number of a queue that of its pair. */
static void tap_set_pairs(struct vdev_netif *n, uint32_t pairs)
{
	struct tap *t = to_tap(n);

	if (pairs == 0)
		pairs = 1;
	if (pairs > t->max_pairs)
		pairs = t->max_pairs;
	pthread_mutex_lock(&t->lock);
	while (t->pairs > pairs && attach(t->fds[t->pairs - 1], 0) == 0)
		t->pairs--;
	while (t->pairs < pairs && attach(t->fds[t->pairs], 1) == 0)
		t->pairs++;
	pthread_mutex_unlock(&t->lock);
}

static void tap_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	net_dev_set_sink(&to_tap(n)->dev, sink);
}

/* What the kernel may leave undone in frames to the device. */
static unsigned offloads_of(uint32_t takes)
{
	unsigned o = 0;

	if (!(takes & VDEV_NET_TAKES_CSUM))
		return 0;
	o |= TUN_F_CSUM;
	if (takes & VDEV_NET_TAKES_TSO4)
		o |= TUN_F_TSO4;
	if (takes & VDEV_NET_TAKES_TSO6)
		o |= TUN_F_TSO6;
	if ((takes & VDEV_NET_TAKES_ECN) && (o & (TUN_F_TSO4 | TUN_F_TSO6)))
		o |= TUN_F_TSO_ECN;
	if (takes & VDEV_NET_TAKES_UFO)
		o |= TUN_F_UFO;
	/* The kernel has them together only. */
	if ((takes & VDEV_NET_TAKES_USO4) && (takes & VDEV_NET_TAKES_USO6))
		o |= TAP_USO4 | TAP_USO6;
	return o;
}

static int tap_set_takes(struct vdev_netif *n, uint32_t takes)
{
	struct tap *t = to_tap(n);

	if (t->hdr == 0)
		return 0;
	/* What the kernel can't send it can't receive either. */
	if (ioctl(t->fds[0], TUNSETOFFLOAD, (unsigned long)offloads_of(takes & t->takes)) < 0)
		return -errno;
	return 0;
}

static void tap_destroy(struct vdev_netif *n)
{
	struct tap *t = to_tap(n);

	for (uint32_t i = 0; i < t->max_pairs; i++)
		vdev_os_close(t->fds[i]);
	pthread_mutex_destroy(&t->lock);
	net_dev_free(&t->dev);
	simple_destroy(n);
}

static const struct vdev_netif_ops tap_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "tap",
	.info = tap_info,
	.open = tap_open,
	.close = tap_close,
	.send = tap_send,
	.receive = tap_receive,
	.fd = tap_fd,
	.arm = tap_arm,
	.set_sink = tap_set_sink,
	.set_takes = tap_set_takes,
	.set_pairs = tap_set_pairs,
	.destroy = tap_destroy,
	.counters = simple_counters,
};

/* --- opening ------------------------------------------------------------------------ */

/* A queue of the interface r->ifr_name, which becomes the name it really has. */
static int open_queue(struct ifreq *r, uint32_t pairs)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r->ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (pairs > 1 ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, r) < 0) {
		int rc = -errno;

		vdev_os_close(fd);
		return rc;
	}
	return fd;
}

static int open_queues(struct tap *t, const struct vdev_netif_tap_config *cfg, struct ifreq *r)
{
	for (uint32_t i = 0; i < t->max_pairs; i++) {
		int rc;

		t->fds[i] = cfg->fds != NULL ? vdev_os_dup(cfg->fds[i]) : open_queue(r, t->max_pairs);
		rc = t->fds[i] < 0 || cfg->fds == NULL ? t->fds[i] : vdev_os_nonblock(t->fds[i], 1);
		if (rc < 0)
			return rc;
	}
	memset(r, 0, sizeof(*r));
	return ioctl(t->fds[0], TUNGETIFF, r) < 0 ? -errno : 0;
}

/* Whether the interface is in the network namespace of this thread, so that its name means something here. */
static int is_near(int fd)
{
	struct stat here, there;
	int ns = ioctl(fd, TUNGETDEVNETNS);
	int near;

	near = ns >= 0 && fstat(ns, &there) == 0 && stat("/proc/thread-self/ns/net", &here) == 0 &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
	vdev_os_close(ns);
	return near;
}

/* Headers of our size and order, and what the kernel can do with them. */
static int set_up(struct tap *t, const struct ifreq *r)
{
	int len = HDR, le = 1;

	/* Whether there is a packet information header can't be asked: the kernel says no in any case. */
	if (!(r->ifr_flags & IFF_TAP))
		return VIRTQ_EINVAL;
	if (!(r->ifr_flags & IFF_VNET_HDR))
		return 0;
	if (ioctl(t->fds[0], TUNSETVNETHDRSZ, &len) < 0 || ioctl(t->fds[0], TUNSETVNETLE, &le) < 0)
		return -errno;
	t->hdr = HDR;
	t->takes = VDEV_NET_TAKES_CSUM | VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6 |
	           VDEV_NET_TAKES_ECN | VDEV_NET_TAKES_UFO;
	if (ioctl(t->fds[0], TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TAP_USO4 | TAP_USO6)) == 0)
		t->takes |= VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6;
	return ioctl(t->fds[0], TUNSETOFFLOAD, 0ul) < 0 ? -errno : 0;
}

static int open_tap(struct tap *t, const struct vdev_netif_tap_config *cfg)
{
	struct ifreq r;
	int rc;

	memset(&r, 0, sizeof(r));
	strncpy(r.ifr_name, cfg->name != NULL ? cfg->name : "tap%d", IFNAMSIZ - 1);
	rc = open_queues(t, cfg, &r);
	if (rc == 0)
		rc = set_up(t, &r);
	if (rc == 0)
		rc = net_dev_init(&t->dev, cfg->fds == NULL || is_near(t->fds[0]) ? r.ifr_name : NULL);
	if (rc < 0)
		return rc;
	rc = -pthread_mutex_init(&t->lock, NULL);
	if (rc < 0)
		net_dev_free(&t->dev);
	t->pairs = t->max_pairs;
	return rc;
}

int vdev_netif_tap_new(struct vdev_netif **out, const struct vdev_env *env,
                       const struct vdev_netif_tap_config *cfg)
{
	uint32_t pairs;
	struct tap *t;
	int rc;

	if (out == NULL || !env_usable(env) || cfg == NULL || cfg->size < sizeof(*cfg) ||
	    cfg->pairs > MAX_PAIRS || (cfg->name != NULL && cfg->fds != NULL) ||
	    (cfg->name != NULL && strlen(cfg->name) >= VDEV_NETIF_NAME))
		return VIRTQ_EINVAL;
	pairs = cfg->pairs > 0 ? cfg->pairs : 1;
	t = (struct tap *)simple_new(env, &tap_ops,
	                             offsetof(struct tap, fds) + pairs * sizeof(t->fds[0]));
	if (t == NULL)
		return VIRTQ_ENOMEM;
	t->max_pairs = pairs;
	memset(t->fds, 0xff, pairs * sizeof(t->fds[0]));
	rc = open_tap(t, cfg);
	if (rc < 0) {
		for (uint32_t i = 0; i < pairs; i++)
			vdev_os_close(t->fds[i]);
		simple_destroy(&t->base.netif);
		return rc;
	}
	tap_set_pairs(&t->base.netif, 1);
	*out = &t->base.netif;
	return 0;
}

int vdev_netif_tap_name(struct vdev_netif *n, char name[VDEV_NETIF_NAME])
{
	if (n == NULL || name == NULL || n->ops != &tap_ops)
		return VIRTQ_EINVAL;
	return net_dev_name(&to_tap(n)->dev, name);
}

int vdev_netif_tap_refresh(struct vdev_netif *n)
{
	if (n == NULL || n->ops != &tap_ops)
		return VIRTQ_EINVAL;
	return net_dev_refresh(&to_tap(n)->dev);
}
