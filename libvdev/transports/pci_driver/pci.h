/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of virtio over PCI (section 4.1), and what the two files share. */
#ifndef VDEV_PCI_DRIVER_PCI_H
#define VDEV_PCI_DRIVER_PCI_H

#include <vdev/pci_driver.h>

/* PCI configuration space. */
enum {
	PCI_IDS = 0x00,
	PCI_COMMAND = 0x04,
	PCI_COMMAND_IO = 1,
	PCI_COMMAND_MEMORY = 2,
	PCI_COMMAND_MASTER = 4,
	PCI_STATUS = 0x06,
	PCI_STATUS_CAPS = 0x10,
	PCI_CAPS = 0x34,
	PCI_FIRST_CAP = 0x40, /* below lies the header */
	PCI_CONFIG_BYTES = 0x100,
	PCI_MAX_CAPS = 48, /* of 4 bytes and more, from 0x40 to 0xff */
	PCI_CAP_VENDOR = 0x09,
	PCI_CAP_MSIX = 0x11,
	MSIX_CONTROL = 2,
	MSIX_CONTROL_SIZE = 0x7ff,
	MSIX_CONTROL_MASK_ALL = 0x4000,
	MSIX_CONTROL_ENABLE = 0x8000,
	MSIX_ENTRY_BYTES = 16
};

/* A virtio structure capability, offsets within it (section 4.1.4). */
enum {
	CAP_LEN = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_BYTES = 16,
	CAP_EXTRA = 16, /* notify_off_multiplier; pci_cfg_data */
	TYPE_COMMON = 1,
	TYPE_NOTIFY = 2,
	TYPE_ISR = 3,
	TYPE_DEVICE = 4,
	TYPE_PCI_CFG = 5
};

/* The common configuration structure (section 4.1.4.3). */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_MSIX_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_DEVICE_STATUS = 0x14,
	COMMON_CONFIG_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_MSIX_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_BYTES = 0x38, /* what every device has */
	COMMON_QUEUE_NOTIF_CONFIG_DATA = 0x38,
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_ADMIN_QUEUE_INDEX = 0x3c,
	COMMON_ADMIN_QUEUE_NUM = 0x3e
};

/* Read and write a register of a structure; it has at least at + width bytes. */
uint32_t pci_get(struct vdev_pci_driver *p, const struct vdev_pci_place *s, uint32_t at,
                 uint32_t width);
void pci_put(struct vdev_pci_driver *p, const struct vdev_pci_place *s, uint32_t at, uint32_t width,
             uint32_t value);

/* Find the structures. 0, VIRTQ_ENOTSUP or VIRTQ_EPROTO. */
int pci_find_structures(struct vdev_pci_driver *p);

#endif
