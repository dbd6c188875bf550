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

/* Owners of queues look at it while the device's thread sets it; it guards nothing else. */
int vdev_driver_phase(const struct vdev_driver *d)
{
	return __atomic_load_n(&d->phase, __ATOMIC_RELAXED);
}

static void set_phase(struct vdev_driver *d, enum vdev_driver_phase phase)
{
	__atomic_store_n(&d->phase, (uint8_t)phase, __ATOMIC_RELAXED);
}

static int in_phase(const struct vdev_driver *d, enum vdev_driver_phase phase)
{
	return vdev_driver_phase(d) == (int)phase;
}

int vdev_driver_status(struct vdev_driver *d)
{
	uint32_t status = d->ops->status(d) & 0xff;

	return status == GONE ? VIRTQ_EIO : (int)status;
}

/* Where nothing is, some buses read as zeroes. */
int driver_shown(struct vdev_driver *d)
{
	int status = vdev_driver_status(d);

	return status == 0 && d->status != 0 ? VIRTQ_EIO : status;
}

/* Bits are only ever added by us, until the next reset; the device takes two back (see Suspend). */
static void add_status(struct vdev_driver *d, uint8_t bits)
{
	d->status |= bits;
	d->ops->set_status(d, d->status);
}

void vdev_driver_fail(struct vdev_driver *d)
{
	add_status(d, VIRTQ_STATUS_FAILED);
	set_phase(d, VDEV_DRIVER_FAILED);
}

/* Wait until these bits of the status have that value. */
static int await_status(struct vdev_driver *d, int mask, int value)
{
	for (uint32_t i = 0;; i++) {
		int status = driver_shown(d);

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

	set_phase(d, VDEV_DRIVER_FAILED); /* until it is known to be over */
	d->status = 0;
	d->ops->set_status(d, 0);
	rc = await_status(d, 0xff, 0);
	if (rc < 0)
		return rc;
	d->epoch++;
	set_phase(d, VDEV_DRIVER_RESET);
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
	set_phase(d, VDEV_DRIVER_BEGUN);
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

	if (!in_phase(d, VDEV_DRIVER_BEGUN))
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
	status = driver_shown(d);
	if (status < 0)
		return status;
	if (!(status & VIRTQ_STATUS_FEATURES_OK))
		return refuse(d, VIRTQ_ENOTSUP);
	set_phase(d, VDEV_DRIVER_NEGOTIATED);
	return 0;
}

int vdev_driver_ready(struct vdev_driver *d)
{
	int status;

	if (!in_phase(d, VDEV_DRIVER_NEGOTIATED))
		return VIRTQ_EINVAL;
	add_status(d, VIRTQ_STATUS_DRIVER_OK);
	set_phase(d, VDEV_DRIVER_RUNNING);
	status = driver_shown(d);
	if (status < 0)
		return status;
	return status & VIRTQ_STATUS_NEEDS_RESET ? VIRTQ_EBROKEN : 0;
}

/* --- Queues ----------------------------------------------------------------------------------- */

int driver_live(const struct vdev_driver *d)
{
	int phase = vdev_driver_phase(d);

	return phase == VDEV_DRIVER_NEGOTIATED || phase == VDEV_DRIVER_RUNNING;
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

/* What went wrong with a device that is gone is that. */
static int unless_gone(struct vdev_driver *d, int rc)
{
	return rc < 0 && driver_shown(d) < 0 ? VIRTQ_EIO : rc;
}

int vdev_driver_queue_max(struct vdev_driver *d, uint16_t index)
{
	return driver_live(d) ? unless_gone(d, d->ops->queue_max(d, index)) : VIRTQ_EINVAL;
}

int vdev_driver_queue_start(struct vdev_driver_queue *q, struct vdev_driver *d, uint16_t index,
                            struct virtq_drv *vq, uint16_t vector)
{
	struct vdev_driver_queue fresh = {.driver = d, .vq = vq, .index = index, .notify_id = index};
	struct virtq_state s;
	int rc;

	if (!driver_live(d) ||
	    (in_phase(d, VDEV_DRIVER_RUNNING) && !virtq_features_has(&d->features, VIRTQ_F_RING_RESET)))
		return VIRTQ_EINVAL;
	virtq_drv_state(vq, &s);
	if (virtq_state_check(&s, &d->features) < 0)
		return VIRTQ_EINVAL;
	fresh.epoch = d->epoch;
	/* One that vdev_driver_queue_reset() gave up waiting for. It may show as not enabled already. */
	if (virtq_features_has(&d->features, VIRTQ_F_RING_RESET) &&
	    d->ops->queue_resetting(&fresh) != 0)
		return unless_gone(d, VIRTQ_EBUSY);
	rc = unless_gone(d, d->ops->queue_start(&fresh, &s, vector));
	if (rc < 0)
		return rc;
	/* Not before: one that is started already stays as it is. */
	fresh.state = QUEUE_STARTED;
	*q = fresh;
	return 0;
}

int vdev_driver_queue_reset(struct vdev_driver_queue *q)
{
	struct vdev_driver *d = q->driver;

	if (!driver_live(d) ||
	    !(driver_queue_is(q, QUEUE_STARTED) || driver_queue_is(q, QUEUE_RESETTING)))
		return VIRTQ_EINVAL;
	if (!virtq_features_has(&d->features, VIRTQ_F_RING_RESET))
		return VIRTQ_ENOTSUP;
	if (q->state == QUEUE_STARTED)
		d->ops->queue_reset(q);
	q->state = QUEUE_RESETTING;
	for (uint32_t i = 0; d->ops->queue_resetting(q) != 0; i++) {
		if (driver_shown(d) < 0)
			return VIRTQ_EIO;
		if (i >= d->polls)
			return VIRTQ_EAGAIN;
		if (d->wait != NULL)
			d->wait(d->wait_ctx);
	}
	/* A device that does not know the register reads as 0 there. */
	if (d->ops->queue_enabled(q) != 0)
		return unless_gone(d, VIRTQ_EPROTO);
	if (driver_shown(d) < 0)
		return VIRTQ_EIO;
	q->state = QUEUE_OFF;
	return 0;
}

/* Whether the device may be told of buffers now. */
static int may_notify(const struct vdev_driver_queue *q)
{
	return in_phase(q->driver, VDEV_DRIVER_RUNNING) && driver_queue_is(q, QUEUE_STARTED);
}

void vdev_driver_notify(struct vdev_driver_queue *q)
{
	struct vdev_driver *d = q->driver;

	if (!may_notify(q))
		return;
	if (virtq_features_has(&d->features, VIRTQ_F_NOTIFICATION_DATA))
		d->ops->notify(q, virtq_drv_notify_data(q->vq, q->notify_id), 4);
	else
		d->ops->notify(q, q->notify_id, 2);
}

int vdev_driver_kick(struct vdev_driver_queue *q)
{
	int may = may_notify(q);

	/* Buffers may be there before the device is ready, and are not to come once it suspends. */
	if (may || (in_phase(q->driver, VDEV_DRIVER_NEGOTIATED) && driver_queue_is(q, QUEUE_STARTED)))
		virtq_drv_publish(q->vq);
	/* To be asked is to forget what was published: not before it can be told. */
	if (!may || virtq_drv_should_kick(q->vq) != 1)
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

	if (in_phase(d, VDEV_DRIVER_RESET) || in_phase(d, VDEV_DRIVER_FAILED))
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
	/* Of a device that is gone all that can be read, and its generation stays the same. */
	return driver_shown(d) < 0 ? VIRTQ_EIO : 0;
}

int vdev_driver_config_write(struct vdev_driver *d, const struct vdev_driver_field *field)
{
	int rc;

	if (!driver_live(d))
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

/*
 * A device that has suspended clears DRIVER_OK, one that goes on clears SUSPEND. d->status follows, and so says which of
 * the two is under way or over in phase SUSPENDED: both bits: it is to suspend; SUSPEND alone: it is suspended; DRIVER_OK
 * alone: it is to go on. A bit that it took back is never written again but to ask for the same anew.
 */
static int suspend_bits(const struct vdev_driver *d)
{
	return d->status & (VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK);
}

int vdev_driver_suspend(struct vdev_driver *d)
{
	int rc;

	if (!in_phase(d, VDEV_DRIVER_RUNNING) && !in_phase(d, VDEV_DRIVER_SUSPENDED))
		return VIRTQ_EINVAL;
	if (!virtq_features_has(&d->features, VIRTQ_F_SUSPEND))
		return VIRTQ_ENOTSUP;
	if (in_phase(d, VDEV_DRIVER_RUNNING)) {
		set_phase(d, VDEV_DRIVER_SUSPENDED);
		add_status(d, VIRTQ_STATUS_SUSPEND);
	} else if (suspend_bits(d) == VIRTQ_STATUS_DRIVER_OK) {
		return VIRTQ_EINVAL;
	}
	rc = await_status(d, VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK, VIRTQ_STATUS_SUSPEND);
	if (rc == 0)
		d->status &= (uint8_t)~VIRTQ_STATUS_DRIVER_OK;
	return rc;
}

/* Nothing can be asked of a device that has not suspended yet. */
static int not_suspended(struct vdev_driver *d)
{
	int status = driver_shown(d);

	if (status < 0)
		return status;
	return status & VIRTQ_STATUS_NEEDS_RESET ? VIRTQ_EBROKEN : VIRTQ_EAGAIN;
}

int vdev_driver_resume(struct vdev_driver *d)
{
	int rc;

	if (!in_phase(d, VDEV_DRIVER_SUSPENDED))
		return VIRTQ_EINVAL;
	if (suspend_bits(d) == (VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK))
		return not_suspended(d);
	if (suspend_bits(d) == VIRTQ_STATUS_SUSPEND) {
		/* The one bit is set; asked once, since a device that goes on already would take it for a new suspend. */
		add_status(d, VIRTQ_STATUS_DRIVER_OK);
		d->status &= (uint8_t)~VIRTQ_STATUS_SUSPEND;
	}
	rc = await_status(d, VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_DRIVER_OK, VIRTQ_STATUS_DRIVER_OK);
	if (rc < 0)
		return rc;
	set_phase(d, VDEV_DRIVER_RUNNING);
	return 0;
}
