/* SPDX-License-Identifier: BSD-3-Clause */
/* File disks whose medium loses something: flushes that fail once, sizes that change. */
#include "check_main.h"
#include "disk_rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
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

/* A thread that waits here with what it saw, until it is let go. */
static _Thread_local int stays;
static atomic_int has_seen, let_go;

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st)
{
	int rc = __real_fstat(fd, st);

	if (stays) {
		atomic_store(&has_seen, 1);
		while (!atomic_load(&let_go))
			pause_ms(1);
	}
	return rc;
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

static atomic_int refreshed;

static void *refresh_slowly(void *disk)
{
	stays = 1;
	ck_assert_int_eq(vdev_disk_file_refresh(disk), 0);
	return NULL;
}

static void *refresh(void *disk)
{
	ck_assert_int_eq(vdev_disk_file_refresh(disk), 0);
	atomic_store(&refreshed, 1);
	return NULL;
}

/* Who looked before the size changed does not bring the old one back. */
START_TEST(an_older_size_does_not_come_back)
{
	struct vdev_disk_info info;
	pthread_t slow, quick;
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, RIG_SYNC, 0), 0);
	ck_assert_int_eq(pthread_create(&slow, NULL, refresh_slowly, r.disk), 0);
	while (!atomic_load(&has_seen))
		pause_ms(1);
	ck_assert_int_eq(ftruncate(r.fd, 131072), 0);
	ck_assert_int_eq(pthread_create(&quick, NULL, refresh, r.disk), 0);
	/* It would be through by now, were it not for the other. */
	for (int ms = 0; ms < 200 && !atomic_load(&refreshed); ms += 10)
		pause_ms(10);
	atomic_store(&let_go, 1);
	ck_assert_int_eq(pthread_join(slow, NULL), 0);
	ck_assert_int_eq(pthread_join(quick, NULL), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_uint_eq(info.bytes, 131072);
	ck_assert_uint_eq(r.events[VDEV_DISK_RESIZED], 1);
	rig_close(&r);
}
END_TEST

static uint64_t size_of(const struct rig *r)
{
	struct stat st;

	ck_assert_int_eq(fstat(r->fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Once a read has found the image shorter than the disk, no write makes it long again. */
START_TEST(a_shortened_image_stays_short)
{
	uint8_t buf[8192] = {0x5a};
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, _i, 0), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 65536 - 8192, buf, 8192), 0);
	ck_assert_int_eq(ftruncate(r.fd, 20000), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 32768, buf, 4096), VIRTQ_EIO);
	ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 1);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 32768, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 16384, buf, 4096), VIRTQ_EIO); /* across */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, VDEV_DISK_FUA, 61440, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 32768, NULL, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_DISCARD, 0, 32768, NULL, 4096), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 8192, buf, 8192), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 8192, NULL, 8192), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_uint_eq(size_of(&r), 20000);
	/* Half a block is no capacity. */
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), VIRTQ_EINVAL);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 32768, buf, 4096), VIRTQ_EIO);
	/* Whole again. */
	ck_assert_int_eq(ftruncate(r.fd, 65536), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 32768, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 61440, buf, 4096), 0);
	ck_assert_uint_eq(r.events[VDEV_DISK_RESIZED], 0);
	/* Longer: up to the new end. */
	ck_assert_int_eq(ftruncate(r.fd, 131072), 0);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 131072 - 4096, buf, 4096), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 131072, buf, 4096), VIRTQ_EIO);
	ck_assert_uint_eq(size_of(&r), 131072);
	ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 1);
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
	tcase_add_loop_test(tc, a_shortened_image_stays_short, 0, RIG_ENGINES);
	tcase_add_test(tc, an_older_size_does_not_come_back);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
