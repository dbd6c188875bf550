/* SPDX-License-Identifier: BSD-3-Clause */
/* Network devices whose frames, buffers and rings lie in one another, or come back. _i & 1: packed. */
#include <pthread.h>
#include <string.h>

#include <vdev/netif_simple.h>

#include "check_main.h"
#include "net_evil.h"
#include "rng.h"

/* --- frames that come back ---------------------------------------------------------------------- */

static unsigned depth, deepest;

/* What a driver could do in its interrupt: tell the device to send, in the middle of its sending. */
static void kick_again(void *ctx, unsigned q)
{
	struct net_fixture *f = ctx;

	if (q == UINT32_MAX || f->l == NULL || depth > 100)
		return;
	depth++;
	if (deepest < depth)
		deepest = depth;
	vdev_loopback_kick(f->l, 1);
	vdev_loopback_kick(f->l, 0);
	depth--;
}

/* A device whose netif gives back what it sends, from inside. */
static void start_echo(struct net_fixture *f, int way, int mergeable)
{
	uint64_t bytes;
	struct vdev_netif *echo;

	net_init(f, way & 1, 0);
	if (way & 2)
		net_want(f, VIRTQ_F_IN_ORDER);
	if (mergeable)
		net_want(f, VDEV_NET_F_MRG_RXBUF);
	f->cfg.interrupt = kick_again;
	f->cfg.ctx = f;
	f->cfg.queue_size = 64;
	ck_assert_int_eq(vdev_netif_echo_new(&echo, &f->env), 0);
	f->net_cfg.own_netif = 1;
	ck_assert_int_eq(vdev_net_new(&f->v, &f->env, echo, &f->net_cfg), 0);
	ck_assert_int_eq(vdev_loopback_new(&f->l, &f->env, f->v, &f->cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
	f->at = (uint64_t)((uint8_t *)vdev_loopback_memory(f->l, NULL, &bytes) - f->memory);
	depth = deepest = 0;
}

START_TEST(CVE_2023_3019)
{
	static uint8_t frame[LONG];
	struct net_fixture f;
	uint8_t *p;

	start_echo(&f, _i, 0);
	for (unsigned round = 0; round < 20; round++) {
		f.at = 1 << 20;
		for (uint8_t i = 0; i < 40; i++) {
			(void)net_buffer(&f, 0, BUFFER, 1);
			fill(frame, LONG, i);
			net_send(&f, 0, no_hdr, frame, LONG, NULL);
		}
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		for (uint8_t i = 0; i < 40; i++) {
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			p = net_received(&f, 0, NULL);
			ck_assert_ptr_nonnull(p);
			fill(frame, LONG, i);
			ck_assert_mem_eq(p + HDR + 12, frame + 12, LONG - 12);
			ck_assert_mem_eq(p + HDR, frame + 6, 6);
		}
	}
	ck_assert_uint_gt(deepest, 0);
	ck_assert_uint_le(deepest, 4);
	ck_assert_uint_eq(counters(&f).received, 800);
	net_fini(&f);
}
END_TEST

/* What is sent lies in the very buffer in which it comes back. */
START_TEST(received_where_it_is_sent)
{
	static const uint32_t lens[] = {14, 49, 60, 64, 65, 200, 1514};
	struct net_fixture f;

	start_echo(&f, _i, _i & 4);
	for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
		for (int off = -70; off < 70; off += 3) {
			uint64_t gpa = NET_GPA + (1 << 20);
			struct virtq_seg seg[] = {{gpa, HDR + lens[k]},
			                          {gpa + (uint64_t)(int64_t)off, BUFFER / 2},
			                          {gpa + (uint64_t)(int64_t)off + BUFFER / 2, BUFFER / 2}};

			memset(f.memory + (1 << 20) - 100, 0, 4096);
			offer(&f, 0, &seg[1], 0, k % 2 ? 2 : 1);
			offer(&f, 1, seg, 1, 0);
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			(void)net_received(&f, 0, NULL);
			while (off % 9 == 0 && virtq_drv_inflight(vdev_loopback_drv(f.l, 0)) > 32)
				works_after_reset(&f);
		}
	}
	ck_assert_int_eq(broken(&f), 0);
	ck_assert_uint_gt(counters(&f).received, 100);
	net_fini(&f);
}
END_TEST

/* --- memory that is not what it seems ------------------------------------------------------------- */

/* Two receive buffers in the same place: the driver gets what it asked for. */
START_TEST(buffers_that_overlap)
{
	static uint8_t frame[2][200];
	struct vdev_frame fr[2];
	struct net_fixture f;
	struct virtq_iov iov[2];

	for (uint32_t off = 0; off < 300; off += 29) {
		struct virtq_seg seg = {.addr = NET_GPA + (1 << 20), .len = 400};
		struct virtq_done done[2];

		net_init(&f, _i & 1, 0);
		if (_i & 2)
			net_want(&f, VDEV_NET_F_MRG_RXBUF);
		net_start(&f);
		offer(&f, 0, &seg, 0, 1);
		seg.addr += off;
		offer(&f, 0, &seg, 0, 1);
		for (uint8_t i = 0; i < 2; i++) {
			fill(frame[i], 200, i);
			fr[i] = net_frame(&iov[i], frame[i], 200);
		}
		ck_assert_uint_eq(net_push(&f, fr, 2), 2);
		ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(f.l, 0), done, 2), 2);
		ck_assert_uint_eq(done[0].written, HDR + 200);
		ck_assert_uint_eq(done[1].written, HDR + 200);
		ck_assert_mem_eq(f.memory + (1 << 20) + off + HDR, frame[1], 200);
		net_fini(&f);
	}
}
END_TEST

/* A receive buffer over the receive queue itself: whatever becomes of the queue, the device is there after a reset. */
START_TEST(buffer_over_the_ring)
{
	static uint8_t frame[4][1514];
	struct rng rng;
	unsigned survived = 0;

	rng_seed(&rng, (uint64_t)_i);
	for (unsigned round = 0; round < 24; round++) {
		struct virtq_state at;
		struct vdev_frame fr[4];
		struct net_fixture f;
		struct virtq_iov iov[4];
		uint64_t part;

		net_init(&f, _i & 1, 0);
		if (_i & 2)
			net_want(&f, VDEV_NET_F_MRG_RXBUF);
		if (_i & 4)
			net_want(&f, VIRTQ_F_IN_ORDER);
		net_start(&f);
		virtq_drv_state(vdev_loopback_drv(f.l, 0), &at);
		part = round % 3 == 0 ? at.desc : round % 3 == 1 ? at.driver : at.device;
		for (unsigned i = 0; i < 12; i++) {
			struct virtq_seg seg = {part + 4 * (uint64_t)rng_below(&rng, 32), BUFFER};

			if (rng_below(&rng, 2))
				(void)net_buffer(&f, 0, BUFFER, 1);
			else
				ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &seg, 0, 1, &f), 0);
		}
		virtq_drv_publish(vdev_loopback_drv(f.l, 0));
		for (unsigned push = 0; push < 8; push++) {
			for (unsigned i = 0; i < 4; i++) {
				/* bytes that could be part of a ring, or anything */
				for (unsigned k = 0; k < sizeof(frame[i]); k++)
					frame[i][k] = (uint8_t)(rng_below(&rng, 2) ? 0 : rng_next(&rng) >> 32);
				fr[i] = net_frame(&iov[i], frame[i], 14 + rng_below(&rng, 1500));
			}
			ck_assert_uint_eq(net_push(&f, fr, 4), 4);
			net_run(&f);
		}
		survived += !broken(&f);
		works_after_reset(&f);
		net_fini(&f);
	}
	ck_assert_uint_lt(survived, 24); /* it was not in vain */
}
END_TEST

struct scribbler {
	uint8_t *at;
	size_t bytes;
	int stop;
};

static __attribute__((no_sanitize("thread"))) void *scribble(void *arg)
{
	struct scribbler *s = arg;
	struct rng rng;

	rng_seed(&rng, 5);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		for (unsigned i = 0; i < 64; i++)
			__atomic_store_n(&s->at[rng_below(&rng, (uint32_t)s->bytes)],
			                 (uint8_t)(rng_next(&rng) >> 32), __ATOMIC_RELAXED);
	return NULL;
}

/* Headers and frames change while they are sent and received: what is sent is something, and the device lives. */
START_TEST(frames_that_change)
{
	enum { CHAINS = 8, ROUNDS = 400 };
	struct scribbler s = {0};
	struct net_fixture f;
	uint64_t sent = 0;
	pthread_t thread;

	start_echo(&f, _i, _i & 4);
	s.at = f.memory + (1 << 20);
	s.bytes = 2048;
	ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &s), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		f.at = 2 << 20;
		for (uint32_t i = 0; i < CHAINS; i++) {
			struct virtq_seg seg[3] = {{NET_GPA + (1 << 20) + i * 8, i % 2 ? HDR : 5},
			                           {NET_GPA + (1 << 20) + 20 + i * 8, 100 + 100 * i},
			                           {NET_GPA + (1 << 20) + 200, 3}};

			(void)net_buffer(&f, 0, BUFFER, 1 + i % 3);
			ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 1), i % 4 == 3 ? &seg[1] : seg,
			                               i % 4 == 3 ? 1 : 2 + i % 2, 0, &f),
			                 0);
		}
		virtq_drv_publish(vdev_loopback_drv(f.l, 1));
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		for (uint32_t i = 0; i < CHAINS; i++)
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
		while (net_received(&f, 0, NULL))
			;
		if (virtq_drv_free(vdev_loopback_drv(f.l, 0)) < 3 * CHAINS) {
			sent += counters(&f).sent;
			ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
			ck_assert_int_eq(vdev_loopback_start(f.l), 0);
		}
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(broken(&f), 0);
	ck_assert_uint_gt(sent + counters(&f).sent + counters(&f).malformed, 0);
	net_fini(&f);
}
END_TEST

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_REPORTED 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define RACES_ARE_REPORTED 1
#endif
#ifndef RACES_ARE_REPORTED
#define RACES_ARE_REPORTED 0
#endif

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil net memory");
	TCase *tc = tcase_create("evil net memory");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, CVE_2023_3019, 0, 4);
	tcase_add_loop_test(tc, received_where_it_is_sent, 0, 8);
	tcase_add_loop_test(tc, buffers_that_overlap, 0, 4);
	tcase_add_loop_test(tc, buffer_over_the_ring, 0, 8);
#if !RACES_ARE_REPORTED
	tcase_add_loop_test(tc, frames_that_change, 0, 8);
#else
	(void)frames_that_change; /* the race is the test */
#endif
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
