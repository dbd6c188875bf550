/* SPDX-License-Identifier: BSD-3-Clause */
#include "simple.h"

struct simple_netif *simple_new(const struct vdev_env *env, const struct vdev_netif_ops *ops,
                                size_t bytes)
{
	struct simple_netif *s = env_zalloc(env, bytes);

	if (s == NULL)
		return NULL;
	s->netif.ops = ops;
	copy_sized(&s->env, sizeof(s->env), env, env->size);
	s->bytes = bytes;
	return s;
}

struct simple_channel *simple_channel_new(struct simple_netif *s, unsigned pair, size_t bytes)
{
	struct simple_channel *c = s->env.alloc(s->env.ctx, bytes);

	if (c == NULL)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->channel.netif = &s->netif;
	c->bytes = bytes;
	c->pair = pair;
	return c;
}

void simple_channel_add(struct simple_channel *c)
{
	struct simple_netif *s = to_simple(c->channel.netif);

	lock_take(&s->lock);
	c->next = s->channels;
	s->channels = c;
	lock_give(&s->lock);
}

void simple_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	(void)n;
	memset(out, 0, sizeof(*out));
	out->takes = VDEV_NET_TAKES_ALL;
	out->speed = UINT32_MAX;
	out->duplex = 0xff;
	out->link = 1;
}

int simple_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                struct vdev_netif_channel **out)
{
	struct simple_channel *c =
		simple_channel_new(to_simple(n), pair, sizeof(struct simple_channel));

	(void)way;
	if (c == NULL)
		return VIRTQ_ENOMEM;
	simple_channel_add(c);
	*out = &c->channel;
	return 0;
}

static void add_up(struct vdev_netif_counters *sum, const struct simple_channel *c)
{
	sum->sent += counted(&c->sent);
	sum->sent_bytes += counted(&c->sent_bytes);
	sum->send_dropped += counted(&c->send_dropped);
	sum->not_taken += counted(&c->not_taken);
	sum->received += counted(&c->received);
	sum->received_bytes += counted(&c->received_bytes);
	sum->receive_dropped += counted(&c->receive_dropped);
}

void simple_close(struct vdev_netif_channel *c)
{
	struct simple_channel *self = to_simple_channel(c);
	struct simple_netif *s = to_simple(c->netif);
	struct simple_channel **at = &s->channels;

	lock_take(&s->lock);
	while (*at != self)
		at = &(*at)->next;
	*at = self->next;
	add_up(&s->closed, self);
	lock_give(&s->lock);
	env_free(&s->env, self, self->bytes);
}

uint32_t simple_forget(struct vdev_netif_channel *c, const struct vdev_frame *frames, uint32_t n)
{
	simple_count_sent(to_simple_channel(c), frames, n);
	return n;
}

void simple_no_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	(void)n; /* nothing is pushed, and nothing ever happens to the link */
	(void)sink;
}

void simple_destroy(struct vdev_netif *n)
{
	struct simple_netif *s = to_simple(n);
	struct vdev_env env = s->env;

	env_free(&env, s, s->bytes);
}

void simple_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	struct simple_netif *s = to_simple(n);

	lock_take(&s->lock);
	*out = s->closed;
	for (const struct simple_channel *c = s->channels; c != NULL; c = c->next)
		add_up(out, c);
	lock_give(&s->lock);
}
