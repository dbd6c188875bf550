/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_virtio.h"

#include <stdio.h>
#include <string.h>

static void violation(struct fake *f, const char *what, uint32_t at)
{
	if (f->violations++ == 0)
		snprintf(f->why, sizeof(f->why), "%s at 0x%x", what, (unsigned)at);
}

static void note(struct fake *f, int write, enum fake_space space, uint32_t at, uint32_t width,
                 uint32_t value)
{
	if (f->nlog < FAKE_LOG)
		f->log[f->nlog++] = (struct fake_access){space, write, at, width, value};
	if (at % width != 0 || (width != 1 && width != 2 && width != 4))
		violation(f, "not aligned", at);
}

int fake_find(const struct fake *f, int write, enum fake_space space, uint32_t at, uint32_t value,
              unsigned n)
{
	for (unsigned i = 0; i < f->nlog; i++) {
		const struct fake_access *a = &f->log[i];

		if (a->write == write && a->space == space && a->at == at &&
		    (value == UINT32_MAX || a->value == value) && n-- == 0)
			return (int)i;
	}
	return -1;
}

unsigned fake_count(const struct fake *f, int write, enum fake_space space, uint32_t at)
{
	unsigned n = 0;

	while (fake_find(f, write, space, at, UINT32_MAX, n) >= 0)
		n++;
	return n;
}

static uint32_t load(const void *p, uint32_t width)
{
	uint32_t v = 0;

	for (uint32_t i = 0; i < width; i++)
		v |= (uint32_t)((const uint8_t *)p)[i] << 8 * i;
	return v;
}

static void store(void *p, uint32_t width, uint32_t value)
{
	for (uint32_t i = 0; i < width; i++)
		((uint8_t *)p)[i] = (uint8_t)(value >> 8 * i);
}

/* --- The device, whatever the transport --------------------------------------------------------- */

static int count_down(int *left)
{
	if (*left > 0)
		return (*left)--;
	return *left;
}

static uint32_t status_read(struct fake *f)
{
	if (f->reset_left != 0) {
		if (count_down(&f->reset_left) == 1)
			f->status = 0;
		return f->status | 1;
	}
	if (f->suspend_left > 0 && --f->suspend_left == 0) {
		if (f->status & VIRTQ_STATUS_DRIVER_OK && f->status & VIRTQ_STATUS_SUSPEND)
			f->status &= (uint8_t)~VIRTQ_STATUS_DRIVER_OK;
	}
	return f->status;
}

static void clear(struct fake *f)
{
	memset(f->accepted, 0, sizeof(f->accepted));
	f->offered_selected = f->accepted_selected = 0;
	f->config_vector = VDEV_DRIVER_NO_VECTOR;
	for (unsigned i = 0; i < FAKE_QUEUES; i++) {
		struct fake_queue *q = &f->queues[i];

		*q = (struct fake_queue){.max = q->max,
		                         .size = q->max,
		                         .vector = VDEV_DRIVER_NO_VECTOR,
		                         .notify_off = q->notify_off,
		                         .notif_data = q->notif_data};
	}
	f->status = 0;
}

static void status_write(struct fake *f, uint32_t value)
{
	uint8_t old = f->status;

	value &= 0xff;
	if (value == 0) {
		clear(f);
		f->reset_left = f->reset_delay;
		if (f->reset_left != 0)
			f->status = old;
		return;
	}
	if (f->reset_left != 0)
		violation(f, "status written while the device resets", 0);
	if ((old & ~(uint32_t)VIRTQ_STATUS_NEEDS_RESET & ~value) != 0)
		violation(f, "status bit cleared", value);
	f->status = (uint8_t)(value | (old & VIRTQ_STATUS_NEEDS_RESET));
	if (value & VIRTQ_STATUS_FEATURES_OK && f->refuse_features)
		f->status &= (uint8_t)~VIRTQ_STATUS_FEATURES_OK;
	if (value & VIRTQ_STATUS_DRIVER_OK && f->needs_reset_at_ok)
		f->status |= VIRTQ_STATUS_NEEDS_RESET;
	if (value & VIRTQ_STATUS_SUSPEND && !(old & VIRTQ_STATUS_SUSPEND)) {
		if (f->needs_reset_at_suspend)
			f->status |= VIRTQ_STATUS_NEEDS_RESET;
		f->suspend_left = f->suspend_delay + 1;
	} else if (value & VIRTQ_STATUS_DRIVER_OK && old & VIRTQ_STATUS_SUSPEND) {
		f->status &= (uint8_t)~VIRTQ_STATUS_SUSPEND;
	}
}

static void accept_bits(struct fake *f, uint32_t bits)
{
	if (!f->accepted_selected)
		violation(f, "features written before they were selected", 0);
	if (f->status & VIRTQ_STATUS_FEATURES_OK)
		violation(f, "features written after FEATURES_OK", 0);
	if (f->old_selectors)
		f->accepted[f->accepted_sel != 0] = bits;
	else if (f->accepted_sel < 4)
		f->accepted[f->accepted_sel] = bits;
}

static uint32_t offered_bits(struct fake *f)
{
	if (!f->offered_selected)
		violation(f, "features read before they were selected", 0);
	if (f->old_selectors)
		return f->offered[f->offered_sel != 0];
	return f->offered_sel < 4 ? f->offered[f->offered_sel] : 0;
}

static struct fake_queue *queue(struct fake *f)
{
	static struct fake_queue none;

	none = (struct fake_queue){.vector = VDEV_DRIVER_NO_VECTOR};
	return f->selected < FAKE_QUEUES ? &f->queues[f->selected] : &none;
}

static uint32_t queue_reset_read(struct fake *f, struct fake_queue *q)
{
	if (q->reset && count_down(&f->queue_reset_left) == 0) {
		q->reset = q->enable = 0;
		q->size = q->max;
		q->vector = VDEV_DRIVER_NO_VECTOR;
	}
	return q->reset;
}

static void queue_reset_write(struct fake *f, struct fake_queue *q, uint32_t value)
{
	if (value != 1 || q->reset)
		violation(f, "queue_reset written", value);
	if (f->ignore_queue_reset)
		return;
	q->reset = 1;
	f->queue_reset_left = f->queue_reset_delay;
}

static uint32_t space_read(struct fake *f, uint32_t at, uint32_t width)
{
	if (at + width > sizeof(f->space)) {
		violation(f, "beyond configuration space", at);
		return UINT32_MAX;
	}
	if (f->generation_moves != 0) {
		count_down(&f->generation_moves);
		f->generation++;
		f->space[0]++;
	}
	return load(f->space + at, width);
}

static void space_write(struct fake *f, uint32_t at, uint32_t width, uint32_t value)
{
	if (!(f->status & VIRTQ_STATUS_FEATURES_OK))
		violation(f, "configuration written during negotiation", at);
	if (at + width > sizeof(f->space))
		violation(f, "beyond configuration space", at);
	else
		store(f->space + at, width, value);
}

/* Registers of a queue that stay as they are while it is enabled. */
static void queue_register(struct fake *f, struct fake_queue *q, uint32_t at)
{
	if (q->enable)
		violation(f, "register of an enabled queue", at);
}

static void size_write(struct fake *f, struct fake_queue *q, uint32_t value)
{
	uint32_t packed = f->accepted[1] >> (VIRTQ_F_RING_PACKED - 32) & 1;

	if (value == 0 || value > q->max || (!packed && (value & (value - 1)) != 0))
		violation(f, "bad queue size", value);
	q->size = (uint16_t)value;
}

static void half(uint64_t *addr, int high, uint32_t value)
{
	if (high)
		*addr = (*addr & UINT32_MAX) | (uint64_t)value << 32;
	else
		*addr = (*addr & ~(uint64_t)UINT32_MAX) | value;
}

/* --- PCI -------------------------------------------------------------------------------------- */

static void vector_write(struct fake *f, uint16_t *vector, uint32_t value)
{
	*vector = value < f->vectors ? (uint16_t)value : VDEV_DRIVER_NO_VECTOR;
}

static uint32_t common_read(struct fake *f, uint32_t at, uint32_t width)
{
	struct fake_queue *q = queue(f);
	uint32_t want = at == 0x14 || at == 0x15 ? 1 : at <= 0x0c ? 4 : 2;

	if (width != want)
		violation(f, "width of common configuration", at);
	switch (at) {
	case 0x04:
		return offered_bits(f);
	case 0x10:
		return f->config_vector;
	case 0x12:
		return f->nqueues;
	case 0x14:
		return status_read(f);
	case 0x15:
		return f->generation & 0xff;
	case 0x18:
		return q->size;
	case 0x1a:
		return q->vector;
	case 0x1c:
		return q->enable;
	case 0x1e:
		return q->notify_off;
	case 0x38:
		return q->notif_data;
	case 0x3a:
		return queue_reset_read(f, q);
	case 0x3c:
		return f->admin_index;
	case 0x3e:
		return f->admin_num;
	default:
		violation(f, "read of common configuration", at);
		return 0;
	}
}

static void common_write(struct fake *f, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake_queue *q = queue(f);
	uint32_t want = at == 0x14 ? 1 : at <= 0x0c || (at >= 0x20 && at < 0x38) ? 4 : 2;

	if (width != want)
		violation(f, "width of common configuration", at);
	if (at >= 0x18 && at < 0x38)
		queue_register(f, q, at);
	switch (at) {
	case 0x00:
		f->offered_sel = value;
		f->offered_selected = 1;
		break;
	case 0x08:
		f->accepted_sel = value;
		f->accepted_selected = 1;
		break;
	case 0x0c:
		accept_bits(f, value);
		break;
	case 0x10:
		vector_write(f, &f->config_vector, value);
		break;
	case 0x14:
		status_write(f, value);
		break;
	case 0x16:
		f->selected = value;
		break;
	case 0x18:
		size_write(f, q, value);
		break;
	case 0x1a:
		vector_write(f, &q->vector, value);
		break;
	case 0x1c:
		if (value != 1)
			violation(f, "queue_enable written", value);
		q->enable = (uint16_t)value;
		break;
	case 0x20:
	case 0x24:
		half(&q->desc, at & 4, value);
		break;
	case 0x28:
	case 0x2c:
		half(&q->driver, at & 4, value);
		break;
	case 0x30:
	case 0x34:
		half(&q->device, at & 4, value);
		break;
	case 0x3a:
		queue_reset_write(f, q, value);
		break;
	default:
		violation(f, "write to a read-only register", at);
	}
}

static int inside(const struct fake_place *p, unsigned bar, uint64_t at, uint32_t width)
{
	return p->bar == bar && at >= p->at && at - p->at < p->bytes &&
	       width <= p->bytes - (at - p->at);
}

static uint32_t bar_read(void *ctx, unsigned bar, uint64_t at, uint32_t width)
{
	struct fake *f = ctx;
	uint32_t off, value = 0;

	if (bar > 5 || at >= f->bar_bytes[bar] || width > f->bar_bytes[bar] - at)
		violation(f, "read outside of the BAR", (uint32_t)at);
	if (f->gone)
		return f->gone > 1 ? 0 : UINT32_MAX;
	if (inside(&f->common, bar, at, width)) {
		off = (uint32_t)(at - f->common.at);
		value = common_read(f, off, width);
		note(f, 0, FAKE_COMMON, off, width, value);
	} else if (inside(&f->isr, bar, at, width)) {
		value = f->interrupts;
		f->interrupts = 0;
		note(f, 0, FAKE_ISR, 0, width, value);
	} else if (inside(&f->device, bar, at, width)) {
		off = (uint32_t)(at - f->device.at);
		value = space_read(f, off, width);
		note(f, 0, FAKE_DEVICE, off, width, value);
	} else {
		violation(f, "read where nothing is", (uint32_t)at);
	}
	return value;
}

static void bar_write(void *ctx, unsigned bar, uint64_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;
	uint32_t off;

	if (bar > 5 || at >= f->bar_bytes[bar] || width > f->bar_bytes[bar] - at)
		violation(f, "write outside of the BAR", (uint32_t)at);
	if (f->gone)
		return;
	if (inside(&f->common, bar, at, width)) {
		off = (uint32_t)(at - f->common.at);
		note(f, 1, FAKE_COMMON, off, width, value);
		common_write(f, off, width, value);
	} else if (inside(&f->notify, bar, at, width)) {
		note(f, 1, FAKE_NOTIFY, (uint32_t)(at - f->notify.at), width, value);
		if (!(f->status & VIRTQ_STATUS_DRIVER_OK))
			violation(f, "notified before DRIVER_OK", (uint32_t)at);
	} else if (inside(&f->device, bar, at, width)) {
		off = (uint32_t)(at - f->device.at);
		note(f, 1, FAKE_DEVICE, off, width, value);
		space_write(f, off, width, value);
	} else if (inside(&f->msix, bar, at, width)) {
		note(f, 1, FAKE_MSIX, (uint32_t)(at - f->msix.at), width, value);
	} else {
		violation(f, "write where nothing is", (uint32_t)at);
	}
}

/* The capability of the window that a place of configuration space belongs to, or 0. */
static uint32_t window_of(const struct fake *f, uint32_t at)
{
	for (uint32_t c = 0x40; c < f->next_cap; c += 4)
		if (at >= c && at < c + 20 && f->config[c] == 9 && f->config[c + 3] == 5)
			return c;
	return 0;
}

static uint32_t config_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fake *f = ctx;
	uint32_t w = window_of(f, at), value;

	if (at + width > sizeof(f->config)) {
		violation(f, "beyond configuration space of the bus", at);
		return UINT32_MAX;
	}
	if (f->gone)
		return UINT32_MAX;
	value = load(f->config + at, width);
	if (w != 0 && at == w + 16) {
		if (load(f->config + w + 12, 4) != width)
			violation(f, "width of the window", at);
		value = bar_read(f, f->config[w + 4], load(f->config + w + 8, 4), width);
	}
	note(f, 0, FAKE_CONFIG, at, width, value);
	return value;
}

static void config_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;
	uint32_t w = window_of(f, at);

	note(f, 1, FAKE_CONFIG, at, width, value);
	if (w != 0 && at == w + 16)
		bar_write(f, f->config[w + 4], load(f->config + w + 8, 4), width, value);
	else if (at == 4 || (w != 0 && at >= w + 4) || (at >= 0x40 && f->config[at - at % 4] == 0x11))
		store(f->config + at, width, value);
	else
		violation(f, "write to configuration space of the bus", at);
}

static uint64_t bar_bytes(void *ctx, unsigned bar)
{
	struct fake *f = ctx;

	if (bar > 5) {
		violation(f, "a BAR that can't be", bar);
		return UINT64_MAX;
	}
	return f->bar_bytes[bar];
}

static void wait_a_bit(void *ctx)
{
	((struct fake *)ctx)->waits++;
}

struct vdev_pci_access fake_pci(struct fake *f)
{
	return (struct vdev_pci_access){.size = sizeof(struct vdev_pci_access),
	                                .config_read = config_read,
	                                .config_write = config_write,
	                                .bar_bytes = bar_bytes,
	                                .bar_read = bar_read,
	                                .bar_write = bar_write,
	                                .wait = wait_a_bit,
	                                .ctx = f,
	                                .polls = 20};
}

struct vdev_pci_access fake_pci_window(struct fake *f)
{
	struct vdev_pci_access a = fake_pci(f);

	a.bar_bytes = NULL;
	a.bar_read = NULL;
	a.bar_write = NULL;
	return a;
}

uint32_t fake_add_cap(struct fake *f, uint8_t id, uint8_t bytes)
{
	uint32_t at = f->next_cap;

	f->config[at] = id;
	f->config[at + 1] = 0;
	if (f->last_cap != 0)
		f->config[f->last_cap + 1] = (uint8_t)at;
	else
		f->config[0x34] = (uint8_t)at;
	f->config[6] |= 0x10;
	f->last_cap = at;
	f->next_cap = at + (bytes + 3u) / 4 * 4;
	return at;
}

uint32_t fake_add_virtio_cap(struct fake *f, uint8_t type, uint8_t bar, uint32_t offset,
                             uint32_t length, uint32_t extra)
{
	uint8_t bytes = type == 2 || type == 5 ? 20 : 16;
	uint32_t at = fake_add_cap(f, 9, bytes);

	f->config[at + 2] = bytes;
	f->config[at + 3] = type;
	f->config[at + 4] = bar;
	store(f->config + at + 8, 4, offset);
	store(f->config + at + 12, 4, length);
	if (bytes == 20)
		store(f->config + at + 16, 4, extra);
	return at;
}

void fake_usual_caps(struct fake *f)
{
	uint32_t msix = fake_add_cap(f, 0x11, 12);

	store(f->config + msix + 2, 2, 3); /* 4 vectors */
	store(f->config + msix + 4, 4, 1); /* at 0 of BAR 1 */
	fake_add_virtio_cap(f, 1, 4, 0, 0x1000, 0);
	fake_add_virtio_cap(f, 3, 4, 0x1000, 0x1000, 0);
	fake_add_virtio_cap(f, 4, 4, 0x2000, sizeof(f->space), 0);
	fake_add_virtio_cap(f, 2, 4, 0x3000, 0x1000, 4);
	fake_add_virtio_cap(f, 5, 0, 0, 0, 0);
}

void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	store(f->config, 4, 0x10421af4);
	f->next_cap = 0x40;
	f->bar_bytes[1] = 0x1000;
	f->bar_bytes[4] = 0x4000;
	f->common = (struct fake_place){4, 0, 0x40};
	f->isr = (struct fake_place){4, 0x1000, 1};
	f->device = (struct fake_place){4, 0x2000, sizeof(f->space)};
	f->notify = (struct fake_place){4, 0x3000, 0x1000};
	f->msix = (struct fake_place){1, 0, 64};
	f->offered[0] = UINT32_MAX;
	f->offered[1] = UINT32_MAX;
	f->offered[2] = 1;
	f->nqueues = 2;
	f->vectors = 4;
	for (unsigned i = 0; i < 2; i++)
		f->queues[i] = (struct fake_queue){
			.max = 256, .notify_off = (uint16_t)i, .notif_data = (uint16_t)(0x100 + i)};
	f->magic = 0x74726976;
	f->version = 2;
	f->device_id = 2;
	clear(f);
}

/* --- MMIO ------------------------------------------------------------------------------------- */

static uint32_t mmio_register(struct fake *f, uint32_t at)
{
	struct fake_queue *q = queue(f);

	switch (at) {
	case 0x000:
		return f->magic;
	case 0x004:
		return f->version;
	case 0x008:
		return f->device_id;
	case 0x010:
		return offered_bits(f);
	case 0x034:
		return q->max;
	case 0x044:
		return q->enable;
	case 0x060:
		return f->interrupts;
	case 0x070:
		return status_read(f);
	case 0x0c0:
		return queue_reset_read(f, q);
	case 0x0fc:
		return f->generation;
	default:
		violation(f, "read of a register that can't be read", at);
		return 0;
	}
}

static uint32_t mmio_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fake *f = ctx;
	uint32_t value;

	if (f->gone)
		return UINT32_MAX;
	if (at < 0x100 && width != 4)
		violation(f, "width of a register", at);
	value = at < 0x100 ? mmio_register(f, at) : space_read(f, at - 0x100, width);
	note(f, 0, FAKE_MMIO, at, width, value);
	return value;
}

static void mmio_queue_write(struct fake *f, uint32_t at, uint32_t value)
{
	struct fake_queue *q = queue(f);

	if (at != 0x44 && at != 0xc0)
		queue_register(f, q, at);
	switch (at) {
	case 0x038:
		size_write(f, q, value);
		break;
	case 0x044:
		if (value != 0 || !f->stays_ready)
			q->enable = (uint16_t)value;
		break;
	case 0x080:
	case 0x084:
		half(&q->desc, at & 4, value);
		break;
	case 0x090:
	case 0x094:
		half(&q->driver, at & 4, value);
		break;
	case 0x0a0:
	case 0x0a4:
		half(&q->device, at & 4, value);
		break;
	case 0x0c0:
		queue_reset_write(f, q, value);
		break;
	default:
		violation(f, "write to a register that can't be written", at);
	}
}

static void mmio_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;

	if (f->gone)
		return;
	note(f, 1, FAKE_MMIO, at, width, value);
	if (at >= 0x100) {
		space_write(f, at - 0x100, width, value);
		return;
	}
	if (width != 4)
		violation(f, "width of a register", at);
	switch (at) {
	case 0x014:
		f->offered_sel = value;
		f->offered_selected = 1;
		break;
	case 0x020:
		accept_bits(f, value);
		break;
	case 0x024:
		f->accepted_sel = value;
		f->accepted_selected = 1;
		break;
	case 0x030:
		f->selected = value;
		break;
	case 0x050:
		if (!(f->status & VIRTQ_STATUS_DRIVER_OK))
			violation(f, "notified before DRIVER_OK", at);
		break;
	case 0x064:
		if (value & ~3u)
			violation(f, "undefined bits acknowledged", value);
		f->interrupts &= (uint8_t)~value;
		break;
	case 0x070:
		status_write(f, value);
		break;
	default:
		mmio_queue_write(f, at, value);
	}
}

struct vdev_mmio_access fake_mmio(struct fake *f)
{
	f->mmio = 1;
	return (struct vdev_mmio_access){.size = sizeof(struct vdev_mmio_access),
	                                 .read = mmio_read,
	                                 .write = mmio_write,
	                                 .wait = wait_a_bit,
	                                 .ctx = f,
	                                 .bytes = 0x100 + sizeof(f->space),
	                                 .polls = 20};
}
