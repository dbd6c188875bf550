/* SPDX-License-Identifier: BSD-3-Clause */
/* The fake device over PCI: its configuration space and capabilities, and what lies in its BARs. */
#include "fake_device.h"

static void vector_write(struct fake *f, uint16_t *vector, uint32_t value)
{
	*vector = value < f->vectors ? (uint16_t)value : VDEV_DRIVER_NO_VECTOR;
}

static uint32_t common_read(struct fake *f, uint32_t at, uint32_t width)
{
	struct fake_queue *q = fake_queue(f);
	uint32_t want = at == 0x14 || at == 0x15 ? 1 : at <= 0x0c ? 4 : 2;

	if (width != want)
		fake_violation(f, "width of common configuration", at);
	switch (at) {
	case 0x04:
		return fake_offered_bits(f);
	case 0x10:
		return f->config_vector;
	case 0x12:
		return f->nqueues;
	case 0x14:
		return fake_status_read(f);
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
		return fake_queue_reset_read(f, q);
	case 0x3c:
		return f->admin_index;
	case 0x3e:
		return f->admin_num;
	default:
		fake_violation(f, "read of common configuration", at);
		return 0;
	}
}

static void common_write(struct fake *f, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake_queue *q = fake_queue(f);
	uint32_t want = at == 0x14 ? 1 : at <= 0x0c || (at >= 0x20 && at < 0x38) ? 4 : 2;

	if (width != want)
		fake_violation(f, "width of common configuration", at);
	if (at >= 0x18 && at < 0x38)
		fake_queue_register(f, q, at);
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
		fake_accept_bits(f, value);
		break;
	case 0x10:
		vector_write(f, &f->config_vector, value);
		break;
	case 0x14:
		fake_status_write(f, value);
		break;
	case 0x16:
		f->selected = value;
		break;
	case 0x18:
		fake_size_write(f, q, value);
		break;
	case 0x1a:
		vector_write(f, &q->vector, value);
		break;
	case 0x1c:
		if (value != 1)
			fake_violation(f, "queue_enable written", value);
		q->enable = (uint16_t)value;
		break;
	case 0x20:
	case 0x24:
		fake_half(&q->desc, at & 4, value);
		break;
	case 0x28:
	case 0x2c:
		fake_half(&q->driver, at & 4, value);
		break;
	case 0x30:
	case 0x34:
		fake_half(&q->device, at & 4, value);
		break;
	case 0x3a:
		fake_queue_reset_write(f, q, value);
		break;
	default:
		fake_violation(f, "write to a read-only register", at);
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
		fake_violation(f, "read outside of the BAR", (uint32_t)at);
	if (f->gone)
		return f->gone > 1 ? 0 : UINT32_MAX;
	if (inside(&f->common, bar, at, width)) {
		off = (uint32_t)(at - f->common.at);
		value = common_read(f, off, width);
		fake_note(f, 0, FAKE_COMMON, off, width, value);
	} else if (inside(&f->isr, bar, at, width)) {
		value = f->interrupts;
		f->interrupts = 0;
		fake_note(f, 0, FAKE_ISR, 0, width, value);
	} else if (inside(&f->device, bar, at, width)) {
		off = (uint32_t)(at - f->device.at);
		value = fake_space_read(f, off, width);
		fake_note(f, 0, FAKE_DEVICE, off, width, value);
	} else {
		fake_violation(f, "read where nothing is", (uint32_t)at);
	}
	return value;
}

static void bar_write(void *ctx, unsigned bar, uint64_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;
	uint32_t off;

	if (bar > 5 || at >= f->bar_bytes[bar] || width > f->bar_bytes[bar] - at)
		fake_violation(f, "write outside of the BAR", (uint32_t)at);
	if (f->gone)
		return;
	if (inside(&f->common, bar, at, width)) {
		off = (uint32_t)(at - f->common.at);
		fake_note(f, 1, FAKE_COMMON, off, width, value);
		common_write(f, off, width, value);
	} else if (inside(&f->notify, bar, at, width)) {
		fake_note(f, 1, FAKE_NOTIFY, (uint32_t)(at - f->notify.at), width, value);
		if (!(f->status & VIRTQ_STATUS_DRIVER_OK))
			fake_violation(f, "notified before DRIVER_OK", (uint32_t)at);
	} else if (inside(&f->device, bar, at, width)) {
		off = (uint32_t)(at - f->device.at);
		fake_note(f, 1, FAKE_DEVICE, off, width, value);
		fake_space_write(f, off, width, value);
	} else if (inside(&f->msix, bar, at, width)) {
		fake_note(f, 1, FAKE_MSIX, (uint32_t)(at - f->msix.at), width, value);
	} else {
		fake_violation(f, "write where nothing is", (uint32_t)at);
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

static void window_lock(void *ctx)
{
	struct fake *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->locked = 1;
}

static void window_unlock(void *ctx)
{
	struct fake *f = ctx;

	f->locked = 0;
	pthread_mutex_unlock(&f->lock);
}

/* Where its lock is given, the window may be touched with it alone, and nothing else with it. */
static void window_touched(struct fake *f, int window, uint32_t at)
{
	if (f->has_lock && f->locked != window)
		fake_violation(f, window ? "window without its lock" : "window's lock held", at);
}

static uint32_t config_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fake *f = ctx;
	uint32_t w = window_of(f, at), value;

	window_touched(f, w != 0 && at >= w + 16, at);

	if (at + width > sizeof(f->config)) {
		fake_violation(f, "beyond configuration space of the bus", at);
		return UINT32_MAX;
	}
	if (f->gone)
		return UINT32_MAX;
	value = fake_load(f->config + at, width);
	if (w != 0 && at == w + 16) {
		if (fake_load(f->config + w + 12, 4) != width)
			fake_violation(f, "width of the window", at);
		value = bar_read(f, f->config[w + 4], fake_load(f->config + w + 8, 4), width);
	}
	fake_note(f, 0, FAKE_CONFIG, at, width, value);
	return value;
}

static void config_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;
	uint32_t w = window_of(f, at);

	window_touched(f, w != 0 && at >= w + 4, at);
	fake_note(f, 1, FAKE_CONFIG, at, width, value);
	if (w != 0 && at == w + 16)
		bar_write(f, f->config[w + 4], fake_load(f->config + w + 8, 4), width, value);
	else if (at == 4 || (w != 0 && at >= w + 4) || (at >= 0x40 && f->config[at - at % 4] == 0x11))
		fake_store(f->config + at, width, value);
	else
		fake_violation(f, "write to configuration space of the bus", at);
}

static uint64_t bar_bytes(void *ctx, unsigned bar)
{
	struct fake *f = ctx;

	if (bar > 5) {
		fake_violation(f, "a BAR that can't be", bar);
		return UINT64_MAX;
	}
	return f->bar_bytes[bar];
}

struct vdev_pci_access fake_pci(struct fake *f)
{
	return (struct vdev_pci_access){.size = sizeof(struct vdev_pci_access),
	                                .config_read = config_read,
	                                .config_write = config_write,
	                                .bar_bytes = bar_bytes,
	                                .bar_read = bar_read,
	                                .bar_write = bar_write,
	                                .wait = fake_wait,
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

struct vdev_pci_access fake_pci_window_locked(struct fake *f)
{
	struct vdev_pci_access a = fake_pci_window(f);

	f->has_lock = 1;
	a.window_lock = window_lock;
	a.window_unlock = window_unlock;
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
	fake_store(f->config + at + 8, 4, offset);
	fake_store(f->config + at + 12, 4, length);
	if (bytes == 20)
		fake_store(f->config + at + 16, 4, extra);
	return at;
}

void fake_usual_caps(struct fake *f)
{
	uint32_t msix = fake_add_cap(f, 0x11, 12);

	fake_store(f->config + msix + 2, 2, 3); /* 4 vectors */
	fake_store(f->config + msix + 4, 4, 1); /* at 0 of BAR 1 */
	fake_add_virtio_cap(f, 1, 4, 0, 0x1000, 0);
	fake_add_virtio_cap(f, 3, 4, 0x1000, 0x1000, 0);
	fake_add_virtio_cap(f, 4, 4, 0x2000, sizeof(f->space), 0);
	fake_add_virtio_cap(f, 2, 4, 0x3000, 0x1000, 4);
	fake_add_virtio_cap(f, 5, 0, 0, 0, 0);
}
