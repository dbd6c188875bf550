/* SPDX-License-Identifier: BSD-3-Clause */
/* The rate limit, with a clock of the test's own: alone, on the device, and in its saved state. */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "libvdev/devices/blk/limit.h"

#define MS 1000000u
#define S  1000000000ull

static uint64_t the_time;

static uint64_t clock_now(void *ctx)
{
	(void)ctx;
	return the_time;
}

static const struct vdev_env clock_env = {.size = sizeof(clock_env), .now = clock_now};

static void limit(struct blk_limit *l, uint64_t ops, uint64_t ops_burst, uint64_t bytes,
                  uint64_t bytes_burst)
{
	struct vdev_blk_limit cfg = {ops, bytes, ops_burst, bytes_burst};

	memset(l, 0, sizeof(*l));
	the_time = 5 * S;
	ck_assert_int_eq(blk_limit_set(l, &cfg, &clock_env), 0);
}

static int take(struct blk_limit *l, uint64_t now, uint64_t bytes, uint64_t *when)
{
	static struct blk_waiter w;
	int may = blk_limit_take(l, &w, now, bytes, when);

	blk_limit_leave(l, &w);
	return may;
}

START_TEST(buckets_start_full_and_refill)
{
	struct blk_limit l;
	uint64_t when = 0;

	limit(&l, 10, 3, 0, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(take(&l, the_time, 1 << 30, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 0);
	ck_assert_uint_eq(when, the_time + 100 * MS);
	ck_assert_int_eq(take(&l, when - 1000, 0, &when), 0);
	ck_assert_int_eq(take(&l, when, 0, &when), 1);
	ck_assert_int_eq(take(&l, when, 0, &when), 0);
	/* A long rest fills it, and no more than that. */
	the_time += 1000000 * S;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(take(&l, the_time, 0, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 0);
	/* A clock that stands still or goes back gives nothing. */
	ck_assert_int_eq(take(&l, the_time - S, 0, &when), 0);
}
END_TEST

START_TEST(large_requests_owe_the_rest)
{
	struct blk_limit l;
	uint64_t when = 0;

	limit(&l, 0, 0, 1000000, 1000);
	ck_assert_int_eq(take(&l, the_time, 500, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 5000, &when), 0); /* not full */
	ck_assert_uint_eq(when, the_time + 500000);
	the_time = when;
	ck_assert_int_eq(take(&l, the_time, 5000, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 1, &when), 0);
	ck_assert_uint_eq(when, the_time + 4001 * 1000);
	ck_assert_int_eq(take(&l, when, 1, &when), 1);
}
END_TEST

START_TEST(rates_are_kept_in_the_long_run)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 999983, 1000000007, (uint64_t)1 << 43};
	uint64_t rate = rates[_i], when = 0, taken = 0;
	struct blk_limit l;

	limit(&l, 0, 0, rate, rate);
	ck_assert_int_eq(take(&l, the_time, rate, &when), 1);
	/* Ask at odd moments for a hundredth of a second's worth. */
	for (uint64_t t = the_time; t < the_time + 100 * S; t += 1234567) {
		uint64_t n = rate / 100 + 1;

		if (take(&l, t, n, &when))
			taken += n;
	}
	ck_assert_uint_le(taken, 100 * rate + rate / 50 + 2);
	ck_assert_uint_ge(taken, 98 * rate);
}
END_TEST

START_TEST(extremes_do_not_overflow)
{
	struct vdev_blk_limit cfg = {0};
	struct blk_limit l;
	uint64_t when;

	limit(&l, 1, (uint64_t)1 << 62, (uint64_t)1 << 43, (uint64_t)1 << 62);
	ck_assert_int_eq(take(&l, UINT64_MAX, UINT32_MAX, &when), 1);
	limit(&l, 0, 0, 1, (uint64_t)1 << 62);
	ck_assert_int_eq(take(&l, the_time, UINT32_MAX, &when), 1);
	l.bytes.level = -((int64_t)1 << 32);
	ck_assert_int_eq(take(&l, the_time, UINT32_MAX, &when), 0);
	ck_assert_uint_gt(when, the_time);
	/* What can't be kept is refused. */
	cfg.ops_per_s = ((uint64_t)1 << 43) + 1;
	ck_assert_int_eq(blk_limit_set(&l, &cfg, &clock_env), VIRTQ_EINVAL);
	cfg.ops_per_s = 1;
	cfg.ops_burst = ((uint64_t)1 << 62) + 1;
	ck_assert_int_eq(blk_limit_set(&l, &cfg, &clock_env), VIRTQ_EINVAL);
	cfg.ops_burst = 0;
	cfg.bytes_per_s = ((uint64_t)1 << 43) + 1;
	ck_assert_int_eq(blk_limit_set(&l, &cfg, &clock_env), VIRTQ_EINVAL);
	cfg.bytes_per_s = 1;
	cfg.bytes_burst = ((uint64_t)1 << 62) + 1;
	ck_assert_int_eq(blk_limit_set(&l, &cfg, &clock_env), VIRTQ_EINVAL);
	cfg.bytes_burst = 0;
	ck_assert_int_eq(blk_limit_set(&l, &cfg, &clock_env), 0);
}
END_TEST

/* A tenth of a second's worth gathers where nothing is said, and never less than one. */
START_TEST(bursts_that_are_not_given)
{
	struct blk_limit l;
	uint64_t when = 0;

	limit(&l, 5, 0, 0, 0);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 0);
	ck_assert_uint_eq(when, the_time + 200 * MS);
	limit(&l, 0, 0, 5, 0); /* one of three bytes was there, two are owed */
	ck_assert_int_eq(take(&l, the_time, 3, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 0);
	ck_assert_uint_eq(when, the_time + 400 * MS);
	limit(&l, 20, 0, 0, 0);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 1);
	ck_assert_int_eq(take(&l, the_time, 0, &when), 0);
}
END_TEST

START_TEST(who_was_refused_first_is_served_first)
{
	struct blk_waiter small = {0}, large = {0}, last = {0};
	struct blk_limit l;
	uint64_t when = 0, full;

	limit(&l, 0, 0, 1000000, 1000);
	ck_assert_int_eq(blk_limit_take(&l, &small, the_time, 600, &when), 1);
	ck_assert_int_eq(blk_limit_take(&l, &large, the_time, 1000, &when), 0);
	full = when;
	ck_assert_uint_eq(full, the_time + 600000);
	/* There is enough for these, who are told when the large one goes. */
	ck_assert_int_eq(blk_limit_take(&l, &small, the_time, 100, &when), 0);
	ck_assert_uint_eq(when, full);
	ck_assert_int_eq(blk_limit_take(&l, &last, the_time, 100, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &small, full, 100, &when), 0);
	ck_assert_uint_gt(when, full);
	ck_assert_uint_le(when, full + 10 * MS);
	ck_assert_int_eq(blk_limit_take(&l, &large, full, 1000, &when), 1);
	/* In turn, also when the one behind looks first; with its tokens there it is not waited for without end. */
	ck_assert_int_eq(blk_limit_take(&l, &large, full, 1000, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &last, full + 200000, 100, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &small, full + 200000, 100, &when), 1);
	ck_assert_int_eq(blk_limit_take(&l, &large, full + 200000, 1000, &when), 0);
	ck_assert_uint_eq(when, full + 200000 + 10 * MS);
	ck_assert_int_eq(blk_limit_take(&l, &large, when - 1, 1000, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &large, when, 1000, &when), 1);
	/* Who comes again stands behind; who comes no more does not stand there. */
	ck_assert_int_eq(blk_limit_take(&l, &small, when, 1, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &large, when, 1000, &when), 0);
	ck_assert_int_eq(blk_limit_take(&l, &last, when, 1000, &when), 0);
	blk_limit_leave(&l, &large);
	blk_limit_leave(&l, &small);
	blk_limit_leave(&l, &small);
	ck_assert_int_eq(blk_limit_take(&l, &last, when, 1000, &when), 1);
}
END_TEST

/* So many reads of len bytes, made available at once. */
static void add_reads(struct blk_fx *fx, struct fx_req **r, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		r[i] = calloc(1, sizeof(*r[i]));
		r[i]->type = BLK_T_IN;
		r[i]->in_len = len;
		fx_add(fx, 0, r[i]);
	}
	fx_kick(fx, 0);
}

static unsigned used(struct blk_fx *fx)
{
	unsigned n = 0;

	for (int i = 0; i < 4; i++)
		n += fx_reap(fx, 0);
	return n;
}

START_TEST(the_device_keeps_the_limit)
{
	struct fx_config cfg = {
		.blk = {.size = sizeof(cfg.blk), .limit = {.ops_per_s = 10, .ops_burst = 5}}};
	struct vdev_blk_limit off = {0}, bad = {.ops_per_s = UINT64_MAX};
	struct fx_req *r[20];
	struct blk_fx fx;
	unsigned n;

	fx_start(&fx, _i, &cfg);
	add_reads(&fx, r, 20, 512);
	n = used(&fx);
	ck_assert_uint_eq(n, 5);
	ck_assert_uint_eq(used(&fx), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(vdev_queue_deadline(fx.v, 0), fx.now + 100 * MS);
		fx.now += 99 * MS;
		ck_assert_uint_eq(used(&fx), 0);
		fx.now += 1 * MS;
		ck_assert_uint_eq(used(&fx), 1);
	}
	/* In order, whole, and the other queue shares the limit. */
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(r[i]->used, i < 8 ? 513 : -1);
	ck_assert_int_eq(vdev_blk_set_limit(fx.v, &bad), VIRTQ_EINVAL);
	ck_assert_uint_eq(used(&fx), 0);
	ck_assert_int_eq(vdev_blk_set_limit(fx.v, &off), 0);
	ck_assert_uint_eq(used(&fx), 12);
	ck_assert_uint_eq(vdev_queue_deadline(fx.v, 0), UINT64_MAX);
	for (unsigned i = 0; i < 20; i++)
		free(r[i]);
	ck_assert_int_eq(vdev_blk_set_limit(NULL, &off), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_set_limit(fx.v, NULL), VIRTQ_EINVAL);
	fx_stop(&fx);
}
END_TEST

START_TEST(bytes_are_limited_too)
{
	struct vdev_blk_limit l = {.bytes_per_s = 1 << 20, .bytes_burst = 64 << 10};
	struct fx_req *r[6];
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	ck_assert_int_eq(vdev_blk_set_limit(fx.v, &l), 0);
	add_reads(&fx, r, 6, 32 << 10);
	ck_assert_uint_eq(used(&fx), 2);
	fx.now = vdev_queue_deadline(fx.v, 0);
	ck_assert_uint_eq(fx.now, 1 * S + 31250000);
	ck_assert_uint_eq(used(&fx), 1);
	/* Errors and requests without data cost an operation, not bytes. */
	ck_assert_int_eq(r[3]->used, -1);
	fx.now += 10 * S;
	ck_assert_uint_eq(used(&fx), 2);
	fx.now += 10 * S;
	ck_assert_uint_eq(used(&fx), 1);
	for (unsigned i = 0; i < 6; i++)
		free(r[i]);
	fx_stop(&fx);
}
END_TEST

/* Small requests of one queue, of which there is always one, and a large one of another. */
START_TEST(a_large_request_is_not_starved)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk),
	                                .nqueues = 2,
	                                .limit = {.bytes_per_s = 1 << 20, .bytes_burst = 64 << 10}}};
	struct fx_req *small = calloc(1, sizeof(*small)), *large = calloc(1, sizeof(*large));
	unsigned served = 0;
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	*small = (struct fx_req){.type = BLK_T_IN, .in_len = 4096};
	*large = (struct fx_req){.type = BLK_T_IN, .in_len = 64 << 10};
	fx_add(&fx, 1, large);
	fx_add(&fx, 0, small);
	fx_kick(&fx, 0);
	(void)fx_reap(&fx, 0);
	for (int ms = 0; ms < 1000 && large->used == -1; ms++) {
		if (small->used != -1) {
			served++;
			fx_add(&fx, 0, small);
			fx_kick(&fx, 0);
		}
		(void)fx_reap(&fx, 0);
		if (ms == 20)
			fx_kick(&fx, 1);
		if (ms >= 20)
			(void)fx_reap(&fx, 1);
		fx.now += 1 * MS;
	}
	ck_assert_int_eq(large->used, (64 << 10) + 1);
	ck_assert_uint_gt(served, 2);
	free(small);
	free(large);
	fx_stop(&fx);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("blk_limit");
	TCase *tc = tcase_create("blk_limit");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, buckets_start_full_and_refill);
	tcase_add_test(tc, large_requests_owe_the_rest);
	tcase_add_loop_test(tc, rates_are_kept_in_the_long_run, 0, 7);
	tcase_add_test(tc, extremes_do_not_overflow);
	tcase_add_test(tc, bursts_that_are_not_given);
	tcase_add_test(tc, who_was_refused_first_is_served_first);
	tcase_add_loop_test(tc, a_large_request_is_not_starved, 0, FX_KINDS);
	tcase_add_loop_test(tc, the_device_keeps_the_limit, 0, FX_KINDS);
	tcase_add_loop_test(tc, bytes_are_limited_too, 0, FX_KINDS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
