/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues with owners on threads of their own, control from another thread: operations are posted, end on the owners'
 * threads, and nothing is lost. Meant for ThreadSanitizer too.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"

/* An owner: runs its queue when woken, until it is told to go. */
struct owner {
	struct fixture *f;
	unsigned q;
	unsigned woken;
	unsigned stop;
	unsigned runs;
	/* Requests that echo holds belong to this thread: how many it may finish. */
	unsigned finish;
	pthread_t thread;
};

static void wake(void *ctx)
{
	__atomic_store_n(&((struct owner *)ctx)->woken, 1, __ATOMIC_RELEASE);
}

static void *own(void *ctx)
{
	struct owner *o = ctx;

	while (!__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE)) {
		unsigned n = __atomic_exchange_n(&o->finish, 0, __ATOMIC_ACQ_REL);

		if (n != 0) {
			echo_finish(&o->f->echo, n);
			wake(o);
		}
		if (!__atomic_exchange_n(&o->woken, 0, __ATOMIC_ACQ_REL)) {
			sched_yield();
			continue;
		}
		o->runs++;
		if (vdev_queue_run(o->f->v, o->q, VDEV_RUN_ARM))
			wake(o);
	}
	return NULL;
}

static void owners_start(struct owner *o, struct fixture *f, unsigned n)
{
	for (unsigned q = 0; q < n; q++) {
		struct vdev_owner owner = {wake, &o[q]};

		o[q] = (struct owner){.f = f, .q = q};
		ck_assert_int_eq(vdev_queue_set_owner(f->v, q, &owner), 0);
		ck_assert_int_eq(vdev_queue_owned(f->v, q), 1);
		ck_assert_int_eq(pthread_create(&o[q].thread, NULL, own, &o[q]), 0);
	}
}

static void owners_stop(struct owner *o, unsigned n)
{
	for (unsigned q = 0; q < n; q++) {
		__atomic_store_n(&o[q].stop, 1, __ATOMIC_RELEASE);
		ck_assert_int_eq(pthread_join(o[q].thread, NULL), 0);
		ck_assert_int_eq(vdev_queue_set_owner(o[q].f->v, q, NULL), 0);
	}
}

static uint64_t ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Wait until *counter reaches n; a deadline instead of a sleep. */
static void await(const unsigned *counter, unsigned n)
{
	uint64_t end = ms() + 20000;

	while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < n) {
		ck_assert_msg(ms() < end, "%u of %u", *counter, n);
		sched_yield();
	}
}

static void take_n(struct fixture *f, unsigned q, unsigned n)
{
	uint64_t end = ms() + 20000;
	unsigned got = 0;

	while (got < n) {
		got += fixture_take(f, q);
		ck_assert_uint_lt(ms(), end);
		sched_yield();
	}
	ck_assert_uint_eq(got, n);
}

static void settle(int rc, struct fixture *f, int op, unsigned before)
{
	if (rc == VIRTQ_EAGAIN)
		await(&f->done[op], before + 1);
	else
		ck_assert_int_eq(rc, 0);
}

static void reset_and_wait(struct fixture *f)
{
	unsigned before = f->done[VDEV_OP_RESET];

	settle(vdev_set_status(f->v, 0), f, VDEV_OP_RESET, before);
	ck_assert_uint_eq(vdev_status(f->v), 0);
}

static void begin(struct fixture *f, struct owner *o, int layout, unsigned n)
{
	fixture_init(f, layout, n);
	fixture_watch(f);
	owners_start(o, f, n);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
}

static void end(struct fixture *f, struct owner *o, unsigned n)
{
	reset_and_wait(f);
	owners_stop(o, n);
	fixture_fini(f);
}

START_TEST(requests_by_two_owners)
{
	struct vdev_counters counters;
	struct owner o[2];
	struct fixture f;

	begin(&f, o, _i, 2);
	for (int i = 0; i < 300; i++) {
		unsigned n = 1 + (unsigned)i % 4;

		for (unsigned q = 0; q < 2; q++) {
			for (unsigned s = 0; s < n; s++)
				fixture_add(&f, q, q * 8 + s, (uint8_t)(i + (int)s), 8, 8);
			vdev_loopback_kick(f.l, q);
		}
		for (unsigned q = 0; q < 2; q++) {
			take_n(&f, q, n);
			vdev_queue_counters(f.v, q, &counters); /* any thread */
			ck_assert_uint_le(counters.requests, 4 * (unsigned)(i + 1));
			for (unsigned s = 0; s < n; s++)
				ck_assert_uint_eq(fixture_in(&f, q * 8 + s)[0], (uint8_t)(i + (int)s));
		}
	}
	ck_assert_uint_gt(o[0].runs, 0);
	ck_assert_uint_gt(o[1].runs, 0);
	end(&f, o, 2);
}
END_TEST

START_TEST(reset_with_requests_out)
{
	struct owner o[1];
	struct fixture f;

	begin(&f, o, _i, 1);
	for (unsigned round = 0; round < 30; round++) {
		__atomic_store_n(&f.echo.hold, 1, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < 3; i++)
			fixture_add(&f, 0, i, 1, 8, 8);
		vdev_loopback_kick(f.l, 0);
		await(&f.echo.nheld, 3);
		ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
		ck_assert_uint_ne(vdev_status(f.v), 0);
		__atomic_store_n(&o[0].finish, 3, __ATOMIC_RELEASE);
		await(&f.done[VDEV_OP_RESET], round + 1);
		ck_assert_uint_eq(vdev_status(f.v), 0);
		ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
		ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	}
	ck_assert_int_eq(vdev_set_status(f.v, 0),
	                 VIRTQ_EAGAIN); /* always posted where there is an owner */
	await(&f.done[VDEV_OP_RESET], 31);
	owners_stop(o, 1);
	__atomic_store_n(&f.echo.hold, 0, __ATOMIC_RELAXED);
	fixture_fini(&f);
}
END_TEST

/* Control operations of all kinds under traffic. */
/* A driver that sees the reset's end goes on at once, and is heard. */
START_TEST(the_end_of_a_reset)
{
	struct virtq_features features;
	struct vdev_queue_setup setup = {0};
	struct owner o[1];
	struct fixture f;
	unsigned told = 0;
	uint8_t live;

	begin(&f, o, LAYOUT_SPLIT, 1);
	virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
	vdev_accepted(f.v, &features);
	live = vdev_status(f.v);
	for (unsigned long i = test_rounds(300); i > 0; i--) {
		uint64_t deadline = ms() + 20000;

		told += vdev_set_status(f.v, 0) == VIRTQ_EAGAIN; /* else it ended in the call */
		while (vdev_status(f.v) != 0)
			ck_assert_uint_lt(ms(), deadline);
		ck_assert_int_eq(vdev_set_status(f.v, VIRTQ_STATUS_ACKNOWLEDGE), 0);
		ck_assert_int_eq(vdev_accept(f.v, &features), 0);
		ck_assert_int_eq(vdev_set_status(f.v, live), 0);
		await(&f.done[VDEV_OP_RESET], told);
		ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	}
	end(&f, o, 1);
}
END_TEST

START_TEST(control_under_traffic)
{
	static struct state_buffer b;
	struct virtq_region region;
	struct virtq_mem maps[2];
	struct vdev_function *fn;
	struct vdev_queue_setup setup = {0};
	struct owner o[2];
	struct fixture f;

	begin(&f, o, _i, 2);
	fn = vdev_function(f.v);
	region = (struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
	for (unsigned round = 0; round < 60; round++) {
		unsigned done[8];

		memcpy(done, f.done, sizeof(done));
		for (unsigned q = 0; q < 2; q++) {
			for (unsigned i = 0; i < 4; i++)
				fixture_add(&f, q, 8 * q + i, 1, 8, 8);
			vdev_loopback_kick(f.l, q);
		}
		switch (round % 5) {
		case 0:
			settle(vdev_function_quiesce(fn), &f, VDEV_OP_QUIESCE, done[VDEV_OP_QUIESCE]);
			ck_assert_int_eq(vdev_function_save(fn, state_buffer_init(&b)), 0);
			ck_assert_int_eq(vdev_function_resume(fn), 0);
			break;
		case 1:
			if (round < 10) {
				ck_assert_int_eq(virtq_mem_init(&maps[round / 5], &region, 1), 0);
				settle(vdev_function_set_mem(fn, &maps[round / 5]), &f, VDEV_OP_SET_MEM,
				       done[VDEV_OP_SET_MEM]);
				virtq_mem_unref(&maps[round / 5]);
			}
			break;
		case 2:
			settle(vdev_invalidate(f.v, 0, UINT64_MAX), &f, VDEV_OP_INVALIDATE,
			       done[VDEV_OP_INVALIDATE]);
			break;
		case 3:
			settle(vdev_set_status(f.v, vdev_status(f.v) | VIRTQ_STATUS_SUSPEND), &f,
			       VDEV_OP_SUSPEND, done[VDEV_OP_SUSPEND]);
			ck_assert_uint_eq(vdev_status(f.v) & VIRTQ_STATUS_DRIVER_OK, 0);
			ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | VIRTQ_STATUS_DRIVER_OK), 0);
			break;
		default:
			settle(vdev_queue_stop(f.v, 0), &f, VDEV_OP_QUEUE_STOP, done[VDEV_OP_QUEUE_STOP]);
			virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
			ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
			ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
			break;
		}
		take_n(&f, 0, 4);
		take_n(&f, 1, 4);
	}
	end(&f, o, 2);
}
END_TEST

START_TEST(an_owned_queue_that_cannot_start_is_broken)
{
	struct vdev_queue_setup setup = {0};
	struct owner o[1];
	struct vdev_owner bad = {NULL, NULL};
	struct fixture f;

	begin(&f, o, _i, 1);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &bad), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 9, NULL), VIRTQ_EINVAL);
	virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
	settle(vdev_queue_reset(f.v, 0), &f, VDEV_OP_QUEUE_RESET, 0);
	f.echo.start_error = VIRTQ_EIO;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	await(&f.broken, 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	/* And then it can be stopped. */
	settle(vdev_queue_stop(f.v, 0), &f, VDEV_OP_QUEUE_STOP, 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	f.echo.start_error = 0;
	/* A start and a stop before the owner looks: nothing is left. */
	for (int i = 0; i < 50; i++) {
		unsigned before = f.done[VDEV_OP_QUEUE_STOP];

		ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
		settle(vdev_queue_stop(f.v, 0), &f, VDEV_OP_QUEUE_STOP, before);
	}
	reset_and_wait(&f);
	owners_stop(o, 1);
	fixture_fini(&f);
}
END_TEST

/* Others wake an owner at any time: once it has been taken away it is not called any more, and may be gone. */
struct brief_owner {
	struct owner *o;
	unsigned gone;
	unsigned wakes;
};

static void wake_brief(void *ctx)
{
	struct brief_owner *b = ctx;

	ck_assert_uint_eq(__atomic_load_n(&b->gone, __ATOMIC_ACQUIRE), 0);
	__atomic_fetch_add(&b->wakes, 1, __ATOMIC_RELAXED);
	sched_yield();
	ck_assert_uint_eq(__atomic_load_n(&b->gone, __ATOMIC_ACQUIRE), 0);
	wake(b->o);
}

struct waker {
	struct fixture *f;
	struct vdev_queue *q; /* NULL: kick */
	unsigned stop;
};

static void *wake_on(void *ctx)
{
	struct waker *w = ctx;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		if (w->q != NULL)
			vdev_queue_wake(w->q);
		else
			vdev_queue_kick(w->f->v, 0);
	}
	return NULL;
}

START_TEST(owners_are_woken_while_they_change)
{
	enum { WAKERS = 2 };
	struct vdev_queue_setup setup = {0};
	struct brief_owner brief[2] = {{0}};
	struct waker w[WAKERS] = {{0}};
	pthread_t thread[WAKERS];
	struct owner o[1];
	struct fixture f;
	unsigned long rounds = test_rounds(50);

	begin(&f, o, _i, 1);
	await(&f.echo.queue_starts, 1);
	settle(vdev_queue_stop(f.v, 0), &f, VDEV_OP_QUEUE_STOP, 0);
	for (unsigned i = 0; i < WAKERS; i++) {
		w[i] = (struct waker){.f = &f, .q = i == 0 ? f.echo.queue : NULL};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, wake_on, &w[i]), 0);
	}
	for (unsigned long i = 0; i < rounds; i++) {
		struct brief_owner *b = &brief[i % 2];
		struct vdev_owner owner = {wake_brief, b};
		unsigned before = f.done[VDEV_OP_QUEUE_STOP];

		/* The thread that serves the queue stays the same, so that it is not waited for between two owners. */
		*b = (struct brief_owner){.o = o};
		ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
		ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
		ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
		await(&b->wakes, 3);
		settle(vdev_queue_stop(f.v, 0), &f, VDEV_OP_QUEUE_STOP, before);
		ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
		__atomic_store_n(&b->gone, 1, __ATOMIC_RELEASE);
	}
	for (unsigned i = 0; i < WAKERS; i++) {
		__atomic_store_n(&w[i].stop, 1, __ATOMIC_RELEASE);
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	}
	reset_and_wait(&f);
	owners_stop(o, 1);
	fixture_fini(&f);
}
END_TEST

/* An attachment that somebody is in: whoever takes it away waits, since it may be gone then. */
struct visit {
	struct fixture *f;
	sem_t go;
	unsigned inside, out, asked, detached;
};

static void stay(struct visit *visit)
{
	__atomic_store_n(&visit->inside, 1, __ATOMIC_RELEASE);
	while (sem_wait(&visit->go) != 0)
		;
	__atomic_store_n(&visit->out, 1, __ATOMIC_RELEASE);
}

static void stay_config(void *ctx)
{
	stay(ctx);
}

static void stay_done(void *ctx, int op, unsigned queue, int result)
{
	(void)queue;
	ck_assert_int_eq(op, VDEV_OP_QUIESCE);
	ck_assert_int_eq(result, 0);
	stay(ctx);
}

static void *update(void *ctx)
{
	vdev_config_update(((struct visit *)ctx)->f->v, 0, "new", 3);
	return NULL;
}

static void *finish_and_run(void *ctx)
{
	struct fixture *f = ((struct visit *)ctx)->f;

	echo_finish(&f->echo, 1);
	ck_assert_int_ge(vdev_run(f->v, 0), 0);
	return NULL;
}

static void *detach(void *ctx)
{
	struct visit *visit = ctx;

	__atomic_store_n(&visit->asked, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(vdev_function_attach(vdev_function(visit->f->v), NULL), 0);
	ck_assert_uint_eq(__atomic_load_n(&visit->out, __ATOMIC_ACQUIRE), 1);
	__atomic_store_n(&visit->detached, 1, __ATOMIC_RELEASE);
	return NULL;
}

START_TEST(an_attachment_stays_while_it_is_called)
{
	const int by_config = _i == 0;
	struct fixture f;
	struct visit visit = {.f = &f};
	const struct vdev_attachment a = {
		.size = sizeof(a), .config_changed = stay_config, .done = stay_done, .ctx = &visit};
	pthread_t caller, taker;
	uint64_t until;

	ck_assert_int_eq(sem_init(&visit.go, 0, 0), 0);
	fixture_init(&f, LAYOUT_SPLIT, 1);
	fixture_start(&f);
	ck_assert_int_eq(vdev_function_attach(vdev_function(f.v), &a), 0);
	if (!by_config) {
		f.echo.hold = 1;
		fixture_add(&f, 0, 0, 1, 8, 8);
		vdev_loopback_kick(f.l, 0);
		ck_assert_uint_eq(f.echo.nheld, 1);
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), VIRTQ_EAGAIN);
	}
	ck_assert_int_eq(pthread_create(&caller, NULL, by_config ? update : finish_and_run, &visit), 0);
	await(&visit.inside, 1);
	ck_assert_int_eq(pthread_create(&taker, NULL, detach, &visit), 0);
	await(&visit.asked, 1);
	/* Time to be wrong in. */
	for (until = ms() + 50; ms() < until;) {
		ck_assert_uint_eq(__atomic_load_n(&visit.detached, __ATOMIC_ACQUIRE), 0);
		sched_yield();
	}
	ck_assert_int_eq(sem_post(&visit.go), 0);
	ck_assert_int_eq(pthread_join(caller, NULL), 0);
	ck_assert_int_eq(pthread_join(taker, NULL), 0);
	/* Nobody is told any more. */
	visit.inside = 0;
	vdev_config_update(f.v, 0, "old", 3);
	ck_assert_uint_eq(visit.inside, 0);
	fixture_fini(&f);
	sem_destroy(&visit.go);
}
END_TEST

/* Configuration changes by the device while the driver reads by the rules of 2.5. */
struct changer {
	struct fixture *f;
	unsigned stop;
};

static void *change(void *ctx)
{
	struct changer *c = ctx;

	for (uint8_t i = 0; !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); i++) {
		uint8_t bytes[8];

		memset(bytes, i, sizeof(bytes));
		vdev_config_update(c->f->v, 0, bytes, sizeof(bytes));
	}
	return NULL;
}

START_TEST(configuration_is_read_whole)
{
	struct changer c;
	pthread_t thread;
	struct fixture f;
	unsigned seen = 0;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	vdev_config_update(f.v, 0, "\0\0\0\0\0\0\0\0", 8);
	c = (struct changer){.f = &f};
	ck_assert_int_eq(pthread_create(&thread, NULL, change, &c), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t before = vdev_config_generation(f.v);
		uint8_t a;
		uint8_t b;

		vdev_config_read(f.v, 0, &a, 1);
		vdev_config_read(f.v, 7, &b, 1);
		if (vdev_config_generation(f.v) == before) {
			ck_assert_uint_eq(a, b);
			seen++;
		}
	}
	__atomic_store_n(&c.stop, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_gt(seen, 0);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_core");
	TCase *tc = tcase_create("threaded_core");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, requests_by_two_owners, 0, LAYOUTS);
	tcase_add_loop_test(tc, reset_with_requests_out, 0, LAYOUTS);
	tcase_add_test(tc, the_end_of_a_reset);
	tcase_add_loop_test(tc, control_under_traffic, 0, LAYOUTS);
	tcase_add_loop_test(tc, owners_are_woken_while_they_change, 0, LAYOUTS);
	tcase_add_loop_test(tc, an_owned_queue_that_cannot_start_is_broken, 0, LAYOUTS);
	tcase_add_loop_test(tc, an_attachment_stays_while_it_is_called, 0, 2);
	tcase_add_test(tc, configuration_is_read_whole);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
