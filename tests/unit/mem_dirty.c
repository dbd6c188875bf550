/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log, and what a memory map marks in it. */
#include "mem_test.h"

#include <pthread.h>
#include <string.h>

enum { WORD = sizeof(uintptr_t) * 8, WORDS = 4, PAGES = WORDS * WORD };

#define BASE UINT64_C(0x40000000)

static uintptr_t bits[WORDS];
static struct virtq_dirty log_of;

static void set_up(uint64_t base)
{
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(virtq_dirty_init(&log_of, base, 12, bits, WORDS, NULL), 0);
}

/* Pages first to last are marked in what was taken, and no others; they are gone from the log. */
static void took(unsigned first, unsigned last)
{
	uintptr_t out[WORDS];
	const uint8_t *bytes = (const uint8_t *)out;

	ck_assert_int_eq(virtq_dirty_take(&log_of, 0, WORDS, out), last - first + 1);
	for (unsigned n = 0; n < PAGES; n++)
		ck_assert_msg((bytes[n / 8] >> (n % 8) & 1) == (n >= first && n <= last), "page %u", n);
	ck_assert_int_eq(virtq_dirty_take(&log_of, 0, WORDS, out), 0);
}

static void took_nothing(void)
{
	uintptr_t out[WORDS];

	ck_assert_int_eq(virtq_dirty_take(&log_of, 0, WORDS, out), 0);
}

START_TEST(page_n_is_bit_n)
{
	set_up(BASE);
	for (unsigned n = 0; n < PAGES; n++) {
		virtq_dirty_mark(&log_of, BASE + n * (uint64_t)PAGE + n, 1);
		ck_assert_uint_eq(((uint8_t *)bits)[n / 8], 1u << n % 8);
		took(n, n);
	}
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 0);
}
END_TEST

START_TEST(ranges_mark_what_they_touch)
{
	set_up(BASE);
	virtq_dirty_mark(&log_of, BASE + 5 * PAGE - 1, 1);
	took(4, 4);
	virtq_dirty_mark(&log_of, BASE + 5 * PAGE - 1, 2);
	took(4, 5);
	virtq_dirty_mark(&log_of, BASE + 5 * PAGE, PAGE);
	took(5, 5);
	virtq_dirty_mark(&log_of, BASE + 5 * PAGE, PAGE + 1);
	took(5, 6);
	virtq_dirty_mark(&log_of, BASE + (WORD - 1) * PAGE, 2 * PAGE);
	took(WORD - 1, WORD);
	virtq_dirty_mark(&log_of, BASE + (WORD - 1) * PAGE, (WORD + 2) * PAGE);
	took(WORD - 1, 2 * WORD);
	virtq_dirty_mark(&log_of, BASE, PAGES * (uint64_t)PAGE);
	took(0, PAGES - 1);
	virtq_dirty_mark(&log_of, BASE, 0);
	took_nothing();
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 0);
}
END_TEST

START_TEST(outside_is_counted)
{
	const uint64_t end = BASE + PAGES * (uint64_t)PAGE;

	set_up(BASE);
	virtq_dirty_mark(&log_of, BASE - 1, 1);
	virtq_dirty_mark(&log_of, end, 1);
	took_nothing();
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 2);
	virtq_dirty_mark(&log_of, BASE - 1, 2);
	took(0, 0);
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 3);
	virtq_dirty_mark(&log_of, end - 1, 2);
	took(PAGES - 1, PAGES - 1);
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 4);
	/* Sums that pass 2^64 end there. */
	virtq_dirty_mark(&log_of, BASE + PAGE, UINT64_MAX);
	took(1, PAGES - 1);
	virtq_dirty_mark(&log_of, UINT64_MAX, UINT64_MAX);
	took_nothing();
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 6);
}
END_TEST

START_TEST(take_is_of_words)
{
	uintptr_t out[WORDS] = {0};

	set_up(0);
	bits[0] = 1; /* set by somebody else before */
	virtq_dirty_mark(&log_of, WORD * (uint64_t)PAGE, 2 * WORD * (uint64_t)PAGE);
	ck_assert_int_eq(virtq_dirty_take(&log_of, 1, 1, out), WORD);
	ck_assert_uint_eq(out[0], UINTPTR_MAX);
	ck_assert_uint_eq(bits[1], 0);
	ck_assert_uint_eq(bits[2], UINTPTR_MAX);
	ck_assert_int_eq(virtq_dirty_take(&log_of, 0, WORDS, out), WORD + 1);
	ck_assert_int_eq(virtq_dirty_take(&log_of, WORDS, 0, out), 0);
	ck_assert_int_eq(virtq_dirty_take(&log_of, WORDS, 1, out), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_take(&log_of, 1, WORDS, out), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_take(&log_of, 1, SIZE_MAX, out), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_take(&log_of, SIZE_MAX, 1, out), VIRTQ_EINVAL);
}
END_TEST

struct calls {
	unsigned ors, takes;
};

static void count_or(void *ctx, uintptr_t *word, uintptr_t b)
{
	((struct calls *)ctx)->ors++;
	*word |= b;
}

static uintptr_t count_take(void *ctx, uintptr_t *word)
{
	uintptr_t was = *word;

	((struct calls *)ctx)->takes++;
	*word = 0;
	return was;
}

START_TEST(hooks_are_used)
{
	struct calls calls = {0, 0};
	const struct virtq_dirty_hooks hooks = {sizeof(hooks), count_or, count_take, &calls};

	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(virtq_dirty_init(&log_of, BASE, 12, bits, WORDS, &hooks), 0);
	virtq_dirty_mark(&log_of, BASE + (WORD - 2) * PAGE, 4 * PAGE);
	ck_assert_uint_eq(calls.ors, 2); /* one a word */
	ck_assert_uint_eq(calls.takes, 0);
	took(WORD - 2, WORD + 1);
	ck_assert_uint_eq(calls.takes, 2 * WORDS);
}
END_TEST

START_TEST(init_is_checked)
{
	struct calls calls = {0, 0};
	const struct virtq_dirty_hooks good = {sizeof(good), count_or, count_take, &calls};
	struct virtq_dirty_hooks h = good;
	struct virtq_dirty d;

	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, NULL, 1, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, 0, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, SIZE_MAX, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 31, bits, 1, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_init(&d, UINT64_C(1) << 30, 30, bits, 1, NULL), 0);
	ck_assert_int_eq(virtq_dirty_init(&d, 1, 0, bits, 1, NULL), 0);
	ck_assert_int_eq(virtq_dirty_init(&d, 0x800, 12, bits, 1, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, 1, &good), 0);
	h.size--;
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, 1, &h), VIRTQ_EINVAL);
	h = good;
	h.or_word = NULL;
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, 1, &h), VIRTQ_EINVAL);
	h = good;
	h.take_word = NULL;
	ck_assert_int_eq(virtq_dirty_init(&d, 0, 12, bits, 1, &h), VIRTQ_EINVAL);
}
END_TEST

static uint8_t plain[2 * PAGE], moved[2 * PAGE];

/* Log page of a guest page: 0x0, 0x1: the same; 0x2, 0x3 (moved): 0x20, 0x21; 0x5 (again moved's second): 0x30. */
static struct virtq_region regions[] = {
	{.gpa = 0, .len = 2 * PAGE, .host = plain},
	{.gpa = 2 * PAGE,
     .len = 2 * PAGE,
     .host = moved,
     .flags = VIRTQ_REGION_LOG,
     .log = 0x20 * PAGE},
	{.gpa = 5 * PAGE,
     .len = PAGE,
     .host = moved + PAGE,
     .flags = VIRTQ_REGION_LOG,
     .log = 0x30 * PAGE},
};
static struct virtq_mem mem;
static struct virtq_log logging;

static void set_up_map(void)
{
	set_up(0);
	logging.current = NULL;
	ck_assert_int_eq(virtq_mem_init(&mem, regions, 3), 0);
	virtq_mem_set_log(&mem, &logging);
	virtq_log_set(&logging, &log_of);
}

/* A page of the log as it is now; clears it. */
static int marked(unsigned page)
{
	uint8_t *byte = (uint8_t *)bits + page / 8, bit = (uint8_t)(1u << page % 8);
	int was = (*byte & bit) != 0;

	*byte = (uint8_t)(*byte & ~bit);
	return was;
}

START_TEST(guest_ranges_are_marked)
{
	uint8_t data[PAGE] = {1};

	set_up_map();
	virtq_mem_mark(&mem, 0xfff, 2);
	took(0, 1);
	virtq_mem_mark(&mem, 2 * PAGE, PAGE + 1);
	took(0x20, 0x21);
	virtq_mem_mark(&mem, 2 * PAGE - 1, 2); /* regions that meet */
	ck_assert(marked(1) && marked(0x20));
	took_nothing();
	virtq_mem_mark(&mem, 4 * PAGE, PAGE); /* a gap */
	took_nothing();
	ck_assert_int_eq(virtq_mem_write(&mem, 3 * PAGE, data, PAGE), 0);
	took(0x21, 0x21);
	ck_assert_int_eq(virtq_mem_write(&mem, 3 * PAGE, data, 0), 0);
	ck_assert_int_eq(virtq_mem_write(&mem, 4 * PAGE - 1, data, 2), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_read(&mem, 3 * PAGE, data, PAGE), 0);
	took_nothing();
	virtq_log_set(&logging, NULL);
	virtq_mem_mark(&mem, 0, 1);
	ck_assert_int_eq(virtq_mem_write(&mem, 0, data, 1), 0);
	took_nothing();
	virtq_mem_set_log(&mem, NULL);
	virtq_mem_mark(&mem, 0, 1);
	took_nothing();
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 0);
}
END_TEST

static void mark_piece(void *base, size_t len)
{
	struct virtq_iov v = {base, len};

	virtq_mem_mark_iov(&mem, &v, 1);
}

START_TEST(every_alias_is_marked)
{
	struct virtq_iov v[2] = {{plain, 1}, {moved, 1}};

	set_up_map();
	virtq_mem_mark_iov(&mem, v, 2);
	ck_assert(marked(0) && marked(0x20));
	took_nothing();
	mark_piece(moved + PAGE + 16, 16);
	ck_assert(marked(0x21) && marked(0x30));
	took_nothing();
	mark_piece(plain, 0);
	mark_piece(v, sizeof(v)); /* memory of nobody's */
	took_nothing();
	/* A piece that begins before the other region does, and one that ends after it. */
	mark_piece(moved, 2 * PAGE);
	ck_assert(marked(0x20) && marked(0x21));
	ck_assert(marked(0x30));
	took_nothing();
	regions[2].host = moved;
	mark_piece(moved, 2 * PAGE);
	regions[2].host = moved + PAGE;
	ck_assert(marked(0x20) && marked(0x21) && marked(0x30));
	took_nothing();
	virtq_log_set(&logging, NULL);
	mark_piece(moved, 1);
	took_nothing();
	ck_assert_uint_eq(virtq_dirty_outside(&log_of), 0);
}
END_TEST

enum { MANY = 4096 };

static uintptr_t many[MANY];
static unsigned finished;
static pthread_barrier_t begin; /* so that they are at the same words at the same time */

/* Marks each page of one parity once. */
static void *mark_all(void *arg)
{
	unsigned odd = *(unsigned *)arg;

	pthread_barrier_wait(&begin);
	for (unsigned n = odd; n < MANY * WORD; n += 2)
		virtq_dirty_mark(&log_of, n * (uint64_t)PAGE, 1);
	__atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
	return NULL;
}

START_TEST(threads_lose_no_mark)
{
	static uintptr_t seen[MANY], out[MANY];
	unsigned parity[2] = {0, 1};

	ck_assert_int_eq(virtq_dirty_init(&log_of, 0, 12, many, MANY, NULL), 0);
	for (unsigned long round = test_rounds(20); round > 0; round--) {
		pthread_t threads[2];
		int64_t total = 0;
		int last;

		finished = 0;
		ck_assert_int_eq(pthread_barrier_init(&begin, NULL, 2), 0);
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, mark_all, &parity[i]), 0);
		do {
			last = __atomic_load_n(&finished, __ATOMIC_ACQUIRE) == 2;
			total += virtq_dirty_take(&log_of, 0, MANY, out);
			for (unsigned i = 0; i < MANY; i++) {
				if ((seen[i] & out[i]) != 0)
					ck_abort_msg("a mark in word %u was returned twice", i);
				seen[i] |= out[i];
			}
		} while (!last);
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		pthread_barrier_destroy(&begin);
		ck_assert_int_eq(total, MANY * WORD);
		for (unsigned i = 0; i < MANY; i++)
			ck_assert_uint_eq(seen[i], UINTPTR_MAX);
	}
}
END_TEST

TCase *mem_dirty_tests(void)
{
	TCase *tc = tcase_create("dirty");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, page_n_is_bit_n);
	tcase_add_test(tc, ranges_mark_what_they_touch);
	tcase_add_test(tc, outside_is_counted);
	tcase_add_test(tc, take_is_of_words);
	tcase_add_test(tc, hooks_are_used);
	tcase_add_test(tc, init_is_checked);
	tcase_add_test(tc, guest_ranges_are_marked);
	tcase_add_test(tc, every_alias_is_marked);
	tcase_add_test(tc, threads_lose_no_mark);
	return tc;
}
