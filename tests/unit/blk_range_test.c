/* SPDX-License-Identifier: BSD-3-Clause */
/* DISCARD, WRITE_ZEROES and SECURE_ERASE: requests that name ranges of sectors. */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>

static uint8_t a[4096], b[4096];

static uint64_t discarded(const struct blk_fx *fx)
{
	struct vdev_counters c;

	vdev_queue_counters(fx->v, 0, &c);
	ck_assert_uint_eq(c.written_bytes, 0);
	return c.discarded_bytes;
}

START_TEST(discards_reach_the_disk)
{
	struct blk_fx fx;
	const struct slow_op *op;

	fx_start(&fx, _i, NULL);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 8, 16, 0), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 1);
	op = &fx.disk->log[0];
	ck_assert_uint_eq(op->op, VDEV_DISK_DISCARD);
	ck_assert_uint_eq(op->offset, 8 * 512);
	ck_assert_uint_eq(op->len, 16 * 512);
	CLAUSE("blk/op/D6");
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 8, 16, 1), BLK_S_UNSUPP);
	CLAUSE("blk/op/D5");
	ck_assert_uint_eq(fx.disk->nlog, 1);
	ck_assert_uint_eq(discarded(&fx), 16 * 512);
	fx_stop(&fx);
}
END_TEST

START_TEST(unknown_flags_are_unsupported)
{
	static const uint32_t types[] = {BLK_T_DISCARD, BLK_T_WRITE_ZEROES, BLK_T_SECURE_ERASE};
	struct blk_fx fx;
	uint8_t two[32];

	fx_start(&fx, _i, NULL);
	for (unsigned t = 0; t < 3; t++) {
		for (unsigned bit = 1; bit < 32; bit++)
			ck_assert_int_eq(fx_range_do(&fx, types[t], 0, 8, 1u << bit), BLK_S_UNSUPP);
		/* In the second segment: the first is not carried out either. */
		fx_range(two, 0, 8, 0);
		fx_range(two + 16, 8, 8, 2);
		ck_assert_int_eq(fx_ranges_do(&fx, types[t], two, 32), BLK_S_UNSUPP);
		/* A flag counts more than a bad range. */
		fx_range(two, 1 << 20, 8, 0);
		ck_assert_int_eq(fx_ranges_do(&fx, types[t], two, 32), BLK_S_UNSUPP);
	}
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_SECURE_ERASE, 0, 8, 1), BLK_S_UNSUPP);
	CLAUSE("blk/op/D4");
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(zeroes_are_written)
{
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	memset(fx.disk->data, 0xff, 1 << 20);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 4, 8, 0), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->log[0].flags & VDEV_DISK_UNMAP, 0);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 100, 8, 1), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->log[1].flags & VDEV_DISK_UNMAP, VDEV_DISK_UNMAP);
	CLAUSE("blk/op/D7");
	memset(a, 0, 4096);
	ck_assert_int_eq(fx_read(&fx, 4, b, 4096), BLK_S_OK);
	ck_assert_mem_eq(a, b, 4096);
	ck_assert_int_eq(fx_read(&fx, 100, b, 4096), BLK_S_OK);
	ck_assert_mem_eq(a, b, 4096);
	CLAUSE("blk/op/D8");
	ck_assert_uint_eq(fx.disk->data[3 * 512 + 511], 0xff);
	ck_assert_uint_eq(fx.disk->data[12 * 512], 0xff);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_SECURE_ERASE, 200, 8, 0), BLK_S_OK);
	ck_assert_uint_eq(slow_disk_count(fx.disk, VDEV_DISK_SECURE_ERASE), 1);
	ck_assert_uint_eq(discarded(&fx), 3 * 8 * 512);
	fx_stop(&fx);
}
END_TEST

START_TEST(segments_are_done_in_turn)
{
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t s[17 * 16];
	struct blk_fx fx;
	uint32_t n = 0;

	ck_assert_ptr_nonnull(r);
	r->type = BLK_T_WRITE_ZEROES;
	fx_start(&fx, _i, NULL);
	memset(fx.disk->data, 0xff, 1 << 20);
	for (unsigned i = 0; i < 16; i++)
		n += fx_range(s + n, i * 16, i == 5 ? 0 : 8, i & 1);
	r->out = s;
	r->out_len = n;
	r->cut_out = (uint32_t[]){16, 5, 20, 100, 0};
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 15); /* one was empty */
	for (unsigned i = 0; i < 15; i++) {
		ck_assert_uint_eq(fx.disk->log[i].offset, (i < 5 ? i : i + 1) * 16 * 512);
		ck_assert_uint_eq(fx.disk->log[i].flags, (i < 5 ? i : i + 1) & 1 ? VDEV_DISK_UNMAP : 0);
	}
	for (unsigned i = 0; i < 16; i++) {
		ck_assert_uint_eq(fx.disk->data[i * 16 * 512], i == 5 ? 0xff : 0);
		ck_assert_uint_eq(fx.disk->data[(i * 16 + 8) * 512], 0xff);
	}
	/* The third fails: those after it are left alone, and its status is the request's. */
	slow_disk_clear(fx.disk);
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	fx.disk->fail_after = 2;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	ck_assert_uint_eq(fx.disk->nlog, 3);
	slow_disk_fail(fx.disk, 0, 0);
	/* One more than ever was offered, and lengths that are no segments. */
	slow_disk_clear(fx.disk);
	fx_range(s + n, 1, 1, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, n + 16), BLK_S_IOERR);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_DISCARD, s, 15), BLK_S_IOERR);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_DISCARD, s, 17), BLK_S_IOERR);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_SECURE_ERASE, s, 0), BLK_S_IOERR);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	ck_assert_uint_eq(discarded(&fx), 15 * 8 * 512); /* of the request that ended well */
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(segments_are_checked_before_any_is_done)
{
	struct fx_config cfg = {.bytes = 4u << 20};
	struct blk_fx fx;
	uint8_t s[32];

	fx_start(&fx, _i, &cfg); /* 8192 sectors */
	fx_range(s, 0, 8, 0);
	fx_range(s + 16, 8190, 3, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_DISCARD, s, 32), BLK_S_IOERR);
	fx_range(s + 16, UINT64_MAX, 2, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 32), BLK_S_IOERR);
	fx_range(s + 16, 0, UINT32_MAX, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_SECURE_ERASE, s, 32), BLK_S_IOERR);
	fx_range(s + 16, UINT64_MAX / 512 + 1, 1, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 32), BLK_S_IOERR);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx_range(s, 8000, 192, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 16), BLK_S_OK);
	fx_range(s, 5, 0, 0);
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 16), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 1);
	fx_stop(&fx);
}
END_TEST

START_TEST(feature_off_means_type_refused)
{
	struct fx_config cfg = {.refuse = 1u << VDEV_BLK_F_DISCARD | 1u << VDEV_BLK_F_WRITE_ZEROES |
	                                  1u << VDEV_BLK_F_SECURE_ERASE | 1u << VDEV_BLK_F_FLUSH |
	                                  1u << VDEV_BLK_F_CONFIG_WCE};
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_SECURE_ERASE, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_UNSUPP);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx_stop(&fx);
}
END_TEST

/* max_discard_sectors and its like are kept to where the disk is larger. */
START_TEST(segments_are_as_long_as_offered)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .own_disk = 1};
	struct vdev_disk *disk;
	struct blk_fx fx;
	uint32_t most;

	fx_make(&fx, _i, NULL);
	ck_assert_int_eq(vdev_free(fx.v), 0);
	ck_assert_int_eq(vdev_disk_null_new(&disk, &fx.env, (uint64_t)8 << 30), 0);
	ck_assert_int_eq(vdev_blk_new(&fx.v, &fx.env, disk, &blk), 0);
	fx_attach(&fx, _i, NULL);
	most = (uint32_t)fx_config_get(&fx, 36, 4); /* max_discard_sectors */
	ck_assert_uint_eq(most, 1u << 22);
	ck_assert_uint_eq(fx_config_get(&fx, 48, 4), 1u << 17); /* max_write_zeroes_sectors: 64 MiB */
	ck_assert_uint_eq(fx_config_get(&fx, 52, 4), 1);        /* max_write_zeroes_seg */
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 8, most, 0), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 8, most + 1, 0), BLK_S_IOERR);
	/* What a driver may remember that has seen larger ones. */
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 8, most, 0), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 8, most + 1, 0), BLK_S_IOERR);
	fx_stop(&fx);
}
END_TEST

/* Whatever the driver asks for, an operation that may have to write zeroes is one of 64 MiB at most. */
START_TEST(long_zeroes_are_several_operations)
{
	enum { PART = 1 << 17 };
	struct fx_config cfg = {.bytes = (uint64_t)150 << 20};
	struct blk_fx fx;
	uint8_t s[48];

	fx_start(&fx, _i, &cfg);
	fx_range(s, 0, 8, 0);
	fx_range(s + 16, 16, 2 * PART + 8, 1);
	fx_range(s + 32, 2 * PART + 100, 8, 0);
	fx.disk->data[(uint64_t)(2 * PART + 23) << 9] = 0xff;
	fx.disk->data[(uint64_t)(2 * PART + 24) << 9] = 0xff;
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 48), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 5);
	for (unsigned i = 0; i < 5; i++) {
		static const uint64_t at[] = {0, 16, 16 + PART, 16 + 2 * PART, 2 * PART + 100};
		static const uint64_t len[] = {8, PART, PART, 8, 8};

		ck_assert_uint_eq(fx.disk->log[i].offset, at[i] << 9);
		ck_assert_uint_eq(fx.disk->log[i].len, len[i] << 9);
		ck_assert_uint_eq(fx.disk->log[i].flags, i > 0 && i < 4 ? VDEV_DISK_UNMAP : 0);
	}
	ck_assert_uint_eq(fx.disk->data[(uint64_t)(2 * PART + 23) << 9], 0);
	ck_assert_uint_eq(fx.disk->data[(uint64_t)(2 * PART + 24) << 9], 0xff);
	ck_assert_uint_eq(discarded(&fx), (uint64_t)(2 * PART + 24) << 9);
	/* One that fails halfway leaves nothing to the next that gets its place. */
	slow_disk_clear(fx.disk);
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	fx.disk->fail_after = 2;
	ck_assert_int_eq(fx_ranges_do(&fx, BLK_T_WRITE_ZEROES, s, 48), BLK_S_IOERR);
	ck_assert_uint_eq(fx.disk->nlog, 3);
	slow_disk_fail(fx.disk, 0, 0);
	slow_disk_clear(fx.disk);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 16, PART, 0), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 16, 2 * PART, 0), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 2); /* other ranges are no work */
	ck_assert_uint_eq(fx.disk->log[0].offset, 16 << 9);
	ck_assert_uint_eq(fx.disk->log[0].len, (uint64_t)PART << 9);
	fx_stop(&fx);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("blk_range");
	TCase *tc = tcase_create("blk_range");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, discards_reach_the_disk, 0, 8);
	tcase_add_loop_test(tc, unknown_flags_are_unsupported, 0, 8);
	tcase_add_loop_test(tc, zeroes_are_written, 0, 8);
	tcase_add_loop_test(tc, segments_are_done_in_turn, 0, 8);
	tcase_add_loop_test(tc, segments_are_checked_before_any_is_done, 0, 8);
	tcase_add_loop_test(tc, feature_off_means_type_refused, 0, 8);
	tcase_add_loop_test(tc, long_zeroes_are_several_operations, 0, 8);
	tcase_add_loop_test(tc, segments_are_as_long_as_offered, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
