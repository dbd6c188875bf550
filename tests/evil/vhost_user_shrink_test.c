/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end shortens the file behind its memory while we use it. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN
#endif

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vu_front.h"

enum { PAGE = 4096 };

static struct vu_front f;
static struct vdev_vhost_user *guarded;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!vdev_vhost_user_fault(guarded, info->si_addr))
		signal(sig, SIG_DFL);
}

static void guard(void)
{
	struct sigaction sa = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

	ck_assert_int_eq(sigaction(SIGBUS, &sa, NULL), 0);
	guarded = f.vu;
}

/* Like the front-end's own memory, but nothing keeps it from shrinking. */
static int add_loose(uint64_t offset, uint64_t len)
{
	struct vu_mem_reg reg = {.region = vf_region(offset, len)};
	int fd = memfd_create("loose", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(offset + len)), 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &fd, 1), 0);
	return fd;
}

static void up(int threads)
{
	vf_start(&f, 1, threads);
	guard();
	vf_connect(&f);
	vf_negotiate(&f, 0);
}

/* The next front-end is served as if nothing had happened. */
static void next_one(void)
{
	vf_connect(&f);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	vf_stop(&f);
}

/* Buffers: the queue's thread copies from memory that is gone. */
START_TEST(CH_8841)
{
	struct vu_mem_reg reg = {.region = vf_region(0, VF_DATA)};
	int fd;

	up(_i);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	fd = add_loose(VF_DATA, VF_DATA);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA, PAGE), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	(void)vf_submit(&f, 0, 1, 0, VF_DATA, PAGE);
	vf_kick(&f, 0);
	vf_expect_closed(&f, "taken away");
	close(fd);
	next_one();
}
END_TEST

/* The log: marks go into memory that is gone. */
START_TEST(log_taken_away)
{
	struct vu_log_desc log = {.bytes = (VF_GPA + VF_BYTES) / PAGE / 8};
	uint64_t zero;
	int fd = memfd_create("log", MFD_CLOEXEC);

	vf_start(&f, 1, _i);
	guard();
	vf_connect(&f);
	vf_up(&f, 0, 1);
	ck_assert_int_eq(ftruncate(fd, (off_t)log.bytes), 0);
	vf_send_raw(&f, VU_SET_LOG_BASE, VU_VERSION, sizeof(log), &log, sizeof(log), &fd, 1);
	ck_assert_int_eq(vf_answer(&f, VU_SET_LOG_BASE, &zero, sizeof(zero)), sizeof(zero));
	ck_assert_int_eq(
		vf_ack_u64(&f, VU_SET_FEATURES, f.features | 1ull << VU_F_LOG_ALL | 1ull << VU_F_PROTOCOL),
		0);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, PAGE);
	vf_kick(&f, 0);
	vf_expect_closed(&f, "taken away");
	close(fd);
	next_one();
}
END_TEST

/* Other addresses are none of ours, and nothing is done about them. */
START_TEST(others_keep_their_faults)
{
	vf_start(&f, 1, VF_ONE_THREAD);
	vf_connect(&f);
	vf_up(&f, 0, 1);
	f.mem[0] = 0x5a;
	ck_assert_int_eq(vdev_vhost_user_fault(f.vu, f.mem), 0);
	ck_assert_int_eq(vdev_vhost_user_fault(f.vu, NULL), 0);
	ck_assert_int_eq(vdev_vhost_user_fault(NULL, f.mem), 0);
	ck_assert_uint_eq(f.mem[0], 0x5a);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost_user_shrink");
	TCase *c = tcase_create("shrink");

	tcase_add_loop_test(c, CH_8841, 0, 2);
#ifndef UNDER_TSAN /* the marks are atomics, which ThreadSanitizer does inside of its own runtime: no fault of ours */
	tcase_add_loop_test(c, log_taken_away, 0, 2);
#else
	(void)log_taken_away;
#endif
	tcase_add_test(c, others_keep_their_faults);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
