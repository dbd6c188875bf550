/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side across a bus: what is of one layout. */
#include "dma_fixture.h"

/* Split: a chain that jumps about, with a table at its end. */
START_TEST(dma_split_jumps)
{
	set_up(0, 16, 3, 2, 0);
	raw_desc(&ring, 9, 0x8000, 1, VIRTQ_DESC_NEXT, 2);
	raw_desc(&ring, 2, 0x8100, 2, VIRTQ_DESC_NEXT, 3);
	raw_desc(&ring, 3, 0x8200, 3, VIRTQ_DESC_NEXT, 15);
	raw_desc(&ring, 15, 0x8300, 4, VIRTQ_DESC_NEXT, 0);
	raw_desc(&ring, 0, 0x9000, 32, VIRTQ_DESC_INDIRECT, 0);
	raw_table(&ring, 0x9000, 0, 0x8400, 5, VIRTQ_DESC_NEXT, 1);
	raw_table(&ring, 0x9000, 1, 0x8500, 6, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 9);
	ck_assert_int_eq(pop_wait(1), 1);
	ck_assert_uint_eq(chains[0].nread, 5);
	ck_assert_uint_eq(chains[0].nwrite, 1);
	for (uint32_t i = 0; i < 6; i++) {
		ck_assert_uint_eq(chains[0].seg[i].addr, 0x8000 + 0x100 * i);
		ck_assert_uint_eq(chains[0].seg[i].len, i + 1);
	}
	push(0, 1);
	tear_down();
}
END_TEST

START_TEST(dma_split_circular)
{
	set_up(0, 16, 3, 2, 0);
	raw_desc(&ring, 9, 0x8000, 1, VIRTQ_DESC_NEXT, 10);
	raw_desc(&ring, 10, 0x8000, 1, VIRTQ_DESC_NEXT, 9);
	raw_offer(&ring, 9);
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_TOO_MANY);
	tear_down();
}
END_TEST

START_TEST(dma_split_index_jumps_back)
{
	set_up(0, 16, 1, 8, 0);
	for (uint16_t id = 0; id < 4; id++)
		offer(id, 0x8000, 64, 0);
	fetch(1);
	raw_avail_idx(&ring, 2); /* not behind what was popped, but behind what was shown */
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 8), 0);
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(pop(8), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_AVAIL_IDX);
	tear_down();
}
END_TEST

/* A read that shows its end before its beginning, as a bus may: flags of the head are seen, the rest is old. */
struct torn {
	struct virtq_dma ops;
	uint64_t addr;
	uint8_t *dst;
	uint32_t len;
	uint32_t tag;
	uint32_t reads;
};

static int torn_read(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	struct torn *t = ctx;

	ck_assert_uint_eq(t->len, 0);
	t->addr = addr;
	t->dst = dst;
	t->len = len;
	t->tag = tag;
	t->reads++;
	return 0;
}

static int torn_write(void *ctx, uint64_t addr, const void *src, uint32_t len)
{
	(void)ctx;
	return virtq_mem_write(&guest.mem, addr, src, len);
}

static void torn_part(struct torn *t, uint32_t from, uint32_t to)
{
	if (to > t->len)
		to = t->len;
	if (from < to)
		ck_assert_int_eq(virtq_mem_read(&guest.mem, t->addr + from, t->dst + from, to - from), 0);
}

static void torn_done(struct torn *t)
{
	t->len = 0;
	virtq_dev_dma_done(&ring.dev, t->tag, 0);
}

START_TEST(dma_packed_list_is_read_after_its_head)
{
	struct torn t = {.ops = {sizeof(t.ops), torn_read, torn_write, &t}};
	struct ring_config cfg = {
		.size = 8, .region = 0, .features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_RING_PACKED)};
	struct virtq_dev_config dev = {.dma_window = 4, .dma = &t.ops};

	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, BURST), 0);
	/* An old lap's remains, which look available: a driver may leave that in the middle of its list. */
	raw_packed(&ring, 1, 0xdead, 1, 7, packed_avail(1));
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 4), 0);
	torn_part(&t, 16, 1 << 20); /* the end first */
	raw_packed(&ring, 1, 0x8100, 2, 5, packed_avail(1) | VIRTQ_DESC_NEXT);
	raw_packed(&ring, 2, 0x8200, 3, 5, packed_avail(1));
	raw_packed(&ring, 0, 0x8000, 1, 5, packed_avail(1) | VIRTQ_DESC_NEXT);
	torn_part(&t, 0, 16);
	torn_done(&t);
	ck_assert_uint_eq(t.reads, 2);
	ck_assert_int_eq(pop(4), VIRTQ_EAGAIN);
	torn_part(&t, 0, 1 << 20);
	torn_done(&t);
	ck_assert_uint_eq(t.reads, 2); /* list whole, then a place that is not available */
	ck_assert_int_eq(pop(4), 1);
	ck_assert_uint_eq(chains[0].id, 5);
	ck_assert_uint_eq(chains[0].nread, 3);
	ck_assert_uint_eq(chains[0].seg[1].addr, 0x8100);
	ck_assert_uint_eq(chains[0].seg[2].len, 3);
	push(0, 1);
	ring_fini(&ring);
	guest_fini(&guest);
}
END_TEST

/* Packed: a list over the ring's end that is longer than what a look shows; several lists in one look. */
START_TEST(dma_packed_lists)
{
	set_up(1, 13, 2, 1, 0);
	for (int lap = 0; lap < 6; lap++) {
		for (uint32_t i = 0; i < 9; i++)
			raw_packed_offer(&ring, 0x8000 + i, 1 + i, (uint16_t)(i == 8 ? 11 : 99),
			                 i < 8 ? VIRTQ_DESC_NEXT : 0);
		ck_assert_int_eq(pop_wait(1), 1);
		ck_assert_uint_eq(chains[0].nread, 9);
		ck_assert_uint_eq(chains[0].more + 1, 9);
		ck_assert_uint_eq(chains[0].id, 11);
		for (uint32_t i = 0; i < 9; i++)
			ck_assert_uint_eq(chains[0].seg[i].len, i + 1);
		push(0, 1);
		virtq_dev_publish(&ring.dev);
	}
	tear_down();
	set_up(1, 32, 2, 8, 0);
	for (uint16_t id = 0; id < 5; id++) {
		raw_packed_offer(&ring, 0x8000 + id, 1, 99, VIRTQ_DESC_NEXT);
		raw_packed_offer(&ring, 0x9000 + id, 1, id, VIRTQ_DESC_WRITE);
	}
	fetch(8);
	ck_assert_uint_eq(mem.reads, 2); /* one to see them, one to read them */
	ck_assert_int_eq(pop(8), 5);
	for (uint16_t id = 0; id < 5; id++)
		ck_assert_uint_eq(chains[id].seg[1].addr, 0x9000 + id);
	push(0, 5);
	tear_down();
}
END_TEST

/* A list is looked at twice; arming must not take the time between for an empty ring. */
START_TEST(dma_packed_arm_finds_a_list)
{
	set_up(1, 8, 1, 4, 1);
	raw_packed_offer(&ring, 0x8000, 1, 99, VIRTQ_DESC_NEXT);
	raw_packed_offer(&ring, 0x9000, 1, 2, 0);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EAGAIN);
	dma_mem_step(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EAGAIN);
	dma_mem_step(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1);
	ck_assert_int_eq(pop(1), 1);
	push(0, 1);
	tear_down();
}
END_TEST

START_TEST(dma_packed_bad_lists)
{
	set_up(1, 8, 2, 4, 0);
	for (uint32_t i = 0; i < 8; i++)
		raw_packed_offer(&ring, 0x8000, 1, 0, VIRTQ_DESC_NEXT); /* never ends */
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_TOO_MANY);
	tear_down();
	set_up(1, 8, 2, 4, 0);
	raw_packed_offer(&ring, 0x8000, 1, 0, VIRTQ_DESC_NEXT);
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_UNAVAILABLE);
	tear_down();
	set_up(1, 8, 2, 4, 0);
	raw_packed_offer(&ring, 0x8000, 1, 0, VIRTQ_DESC_NEXT);
	raw_packed_offer(&ring, 0x8000, 16, 0, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_INDIRECT_FLAGS);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("dma_ring");
	TCase *tc = tcase_create("dma_ring");

	tcase_add_test(tc, dma_split_jumps);
	tcase_add_test(tc, dma_split_circular);
	tcase_add_test(tc, dma_split_index_jumps_back);
	tcase_add_test(tc, dma_packed_list_is_read_after_its_head);
	tcase_add_test(tc, dma_packed_lists);
	tcase_add_test(tc, dma_packed_arm_finds_a_list);
	tcase_add_test(tc, dma_packed_bad_lists);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
