/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to and from an interface by XDP sockets, one for each of its queues. */
#include "xdp.h"
#include "libvdev/net/adapt.h"

enum { MAX_PAIRS = 64, RING = 1024, MIN_RING = 64, MAX_RING = 16384, TAGS = 8 };

struct xdp {
	struct simple_netif base; /* first */
	struct net_dev dev;
	pthread_mutex_t lock; /* over changes of pairs */
	uint32_t pairs;       /* in use; read by channels at any time */
	uint32_t max_pairs;
	int all;  /* a socket that has the interface hear everything */
	int link; /* what leads frames here */
	uint32_t nqueues;
	struct xdp_queue queues[VDEV_NETIF_XDP_QUEUES];
	int readable[MAX_PAIRS]; /* when a queue of this pair is */
};

struct xdp_send {
	struct simple_channel base; /* first */
	struct xdp_queue *q;
	struct frame_adapt adapt;
};

struct xdp_receive {
	struct simple_channel base; /* first */
	struct net_watch watch;
	int gone;
	uint32_t turn; /* queue that is looked at first */
	uint32_t nheld;
	struct {
		struct xdp_queue *q;
		uint64_t chunk;
	} held[2 * VDEV_NET_BURST]; /* given to the caller until its next call, or bad ones */
	struct virtq_iov iov[VDEV_NET_BURST];
};

static struct xdp *to_xdp(struct vdev_netif *n)
{
	return (struct xdp *)n;
}

static void xdp_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	const uint32_t most = VDEV_NETIF_XDP_FRAME - VDEV_NET_ETH - TAGS;
	struct xdp *x = to_xdp(n);

	memset(out, 0, sizeof(*out));
	net_dev_info(&x->dev, out);
	if (out->mtu == 0 || out->mtu > most)
		out->mtu = most;
	out->takes = VDEV_NET_TAKES_ALL;
	out->max_pairs = x->max_pairs;
}

/* --- sending -------------------------------------------------------------------- */

/* One frame to which nothing is left to be done: into the ring, not yet shown. */
static int put(struct xdp_queue *q, const struct vdev_frame *f)
{
	struct xdp_desc *d = (struct xdp_desc *)q->tx.entries + (q->tx.mine & q->tx.mask);
	uint64_t at;

	if (f->len > VDEV_NETIF_XDP_FRAME)
		return VIRTQ_ENOSPC;
	if (unlikely(q->nfree == 0)) {
		store_release(q->tx.producer, q->tx.mine);
		(void)xdp_queue_kick(q);
		xdp_queue_reap(q);
		if (q->nfree == 0)
			return VIRTQ_ENOSPC;
	}
	at = (uint64_t)q->free[q->nfree - 1] * XDP_CHUNK;
	if (frame_read(f, 0, q->memory + at, f->len) != f->len)
		return VIRTQ_EINVAL;
	q->nfree--;
	*d = (struct xdp_desc){.addr = at, .len = f->len};
	q->tx.mine++;
	return 0;
}

/* A frame, as often as it takes. */
static int put_adapted(struct xdp_send *c, const struct vdev_frame *f)
{
	struct vdev_frame out;
	int rc = frame_adapt_begin(&c->adapt, f, 0, 0);

	while (rc == 0 && (rc = frame_adapt_next(&c->adapt, &out)) > 0)
		rc = put(c->q, &out);
	return rc;
}

/* Into the ring. Returns how many were lost, and adds up the bytes of the others. */
static uint32_t put_all(struct xdp_send *c, const struct vdev_frame *frames, uint32_t n,
                        uint64_t *bytes)
{
	uint32_t lost = 0;

	for (uint32_t i = 0; i < n; i++) {
		int rc =
			likely(frame_fits(&frames[i], 0)) ? put(c->q, &frames[i]) : put_adapted(c, &frames[i]);

		if (rc < 0)
			lost++;
		else
			*bytes += frames[i].len;
	}
	return lost;
}

static uint32_t xdp_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                         uint32_t n)
{
	struct xdp_send *c = (struct xdp_send *)channel;
	struct xdp_queue *q = c->q;
	uint32_t lost = n;
	uint64_t bytes = 0;

	pthread_mutex_lock(&q->sending);
	xdp_queue_reap(q);
	/* While the interface is down nothing piles up in the ring, to go out when it is long stale. */
	if (!q->down || xdp_queue_kick(q) == 0) {
		lost = put_all(c, frames, n, &bytes);
		store_release(q->tx.producer, q->tx.mine);
		q->down = xdp_queue_kick(q) < 0;
		if (q->down) {
			lost = n;
			bytes = 0;
		}
	}
	pthread_mutex_unlock(&q->sending);
	count(&c->base.sent, n - lost);
	count(&c->base.sent_bytes, bytes);
	count(&c->base.send_dropped, lost);
	return n;
}

/* --- receiving ------------------------------------------------------------------- */

static void give_back(struct xdp_receive *c)
{
	for (uint32_t i = 0; i < c->nheld;) {
		struct xdp_queue *q = c->held[i].q;
		uint64_t *to = q->fill.entries;

		/* There is room for each chunk of the queue's. */
		pthread_mutex_lock(&q->receiving);
		for (; i < c->nheld && c->held[i].q == q; i++)
			to[q->fill.mine++ & q->fill.mask] = c->held[i].chunk;
		store_release(q->fill.producer, q->fill.mine);
		pthread_mutex_unlock(&q->receiving);
		/* A driver that ran out of chunks waits to be told. */
		if (unlikely(load_acquire(q->fill.flags) & XDP_RING_NEED_WAKEUP))
			(void)!recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	}
	c->nheld = 0;
}

/* From one queue, behind the n frames that are there already. Returns how many there are then. */
static uint32_t receive_from(struct xdp_receive *c, struct xdp_queue *q, struct vdev_frame *frames,
                             uint32_t n, uint32_t max, uint64_t *bytes)
{
	const struct xdp_desc *from = q->rx.entries;
	uint32_t end;

	pthread_mutex_lock(&q->receiving);
	end = load_acquire(q->rx.producer);
	while (q->rx.mine != end && n < max && c->nheld < 2 * VDEV_NET_BURST) {
		struct xdp_desc d = from[q->rx.mine++ & q->rx.mask];

		c->held[c->nheld].q = q;
		c->held[c->nheld++].chunk = d.addr / XDP_CHUNK * XDP_CHUNK;
		if (d.len < VDEV_NET_ETH) {
			count(&c->base.receive_dropped, 1);
			continue;
		}
		c->iov[n] = (struct virtq_iov){q->memory + d.addr, d.len};
		frames[n] = (struct vdev_frame){.iov = &c->iov[n], .niov = 1, .len = d.len};
		n++;
		*bytes += d.len;
	}
	store_release(q->rx.consumer, q->rx.mine);
	pthread_mutex_unlock(&q->receiving);
	return n;
}

/* How many queues are this channel's: pair, pair + *step, and so on. */
static uint32_t queues_of(const struct xdp_receive *c, uint32_t *step)
{
	const struct xdp *x = to_xdp(c->base.channel.netif);

	*step = load_acquire(&x->pairs);
	if (c->base.pair >= *step || c->base.pair >= x->nqueues)
		return 0;
	return (x->nqueues - c->base.pair - 1) / *step + 1;
}

static int is_empty(const struct xdp_queue *q)
{
	return load_acquire(q->rx.producer) == load_acquire(q->rx.consumer);
}

static int xdp_receive(struct vdev_netif_channel *channel, struct vdev_frame *frames, uint32_t max)
{
	struct xdp_receive *c = (struct xdp_receive *)channel;
	struct xdp *x = to_xdp(channel->netif);
	uint32_t step, mine = queues_of(c, &step), n = 0;
	uint64_t bytes = 0;

	net_watch_rest(&c->watch);
	give_back(c);
	if (max > VDEV_NET_BURST)
		max = VDEV_NET_BURST;
	for (uint32_t i = 0; i < mine && n < max; i++) {
		struct xdp_queue *q = &x->queues[c->base.pair + (c->turn + i) % mine * step];

		if (!is_empty(q))
			n = receive_from(c, q, frames, n, max, &bytes);
	}
	c->turn++;
	count(&c->base.received, n);
	count(&c->base.received_bytes, bytes);
	return n == 0 && c->gone ? VIRTQ_EIO : (int)n;
}

static int xdp_fd(struct vdev_netif_channel *channel)
{
	return ((struct xdp_receive *)channel)->watch.ep;
}

/* These sockets have one error of their own, which makes them readable until it is fetched: the interface is gone. */
static int is_gone(const struct xdp_queue *q)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error != 0;
}

static int xdp_arm(struct vdev_netif_channel *channel)
{
	struct xdp_receive *c = (struct xdp_receive *)channel;
	struct xdp *x = to_xdp(channel->netif);
	uint32_t step, mine = queues_of(c, &step), ready = 0;

	give_back(c);
	for (uint32_t i = 0; i < mine; i++) {
		struct xdp_queue *q = &x->queues[c->base.pair + i * step];

		c->gone |= is_gone(q);
		ready |= (uint32_t)!is_empty(q);
	}
	if (c->gone || ready)
		return 1;
	net_watch_arm(&c->watch);
	return 0;
}

/* --- channels ----------------------------------------------------------------------- */

static int open_send(struct xdp *x, unsigned pair, struct vdev_netif_channel **out)
{
	struct xdp_send *c =
		(struct xdp_send *)simple_channel_new(&x->base, pair, sizeof(struct xdp_send));

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->q = &x->queues[pair % x->nqueues];
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int open_receive(struct xdp *x, unsigned pair, struct vdev_netif_channel **out)
{
	struct xdp_receive *c =
		(struct xdp_receive *)simple_channel_new(&x->base, pair, sizeof(struct xdp_receive));
	int rc;

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->gone = 0;
	c->turn = 0;
	c->nheld = 0;
	rc = net_watch_init(&c->watch, x->readable[pair]);
	if (rc < 0) {
		env_free(&x->base.env, c, sizeof(*c));
		return rc;
	}
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int xdp_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                    struct vdev_netif_channel **out)
{
	struct xdp *x = to_xdp(n);

	if (pair >= x->max_pairs)
		return VIRTQ_EINVAL;
	return way == VDEV_NET_SEND ? open_send(x, pair, out) : open_receive(x, pair, out);
}

static void xdp_close(struct vdev_netif_channel *channel)
{
	if (to_simple_channel(channel)->bytes == sizeof(struct xdp_receive)) {
		struct xdp_receive *c = (struct xdp_receive *)channel;

		give_back(c);
		net_watch_free(&c->watch);
	}
	simple_close(channel);
}

/* A queue's socket wakes whoever receives from it. */
static int watch_queues(struct xdp *x, uint32_t before, uint32_t pairs)
{
	int rc = 0;

	for (uint32_t i = 0; i < x->nqueues && rc == 0; i++) {
		if (before != 0)
			vdev_os_epoll_del(x->readable[i % before], x->queues[i].fd);
		rc = vdev_os_epoll_add(x->readable[i % pairs], x->queues[i].fd, NULL);
	}
	return rc;
}

static void xdp_set_pairs(struct vdev_netif *n, uint32_t pairs)
{
	struct xdp *x = to_xdp(n);

	if (pairs == 0)
		pairs = 1;
	if (pairs > x->max_pairs)
		pairs = x->max_pairs;
	pthread_mutex_lock(&x->lock);
	if (pairs != x->pairs) {
		uint32_t before = x->pairs;

		/* First, so that who is woken finds what it is woken for. */
		store_release(&x->pairs, pairs);
		(void)!watch_queues(x, before, pairs);
	}
	pthread_mutex_unlock(&x->lock);
}

static void xdp_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	net_dev_set_sink(&to_xdp(n)->dev, sink);
}

static void xdp_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	struct xdp *x = to_xdp(n);

	simple_counters(n, out);
	for (uint32_t i = 0; i < x->nqueues; i++) {
		struct xdp_statistics s;
		socklen_t len = sizeof(s);

		memset(&s, 0, sizeof(s));
		if (getsockopt(x->queues[i].fd, SOL_XDP, XDP_STATISTICS, &s, &len) == 0)
			out->receive_dropped += s.rx_dropped + s.rx_ring_full;
	}
}

static void close_all(struct xdp *x)
{
	vdev_os_close(x->link);
	for (uint32_t i = 0; i < x->nqueues; i++)
		xdp_queue_close(&x->queues[i]);
	for (uint32_t i = 0; i < x->max_pairs; i++)
		vdev_os_close(x->readable[i]);
	vdev_os_close(x->all);
	pthread_mutex_destroy(&x->lock);
	net_dev_free(&x->dev);
}

static void xdp_destroy(struct vdev_netif *n)
{
	close_all(to_xdp(n));
	simple_destroy(n);
}

static const struct vdev_netif_ops xdp_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "xdp",
	.info = xdp_info,
	.open = xdp_open,
	.close = xdp_close,
	.send = xdp_send,
	.receive = xdp_receive,
	.fd = xdp_fd,
	.arm = xdp_arm,
	.set_sink = xdp_set_sink,
	.set_pairs = xdp_set_pairs,
	.destroy = xdp_destroy,
	.counters = xdp_counters,
};

/* --- opening ------------------------------------------------------------------------ */

static int hear_all(struct xdp *x)
{
	/* Receives nothing itself. */
	x->all = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	return x->all < 0 ? -errno : net_hear_all(x->all, x->dev.index);
}

static int open_queues(struct xdp *x, uint32_t frames, int generic)
{
	int rc = 0;

	while (x->nqueues < VDEV_NETIF_XDP_QUEUES) {
		rc = xdp_queue_open(&x->queues[x->nqueues], x->dev.index, x->nqueues, frames, generic);
		/* The interface has no more. */
		if (rc == -EINVAL && x->nqueues > 0)
			return 0;
		if (rc < 0)
			return rc;
		x->nqueues++;
	}
	return 0;
}

static int open_pairs(struct xdp *x)
{
	for (uint32_t i = 0; i < x->max_pairs; i++) {
		x->readable[i] = vdev_os_epoll();
		if (x->readable[i] < 0)
			return x->readable[i];
	}
	return watch_queues(x, 0, x->pairs);
}

static int open_xdp(struct xdp *x, const struct vdev_netif_xdp_config *cfg)
{
	int generic = (cfg->flags & VDEV_NETIF_XDP_GENERIC) != 0;
	int rc = net_dev_init(&x->dev, cfg->name);

	if (rc < 0)
		return rc;
	rc = -pthread_mutex_init(&x->lock, NULL);
	if (rc < 0) {
		net_dev_free(&x->dev);
		return rc;
	}
	rc = hear_all(x);
	if (rc == 0)
		rc = open_queues(x, cfg->ring > 0 ? cfg->ring : RING, generic);
	if (rc == 0)
		rc = open_pairs(x);
	if (rc == 0)
		rc = x->link = xdp_attach(x->queues, x->nqueues, x->dev.index, generic);
	if (rc < 0)
		close_all(x);
	return rc < 0 ? rc : 0;
}

static int config_ok(const struct vdev_netif_xdp_config *cfg)
{
	if (cfg == NULL || cfg->size < sizeof(*cfg) || cfg->name == NULL ||
	    strlen(cfg->name) >= VDEV_NETIF_NAME || cfg->pairs > MAX_PAIRS ||
	    (cfg->flags & ~(uint32_t)VDEV_NETIF_XDP_GENERIC) != 0)
		return 0;
	return cfg->ring == 0 ||
	       (cfg->ring >= MIN_RING && cfg->ring <= MAX_RING && (cfg->ring & (cfg->ring - 1)) == 0);
}

int vdev_netif_xdp_new(struct vdev_netif **out, const struct vdev_env *env,
                       const struct vdev_netif_xdp_config *cfg)
{
	struct xdp *x;
	int rc;

	if (out == NULL || !env_usable(env) || !config_ok(cfg))
		return VIRTQ_EINVAL;
	x = (struct xdp *)simple_new(env, &xdp_ops, sizeof(*x));
	if (x == NULL)
		return VIRTQ_ENOMEM;
	x->max_pairs = cfg->pairs > 0 ? cfg->pairs : 1;
	x->pairs = 1;
	x->all = -1;
	x->link = -1;
	for (uint32_t i = 0; i < MAX_PAIRS; i++)
		x->readable[i] = -1;
	rc = open_xdp(x, cfg);
	if (rc < 0) {
		simple_destroy(&x->base.netif);
		return rc;
	}
	*out = &x->base.netif;
	return 0;
}

int vdev_netif_xdp_refresh(struct vdev_netif *n)
{
	if (n == NULL || n->ops != &xdp_ops)
		return VIRTQ_EINVAL;
	return net_dev_refresh(&to_xdp(n)->dev);
}
