/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames out of nothing. They are made when a channel is opened, one for each flow, and handed out in turn. */
#include "simple.h"

enum {
	IP = VDEV_NET_ETH,
	IP_BYTES = 20,
	UDP = IP + IP_BYTES,
	UDP_BYTES = 8,
	MIN_FRAME = UDP + UDP_BYTES,
	MAX_FRAME = VDEV_NET_ETH + 65535,
	SHORTEST = 60,
	MAX_FLOWS = 65536
};

struct source {
	struct simple_netif base; /* first */
	uint8_t dst[VDEV_NET_MAC];
	uint8_t src[VDEV_NET_MAC];
	uint32_t frame_len;
	uint32_t flows;
	uint64_t count;
};

struct source_channel {
	struct simple_channel base; /* first */
	uint64_t left;              /* UINT64_MAX: no end */
	uint32_t next;              /* flow */
	struct virtq_iov *iov;      /* of each flow; the frames' bytes follow */
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Sum of 16-bit words in network order, not folded. */
static uint64_t sum16(const uint8_t *p, uint32_t len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return len % 2 ? sum + ((uint32_t)p[len - 1] << 8) : sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/*
 * The frame of one flow. Its number lies in the source address (198.18.0.0/15 is set aside for measurements) and port,
 * so that whatever is hashed differs.
 */
static void make_frame(uint8_t *f, const struct source *s, uint32_t flow)
{
	uint32_t ip_len = s->frame_len - IP;
	uint32_t udp_len = ip_len - IP_BYTES;
	uint32_t csum;

	memcpy(f, s->dst, VDEV_NET_MAC);
	memcpy(f + VDEV_NET_MAC, s->src, VDEV_NET_MAC);
	put16(f + 12, 0x0800);
	memset(f + IP, 0, MIN_FRAME - IP);
	f[IP] = 0x45;
	put16(f + IP + 2, ip_len);
	f[IP + 6] = 0x40; /* not to be fragmented */
	f[IP + 8] = 64;
	f[IP + 9] = 17;
	f[IP + 12] = 198;
	f[IP + 13] = 18;
	put16(f + IP + 14, flow & 0xffff);
	f[IP + 16] = 198;
	f[IP + 17] = 19;
	f[IP + 19] = 1;
	put16(f + IP + 10, fold(sum16(f + IP, IP_BYTES)));
	put16(f + UDP, 1024 + flow % 64000);
	put16(f + UDP + 2, 9); /* discard */
	put16(f + UDP + 4, udp_len);
	for (uint32_t i = MIN_FRAME; i < s->frame_len; i++)
		f[i] = (uint8_t)(i - MIN_FRAME + flow);
	/* With the pseudo-header: addresses, protocol, length. */
	csum = fold(sum16(f + UDP, udp_len) + sum16(f + IP + 12, 8) + 17 + udp_len);
	put16(f + UDP + 6, csum != 0 ? csum : 0xffff);
}

static int source_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                       struct vdev_netif_channel **out)
{
	struct source *s = (struct source *)n;
	struct source_channel *c;
	uint8_t *bytes;

	if (way == VDEV_NET_SEND)
		return simple_open(n, pair, way, out);
	c = (struct source_channel *)simple_channel_new(
		&s->base, pair, sizeof(*c) + s->flows * (sizeof(struct virtq_iov) + (size_t)s->frame_len));
	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->left = s->count != 0 ? s->count : UINT64_MAX;
	c->next = 0;
	c->iov = (struct virtq_iov *)(c + 1);
	bytes = (uint8_t *)(c->iov + s->flows);
	for (uint32_t i = 0; i < s->flows; i++) {
		make_frame(bytes, s, pair * s->flows + i);
		c->iov[i] = (struct virtq_iov){bytes, s->frame_len};
		bytes += s->frame_len;
	}
	simple_channel_add(&c->base);
	*out = &c->base.channel;
	return 0;
}

static int source_receive(struct vdev_netif_channel *channel, struct vdev_frame *frames,
                          uint32_t max)
{
	struct source_channel *c = (struct source_channel *)channel;
	const struct source *s = (const struct source *)channel->netif;

	if (max > VDEV_NET_BURST)
		max = VDEV_NET_BURST;
	if (max > c->left)
		max = (uint32_t)c->left;
	for (uint32_t i = 0; i < max; i++) {
		frames[i] = (struct vdev_frame){.iov = &c->iov[c->next], .niov = 1, .len = s->frame_len};
		if (++c->next == s->flows)
			c->next = 0;
	}
	if (c->left != UINT64_MAX)
		c->left -= max;
	count(&c->base.received, max);
	count(&c->base.received_bytes, (uint64_t)max * s->frame_len);
	return (int)max;
}

static int source_fd(struct vdev_netif_channel *c)
{
	(void)c;
	return -1;
}

static int source_arm(struct vdev_netif_channel *c)
{
	return ((struct source_channel *)c)->left > 0;
}

static const struct vdev_netif_ops source_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "source",
	.info = simple_info,
	.open = source_open,
	.close = simple_close,
	.send = simple_forget,
	.receive = source_receive,
	.fd = source_fd,
	.arm = source_arm,
	.set_sink = simple_no_sink,
	.destroy = simple_destroy,
	.counters = simple_counters,
};

int vdev_netif_source_new(struct vdev_netif **out, const struct vdev_env *env,
                          const struct vdev_netif_source_config *cfg)
{
	struct vdev_netif_source_config own;
	struct source *s;

	if (out == NULL || !env_usable(env) || cfg == NULL || cfg->size < sizeof(*cfg))
		return VIRTQ_EINVAL;
	own = *cfg;
	if (own.frame_len == 0)
		own.frame_len = SHORTEST;
	if (own.flows == 0)
		own.flows = 1;
	if (own.frame_len < MIN_FRAME || own.frame_len > MAX_FRAME || own.flows > MAX_FLOWS)
		return VIRTQ_EINVAL;
	/* The address space of small machines. */
	if (own.flows > (SIZE_MAX / 2) / (own.frame_len + sizeof(struct virtq_iov)))
		return VIRTQ_ENOMEM;
	s = (struct source *)simple_new(env, &source_ops, sizeof(*s));
	if (s == NULL)
		return VIRTQ_ENOMEM;
	memcpy(s->dst, own.dst, VDEV_NET_MAC);
	memcpy(s->src, own.src, VDEV_NET_MAC);
	s->frame_len = own.frame_len;
	s->flows = own.flows;
	s->count = own.count;
	*out = &s->base.netif;
	return 0;
}
