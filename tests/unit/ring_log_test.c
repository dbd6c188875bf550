/* SPDX-License-Identifier: BSD-3-Clause */
/* What a queue writes to its ring is in the dirty log, whenever that was turned on. _i: 0 split, 1 packed. */
#include <stdlib.h>
#include <string.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "ring.h"

/* A packed ring has 16 pages, a split one's device area 8 and a bit. */
enum { SIZE = 4096, PAGE = 4096, PAGES = 256, BUF = 0xf0000, PER_PAGE = PAGE / VIRTQ_DESC_BYTES };

static struct guest guest;
static struct ring ring;
static struct virtq_log log_switch;
static struct virtq_dirty dirty;
static uintptr_t bits[PAGES / (8 * sizeof(uintptr_t))];

static void set_up(int packed)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(1, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, NULL, 0);
	virtq_mem_set_log(&guest.mem, &log_switch);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, SIZE), 0);
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(virtq_dirty_init(&dirty, 0, 12, bits, sizeof(bits) / sizeof(bits[0]), NULL),
	                 0);
	virtq_log_set(&log_switch, NULL);
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

/* Whether the page that holds this byte of the ring is in the log. */
static int marked(const uint8_t *at)
{
	size_t page = (size_t)(at - (const uint8_t *)guest_at(&guest, 0, 1)) / PAGE;

	return ((const uint8_t *)bits)[page / 8] >> page % 8 & 1;
}

/* Offer n empty-handed buffers, and use them all. Only what is published can be in the log. */
static void use(unsigned n, int publish)
{
	static struct virtq_chain c[SIZE];
	static uint32_t written[SIZE];

	for (unsigned i = 0; i < n; i++) {
		if (ring.packed) {
			raw_packed_offer(&ring, BUF, 16, (uint16_t)i, 0);
		} else {
			raw_desc(&ring, (uint16_t)i, BUF, 16, 0, 0);
			raw_offer(&ring, (uint16_t)i);
		}
	}
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, c, n, ring.iov, ring.niov), (int)n);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, written, n), 0);
	if (publish)
		virtq_dev_publish(&ring.dev);
}

/* Where the nth used entry from the beginning of the ring lies. */
static const uint8_t *used_at(unsigned n)
{
	if (ring.packed)
		return ring.desc + (size_t)n % SIZE * VIRTQ_DESC_BYTES;
	return ring.device + 4 + (size_t)n % SIZE * VIRTQ_USED_ELEM_BYTES;
}

START_TEST(a_burst_from_before_the_log)
{
	const unsigned first = 3 * PER_PAGE + 1, n = 7 * PER_PAGE;

	set_up(_i);
	use(first, 1);
	use(n, 0);
	virtq_log_set(&log_switch, &dirty);
	virtq_dev_publish(&ring.dev);
	for (unsigned i = first; i < first + n; i++)
		ck_assert_msg(marked(used_at(i)), "used entry %u", i);
	/* Nothing else: the pages before and after. */
	ck_assert(!marked(used_at(0)) || !ring.packed); /* the split ring's index is there */
	ck_assert(!marked(used_at(first + n + 1024)));
	tear_down();
}
END_TEST

/* A driver that goes round without waiting for what it gave: what is marked stays within the ring. */
START_TEST(more_than_a_ring_unpublished)
{
	const uint8_t *after;

	set_up(_i);
	after = _i ? ring.desc + SIZE * VIRTQ_DESC_BYTES : ring.device + VIRTQ_SPLIT_DEVICE_BYTES(SIZE);
	for (unsigned lap = 0; lap < 3; lap++)
		use(SIZE, 0);
	virtq_log_set(&log_switch, &dirty);
	virtq_dev_publish(&ring.dev);
	for (unsigned i = 0; i < SIZE; i++)
		ck_assert(marked(used_at(i)));
	for (unsigned page = 1; page < 16; page++)
		ck_assert(!marked(after + (size_t)page * PAGE));
	tear_down();
}
END_TEST

START_TEST(over_the_end_of_the_ring)
{
	const unsigned first = SIZE - PER_PAGE, n = 3 * PER_PAGE;

	set_up(_i);
	use(first, 1);
	use(n, 0);
	virtq_log_set(&log_switch, &dirty);
	virtq_dev_publish(&ring.dev);
	for (unsigned i = first; i < first + n; i++)
		ck_assert_msg(marked(used_at(i)), "used entry %u", i);
	ck_assert(!marked(used_at(first + n + 512)));
	ck_assert(!marked(used_at(first - 513)));
	/* With the log on all the time: one entry, one page, and what the index is in. */
	memset(bits, 0, sizeof(bits));
	use(1, 1);
	ck_assert(marked(used_at(first + n)));
	ck_assert(!marked(used_at(first + n + 512)));
	/* A whole lap. */
	use(SIZE, 1);
	for (unsigned i = 0; i < SIZE; i++)
		ck_assert(marked(used_at(i)));
	tear_down();
}
END_TEST

/* A predecessor died between showing what was used and marking it. */
START_TEST(a_take_over_marks_for_the_dead)
{
	struct virtq_inflight_config cfg = {.size = sizeof(cfg), .entries = SIZE};
	const size_t bytes = virtq_inflight_bytes(SIZE, _i);
	void *region, *scratch;

	set_up(_i);
	region = calloc(1, bytes);
	cfg.region = region;
	cfg.region_bytes = bytes;
	cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, SIZE);
	cfg.scratch = scratch = malloc(cfg.scratch_bytes);
	ck_assert_int_eq(virtq_inflight_attach(&ring.dev, &cfg), 0);
	use(700, 1);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	free(ring.dev_scratch);
	free(ring.iov);
	free(ring.seg);
	virtq_log_set(&log_switch, &dirty);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, SIZE), 0);
	ck_assert_int_eq(virtq_inflight_attach(&ring.dev, &cfg), 0);
	for (unsigned i = 0; i < 700; i++)
		ck_assert_msg(marked(used_at(i)), "used entry %u", i);
	ck_assert(marked(ring.device)); /* the index, or the wish for notifications */
	if (!_i)
		ck_assert(marked(ring.device + 4 + SIZE * VIRTQ_USED_ELEM_BYTES)); /* likewise */
	tear_down();
	free(region);
	free(scratch);
}
END_TEST

/* A ring that is noted from the start has nothing to mark. */
START_TEST(a_fresh_region_marks_nothing)
{
	struct virtq_inflight_config cfg = {.size = sizeof(cfg), .entries = SIZE};
	void *region, *scratch;

	set_up(_i);
	virtq_log_set(&log_switch, &dirty);
	cfg.region_bytes = virtq_inflight_bytes(SIZE, _i);
	cfg.region = region = calloc(1, cfg.region_bytes);
	cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, SIZE);
	cfg.scratch = scratch = malloc(cfg.scratch_bytes);
	ck_assert_int_eq(virtq_inflight_attach(&ring.dev, &cfg), 0);
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		ck_assert_uint_eq(bits[i], 0);
	tear_down();
	free(region);
	free(scratch);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring log");
	TCase *tc = tcase_create("log");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_burst_from_before_the_log, 0, 2);
	tcase_add_loop_test(tc, over_the_end_of_the_ring, 0, 2);
	tcase_add_loop_test(tc, more_than_a_ring_unpublished, 0, 2);
	tcase_add_loop_test(tc, a_take_over_marks_for_the_dead, 0, 2);
	tcase_add_loop_test(tc, a_fresh_region_marks_nothing, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
