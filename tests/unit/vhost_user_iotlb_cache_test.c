/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache of translations against a table with a place for each address. */
#include <stdlib.h>

#include "../../libvdev/transports/vhost_user/iotlb_cache.h"
#include "../support/check_main.h"
#include "../support/rng.h"

enum { ADDRESSES = 64, FAR = 1000 };

static struct vdev_env env;
static struct vu_cache cache;
static int no_memory;

struct place {
	uint64_t gpa;
	uint32_t perm; /* 0: nothing */
};

static void *alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return no_memory ? NULL : malloc(bytes);
}

static void release(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	free(p);
}

static void start(uint32_t max)
{
	env = (struct vdev_env){.size = sizeof(env), .alloc = alloc, .free = release};
	no_memory = 0;
	vu_cache_init(&cache, &env, max);
}

/* Sorted, not overlapping, and never two that are one. */
static void in_order(void)
{
	for (uint32_t i = 0; i < cache.n; i++) {
		const struct vu_xlat *e = &cache.entry[i];

		if (e->first > e->last || (i > 0 && e->first <= e[-1].last))
			ck_abort_msg("out of order");
	}
	ck_assert_uint_le(cache.n, cache.max);
}

static int insert(uint64_t first, uint64_t last, uint64_t gpa, uint32_t perm)
{
	struct vu_xlat x = {first, last, gpa, perm};

	return vu_cache_insert(&cache, &x);
}

/* base: where the addresses begin, up to the end of all. whole: nothing may be lost. */
static void compare(const struct place *model, uint64_t base, int whole)
{
	in_order();
	for (unsigned i = 0; i < ADDRESSES; i++) {
		const struct vu_xlat *e = vu_cache_find(&cache, base + i);

		if (e == NULL) {
			if (whole && model[i].perm != 0)
				ck_abort_msg("an entry is lost");
			continue;
		}
		if (e->perm != model[i].perm || e->gpa + (base + i - e->first) != model[i].gpa)
			ck_abort_msg("address %u leads astray", i);
	}
}

static void random_changes(uint64_t base, uint32_t max, uint64_t seed)
{
	struct place model[ADDRESSES] = {{0, 0}};
	struct rng rng;

	rng_seed(&rng, seed);
	start(max);
	for (int i = 0; i < 4000; i++) {
		unsigned first = (unsigned)rng_below(&rng, ADDRESSES);
		unsigned n = 1 + (unsigned)rng_below(&rng, ADDRESSES - first);
		uint64_t gpa = rng_below(&rng, 3) * FAR + first;
		uint32_t perm = (uint32_t)rng_below(&rng, 4);
		int other = 0, rc;

		if (perm == 0) {
			vu_cache_remove(&cache, base + first, base + first + n - 1);
			memset(&model[first], 0, n * sizeof(*model));
			compare(model, base, max > ADDRESSES);
			continue;
		}
		for (unsigned k = 0; k < n; k++) {
			struct place *p = &model[first + k];

			other |= p->perm != 0 && (p->gpa != gpa + k || p->perm & ~perm);
			*p = (struct place){gpa + k, perm};
		}
		rc = insert(base + first, base + first + n - 1, gpa, perm);
		ck_assert_int_ge(rc, 0);
		if (max > ADDRESSES)
			ck_assert_int_eq(rc, other);
		ck_assert_ptr_nonnull(vu_cache_find(&cache, base + first));
		compare(model, base, max > ADDRESSES);
	}
	ck_assert_int_eq(cache.evicted > 0, max < ADDRESSES);
	vu_cache_free(&cache);
}

START_TEST(random_ranges)
{
	random_changes(0, 1000, 1);
	random_changes(UINT64_MAX - (ADDRESSES - 1), 1000, 2);
	random_changes(1ull << 40, 1000, 3);
}
END_TEST

START_TEST(little_room)
{
	random_changes(0, 1, 4);
	random_changes(0, 4, 5);
	random_changes(UINT64_MAX - (ADDRESSES - 1), 7, 6);
}
END_TEST

START_TEST(neighbours_are_one)
{
	start(100);
	ck_assert_int_eq(insert(0, 9, 100, 3), 0);
	ck_assert_int_eq(insert(20, 29, 120, 3), 0);
	ck_assert_uint_eq(cache.n, 2);
	ck_assert_int_eq(insert(10, 19, 110, 3), 0);
	ck_assert_uint_eq(cache.n, 1);
	ck_assert_int_eq(insert(30, 39, 130, 1), 0); /* other permission */
	ck_assert_int_eq(insert(40, 49, 141, 1), 0); /* other place */
	ck_assert_int_eq(insert(51, 59, 152, 1), 0); /* a gap */
	ck_assert_uint_eq(cache.n, 4);
	/* The same again is nothing new; more permission neither; less is, and so is another place. */
	ck_assert_int_eq(insert(30, 39, 130, 1), 0);
	ck_assert_int_eq(insert(30, 39, 130, 3), 0);
	ck_assert_int_eq(insert(35, 36, 135, 2), 1);
	ck_assert_int_eq(insert(0, 0, 7, 3), 1);
	/* A hole in the middle. */
	vu_cache_remove(&cache, 5, 6);
	ck_assert_ptr_null(vu_cache_find(&cache, 5));
	ck_assert_ptr_null(vu_cache_find(&cache, 6));
	ck_assert_uint_eq(vu_cache_find(&cache, 7)->gpa, 107);
	vu_cache_remove(&cache, 0, UINT64_MAX);
	ck_assert_uint_eq(cache.n, 0);
	vu_cache_remove(&cache, 0, UINT64_MAX);
	vu_cache_free(&cache);
}
END_TEST

/* Without memory what was there has to do; without any there is none. */
START_TEST(no_memory_to_grow)
{
	start(100000);
	no_memory = 1;
	ck_assert_int_eq(insert(0, 9, 100, 3), VIRTQ_ENOMEM);
	vu_cache_remove(&cache, 0, 5);
	no_memory = 0;
	ck_assert_int_eq(insert(0, 9, 100, 3), 0);
	no_memory = 1;
	for (uint64_t i = 1; i < 500; i++) {
		ck_assert_int_eq(insert(20 * i, 20 * i + 9, i, 3), 0);
		ck_assert_ptr_nonnull(vu_cache_find(&cache, 20 * i));
	}
	in_order();
	ck_assert_uint_gt(cache.evicted, 0);
	/* A hole needs room too: what lies behind it goes. */
	while (cache.n < cache.room)
		ck_assert_int_ge(insert(100000 + 20 * cache.n, 100009 + 20 * cache.n, 5, 3), 0);
	{
		struct vu_xlat e = cache.entry[0];

		vu_cache_remove(&cache, e.first + 2, e.first + 3);
		ck_assert_ptr_nonnull(vu_cache_find(&cache, e.first + 1));
		ck_assert_ptr_null(vu_cache_find(&cache, e.first + 2));
		ck_assert_ptr_null(vu_cache_find(&cache, e.first + 5));
	}
	vu_cache_free(&cache);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user IOTLB cache");
	TCase *c = tcase_create("cache");

	tcase_add_test(c, random_ranges);
	tcase_add_test(c, little_room);
	tcase_add_test(c, neighbours_are_one);
	tcase_add_test(c, no_memory_to_grow);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
