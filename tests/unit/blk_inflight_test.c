/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that are under way while something happens to the device: whose memory it is, and until
 * when; what is marked dirty; who holds the disk.
 */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct fx_req *new_read(uint64_t sector, uint32_t len)
{
	struct fx_req *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->type = BLK_T_IN;
	r->sector = sector;
	r->in_len = len;
	return r;
}

static void serve(struct blk_fx *fx)
{
	(void)!vdev_run(fx->v, VDEV_RUN_ARM);
}

/* The driver's memory is its own again: what it writes there stays. */
static void memory_is_ours(struct blk_fx *fx, uint64_t for_ms)
{
	uint64_t until = ms() + for_ms;

	memset(fx->memory, 0xc3, BLK_FX_BYTES);
	while (ms() < until)
		serve(fx);
	for (uint32_t i = 0; i < BLK_FX_BYTES; i++)
		if (fx->memory[i] != 0xc3)
			ck_abort_msg("byte %u was written after the device let go", i);
}

START_TEST(reset_waits_for_a_read_of_500_ms)
{
	struct fx_req *r = new_read(0, 8192);
	struct blk_fx fx;
	uint64_t start;

	fx_start(&fx, FX_ASYNC | _i, NULL);
	fx_pattern(fx.disk->data, 8192, 4);
	slow_disk_delay(fx.disk, 500);
	start = ms();
	fx_submit(&fx, 0, r);
	serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 1);
	ck_assert_int_eq(vdev_set_status(fx.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_ne(vdev_status(fx.v), 0);
	while (vdev_status(fx.v) != 0) {
		ck_assert_uint_lt(ms() - start, 20000);
		serve(&fx);
	}
	ck_assert_uint_ge(ms() - start, 490);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 0);
	CLAUSE("basic/device-reset/D2");
	memory_is_ours(&fx, 700);
	ck_assert_int_eq(r->used, -1);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(queue_reset_waits_for_a_read_of_500_ms)
{
	struct fx_req *r = new_read(0, 8192);
	struct fx_req *other = new_read(16, 512);
	struct blk_fx fx;
	uint64_t start;

	fx_start(&fx, FX_ASYNC | _i, NULL);
	slow_disk_delay(fx.disk, 500);
	start = ms();
	fx_submit(&fx, 0, r);
	serve(&fx);
	slow_disk_delay(fx.disk, 0);
	ck_assert_int_eq(vdev_queue_reset(fx.v, 0), VIRTQ_EAGAIN);
	/* The other queue goes on meanwhile. */
	ck_assert_int_eq(fx_do(&fx, 1, other), BLK_S_OK);
	ck_assert_uint_lt(ms() - start, 400);
	while (vdev_queue_started(fx.v, 0)) {
		ck_assert_uint_lt(ms() - start, 20000);
		serve(&fx);
	}
	ck_assert_uint_ge(ms() - start, 490);
	/* Everything but the other queue's ring is the driver's again: its buffers, and this queue's ring. */
	memset(fx.shared, 0xc3, fx.shared_bytes);
	while (ms() - start < 1200)
		serve(&fx);
	for (uint64_t i = 0; i < fx.shared_bytes; i++)
		ck_assert_uint_eq(fx.shared[i], 0xc3);
	ck_assert_int_eq(r->used, -1);
	fx.arena = 0;
	ck_assert_int_eq(fx_do(&fx, 1, other), BLK_S_OK);
	free(r);
	free(other);
	fx_stop(&fx);
}
END_TEST

START_TEST(stop_and_quiesce_wait_for_what_is_out)
{
	struct fx_req *r[8];
	struct virtq_state state;
	struct blk_fx fx;

	fx_start(&fx, FX_ASYNC | _i, NULL);
	slow_disk_hold(fx.disk, 1);
	for (unsigned i = 0; i < 8; i++) {
		r[i] = new_read(i, 512);
		fx_submit(&fx, i & 1, r[i]);
	}
	serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 8);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(fx.v)), VIRTQ_EAGAIN);
	slow_disk_release(fx.disk, 7, 0, 0);
	serve(&fx);
	ck_assert_int_eq(vdev_function_free(vdev_function(fx.v)), VIRTQ_EBUSY);
	slow_disk_release(fx.disk, 1, 0, 0);
	serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 0);
	ck_assert_int_eq(vdev_queue_state(fx.v, 0, &state), 0);
	ck_assert_uint_eq(fx_reap(&fx, 0) + fx_reap(&fx, 1), 8);
	ck_assert_int_eq(vdev_function_resume(vdev_function(fx.v)), 0);
	slow_disk_hold(fx.disk, 0);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(r[i]->status, BLK_S_OK);
		ck_assert_int_eq(fx_do(&fx, i & 1, r[i]), BLK_S_OK);
	}
	/* Stop: what is out is finished and seen. */
	slow_disk_hold(fx.disk, 1);
	fx_submit(&fx, 1, r[0]);
	serve(&fx);
	ck_assert_int_eq(vdev_queue_stop(fx.v, 1), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_state(fx.v, 1, &state), VIRTQ_EBUSY);
	slow_disk_release(fx.disk, 1, 0, 0);
	serve(&fx);
	ck_assert_int_eq(vdev_queue_started(fx.v, 1), 0);
	ck_assert_int_eq(vdev_queue_state(fx.v, 1, &state), 0);
	ck_assert_uint_eq(fx_reap(&fx, 1), 1);
	ck_assert_int_eq(r[0]->status, BLK_S_OK);
	for (unsigned i = 0; i < 8; i++)
		free(r[i]);
	fx_stop(&fx);
}
END_TEST

/* Also in the middle of one that is several operations of the disk. */
START_TEST(a_cancelled_request_stops_between_segments)
{
	struct fx_config cfg = {.bytes = _i & 2 ? (uint64_t)200 << 20 : 0};
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t s[48];
	struct blk_fx fx;

	fx_start(&fx, FX_ASYNC | (_i & 1), &cfg);
	slow_disk_hold(fx.disk, 1);
	r->type = BLK_T_WRITE_ZEROES;
	r->out = s;
	r->out_len = _i & 2 ? 16 : 48;
	for (unsigned i = 0; i < 3; i++)
		fx_range(s + 16 * i, 8 * i, _i & 2 ? 3 << 17 : 8, 0);
	fx_submit(&fx, 0, r);
	serve(&fx);
	ck_assert_uint_eq(fx.disk->nlog, 1);
	slow_disk_release(fx.disk, 1, 0, 0);
	serve(&fx);
	ck_assert_uint_eq(fx.disk->nlog, 2);
	ck_assert_int_eq(vdev_set_status(fx.v, 0), VIRTQ_EAGAIN);
	slow_disk_release(fx.disk, 1, 0, 0);
	serve(&fx);
	ck_assert_int_eq(vdev_status(fx.v), 0);
	ck_assert_uint_eq(fx.disk->nlog, 2);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(requests_beyond_the_limit_wait_in_the_ring)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .max_inflight = 3}};
	struct fx_req *r[10];
	struct blk_fx fx;

	fx_start(&fx, FX_ASYNC | _i, &cfg);
	fx_pattern(fx.disk->data, 5120, 10);
	slow_disk_hold(fx.disk, 1);
	for (unsigned i = 0; i < 10; i++) {
		r[i] = new_read(i, 512);
		fx_add(&fx, 0, r[i]);
	}
	fx_kick(&fx, 0);
	for (unsigned done = 0; done < 10; done++) {
		for (int i = 0; i < 3; i++)
			serve(&fx);
		ck_assert_uint_eq(slow_disk_held(fx.disk), 10 - done < 3 ? 10 - done : 3);
		slow_disk_release(fx.disk, 1, 0, 0);
		fx_reap(&fx, 0);
		ck_assert_int_eq(r[done]->status, BLK_S_OK);
		/* Each into its own buffer, although the ring's pieces were used anew meanwhile. */
		ck_assert_mem_eq(r[done]->in, fx.disk->data + done * 512, 512);
	}
	for (unsigned i = 0; i < 10; i++)
		free(r[i]);
	fx_stop(&fx);
}
END_TEST

/* A disk that could end them later ends them at once: nothing is out then whose end would let the rest come again. */
START_TEST(requests_beyond_the_limit_end_at_once)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .max_inflight = 3}};
	struct fx_req *r[10];
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	for (unsigned i = 0; i < 10; i++) {
		r[i] = new_read(i, 512);
		fx_add(&fx, 0, r[i]);
	}
	fx_kick(&fx, 0);
	fx_reap(&fx, 0);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_int_eq(r[i]->status, BLK_S_OK);
		free(r[i]);
	}
	fx_stop(&fx);
}
END_TEST

START_TEST(large_requests_wait_for_blocks)
{
	struct fx_config cfg = {
		.blk = {.size = sizeof(cfg.blk), .queue_max = 128}, .queue_size = 128, .indirect_max = 64};
	struct fx_req *r[80];
	uint32_t cut[32];
	struct blk_fx fx;

	for (int i = 0; i < 30; i++)
		cut[i] = 16;
	cut[30] = 0;
	fx_start(&fx, FX_ASYNC | _i, &cfg);
	slow_disk_hold(fx.disk, 1);
	for (unsigned i = 0; i < 80; i++) {
		r[i] = new_read(i, 512);
		r[i]->cut_in = cut;
		fx_pattern(fx.disk->data + i * 512, 512, i);
		fx_add(&fx, 0, r[i]);
	}
	fx_kick(&fx, 0);
	for (int i = 0; i < 8; i++)
		serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 64);
	slow_disk_hold(fx.disk, 0);
	slow_disk_release(fx.disk, 64, 0, 0);
	for (unsigned i = 0; i < 80; i++) {
		fx_wait(&fx, 0, r[i]);
		ck_assert_int_eq(r[i]->status, BLK_S_OK);
		ck_assert_mem_eq(r[i]->in, fx.disk->data + i * 512, 512);
		free(r[i]);
	}
	fx_stop(&fx);
}
END_TEST

/* Marks against the truth. */

enum { PAGES = BLK_FX_BYTES / 4096, WORDS = PAGES / (8 * sizeof(uintptr_t)) };

struct truth {
	struct virtq_dirty dirty;
	uintptr_t words[WORDS];
	uint8_t *before;
};

static void truth_begin(struct truth *t, struct blk_fx *fx)
{
	memset(t, 0, sizeof(*t));
	t->before = malloc(BLK_FX_BYTES);
	memcpy(t->before, fx->memory, BLK_FX_BYTES);
	ck_assert_int_eq(virtq_dirty_init(&t->dirty, BLK_FX_GPA, 12, t->words, WORDS, NULL), 0);
	virtq_log_set(vdev_function_log(vdev_function(fx->v)), &t->dirty);
}

/* Every page that has changed is marked. @return changed pages among those of buffers */
static unsigned truth_end(struct truth *t, struct blk_fx *fx)
{
	uintptr_t words[WORDS];
	unsigned changed = 0;
	uint64_t first = (uint64_t)(fx->shared - fx->memory) / 4096 + 1;

	virtq_log_set(vdev_function_log(vdev_function(fx->v)), NULL);
	ck_assert_int_ge(virtq_dirty_take(&t->dirty, 0, WORDS, words), 0);
	for (unsigned page = 0; page < PAGES; page++) {
		int marked = ((uint8_t *)words)[page / 8] >> (page % 8) & 1;

		if (memcmp(t->before + page * 4096u, fx->memory + page * 4096u, 4096) == 0)
			continue;
		ck_assert_msg(marked, "page %u changed and is not marked", page);
		changed += page >= first;
	}
	ck_assert_uint_eq(virtq_dirty_outside(&t->dirty), 0);
	free(t->before);
	return changed;
}

static const struct {
	int result;
	uint32_t touch;
	int cancel;
	int late;       /* logging is turned on while the request is out */
	unsigned pages; /* at least so many change */
} reads[] = {
	{0, 0, 0, 0, 5},
	{0, 0, 0, 1, 5},
	{VIRTQ_EIO, 0, 0, 0, 1},
	{VIRTQ_EIO, 9000, 0, 0, 2},
	{VIRTQ_EIO, 20480, 0, 1, 5},
	{0, 0, 1, 0, 5},
	{VIRTQ_EIO, 9000, 1, 0, 2},
	{VIRTQ_EIO, 9000, 1, 1, 2},
};
enum { READS = sizeof(reads) / sizeof(reads[0]) };

START_TEST(every_changed_page_is_marked)
{
	int kind = FX_ASYNC | (_i & FX_PACKED) | (_i & 2 ? FX_IN_ORDER : 0);
	int which = _i / 4;
	struct fx_req *r = new_read(0, 20480);
	struct truth t;
	struct blk_fx fx;
	unsigned changed;

	fx_start(&fx, kind, NULL);
	fx.arena = 8192;
	fx_pattern(fx.disk->data, 20480, 77);
	slow_disk_hold(fx.disk, 1);
	r->cut_in = which & 1 ? (uint32_t[]){7000, 5, 100, 9000, 0} : NULL;
	fx_submit(&fx, 0, r);
	serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 1);
	truth_begin(&t, &fx); /* the driver has written all that it will */
	if (reads[which].late) {
		virtq_log_set(vdev_function_log(vdev_function(fx.v)), NULL);
		serve(&fx);
		virtq_log_set(vdev_function_log(vdev_function(fx.v)), &t.dirty);
	}
	if (reads[which].cancel)
		ck_assert_int_eq(vdev_set_status(fx.v, 0), VIRTQ_EAGAIN);
	slow_disk_release(fx.disk, 1, reads[which].result, reads[which].touch);
	serve(&fx);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 0);
	if (reads[which].cancel)
		ck_assert_int_eq(vdev_status(fx.v), 0);
	changed = truth_end(&t, &fx);
	ck_assert_uint_ge(changed, reads[which].pages);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(disks_without_delay_mark_as_well)
{
	struct fx_req *r = new_read(0, 20480);
	struct truth t;
	struct blk_fx fx;

	fx_start(&fx, _i & FX_PACKED, NULL);
	fx_pattern(fx.disk->data, 20480, 5);
	if (_i & 2)
		slow_disk_fail(fx.disk, VIRTQ_EIO, 10000);
	fx_add(&fx, 0, r);
	/* The ring is written by both sides: look at the buffers only. */
	truth_begin(&t, &fx);
	fx_kick(&fx, 0);
	fx_wait(&fx, 0, r);
	memcpy(t.before, fx.memory, (size_t)(fx.shared - fx.memory));
	ck_assert_uint_ge(truth_end(&t, &fx), 2);
	free(r);
	fx_stop(&fx);
}
END_TEST

/* Who holds the disk. */

START_TEST(the_disk_is_held_while_queues_are_started)
{
	struct blk_fx fx;

	fx_make(&fx, FX_ASYNC | _i, NULL);
	ck_assert_int_eq(fx.disk->acquired, 0);
	fx_attach(&fx, FX_ASYNC | _i, NULL);
	ck_assert_int_gt(fx.disk->acquired, 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(fx.v)), 0);
	ck_assert_int_gt(fx.disk->acquired, 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(fx.v)), 0);
	ck_assert_int_eq(vdev_loopback_reset(fx.l), 0);
	ck_assert_int_eq(fx.disk->acquired, 0);
	ck_assert_uint_eq(fx.disk->opens, fx.disk->closes);
	fx_stop(&fx);
}
END_TEST

START_TEST(nothing_is_served_until_the_disk_is_ours)
{
	struct fx_req *r = new_read(0, 512);
	struct blk_fx fx;
	uint64_t deadline;

	fx_make(&fx, _i, NULL);
	fx.disk->busy = 1;
	fx_attach(&fx, _i, NULL);
	fx_submit(&fx, 0, r);
	serve(&fx);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	deadline = vdev_queue_deadline(fx.v, 0);
	ck_assert_uint_gt(deadline, fx.now);
	ck_assert_uint_le(deadline, fx.now + 1000000000);
	fx.now = deadline;
	serve(&fx);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx.disk->busy = 0;
	fx.now = vdev_queue_deadline(fx.v, 0);
	fx_wait(&fx, 0, r);
	ck_assert_int_eq(r->status, BLK_S_OK);
	free(r);
	fx_stop(&fx);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("blk_inflight");
	TCase *tc = tcase_create("blk_inflight");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, reset_waits_for_a_read_of_500_ms, 0, 2);
	tcase_add_loop_test(tc, queue_reset_waits_for_a_read_of_500_ms, 0, 2);
	tcase_add_loop_test(tc, stop_and_quiesce_wait_for_what_is_out, 0, 2);
	tcase_add_loop_test(tc, a_cancelled_request_stops_between_segments, 0, 4);
	tcase_add_loop_test(tc, requests_beyond_the_limit_wait_in_the_ring, 0, 2);
	tcase_add_loop_test(tc, requests_beyond_the_limit_end_at_once, 0, FX_KINDS);
	tcase_add_loop_test(tc, large_requests_wait_for_blocks, 0, 2);
	tcase_add_loop_test(tc, every_changed_page_is_marked, 0, READS * 4);
	tcase_add_loop_test(tc, disks_without_delay_mark_as_well, 0, 4);
	tcase_add_loop_test(tc, the_disk_is_held_while_queues_are_started, 0, 2);
	tcase_add_loop_test(tc, nothing_is_served_until_the_disk_is_ours, 0, FX_KINDS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
