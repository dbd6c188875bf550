/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side: where it is, and what a device finds that begins anew at the used position. _i: 1 for packed. */
#include "driver_test.h"

#include <string.h>

static uint16_t avail_entry(const struct rig *rig, unsigned i)
{
	uint16_t v;

	memcpy(&v, rig->ring.driver + 4 + 2 * (size_t)(i % rig->ring.size), sizeof(v));
	return v;
}

/* n buffers of one piece each, shown to the device, which has popped them. */
static void give(struct rig *rig, unsigned n, uint16_t *id)
{
	uint16_t slots;

	for (unsigned i = 0; i < n; i++)
		rig_add(rig, 0, 1, i);
	virtq_drv_publish(rig->drv);
	for (unsigned i = 0; i < n; i++)
		id[i] = rig_pop(rig, &slots);
}

START_TEST(positions)
{
	struct virtq_state at, init;
	uint16_t id[3], slots;
	struct rig rig;

	rig_init(&rig, 4, 0, FEATURES(layouts[_i]));
	virtq_drv_state(rig.drv, &init);
	for (unsigned lap = 0; lap < 4;
	     lap++) { /* three steps each: the ring's end is met in between */
		uint16_t used =
			(uint16_t)(_i ? lap * 3 % 4 | (lap * 3 / 4 % 2 == 0 ? VIRTQ_STATE_WRAP : 0) : lap * 3);

		virtq_drv_position(rig.drv, &at);
		ck_assert_uint_eq(at.desc, init.desc);
		ck_assert_uint_eq(at.device, init.device);
		ck_assert_uint_eq(at.size, 4);
		ck_assert_uint_eq(at.used, used);
		ck_assert_uint_eq(at.avail, used);
		rig_add(&rig, 0, 1, 0);
		virtq_drv_position(rig.drv, &at);
		ck_assert_uint_eq(at.avail, used); /* not shown yet */
		virtq_drv_publish(rig.drv);
		id[0] = rig_pop(&rig, &slots);
		give(&rig, 2, id + 1);
		virtq_drv_position(rig.drv, &at);
		ck_assert_uint_eq(at.used, used);
		ck_assert_uint_ne(at.avail, used);
		for (unsigned i = 0; i < 3; i++)
			rig_use(&rig, id[i], 0, 1);
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(virtq_drv_take(rig.drv, &(struct virtq_done){0}, 1), 1);
	}
	rig_fini(&rig);
}
END_TEST

/* The ring lists what is out from the used position on, whatever came back in between. */
START_TEST(what_is_out_is_listed_again)
{
	uint16_t id[4], before[4];
	struct rig rig;

	rig_init(&rig, 4, 0, FEATURES(VIRTQ_F_VERSION_1));
	give(&rig, 4, id);
	rig_use(&rig, id[0], 0, 1);
	rig_use(&rig, id[2], 0, 1);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EAGAIN); /* take first */
	rig_take(&rig, 0, 0);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EAGAIN);
	rig_take(&rig, 2, 0);
	rig_add(&rig, 0, 1, 7); /* not shown: nobody may find it */
	for (unsigned i = 0; i < 4; i++)
		before[i] = avail_entry(&rig, i);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 1), 0); /* the successor knows */
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(avail_entry(&rig, i), before[i]);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), 0);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0); /* it will look by itself */
	ck_assert_uint_eq(avail_entry(&rig, 2), id[1]);
	ck_assert_uint_eq(avail_entry(&rig, 3), id[3]);
	rig_use(&rig, id[3], 0, 1);
	rig_use(&rig, id[1], 0, 1);
	rig_take(&rig, 3, 0);
	rig_take(&rig, 1, 0);
	virtq_drv_publish(rig.drv);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 1);
	rig_fini(&rig);
}
END_TEST

/* Descriptors of a packed ring may be overwritten: nothing may be out. */
START_TEST(packed_rings_are_emptied_first)
{
	uint16_t id[2];
	struct rig rig;

	rig_init(&rig, 4, 0, FEATURES(VIRTQ_F_RING_PACKED));
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), 0);
	give(&rig, 2, id);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EBUSY);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 1), 0);
	rig_use(&rig, id[1], 0, 1);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 1), VIRTQ_EAGAIN);
	rig_take(&rig, 1, 0);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EBUSY);
	rig_use(&rig, id[0], 0, 1);
	rig_take(&rig, 0, 0);
	rig_add(&rig, 0, 1, 5); /* what nobody was shown is in nobody's hands */
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), 0);
	rig_fini(&rig);
}
END_TEST

/* With IN_ORDER the entries stand as they are; of a batch that was begun the rest is taken first. */
START_TEST(in_order_there_is_nothing_to_do)
{
	uint16_t id[3];
	struct rig rig;

	rig_init(&rig, 4, 0, FEATURES(layouts[_i], VIRTQ_F_IN_ORDER));
	give(&rig, 3, id);
	rig_use_batch(&rig, id[1], 4, 2, 2);
	rig_take(&rig, 0, 16);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EAGAIN);
	rig_take(&rig, 1, 4);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), 0);
	if (!_i)
		ck_assert_uint_eq(avail_entry(&rig, 2), id[2]);
	rig_fini(&rig);
}
END_TEST

START_TEST(broken_rings_stay_broken)
{
	uint16_t id[1];
	struct rig rig;

	rig_init(&rig, 4, 0, FEATURES(layouts[_i]));
	give(&rig, 1, id);
	rig_use(&rig, 77, 0, 1);
	ck_assert_int_eq(virtq_drv_take(rig.drv, &(struct virtq_done){0}, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 0), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_drv_rewind(rig.drv, 1), VIRTQ_EBROKEN);
	rig_fini(&rig);
}
END_TEST

TCase *driver_rewind_case(void)
{
	TCase *tc = tcase_create("rewind");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, positions, 0, 2);
	tcase_add_test(tc, what_is_out_is_listed_again);
	tcase_add_test(tc, packed_rings_are_emptied_first);
	tcase_add_loop_test(tc, in_order_there_is_nothing_to_do, 0, 2);
	tcase_add_loop_test(tc, broken_rings_stay_broken, 0, 2);
	return tc;
}
