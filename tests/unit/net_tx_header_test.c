/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what a driver that sends may say of a frame, and what is made of it; what other drivers are told then. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_fixture.h"
#include "net_packet.h"

enum {
	HDR = 24,
	PAYLOAD = 3000,
	FLAGS = 0,
	GSO_TYPE = 1,
	HDR_LEN = 2,
	OUTER_TH = 20,
	INNER_NH = 22
};

static struct packet packet;
static uint8_t hdr[HDR];

static void le16_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

/* A TCP frame, in a tunnel or not, and the header for it. */
static void make(unsigned outer, unsigned outer_sum)
{
	const struct packet_spec s = {.version = 4,
	                              .outer = outer,
	                              .outer_sum = outer_sum,
	                              .tcp = 1,
	                              .payload = PAYLOAD,
	                              .gso = VDEV_NET_GSO_TCPV4,
	                              .gso_size = 1000,
	                              .tcp_flags = 0x10,
	                              .id = 9};
	const struct vdev_net_offload *o = &packet.offload;

	packet_make(&packet, &s);
	memset(hdr, 0, sizeof(hdr));
	hdr[FLAGS] = o->flags;
	hdr[GSO_TYPE] = o->gso_type;
	le16_put(hdr + HDR_LEN, packet.payload_at);
	le16_put(hdr + 4, o->gso_size);
	le16_put(hdr + 6, o->csum_start);
	le16_put(hdr + 8, o->csum_offset);
	le16_put(hdr + OUTER_TH, o->outer_th);
	le16_put(hdr + INNER_NH, o->inner_nh);
}

/* A driver that may leave everything to be done; hdrlen: and promises that its hdr_len is right. */
static void sender(struct net_fixture *f, int packed, int hdrlen)
{
	static const uint32_t wanted[] = {
		VDEV_NET_F_CSUM,     VDEV_NET_F_HOST_TSO4,           VDEV_NET_F_HOST_TSO6,
		VDEV_NET_F_HOST_USO, VDEV_NET_F_HOST_UDP_TUNNEL_GSO, VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM};

	net_init(f, packed, 0);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		net_want(f, wanted[i]);
	if (hdrlen)
		net_want(f, VDEV_NET_F_GUEST_HDRLEN);
	f->hdr = HDR;
	net_start(f);
}

/* Send packet with hdr. Returns the frame as the netif got it, NULL: it was dropped. */
static const struct fake_sent *sends(struct net_fixture *f, const uint32_t *cut)
{
	fake_netif_clear(&f->netif);
	f->at = 1 << 20;
	net_send(f, 0, hdr, packet.b, packet.len, cut);
	vdev_loopback_kick(f->l, 1);
	ck_assert_int_eq(net_sent(f, 0, NULL), 1);
	ck_assert_int_eq(vdev_queue_broken(f->v, 1), 0);
	if (f->netif.nsent == 0)
		return NULL;
	ck_assert_uint_eq(f->netif.sent[0].len, packet.len);
	ck_assert_mem_eq(f->netif.sent[0].bytes, packet.b, packet.len);
	return &f->netif.sent[0];
}

/* Give what one driver sent to another, who takes no offloads: it becomes the segments it should. */
static void segments_are_right(struct net_fixture *to, const struct fake_sent *sent)
{
	static uint8_t copy[4096];
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, sent->bytes, sent->len);
	uint32_t written, payload = 0;
	uint8_t *p;

	fr.offload = sent->offload;
	to->at = 1 << 20;
	for (unsigned i = 0; i < 4; i++)
		(void)net_buffer(to, 0, 1600, 1);
	ck_assert_uint_eq(net_push(to, &fr, 1), 1);
	while ((p = net_received(to, 0, &written)) != NULL && payload < PAYLOAD) {
		const struct vdev_net_offload none = {.flags = p[0], .gso_type = p[1]};

		written -= 12;
		memcpy(copy, p + 12, written);
		ck_assert_ptr_null(packet_wrong(copy, written, &none));
		ck_assert_mem_eq(copy + packet.payload_at, packet.b + packet.payload_at + payload,
		                 written - packet.payload_at);
		payload += written - packet.payload_at;
	}
	ck_assert_uint_eq(payload, PAYLOAD);
	/* the buffer that was left over */
	fr = net_frame(&iov, packet.b, 60);
	ck_assert_uint_eq(net_push(to, &fr, 1), 1);
	ck_assert_ptr_nonnull(net_received(to, 0, &written));
}

/* hdr_len is no more than a hint, and what it is makes no difference here. */
START_TEST(lengths_are_a_hint)
{
	static const uint32_t said[] = {0, 1, 14, 53, 54, 55, 2000, 3054, 4000, 65535};
	struct net_fixture f, to;
	int hdrlen = _i / 2;

	sender(&f, _i & 1, hdrlen);
	net_init(&to, _i & 1, 0);
	net_start(&to);
	for (unsigned outer = 0; outer <= 4; outer += 4)
		for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
			const struct fake_sent *sent;

			make(outer, 1);
			le16_put(hdr + HDR_LEN, said[i]);
			sent = sends(&f, NULL);
			ck_assert_ptr_nonnull(sent);
			ck_assert_uint_eq(sent->offload.gso_type, packet.offload.gso_type);
			ck_assert_uint_eq(sent->offload.csum_start, packet.offload.csum_start);
			segments_are_right(&to, sent);
			CLAUSE("net/tx-packets/D7");
			if (hdrlen)
				CLAUSE("net/tx-packets/D5");
			else
				CLAUSE("net/tx-packets/D6");
		}
	net_fini(&f);
	net_fini(&to);
}
END_TEST

/* Places in a tunnel, of a frame that is in none. */
START_TEST(places_without_a_tunnel)
{
	static const uint32_t places[] = {0, 1, 34, 42, 3053, 65535};
	struct net_fixture f, to;

	sender(&f, _i, 0);
	net_init(&to, _i, 0);
	net_start(&to);
	make(0, 0);
	for (size_t i = 0; i < 36; i++) {
		const struct fake_sent *sent;

		le16_put(hdr + OUTER_TH, places[i / 6]);
		le16_put(hdr + INNER_NH, places[i % 6]);
		sent = sends(&f, NULL);
		ck_assert_ptr_nonnull(sent);
		ck_assert_uint_eq(sent->offload.outer_th, 0);
		ck_assert_uint_eq(sent->offload.inner_nh, 0);
		segments_are_right(&to, sent);
		CLAUSE("net/tx-packets/D9");
	}
	net_fini(&f);
	net_fini(&to);
}
END_TEST

/* Tunnels that make no sense: the frame is dropped, and the next one goes. */
START_TEST(tunnels_that_are_refused)
{
	static const uint32_t cuts[3][16] = {{0}, {HDR}, {3, 30}};
	const uint32_t *cut = cuts[_i / 2];
	struct vdev_net_counters n;
	struct net_fixture f;

	sender(&f, _i & 1, 0);
	make(4, 1);
	ck_assert_ptr_nonnull(sends(&f, cut));
	hdr[GSO_TYPE] |= VDEV_NET_GSO_TUNNEL;
	ck_assert_ptr_null(sends(&f, cut));
	CLAUSE("net/tx-packets/D8");
	make(4, 0);
	hdr[FLAGS] = 0;
	ck_assert_ptr_null(sends(&f, cut));
	CLAUSE("net/tx-packets/D10");
	make(4, 0);
	hdr[GSO_TYPE] = VDEV_NET_GSO_TUNNEL_V4;
	ck_assert_ptr_null(sends(&f, cut));
	CLAUSE("net/tx-packets/D10");
	make(4, 0);
	hdr[FLAGS] |= VDEV_NET_DATA_VALID;
	ck_assert_ptr_null(sends(&f, cut));
	CLAUSE("net/tx-packets/D10");
	for (unsigned kind = 0; kind < 2; kind++) {
		make(0, 0);
		hdr[FLAGS] |= VDEV_NET_UDP_TUNNEL_CSUM;
		hdr[GSO_TYPE] = kind == 0 ? VDEV_NET_GSO_NONE : VDEV_NET_GSO_TCPV4;
		ck_assert_ptr_null(sends(&f, cut));
		CLAUSE("net/tx-packets/D11");
	}
	make(4, 0);
	ck_assert_ptr_nonnull(sends(&f, cut));
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.malformed, 6);
	ck_assert_uint_eq(n.sent, 2);
	net_fini(&f);
}
END_TEST

/* A sum that is there may be wrong, and be said to be valid: whoever receives it isn't told so, and sees it as it is. */
START_TEST(sums_are_nobodys_word)
{
	struct net_fixture f, to;
	struct vdev_frame fr;
	struct virtq_iov iov;
	uint8_t *p;

	sender(&f, _i & 1, 0);
	net_init(&to, _i & 1, 0);
	net_want(&to, VDEV_NET_F_GUEST_CSUM);
	net_start(&to);
	for (unsigned flags = 0; flags < 256; flags++) {
		const struct fake_sent *sent;

		if (flags & (VDEV_NET_NEEDS_CSUM | VDEV_NET_UDP_TUNNEL_CSUM))
			continue;
		make(0, 0);
		packet.len = 1000;
		memset(hdr, 0, sizeof(hdr));
		hdr[FLAGS] = (uint8_t)flags;
		packet.b[packet.th + 16] ^= 0x5a;
		sent = sends(&f, NULL);
		ck_assert_ptr_nonnull(sent);
		ck_assert_uint_eq(sent->offload.flags, 0);
		fr = net_frame(&iov, sent->bytes, sent->len);
		fr.offload = sent->offload;
		to.at = 1 << 20;
		(void)net_buffer(&to, 0, 2048, 1);
		ck_assert_uint_eq(net_push(&to, &fr, 1), 1);
		p = net_received(&to, 0, NULL);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(p[0], 0);
		ck_assert_mem_eq(p + 12, packet.b, packet.len);
		CLAUSE("net/tx-packets/D12");
		CLAUSE("net/rx-packets/D26b");
	}
	net_fini(&f);
	net_fini(&to);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_tx_header");
	TCase *tc = tcase_create("net_tx_header");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, lengths_are_a_hint, 0, 4);
	tcase_add_loop_test(tc, places_without_a_tunnel, 0, 2);
	tcase_add_loop_test(tc, tunnels_that_are_refused, 0, 6);
	tcase_add_loop_test(tc, sums_are_nobodys_word, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
