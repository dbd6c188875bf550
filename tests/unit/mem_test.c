/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory maps, queue states and the version. */
#include "mem_test.h"

#include <pthread.h>
#include <string.h>

#define TOP (UINT64_MAX - PAGE + 1)

/*
 * The map under test: after a hole low; left, right and rom, which meet in guest addresses; and top, which ends at
 * 2^64. With many, others lie between, so that regions are looked up by halving.
 */
enum { FILLERS = 7, FILLER_GPA = 0x20000, FILLER_STEP = 0x2000, FILLER_LEN = 0x800 };

static uint8_t low[2 * PAGE], left[PAGE], right[PAGE], rom[PAGE], top[PAGE];
static uint8_t fillers[FILLERS][FILLER_LEN];
static struct virtq_region regions[5 + FILLERS];
static struct virtq_mem mem;

static void set_up(int many)
{
	uint32_t n = 0;

	regions[n++] = (struct virtq_region){.gpa = 0x1000, .len = sizeof(low), .host = low};
	regions[n++] = (struct virtq_region){.gpa = 0x10000, .len = PAGE, .host = left};
	regions[n++] = (struct virtq_region){.gpa = 0x11000, .len = PAGE, .host = right};
	regions[n++] = (struct virtq_region){
		.gpa = 0x12000, .len = PAGE, .host = rom, .flags = VIRTQ_REGION_READONLY};
	for (uint32_t i = 0; many && i < FILLERS; i++)
		regions[n++] = (struct virtq_region){
			.gpa = FILLER_GPA + i * FILLER_STEP, .len = FILLER_LEN, .host = fillers[i]};
	regions[n++] = (struct virtq_region){.gpa = TOP, .len = PAGE, .host = top};
	ck_assert_int_eq(virtq_mem_init(&mem, regions, n), 0);
}

START_TEST(at_keeps_to_one_region)
{
	set_up(_i);
	ck_assert_ptr_eq(virtq_mem_at(&mem, 0x1000, 0x2000, 1), low);
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x1000, 0x2001, 0));
	ck_assert_ptr_eq(virtq_mem_at(&mem, 0x2fff, 1, 1), low + 0x1fff);
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x2fff, 2, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x3000, 1, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0xfff, 1, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0, 1, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x10fff, 2, 0));
	ck_assert_ptr_eq(virtq_mem_at(&mem, 0x11000, PAGE, 1), right);
	/* Nothing at all still has to be somewhere. */
	ck_assert_ptr_eq(virtq_mem_at(&mem, 0x2fff, 0, 1), low + 0x1fff);
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x3000, 0, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0xfff, 0, 0));
	/* Sums that reach 2^64, or pass it. */
	ck_assert_ptr_eq(virtq_mem_at(&mem, TOP, PAGE, 1), top);
	ck_assert_ptr_eq(virtq_mem_at(&mem, UINT64_MAX, 1, 1), top + PAGE - 1);
	ck_assert_ptr_null(virtq_mem_at(&mem, UINT64_MAX, 2, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, TOP - 1, 1, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x1000, UINT64_MAX, 0));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x1001, UINT64_MAX - 0x1000, 0));
	ck_assert_ptr_eq(virtq_mem_at(&mem, 0x12010, 16, 0), rom + 16);
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x12010, 16, 1));
	ck_assert_ptr_null(virtq_mem_at(&mem, 0x12010, 0, 1));
}
END_TEST

START_TEST(each_region_is_found)
{
	set_up(_i);
	ck_assert_uint_eq(mem.count, _i ? 5 + FILLERS : 5);
	for (uint32_t i = 0; i < mem.count; i++) {
		const struct virtq_region *r = &regions[i];
		uint8_t *host = r->host;

		ck_assert_ptr_eq(virtq_mem_at(&mem, r->gpa, r->len, 0), host);
		ck_assert_ptr_eq(virtq_mem_at(&mem, r->gpa + r->len - 1, 1, 0), host + r->len - 1);
		ck_assert_ptr_null(virtq_mem_at(&mem, r->gpa, r->len + 1, 0));
		if (r->gpa != 0x11000 && r->gpa != 0x12000)
			ck_assert_ptr_null(virtq_mem_at(&mem, r->gpa - 1, 1, 0));
		if (r->gpa != 0x10000 && r->gpa != 0x11000)
			ck_assert_ptr_null(virtq_mem_at(&mem, r->gpa + r->len, 1, 0));
	}
}
END_TEST

START_TEST(map_splits_where_regions_meet)
{
	struct virtq_iov v[4];

	set_up(_i);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x10ff0, 0x1020, 0, v, 4), 3);
	ck_assert_ptr_eq(v[0].base, left + 0xff0);
	ck_assert_uint_eq(v[0].len, 16);
	ck_assert_ptr_eq(v[1].base, right);
	ck_assert_uint_eq(v[1].len, PAGE);
	ck_assert_ptr_eq(v[2].base, rom);
	ck_assert_uint_eq(v[2].len, 16);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x10ff0, 0x1020, 0, v, 3), 3);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x10ff0, 0x1020, 0, v, 2), VIRTQ_ENOSPC);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x10ff0, 0x1020, 1, v, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x10ff0, 0x1010, 1, v, 4), 2);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x12fff, 1, 0, v, 1), 1);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x12fff, 2, 0, v, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x2000, 0xf000, 0, v, 4), VIRTQ_EFAULT); /* a gap */
	ck_assert_int_eq(virtq_mem_map(&mem, 0x1000, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x3000, 0, 0, NULL, 0), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x1000, 1, 0, NULL, 0), VIRTQ_ENOSPC);
	ck_assert_int_eq(virtq_mem_map(&mem, TOP, PAGE, 1, v, 1), 1);
	ck_assert_ptr_eq(v[0].base, top);
	ck_assert_int_eq(virtq_mem_map(&mem, TOP, PAGE + 1, 0, v, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&mem, UINT64_MAX, 2, 0, v, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&mem, 0x1000, UINT64_MAX, 0, v, 4), VIRTQ_EFAULT);
}
END_TEST

static int all_are(const uint8_t *p, size_t n, uint8_t value)
{
	while (n > 0 && p[n - 1] == value)
		n--;
	return n == 0;
}

START_TEST(read_is_whole_or_zero)
{
	uint8_t buf[2 * PAGE];

	set_up(_i);
	memset(left, 1, sizeof(left));
	memset(right, 2, sizeof(right));
	memset(rom, 3, sizeof(rom));
	memset(top, 4, sizeof(top));
	ck_assert_int_eq(virtq_mem_read(&mem, 0x10ff8, buf, PAGE + 16), 0);
	ck_assert(all_are(buf, 8, 1));
	ck_assert(all_are(buf + 8, PAGE, 2));
	ck_assert(all_are(buf + 8 + PAGE, 8, 3));
	ck_assert_int_eq(virtq_mem_read(&mem, UINT64_MAX - 7, buf, 8), 0);
	ck_assert(all_are(buf, 8, 4));
	ck_assert_int_eq(virtq_mem_read(&mem, 0x10000, buf, 0), 0);

	memset(buf, 0xff, sizeof(buf));
	ck_assert_int_eq(virtq_mem_read(&mem, 0x12ff8, buf, 9), VIRTQ_EFAULT);
	ck_assert(all_are(buf, 9, 0));
	ck_assert_uint_eq(buf[9], 0xff);
	memset(buf, 0xff, sizeof(buf));
	ck_assert_int_eq(virtq_mem_read(&mem, UINT64_MAX - 7, buf, 9), VIRTQ_EFAULT);
	ck_assert(all_are(buf, 9, 0));
	ck_assert_uint_eq(buf[9], 0xff);
}
END_TEST

START_TEST(write_is_whole_or_nothing)
{
	uint8_t buf[2 * PAGE];

	set_up(_i);
	memset(left, 0, sizeof(left));
	memset(right, 0, sizeof(right));
	memset(rom, 0, sizeof(rom));
	memset(top, 0, sizeof(top));
	memset(buf, 7, sizeof(buf));
	ck_assert_int_eq(virtq_mem_write(&mem, 0x10ff8, buf, PAGE + 9), VIRTQ_EFAULT); /* into rom */
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX - 7, buf, 9), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_write(&mem, 0x2fff, buf, 2), VIRTQ_EFAULT);
	ck_assert(all_are(left, PAGE, 0));
	ck_assert(all_are(right, PAGE, 0));
	ck_assert(all_are(rom, PAGE, 0));
	ck_assert(all_are(top, PAGE, 0));
	ck_assert_uint_eq(low[0x1fff], 0);

	ck_assert_int_eq(virtq_mem_write(&mem, 0x10ff8, buf, PAGE), 0);
	ck_assert(all_are(left, PAGE - 8, 0));
	ck_assert(all_are(left + PAGE - 8, 8, 7));
	ck_assert(all_are(right, PAGE - 8, 7));
	ck_assert(all_are(right + PAGE - 8, 8, 0));
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX, buf, 1), 0);
	ck_assert_uint_eq(top[PAGE - 1], 7);
	ck_assert_int_eq(virtq_mem_write(&mem, 0x1000, buf, 0), 0);
}
END_TEST

static int init_of(struct virtq_region a, struct virtq_region b)
{
	struct virtq_region r[2] = {a, b};
	struct virtq_mem m;

	return virtq_mem_init(&m, r, 2);
}

START_TEST(regions_are_checked)
{
	const struct virtq_region a = {.gpa = 0x1000, .len = PAGE, .host = low};
	const struct virtq_region b = {.gpa = 0x2000, .len = PAGE, .host = left};
	struct virtq_region bad;

	ck_assert_int_eq(init_of(a, b), 0);
	ck_assert_int_eq(init_of(b, a), VIRTQ_EINVAL);
	ck_assert_int_eq(init_of(a, a), VIRTQ_EINVAL);
	bad = b;
	bad.gpa = 0x1fff;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad = b;
	bad.len = 0;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad.gpa = 0;
	ck_assert_int_eq(init_of(bad, a), VIRTQ_EINVAL);
	bad = b;
	bad.host = NULL;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad = b;
	bad.flags = 4;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad = b;
	bad.gpa = TOP;
	ck_assert_int_eq(init_of(a, bad), 0);
	bad.gpa = TOP + 1;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad = b;
	bad.host = (void *)(UINTPTR_MAX - PAGE + 2);
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad = b;
	bad.flags = VIRTQ_REGION_LOG;
	bad.log = TOP;
	ck_assert_int_eq(init_of(a, bad), 0);
	bad.log = TOP + 1;
	ck_assert_int_eq(init_of(a, bad), VIRTQ_EINVAL);
	bad.flags = 0; /* then it is not looked at */
	ck_assert_int_eq(init_of(a, bad), 0);
	ck_assert_int_eq(virtq_mem_init(&mem, NULL, 1), VIRTQ_EINVAL);
}
END_TEST

/* Addresses end; they don't go on at 0, though there is memory, too. */
START_TEST(nothing_goes_over_the_end)
{
	const struct virtq_region both[] = {{.gpa = 0, .len = PAGE, .host = left},
	                                    {.gpa = TOP, .len = PAGE, .host = top}};
	uint8_t buf[16] = {0};
	struct virtq_iov v[4];

	ck_assert_int_eq(virtq_mem_init(&mem, both, 2), 0);
	ck_assert_int_eq(virtq_mem_map(&mem, UINT64_MAX - 7, 8, 0, v, 4), 1);
	ck_assert_int_eq(virtq_mem_map(&mem, UINT64_MAX - 7, 9, 0, v, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_read(&mem, UINT64_MAX - 7, buf, 9), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX - 7, buf, 9), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX - 7, buf, 8), 0);
}
END_TEST

START_TEST(map_of_nothing)
{
	uint8_t byte = 1;

	ck_assert_int_eq(virtq_mem_init(&mem, NULL, 0), 0);
	ck_assert_ptr_null(virtq_mem_at(&mem, 0, 0, 0));
	ck_assert_int_eq(virtq_mem_map(&mem, 0, 0, 0, NULL, 0), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_read(&mem, 0, &byte, 1), VIRTQ_EFAULT);
	ck_assert_uint_eq(byte, 0);
	ck_assert_int_eq(virtq_mem_write(&mem, 0, &byte, 1), VIRTQ_EFAULT);
	virtq_mem_unref(&mem); /* without a release function */
}
END_TEST

static unsigned released;

static void count_release(struct virtq_mem *m, void *ctx)
{
	ck_assert_ptr_eq(m, &mem);
	ck_assert_ptr_eq(ctx, low);
	released++;
}

static void *hold_and_drop(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		virtq_mem_ref(&mem);
		virtq_mem_unref(&mem);
	}
	virtq_mem_unref(&mem);
	return arg;
}

START_TEST(last_reference_releases)
{
	pthread_t threads[2];

	released = 0;
	set_up(0);
	virtq_mem_set_release(&mem, count_release, low);
	virtq_mem_ref(&mem);
	virtq_mem_ref(&mem);
	virtq_mem_unref(&mem);
	ck_assert_uint_eq(released, 0);
	/* Two references, one for each thread. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_and_drop, NULL), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(released, 1);
}
END_TEST

static struct virtq_features layout(int packed)
{
	struct virtq_features f = features_of(1, VIRTQ_F_VERSION_1);

	if (packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	return f;
}

static struct virtq_state fresh(int packed)
{
	struct virtq_features f = layout(packed);
	struct virtq_state s;

	memset(&s, 0xff, sizeof(s));
	s.desc = 0x10000;
	s.driver = 0x20000;
	s.device = 0x30000;
	s.size = 8;
	virtq_state_fresh(&s, &f);
	return s;
}

START_TEST(state_fresh)
{
	struct virtq_features f = layout(_i);
	struct virtq_state s = fresh(_i);

	ck_assert_uint_eq(s.avail, _i ? VIRTQ_STATE_WRAP : 0);
	ck_assert_uint_eq(s.used, s.avail);
	ck_assert_uint_eq(s.unsignalled, 0);
	ck_assert_uint_eq(s.flags, VIRTQ_STATE_SIGNALLED);
	ck_assert_uint_eq(s.reserved[0] | s.reserved[1] | s.reserved[2], 0);
	ck_assert_uint_eq(s.desc, 0x10000);
	ck_assert_uint_eq(s.driver, 0x20000);
	ck_assert_uint_eq(s.device, 0x30000);
	ck_assert_uint_eq(s.size, 8);
	ck_assert_int_eq(virtq_state_check(&s, &f), 0);
}
END_TEST

/* A fresh state in which one field is changed. */
#define CHECK_WITH(packed, field, value)                                                           \
	__extension__({                                                                                \
		struct virtq_features features_ = layout(packed);                                          \
		struct virtq_state state_ = fresh(packed);                                                 \
		state_.field = (value);                                                                    \
		virtq_state_check(&state_, &features_);                                                    \
	})

START_TEST(state_fields_of_both_layouts)
{
	uint64_t bytes[3] = {16 * 8, _i ? 4 : 6 + 2 * 8, _i ? 4 : 6 + 8 * 8};
	uint64_t align[3] = {16, _i ? 4 : 2, 4};

	ck_assert_int_eq(CHECK_WITH(_i, size, 0), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, size, 1), 0);
	ck_assert_int_eq(CHECK_WITH(_i, size, 32768), 0);
	ck_assert_int_eq(CHECK_WITH(_i, size, 32769), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, flags, 0), 0);
	ck_assert_int_eq(CHECK_WITH(_i, flags, 4), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, flags, 0x8001), VIRTQ_EBADMSG);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(CHECK_WITH(_i, reserved[i], 1), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, desc, 0x10000 + align[0] / 2), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, desc, 0x10000 + align[0]), 0);
	ck_assert_int_eq(CHECK_WITH(_i, driver, 0x20000 + align[1] / 2), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, driver, 0x20000 + align[1]), 0);
	ck_assert_int_eq(CHECK_WITH(_i, device, 0x30000 + align[2] / 2), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(_i, device, 0x30000 + align[2]), 0);
	/* The last place where each part fits, and the next one. */
	for (unsigned i = 0; i < 3; i++) {
		uint64_t last = (UINT64_MAX - (bytes[i] - 1)) / align[i] * align[i];
		uint64_t past = last + align[i];

		if (past == 0)
			past = UINT64_MAX; /* the part's size is its alignment: nothing is in between */
		ck_assert_int_eq(i == 0   ? CHECK_WITH(_i, desc, last)
		                 : i == 1 ? CHECK_WITH(_i, driver, last)
		                          : CHECK_WITH(_i, device, last),
		                 0);
		ck_assert_int_eq(i == 0   ? CHECK_WITH(_i, desc, past)
		                 : i == 1 ? CHECK_WITH(_i, driver, past)
		                          : CHECK_WITH(_i, device, past),
		                 VIRTQ_EBADMSG);
	}
}
END_TEST

static int positions(int packed, uint16_t size, uint16_t avail, uint16_t used)
{
	struct virtq_features f = layout(packed);
	struct virtq_state s = fresh(packed);

	s.size = size;
	s.avail = avail;
	s.used = used;
	return virtq_state_check(&s, &f);
}

START_TEST(state_positions_split)
{
	struct virtq_features f = layout(0);
	struct virtq_state s = fresh(0);

	s.size = 0;
	s.desc = 0; /* where nothing at all would fit */
	ck_assert_int_eq(virtq_state_check(&s, &f), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(0, 6, 0, 0), VIRTQ_EBADMSG); /* no power of two */
	ck_assert_int_eq(positions(0, 8, 8, 0), 0);
	ck_assert_int_eq(positions(0, 8, 9, 0), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(0, 8, 0, 1), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(0, 8, 3, 0xfffb), 0);
	ck_assert_int_eq(positions(0, 8, 4, 0xfffb), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(0, flags, VIRTQ_STATE_USED_IN_RING), 0);
}
END_TEST

START_TEST(state_positions_packed)
{
	const uint16_t w = VIRTQ_STATE_WRAP;

	ck_assert_int_eq(positions(1, 6, w, w), 0);
	ck_assert_int_eq(positions(1, 6, w | 5, w), 0);
	ck_assert_int_eq(positions(1, 6, w | 6, w), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(1, 6, 0, w | 6), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(1, 6, 0, w), 0); /* a ring full is out */
	ck_assert_int_eq(positions(1, 6, 1, w), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(1, 6, w, w | 1), VIRTQ_EBADMSG);
	ck_assert_int_eq(positions(1, 6, w | 2, 4), 0);
	ck_assert_int_eq(positions(1, 6, w | 5, 4), VIRTQ_EBADMSG);
	ck_assert_int_eq(CHECK_WITH(1, flags, VIRTQ_STATE_USED_IN_RING), VIRTQ_EBADMSG);
}
END_TEST

START_TEST(version_is_of_the_headers)
{
	ck_assert_uint_eq(virtq_version(), VIRTQ_VERSION);
	ck_assert_uint_eq(virtq_version() >> 16, VIRTQ_VERSION_MAJOR);
	ck_assert_uint_eq(virtq_version() >> 8 & 0xff, VIRTQ_VERSION_MINOR);
	ck_assert_uint_eq(virtq_version() & 0xff, VIRTQ_VERSION_PATCH);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("mem");
	TCase *tc = tcase_create("map");

	tcase_add_loop_test(tc, at_keeps_to_one_region, 0, 2);
	tcase_add_loop_test(tc, each_region_is_found, 0, 2);
	tcase_add_loop_test(tc, map_splits_where_regions_meet, 0, 2);
	tcase_add_loop_test(tc, read_is_whole_or_zero, 0, 2);
	tcase_add_loop_test(tc, write_is_whole_or_nothing, 0, 2);
	tcase_add_test(tc, regions_are_checked);
	tcase_add_test(tc, nothing_goes_over_the_end);
	tcase_add_test(tc, map_of_nothing);
	tcase_add_test(tc, last_reference_releases);
	suite_add_tcase(s, tc);
	tc = tcase_create("state");
	tcase_add_loop_test(tc, state_fresh, 0, 2);
	tcase_add_loop_test(tc, state_fields_of_both_layouts, 0, 2);
	tcase_add_test(tc, state_positions_split);
	tcase_add_test(tc, state_positions_packed);
	tcase_add_test(tc, version_is_of_the_headers);
	suite_add_tcase(s, tc);
	suite_add_tcase(s, mem_dirty_tests());
	suite_add_tcase(s, mem_queue_tests());
	srunner_add_suite(runner, s);
}
