/* SPDX-License-Identifier: BSD-3-Clause */
/* The quick way for buffers: what it leaves to the usual one, what it refuses, what it marks. _i & 1: packed. */
#include <stdlib.h>
#include <string.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "dma_mem.h"
#include "ring_buffer_rig.h"

static struct virtq_dirty dirty;
static uintptr_t bits[8 * MIB / PAGE / (8 * sizeof(uintptr_t))];

/* How many used entries the driver sees. */
static unsigned shown(void)
{
	unsigned n = 0;

	if (!ring.packed)
		return raw_used_idx(&ring);
	while (n < SIZE && (raw_packed_get(&ring, (uint16_t)n).flags &
	                    (VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED)) == packed_used(1))
		n++;
	return n;
}

/* Two good buffers and then something else: those are taken, it is not, and pop is asked about it. */
static void stops_at(uint16_t id, uint64_t addr, uint32_t len, uint16_t flags, int reason)
{
	const uint32_t written[] = {1, 64};
	struct virtq_buffer b[SIZE];
	struct virtq_fault fault;
	struct virtq_chain c;

	raw_offer_one(&ring, 1, BUF, 64, RW);
	raw_offer_one(&ring, 3, BUF + 64, 64, RW);
	if (ring.packed || id < SIZE)
		raw_offer_one(&ring, id, addr, len, flags);
	else
		raw_offer(&ring, id); /* there is no such descriptor */
	raw_offer_one(&ring, 5, BUF, 64, RW);
	ck_assert_uint_eq(take(b, SIZE), 2);
	ck_assert_uint_eq(b[0].id, 1);
	ck_assert_uint_eq(b[1].id, 3);
	ck_assert_ptr_eq(b[1].base, guest_at(&guest, BUF + 64, 64));
	ck_assert_uint_eq(b[1].len, 64);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 2);
	ck_assert_uint_eq(take(b + 2, SIZE), 0);
	if (reason == VIRTQ_FAULT_DUPLICATE)
		ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 2, 1), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	virtq_dev_publish(&ring.dev);
	if (reason == 0) {
		ck_assert_uint_eq(shown(), 2);
		ck_assert_int_eq(pop(&c), 1);
		ck_assert_uint_eq(c.id, id);
		ck_assert_int_eq(virtq_dev_release(&ring.dev, &c, 1), 0);
		return;
	}
	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_int_eq(fault.reason, reason);
	ck_assert_uint_eq(fault.head, id);
	ck_assert_uint_eq(take(b, SIZE), 0);
}

/* What is no writable buffer in one piece of memory; reason 0: the usual way takes it. */
static const struct {
	uint16_t id;
	uint16_t flags;
	uint64_t addr;
	uint32_t len;
	int reason;
} others[] = {
	{1, RW, BUF, 64, VIRTQ_FAULT_DUPLICATE},
	{SIZE, RW, BUF, 64, VIRTQ_FAULT_HEAD},
	{0xffff, RW, BUF, 64, VIRTQ_FAULT_HEAD},
	{2, RW, 12 * MIB, 64, VIRTQ_FAULT_ADDRESS},
	{2, RW, MIB, 64, VIRTQ_FAULT_ADDRESS},
	{2, RW, MIB - 63, 64, VIRTQ_FAULT_ADDRESS},
	{2, RW, UINT64_MAX - 31, 64, VIRTQ_FAULT_ADDRESS},
	{2, RW, LOW, UINT32_MAX, VIRTQ_FAULT_ADDRESS},
	{2, RW, LOW + MIB, (uint32_t)MIB + 1, VIRTQ_FAULT_ADDRESS},
	{2, RW, ROM, 64, VIRTQ_FAULT_ADDRESS},
	{2, RW, BUF, 0, 0},
	{2, RW, LOW + MIB - 32, 64, 0}, /* over the border of two regions */
	{2, 0, BUF, 64, 0},
	{2, 0, ROM, 64, 0},
};

START_TEST(what_else_a_driver_may_offer)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
		stops_at(others[i].id, others[i].addr, others[i].len, others[i].flags, others[i].reason);
		tear_down();
	}
}
END_TEST

/* As much as there is: memory's last byte, and a whole region. */
START_TEST(as_long_as_memory)
{
	struct virtq_buffer b[3];

	set_up(_i, VIRTQ_F_EVENT_IDX);
	raw_offer_one(&ring, 0, MIB - 64, 64, RW);
	raw_offer_one(&ring, 1, LOW + MIB, (uint32_t)MIB, RW);
	raw_offer_one(&ring, 2, LOW, 1, RW);
	ck_assert_uint_eq(take(b, 3), 3);
	ck_assert_ptr_eq(b[0].base, guest_at(&guest, MIB - 64, 64));
	ck_assert_uint_eq(b[1].len, MIB);
	ck_assert_ptr_eq(b[1].base, guest_at(&guest, LOW + MIB, MIB));
	ck_assert_uint_eq(b[2].len, 1);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, 3), 0);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, 0), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	/* readable ones */
	ck_assert_uint_eq(virtq_dev_take(&ring.dev, b, 3, 0), 0);
	tear_down();
}
END_TEST

/* A chain of two, and a table, of the same direction. */
START_TEST(chains_of_several)
{
	struct virtq_buffer b[SIZE];
	const uint32_t none = 0;
	struct virtq_chain c;

	set_up(_i, VIRTQ_F_EVENT_IDX);
	raw_table(&ring, 0xa0000, 0, BUF, 64, RW, 0);
	if (ring.packed) {
		raw_packed_offer(&ring, BUF, 64, 1, RW | VIRTQ_DESC_NEXT);
		raw_packed_offer(&ring, BUF, 64, 1, RW);
		raw_packed_offer(&ring, 0xa0000, 16, 2, VIRTQ_DESC_INDIRECT);
	} else {
		raw_desc(&ring, 1, BUF, 64, RW | VIRTQ_DESC_NEXT, 7);
		raw_desc(&ring, 7, BUF, 64, RW, 0);
		raw_offer(&ring, 1);
		raw_desc(&ring, 2, 0xa0000, 16, VIRTQ_DESC_INDIRECT, 0);
		raw_offer(&ring, 2);
	}
	raw_offer_one(&ring, 3, BUF, 64, RW);
	for (uint16_t id = 1; id < 3; id++) {
		ck_assert_uint_eq(take(b, SIZE), 0);
		ck_assert_int_eq(pop(&c), 1);
		ck_assert_uint_eq(c.id, id);
		ck_assert_uint_eq(c.nwrite, 3u - id);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, &none, 1), 0);
	}
	ck_assert_uint_eq(take(b, SIZE), 1);
	ck_assert_uint_eq(b->id, 3);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, &none, 1, 1), 0);
	virtq_dev_publish(&ring.dev);
	tear_down();
}
END_TEST

/* What an embedder must not do is refused, and nothing is touched. */
START_TEST(misuse)
{
	struct virtq_buffer b[4], other;
	uint32_t written[4] = {1, 65, 1, 1};

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	for (uint16_t id = 0; id < 4; id++)
		raw_offer_one(&ring, id, BUF, 64, RW);
	ck_assert_uint_eq(take(b, 0), 0);
	ck_assert_uint_eq(take(b, 4), 4);
	/* too much written: those before it are used */
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 4, 1), VIRTQ_EINVAL);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 1);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 3);
	/* not out, or no such one */
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, 1), VIRTQ_EINVAL);
	other = (struct virtq_buffer){.base = b->base, .len = 64, .id = SIZE};
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &other, written, 1, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &other, written, 1, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, &other, 1), VIRTQ_EINVAL);
	other.id = 0x10001;
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &other, written, 1, 1), VIRTQ_EINVAL);
	/* one of several, or twice */
	b[0] = b[3];
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, 4), VIRTQ_EINVAL);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 3);
	b[0] = b[2];
	written[0] = written[1] = 64;
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b + 2, 2), 0);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b + 2, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b + 1, written, 1, 1), 0);
	ck_assert_uint_eq(take(b + 2, 2), 2);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b + 2, written, 2, 1), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b + 1, written, 3, 1), VIRTQ_EINVAL);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 4);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 0, 1), 0);
	tear_down();
}
END_TEST

static int is_marked(uint64_t gpa)
{
	return ((const uint8_t *)bits)[gpa / PAGE / 8] >> gpa / PAGE % 8 & 1;
}

static void log_on(void)
{
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(virtq_dirty_init(&dirty, 0, 12, bits, sizeof(bits) / sizeof(bits[0]), NULL),
	                 0);
	virtq_log_set(&log_switch, &dirty);
}

/* The log comes while buffers are out: all of each is marked, whatever was written, before the driver sees it. */
START_TEST(logging_turned_on)
{
	const uint32_t written[3] = {1, 3 * PAGE, 0};
	struct virtq_buffer b[3];

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	for (uint16_t id = 0; id < 3; id++)
		raw_offer_one(&ring, id, LOW + 4 * PAGE * (id + 1u), 3 * PAGE, RW);
	raw_offer_one(&ring, 3, LOW, 64, RW);
	ck_assert_uint_eq(take(b, 3), 3);
	log_on();
	/* closed while logging */
	ck_assert_uint_eq(take(b + 2, 1), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 3, 1), 0);
	ck_assert_uint_eq(shown(), 0);
	for (unsigned page = 4; page < 16; page++)
		ck_assert_int_eq(is_marked(LOW + page * PAGE), page % 4 != 3);
	ck_assert_int_eq(is_marked(LOW), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 3);
	ck_assert(is_marked(ring.packed ? ring.state.desc : ring.state.device));
	ck_assert_uint_eq(take(b, 1), 0);
	virtq_log_set(&log_switch, NULL);
	ck_assert_uint_eq(take(b, 1), 1);
	ck_assert_uint_eq(b->id, 3);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 4);
	/* refused as ever */
	log_on();
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), VIRTQ_EINVAL);
	b->id = SIZE;
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), VIRTQ_EINVAL);
	b->id = 0x10003;
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), VIRTQ_EINVAL);
	tear_down();
}
END_TEST

/* The same for readable ones, which leave no marks of their own. */
START_TEST(logging_of_readable_ones)
{
	struct virtq_buffer b[2];
	struct virtq_chain c;
	uint32_t id, len;

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	for (uint16_t i = 0; i < 2; i++)
		raw_offer_one(&ring, i, BUF, 64, 0);
	ck_assert_uint_eq(virtq_dev_take(&ring.dev, b, 2, 0), 2);
	log_on();
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, NULL, 2, 0), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 2);
	ck_assert_int_eq(is_marked(BUF), 0);
	if (ring.packed) {
		ck_assert_uint_eq(raw_packed_get(&ring, 1).len, 0);
	} else {
		raw_used(&ring, 1, &id, &len);
		ck_assert_uint_eq(id, 1);
		ck_assert_uint_eq(len, 0);
	}
	ck_assert_int_eq(pop(&c), 0);
	tear_down();
}
END_TEST

/* A queue that breaks while buffers are out: they are over, and nothing of them is written to the ring. */
START_TEST(broken_meanwhile)
{
	uint8_t desc[SIZE * VIRTQ_DESC_BYTES], device[VIRTQ_SPLIT_DEVICE_BYTES(SIZE)];
	const uint32_t written[2] = {64, 64};
	const size_t device_bytes = _i & 1 ? VIRTQ_PACKED_EVENT_BYTES : sizeof(device);
	struct virtq_buffer b[4];

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	for (uint16_t id = 0; id < 4; id++)
		raw_offer_one(&ring, id, BUF, 64, RW);
	ck_assert_uint_eq(take(b, 4), 4);
	virtq_dev_break(&ring.dev, 1);
	memcpy(desc, ring.desc, sizeof(desc));
	memcpy(device, ring.device, device_bytes);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 2, 1), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_mem_eq(desc, ring.desc, sizeof(desc));
	ck_assert_mem_eq(device, ring.device, device_bytes);
	ck_assert_uint_eq(shown(), 0);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b + 2, 2), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	ck_assert_uint_eq(take(b, 4), 0);
	tear_down();
}
END_TEST

/* Where there is no quick way: memory that is not coherent, across a bus, requests in flight that are noted. */
START_TEST(no_quick_way)
{
	static const struct virtq_platform platform = {.size = sizeof(platform)};
	struct virtq_buffer b = {.len = 64};
	struct virtq_dev_config cfg = {.platform = &platform};
	const uint32_t written = 1;
	struct virtq_chain c;

	set_up_ring(_i, VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(ring_dev_init(&ring, &cfg, SIZE), 0);
	raw_offer_one(&ring, 0, BUF, 64, RW);
	ck_assert_uint_eq(take(&b, 1), 0);
	ck_assert_int_eq(pop(&c), 1);
	b.id = c.id;
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &b, &written, 1, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, &b, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, &b, 0), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &b, &written, 0, 1), 0);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, &written, 1), 0);
	tear_down();
}
END_TEST

START_TEST(no_quick_way_across_a_bus)
{
	static struct dma_mem bus;
	struct virtq_buffer b = {.len = 64};
	struct virtq_dev_config cfg = {.dma = &bus.ops, .dma_window = SIZE};
	const uint32_t written = 1;

	set_up_ring(_i, VIRTQ_F_EVENT_IDX);
	dma_mem_init(&bus, &guest, 0, 1);
	ck_assert_int_eq(ring_dev_init(&ring, &cfg, SIZE), 0);
	raw_offer_one(&ring, 0, BUF, 64, RW);
	ck_assert_uint_eq(take(&b, 1), 0);
	ck_assert_int_eq(virtq_dev_give(&ring.dev, &b, &written, 1, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, &b, 1), VIRTQ_EINVAL);
	dma_mem_drain(&bus, &ring.dev);
	tear_down();
}
END_TEST

START_TEST(no_quick_way_while_noted)
{
	struct virtq_inflight_config cfg = {.size = sizeof(cfg), .entries = SIZE};
	struct virtq_buffer b;
	const uint32_t written = 1;
	struct virtq_chain c;
	void *region, *scratch;

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	cfg.region_bytes = virtq_inflight_bytes(SIZE, _i & 1);
	cfg.region = region = calloc(1, cfg.region_bytes);
	cfg.scratch_bytes = virtq_inflight_scratch(&ring.dev, SIZE);
	cfg.scratch = scratch = calloc(1, cfg.scratch_bytes);
	ck_assert_int_eq(virtq_inflight_attach(&ring.dev, &cfg), 0);
	raw_offer_one(&ring, 0, BUF, 64, RW);
	ck_assert_uint_eq(take(&b, 1), 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, &written, 1), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 1);
	tear_down();
	free(region);
	free(scratch);
}
END_TEST

/* Older chains are out: with IN_ORDER buffers wait their turn, else they need not. */
START_TEST(older_chains_out)
{
	const uint32_t written[2] = {1, 2};
	struct virtq_buffer b[2];
	struct virtq_chain c[2];
	uint32_t id, len;

	set_up(_i & 1, _i & 2 ? VIRTQ_F_IN_ORDER : VIRTQ_F_EVENT_IDX);
	for (uint16_t i = 0; i < 3; i++)
		raw_offer_one(&ring, i, BUF, 64, RW);
	ck_assert_int_eq(pop(&c[0]), 1);
	ck_assert_uint_eq(take(b, 1), _i & 2 ? 0 : 1);
	if (_i & 2) {
		/* nor while a later one is held back */
		ck_assert_int_eq(pop(&c[1]), 1);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, &c[1], written, 1), 0);
		ck_assert_uint_eq(take(b, 1), 0);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, &c[0], written, 1), 0);
		ck_assert_uint_eq(take(b, 1), 1);
		ck_assert_uint_eq(b->id, 2);
		ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), 0);
	} else {
		ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), 0);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, &c[0], written + 1, 1), 0);
	}
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), _i & 2 ? 3 : 2);
	for (uint16_t i = 0; i < 2; i++) {
		if (ring.packed) {
			id = raw_packed_get(&ring, i).id;
			len = raw_packed_get(&ring, i).len;
		} else {
			raw_used(&ring, i, &id, &len);
		}
		ck_assert_uint_eq(id, _i & 2 ? i : 1u - i);
		ck_assert_uint_eq(len, _i & 2 ? 1 : i + 1u);
	}
	tear_down();
}
END_TEST

/* Memory changes between visits: what is taken lies in the new map, and older chains keep theirs. */
START_TEST(memory_changed)
{
	struct virtq_region moved[4];
	struct virtq_mem mem;
	const uint32_t written[2] = {1, 2};
	struct virtq_buffer b[2];
	struct virtq_chain c;
	void *elsewhere = calloc(1, MIB);

	set_up(_i, VIRTQ_F_EVENT_IDX);
	memcpy(moved, guest.regions, sizeof(moved));
	moved[1].host = elsewhere;
	ck_assert_int_eq(virtq_mem_init(&mem, moved, 3), 0);
	for (uint16_t i = 0; i < 3; i++)
		raw_offer_one(&ring, i, BUF, 64, RW);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &mem), 0);
	ck_assert_uint_eq(take(b, 2), 2);
	ck_assert_ptr_eq(b[0].base, (uint8_t *)elsewhere + (BUF - LOW));
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 2, 1), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &guest.mem), 1);
	/* a chain of the old map is no buffer of this one */
	b->id = c.id;
	ck_assert_int_eq(virtq_dev_give(&ring.dev, b, written, 1, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_untake(&ring.dev, b, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, written, 1), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &guest.mem), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(shown(), 3);
	/* and nowhere, when the ring itself is gone */
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &guest.mem), 0);
	tear_down();
	ck_assert_uint_eq(mem.refs, 1);
	virtq_mem_unref(&mem);
	free(elsewhere);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ring buffers: rules");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, what_else_a_driver_may_offer, 0, 4);
	tcase_add_loop_test(tc, as_long_as_memory, 0, 2);
	tcase_add_loop_test(tc, chains_of_several, 0, 2);
	tcase_add_loop_test(tc, misuse, 0, 4);
	tcase_add_loop_test(tc, logging_turned_on, 0, 4);
	tcase_add_loop_test(tc, logging_of_readable_ones, 0, 4);
	tcase_add_loop_test(tc, broken_meanwhile, 0, 4);
	tcase_add_loop_test(tc, no_quick_way, 0, 2);
	tcase_add_loop_test(tc, no_quick_way_across_a_bus, 0, 2);
	tcase_add_loop_test(tc, no_quick_way_while_noted, 0, 4);
	tcase_add_loop_test(tc, older_chains_out, 0, 4);
	tcase_add_loop_test(tc, memory_changed, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
