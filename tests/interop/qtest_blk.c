/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU's virtio-blk. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qtest_rig.h"

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, ID_BYTES = 20, SECTOR = 512 };

#define MAX_SECTORS 64u

void disk_init(struct disk *k, struct rig *r)
{
	memset(k, 0, sizeof(*k));
	k->r = r;
	k->shadow = calloc(DISK_SECTORS, SECTOR);
	CHECK(r, k->shadow != NULL);
}

static uint32_t random_number(struct disk *k, uint32_t below)
{
	k->seed = k->seed * 1664525 + 1013904223;
	return (k->seed >> 8) % below;
}

static uint64_t slot_addr(unsigned slot)
{
	return AT_SLOTS + (uint64_t)slot * SLOT_BYTES;
}

/* Pieces of the data: 1 to 3, at odd borders. */
static uint32_t pieces(struct disk *k, struct virtq_seg *seg, uint64_t addr, uint32_t bytes)
{
	uint32_t n = 0;

	while (bytes > 0) {
		uint32_t part = n == 2 || bytes < 8 ? bytes : 1 + random_number(k, bytes);

		seg[n++] = (struct virtq_seg){addr, part};
		addr += part;
		bytes -= part;
	}
	return n;
}

int disk_add(struct disk *k, uint32_t type, uint64_t sector, uint32_t sectors)
{
	uint32_t bytes = type == T_GET_ID ? ID_BYTES : type == T_FLUSH ? 0 : sectors * SECTOR, n, nread;
	struct virtq_seg seg[8];
	unsigned s = 0;
	uint64_t at;
	uint8_t *p;
	int rc;

	while (s < QUEUE_SIZE && k->slot[s].used)
		s++;
	if (s == QUEUE_SIZE)
		return 0;
	at = slot_addr(s);
	p = rig_at(k->r, at);
	memcpy(p, &type, 4);
	memset(p + 4, 0, 4);
	memcpy(p + 8, &sector, 8);
	p[16] = 0xee; /* the status */
	if (type == T_OUT)
		for (uint32_t i = 0; i < bytes; i++)
			p[SLOT_DATA + i] = (uint8_t)((sector + i / SECTOR) * 7 + i + k->seed);
	else
		memset(p + SLOT_DATA, 0xee, bytes);
	seg[0] = (struct virtq_seg){at, 16};
	n = 1 + pieces(k, seg + 1, at + SLOT_DATA, bytes);
	nread = type == T_OUT ? n : 1;
	seg[n++] = (struct virtq_seg){at + 16, 1};
	rc = virtq_drv_add(&k->r->vq, seg, nread, n - nread, p);
	if (rc == VIRTQ_ENOSPC)
		return 0;
	CHECK(k->r, rc == 0);
	k->slot[s].used = 1;
	k->slot[s].type = type;
	k->slot[s].sector = sector;
	k->slot[s].sectors = sectors;
	k->busy++;
	return 1;
}

/* A finished request, against what was asked. */
static void check_done(struct disk *k, unsigned s, uint32_t written)
{
	const struct rig *r = k->r;
	const uint8_t *p = rig_at(r, slot_addr(s)), *data = p + SLOT_DATA;
	uint32_t bytes = k->slot[s].sectors * SECTOR;
	uint64_t at = k->slot[s].sector * SECTOR;

	if (at + bytes > (uint64_t)DISK_SECTORS * SECTOR || k->slot[s].type > T_GET_ID) {
		CHECK(r, p[16] == (k->slot[s].type > T_GET_ID ? 2 : 1)); /* UNSUPP, IOERR */
		return;
	}
	if (p[16] != 0)
		die(r, "type %u, sector %llu: status %u", k->slot[s].type,
		    (unsigned long long)k->slot[s].sector, p[16]);
	switch (k->slot[s].type) {
	case T_OUT:
		CHECK(r, written == 1);
		memcpy(k->shadow + at, data, bytes);
		break;
	case T_IN:
		CHECK(r, written == bytes + 1);
		if (memcmp(k->shadow + at, data, bytes) != 0)
			die(r, "sector %llu reads otherwise than it was written",
			    (unsigned long long)k->slot[s].sector);
		break;
	case T_GET_ID:
		CHECK(r, memcmp(data, "vdevkit", 8) == 0);
		break;
	default:
		CHECK(r, written == 1);
	}
}

int disk_take(struct disk *k)
{
	struct virtq_done done[QUEUE_SIZE];
	int n = virtq_drv_take(&k->r->vq, done, QUEUE_SIZE);

	CHECK(k->r, n >= 0);
	for (int i = 0; i < n; i++) {
		uint64_t at = (uint64_t)((uint8_t *)done[i].cookie - k->r->q.ram) - AT_SLOTS;
		unsigned s = (unsigned)(at / SLOT_BYTES);

		CHECK(k->r, at % SLOT_BYTES == 0 && s < QUEUE_SIZE && k->slot[s].used);
		check_done(k, s, done[i].written);
		k->slot[s].used = 0;
		k->busy--;
		k->r->requests++;
	}
	return n;
}

void disk_drain(struct disk *k)
{
	rig_kick(k->r);
	while (k->busy > 0)
		if (disk_take(k) == 0)
			rig_sleep(k->r);
}

/* Keep the ring full with n requests of this type over the whole disk; no two of them overlap. */
static void stream(struct disk *k, uint32_t type, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		uint64_t sector = (uint64_t)i % (DISK_SECTORS / MAX_SECTORS) * MAX_SECTORS;
		uint32_t sectors = 1 + random_number(k, MAX_SECTORS / 2);

		if (disk_add(k, type, sector, sectors)) {
			i++;
			if (random_number(k, 4) == 0)
				rig_kick(k->r);
			continue;
		}
		rig_kick(k->r);
		if (disk_take(k) == 0)
			rig_sleep(k->r);
	}
	disk_drain(k);
}

void disk_write_many(struct disk *k, unsigned n)
{
	stream(k, T_OUT, n);
}

void disk_verify_all(struct disk *k)
{
	stream(k, T_IN, DISK_SECTORS / MAX_SECTORS);
}

void disk_detach(struct disk *k)
{
	void *cookie;
	uint64_t at;

	while (virtq_drv_detach(&k->r->vq, &cookie) == 1) {
		at = (uint64_t)((uint8_t *)cookie - k->r->q.ram) - AT_SLOTS;
		CHECK(k->r, at % SLOT_BYTES == 0 && k->slot[at / SLOT_BYTES].used);
		k->slot[at / SLOT_BYTES].used = 2; /* to be done again */
	}
	for (unsigned s = 0; s < QUEUE_SIZE; s++) {
		CHECK(k->r, k->slot[s].used != 1);
		k->busy -= k->slot[s].used == 2;
	}
	CHECK(k->r, k->busy == 0);
}

/* What was in the ring at a reset may have been written or not; now it is. */
static void write_again(struct disk *k)
{
	for (unsigned s = 0; s < QUEUE_SIZE; s++) {
		uint64_t sector = k->slot[s].sector;
		uint32_t sectors = k->slot[s].sectors;

		if (k->slot[s].used != 2)
			continue;
		k->slot[s].used = 0;
		if (k->slot[s].type != T_OUT)
			continue;
		CHECK(k->r, disk_add(k, T_OUT, sector, sectors));
		disk_drain(k);
	}
}

void disk_compare(struct disk *k)
{
	size_t bytes = (size_t)DISK_SECTORS * SECTOR, n = 0;
	uint8_t *file = malloc(bytes);
	int fd = open(k->r->image, O_RDONLY | O_CLOEXEC);

	CHECK(k->r, fd >= 0 && file != NULL);
	while (n < bytes) {
		ssize_t got = read(fd, file + n, bytes - n);

		CHECK(k->r, got > 0);
		n += (size_t)got;
	}
	CHECK(k->r, memcmp(file, k->shadow, bytes) == 0);
	close(fd);
	free(file);
	free(k->shadow);
}

/* --- Steps of the case -------------------------------------------------------------------------- */

static void check_config(struct rig *r)
{
	struct vdev_driver_field f[3] = {{0, 8, 0}, {12, 4, 0}, {20, 4, 0}};
	struct vdev_driver_field beyond = {0x10000, 4, 0};

	CHECK(r, vdev_driver_config_read(r->d, f, 3) == 0);
	CHECK(r, f[0].value == DISK_SECTORS);
	CHECK(r, f[1].value >= 3); /* seg_max */
	CHECK(r, f[2].value == SECTOR);
	CHECK(r, vdev_driver_config_read(r->d, &beyond, 1) == VIRTQ_ENOTSUP);
}

static void one(struct disk *k, uint32_t type, uint64_t sector, uint32_t sectors)
{
	CHECK(k->r, disk_add(k, type, sector, sectors));
	disk_drain(k);
}

static void one_polled(struct disk *k)
{
	struct patience p = patience();

	CHECK(k->r, disk_add(k, T_IN, 0, 1));
	rig_kick(k->r);
	while (disk_take(k) == 0)
		wait_on(k->r, &p, "a request");
	rig_settle(k->r);
}

/* Notification suppression, both ways, by counting. */
static void check_suppression(struct disk *k)
{
	struct rig *r = k->r;
	unsigned long before;
	unsigned seen = 0;

	for (int i = 0; i < 20; i++) { /* asked for, each comes */
		struct patience p = patience();

		while (virtq_drv_arm(&r->vq) == 1)
			(void)disk_take(k);
		rig_settle(r);
		(void)rig_interrupted(r);
		one_polled(k);
		while (!rig_interrupted(r))
			wait_on(r, &p, "an interrupt that was asked for");
	}
	virtq_drv_disarm(&r->vq);
	one_polled(k); /* the hint may come too late for one */
	(void)rig_interrupted(r);
	for (int i = 0; i < 20; i++) { /* not asked for, none comes */
		one_polled(k);
		seen += (unsigned)rig_interrupted(r);
	}
	CHECK(r, seen == 0);
	/* A burst is one notification. */
	before = r->kicks;
	for (int i = 0; i < 3; i++)
		CHECK(r, disk_add(k, T_IN, 64u * (unsigned)i, 1));
	rig_kick(r);
	CHECK(r, r->kicks == before + 1);
	rig_kick(r); /* nothing new, no notification */
	CHECK(r, r->kicks == before + 1);
	disk_drain(k);
}

/* Reset the one queue with requests in it that QEMU was not told of, and go on with another size. */
static void check_queue_reset(struct disk *k)
{
	struct rig *r = k->r;
	int rc;

	for (int i = 0; i < 3; i++)
		CHECK(r, disk_add(k, T_OUT, 64u * (unsigned)i, 1));
	virtq_drv_publish(&r->vq);
	rc = vdev_driver_queue_reset(&r->queue);
	if (!r->spec.queue_reset) {
		CHECK(r, rc == VIRTQ_ENOTSUP);
		disk_drain(k);
		return;
	}
	if (rc == VIRTQ_EPROTO && r->spec.machine == MACHINE_MICROVM) {
		/* QEMU 7.2 offers it over MMIO and has no such register: a whole reset is what is left. */
		printf("offered over MMIO, but the register is not there\n");
		CHECK(r, vdev_driver_reset(r->d) == 0);
		disk_detach(k);
		rig_up(r);
	} else {
		CHECK(r, rc == 0);
		disk_detach(k);
		rig_start_queue(r, QUEUE_SIZE / 2);
	}
	write_again(k);
	disk_write_many(k, 5 * QUEUE_SIZE);
	disk_verify_all(k);
}

/* Reset the device while it writes. */
static void check_reset_under_load(struct disk *k)
{
	struct rig *r = k->r;

	for (unsigned i = 0; disk_add(k, T_OUT, i * MAX_SECTORS, MAX_SECTORS / 2); i++)
		;
	rig_kick(r);
	CHECK(r, vdev_driver_reset(r->d) == 0);
	disk_detach(k);
	rig_up(r);
	write_again(k);
}

void blk_case(struct rig *r)
{
	struct disk k;

	disk_init(&k, r);
	rig_negotiate(r);
	check_config(r);
	rig_start_queue(r, QUEUE_SIZE);
	CHECK(r, vdev_driver_ready(r->d) == 0);
	one(&k, T_GET_ID, 0, 0);
	/* Many times round the ring. */
	disk_write_many(&k, 2 * DISK_SECTORS / MAX_SECTORS);
	one(&k, T_FLUSH, 0, 0);
	disk_verify_all(&k);
	one(&k, T_IN, DISK_SECTORS, 1); /* beyond the end */
	one(&k, T_OUT, DISK_SECTORS - 1, 2);
	one(&k, 77, 0, 1); /* no such request */
	check_suppression(&k);
	check_queue_reset(&k);
	check_reset_under_load(&k);
	disk_verify_all(&k);
	one(&k, T_FLUSH, 0, 0);
	printf("%lu requests, %lu publishes, %lu notifications, %lu interrupts\n", r->requests,
	       r->publishes, r->kicks, r->interrupts);
	CHECK(r, r->kicks <= r->publishes && r->kicks > 0 && r->interrupts > 0);
	rig_end(r);
	disk_compare(&k);
}
