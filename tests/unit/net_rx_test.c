/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what the driver receives. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_fixture.h"
#include "net_packet.h"

enum { HDR = 12, NUM_BUFFERS = 10 };

static void fill(uint8_t *frame, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Take a frame that was received in buffers of bytes each; checks all of it. Returns how many buffers. */
static unsigned expect(struct net_fixture *f, const uint8_t *frame, uint32_t len, uint32_t bytes)
{
	uint32_t at = 0, written;
	uint8_t *p = net_received(f, 0, &written);
	unsigned n;

	ck_assert_ptr_nonnull(p);
	n = le16(p + NUM_BUFFERS);
	for (unsigned i = 0; i < n; i++) {
		uint32_t skip = i == 0 ? HDR : 0;

		ck_assert_ptr_nonnull(p);
		if (i + 1 < n)
			ck_assert_uint_eq(written, bytes);
		ck_assert_uint_le(at + written - skip, len);
		ck_assert_mem_eq(p + skip, frame + at, written - skip);
		at += written - skip;
		if (i + 1 < n)
			p = net_received(f, 0, &written);
	}
	ck_assert_uint_eq(at, len);
	return n;
}

/* Frames of many lengths into merged buffers of many sizes, in pieces of their own. */
START_TEST(merged_buffers)
{
	static uint8_t frame[VDEV_NET_MAX_FRAME];
	static const uint32_t sizes[] = {13, 64, 100, 1500, 4096, 70000};
	static const uint32_t lens[] = {14, 52, 53, 60, 88, 89, 1488, 1489, 2989, 12000};
	struct net_fixture f;
	struct virtq_iov iov;

	net_init(&f, _i, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	f.net_cfg.queue_max = 1024;
	f.cfg.queue_size = 1024;
	net_start(&f);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
			struct vdev_frame fr = net_frame(&iov, frame, lens[l]);
			uint32_t need = (HDR + lens[l] + sizes[s] - 1) / sizes[s];

			if (need > 300)
				continue;
			f.at = 1 << 20;
			fill(frame, lens[l], (uint8_t)(s + l));
			for (uint32_t i = 0; i < need + 1; i++)
				net_buffer(&f, 0, sizes[s], 1 + (i + (uint32_t)l) % 3);
			ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
			ck_assert_uint_eq(expect(&f, frame, lens[l], sizes[s]), need);
			CLAUSE("net/rx-buffers/D1");
			CLAUSE("net/rx-packets/D2");
			CLAUSE("net/rx-packets/D3");
			/* the one that was left over goes back, and is used the next time */
			fr = net_frame(&iov, frame, 14);
			if (sizes[s] < HDR + 14)
				net_buffer(&f, 0, sizes[s], 1);
			ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
			(void)expect(&f, frame, 14, sizes[s]);
		}
	}
	net_fini(&f);
}
END_TEST

/* Longest frames, several in a burst: more buffers than are taken at a time. */
START_TEST(many_long_frames)
{
	static uint8_t frame[4][65000];
	struct vdev_frame frames[4];
	struct virtq_iov iov[4];
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	f.cfg.queue_size = 1024;
	net_start(&f);
	for (unsigned i = 0; i < 1000; i++)
		net_buffer(&f, 0, 520, 1);
	for (unsigned i = 0; i < 4; i++) {
		fill(frame[i], sizeof(frame[i]), (uint8_t)i);
		frames[i] = net_frame(&iov[i], frame[i], sizeof(frame[i]));
	}
	ck_assert_uint_eq(net_push(&f, frames, 4), 4);
	ck_assert_uint_eq(f.interrupts[0], 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(expect(&f, frame[i], sizeof(frame[i]), 520), 126);
	net_fini(&f);
}
END_TEST

/* One buffer a frame, however many pieces each has; a frame that does not fit is lost, and only it. */
START_TEST(single_buffers)
{
	static uint8_t frame[3000];
	struct vdev_net_counters n;
	struct vdev_frame frames[3];
	struct virtq_iov iov[3];
	struct net_fixture f;
	uint8_t *p;

	net_init(&f, _i, 0);
	net_start(&f);
	for (uint32_t pieces = 1; pieces <= 3; pieces++) {
		for (uint32_t i = 0; i < 2; i++)
			net_buffer(&f, 0, 1526, pieces);
		fill(frame, sizeof(frame), (uint8_t)pieces);
		frames[0] = net_frame(&iov[0], frame, 60);
		frames[1] = net_frame(&iov[1], frame, 1515); /* one byte too long */
		frames[2] = net_frame(&iov[2], frame, 1514);
		ck_assert_uint_eq(net_push(&f, frames, 3), 3);
		p = net_received(&f, 0, NULL);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(le16(p + NUM_BUFFERS), 1);
		CLAUSE("net/rx-packets/D1");
		ck_assert_mem_eq(p + HDR, frame, 60);
		p = net_received(&f, 0, NULL);
		ck_assert_ptr_nonnull(p);
		ck_assert_mem_eq(p + HDR, frame, 1514);
		ck_assert_ptr_null(net_received(&f, 0, NULL));
		CLAUSE("net/rx-buffers/D2");
	}
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.received, 6);
	ck_assert_uint_eq(n.too_short, 3);
	net_fini(&f);
}
END_TEST

/* No buffers, or too few: what is half in goes back as it was. */
START_TEST(too_few_buffers)
{
	static uint8_t frame[1000];
	struct vdev_net_counters n;
	struct net_fixture f;
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, 1000);

	net_init(&f, _i, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	net_start(&f);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	for (unsigned i = 0; i < 9; i++)
		net_buffer(&f, 0, 100, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_null(net_received(&f, 0, NULL));
	CLAUSE("net/rx-packets/D4");
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.no_buffers, 2);
	ck_assert_uint_eq(n.received, 0);
	for (unsigned i = 0; i < 2; i++)
		net_buffer(&f, 0, 100, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(expect(&f, frame, 1000, 100), 11);
	/* all that the ring holds would not do: it is not for this driver */
	for (unsigned i = 0; i < 16; i++)
		net_buffer(&f, 0, 50, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.too_short, 1);
	fr.len = 38;
	iov.len = 38;
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(expect(&f, frame, 38, 50), 1);
	net_fini(&f);
}
END_TEST

/* Before the driver is ready, after a reset, with the queue disabled: frames are lost, and counted. */
START_TEST(nobody_there)
{
	static uint8_t frame[60];
	struct vdev_net_counters n;
	struct net_fixture f;
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, 60);

	net_init(&f, _i, 0);
	ck_assert_int_eq(vdev_net_new(&f.v, &f.env, &f.netif.netif, &f.net_cfg), 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 1);
	ck_assert_int_eq(vdev_free(f.v), 0);
	net_start(&f);
	net_buffer(&f, 0, 1526, 1);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_null(net_received(&f, 0, NULL));
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_nonnull(net_received(&f, 0, NULL));
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 2);
	net_fini(&f);
}
END_TEST

/* A netif that is asked: frames for which there is no buffer wait, and its descriptor is not looked at meanwhile. */
START_TEST(polled)
{
	static uint8_t frame[5][60];
	struct virtq_iov iov[5];
	struct net_fixture f;

	net_init(&f, _i, 1);
	net_start(&f);
	for (unsigned i = 0; i < 5; i++) {
		fill(frame[i], 60, (uint8_t)i);
		f.netif.frames[i] = net_frame(&iov[i], frame[i], 60);
	}
	net_run(&f);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), 0);
	ck_assert_uint_ge(f.netif.armed, 1);
	f.netif.nframes = 5;
	for (unsigned i = 0; i < 3; i++)
		net_buffer(&f, 0, 1526, 1);
	net_run(&f);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), -1);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(expect(&f, frame[i], 60, 1526), 1);
	for (unsigned i = 0; i < 3; i++)
		net_buffer(&f, 0, 1526, 1);
	ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(f.l, 0)), 1);
	net_run(&f);
	for (unsigned i = 3; i < 5; i++)
		ck_assert_uint_eq(expect(&f, frame[i], 60, 1526), 1);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), 0);
	net_fini(&f);
}
END_TEST

/* From a netif that is gone come its last frames, and then nobody waits for it: that would never end. */
START_TEST(polled_to_the_end)
{
	static uint8_t frame[60];
	struct virtq_iov iov;
	struct net_fixture f;

	net_init(&f, _i, 1);
	net_start(&f);
	net_buffer(&f, 0, 1526, 1);
	net_run(&f);
	f.netif.frames[0] = net_frame(&iov, frame, 60);
	f.netif.nframes = 1;
	f.netif.over = VIRTQ_EIO;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 1);
	ck_assert_uint_eq(expect(&f, frame, 60, 1526), 1);
	f.netif.armed = 0;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f.netif.armed, 0);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), -1);
	net_fini(&f);
}
END_TEST

/* What the driver may be told of a frame, and what not. */
START_TEST(headers)
{
	static uint8_t frame[200];
	struct net_fixture f;
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, 200);
	uint8_t *p;

	net_init(&f, 0, 0);
	if (_i)
		net_want(&f, VDEV_NET_F_GUEST_CSUM);
	net_start(&f);
	net_buffer(&f, 0, 1526, 2);
	fr.offload = (struct vdev_net_offload){.flags = VDEV_NET_DATA_VALID};
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	p = net_received(&f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p[0], _i ? VDEV_NET_DATA_VALID : 0);
	ck_assert_uint_eq(p[1], 0);
	if (!_i) {
		CLAUSE("net/rx-packets/D5a");
		net_fini(&f);
		return;
	}
	net_buffer(&f, 0, 1526, 2);
	fr.offload = (struct vdev_net_offload){
		.flags = VDEV_NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	p = net_received(&f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p[0], VDEV_NET_NEEDS_CSUM);
	ck_assert_uint_eq(le16(p + 6), 34);
	ck_assert_uint_eq(le16(p + 8), 16);
	net_fini(&f);
}
END_TEST

static void tcp_right(const uint8_t *p, uint32_t len)
{
	ck_assert_uint_eq(packet_get16(p + 16), len - 14);
	ck_assert_uint_eq(packet_sum(p + 14, 20, 0), 0xffff);
	ck_assert_uint_eq(packet_sum(p + 34, len - 34, packet_sum(p + 26, 8, 6 + len - 34)), 0xffff);
}

/* What the driver has not negotiated is done for it: sums filled in, segments made; and what it has, is left to it. */
START_TEST(offloads_in_software)
{
	static uint8_t frame[4000];
	struct vdev_net_counters n;
	struct net_fixture f;
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, 54 + 3000);
	uint32_t written, at = 54;
	uint8_t *p;

	net_init(&f, _i & 1, 0);
	if (_i & 2)
		net_want(&f, VDEV_NET_F_MRG_RXBUF);
	if (_i & 4) {
		net_want(&f, VDEV_NET_F_GUEST_CSUM);
		net_want(&f, VDEV_NET_F_GUEST_TSO4);
	}
	net_start(&f);
	for (unsigned i = 0; i < 8; i++)
		net_buffer(&f, 0, _i & 4 ? 4000 : 1526, 1 + i % 2);
	packet_tcp(frame, 3000);
	fr.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                       .gso_type = VDEV_NET_GSO_TCPV4,
	                                       .hdr_len = 54,
	                                       .gso_size = 1400,
	                                       .csum_start = 34,
	                                       .csum_offset = 16};
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	if (_i & 4) {
		p = net_received(&f, 0, &written);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(written, HDR + fr.len);
		ck_assert_uint_eq(p[0], VDEV_NET_NEEDS_CSUM);
		ck_assert_uint_eq(p[1], VDEV_NET_GSO_TCPV4);
		ck_assert_uint_eq(le16(p + 4), 1400);
		ck_assert_mem_eq(p + HDR, frame, fr.len);
		CLAUSE("net/rx-packets/D22");
		net_fini(&f);
		return;
	}
	while ((p = net_received(&f, 0, &written)) != NULL) {
		ck_assert_uint_eq(p[0], 0);
		ck_assert_uint_eq(p[1], 0);
		CLAUSE("net/rx-packets/D6");
		tcp_right(p + HDR, written - HDR);
		CLAUSE("net/rx-packets/D5b");
		ck_assert_mem_eq(p + HDR + 54, frame + at, written - HDR - 54);
		at += written - HDR - 54;
	}
	ck_assert_uint_eq(at, 54 + 3000);
	/* one segment needs no segmentation, but its sum */
	packet_tcp(frame, 100);
	fr.len = 154;
	iov.len = 154;
	fr.offload.gso_type = 0;
	fr.offload.gso_size = 0;
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	p = net_received(&f, 0, &written);
	ck_assert_ptr_nonnull(p);
	tcp_right(p + HDR, written - HDR);
	/* headers that are not what the offload says */
	frame[14] = 0x40;
	fr.offload.gso_type = VDEV_NET_GSO_TCPV4;
	fr.offload.gso_size = 50;
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_null(net_received(&f, 0, NULL));
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.segmented, 1);
	ck_assert_uint_eq(n.summed, 1);
	ck_assert_uint_eq(n.unfit, 1);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_rx");
	TCase *tc = tcase_create("net_rx");

	tcase_add_loop_test(tc, merged_buffers, 0, 2);
	tcase_add_loop_test(tc, many_long_frames, 0, 2);
	tcase_add_loop_test(tc, single_buffers, 0, 2);
	tcase_add_loop_test(tc, too_few_buffers, 0, 2);
	tcase_add_loop_test(tc, nobody_there, 0, 2);
	tcase_add_loop_test(tc, polled, 0, 2);
	tcase_add_loop_test(tc, polled_to_the_end, 0, 2);
	tcase_add_loop_test(tc, headers, 0, 2);
	tcase_add_loop_test(tc, offloads_in_software, 0, 8);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
