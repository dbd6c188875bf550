/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_INTEROP_QTEST_RIG_H
#define TESTS_INTEROP_QTEST_RIG_H

#include <vdev/mmio_driver.h>

#include "qtest.h"

/* One of QEMU's devices, driven by our driver side; each case is a process of its own. */

enum { MACHINE_PC, MACHINE_Q35, MACHINE_MICROVM };

/* A case, by its parameters. */
struct spec {
	int machine;
	int rng; /* 0: a disk */
	int packed;
	int platform; /* iommu_platform=on */
	int event_idx;
	int indirect;
	int queue_reset;
	int msix;   /* 0: the ISR register */
	int window; /* registers through configuration space */
};

#define DISK_SECTORS 8192u
#define RAM_BYTES    ((size_t)32 << 20)
#define QUEUE_SIZE   16
#define INDIRECT_MAX 8

/* Where things lie in the machine's memory. */
enum {
	AT_MESSAGES = 0x200000, /* MSI-X messages are written here, one word a vector */
	AT_RING = 0x210000,
	AT_INDIRECT = 0x240000,
	AT_SLOTS = 0x400000,
	SLOT_BYTES = 0x10000,
	SLOT_DATA = 0x1000
};

struct rig {
	struct spec spec;
	const char *image;
	struct qtest q;
	struct qtest_pci fn;
	struct vdev_pci_driver pci;
	struct vdev_mmio_driver mmio;
	uint64_t mmio_base;
	struct vdev_driver *d;
	struct virtq_features features;
	struct virtq_drv vq;
	struct vdev_driver_queue queue;
	uint16_t size;
	void *scratch;
	/* counted */
	unsigned long requests, kicks, publishes, interrupts;
};

/* Ends the case as failed. */
void die(const struct rig *r, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));
/* The file and line go with what is wrong. */
#define CHECK(r, cond)                                                                             \
	do {                                                                                           \
		if (!(cond))                                                                               \
			die(r, "%s:%d: %s", __FILE__, __LINE__, #cond);                                        \
	} while (0)

/* A deadline: 0 once it is over. */
struct patience {
	int64_t end;
};
struct patience patience(void);
void wait_on(const struct rig *r, const struct patience *p, const char *what);

/* Start the machine, find the device. */
void rig_begin(struct rig *r, const struct spec *spec, const char *image);
/* From reset to features; to DRIVER_OK with a fresh ring. */
void rig_negotiate(struct rig *r);
void rig_start_queue(struct rig *r, uint16_t size);
void rig_up(struct rig *r);
/* The machine ends, with its disk written out. */
void rig_end(struct rig *r);

uint8_t *rig_at(const struct rig *r, uint64_t addr);
/* Whether the queue interrupted since this was last asked. */
int rig_interrupted(struct rig *r);
int rig_config_interrupted(struct rig *r);
/* Sleep until something was used, as a driver does: arm, look again, wait for the interrupt. */
void rig_sleep(struct rig *r);
/* Publish, notify when wanted, count. */
void rig_kick(struct rig *r);
/* Everything that QEMU's main loop had begun is finished. */
void rig_settle(struct rig *r);

/* The cases. */
void blk_case(struct rig *r);
void rng_case(struct rig *r);

struct mean_case {
	const char *name;
	struct spec spec;
	void (*run)(struct rig *r);
};
extern const struct mean_case mean_cases[];
extern const unsigned mean_count;

/* Disk requests. */
struct disk {
	struct rig *r;
	uint8_t *shadow; /* what the disk holds */
	uint32_t seed;
	unsigned busy; /* slots in use */
	struct {
		int used;
		uint32_t type, sectors;
		uint64_t sector;
	} slot[QUEUE_SIZE];
};

void disk_init(struct disk *k, struct rig *r);
/* Add a request; 0 when there is no room. type 0 read, 1 write, 4 flush, 8 identify. */
int disk_add(struct disk *k, uint32_t type, uint64_t sector, uint32_t sectors);
/* Take what is finished and check it; how many. */
int disk_take(struct disk *k);
/* Requests one after another or as many as fit, until n are done. */
void disk_write_many(struct disk *k, unsigned n);
void disk_verify_all(struct disk *k);
void disk_drain(struct disk *k);
/* After a reset: take back everything; what was written is unknown, so write it again. */
void disk_detach(struct disk *k);
/* Compare the file with what was written. */
void disk_compare(struct disk *k);

#endif
