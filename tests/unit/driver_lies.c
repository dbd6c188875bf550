/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side: devices that lie, and what is left when a queue has ended. The loop variable _i picks the layout. */
#include "driver_test.h"

#include <string.h>

static void expect_broken(struct rig *rig)
{
	const size_t bytes = virtq_drv_ring_bytes(rig->ring.size, &rig->ring.features);
	struct virtq_seg seg = {0x1000, 16};
	struct virtq_done done;
	uint8_t before[1024];

	ck_assert_uint_le(bytes, sizeof(before));
	memcpy(before, rig->ring.desc, bytes);
	ck_assert_int_eq(virtq_drv_take(rig->drv, &done, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_drv_take(rig->drv, &done, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_drv_add(rig->drv, &seg, 1, 0, NULL), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_drv_arm(rig->drv), 1);
	ck_assert_int_eq(virtq_drv_should_kick(rig->drv), 0);
	virtq_drv_publish(rig->drv);
	virtq_drv_disarm(rig->drv);
	ck_assert_mem_eq(rig->ring.desc, before, bytes); /* nothing is written any more */
}

START_TEST(an_id_outside_of_the_ring_breaks)
{
	uint16_t slots, id;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 0, 1, 1);
	virtq_drv_publish(rig.drv);
	id = rig_pop(&rig, &slots);
	rig_use(&rig, _i ? 8 : 0x10000, 0, 1);
	expect_broken(&rig);
	/* It stays so, when the device thinks better of it. */
	rig.used = 0;
	rig_use(&rig, id, 0, 1);
	expect_broken(&rig);
	rig_fini(&rig);
}
END_TEST

START_TEST(an_id_that_is_not_out_breaks)
{
	uint16_t slots, id;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 0, 1, 1);
	rig_add(&rig, 0, 1, 2);
	virtq_drv_publish(rig.drv);
	id = rig_pop(&rig, &slots);
	rig_use(&rig, id, 3, 1);
	rig_use(&rig, id, 3, 1); /* twice the same */
	rig_take(&rig, 1, 3);
	expect_broken(&rig);
	rig_fini(&rig);
}
END_TEST

START_TEST(good_ones_before_the_bad_are_returned)
{
	struct virtq_done done[4];
	uint16_t slots, id;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 0, 1, 1);
	rig_add(&rig, 0, 1, 2);
	virtq_drv_publish(rig.drv);
	id = rig_pop(&rig, &slots);
	rig_use(&rig, id, 16, 1);
	rig_use(&rig, rig_pop(&rig, &slots), 17, 1); /* one byte more than the buffer has */
	ck_assert_int_eq(virtq_drv_take(rig.drv, done, 4), 1);
	ck_assert_uint_eq((uintptr_t)done[0].cookie, 1);
	expect_broken(&rig);
	rig_fini(&rig);
}
END_TEST

START_TEST(more_than_the_writable_part_breaks)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 2, 1, 1);
	virtq_drv_publish(rig.drv);
	rig_use(&rig, rig_pop(&rig, &slots), 17, _i ? 3 : 1); /* readable 32, writable 16 */
	expect_broken(&rig);
	rig_fini(&rig);
}
END_TEST

START_TEST(a_buffer_not_yet_published_cannot_be_used)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 0, 1, 1);
	virtq_drv_publish(rig.drv);
	rig_add(&rig, 0, 1, 2);
	rig_pop(&rig, &slots);
	rig_use(&rig, 1, 0, 1); /* the id of the second: the device peeked */
	expect_broken(&rig);
	rig_fini(&rig);
}
END_TEST

START_TEST(a_batch_that_ends_with_a_lie_breaks)
{
	const struct {
		uint32_t id, len;
	} lies[] = {{5, 0}, {8, 0}, {UINT16_MAX, 0}, {1, 17}};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint16_t slots;
		struct rig rig;

		rig_init(&rig, 8, 0, FEATURES(layouts[_i], VIRTQ_F_IN_ORDER));
		rig_add(&rig, 0, 1, 1);
		rig_add(&rig, 0, 1, 2);
		virtq_drv_publish(rig.drv);
		rig_pop(&rig, &slots);
		rig_pop(&rig, &slots);
		rig_use_batch(&rig, lies[i].id, lies[i].len, 2, 2);
		expect_broken(&rig);
		rig_fini(&rig);
	}
}
END_TEST

START_TEST(more_used_than_made_available_breaks)
{
	uint16_t slots, id;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	rig_add(&rig, 0, 1, 1);
	virtq_drv_publish(rig.drv);
	id = rig_pop(&rig, &slots);
	rig_use(&rig, id, 1, 1);
	rig_use(&rig, 5, 0, 1);
	if (_i) {
		/* Where nothing is available nothing can be used: not even looked at. */
		rig_take(&rig, 1, 1);
		rig_take_none(&rig);
	} else {
		expect_broken(&rig);
	}
	rig_fini(&rig);
}
END_TEST

START_TEST(detach_returns_what_is_out)
{
	uint32_t seen = 0;
	uint16_t slots, id;
	struct rig rig;
	void *cookie;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	for (unsigned i = 0; i < 4; i++)
		rig_add(&rig, 1, 1, i);
	virtq_drv_publish(rig.drv);
	id = rig_pop(&rig, &slots);
	rig_use(&rig, id, 0, slots);
	rig_take(&rig, 0, 0);
	while (virtq_drv_detach(rig.drv, &cookie) == 1)
		seen |= 1u << (uintptr_t)cookie;
	ck_assert_uint_eq(seen, 0xe);
	ck_assert_uint_eq(virtq_drv_inflight(rig.drv), 0);
	ck_assert_int_eq(virtq_drv_detach(rig.drv, &cookie), 0);
	expect_broken(&rig);
	if (_i == 0) {
		uint16_t idx;

		memcpy(&idx, rig.ring.driver + 2, sizeof(idx));
		ck_assert_uint_eq(idx, 4); /* no way back in the ring itself */
		CLAUSE("basic/virtqueues/avail-ring/R1");
	}
	rig_fini(&rig);
}
END_TEST

TCase *driver_lies_case(void)
{
	TCase *tc = tcase_create("lies");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, an_id_outside_of_the_ring_breaks, 0, 2);
	tcase_add_loop_test(tc, an_id_that_is_not_out_breaks, 0, 2);
	tcase_add_loop_test(tc, good_ones_before_the_bad_are_returned, 0, 2);
	tcase_add_loop_test(tc, more_than_the_writable_part_breaks, 0, 2);
	tcase_add_loop_test(tc, a_buffer_not_yet_published_cannot_be_used, 0, 2);
	tcase_add_loop_test(tc, a_batch_that_ends_with_a_lie_breaks, 0, 2);
	tcase_add_loop_test(tc, more_used_than_made_available_breaks, 0, 2);
	tcase_add_loop_test(tc, detach_returns_what_is_out, 0, 2);
	return tc;
}
