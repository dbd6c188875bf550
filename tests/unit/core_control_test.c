/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control operations with requests in flight: they end only when nothing is pinned. Without owners here, so that each
 * step is the test's own; threaded_core_test.c has owners on threads.
 */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

static void hold_n(struct fixture *f, unsigned q, unsigned first, unsigned n)
{
	f->echo.hold = 1;
	for (unsigned i = 0; i < n; i++)
		fixture_add(f, q, first + i, (uint8_t)(first + i + 1), 8, 8);
	vdev_loopback_kick(f->l, q);
}

static void run_all(struct fixture *f)
{
	for (int i = 0; i < 1000 && vdev_run(f->v, 0); i++)
		;
}

static void start(struct fixture *f, int layout, uint32_t nqueues)
{
	fixture_init(f, layout, nqueues);
	fixture_watch(f);
	fixture_start(f);
}

/* What a driver does after it sees a reset: the memory is its own again. It stays as it is. */
static void expect_quiet(struct fixture *f, unsigned slots)
{
	for (unsigned i = 0; i < slots; i++)
		memset(fixture_in(f, i), 0xc3, 8);
	run_all(f);
	for (unsigned i = 0; i < slots; i++)
		for (unsigned j = 0; j < 8; j++)
			ck_assert_uint_eq(fixture_in(f, i)[j], 0xc3);
}

START_TEST(reset_waits_for_what_is_out)
{
	uint8_t status;
	struct fixture f;

	start(&f, _i, 2);
	hold_n(&f, 0, 0, 3);
	hold_n(&f, 1, 3, 2);
	status = vdev_status(f.v);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_eq(f.echo.cancels, 2);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), status);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN); /* asking again changes nothing */
	ck_assert_int_eq(vdev_set_status(f.v, status), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_free(vdev_function(f.v)), VIRTQ_EBUSY);
	echo_finish(&f.echo, 4);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), status);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	CLAUSE("basic/device-reset/D1");
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_uint_eq(f.echo.resets, 2); /* one of them before the start */
	ck_assert_uint_eq(f.echo.queue_ends, f.echo.queue_starts);
	expect_quiet(&f, 5);
	ck_assert_uint_eq(f.interrupts[0] + f.interrupts[1],
	                  0); /* nothing is told of what was cancelled */
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 1);
	fixture_fini(&f);
}
END_TEST

/* The driver sees status 0 and goes on while the device's own buffers are still waited for, and resets once more. */
START_TEST(another_reset_before_the_first_is_told)
{
	struct vdev_function *fn;
	struct vdev_map map = {0};
	struct virtq_iov iov;
	struct fixture f;

	start(&f, _i, 2);
	fn = vdev_function(f.v);
	ck_assert_int_eq(vdev_function_map(fn, FIXTURE_GPA, 8, 0, &iov, 1, &map), 1);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_int_eq(vdev_set_status(f.v, VIRTQ_STATUS_ACKNOWLEDGE), 0);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 0);
	vdev_function_unmap(fn, &map);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	fixture_start(&f);
	fixture_echo(&f, 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(reset_ends_in_the_call_when_the_model_drains_at_once)
{
	struct fixture f;

	start(&f, _i, 2);
	hold_n(&f, 0, 0, 3);
	f.echo.drain_finishes = 1;
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 0); /* then nobody is told */
	fixture_fini(&f);
}
END_TEST

START_TEST(queue_reset_waits_for_what_is_out)
{
	struct fixture f;

	start(&f, _i, 2);
	hold_n(&f, 0, 0, 2);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 1);
	ck_assert_uint_eq(f.echo.cancels, 1);
	f.echo.hold = 0;
	fixture_echo(&f, 1); /* others go on */
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_RESET], 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_RESET], 1);
	ck_assert_uint_eq(f.done_queue[VDEV_OP_QUEUE_RESET], 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	expect_quiet(&f, 2);
	ck_assert_uint_eq(f.interrupts[0], 0);
	CLAUSE("basic/virtqueues/reset/D1");
	fixture_fini(&f);
}
END_TEST

START_TEST(queue_stop_waits_and_completes_what_is_out)
{
	struct vdev_queue_setup setup = {0};
	struct fixture f;

	start(&f, _i, 2);
	hold_n(&f, 1, 0, 3);
	ck_assert_int_eq(vdev_queue_stop(f.v, 1), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_stop(f.v, 1), VIRTQ_EAGAIN);
	ck_assert_uint_eq(f.echo.cancels, 0);
	fixture_add(&f, 1, 4, 7, 8, 8);
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.echo.offered, 3);
	echo_finish(&f.echo, 3);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.done_queue[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(fixture_take(&f, 1), 3);
	ck_assert_uint_eq(f.interrupts[1], 1);
	/* It goes on where it was. */
	ck_assert_int_eq(vdev_queue_state(f.v, 1, &setup.state), 0);
	f.echo.hold = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 1, &setup), 0);
	ck_assert_uint_eq(fixture_take(&f, 1), 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(quiesce_waits_and_resume_goes_on)
{
	struct vdev_function *fn;
	struct virtq_state s;
	struct fixture f;

	start(&f, _i, 2);
	fn = vdev_function(f.v);
	hold_n(&f, 0, 0, 3);
	ck_assert_int_eq(vdev_function_quiesce(fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_resume(fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_quiesce(fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EBUSY);
	echo_finish(&f.echo, 2);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUIESCE], 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUIESCE], 1);
	ck_assert_uint_eq(fixture_take(&f, 0), 3);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
	ck_assert_int_eq(vdev_function_quiesce(fn), 0);
	/* Nothing is started now. */
	f.echo.hold = 0;
	fixture_add(&f, 0, 0, 1, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	vdev_queue_kick(f.v, 0);
	run_all(&f);
	ck_assert_uint_eq(f.echo.offered, 3);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	ck_assert_uint_eq(f.echo.offered, 4); /* the kick that came meanwhile is not lost */
	ck_assert_uint_eq(fixture_take(&f, 0), 1);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_function_quiesce(fn), 0);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(reset_during_a_quiesce_ends_both)
{
	struct vdev_function *fn;
	struct fixture f;

	start(&f, _i, 2);
	fn = vdev_function(f.v);
	hold_n(&f, 0, 0, 2);
	ck_assert_int_eq(vdev_function_quiesce(fn), VIRTQ_EAGAIN);
	ck_assert_uint_eq(f.echo.cancels, 0);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_eq(f.echo.cancels, 2);
	echo_finish(&f.echo, 2);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUIESCE], 1);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_int_eq(f.done_result[VDEV_OP_QUIESCE], 0);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	/* It is reset, and quiesced: a driver that starts it waits for the resume. */
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(reset_overtakes_stop_and_queue_reset)
{
	struct fixture f;

	start(&f, _i, 2);
	hold_n(&f, 0, 0, 2);
	hold_n(&f, 1, 2, 2);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_reset(f.v, 1), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	echo_finish(&f.echo, 4);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_RESET], 1);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

static void count_release(struct virtq_mem *mem, void *ctx)
{
	(void)mem;
	++*(unsigned *)ctx;
}

START_TEST(the_old_map_stays_until_nothing_pins_it)
{
	struct virtq_region regions[2];
	struct virtq_mem maps[2];
	unsigned released[2] = {0, 0};
	struct vdev_function *fn;
	struct fixture f;

	start(&f, _i, 2);
	fn = vdev_function(f.v);
	for (int i = 0; i < 2; i++) {
		regions[i] =
			(struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
		ck_assert_int_eq(virtq_mem_init(&maps[i], &regions[i], 1), 0);
		virtq_mem_set_release(&maps[i], count_release, &released[i]);
	}
	ck_assert_int_eq(vdev_function_set_mem(fn, &maps[0]), 0); /* nothing is out */
	ck_assert_int_eq(vdev_function_set_mem(fn, &maps[0]), 0);
	virtq_mem_unref(&maps[0]);
	hold_n(&f, 0, 0, 2);
	ck_assert_int_eq(vdev_function_set_mem(fn, &maps[1]), VIRTQ_EAGAIN);
	virtq_mem_unref(&maps[1]);
	ck_assert_int_eq(vdev_function_set_mem(fn, &maps[0]), VIRTQ_EBUSY);
	ck_assert_uint_eq(released[0], 0);
	/* Others, and later ones of this queue, go on with the new map. */
	f.echo.hold = 0;
	fixture_echo(&f, 1);
	fixture_add(&f, 0, 2, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.echo.offered, 4);
	ck_assert_uint_eq(f.done[VDEV_OP_SET_MEM], 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(released[0], 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_SET_MEM], 1);
	ck_assert_uint_eq(released[0], 1);
	ck_assert_uint_eq(fixture_take(&f, 0), 3);
	fixture_fini(&f);
	ck_assert_uint_eq(released[1], 1);
}
END_TEST

/* The guest's memory falls into more regions than it had when the queue was started. */
START_TEST(a_map_of_many_more_regions_is_as_good)
{
	enum { MANY = 300 };
	struct virtq_region regions[MANY];
	struct virtq_mem map;
	struct fixture f;

	start(&f, _i, 1);
	regions[0] = (struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
	for (uint64_t i = 1; i < MANY; i++)
		regions[i] = (struct virtq_region){
			.gpa = FIXTURE_GPA + i * FIXTURE_BYTES, .len = 4096, .host = f.memory};
	ck_assert_int_eq(virtq_mem_init(&map, regions, MANY), 0);
	fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(f.v), &map), 0);
	fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	fixture_fini(&f);
	virtq_mem_unref(&map);
}
END_TEST

START_TEST(a_map_without_the_rings_is_refused)
{
	struct virtq_region region = {.gpa = 0x1000, .len = 0x1000};
	struct virtq_mem map;
	struct vdev_function *fn;
	struct fixture f;

	start(&f, _i, 1);
	fn = vdev_function(f.v);
	region.host = f.memory;
	ck_assert_int_eq(virtq_mem_init(&map, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(fn, &map), VIRTQ_EFAULT);
	ck_assert_int_eq(vdev_function_set_mem(fn, NULL), VIRTQ_EFAULT);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

/* A map whose memory begins at an odd place here has the ring, but nobody can use it: where the queue has come to is known. */
START_TEST(a_queue_that_a_map_has_broken_tells_its_position)
{
	struct virtq_region region = {.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES - 1};
	struct virtq_state was, is;
	struct virtq_mem map;
	struct fixture f;

	start(&f, _i, 1);
	for (int i = 0; i < 3; i++)
		fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &was), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	region.host = f.memory + 1;
	ck_assert_int_eq(virtq_mem_init(&map, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(f.v), &map), 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &is), 0);
	ck_assert_uint_eq(is.avail, was.avail);
	ck_assert_uint_eq(is.used, was.used);
	fixture_fini(&f);
	virtq_mem_unref(&map);
}
END_TEST

START_TEST(invalidate_waits_for_what_is_out)
{
	struct fixture f;

	start(&f, _i, 2);
	ck_assert_int_eq(vdev_invalidate(f.v, 0, UINT64_MAX), 0);
	hold_n(&f, 0, 0, 2);
	ck_assert_int_eq(vdev_invalidate(f.v, 0, UINT64_MAX), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_invalidate(f.v, 0, UINT64_MAX), VIRTQ_EBUSY);
	f.echo.hold = 0;
	fixture_echo(&f, 1);
	echo_finish(&f.echo, 2);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_INVALIDATE], 1);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

/* Everything at once, in every order: each operation ends exactly once. */
START_TEST(all_operations_together)
{
	struct virtq_region region;
	struct virtq_mem map;
	struct vdev_function *fn;
	struct fixture f;
	unsigned asked[8] = {0};

	start(&f, _i % LAYOUTS, 2);
	fn = vdev_function(f.v);
	region = (struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
	ck_assert_int_eq(virtq_mem_init(&map, &region, 1), 0);
	hold_n(&f, 0, 0, 2);
	hold_n(&f, 1, 2, 2);
	for (int i = 0; i < 6; i++) {
		switch ((i + _i / LAYOUTS) % 6) {
		case 0:
			asked[VDEV_OP_QUIESCE] += vdev_function_quiesce(fn) == VIRTQ_EAGAIN;
			break;
		case 1:
			asked[VDEV_OP_SET_MEM] += vdev_function_set_mem(fn, &map) == VIRTQ_EAGAIN;
			break;
		case 2:
			asked[VDEV_OP_QUEUE_STOP] += vdev_queue_stop(f.v, 0) == VIRTQ_EAGAIN;
			break;
		case 3:
			asked[VDEV_OP_QUEUE_RESET] += vdev_queue_reset(f.v, 1) == VIRTQ_EAGAIN;
			break;
		case 4:
			asked[VDEV_OP_INVALIDATE] += vdev_invalidate(f.v, 0, 1) == VIRTQ_EAGAIN;
			break;
		default:
			asked[VDEV_OP_RESET] += vdev_function_reset(fn) == VIRTQ_EAGAIN;
			break;
		}
	}
	virtq_mem_unref(&map);
	for (int op = 0; op < 8; op++)
		ck_assert_uint_eq(f.done[op], 0);
	echo_finish(&f.echo, 4);
	run_all(&f);
	for (int op = 0; op < 8; op++)
		ck_assert_msg(f.done[op] == asked[op], "operation %d: asked %u, ended %u", op, asked[op],
		              f.done[op]);
	ck_assert_uint_eq(asked[VDEV_OP_RESET] + asked[VDEV_OP_QUIESCE] + asked[VDEV_OP_SET_MEM], 3);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_int_eq(vdev_function_resume(fn), 0);
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_echo(&f, 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(attaching_is_checked)
{
	struct vdev_attachment a = {.size = 0};
	struct fixture f;

	start(&f, 0, 1);
	ck_assert_int_eq(vdev_function_attach(vdev_function(f.v), &a), VIRTQ_EINVAL);
	hold_n(&f, 0, 0, 1);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_attach(vdev_function(f.v), NULL), VIRTQ_EBUSY);
	echo_finish(&f.echo, 1);
	run_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Dirty marks: whatever was handed out for writing, at once or later, and however it ended. */
START_TEST(written_pages_are_marked)
{
	uintptr_t words[FIXTURE_BYTES / 4096 / (8 * sizeof(uintptr_t))] = {0};
	uintptr_t out[sizeof(words) / sizeof(words[0])];
	struct virtq_dirty dirty;
	uint64_t page;
	struct fixture f;

	start(&f, _i, 1);
	ck_assert_int_eq(
		virtq_dirty_init(&dirty, FIXTURE_GPA, 12, words, sizeof(words) / sizeof(words[0]), NULL),
		0);
	hold_n(&f, 0, 20, 1);
	virtq_log_set(vdev_function_log(vdev_function(f.v)), &dirty); /* covers what is out already */
	f.echo.hold = 0;
	fixture_add(&f, 0, 40, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_int_gt(virtq_dirty_take(&dirty, 0, sizeof(words) / sizeof(words[0]), out), 0);
	for (unsigned slot = 20; slot <= 40; slot += 20) {
		page = (fixture_in_gpa(&f, slot) - FIXTURE_GPA) / 4096;
		ck_assert_uint_ne(((uint8_t *)out)[page / 8] >> (page % 8) & 1, 0);
	}
	/* Cancelled ones too. */
	hold_n(&f, 0, 30, 1);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_int_gt(virtq_dirty_take(&dirty, 0, sizeof(words) / sizeof(words[0]), out), 0);
	page = (fixture_in_gpa(&f, 30) - FIXTURE_GPA) / 4096;
	ck_assert_uint_ne(((uint8_t *)out)[page / 8] >> (page % 8) & 1, 0);
	virtq_log_set(vdev_function_log(vdev_function(f.v)), NULL);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_control");
	TCase *tc = tcase_create("core_control");

	tcase_add_loop_test(tc, reset_waits_for_what_is_out, 0, LAYOUTS);
	tcase_add_loop_test(tc, another_reset_before_the_first_is_told, 0, LAYOUTS);
	tcase_add_loop_test(tc, reset_ends_in_the_call_when_the_model_drains_at_once, 0, LAYOUTS);
	tcase_add_loop_test(tc, queue_reset_waits_for_what_is_out, 0, LAYOUTS);
	tcase_add_loop_test(tc, queue_stop_waits_and_completes_what_is_out, 0, LAYOUTS);
	tcase_add_loop_test(tc, quiesce_waits_and_resume_goes_on, 0, LAYOUTS);
	tcase_add_loop_test(tc, reset_during_a_quiesce_ends_both, 0, LAYOUTS);
	tcase_add_loop_test(tc, reset_overtakes_stop_and_queue_reset, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_map_of_many_more_regions_is_as_good, 0, LAYOUTS);
	tcase_add_loop_test(tc, the_old_map_stays_until_nothing_pins_it, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_map_without_the_rings_is_refused, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_queue_that_a_map_has_broken_tells_its_position, 0, LAYOUTS);
	tcase_add_loop_test(tc, invalidate_waits_for_what_is_out, 0, LAYOUTS);
	tcase_add_loop_test(tc, all_operations_together, 0, 6 * LAYOUTS);
	tcase_add_test(tc, attaching_is_checked);
	tcase_add_loop_test(tc, written_pages_are_marked, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
