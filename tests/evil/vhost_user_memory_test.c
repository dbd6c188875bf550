/* SPDX-License-Identifier: BSD-3-Clause */
/* Hostile front-ends: memory regions and logs that are none, too large, or there twice. */
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_user_rig.h"

START_TEST(CVE_2020_10722)
{
	static const struct vu_log_desc bad[] = {
		{UINT64_MAX, 8}, {UINT64_MAX - 4095, 4096}, {1ull << 63, 1ull << 63}, {8, UINT64_MAX - 7}};

	begin();
	for (unsigned i = 0; i < 4; i++) {
		if (f.sock < 0)
			vf_connect(&f);
		vf_negotiate(&f, 0);
		ck_assert_int_eq(set_log(f.memfd, bad[i].bytes, bad[i].offset), -1);
		vf_expect_closed(&f, "log");
	}
	end();
}
END_TEST

START_TEST(libvhost_user_vu_log_write)
{
	struct vu_mem_reg reg = {.region = vf_region(0, VF_BYTES)};
	uint64_t log_all;
	int fd;

	begin();
	vf_negotiate(&f, 0);
	log_all = f.features | 1ull << VU_F_LOG_ALL;
	/* Set before the memory is known: then the memory is refused while we log, or else logging is. */
	fd = vdev_os_memfd("log", 4096);
	ck_assert_int_eq(set_log(fd, 8, 0), 8);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, log_all), 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 1);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, 0), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features), 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, log_all), 1);
	close(fd);
	end();
}
END_TEST

START_TEST(SPDK_1183)
{
	struct vu_mem_reg reg = {.region = {.len = 126ull << 30, .uva = 1ull << 40}};

	begin();
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 1);
	reg.region.len = UINT64_MAX;
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 1);
	reg.region.len = 0;
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 1);
	end();
}
END_TEST

/* Rings without memory do not start. */
START_TEST(yc_1971bb0)
{
	struct vu_mem_table t = {0};

	begin();
	vf_negotiate(&f, 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	vf_kick(&f, 0);
	usleep(20000);
	ck_assert(!vdev_queue_started(f.v, 0));
	send_fds(VU_SET_MEM_TABLE, &t, 40, 0);
	vf_expect_closed(&f, "descriptors");
	end();
}
END_TEST

/*
 * A region that overlaps another one is refused. The very same one is not, since QEMU adds it once for each pair of
 * queues: it is counted, and nothing of it is left when it has been removed as often.
 */
START_TEST(libvhost_user_4fafedc9da)
{
	struct vu_mem_reg reg = {.region = vf_region(0, 65536)};
	struct vu_mem_reg shifted = {.region = vf_region(4096, 65536)};
	struct vu_mem_reg shorter = {.region = vf_region(0, 32768)};
	struct vu_mem_reg elsewhere = {.region = vf_region(1 << 20, 65536)};

	elsewhere.region.uva = reg.region.uva; /* the same address of the front-end's */
	begin();
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &shifted, sizeof(reg), &f.memfd, 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &shorter, sizeof(reg), &f.memfd, 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &elsewhere, sizeof(reg), &f.memfd, 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	ck_assert_int_eq(vf_ack(&f, VU_REM_MEM_REG, &shorter, sizeof(reg), NULL, 0), 1);
	ck_assert_int_eq(vf_ack(&f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
	ck_assert_int_eq(vf_ack(&f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
	ck_assert_int_eq(vf_ack(&f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 1);
	end();
}
END_TEST

/* The memory table is replaced again and again under load. */
START_TEST(SPDK_3132_SPDK_4f01d6e595)
{
	begin();
	vf_up(&f, 0, 2);
	for (int i = 0; i < 200; i++) {
		unsigned slots[8];

		for (unsigned k = 0; k < 8; k++)
			slots[k] = vf_submit(&f, k % 2, 0, 0, VF_DATA + k * 8192, 8192);
		vf_memory(&f);
		for (unsigned k = 0; k < 8; k++)
			ck_assert_uint_eq(vf_finish(&f, k % 2, slots[k]), 0);
	}
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("evil vhost-user memory");
	TCase *c = tcase_create("vhost-user");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, CVE_2020_10722);
	tcase_add_test(c, libvhost_user_vu_log_write);
	tcase_add_test(c, SPDK_1183);
	tcase_add_test(c, yc_1971bb0);
	tcase_add_test(c, libvhost_user_4fafedc9da);
	tcase_add_test(c, SPDK_3132_SPDK_4f01d6e595);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
