/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a netif delivers to, and what is sent to it, for tests. A sink copies what it takes; it can be busy, or do something
 * when it is called.
 */
#ifndef TESTS_SUPPORT_NET_SINK_H
#define TESTS_SUPPORT_NET_SINK_H

#include <stdint.h>

#include <vdev/netif.h>

enum { SINK_KEPT = 256, SINK_BYTES = 2048, FRAME_MOST_PIECES = 1600 };

struct net_sink {
	struct vdev_net_sink sink;
	uint8_t bytes[SINK_KEPT][SINK_BYTES]; /* the first of each */
	struct vdev_frame frames[SINK_KEPT];  /* as delivered; iov is of no use any more */
	const void *last_piece[SINK_KEPT];    /* where the last piece of it lay */
	uint32_t n;
	uint32_t calls;
	uint32_t flow;
	uint32_t room; /* frames that it takes before it is busy */
	uint32_t busy; /* calls that it is busy for */
	uint32_t links;
	void (*before)(void *ctx); /* called by deliver */
	void *before_ctx;
};

void net_sink_init(struct net_sink *s);
/* Forget what came. */
void net_sink_clear(struct net_sink *s);

struct test_frame {
	uint8_t *bytes;
	uint32_t room;
	struct virtq_iov iov[FRAME_MOST_PIECES];
	struct vdev_frame frame;
};

/* An address whose last two bytes are n. */
const uint8_t *test_mac(uint8_t to[VDEV_NET_MAC], unsigned n);
/* A frame in one piece, len bytes with the header, type 0x0800, payload of numbers. vlan < 0: no tag. */
void test_frame_init(struct test_frame *t, const uint8_t *dst, const uint8_t *src, int vlan,
                     uint32_t len);
/* The same from test_mac(dst) to test_mac(src); ~0u: to all. */
void test_frame_plain(struct test_frame *t, unsigned dst, unsigned src, int vlan, uint32_t len);
/* Into pieces of so many bytes, the last one with the rest. */
void test_frame_cut(struct test_frame *t, uint32_t first, uint32_t pieces);
void test_frame_free(struct test_frame *t);
/* Send one; how many were taken. */
uint32_t test_frame_send(struct vdev_netif_channel *c, const struct test_frame *t);
/* The i-th that came is this one, its tag apart: vlan -1: it has none. */
void net_sink_check(const struct net_sink *s, uint32_t i, const struct test_frame *t, int vlan);

#endif
