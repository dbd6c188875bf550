/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side, packed ring: what lies in memory, notifications, IN_ORDER, laps of any length. */
#include "driver_test.h"

#include <string.h>

#define PACKED(...) FEATURES(VIRTQ_F_RING_PACKED, __VA_ARGS__)

START_TEST(a_list_in_the_ring)
{
	struct virtq_seg seg[4] = {{0x1000, 1}, {0x2000, 0}, {0x3000, 3}, {0x4000, 0xffff0000}};
	struct virtq_packed_desc d;
	struct rig rig;

	rig_init(&rig, 5, 0, PACKED(VIRTQ_F_VERSION_1));
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 2, NULL), 0);
	virtq_drv_publish(rig.drv);
	for (uint16_t k = 0; k < 4; k++) {
		d = raw_packed_get(&rig.ring, k);
		ck_assert_uint_eq(d.addr, seg[k].addr);
		ck_assert_uint_eq(d.len, seg[k].len);
		ck_assert_uint_eq(d.flags, VIRTQ_DESC_AVAIL | (k < 3 ? VIRTQ_DESC_NEXT : 0) |
		                               (k >= 2 ? VIRTQ_DESC_WRITE : 0));
		ck_assert_uint_eq(d.id, raw_packed_get(&rig.ring, 0).id);
	}
	CLAUSE("basic/packed/sg/R3");
	ck_assert_uint_eq(raw_packed_get(&rig.ring, 4).flags, 0);
	rig_fini(&rig);
}
END_TEST

/* The first descriptor of all that were added gets its flags last, at publish. */
START_TEST(the_head_is_shown_last)
{
	struct rig rig;

	rig_init(&rig, 8, 0, PACKED(VIRTQ_F_VERSION_1));
	rig_add(&rig, 2, 1, 1);
	rig_add(&rig, 1, 1, 2);
	ck_assert(!rig_pop_ready(&rig));
	for (uint16_t k = 1; k < 5; k++)
		ck_assert_uint_eq(raw_packed_get(&rig.ring, k).flags & VIRTQ_DESC_AVAIL, VIRTQ_DESC_AVAIL);
	virtq_drv_publish(rig.drv);
	ck_assert(rig_pop_ready(&rig));
	CLAUSE("basic/packed/sg/R6");
	rig_fini(&rig);
}
END_TEST

/* Element length is reserved, and ignored, where the device wrote nothing and says so. */
START_TEST(length_of_a_buffer_that_was_only_read)
{
	struct rig rig;
	uint16_t slots;

	rig_init(&rig, 4, 0, PACKED(VIRTQ_F_VERSION_1));
	rig_add(&rig, 2, 0, 7);
	virtq_drv_publish(rig.drv);
	rig_use(&rig, rig_pop(&rig, &slots), 1514, 2);
	rig_take(&rig, 7, 0);
	rig_fini(&rig);
}
END_TEST

/* What is available is left alone, and its slot is not used again, until the device has used it. */
START_TEST(available_descriptors_are_left_alone)
{
	uint16_t id[3], slots[3];
	uint8_t before[48];
	struct rig rig;

	rig_init(&rig, 4, 0, PACKED(VIRTQ_F_VERSION_1));
	for (uintptr_t i = 0; i < 3; i++)
		rig_add(&rig, 1, 0, i);
	virtq_drv_publish(rig.drv);
	memcpy(before, rig.ring.desc, sizeof(before));
	rig_add(&rig, 1, 0, 3);
	virtq_drv_publish(rig.drv);
	ck_assert_int_eq(virtq_drv_add(rig.drv, &(struct virtq_seg){0, 1}, 1, 0, NULL), VIRTQ_ENOSPC);
	ck_assert_mem_eq(before, rig.ring.desc, sizeof(before));
	CLAUSE("basic/packed/desc-table/R2");
	for (unsigned i = 0; i < 3; i++)
		id[i] = rig_pop(&rig, &slots[i]);
	/* The second is used first: that frees the first place. */
	rig_use(&rig, id[1], 0, 1);
	rig_take(&rig, 1, 0);
	rig_add(&rig, 1, 0, 4);
	virtq_drv_publish(rig.drv);
	ck_assert_int_eq(virtq_drv_add(rig.drv, &(struct virtq_seg){0, 1}, 1, 0, NULL), VIRTQ_ENOSPC);
	ck_assert_mem_eq(before + 16, rig.ring.desc + 16, 32);
	CLAUSE("basic/packed/desc-table/R1");
	rig_fini(&rig);
}
END_TEST

START_TEST(an_indirect_table)
{
	struct virtq_packed_desc d, t;
	struct virtq_seg seg[6];
	const uint8_t *table;
	struct rig rig;

	rig_init(&rig, 4, 6, PACKED(VIRTQ_F_INDIRECT_DESC));
	for (unsigned k = 0; k < 6; k++)
		seg[k] = (struct virtq_seg){0x1000 * k, k};
	rig_add(&rig, 1, 0, 1);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 3, 3, NULL), 0);
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 2);
	virtq_drv_publish(rig.drv);
	ck_assert_uint_eq(raw_packed_get(&rig.ring, 0).flags, VIRTQ_DESC_AVAIL);
	d = raw_packed_get(&rig.ring, 1);
	ck_assert_uint_eq(d.flags, VIRTQ_DESC_AVAIL | VIRTQ_DESC_INDIRECT);
	CLAUSE("basic/packed/desc-table/indirect/R4");
	ck_assert_uint_eq(d.len, 6 * 16);
	table = guest_at(&rig.guest, d.addr, d.len);
	for (unsigned k = 0; k < 6; k++) {
		memcpy(&t, table + 16 * k, sizeof(t));
		ck_assert_uint_eq(t.addr, seg[k].addr);
		ck_assert_uint_eq(t.len, seg[k].len);
		ck_assert_uint_eq(t.flags, k >= 3 ? VIRTQ_DESC_WRITE : 0);
		ck_assert_uint_eq(t.id, 0);
	}
	CLAUSE("basic/packed/desc-table/indirect/R2");
	rig_fini(&rig);
}
END_TEST

/* Laps of every length from 1 to 9, lists of every length that fits, used in and out of order. */
/* The device's limit is the ring's size, and for tables what the caller was told by the device. */
START_TEST(lists_have_their_limits)
{
	struct virtq_seg seg[7] = {{0x1000, 1}, {0x2000, 1}, {0x3000, 1}, {0x4000, 1}, {0x5000, 1}};
	uint8_t before[64];
	struct rig rig;

	rig_init(&rig, 4, 0, PACKED(VIRTQ_F_VERSION_1));
	memcpy(before, rig.ring.desc, sizeof(before));
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 3, NULL), VIRTQ_EINVAL);
	virtq_drv_publish(rig.drv);
	ck_assert_mem_eq(rig.ring.desc, before, sizeof(before));
	CLAUSE("basic/packed/sg/R1");
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 2, NULL), 0);
	rig_fini(&rig);

	rig_init(&rig, 4, 6, PACKED(VIRTQ_F_INDIRECT_DESC));
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 7, 0, NULL), VIRTQ_EINVAL);
	virtq_drv_publish(rig.drv);
	ck_assert_mem_eq(rig.ring.desc, before, sizeof(before));
	CLAUSE("basic/packed/desc-table/indirect/R3");
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 6, 0, NULL), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(a_list_is_used_by_one_descriptor)
{
	uint16_t id[2], slots[2];
	struct rig rig;

	rig_init(&rig, 8, 0, PACKED(VIRTQ_F_VERSION_1));
	rig_add(&rig, 2, 1, 1);
	rig_add(&rig, 1, 2, 2);
	virtq_drv_publish(rig.drv);
	for (unsigned i = 0; i < 2; i++)
		id[i] = rig_pop(&rig, &slots[i]);
	rig_use(&rig, id[0], 16, slots[0]);
	rig_take(&rig, 1, 16);
	/* The two places after it, which the device left alone, are not taken for used ones. */
	rig_take_none(&rig);
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 5);
	rig_use(&rig, id[1], 32, slots[1]);
	rig_take(&rig, 2, 32);
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 8);
	CLAUSE("basic/packed/sg/R4");
	rig_fini(&rig);
}
END_TEST

START_TEST(laps_of_any_length)
{
	uint16_t size = (uint16_t)_i;
	struct rig rig;

	rig_init(&rig, size, 0, PACKED(VIRTQ_F_VERSION_1));
	for (unsigned round = 0; round < 500; round++) {
		uint16_t id[9], slots[9], left = size, count = 0;

		while (left > 0) {
			uint16_t n = (uint16_t)(1 + (round + count) % left);

			rig_add(&rig, 0, n, 100 + count++);
			left = (uint16_t)(left - n);
		}
		ck_assert_uint_eq(virtq_drv_free(rig.drv), 0);
		virtq_drv_publish(rig.drv);
		for (uint16_t k = 0; k < count; k++)
			id[k] = rig_pop(&rig, &slots[k]);
		ck_assert(!rig_pop_ready(&rig));
		for (uint16_t k = 0; k < count; k++) {
			uint16_t at = round % 2 ? k : (uint16_t)(count - 1 - k);

			rig_use(&rig, id[at], 16, slots[at]);
			rig_take(&rig, 100u + at, 16);
			rig_take_none(&rig);
		}
	}
	rig_fini(&rig);
}
END_TEST

START_TEST(in_order_batches)
{
	struct virtq_done done[8];
	struct rig rig;

	rig_init(&rig, 11, 0, PACKED(VIRTQ_F_IN_ORDER));
	for (unsigned round = 0; round < 100; round++) {
		uint16_t id[4], slots[4];

		for (unsigned i = 0; i < 4; i++)
			rig_add(&rig, 1, i, i);
		virtq_drv_publish(rig.drv);
		for (unsigned i = 0; i < 4; i++)
			id[i] = rig_pop(&rig, &slots[i]);
		rig_use_batch(&rig, id[2], 5, 3, (uint16_t)(slots[0] + slots[1] + slots[2]));
		rig_take(&rig, 0, 0);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 1);
		rig_use_batch(&rig, id[3], 48, 1, slots[3]);
		ck_assert_int_eq(virtq_drv_take(rig.drv, done, 8), 3);
		ck_assert_uint_eq((uintptr_t)done[0].cookie, 1);
		ck_assert_uint_eq(done[0].written, 16); /* skipped: written whole */
		ck_assert_uint_eq((uintptr_t)done[1].cookie, 2);
		ck_assert_uint_eq(done[1].written, 5);
		ck_assert_uint_eq((uintptr_t)done[2].cookie, 3);
		ck_assert_uint_eq(done[2].written, 48);
		ck_assert_uint_eq(virtq_drv_free(rig.drv), 11);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	}
	rig_fini(&rig);
}
END_TEST

START_TEST(kicks_with_event_flags)
{
	struct rig rig;

	rig_init(&rig, 8, 0, PACKED(VIRTQ_F_VERSION_1));
	for (uint16_t flags = 0; flags < 4; flags++) {
		/* DESC and the reserved value without EVENT_IDX: rather one too many than one too few. */
		raw_device_event_set(&rig.ring, 5, flags);
		rig_add(&rig, 1, 0, 1);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_should_kick(rig.drv), flags != VIRTQ_EVENT_DISABLE);
	}
	rig_fini(&rig);
}
END_TEST

/* Every place of the event, every number of slots, from every place of the ring. */
START_TEST(kicks_with_event_idx)
{
	uint16_t size = 5, place = 0;
	unsigned asked = 0;
	int wrap = 1;
	struct rig rig;

	rig_init(&rig, size, 0, PACKED(VIRTQ_F_EVENT_IDX));
	for (unsigned round = 0; round < 5000; round++) {
		uint16_t n = (uint16_t)(1 + round % size), slots, id;
		uint16_t event = (uint16_t)(round / 5 % size);
		int event_wrap = round / 25 % 2, passed;
		/* Distance from here to the event, on a circle of two laps. */
		unsigned ahead =
			(event + (event_wrap != wrap ? size : 0u) + 2u * size - place) % (2u * size);

		passed = n == size || ahead < n;
		raw_device_event_set(&rig.ring, (uint16_t)(event | (event_wrap ? 0x8000 : 0)),
		                     VIRTQ_EVENT_DESC);
		rig_add(&rig, n, 0, 1);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_should_kick(rig.drv), passed);
		asked += (unsigned)passed;
		id = rig_pop(&rig, &slots);
		rig_use(&rig, id, 0, slots);
		rig_take(&rig, 1, 0);
		place = (uint16_t)(place + n);
		if (place >= size) {
			place = (uint16_t)(place - size);
			wrap = !wrap;
		}
		/* The data of a notification: where the next descriptor will be, and in which lap. */
		ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 3),
		                  (uint32_t)(place | (wrap ? 0x8000u : 0)) << 16 | 3);
	}
	CLAUSE("basic/packed/desc-table/R3");
	ck_assert_uint_gt(asked, 1000);
	ck_assert_uint_lt(asked, 4500);
	rig_fini(&rig);
}
END_TEST

/* Data points behind what is shown, not behind what was only added. Asking for it twice is fine. */
START_TEST(notification_data_is_of_what_is_shown)
{
	struct rig rig;

	rig_init(&rig, 4, 0, PACKED(VIRTQ_F_NOTIFICATION_DATA));
	ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 0), 0x80000000);
	rig_add(&rig, 3, 0, 1);
	ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 0), 0x80000000);
	virtq_drv_publish(rig.drv);
	ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 0), 0x80030000);
	ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 0), 0x80030000);
	rig_add(&rig, 1, 0, 1);
	virtq_drv_publish(rig.drv);
	ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 1), 0x00000001);
	rig_fini(&rig);
}
END_TEST

/* _i: with EVENT_IDX. */
START_TEST(arm_and_disarm)
{
	uint16_t place, flags, slots;
	struct rig rig;

	rig_init(&rig, 3, 0, PACKED(_i ? VIRTQ_F_EVENT_IDX : VIRTQ_F_VERSION_1));
	for (unsigned i = 0; i < 20; i++) {
		unsigned want = i % 3 | (i / 3 % 2 ? 0 : 0x8000);

		virtq_drv_disarm(rig.drv);
		raw_driver_event_get(&rig.ring, &place, &flags);
		ck_assert_uint_eq(flags, VIRTQ_EVENT_DISABLE);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
		raw_driver_event_get(&rig.ring, &place, &flags);
		ck_assert_uint_eq(flags, _i ? VIRTQ_EVENT_DESC : VIRTQ_EVENT_ENABLE);
		ck_assert_uint_eq(place, _i ? want : 0);
		rig_add(&rig, 0, 1, i);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
		rig_use(&rig, rig_pop(&rig, &slots), 1, 1);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 1);
		rig_take(&rig, i, 1);
	}
	rig_fini(&rig);
}
END_TEST

TCase *driver_packed_case(void)
{
	TCase *tc = tcase_create("packed");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_list_in_the_ring);
	tcase_add_test(tc, the_head_is_shown_last);
	tcase_add_test(tc, available_descriptors_are_left_alone);
	tcase_add_test(tc, length_of_a_buffer_that_was_only_read);
	tcase_add_test(tc, an_indirect_table);
	tcase_add_test(tc, lists_have_their_limits);
	tcase_add_test(tc, a_list_is_used_by_one_descriptor);
	tcase_add_loop_test(tc, laps_of_any_length, 1, 10);
	tcase_add_test(tc, in_order_batches);
	tcase_add_test(tc, kicks_with_event_flags);
	tcase_add_test(tc, kicks_with_event_idx);
	tcase_add_test(tc, notification_data_is_of_what_is_shown);
	tcase_add_loop_test(tc, arm_and_disarm, 0, 2);
	return tc;
}
