/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net while dirty pages are logged: what is received marks the buffers that are used for it and the entries of the
 * ring that say so, and nothing else; what is sent marks the ring.
 */
#include <stdlib.h>
#include <string.h>

#include <virtq/dirty.h>

#include "check_main.h"
#include "net_fixture.h"

/* A ring of several pages, and buffers of two and a half. */
enum {
	SIZE = 1024,
	PAGE = 4096,
	PAGES = NET_BYTES / PAGE,
	WORD = 8 * sizeof(uintptr_t),
	BYTES = 10240
};

struct rig {
	struct net_fixture f;
	struct virtq_dirty dirty;
	uintptr_t bits[PAGES / WORD];
	struct virtq_state state; /* of the queue that is looked at */
	int packed;
	unsigned used;       /* entries so far */
	uint8_t *before;     /* the memory when the log was cleared */
	uint8_t may[PAGES];  /* pages that may be marked */
	uint8_t must[PAGES]; /* and those of them that have to be */
};

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(1 + (seed + i) % 251);
}

static void forget(struct rig *r)
{
	memset(r->bits, 0, sizeof(r->bits));
	memset(r->may, 0, sizeof(r->may));
	memset(r->must, 0, sizeof(r->must));
	memcpy(r->before, r->f.memory, NET_BYTES);
}

static void rig_init(struct rig *r, int packed, unsigned queue, const unsigned *wanted, int n)
{
	memset(r, 0, sizeof(*r));
	r->packed = packed;
	net_init(&r->f, packed, 0);
	r->f.cfg.queue_size = SIZE;
	r->f.net_cfg.queue_max = SIZE;
	for (int i = 0; i < n; i++)
		net_want(&r->f, wanted[i]);
	net_start(&r->f);
	r->f.at = (r->f.at + PAGE - 1) / PAGE * PAGE;
	virtq_drv_state(vdev_loopback_drv(r->f.l, queue), &r->state);
	r->before = malloc(NET_BYTES);
	ck_assert_ptr_nonnull(r->before);
	ck_assert_int_eq(virtq_dirty_init(&r->dirty, NET_GPA, 12, r->bits, PAGES / WORD, NULL), 0);
	net_run(&r->f);
	virtq_log_set(vdev_function_log(vdev_function(r->f.v)), &r->dirty);
}

static void rig_fini(struct rig *r)
{
	virtq_log_set(vdev_function_log(vdev_function(r->f.v)), NULL);
	ck_assert_uint_eq(virtq_dirty_outside(&r->dirty), 0);
	net_fini(&r->f);
	free(r->before);
}

static void pages(uint8_t *set, uint64_t at, uint64_t len)
{
	for (uint64_t page = at / PAGE; len != 0 && page <= (at + len - 1) / PAGE; page++)
		set[page] = 1;
}

/* The ring: n further used entries, for chains of so many descriptors; and what the device says of itself beside them. */
static void ring_pages(struct rig *r, unsigned n, unsigned descriptors)
{
	const uint64_t desc = r->state.desc - NET_GPA, device = r->state.device - NET_GPA;

	for (unsigned i = 0; i < n; i++, r->used += r->packed ? descriptors : 1) {
		const uint64_t at =
			r->packed ? desc + r->used % SIZE * 16 : device + 4 + r->used % SIZE * 8;

		pages(r->must, at, r->packed ? 16 : 8);
		pages(r->may, at, r->packed ? 16 * (uint64_t)descriptors : 8);
	}
	pages(r->may, device, 4); /* flags and index, or the wish for notifications */
	if (n != 0 && !r->packed)
		pages(r->must, device, 4);
	if (!r->packed)
		pages(r->may, device + 4 + SIZE * 8, 2); /* likewise */
}

/* The log says what was written, and no more. */
static void check(const struct rig *r)
{
	for (unsigned page = 0; page < PAGES; page++) {
		int marked = r->bits[page / WORD] >> page % WORD & 1;
		int written =
			memcmp(r->before + (size_t)page * PAGE, r->f.memory + (size_t)page * PAGE, PAGE) != 0;

		ck_assert_msg(marked || !(written || r->must[page]), "page %u was written", page);
		ck_assert_msg(!marked || r->may[page] || r->must[page], "page %u was not", page);
	}
}

static uint8_t *give_buffer(struct rig *r, uint32_t bytes, uint32_t pieces)
{
	uint8_t *p;

	r->f.at += 3 * PAGE - r->f.at % PAGE; /* on pages of its own, with untouched ones between */
	p = net_buffer(&r->f, 0, bytes, pieces);
	memset(p, 0xee, bytes);
	return p;
}

/*
 * Everything that was received since forget(), into pages that have to be marked. A buffer of so many bytes that is used
 * is marked as a whole. Returns how many buffers.
 */
static unsigned receive(struct rig *r, uint32_t bytes)
{
	uint32_t written;
	unsigned n = 0;
	uint8_t *p;

	for (; (p = net_received(&r->f, 0, &written)) != NULL; n++) {
		pages(r->must, (uint64_t)(p - r->f.memory), written);
		pages(r->may, (uint64_t)(p - r->f.memory), bytes);
	}
	return n;
}

/* One piece a buffer, or several; one buffer a frame, or several; with more of them than are needed. */
START_TEST(received)
{
	static const unsigned all[] = {VDEV_NET_F_MRG_RXBUF, VIRTQ_F_EVENT_IDX};
	static const uint32_t lens[] = {14, 60, 4084, 4085, 8180, 9000};
	static uint8_t bytes[3][9000];
	struct rig r;

	rig_init(&r, _i & 1, 0, _i & 2 ? all : &all[1], _i & 2 ? 1 + (_i >> 2) : _i >> 2);
	for (unsigned round = 0; round < 24; round++) {
		uint32_t len = lens[round % 6], size = _i & 2 && round & 1 ? 700 : BYTES;
		uint32_t need = (12 + len + size - 1) / size, n = 1 + round % 3, pieces = 1 + round / 6 % 3;
		struct vdev_frame frames[3];
		struct virtq_iov iov[3];

		for (unsigned i = 0; i < n; i++) {
			fill(bytes[i], len, round + i);
			frames[i] = net_frame(&iov[i], bytes[i], len);
		}
		r.f.at = 8 << 20;
		for (unsigned i = 0; i < n * need + 3; i++)
			(void)give_buffer(&r, size, pieces);
		forget(&r);
		ck_assert_uint_eq(net_push(&r.f, frames, n), n);
		ring_pages(&r, n * need, pieces);
		ck_assert_uint_eq(receive(&r, size), n * need);
		check(&r);
		/* the three that are left */
		frames[0] = net_frame(&iov[0], bytes[0], 60);
		for (unsigned left = 3; left > 0; left--) {
			forget(&r);
			ck_assert_uint_eq(net_push(&r.f, frames, 1), 1);
			ring_pages(&r, 1, pieces);
			ck_assert_uint_eq(receive(&r, size), 1);
			check(&r);
		}
	}
	rig_fini(&r);
}
END_TEST

/* Frames that find too few buffers, or none that they fit into: the buffers that were tried go back, and may be marked. */
START_TEST(not_received)
{
	static const unsigned mergeable[] = {VDEV_NET_F_MRG_RXBUF};
	static uint8_t bytes[9000];
	struct virtq_iov iov;
	struct vdev_frame frame = net_frame(&iov, bytes, sizeof(bytes));
	struct rig r;
	uint8_t *p[4];

	rig_init(&r, _i & 1, 0, mergeable, _i >> 1);
	for (unsigned i = 0; i < 4; i++)
		p[i] = give_buffer(&r, 2000, 1);
	forget(&r);
	for (unsigned i = 0; i < 4; i++)
		pages(r.may, (uint64_t)(p[i] - r.f.memory), 2000);
	ck_assert_uint_eq(net_push(&r.f, &frame, 1), 1);
	ring_pages(&r, 0, 1);
	ck_assert_uint_eq(receive(&r, 2000), 0);
	check(&r);
	rig_fini(&r);
}
END_TEST

START_TEST(sent)
{
	static const unsigned event_idx[] = {VIRTQ_F_EVENT_IDX};
	static const uint32_t cuts[3][16] = {{0}, {12}, {5, 100, 3000}};
	static const uint8_t hdr[12] = {0};
	static uint8_t bytes[9000];
	struct rig r;

	rig_init(&r, _i & 1, 1, event_idx, _i >> 1);
	fill(bytes, sizeof(bytes), 1);
	for (unsigned round = 0; round < 12; round++) {
		unsigned n = 1 + round % 3, cut = round / 4, large = round & 1;

		r.f.at = 8 << 20;
		for (unsigned i = 0; i < n; i++)
			net_send(&r.f, 0, hdr, bytes, large ? 9000 : 60, cuts[cut]);
		forget(&r);
		virtq_drv_publish(vdev_loopback_drv(r.f.l, 1));
		while (vdev_queue_run(r.f.v, 1, VDEV_RUN_ARM))
			;
		ck_assert_uint_eq(r.f.netif.nsent, n);
		ring_pages(&r, n, cut == 0 ? 1 : cut == 2 && large ? 4 : 2);
		check(&r);
		while (net_sent(&r.f, 0, NULL))
			;
		fake_netif_clear(&r.f.netif);
	}
	rig_fini(&r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_dirty");
	TCase *tc = tcase_create("net_dirty");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, received, 0, 8);
	tcase_add_loop_test(tc, not_received, 0, 4);
	tcase_add_loop_test(tc, sent, 0, 4);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
