/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GAP = 3, GAP_BYTE = 0xee, HEADER = 16 };

static void *fx_alloc(void *ctx, size_t bytes)
{
	struct blk_fx *fx = ctx;

	fx->allocated += (long)bytes;
	fx->allocations++;
	return malloc(bytes);
}

static void fx_free(void *ctx, void *p, size_t bytes)
{
	struct blk_fx *fx = ctx;

	fx->allocated -= (long)bytes;
	fx->allocations--;
	free(p);
}

static uint64_t fx_now(void *ctx)
{
	return ((struct blk_fx *)ctx)->now;
}

static void fx_interrupt(void *ctx, unsigned q)
{
	struct blk_fx *fx = ctx;

	if (q == UINT32_MAX)
		fx->config_changes++;
	else
		fx->interrupts[q]++;
}

void fx_make(struct blk_fx *fx, int kind, const struct fx_config *cfg)
{
	struct vdev_blk_config blk = {.size = sizeof(blk)};
	uint64_t bytes = cfg && cfg->bytes ? cfg->bytes : 1u << 20;

	memset(fx, 0, sizeof(*fx));
	fx->env = (struct vdev_env){
		.size = sizeof(fx->env), .alloc = fx_alloc, .free = fx_free, .now = fx_now, .ctx = fx};
	fx->now = 1000000000;
	fx->disk = slow_disk_new(bytes, !(kind & FX_ASYNC));
	if (cfg && cfg->info) {
		fx->disk->info = *cfg->info;
		fx->disk->info.bytes = bytes;
	}
	if (cfg && cfg->blk.size)
		blk = cfg->blk;
	if (blk.nqueues == 0)
		blk.nqueues = 2;
	ck_assert_int_eq(vdev_blk_new(&fx->v, &fx->env, &fx->disk->disk, &blk), 0);
}

void fx_attach(struct blk_fx *fx, int kind, const struct fx_config *cfg)
{
	struct vdev_loopback_config lc = {.size = sizeof(lc)};
	struct vdev_env env = fx->env;
	uint64_t features = cfg && cfg->features ? cfg->features : UINT64_MAX;

	env.now = NULL;
	fx->memory = aligned_alloc(4096, BLK_FX_BYTES);
	ck_assert_ptr_nonnull(fx->memory);
	memset(fx->memory, 0, BLK_FX_BYTES);
	if (cfg)
		features &= ~cfg->refuse;
	features |= (uint64_t)1 << VIRTQ_F_VERSION_1;
	features &= ~((uint64_t)1 << VIRTQ_F_RING_PACKED | (uint64_t)1 << VIRTQ_F_IN_ORDER |
	              (uint64_t)1 << VIRTQ_F_ACCESS_PLATFORM);
	if (kind & FX_PACKED)
		features |= (uint64_t)1 << VIRTQ_F_RING_PACKED;
	if (kind & FX_IN_ORDER)
		features |= (uint64_t)1 << VIRTQ_F_IN_ORDER;
	lc.memory = fx->memory;
	lc.bytes = BLK_FX_BYTES;
	lc.gpa = BLK_FX_GPA;
	lc.wanted.word[0] = features;
	lc.queue_size = cfg && cfg->queue_size ? cfg->queue_size : 64;
	lc.indirect_max = cfg && cfg->indirect_max ? cfg->indirect_max : 40;
	lc.interrupt = fx_interrupt;
	lc.ctx = fx;
	ck_assert_int_eq(vdev_loopback_new(&fx->l, &env, fx->v, &lc), 0);
	ck_assert_int_eq(vdev_loopback_start(fx->l), 0);
	fx->shared = vdev_loopback_memory(fx->l, &fx->shared_gpa, &fx->shared_bytes);
	ck_assert_uint_ge(fx->shared_bytes, 1u << 20);
	fx->arena = 0;
}

void fx_start(struct blk_fx *fx, int kind, const struct fx_config *cfg)
{
	fx_make(fx, kind, cfg);
	fx_attach(fx, kind, cfg);
}

void fx_stop(struct blk_fx *fx)
{
	slow_disk_hold(fx->disk, 0);
	slow_disk_release(fx->disk, SLOW_HELD, VIRTQ_EIO, 0);
	if (fx->l)
		vdev_loopback_free(fx->l);
	ck_assert_int_eq(vdev_free(fx->v), 0);
	slow_disk_free(fx->disk);
	free(fx->memory);
	ck_assert_int_eq(fx->allocated, 0);
	ck_assert_int_eq(fx->allocations, 0);
}

static void put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* Lay one part out in pieces with gaps; @return pieces. */
static uint32_t lay_out(struct blk_fx *fx, struct virtq_seg *seg, const uint32_t *cut,
                        uint32_t total, const uint8_t *bytes)
{
	uint32_t n = 0, at = 0;

	while (at < total) {
		uint32_t len = *cut ? *cut++ : total - at;

		if (len > total - at)
			len = total - at;
		ck_assert_uint_lt(n, 200);
		memset(fx->shared + fx->arena, GAP_BYTE, GAP);
		fx->arena += GAP;
		seg[n].addr = fx->shared_gpa + fx->arena;
		seg[n].len = len;
		if (bytes)
			memcpy(fx->shared + fx->arena, bytes + at, len);
		else
			memset(fx->shared + fx->arena, BLK_S_UNTOUCHED, len);
		fx->arena += len;
		at += len;
		n++;
	}
	memset(fx->shared + fx->arena, GAP_BYTE, GAP);
	fx->arena += GAP;
	return n;
}

void fx_add(struct blk_fx *fx, unsigned q, struct fx_req *r)
{
	uint32_t plain_out[] = {HEADER, 0};
	uint32_t plain_in[] = {r->in_len, 0};
	uint8_t *out = malloc(HEADER + r->out_len);

	put_le(out, r->type, 4);
	put_le(out + 4, 0, 4);
	put_le(out + 8, r->sector, 8);
	if (r->out_len)
		memcpy(out + HEADER, r->out, r->out_len);
	if (fx->arena + 2u * (r->out_len + r->in_len) + 4096 > fx->shared_bytes)
		fx->arena = 0;
	r->from = fx->arena;
	r->nread = lay_out(fx, r->seg, r->cut_out ? r->cut_out : plain_out, HEADER + r->out_len, out);
	r->nwrite =
		lay_out(fx, r->seg + r->nread, r->cut_in ? r->cut_in : plain_in, r->in_len + 1, NULL);
	r->to = fx->arena;
	r->used = -1;
	r->status = BLK_S_UNTOUCHED;
	free(out);
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(fx->l, q), r->seg, r->nread, r->nwrite, r), 0);
}

void fx_kick(struct blk_fx *fx, unsigned q)
{
	vdev_loopback_kick(fx->l, q);
}

void fx_submit(struct blk_fx *fx, unsigned q, struct fx_req *r)
{
	fx_add(fx, q, r);
	fx_kick(fx, q);
}

static uint8_t *host(struct blk_fx *fx, uint64_t gpa)
{
	return fx->shared + (gpa - fx->shared_gpa);
}

/* The request is used: collect what it wrote, and look whether anything beside it was. */
static void collect(struct blk_fx *fx, struct fx_req *r, uint32_t written)
{
	uint64_t at = r->from;
	uint32_t n = 0;

	r->used = written;
	r->canary = 1;
	for (uint32_t i = 0; i < r->nread + r->nwrite; i++) {
		uint64_t piece = r->seg[i].addr - fx->shared_gpa;

		for (; at < piece; at++)
			r->canary &= fx->shared[at] == GAP_BYTE;
		at += r->seg[i].len;
		if (i < r->nread)
			continue;
		ck_assert_uint_le(n + r->seg[i].len, sizeof(r->in) + 1);
		for (uint64_t k = 0; k < r->seg[i].len; k++, n++) {
			uint8_t byte = host(fx, r->seg[i].addr)[k];

			if (n == r->in_len)
				r->status = byte;
			else
				r->in[n] = byte;
		}
	}
	for (; at < r->to; at++)
		r->canary &= fx->shared[at] == GAP_BYTE;
}

unsigned fx_reap(struct blk_fx *fx, unsigned q)
{
	struct virtq_done done[16];
	unsigned total = 0;
	int n;

	(void)!vdev_queue_run(fx->v, q, VDEV_RUN_ARM);
	do {
		n = virtq_drv_take(vdev_loopback_drv(fx->l, q), done, 16);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			collect(fx, done[i].cookie, done[i].written);
		total += (unsigned)n;
	} while (n == 16);
	return total;
}

void fx_wait(struct blk_fx *fx, unsigned q, struct fx_req *r)
{
	time_t start = time(NULL);

	while (r->used < 0) {
		fx_reap(fx, q);
		ck_assert_msg(time(NULL) - start < 60, "request of type %u hangs", r->type);
	}
}

uint8_t fx_do(struct blk_fx *fx, unsigned q, struct fx_req *r)
{
	fx_submit(fx, q, r);
	fx_wait(fx, q, r);
	ck_assert(r->canary);
	return r->status;
}

uint8_t fx_read(struct blk_fx *fx, uint64_t sector, void *to, uint32_t len)
{
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t status;

	r->type = BLK_T_IN;
	r->sector = sector;
	r->in_len = len;
	status = fx_do(fx, 0, r);
	if (to)
		memcpy(to, r->in, len);
	free(r);
	return status;
}

uint8_t fx_write(struct blk_fx *fx, uint64_t sector, const void *from, uint32_t len)
{
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t status;

	r->type = BLK_T_OUT;
	r->sector = sector;
	r->out = from;
	r->out_len = len;
	status = fx_do(fx, 0, r);
	free(r);
	return status;
}

uint8_t fx_plain(struct blk_fx *fx, uint32_t type)
{
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t status;

	r->type = type;
	status = fx_do(fx, 0, r);
	free(r);
	return status;
}

uint32_t fx_range(uint8_t *to, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	put_le(to, sector, 8);
	put_le(to + 8, sectors, 4);
	put_le(to + 12, flags, 4);
	return 16;
}

uint8_t fx_ranges_do(struct blk_fx *fx, uint32_t type, const void *segments, uint32_t len)
{
	struct fx_req *r = calloc(1, sizeof(*r));
	uint8_t status;

	ck_assert_ptr_nonnull(r);
	r->type = type;
	r->out = segments;
	r->out_len = len;
	status = fx_do(fx, 0, r);
	free(r);
	return status;
}

uint8_t fx_range_do(struct blk_fx *fx, uint32_t type, uint64_t sector, uint32_t sectors,
                    uint32_t flags)
{
	uint8_t bytes[16];

	return fx_ranges_do(fx, type, bytes, fx_range(bytes, sector, sectors, flags));
}

void fx_pattern(uint8_t *to, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		to[i] = (uint8_t)(x >> 24);
	}
}

uint64_t fx_config_get(struct blk_fx *fx, uint32_t offset, unsigned bytes)
{
	uint8_t raw[8];
	uint64_t v = 0;

	vdev_config_read(fx->v, offset, raw, bytes);
	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | raw[i];
	return v;
}
