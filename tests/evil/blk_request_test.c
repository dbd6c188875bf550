/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways in which block devices were broken, each test named after its row in rows.tsv. After each, a
 * well-formed request on the other queue works. The disk of these tests aborts on anything outside
 * of it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vdev/disk_file.h>

#include "blk_fixture.h"

static uint8_t a[65536], b[65536];

static struct fx_req *new_req(uint32_t type)
{
	struct fx_req *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->type = type;
	return r;
}

static void other_queue_works(struct blk_fx *fx)
{
	struct fx_req *r = new_req(BLK_T_IN);

	r->in_len = 512;
	ck_assert_int_eq(fx_do(fx, 1, r), BLK_S_OK);
	ck_assert_mem_eq(r->in, fx->disk->data, 512);
	free(r);
}

/* Nothing of the kind reached the disk; the other queue works; end. */
static void untouched(struct blk_fx *fx)
{
	ck_assert_uint_eq(fx->disk->nlog, 0);
	ck_assert_int_eq(vdev_queue_broken(fx->v, 0), 0);
	other_queue_works(fx);
	fx_stop(fx);
}

static uint8_t segment(struct blk_fx *fx, uint32_t type, uint64_t sector, uint32_t n,
                       uint32_t flags)
{
	struct fx_req *r = new_req(type);
	uint8_t bytes[16], status;

	r->out = bytes;
	r->out_len = fx_range(bytes, sector, n, flags);
	status = fx_do(fx, 0, r);
	free(r);
	return status;
}

/* The sum counts, not each descriptor. */
START_TEST(CVE_2011_1750)
{
	struct fx_req *r = new_req(BLK_T_OUT);
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	r->out = a;
	for (r->out_len = 1; r->out_len < 1500; r->out_len += 13) {
		if (r->out_len % 512 == 0)
			continue;
		r->cut_out = (uint32_t[]){16, 512, 0};
		ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
		ck_assert_int_eq(fx_read(&fx, 0, b, r->out_len), BLK_S_IOERR);
	}
	free(r);
	untouched(&fx);
}
END_TEST

START_TEST(CH_f7ebb4b87)
{
	static const uint64_t sectors[] = {
		UINT64_MAX,           UINT64_MAX - 7,    UINT64_MAX / 512,  UINT64_MAX / 512 + 1,
		UINT64_MAX / 512 - 7, (uint64_t)1 << 55, (uint64_t)1 << 63, 2041};
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		ck_assert_int_eq(segment(&fx, BLK_T_WRITE_ZEROES, sectors[i], 8, 0), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, BLK_T_DISCARD, sectors[i], 8, 0), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, BLK_T_SECURE_ERASE, sectors[i], 8, 0), BLK_S_IOERR);
		ck_assert_int_eq(fx_write(&fx, sectors[i], a, 4096), BLK_S_IOERR);
		ck_assert_int_eq(fx_read(&fx, sectors[i], b, 4096), BLK_S_IOERR);
	}
	untouched(&fx);
}
END_TEST

START_TEST(CH_376434a69)
{
	struct fx_req *r = new_req(BLK_T_OUT);
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	r->sector = 2048 - 7;
	r->out = a;
	r->out_len = 8 * 512;
	r->cut_out = (uint32_t[]){16, 512, 512, 512, 512, 512, 512, 512, 512, 0};
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	r->type = BLK_T_IN;
	r->out_len = 0;
	r->in_len = 8 * 512;
	r->cut_out = NULL;
	r->cut_in = (uint32_t[]){512, 512, 512, 512, 512, 512, 512, 512, 0};
	ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
	free(r);
	untouched(&fx);
}
END_TEST

START_TEST(CH_c79f3acfa)
{
	struct fx_req *r = new_req(BLK_T_DISCARD);
	struct blk_fx fx;
	uint8_t s[64 * 16];
	uint32_t n = 0;

	fx_start(&fx, _i, NULL);
	for (unsigned i = 0; i < 64; i++)
		n += fx_range(s + n, i * 8, 8, 0);
	r->out = s;
	for (; r->type <= BLK_T_SECURE_ERASE; r->type++) {
		if (r->type == 12)
			continue;
		for (r->out_len = 17 * 16; r->out_len <= n; r->out_len += 16)
			ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, r->type, 2040, 9, 0), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, r->type, 2048, 1, 0), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, r->type, 0, UINT32_MAX, 0), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, r->type, 0, 8, 0x80000000), BLK_S_UNSUPP);
	}
	free(r);
	untouched(&fx);
}
END_TEST

/* Contents never choose a format: what looks like another one's header is data, before and after a reopen. */
START_TEST(CH_b3e8e2abc)
{
	static const uint8_t qcow2[512] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3, 0, 0,
	                                   0,   0,   0,   0,    1, 0, 0, 0, 0, 11};
	struct vdev_disk_file_config file = {.size = sizeof(file)};
	struct vdev_blk_config cfg = {.size = sizeof(cfg), .own_disk = 1, .nqueues = 2};
	char path[] = "evil-image-XXXXXX";
	int fd = mkstemp(path);
	struct vdev_disk *disk;
	struct blk_fx fx;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	file.path = path;
	for (int round = 0; round < 2; round++) {
		fx_make(&fx, 0, NULL);
		ck_assert_int_eq(vdev_free(fx.v), 0);
		ck_assert_int_eq(vdev_disk_file_new(&disk, &fx.env, &file), 0);
		ck_assert_int_eq(vdev_blk_new(&fx.v, &fx.env, disk, &cfg), 0);
		fx_attach(&fx, 0, NULL);
		ck_assert_uint_eq(fx_config_get(&fx, 0, 8), 2048);
		if (round == 0)
			ck_assert_int_eq(fx_write(&fx, 0, qcow2, 512), BLK_S_OK);
		ck_assert_int_eq(fx_read(&fx, 0, b, 512), BLK_S_OK);
		ck_assert_mem_eq(b, qcow2, 512);
		ck_assert_int_eq(pread(fd, b, 512, 0), 512);
		ck_assert_mem_eq(b, qcow2, 512);
		fx_stop(&fx);
	}
	close(fd);
	unlink(path);
}
END_TEST

/* The legacy SCSI command, in the shapes in which it was attacked. */
START_TEST(CVE_2026_48914)
{
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	for (uint32_t type = 2; type <= 3; type++) {
		for (uint32_t out = 0; out < 3; out++) {
			struct fx_req *r = new_req(type);

			memset(a, 0xff, sizeof(a));
			r->out = a;
			r->out_len = out * 20000;
			r->in_len = 96 + 16 + 40000;
			ck_assert_int_eq(fx_do(&fx, 0, r), BLK_S_UNSUPP);
			ck_assert_int_eq(r->used, 0);
			for (uint32_t i = 0; i < r->in_len; i++)
				ck_assert_uint_eq(r->in[i], BLK_S_UNTOUCHED);
			free(r);
		}
	}
	untouched(&fx);
}
END_TEST

/* What was not negotiated is refused when it comes, and what was never offered can't be negotiated. */
START_TEST(QEMU_1ba1f2e319)
{
	struct fx_config cfg = {.features = (uint64_t)1 << VIRTQ_F_VERSION_1};
	struct virtq_features offered;
	struct blk_fx fx;

	fx_start(&fx, _i, &cfg);
	vdev_offered(fx.v, &offered);
	ck_assert_int_eq(virtq_features_has(&offered, 7), 0);
	ck_assert_int_eq(segment(&fx, BLK_T_DISCARD, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(segment(&fx, BLK_T_WRITE_ZEROES, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(segment(&fx, BLK_T_SECURE_ERASE, 0, 8, 0), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_FLUSH), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_plain(&fx, BLK_T_GET_LIFETIME), BLK_S_UNSUPP);
	ck_assert_int_eq(fx_plain(&fx, 2), BLK_S_UNSUPP);
	untouched(&fx);
}
END_TEST

/* Descriptors as given; the used length, or -1 when the queue broke. */
static int64_t raw(struct blk_fx *fx, const struct virtq_seg *seg, uint32_t nread, uint32_t nwrite)
{
	struct virtq_drv *drv = vdev_loopback_drv(fx->l, 0);
	struct virtq_done done;

	ck_assert_int_eq(virtq_drv_add(drv, seg, nread, nwrite, fx), 0);
	fx_kick(fx, 0);
	for (int i = 0; i < 3; i++)
		(void)!vdev_queue_run(fx->v, 0, VDEV_RUN_ARM);
	return virtq_drv_take(drv, &done, 1) == 1 ? (int64_t)done.written : -1;
}

START_TEST(yc_0a5bbe9)
{
	struct virtq_seg seg[3];
	struct blk_fx fx;

	fx_start(&fx, _i, NULL);
	memset(fx.shared, 0, 16384);
	seg[0] = (struct virtq_seg){fx.shared_gpa, 16};
	seg[1] = (struct virtq_seg){fx.shared_gpa + 4096, 512};
	/* No writable byte at all, whatever the type. */
	for (unsigned type = 0; type < 32; type++) {
		fx.shared[0] = (uint8_t)type;
		ck_assert_int_eq(raw(&fx, seg, 1, 0), 0);
		ck_assert_int_eq(raw(&fx, seg, 2, 0), 0);
	}
	ck_assert_uint_eq(fx.disk->nlog, 0);
	/* The status is the last byte of data that is a multiple of 512: what is left is not. */
	fx.shared[0] = BLK_T_IN;
	memset(fx.shared + 4096, 0xee, 513);
	ck_assert_int_eq(raw(&fx, seg, 1, 1), 0);
	ck_assert_uint_eq(fx.shared[4096 + 510], 0xee);
	ck_assert_uint_eq(fx.shared[4096 + 511], BLK_S_IOERR);
	ck_assert_uint_eq(fx.shared[4096 + 512], 0xee);
	/* A status in the middle: nothing is. The last writable byte is the status. */
	seg[1].len = 1;
	seg[2] = (struct virtq_seg){fx.shared_gpa + 8192, 513};
	memset(fx.shared + 8192, 0xee, 514);
	ck_assert_int_eq(raw(&fx, seg, 1, 2), 0); /* 513 bytes of data: IOERR */
	ck_assert_uint_eq(fx.shared[8192 + 512], BLK_S_IOERR);
	ck_assert_uint_eq(fx.shared[8192 + 513], 0xee);
	ck_assert_uint_eq(fx.shared[8192 + 511], 0xee);
	/* In the usual form, but what would be the status is readable, or the header writable. */
	seg[2] = (struct virtq_seg){fx.shared_gpa + 8192, 1};
	for (unsigned type = 0; type < 2; type++) {
		fx.shared[0] = (uint8_t)type;
		fx.shared[8192] = 0xee;
		seg[1].len = 511;
		ck_assert_int_eq(raw(&fx, seg, 3, 0), 0);
		ck_assert_uint_eq(fx.shared[8192], 0xee);
		seg[1].len = 496;
		ck_assert_int_eq(raw(&fx, seg, 0, 3), 0);
		ck_assert_uint_eq(fx.shared[0], type);
		ck_assert_uint_eq(fx.shared[8192], BLK_S_IOERR);
	}
	untouched(&fx);
}
END_TEST

static int put_nothing(void *ctx, const void *bytes, size_t len)
{
	(void)ctx;
	(void)bytes;
	(void)len;
	return 0;
}

/* A saved state holds no request: what is under way is finished first, what is not is still in the ring. */
START_TEST(CVE_2013_4542)
{
	struct fx_req *r = new_req(BLK_T_IN);
	struct blk_fx fx;
	static const struct vdev_stream nowhere = {.size = sizeof(nowhere), .put = put_nothing};

	fx_start(&fx, FX_ASYNC | (_i & FX_PACKED), NULL);
	slow_disk_hold(fx.disk, 1);
	r->in_len = 512;
	fx_submit(&fx, 0, r);
	(void)!vdev_run(fx.v, 0);
	ck_assert_uint_eq(slow_disk_held(fx.disk), 1);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(fx.v)), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_save(vdev_function(fx.v), &nowhere), VIRTQ_EBUSY);
	ck_assert_int_eq(r->used, -1);
	slow_disk_hold(fx.disk, 0);
	slow_disk_release(fx.disk, 1, 0, 0);
	fx_wait(&fx, 0, r);
	ck_assert_int_eq(r->status, BLK_S_OK);
	ck_assert_int_eq(vdev_function_resume(vdev_function(fx.v)), 0);
	free(r);
	other_queue_works(&fx);
	fx_stop(&fx);
}
END_TEST

/* The helpers over pieces, against a plain copy, for every offset and length. */
START_TEST(bhyve_rS341705)
{
	enum { N = 5, TOTAL = 15 };
	static const size_t lens[N] = {1, 2, 3, 4, 5};
	uint8_t flat[TOTAL], store[N][8], got[TOTAL + 4];
	struct virtq_iov iov[2 * N], out[N];
	struct virtq_chain c = {.nread = N, .nwrite = N, .read_bytes = TOTAL, .write_bytes = TOTAL};
	struct blk_fx fx;
	size_t at = 0;

	for (size_t i = 0; i < N; i++) {
		for (size_t k = 0; k < lens[i]; k++, at++)
			store[i][k] = flat[at] = (uint8_t)(at + 1);
		iov[i] = iov[N + i] = (struct virtq_iov){store[i], lens[i]};
	}
	c.iov = iov;
	for (uint64_t off = 0; off < TOTAL + 3; off++) {
		for (size_t len = 0; len <= TOTAL + 3; len++) {
			size_t want = off >= TOTAL ? 0 : len < TOTAL - off ? len : TOTAL - off;
			int n = vdev_chain_slice(&c, _i & 1, off, len, out, N);

			memset(got, 0xee, sizeof(got));
			ck_assert_uint_eq(vdev_chain_read(&c, off, got, len), want);
			ck_assert(want == 0 || memcmp(got, flat + off, want) == 0);
			ck_assert_uint_eq(got[want], 0xee);
			if (off + len > TOTAL) {
				ck_assert_int_eq(n, VIRTQ_EINVAL);
				continue;
			}
			ck_assert_int_ge(n, 0);
			at = 0;
			for (int i = 0; i < n; i++) {
				ck_assert(memcmp(out[i].base, flat + off + at, out[i].len) == 0);
				at += out[i].len;
			}
			ck_assert_uint_eq(at, len);
		}
	}
	ck_assert_uint_eq(vdev_chain_read(&c, UINT64_MAX, got, SIZE_MAX), 0);
	ck_assert_uint_eq(vdev_chain_write(&c, UINT64_MAX - 3, got, 8), 0);
	ck_assert_int_eq(vdev_chain_slice(&c, 0, UINT64_MAX, 2, out, N), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_chain_slice(&c, 0, 2, UINT64_MAX, out, N), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_chain_slice(&c, 0, 0, TOTAL, out, N - 1), VIRTQ_ENOSPC);
	fx_start(&fx, _i, NULL);
	untouched(&fx);
}
END_TEST

/* A chain that can't be fetched never reaches the device model: the queue breaks, nothing else. */
START_TEST(CVE_2021_29631)
{
	static const uint64_t bad[] = {0, BLK_FX_GPA - 1, BLK_FX_GPA + BLK_FX_BYTES - 8,
	                               UINT64_MAX - 3};
	struct blk_fx fx;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct virtq_seg seg[3];

		fx_start(&fx, _i, NULL);
		seg[0] = (struct virtq_seg){fx.shared_gpa, 16};
		seg[1] = (struct virtq_seg){bad[i], 512};
		seg[2] = (struct virtq_seg){fx.shared_gpa + 64, 1};
		fx.shared[64] = 0xee;
		ck_assert_int_eq(raw(&fx, seg, 1, 2), -1);
		ck_assert_int_eq(vdev_queue_broken(fx.v, 0), 1);
		ck_assert_uint_eq(fx.disk->nlog, 0);
		ck_assert_uint_eq(fx.shared[64], 0xee);
		ck_assert_int_ne(vdev_status(fx.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
		other_queue_works(&fx);
		fx_stop(&fx);
	}
}
END_TEST

/* Requests at random, half of them nearly right. Each is answered with a status, and nothing but its room is written. */
START_TEST(SPDK_vhost_scsi_19_07)
{
	static const uint32_t types[] = {0, 1, 4, 8, 10, 11, 13, 14, 2, 16, 0xffffffff};
	unsigned long rounds = test_rounds(2000);
	struct blk_fx fx;
	uint32_t x = 12345;

	fx_start(&fx, _i, NULL);
	for (unsigned long i = 0; i < rounds; i++) {
		struct fx_req *r = new_req(0);
		uint32_t cut_out[4], cut_in[4];

		x = x * 1664525u + 1013904223u;
		r->type = types[x >> 8 & 15 ? (x >> 8) % 11 : 10];
		r->sector = x >> 28 == 0 ? UINT64_MAX - (x & 0xff) : (x >> 12) % 2100;
		r->out = a;
		x = x * 1664525u + 1013904223u;
		r->out_len = x & 0x100 ? (x >> 9) % 1025 : (x >> 9) % 4 * 512;
		r->in_len = x & 0x200 ? (x >> 20) % 1025 : (x >> 20) % 4 * 512;
		fx_pattern(a, r->out_len, x);
		if (x & 0x400)
			fx_range(a, (x >> 11) % 2100, (x >> 17) % 64, x >> 31);
		for (int k = 0; k < 3; k++) {
			cut_out[k] = 1 + (x >> (5 + k)) % 40;
			cut_in[k] = 1 + (x >> (11 + k)) % 600;
		}
		cut_out[3] = 0;
		cut_in[3] = 0;
		r->cut_out = x & 0x800 ? cut_out : NULL;
		r->cut_in = x & 0x1000 ? cut_in : NULL;
		if ((x >> 13) % 7 == 0)
			slow_disk_fail(fx.disk, x & 1 ? VIRTQ_EIO : VIRTQ_ENOTSUP, 0);
		ck_assert_int_le(fx_do(&fx, 0, r), BLK_S_UNSUPP);
		slow_disk_fail(fx.disk, 0, 0);
		free(r);
	}
	slow_disk_clear(fx.disk);
	untouched(&fx);
}
END_TEST

/* Nothing is left of requests that fail: the fixture counts what was allocated. */
START_TEST(QEMU_bbdf902366)
{
	struct blk_fx fx;
	struct vdev_counters c;

	fx_start(&fx, _i, NULL);
	slow_disk_fail(fx.disk, VIRTQ_EIO, 0);
	for (int i = 0; i < 500; i++) {
		long before = fx.allocated;

		ck_assert_int_eq(fx_plain(&fx, 16), BLK_S_UNSUPP);
		ck_assert_int_eq(fx_read(&fx, 0, b, 512), BLK_S_IOERR);
		ck_assert_int_eq(segment(&fx, BLK_T_DISCARD, 0, 8, 0), BLK_S_IOERR);
		ck_assert_int_eq(fx.allocated, before);
	}
	slow_disk_fail(fx.disk, 0, 0);
	vdev_queue_counters(fx.v, 0, &c);
	ck_assert_uint_eq(c.errors, 1500);
	slow_disk_clear(fx.disk);
	untouched(&fx);
}
END_TEST

/* A second thread rewrites the header and the segment while the device looks. */

struct flipper {
	uint8_t *at;
	uint8_t good[32];
	uint8_t bad[32];
	int stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	for (unsigned i = 0; !__atomic_load_n(&f->stop, __ATOMIC_RELAXED); i++) {
		const uint8_t *from = i & 1 ? f->bad : f->good;

		for (int k = 0; k < 32; k++)
			__atomic_store_n(&f->at[k], from[k], __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The other thread is the hostile guest: that it races with the device's one look at a header is what is tested. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^flip$\n";
}

START_TEST(headers_rewritten_meanwhile)
{
	unsigned long rounds = test_rounds(1000);
	struct flipper f = {.stop = 0};
	struct virtq_seg seg[2];
	unsigned seen[4] = {0};
	struct blk_fx fx;
	pthread_t thread;

	fx_start(&fx, _i & 3, NULL);
	memset(fx.disk->data, 0x77, 1 << 20);
	f.at = fx.shared;
	f.good[0] = BLK_T_WRITE_ZEROES;
	fx_range(f.good + 16, 1024, 8, 1);
	/* Another type; a sector that lies outside; flags that are unknown. */
	f.bad[0] = _i & 4 ? BLK_T_WRITE_ZEROES : BLK_T_DISCARD;
	fx_range(f.bad + 16, _i & 8 ? 2047 : 1024, 8, _i & 16 ? 2 : 0);
	memcpy(fx.shared, f.good, 32);
	seg[0] = (struct virtq_seg){fx.shared_gpa, 32};
	seg[1] = (struct virtq_seg){fx.shared_gpa + 64, 1};
	ck_assert_int_eq(pthread_create(&thread, NULL, flip, &f), 0);
	for (unsigned long i = 0; i < rounds; i++) {
		fx.shared[64] = 3;
		ck_assert_int_eq(raw(&fx, seg, 1, 1), 1);
		ck_assert_uint_lt(fx.shared[64], 3);
		seen[fx.shared[64]]++;
		/* What reached the disk is inside of it, and has flags that exist: its own checks, and: */
		for (unsigned k = 0; k < fx.disk->nlog; k++) {
			const struct slow_op *op = &fx.disk->log[k];

			if (op->op == VDEV_DISK_FLUSH)
				continue;
			ck_assert_uint_eq(op->len, 8 * 512);
			ck_assert(op->op == VDEV_DISK_WRITE_ZEROES || op->op == VDEV_DISK_DISCARD);
			ck_assert(op->op == VDEV_DISK_WRITE_ZEROES || op->flags == 0);
			ck_assert_uint_le(op->offset, (2048 - 8) * 512);
		}
		slow_disk_clear(fx.disk);
	}
	__atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(seen[0] + seen[1] + seen[2], rounds);
	untouched(&fx);
}
END_TEST

/*
 * Guest memory in small regions, and buffers that cross all of them: a request of far more pieces than
 * it has descriptors must not be more than a request object's store was made for.
 */
START_TEST(pieces_beyond_any_store)
{
	enum { SMALL = 8, BUFFERS = 14, LEN = (SMALL + 2) * 512 };
	const uint64_t border = BLK_FX_BYTES / 2;
	struct fx_config cfg = {.queue_size = 16, .indirect_max = 16, .blk = {.seg_max = 14}};
	struct virtq_region regions[SMALL + 2] = {{.gpa = BLK_FX_GPA, .len = border}};
	struct virtq_seg seg[BUFFERS + 2];
	struct virtq_mem map;
	struct blk_fx fx;

	cfg.blk.size = sizeof(cfg.blk);
	fx_start(&fx, _i, &cfg);
	for (uint64_t i = 0; i < SMALL + 2; i++) {
		if (i > 0)
			regions[i] =
				(struct virtq_region){.gpa = BLK_FX_GPA + border + (i - 1) * 512, .len = 512};
		regions[i].host = fx.memory + (regions[i].gpa - BLK_FX_GPA);
	}
	regions[SMALL + 1].len = BLK_FX_BYTES - (regions[SMALL + 1].gpa - BLK_FX_GPA);
	ck_assert_int_eq(virtq_mem_init(&map, regions, SMALL + 2), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(fx.v), &map), 0);
	other_queue_works(&fx);
	slow_disk_clear(fx.disk);
	memset(fx.memory + border - 8192, 0, 16); /* a header: read sector 0 */
	seg[0] = (struct virtq_seg){.addr = BLK_FX_GPA + border - 8192, .len = 16};
	for (int i = 1; i <= BUFFERS; i++)
		seg[i] = (struct virtq_seg){.addr = BLK_FX_GPA + border - 512, .len = LEN};
	/* The status shares its buffer with data, which then has to be cut. */
	seg[BUFFERS + 1] = (struct virtq_seg){.addr = BLK_FX_GPA + border - 4096, .len = 513};
	ck_assert_int_eq(
		virtq_drv_add(vdev_loopback_drv(fx.l, 0), seg, 1, BUFFERS + 1, (void *)(uintptr_t)1), 0);
	fx_kick(&fx, 0);
	ck_assert_uint_eq(fx.disk->nlog, 0);
	ck_assert_int_eq(vdev_queue_broken(fx.v, 0), 1);
	other_queue_works(&fx);
	fx_stop(&fx);
	virtq_mem_unref(&map);
}
END_TEST

void test_suites(SRunner *runner)
{
	static const TTest *const *const all[] = {
		&CVE_2011_1750,   &CH_f7ebb4b87,   &CH_376434a69,          &CH_c79f3acfa,
		&CVE_2026_48914,  &yc_0a5bbe9,     &CVE_2013_4542,         &bhyve_rS341705,
		&QEMU_1ba1f2e319, &CVE_2021_29631, &SPDK_vhost_scsi_19_07, &QEMU_bbdf902366,
	};
	Suite *suite = suite_create("evil_blk_request");
	TCase *tc = tcase_create("evil_blk_request");

	tcase_set_timeout(tc, 120);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		tcase_add_loop_test(tc, *all[i], 0, FX_KINDS);
	tcase_add_loop_test(tc, pieces_beyond_any_store, 0, FX_KINDS);
	tcase_add_test(tc, CH_b3e8e2abc);
	tcase_add_loop_test(tc, headers_rewritten_meanwhile, 0, 32);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
