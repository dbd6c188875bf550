/* SPDX-License-Identifier: BSD-3-Clause */
/* The hash by which received frames are spread over queues, and reported to the driver (5.1.6.4). */
#ifndef LIBVDEV_NET_HASH_H
#define LIBVDEV_NET_HASH_H

#include "libvdev/net/frame.h"

/* What to hash: bits of hash_types. */
enum net_hash_type {
	NET_HASH_IPV4 = 1 << 0,
	NET_HASH_TCPV4 = 1 << 1,
	NET_HASH_UDPV4 = 1 << 2,
	NET_HASH_IPV6 = 1 << 3,
	NET_HASH_TCPV6 = 1 << 4,
	NET_HASH_UDPV6 = 1 << 5,
	NET_HASH_IP_EX = 1 << 6,
	NET_HASH_TCP_EX = 1 << 7,
	NET_HASH_UDP_EX = 1 << 8,
	NET_HASH_ALL = (1 << 9) - 1
};

/* What was hashed: hash_report, the number of the bit above plus one. */
enum net_hash_report {
	NET_HASH_REPORT_NONE = 0,
	NET_HASH_REPORT_IPV4,
	NET_HASH_REPORT_TCPV4,
	NET_HASH_REPORT_UDPV4,
	NET_HASH_REPORT_IPV6,
	NET_HASH_REPORT_TCPV6,
	NET_HASH_REPORT_UDPV6,
	NET_HASH_REPORT_IPV6_EX,
	NET_HASH_REPORT_TCPV6_EX,
	NET_HASH_REPORT_UDPV6_EX
};

/* Inside of what the inner header is hashed: bits of enabled_tunnel_types. */
enum net_hash_tunnel {
	NET_TUNNEL_GRE_2784 = 1 << 0,
	NET_TUNNEL_GRE_2890 = 1 << 1,
	NET_TUNNEL_GRE_7676 = 1 << 2,
	NET_TUNNEL_GRE_UDP = 1 << 3,
	NET_TUNNEL_VXLAN = 1 << 4,
	NET_TUNNEL_VXLAN_GPE = 1 << 5,
	NET_TUNNEL_GENEVE = 1 << 6,
	NET_TUNNEL_IPIP = 1 << 7,
	NET_TUNNEL_NVGRE = 1 << 8,
	NET_TUNNEL_ALL = (1 << 9) - 1
};

enum net_hash_size {
	NET_HASH_KEY = 40,  /* bytes of a key that matter */
	NET_HASH_INPUT = 36 /* bytes hashed at most: two IPv6 addresses, two ports */
};

/* A key, as what each half of each byte of the input adds to the hash. The caller's memory. */
struct net_hash_key {
	uint32_t part[2 * NET_HASH_INPUT][16];
};

/* Take a key of len bytes; of a short one the rest is zero, of a long one nothing beyond NET_HASH_KEY matters. */
void net_hash_key_set(struct net_hash_key *k, const uint8_t *key, size_t len);
/* The hash of some bytes, at most NET_HASH_INPUT. */
uint32_t net_toeplitz(const struct net_hash_key *k, const uint8_t *input, size_t len);
/*
 * Hash a frame with these enum net_hash_type, inside of these enum net_hash_tunnel. Returns enum net_hash_report, the
 * hash in *value, 0 with NONE.
 */
unsigned net_hash(const struct net_hash_key *k, const struct vdev_frame *f, uint32_t types,
                  uint32_t tunnels, uint32_t *value);

/* As net_hash(), of a copy of a frame's first have bytes. */
unsigned net_hash_headers(const struct net_hash_key *k, const uint8_t *h, size_t have,
                          uint32_t types, uint32_t tunnels, uint32_t *value);

#endif
