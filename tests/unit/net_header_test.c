/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of frames that are cut off or wrong, and frames whose pieces are less than they say. */
#include <string.h>

#include "check_main.h"
#include "edge.h"
#include "libvdev/net/adapt.h"
#include "libvdev/net/hash.h"
#include "libvdev/net/tunnel.h"
#include "net_packet.h"

enum { NH = 14, TH = 34, ALL_HEADERS = 200 };

static struct frame_adapt adapt;
static struct packet packet;

/* An IPv4 header at NH that says it carries proto. */
static void ipv4(uint8_t *h, unsigned proto)
{
	memset(h, 0, ALL_HEADERS);
	net_put_be16(h + 12, NET_TYPE_IPV4);
	h[NH] = 0x45;
	h[NH + 9] = (uint8_t)proto;
}

static int parse(const uint8_t *h, size_t have, uint32_t nh, struct net_ip *ip)
{
	return net_parse_ip(edge_copy(h, have), have, nh, ip);
}

START_TEST(ipv4_headers)
{
	uint8_t h[ALL_HEADERS];
	struct net_ip ip;

	ipv4(h, 6);
	for (size_t have = NH; have < TH; have++)
		ck_assert_int_eq(parse(h, have, NH, &ip), VIRTQ_EPROTO);
	ck_assert_int_eq(parse(h, TH, NH, &ip), 0);
	ck_assert_uint_eq(ip.th, TH);
	h[NH] = 0x44; /* shorter than any header */
	ck_assert_int_eq(parse(h, TH, NH, &ip), VIRTQ_EPROTO);
	h[NH] = 0x40;
	ck_assert_int_eq(parse(h, TH, NH, &ip), VIRTQ_EPROTO);
	h[NH] = 0x4f;
	ck_assert_int_eq(parse(h, NH + 59, NH, &ip), VIRTQ_EPROTO);
	ck_assert_int_eq(parse(h, NH + 60, NH, &ip), 0);
	h[NH] = 0x55;
	ck_assert_int_eq(parse(h, TH, NH, &ip), VIRTQ_EPROTO);
}
END_TEST

START_TEST(ipv6_headers)
{
	uint8_t h[ALL_HEADERS] = {0};
	struct net_ip ip;

	h[NH] = 0x60;
	h[NH + 6] = NET_PROTO_FRAGMENT;
	h[NH + 40] = NET_PROTO_TCP;
	for (size_t have = NH; have < NH + 40; have++)
		ck_assert_int_eq(parse(h, have, NH, &ip), VIRTQ_EPROTO);
	ck_assert_int_eq(parse(h, NH + 48, NH, &ip), 0); /* whole, in one fragment */
	ck_assert_uint_eq(ip.proto, NET_PROTO_TCP);
	ck_assert_uint_eq(ip.th, NH + 48);
	ck_assert_int_eq(ip.fragment, 0);
	h[NH + 43] = 1; /* the first of several: its header is there */
	ck_assert_int_eq(parse(h, NH + 48, NH, &ip), 0);
	ck_assert_uint_eq(ip.proto, NET_PROTO_TCP);
	ck_assert_int_eq(ip.fragment, 1);
	h[NH + 43] = 8; /* a later one: what follows is no header */
	ck_assert_int_eq(parse(h, NH + 48, NH, &ip), 0);
	ck_assert_uint_eq(ip.proto, NET_PROTO_NONE);
	ck_assert_uint_eq(ip.th, 0);
	ck_assert_int_eq(ip.fragment, 1);
	ck_assert_int_eq(parse(h, NH + 47, NH, &ip), 0); /* an extension that is cut off */
	ck_assert_uint_eq(ip.proto, NET_PROTO_NONE);
}
END_TEST

/* A header further behind than positions go. */
START_TEST(far_headers)
{
	static uint8_t h[70000];
	struct net_ip ip;

	h[0] = h[65535] = 0x45;
	ck_assert_int_eq(parse(h, sizeof(h), 65535, &ip), 0);
	h[65536] = 0x45;
	ck_assert_int_eq(parse(h, sizeof(h), 65536, &ip), VIRTQ_EPROTO);
}
END_TEST

struct tunnel_case {
	uint8_t proto;
	uint16_t port;     /* of UDP */
	uint8_t header[8]; /* behind IP, or UDP */
	uint8_t bytes;     /* of it that are looked at */
	uint32_t kinds;
	uint8_t inner; /* how far behind header's beginning */
};

static const struct tunnel_case tunnels[] = {
	{47, 0, {0, 0, 0x08, 0}, 4, NET_TUNNEL_GRE_2784, 4},
	{47, 0, {0x20, 0, 0x65, 0x58}, 4, NET_TUNNEL_GRE_2890 | NET_TUNNEL_NVGRE, 8},
	{47, 0, {0xb0, 0, 0x08, 0}, 4, NET_TUNNEL_GRE_2890, 16},
	{47, 0, {0, 0, 0x86, 0xdd}, 4, NET_TUNNEL_GRE_2784 | NET_TUNNEL_GRE_7676, 4},
	{47, 0, {0x40, 0, 0x08, 0}, 0, 0, 0}, /* routing */
	{47, 0, {0, 1, 0x08, 0}, 0, 0, 0},    /* another version */
	{17, 4754, {0, 0, 0x08, 0}, 4, NET_TUNNEL_GRE_UDP, 4},
	{17, 4754, {0x40, 0, 0x08, 0}, 0, 0, 0},
	{17, 4789, {8}, 8, NET_TUNNEL_VXLAN, 8},
	{17, 4789, {0}, 0, 0, 0}, /* without the bit that there is a number */
	{17, 4790, {8}, 8, NET_TUNNEL_VXLAN_GPE, 8},
	{17, 4790, {12, 0, 0, 2}, 8, NET_TUNNEL_VXLAN_GPE, 8},
	{17, 4790, {0x18}, 0, 0, 0}, /* of another version */
	{17, 4790, {0}, 0, 0, 0},
	{17, 6081, {2, 0, 0x65, 0x58}, 8, NET_TUNNEL_GENEVE, 16},
	{17, 6081, {0x40, 0, 0x65, 0x58}, 0, 0, 0},
	{17, 80, {8}, 0, 0, 0},
	{4, 0, {0x45}, 0, NET_TUNNEL_IPIP, 0},
	{6, 0, {8}, 0, 0, 0},
};

START_TEST(tunnel_headers)
{
	const struct tunnel_case *c = &tunnels[_i];
	uint32_t at = TH + (c->port != 0 ? 8u : 0u), inner = 0;
	uint8_t h[ALL_HEADERS];
	struct net_ip ip;
	uint16_t type;

	ipv4(h, c->proto);
	net_put_be16(h + TH + 2, c->port);
	memcpy(h + at, c->header, sizeof(c->header));
	ck_assert_int_eq(parse(h, ALL_HEADERS, NH, &ip), 0);
	for (size_t have = TH; have < at + c->bytes; have++)
		ck_assert_uint_eq(net_tunnel_of(edge_copy(h, have), have, &ip, &inner, &type), 0);
	ck_assert_uint_eq(net_tunnel_of(edge_copy(h, at + 8), at + 8, &ip, &inner, &type), c->kinds);
	if (c->kinds != 0)
		ck_assert_uint_eq(inner, at + c->inner);
	/* A fragment of it, and one whose header was not found. */
	ip.fragment = 1;
	ck_assert_uint_eq(net_tunnel_of(h, ALL_HEADERS, &ip, &inner, &type), 0);
	ip.fragment = 0;
	ip.th = 0;
	ck_assert_uint_eq(net_tunnel_of(h, ALL_HEADERS, &ip, &inner, &type), 0);
}
END_TEST

/* Offloads that no frame can have. */
START_TEST(kinds_nobody_knows)
{
	static const uint8_t kinds[] = {2, 6, 0x1f, 0x20, 0x22, 0x23, 0x61, 0x83};
	uint8_t h[ALL_HEADERS];
	struct virtq_iov iov = {h, sizeof(h)};
	struct vdev_frame f = {&iov, 1, sizeof(h), {.flags = 1, .gso_size = 8, .csum_start = 90}};

	ipv4(h, 17);
	f.offload.outer_th = 34;
	f.offload.inner_nh = 60;
	for (unsigned offset = 6; offset <= 16; offset += 10) {
		f.offload.csum_offset = (uint16_t)offset;
		for (size_t i = 0; i < sizeof(kinds); i++) {
			f.offload.gso_type = kinds[i];
			ck_assert_int_eq(vdev_net_offload_check(&f), VIRTQ_EPROTO);
		}
	}
	f.offload.gso_type = 2;
	ck_assert_int_eq(frame_fits(&f, VDEV_NET_TAKES_ALL), 0);
	f.offload.gso_type = 0x82;
	ck_assert_int_eq(frame_fits(&f, VDEV_NET_TAKES_ALL), 0);
}
END_TEST

/* Datagrams of a kind of IP that the receiver takes: only the type says so, behind tags and nothing else. */
START_TEST(version_by_type)
{
	static const uint32_t takes = VDEV_NET_TAKES_CSUM | VDEV_NET_TAKES_USO4;
	uint8_t h[ALL_HEADERS];
	struct virtq_iov iov = {h, sizeof(h)};
	struct vdev_frame f = {&iov, 1, sizeof(h), {.flags = 1, .gso_type = 5, .gso_size = 8}};

	ipv4(h, 17);
	ck_assert_int_eq(frame_fits(&f, takes), 1);
	net_put_be16(h + 12, NET_TYPE_VLAN);
	net_put_be16(h + 16, NET_TYPE_IPV4);
	ck_assert_int_eq(frame_fits(&f, takes), 1);
	net_put_be16(h + 16, NET_TYPE_IPV6);
	ck_assert_int_eq(frame_fits(&f, takes), 0);
	net_put_be16(h + 12, 0x1234);
	net_put_be16(h + 16, NET_TYPE_IPV4);
	ck_assert_int_eq(frame_fits(&f, takes), 0);
}
END_TEST

/* Adapt what packet holds, of which only so many bytes are there. The last answer. */
static int adapt_cut(uint32_t there)
{
	struct virtq_iov iov = {edge_copy(packet.b, there), there};
	struct vdev_frame f = {&iov, 1, packet.len, packet.offload}, out;
	int r;

	memset(&adapt, 0, sizeof(adapt));
	r = frame_adapt_begin(&adapt, &f, 0, 0);
	if (r < 0)
		return r;
	while ((r = frame_adapt_next(&adapt, &out)) > 0) {
		ck_assert_uint_le(out.len, packet.len);
		/* The sum of a datagram is that of all of it. */
		ck_assert(there == packet.len || packet.offload.gso_type != VDEV_NET_GSO_UDP);
	}
	return r;
}

/* What a netif must not give, and what costs it no more than the frame. */
START_TEST(less_than_it_says)
{
	static const struct packet_spec specs[] = {
		{.version = 4, .tcp = 1, .payload = 300, .needs_csum = 1},
		{.version = 4, .tcp = 1, .payload = 3000, .gso = 1, .gso_size = 500},
		{.version = 6, .payload = 3000, .gso = 5, .gso_size = 500},
		{.version = 4, .payload = 3000, .gso = 3, .gso_size = 512},
		{.version = 6, .payload = 3000, .gso = 3, .gso_size = 512},
	};

	packet_make(&packet, &specs[_i]);
	ck_assert_int_eq(adapt_cut(packet.len), 0);
	for (uint32_t there = 14; there < packet.len; there += there < 80 ? 1 : 37)
		ck_assert_int_eq(adapt_cut(there), VIRTQ_EINVAL);
	ck_assert_int_eq(adapt_cut(packet.len - 1), VIRTQ_EINVAL);
}
END_TEST

/* Parts of a datagram can't be segmented, nor can what a tunnel has of them. */
START_TEST(fragments)
{
	const struct packet_spec spec = {.version = 4,
	                                 .tcp = 1,
	                                 .outer = _i == 1 ? 4 : 0,
	                                 .payload = 900,
	                                 .gso = 1,
	                                 .gso_size = 300};

	packet_make(&packet, &spec);
	ck_assert_int_eq(adapt_cut(packet.len), 0);
	packet.b[packet.nh + 6] = 0x20;
	ck_assert_int_eq(adapt_cut(packet.len), VIRTQ_EPROTO);
	packet.b[packet.nh + 6] = 0;
	packet.b[packet.nh + 7] = 1;
	ck_assert_int_eq(adapt_cut(packet.len), VIRTQ_EPROTO);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_header");
	TCase *tc = tcase_create("net_header");

	tcase_add_test(tc, ipv4_headers);
	tcase_add_test(tc, ipv6_headers);
	tcase_add_test(tc, far_headers);
	tcase_add_loop_test(tc, tunnel_headers, 0, sizeof(tunnels) / sizeof(tunnels[0]));
	tcase_add_test(tc, kinds_nobody_knows);
	tcase_add_test(tc, version_by_type);
	tcase_add_loop_test(tc, less_than_it_says, 0, 5);
	tcase_add_loop_test(tc, fragments, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
