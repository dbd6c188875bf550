/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of hostile.tsv about memory that changes while it is read, and about the order of accesses; see rows.tsv. */
#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "ring_fixture.h"

#define TABLE UINT64_C(0x4000)
#define BUF   UINT64_C(0x8000)
#define END   (R0_END - 64) /* 64 bytes fit there */
#define BIG   0x10000u

/* A second thread that rewrites memory without end. */
static struct {
	pthread_t thread;
	int stop;
	uint8_t *at; /* stride bytes apart, count times: alternately these values */
	uint32_t stride;
	uint32_t count;
	uint32_t bytes;
	uint32_t value[2];
	int chaos; /* anything: count 16-byte descriptors */
} flip;

static void flip_once(uint32_t which)
{
	for (uint32_t i = 0; i < flip.count; i++) {
		uint8_t *p = flip.at + (size_t)i * flip.stride;

		if (flip.bytes == 2)
			__atomic_store_n((uint16_t *)p, htole16((uint16_t)flip.value[which]), __ATOMIC_RELAXED);
		else
			__atomic_store_n((uint32_t *)p, htole32(flip.value[which]), __ATOMIC_RELAXED);
	}
}

static void chaos_once(struct rng *rng)
{
	static const uint64_t where[] = {BUF,     TABLE,          R2 - 20, R0_END - 5,
	                                 NOWHERE, UINT64_MAX - 3, 0,       END};

	for (uint32_t i = 0; i < flip.count; i++) {
		uint8_t *p = flip.at + 16 * (size_t)i;
		uint64_t rest = (uint64_t)rng_below(rng, 12) * 16 | rng_next(rng) << 32;

		/* Links and flags that lead on more often than not. */
		if (!rng_one_in(rng, 4))
			rest &= UINT64_C(0x00070007ffffffff);
		__atomic_store_n((uint64_t *)p, htole64(where[rng_below(rng, 8)]), __ATOMIC_RELAXED);
		__atomic_store_n((uint64_t *)(p + 8), htole64(rest), __ATOMIC_RELAXED);
	}
}

static void *flip_always(void *arg)
{
	struct rng rng;

	(void)arg;
	rng_seed(&rng, 5);
	for (uint32_t i = 0; !__atomic_load_n(&flip.stop, __ATOMIC_RELAXED); i++) {
		if (flip.chaos)
			chaos_once(&rng);
		else
			flip_once(i % 2);
	}
	return NULL;
}

static void flip_start(void *at, uint32_t stride, uint32_t count, uint32_t bytes, uint32_t a,
                       uint32_t b)
{
	flip.at = at;
	flip.stride = stride;
	flip.count = count;
	flip.bytes = bytes;
	flip.value[0] = a;
	flip.value[1] = b;
	flip.stop = 0;
	ck_assert_int_eq(pthread_create(&flip.thread, NULL, flip_always, NULL), 0);
}

static void flip_end(void)
{
	__atomic_store_n(&flip.stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(flip.thread, NULL), 0);
}

/* The pieces of a chain lie in guest memory and make up the sums that it says. */
static void check_sound(const struct virtq_chain *c)
{
	uint64_t sum[2] = {0, 0};

	for (uint32_t i = 0; i < c->nread + c->nwrite; i++) {
		const uint8_t *base = c->iov[i].base;
		int inside = 0;

		for (uint32_t k = 0; k < ev.guest.nregions; k++) {
			const uint8_t *host = ev.guest.regions[k].host;
			size_t len = (size_t)ev.guest.regions[k].len;

			inside |=
				base >= host && base < host + len && c->iov[i].len <= (size_t)(host + len - base);
		}
		ck_assert(inside);
		ck_assert_uint_gt(c->iov[i].len, 0);
		sum[i >= c->nread] += c->iov[i].len;
	}
	ck_assert_uint_eq(sum[0], c->read_bytes);
	ck_assert_uint_eq(sum[1], c->write_bytes);
}

/* A length that fits, and then does not, and then fits. */
START_TEST(CVE_2024_51563)
{
	unsigned fits = 0, breaks = 0;
	struct virtq_fault f = {0};

	for (int round = 0; round < 300 || (round < 5000 && (fits == 0 || breaks == 0)); round++) {
		int n = 1;

		evil_start(_i, NULL);
		raw_desc(&ev.q.ring, 0, END, 64, 0, 0);
		flip_start(ev.q.ring.desc + 8, 16, ev.packed ? 8 : 1, 4, 64, BIG);
		for (int i = 0; i < 50 && n == 1; i++) {
			if (ev.packed)
				raw_packed_offer(&ev.q.ring, END, 64, 0, 0);
			else
				raw_offer(&ev.q.ring, 0);
			n = evil_pop(1);
			if (n == 1) {
				ck_assert_uint_eq(ev.chains[0].read_bytes, 64);
				ck_assert(evil_piece_is(&ev.chains[0], 0, END, 64));
				evil_push(&ev.chains[0], 0);
				fits++;
			}
		}
		if (n != 1) {
			ck_assert_int_eq(n, VIRTQ_EBROKEN);
			ck_assert_int_eq(virtq_dev_fault(&ev.q.ring.dev, &f), 1);
			ck_assert_uint_eq(f.reason, VIRTQ_FAULT_ADDRESS);
			breaks++;
		}
		flip_end();
		evil_end();
	}
	ck_assert_uint_gt(fits, 0); /* both were met, or nothing was tested */
	ck_assert_uint_gt(breaks, 0);
}
END_TEST

/* Bursts out of a ring and tables in which everything changes all the time. */
START_TEST(DPDK_25d53e1eb8)
{
	unsigned long rounds = test_rounds(300);
	unsigned good = 0;

	for (unsigned long round = 0; round < rounds || (good == 0 && round < 5000); round++) {
		const struct evil_config cfg = {.max_chain = 12};
		uint32_t none = 0;
		int n = 0, rc;

		evil_start(_i, &cfg);
		evil_table(TABLE, 12, BUF, 16, 0);
		for (uint16_t i = 0; i < 8; i++)
			raw_desc(&ev.q.ring, i, TABLE, 192, VIRTQ_DESC_INDIRECT, 0);
		flip.chaos = 1;
		if (round % 2)
			flip_start(ev.q.ring.desc, 16, 8, 16, 0, 0);
		else
			flip_start(guest_at(&ev.guest, TABLE, 192), 16, 12, 16, 0, 0);
		for (int i = 0; i < 40 && n >= 0; i++) {
			for (uint16_t k = 0; k < 8; k++) {
				if (ev.packed)
					raw_packed_offer(&ev.q.ring, TABLE, 192, k, VIRTQ_DESC_INDIRECT);
				else
					raw_offer(&ev.q.ring, k);
			}
			n = evil_pop(8);
			for (int k = 0; k < n; k++) {
				struct virtq_chain copy = ev.chains[k];

				check_sound(&ev.chains[k]);
				check_sound(&ev.chains[k]); /* and a second time, later */
				ck_assert_int_eq(memcmp(&copy, &ev.chains[k], sizeof(copy)), 0);
				ck_assert_uint_le(copy.nread + copy.nwrite, 12 + 1);
				/* Broken already, where a bad one ended the burst: then they are given back all the same. */
				rc = virtq_dev_push(&ev.q.ring.dev, &ev.chains[k], &none, 1);
				ck_assert(rc == 0 || rc == VIRTQ_EBROKEN);
				virtq_dev_publish(&ev.q.ring.dev);
				good++;
			}
			if (ev.packed || n < 8)
				break; /* what is left would be met as a duplicate */
		}
		flip_end();
		ck_assert(n >= 0 || n == VIRTQ_EBROKEN);
		evil_end();
	}
	ck_assert_uint_gt(good, 0);
}
END_TEST

/* Which request it is changes while it is looked at: what comes out belongs together. */
START_TEST(CVE_2020_14375)
{
	unsigned seen[2] = {0, 0};

	for (int round = 0; round < 50 || (round < 5000 && (seen[0] == 0 || seen[1] == 0)); round++) {
		uint32_t id = 0, len;

		evil_start(_i, NULL);
		raw_desc(&ev.q.ring, 3, BUF + 0x300, 30, 0, 0);
		raw_desc(&ev.q.ring, 5, BUF + 0x500, 50, 0, 0);
		for (uint16_t i = 0; i < 8 && !ev.packed; i++)
			raw_avail_entry(&ev.q.ring, i, 3);
		if (ev.packed)
			flip_start(ev.q.ring.desc + 12, 16, 8, 2, 3, 5); /* ids */
		else
			flip_start(ev.q.ring.driver + 4, 2, 8, 2, 3, 5); /* heads */
		for (uint16_t used = 0; used < 100; used++) {
			if (ev.packed)
				raw_packed_offer(&ev.q.ring, BUF, 16, 3, 0);
			else
				raw_avail_idx(&ev.q.ring, (uint16_t)(used + 1));
			ck_assert_int_eq(evil_pop(1), 1);
			id = ev.chains[0].id;
			ck_assert(id == 3 || id == 5);
			if (!ev.packed)
				ck_assert(evil_piece_is(&ev.chains[0], 0, BUF + 0x100 * id, 10 * id));
			seen[id == 5]++;
			if (used == 99)
				flip_end(); /* what we write then stays */
			evil_push(&ev.chains[0], 0);
		}
		if (ev.packed)
			id = raw_packed_get(&ev.q.ring, 99 % 8).id;
		else
			raw_used(&ev.q.ring, 99 % 8, &id, &len);
		ck_assert_uint_eq(id, ev.chains[0].id);
		evil_end();
	}
	ck_assert_uint_gt(seen[0], 0);
	ck_assert_uint_gt(seen[1], 0);
}
END_TEST

/* Barriers as the platform's: what the other side does at that very moment must be seen, or must not. */
static struct {
	int armed; /* calls until it does something */
	int done;
	void (*what)(void);
} hook;

static void hook_run(void *ctx)
{
	(void)ctx;
	if (hook.armed) {
		hook.armed = 0;
		hook.done++;
		hook.what();
	}
}

static void hook_on(void (*what)(void))
{
	hook.armed = 1;
	hook.what = what;
}

static void fill_in_behind_index(void)
{
	if (ev.packed) {
		raw_packed(&ev.q.ring, 0, BUF, 16, 2, packed_avail(1));
	} else {
		raw_desc(&ev.q.ring, 2, BUF, 16, 0, 0);
		raw_avail_entry(&ev.q.ring, 0, 2);
	}
}

static void nothing_shown_yet(void)
{
	uint32_t id, len;

	if (ev.packed) { /* all but the flags */
		ck_assert_uint_eq(raw_packed_get(&ev.q.ring, 0).flags & VIRTQ_DESC_USED, 0);
		ck_assert_uint_eq(raw_packed_get(&ev.q.ring, 0).id, 2);
	} else {
		raw_used(&ev.q.ring, 0, &id, &len);
		ck_assert_uint_eq(id, 2);
		ck_assert_uint_eq(raw_used_idx(&ev.q.ring), 0);
	}
}

START_TEST(kvmtool_15c4e1e)
{
	const struct virtq_platform rd = {.size = sizeof(rd), .read_barrier = hook_run};
	const struct virtq_platform wr = {.size = sizeof(wr), .write_barrier = hook_run};
	struct evil_config cfg = {.platform = &rd};

	/* The index (flags) is read before the entry and the descriptor. */
	evil_start(_i, &cfg);
	if (ev.packed)
		raw_packed(&ev.q.ring, 0, NOWHERE, 99, 77, packed_avail(1));
	else
		raw_offer(&ev.q.ring, 0xffff);
	hook.done = 0;
	hook_on(fill_in_behind_index);
	evil_one();
	ck_assert_int_eq(hook.done, 1);
	ck_assert_uint_eq(ev.chains[0].id, 2);
	ck_assert(evil_piece_is(&ev.chains[0], 0, BUF, 16));
	evil_end();
	/* The entry is written before the index (flags). */
	cfg.platform = &wr;
	evil_start(_i, &cfg);
	evil_offer(2, BUF, 16, 0);
	hook_on(nothing_shown_yet);
	evil_one();
	ck_assert_int_eq(hook.done, 2);
	evil_end();
}
END_TEST

static void want_interrupt(void)
{
	if (ev.packed) {
		ck_assert_uint_ne(raw_packed_get(&ev.q.ring, 0).flags & VIRTQ_DESC_USED, 0); /* shown */
		raw_driver_event(&ev.q.ring, VIRTQ_STATE_WRAP, VIRTQ_EVENT_DESC);
	} else {
		ck_assert_uint_eq(raw_used_idx(&ev.q.ring), 1);
		raw_used_event(&ev.q.ring, 0);
	}
}

static void offer_late(void)
{
	uint16_t place, flags;

	if (ev.packed) {
		raw_device_event(&ev.q.ring, &place, &flags);
		ck_assert_uint_eq(place, 1 | VIRTQ_STATE_WRAP);
		ck_assert_uint_eq(flags, VIRTQ_EVENT_DESC);
	} else {
		ck_assert_uint_eq(raw_avail_event(&ev.q.ring), 1);
	}
	evil_offer(1, BUF, 16, 0);
}

START_TEST(SPDK_df8d361f6c)
{
	const struct virtq_platform pf = {.size = sizeof(pf), .barrier = hook_run};
	const struct evil_config cfg = {.platform = &pf, .event_idx = 1};

	evil_start(_i, &cfg);
	if (ev.packed)
		raw_driver_event(&ev.q.ring, 0, VIRTQ_EVENT_DISABLE);
	else
		raw_used_event(&ev.q.ring, 0x8000);
	evil_offer(0, BUF, 16, 0);
	evil_one();
	hook.done = 0;
	hook_on(want_interrupt);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ev.q.ring.dev), 1);
	/* The same the other way round: it asks for notifications, and at that moment one comes. */
	hook_on(offer_late);
	ck_assert_int_eq(virtq_dev_arm(&ev.q.ring.dev), 1);
	ck_assert_int_eq(hook.done, 2);
	evil_one();
	evil_end();
}
END_TEST

static int interrupts(void)
{
	int rc;

	while ((rc = virtq_dev_should_interrupt(&ev.q.ring.dev)) == VIRTQ_EAGAIN)
		dma_mem_drain(&ev.q.mem, &ev.q.ring.dev);
	return rc;
}

/* Any event the driver may name: no more than a wish, and exactly that. */
START_TEST(T0027)
{
	const struct evil_config cfg = {.event_idx = 1};
	struct rng rng;
	uint32_t used = 0; /* in all */

	evil_start(_i, &cfg);
	rng_seed(&rng, 3);
	for (int i = 0; i < 20000; i++) {
		uint32_t n = 1 + rng_below(&rng, 7), want = 0;
		uint16_t event = (uint16_t)(rng_one_in(&rng, 2) ? used + rng_below(&rng, 20) - 8
		                                                : (uint32_t)rng_next(&rng));

		if (ev.packed) {
			if (rng_one_in(&rng, 2))
				event = (uint16_t)(used + rng_below(&rng, 12)) % 8 |
				        (rng_one_in(&rng, 2) ? VIRTQ_STATE_WRAP : 0);
			raw_driver_event(&ev.q.ring, event, VIRTQ_EVENT_DESC);
		} else {
			raw_used_event(&ev.q.ring, event);
		}
		for (uint32_t k = 0; k < n; k++, used++) {
			uint16_t place_wrap = (uint16_t)(used % 8 | (used / 8 % 2 == 0 ? VIRTQ_STATE_WRAP : 0));

			evil_offer((uint16_t)(used % 8), BUF, 16, 0);
			evil_one();
			want |= event == (ev.packed ? place_wrap : (uint16_t)used);
		}
		if (ev.packed && (event & ~VIRTQ_STATE_WRAP) >= 8)
			ck_assert_int_ge(interrupts(), 0); /* a place that is none: either will do */
		else
			ck_assert_int_eq(interrupts(), (int)want);
	}
	if (ev.packed) {
		for (uint32_t flags = 0; flags < 0x10000; flags += 251) { /* bits that mean nothing */
			raw_driver_event(&ev.q.ring, 0, (uint16_t)flags);
			evil_offer((uint16_t)(used % 8), BUF, 16, 0);
			evil_one();
			used++;
			ck_assert_int_ge(interrupts(), 0);
		}
	}
	evil_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_race");
	TCase *tc = tcase_create("race");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, CVE_2024_51563, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, DPDK_25d53e1eb8, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CVE_2020_14375, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, kvmtool_15c4e1e, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, SPDK_df8d361f6c, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, T0027, 0, EVIL_MODES);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
