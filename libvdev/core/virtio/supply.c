/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues whose chains are a supply of buffers: taken when there is something to put into them, by whoever has it. */
#include "core.h"

void vdev_queue_supply(struct vdev_queue *q)
{
	q->supply = 1;
}

int vdev_queue_enter(struct vdev_queue *q)
{
	/*
	 * What control has asked for comes first: the owner must not find somebody in the queue each time. What is left
	 * of that in a queue that has ended waits until it starts again.
	 */
	if (unlikely(load_relaxed(&q->posted) & ~(uint32_t)POST_WAKE))
		return load_acquire(&q->started) ? 0 : VIRTQ_ECANCELED;
	if (!queue_hold(q))
		return 0;
	if (likely(q->live))
		return 1;
	queue_let_go(q);
	return VIRTQ_ECANCELED;
}

void vdev_queue_leave(struct vdev_queue *q)
{
	queue_flush(q);
	/* From inside: once the queue is left it may end, and its owner be gone. */
	if (unlikely(q->todo & TODO_COALESCES) && coalesce_untold(q))
		vdev_queue_wake(q);
	queue_let_go(q);
}

/*
 * There is nothing to take. Whoever polls looks again by itself: asking to be told would cost the driver a kick for each
 * of its batches. Otherwise ask, here where the ring's end is known, and look again.
 */
static rare int none(struct vdev_queue *q, int rc, struct virtq_chain *chains, uint32_t max,
                     struct virtq_iov *iov, uint32_t niov)
{
	if (rc == 0 && q->arming && q->armed != ARMED) {
		rc = virtq_dev_arm(&q->vq);
		if (rc == 0) {
			q->armed = ARMED;
		} else if (rc == 1) {
			virtq_dev_disarm(&q->vq);
			rc = virtq_dev_pop(&q->vq, chains, max, iov, niov);
		}
	}
	if (rc == VIRTQ_EAGAIN) {
		q->waiting = 1;
		return 0;
	}
	if (rc == VIRTQ_EBROKEN)
		queue_broke(q, NULL);
	return rc;
}

int vdev_queue_take(struct vdev_queue *q, struct virtq_chain *chains, uint32_t max,
                    struct virtq_iov *iov, uint32_t niov)
{
	int n;

	if (unlikely(!queue_may_serve(q)))
		return VIRTQ_ECANCELED;
	n = virtq_dev_pop(&q->vq, chains, max, iov, niov);
	if (unlikely(n <= 0)) {
		n = none(q, n, chains, max, iov, niov);
		if (n <= 0)
			return n;
	}
	queue_disarm(q);
	return n;
}

/* The driver won't see them: it has broken the ring meanwhile, or the model is mistaken. */
static rare void not_given(struct vdev_queue *q, int rc, int id, uint32_t n)
{
	if (rc == VIRTQ_EBROKEN)
		queue_broke(q, NULL);
	else
		core_log(q->v, VDEV_LOG_ERROR, rc, (int)q->index, id, n,
		         "the model gave what is not out, or wrote more than there is room for");
}

void vdev_queue_give(struct vdev_queue *q, const struct virtq_chain *chains,
                     const uint32_t *written, uint32_t n, const struct vdev_done *sum)
{
	int rc;

	count(&q->n.bursts, 1);
	queue_counted(q, n, sum);
	rc = virtq_dev_push(&q->vq, chains, written, n);
	if (unlikely(rc < 0))
		not_given(q, rc, chains->id, n);
	q->pushed = 1;
}

void vdev_queue_put_back(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n)
{
	if (n == 0 || virtq_dev_unpop(&q->vq, chains, n) == 0)
		return;
	/* The model is mistaken: those that are out are over. */
	for (uint32_t i = 0; i < n; i++)
		if (virtq_dev_release(&q->vq, &chains[i], 1) < 0)
			core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EINVAL, (int)q->index, chains[i].id, 0,
			         "the model put a chain back that is not out");
	virtq_dev_break(&q->vq, chains->id);
	queue_broke(q, "chains can't be given back");
}

uint32_t vdev_queue_take_buffers(struct vdev_queue *q, struct virtq_buffer *buffers, uint32_t max)
{
	uint32_t n;

	if (unlikely(!queue_may_serve(q)))
		return 0;
	n = virtq_dev_take(&q->vq, buffers, max, 1);
	if (n != 0)
		queue_disarm(q);
	return n;
}

void vdev_queue_give_buffers(struct vdev_queue *q, const struct virtq_buffer *buffers,
                             const uint32_t *written, uint32_t n, const struct vdev_done *sum)
{
	int rc;

	count(&q->n.bursts, 1);
	queue_counted(q, n, sum);
	rc = virtq_dev_give(&q->vq, buffers, written, n, 1);
	if (unlikely(rc < 0))
		not_given(q, rc, -1, n);
	q->pushed = 1;
}

void vdev_queue_put_back_buffers(struct vdev_queue *q, const struct virtq_buffer *buffers,
                                 uint32_t n)
{
	if (unlikely(virtq_dev_untake(&q->vq, buffers, n) < 0))
		core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EINVAL, (int)q->index, -1, n,
		         "the model put buffers back that are not out");
}

void vdev_queue_buffers(struct vdev_queue *q)
{
	q->plain = q->ops->process_buffers != NULL;
}
