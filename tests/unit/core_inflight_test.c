/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that a predecessor left in flight: a stop serves them first, and nothing else; but it waits for none that
 * can't be served now. They stay noted then.
 */
#include <string.h>

#include <virtq/inflight.h>

#include "check_main.h"
#include "core_fixture.h"

/* Slots of requests, none of them in a page of the ring. */
enum { SLOT_LEFT = 4, LEFT = VDEV_BURST, SLOT_NEW = SLOT_LEFT + LEFT, RING = 4 * VDEV_BURST };

static struct fixture f;
static struct vdev_queue_setup setup;
static uint64_t region[512], region_then[512];
static uint8_t memory_then[FIXTURE_BYTES];
static unsigned wakes;
static enum { NOTHING, BUFFERS, ALL } later; /* what is not translated yet */

static void woken(void *ctx)
{
	(void)ctx;
	wakes++;
}

static const struct vdev_owner owner = {.wake = woken};

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	uint64_t page = iova & ~0xfffull;

	(void)ctx;
	(void)write;
	if (later == ALL || (later == BUFFERS && iova >= fixture_in_gpa(&f, SLOT_LEFT - 1)))
		return VIRTQ_EAGAIN;
	*out = (struct virtq_xlat){.iova = page, .gpa = page, .len = 0x1000, .perm = 3};
	return 0;
}

static const struct virtq_xlat_ops xlat = {.size = sizeof(xlat), .translate = translate};

static void add_n(unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fixture_add(&f, 0, first + i, (uint8_t)(first + i + 1), 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
}

static void run_all(void)
{
	for (int i = 0; i < 100 && vdev_queue_run(f.v, 0, 0); i++)
		;
}

/* A device that takes LEFT requests and is gone: memory and region are as it leaves them. */
static void predecessor(int packed, int translated)
{
	later = NOTHING;
	memset(&setup, 0, sizeof(setup));
	memset(region, 0, sizeof(region));
	fixture_init(&f, packed ? LAYOUT_PACKED : LAYOUT_SPLIT, 1);
	vdev_loopback_free(f.l);
	f.cfg.queue_size = RING;
	if (translated)
		virtq_features_set(&f.cfg.wanted, VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f);
	fixture_watch(&f);
	virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
	setup.inflight = region;
	setup.inflight_entries = RING;
	setup.inflight_bytes = virtq_inflight_bytes(RING, packed);
	ck_assert_uint_le(setup.inflight_bytes, sizeof(region));
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	f.echo.hold = 1;
	add_n(SLOT_LEFT, LEFT);
	vdev_queue_kick(f.v, 0);
	ck_assert_uint_eq(f.echo.nheld, LEFT);
	memcpy(memory_then, f.memory, FIXTURE_BYTES);
	memcpy(region_then, region, sizeof(region));
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), VIRTQ_EAGAIN);
	echo_finish(&f.echo, LEFT);
	run_all();
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	memcpy(f.memory, memory_then, FIXTURE_BYTES);
	memcpy(region, region_then, sizeof(region));
	if (translated)
		ck_assert_int_eq(vdev_set_xlat(f.v, &xlat), 0);
	f.echo.hold = 0;
	f.echo.offered = 0;
	memset(f.done, 0, sizeof(f.done));
}

/* Its successor, which an owner runs; it does not serve before it is enabled. */
static void successor(void)
{
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	run_all();
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	ck_assert_uint_eq(f.echo.offered, 0);
}

static void end(void)
{
	f.echo.take = UINT32_MAX;
	ck_assert_int_le(vdev_set_status(f.v, 0), 0);
	run_all();
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	fixture_fini(&f);
}

START_TEST(a_stop_serves_them_first)
{
	predecessor(_i, 0);
	successor();
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	add_n(SLOT_NEW, 3);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 0);
	run_all();
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.echo.offered, LEFT); /* and none of the new ones */
	ck_assert_uint_eq(fixture_take(&f, 0), LEFT);
	for (unsigned i = 0; i < LEFT; i++)
		ck_assert_uint_eq(fixture_in(&f, SLOT_LEFT + i)[7], SLOT_LEFT + i + 1);
	/* The new ones are there for whoever comes next. */
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(fixture_take(&f, 0), 3);
	end();
}
END_TEST

enum { DISABLED, STALLED, BROKEN, WAITING, CANCELLED, REASONS };

/* The queue can't serve them now, for one reason or another: it ends with them as they are. */
START_TEST(a_stop_does_not_wait_for_what_can_not_be)
{
	int packed = _i / REASONS, why = _i % REASONS;
	uint32_t offered;

	predecessor(packed, why == WAITING);
	successor();
	if (why == STALLED)
		f.echo.take = 0;
	if (why == BROKEN) /* where the first one's buffer is */
		memset(packed ? (uint8_t *)region + 32 + 24 : f.memory + (setup.state.desc - FIXTURE_GPA),
		       0xff, 8);
	later = why == WAITING ? BUFFERS : NOTHING;
	if (why != DISABLED)
		ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	if (why == STALLED || why == BROKEN || why == WAITING)
		run_all();
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), why == BROKEN);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	offered = f.echo.offered;
	if (why == CANCELLED)
		ck_assert_int_eq(vdev_queue_reset(f.v, 0), VIRTQ_EAGAIN);
	else
		ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.done[why == CANCELLED ? VDEV_OP_QUEUE_RESET : VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.echo.offered, offered);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	end();
}
END_TEST

/* Buffers that a predecessor had taken for something to put into them: there may never be anything. */
START_TEST(a_stop_does_not_wait_for_a_supply)
{
	predecessor(_i, 0);
	f.echo.supply = 1;
	successor();
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	run_all();
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	ck_assert_uint_eq(fixture_take(&f, 0), 0);
	ck_assert_uint_eq(f.echo.offered, 0);
	/* They are there for whoever comes next. */
	f.echo.supply = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.echo.offered, LEFT);
	ck_assert_uint_eq(fixture_take(&f, 0), LEFT);
	end();
}
END_TEST

/* Where the ring itself is not found, what is left of an earlier time is not asked after. */
START_TEST(a_stop_before_the_ring_is_found)
{
	predecessor(_i, 1);
	successor();
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	later = ALL;
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	run_all();
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 2);
	ck_assert_uint_eq(f.echo.offered, 0);
	end();
}
END_TEST

/* Before DRIVER_OK nothing is served at all. */
START_TEST(a_stop_before_driver_ok)
{
	uint8_t live;
	struct virtq_features features;

	predecessor(_i, 0);
	live = vdev_status(f.v);
	vdev_accepted(f.v, &features);
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_accept(f.v, &features), 0);
	ck_assert_int_eq(vdev_set_status(f.v, (uint8_t)(live & ~(unsigned)VIRTQ_STATUS_DRIVER_OK)), 0);
	successor();
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	run_all();
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_STOP], 1);
	ck_assert_uint_eq(f.echo.offered, 0);
	end();
}
END_TEST

/* Without memory for what is noted the queue does not start, and starts when there is some. */
START_TEST(memory_that_lacks_is_told)
{
	unsigned n = 0;
	int rc;

	predecessor(_i, 0);
	do {
		f.alloc_fail = ++n;
		rc = vdev_queue_start(f.v, 0, &setup);
		if (rc != 0)
			ck_assert_int_eq(rc, VIRTQ_ENOMEM);
		ck_assert_int_eq(vdev_queue_started(f.v, 0), rc == 0);
	} while (rc != 0);
	f.alloc_fail = 0;
	ck_assert_uint_gt(n, 3);
	ck_assert_uint_eq(fixture_take(&f, 0), LEFT);
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_inflight");
	TCase *tc = tcase_create("core_inflight");

	tcase_add_loop_test(tc, a_stop_serves_them_first, 0, 2);
	tcase_add_loop_test(tc, a_stop_does_not_wait_for_what_can_not_be, 0, 2 * REASONS);
	tcase_add_loop_test(tc, a_stop_does_not_wait_for_a_supply, 0, 2);
	tcase_add_loop_test(tc, a_stop_before_the_ring_is_found, 0, 2);
	tcase_add_loop_test(tc, a_stop_before_driver_ok, 0, 2);
	tcase_add_loop_test(tc, memory_that_lacks_is_told, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
