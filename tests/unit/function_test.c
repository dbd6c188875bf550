/* SPDX-License-Identifier: BSD-3-Clause */
/* function.h by itself: the device of function_test_device.c is reset, quiesced, saved, loaded and dirty-tracked. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "function_test_device.h"
#include "state_buffer.h"

enum { RAM = 65536 };

struct machine {
	struct copier dev;
	struct vdev_env env;
	struct virtq_region region;
	struct virtq_mem mem;
	uint8_t *ram;
	unsigned released, interrupts, done[8], logs, alloc_fail, allocations;
};

static void *alloc(void *ctx, size_t bytes)
{
	struct machine *m = ctx;

	if (m->alloc_fail != 0 && --m->alloc_fail == 0)
		return NULL;
	m->allocations++;
	return malloc(bytes);
}

static void release(void *ctx, void *p, size_t bytes)
{
	(void)bytes;
	((struct machine *)ctx)->allocations--;
	free(p);
}

static void interrupt(void *ctx, unsigned n)
{
	ck_assert_uint_eq(n, 0);
	((struct machine *)ctx)->interrupts++;
}

static void done(void *ctx, int op, unsigned queue, int result)
{
	(void)queue;
	ck_assert_int_eq(result, 0);
	((struct machine *)ctx)->done[op]++;
}

static void released(struct virtq_mem *mem, void *ctx)
{
	(void)mem;
	((struct machine *)ctx)->released++;
}

static void log_entry(void *ctx, const struct vdev_log_entry *e)
{
	struct machine *m = ctx;

	m->logs++;
	ck_assert_int_eq(e->level, VDEV_LOG_WARNING);
	ck_assert_int_eq(e->error, VIRTQ_EIO);
	ck_assert_int_eq(e->queue, 3);
	ck_assert_int_eq(e->head, 4);
	ck_assert_uint_eq(e->value, 5);
	ck_assert_str_eq(e->source, "copier");
	ck_assert_str_eq(e->text, "words");
}

static void machine_init(struct machine *m)
{
	struct vdev_attachment a = {.size = sizeof(a), .interrupt = interrupt, .done = done, .ctx = m};

	memset(m, 0, sizeof(*m));
	m->env = (struct vdev_env){
		.size = sizeof(m->env), .alloc = alloc, .free = release, .log = log_entry, .ctx = m};
	ck_assert_int_eq(copier_init(&m->dev, &m->env), 0);
	m->ram = calloc(1, RAM);
	m->region = (struct virtq_region){.gpa = 0x10000, .len = RAM, .host = m->ram};
	ck_assert_int_eq(virtq_mem_init(&m->mem, &m->region, 1), 0);
	virtq_mem_set_release(&m->mem, released, m);
	ck_assert_int_eq(vdev_function_attach(&m->dev.fn, &a), 0);
	ck_assert_int_eq(vdev_function_set_mem(&m->dev.fn, &m->mem), 0);
	virtq_mem_unref(&m->mem);
}

static void machine_fini(struct machine *m)
{
	copier_step(&m->dev);
	ck_assert_int_eq(vdev_function_reset(&m->dev.fn), 0);
	ck_assert_int_eq(vdev_function_free(&m->dev.fn), 0);
	ck_assert_int_eq(m->dev.destroyed, 1);
	ck_assert_uint_eq(m->released, 1);
	ck_assert_uint_eq(m->allocations, 0);
	free(m->ram);
}

static int set(struct machine *m, uint64_t reg, uint64_t value)
{
	return vdev_function_access(&m->dev.fn, 0, 1, reg, &value, 8);
}

static uint64_t get(struct machine *m, uint64_t reg)
{
	uint64_t value = 0;

	ck_assert_int_eq(vdev_function_access(&m->dev.fn, 0, 0, reg, &value, 8), 0);
	return value;
}

static void copy(struct machine *m, uint64_t src, uint64_t dst, uint64_t len)
{
	ck_assert_int_eq(set(m, COPIER_SRC, src), 0);
	ck_assert_int_eq(set(m, COPIER_DST, dst), 0);
	ck_assert_int_eq(set(m, COPIER_LEN, len), 0);
	ck_assert_int_eq(set(m, COPIER_GO, 1), 0);
}

START_TEST(registers)
{
	uint8_t buf[64] = {0};
	struct machine m;

	machine_init(&m);
	memcpy(m.ram, "copy me", 8);
	copy(&m, 0x10000, 0x12000, 8);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 2);
	ck_assert_int_eq(set(&m, COPIER_LEN, 1), VIRTQ_EAGAIN);
	copier_step(&m.dev);
	ck_assert_str_eq((char *)m.ram + 0x2000, "copy me");
	ck_assert_uint_eq(m.interrupts, 1);
	ck_assert_uint_eq(get(&m, COPIER_DONE), 1);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 0);
	/* Outside of memory: nothing is held. */
	copy(&m, 0x10000, 0x10000 + RAM - 4, 8);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 0);
	copy(&m, 0, 0x10000, 8);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 0);
	/* Bounds of a register access. */
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 1, 0, 0, buf, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, COPIER_BYTES, buf, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, COPIER_BYTES - 4, buf, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, UINT64_MAX - 3, buf, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, 0, buf, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, 0, NULL, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&m.dev.fn, 0, 0, 0, buf, 64), VIRTQ_EINVAL);
	machine_fini(&m);
}
END_TEST

START_TEST(implementers_are_checked)
{
	struct vdev_function fn;
	struct vdev_function_ops ops = {.size = sizeof(ops), .name = "x"};
	struct vdev_env env = {.size = sizeof(env), .alloc = alloc, .free = release};
	struct vdev_map map;
	struct virtq_iov iov;

	ck_assert_int_eq(vdev_function_init(&fn, &ops, &env), 0);
	/* All operations are optional. */
	ck_assert_int_eq(vdev_function_reset(&fn), 0);
	ck_assert_int_eq(vdev_function_quiesce(&fn), 0);
	ck_assert_int_eq(vdev_function_resume(&fn), 0);
	ck_assert_int_eq(vdev_function_map(&fn, 0, 8, 0, &iov, 1, &map), VIRTQ_EFAULT);
	vdev_function_unmap(&fn, &map);
	ck_assert_int_eq(vdev_function_free(&fn), 0);
	ck_assert_int_eq(vdev_function_free(NULL), 0);
	ck_assert_int_eq(vdev_function_init(NULL, &ops, &env), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_init(&fn, NULL, &env), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_init(&fn, &ops, NULL), VIRTQ_EINVAL);
	ops.name = "sixteen letters.";
	ck_assert_int_eq(vdev_function_init(&fn, &ops, &env), VIRTQ_EINVAL);
	ops.name = NULL;
	ck_assert_int_eq(vdev_function_init(&fn, &ops, &env), VIRTQ_EINVAL);
	ops.name = "x";
	ops.size = 4;
	ck_assert_int_eq(vdev_function_init(&fn, &ops, &env), VIRTQ_EINVAL);
	ops.size = sizeof(ops);
	env.free = NULL;
	ck_assert_int_eq(vdev_function_init(&fn, &ops, &env), VIRTQ_EINVAL);
}
END_TEST

START_TEST(reset_waits_for_the_last_pin)
{
	struct machine m;

	machine_init(&m);
	memcpy(m.ram, "too late", 8);
	copy(&m, 0x10000, 0x12000, 8);
	ck_assert_int_eq(vdev_function_reset(&m.dev.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_reset(&m.dev.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_free(&m.dev.fn), VIRTQ_EBUSY);
	ck_assert_uint_eq(m.done[VDEV_OP_RESET], 0);
	copier_step(&m.dev); /* says done before it unmaps: that does not count */
	ck_assert_uint_eq(m.done[VDEV_OP_RESET], 1);
	ck_assert_uint_eq(m.ram[0x2000], 0);
	ck_assert_uint_eq(get(&m, COPIER_SRC), 0);
	/* The device says it is done at once, but holds a buffer. */
	copy(&m, 0x10000, 0x12000, 8);
	m.dev.busy = 0;
	ck_assert_int_eq(vdev_function_reset(&m.dev.fn), VIRTQ_EAGAIN);
	vdev_function_unmap(&m.dev.fn, &m.dev.src);
	ck_assert_uint_eq(m.done[VDEV_OP_RESET], 1);
	vdev_function_unmap(&m.dev.fn, &m.dev.dst);
	ck_assert_uint_eq(m.done[VDEV_OP_RESET], 2);
	vdev_function_unmap(&m.dev.fn, &m.dev.dst); /* once is enough */
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 0);
	machine_fini(&m);
}
END_TEST

START_TEST(quiesce_and_resume)
{
	struct machine m;

	machine_init(&m);
	m.ram[0] = 7;
	copy(&m, 0x10000, 0x12000, 8);
	ck_assert_int_eq(vdev_function_free(&m.dev.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_quiesce(&m.dev.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_resume(&m.dev.fn), VIRTQ_EBUSY);
	copier_step(&m.dev);
	ck_assert_uint_eq(m.done[VDEV_OP_QUIESCE], 1);
	ck_assert_uint_eq(m.ram[0x2000], 7); /* finished, not cancelled */
	ck_assert_int_eq(vdev_function_quiesce(&m.dev.fn), 0);
	ck_assert_int_eq(set(&m, COPIER_GO, 1), 0);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 0);
	ck_assert_int_eq(vdev_function_resume(&m.dev.fn), 0);
	ck_assert_int_eq(set(&m, COPIER_GO, 1), 0);
	ck_assert_uint_eq(vdev_function_pins(&m.dev.fn), 2);
	machine_fini(&m);
}
END_TEST

START_TEST(maps_are_pinned)
{
	struct virtq_mem second;
	struct virtq_region region;
	struct machine m;
	uint8_t *ram = calloc(1, RAM);

	machine_init(&m);
	m.ram[0] = 9;
	region = (struct virtq_region){.gpa = 0x10000, .len = RAM, .host = ram};
	ck_assert_int_eq(virtq_mem_init(&second, &region, 1), 0);
	copy(&m, 0x10000, 0x12000, 8);
	ck_assert_int_eq(vdev_function_set_mem(&m.dev.fn, &second), VIRTQ_EAGAIN);
	virtq_mem_unref(&second);
	ck_assert_int_eq(vdev_function_set_mem(&m.dev.fn, NULL), VIRTQ_EBUSY);
	ck_assert_uint_eq(m.released, 0);
	copier_step(&m.dev);
	ck_assert_uint_eq(m.ram[0x2000], 9); /* in the old memory */
	ck_assert_uint_eq(m.released, 1);
	ck_assert_uint_eq(m.done[VDEV_OP_SET_MEM], 1);
	/* And from now on in the new one. */
	ram[0] = 11;
	ck_assert_int_eq(set(&m, COPIER_GO, 1), 0);
	copier_step(&m.dev);
	ck_assert_uint_eq(ram[0x2000], 11);
	machine_fini(&m);
	free(ram);
}
END_TEST

START_TEST(what_was_mapped_for_writing_is_marked)
{
	uintptr_t words[1] = {0};
	uintptr_t out[1];
	struct virtq_dirty dirty;
	struct machine m;

	machine_init(&m);
	ck_assert_int_eq(virtq_dirty_init(&dirty, 0x10000, 12, words, 1, NULL), 0);
	copy(&m, 0x10000, 0x12ffc, 8);
	virtq_log_set(vdev_function_log(&m.dev.fn), &dirty);
	copier_step(&m.dev);
	ck_assert_int_eq(virtq_dirty_take(&dirty, 0, 1, out), 2);
	ck_assert_uint_eq(((uint8_t *)out)[0], 1 << 2 | 1 << 3);
	copy(&m, 0x10000, 0x15000, 8);
	ck_assert_int_eq(vdev_function_reset(&m.dev.fn), VIRTQ_EAGAIN);
	copier_step(&m.dev); /* cancelled; marked all the same */
	ck_assert_int_eq(virtq_dirty_take(&dirty, 0, 1, out), 1);
	ck_assert_uint_eq(((uint8_t *)out)[0], 1 << 5);
	virtq_log_set(vdev_function_log(&m.dev.fn), NULL);
	machine_fini(&m);
}
END_TEST

START_TEST(save_and_load)
{
	static struct state_buffer b;
	const struct vdev_stream *s = state_buffer_init(&b);
	struct machine from;
	struct machine to;

	machine_init(&from);
	machine_init(&to);
	copy(&from, 0x10000, 0x12000, 8);
	copier_step(&from.dev);
	ck_assert_int_eq(vdev_function_save(&from.dev.fn, s), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_quiesce(&from.dev.fn), 0);
	ck_assert_int_eq(vdev_function_save(&from.dev.fn, NULL), VIRTQ_EINVAL);
	b.error = VIRTQ_EIO;
	ck_assert_int_eq(vdev_function_save(&from.dev.fn, s), VIRTQ_EIO);
	b.error = 0;
	from.alloc_fail = 1;
	ck_assert_int_eq(vdev_function_save(&from.dev.fn, s), VIRTQ_ENOMEM);
	ck_assert_int_eq(vdev_function_save(&from.dev.fn, s), 0);
	/* Not while it runs. */
	ck_assert_int_eq(set(&to, COPIER_LEN, 99), 0);
	ck_assert_int_eq(vdev_function_load(&to.dev.fn, s), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_reset(&to.dev.fn), 0);
	ck_assert_int_eq(vdev_function_load(&to.dev.fn, NULL), VIRTQ_EINVAL);
	to.alloc_fail = 1;
	ck_assert_int_eq(vdev_function_load(&to.dev.fn, s), VIRTQ_ENOMEM);
	b.pos = 0;
	ck_assert_int_eq(vdev_function_load(&to.dev.fn, s), 0);
	ck_assert_uint_eq(get(&to, COPIER_DST), 0x12000);
	ck_assert_uint_eq(get(&to, COPIER_DONE), 1);
	/* It is quiesced until it is resumed. */
	to.dev.stopped = 1;
	ck_assert_int_eq(vdev_function_resume(&to.dev.fn), 0);
	ck_assert_int_eq(set(&to, COPIER_GO, 1), 0);
	copier_step(&to.dev);
	ck_assert_uint_eq(get(&to, COPIER_DONE), 2);
	machine_fini(&from);
	machine_fini(&to);
}
END_TEST

START_TEST(damaged_states_are_refused)
{
	static struct state_buffer b;
	const struct vdev_stream *s = state_buffer_init(&b);
	struct machine m;
	size_t len;

	machine_init(&m);
	ck_assert_int_eq(set(&m, COPIER_LEN, 5), 0);
	ck_assert_int_eq(vdev_function_quiesce(&m.dev.fn), 0);
	ck_assert_int_eq(vdev_function_save(&m.dev.fn, s), 0);
	ck_assert_int_eq(set(&m, COPIER_LEN, 77), 0);
	len = b.len;
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b.bytes[i] ^= (uint8_t)(1 << bit);
			b.pos = 0;
			ck_assert_int_lt(vdev_function_load(&m.dev.fn, s), 0);
			b.bytes[i] ^= (uint8_t)(1 << bit);
			ck_assert_uint_eq(get(&m, COPIER_LEN), 77);
		}
	for (b.len = 0; b.len < len; b.len++) {
		b.pos = 0;
		ck_assert_int_lt(vdev_function_load(&m.dev.fn, s), 0);
	}
	ck_assert_uint_eq(get(&m, COPIER_LEN), 77);
	b.pos = 0;
	ck_assert_int_eq(vdev_function_load(&m.dev.fn, s), 0);
	ck_assert_uint_eq(get(&m, COPIER_LEN), 5);
	machine_fini(&m);
}
END_TEST

START_TEST(log_entries)
{
	struct machine m;

	machine_init(&m);
	vdev_function_log_entry(&m.dev.fn, VDEV_LOG_WARNING, VIRTQ_EIO, 3, 4, 5, "copier", "words");
	ck_assert_uint_eq(m.logs, 1);
	m.dev.fn.env.log = NULL;
	vdev_function_log_entry(&m.dev.fn, VDEV_LOG_WARNING, VIRTQ_EIO, 3, 4, 5, "copier", "words");
	ck_assert_uint_eq(m.logs, 1);
	machine_fini(&m);
}
END_TEST

START_TEST(cursors)
{
	uint8_t buf[24];
	uint8_t bytes[4];
	struct vdev_writer w = {.buf = buf, .cap = sizeof(buf)};
	struct vdev_reader r = {.buf = buf, .len = 19};

	vdev_put8(&w, 0x11);
	vdev_put16(&w, 0x2233);
	vdev_put32(&w, 0x44556677);
	vdev_put64(&w, 0x8899aabbccddeeff);
	vdev_put(&w, "abcd", 4);
	ck_assert_uint_eq(w.len, 19);
	ck_assert_mem_eq(buf,
	                 "\x11\x33\x22\x77\x66\x55\x44\xff\xee\xdd\xcc\xbb\xaa\x99\x88"
	                 "abcd",
	                 19);
	ck_assert_uint_eq(vdev_get8(&r), 0x11);
	ck_assert_uint_eq(vdev_get16(&r), 0x2233);
	ck_assert_uint_eq(vdev_get32(&r), 0x44556677);
	ck_assert_uint_eq(vdev_get64(&r), 0x8899aabbccddeeff);
	vdev_get(&r, bytes, 4);
	ck_assert_mem_eq(bytes, "abcd", 4);
	ck_assert_int_eq(r.error, 0);
	ck_assert_uint_eq(vdev_get8(&r), 0);
	ck_assert_int_eq(r.error, VIRTQ_EBADMSG);
	r.pos = 0;
	ck_assert_uint_eq(vdev_get64(&r), 0); /* the error sticks */
	vdev_put64(&w, 1);
	ck_assert_int_eq(w.error, VIRTQ_ENOSPC);
	vdev_put8(&w, 1);
	ck_assert_uint_eq(w.len, 19);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("function");
	TCase *tc = tcase_create("function");

	tcase_add_test(tc, registers);
	tcase_add_test(tc, implementers_are_checked);
	tcase_add_test(tc, reset_waits_for_the_last_pin);
	tcase_add_test(tc, quiesce_and_resume);
	tcase_add_test(tc, maps_are_pinned);
	tcase_add_test(tc, what_was_mapped_for_writing_is_marked);
	tcase_add_test(tc, save_and_load);
	tcase_add_test(tc, damaged_states_are_refused);
	tcase_add_test(tc, log_entries);
	tcase_add_test(tc, cursors);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
