/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading frames, struct virtio_net_hdr, what offloads may be asked for, sums, flows. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "libvdev/net/adapt.h"
#include "libvdev/net/csum.h"
#include "net_packet.h"

enum { BYTES = 3000, PIECES = 40 };

static uint8_t bytes[BYTES + 128], copy[BYTES + 128];
static struct virtq_iov iov[PIECES], taken[PIECES];
static struct packet packet;
static struct frame_adapt adapt;
static uint8_t got[VDEV_NET_MAX_FRAME + 64];

static void fill(struct rng *rng)
{
	for (unsigned i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)rng_next(rng);
}

START_TEST(reads_across_pieces)
{
	struct rng rng;
	struct vdev_frame f = {0}, g;

	rng_seed(&rng, (uint64_t)_i);
	fill(&rng);
	for (int round = 0; round < 300; round++) {
		uint32_t len = rng_below(&rng, BYTES + 1), at = rng_below(&rng, BYTES + 100);
		uint32_t want = rng_below(&rng, BYTES), there = at < len ? len - at : 0, n = PIECES;
		struct frame_cursor c;
		size_t first;

		there = there < want ? there : want;
		packet_pieces(bytes, len, iov, 1 + rng_below(&rng, PIECES), &rng, &f);
		memset(copy, 0xee, sizeof(copy));
		ck_assert_uint_eq(frame_read(&f, at, copy, want), there);
		ck_assert_mem_eq(copy, bytes + at, there);
		ck_assert_int_eq(there == BYTES || copy[there] == 0xee, 1);
		/* In two goes, the second without copying. */
		frame_cursor_init(&c, &f, at);
		first = rng_below(&rng, want + 1);
		first = frame_cursor_read(&c, copy, first);
		ck_assert_uint_eq(frame_cursor_pieces(&c, want - first, taken, &n), there - first);
		g = (struct vdev_frame){.iov = taken, .niov = n};
		ck_assert_uint_eq(packet_flatten(&g, got), there - first);
		ck_assert_mem_eq(got, bytes + at + first, there - first);
		for (uint32_t i = 0; i < n; i++)
			ck_assert_uint_gt(taken[i].len, 0);
	}
	/* Room for fewer pieces. */
	for (unsigned i = 0; i < 4; i++)
		iov[i] = (struct virtq_iov){bytes + i * 10, 10};
	f = (struct vdev_frame){.iov = iov, .niov = 4, .len = 40};
	{
		struct frame_cursor c;
		uint32_t n = 2;

		frame_cursor_init(&c, &f, 5);
		ck_assert_uint_eq(frame_cursor_pieces(&c, 35, taken, &n), 15);
		ck_assert_uint_eq(n, 2);
		ck_assert_uint_eq(frame_cursor_read(&c, copy, 100), 20);
		ck_assert_mem_eq(copy, bytes + 20, 20);
	}
	ck_assert_uint_eq(frame_read(&(struct vdev_frame){0}, 0, copy, 10), 0);
}
END_TEST

START_TEST(headers_to_and_fro)
{
	static const size_t sizes[] = {NET_HDR_PLAIN, NET_HDR_HASH, NET_HDR_TUNNEL};
	static const uint8_t header[24] = {0x0f, 0x84, 0x36, 0x01, 0xa8, 0x05, 0x22, 0x00,
	                                   0x10, 0x02, 1,    0,    0,    0,    0,    0,
	                                   0,    0,    0,    0,    0x2a, 0x01, 0x3e, 0x02};
	struct vdev_net_offload o;
	uint8_t out[25];

	for (unsigned i = 0; i < 3; i++) {
		net_hdr_get(header, sizes[i], &o);
		ck_assert_uint_eq(o.flags, 15);
		ck_assert_uint_eq(o.gso_type, VDEV_NET_GSO_TCPV6 | VDEV_NET_GSO_ECN);
		ck_assert_uint_eq(o.hdr_len, 0x136);
		ck_assert_uint_eq(o.gso_size, 1448);
		ck_assert_uint_eq(o.csum_start, 34);
		ck_assert_uint_eq(o.csum_offset, 0x210);
		ck_assert_uint_eq(o.outer_th, i == 2 ? 0x12a : 0);
		ck_assert_uint_eq(o.inner_nh, i == 2 ? 0x23e : 0);
		memset(out, 0xee, sizeof(out));
		net_hdr_put(out, sizes[i], &o);
		ck_assert_mem_eq(out, header, sizes[i]);
		ck_assert_uint_eq(out[sizes[i]], 0xee);
	}
	memset(out, 0xff, sizeof(out));
	net_hdr_get(out, NET_HDR_PLAIN, &o);
	ck_assert_uint_eq(o.flags, 15);
	CLAUSE("net/tx-packets/D1");
}
END_TEST

struct asked {
	int err;
	uint32_t len;
	struct vdev_net_offload o;
};

enum {
	CSUM = VDEV_NET_NEEDS_CSUM,
	TCP4 = VDEV_NET_GSO_TCPV4,
	UDP4 = VDEV_NET_GSO_UDP_L4,
	BAD = VIRTQ_EPROTO,
	TUN = TCP4 | VDEV_NET_GSO_TUNNEL_V4
};

/* flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, outer_th, inner_nh */
static const struct asked asked[] = {
	{0, 60, {0}},
	{0, 60, {0, 0, 9999, 7, 0xffff, 0xffff, 0xffff, 0xffff}},
	{0, 60, {0xf0, 0, 0, 0, 0xffff, 0xffff, 0, 0}},
	{0, 60, {VDEV_NET_DATA_VALID, 0, 0, 0, 0xffff, 0xffff, 0, 0}},
	{VIRTQ_EINVAL, 13, {0}},
	{VIRTQ_EINVAL, VDEV_NET_MAX_FRAME + 1, {0}},
	{0, 60, {CSUM, 0, 0, 0, 34, 24, 0, 0}},
	{BAD, 60, {CSUM, 0, 0, 0, 34, 25, 0, 0}},
	{BAD, 60, {CSUM, 0, 0, 0, 61, 0, 0, 0}},
	{BAD, 65000, {CSUM, 0, 0, 0, 0xffff, 0xffff, 0, 0}},
	{BAD, 65000, {CSUM, 0, 0, 0, 0xffff, 1, 0, 0}},
	{0, 60, {CSUM, VDEV_NET_GSO_ECN, 0, 0, 34, 16, 0, 0}},
	/* Segmentation: a checksum, of the kind, and a size. */
	{0, 3000, {CSUM, TCP4, 0, 1000, 34, 16, 0, 0}},
	{0, 3000, {CSUM, TCP4, 0xffff, 0xffff, 34, 16, 0, 0}},
	{0, 3000, {CSUM, TCP4 | VDEV_NET_GSO_ECN, 0, 1, 34, 16, 0, 0}},
	{0, 3000, {CSUM, VDEV_NET_GSO_TCPV6, 0, 1000, 54, 16, 0, 0}},
	{0, 3000, {CSUM, VDEV_NET_GSO_UDP, 0, 1000, 34, 6, 0, 0}},
	{0, 3000, {CSUM, UDP4, 0, 1000, 34, 6, 0, 0}},
	{BAD, 3000, {0, TCP4, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {VDEV_NET_DATA_VALID, TCP4, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, TCP4, 0, 0, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, TCP4, 0, 1000, 34, 6, 0, 0}},
	{BAD, 3000, {CSUM, UDP4, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, TCP4, 0, 1000, 33, 16, 0, 0}},
	{BAD, 3000, {CSUM, 2, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, 6, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, 0x10, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, TCP4 | 0x10, 0, 1000, 34, 16, 0, 0}},
	{BAD, 3000, {CSUM, UDP4 | VDEV_NET_GSO_ECN, 0, 1000, 34, 6, 0, 0}},
	/* Tunnels. */
	{0, 3000, {CSUM, TUN, 0, 1000, 84, 16, 34, 64}},
	{0, 3000, {CSUM | VDEV_NET_UDP_TUNNEL_CSUM, TUN, 0, 1000, 84, 16, 34, 64}},
	{0, 3000, {CSUM, VDEV_NET_GSO_TCPV6 | VDEV_NET_GSO_TUNNEL_V6, 0, 1000, 104, 16, 34, 64}},
	{0, 3000, {CSUM, UDP4 | VDEV_NET_GSO_TUNNEL_V6, 0, 1000, 84, 6, 34, 64}},
	{0, 3000, {CSUM, TUN, 0, 1000, 62, 16, 34, 42}},
	{BAD, 3000, {CSUM, TCP4 | VDEV_NET_GSO_TUNNEL, 0, 1000, 84, 16, 34, 64}},
	{BAD, 3000, {0, TUN, 0, 1000, 84, 16, 34, 64}},
	{BAD, 3000, {CSUM | VDEV_NET_DATA_VALID, TUN, 0, 1000, 84, 16, 34, 64}},
	{BAD, 3000, {CSUM, VDEV_NET_GSO_TUNNEL_V4, 0, 1000, 84, 16, 34, 64}},
	{BAD, 3000, {CSUM, VDEV_NET_GSO_UDP | VDEV_NET_GSO_TUNNEL_V4, 0, 1000, 84, 6, 34, 64}},
	{BAD, 3000, {CSUM, TUN, 0, 1000, 84, 16, 33, 64}},
	{BAD, 3000, {CSUM, TUN, 0, 1000, 84, 16, 34, 41}},
	{BAD, 3000, {CSUM, TUN, 0, 1000, 84, 16, 34, 65}},
	{BAD, 3000, {CSUM, TUN, 0, 1000, 84, 16, 0xffff, 0xffff}},
	{BAD, 60, {VDEV_NET_UDP_TUNNEL_CSUM, 0, 0, 0, 0, 0, 0, 0}},
	{BAD, 3000, {CSUM | VDEV_NET_UDP_TUNNEL_CSUM, TCP4, 0, 1000, 34, 16, 0, 0}},
};

START_TEST(what_may_be_asked_for)
{
	/* No bytes: they are not looked at. */
	struct vdev_frame f = {.len = asked[_i].len, .offload = asked[_i].o};

	ck_assert_int_eq(vdev_net_offload_check(&f), asked[_i].err);
	if (asked[_i].err != VIRTQ_EINVAL)
		ck_assert_int_eq(frame_offload_check(&f), asked[_i].err);
	CLAUSE("net/tx-packets/D8");
	CLAUSE("net/tx-packets/D10");
	CLAUSE("net/tx-packets/D11");
	ck_assert_int_eq(vdev_net_offload_check(NULL), VIRTQ_EINVAL);
	/* Fallback is no way around it. */
	if (asked[_i].err != 0)
		ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), asked[_i].err);
}
END_TEST

START_TEST(sums)
{
	struct rng rng;
	struct vdev_frame f;

	rng_seed(&rng, (uint64_t)_i + 5);
	fill(&rng);
	if (_i == 0)
		memset(bytes, 0xff, sizeof(bytes));
	for (int round = 0; round < 2000; round++) {
		uint32_t at = rng_below(&rng, 64), len = rng_below(&rng, BYTES - 64), skip;
		uint16_t sum, want = packet_sum(bytes + at, len, 0);

		net_sum_store((uint8_t *)&sum, net_sum(bytes + at, len));
		ck_assert_uint_eq(net_get_be16((uint8_t *)&sum), want);
		packet_pieces(bytes + at, len, iov, 1 + rng_below(&rng, PIECES), &rng, &f);
		skip = rng_below(&rng, len + 1);
		want = (uint16_t)~packet_sum(bytes + at + skip, len - skip, 0);
		net_csum_store((uint8_t *)&sum, net_sum_pieces(f.iov, f.niov, skip));
		ck_assert_uint_eq(net_get_be16((uint8_t *)&sum), want != 0 ? want : 0xffff);
	}
	ck_assert_uint_eq(net_sum(NULL, 0), 0);
	ck_assert_uint_eq(net_sum_fold(UINT64_MAX), 0xffff);
	{
		uint8_t wire[2];

		net_sum_store(wire, net_sum_be16(0x1234));
		ck_assert_uint_eq(net_get_be16(wire), 0x1234);
	}
}
END_TEST

/* A checksum alone, anywhere in the frame, whatever the frame is. */
START_TEST(a_checksum_is_filled_in)
{
	static const struct vdev_net_offload none = {0};
	struct rng rng;

	rng_seed(&rng, (uint64_t)_i + 77);
	for (int round = 0; round < 300; round++) {
		uint32_t len = 16 + rng_below(&rng, BYTES - 15), start, pos;
		struct vdev_frame f, out;
		uint16_t sum;

		fill(&rng);
		memcpy(copy, bytes, sizeof(bytes));
		packet_pieces(bytes, len, iov, 1 + rng_below(&rng, PIECES), &rng, &f);
		start = rng_below(&rng, len - 1);
		pos = start + rng_below(&rng, len - 1 - start);
		f.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM |
		                                               (rng_below(&rng, 2) ? 0xf0 : 0),
		                                      .gso_type = rng_below(&rng, 2) ? VDEV_NET_GSO_ECN : 0,
		                                      .csum_start = (uint16_t)start,
		                                      .csum_offset = (uint16_t)(pos - start)};
		ck_assert_int_eq(frame_fits(&f, 0), 0);
		ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), 0);
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		ck_assert_mem_eq(&out.offload, &none, sizeof(none));
		ck_assert_uint_eq(out.len, len);
		ck_assert_uint_eq(packet_flatten(&out, got), len);
		sum = (uint16_t)~packet_sum(copy + start, len - start, 0);
		ck_assert_uint_eq(net_get_be16(got + pos), sum != 0 ? sum : 0xffff);
		memcpy(got + pos, copy + pos, 2);
		ck_assert_mem_eq(got, copy, len);
		ck_assert_mem_eq(bytes, copy, len);
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
	}
}
END_TEST

static uint32_t flow_of(uint32_t pieces, struct rng *rng)
{
	struct vdev_frame f;

	packet_pieces(packet.b, packet.len, iov, pieces, rng, &f);
	return net_flow(&f);
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t t = a[i];

		a[i] = b[i];
		b[i] = t;
	}
}

START_TEST(flows_are_the_same_both_ways)
{
	struct rng rng;
	unsigned used[8] = {0}, different = 0;

	rng_seed(&rng, 3);
	for (unsigned i = 0; i < 4000; i++) {
		struct packet_spec s = {.tags = rng_below(&rng, 3),
		                        .version = i % 2 ? 4 : 6,
		                        .tcp = i % 3 != 0,
		                        .payload = rng_below(&rng, 100)};
		uint32_t flow, back, n;

		packet_make(&packet, &s);
		/* Neighbouring addresses and ports, as they are in a network. */
		n = s.version == 4 ? 4 : 16;
		packet.b[packet.th - 1] = (uint8_t)(i / 256);
		net_put_be16(packet.b + packet.th, (uint16_t)(1024 + i % 256));
		flow = flow_of(1, &rng);
		ck_assert_uint_ne(flow, 0);
		ck_assert_uint_eq(flow_of(1 + rng_below(&rng, PIECES), &rng), flow);
		used[flow % 8]++;
		swap(packet.b + packet.th - 2 * n, packet.b + packet.th - n, n);
		swap(packet.b + packet.th, packet.b + packet.th + 2, 2);
		ck_assert_uint_eq(flow_of(1, &rng), flow);
		packet.b[packet.th + 1] ^= 1;
		back = flow_of(1, &rng);
		different += back != flow;
	}
	/* Spread evenly enough, over as many queues as there may be, and hardly ever the same. */
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_gt(used[i], 350);
	ck_assert_uint_gt(different, 3990);
}
END_TEST

START_TEST(what_has_no_flow)
{
	struct packet_spec s = {.version = 4, .tcp = 1, .payload = 10};
	uint32_t flow;

	packet_make(&packet, &s);
	flow = flow_of(1, NULL);
	/* Fragments all have the same, without ports. */
	packet.b[packet.nh + 6] = 0x20;
	ck_assert_uint_ne(flow_of(1, NULL), flow);
	flow = flow_of(1, NULL);
	packet.b[packet.nh + 6] = 0;
	packet.b[packet.nh + 7] = 100;
	packet.b[packet.th] ^= 1;
	ck_assert_uint_eq(flow_of(1, NULL), flow);
	packet.b[packet.nh] = 0x65;
	ck_assert_uint_eq(flow_of(1, NULL), 0);
	net_put_be16(packet.b + 12, 0x0806);
	ck_assert_uint_eq(flow_of(1, NULL), 0);
	net_put_be16(packet.b + 12, 0x8100);
	packet.len = VDEV_NET_ETH;
	ck_assert_uint_eq(flow_of(1, NULL), 0);
}
END_TEST

/* ECN alone says nothing, and nothing is said of it further on. */
START_TEST(ecn_alone)
{
	static const struct vdev_net_offload none;
	struct packet_spec s = {.version = 4, .tcp = 1, .payload = 10};
	struct virtq_iov one;
	struct vdev_frame f, out;

	packet_make(&packet, &s);
	one = (struct virtq_iov){packet.b, packet.len};
	f = (struct vdev_frame){.iov = &one, .niov = 1, .len = packet.len};
	f.offload = (struct vdev_net_offload){
		.gso_type = VDEV_NET_GSO_ECN, .gso_size = 3505, .csum_start = 34, .csum_offset = 16};
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, VDEV_NET_TAKES_CSUM, 1500), 0);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
	ck_assert_mem_eq(&out.offload, &none, sizeof(none));
	ck_assert_uint_eq(out.len, f.len);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
}
END_TEST

/* What a TCP header says of its length is its sender's word. */
START_TEST(headers_end_with_the_frame)
{
	struct packet_spec s = {.version = 4, .tcp = 1, .payload = 100};
	struct virtq_iov one;
	struct vdev_frame f;

	packet_make(&packet, &s);
	packet.b[packet.th + 12] = 0xf0;
	one = (struct virtq_iov){packet.b, packet.len};
	f = (struct vdev_frame){.iov = &one, .niov = 1, .len = packet.len, .offload = packet.offload};
	f.offload.gso_type = VDEV_NET_GSO_TCPV4;
	f.offload.csum_start = (uint16_t)packet.th;
	ck_assert_uint_eq(frame_header_bytes(&f), packet.th + 60);
	one.len = f.len = packet.th + 30;
	ck_assert_uint_eq(frame_header_bytes(&f), packet.th + 30);
	one.len = f.len = packet.th + 12;
	ck_assert_uint_eq(frame_header_bytes(&f), packet.th + 12);
}
END_TEST

START_TEST(rarp)
{
	static const uint8_t mac[6] = {2, 3, 4, 5, 6, 7};
	static const uint8_t want[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 3, 4, 5, 6, 7, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0,
		3,    2,    3,    4,    5,    6,    7, 0, 0, 0, 0, 2, 3,    4,    5, 6, 7, 0, 0, 0, 0};
	uint8_t frame[60], zero[18] = {0};

	memset(frame, 0xee, sizeof(frame));
	net_rarp(frame, mac);
	ck_assert_mem_eq(frame, want, 42);
	ck_assert_mem_eq(frame + 42, zero, 18);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_frame");
	TCase *tc = tcase_create("net_frame");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, reads_across_pieces, 0, 4);
	tcase_add_test(tc, headers_to_and_fro);
	tcase_add_loop_test(tc, what_may_be_asked_for, 0, (int)(sizeof(asked) / sizeof(asked[0])));
	tcase_add_loop_test(tc, sums, 0, 4);
	tcase_add_loop_test(tc, a_checksum_is_filled_in, 0, 4);
	tcase_add_test(tc, flows_are_the_same_both_ways);
	tcase_add_test(tc, what_has_no_flow);
	tcase_add_test(tc, ecn_alone);
	tcase_add_test(tc, headers_end_with_the_frame);
	tcase_add_test(tc, rarp);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
