/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch, on one thread: where frames go, ports that change, come and go, and what is refused. */
#include "check_main.h"
#include "net_switch_rig.h"

static struct rig rig;

/* --- where frames go -------------------------------------------------------- */

START_TEST(learns_and_sends_to_one)
{
	struct test_frame t;
	struct vdev_switch_counters c;

	rig_begin(&rig, NULL);
	for (unsigned i = 0; i < 3; i++)
		rig_port(&rig, NULL);
	test_frame_plain(&t, 1, 100, -1, 60);
	ck_assert_uint_eq(test_frame_send(rig.channel[0], &t), 1);
	ck_assert_uint_eq(rig.sink[0]->n, 0);
	net_sink_check(rig.sink[1], 0, &t, -1);
	net_sink_check(rig.sink[2], 0, &t, -1);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), ~0u);
	test_frame_free(&t);

	rig_clear(&rig);
	test_frame_plain(&t, 100, 1, -1, 1514);
	ck_assert_uint_eq(test_frame_send(rig.channel[1], &t), 1);
	net_sink_check(rig.sink[0], 0, &t, -1);
	/* What is behind the header is where it was. */
	ck_assert_ptr_eq(rig.sink[0]->last_piece[0], t.bytes + 14);
	ck_assert_uint_eq(rig.sink[2]->n, 0);
	test_frame_free(&t);

	rig_clear(&rig);
	ck_assert_uint_eq(rig_send(&rig, 0, 1, 100, -1), 1);
	ck_assert_uint_eq(rig_send(&rig, 0, ~0u, 100, -1), 1);
	ck_assert_uint_eq(rig.sink[1]->n, 2);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	c = rig_counters(&rig, 0);
	ck_assert_uint_eq(c.in, 3);
	ck_assert_uint_eq(c.in_bytes, 180);
	ck_assert_uint_eq(c.in_flooded, 2);
	ck_assert_uint_eq(c.learned, 1);
	ck_assert_uint_eq(c.out, 1);
	ck_assert_uint_eq(c.out_bytes, 1514);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, NULL), 2);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[0]), 1);
	/* The receiver is behind the same port. */
	ck_assert_uint_eq(rig_send(&rig, 0, 7, 100, -1), 1);
	ck_assert_uint_eq(rig_send(&rig, 0, 100, 7, -1), 1);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_local, 1);
	rig_end(&rig);
}
END_TEST

START_TEST(bursts_are_given_on_as_bursts)
{
	static struct test_frame t[8];
	struct vdev_frame burst[8];
	/* two for port 1, three for port 2, one to all, two for port 1 */
	const unsigned to[8] = {1, 1, 2, 2, 2, ~0u, 1, 1};
	unsigned n = 0;

	rig_begin(&rig, NULL);
	for (unsigned i = 0; i < 3; i++)
		rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_send(&rig, 2, ~0u, 2, -1);
	rig_clear(&rig);
	for (unsigned i = 0; i < 8; i++) {
		test_frame_plain(&t[i], to[i], 100, -1, 100 + i);
		burst[i] = t[i].frame;
	}
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 8), 8);
	ck_assert_uint_eq(rig.sink[1]->calls, 3);
	ck_assert_uint_eq(rig.sink[2]->calls, 2);
	ck_assert_uint_eq(rig.sink[1]->n, 5);
	ck_assert_uint_eq(rig.sink[2]->n, 4);
	for (unsigned i = 0; i < 8; i++)
		if (to[i] != 2)
			net_sink_check(rig.sink[1], n++, &t[i], -1);
	ck_assert_uint_ne(rig.sink[1]->flow, 0);
	for (unsigned i = 0; i < 8; i++)
		test_frame_free(&t[i]);
	rig_end(&rig);
}
END_TEST

START_TEST(more_than_a_burst)
{
	static struct test_frame t;
	struct vdev_frame burst[100];

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	test_frame_plain(&t, 1, 100, -1, 60);
	for (unsigned i = 0; i < 100; i++)
		burst[i] = t.frame;
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 100), 100);
	ck_assert_uint_eq(rig.sink[1]->n, 100);
	ck_assert_uint_eq(rig.sink[1]->calls, 4);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(who_is_busy_gets_them_later)
{
	static struct test_frame t;
	struct vdev_frame burst[6];

	rig_begin(&rig, NULL);
	for (unsigned i = 0; i < 3; i++)
		rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_clear(&rig);
	test_frame_plain(&t, 1, 100, -1, 60);
	for (unsigned i = 0; i < 6; i++)
		burst[i] = t.frame;
	rig.sink[1]->room = 2;
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 6), 2);
	ck_assert_uint_eq(rig.sink[1]->n, 2);
	ck_assert_uint_eq(rig_counters(&rig, 0).not_taken, 4);
	ck_assert_uint_eq(rig_counters(&rig, 0).in, 2);
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 6), 0);
	rig.sink[1]->room = SINK_KEPT;
	rig.sink[1]->busy = 2; /* shorter than a sender tries */
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst + 2, 4), 4);
	ck_assert_uint_eq(rig.sink[1]->n, 6);
	ck_assert_uint_eq(rig_counters(&rig, 1).out, 6);
	ck_assert_uint_eq(rig_counters(&rig, 1).out_busy, 0);

	/* To all: nobody waits for one. */
	rig_clear(&rig);
	rig.sink[1]->room = 0;
	ck_assert_uint_eq(rig_send(&rig, 0, ~0u, 100, -1), 1);
	ck_assert_uint_eq(rig.sink[1]->n, 0);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	ck_assert_uint_eq(rig_counters(&rig, 1).out_busy, 1);
	ck_assert_uint_eq(rig.sink[1]->calls < 100, 1);

	/* Without a device. */
	rig.port[1]->ops->set_sink(rig.port[1], NULL);
	ck_assert_uint_eq(rig_send(&rig, 0, 1, 100, -1), 1);
	ck_assert_uint_eq(rig_counters(&rig, 1).out_no_device, 1);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(addresses_age_and_move)
{
	const struct vdev_switch_config cfg = {
		.size = sizeof(cfg), .ageing_ms = 10000, .addresses = 64};

	rig_begin(&rig, &cfg);
	for (unsigned i = 0; i < 3; i++)
		rig_port(&rig, NULL);
	rig_send(&rig, 0, ~0u, 100, -1);
	rig.now += UINT64_C(9000000000);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 0);
	rig_send(&rig, 0, ~0u, 100, -1); /* seen again */
	rig.now += UINT64_C(9000000000);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 0);
	rig_send(&rig, 1, 100, 1, -1);
	rig_clear(&rig);
	rig.now += UINT64_C(2000000000);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), ~0u);
	rig_send(&rig, 1, 100, 1, -1); /* what the channel found before is too old as well */
	ck_assert_uint_eq(rig.sink[2]->n, 1);

	rig_send(&rig, 0, ~0u, 100, -1);
	rig_clear(&rig);
	rig_send(&rig, 1, 100, 1, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	rig_send(&rig, 2, ~0u, 100, -1);
	ck_assert_uint_eq(rig_counters(&rig, 2).moved, 1);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 2);
	rig_clear(&rig);
	rig_send(&rig, 1, 100, 1, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 0);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	/* All are swept away in time, by others' traffic. */
	for (unsigned i = 0; i < 60; i++) {
		rig.now += UINT64_C(300000000);
		rig_send(&rig, 1, ~0u, 1, -1);
	}
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, NULL), 1);
	rig_end(&rig);
}
END_TEST

START_TEST(without_a_clock_nothing_ages)
{
	struct vdev_switch_port_config cfg = {.size = sizeof(cfg), .broadcasts = 10};
	struct vdev_netif *n = NULL;
	struct vdev_switch *s = NULL;

	rig_begin(&rig, NULL);
	rig.env.now = NULL;
	ck_assert_int_eq(vdev_switch_new(&s, &rig.env, NULL), 0);
	ck_assert_int_eq(vdev_switch_port_new(&n, s, &cfg), VIRTQ_EINVAL);
	cfg = (struct vdev_switch_port_config){.size = sizeof(cfg), .in = {.bytes_per_s = 1}};
	ck_assert_int_eq(vdev_switch_port_new(&n, s, &cfg), VIRTQ_EINVAL);
	cfg = (struct vdev_switch_port_config){.size = sizeof(cfg), .out = {.frames_per_s = 1}};
	ck_assert_int_eq(vdev_switch_port_new(&n, s, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_free(s), 0);
	rig_end(&rig);

	rig_begin(&rig, NULL);
	ck_assert_int_eq(vdev_switch_free(rig.sw), 0);
	rig.env.now = NULL;
	ck_assert_int_eq(vdev_switch_new(&rig.sw, &rig.env, NULL), 0);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	rig_send(&rig, 0, ~0u, 100, -1);
	rig_send(&rig, 1, 100, 1, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	rig_end(&rig);
}
END_TEST

/* --- ports ------------------------------------------------------------------------ */

START_TEST(ports_come_and_go)
{
	rig_begin(&rig, NULL);
	for (unsigned i = 0; i < 3; i++)
		rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_send(&rig, 0, 1, 100, -1);
	rig_port_end(&rig, 1);
	rig_clear(&rig);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), ~0u);
	rig_send(&rig, 0, 1, 100, -1);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	/* Its place is taken by another, who has nothing of it. */
	rig_port(&rig, NULL);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[3]), 0);
	ck_assert_uint_eq(rig_counters(&rig, 3).in, 0);
	rig_send(&rig, 0, 1, 100, -1);
	ck_assert_uint_eq(rig.sink[3]->n, 1);
	ck_assert_int_eq(vdev_switch_free(rig.sw), VIRTQ_EBUSY);
	rig_end(&rig);
}
END_TEST

START_TEST(counters_outlive_channels)
{
	struct vdev_netif_counters k;
	struct vdev_netif_channel *more, *receive;

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	ck_assert_int_eq(rig.port[0]->ops->open(rig.port[0], 1, VDEV_NET_SEND, &more), 0);
	ck_assert_int_eq(rig.port[0]->ops->open(rig.port[0], 1, VDEV_NET_RECEIVE, &receive), 0);
	ck_assert_ptr_eq(receive->netif, rig.port[0]);
	rig_send(&rig, 0, ~0u, 100, -1);
	rig.port[0]->ops->close(rig.channel[0]);
	rig.channel[0] = more;
	rig.port[0]->ops->close(receive);
	rig_send(&rig, 0, ~0u, 100, -1);
	rig_send(&rig, 0, ~0u, ~0u, -1);
	ck_assert_int_eq(vdev_netif_counters(rig.port[0], &k), 0);
	ck_assert_uint_eq(k.sent, 2);
	ck_assert_uint_eq(k.sent_bytes, 120);
	ck_assert_uint_eq(k.send_dropped, 1);
	ck_assert_int_eq(vdev_netif_counters(rig.port[1], &k), 0);
	ck_assert_uint_eq(k.received, 2);
	ck_assert_uint_eq(k.received_bytes, 120);
	rig_end(&rig);
}
END_TEST

START_TEST(steady_frames_go_as_they_are)
{
	const struct vdev_switch_port_config cfg = {.flags = VDEV_SWITCH_STEADY};
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &cfg);
	rig_port(&rig, NULL);
	test_frame_plain(&t, ~0u, 100, -1, 60);
	test_frame_send(rig.channel[0], &t);
	ck_assert_ptr_eq(rig.sink[1]->last_piece[0], t.bytes);
	net_sink_check(rig.sink[1], 0, &t, -1);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(unknown_addresses_are_kept_from_a_port)
{
	const struct vdev_switch_port_config quiet = {.flags = VDEV_SWITCH_NO_UNKNOWN},
										 dumb = {.flags = VDEV_SWITCH_NO_LEARNING};

	rig_begin(&rig, NULL);
	rig_port(&rig, &dumb);
	rig_port(&rig, &quiet);
	rig_port(&rig, NULL);
	rig_send(&rig, 0, 9, 100, -1);
	ck_assert_uint_eq(rig.sink[1]->n, 0);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	rig_send(&rig, 0, ~0u, 100, -1);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), ~0u);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_send(&rig, 2, 1, 2, -1);
	ck_assert_uint_eq(rig.sink[1]->n, 2);
	rig_end(&rig);
}
END_TEST

/* --- misuse ------------------------------------------------------------------------- */

START_TEST(misuse_is_refused)
{
	struct vdev_switch_config sc = {.size = sizeof(sc)};
	const uint16_t some_vlans[] = {20}, bad_vlans[] = {4095};
	const struct vdev_switch_port_config bad[] = {
		{.size = 8},
		{.size = sizeof(bad[0]), .flags = 0x100},
		{.size = sizeof(bad[0]), .mode = 3},
		{.size = sizeof(bad[0]), .vlan = 1},
		{.size = sizeof(bad[0]), .mode = VDEV_SWITCH_ACCESS, .vlan = 4095},
		{.size = sizeof(bad[0]), .mode = VDEV_SWITCH_ACCESS, .vlans = some_vlans, .nvlans = 1},
		{.size = sizeof(bad[0]), .mode = VDEV_SWITCH_TRUNK, .vlans = bad_vlans, .nvlans = 1},
		{.size = sizeof(bad[0]), .mode = VDEV_SWITCH_TRUNK, .nvlans = 1},
		{.size = sizeof(bad[0]), .mtu = 67},
		{.size = sizeof(bad[0]), .mtu = 65536},
		{.size = sizeof(bad[0]), .mac = {1}},
	};
	struct vdev_switch_counters c;
	struct vdev_switch *s = NULL;
	struct vdev_netif *n = NULL;
	uint8_t mac[VDEV_NET_MAC];

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	ck_assert_int_eq(vdev_switch_new(NULL, &rig.env, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_new(&s, NULL, NULL), VIRTQ_EINVAL);
	sc.ports = 1025;
	ck_assert_int_eq(vdev_switch_new(&s, &rig.env, &sc), VIRTQ_EINVAL);
	sc = (struct vdev_switch_config){.size = sizeof(sc), .addresses = (1 << 20) + 1};
	ck_assert_int_eq(vdev_switch_new(&s, &rig.env, &sc), VIRTQ_EINVAL);
	sc = (struct vdev_switch_config){.size = 4};
	ck_assert_int_eq(vdev_switch_new(&s, &rig.env, &sc), VIRTQ_EINVAL);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(vdev_switch_port_new(&n, rig.sw, &bad[i]), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &bad[i]), VIRTQ_EINVAL);
	}
	ck_assert_int_eq(vdev_switch_port_new(NULL, rig.sw, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_new(&n, NULL, NULL), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_switch_port_set(NULL, &bad[0]), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_set_link(NULL, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_set_link(rig.port[0], 2), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_counters(NULL, &c), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_counters(rig.port[0], NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, 1), 1), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, ~0u), 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_remove_mac(rig.port[0], test_mac(mac, 1), 0), VIRTQ_EINVAL);
	ck_assert_ptr_null(vdev_switch_find(NULL, mac, 0));
	ck_assert_ptr_null(vdev_switch_find(rig.sw, NULL, 0));
	ck_assert_int_eq(vdev_switch_flush(NULL, NULL), VIRTQ_EINVAL);
	ck_assert_uint_eq(vdev_switch_learned(NULL, NULL), 0);
	ck_assert_int_eq(vdev_switch_free(NULL), 0);
	rig_end(&rig);
}
END_TEST

START_TEST(no_memory_and_no_room)
{
	const struct vdev_switch_config two = {.size = sizeof(two), .ports = 2};
	struct vdev_switch_port_config with_mac = {.size = sizeof(with_mac), .mac = {2, 1}};
	struct vdev_netif_channel *c;
	struct vdev_netif *n = NULL;
	struct vdev_switch *s;

	rig_begin(&rig, &two);
	rig_port(&rig, &with_mac);
	/* An address that is static elsewhere: the place is free again. */
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(vdev_switch_port_new(&n, rig.sw, &with_mac), VIRTQ_EBUSY);
	for (long k = 0; k < 2; k++) {
		rig.left = k;
		ck_assert_int_eq(vdev_switch_port_new(&n, rig.sw, NULL), VIRTQ_ENOMEM);
	}
	rig.left = 0;
	ck_assert_int_eq(rig.port[0]->ops->open(rig.port[0], 0, VDEV_NET_SEND, &c), VIRTQ_ENOMEM);
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &with_mac), VIRTQ_ENOMEM);
	for (long k = 0; k < 5; k++) {
		rig.left = k;
		ck_assert_int_eq(vdev_switch_new(&s, &rig.env, NULL), VIRTQ_ENOMEM);
	}
	rig.left = -1;
	rig_port(&rig, NULL);
	ck_assert_int_eq(vdev_switch_port_new(&n, rig.sw, NULL), VIRTQ_ENOSPC);
	rig_end(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch");
	TCase *tc = tcase_create("net_switch");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, learns_and_sends_to_one);
	tcase_add_test(tc, bursts_are_given_on_as_bursts);
	tcase_add_test(tc, more_than_a_burst);
	tcase_add_test(tc, who_is_busy_gets_them_later);
	tcase_add_test(tc, addresses_age_and_move);
	tcase_add_test(tc, without_a_clock_nothing_ages);
	tcase_add_test(tc, ports_come_and_go);
	tcase_add_test(tc, counters_outlive_channels);
	tcase_add_test(tc, steady_frames_go_as_they_are);
	tcase_add_test(tc, unknown_addresses_are_kept_from_a_port);
	tcase_add_test(tc, misuse_is_refused);
	tcase_add_test(tc, no_memory_and_no_room);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
