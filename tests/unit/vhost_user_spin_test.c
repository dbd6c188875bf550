/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user with queues on the control task, polled for a while before it sleeps. */
#include <poll.h>

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

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost_user_spin");
	TCase *c = tcase_create("spin");

	tcase_add_loop_test(c, arms_after_polling, 0, 2);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
