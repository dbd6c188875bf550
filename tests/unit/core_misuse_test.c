/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's calls used wrongly, or at the wrong time: an error, and nothing has changed. */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"

static struct state_buffer state;

static void run_all(struct fixture *f)
{
	for (int i = 0; i < 1000 && vdev_run(f->v, 0); i++)
		;
}

static void run_queue(struct fixture *f, unsigned q)
{
	for (int i = 0; i < 100 && vdev_queue_run(f->v, q, 0); i++)
		;
}

static struct vdev_queue_setup setup_of(struct fixture *f, unsigned q)
{
	struct vdev_queue_setup setup = {0};

	virtq_drv_state(vdev_loopback_drv(f->l, q), &setup.state);
	return setup;
}

/* An owner that does nothing until the test runs its queue, and one that runs it at once. */
static void later(void *ctx)
{
	(void)ctx;
}

static void at_once(void *ctx)
{
	run_queue(ctx, 0);
}

static void own(struct fixture *f, unsigned q, void (*wake)(void *))
{
	const struct vdev_owner owner = {.wake = wake, .ctx = f};
	struct vdev_queue_setup setup = setup_of(f, q);

	ck_assert_int_eq(vdev_queue_owned(f->v, q), 0);
	ck_assert_int_eq(vdev_queue_stop(f->v, q), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f->v, q, &owner), 0);
	ck_assert_int_eq(vdev_queue_owned(f->v, q), 1);
	ck_assert_int_eq(vdev_queue_start(f->v, q, &setup), VIRTQ_EAGAIN);
	run_queue(f, q);
	fixture_echo(f, !q);
}

START_TEST(arguments_are_needed)
{
	struct virtq_features none = {{0}};
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ck_assert_int_eq(vdev_withhold(NULL, &none), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, NULL), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_notice(f.v, (enum vdev_notice)(VDEV_NOTICE_MTU + 1), NULL), VIRTQ_EINVAL);
	fixture_start(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	setup.reserved2 = 1;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EINVAL);
	setup.reserved2 = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

/* While the device is being reset no queue of it is started. */
START_TEST(a_reset_lets_nothing_begin)
{
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_watch(&f);
	fixture_start(&f);
	setup = setup_of(&f, 1);
	ck_assert_int_eq(vdev_queue_stop(f.v, 1), 0);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_start(f.v, 1, &setup), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_started(f.v, 1), 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 1);
	fixture_fini(&f);
}
END_TEST

static struct vdev *being_reset;

static void accept_inside(void *model)
{
	struct virtq_features f = {{0}};

	(void)model;
	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	ck_assert_int_eq(vdev_accept(being_reset, &f), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_set_status(being_reset, 1), VIRTQ_EINVAL);
}

/* Nor is anything negotiated, by a model that is called for the reset. */
START_TEST(a_reset_lets_nothing_be_negotiated)
{
	struct vdev_model_ops ops = echo_ops;
	struct vdev_model m = {.size = sizeof(m), .ops = &ops, .nqueues = 1, .queue_max = 8};
	struct virtq_features got;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ops.reset = accept_inside;
	ops.destroy = NULL;
	ck_assert_int_eq(vdev_new(&being_reset, &f.env, &m), 0);
	ck_assert_int_eq(vdev_set_status(being_reset, 1), 0);
	ck_assert_int_eq(vdev_set_status(being_reset, 0), 0);
	ck_assert_uint_eq(vdev_status(being_reset), 0);
	vdev_accepted(being_reset, &got);
	ck_assert_uint_eq(got.word[0] | got.word[1], 0);
	ck_assert_int_eq(vdev_free(being_reset), 0);
	fixture_fini(&f);
}
END_TEST

/* Until a suspend has ended the driver can give up, and nothing else. */
START_TEST(a_suspend_lets_no_bit_be_set)
{
	enum {
		FEATURES = VIRTQ_STATUS_FEATURES_OK,
		LIVE = FEATURES | VIRTQ_STATUS_DRIVER_OK,
		SUSPEND = VIRTQ_STATUS_SUSPEND
	};
	struct virtq_features features;
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_watch(&f);
	fixture_start(&f);
	vdev_accepted(f.v, &features);
	setup = setup_of(&f, 0);
	/* A driver that leaves out the first two steps. */
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_accept(f.v, &features), 0);
	ck_assert_int_eq(vdev_set_status(f.v, FEATURES), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	ck_assert_int_eq(vdev_set_status(f.v, LIVE), 0);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_set_status(f.v, LIVE | SUSPEND), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_set_status(f.v, LIVE | SUSPEND | VIRTQ_STATUS_ACKNOWLEDGE), VIRTQ_EAGAIN);
	ck_assert_uint_eq(vdev_status(f.v), LIVE);
	ck_assert_int_eq(vdev_set_status(f.v, LIVE | SUSPEND | VIRTQ_STATUS_FAILED), VIRTQ_EAGAIN);
	ck_assert_uint_eq(vdev_status(f.v), LIVE | VIRTQ_STATUS_FAILED);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_SUSPEND], 1);
	ck_assert_uint_eq(vdev_status(f.v), FEATURES | SUSPEND | VIRTQ_STATUS_FAILED);
	fixture_fini(&f);
}
END_TEST

/* Who has an owner is told the end, even of what the owner does before the call returns. */
START_TEST(owners_may_be_quick)
{
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_watch(&f);
	fixture_start(&f);
	own(&f, 0, at_once);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	fixture_fini(&f);
}
END_TEST

/* Asked for twice: at once, and while the owner is at it. It ends once, and does not end the queue's next life. */
struct ending {
	int (*ask)(struct vdev *v, unsigned q);
	void (*again)(struct echo *e, unsigned q);
	int op;
};

static void stop_again(struct echo *e, unsigned q)
{
	ck_assert_int_eq(vdev_queue_stop(e->v, q), VIRTQ_EAGAIN);
}

static void reset_again(struct echo *e, unsigned q)
{
	ck_assert_int_eq(vdev_queue_reset(e->v, q), VIRTQ_EAGAIN);
}

START_TEST(ends_are_asked_for_twice)
{
	static const struct ending ends[] = {{vdev_queue_stop, stop_again, VDEV_OP_QUEUE_STOP},
	                                     {vdev_queue_reset, reset_again, VDEV_OP_QUEUE_RESET}};
	const struct ending *end = &ends[_i / LAYOUTS];
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, _i % LAYOUTS, 2);
	fixture_watch(&f);
	fixture_start(&f);
	setup = setup_of(&f, 0);
	own(&f, 0, later);
	f.echo.on_end = end->again;
	ck_assert_int_eq(end->ask(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(end->ask(f.v, 0), VIRTQ_EAGAIN);
	run_queue(&f, 0);
	f.echo.on_end = NULL;
	ck_assert_uint_eq(f.done[end->op], 1);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	run_queue(&f, 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 1);
	ck_assert_uint_eq(f.done[end->op], 1);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_queue(&f, 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	fixture_fini(&f);
}
END_TEST

static int failing_load(void *model, struct vdev_reader *r, uint32_t version, int apply)
{
	(void)model;
	(void)version;
	vdev_get32(r);
	return apply ? VIRTQ_EIO : 0;
}

START_TEST(saving_and_loading_at_the_wrong_time)
{
	struct virtq_state s;
	struct vdev_function *fn;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_watch(&f);
	fixture_start(&f);
	fn = vdev_function(f.v);
	own(&f, 0, later);
	ck_assert_int_eq(vdev_function_quiesce(fn), VIRTQ_EAGAIN);
	run_queue(&f, 0);
	ck_assert_uint_eq(f.done[VDEV_OP_QUIESCE], 1);
	ck_assert_int_eq(vdev_function_save(fn, state_buffer_init(&state)), 0);
	/* Its queue would have to end here, and it is its owner's. */
	ck_assert_int_eq(vdev_function_load(fn, &state.stream), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
	/* Quiesced, but not at rest: its owner has not ended the queue yet. */
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_save(fn, state_buffer_init(&state)), VIRTQ_EBUSY);
	ck_assert_uint_eq(state.len, 0);
	run_queue(&f, 0);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	fixture_fini(&f);
}
END_TEST

/* A model that takes back what it said of a state: then nothing of it is taken. */
START_TEST(a_model_that_fails_at_last)
{
	struct vdev_model_ops ops = echo_ops;
	struct vdev_model m = {.size = sizeof(m), .ops = &ops, .queue_max = 8};
	struct vdev *v;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ops.load = failing_load;
	ops.destroy = NULL;
	m.model = &f.echo;
	ck_assert_int_eq(vdev_new(&v, &f.env, &m), 0);
	ck_assert_int_eq(vdev_set_status(v, VIRTQ_STATUS_ACKNOWLEDGE), 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(v), state_buffer_init(&state)), 0);
	ck_assert_int_eq(vdev_function_reset(vdev_function(v)), 0);
	ck_assert_int_eq(vdev_function_load(vdev_function(v), &state.stream), VIRTQ_EIO);
	ck_assert_uint_eq(vdev_status(v), 0);
	ck_assert_int_eq(vdev_free(v), 0);
	fixture_fini(&f);
}
END_TEST

/* A queue that was restored but could not be started has no position to tell. */
START_TEST(a_queue_that_is_not_there)
{
	struct virtq_state s = {.size = 0x5a5a};
	struct vdev_function *fn;
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	fn = vdev_function(f.v);
	ck_assert_int_eq(vdev_function_quiesce(fn), 0);
	ck_assert_int_eq(vdev_function_save(fn, state_buffer_init(&state)), 0);
	ck_assert_int_eq(vdev_function_reset(fn), 0);
	f.echo.start_error = VIRTQ_EIO;
	ck_assert_int_eq(vdev_function_load(fn, &state.stream), 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EBUSY);
	ck_assert_uint_eq(s.size, 0x5a5a);
	f.echo.start_error = 0;
	ck_assert_int_eq(vdev_function_reset(fn), 0);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	fixture_fini(&f);
}
END_TEST

static int nothing_is_there(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)iova;
	(void)write;
	(void)out;
	++*(unsigned *)ctx;
	return VIRTQ_EFAULT;
}

/* A platform that could translate is not asked by a driver that does not want it. */
START_TEST(a_translation_needs_its_feature)
{
	struct virtq_region region = {.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES};
	struct vdev_queue_setup setup;
	struct virtq_mem map;
	struct fixture f;
	unsigned asked = 0;
	const struct virtq_xlat_ops ops = {sizeof(ops), nothing_is_there, &asked};

	fixture_init(&f, _i, 1);
	fixture_watch(&f);
	fixture_start(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_set_xlat(f.v, &ops), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	fixture_echo(&f, 0);
	/* And where the ring is in another map is known: what comes meanwhile does not wait for what is out. */
	region.host = f.memory;
	ck_assert_int_eq(virtq_mem_init(&map, &region, 1), 0);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(f.v), &map), VIRTQ_EAGAIN);
	virtq_mem_unref(&map);
	f.echo.hold = 0;
	fixture_add(&f, 0, 1, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.echo.offered, 3);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_SET_MEM], 1);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	ck_assert_uint_eq(asked, 0);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_misuse");
	TCase *tc = tcase_create("core_misuse");

	tcase_add_test(tc, arguments_are_needed);
	tcase_add_loop_test(tc, a_reset_lets_nothing_begin, 0, LAYOUTS);
	tcase_add_test(tc, a_reset_lets_nothing_be_negotiated);
	tcase_add_loop_test(tc, a_suspend_lets_no_bit_be_set, 0, LAYOUTS);
	tcase_add_loop_test(tc, owners_may_be_quick, 0, LAYOUTS);
	tcase_add_loop_test(tc, ends_are_asked_for_twice, 0, 2 * LAYOUTS);
	tcase_add_loop_test(tc, saving_and_loading_at_the_wrong_time, 0, LAYOUTS);
	tcase_add_test(tc, a_model_that_fails_at_last);
	tcase_add_loop_test(tc, a_queue_that_is_not_there, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_translation_needs_its_feature, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
