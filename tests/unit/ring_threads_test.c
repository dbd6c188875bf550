/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driver and device on a thread each, which sleep whenever they may. What must hold: every request arrives whole and
 * in order of publishing, every answer comes back, and nobody sleeps for ever: a barrier that is missing shows here.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check_main.h"
#include "ring.h"
#include "rng.h"

#define SIZE          8
#define BUFFER_BYTES  16
#define SLEEP_SECONDS 20

struct pair {
	struct guest guest;
	struct ring ring;
	uint64_t buffers; /* SIZE of them: 8 bytes to read, 8 to write */
	_Atomic int kick, interrupt;
	uint32_t count;   /* requests to pass */
	_Atomic int lost; /* a side slept too long, or saw what it must not see */
};

/* A flag rather than a semaphore: it is cheap, so that sleeping and waking meet more often. */
static void wake(_Atomic int *flag)
{
	atomic_store(flag, 1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sleep until notified. Notifications from before are forgotten first, and the ring is looked at once more. */
static int sleep_on(struct pair *p, _Atomic int *flag, int (*arm)(struct pair *))
{
	double until;
	int more;

	atomic_store(flag, 0);
	more = arm(p);
	if (more != 0)
		return more > 0;
	for (unsigned spins = 0; spins < 1000; spins++)
		if (atomic_load_explicit(flag, memory_order_acquire))
			return 1;
	for (until = now() + SLEEP_SECONDS; !atomic_load(flag); sched_yield())
		if (now() > until)
			return 0;
	return 1;
}

static int drv_arm(struct pair *p)
{
	return virtq_drv_arm(&p->ring.drv);
}

static int dev_arm(struct pair *p)
{
	return virtq_dev_arm(&p->ring.dev);
}

static uint64_t *cell(struct pair *p, uint32_t slot, uint32_t which)
{
	return guest_at(&p->guest, p->buffers + slot * BUFFER_BYTES + which * 8, 8);
}

/* Serve n chains: each number must be the next one, and goes back doubled. */
static int serve(struct pair *p, const struct virtq_chain *chains, uint32_t n, uint64_t *next)
{
	const uint32_t written[SIZE] = {8, 8, 8, 8, 8, 8, 8, 8};

	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];
		uint64_t v;

		if (c->nread != 1 || c->nwrite != 1 || c->read_bytes != 8 || c->write_bytes != 8)
			return 0;
		memcpy(&v, c->iov[0].base, sizeof(v));
		if (v != (*next)++)
			return 0;
		v *= 2;
		memcpy(c->iov[1].base, &v, sizeof(v));
	}
	if (virtq_dev_push(&p->ring.dev, chains, written, n) != 0)
		return 0;
	virtq_dev_publish(&p->ring.dev);
	if (virtq_dev_should_interrupt(&p->ring.dev) == 1)
		wake(&p->interrupt);
	return 1;
}

static void *device(void *arg)
{
	struct pair *p = arg;
	struct ring *r = &p->ring;
	struct virtq_chain chains[SIZE];
	struct rng rng;
	uint64_t next = 0;

	rng_seed(&rng, 1);
	while (next < p->count) {
		int n = virtq_dev_pop(&r->dev, chains, 1 + rng_below(&rng, SIZE), r->iov, r->niov);

		if (n < 0 || (n > 0 && !serve(p, chains, (uint32_t)n, &next)) ||
		    (n == 0 && !sleep_on(p, &p->kick, dev_arm))) {
			p->lost = 1;
			wake(&p->interrupt);
			break;
		}
	}
	return NULL;
}

static int offer(struct pair *p, uint32_t slot, uint64_t number)
{
	struct virtq_seg seg[2] = {{p->buffers + slot * BUFFER_BYTES, 8},
	                           {p->buffers + slot * BUFFER_BYTES + 8, 8}};

	*cell(p, slot, 0) = number;
	return virtq_drv_add(&p->ring.drv, seg, 1, 1, (void *)(uintptr_t)slot);
}

/* Take what has come back. Returns how many, -1 when one is wrong. */
static int collect(struct pair *p, uint32_t *idle, uint32_t *nidle)
{
	struct virtq_done done[SIZE];
	int n = virtq_drv_take(&p->ring.drv, done, SIZE);

	for (int i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)(uintptr_t)done[i].cookie;

		if (done[i].written != 8 || *cell(p, slot, 1) != *cell(p, slot, 0) * 2)
			return -1;
		idle[(*nidle)++] = slot;
	}
	return n;
}

static void drive(struct pair *p)
{
	uint32_t idle[SIZE], nidle = 0, sent = 0, back = 0;
	struct rng rng;

	rng_seed(&rng, 2);
	for (; nidle < SIZE; nidle++)
		idle[nidle] = nidle;
	while (back < p->count && !p->lost) {
		uint32_t burst = 1 + rng_below(&rng, 3), added = 0;
		int n;

		for (; burst > 0 && nidle > 0 && sent < p->count; burst--, added++) {
			if (offer(p, idle[nidle - 1], sent) != 0)
				break;
			nidle--;
			sent++;
		}
		virtq_drv_publish(&p->ring.drv);
		if (added > 0 && virtq_drv_should_kick(&p->ring.drv))
			wake(&p->kick);
		n = collect(p, idle, &nidle);
		if (n < 0 || (n == 0 && added == 0 && !sleep_on(p, &p->interrupt, drv_arm)))
			p->lost = 1;
		back += n > 0 ? (uint32_t)n : 0;
	}
}

/* _i: bit 0 the layout, bit 1 EVENT_IDX, bit 2 IN_ORDER. */
START_TEST(nobody_sleeps_for_ever)
{
	struct ring_config cfg = {.size = SIZE * 2, .region = 0};
	struct pair *p = calloc(1, sizeof(*p));
	pthread_t thread;

	ck_assert_ptr_nonnull(p);
	if (_i & 1)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	if (_i & 2)
		virtq_features_set(&cfg.features, VIRTQ_F_EVENT_IDX);
	if (_i & 4)
		virtq_features_set(&cfg.features, VIRTQ_F_IN_ORDER);
	p->count = (uint32_t)test_rounds(200000);
	guest_init(&p->guest, NULL, 0);
	ring_init(&p->ring, &p->guest, &cfg);
	p->buffers = guest_alloc(&p->guest, SIZE * BUFFER_BYTES, 16);
	ck_assert_int_eq(ring_dev_init(&p->ring, NULL, SIZE), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, device, p), 0);
	drive(p);
	wake(&p->kick);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(p->lost, 0);
	ck_assert_uint_eq(virtq_drv_inflight(&p->ring.drv), 0);
	ring_fini(&p->ring);
	guest_fini(&p->guest);
	free(p);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ring threads");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, nobody_sleeps_for_ever, 0, 8);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
