/* SPDX-License-Identifier: BSD-3-Clause */
/* What PCI alone has: discovery, capabilities, vectors, administration queues, the window. */
#include <string.h>

#include "access_rig.h"
#include "ring.h"

static struct access_rig rig;
static const struct virtq_features none;

static int find(struct fake *f, struct vdev_pci_driver *p)
{
	struct vdev_pci_access a = fake_pci(f);

	return vdev_pci_driver_init(p, &a);
}

START_TEST(ids)
{
	static const struct {
		uint32_t ids;
		int type;
	} cases[] = {{0x10401af4, VIRTQ_ENOTSUP},
	             {0x10411af4, 1},
	             {0x10421af4, 2},
	             {0x107f1af4, 63},
	             {0x10001af4, 1},
	             {0x10011af4, 2},
	             {0x10021af4, 5},
	             {0x10031af4, 3},
	             {0x10041af4, 8},
	             {0x10051af4, 4},
	             {0x10091af4, 9},
	             {0x10061af4, VIRTQ_ENOTSUP},
	             {0x100a1af4, VIRTQ_ENOTSUP},
	             {0x10801af4, VIRTQ_ENOTSUP},
	             {0x10428086, VIRTQ_ENOTSUP},
	             {0xffffffff, VIRTQ_EIO}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vdev_pci_driver p;

		fake_init(&rig.fake);
		fake_usual_caps(&rig.fake);
		memcpy(rig.fake.config, &cases[i].ids, 4); /* tests run on little-endian machines */
		rig.fake.config[8] = (uint8_t)i;           /* any revision, */
		rig.fake.config[0x2c] = (uint8_t)(i * 7);  /* and any subsystem */
		ck_assert_msg(find(&rig.fake, &p) == cases[i].type, "case %zu", i);
		ck_assert_uint_eq(rig.fake.violations, 0);
	}
	CLAUSE("pci/discovery/R1");
	CLAUSE("pci/discovery/R2");
	CLAUSE("pci/discovery/R3");
	CLAUSE("pci/discovery/R4");
}
END_TEST

START_TEST(nothing_is_written_to_capabilities)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_PCI);
	access_run(r, none);
	for (uint32_t at = 0; at < 256; at++)
		ck_assert(at == 4 || fake_count(&r->fake, 1, FAKE_CONFIG, at) == 0);
	CLAUSE("pci/caps/R7");
	/* Bus mastering comes after the reset. */
	ck_assert_uint_eq(r->fake.config[4], 7);
	ck_assert_int_eq(fake_find(&r->fake, 1, FAKE_CONFIG, 4, 3, 0) >= 0, 1);
	ck_assert_int_gt(fake_find(&r->fake, 1, FAKE_CONFIG, 4, 7, 0),
	                 fake_find(&r->fake, 1, FAKE_COMMON, 0x14, 0, 0));
	access_fini(r);
}
END_TEST

/* Odd things before the good structures: each is passed over. */
START_TEST(capabilities_passed_over)
{
	struct fake *f = &rig.fake;
	struct vdev_pci_driver p;
	uint32_t at;

	fake_init(f);
	fake_add_cap(f, 1, 8);                       /* another kind */
	fake_add_virtio_cap(f, 1, 7, 0, 0x1000, 0);  /* reserved bar */
	fake_add_virtio_cap(f, 77, 4, 0, 0x1000, 0); /* reserved type */
	fake_add_virtio_cap(f, 1, 4, 0, 0x37, 0);    /* too short */
	fake_add_virtio_cap(f, 1, 2, 0, 0x1000, 0);  /* a BAR that is not there */
	at = fake_add_virtio_cap(f, 1, 4, 0, UINT32_MAX, 0);
	f->config[at + 2] = 24; /* longer than need be */
	f->next_cap += 8;
	fake_add_virtio_cap(f, 1, 4, 0x2000, 0x1000, 0); /* not the first */
	fake_add_virtio_cap(f, 3, 4, 0x1000, 1, 0);
	fake_add_virtio_cap(f, 2, 4, 0x3000, UINT32_MAX, 0);
	ck_assert_int_eq(find(f, &p), 2);
	ck_assert_uint_eq(p.common.bar, 4);
	ck_assert_uint_eq(p.common.offset, 0);
	ck_assert_uint_eq(p.common.bytes, 0x4000); /* clipped to the BAR */
	ck_assert_uint_eq(p.notify.bytes, 0x1000);
	ck_assert_uint_eq(p.device.bytes, 0); /* there is none */
	ck_assert_uint_eq(f->violations, 0);
	CLAUSE("pci/caps/R1");
	CLAUSE("pci/caps/R2");
	CLAUSE("pci/caps/R3");
	CLAUSE("pci/caps/R4");
	CLAUSE("pci/caps/R6a");
	CLAUSE("pci/caps/R6b");
}
END_TEST

/* BARs that are not used need no addresses: they are not decoded. */
START_TEST(window_without_bars)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_WINDOW);
	ck_assert_uint_eq(r->fake.config[4], 0);
	access_run(r, none);
	ck_assert_uint_eq(r->fake.config[4], 4); /* the rings are reached */
	access_fini(r);
	access_init(r, WAY_PCI);
	ck_assert_uint_eq(r->fake.config[4], 3);
	access_fini(r);
}
END_TEST

START_TEST(structures_that_are_missing)
{
	for (int missing = 1; missing <= 3; missing++) {
		struct fake *f = &rig.fake;
		struct vdev_pci_driver p;

		fake_init(f);
		for (uint8_t type = 1; type <= 3; type++)
			if (type != missing)
				fake_add_virtio_cap(f, type, 4, 0x1000u * type, 0x1000, 4);
		ck_assert_int_eq(find(f, &p), VIRTQ_ENOTSUP);
		ck_assert_uint_eq(f->config[4], 0); /* left alone */
	}
	fake_init(&rig.fake); /* no list at all: a legacy device */
	ck_assert_int_eq(find(&rig.fake, &rig.pci), VIRTQ_ENOTSUP);
}
END_TEST

/* The window's four accesses belong together: all of them, and nothing else, with the lock that was given. */
START_TEST(window_with_a_lock)
{
	struct access_rig *r = &rig;
	struct vdev_driver_field f = {0, 8, 0};
	struct vdev_pci_access a;

	memset(r, 0, sizeof(*r));
	fake_init(&r->fake);
	fake_usual_caps(&r->fake);
	a = fake_pci_window_locked(&r->fake);
	ck_assert_int_eq(vdev_pci_driver_init(&r->pci, &a), 2);
	r->d = vdev_pci_driver_device(&r->pci);
	r->fake.reset_delay = 2; /* waits are without the lock */
	access_run(r, features_of(1, VIRTQ_F_RING_RESET));
	ck_assert_uint_ge(r->fake.waits, 2);
	vdev_driver_notify(&r->q[1]);
	ck_assert_uint_eq(fake_count(&r->fake, 1, FAKE_NOTIFY, 4), 1);
	ck_assert_int_eq(vdev_driver_config_read(r->d, &f, 1), 0);
	ck_assert_int_eq(vdev_driver_config_write(r->d, &f), 0);
	(void)vdev_driver_interrupts(r->d);
	r->fake.queue_reset_delay = 2;
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), 0);
	ck_assert_int_eq(r->fake.locked, 0);
	access_fini(r); /* the fake counts what goes without */
}
END_TEST

/* As it was before there were locks: callers who know nothing of them. */
START_TEST(window_of_an_older_caller)
{
	struct vdev_pci_access a;

	fake_init(&rig.fake);
	fake_usual_caps(&rig.fake);
	a = fake_pci_window(&rig.fake);
	a.size = offsetof(struct vdev_pci_access, window_lock);
	memset(&a.window_lock, 0xa5, sizeof(a.window_lock));
	memset(&a.window_unlock, 0xa5, sizeof(a.window_unlock));
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), 2);
	ck_assert_int_eq(vdev_driver_begin(vdev_pci_driver_device(&rig.pci)), 0);
	ck_assert_uint_eq(rig.fake.violations, 0);
	a.size--;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
	/* One of the two is none. */
	a = fake_pci_window_locked(&rig.fake);
	a.window_unlock = NULL;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_pci_access a;

	fake_init(&rig.fake);
	fake_usual_caps(&rig.fake);
	a = fake_pci(&rig.fake);
	ck_assert_int_eq(vdev_pci_driver_init_sized(&rig.pci, sizeof(rig.pci) - 1, &a), VIRTQ_EINVAL);
	a.config_read = NULL;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
	a = fake_pci(&rig.fake);
	a.bar_bytes = NULL;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
	a = fake_pci(&rig.fake);
	a.bar_write = NULL;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
	a = fake_pci(&rig.fake);
	a.size = 8;
	ck_assert_int_eq(vdev_pci_driver_init(&rig.pci, &a), VIRTQ_EINVAL);
	ck_assert_uint_eq(rig.fake.nlog, 0);
}
END_TEST

START_TEST(vectors)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_PCI);
	ck_assert_uint_eq(vdev_pci_driver_vectors(&r->pci), 4);
	ck_assert_int_eq(vdev_pci_driver_set_config_vector(&r->pci, 0), VIRTQ_EINVAL);
	access_negotiate(r, none);
	ck_assert_int_eq(vdev_pci_driver_set_msix(&r->pci, 1), 0);
	ck_assert_uint_eq(r->fake.config[0x43], 0x80);
	ck_assert_int_eq(vdev_pci_driver_set_message(&r->pci, 3, UINT64_C(0x1fee00000), 0x4041), 0);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_MSIX, 48, 0xfee00000, 0), 0);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_MSIX, 52, 1, 0), 0);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_MSIX, 56, 0x4041, 0), 0);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_MSIX, 60, 0, 0), 0);
	ck_assert_int_eq(vdev_pci_driver_set_message(&r->pci, 4, 0, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_pci_driver_set_config_vector(&r->pci, 4), VIRTQ_EINVAL);
	ck_assert_int_eq(access_start(r, 0, 16, 4), VIRTQ_EINVAL);
	CLAUSE("pci/op/init/msi-x-vector-configuration/R4");
	ck_assert_int_eq(vdev_pci_driver_set_config_vector(&r->pci, 1), 0);
	ck_assert_uint_eq(r->fake.config_vector, 1);
	ck_assert_int_eq(access_start(r, 0, 16, 3), 0);
	ck_assert_uint_eq(r->fake.queues[0].vector, 3);
	/* One that the device has no room for, and the way out. */
	r->fake.vectors = 2;
	ck_assert_int_eq(access_start(r, 1, 16, 2), VIRTQ_ENOSPC);
	ck_assert_uint_eq(r->fake.queues[1].enable, 0);
	CLAUSE("pci/op/init/msi-x-vector-configuration/R5");
	ck_assert_int_eq(access_start(r, 1, 16, 1), 0);
	CLAUSE("pci/op/init/msi-x-vector-configuration/R6");
	ck_assert_int_eq(vdev_pci_driver_set_msix(&r->pci, 0), 0);
	ck_assert_uint_eq(r->fake.config[0x43], 0);
	access_fini(r);
}
END_TEST

START_TEST(table_sizes)
{
	for (unsigned i = 0; i < 3; i++) {
		static const uint16_t sizes[] = {0, 1, 0x7ff};
		struct fake *f = &rig.fake;

		fake_init(f);
		fake_usual_caps(f);
		f->config[0x42] = (uint8_t)sizes[i];
		f->config[0x43] = (uint8_t)(sizes[i] >> 8);
		f->bar_bytes[1] = 0x8000;
		ck_assert_int_eq(find(f, &rig.pci), 2);
		ck_assert_uint_eq(vdev_pci_driver_vectors(&rig.pci), sizes[i] + 1u);
		ck_assert_uint_eq(rig.pci.msix_table.bytes, (sizes[i] + 1u) * 16);
	}
	CLAUSE("pci/op/init/msi-x-vector-configuration/R1");
}
END_TEST

START_TEST(no_vectors)
{
	struct access_rig *r = &rig;
	struct fake *f = &r->fake;

	access_init(r, WAY_PCI);
	fake_init(f);
	fake_add_virtio_cap(f, 1, 4, 0, 0x1000, 0);
	fake_add_virtio_cap(f, 3, 4, 0x1000, 0x1000, 0);
	fake_add_virtio_cap(f, 2, 4, 0x3000, 0x1000, 0);
	ck_assert_int_eq(find(f, &r->pci), 2);
	ck_assert_uint_eq(vdev_pci_driver_vectors(&r->pci), 0);
	access_run(r, none);
	ck_assert_int_eq(vdev_pci_driver_set_msix(&r->pci, 1), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_pci_driver_set_config_vector(&r->pci, 0), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_pci_driver_set_message(&r->pci, 0, 0, 0), VIRTQ_EINVAL);
	/* And a multiplier of 0: one place for all queues. */
	vdev_driver_notify(&r->q[1]);
	ck_assert_int_ge(fake_find(f, 1, FAKE_NOTIFY, 0, 1, 0), 0);
	access_fini(r);
}
END_TEST

START_TEST(administration_queues)
{
	struct access_rig *r = &rig;
	uint16_t first = 0;

	access_init(r, WAY_PCI);
	r->fake.admin_index = 5;
	r->fake.admin_num = 2;
	for (unsigned i = 5; i < 8; i++)
		r->fake.queues[i].max = r->fake.queues[i].size = 32;
	access_negotiate(r, none);
	ck_assert_int_eq(vdev_pci_driver_admin_queues(&r->pci, &first), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 5), VIRTQ_ENOTSUP);
	access_negotiate(r, features_of(1, VIRTQ_F_ADMIN_VQ));
	ck_assert_int_eq(vdev_pci_driver_admin_queues(&r->pci, &first), 2);
	ck_assert_uint_eq(first, 5);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 4), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 5), 32);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 6), 32);
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 7), VIRTQ_ENOTSUP);
	CLAUSE("pci/layout/common-cfg/R10");
	/* Only one of the two is used. */
	ck_assert_int_eq(access_start(r, 0, 16, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_int_eq(vdev_driver_ready(r->d), 0);
	CLAUSE("pci/layout/common-cfg/R11");
	access_fini(r);
}
END_TEST

START_TEST(notified_with_the_device_s_data)
{
	struct access_rig *r = &rig;
	struct vdev_pci_place place;
	uint16_t id;

	access_init(r, WAY_PCI);
	access_run(r, features_of(1, VIRTQ_F_NOTIF_CONFIG_DATA));
	vdev_driver_notify(&r->q[1]);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_NOTIFY, 4, 0x101, 0), 0);
	CLAUSE("pci/op/available-buffer-notifications/R5");
	ck_assert_int_eq(vdev_pci_driver_notify_place(&r->q[1], &place, &id), 0);
	ck_assert_uint_eq(place.bar, 4);
	ck_assert_uint_eq(place.offset, 0x3004);
	ck_assert_uint_eq(place.bytes, 2);
	ck_assert_uint_eq(id, 0x101);
	ck_assert_int_eq(vdev_driver_reset(r->d), 0);
	ck_assert_int_eq(vdev_pci_driver_notify_place(&r->q[1], &place, &id), VIRTQ_EINVAL);
	access_fini(r);
}
END_TEST

/* The window: every access is to a structure, aligned, and the only writes to capabilities. */
START_TEST(window)
{
	struct access_rig *r = &rig;
	uint32_t w;

	access_init(r, WAY_WINDOW);
	w = r->pci.window;
	access_run(r, none);
	vdev_driver_notify(&r->q[1]);
	ck_assert_int_ge(fake_find(&r->fake, 1, FAKE_NOTIFY, 4, 1, 0), 0);
	for (unsigned i = 0; i < r->fake.nlog; i++) {
		const struct fake_access *a = &r->fake.log[i];

		if (a->space == FAKE_CONFIG && a->write && a->at != 4)
			ck_assert(a->at >= w + 4 && a->at < w + 20);
	}
	ck_assert_uint_gt(fake_count(&r->fake, 1, FAKE_CONFIG, w + 16), 0);
	/* The fake objects to what is not aligned, and to what is in no structure. */
	access_fini(r);
	CLAUSE("pci/layout/pci-configuration-access-capability/R1a");
	CLAUSE("pci/layout/pci-configuration-access-capability/R1b");
	CLAUSE("pci/layout/pci-configuration-access-capability/R2");
}
END_TEST

START_TEST(registers_that_are_the_device_s)
{
	static const uint32_t read_only[] = {0x04, 0x12, 0x15, 0x1e, 0x38};
	struct access_rig *r = &rig;

	access_init(r, WAY_PCI);
	access_run(r, features_of(2, VIRTQ_F_RING_RESET, VIRTQ_F_NOTIF_CONFIG_DATA));
	ck_assert_int_eq(vdev_driver_queue_reset(&r->q[0]), 0);
	for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
		ck_assert_uint_eq(fake_count(&r->fake, 1, FAKE_COMMON, read_only[i]), 0);
	CLAUSE("pci/layout/common-cfg/R1");
	access_fini(r);
}
END_TEST

START_TEST(packed_ring_of_any_size)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_PCI);
	r->fake.queues[0].max = r->fake.queues[0].size = 100;
	access_negotiate(r, features_of(1, VIRTQ_F_RING_PACKED));
	ck_assert_int_eq(vdev_driver_queue_max(r->d, 0), 100);
	ck_assert_int_eq(access_start(r, 0, 77, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_uint_eq(r->fake.queues[0].size, 77);
	access_fini(r); /* the fake objects to a size of 0, */
	CLAUSE("pci/layout/common-cfg/R2");
	CLAUSE("pci/layout/common-cfg/R3"); /* and without RING_PACKED to one like 77 */
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("access_pci");
	TCase *tc = tcase_create("access_pci");

	tcase_add_test(tc, ids);
	tcase_add_test(tc, nothing_is_written_to_capabilities);
	tcase_add_test(tc, capabilities_passed_over);
	tcase_add_test(tc, window_without_bars);
	tcase_add_test(tc, structures_that_are_missing);
	tcase_add_test(tc, window_with_a_lock);
	tcase_add_test(tc, window_of_an_older_caller);
	tcase_add_test(tc, misuse);
	tcase_add_test(tc, vectors);
	tcase_add_test(tc, table_sizes);
	tcase_add_test(tc, no_vectors);
	tcase_add_test(tc, administration_queues);
	tcase_add_test(tc, notified_with_the_device_s_data);
	tcase_add_test(tc, window);
	tcase_add_test(tc, registers_that_are_the_device_s);
	tcase_add_test(tc, packed_ring_of_any_size);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
