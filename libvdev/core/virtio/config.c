/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space (section 2.5). A change and its generation become visible together. While the device is
 * suspended the driver goes on seeing what it saw before; the change is shown when it resumes.
 */
#include "core.h"

uint32_t vdev_config_len(const struct vdev *v)
{
	return v->config_len;
}

/* Bytes of [offset, offset + len) that exist. */
static uint32_t within(const struct vdev *v, uint32_t offset, uint32_t len)
{
	if (offset >= v->config_len)
		return 0;
	return len < v->config_len - offset ? len : v->config_len - offset;
}

void vdev_config_read(struct vdev *v, uint32_t offset, void *buf, uint32_t len)
{
	uint32_t n = within(v, offset, len);

	memset(buf, 0, len);
	if (n == 0)
		return;
	lock_take(&v->lock);
	memcpy(buf, (v->suspended ? v->shown : v->config) + offset, n);
	lock_give(&v->lock);
}

void vdev_config_write(struct vdev *v, uint32_t offset, const void *buf, uint32_t len)
{
	const uint8_t *from = buf;
	uint32_t n = within(v, offset, len);
	int taken = 0;

	if (v->suspend || fan_pending(v, FAN_RESET))
		return;
	lock_take(&v->lock);
	for (uint32_t i = 0; i < n && !v->suspended; i++) {
		uint8_t mask = v->mask[offset + i];
		uint8_t *byte = &v->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (from[i] & mask));
		taken |= mask != 0;
	}
	lock_give(&v->lock);
	if (!taken)
		return;
	function_activate(&v->fn);
	if (v->ops.config_written != NULL)
		v->ops.config_written(v->model, offset, n);
}

uint32_t vdev_config_generation(const struct vdev *v)
{
	return load_acquire(&v->generation);
}

/* Tell the driver that configuration or status changed; later, if it can't be told now. */
void config_notify(struct vdev *v)
{
	int now;

	lock_take(&v->lock);
	now = !v->suspended && status_has(v, VIRTQ_STATUS_DRIVER_OK);
	if (!now)
		v->notify_held = 1;
	lock_give(&v->lock);
	if (now)
		function_config_changed(&v->fn);
}

void vdev_config_update(struct vdev *v, uint32_t offset, const void *bytes, uint32_t len)
{
	uint32_t n = within(v, offset, len);

	if (n == 0)
		return;
	lock_take(&v->lock);
	memcpy(v->config + offset, bytes, n);
	if (!v->suspended)
		store_release(&v->generation, v->generation + 1);
	lock_give(&v->lock);
	config_notify(v);
}

/* The driver suspended the device: freeze what it sees. */
void config_suspend(struct vdev *v)
{
	lock_take(&v->lock);
	memcpy(v->shown, v->config, v->config_len);
	v->suspended = 1;
	lock_give(&v->lock);
}

/* The device runs (again): show what changed meanwhile, and tell. */
void config_release(struct vdev *v)
{
	uint32_t held;

	lock_take(&v->lock);
	held = v->notify_held;
	v->notify_held = 0;
	if (v->suspended && held)
		store_release(&v->generation, v->generation + 1);
	v->suspended = 0;
	lock_give(&v->lock);
	if (held)
		function_config_changed(&v->fn);
}

/*
 * Reset: what the driver wrote goes back to its initial value. What only the device writes is its own (a capacity
 * does not shrink back), and stays.
 */
void config_reset(struct vdev *v)
{
	lock_take(&v->lock);
	for (uint32_t i = 0; i < v->config_len; i++)
		v->config[i] = (uint8_t)((v->config[i] & ~v->mask[i]) | (v->initial[i] & v->mask[i]));
	v->suspended = 0;
	v->notify_held = 0;
	store_release(&v->generation, v->generation + 1);
	lock_give(&v->lock);
}
