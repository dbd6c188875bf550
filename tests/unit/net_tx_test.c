/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what the driver sends. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_fixture.h"

static const uint8_t no_hdr[24];

static void fill(uint8_t *frame, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
}

/* Send one frame and check that it came out, whole. */
static void send_one(struct net_fixture *f, uint32_t len, const uint32_t *cut)
{
	static uint8_t frame[VDEV_NET_MAX_FRAME];
	uint32_t written = 99;

	fill(frame, len, (uint8_t)len);
	net_send(f, 0, no_hdr, frame, len, cut);
	vdev_loopback_kick(f->l, 1);
	net_run(f);
	ck_assert_uint_eq(f->netif.nsent, 1);
	ck_assert_uint_eq(f->netif.sent[0].len, len);
	ck_assert_mem_eq(f->netif.sent[0].bytes, frame, len);
	ck_assert_int_eq(net_sent(f, 0, &written), 1);
	ck_assert_uint_eq(written, 0);
	fake_netif_clear(&f->netif);
}

/* Header and frame split over descriptors in every way, around the places that matter. */
START_TEST(frames_in_any_pieces)
{
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	for (uint32_t a = 1; a < 40; a++) {
		for (uint32_t b = 1; b < 20; b += 3) {
			const uint32_t cut[16] = {a, b};

			f.at = 1 << 20;
			send_one(&f, 60, cut);
		}
	}
	send_one(&f, 60, NULL);
	send_one(&f, 14, NULL);
	send_one(&f, 1514, (const uint32_t[16]){12});
	send_one(&f, 1514, (const uint32_t[16]){12, 14, 20, 20});
	f.at = 1 << 20;
	send_one(&f, VDEV_NET_MAX_FRAME, NULL);
	send_one(&f, VDEV_NET_MAX_FRAME, (const uint32_t[16]){12, 1, 1, 4096, 4096});
	net_fini(&f);
}
END_TEST

/* Frames of every length up to one page, and a burst of several: each taken with its neighbours. */
START_TEST(bursts)
{
	static uint8_t frame[64];
	struct vdev_net_counters n;
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	for (uint8_t i = 0; i < 10; i++) {
		fill(frame, sizeof(frame), i);
		net_send(&f, 0, no_hdr, frame, sizeof(frame), NULL);
	}
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.netif.nsent, 10);
	ck_assert_uint_eq(f.netif.sends, 1);
	for (uint8_t i = 0; i < 10; i++) {
		fill(frame, sizeof(frame), i);
		ck_assert_mem_eq(f.netif.sent[i].bytes, frame, sizeof(frame));
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	}
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.sent, 10);
	ck_assert_uint_eq(n.sent_bytes, 640);
	ck_assert_uint_eq(f.interrupts[1], 1);
	net_fini(&f);
}
END_TEST

/* What the netif does not take stays in the ring, and comes again by itself, in order. */
START_TEST(not_taken_comes_again)
{
	static uint8_t frame[64];
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	f.netif.take = 3;
	for (uint8_t i = 0; i < 8; i++) {
		fill(frame, sizeof(frame), i);
		net_send(&f, 0, no_hdr, frame, sizeof(frame), NULL);
	}
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.netif.nsent, 3);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 3);
	ck_assert_uint_ne(vdev_queue_deadline(f.v, 1), UINT64_MAX);
	f.now = vdev_queue_deadline(f.v, 1);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 6);
	f.netif.take = UINT32_MAX;
	f.netif.sink->writable(f.netif.sink->ctx);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 8);
	for (uint8_t i = 0; i < 8; i++) {
		fill(frame, sizeof(frame), i);
		ck_assert_mem_eq(f.netif.sent[i].bytes, frame, sizeof(frame));
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	}
	net_fini(&f);
}
END_TEST

/* Where there is no clock what the netif does not take is lost, and what comes behind it is served all the same. */
START_TEST(not_taken_without_a_clock)
{
	static const uint8_t no_kind[24] = {1, 2};
	static uint8_t frame[64];
	const uint32_t whole[16] = {0}, apart[16] = {12};
	struct vdev_net_counters n;
	struct net_fixture f;

	net_init(&f, _i % 2, 0);
	f.env.now = NULL;
	net_start(&f);
	f.netif.take = 1;
	for (uint8_t i = 0; i < 5; i++) {
		fill(frame, sizeof(frame), i);
		net_send(&f, 0, i == 2 ? no_kind : no_hdr, frame, sizeof(frame), _i < 2 ? apart : whole);
	}
	vdev_loopback_kick(f.l, 1);
	for (uint8_t i = 0; i < 5; i++)
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	ck_assert_uint_eq(f.netif.nsent, 2);
	fill(frame, sizeof(frame), 0);
	ck_assert_mem_eq(f.netif.sent[0].bytes, frame, sizeof(frame));
	fill(frame, sizeof(frame), 3);
	ck_assert_mem_eq(f.netif.sent[1].bytes, frame, sizeof(frame));
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.malformed, 1);
	ck_assert_uint_eq(n.sent, 2);
	ck_assert_uint_eq(n.sent_bytes, 128);
	ck_assert_uint_eq(n.lost, 2);
	net_fini(&f);
}
END_TEST

struct offload_case {
	uint8_t hdr[12];
	int csum;           /* CSUM is wanted */
	uint32_t wanted[2]; /* and these; 0: none */
	int goes;
};

static const struct offload_case offloads[] = {
	{{1, 0, 0, 0, 0, 0, 34, 0, 16, 0}, 1, {0}, 1},
	{{1, 0, 0, 0, 0, 0, 34, 0, 16, 0}, 0, {0}, 0},       /* not negotiated */
	{{1, 0, 0, 0, 0, 0, 255, 255, 16, 0}, 1, {0}, 0},    /* start behind the end */
	{{1, 0, 0, 0, 0, 0, 98, 0, 1, 0}, 1, {0}, 0},        /* sum across the end */
	{{1, 0, 0, 0, 0, 0, 98, 0, 0, 0}, 1, {0}, 1},        /* sum just before it */
	{{1, 0, 0, 0, 0, 0, 255, 255, 255, 255}, 1, {0}, 0}, /* both */
	{{1, 1, 54, 0, 200, 0, 34, 0, 16, 0}, 1, {0}, 0},    /* no TSO4 */
	{{1, 1, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 1},
	{{1, 1, 54, 0, 0, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0},  /* size 0 */
	{{0, 1, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0}, /* no sum */
	{{1, 2, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0}, /* no kind */
	{{1, 0x81, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0},
	{{1, 0x81, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4, VDEV_NET_F_HOST_ECN}, 1},
	{{1, 4, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0},
	{{1, 4, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO6}, 1},
	{{1, 3, 54, 0, 20, 0, 34, 0, 6, 0}, 1, {VDEV_NET_F_HOST_UFO}, 1},
	{{1, 5, 54, 0, 20, 0, 34, 0, 6, 0}, 1, {VDEV_NET_F_HOST_USO}, 1},
	{{1, 5, 54, 0, 20, 0, 34, 0, 6, 0}, 1, {VDEV_NET_F_HOST_UFO}, 0},
	{{1, 0x21, 54, 0, 20, 0, 34, 0, 16, 0}, 1, {VDEV_NET_F_HOST_TSO4}, 0},
	{{0xf0, 0, 1, 2, 3, 4, 255, 255, 255, 255}, 1, {0}, 1}, /* flags nobody knows */
};

/* Offloads follow what was accepted, and what makes no sense costs the frame, not the queue. */
START_TEST(offloads_are_checked)
{
	const struct offload_case *c = &offloads[_i];
	static uint8_t frame[100];
	struct vdev_net_counters n;
	struct net_fixture f;

	net_init(&f, 0, 0);
	if (c->csum)
		net_want(&f, VDEV_NET_F_CSUM);
	for (int i = 0; i < 2; i++)
		if (c->wanted[i] != 0)
			net_want(&f, c->wanted[i]);
	net_start(&f);
	net_send(&f, 0, c->hdr, frame, sizeof(frame), NULL);
	net_send(&f, 0, no_hdr, frame, sizeof(frame), NULL);
	vdev_loopback_kick(f.l, 1);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, c->goes ? 2 : 1);
	if (c->goes && c->hdr[0] & 1) {
		const struct vdev_net_offload *o = &f.netif.sent[0].offload;

		ck_assert_uint_eq(o->flags, 1);
		ck_assert_uint_eq(o->gso_type, c->hdr[1]);
		ck_assert_uint_eq(o->gso_size, c->hdr[4]);
		ck_assert_uint_eq(o->csum_start, c->hdr[6]);
		ck_assert_uint_eq(o->csum_offset, c->hdr[8]);
	} else {
		/* without the flag its fields are nobody's business */
		ck_assert_uint_eq(f.netif.sent[0].offload.flags, 0);
		ck_assert_uint_eq(f.netif.sent[0].offload.csum_start, 0);
	}
	CLAUSE("net/tx-packets/D1");
	CLAUSE("net/tx-packets/D2");
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.malformed, c->goes ? 0 : 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 1), 0);
	net_fini(&f);
}
END_TEST

/* Shorter than the header, than an Ethernet header, longer than any frame, with writable parts, in far too many pieces. */
START_TEST(chains_that_are_no_frames)
{
	static uint8_t big[VDEV_NET_MAX_FRAME + 1];
	struct vdev_net_counters n;
	struct virtq_seg seg[2];
	struct net_fixture f;
	struct virtq_drv *drv;
	unsigned bad = 0;

	net_init(&f, _i, 0);
	net_start(&f);
	drv = vdev_loopback_drv(f.l, 1);
	(void)net_alloc(&f, 4096, &seg[0].addr);
	for (uint32_t len = 1; len < 12 + 14; len++, bad++) {
		seg[0].len = len;
		ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 0, &f), 0);
		vdev_loopback_kick(f.l, 1);
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	}
	seg[0].len = 200;
	ck_assert_int_eq(virtq_drv_add(drv, seg, 0, 1, &f), 0); /* nothing to read at all */
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	bad++;
	net_send(&f, 0, no_hdr, big, sizeof(big), NULL);
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	bad++;
	net_send(&f, 0, no_hdr, big, sizeof(big), (const uint32_t[16]){12});
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	bad++;
	ck_assert_uint_eq(f.netif.nsent, 0);
	seg[1] = seg[0]; /* a writable part is not looked at */
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, &f), 0);
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.netif.nsent, 1);
	ck_assert_uint_eq(f.netif.sent[0].len, 188);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.malformed, bad);
	ck_assert_int_eq(vdev_queue_broken(f.v, 1), 0);
	net_fini(&f);
}
END_TEST

/* The header is as long as what was negotiated says. */
START_TEST(longer_headers)
{
	static const uint32_t needs[] = {VDEV_NET_F_CSUM, VDEV_NET_F_HOST_TSO4, VDEV_NET_F_HOST_TSO6,
	                                 VDEV_NET_F_HOST_USO, VDEV_NET_F_HOST_UDP_TUNNEL_GSO};
	struct net_fixture f;

	net_init(&f, _i, 0);
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		net_want(&f, needs[i]);
	f.hdr = 24;
	net_start(&f);
	send_one(&f, 100, NULL);
	send_one(&f, 100, (const uint32_t[16]){12, 12});
	send_one(&f, 100, (const uint32_t[16]){24});
	net_fini(&f);
}
END_TEST

/* A queue whose channel can't be opened breaks that queue. */
START_TEST(no_channel)
{
	struct net_fixture f;

	net_init(&f, 0, 0);
	f.netif.open_error = VIRTQ_EIO;
	ck_assert_int_eq(vdev_net_new(&f.v, &f.env, &f.netif.netif, &f.net_cfg), 0);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	ck_assert_int_lt(vdev_loopback_start(f.l), 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_tx");
	TCase *tc = tcase_create("net_tx");

	tcase_add_loop_test(tc, frames_in_any_pieces, 0, 2);
	tcase_add_loop_test(tc, bursts, 0, 2);
	tcase_add_loop_test(tc, not_taken_comes_again, 0, 2);
	tcase_add_loop_test(tc, not_taken_without_a_clock, 0, 4);
	tcase_add_loop_test(tc, offloads_are_checked, 0, sizeof(offloads) / sizeof(offloads[0]));
	tcase_add_loop_test(tc, chains_that_are_no_frames, 0, 2);
	tcase_add_loop_test(tc, longer_headers, 0, 2);
	tcase_add_test(tc, no_channel);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
