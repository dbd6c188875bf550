/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what its netif is told of the driver's offloads. */
#include "check_main.h"
#include "net_ctrl.h"

enum {
	OFFLOADS = 5,
	RX = 0,
	CSUM = VDEV_NET_TAKES_CSUM,
	TSO4 = VDEV_NET_TAKES_TSO4,
	NEVER = 0xffff
};

#define REPORTS (UINT64_C(1) << VDEV_NET_F_RSC_EXT)

/* When a driver is ready, when it turns some on or off, and when it is gone. */
START_TEST(told)
{
	struct net_fixture f;

	ctrl_init(&f, _i & 1, 1);
	f.netif.takes_error = _i & 2 ? VIRTQ_EIO : 0; /* that is no matter */
	f.netif.takes = NEVER;
	net_start(&f);
	ck_assert_uint_eq(f.netif.takes, CSUM | TSO4);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_CSUM, 8), CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, CSUM);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 0, 8), CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, 0);
	/* Without sums there is nothing to segment. */
	f.netif.takes = NEVER;
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_TSO4, 8), CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, 0);
	ck_assert_int_eq(
		ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_CSUM | 1 << VDEV_NET_F_GUEST_TSO4, 8),
		CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, CSUM | TSO4);
	/* What was refused, and what is about something else. */
	f.netif.told = 0;
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_TSO6, 8), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, RX, 0, 0, 1), CTRL_OK);
	ck_assert_uint_eq(f.netif.told, 0);
	/* A driver that is gone takes nothing; the next one begins with what it negotiates. */
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_CSUM, 8), CTRL_OK);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_uint_eq(f.netif.takes, 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	ck_assert_uint_eq(f.netif.takes, CSUM | TSO4);
	net_fini(&f);
}
END_TEST

/* Negotiated features decide, not those that are offered. */
START_TEST(told_of_what_was_negotiated)
{
	static const struct {
		uint32_t feature, takes;
	} all[] = {
		{VDEV_NET_F_GUEST_TSO4, VDEV_NET_TAKES_TSO4}, {VDEV_NET_F_GUEST_TSO6, VDEV_NET_TAKES_TSO6},
		{VDEV_NET_F_GUEST_UFO, VDEV_NET_TAKES_UFO},   {VDEV_NET_F_GUEST_USO4, VDEV_NET_TAKES_USO4},
		{VDEV_NET_F_GUEST_USO6, VDEV_NET_TAKES_USO6}, {VDEV_NET_F_GUEST_CSUM, 0}};
	struct net_fixture f;

	net_init(&f, 0, 0);
	f.netif.takes = NEVER;
	net_start(&f);
	ck_assert_uint_eq(f.netif.takes, 0);
	net_fini(&f);
	net_init(&f, 0, 0);
	net_want(&f, VDEV_NET_F_GUEST_CSUM);
	net_want(&f, all[_i].feature);
	net_start(&f);
	ck_assert_uint_eq(f.netif.takes, CSUM | all[_i].takes);
	net_fini(&f);
}
END_TEST

/* Reports of segments are offered to those that could send them; their bit of the command says nothing of its own. */
START_TEST(reports_of_segments)
{
	struct virtq_features offered;
	struct net_fixture f;

	net_init(&f, 0, 0);
	f.netif.info.takes = CSUM;
	net_start(&f);
	vdev_offered(f.v, &offered);
	ck_assert_int_eq(virtq_features_has(&offered, VDEV_NET_F_RSC_EXT), 0);
	ck_assert_int_eq(virtq_features_has(&offered, VDEV_NET_F_GUEST_TSO4), 1);
	net_fini(&f);
	ctrl_init(&f, 0, 1);
	net_start(&f);
	vdev_offered(f.v, &offered);
	ck_assert_int_eq(virtq_features_has(&offered, VDEV_NET_F_RSC_EXT), 1);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, REPORTS | 1 << VDEV_NET_F_GUEST_CSUM, 8),
	                 CTRL_ERR);
	net_fini(&f);
	ctrl_init(&f, 0, 1);
	net_want(&f, VDEV_NET_F_RSC_EXT);
	net_start(&f);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, REPORTS | 1 << VDEV_NET_F_GUEST_CSUM, 8), CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, CSUM);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, REPORTS, 8), CTRL_OK);
	ck_assert_uint_eq(f.netif.takes, 0);
	net_fini(&f);
}
END_TEST

/* Drivers turn offloads on with the bit of GUEST_HDRLEN among them, where they negotiated that. */
START_TEST(lengths_of_headers)
{
	const uint64_t bits = UINT64_C(1) << VDEV_NET_F_GUEST_HDRLEN | 1 << VDEV_NET_F_GUEST_CSUM;
	struct net_fixture f;

	ctrl_init(&f, 0, 1);
	if (_i)
		net_want(&f, VDEV_NET_F_GUEST_HDRLEN);
	net_start(&f);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, bits, 8), _i ? CTRL_OK : CTRL_ERR);
	ck_assert_uint_eq(f.netif.takes, _i ? CSUM : CSUM | TSO4);
	net_fini(&f);
}
END_TEST

/* A netif need not care. */
START_TEST(nobody_to_tell)
{
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	f.netif.ops.set_takes = NULL;
	net_start(&f);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 0, 8), CTRL_OK);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_uint_eq(f.netif.told, 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_takes");
	TCase *tc = tcase_create("net_takes");

	tcase_add_loop_test(tc, told, 0, 4);
	tcase_add_loop_test(tc, told_of_what_was_negotiated, 0, 6);
	tcase_add_test(tc, reports_of_segments);
	tcase_add_loop_test(tc, lengths_of_headers, 0, 2);
	tcase_add_loop_test(tc, nobody_to_tell, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
