/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_device.h"

#include <stdio.h>
#include <string.h>

void fake_violation(struct fake *f, const char *what, uint32_t at)
{
	if (f->violations++ == 0)
		snprintf(f->why, sizeof(f->why), "%s at 0x%x", what, (unsigned)at);
}

void fake_note(struct fake *f, int write, enum fake_space space, uint32_t at, uint32_t width,
               uint32_t value)
{
	if (f->nlog < FAKE_LOG)
		f->log[f->nlog++] = (struct fake_access){space, write, at, width, value};
	if (at % width != 0 || (width != 1 && width != 2 && width != 4))
		fake_violation(f, "not aligned", at);
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

uint32_t fake_load(const void *p, uint32_t width)
{
	uint32_t v = 0;

	for (uint32_t i = 0; i < width; i++)
		v |= (uint32_t)((const uint8_t *)p)[i] << 8 * i;
	return v;
}

void fake_store(void *p, uint32_t width, uint32_t value)
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

uint32_t fake_status_read(struct fake *f)
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
	if (f->resume_left > 0 && --f->resume_left == 0)
		f->status = (uint8_t)((f->status & ~VIRTQ_STATUS_SUSPEND) | VIRTQ_STATUS_DRIVER_OK);
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

void fake_status_write(struct fake *f, uint32_t value)
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
		fake_violation(f, "status written while the device resets", 0);
	if ((old & ~(uint32_t)VIRTQ_STATUS_NEEDS_RESET & ~value) != 0)
		fake_violation(f, "status bit cleared", value);
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
		/* Until it goes on it shows what it showed before. */
		f->status &=
			(uint8_t) ~(f->resume_delay == 0 ? VIRTQ_STATUS_SUSPEND : VIRTQ_STATUS_DRIVER_OK);
		f->resume_left = f->resume_delay;
	}
}

void fake_accept_bits(struct fake *f, uint32_t bits)
{
	if (!f->accepted_selected)
		fake_violation(f, "features written before they were selected", 0);
	if (f->status & VIRTQ_STATUS_FEATURES_OK)
		fake_violation(f, "features written after FEATURES_OK", 0);
	if (f->old_selectors)
		f->accepted[f->accepted_sel != 0] = bits;
	else if (f->accepted_sel < 4)
		f->accepted[f->accepted_sel] = bits;
}

uint32_t fake_offered_bits(struct fake *f)
{
	if (!f->offered_selected)
		fake_violation(f, "features read before they were selected", 0);
	if (f->old_selectors)
		return f->offered[f->offered_sel != 0];
	return f->offered_sel < 4 ? f->offered[f->offered_sel] : 0;
}

struct fake_queue *fake_queue(struct fake *f)
{
	static struct fake_queue none;

	none = (struct fake_queue){.vector = VDEV_DRIVER_NO_VECTOR};
	return f->selected < FAKE_QUEUES ? &f->queues[f->selected] : &none;
}

uint32_t fake_queue_reset_read(struct fake *f, struct fake_queue *q)
{
	if (q->reset && count_down(&f->queue_reset_left) == 0) {
		q->reset = q->enable = 0;
		q->size = q->max;
		q->vector = VDEV_DRIVER_NO_VECTOR;
	}
	return q->reset;
}

void fake_queue_reset_write(struct fake *f, struct fake_queue *q, uint32_t value)
{
	if (value != 1 || q->reset)
		fake_violation(f, "queue_reset written", value);
	if (f->ignore_queue_reset)
		return;
	q->reset = 1;
	if (f->disable_early)
		q->enable = 0;
	f->queue_reset_left = f->queue_reset_delay;
}

uint32_t fake_space_read(struct fake *f, uint32_t at, uint32_t width)
{
	if (at + width > sizeof(f->space)) {
		fake_violation(f, "beyond configuration space", at);
		return UINT32_MAX;
	}
	if (f->generation_moves != 0) {
		count_down(&f->generation_moves);
		f->generation++;
		f->space[0]++;
	}
	return fake_load(f->space + at, width);
}

void fake_space_write(struct fake *f, uint32_t at, uint32_t width, uint32_t value)
{
	if (!(f->status & VIRTQ_STATUS_FEATURES_OK))
		fake_violation(f, "configuration written during negotiation", at);
	if (at + width > sizeof(f->space))
		fake_violation(f, "beyond configuration space", at);
	else
		fake_store(f->space + at, width, value);
}

/* Registers of a queue that stay as they are while it is enabled. */
void fake_queue_register(struct fake *f, struct fake_queue *q, uint32_t at)
{
	if (q->enable)
		fake_violation(f, "register of an enabled queue", at);
}

void fake_size_write(struct fake *f, struct fake_queue *q, uint32_t value)
{
	uint32_t packed = f->accepted[1] >> (VIRTQ_F_RING_PACKED - 32) & 1;

	if (value == 0 || value > q->max || (!packed && (value & (value - 1)) != 0))
		fake_violation(f, "bad queue size", value);
	q->size = (uint16_t)value;
}

void fake_half(uint64_t *addr, int high, uint32_t value)
{
	if (high)
		*addr = (*addr & UINT32_MAX) | (uint64_t)value << 32;
	else
		*addr = (*addr & ~(uint64_t)UINT32_MAX) | value;
}

void fake_wait(void *ctx)
{
	struct fake *f = ctx;

	f->waits++;
	if (f->has_lock && f->locked)
		fake_violation(f, "waited with the window's lock held", 0);
}

void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	fake_store(f->config, 4, 0x10421af4);
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
	pthread_mutex_init(&f->lock, NULL);
	clear(f);
}
