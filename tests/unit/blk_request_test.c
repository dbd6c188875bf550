/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request type, status and framing, over split and packed rings, disks that end at once and later. */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>

static uint8_t a[65536], b[65536];

static struct fx_req *new_req(uint32_t type)
{
	struct fx_req *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->type = type;
	return r;
}

START_TEST(writes_are_read_back)
{
	struct blk_fx fx;
	struct vdev_counters c;

	fx_start(&fx, _i, NULL);
	fx_pattern(a, 16384, 1);
	ck_assert_int_eq(fx_write(&fx, 8, a, 16384), BLK_S_OK);
	ck_assert_mem_eq(fx.disk->data + 8 * 512, a, 16384);
	ck_assert_int_eq(fx_read(&fx, 8, b, 16384), BLK_S_OK);
	ck_assert_mem_eq(a, b, 16384);
	ck_assert_int_eq(fx_read(&fx, 2047, b, 512), BLK_S_OK);
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.requests, 3);
	ck_assert_uint_eq(c.written_bytes, 16384);
	ck_assert_uint_eq(c.read_bytes, 16384 + 512);
	ck_assert_uint_eq(c.errors, 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(used_length_says_what_was_written)
{
	struct blk_fx fx;
	struct fx_req *r = new_req(BLK_T_IN);

	fx_start(&fx, _i, NULL);
	r->in_len = 1024;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 1025);
	/* A read that fails has written the status alone, which is not at the start. */
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	ck_assert_int_eq(r->used, 0);
	slow_disk_fail(fx.disk, 0, 0);
	/* A write: the status is all there is. */
	r->type = BLK_T_OUT;
	r->in_len = 0;
	r->out = a;
	r->out_len = 512;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 1);
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	ck_assert_int_eq(r->used, 1);
	slow_disk_fail(fx.disk, 0, 0);
	/* Writable room that a write does not need is left alone. */
	r->in_len = 7;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 0);
	for (int i = 0; i < 7; i++)
		ck_assert_uint_eq(r->in[i], BLK_S_UNTOUCHED);
	free(r);
	fx_stop(&fx);
}
END_TEST

/* One byte to a descriptor where the cuts of both parts run out of step. */
static void read_and_write_cut(struct blk_fx *fx, const uint32_t *cut_out, const uint32_t *cut_in)
{
	struct fx_req *r = new_req(BLK_T_OUT);
	static unsigned seed;

	fx_pattern(a, 1536, ++seed);
	r->sector = 3;
	r->out = a;
	r->out_len = 1536;
	r->cut_out = cut_out;
	ck_assert_int_eq(fx_do(fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 1);
	ck_assert_mem_eq(fx->disk->data + 3 * 512, a, 1536);
	memset(r, 0, sizeof(*r));
	r->type = BLK_T_IN;
	r->sector = 3;
	r->in_len = 1536;
	r->cut_out = cut_out;
	r->cut_in = cut_in;
	ck_assert_int_eq(fx_do(fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 1537);
	ck_assert_mem_eq(r->in, a, 1536);
	free(r);
}

START_TEST(framing_of_the_header_means_nothing)
{
	struct blk_fx fx;
	uint32_t cut[34], i;

	fx_start(&fx, _i, NULL);
	/* The header in two, everywhere; alone, with data, with a part of the data. */
	for (uint32_t at = 1; at <= 16; at++) {
		read_and_write_cut(&fx, (uint32_t[]){at, 0}, NULL);
		read_and_write_cut(&fx, (uint32_t[]){at, 17 - at, 0}, NULL);
		read_and_write_cut(&fx, (uint32_t[]){at, 300, 0}, (uint32_t[]){at, 0});
	}
	read_and_write_cut(&fx, (uint32_t[]){0}, (uint32_t[]){0});
	read_and_write_cut(&fx, (uint32_t[]){17, 0}, NULL);
	read_and_write_cut(&fx, (uint32_t[]){16 + 1535, 0}, NULL);
	for (i = 0; i < 33; i++)
		cut[i] = 1;
	cut[33] = 0;
	read_and_write_cut(&fx, cut, cut);
	CLAUSE("basic/message-framing/D1");
	CLAUSE("basic/message-framing/D1");
	fx_stop(&fx);
}
END_TEST

START_TEST(framing_of_the_status_means_nothing)
{
	struct blk_fx fx;
	uint32_t at[] = {1, 2, 511, 512, 513, 1535, 1536, 1537};

	fx_start(&fx, _i, NULL);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		read_and_write_cut(&fx, NULL, (uint32_t[]){at[i], 0});
		read_and_write_cut(&fx, NULL, (uint32_t[]){at[i], 1, 1, 0});
		read_and_write_cut(&fx, (uint32_t[]){20, 0}, (uint32_t[]){1, at[i], 0});
	}
	fx_stop(&fx);
}
END_TEST

START_TEST(many_pieces_are_served)
{
	struct fx_config cfg = {.queue_size = 128, .indirect_max = 128};
	struct fx_req *r[4];
	uint32_t cut[130];
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	for (int i = 0; i < 120; i++)
		cut[i] = 512;
	cut[120] = 0;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned k = 0; k < 4; k++) {
			/* Uneven, so that pieces have to be cut and blocks are needed for the copy. */
			uint32_t uneven = k == 3 ? 100 : 512;

			cut[0] = uneven;
			r[k] = new_req(BLK_T_IN);
			fx_pattern(fx.disk->data + k * 32768, 32768, round * 4 + k);
			r[k]->sector = k * 64;
			r[k]->in_len = 32768;
			r[k]->cut_in = cut;
			fx_add(&fx, 0, r[k]);
		}
		fx_kick(&fx, 0);
		for (unsigned k = 0; k < 4; k++) {
			fx_wait(&fx, 0, r[k]);
			ck_assert_int_eq(r[k]->status, BLK_S_OK);
			ck_assert_mem_eq(r[k]->in, fx.disk->data + k * 32768, 32768);
			free(r[k]);
		}
	}
	fx_stop(&fx);
}
END_TEST

START_TEST(a_burst_goes_to_the_disk_at_once)
{
	struct fx_req *r[16];
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	for (unsigned k = 0; k < 16; k++) {
		r[k] = new_req(k % 2 ? BLK_T_OUT : BLK_T_IN);
		r[k]->sector = k;
		if (k % 2) {
			r[k]->out = a;
			r[k]->out_len = 512;
		} else {
			r[k]->in_len = 512;
		}
		fx_add(&fx, 1, r[k]);
	}
	fx_kick(&fx, 1);
	for (unsigned k = 0; k < 16; k++) {
		fx_wait(&fx, 1, r[k]);
		ck_assert_int_eq(r[k]->status, BLK_S_OK);
		free(r[k]);
	}
	ck_assert_uint_eq(fx.disk->submits, 1);
	ck_assert_uint_eq(fx.disk->nlog, 16);
	fx_stop(&fx);
}
END_TEST

START_TEST(ranges_of_sectors_are_checked)
{
	struct blk_fx fx;
	struct vdev_counters c;

	fx_start(&fx, _i, NULL); /* 2048 sectors */
	ck_assert_int_eq(fx_read(&fx, 2047, b, 1024), BLK_S_IOERR);
	ck_assert_int_eq(fx_read(&fx, 2048, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_read(&fx, UINT64_MAX, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_read(&fx, UINT64_MAX / 512 + 1, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 2047, a, 1024), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, (uint64_t)1 << 63, a, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_read(&fx, 0, b, 511), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 0, a, 513), BLK_S_IOERR);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.errors, 8);
	/* Nothing, somewhere on the disk. */
	ck_assert_int_eq(fx_read(&fx, 2048, b, 0), BLK_S_OK);
	ck_assert_int_eq(fx_read(&fx, 2049, b, 0), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 5, a, 0), BLK_S_OK);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(logical_blocks_are_kept_whole)
{
	struct vdev_disk_info info = {.block_size = 4096, .physical_block = 4096};
	struct fx_config cfg = {.info = &info};
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(fx_read(&fx, 8, b, 4096), BLK_S_OK);
	ck_assert_int_eq(fx_read(&fx, 1, b, 4096), BLK_S_IOERR);
	ck_assert_int_eq(fx_read(&fx, 8, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 8, a, 8192), BLK_S_OK);
	ck_assert_int_eq(fx_write(&fx, 8, a, 4096 + 512), BLK_S_IOERR);
	fx_stop(&fx);
}
END_TEST

START_TEST(errors_of_the_disk_become_statuses)
{
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	ck_assert_int_eq(fx_read(&fx, 0, b, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_write(&fx, 0, a, 512), BLK_S_IOERR);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_IOERR);
	slow_disk_fail(fx.disk, VIRTQ_ENOSPC, 0);
	ck_assert_int_eq(fx_write(&fx, 0, a, 512), BLK_S_IOERR);
	slow_disk_fail(fx.disk, VIRTQ_ENOTSUP, 0);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 0, 8, 0), BLK_S_UNSUPP);
	slow_disk_fail(fx.disk, 0, 0);
	ck_assert_int_eq(fx_read(&fx, 0, b, 512), BLK_S_OK);
	ck_assert_int_eq(vdev_status(fx.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(unknown_types_are_unsupported)
{
	static const uint32_t types[] = {2, 3, 5, 6, 7, 9, 12, 17, 31, 0x80000000, UINT32_MAX};
	static const uint32_t zoned[] = {15, 16, 18, 20, 22, 24, 26};
	struct fx_req *r;
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		ck_assert_int_eq(fx_plain(&fx, types[i]), BLK_S_UNSUPP);
	for (size_t i = 0; i < sizeof(zoned) / sizeof(zoned[0]); i++)
		ck_assert_int_eq(fx_plain(&fx, zoned[i]), BLK_S_UNSUPP);
	CLAUSE("blk/op/D16");
	/* With data both ways too. */
	r = new_req(7);
	r->out = a;
	r->out_len = 600;
	r->in_len = 300;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_UNSUPP);
	for (int i = 0; i < 300; i++)
		ck_assert_uint_eq(r->in[i], BLK_S_UNTOUCHED);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(get_id_tells_the_serial)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .serial = "12345678901234567890"}};
	struct fx_req *r = new_req(BLK_T_GET_ID);
	struct blk_fx fx;

	memcpy(cfg.blk.serial, "12345678901234567890", 20);
	fx_start(&fx, _i, &cfg);
	r->in_len = 20;
	r->cut_in = (uint32_t[]){3, 17, 0};
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 21);
	ck_assert_mem_eq(r->in, cfg.blk.serial, 20);
	r->in_len = 4;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_mem_eq(r->in, "1234", 4);
	r->in_len = 30;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_int_eq(r->used, 20);
	ck_assert_mem_eq(r->in, cfg.blk.serial, 20);
	ck_assert_uint_eq(r->in[20], BLK_S_UNTOUCHED);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(short_serials_are_padded)
{
	struct fx_config cfg = {.blk = {.size = sizeof(cfg.blk), .serial = "short"}};
	struct fx_req *r = new_req(BLK_T_GET_ID);
	uint8_t want[20] = "short";
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	r->in_len = 20;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_mem_eq(r->in, want, 20);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(get_lifetime_tells_what_the_disk_reports)
{
	struct vdev_disk_info info = {
		.block_size = 512, .physical_block = 512, .has_lifetime = 1, .lifetime = {2, 3, 11}};
	struct fx_config cfg = {.info = &info};
	struct fx_req *r = new_req(BLK_T_GET_LIFETIME);
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	ck_assert_int_eq(vdev_has(fx.v, VDEV_BLK_F_LIFETIME), 1);
	CLAUSE("blk/op/D13");
	r->in_len = 6;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_mem_eq(r->in, ((uint8_t[]){2, 0, 3, 0, 11, 0}), 6);
	ck_assert_int_eq(r->used, 7);
	/* Values that the standard reserves become "undefined". */
	fx.disk->info.lifetime[0] = 4;
	fx.disk->info.lifetime[1] = 12;
	fx.disk->info.lifetime[2] = 0xffff;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_OK);
	ck_assert_mem_eq(r->in, ((uint8_t[]){0, 0, 0, 0, 0, 0}), 6);
	CLAUSE("blk/op/D15");
	r->in_len = 5;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	/* The metrics are gone. */
	fx.disk->info.has_lifetime = 0;
	r->in_len = 6;
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	free(r);
	fx_stop(&fx);
}
END_TEST

START_TEST(lifetime_needs_metrics)
{
	struct virtq_features f;
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	vdev_offered(fx.v, &f);
	ck_assert_int_eq(virtq_features_has(&f, VDEV_BLK_F_LIFETIME), 0);
	CLAUSE("blk/op/D14");
	ck_assert_int_eq(fx_plain(&fx, BLK_T_GET_LIFETIME), BLK_S_UNSUPP);
	fx_stop(&fx);
}
END_TEST

START_TEST(without_room_for_a_status_nothing_is_written)
{
	struct blk_fx fx;
	struct virtq_seg seg = {0};
	struct virtq_done done;
	struct vdev_counters c;
	uint8_t header[16] = {0};

	fx_start(&fx, _i, NULL);
	memcpy(fx.shared, header, 16);
	seg.addr = fx.shared_gpa;
	seg.len = 16;
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(fx.l, 0), &seg, 1, 0, &fx), 0);
	fx_kick(&fx, 0);
	(void)!vdev_queue_run(fx.v, 0, 0);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(fx.l, 0), &done, 1), 1);
	ck_assert_uint_eq(done.written, 0);
	/* A header that is too short, then none: a status where there is room. */
	seg.len = 1;
	for (int i = 0; i < 3; i++) {
		struct virtq_seg s[2] = {{fx.shared_gpa, i == 2 ? 15 : 1}, {fx.shared_gpa + 64, 9}};

		memset(fx.shared + 64, 0xee, 9);
		ck_assert_int_eq(
			virtq_drv_add(vdev_loopback_drv(fx.l, 0), i == 0 ? s + 1 : s, i != 0, 1, &fx), 0);
		fx_kick(&fx, 0);
		(void)!vdev_queue_run(fx.v, 0, 0);
		ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(fx.l, 0), &done, 1), 1);
		ck_assert_uint_eq(done.written, 0);
		ck_assert_uint_eq(fx.shared[64 + 7], 0xee);
		ck_assert_uint_eq(fx.shared[64 + 8], BLK_S_IOERR);
	}
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.errors, 4);
	ck_assert_int_eq(vdev_queue_broken(fx.v, 0), 0);
	ck_assert_int_eq(fx_read(&fx, 0, b, 512), BLK_S_OK);
	fx_stop(&fx);
}
END_TEST

START_TEST(mem_and_null_disks_serve)
{
	struct vdev_blk_config blk = {.size = sizeof(blk)};
	struct vdev_disk *disk;
	struct blk_fx fx;

	/* Of the fixture only its loopback: the disk is the library's. */
	fx_make(&fx, 0, NULL);
	ck_assert_int_eq(vdev_free(fx.v), 0);
	if (_i == 0)
		ck_assert_int_eq(vdev_disk_mem_new(&disk, &fx.env, NULL, 1 << 20), 0);
	else
		ck_assert_int_eq(vdev_disk_null_new(&disk, &fx.env, 1 << 20), 0);
	blk.own_disk = 1;
	ck_assert_int_eq(vdev_blk_new(&fx.v, &fx.env, disk, &blk), 0);
	fx_attach(&fx, 0, NULL);
	fx_pattern(a, 8192, 3);
	memset(b, 0xff, 8192);
	ck_assert_int_eq(fx_write(&fx, 16, a, 8192), BLK_S_OK);
	ck_assert_int_eq(fx_read(&fx, 16, b, 8192), BLK_S_OK);
	if (_i != 0)
		memset(a, 0, 8192);
	ck_assert_mem_eq(a, b, 8192);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_WRITE_ZEROES, 16, 8, 0), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_DISCARD, 1024, 8, 0), BLK_S_OK);
	ck_assert_int_eq(fx_range_do(&fx, BLK_T_SECURE_ERASE, 24, 8, 0),
	                 _i == 0 ? BLK_S_OK : BLK_S_UNSUPP);
	ck_assert_int_eq(fx_read(&fx, 16, b, 8192), BLK_S_OK);
	memset(a, 0, 8192);
	ck_assert_mem_eq(a, b, 8192);
	fx_stop(&fx);
}
END_TEST

/* Usual requests, unusual ones between them, and some that fail: all in one burst, each with its own answer. */
START_TEST(a_mixed_burst_is_answered_one_by_one)
{
	static struct fx_req r[12];
	const uint32_t odd[] = {16 + 512, 0};
	struct vdev_counters c;
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	fx_pattern(a, sizeof(a), 5);
	ck_assert_int_eq(fx_write(&fx, 0, a, 16384), BLK_S_OK);
	memset(r, 0, sizeof(r));
	for (unsigned i = 0; i < 12; i++) {
		r[i].type = i % 4 == 1 ? BLK_T_OUT : BLK_T_IN;
		r[i].sector = 2 * i;
		r[i].out = a + 1024 * i;
		(i % 4 == 1 ? &r[i].out_len : &r[i].in_len)[0] = i % 4 == 1 ? 512 : 1024;
	}
	r[2].type = 77;
	r[5].cut_out = odd;
	r[6].sector = 1 << 20;
	r[9].type = BLK_T_FLUSH;
	r[9].out_len = 0;
	for (unsigned i = 0; i < 12; i++)
		fx_add(&fx, 0, &r[i]);
	fx_kick(&fx, 0);
	for (unsigned i = 0; i < 12; i++) {
		uint8_t status = i == 2 ? BLK_S_UNSUPP : i == 6 ? BLK_S_IOERR : BLK_S_OK;
		int good = status == BLK_S_OK;

		fx_wait(&fx, 0, &r[i]);
		ck_assert_uint_eq(r[i].status, status);
		CLAUSE("basic/virtqueues/used-ring/D2");
		ck_assert_int_eq(r[i].used, r[i].in_len == 0 ? 1 : good ? 1025 : 0);
		if (good && r[i].in_len != 0)
			ck_assert_mem_eq(r[i].in, a + 1024 * i, 1024);
	}
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.requests, 13);
	ck_assert_uint_eq(c.errors, 2);
	ck_assert_uint_eq(c.read_bytes, 7 * 1024);
	ck_assert_uint_eq(c.written_bytes, 16384 + 2 * 512);
	fx_stop(&fx);
}
END_TEST

/* A disk that leaves buffers as they are says so, and so does the used length. */
START_TEST(void_disk_says_that_nothing_was_written)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .own_disk = 1};
	struct vdev_counters c;
	struct vdev_disk *disk;
	static struct fx_req r;
	struct blk_fx fx;

	fx_make(&fx, _i, NULL);
	ck_assert_int_eq(vdev_free(fx.v), 0);
	ck_assert_int_eq(vdev_disk_void_new(&disk, &fx.env, 100), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_void_new(&disk, &fx.env, 1 << 20), 0);
	ck_assert_int_eq(vdev_blk_new(&fx.v, &fx.env, disk, &blk), 0);
	fx_attach(&fx, _i, NULL);
	for (unsigned odd = 0; odd < 2; odd++) {
		const uint32_t cut[] = {4097, 0};

		memset(&r, 0, sizeof(r));
		r.type = BLK_T_IN;
		r.in_len = 4096;
		r.cut_in = odd ? cut : NULL;
		ck_assert_int_eq(fx_do(&fx, 0, &r), BLK_S_OK);
		CLAUSE("basic/virtqueues/used-ring/D2");
		ck_assert_int_eq(r.used, 0);
		ck_assert_int_eq(r.canary, 1);
	}
	ck_assert_int_eq(fx_write(&fx, 8, a, 4096), BLK_S_OK);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_OK);
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.read_bytes, 8192);
	ck_assert_uint_eq(c.written_bytes, 4096);
	ck_assert_uint_eq(c.errors, 0);
	fx_stop(&fx);
}
END_TEST

START_TEST(disks_refuse_what_can_not_be)
{
	struct vdev_env env = *vdev_env_hosted();
	uint8_t base[1024];
	struct vdev_disk *disk = NULL;
	struct vdev_disk_info info;

	ck_assert_int_eq(vdev_disk_mem_new(&disk, &env, NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_mem_new(&disk, &env, NULL, 513), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_mem_new(NULL, &env, NULL, 512), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_mem_new(&disk, NULL, NULL, 512), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_null_new(&disk, &env, 100), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_null_new(NULL, &env, 512), VIRTQ_EINVAL);
	ck_assert_ptr_null(disk);
	ck_assert_int_eq(vdev_disk_mem_new(&disk, &env, base, sizeof(base)), 0);
	disk->ops->info(disk, &info);
	ck_assert_uint_eq(info.bytes, 1024);
	vdev_disk_free(disk);
	vdev_disk_free(NULL);
}
END_TEST

void test_suites(SRunner *runner)
{
	static const TTest *const *const all[] = {
		&writes_are_read_back,
		&used_length_says_what_was_written,
		&framing_of_the_header_means_nothing,
		&framing_of_the_status_means_nothing,
		&many_pieces_are_served,
		&a_burst_goes_to_the_disk_at_once,
		&ranges_of_sectors_are_checked,
		&logical_blocks_are_kept_whole,
		&errors_of_the_disk_become_statuses,
		&unknown_types_are_unsupported,
		&get_id_tells_the_serial,
		&short_serials_are_padded,
		&get_lifetime_tells_what_the_disk_reports,
		&lifetime_needs_metrics,
		&without_room_for_a_status_nothing_is_written,
	};
	Suite *suite = suite_create("blk_request");
	TCase *tc = tcase_create("blk_request");

	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		tcase_add_loop_test(tc, *all[i], 0, 8);
	tcase_add_loop_test(tc, mem_and_null_disks_serve, 0, 2);
	tcase_add_loop_test(tc, a_mixed_burst_is_answered_one_by_one, 0, 8);
	tcase_add_loop_test(tc, void_disk_says_that_nothing_was_written, 0, 2);
	tcase_add_test(tc, disks_refuse_what_can_not_be);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
