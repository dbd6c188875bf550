/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop, on the thread that calls it. (With threads: threaded_loop_test.c.) */
#include "check_main.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <vdev/loop.h>

#include "libvdev/os/os.h"

/* A task that counts what its eventfd brings, and does something when it has counted enough. */
struct counter {
	struct vdev_loop *loop;
	int fd;
	uint64_t seen;
	uint64_t calls;
	uint64_t armed_calls;
	uint64_t stop_at; /* stops the loop */
	uint64_t end_at;  /* ends itself */
	unsigned extra;   /* calls that claim to have more work */
	int removal;      /* what removing itself said */
	int try_removal;
	struct counter *other; /* is signalled for each event of ours */
};

static int count(void *ctx, unsigned flags)
{
	struct counter *c = ctx;
	uint64_t n = vdev_os_drain(c->fd);

	c->calls++;
	c->armed_calls += (flags & VDEV_RUN_ARM) != 0;
	c->seen += n;
	if (n > 0 && c->other != NULL)
		vdev_os_signal(c->other->fd);
	if (c->try_removal)
		c->removal = vdev_loop_remove(c->loop, c);
	if (c->stop_at != 0 && c->seen >= c->stop_at)
		vdev_loop_stop(c->loop);
	if (c->end_at != 0 && c->seen >= c->end_at)
		return -ECANCELED;
	if (c->extra > 0) {
		c->extra--;
		return 1;
	}
	return n > 0;
}

static void start(struct counter *c, struct vdev_loop *l, unsigned n)
{
	struct vdev_task task = {.run = count, .ctx = c};

	*c = (struct counter){.loop = l, .fd = vdev_os_eventfd()};
	ck_assert_int_ge(c->fd, 0);
	task.fd = c->fd;
	ck_assert_int_eq(vdev_loop_add(l, n, &task), 0);
}

/* Spinning times: none, a little, for ever. */
static const uint32_t spins[] = {0, 50, UINT32_MAX};

START_TEST(events_are_served_until_stopped)
{
	struct vdev_loop *l;
	struct counter a, b;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, spins[_i]), 0);
	start(&a, l, 0);
	start(&b, l, 7); /* modulo */
	vdev_os_signal(a.fd);
	a.other = &b;
	b.stop_at = 1;
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_uint_eq(a.seen, 1);
	ck_assert_uint_eq(b.seen, 1);
	/* Again, now with everything asleep. */
	b.stop_at = 2;
	vdev_os_signal(a.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_uint_eq(b.seen, 2);
	ck_assert_int_eq(vdev_loop_remove(l, &a), 0);
	ck_assert_int_eq(vdev_loop_remove(l, &a), 1);
	/* What was removed is not called any more. */
	b.stop_at = 3;
	a.calls = 0;
	vdev_os_signal(a.fd);
	vdev_os_signal(b.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_uint_eq(a.calls, 0);
	ck_assert_int_eq(vdev_loop_remove(l, &b), 0);
	vdev_loop_free(l);
	close(a.fd);
	close(b.fd);
}
END_TEST

START_TEST(stop_before_run_counts)
{
	struct vdev_loop *l;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, 0), 0);
	vdev_loop_stop(l);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	vdev_loop_free(l);
}
END_TEST

static struct vdev_loop *stopped_by_signal;

static void on_alarm(int sig)
{
	(void)sig;
	vdev_loop_stop(stopped_by_signal);
}

START_TEST(stopped_from_a_signal_handler)
{
	struct counter c;

	ck_assert_int_eq(vdev_loop_new(&stopped_by_signal, vdev_env_hosted(), 0, spins[_i]), 0);
	start(&c, stopped_by_signal, 0);
	signal(SIGALRM, on_alarm);
	ualarm(20000, 0);
	ck_assert_int_eq(vdev_loop_run(stopped_by_signal), 0);
	ck_assert_uint_eq(c.seen, 0);
	vdev_loop_free(stopped_by_signal);
	close(c.fd);
}
END_TEST

/* A task that is always busy must not keep another one's event from being seen. */
START_TEST(busy_tasks_do_not_starve_sleeping_ones)
{
	struct vdev_loop *l;
	struct counter busy, quiet;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, spins[_i]), 0);
	start(&quiet, l, 0);
	quiet.stop_at = 1;
	vdev_os_signal(quiet.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0); /* quiet is armed or polled now */
	start(&busy, l, 0);
	busy.extra = UINT32_MAX;
	quiet.stop_at = 2;
	vdev_os_signal(quiet.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_uint_eq(quiet.seen, 2);
	ck_assert_uint_gt(busy.calls, 0);
	vdev_loop_free(l);
	close(busy.fd);
	close(quiet.fd);
}
END_TEST

START_TEST(tasks_may_end_themselves)
{
	struct vdev_loop *l;
	struct counter a, b;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, spins[_i]), 0);
	start(&a, l, 0);
	start(&b, l, 0);
	a.end_at = 1;
	a.other = &b;
	b.stop_at = 1;
	vdev_os_signal(a.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_int_eq(vdev_loop_remove(l, &a), 1); /* it is gone */
	b.stop_at = 2;
	a.calls = 0;
	vdev_os_signal(a.fd);
	vdev_os_signal(b.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_uint_eq(a.calls, 0);
	vdev_loop_free(l);
	close(a.fd);
	close(b.fd);
}
END_TEST

/* Without spinning each task is armed before the loop sleeps, and only with it is it ever polled. */
START_TEST(arming_follows_the_spinning_time)
{
	struct vdev_loop *l;
	struct counter c;

	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, spins[_i]), 0);
	start(&c, l, 0);
	c.stop_at = 1;
	c.extra = 10;
	vdev_os_signal(c.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	if (spins[_i] == 0)
		ck_assert_uint_eq(c.armed_calls, c.calls);
	if (spins[_i] == UINT32_MAX)
		ck_assert_uint_eq(c.armed_calls, 0);
	vdev_loop_free(l);
	close(c.fd);
}
END_TEST

START_TEST(misuse_is_refused)
{
	struct vdev_task task = {.fd = -1, .run = count};
	struct vdev_loop *l = NULL, *t;
	struct counter c;

	ck_assert_int_eq(vdev_loop_new(NULL, vdev_env_hosted(), 0, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loop_new(&l, NULL, 0, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 65, 0), VIRTQ_EINVAL);
	ck_assert_ptr_null(l);
	ck_assert_int_eq(vdev_loop_new(&l, vdev_env_hosted(), 0, 0), 0);
	ck_assert_int_eq(vdev_loop_add(l, 0, &task), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loop_add(l, 0, NULL), VIRTQ_EINVAL);
	task.fd = 999;
	ck_assert_int_eq(vdev_loop_add(l, 0, &task), -EBADF);
	start(&c, l, 0);
	task.fd = c.fd; /* twice the same descriptor on one thread */
	ck_assert_int_eq(vdev_loop_add(l, 0, &task), -EEXIST);
	c.try_removal = 1;
	c.stop_at = 1;
	vdev_os_signal(c.fd);
	ck_assert_int_eq(vdev_loop_run(l), 0);
	ck_assert_int_eq(c.removal, VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_loop_remove(l, &task), 1);
	ck_assert_int_eq(vdev_loop_new(&t, vdev_env_hosted(), 1, 0), 0);
	ck_assert_int_eq(vdev_loop_run(t), VIRTQ_EINVAL); /* it has a thread of its own */
	vdev_loop_stop(t);
	vdev_loop_free(t);
	vdev_loop_free(l);
	vdev_loop_free(NULL);
	close(c.fd);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("loop");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, events_are_served_until_stopped, 0, 3);
	tcase_add_test(tc, stop_before_run_counts);
	tcase_add_loop_test(tc, stopped_from_a_signal_handler, 0, 3);
	tcase_add_loop_test(tc, busy_tasks_do_not_starve_sleeping_ones, 0, 3);
	tcase_add_loop_test(tc, tasks_may_end_themselves, 0, 3);
	tcase_add_loop_test(tc, arming_follows_the_spinning_time, 0, 3);
	tcase_add_test(tc, misuse_is_refused);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
