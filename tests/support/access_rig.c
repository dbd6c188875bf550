/* SPDX-License-Identifier: BSD-3-Clause */
#include "access_rig.h"

#include <stdlib.h>
#include <string.h>

void access_init(struct access_rig *r, enum access_way way)
{
	memset(r, 0, sizeof(*r));
	fake_init(&r->fake);
	fake_usual_caps(&r->fake);
	if (way == WAY_MMIO) {
		struct vdev_mmio_access a = fake_mmio(&r->fake);

		ck_assert_int_eq(vdev_mmio_driver_init(&r->mmio, &a), 2);
		r->d = vdev_mmio_driver_device(&r->mmio);
	} else {
		struct vdev_pci_access a = way == WAY_PCI ? fake_pci(&r->fake) : fake_pci_window(&r->fake);

		ck_assert_int_eq(vdev_pci_driver_init(&r->pci, &a), 2);
		r->d = vdev_pci_driver_device(&r->pci);
	}
	ck_assert_uint_eq(vdev_driver_device_id(r->d), 2);
}

void access_negotiate(struct access_rig *r, struct virtq_features wanted)
{
	ck_assert_int_eq(vdev_driver_begin(r->d), 0);
	ck_assert_int_eq(vdev_driver_negotiate(r->d, &wanted, NULL), 0);
}

int access_start(struct access_rig *r, unsigned i, uint16_t size, uint16_t vector)
{
	struct virtq_drv_config c = {.size = sizeof(c), .queue_size = size};

	vdev_driver_features(r->d, &c.features);
	free(r->ring[i]);
	free(r->scratch[i]);
	c.ring = r->ring[i] =
		aligned_alloc(64, (virtq_drv_ring_bytes(size, &c.features) + 63) / 64 * 64);
	c.ring_addr = UINT64_C(0x123450000) + 0x10000 * i;
	c.scratch_bytes = virtq_drv_bytes(size, &c.features);
	c.scratch = r->scratch[i] = malloc(c.scratch_bytes);
	ck_assert_int_eq(virtq_drv_init(&r->vq[i], &c), 0);
	return vdev_driver_queue_start(&r->q[i], r->d, (uint16_t)i, &r->vq[i], vector);
}

void access_run(struct access_rig *r, struct virtq_features wanted)
{
	access_negotiate(r, wanted);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(access_start(r, i, 16, VDEV_DRIVER_NO_VECTOR), 0);
	ck_assert_int_eq(vdev_driver_ready(r->d), 0);
}

void access_fini(struct access_rig *r)
{
	ck_assert_msg(r->fake.violations == 0, "%u violations, first: %s", r->fake.violations,
	              r->fake.why);
	for (unsigned i = 0; i < 2; i++) {
		free(r->ring[i]);
		free(r->scratch[i]);
	}
}

int access_status_written(const struct access_rig *r, uint8_t value, unsigned n)
{
	return r->fake.mmio ? fake_find(&r->fake, 1, FAKE_MMIO, 0x70, value, n)
	                    : fake_find(&r->fake, 1, FAKE_COMMON, 0x14, value, n);
}

struct fake_access access_last_notify(const struct access_rig *r)
{
	const struct fake *f = &r->fake;
	struct fake_access a = {0};

	for (unsigned i = 0; i < f->nlog; i++)
		if (f->log[i].write &&
		    (f->log[i].space == FAKE_NOTIFY || (f->mmio && f->log[i].at == 0x50)))
			a = f->log[i];
	return a;
}

unsigned access_avail_index(const struct access_rig *r, unsigned i)
{
	const uint8_t *avail = (const uint8_t *)r->ring[i] + 16 * 16;

	return avail[2] | (unsigned)avail[3] << 8;
}
