/* SPDX-License-Identifier: BSD-3-Clause */
/* What the back-ends of memory alone share: channels that count by themselves, and their list. */
#ifndef VDEV_NET_SIMPLE_H
#define VDEV_NET_SIMPLE_H

#include <vdev/netif_simple.h>

#include "libvdev/core/util.h"

struct simple_netif {
	struct vdev_netif netif; /* first */
	struct vdev_env env;
	size_t bytes;  /* of the whole object */
	uint32_t lock; /* over the list and what closed channels counted */
	struct simple_channel *channels;
	struct vdev_netif_counters closed; /* counted by channels that are gone */
};

/* Counters have one writer, the channel's thread. */
struct simple_channel {
	struct vdev_netif_channel channel; /* first */
	struct simple_channel *next;
	size_t bytes;
	unsigned pair;
	uint64_t sent, sent_bytes, send_dropped, not_taken;
	uint64_t received, received_bytes, receive_dropped;
};

static inline struct simple_netif *to_simple(struct vdev_netif *n)
{
	return (struct simple_netif *)n;
}

static inline struct simple_channel *to_simple_channel(struct vdev_netif_channel *c)
{
	return (struct simple_channel *)c;
}

/* An object of bytes bytes that starts with a struct simple_netif; all zero behind that. NULL: no memory. */
struct simple_netif *simple_new(const struct vdev_env *env, const struct vdev_netif_ops *ops,
                                size_t bytes);
/* Likewise a channel, not yet in the list; what is behind struct simple_channel is not cleared. */
struct simple_channel *simple_channel_new(struct simple_netif *s, unsigned pair, size_t bytes);
void simple_channel_add(struct simple_channel *c);

/* Count frames that send took. */
static inline void simple_count_sent(struct simple_channel *c, const struct vdev_frame *frames,
                                     uint32_t n)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		bytes += frames[i].len;
	count(&c->sent, n);
	count(&c->sent_bytes, bytes);
}

/* Operations that several of them have. */
void simple_info(struct vdev_netif *n, struct vdev_netif_info *out);
int simple_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                struct vdev_netif_channel **out);
void simple_close(struct vdev_netif_channel *c);
uint32_t simple_forget(struct vdev_netif_channel *c, const struct vdev_frame *frames, uint32_t n);
void simple_no_sink(struct vdev_netif *n, const struct vdev_net_sink *sink);
void simple_destroy(struct vdev_netif *n);
void simple_counters(struct vdev_netif *n, struct vdev_netif_counters *out);

#endif
