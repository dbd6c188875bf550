/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What drivers did to devices: status, features, configuration, queues in the wrong order, with the wrong index, at the
 * wrong time. Each test is named after its row in rows.tsv and ends with a well-formed request on another queue.
 */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8, LIVE = 15 };

static void begin(struct fixture *f)
{
	fixture_init(f, LAYOUT_SPLIT, 2);
	fixture_watch(f);
	fixture_start(f);
}

static void end(struct fixture *f)
{
	fixture_echo(f, 1);
	fixture_fini(f);
}

static struct vdev_queue_setup setup_of(struct fixture *f, unsigned q)
{
	struct vdev_queue_setup setup = {0};

	virtq_drv_state(vdev_loopback_drv(f->l, q), &setup.state);
	return setup;
}

/* The size of a live queue is changed. */
START_TEST(CVE_2026_5747)
{
	struct vdev_queue_setup setup;
	struct fixture f;

	begin(&f);
	setup = setup_of(&f, 0);
	setup.state.size = 64;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EBUSY);
	setup.state.size = 0;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EBUSY);
	fixture_echo(&f, 0);
	/* And what the caller does with its copy after the start is its own matter. */
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	memset(&setup, 0xff, sizeof(setup));
	for (int i = 0; i < 40; i++)
		fixture_echo(&f, 0);
	end(&f);
}
END_TEST

/* A kick for a queue that was never set up. */
START_TEST(CVE_2017_17381)
{
	struct vdev_counters n;
	struct fixture f;

	begin(&f);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	vdev_queue_counters(f.v, 0, &n);
	ck_assert_uint_eq(n.kicks, 0);
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	vdev_queue_counters(f.v, 0, &n);
	ck_assert_uint_eq(n.kicks, 0);
	end(&f);
}
END_TEST

/* Sizes that can't be. */
START_TEST(openvmm_2782)
{
	static const uint16_t sizes[] = {0, 3, 65, 128, 32768, 65535};
	struct vdev_queue_setup setup;
	struct fixture f;

	begin(&f);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		setup = setup_of(&f, 0);
		setup.state.size = sizes[i];
		ck_assert_int_lt(vdev_queue_start(f.v, 0, &setup), 0);
		ck_assert_int_eq(vdev_queue_started(f.v, 0), 0);
	}
	end(&f);
}
END_TEST

/* A kick after a reset, without setting up again. */
START_TEST(rust_vmm_d951283)
{
	uint32_t offered;
	struct fixture f;

	begin(&f);
	fixture_echo(&f, 0);
	fixture_add(&f, 0, 0, 1, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	offered = f.echo.offered;
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_run(f.v, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f.echo.offered, offered);
	fixture_start(&f);
	end(&f);
}
END_TEST

/* DRIVER_OK with a queue whose rings lie nowhere. */
START_TEST(CH_22eeb3f80)
{
	struct virtq_features features;
	struct vdev_queue_setup good;
	struct vdev_queue_setup bad;
	struct fixture f;

	begin(&f);
	vdev_loopback_features(f.l, &features);
	good = setup_of(&f, 1);
	bad = setup_of(&f, 0);
	bad.state.device = UINT64_MAX - 3;
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER), 0);
	ck_assert_int_eq(vdev_accept(f.v, &features), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES), 0);
	ck_assert_int_lt(vdev_queue_start(f.v, 0, &bad), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 1, &good), 0);
	ck_assert_int_eq(vdev_set_status(f.v, LIVE), 0);
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	end(&f);
}
END_TEST

/* Notifications of queues that there are not. */
START_TEST(CVE_2011_2512)
{
	static const unsigned indices[] = {2, 255, 65535, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct fixture f;

	begin(&f);
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		vdev_queue_kick(f.v, indices[i]);
		vdev_queue_count_kick(f.v, indices[i], 1);
	}
	end(&f);
}
END_TEST

/* Every other call with an index beyond the queues. */
START_TEST(CH_082fdc4d0)
{
	struct vdev_counters n;
	struct virtq_state s;
	struct vdev_queue_setup setup;
	struct fixture f;

	begin(&f);
	setup = setup_of(&f, 0);
	for (unsigned i = 2; i != 0; i *= 2) {
		ck_assert_uint_eq(vdev_queue_max(f.v, i), 0);
		ck_assert_int_eq(vdev_queue_start(f.v, i, &setup), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_started(f.v, i), 0);
		ck_assert_int_eq(vdev_queue_broken(f.v, i), 0);
		ck_assert_int_eq(vdev_queue_enable(f.v, i, 1), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_stop(f.v, i), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_reset(f.v, i), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_state(f.v, i, &s), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_set_owner(f.v, i, NULL), VIRTQ_EINVAL);
		ck_assert_int_eq(vdev_queue_owned(f.v, i), 0);
		ck_assert_int_eq(vdev_queue_run(f.v, i, VDEV_RUN_ARM), 0);
		ck_assert_uint_eq(vdev_queue_deadline(f.v, i), UINT64_MAX);
		ck_assert_int_eq(vdev_queue_fd(f.v, i), -1);
		vdev_queue_counters(f.v, i, &n);
	}
	end(&f);
}
END_TEST

/* Configuration beyond its end, and offsets that wrap. */
static void config_bounds(void)
{
	static const uint32_t at[] = {
		0, 1, 8, 15, 16, 17, 4096, 0x7fffffff, 0x80000000, UINT32_MAX - 7, UINT32_MAX};
	static const uint32_t len[] = {0, 1, 4, 8, 16, 17, 64};
	uint8_t buf[64 + 8];
	struct fixture f;

	begin(&f);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		for (size_t j = 0; j < sizeof(len) / sizeof(len[0]); j++) {
			memset(buf, 0xee, sizeof(buf));
			vdev_config_read(f.v, at[i], buf, len[j]);
			for (uint32_t k = 0; k < len[j]; k++)
				if ((uint64_t)at[i] + k >= ECHO_CONFIG)
					ck_assert_uint_eq(buf[k], 0);
			ck_assert_uint_eq(buf[len[j]], 0xee);
			vdev_config_write(f.v, at[i], buf, len[j]);
			ck_assert_uint_le((uint64_t)f.echo.config_at + f.echo.config_len, ECHO_CONFIG);
			vdev_config_update(f.v, at[i] | 0x10, buf, len[j]);
		}
	end(&f);
}

START_TEST(CVE_2013_2016)
{
	config_bounds();
}
END_TEST

START_TEST(CVE_2021_45464)
{
	config_bounds();
}
END_TEST

START_TEST(FC_e07fa35fb)
{
	config_bounds();
}
END_TEST

/* Writes to fields that are the device's. */
START_TEST(QEMU_7fc6611cad)
{
	uint8_t before[ECHO_CONFIG];
	uint8_t after[ECHO_CONFIG];
	uint8_t ones[ECHO_CONFIG];
	struct fixture f;

	begin(&f);
	memset(ones, 0xff, sizeof(ones));
	vdev_config_read(f.v, 0, before, sizeof(before));
	vdev_config_write(f.v, 0, ones, sizeof(ones));
	vdev_config_read(f.v, 0, after, sizeof(after));
	ck_assert_mem_eq(before, after, 8);
	ck_assert_uint_eq(after[12] & 0xf0, before[12] & 0xf0);
	ck_assert_mem_eq(before + 13, after + 13, 3);
	end(&f);
}
END_TEST

/* Reset, then again with everything different. */
START_TEST(CH_fe6bcd037)
{
	struct virtq_features got;
	struct virtq_state s;
	uint8_t byte;
	struct fixture f;

	begin(&f);
	fixture_echo(&f, 0);
	vdev_config_write(f.v, 8, "\1", 1);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	vdev_needs_reset(f.v);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	vdev_accepted(f.v, &got);
	ck_assert_uint_eq(got.word[0] | got.word[1], 0);
	vdev_config_read(f.v, 8, &byte, 1);
	ck_assert_uint_eq(byte, 9);
	for (unsigned q = 0; q < 2; q++) {
		ck_assert_int_eq(vdev_queue_started(f.v, q), 0);
		ck_assert_int_eq(vdev_queue_state(f.v, q, &s), VIRTQ_EINVAL);
	}
	vdev_loopback_free(f.l);
	virtq_features_set(&f.cfg.wanted, VIRTQ_F_RING_PACKED);
	f.cfg.queue_size = 7;
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f);
	for (int i = 0; i < 20; i++)
		fixture_echo(&f, 0); /* enabled again, too */
	end(&f);
}
END_TEST

/* Status bits out of order, cleared, and without what they need. */
START_TEST(FC_5818)
{
	struct virtq_features features;
	struct vdev_queue_setup setup;
	struct fixture f;

	begin(&f);
	vdev_loopback_features(f.l, &features);
	setup = setup_of(&f, 1);
	for (unsigned s = 1; s < 256; s++) { /* any one write over a live device leaves it live */
		int rc;

		if ((s & 16) != 0)
			continue; /* suspends: see the tests of status */
		rc = vdev_set_status(f.v, (uint8_t)s);
		ck_assert_int_eq(
			rc, (s & LIVE) == LIVE && (!(vdev_status(f.v) & 128) || s & 128) ? 0 : VIRTQ_EINVAL);
		ck_assert_uint_eq(vdev_status(f.v) & LIVE, LIVE);
	}
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_set_status(f.v, OK), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | OK), VIRTQ_EINVAL);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 1, &setup), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_set_status(f.v, FEATURES),
	                 0); /* nothing was accepted: it does not stick */
	ck_assert_uint_eq(vdev_status(f.v), 0);
	ck_assert_uint_eq(f.echo.started, 1);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	end(&f);
}
END_TEST

/* A queue that can't be activated: never blocks, shows as an error. */
static void nobody(void *ctx)
{
	(void)ctx;
}

START_TEST(CH_2d2931a76)
{
	const struct vdev_owner owner = {nobody, NULL};
	struct vdev_queue_setup setup;
	struct fixture f;

	begin(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
	f.echo.start_error = VIRTQ_ENOMEM;
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0); /* the owner's turn */
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	ck_assert_uint_eq(f.config_changes, 1);
	f.echo.start_error = 0;
	fixture_echo(&f, 1);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_queue_run(f.v, 0, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	end(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_core_device");
	TCase *tc = tcase_create("evil_core_device");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, CVE_2026_5747);
	tcase_add_test(tc, CVE_2017_17381);
	tcase_add_test(tc, openvmm_2782);
	tcase_add_test(tc, rust_vmm_d951283);
	tcase_add_test(tc, CH_22eeb3f80);
	tcase_add_test(tc, CVE_2011_2512);
	tcase_add_test(tc, CH_082fdc4d0);
	tcase_add_test(tc, CVE_2013_2016);
	tcase_add_test(tc, CVE_2021_45464);
	tcase_add_test(tc, FC_e07fa35fb);
	tcase_add_test(tc, QEMU_7fc6611cad);
	tcase_add_test(tc, CH_fe6bcd037);
	tcase_add_test(tc, FC_5818);
	tcase_add_test(tc, CH_2d2931a76);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
