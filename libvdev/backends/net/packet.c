/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to and from an interface by packet sockets: received from a ring, sent a burst a system call. */
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "packet.h"

enum {
	MAX_PAIRS = 64,
	RING = 256,
	MAX_RING = 65536,
	HDR = sizeof(struct virtio_net_hdr),
	PIECES = 1024, /* of a burst sent; those of one frame are copied where they are more */
	/* of the sender, in a slot */
	ADDRESS = (sizeof(struct tpacket2_hdr) + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT *
	          TPACKET_ALIGNMENT,
	ADDRESSES = 2 * VDEV_NET_MAC,
	TAG = 4
};

struct packet {
	struct simple_netif base; /* first */
	struct net_dev dev;
	pthread_mutex_t lock; /* over the next two */
	uint32_t pairs;
	uint64_t lost; /* by the kernel, for want of room in a ring */
	uint32_t max_pairs;
	struct packet_queue queues[];
};

struct packet_send {
	struct simple_channel base; /* first */
	int fd;
	struct virtio_net_hdr hdr[VDEV_NET_BURST];
	struct mmsghdr msg[VDEV_NET_BURST];
	struct iovec iov[PIECES];
	uint8_t copy[VDEV_NET_MAX_FRAME];
};

struct packet_receive {
	struct simple_channel base; /* first */
	struct packet_queue *q;
	struct net_watch watch;
	int gone;
	struct virtq_iov iov[VDEV_NET_BURST][3];
	uint8_t tags[VDEV_NET_BURST][TAG];
};

static struct packet *to_packet(struct vdev_netif *n)
{
	return (struct packet *)n;
}

static void packet_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct packet *p = to_packet(n);

	memset(out, 0, sizeof(*out));
	net_dev_info(&p->dev, out);
	out->takes =
		VDEV_NET_TAKES_CSUM | VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6 | VDEV_NET_TAKES_ECN;
	out->max_pairs = p->max_pairs;
}

/* --- sending -------------------------------------------------------------------- */

/* The kernel's header has this processor's order. */
static void put_header(struct virtio_net_hdr *h, const struct vdev_frame *f)
{
	struct vdev_net_offload o = net_offload_of(f);

	*h = (struct virtio_net_hdr){.flags = o.flags & VDEV_NET_NEEDS_CSUM,
	                             .gso_type = o.gso_type,
	                             .hdr_len = o.hdr_len,
	                             .gso_size = o.gso_size,
	                             .csum_start = o.csum_start,
	                             .csum_offset = o.csum_offset};
}

static void put_message(struct packet_send *c, uint32_t i, struct iovec *iov, uint32_t niov,
                        const struct vdev_frame *f)
{
	put_header(&c->hdr[i], f);
	iov[0] = (struct iovec){&c->hdr[i], HDR};
	c->msg[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov, .msg_iovlen = niov + 1}};
}

/* As many messages as there are pieces for, at least one. */
static uint32_t gather(struct packet_send *c, const struct vdev_frame *frames, uint32_t n)
{
	uint32_t used = 0, k = 0;

	if (n > VDEV_NET_BURST)
		n = VDEV_NET_BURST;
	for (; k < n && frames[k].niov < PIECES - used; k++) {
		memcpy(&c->iov[used + 1], frames[k].iov, frames[k].niov * sizeof(*frames[k].iov));
		put_message(c, k, &c->iov[used], frames[k].niov, &frames[k]);
		used += frames[k].niov + 1;
	}
	if (likely(k > 0))
		return k;
	c->iov[1] = (struct iovec){c->copy, frame_read(frames, 0, c->copy, sizeof(c->copy))};
	put_message(c, 0, c->iov, 1, frames);
	return 1;
}

/* Send messages that are ready. Returns how many of them were lost, and adds up the bytes of the others. */
static uint32_t send_messages(struct packet_send *c, const struct vdev_frame *frames, uint32_t n,
                              uint64_t *bytes)
{
	uint32_t at = 0, lost = 0;

	while (at < n) {
		int done = sendmmsg(c->fd, c->msg + at, n - at, MSG_DONTWAIT);

		if (done < 0 && errno == EINTR)
			continue;
		/* No room: not for those behind it either. */
		if (done < 0 && errno == EAGAIN)
			return lost + n - at;
		if (done <= 0) {
			/* Whatever else it is, it is this frame's. */
			lost++;
			at++;
			continue;
		}
		for (int i = 0; i < done; i++)
			*bytes += frames[at++].len;
	}
	return lost;
}

static uint32_t packet_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                            uint32_t n)
{
	struct packet_send *c = (struct packet_send *)channel;
	uint32_t lost = 0, at = 0;
	uint64_t bytes = 0;

	while (at < n) {
		uint32_t k = gather(c, frames + at, n - at);

		lost += send_messages(c, frames + at, k, &bytes);
		at += k;
	}
	count(&c->base.sent, n - lost);
	count(&c->base.sent_bytes, bytes);
	count(&c->base.send_dropped, lost);
	return n;
}

/* --- receiving ------------------------------------------------------------------- */

static void give_back(struct packet_queue *q)
{
	for (uint32_t i = q->held; i > 0; i--) {
		struct tpacket2_hdr *h = packet_slot(q, (q->next + q->frames - i) % q->frames);

		store_release(&h->tp_status, TP_STATUS_KERNEL);
	}
	q->held = 0;
}

static int is_ours(const struct tpacket2_hdr *h)
{
	const struct sockaddr_ll *from = (const void *)((const uint8_t *)h + ADDRESS);

	return from->sll_pkttype == PACKET_OUTGOING;
}

static void get_header(struct vdev_net_offload *o, const uint8_t *from)
{
	struct virtio_net_hdr h;

	memcpy(&h, from, sizeof(h));
	*o = (struct vdev_net_offload){.flags = h.flags & (VDEV_NET_NEEDS_CSUM | VDEV_NET_DATA_VALID),
	                               .gso_type = h.gso_type,
	                               .hdr_len = h.hdr_len,
	                               .gso_size = h.gso_size,
	                               .csum_start = h.csum_start,
	                               .csum_offset = h.csum_offset};
}

/* The kernel took the tag out of the frame: put it back between the pieces. */
static void put_tag(struct packet_receive *c, uint32_t i, const struct tpacket2_hdr *h,
                    struct vdev_frame *f)
{
	struct virtq_iov whole = c->iov[i][0];
	uint16_t type = h->tp_status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : ETH_P_8021Q;

	net_put_be16(c->tags[i], type);
	net_put_be16(c->tags[i] + 2, h->tp_vlan_tci);
	c->iov[i][0] = (struct virtq_iov){whole.base, ADDRESSES};
	c->iov[i][1] = (struct virtq_iov){c->tags[i], TAG};
	c->iov[i][2] = (struct virtq_iov){(uint8_t *)whole.base + ADDRESSES, whole.len - ADDRESSES};
	f->niov = 3;
	f->len += TAG;
	if (f->offload.flags & VDEV_NET_NEEDS_CSUM)
		f->offload.csum_start = (uint16_t)(f->offload.csum_start + TAG);
	if (f->offload.hdr_len > 0)
		f->offload.hdr_len = (uint16_t)(f->offload.hdr_len + TAG);
}

/* The frame of a slot, with the i-th pieces. Returns 0, or VIRTQ_EBADMSG. */
static int get_frame(struct packet_receive *c, uint32_t i, const struct tpacket2_hdr *h,
                     struct vdev_frame *f)
{
	if (h->tp_snaplen != h->tp_len || h->tp_len < VDEV_NET_ETH || h->tp_mac < HDR ||
	    (size_t)h->tp_mac + h->tp_len > c->q->slot)
		return VIRTQ_EBADMSG;
	c->iov[i][0] = (struct virtq_iov){(uint8_t *)(uintptr_t)h + h->tp_mac, h->tp_len};
	*f = (struct vdev_frame){.iov = c->iov[i], .niov = 1, .len = h->tp_len};
	get_header(&f->offload, (const uint8_t *)h + h->tp_mac - HDR);
	if (h->tp_status & TP_STATUS_VLAN_VALID)
		put_tag(c, i, h, f);
	if (f->len > VDEV_NET_MAX_FRAME)
		return VIRTQ_EBADMSG;
	return frame_offload_check(f) == 0 ? 0 : VIRTQ_EBADMSG;
}

static int packet_receive(struct vdev_netif_channel *channel, struct vdev_frame *frames,
                          uint32_t max)
{
	struct packet_receive *c = (struct packet_receive *)channel;
	struct packet_queue *q = c->q;
	uint32_t n = 0;
	uint64_t bytes = 0, bad = 0;

	net_watch_rest(&c->watch);
	give_back(q);
	if (max > VDEV_NET_BURST)
		max = VDEV_NET_BURST;
	/* Bounded also when nothing comes but what is not for us. */
	while (n < max && q->held < 2 * VDEV_NET_BURST && q->held < q->frames) {
		struct tpacket2_hdr *h = packet_slot(q, q->next);

		/* Pairs with the kernel's, which writes it last. */
		if (!(load_acquire(&h->tp_status) & TP_STATUS_USER))
			break;
		q->next = q->next + 1 < q->frames ? q->next + 1 : 0;
		q->held++;
		if (is_ours(h))
			continue;
		if (get_frame(c, n, h, &frames[n]) < 0) {
			bad++;
			continue;
		}
		bytes += frames[n++].len;
	}
	count(&c->base.received, n);
	count(&c->base.received_bytes, bytes);
	count(&c->base.receive_dropped, bad);
	return n == 0 && c->gone ? VIRTQ_EIO : (int)n;
}

static int packet_fd(struct vdev_netif_channel *channel)
{
	return ((struct packet_receive *)channel)->watch.ep;
}

static int packet_arm(struct vdev_netif_channel *channel)
{
	struct packet_receive *c = (struct packet_receive *)channel;
	char name[VDEV_NETIF_NAME];
	int error = 0;
	socklen_t len = sizeof(error);

	/* An interface that went down makes the socket readable until the error is fetched. It comes back, if it is there. */
	(void)getsockopt(c->q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		c->gone = net_dev_name(&to_packet(channel->netif)->dev, name) < 0;
	if (c->gone)
		return 1;
	/* The kernel calls the socket readable while we hold anything. */
	give_back(c->q);
	if (load_acquire(&packet_slot(c->q, c->q->next)->tp_status) & TP_STATUS_USER)
		return 1;
	net_watch_arm(&c->watch);
	return 0;
}

/* --- channels ----------------------------------------------------------------------- */

static int open_send(struct packet *p, unsigned pair, struct vdev_netif_channel **out)
{
	struct packet_send *c =
		(struct packet_send *)simple_channel_new(&p->base, pair, sizeof(struct packet_send));

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->fd = packet_sender_open(p->dev.index);
	if (c->fd < 0) {
		int rc = c->fd;

		env_free(&p->base.env, c, sizeof(*c));
		return rc;
	}
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int open_receive(struct packet *p, unsigned pair, struct vdev_netif_channel **out)
{
	struct packet_receive *c =
		(struct packet_receive *)simple_channel_new(&p->base, pair, sizeof(struct packet_receive));
	int rc;

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->q = &p->queues[pair];
	c->gone = 0;
	rc = net_watch_init(&c->watch, c->q->fd);
	if (rc < 0) {
		env_free(&p->base.env, c, sizeof(*c));
		return rc;
	}
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int packet_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                       struct vdev_netif_channel **out)
{
	struct packet *p = to_packet(n);

	if (pair >= p->max_pairs)
		return VIRTQ_EINVAL;
	return way == VDEV_NET_SEND ? open_send(p, pair, out) : open_receive(p, pair, out);
}

static void packet_close(struct vdev_netif_channel *channel)
{
	if (to_simple_channel(channel)->bytes == sizeof(struct packet_receive)) {
		struct packet_receive *c = (struct packet_receive *)channel;

		give_back(c->q);
		net_watch_free(&c->watch);
	} else {
		vdev_os_close(((struct packet_send *)channel)->fd);
	}
	simple_close(channel);
}

static void packet_set_pairs(struct vdev_netif *n, uint32_t pairs)
{
	struct packet *p = to_packet(n);

	if (pairs == 0)
		pairs = 1;
	if (pairs > p->max_pairs)
		pairs = p->max_pairs;
	pthread_mutex_lock(&p->lock);
	if (pairs != p->pairs && packet_spread(p->queues, pairs) == 0)
		p->pairs = pairs;
	pthread_mutex_unlock(&p->lock);
}

static void packet_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	net_dev_set_sink(&to_packet(n)->dev, sink);
}

static void packet_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	struct packet *p = to_packet(n);

	simple_counters(n, out);
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->max_pairs; i++) {
		struct tpacket_stats s = {0, 0};
		socklen_t len = sizeof(s);

		/* The kernel forgets what it has told. */
		if (getsockopt(p->queues[i].fd, SOL_PACKET, PACKET_STATISTICS, &s, &len) == 0)
			p->lost += s.tp_drops;
	}
	out->receive_dropped += p->lost;
	pthread_mutex_unlock(&p->lock);
}

static void packet_destroy(struct vdev_netif *n)
{
	struct packet *p = to_packet(n);

	for (uint32_t i = 0; i < p->max_pairs; i++)
		packet_queue_close(&p->queues[i]);
	pthread_mutex_destroy(&p->lock);
	net_dev_free(&p->dev);
	simple_destroy(n);
}

static const struct vdev_netif_ops packet_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "packet",
	.info = packet_info,
	.open = packet_open,
	.close = packet_close,
	.send = packet_send,
	.receive = packet_receive,
	.fd = packet_fd,
	.arm = packet_arm,
	.set_sink = packet_set_sink,
	.set_pairs = packet_set_pairs,
	.destroy = packet_destroy,
	.counters = packet_counters,
};

/* --- opening ------------------------------------------------------------------------ */

static int open_queues(struct packet *p, const struct vdev_netif_packet_config *cfg)
{
	uint32_t frames = cfg->ring > 0 ? cfg->ring : RING;
	uint32_t frame_max = cfg->frame_max > 0 ? cfg->frame_max : VDEV_NET_MAX_FRAME;

	for (uint32_t i = 0; i < p->max_pairs; i++) {
		int rc = packet_queue_open(&p->queues[i], p->dev.index, frames, frame_max);

		if (rc < 0)
			return rc;
	}
	return p->max_pairs > 1 ? packet_join(p->queues, p->max_pairs) : 0;
}

static int open_packet(struct packet *p, const struct vdev_netif_packet_config *cfg)
{
	int rc = net_dev_init(&p->dev, cfg->name);

	if (rc < 0)
		return rc;
	rc = -pthread_mutex_init(&p->lock, NULL);
	if (rc < 0) {
		net_dev_free(&p->dev);
		return rc;
	}
	rc = open_queues(p, cfg);
	if (rc < 0) {
		pthread_mutex_destroy(&p->lock);
		net_dev_free(&p->dev);
	}
	return rc;
}

int vdev_netif_packet_new(struct vdev_netif **out, const struct vdev_env *env,
                          const struct vdev_netif_packet_config *cfg)
{
	uint32_t pairs;
	struct packet *p;
	int rc;

	if (out == NULL || !env_usable(env) || cfg == NULL || cfg->size < sizeof(*cfg) ||
	    cfg->pairs > MAX_PAIRS || cfg->ring > MAX_RING || cfg->name == NULL ||
	    strlen(cfg->name) >= VDEV_NETIF_NAME || cfg->frame_max > VDEV_NET_MAX_FRAME ||
	    (cfg->frame_max > 0 && cfg->frame_max < VDEV_NET_MIN_MTU + VDEV_NET_ETH))
		return VIRTQ_EINVAL;
	pairs = cfg->pairs > 0 ? cfg->pairs : 1;
	p = (struct packet *)simple_new(env, &packet_ops, sizeof(*p) + pairs * sizeof(p->queues[0]));
	if (p == NULL)
		return VIRTQ_ENOMEM;
	p->max_pairs = pairs;
	p->pairs = 1;
	for (uint32_t i = 0; i < pairs; i++)
		p->queues[i].fd = -1;
	rc = open_packet(p, cfg);
	if (rc < 0) {
		for (uint32_t i = 0; i < pairs; i++)
			packet_queue_close(&p->queues[i]);
		simple_destroy(&p->base.netif);
		return rc;
	}
	*out = &p->base.netif;
	return 0;
}

int vdev_netif_packet_refresh(struct vdev_netif *n)
{
	if (n == NULL || n->ops != &packet_ops)
		return VIRTQ_EINVAL;
	return net_dev_refresh(&to_packet(n)->dev);
}
