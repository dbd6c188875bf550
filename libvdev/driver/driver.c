/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's way through a device's life, the same over every transport. */
#include "driver.h"

#include <string.h>

/* How often fields are read anew because their generation changed meanwhile. */
#define GENERATION_TRIES 100

/* The status of a device that is no longer there. */
#define GONE 0xff

uint32_t vdev_driver_device_id(const struct vdev_driver *d)
{
	return d->device_id;
}

int vdev_driver_phase(const struct vdev_driver *d)
{
	return d->phase;
}

int vdev_driver_status(struct vdev_driver *d)
{
	uint32_t status = d->ops->status(d) & 0xff;

	return status == GONE ? VIRTQ_EIO : (int)status;
}

/* Bits are only ever added, until the next reset. */
static void add_status(struct vdev_driver *d, uint8_t bits)
{
	d->status |= bits;
	d->ops->set_status(d, d->status);
}

void vdev_driver_fail(struct vdev_driver *d)
{
	add_status(d, VIRTQ_STATUS_FAILED);
	d->phase = VDEV_DRIVER_FAILED;
}

/* Wait until these bits of the status have that value. */
static int await_status(struct vdev_driver *d, int mask, int value)
{
	for (uint32_t i = 0;; i++) {
		int status = vdev_driver_status(d);

		if (status < 0)
			return status;
		if ((status & mask) == value)
			return 0;
		if (value != 0 && (status & VIRTQ_STATUS_NEEDS_RESET))
			return VIRTQ_EBROKEN;
		if (i >= d->polls)
			return VIRTQ_EAGAIN;
		if (d->wait != NULL)
			d->wait(d->wait_ctx);
	}
}

int vdev_driver_reset(struct vdev_driver *d)
{
	int rc;

	d->phase = VDEV_DRIVER_FAILED; /* until it is known to be over */
	d->status = 0;
	d->ops->set_status(d, 0);
	rc = await_status(d, 0xff, 0);
	if (rc < 0)
		return rc;
	d->epoch++;
	d->phase = VDEV_DRIVER_RESET;
	memset(&d->offered, 0, sizeof(d->offered));
	memset(&d->features, 0, sizeof(d->features));
	return 0;
}

/*
 * What is offered. Registers made when there were 64 bits may take any selector above 0 for 1 and show
 * bits 32 to 63 three times: no device has bits 96 and above, nor VERSION_1 at 64.
 */
static void read_offered(struct vdev_driver *d)
{
	uint32_t word[4];

	for (uint32_t i = 0; i < 4; i++)
		word[i] = d->ops->offered(d, i);
	if (word[2] == word[1] && word[3] == word[1])
		word[2] = word[3] = 0;
	d->offered.word[0] = word[0] | (uint64_t)word[1] << 32;
	d->offered.word[1] = word[2] | (uint64_t)word[3] << 32;
}

int vdev_driver_begin(struct vdev_driver *d)
{
	int rc = vdev_driver_reset(d);

	if (rc < 0)
		return rc;
	rc = d->ops->was_reset != NULL ? d->ops->was_reset(d) : 0;
	if (rc < 0)
		return rc;
	add_status(d, VIRTQ_STATUS_ACKNOWLEDGE);
	add_status(d, VIRTQ_STATUS_DRIVER);
	read_offered(d);
	d->phase = VDEV_DRIVER_BEGUN;
	return 0;
}

void vdev_driver_offered(const struct vdev_driver *d, struct virtq_features *out)
{
	*out = d->offered;
}

void vdev_driver_features(const struct vdev_driver *d, struct virtq_features *out)
{
	*out = d->features;
}

/* The bits that a driver may accept over this transport. */
static struct virtq_features acceptable(const struct vdev_driver *d)
{
	const uint64_t reserved = (FEATURE(50) - 1) & ~(FEATURE(24) - 1);
	struct virtq_features f;

	f.word[0] = d->offered.word[0] & (~reserved | d->ops->known);
	f.word[1] = d->offered.word[1];
	return f;
}

static int refuse(struct vdev_driver *d, int rc)
{
	vdev_driver_fail(d);
	return rc;
}

int vdev_driver_negotiate(struct vdev_driver *d, const struct virtq_features *wanted,
                          const struct virtq_features *required)
{
	struct virtq_features may = acceptable(d), must = {{FEATURE(VIRTQ_F_VERSION_1), 0}};
	int status, rc;

	if (d->phase != VDEV_DRIVER_BEGUN)
		return VIRTQ_EINVAL;
	for (int i = 0; i < 2; i++) {
		must.word[i] |= required != NULL ? required->word[i] : 0;
		d->features.word[i] = may.word[i] & (must.word[i] | wanted->word[i]);
	}
	if (!virtq_features_subset(&must, &may))
		return refuse(d, VIRTQ_ENOTSUP);
	rc = d->ops->check != NULL ? d->ops->check(d) : 0;
	if (rc < 0)
		return refuse(d, rc);
	/* Downwards: where the upper ones are taken for bits 32 to 63, those come last. */
	for (uint32_t i = 4; i-- > 0;)
		d->ops->accept(d, i, (uint32_t)(d->features.word[i / 2] >> 32 * (i % 2)));
	add_status(d, VIRTQ_STATUS_FEATURES_OK);
	status = vdev_driver_status(d);
	if (status < 0)
		return status;
	if (!(status & VIRTQ_STATUS_FEATURES_OK))
		return refuse(d, VIRTQ_ENOTSUP);
	d->phase = VDEV_DRIVER_NEGOTIATED;
	return 0;
}

int vdev_driver_ready(struct vdev_driver *d)
{
	int status;

	if (d->phase != VDEV_DRIVER_NEGOTIATED)
		return VIRTQ_EINVAL;
	add_status(d, VIRTQ_STATUS_DRIVER_OK);
	d->phase = VDEV_DRIVER_RUNNING;
	status = vdev_driver_status(d);
	if (status < 0)
		return status;
	return status & VIRTQ_STATUS_NEEDS_RESET ? VIRTQ_EBROKEN : 0;
}

/* --- Queues ----------------------------------------------------------------------------------- */

static int live(const struct vdev_driver *d)
{
	return d->phase == VDEV_DRIVER_NEGOTIATED || d->phase == VDEV_DRIVER_RUNNING;
}

int driver_queue_size(const struct vdev_driver *d, uint32_t size)
{
	if (size == 0)
		return VIRTQ_ENOTSUP;
	if (size > VIRTQ_MAX_SIZE)
		return VIRTQ_EPROTO;
	if (!virtq_features_has(&d->features, VIRTQ_F_RING_PACKED) && (size & (size - 1)) != 0)
		return VIRTQ_EPROTO;
	return (int)size;
}

int driver_queue_is(const struct vdev_driver_queue *q, enum driver_queue_state state)
{
	return q->state == state && q->epoch == q->driver->epoch;
}

int vdev_driver_queue_max(struct vdev_driver *d, uint16_t index)
{
	return live(d) ? d->ops->queue_max(d, index) : VIRTQ_EINVAL;
}

int vdev_driver_queue_start(struct vdev_driver_queue *q, struct vdev_driver *d, uint16_t index,
                            struct virtq_drv *vq, uint16_t vector)
{
	struct virtq_state s;
	int rc;

	if (!live(d) ||
	    (d->phase == VDEV_DRIVER_RUNNING && !virtq_features_has(&d->features, VIRTQ_F_RING_RESET)))
		return VIRTQ_EINVAL;
	virtq_drv_state(vq, &s);
	if (virtq_state_check(&s, &d->features) < 0)
		return VIRTQ_EINVAL;
	memset(q, 0, sizeof(*q));
	q->driver = d;
	q->vq = vq;
	q->index = q->notify_id = index;
	q->epoch = d->epoch;
	rc = d->ops->queue_start(q, &s, vector);
	if (rc == 0)
		q->state = QUEUE_STARTED;
	return rc;
}

int vdev_driver_queue_reset(struct vdev_driver_queue *q)
{
	struct vdev_driver *d = q->driver;

	if (!live(d) || !(driver_queue_is(q, QUEUE_STARTED) || driver_queue_is(q, QUEUE_RESETTING)))
		return VIRTQ_EINVAL;
	if (!virtq_features_has(&d->features, VIRTQ_F_RING_RESET))
		return VIRTQ_ENOTSUP;
	if (q->state == QUEUE_STARTED)
		d->ops->queue_reset(q);
	q->state = QUEUE_RESETTING;
	for (uint32_t i = 0; d->ops->queue_resetting(q) != 0; i++) {
		if (i >= d->polls)
			return VIRTQ_EAGAIN;
		if (d->wait != NULL)
			d->wait(d->wait_ctx);
	}
	/* A device that does not know the register reads as 0 there. */
	if (d->ops->queue_enabled(q) != 0)
		return VIRTQ_EPROTO;
	q->state = QUEUE_OFF;
	return 0;
}

void vdev_driver_notify(struct vdev_driver_queue *q)
{
	struct vdev_driver *d = q->driver;

	if (d->phase != VDEV_DRIVER_RUNNING || !driver_queue_is(q, QUEUE_STARTED))
		return;
	if (virtq_features_has(&d->features, VIRTQ_F_NOTIFICATION_DATA))
		d->ops->notify(q, virtq_drv_notify_data(q->vq, q->notify_id), 4);
	else
		d->ops->notify(q, q->notify_id, 2);
}

int vdev_driver_kick(struct vdev_driver_queue *q)
{
	virtq_drv_publish(q->vq);
	if (virtq_drv_should_kick(q->vq) != 1)
		return 0;
	vdev_driver_notify(q);
	return 1;
}

unsigned vdev_driver_interrupts(struct vdev_driver *d)
{
	return d->ops->interrupts(d) & (VDEV_DRIVER_INTERRUPT_QUEUE | VDEV_DRIVER_INTERRUPT_CONFIG);
}

void vdev_driver_interrupts_done(struct vdev_driver *d, unsigned which)
{
	which &= VDEV_DRIVER_INTERRUPT_QUEUE | VDEV_DRIVER_INTERRUPT_CONFIG;
	if (which != 0 && d->ops->interrupts_done != NULL)
		d->ops->interrupts_done(d, which);
}

/* --- Configuration space ---------------------------------------------------------------------- */

static int check_field(const struct vdev_driver *d, const struct vdev_driver_field *f)
{
	uint32_t bytes = d->ops->config_bytes(d), align = f->width == 8 ? 4 : f->width;

	if ((f->width != 1 && f->width != 2 && f->width != 4 && f->width != 8) ||
	    f->offset % align != 0)
		return VIRTQ_EINVAL;
	if (f->offset > bytes || f->width > bytes - f->offset)
		return VIRTQ_ENOTSUP;
	return 0;
}

static uint64_t read_field(struct vdev_driver *d, const struct vdev_driver_field *f)
{
	uint64_t low;

	if (f->width < 8)
		return d->ops->config_read(d, f->offset, f->width);
	low = d->ops->config_read(d, f->offset, 4);
	return low | (uint64_t)d->ops->config_read(d, f->offset + 4, 4) << 32;
}

int vdev_driver_config_read(struct vdev_driver *d, struct vdev_driver_field *field, uint32_t n)
{
	uint32_t before;
	int tries = 0;

	if (d->phase == VDEV_DRIVER_RESET || d->phase == VDEV_DRIVER_FAILED)
		return VIRTQ_EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		int rc = check_field(d, &field[i]);

		if (rc < 0)
			return rc;
	}
	do {
		if (tries++ >= GENERATION_TRIES)
			return VIRTQ_EAGAIN;
		before = d->ops->generation(d);
		for (uint32_t i = 0; i < n; i++)
			field[i].value = read_field(d, &field[i]);
	} while (d->ops->generation(d) != before);
	return 0;
}

int vdev_driver_config_write(struct vdev_driver *d, const struct vdev_driver_field *field)
{
	int rc;

	if (!live(d))
		return VIRTQ_EINVAL;
	rc = check_field(d, field);
	if (rc < 0)
		return rc;
	if (field->width < 8) {
		d->ops->config_write(d, field->offset, field->width, (uint32_t)field->value);
		return 0;
	}
	d->ops->config_write(d, field->offset, 4, (uint32_t)field->value);
	d->ops->config_write(d, field->offset + 4, 4, (uint32_t)(field->value >> 32));
	return 0;
}

/* --- Suspend ---------------------------------------------------------------------------------- */

int vdev_driver_suspend(struct vdev_driver *d)
{
	if (d->phase != VDEV_DRIVER_RUNNING && d->phase != VDEV_DRIVER_SUSPENDED)
		return VIRTQ_EINVAL;
	if (!virtq_features_has(&d->features, VIRTQ_F_SUSPEND))
		return VIRTQ_ENOTSUP;
	if (d->phase == VDEV_DRIVER_RUNNING) {
		d->phase = VDEV_DRIVER_SUSPENDED;
		add_status(d, VIRTQ_STATUS_SUSPEND);
	}
	return await_status(d, VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK, VIRTQ_STATUS_SUSPEND);
}

int vdev_driver_resume(struct vdev_driver *d)
{
	int rc;

	if (d->phase != VDEV_DRIVER_SUSPENDED)
		return VIRTQ_EINVAL;
	/* The device has cleared DRIVER_OK, and clears SUSPEND: the driver sets the one bit. */
	add_status(d, VIRTQ_STATUS_DRIVER_OK);
	rc = await_status(d, VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK, VIRTQ_STATUS_DRIVER_OK);
	if (rc < 0)
		return rc;
	d->status &= (uint8_t)~VIRTQ_STATUS_SUSPEND; /* as the device now shows it */
	d->phase = VDEV_DRIVER_RUNNING;
	return 0;
}
