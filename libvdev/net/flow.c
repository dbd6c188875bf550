/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling conversations apart quickly, and announcing an address. */
#include "libvdev/net/frame.h"
#include "libvdev/net/parse.h"

enum { FLOW_HEADERS = VDEV_NET_ETH + 8 + 40 + 4 }; /* two tags, an IPv6 header, ports */

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The same for (a, b) and (b, a), and different for most pairs with the same sum or difference. */
static inline uint64_t both(uint64_t a, uint64_t b)
{
	return (a ^ b) * 0x9e3779b97f4a7c15u + (a + b);
}

static inline uint32_t finish(uint64_t v, uint64_t ports)
{
	v = (v ^ v >> 29 ^ ports) * 0xbf58476d1ce4e5b9u;
	v >>= 32;
	return v != 0 ? (uint32_t)v : 1;
}

static inline uint64_t ports_of(unsigned proto, const uint8_t *p)
{
	if (proto != NET_PROTO_TCP && proto != NET_PROTO_UDP)
		return proto;
	return both(net_get_be16(p), net_get_be16(p + 2)) ^ proto;
}

/* Of headers h, FLOW_HEADERS bytes; all positions are constants, so that nothing depends on what is there. */
static inline uint32_t flow_of(const uint8_t *h)
{
	unsigned type = net_get_be16(h + 12), nh = VDEV_NET_ETH;
	const uint8_t *p;

	for (unsigned tags = 0; tags < 2 && (type == NET_TYPE_VLAN || type == NET_TYPE_QINQ); tags++) {
		type = net_get_be16(h + nh + 2);
		nh += 4;
	}
	p = h + nh;
	if (type == NET_TYPE_IPV4 && p[0] >> 4 == 4) {
		/* Options move the ports, fragments have none: addresses alone tell these. */
		int plain = p[0] == 0x45 && (net_get_be16(p + 6) & 0x3fff) == 0;

		return finish(both(net_get_be32(p + 12), net_get_be32(p + 16)),
		              plain ? ports_of(p[9], p + 20) : 0);
	}
	if (type == NET_TYPE_IPV6)
		return finish(both(load64(p + 8), load64(p + 24)) + both(load64(p + 16), load64(p + 32)),
		              ports_of(p[6], p + 40));
	return 0;
}

uint32_t net_flow(const struct vdev_frame *f)
{
	uint8_t h[FLOW_HEADERS] = {0};

	/* Where it lies, if it lies together: the number is good for whatever was there. */
	if (__builtin_expect(f->niov > 0 && f->len >= FLOW_HEADERS && f->iov->len >= FLOW_HEADERS, 1))
		return flow_of(f->iov->base);
	frame_read(f, 0, h, f->len < FLOW_HEADERS ? f->len : FLOW_HEADERS);
	return flow_of(h);
}

void net_rarp(uint8_t frame[60], const uint8_t mac[VDEV_NET_MAC])
{
	/* Ethernet addresses for IPv4, a reverse request, of mac for mac. */
	static const uint8_t head[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};

	memset(frame, 0, 60);
	memset(frame, 0xff, VDEV_NET_MAC);
	memcpy(frame + 6, mac, VDEV_NET_MAC);
	memcpy(frame + 12, head, sizeof(head));
	memcpy(frame + 22, mac, VDEV_NET_MAC);
	memcpy(frame + 32, mac, VDEV_NET_MAC);
}
