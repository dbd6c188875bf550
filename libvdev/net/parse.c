/* SPDX-License-Identifier: BSD-3-Clause */
/* Ethernet and IP headers. All of it works on private copies. */
#include "libvdev/net/parse.h"
#include "libvdev/net/frame.h"

enum {
	IPV6_BYTES = 40,
	MOST_EXTENSIONS = 16, /* that are followed */
	OPTION_HOME = 201
};

uint32_t net_parse_eth(const uint8_t *h, size_t have, uint32_t at, uint16_t *type)
{
	uint32_t pos = at + 12;

	for (unsigned tags = 0; pos + 2 <= have; tags++, pos += 4) {
		*type = net_get_be16(h + pos);
		if (tags == 2 || (*type != NET_TYPE_VLAN && *type != NET_TYPE_QINQ))
			return pos + 2;
	}
	return 0;
}

static int parse_ipv4(const uint8_t *h, size_t have, struct net_ip *ip)
{
	const uint8_t *p = h + ip->nh;
	uint32_t bytes = (p[0] & 15u) * 4;

	if (bytes < 20 || ip->nh + bytes > have)
		return VIRTQ_EPROTO;
	ip->th = (uint16_t)(ip->nh + bytes);
	ip->split = ip->th;
	ip->next_at = (uint16_t)(ip->nh + 9);
	ip->proto = p[9];
	ip->fragment = (net_get_be16(p + 6) & 0x3fff) != 0;
	return 0;
}

/* A destination options header of len bytes at pos: a home address. */
static void find_home(const uint8_t *h, uint32_t pos, uint32_t len, struct net_ip *ip)
{
	uint32_t at = pos + 2, end = pos + len;

	while (at < end) {
		if (h[at] == 0) {
			at++;
			continue;
		}
		if (at + 2 > end || at + 2 + h[at + 1] > end)
			return;
		if (h[at] == OPTION_HOME && h[at + 1] == 16) {
			ip->home = (uint16_t)(at + 2);
			ip->routed = 1;
			return;
		}
		at += 2u + h[at + 1];
	}
}

/* One extension header of kind at pos. Returns its length, 0: it isn't one that is followed, or is cut off. */
static uint32_t extension(const uint8_t *h, size_t have, uint32_t pos, unsigned kind,
                          struct net_ip *ip)
{
	uint32_t len;

	if (pos + 8 > have)
		return 0;
	switch (kind) {
	case NET_PROTO_HOPS:
	case NET_PROTO_ROUTING:
	case NET_PROTO_OPTIONS:
		len = h[pos + 1] * 8u + 8;
		break;
	case NET_PROTO_FRAGMENT:
		len = 8;
		/* A datagram that is whole may have one, too. */
		if ((net_get_be16(h + pos + 2) & 0xfff9) != 0)
			ip->fragment = 1;
		break;
	case NET_PROTO_AUTH:
		len = h[pos + 1] * 4u + 8;
		break;
	default:
		return 0;
	}
	if (pos + len > have)
		return 0;
	if (kind == NET_PROTO_OPTIONS && ip->home == 0)
		find_home(h, pos, len, ip);
	if (kind == NET_PROTO_ROUTING) {
		ip->routed = 1;
		if (h[pos + 2] == 2 && len >= 24 && ip->route == 0)
			ip->route = (uint16_t)(pos + 8);
	}
	return len;
}

int net_is_extension(unsigned kind)
{
	return kind == NET_PROTO_HOPS || kind == NET_PROTO_ROUTING || kind == NET_PROTO_OPTIONS ||
	       kind == NET_PROTO_FRAGMENT || kind == NET_PROTO_AUTH;
}

static int parse_ipv6(const uint8_t *h, size_t have, struct net_ip *ip)
{
	uint32_t pos = ip->nh + (uint32_t)IPV6_BYTES, next_at = ip->nh + 6u, len;

	if (pos > have)
		return VIRTQ_EPROTO;
	ip->split = (uint16_t)pos;
	ip->next_at = (uint16_t)next_at;
	for (unsigned i = 0; i < MOST_EXTENSIONS; i++) {
		unsigned kind = h[next_at];

		if (!net_is_extension(kind)) {
			ip->proto = (uint8_t)kind;
			ip->th = (uint16_t)pos;
			return 0;
		}
		ip->extended = 1;
		len = extension(h, have, pos, kind, ip);
		if (len == 0)
			break;
		next_at = pos;
		pos += len;
		if (kind == NET_PROTO_HOPS || kind == NET_PROTO_ROUTING) {
			ip->split = (uint16_t)pos;
			ip->next_at = (uint16_t)next_at;
		}
		/* What follows is the middle of something. */
		if (kind == NET_PROTO_FRAGMENT && (net_get_be16(h + next_at + 2) & 0xfff8) != 0)
			break;
	}
	ip->proto = NET_PROTO_NONE;
	return 0;
}

int net_parse_ip(const uint8_t *h, size_t have, uint32_t nh, struct net_ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	if (nh + 20 > have || nh > UINT16_MAX)
		return VIRTQ_EPROTO;
	ip->nh = (uint16_t)nh;
	ip->version = h[nh] >> 4;
	if (ip->version == 4)
		return parse_ipv4(h, have, ip);
	if (ip->version == 6)
		return parse_ipv6(h, have, ip);
	return VIRTQ_EPROTO;
}
