/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side across a bus, single steps. dma_model_test.c has the random ones. */
#include <stdlib.h>

#include "clause.h"
#include "dma_fixture.h"

/* Both layouts run each test: _i is 0 for split, 1 for packed. */

START_TEST(dma_empty_and_not_yet_differ)
{
	set_up(_i, 8, 1, 4, 0);
	ck_assert_int_eq(pop(1), VIRTQ_EAGAIN); /* it does not know */
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(pop(1), 0); /* now it does */
	offer(3, 0x8000, 100, 0);
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 4), 0);
	ck_assert_int_eq(pop(4), VIRTQ_EAGAIN);
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(pop(4), 1);
	ck_assert_uint_eq(chains[0].id, 3);
	ck_assert_uint_eq(chains[0].seg[0].addr, 0x8000);
	ck_assert_uint_eq(chains[0].seg[0].len, 100);
	ck_assert_uint_eq(chains[0].nread, 1);
	ck_assert_uint_eq(chains[0].nwrite, 0);
	push(0, 1);
	tear_down();
}
END_TEST

START_TEST(dma_at_once)
{
	set_up(_i, 8, 0, 4, 0); /* reads are done when they return */
	ck_assert_int_eq(pop(1), 0);
	for (uint16_t id = 0; id < 6; id++)
		offer(id, 0x8000 + 0x100 * (uint64_t)id, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(BURST), 4); /* the window */
	push(0, 4);
	ck_assert_int_eq(pop(BURST), 2);
	ck_assert_uint_eq(chains[1].seg[0].addr, 0x8500);
	push(0, 2);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(pop(BURST), 0);
	ck_assert_int_eq(should_interrupt(), 1);
	ck_assert_int_eq(arm(), 0);
	tear_down();
}
END_TEST

static int (*bus_read)(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag);
static unsigned looks;

/* Writable buffers lie from 0x8000 on, all else below or above. */
static int read_elsewhere(void *ctx, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	ck_assert(addr + len <= 0x8000 || addr >= 0x9000);
	looks++;
	return bus_read(ctx, addr, dst, len, tag);
}

/*
 * Buffers that the device may write are never loaded from: on a bus that shows. And it needs no notification to take
 * what the driver has shown.
 */
START_TEST(dma_writable_buffers_are_not_read)
{
	set_up(_i, 8, 0, 4, 1);
	bus_read = mem.ops.read;
	mem.ops.read = read_elsewhere;
	looks = 0;
	raw_table(&ring, 0x9000, 0, 0x8800, 64, VIRTQ_DESC_WRITE, 0);
	for (unsigned lap = 0; lap < 20; lap++) {
		offer(1, 0x8000, 64, VIRTQ_DESC_WRITE);
		offer(2, 0x9000, 16, VIRTQ_DESC_INDIRECT);
		fetch(4);
		ck_assert_int_eq(pop(2), 2);
		CLAUSE(_i ? "packed/placing-available-buffers-into-the-descr/N1" : "split/updating-idx/N1");
		push(0, 2);
		virtq_dev_publish(&ring.dev);
	}
	ck_assert_uint_ge(looks, 40);
	CLAUSE(_i ? "basic/packed/desc-table/D1b" : "basic/virtqueues/desc-table/D1b");
	tear_down();
}
END_TEST

/* What a burst costs. */
START_TEST(dma_counts)
{
	struct virtq_dma_count before, after;

	set_up(_i, 32, 3, 16, 1);
	for (uint16_t id = 0; id < 16; id++)
		offer(id, 0x8000, 64, VIRTQ_DESC_WRITE);
	virtq_dev_dma_count(&ring.dev, &before);
	ck_assert_uint_eq(before.reads, 0);
	fetch(16);
	virtq_dev_dma_count(&ring.dev, &after);
	/* split: the index, the run of heads, a descriptor each; packed: one run of descriptors. */
	ck_assert_uint_eq(after.reads, _i ? 1 : 18);
	ck_assert_uint_eq(after.reads, mem.reads);
	ck_assert_int_eq(pop(16), 16);
	push(0, 16);
	virtq_dev_dma_count(&ring.dev, &after);
	ck_assert_uint_eq(after.writes, 0);
	virtq_dev_publish(&ring.dev);
	virtq_dev_dma_count(&ring.dev, &after);
	ck_assert_uint_eq(after.writes, 2); /* the run; then what shows it */
	ck_assert_uint_eq(after.writes, mem.writes);
	virtq_dev_publish(&ring.dev);
	virtq_dev_dma_count(&ring.dev, &after);
	ck_assert_uint_eq(after.writes, 2);
	tear_down();
}
END_TEST

/* A burst over the ring's end takes one write more. */
START_TEST(dma_used_wraps)
{
	set_up(_i, 8, 0, 8, 0);
	for (int lap = 0; lap < 5; lap++) {
		uint64_t writes = mem.writes;

		for (uint16_t id = 0; id < 6; id++)
			offer(id, 0x8000, 64, VIRTQ_DESC_WRITE);
		fetch(8);
		ck_assert_int_eq(pop(8), 6);
		push(0, 6);
		virtq_dev_publish(&ring.dev);
		/* starts at 0, 6, 12 % 8 = 4, 18 % 8 = 2, 24 % 8 = 0: the second and third cross the end */
		ck_assert_uint_eq(mem.writes - writes, lap == 1 || lap == 2 ? 3 : 2);
	}
	if (!_i)
		ck_assert_uint_eq(raw_used_idx(&ring), 30);
	tear_down();
}
END_TEST

/* Nothing of a burst may be seen before it is published. */
START_TEST(dma_publish_shows)
{
	set_up(_i, 4, 0, 2, 0);
	for (uint16_t id = 0; id < 4; id++)
		offer(id, 0x8000, 64, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(BURST), 2);
	ck_assert_int_eq(virtq_dev_pop_seg(&ring.dev, chains + 2, 2, ring.seg + 8, ring.niov - 8), 2);
	push(0, 4); /* more than the window: some are written already */
	if (_i) {
		ck_assert_uint_eq(raw_packed_get(&ring, 0).flags & VIRTQ_DESC_USED, 0);
		virtq_dev_publish(&ring.dev);
		for (uint16_t i = 0; i < 4; i++) {
			struct virtq_packed_desc d = raw_packed_get(&ring, i);

			ck_assert_uint_eq(d.flags, packed_used(1) | VIRTQ_DESC_WRITE);
			ck_assert_uint_eq(d.id, i);
			ck_assert_uint_eq(d.len, 64);
		}
	} else {
		ck_assert_uint_eq(raw_used_idx(&ring), 0);
		virtq_dev_publish(&ring.dev);
		ck_assert_uint_eq(raw_used_idx(&ring), 4);
		for (uint16_t i = 0; i < 4; i++) {
			uint32_t id, len;

			raw_used(&ring, i, &id, &len);
			ck_assert_uint_eq(id, i);
			ck_assert_uint_eq(len, 64);
		}
	}
	tear_down();
}
END_TEST

START_TEST(dma_interrupt_is_asked_for)
{
	set_up(_i, 8, 1, 4, 0);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0); /* nothing used: no question */
	offer(0, 0x8000, 64, VIRTQ_DESC_WRITE);
	offer(1, 0x8000, 64, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop_wait(2), 1 + 1);
	push(0, 1);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), VIRTQ_EAGAIN);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), VIRTQ_EAGAIN);
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	if (_i)
		raw_driver_event(&ring, 0, VIRTQ_EVENT_DISABLE);
	else
		raw_avail_flags(&ring, VIRTQ_AVAIL_NO_INTERRUPT);
	push(1, 1);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(should_interrupt(), 0);
	tear_down();
}
END_TEST

/* A "no" that was read before more was published is not good for that. */
START_TEST(dma_interrupt_answer_is_for_what_was_published)
{
	set_up(_i, 8, 1, 4, 1);
	for (uint16_t id = 0; id < 2; id++)
		offer(id, 0x8000, 64, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop_wait(2), 2);
	/* The driver wants to hear of the second one. */
	if (_i)
		raw_driver_event(&ring, 1 | VIRTQ_STATE_WRAP, VIRTQ_EVENT_DESC);
	else
		raw_used_event(&ring, 1);
	push(0, 1);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), VIRTQ_EAGAIN);
	dma_mem_drain(&mem, &ring.dev);
	push(1, 1);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), VIRTQ_EAGAIN); /* asks again */
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	tear_down();
}
END_TEST

START_TEST(dma_arm_looks_after_it_wrote)
{
	uint16_t place = 0, flags = 0;

	set_up(_i, 8, 1, 4, 1);
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 4), 0); /* a look from before */
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EAGAIN);
	ck_assert_uint_eq(mem.npending, 1);
	dma_mem_step(&mem, &ring.dev); /* the old look saw nothing, a new one was started */
	ck_assert_uint_eq(mem.npending, 1);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EAGAIN);
	offer(0, 0x8000, 64, 0);
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1);
	ck_assert_int_eq(pop_wait(4), 1);
	push(0, 1);
	ck_assert_int_eq(arm(), 0);
	if (_i) {
		raw_device_event(&ring, &place, &flags);
		ck_assert_uint_eq(place, 1 | VIRTQ_STATE_WRAP);
		ck_assert_uint_eq(flags, VIRTQ_EVENT_DESC);
		virtq_dev_disarm(&ring.dev);
		raw_device_event(&ring, &place, &flags);
		ck_assert_uint_eq(flags, VIRTQ_EVENT_DISABLE);
	} else {
		ck_assert_uint_eq(raw_avail_event(&ring), 1);
	}
	tear_down();
}
END_TEST

/* What arming found was popped and given back: it is there again. */
START_TEST(dma_arm_after_unpop)
{
	set_up(_i, 8, 1, 4, 1);
	offer(0, 0x8000, 64, 0);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EAGAIN);
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains, 1), 0);
	ck_assert_int_eq(arm(), 1);
	ck_assert_int_eq(pop_wait(1), 1);
	push(0, 1);
	tear_down();
}
END_TEST

START_TEST(dma_fini_waits_for_reads)
{
	set_up(_i, 8, 1, 4, 0);
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 4), 0);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), VIRTQ_EBUSY);
	dma_mem_drain(&mem, &ring.dev);
	virtq_dev_dma_done(&ring.dev, 0x10000, 0); /* tags that nobody waits for do nothing */
	virtq_dev_dma_done(&ring.dev, 0x30007, 0);
	virtq_dev_dma_done(&ring.dev, 0xffffffff, 0);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	tear_down();
}
END_TEST

START_TEST(dma_unpop_reads_again)
{
	set_up(_i, 16, 2, 8, 0);
	for (uint16_t id = 0; id < 8; id++)
		offer(id, 0x8000 + id, 64, 0);
	fetch(4);
	ck_assert_int_eq(pop(3), 3);
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 8), 0);
	dma_mem_step(&mem, &ring.dev); /* reads ahead are under way */
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains + 1, 2), 0);
	for (uint16_t want = 1; want < 8; want++) {
		ck_assert_int_eq(pop_wait(1), 1);
		ck_assert_uint_eq(chains[0].id, want);
		ck_assert_uint_eq(chains[0].seg[0].addr, 0x8000 + want);
		push(0, 1);
	}
	ck_assert_int_eq(pop_wait(1), 0);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, chains, 1), VIRTQ_EINVAL); /* was pushed */
	chains[0].id = 0;
	ck_assert_int_eq(virtq_dev_release(&ring.dev, chains, 1), 0);
	tear_down();
}
END_TEST

START_TEST(dma_failing_read_breaks)
{
	set_up(_i, 8, 1, 4, 0);
	offer(0, 0x8000, 64, 0);
	mem.fail_one_in = 1;
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 4), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DMA);
	ck_assert_int_eq(pop(1), VIRTQ_EBROKEN);
	tear_down();
	/* A table that is nowhere: its read fails when it ends. */
	set_up(_i, 8, 1, 4, 0);
	offer(0, UINT64_C(1) << 50, 64, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DMA);
	tear_down();
}
END_TEST

START_TEST(dma_good_chains_come_before_a_bad_one)
{
	set_up(_i, 8, 4, 8, 0);
	offer(0, 0x8000, 64, 0);
	offer(1, 0x9000, 64, 0);
	if (_i)
		raw_packed_offer(&ring, 0x8000, 64, 8, 0); /* id outside */
	else
		raw_offer(&ring, 8);
	fetch(8);
	ck_assert_int_eq(pop(8), 2);
	ck_assert_int_eq(pop(8), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_HEAD);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, chains, 2), 0);
	tear_down();
}
END_TEST

START_TEST(dma_head_twice)
{
	set_up(_i, 8, 4, 8, 0);
	offer(2, 0x8000, 64, 0);
	offer(2, 0x8000, 64, 0);
	fetch(8);
	ck_assert_int_eq(pop(8), 1);
	ck_assert_int_eq(pop(8), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_DUPLICATE);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, chains, 1), 0);
	tear_down();
}
END_TEST

START_TEST(dma_indirect)
{
	const uint64_t table = 0x8008; /* any alignment */

	set_up(_i, 4, 2, 4, 0);
	for (uint32_t i = 0; i < 4; i++)
		raw_table(&ring, table, i, 0x9000 + 0x100 * i, 16 + i,
		          (uint16_t)((i > 1 ? VIRTQ_DESC_WRITE : 0) | (i < 3 ? VIRTQ_DESC_NEXT : 0)),
		          (uint16_t)(i + 1));
	offer(1, table, 64, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(pop_wait(1), 1);
	ck_assert_uint_eq(chains[0].nread, 2);
	ck_assert_uint_eq(chains[0].nwrite, 2);
	ck_assert_uint_eq(chains[0].more + 1, 1);
	ck_assert_uint_eq(chains[0].read_bytes, 33);
	ck_assert_uint_eq(chains[0].write_bytes, 37);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(chains[0].seg[i].addr, 0x9000 + 0x100 * i);
		ck_assert_uint_eq(chains[0].seg[i].len, 16 + i);
	}
	push(0, 1);
	offer(1, table, 80, VIRTQ_DESC_INDIRECT); /* longer than the ring */
	fetch(1);
	ck_assert_int_eq(pop_wait(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(fault(), VIRTQ_FAULT_INDIRECT_LEN);
	tear_down();
}
END_TEST

START_TEST(dma_state_goes_on)
{
	struct virtq_dev_config dev = {.dma_window = 4, .dma = &mem.ops};
	struct virtq_state s;
	struct ring old;

	set_up(_i, 8, 1, 4, 1);
	for (uint16_t id = 0; id < 8; id++)
		offer(id, 0x8000 + id, 64, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop_wait(4), 4);
	push(0, 3);
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &s), VIRTQ_EBUSY);
	push(3, 1);
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &s), VIRTQ_EBUSY); /* not published */
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), VIRTQ_EAGAIN);
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &s), 0);
	ck_assert_uint_eq(s.unsignalled, 4); /* no answer yet: the successor asks */
	dma_mem_drain(&mem, &ring.dev);
	ck_assert_int_eq(virtq_dev_fini(&ring.dev), 0);
	old = ring;
	dev.state = s;
	ck_assert_int_eq(ring_dev_init(&ring, &dev, BURST), 0);
	ck_assert_int_eq(should_interrupt(), 1);
	for (uint16_t want = 4; want < 8; want++) {
		ck_assert_int_eq(pop_wait(1), 1);
		ck_assert_uint_eq(chains[0].id, want);
		push(0, 1);
	}
	ck_assert_int_eq(pop_wait(1), 0);
	tear_down();
	free(old.dev_scratch);
	free(old.iov);
	free(old.seg);
}
END_TEST

START_TEST(dma_misuse)
{
	uint64_t scratch[64];
	struct virtq_dev vq;
	struct virtq_iov iov[64];
	struct virtq_dev_config cfg = {
		.size = sizeof(cfg), .dma_window = 4, .scratch = scratch, .scratch_bytes = sizeof(scratch)};

	set_up(_i, 8, 1, 4, 0);
	cfg.features = ring.features;
	cfg.state = ring.state;
	cfg.dma = &mem.ops;
	ck_assert_uint_gt(virtq_dev_bytes(&cfg), sizeof(scratch));
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), VIRTQ_EINVAL);
	cfg.dma_window = 0;
	ck_assert_uint_eq(virtq_dev_bytes(&cfg), 0);
	cfg.dma_window = 257;
	ck_assert_uint_eq(virtq_dev_bytes(&cfg), 0);
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), VIRTQ_EINVAL);
	cfg.dma_window = 4;
	for (int i = 0; i < 3; i++) {
		struct virtq_dma ops = mem.ops;

		cfg.dma = &ops;
		ck_assert_uint_ne(virtq_dev_bytes(&cfg), 0);
		if (i == 0)
			ops.size--;
		else if (i == 1)
			ops.read = NULL;
		else
			ops.write = NULL;
		ck_assert_uint_eq(virtq_dev_bytes(&cfg), 0);
	}
	/* The ring would have to be read to begin. */
	cfg.dma = &mem.ops;
	cfg.state.flags |= VIRTQ_STATE_USED_IN_RING;
	cfg.scratch = calloc(1, 1 << 20);
	cfg.scratch_bytes = 1 << 20;
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), _i ? VIRTQ_EBADMSG : VIRTQ_EINVAL);
	free(cfg.scratch);
	ck_assert_uint_le(virtq_dev_max_iov(&ring.dev), 64);
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, chains, 1, iov, 64), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_pop_seg(&ring.dev, chains, 1, ring.seg, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &guest.mem), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_renew(&ring.dev), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, &guest.mem), VIRTQ_EINVAL);
	ck_assert_int_eq(pop_wait(1), 0); /* it goes on */
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("dma");
	TCase *tc = tcase_create("dma");

	tcase_add_loop_test(tc, dma_empty_and_not_yet_differ, 0, 2);
	tcase_add_loop_test(tc, dma_at_once, 0, 2);
	tcase_add_loop_test(tc, dma_writable_buffers_are_not_read, 0, 2);
	tcase_add_loop_test(tc, dma_counts, 0, 2);
	tcase_add_loop_test(tc, dma_used_wraps, 0, 2);
	tcase_add_loop_test(tc, dma_publish_shows, 0, 2);
	tcase_add_loop_test(tc, dma_interrupt_is_asked_for, 0, 2);
	tcase_add_loop_test(tc, dma_interrupt_answer_is_for_what_was_published, 0, 2);
	tcase_add_loop_test(tc, dma_arm_looks_after_it_wrote, 0, 2);
	tcase_add_loop_test(tc, dma_arm_after_unpop, 0, 2);
	tcase_add_loop_test(tc, dma_fini_waits_for_reads, 0, 2);
	tcase_add_loop_test(tc, dma_unpop_reads_again, 0, 2);
	tcase_add_loop_test(tc, dma_failing_read_breaks, 0, 2);
	tcase_add_loop_test(tc, dma_good_chains_come_before_a_bad_one, 0, 2);
	tcase_add_loop_test(tc, dma_head_twice, 0, 2);
	tcase_add_loop_test(tc, dma_indirect, 0, 2);
	tcase_add_loop_test(tc, dma_state_goes_on, 0, 2);
	tcase_add_loop_test(tc, dma_misuse, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
