/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of hostile.tsv about heads, ids, indices and wrapping; see rows.tsv. */
#include <pthread.h>

#include "ring_fixture.h"

#define TABLE UINT64_C(0x4000)
#define BUF   UINT64_C(0x8000)

static const uint16_t outside[] = {8, 9, 0x7fff, 0x8000, 0xffff};

START_TEST(T0025)
{
	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 5; i++) {
		raw_offer(&ev.q.ring, outside[i]);
		evil_breaks(VIRTQ_FAULT_HEAD);
		evil_reset();
	}
	evil_end();
}
END_TEST

/* The same buffers again and again, and none is ever completed: no more than the ring holds can be out. */
START_TEST(CVE_2016_5403)
{
	int out = 0, n;

	evil_start(_i, NULL);
	for (uint16_t i = 0; i < 64; i++) {
		evil_offer(i % 8, BUF, 16, VIRTQ_DESC_WRITE);
		n = evil_pop(1);
		if (n < 0)
			break;
		ck_assert_int_eq(n, 1);
		ev.chains[out + 1] = ev.chains[0];
		out++;
		ck_assert_int_le(out, 8);
	}
	ck_assert_int_eq(out, 8);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 8);
	for (int i = 0; i < out; i++)
		ev.chains[i] = ev.chains[i + 1];
	evil_release(8);
	evil_end();
}
END_TEST

START_TEST(CH_730677730)
{
	uint32_t written = 16;

	evil_start(_i, NULL);
	evil_offer(3, BUF, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(8), 1);
	ck_assert(evil_piece_is(&ev.chains[0], 0, BUF, 16));
	evil_offer(3, BUF + 0x100, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(8), VIRTQ_EBROKEN);
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 1);
	/* The one that is out goes back once, by its chain. */
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &written, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_push(&ev.q.ring.dev, ev.chains, &written, 1), VIRTQ_EINVAL);
	evil_breaks(VIRTQ_FAULT_DUPLICATE);
	evil_reset();
	/* Twice within one burst. */
	evil_offer(3, BUF, 16, VIRTQ_DESC_WRITE);
	evil_offer(3, BUF, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(8), 1);
	evil_breaks(VIRTQ_FAULT_DUPLICATE);
	evil_release(1);
	evil_end();
}
END_TEST

START_TEST(rust_vmm_16f1b01)
{
	evil_start(_i, NULL);
	for (uint16_t i = 0; i < 8; i++) {
		raw_desc(&ev.q.ring, i, BUF, 16, 0, 0);
		raw_avail_entry(&ev.q.ring, i, i);
	}
	raw_avail_idx(&ev.q.ring, 8); /* as far as it may */
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 8);
	evil_release(8);
	evil_reset();
	for (uint32_t idx = 9; idx < 0x10000; idx += 4093) {
		raw_avail_idx(&ev.q.ring, (uint16_t)idx);
		evil_breaks(VIRTQ_FAULT_AVAIL_IDX);
		evil_reset();
	}
	evil_end();
}
END_TEST

static int stop;

/* A driver that never stops to offer the same buffer. */
static void *offer_always(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		raw_offer(&ev.q.ring, ev.q.ring.raw_avail % 8);
	return NULL;
}

START_TEST(CH_fbcf2fd6b)
{
	pthread_t thread;
	struct virtq_fault f = {0};
	uint32_t total = 0;
	int n;

	evil_start(_i, NULL);
	for (uint16_t i = 0; i < 8; i++)
		raw_desc(&ev.q.ring, i, BUF, 16, 0, 0);
	stop = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, offer_always, NULL), 0);
	/* One call does no more than it was asked for, whatever the index does meanwhile. */
	while ((n = virtq_dev_pop(&ev.q.ring.dev, ev.chains + total, 3, ev.q.ring.iov,
	                          ev.q.ring.niov)) >= 0) {
		ck_assert_int_le(n, 3);
		total += (uint32_t)n;
		ck_assert_uint_le(total, 8);
	}
	evil_other_works(); /* it still offers */
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_int_eq(n, VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ev.q.ring.dev, &f), 1);
	ck_assert(f.reason == VIRTQ_FAULT_DUPLICATE || f.reason == VIRTQ_FAULT_AVAIL_IDX);
	if (total > 0)
		evil_release(total);
	evil_end();
}
END_TEST

START_TEST(T0024_T0057)
{
	evil_start(_i, NULL);
	for (uint16_t i = 0; i < 5; i++)
		evil_offer(i, BUF, 16, 0);
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 5);
	evil_release(5);
	raw_avail_idx(&ev.q.ring, 4);
	evil_breaks(VIRTQ_FAULT_AVAIL_IDX);
	evil_reset();
	raw_avail_idx(&ev.q.ring, 0xffff); /* behind 0 */
	evil_breaks(VIRTQ_FAULT_AVAIL_IDX);
	evil_end();
}
END_TEST

/* An honest driver for more than 2^16 buffers: indices wrap, and so does each ring. */
START_TEST(DPDK_3478fefb08)
{
	const struct evil_config cfg = {.size = 4};

	evil_start(_i, &cfg);
	for (uint32_t i = 0; i < 70000; i++) {
		evil_offer(i % 4, BUF + i % 0x1000, 16, VIRTQ_DESC_WRITE);
		evil_one();
		ck_assert_uint_eq(ev.chains[0].id, i % 4);
		ck_assert(evil_piece_is(&ev.chains[0], 0, BUF + i % 0x1000, 16));
		if (!ev.packed)
			ck_assert_uint_eq(raw_used_idx(&ev.q.ring), (uint16_t)(i + 1));
	}
	evil_end();
}
END_TEST

static void fill_exactly(uint16_t size)
{
	const struct evil_config cfg = {.size = size};

	evil_start(EVIL_PACKED, &cfg);
	for (int lap = 0; lap < 5; lap++) { /* chains as long as the ring */
		evil_list(0, size, BUF, 16, 0);
		evil_one();
		ck_assert_uint_eq(ev.chains[0].more + 1, size);
		ck_assert_uint_eq(raw_packed_get(&ev.q.ring, 0).flags &
		                      (VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED),
		                  packed_used(lap % 2 == 0));
	}
	for (int lap = 0; lap < 5; lap++) { /* as many chains as it has places, all out */
		for (uint16_t i = 0; i < size; i++)
			evil_offer(i, BUF, 16, 0);
		ck_assert_int_eq(evil_pop(EVIL_CHAINS), size);
		ck_assert_int_eq(virtq_dev_arm(&ev.q.ring.dev), 0);
		for (uint16_t i = 0; i < size; i++)
			evil_push(&ev.chains[i], 0);
	}
	evil_end();
}

START_TEST(openvmm_547661407b)
{
	static const uint16_t sizes[] = {1, 2, 3, 5, 8, 13, 33};

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		fill_exactly(sizes[i]);
}
END_TEST

START_TEST(SPDK_374a9245b7)
{
	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 5; i++) {
		evil_offer(outside[i], BUF, 16, 0);
		evil_breaks(VIRTQ_FAULT_HEAD);
		evil_reset();
		evil_offer(outside[i], TABLE, 16, VIRTQ_DESC_INDIRECT);
		evil_table(TABLE, 1, BUF, 16, 0);
		evil_breaks(VIRTQ_FAULT_HEAD);
		evil_reset();
	}
	evil_offer(7, BUF, 16, 0);
	evil_offer(7, BUF, 16, 0);
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 1);
	evil_breaks(VIRTQ_FAULT_DUPLICATE);
	evil_release(1);
	evil_end();
}
END_TEST

START_TEST(QEMU_33abfea239)
{
	struct virtq_packed_desc d;

	evil_start(_i, NULL);
	raw_packed_offer(&ev.q.ring, BUF, 16, 99, VIRTQ_DESC_NEXT); /* an id where none counts */
	raw_packed_offer(&ev.q.ring, BUF, 16, 1, VIRTQ_DESC_NEXT);
	raw_packed_offer(&ev.q.ring, BUF, 16, 6, 0);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].id, 6);
	d = raw_packed_get(&ev.q.ring, 0);
	ck_assert_uint_eq(d.id, 6);
	ck_assert_uint_eq(d.flags, packed_used(1));
	evil_table(TABLE, 3, BUF, 16, 0); /* the table's entries have ids 1, 2, 3 */
	evil_offer(5, TABLE, 48, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].id, 5);
	ck_assert_uint_eq(raw_packed_get(&ev.q.ring, 3).id, 5);
	evil_end();
}
END_TEST

/* Chains complete in reverse while the driver rewrites the ring: only our own counts say where used entries go. */
START_TEST(QEMU_6fcf5ebafa)
{
	const struct evil_config cfg = {.size = 16, .in_order = 1};

	evil_start(_i, &cfg);
	for (uint16_t i = 0; i < 4; i++)
		evil_list((uint16_t)(3 * i), 3, BUF, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 4);
	for (uint16_t i = 0; i < 16; i++) {
		if (ev.packed)
			raw_packed(&ev.q.ring, i, NOWHERE, 0xffffffff, 0xffff, 0xff7f);
		else
			raw_desc(&ev.q.ring, i, NOWHERE, 0xffffffff, 0xffff, 0xffff);
	}
	for (uint16_t i = 4; i-- > 1;) {
		evil_push(&ev.chains[i], i);
		/* Held back: nothing can be seen. */
		if (ev.packed)
			ck_assert_uint_eq(raw_packed_get(&ev.q.ring, 0).flags, 0xff7f);
		else
			ck_assert_uint_eq(raw_used_idx(&ev.q.ring), 0);
	}
	evil_push(&ev.chains[0], 9);
	for (uint16_t i = 0; i < 4; i++) {
		uint32_t id, len;

		if (ev.packed) {
			struct virtq_packed_desc d = raw_packed_get(&ev.q.ring, (uint16_t)(3 * i));

			id = d.id;
			len = d.len;
			ck_assert_uint_eq(d.flags, packed_used(1) | VIRTQ_DESC_WRITE);
			ck_assert_uint_eq(raw_packed_get(&ev.q.ring, (uint16_t)(3 * i + 1)).flags, 0xff7f);
		} else {
			raw_used(&ev.q.ring, i, &id, &len);
		}
		ck_assert_uint_eq(id, 3u * i);
		ck_assert_uint_eq(len, i == 0 ? 9u : i);
	}
	evil_end();
}
END_TEST

/*
 * With IN_ORDER a chain that is done may still be held back behind an older one. Its entry is not
 * used yet, so the driver can't have it again: the places in the order of popping would run out.
 */
START_TEST(more_than_a_ring_held_back)
{
	const struct evil_config cfg = {.in_order = 1};
	struct virtq_state state;

	evil_start(_i, &cfg);
	evil_offer(0, 0x8000, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(1), 1);
	ev.chains[1] = ev.chains[0];
	for (uint16_t i = 1; i < 8; i++) {
		evil_offer(i, 0x8000, 16, VIRTQ_DESC_WRITE);
		evil_one();
	}
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 1);
	evil_offer(1, 0x8000, 16, VIRTQ_DESC_WRITE);
	/* Across a bus the id is looked at first: it waits for its turn. */
	if (ev.packed)
		evil_breaks(ev.dma ? VIRTQ_FAULT_DUPLICATE : VIRTQ_FAULT_TOO_MANY);
	else
		evil_breaks(VIRTQ_FAULT_AVAIL_IDX);
	ck_assert_int_eq(virtq_dev_release(&ev.q.ring.dev, &ev.chains[1], 1), 0);
	evil_reset();
	/* An honest one goes round as often as it likes. */
	for (uint16_t i = 0; i < 20; i++) {
		evil_offer(i % 8, 0x8000, 16, VIRTQ_DESC_WRITE);
		evil_one();
	}
	ck_assert_int_eq(virtq_dev_state(&ev.q.ring.dev, &state), 0);
	ck_assert_int_eq(virtq_state_check(&state, &ev.q.ring.features), 0);
	evil_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_index");
	TCase *tc = tcase_create("index");

	tcase_set_timeout(tc, 60);
	for (int mode = 0; mode < EVIL_MODES; mode += 2) {
		tcase_add_loop_test(tc, T0025, mode, mode + 1);
		tcase_add_loop_test(tc, rust_vmm_16f1b01, mode, mode + 1);
		tcase_add_loop_test(tc, T0024_T0057, mode, mode + 1);
		tcase_add_loop_test(tc, SPDK_374a9245b7, mode + 1, mode + 2);
		tcase_add_loop_test(tc, QEMU_33abfea239, mode + 1, mode + 2);
	}
	tcase_add_loop_test(tc, CVE_2016_5403, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_730677730, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CH_fbcf2fd6b, 0, 1);
	tcase_add_loop_test(tc, DPDK_3478fefb08, 0, EVIL_MODES);
	tcase_add_test(tc, openvmm_547661407b);
	tcase_add_loop_test(tc, more_than_a_ring_held_back, 0, EVIL_MODES);
	tcase_add_loop_test(tc, QEMU_6fcf5ebafa, 0, EVIL_MODES);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
