/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: what a guest may try in order to get around what it checks. */
#include "check_main.h"
#include "net_switch_rig.h"

static struct rig rig;

static uint32_t send_two(unsigned port, const struct test_frame *a, const struct test_frame *b)
{
	const struct vdev_frame burst[] = {a->frame, b->frame};

	return rig.port[port]->ops->send(rig.channel[port], burst, 2);
}

/* A checksum to be filled in at byte at. */
static struct vdev_net_offload sum_at(unsigned at)
{
	return (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM, .csum_start = (uint16_t)at};
}

/* Whoever does it for a receiver would write another source address than the one that was looked at. */
START_TEST(sums_go_into_no_header)
{
	static struct test_frame good, bad;

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_clear(&rig);
	test_frame_plain(&good, 1, 100, -1, 60);
	test_frame_plain(&bad, 1, 100, -1, 60);
	/* first of a burst, and like the one before it */
	bad.frame.offload = sum_at(VDEV_NET_MAC);
	ck_assert_uint_eq(send_two(0, &bad, &good), 2);
	ck_assert_uint_eq(send_two(0, &good, &bad), 2);
	bad.frame.offload = sum_at(VDEV_NET_ETH - 1);
	ck_assert_uint_eq(send_two(0, &bad, &good), 2);
	ck_assert_uint_eq(send_two(0, &good, &bad), 2);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 4);
	ck_assert_uint_eq(rig.sink[1]->n, 4);
	bad.frame.offload = sum_at(VDEV_NET_ETH);
	ck_assert_uint_eq(send_two(0, &bad, &good), 2);
	ck_assert_uint_eq(send_two(0, &good, &bad), 2);
	/* a position that isn't used */
	bad.frame.offload = sum_at(0);
	bad.frame.offload.flags = 0;
	ck_assert_uint_eq(send_two(0, &good, &bad), 2);
	ck_assert_uint_eq(rig.sink[1]->n, 10);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 4);
	test_frame_free(&good);
	test_frame_free(&bad);
	rig_end(&rig);
}
END_TEST

/* Nor into a tag, which says what VLAN it is of. */
START_TEST(sums_go_into_no_tag)
{
	static const struct vdev_switch_port_config trunk = {.mode = VDEV_SWITCH_TRUNK};
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &trunk);
	rig_port(&rig, &trunk);
	test_frame_plain(&t, ~0u, 100, 20, 60);
	t.frame.offload = sum_at(VDEV_NET_ETH);
	test_frame_send(rig.channel[0], &t);
	t.frame.offload = sum_at(VDEV_NET_ETH + 3);
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 2);
	ck_assert_uint_eq(rig.sink[1]->n, 0);
	t.frame.offload = sum_at(VDEV_NET_ETH + 4);
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/* A long frame is no short ones for being marked so, both ways. */
START_TEST(marks_make_no_segments)
{
	static const struct vdev_switch_port_config short_ones = {.mtu = 1500};
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &short_ones);
	rig_port(&rig, NULL);
	test_frame_plain(&t, ~0u, 100, -1, 1515);
	t.frame.offload.gso_type = VDEV_NET_GSO_ECN;
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_oversized, 1);
	ck_assert_uint_eq(rig.sink[1]->n, 0);
	test_frame_send(rig.channel[1], &t);
	ck_assert_uint_eq(rig_counters(&rig, 0).out_oversized, 1);
	ck_assert_uint_eq(rig.sink[0]->n, 0);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/*
 * One channel remembers where it found its address. Another one of that guest has so many others learned in the same place
 * that this one looks as it did, while the address has become somebody else's for good.
 */
START_TEST(places_that_look_the_same)
{
	enum { VERSIONS = 1 << 18 };
	static const struct vdev_switch_config small = {
		.size = sizeof(small), .seed = 1, .addresses = 4};
	static const struct vdev_switch_port_config one = {.max_learned = 1, .broadcasts = 1};
	struct vdev_netif_channel *other;
	uint8_t mac[VDEV_NET_MAC];
	static struct test_frame t;

	rig_begin(&rig, &small);
	rig_port(&rig, &one);
	rig_port(&rig, NULL);
	ck_assert_int_eq(rig.port[0]->ops->open(rig.port[0], 1, VDEV_NET_SEND, &other), 0);
	rig_send(&rig, 0, 7, 100, -1);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 0);
	test_frame_plain(&t, ~0u, 0, -1, 60);
	for (unsigned i = 1; i <= VERSIONS; i++) {
		t.bytes[VDEV_NET_MAC + 3] = (uint8_t)(i >> 16 | 0x80);
		t.bytes[VDEV_NET_MAC + 4] = (uint8_t)(i >> 8);
		t.bytes[VDEV_NET_MAC + 5] = (uint8_t)i;
		ck_assert_uint_eq(test_frame_send(other, &t), 1);
	}
	ck_assert_uint_eq(rig_counters(&rig, 0).learned, VERSIONS + 1);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[0]), 1);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[1], test_mac(mac, 100), 0), 0);
	rig_clear(&rig);
	rig_send(&rig, 0, 7, 100, -1);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_spoofed, 1);
	ck_assert_uint_eq(rig.sink[1]->n, 0);
	rig.port[0]->ops->close(other);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch_guard");
	TCase *tc = tcase_create("net_switch_guard");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, sums_go_into_no_header);
	tcase_add_test(tc, sums_go_into_no_tag);
	tcase_add_test(tc, marks_make_no_segments);
	tcase_add_test(tc, places_that_look_the_same);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
