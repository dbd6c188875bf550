/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile driver on a queue whose requests in flight are noted; _i is 0 for split, 1 for packed. */
#include <stdlib.h>
#include <string.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "ring.h"
#include "rng.h"

enum { SIZE = 16, BUF = 0x80000 };

static struct guest guest;
static struct ring ring;
static uint8_t *region;
static void *scratch;

static void attach(void)
{
	struct virtq_inflight_config cfg = {.size = sizeof(cfg), .entries = SIZE};

	cfg.region = region;
	cfg.region_bytes = virtq_inflight_bytes(SIZE, ring.packed);
	cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, SIZE);
	free(scratch);
	cfg.scratch = scratch = malloc(cfg.scratch_bytes);
	ck_assert_int_eq(virtq_inflight_attach(&ring.dev, &cfg), 0);
}

static void set_up(int packed, int in_order)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};
	struct virtq_dev_config dev = {.size = sizeof(dev)};

	cfg.features = features_of(1, VIRTQ_F_VERSION_1);
	if (in_order)
		virtq_features_set(&cfg.features, VIRTQ_F_IN_ORDER);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, SIZE), 0);
	/* Its own allocation, so that a sanitizer sees what runs over its end. */
	region = calloc(1, virtq_inflight_bytes(SIZE, packed));
	attach();
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
	free(region);
	free(scratch);
	scratch = NULL;
}

/* One buffer of n descriptors. */
static void offer(uint16_t id, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint16_t next = k + 1 < n ? VIRTQ_DESC_NEXT : 0;

		if (ring.packed)
			raw_packed_offer(&ring, BUF + 64 * k, 64, id, next);
		else
			raw_desc(&ring, (uint16_t)((id + k) % SIZE), BUF + 64 * k, 64, next,
			         (uint16_t)((id + k + 1) % SIZE));
	}
	if (!ring.packed)
		raw_offer(&ring, id);
}

static int pop(struct virtq_chain *c)
{
	return virtq_dev_pop(&ring.dev, c, 1, ring.iov, ring.niov);
}

static void push(const struct virtq_chain *c)
{
	const uint32_t none = 0;

	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, &none, 1), 0);
}

/* A buffer that was given back, but waits for its turn, is not the driver's yet: its id can't come again. */
START_TEST(an_id_that_waits_for_its_turn)
{
	struct virtq_chain a, b, c;
	struct virtq_fault fault;

	set_up(_i, 1);
	offer(0, 1);
	ck_assert_int_eq(pop(&a), 1);
	offer(4, 1);
	ck_assert_int_eq(pop(&b), 1);
	push(&b);
	offer(4, 3);
	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_DUPLICATE);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &a, &(uint32_t){0}, 1), VIRTQ_EBROKEN);
	tear_down();
}
END_TEST

/* Any ids, any lengths, given back in any order: until the queue breaks, each time anew. */
START_TEST(any_ids_in_any_order)
{
	struct rng rng;

	rng_seed(&rng, 7 + (uint64_t)_i);
	for (unsigned round = 0; round < 400; round++) {
		struct virtq_chain out[SIZE];
		unsigned nout = 0;
		int n = 0;

		set_up(_i & 1, _i >> 1);
		for (unsigned step = 0; step < 200 && n >= 0; step++) {
			if (!rng_one_in(&rng, 3) || nout == 0) {
				/* Mostly few ids, so that they meet. */
				offer((uint16_t)rng_below(&rng, round % 2 ? SIZE : 6), 1 + rng_below(&rng, 3));
				n = nout < SIZE ? pop(&out[nout]) : 0;
				nout += n > 0;
			} else {
				unsigned k = rng_below(&rng, nout);

				push(&out[k]);
				out[k] = out[--nout];
				virtq_dev_publish(&ring.dev);
			}
		}
		ck_assert(n >= 0 || n == VIRTQ_EBROKEN);
		ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), nout);
		if (nout > 0)
			ck_assert_int_eq(virtq_dev_release(&ring.dev, out, nout), 0);
		tear_down();
	}
}
END_TEST

/* The split ring's index tells what a predecessor used, not the state that its successor was made from. */
START_TEST(a_take_over_from_a_fresh_state)
{
	struct virtq_dev_config dev = {.size = sizeof(dev)};
	struct virtq_chain c;

	set_up(0, 0);
	for (unsigned i = 0; i < 100; i++) {
		offer((uint16_t)(i % SIZE), 1);
		ck_assert_int_eq(pop(&c), 1);
		push(&c);
		virtq_dev_publish(&ring.dev);
	}
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	free(ring.dev_scratch);
	free(ring.iov);
	free(ring.seg);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, SIZE), 0);
	attach();
	ck_assert_int_eq(pop(&c), 0);
	offer(3, 1);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.id, 3);
	push(&c);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(raw_used_idx(&ring), 101);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("evil inflight ring");
	TCase *tc = tcase_create("ring");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, an_id_that_waits_for_its_turn, 0, 2);
	tcase_add_loop_test(tc, any_ids_in_any_order, 0, 4);
	tcase_add_test(tc, a_take_over_from_a_fresh_state);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
