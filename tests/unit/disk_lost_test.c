/* SPDX-License-Identifier: BSD-3-Clause */
/* File disks whose medium loses something: flushes that fail once. */
#include "check_main.h"
#include "disk_rig.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int
	sync_error; /* what the next fdatasync() fails with; as in the kernel, only that one */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	int error = atomic_exchange(&sync_error, 0);

	if (error == 0)
		return __real_fdatasync(fd);
	errno = error;
	return -1;
}

static int on_channel(struct rig *r, struct vdev_disk_channel *ch, int op, unsigned flags)
{
	struct vdev_disk_channel *own = r->ch;
	uint8_t buf[4096] = {0};
	int rc;

	r->ch = ch;
	rc = rig_io(r, op, flags, 0, op == VDEV_DISK_FLUSH ? NULL : buf,
	            op == VDEV_DISK_FLUSH ? 0 : sizeof(buf));
	r->ch = own;
	return rc;
}

/* One queue's flush fails, and neither its own next one nor another queue's may say that all is well. */
START_TEST(a_failed_flush_fails_all_that_follow)
{
	struct vdev_disk_channel *other;
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg)};
	struct vdev_disk *anew;
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, _i, 0), 0);
	ck_assert_int_eq(r.disk->ops->open(r.disk, 1, &other), 0);
	ck_assert_int_eq(on_channel(&r, other, VDEV_DISK_FLUSH, 0), 0);
	atomic_store(&sync_error, EIO);
	ck_assert_int_eq(on_channel(&r, r.ch, VDEV_DISK_FLUSH, 0), VIRTQ_EIO);
	ck_assert_int_eq(atomic_load(&sync_error), 0);
	ck_assert_int_eq(on_channel(&r, r.ch, VDEV_DISK_FLUSH, 0), VIRTQ_EIO);
	ck_assert_int_eq(on_channel(&r, other, VDEV_DISK_FLUSH, 0), VIRTQ_EIO);
	ck_assert_int_eq(on_channel(&r, other, VDEV_DISK_WRITE, VDEV_DISK_FUA), VIRTQ_EIO);
	ck_assert_uint_eq(r.events[VDEV_DISK_FAILED], 1);
	ck_assert_int_eq(r.last_error, -EIO);
	ck_assert_int_eq(on_channel(&r, other, VDEV_DISK_WRITE, 0), 0);
	ck_assert_int_eq(on_channel(&r, other, VDEV_DISK_READ, 0), 0);
	r.disk->ops->close(other);
	/* Opened anew, it is believed. */
	cfg.path = r.path;
	ck_assert_int_eq(vdev_disk_file_new(&anew, vdev_env_hosted(), &cfg), 0);
	ck_assert_int_eq(anew->ops->open(anew, 0, &other), 0);
	{
		struct rig second = {.disk = anew, .ch = other};

		ck_assert_int_eq(on_channel(&second, other, VDEV_DISK_FLUSH, 0), 0);
	}
	anew->ops->close(other);
	vdev_disk_free(anew);
	rig_close(&r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("disk_lost");
	TCase *tc = tcase_create("disk_lost");

	tcase_set_timeout(tc, 60);
	/* The engines whose system calls are ours to answer. */
	tcase_add_loop_test(tc, a_failed_flush_fails_all_that_follow, RIG_SYNC, RIG_URING);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
