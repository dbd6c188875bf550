/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that notes its requests dies before each of its stores, in turn, and its successor too. Whatever the driver
 * has done meanwhile: each request that it had not seen used is carried out once more and completed once, in the order
 * in which they were made available; those that it had seen are not carried out again.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <virtq/virtq.h>

#include "check_main.h"
#include "ring.h"
#include "rng.h"

void crash_point(void);

enum { REQUESTS = 2048, BURST = 4, PAYLOAD = 64, STEPS = 30, MAX_ENTRIES = 16 };
/* What the driver does between crash and recovery. */
enum { IDLE, TAKES, TAKES_AND_ADDS, DRIVERS };

static struct {
	struct guest guest;
	struct ring ring;
	struct virtq_dev dev;
	void *scratch, *track;
	_Alignas(8) uint8_t region[32 + 32 * MAX_ENTRIES];
	uint32_t entries;
	struct virtq_iov iov[256];
	struct virtq_chain out[64]; /* popped and not pushed */
	uint32_t serial_of[64];
	uint32_t nout;
	uint64_t payload;
	uint32_t added; /* serials given so far */
	uint32_t executed[REQUESTS];
	uint32_t completed[REQUESTS];
	int indirect;
	uint32_t last_popped; /* serial + 1, since the device began */
	struct rng rng;
} t;

/* --- dying -------------------------------------------------------------------- */

static sigjmp_buf dead;
static int armed;
static uint32_t stores, die_at;

void crash_point(void)
{
	if (armed && stores++ == die_at)
		siglongjmp(dead, 1);
}

/* --- driver ------------------------------------------------------------------- */

static void take(void)
{
	struct virtq_done done[64];
	int n = virtq_drv_take(&t.ring.drv, done, 64);

	ck_assert_msg(n >= 0, "the driver sees a broken ring: %d", n);
	for (int i = 0; i < n; i++) {
		uint32_t serial = (uint32_t)(uintptr_t)done[i].cookie - 1;

		ck_assert_uint_lt(serial, t.added);
		ck_assert_uint_eq(t.completed[serial], 0);
		t.completed[serial] = 1;
	}
}

static int add(void)
{
	uint64_t at = t.payload + (t.added % 64) * PAYLOAD;
	uint32_t more = rng_below(&t.rng, 3);
	struct virtq_seg seg[4] = {{at, 4}, {at + 8, 8}, {at + 16, 8}, {at + 24, 8}};
	int rc;

	ck_assert_uint_lt(t.added, REQUESTS);
	rc = virtq_drv_add(&t.ring.drv, seg, 1, more, (void *)(uintptr_t)(t.added + 1));
	if (rc != 0)
		return 0;
	memcpy(guest_at(&t.guest, at, 4), &t.added, 4);
	t.added++;
	return 1;
}

static void add_some(uint32_t n)
{
	while (n-- > 0 && add())
		;
	virtq_drv_publish(&t.ring.drv);
}

/* --- device ------------------------------------------------------------------- */

static int begin_device(int first)
{
	struct virtq_dev_config cfg = {.size = sizeof(cfg),
	                               .mem = &t.guest.mem,
	                               .features = t.ring.features,
	                               .state = t.ring.state};
	struct virtq_inflight_config in = {.size = sizeof(in),
	                                   .region = t.region,
	                                   .region_bytes = sizeof(t.region),
	                                   .entries = t.entries};

	t.nout = 0;
	t.last_popped = 0;
	cfg.scratch = t.scratch;
	cfg.scratch_bytes = 4096;
	if (!first && !t.ring.packed)
		cfg.state.avail = cfg.state.used = raw_used_idx(&t.ring);
	ck_assert_uint_le(virtq_dev_bytes(&cfg), 4096);
	ck_assert_int_eq(virtq_dev_init(&t.dev, &cfg), 0);
	in.scratch = t.track;
	in.scratch_bytes = virtq_inflight_scratch(&t.dev, t.entries);
	ck_assert_uint_le(in.scratch_bytes, 4096);
	return virtq_inflight_attach(&t.dev, &in);
}

/* The process is gone; in this one its references have to be given back. */
static void bury(void)
{
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS; i++)
		if (t.dev.maps[i].mem != NULL)
			virtq_mem_unref(t.dev.maps[i].mem);
	memset(&t.dev, 0, sizeof(t.dev));
	memset(t.scratch, 0xa5, 4096);
	memset(t.track, 0xa5, 4096);
}

static int pop_some(uint32_t max)
{
	struct virtq_chain c[BURST];
	int n = virtq_dev_pop(&t.dev, c, max, t.iov, 256);

	ck_assert_msg(n >= 0, "pop: %d, %s", n, virtq_fault_name(t.dev.fault.reason));
	for (int i = 0; i < n; i++) {
		uint32_t serial;

		ck_assert_uint_eq(c[i].nread, 1);
		memcpy(&serial, c[i].iov[0].base, 4);
		ck_assert_uint_ge(serial + 1, t.last_popped);
		t.last_popped = serial + 1;
		t.serial_of[t.nout] = serial;
		t.out[t.nout++] = c[i];
	}
	return n;
}

static void unpop_some(uint32_t n)
{
	ck_assert_int_eq(virtq_dev_unpop(&t.dev, &t.out[t.nout - n], n), 0);
	t.nout -= n;
	t.last_popped = 0;
}

static void push_one(uint32_t i)
{
	uint32_t zero = 0;
	struct virtq_chain c = t.out[i];

	t.executed[t.serial_of[i]]++;
	t.nout--;
	memmove(&t.out[i], &t.out[i + 1], (t.nout - i) * sizeof(t.out[0]));
	memmove(&t.serial_of[i], &t.serial_of[i + 1], (t.nout - i) * sizeof(t.serial_of[0]));
	ck_assert_int_eq(virtq_dev_push(&t.dev, &c, &zero, 1), 0);
}

/* Until nothing is left. */
static void finish_all(void)
{
	int more;

	do {
		more = pop_some(BURST) > 0;
		while (t.nout > 0)
			push_one(rng_below(&t.rng, t.nout));
		virtq_dev_publish(&t.dev);
		if (virtq_dev_should_interrupt(&t.dev) < 0)
			ck_abort();
	} while (more);
}

/* --- the story ------------------------------------------------------------------ */

static void set_up(struct virtq_features f, uint16_t size, uint32_t entries)
{
	struct virtq_region region = {.gpa = 0, .len = 65536};
	struct ring_config cfg = {.size = size, .features = f, .region = 0};

	memset(&t, 0, sizeof(t));
	guest_init(&t.guest, &region, 1);
	cfg.indirect_max = virtq_features_has(&f, VIRTQ_F_INDIRECT_DESC) ? 4 : 0;
	ring_init(&t.ring, &t.guest, &cfg);
	t.payload = guest_alloc(&t.guest, 64 * PAYLOAD, 16);
	t.scratch = malloc(4096);
	t.track = malloc(4096);
	t.entries = entries;
	rng_seed(&t.rng, 7);
	ck_assert_int_eq(begin_device(1), 0);
}

static void tear_down(void)
{
	bury();
	ring_fini(&t.ring);
	guest_fini(&t.guest);
	free(t.scratch);
	free(t.track);
}

/* A step of the device dies when die_at says so; the driver's never do. 1: dead. */
static int step(uint32_t i)
{
	int n;

	add_some(1 + rng_below(&t.rng, 5));
	if (sigsetjmp(dead, 0) != 0) {
		armed = 0;
		return 1;
	}
	armed = 1;
	n = pop_some(1 + rng_below(&t.rng, BURST));
	if (i % 3 == 1)
		unpop_some(rng_below(&t.rng, (uint32_t)n + 1));
	(void)pop_some(BURST);
	for (uint32_t k = rng_below(&t.rng, t.nout + 1); k > 0; k--)
		push_one(rng_below(&t.rng, t.nout));
	virtq_dev_publish(&t.dev);
	(void)!virtq_dev_should_interrupt(&t.dev);
	(void)!virtq_dev_arm(&t.dev);
	armed = 0;
	if (i % 2 == 0)
		take();
	return 0;
}

/* The successor, which dies before a store of its start; UINT32_MAX: it lives. 1: it died. */
static int recover(uint32_t at)
{
	int rc;

	stores = 0;
	die_at = at;
	if (sigsetjmp(dead, 0) != 0) {
		armed = 0;
		return 1;
	}
	armed = 1;
	rc = begin_device(0);
	armed = 0;
	ck_assert_msg(rc >= 0, "attach: %d", rc);
	return 0;
}

static void after_crash(int driver)
{
	bury();
	if (driver == IDLE)
		return;
	take();
	if (driver == TAKES_AND_ADDS)
		add_some(64);
}

/* All that the driver had seen is done for good, the rest is done now, and the ring goes on. */
static void check_rest(void)
{
	uint32_t seen[REQUESTS];

	take(); /* what was shown before the crash, if it has not looked yet */
	memcpy(seen, t.completed, sizeof(seen));
	memset(t.executed, 0, sizeof(t.executed));
	finish_all();
	take();
	for (uint32_t i = 0; i < t.added; i++) {
		ck_assert_uint_eq(t.executed[i], !seen[i]);
		ck_assert_uint_eq(t.completed[i], 1);
	}
	for (uint32_t lap = 0; lap < 6; lap++) {
		uint32_t from = t.added;

		add_some(64);
		ck_assert_uint_gt(t.added, from);
		finish_all();
		take();
		for (uint32_t i = from; i < t.added; i++) {
			ck_assert_uint_eq(t.executed[i], 1);
			ck_assert_uint_eq(t.completed[i], 1);
		}
	}
	ck_assert_uint_eq(virtq_dev_inflight(&t.dev), 0);
	ck_assert_uint_eq(virtq_inflight_left(&t.dev), 0);
}

/* 0 when the story ends before that store. */
static int crash_at(struct virtq_features f, uint16_t size, uint32_t entries, uint32_t first,
                    uint32_t second, int driver, int *second_died)
{
	int died = 0;

	set_up(f, size, entries);
	stores = 0;
	die_at = first;
	for (uint32_t i = 0; i < STEPS && !died; i++)
		died = step(i);
	if (died) {
		after_crash(driver);
		*second_died = recover(second);
		if (*second_died) {
			after_crash(driver);
			ck_assert_int_eq(recover(UINT32_MAX), 0);
		}
		check_rest();
	}
	tear_down();
	return died;
}

static const struct {
	unsigned bit;
	uint16_t size;
	uint32_t entries;
} cases[] = {
	{0, 8, 8},
	{0, 8, 16},
	{VIRTQ_F_RING_PACKED, 7, 7},
	{VIRTQ_F_RING_PACKED, 8, 16},
};

static struct virtq_features features_for(int i, unsigned extra)
{
	struct virtq_features f = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_EVENT_IDX);

	if (cases[i].bit != 0)
		f.word[0] |= 1ull << cases[i].bit;
	if (extra != 0)
		f.word[0] |= 1ull << extra;
	return f;
}

/*
 * Before every store, and the successor before each of its own; before some of them, spread over the story and all the
 * same for each driver, unless there is time for more rounds.
 */
static void crash_everywhere(int i, unsigned extra, uint32_t every)
{
	struct virtq_features f = features_for(i, extra);
	uint32_t first = 0, died_twice = 0;

	for (int more = 1; more; first += every) {
		for (int driver = 0; driver < DRIVERS; driver++) {
			int second_died = 0;

			more = crash_at(f, cases[i].size, cases[i].entries, first, UINT32_MAX, driver,
			                &second_died);
			if (!more)
				break;
			for (uint32_t second = first % 11;; second += 11) {
				(void)crash_at(f, cases[i].size, cases[i].entries, first, second, driver,
				               &second_died);
				if (!second_died)
					break;
				died_twice++;
			}
		}
	}
	/* The story is long enough for laps of the ring, and its end was reached. */
	ck_assert_uint_gt(first, 200);
	ck_assert_uint_gt(died_twice, 5);
}

START_TEST(none_lost_none_twice)
{
	crash_everywhere(_i, 0, test_rounds(1) > 1 ? 1 : 5);
}
END_TEST

START_TEST(in_order)
{
	crash_everywhere(_i, VIRTQ_F_IN_ORDER, 7);
}
END_TEST

START_TEST(indirect)
{
	crash_everywhere(_i, VIRTQ_F_INDIRECT_DESC, 7);
}
END_TEST

/* Death upon death before anything could be carried out. */
START_TEST(many_deaths)
{
	struct virtq_features f = features_for(_i, 0);

	set_up(f, cases[_i].size, cases[_i].entries);
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t from = t.added;

		if (t.added > REQUESTS - 128)
			break;
		stores = 0;
		die_at = rng_below(&t.rng, 90);
		for (uint32_t i = 0; i < STEPS; i++)
			if (step(i))
				break;
		after_crash((int)rng_below(&t.rng, DRIVERS));
		while (recover(rng_below(&t.rng, 2) ? rng_below(&t.rng, 40) : UINT32_MAX))
			after_crash((int)rng_below(&t.rng, DRIVERS));
		if (round % 8 == 7)
			check_rest();
		ck_assert_uint_ge(t.added, from);
	}
	check_rest();
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("inflight_crash");
	TCase *c = tcase_create("crash");

	/* Thousands of stories: their memory need not come from the kernel each time. */
	mallopt(M_MMAP_THRESHOLD, 1 << 28);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, none_lost_none_twice, 0, 4);
	tcase_add_loop_test(c, in_order, 0, 4);
	tcase_add_loop_test(c, indirect, 0, 4);
	suite_add_tcase(s, c);
	c = tcase_create("deaths");
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, many_deaths, 0, 4);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
