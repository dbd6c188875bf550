/* SPDX-License-Identifier: BSD-3-Clause */
/* Two netifs back to back. */
#include <string.h>

#include <vdev/netif_pair.h>

#include "switch/give.h"

enum { TRIES = 6 };

struct pair_end {
	struct vdev_netif netif; /* first */
	struct vdev_netif_channel receive;
	struct pair *pair;
	const struct vdev_net_sink *sink;    /* guarded */
	uint32_t there;                      /* not destroyed */
	struct vdev_netif_counters counters; /* of what is sent here, by all channels */
};

struct pair {
	struct vdev_env env;
	struct gates gates;
	uint32_t left; /* ends that are not destroyed */
	struct pair_end end[2];
};

struct pair_channel {
	struct vdev_netif_channel channel; /* first */
	struct gate gate;
	uint32_t flow;
};

static struct pair_end *other_end(struct pair_end *e)
{
	return &e->pair->end[e == &e->pair->end[0]];
}

static void pair_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct pair_end *e = (struct pair_end *)n;

	memset(out, 0, sizeof(*out));
	out->takes = VDEV_NET_TAKES_ALL;
	out->speed = UINT32_MAX;
	out->duplex = 1;
	out->link = (uint8_t)load_relaxed(&other_end(e)->there);
}

static int pair_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                     struct vdev_netif_channel **out)
{
	struct pair_end *e = (struct pair_end *)n;
	struct vdev_env *env = &e->pair->env;
	struct pair_channel *c;

	if (way == VDEV_NET_RECEIVE) {
		*out = &e->receive;
		return 0;
	}
	c = env->alloc(env->ctx, sizeof(*c));
	if (c == NULL)
		return VIRTQ_ENOMEM;
	memset(c, 0, sizeof(*c));
	c->channel.netif = n;
	c->flow = pair + 1;
	gate_add(&e->pair->gates, &c->gate);
	*out = &c->channel;
	return 0;
}

static void pair_close(struct vdev_netif_channel *channel)
{
	struct pair_end *e = (struct pair_end *)channel->netif;
	struct pair_channel *c = (struct pair_channel *)channel;

	if (channel == &e->receive)
		return;
	gate_remove(&e->pair->gates, &c->gate);
	e->pair->env.free(e->pair->env.ctx, c, sizeof(*c));
}

static void add(uint64_t *counter, uint64_t n)
{
	(void)__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint32_t pair_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                          uint32_t n)
{
	struct pair_end *e = (struct pair_end *)channel->netif;
	struct pair_channel *c = (struct pair_channel *)channel;
	const struct vdev_net_sink *sink;
	uint64_t bytes = 0;
	uint32_t took = n;

	if (channel == &e->receive || n == 0)
		return 0;
	gate_enter(&c->gate);
	sink = load_guarded(&other_end(e)->sink);
	if (sink != NULL)
		took = give(sink, frames, n, c->flow, TRIES);
	gate_leave(&c->gate);
	if (sink == NULL) {
		add(&e->counters.send_dropped, n);
		return n;
	}
	for (uint32_t i = 0; i < took; i++)
		bytes += frames[i].len;
	add(&e->counters.sent, took);
	add(&e->counters.sent_bytes, bytes);
	if (took < n)
		add(&e->counters.not_taken, n - took);
	return took;
}

static void pair_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	struct pair_end *e = (struct pair_end *)n;
	const struct vdev_netif_counters *in = &other_end(e)->counters;

	memset(out, 0, sizeof(*out));
	out->sent = load_relaxed(&e->counters.sent);
	out->sent_bytes = load_relaxed(&e->counters.sent_bytes);
	out->send_dropped = load_relaxed(&e->counters.send_dropped);
	out->not_taken = load_relaxed(&e->counters.not_taken);
	out->received = load_relaxed(&in->sent);
	out->received_bytes = load_relaxed(&in->sent_bytes);
	out->receive_dropped = load_relaxed(&in->send_dropped);
}

static void pair_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct pair_end *e = (struct pair_end *)n;

	store_guarded(&e->sink, sink);
	gates_pass(&e->pair->gates);
}

static void pair_destroy(struct vdev_netif *n)
{
	struct pair_end *e = (struct pair_end *)n;
	struct pair *pair = e->pair;
	struct vdev_env env = pair->env;
	const struct vdev_net_sink *sink;
	struct gate gate;

	store_relaxed(&e->there, 0);
	/* The other side sees the link go down; its sink stays for as long. */
	gate_add(&pair->gates, &gate);
	gate_enter(&gate);
	sink = load_guarded(&other_end(e)->sink);
	if (sink != NULL && sink->link != NULL)
		sink->link(sink->ctx);
	gate_leave(&gate);
	gate_remove(&pair->gates, &gate);
	if (__atomic_sub_fetch(&pair->left, 1, __ATOMIC_ACQ_REL) == 0)
		env.free(env.ctx, pair, sizeof(*pair));
}

static const struct vdev_netif_ops pair_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "pair",
	.info = pair_info,
	.open = pair_open,
	.close = pair_close,
	.send = pair_send,
	.set_sink = pair_set_sink,
	.destroy = pair_destroy,
	.counters = pair_counters,
};

int vdev_netif_pair_new(struct vdev_netif *out[2], const struct vdev_env *env)
{
	struct pair *pair;

	if (out == NULL || !env_usable(env))
		return VIRTQ_EINVAL;
	pair = env->alloc(env->ctx, sizeof(*pair));
	if (pair == NULL)
		return VIRTQ_ENOMEM;
	memset(pair, 0, sizeof(*pair));
	copy_sized(&pair->env, sizeof(pair->env), env, env->size);
	pair->left = 2;
	gates_init(&pair->gates, NULL, NULL);
	for (unsigned i = 0; i < 2; i++) {
		pair->end[i].netif.ops = &pair_ops;
		pair->end[i].receive.netif = &pair->end[i].netif;
		pair->end[i].pair = pair;
		pair->end[i].there = 1;
		out[i] = &pair->end[i].netif;
	}
	return 0;
}
