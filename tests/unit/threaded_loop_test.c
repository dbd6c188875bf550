/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop's threads; meant for ThreadSanitizer too. */
#include "check_main.h"
#include "rng.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <vdev/loop.h>

#include "libvdev/os/os.h"

#define TASKS 12

struct worker {
	struct vdev_loop *loop;
	int fd;
	int plain; /* written by the loop's thread only; read after removal */
	_Atomic uint64_t seen;
	atomic_int inside;
	atomic_int served; /* 0 after removal: must not be called */
	_Atomic(pthread_t) thread;
};

static struct worker workers[TASKS];

static int work(void *ctx, unsigned flags)
{
	struct worker *w = ctx;
	uint64_t n;

	(void)flags;
	if (!atomic_load(&w->served) || atomic_exchange(&w->inside, 1))
		_exit(3); /* called after removal, or by two threads */
	n = vdev_os_drain(w->fd);
	w->plain++;
	atomic_store(&w->thread, pthread_self());
	atomic_fetch_add(&w->seen, n);
	atomic_store(&w->inside, 0);
	return n > 0;
}

static void add(struct vdev_loop *l, unsigned n)
{
	struct vdev_task task = {.fd = workers[n].fd, .run = work, .ctx = &workers[n]};

	atomic_store(&workers[n].served, 1);
	ck_assert_int_eq(vdev_loop_add(l, n, &task), 0);
}

static void remove_worker(struct vdev_loop *l, unsigned n)
{
	ck_assert_int_eq(vdev_loop_remove(l, &workers[n]), 0);
	atomic_store(&workers[n].served, 0);
	workers[n].plain++; /* a race, were it still running */
}

static void wait_for(_Atomic uint64_t *seen, uint64_t want)
{
	uint64_t end = vdev_os_now() + 20000000000u;

	while (atomic_load(seen) < want) {
		ck_assert_msg(vdev_os_now() < end, "%lu of %lu events came",
		              (unsigned long)atomic_load(seen), (unsigned long)want);
		sched_yield();
	}
}

static const uint32_t spins[] = {0, 100, UINT32_MAX};

START_TEST(every_event_is_seen_while_tasks_come_and_go)
{
	unsigned long rounds = test_rounds(1500);
	uint64_t sent[TASKS] = {0};
	int served[TASKS] = {0};
	struct vdev_loop *l;
	struct rng rng;

	rng_seed(&rng, 7);
	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 3, spins[_i]), 0);
	for (unsigned n = 0; n < TASKS; n++)
		workers[n].fd = vdev_os_eventfd();
	while (rounds-- > 0) {
		unsigned n = rng_below(&rng, TASKS);

		switch (rng_below(&rng, 6)) {
		case 0:
			if (served[n])
				remove_worker(l, n);
			else
				add(l, n);
			served[n] = !served[n];
			break;
		case 1:
			if (served[n])
				wait_for(&workers[n].seen, sent[n]);
			break;
		default:
			vdev_os_signal(workers[n].fd);
			sent[n]++;
		}
	}
	for (unsigned n = 0; n < TASKS; n++) {
		if (!served[n])
			add(l, n);
		wait_for(&workers[n].seen, sent[n]);
		remove_worker(l, n);
		ck_assert_uint_eq(atomic_load(&workers[n].seen), sent[n]);
		close(workers[n].fd);
	}
	vdev_loop_free(l);
}
END_TEST

START_TEST(tasks_stay_on_their_thread)
{
	struct vdev_loop *l;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 2, 0), 0);
	for (unsigned n = 0; n < 4; n++) {
		workers[n].fd = vdev_os_eventfd();
		add(l, n);
		vdev_os_signal(workers[n].fd);
	}
	for (unsigned n = 0; n < 4; n++)
		wait_for(&workers[n].seen, 1);
	ck_assert(pthread_equal(workers[0].thread, workers[2].thread));
	ck_assert(pthread_equal(workers[1].thread, workers[3].thread));
	ck_assert(!pthread_equal(workers[0].thread, workers[1].thread));
	ck_assert(!pthread_equal(workers[0].thread, pthread_self()));
	vdev_loop_free(l); /* with tasks still on it */
	for (unsigned n = 0; n < 4; n++)
		close(workers[n].fd);
}
END_TEST

static atomic_int mask_seen;

static int look_at_mask(void *ctx, unsigned flags)
{
	sigset_t set;

	(void)ctx;
	(void)flags;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	atomic_store(&mask_seen, 1 + sigismember(&set, SIGTERM) + sigismember(&set, SIGUSR1));
	return 0;
}

START_TEST(signals_are_blocked_in_threads)
{
	struct vdev_task task = {.fd = vdev_os_eventfd(), .run = look_at_mask, .ctx = &task};
	uint64_t end = vdev_os_now() + 10000000000u;
	struct vdev_loop *l;
	sigset_t set;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 1, 0), 0);
	ck_assert_int_eq(vdev_loop_add(l, 0, &task), 0);
	while (atomic_load(&mask_seen) == 0 && vdev_os_now() < end)
		sched_yield();
	ck_assert_int_eq(atomic_load(&mask_seen), 3);
	/* And ours is as it was. */
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	ck_assert_int_eq(sigismember(&set, SIGUSR1), 0);
	vdev_loop_free(l);
	close(task.fd);
}
END_TEST

static void *run_loop(void *arg)
{
	ck_assert_int_eq(vdev_loop_run(arg), 0);
	return NULL;
}

/* A loop without threads, run by one thread and used by another, stopped while removals wait. */
START_TEST(loop_on_a_thread_of_the_users_own)
{
	for (int round = 0; round < 50; round++) {
		struct vdev_loop *l;
		pthread_t t;

		ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, spins[_i]), 0);
		ck_assert_int_eq(pthread_create(&t, NULL, run_loop, l), 0);
		workers[0].fd = vdev_os_eventfd();
		atomic_store(&workers[0].seen, 0);
		add(l, 0);
		vdev_os_signal(workers[0].fd);
		wait_for(&workers[0].seen, 1);
		if (round & 1)
			vdev_loop_stop(l);
		remove_worker(l, 0);
		vdev_loop_stop(l);
		ck_assert_int_eq(pthread_join(t, NULL), 0);
		vdev_loop_free(l);
		close(workers[0].fd);
	}
}
END_TEST

/* A thread that may spin for 2 ms gives it up where events come every 10 ms; one for 60, where they come every 70. */
START_TEST(spinning_ends_where_work_comes_seldom)
{
	struct worker *w = &workers[0];
	struct vdev_loop *l;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 1, _i ? 60000 : 2000), 0);
	w->fd = vdev_os_eventfd();
	atomic_store(&w->seen, 0);
	add(l, 0);
	for (unsigned i = 1; i <= 24; i++) {
		if (i == 17) {
			remove_worker(l, 0);
			w->plain = 0;
			add(l, 0);
		}
		usleep(_i ? 70000 : 10000);
		vdev_os_signal(w->fd);
		wait_for(&w->seen, i);
	}
	remove_worker(l, 0);
	/* Tens of thousands otherwise; each event takes two or three, and coming and going a few. */
	ck_assert_int_le(w->plain, 3000);
	vdev_loop_free(l);
	close(w->fd);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_loop");
	TCase *tc = tcase_create("threaded_loop");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_event_is_seen_while_tasks_come_and_go, 0, 3);
	tcase_add_loop_test(tc, spinning_ends_where_work_comes_seldom, 0, 2);
	tcase_add_test(tc, tasks_stay_on_their_thread);
	tcase_add_test(tc, signals_are_blocked_in_threads);
	tcase_add_loop_test(tc, loop_on_a_thread_of_the_users_own, 0, 3);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
