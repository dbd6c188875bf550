/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions of requests in flight, written by hand: one that is right, and the same with one thing wrong. */
#include <stdlib.h>
#include <string.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "dma_mem.h"
#include "ring.h"

/* A queue of SIZE; a region may have been made for more. */
enum { SIZE = 128, ENTRIES = 256, BUF = 0x80000, TABLE = 0xa0000 };

/* Where things are (virtq/inflight.h says whose layout it is). */
enum { FEATURES_AT = 0, VERSION_AT = 8, ENTRIES_AT = 10 };
enum { BATCH_AT = 12, USED_AT = 14 }; /* split */
enum {
	FREE_AT = 12,
	OLD_FREE_AT = 14,
	POS_AT = 16,
	OLD_POS_AT = 18,
	WRAP_AT = 20,
	OLD_WRAP_AT = 21
};

static struct guest guest;
static struct ring ring;
/* Twice what it needs: what lies behind it looks right as well. */
static _Alignas(8) uint8_t region[2 * (32 + 32 * ENTRIES)];
static _Alignas(8) uint8_t scratch[65536];
static struct virtq_inflight_config cfg;

static void put8(uint32_t at, uint8_t v)
{
	region[at] = v;
}

static void put16(uint32_t at, uint16_t v)
{
	memcpy(region + at, &v, sizeof(v));
}

static void put32(uint32_t at, uint32_t v)
{
	memcpy(region + at, &v, sizeof(v));
}

static void put64(uint32_t at, uint64_t v)
{
	memcpy(region + at, &v, sizeof(v));
}

static uint32_t entry(uint32_t i)
{
	return ring.packed ? 32 + 32 * i : 16 + 16 * i;
}

/* Packed: a chain of num entries from first on. */
static void chain(uint16_t first, uint16_t num, uint16_t id, uint64_t counter)
{
	for (uint32_t k = 0; k < num; k++) {
		uint32_t e = entry(first + k);

		put16(e + 2, (uint16_t)(first + k + 1));
		put16(e + 16, id);
		put16(e + 18, 0);
		put32(e + 20, 16);
		put64(e + 24, BUF);
	}
	put8(entry(first), 1);
	put16(entry(first) + 4, (uint16_t)(first + num - 1));
	put16(entry(first) + 6, num);
	put64(entry(first) + 8, counter);
}

static void free_from(uint16_t first)
{
	put16(FREE_AT, first);
	put16(OLD_FREE_AT, first);
	for (uint32_t i = first; i < ENTRIES; i++)
		put16(entry(i) + 2, (uint16_t)(i + 1));
}

/* Split: a head that is out. */
static void head(uint16_t i, uint64_t counter)
{
	put8(entry(i), 1);
	put64(entry(i) + 8, counter);
	raw_desc(&ring, i, BUF, 16, 0, 0);
}

/* A region with two requests, of which the second one was popped first: heads or ids 5, then 3. */
static void set_up(int packed)
{
	struct ring_config rc = {.size = SIZE, .region = 0};

	rc.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		virtq_features_set(&rc.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &rc);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, 4), 0);
	memset(region, 0, sizeof(region));
	memset(scratch, 0, sizeof(scratch));
	cfg = (struct virtq_inflight_config){.size = sizeof(cfg),
	                                     .region = region,
	                                     .region_bytes = virtq_inflight_bytes(ENTRIES, packed),
	                                     .entries = ENTRIES,
	                                     .scratch = scratch,
	                                     .scratch_bytes = sizeof(scratch)};
	put16(VERSION_AT, 1);
	put16(ENTRIES_AT, ENTRIES);
	if (packed) {
		chain(0, 2, 3, 10);
		chain(2, 1, 5, 7);
		free_from(3);
		put8(WRAP_AT, 1);
		put8(OLD_WRAP_AT, 1);
	} else {
		head(3, 10);
		head(5, 7);
	}
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static int attach(void)
{
	return virtq_inflight_attach(&ring.dev, &cfg);
}

static void refused(void)
{
	struct virtq_chain c;

	ck_assert_int_eq(attach(), VIRTQ_EBADMSG);
	ck_assert_uint_eq(virtq_inflight_left(&ring.dev), 0);
	ck_assert_int_le(virtq_dev_pop(&ring.dev, &c, 1, ring.iov, ring.niov), 0);
	tear_down();
}

static int pop(struct virtq_chain *c, uint32_t max)
{
	return virtq_dev_pop(&ring.dev, c, max, ring.iov, ring.niov);
}

static void broken(uint16_t reason)
{
	struct virtq_fault fault = {0};
	struct virtq_chain c;

	ck_assert_int_eq(pop(&c, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, reason);
}

START_TEST(what_is_right_comes_again)
{
	static const uint32_t none[4];
	struct virtq_chain c[4];

	set_up(_i);
	if (_i) {
		for (unsigned i = 0; i < 3; i++) /* what the ring had */
			raw_packed_offer(&ring, BUF, 16, 0, 0);
		raw_packed_offer(&ring, BUF + 64, 32, 9, 0);
	} else {
		raw_avail_entry(&ring, 0, 3);
		raw_avail_entry(&ring, 1, 5);
		raw_avail_idx(&ring, 2);
		ring.raw_avail = 2;
		raw_desc(&ring, 9, BUF + 64, 32, 0, 0);
		raw_offer(&ring, 9);
	}
	ck_assert_int_eq(attach(), 2);
	ck_assert_uint_eq(virtq_inflight_left(&ring.dev), 2);
	ck_assert_int_eq(pop(c, 4), 2); /* these by themselves */
	ck_assert_uint_eq(c[0].id, 5);
	ck_assert_uint_eq(c[1].id, 3);
	ck_assert_uint_eq(c[1].nread, _i ? 2 : 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, none, 2), 0);
	ck_assert_int_eq(pop(c, 4), 1);
	ck_assert_uint_eq(c[0].id, 9);
	ck_assert_uint_eq(c[0].read_bytes, 32);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, none, 1), 0);
	virtq_dev_publish(&ring.dev);
	tear_down();
}
END_TEST

START_TEST(headers_are_compared)
{
	set_up(_i);
	put16(VERSION_AT, 2);
	refused();
	set_up(_i);
	put64(FEATURES_AT, 1);
	refused();
	set_up(_i);
	put64(FEATURES_AT, UINT64_C(1) << 63);
	refused();
	set_up(_i);
	put16(ENTRIES_AT, ENTRIES - 1);
	refused();
}
END_TEST

START_TEST(configurations_are_checked)
{
	struct virtq_inflight_config good;
	const uint8_t untouched = 0x77;

	set_up(_i);
	good = cfg;
	scratch[0] = untouched;
#define REFUSED(...)                                                                               \
	do {                                                                                           \
		cfg = good;                                                                                \
		__VA_ARGS__;                                                                               \
		ck_assert_int_eq(attach(), VIRTQ_EINVAL);                                                  \
		ck_assert_uint_eq(scratch[0], untouched);                                                  \
	} while (0)
	REFUSED(cfg.size--);
	REFUSED(cfg.reserved = 1);
	REFUSED(cfg.entries = SIZE - 1);
	REFUSED(cfg.entries = 32769, cfg.region_bytes = cfg.scratch_bytes = SIZE_MAX);
	REFUSED(cfg.region = NULL);
	REFUSED(cfg.region = region + 4);
	REFUSED(cfg.region_bytes--);
	REFUSED(cfg.scratch = NULL);
	REFUSED(cfg.scratch = scratch + 4);
	REFUSED(cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, ENTRIES) - 1);
#undef REFUSED
	cfg = good;
	ck_assert_int_eq(virtq_inflight_attach_sized(&ring.dev, sizeof(ring.dev) - 1, &cfg),
	                 VIRTQ_EINVAL);
	cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, ENTRIES);
	ck_assert_int_eq(attach(), 2);
	ck_assert_int_eq(attach(), VIRTQ_EINVAL); /* it is */
	tear_down();
}
END_TEST

/* Not while chains are out, and not across a bus. */
START_TEST(queues_that_can_not)
{
	static struct dma_mem mem;
	struct virtq_dev_config dev = {.dma = &mem.ops, .dma_window = 4};
	struct virtq_chain c;

	set_up(_i);
	raw_desc(&ring, 0, BUF, 16, 0, 0);
	if (_i)
		raw_packed_offer(&ring, BUF, 16, 0, 0);
	else
		raw_offer(&ring, 0);
	ck_assert_int_eq(pop(&c, 1), 1);
	ck_assert_int_eq(attach(), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, &c, 1), 0);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	free(ring.dev_scratch);
	free(ring.iov);
	free(ring.seg);
	dma_mem_init(&mem, &guest, 0, 1);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, 4), 0);
	ck_assert_int_eq(attach(), VIRTQ_EINVAL);
	tear_down();
}
END_TEST

#define REFUSED(...) (set_up(_i), __VA_ARGS__, refused())

START_TEST(split_contradictions)
{
	REFUSED(put16(USED_AT, (uint16_t)-1), put16(BATCH_AT, SIZE)); /* no head */
	REFUSED(
		(put16(USED_AT, (uint16_t)-2), put16(BATCH_AT, 9), put16(entry(9) + 6, 9))); /* a circle */
	REFUSED(put16(USED_AT, (uint16_t)(-SIZE - 1))); /* another ring's */
	/* With nothing out that does not matter. */
	set_up(0);
	put8(entry(3), 0);
	put8(entry(5), 0);
	put16(USED_AT, 1000);
	ck_assert_int_eq(attach(), 0);
	tear_down();
	/* A head that was used, as the ring says, though it was not noted any more. */
	set_up(0);
	put16(USED_AT, (uint16_t)-1);
	put16(BATCH_AT, 3);
	ck_assert_int_eq(attach(), 1);
	tear_down();
}
END_TEST

START_TEST(packed_contradictions)
{
	REFUSED(put16(POS_AT, SIZE));
	REFUSED(put16(OLD_POS_AT, SIZE));
	REFUSED(put8(WRAP_AT, 2));
	REFUSED(put8(OLD_WRAP_AT, 2));
	/* The free list: a circle. Chains: none, in the free list, over its end, in another one, round. */
	REFUSED(put16(entry(ENTRIES - 1) + 2, 7));
	REFUSED(put16(entry(0) + 6, 0));
	REFUSED(put16(entry(1) + 2, 3), put16(entry(0) + 6, 3));
	REFUSED(put16(entry(0) + 2, ENTRIES + 1), put16(entry(ENTRIES + 1) + 16, 77));
	REFUSED(put16(entry(2) + 2, 1), put16(entry(2) + 6, 2), put16(entry(1) + 16, 6));
	REFUSED(put16(entry(0) + 2, 0));
	/* Ids: not the ring's, twice. */
	REFUSED(put16(entry(2) + 16, SIZE));
	REFUSED(put16(entry(2) + 16, 3));
	/* More than the ring has, in one and in two; more than that is an error, too. */
	REFUSED(chain(0, SIZE + 1, 3, 10), free_from(SIZE + 1));
	REFUSED(chain(0, SIZE, 3, 10), chain(SIZE, 1, 5, 7), free_from(SIZE + 1));
	REFUSED(chain(0, 100, 3, 10), chain(100, 1, 3, 7), free_from(101));
	/* Up to all of it there may be. */
	set_up(1);
	chain(0, SIZE - 1, 3, 10);
	chain(SIZE - 1, 1, 5, 7);
	free_from(SIZE);
	ck_assert_int_eq(attach(), 2);
	tear_down();
}
END_TEST

/* The used positions alone, for whoever has to tell them before the queue is there. */
START_TEST(used_positions_are_told)
{
	static const uint32_t at[] = {POS_AT, OLD_POS_AT, WRAP_AT, OLD_WRAP_AT};
	uint16_t used[2] = {99, 99};

	set_up(1);
	put16(OLD_POS_AT, 5);
	put16(POS_AT, SIZE - 1);
	put8(WRAP_AT, 0);
	ck_assert_int_eq(virtq_inflight_used(region, SIZE, used), 1);
	ck_assert_uint_eq(used[0], 5 | VIRTQ_STATE_WRAP);
	ck_assert_uint_eq(used[1], SIZE - 1);
	put8(OLD_WRAP_AT + 1, 1); /* half of a change */
	ck_assert_int_eq(virtq_inflight_used(region, SIZE, used), 1);
	ck_assert_uint_eq(used[0], SIZE - 1);
	ck_assert_uint_eq(used[1], SIZE - 1);
	put8(OLD_WRAP_AT + 1, 0);
	for (unsigned i = 0; i < 4; i++) {
		uint16_t before;

		memcpy(&before, region + at[i], sizeof(before));
		if (i < 2)
			put16(at[i], SIZE);
		else
			put8(at[i], 2);
		ck_assert_int_eq(virtq_inflight_used(region, SIZE, used), VIRTQ_EBADMSG);
		put16(at[i], before);
	}
	virtq_inflight_clear(region);
	ck_assert_int_eq(virtq_inflight_used(region, SIZE, used), 0);
	ck_assert_uint_eq(used[1], SIZE - 1);
	tear_down();
}
END_TEST

START_TEST(as_many_as_there_are_ids)
{
	set_up(1);
	for (uint16_t i = 0; i < SIZE; i++)
		chain(i, 1, i, i);
	free_from(SIZE);
	ck_assert_int_eq(attach(), SIZE);
	tear_down();
	set_up(1);
	for (uint16_t i = 0; i < SIZE + 1; i++)
		chain(i, 1, i, i);
	free_from(SIZE + 1);
	refused();
}
END_TEST

/* What a chain points at is checked when it is popped again. */
START_TEST(descriptors_are_checked_again)
{
	const uint16_t ends[2] = {VIRTQ_FAULT_ADDRESS, VIRTQ_FAULT_INDIRECT_FLAGS};
	struct virtq_chain c;

	for (unsigned bad = 0; bad < 2; bad++) {
		set_up(_i);
		if (_i && bad == 0)
			put64(entry(0) + 24, UINT64_C(1) << 50);
		else if (_i)
			put16(entry(1) + 18, VIRTQ_DESC_INDIRECT);
		else if (bad == 0)
			raw_desc(&ring, 3, UINT64_C(1) << 50, 16, 0, 0);
		else
			raw_desc(&ring, 3, TABLE, 16, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT, 4);
		ck_assert_int_eq(attach(), 2);
		ck_assert_int_eq(pop(&c, 2), 1); /* the good one before it */
		ck_assert_uint_eq(c.id, 5);
		broken(ends[bad]);
		ck_assert_int_eq(virtq_dev_release(&ring.dev, &c, 1), 0);
		tear_down();
	}
	/* A table is read where it lies. */
	set_up(_i);
	raw_table(&ring, TABLE, 0, BUF, 48, 0, 0);
	if (_i)
		put64(entry(2) + 24, TABLE);
	else
		raw_desc(&ring, 5, TABLE, 16, VIRTQ_DESC_INDIRECT, 0);
	put16(entry(2) + 18, _i ? VIRTQ_DESC_INDIRECT : 0);
	ck_assert_int_eq(attach(), 2);
	ck_assert_int_eq(pop(&c, 1), 1);
	ck_assert_uint_eq(c.id, 5);
	ck_assert_uint_eq(c.read_bytes, 48);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, &c, 1), 0);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("inflight_region");
	TCase *tc = tcase_create("region");

	tcase_add_loop_test(tc, what_is_right_comes_again, 0, 2);
	tcase_add_loop_test(tc, headers_are_compared, 0, 2);
	tcase_add_loop_test(tc, configurations_are_checked, 0, 2);
	tcase_add_loop_test(tc, queues_that_can_not, 0, 2);
	tcase_add_loop_test(tc, split_contradictions, 0, 1);
	tcase_add_loop_test(tc, packed_contradictions, 1, 2);
	tcase_add_test(tc, used_positions_are_told);
	tcase_add_test(tc, as_many_as_there_are_ids);
	tcase_add_loop_test(tc, descriptors_are_checked_again, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
