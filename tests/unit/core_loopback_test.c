/* SPDX-License-Identifier: BSD-3-Clause */
/* The loopback transport, access to chains, and address translation. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

START_TEST(a_request_comes_back)
{
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	for (int i = 0; i < 100; i++)
		fixture_echo(&f, (unsigned)i % 2);
	ck_assert_uint_gt(f.interrupts[0], 0);
	fixture_fini(&f);
}
END_TEST

/* All rings and features that can be negotiated together, at several sizes. */
START_TEST(every_combination_of_ring_features)
{
	static const unsigned bits[] = {VIRTQ_F_INDIRECT_DESC,   VIRTQ_F_EVENT_IDX,
	                                VIRTQ_F_RING_PACKED,     VIRTQ_F_IN_ORDER,
	                                VIRTQ_F_ACCESS_PLATFORM, VIRTQ_F_NOTIFICATION_DATA};
	static const uint16_t sizes[] = {1, 2, 16, 64};
	struct virtq_features got;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	for (unsigned set = 0; set < 1u << 6; set++) {
		struct vdev_loopback_config cfg = f.cfg;

		vdev_loopback_free(f.l);
		for (unsigned b = 0; b < 6; b++)
			if (set >> b & 1)
				virtq_features_set(&cfg.wanted, bits[b]);
		cfg.queue_size = sizes[(set >> 1) % 4];
		cfg.indirect_max = 4;
		/* A request needs two descriptors, or a table that only a packed ring of one can have. */
		if (cfg.queue_size == 1 && (set & 5) != 5)
			cfg.queue_size = 2;
		ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &cfg), 0);
		fixture_start(&f);
		vdev_loopback_features(f.l, &got);
		for (unsigned b = 0; b < 6; b++)
			ck_assert_int_eq(virtq_features_has(&got, bits[b]), set >> b & 1);
		ck_assert_int_eq(virtq_features_has(&got, VIRTQ_F_VERSION_1), 1);
		for (int i = 0; i < 200; i++)
			fixture_echo(&f, (unsigned)i % 2);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(configurations_are_checked)
{
	struct vdev_loopback_config bad;
	struct vdev_loopback *l;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	vdev_loopback_free(f.l);
	bad = f.cfg;
	bad.size = 0;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_new(NULL, &f.env, f.v, &f.cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_new(&l, NULL, f.v, &f.cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, NULL, &f.cfg), VIRTQ_EINVAL);
	bad = f.cfg;
	bad.memory = NULL;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_EINVAL);
	bad = f.cfg;
	bad.nqueues = 3;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_EINVAL);
	bad = f.cfg;
	bad.queue_size = 128;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_EINVAL);
	bad = f.cfg;
	bad.bytes = 100;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_ENOSPC);
	bad = f.cfg;
	bad.gpa = 1;
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &bad), VIRTQ_EINVAL);
	for (unsigned fail = 1; fail <= 2; fail++) {
		f.alloc_fail = fail;
		ck_assert_int_eq(vdev_loopback_new(&l, &f.env, f.v, &f.cfg), VIRTQ_ENOMEM);
	}
	f.alloc_fail = 0;
	/* Default sizes, one queue only, memory that does not begin on a boundary. */
	bad = f.cfg;
	bad.queue_size = 0;
	bad.nqueues = 1;
	bad.memory = f.memory + 4;
	bad.gpa += 4;
	bad.bytes -= 4;
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &bad), 0);
	fixture_start(&f);
	fixture_echo(&f, 0);
	ck_assert_ptr_null(vdev_loopback_drv(f.l, 1));
	ck_assert_ptr_null(vdev_loopback_drv(f.l, 99));
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(vdev_loopback_request(f.l, 1, "", 1, NULL, 0), VIRTQ_EINVAL);
	vdev_loopback_free(NULL);
	fixture_fini(&f);
}
END_TEST

START_TEST(requests_are_checked)
{
	static uint8_t big[FIXTURE_BYTES];
	uint8_t in[8];
	struct fixture f;

	fixture_init(&f, _i, 1);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, "ab", 2, in, 2), VIRTQ_EINVAL); /* not started */
	fixture_start(&f);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, big, sizeof(big), in, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, NULL, 0, NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, "ab", 2, NULL, 0), 0);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, NULL, 0, in, 8), 0);
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, "abc", 3, in, 2), 2);
	ck_assert_mem_eq(in, "ab", 2);
	f.echo.fault = 1;
	ck_assert_int_eq(vdev_loopback_request(f.l, 0, "abc", 3, in, 2), VIRTQ_EBROKEN);
	fixture_fini(&f);
}
END_TEST

START_TEST(refused_features_end_the_start)
{
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	vdev_loopback_free(f.l);
	virtq_features_set(&f.cfg.wanted, ECHO_FEATURE_NEEDS);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), VIRTQ_ENOTSUP);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_FAILED, 0);
	ck_assert_uint_eq(f.echo.queue_starts, 0);
	ck_assert_uint_eq(f.echo.started, 0);
	CLAUSE("basic/feature-bits/R4b");
	CLAUSE("init/device-init/R4");
	CLAUSE("init/device-init/R5");
	f.echo.resets = 0;
	ck_assert_int_eq(vdev_loopback_start(f.l), VIRTQ_ENOTSUP);
	ck_assert_uint_eq(f.echo.resets, 1);
	CLAUSE("basic/status/R3");
	fixture_fini(&f);
}
END_TEST

/* The loopback's driver follows the standard too: seen from the device. */
START_TEST(the_driver_follows_the_steps)
{
	enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8 };
	struct virtq_features offered;
	struct virtq_features accepted;
	struct vdev_counters n;
	struct fixture f;

	fixture_init(&f, _i, 1);
	vdev_loopback_free(f.l);
	/* It wants everything, known or not, offered or not. */
	f.cfg.wanted.word[0] |= ~(uint64_t)0 << 44 | 0xffffff;
	f.cfg.wanted.word[1] = UINT64_MAX;
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	f.echo.resets = 0;
	fixture_start(&f);
	ck_assert_uint_eq(f.echo.resets, 1);
	ck_assert_uint_eq(f.echo.status_features, ACK | DRIVER);
	ck_assert_uint_eq(f.echo.status_queue, ACK | DRIVER | FEATURES);
	ck_assert_uint_eq(f.echo.status_started, ACK | DRIVER | FEATURES | OK);
	CLAUSE("init/device-init/R1");
	CLAUSE("basic/status/R1");
	CLAUSE("basic/status/R2");
	vdev_queue_counters(f.v, 0, &n);
	ck_assert_uint_eq(n.kicks, 0);
	CLAUSE("init/device-init/R6");
	vdev_offered(f.v, &offered);
	vdev_accepted(f.v, &accepted);
	ck_assert(virtq_features_subset(&accepted, &offered));
	ck_assert(virtq_features_has(&accepted, ECHO_FEATURE));
	ck_assert(virtq_features_has(&accepted, VIRTQ_F_VERSION_1));
	CLAUSE("basic/feature-bits/R1");
	CLAUSE("basic/feature-bits/R3b");
	CLAUSE("basic/reserved-feature-bits/R1");
	ck_assert(!virtq_features_subset(
		&offered, &accepted)); /* and bits it did not ask for are no reason to fail */
	CLAUSE("basic/feature-bits/R5");
	/* A new start resets first, also after a failure. */
	fixture_echo(&f, 0);
	fixture_start(&f);
	ck_assert_uint_eq(f.echo.resets, 2);
	fixture_fini(&f);
}
END_TEST

static void finish_later(struct fixture *f)
{
	if (f->reads++ == 100)
		echo_finish(&f->echo, 1);
}

START_TEST(the_driver_waits_for_its_reset)
{
	struct fixture f;

	fixture_init(&f, _i, 1);
	fixture_start(&f);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	f.on_clock = finish_later; /* the device is not done before */
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_uint_gt(f.reads, 100);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	CLAUSE("basic/device-reset/R1");
	ck_assert_ptr_null(vdev_loopback_drv(f.l, 0));
	CLAUSE("init/device-cleanup/R2");
	/* And gives up in the end when it never comes. */
	f.on_clock = NULL;
	f.tick = 1000000000;
	fixture_start(&f);
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_loopback_reset(f.l), VIRTQ_EAGAIN);
	ck_assert_uint_ne(vdev_status(f.v), 0);
	echo_finish(&f.echo, 1);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	fixture_fini(&f);
}
END_TEST

/* What a device still calls is there, although its loopback was freed. */
START_TEST(a_stuck_device_may_end_later)
{
	static struct vdev_loopback *kept; /* not lost, for checkers of leaks */
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	f.tick = 1000000000;
	fixture_start(&f);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	kept = f.l;
	vdev_loopback_free(f.l);
	f.l = NULL;
	ck_assert_uint_ne(vdev_status(f.v), 0);
	echo_finish(&f.echo, 1);
	ck_assert_int_ge(vdev_run(f.v, 0), 0);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_ptr_nonnull(kept);
	f.allocations--; /* the loopback itself */
	fixture_fini(&f);
}
END_TEST

/* A device that is busy keeps the memory map that it has. */
START_TEST(a_busy_device_is_left_alone)
{
	struct vdev_loopback *second;
	struct fixture f;
	unsigned before;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	fixture_start(&f);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), VIRTQ_EAGAIN);
	before = f.allocations;
	ck_assert_int_eq(vdev_loopback_new(&second, &f.env, f.v, &f.cfg), VIRTQ_EBUSY);
	ck_assert_uint_eq(f.allocations, before);
	echo_finish(&f.echo, 1);
	ck_assert_int_ge(vdev_run(f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	ck_assert_int_eq(fixture_take(&f, 0), 1);
	f.echo.hold = 0;
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

/* A chain in pieces of odd lengths. */
static struct virtq_chain pieces(uint8_t *bytes, struct virtq_iov *iov)
{
	static const size_t lengths[] = {1, 7, 16, 3, 5, 0, 32};
	struct virtq_chain c = {
		.iov = iov, .nread = 3, .nwrite = 4, .read_bytes = 24, .write_bytes = 40};

	for (int i = 0; i < 7; i++) {
		iov[i] = (struct virtq_iov){bytes, lengths[i]};
		bytes += lengths[i] + 8; /* not next to each other */
	}
	return c;
}

START_TEST(chains_are_read_and_written_by_offset)
{
	uint8_t bytes[256];
	uint8_t model[64];
	uint8_t got[64];
	struct virtq_iov iov[7];
	struct virtq_chain c = pieces(bytes, iov);
	size_t at = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (int i = 0; i < 3; i++) {
		memcpy(model + at, iov[i].base, iov[i].len);
		at += iov[i].len;
	}
	for (uint64_t off = 0; off < 30; off++)
		for (size_t len = 0; len < 30; len++) {
			size_t want = off >= 24 ? 0 : len < 24 - off ? len : 24 - off;

			memset(got, 0xee, sizeof(got));
			ck_assert_uint_eq(vdev_chain_read(&c, off, got, len), want);
			ck_assert_mem_eq(got, model + off, want);
			ck_assert_uint_eq(got[want], 0xee);
		}
	for (uint64_t off = 0; off < 44; off++)
		for (size_t len = 0; len < 44; len++) {
			size_t want = off >= 40 ? 0 : len < 40 - off ? len : 40 - off;
			size_t seen = 0;

			memset(bytes, 0, sizeof(bytes));
			memset(got, 0x77, sizeof(got));
			ck_assert_uint_eq(vdev_chain_write(&c, off, got, len), want);
			for (size_t i = 0; i < sizeof(bytes); i++)
				seen += bytes[i] == 0x77;
			ck_assert_uint_eq(seen, want);
			at = 0;
			for (int i = 3; i < 7; i++)
				for (size_t j = 0; j < iov[i].len; j++, at++)
					ck_assert_uint_eq(((uint8_t *)iov[i].base)[j],
					                  at >= off && at < off + want ? 0x77 : 0);
		}
	ck_assert_uint_eq(vdev_chain_read(&c, UINT64_MAX, got, 8), 0);
	ck_assert_uint_eq(vdev_chain_write(&c, UINT64_MAX - 3, got, 8), 0);
}
END_TEST

START_TEST(chains_are_sliced)
{
	uint8_t bytes[256];
	struct virtq_iov iov[7];
	struct virtq_iov out[7];
	struct virtq_chain c = pieces(bytes, iov);

	for (int write = 0; write < 2; write++) {
		uint64_t part = write ? 40 : 24;

		for (uint64_t off = 0; off <= part; off++)
			for (uint64_t len = 0; len <= part - off; len++) {
				int n = vdev_chain_slice(&c, write, off, len, out, 7);
				uint64_t sum = 0;

				ck_assert_int_ge(n, 0);
				for (int i = 0; i < n; i++) {
					ck_assert_uint_ne(out[i].len, 0);
					sum += out[i].len;
				}
				ck_assert_uint_eq(sum, len);
			}
		ck_assert_int_eq(vdev_chain_slice(&c, write, 0, part + 1, out, 7), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_chain_slice(&c, write, part + 1, 0, out, 7), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_chain_slice(&c, write, 1, UINT64_MAX, out, 7), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_chain_slice(&c, write, UINT64_MAX, 2, out, 7), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_chain_slice(&c, write, 0, part, out, 2), VIRTQ_ENOSPC);
		ck_assert_int_eq(vdev_chain_slice(&c, write, 0, part + 1, out, 2), VIRTQ_EINVAL);
	}
	ck_assert_int_eq(vdev_chain_slice(&c, 0, 4, 8, out, 7), 2);
	ck_assert_ptr_eq(out[0].base, (uint8_t *)iov[1].base + 3);
	ck_assert_uint_eq(out[0].len, 4);
	ck_assert_ptr_eq(out[1].base, iov[2].base);
	c.read_bytes++; /* of a model that can't count */
	ck_assert_int_eq(vdev_chain_slice(&c, 0, 0, 25, out, 7), VIRTQ_EINVAL);
}
END_TEST

/* A platform that maps what the driver uses one page at a time, at the distance SHIFT, and not at once. */
enum { SHIFT = 0x10000000 };

struct platform {
	struct virtq_xlat_ops ops;
	unsigned asked;
	int later;  /* say "later" so many times */
	int refuse; /* there is no such mapping */
};

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	struct platform *p = ctx;

	(void)write;
	p->asked++;
	if (p->later > 0) {
		p->later--;
		return VIRTQ_EAGAIN;
	}
	if (p->refuse)
		return VIRTQ_EFAULT;
	*out = (struct virtq_xlat){
		.iova = iova & ~0xfffull, .gpa = (iova & ~0xfffull) + SHIFT, .len = 0x1000, .perm = 3};
	return 0;
}

START_TEST(addresses_are_translated)
{
	struct platform p = {.ops = {sizeof(p.ops), translate, &p}};
	struct virtq_xlat_ops bad = {sizeof(bad), NULL, NULL};
	struct virtq_features want;
	struct vdev_queue_setup setup = {0};
	struct virtq_seg seg[2];
	struct virtq_done done;
	struct virtq_drv *drv;
	unsigned asked;
	struct fixture f;

	fixture_init(&f, _i, 1);
	vdev_loopback_free(f.l);
	virtq_features_set(&f.cfg.wanted, VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f); /* for its rings; the queue is started again behind the translation */
	fixture_watch(&f);
	vdev_loopback_features(f.l, &want);
	drv = vdev_loopback_drv(f.l, 0);
	virtq_drv_state(drv, &setup.state);
	ck_assert_int_eq(vdev_set_xlat(f.v, &p.ops), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_set_xlat(f.v, &bad), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_set_xlat(f.v, &p.ops), 0);
	setup.state.desc -= SHIFT;
	setup.state.driver -= SHIFT;
	setup.state.device -= SHIFT;
	p.later = 2;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_started(f.v, 0), 1);
	for (int i = 0; i < 10 && p.later > 0; i++) {
		ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0); /* wakes it */
		ck_assert_uint_eq(f.echo.offered, 0);
	}
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	seg[0] = (struct virtq_seg){fixture_in_gpa(&f, 8) - SHIFT, 8};
	seg[1] = (struct virtq_seg){fixture_in_gpa(&f, 16) - SHIFT, 8};
	memcpy(fixture_in(&f, 8), "platform", 8);
	p.later = 1;
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, NULL), 0);
	virtq_drv_publish(drv);
	vdev_queue_kick(f.v, 0);
	ck_assert_uint_eq(f.echo.offered, 0); /* the translation is not known yet */
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_int_eq(virtq_drv_take(drv, &done, 1), 1);
	ck_assert_mem_eq(fixture_in(&f, 16), "platform", 8);
	/* Known now; forgotten when told. */
	asked = p.asked;
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, NULL), 0);
	virtq_drv_publish(drv);
	vdev_queue_kick(f.v, 0);
	ck_assert_uint_eq(p.asked, asked);
	ck_assert_int_eq(vdev_invalidate(f.v, 0, UINT64_MAX), 0);
	ck_assert_int_eq(virtq_drv_take(drv, &done, 1), 1);
	p.refuse = 1;
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, NULL), 0);
	virtq_drv_publish(drv);
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_uint_eq(f.fault.reason, VIRTQ_FAULT_ADDRESS);
	/* A ring that is not mapped is broken from the start. */
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EFAULT);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_loopback");
	TCase *tc = tcase_create("core_loopback");

	tcase_add_loop_test(tc, a_request_comes_back, 0, LAYOUTS);
	tcase_add_test(tc, every_combination_of_ring_features);
	tcase_add_test(tc, configurations_are_checked);
	tcase_add_loop_test(tc, requests_are_checked, 0, LAYOUTS);
	tcase_add_test(tc, refused_features_end_the_start);
	tcase_add_loop_test(tc, the_driver_follows_the_steps, 0, LAYOUTS);
	tcase_add_loop_test(tc, the_driver_waits_for_its_reset, 0, LAYOUTS);
	tcase_add_test(tc, a_stuck_device_may_end_later);
	tcase_add_test(tc, a_busy_device_is_left_alone);
	tcase_add_test(tc, chains_are_read_and_written_by_offset);
	tcase_add_test(tc, chains_are_sliced);
	tcase_add_loop_test(tc, addresses_are_translated, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
