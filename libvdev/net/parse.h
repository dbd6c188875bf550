/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers, of which a private copy was taken: where they lie in it. */
#ifndef LIBVDEV_NET_PARSE_H
#define LIBVDEV_NET_PARSE_H

#include <stddef.h>
#include <stdint.h>

/* Types of Ethernet frames. */
enum net_type {
	NET_TYPE_IPV4 = 0x0800,
	NET_TYPE_TEB = 0x6558, /* Ethernet inside of something */
	NET_TYPE_VLAN = 0x8100,
	NET_TYPE_IPV6 = 0x86dd,
	NET_TYPE_QINQ = 0x88a8
};

/* Numbers of protocols, and of IPv6 extension headers. */
enum net_proto {
	NET_PROTO_HOPS = 0,
	NET_PROTO_IPV4 = 4,
	NET_PROTO_TCP = 6,
	NET_PROTO_UDP = 17,
	NET_PROTO_IPV6 = 41,
	NET_PROTO_ROUTING = 43,
	NET_PROTO_FRAGMENT = 44,
	NET_PROTO_GRE = 47,
	NET_PROTO_AUTH = 51,
	NET_PROTO_NONE = 59,
	NET_PROTO_OPTIONS = 60
};

/* An IP header with its extensions; positions count from the frame's first byte. */
struct net_ip {
	uint16_t nh;      /* the header */
	uint16_t th;      /* what it carries; 0: not found */
	uint16_t split;   /* where the part begins that fragments divide */
	uint16_t next_at; /* the byte that says what is at split */
	uint16_t home;    /* IPv6: a home address option's address, or 0 */
	uint16_t route;   /* IPv6: the address in a routing header of type 2, or 0 */
	uint8_t version;  /* 4 or 6 */
	uint8_t proto;    /* what is at th; NET_PROTO_NONE: not found */
	uint8_t fragment; /* it is one part of a datagram */
	uint8_t extended; /* IPv6: it has extension headers */
	uint8_t routed;   /* IPv6: there is a routing header or a home address */
	uint8_t reserved;
};

/* Position behind the Ethernet header and up to two tags, and the type; 0: the copy ends before. */
uint32_t net_parse_eth(const uint8_t *h, size_t have, uint32_t at, uint16_t *type);
/* Whether this number means an IPv6 extension header that is followed. */
int net_is_extension(unsigned kind);
/* The IP header at nh in a copy of have bytes. Returns 0 or VIRTQ_EPROTO; what it carries may not be found all the same. */
int net_parse_ip(const uint8_t *h, size_t have, uint32_t nh, struct net_ip *ip);

#endif
