/* SPDX-License-Identifier: BSD-3-Clause */
/* File disks: what they read and write, with each engine, against a plain model. */
#include "check_main.h"
#include "disk_rig.h"
#include "rng.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvdev/os/os.h"

#define SLOT   65536u
#define SLOTS  24u
#define BYTES  ((uint64_t)SLOT * SLOTS)
#define PIECES 40u

/* One of the ways in which a disk can be served. */
static const struct way {
	int engine;
	uint32_t flags;
	const char *dir;
} ways[] = {
	{RIG_SYNC, 0, "."},
	{RIG_THREADS, 0, "."},
	{RIG_URING, 0, "."},
	{RIG_SYNC, VDEV_DISK_FILE_DIRECT, "."},
	{RIG_THREADS, VDEV_DISK_FILE_DIRECT, "."},
	{RIG_URING, VDEV_DISK_FILE_DIRECT, "."},
	{RIG_SYNC, 0, "/dev/shm"}, /* no ZERO_RANGE there */
	{RIG_THREADS, 0, "/dev/shm"},
	{RIG_URING, 0, "/dev/shm"},
};
#define WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

struct job {
	struct rig_op op;
	struct virtq_iov iov[PIECES];
	uint8_t *mem; /* 2 * SLOT + 4096 */
	uint8_t expect[SLOT];
};

static struct job jobs[SLOTS];
static uint8_t model[BYTES], image[BYTES];

/* Cut len bytes into pieces of odd sizes at odd addresses; some are empty. */
static uint32_t cut(struct job *j, uint32_t len, struct rng *rng, int tame)
{
	uint32_t n = 0, at = 0;
	uint8_t *mem = j->mem + (4096 - ((uintptr_t)j->mem & 4095));

	while (len > 0) {
		uint32_t part = tame ? 512u * (1 + rng_below(rng, 8)) : rng_below(rng, 9000);

		if (part > len || n == PIECES - 1)
			part = len;
		if (!tame)
			at += rng_below(rng, 700);
		if (at + len > 2 * SLOT)
			at = 0, mem = j->mem;
		j->iov[n++] = (struct virtq_iov){.base = mem + at, .len = part};
		at += part;
		len -= part;
	}
	return n;
}

static void prepare(struct job *j, unsigned slot, struct rng *rng, uint32_t *pending)
{
	static const uint8_t kinds[] = {VDEV_DISK_READ,  VDEV_DISK_READ,    VDEV_DISK_WRITE,
	                                VDEV_DISK_WRITE, VDEV_DISK_DISCARD, VDEV_DISK_WRITE_ZEROES,
	                                VDEV_DISK_FLUSH};
	uint32_t from = rng_below(rng, SLOT / 4096), to = from + 1 + rng_below(rng, SLOT / 4096 - from);
	struct vdev_disk_io *io = &j->op.io;
	uint64_t at;

	j->op = (struct rig_op){.pending = pending, .result = 1};
	io->op = kinds[rng_below(rng, sizeof(kinds))];
	io->flags = (uint8_t)rng_below(rng, 4);
	io->offset = (uint64_t)slot * SLOT + from * 4096u;
	io->len = (to - from) * 4096u;
	io->done = rig_done;
	io->iov = j->iov;
	if (io->op == VDEV_DISK_READ || io->op == VDEV_DISK_WRITE)
		io->niov = cut(j, (uint32_t)io->len, rng, rng_below(rng, 3) == 0);
	if (io->op == VDEV_DISK_WRITE) {
		at = io->offset;
		for (uint32_t i = 0; i < io->niov; i++) {
			for (uint64_t k = 0; k < io->iov[i].len; k++)
				((uint8_t *)io->iov[i].base)[k] = (uint8_t)rng_next(rng);
			memcpy(model + at, io->iov[i].base, io->iov[i].len);
			at += io->iov[i].len;
		}
	} else if (io->op == VDEV_DISK_WRITE_ZEROES || io->op == VDEV_DISK_DISCARD) {
		memset(model + io->offset, 0, io->len);
	} else if (io->op == VDEV_DISK_READ) {
		for (uint32_t i = 0; i < io->niov; i++)
			memset(io->iov[i].base, 0xEE, io->iov[i].len);
		memcpy(j->expect, model + io->offset, io->len);
	}
}

static void verify(const struct job *j)
{
	const struct vdev_disk_io *io = &j->op.io;
	uint64_t at = 0;

	ck_assert_uint_eq(j->op.ended, 1);
	ck_assert_msg(j->op.result == 0, "op %u at %lu: %d", io->op, (unsigned long)io->offset,
	              j->op.result);
	for (uint32_t i = 0; io->op == VDEV_DISK_READ && i < io->niov; i++) {
		ck_assert_mem_eq(io->iov[i].base, j->expect + at, io->iov[i].len);
		at += io->iov[i].len;
	}
}

START_TEST(random_operations_match_a_model)
{
	const struct way *w = &ways[_i];
	unsigned long rounds = test_rounds(150);
	struct rng rng;
	struct rig r;

	rng_seed(&rng, 0x5eed + (uint64_t)_i);
	if (w->flags != 0 && !rig_direct_works(w->dir))
		return;
	ck_assert_int_eq(rig_open(&r, w->dir, BYTES, w->engine, w->flags), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		jobs[i].mem = malloc(2 * SLOT + 4096);
	while (rounds-- > 0) {
		struct vdev_disk_io *ios[SLOTS];
		unsigned n = 1 + rng_below(&rng, SLOTS);
		uint32_t pending = n;

		for (unsigned i = 0; i < n; i++) {
			prepare(&jobs[i], i, &rng, &pending);
			ios[i] = &jobs[i].op.io;
		}
		r.disk->ops->submit(r.ch, ios, n);
		rig_wait(r.ch, &pending);
		for (unsigned i = 0; i < n; i++)
			verify(&jobs[i]);
	}
	ck_assert_int_eq(pread(r.fd, image, BYTES, 0), BYTES);
	/* Discarded ranges may read as anything, but ours are holes: zeroes. */
	ck_assert_mem_eq(image, model, BYTES);
	for (unsigned i = 0; i < SLOTS; i++)
		free(jobs[i].mem);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(r.events[i], 0);
	rig_close(&r);
}
END_TEST

START_TEST(more_pieces_than_one_call_takes)
{
	enum { N = 3000 };
	const struct way *w = &ways[_i];
	struct virtq_iov *iov = calloc(N, sizeof(*iov));
	uint8_t *a = aligned_alloc(4096, N * 512), *b = aligned_alloc(4096, N * 512);
	struct vdev_disk_io *io;
	uint32_t pending = 1;
	struct rig_op o = {.pending = &pending};
	struct rig r;

	if (w->flags != 0 && !rig_direct_works(w->dir))
		return;
	ck_assert_int_eq(rig_open(&r, w->dir, N * 512, w->engine, w->flags), 0);
	for (unsigned i = 0; i < N * 512; i++)
		a[i] = (uint8_t)(i * 7 + i / 509);
	/* The pieces lie in reverse order, so that none can be merged. */
	for (unsigned i = 0; i < N; i++)
		iov[i] = (struct virtq_iov){.base = a + (N - 1 - i) * 512, .len = 512};
	o.io = (struct vdev_disk_io){
		.op = VDEV_DISK_WRITE, .niov = N, .iov = iov, .len = N * 512, .done = rig_done};
	io = &o.io;
	r.disk->ops->submit(r.ch, &io, 1);
	rig_wait(r.ch, &pending);
	ck_assert_int_eq(o.result, 0);
	for (unsigned i = 0; i < N; i++)
		iov[i].base = b + (N - 1 - i) * 512;
	pending = 1;
	o.io.op = VDEV_DISK_READ;
	r.disk->ops->submit(r.ch, &io, 1);
	rig_wait(r.ch, &pending);
	ck_assert_int_eq(o.result, 0);
	ck_assert_mem_eq(a, b, N * 512);
	ck_assert_int_eq(pread(r.fd, b, 512, 0), 512);
	ck_assert_mem_eq(b, a + (N - 1) * 512, 512);
	free(iov);
	free(a);
	free(b);
	rig_close(&r);
}
END_TEST

/* More operations at once than the engine has room for, most of them waiting for bounce buffers under O_DIRECT. */
START_TEST(more_operations_than_room)
{
	enum { N = 500 };
	const struct way *w = &ways[_i];
	struct rig_op *ops = calloc(N, sizeof(*ops));
	struct virtq_iov *iov = calloc(N, sizeof(*iov));
	struct vdev_disk_io **ios = calloc(N, sizeof(*ios));
	uint8_t *buf = malloc(N * 4096 + 3);
	uint32_t pending = N;
	struct rig r;

	if (w->flags != 0 && !rig_direct_works(w->dir))
		return;
	ck_assert_int_eq(rig_open(&r, w->dir, N * 4096, w->engine, w->flags), 0);
	for (unsigned i = 0; i < N; i++) {
		memset(buf + 3 + i * 4096, (int)(i * 13 + 1), 4096);
		iov[i] = (struct virtq_iov){.base = buf + 3 + i * 4096, .len = 4096};
		ops[i].pending = &pending;
		ops[i].io = (struct vdev_disk_io){.op = VDEV_DISK_WRITE,
		                                  .niov = 1,
		                                  .iov = &iov[i],
		                                  .offset = i * 4096,
		                                  .len = 4096,
		                                  .done = rig_done};
		ios[i] = &ops[i].io;
	}
	r.disk->ops->submit(r.ch, ios, N);
	rig_wait(r.ch, &pending);
	for (unsigned i = 0; i < N; i++) {
		uint8_t back[4096];

		ck_assert_int_eq(ops[i].result, 0);
		ck_assert_uint_eq(ops[i].ended, 1);
		ck_assert_int_eq(pread(r.fd, back, 4096, i * 4096), 4096);
		ck_assert_mem_eq(back, buf + 3 + i * 4096, 4096);
	}
	rig_close(&r);
	free(ops);
	free(iov);
	free(ios);
	free(buf);
}
END_TEST

START_TEST(tells_what_it_can_do)
{
	struct vdev_disk_info info;
	struct rig r;

	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_SYNC, 0), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_uint_eq(info.bytes, BYTES);
	ck_assert_uint_eq(info.block_size, 512);
	ck_assert_uint_ge(info.physical_block, 512);
	ck_assert_int_eq(info.discard && info.write_zeroes && info.zeroes_may_unmap, 1);
	ck_assert_int_eq(info.volatile_cache, 1);
	ck_assert_int_eq(info.readonly || info.secure_erase || info.has_lifetime, 0);
	ck_assert_ptr_null(r.disk->ops->poll);
	ck_assert_ptr_null(r.disk->ops->fd);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_SECURE_ERASE, 0, 0, NULL, 512), VIRTQ_ENOTSUP);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 0, NULL, 0), 0);
	rig_close(&r);
	if (!rig_direct_works("."))
		return;
	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_URING, VDEV_DISK_FILE_DIRECT), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_int_eq(info.block_size >= 512 && info.block_size <= 4096, 1);
	ck_assert_ptr_nonnull(r.disk->ops->poll);
	rig_close(&r);
	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_SYNC, VDEV_DISK_FILE_READONLY), 0);
	r.disk->ops->info(r.disk, &info);
	ck_assert_int_eq(info.readonly, 1);
	ck_assert_int_eq(info.discard || info.write_zeroes || info.volatile_cache, 0);
	rig_close(&r);
}
END_TEST

static uint64_t blocks_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

/* Discards give space back; zeroes that must not unmap keep it; nothing changes the size. */
START_TEST(discards_free_space_and_zeroes_need_not)
{
	const struct way *w = &ways[_i];
	uint8_t *buf = aligned_alloc(4096, 1 << 20);
	uint64_t full, size;
	struct rig r;

	memset(buf, 0x5A, 1 << 20);
	if (w->flags != 0 && !rig_direct_works(w->dir))
		return;
	ck_assert_int_eq(rig_open(&r, w->dir, 1 << 20, w->engine, w->flags), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, VDEV_DISK_FUA, 0, buf, 1 << 20), 0);
	full = blocks_of(r.fd);
	ck_assert_uint_ge(full, 2048);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE_ZEROES, 0, 0, NULL, 1 << 19), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_uint_ge(blocks_of(r.fd), full);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_DISCARD, 0, 0, NULL, 1 << 18), 0);
	ck_assert_uint_le(blocks_of(r.fd), full - 512);
	ck_assert_int_eq(
		rig_io(&r, VDEV_DISK_WRITE_ZEROES, VDEV_DISK_UNMAP | VDEV_DISK_FUA, 1 << 19, NULL, 1 << 19),
		0);
	ck_assert_uint_le(blocks_of(r.fd), full - 1536);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 0, buf, 1 << 20), 0);
	ck_assert_uint_eq(buf[0], 0);
	ck_assert_int_eq(memcmp(buf, buf + 1, (1 << 20) - 1), 0);
	ck_assert_int_eq(vdev_os_size(r.fd, &size), 0);
	ck_assert_uint_eq(size, 1 << 20);
	rig_close(&r);
	free(buf);
}
END_TEST

/* Two channels on one ring: what one of them takes off the ring must wake the other. */
START_TEST(channels_that_share_a_ring_wake_each_other)
{
	struct vdev_disk_channel *other;
	const struct vdev_disk_ops *ops;
	struct virtq_iov iov[2];
	struct rig_op o[2];
	uint32_t pending[2];
	uint8_t *buf = aligned_alloc(4096, 8192);
	struct rig r;

	if (!rig_direct_works("."))
		return;
	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_URING, VDEV_DISK_FILE_DIRECT), 0);
	ops = r.disk->ops;
	ck_assert_int_eq(ops->open(r.disk, 1, &other), 0);
	memset(buf, 0, 8192);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 2; i++) {
			struct vdev_disk_io *io = &o[i].io;

			iov[i] = (struct virtq_iov){.base = buf + i * 4096, .len = 4096};
			pending[i] = 1;
			o[i] = (struct rig_op){.pending = &pending[i],
			                       .io = {.op = VDEV_DISK_WRITE,
			                              .niov = 1,
			                              .iov = &iov[i],
			                              .offset = (uint64_t)i * 4096,
			                              .len = 4096,
			                              .done = rig_done}};
			ops->submit(i ? other : r.ch, &io, 1);
		}
		if (ops->arm(other) == 0) {
			struct pollfd p = {.fd = ops->fd(other), .events = POLLIN};
			uint64_t end = vdev_os_now() + 5000000000u;

			/* The first takes everything off the ring, the second only looks at its descriptor. */
			rig_wait(r.ch, &pending[0]);
			while (pending[1] > 0) {
				ck_assert_msg(vdev_os_now() < end, "never woken");
				(void)ops->poll(r.ch);
				if (poll(&p, 1, 1) == 1) {
					(void)ops->poll(other);
					(void)ops->arm(other);
				}
			}
			/* And it does not stay readable for ever. */
			(void)ops->poll(other);
			ck_assert_int_eq(ops->arm(other), 0);
			ck_assert_int_eq(poll(&p, 1, 0), 0);
		}
		rig_wait(r.ch, &pending[0]);
		rig_wait(other, &pending[1]);
		ck_assert_int_eq(o[0].result | o[1].result, 0);
	}
	ops->close(other);
	rig_close(&r);
	free(buf);
}
END_TEST

START_TEST(registered_memory_serves_or_falls_back)
{
	uint8_t *mem = aligned_alloc(4096, 1 << 20);
	struct virtq_region region = {.gpa = 0, .len = 1 << 20, .host = mem};
	uint8_t back[4096];
	struct rig r;
	int rc;

	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_URING, 0), 0);
	rc = vdev_engine_register(r.engine, &region, 1);
	ck_assert_int_eq(rc == 0 || rc == 1, 1);
	if (rc == 1)
		ck_assert_int_eq(vdev_engine_register(r.engine, &region, 1), VIRTQ_EBUSY);
	memset(mem, 0x77, 1 << 20);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_WRITE, 0, 4096, mem + 100, 4096), 0);
	ck_assert_int_eq(pread(r.fd, back, 4096, 4096), 4096);
	ck_assert_mem_eq(back, mem, 4096);
	/* Partly outside of what is registered, and wholly. */
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 4096, back, 4096), 0);
	memset(mem, 0, 8192);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 4096, mem + 4096, 4096), 0);
	ck_assert_uint_eq(mem[4096], 0x77);
	ck_assert_uint_eq(mem[4095], 0);
	ck_assert_int_eq(vdev_engine_unregister(r.engine), 0);
	ck_assert_int_eq(vdev_engine_unregister(r.engine), 0);
	ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 4096, mem, 4096), 0);
	rig_close(&r);
	ck_assert_int_eq(rig_open(&r, ".", BYTES, RIG_THREADS, 0), 0);
	ck_assert_int_eq(vdev_engine_register(r.engine, &region, 1), 0);
	ck_assert_int_eq(vdev_engine_unregister(r.engine), 0);
	rig_close(&r);
	ck_assert_int_eq(vdev_engine_register(NULL, &region, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_engine_unregister(NULL), VIRTQ_EINVAL);
	free(mem);
}
END_TEST

/* In tmpfs transfers of an ordinary size end inside submit, where that was asked for. */
START_TEST(memory_is_copied_in_place_when_asked)
{
	const struct {
		const char *dir;
		uint32_t flags;
		uint64_t len;
		int in_place;
	} cases[] = {{"/dev/shm", VDEV_DISK_FILE_IN_PLACE, 4096, 1},
	             {"/dev/shm", VDEV_DISK_FILE_IN_PLACE, 256 << 10, 1},
	             {"/dev/shm", VDEV_DISK_FILE_IN_PLACE, 512 << 10, 0},
	             {"/dev/shm", 0, 4096, 0},
	             {"/proc/self/cwd", VDEV_DISK_FILE_IN_PLACE, 4096, -1}};
	uint8_t *data = malloc(512 << 10), *back = calloc(1, 512 << 10);
	int engine = _i == 0 ? RIG_URING : RIG_THREADS;

	ck_assert(data != NULL && back != NULL);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct virtq_iov iov = {.base = data, .len = cases[i].len};
		uint32_t pending = 1;
		struct rig_op op = {.pending = &pending};
		struct vdev_disk_io *io = &op.io;
		struct rig r;

		memset(data, (int)i + 1, 512 << 10);
		ck_assert_int_eq(rig_open(&r, cases[i].dir, 1 << 20, engine, cases[i].flags), 0);
		op.io = (struct vdev_disk_io){.op = VDEV_DISK_WRITE,
		                              .niov = 1,
		                              .iov = &iov,
		                              .offset = 4096,
		                              .len = cases[i].len,
		                              .done = rig_done};
		r.disk->ops->submit(r.ch, &io, 1);
		if (cases[i].in_place >= 0)
			ck_assert_uint_eq(pending, cases[i].in_place ? 0 : 1);
		rig_wait(r.ch, &pending);
		ck_assert_int_eq(op.result, 0);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 4096, back, cases[i].len), 0);
		ck_assert_mem_eq(back, data, cases[i].len);
		/* A flush finds what was written in place, and a file that has become shorter is told. */
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_FLUSH, 0, 0, NULL, 0), 0);
		ck_assert_int_eq(ftruncate(r.fd, 4096), 0);
		ck_assert_int_eq(rig_io(&r, VDEV_DISK_READ, 0, 8192, back, 4096), VIRTQ_EIO);
		ck_assert_uint_eq(r.events[VDEV_DISK_GONE], 1);
		rig_close(&r);
	}
	free(data);
	free(back);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("disk_file");
	TCase *tc = tcase_create("disk_file");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, random_operations_match_a_model, 0, WAYS);
	tcase_add_loop_test(tc, more_pieces_than_one_call_takes, 0, WAYS);
	tcase_add_loop_test(tc, more_operations_than_room, 0, WAYS);
	tcase_add_loop_test(tc, discards_free_space_and_zeroes_need_not, 0, WAYS);
	tcase_add_test(tc, tells_what_it_can_do);
	tcase_add_loop_test(tc, memory_is_copied_in_place_when_asked, 0, 2);
	tcase_add_test(tc, channels_that_share_a_ring_wake_each_other);
	tcase_add_test(tc, registered_memory_serves_or_falls_back);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
