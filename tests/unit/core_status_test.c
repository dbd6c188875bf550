/* SPDX-License-Identifier: BSD-3-Clause */
/* Device status, features, configuration space, suspend: what a driver sees of the core. */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

enum {
	ACK = VIRTQ_STATUS_ACKNOWLEDGE,
	DRIVER = VIRTQ_STATUS_DRIVER,
	FEATURES = VIRTQ_STATUS_FEATURES_OK,
	OK = VIRTQ_STATUS_DRIVER_OK,
	SUSPEND = VIRTQ_STATUS_SUSPEND,
	BAD = VIRTQ_STATUS_NEEDS_RESET,
	FAILED = VIRTQ_STATUS_FAILED
};

static struct virtq_features version_1(void)
{
	struct virtq_features f = {{0}};

	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	return f;
}

static void negotiate(struct fixture *f, const struct virtq_features *features)
{
	ck_assert_int_eq(vdev_set_status(f->v, ACK), 0);
	ck_assert_int_eq(vdev_set_status(f->v, ACK | DRIVER), 0);
	ck_assert_int_eq(vdev_accept(f->v, features), 0);
	ck_assert_int_eq(vdev_set_status(f->v, ACK | DRIVER | FEATURES), 0);
}

START_TEST(identity)
{
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 3);
	ck_assert_uint_eq(vdev_id(f.v), 0x7e);
	ck_assert_uint_eq(vdev_queue_count(f.v), 3);
	ck_assert_uint_eq(vdev_queue_max(f.v, 2), 64);
	ck_assert_uint_eq(vdev_queue_max(f.v, 3), 0);
	ck_assert_ptr_eq(vdev_model_of(f.v, &echo_ops), &f.echo);
	ck_assert_ptr_null(vdev_model_of(f.v, NULL));
	ck_assert_ptr_null(vdev_model_of(NULL, &echo_ops));
	ck_assert_ptr_eq(vdev_env(f.v)->ctx, &f);
	fixture_fini(&f);
}
END_TEST

START_TEST(models_are_checked)
{
	static const uint8_t config[4];
	struct vdev_model m = {.size = sizeof(m), .ops = &echo_ops, .nqueues = 1, .queue_max = 8};
	struct vdev_model_ops ops = echo_ops;
	struct vdev_model bad;
	struct fixture f;
	struct vdev *v;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ck_assert_int_eq(vdev_new(&v, &f.env, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_new(NULL, &f.env, &m), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_new(&v, NULL, &m), VIRTQ_EINVAL);
	bad = m;
	bad.size = 8;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad = m;
	bad.queue_max = 0;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad.queue_max = 32769;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad = m;
	bad.nqueues = 70000;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad = m;
	bad.config_len = 4;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad.config = config;
	bad.config_len = 5000;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	bad = m;
	virtq_features_set(&bad.features, VIRTQ_F_SR_IOV);
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	ops.name = "a name of 16 chs";
	bad = m;
	bad.ops = &ops;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	ops = echo_ops;
	ops.process = NULL;
	ck_assert_int_eq(vdev_new(&v, &f.env, &bad), VIRTQ_EINVAL);
	f.alloc_fail = 1;
	ck_assert_int_eq(vdev_new(&v, &f.env, &m), VIRTQ_ENOMEM);
	fixture_fini(&f);
}
END_TEST

START_TEST(offered_features)
{
	struct virtq_features f128;
	struct virtq_features hold = {{0}};
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	vdev_offered(f.v, &f128);
	for (int bit = 28; bit < 50; bit++) {
		int core = bit == 28 || bit == 29 || (bit >= 32 && bit <= 36) || bit == 38 || bit == 40 ||
		           bit == 43;

		ck_assert_msg(virtq_features_has(&f128, (unsigned)bit) == core, "bit %d", bit);
	}
	CLAUSE("basic/reserved-feature-bits/D1");
	CLAUSE("basic/feature-bits/D1");
	CLAUSE("basic/feature-bits/D3");
	CLAUSE("basic/reserved-feature-bits/D3");
	CLAUSE("basic/reserved-feature-bits/D9b");
	ck_assert(virtq_features_has(&f128, ECHO_FEATURE));
	virtq_features_set(&hold, VIRTQ_F_RING_PACKED);
	virtq_features_set(&hold, ECHO_FEATURE);
	ck_assert_int_eq(vdev_withhold(f.v, &hold), 0);
	vdev_offered(f.v, &f128);
	ck_assert(!virtq_features_has(&f128, VIRTQ_F_RING_PACKED));
	ck_assert(!virtq_features_has(&f128, ECHO_FEATURE));
	ck_assert(virtq_features_has(&f128, VIRTQ_F_IN_ORDER));
	virtq_features_set(&hold, VIRTQ_F_VERSION_1);
	ck_assert_int_eq(vdev_withhold(f.v, &hold), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_withhold(f.v, NULL), VIRTQ_EINVAL);
	memset(&hold, 0, sizeof(hold));
	ck_assert_int_eq(vdev_set_status(f.v, ACK), 0);
	ck_assert_int_eq(vdev_withhold(f.v, &hold), VIRTQ_EINVAL);
	fixture_fini(&f);
}
END_TEST

static int sticks(struct fixture *f, const struct virtq_features *features)
{
	int ok;

	ck_assert_int_eq(vdev_set_status(f->v, 0), 0);
	negotiate(f, features);
	ok = (vdev_status(f->v) & FEATURES) != 0;
	ck_assert_int_eq(vdev_status(f->v), ok ? ACK | DRIVER | FEATURES : ACK | DRIVER);
	return ok;
}

START_TEST(features_ok)
{
	struct virtq_features none = {{0}};
	struct virtq_features all;
	struct virtq_features got;
	struct virtq_features bad = version_1();
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	vdev_offered(f.v, &all);
	ck_assert(sticks(&f, &all));
	ck_assert(!sticks(&f, &none)); /* no VERSION_1 */
	CLAUSE("basic/reserved-feature-bits/D2");
	virtq_features_set(&bad, VIRTQ_F_SR_IOV); /* not offered */
	ck_assert(!sticks(&f, &bad));
	bad = version_1();
	virtq_features_set(&bad, 127);
	ck_assert(!sticks(&f, &bad));
	bad = version_1();
	virtq_features_set(&bad, ECHO_FEATURE_NEEDS); /* the model's own dependency */
	ck_assert(!sticks(&f, &bad));
	CLAUSE("basic/feature-bits/D2b");
	virtq_features_set(&bad, ECHO_FEATURE);
	ck_assert(sticks(&f, &bad));
	for (unsigned bit = 0; bit < 128; bit++) {
		struct virtq_features one = version_1();

		virtq_features_set(&one, bit);
		if (virtq_features_has(&all, bit) && bit != ECHO_FEATURE_NEEDS)
			ck_assert_msg(sticks(&f, &one), "bit %u alone", bit);
	}
	CLAUSE("basic/feature-bits/D2a");
	ck_assert(sticks(&f, &all)); /* as at first */
	CLAUSE("basic/feature-bits/D4");
	ck_assert(vdev_has(f.v, VIRTQ_F_VERSION_1));
	ck_assert(!vdev_has(f.v, 200));
	vdev_accepted(f.v, &got);
	ck_assert_mem_eq(&got, &all, sizeof(all));
	ck_assert_int_eq(vdev_accept(f.v, &none), VIRTQ_EINVAL); /* settled */
	vdev_accepted(f.v, &got);
	ck_assert_mem_eq(&got, &all, sizeof(all));
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert(!vdev_has(f.v, VIRTQ_F_VERSION_1));
	ck_assert_int_eq(vdev_accept(f.v, NULL), VIRTQ_EINVAL);
	fixture_fini(&f);
}
END_TEST

START_TEST(status_rules)
{
	struct virtq_features v1 = version_1();
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ck_assert_int_eq(vdev_status(f.v), 0);
	/* DRIVER_OK without features: ignored. */
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | OK), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_status(f.v), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER), 0);
	/* Refused features take DRIVER_OK with them. */
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_int_eq(vdev_status(f.v), ACK | DRIVER);
	ck_assert_int_eq(vdev_accept(f.v, &v1), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES), 0);
	/* Bits are not cleared one by one. */
	ck_assert_int_eq(vdev_set_status(f.v, ACK | FEATURES), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_status(f.v), ACK | DRIVER | FEATURES);
	/* The driver can't set what is the device's, or unknown. */
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | BAD | 32), 0);
	ck_assert_int_eq(vdev_status(f.v), ACK | DRIVER | FEATURES);
	ck_assert_uint_eq(f.echo.started, 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_uint_eq(f.echo.started, 1);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_uint_eq(f.echo.started, 1);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK | FAILED), 0);
	ck_assert_int_eq(vdev_status(f.v), ACK | DRIVER | FEATURES | OK | FAILED);
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_status(f.v), 0);
	CLAUSE("basic/device-reset/D1");
	ck_assert_uint_eq(f.echo.resets, 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(needs_reset_is_told_when_live)
{
	struct virtq_features v1 = version_1();
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	negotiate(&f, &v1);
	vdev_needs_reset(f.v);
	ck_assert_int_eq(vdev_status(f.v), ACK | DRIVER | FEATURES | BAD);
	CLAUSE("basic/status/D2");
	ck_assert_uint_eq(f.config_changes, 0); /* nobody listens yet */
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_status(f.v), 0);
	fixture_start(&f);
	vdev_needs_reset(f.v);
	vdev_needs_reset(f.v);
	ck_assert_uint_eq(f.config_changes, 1);
	CLAUSE("basic/status/D3");
	ck_assert_int_eq(f.last_log.error, VIRTQ_EBROKEN);
	ck_assert_str_eq(f.last_log.source, "core");
	/* A driver that writes what it read keeps going. */
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | FAILED), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(nothing_is_served_before_driver_ok)
{
	struct virtq_features v1 = version_1();
	struct vdev_queue_setup setup = {0};
	struct fixture f;
	uint64_t gpa;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	/* Start the driver's way, leave the rings as they are, and begin again by hand. */
	fixture_start(&f);
	virtq_drv_state(vdev_loopback_drv(f.l, 0), &setup.state);
	fixture_add(&f, 0, 0, 1, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EINVAL); /* no features yet */
	negotiate(&f, &v1);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), 0);
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_run(f.v, 0), 0);
	ck_assert_uint_eq(f.echo.offered, 0);
	ck_assert_uint_eq(f.interrupts[0], 0);
	CLAUSE("basic/status/D1");
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_uint_eq(f.echo.offered, 1); /* what waited is served without another kick */
	ck_assert_uint_eq(f.interrupts[0], 1);
	/* And nothing after a reset. */
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	fixture_add(&f, 0, 1, 1, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	vdev_queue_kick(f.v, 0);
	ck_assert_int_eq(vdev_run(f.v, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f.echo.offered, 1);
	ck_assert_uint_eq(f.interrupts[0], 1);
	CLAUSE("basic/device-reset/D2");
	ck_assert_ptr_nonnull(vdev_loopback_memory(f.l, &gpa, NULL));
	fixture_fini(&f);
}
END_TEST

START_TEST(config_reads_and_writes)
{
	uint8_t buf[32];
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	ck_assert_uint_eq(vdev_config_len(f.v), ECHO_CONFIG);
	memset(buf, 0xee, sizeof(buf));
	vdev_config_read(f.v, 0, buf, 32); /* before FEATURES_OK; beyond the end reads 0 */
	CLAUSE("basic/config-space/D1");
	ck_assert_uint_eq(buf[0], 1);
	ck_assert_uint_eq(buf[15], 16);
	ck_assert_uint_eq(buf[16], 0);
	ck_assert_uint_eq(buf[31], 0);
	vdev_config_read(f.v, UINT32_MAX - 2, buf, 8);
	ck_assert_uint_eq(buf[0], 0);
	vdev_config_read(f.v, 14, buf, UINT32_MAX > 4 ? 4 : 0);
	ck_assert_uint_eq(buf[0], 15);
	ck_assert_uint_eq(buf[2], 0);
	/* Only what the mask lets through. */
	memset(buf, 0xa5, sizeof(buf));
	vdev_config_write(f.v, 0, buf, 32);
	ck_assert_uint_eq(f.echo.config_writes, 1);
	ck_assert_uint_eq(f.echo.config_at, 0);
	ck_assert_uint_eq(f.echo.config_len, ECHO_CONFIG);
	vdev_config_read(f.v, 0, buf, 16);
	ck_assert_uint_eq(buf[7], 8);
	ck_assert_uint_eq(buf[8], 0xa5);
	ck_assert_uint_eq(buf[11], 0xa5);
	ck_assert_uint_eq(buf[12], 0xd5);
	ck_assert_uint_eq(buf[13], 14);
	vdev_config_write(f.v, 0, "xxxxxxxx", 8); /* read-only */
	vdev_config_write(f.v, 16, "xxxxxxxx", 8);
	vdev_config_write(f.v, UINT32_MAX, "xxxxxxxx", 8);
	ck_assert_uint_eq(f.echo.config_writes, 1);
	/* A reset takes back what the driver wrote. */
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	vdev_config_read(f.v, 8, buf, 8);
	ck_assert_uint_eq(buf[0], 9);
	ck_assert_uint_eq(buf[4], 0xdd);
	fixture_fini(&f);
}
END_TEST

START_TEST(config_changes_count_up)
{
	struct virtq_features v1 = version_1();
	uint32_t before;
	uint8_t buf[2];
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	before = vdev_config_generation(f.v);
	vdev_config_update(f.v, 0, "\x55\x66", 2);
	ck_assert_uint_ne(vdev_config_generation(f.v), before);
	ck_assert_uint_eq(f.config_changes, 0);
	vdev_config_read(f.v, 0, buf, 2);
	ck_assert_uint_eq(buf[1], 0x66);
	fixture_start(&f);
	f.config_changes = 0;
	before = vdev_config_generation(f.v);
	vdev_config_update(f.v, 0, "\x77", 1);
	ck_assert_uint_ne(vdev_config_generation(f.v), before);
	ck_assert_uint_eq(f.config_changes, 1);
	vdev_config_update(f.v, 100, "\x77", 1); /* nothing there: nothing happens */
	ck_assert_uint_eq(f.config_changes, 1);
	/* What only the device writes outlives a reset. */
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	vdev_config_read(f.v, 0, buf, 1);
	ck_assert_uint_eq(buf[0], 0x77);
	/* A change between probe and DRIVER_OK is told once the driver listens. */
	ck_assert_int_eq(vdev_set_status(f.v, ACK), 0);
	vdev_config_update(f.v, 0, "\x78", 1);
	ck_assert_uint_eq(f.config_changes, 1);
	negotiate(&f, &v1);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_uint_eq(f.config_changes, 2);
	fixture_fini(&f);
}
END_TEST

static void suspended_device(struct fixture *f)
{
	uint8_t status = vdev_status(f->v);
	uint32_t generation = vdev_config_generation(f->v);
	unsigned changes = f->config_changes;
	uint32_t offered = f->echo.offered;
	uint8_t buf[16];
	uint8_t was[16];

	ck_assert_uint_eq(status & (SUSPEND | OK), SUSPEND);
	vdev_config_read(f->v, 0, was, 16);
	vdev_config_write(f->v, 8, "zzzz", 4);
	vdev_config_update(f->v, 0, "\x99", 1);
	vdev_config_read(f->v, 0, buf, 16);
	ck_assert_mem_eq(buf, was, 16);
	CLAUSE("init/device-suspend/D2");
	ck_assert_uint_eq(vdev_config_generation(f->v), generation);
	ck_assert_uint_eq(f->config_changes, changes);
	CLAUSE("init/device-suspend/D4");
	fixture_add(f, 0, 5, 3, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f->l, 0));
	vdev_queue_kick(f->v, 0);
	ck_assert_int_eq(vdev_run(f->v, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(f->echo.offered, offered);
	CLAUSE("init/device-suspend/D3");
	/* Neither other bits nor half a resume. */
	ck_assert_int_eq(vdev_set_status(f->v, ACK | DRIVER | FEATURES), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_set_status(f->v, DRIVER | FEATURES | OK), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_set_status(f->v, status), 0);
	ck_assert_uint_eq(vdev_status(f->v), status);
}

START_TEST(suspend_and_resume)
{
	uint8_t buf[1];
	uint32_t generation;
	struct fixture f;

	fixture_init(&f, _i, 1);
	ck_assert_int_eq(vdev_set_status(f.v, SUSPEND), 0); /* before initialisation: ignored */
	ck_assert_int_eq(vdev_status(f.v), 0);
	CLAUSE("init/device-suspend/D1");
	fixture_start(&f);
	fixture_echo(&f, 0);
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | SUSPEND), 0);
	CLAUSE("init/device-suspend/D6");
	suspended_device(&f);
	f.config_changes = 0;
	generation = vdev_config_generation(f.v);
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | OK), 0);
	ck_assert_uint_eq(vdev_status(f.v), ACK | DRIVER | FEATURES | OK);
	CLAUSE("init/device-suspend/D7");
	ck_assert_uint_eq(f.config_changes, 1);
	CLAUSE("init/device-suspend/D5");
	ck_assert_uint_ne(vdev_config_generation(f.v), generation);
	vdev_config_read(f.v, 0, buf, 1);
	ck_assert_uint_eq(buf[0], 0x99);
	ck_assert_uint_eq(fixture_take(&f, 0), 1); /* what waited was served at the resume */
	fixture_echo(&f, 0);
	/* Resume that also clears SUSPEND in its value. */
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | SUSPEND), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_uint_eq(vdev_status(f.v), ACK | DRIVER | FEATURES | OK);
	/* A reset ends a suspend. */
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | SUSPEND), 0);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(suspend_needs_the_feature)
{
	struct virtq_features v1 = version_1();
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	negotiate(&f, &v1);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK), 0);
	ck_assert_int_eq(vdev_set_status(f.v, ACK | DRIVER | FEATURES | OK | SUSPEND), 0);
	ck_assert_uint_eq(vdev_status(f.v), ACK | DRIVER | FEATURES | OK);
	CLAUSE("init/device-suspend/D1");
	fixture_fini(&f);
}
END_TEST

START_TEST(suspend_drains_first)
{
	struct fixture f;
	uint8_t live;

	fixture_init(&f, _i, 2);
	fixture_watch(&f);
	fixture_start(&f);
	live = vdev_status(f.v);
	f.echo.hold = 1;
	for (unsigned i = 0; i < 6; i++)
		fixture_add(&f, i % 2, i, (uint8_t)i, 8, 8);
	vdev_loopback_kick(f.l, 0);
	vdev_loopback_kick(f.l, 1);
	ck_assert_uint_eq(f.echo.nheld, 6);
	ck_assert_int_eq(vdev_set_status(f.v, live | SUSPEND), VIRTQ_EAGAIN);
	ck_assert_uint_eq(vdev_status(f.v), live); /* not suspended yet */
	ck_assert_uint_eq(f.echo.drains, 2);
	ck_assert_uint_eq(f.echo.cancels, 0);
	fixture_add(&f, 0, 10, 9, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	vdev_queue_kick(f.v, 0);
	ck_assert_uint_eq(f.echo.offered, 6); /* nothing more is fetched */
	ck_assert_int_eq(vdev_set_status(f.v, live | SUSPEND), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_set_status(f.v, live), VIRTQ_EINVAL);
	echo_finish(&f.echo, 5);
	while (vdev_run(f.v, 0))
		;
	ck_assert_uint_eq(vdev_status(f.v), live);
	ck_assert_uint_eq(f.done[VDEV_OP_SUSPEND], 0);
	echo_finish(&f.echo, 1);
	while (vdev_run(f.v, 0))
		;
	ck_assert_uint_eq(vdev_status(f.v), (live & ~(unsigned)OK) | SUSPEND);
	ck_assert_uint_eq(f.done[VDEV_OP_SUSPEND], 1);
	ck_assert_int_eq(f.done_result[VDEV_OP_SUSPEND], 0);
	ck_assert_uint_gt(f.interrupts[0], 0);
	ck_assert_uint_gt(f.interrupts[1], 0);
	CLAUSE("init/device-suspend/D8");
	f.echo.hold = 0;
	ck_assert_int_eq(vdev_set_status(f.v, live), 0);
	ck_assert_uint_eq(f.echo.offered, 7);
	fixture_fini(&f);
}
END_TEST

START_TEST(reset_overtakes_a_suspend)
{
	struct fixture f;

	fixture_init(&f, LAYOUT_PACKED, 1);
	fixture_watch(&f);
	fixture_start(&f);
	f.echo.hold = 1;
	fixture_add(&f, 0, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 0);
	ck_assert_int_eq(vdev_set_status(f.v, vdev_status(f.v) | SUSPEND), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_ne(vdev_status(f.v), 0);
	echo_finish(&f.echo, 1);
	while (vdev_run(f.v, 0))
		;
	ck_assert_uint_eq(f.done[VDEV_OP_SUSPEND], 1);
	ck_assert_int_eq(f.done_result[VDEV_OP_SUSPEND], VIRTQ_ECANCELED);
	ck_assert_uint_eq(f.done[VDEV_OP_RESET], 1);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	f.echo.hold = 0;
	fixture_start(&f);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_status");
	TCase *tc = tcase_create("core_status");

	tcase_add_test(tc, identity);
	tcase_add_test(tc, models_are_checked);
	tcase_add_test(tc, offered_features);
	tcase_add_test(tc, features_ok);
	tcase_add_test(tc, status_rules);
	tcase_add_test(tc, needs_reset_is_told_when_live);
	tcase_add_test(tc, nothing_is_served_before_driver_ok);
	tcase_add_test(tc, config_reads_and_writes);
	tcase_add_test(tc, config_changes_count_up);
	tcase_add_loop_test(tc, suspend_and_resume, 0, LAYOUTS);
	tcase_add_test(tc, suspend_needs_the_feature);
	tcase_add_loop_test(tc, suspend_drains_first, 0, LAYOUTS);
	tcase_add_test(tc, reset_overtakes_a_suspend);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
