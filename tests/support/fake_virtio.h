/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_FAKE_VIRTIO_H
#define TESTS_SUPPORT_FAKE_VIRTIO_H

#include <pthread.h>

#include <vdev/mmio_driver.h>
#include <vdev/pci_driver.h>

/*
 * The registers of a virtio device over PCI and over MMIO, with no device behind them. A test sets
 * what the device says and how it misbehaves, and reads what the driver did. Accesses that no driver
 * may make (outside of a BAR, not aligned, wrong direction, against a rule of the standard) are
 * counted in violations, and the first is told in why.
 */

#define FAKE_QUEUES 8
#define FAKE_LOG    4096

/* What a log entry is about. */
enum fake_space {
	FAKE_CONFIG,
	FAKE_COMMON,
	FAKE_NOTIFY,
	FAKE_ISR,
	FAKE_DEVICE,
	FAKE_MSIX,
	FAKE_MMIO
};

struct fake_access {
	enum fake_space space;
	int write;
	uint32_t at, width, value;
};

struct fake_place {
	unsigned bar;
	uint64_t at;
	uint32_t bytes;
};

struct fake_queue {
	uint16_t max, size, vector, enable, notify_off, notif_data, reset;
	uint64_t desc, driver, device;
};

struct fake {
	/* PCI: configuration space, and where the structures really are. */
	uint8_t config[256];
	uint64_t bar_bytes[6];
	struct fake_place common, notify, isr, device, msix;
	uint32_t next_cap; /* where fake_add_cap() puts the next one */
	uint32_t last_cap;
	/* Both. */
	uint32_t offered[4], accepted[4];
	uint32_t offered_sel, accepted_sel;
	int offered_selected, accepted_selected;
	uint8_t status;
	uint8_t interrupts;
	uint8_t space[64]; /* device configuration */
	uint32_t generation;
	struct fake_queue queues[FAKE_QUEUES];
	uint32_t selected;
	uint16_t nqueues, admin_index, admin_num;
	uint16_t config_vector;
	uint32_t magic, version, device_id; /* MMIO */
	/* Misbehaviour. -1: for ever. */
	int reset_delay, reset_left;             /* reads of the status until it is 0 */
	int disable_early;                       /* a queue that is being reset shows as not enabled */
	int queue_reset_delay, queue_reset_left; /* reads until queue_reset is 0 */
	int generation_moves;                    /* reads of the configuration that change it */
	int suspend_delay, suspend_left;
	int resume_delay, resume_left; /* reads of the status until it goes on */
	int refuse_features, needs_reset_at_ok, needs_reset_at_suspend;
	int ignore_queue_reset; /* the register reads 0, and nothing happens */
	int old_selectors;      /* of features: everything above 0 is 1 */
	int stays_ready;        /* MMIO: QueueReady can't be cleared */
	unsigned vectors;       /* that the device can map */
	int gone;               /* 1: all ones; 2: BARs and MMIO read as zeros, as on some machines */
	/* What was done. */
	struct fake_access log[FAKE_LOG];
	unsigned nlog, waits, violations;
	char why[128];
	int mmio;
	/* The window's, where it is given: whoever uses the window without it breaks a rule. */
	pthread_mutex_t lock;
	int has_lock, locked;
};

/* A well-made block device with 2 queues of 256, and all features of libvirtq offered. */
void fake_init(struct fake *f);
/* Its capabilities as usual; else the test adds its own to the empty list. */
void fake_usual_caps(struct fake *f);
/* Append a capability of this many bytes; returns its place. */
uint32_t fake_add_cap(struct fake *f, uint8_t id, uint8_t bytes);
/* Append a virtio structure capability; extra is the notify multiplier, with 20 bytes. */
uint32_t fake_add_virtio_cap(struct fake *f, uint8_t type, uint8_t bar, uint32_t offset,
                             uint32_t length, uint32_t extra);

struct vdev_pci_access fake_pci(struct fake *f);
/* Without BARs: the window, and with its lock. */
struct vdev_pci_access fake_pci_window(struct fake *f);
struct vdev_pci_access fake_pci_window_locked(struct fake *f);
struct vdev_mmio_access fake_mmio(struct fake *f);

/* Place in the log of the n-th (from 0) access like this, or -1. value: UINT32_MAX for any. */
int fake_find(const struct fake *f, int write, enum fake_space space, uint32_t at, uint32_t value,
              unsigned n);
unsigned fake_count(const struct fake *f, int write, enum fake_space space, uint32_t at);

#endif
