/* SPDX-License-Identifier: BSD-3-Clause */
/* What the device offers, its configuration space, cache modes, read-only disks, several queues, resizing. */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>

static uint8_t a[4096], b[4096];

enum { BIT_FLUSH = 1 << VDEV_BLK_F_FLUSH, BIT_WCE = 1 << VDEV_BLK_F_CONFIG_WCE };

static int offered(struct blk_fx *fx, unsigned bit)
{
	struct virtq_features f;

	vdev_offered(fx->v, &f);
	return virtq_features_has(&f, bit);
}

START_TEST(a_plain_disk_offers_little)
{
	struct vdev_disk_info info = {.block_size = 512, .physical_block = 512};
	struct fx_config cfg = {.info = &info, .blk = {.size = sizeof(cfg.blk), .nqueues = 1}};
	static const unsigned no[] = {
		VDEV_BLK_F_SIZE_MAX,     VDEV_BLK_F_GEOMETRY, VDEV_BLK_F_RO,
		VDEV_BLK_F_TOPOLOGY,     VDEV_BLK_F_MQ,       VDEV_BLK_F_DISCARD,
		VDEV_BLK_F_WRITE_ZEROES, VDEV_BLK_F_LIFETIME, VDEV_BLK_F_SECURE_ERASE};
	struct blk_fx fx;
	uint8_t want[96] = {0};

	fx_make(&fx, 0, &cfg);
	ck_assert_uint_eq(vdev_id(fx.v), 2);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_int_eq(offered(&fx, no[i]), 0);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_SEG_MAX), 1);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_BLK_SIZE), 1);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_FLUSH), 1);
	CLAUSE("blk/init/D1a");
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_CONFIG_WCE), 1);
	CLAUSE("blk/init/D1b"); /* both are offered, always */
	ck_assert_int_eq(offered(&fx, 17), 0);
	CLAUSE("blk/init/D4");
	ck_assert_uint_eq(vdev_config_len(fx.v), sizeof(want));
	want[1] = 0x08; /* 2048 sectors */
	want[12] = 126; /* seg_max */
	want[21] = 2;   /* blk_size */
	want[34] = 1;   /* num_queues */
	vdev_config_read(fx.v, 0, a, sizeof(want));
	ck_assert_mem_eq(a, want, sizeof(want)); /* all else 0: unused0, unused1, zoned */
	CLAUSE("blk/init/D3");
	fx_stop(&fx);
}
END_TEST

START_TEST(a_rich_disk_offers_all)
{
	struct vdev_disk_info info = {.block_size = 1024,
	                              .physical_block = 4096,
	                              .min_io = 8192,
	                              .opt_io = 65536,
	                              .discard_align = 4096,
	                              .discard = 1,
	                              .write_zeroes = 1,
	                              .zeroes_may_unmap = 1,
	                              .secure_erase = 1,
	                              .volatile_cache = 1,
	                              .has_lifetime = 1};
	struct fx_config cfg = {.info = &info,
	                        .blk = {.size = sizeof(cfg.blk),
	                                .nqueues = 4,
	                                .seg_max = 30,
	                                .size_max = 65536,
	                                .geometry = {100, 16, 63}}};
	struct blk_fx fx;

	fx_make(&fx, 0, &cfg);
	for (unsigned bit = 1; bit <= 16; bit++)
		ck_assert_int_eq(offered(&fx, bit), bit != 3 && bit != 5 && bit != 7 && bit != 8);
	ck_assert_uint_eq(fx_config_get(&fx, 0, 8), 2048);
	ck_assert_uint_eq(fx_config_get(&fx, 8, 4), 65536);
	ck_assert_uint_eq(fx_config_get(&fx, 12, 4), 30);
	ck_assert_uint_eq(fx_config_get(&fx, 16, 2), 100);
	ck_assert_uint_eq(fx_config_get(&fx, 18, 1), 16);
	ck_assert_uint_eq(fx_config_get(&fx, 19, 1), 63);
	ck_assert_uint_eq(fx_config_get(&fx, 20, 4), 1024);
	ck_assert_uint_eq(fx_config_get(&fx, 24, 1), 2);  /* 4096 = 1024 << 2 */
	ck_assert_uint_eq(fx_config_get(&fx, 25, 1), 0);  /* alignment_offset */
	ck_assert_uint_eq(fx_config_get(&fx, 26, 2), 8);  /* blocks */
	ck_assert_uint_eq(fx_config_get(&fx, 28, 4), 64); /* blocks */
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 1);
	ck_assert_uint_eq(fx_config_get(&fx, 33, 1), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 34, 2), 4);
	ck_assert_uint_eq(fx_config_get(&fx, 36, 4), 1 << 22);
	ck_assert_uint_eq(fx_config_get(&fx, 40, 4), 16);
	ck_assert_uint_eq(fx_config_get(&fx, 44, 4), 8);
	ck_assert_uint_eq(fx_config_get(&fx, 48, 4), 1 << 17);
	ck_assert_uint_eq(fx_config_get(&fx, 52, 4), 1);
	ck_assert_uint_eq(fx_config_get(&fx, 56, 1), 1);
	ck_assert_uint_eq(fx_config_get(&fx, 57, 3), 0);
	CLAUSE("blk/init/D3");
	ck_assert_uint_eq(fx_config_get(&fx, 60, 4), 1 << 22);
	ck_assert_uint_eq(fx_config_get(&fx, 64, 4), 16);
	ck_assert_uint_eq(fx_config_get(&fx, 68, 4), 8);
	ck_assert_uint_eq(fx_config_get(&fx, 72, 8), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 80, 8), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 88, 8), 0);
	CLAUSE("blk/init/D17");
	fx_stop(&fx);
}
END_TEST

START_TEST(may_unmap_follows_the_disk)
{
	struct vdev_disk_info info = {.block_size = 512, .physical_block = 512, .write_zeroes = 1};
	struct fx_config cfg = {.info = &info};
	struct blk_fx fx;

	info.zeroes_may_unmap = (uint8_t)_i;
	fx_make(&fx, 0, &cfg);
	ck_assert_uint_eq(fx_config_get(&fx, 56, 1), (uint64_t)_i);
	CLAUSE("blk/op/D9");
	fx_stop(&fx);
}
END_TEST

/* Make a read-only one of either sort. */
START_TEST(read_only_disks_are_not_written)
{
	struct vdev_disk_info info = {.block_size = 512,
	                              .physical_block = 512,
	                              .discard = 1,
	                              .write_zeroes = 1,
	                              .secure_erase = 1};
	struct fx_config cfg = {.info = &info, .blk = {.size = sizeof(cfg.blk)}};
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t range[16];
	struct blk_fx fx;

	if (_i & 4)
		cfg.blk.readonly = 1;
	else
		info.readonly = 1;
	fx_start(&fx, _i & 3, &cfg);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_RO), 1);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_DISCARD), 0);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_WRITE_ZEROES), 0);
	ck_assert_int_eq(offered(&fx, VDEV_BLK_F_SECURE_ERASE), 0);
	fx_pattern(fx.disk->data, 4096, 9);
	memset(a, 0x11, 4096);
	ck_assert_int_eq(fx_write(&fx, 0, a, 4096), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 0, a, 0), BLK_S_IOERR);
	CLAUSE("blk/op/D3a");
	r->out = range;
	r->out_len = fx_range(range, 0, 8, 0);
	for (r->type = BLK_T_DISCARD; r->type <= BLK_T_SECURE_ERASE; r->type++)
		ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_UNSUPP);
	ck_assert_uint_eq(slow_disk_count(fx.disk, VDEV_DISK_WRITE), 0);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx_pattern(a, 4096, 9);
	ck_assert_mem_eq(fx.disk->data, a, 4096);
	CLAUSE("blk/op/D3b");
	ck_assert_int_eq(fx_read(&fx, 0, b, 4096), BLK_S_OK);
	ck_assert_mem_eq(a, b, 4096);
	free(r);
	fx_stop(&fx);
}
END_TEST

/* Whether a write goes through to stable storage. */
static int goes_through(struct blk_fx *fx)
{
	slow_disk_clear(fx->disk);
	ck_assert_int_eq(fx_write(fx, 0, a, 512), BLK_S_OK);
	ck_assert_uint_eq(fx->disk->nlog, 1);
	return (fx->disk->log[0].flags & VDEV_DISK_FUA) != 0;
}

static void set_writeback(struct blk_fx *fx, uint8_t value)
{
	vdev_config_write(fx->v, 32, &value, 1);
}

START_TEST(cache_mode_is_what_was_negotiated)
{
	struct fx_config cfg = {0};
	struct blk_fx fx;

	/* Neither: the driver can't flush, so writes are stable at once. */
	cfg.refuse = BIT_FLUSH | BIT_WCE;
	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(goes_through(&fx), 1);
	CLAUSE("blk/op/D11");
	fx_stop(&fx);
	/* FLUSH alone: a cache that is flushed. */
	cfg.refuse = BIT_WCE;
	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(goes_through(&fx), 0);
	set_writeback(&fx, 0); /* not negotiated: means nothing */
	ck_assert_int_eq(goes_through(&fx), 0);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_OK);
	ck_assert_uint_eq(slow_disk_count(fx.disk, VDEV_DISK_FLUSH), 1);
	CLAUSE("blk/op/D11");
	fx_stop(&fx);
	/* Both: as the driver says. */
	cfg.refuse = 0;
	fx_start(&fx, _i, &cfg);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 1);
	ck_assert_int_eq(goes_through(&fx), 0);
	set_writeback(&fx, 0);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 0);
	ck_assert_int_eq(goes_through(&fx), 1);
	CLAUSE("blk/op/D11");
	set_writeback(&fx, 0xff);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 1);
	ck_assert_int_eq(goes_through(&fx), 0);
	/* A reset brings the mode back to what it was at first. */
	set_writeback(&fx, 0);
	ck_assert_int_eq(vdev_loopback_reset(fx.l), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 1);
	fx_stop(&fx);
	/* CONFIG_WCE without FLUSH. */
	cfg.refuse = BIT_FLUSH;
	fx_start(&fx, _i, &cfg);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 0);
	CLAUSE("blk/init/D2");
	ck_assert_int_eq(goes_through(&fx), 1);
	fx_stop(&fx);
}
END_TEST

/* As a front-end has it that sends no status: the bits come at once, or FEATURES_OK first. */
START_TEST(cache_mode_in_one_step)
{
	const uint8_t all = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK;
	struct virtq_features features;
	struct blk_fx fx;

	fx_make(&fx, 0, NULL);
	vdev_offered(fx.v, &features);
	features.word[0] &= ~(uint64_t)BIT_FLUSH;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(vdev_accept(fx.v, &features), 0);
		ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 1);
		ck_assert_int_eq(vdev_set_status(fx.v, i == 0 ? all : VIRTQ_STATUS_FEATURES_OK), 0);
		ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 0);
		CLAUSE("blk/init/D2");
		ck_assert_int_eq(vdev_set_status(fx.v, 0), 0);
	}
	fx_stop(&fx);
}
END_TEST

START_TEST(zeroes_go_through_as_writes_do)
{
	struct fx_config cfg = {.refuse = BIT_FLUSH | BIT_WCE};
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t range[16];
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	r->type = BLK_T_WRITE_ZEROES;
	r->out = range;
	r->out_len = fx_range(range, 0, 8, 0);
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 2);
	ck_assert_uint_eq(fx.disk->log[0].op, VDEV_DISK_WRITE_ZEROES);
	ck_assert_uint_eq(fx.disk->log[1].op, VDEV_DISK_FLUSH);
	CLAUSE("blk/op/D11");
	/* What was zeroed and could not be made stable failed. */
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	fx.disk->fail_after = 1;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	slow_disk_fail(fx.disk, 0, 0);
	/* Discarded contents are undefined: nothing to make stable. */
	slow_disk_clear(fx.disk);
	r->type = BLK_T_DISCARD;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 1);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(stable_disks_need_no_flush)
{
	struct vdev_disk_info info = {.block_size = 512, .physical_block = 512};
	struct fx_config cfg = {.info = &info};
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	ck_assert_uint_eq(fx_config_get(&fx, 32, 1), 0);
	ck_assert_int_eq(goes_through(&fx), 0); /* needs no telling */
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_OK);
	ck_assert_uint_eq(slow_disk_count(fx.disk, VDEV_DISK_FLUSH), 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(every_queue_serves)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .nqueues = 8}};
	struct fx_req *r[8];
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(vdev_has(fx.v, VDEV_BLK_F_MQ), 1);
	ck_assert_uint_eq(vdev_queue_count(fx.v), 8);
	for (unsigned q = 0; q < 8; q++) {
		fx_pattern(fx.disk->data + q * 512, 512, q);
		r[q] = calloc(1, sizeof(*r[q]));
		r[q]->type = BLK_T_IN;
		r[q]->sector = q;
		r[q]->in_len = 512;
		fx_submit(&fx, q, r[q]);
	}
	for (unsigned q = 8; q-- > 0;) {
		fx_wait(&fx, q, r[q]);
		ck_assert_int_eq(r[q]->status, BLK_S_OK);
		ck_assert_mem_eq(r[q]->in, fx.disk->data + q * 512, 512);
		free(r[q]);
	}
	ck_assert_uint_eq(fx.disk->opens, 8);
	fx_stop(&fx);
}
END_TEST

/* A queue that gets no channel does not start, and leaves nothing; another time it does. */
START_TEST(a_disk_that_opens_no_channel)
{
	struct vdev_queue_setup setup = {0};
	struct blk_fx fx;
	long allocated;

	fx_start(&fx, _i, NULL);
	ck_assert_int_eq(vdev_queue_stop(fx.v, 0), 0);
	ck_assert_int_eq(vdev_queue_stop(fx.v, 1), 0);
	ck_assert_int_eq(fx.disk->acquired, 0);
	allocated = fx.allocated;
	fx.disk->open_error = VIRTQ_EIO;
	virtq_drv_state(vdev_loopback_drv(fx.l, 0), &setup.state);
	ck_assert_int_eq(vdev_queue_start(fx.v, 0, &setup), VIRTQ_EIO);
	ck_assert_int_eq(vdev_queue_started(fx.v, 0), 0);
	ck_assert_int_eq(fx.allocated, allocated);
	ck_assert_int_eq(fx.disk->acquired, 0);
	fx.disk->open_error = 0;
	ck_assert_int_eq(vdev_queue_start(fx.v, 0, &setup), 0);
	ck_assert_int_eq(fx_read(&fx, 0, a, 512), BLK_S_OK);
	fx_stop(&fx);
}
END_TEST

START_TEST(capacity_may_change)
{
	struct blk_fx fx;
	uint32_t generation;

	fx_start(&fx, _i, NULL);
	generation = vdev_config_generation(fx.v);
	ck_assert_int_eq(fx_read(&fx, 2048, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(vdev_blk_resized(fx.v), 0); /* it has not */
	ck_assert_uint_eq(fx.config_changes, 0);
	slow_disk_resize(fx.disk, 2 << 20);
	ck_assert_int_eq(vdev_blk_resized(fx.v), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 0, 8), 4096);
	CLAUSE("blk/op/D1");
	ck_assert_uint_eq(fx.config_changes, 1);
	CLAUSE("blk/op/D2");
	ck_assert_uint_ne(vdev_config_generation(fx.v), generation);
	ck_assert_int_eq(fx_read(&fx, 2048, b, 512), BLK_S_OK);
	slow_disk_resize(fx.disk, 1 << 19);
	ck_assert_int_eq(vdev_blk_resized(fx.v), 0);
	ck_assert_uint_eq(fx.config_changes, 2);
	ck_assert_int_eq(fx_read(&fx, 1023, b, 512), BLK_S_OK);
	ck_assert_int_eq(fx_read(&fx, 1024, b, 512), BLK_S_IOERR);
	fx_stop(&fx);
	ck_assert_int_eq(vdev_blk_resized(NULL), VIRTQ_EINVAL);
}
END_TEST

/* The driver of a suspended device sees what it saw before; afterwards it sees the disk as it is, not as it was between. */
START_TEST(capacity_changes_there_and_back_while_suspended)
{
	struct blk_fx fx;
	uint8_t status;

	fx_start(&fx, _i, NULL);
	status = vdev_status(fx.v);
	ck_assert_int_eq(vdev_set_status(fx.v, status | VIRTQ_STATUS_SUSPEND), 0);
	ck_assert(vdev_status(fx.v) & VIRTQ_STATUS_SUSPEND);
	slow_disk_resize(fx.disk, 2 << 20);
	ck_assert_int_eq(vdev_blk_resized(fx.v), 0);
	slow_disk_resize(fx.disk, 1 << 20);
	ck_assert_int_eq(vdev_blk_resized(fx.v), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 0, 8), 2048);
	ck_assert_int_eq(vdev_set_status(fx.v, status), 0);
	ck_assert_uint_eq(fx_config_get(&fx, 0, 8), 2048);
	ck_assert_int_eq(fx_read(&fx, 2047, b, 512), BLK_S_OK);
	fx_stop(&fx);
}
END_TEST

static long budget;
static long held;

static void *few(void *ctx, size_t bytes)
{
	(void)ctx;
	if (budget-- <= 0)
		return NULL;
	held++;
	return malloc(bytes);
}

static void few_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	held--;
	free(p);
}

START_TEST(misuse_and_lack_of_memory_are_refused)
{
	struct vdev_env env = {.size = sizeof(env), .alloc = few, .free = few_free};
	struct vdev_env none = {.size = sizeof(none)};
	struct vdev_blk_config cfg = {.size = sizeof(cfg)};
	struct slow_disk *d = slow_disk_new(1 << 16, 0);
	struct vdev *v = NULL;
	long n;

	budget = 1000;
	ck_assert_int_eq(vdev_blk_new(NULL, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_new(&v, NULL, &d->disk, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_new(&v, &none, &d->disk, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_new(&v, &env, NULL, &cfg), VIRTQ_EINVAL);
	cfg.size = 3;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	cfg.size = sizeof(cfg);
	cfg.nqueues = 257;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	cfg.nqueues = 1;
	cfg.queue_max = 32769;
	budget = 0;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	cfg.queue_max = 0;
	cfg.seg_max = 40000;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	budget = 1000;
	cfg.seg_max = 0;
	cfg.limit.ops_per_s = 5; /* and no clock */
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	cfg.limit.ops_per_s = 0;
	d->info.block_size = 300;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	for (uint32_t size = 256; size <= 768; size += 512) {
		d->info.block_size = size;
		ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	}
	d->info.block_size = 512;
	d->info.physical_block = 4096 + 512;
	ck_assert_int_eq(vdev_blk_new(&v, &env, &d->disk, &cfg), VIRTQ_EINVAL);
	d->info.physical_block = 4096;
	ck_assert_int_eq(held, 0);
	/* Refused before memory is asked for: nothing could free it. */
	for (int i = 0; i < 4; i++) {
		struct vdev_env less = env;

		if (i == 0)
			less.free = NULL;
		if (i == 1)
			less.size = offsetof(struct vdev_env, free);
		if (i == 2)
			less.alloc = NULL;
		if (i == 3)
			less.size--;
		ck_assert_int_eq(vdev_blk_new(&v, &less, &d->disk, &cfg), VIRTQ_EINVAL);
		ck_assert_int_eq(held, 0);
	}
	for (n = 0; n < 20; n++) {
		int rc;

		budget = n;
		rc = vdev_blk_new(&v, &env, &d->disk, &cfg);
		if (rc == 0)
			break;
		ck_assert_int_eq(rc, VIRTQ_ENOMEM);
		ck_assert_int_eq(held, 0);
	}
	ck_assert_int_gt(n, 0);
	ck_assert_int_lt(n, 20);
	ck_assert_int_eq(vdev_free(v), 0);
	ck_assert_int_eq(held, 0);
	ck_assert_int_eq(vdev_blk_new(&v, vdev_env_hosted(), &d->disk, NULL), 0);
	ck_assert_uint_eq(vdev_queue_count(v), 1);
	ck_assert_uint_eq(vdev_queue_max(v, 0), 256);
	ck_assert_int_eq(vdev_free(v), 0);
	slow_disk_free(d);
}
END_TEST

static int some_fd(struct vdev_disk_channel *c)
{
	(void)c;
	return 1234;
}

/* Only a disk that ends operations later has something to wait for, and not each of them has a file for it. */
START_TEST(disks_have_files_to_wait_for_or_not)
{
	int async = (_i & FX_ASYNC) != 0;
	struct vdev_disk_ops ops;
	struct blk_fx fx;

	for (int with = 0; with < 2; with++) {
		fx_make(&fx, _i, NULL);
		ck_assert_int_eq(vdev_free(fx.v), 0);
		ops = *fx.disk->disk.ops;
		ops.fd = with ? some_fd : NULL;
		fx.disk->disk.ops = &ops;
		ck_assert_int_eq(vdev_blk_new(&fx.v, &fx.env, &fx.disk->disk, NULL), 0);
		fx_attach(&fx, _i, NULL);
		ck_assert_int_eq(vdev_queue_fd(fx.v, 0), async && with ? 1234 : -1);
		fx_stop(&fx);
	}
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("blk_config");
	TCase *tc = tcase_create("blk_config");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_plain_disk_offers_little);
	tcase_add_test(tc, a_rich_disk_offers_all);
	tcase_add_loop_test(tc, may_unmap_follows_the_disk, 0, 2);
	tcase_add_loop_test(tc, read_only_disks_are_not_written, 0, 8);
	tcase_add_loop_test(tc, cache_mode_is_what_was_negotiated, 0, FX_KINDS);
	tcase_add_test(tc, cache_mode_in_one_step);
	tcase_add_loop_test(tc, zeroes_go_through_as_writes_do, 0, FX_KINDS);
	tcase_add_loop_test(tc, stable_disks_need_no_flush, 0, FX_KINDS);
	tcase_add_loop_test(tc, every_queue_serves, 0, FX_KINDS);
	tcase_add_loop_test(tc, a_disk_that_opens_no_channel, 0, FX_KINDS);
	tcase_add_loop_test(tc, capacity_may_change, 0, FX_KINDS);
	tcase_add_loop_test(tc, capacity_changes_there_and_back_while_suspended, 0, FX_KINDS);
	tcase_add_test(tc, misuse_and_lack_of_memory_are_refused);
	tcase_add_loop_test(tc, disks_have_files_to_wait_for_or_not, 0, FX_KINDS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
