/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side: what both layouts have in common. The loop variable _i picks the layout. */
#include "driver_test.h"

#include <stdlib.h>
#include <string.h>

const unsigned layouts[2] = {VIRTQ_F_VERSION_1, VIRTQ_F_RING_PACKED};

static void rig_start(struct rig *rig, const struct ring_config *cfg)
{
	memset(rig, 0, sizeof(*rig));
	guest_init(&rig->guest, NULL, 0);
	ring_init(&rig->ring, &rig->guest, cfg);
	rig->drv = &rig->ring.drv;
	rig->avail_wrap = rig->used_wrap = 1;
}

void rig_init(struct rig *rig, uint16_t size, uint16_t indirect_max, struct virtq_features f)
{
	struct ring_config cfg = {
		.size = size, .indirect_max = indirect_max, .features = f, .region = -1};

	rig_start(rig, &cfg);
}

void rig_init_platform(struct rig *rig, uint16_t size, struct virtq_features f,
                       const struct virtq_platform *pf)
{
	struct ring_config cfg = {.size = size, .features = f, .region = -1, .platform = pf};

	rig_start(rig, &cfg);
}

void rig_fini(struct rig *rig)
{
	ring_fini(&rig->ring);
	guest_fini(&rig->guest);
}

void rig_add(struct rig *rig, uint32_t nread, uint32_t nwrite, uintptr_t tag)
{
	struct virtq_seg seg[64];

	ck_assert_uint_le(nread + nwrite, 64);
	for (uint32_t i = 0; i < nread + nwrite; i++)
		seg[i] = (struct virtq_seg){.addr = 0x1000 + 0x100 * tag + 16 * i, .len = 16};
	ck_assert_int_eq(virtq_drv_add(rig->drv, seg, nread, nwrite, (void *)tag), 0);
}

void rig_take(struct rig *rig, uintptr_t tag, uint32_t written)
{
	struct virtq_done done = {0};

	ck_assert_int_eq(virtq_drv_take(rig->drv, &done, 1), 1);
	ck_assert_uint_eq((uintptr_t)done.cookie, tag);
	ck_assert_uint_eq(done.written, written);
}

void rig_take_none(struct rig *rig)
{
	struct virtq_done done;

	ck_assert_int_eq(virtq_drv_take(rig->drv, &done, 1), 0);
}

static void step(const struct rig *rig, uint16_t *place, int *wrap, uint16_t n)
{
	*place = (uint16_t)(*place + n);
	if (*place >= rig->ring.size) {
		*place = (uint16_t)(*place - rig->ring.size);
		*wrap = !*wrap;
	}
}

int rig_pop_ready(struct rig *rig)
{
	const struct ring *r = &rig->ring;
	const uint16_t both = VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
	uint16_t idx;

	if (r->packed)
		return (raw_packed_get(r, rig->avail).flags & both) == packed_avail(rig->avail_wrap);
	memcpy(&idx, r->driver + 2, sizeof(idx));
	return idx != rig->avail;
}

uint16_t rig_pop(struct rig *rig, uint16_t *slots)
{
	const struct ring *r = &rig->ring;
	uint16_t head, n = 0;

	ck_assert(rig_pop_ready(rig));
	if (r->packed) {
		struct virtq_packed_desc d;

		do {
			ck_assert(rig_pop_ready(rig));
			d = raw_packed_get(r, rig->avail);
			step(rig, &rig->avail, &rig->avail_wrap, 1);
			n++;
		} while (d.flags & VIRTQ_DESC_NEXT);
		*slots = n;
		return d.id;
	}
	memcpy(&head, r->driver + 4 + 2 * (rig->avail++ % r->size), sizeof(head));
	*slots = 1;
	return head;
}

void rig_use_batch(struct rig *rig, uint32_t last_id, uint32_t len, uint16_t count, uint16_t slots)
{
	struct ring *r = &rig->ring;

	if (r->packed) {
		raw_packed(r, rig->used, 0, len, (uint16_t)last_id, packed_used(rig->used_wrap));
		step(rig, &rig->used, &rig->used_wrap, slots);
	} else {
		raw_used_entry_set(r, rig->used, last_id, len);
		rig->used = (uint16_t)(rig->used + count);
		raw_used_idx_set(r, rig->used);
	}
}

void rig_use(struct rig *rig, uint32_t id, uint32_t len, uint16_t slots)
{
	rig_use_batch(rig, id, len, 1, slots);
}

/* --- set-up ------------------------------------------------------------------------------------- */

struct setup {
	struct virtq_drv_config cfg;
	_Alignas(64) uint8_t ring[4096];
	_Alignas(64) uint8_t indirect[4096];
	_Alignas(8) uint8_t scratch[4096];
};

static struct setup *setup_new(unsigned layout)
{
	struct setup *s = aligned_alloc(64, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	memset(s, 0xff, sizeof(*s));
	s->cfg = (struct virtq_drv_config){
		.size = sizeof(s->cfg),
		.features = FEATURES(layout, VIRTQ_F_INDIRECT_DESC),
		.queue_size = 16,
		.indirect_max = 4,
		.ring = s->ring,
		.ring_addr = 0x10000,
		.indirect = s->indirect,
		.indirect_addr = 0x20000,
		.scratch = s->scratch,
		.scratch_bytes = sizeof(s->scratch),
	};
	return s;
}

START_TEST(sizes_that_go_with_a_layout)
{
	struct virtq_features split = FEATURES(VIRTQ_F_VERSION_1);
	struct virtq_features packed = FEATURES(VIRTQ_F_RING_PACKED);

	ck_assert_uint_eq(virtq_drv_ring_bytes(0, &split), 0);
	ck_assert_uint_eq(virtq_drv_ring_bytes(3, &split), 0);
	ck_assert_uint_eq(virtq_drv_ring_bytes(32769, &packed), 0);
	ck_assert_uint_eq(virtq_drv_bytes(0, &packed), 0);
	ck_assert_uint_eq(virtq_drv_bytes(12, &split), 0);
	for (unsigned size = 1; size <= 32768; size *= 2) {
		ck_assert_uint_ge(virtq_drv_ring_bytes((uint16_t)size, &split), 26 * size + 12);
		ck_assert_uint_ge(virtq_drv_ring_bytes((uint16_t)size, &packed), 16 * size + 8);
		ck_assert_uint_ge(virtq_drv_bytes((uint16_t)size, &split), size * sizeof(void *));
	}
	ck_assert_uint_ge(virtq_drv_ring_bytes(3, &packed), 56);
}
END_TEST

START_TEST(init_clears_the_ring_and_tells_its_state)
{
	struct setup *s = setup_new(layouts[_i]);
	size_t bytes = virtq_drv_ring_bytes(16, &s->cfg.features);
	struct virtq_state st;
	struct virtq_drv vq;

	ck_assert_int_eq(virtq_drv_init(&vq, &s->cfg), 0);
	virtq_drv_state(&vq, &st);
	/* Aligned as the layout wants it, one part after the other, all within the ring's memory. */
	ck_assert_uint_eq(st.desc, 0x10000);
	ck_assert_uint_eq(st.desc % 16, 0);
	ck_assert_uint_eq(st.driver % (_i ? 4 : 2), 0);
	ck_assert_uint_eq(st.device % 4, 0);
	CLAUSE(_i ? "basic/packed/R1" : "basic/virtqueues/R1");
	ck_assert_uint_ge(st.driver, st.desc + 16 * 16);
	ck_assert_uint_ge(st.device, st.driver + (_i ? 4 : 38));
	ck_assert_uint_le(st.device + (_i ? 4 : 134), 0x10000 + bytes);
	ck_assert_uint_eq(st.size, 16);
	ck_assert_uint_eq(st.avail, _i ? VIRTQ_STATE_WRAP : 0);
	ck_assert_uint_eq(st.used, _i ? VIRTQ_STATE_WRAP : 0);
	ck_assert_int_eq(virtq_state_check(&st, &s->cfg.features), 0);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_uint_eq(s->ring[i], 0); /* used->flags among them */
	if (_i == 0)
		CLAUSE("basic/virtqueues/avail-notif/R1");
	ck_assert_uint_eq(s->ring[bytes], 0xff);
	ck_assert_uint_eq(virtq_drv_free(&vq), 16);
	ck_assert_uint_eq(virtq_drv_inflight(&vq), 0);
	free(s);
}
END_TEST

static void refused(struct setup *s)
{
	struct virtq_drv vq, before;

	memset(&vq, 0x5a, sizeof(vq));
	before = vq;
	ck_assert_int_eq(virtq_drv_init(&vq, &s->cfg), VIRTQ_EINVAL);
	ck_assert_mem_eq(&vq, &before, sizeof(vq));
	ck_assert_uint_eq(s->ring[0], 0xff); /* untouched */
	free(s);
}

START_TEST(init_refuses_misuse)
{
	static const struct virtq_platform small = {.size = sizeof(small) - 1};
	unsigned l = layouts[_i];
	struct virtq_drv vq;
	struct setup *s;

#define REFUSED(change) (s = setup_new(l), change, refused(s))
	REFUSED(s->cfg.size--);
	REFUSED((s->cfg.queue_size = 0, s->cfg.ring_addr = 0));
	REFUSED((s->cfg.queue_size = _i ? 32769 : 12, s->cfg.ring_addr = 0));
	REFUSED(s->cfg.reserved = 1);
	REFUSED(s->cfg.ring = NULL);
	REFUSED(s->cfg.ring = s->ring + 8);
	REFUSED(s->cfg.ring_addr = 8);
	REFUSED(s->cfg.ring_addr = UINT64_MAX - 255 + 16 - 1 - 15);
	REFUSED(s->cfg.scratch = NULL);
	REFUSED(s->cfg.scratch = s->scratch + 4);
	REFUSED(s->cfg.scratch_bytes = virtq_drv_bytes(16, &s->cfg.features) - 1);
	REFUSED(s->cfg.indirect = NULL);
	REFUSED(s->cfg.indirect = s->indirect + 8);
	REFUSED(s->cfg.indirect_addr = 24);
	REFUSED(s->cfg.indirect_addr = UINT64_MAX - 1023 + 16);
	REFUSED(s->cfg.indirect_max = 32769);
	REFUSED(s->cfg.platform = &small);
	/* Indirect tables without the feature. */
	REFUSED(virtq_features_clear(&s->cfg.features, VIRTQ_F_INDIRECT_DESC));
	CLAUSE(_i ? "basic/packed/desc-table/indirect/R1" : "basic/virtqueues/desc-table/indirect/R1");
#undef REFUSED
	s = setup_new(l);
	ck_assert_int_eq(virtq_drv_init_sized(&vq, sizeof(vq) - 1, &s->cfg), VIRTQ_EINVAL);
	/* A ring that ends with the address space is fine. */
	s->cfg.ring_addr = (uint64_t)0 - (virtq_drv_ring_bytes(16, &s->cfg.features) + 15) / 16 * 16;
	ck_assert_int_eq(virtq_drv_init(&vq, &s->cfg), 0);
	free(s);
}
END_TEST

/* --- add, take ---------------------------------------------------------------------------------- */

START_TEST(add_refuses_what_can_never_fit)
{
	struct virtq_seg seg[17];
	struct virtq_drv before;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	for (unsigned i = 0; i < 17; i++)
		seg[i] = (struct virtq_seg){0x1000 * i, 0x20000000};
	before = *rig.drv;
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 0, 0, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 9, 0, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 4, 5, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, UINT32_MAX, 2, NULL), VIRTQ_EINVAL);
	/* 8 pieces of 2^29 bytes make 2^32, one byte less is fine. */
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 4, 4, NULL), VIRTQ_EINVAL);
	CLAUSE(_i ? "basic/packed/sg/R2" : "basic/virtqueues/desc-table/R1");
	seg[0].len = UINT64_C(0x100000000);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 1, 0, NULL), VIRTQ_EINVAL);
	ck_assert_mem_eq(rig.drv, &before, sizeof(before));
	seg[0].len = 0x1fffffff;
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 4, 4, NULL), 0);
	ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 1, 0, NULL), VIRTQ_ENOSPC);
	rig_fini(&rig);
}
END_TEST

START_TEST(nothing_is_seen_before_publish)
{
	struct rig rig;
	uint16_t slots;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	virtq_drv_publish(rig.drv); /* nothing added: nothing happens */
	ck_assert(!rig_pop_ready(&rig));
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0);
	rig_add(&rig, 1, 0, 1);
	rig_add(&rig, 2, 1, 2);
	ck_assert(!rig_pop_ready(&rig));
	ck_assert_uint_eq(virtq_drv_free(rig.drv), 4);
	ck_assert_uint_eq(virtq_drv_inflight(rig.drv), 2);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0);
	virtq_drv_publish(rig.drv);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 1);
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 0); /* asked and answered */
	rig_pop(&rig, &slots);
	rig_pop(&rig, &slots);
	ck_assert_uint_eq(slots, _i ? 3 : 1);
	ck_assert(!rig_pop_ready(&rig));
	rig_fini(&rig);
}
END_TEST

/* More descriptors than are free are refused, and come back when buffers do, in whatever order. */
START_TEST(space_is_checked_and_comes_back)
{
	struct virtq_seg seg[8] = {{0x1000, 16}};
	uint16_t id[4], slots[4];
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	for (unsigned round = 0; round < 1000; round++) {
		rig_add(&rig, 1, 0, 10);
		rig_add(&rig, 1, 2, 11);
		rig_add(&rig, 0, 2, 12);
		ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 2, 1, NULL), VIRTQ_ENOSPC);
		rig_add(&rig, 1, 1, 13);
		ck_assert_uint_eq(virtq_drv_free(rig.drv), 0);
		ck_assert_int_eq(virtq_drv_add(rig.drv, seg, 1, 0, NULL), VIRTQ_ENOSPC);
		if (_i)
			CLAUSE("basic/packed/sg/R5");
		virtq_drv_publish(rig.drv);
		for (unsigned i = 0; i < 4; i++)
			id[i] = rig_pop(&rig, &slots[i]);
		for (unsigned i = 0; i < 4; i++) {
			unsigned k = (i * 3 + round) % 4;

			rig_use(&rig, id[k], k, slots[k]);
		}
		for (unsigned i = 0; i < 4; i++)
			rig_take(&rig, 10 + (i * 3 + round) % 4,
			         (i * 3 + round) % 4 == 0 ? 0 : (i * 3 + round) % 4);
		rig_take_none(&rig); /* as after a notification that meant nothing */
		if (!_i)
			CLAUSE("basic/virtqueues/used-notif/R5");
		ck_assert_uint_eq(virtq_drv_free(rig.drv), 8);
		ck_assert_uint_eq(virtq_drv_inflight(rig.drv), 0);
	}
	rig_fini(&rig);
}
END_TEST

START_TEST(take_goes_in_bursts)
{
	struct virtq_done done[8];
	uint16_t slots;
	struct rig rig;

	rig_init(&rig, 8, 0, FEATURES(layouts[_i]));
	for (unsigned i = 0; i < 6; i++)
		rig_add(&rig, 0, 1, i);
	virtq_drv_publish(rig.drv);
	for (unsigned i = 0; i < 6; i++)
		rig_use(&rig, rig_pop(&rig, &slots), i, 1);
	ck_assert_int_eq(virtq_drv_take(rig.drv, NULL, 0), 0);
	ck_assert_int_eq(virtq_drv_take(rig.drv, done, 4), 4);
	ck_assert_int_eq(virtq_drv_take(rig.drv, done + 4, 8), 2);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_uint_eq((uintptr_t)done[i].cookie, i);
		ck_assert_uint_eq(done[i].written, i);
	}
	rig_fini(&rig);
}
END_TEST

/* --- barriers and caches ------------------------------------------------------------------------ */

struct hooks {
	struct virtq_platform ops;
	struct rig *rig;
	unsigned writes, fulls, reads, cleans, invalidates;
	int seen_at_write; /* whether the device could already see a new buffer */
	int seen_at_full;
};

static void on_full(void *ctx)
{
	struct hooks *h = ctx;

	h->fulls++;
	h->seen_at_full = rig_pop_ready(h->rig);
}

static void on_write(void *ctx)
{
	struct hooks *h = ctx;

	h->writes++;
	h->seen_at_write = rig_pop_ready(h->rig);
}

static void on_read(void *ctx)
{
	((struct hooks *)ctx)->reads++;
}

static void on_clean(void *ctx, const void *p, size_t len)
{
	struct hooks *h = ctx;

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_gt(len, 0);
	h->cleans++;
}

static void on_invalidate(void *ctx, const void *p, size_t len)
{
	struct hooks *h = ctx;

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_gt(len, 0);
	h->invalidates++;
}

START_TEST(platform_hooks_are_called_where_order_matters)
{
	struct hooks h = {.ops = {.size = sizeof(h.ops),
	                          .barrier = on_full,
	                          .read_barrier = on_read,
	                          .write_barrier = on_write,
	                          .clean = on_clean,
	                          .invalidate = on_invalidate,
	                          .ctx = &h}};
	uint16_t slots, id;
	struct rig rig;

	h.rig = &rig;
	rig_init_platform(&rig, 8, FEATURES(layouts[_i], VIRTQ_F_ORDER_PLATFORM), &h.ops);
	ck_assert_uint_gt(h.cleans, 0);
	h.cleans = h.writes = 0;
	rig_add(&rig, 1, 1, 1);
	ck_assert_uint_ge(h.cleans, 2);
	virtq_drv_publish(rig.drv);
	ck_assert_uint_eq(h.writes, 1);
	ck_assert(!h.seen_at_write && rig_pop_ready(&rig)); /* descriptors, barrier, index */
	CLAUSE(_i ? "basic/packed/supply/updating-flags/R1"
	          : "basic/virtqueues/supply/updating-idx/R1");
	h.fulls = h.invalidates = 0;
	ck_assert_int_eq(virtq_drv_should_kick(rig.drv), 1);
	ck_assert_uint_eq(h.fulls, 1);
	ck_assert(h.seen_at_full); /* index, barrier, the device's wish */
	ck_assert_uint_gt(h.invalidates, 0);
	CLAUSE(_i ? "basic/packed/supply/sending-available-buffer-notifications/R1"
	          : "basic/virtqueues/supply/notifying-the-device/R1");
	CLAUSE("basic/reserved-feature-bits/R7");
	id = rig_pop(&rig, &slots);
	rig_use(&rig, id, 4, slots);
	h.reads = h.invalidates = 0;
	rig_take(&rig, 1, 4);
	ck_assert_uint_ge(h.reads, 1);
	ck_assert_uint_gt(h.invalidates, 0);
	h.fulls = 0;
	ck_assert_int_eq(virtq_drv_arm(rig.drv), 0);
	ck_assert_uint_eq(h.fulls, 1);
	rig_fini(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("driver");
	TCase *tc = tcase_create("both");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, sizes_that_go_with_a_layout);
	tcase_add_loop_test(tc, init_clears_the_ring_and_tells_its_state, 0, 2);
	tcase_add_loop_test(tc, init_refuses_misuse, 0, 2);
	tcase_add_loop_test(tc, add_refuses_what_can_never_fit, 0, 2);
	tcase_add_loop_test(tc, nothing_is_seen_before_publish, 0, 2);
	tcase_add_loop_test(tc, space_is_checked_and_comes_back, 0, 2);
	tcase_add_loop_test(tc, take_goes_in_bursts, 0, 2);
	tcase_add_loop_test(tc, platform_hooks_are_called_where_order_matters, 0, 2);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, driver_lies_case());
	suite_add_tcase(suite, driver_split_case());
	suite_add_tcase(suite, driver_packed_case());
	suite_add_tcase(suite, driver_rewind_case());
	srunner_add_suite(runner, suite);
}
