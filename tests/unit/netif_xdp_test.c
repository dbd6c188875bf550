/* SPDX-License-Identifier: BSD-3-Clause */
/* The XDP back-end: frames, both ways. */
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_datagram.h"
#include "net_ns.h"
#include "net_packet.h"
#include "netif_xdp_rig.h"

START_TEST(host_to_device)
{
	struct vdev_netif_info info;
	struct vdev_frame f;
	const uint8_t *p;

	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.link, 1);
	ck_assert_uint_eq(info.takes, VDEV_NET_TAKES_ALL);
	ck_assert_uint_eq(info.max_pairs, 1);
	host_sends("hello", 5, 7);
	ck_assert_uint_eq(receive(&f, 1), 1);
	ck_assert_uint_ge(f.len, DATA + 5);
	p = bytes_of(&f);
	ck_assert_mem_eq(p, our_mac, 6);
	ck_assert_mem_eq(p + 6, t.mac, 6);
	ck_assert_mem_eq(p + DATA, "hello", 5);
	ck_assert_ptr_null(packet_wrong(f.iov[0].base, f.len, &f.offload));
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_uint_eq(counters().received, 1);
	ck_assert_uint_eq(counters().received_bytes, f.len);
}
END_TEST

START_TEST(ring_goes_round)
{
	round_the_ring(3000);
}
END_TEST

/* Frames of every length that the cable carries, whatever is in them. */
START_TEST(all_lengths)
{
	uint8_t bytes[1514];
	int s = host_raw();
	struct vdev_frame f;

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	memset(bytes, 0xff, 6);
	for (uint32_t len = VDEV_NET_ETH + 1; len <= sizeof(bytes); len++) {
		/* the type: nobody's */
		packet_put16(bytes + 12, 0x88b5);
		ck_assert_int_eq(send(s, bytes, len, 0), (ssize_t)len);
		receive(&f, 1);
		ck_assert_uint_eq(f.len, len);
		ck_assert_mem_eq(bytes_of(&f), bytes, len);
	}
	ck_assert_uint_eq(counters().receive_dropped, 0);
	close(s);
}
END_TEST

/* What finds no room is counted, and the rest comes. */
START_TEST(ring_overflows)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .ring = 64};
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t got = 0, sent = 0;
	int n;

	teardown();
	open_all(&cfg, 0, 1500);
	/* the kernel takes its time to notice */
	for (int i = 0; i < 6000 && counters().receive_dropped == 0; i++)
		for (int k = 0; k < 100; k++, sent++)
			host_sends(&sent, sizeof(sent), 7);
	ck_assert_uint_gt(counters().receive_dropped, 0);
	for (int idle = 0; idle < 100 && got + counters().receive_dropped < sent; idle++) {
		while ((n = t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST)) > 0)
			got += (uint32_t)n;
		ck_assert_int_eq(n, 0);
		usleep(10000);
	}
	ck_assert_uint_ge(got, 64);
	ck_assert_uint_lt(got, sent);
	while (t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST) > 0)
		continue;
	host_sends("again", 5, 7);
	receive(f, 1);
	ck_assert_mem_eq(bytes_of(f) + DATA, "again", 5);
}
END_TEST

/* Longer ones than a chunk holds are dropped, both ways, and not cut. */
START_TEST(long_frames)
{
	static char data[8000];
	static uint8_t bytes[DATA + sizeof(data)];
	struct vdev_netif_info info;
	struct virtq_iov iov = {bytes, 0};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .offload = needs_csum};

	memset(data, 'x', sizeof(data));
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_le(info.mtu + VDEV_NET_ETH, VDEV_NETIF_XDP_FRAME);
	host_sends(data, VDEV_NETIF_XDP_FRAME - DATA + 1, 7);
	host_sends(data, sizeof(data), 7);
	host_sends(data, VDEV_NETIF_XDP_FRAME - DATA, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, VDEV_NETIF_XDP_FRAME);
	ck_assert_mem_eq(bytes_of(&f) + DATA, data, VDEV_NETIF_XDP_FRAME - DATA);
	ck_assert_uint_eq(counters().receive_dropped, 2);
	f = (struct vdev_frame){.iov = &iov, .niov = 1, .offload = needs_csum};
	iov.len = f.len = datagram(bytes, t.mac, data, VDEV_NETIF_XDP_FRAME - DATA + 1);
	send_frames(&f, 1);
	f.offload = (struct vdev_net_offload){.flags = 0};
	iov.len = f.len = datagram(bytes, t.mac, data, sizeof(data));
	send_frames(&f, 1);
	ck_assert_uint_eq(counters().sent, 0);
	ck_assert_uint_eq(counters().send_dropped, 2);
	f.offload = needs_csum;
	iov.len = f.len = datagram(bytes, t.mac, data, VDEV_NETIF_XDP_FRAME - DATA);
	send_frames(&f, 1);
	expect_at_host(data, VDEV_NETIF_XDP_FRAME - DATA);
	ck_assert_uint_eq(counters().sent, 1);
}
END_TEST

START_TEST(device_to_host)
{
	many_to_host();
}
END_TEST

/* Chunks come back, round and round. */
START_TEST(device_sends_many)
{
	uint8_t bytes[DATA + 4];
	struct virtq_iov iov = {bytes, sizeof(bytes)};
	const struct vdev_frame f = {
		.iov = &iov, .niov = 1, .len = sizeof(bytes), .offload = needs_csum};

	for (uint32_t i = 0; i < 4000; i++) {
		datagram(bytes, t.mac, &i, sizeof(i));
		send_frames(&f, 1);
		expect_at_host(&i, sizeof(i));
	}
	ck_assert_uint_eq(counters().sent, 4000);
}
END_TEST

/* A frame that came to the host, or 0: none any more. What it gets is what it has been sent when the call ends. */
static uint32_t at_host(int raw, uint8_t *to, size_t room)
{
	ssize_t n;
	struct sockaddr_ll from;
	socklen_t len;

	do {
		len = sizeof(from);
		n = recvfrom(raw, to, room, 0, (struct sockaddr *)&from, &len);
	} while (n > 0 && from.sll_pkttype == PACKET_OUTGOING);
	return n > 0 ? (uint32_t)n : 0;
}

/* All that can be left to be done to a frame is done before it leaves. */
START_TEST(offloads_are_done)
{
	static struct packet p;
	static uint8_t got[70000];
	struct virtq_iov iov[8];
	struct rng rng = {.state = 1};
	uint32_t all = 0;
	int raw = host_raw();

	for (int i = 0; i < 300; i++) {
		struct vdev_netif_counters before = counters();
		struct packet_spec spec;
		struct vdev_frame f;
		uint32_t len, n = 0;

		packet_random_spec(&spec, &rng, 20000);
		if (spec.gso_size > 3000)
			spec.gso_size = 3000;
		if (spec.gso == 0 && spec.payload > 3000)
			spec.payload = 3000;
		packet_make(&p, &spec);
		packet_pieces(p.b, p.len, iov, 8, &rng, &f);
		f.offload = p.offload;
		ck_assert_int_eq(vdev_net_offload_check(&f), 0);
		send_frames(&f, 1);
		ck_assert_uint_eq(counters().send_dropped, before.send_dropped);
		for (; (len = at_host(raw, got, sizeof(got))) > 0; n++) {
			const struct vdev_net_offload none = {.flags = 0};
			const char *wrong = packet_wrong(got, len, &none);

			ck_assert_msg(wrong == NULL, "%d: frame %u of %u bytes: %s", i, n, len, wrong);
			ck_assert_uint_le(len, VDEV_NETIF_XDP_FRAME);
		}
		ck_assert_uint_ge(n, 1);
		if (spec.gso != 0 && spec.gso != VDEV_NET_GSO_UDP && spec.payload > 0)
			ck_assert_uint_eq(n, (spec.payload + spec.gso_size - 1u) / spec.gso_size);
		all += n;
	}
	ck_assert_uint_gt(all, 1000);
	ck_assert_uint_eq(counters().sent, 300);
	close(raw);
}
END_TEST

/* Frames that make no sense cost themselves only, wherever in the burst they stand. */
START_TEST(nonsense_is_dropped)
{
	static uint8_t bytes[70000];
	uint32_t len = datagram(bytes, t.mac, "good", 4);
	const struct virtq_iov iov = {bytes, len}, whole = {bytes, sizeof(bytes)};
	const struct vdev_frame good = {.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	struct vdev_frame f[10];

	for (int i = 0; i < 10; i++)
		f[i] = good;
	f[0].offload.csum_start = 60000;
	f[2].offload.gso_type = 77;
	f[2].offload.gso_size = 100;
	/* segments of no size; TCP that isn't; longer than any */
	f[3].offload.gso_type = VDEV_NET_GSO_UDP_L4;
	f[5].offload.gso_type = VDEV_NET_GSO_TCPV4;
	f[5].offload.gso_size = 100;
	f[6].iov = &whole;
	f[6].len = VDEV_NET_MAX_FRAME;
	f[6].offload.flags = 0;
	/* pieces that end before the frame does */
	f[7].len = len + 100;
	f[9].len = len + 100;
	f[9].offload.flags = 0;
	send_frames(f, 10);
	for (int i = 0; i < 3; i++)
		expect_at_host("good", 4);
	ck_assert_uint_eq(counters().sent, 3);
	ck_assert_uint_eq(counters().send_dropped, 7);
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
	ck_assert_uint_eq(receive(f, 2), 1);
	/* With a frame still in our hands. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(fd), 0);
	host_sends("b", 1, 7);
	wait_readable(fd);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	/* Once, until it is armed again. */
	host_sends("c", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_uint_eq(receive(f, 2), 1);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_xdp");
	TCase *tc, *generic;

	test_needs(xdp_missing());
	tc = with(suite, "driver", setup);
	generic = with(suite, "generic", setup_generic);
	for (int i = 0; i < 2; i++) {
		TCase *both = i == 0 ? tc : generic;

		tcase_add_test(both, host_to_device);
		tcase_add_test(both, ring_goes_round);
		tcase_add_test(both, device_to_host);
		tcase_add_test(both, bursts);
		tcase_add_test(both, readable_when_armed);
	}
	tcase_add_test(generic, long_frames);
	tcase_add_test(generic, offloads_are_done);
	tcase_add_test(tc, all_lengths);
	tcase_add_test(tc, ring_overflows);
	tcase_add_test(tc, device_sends_many);
	tcase_add_test(tc, nonsense_is_dropped);
	srunner_add_suite(runner, suite);
}
