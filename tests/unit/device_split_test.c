/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the split ring, by what the standard asks of a device; the driver writes each field by hand. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "ring.h"

#define SIZE 8

static struct guest guest;
static struct ring ring;
static uint64_t buf;
static struct virtq_chain chain;

/* What stands in memory at the device's write barrier, before the index that the barrier protects. */
static struct seen {
	unsigned barriers;
	uint16_t idx;
	uint32_t id, len;
	uint8_t data;
} seen;

static void look(void *ctx)
{
	const struct ring *r = ctx;

	seen.barriers++;
	seen.idx = raw_used_idx(r);
	raw_used(r, seen.idx, &seen.id, &seen.len);
	seen.data = *(uint8_t *)guest_at(&guest, buf, 1);
}

static const struct virtq_platform platform = {
	.size = sizeof(platform), .write_barrier = look, .ctx = &ring};

static void set_up(int event_idx)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};
	struct virtq_dev_config dev = {.size = sizeof(dev), .platform = &platform};

	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (event_idx)
		virtq_features_set(&cfg.features, VIRTQ_F_EVENT_IDX);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, 4), 0);
	buf = guest_alloc_in(&guest, 0, 4096, 4096);
	seen = (struct seen){0};
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static int pop(void)
{
	return virtq_dev_pop(&ring.dev, &chain, 1, ring.iov, ring.niov);
}

static void use(uint32_t written)
{
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chain, &written, 1), 0);
	virtq_dev_publish(&ring.dev);
}

/* One writable buffer, all the way; returns whether the driver is to be notified. */
static int one_request(uint16_t head)
{
	raw_desc(&ring, head, buf, 64, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, head);
	ck_assert_int_eq(pop(), 1);
	use(1);
	return virtq_dev_should_interrupt(&ring.dev);
}

START_TEST(used_entry_comes_before_the_index)
{
	uint32_t id, len;

	set_up(0);
	raw_desc(&ring, 3, buf, 64, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 3);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(chain.nwrite, 1);
	memset(chain.iov[0].base, 0x5a, 64); /* more than is reported below */
	use(16);
	ck_assert_uint_ge(seen.barriers, 1);
	CLAUSE("basic/virtqueues/used-ring/D1");
	ck_assert_uint_eq(seen.idx, 0);
	ck_assert_uint_eq(seen.id, 3);
	ck_assert_uint_eq(seen.len, 16);
	CLAUSE("basic/virtqueues/used-ring/D2");
	ck_assert_uint_eq(seen.data, 0x5a);
	CLAUSE("basic/virtqueues/used-ring/D3");
	ck_assert_uint_eq(raw_used_idx(&ring), 1);
	raw_used(&ring, 0, &id, &len);
	ck_assert_uint_eq(len, 16);
	ck_assert_uint_eq(((uint8_t *)guest_at(&guest, buf, 64))[63], 0x5a);
	tear_down();
}
END_TEST

START_TEST(nothing_shows_before_publish)
{
	uint32_t written = 4;

	set_up(0);
	raw_desc(&ring, 0, buf, 64, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 0);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chain, &written, 1), 0);
	ck_assert_uint_eq(raw_used_idx(&ring), 0);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(raw_used_idx(&ring), 1);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	tear_down();
}
END_TEST

START_TEST(descriptors_and_readable_buffers_stay)
{
	uint8_t table[SIZE * 16], *data;

	set_up(0);
	data = guest_at(&guest, buf, 128);
	memset(data, 0x11, 128);
	raw_desc(&ring, 0, buf, 64, VIRTQ_DESC_NEXT, 1);
	raw_desc(&ring, 1, buf + 64, 64, VIRTQ_DESC_WRITE, 0);
	memcpy(table, ring.desc, sizeof(table));
	raw_offer(&ring, 0);
	ck_assert_int_eq(pop(), 1);
	/* A model sees the readable part as readable, and nothing of it in the writable part. */
	ck_assert_uint_eq(chain.nread, 1);
	ck_assert_uint_eq(chain.nwrite, 1);
	ck_assert_ptr_eq(chain.iov[0].base, data);
	ck_assert_ptr_eq(chain.iov[1].base, data + 64);
	memset(chain.iov[1].base, 0x22, chain.iov[1].len);
	use(64);
	CLAUSE("basic/virtqueues/desc-table/D1a");
	for (int i = 0; i < 64; i++)
		ck_assert_uint_eq(data[i], 0x11);
	CLAUSE("basic/virtqueues/desc-table/D2");
	ck_assert_int_eq(memcmp(table, ring.desc, sizeof(table)), 0);
	tear_down();
}
END_TEST

START_TEST(tables_after_direct_descriptors)
{
	uint64_t table;

	set_up(0);
	table = guest_alloc_in(&guest, 0, 64, 16);
	raw_table(&ring, table, 0, buf + 16, 16, VIRTQ_DESC_NEXT, 1);
	raw_table(&ring, table, 1, buf + 32, 16, VIRTQ_DESC_WRITE, 0);
	raw_desc(&ring, 0, buf, 16, VIRTQ_DESC_NEXT, 1);
	/* WRITE on the descriptor that points at the table means nothing: its first entry is readable all the same. */
	raw_desc(&ring, 1, table, 32, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 0);
	ck_assert_int_eq(pop(), 1);
	CLAUSE("basic/virtqueues/desc-table/indirect/D1");
	CLAUSE("basic/virtqueues/desc-table/indirect/D2");
	ck_assert_uint_eq(chain.nread, 2);
	ck_assert_uint_eq(chain.nwrite, 1);
	ck_assert_uint_eq(chain.read_bytes, 32);
	ck_assert_uint_eq(chain.write_bytes, 16);
	use(0);
	tear_down();
}
END_TEST

START_TEST(a_chain_has_a_longest_length)
{
	struct virtq_fault fault;

	set_up(0);
	for (uint16_t i = 0; i < SIZE; i++)
		raw_desc(&ring, i, buf, 16, i + 1 < SIZE ? VIRTQ_DESC_NEXT : 0, (uint16_t)(i + 1));
	raw_offer(&ring, 0);
	ck_assert_int_eq(pop(), 1); /* the whole ring is not too long */
	use(0);
	raw_desc(&ring, SIZE - 1, buf, 16, VIRTQ_DESC_NEXT, 0);
	raw_offer(&ring, 0);
	CLAUSE("basic/message-framing/D2");
	ck_assert_int_eq(pop(), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_TOO_MANY);
	tear_down();
}
END_TEST

START_TEST(interrupts_by_flags)
{
	set_up(0);
	raw_avail_flags(&ring, 0);
	CLAUSE("basic/virtqueues/used-notif/D3");
	ck_assert_int_eq(one_request(0), 1);
	/* An event index far away says nothing without EVENT_IDX. */
	raw_used_event(&ring, 1000);
	CLAUSE("basic/virtqueues/used-notif/D1");
	ck_assert_int_eq(one_request(1), 1);
	raw_avail_flags(&ring, VIRTQ_AVAIL_NO_INTERRUPT);
	raw_used_event(&ring, raw_used_idx(&ring));
	CLAUSE("basic/virtqueues/used-notif/D2");
	ck_assert_int_eq(one_request(2), 0);
	tear_down();
}
END_TEST

START_TEST(interrupts_by_index)
{
	set_up(1);
	raw_avail_flags(&ring, VIRTQ_AVAIL_NO_INTERRUPT);
	for (uint32_t i = 0; i < 70000; i++) { /* once around 2^16 */
		uint16_t now = raw_used_idx(&ring);

		raw_used_event(&ring, now);
		if (i == 0) {
			CLAUSE("basic/virtqueues/used-notif/D4");
			CLAUSE("basic/virtqueues/used-notif/D5");
		}
		ck_assert_int_eq(one_request((uint16_t)(i % SIZE)), 1);
		raw_used_event(&ring, (uint16_t)(now + 3));
		if (i == 0)
			CLAUSE("basic/virtqueues/used-notif/D6");
		ck_assert_int_eq(one_request((uint16_t)(i % SIZE)), 0);
	}
	tear_down();
}
END_TEST

START_TEST(kicks_by_flags)
{
	set_up(0);
	virtq_dev_disarm(&ring.dev);
	CLAUSE("basic/virtqueues/avail-notif/D1");
	CLAUSE("basic/virtqueues/avail-notif/D2");
	CLAUSE("split/notifying-the-device/N1");
	ck_assert_uint_eq(raw_used_flags(&ring), VIRTQ_USED_NO_NOTIFY);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	ck_assert_uint_eq(raw_used_flags(&ring), 0);
	/* A kick with nothing behind it. */
	CLAUSE("basic/virtqueues/avail-notif/D5");
	ck_assert_int_eq(pop(), 0);
	raw_desc(&ring, 0, buf, 16, 0, 0);
	raw_offer(&ring, 0);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1); /* it came before the question */
	ck_assert_int_eq(pop(), 1);
	use(0);
	tear_down();
}
END_TEST

START_TEST(kicks_by_index)
{
	set_up(1);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	CLAUSE("basic/virtqueues/avail-notif/D4");
	ck_assert_uint_eq(raw_avail_event(&ring), 0);
	ck_assert_int_eq(one_request(0), 1);
	virtq_dev_disarm(&ring.dev);
	CLAUSE("basic/virtqueues/avail-notif/D3");
	ck_assert_uint_eq(raw_used_flags(&ring), 0);
	ck_assert_uint_eq(raw_avail_event(&ring), 0); /* not moved on: passed already, so silent */
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	ck_assert_uint_eq(raw_avail_event(&ring), 1);
	ck_assert_uint_eq(raw_used_flags(&ring), 0);
	tear_down();
}
END_TEST

START_TEST(misuse_changes_nothing)
{
	struct virtq_chain twice[2];
	uint32_t written[2] = {0, 0}, much = 65;
	struct virtq_state state;

	set_up(0);
	raw_desc(&ring, 5, buf, 64, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 5);
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, &chain, 1, ring.iov, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(pop(), 1);
	twice[0] = twice[1] = chain;
	ck_assert_int_eq(virtq_dev_push(&ring.dev, twice, written, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chain, &much, 1), VIRTQ_EINVAL);
	twice[1].id = 6;
	ck_assert_int_eq(virtq_dev_push(&ring.dev, twice, written, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, &twice[1], 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, &twice[1], 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), VIRTQ_EBUSY);
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &state), VIRTQ_EBUSY);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, &chain, 1), 0);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(chain.id, 5);
	use(64);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chain, written, 1),
	                 VIRTQ_EINVAL); /* not out any more */
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &state), 0);
	ck_assert_uint_eq(state.avail, 1);
	ck_assert_uint_eq(state.used, 1);
	tear_down();
}
END_TEST

START_TEST(a_broken_queue_gives_back_and_shows_nothing)
{
	struct virtq_fault fault;
	uint32_t written = 0;

	set_up(0);
	raw_desc(&ring, 0, buf, 64, VIRTQ_DESC_WRITE, 0);
	raw_offer(&ring, 0);
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, NULL), 0);
	virtq_dev_break(&ring.dev, 0);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_DEVICE);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chain, &written, 1), VIRTQ_EBROKEN);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(raw_used_idx(&ring), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	ck_assert_int_eq(pop(), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EBROKEN);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("device_split");
	TCase *tc = tcase_create("split");

	tcase_add_test(tc, used_entry_comes_before_the_index);
	tcase_add_test(tc, nothing_shows_before_publish);
	tcase_add_test(tc, descriptors_and_readable_buffers_stay);
	tcase_add_test(tc, tables_after_direct_descriptors);
	tcase_add_test(tc, a_chain_has_a_longest_length);
	tcase_add_test(tc, interrupts_by_flags);
	tcase_add_test(tc, interrupts_by_index);
	tcase_add_test(tc, kicks_by_flags);
	tcase_add_test(tc, kicks_by_index);
	tcase_add_test(tc, misuse_changes_nothing);
	tcase_add_test(tc, a_broken_queue_gives_back_and_shows_nothing);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
