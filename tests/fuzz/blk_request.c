/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests to a block device. The first byte chooses ring, disk and features; then each record
 * makes a request: a header that is often nearly right, sizes, cuts and places of its descriptors,
 * what the disk makes of it. Every request that is taken gets a status or breaks its queue; nothing
 * but writable buffers changes; nothing is left allocated.
 */
#include <string.h>

#include <vdev/blk.h>
#include <vdev/loopback.h>
#include <virtq/virtq.h>

#include "fuzz.h"
#include "slow_disk.h"
#include "state_buffer.h"

enum {
	RAM = 262144,
	GPA = 0x100000,
	SECTORS = 256,
	PIECES = 12,
	SLOTS = 8,
	SLOT = 8192,
	WRITABLE = 4096
};

struct state {
	struct vdev_env env;
	struct slow_disk *disk;
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *shared;
	uint64_t gpa;
	uint32_t writable[SLOTS]; /* bytes from WRITABLE on */
	int busy[SLOTS];
	int filled[SLOTS]; /* since the start: there is something to compare */
	long allocated;
	uint64_t now;
	uint8_t
		copy[SLOTS * SLOT]; /* of the slots, as the driver left them; what follows is not cleared */
	struct state_buffer saved;
};

static _Alignas(4096) uint8_t memory[RAM];

static void *fuzz_alloc(void *ctx, size_t bytes)
{
	((struct state *)ctx)->allocated += (long)bytes;
	return malloc(bytes);
}

static void fuzz_free(void *ctx, void *p, size_t bytes)
{
	((struct state *)ctx)->allocated -= (long)bytes;
	free(p);
}

static uint64_t fuzz_now(void *ctx)
{
	return ((struct state *)ctx)->now;
}

static void start(struct state *s, struct input *in)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .max_inflight = 4};
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = memory, .bytes = RAM, .gpa = GPA, .queue_size = 32};
	struct vdev_env env;
	uint8_t how = take8(in);

	memset(s, 0, offsetof(struct state, copy));
	s->env =
		(struct vdev_env){.size = sizeof(s->env), .alloc = fuzz_alloc, .free = fuzz_free, .ctx = s};
	env = s->env; /* the loopback has no clock: its patience is counted in runs */
	s->env.now = fuzz_now;
	s->now = 1000000000;
	s->disk = slow_disk_new(SECTORS * 512, how & 1);
	if (how & 2)
		s->disk->info.block_size = 4096;
	s->disk->info.has_lifetime = how >> 2 & 1;
	s->disk->info.volatile_cache = how >> 3 & 1;
	blk.readonly = how >> 4 & 1;
	blk.size_max = how & 6 ? 0 : 2048;
	if (how & 8)
		blk.limit = (struct vdev_blk_limit){.ops_per_s = 1000000, .ops_burst = 2};
	HOLDS(vdev_blk_new(&s->v, &s->env, &s->disk->disk, &blk) == 0);
	cfg.wanted.word[0] = how & 32 ? UINT32_MAX : 0xfffff000;
	cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_VERSION_1;
	if (how & 64)
		cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_RING_PACKED;
	if (how & 128)
		cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_IN_ORDER;
	cfg.indirect_max = 16;
	memset(memory, 0, RAM);
	HOLDS(vdev_loopback_new(&s->l, &env, s->v, &cfg) == 0);
	HOLDS(vdev_loopback_start(s->l) == 0);
	s->shared = vdev_loopback_memory(s->l, &s->gpa, NULL);
}

static void stop(struct state *s)
{
	slow_disk_hold(s->disk, 0);
	slow_disk_release(s->disk, SLOW_HELD, VIRTQ_EIO, 0);
	vdev_loopback_free(s->l);
	HOLDS(vdev_free(s->v) == 0);
	slow_disk_free(s->disk);
	HOLDS(s->allocated == 0);
}

/* Cut [at, at + len) into pieces at places that the input names. */
static uint32_t cut(struct state *s, struct input *in, struct virtq_seg *seg, uint32_t most,
                    uint32_t at, uint32_t len)
{
	uint32_t n = 0;

	while (len != 0 && n < most) {
		uint32_t part = n + 1 == most ? len : take8(in);

		if (part == 0 || part > len)
			part = len;
		seg[n].addr = s->gpa + at;
		seg[n].len = part;
		at += part;
		len -= part;
		n++;
	}
	return n;
}

static void put_header(uint8_t *at, struct input *in)
{
	static const uint8_t types[] = {0, 1, 4, 8, 10, 11, 13, 14};
	uint8_t kind = take8(in);
	uint64_t sector = take8(in);

	memset(at, 0, 16);
	at[0] = kind & 8 ? take8(in) : types[kind & 7];
	if (kind & 16)
		sector = ((uint64_t)take32(in) << 32) | take32(in);
	memcpy(at + 8, &sector, 8);
	for (int i = 0; i < 3; i++) { /* segments, for those who take them */
		uint32_t count = take8(in), flags = kind & 32 ? take8(in) : 0;

		sector = kind & 64 ? take32(in) : take8(in);
		memcpy(at + 16 + 16 * i, &sector, 8);
		memcpy(at + 24 + 16 * i, &count, 4);
		memcpy(at + 28 + 16 * i, &flags, 4);
	}
}

/* Nothing but writable bytes has changed since the slot was filled. */
static void check_slot(const struct state *s, unsigned slot)
{
	const uint8_t *now = s->shared + slot * SLOT, *then = s->copy + slot * SLOT;
	uint32_t end = WRITABLE + s->writable[slot];

	if (!s->filled[slot])
		return;
	HOLDS(memcmp(now, then, WRITABLE) == 0);
	HOLDS(memcmp(now + end, then + end, SLOT - end) == 0);
}

/* A request in a slot: readable bytes first, a gap, then the writable ones. */
static void add(struct state *s, struct input *in)
{
	unsigned slot = take8(in) % SLOTS;
	uint32_t base = slot * SLOT;
	struct virtq_seg seg[2 * PIECES];
	uint32_t out, in_len, nread, nwrite;
	uint8_t shape;

	if (s->busy[slot])
		return;
	check_slot(s, slot);
	shape = take8(in);
	out = shape & 1 ? take16(in) % 3000u : 16u + (shape >> 4) * 16u;
	in_len = shape & 2 ? take16(in) % 3000u : 1u + (shape >> 6) * 512u;
	memset(s->shared + base, 0xa5, SLOT);
	put_header(s->shared + base, in);
	nread = cut(s, in, seg, PIECES, base, out);
	nwrite = cut(s, in, seg + nread, PIECES, base + WRITABLE, in_len);
	if (shape & 4 && (take8(in) & 15) == 0 && nwrite != 0)
		seg[nread].addr += (1 + (uint64_t)take32(in)) << 20; /* outside of memory */
	s->writable[slot] = in_len;
	memcpy(s->copy + base, s->shared + base, SLOT);
	s->filled[slot] = 1;
	if (nread + nwrite != 0 &&
	    virtq_drv_add(vdev_loopback_drv(s->l, 0), seg, nread, nwrite, &s->busy[slot]) == 0)
		s->busy[slot] = 1;
}

static void reap(struct state *s)
{
	struct virtq_done done[SLOTS];
	int n;

	for (int i = 0; i < 4; i++)
		(void)!vdev_run(s->v, VDEV_RUN_ARM);
	n = virtq_drv_take(vdev_loopback_drv(s->l, 0), done, SLOTS);
	HOLDS(n >= 0);
	for (int i = 0; i < n; i++) {
		*(int *)done[i].cookie = 0;
		check_slot(s, (unsigned)((int *)done[i].cookie - s->busy));
	}
}

/* A reset, with or without requests under way, and a new beginning. */
static void again(struct state *s)
{
	slow_disk_hold(s->disk, 0);
	slow_disk_release(s->disk, SLOW_HELD, VIRTQ_EIO, 0);
	HOLDS(vdev_loopback_reset(s->l) == 0);
	memset(s->busy, 0, sizeof(s->busy));
	HOLDS(vdev_loopback_start(s->l) == 0);
}

/* Saved with everything ended, and loaded into the same device: it goes on as if nothing had been. */
static void save_and_load(struct state *s)
{
	struct vdev_function *fn = vdev_function(s->v);
	int rc;

	slow_disk_hold(s->disk, 0);
	slow_disk_release(s->disk, SLOW_HELD, 0, 0);
	rc = vdev_function_quiesce(fn);
	for (int i = 0; i < 100 && rc == VIRTQ_EAGAIN; i++) {
		s->now += 1000000;
		(void)!vdev_run(s->v, 0);
		rc = vdev_function_quiesce(fn) == 0 ? 0 : VIRTQ_EAGAIN;
	}
	HOLDS(rc == 0);
	HOLDS(vdev_function_save(fn, state_buffer_init(&s->saved)) == 0);
	HOLDS(vdev_function_load(fn, &s->saved.stream) == 0);
	HOLDS(vdev_function_resume(fn) == 0);
}

/* What the embedder may do at any time. */
static void embedder(struct state *s, struct input *in)
{
	uint8_t what = take8(in);

	switch (what & 7) {
	case 0:
		s->now += (uint64_t)take16(in) * 1000;
		break;
	case 1:
		(void)!vdev_blk_set_limit(
			s->v,
			&(struct vdev_blk_limit){.ops_per_s = what & 8 ? 0 : 1000u + take16(in),
		                             .bytes_per_s = what & 16 ? 0 : 100000 + (uint64_t)take32(in),
		                             .ops_burst = what >> 5,
		                             .bytes_burst = what & 32 ? 4096 : 0});
		break;
	case 2: /* smaller only while nothing is under way: what is would be outside of this disk */
		if (slow_disk_held(s->disk) == 0) {
			slow_disk_resize(s->disk, (uint64_t)(1 + take8(in)) * 4096);
			HOLDS(vdev_blk_resized(s->v) == 0);
		}
		break;
	case 3:
		save_and_load(s);
		break;
	case 4:
		if (what & 8)
			again(s);
		break;
	case 5:
		slow_disk_delay(s->disk, 0);
		break;
	default:
		s->now += 1000000000;
	}
}

/* Requests that may still end. */
static int any_busy(const struct state *s)
{
	int busy = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		busy |= s->busy[i];
	return busy && !vdev_queue_broken(s->v, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state s;
	struct input in = {data, size};

	start(&s, &in);
	for (int i = 0; i < 200 && !input_end(&in); i++) {
		uint8_t op = take8(&in);

		switch (op & 7) {
		case 0:
			vdev_loopback_kick(s.l, 0);
			reap(&s);
			break;
		case 1:
			slow_disk_fail(s.disk, op & 8 ? VIRTQ_EIO : op & 16 ? VIRTQ_ENOTSUP : 0, op >> 5);
			break;
		case 2:
			if (s.disk->disk.ops->poll != NULL)
				slow_disk_hold(s.disk, op >> 3 & 1);
			break;
		case 3:
			slow_disk_release(s.disk, op >> 4, op & 8 ? VIRTQ_EIO : 0, 100);
			reap(&s);
			break;
		case 4:
			if (op & 16)
				embedder(&s, &in);
			else
				vdev_config_write(s.v, 32, &(uint8_t){op >> 3 & 1}, 1);
			break;
		default:
			add(&s, &in);
			break;
		}
	}
	vdev_loopback_kick(s.l, 0);
	reap(&s);
	/* Unless its queue broke, whatever is left ends with its disk operation. */
	slow_disk_hold(s.disk, 0);
	slow_disk_release(s.disk, SLOW_HELD, 0, 0);
	for (int i = 0; i < 64 && any_busy(&s); i++) {
		s.now += 10000000000; /* what a rate limit holds back */
		reap(&s);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		HOLDS(!s.busy[i] || vdev_queue_broken(s.v, 0));
		check_slot(&s, i);
	}
	stop(&s);
	return 0;
}
