/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's way through a device's life, over PCI, PCI's window and MMIO. */
#include <string.h>

#include "access_rig.h"
#include "ring.h"

static struct access_rig rig;
static const struct virtq_features none;

static struct access_rig *start(int way)
{
	access_init(&rig, (enum access_way)way);
	return &rig;
}

START_TEST(steps_in_order)
{
	struct access_rig *r = start(_i);
	int reset, ack, driver, features, ok, enable;

	access_run(r, none);
	reset = access_status_written(r, 0, 0);
	ack = access_status_written(r, 1, 0);
	driver = access_status_written(r, 3, 0);
	features = access_status_written(r, 0xb, 0);
	ok = access_status_written(r, 0xf, 0);
	enable = r->fake.mmio ? fake_find(&r->fake, 1, FAKE_MMIO, 0x44, 1, 1)
	                      : fake_find(&r->fake, 1, FAKE_COMMON, 0x1c, 1, 1);
	ck_assert(reset >= 0 && reset < ack && ack < driver && driver < features);
	ck_assert(features < enable && enable < ok);
	CLAUSE("init/device-init/R1");
	CLAUSE("basic/status/R1");
	CLAUSE("basic/status/R2"); /* the fake counts a cleared bit as a violation */
	CLAUSE("mmio/op/init/R4");
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_RUNNING);
	ck_assert_int_eq(vdev_driver_status(r->d), 0xf);
	access_fini(r);
}
END_TEST

START_TEST(queue_registers)
{
	struct access_rig *r = start(_i);
	const struct fake_queue *q = &r->fake.queues[1];
	struct virtq_state s;

	access_run(r, none);
	virtq_drv_state(&r->vq[1], &s);
	ck_assert_uint_eq(q->size, 16);
	ck_assert_uint_eq(q->desc, s.desc);
	ck_assert_uint_eq(q->driver, s.driver);
	ck_assert_uint_eq(q->device, s.device);
	ck_assert_uint_eq(q->desc, UINT64_C(0x123460000));
	ck_assert_uint_eq(q->enable, 1);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), VIRTQ_EINVAL); /* running */
	/* The fake objects to registers that are written when the queue is enabled already. */
	access_fini(r);
	CLAUSE("pci/layout/common-cfg/R4");
	CLAUSE("mmio/registers/R10");
	CLAUSE("mmio/registers/R9");
}
END_TEST

START_TEST(feature_bits)
{
	struct access_rig *r = start(_i);
	struct virtq_features want = {{UINT64_MAX, UINT64_MAX}}, got, offered;

	access_negotiate(r, want);
	vdev_driver_offered(r->d, &offered);
	ck_assert_uint_eq(offered.word[0], UINT64_MAX);
	ck_assert_uint_eq(offered.word[1], 1);
	vdev_driver_features(r->d, &got);
	/* Device-specific ones as wanted; of the reserved ones no unknown. */
	ck_assert_uint_eq(got.word[0] & 0xffffff, 0xffffff);
	ck_assert_uint_eq(got.word[0] >> 50, 0x3fff);
	ck_assert_uint_eq(got.word[1], 1);
	for (unsigned bit = 24; bit < 50; bit++) {
		int known = bit == 28 || bit == 29 || (bit >= 32 && bit <= 40 && bit != 37) || bit == 43 ||
		            (bit == 41 && _i != WAY_MMIO);

		if (bit == 39 && _i == WAY_MMIO)
			known = 0;
		ck_assert_msg(virtq_features_has(&got, bit) == known, "bit %u", bit);
	}
	CLAUSE("basic/feature-bits/R3a");
	CLAUSE("basic/feature-bits/R3b");
	CLAUSE("basic/reserved-feature-bits/R9");
	CLAUSE("basic/feature-bits/R5");
	ck_assert_uint_eq(r->fake.accepted[0], (uint32_t)got.word[0]);
	ck_assert_uint_eq(r->fake.accepted[1], (uint32_t)(got.word[0] >> 32));
	ck_assert_uint_eq(r->fake.accepted[2], 1);
	/* Frozen: the fake objects to writes after FEATURES_OK. */
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &want, NULL), VIRTQ_EINVAL);
	access_fini(r);
	CLAUSE("init/device-init/R3");
	CLAUSE("mmio/registers/R7");
	CLAUSE("mmio/registers/R8");
}
END_TEST

START_TEST(only_what_is_offered)
{
	struct access_rig *r = start(_i);
	struct virtq_features want = features_of(2, 5, VIRTQ_F_EVENT_IDX), got;

	r->fake.offered[0] = 1u << 5;
	r->fake.offered[1] = 1;
	r->fake.offered[2] = 0;
	access_negotiate(r, want);
	vdev_driver_features(r->d, &got);
	ck_assert_uint_eq(got.word[0], UINT64_C(1) << 32 | 1u << 5);
	ck_assert_uint_eq(got.word[1], 0);
	CLAUSE("basic/feature-bits/R1");
	CLAUSE("basic/reserved-feature-bits/R1");
	access_fini(r);
}
END_TEST

/* Registers that know 64 bits and take every other selector for 1, as some hypervisors' do. */
START_TEST(registers_of_64_features)
{
	struct access_rig *r = start(_i);
	struct virtq_features want = features_of(4, 5, VIRTQ_F_RING_PACKED, 64, 70), got;

	r->fake.old_selectors = 1;
	r->fake.offered[0] = 1u << 5;
	r->fake.offered[1] = 0x45;
	access_negotiate(r, want);
	vdev_driver_offered(r->d, &got);
	ck_assert_uint_eq(got.word[1], 0);
	vdev_driver_features(r->d, &got);
	ck_assert_uint_eq(got.word[0], UINT64_C(5) << 32 | 1u << 5);
	ck_assert_uint_eq(got.word[1], 0);
	ck_assert_uint_eq(r->fake.accepted[0], 1u << 5);
	ck_assert_uint_eq(r->fake.accepted[1], 5);
	access_fini(r);
}
END_TEST

START_TEST(required_features)
{
	struct access_rig *r = start(_i);
	struct virtq_features must = features_of(1, 70);

	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &none, &must), VIRTQ_ENOTSUP);
	ck_assert(access_status_written(r, 0x83, 0) >= 0);
	CLAUSE("basic/feature-bits/R4b");
	CLAUSE("init/device-init/R4");
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_FAILED);
	/* Nothing more until a reset. */
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &none, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_driver_ready(r->d), VIRTQ_EINVAL);
	CLAUSE("init/device-init/R5");
	CLAUSE("basic/status/R3");
	/* Neither a legacy device. */
	r->fake.offered[1] &= ~1u;
	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &none, NULL), VIRTQ_ENOTSUP);
	CLAUSE("basic/reserved-feature-bits/R2");
	/* One that does not like the set. */
	r->fake.offered[1] |= 1;
	r->fake.refuse_features = 1;
	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &none, NULL), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_FAILED);
	access_fini(r);
}
END_TEST

START_TEST(queue_sizes)
{
	struct access_rig *r = start(_i);

	r->fake.queues[1].max = r->fake.queues[1].size = 8;
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), VIRTQ_EINVAL); /* too early */
	access_negotiate(r, none);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), 256);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 1), 8);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 2), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0xffff), VIRTQ_ENOTSUP);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), VIRTQ_EINVAL);
	ck_assert_uint_eq(r->fake.queues[1].enable, 0);
	ck_assert_int_eq(access_start(r, 1, 8, VDEV_DRIVER_NO_VECTOR), 0);
	CLAUSE("mmio/registers/R9");
	ck_assert_int_eq(vdev_driver_queue_start(&r->q[0], r->d, 1, &r->vq[1], VDEV_DRIVER_NO_VECTOR),
	                 VIRTQ_EBUSY);
	access_fini(r);
}
END_TEST

START_TEST(notifications)
{
	struct access_rig *r = start(_i);
	struct virtq_seg seg = {0x1000, 512};
	struct fake_access a;

	access_negotiate(r, none);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_int_eq(virtq_drv_add(&r->vq[1], &seg, 1, 0, r), 0);
	vdev_driver_notify(&r->q[1]); /* nothing happens: the fake would object */
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 0);
	ck_assert_uint_eq(access_avail_index(r, 1), 1); /* but it is there */
	CLAUSE("init/device-init/R6");
	ck_assert_int_eq(vdev_driver_ready(r->d), 0);
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 1);
	a = access_last_notify(r);
	ck_assert_uint_eq(a.value, 1);
	CLAUSE("pci/op/available-buffer-notifications/R3");
	if (!r->fake.mmio) {
		ck_assert_uint_eq(a.width, 2);
		CLAUSE("pci/op/available-buffer-notifications/R1");
		ck_assert_uint_eq(a.at, 4); /* queue_notify_off 1, multiplier 4 */
	}
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 0); /* nothing new */
	access_fini(r);
}
END_TEST

START_TEST(notification_data)
{
	struct access_rig *r = start(_i);
	struct virtq_seg seg = {0x1000, 512};
	uint32_t id = _i == WAY_MMIO ? 1 : 0x101;
	struct fake_access a;

	access_run(r, features_of(3, VIRTQ_F_NOTIFICATION_DATA, VIRTQ_F_NOTIF_CONFIG_DATA,
	                          VIRTQ_F_RING_PACKED));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(virtq_drv_add(&r->vq[1], &seg, 1, 0, r), 0);
	ck_assert_int_eq(vdev_driver_kick(&r->q[1]), 1);
	a = access_last_notify(r);
	ck_assert_uint_eq(a.width, 4);
	ck_assert_uint_eq(a.value, id | 3u << 16 | 1u << 31);
	CLAUSE("pci/op/available-buffer-notifications/R2");
	CLAUSE("pci/op/available-buffer-notifications/R4");
	CLAUSE("pci/op/available-buffer-notifications/R6");
	access_fini(r);
}
END_TEST

START_TEST(configuration_space)
{
	struct access_rig *r = start(_i);
	struct vdev_driver_field f[4] = {{0, 8, 0}, {8, 4, 0}, {12, 2, 0}, {15, 1, 0}};
	struct vdev_driver_field w = {56, 8, UINT64_C(0x1122334455667788)};

	for (unsigned i = 0; i < 64; i++)
		r->fake.space[i] = (uint8_t)i;
	ck_assert_int_eq(vdev_driver_config_read(r->d, f, 4), VIRTQ_EINVAL); /* too early */
	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_config_read(r->d, f, 4), 0);
	CLAUSE("init/device-init/R2a");
	ck_assert_uint_eq(f[0].value, UINT64_C(0x0706050403020100));
	ck_assert_uint_eq(f[1].value, 0x0b0a0908);
	ck_assert_uint_eq(f[2].value, 0x0d0c);
	ck_assert_uint_eq(f[3].value, 0x0f);
	for (unsigned i = 0; i < r->fake.nlog; i++) {
		const struct fake_access *a = &r->fake.log[i];
		uint32_t at = r->fake.mmio ? a->at - 0x100 : a->at;

		if (a->space == FAKE_DEVICE || (r->fake.mmio && a->at >= 0x100))
			ck_assert_uint_eq(a->width, at == 12 ? 2 : at == 15 ? 1 : 4);
	}
	CLAUSE("pci/layout/R1");
	CLAUSE("mmio/registers/R3");
	ck_assert_int_eq(vdev_driver_config_write(r->d, &w), VIRTQ_EINVAL);
	CLAUSE("init/device-init/R2b");
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &none, NULL), 0);
	ck_assert_int_eq(vdev_driver_config_write(r->d, &w), 0);
	ck_assert_uint_eq(r->fake.space[56], 0x88);
	ck_assert_uint_eq(r->fake.space[63], 0x11);
	w = (struct vdev_driver_field){17, 1, 0xab};
	ck_assert_int_eq(vdev_driver_config_write(r->d, &w), 0);
	ck_assert_uint_eq(r->fake.space[17], 0xab);
	access_fini(r);
}
END_TEST

START_TEST(configuration_fields_that_are_not)
{
	struct access_rig *r = start(_i);
	static const struct {
		struct vdev_driver_field f;
		int rc;
	} cases[] = {{{1, 2, 0}, VIRTQ_EINVAL},           {{4, 3, 0}, VIRTQ_EINVAL},
	             {{2, 4, 0}, VIRTQ_EINVAL},           {{2, 8, 0}, VIRTQ_EINVAL},
	             {{0, 0, 0}, VIRTQ_EINVAL},           {{64, 1, 0}, VIRTQ_ENOTSUP},
	             {{60, 8, 0}, VIRTQ_ENOTSUP},         {{4, 8, 0}, 0},
	             {{UINT32_MAX, 1, 0}, VIRTQ_ENOTSUP}, {{0xfffffffc, 8, 0}, VIRTQ_ENOTSUP}};

	access_negotiate(r, none);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vdev_driver_field f = cases[i].f;

		ck_assert_msg(vdev_driver_config_read(r->d, &f, 1) == cases[i].rc, "case %zu", i);
		ck_assert_msg(vdev_driver_config_write(r->d, &f) == cases[i].rc, "case %zu", i);
	}
	access_fini(r);
	CLAUSE("basic/config-space/R3"); /* any size of the space will do, */
	CLAUSE("basic/config-space/R4"); /* as long as the fields are there */
}
END_TEST

START_TEST(generation_changes)
{
	struct access_rig *r = start(_i);
	struct vdev_driver_field f[2] = {{0, 4, 0}, {4, 4, 0}};

	access_negotiate(r, none);
	r->fake.generation_moves = 5;
	ck_assert_int_eq(vdev_driver_config_read(r->d, f, 2), 0);
	ck_assert_uint_eq(f[0].value, 5); /* not one of those read before the last change */
	CLAUSE("basic/config-space/R1a");
	CLAUSE("basic/config-space/R1b");
	access_fini(r);
}
END_TEST

START_TEST(reset_takes_its_time)
{
	struct access_rig *r = start(_i);
	unsigned before;

	access_run(r, none);
	r->fake.reset_delay = 7;
	before = r->fake.waits;
	ck_assert_int_eq(vdev_driver_begin(r->d), 0); /* the fake objects to what comes too early */
	ck_assert_uint_eq(r->fake.waits - before, 7);
	CLAUSE("pci/layout/common-cfg/R5");
	CLAUSE("basic/device-reset/R1");
	/* The queues of the life before are no longer any. */
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), VIRTQ_EINVAL);
	r->fake.reset_delay = 0;
	ck_assert_int_eq(vdev_driver_reset(r->d), 0);
	ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_RESET);
	ck_assert_int_eq(vdev_driver_status(r->d), 0);
	access_fini(r);
}
END_TEST

START_TEST(one_queue_is_reset)
{
	struct access_rig *r = start(_i);
	struct virtq_seg seg = {0x1000, 512};
	void *cookie;

	access_run(r, features_of(1, VIRTQ_F_RING_RESET));
	ck_assert_int_eq(virtq_drv_add(&r->vq[1], &seg, 1, 0, r), 0);
	vdev_driver_kick(&r->q[1]);
	r->fake.queue_reset_delay = 5;
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[1]), 0);
	ck_assert_uint_eq(r->fake.queues[1].enable, 0);
	ck_assert_uint_eq(r->fake.queues[0].enable, 1);
	ck_assert_int_eq(r->fake.queue_reset_left, 0); /* waited for */
	CLAUSE("pci/layout/common-cfg/R7");
	CLAUSE("mmio/registers/R14");
	CLAUSE("basic/virtqueues/reset/R1");
	ck_assert_int_eq(virtq_drv_detach(&r->vq[1], &cookie), 1);
	CLAUSE("basic/virtqueues/reset/R2");
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[1]), VIRTQ_EINVAL);
	vdev_driver_notify(&r->q[1]); /* nothing */
	ck_assert_int_eq(fake_find(&r->fake, 1, FAKE_NOTIFY, 4, 1, 1), -1);
	/* With another size. */
	ck_assert_int_eq(access_start(r, 1, 32, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_uint_eq(r->fake.queues[1].size, 32);
	ck_assert_uint_eq(r->fake.queues[1].desc, UINT64_C(0x123460000));
	CLAUSE("pci/layout/common-cfg/R8");
	CLAUSE("pci/layout/common-cfg/R9");
	CLAUSE("mmio/registers/R15");
	CLAUSE("mmio/registers/R16");
	CLAUSE("basic/virtqueues/reset/re-enable/R1");
	if (!r->fake.mmio) {
		/* The driver never takes queue_enable back itself. */
		ck_assert_int_eq(fake_find(&r->fake, 1, FAKE_COMMON, 0x1c, 0, 0), -1);
		CLAUSE("pci/layout/common-cfg/R6");
	}
	access_fini(r);
}
END_TEST

/* A queue is started a second time: the first start is what counts. */
START_TEST(started_twice)
{
	struct access_rig *r = start(_i);
	struct vdev_driver_queue other;

	access_run(r, features_of(1, VIRTQ_F_RING_RESET));
	ck_assert_int_eq(vdev_driver_queue_start(&r->q[1], r->d, 1, &r->vq[1], VDEV_DRIVER_NO_VECTOR),
	                 VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_driver_queue_start(&r->q[1], r->d, 7, &r->vq[1], VDEV_DRIVER_NO_VECTOR),
	                 VIRTQ_ENOTSUP);
	memset(&other, 0xa5, sizeof(other));
	ck_assert_int_eq(vdev_driver_queue_start(&other, r->d, 1, &r->vq[1], VDEV_DRIVER_NO_VECTOR),
	                 VIRTQ_EBUSY);
	vdev_driver_notify(&r->q[1]);
	ck_assert_uint_ne(access_last_notify(r).width, 0);
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[1]), 0);
	access_fini(r);
}
END_TEST

/* A reset that takes too long goes on: the queue is not started again before it is over, whatever the device shows. */
START_TEST(a_queue_that_is_being_reset)
{
	struct access_rig *r = start(_i);

	access_run(r, features_of(1, VIRTQ_F_RING_RESET));
	r->fake.disable_early = 1;
	r->fake.queue_reset_delay = 100000;
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[1]), VIRTQ_EAGAIN);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), VIRTQ_EBUSY);
	ck_assert_uint_eq(r->fake.queues[1].enable, 0);
	r->fake.queue_reset_left = 3;
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[1]), 0);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_uint_eq(r->fake.queues[1].enable, 1);
	access_fini(r);
}
END_TEST

START_TEST(queue_reset_not_negotiated)
{
	struct access_rig *r = start(_i);

	access_run(r, none);
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), VIRTQ_ENOTSUP);
	ck_assert_uint_eq(r->fake.queues[0].enable, 1);
	access_fini(r);
}
END_TEST

START_TEST(failed)
{
	struct access_rig *r = start(_i);

	access_run(r, none);
	vdev_driver_fail(r->d);
	ck_assert_int_eq(vdev_driver_status(r->d), 0x8f);
	vdev_driver_notify(&r->q[0]);
	ck_assert_uint_eq(access_last_notify(r).width, 0);
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), VIRTQ_EINVAL);
	access_run(r, none);
	access_fini(r);
}
END_TEST

START_TEST(interrupt_causes)
{
	struct access_rig *r = start(_i);

	access_run(r, none);
	r->fake.interrupts = 0xff;
	ck_assert_uint_eq(vdev_driver_interrupts(r->d),
	                  VDEV_DRIVER_INTERRUPT_QUEUE | VDEV_DRIVER_INTERRUPT_CONFIG);
	CLAUSE("mmio/registers/R12");
	CLAUSE("mmio/op/notifications-from-the-device/R1");
	CLAUSE("pci/op/notification-of-device-configuration-changes/R1");
	if (r->fake.mmio) {
		ck_assert_uint_eq(r->fake.interrupts, 0xff); /* not before they were handled */
		vdev_driver_interrupts_done(r->d, VDEV_DRIVER_INTERRUPT_QUEUE);
		ck_assert_uint_eq(vdev_driver_interrupts(r->d), VDEV_DRIVER_INTERRUPT_CONFIG);
		vdev_driver_interrupts_done(r->d, UINT32_MAX);
		CLAUSE("mmio/registers/R13a");
		CLAUSE("mmio/registers/R13b");
		CLAUSE("mmio/op/notifications-from-the-device/R3");
	}
	ck_assert_uint_eq(vdev_driver_interrupts(r->d), 0);
	access_fini(r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("access");
	TCase *tc = tcase_create("access");

	tcase_add_loop_test(tc, steps_in_order, 0, WAYS);
	tcase_add_loop_test(tc, queue_registers, 0, WAYS);
	tcase_add_loop_test(tc, feature_bits, 0, WAYS);
	tcase_add_loop_test(tc, only_what_is_offered, 0, WAYS);
	tcase_add_loop_test(tc, registers_of_64_features, 0, WAYS);
	tcase_add_loop_test(tc, required_features, 0, WAYS);
	tcase_add_loop_test(tc, queue_sizes, 0, WAYS);
	tcase_add_loop_test(tc, notifications, 0, WAYS);
	tcase_add_loop_test(tc, notification_data, 0, WAYS);
	tcase_add_loop_test(tc, configuration_space, 0, WAYS);
	tcase_add_loop_test(tc, configuration_fields_that_are_not, 0, WAYS);
	tcase_add_loop_test(tc, generation_changes, 0, WAYS);
	tcase_add_loop_test(tc, reset_takes_its_time, 0, WAYS);
	tcase_add_loop_test(tc, one_queue_is_reset, 0, WAYS);
	tcase_add_loop_test(tc, started_twice, 0, WAYS);
	tcase_add_loop_test(tc, a_queue_that_is_being_reset, 0, WAYS);
	tcase_add_loop_test(tc, queue_reset_not_negotiated, 0, WAYS);
	tcase_add_loop_test(tc, failed, 0, WAYS);
	tcase_add_loop_test(tc, interrupt_causes, 0, WAYS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
