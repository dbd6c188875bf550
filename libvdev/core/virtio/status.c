/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device status (section 2.1) and what hangs on it: initialisation (3.1), suspend and resume. A write either follows
 * the rules or is ignored; only a reset clears bits.
 */
#include "core.h"

enum {
	DRIVER_BITS = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_DRIVER_OK |
	              VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_FAILED
};

uint8_t vdev_status(const struct vdev *v)
{
	return (uint8_t)load_acquire(&v->status);
}

static void status_set(struct vdev *v, uint32_t bits)
{
	__atomic_fetch_or(&v->status, bits, __ATOMIC_ACQ_REL);
}

/* Queues may be served when the driver is ready and nobody has asked for a pause. Control thread. */
void gate_update(struct vdev *v)
{
	uint32_t open = status_has(v, VIRTQ_STATUS_DRIVER_OK) && !v->quiesce && !v->suspend &&
	                !fan_pending(v, FAN_RESET);

	store_release(&v->open, open);
}

void vdev_needs_reset(struct vdev *v)
{
	uint32_t old = __atomic_fetch_or(&v->status, VIRTQ_STATUS_NEEDS_RESET, __ATOMIC_ACQ_REL);

	if (old & VIRTQ_STATUS_NEEDS_RESET)
		return;
	core_log(v, VDEV_LOG_ERROR, VIRTQ_EBROKEN, -1, -1, old, "device needs a reset");
	config_notify(v);
}

/* Every queue has drained: 3.4, what the driver reads from now on. */
void status_suspended(struct vdev *v)
{
	uint32_t old = load_acquire(&v->status);

	config_suspend(v);
	while (!__atomic_compare_exchange_n(
		&v->status, &old, (old & ~(uint32_t)VIRTQ_STATUS_DRIVER_OK) | VIRTQ_STATUS_SUSPEND, 0,
		__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

/* Every queue has ended: back to power-on, but for the status, which follows. */
void status_reset(struct vdev *v)
{
	if (v->ops.reset != NULL)
		v->ops.reset(v->model);
	memset(&v->accepted, 0, sizeof(v->accepted));
	memset(&v->features, 0, sizeof(v->features));
	for (uint32_t i = 0; i < v->nqueues; i++)
		coalesce_reset(&v->queues[i]);
	config_reset(v);
}

/* FEATURES_OK is being set: 1 when it sticks. */
static int take_features(struct vdev *v)
{
	if (!features_acceptable(v, &v->accepted)) {
		core_log(v, VDEV_LOG_WARNING, VIRTQ_ENOTSUP, -1, -1, v->accepted.word[0],
		         "the driver's features are refused");
		return 0;
	}
	v->features = v->accepted;
	if (v->ops.negotiated != NULL)
		v->ops.negotiated(v->model);
	return 1;
}

static void go(struct vdev *v)
{
	gate_update(v);
	config_release(v);
	wake_all(v);
}

/* The device is suspended: only resuming and giving up mean anything. */
static int write_suspended(struct vdev *v, uint32_t old, uint32_t new)
{
	if (~new &old & DRIVER_BITS & ~(uint32_t)VIRTQ_STATUS_SUSPEND)
		return VIRTQ_EINVAL;
	if (new &VIRTQ_STATUS_FAILED)
		status_set(v, VIRTQ_STATUS_FAILED);
	if (!(new &VIRTQ_STATUS_DRIVER_OK))
		return new &VIRTQ_STATUS_SUSPEND || new &VIRTQ_STATUS_FAILED ? 0 : VIRTQ_EINVAL;
	v->suspend = 0;
	/* One store each way keeps a reader from seeing neither bit or a bit of each. */
	while (!__atomic_compare_exchange_n(
		&v->status, &old, (old & ~(uint32_t)VIRTQ_STATUS_SUSPEND) | VIRTQ_STATUS_DRIVER_OK, 0,
		__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	go(v);
	return 0;
}

/* What of the new bits may be set; < 0: the whole write breaks the rules. */
static int allowed(struct vdev *v, uint32_t old, uint32_t add)
{
	if (add & VIRTQ_STATUS_SUSPEND &&
	    (!(old & VIRTQ_STATUS_DRIVER_OK) || !vdev_has(v, VIRTQ_F_SUSPEND)))
		add &= ~(uint32_t)VIRTQ_STATUS_SUSPEND;
	if (add & VIRTQ_STATUS_DRIVER_OK && !((old | add) & VIRTQ_STATUS_FEATURES_OK))
		return VIRTQ_EINVAL;
	if (add & VIRTQ_STATUS_FEATURES_OK && !take_features(v))
		add &= ~(uint32_t)(VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_DRIVER_OK);
	return (int)add;
}

static int any_started(const struct vdev *v)
{
	for (uint32_t i = 0; i < v->nqueues; i++)
		if (load_acquire(&v->queues[i].started))
			return 1;
	return 0;
}

/*
 * A reset that has left status 0 but is still to be told of (what is mapped is waited for, or its end is on its way) is
 * not this one too where the driver has gone on since. Without queues this one ends here.
 */
static int reset(struct vdev *v)
{
	int rc = vdev_function_reset(&v->fn);

	if (rc == VIRTQ_EAGAIN && load_acquire(&v->status) != 0 && !fan_pending(v, FAN_RESET) &&
	    !any_started(v))
		(void)core_reset(&v->fn);
	return rc;
}

int vdev_set_status(struct vdev *v, uint8_t status)
{
	uint32_t old = load_acquire(&v->status);
	int add;

	if (status == 0)
		return reset(v);
	if (fan_pending(v, FAN_RESET))
		return VIRTQ_EINVAL;
	function_activate(&v->fn);
	if (old & VIRTQ_STATUS_SUSPEND)
		return write_suspended(v, old, status);
	if (v->suspend && !(status & VIRTQ_STATUS_SUSPEND))
		return VIRTQ_EINVAL;
	if (~(uint32_t)status & old & DRIVER_BITS)
		return VIRTQ_EINVAL;
	if (v->suspend) { /* under way: nothing new until it has ended */
		status_set(v, status & VIRTQ_STATUS_FAILED);
		return VIRTQ_EAGAIN;
	}
	add = allowed(v, old, status & ~old & DRIVER_BITS);
	if (add < 0)
		return add;
	status_set(v, (uint32_t)add & ~(uint32_t)VIRTQ_STATUS_SUSPEND);
	if (add & VIRTQ_STATUS_DRIVER_OK) {
		if (v->ops.started != NULL)
			v->ops.started(v->model);
		go(v);
	}
	if (add & VIRTQ_STATUS_SUSPEND)
		return suspend_begin(v);
	return 0;
}
