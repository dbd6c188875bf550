/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_netif.h"

#include <stdlib.h>
#include <string.h>

static struct fake_netif *of(struct vdev_netif *n)
{
	return (struct fake_netif *)n;
}

static void info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	*out = of(n)->info;
}

static int open_channel(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                        struct vdev_netif_channel **out)
{
	struct fake_netif *f = of(n);
	struct fake_channel *c = &f->channels[way][pair];

	if (f->open_error != 0)
		return f->open_error;
	*c = (struct fake_channel){.channel.netif = n, .f = f, .pair = pair};
	f->opened++;
	*out = &c->channel;
	return 0;
}

static void close_channel(struct vdev_netif_channel *c)
{
	((struct fake_channel *)c)->f->closed++;
}

static void keep(struct fake_netif *f, const struct vdev_frame *frame, unsigned pair)
{
	struct fake_sent *s = &f->sent[f->nsent++];
	uint32_t at = 0;

	*s = (struct fake_sent){
		.len = frame->len, .niov = frame->niov, .pair = pair, .offload = frame->offload};
	s->bytes = malloc(frame->len);
	for (uint32_t i = 0; i < frame->niov; i++) {
		memcpy(s->bytes + at, frame->iov[i].base, frame->iov[i].len);
		at += (uint32_t)frame->iov[i].len;
	}
}

static uint32_t send_frames(struct vdev_netif_channel *c, const struct vdev_frame *frames,
                            uint32_t n)
{
	struct fake_netif *f = ((struct fake_channel *)c)->f;
	uint32_t i = 0;

	f->sends++;
	for (; i < n && i < f->take && f->nsent < FAKE_FRAMES; i++)
		keep(f, &frames[i], ((struct fake_channel *)c)->pair);
	return i;
}

static int receive(struct vdev_netif_channel *c, struct vdev_frame *frames, uint32_t max)
{
	struct fake_netif *f = ((struct fake_channel *)c)->f;
	uint32_t n = f->nframes < max ? f->nframes : max;

	memcpy(frames, &f->frames[f->first], n * sizeof(*frames));
	f->first += n;
	f->nframes -= n;
	return n != 0 ? (int)n : f->over;
}

static int fd(struct vdev_netif_channel *c)
{
	(void)c;
	return 0;
}

static int arm(struct vdev_netif_channel *c)
{
	struct fake_netif *f = ((struct fake_channel *)c)->f;

	f->armed++;
	return f->nframes != 0 || f->over != 0;
}

static void set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	of(n)->sink = sink;
}

static int set_takes(struct vdev_netif *n, uint32_t takes)
{
	of(n)->takes = takes;
	of(n)->told++;
	return of(n)->takes_error;
}

static void set_pairs(struct vdev_netif *n, uint32_t pairs)
{
	of(n)->pairs = pairs;
}

static void destroy(struct vdev_netif *n)
{
	of(n)->destroyed++;
}

void fake_netif_init(struct fake_netif *f, int polled)
{
	memset(f, 0, sizeof(*f));
	f->ops = (struct vdev_netif_ops){.size = sizeof(f->ops),
	                                 .name = "fake",
	                                 .info = info,
	                                 .open = open_channel,
	                                 .close = close_channel,
	                                 .send = send_frames,
	                                 .set_sink = set_sink,
	                                 .set_takes = set_takes,
	                                 .set_pairs = set_pairs,
	                                 .destroy = destroy};
	if (polled) {
		f->ops.receive = receive;
		f->ops.fd = fd;
		f->ops.arm = arm;
	}
	f->netif.ops = &f->ops;
	f->info = (struct vdev_netif_info){
		.takes = VDEV_NET_TAKES_ALL, .speed = UINT32_MAX, .duplex = 0xff, .link = 1};
	f->take = UINT32_MAX;
}

void fake_netif_clear(struct fake_netif *f)
{
	for (uint32_t i = 0; i < f->nsent; i++)
		free(f->sent[i].bytes);
	f->nsent = 0;
}
