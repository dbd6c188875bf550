/* SPDX-License-Identifier: BSD-3-Clause */
/* Suspending and resuming a device, over PCI, PCI's window and MMIO. */
#include "access_rig.h"
#include "ring.h"

static struct access_rig rig;
static const struct virtq_features none;

static struct access_rig *start(int way)
{
	access_init(&rig, (enum access_way)way);
	return &rig;
}

START_TEST(suspend_and_resume)
{
	struct access_rig *r = start(_i);
	struct vdev_driver_field w = {0, 1, 1};

	access_run(r, none);
	ck_assert_int_eq(vdev_driver_suspend(r->d), VIRTQ_ENOTSUP);
	access_run(r, features_of(1, VIRTQ_F_SUSPEND));
	CLAUSE("init/device-suspend/R1");
	r->fake.suspend_delay = 4;
	ck_assert_int_eq(vdev_driver_suspend(r->d), 0);
	ck_assert_int_eq(vdev_driver_status(r->d), 0x1b);
	CLAUSE("init/device-suspend/R2");
	ck_assert_int_eq(vdev_driver_config_write(r->d, &w), VIRTQ_EINVAL);
	CLAUSE("init/device-suspend/R5");
	vdev_driver_notify(&r->q[0]);
	ck_assert_uint_eq(access_last_notify(r).width, 0);
	CLAUSE("init/device-suspend/R4");
	ck_assert_int_eq(vdev_driver_resume(r->d), 0);
	ck_assert_int_eq(vdev_driver_status(r->d), 0xf);
	CLAUSE("init/device-suspend/R6");
	vdev_driver_notify(&r->q[0]);
	ck_assert_uint_ne(access_last_notify(r).width, 0);
	access_fini(r);
}
END_TEST

START_TEST(kicks_while_suspended)
{
	struct access_rig *r = start(_i);
	struct virtq_seg seg = {0x1000, 512};

	access_run(r, features_of(1, VIRTQ_F_SUSPEND));
	ck_assert_int_eq(virtq_drv_add(&r->vq[1], &seg, 1, 0, r), 0);
	ck_assert_int_eq(vdev_driver_suspend(r->d), 0);
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 0);
	ck_assert_uint_eq(access_avail_index(r, 1), 0);
	CLAUSE("init/device-suspend/R3");
	ck_assert_uint_eq(access_last_notify(r).width, 0);
	ck_assert_int_eq(vdev_driver_resume(r->d), 0);
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 1);
	ck_assert_uint_eq(access_avail_index(r, 1), 1);
	ck_assert_uint_ne(access_last_notify(r).width, 0);
	access_fini(r);
}
END_TEST

/* Both ways take longer than a call waits. What is under way is neither taken for over nor asked for anew. */
START_TEST(suspend_and_resume_late)
{
	struct access_rig *r = start(_i);
	unsigned writes;

	access_run(r, features_of(1, VIRTQ_F_SUSPEND));
	r->fake.suspend_delay = 50;
	ck_assert_int_eq(vdev_driver_suspend(r->d), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_driver_status(r->d), 0x1f);
	ck_assert_int_eq(vdev_driver_resume(r->d), VIRTQ_EAGAIN); /* it is still to suspend */
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_SUSPENDED);
	ck_assert_int_eq(access_status_written(r, 0x1f, 1), -1);
	while (vdev_driver_status(r->d) != 0x1b)
		;
	ck_assert_int_eq(vdev_driver_resume(r->d), VIRTQ_EAGAIN); /* not known to its driver yet */
	ck_assert_int_eq(vdev_driver_suspend(r->d), 0);
	ck_assert_int_eq(vdev_driver_suspend(r->d), 0); /* as it is */
	r->fake.resume_delay = 30;
	ck_assert_int_eq(vdev_driver_resume(r->d), VIRTQ_EAGAIN);
	ck_assert_int_ge(access_status_written(r, 0x1f, 1), 0);
	ck_assert_int_eq(vdev_driver_suspend(r->d), VIRTQ_EINVAL);
	while (vdev_driver_status(r->d) != 0xf)
		;
	writes = r->fake.mmio ? fake_count(&r->fake, 1, FAKE_MMIO, 0x70)
	                      : fake_count(&r->fake, 1, FAKE_COMMON, 0x14);
	ck_assert_int_eq(vdev_driver_resume(r->d), 0);
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_RUNNING);
	ck_assert_uint_eq(writes, r->fake.mmio ? fake_count(&r->fake, 1, FAKE_MMIO, 0x70)
	                                       : fake_count(&r->fake, 1, FAKE_COMMON, 0x14));
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(vdev_driver_status(r->d), 0xf);
	/* Once more, and given up when it is suspended: that does not let it go on. */
	r->fake.suspend_delay = 0;
	ck_assert_int_eq(vdev_driver_suspend(r->d), 0);
	vdev_driver_fail(r->d);
	ck_assert_int_ge(access_status_written(r, 0x9b, 0), 0);
	ck_assert_int_eq(vdev_driver_status(r->d), 0x9b);
	access_fini(r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("access_suspend");
	TCase *tc = tcase_create("access_suspend");

	tcase_add_loop_test(tc, suspend_and_resume, 0, WAYS);
	tcase_add_loop_test(tc, kicks_while_suspended, 0, WAYS);
	tcase_add_loop_test(tc, suspend_and_resume_late, 0, WAYS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
