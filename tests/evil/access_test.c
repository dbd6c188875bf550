/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that lie to their driver in registers and capabilities. */
#include <stdio.h>
#include <string.h>

#include "access_rig.h"
#include "ring.h"

static struct access_rig rig;
static const struct virtq_features none;

static int find(struct fake *f)
{
	struct vdev_pci_access a = fake_pci(f);
	int rc = vdev_pci_driver_init(&rig.pci, &a);

	ck_assert_msg(f->violations == 0, "%s", f->why);
	return rc;
}

/* Configuration space is read a bounded number of times, however the list is tied. */
static void bounded(const struct fake *f)
{
	ck_assert_uint_lt(f->nlog, 6 * 64);
}

START_TEST(capability_list_loops)
{
	struct fake *f = &rig.fake;
	uint32_t first;

	for (int self = 0; self < 2; self++) {
		fake_init(f);
		fake_usual_caps(f);
		first = self ? f->last_cap : 0x40;
		f->config[f->last_cap + 1] = (uint8_t)first;
		ck_assert_int_eq(find(f), VIRTQ_EPROTO);
		bounded(f);
	}
}
END_TEST

START_TEST(capability_in_the_header)
{
	static const uint8_t places[] = {0x04, 0x10, 0x34, 0x3c};

	for (size_t i = 0; i < sizeof(places); i++) {
		struct fake *f = &rig.fake;

		fake_init(f);
		fake_usual_caps(f);
		f->config[f->last_cap + 1] = places[i];
		ck_assert_int_eq(find(f), VIRTQ_EPROTO);
		fake_init(f);
		fake_usual_caps(f);
		f->config[0x34] = places[i];
		ck_assert_int_eq(find(f), VIRTQ_EPROTO);
	}
}
END_TEST

/* Its fields would lie beyond the 256 bytes. */
START_TEST(capability_at_the_end)
{
	for (uint32_t at = 0xec; at < 0x100; at += 4) {
		struct fake *f = &rig.fake;

		for (uint8_t id = 9; id <= 0x11; id = (uint8_t)(id + 8)) {
			fake_init(f);
			f->next_cap = at;
			fake_add_cap(f, id, 4);
			f->config[at + 2] = id == 9 ? 0x14 : 3;
			f->config[at + 3] = 2;
			ck_assert_int_eq(find(f), VIRTQ_ENOTSUP);
			bounded(f);
		}
	}
}
END_TEST

START_TEST(all_ones_or_zeros)
{
	struct fake *f = &rig.fake;

	for (int ones = 0; ones < 2; ones++) {
		fake_init(f);
		memset(f->config + 4, ones ? 0xff : 0, 252);
		ck_assert_int_lt(find(f), 0);
		bounded(f);
	}
}
END_TEST

static void caps_with(struct fake *f, unsigned type, uint8_t bar, uint32_t offset, uint32_t length)
{
	static const uint32_t usual[5] = {0, 0, 0x3000, 0x1000, 0x2000};

	fake_init(f);
	for (uint8_t t = 1; t <= 4; t++)
		if (t == type)
			fake_add_virtio_cap(f, t, bar, offset, length, 4);
		else
			fake_add_virtio_cap(f, t, 4, usual[t], t == 4 ? 64 : 0x1000, 4);
}

START_TEST(structure_outside_of_its_bar)
{
	static const struct {
		uint8_t bar;
		uint32_t offset, length;
	} cases[] = {{4, 0x4000, 0x1000},
	             {4, UINT32_MAX - 3, 0x1000},
	             {4, 0xfffff000, 0x2000},
	             {4, 0x3ffc, UINT32_MAX},
	             {0, 0, 0x1000},
	             {5, 0, 0x1000},
	             {6, 0, 0x1000},
	             {255, 0, 0x1000},
	             {4, 0, 0},
	             {4, 0x3fff, 0x1000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		caps_with(&rig.fake, 1, cases[i].bar, cases[i].offset, cases[i].length);
		ck_assert_msg(find(&rig.fake) == VIRTQ_ENOTSUP, "case %zu", i);
		caps_with(&rig.fake, 2, cases[i].bar, cases[i].offset & ~3u, cases[i].length & 1);
		ck_assert_msg(find(&rig.fake) == VIRTQ_ENOTSUP, "case %zu", i);
	}
	caps_with(&rig.fake, 3, 4, 0x4000, 1);
	ck_assert_int_eq(find(&rig.fake), VIRTQ_ENOTSUP);
}
END_TEST

START_TEST(structure_not_aligned)
{
	for (uint32_t off = 1; off < 4; off++) {
		caps_with(&rig.fake, 1, 4, off, 0x1000);
		ck_assert_int_eq(find(&rig.fake), VIRTQ_ENOTSUP);
		caps_with(&rig.fake, 4, 4, 0x2000 + off, 0x40);
		ck_assert_int_eq(find(&rig.fake), 2);
		ck_assert_uint_eq(rig.pci.device.bytes, 0); /* as if it were not there */
	}
	caps_with(&rig.fake, 2, 4, 0x3001, 0x100);
	ck_assert_int_eq(find(&rig.fake), VIRTQ_ENOTSUP);
}
END_TEST

/* Reported size larger than the BAR: reads end at its end. */
START_TEST(virtio_drivers_97c1d3f)
{
	struct access_rig *r = &rig;
	struct vdev_driver_field f = {0x3c, 8, 0};

	caps_with(&r->fake, 4, 4, 0x3fc0, UINT32_MAX);
	ck_assert_int_eq(find(&r->fake), 2);
	r->d = vdev_pci_driver_device(&r->pci);
	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_config_read(r->d, &f, 1), VIRTQ_ENOTSUP);
	f.offset = 0x40;
	f.width = 1;
	ck_assert_int_eq(vdev_driver_config_read(r->d, &f, 1), VIRTQ_ENOTSUP);
	f.offset = UINT32_MAX;
	ck_assert_int_eq(vdev_driver_config_read(r->d, &f, 1), VIRTQ_ENOTSUP);
	ck_assert_uint_eq(r->fake.violations, 0);
}
END_TEST

/* All structures in one place: the driver gets nonsense, but stays within the BAR and ends. */
START_TEST(structures_overlap)
{
	struct access_rig *r = &rig;

	memset(r, 0, sizeof(*r));
	fake_init(&r->fake);
	for (uint8_t t = 1; t <= 4; t++)
		fake_add_virtio_cap(&r->fake, t, 4, 0, 0x40, 4);
	ck_assert_int_eq(find(&r->fake), 2);
	r->d = vdev_pci_driver_device(&r->pci);
	access_negotiate(r, none);
	ck_assert_int_eq(access_start(r, 1, 16, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_int_eq(vdev_driver_ready(r->d), 0);
	vdev_driver_notify(&r->q[1]);
	(void)vdev_driver_interrupts(r->d);
	for (unsigned i = 0; i < r->fake.nlog; i++)
		ck_assert(r->fake.log[i].space == FAKE_CONFIG || r->fake.log[i].at < 0x40);
}
END_TEST

START_TEST(notify_multiplier)
{
	static const struct {
		uint32_t multiplier;
		int plain, data;
	} cases[] = {{0, 0, 0},
	             {1, VIRTQ_EPROTO, 0},
	             {2, 0, VIRTQ_EPROTO},
	             {3, VIRTQ_EPROTO, 0},
	             {4, 0, 0},
	             {6, VIRTQ_EPROTO, 0},
	             {0x800, 0, 0},
	             {UINT32_MAX, VIRTQ_EPROTO, 0},
	             {UINT32_C(1) << 31, 0, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct virtq_features data = features_of(1, VIRTQ_F_NOTIFICATION_DATA);
		struct fake *f = &rig.fake;
		int rc;

		fake_init(f);
		fake_add_virtio_cap(f, 1, 4, 0, 0x1000, 0);
		fake_add_virtio_cap(f, 3, 4, 0x1000, 0x1000, 0);
		fake_add_virtio_cap(f, 2, 4, 0x3000, 0x1000, cases[i].multiplier);
		rc = find(f);
		ck_assert_msg(rc == (cases[i].plain < 0 ? cases[i].plain : 2), "case %zu", i);
		if (rc < 0)
			continue;
		rig.d = vdev_pci_driver_device(&rig.pci);
		ck_assert_int_eq(vdev_driver_begin(rig.d), 0);
		ck_assert_msg(vdev_driver_negotiate(rig.d, &data, NULL) == cases[i].data, "case %zu", i);
		ck_assert_int_eq(vdev_driver_phase(rig.d),
		                 cases[i].data < 0 ? VDEV_DRIVER_FAILED : VDEV_DRIVER_NEGOTIATED);
	}
}
END_TEST

START_TEST(queue_notify_off_out_of_range)
{
	static const struct {
		uint16_t off;
		int rc;
	} cases[] = {{0x3ff, 0}, {0x400, VIRTQ_EPROTO}, {0xffff, VIRTQ_EPROTO}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		access_init(&rig, WAY_PCI);
		rig.fake.queues[0].notify_off = cases[i].off;
		access_negotiate(&rig, none);
		ck_assert_int_eq(access_start(&rig, 0, 16, VDEV_DRIVER_NO_VECTOR), cases[i].rc);
		ck_assert_uint_eq(rig.fake.queues[0].enable, cases[i].rc == 0);
		access_fini(&rig);
	}
}
END_TEST

/* 0xffff times the largest multiplier must not wrap round to a place within. */
START_TEST(queue_notify_off_wraps)
{
	struct access_rig *r = &rig;

	memset(r, 0, sizeof(*r));
	fake_init(&r->fake);
	fake_add_virtio_cap(&r->fake, 1, 4, 0, 0x1000, 0);
	fake_add_virtio_cap(&r->fake, 3, 4, 0x1000, 0x1000, 0);
	fake_add_virtio_cap(&r->fake, 2, 4, 0x3000, 0x1000, UINT32_C(1) << 31);
	r->fake.queues[0].notify_off = 0xfffe; /* a multiple of 2^32 */
	ck_assert_int_eq(find(&r->fake), 2);
	r->d = vdev_pci_driver_device(&r->pci);
	access_negotiate(r, none);
	ck_assert_int_eq(access_start(r, 0, 16, VDEV_DRIVER_NO_VECTOR), VIRTQ_EPROTO);
	access_fini(r);
}
END_TEST

START_TEST(features_without_their_registers)
{
	static const struct {
		unsigned bit;
		uint32_t bytes;
	} cases[] = {
		{VIRTQ_F_NOTIF_CONFIG_DATA, 0x3a}, {VIRTQ_F_RING_RESET, 0x3c}, {VIRTQ_F_ADMIN_VQ, 0x40}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct virtq_features f = features_of(1, cases[i].bit);

		for (uint32_t less = 0; less < 2; less++) {
			caps_with(&rig.fake, 1, 4, 0, cases[i].bytes - less);
			ck_assert_int_eq(find(&rig.fake), 2);
			rig.d = vdev_pci_driver_device(&rig.pci);
			ck_assert_int_eq(vdev_driver_begin(rig.d), 0);
			ck_assert_int_eq(vdev_driver_negotiate(rig.d, &f, NULL), less ? VIRTQ_EPROTO : 0);
			ck_assert_uint_eq(rig.fake.violations, 0);
		}
	}
}
END_TEST

START_TEST(reset_never_ends)
{
	access_init(&rig, (enum access_way)_i);
	access_run(&rig, none);
	rig.fake.reset_delay = -1;
	ck_assert_int_eq(vdev_driver_begin(rig.d), VIRTQ_EAGAIN);
	ck_assert_uint_eq(rig.fake.waits, 20);
	ck_assert_int_eq(vdev_driver_negotiate(rig.d, &none, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0), VIRTQ_EINVAL);
	vdev_driver_notify(&rig.q[0]);
	ck_assert_int_eq(fake_find(&rig.fake, 1, FAKE_NOTIFY, 0, 0, 0), -1);
	ck_assert_int_eq(vdev_driver_reset(rig.d), VIRTQ_EAGAIN);
	rig.fake.reset_delay = 0;
	ck_assert_int_eq(vdev_driver_reset(rig.d), 0);
	access_fini(&rig);
}
END_TEST

START_TEST(queue_reset_never_ends)
{
	access_init(&rig, (enum access_way)_i);
	access_run(&rig, features_of(1, VIRTQ_F_RING_RESET));
	rig.fake.queue_reset_delay = -1;
	ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[0]), VIRTQ_EAGAIN);
	ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[0]), VIRTQ_EAGAIN); /* not asked for twice */
	rig.fake.queue_reset_left = 3;
	ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[0]), 0);
	access_fini(&rig);
}
END_TEST

/* It goes while it runs: unplugged, or switched off. Nothing that reads as all ones or zeroes is an answer. */
START_TEST(device_vanishes)
{
	for (int gone = 1; gone <= 2; gone++) {
		struct vdev_driver_field f[2] = {{0, 8, 0}, {8, 4, 0}};
		struct vdev_driver_queue q;
		unsigned waits;

		access_init(&rig, (enum access_way)_i);
		access_run(&rig, features_of(2, VIRTQ_F_RING_RESET, VIRTQ_F_SUSPEND));
		rig.fake.queue_reset_delay = -1;
		ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[1]), VIRTQ_EAGAIN);
		waits = rig.fake.waits;
		rig.fake.gone = gone;
		ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[0]), VIRTQ_EIO);
		/* Nor one whose reset was under way: it has not ended well. */
		ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[1]), VIRTQ_EIO);
		ck_assert_uint_eq(rig.fake.waits, waits); /* nobody waits for it */
		ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0), VIRTQ_EIO);
		ck_assert_int_eq(vdev_driver_queue_start(&q, rig.d, 0, &rig.vq[0], VDEV_DRIVER_NO_VECTOR),
		                 VIRTQ_EIO);
		ck_assert_int_eq(vdev_driver_config_read(rig.d, f, 2), VIRTQ_EIO);
		ck_assert_int_eq(vdev_driver_status(rig.d), gone == 1 || _i == WAY_WINDOW ? VIRTQ_EIO : 0);
		vdev_driver_notify(&rig.q[0]);
		(void)vdev_driver_interrupts(rig.d);
		ck_assert_int_eq(vdev_driver_suspend(rig.d), VIRTQ_EIO);
		ck_assert_int_eq(vdev_driver_resume(rig.d), VIRTQ_EIO);
		if (gone == 1) {
			ck_assert_int_eq(vdev_driver_reset(rig.d), VIRTQ_EIO);
			ck_assert_int_eq(vdev_driver_begin(rig.d), VIRTQ_EIO);
		}
		/* It is back: only a reset brings it to life. */
		rig.fake.gone = 0;
		ck_assert_int_eq(vdev_driver_begin(rig.d), 0);
		access_fini(&rig);
	}
}
END_TEST

START_TEST(device_vanishes_on_the_way)
{
	for (int gone = 1; gone <= 2; gone++) {
		access_init(&rig, (enum access_way)_i);
		ck_assert_int_eq(vdev_driver_begin(rig.d), 0);
		rig.fake.gone = gone;
		ck_assert_int_eq(vdev_driver_negotiate(rig.d, &none, NULL), VIRTQ_EIO);
		access_fini(&rig);
		access_init(&rig, (enum access_way)_i);
		access_negotiate(&rig, none);
		rig.fake.gone = gone;
		ck_assert_int_eq(vdev_driver_ready(rig.d), VIRTQ_EIO);
		access_fini(&rig);
	}
	if (_i != WAY_MMIO)
		return;
	for (int gone = 1; gone <= 2; gone++) {
		access_init(&rig, WAY_MMIO);
		access_run(&rig, none);
		rig.fake.gone = gone;
		ck_assert_int_eq(vdev_mmio_driver_queue_stop(&rig.q[0]), VIRTQ_EIO);
		access_fini(&rig);
	}
}
END_TEST

/* It offers RING_RESET and does not know the register. */
START_TEST(queue_reset_is_not_there)
{
	access_init(&rig, (enum access_way)_i);
	access_run(&rig, features_of(1, VIRTQ_F_RING_RESET));
	rig.fake.ignore_queue_reset = 1;
	ck_assert_int_eq(vdev_driver_queue_reset(&rig.q[0]), VIRTQ_EPROTO);
	ck_assert_int_eq(vdev_driver_reset(rig.d), 0);
	access_fini(&rig);
}
END_TEST

START_TEST(generation_never_settles)
{
	struct vdev_driver_field f = {0, 4, 0};

	access_init(&rig, (enum access_way)_i);
	access_negotiate(&rig, none);
	rig.fake.generation_moves = -1;
	ck_assert_int_eq(vdev_driver_config_read(rig.d, &f, 1), VIRTQ_EAGAIN);
	access_fini(&rig);
}
END_TEST

START_TEST(queue_sizes)
{
	static const struct {
		uint16_t max;
		int split_pci, split_mmio, packed;
	} cases[] = {{0, VIRTQ_ENOTSUP, VIRTQ_ENOTSUP, VIRTQ_ENOTSUP},
	             {1, 1, 1, 1},
	             {3, VIRTQ_EPROTO, 2, 3},
	             {255, VIRTQ_EPROTO, 128, 255},
	             {0x8000, 0x8000, 0x8000, 0x8000},
	             {0x8001, VIRTQ_EPROTO, VIRTQ_EPROTO, VIRTQ_EPROTO},
	             {0xffff, VIRTQ_EPROTO, VIRTQ_EPROTO, VIRTQ_EPROTO}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		access_init(&rig, (enum access_way)_i);
		rig.fake.queues[0].max = cases[i].max;
		access_negotiate(&rig, none);
		ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0),
		                 _i == WAY_MMIO ? cases[i].split_mmio : cases[i].split_pci);
		access_negotiate(&rig, features_of(1, VIRTQ_F_RING_PACKED));
		ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0), cases[i].packed);
		access_fini(&rig);
	}
}
END_TEST

/* The size shrinks between the two times that it is read. */
START_TEST(queue_shrinks)
{
	access_init(&rig, (enum access_way)_i);
	access_negotiate(&rig, none);
	ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0), 256);
	rig.fake.queues[0].max = rig.fake.queues[0].size = 8;
	ck_assert_int_eq(access_start(&rig, 0, 256, VDEV_DRIVER_NO_VECTOR), VIRTQ_EINVAL);
	ck_assert_uint_eq(rig.fake.queues[0].enable, 0);
	access_fini(&rig);
}
END_TEST

START_TEST(administration_queues_out_of_range)
{
	static const struct {
		uint16_t first, n;
		int rc;
	} cases[] = {{0, 1, VIRTQ_EPROTO},      {1, 1, VIRTQ_EPROTO}, {2, 1, 1},
	             {0xffff, 2, VIRTQ_EPROTO}, {0xffff, 1, 1},       {0, 0, 0},
	             {2, 0xffff, VIRTQ_EPROTO}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t first;

		access_init(&rig, WAY_PCI);
		rig.fake.admin_index = cases[i].first;
		rig.fake.admin_num = cases[i].n;
		access_negotiate(&rig, features_of(1, VIRTQ_F_ADMIN_VQ));
		ck_assert_int_eq(vdev_pci_driver_admin_queues(&rig.pci, &first), cases[i].rc);
		ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0xfffe),
		                 cases[i].rc < 0 ? VIRTQ_EPROTO : VIRTQ_ENOTSUP);
		ck_assert_int_eq(vdev_driver_queue_max(rig.d, 0), 256);
		access_fini(&rig);
	}
}
END_TEST

/* Zeros look like a reset that is done; configuration space knows better. */
START_TEST(device_vanishes_and_reads_as_zeros)
{
	access_init(&rig, WAY_PCI);
	access_run(&rig, none);
	rig.fake.gone = 2;
	ck_assert_int_eq(vdev_driver_begin(rig.d), VIRTQ_EIO);
	ck_assert_int_eq(vdev_driver_negotiate(rig.d, &none, NULL), VIRTQ_EINVAL);
	access_fini(&rig);
}
END_TEST

START_TEST(needs_reset_instead)
{
	access_init(&rig, (enum access_way)_i);
	access_negotiate(&rig, none);
	rig.fake.needs_reset_at_ok = 1;
	ck_assert_int_eq(vdev_driver_ready(rig.d), VIRTQ_EBROKEN);
	ck_assert(vdev_driver_status(rig.d) & VIRTQ_STATUS_NEEDS_RESET);
	rig.fake.needs_reset_at_ok = 0;
	access_run(&rig, features_of(1, VIRTQ_F_SUSPEND));
	rig.fake.needs_reset_at_suspend = 1;
	rig.fake.suspend_delay = 1000;
	ck_assert_int_eq(vdev_driver_suspend(rig.d), VIRTQ_EBROKEN);
	access_run(&rig, features_of(1, VIRTQ_F_SUSPEND));
	rig.fake.needs_reset_at_suspend = 0;
	ck_assert_int_eq(vdev_driver_suspend(rig.d), VIRTQ_EAGAIN); /* never */
	access_fini(&rig);
}
END_TEST

/* A device that maps vectors elsewhere than it was told, or can't take one back. */
START_TEST(vectors_that_are_not)
{
	struct access_rig *r = &rig;

	access_init(r, WAY_PCI);
	r->fake.config[0x44] = 7; /* the table in a reserved BAR */
	ck_assert_int_eq(find(&r->fake), 2);
	ck_assert_uint_eq(vdev_pci_driver_vectors(&r->pci), 0);
	access_init(r, WAY_PCI);
	r->fake.config[0x45] = 0xff; /* the table beyond its BAR */
	ck_assert_int_eq(find(&r->fake), 2);
	ck_assert_int_eq(vdev_pci_driver_set_message(&r->pci, 0, 0, 0), VIRTQ_ENOTSUP);
	access_init(r, WAY_PCI);
	r->fake.vectors = 0;
	access_negotiate(r, none);
	ck_assert_int_eq(access_start(r, 0, 16, 1), VIRTQ_ENOSPC);
	access_fini(r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_access");
	TCase *tc = tcase_create("evil_access");

	tcase_add_test(tc, capability_list_loops);
	tcase_add_test(tc, capability_in_the_header);
	tcase_add_test(tc, capability_at_the_end);
	tcase_add_test(tc, all_ones_or_zeros);
	tcase_add_test(tc, structure_outside_of_its_bar);
	tcase_add_test(tc, structure_not_aligned);
	tcase_add_test(tc, virtio_drivers_97c1d3f);
	tcase_add_test(tc, structures_overlap);
	tcase_add_test(tc, notify_multiplier);
	tcase_add_test(tc, queue_notify_off_out_of_range);
	tcase_add_test(tc, queue_notify_off_wraps);
	tcase_add_test(tc, features_without_their_registers);
	tcase_add_test(tc, administration_queues_out_of_range);
	tcase_add_test(tc, vectors_that_are_not);
	tcase_add_test(tc, device_vanishes_and_reads_as_zeros);
	tcase_add_loop_test(tc, reset_never_ends, 0, WAYS);
	tcase_add_loop_test(tc, queue_reset_never_ends, 0, WAYS);
	tcase_add_loop_test(tc, device_vanishes, 0, WAYS);
	tcase_add_loop_test(tc, device_vanishes_on_the_way, 0, WAYS);
	tcase_add_loop_test(tc, queue_reset_is_not_there, 0, WAYS);
	tcase_add_loop_test(tc, generation_never_settles, 0, WAYS);
	tcase_add_loop_test(tc, queue_sizes, 0, WAYS);
	tcase_add_loop_test(tc, queue_shrinks, 0, WAYS);
	tcase_add_loop_test(tc, needs_reset_instead, 0, WAYS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
