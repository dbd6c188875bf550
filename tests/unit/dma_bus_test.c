/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side across a bus: which reads it starts, and that it knows which of them have ended. */
#include <string.h>

#include "dma_fixture.h"

enum { JOB = 3 }; /* the kind of tag that reads of chains have */

static int (*bus_read)(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag);

/* What read_watched() saw of the descriptor table. */
static struct {
	uint32_t jobs;    /* descriptors read for chains */
	uint32_t longest; /* descriptors at once */
	uint32_t last;    /* descriptors of the last read */
} watched;

/* A read keeps to the part of the ring that it begins in. */
static int read_watched(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	uint64_t desc = ring.state.desc, driver = ring.state.driver;
	uint32_t bytes = ring.packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(ring.size);

	if (addr < driver) {
		ck_assert_uint_ge(addr, desc);
		ck_assert_uint_le(addr + len, desc + (uint64_t)ring.size * VIRTQ_DESC_BYTES);
		watched.last = len / VIRTQ_DESC_BYTES;
		watched.jobs += tag >> 16 == JOB ? watched.last : 0;
		if (watched.last > watched.longest)
			watched.longest = watched.last;
	} else {
		ck_assert_uint_le(addr + len, driver + bytes);
	}
	return bus_read(ctx, addr, dst, len, tag);
}

static void watch(void)
{
	bus_read = mem.ops.read;
	mem.ops.read = read_watched;
	memset(&watched, 0, sizeof(watched));
}

/* Split: a chain of all descriptors, from each place on; each jump is a read of its own. */
START_TEST(reads_of_a_split_chain)
{
	set_up(0, 8, (uint32_t)_i, 4, 0);
	watch();
	for (uint16_t head = 0; head < 8; head++) {
		for (uint16_t i = 0; i < 8; i++)
			raw_desc(&ring, i, 0x8000 + i, 16, i == (head + 1) % 8 ? 0 : VIRTQ_DESC_NEXT,
			         (uint16_t)((i + 7) % 8));
		raw_offer(&ring, head);
		fetch(1);
		ck_assert_int_eq(pop(1), 1);
		ck_assert_uint_eq(chains[0].nread, 8);
		for (uint16_t i = 0; i < 8; i++)
			ck_assert_uint_eq(chains[0].seg[i].addr, 0x8000u + (head + 8u - i) % 8);
		ck_assert_uint_eq(watched.longest, 4);
		ck_assert_uint_eq(watched.last, 1); /* there is room for one more only */
		push(0, 1);
		virtq_dev_publish(&ring.dev);
	}
	tear_down();
}
END_TEST

/* Packed: a list of as many descriptors as there are, from each place on. */
START_TEST(reads_of_a_packed_list)
{
	set_up(1, 8, (uint32_t)_i, 1, 0);
	watch();
	for (uint32_t at = 0; at < 8; at++) {
		uint32_t shown = 8 - at < 4 ? 8 - at : 4; /* by a look, which ends with the ring */

		for (uint32_t i = 0; i < 8; i++)
			raw_packed_offer(&ring, 0x8000 + i, 16, 3, i < 7 ? VIRTQ_DESC_NEXT : 0);
		watched.jobs = 0;
		ck_assert_int_eq(pop_wait(1), 1);
		ck_assert_uint_eq(chains[0].nread, 8);
		for (uint32_t i = 0; i < 8; i++)
			ck_assert_uint_eq(chains[0].seg[i].addr, 0x8000 + i);
		ck_assert_uint_eq(watched.jobs, 8 - shown);
		ck_assert_uint_eq(watched.longest, 4);
		push(0, 1);
		offer(0, 0x8000, 16, 0);
		ck_assert_int_eq(pop_wait(1), 1);
		push(0, 1);
		virtq_dev_publish(&ring.dev);
	}
	tear_down();
}
END_TEST

/* A burst has room for one of two chains: the other one comes with the next. */
START_TEST(pieces_for_one_chain)
{
	const uint64_t table[2] = {0x9000, 0xa000};

	set_up(_i, 8, 0, 4, 0);
	for (uint16_t t = 0; t < 2; t++) {
		for (uint32_t i = 0; i < 6; i++)
			raw_table(&ring, table[t], i, 0x8000 + 0x100 * i, 16, i < 5 ? VIRTQ_DESC_NEXT : 0,
			          (uint16_t)(i + 1));
		offer(t, table[t], 6 * VIRTQ_DESC_BYTES, VIRTQ_DESC_INDIRECT);
	}
	ck_assert_uint_eq(virtq_dev_max_iov(&ring.dev), 8);
	for (uint16_t t = 0; t < 2; t++) {
		ck_assert_int_eq(virtq_dev_pop_seg(&ring.dev, chains, 2, ring.seg, 8), 1);
		ck_assert_uint_eq(chains[0].id, t);
		ck_assert_uint_eq(chains[0].nread, 6);
		push(0, 1);
	}
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, NULL), 0);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("dma_bus");
	TCase *tc = tcase_create("bus");

	tcase_add_loop_test(tc, reads_of_a_split_chain, 0, 3);
	tcase_add_loop_test(tc, reads_of_a_packed_list, 0, 3);
	tcase_add_loop_test(tc, pieces_for_one_chain, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
