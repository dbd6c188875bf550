/* SPDX-License-Identifier: BSD-3-Clause */
/* File disks in trouble: bad images, full and vanished ones, locks, limits. */
#include "check_main.h"
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)

static int open_path(const char *path, uint32_t flags)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .path = path, .flags = flags};
	struct vdev_disk *d = NULL;
	int rc = vdev_disk_file_new(&d, vdev_env_hosted(), &cfg);

	if (rc == 0)
		vdev_disk_free(d);
	else
		ck_assert_ptr_null(d);
	return rc;
}

START_TEST(images_that_cannot_be_used)
{
	char path[] = "bad-XXXXXX", fifo[] = "fifo-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(open_path("no/such/file", 0), -ENOENT);
	ck_assert_int_eq(open_path(".", 0), -EISDIR);
	ck_assert_int_eq(open_path(".", VDEV_DISK_FILE_READONLY), VIRTQ_EINVAL);
	ck_assert_int_eq(open_path("/dev/null", 0), VIRTQ_EINVAL);
	close(mkstemp(fifo));
	unlink(fifo);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	/* Must not wait for the other end. */
	ck_assert_int_eq(open_path(fifo, VDEV_DISK_FILE_READONLY), VIRTQ_EINVAL);
	unlink(fifo);
	ck_assert_int_eq(open_path(path, 0), VIRTQ_EINVAL); /* empty */
	ck_assert_int_eq(ftruncate(fd, 511), 0);
	ck_assert_int_eq(open_path(path, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(ftruncate(fd, 1025), 0);
	ck_assert_int_eq(open_path(path, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(ftruncate(fd, 1024), 0);
	ck_assert_int_eq(open_path(path, 1u << 30), VIRTQ_EINVAL);
	ck_assert_int_eq(open_path(path, 0), 0);
	close(fd);
	unlink(path);
}
END_TEST

static int open_fd(int fd, uint32_t flags)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .fd = fd, .flags = flags};
	struct vdev_disk *d = NULL;
	int rc = vdev_disk_file_new(&d, vdev_env_hosted(), &cfg);

	if (rc == 0)
		vdev_disk_free(d);
	return rc;
}

START_TEST(descriptors_that_cannot_be_used)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .fd = 0};
	struct vdev_engine *none = NULL;
	struct vdev_disk *d = NULL;
	char path[] = "fd-XXXXXX";
	int fd = mkstemp(path);
	int ro = open(path, O_RDONLY), app = open(path, O_RDWR | O_APPEND);

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_int_eq(open_fd(-1, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(open_fd(999, 0), -EBADF);
	ck_assert_int_eq(open_fd(ro, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(open_fd(ro, VDEV_DISK_FILE_READONLY), 0);
	/* Every write would land at the end. */
	ck_assert_int_eq(open_fd(app, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(open_fd(fd, VDEV_DISK_FILE_DIRECT), VIRTQ_EINVAL);
	ck_assert_int_eq(open_fd(fd, 0), 0);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0); /* still ours */
	cfg.fd = fd;
	ck_assert_int_eq(vdev_disk_file_new(NULL, vdev_env_hosted(), &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_file_new(&d, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_file_new(&d, vdev_env_hosted(), NULL), VIRTQ_EINVAL);
	cfg.nengines = 1;
	ck_assert_int_eq(vdev_disk_file_new(&d, vdev_env_hosted(), &cfg), VIRTQ_EINVAL);
	cfg.engines = &none;
	ck_assert_int_eq(vdev_disk_file_new(&d, vdev_env_hosted(), &cfg), VIRTQ_EINVAL);
	cfg.size = 8;
	ck_assert_int_eq(vdev_disk_file_new(&d, vdev_env_hosted(), &cfg), VIRTQ_EINVAL);
	close(fd);
	close(ro);
	close(app);
	unlink(path);
}
END_TEST

START_TEST(engines_check_their_arguments)
{
	struct vdev_engine *e = NULL;

	ck_assert_int_eq(vdev_engine_uring_new(&e, vdev_env_hosted(), 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_uring_new(&e, vdev_env_hosted(), 3), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_uring_new(&e, vdev_env_hosted(), 8192), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_uring_new(NULL, vdev_env_hosted(), 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_uring_new(&e, NULL, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_threads_new(&e, vdev_env_hosted(), 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_threads_new(&e, vdev_env_hosted(), 1000), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_threads_new(NULL, vdev_env_hosted(), 1), VIRTQ_EINVAL);
	ck_assert_ptr_null(e);
	vdev_engine_free(NULL);
}
END_TEST

/* The file became shorter: what is beyond its end is an error and an event, the rest goes on. */
START_TEST(vanished_medium)
{
	uint32_t flags = _i >= RIG_ENGINES ? VDEV_DISK_FILE_DIRECT : 0;
	uint8_t *buf = aligned_alloc(4096, 65536);
	struct rig r;

	memset(buf, 0xA5, 65536);
	if (flags != 0 && !rig_direct_works("."))
		return;
	ck_assert_int_eq(rig_open(&r, ".", 65536, _i % RIG_ENGINES, flags), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 0, buf, 65536), 0);
	ck_assert_int_eq(ftruncate(r.fd, 20000), 0);
	memset(buf, 0, 65536);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 32768, buf, 4096), VIRTQ_EIO);
	ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 1);
	/* Across the end: first a short read, then none. */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 16384, buf, 8192), VIRTQ_EIO);
	ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 2);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 4096, buf, 4096), 0);
	ck_assert_uint_eq(buf[4095], 0xA5);
	ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 2);
	ck_assert_uint_eq(r.events[VDEV_DISK_FULL] + r.events[VDEV_DISK_FAILED], 0);
	rig_close(&r);
	free(buf);
}
END_TEST

/* A limit on file size makes a write end short, and the next one fail. */
START_TEST(short_write_then_full)
{
	struct rlimit limit = {.rlim_cur = 24576, .rlim_max = RLIM_INFINITY};
	uint8_t *buf = aligned_alloc(4096, 65536), back[8192];
	struct rig r;

	signal(SIGXFSZ, SIG_IGN);
	memset(buf, 0x3C, 65536);
	ck_assert_int_eq(rig_open(&r, ".", 65536, _i, 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 16384, buf, 16384), VIRTQ_ENOSPC);
	ck_assert_uint_eq(r.events[VDEV_DISK_FULL], 1);
	/* The part that was possible has been done. */
	ck_assert_int_eq(pread(r.fd, back, 8192, 16384), 8192);
	ck_assert_mem_eq(back, buf, 8192);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 0, buf, 4096), 0);
	rig_close(&r);
	free(buf);
}
END_TEST

/* A file system of 256 KiB. Returns 0 when it can't be mounted here. */
static int small_file_system(char *dir)
{
	if (mkdtemp(dir) == NULL)
		return 0;
	if (mount("tmpfs", dir, "tmpfs", 0, "size=256k") == 0)
		return 1;
	rmdir(dir);
	printf("no permission to mount a small file system: not tested\n");
	return 0;
}

START_TEST(full_file_system)
{
	char dir[] = "small-XXXXXX";
	uint8_t *buf = malloc(MIB), *back = malloc(MIB);
	struct rig r;

	if (!small_file_system(dir))
		return;
	for (unsigned i = 0; i < MIB; i++)
		buf[i] = (uint8_t)(i >> 8 | 1);
	ck_assert_int_eq(rig_open(&r, dir, MIB, _i, 0), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 0, buf, 131072), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 131072, buf, 524288), VIRTQ_ENOSPC);
	ck_assert_uint_eq(r.events[VDEV_DISK_FULL], 1);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
	/* What was acknowledged is there, and can be written again. */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 0, back, 131072), 0);
	ck_assert_mem_eq(back, buf, 131072);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 0, buf + 4096, 131072), 0);
	/* Zeroes that may not unmap need space; those that may, give it back. */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 524288, NULL, 524288), VIRTQ_ENOSPC);
	ck_assert_int_eq(
		rig_io(&r, VDEV_DISK_WRITE_ZEROES, VDEV_DISK_UNMAP, 131072, NULL, MIB - 131072), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 131072, buf, 65536), 0);
	rig_close(&r);
	ck_assert_int_eq(umount(dir), 0);
	rmdir(dir);
	free(buf);
	free(back);
}
END_TEST

START_TEST(read_only_disk_is_never_written)
{
	uint8_t buf[4096] = {0x11}, back[4096];
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, _i, VDEV_DISK_FILE_READONLY), 0);
	ck_assert_int_eq(pwrite(r.fd, buf, 4096, 0), 4096);
	buf[0] = 0x22;
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 0, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_DISCARD, 0, 0, NULL, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 0, NULL, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 0, back, 4096), 0);
	ck_assert_uint_eq(back[0], 0x11);
	rig_close(&r);
}
END_TEST

START_TEST(half_blocks_and_wild_offsets_are_refused)
{
	uint8_t *buf = aligned_alloc(4096, 8192);
	struct vdev_disk_info info;
	struct rig r;

	if (!rig_direct_works("."))
		return;
	ck_assert_int_eq(rig_open(&r, ".", 65536, RIG_SYNC, VDEV_DISK_FILE_DIRECT), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, info.block_size / 2, buf, 4096), VIRTQ_EINVAL);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 0, buf, info.block_size / 2), VIRTQ_EINVAL);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, UINT64_MAX - 511, buf, 4096), VIRTQ_EINVAL);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_DISCARD, 0, 4096, NULL, UINT64_MAX - 4095), VIRTQ_EINVAL);
	ck_assert_int_eq(rig_io(&r, 77, 0, 0, NULL, 512), VIRTQ_ENOTSUP);
	rig_close(&r);
	free(buf);
}
END_TEST

/* In a process of its own: whether the image can be acquired with these flags. */
static int acquire_elsewhere(const char *path, uint32_t flags)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .path = path, .flags = flags};
		struct vdev_disk *d;
		int rc = vdev_disk_file_new(&d, vdev_env_hosted(), &cfg);

		_exit(rc < 0 ? 100 : -d->ops->acquire(d));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WIFEXITED(status), 1);
	return -WEXITSTATUS(status);
}

START_TEST(one_writer_holds_the_image)
{
	struct rig r;
	const struct vdev_disk_ops *ops;

	ck_assert_int_eq(rig_open(&r, ".", 65536, RIG_SYNC, 0), 0);
	ops = r.disk->ops;
	/* Opening alone takes nothing. */
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), 0);
	ck_assert_int_eq(ops->acquire(r.disk), 0);
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), VIRTQ_EBUSY);
	ck_assert_int_eq(acquire_elsewhere(r.path, VDEV_DISK_FILE_READONLY), VIRTQ_EBUSY);
	ck_assert_int_eq(acquire_elsewhere(r.path, VDEV_DISK_FILE_NOLOCK), 0);
	/* Closing another descriptor of the file does not let go. */
	close(open(r.path, O_RDWR));
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), VIRTQ_EBUSY);
	/* Counted. */
	ck_assert_int_eq(ops->acquire(r.disk), 0);
	ops->release(r.disk);
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), VIRTQ_EBUSY);
	ops->release(r.disk);
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), 0);
	ops->release(r.disk); /* one too many */
	ck_assert_int_eq(ops->acquire(r.disk), 0);
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), VIRTQ_EBUSY);
	rig_close(&r);
}
END_TEST

START_TEST(readers_share_the_image)
{
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, RIG_SYNC, VDEV_DISK_FILE_READONLY), 0);
	ck_assert_int_eq(r.disk->ops->acquire(r.disk), 0);
	ck_assert_int_eq(acquire_elsewhere(r.path, VDEV_DISK_FILE_READONLY), 0);
	ck_assert_int_eq(acquire_elsewhere(r.path, 0), VIRTQ_EBUSY);
	rig_close(&r);
}
END_TEST

/* Destroying a disk that is still held lets go, even where the descriptor lives on elsewhere. */
START_TEST(lock_ends_with_the_disk)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg)};
	char path[] = "lock-XXXXXX";
	int fd = mkstemp(path);
	struct vdev_disk *d;

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	cfg.fd = fd;
	ck_assert_int_eq(vdev_disk_file_new(&d, vdev_env_hosted(), &cfg), 0);
	ck_assert_int_eq(d->ops->acquire(d), 0);
	ck_assert_int_eq(d->ops->acquire(d), 0);
	ck_assert_int_eq(acquire_elsewhere(path, 0), VIRTQ_EBUSY);
	vdev_disk_free(d);
	ck_assert_int_eq(acquire_elsewhere(path, 0), 0);
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(new_size_is_noticed)
{
	struct vdev_disk_info info;
	struct vdev_disk *null;
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", 65536, RIG_URING, 0), 0);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
	ck_assert_uint_eq(r.events[VDEV_DISK_RESIZED], 0);
	ck_assert_int_eq(ftruncate(r.fd, 131072), 0);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
	ck_assert_uint_eq(r.events[VDEV_DISK_RESIZED], 1);
	r.disk->ops->info(r.disk, &info);
	ck_assert_uint_eq(info.bytes, 131072);
	ck_assert_int_eq(ftruncate(r.fd, 131000), 0);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), VIRTQ_EINVAL);
	r.disk->ops->info(r.disk, &info);
	ck_assert_uint_eq(info.bytes, 131072);
	ck_assert_int_eq(vdev_disk_file_refresh(NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_null_new(&null, vdev_env_hosted(), 4096), 0);
	ck_assert_int_eq(vdev_disk_file_refresh(null), VIRTQ_EINVAL);
	vdev_disk_free(null);
	rig_close(&r);
}
END_TEST

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* With every number of free descriptors, what can't be made fails cleanly and leaves nothing behind. */
START_TEST(no_descriptors_left)
{
	char path[] = "limit-XXXXXX";
	int fd = mkstemp(path);
	unsigned before, whole = 0;
	int lowest = dup(fd); /* the first free number: those below are all taken */

	close(lowest);
	before = open_files();
	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	for (rlim_t extra = 0; extra < 8; extra++) {
		struct rlimit limit = {.rlim_cur = (rlim_t)lowest + extra, .rlim_max = 1024};
		struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .path = path};
		struct vdev_engine *e = NULL;
		struct vdev_disk *d = NULL;
		struct vdev_disk_channel *ch = NULL;
		int rc;

		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		rc = _i == RIG_URING ? vdev_engine_uring_new(&e, vdev_env_hosted(), 8)
		                     : vdev_engine_threads_new(&e, vdev_env_hosted(), 1);
		cfg.engines = &e;
		cfg.nengines = 1;
		if (rc == 0)
			rc = vdev_disk_file_new(&d, vdev_env_hosted(), &cfg);
		if (rc == 0)
			rc = d->ops->open(d, 0, &ch);
		ck_assert_int_eq(rc == 0 || rc == -EMFILE, 1);
		whole += rc == 0;
		if (ch != NULL)
			d->ops->close(ch);
		vdev_disk_free(d);
		vdev_engine_free(e);
		ck_assert_uint_eq(open_files(), before);
	}
	ck_assert_uint_gt(whole, 0);
	ck_assert_uint_lt(whole, 8);
	close(fd);
	unlink(path);
}
END_TEST

/* A loop device on a file, or 0 where there are none. */
static int loop_device(const char *path, char *dev, size_t size)
{
	char command[256];
	FILE *f;
	int got;

	snprintf(command, sizeof(command), "losetup -f --show %s 2>/dev/null", path);
	f = popen(command, "r");
	got = f != NULL && fgets(dev, (int)size, f) != NULL;
	if (f != NULL)
		pclose(f);
	if (!got) {
		printf("no loop devices here: block devices not tested\n");
		return 0;
	}
	dev[strcspn(dev, "\n")] = '\0';
	return 1;
}

START_TEST(block_devices)
{
	static const int kinds[] = {VDEV_DISK_DISCARD, VDEV_DISK_WRITE_ZEROES};
	char path[] = "loop-XXXXXX", dev[64], command[128];
	uint8_t *buf = aligned_alloc(4096, 65536);
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .path = dev};
	int fd = mkstemp(path);
	struct vdev_disk_info info;
	struct rig r = {.fd = -1};

	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	if (!loop_device(path, dev, sizeof(dev))) {
		unlink(path);
		return;
	}
	cfg.flags = _i >= RIG_ENGINES ? VDEV_DISK_FILE_DIRECT : 0;
	r.engine = rig_engine(_i % RIG_ENGINES);
	if (r.engine != NULL) {
		cfg.engines = &r.engine;
		cfg.nengines = 1;
	}
	ck_assert_int_eq(vdev_disk_file_new(&r.disk, vdev_env_hosted(), &cfg), 0);
	ck_assert_int_eq(r.disk->ops->acquire(r.disk), 0);
	ck_assert_int_eq(r.disk->ops->open(r.disk, 0, &r.ch), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_uint_eq(info.bytes, MIB);
	ck_assert_uint_ge(info.physical_block, info.block_size);
	for (unsigned i = 0; i < 2; i++) {
		memset(buf, 0xC3, 65536);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, VDEV_DISK_FUA, 65536, buf, 65536), 0);
		ck_assert_int_eq(rig_io(&r, kinds[i], VDEV_DISK_UNMAP, 65536 + 8192, NULL, 8192), 0);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 65536 + 32768, NULL, 4096), 0);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
		memset(buf, 0, 65536);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 65536, buf, 65536), 0);
		ck_assert_uint_eq(buf[8191], 0xC3);
		ck_assert_uint_eq(buf[16384], 0xC3);
		ck_assert_uint_eq(buf[8192] | buf[16383], 0);
		ck_assert_uint_eq(buf[32768] | buf[32768 + 4095], 0);
	}
	/* Beyond its end. */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, MIB, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, MIB, buf, 4096), VIRTQ_EIO);
	ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
	r.disk->ops->close(r.ch);
	vdev_disk_free(r.disk);
	vdev_engine_free(r.engine);
	snprintf(command, sizeof(command), "losetup -d %s", dev);
	ck_assert_int_eq(system(command), 0);
	unlink(path);
	close(fd);
	free(buf);
}
END_TEST

/* An allocator that gives nothing from the n-th time on, and knows what was not given back. */
struct purse {
	unsigned left;
	long out;
};

static void *purse_alloc(void *ctx, size_t bytes)
{
	struct purse *p = ctx;

	if (p->left == 0)
		return NULL;
	p->left--;
	p->out += (long)bytes;
	return malloc(bytes);
}

static void purse_free(void *ctx, void *mem, size_t bytes)
{
	struct purse *p = ctx;

	p->out -= (long)bytes;
	free(mem);
}

START_TEST(no_memory_left)
{
	char path[] = "memory-XXXXXX";
	int fd = mkstemp(path);
	unsigned n = 0;
	int rc;

	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	if (!rig_direct_works("."))
		return;
	do {
		struct purse purse = {.left = n};
		struct vdev_env env = {
			.size = sizeof(env), .alloc = purse_alloc, .free = purse_free, .ctx = &purse};
		struct vdev_disk_file_config cfg = {
			.size = sizeof(cfg), .path = path, .flags = VDEV_DISK_FILE_DIRECT};
		struct vdev_engine *e = NULL;
		struct vdev_disk *d = NULL;
		struct vdev_disk_channel *ch = NULL;

		rc = _i == RIG_URING ? vdev_engine_uring_new(&e, &env, 8)
		                     : vdev_engine_threads_new(&e, &env, 1);
		cfg.engines = &e;
		cfg.nengines = 1;
		if (rc == 0)
			rc = vdev_disk_file_new(&d, &env, &cfg);
		if (rc == 0)
			rc = d->ops->open(d, 0, &ch);
		ck_assert_int_eq(rc == 0 || rc == VIRTQ_ENOMEM, 1);
		if (ch != NULL)
			d->ops->close(ch);
		vdev_disk_free(d);
		vdev_engine_free(e);
		ck_assert_int_eq(purse.out, 0);
		n++;
	} while (rc < 0 && n < 10);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(n, 5); /* engine, disk, channel, bounce buffers: each failed once */
	close(fd);
	unlink(path);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("disk_error");
	TCase *tc = tcase_create("disk_error");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, images_that_cannot_be_used);
	tcase_add_test(tc, descriptors_that_cannot_be_used);
	tcase_add_test(tc, engines_check_their_arguments);
	tcase_add_loop_test(tc, vanished_medium, 0, 2 * RIG_ENGINES);
	tcase_add_loop_test(tc, short_write_then_full, 0, RIG_ENGINES);
	tcase_add_loop_test(tc, full_file_system, 0, RIG_ENGINES);
	tcase_add_loop_test(tc, read_only_disk_is_never_written, 0, RIG_ENGINES);
	tcase_add_test(tc, half_blocks_and_wild_offsets_are_refused);
	tcase_add_test(tc, one_writer_holds_the_image);
	tcase_add_test(tc, readers_share_the_image);
	tcase_add_test(tc, lock_ends_with_the_disk);
	tcase_add_test(tc, new_size_is_noticed);
	tcase_add_loop_test(tc, block_devices, 0, 2 * RIG_ENGINES);
	tcase_add_loop_test(tc, no_descriptors_left, RIG_THREADS, RIG_ENGINES);
	tcase_add_loop_test(tc, no_memory_left, RIG_THREADS, RIG_ENGINES);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
