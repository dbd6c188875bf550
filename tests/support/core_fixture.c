/* SPDX-License-Identifier: BSD-3-Clause */
#include "core_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mark.h"

enum { SLOT_BYTES = 1024, PAGE = 4096 };

/* Pages for so many bytes, and one more that can't be touched. */
static size_t guarded_bytes(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE + PAGE;
}

static void *guarded_alloc(size_t bytes)
{
	size_t all = guarded_bytes(bytes);
	uint8_t *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(at, MAP_FAILED);
	ck_assert_int_eq(mprotect(at + all - PAGE, PAGE, PROT_NONE), 0);
	return at + all - PAGE - bytes;
}

static void guarded_free(void *p, size_t bytes)
{
	size_t all = guarded_bytes(bytes);

	ck_assert_int_eq(munmap((uint8_t *)p + bytes + PAGE - all, all), 0);
}

static void *alloc(void *ctx, size_t bytes)
{
	struct fixture *f = ctx;

	if (f->alloc_fail != 0 && --f->alloc_fail == 0)
		return NULL;
	__atomic_fetch_add(&f->allocations, 1, __ATOMIC_RELAXED);
	return f->guarded ? guarded_alloc(bytes) : malloc(bytes);
}

static void release(void *ctx, void *p, size_t bytes)
{
	struct fixture *f = ctx;

	__atomic_fetch_sub(&f->allocations, 1, __ATOMIC_RELAXED);
	if (f->guarded)
		guarded_free(p, bytes);
	else
		free(p);
}

static void log_entry(void *ctx, const struct vdev_log_entry *entry)
{
	struct fixture *f = ctx;

	__atomic_fetch_add(&f->logs, 1, __ATOMIC_RELAXED);
	while (__atomic_exchange_n(&f->log_lock, 1, __ATOMIC_ACQUIRE))
		;
	f->last_log = *entry;
	__atomic_store_n(&f->log_lock, 0, __ATOMIC_RELEASE);
}

static uint64_t now(void *ctx)
{
	struct fixture *f = ctx;

	if (f->on_clock != NULL)
		f->on_clock(f);
	return __atomic_add_fetch(&f->now, f->tick, __ATOMIC_RELAXED);
}

static void interrupt(void *ctx, unsigned q)
{
	struct fixture *f = ctx;

	if (q == UINT32_MAX) {
		f->config_changes++;
		return;
	}
	ck_assert_uint_lt(q, ECHO_QUEUES);
	__atomic_fetch_add(&f->interrupts[q], 1, __ATOMIC_RELAXED);
	if (f->on_interrupt != NULL)
		f->on_interrupt(f, q);
}

void fixture_init(struct fixture *f, int layout, uint32_t nqueues)
{
	struct vdev_loopback_config *cfg = &f->cfg;

	memset(f, 0, sizeof(*f));
	f->env = (struct vdev_env){.size = sizeof(f->env),
	                           .alloc = alloc,
	                           .free = release,
	                           .log = log_entry,
	                           .now = now,
	                           .ctx = f};
	f->memory = aligned_alloc(4096, FIXTURE_BYTES);
	ck_assert_ptr_nonnull(f->memory);
	memset(f->memory, 0, FIXTURE_BYTES);
	ck_assert_int_eq(echo_new(&f->echo, &f->env, nqueues, 64), 0);
	f->v = f->echo.v;
	*cfg = (struct vdev_loopback_config){.size = sizeof(*cfg),
	                                     .memory = f->memory,
	                                     .bytes = FIXTURE_BYTES,
	                                     .gpa = FIXTURE_GPA,
	                                     .queue_size = 16,
	                                     .interrupt = interrupt,
	                                     .ctx = f};
	virtq_features_set(&cfg->wanted, VIRTQ_F_RING_RESET);
	virtq_features_set(&cfg->wanted, VIRTQ_F_SUSPEND);
	if (layout == LAYOUT_PACKED || layout == LAYOUT_PACKED_IN_ORDER)
		virtq_features_set(&cfg->wanted, VIRTQ_F_RING_PACKED);
	if (layout == LAYOUT_IN_ORDER || layout == LAYOUT_PACKED_IN_ORDER)
		virtq_features_set(&cfg->wanted, VIRTQ_F_IN_ORDER);
	ck_assert_int_eq(vdev_loopback_new(&f->l, &f->env, f->v, cfg), 0);
}

void fixture_fini(struct fixture *f)
{
	echo_finish(&f->echo, ECHO_HELD);
	f->echo.hold = 0;
	vdev_loopback_free(f->l);
	ck_assert_uint_eq(f->echo.queue_starts, f->echo.queue_ends);
	ck_assert_int_eq(vdev_free(f->v), 0);
	ck_assert_uint_eq(f->echo.destroyed, 1);
	ck_assert_uint_eq(f->allocations, 0);
	free(f->memory);
}

void fixture_start(struct fixture *f)
{
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
}

static void watch_config(void *ctx)
{
	__atomic_fetch_add(&((struct fixture *)ctx)->config_changes, 1, __ATOMIC_RELAXED);
}

static void watch_done(void *ctx, int op, unsigned queue, int result)
{
	struct fixture *f = ctx;

	ck_assert_int_lt(op, 8);
	f->done_result[op] = result;
	f->done_queue[op] = queue;
	__atomic_fetch_add(&f->done[op], 1, __ATOMIC_RELEASE);
}

static void watch_broken(void *ctx, unsigned queue, const struct virtq_fault *fault)
{
	struct fixture *f = ctx;

	(void)queue;
	ck_assert_int_ne(vdev_status(f->v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	f->fault = *fault;
	__atomic_fetch_add(&f->broken, 1, __ATOMIC_RELEASE);
}

void fixture_watch(struct fixture *f)
{
	const struct vdev_attachment a = {.size = sizeof(a),
	                                  .interrupt = interrupt,
	                                  .config_changed = watch_config,
	                                  .done = watch_done,
	                                  .broken = watch_broken,
	                                  .ctx = f};

	ck_assert_int_eq(vdev_function_attach(vdev_function(f->v), &a), 0);
}

static uint8_t *slot_at(struct fixture *f, unsigned slot, uint64_t *gpa)
{
	uint64_t bytes;
	uint8_t *mem = vdev_loopback_memory(f->l, gpa, &bytes);

	ck_assert_uint_le((slot + 1) * 2 * SLOT_BYTES, bytes);
	*gpa += (uint64_t)slot * 2 * SLOT_BYTES;
	return mem + (size_t)slot * 2 * SLOT_BYTES;
}

uint8_t *fixture_in(struct fixture *f, unsigned slot)
{
	uint64_t gpa;

	return slot_at(f, slot, &gpa) + SLOT_BYTES;
}

uint64_t fixture_in_gpa(struct fixture *f, unsigned slot)
{
	uint64_t gpa;

	slot_at(f, slot, &gpa);
	return gpa + SLOT_BYTES;
}

void fixture_add(struct fixture *f, unsigned q, unsigned slot, uint8_t byte, uint32_t out_len,
                 uint32_t in_len)
{
	struct virtq_seg seg[2];
	uint64_t gpa;
	uint8_t *mem = slot_at(f, slot, &gpa);

	memset(mem, byte, out_len);
	memset(mem + SLOT_BYTES, 0, in_len);
	seg[0] = (struct virtq_seg){.addr = gpa, .len = out_len};
	seg[1] = (struct virtq_seg){.addr = gpa + SLOT_BYTES, .len = in_len};
	ck_assert_int_eq(
		virtq_drv_add(vdev_loopback_drv(f->l, q), seg, 1, 1, (void *)(uintptr_t)(slot + 1)), 0);
}

unsigned fixture_take(struct fixture *f, unsigned q)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, q);
	struct virtq_done done;
	unsigned n = 0;

	while (virtq_drv_take(drv, &done, 1) == 1)
		n++;
	return n;
}

void fixture_echo(struct fixture *f, unsigned q)
{
	char in[8] = "";

	ck_assert_int_eq(vdev_loopback_request(f->l, q, "echo!", 6, in, sizeof(in)), 6);
	ck_assert_str_eq(in, "echo!");
}
