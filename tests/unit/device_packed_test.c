/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the packed ring, by what the standard asks of a device; the driver writes each field by hand. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "ring.h"

#define SIZE 7 /* no power of two: places wrap by compare */

static struct guest guest;
static struct ring ring;
static uint64_t buf;

static void set_up(void)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(3, VIRTQ_F_VERSION_1, VIRTQ_F_RING_PACKED, VIRTQ_F_INDIRECT_DESC);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, SIZE), 0);
	buf = guest_alloc_in(&guest, 0, 4096, 4096);
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static int pop(struct virtq_chain *c, uint32_t n)
{
	return virtq_dev_pop(&ring.dev, c, n, ring.iov, ring.niov);
}

static void use(const struct virtq_chain *c, uint32_t written)
{
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, &written, 1), 0);
	virtq_dev_publish(&ring.dev);
}

START_TEST(begins_in_ring_order_and_ends_in_completion_order)
{
	struct virtq_chain c[3];

	set_up();
	for (uint32_t lap = 0; lap < 3 * SIZE; lap++) {
		int wrap = ring.raw_wrap;
		uint16_t first = ring.raw_avail, ids[3] = {4, 0, 2};

		for (unsigned i = 0; i < 3; i++)
			raw_packed_offer(&ring, buf + 64 * i, 64, ids[i], VIRTQ_DESC_WRITE);
		ck_assert_int_eq(pop(c, 3), 3);
		CLAUSE("basic/packed/D1");
		for (unsigned i = 0; i < 3; i++)
			ck_assert_uint_eq(c[i].id, ids[i]);
		/* The last is done first: it takes the first place. */
		use(&c[2], 8);
		CLAUSE("basic/packed/D2");
		ck_assert_uint_eq(raw_packed_get(&ring, first).id, ids[2]);
		ck_assert_uint_eq(raw_packed_get(&ring, first).len, 8);
		ck_assert_uint_eq(raw_packed_get(&ring, first).flags & packed_used(1), packed_used(wrap));
		use(&c[0], 1);
		use(&c[1], 2);
	}
	tear_down();
}
END_TEST

START_TEST(a_descriptor_counts_once_its_flag_turns)
{
	struct virtq_chain c;

	set_up();
	/* All of it is there but for the flag, which is that of the lap before. */
	raw_packed(&ring, 0, buf, 16, 0, packed_avail(0));
	CLAUSE("basic/packed/desc-table/D2");
	ck_assert_int_eq(pop(&c, 1), 0);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	raw_packed(&ring, 0, buf, 16, 0, packed_avail(1));
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1);
	ck_assert_int_eq(pop(&c, 1), 1);
	use(&c, 0);
	/* Used: the flags are not those of an available one in either lap; nothing is read or written there again. */
	raw_packed(&ring, 1, buf, 16, 1, packed_used(1));
	ck_assert_int_eq(pop(&c, 1), 0);
	tear_down();
}
END_TEST

START_TEST(a_used_descriptor_is_left_alone)
{
	struct virtq_packed_desc mark;
	struct virtq_chain c;

	set_up();
	raw_packed_offer(&ring, buf, 16, 3, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(&c, 1), 1);
	use(&c, 16);
	/* What the driver writes there now stays, whatever the device does with the next one. */
	raw_packed(&ring, 0, 0x1234, 0x55, 6, 0);
	mark = raw_packed_get(&ring, 0);
	raw_packed_offer(&ring, buf, 16, 4, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(&c, 1), 1);
	use(&c, 16);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	CLAUSE("basic/packed/desc-table/D3");
	ck_assert_uint_eq(raw_packed_get(&ring, 0).addr, mark.addr);
	ck_assert_uint_eq(raw_packed_get(&ring, 0).len, mark.len);
	ck_assert_uint_eq(raw_packed_get(&ring, 0).id, mark.id);
	ck_assert_uint_eq(raw_packed_get(&ring, 0).flags, mark.flags);
	tear_down();
}
END_TEST

START_TEST(lists_keep_their_order)
{
	struct virtq_chain c;
	uint8_t *data;

	set_up();
	data = guest_at(&guest, buf, 256);
	memset(data, 0x11, 256);
	raw_packed_offer(&ring, buf + 128, 16, 9, VIRTQ_DESC_NEXT); /* its id means nothing */
	raw_packed_offer(&ring, buf, 32, 9, VIRTQ_DESC_NEXT);
	raw_packed_offer(&ring, buf + 64, 64, 5, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(&c, 1), 1);
	CLAUSE("basic/packed/sg/D1");
	ck_assert_uint_eq(c.nread, 2);
	ck_assert_ptr_eq(c.iov[0].base, data + 128);
	ck_assert_ptr_eq(c.iov[1].base, data);
	ck_assert_ptr_eq(c.iov[2].base, data + 64);
	ck_assert_uint_eq(c.id, 5);
	memset(c.iov[2].base, 0x22, c.iov[2].len);
	use(&c, 64);
	CLAUSE("basic/packed/desc-table/D1a");
	for (int i = 0; i < 64; i++)
		ck_assert_uint_eq(data[i], 0x11);
	/* One used descriptor for the list; the place after its three is next. */
	ck_assert_uint_eq(raw_packed_get(&ring, 0).id, 5);
	raw_packed_offer(&ring, buf, 16, 0, 0);
	ck_assert_int_eq(pop(&c, 1), 1);
	use(&c, 0);
	ck_assert_uint_eq(raw_packed_get(&ring, 3).flags & packed_used(1), packed_used(1));
	tear_down();
}
END_TEST

START_TEST(a_list_has_a_longest_length)
{
	struct virtq_chain c;

	set_up();
	for (uint16_t i = 0; i < SIZE; i++)
		raw_packed_offer(&ring, buf, 16, 1, i + 1 < SIZE ? VIRTQ_DESC_NEXT : 0);
	ck_assert_int_eq(pop(&c, 1), 1); /* the whole ring is not too long */
	use(&c, 0);
	for (uint16_t i = 0; i < SIZE; i++)
		raw_packed_offer(&ring, buf, 16, 1, VIRTQ_DESC_NEXT);
	CLAUSE("basic/packed/sg/D2");
	ck_assert_int_eq(pop(&c, 1), VIRTQ_EBROKEN);
	tear_down();
}
END_TEST

START_TEST(kicks_by_the_device_area)
{
	uint16_t place, flags;

	set_up();
	virtq_dev_disarm(&ring.dev);
	raw_device_event(&ring, &place, &flags);
	CLAUSE("packed/sending-available-buffer-notifications/N1");
	ck_assert_uint_eq(flags, VIRTQ_EVENT_DISABLE);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	raw_device_event(&ring, &place, &flags);
	ck_assert_uint_eq(flags, VIRTQ_EVENT_ENABLE);
	tear_down();
}
END_TEST

START_TEST(used_descriptors_show_together)
{
	struct virtq_chain c[2];
	uint32_t written[2] = {3, 0};

	set_up();
	raw_packed_offer(&ring, buf, 16, 0, VIRTQ_DESC_WRITE);
	raw_packed_offer(&ring, buf, 16, 1, 0);
	ck_assert_int_eq(pop(c, 2), 2);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, written, 2), 0);
	ck_assert_uint_ne(raw_packed_get(&ring, 0).flags & packed_used(1), packed_used(1));
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(raw_packed_get(&ring, 0).flags, packed_used(1) | VIRTQ_DESC_WRITE);
	ck_assert_uint_eq(raw_packed_get(&ring, 1).flags, packed_used(1));
	tear_down();
}
END_TEST

/* Whatever is wrong with one of them: what is before it in the burst is as it was, and so is the ring. */
START_TEST(a_refused_burst_leaves_the_ring)
{
	uint8_t before[SIZE * VIRTQ_DESC_BYTES];
	struct virtq_chain c[4], again[3];
	uint32_t written[3] = {16, 16, 0};

	set_up();
	for (uint16_t i = 0; i < 4; i++)
		raw_packed_offer(&ring, buf + 64 * i, 16, i, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(c, 4), 4);
	memcpy(before, ring.desc, sizeof(before));
	for (int held = 0; held < 2; held++) {
		struct virtq_chain bad[3] = {c[1], c[2], c[3]};

		written[2] = 17; /* more than it has room for */
		ck_assert_int_eq(virtq_dev_push(&ring.dev, bad, written, 3), VIRTQ_EINVAL);
		ck_assert_mem_eq(ring.desc, before, sizeof(before));
		written[2] = 16;
		bad[2] = c[1]; /* twice */
		ck_assert_int_eq(virtq_dev_push(&ring.dev, bad, written, 3), VIRTQ_EINVAL);
		bad[2].id = 5; /* not out */
		ck_assert_int_eq(virtq_dev_push(&ring.dev, bad, written, 3), VIRTQ_EINVAL);
		bad[2].id = SIZE;
		ck_assert_int_eq(virtq_dev_push(&ring.dev, bad, written, 3), VIRTQ_EINVAL);
		bad[2] = c[3];
		bad[2].more = 1;
		bad[2].id = 6;
		ck_assert_int_eq(virtq_dev_push(&ring.dev, bad, written, 3), VIRTQ_EINVAL);
		ck_assert_mem_eq(ring.desc, before, sizeof(before));
		ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 4 - (unsigned)held);
		/* Once more, with one that was pushed and not yet shown. */
		if (!held)
			ck_assert_int_eq(virtq_dev_push(&ring.dev, c, written, 1), 0);
		memcpy(before, ring.desc, sizeof(before));
	}
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, &c[1], 3), 0);
	ck_assert_int_eq(pop(again, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(again[i].id, i + 1);
		ck_assert_uint_eq(again[i].write_bytes, 16);
	}
	ck_assert_int_eq(virtq_dev_push(&ring.dev, again, written, 3), 0);
	virtq_dev_publish(&ring.dev);
	for (uint16_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(raw_packed_get(&ring, i).id, i);
		ck_assert_uint_eq(raw_packed_get(&ring, i).flags, packed_used(1) | VIRTQ_DESC_WRITE);
	}
	tear_down();
}
END_TEST

/* Lists and single descriptors in one burst, over the end of the ring. */
START_TEST(a_burst_may_be_mixed)
{
	set_up();
	for (uint32_t lap = 0; lap < 4 * SIZE; lap++) {
		const int lap_wrap = ring.raw_wrap;
		const uint16_t first = ring.raw_avail, places[4] = {1, 1, 2, 1};
		struct virtq_chain c[4];
		uint32_t written[4] = {0, 1, 2, 3};

		for (uint16_t i = 0; i < 4; i++) {
			if (places[i] > 1)
				raw_packed_offer(&ring, buf, 16, i, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
			raw_packed_offer(&ring, buf, 16, i, VIRTQ_DESC_WRITE);
		}
		ck_assert_int_eq(pop(c, 4), 4);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, c, written, 4), 0);
		virtq_dev_publish(&ring.dev);
		for (uint16_t i = 0, at = first; i < 4; at = (uint16_t)((at + places[i++]) % SIZE)) {
			struct virtq_packed_desc d = raw_packed_get(&ring, at);
			int wrap = at >= first ? lap_wrap : !lap_wrap;

			ck_assert_uint_eq(d.id, i);
			ck_assert_uint_eq(d.len, i);
			ck_assert_uint_eq(d.flags, packed_used(wrap) | (i > 0 ? VIRTQ_DESC_WRITE : 0));
		}
		ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	}
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("device_packed");
	TCase *tc = tcase_create("packed");

	tcase_add_test(tc, begins_in_ring_order_and_ends_in_completion_order);
	tcase_add_test(tc, a_descriptor_counts_once_its_flag_turns);
	tcase_add_test(tc, a_used_descriptor_is_left_alone);
	tcase_add_test(tc, lists_keep_their_order);
	tcase_add_test(tc, a_list_has_a_longest_length);
	tcase_add_test(tc, kicks_by_the_device_area);
	tcase_add_test(tc, used_descriptors_show_together);
	tcase_add_test(tc, a_refused_burst_leaves_the_ring);
	tcase_add_test(tc, a_burst_may_be_mixed);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
