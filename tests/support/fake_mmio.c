/* SPDX-License-Identifier: BSD-3-Clause */
/* The fake device over MMIO. */
#include "fake_device.h"

static uint32_t mmio_register(struct fake *f, uint32_t at)
{
	struct fake_queue *q = fake_queue(f);

	switch (at) {
	case 0x000:
		return f->magic;
	case 0x004:
		return f->version;
	case 0x008:
		return f->device_id;
	case 0x010:
		return fake_offered_bits(f);
	case 0x034:
		return q->max;
	case 0x044:
		return q->enable;
	case 0x060:
		return f->interrupts;
	case 0x070:
		return fake_status_read(f);
	case 0x0c0:
		return fake_queue_reset_read(f, q);
	case 0x0fc:
		return f->generation;
	default:
		fake_violation(f, "read of a register that can't be read", at);
		return 0;
	}
}

static uint32_t mmio_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fake *f = ctx;
	uint32_t value;

	if (f->gone)
		return f->gone > 1 ? 0 : UINT32_MAX;
	if (at < 0x100 && width != 4)
		fake_violation(f, "width of a register", at);
	value = at < 0x100 ? mmio_register(f, at) : fake_space_read(f, at - 0x100, width);
	fake_note(f, 0, FAKE_MMIO, at, width, value);
	return value;
}

static void mmio_queue_write(struct fake *f, uint32_t at, uint32_t value)
{
	struct fake_queue *q = fake_queue(f);

	if (at != 0x44 && at != 0xc0)
		fake_queue_register(f, q, at);
	switch (at) {
	case 0x038:
		fake_size_write(f, q, value);
		break;
	case 0x044:
		if (value != 0 || !f->stays_ready)
			q->enable = (uint16_t)value;
		break;
	case 0x080:
	case 0x084:
		fake_half(&q->desc, at & 4, value);
		break;
	case 0x090:
	case 0x094:
		fake_half(&q->driver, at & 4, value);
		break;
	case 0x0a0:
	case 0x0a4:
		fake_half(&q->device, at & 4, value);
		break;
	case 0x0c0:
		fake_queue_reset_write(f, q, value);
		break;
	default:
		fake_violation(f, "write to a register that can't be written", at);
	}
}

static void mmio_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fake *f = ctx;

	if (f->gone)
		return;
	fake_note(f, 1, FAKE_MMIO, at, width, value);
	if (at >= 0x100) {
		fake_space_write(f, at - 0x100, width, value);
		return;
	}
	if (width != 4)
		fake_violation(f, "width of a register", at);
	switch (at) {
	case 0x014:
		f->offered_sel = value;
		f->offered_selected = 1;
		break;
	case 0x020:
		fake_accept_bits(f, value);
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
			fake_violation(f, "notified before DRIVER_OK", at);
		break;
	case 0x064:
		if (value & ~3u)
			fake_violation(f, "undefined bits acknowledged", value);
		f->interrupts &= (uint8_t)~value;
		break;
	case 0x070:
		fake_status_write(f, value);
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
	                                 .wait = fake_wait,
	                                 .ctx = f,
	                                 .bytes = 0x100 + sizeof(f->space),
	                                 .polls = 20};
}
