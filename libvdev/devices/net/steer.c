/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which receive queue a frame is for (5.1.6.5.5 to 5.1.6.5.7): by a table and a hash that the driver chose, or where frames
 * of its flow go out. Of the latter transmitting keeps a small table that forgets by being overwritten; each entry is
 * a byte by itself, and a wrong one only costs a cache miss elsewhere.
 */
#include "net.h"

void net_learn(struct net_device *n, unsigned pair, const struct vdev_frame *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t flow = net_flow(&frames[i]);
		uint8_t *at = &n->flows[flow % NET_FLOWS];

		if (flow != 0 && __atomic_load_n(at, __ATOMIC_RELAXED) != pair + 1)
			__atomic_store_n(at, (uint8_t)(pair + 1), __ATOMIC_RELAXED);
	}
}

/* Where a flow goes out, if that is known and in use; else any, and always the same. */
static unsigned by_flow(const struct net_device *n, uint32_t flow, uint32_t spread)
{
	unsigned pair = __atomic_load_n(&n->flows[flow % NET_FLOWS], __ATOMIC_RELAXED);

	if (flow != 0 && pair != 0 && pair <= spread)
		return pair - 1;
	return flow % spread;
}

unsigned net_steer(const struct net_device *n, const struct net_settings *s,
                   const struct vdev_frame *f)
{
	uint32_t spread = __atomic_load_n(&n->spread, __ATOMIC_RELAXED), hash;

	if (!s->steers)
		return spread > 1 ? by_flow(n, net_flow(f), spread) : 0;
	if (net_hash(&s->key, f, s->rss.types, s->tunnels, &hash) == NET_HASH_REPORT_NONE)
		return s->rss.unclassified;
	return s->rss.table[hash & s->rss.mask];
}

/* Whether the receive queue of a pair is started and not disabled. */
static int usable(const struct net_device *n, unsigned pair)
{
	const struct vdev_queue *q = __atomic_load_n(&n->rx[pair], __ATOMIC_ACQUIRE);

	return q != NULL && vdev_queue_started(n->v, 2 * pair) && vdev_queue_enabled(q);
}

/* The next usable receive queue from pair on, for frames that may go to any. -1: none is. */
static int usable_from(const struct net_device *n, unsigned pair)
{
	uint32_t spread = __atomic_load_n(&n->spread, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < spread; i++, pair++)
		if (usable(n, pair % spread))
			return (int)(pair % spread);
	return -1;
}

static struct vdev_queue *rx_queue(const struct net_device *n, unsigned pair)
{
	return pair < n->pairs ? __atomic_load_n(&n->rx[pair], __ATOMIC_ACQUIRE) : NULL;
}

/* Frames into the queue of r, which the caller is in. Those for which there are no buffers are lost. */
static void fill(struct net_rxq *r, const struct vdev_frame *frames, uint32_t count)
{
	uint32_t done;

	if (unlikely(!vdev_queue_enabled(r->q))) {
		__atomic_fetch_add(&r->n->not_ready, count, __ATOMIC_RELAXED);
		return;
	}
	done = net_rx_fill(r, frames, count);
	if (likely(done == count))
		return;
	if (r->closed)
		__atomic_fetch_add(&r->n->not_ready, count - done, __ATOMIC_RELAXED);
	else
		net_count(&r->count->no_buffers, count - done);
}

/* Enter a queue for so many frames. As vdev_queue_enter(); where it can't be had ever, they are lost. */
static int enter(struct net_device *n, struct vdev_queue *q, uint32_t count)
{
	int rc = q != NULL ? vdev_queue_enter(q) : VIRTQ_ECANCELED;

	if (unlikely(rc < 0))
		__atomic_fetch_add(&n->not_ready, count, __ATOMIC_RELAXED);
	return rc;
}

int net_deliver_to(struct net_device *n, unsigned pair, const struct vdev_frame *frames,
                   uint32_t count)
{
	struct vdev_queue *q = rx_queue(n, pair);
	int rc = enter(n, q, count);
	struct net_rxq *r;

	if (unlikely(rc <= 0))
		return rc < 0;
	r = vdev_queue_priv(q);
	fill(r, frames, count);
	/* It has asked for notifications, and these may have ended that: it asks again. */
	if (unlikely(r->starved))
		vdev_queue_wake(q);
	vdev_queue_leave(q);
	return 1;
}

uint32_t net_rx_spread(struct net_rxq *home, const struct vdev_frame *frames, uint32_t count)
{
	struct net_device *n = home->n;
	unsigned own = vdev_queue_index(home->q) / 2, to, next;
	uint32_t i = 0, run;

	for (to = count != 0 ? net_steer(n, home->s, frames) : 0; i < count; i += run, to = next) {
		next = to;
		for (run = 1; i + run < count; run++) {
			next = net_steer(n, home->s, &frames[i + run]);
			if (next != to)
				break;
		}
		if (!home->s->steers && (to != own || !vdev_queue_enabled(home->q))) {
			int other = usable_from(n, to);

			to = other < 0 ? own : (unsigned)other;
		}
		if (to == own)
			fill(home, &frames[i], run);
		else if (!net_deliver_to(n, to, &frames[i], run))
			return i;
	}
	return i;
}

/* By the driver's table, or out of a queue that is not in use. */
int net_poll_spreads(const struct net_rxq *r)
{
	return r->s->steers || !vdev_queue_enabled(r->q) ||
	       vdev_queue_index(r->q) / 2 >= __atomic_load_n(&r->n->spread, __ATOMIC_RELAXED);
}

/* A queue to begin in: where the first frame goes most likely. The settings may be looked at from inside only. */
static int home_of(struct net_device *n, const struct vdev_frame *f)
{
	return usable_from(n, by_flow(n, net_flow(f), __atomic_load_n(&n->spread, __ATOMIC_RELAXED)));
}

uint32_t net_deliver_spread(struct net_device *n, const struct vdev_frame *frames, uint32_t count)
{
	int pair = count != 0 ? home_of(n, frames) : -1;
	struct vdev_queue *q = pair >= 0 ? rx_queue(n, (unsigned)pair) : NULL;
	int rc = enter(n, q, count);

	if (rc <= 0)
		return rc < 0 ? count : 0;
	count = net_rx_spread(vdev_queue_priv(q), frames, count);
	vdev_queue_leave(q);
	return count;
}
