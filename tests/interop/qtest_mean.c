/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU's virtio-rng, and cases in which something goes wrong; the example. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qtest_rig.h"

/* examples/user-space-rng.c */
int read_entropy(const struct vdev_pci_access *access, uint8_t *dma, uint64_t dma_addr, void *out,
                 uint32_t bytes);

/* --- Entropy ------------------------------------------------------------------------------------ */

#define RNG_SLOTS 16
#define RNG_BYTES 96u

struct entropy {
	struct rig *r;
	int used[RNG_SLOTS];
	unsigned busy;
	unsigned long values[256], bytes;
	uint8_t last[16];
};

static uint64_t rng_addr(unsigned slot)
{
	return AT_SLOTS + (uint64_t)slot * SLOT_BYTES;
}

static int rng_add(struct entropy *e)
{
	struct virtq_seg seg[2];
	unsigned s = 0;
	int rc;

	while (s < RNG_SLOTS && e->used[s])
		s++;
	if (s == RNG_SLOTS)
		return 0;
	memset(rig_at(e->r, rng_addr(s)), 0, RNG_BYTES + 16);
	seg[0] = (struct virtq_seg){rng_addr(s), 32};
	seg[1] = (struct virtq_seg){rng_addr(s) + 32, RNG_BYTES - 32};
	rc = virtq_drv_add(&e->r->vq, seg, 0, 2, rig_at(e->r, rng_addr(s)));
	if (rc == VIRTQ_ENOSPC)
		return 0;
	CHECK(e->r, rc == 0);
	e->used[s] = 1;
	e->busy++;
	return 1;
}

static int rng_take(struct entropy *e)
{
	struct virtq_done done[RNG_SLOTS];
	int n = virtq_drv_take(&e->r->vq, done, RNG_SLOTS);

	CHECK(e->r, n >= 0);
	for (int i = 0; i < n; i++) {
		const uint8_t *p = done[i].cookie;
		unsigned s = (unsigned)((uint64_t)(p - e->r->q.ram - AT_SLOTS) / SLOT_BYTES);
		uint32_t got = done[i].written;

		CHECK(e->r, s < RNG_SLOTS && e->used[s]);
		CHECK(e->r, got >= 1 && got <= RNG_BYTES);
		for (uint32_t b = 0; b < got; b++)
			e->values[p[b]]++;
		e->bytes += got;
		for (uint32_t b = got; b < RNG_BYTES + 16; b++)
			CHECK(e->r, p[b] == 0); /* nothing beyond what it says */
		if (got >= 16) {
			CHECK(e->r, memcmp(p, e->last, 16) != 0);
			memcpy(e->last, p, 16);
		}
		e->used[s] = 0;
		e->busy--;
		e->r->requests++;
	}
	return n;
}

static void rng_run(struct entropy *e, unsigned n)
{
	while (n > 0 || e->busy > 0) {
		while (n > 0 && rng_add(e))
			n--;
		rig_kick(e->r);
		if (rng_take(e) == 0)
			rig_sleep(e->r);
	}
}

static void rng_detach(struct entropy *e)
{
	void *cookie;

	while (virtq_drv_detach(&e->r->vq, &cookie) == 1)
		e->busy--;
	CHECK(e->r, e->busy == 0);
	memset(e->used, 0, sizeof(e->used));
}

void rng_case(struct rig *r)
{
	struct entropy e = {.r = r};
	unsigned missing = 0;
	uint8_t bytes[16];
	int rc;

	rig_up(r);
	rng_run(&e, 200);
	CHECK(r, qtest_read_bytes(&r->q, rng_addr(0), bytes, 16) == 0);
	CHECK(r, memcmp(bytes, rig_at(r, rng_addr(0)), 16) == 0); /* what QEMU sees we see */
	/* Reset with buffers out. */
	while (rng_add(&e))
		;
	rig_kick(r);
	rc = vdev_driver_queue_reset(&r->queue);
	if (!r->spec.queue_reset) {
		CHECK(r, rc == VIRTQ_ENOTSUP);
		rng_run(&e, 0);
	} else if (rc == VIRTQ_EPROTO && r->spec.machine == MACHINE_MICROVM) {
		CHECK(r, vdev_driver_reset(r->d) == 0);
		rng_detach(&e);
		rig_up(r);
	} else {
		CHECK(r, rc == 0);
		rng_detach(&e);
		rig_start_queue(r, 4);
	}
	rng_run(&e, 100);
	while (rng_add(&e))
		;
	rig_kick(r);
	CHECK(r, vdev_driver_reset(r->d) == 0);
	rng_detach(&e);
	rig_up(r);
	rng_run(&e, 100);
	for (unsigned v = 0; v < 256; v++)
		missing += e.values[v] == 0;
	printf("%lu requests, %lu bytes, %lu notifications, %lu interrupts\n", r->requests, e.bytes,
	       r->kicks, r->interrupts);
	CHECK(r, e.bytes >= 400 && missing < 64);
	rig_end(r);
}

/* The example of docs/user-space-driver.md. */
static void example(struct rig *r)
{
	struct vdev_pci_access a = qtest_pci_access(&r->fn, 1);
	uint8_t one[64] = {0}, two[64] = {0};
	int n;

	for (int i = 0; i < 2; i++) {
		n = read_entropy(&a, rig_at(r, AT_RING), AT_RING, i == 0 ? one : two, 64);
		CHECK(r, n >= 16 && n <= 64);
	}
	CHECK(r, memcmp(one, two, 16) != 0);
	rig_end(r);
}

/* --- Mean cases --------------------------------------------------------------------------------- */

static void fill(struct disk *k, uint32_t type)
{
	for (unsigned i = 0; disk_add(k, type, 64u * i, 16); i++)
		;
	rig_kick(k->r);
}

/* A request without a header: the device is to ask for a reset, and to work after it. */
static void broken_request(struct rig *r)
{
	struct virtq_seg seg = {AT_SLOTS, 1};
	struct patience p = patience();
	struct disk k;
	void *cookie;

	disk_init(&k, r);
	rig_up(r);
	disk_write_many(&k, 20);
	while (virtq_drv_arm(&r->vq) == 1)
		(void)disk_take(&k);
	(void)rig_config_interrupted(r);
	CHECK(r, virtq_drv_add(&r->vq, &seg, 0, 1, r) == 0);
	rig_kick(r);
	while (!(vdev_driver_status(r->d) & VIRTQ_STATUS_NEEDS_RESET))
		wait_on(r, &p, "NEEDS_RESET");
	while (!rig_config_interrupted(r))
		wait_on(r, &p, "the configuration interrupt");
	CHECK(r, vdev_driver_reset(r->d) == 0);
	CHECK(r, virtq_drv_detach(&r->vq, &cookie) == 1 && cookie == r);
	CHECK(r, virtq_drv_detach(&r->vq, &cookie) == 0);
	rig_up(r);
	disk_verify_all(&k);
	rig_end(r);
	disk_compare(&k);
}

static void resets_under_load(struct rig *r)
{
	struct disk k;

	disk_init(&k, r);
	rig_up(r);
	disk_write_many(&k, 40);
	for (int i = 0; i < 15; i++) {
		fill(&k, 0);
		if (i % 3 == 0)
			(void)disk_take(&k);
		CHECK(r, vdev_driver_reset(r->d) == 0);
		disk_detach(&k);
		memset(k.slot, 0, sizeof(k.slot));
		vdev_driver_notify(&r->queue); /* of a former life: nothing */
		rig_up(r);
	}
	disk_verify_all(&k);
	rig_end(r);
	disk_compare(&k);
}

/* The device is pulled while it works. */
static void removal_under_load(struct rig *r)
{
	struct patience p = patience();
	struct disk k;

	disk_init(&k, r);
	rig_up(r);
	disk_write_many(&k, 40);
	fill(&k, 0);
	CHECK(r, qtest_qmp(&r->q, "{'execute':'device_del','arguments':{'id':'dev'}}") == 0);
	qtest_write(&r->q, 1, 0xae08, 4, 1u << r->fn.slot); /* ACPI's eject */
	CHECK(r, qtest_qmp_event(&r->q, "DEVICE_DELETED") == 0);
	CHECK(r, vdev_driver_begin(r->d) == VIRTQ_EIO);
	CHECK(r, vdev_driver_phase(r->d) != VDEV_DRIVER_RUNNING);
	vdev_driver_notify(&r->queue);
	/* What was under way ended or did not; nothing of it is half done. */
	while (k.busy > 0 && disk_take(&k) > 0)
		wait_on(r, &p, "the end");
	disk_detach(&k);
	qtest_stop(&r->q, 1);
	disk_compare(&k);
}

/* The other side vanishes without a word. */
static void killed_under_load(struct rig *r)
{
	struct disk k;

	disk_init(&k, r);
	rig_up(r);
	disk_write_many(&k, 40);
	fill(&k, 0);
	qtest_kill(&r->q);
	CHECK(r, vdev_driver_status(r->d) == VIRTQ_EIO);
	(void)disk_take(&k);
	CHECK(r, vdev_driver_begin(r->d) == VIRTQ_EIO);
	CHECK(r, vdev_driver_reset(r->d) == VIRTQ_EIO);
	CHECK(r, r->q.lost != NULL);
	disk_detach(&k);
	disk_compare(&k);
	qtest_stop(&r->q, 0);
}

/* A vector that the device does not have, and one taken back: requests go on, polled. */
static void vectors(struct rig *r)
{
	struct patience p = patience();
	struct disk k;

	disk_init(&k, r);
	rig_negotiate(r);
	CHECK(r, vdev_pci_driver_set_config_vector(&r->pci, 2) == VIRTQ_EINVAL);
	CHECK(r, vdev_pci_driver_set_config_vector(&r->pci, VDEV_DRIVER_NO_VECTOR) == 0);
	r->spec.msix = 0; /* no vector for the queue */
	rig_start_queue(r, QUEUE_SIZE);
	r->spec.msix = 1;
	CHECK(r, vdev_driver_queue_start(&r->queue, r->d, 0, &r->vq, 1) == VIRTQ_EBUSY);
	rig_negotiate(r);
	CHECK(r, vdev_pci_driver_set_config_vector(&r->pci, VDEV_DRIVER_NO_VECTOR) == 0);
	r->spec.msix = 0;
	rig_start_queue(r, QUEUE_SIZE);
	r->spec.msix = 1;
	CHECK(r, vdev_driver_ready(r->d) == 0);
	CHECK(r, disk_add(&k, 0, 0, 8));
	rig_kick(r);
	while (disk_take(&k) == 0)
		wait_on(r, &p, "a request");
	rig_settle(r);
	CHECK(r, !rig_interrupted(r));
	rig_end(r);
	disk_compare(&k);
}

const struct mean_case mean_cases[] = {
	{"the example", {.machine = MACHINE_PC, .rng = 1}, example},
	{"broken request, split, ISR", {.machine = MACHINE_PC, .indirect = 1}, broken_request},
	{"broken request, packed, MSI-X",
     {.machine = MACHINE_Q35, .packed = 1, .msix = 1, .event_idx = 1},
     broken_request},
	{"broken request, packed, microvm", {.machine = MACHINE_MICROVM, .packed = 1}, broken_request},
	{"resets under load, split", {.machine = MACHINE_PC, .msix = 1}, resets_under_load},
	{"resets under load, packed, microvm",
     {.machine = MACHINE_MICROVM, .packed = 1, .event_idx = 1},
     resets_under_load},
	{"removal under load, split",
     {.machine = MACHINE_PC, .msix = 1, .event_idx = 1},
     removal_under_load},
	{"removal under load, packed", {.machine = MACHINE_PC, .packed = 1}, removal_under_load},
	{"QEMU killed under load", {.machine = MACHINE_Q35, .indirect = 1}, killed_under_load},
	{"QEMU killed under load, microvm", {.machine = MACHINE_MICROVM}, killed_under_load},
	{"vectors", {.machine = MACHINE_PC, .msix = 1}, vectors},
};
const unsigned mean_count = sizeof(mean_cases) / sizeof(mean_cases[0]);
