/* SPDX-License-Identifier: BSD-3-Clause */
/* The outer part of libvdev, when memory, descriptors or threads run out: files and engines, loops and ports. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vdev/disk_file.h>
#include <vdev/loop.h>

#include "libvdev/os/os.h"
#include "rig.h"

enum engine { PLAIN, URING, THREADS, ENGINES };

static _Alignas(4096) uint8_t ram[RIG_RAM];
static char path[] = "alloc-image-XXXXXX";
static enum engine engine_kind;
static uint32_t file_flags;

/* A block device in a file, its driver, and who serves it. */
struct hosted {
	struct vdev_engine *engine;
	struct vdev_disk *disk;
	struct vdev *v;
	struct vdev_loopback *l;
	struct vdev_port *port;
	struct vdev_loop *loop;
};

static void image_make(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, RIG_DISK), 0);
	close(fd);
}

static void image_remove(void)
{
	unlink(path);
}

static int engine_make(struct hosted *r)
{
	int rc = 0;

	if (engine_kind == PLAIN)
		return 0;
	do
		rc = engine_kind == URING ? vdev_engine_uring_new(&r->engine, inject_env(), 16)
		                          : vdev_engine_threads_new(&r->engine, inject_env(), 3);
	while (inject_again(rc));
	return rc;
}

static int make(struct hosted *r)
{
	struct vdev_disk_file_config file = {.size = sizeof(file), .path = path, .flags = file_flags};
	struct vdev_blk_config blk = {.size = sizeof(blk), .queue_max = 32};
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = ram, .bytes = RIG_RAM, .gpa = RIG_GPA};
	int rc = engine_make(r);

	if (rc < 0)
		return rc;
	file.engines = engine_kind == PLAIN ? NULL : &r->engine;
	file.nengines = engine_kind != PLAIN;
	do
		rc = vdev_disk_file_new(&r->disk, inject_env(), &file);
	while (inject_again(rc));
	if (rc < 0)
		return rc;
	rc = rig_blk(&r->v, r->disk, &blk);
	return rc < 0 ? rc : rig_loopback(&r->l, r->v, &cfg);
}

static void put_away(struct hosted *r)
{
	vdev_loop_free(r->loop);
	/* From here on this thread serves the queue: its port wakes nobody, but is the owner until it is stopped. */
	if (r->port != NULL) {
		struct vdev_task task;
		int rc;

		vdev_port_task(r->port, &task);
		rc = vdev_set_status(r->v, 0);
		for (int i = 0; i < 100 && vdev_status(r->v) != 0; i++)
			(void)!task.run(task.ctx, 0);
		ck_assert(rc == 0 || rc == VIRTQ_EAGAIN);
		ck_assert_uint_eq(vdev_status(r->v), 0);
		vdev_port_free(r->port);
	}
	rig_free(r->disk, r->v, r->l);
	vdev_engine_free(r->engine);
}

/* A sector written and read back: 0, or VIRTQ_EBROKEN. */
static int requests(struct hosted *r, uint8_t byte)
{
	int rc = rig_request(r->l, 0, 1, 0, byte);

	if (rc == 0)
		ck_assert_int_eq(rig_request(r->l, 0, 0, 0, byte), 0);
	return rc;
}

/* --- scenarios ------------------------------------------------------------------------------------ */

static int run_file(void)
{
	struct hosted r = {.engine = NULL};
	struct virtq_region region = {.gpa = RIG_GPA, .len = RIG_RAM, .host = ram};
	int rc = make(&r);

	for (uint8_t round = 1; rc == 0 && round < 3; round++) {
		rc = rig_start(r.l);
		if (rc < 0)
			break;
		/* It may do without. */
		if (r.engine != NULL && round == 1)
			ck_assert_int_ge(vdev_engine_register(r.engine, &region, 1), 0);
		ck_assert_int_eq(requests(&r, round), 0);
		ck_assert_int_eq(vdev_disk_file_refresh(r.disk), 0);
		ck_assert_int_eq(vdev_loopback_reset(r.l), 0);
		if (r.engine != NULL && round == 1)
			ck_assert_int_eq(vdev_engine_unregister(r.engine), 0);
	}
	put_away(&r);
	return rc;
}

/* The shortest way, with the hosted environment's malloc. */
static int open_image(void)
{
	struct vdev *v = NULL;
	int rc;

	do {
		inject_hosted(1);
		rc = vdev_blk_open(&v, NULL, path, 0);
		inject_hosted(0);
	} while (inject_again(rc));
	if (rc == 0)
		ck_assert_int_eq(vdev_free(v), 0);
	return rc;
}

static int loop_make(struct hosted *r)
{
	int rc;

	do
		rc = vdev_loop_new(&r->loop, inject_env(), 2, 0);
	while (inject_again(rc));
	return rc;
}

static int make_loop(void)
{
	struct hosted r = {.engine = NULL};
	int rc = loop_make(&r);

	vdev_loop_free(r.loop);
	return rc;
}

/*
 * Served by a thread: what fails there can't be answered. Then the queue is broken, the driver sees that, and resets
 * the device.
 */
static int run_loop(void)
{
	struct hosted r = {.engine = NULL};
	struct vdev_task task;
	int rc = make(&r);

	if (rc < 0)
		goto out;
	do
		rc = vdev_port_new(&r.port, inject_env(), r.v, 0);
	while (inject_again(rc));
	if (rc == 0)
		rc = loop_make(&r);
	if (rc < 0)
		goto out;
	vdev_port_task(r.port, &task);
	do
		rc = vdev_loop_add(r.loop, 0, &task);
	while (inject_again(rc));
	if (rc < 0)
		goto out;
	do {
		rc = rig_start(r.l);
		if (rc < 0)
			break;
		rc = requests(&r, 0x21);
		if (rc == VIRTQ_EBROKEN) {
			ck_assert(inject_hit());
			ck_assert(vdev_queue_broken(r.v, 0));
			/* The queue's thread says so a moment later. */
			for (int i = 0; i < 10000 && !(vdev_status(r.v) & VIRTQ_STATUS_NEEDS_RESET); i++)
				usleep(1000);
			ck_assert(vdev_status(r.v) & VIRTQ_STATUS_NEEDS_RESET);
			rc = VIRTQ_ENOMEM;
		}
	} while (inject_again(rc));
	if (rc == 0)
		ck_assert_int_eq(vdev_loopback_reset(r.l), 0);
out:
	put_away(&r);
	return rc;
}

/* A kick descriptor is changed under a running port. */
static int change_kick(void)
{
	struct hosted r = {.engine = NULL};
	int rc = make(&r), kick;

	inject_pause();
	kick = vdev_os_eventfd();
	inject_go_on();
	if (rc == 0) {
		do
			rc = vdev_port_new(&r.port, inject_env(), r.v, 0);
		while (inject_again(rc));
	}
	for (int i = 0; rc == 0 && i < 2; i++) {
		do
			rc = vdev_port_set_kick(r.port, kick);
		while (inject_again(rc));
	}
	if (rc == 0)
		ck_assert_int_eq(vdev_port_set_kick(r.port, -1), 0);
	put_away(&r);
	close(kick);
	return rc;
}

START_TEST(files_are_served_or_not_opened)
{
	/* Disk, device 2, loopback 2, opened file; twice a queue, its driver side and its channel. */
	static const unsigned least[ENGINES] = {[PLAIN] = 14, [URING] = 20, [THREADS] = 22};
	struct vdev_engine *e;

	engine_kind = (enum engine)_i;
	if (engine_kind == URING && vdev_engine_uring_new(&e, vdev_env_hosted(), 16) == VIRTQ_ENOTSUP)
		return;
	if (engine_kind == URING)
		vdev_engine_free(e);
	inject_run("file", run_file, least[engine_kind]);
}
END_TEST

START_TEST(direct_files_have_their_bounce_buffers_or_none)
{
	int fd = open(path, O_RDWR | O_DIRECT);

	if (fd < 0)
		return; /* not on this file system */
	close(fd);
	file_flags = VDEV_DISK_FILE_DIRECT;
	inject_run("direct", run_file, 15);
}
END_TEST

START_TEST(images_are_opened_the_shortest_way)
{
	inject_run("blk_open", open_image, 4);
}
END_TEST

START_TEST(loops_have_all_their_threads_or_none)
{
	/* Two threads, each with an eventfd in an epoll set. */
	inject_run("loop", make_loop, 9);
}
END_TEST

START_TEST(ports_run_or_break_their_queue)
{
	engine_kind = _i ? THREADS : PLAIN;
	inject_run("port", run_loop, 26);
	inject_run("kick", change_kick, 16);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("hosted_alloc");
	TCase *t = tcase_create("hosted");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, image_make, image_remove);
	tcase_add_loop_test(t, files_are_served_or_not_opened, 0, ENGINES);
	tcase_add_test(t, direct_files_have_their_bounce_buffers_or_none);
	tcase_add_test(t, images_are_opened_the_shortest_way);
	tcase_add_test(t, loops_have_all_their_threads_or_none);
	tcase_add_loop_test(t, ports_run_or_break_their_queue, 0, 2);
	suite_add_tcase(s, t);
	srunner_add_suite(runner, s);
}
