/* SPDX-License-Identifier: BSD-3-Clause */
/* Capabilities: where the device says that its structures lie. All of it may be wrong. */
#include "pci.h"

/* One capability, read once. */
struct cap {
	uint32_t at;
	uint32_t len;
	uint32_t type;
	uint32_t bar;
	uint32_t offset;
	uint32_t length;
};

static uint32_t config(const struct vdev_pci_driver *p, uint32_t at, uint32_t width)
{
	return p->access.config_read(p->access.ctx, at, width);
}

static struct cap read_cap(const struct vdev_pci_driver *p, uint32_t at, uint32_t head)
{
	struct cap c = {.at = at, .len = head >> 16 & 0xff, .type = head >> 24};

	/* One whose fields would lie beyond configuration space, or that says it has none. */
	if (c.len < CAP_BYTES || c.at + c.len > PCI_CONFIG_BYTES) {
		c.len = 0;
		return c;
	}
	c.bar = config(p, at + CAP_BAR, 4) & 0xff;
	c.offset = config(p, at + CAP_OFFSET, 4);
	c.length = config(p, at + CAP_LENGTH, 4);
	return c;
}

/* Bytes that can be reached of a BAR. Those reached through the window are the device's to check. */
static uint64_t bar_bytes(const struct vdev_pci_driver *p, uint32_t bar)
{
	if (bar > 5)
		return 0; /* reserved */
	if (p->access.bar_read == NULL)
		return UINT64_C(1) << 32;
	return p->access.bar_bytes(p->access.ctx, bar);
}

/*
 * Take a structure that is the first of its type, aligned, in a BAR and at least as long as it must
 * be; others are passed over. A length beyond the BAR's end, or beyond any use, is clipped.
 */
static int take(const struct vdev_pci_driver *p, struct vdev_pci_place *s, const struct cap *c,
                uint32_t least, uint32_t align)
{
	uint64_t bytes = bar_bytes(p, c->bar), room;

	if (s->bytes != 0 || c->len == 0 || c->offset % align != 0 || c->offset >= bytes)
		return 0;
	room = bytes - c->offset;
	if (room > c->length)
		room = c->length;
	if (room < least)
		return 0;
	s->bar = (uint8_t)c->bar;
	s->offset = c->offset;
	s->bytes = (uint32_t)room;
	return 1;
}

/* The multiplier is a power of two, 2 at least, or 0: each queue has a place of its own, or all share one. */
static int take_notify(struct vdev_pci_driver *p, const struct cap *c)
{
	uint32_t multiplier;

	if (c->len < CAP_EXTRA + 4 || !take(p, &p->notify, c, 2, 2))
		return 0;
	multiplier = config(p, c->at + CAP_EXTRA, 4);
	if (multiplier == 1 || (multiplier & (multiplier - 1)) != 0)
		return VIRTQ_EPROTO;
	p->notify_multiplier = multiplier;
	return 0;
}

static int take_virtio(struct vdev_pci_driver *p, const struct cap *c)
{
	switch (c->type) {
	case TYPE_COMMON:
		(void)take(p, &p->common, c, COMMON_BYTES, 4);
		return 0;
	case TYPE_NOTIFY:
		return take_notify(p, c);
	case TYPE_ISR:
		(void)take(p, &p->isr, c, 1, 1);
		return 0;
	case TYPE_DEVICE:
		(void)take(p, &p->device, c, 1, 4);
		return 0;
	case TYPE_PCI_CFG:
		if (p->window == 0 && c->len >= CAP_EXTRA + 4)
			p->window = (uint8_t)c->at;
		return 0;
	default: /* reserved, or of no concern here */
		return 0;
	}
}

static void take_msix(struct vdev_pci_driver *p, uint32_t at, uint32_t head)
{
	uint32_t table = at + 12 <= PCI_CONFIG_BYTES ? config(p, at + 4, 4) : 7;
	uint32_t vectors = (head >> 16 & MSIX_CONTROL_SIZE) + 1;
	struct cap c = {.len = CAP_BYTES, .bar = table & 7, .offset = table & ~7u};

	if (p->msix != 0 || c.bar > 5)
		return;
	p->msix = (uint8_t)at;
	p->msix_vectors = (uint16_t)vectors;
	/* The table need not be within reach: the kernel keeps it from user-space drivers. */
	c.length = vectors * MSIX_ENTRY_BYTES;
	(void)take(p, &p->msix_table, &c, c.length, 8);
}

int pci_find_structures(struct vdev_pci_driver *p)
{
	uint32_t at;

	if (!(config(p, PCI_STATUS, 2) & PCI_STATUS_CAPS))
		return VIRTQ_ENOTSUP;
	at = config(p, PCI_CAPS, 1) & 0xfc;
	for (int n = 0; at != 0; n++) {
		uint32_t head;
		int rc = 0;

		if (at < PCI_FIRST_CAP || n >= PCI_MAX_CAPS)
			return VIRTQ_EPROTO; /* into the header, or a loop */
		head = config(p, at, 4);
		if ((head & 0xff) == PCI_CAP_MSIX) {
			take_msix(p, at, head);
		} else if ((head & 0xff) == PCI_CAP_VENDOR) {
			const struct cap c = read_cap(p, at, head);

			rc = c.len != 0 ? take_virtio(p, &c) : 0;
		}
		if (rc < 0)
			return rc;
		at = head >> 8 & 0xfc;
	}
	if (p->common.bytes == 0 || p->notify.bytes == 0 || p->isr.bytes == 0 ||
	    (p->access.bar_read == NULL && p->window == 0))
		return VIRTQ_ENOTSUP;
	return 0;
}
