/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user with queues on the control task, polled for a while before it sleeps. */
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu_front.h"

static struct vu_front f;

static int readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

/* Run until the task may sleep. Notifications from while it was polled wake it once more. */
static void settle(const struct vdev_task *task)
{
	int i = 0;

	while (task->run(task->ctx, VDEV_RUN_ARM) > 0 || readable(task->fd, 0))
		ck_assert_int_lt(++i, 1000);
}

/* A queue that was served without arming asks for notifications before the task sleeps. */
START_TEST(arms_after_polling)
{
	struct vdev_task task;
	unsigned slot;

	vf_start(&f, 1, VF_ONE_THREAD);
	vf_connect(&f);
	vf_up(&f, _i ? VF_PACKED : 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vdev_vhost_user_task(f.vu, &task);
	ck_assert_int_eq(vdev_loop_remove(f.loop, task.ctx), 0);
	for (int round = 0; round < 3; round++) {
		slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
		for (int i = 0; i < 1000; i++)
			ck_assert_int_ge(task.run(task.ctx, 0), 0);
		ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
		settle(&task);
		slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
		ck_assert(readable(task.fd, 1000));
		settle(&task);
		ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	}
	vf_stop(&f);
}
END_TEST

/* Have no descriptor left: the numbers below the limit are all in use. */
static void use_up(int *fds, unsigned n, struct rlimit *before)
{
	struct rlimit now;

	for (unsigned i = 0; i < n; i++)
		fds[i] = dup(f.memfd);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, before), 0);
	now = *before;
	now.rlim_cur = (rlim_t)fds[n - 1] + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	ck_assert_int_eq(dup(f.memfd), -1);
	ck_assert_int_eq(errno, EMFILE);
}

/* Front-ends that can't be accepted are turned away, instead of being looked at all the time. */
START_TEST(no_descriptor_for_a_front_end)
{
	enum { MANY = 64, WAITING = 3, ROUNDS = 20 };
	struct rlimit limit;
	struct vdev_task task;
	int fds[MANY], waiting[WAITING];
	unsigned before;
	char byte;

	vf_start(&f, 1, VF_ONE_THREAD);
	vdev_vhost_user_task(f.vu, &task);
	ck_assert_int_eq(vdev_loop_remove(f.loop, task.ctx), 0);
	settle(&task);
	before = test_descriptors();
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < WAITING; i++) {
			waiting[i] = vdev_os_sock_connect(f.path, 5000);
			ck_assert_int_ge(waiting[i], 0);
		}
		use_up(fds, MANY, &limit);
		ck_assert(readable(task.fd, 1000));
		for (int i = 0; i < ROUNDS && readable(task.fd, 0); i++)
			ck_assert_int_ge(task.run(task.ctx, VDEV_RUN_ARM), 0);
		ck_assert(!readable(task.fd, 0));
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		for (int i = 0; i < MANY; i++)
			close(fds[i]);
		for (int i = 0; i < WAITING; i++) {
			ck_assert_int_eq(recv(waiting[i], &byte, 1, MSG_DONTWAIT), 0);
			close(waiting[i]);
		}
		ck_assert_uint_eq(test_descriptors(), before);
	}
	/* With descriptors there is nothing amiss. */
	ck_assert_int_ge(vdev_loop_add(f.loop, 0, &task), 0);
	vf_connect(&f);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost_user_spin");
	TCase *c = tcase_create("spin");

	tcase_add_loop_test(c, arms_after_polling, 0, 2);
	tcase_add_test(c, no_descriptor_for_a_front_end);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
