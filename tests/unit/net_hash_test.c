/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashes of received frames, against the vectors that are published for the key below and a slow one of our own. */
#include <string.h>

#include "check_main.h"
#include "libvdev/net/hash.h"
#include "net_packet.h"

static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static struct net_hash_key table;
static uint8_t frame[512];

/* Bit by bit. */
static uint32_t slow_hash(const uint8_t *k, size_t key_len, const uint8_t *in, size_t len)
{
	uint32_t hash = 0;

	for (size_t bit = 0; bit < len * 8; bit++) {
		if ((in[bit / 8] >> (7 - bit % 8) & 1) == 0)
			continue;
		for (size_t i = 0; i < 32; i++) {
			size_t from = bit + i;

			if (from / 8 < key_len && (k[from / 8] >> (7 - from % 8) & 1) != 0)
				hash ^= 1u << (31 - i);
		}
	}
	return hash;
}

static unsigned hash_of(const struct virtq_iov *iov, uint32_t niov, uint32_t types,
                        uint32_t tunnels, uint32_t *value)
{
	struct vdev_frame f = {.iov = iov, .niov = niov};

	for (uint32_t i = 0; i < niov; i++)
		f.len += (uint32_t)iov[i].len;
	*value = 0xbad;
	return net_hash(&table, &f, types, tunnels, value);
}

/* In one piece and in two. */
static unsigned hash(uint32_t len, uint32_t types, uint32_t tunnels, uint32_t *value)
{
	const struct virtq_iov cut[] = {{frame, 20}, {frame + 20, len - 20}};
	const struct virtq_iov whole = {frame, len};
	uint32_t again;
	unsigned report = hash_of(&whole, 1, types, tunnels, value);

	ck_assert_uint_eq(hash_of(cut, 2, types, tunnels, &again), report);
	ck_assert_uint_eq(again, *value);
	return report;
}

/* An IPv4 packet at at. Returns where it ends, behind the ports. */
static uint32_t ip4(uint32_t at, unsigned proto, uint32_t src, uint32_t dst, unsigned sport,
                    unsigned dport)
{
	uint8_t *p = frame + at;

	memset(p, 0, 28);
	p[0] = 0x45;
	p[9] = (uint8_t)proto;
	net_put_be32(p + 12, src);
	net_put_be32(p + 16, dst);
	net_put_be16(p + 20, (uint16_t)sport);
	net_put_be16(p + 22, (uint16_t)dport);
	return at + 28;
}

static uint32_t eth(uint32_t at, unsigned type)
{
	memset(frame + at, 2, 12);
	net_put_be16(frame + at + 12, (uint16_t)type);
	return at + 14;
}

struct vector4 {
	uint8_t dst[4];
	uint16_t dport;
	uint8_t src[4];
	uint16_t sport;
	uint32_t ip, tcp;
};

static const struct vector4 vectors4[] = {
	{{161, 142, 100, 80}, 1766, {66, 9, 149, 187}, 2794, 0x323e8fc2, 0x51ccc178},
	{{65, 69, 140, 83}, 4739, {199, 92, 111, 2}, 14230, 0xd718262a, 0xc626b0ea},
	{{12, 22, 207, 184}, 38024, {24, 19, 198, 95}, 12898, 0xd2d0a5de, 0x5c2b394a},
	{{209, 142, 163, 6}, 2217, {38, 27, 205, 30}, 48228, 0x82989176, 0xafc7327f},
	{{202, 188, 127, 2}, 1303, {153, 39, 163, 191}, 44251, 0x5d1809c5, 0x10e828a2},
};

START_TEST(published_ipv4)
{
	const struct vector4 *v = &vectors4[_i % 5];
	uint32_t value = 0, end;

	net_hash_key_set(&table, key, sizeof(key));
	for (int udp = 0; udp < 2; udp++) {
		end = ip4(eth(0, 0x0800), udp ? 17 : 6, net_get_be32(v->src), net_get_be32(v->dst),
		          v->sport, v->dport);
		/* As an application makes it, and padded to what an Ethernet frame has at least. */
		if (_i >= 5)
			end = 60;
		ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value),
		                  udp ? NET_HASH_REPORT_UDPV4 : NET_HASH_REPORT_TCPV4);
		ck_assert_uint_eq(value, v->tcp);
		/* Without the type of its transport the addresses count. */
		ck_assert_uint_eq(
			hash(end, NET_HASH_IPV4 | (udp ? NET_HASH_TCPV4 : NET_HASH_UDPV4), 0, &value),
			NET_HASH_REPORT_IPV4);
		ck_assert_uint_eq(value, v->ip);
		ck_assert_uint_eq(hash(end, NET_HASH_IPV6 | NET_HASH_TCPV6 | NET_HASH_IP_EX, 0, &value),
		                  NET_HASH_REPORT_NONE);
		ck_assert_uint_eq(value, 0);
		/* A fragment has no ports that all of them have, whether it is the first or not. */
		frame[14 + 6] = 0x20;
		ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_IPV4);
		ck_assert_uint_eq(value, v->ip);
		frame[14 + 6] = 0;
		frame[14 + 7] = 1;
		ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_IPV4);
		/* Nor has one that ends before them. */
		frame[14 + 7] = 0;
		ck_assert_uint_eq(hash(34 + 3, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_IPV4);
		ck_assert_uint_eq(hash(34 - 1, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_NONE);
	}
}
END_TEST

struct vector6 {
	uint8_t dst[16];
	uint16_t dport;
	uint8_t src[16];
	uint16_t sport;
	uint32_t ip, tcp;
};

static const struct vector6 vectors6[] = {
	{{0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, [15] = 1},
     1766,
     {0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, [15] = 7},
     2794,
     0x2cc18cd5,
     0x40207d3d},
	{{0xff, 2, [15] = 1},
     4739,
     {0x3f, 0xfe, 5, 1, 0, 8, 0, 0, 2, 0x60, 0x97, 0xff, 0xfe, 0x40, 0xef, 0xab},
     14230,
     0x0f0c461c,
     0xdde51bbf},
	{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
     38024,
     {0x3f, 0xfe, 0x19, 0, 0x45, 0x45, 0, 3, 2, 0, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
     44251,
     0x4b61e985,
     0x02d1feef},
};

/* An IPv6 packet with these extension headers (len bytes of them, the first of kind next), and ports behind. */
static uint32_t ip6(uint32_t at, unsigned next, const uint8_t *ext, uint32_t len,
                    const uint8_t *src, const uint8_t *dst, const struct vector6 *v)
{
	uint8_t *p = frame + at;

	memset(p, 0, 40);
	p[0] = 0x60;
	p[6] = (uint8_t)next;
	memcpy(p + 8, src, 16);
	memcpy(p + 24, dst, 16);
	if (len > 0)
		memcpy(p + 40, ext, len);
	net_put_be16(p + 40 + len, v->sport);
	net_put_be16(p + 42 + len, v->dport);
	return at + 44 + len;
}

START_TEST(published_ipv6)
{
	const struct vector6 *v = &vectors6[_i];
	uint32_t value = 0, end;

	net_hash_key_set(&table, key, sizeof(key));
	for (int udp = 0; udp < 2; udp++) {
		end = ip6(eth(0, 0x86dd), udp ? 17 : 6, NULL, 0, v->src, v->dst, v);
		ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value),
		                  udp ? NET_HASH_REPORT_UDPV6 : NET_HASH_REPORT_TCPV6);
		ck_assert_uint_eq(value, v->tcp);
		ck_assert_uint_eq(hash(end, NET_HASH_IPV6 | NET_HASH_IP_EX | NET_HASH_TCP_EX, 0, &value),
		                  NET_HASH_REPORT_IPV6);
		ck_assert_uint_eq(value, v->ip);
		ck_assert_uint_eq(hash(14 + 40, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_IPV6);
		ck_assert_uint_eq(hash(14 + 39, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_NONE);
		/* The types with extensions are not for packets that have none. */
		ck_assert_uint_eq(hash(end,
		                       NET_HASH_IP_EX | NET_HASH_TCP_EX | NET_HASH_UDP_EX | NET_HASH_IPV4,
		                       0, &value),
		                  NET_HASH_REPORT_NONE);
	}
}
END_TEST

/* The home address and the one in the routing header stand for those in the IP header. */
START_TEST(ipv6_with_extensions)
{
	const struct vector6 *v = &vectors6[_i];
	static const uint8_t other[16] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t ext[8 + 24 + 24] = {43, 0, 1, 4, 0, 0, 0, 0};
	uint8_t *route = ext + 8, *home = ext + 32;
	uint32_t value = 0, end, plain_ip, plain_tcp;

	net_hash_key_set(&table, key, sizeof(key));
	memcpy(route, ((uint8_t[]){60, 2, 2, 1, 0, 0, 0, 0}), 8);
	memcpy(route + 8, v->dst, 16);
	memcpy(home, ((uint8_t[]){6, 2, 1, 2, 0, 0, 201, 16}), 8);
	memcpy(home + 8, v->src, 16);
	end = ip6(eth(0, 0x86dd), 0, ext, sizeof(ext), other, other, v);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_TCPV6_EX);
	ck_assert_uint_eq(value, v->tcp);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL & ~(uint32_t)NET_HASH_TCP_EX, 0, &value),
	                  NET_HASH_REPORT_IPV6_EX);
	ck_assert_uint_eq(value, v->ip);
	/* No type with extensions: they are skipped, and the IP header counts. */
	ck_assert_uint_eq(hash(end, NET_HASH_TCPV6 | NET_HASH_IPV6, 0, &value), NET_HASH_REPORT_TCPV6);
	plain_tcp = value;
	ck_assert_uint_eq(hash(end, NET_HASH_IPV6 | NET_HASH_UDP_EX, 0, &value), NET_HASH_REPORT_IPV6);
	plain_ip = value;
	ck_assert_uint_eq(
		hash(ip6(eth(0, 0x86dd), 6, NULL, 0, other, other, v), NET_HASH_ALL, 0, &value),
		NET_HASH_REPORT_TCPV6);
	ck_assert_uint_eq(value, plain_tcp);
	ck_assert_uint_ne(plain_tcp, v->tcp);
	home[0] = 17;
	end = ip6(eth(0, 0x86dd), 0, ext, sizeof(ext), other, other, v);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_UDPV6_EX);
	ck_assert_uint_eq(value, v->tcp);
	/* Cut off within its extensions it has no transport, and what is not there is not used. */
	ck_assert_uint_eq(hash(14 + 40 + 40, NET_HASH_IPV6 | NET_HASH_UDPV6, 0, &value),
	                  NET_HASH_REPORT_IPV6);
	ck_assert_uint_eq(value, plain_ip);
	/* An authentication header is as long as it says in words of four bytes. */
	memset(ext, 0xaa, sizeof(ext));
	memcpy(ext, ((uint8_t[]){6, 4}), 2);
	end = ip6(eth(0, 0x86dd), 51, ext, 24, v->src, v->dst, v);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_TCPV6_EX);
	ck_assert_uint_eq(value, v->tcp);
	/* A fragment is told by addresses alone. */
	memcpy(ext, ((uint8_t[]){6, 0, 0, 1, 0, 0, 0, 9}), 8);
	end = ip6(eth(0, 0x86dd), 44, ext, 8, v->src, v->dst, v);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, 0, &value), NET_HASH_REPORT_IPV6_EX);
	ck_assert_uint_eq(value, v->ip);
}
END_TEST

/* Each type by itself and all sets of them, against a table of what should be picked. */
START_TEST(each_set_of_types)
{
	static const uint8_t hops[8] = {17, 0, 1, 4};
	uint32_t value, end;
	unsigned want;

	net_hash_key_set(&table, key, sizeof(key));
	end = ip6(eth(0, 0x86dd), 0, hops, 8, vectors6[0].src, vectors6[0].dst, &vectors6[0]);
	for (uint32_t types = 0; types <= NET_HASH_ALL; types++) {
		want = (types & 256) != 0  ? 9
		       : (types & 64) != 0 ? 7
		       : (types & 32) != 0 ? 6
		       : (types & 8) != 0  ? 4
		                           : 0;
		ck_assert_uint_eq(hash(end, types, 0, &value), want);
		ck_assert_uint_eq(value, want == 0                ? 0
		                         : want == 4 || want == 7 ? vectors6[0].ip
		                                                  : vectors6[0].tcp);
	}
}
END_TEST

START_TEST(any_key_any_input)
{
	/* What lies behind a key has no part in any hash. */
	static struct {
		struct net_hash_key key;
		uint32_t behind[2 * 64][16];
	} t;
	struct rng rng;
	uint8_t k[64], in[64];

	for (uint32_t i = 0; i < 2 * 64 * 16; i++)
		t.behind[i / 16][i % 16] = i * i;
	rng_seed(&rng, (uint64_t)_i + 9);
	for (int round = 0; round < 200; round++) {
		size_t key_len = rng_below(&rng, 65), len = rng_below(&rng, 37);

		for (size_t i = 0; i < sizeof(k); i++)
			k[i] = (uint8_t)rng_next(&rng);
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)rng_next(&rng);
		net_hash_key_set(&t.key, k, key_len);
		ck_assert_uint_eq(net_toeplitz(&t.key, in, len), slow_hash(k, key_len, in, len));
		ck_assert_uint_eq(net_toeplitz(&t.key, in, sizeof(in)),
		                  slow_hash(k, key_len, in, NET_HASH_INPUT));
	}
}
END_TEST

/* Headers that are nearly the usual ones: the quick way finds the same as the thorough one, or leaves it to that. */
START_TEST(nearly_the_usual_headers)
{
	static const uint8_t odd[] = {0,    0x08, 0x86, 0xdd, 0x81, 0x45, 0x46, 0x60,
	                              0x20, 0x40, 6,    17,   43,   44,   51,   60};
	const struct virtq_iov iov = {frame, 64};
	uint32_t value, want;
	struct rng rng;

	rng_seed(&rng, (uint64_t)_i + 31);
	net_hash_key_set(&table, key, sizeof(key));
	for (int round = 0; round < 5000; round++) {
		uint32_t types = (uint32_t)rng_below(&rng, NET_HASH_ALL + 1);

		for (size_t i = 0; i < 128; i++)
			frame[i] = (uint8_t)rng_next(&rng);
		if (_i & 1)
			(void)ip4(eth(0, 0x0800), rng_next(&rng) & 1 ? 6 : 17, 1, 2, 3, 4);
		else
			(void)ip6(eth(0, 0x86dd), rng_next(&rng) & 1 ? 6 : 17, NULL, 0, vectors6[0].src,
			          vectors6[0].dst, &vectors6[0]);
		for (uint64_t n = rng_below(&rng, 3); n > 0; n--)
			frame[12 + rng_below(&rng, 12)] = odd[rng_below(&rng, sizeof(odd))];
		ck_assert_uint_eq(hash_of(&iov, 1, types, 0, &value),
		                  net_hash_headers(&table, frame, 64, types, 0, &want));
		ck_assert_uint_eq(value, want);
	}
}
END_TEST

/* Each way of carrying the packet of vectors4[0] in one of vectors4[1]. */
static uint32_t carry(unsigned kind, int over6)
{
	const struct vector4 *in = &vectors4[0], *out = &vectors4[1];
	static const struct {
		uint8_t proto; /* of the outer packet */
		uint16_t port;
		uint8_t bytes[12]; /* between the outer header and the inner */
		uint8_t len, ether;
	} kinds[] = {
		{47, 0, {0x80, 0, 8, 0, 1, 2, 0, 0}, 8, 0},                    /* GRE_2784, a checksum */
		{47, 0, {0x30, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 12, 0},       /* GRE_2890 */
		{47, 0, {0, 0, 8, 0}, 4, 0},                                   /* GRE_7676, if over6 */
		{17, 4754, {0, 0, 8, 0}, 4, 0},                                /* GRE_UDP */
		{17, 4789, {8, 0, 0, 0, 1, 2, 3, 0}, 8, 1},                    /* VXLAN */
		{17, 4790, {0xc, 0, 0, 1, 1, 2, 3, 0}, 8, 0},                  /* VXLAN_GPE */
		{17, 6081, {1, 0, 0x65, 0x58, 1, 2, 3, 0, 9, 9, 9, 9}, 12, 1}, /* GENEVE, an option */
		{4, 0, {0}, 0, 0},                                             /* IPIP */
		{47, 0, {0x20, 0, 0x65, 0x58, 1, 2, 3, 4}, 8, 1},              /* NVGRE */
	};
	uint32_t at;

	if (over6)
		at = ip6(eth(0, 0x86dd), kinds[kind].proto, NULL, 0, vectors6[1].src, vectors6[1].dst,
		         &vectors6[1]) -
		     4;
	else
		at = ip4(eth(0, 0x0800), kinds[kind].proto, net_get_be32(out->src), net_get_be32(out->dst),
		         0, 0) -
		     8;
	if (kinds[kind].proto == 17) {
		memset(frame + at, 0, 8);
		net_put_be16(frame + at + 2, kinds[kind].port);
		at += 8;
	}
	memcpy(frame + at, kinds[kind].bytes, kinds[kind].len);
	at += kinds[kind].len;
	if (kinds[kind].ether)
		at = eth(at, 0x0800);
	return ip4(at, 6, net_get_be32(in->src), net_get_be32(in->dst), in->sport, in->dport);
}

START_TEST(inside_of_tunnels)
{
	uint32_t bit = 1u << _i, value, end;
	int over6 = bit == NET_TUNNEL_GRE_7676;
	/* A key makes it the newer GRE, too; an NVGRE packet is one of those. */
	uint32_t also = bit == NET_TUNNEL_NVGRE ? NET_TUNNEL_GRE_2890 : 0;

	net_hash_key_set(&table, key, sizeof(key));
	end = carry((unsigned)_i, over6);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, NET_TUNNEL_ALL, &value), NET_HASH_REPORT_TCPV4);
	ck_assert_uint_eq(value, vectors4[0].tcp);
	ck_assert_uint_eq(hash(end, NET_HASH_ALL, bit, &value), NET_HASH_REPORT_TCPV4);
	ck_assert_uint_eq(value, vectors4[0].tcp);
	/* Not enabled: the outer header. */
	ck_assert_uint_eq(
		hash(end, NET_HASH_IPV4 | NET_HASH_IPV6, NET_TUNNEL_ALL & ~(bit | also), &value),
		over6 ? NET_HASH_REPORT_IPV6 : NET_HASH_REPORT_IPV4);
	ck_assert_uint_eq(value, over6 ? vectors6[1].ip : vectors4[1].ip);
	ck_assert_uint_eq(hash(end, NET_HASH_IPV4 | NET_HASH_IPV6, 0, &value),
	                  over6 ? NET_HASH_REPORT_IPV6 : NET_HASH_REPORT_IPV4);
	ck_assert_uint_eq(value, over6 ? vectors6[1].ip : vectors4[1].ip);
	/* What is inside is no type to be hashed: the outer header is not used instead. */
	ck_assert_uint_eq(hash(end, NET_HASH_UDPV4 | NET_HASH_IPV6, bit, &value), NET_HASH_REPORT_NONE);
	/* At no length is more looked at than there is. */
	for (uint32_t len = 14; len < end; len++)
		hash(len, NET_HASH_ALL, NET_TUNNEL_ALL, &value);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_hash");
	TCase *tc = tcase_create("net_hash");

	tcase_add_loop_test(tc, published_ipv4, 0, 10);
	tcase_add_loop_test(tc, published_ipv6, 0, 3);
	tcase_add_loop_test(tc, ipv6_with_extensions, 0, 3);
	tcase_add_test(tc, each_set_of_types);
	tcase_add_loop_test(tc, any_key_any_input, 0, 4);
	tcase_add_loop_test(tc, nearly_the_usual_headers, 0, 4);
	tcase_add_loop_test(tc, inside_of_tunnels, 0, 9);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
