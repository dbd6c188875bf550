/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_NET_PACKET_H
#define TESTS_SUPPORT_NET_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include <vdev/netif.h>

#include "rng.h"

/* Packets to test with, and a second opinion about packets: slow, and shares nothing with the library. */

enum packet_ext {
	PACKET_HOPS = 1,        /* IPv6 hop-by-hop options */
	PACKET_DEST = 2,        /* IPv6 destination options without a home address */
	PACKET_ROUTING = 4,     /* IPv6 routing header of type 2 */
	PACKET_HOME = 8,        /* IPv6 destination options with a home address */
	PACKET_IP_OPTIONS = 16, /* IPv4: one that each fragment has, one that the first has */
	PACKET_TCP_OPTIONS = 32
};

/* What packet_make() makes. */
struct packet_spec {
	unsigned tags;      /* 0 to 2 */
	unsigned outer;     /* 0: no tunnel; 4, 6: VXLAN over that */
	unsigned outer_sum; /* 1: asked of the offload; 0: no checksum */
	unsigned version;   /* 4, 6 */
	unsigned tcp;       /* else UDP */
	unsigned ext;       /* enum packet_ext */
	uint32_t payload;   /* bytes */
	unsigned gso;       /* gso_type without the bits of the tunnel; 0: none */
	uint16_t gso_size;
	unsigned needs_csum; /* leave the checksum to be filled in; implied by gso */
	uint8_t tcp_flags;
	uint32_t seq;
	uint16_t id; /* of IPv4 */
};

struct packet {
	uint8_t b[VDEV_NET_MAX_FRAME + 64];
	uint32_t len;
	uint32_t nh, th, payload_at; /* the inner ones */
	uint32_t outer_nh, outer_th;
	struct vdev_net_offload offload;
};

void packet_make(struct packet *p, const struct packet_spec *s);
/* Any legal one that doesn't fit into max bytes of payload. */
void packet_random_spec(struct packet_spec *s, struct rng *rng, uint32_t max);

/*
 * A TCP/IPv4 frame of 54 + payload bytes without options, its checksum left to be done: the sum of the pseudo header is in
 * its place. Payload of any kind; sequence number 0.
 */
void packet_tcp(uint8_t *b, uint32_t payload);

/* A frame of these bytes, in at most n pieces of random length, some of them empty; n == 1: in one. */
void packet_pieces(const uint8_t *bytes, uint32_t len, struct virtq_iov *iov, uint32_t n,
                   struct rng *rng, struct vdev_frame *f);
/* All bytes of a frame; room for VDEV_NET_MAX_FRAME. Returns how many. */
uint32_t packet_flatten(const struct vdev_frame *f, uint8_t *to);

/* A number as headers have it. @{ */
static inline void packet_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t packet_get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}
/* @} */

/* Plain checksum of bytes that a sum is carried into. */
uint16_t packet_sum(const uint8_t *p, uint32_t len, uint32_t sum);
/*
 * What is wrong with a frame that nothing is left to be done to but (NEEDS_CSUM) a checksum, which this fills in: lengths,
 * checksums of all headers. NULL: nothing. Fragments are checked up to their IP header.
 */
const char *packet_wrong(uint8_t *b, uint32_t len, const struct vdev_net_offload *o);

#endif
