/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues that are a supply of buffers: entered, taken from, given to, left. */
#include <string.h>

#include "check_main.h"
#include "supply_rig.h"

static void add(struct rig *r, unsigned slot)
{
	rig_add(r, 0, slot);
}

static void publish(struct rig *r)
{
	rig_publish(r, 0);
}

/* What the driver got back: in how many buffers, and the first one's slot. */
static unsigned got(struct rig *r, uint8_t byte, unsigned *first)
{
	struct virtq_done done;
	uint64_t gpa, bytes;
	uint8_t *mem = vdev_loopback_memory(r->l, &gpa, &bytes);
	unsigned n = 0;

	while (virtq_drv_take(vdev_loopback_drv(r->l, 0), &done, 1) == 1) {
		unsigned slot = (unsigned)(uintptr_t)done.cookie - 1;

		ck_assert_uint_eq(done.written, 1);
		ck_assert_uint_eq(mem[slot * SLOT], byte);
		if (n++ == 0 && first != NULL)
			*first = slot;
	}
	return n;
}

START_TEST(unknown_flags)
{
	struct rig r = {0};
	struct vdev_model m = rig_model(&r);

	m.flags |= 1u << 31;
	ck_assert_int_eq(vdev_new(&r.v, vdev_env_hosted(), &m), VIRTQ_EINVAL);
	m.flags &= ~(1u << 31);
	ck_assert_int_eq(vdev_new(&r.v, vdev_env_hosted(), &m), 0);
	ck_assert_int_eq(vdev_free(r.v), 0);
}
END_TEST

START_TEST(taken_given_and_put_back)
{
	struct virtq_chain c[SIZE];
	struct virtq_iov iov[64];
	struct vdev_counters n;
	unsigned first = 99;
	struct rig r;

	rig_init(&r, _i, 0);
	for (unsigned i = 0; i < 5; i++)
		add(&r, i);
	publish(&r);
	vdev_loopback_kick(r.l, 0);
	ck_assert_uint_eq(got(&r, 0, NULL), 0); /* it is for the model to take them */
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 0);
	ck_assert_int_eq(vdev_queue_run(r.v, 0, 0), 1); /* there is somebody: again, please */
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, 4, iov, 64), 4);
	vdev_queue_put_back(r.q[0], &c[2], 2);
	rig_give(&r, c, 2, 'a');
	ck_assert_uint_eq(got(&r, 'a', NULL), 0); /* not before it is left */
	ck_assert_uint_eq(r.interrupts[0], 0);
	vdev_queue_leave(r.q[0]);
	ck_assert_uint_eq(r.interrupts[0], 1);
	ck_assert_uint_eq(got(&r, 'a', &first), 2);
	ck_assert_uint_eq(first, 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, SIZE, iov, 64), 3);
	rig_give(&r, c, 3, 'b');
	vdev_queue_leave(r.q[0]);
	ck_assert_uint_eq(got(&r, 'b', &first), 3);
	ck_assert_uint_eq(first, 2);
	vdev_queue_counters(r.v, 0, &n);
	ck_assert_uint_eq(n.requests, 5);
	ck_assert_uint_eq(n.read_bytes, 5);
	ck_assert_uint_eq(n.bursts, 2);
	rig_fini(&r);
}
END_TEST

/* A fresh ring asks for notifications; once a buffer was taken, no more are asked for. */
static void serve_first(struct rig *r)
{
	struct virtq_chain c[1];
	struct virtq_iov iov[64];

	add(r, 0);
	publish(r);
	ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(r->l, 0)), 1);
	ck_assert_int_eq(vdev_queue_enter(r->q[0]), 1);
	ck_assert_int_eq(vdev_queue_take(r->q[0], c, 1, iov, 64), 1);
	rig_give(r, c, 1, 'a');
	vdev_queue_leave(r->q[0]);
}

/* Notifications are asked for by a fresh ring, and by an owner that found nothing and is not going to look again. */
START_TEST(asks_for_notifications_when_empty)
{
	struct virtq_drv *drv;
	struct virtq_chain c[SIZE];
	struct virtq_iov iov[64];
	struct rig r;

	rig_init(&r, _i, 0);
	drv = vdev_loopback_drv(r.l, 0);
	serve_first(&r);
	add(&r, 1);
	add(&r, 2);
	publish(&r);
	ck_assert_int_eq(virtq_drv_should_kick(drv), 0);
	ck_assert_int_eq(vdev_queue_run(r.v, 0, VDEV_RUN_ARM), 0); /* nor by the owner's run */
	add(&r, 3);
	publish(&r);
	ck_assert_int_eq(virtq_drv_should_kick(drv), 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, SIZE, iov, 64), 3);
	rig_give(&r, c, 3, 'a');
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, SIZE, iov, 64), 0);
	vdev_queue_leave(r.q[0]);
	ck_assert_uint_eq(got(&r, 'a', NULL), 4);
	r.give_in_poll = 2;
	ck_assert_int_eq(vdev_queue_run(r.v, 0, 0), 0); /* polls */
	add(&r, 4);
	publish(&r);
	ck_assert_int_eq(virtq_drv_should_kick(drv), 0);
	ck_assert_int_eq(vdev_queue_run(r.v, 0, 0), 1);
	ck_assert_int_eq(vdev_queue_run(r.v, 0, VDEV_RUN_ARM), 0); /* is going to sleep */
	ck_assert_uint_eq(got(&r, 'p', NULL), 1);
	add(&r, 5);
	publish(&r);
	ck_assert_int_eq(virtq_drv_should_kick(drv), 1);
	rig_fini(&r);
}
END_TEST

/* The ring was left while nothing was asked for, and is empty when the queue starts again. */
START_TEST(asks_again_after_a_stop)
{
	struct vdev_queue_setup setup = {0};
	struct virtq_state at;
	struct virtq_drv *drv;
	struct rig r;

	rig_init(&r, _i, 0);
	drv = vdev_loopback_drv(r.l, 0);
	serve_first(&r);
	ck_assert_uint_eq(got(&r, 'a', NULL), 1);
	ck_assert_int_eq(vdev_queue_stop(r.v, 0), 0);
	virtq_drv_state(drv, &setup.state);
	ck_assert_int_eq(vdev_queue_state(r.v, 0, &at), 0);
	setup.state.avail = at.avail;
	setup.state.used = at.used;
	setup.state.flags = at.flags;
	setup.state.unsignalled = at.unsignalled;
	ck_assert_int_eq(vdev_queue_start(r.v, 0, &setup), 0);
	r.give_in_poll = 1;
	ck_assert_int_eq(vdev_queue_run(r.v, 0, VDEV_RUN_ARM), 0); /* is going to sleep */
	add(&r, 1);
	publish(&r);
	ck_assert_int_eq(virtq_drv_should_kick(drv), 1);
	rig_fini(&r);
}
END_TEST

START_TEST(owner_gives_in_poll)
{
	struct rig r;

	rig_init(&r, _i, 0);
	for (unsigned i = 0; i < SIZE; i++)
		add(&r, i);
	publish(&r);
	r.give_in_poll = 5;
	for (int i = 0; i < 10 && vdev_queue_run(r.v, 0, 0); i++)
		;
	ck_assert_uint_eq(got(&r, 'p', NULL), 5);
	ck_assert_uint_ge(r.interrupts[0], 1);
	ck_assert_uint_eq(r.processed, 0);
	rig_fini(&r);
}
END_TEST

START_TEST(stopped_disabled_and_reset)
{
	struct virtq_chain c[SIZE];
	struct virtq_iov iov[64];
	struct virtq_buffer b;
	struct rig r;

	rig_init(&r, _i, 0);
	add(&r, 0);
	publish(&r);
	ck_assert_int_eq(vdev_queue_enable(r.v, 0, 0), 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_uint_eq(vdev_queue_take_buffers(r.q[0], &b, 1), 0);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, 1, iov, 64), VIRTQ_ECANCELED);
	vdev_queue_leave(r.q[0]);
	ck_assert_int_eq(vdev_queue_enable(r.v, 0, 1), 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, 1, iov, 64), 1);
	rig_give(&r, c, 1, 'a');
	vdev_queue_leave(r.q[0]);
	ck_assert_int_eq(vdev_queue_stop(r.v, 0), 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), VIRTQ_ECANCELED);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), VIRTQ_ECANCELED); /* and nobody is left inside */
	ck_assert_int_eq(vdev_set_status(r.v, 0), 0);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), VIRTQ_ECANCELED);
	rig_fini(&r);
}
END_TEST

/* A driver that breaks the rules breaks the queue for whoever is in it. */
START_TEST(broken_by_the_driver)
{
	struct virtq_state s;
	struct virtq_chain c[SIZE];
	struct virtq_iov iov[64];
	struct rig r;

	rig_init(&r, 0, 0);
	virtq_drv_state(vdev_loopback_drv(r.l, 0), &s);
	add(&r, 0);
	publish(&r);
	memset(r.memory + (s.driver - GPA) + 2, 0x7f, 2); /* the available index, far ahead */
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, 1, iov, 64), VIRTQ_EBROKEN);
	vdev_queue_leave(r.q[0]);
	ck_assert_int_eq(vdev_queue_broken(r.v, 0), 1);
	ck_assert_uint_ne(vdev_status(r.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	rig_fini(&r);
}
END_TEST

/* What a model must not do is logged: give too much, or chains and buffers that are not out. */
START_TEST(mistakes_of_a_model)
{
	const struct vdev_done none = {0};
	const uint32_t written[2] = {1, SLOT + 1};
	struct virtq_buffer b[2];
	struct virtq_chain c[2];
	struct virtq_iov iov[64];
	struct rig r;

	rig_init(&r, _i, 0);
	for (unsigned i = 0; i < 4; i++)
		add(&r, i);
	publish(&r);
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	ck_assert_uint_eq(vdev_queue_take_buffers(r.q[0], b, 2), 2);
	vdev_queue_give_buffers(r.q[0], b, written, 2, &none); /* more than there is room for */
	ck_assert_uint_eq(r.mistakes, 1);
	vdev_queue_put_back_buffers(r.q[0], b, 2);
	ck_assert_uint_eq(r.mistakes, 2);
	vdev_queue_put_back_buffers(r.q[0], b + 1, 1);
	ck_assert_uint_eq(r.mistakes, 2);
	ck_assert_int_eq(vdev_queue_take(r.q[0], c, 2, iov, 64), 2);
	rig_give(&r, c, 2, 'a');
	ck_assert_uint_eq(r.mistakes, 2);
	rig_give(&r, c, 1, 'a');
	ck_assert_uint_eq(r.mistakes, 3);
	ck_assert_int_eq(vdev_queue_broken(r.v, 0), 0);
	vdev_queue_put_back(r.q[0], c, 2);
	ck_assert_uint_eq(r.mistakes, 5); /* each, and the queue is broken: what is out is not known */
	vdev_queue_leave(r.q[0]);
	ck_assert_int_eq(vdev_queue_broken(r.v, 0), 1);
	rig_fini(&r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_supply");
	TCase *tc = tcase_create("core_supply");

	tcase_add_test(tc, unknown_flags);
	tcase_add_loop_test(tc, taken_given_and_put_back, 0, 2);
	tcase_add_loop_test(tc, asks_for_notifications_when_empty, 0, 2);
	tcase_add_loop_test(tc, asks_again_after_a_stop, 0, 2);
	tcase_add_loop_test(tc, owner_gives_in_poll, 0, 2);
	tcase_add_loop_test(tc, stopped_disabled_and_reset, 0, 2);
	tcase_add_test(tc, broken_by_the_driver);
	tcase_add_loop_test(tc, mistakes_of_a_model, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
