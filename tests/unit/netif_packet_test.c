/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet socket back-end, on one end of a cable whose other end belongs to the kernel's network. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_packet.h>

#include "net_packet.h"
#include "netif_rig.h"

static void open_all(const struct vdev_netif_packet_config *cfg)
{
	rig_begin(vdev_netif_packet_refresh, 0);
	ns_enter();
	rig_cable(0, 1500);
	ck_assert_int_eq(vdev_netif_packet_new(&t.netif, vdev_env_hosted(), cfg), 0);
	open_channels(cfg->pairs > 0 ? cfg->pairs : 1);
}

static void setup(void)
{
	const struct vdev_netif_packet_config cfg = {.size = sizeof(cfg), .name = "ours"};

	open_all(&cfg);
}

START_TEST(host_to_device)
{
	struct vdev_frame f;
	const uint8_t *p;

	host_sends("hello", 5, 7);
	ck_assert_uint_eq(receive(&f, 1), 1);
	ck_assert_uint_eq(f.len, DATA + 5);
	p = bytes_of(&f);
	ck_assert_mem_eq(p, our_mac, 6);
	ck_assert_mem_eq(p + 6, t.mac, 6);
	ck_assert_mem_eq(p + DATA, "hello", 5);
	/* The kernel left the checksum to the cable's other end. */
	ck_assert_uint_eq(f.offload.flags, VDEV_NET_NEEDS_CSUM);
	ck_assert_uint_eq(f.offload.csum_start, UDP);
	ck_assert_uint_eq(f.offload.csum_offset, 6);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_uint_eq(counters().received, 1);
	ck_assert_uint_eq(counters().received_bytes, DATA + 5);
}
END_TEST

START_TEST(ring_goes_round)
{
	round_the_ring(1000);
}
END_TEST

/* What finds no room in the ring is counted, and the rest comes. */
START_TEST(ring_overflows)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .ring = 8, .frame_max = 2000};
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t got = 0;
	int n;

	teardown();
	open_all(&cfg);
	for (uint32_t i = 0; i < 3000; i++)
		host_sends(&i, sizeof(i), 7);
	while ((n = t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST)) > 0)
		got += (uint32_t)n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_ge(got, 8);
	ck_assert_uint_lt(got, 3000);
	ck_assert_uint_eq(counters().receive_dropped, 3000 - got);
	/* Told once only by the kernel. */
	ck_assert_uint_eq(counters().receive_dropped, 3000 - got);
	host_sends("again", 5, 7);
	receive(f, 1);
	ck_assert_mem_eq(bytes_of(f) + DATA, "again", 5);
}
END_TEST

/* Frames longer than the slots are dropped, not cut. */
START_TEST(long_frames)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .frame_max = 500};
	char data[1400];
	struct vdev_frame f;

	teardown();
	memset(data, 'x', sizeof(data));
	open_all(&cfg);
	host_sends(data, sizeof(data), 7);
	host_sends(data, 500 - DATA, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, 500);
	ck_assert_uint_eq(counters().receive_dropped, 1);
}
END_TEST

/* The kernel takes tags out of frames. They are back in what we hand on. */
START_TEST(tags_are_put_back)
{
	int s = host_raw();
	uint8_t bytes[100];
	struct vdev_frame f;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(bytes, our_mac, 6);
	memcpy(bytes + 6, t.mac, 6);
	packet_put16(bytes + 12, 0x8100);
	packet_put16(bytes + 14, 0x6123);
	packet_put16(bytes + 16, 0x88b5);
	ck_assert_int_eq(send(s, bytes, sizeof(bytes), 0), 100);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, 100);
	ck_assert_uint_eq(f.niov, 3);
	ck_assert_mem_eq(bytes_of(&f), bytes, 100);
	close(s);
}
END_TEST

START_TEST(device_to_host)
{
	many_to_host();
}
END_TEST

/* Frames of one byte a piece: several share a call, one has more than a call takes. */
START_TEST(device_sends_many_pieces)
{
	enum { LEN = DATA + 1400 };
	static uint8_t bytes[LEN];
	static char data[1400];
	static struct virtq_iov iov[8][LEN];
	static const uint32_t niov[8] = {1, 500, 400, 121, 1023, 1024, LEN, 2};
	struct vdev_frame f[8];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	datagram(bytes, t.mac, data, sizeof(data));
	for (uint32_t k = 0; k < 8; k++) {
		for (uint32_t i = 0; i < niov[k]; i++)
			iov[k][i] = (struct virtq_iov){&bytes[i], i + 1 < niov[k] ? 1 : LEN - i};
		f[k] =
			(struct vdev_frame){.iov = iov[k], .niov = niov[k], .len = LEN, .offload = needs_csum};
	}
	send_frames(f, 8);
	for (uint32_t k = 0; k < 8; k++)
		expect_at_host(data, sizeof(data));
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

/* What the kernel refuses costs itself only, wherever in the burst it stands. */
START_TEST(refused_frames_are_dropped)
{
	static uint8_t bytes[4000];
	char data[3000] = "good";
	uint32_t len = datagram(bytes, t.mac, data, 4);
	static uint8_t too_long[4000];
	uint32_t long_len = datagram(too_long, t.mac, data, 3000);
	const struct virtq_iov good_iov = {bytes, len}, long_iov = {too_long, long_len},
						   gone_iov = {(void *)(uintptr_t)4096, len};
	const struct vdev_frame good = {.iov = &good_iov, .niov = 1, .len = len, .offload = needs_csum};
	struct vdev_frame bad_csum = good, bad_gso = good, f[8];

	bad_csum.offload.csum_start = 60000;
	bad_gso.offload.gso_type = 77;
	f[0] = bad_csum;
	f[1] = good;
	f[2] = bad_gso;
	f[3] = (struct vdev_frame){.iov = &long_iov, .niov = 1, .len = long_len};
	f[4] = good;
	f[5] = (struct vdev_frame){.iov = &gone_iov, .niov = 1, .len = len};
	f[6] = good;
	f[7] = bad_csum;
	send_frames(f, 8);
	for (int i = 0; i < 3; i++)
		expect_at_host("good", 4);
	ck_assert_uint_eq(counters().sent, 3);
	ck_assert_uint_eq(counters().send_dropped, 5);
}
END_TEST

/* What means nothing, or is a hint only, is no reason for the kernel to drop a frame. */
START_TEST(odd_offloads)
{
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "odd", 3);
	const struct virtq_iov iov = {bytes, len};
	struct vdev_frame f[3];

	for (int i = 0; i < 3; i++)
		f[i] = (struct vdev_frame){.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	f[0].offload.gso_type = VDEV_NET_GSO_ECN;
	f[1].offload.hdr_len = (uint16_t)(len + 1);
	f[2].offload.hdr_len = 65535;
	send_frames(f, 3);
	for (int i = 0; i < 3; i++)
		expect_at_host("odd", 3);
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

START_TEST(bursts)
{
	bursts_at_most();
}
END_TEST

START_TEST(readable_when_armed)
{
	int fd = t.netif->ops->fd(t.rx[0]);
	struct vdev_frame f[2];

	host_sends("a", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	/* With a frame still in our hands. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(fd), 0);
	host_sends("b", 1, 7);
	wait_readable(fd);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	host_sends("c", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
}
END_TEST

START_TEST(interface_down_up_and_gone)
{
	down_up_and_gone(1);
}
END_TEST

START_TEST(several_channels)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .pairs = 2, .frame_max = 2000};

	teardown();
	open_all(&cfg);
	flows_by_channels(17);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_packet_config cfg = {.size = sizeof(cfg), .name = "nowhere"};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif *n = NULL;

	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), -ENODEV);
	cfg.name = "sixteen_letters_";
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = NULL;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = "ours";
	cfg.pairs = 65;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.pairs = 0;
	cfg.frame_max = 81;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.frame_max = VDEV_NET_MAX_FRAME + 1;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.frame_max = 0;
	cfg.ring = 65537;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 0;
	cfg.size--;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, NULL), VIRTQ_EINVAL);
	cfg.size++;
	ck_assert_int_eq(vdev_netif_packet_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_new(NULL, env, &cfg), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_packet_refresh(NULL), VIRTQ_EINVAL);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_packet");
	TCase *tc;

	test_needs(ns_missing());
	tc = with(suite, "packet", setup);
	tcase_add_test(tc, host_to_device);
	tcase_add_test(tc, ring_goes_round);
	tcase_add_test(tc, ring_overflows);
	tcase_add_test(tc, long_frames);
	tcase_add_test(tc, tags_are_put_back);
	tcase_add_test(tc, device_to_host);
	tcase_add_test(tc, device_sends_many_pieces);
	tcase_add_test(tc, refused_frames_are_dropped);
	tcase_add_test(tc, odd_offloads);
	tcase_add_test(tc, bursts);
	tcase_add_test(tc, readable_when_armed);
	tcase_add_test(tc, interface_down_up_and_gone);
	tcase_add_test(tc, several_channels);
	tcase_add_test(tc, misuse);
	srunner_add_suite(runner, suite);
}
