/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring whose requests in flight are noted, and what becomes of the notes when it is stopped in peace. _i: 0 split, 1
 * packed.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vdev/model.h>
#include <virtq/inflight.h>

#include "vu_front.h"

enum { LEN = 512 };

static struct vu_front f;
static struct vu_inflight area;
static int area_fd;
static uint8_t *notes;

static void begin_with(int packed)
{
	vf_connect(&f);
	vf_negotiate(&f, packed ? VF_PACKED : 0);
	vf_memory(&f);
	vf_area(&f, 1, &area, &area_fd);
	notes = mmap(NULL, (size_t)area.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, area_fd, 0);
	ck_assert_ptr_ne(notes, MAP_FAILED);
}

static void begin(int packed)
{
	vf_start(&f, 1, VF_THREADS);
	begin_with(packed);
}

static void set_area(void)
{
	ck_assert_int_eq(vf_ack(&f, VU_SET_INFLIGHT_FD, &area, sizeof(area), &area_fd, 1), 0);
}

static void end(void)
{
	munmap(notes, (size_t)area.mmap_size);
	close(area_fd);
	vf_stop(&f);
}

static uint32_t stop(void)
{
	vf_ask_base(&f, 0);
	return vf_take_base(&f, 0);
}

static void work(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 0, (uint64_t)i % 8, VF_DATA, LEN), 0);
}

START_TEST(started_afresh)
{
	begin(_i);
	set_area();
	for (int round = 0; round < 3; round++) {
		vf_ring_setup(&f, 0); /* the driver begins from nothing */
		vf_ring_go(&f, 0);
		vf_driver_ok(&f);
		work(5 + round);
		ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
		(void)stop();
		ck_assert_int_eq(virtq_inflight_fresh(notes), 1);
	}
	end();
}
END_TEST

START_TEST(gone_on_with)
{
	begin(_i);
	set_area();
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	for (int round = 0; round < 4; round++) {
		uint32_t base;

		work(VF_RING / 3 + 5);
		base = stop();
		ck_assert_int_eq(virtq_inflight_fresh(notes), 1);
		vf_ring_resume(&f, 0, base);
	}
	work(3);
	end();
}
END_TEST

/* A connection that ends tells the front-end nothing: the notes stay, and the next one goes by them. */
START_TEST(hung_up)
{
	const uint64_t call = 0; /* of ring 0 */

	begin(_i);
	set_area();
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	work(5);
	close(f.sock);
	vdev_os_close(f.channel);
	f.sock = f.channel = -1;
	vf_connect(&f);
	vf_negotiate(&f, _i ? VF_PACKED : 0);
	/* It answers only after it has let go. */
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	vf_memory(&f);
	set_area();
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &call, sizeof(call), &f.rings[0].call, 1), 0);
	vf_ring_resume(&f, 0, _i ? 0 : vf_used_idx(&f, 0));
	vf_driver_ok(&f);
	work(5);
	end();
}
END_TEST

/* It asked where the ring is and did not wait for the answer: the notes stay here too. */
START_TEST(gone_before_the_answer)
{
	unsigned slot;

	begin(_i);
	set_area();
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	work(5);
	slow_disk_hold(f.disk, 1);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, LEN);
	ck_assert(!vf_done_within(&f, 0, slot, 100));
	vf_ask_base(&f, 0);
	close(f.sock);
	vdev_os_close(f.channel);
	f.sock = f.channel = -1;
	slow_disk_release(f.disk, 1, 0, 0);
	slow_disk_hold(f.disk, 0);
	vf_connect(&f);
	vf_negotiate(&f, _i ? VF_PACKED : 0);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	end();
}
END_TEST

/* As a front-end does that pauses the guest and lets it go on. */
static void pause_and_go_on(void)
{
	const uint8_t status = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER;

	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, 0), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, status), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, status | VIRTQ_STATUS_FEATURES_OK), 0);
}

/*
 * What a predecessor left can't be served before the disk is ours; stopped meanwhile, the ring keeps it, also over a pause.
 */
START_TEST(stopped_with_something_left)
{
	const int packed = _i & 1;
	unsigned slots[3];
	uint32_t base;

	begin(packed);
	vf_ring_setup(&f, 0);
	for (unsigned i = 0; i < 3; i++)
		slots[i] = vf_submit(&f, 0, 0, i, VF_DATA + i * LEN, LEN);
	vf_pop_and_die(&f, &area, area_fd, 2);
	__atomic_store_n(&f.disk->busy, 1, __ATOMIC_RELAXED);
	set_area();
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert(!vf_done_within(&f, 0, slots[0], 100));
	base = stop();
	/* Both count as taken: two heads, or three descriptors each. */
	ck_assert_uint_eq(base & 0x7fff, packed ? 6 : 2);
	if (packed)
		ck_assert_uint_eq(base >> 16, VIRTQ_STATE_WRAP);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	if (_i & 2)
		pause_and_go_on();
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	__atomic_store_n(&f.disk->busy, 0, __ATOMIC_RELAXED);
	vf_ring_resume(&f, 0, base);
	vf_driver_ok(&f);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(vf_finish(&f, 0, slots[i]), 0);
	work(5);
	(void)stop();
	ck_assert_int_eq(virtq_inflight_fresh(notes), 1);
	end();
}
END_TEST

/* A reset of a ring that runs, or has ended well: nothing is left, whatever the next driver's rings are like. */
START_TEST(reset_with_nothing_left)
{
	begin(_i & 1);
	set_area();
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	work(5);
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	if (_i & 2)
		(void)stop();
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, 0), 0);
	for (uint64_t i = 0; i < area.mmap_size; i++)
		ck_assert_uint_eq(notes[i], 0);
	end();
}
END_TEST

/* A device that has nothing to put into its buffers; once it is none of those, it ends whatever comes. */
static int supply_start(void *model, struct vdev_queue *q)
{
	if (__atomic_load_n((int *)model, __ATOMIC_ACQUIRE))
		vdev_queue_supply(q);
	return 0;
}

static uint32_t supply_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                               uint32_t n)
{
	(void)model;
	vf_end_all(q, chains, n);
	return n;
}

START_TEST(supply_stopped_with_something_left)
{
	static const struct vdev_model_ops ops = {.size = sizeof(ops),
	                                          .name = "supply",
	                                          .device_id = 1,
	                                          .queue_start = supply_start,
	                                          .process = supply_process};
	int supply = 1;
	const struct vdev_model m = {
		.size = sizeof(m), .ops = &ops, .model = &supply, .nqueues = 1, .queue_max = 256};
	struct vdev *v;
	unsigned slots[3];
	uint32_t base;

	ck_assert_int_eq(vdev_new(&v, vdev_env_hosted(), &m), 0);
	vf_start_device(&f, v, VF_THREADS, NULL);
	begin_with(_i);
	vf_ring_setup(&f, 0);
	for (unsigned i = 0; i < 3; i++)
		slots[i] = vf_submit(&f, 0, 0, i, VF_DATA + i * LEN, LEN);
	vf_pop_and_die(&f, &area, area_fd, 2);
	set_area();
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	base = stop(); /* within the time that answers have */
	ck_assert_int_eq(virtq_inflight_fresh(notes), 0);
	__atomic_store_n(&supply, 0, __ATOMIC_RELEASE);
	vf_ring_resume(&f, 0, base);
	vf_driver_ok(&f);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(vf_finish(&f, 0, slots[i]), 0);
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user inflight");
	TCase *c = tcase_create("inflight");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, started_afresh, 0, 2);
	tcase_add_loop_test(c, gone_on_with, 0, 2);
	tcase_add_loop_test(c, hung_up, 0, 2);
	tcase_add_loop_test(c, gone_before_the_answer, 0, 2);
	tcase_add_loop_test(c, stopped_with_something_left, 0, 4);
	tcase_add_loop_test(c, reset_with_nothing_left, 0, 4);
	tcase_add_loop_test(c, supply_stopped_with_something_left, 0, 2);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
