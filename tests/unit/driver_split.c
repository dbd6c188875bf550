/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side, split ring: what lies in memory, notifications, IN_ORDER, wrap. */
#include "driver_test.h"

#include <string.h>

static struct virtq_split_desc desc_get(const uint8_t *table, uint16_t i)
{
	struct virtq_split_desc d;

	memcpy(&d, table + 16 * (size_t)i, sizeof(d)); /* tests run on little-endian machines */
	return d;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint16_t avail_flags(const struct rig *rig)
{
	return get16(rig->ring.driver);
}

static uint16_t avail_idx(const struct rig *rig)
{
	return get16(rig->ring.driver + 2);
}

static uint16_t used_event(const struct rig *rig)
{
	return get16(rig->ring.driver + 4 + 2 * (size_t)rig->ring.size);
}

START_TEST(a_chain_in_the_table)
{
	struct virtq_seg seg[4] = {{0x1000, 1}, {0x2000, 0}, {0x3000, 3}, {0x4000, 0xffff0000}};
	struct virtq_split_desc d;
	uint16_t slots, i;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_INDIRECT_DESC));
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 2, NULL), 0);
	virtq_drv_publish(rig.drv);
	i = rig_pop(&rig, &slots);
	for (unsigned k = 0; k < 4; k++, i = d.next) {
		d = desc_get(rig.ring.desc, i);
		ck_assert_uint_eq(d.addr, seg[k].addr);
		ck_assert_uint_eq(d.len, seg[k].len);
		ck_assert_uint_eq(d.flags, (k < 3 ? VIRTQ_DESC_NEXT : 0) | (k >= 2 ? VIRTQ_DESC_WRITE : 0));
	}
	CLAUSE("basic/message-framing/R1");
	rig_fini(&rig);
}
END_TEST

/* Several pieces go into a table of their own; _i: with IN_ORDER. */
START_TEST(an_indirect_table)
{
	struct virtq_seg seg[5];
	struct virtq_split_desc d;
	const uint8_t *table;
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 4, 6,
	         FEATURES(VIRTQ_F_INDIRECT_DESC, _i ? VIRTQ_F_IN_ORDER : VIRTQ_F_VERSION_1));
	for (unsigned k = 0; k < 5; k++)
		seg[k] = (struct virtq_seg){0x1000 * k, k};
	rig_add(&rig, 1, 0, 1);
	/* A table could hold 5, but no chain is longer than the queue. */
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 3, 2, NULL), VIRTQ_EINVAL);
	CLAUSE("basic/virtqueues/desc-table/indirect/R3");
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 2, NULL), 0);
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 2);
	virtq_drv_publish(rig.drv);
	d = desc_get(rig.ring.desc, rig_pop(&rig, &slots));
	ck_assert_uint_eq(d.flags, 0); /* one piece needs no table */
	d = desc_get(rig.ring.desc, rig_pop(&rig, &slots));
	ck_assert_uint_eq(d.flags, VIRTQ_DESC_INDIRECT);
	CLAUSE("basic/virtqueues/desc-table/indirect/R4");
	ck_assert_uint_eq(d.len, 4 * 16);
	table = guest_at(&rig.guest, d.addr, d.len);
	for (uint16_t k = 0; k < 4; k++) {
		d = desc_get(table, k);
		ck_assert_uint_eq(d.addr, seg[k].addr);
		ck_assert_uint_eq(d.len, seg[k].len);
		ck_assert_uint_eq(d.flags, (k < 3 ? VIRTQ_DESC_NEXT : 0) | (k >= 2 ? VIRTQ_DESC_WRITE : 0));
		ck_assert_uint_eq(d.next, k < 3 ? k + 1u : 0);
	}
	CLAUSE("basic/virtqueues/desc-table/indirect/R2");
	if (_i)
		CLAUSE("basic/virtqueues/desc-table/indirect/R5");
	rig_fini(&rig);
}
END_TEST

START_TEST(tables_that_are_too_short_are_not_used)
{
	struct virtq_split_desc d;
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 2, FEATURES(VIRTQ_F_INDIRECT_DESC));
	rig_add(&rig, 1, 2, 1);
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 5);
	virtq_drv_publish(rig.drv);
	d = desc_get(rig.ring.desc, rig_pop(&rig, &slots));
	ck_assert_uint_eq(d.flags, VIRTQ_DESC_NEXT);
	rig_fini(&rig);
}
END_TEST

/* With IN_ORDER descriptors are taken in turn, so that each next is the one after, modulo the size. */
START_TEST(in_order_descriptors_are_sequential)
{
	struct virtq_split_desc d;
	uint16_t slots, at = 0;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_IN_ORDER));
	for (unsigned round = 0; round < 50; round++) {
		uint32_t n = 1 + round * 5 % 8;
		uint16_t head;

		rig_add(&rig, n, 0, round);
		virtq_drv_publish(rig.drv);
		head = rig_pop(&rig, &slots);
		ck_assert_uint_eq(head, at);
		for (uint32_t k = 1; k < n; k++) {
			d = desc_get(rig.ring.desc, at);
			ck_assert_uint_eq(d.next, at == 7 ? 0 : at + 1u);
			at = d.next;
		}
		at = (uint16_t)((at + 1) % 8);
		rig_use(&rig, head, 0, 1);
		rig_take(&rig, round, 0);
	}
	CLAUSE("basic/virtqueues/desc-table/R2");
	rig_fini(&rig);
}
END_TEST

START_TEST(in_order_batches)
{
	struct virtq_done done[8];
	uint16_t id[6], slots;
	struct rig rig;

	rig_init(&rig, 16, 0, FEATURES(VIRTQ_F_IN_ORDER));
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 6; i++)
			rig_add(&rig, 1, i % 3, i);
		virtq_drv_publish(rig.drv);
		for (unsigned i = 0; i < 6; i++)
			id[i] = rig_pop(&rig, &slots);
		rig_use_batch(&rig, id[2], 5, 3, 0);
		rig_take(&rig, 0, 0); /* a batch can be taken in parts */
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 1);
		rig_use_batch(&rig, id[3], 0, 1, 0);
		rig_use_batch(&rig, id[5], 17, 2, 0);
		ck_assert_int_eq(virtq_drv_take(rig.drv, done, 8), 5);
		for (unsigned i = 0; i < 5; i++)
			ck_assert_uint_eq((uintptr_t)done[i].cookie, i + 1);
		/* The skipped ones count as written whole, the last of each batch as the entry says. */
		ck_assert_uint_eq(done[0].written, 16);
		ck_assert_uint_eq(done[1].written, 5);
		ck_assert_uint_eq(done[2].written, 0);
		ck_assert_uint_eq(done[3].written, 16);
		ck_assert_uint_eq(done[4].written, 17);
		ck_assert_uint_eq(virtq_drv_free(rig.drv), 16);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	}
	rig_fini(&rig);
}
END_TEST

START_TEST(in_order_index_behind_its_batch_breaks)
{
	struct virtq_done done[4];
	uint16_t slots, id = 0;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_IN_ORDER));
	for (unsigned i = 0; i < 3; i++)
		rig_add(&rig, 1, 1, i);
	virtq_drv_publish(rig.drv);
	for (unsigned i = 0; i < 3; i++)
		id = rig_pop(&rig, &slots);
	rig_use_batch(&rig, id, 0, 2, 0); /* names the third, counts two */
	ck_assert_int_ge(virtq_drv_take(rig.drv, done, 4), 0);
	ck_assert_int_eq(virtq_drv_take(rig.drv, done, 4), VIRTQ_EBROKEN);
	rig_fini(&rig);
}
END_TEST

START_TEST(kicks_without_event_idx)
{
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_VERSION_1));
	for (unsigned event = 0; event < 3; event++) {
		raw_avail_event_set(&rig.ring, (uint16_t)(event * 0x7000)); /* means nothing */
		raw_used_flags_set(&rig.ring, 0);
		rig_add(&rig, 1, 0, 1);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 1);
		CLAUSE("basic/virtqueues/avail-notif/R4");
		raw_used_flags_set(&rig.ring, VIRTQ_USED_NO_NOTIFY);
		rig_add(&rig, 1, 0, 1);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0);
		CLAUSE("basic/virtqueues/avail-notif/R3");
	}
	CLAUSE("basic/virtqueues/avail-notif/R2");
	rig_fini(&rig);
}
END_TEST

/* Every distance between the event and the entries shown, and the place where indices wrap. */
START_TEST(kicks_with_event_idx)
{
	uint16_t at = 0, slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_EVENT_IDX));
	raw_used_flags_set(&rig.ring, VIRTQ_USED_NO_NOTIFY); /* means nothing */
	for (unsigned round = 0; round < 40000; round++) {
		uint16_t n = (uint16_t)(1 + round % 4);
		uint16_t event = (uint16_t)(at + round / 4 % 12 - 4);
		int passed = (uint16_t)(event - at) < n;

		raw_avail_event_set(&rig.ring, event);
		for (uint16_t i = 0; i < n; i++)
			rig_add(&rig, 1, 0, i);
		virtq_drv_publish(rig.drv);
		ck_assert_int_eq(virtq_drv_should_kick(rig.drv), passed);
		for (uint16_t i = 0; i < n; i++) {
			rig_use(&rig, rig_pop(&rig, &slots), 0, 1);
			rig_take(&rig, i, 0);
		}
		at = (uint16_t)(at + n);
		ck_assert_uint_eq(avail_idx(&rig), at);
	}
	CLAUSE("basic/virtqueues/avail-notif/R5");
	CLAUSE("basic/virtqueues/avail-notif/R6");
	CLAUSE("basic/virtqueues/avail-notif/R7");
	rig_fini(&rig);
}
END_TEST

/* Who publishes 2^16 entries and more without asking passes any event. */
START_TEST(kicks_that_were_not_asked_for_long)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 1, 0, FEATURES(VIRTQ_F_EVENT_IDX));
	for (unsigned i = 0; i < 70000; i++) {
		rig_add(&rig, 1, 0, 1);
		virtq_drv_publish(rig.drv);
		rig_use(&rig, rig_pop(&rig, &slots), 0, 1);
		rig_take(&rig, 1, 0);
	}
	ck_assert_uint_le(rig.drv->unkicked, 0x10000); /* it can not wrap */
	raw_avail_event_set(&rig.ring, (uint16_t)(70000 - 65536 + 10));
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 1);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(arm_without_event_idx)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_VERSION_1));
	ck_assert_uint_eq(avail_flags(&rig), 0);
	virtq_drv_disarm(rig.drv);
	ck_assert_uint_eq(avail_flags(&rig), VIRTQ_AVAIL_NO_INTERRUPT);
	CLAUSE("basic/virtqueues/used-notif/R2");
	ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	ck_assert_uint_eq(avail_flags(&rig), 0);
	CLAUSE("basic/virtqueues/used-notif/R1");
	rig_add(&rig, 1, 0, 1);
	virtq_drv_publish(rig.drv);
	ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	rig_use(&rig, rig_pop(&rig, &slots), 0, 1);
	ck_assert_int_eq(virtq_drv_arm(rig.drv), 1);
	rig_take(&rig, 1, 0);
	ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(arm_with_event_idx)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(VIRTQ_F_EVENT_IDX));
	for (unsigned i = 0; i < 66000; i++) {
		virtq_drv_disarm(rig.drv);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
		ck_assert_uint_eq(used_event(&rig), (uint16_t)i);
		ck_assert_uint_eq(avail_flags(&rig), 0);
		rig_add(&rig, 1, 0, i);
		virtq_drv_publish(rig.drv);
		rig_use(&rig, rig_pop(&rig, &slots), 0, 1);
		ck_assert_int_eq(virtq_drv_arm(rig.drv), 1);
		rig_take(&rig, i, 0);
	}
	CLAUSE("basic/virtqueues/used-notif/R3");
	CLAUSE("basic/virtqueues/used-notif/R4");
	rig_fini(&rig);
}
END_TEST

START_TEST(notification_data)
{
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 2, 0, FEATURES(VIRTQ_F_NOTIFICATION_DATA));
	for (uint32_t i = 0; i < 66000; i++) {
		ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 7), i << 16 | 7);
		rig_add(&rig, 1, 0, i);
		ck_assert_uint_eq(virtq_drv_notify_data(rig.drv, 7), i << 16 | 7);
		virtq_drv_publish(rig.drv);
		rig_use(&rig, rig_pop(&rig, &slots), 0, 1);
		rig_take(&rig, i, 0);
	}
	rig_fini(&rig);
}
END_TEST

TCase *driver_split_case(void)
{
	TCase *tc = tcase_create("split");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_chain_in_the_table);
	tcase_add_loop_test(tc, an_indirect_table, 0, 2);
	tcase_add_test(tc, tables_that_are_too_short_are_not_used);
	tcase_add_test(tc, in_order_descriptors_are_sequential);
	tcase_add_test(tc, in_order_batches);
	tcase_add_test(tc, in_order_index_behind_its_batch_breaks);
	tcase_add_test(tc, kicks_without_event_idx);
	tcase_add_test(tc, kicks_with_event_idx);
	tcase_add_test(tc, kicks_that_were_not_asked_for_long);
	tcase_add_test(tc, arm_without_event_idx);
	tcase_add_test(tc, arm_with_event_idx);
	tcase_add_test(tc, notification_data);
	return tc;
}
