/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as a process of its own: killed and started again, on an image that a predecessor's write still holds, and
 * with memory that is taken away. Runs in the build tree.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vu_front.h"

enum { SECTORS = 64, LEN = 4096 };

static struct vu_front f;
static char image[64], disk_option[96];
static pid_t daemon_pid = -1;

static void begin(void)
{
	int fd;

	vf_start_remote(&f);
	snprintf(image, sizeof(image), "%s/image", f.dir);
	snprintf(disk_option, sizeof(disk_option), "file:%s,engine=threads", image);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SECTORS * VF_SECTOR), 0);
	close(fd);
}

static int can_connect(void *ctx)
{
	int fd = vdev_os_sock_connect(f.path, -1);

	(void)ctx;
	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

static void start_daemon(void)
{
	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		if (getenv("VF_LOG") == NULL)
			(void)dup2(null, STDERR_FILENO);
		execl("examples/vhost-user-blk", "vhost-user-blk", "--socket", f.path, "--disk",
		      disk_option, "--wait", (char *)NULL);
		_exit(127);
	}
	ck_assert(vf_until(can_connect, NULL));
}

static void kill_daemon(void)
{
	int status;

	ck_assert_int_eq(kill(daemon_pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	/* It had not ended by itself. */
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	daemon_pid = -1;
}

static void end(void)
{
	kill_daemon();
	(void)unlink(f.path);
	unlink(image);
	vf_stop(&f);
}

static void hang_up(void)
{
	close(f.sock);
	vdev_os_close(f.channel);
	f.sock = f.channel = -1;
}

static struct vu_inflight area;
static int area_fd;

static void get_area(void)
{
	vf_area(&f, 1, &area, &area_fd);
	ck_assert_int_eq(vdev_os_sealed(area_fd), 1);
}

static void connect_up(int kind)
{
	vf_connect(&f);
	vf_negotiate(&f, kind);
	vf_memory(&f);
}

static void set_area(void)
{
	ck_assert_int_eq(vf_ack(&f, VU_SET_INFLIGHT_FD, &area, sizeof(area), &area_fd, 1), 0);
}

/* As a front-end does after a crash, which knows no position. */
static void ring_again(void)
{
	struct vf_ring *r = &f.rings[0];
	uint64_t index = 0;

	close(r->call);
	r->call = -1;
	vf_ring_resume(&f, 0, f.kind & VF_PACKED ? 0 : vf_used_idx(&f, 0));
	r->call = vdev_os_eventfd();
	ck_assert_int_ge(r->call, 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &index, sizeof(index), &r->call, 1), 0);
	vf_driver_ok(&f);
}

static void fill(uint32_t at, int byte)
{
	memset(f.mem + at, byte, LEN);
}

static void check_image(uint64_t sector, int byte)
{
	uint8_t buf[LEN];
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, buf, LEN, (off_t)(sector * VF_SECTOR)), LEN);
	for (int i = 0; i < LEN; i++)
		ck_assert_int_eq(buf[i], byte);
	close(fd);
}

/*
 * A write that outlives its process: it holds the image's open file description, and lands late. The successor neither
 * carries out again what was in flight nor anything new before that.
 */
START_TEST(replay_waits_for_an_old_write)
{
	int kind = _i ? VF_PACKED : 0, go[2], fd;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	unsigned old, fresh;
	pid_t child;

	begin();
	start_daemon();
	connect_up(kind);
	vf_ring_setup(&f, 0);
	get_area();
	hang_up();
	kill_daemon();
	fill(VF_DATA, 'a');
	fill(VF_DATA + LEN, 'b');
	old = vf_submit(&f, 0, 1, 0, VF_DATA, LEN);
	vf_pop_and_die(&f, &area, area_fd, 1);
	/* Elsewhere: two writes that are out at the same time have no order of their own. */
	fresh = vf_submit(&f, 0, 1, LEN / VF_SECTOR, VF_DATA + LEN, LEN);

	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	fd = open(image, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		char byte;

		close(go[1]);
		(void)!read(go[0], &byte, 1);
		_exit(pwrite(fd, f.mem + VF_DATA, LEN, 0) == LEN ? 0 : 1);
	}
	close(fd);

	start_daemon();
	connect_up(kind);
	set_area();
	ring_again();
	/* Nobody was notified of what a predecessor may have used. */
	ck_assert(vf_signalled(f.rings[0].call, 5000));
	ck_assert(!vf_done_within(&f, 0, old, 300));
	ck_assert(!vf_done_within(&f, 0, fresh, 0));
	check_image(0, 0);
	check_image(LEN / VF_SECTOR, 0);
	close(go[0]);
	close(go[1]); /* now it is written, and the description closed */
	ck_assert_int_eq(waitpid(child, &go[0], 0), child);
	ck_assert_int_eq(go[0], 0);
	ck_assert_uint_eq(vf_finish(&f, 0, old), 0);
	ck_assert_uint_eq(vf_finish(&f, 0, fresh), 0);
	check_image(0, 'a');
	check_image(LEN / VF_SECTOR, 'b');
	ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA + LEN, LEN), 0);
	check_image(0, 'b');
	close(area_fd);
	end();
}
END_TEST

/* Many deaths, with and without something in flight; the ring goes on each time without a kick. */
START_TEST(killed_again_and_again)
{
	int kind = _i ? VF_PACKED : 0;

	begin();
	start_daemon();
	connect_up(kind);
	vf_ring_setup(&f, 0);
	get_area();
	for (int i = 0; i < 8; i++) {
		unsigned slots[4];
		int popped = i % 4;

		hang_up();
		kill_daemon();
		for (int k = 0; k < 4; k++) {
			fill(VF_DATA + (uint32_t)k * LEN, 'A' + i);
			slots[k] = vf_submit(&f, 0, 1, 0, VF_DATA + (uint32_t)k * LEN, LEN);
		}
		if (popped > 0)
			vf_pop_and_die(&f, &area, area_fd, popped);
		start_daemon();
		connect_up(kind);
		set_area();
		ring_again();
		for (int k = 0; k < 4; k++)
			ck_assert_uint_eq(vf_finish(&f, 0, slots[k]), 0);
		check_image(0, 'A' + i);
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, LEN), 0);
		ck_assert_int_eq(f.mem[VF_DATA], 'A' + i);
	}
	close(area_fd);
	end();
}
END_TEST

/* A front-end that shortens its memory's file loses its connection; the process lives, and serves the next one. */
START_TEST(memory_taken_away)
{
	struct vu_mem_reg reg = {.region = vf_region(0, VF_DATA)};
	struct virtq_seg seg[2] = {{VF_GPA + VF_DATA, 16}, {VF_GPA + VF_DATA - 1, 1}};
	int loose = memfd_create("loose", MFD_CLOEXEC);
	char byte;

	begin();
	start_daemon();
	vf_connect(&f);
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	reg.region = vf_region(VF_DATA, VF_DATA);
	ck_assert_int_eq(ftruncate(loose, 2 * VF_DATA), 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &loose, 1), 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA, LEN), 0);
	/* The request itself lies in what goes: the process touches it, not the kernel on its behalf. */
	ck_assert_int_eq(ftruncate(loose, 0), 0);
	ck_assert_int_eq(virtq_drv_add(&f.rings[0].drv, seg, 1, 1, &f.rings[0].slots[1]), 0);
	virtq_drv_publish(&f.rings[0].drv);
	vf_kick(&f, 0);
	ck_assert_int_le((int)recv(f.sock, &byte, 1, 0), 0);
	hang_up();
	close(loose);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, LEN), 0);
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user crash");
	TCase *c = tcase_create("crash");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, replay_waits_for_an_old_write, 0, 2);
	tcase_add_loop_test(c, killed_again_and_again, 0, 2);
	tcase_add_test(c, memory_taken_away);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
