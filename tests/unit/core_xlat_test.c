/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues behind a translation: what they wait for, what waits for them, and a ring that is taken away and moved. */
#include "../support/check_main.h"
#include "../support/core_fixture.h"

#define ALL UINT64_MAX

enum { PAGE = 4096, SHIFT = 0x10000000 };

/* A platform that maps what the driver uses a page at a time, at a distance. */
struct platform {
	struct virtq_xlat_ops ops;
	uint64_t moved; /* further away by this */
	unsigned asked;
	int later;  /* say "later" so many times; < 0: always */
	int refuse; /* there is no such mapping */
};

static struct fixture f;
static struct platform p;
static struct virtq_drv *drv;
static struct vdev_queue_setup setup;

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)write;
	ck_assert_ptr_eq(ctx, &p);
	p.asked++;
	if (p.later != 0) {
		p.later -= p.later > 0;
		return VIRTQ_EAGAIN;
	}
	if (p.refuse)
		return VIRTQ_EFAULT;
	iova -= iova % PAGE;
	*out = (struct virtq_xlat){.iova = iova, .gpa = iova + SHIFT + p.moved, .len = PAGE, .perm = 3};
	return 0;
}

static void set_up(int layout)
{
	fixture_init(&f, layout, 1);
	vdev_loopback_free(f.l);
	virtq_features_set(&f.cfg.wanted, VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f); /* for its rings; the queue is started again behind the translation */
	fixture_watch(&f);
	drv = vdev_loopback_drv(f.l, 0);
	memset(&setup, 0, sizeof(setup));
	virtq_drv_state(drv, &setup.state);
	setup.state.desc -= SHIFT;
	setup.state.driver -= SHIFT;
	setup.state.device -= SHIFT;
	p = (struct platform){.ops = {sizeof(p.ops), translate, &p}};
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_set_xlat(f.v, &p.ops), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	f.echo.offered = 0;
}

static void send(unsigned slot)
{
	struct virtq_seg seg[2] = {{fixture_in_gpa(&f, slot) - SHIFT, 8},
	                           {fixture_in_gpa(&f, slot + 1) - SHIFT, 8}};

	memcpy(fixture_in(&f, slot), "platform", 8);
	memset(fixture_in(&f, slot + 1), 0, 8);
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, NULL), 0);
	virtq_drv_publish(drv);
	vdev_queue_kick(f.v, 0);
}

static void run(void)
{
	for (int i = 0; i < 10; i++)
		if (!vdev_run(f.v, VDEV_RUN_ARM))
			return;
}

static int take(void)
{
	struct virtq_done done[8];

	run();
	return virtq_drv_take(drv, done, 8);
}

/* Waiting for a translation ends with a word, not with a kick. */
START_TEST(waits_until_told)
{
	set_up(_i);
	p.later = 1;
	send(8);
	ck_assert_uint_eq(f.echo.offered, 0);
	vdev_translated(f.v);
	ck_assert_uint_eq(f.echo.offered, 1);
	ck_assert_int_eq(take(), 1);
	/* Nobody asks: nobody is woken. */
	p.asked = 0;
	vdev_translated(f.v);
	ck_assert_uint_eq(p.asked, 0);
	fixture_fini(&f);
}
END_TEST

/* Chains that are popped later do not put the end off. */
START_TEST(goes_on_while_it_waits_for_what_is_out)
{
	set_up(_i);
	f.echo.hold = 1;
	send(8);
	ck_assert_uint_eq(f.echo.nheld, 1);
	ck_assert_int_eq(vdev_invalidate(f.v, fixture_in_gpa(&f, 8) - SHIFT, PAGE), VIRTQ_EAGAIN);
	p.asked = 0;
	send(10);
	ck_assert_uint_eq(f.echo.nheld, 2);
	ck_assert_uint_ge(p.asked, 1); /* anew */
	ck_assert_uint_eq(f.done[VDEV_OP_INVALIDATE], 0);
	echo_finish(&f.echo, 1);
	run();
	ck_assert_uint_eq(f.done[VDEV_OP_INVALIDATE], 1);
	ck_assert_int_eq(take(), 1);
	echo_finish(&f.echo, 1);
	run();
	ck_assert_int_eq(take(), 1);
	fixture_fini(&f);
}
END_TEST

/* The pages of one part of the ring end: nothing is popped, what is out comes back through the old ring. */
START_TEST(ring_is_asked_for_again)
{
	uint64_t at[3];

	set_up(_i / 3);
	at[0] = setup.state.desc;
	at[1] = setup.state.driver;
	at[2] = setup.state.device + 3;
	f.echo.hold = 1;
	send(8);
	p.later = -1;
	ck_assert_int_eq(vdev_invalidate(f.v, at[_i % 3], 1), VIRTQ_EAGAIN);
	send(10);
	run();
	ck_assert_uint_eq(f.echo.nheld, 1);
	ck_assert_uint_eq(f.done[VDEV_OP_INVALIDATE], 0);
	f.echo.hold = 0;
	echo_finish(&f.echo, 1);
	run();
	ck_assert_uint_eq(f.done[VDEV_OP_INVALIDATE], 1);
	ck_assert_int_eq(take(), 1);
	/* Not known yet: nothing of the ring is read, whatever is told. */
	vdev_queue_kick(f.v, 0);
	vdev_translated(f.v);
	run();
	ck_assert_uint_eq(f.echo.offered, 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	p.later = 0;
	vdev_translated(f.v);
	ck_assert_int_eq(take(), 1);
	ck_assert_mem_eq(fixture_in(&f, 11), "platform", 8);
	fixture_fini(&f);
}
END_TEST

/* The driver's ring lies elsewhere afterwards, and the queue finds it there. */
START_TEST(ring_moves)
{
	enum { AWAY = 512 * 1024 };

	set_up(_i);
	send(8);
	ck_assert_int_eq(take(), 1);
	p.later = -1;
	ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
	send(10); /* into the old place */
	memcpy(f.memory + AWAY, f.memory, AWAY);
	memset(f.memory, 0xee, AWAY);
	p.later = 0;
	p.moved = AWAY;
	vdev_translated(f.v);
	run();
	ck_assert_uint_eq(f.echo.offered, 2);
	ck_assert_mem_eq(fixture_in(&f, 11) + AWAY, "platform", 8);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	for (unsigned i = 0; i < AWAY; i++)
		if (f.memory[i] != 0xee)
			ck_abort_msg("the old place was written at %u", i);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(ring_that_is_gone_breaks_the_queue)
{
	set_up(_i);
	p.refuse = 1;
	ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
	run();
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_uint_eq(f.fault.reason, VIRTQ_FAULT_RING);
	/* An operation on such a queue ends like any other; that its ring is found again mends nothing. */
	ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
	p.refuse = 0;
	ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
	send(8);
	run();
	ck_assert_uint_eq(f.echo.offered, 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	fixture_fini(&f);
}
END_TEST

/* Whatever is asked of a queue that waits for a translation of its ring, or of a buffer, does not wait too. */
START_TEST(control_does_not_wait_for_translations)
{
	for (int ring = 0; ring < 2; ring++) {
		for (int op = 0; op < 5; op++) {
			struct vdev_function *fn;
			struct virtq_state s;

			set_up(_i);
			fn = vdev_function(f.v);
			p.later = -1;
			if (ring)
				ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
			send(8);
			run();
			ck_assert_uint_eq(f.echo.offered, 0);
			if (op == 0) {
				ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
				ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
				ck_assert_uint_eq(s.desc, setup.state.desc);
			} else if (op == 1) {
				ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
			} else if (op == 2) {
				ck_assert_int_eq(vdev_function_reset(fn), 0);
			} else if (op == 3) {
				ck_assert_int_eq(vdev_function_quiesce(fn), 0);
				ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), 0);
				ck_assert_int_eq(vdev_function_resume(fn), 0);
			} else {
				ck_assert_int_eq(vdev_invalidate(f.v, 0, ALL), 0);
			}
			p.later = 0;
			vdev_translated(f.v);
			ck_assert_int_eq(take(), op >= 3);
			fixture_fini(&f);
		}
	}
}
END_TEST

static unsigned released;

static void count_release(struct virtq_mem *mem, void *ctx)
{
	(void)mem;
	(void)ctx;
	released++;
}

/* A change of memory does not wait for translations either, which nobody may answer before it has ended. */
START_TEST(memory_changes_without_translations)
{
	struct virtq_region region;
	struct virtq_mem first, second;
	struct vdev_function *fn;

	set_up(_i);
	fn = vdev_function(f.v);
	region = (struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f.memory};
	released = 0;
	ck_assert_int_eq(virtq_mem_init(&first, &region, 1), 0);
	virtq_mem_set_release(&first, count_release, NULL);
	ck_assert_int_eq(virtq_mem_init(&second, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(fn, &first), 0);
	virtq_mem_unref(&first);
	run();
	f.echo.hold = 1;
	send(8);
	p.later = -1;
	ck_assert_int_eq(vdev_function_set_mem(fn, &second), VIRTQ_EAGAIN);
	ck_assert_uint_eq(released, 0);
	f.echo.hold = 0;
	echo_finish(&f.echo, 1);
	run();
	ck_assert_uint_eq(f.done[VDEV_OP_SET_MEM], 1);
	ck_assert_uint_eq(released, 1);
	send(10);
	run();
	ck_assert_uint_eq(f.echo.offered, 1);
	p.later = 0;
	vdev_translated(f.v);
	ck_assert_int_eq(take(), 2);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_xlat");
	TCase *tc = tcase_create("core_xlat");

	tcase_add_loop_test(tc, waits_until_told, 0, LAYOUTS);
	tcase_add_loop_test(tc, goes_on_while_it_waits_for_what_is_out, 0, LAYOUTS);
	tcase_add_loop_test(tc, ring_is_asked_for_again, 0, 3 * LAYOUTS);
	tcase_add_loop_test(tc, ring_moves, 0, LAYOUTS);
	tcase_add_loop_test(tc, ring_that_is_gone_breaks_the_queue, 0, LAYOUTS);
	tcase_add_loop_test(tc, control_does_not_wait_for_translations, 0, LAYOUTS);
	tcase_add_loop_test(tc, memory_changes_without_translations, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
