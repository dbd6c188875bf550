/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet and XDP sockets on a kernel that is not as it should be: what it says in a ring, what it does not know, and what it puts off. */
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <unistd.h>

#include <vdev/netif_packet.h>
#include <vdev/netif_xdp.h>

#include "netif_kernel.h"
#include "netif_rig.h"

/* --- packet sockets -------------------------------------------------------------------- */

static void open_packet(unsigned pairs)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .pairs = pairs, .ring = 8};

	rig_begin(vdev_netif_packet_refresh, 0);
	ns_enter();
	rig_cable(0, 1500);
	ck_assert_int_eq(vdev_netif_packet_new(&t.netif, vdev_env_hosted(), &cfg), 0);
	open_channels(pairs);
}

static void setup_packet(void)
{
	open_packet(1);
}

static void setup_pairs(void)
{
	open_packet(2);
}

enum { SLOT = (VDEV_NET_MAX_FRAME + 128 + 15) / 16 * 16, MAC = 128, LEN = 60 };

/* What the kernel could have put into the first slots, if it went wrong. */
START_TEST(nonsense_in_the_ring)
{
	static const struct tpacket2_hdr said[] = {
		{.tp_len = LEN, .tp_snaplen = LEN - 1, .tp_mac = MAC},
		{.tp_len = VDEV_NET_ETH - 1, .tp_snaplen = VDEV_NET_ETH - 1, .tp_mac = MAC},
		{.tp_len = LEN, .tp_snaplen = LEN, .tp_mac = 0},
		{.tp_len = SLOT - 65534, .tp_snaplen = SLOT - 65534, .tp_mac = 65535},
		{.tp_status = TP_STATUS_VLAN_VALID,
	     .tp_len = VDEV_NET_MAX_FRAME - 3,
	     .tp_snaplen = VDEV_NET_MAX_FRAME - 3,
	     .tp_mac = MAC},
		/* nothing is wrong with these, the second of which has the header below */
		{.tp_status = TP_STATUS_VLAN_VALID,
	     .tp_len = VDEV_NET_MAX_FRAME - 4,
	     .tp_snaplen = VDEV_NET_MAX_FRAME - 4,
	     .tp_mac = MAC},
		{.tp_status = TP_STATUS_VLAN_VALID, .tp_len = LEN, .tp_snaplen = LEN, .tp_mac = MAC},
		{.tp_len = LEN, .tp_snaplen = LEN, .tp_mac = MAC},
	};
	const struct virtio_net_hdr undone = {
		.flags = VDEV_NET_NEEDS_CSUM, .hdr_len = DATA, .csum_start = UDP, .csum_offset = 6};
	enum { SAID = sizeof(said) / sizeof(said[0]), GOOD = 3 };
	struct vdev_frame f[VDEV_NET_BURST];

	for (size_t i = 0; i < SAID; i++) {
		struct tpacket2_hdr *h = (void *)((uint8_t *)kernel.shared + i * SLOT);

		*h = said[i];
		if (i == SAID - 2)
			memcpy((uint8_t *)h + MAC - sizeof(undone), &undone, sizeof(undone));
		__atomic_store_n(&h->tp_status, said[i].tp_status | TP_STATUS_USER, __ATOMIC_RELEASE);
	}
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST), GOOD);
	ck_assert_uint_eq(f[0].len, VDEV_NET_MAX_FRAME);
	ck_assert_uint_eq(f[0].niov, 3);
	ck_assert_uint_eq(f[0].offload.hdr_len, 0);
	ck_assert_uint_eq(f[1].len, LEN + 4);
	ck_assert_uint_eq(f[1].offload.hdr_len, DATA + 4);
	ck_assert_uint_eq(f[1].offload.csum_start, UDP + 4);
	ck_assert_uint_eq(f[2].len, LEN);
	ck_assert_uint_eq(counters().receive_dropped, SAID - GOOD);
}
END_TEST

static void send_early(void)
{
	for (int i = 0; i < 3; i++)
		host_sends("early", 5, 7);
	usleep(1000);
}

/* What came before the sockets were a group, to each of them, is thrown away, and their rings go on behind it. */
START_TEST(frames_before_the_group)
{
	const struct vdev_netif_packet_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = 2};
	struct vdev_frame f;

	close_netif();
	kernel.joining = send_early;
	ck_assert_int_eq(vdev_netif_packet_new(&t.netif, vdev_env_hosted(), &cfg), 0);
	ck_assert_ptr_null(kernel.joining);
	open_channels(2);
	host_sends("late", 4, 7);
	receive(&f, 1);
	ck_assert_mem_eq(bytes_of(&f) + DATA, "late", 4);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[1], &f, 1), 0);
}
END_TEST

/* More pairs than there are is all of them, less than one is one; and what is so already is not set again. */
START_TEST(pairs_are_set_once)
{
	static const uint32_t pairs[] = {1, 2, 2, 1000, 2, 1, 0}, spreads[] = {0, 1, 1, 1, 1, 2, 2};

	kernel.spreads = 0;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		t.netif->ops->set_pairs(t.netif, pairs[i]);
		ck_assert_uint_eq(kernel.spreads, spreads[i]);
	}
}
END_TEST

/* One that can't leave out what we send ourselves gives it to us: we do. */
START_TEST(older_kernel)
{
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "out", 3);
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .pairs = 1 + (uint32_t)_i};
	struct vdev_frame f;

	close_netif();
	kernel.old = 1;
	ck_assert_int_eq(vdev_netif_packet_new(&t.netif, vdev_env_hosted(), &cfg), 0);
	open_channels(cfg.pairs);
	for (int i = 0; i < 3; i++) {
		send_bytes(bytes, len, needs_csum);
		expect_at_host("out", 3);
	}
	host_sends("in", 2, 7);
	receive(&f, 1);
	ck_assert_mem_eq(bytes_of(&f) + DATA, "in", 2);
	ck_assert_uint_eq(counters().received, 1);
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

/* Whoever arms a channel does not ask whether the interface is still there, unless something has happened to it. */
START_TEST(arming_asks_little)
{
	kernel.names = 0;
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_uint_eq(kernel.names, 0);
	if_delete("ours");
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_uint_eq(kernel.names, 1);
}
END_TEST

/* --- XDP sockets ----------------------------------------------------------------------- */

static void setup_xdp(void)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .ring = 64};

	rig_begin(vdev_netif_xdp_refresh, 1);
	ck_assert_int_eq(ns_enter_as_root(), 0);
	rig_cable(0, 1500);
	ck_assert_int_eq(vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), &cfg), 0);
	open_channels(1);
}

/* As long as nothing is sent there is room for the ring's frames, the others are lost; and nobody waits for ever. */
START_TEST(nothing_is_sent)
{
	enum { RING = 64 };
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "late", 4);

	kernel.busy = 1;
	for (int i = 0; i < RING + 5; i++)
		send_bytes(bytes, len, needs_csum);
	ck_assert_uint_eq(counters().sent, RING);
	ck_assert_uint_eq(counters().send_dropped, 5);
	kernel.busy = 0;
	send_bytes(bytes, len, needs_csum);
	for (int i = 0; i < RING; i++)
		expect_at_host("late", 4);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_kernel");
	TCase *tc;

	test_needs(ns_missing());
	tc = with(suite, "packet", setup_packet);
	tcase_add_test(tc, nonsense_in_the_ring);
	tcase_add_test(tc, frames_before_the_group);
	tcase_add_loop_test(tc, older_kernel, 0, 2);
	tcase_add_test(tc, arming_asks_little);
	tc = with(suite, "pairs", setup_pairs);
	tcase_add_test(tc, pairs_are_set_once);
	if (xdp_missing() == NULL)
		tcase_add_test(with(suite, "xdp", setup_xdp), nothing_is_sent);
	srunner_add_suite(runner, suite);
}
