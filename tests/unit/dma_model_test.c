/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side across a bus against a plain model: random sizes, features, windows, delays, bursts. Each side
 * only looks when it was notified, so that a notification that should have been sent and was not stalls the test.
 */
#include <string.h>

#include "check_main.h"
#include "dma_mem.h"
#include "ring.h"

#define REQUESTS   400
#define MAX_PIECES 9
#define MAX_OUT    64

struct request {
	struct virtq_seg seg[MAX_PIECES];
	uint32_t nread;
	uint32_t nwrite;
	uint32_t written;
	int popped;
	int taken;
};

struct side {
	int awake;
	int notified; /* an edge, kept until the side goes to sleep */
};

static struct guest guest;
static struct ring ring;
static struct dma_mem mem;
static struct rng rng;
static struct request requests[REQUESTS];
static uint32_t added, popped, taken;
static struct virtq_chain out[MAX_OUT]; /* popped, not pushed */
static uint32_t out_request[MAX_OUT];
static uint32_t nout;
static struct side dev, drv;
static int wish_open;

static void set_up(uint64_t seed, int packed)
{
	struct ring_config cfg = {.region = -1};
	struct virtq_dev_config dc = {.dma = &mem.ops};

	rng_seed(&rng, seed);
	cfg.features = features_of(1, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	if (rng_one_in(&rng, 2))
		virtq_features_set(&cfg.features, VIRTQ_F_EVENT_IDX);
	if (rng_one_in(&rng, 2))
		virtq_features_set(&cfg.features, VIRTQ_F_IN_ORDER);
	if (rng_one_in(&rng, 2)) {
		virtq_features_set(&cfg.features, VIRTQ_F_INDIRECT_DESC);
		cfg.indirect_max = (uint16_t)(2 + rng_below(&rng, MAX_PIECES));
	}
	cfg.size = (uint16_t)(packed ? 1 + rng_below(&rng, 40) : 1u << rng_below(&rng, 7));
	dc.max_chain = MAX_PIECES * rng_below(&rng, 3);
	if (dc.max_chain < cfg.indirect_max)
		dc.max_chain = cfg.indirect_max;
	dc.dma_window = 1 + rng_below(&rng, rng_one_in(&rng, 2) ? 4 : 64);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	dma_mem_init(&mem, &guest, rng_below(&rng, 6), seed);
	ck_assert_int_eq(ring_dev_init(&ring, &dc, MAX_OUT), 0);
	added = popped = taken = nout = 0;
	wish_open = 0;
	memset(requests, 0, sizeof(requests));
	dev = drv = (struct side){.awake = 1};
}

static void random_request(struct request *q)
{
	uint32_t n = 1 + rng_below(&rng, MAX_PIECES);

	if (n > ring.size && (!ring.packed || ring.drv.indirect_max < n))
		n = 1 + rng_below(&rng, ring.size);
	q->nread = rng_below(&rng, n + 1);
	q->nwrite = n - q->nread;
	for (uint32_t i = 0; i < n; i++) /* nobody looks there */
		q->seg[i] = (struct virtq_seg){rng_next(&rng) >> 1, 1 + rng_below(&rng, 100000)};
}

static void driver_adds(void)
{
	uint32_t n = 1 + rng_below(&rng, 12);

	while (n-- > 0 && added < REQUESTS) {
		struct request *q = &requests[added];
		int rc;

		if (q->nread + q->nwrite == 0)
			random_request(q);
		rc = virtq_drv_add(&ring.drv, q->seg, q->nread, q->nwrite, q);
		if (rc == VIRTQ_ENOSPC)
			break;
		ck_assert_int_eq(rc, 0);
		added++;
	}
	virtq_drv_publish(&ring.drv);
	if (virtq_drv_should_kick(&ring.drv))
		dev.notified = 1;
}

static void driver_takes(void)
{
	struct virtq_done done[5];
	int n;

	n = virtq_drv_take(&ring.drv, done, 1 + rng_below(&rng, 5));
	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		struct request *q = done[i].cookie;

		ck_assert_int_eq(q->popped, 1);
		ck_assert_int_eq(q->taken, 0);
		ck_assert_uint_eq(done[i].written, q->written);
		q->taken = 1;
		taken++;
	}
	if (n == 0)
		drv.awake = virtq_drv_arm(&ring.drv);
}

static void check_chain(const struct virtq_chain *c, const struct request *q)
{
	ck_assert_uint_eq(c->nread, q->nread);
	ck_assert_uint_eq(c->nwrite, q->nwrite);
	for (uint32_t i = 0; i < c->nread + c->nwrite; i++) {
		ck_assert_uint_eq(c->seg[i].addr, q->seg[i].addr);
		ck_assert_uint_eq(c->seg[i].len, q->seg[i].len);
	}
}

/* 1: something was popped, or it may be soon. */
static int device_pops(void)
{
	struct virtq_chain chains[MAX_OUT];
	uint32_t max = 1 + rng_below(&rng, 20);
	int n;

	if (max > MAX_OUT - nout)
		max = MAX_OUT - nout;
	if (rng_one_in(&rng, 2))
		ck_assert_int_eq(virtq_dev_fetch(&ring.dev, 1 + rng_below(&rng, 70)), 0);
	n = virtq_dev_pop_seg(&ring.dev, chains, max, ring.seg, ring.niov);
	if (n <= 0) {
		ck_assert(n == 0 || n == VIRTQ_EAGAIN);
		if (n == VIRTQ_EAGAIN)
			ck_assert_uint_gt(mem.npending, 0); /* or it will wait for ever */
		return n != 0;
	}
	for (int i = 0; i < n; i++)
		check_chain(&chains[i], &requests[popped + (uint32_t)i]);
	if (rng_one_in(&rng, 8)) {
		uint32_t back = 1 + rng_below(&rng, (uint32_t)n);

		n -= (int)back;
		ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains + n, back), 0);
	}
	for (int i = 0; i < n; i++) {
		requests[popped].popped = 1;
		out_request[nout] = popped++;
		out[nout++] = chains[i];
	}
	return 1;
}

static void device_pushes(void)
{
	uint32_t n = nout > 0 ? 1 + rng_below(&rng, nout) : 0;

	while (n-- > 0) {
		uint32_t i = rng_below(&rng, nout);
		struct request *q = &requests[out_request[i]];

		q->written = rng_below(&rng, out[i].write_bytes + 1);
		ck_assert_int_eq(virtq_dev_push(&ring.dev, &out[i], &q->written, 1), 0);
		out[i] = out[--nout];
		out_request[i] = out_request[nout];
	}
	if (rng_one_in(&rng, 4))
		return; /* published with later ones */
	virtq_dev_publish(&ring.dev);
	wish_open = 1;
}

static void device_interrupts(void)
{
	int rc = virtq_dev_should_interrupt(&ring.dev);

	if (rc == VIRTQ_EAGAIN) {
		ck_assert_uint_gt(mem.npending, 0);
		return;
	}
	wish_open = 0;
	if (rc == 1)
		drv.notified = 1;
}

static void device_works(void)
{
	int more = nout < MAX_OUT ? device_pops() : 1;

	if (nout > 0 && rng_one_in(&rng, 2))
		device_pushes();
	if (wish_open && rng_one_in(&rng, 2))
		device_interrupts();
	if (rng_one_in(&rng, 10))
		virtq_dev_disarm(&ring.dev);
	if (more || nout > 0 || wish_open)
		return;
	virtq_dev_publish(&ring.dev);
	wish_open = 1;
	device_interrupts();
	if (wish_open)
		return;
	/* Not yet: calls again. A notification that comes meanwhile counts. */
	dev.awake = virtq_dev_arm(&ring.dev) != 0;
}

static void wake(struct side *s)
{
	if (!s->awake && s->notified) {
		s->awake = 1;
		s->notified = 0;
	}
}

static void run(uint64_t seed, int packed)
{
	uint32_t quiet = 0;

	set_up(seed, packed);
	while (taken < REQUESTS) {
		uint32_t before = added + popped + taken;

		if (added < REQUESTS && rng_one_in(&rng, 3))
			driver_adds();
		wake(&drv);
		wake(&dev);
		if (drv.awake && rng_one_in(&rng, 2))
			driver_takes();
		if (dev.awake)
			device_works();
		dma_mem_step(&mem, &ring.dev);
		quiet = before == added + popped + taken ? quiet + 1 : 0;
		ck_assert_msg(quiet < 5000, "stalls: seed %llu packed %d, added %u popped %u taken %u",
		              (unsigned long long)seed, packed, added, popped, taken);
	}
	dma_mem_drain(&mem, &ring.dev);
	ring_fini(&ring);
	guest_fini(&guest);
}

START_TEST(dma_model)
{
	unsigned long rounds = test_rounds(60);

	for (unsigned long i = 0; i < rounds; i++)
		run(i, _i);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("dma_model");
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, dma_model, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
