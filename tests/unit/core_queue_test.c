/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues of the core: start, serve, stall, break, stop, reset. */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

/* Make n requests available in queue q, from the first slot on. */
static void add_n(struct fixture *f, unsigned q, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fixture_add(f, q, first + i, (uint8_t)(first + i + 1), 8, 8);
}

static void run_all(struct fixture *f)
{
	for (int i = 0; i < 1000 && vdev_run(f->v, 0); i++)
		;
}

static struct vdev_queue_setup setup_of(struct fixture *f, unsigned q)
{
	struct vdev_queue_setup setup = {0};

	virtq_drv_state(vdev_loopback_drv(f->l, q), &setup.state);
	return setup;
}

START_TEST(counters_count)
{
	struct vdev_counters n;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	add_n(&f, 1, 0, 5);
	fixture_add(&f, 1, 5, 1, 8, 4); /* too little room: an error of the model's */
	vdev_loopback_kick(f.l, 1);
	vdev_queue_counters(f.v, 1, &n);
	ck_assert_uint_eq(n.requests, 6);
	ck_assert_uint_eq(n.read_bytes, 44);
	ck_assert_uint_eq(n.written_bytes, 48);
	ck_assert_uint_eq(n.errors, 1);
	ck_assert_uint_eq(n.bursts, 1);
	ck_assert_uint_eq(n.kicks, 1);
	ck_assert_uint_eq(n.interrupts, 1);
	ck_assert_uint_eq(n.faults, 0);
	ck_assert_uint_eq(f.interrupts[1], 1);
	ck_assert_uint_eq(fixture_take(&f, 1), 6);
	ck_assert_uint_eq(fixture_in(&f, 2)[7], 3);
	vdev_queue_count_kick(f.v, 1, 10);
	vdev_queue_count_kick(f.v, 99, 10);
	vdev_queue_counters(f.v, 1, &n);
	ck_assert_uint_eq(n.kicks, 11);
	vdev_queue_counters(f.v, 0, &n);
	ck_assert_uint_eq(n.requests, 0);
	memset(&n, 1, sizeof(n));
	vdev_queue_counters(f.v, 99, &n);
	ck_assert_uint_eq(n.requests, 0);
	fixture_fini(&f);
}
END_TEST

/* What a model may ask of its queue, and keep there. */
START_TEST(queue_keeps_the_models_pointer)
{
	struct vdev_queue *q;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	f.echo.hold = 1;
	fixture_add(&f, 1, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.echo.nheld, 1);
	q = f.echo.held[0].q;
	ck_assert_ptr_eq(vdev_queue_device(q), f.v);
	ck_assert_uint_eq(vdev_queue_index(q), 1);
	ck_assert_ptr_null(vdev_queue_priv(q));
	vdev_queue_set_priv(q, &f);
	ck_assert_ptr_eq(vdev_queue_priv(q), &f);
	vdev_queue_set_priv(q, NULL);
	ck_assert_ptr_null(vdev_queue_priv(q));
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(fixture_take(&f, 1), 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(starting_is_checked)
{
	struct vdev_queue_setup setup;
	struct vdev_queue_setup bad;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 1), 1);
	ck_assert_int_eq(vdev_queue_started(f.v, 99), 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 99), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_start(f.v, 99, &setup), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, NULL), VIRTQ_EINVAL);
	bad = setup;
	bad.state.size = 128; /* above the queue's largest */
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &bad), VIRTQ_EINVAL);
	bad = setup;
	bad.state.size = 0;
	ck_assert_int_lt(vdev_queue_start(f.v, 0, &bad), 0);
	bad = setup;
	bad.state.desc += 1;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &bad), VIRTQ_EBADMSG);
	bad = setup;
	bad.state.desc = 0x1000; /* no memory there */
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &bad), VIRTQ_EFAULT);
	bad = setup;
	bad.state.device = FIXTURE_GPA + FIXTURE_BYTES; /* just behind the end */
	ck_assert_int_lt(vdev_queue_start(f.v, 0, &bad), 0);
	bad = setup;
	bad.flags = 0x80;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &bad), VIRTQ_EINVAL);
	f.echo.start_error = VIRTQ_EIO;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EIO);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	f.echo.start_error = 0;
	for (unsigned fail = 1; fail <= 2; fail++) {
		f.alloc_fail = fail;
		ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_ENOMEM);
	}
	f.alloc_fail = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	ck_assert_uint_eq(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

static void woken(void *ctx)
{
	(*(unsigned *)ctx)++;
}

/* A queue that has an owner starts there, later; what is wrong is said at once. */
START_TEST(starting_with_an_owner_is_checked_at_once)
{
	struct vdev_queue_setup setup;
	struct vdev_queue_setup bad;
	struct fixture f;
	unsigned wakes = 0;
	const struct vdev_owner owner = {.wake = woken, .ctx = &wakes};

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
	for (int i = 0; i < 5; i++) {
		static const int result[] = {VIRTQ_EBADMSG, VIRTQ_EBADMSG, VIRTQ_EFAULT, VIRTQ_EFAULT,
		                             VIRTQ_EINVAL};

		bad = setup;
		if (i == 0)
			bad.state.size = 0;
		if (i == 1)
			bad.state.desc += 1;
		if (i == 2)
			bad.state.desc = 0x1000; /* no memory there */
		if (i == 3)
			bad.state.driver = FIXTURE_GPA + FIXTURE_BYTES;
		if (i == 4)
			bad.reserved = 1;
		wakes = 0;
		ck_assert_int_eq(vdev_queue_start(f.v, 0, &bad), result[i]);
		ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
		ck_assert_uint_eq(wakes, 0);
	}
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(stop_keeps_the_position)
{
	struct vdev_queue_setup setup;
	struct virtq_state s;
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EBUSY);
	for (int i = 0; i < 21; i++)
		fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 99, &s), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, NULL), VIRTQ_EINVAL);
	/* What comes while it is stopped is served when it goes on. */
	add_n(&f, 0, 0, 3);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_run(f.v, 0), 0);
	ck_assert_uint_eq(f.echo.offered, 21);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 3);
	fixture_echo(&f, 0);
	/* A reset forgets the position. */
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &s), VIRTQ_EINVAL);
	fixture_fini(&f);
}
END_TEST

START_TEST(queues_are_disabled_and_enabled)
{
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	fixture_start(&f);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	ck_assert_int_eq(vdev_queue_enable(f.v, 9, 0), VIRTQ_EINVAL);
	add_n(&f, 0, 0, 2);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_run(f.v, 0), 0);
	ck_assert_uint_eq(f.echo.offered, 0);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	fixture_fini(&f);
}
END_TEST

START_TEST(queue_reset_and_another_size)
{
	struct vdev_queue_setup setup = {0};
	struct virtq_drv_config cfg = {.size = sizeof(cfg), .queue_size = 8};
	struct virtq_drv drv;
	struct virtq_done done;
	struct virtq_seg seg[2];
	uint8_t scratch[4096] __attribute__((aligned(8)));
	uint64_t gpa;
	uint8_t *mem;
	uint32_t offered;
	unsigned interrupts;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	add_n(&f, 0, 0, 3); /* in the ring, never fetched */
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	offered = f.echo.offered;
	interrupts = f.interrupts[0];
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_run(f.v, 0), 0);
	ck_assert_uint_eq(f.echo.offered, offered);
	ck_assert_uint_eq(f.interrupts[0], interrupts);
	CLAUSE("basic/virtqueues/reset/D1");
	fixture_echo(&f, 1); /* the other queue goes on */
	/* Again with another ring: half as large, elsewhere, from the start. */
	mem = vdev_loopback_memory(f.l, &gpa, NULL);
	mem += 0x10000;
	gpa += 0x10000;
	vdev_loopback_features(f.l, &cfg.features);
	cfg.ring = mem;
	cfg.ring_addr = gpa;
	cfg.scratch = scratch;
	cfg.scratch_bytes = sizeof(scratch);
	ck_assert_uint_le(virtq_drv_bytes(8, &cfg.features), sizeof(scratch));
	ck_assert_int_eq(virtq_drv_init(&drv, &cfg), 0);
	virtq_drv_state(&drv, &setup.state);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	for (int i = 0; i < 20; i++) {
		seg[0] = (struct virtq_seg){.addr = gpa + 0x4000, .len = 4};
		seg[1] = (struct virtq_seg){.addr = gpa + 0x4100, .len = 4};
		memset(mem + 0x4000, i, 4);
		ck_assert_int_eq(virtq_drv_add(&drv, seg, 1, 1, NULL), 0);
		virtq_drv_publish(&drv);
		vdev_queue_kick(f.v, 0);
		ck_assert_int_eq(virtq_drv_take(&drv, &done, 1), 1);
		ck_assert_uint_eq(done.written, 4);
		ck_assert_int_eq(mem[0x4103], i);
	}
	CLAUSE("basic/virtqueues/reset/D2");
	CLAUSE("basic/virtqueues/reset/re-enable/D1");
	ck_assert_int_eq(vdev_queue_reset(f.v, 99), VIRTQ_EINVAL);
	fixture_fini(&f);
}
END_TEST

/* Notify whether or not the device asked for it. */
static void kick(struct fixture *f, unsigned q)
{
	virtq_drv_publish(vdev_loopback_drv(f->l, q));
	vdev_queue_kick(f->v, q);
}

START_TEST(a_refused_rest_comes_again)
{
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	f.echo.take = 2;
	f.echo.deadline = 5000;
	f.now = 1000;
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 0), UINT64_MAX);
	add_n(&f, 0, 0, 6);
	kick(&f, 0);
	ck_assert_uint_eq(f.echo.offered, 6);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 0), 5000);
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 9), UINT64_MAX);
	/* Not for a kick, not for a run. */
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f.echo.offered, 6);
	/* At the deadline. */
	f.now = 5000;
	f.echo.deadline = 9000;
	run_all(&f);
	ck_assert_uint_eq(f.echo.offered, 6);
	f.echo.deadline = 5000;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0); /* two of four */
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	ck_assert_uint_gt(f.echo.offered, 6);
	ck_assert_uint_eq(fixture_take(&f, 0), 4);
	/* When the model says so. */
	f.echo.deadline = UINT64_MAX;
	f.echo.take = 0;
	add_n(&f, 0, 0, 2);
	kick(&f, 0);
	run_all(&f);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	f.echo.take = UINT32_MAX;
	run_all(&f);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	f.echo.hold = 1; /* remember the queue: held requests know theirs */
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	ck_assert_uint_eq(f.echo.nheld, 2);
	f.echo.take = 0;
	add_n(&f, 0, 2, 2);
	kick(&f, 0);
	ck_assert_uint_eq(f.echo.nheld, 2);
	f.echo.take = UINT32_MAX;
	vdev_queue_wake(f.echo.held[0].q);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	ck_assert_uint_eq(f.echo.nheld, 4);
	/* And after a completion. */
	f.echo.take = 0;
	add_n(&f, 0, 4, 1);
	kick(&f, 0);
	f.echo.take = UINT32_MAX;
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(f.echo.nheld, 4);
	/* Also one that comes while the queue is being run. */
	f.echo.take = 0;
	add_n(&f, 0, 5, 1);
	kick(&f, 0);
	ck_assert_uint_eq(f.echo.nheld, 4);
	f.echo.take = UINT32_MAX;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0);
	ck_assert_uint_eq(f.echo.nheld, 4);
	f.echo.poll_finishes = 1;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	f.echo.poll_finishes = 0;
	ck_assert_uint_eq(f.echo.nheld, 4);
	fixture_fini(&f);
}
END_TEST

START_TEST(held_requests_complete_in_any_order)
{
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	f.echo.hold = 1;
	add_n(&f, 0, 0, 5);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.echo.nheld, 5);
	ck_assert_uint_eq(vdev_queue_inflight(f.echo.held[0].q), 5);
	ck_assert_uint_eq(vdev_queue_size(f.echo.held[0].q), 16);
	ck_assert_uint_ge(vdev_queue_max_pieces(f.echo.held[0].q), 16);
	/* Swap two: the younger ends first. */
	struct echo_held t = f.echo.held[0];
	f.echo.held[0] = f.echo.held[1];
	f.echo.held[1] = t;
	f.echo.held[0].chain.iov = f.echo.held[0].iov;
	f.echo.held[1].chain.iov = f.echo.held[1].iov;
	echo_finish(&f.echo, 1);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0);
	if (vdev_has(f.v, VIRTQ_F_IN_ORDER)) {
		ck_assert_uint_eq(fixture_take(&f, 0), 0); /* held back */
		echo_finish(&f.echo, 1);
		run_all(&f);
		ck_assert_uint_eq(fixture_take(&f, 0), 2);
		CLAUSE("basic/reserved-feature-bits/D5");
	} else {
		ck_assert_uint_eq(fixture_take(&f, 0), 1);
	}
	echo_finish(&f.echo, 5);
	run_all(&f);
	ck_assert_uint_gt(fixture_take(&f, 0), 2);
	ck_assert_uint_eq(fixture_in(&f, 4)[7], 5);
	fixture_fini(&f);
}
END_TEST

START_TEST(a_fault_breaks_one_queue)
{
	struct vdev_counters n;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_watch(&f);
	fixture_start(&f);
	f.echo.fault = 1;
	add_n(&f, 0, 0, 1);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 1), 0);
	ck_assert_uint_eq(f.broken, 1);
	ck_assert_uint_eq(f.fault.reason, VIRTQ_FAULT_DEVICE);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	ck_assert_uint_eq(f.config_changes, 1);
	CLAUSE("basic/status/D3");
	vdev_queue_counters(f.v, 0, &n);
	ck_assert_uint_eq(n.faults, 1);
	f.echo.fault = 0;
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_run(f.v, VDEV_RUN_ARM), 0);
	fixture_echo(&f, 1);
	/* A reset of the queue, or a stop, brings it back. */
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(a_hostile_ring_breaks_one_queue)
{
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	fixture_watch(&f);
	fixture_start(&f);
	f.echo.hold = 1;
	add_n(&f, 0, 0, 3);
	vdev_loopback_kick(f.l, 0);
	ck_assert_uint_eq(f.echo.nheld, 3);
	setup = setup_of(&f, 0);
	f.memory[setup.state.driver - FIXTURE_GPA + 3] = 0x77; /* avail->idx far ahead */
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_uint_eq(f.fault.reason, VIRTQ_FAULT_AVAIL_IDX);
	/* What is out comes back, and reset waits for it. */
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	echo_finish(&f.echo, 3);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

/* From inside the interrupt, as a guest on another processor would. */
static void add_more(struct fixture *f, unsigned q)
{
	fixture_take(f, q);
	if (f->interrupts[q] >= 200)
		return;
	fixture_add(f, q, f->interrupts[q] % 8, 1, 8, 8);
	vdev_loopback_kick(f->l, q);
}

START_TEST(a_kick_from_inside_an_interrupt_is_not_lost)
{
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	f.on_interrupt = add_more;
	add_n(&f, 0, 0, 1);
	vdev_loopback_kick(f.l, 0);
	run_all(&f);
	ck_assert_uint_eq(f.echo.offered, 200);
	ck_assert_uint_eq(f.interrupts[0], 200);
	f.on_interrupt = NULL;
	fixture_fini(&f);
}
END_TEST

static void reset_inside(struct fixture *f, unsigned q)
{
	(void)q;
	f->on_interrupt = NULL;
	ck_assert_int_eq(vdev_set_status(f->v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_ne(vdev_status(f->v), 0);
}

START_TEST(a_reset_from_inside_an_interrupt)
{
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_watch(&f);
	fixture_start(&f);
	f.on_interrupt = reset_inside;
	add_n(&f, 0, 0, 1);
	vdev_loopback_kick(f.l, 0);
	run_all(&f);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(fds_and_arming)
{
	struct fixture f;

	fixture_init(&f, _i, 2);
	ck_assert_int_eq(vdev_queue_fd(f.v, 1), -1);
	fixture_start(&f);
	ck_assert_int_eq(vdev_queue_fd(f.v, 1), 1001);
	ck_assert_int_eq(vdev_queue_fd(f.v, 9), -1);
	f.echo.arms = 0;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0);
	ck_assert_uint_eq(f.echo.arms, 0);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f.echo.arms, 1);
	ck_assert_int_eq(vdev_queue_run(f.v, 9, VDEV_RUN_ARM), 0);
	vdev_queue_kick(f.v, 9);
	/* After arming a notification is wanted; while polling it is not. */
	add_n(&f, 0, 0, 1);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(f.l, 0)), 1);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 1);
	add_n(&f, 0, 1, 1);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(f.l, 0)), 0);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 2);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_queue");
	TCase *tc = tcase_create("core_queue");

	tcase_add_loop_test(tc, counters_count, 0, LAYOUTS);
	tcase_add_loop_test(tc, queue_keeps_the_models_pointer, 0, LAYOUTS);
	tcase_add_loop_test(tc, starting_is_checked, 0, LAYOUTS);
	tcase_add_loop_test(tc, starting_with_an_owner_is_checked_at_once, 0, LAYOUTS);
	tcase_add_loop_test(tc, stop_keeps_the_position, 0, LAYOUTS);
	tcase_add_test(tc, queues_are_disabled_and_enabled);
	tcase_add_loop_test(tc, queue_reset_and_another_size, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_refused_rest_comes_again, 0, LAYOUTS);
	tcase_add_loop_test(tc, held_requests_complete_in_any_order, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_fault_breaks_one_queue, 0, LAYOUTS);
	tcase_add_test(tc, a_hostile_ring_breaks_one_queue);
	tcase_add_loop_test(tc, a_kick_from_inside_an_interrupt_is_not_lost, 0, LAYOUTS);
	tcase_add_loop_test(tc, a_reset_from_inside_an_interrupt, 0, LAYOUTS);
	tcase_add_loop_test(tc, fds_and_arming, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
