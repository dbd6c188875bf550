/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: notifications held back, as the driver asks for it by the control queue. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_ctrl.h"

enum { COAL = 6 }; /* the class of commands */

static void coal(uint8_t *to, uint32_t packets, uint32_t usecs)
{
	for (int i = 0; i < 4; i++) {
		to[i] = (uint8_t)(packets >> 8 * i);
		to[4 + i] = (uint8_t)(usecs >> 8 * i);
	}
}

static void expect_coal(struct net_fixture *f, unsigned vq, uint32_t packets, uint32_t usecs)
{
	uint8_t data[4] = {(uint8_t)vq, 0, 0x55, 0xaa}, want[8], reply[16];
	uint32_t got;

	coal(want, packets, usecs);
	ck_assert_int_eq(ctrl_command(f, COAL, 3, data, 4, reply, 16, &got), CTRL_OK);
	ck_assert_uint_eq(got, 8);
	ck_assert_mem_eq(reply, want, 8);
	CLAUSE("net/ctrl/notifications-coalescing/D1");
}

static int set_vq(struct net_fixture *f, unsigned vq, uint32_t packets, uint32_t usecs)
{
	uint8_t data[12] = {(uint8_t)vq, (uint8_t)(vq >> 8), 0x55, 0xaa};

	coal(data + 4, packets, usecs);
	return ctrl_set(f, COAL, 2, data, 12);
}

/* The example of the standard, and then some. */
START_TEST(coalescing)
{
	struct net_fixture f;
	uint8_t data[16], reply[16];

	ctrl_init(&f, _i, 2);
	net_start(&f);
	for (unsigned q = 0; q < 4; q++)
		expect_coal(&f, q, 0, 0);
	coal(data, 15, 10);
	ck_assert_int_eq(ctrl_set(&f, COAL, 1, data, 8), CTRL_OK);
	ck_assert_int_eq(set_vq(&f, 0, 3, 4), CTRL_OK);
	expect_coal(&f, 0, 3, 4);
	expect_coal(&f, 2, 15, 10);
	expect_coal(&f, 1, 0, 0);
	ck_assert_int_eq(set_vq(&f, 1, 5, 6), CTRL_OK);
	expect_coal(&f, 3, 0, 0);
	coal(data, 7, 8);
	ck_assert_int_eq(ctrl_set(&f, COAL, 0, data, 8), CTRL_OK);
	expect_coal(&f, 1, 7, 8);
	expect_coal(&f, 3, 7, 8);
	ck_assert_int_eq(ctrl_set(&f, COAL, 0, data, 7), CTRL_ERR);
	CLAUSE("net/ctrl/notifications-coalescing/D2");
	ck_assert_int_eq(set_vq(&f, 4, 1, 1), CTRL_ERR); /* the control queue */
	ck_assert_int_eq(set_vq(&f, 5, 1, 1), CTRL_ERR);
	ck_assert_int_eq(set_vq(&f, 0x100, 1, 1), CTRL_ERR);
	CLAUSE("net/ctrl/notifications-coalescing/D3");
	data[0] = 4;
	data[1] = 0;
	ck_assert_int_eq(ctrl_command(&f, COAL, 3, data, 4, reply, 16, NULL), CTRL_ERR);
	data[0] = 0;
	ck_assert_int_eq(ctrl_command(&f, COAL, 3, data, 4, reply, 7, NULL), CTRL_ERR);
	ck_assert_int_eq(ctrl_command(&f, COAL, 4, data, 4, reply, 16, NULL), CTRL_ERR);
	/* A queue that is off has none, and one that comes back has those of its kind. */
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(set_vq(&f, 0, 1, 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_command(&f, COAL, 3, data, 4, reply, 16, NULL), CTRL_ERR);
	CLAUSE("net/ctrl/notifications-coalescing/D4");
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	for (unsigned q = 0; q < 4; q++)
		expect_coal(&f, q, 0, 0);
	CLAUSE("net/ctrl/notifications-coalescing/D9");
	net_fini(&f);
}
END_TEST

/* A queue that is stopped and started again has what was set for all of its kind. */
START_TEST(coalescing_of_a_queue_that_comes_back)
{
	struct vdev_queue_setup setup;
	struct net_fixture f;
	uint8_t data[8];

	ctrl_init(&f, _i, 1);
	net_start(&f);
	coal(data, 15, 10);
	ck_assert_int_eq(ctrl_set(&f, COAL, 1, data, 8), CTRL_OK);
	ck_assert_int_eq(set_vq(&f, 0, 1, 2), CTRL_OK);
	ck_assert_int_eq(set_vq(&f, 1, 3, 4), CTRL_OK);
	for (unsigned q = 0; q < 2; q++) {
		memset(&setup, 0, sizeof(setup));
		ck_assert_int_eq(vdev_queue_stop(f.v, q), 0);
		ck_assert_int_eq(vdev_queue_state(f.v, q, &setup.state), 0);
		ck_assert_int_eq(vdev_queue_start(f.v, q, &setup), 0);
	}
	expect_coal(&f, 0, 15, 10);
	CLAUSE("net/ctrl/notifications-coalescing/D6");
	expect_coal(&f, 1, 0, 0);
	CLAUSE("net/ctrl/notifications-coalescing/D5");
	net_fini(&f);
}
END_TEST

/* What was set takes effect. */
START_TEST(coalesced)
{
	uint8_t bytes[60] = {2, 0, 0, 0, 0, 1}, data[8];
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, bytes, sizeof(bytes));
	struct net_fixture f;

	ctrl_init(&f, 1, 1);
	net_start(&f);
	coal(data, 3, 100);
	ck_assert_int_eq(ctrl_set(&f, COAL, 1, data, 8), CTRL_OK);
	net_run(&f);
	for (int i = 0; i < 8; i++)
		(void)net_buffer(&f, 0, 256, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(f.interrupts[0], 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(f.interrupts[0], 1);
	while (net_received(&f, 0, NULL) != NULL)
		;
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 1);
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 0), f.now + 100 * 1000);
	f.now += 100 * 1000;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 2);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	coal(data, 1, 100); /* the condition is met at once */
	ck_assert_int_eq(ctrl_set(&f, COAL, 1, data, 8), CTRL_OK);
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 3);
	/* A driver that wants none gets none. */
	virtq_drv_disarm(vdev_loopback_drv(f.l, 0));
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	f.now += 100 * 1000;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 3);
	CLAUSE("net/ctrl/notifications-coalescing/D8");
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_coalesce");
	TCase *tc = tcase_create("net_coalesce");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, coalescing, 0, 2);
	tcase_add_loop_test(tc, coalescing_of_a_queue_that_comes_back, 0, 2);
	tcase_add_test(tc, coalesced);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
