/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control operations: asked of the queues' owners, answered one by one; the last answer ends the operation. The asking
 * call holds an answer of its own until it has asked everybody, so an operation ends exactly once, either inside the
 * call (which then returns 0) or on an owner's thread (which tells the attachment).
 *
 * Operations of different kinds do not know each other: a reset that is asked for during a quiesce ends both, and the
 * device is then reset and quiesced.
 */
#include "core.h"

/* The whole-device operations: which bit asks for it, and what the outside calls it. */
static const struct {
	uint16_t bit;
	uint8_t op;
} fans[FAN_COUNT] = {
	[FAN_RESET] = {POST_RESET, VDEV_OP_RESET},
	[FAN_QUIESCE] = {POST_QUIESCE, VDEV_OP_QUIESCE},
	[FAN_SUSPEND] = {POST_SUSPEND, VDEV_OP_SUSPEND},
	[FAN_SET_MEM] = {POST_SET_MEM, VDEV_OP_SET_MEM},
	[FAN_INVALIDATE] = {POST_INVALIDATE, VDEV_OP_INVALIDATE},
};

/* Not between a reset's last two stores: whoever saw the status that it leaves finds it ended. */
int fan_pending(struct vdev *v, enum fan op)
{
	uint32_t left;

	lock_take(&v->lock);
	left = v->left[op];
	lock_give(&v->lock);
	return left != 0;
}

/* Ask the owner of a queue; where there is none, do it here. */
void post(struct vdev_queue *q, uint32_t bits)
{
	__atomic_fetch_or(&q->posted, bits, __ATOMIC_ACQ_REL);
	if (q->owned)
		q->owner.wake(q->owner.ctx);
	else
		queue_service(q);
}

/* Every queue has answered. Returns the operation's result. */
static int fan_over(struct vdev *v, enum fan op)
{
	if (op == FAN_RESET)
		status_reset(v);
	if (op != FAN_SUSPEND)
		return 0;
	if (fan_pending(v, FAN_RESET))
		return VIRTQ_ECANCELED;
	status_suspended(v);
	return 0;
}

/* One answer less is missing. 1 when it was the last. */
static int fan_drop(struct vdev *v, enum fan op)
{
	int last;

	lock_take(&v->lock);
	/* The last answer stays counted while the operation is being ended: fan_pending() then still says so. */
	last = v->left[op] == 1;
	if (!last)
		store_release(&v->left[op], v->left[op] - 1);
	lock_give(&v->lock);
	return last;
}

static int fan_end(struct vdev *v, enum fan op)
{
	int result = fan_over(v, op);

	lock_take(&v->lock);
	if (op == FAN_RESET)
		store_release(&v->status, 0); /* status last (2.4) */
	store_release(&v->left[op], 0);
	lock_give(&v->lock);
	return result;
}

static void fan_ask(struct vdev *v, enum fan op)
{
	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!load_acquire(&q->started))
			continue;
		lock_take(&v->lock);
		store_release(&v->left[op], v->left[op] + 1);
		lock_give(&v->lock);
		post(q, fans[op].bit);
	}
}

/* Ask all queues. 0: it has ended already; VIRTQ_EAGAIN: the attachment will be told. */
int fan_out(struct vdev *v, enum fan op)
{
	fan_ask(v, op);
	if (!fan_drop(v, op))
		return VIRTQ_EAGAIN;
	return fan_end(v, op);
}

/* The call's own answer is outstanding from here on. */
void fan_begin(struct vdev *v, enum fan op)
{
	store_release(&v->left[op], 1);
}

/* Operations of one queue: told unless the call that asked reports it itself. */
static void ack_queue(struct vdev_queue *q, uint32_t bit, int op)
{
	__atomic_fetch_and(&q->asked, ~bit, __ATOMIC_RELEASE);
	if (q->sync & bit)
		q->sync &= ~bit;
	else
		vdev_function_done(&q->v->fn, op, q->index, 0);
}

/* The owner's answer to what was posted. Nothing of the queue is touched after the last of it. */
void ack(struct vdev_queue *q, uint32_t bits)
{
	/* A quiesce is told last: whoever waits for it may save the device at once. */
	static const uint8_t order[] = {FAN_SET_MEM, FAN_INVALIDATE, FAN_SUSPEND, FAN_RESET,
	                                FAN_QUIESCE};
	struct vdev *v = q->v;

	q->todo &= ~bits;
	if (bits & POST_STOP)
		ack_queue(q, POST_STOP, VDEV_OP_QUEUE_STOP);
	if (bits & POST_QUEUE_RESET)
		ack_queue(q, POST_QUEUE_RESET, VDEV_OP_QUEUE_RESET);
	for (size_t i = 0; i < sizeof(order); i++) {
		enum fan op = (enum fan)order[i];

		if (bits & fans[op].bit && fan_drop(v, op)) {
			int result = fan_end(v, op);

			vdev_function_done(&v->fn, fans[op].op, 0, result);
		}
	}
}

int core_reset(struct vdev_function *fn)
{
	struct vdev *v = vdev_of(fn);

	fan_begin(v, FAN_RESET);
	store_release(&v->open, 0);
	v->suspend = 0;
	v->start_on_resume = 0;
	return fan_out(v, FAN_RESET);
}

int core_quiesce(struct vdev_function *fn)
{
	struct vdev *v = vdev_of(fn);

	v->quiesce = 1;
	store_release(&v->open, 0);
	fan_begin(v, FAN_QUIESCE);
	return fan_out(v, FAN_QUIESCE);
}

int core_resume(struct vdev_function *fn)
{
	struct vdev *v = vdev_of(fn);

	v->quiesce = 0;
	if (v->start_on_resume && v->ops.started != NULL)
		v->ops.started(v->model);
	v->start_on_resume = 0;
	gate_update(v);
	wake_all(v);
	return 0;
}

int suspend_begin(struct vdev *v)
{
	v->suspend = 1;
	store_release(&v->open, 0);
	fan_begin(v, FAN_SUSPEND);
	return fan_out(v, FAN_SUSPEND);
}

int core_set_mem(struct vdev_function *fn, struct virtq_mem *mem)
{
	struct vdev *v = vdev_of(fn);

	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!load_acquire(&q->started) || load_relaxed(&q->broken))
			continue;
		if (!queue_ring_ok(v, &q->setup.state, mem))
			return VIRTQ_EFAULT;
	}
	v->old_mem = fn->mem;
	v->new_mem = mem;
	fan_begin(v, FAN_SET_MEM);
	return fan_out(v, FAN_SET_MEM);
}

/* Have every queue look at its ring again: buffers may have come while nobody served it. */
void wake_all(struct vdev *v)
{
	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!load_acquire(&q->started))
			continue;
		post(q, POST_WAKE);
		if (!q->owned)
			queue_serve_inline(q);
	}
}

/* Ask for an operation of one queue. */
static int ask_queue(struct vdev_queue *q, uint32_t bit)
{
	if (q->owned) {
		/*
		 * Asked for twice, it could come to an owner who has done it already, and end the queue's next life. Once
		 * the answer has been given, started tells.
		 */
		if (__atomic_fetch_or(&q->asked, bit, __ATOMIC_ACQ_REL) & bit)
			return VIRTQ_EAGAIN;
		if (!load_acquire(&q->started)) {
			__atomic_fetch_and(&q->asked, ~bit, __ATOMIC_RELAXED);
			return 0;
		}
		post(q, bit);
		return VIRTQ_EAGAIN;
	}
	q->sync |= bit;
	post(q, bit);
	if (!(q->sync & bit))
		return 0;
	q->sync &= ~bit;
	return VIRTQ_EAGAIN;
}

int vdev_queue_stop(struct vdev *v, unsigned q)
{
	if (q >= v->nqueues)
		return VIRTQ_EINVAL;
	if (!load_acquire(&v->queues[q].started))
		return 0;
	return ask_queue(&v->queues[q], POST_STOP);
}

int vdev_queue_reset(struct vdev *v, unsigned q)
{
	struct vdev_queue *queue;

	if (q >= v->nqueues)
		return VIRTQ_EINVAL;
	queue = &v->queues[q];
	if (load_acquire(&queue->started))
		return ask_queue(queue, POST_QUEUE_RESET);
	queue->has_state = 0;
	store_relaxed(&queue->enabled, 1);
	return 0;
}
