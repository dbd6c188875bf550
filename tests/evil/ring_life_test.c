/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of hostile.tsv about faults, completion and the life of a buffer; see rows.tsv. */
#include <string.h>

#include "ring_fixture.h"

#define TABLE UINT64_C(0x4000)
#define BUF   UINT64_C(0x8000)
#define PAGE  4096u

/* A chain that can't be parsed stays at the head of the queue: the fault is latched, nothing spins on it. */
START_TEST(openvmm_4045)
{
	struct virtq_fault f = {0};
	uint64_t reads;

	evil_start(_i, NULL);
	evil_offer(2, TABLE, 17, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_INDIRECT_LEN);
	reads = ev.q.mem.reads;
	evil_offer(3, BUF, 16, 0); /* a good one behind it changes nothing */
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(evil_pop(1), VIRTQ_EBROKEN);
	ck_assert_uint_eq(ev.q.mem.reads, reads); /* the ring is not even looked at */
	ck_assert_int_eq(virtq_dev_fault(&ev.q.ring.dev, &f), 1);
	ck_assert_uint_eq(f.head, 2);
	ck_assert_uint_eq(f.avail, 0);
	virtq_dev_break(&ev.q.ring.dev, 7); /* the first reason stays */
	ck_assert_int_eq(virtq_dev_fault(&ev.q.ring.dev, &f), 1);
	ck_assert_uint_eq(f.reason, VIRTQ_FAULT_INDIRECT_LEN);
	evil_reset(); /* and a reset brings it back */
	evil_offer(3, BUF, 16, 0);
	evil_one();
	evil_end();
}
END_TEST

/* A request that is nothing but its header is completed with 0: no slot leaks. */
START_TEST(CH_e1a63b41f)
{
	evil_start(_i, NULL);
	for (uint16_t i = 0; i < 100; i++) {
		evil_offer(i % 8, BUF, 16, 0);
		ck_assert_int_eq(evil_pop(1), 1);
		evil_push(&ev.chains[0], 0);
		ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 0);
		if (!ev.packed)
			ck_assert_uint_eq(raw_used_idx(&ev.q.ring), i + 1);
	}
	evil_end();
}
END_TEST

static void random_ring(struct rng *rng)
{
	struct ring *r = &ev.q.ring;

	for (uint16_t i = 0; i < 8; i++) {
		static const uint64_t where[] = {BUF, TABLE, R2 - 20, R0_END - 5, NOWHERE, UINT64_MAX - 3};
		uint64_t addr = where[rng_below(rng, 6)];
		uint32_t len = rng_one_in(rng, 3) ? (uint32_t)rng_next(rng) : 16 * rng_below(rng, 10);
		uint16_t flags = rng_one_in(rng, 4) ? (uint16_t)rng_next(rng) : (uint16_t)rng_below(rng, 8);

		if (r->packed)
			raw_packed(r, i, addr, len, (uint16_t)rng_below(rng, 9),
			           (uint16_t)((flags & 7) | packed_avail(rng_below(rng, 4) != 0)));
		else
			raw_desc(r, i, addr, len, flags, (uint16_t)rng_below(rng, 9));
		raw_table(r, TABLE, i, addr, len, flags, (uint16_t)rng_below(rng, 9));
		if (!r->packed)
			raw_avail_entry(r, i, (uint16_t)rng_below(rng, 9));
	}
	if (!r->packed)
		raw_avail_idx(r, (uint16_t)rng_below(rng, 12));
}

/* Whatever is in the ring: chains or a fault, never anything else. */
START_TEST(CH_3402bc076)
{
	unsigned long rounds = test_rounds(3000);
	unsigned broken = 0, good = 0;
	struct rng rng;

	rng_seed(&rng, 11);
	evil_start(_i, NULL);
	for (unsigned long i = 0; i < rounds; i++) {
		int n;

		random_ring(&rng);
		n = evil_pop(EVIL_CHAINS);
		if (n > 0) {
			good++;
			evil_release((uint32_t)n);
			n = evil_pop(EVIL_CHAINS);
			if (n > 0)
				evil_release((uint32_t)n);
		}
		broken += n == VIRTQ_EBROKEN;
		ck_assert(n >= 0 || n == VIRTQ_EBROKEN);
		guest_alloc_reset(&ev.guest);
		(void)guest_alloc_in(&ev.guest, RING_GPA, 0x8000, 64); /* not over the other queue */
		evil_reset();
	}
	ck_assert_uint_gt(good, rounds / 20);
	ck_assert_uint_gt(broken, rounds / 20);
	evil_end();
}
END_TEST

/* The good chains of a burst with a bad one at its end: given back by the same call as ever, and all are counted. */
START_TEST(CVE_2022_26354)
{
	evil_start(_i, NULL);
	evil_offer(0, BUF, 16, VIRTQ_DESC_WRITE);
	evil_offer(1, BUF, 16, VIRTQ_DESC_WRITE);
	evil_table(TABLE, 3, BUF, 16, VIRTQ_DESC_WRITE);
	raw_table(&ev.q.ring, TABLE, 2, UINT64_MAX, 2, VIRTQ_DESC_WRITE, 0);
	evil_offer(2, TABLE, 48, VIRTQ_DESC_INDIRECT); /* bad at its very end */
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 2);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 2);
	evil_breaks(VIRTQ_FAULT_ADDRESS);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 2);
	ck_assert_int_eq(virtq_dev_fini(&ev.q.ring.dev), VIRTQ_EBUSY);
	evil_release(2);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 0);
	ck_assert_int_eq(virtq_dev_release(&ev.q.ring.dev, ev.chains, 1), VIRTQ_EINVAL);
	evil_end();
}
END_TEST

/* An operation over several buffers fails in the middle: all go back, and come again in the same order. */
START_TEST(CVE_2022_26353)
{
	evil_start(_i, NULL);
	for (int round = 0; round < 10; round++) {
		for (uint16_t i = 0; i < 5; i++)
			evil_offer(i, BUF + 0x100u * i, 16, VIRTQ_DESC_WRITE);
		ck_assert_int_eq(evil_pop(3), 3);
		ck_assert_int_eq(virtq_dev_unpop(&ev.q.ring.dev, ev.chains, 2),
		                 VIRTQ_EINVAL); /* not the last */
		ck_assert_int_eq(virtq_dev_unpop(&ev.q.ring.dev, ev.chains, 3), 0);
		ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 0);
		ck_assert_int_eq(virtq_dev_unpop(&ev.q.ring.dev, ev.chains, 3),
		                 VIRTQ_EINVAL); /* are back */
		for (uint16_t i = 0; i < 5; i++) {
			evil_one();
			ck_assert_uint_eq(ev.chains[0].id, i);
		}
	}
	evil_end();
}
END_TEST

static unsigned released;

static void count_release(struct virtq_mem *mem, void *ctx)
{
	(void)mem;
	(void)ctx;
	released++;
}

/* A chain keeps its memory until it has gone back, whatever happens to the map meanwhile; and then no longer. */
START_TEST(CVE_2021_3748)
{
	struct virtq_mem old, now;
	uint32_t written = 16;

	evil_start(_i, NULL);
	released = 0;
	ck_assert_int_eq(virtq_mem_init(&old, ev.guest.regions, ev.guest.nregions), 0);
	virtq_mem_set_release(&old, count_release, NULL);
	ck_assert_int_eq(virtq_mem_init(&now, ev.guest.regions, ev.guest.nregions), 0);
	ck_assert_int_eq(virtq_dev_set_mem(&ev.q.ring.dev, &old), 0);
	virtq_mem_unref(&old); /* the queue has its own reference */
	evil_offer(0, BUF, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(1), 1);
	ck_assert_int_eq(virtq_dev_set_mem(&ev.q.ring.dev, &now), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ev.q.ring.dev, &old), 1);
	ck_assert_uint_eq(released, 0);
	memset(ev.chains[0].iov[0].base, 1, 16); /* still ours */
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &written, 1), 0);
	ck_assert_uint_eq(released, 1);
	ck_assert_int_eq(virtq_dev_uses_mem(&ev.q.ring.dev, &old), 0);
	/* It is not ours any more: a second time is refused. */
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &written, 1), VIRTQ_EINVAL);
	ck_assert_uint_eq(released, 1);
	ck_assert_int_eq(virtq_dev_set_mem(&ev.q.ring.dev, &ev.guest.mem), 0);
	virtq_mem_unref(&now);
	evil_end();
}
END_TEST

/* Short, failed and dropped ones: the pieces are as they were, and the whole of what was handed out is marked. */
START_TEST(QEMU_7bd04a041a)
{
	static uintptr_t words[2 * 0x40100 / (8 * sizeof(uintptr_t))];
	struct virtq_iov before[2];
	struct virtq_dirty dirty;
	struct virtq_log log = {0};

	evil_start(_i, NULL);
	memset(words, 0, sizeof(words));
	ck_assert_int_eq(virtq_dirty_init(&dirty, 0, 12, words, sizeof(words) / sizeof(words[0]), NULL),
	                 0);
	virtq_mem_set_log(&ev.guest.mem, &log);
	virtq_log_set(&log, &dirty);
	for (int how = 0; how < 2; how++) {
		const uint8_t *bits = (const uint8_t *)words;
		uint64_t first = (R2 - 3 * PAGE) / PAGE;

		memset(words, 0, sizeof(words));
		evil_offer((uint16_t)how, R2 - 3 * PAGE, 5 * PAGE, VIRTQ_DESC_WRITE); /* two pieces */
		ck_assert_int_eq(evil_pop(1), 1);
		memcpy(before, ev.chains[0].iov, sizeof(before));
		for (uint64_t p = first; p < first + 5; p++)
			ck_assert_uint_eq(bits[p / 8] >> p % 8 & 1, 0);
		if (how == 0)
			evil_push(&ev.chains[0], 1);
		else
			evil_release(1);
		ck_assert_int_eq(memcmp(before, ev.chains[0].iov, sizeof(before)), 0);
		for (uint64_t p = first; p < first + 5; p++)
			ck_assert_uint_eq(bits[p / 8] >> p % 8 & 1, 1);
		ck_assert_uint_eq(bits[(first - 1) / 8] >> (first - 1) % 8 & 1, 0);
		ck_assert_uint_eq(bits[(first + 5) / 8] >> (first + 5) % 8 & 1, 0);
	}
	virtq_log_set(&log, NULL);
	evil_end();
}
END_TEST

/* Nothing goes between the device's writes and the guest's memory: what was not written is as the guest left it. */
START_TEST(CVE_2024_8612)
{
	uint8_t *buf;

	evil_start(_i, NULL);
	buf = guest_at(&ev.guest, BUF, 256);
	memset(buf, 0x77, 256);
	evil_offer(0, BUF, 256, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(1), 1);
	memset(ev.dma ? guest_at(&ev.guest, ev.chains[0].seg[0].addr, 10) : ev.chains[0].iov[0].base, 1,
	       10);
	evil_push(&ev.chains[0], 10);
	for (int i = 0; i < 256; i++)
		ck_assert_uint_eq(buf[i], i < 10 ? 1 : 0x77);
	evil_offer(1, BUF, 256, VIRTQ_DESC_WRITE); /* and one that is only given back */
	ck_assert_int_eq(evil_pop(1), 1);
	evil_push(&ev.chains[0], 0);
	ck_assert_uint_eq(buf[255], 0x77);
	evil_end();
}
END_TEST

/* The used length is of the writable part alone. */
START_TEST(CH_746114319)
{
	uint32_t id, len, too_much = 51;

	evil_start(_i, NULL);
	raw_table(&ev.q.ring, TABLE, 0, BUF, 1000, VIRTQ_DESC_NEXT, 1);
	raw_table(&ev.q.ring, TABLE, 1, BUF, 50, VIRTQ_DESC_WRITE, 0);
	evil_offer(4, TABLE, 32, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(evil_pop(1), 1);
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &too_much, 1), VIRTQ_EINVAL);
	evil_push(&ev.chains[0], 50);
	if (ev.packed) {
		id = raw_packed_get(&ev.q.ring, 0).id;
		len = raw_packed_get(&ev.q.ring, 0).len;
	} else {
		raw_used(&ev.q.ring, 0, &id, &len);
	}
	ck_assert_uint_eq(id, 4);
	ck_assert_uint_eq(len, 50);
	evil_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_life");
	TCase *tc = tcase_create("life");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, openvmm_4045, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_e1a63b41f, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_3402bc076, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2022_26354, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2022_26353, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2021_3748, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, QEMU_7bd04a041a, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CVE_2024_8612, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_746114319, 0, EVIL_MODES);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
