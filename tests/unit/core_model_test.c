/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core does when a model errs, and when it takes as much as there is: bursts that are full. */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

enum { FULL = VDEV_BURST, RING = 4 * VDEV_BURST };

static void add_n(struct fixture *f, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fixture_add(f, 0, first + i, (uint8_t)(first + i + 1), 8, 8);
}

/* Completes each request twice, and once more with a length beyond its room. */
static uint32_t broken_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                               uint32_t n)
{
	struct vdev_done done = {.written = UINT32_MAX};

	(void)model;
	for (uint32_t i = 0; i < n; i++) {
		vdev_queue_complete(q, &chains[i], &done);
		vdev_queue_complete(q, &chains[i], &done);
	}
	return 0; /* and claims to have taken none */
}

START_TEST(a_model_that_errs_harms_itself_only)
{
	struct fixture f;
	struct vdev *v;
	struct vdev_model_ops ops = {.size = sizeof(ops), .name = "errs", .process = broken_process};
	struct vdev_model m = {.size = sizeof(m), .ops = &ops, .nqueues = 1, .queue_max = 16};
	struct vdev_loopback *l;

	fixture_init(&f, _i, 1);
	ck_assert_int_eq(vdev_new(&v, &f.env, &m), 0);
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, v, &f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(l), 0);
	for (int i = 0; i < 40; i++) {
		uint8_t in[4];

		ck_assert_int_eq(vdev_loopback_request(l, 0, "abcd", 4, in, 4), 4);
	}
	ck_assert_uint_gt(f.logs, 0);
	vdev_loopback_free(l);
	ck_assert_int_eq(vdev_free(v), 0);
	fixture_fini(&f);
}
END_TEST

/* A device of one queue whose model is no more than its process(). */
struct small {
	struct fixture f;
	struct vdev *v;
	struct vdev_model_ops ops;
	struct vdev_loopback *l;
};

static void small_begin(struct small *s, int layout, uint32_t max_chain,
                        uint32_t (*process)(void *, struct vdev_queue *, const struct virtq_chain *,
                                            uint32_t))
{
	struct vdev_model m = {
		.size = sizeof(m), .ops = &s->ops, .nqueues = 1, .queue_max = 16, .max_chain = max_chain};

	s->ops = (struct vdev_model_ops){.size = sizeof(s->ops), .name = "small", .process = process};
	fixture_init(&s->f, layout, 1);
	ck_assert_int_eq(vdev_new(&s->v, &s->f.env, &m), 0);
	ck_assert_int_eq(vdev_loopback_new(&s->l, &s->f.env, s->v, &s->f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(s->l), 0);
	s->f.logs = 0;
}

static void small_end(struct small *s)
{
	vdev_loopback_free(s->l);
	ck_assert_int_eq(vdev_free(s->v), 0);
	fixture_fini(&s->f);
}

/* Make requests of n segments available, one of them writable, and notify. */
static void small_send(struct small *s, unsigned requests, unsigned segments)
{
	struct virtq_drv *drv = vdev_loopback_drv(s->l, 0);
	struct virtq_seg seg[16];
	uint64_t gpa;

	(void)vdev_loopback_memory(s->l, &gpa, NULL);
	for (unsigned i = 0; i < segments; i++)
		seg[i] = (struct virtq_seg){.addr = gpa + 16 * i, .len = 4};
	while (requests-- > 0)
		ck_assert_int_eq(virtq_drv_add(drv, seg, segments - 1, 1, NULL), 0);
	virtq_drv_publish(drv);
	vdev_queue_kick(s->v, 0);
}

static int small_take(struct small *s)
{
	struct virtq_done done[16];

	return virtq_drv_take(vdev_loopback_drv(s->l, 0), done, 16);
}

static uint32_t twice(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                      uint32_t n)
{
	static const struct vdev_done done;

	(void)model;
	vdev_queue_complete(q, &chains[0], &done);
	vdev_queue_complete(q, &chains[0], &done);
	return n;
}

static uint32_t fault_after_all(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                                uint32_t n)
{
	static const struct vdev_done done;

	(void)model;
	vdev_queue_complete(q, &chains[0], &done);
	vdev_queue_fault(q, &chains[0], "on second thoughts");
	return n;
}

static uint32_t refuse_completed(void *model, struct vdev_queue *q,
                                 const struct virtq_chain *chains, uint32_t n)
{
	static const struct vdev_done done;

	(void)model;
	ck_assert_uint_eq(n, 2);
	vdev_queue_complete(q, &chains[1], &done);
	return 0;
}

/* Whoever looks for what a model did wrong finds it in the log. */
START_TEST(errors_of_a_model_are_logged)
{
	struct small s;

	small_begin(&s, _i, 0, twice);
	small_send(&s, 1, 2);
	ck_assert_uint_eq(s.f.logs, 1);
	ck_assert_int_eq(s.f.last_log.error, VIRTQ_EINVAL);
	ck_assert_str_eq(s.f.last_log.text, "the model completed a chain that is not out");
	ck_assert_int_eq(small_take(&s), 1);
	ck_assert_int_eq(vdev_queue_broken(s.v, 0), 0);
	small_end(&s);

	/* These break the queue: that is logged, the device's state is, and before them what the model did. */
	small_begin(&s, _i, 0, fault_after_all);
	small_send(&s, 1, 2);
	ck_assert_uint_eq(s.f.logs, 3);
	ck_assert_int_eq(small_take(&s), 1);
	ck_assert_int_eq(vdev_queue_broken(s.v, 0), 1);
	small_end(&s);

	small_begin(&s, _i, 0, refuse_completed);
	small_send(&s, 2, 2);
	ck_assert_uint_eq(s.f.logs, 3);
	ck_assert_int_eq(vdev_queue_broken(s.v, 0), 1);
	ck_assert_int_eq(vdev_queue_stop(s.v, 0), 0);
	if (!vdev_has(s.v, VIRTQ_F_IN_ORDER))
		ck_assert_str_eq(s.f.last_log.text, "position of the ring is not known");
	small_end(&s);
}
END_TEST

static uint32_t count_pieces(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                             uint32_t n)
{
	(void)model;
	for (uint32_t i = 0; i < n; i++) {
		const struct vdev_done done = {.written = chains[i].nread + chains[i].nwrite == 7 ? 4 : 0};

		vdev_queue_complete(q, &chains[i], &done);
	}
	return n;
}

/* The longest chain that a driver may send is as long as its queue, however few pieces the model expects. */
START_TEST(chains_as_long_as_the_queue_are_served)
{
	struct virtq_done done;
	struct small s;

	small_begin(&s, _i, 2, count_pieces);
	small_send(&s, 1, 7);
	ck_assert_int_eq(vdev_queue_broken(s.v, 0), 0);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(s.l, 0), &done, 1), 1);
	ck_assert_uint_eq(done.written, 4);
	/* And a model may do without all that is optional. */
	ck_assert_int_eq(vdev_queue_fd(s.v, 0), -1);
	ck_assert_uint_eq(vdev_queue_deadline(s.v, 0), UINT64_MAX);
	small_end(&s);
}
END_TEST

/* A queue in which several bursts find room. */
static void start_large(struct fixture *f, int layout)
{
	fixture_init(f, layout, 1);
	vdev_loopback_free(f->l);
	f->cfg.queue_size = RING;
	ck_assert_int_eq(vdev_loopback_new(&f->l, &f->env, f->v, &f->cfg), 0);
	fixture_watch(f);
	fixture_start(f);
}

START_TEST(a_run_takes_several_bursts)
{
	struct fixture f;

	start_large(&f, _i);
	add_n(&f, 0, FULL + FULL / 2);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	ck_assert_uint_eq(f.echo.offered, FULL + FULL / 2);
	ck_assert_uint_eq(f.echo.bursts, 2);
	ck_assert_uint_eq(fixture_take(&f, 0), FULL + FULL / 2);
	fixture_fini(&f);
}
END_TEST

/* The rest of a burst that the model refused waits, even if there were more bursts to come. */
START_TEST(a_refusal_ends_a_run)
{
	struct fixture f;

	start_large(&f, _i);
	f.echo.take = 2;
	add_n(&f, 0, 2 * FULL);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.echo.offered, FULL);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	fixture_fini(&f);
}
END_TEST

static void stop_inside(struct fixture *f, unsigned q)
{
	f->on_interrupt = NULL;
	ck_assert_int_eq(vdev_queue_stop(f->v, q), VIRTQ_EAGAIN);
}

/* What is asked for meanwhile does not wait for the ring to run dry. */
START_TEST(a_stop_ends_a_run)
{
	struct vdev_queue_setup setup = {0};
	struct fixture f;

	start_large(&f, _i);
	f.on_interrupt = stop_inside;
	add_n(&f, 0, 2 * FULL);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.echo.offered, FULL);
	ck_assert_uint_eq(fixture_take(&f, 0), FULL);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), FULL);
	fixture_fini(&f);
}
END_TEST

static void add_one(struct fixture *f, unsigned q)
{
	(void)q;
	f->on_interrupt = NULL;
	add_n(f, FULL, 1);
	virtq_drv_publish(vdev_loopback_drv(f->l, 0));
}

/* After a short burst the driver's index is left alone until the next round. */
START_TEST(a_short_burst_ends_a_run)
{
	struct fixture f;

	start_large(&f, _i);
	f.on_interrupt = add_one;
	add_n(&f, 0, FULL - 1);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	ck_assert_uint_eq(f.echo.offered, FULL - 1);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	ck_assert_uint_eq(f.echo.offered, FULL);
	ck_assert_uint_eq(fixture_take(&f, 0), FULL);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_model");
	TCase *tc = tcase_create("core_model");

	tcase_add_loop_test(tc, a_model_that_errs_harms_itself_only, 0, LAYOUTS);
	tcase_add_loop_test(tc, errors_of_a_model_are_logged, 0, LAYOUTS);
	tcase_add_loop_test(tc, chains_as_long_as_the_queue_are_served, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_run_takes_several_bursts, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_refusal_ends_a_run, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_stop_ends_a_run, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_short_burst_ends_a_run, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
