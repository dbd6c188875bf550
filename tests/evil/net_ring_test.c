/* SPDX-License-Identifier: BSD-3-Clause */
/* What drivers did to the rings of other network devices, and how those did. _i & 1: packed. */
#include <string.h>

#include "check_main.h"
#include "net_evil.h"

/* A chain of total bytes in pieces of piece each, from memory of the guest; what it is sent as, or that it is not. */
static void send_in_pieces(struct net_fixture *f, uint32_t total, uint32_t piece)
{
	struct virtq_seg seg[64];
	uint32_t n = 0, before = (uint32_t)counters(f).malformed, written = 99;
	uint64_t gpa;
	uint8_t *p;

	f->at = 1 << 20;
	p = net_alloc(f, total, &gpa);
	fill(p, total, (uint8_t)total);
	memset(p, 0, total < f->hdr ? total : f->hdr);
	for (uint32_t at = 0; at < total; at += (uint32_t)seg[n++].len)
		seg[n] = (struct virtq_seg){gpa + at, total - at < piece ? total - at : piece};
	ck_assert_uint_le(n, 63);
	if (n == 0)
		seg[n++] = (struct virtq_seg){gpa, 0};
	offer(f, 1, seg, n, 0);
	ck_assert_int_eq(net_sent(f, 0, &written), 1);
	ck_assert_uint_eq(written, 0);
	if (total < f->hdr + VDEV_NET_ETH) {
		ck_assert_uint_eq(f->netif.nsent, 0);
		ck_assert_uint_eq(counters(f).malformed, before + 1);
		return;
	}
	ck_assert_uint_eq(f->netif.nsent, 1);
	ck_assert_uint_eq(f->netif.sent[0].len, total - f->hdr);
	ck_assert_mem_eq(f->netif.sent[0].bytes, p + f->hdr, total - f->hdr);
	fake_netif_clear(&f->netif);
}

/* Headers of all lengths that there are. */
static void want_header(struct net_fixture *f, unsigned which)
{
	if (which >= 1) {
		net_want(f, VDEV_NET_F_CTRL_VQ);
		net_want(f, VDEV_NET_F_HASH_REPORT);
		f->hdr = 20;
	}
	if (which >= 2) {
		net_want(f, VDEV_NET_F_CSUM);
		net_want(f, VDEV_NET_F_HOST_TSO4);
		net_want(f, VDEV_NET_F_HOST_TSO6);
		net_want(f, VDEV_NET_F_HOST_USO);
		net_want(f, VDEV_NET_F_HOST_UDP_TUNNEL_GSO);
		f->hdr = 24;
	}
}

START_TEST(CVE_2022_2132)
{
	struct net_fixture f;

	net_init(&f, _i & 1, 0);
	want_header(&f, (unsigned)_i / 2);
	f.cfg.queue_size = 64;
	net_start(&f);
	for (uint32_t piece = 1; piece <= 27; piece++)
		for (uint32_t total = 0; total <= 62; total++)
			send_in_pieces(&f, total, piece);
	works(&f);
	net_fini(&f);
}
END_TEST

/* Too short, in one piece and next to good ones: each is used, and the others go. */
START_TEST(QEMU_d4f471eb7e)
{
	static uint8_t frame[LONG];
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	for (uint32_t len = 1; len < HDR + VDEV_NET_ETH; len++) {
		uint64_t malformed = counters(&f).malformed;
		struct virtq_seg seg = {.len = len};

		f.at = 1 << 20;
		for (unsigned i = 0; i < 6; i++) {
			if (i % 3 == 1) {
				(void)net_alloc(&f, len, &seg.addr);
				ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 1), &seg, 1, 0, &f), 0);
			} else {
				fill(frame, LONG, (uint8_t)i);
				net_send(&f, 0, no_hdr, frame, LONG, NULL);
			}
		}
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		ck_assert_uint_eq(f.netif.nsent, 4);
		ck_assert_uint_eq(counters(&f).malformed, malformed + 2);
		for (unsigned i = 0, k = 0; i < 6; i++) {
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			fill(frame, LONG, (uint8_t)i);
			if (i % 3 != 1)
				ck_assert_mem_eq(f.netif.sent[k++].bytes, frame, LONG);
		}
		fake_netif_clear(&f.netif);
	}
	works(&f);
	net_fini(&f);
}
END_TEST

/* Again and again: nothing stays out, nothing stalls. */
START_TEST(CVE_2015_7295)
{
	static uint8_t frame[BUFFER];
	struct vdev_net_counters n;
	struct net_fixture f;
	struct vdev_frame fr;
	struct virtq_iov iov;

	net_init(&f, _i & 1, 0);
	if (_i & 2)
		net_want(&f, VDEV_NET_F_MRG_RXBUF);
	f.cfg.queue_size = 32;
	net_start(&f);
	for (unsigned i = 0; i < 16; i++)
		(void)net_buffer(&f, 0, 1 + i * 4, 1 + i % 2);
	fr = net_frame(&iov, frame, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_null(net_received(&f, 0, NULL));
	}
	n = counters(&f);
	ck_assert_uint_eq(_i & 2 ? n.no_buffers : n.too_short, 1000);
	ck_assert_uint_eq(n.received, 0);
	/* what fits is received, in the very same buffers */
	fr = net_frame(&iov, frame, 14);
	if (_i & 2) {
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_nonnull(net_received(&f, 0, NULL));
	}
	works_after_reset(&f);
	net_fini(&f);
}
END_TEST

/* A frame takes several buffers, and one of them is nowhere: the frame is not seen, and all comes back. */
static void nowhere_in_the_middle(int way, uint32_t good, uint64_t nowhere)
{
	struct virtq_seg seg = {.addr = nowhere, .len = 100};
	static uint8_t frame[1000];
	uint8_t *buffer[8], untouched[100];
	struct net_fixture f;
	struct vdev_frame fr;
	struct virtq_iov iov;

	net_init(&f, way & 1, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	if (way & 2)
		net_want(&f, VIRTQ_F_IN_ORDER);
	net_start(&f);
	for (uint32_t i = 0; i < good; i++) {
		buffer[i] = net_buffer(&f, 0, 100, 1 + i % 2);
		memset(buffer[i], 0xee, 100);
	}
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &seg, 0, 1, &f), 0);
	(void)net_buffer(&f, 0, 1000, 1);
	fr = net_frame(&iov, frame, 1000);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_int_eq(broken(&f), 1);
	ck_assert_ptr_null(net_received(&f, 0, NULL));
	memset(untouched, 0xee, sizeof(untouched));
	for (uint32_t i = 0; i < good; i++)
		ck_assert_mem_eq(buffer[i], untouched, 100);
	ck_assert_uint_eq(counters(&f).received, 0);
	/* more of them change nothing */
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	works_after_reset(&f);
	net_fini(&f); /* which would find memory that is still referred to */
}

START_TEST(CVE_2022_26353)
{
	for (uint32_t good = 0; good < 8; good++)
		nowhere_in_the_middle(_i, good, UINT64_C(1) << 40);
}
END_TEST

/* The header's count of buffers is written with the header: never later, never alone. */
START_TEST(CVE_2021_3748)
{
	for (uint32_t good = 1; good < 8; good++)
		nowhere_in_the_middle(_i, good, NET_GPA + NET_BYTES - 50);
}
END_TEST

/* A bad buffer, taken for a frame that then is dropped: the one before it is not lost without a word. */
START_TEST(bad_buffer_behind_good_one)
{
	struct virtq_seg seg = {.addr = UINT64_C(1) << 40, .len = 4096};
	static uint8_t frame[VDEV_NET_MAX_FRAME + 1];
	struct virtq_iov iov[2];
	struct net_fixture f;
	struct vdev_frame fr[2];

	net_init(&f, _i & 1, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	if (_i & 2)
		net_want(&f, VIRTQ_F_IN_ORDER);
	net_start(&f);
	(void)net_buffer(&f, 0, 4096, 2);
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &seg, 0, 1, &f), 0);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	fr[0] = net_frame(&iov[0], frame, 100);
	fr[1] = net_frame(&iov[1], frame, sizeof(frame));
	ck_assert_uint_eq(net_push(&f, fr, 2), 2);
	ck_assert_int_eq(broken(&f), 1);
	works_after_reset(&f);
	net_fini(&f);
}
END_TEST

/* The longest header, and frames as short as they may be behind it. */
START_TEST(CVE_2023_6693)
{
	struct net_fixture f;
	uint8_t *p;

	for (unsigned which = 1; which < 3; which++) {
		struct vdev_frame fr;
		struct virtq_iov iov;
		static uint8_t frame[LONG];

		net_init(&f, _i, 0);
		want_header(&f, which);
		f.cfg.queue_size = 64;
		net_start(&f);
		for (uint32_t total = f.hdr - 1; total <= f.hdr + 20; total++) {
			send_in_pieces(&f, total, 1 << 16);
			send_in_pieces(&f, total, HDR);
			send_in_pieces(&f, total, f.hdr);
			send_in_pieces(&f, total, 5);
		}
		/* and as much is written, all of it, where it is received */
		f.at = 2 << 20;
		p = net_buffer(&f, 0, f.hdr + LONG, 1);
		memset(p, 0xee, f.hdr + LONG);
		fr = net_frame(&iov, frame, LONG);
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_eq(net_received(&f, 0, NULL), p);
		ck_assert_mem_eq(p + 12, no_hdr, f.hdr - 12);
		works(&f);
		net_fini(&f);
	}
}
END_TEST

static void *no_memory(void *ctx, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	return NULL;
}

/* A chain of n pieces of len each, all the same memory. */
static void send_huge(struct net_fixture *f, uint32_t n, uint32_t len)
{
	static struct virtq_seg seg[512];

	for (uint32_t i = 0; i < n; i++)
		seg[i] = (struct virtq_seg){NET_GPA + NET_BYTES - len, len};
	offer(f, 1, seg, n, 0);
}

/* As long as a chain can be, without a byte of memory for it. */
START_TEST(FC_4526)
{
	struct net_fixture f;

	net_init(&f, _i, 0);
	f.net_cfg.queue_max = 512;
	f.cfg.queue_size = 512;
	net_start(&f);
	f.env.alloc = no_memory; /* the device has its own copy; whoever asks now has ours */
	send_huge(&f, 1, HDR + VDEV_NET_MAX_FRAME + 1);
	send_huge(&f, 2, HDR + VDEV_NET_MAX_FRAME);
	send_huge(&f, 1, 8 << 20);
	send_huge(&f, 100, 8 << 20);
	send_huge(&f, 2, UINT16_MAX);
	ck_assert_uint_eq(counters(&f).malformed, 5);
	ck_assert_uint_eq(f.netif.nsent, 0);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	works(&f);
	net_fini(&f);
}
END_TEST

/* Let descriptors that say they are of one length say another. */
static void relabel(struct net_fixture *f, uint32_t from, uint32_t to)
{
	struct virtq_state at;
	uint8_t *p;

	virtq_drv_state(vdev_loopback_drv(f->l, 1), &at);
	p = f->memory + (at.desc - NET_GPA);
	for (uint32_t i = 0; i < at.size; i++, p += VIRTQ_DESC_BYTES)
		if (memcmp(p + 8, &from, sizeof(from)) == 0)
			memcpy(p + 8, &to, sizeof(to));
}

/* Sums near and above what 31 and 32 bits hold, which are a frame's length when they wrap round. */
START_TEST(QEMU_b528bb2840)
{
	enum { PIECE = 8 << 20, SOME = 0x1234, LAST = 0x1235 };
	static const uint32_t over[] = {0, 1, HDR, HDR + VDEV_NET_ETH, HDR + LONG, BUFFER};
	static struct virtq_seg seg[513];
	struct net_fixture f;

	for (unsigned bits = 31; bits <= 32; bits++) {
		for (size_t k = 0; k < sizeof(over) / sizeof(over[0]); k++) {
			uint32_t n = 1;

			net_init(&f, _i, 0);
			f.net_cfg.queue_max = 1024;
			f.cfg.queue_size = 1024;
			net_start(&f);
			seg[0] = (struct virtq_seg){NET_GPA + (1 << 20), HDR};
			for (; n < (UINT64_C(1) << bits) / PIECE; n++)
				seg[n] = (struct virtq_seg){NET_GPA + (1 << 20), SOME};
			seg[n++] = (struct virtq_seg){NET_GPA + (1 << 20), LAST};
			ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 1), seg, n, 0, &f), 0);
			relabel(&f, SOME, PIECE);
			relabel(&f, LAST, PIECE - HDR + over[k]);
			virtq_drv_publish(vdev_loopback_drv(f.l, 1));
			vdev_loopback_kick(f.l, 1);
			net_run(&f);
			ck_assert_uint_eq(f.netif.nsent, 0);
			ck_assert_int_eq(broken(&f), bits == 32);
			if (bits == 31) {
				ck_assert_uint_eq(counters(&f).malformed, 1);
				ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			}
			works_after_reset(&f);
			net_fini(&f);
		}
	}
}
END_TEST

/* What the driver did not accept it is not given, whatever was offered; nor does it get away with asking for it. */
START_TEST(FC_4680)
{
	static const uint8_t kinds[] = {VDEV_NET_GSO_TCPV4, VDEV_NET_GSO_TCPV6, VDEV_NET_GSO_UDP,
	                                VDEV_NET_GSO_UDP_L4, VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN};
	static uint8_t frame[3000];
	struct net_fixture f;
	struct virtq_iov iov;
	uint32_t written;
	uint8_t *p;

	net_init(&f, _i, 0);
	f.cfg.queue_size = 64;
	net_start(&f);
	fill(frame, sizeof(frame), 3);
	memcpy(frame + 12, (uint8_t[]){8, 0, 0x45, 0, 0x0b, 0xaa, 0, 1, 0, 0, 64, 6, 0, 0}, 14);
	frame[46] = 0x50; /* TCP header of 20 bytes */
	for (size_t i = 0; i <= sizeof(kinds); i++) {
		struct vdev_frame fr = net_frame(&iov, frame, sizeof(frame));
		uint64_t malformed = counters(&f).malformed;
		uint8_t hdr[HDR] = {VDEV_NET_NEEDS_CSUM, i ? kinds[i - 1] : 0, 54, 0, 200, 0, 34, 0, 16};

		f.at = 1 << 20;
		for (unsigned k = 0; k < 20; k++)
			(void)net_buffer(&f, 0, BUFFER, 1);
		fr.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
		                                       .gso_type = i ? kinds[i - 1] : 0,
		                                       .hdr_len = 54,
		                                       .gso_size = 200,
		                                       .csum_start = 34,
		                                       .csum_offset = 16};
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		while ((p = net_received(&f, 0, &written)) != NULL) {
			ck_assert_uint_eq(p[0], 0);
			ck_assert_uint_eq(p[1], 0);
			ck_assert_uint_le(written, BUFFER);
		}
		net_send(&f, 0, hdr, frame, sizeof(frame), NULL);
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
		ck_assert_uint_eq(f.netif.nsent, 0);
		ck_assert_uint_eq(counters(&f).malformed, malformed + 1);
		works_after_reset(&f);
	}
	ck_assert_uint_gt(counters(&f).segmented, 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil net ring");
	TCase *tc = tcase_create("evil net ring");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, CVE_2022_2132, 0, 6);
	tcase_add_loop_test(tc, QEMU_d4f471eb7e, 0, 2);
	tcase_add_loop_test(tc, CVE_2015_7295, 0, 4);
	tcase_add_loop_test(tc, CVE_2022_26353, 0, 4);
	tcase_add_loop_test(tc, bad_buffer_behind_good_one, 0, 4);
	tcase_add_loop_test(tc, CVE_2021_3748, 0, 4);
	tcase_add_loop_test(tc, CVE_2023_6693, 0, 2);
	tcase_add_loop_test(tc, FC_4526, 0, 2);
	tcase_add_loop_test(tc, QEMU_b528bb2840, 0, 2);
	tcase_add_loop_test(tc, FC_4680, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
