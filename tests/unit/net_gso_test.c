/* SPDX-License-Identifier: BSD-3-Clause */
/* What receivers don't take, done in software: segments, fragments, checksums. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "libvdev/net/adapt.h"
#include "net_packet.h"

enum { MOST = 65000 };

static struct packet packet, before;
static struct frame_adapt adapt;
static struct virtq_iov iov[FRAME_PIECES];
static uint8_t got[VDEV_NET_MAX_FRAME + 64], whole[VDEV_NET_MAX_FRAME + 64];

static const struct packet_spec tcp4 = {.version = 4,
                                        .tcp = 1,
                                        .payload = 10000,
                                        .gso = VDEV_NET_GSO_TCPV4,
                                        .gso_size = 1448,
                                        .seq = 1000};

/* The packet as a frame in n pieces. */
static struct vdev_frame frame_of(const struct packet *p, uint32_t n, struct rng *rng)
{
	struct vdev_frame f;

	packet_pieces(p->b, p->len, iov, n, rng, &f);
	f.offload = p->offload;
	return f;
}

static void good(const struct vdev_frame *out, uint32_t mtu)
{
	const char *wrong;

	ck_assert_uint_eq(packet_flatten(out, got), out->len);
	wrong = packet_wrong(got, out->len, &out->offload);
	ck_assert_msg(wrong == NULL, "%s", wrong);
	if (mtu != 0)
		ck_assert_uint_le(out->len, mtu + VDEV_NET_ETH + 8);
}

/* One segment, which got holds: what changes from one to the next. */
static void check_segment(const struct packet *p, const struct packet_spec *s, uint32_t i,
                          uint32_t done, uint32_t len)
{
	const uint8_t *ip = got + p->nh, *tcp = got + p->th;
	int last = done + len == s->payload;
	unsigned clear = (last ? 0 : 9) | (i > 0 ? 0x80 : 0);

	ck_assert_mem_eq(got + p->payload_at, p->b + p->payload_at + done, len);
	ck_assert_mem_eq(got, p->b, p->outer_nh != 0 ? p->outer_nh : p->nh);
	if (s->version == 4) {
		ck_assert_uint_eq(net_get_be16(ip + 4), (uint16_t)(s->id + i));
		ck_assert_mem_eq(ip + 12, p->b + p->nh + 12, p->th - p->nh - 12);
	} else {
		ck_assert_mem_eq(ip + 6, p->b + p->nh + 6, p->th - p->nh - 6);
	}
	if (s->outer == 4)
		ck_assert_uint_eq(net_get_be16(got + p->outer_nh + 4), (uint16_t)(s->id + 77 + i));
	if (s->outer != 0)
		ck_assert_int_eq(net_get_be16(got + p->outer_th + 6) != 0, s->outer_sum != 0);
	if (!s->tcp)
		return;
	ck_assert_uint_eq(net_get_be32(tcp + 4), s->seq + done);
	ck_assert_uint_eq(tcp[13], s->tcp_flags & ~clear);
	ck_assert_mem_eq(tcp + 18, p->b + p->th + 18, p->payload_at - p->th - 18);
}

/* All segments of a TCP or UDP packet, for a receiver that takes sums or nothing. */
static void check_segments(const struct packet *p, const struct packet_spec *s,
                           const struct vdev_frame *f, uint32_t takes)
{
	uint32_t done = 0, i = 0, len;
	struct vdev_frame out;

	ck_assert_int_eq(frame_adapt_begin(&adapt, f, takes, 0), 0);
	while (frame_adapt_next(&adapt, &out) > 0) {
		good(&out, 0);
		len = out.len - p->payload_at;
		ck_assert_uint_eq(len, s->payload - done < s->gso_size ? s->payload - done : s->gso_size);
		ck_assert_int_eq(out.offload.flags, takes != 0 && !s->outer_sum ? VDEV_NET_NEEDS_CSUM : 0);
		check_segment(p, s, i, done, len);
		done += len;
		i++;
	}
	ck_assert_uint_eq(done, s->payload);
	ck_assert_uint_eq(i, s->payload == 0 ? 1 : (s->payload + s->gso_size - 1) / s->gso_size);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
}

/* A fragment's place, size and whether more follow; where its data is. */
struct fragment {
	uint32_t at, len, data, more, id;
};

/* Where the part begins that fragments divide. */
static uint32_t split_of(const struct packet *p, const struct packet_spec *s)
{
	if (s->version == 4)
		return p->th;
	/* Hop-by-hop and routing headers come before the fragment's, all else is divided. */
	return p->nh + 40 + ((s->ext & PACKET_HOPS) != 0 ? 8 : 0) +
	       ((s->ext & PACKET_ROUTING) != 0 ? 24 : 0);
}

static struct fragment fragment_of(const struct packet *p, const struct packet_spec *s,
                                   uint32_t len)
{
	const uint8_t *ip = got + p->nh;
	struct fragment f = {.data = p->th, .id = s->id};
	uint32_t at = split_of(p, s);

	if (s->version == 4) {
		f.at = (net_get_be16(ip + 6) & 0x1fffu) * 8;
		f.more = (ip[6] & 0x20) != 0;
		f.id = net_get_be16(ip + 4);
		f.len = len - f.data;
		return f;
	}
	ck_assert_uint_eq(got[at], (s->ext & (PACKET_DEST | PACKET_HOME)) != 0 ? 60 : 17);
	f.at = net_get_be16(got + at + 2) & 0xfff8u;
	f.more = got[at + 3] & 1;
	f.id = net_get_be32(got + at + 4);
	f.data = at + 8;
	f.len = len - f.data;
	return f;
}

/* All fragments of a UDP packet, put together again. */
static void check_fragments(const struct packet *p, const struct packet_spec *s,
                            const struct vdev_frame *f, uint32_t takes)
{
	uint32_t total = 0, done = 0, first_id = 0, base = 0, i = 0;
	struct vdev_frame out;
	struct fragment frag = {.more = 1};
	struct vdev_net_offload none = {0};
	const char *wrong;

	ck_assert_int_eq(frame_adapt_begin(&adapt, f, takes, 0), 0);
	for (; frame_adapt_next(&adapt, &out) > 0; i++) {
		ck_assert_int_eq(frag.more, 1);
		ck_assert_int_eq(out.offload.flags, 0);
		good(&out, 0);
		if (p->len - split_of(p, s) <= s->gso_size) {
			/* It fits into one, which is no fragment. */
			ck_assert_mem_eq(got, p->b, p->th + 6);
			ck_assert_mem_eq(got + p->payload_at, p->b + p->payload_at, s->payload);
			ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
			return;
		}
		frag = fragment_of(p, s, out.len);
		if (i == 0) {
			first_id = frag.id;
			base = s->version == 4 ? p->th : frag.data - 8;
			total = p->len - base;
		}
		ck_assert_uint_eq(frag.at, done);
		ck_assert_uint_eq(frag.id, first_id);
		ck_assert_uint_le(frag.len, s->gso_size);
		ck_assert_int_eq(frag.more == 0 || frag.len % 8 == 0, 1);
		ck_assert_uint_le(done + frag.len, total);
		memcpy(whole + base + done, got + frag.data, frag.len);
		done += frag.len;
	}
	ck_assert_int_eq(frag.more, 0);
	ck_assert_uint_eq(done, total);
	/* Before it was divided it was the packet with its checksum. */
	memcpy(whole, p->b, base);
	wrong = packet_wrong(whole, p->len, &none);
	ck_assert_msg(wrong == NULL, "%s", wrong);
	ck_assert_mem_eq(whole + p->payload_at, p->b + p->payload_at, s->payload);
}

START_TEST(random_packets)
{
	struct rng rng;
	struct packet_spec s;
	struct vdev_frame f;

	rng_seed(&rng, (uint64_t)_i + 1);
	for (unsigned long round = test_rounds(60); round > 0; round--) {
		uint32_t takes = rng_below(&rng, 2) ? VDEV_NET_TAKES_CSUM : 0;

		packet_random_spec(&s, &rng, MOST);
		packet_make(&packet, &s);
		packet.offload.hdr_len = (uint16_t)rng_next(&rng);
		before = packet;
		f = frame_of(&packet, rng_below(&rng, 2) ? 1 + rng_below(&rng, 8) : FRAME_PIECES, &rng);
		ck_assert_int_eq(vdev_net_offload_check(&f), 0);
		ck_assert_int_eq(frame_fits(&f, takes), 0);
		ck_assert_int_eq(frame_fits(&f, VDEV_NET_TAKES_ALL), 1);
		if (s.gso == VDEV_NET_GSO_UDP)
			check_fragments(&packet, &s, &f, takes);
		else
			check_segments(&packet, &s, &f, takes);
		CLAUSE("net/tx-packets/D7");
		ck_assert_mem_eq(&packet, &before, sizeof(packet));
	}
}
END_TEST

START_TEST(flags_belong_to_one_segment)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f, out;
	uint8_t flags[3];

	s.payload = 3 * 1448;
	s.tcp_flags = 0xff;
	packet_make(&packet, &s);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 1500), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		good(&out, 1500);
		flags[i] = got[34 + 13];
	}
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
	ck_assert_mem_eq(flags, ((uint8_t[]){0xf6, 0x76, 0x7f}), 3);
}
END_TEST

START_TEST(options_of_fragments)
{
	struct packet_spec s = {.version = 4,
	                        .payload = 3000,
	                        .ext = PACKET_IP_OPTIONS,
	                        .gso = VDEV_NET_GSO_UDP,
	                        .gso_size = 1472};
	struct vdev_frame f, out;

	packet_make(&packet, &s);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, VDEV_NET_TAKES_CSUM, 1500), 0);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
	good(&out, 1500);
	ck_assert_mem_eq(got + 34, packet.b + 34, 8);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
	good(&out, 1500);
	/* The one that is to be copied, and nothing in place of the other. */
	ck_assert_mem_eq(got + 34, packet.b + 34, 4);
	ck_assert_mem_eq(got + 38, ((uint8_t[]){1, 1, 1, 1}), 4);
}
END_TEST

/* Options whose lengths can't be: they stay as they are, and those before them are cared for. */
START_TEST(options_that_lie)
{
	static const uint8_t options[][8] = {
		{1, 7, 0, 0, 0, 0, 0, 0},   {1, 7, 1, 7, 3, 0, 0, 0},    {7, 4, 0, 0, 7, 5, 0, 0},
		{7, 255, 7, 3, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 1, 1, 7},    {0, 7, 3, 0, 7, 3, 0, 0},
		{7, 8, 0, 0, 0, 0, 0, 0},   {0x94, 4, 0, 0, 7, 2, 7, 2},
	};
	static const uint8_t kept[][8] = {
		{1, 7, 0, 0, 0, 0, 0, 0},   {1, 7, 1, 7, 3, 0, 0, 0},    {1, 1, 1, 1, 7, 5, 0, 0},
		{7, 255, 7, 3, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 1, 1, 7},    {0, 7, 3, 0, 7, 3, 0, 0},
		{1, 1, 1, 1, 1, 1, 1, 1},   {0x94, 4, 0, 0, 1, 1, 1, 1},
	};
	struct packet_spec s = {.version = 4,
	                        .payload = 3000,
	                        .ext = PACKET_IP_OPTIONS,
	                        .gso = VDEV_NET_GSO_UDP,
	                        .gso_size = 1472};
	struct vdev_frame f, out;

	packet_make(&packet, &s);
	memcpy(packet.b + 34, options[_i], 8);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		good(&out, 0);
		ck_assert_mem_eq(got + 34, i == 0 ? options[_i] : kept[_i], 8);
	}
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
}
END_TEST

/* Packets whose headers are not there, or not what the offloads say: by kind of damage. */
START_TEST(headers_that_are_none)
{
	static const uint32_t outer[] = {0, 4, 6};
	struct packet_spec s = tcp4;
	uint8_t *ip;
	struct vdev_frame f;

	s.outer = outer[_i % 3];
	packet_make(&packet, &s);
	ip = packet.b + (_i % 2 == 0 || s.outer == 0 ? packet.nh : packet.outer_nh);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), 0);
	switch (_i / 6) {
	case 0:
		ip[0] = 0x55; /* of no version */
		break;
	case 1:
		ip[0] = (uint8_t)(ip[0] >> 4 == 4 ? 0x41 : 0x05); /* too short, or of none */
		break;
	case 2:
		ip[0] ^= 0x40 ^ 0x60; /* of the other one */
		break;
	case 3:
		ip[ip[0] >> 4 == 4 ? 9 : 6] = 1; /* with no transport that can be divided */
		break;
	case 4:
		memset(packet.b + 12, 0xff, 2); /* in no frame of IP */
		break;
	default:
		if (ip[0] >> 4 == 6)
			return;
		ip[6] = 0x20; /* the first part of something */
		break;
	}
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), VIRTQ_EPROTO);
	ck_assert_int_eq(frame_adapt_next(&adapt, &f), 0);
}
END_TEST

/* A TCP header that is not all among the bytes that are looked at. */
START_TEST(headers_that_are_too_far_behind)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f;
	uint32_t more = FRAME_HEADERS - 30 + (uint32_t)_i;

	s.outer = 4;
	packet_make(&packet, &s);
	/* The inner packet moves towards the end of what is looked at, and over it. */
	more -= packet.th;
	memmove(packet.b + packet.nh + more, packet.b + packet.nh, packet.len - packet.nh);
	packet.len += more;
	packet.offload.csum_start = (uint16_t)(packet.offload.csum_start + more);
	packet.offload.inner_nh = (uint16_t)(packet.offload.inner_nh + more);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), _i <= 10 ? 0 : VIRTQ_EPROTO);
}
END_TEST

/* A tunnel's checksum that is there though nobody asked for one is made anew, as is that of packets who have none. */
START_TEST(checksum_of_a_tunnel)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f, out;

	s.outer = 6;
	packet_make(&packet, &s);
	packet.b[packet.outer_th + 6] = 0x12;
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, VDEV_NET_TAKES_CSUM, 0), 0);
	for (int i = 0; i < 7; i++) {
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		good(&out, 0);
		ck_assert_int_eq(out.offload.flags, 0);
		ck_assert_uint_ne(net_get_be16(got + packet.outer_th + 6), 0);
	}
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
}
END_TEST

/* Which receivers take which frames as they are. */
START_TEST(receivers_get_what_they_negotiated)
{
	enum { C = VDEV_NET_TAKES_CSUM, USO = VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6 };
	static const struct {
		unsigned outer, outer_sum, version, tcp, gso;
		uint32_t enough, missing; /* one that does, and what of it can't be missing */
	} kinds[] = {
		{0, 0, 4, 1, 0, C, C},
		{0, 0, 4, 1, VDEV_NET_GSO_TCPV4, C | VDEV_NET_TAKES_TSO4, C | VDEV_NET_TAKES_TSO4},
		{0, 0, 6, 1, VDEV_NET_GSO_TCPV6, C | VDEV_NET_TAKES_TSO6, C | VDEV_NET_TAKES_TSO6},
		{0, 0, 4, 1, VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN,
	     C | VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_ECN,
	     C | VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_ECN},
		{0, 0, 4, 0, VDEV_NET_GSO_UDP, C | VDEV_NET_TAKES_UFO, C | VDEV_NET_TAKES_UFO},
		{0, 0, 4, 0, VDEV_NET_GSO_UDP_L4, C | USO, C | VDEV_NET_TAKES_USO4},
		{0, 0, 6, 0, VDEV_NET_GSO_UDP_L4, C | USO, C | VDEV_NET_TAKES_USO6},
		{0, 0, 6, 0, VDEV_NET_GSO_UDP_L4, C | VDEV_NET_TAKES_USO6, C | VDEV_NET_TAKES_USO6},
		{0, 0, 4, 0, VDEV_NET_GSO_UDP_L4, C | VDEV_NET_TAKES_USO4, C | VDEV_NET_TAKES_USO4},
		{4, 0, 6, 1, VDEV_NET_GSO_TCPV6, C | VDEV_NET_TAKES_TSO6 | VDEV_NET_TAKES_TUNNEL,
	     C | VDEV_NET_TAKES_TSO6 | VDEV_NET_TAKES_TUNNEL},
		{6, 1, 4, 0, VDEV_NET_GSO_UDP_L4,
	     C | USO | VDEV_NET_TAKES_TUNNEL | VDEV_NET_TAKES_TUNNEL_CSUM,
	     C | VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_TUNNEL | VDEV_NET_TAKES_TUNNEL_CSUM},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct packet_spec s = {.tags = (unsigned)i % 3,
		                        .outer = kinds[i].outer,
		                        .outer_sum = kinds[i].outer_sum,
		                        .version = kinds[i].version,
		                        .tcp = kinds[i].tcp,
		                        .gso = kinds[i].gso,
		                        .gso_size = 1000,
		                        .needs_csum = 1,
		                        .payload = 5000};
		struct vdev_frame f, out;

		packet_make(&packet, &s);
		f = frame_of(&packet, 1, NULL);
		ck_assert_int_eq(vdev_net_offload_check(&f), 0);
		ck_assert_int_eq(frame_fits(&f, kinds[i].enough), 1);
		ck_assert_int_eq(frame_adapt_begin(&adapt, &f, kinds[i].enough, 0), 0);
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		ck_assert_mem_eq(&out, &f, sizeof(f));
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
		for (uint32_t bit = 1; bit < VDEV_NET_TAKES_ALL; bit <<= 1) {
			if ((kinds[i].missing & bit) == 0)
				continue;
			ck_assert_int_eq(frame_fits(&f, VDEV_NET_TAKES_ALL & ~bit), 0);
			ck_assert_int_eq(frame_adapt_begin(&adapt, &f, VDEV_NET_TAKES_ALL & ~bit, 0), 0);
			ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
			good(&out, 0);
			ck_assert_uint_eq(out.offload.gso_type, 0);
		}
	}
}
END_TEST

START_TEST(frames_longer_than_the_mtu)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f;

	s.tags = (unsigned)_i;
	packet_make(&packet, &s);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 20 + 20 + 1448), 0);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 20 + 20 + 1447), VIRTQ_ENOSPC);
	/* As long as it stays one the length of its segments is no matter. */
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, VDEV_NET_TAKES_ALL, 1000), 0);
	s.gso = 0;
	s.payload = 1460;
	for (s.needs_csum = 0; s.needs_csum < 2; s.needs_csum++) {
		struct vdev_frame out;

		packet_make(&packet, &s);
		f = frame_of(&packet, 1, NULL);
		ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 1500), 0);
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
		good(&out, 1500);
		ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 1499), VIRTQ_ENOSPC);
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
	}
	s = (struct packet_spec){.version = 6,
	                         .tags = (unsigned)_i,
	                         .payload = 4000,
	                         .gso = VDEV_NET_GSO_UDP,
	                         .gso_size = 1448};
	packet_make(&packet, &s);
	f = frame_of(&packet, 1, NULL);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 1448 + 48), 0);
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 1448 + 47), VIRTQ_ENOSPC);
}
END_TEST

/* As many pieces as there may be, each of a byte. */
START_TEST(pieces_of_one_byte)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f, out;

	s.version = _i == 0 ? 4 : 6;
	s.gso = _i == 0 ? VDEV_NET_GSO_TCPV4 : _i == 1 ? VDEV_NET_GSO_UDP : 0;
	s.tcp = _i == 0;
	s.gso_size = 65000;
	s.needs_csum = 1;
	s.payload = FRAME_PIECES - (_i == 0 ? 54 : 62);
	packet_make(&packet, &s);
	ck_assert_uint_eq(packet.len, FRAME_PIECES);
	for (uint32_t i = 0; i < FRAME_PIECES; i++)
		iov[i] = (struct virtq_iov){packet.b + i, 1};
	f = (struct vdev_frame){iov, FRAME_PIECES, FRAME_PIECES, packet.offload};
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, 0, 0), 0);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 1);
	good(&out, 0);
	ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_gso");
	TCase *tc = tcase_create("net_gso");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, random_packets, 0, 8);
	tcase_add_test(tc, flags_belong_to_one_segment);
	tcase_add_test(tc, options_of_fragments);
	tcase_add_loop_test(tc, headers_that_are_none, 0, 36);
	tcase_add_loop_test(tc, headers_that_are_too_far_behind, 0, 40);
	tcase_add_loop_test(tc, options_that_lie, 0, 8);
	tcase_add_test(tc, checksum_of_a_tunnel);
	tcase_add_test(tc, receivers_get_what_they_negotiated);
	tcase_add_loop_test(tc, frames_longer_than_the_mtu, 0, 3);
	tcase_add_loop_test(tc, pieces_of_one_byte, 0, 3);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
