/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chains are popped in a short way and in a general one, which is taken where memory is not coherent: whatever a driver
 * writes, they find the same chains and the same faults. _i & 1: packed.
 */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "ring.h"
#include "rng.h"

enum { SIZE = 8, TABLES = 4, ENTRIES = 10, BURST = 8, TABLE = 0x9000, PER_TABLE = 0x200 };

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

static struct guest guest;
static struct ring way[2]; /* two devices on one ring, the second one's in the general way */
static struct rng rng;
static const struct virtq_platform platform = {.size = sizeof(platform)};

static void set_up(int packed, uint32_t max_chain)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};
	struct virtq_dev_config dev = {.max_chain = max_chain};

	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_alloc_reset(&guest);
	ring_init(&way[0], &guest, &cfg);
	way[1] = way[0];
	ck_assert_int_eq(ring_dev_init(&way[0], &dev, BURST), 0);
	dev.platform = &platform;
	ck_assert_int_eq(ring_dev_init(&way[1], &dev, BURST), 0);
}

static void tear_down(void)
{
	ck_assert_int_eq(virtq_dev_fini(&way[1].dev), 0);
	free(way[1].dev_scratch);
	free(way[1].iov);
	free(way[1].seg);
	ring_fini(&way[0]);
}

static int same_chain(const struct virtq_chain *a, const struct virtq_chain *b)
{
	uint32_t n = a->nread + a->nwrite;

	if (a->id != b->id || a->more != b->more || a->nread != b->nread || a->nwrite != b->nwrite ||
	    a->read_bytes != b->read_bytes || a->write_bytes != b->write_bytes)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (a->iov[i].base != b->iov[i].base || a->iov[i].len != b->iov[i].len)
			return 0;
	return 1;
}

/* Pop bursts of max with room for niov pieces, until there are no more. How many came. */
static uint32_t pop_both(uint32_t max, uint32_t niov)
{
	struct virtq_fault fault[2];
	uint32_t popped = 0;
	int n[2];

	memset(fault, 0, sizeof(fault));
	do {
		struct virtq_chain c[2][BURST];

		for (int w = 0; w < 2; w++)
			n[w] = virtq_dev_pop(&way[w].dev, c[w], max, way[w].iov, niov);
		ck_assert_int_eq(n[0], n[1]);
		for (int i = 0; i < n[0]; i++)
			ck_assert(same_chain(&c[0][i], &c[1][i]));
		for (int w = 0; w < 2 && n[0] > 0; w++)
			ck_assert_int_eq(virtq_dev_release(&way[w].dev, c[w], (uint32_t)n[0]), 0);
		popped += n[0] > 0 ? (uint32_t)n[0] : 0;
	} while (n[0] > 0 && popped < 2 * SIZE);
	ck_assert_int_eq(virtq_dev_fault(&way[0].dev, &fault[0]),
	                 virtq_dev_fault(&way[1].dev, &fault[1]));
	ck_assert_uint_eq(fault[0].reason, fault[1].reason);
	ck_assert_uint_eq(fault[0].head, fault[1].head);
	ck_assert_uint_eq(fault[0].avail, fault[1].avail);
	return popped;
}

/* Mostly what an honest driver writes: one of so many is something else. */
static int odd(uint32_t one_in)
{
	return rng_one_in(&rng, one_in);
}

static uint64_t random_addr(void)
{
	static const uint64_t odd_ones[] = {GIB + MIB - 8, MIB - 8, 1, UINT64_C(1) << 50,
	                                    UINT64_MAX - 3};

	return odd(24) ? odd_ones[rng_below(&rng, 5)] : 0x8000 + 64 * (uint64_t)rng_below(&rng, 16);
}

static uint32_t random_len(void)
{
	return odd(24) ? (odd(2) ? 0 : UINT32_MAX) : 1 + rng_below(&rng, 64);
}

/* Flags of buffer i of n: readable ones first. */
static uint16_t random_flags(uint32_t i, uint32_t n, uint32_t nread)
{
	uint16_t flags =
		(uint16_t)((i + 1 < n ? VIRTQ_DESC_NEXT : 0) | (i < nread ? 0 : VIRTQ_DESC_WRITE));

	return odd(20) ? (uint16_t)rng_below(&rng, 8) : flags;
}

static void random_tables(void)
{
	for (uint32_t t = 0; t < TABLES; t++) {
		uint32_t nread = rng_below(&rng, ENTRIES + 1), n = 1 + rng_below(&rng, ENTRIES);
		uint64_t at = TABLE + t * PER_TABLE + (odd(12) ? 1 : 0);

		for (uint32_t i = 0; i < ENTRIES; i++)
			raw_table(&way[0], at, i, random_addr(), random_len(), random_flags(i, n, nread),
			          (uint16_t)(odd(20) ? rng_below(&rng, ENTRIES + 2) : i + 1));
	}
}

static void random_table_of(uint64_t *addr, uint32_t *len)
{
	*addr = TABLE + rng_below(&rng, TABLES) * PER_TABLE + (odd(16) ? 1 : 0);
	*len = VIRTQ_DESC_BYTES * (1 + rng_below(&rng, ENTRIES)) + (odd(24) ? 8 : 0);
	if (odd(24))
		*len = 0;
	if (odd(24))
		*addr = MIB - 32;
}

/* A chain from place at on; how many descriptors it should have. */
static uint32_t random_chain(uint16_t at, uint16_t id)
{
	uint32_t n = odd(2) ? 1 : 1 + rng_below(&rng, 4), nread = rng_below(&rng, n + 1);

	for (uint32_t i = 0; i < n; i++) {
		uint16_t flags = random_flags(i, n, nread), place = (uint16_t)((at + i) % SIZE);
		uint64_t addr = random_addr();
		uint32_t len = random_len();

		if (i + 1 == n && odd(3)) {
			random_table_of(&addr, &len);
			flags = (uint16_t)(odd(16) ? flags | VIRTQ_DESC_INDIRECT : VIRTQ_DESC_INDIRECT);
		}
		if (way[0].packed)
			raw_packed_offer(&way[0], addr, len, id, flags);
		else
			raw_desc(&way[0], place, addr, len, flags,
			         (uint16_t)(odd(24) ? rng_below(&rng, SIZE + 2) : (place + 1u) % SIZE));
	}
	return n;
}

START_TEST(whatever_the_driver_writes)
{
	unsigned long rounds = test_rounds(6000);
	uint32_t all = 0;

	guest_init(&guest, NULL, 0);
	rng_seed(&rng, 1 + (uint64_t)_i);
	for (unsigned long round = 0; round < rounds; round++) {
		uint32_t at = 0;

		set_up(_i, odd(2) ? 0 : 4 + rng_below(&rng, 2 * ENTRIES));
		random_tables();
		while (at < SIZE) {
			uint16_t id = (uint16_t)(odd(40) ? rng_below(&rng, SIZE + 2) : at);
			uint32_t n = random_chain((uint16_t)at, id);

			if (!_i)
				raw_offer(&way[0], id);
			at += n;
		}
		all += pop_both(1 + rng_below(&rng, BURST),
		                odd(2) ? way[0].niov : virtq_dev_max_iov(&way[0].dev));
		tear_down();
	}
	guest_fini(&guest);
	ck_assert_uint_gt(all, rounds);
}
END_TEST

/* Bytes of plain buffers up to 2^32, in a table. */
START_TEST(sums_of_plain_buffers)
{
	static const struct {
		uint32_t n, last, popped;
	} cases[] = {{4096, MIB - 1, 1}, {4096, MIB, 0}, {4097, 1, 0}, {4098, MIB, 0}};
	const uint64_t table = 0x10000;

	guest_init(&guest, NULL, 0);
	for (unsigned k = 0; k < 4; k++) {
		struct virtq_fault fault;

		set_up(_i, 4098);
		for (uint32_t i = 0; i < cases[k].n; i++)
			raw_table(&way[0], table, i, GIB, i + 1 < cases[k].n ? (uint32_t)MIB : cases[k].last,
			          (uint16_t)(VIRTQ_DESC_WRITE | (i + 1 < cases[k].n ? VIRTQ_DESC_NEXT : 0)),
			          (uint16_t)(i + 1));
		if (_i) {
			raw_packed_offer(&way[0], table, cases[k].n * 16, 0, VIRTQ_DESC_INDIRECT);
		} else {
			raw_desc(&way[0], 0, table, cases[k].n * 16, VIRTQ_DESC_INDIRECT, 0);
			raw_offer(&way[0], 0);
		}
		ck_assert_uint_eq(pop_both(1, way[0].niov), cases[k].popped);
		ck_assert_int_eq(virtq_dev_fault(&way[0].dev, &fault), !cases[k].popped);
		if (!cases[k].popped)
			ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_TOO_LONG);
		tear_down();
	}
	guest_fini(&guest);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring ways");
	TCase *tc = tcase_create("ways");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, whatever_the_driver_writes, 0, 2);
	tcase_add_loop_test(tc, sums_of_plain_buffers, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
