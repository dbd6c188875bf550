/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is sent comes back. A frame is delivered as a private header of the two addresses and the rest where it lies, so the
 * sender's memory is read and never written.
 */
#include "simple.h"

enum {
	ADDRESSES = 2 * VDEV_NET_MAC,
	SLOT = 16,   /* room of a header */
	PIECES = 256 /* of one delivery; frames of more are copied */
};

struct echo {
	struct simple_netif base; /* first */
	const struct vdev_net_sink *sink;
};

struct echo_channel {
	struct simple_channel base; /* first */
	uint32_t busy;              /* the sink is in use here */
	uint8_t headers[VDEV_NET_BURST][SLOT];
	struct vdev_frame frames[VDEV_NET_BURST];
	struct virtq_iov iov[PIECES];
	uint8_t copy[VDEV_NET_MAX_FRAME];
};

static int echo_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                     struct vdev_netif_channel **out)
{
	struct echo_channel *c;

	if (way == VDEV_NET_RECEIVE)
		return simple_open(n, pair, way, out);
	c = (struct echo_channel *)simple_channel_new(to_simple(n), pair, sizeof(*c));
	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->busy = 0;
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static inline void swap(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from + VDEV_NET_MAC, VDEV_NET_MAC);
	memcpy(to + VDEV_NET_MAC, from, VDEV_NET_MAC);
}

/*
 * Copy up to @p len bytes out of the pieces. *at and *off move on behind them: to the first piece that isn't used up.
 * Returns how many.
 */
static uint32_t gather(uint8_t *to, uint32_t len, const struct vdev_frame *f, uint32_t *at,
                       size_t *off)
{
	uint32_t done = 0;

	while (*at < f->niov) {
		size_t left = f->iov[*at].len - *off;
		size_t part = left < len - done ? left : len - done;

		memcpy(to + done, (const uint8_t *)f->iov[*at].base + *off, part);
		done += (uint32_t)part;
		*off += part;
		if (part < left)
			break;
		*at += 1;
		*off = 0;
	}
	return done;
}

/* Turn a frame of any pieces round. Returns the pieces that it takes of @p iov, at most niov + 1. */
static __attribute__((noinline)) uint32_t turn_pieces(struct vdev_frame *to, uint8_t *header,
                                                      struct virtq_iov *iov,
                                                      const struct vdev_frame *f)
{
	uint8_t addresses[ADDRESSES] = {0};
	uint32_t at = 0, used = 1;
	size_t off = 0;

	(void)gather(addresses, ADDRESSES, f, &at, &off);
	swap(header, addresses);
	iov[0] = (struct virtq_iov){header, ADDRESSES};
	for (; at < f->niov; at++) {
		iov[used++] = (struct virtq_iov){(uint8_t *)f->iov[at].base + off, f->iov[at].len - off};
		off = 0;
	}
	*to = *f;
	to->iov = iov;
	to->niov = used;
	return used;
}

/* The same, quick for a frame in one piece. */
static inline uint32_t turn(struct vdev_frame *to, uint8_t *header, struct virtq_iov *iov,
                            const struct vdev_frame *f)
{
	uint8_t *base = f->iov[0].base;
	size_t len = f->iov[0].len;

	if (unlikely(f->niov != 1 || len <= ADDRESSES))
		return turn_pieces(to, header, iov, f);
	swap(header, base);
	iov[0] = (struct virtq_iov){header, ADDRESSES};
	iov[1] = (struct virtq_iov){base + ADDRESSES, len - ADDRESSES};
	*to = *f;
	to->iov = iov;
	to->niov = 2;
	return 2;
}

/* A frame of very many pieces, alone. */
static rare void turn_copy(struct echo_channel *c, const struct vdev_frame *f)
{
	uint8_t addresses[ADDRESSES];
	uint32_t at = 0;
	size_t off = 0;

	memset(c->copy, 0, ADDRESSES);
	c->iov[0].base = c->copy;
	c->iov[0].len =
		gather(c->copy, f->len < sizeof(c->copy) ? f->len : sizeof(c->copy), f, &at, &off);
	memcpy(addresses, c->copy, sizeof(addresses));
	swap(c->copy, addresses);
	c->frames[0] = *f;
	c->frames[0].iov = c->iov;
	c->frames[0].niov = 1;
}

/* Turn as many as there are pieces for, at least one. */
static uint32_t turn_some(struct echo_channel *c, const struct vdev_frame *frames, uint32_t n)
{
	uint32_t used = 0, k = 0;

	if (n > VDEV_NET_BURST)
		n = VDEV_NET_BURST;
	for (; k < n && frames[k].niov < PIECES - used; k++)
		used += turn(&c->frames[k], c->headers[k], &c->iov[used], &frames[k]);
	if (likely(k > 0))
		return k;
	turn_copy(c, frames);
	return 1;
}

/* The sink, which stays until unpin; or NULL. */
static inline const struct vdev_net_sink *pin(struct echo_channel *c)
{
	const struct echo *e = (const struct echo *)c->base.channel.netif;

	/* Pairs with echo_set_sink: it sees that we are here, or we see its sink. */
	__atomic_store_n(&c->busy, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&e->sink, __ATOMIC_SEQ_CST);
}

static inline void unpin(struct echo_channel *c)
{
	store_release(&c->busy, 0);
}

static uint32_t echo_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                          uint32_t n)
{
	struct echo_channel *c = (struct echo_channel *)channel;
	const struct vdev_net_sink *sink = pin(c);
	uint32_t done = 0;
	uint64_t bytes = 0;

	if (sink == NULL) {
		unpin(c);
		count(&c->base.send_dropped, n);
		return n;
	}
	while (done < n) {
		uint32_t k = turn_some(c, frames + done, n - done);
		uint32_t taken = sink->deliver(sink->ctx, c->frames, k, c->base.pair);

		done += taken;
		if (taken < k)
			break;
	}
	unpin(c);
	for (uint32_t i = 0; i < done; i++)
		bytes += frames[i].len;
	count(&c->base.sent, done);
	count(&c->base.sent_bytes, bytes);
	count(&c->base.received, done);
	count(&c->base.received_bytes, bytes);
	count(&c->base.not_taken, n - done);
	return done;
}

static void echo_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct echo *e = (struct echo *)n;

	__atomic_store_n(&e->sink, sink, __ATOMIC_SEQ_CST);
	lock_take(&e->base.lock);
	for (struct simple_channel *c = e->base.channels; c != NULL; c = c->next) {
		struct echo_channel *ec = (struct echo_channel *)c;

		/* Receiving channels are shorter. */
		if (c->bytes != sizeof(*ec))
			continue;
		while (__atomic_load_n(&ec->busy, __ATOMIC_SEQ_CST) != 0)
			;
	}
	lock_give(&e->base.lock);
}

static const struct vdev_netif_ops echo_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "echo",
	.info = simple_info,
	.open = echo_open,
	.close = simple_close,
	.send = echo_send,
	.set_sink = echo_set_sink,
	.destroy = simple_destroy,
	.counters = simple_counters,
};

int vdev_netif_echo_new(struct vdev_netif **out, const struct vdev_env *env)
{
	struct simple_netif *s;

	if (out == NULL || !env_usable(env))
		return VIRTQ_EINVAL;
	s = simple_new(env, &echo_ops, sizeof(struct echo));
	if (s == NULL)
		return VIRTQ_ENOMEM;
	*out = &s->netif;
	return 0;
}
