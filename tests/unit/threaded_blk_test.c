/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device whose queues belong to threads of their own, while another thread changes limit,
 * capacity and cache mode, and resets it in the middle of everything. Meant for ThreadSanitizer
 * too.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blk_fixture.h"

enum { QUEUES = 3, SLOTS = 8, SLOT = 2048 };

struct owner {
	struct blk_fx *fx;
	unsigned q;
	unsigned stop;
	uint64_t done;
	uint64_t bad; /* answers that can't be */
	pthread_t thread;
};

static void wake(void *ctx)
{
	(void)ctx; /* owners look all the time */
}

/* Fill a slot with a request and make it available: a read of a sector that holds its own number, or a write of it. */
static void add(struct owner *o, unsigned slot)
{
	uint64_t at = (o->q * SLOTS + slot) * SLOT;
	uint8_t *p = o->fx->shared + at;
	struct virtq_seg seg[3] = {{o->fx->shared_gpa + at, 16},
	                           {o->fx->shared_gpa + at + 512, 512},
	                           {o->fx->shared_gpa + at + 1024, 1}};
	int write = (slot & 1) != 0;

	memset(p, 0, 16);
	p[0] = (uint8_t)write;
	p[8] = (uint8_t)(o->q * SLOTS + slot);
	memset(p + 512, write ? p[8] : 0xee, 512);
	p[1024] = BLK_S_UNTOUCHED;
	ck_assert_int_eq(
		virtq_drv_add(vdev_loopback_drv(o->fx->l, o->q), seg, write ? 2u : 1u, write ? 1u : 2u, p),
		0);
}

static void check(struct owner *o, const uint8_t *p)
{
	o->done++;
	if (p[1024] != BLK_S_OK)
		o->bad++;
	else if (p[512] != p[8] || p[1023] != p[8])
		o->bad++;
}

static void *own(void *ctx)
{
	struct owner *o = ctx;
	struct virtq_drv *drv = vdev_loopback_drv(o->fx->l, o->q);
	struct virtq_done done[SLOTS];

	for (unsigned slot = 0; slot < SLOTS; slot++)
		add(o, slot);
	while (!__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE)) {
		int n;

		virtq_drv_publish(drv);
		if (!vdev_queue_run(o->fx->v, o->q, 0))
			sched_yield();
		if (!vdev_queue_started(o->fx->v, o->q))
			continue;
		n = virtq_drv_take(drv, done, SLOTS);
		for (int i = 0; i < n; i++) {
			const uint8_t *p = done[i].cookie;

			check(o, p);
			add(o, (unsigned)((uint64_t)(p - o->fx->shared) / SLOT % SLOTS));
		}
	}
	return NULL;
}

static uint64_t ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t real_now(void *ctx)
{
	(void)ctx;
	return ms() * 1000000;
}

static void set_owners(struct blk_fx *fx, struct owner *o, int on)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		struct vdev_owner owner = {wake, &o[q]};

		ck_assert_int_eq(vdev_queue_set_owner(fx->v, q, on ? &owner : NULL), 0);
	}
}

static void start(struct blk_fx *fx, struct owner *o, int kind)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .nqueues = QUEUES}};
	struct vdev_env env;

	/* A clock and an allocator that threads may use. */
	fx_make(fx, kind, &cfg);
	ck_assert_int_eq(vdev_free(fx->v), 0);
	env = *vdev_env_hosted();
	env.now = real_now;
	ck_assert_int_eq(vdev_blk_new(&fx->v, &env, &fx->disk->disk, &cfg.blk), 0);
	for (unsigned i = 0; i < QUEUES * SLOTS; i++)
		memset(fx->disk->data + i * 512, (int)i, 512);
	fx_attach(fx, kind, &cfg);
	for (unsigned q = 0; q < QUEUES; q++) {
		ck_assert_int_eq(vdev_queue_stop(fx->v, q), 0);
		o[q] = (struct owner){.fx = fx, .q = q};
	}
	set_owners(fx, o, 1);
	for (unsigned q = 0; q < QUEUES; q++) {
		struct vdev_queue_setup setup = {0};

		virtq_drv_state(vdev_loopback_drv(fx->l, q), &setup.state);
		ck_assert_int_eq(vdev_queue_start(fx->v, q, &setup), VIRTQ_EAGAIN);
		ck_assert_int_eq(pthread_create(&o[q].thread, NULL, own, &o[q]), 0);
	}
}

START_TEST(control_while_queues_are_busy)
{
	struct vdev_blk_limit limit = {.ops_per_s = 2000, .ops_burst = 10, .bytes_per_s = 1 << 30};
	struct vdev_blk_limit off = {0};
	struct owner o[QUEUES];
	struct vdev_counters c;
	struct blk_fx fx;
	uint64_t until;
	uint8_t writeback = 0;
	int rc;

	start(&fx, o, _i);
	until = ms() + 400;
	while (ms() < until) {
		ck_assert_int_eq(vdev_blk_set_limit(fx.v, &limit), 0);
		ck_assert_int_eq(vdev_blk_resized(fx.v), 0);
		vdev_config_write(fx.v, 32, &writeback, 1);
		writeback ^= 1;
		vdev_queue_counters(fx.v, 0, &c);
		sched_yield();
	}
	ck_assert_int_eq(vdev_blk_set_limit(fx.v, &off), 0);
	until = ms() + 200;
	while (ms() < until)
		sched_yield();
	if (_i & FX_ASYNC)
		slow_disk_delay(fx.disk, 5);
	until = ms() + 50;
	while (ms() < until)
		sched_yield();
	rc = vdev_set_status(fx.v, 0);
	ck_assert(rc == 0 || rc == VIRTQ_EAGAIN);
	until = ms() + 20000;
	while (vdev_status(fx.v) != 0) {
		ck_assert_uint_lt(ms(), until);
		sched_yield();
	}
	ck_assert_uint_eq(slow_disk_held(fx.disk), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		__atomic_store_n(&o[q].stop, 1, __ATOMIC_RELEASE);
		pthread_join(o[q].thread, NULL);
		ck_assert_uint_gt(o[q].done, SLOTS);
		ck_assert_uint_eq(o[q].bad, 0);
	}
	set_owners(&fx, o, 0);
	fx_stop(&fx);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_blk");
	TCase *tc = tcase_create("threaded_blk");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, control_while_queues_are_busy, 0, FX_KINDS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
