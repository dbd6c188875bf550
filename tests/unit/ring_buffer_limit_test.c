/* SPDX-License-Identifier: BSD-3-Clause */
/* The quick way for buffers: ids, places and indices beyond what the ring has. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "ring_buffer_rig.h"

#include "../../libvirtq/dev.h"

enum { FAR = 0x4000, ROOM = 0x10000 };

/* Scratch memory that is as if the ids far beyond the ring had this owner. */
static void set_up_roomy(int packed, int owner)
{
	struct virtq_dev_config cfg = {.scratch = malloc(ROOM), .scratch_bytes = ROOM};

	memset(cfg.scratch, owner, ROOM);
	set_up_ring(packed, VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(ring_dev_init(&ring, &cfg, SIZE), 0);
}

/* Ids are refused by their number alone: neither owners nor descriptors behind the known ones are looked at. */
START_TEST(ids_far_beyond_the_ring)
{
	const uint32_t written[4] = {1, 1, 1, 1};
	struct virtq_fault fault;
	struct virtq_buffer b[4];
	struct virtq_chain c;

	set_up_roomy(_i, OWNER_NONE);
	for (uint16_t id = 0; id < 3; id++)
		raw_offer_one(&ring, id, BUF, 64, RW);
	if (ring.packed) {
		raw_offer_one(&ring, FAR, BUF, 64, RW);
	} else {
		raw_table(&ring, ring.state.desc, FAR, BUF, 64, RW, 0);
		raw_offer(&ring, FAR);
	}
	ck_assert_uint_eq(take(b, 4), 3);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 3, 1), 0);
	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_int_eq(fault.reason, VIRTQ_FAULT_HEAD);
	tear_down();

	for (int write = 0; write < 2; write++) {
		set_up_roomy(_i, OWNER_NOW);
		for (uint16_t id = 0; id < 4; id++)
			raw_offer_one(&ring, id, BUF, 64, write ? RW : 0);
		ck_assert_uint_eq(virtq_dev_take(&ring.dev, b, 4, write), 4);
		b[3].id = FAR;
		ck_assert_int_eq(virtq_dev_untake(&ring.dev, b + 3, 1), VIRTQ_EINVAL);
		ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 4, write), VIRTQ_EINVAL);
		ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
		b[3].id = 3;
		ck_assert_int_eq(virtq_dev_untake(&ring.dev, b + 3, 1), 0);
		tear_down();
	}
}
END_TEST

/* An index that runs ahead: nothing is taken, and pop says why. */
START_TEST(index_too_far)
{
	struct virtq_buffer b[SIZE];
	struct virtq_fault fault;
	struct virtq_chain c;

	set_up(0, _i ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	raw_offer_one(&ring, 0, BUF, 64, RW);
	raw_avail_idx(&ring, SIZE + 1);
	ck_assert_uint_eq(take(b, SIZE), 0);
	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_AVAIL_IDX);
	tear_down();
}
END_TEST

/* A driver that never waits: no more is out than the ring has, across its end. */
START_TEST(no_more_than_the_ring)
{
	uint32_t written[2 * SIZE] = {0};
	struct virtq_buffer b[2 * SIZE];
	struct virtq_chain c;

	set_up(1, VIRTQ_F_EVENT_IDX);
	for (uint16_t i = 0; i < 3; i++)
		raw_offer_one(&ring, i, BUF, 64, RW);
	ck_assert_uint_eq(take(b, SIZE), 3);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 3, 1), 0);
	virtq_dev_publish(&ring.dev);
	for (uint16_t i = 0; i < 2 * SIZE; i++)
		raw_offer_one(&ring, i % SIZE, BUF, 64, RW);
	/* the second lap has overwritten the first: what is there is of one lap or the other */
	ck_assert_uint_le(take(b, 2 * SIZE), SIZE);
	ck_assert_uint_eq(take(b + SIZE, SIZE), 0);
	(void)pop(&c);
	ck_assert_uint_le(virtq_dev_inflight(&ring.dev), SIZE);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, virtq_dev_inflight(&ring.dev)), 0);
	tear_down();
}
END_TEST

/* A chain of several descriptors has one id: ids are left when no place is, and a driver that never waits uses them. */
START_TEST(no_more_than_the_places)
{
	uint32_t written[SIZE] = {0};
	struct virtq_buffer b[SIZE];
	struct virtq_chain c;

	set_up(1, VIRTQ_F_EVENT_IDX);
	for (unsigned i = 0; i < 3; i++)
		raw_packed_offer(&ring, BUF, 64, 0, i < 2 ? RW | VIRTQ_DESC_NEXT : RW);
	ck_assert_int_eq(pop(&c), 1);
	for (uint16_t id = 1; id < SIZE; id++)
		raw_offer_one(&ring, id, BUF, 64,
		              RW); /* the last two where the first chain's first two were */
	ck_assert_uint_eq(take(b, SIZE), SIZE - 3);
	ck_assert_uint_eq(take(b + SIZE - 3, 3), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), SIZE - 2);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, written, 1), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, SIZE - 3, 1), 0);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ring buffers: limits");
	TCase *tc = tcase_create("limits");

	tcase_add_loop_test(tc, ids_far_beyond_the_ring, 0, 2);
	tcase_add_loop_test(tc, index_too_far, 0, 2);
	tcase_add_test(tc, no_more_than_the_ring);
	tcase_add_test(tc, no_more_than_the_places);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
