/* SPDX-License-Identifier: BSD-3-Clause */
/* What MMIO alone has: discovery, QueueReady, odd sizes. */
#include "access_rig.h"
#include "ring.h"

static struct access_rig rig;
static const struct virtq_features none;

static int find(struct fake *f)
{
	struct vdev_mmio_access a = fake_mmio(f);

	return vdev_mmio_driver_init(&rig.mmio, &a);
}

START_TEST(discovery)
{
	struct fake *f = &rig.fake;

	fake_init(f);
	f->magic = 0x74726977;
	ck_assert_int_eq(find(f), VIRTQ_ENOTSUP);
	ck_assert_uint_eq(f->nlog, 1); /* left alone */
	CLAUSE("mmio/registers/R4a");
	CLAUSE("mmio/registers/R4b");
	fake_init(f);
	f->version = 1;
	ck_assert_int_eq(find(f), VIRTQ_ENOTSUP);
	ck_assert_uint_eq(f->nlog, 2);
	CLAUSE("mmio/registers/R5a");
	CLAUSE("mmio/registers/R5b");
	fake_init(f);
	f->device_id = 0;
	ck_assert_int_eq(find(f), 0); /* no error */
	ck_assert_uint_eq(f->nlog, 3);
	CLAUSE("mmio/registers/R6a");
	CLAUSE("mmio/registers/R6b");
	CLAUSE("mmio/op/init/R2a");
	CLAUSE("mmio/op/init/R2b");
	fake_init(f);
	ck_assert_int_eq(find(f), 2);
	ck_assert_uint_eq(f->nlog, 3);
	ck_assert_int_eq(fake_find(f, 0, FAKE_MMIO, 0, UINT32_MAX, 0), 0);
	ck_assert_int_eq(fake_find(f, 0, FAKE_MMIO, 4, UINT32_MAX, 0), 1);
	ck_assert_int_eq(fake_find(f, 0, FAKE_MMIO, 8, UINT32_MAX, 0), 2);
	CLAUSE("mmio/op/init/R1");
	ck_assert_uint_eq(f->violations, 0);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_mmio_access a;

	fake_init(&rig.fake);
	a = fake_mmio(&rig.fake);
	ck_assert_int_eq(vdev_mmio_driver_init_sized(&rig.mmio, 8, &a), VIRTQ_EINVAL);
	a.bytes = 0xff;
	ck_assert_int_eq(vdev_mmio_driver_init(&rig.mmio, &a), VIRTQ_EINVAL);
	a = fake_mmio(&rig.fake);
	a.read = NULL;
	ck_assert_int_eq(vdev_mmio_driver_init(&rig.mmio, &a), VIRTQ_EINVAL);
	a = fake_mmio(&rig.fake);
	a.write = NULL;
	ck_assert_int_eq(vdev_mmio_driver_init(&rig.mmio, &a), VIRTQ_EINVAL);
	a = fake_mmio(&rig.fake);
	a.size--;
	ck_assert_int_eq(vdev_mmio_driver_init(&rig.mmio, &a), VIRTQ_EINVAL);
	ck_assert_uint_eq(rig.fake.nlog, 0);
}
END_TEST

START_TEST(all_accesses_are_words_in_their_direction)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_MMIO);
	access_run(r, features_of(1, VIRTQ_F_RING_RESET));
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), 0);
	vdev_driver_notify(&r->q[1]);
	for (unsigned i = 0; i < r->fake.nlog; i++) {
		ck_assert_uint_eq(r->fake.log[i].width, 4);
		/* No shared memory is expected, so its registers are let be. */
		ck_assert(r->fake.log[i].at < 0xac || r->fake.log[i].at > 0xbc);
	}
	access_fini(r); /* the fake objects to the wrong direction and to unknown registers */
	CLAUSE("mmio/registers/R1");
	CLAUSE("mmio/registers/R2");
	CLAUSE("mmio/op/init/R3");
}
END_TEST

START_TEST(most_is_no_power_of_two)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_MMIO);
	r->fake.queues[0].max = 100;
	access_negotiate(r, none);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), 64);
	ck_assert_int_eq(access_start(r, 0, 64, VDEV_DRIVER_NO_VECTOR), 0);
	access_negotiate(r, features_of(1, VIRTQ_F_RING_PACKED));
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), 100);
	ck_assert_int_eq(access_start(r, 0, 100, VDEV_DRIVER_NO_VECTOR), 0);
	access_fini(r);
}
END_TEST

START_TEST(stop_by_ready)
{
	struct access_rig *r = &rig;
	int write;

	access_init(r, WAY_MMIO);
	access_run(r, none);
	ck_assert_int_eq(vdev_mmio_driver_queue_stop(&r->q[0]), 0);
	ck_assert_uint_eq(r->fake.queues[0].enable, 0);
	write = fake_find(&r->fake, 1, FAKE_MMIO, 0x44, 0, 0);
	ck_assert_int_ge(write, 0);
	ck_assert(!r->fake.log[write + 1].write && r->fake.log[write + 1].at == 0x44);
	CLAUSE("mmio/registers/R11");
	ck_assert_int_eq(vdev_mmio_driver_queue_stop(&r->q[0]), VIRTQ_EINVAL);
	vdev_driver_notify(&r->q[0]);
	ck_assert_int_eq(fake_find(&r->fake, 1, FAKE_MMIO, 0x50, 0, 0), -1);
	r->fake.stays_ready = 1;
	ck_assert_int_eq(vdev_mmio_driver_queue_stop(&r->q[1]), VIRTQ_EPROTO);
	access_fini(r);
	access_init(r, WAY_PCI);
	access_run(r, none);
	ck_assert_int_eq(vdev_mmio_driver_queue_stop(&r->q[0]), VIRTQ_EINVAL); /* not of this kind */
	access_fini(r);
}
END_TEST

START_TEST(no_vectors)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_MMIO);
	access_negotiate(r, none);
	ck_assert_int_eq(access_start(r, 0, 16, 0), VIRTQ_EINVAL);
	ck_assert_uint_eq(r->fake.queues[0].enable, 0);
	access_fini(r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("access_mmio");
	TCase *tc = tcase_create("access_mmio");

	tcase_add_test(tc, discovery);
	tcase_add_test(tc, misuse);
	tcase_add_test(tc, all_accesses_are_words_in_their_direction);
	tcase_add_test(tc, most_is_no_power_of_two);
	tcase_add_test(tc, stop_by_ready);
	tcase_add_test(tc, no_vectors);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
