/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The quick way for buffers against the usual one: two queues in the same state, to which the same happens, one served
 * with take, give and untake, the other with pop, push and unpop. Both must find the same buffers, write the same used
 * entries, and want the same notifications.
 */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "ring.h"
#include "rng.h"

#include "../../libvirtq/dev_wide.h"

enum { BURST = 24, TABLE = 4, OUT = 8, STEPS = 1000 };
enum { EVENT_IDX = 1, IN_ORDER = 2, PACKED = 4, PLAIN = 8, WAYS = 16 };

/* Chains that stay out for a while. */
struct out {
	struct virtq_chain chain[2];
	struct virtq_iov iov[2][TABLE];
};

struct twins {
	struct guest guest;
	struct ring ring[2]; /* the quick one, and the usual one */
	struct rng rng;
	uint64_t buffers[2];
	struct virtq_dev_config dev_config;
	struct out out[OUT];
	uint32_t nout;
	uint64_t taken, popped, interrupts; /* what happened, so that nothing is tested in vain */
	uintptr_t serial;
};

static struct twins t;

/* Check notes each of its assertions, which is slow where there are many. */
#define MUST(cond)                                                                                 \
	do {                                                                                           \
		if (!(cond))                                                                               \
			ck_abort_msg(#cond);                                                                   \
	} while (0)

static uint16_t ring_size(unsigned way)
{
	static const uint16_t packed[] = {1, 2, 3, 5, 7, 13, 16, 40}, split[] = {1, 2, 4, 8, 16, 64};

	return way & PACKED ? packed[rng_below(&t.rng, 8)] : split[rng_below(&t.rng, 6)];
}

static void set_up(unsigned way, uint64_t seed)
{
	static const struct virtq_region regions[] = {{.gpa = 0, .len = 1 << 20},
	                                              {.gpa = 1 << 20, .len = 1 << 20}};
	struct ring_config cfg = {.indirect_max = TABLE, .region = 0};

	memset(&t, 0, sizeof(t));
	rng_seed(&t.rng, seed);
	guest_init(&t.guest, regions, 2);
	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (way & EVENT_IDX)
		virtq_features_set(&cfg.features, VIRTQ_F_EVENT_IDX);
	if (way & IN_ORDER)
		virtq_features_set(&cfg.features, VIRTQ_F_IN_ORDER);
	if (way & PACKED)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	cfg.size = ring_size(way);
	if (rng_one_in(&t.rng, 3))
		cfg.indirect_max = 0;
	t.dev_config =
		(struct virtq_dev_config){.max_chain = 64, .flags = way & PLAIN ? VIRTQ_DEV_NO_WIDE : 0};
	for (int i = 0; i < 2; i++) {
		ring_init(&t.ring[i], &t.guest, &cfg);
		MUST(ring_dev_init(&t.ring[i], &t.dev_config, BURST) == 0);
		t.buffers[i] = guest_alloc_in(&t.guest, (uint32_t)i, 0x10000, 64);
	}
	MUST(t.ring[0].dev.wide == (way & PACKED && !(way & PLAIN) && dev_wide_here()));
}

static void tear_down(void)
{
	for (int i = 0; i < 2; i++)
		ring_fini(&t.ring[i]);
	guest_fini(&t.guest);
}

/* --- the driver of both --------------------------------------------------------------------------- */

static void add(void)
{
	uint32_t n = rng_one_in(&t.rng, 5) ? 1 + rng_below(&t.rng, 3) : 1, nread;
	struct virtq_seg seg[3];
	int rc[2];

	nread = n == 1 ? t.serial / 11 % 2 : rng_below(&t.rng, n + 1);
	t.serial++;
	for (uint32_t i = 0; i < n; i++)
		seg[i] = (struct virtq_seg){
			t.buffers[rng_below(&t.rng, 2)] + 16 * (uint64_t)rng_below(&t.rng, 4000),
			n == 1 && rng_one_in(&t.rng, 40) ? 0 : 1 + rng_below(&t.rng, 1500)};
	for (int i = 0; i < 2; i++)
		rc[i] = virtq_drv_add(&t.ring[i].drv, seg, nread, n - nread, (void *)t.serial);
	MUST(rc[0] == rc[1]);
}

static void publish(void)
{
	for (int i = 0; i < 2; i++)
		virtq_drv_publish(&t.ring[i].drv);
	MUST(virtq_drv_should_kick(&t.ring[0].drv) == virtq_drv_should_kick(&t.ring[1].drv));
}

/* What comes back; not always all of it, so that the next ones begin anywhere. */
static void drv_take(uint32_t max)
{
	struct virtq_done done[2][64];
	int n[2];

	for (int i = 0; i < 2; i++)
		n[i] = virtq_drv_take(&t.ring[i].drv, done[i], max);
	MUST(n[0] == n[1]);
	MUST(n[0] >= 0);
	for (int i = 0; i < n[0]; i++) {
		MUST(done[0][i].cookie == done[1][i].cookie);
		MUST(done[0][i].written == done[1][i].written);
	}
}

static void sleep_or_wake(void)
{
	if (rng_one_in(&t.rng, 3)) {
		for (int i = 0; i < 2; i++)
			virtq_drv_disarm(&t.ring[i].drv);
		return;
	}
	MUST(virtq_drv_arm(&t.ring[0].drv) == virtq_drv_arm(&t.ring[1].drv));
}

/* --- the device ------------------------------------------------------------------------------------ */

/* What the other side sees of the two queues, and where they are. */
static void compare(void)
{
	const struct ring *a = &t.ring[0], *b = &t.ring[1];
	struct virtq_state s[2];
	int rc[2];

	if (virtq_dev_inflight(&a->dev) != virtq_dev_inflight(&b->dev))
		ck_abort_msg("so many are not out");
	if (memcmp(a->device, b->device,
	           a->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(a->size)) != 0)
		ck_abort_msg("the device areas differ");
	for (uint16_t i = 0; a->packed && i < a->size; i++) {
		struct virtq_packed_desc p = raw_packed_get(a, i), q = raw_packed_get(b, i);

		/* Of what is not shown as used yet only that matters. */
		if (!(p.flags & VIRTQ_DESC_AVAIL) != !(p.flags & VIRTQ_DESC_USED)) {
			p.flags &= VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
			q.flags &= VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
		}
		if (p.id != q.id || p.len != q.len || p.flags != q.flags)
			ck_abort_msg("place %u differs", i);
	}
	for (int i = 0; i < 2; i++) {
		s[i] = t.ring[i].state;
		rc[i] = virtq_dev_state(&t.ring[i].dev, &s[i]);
	}
	MUST(rc[0] == rc[1]);
	if (rc[0] != 0)
		return; /* not published, or not all back */
	MUST(s[0].avail == s[1].avail);
	MUST(s[0].used == s[1].used);
	MUST(s[0].flags == s[1].flags);
	MUST(s[0].unsignalled == s[1].unsignalled);
}

static void show(void)
{
	for (int i = 0; i < 2; i++)
		virtq_dev_publish(&t.ring[i].dev);
	if (!rng_one_in(&t.rng, 4)) {
		int want = virtq_dev_should_interrupt(&t.ring[0].dev);

		MUST(want == virtq_dev_should_interrupt(&t.ring[1].dev));
		t.interrupts += want == 1;
	}
}

static void rearm(void)
{
	if (rng_one_in(&t.rng, 2)) {
		for (int i = 0; i < 2; i++)
			virtq_dev_disarm(&t.ring[i].dev);
	} else {
		MUST(virtq_dev_arm(&t.ring[0].dev) == virtq_dev_arm(&t.ring[1].dev));
	}
}

static uint32_t some_of(uint32_t bytes)
{
	return rng_one_in(&t.rng, 3) ? rng_below(&t.rng, bytes + 1) : bytes;
}

/* A buffer is the chain that the usual way finds there. */
static void same(const struct virtq_buffer *b, const struct virtq_chain *c, int write)
{
	if (c->nread != (write ? 0 : 1) || c->nwrite != (write ? 1 : 0))
		ck_abort_msg("no such buffer");
	if (c->more != 0 || b->id != c->id || b->base != c->iov->base || b->len != c->iov->len)
		ck_abort_msg("another buffer");
}

/* Take some; put some of those back; use the rest, perhaps in parts. How many were there. */
static uint32_t take(uint32_t max, int write)
{
	struct virtq_dev *quick = &t.ring[0].dev, *usual = &t.ring[1].dev;
	uint32_t n, back, first, written[BURST];
	struct virtq_buffer b[BURST];
	struct virtq_chain c[BURST];

	n = virtq_dev_take(quick, b, max, write);
	MUST(n <= max);
	for (uint32_t got = 0; got < n;) {
		int rc = virtq_dev_pop(usual, &c[got], n - got, &t.ring[1].iov[got], t.ring[1].niov - got);

		MUST(rc > 0);
		got += (uint32_t)rc;
	}
	for (uint32_t i = 0; i < n; i++) {
		same(&b[i], &c[i], write);
		written[i] = write ? some_of(b[i].len) : 0;
	}
	back = rng_one_in(&t.rng, 4) ? rng_below(&t.rng, n + 1) : 0;
	MUST(virtq_dev_untake(quick, b + n - back, back) == 0);
	MUST(virtq_dev_unpop(usual, c + n - back, back) == 0);
	n -= back;
	first = rng_one_in(&t.rng, 3) ? rng_below(&t.rng, n + 1) : n;
	MUST(virtq_dev_give(quick, b, write ? written : NULL, first, write) == 0);
	MUST(virtq_dev_push(usual, c, written, first) == 0);
	if (rng_one_in(&t.rng, 8) && first < n)
		show();
	MUST(virtq_dev_give(quick, b + first, written + first, n - first, write) == 0);
	MUST(virtq_dev_push(usual, c + first, written + first, n - first) == 0);
	t.taken += n;
	return n + back;
}

static void push(uint32_t at)
{
	struct out *o = &t.out[at];
	uint32_t written = some_of(o->chain[0].write_bytes);

	for (int i = 0; i < 2; i++)
		MUST(virtq_dev_push(&t.ring[i].dev, &o->chain[i], &written, 1) == 0);
	*o = t.out[--t.nout];
	for (int i = 0; i < 2; i++)
		o->chain[i].iov = o->iov[i];
}

/* Pop one in both the usual way; keep it, or use it. 0: there is none. */
static int pop(struct virtq_chain *of)
{
	struct out *o = &t.out[t.nout];
	int rc[2];

	for (int i = 0; i < 2; i++)
		rc[i] = virtq_dev_pop(&t.ring[i].dev, &o->chain[i], 1, t.ring[i].iov, t.ring[i].niov);
	MUST(rc[0] == rc[1]);
	MUST(rc[0] >= 0);
	if (rc[0] == 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		MUST(o->chain[i].nread + o->chain[i].nwrite <= TABLE);
		memcpy(o->iov[i], t.ring[i].iov, sizeof(o->iov[i]));
		o->chain[i].iov = o->iov[i];
	}
	*of = o->chain[0];
	MUST(o->chain[0].id == o->chain[1].id);
	MUST(o->chain[0].more == o->chain[1].more);
	MUST(o->chain[0].nread == o->chain[1].nread);
	MUST(o->chain[0].nwrite == o->chain[1].nwrite);
	MUST(memcmp(o->iov[0], o->iov[1], sizeof(o->iov[0][0]) * (of->nread + of->nwrite)) == 0);
	t.nout++;
	t.popped++;
	if (t.nout == OUT || !rng_one_in(&t.rng, 6))
		push(t.nout - 1);
	return 1;
}

/* One visit: what take leaves is nothing that it could have taken. */
static void visit(int in_order)
{
	int write = (int)rng_below(&t.rng, 2);
	uint32_t out = virtq_dev_inflight(&t.ring[0].dev), max = 1 + rng_below(&t.rng, BURST), n;
	struct virtq_chain c;

	n = take(max, write);
	compare();
	if (in_order && out != 0)
		MUST(n == 0);
	/* Once it has been said that there are no more of these. Whatever was put back comes first. */
	if (n != 0 || !pop(&c))
		return;
	if (!in_order || out == 0)
		MUST(c.nread + c.nwrite != 1 || c.nwrite != (uint32_t)write);
	compare();
}

static void drain(void)
{
	struct virtq_chain c;

	while (t.nout != 0)
		push(0);
	while (pop(&c))
		while (t.nout != 0)
			push(0);
	show();
}

/* Stop, and go on from the state. */
static void restart(void)
{
	while (t.nout != 0)
		push(0);
	show();
	for (int i = 0; i < 2; i++) {
		struct ring *r = &t.ring[i];
		struct virtq_dev_config cfg = t.dev_config;

		cfg.state = r->state;

		MUST(virtq_dev_state(&r->dev, &cfg.state) == 0);
		MUST(virtq_dev_fini(&r->dev) == 0);
		free(r->dev_scratch);
		free(r->iov);
		free(r->seg);
		MUST(ring_dev_init(r, &cfg, BURST) == 0);
	}
}

static void step(int in_order)
{
	switch (rng_below(&t.rng, 8)) {
	case 0:
	case 1:
		for (uint32_t n = 1 + rng_below(&t.rng, 16); n > 0; n--)
			add();
		publish();
		break;
	case 2:
		drv_take(1 + rng_below(&t.rng, 64));
		break;
	case 3:
		sleep_or_wake();
		break;
	case 4:
		show();
		break;
	case 5:
		rearm();
		if (t.nout != 0 && rng_one_in(&t.rng, 2))
			push(rng_below(&t.rng, t.nout));
		if (rng_one_in(&t.rng, 40))
			restart();
		break;
	default:
		visit(in_order);
	}
	compare();
}

START_TEST(like_the_usual_way)
{
	unsigned long rounds = test_rounds(16);
	uint64_t taken = 0, popped = 0, interrupts = 0;

	for (unsigned long round = 0; round < rounds; round++) {
		set_up((unsigned)_i, round * WAYS + (unsigned)_i);
		for (unsigned i = 0; i < STEPS; i++)
			step(_i & IN_ORDER);
		drain();
		compare();
		drv_take(64);
		taken += t.taken;
		popped += t.popped;
		interrupts += t.interrupts;
		tear_down();
	}
	ck_assert_uint_gt(taken, rounds * 50);
	ck_assert_uint_gt(popped, rounds * 50);
	ck_assert_uint_gt(interrupts, rounds * 15);
}
END_TEST

/* Buffers only, in full rings: past the end of the indices, every place where a burst may cross the end of the ring. */
START_TEST(buffers_only)
{
	for (uint64_t seed = 0; seed < 2; seed++) {
		set_up((unsigned)_i, seed);
		for (unsigned i = 0; i < 6000 || (t.taken < 70000 && i < 60000); i++) {
			uint32_t max = 1 + rng_below(&t.rng, BURST), n;
			int write = _i & 1;

			for (int k = 0; k < 2; k++) {
				struct virtq_seg seg = {t.buffers[0], 60};

				for (uint32_t c = 0;
				     virtq_drv_add(&t.ring[k].drv, &seg, !write, (uint32_t)write, &t) == 0; c++)
					seg.addr = t.buffers[c / 3 % 2];
			}
			publish();
			n = take(max, write);
			/* a split ring gives first what was seen the last time */
			MUST(n > 0);
			if (_i & PACKED)
				MUST(n == (max < t.ring[0].size ? max : t.ring[0].size));
			show();
			drv_take(64);
			if (i % 64 == 0)
				compare();
		}
		while (take(BURST, _i & 1) != 0)
			;
		show();
		compare();
		tear_down();
	}
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ring buffers");
	TCase *tc = tcase_create("twins");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, like_the_usual_way, 0, WAYS);
	tcase_add_loop_test(tc, buffers_only, 0, WAYS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
