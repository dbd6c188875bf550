/* SPDX-License-Identifier: BSD-3-Clause */
/* function.h used wrongly, or at the wrong time: an error, and nothing has changed. */
#include <string.h>

#include "check_main.h"
#include "state_buffer.h"

#include <vdev/function.h>
#include <vdev/model.h>

enum { REGION = 16, RAM = 4096 };

/* A device that does as it is told. */
struct plain {
	struct vdev_function fn; /* first */
	int later;               /* control operations end later */
	int save_result, load_result;
	unsigned accesses, saves, loads, destroyed;
};

static int control(struct vdev_function *fn)
{
	return ((struct plain *)fn)->later ? VIRTQ_EAGAIN : 0;
}

static int save(struct vdev_function *fn, struct vdev_writer *w)
{
	struct plain *p = (struct plain *)fn;

	p->saves++;
	vdev_put32(w, 7);
	return p->save_result;
}

static int load(struct vdev_function *fn, struct vdev_reader *r, uint32_t version, int apply)
{
	struct plain *p = (struct plain *)fn;

	(void)version;
	p->loads++;
	if (vdev_get32(r) != 7)
		return VIRTQ_EBADMSG;
	return apply ? 0 : p->load_result;
}

static int access(struct vdev_function *fn, unsigned region, int write, uint64_t offset, void *buf,
                  size_t len)
{
	(void)region;
	(void)write;
	ck_assert_uint_le(len, REGION);
	ck_assert_uint_le(offset, REGION - len);
	memset(buf, 0, len);
	((struct plain *)fn)->accesses++;
	return 0;
}

static void destroy(struct vdev_function *fn)
{
	((struct plain *)fn)->destroyed++;
}

static const struct vdev_region_info regions[] = {{.bytes = REGION}};
static const struct vdev_function_ops ops = {.size = sizeof(ops),
                                             .name = "plain",
                                             .state_version = 1,
                                             .nregions = 1,
                                             .regions = regions,
                                             .reset = control,
                                             .quiesce = control,
                                             .resume = control,
                                             .save = save,
                                             .load = load,
                                             .access = access,
                                             .destroy = destroy};
/* A device that has nothing optional. */
static const struct vdev_function_ops bare = {.size = sizeof(bare), .name = "bare"};

/* One that names registers and has none. */
static const struct vdev_function_ops hollow = {
	.size = sizeof(hollow), .name = "hollow", .nregions = 1, .regions = regions};

static struct plain p;
static struct state_buffer state;

static void init(const struct vdev_function_ops *o)
{
	memset(&p, 0, sizeof(p));
	ck_assert_int_eq(vdev_function_init(&p.fn, o, vdev_env_hosted()), 0);
}

static void end(void)
{
	p.later = 0;
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	ck_assert_int_eq(vdev_function_free(&p.fn), 0);
}

static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	(void)model;
	(void)q;
	(void)chains;
	return n;
}

START_TEST(environments_must_be_whole)
{
	const struct vdev_env *hosted = vdev_env_hosted();
	struct vdev_env env = *hosted;
	struct vdev_model_ops mops = {.size = sizeof(mops), .name = "model", .process = process};
	struct vdev_model m = {.size = sizeof(m), .ops = &mops};
	struct vdev *v = NULL;

	memset(&p, 0, sizeof(p));
	for (int i = 0; i < 4; i++) {
		env = *hosted;
		if (i == 0)
			env.alloc = NULL;
		if (i == 1)
			env.free = NULL;
		if (i == 2)
			env.size = offsetof(struct vdev_env, free);
		ck_assert_int_eq(vdev_function_init(&p.fn, &ops, i == 3 ? NULL : &env), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_new(&v, i == 3 ? NULL : &env, &m), VIRTQ_EINVAL);
	}
	ck_assert_ptr_null(p.fn.ops);
	ck_assert_int_eq(vdev_new(&v, hosted, &m), 0);
	ck_assert_int_eq(vdev_free(v), 0);
}
END_TEST

START_TEST(registers_outside_are_not_touched)
{
	static const struct {
		unsigned region;
		uint64_t offset;
		size_t len;
	} bad[] = {{1, 0, 1},          {0, 0, 0},          {0, REGION, 1},
	           {0, REGION + 1, 1}, {0, REGION - 1, 2}, {0, UINT64_MAX, 2},
	           {0, 1, SIZE_MAX},   {0, 0, REGION + 1}, {0, REGION + 8, 4}};
	uint8_t buf[REGION];

	init(&ops);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (int write = 0; write < 2; write++)
			ck_assert_int_eq(
				vdev_function_access(&p.fn, bad[i].region, write, bad[i].offset, buf, bad[i].len),
				VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_access(&p.fn, 0, 0, 0, NULL, 1), VIRTQ_EINVAL);
	ck_assert_uint_eq(p.accesses, 0);
	ck_assert_int_eq(vdev_function_access(&p.fn, 0, 0, 0, buf, REGION), 0);
	end();
	init(&bare);
	ck_assert_int_eq(vdev_function_access(&p.fn, 0, 0, 0, buf, 1), VIRTQ_EINVAL);
	end();
	init(&hollow);
	ck_assert_int_eq(vdev_function_access(&p.fn, 0, 0, 0, buf, 1), VIRTQ_EINVAL);
	end();
}
END_TEST

START_TEST(streams_must_be_whole)
{
	struct vdev_stream s;

	init(&ops);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	for (int i = 0; i < 3; i++) {
		s = *state_buffer_init(&state);
		if (i == 0)
			s.put = NULL;
		if (i == 0)
			s.get = NULL;
		if (i == 1)
			s.size = offsetof(struct vdev_stream, ctx);
		ck_assert_int_eq(vdev_function_save(&p.fn, i == 2 ? NULL : &s), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_function_load(&p.fn, i == 2 ? NULL : &s), VIRTQ_EINVAL);
	}
	ck_assert_uint_eq(p.saves + p.loads, 0);
	end();
	init(&bare);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	ck_assert_int_eq(vdev_function_save(&p.fn, state_buffer_init(&state)), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_ENOTSUP);
	end();
}
END_TEST

START_TEST(what_the_device_answers_is_told)
{
	init(&ops);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	p.save_result = VIRTQ_EIO;
	ck_assert_int_eq(vdev_function_save(&p.fn, state_buffer_init(&state)), VIRTQ_EIO);
	ck_assert_uint_eq(state.len, 0);
	p.save_result = 0;
	ck_assert_int_eq(vdev_function_save(&p.fn, state_buffer_init(&state)), 0);
	p.load_result = VIRTQ_EIO;
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EIO);
	ck_assert_uint_eq(p.loads, 1);
	/* A stream that ends early, in the header and after it. */
	p.load_result = 0;
	state.pos = 0;
	state.len -= 1;
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EIO);
	state.pos = 0;
	state.len = 47;
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EIO);
	ck_assert_uint_eq(p.loads, 1);
	end();
}
END_TEST

/* With a buffer mapped, the device is not at rest, whatever it says. */
START_TEST(pins_keep_a_device)
{
	static uint8_t ram[RAM];
	struct virtq_region r = {.gpa = 0, .len = RAM, .host = ram};
	struct virtq_iov iov[2];
	struct virtq_mem mem;
	struct vdev_map map;

	init(&ops);
	ck_assert_int_eq(virtq_mem_init(&mem, &r, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(&p.fn, &mem), 0);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	ck_assert_int_eq(vdev_function_save(&p.fn, state_buffer_init(&state)), 0);
	ck_assert_int_eq(vdev_function_map(&p.fn, 0, 16, 1, iov, 2, &map), 1);
	ck_assert_int_eq(vdev_function_free(&p.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EBUSY);
	state_buffer_init(&state);
	ck_assert_int_eq(vdev_function_save(&p.fn, &state.stream), VIRTQ_EBUSY);
	ck_assert_uint_eq(p.destroyed, 0);
	vdev_function_unmap(&p.fn, &map);
	ck_assert_int_eq(vdev_function_set_mem(&p.fn, NULL), 0);
	end();
	ck_assert_uint_eq(p.destroyed, 1);
}
END_TEST

/* While an operation is under way the others have rules. */
START_TEST(operations_under_way)
{
	uint8_t byte;

	init(&ops);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), 0);
	ck_assert_int_eq(vdev_function_save(&p.fn, state_buffer_init(&state)), 0);
	p.later = 1;
	ck_assert_int_eq(vdev_function_resume(&p.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_resume(&p.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_free(&p.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EBUSY);
	vdev_function_done(&p.fn, VDEV_OP_RESUME, 0, 0);
	/* In use, and not quiesced. */
	ck_assert_int_eq(vdev_function_access(&p.fn, 0, 1, 0, &byte, 1), 0);
	ck_assert_int_eq(vdev_function_free(&p.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_quiesce(&p.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_resume(&p.fn), VIRTQ_EBUSY);
	vdev_function_done(&p.fn, VDEV_OP_QUIESCE, 0, 0);
	ck_assert_int_eq(vdev_function_reset(&p.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_reset(&p.fn), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_function_free(&p.fn), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_function_load(&p.fn, &state.stream), VIRTQ_EBUSY);
	vdev_function_done(&p.fn, VDEV_OP_RESET, 0, 0);
	ck_assert_uint_eq(p.destroyed, 0);
	end();
}
END_TEST

static void *no_memory(void *ctx, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	return NULL;
}

/* Models that lack what the core calls, which is said before memory is asked for. */
START_TEST(models_must_be_whole)
{
	struct vdev_env env = *vdev_env_hosted();
	struct vdev_model_ops o;
	struct vdev_model m;
	struct vdev *v = NULL;

	env.alloc = no_memory;
	for (int i = 0; i < 4; i++) {
		o = (struct vdev_model_ops){.size = sizeof(o), .name = "model", .process = process};
		m = (struct vdev_model){.size = sizeof(m), .ops = &o};
		if (i == 0)
			m.ops = NULL;
		if (i == 1)
			o.name = NULL;
		if (i == 2)
			o.size = offsetof(struct vdev_model_ops, process);
		if (i == 3)
			o.process = NULL;
		ck_assert_int_eq(vdev_new(&v, &env, &m), VIRTQ_EINVAL);
	}
	ck_assert_ptr_null(v);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("function misuse");
	TCase *tc = tcase_create("misuse");

	tcase_add_test(tc, environments_must_be_whole);
	tcase_add_test(tc, registers_outside_are_not_touched);
	tcase_add_test(tc, streams_must_be_whole);
	tcase_add_test(tc, what_the_device_answers_is_told);
	tcase_add_test(tc, pins_keep_a_device);
	tcase_add_test(tc, operations_under_way);
	tcase_add_test(tc, models_must_be_whole);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
