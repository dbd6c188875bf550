/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net: frames with every kind of offload, to drivers that negotiated any of them or not. What was negotiated the
 * driver gets as it is, with a header that says so; the rest is done for it.
 */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_fixture.h"
#include "net_packet.h"

enum {
	NUM_BUFFERS = 10,
	BUFFERS = 40,
	CSUM = VDEV_NET_TAKES_CSUM,
	TSO4 = VDEV_NET_TAKES_TSO4,
	TSO6 = VDEV_NET_TAKES_TSO6,
	ECN = VDEV_NET_TAKES_ECN,
	UFO = VDEV_NET_TAKES_UFO,
	USO4 = VDEV_NET_TAKES_USO4,
	USO6 = VDEV_NET_TAKES_USO6,
	TUNNEL = VDEV_NET_TAKES_TUNNEL,
	TUNNEL_CSUM = VDEV_NET_TAKES_TUNNEL_CSUM,
	ALL = VDEV_NET_TAKES_ALL,
	GSO = TSO4 | TSO6 | UFO | USO4 | USO6,
	TUNNELS = TUNNEL | TUNNEL_CSUM
};

/* What drivers negotiate: nothing, all, and all but one and what depends on it. */
static const uint32_t sets[] = {0,
                                CSUM,
                                CSUM | TSO4,
                                CSUM | UFO,
                                CSUM | USO4,
                                CSUM | USO6,
                                ALL,
                                ALL & ~(uint32_t)(TSO4 | TUNNELS),
                                ALL & ~(uint32_t)(TSO6 | TUNNELS),
                                ALL & ~(uint32_t)(TSO4 | TSO6 | ECN | TUNNELS),
                                ALL & ~(uint32_t)ECN,
                                ALL & ~(uint32_t)UFO,
                                ALL & ~(uint32_t)(USO4 | TUNNELS),
                                ALL & ~(uint32_t)(USO6 | TUNNELS),
                                ALL & ~(uint32_t)(USO4 | USO6 | TUNNELS),
                                ALL & ~(uint32_t)TUNNELS,
                                ALL & ~(uint32_t)TUNNEL_CSUM};

enum { SETS = sizeof(sets) / sizeof(sets[0]), CWR = 0x80, ACK = 0x10 };

static const struct kind {
	uint32_t needs; /* of the driver, to get it as it is */
	uint16_t version, outer;
	uint16_t outer_sum, tcp;
	unsigned gso;
} kinds[] = {
	{CSUM, 4, 0, 0, 1, 0},
	{CSUM, 6, 0, 0, 1, 0},
	{CSUM, 4, 0, 0, 0, 0},
	{CSUM, 6, 0, 0, 0, 0},
	{CSUM | TSO4, 4, 0, 0, 1, VDEV_NET_GSO_TCPV4},
	{CSUM | TSO6, 6, 0, 0, 1, VDEV_NET_GSO_TCPV6},
	{CSUM | TSO4 | ECN, 4, 0, 0, 1, VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN},
	{CSUM | TSO6 | ECN, 6, 0, 0, 1, VDEV_NET_GSO_TCPV6 | VDEV_NET_GSO_ECN},
	{CSUM | UFO, 4, 0, 0, 0, VDEV_NET_GSO_UDP},
	{CSUM | UFO, 6, 0, 0, 0, VDEV_NET_GSO_UDP},
	{CSUM | USO4, 4, 0, 0, 0, VDEV_NET_GSO_UDP_L4},
	{CSUM | USO6, 6, 0, 0, 0, VDEV_NET_GSO_UDP_L4},
	{CSUM | TSO4 | TUNNEL, 4, 4, 0, 1, VDEV_NET_GSO_TCPV4},
	{CSUM | TSO6 | TUNNEL, 6, 6, 0, 1, VDEV_NET_GSO_TCPV6},
	{CSUM | USO4 | TUNNEL, 4, 4, 0, 0, VDEV_NET_GSO_UDP_L4},
	{CSUM | TSO4 | TUNNELS, 4, 4, 1, 1, VDEV_NET_GSO_TCPV4},
	{CSUM | TSO6 | TUNNELS, 6, 6, 1, 1, VDEV_NET_GSO_TCPV6},
	{CSUM | USO6 | TUNNELS, 6, 6, 1, 0, VDEV_NET_GSO_UDP_L4},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct packet packet;
static uint8_t got[VDEV_NET_MAX_FRAME + 64], hdr[24];

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static void make(const struct kind *k)
{
	struct packet_spec s = {.version = k->version,
	                        .outer = k->outer,
	                        .outer_sum = k->outer_sum,
	                        .tcp = k->tcp,
	                        .payload = 3000,
	                        .gso = k->gso,
	                        .gso_size = 1000,
	                        .needs_csum = 1,
	                        .tcp_flags = ACK,
	                        .seq = 77,
	                        .id = 5};

	if (k->gso & VDEV_NET_GSO_ECN)
		s.tcp_flags |= CWR;
	packet_make(&packet, &s);
}

static void want(struct net_fixture *f, uint32_t set)
{
	static const uint8_t bits[] = {VDEV_NET_F_GUEST_CSUM,
	                               VDEV_NET_F_GUEST_TSO4,
	                               VDEV_NET_F_GUEST_TSO6,
	                               VDEV_NET_F_GUEST_ECN,
	                               VDEV_NET_F_GUEST_UFO,
	                               VDEV_NET_F_GUEST_USO4,
	                               VDEV_NET_F_GUEST_USO6,
	                               VDEV_NET_F_GUEST_UDP_TUNNEL_GSO,
	                               VDEV_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM};

	for (unsigned i = 0; i < sizeof(bits); i++)
		if (set >> i & 1)
			net_want(f, bits[i]);
}

static void start(struct net_fixture *f, uint32_t set, int packed, int mergeable)
{
	net_init(f, packed, 0);
	want(f, set);
	if (mergeable)
		net_want(f, VDEV_NET_F_MRG_RXBUF);
	f->hdr = set & TUNNEL ? 24 : 12;
	f->cfg.queue_size = 64;
	net_start(f);
	for (unsigned i = 0; i < BUFFERS; i++)
		net_buffer(f, 0, mergeable ? 700 : 4096, 1 + i % 2);
}

static void push(struct net_fixture *f, const struct vdev_net_offload *o)
{
	struct virtq_iov iov[2] = {{packet.b, 40}, {packet.b + 40, packet.len - 40}};
	struct vdev_frame fr = {.iov = iov, .niov = 2, .len = packet.len, .offload = *o};

	ck_assert_uint_eq(net_push(f, &fr, 1), 1);
}

/* A frame that came, put together, into got and hdr; its length, 0: none. Its buffers are given again. */
static uint32_t receive(struct net_fixture *f, int mergeable)
{
	uint32_t written, len, n;
	uint8_t *p = net_received(f, 0, &written);

	if (p == NULL)
		return 0;
	memcpy(hdr, p, f->hdr);
	len = written - f->hdr;
	memcpy(got, p + f->hdr, len);
	n = le16(p + NUM_BUFFERS);
	ck_assert(mergeable ? n >= 1 : n == 1);
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0) {
			p = net_received(f, 0, &written);
			ck_assert_ptr_nonnull(p);
			memcpy(got + len, p, written);
			len += written;
		}
		net_buffer(f, 0, mergeable ? 700 : 4096, 1);
	}
	return len;
}

/* The ones' complement sum over a pseudo header of the IP header at ip, for len bytes of a protocol. */
static uint16_t pseudo(const uint8_t *ip, unsigned proto, uint32_t len)
{
	return ip[0] >> 4 == 4 ? packet_sum(ip + 12, 8, proto + len)
	                       : packet_sum(ip + 8, 32, proto + len);
}

static void fill_in(uint8_t *b, uint32_t len, uint32_t start, uint32_t offset)
{
	uint16_t sum = (uint16_t)~packet_sum(b + start, len - start, 0);

	b[start + offset] = (uint8_t)(sum >> 8);
	b[start + offset + 1] = (uint8_t)sum;
}

/* Sums that are left to the driver: begun, and when it completes them, all there are in the frame are right. */
static void check_sums(uint32_t len)
{
	static const struct vdev_net_offload nothing;
	uint32_t at = le16(hdr + 6), offset = le16(hdr + 8);

	ck_assert_uint_eq(at, packet.th);
	ck_assert_uint_eq(offset, packet.offload.csum_offset);
	ck_assert_uint_eq(be16(got + at + offset),
	                  pseudo(got + packet.nh, offset == 16 ? 6 : 17, len - at));
	CLAUSE("net/rx-packets/D17");
	fill_in(got, len, at, offset);
	if (hdr[0] & VDEV_NET_UDP_TUNNEL_CSUM) {
		uint32_t th = packet.outer_th;

		ck_assert_uint_eq(be16(got + th + 6), pseudo(got + packet.outer_nh, 17, len - th));
		CLAUSE("net/rx-packets/D28b");
		fill_in(got, len, th, 6);
	}
	ck_assert_ptr_null(packet_wrong(got, len, &nothing));
	CLAUSE("net/rx-packets/D18");
	CLAUSE("net/rx-packets/D16");
}

/* A frame came as it is: the header says what is left to be done. */
static void check_whole(const struct kind *k, uint32_t len)
{
	const struct vdev_net_offload *o = &packet.offload;

	ck_assert_uint_eq(len, packet.len);
	ck_assert_mem_eq(got, packet.b, len);
	ck_assert_uint_eq(hdr[0], o->flags);
	ck_assert(hdr[0] & VDEV_NET_NEEDS_CSUM);
	CLAUSE("net/rx-packets/D15");
	ck_assert_uint_eq(hdr[1], o->gso_type);
	CLAUSE("net/processing-of-incoming-packets/N2");
	if (k->gso & VDEV_NET_GSO_ECN) {
		ck_assert(hdr[1] & VDEV_NET_GSO_ECN);
		CLAUSE("net/rx-packets/D12b");
	}
	if (k->gso != 0) {
		ck_assert_uint_eq(le16(hdr + 4), 1000);
		CLAUSE("net/rx-packets/D22");
		ck_assert_uint_ge(le16(hdr + 2), packet.payload_at);
		CLAUSE("net/rx-packets/D25");
	}
	if (k->outer != 0) {
		/* The same version inside and outside. */
		ck_assert_uint_eq(hdr[1] & VDEV_NET_GSO_TUNNEL,
		                  k->version == 4 ? VDEV_NET_GSO_TUNNEL_V4 : VDEV_NET_GSO_TUNNEL_V6);
		ck_assert_uint_eq(le16(hdr + 20), packet.outer_th);
		ck_assert_uint_eq(le16(hdr + 22), packet.nh);
		CLAUSE("net/rx-packets/D19b");
		CLAUSE("net/processing-of-incoming-packets/N3");
		ck_assert_uint_eq((hdr[0] & VDEV_NET_UDP_TUNNEL_CSUM) != 0, k->outer_sum);
		CLAUSE("net/rx-packets/D28a");
		if (!k->outer_sum) {
			ck_assert_uint_eq(be16(got + packet.outer_th + 6), 0);
			CLAUSE("net/rx-packets/D29");
		}
	}
	check_sums(len);
}

/* What the header of any frame may not say, given what was negotiated. */
static void check_header(const struct kind *k, uint32_t set)
{
	unsigned kind = hdr[1] & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN);

	ck_assert_uint_eq(hdr[0] & ~(unsigned)(VDEV_NET_NEEDS_CSUM | VDEV_NET_UDP_TUNNEL_CSUM), 0);
	if (!(set & CSUM)) {
		ck_assert_uint_eq(hdr[0], 0);
		CLAUSE("net/rx-packets/D5a");
	}
	if (!(set & GSO)) {
		ck_assert_uint_eq(hdr[1], VDEV_NET_GSO_NONE);
		CLAUSE("net/rx-packets/D21");
	}
	if (!(set & TSO4) && k->needs & TSO4) {
		ck_assert_uint_ne(kind, VDEV_NET_GSO_TCPV4);
		CLAUSE("net/rx-packets/D6");
	}
	if (!(set & UFO) && k->needs & UFO) {
		ck_assert_uint_ne(kind, VDEV_NET_GSO_UDP);
		CLAUSE("net/rx-packets/D7");
	}
	if (!(set & TSO6) && k->needs & TSO6) {
		ck_assert_uint_ne(kind, VDEV_NET_GSO_TCPV6);
		CLAUSE("net/rx-packets/D8");
	}
	if (!(set & (USO4 | USO6)) && k->needs & (USO4 | USO6)) {
		ck_assert_uint_ne(kind, VDEV_NET_GSO_UDP_L4);
		CLAUSE("net/rx-packets/D9");
	}
	if (!(set & TUNNEL) && k->outer != 0) {
		ck_assert_uint_eq(hdr[1] & VDEV_NET_GSO_TUNNEL, 0);
		CLAUSE("net/rx-packets/D10");
	}
	if (!(set & TUNNEL_CSUM) && k->outer_sum) {
		ck_assert_uint_eq(hdr[0] & VDEV_NET_UDP_TUNNEL_CSUM, 0);
		CLAUSE("net/rx-packets/D11");
	}
}

/* A frame that the driver does not take came as several, or with its sums: complete, and no part of it is missing. */
static void check_parts(struct net_fixture *f, const struct kind *k, uint32_t set, int mergeable)
{
	uint32_t len, parts = 0, payload = 0;

	while ((len = receive(f, mergeable)) != 0) {
		struct vdev_net_offload o = {.flags = hdr[0],
		                             .gso_type = hdr[1],
		                             .csum_start = le16(hdr + 6),
		                             .csum_offset = le16(hdr + 8)};

		check_header(k, set);
		ck_assert_uint_eq(hdr[1], VDEV_NET_GSO_NONE);
		ck_assert_ptr_null(packet_wrong(got, len, &o));
		if (!(set & CSUM))
			CLAUSE("net/rx-packets/D5b");
		/* Fragments are shown right elsewhere; the last of them is shorter than where payload begins. */
		if (k->needs & UFO) {
			payload += len - packet.th - (k->version == 6 ? 8 : 0);
		} else {
			ck_assert_mem_eq(got + packet.payload_at, packet.b + packet.payload_at + payload,
			                 len - packet.payload_at);
			payload += len - packet.payload_at;
		}
		if (k->outer_sum) {
			ck_assert_uint_ne(be16(got + packet.outer_th + 6), 0);
			CLAUSE("net/rx-packets/D29");
		}
		parts++;
	}
	ck_assert_uint_eq(payload, k->needs & UFO ? 3008 : 3000);
	ck_assert_uint_eq(parts, k->gso == 0 ? 1 : k->needs & UFO ? 4 : 3);
	if (k->gso & VDEV_NET_GSO_ECN && !(set & ECN))
		CLAUSE("net/rx-packets/D12a");
	if (k->outer != 0 && !(set & TUNNEL))
		CLAUSE("net/rx-packets/D19a");
	if (k->outer_sum && !(set & TUNNEL_CSUM))
		CLAUSE("net/rx-packets/D20");
}

START_TEST(taken_as_negotiated)
{
	uint32_t set = sets[_i / 2];
	int mergeable = (_i / 2 + _i) & 1;
	struct net_fixture f;

	start(&f, set, _i & 1, mergeable);
	for (unsigned i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];

		make(k);
		push(&f, &packet.offload);
		if ((k->needs & set) == k->needs) {
			uint32_t len = receive(&f, mergeable);

			check_header(k, set);
			check_whole(k, len);
			ck_assert_uint_eq(receive(&f, mergeable), 0);
		} else {
			check_parts(&f, k, set, mergeable);
		}
	}
	net_fini(&f);
}
END_TEST

/* How long headers are the driver is told by the frame itself, whatever its sender said: nothing, or anything. */
START_TEST(header_lengths)
{
	static const uint16_t said[] = {0, 1, 54, 4000, 65535};
	struct net_fixture f;

	start(&f, ALL, _i, 0);
	for (unsigned i = 0; i < KINDS; i++) {
		if (kinds[i].gso == 0)
			continue;
		make(&kinds[i]);
		for (unsigned j = 0; j < sizeof(said) / sizeof(said[0]); j++) {
			packet.offload.hdr_len = said[j];
			push(&f, &packet.offload);
			ck_assert_uint_eq(receive(&f, 0), packet.len);
			ck_assert_uint_eq(le16(hdr + 2), packet.payload_at);
			CLAUSE("net/rx-packets/D25");
		}
	}
	net_fini(&f);
}
END_TEST

/* Flags that a frame may come with, and that the driver can't be told of then. */
START_TEST(flags_out_of_place)
{
	static const struct vdev_net_offload none;
	struct vdev_net_offload o;
	struct net_fixture f;

	start(&f, _i / 2 ? ALL & ~(uint32_t)TUNNEL_CSUM : ALL, _i & 1, 0);
	/* A sender's report is none for us, and who has not asked for reports gets none. */
	for (unsigned i = 0; i < KINDS; i++) {
		make(&kinds[i]);
		o = packet.offload;
		o.flags |= VDEV_NET_RSC_INFO;
		push(&f, &o);
		while (receive(&f, 0) != 0) {
			ck_assert_uint_eq(hdr[0] & VDEV_NET_RSC_INFO, 0);
			CLAUSE("net/rx-packets/D24");
		}
		if (kinds[i].outer == 0)
			continue;
		o = packet.offload;
		o.flags |= VDEV_NET_DATA_VALID;
		push(&f, &o);
		while (receive(&f, 0) != 0) {
			ck_assert_uint_eq(hdr[0] & VDEV_NET_DATA_VALID, 0);
			CLAUSE("net/rx-packets/D27");
		}
	}
	/* No tunnel, and yet its flag. */
	make(&kinds[4]);
	o = packet.offload;
	o.flags |= VDEV_NET_UDP_TUNNEL_CSUM;
	push(&f, &o);
	while (receive(&f, 0) != 0) {
		ck_assert_uint_eq(hdr[0] & VDEV_NET_UDP_TUNNEL_CSUM, 0);
		if (_i / 2)
			CLAUSE("net/rx-packets/D11");
	}
	/* Sums that somebody has looked at are said to be valid, and no others: neither right ones nor wrong ones. */
	make(&kinds[0]);
	fill_in(packet.b, packet.len, packet.th, packet.offload.csum_offset);
	o = none;
	o.flags = VDEV_NET_DATA_VALID;
	push(&f, &o);
	ck_assert_uint_eq(receive(&f, 0), packet.len);
	ck_assert_uint_eq(hdr[0], VDEV_NET_DATA_VALID);
	CLAUSE("net/rx-packets/D26a");
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		packet.b[packet.len - 1] ^= (uint8_t)wrong;
		push(&f, &none);
		ck_assert_uint_eq(receive(&f, 0), packet.len);
		ck_assert_uint_eq(hdr[0], 0);
		CLAUSE("net/rx-packets/D26b");
		CLAUSE("net/rx-packets/D16");
		ck_assert_mem_eq(got, packet.b, packet.len);
	}
	net_fini(&f);
}
END_TEST

/* Instead of where a checksum is, a driver that wants it is told how many segments a frame stands for. */
START_TEST(segments_are_reported)
{
	struct net_fixture f;

	net_init(&f, _i, 0);
	want(&f, ALL);
	net_want(&f, VDEV_NET_F_RSC_EXT);
	f.hdr = 24;
	f.cfg.queue_size = 64;
	net_start(&f);
	for (unsigned i = 0; i < BUFFERS; i++)
		net_buffer(&f, 0, 4096, 1 + i % 2);
	for (unsigned i = 0; i < KINDS; i++) {
		static const unsigned sizes[][2] = {{1000, 3}, {1024, 3}, {1504, 2}, {3000, 1}, {65528, 1}};

		make(&kinds[i]);
		for (unsigned j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			if (kinds[i].gso != 0)
				packet.offload.gso_size = (uint16_t)sizes[j][0];
			push(&f, &packet.offload);
			ck_assert_uint_eq(receive(&f, 0), packet.len);
			ck_assert_uint_eq(hdr[1], packet.offload.gso_type);
			if (kinds[i].gso == 0) {
				ck_assert_uint_eq(hdr[0], packet.offload.flags);
				ck_assert_uint_eq(le16(hdr + 6), packet.offload.csum_start);
				ck_assert_uint_eq(le16(hdr + 8), packet.offload.csum_offset);
				CLAUSE("net/rx-packets/D15");
				continue;
			}
			ck_assert_uint_eq(hdr[0], packet.offload.flags | VDEV_NET_RSC_INFO);
			ck_assert_uint_eq(le16(hdr + 4), sizes[j][0]);
			ck_assert_uint_eq(le16(hdr + 6), sizes[j][1]);
			ck_assert_uint_eq(le16(hdr + 8), 0);
			CLAUSE("net/rx-packets/D23");
		}
	}
	/* Of the smallest size of all there are more than can be said, were it not for what a frame may be long. */
	make(&kinds[4]);
	packet.offload.gso_size = 1;
	push(&f, &packet.offload);
	ck_assert_uint_eq(receive(&f, 0), packet.len);
	ck_assert_uint_eq(le16(hdr + 6), 3000);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_offload");
	TCase *tc = tcase_create("net_offload");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, taken_as_negotiated, 0, 2 * SETS);
	tcase_add_loop_test(tc, header_lengths, 0, 2);
	tcase_add_loop_test(tc, flags_out_of_place, 0, 4);
	tcase_add_loop_test(tc, segments_are_reported, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
