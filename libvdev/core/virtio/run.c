/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serving a queue. The path of requests: no lock, no allocation, atomics only to read flags; what control asks for costs
 * one load a burst.
 */
#include "core.h"

/* Push what was completed out of the ring's own burst, each by itself: one of them can't be. */
static rare void push_singly(struct vdev_queue *q)
{
	for (uint32_t i = 0; i < q->ndone; i++)
		if (virtq_dev_push(&q->vq, &q->chains[i], &q->written[i], 1) == VIRTQ_EINVAL)
			core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EINVAL, (int)q->index, q->chains[i].id, 0,
			         "the model completed a chain that is not out");
}

/* Notify the driver of what it was shown, if it wants that. */
void queue_notify(struct vdev_queue *q)
{
	struct vdev *v = q->v;

	if (virtq_dev_should_interrupt(&q->vq) == 1) {
		count(&q->n.interrupts, 1);
		if (likely(v->fn.attachment.interrupt != NULL))
			v->fn.attachment.interrupt(v->fn.attachment.ctx, q->index);
	}
}

/* Show the driver what was completed, and notify it, now or later. */
void queue_flush(struct vdev_queue *q)
{
	if (q->ndone != 0) {
		if (unlikely(virtq_dev_push(&q->vq, q->chains, q->written, q->ndone) == VIRTQ_EINVAL))
			push_singly(q);
		q->ndone = 0;
		q->pushed = 1;
	}
	if (!q->pushed)
		return;
	q->pushed = 0;
	virtq_dev_publish(&q->vq);
	if (unlikely(q->todo & (POST_CANCELS | TODO_COALESCES)) &&
	    (q->todo & POST_CANCELS || coalesce_holds(q)))
		return;
	queue_notify(q);
}

/* Used by what lies outside of the burst: later completions, and those out of turn. */
static __attribute__((noinline)) void complete_one(struct vdev_queue *q,
                                                   const struct virtq_chain *chain,
                                                   uint32_t written)
{
	int rc;

	if (q->todo & POST_CANCELS)
		rc = virtq_dev_release(&q->vq, chain, 1);
	else
		rc = virtq_dev_push(&q->vq, chain, &written, 1);
	if (rc == VIRTQ_EINVAL)
		core_log(q->v, VDEV_LOG_ERROR, rc, (int)q->index, chain->id, 0,
		         "the model completed a chain that is not out");
	q->pushed = 1;
	q->stalled = 0;
	if (!q->running)
		vdev_queue_wake(q);
}

static rare uint32_t too_much(struct vdev_queue *q, const struct virtq_chain *chain,
                              uint32_t written)
{
	core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EINVAL, (int)q->index, chain->id, written,
	         "the model wrote more than there is room for");
	return chain->write_bytes;
}

void vdev_queue_complete(struct vdev_queue *q, const struct virtq_chain *chain,
                         const struct vdev_done *done)
{
	uint32_t written = done->written;
	uint32_t i = q->ndone;

	if (unlikely(written > chain->write_bytes))
		written = too_much(q, chain, written);
	count(&q->n.requests, 1);
	count(&q->n.read_bytes, done->read_bytes);
	count(&q->n.written_bytes, done->written_bytes);
	if (unlikely(done->discarded_bytes != 0))
		count(&q->n.discarded_bytes, done->discarded_bytes);
	if (unlikely(done->error))
		count(&q->n.errors, 1);
	/*
	 * A chain of the burst that ends in turn is pushed with the others: its pieces stay where they are until then.
	 * Any other may lie in memory that the model reuses as soon as this returns.
	 */
	if (likely(i < q->nburst && chain == &q->chains[i])) {
		q->written[i] = written;
		q->ndone = i + 1;
		return;
	}
	complete_one(q, chain, written);
}

void vdev_queue_complete_burst(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n,
                               const uint32_t *written, const struct vdev_done *sum)
{
	uint32_t i = q->ndone;

	queue_counted(q, n, sum);
	if (unlikely(sum->discarded_bytes != 0))
		count(&q->n.discarded_bytes, sum->discarded_bytes);
	if (likely(chains == &q->chains[i] && i <= q->nburst && n <= q->nburst - i)) {
		memcpy(&q->written[i], written, n * sizeof(*written));
		q->ndone = i + n;
		return;
	}
	for (uint32_t k = 0; k < n; k++)
		complete_one(q, &chains[k], written[k]);
}

void vdev_queue_fault(struct vdev_queue *q, const struct virtq_chain *chain, const char *why)
{
	queue_flush(q); /* what ended well before this is not lost */
	coalesce_send(q);
	virtq_dev_break(&q->vq, chain->id);
	if (virtq_dev_release(&q->vq, chain, 1) < 0)
		core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EINVAL, (int)q->index, chain->id, 0,
		         "the model gave back a chain that is not out");
	count(&q->n.requests, 1);
	count(&q->n.errors, 1);
	queue_broke(q, why);
	if (!q->running)
		vdev_queue_wake(q);
}

/* Give back what the model did not take. */
static rare void refuse(struct vdev_queue *q, uint32_t taken, uint32_t n)
{
	if (taken < q->ndone)
		taken = q->ndone;
	if (taken >= n)
		return;
	q->stalled = 1;
	vdev_queue_put_back(q, &q->chains[taken], n - taken);
}

/* One burst of buffers. */
static int burst_buffers(struct vdev_queue *q, uint32_t n)
{
	struct vdev_done sum = {0};
	uint32_t taken;

	queue_disarm(q);
	taken = q->ops->process_buffers(q->model, q, q->buffers, n, &sum);
	count(&q->n.bursts, 1);
	queue_counted(q, taken, &sum);
	if (unlikely(taken < n)) {
		q->stalled = 1;
		if (virtq_dev_untake(&q->vq, &q->buffers[taken], n - taken) < 0)
			queue_broke(q, "buffers can't be given back");
	}
	if (virtq_dev_give(&q->vq, q->buffers, NULL, taken, 0) < 0)
		queue_broke(q, "buffers can't be used");
	q->pushed = 1;
	queue_flush(q);
	return (int)n;
}

/* One burst. > 0: chains that were popped; 0: there were none; < 0: the queue is broken or waits. */
static int burst(struct vdev_queue *q)
{
	uint32_t taken;
	int n;

	if (q->plain) {
		n = (int)virtq_dev_take(&q->vq, q->buffers, VDEV_BUFFERS, 0);
		if (likely(n > 0))
			return burst_buffers(q, (uint32_t)n);
	}
	n = virtq_dev_pop(&q->vq, q->chains, VDEV_BURST, q->iov, q->niov);

	if (unlikely(n < 0)) {
		if (n == VIRTQ_EAGAIN) {
			q->waiting = 1;
			/* A predecessor's requests were to be served first; whoever drains us does not wait for this. */
			q->again |= (q->todo & POST_DRAINS) != 0;
		} else {
			queue_broke(q, NULL);
		}
		return n;
	}
	if (n == 0)
		return 0;
	queue_disarm(q);
	count(&q->n.bursts, 1);
	q->nburst = (uint32_t)n;
	taken = q->ops->process(q->model, q, q->chains, (uint32_t)n);
	q->nburst = 0;
	if (unlikely(taken < (uint32_t)n))
		refuse(q, taken, (uint32_t)n);
	queue_flush(q);
	return n;
}

/* The model gets another chance when its time has come. */
static int still_stalled(struct vdev_queue *q)
{
	const struct vdev_env *env = &q->v->fn.env;

	if (q->ops->deadline != NULL && env->now != NULL &&
	    env->now(env->ctx) >= q->ops->deadline(q->model, q))
		q->stalled = 0;
	return q->stalled;
}

/* Whether chains may be popped. */
int queue_may_serve(struct vdev_queue *q)
{
	if (unlikely(q->todo & POST_HOLDS))
		return queue_replays(q);
	return likely(load_acquire(&q->v->open)) && likely(load_relaxed(&q->enabled)) &&
	       likely(!load_relaxed(&q->broken)) && (likely(!q->stalled) || !still_stalled(q));
}

/* Ask driver and back-end for notifications. 1: something came meanwhile. */
static int arm(struct vdev_queue *q)
{
	int rc;

	if (q->ops->arm != NULL && q->ops->arm(q->model, q) > 0)
		return 1;
	if (!queue_may_serve(q) || q->waiting || q->supply)
		return 0;
	rc = virtq_dev_arm(&q->vq);
	if (rc == 0)
		q->armed = ARMED;
	else if (rc == VIRTQ_EBROKEN)
		queue_broke(q, NULL);
	return rc == 1 || rc == VIRTQ_EAGAIN;
}

/* Completions, and what control waits for. 1: there is more. */
static int settle(struct vdev_queue *q)
{
	int more = 0;

	if (unlikely(load_relaxed(&q->posted) != 0))
		queue_take_posted(q);
	if (likely(q->live)) {
		if (q->ops->poll != NULL)
			more = q->ops->poll(q->model, q) > 0;
		if (q->pushed)
			queue_flush(q);
	}
	if (unlikely(q->todo != 0)) {
		uint32_t todo = q->todo;

		if (q->live)
			coalesce_check(q);
		queue_finish(q);
		more |= q->todo != todo;
	}
	return more;
}

static int run(struct vdev_queue *q, unsigned flags)
{
	int i = 0;
	int more;

	q->arming = (flags & VDEV_RUN_ARM) != 0;
	more = settle(q);
	q->arming = 0;
	if (unlikely(!q->live))
		return load_relaxed(&q->posted) != 0;
	q->waiting = 0;
	if (!q->supply && queue_may_serve(q)) {
		/* A short burst emptied the ring, most likely: arm() or the next run looks again. */
		while (i < RUN_BURSTS) {
			int n = burst(q);

			if (n <= 0)
				break;
			i++;
			if (n < VDEV_BURST || q->stalled || unlikely(q->todo & POST_HOLDS) ||
			    unlikely(load_relaxed(&q->posted) != 0))
				break;
		}
	}
	if (more || i == RUN_BURSTS || unlikely(i != 0 && q->todo & POST_HOLDS) ||
	    unlikely(load_relaxed(&q->posted) != 0))
		return 1;
	if (flags & VDEV_RUN_ARM)
		return arm(q);
	return i != 0 && !q->stalled;
}

/* One run at a time, by the owner; in a queue that is shared, also by whoever entered it. */
int queue_hold(struct vdev_queue *q)
{
	if (unlikely(q->shared)) {
		if (load_relaxed(&q->entered) != 0 ||
		    __atomic_exchange_n(&q->entered, 1, __ATOMIC_ACQUIRE) != 0)
			return 0;
	} else if (q->running) {
		return 0;
	}
	q->running = 1;
	return 1;
}

void queue_let_go(struct vdev_queue *q)
{
	q->running = 0;
	if (unlikely(q->shared))
		store_release(&q->entered, 0);
}

int vdev_queue_run(struct vdev *v, unsigned index, unsigned flags)
{
	struct vdev_queue *q;
	int more;

	if (index >= v->nqueues)
		return 0;
	q = &v->queues[index];
	if (unlikely(!queue_hold(q))) {
		/* From inside a callback of this very run: it goes round once more. Or somebody else is in it. */
		store_relaxed(&q->again, 1);
		return q->shared;
	}
	store_relaxed(&q->again, 0);
	more = run(q, flags) || load_relaxed(&q->again);
	if (unlikely(q->todo & TODO_COALESCES))
		coalesce_timer(q);
	queue_let_go(q);
	return more;
}

/* Only what control asked for, and completions; no new requests. */
void queue_service(struct vdev_queue *q)
{
	if (!queue_hold(q))
		return;
	(void)settle(q);
	queue_let_go(q);
}

/* A queue without an owner is served by whoever tells of work. Bounded, in case the driver never stops. */
void queue_serve_inline(struct vdev_queue *q)
{
	for (int i = 0; i < RUN_ROUNDS; i++)
		if (!vdev_queue_run(q->v, q->index, VDEV_RUN_ARM))
			return;
}

int vdev_run(struct vdev *v, unsigned flags)
{
	int more = 0;

	for (uint32_t i = 0; i < v->nqueues; i++)
		if (!v->queues[i].owned)
			more |= vdev_queue_run(v, i, flags);
	return more;
}

/*
 * Wake the owner, from any thread. 0: a queue that is started has none, and whoever calls has to serve it. Who is in here
 * keeps the owner from being taken away; and nobody comes while the queue is not started, so that it is not kept for long.
 */
int queue_wake_owner(struct vdev_queue *q)
{
	int told = 1;

	if (!load_acquire(&q->started))
		return told;
	__atomic_fetch_add(&q->wakers, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->owned, __ATOMIC_SEQ_CST))
		q->owner.wake(q->owner.ctx);
	else
		/* It may have ended since; and started anew, by then with an owner. */
		told = !load_acquire(&q->started) || load_relaxed(&q->owned);
	__atomic_fetch_sub(&q->wakers, 1, __ATOMIC_RELEASE);
	return told;
}

void vdev_queue_wake(struct vdev_queue *q)
{
	if (!(__atomic_fetch_or(&q->posted, POST_WAKE, __ATOMIC_ACQ_REL) & POST_WAKE))
		(void)queue_wake_owner(q);
}

void vdev_queue_kick(struct vdev *v, unsigned index)
{
	struct vdev_queue *q;

	if (index >= v->nqueues)
		return;
	q = &v->queues[index];
	if (!load_acquire(&q->started))
		return;
	__atomic_fetch_add(&q->kicks, 1, __ATOMIC_RELAXED);
	if (!queue_wake_owner(q))
		queue_serve_inline(q);
}

void vdev_queue_count_kick(struct vdev *v, unsigned index, uint64_t n)
{
	if (index < v->nqueues)
		count(&v->queues[index].n.kicks, n);
}

uint64_t vdev_queue_deadline(const struct vdev *v, unsigned index)
{
	const struct vdev_queue *q;
	uint64_t model;

	if (index >= v->nqueues)
		return UINT64_MAX;
	q = &v->queues[index];
	if (!q->live)
		return UINT64_MAX;
	if (!q->stalled || q->ops->deadline == NULL)
		return q->coalesce.timer;
	model = q->ops->deadline(q->model, (struct vdev_queue *)(uintptr_t)q);
	return model < q->coalesce.timer ? model : q->coalesce.timer;
}

int vdev_queue_fd(const struct vdev *v, unsigned index)
{
	const struct vdev_queue *q;

	if (index >= v->nqueues)
		return -1;
	q = &v->queues[index];
	if (!q->live || q->ops->fd == NULL)
		return -1;
	return q->ops->fd(q->model, (struct vdev_queue *)(uintptr_t)q);
}
