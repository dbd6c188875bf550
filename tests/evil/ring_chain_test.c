/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of hostile.tsv about chains and indirect tables; see rows.tsv. */
#include "ring_fixture.h"

#define TABLE UINT64_C(0x4000)
#define BUF   UINT64_C(0x8000)

START_TEST(SPDK_vhost_circular)
{
	evil_start(_i, NULL);
	/* 3 -> 4 -> 3, one that points at itself, and a circle in a table. */
	raw_desc(&ev.q.ring, 3, BUF, 16, VIRTQ_DESC_NEXT, 4);
	raw_desc(&ev.q.ring, 4, BUF, 16, VIRTQ_DESC_NEXT, 3);
	raw_offer(&ev.q.ring, 3);
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_reset();
	raw_desc(&ev.q.ring, 0, BUF, 0, VIRTQ_DESC_NEXT, 0);
	raw_offer(&ev.q.ring, 0);
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_reset();
	raw_table(&ev.q.ring, TABLE, 0, BUF, 16, VIRTQ_DESC_NEXT, 1);
	raw_table(&ev.q.ring, TABLE, 1, BUF, 16, VIRTQ_DESC_NEXT, 0);
	evil_offer(0, TABLE, 32, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_end();
}
END_TEST

/* Every queue has the one checked walker; here is what it must refuse of links. */
START_TEST(DPDK_de3f493f2f)
{
	static const uint16_t outside[] = {8, 9, 0x7fff, 0x8000, 0xffff};

	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 5; i++) {
		raw_desc(&ev.q.ring, 1, BUF, 16, VIRTQ_DESC_NEXT, outside[i]);
		raw_offer(&ev.q.ring, 1);
		evil_breaks(VIRTQ_FAULT_NEXT);
		evil_reset();
		/* In a table it is the table's length that counts: 4 would be within the ring. */
		raw_table(&ev.q.ring, TABLE, 0, BUF, 16, VIRTQ_DESC_NEXT, i == 0 ? 4 : outside[i]);
		evil_offer(0, TABLE, 64, VIRTQ_DESC_INDIRECT);
		evil_breaks(VIRTQ_FAULT_NEXT);
		evil_reset();
	}
	evil_end();
}
END_TEST

START_TEST(T0054_T0002)
{
	evil_start(_i, NULL);
	evil_list(0, 8, BUF, 16, VIRTQ_DESC_NEXT); /* NEXT left set on the last */
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_reset();
	/* Direct and indirect ones count together. */
	if (!ev.packed) {
		raw_desc(&ev.q.ring, 0, BUF, 16, VIRTQ_DESC_NEXT, 1);
		raw_desc(&ev.q.ring, 1, TABLE, 8 * 16, VIRTQ_DESC_INDIRECT, 0);
		evil_table(TABLE, 8, BUF, 16, 0);
		raw_offer(&ev.q.ring, 0);
		evil_breaks(VIRTQ_FAULT_INDIRECT_LEN);
	}
	evil_end();
}
END_TEST

START_TEST(tgoskits_1979)
{
	evil_start(_i, NULL);
	evil_list(0, 8, BUF, 16, 0); /* exactly the queue size */
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 8);
	evil_table(TABLE, 8, BUF, 16, VIRTQ_DESC_WRITE);
	evil_offer(2, TABLE, 8 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 7);
	ck_assert_uint_eq(ev.chains[0].nwrite, 1);
	evil_table(TABLE, 9, BUF, 16, 0); /* one more */
	evil_offer(2, TABLE, 9 * 16, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_INDIRECT_LEN);
	evil_end();
}
END_TEST

START_TEST(CVE_2011_2212)
{
	static const uint32_t len[] = {9 * 16, 1025 * 16, 0x80000000, 0xfffffff0};

	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		evil_offer(0, TABLE, len[i], VIRTQ_DESC_INDIRECT);
		evil_breaks(VIRTQ_FAULT_INDIRECT_LEN);
		evil_reset();
	}
	evil_end();
}
END_TEST

START_TEST(T0018_T0019)
{
	static const uint32_t len[] = {0, 1, 15, 17, 31};

	evil_start(_i, NULL);
	evil_table(TABLE, 2, BUF, 16, 0);
	for (uint32_t i = 0; i < 5; i++) {
		evil_offer(0, TABLE, len[i], VIRTQ_DESC_INDIRECT);
		evil_breaks(VIRTQ_FAULT_INDIRECT_LEN);
		evil_reset();
	}
	evil_end();
}
END_TEST

START_TEST(T0016)
{
	evil_start(_i, NULL);
	raw_table(&ev.q.ring, TABLE, 0, BUF, 16, VIRTQ_DESC_NEXT, 1);
	raw_table(&ev.q.ring, TABLE, 1, TABLE, 32, VIRTQ_DESC_INDIRECT, 0); /* itself */
	evil_offer(0, TABLE, 32, VIRTQ_DESC_INDIRECT);
	if (ev.packed) {
		/* There the flag has no meaning in a table: it is a buffer. */
		evil_one();
		ck_assert_uint_eq(ev.chains[0].nread, 2);
		ck_assert(evil_piece_is(&ev.chains[0], 1, TABLE, 32));
	} else {
		evil_breaks(VIRTQ_FAULT_INDIRECT_FLAGS);
	}
	evil_end();
}
END_TEST

START_TEST(T0017)
{
	evil_start(_i, NULL);
	evil_table(TABLE, 2, BUF, 16, 0);
	if (ev.packed) {
		raw_packed_offer(&ev.q.ring, TABLE, 32, 0, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT);
		raw_packed_offer(&ev.q.ring, BUF, 16, 0, 0);
	} else {
		raw_desc(&ev.q.ring, 0, TABLE, 32, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT, 1);
		raw_desc(&ev.q.ring, 1, BUF, 16, 0, 0);
		raw_offer(&ev.q.ring, 0);
	}
	evil_breaks(VIRTQ_FAULT_INDIRECT_FLAGS);
	evil_reset();
	/* Direct ones, then a table: legal in a split ring, not in a packed one. */
	if (ev.packed) {
		raw_packed_offer(&ev.q.ring, BUF, 16, 0, VIRTQ_DESC_NEXT);
		raw_packed_offer(&ev.q.ring, TABLE, 32, 0, VIRTQ_DESC_INDIRECT);
		evil_breaks(VIRTQ_FAULT_INDIRECT_FLAGS);
	} else {
		raw_desc(&ev.q.ring, 0, BUF, 16, VIRTQ_DESC_NEXT, 1);
		raw_desc(&ev.q.ring, 1, TABLE, 32, VIRTQ_DESC_INDIRECT, 0);
		raw_offer(&ev.q.ring, 0);
		evil_one();
		ck_assert_uint_eq(ev.chains[0].nread, 3);
	}
	evil_end();
}
END_TEST

START_TEST(openvmm_f9af2c13d)
{
	const struct evil_config cfg = {.size = 8, .max_chain = 12};

	evil_start(_i, &cfg);
	evil_table(TABLE, 12, BUF, 16, 0); /* longer than the ring, as the device allows here */
	evil_offer(0, TABLE, 12 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 12);
	evil_table(TABLE, 2, BUF, 16, 0); /* shorter */
	evil_offer(1, TABLE, 2 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	evil_list(0, 8, BUF, 16, 0); /* the ring is as long as before ... */
	evil_one();
	evil_offer(7, BUF, 16, 0);
	evil_one();
	if (ev.packed)
		raw_packed_offer(&ev.q.ring, BUF, 16, 8, 0);
	else
		raw_offer(&ev.q.ring, 8);
	evil_breaks(VIRTQ_FAULT_HEAD); /* ... and no longer */
	evil_reset();
	evil_list(0, 8, BUF, 16, VIRTQ_DESC_NEXT);
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_end();
}
END_TEST

START_TEST(openvmm_2983)
{
	evil_start(_i, NULL);
	evil_table(TABLE, 3, BUF, 16, VIRTQ_DESC_NEXT);
	raw_table(&ev.q.ring, TABLE, 3, NOWHERE, 16, 0, 0);
	evil_offer(5, TABLE, 3 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 3);
	ck_assert_uint_eq(ev.chains[0].id, 5);
	/* Without NEXT in the middle it is as long all the same, and ids in it say nothing. */
	for (uint32_t i = 0; i < 3; i++)
		raw_table(&ev.q.ring, TABLE, i, BUF, 16, 0, 0xffff);
	evil_offer(6, TABLE, 3 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 3);
	ck_assert_uint_eq(ev.chains[0].id, 6);
	evil_end();
}
END_TEST

START_TEST(QEMU_ac8fc4ccac)
{
	const struct evil_config cfg = {.direct_only = 1};

	evil_start(_i, &cfg);
	evil_table(TABLE, 2, BUF, 16, 0);
	evil_offer(0, TABLE, 32, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_INDIRECT);
	evil_end();
}
END_TEST

START_TEST(crosvm_c8c25c69d)
{
	evil_start(_i, NULL);
	raw_table(&ev.q.ring, TABLE, 0, BUF, 16, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 1);
	raw_table(&ev.q.ring, TABLE, 1, BUF, 16, 0, 0);
	evil_offer(0, TABLE, 32, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_ORDER);
	evil_reset();
	if (ev.packed) {
		raw_packed_offer(&ev.q.ring, BUF, 16, 0, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
		raw_packed_offer(&ev.q.ring, BUF, 16, 0, 0);
	} else {
		raw_desc(&ev.q.ring, 0, BUF, 16, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 1);
		raw_desc(&ev.q.ring, 1, TABLE, 16, VIRTQ_DESC_INDIRECT, 0);
		raw_table(&ev.q.ring, TABLE, 0, BUF, 16, 0, 0);
		raw_offer(&ev.q.ring, 0);
	}
	evil_breaks(VIRTQ_FAULT_ORDER);
	evil_end();
}
END_TEST

/* An input queue gets a buffer that may only be read: there is nothing to write to. */
START_TEST(CH_521b15bda)
{
	uint32_t one = 1;

	evil_start(_i, NULL);
	evil_offer(0, BUF, 64, 0);
	ck_assert_int_eq(evil_pop(1), 1);
	ck_assert_uint_eq(ev.chains[0].nwrite, 0);
	ck_assert_uint_eq(ev.chains[0].write_bytes, 0);
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &one, 1), VIRTQ_EINVAL);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 1);
	evil_push(&ev.chains[0], 0);
	evil_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_chain");
	TCase *tc = tcase_create("chain");

	for (int mode = 0; mode < EVIL_MODES; mode += 2) { /* links are of split rings */
		tcase_add_loop_test(tc, SPDK_vhost_circular, mode, mode + 1);
		tcase_add_loop_test(tc, DPDK_de3f493f2f, mode, mode + 1);
		tcase_add_loop_test(tc, openvmm_2983, mode + 1, mode + 2); /* of packed ones */
	}
	tcase_add_loop_test(tc, T0054_T0002, 0, EVIL_MODES);
	tcase_add_loop_test(tc, tgoskits_1979, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2011_2212, 0, EVIL_MODES);
	tcase_add_loop_test(tc, T0018_T0019, 0, EVIL_MODES);
	tcase_add_loop_test(tc, T0016, 0, EVIL_MODES);
	tcase_add_loop_test(tc, T0017, 0, EVIL_MODES);
	tcase_add_loop_test(tc, openvmm_f9af2c13d, 0, EVIL_MODES);
	tcase_add_loop_test(tc, QEMU_ac8fc4ccac, 0, EVIL_MODES);
	tcase_add_loop_test(tc, crosvm_c8c25c69d, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_521b15bda, 0, EVIL_MODES);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
