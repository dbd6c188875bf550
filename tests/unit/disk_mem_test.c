/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory disk by itself. */
#include "check_main.h"

#include <stdlib.h>
#include <string.h>

#include <vdev/disk.h>

enum { BYTES = 64 << 10, OFF = 16 };

/* An allocator that keeps the largest block in sight, 16 bytes off a page as those of C libraries lie. */
static struct {
	uint8_t *page;
	void *given;
	size_t bytes;
	int out;
} heap;

static void *heap_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	if (bytes > 4 * (size_t)BYTES)
		return NULL;
	heap.out++;
	if (bytes < BYTES)
		return malloc(bytes);
	heap.page = aligned_alloc(4096, (bytes + OFF + 4095) / 4096 * 4096);
	heap.given = heap.page + OFF;
	heap.bytes = bytes;
	return memset(heap.given, 0xa5, bytes);
}

static void heap_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	heap.out--;
	if (p != heap.given) {
		free(p);
		return;
	}
	ck_assert_uint_eq(bytes, heap.bytes);
	free(heap.page);
}

static const struct vdev_env env = {.size = sizeof(env), .alloc = heap_alloc, .free = heap_free};

static void done(struct vdev_disk_io *io, int result)
{
	ck_assert_int_eq(result, 0);
	io->priv[0]++;
}

static void transfer(struct vdev_disk *d, uint8_t op, uint64_t offset, void *buf, size_t len)
{
	const struct virtq_iov iov[2] = {{buf, 512}, {(uint8_t *)buf + 512, len - 512}};
	struct vdev_disk_io io = {
		.op = op, .niov = 2, .iov = iov, .offset = offset, .len = len, .done = done};
	struct vdev_disk_io *ios[] = {&io};
	struct vdev_disk_channel *c;

	ck_assert_int_eq(d->ops->open(d, 0, &c), 0);
	d->ops->submit(c, ios, 1);
	ck_assert_uint_eq(io.priv[0], 1);
	d->ops->close(c);
}

/* Each block in a page of its own, so that copies go as fast as they can; all of it, and nothing beside it. */
START_TEST(memory_of_its_own_begins_at_a_page)
{
	uint8_t out[1024], in[1024];
	struct vdev_disk *d;
	uint8_t *base;

	ck_assert_int_eq(vdev_disk_mem_new(&d, &env, NULL, BYTES), 0);
	base = (uint8_t *)(((uintptr_t)heap.given + 4095) & ~(uintptr_t)4095);
	ck_assert(base + BYTES <= (uint8_t *)heap.given + heap.bytes);
	for (uint32_t i = 0; i < BYTES; i++)
		ck_assert_uint_eq(base[i], 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t at = 0; at <= BYTES - sizeof(out); at += BYTES - (uint32_t)sizeof(out)) {
		transfer(d, VDEV_DISK_WRITE, at, out, sizeof(out));
		ck_assert_mem_eq(base + at, out, sizeof(out));
		transfer(d, VDEV_DISK_READ, at, in, sizeof(in));
		ck_assert_mem_eq(in, out, sizeof(out));
	}
	ck_assert(base == (uint8_t *)heap.given || base[-1] == 0xa5);
	vdev_disk_free(d);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

START_TEST(more_than_can_be_addressed_is_refused)
{
	struct vdev_disk *d = NULL;

	ck_assert_int_eq(vdev_disk_mem_new(&d, &env, NULL, UINT64_MAX - 511), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_disk_mem_new(&d, &env, NULL, (uint64_t)SIZE_MAX - 4095), VIRTQ_EINVAL);
	ck_assert_ptr_null(d);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("disk_mem");
	TCase *tc = tcase_create("disk_mem");

	tcase_add_test(tc, memory_of_its_own_begins_at_a_page);
	tcase_add_test(tc, more_than_can_be_addressed_is_refused);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
