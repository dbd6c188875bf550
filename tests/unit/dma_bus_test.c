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

/* Packed: when a look has shown where the driver is, or that it is wrong, there is no other before somebody asks. */
START_TEST(looks_come_to_an_end)
{
	set_up(1, 8, (uint32_t)_i, 4, 0);
	raw_table(&ring, 0x9000, 0, 0x8000, 16, 0, 0);
	offer(0, 0x9000, 16, VIRTQ_DESC_INDIRECT);
	fetch(4);
	ck_assert_uint_eq(mem.reads, 2); /* the look, the table */
	ck_assert_int_eq(pop(4), 1);
	push(0, 1);
	tear_down();
	set_up(1, 8, (uint32_t)_i, 4, 0);
	offer(0, 0x9000, 16, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT);
	fetch(4);
	ck_assert_uint_eq(mem.reads, 1);
	ck_assert_int_eq(pop(4), VIRTQ_EBROKEN);
	ck_assert_uint_eq(mem.reads, 1);
	tear_down();
	/* As long as a look; with a window of one there is no room for another chain. */
	set_up(1, 16, (uint32_t)_i, 1, 0);
	for (unsigned i = 0; i < 4; i++)
		raw_packed_offer(&ring, 0x8000, 16, 2, i < 3 ? VIRTQ_DESC_NEXT : 0);
	fetch(1);
	ck_assert_uint_eq(mem.reads, 2);
	ck_assert_int_eq(pop(1), 1);
	push(0, 1);
	tear_down();
	/* A list that a look does not show whole: twice, its rest, and what comes after it. */
	set_up(1, 16, (uint32_t)_i, 4, 0);
	for (unsigned i = 0; i < 9; i++)
		raw_packed_offer(&ring, 0x8000, 16, 2, i < 8 ? VIRTQ_DESC_NEXT : 0);
	fetch(4);
	ck_assert_uint_eq(mem.reads, 4);
	ck_assert_int_eq(pop(4), 1);
	push(0, 1);
	tear_down();
}
END_TEST

/* A look shows more places than there are chains, and just as many chains as were asked for: there are no more. */
START_TEST(as_many_as_were_asked_for)
{
	set_up(_i, 16, 0, 4, 0);
	for (uint16_t id = 0; id < 4; id++)
		offer(id, 0x8000, 16, 0);
	fetch(4);
	ck_assert_int_eq(pop(4), 4);
	ck_assert_int_eq(arm(), 0);
	push(0, 4);
	for (uint16_t id = 0; id < 5; id++)
		offer(id, 0x8000, 16, 0);
	fetch(4);
	ck_assert_int_eq(pop(4), 4);
	ck_assert_int_eq(arm(), 1);
	push(0, 4);
	ck_assert_int_eq(pop_wait(4), 1);
	push(0, 1);
	tear_down();
}
END_TEST

static unsigned written;

static int write_nothing(void *ctx, uint64_t addr, const void *src, uint32_t len)
{
	(void)ctx;
	(void)addr;
	(void)src;
	(void)len;
	written++;
	return VIRTQ_EIO;
}

static void fails_from_here(void)
{
	mem.ops.write = write_nothing;
	written = 0;
}

/* A write that fails: nothing follows it, so that the driver sees all of a burst or nothing. */
START_TEST(writes_that_fail)
{
	set_up(_i, 8, 0, 4, 0);
	offer(0, 0x8000, 16, 0);
	fetch(1);
	ck_assert_int_eq(pop(1), 1);
	push(0, 1);
	fails_from_here();
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(written, 1);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DMA);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(written, 1);
	tear_down();
	set_up(_i, 8, 0, 4, 0);
	fails_from_here();
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DMA);
	tear_down();
	set_up(_i, 8, 0, 4, 0);
	fails_from_here();
	virtq_dev_disarm(&ring.dev);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DMA);
	tear_down();
}
END_TEST

/* Packed: lists with ids of their own that take more of the ring than there is. */
START_TEST(lists_that_overlap)
{
	set_up(1, 8, (uint32_t)_i, 4, 0);
	for (uint16_t id = 0; id < 2; id++)
		for (uint32_t i = 0; i < 5; i++)
			raw_packed_offer(&ring, 0x8000, 16, id, i < 4 ? VIRTQ_DESC_NEXT : 0);
	raw_packed(&ring, 0, 0x8000, 16, 0, packed_avail(1) | VIRTQ_DESC_NEXT); /* for now */
	raw_packed(&ring, 1, 0x8000, 16, 0, packed_avail(1) | VIRTQ_DESC_NEXT);
	ck_assert_int_eq(pop_wait(1), 1);
	raw_packed(&ring, 0, 0x8000, 16, 1, packed_avail(0) | VIRTQ_DESC_NEXT);
	raw_packed(&ring, 1, 0x8000, 16, 1, packed_avail(0));
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_TOO_MANY);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, chains, 1), 0);
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
	tcase_add_loop_test(tc, looks_come_to_an_end, 0, 3);
	tcase_add_loop_test(tc, as_many_as_were_asked_for, 0, 2);
	tcase_add_loop_test(tc, writes_that_fail, 0, 2);
	tcase_add_loop_test(tc, lists_that_overlap, 0, 3);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
