/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user behind an IOMMU, where rings end and begin again: what was asked for and told before, and how much one message
 * may bring.
 */
#include "vu_front.h"

enum { READ = 0, WRITE = 1, OK = 0, R = VU_IOTLB_READ, W = VU_IOTLB_WRITE, RW = R | W, MS = 5000 };

static struct vu_front f;

static int iotlb(uint64_t iova, uint64_t size, uint64_t uva, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = {.iova = iova, .size = size, .uva = uva, .perm = perm, .type = type};

	return vf_ack(&f, VU_IOTLB_MSG, &m, 26, NULL, 0);
}

/* A ring that begins anew, with nothing in it. */
static void begin_anew(void)
{
	memset(f.mem, 0, 65536);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
}

/* A miss is out when the last ring stops, and refused afterwards: that is nothing to the ring's next life. */
START_TEST(refused_after_the_end)
{
	struct vu_iotlb m;
	unsigned slot;

	for (int late = 0; late < 2; late++) {
		vf_up_iommu(&f, _i, 1);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
		f.deaf = 1;
		(void)vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
		ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
		ck_assert_uint_eq(m.iova, VF_IOVA + VF_DATA + 65536);
		vf_ask_base(&f, 0);
		(void)vf_take_base(&f, 0);
		if (late) {
			/* The next life has all but this, and asks for it itself. */
			begin_anew();
			ck_assert_int_eq(vf_map(&f, 0, VF_DATA, RW), 0);
			slot = vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
			ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
			ck_assert_uint_eq(m.iova, VF_IOVA + VF_DATA + 65536);
			vf_miss_ack(&f, 1); /* the first */
			ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 4096, RW), 0);
			vf_miss_ack(&f, 0);
			ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
			f.deaf = 0;
		} else {
			vf_miss_ack(&f, 1);
			for (int i = 0; i < 3; i++)
				ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
			f.deaf = 0;
			begin_anew();
			ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA + 65536, 512), OK);
		}
		ck_assert_uint_eq(vf_iotlb(&f).refused, 0);
		ck_assert_int_eq(vf_miss(&f, &m, 20), 0);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA + 131072, 512), OK);
		vf_stop(&f);
	}
}
END_TEST

/* Told after the last ring has stopped, and otherwise at the next start: QEMU has not said that it ended. */
START_TEST(told_while_no_ring_runs)
{
	const uint32_t x = VF_DATA + 65536, elsewhere = x + 4096;
	unsigned misses;

	vf_up_iommu(&f, _i, 1);
	memset(f.mem + VF_DATA, 0x44, 512);
	ck_assert_uint_eq(vf_request(&f, 0, WRITE, 0, VF_DATA, 512), OK);
	vf_ask_base(&f, 0);
	(void)vf_take_base(&f, 0);
	ck_assert_int_eq(iotlb(VF_IOVA + x, 4096, VF_UVA + elsewhere, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_eq(vf_iotlb(&f).entries, 1);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features), 0);
	ck_assert_uint_eq(vf_iotlb(&f).entries, 0);
	begin_anew();
	/* The ring itself and the request's header; what is told from here on counts. */
	ck_assert_int_eq(vf_map(&f, 0, VF_DATA, RW), 0);
	misses = f.misses;
	memset(f.mem + x, 0x55, 512);
	memset(f.mem + elsewhere, 0x66, 512);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, x, 512), OK);
	ck_assert_uint_eq(f.misses, misses + 1);
	ck_assert_uint_eq(f.mem[x], 0x44);
	ck_assert_uint_eq(f.mem[elsewhere], 0x66);
	/* While one runs features that change nothing forget nothing. */
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features), 0);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, x, 512), OK);
	ck_assert_uint_eq(f.misses, misses + 1);
	vf_stop(&f);
}
END_TEST

/* A translation in a table of small regions: bounded is in how many of them one may lie. */
START_TEST(in_many_regions)
{
	enum { REGIONS = 65, MANY = 64, SOME = 8 };
	const uint64_t at = VF_UVA + VF_DATA;

	vf_start(&f, 1, VF_THREADS);
	vf_connect(&f);
	vf_negotiate(&f, vf_iommu_kinds[_i] | VF_IOMMU);
	for (unsigned i = 0; i < REGIONS; i++) {
		struct vu_mem_reg reg = {.region = vf_region(VF_DATA + i * VF_PAGE, VF_PAGE)};

		ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
	}
	ck_assert_int_eq(iotlb(0, REGIONS * VF_PAGE, at, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, MANY * VF_PAGE + 1, at + VF_PAGE - 1, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_uint_eq(vf_iotlb(&f).entries, 0);
	ck_assert_uint_eq(vf_iotlb(&f).updates, 0);
	ck_assert_int_eq(iotlb(0, SOME * VF_PAGE, at, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_eq(vf_iotlb(&f).entries, 1); /* they follow each other */
	ck_assert_int_eq(iotlb(1 << 30, MANY * VF_PAGE, at, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_eq(vf_iotlb(&f).entries, 2);
	ck_assert_uint_eq(vf_iotlb(&f).updates, 2);
	/* Beyond the last one there is nothing. */
	ck_assert_int_eq(iotlb(0, SOME * VF_PAGE, at + MANY * VF_PAGE, RW, VU_IOTLB_UPDATE), 1);
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user IOTLB of rings that end");
	TCase *c = tcase_create("iotlb");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, refused_after_the_end, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, told_while_no_ring_runs, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, in_many_regions, 0, VF_IOMMU_KINDS);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
