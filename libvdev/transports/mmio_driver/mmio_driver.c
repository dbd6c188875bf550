/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over MMIO, version 2, from the driver's side. */
#include <string.h>

#include <vdev/mmio_driver.h>

#include "libvdev/driver/driver.h"

/* Registers (section 4.2.2). */
enum {
	MMIO_MAGIC = 0x000,
	MMIO_MAGIC_VALUE = 0x74726976,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SEL = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SEL = 0x024,
	MMIO_QUEUE_SEL = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESC = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_QUEUE_RESET = 0x0c0,
	MMIO_CONFIG_GENERATION = 0x0fc,
	MMIO_CONFIG = 0x100
};

static struct vdev_mmio_driver *mmio_of(struct vdev_driver *d)
{
	return (struct vdev_mmio_driver *)d; /* its first member */
}

static uint32_t get(struct vdev_driver *d, uint32_t at)
{
	const struct vdev_mmio_access *a = &mmio_of(d)->access;

	return a->read(a->ctx, at, 4);
}

static void put(struct vdev_driver *d, uint32_t at, uint32_t value)
{
	const struct vdev_mmio_access *a = &mmio_of(d)->access;

	a->write(a->ctx, at, 4, value);
}

static void put_addr(struct vdev_driver *d, uint32_t at, uint64_t addr)
{
	put(d, at, (uint32_t)addr);
	put(d, at + 4, (uint32_t)(addr >> 32));
}

static uint32_t status(struct vdev_driver *d)
{
	return get(d, MMIO_STATUS);
}

static void set_status(struct vdev_driver *d, uint8_t value)
{
	put(d, MMIO_STATUS, value);
}

static uint32_t offered(struct vdev_driver *d, uint32_t word)
{
	put(d, MMIO_DEVICE_FEATURES_SEL, word);
	return get(d, MMIO_DEVICE_FEATURES);
}

static void accept_features(struct vdev_driver *d, uint32_t word, uint32_t bits)
{
	put(d, MMIO_DRIVER_FEATURES_SEL, word);
	put(d, MMIO_DRIVER_FEATURES, bits);
}

static uint32_t interrupts(struct vdev_driver *d)
{
	return get(d, MMIO_INTERRUPT_STATUS);
}

static void interrupts_done(struct vdev_driver *d, uint32_t which)
{
	put(d, MMIO_INTERRUPT_ACK, which);
}

static uint32_t config_bytes(const struct vdev_driver *d)
{
	return ((const struct vdev_mmio_driver *)d)->access.bytes - MMIO_CONFIG;
}

static uint32_t generation(struct vdev_driver *d)
{
	return get(d, MMIO_CONFIG_GENERATION);
}

static uint32_t config_read(struct vdev_driver *d, uint32_t offset, uint32_t width)
{
	const struct vdev_mmio_access *a = &mmio_of(d)->access;

	return a->read(a->ctx, MMIO_CONFIG + offset, width);
}

static void config_write(struct vdev_driver *d, uint32_t offset, uint32_t width, uint32_t value)
{
	const struct vdev_mmio_access *a = &mmio_of(d)->access;

	a->write(a->ctx, MMIO_CONFIG + offset, width, value);
}

/* Here the most a device can take need not be a power of two; what is used of it is. */
static int usable_size(const struct vdev_driver *d, uint32_t max)
{
	uint32_t size = 1;

	if (max > VIRTQ_MAX_SIZE)
		return VIRTQ_EPROTO;
	if (max == 0 || virtq_features_has(&d->features, VIRTQ_F_RING_PACKED))
		return driver_queue_size(d, max);
	while (2 * size <= max)
		size *= 2;
	return (int)size;
}

static int queue_max(struct vdev_driver *d, uint16_t index)
{
	put(d, MMIO_QUEUE_SEL, index);
	return usable_size(d, get(d, MMIO_QUEUE_SIZE_MAX));
}

static int queue_start(struct vdev_driver_queue *q, const struct virtq_state *s, uint16_t vector)
{
	struct vdev_driver *d = q->driver;
	int max;

	if (vector != VDEV_DRIVER_NO_VECTOR)
		return VIRTQ_EINVAL;
	put(d, MMIO_QUEUE_SEL, q->index);
	if (get(d, MMIO_QUEUE_READY) != 0)
		return VIRTQ_EBUSY;
	max = usable_size(d, get(d, MMIO_QUEUE_SIZE_MAX));
	if (max < 0)
		return max;
	if (s->size > max)
		return VIRTQ_EINVAL;
	put(d, MMIO_QUEUE_SIZE, s->size);
	put_addr(d, MMIO_QUEUE_DESC, s->desc);
	put_addr(d, MMIO_QUEUE_DRIVER, s->driver);
	put_addr(d, MMIO_QUEUE_DEVICE, s->device);
	put(d, MMIO_QUEUE_READY, 1);
	return 0;
}

static void queue_reset(struct vdev_driver_queue *q)
{
	put(q->driver, MMIO_QUEUE_SEL, q->index);
	put(q->driver, MMIO_QUEUE_RESET, 1);
}

static uint32_t queue_resetting(struct vdev_driver_queue *q)
{
	put(q->driver, MMIO_QUEUE_SEL, q->index);
	return get(q->driver, MMIO_QUEUE_RESET);
}

static uint32_t queue_enabled(struct vdev_driver_queue *q)
{
	return get(q->driver, MMIO_QUEUE_READY);
}

/* Always 32 bits wide here. */
static void notify(struct vdev_driver_queue *q, uint32_t data, uint32_t width)
{
	(void)width;
	put(q->driver, MMIO_QUEUE_NOTIFY, data);
}

static const struct vdev_driver_ops mmio_ops = {
	.known = DRIVER_KNOWN,
	.status = status,
	.set_status = set_status,
	.offered = offered,
	.accept = accept_features,
	.queue_max = queue_max,
	.queue_start = queue_start,
	.queue_reset = queue_reset,
	.queue_resetting = queue_resetting,
	.queue_enabled = queue_enabled,
	.notify = notify,
	.interrupts = interrupts,
	.interrupts_done = interrupts_done,
	.config_bytes = config_bytes,
	.generation = generation,
	.config_read = config_read,
	.config_write = config_write,
};

int vdev_mmio_driver_init_sized(struct vdev_mmio_driver *m, size_t m_size,
                                const struct vdev_mmio_access *access)
{
	uint32_t id;

	if (m_size < sizeof(*m) || access->size != sizeof(*access) || access->read == NULL ||
	    access->write == NULL || access->bytes < MMIO_CONFIG)
		return VIRTQ_EINVAL;
	memset(m, 0, sizeof(*m));
	m->access = *access;
	m->driver.ops = &mmio_ops;
	m->driver.wait = access->wait;
	m->driver.wait_ctx = access->ctx;
	m->driver.polls = access->polls != 0 ? access->polls : DRIVER_POLLS;
	if (get(&m->driver, MMIO_MAGIC) != MMIO_MAGIC_VALUE || get(&m->driver, MMIO_VERSION) != 2)
		return VIRTQ_ENOTSUP;
	id = get(&m->driver, MMIO_DEVICE_ID);
	if (id > INT32_MAX)
		return VIRTQ_ENOTSUP;
	m->driver.device_id = id;
	return (int)id;
}

int vdev_mmio_driver_queue_stop(struct vdev_driver_queue *q)
{
	uint32_t ready;

	if (!driver_queue_is(q, QUEUE_STARTED) || q->driver->ops != &mmio_ops)
		return VIRTQ_EINVAL;
	put(q->driver, MMIO_QUEUE_SEL, q->index);
	put(q->driver, MMIO_QUEUE_READY, 0);
	ready = get(q->driver, MMIO_QUEUE_READY);
	if (driver_shown(q->driver) < 0)
		return VIRTQ_EIO;
	if (ready != 0)
		return VIRTQ_EPROTO;
	q->state = QUEUE_STOPPED;
	return 0;
}
