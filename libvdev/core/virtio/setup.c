/* SPDX-License-Identifier: BSD-3-Clause */
/* What transports set on a queue, and what they and the model may ask of it. */
#include "core.h"

int vdev_queue_set_owner(struct vdev *v, unsigned index, const struct vdev_owner *owner)
{
	struct vdev_queue *q;

	if (index >= v->nqueues || (owner != NULL && owner->wake == NULL))
		return VIRTQ_EINVAL;
	q = &v->queues[index];
	if (load_acquire(&q->started))
		return VIRTQ_EBUSY;
	__atomic_store_n(&q->owned, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&q->wakers, __ATOMIC_SEQ_CST) != 0)
		; /* see queue_wake_owner() */
	memset(&q->owner, 0, sizeof(q->owner));
	if (owner != NULL) {
		q->owner = *owner;
		store_release(&q->owned, 1);
	}
	return 0;
}

int vdev_queue_owned(const struct vdev *v, unsigned q)
{
	return q < v->nqueues && v->queues[q].owned;
}

int vdev_set_xlat(struct vdev *v, const struct virtq_xlat_ops *ops)
{
	if (ops != NULL && (!has_field(ops, ctx) || ops->translate == NULL))
		return VIRTQ_EINVAL;
	for (uint32_t i = 0; i < v->nqueues; i++)
		if (load_acquire(&v->queues[i].started))
			return VIRTQ_EBUSY;
	v->has_xlat = ops != NULL;
	if (ops != NULL)
		copy_sized(&v->xlat, sizeof(v->xlat), ops, ops->size);
	if (ops != NULL)
		v->xlat.size = sizeof(v->xlat);
	return 0;
}

static int check_setup(struct vdev *v, const struct vdev_queue *q,
                       const struct vdev_queue_setup *setup)
{
	if (load_acquire(&q->started))
		return VIRTQ_EBUSY;
	if (!status_has(v, VIRTQ_STATUS_FEATURES_OK) || fan_pending(v, FAN_RESET))
		return VIRTQ_EINVAL;
	if (setup->state.size > v->queue_max || setup->flags & ~(uint32_t)VDEV_QUEUE_USED_LOG ||
	    setup->reserved != 0 || setup->reserved2 != 0)
		return VIRTQ_EINVAL;
	if (virtq_state_check(&setup->state, &v->features) < 0)
		return VIRTQ_EBADMSG;
	if (!queue_ring_ok(v, &setup->state, v->fn.mem))
		return VIRTQ_EFAULT;
	return 0;
}

/* Start a queue that nobody owns: here and now. */
static int start_inline(struct vdev_queue *q)
{
	int rc = queue_begin(q);

	if (rc < 0 && rc != VIRTQ_EAGAIN) {
		store_release(&q->started, 0);
		return rc;
	}
	if (rc == VIRTQ_EAGAIN)
		q->todo |= POST_START;
	else if (load_acquire(&q->v->open))
		queue_serve_inline(q);
	return rc;
}

int vdev_queue_start(struct vdev *v, unsigned index, const struct vdev_queue_setup *setup)
{
	struct vdev_queue *q;
	int rc;

	if (index >= v->nqueues || setup == NULL)
		return VIRTQ_EINVAL;
	q = &v->queues[index];
	rc = check_setup(v, q, setup);
	if (rc < 0)
		return rc;
	function_activate(&v->fn);
	q->setup = *setup;
	q->start_mem = v->fn.mem;
	virtq_mem_ref(q->start_mem);
	q->has_state = 0;
	store_relaxed(&q->broken, 0);
	store_release(&q->started, 1);
	if (!q->owned)
		return start_inline(q);
	post(q, POST_START);
	return VIRTQ_EAGAIN;
}

int vdev_queue_started(const struct vdev *v, unsigned q)
{
	return q < v->nqueues && load_acquire(&v->queues[q].started);
}

int vdev_queue_broken(const struct vdev *v, unsigned q)
{
	return q < v->nqueues && load_acquire(&v->queues[q].broken);
}

int vdev_queue_enable(struct vdev *v, unsigned index, int on)
{
	struct vdev_queue *q;

	if (index >= v->nqueues)
		return VIRTQ_EINVAL;
	q = &v->queues[index];
	queue_set_enabled(q, on);
	if (!on || !load_acquire(&q->started))
		return 0;
	post(q, POST_WAKE);
	if (!q->owned)
		queue_serve_inline(q);
	return 0;
}

int vdev_queue_enabled(const struct vdev_queue *q)
{
	return load_acquire(&q->enabled) == QUEUE_ENABLED;
}

int vdev_queue_open(const struct vdev_queue *q)
{
	return load_acquire(&q->v->open) && vdev_queue_enabled(q);
}

int vdev_queue_state(const struct vdev *v, unsigned index, struct virtq_state *out)
{
	const struct vdev_queue *q;

	if (index >= v->nqueues || out == NULL)
		return VIRTQ_EINVAL;
	q = &v->queues[index];
	if (load_acquire(&q->started)) {
		if (!v->fn.quiesced || !q->live)
			return VIRTQ_EBUSY;
		return virtq_dev_state(&q->vq, out);
	}
	if (!q->has_state)
		return VIRTQ_EINVAL;
	*out = q->state;
	return 0;
}

void vdev_queue_counters(const struct vdev *v, unsigned index, struct vdev_counters *out)
{
	const struct counters *n;

	memset(out, 0, sizeof(*out));
	if (index >= v->nqueues)
		return;
	n = &v->queues[index].n;
	out->requests = counted(&n->requests);
	out->read_bytes = counted(&n->read_bytes);
	out->written_bytes = counted(&n->written_bytes);
	out->kicks = counted(&n->kicks) + load_relaxed(&v->queues[index].kicks);
	out->interrupts = counted(&n->interrupts);
	out->errors = counted(&n->errors);
	out->faults = counted(&n->faults);
	out->bursts = counted(&n->bursts);
	out->discarded_bytes = counted(&n->discarded_bytes);
}

struct vdev *vdev_queue_device(struct vdev_queue *q)
{
	return q->v;
}

unsigned vdev_queue_index(const struct vdev_queue *q)
{
	return q->index;
}

void vdev_queue_set_priv(struct vdev_queue *q, void *priv)
{
	q->priv = priv;
}

void *vdev_queue_priv(const struct vdev_queue *q)
{
	return q->priv;
}

uint16_t vdev_queue_size(const struct vdev_queue *q)
{
	return q->setup.state.size;
}

uint32_t vdev_queue_max_pieces(const struct vdev_queue *q)
{
	return virtq_dev_max_iov(&q->vq);
}

uint32_t vdev_queue_inflight(const struct vdev_queue *q)
{
	return q->scratch == NULL ? 0 : virtq_dev_inflight(&q->vq) - q->ndone;
}
