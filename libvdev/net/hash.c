/* SPDX-License-Identifier: BSD-3-Clause */
/* Toeplitz hashes of addresses and ports. */
#include "libvdev/net/hash.h"
#include "libvdev/net/parse.h"
#include "libvdev/net/tunnel.h"

enum {
	HASH_HEADERS = 256,           /* bytes looked at where no tunnels are */
	PLAIN = VDEV_NET_ETH + 40 + 4 /* of the usual headers: up to the ports behind IPv6 */
};

void net_hash_key_set(struct net_hash_key *k, const uint8_t *key, size_t len)
{
	uint8_t padded[NET_HASH_KEY] = {0};
	uint64_t window;

	if (len > 0)
		memcpy(padded, key, len < NET_HASH_KEY ? len : NET_HASH_KEY);
	for (size_t byte = 0; byte < NET_HASH_INPUT; byte++) {
		/* The 32 bits of the key from each of this byte's bits on. */
		window = (uint64_t)net_get_be32(padded + byte) << 8 | padded[byte + 4];
		for (unsigned v = 0; v < 16; v++) {
			uint32_t high = 0, low = 0;

			for (unsigned bit = 0; bit < 4; bit++) {
				if ((v & 8u >> bit) == 0)
					continue;
				high ^= (uint32_t)(window >> (8 - bit));
				low ^= (uint32_t)(window >> (4 - bit));
			}
			k->part[2 * byte][v] = high;
			k->part[2 * byte + 1][v] = low;
		}
	}
}

/* What a byte of the input adds. */
static inline uint32_t part_of(const uint32_t part[2][16], unsigned byte)
{
	return part[0][byte >> 4] ^ part[1][byte & 15];
}

uint32_t net_toeplitz(const struct net_hash_key *k, const uint8_t *input, size_t len)
{
	const uint32_t(*part)[16] = k->part;
	uint32_t hash = 0;

	if (len > NET_HASH_INPUT)
		len = NET_HASH_INPUT;
	for (; len >= 4; len -= 4, input += 4, part += 8)
		hash ^= part_of(part, input[0]) ^ part_of(part + 2, input[1]) ^
		        part_of(part + 4, input[2]) ^ part_of(part + 6, input[3]);
	for (; len > 0; len--, input++, part += 2)
		hash ^= part_of(part, *input);
	return hash;
}

/* By which type a packet is hashed: the first of three that is enabled and fits, transport first. */
static unsigned pick(uint32_t types, uint32_t tcp, uint32_t udp, uint32_t ip, unsigned proto)
{
	if (proto == NET_PROTO_TCP && (types & tcp) != 0)
		return tcp;
	if (proto == NET_PROTO_UDP && (types & udp) != 0)
		return udp;
	return types & ip;
}

static unsigned hash_ip(const struct net_hash_key *k, const uint8_t *h, size_t have,
                        const struct net_ip *ip, uint32_t types, uint32_t *value)
{
	uint32_t src = ip->nh + (ip->version == 4 ? 12u : 8u), bytes = ip->version == 4 ? 4 : 16;
	uint32_t dst = src + bytes, len;
	uint8_t input[NET_HASH_INPUT];
	unsigned proto = ip->proto, type = 0;

	if (ip->fragment || ip->th + 4u > have)
		proto = NET_PROTO_NONE;
	if (ip->version == 4)
		type = pick(types, NET_HASH_TCPV4, NET_HASH_UDPV4, NET_HASH_IPV4, proto);
	if (ip->extended) {
		type = pick(types, NET_HASH_TCP_EX, NET_HASH_UDP_EX, NET_HASH_IP_EX, proto);
		if (type != 0) {
			src = ip->home != 0 ? ip->home : src;
			dst = ip->route != 0 ? ip->route : dst;
		}
	}
	if (ip->version == 6 && type == 0)
		type = pick(types, NET_HASH_TCPV6, NET_HASH_UDPV6, NET_HASH_IPV6, proto);
	if (type == 0)
		return NET_HASH_REPORT_NONE;
	memcpy(input, h + src, bytes);
	memcpy(input + bytes, h + dst, bytes);
	len = 2 * bytes;
	if ((type & (NET_HASH_IPV4 | NET_HASH_IPV6 | NET_HASH_IP_EX)) == 0) {
		memcpy(input + len, h + ip->th, 4);
		len += 4;
	}
	*value = net_toeplitz(k, input, len);
	return (unsigned)__builtin_ctz(type) + 1;
}

/* The IP header behind an Ethernet header at at, or at at itself. Returns 0 if that isn't one. */
static int find(const uint8_t *h, size_t have, uint32_t at, uint16_t type, struct net_ip *ip)
{
	if (type == NET_TYPE_TEB)
		at = net_parse_eth(h, have, at, &type);
	if (at == 0 || (type != NET_TYPE_IPV4 && type != NET_TYPE_IPV6))
		return 0;
	if (net_parse_ip(h, have, at, ip) != 0)
		return 0;
	return ip->version == (type == NET_TYPE_IPV4 ? 4 : 6);
}

unsigned net_hash_headers(const struct net_hash_key *k, const uint8_t *h, size_t have,
                          uint32_t types, uint32_t tunnels, uint32_t *value)
{
	struct net_ip ip, inner_ip;
	uint32_t inner = 0;
	uint16_t type = 0;

	*value = 0;
	if (!find(h, have, 0, NET_TYPE_TEB, &ip))
		return NET_HASH_REPORT_NONE;
	if (tunnels == 0 || (net_tunnel_of(h, have, &ip, &inner, &type) & tunnels) == 0)
		return hash_ip(k, h, have, &ip, types, value);
	/* From here on it is the inner header or none. */
	if (!find(h, have, inner, type, &inner_ip))
		return NET_HASH_REPORT_NONE;
	return hash_ip(k, h, have, &inner_ip, types, value);
}

/*
 * The usual headers, of which h has PLAIN bytes: no tags, options, extensions or fragments, so that addresses and ports
 * lie one behind the other. Returns enum net_hash_report, or -1: it is something else.
 */
static inline int hash_plain(const struct net_hash_key *k, const uint8_t *h, uint32_t types,
                             uint32_t *value)
{
	unsigned kind = net_get_be16(h + 12), type, at;
	uint32_t bytes;

	if (kind == NET_TYPE_IPV4 && h[VDEV_NET_ETH] == 0x45 && (net_get_be16(h + 20) & 0x3fff) == 0) {
		type = pick(types, NET_HASH_TCPV4, NET_HASH_UDPV4, NET_HASH_IPV4, h[23]);
		at = 26;
		bytes = 8;
	} else if (kind == NET_TYPE_IPV6 && h[VDEV_NET_ETH] >> 4 == 6 && !net_is_extension(h[20])) {
		type = pick(types, NET_HASH_TCPV6, NET_HASH_UDPV6, NET_HASH_IPV6, h[20]);
		at = 22;
		bytes = 32;
	} else {
		return -1;
	}
	*value = 0;
	if (type == 0)
		return NET_HASH_REPORT_NONE;
	if ((type & (NET_HASH_IPV4 | NET_HASH_IPV6)) == 0)
		bytes += 4;
	*value = net_toeplitz(k, h + at, bytes);
	return __builtin_ctz(type) + 1;
}

unsigned net_hash(const struct net_hash_key *k, const struct vdev_frame *f, uint32_t types,
                  uint32_t tunnels, uint32_t *value)
{
	uint8_t h[FRAME_HEADERS];
	size_t want = tunnels != 0 ? FRAME_HEADERS : HASH_HEADERS;

	if (tunnels == 0 && frame_read_first(f, h, PLAIN) == PLAIN) {
		int report = hash_plain(k, h, types, value);

		if (report >= 0)
			return (unsigned)report;
	}

	want = frame_read(f, 0, h, f->len < want ? f->len : want);
	return net_hash_headers(k, h, want, types, tunnels, value);
}
