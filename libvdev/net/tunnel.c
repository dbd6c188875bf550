/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that carry packets. */
#include "libvdev/net/tunnel.h"
#include "libvdev/net/hash.h"

enum tunnel_port { PORT_GRE = 4754, PORT_VXLAN = 4789, PORT_VXLAN_GPE = 4790, PORT_GENEVE = 6081 };

enum gre_flag {
	GRE_CHECKSUM = 0x8000,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	GRE_OTHER = 0x4fff /* routing, reserved, version: not of the kinds known here */
};

/* A GRE header at at. Its kinds, of those over IP. */
static uint32_t gre(const uint8_t *h, size_t have, uint32_t at, unsigned version, uint32_t *inner,
                    uint16_t *type)
{
	uint32_t kinds = 0;
	unsigned flags;

	if (at + 4 > have)
		return 0;
	flags = net_get_be16(h + at);
	*type = net_get_be16(h + at + 2);
	if ((flags & GRE_OTHER) != 0)
		return 0;
	*inner = at + 4u + ((flags & GRE_CHECKSUM) != 0 ? 4 : 0) + ((flags & GRE_KEY) != 0 ? 4 : 0) +
	         ((flags & GRE_SEQUENCE) != 0 ? 4 : 0);
	if ((flags & (GRE_KEY | GRE_SEQUENCE)) != 0)
		kinds |= NET_TUNNEL_GRE_2890;
	else if (version == 4)
		kinds |= NET_TUNNEL_GRE_2784;
	if (version == 6 || *type == NET_TYPE_IPV6)
		kinds |= NET_TUNNEL_GRE_7676;
	if (flags == GRE_KEY && *type == NET_TYPE_TEB)
		kinds |= NET_TUNNEL_NVGRE;
	return kinds;
}

/* VXLAN with or without a field that says what is inside. */
static uint32_t vxlan(const uint8_t *h, size_t have, uint32_t at, int gpe, uint32_t *inner,
                      uint16_t *type)
{
	if (at + 8 > have || (h[at] & 8) == 0)
		return 0;
	*inner = at + 8;
	*type = NET_TYPE_TEB;
	if (!gpe)
		return NET_TUNNEL_VXLAN;
	if ((h[at] & 0x30) != 0)
		return 0;
	if ((h[at] & 4) != 0)
		*type = h[at + 3] == 1   ? NET_TYPE_IPV4
		        : h[at + 3] == 2 ? NET_TYPE_IPV6
		        : h[at + 3] == 3 ? NET_TYPE_TEB
		                         : 0;
	return NET_TUNNEL_VXLAN_GPE;
}

static uint32_t geneve(const uint8_t *h, size_t have, uint32_t at, uint32_t *inner, uint16_t *type)
{
	if (at + 8 > have || (h[at] & 0xc0) != 0)
		return 0;
	*inner = at + 8 + (h[at] & 0x3fu) * 4;
	*type = net_get_be16(h + at + 2);
	return NET_TUNNEL_GENEVE;
}

static uint32_t in_udp(const uint8_t *h, size_t have, const struct net_ip *ip, uint32_t *inner,
                       uint16_t *type)
{
	uint32_t at = ip->th + 8u;

	if (at > have)
		return 0;
	switch (net_get_be16(h + ip->th + 2)) {
	case PORT_GRE:
		return gre(h, have, at, ip->version, inner, type) != 0 ? NET_TUNNEL_GRE_UDP : 0;
	case PORT_VXLAN:
		return vxlan(h, have, at, 0, inner, type);
	case PORT_VXLAN_GPE:
		return vxlan(h, have, at, 1, inner, type);
	case PORT_GENEVE:
		return geneve(h, have, at, inner, type);
	default:
		return 0;
	}
}

uint32_t net_tunnel_of(const uint8_t *h, size_t have, const struct net_ip *ip, uint32_t *inner,
                       uint16_t *type)
{
	if (ip->fragment || ip->th == 0)
		return 0;
	switch (ip->proto) {
	case NET_PROTO_GRE:
		return gre(h, have, ip->th, ip->version, inner, type);
	case NET_PROTO_UDP:
		return in_udp(h, have, ip, inner, type);
	case NET_PROTO_IPV4:
		*inner = ip->th;
		*type = NET_TYPE_IPV4;
		return ip->version == 4 ? NET_TUNNEL_IPIP : 0;
	default:
		return 0;
	}
}
