/* SPDX-License-Identifier: BSD-3-Clause */
/* Saved state of a block device: what goes over, and what is refused with nothing changed. */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>

struct bytes {
	uint8_t data[65536];
	size_t len;
	size_t pos;
};

static int put(void *ctx, const void *from, size_t len)
{
	struct bytes *b = ctx;

	if (len > sizeof(b->data) - b->len)
		return VIRTQ_ENOSPC;
	memcpy(b->data + b->len, from, len);
	b->len += len;
	return 0;
}

static int get(void *ctx, void *to, size_t len)
{
	struct bytes *b = ctx;

	if (len > b->len - b->pos)
		return VIRTQ_EBADMSG;
	memcpy(to, b->data + b->pos, len);
	b->pos += len;
	return 0;
}

static struct bytes bytes;
static const struct vdev_stream stream = {
	.size = sizeof(stream), .put = put, .get = get, .ctx = &bytes};

static void save(struct blk_fx *fx)
{
	struct vdev_function *fn = vdev_function(fx->v);

	memset(&bytes, 0, sizeof(bytes));
	ck_assert_int_eq(vdev_function_save(fn, &stream), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_quiesce(fn), 0);
	ck_assert_int_eq(vdev_function_save(fn, &stream), 0);
}

static int load(struct vdev *v)
{
	bytes.pos = 0;
	return vdev_function_load(vdev_function(v), &stream);
}

/* Move a device to another one, which uses the same memory and disk contents from then on. */
static void move(struct blk_fx *fx, struct blk_fx *to, int kind, const struct fx_config *cfg)
{
	static struct virtq_region region;
	static struct virtq_mem mem;

	save(fx);
	fx_make(to, kind, cfg);
	region = (struct virtq_region){.gpa = BLK_FX_GPA, .len = BLK_FX_BYTES, .host = fx->memory};
	ck_assert_int_eq(virtq_mem_init(&mem, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(to->v), &mem), 0);
	virtq_mem_unref(&mem);
	memcpy(to->disk->data, fx->disk->data, (size_t)fx->disk->info.bytes);
	ck_assert_int_eq(load(to->v), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(to->v)), 0);
}

static void end(struct blk_fx *to)
{
	ck_assert_int_eq(vdev_function_reset(vdev_function(to->v)), 0);
	fx_stop(to);
}

/* The old fixture's driver talks to the new device. */
static void request(struct blk_fx *driver, struct blk_fx *device, struct fx_req *r)
{
	struct virtq_drv *drv = vdev_loopback_drv(driver->l, 0);
	struct virtq_done done;

	fx_add(driver, 0, r);
	virtq_drv_publish(drv);
	for (int i = 0; i < 10; i++)
		(void)!vdev_run(device->v, VDEV_RUN_ARM);
	ck_assert_int_eq(virtq_drv_take(drv, &done, 1), 1);
	ck_assert_ptr_eq(done.cookie, r);
	r->used = done.written;
	r->status = driver->shared[r->seg[r->nread + r->nwrite - 1].addr - driver->shared_gpa];
}

START_TEST(a_device_goes_on_elsewhere)
{
	struct blk_fx from, to;
	uint8_t off = 0;
	struct fx_req *r = calloc(1, sizeof(*r));

	fx_start(&from, _i, NULL);
	vdev_config_write(from.v, 32, &off, 1);
	fx_pattern(from.disk->data, 4096, 8);
	ck_assert_int_eq(fx_read(&from, 0, NULL, 4096), BLK_S_OK);
	move(&from, &to, _i, NULL);
	ck_assert_uint_eq(fx_config_get(&to, 32, 1), 0);
	r->type = BLK_T_IN;
	r->in_len = 512;
	request(&from, &to, r);
	ck_assert_int_eq(r->status, BLK_S_OK);
	ck_assert_int_eq(r->used, 513);
	/* The features count there, and the cache mode. */
	r->type = BLK_T_OUT;
	r->in_len = 0;
	r->out = bytes.data;
	r->out_len = 512;
	request(&from, &to, r);
	ck_assert_int_eq(r->status, BLK_S_OK);
	ck_assert_uint_eq(to.disk->log[to.disk->nlog - 1].flags & VDEV_DISK_FUA, VDEV_DISK_FUA);
	r->type = BLK_T_FLUSH;
	r->out_len = 0;
	request(&from, &to, r);
	ck_assert_int_eq(r->status, BLK_S_OK);
	free(r);
	end(&to);
	fx_stop(&from);
}
END_TEST

/* The write cache is turned off in a negotiation, not by looking whether a state's features will do. */
START_TEST(what_is_refused_leaves_the_cache_mode)
{
	struct fx_config cfg = {.refuse = 1 << VDEV_BLK_F_FLUSH};
	static struct virtq_region region = {.gpa = BLK_FX_GPA, .len = 4096};
	static struct virtq_mem mem;
	struct blk_fx from, to;

	fx_start(&from, _i, &cfg);
	save(&from);
	fx_make(&to, _i, NULL);
	region.host = from.memory; /* too small for the rings */
	ck_assert_int_eq(virtq_mem_init(&mem, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(to.v), &mem), 0);
	virtq_mem_unref(&mem);
	ck_assert_int_eq(vdev_set_status(to.v, VIRTQ_STATUS_ACKNOWLEDGE), 0);
	ck_assert_int_eq(vdev_set_status(to.v, VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER), 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(to.v)), 0);
	ck_assert_int_lt(load(to.v), 0);
	ck_assert_uint_eq(fx_config_get(&to, 32, 1), 1);
	end(&to);
	fx_stop(&from);
}
END_TEST

START_TEST(a_larger_disk_is_shown)
{
	struct fx_config cfg = {.bytes = 2 << 20};
	struct blk_fx from, to;

	fx_start(&from, _i, NULL);
	move(&from, &to, _i, &cfg);
	ck_assert_uint_eq(fx_config_get(&to, 0, 8), 4096);
	end(&to);
	fx_stop(&from);
}
END_TEST

static void refused(struct blk_fx *from, const struct fx_config *cfg, int rc)
{
	struct blk_fx to;
	uint8_t before[96], after[96];

	fx_make(&to, 0, cfg);
	vdev_config_read(to.v, 0, before, sizeof(before));
	ck_assert_int_eq(load(to.v), rc);
	vdev_config_read(to.v, 0, after, sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(before));
	ck_assert_int_eq(vdev_status(to.v), 0);
	ck_assert_int_eq(to.disk->acquired, 0);
	fx_stop(&to);
	(void)from;
}

START_TEST(disks_that_do_not_fit_are_refused)
{
	struct vdev_disk_info big = {.block_size = 4096,
	                             .physical_block = 4096,
	                             .discard = 1,
	                             .write_zeroes = 1,
	                             .secure_erase = 1,
	                             .volatile_cache = 1};
	struct fx_config small = {.bytes = 1 << 19};
	struct fx_config blocks = {.info = &big};
	struct fx_config segments = {.blk = {.size = sizeof(segments.blk), .seg_max = 60}};
	struct blk_fx from;

	fx_start(&from, 0, NULL);
	save(&from);
	refused(&from, &small, VIRTQ_ENOTSUP);
	refused(&from, &blocks, VIRTQ_ENOTSUP);
	refused(&from, &segments, VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_function_resume(vdev_function(from.v)), 0);
	fx_stop(&from);
}
END_TEST

START_TEST(a_limit_goes_on_where_it_was)
{
	struct fx_config cfg = {
		.blk = {.size = sizeof(cfg.blk), .limit = {.ops_per_s = 1, .ops_burst = 4}}};
	struct blk_fx from, to;
	struct fx_req *r = calloc(1, sizeof(*r));
	struct virtq_done done;

	fx_start(&from, 0, &cfg);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(fx_read(&from, 0, NULL, 512), BLK_S_OK);
	move(&from, &to, 0, &cfg);
	r->type = BLK_T_IN;
	r->in_len = 512;
	fx_add(&from, 0, r);
	virtq_drv_publish(vdev_loopback_drv(from.l, 0));
	(void)!vdev_run(to.v, VDEV_RUN_ARM);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(from.l, 0), &done, 1), 0);
	ck_assert_uint_eq(vdev_queue_deadline(to.v, 0), to.now + 1000000000);
	to.now += 1000000000;
	(void)!vdev_run(to.v, VDEV_RUN_ARM);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(from.l, 0), &done, 1), 1);
	free(r);
	end(&to);
	fx_stop(&from);
}
END_TEST

/* Every byte of the stream changed, and every length of it: taken as it was or not at all. */
START_TEST(damaged_states_are_refused)
{
	struct blk_fx from, to;
	size_t len;

	fx_start(&from, 0, NULL);
	save(&from);
	len = bytes.len;
	fx_make(&to, 0, NULL);
	for (size_t i = 0; i < len; i++) {
		bytes.len = i;
		ck_assert_int_lt(load(to.v), 0);
	}
	bytes.len = len;
	for (size_t i = 0; i < len; i++) {
		bytes.data[i] ^= 0x41;
		ck_assert_int_lt(load(to.v), 0);
		ck_assert_int_eq(vdev_status(to.v), 0);
		bytes.data[i] ^= 0x41;
	}
	fx_stop(&to);
	ck_assert_int_eq(vdev_function_resume(vdev_function(from.v)), 0);
	fx_stop(&from);
}
END_TEST

/* The section itself, past the checksum. */
extern const struct vdev_model_ops blk_model_ops;

START_TEST(sections_that_lie_are_refused)
{
	struct blk_fx fx;
	uint8_t good[256], s[256];
	struct vdev_writer w = {good, sizeof(good), 0, 0};
	static const struct {
		size_t at;
		unsigned bytes;
		uint64_t value;
		int rc;
	} lies[] = {
		{0, 8, UINT64_MAX, VIRTQ_EBADMSG},
		{0, 8, 2049, VIRTQ_ENOTSUP},
		{8, 4, 0, VIRTQ_EBADMSG},
		{8, 4, 3, VIRTQ_EBADMSG},
		{8, 4, 2, VIRTQ_ENOTSUP},
		{12, 4, 0, VIRTQ_EBADMSG},
		{12, 4, 127, VIRTQ_ENOTSUP},
		{16, 4, 2, VIRTQ_EBADMSG},
		{16, 4, 1, VIRTQ_ENOTSUP},
		{20, 4, 2, VIRTQ_EBADMSG},
		{24, 8, (uint64_t)-2, VIRTQ_EBADMSG},
		{32, 8, (uint64_t)1 << 63, VIRTQ_EBADMSG},
	};
	void *model;

	fx_make(&fx, 0, NULL);
	model = vdev_model_of(fx.v, &blk_model_ops);
	ck_assert_ptr_nonnull(model);
	ck_assert_int_eq(blk_model_ops.save(model, &w), 0);
	for (int apply = 0; apply < 2; apply++) {
		struct vdev_reader r = {good, w.len, 0, 0};

		ck_assert_int_eq(blk_model_ops.load(model, &r, 1, apply), 0);
	}
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct vdev_reader r = {s, w.len, 0, 0};

		memcpy(s, good, w.len);
		for (unsigned k = 0; k < lies[i].bytes; k++)
			s[lies[i].at + k] = (uint8_t)(lies[i].value >> (8 * k));
		ck_assert_int_eq(blk_model_ops.load(model, &r, 1, 0), lies[i].rc);
	}
	for (size_t len = 0; len < sizeof(good); len++) {
		struct vdev_reader r = {good, len, 0, 0};

		memset(good + w.len, 0, sizeof(good) - w.len);
		ck_assert_int_eq(blk_model_ops.load(model, &r, 1, 0), len == w.len ? 0 : VIRTQ_EBADMSG);
	}
	{
		struct vdev_reader r = {good, w.len, 0, 0};

		ck_assert_int_eq(blk_model_ops.load(model, &r, 2, 0), VIRTQ_ENOTSUP);
	}
	w = (struct vdev_writer){good, 10, 0, 0};
	ck_assert_int_eq(blk_model_ops.save(model, &w), VIRTQ_ENOSPC);
	fx_stop(&fx);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("blk_state");
	TCase *tc = tcase_create("blk_state");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_device_goes_on_elsewhere, 0, FX_KINDS);
	tcase_add_loop_test(tc, a_larger_disk_is_shown, 0, 2);
	tcase_add_loop_test(tc, what_is_refused_leaves_the_cache_mode, 0, 2);
	tcase_add_test(tc, disks_that_do_not_fit_are_refused);
	tcase_add_test(tc, a_limit_goes_on_where_it_was);
	tcase_add_test(tc, damaged_states_are_refused);
	tcase_add_test(tc, sections_that_lie_are_refused);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
