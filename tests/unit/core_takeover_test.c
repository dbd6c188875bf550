/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's queue that takes over what a predecessor had in flight, and what is said of it before it is served. */
#include <stdlib.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"

enum { ENTRIES = 64, LEFT = 2, ALL = 3 };

static struct fixture f;
static struct vdev_queue_setup setup;
static struct state_buffer saved;
static _Alignas(8) uint8_t notes[32 + 32 * ENTRIES];

/* It pops what it finds, at most n, and is never heard of again. */
static void predecessor(int layout, uint32_t n)
{
	const struct virtq_region memory = {.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
	struct virtq_dev_config cfg = {.size = sizeof(cfg), .state = setup.state};
	struct virtq_inflight_config in = {
		.size = sizeof(in), .region = notes, .region_bytes = sizeof(notes), .entries = ENTRIES};
	struct virtq_chain chains[ALL];
	struct virtq_iov iov[256];
	struct virtq_mem mem;
	struct virtq_dev dev;

	ck_assert_int_eq(virtq_mem_init(&mem, &memory, 1), 0);
	cfg.mem = &mem;
	virtq_features_set(&cfg.features, VIRTQ_F_VERSION_1);
	if (layout & LAYOUT_PACKED)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	cfg.scratch_bytes = virtq_dev_bytes(&cfg);
	cfg.scratch = malloc(cfg.scratch_bytes);
	ck_assert_int_eq(virtq_dev_init(&dev, &cfg), 0);
	in.scratch_bytes = virtq_inflight_scratch(&dev, ENTRIES);
	in.scratch = malloc(in.scratch_bytes);
	ck_assert_int_eq(virtq_inflight_attach(&dev, &in), 0);
	ck_assert_int_eq(virtq_dev_pop(&dev, chains, n, iov, 256), (int)n);
	free(in.scratch);
	free(cfg.scratch);
}

/* Queue 0 has LEFT requests of a predecessor and one more; the model takes none. */
static void begin(int layout)
{
	fixture_init(&f, layout, 1);
	fixture_start(&f);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	memset(&setup, 0, sizeof(setup));
	memset(notes, 0, sizeof(notes));
	virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
	for (unsigned i = 0; i < ALL; i++)
		fixture_add(&f, 0, i, (uint8_t)(i + 1), 8, 8);
	vdev_loopback_kick(f.l, 0); /* shows them to nobody yet */
	predecessor(layout, LEFT);
	setup.inflight = notes;
	setup.inflight_bytes = sizeof(notes);
	setup.inflight_entries = ENTRIES;
	f.echo.take = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
}

static void serve_all(void)
{
	unsigned n = 0;

	f.echo.take = UINT32_MAX;
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0); /* wakes the model */
	for (int i = 0; i < 1000 && n < ALL; i++) {
		vdev_loopback_kick(f.l, 0);
		(void)!vdev_run(f.v, 0);
		n += fixture_take(&f, 0);
	}
	ck_assert_uint_eq(n, ALL);
	for (unsigned i = 0; i < ALL; i++)
		ck_assert_uint_eq(fixture_in(&f, i)[0], i + 1);
}

/* A saved state has no place for them: it can't be had before they are served. */
START_TEST(not_saved_before_served)
{
	struct virtq_state s;

	begin(_i);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_save(vdev_function(f.v), state_buffer_init(&saved)),
	                 VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	serve_all();
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
	ck_assert_uint_eq(s.avail, s.used);
	ck_assert_int_eq(vdev_function_save(vdev_function(f.v), state_buffer_init(&saved)), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

/* Stopped, the queue leaves them where they were noted, between its positions. */
START_TEST(stopped_before_served)
{
	struct virtq_state s;

	begin(_i);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
	ck_assert_uint_eq(s.used, setup.state.used);
	if (_i & LAYOUT_PACKED)
		ck_assert_uint_eq(s.avail, s.used + 2 * LEFT);
	else
		ck_assert_uint_eq(s.avail, s.used + LEFT);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	serve_all();
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
	ck_assert_uint_eq(s.avail, s.used);
	fixture_fini(&f);
}
END_TEST

/* 2.6.1: a queue that was reset has nothing in flight, whoever had taken it. */
START_TEST(reset_before_served)
{
	struct virtq_state s;

	begin(_i);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 1);
	fixture_fini(&f);
}
END_TEST

/* Whether a reset of the device is the driver's wish or that of a connection's end is not the core's to know. */
START_TEST(device_reset_before_served)
{
	begin(_i);
	ck_assert_int_eq(vdev_function_reset(vdev_function(f.v)), 0);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	fixture_fini(&f);
}
END_TEST

/* A region that can't be read says nothing of the position. */
START_TEST(spoiled_notes)
{
	struct virtq_state s;

	begin(_i);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	notes[10] ^= 0xff; /* how many entries it has */
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EBADMSG);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EINVAL);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("core take-over");
	TCase *tc = tcase_create("inflight");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, not_saved_before_served, LAYOUT_SPLIT, LAYOUT_PACKED + 1);
	tcase_add_loop_test(tc, stopped_before_served, LAYOUT_SPLIT, LAYOUT_PACKED + 1);
	tcase_add_loop_test(tc, reset_before_served, LAYOUT_SPLIT, LAYOUT_PACKED + 1);
	tcase_add_loop_test(tc, device_reset_before_served, LAYOUT_SPLIT, LAYOUT_PACKED + 1);
	tcase_add_loop_test(tc, spoiled_notes, LAYOUT_SPLIT, LAYOUT_PACKED + 1);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
