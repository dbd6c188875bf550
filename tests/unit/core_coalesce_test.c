/* SPDX-License-Identifier: BSD-3-Clause */
/* Notifications that are held back: until there are enough, or one has waited long enough, and never beyond an end. */
#include <pthread.h>
#include <sched.h>

#include "check_main.h"
#include "supply_rig.h"

enum { NS = 1000 };

/* The owner runs a queue. */
static void run(struct rig *r, unsigned q, unsigned flags)
{
	for (int i = 0; i < 4 && vdev_queue_run(r->v, q, flags); i++)
		;
}

static void add(struct rig *r, unsigned q)
{
	rig_add(r, q, r->slot++ % SIZE);
	rig_publish(r, q);
}

/* The driver takes what was used, and wants to be told of more. */
static unsigned take(struct rig *r, unsigned q)
{
	struct virtq_done done;
	unsigned n = 0;

	do {
		while (virtq_drv_take(vdev_loopback_drv(r->l, q), &done, 1) == 1)
			n++;
	} while (virtq_drv_arm(vdev_loopback_drv(r->l, q)));
	return n;
}

/* So many requests, each in a run of its own. */
static void serve(struct rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		add(r, 1);
		run(r, 1, VDEV_RUN_ARM);
	}
}

static void run_until(struct rig *r, unsigned q, uint64_t at)
{
	__atomic_store_n(&r->now, at, __ATOMIC_RELAXED);
	run(r, q, VDEV_RUN_ARM);
}

static void coalesce(struct rig *r, unsigned q, uint32_t packets, uint64_t ns)
{
	ck_assert_int_eq(vdev_queue_coalesce(r->q[q], packets, ns), 0);
	run(r, q, 0);
}

START_TEST(enough_of_them)
{
	struct vdev_counters n;
	struct rig r;

	rig_init(&r, _i, 1);
	coalesce(&r, 1, 4, NS);
	serve(&r, 3);
	ck_assert_uint_eq(r.interrupts[1], 0);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), NS);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 1);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), UINT64_MAX);
	ck_assert_uint_eq(take(&r, 1), 4);
	/* and counts anew */
	serve(&r, 3);
	ck_assert_uint_eq(r.interrupts[1], 1);
	serve(&r, 2);
	ck_assert_uint_eq(r.interrupts[1], 2);
	vdev_queue_counters(r.v, 1, &n);
	ck_assert_uint_eq(n.interrupts, 2);
	rig_fini(&r);
}
END_TEST

START_TEST(long_enough)
{
	struct rig r;

	rig_init(&r, _i, 1);
	coalesce(&r, 1, 4, NS);
	r.now = 7;
	serve(&r, 1);
	r.now = 500;
	serve(&r, 1); /* the first of them counts */
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), 7 + NS);
	run_until(&r, 1, 7 + NS - 1);
	ck_assert_uint_eq(r.interrupts[1], 0);
	run_until(&r, 1, 7 + NS);
	ck_assert_uint_eq(r.interrupts[1], 1);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), UINT64_MAX);
	run_until(&r, 1, 70 * NS);
	ck_assert_uint_eq(r.interrupts[1], 1);
	rig_fini(&r);
}
END_TEST

/* More than the queue has would only ever be the time. */
START_TEST(no_more_than_the_queue_has)
{
	struct rig r;

	rig_init(&r, _i, 1);
	r.now = 5; /* the time would wrap round */
	coalesce(&r, 1, 1000000, UINT64_MAX);
	serve(&r, SIZE - 1);
	ck_assert_uint_eq(r.interrupts[1], 0);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), UINT64_MAX);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 1);
	rig_fini(&r);
}
END_TEST

START_TEST(new_settings)
{
	struct rig r;

	rig_init(&r, _i, 1);
	coalesce(&r, 1, 6, NS);
	serve(&r, 3);
	coalesce(&r, 1, 5, NS);
	ck_assert_uint_eq(r.interrupts[1], 0);
	coalesce(&r, 1, 3, NS); /* these are enough now */
	ck_assert_uint_eq(r.interrupts[1], 1);
	ck_assert_uint_eq(take(&r, 1), 3);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 1);
	coalesce(&r, 1, 5, 0);
	ck_assert_uint_eq(r.interrupts[1], 2);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), UINT64_MAX);
	coalesce(&r, 1, 0, 0); /* nothing is held back */
	ck_assert_uint_eq(r.interrupts[1], 2);
	ck_assert_uint_eq(take(&r, 1), 1);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 3);
	/* those before it was turned on don't count */
	ck_assert_uint_eq(take(&r, 1), 1);
	coalesce(&r, 1, 3, NS);
	serve(&r, 2);
	ck_assert_uint_eq(r.interrupts[1], 3);
	rig_fini(&r);
}
END_TEST

/* Who does not want to be told is not told. */
START_TEST(suppressed_by_the_driver)
{
	struct rig r;

	rig_init(&r, 1, 1);
	coalesce(&r, 1, 2, NS);
	virtq_drv_disarm(vdev_loopback_drv(r.l, 1));
	serve(&r, 3);
	run_until(&r, 1, NS);
	ck_assert_uint_eq(r.interrupts[1], 0);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 1), UINT64_MAX);
	ck_assert_uint_eq(take(&r, 1), 3);
	serve(&r, 2);
	ck_assert_uint_eq(r.interrupts[1], 1);
	rig_fini(&r);
}
END_TEST

enum { BY_STOP, BY_QUIESCE, BY_SUSPEND, BY_QUEUE_RESET, BY_RESET, ENDS };

/* What is held back is sent before whatever ends or pauses the queue. */
START_TEST(sent_before_an_end)
{
	struct rig r;

	rig_init(&r, _i & 1, 1);
	coalesce(&r, 1, 6, NS);
	serve(&r, 2);
	ck_assert_uint_eq(r.interrupts[1], 0);
	switch (_i / 2) {
	case BY_STOP:
		ck_assert_int_eq(vdev_queue_stop(r.v, 1), 0);
		break;
	case BY_QUIESCE:
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(r.v)), 0);
		break;
	case BY_SUSPEND:
		ck_assert_int_eq(vdev_set_status(r.v, vdev_status(r.v) | VIRTQ_STATUS_SUSPEND), 0);
		break;
	case BY_QUEUE_RESET:
		ck_assert_int_eq(vdev_queue_reset(r.v, 1), 0);
		break;
	default:
		ck_assert_int_eq(vdev_set_status(r.v, 0), 0);
	}
	ck_assert_uint_eq(r.interrupts[1], 1);
	if (_i / 2 == BY_QUIESCE)
		ck_assert_int_eq(vdev_function_resume(vdev_function(r.v)), 0);
	rig_fini(&r);
}
END_TEST

/* Settings outlive a quiesce, and not a reset. */
START_TEST(until_the_reset)
{
	struct rig r;

	rig_init(&r, _i, 1);
	coalesce(&r, 1, 4, NS);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(r.v)), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(r.v)), 0);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 0);
	ck_assert_int_eq(vdev_loopback_reset(r.l), 0);
	r.interrupts[1] = 0;
	ck_assert_int_eq(vdev_loopback_start(r.l), 0);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 1);
	rig_fini(&r);
}
END_TEST

START_TEST(without_a_clock)
{
	struct rig r;

	rig_init(&r, 0, 0);
	ck_assert_int_eq(vdev_queue_coalesce(r.q[1], 4, NS), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_queue_coalesce(r.q[1], 4, 0), 0);
	ck_assert_int_eq(vdev_queue_coalesce(r.q[1], 0, 5), 0);
	serve(&r, 1);
	ck_assert_uint_eq(r.interrupts[1], 1);
	rig_fini(&r);
}
END_TEST

static void wake(void *ctx)
{
	__atomic_fetch_add(&((struct rig *)ctx)->woken, 1, __ATOMIC_RELEASE);
}

/* One buffer given by somebody else. 0: the queue was taken, or empty. */
static int give_one(struct rig *r)
{
	const struct vdev_done sum = {.read_bytes = 1};
	uint32_t written = 1;
	struct virtq_chain c;
	struct virtq_iov iov[64];
	int n;

	if (vdev_queue_enter(r->q[0]) != 1)
		return 0;
	n = vdev_queue_take(r->q[0], &c, 1, iov, 64);
	if (n == 1)
		vdev_queue_give(r->q[0], &c, &written, 1, &sum);
	vdev_queue_leave(r->q[0]);
	return n == 1;
}

/* Restarted with owners. */
static void own(struct rig *r)
{
	struct vdev_owner owner = {wake, r};

	ck_assert_int_eq(vdev_queue_stop(r->v, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(r->v, 0, &owner), 0);
}

static void disown(struct rig *r)
{
	if (vdev_set_status(r->v, 0) == VIRTQ_EAGAIN)
		run(r, 0, 0);
	ck_assert_uint_eq(vdev_status(r->v), 0);
	ck_assert_int_eq(vdev_queue_set_owner(r->v, 0, NULL), 0);
	rig_fini(r);
}

static void restart(struct rig *r)
{
	struct vdev_queue_setup setup = {0};

	ck_assert_int_eq(vdev_queue_state(r->v, 0, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_start(r->v, 0, &setup), VIRTQ_EAGAIN);
	run(r, 0, 0);
}

/* Who enters and holds a notification back has the owner woken once, for its timer. */
START_TEST(the_owner_is_told)
{
	struct rig r;

	rig_init(&r, _i, 1);
	own(&r);
	r.woken = 0;
	ck_assert_int_eq(vdev_queue_coalesce(r.q[0], 4, NS), 0);
	ck_assert_uint_eq(r.woken, 0); /* the queue is not started */
	restart(&r);
	ck_assert_int_eq(vdev_queue_coalesce(r.q[0], 5, NS), 0);
	add(&r, 0);
	ck_assert_int_eq(give_one(&r), 0); /* what was asked for comes first */
	run(&r, 0, VDEV_RUN_ARM);
	r.woken = 0;
	ck_assert_int_eq(vdev_queue_enter(r.q[0]), 1);
	vdev_queue_leave(r.q[0]);
	ck_assert_uint_eq(r.woken, 0); /* nothing is held back */
	for (int i = 0; i < 5; i++)
		add(&r, 0);
	r.woken = 0;
	ck_assert_int_eq(give_one(&r), 1);
	ck_assert_uint_eq(r.woken, 1);
	ck_assert_int_eq(give_one(&r), 1);
	ck_assert_uint_eq(r.woken, 1);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 0), UINT64_MAX);
	run(&r, 0, VDEV_RUN_ARM);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 0), NS);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(give_one(&r), 1);
	ck_assert_uint_eq(r.interrupts[0], 1); /* five of them */
	ck_assert_uint_eq(r.woken, 1);
	r.now = 500;
	/* the owner runs at 1000 anyhow, in time for what is due at 1500: it need not be woken */
	ck_assert_int_eq(give_one(&r), 1);
	ck_assert_uint_eq(r.woken, 1);
	run_until(&r, 0, NS);
	ck_assert_uint_eq(vdev_queue_deadline(r.v, 0), 500 + NS);
	ck_assert_uint_eq(take(&r, 0), 6);
	add(&r, 0);
	ck_assert_int_eq(give_one(&r), 1);
	run_until(&r, 0, 500 + NS);
	ck_assert_uint_eq(r.interrupts[0], 2);
	disown(&r);
}
END_TEST

/* The owner's thread: runs when woken or when its time has come, as an event loop does. */
static void *owner_thread(void *ctx)
{
	struct rig *r = ctx;
	uint64_t deadline = UINT64_MAX;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		if (__atomic_exchange_n(&r->woken, 0, __ATOMIC_ACQ_REL) == 0 && rig_now(r) < deadline) {
			sched_yield();
			continue;
		}
		while (vdev_queue_run(r->v, 0, VDEV_RUN_ARM))
			sched_yield();
		deadline = vdev_queue_deadline(r->v, 0);
	}
	return NULL;
}

/* Entered by one thread, owned by another, set by a third: whatever was given the driver is told of in the end. */
START_TEST(by_several_threads)
{
	unsigned given = 0, taken = 0;
	pthread_t owner;
	struct rig r;

	rig_init(&r, _i, 1);
	own(&r);
	restart(&r);
	ck_assert_int_eq(pthread_create(&owner, NULL, owner_thread, &r), 0);
	for (unsigned round = 0; round < 300; round++) {
		unsigned before = __atomic_load_n(&r.interrupts[0], __ATOMIC_RELAXED), n = 0;

		ck_assert_int_eq(vdev_queue_coalesce(r.q[0], round % 5, NS), 0);
		for (int i = 0; i < 3; i++)
			add(&r, 0);
		while (n < 3)
			n += (unsigned)give_one(&r);
		given += n;
		while (__atomic_load_n(&r.interrupts[0], __ATOMIC_RELAXED) == before) {
			__atomic_fetch_add(&r.now, NS / 4, __ATOMIC_RELAXED);
			sched_yield();
		}
		taken += take(&r, 0);
	}
	ck_assert_uint_eq(taken, given);
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(pthread_join(owner, NULL), 0);
	disown(&r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_coalesce");
	TCase *tc = tcase_create("core_coalesce");

	tcase_set_timeout(tc, 240); /* waits for turns of the processor */
	tcase_add_loop_test(tc, enough_of_them, 0, 2);
	tcase_add_loop_test(tc, long_enough, 0, 2);
	tcase_add_loop_test(tc, no_more_than_the_queue_has, 0, 2);
	tcase_add_loop_test(tc, new_settings, 0, 2);
	tcase_add_test(tc, suppressed_by_the_driver);
	tcase_add_loop_test(tc, sent_before_an_end, 0, ENDS * 2);
	tcase_add_loop_test(tc, until_the_reset, 0, 2);
	tcase_add_test(tc, without_a_clock);
	tcase_add_loop_test(tc, the_owner_is_told, 0, 2);
	tcase_add_loop_test(tc, by_several_threads, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
