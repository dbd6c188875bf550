/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over PCI from the driver's side. */
#include "pci.h"

#include <string.h>

#include "libvdev/driver/driver.h"

/* --- Access ----------------------------------------------------------------------------------- */

/* Point the window of configuration space at a register; aligned, and within a structure. */
static void window_to(struct vdev_pci_driver *p, const struct vdev_pci_place *s, uint32_t at,
                      uint32_t width)
{
	const struct vdev_pci_access *a = &p->access;

	a->config_write(a->ctx, (uint32_t)p->window + CAP_BAR, 1, s->bar);
	a->config_write(a->ctx, (uint32_t)p->window + CAP_OFFSET, 4, (uint32_t)s->offset + at);
	a->config_write(a->ctx, (uint32_t)p->window + CAP_LENGTH, 4, width);
}

/* The window is one for all: who points it keeps it until the access is done. */
static void window_take(const struct vdev_pci_access *a)
{
	if (a->window_lock != NULL)
		a->window_lock(a->ctx);
}

static void window_give(const struct vdev_pci_access *a)
{
	if (a->window_unlock != NULL)
		a->window_unlock(a->ctx);
}

uint32_t pci_get(struct vdev_pci_driver *p, const struct vdev_pci_place *s, uint32_t at,
                 uint32_t width)
{
	const struct vdev_pci_access *a = &p->access;
	uint32_t value;

	if (a->bar_read != NULL)
		return a->bar_read(a->ctx, s->bar, s->offset + at, width);
	window_take(a);
	window_to(p, s, at, width);
	value = a->config_read(a->ctx, (uint32_t)p->window + CAP_EXTRA, width);
	window_give(a);
	return value;
}

void pci_put(struct vdev_pci_driver *p, const struct vdev_pci_place *s, uint32_t at, uint32_t width,
             uint32_t value)
{
	const struct vdev_pci_access *a = &p->access;

	if (a->bar_write != NULL) {
		a->bar_write(a->ctx, s->bar, s->offset + at, width, value);
		return;
	}
	window_take(a);
	window_to(p, s, at, width);
	a->config_write(a->ctx, (uint32_t)p->window + CAP_EXTRA, width, value);
	window_give(a);
}

static struct vdev_pci_driver *pci_of(struct vdev_driver *d)
{
	return (struct vdev_pci_driver *)d; /* its first member */
}

static uint32_t get(struct vdev_driver *d, uint32_t at, uint32_t width)
{
	return pci_get(pci_of(d), &pci_of(d)->common, at, width);
}

static void put(struct vdev_driver *d, uint32_t at, uint32_t width, uint32_t value)
{
	pci_put(pci_of(d), &pci_of(d)->common, at, width, value);
}

static void put_addr(struct vdev_driver *d, uint32_t at, uint64_t addr)
{
	put(d, at, 4, (uint32_t)addr);
	put(d, at + 4, 4, (uint32_t)(addr >> 32));
}

static void add_command(struct vdev_pci_driver *p, uint32_t bits)
{
	const struct vdev_pci_access *a = &p->access;
	uint32_t command = a->config_read(a->ctx, PCI_COMMAND, 2);

	if ((command & bits) != bits)
		a->config_write(a->ctx, PCI_COMMAND, 2, (command | bits) & 0xffff);
}

/* --- The device ------------------------------------------------------------------------------- */

static uint32_t status(struct vdev_driver *d)
{
	return get(d, COMMON_DEVICE_STATUS, 1);
}

static void set_status(struct vdev_driver *d, uint8_t value)
{
	put(d, COMMON_DEVICE_STATUS, 1, value);
}

static uint32_t offered(struct vdev_driver *d, uint32_t word)
{
	put(d, COMMON_DEVICE_FEATURE_SELECT, 4, word);
	return get(d, COMMON_DEVICE_FEATURE, 4);
}

static void accept_features(struct vdev_driver *d, uint32_t word, uint32_t bits)
{
	put(d, COMMON_DRIVER_FEATURE_SELECT, 4, word);
	put(d, COMMON_DRIVER_FEATURE, 4, bits);
}

/*
 * Bus mastering, not before the reset: a device left running by somebody else would write into our
 * memory. Where a BAR without a device reads as 0, configuration space tells that it has gone.
 */
static int was_reset(struct vdev_driver *d)
{
	struct vdev_pci_driver *p = pci_of(d);

	if (p->access.config_read(p->access.ctx, PCI_IDS, 4) == UINT32_MAX)
		return VIRTQ_EIO;
	add_command(p, PCI_COMMAND_MASTER);
	return 0;
}

/* Whether the structures have the fields that these features bring. */
static int check(struct vdev_driver *d)
{
	const struct vdev_pci_driver *p = pci_of(d);
	uint32_t need = COMMON_BYTES;

	if (virtq_features_has(&d->features, VIRTQ_F_NOTIF_CONFIG_DATA))
		need = COMMON_QUEUE_NOTIF_CONFIG_DATA + 2;
	if (virtq_features_has(&d->features, VIRTQ_F_RING_RESET))
		need = COMMON_QUEUE_RESET + 2;
	if (virtq_features_has(&d->features, VIRTQ_F_ADMIN_VQ))
		need = COMMON_ADMIN_QUEUE_NUM + 2;
	if (p->common.bytes < need)
		return VIRTQ_EPROTO;
	if (virtq_features_has(&d->features, VIRTQ_F_NOTIFICATION_DATA) &&
	    (p->notify.offset % 4 != 0 || p->notify_multiplier % 4 != 0 || p->notify.bytes < 4))
		return VIRTQ_EPROTO;
	return 0;
}

static uint32_t interrupts(struct vdev_driver *d)
{
	return pci_get(pci_of(d), &pci_of(d)->isr, 0, 1);
}

static uint32_t config_bytes(const struct vdev_driver *d)
{
	return ((const struct vdev_pci_driver *)d)->device.bytes;
}

static uint32_t generation(struct vdev_driver *d)
{
	return get(d, COMMON_CONFIG_GENERATION, 1);
}

static uint32_t config_read(struct vdev_driver *d, uint32_t offset, uint32_t width)
{
	return pci_get(pci_of(d), &pci_of(d)->device, offset, width);
}

static void config_write(struct vdev_driver *d, uint32_t offset, uint32_t width, uint32_t value)
{
	pci_put(pci_of(d), &pci_of(d)->device, offset, width, value);
}

/* --- Queues ----------------------------------------------------------------------------------- */

/* The administration queues: how many, or VIRTQ_EPROTO. */
static int admin_queues(struct vdev_driver *d, uint32_t *first)
{
	uint32_t n = get(d, COMMON_ADMIN_QUEUE_NUM, 2);

	*first = get(d, COMMON_ADMIN_QUEUE_INDEX, 2);
	if (n == 0)
		return 0;
	if (*first < get(d, COMMON_NUM_QUEUES, 2) || n > 0x10000 - *first)
		return VIRTQ_EPROTO;
	return (int)n;
}

static int select_queue(struct vdev_driver *d, uint16_t index)
{
	uint32_t first;
	int n;

	if (index >= get(d, COMMON_NUM_QUEUES, 2)) {
		if (!virtq_features_has(&d->features, VIRTQ_F_ADMIN_VQ))
			return VIRTQ_ENOTSUP;
		n = admin_queues(d, &first);
		if (n < 0)
			return n;
		if (index < first || index - first >= (uint32_t)n)
			return VIRTQ_ENOTSUP;
	}
	put(d, COMMON_QUEUE_SELECT, 2, index);
	return 0;
}

static int queue_max(struct vdev_driver *d, uint16_t index)
{
	int rc = select_queue(d, index);

	return rc < 0 ? rc : driver_queue_size(d, get(d, COMMON_QUEUE_SIZE, 2));
}

/* Where the selected queue is notified, which must lie within the structure. */
static int find_notify(struct vdev_driver_queue *q)
{
	const struct vdev_pci_driver *p = pci_of(q->driver);
	const struct virtq_features *f = &q->driver->features;
	uint32_t width = virtq_features_has(f, VIRTQ_F_NOTIFICATION_DATA) ? 4 : 2;
	uint64_t at = (uint64_t)get(q->driver, COMMON_QUEUE_NOTIFY_OFF, 2) * p->notify_multiplier;

	if (at + width > p->notify.bytes)
		return VIRTQ_EPROTO;
	q->notify = at;
	if (virtq_features_has(f, VIRTQ_F_NOTIF_CONFIG_DATA))
		q->notify_id = (uint16_t)get(q->driver, COMMON_QUEUE_NOTIF_CONFIG_DATA, 2);
	return 0;
}

/* Map an event to a vector; the device says by what can be read back whether it could. */
static int set_vector(struct vdev_driver *d, uint32_t at, uint16_t vector)
{
	const struct vdev_pci_driver *p = pci_of(d);

	if (vector != VDEV_DRIVER_NO_VECTOR && vector >= p->msix_vectors)
		return VIRTQ_EINVAL;
	if (p->msix_vectors == 0)
		return 0;
	put(d, at, 2, vector);
	if (get(d, at, 2) != vector)
		return vector == VDEV_DRIVER_NO_VECTOR ? VIRTQ_EPROTO : VIRTQ_ENOSPC;
	return 0;
}

static int queue_start(struct vdev_driver_queue *q, const struct virtq_state *s, uint16_t vector)
{
	struct vdev_driver *d = q->driver;
	int max = queue_max(d, q->index), rc;

	if (max < 0)
		return max;
	if (s->size > max)
		return VIRTQ_EINVAL;
	if (get(d, COMMON_QUEUE_ENABLE, 2) != 0)
		return VIRTQ_EBUSY;
	rc = find_notify(q);
	if (rc == 0)
		rc = set_vector(d, COMMON_QUEUE_MSIX_VECTOR, vector);
	if (rc < 0)
		return rc;
	put(d, COMMON_QUEUE_SIZE, 2, s->size);
	put_addr(d, COMMON_QUEUE_DESC, s->desc);
	put_addr(d, COMMON_QUEUE_DRIVER, s->driver);
	put_addr(d, COMMON_QUEUE_DEVICE, s->device);
	put(d, COMMON_QUEUE_ENABLE, 2, 1);
	return 0;
}

static void queue_reset(struct vdev_driver_queue *q)
{
	put(q->driver, COMMON_QUEUE_SELECT, 2, q->index);
	put(q->driver, COMMON_QUEUE_RESET, 2, 1);
}

static uint32_t queue_resetting(struct vdev_driver_queue *q)
{
	put(q->driver, COMMON_QUEUE_SELECT, 2, q->index);
	return get(q->driver, COMMON_QUEUE_RESET, 2);
}

static uint32_t queue_enabled(struct vdev_driver_queue *q)
{
	return get(q->driver, COMMON_QUEUE_ENABLE, 2);
}

static void notify(struct vdev_driver_queue *q, uint32_t data, uint32_t width)
{
	struct vdev_pci_driver *p = pci_of(q->driver);

	pci_put(p, &p->notify, (uint32_t)q->notify, width, data);
}

static const struct vdev_driver_ops pci_ops = {
	.known = DRIVER_KNOWN | FEATURE(VIRTQ_F_NOTIF_CONFIG_DATA) | FEATURE(VIRTQ_F_ADMIN_VQ),
	.status = status,
	.set_status = set_status,
	.offered = offered,
	.accept = accept_features,
	.was_reset = was_reset,
	.check = check,
	.queue_max = queue_max,
	.queue_start = queue_start,
	.queue_reset = queue_reset,
	.queue_resetting = queue_resetting,
	.queue_enabled = queue_enabled,
	.notify = notify,
	.interrupts = interrupts,
	.config_bytes = config_bytes,
	.generation = generation,
	.config_read = config_read,
	.config_write = config_write,
};

/* --- Public calls ----------------------------------------------------------------------------- */

/* The device's type by its PCI id, the ids of transitional devices too. */
static uint32_t type_of(uint32_t ids)
{
	static const uint8_t transitional[10] = {1, 2, 5, 3, 8, 4, 0, 0, 0, 9};
	uint32_t id = ids >> 16;

	if ((ids & 0xffff) != 0x1af4)
		return 0;
	if (id >= 0x1040 && id <= 0x107f)
		return id - 0x1040;
	return id >= 0x1000 && id < 0x1000 + sizeof(transitional) ? transitional[id - 0x1000] : 0;
}

static int access_ok(const struct vdev_pci_access *a)
{
	if (a->size < offsetof(struct vdev_pci_access, window_lock) || a->size > sizeof(*a) ||
	    a->config_read == NULL || a->config_write == NULL)
		return 0;
	return (a->bar_read != NULL) == (a->bar_write != NULL) &&
	       (a->bar_read != NULL) == (a->bar_bytes != NULL);
}

int vdev_pci_driver_init_sized(struct vdev_pci_driver *p, size_t p_size,
                               const struct vdev_pci_access *access)
{
	uint32_t ids;
	int rc;

	if (p_size < sizeof(*p) || !access_ok(access))
		return VIRTQ_EINVAL;
	memset(p, 0, sizeof(*p));
	/* The locks are of later days than the rest. */
	memcpy(&p->access, access,
	       access->size < sizeof(*access) ? offsetof(struct vdev_pci_access, window_lock)
	                                      : sizeof(*access));
	if ((p->access.window_lock != NULL) != (p->access.window_unlock != NULL))
		return VIRTQ_EINVAL;
	p->driver.ops = &pci_ops;
	p->driver.wait = p->access.wait;
	p->driver.wait_ctx = p->access.ctx;
	p->driver.polls = p->access.polls != 0 ? p->access.polls : DRIVER_POLLS;
	ids = p->access.config_read(p->access.ctx, PCI_IDS, 4);
	if (ids == UINT32_MAX)
		return VIRTQ_EIO;
	p->driver.device_id = type_of(ids);
	if (p->driver.device_id == 0)
		return VIRTQ_ENOTSUP;
	rc = pci_find_structures(p);
	if (rc < 0)
		return rc;
	/* BARs that nobody uses may have no addresses, and would answer at those of others. */
	if (p->access.bar_read != NULL)
		add_command(p, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	return (int)p->driver.device_id;
}

unsigned vdev_pci_driver_vectors(const struct vdev_pci_driver *p)
{
	return p->msix_vectors;
}

int vdev_pci_driver_set_message(struct vdev_pci_driver *p, unsigned vector, uint64_t addr,
                                uint32_t data)
{
	uint32_t at = vector * MSIX_ENTRY_BYTES;

	if (vector >= p->msix_vectors)
		return VIRTQ_EINVAL;
	if (p->msix_table.bytes == 0 || p->access.bar_read == NULL)
		return VIRTQ_ENOTSUP;
	pci_put(p, &p->msix_table, at + 12, 4, 1); /* masked while it is half written */
	pci_put(p, &p->msix_table, at, 4, (uint32_t)addr);
	pci_put(p, &p->msix_table, at + 4, 4, (uint32_t)(addr >> 32));
	pci_put(p, &p->msix_table, at + 8, 4, data);
	pci_put(p, &p->msix_table, at + 12, 4, 0);
	return 0;
}

int vdev_pci_driver_set_msix(struct vdev_pci_driver *p, int on)
{
	const struct vdev_pci_access *a = &p->access;
	uint32_t at = (uint32_t)p->msix + MSIX_CONTROL, control;

	if (p->msix == 0)
		return VIRTQ_ENOTSUP;
	control = a->config_read(a->ctx, at, 2) & 0xffff;
	control &= ~(uint32_t)(MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK_ALL);
	a->config_write(a->ctx, at, 2, on ? control | MSIX_CONTROL_ENABLE : control);
	return 0;
}

int vdev_pci_driver_set_config_vector(struct vdev_pci_driver *p, uint16_t vector)
{
	if (!driver_live(&p->driver))
		return VIRTQ_EINVAL;
	if (p->msix_vectors == 0)
		return VIRTQ_ENOTSUP;
	return set_vector(&p->driver, COMMON_CONFIG_MSIX_VECTOR, vector);
}

int vdev_pci_driver_admin_queues(struct vdev_pci_driver *p, uint16_t *first)
{
	uint32_t index = 0;
	int n;

	if (!driver_live(&p->driver))
		return VIRTQ_EINVAL;
	if (!virtq_features_has(&p->driver.features, VIRTQ_F_ADMIN_VQ))
		return VIRTQ_ENOTSUP;
	n = admin_queues(&p->driver, &index);
	if (n >= 0)
		*first = (uint16_t)index;
	return n;
}

int vdev_pci_driver_notify_place(const struct vdev_driver_queue *q, struct vdev_pci_place *place,
                                 uint16_t *id)
{
	const struct vdev_pci_driver *p = pci_of(q->driver);

	if (!driver_queue_is(q, QUEUE_STARTED))
		return VIRTQ_EINVAL;
	*place = p->notify;
	place->offset += q->notify;
	place->bytes = virtq_features_has(&q->driver->features, VIRTQ_F_NOTIFICATION_DATA) ? 4 : 2;
	*id = q->notify_id;
	return 0;
}
