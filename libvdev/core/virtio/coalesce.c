/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notifications held back until there are enough used entries, or the first of them has waited long enough.
 *
 * What was asked for lies in set, under the device's lock; whoever is in the queue as its owner takes it over. While a queue
 * coalesces, todo says so, which costs others nothing. The owner sets its timer by what it saw at the end of its run;
 * somebody else who is in the queue and begins to hold a notification back tells it, unless it comes in time anyhow.
 */
#include "core.h"

static void set_due(struct coalesce *c)
{
	c->due = c->since + c->ns < c->since ? UINT64_MAX : c->since + c->ns;
}

/* Whether the first used entry that the driver was not told of may wait longer. */
static int early(struct vdev_queue *q)
{
	const struct vdev_env *env = &q->v->fn.env;
	struct coalesce *c = &q->coalesce;
	uint64_t now = env->now(env->ctx);

	if (!c->pending) {
		c->pending = 1;
		c->told = 0;
		c->since = now;
		set_due(c);
	}
	return now < c->due;
}

/* Something was published. 1: the driver is notified later. */
int coalesce_holds(struct vdev_queue *q)
{
	struct coalesce *c = &q->coalesce;

	if (!(q->todo & POST_DRAINS) && q->n.requests - c->base < c->packets && early(q))
		return 1;
	c->base = q->n.requests;
	c->pending = 0;
	return 0;
}

/* Send what is due, or must not be held back any longer. */
void coalesce_check(struct vdev_queue *q)
{
	if (q->coalesce.pending && !coalesce_holds(q))
		queue_notify(q);
}

/* Send what is held back. */
void coalesce_send(struct vdev_queue *q)
{
	struct coalesce *c = &q->coalesce;

	if (!c->pending)
		return;
	c->base = q->n.requests;
	c->pending = 0;
	queue_notify(q);
}

/* The owner's run ends, and it will look at its deadline. */
void coalesce_timer(struct vdev_queue *q)
{
	struct coalesce *c = &q->coalesce;

	c->timer = c->pending ? c->due : UINT64_MAX;
	c->told = 1;
}

/* Whether the owner has to be woken for its timer, by somebody else who leaves the queue. */
int coalesce_untold(struct vdev_queue *q)
{
	struct coalesce *c = &q->coalesce;

	if (!c->pending || c->told || c->timer <= c->due)
		return 0;
	c->told = 1;
	return 1;
}

/* A queue begins, or one that is live gets new settings. */
void coalesce_take(struct vdev_queue *q)
{
	struct coalesce *c = &q->coalesce;
	uint32_t most = q->setup.state.size;

	lock_take(&q->v->lock);
	/* A driver that gave all it has would otherwise wait for the time in any case. */
	c->packets = c->set_packets < most ? c->set_packets : most;
	c->ns = c->set_ns;
	lock_give(&q->v->lock);
	if (c->packets != 0) {
		q->todo |= TODO_COALESCES;
		if (!c->pending)
			c->base = q->n.requests;
		set_due(c); /* of what is held back already too */
		return;
	}
	q->todo &= ~(uint32_t)TODO_COALESCES;
	c->timer = UINT64_MAX;
	coalesce_send(q);
}

/* The queue has nothing to tell. */
void coalesce_begin(struct vdev_queue *q)
{
	q->coalesce.pending = 0;
	q->coalesce.told = 0;
	q->coalesce.timer = UINT64_MAX;
	coalesce_take(q);
}

/* Back to what it was before it was ever started. */
void coalesce_reset(struct vdev_queue *q)
{
	lock_take(&q->v->lock);
	q->coalesce.set_packets = 0;
	q->coalesce.set_ns = 0;
	lock_give(&q->v->lock);
}

int vdev_queue_coalesce(struct vdev_queue *q, uint32_t max_packets, uint64_t max_ns)
{
	int on = max_packets != 0 && max_ns != 0;

	if (on && q->v->fn.env.now == NULL)
		return VIRTQ_ENOTSUP;
	lock_take(&q->v->lock);
	q->coalesce.set_packets = on ? max_packets : 0;
	q->coalesce.set_ns = on ? max_ns : 0;
	lock_give(&q->v->lock);
	/* A queue that is not started takes it over when it is. */
	if (!(__atomic_fetch_or(&q->posted, POST_COALESCE, __ATOMIC_ACQ_REL) & POST_COALESCE) &&
	    !queue_wake_owner(q))
		queue_service(q);
	return 0;
}
