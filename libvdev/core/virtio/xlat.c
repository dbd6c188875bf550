/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses that a platform translates (ACCESS_PLATFORM): who is asked, and what a queue does when translations that it
 * uses end. Buffers that are out are waited for while the queue goes on; the ring is let go of when nothing
 * is out, and found again.
 */
#include "core.h"

int queue_translated(const struct vdev_queue *q)
{
	return q->v->has_xlat && vdev_has(q->v, VIRTQ_F_ACCESS_PLATFORM);
}

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	struct vdev_queue *q = ctx;
	const struct virtq_xlat_ops *ops = &q->v->xlat;

	/* Before the question: whoever answers it at once must see that somebody waits. */
	__atomic_store_n(&q->asking, 1, __ATOMIC_SEQ_CST);
	return ops->translate(ops->ctx, iova, write, out);
}

void queue_xlat(struct vdev_queue *q, struct virtq_dev_config *cfg)
{
	q->xlat = (struct virtq_xlat_ops){sizeof(q->xlat), translate, q};
	cfg->xlat = &q->xlat;
	cfg->xlat_cache = q->xlat_cache;
	cfg->xlat_entries = XLAT_ENTRIES;
}

void vdev_translated(struct vdev *v)
{
	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!load_acquire(&q->started) || !__atomic_exchange_n(&q->asking, 0, __ATOMIC_SEQ_CST))
			continue;
		__atomic_fetch_or(&q->posted, POST_WAKE, __ATOMIC_ACQ_REL);
		if (!queue_wake_owner(q))
			queue_serve_inline(q);
	}
}

int vdev_invalidate(struct vdev *v, uint64_t iova, uint64_t len)
{
	if (fan_pending(v, FAN_INVALIDATE))
		return VIRTQ_EBUSY;
	v->invalid_iova = iova;
	v->invalid_len = len;
	fan_begin(v, FAN_INVALIDATE);
	return fan_out(v, FAN_INVALIDATE);
}

static int meets(const struct vdev *v, uint64_t at, uint64_t bytes)
{
	return v->invalid_len == UINT64_MAX || at - v->invalid_iova < v->invalid_len ||
	       (v->invalid_len > 0 && v->invalid_iova - at < bytes);
}

static int ring_meets(const struct vdev_queue *q)
{
	const struct virtq_state *s = &q->setup.state;
	int packed = vdev_has(q->v, VIRTQ_F_RING_PACKED);

	return meets(q->v, s->desc,
	             packed ? VIRTQ_PACKED_DESC_BYTES(s->size) : VIRTQ_SPLIT_DESC_BYTES(s->size)) ||
	       meets(q->v, s->driver,
	             packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(s->size)) ||
	       meets(q->v, s->device,
	             packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(s->size));
}

/* The range is forgotten from now on; the answer follows when nothing uses it any more. */
void queue_invalidate(struct vdev_queue *q)
{
	if (!q->live)
		return;
	virtq_dev_invalidate(&q->vq, q->v->invalid_iova, q->v->invalid_len);
	if ((queue_translated(q) && ring_meets(q)) || virtq_dev_renew(&q->vq) < 0)
		q->todo |= POST_UNMAP;
}

/* Nothing is out: leave the ring, and the old memory with it. */
void queue_unmap(struct vdev_queue *q)
{
	struct virtq_mem *mem = q->todo & POST_SET_MEM ? q->v->new_mem : NULL;

	q->todo &= ~(uint32_t)POST_UNMAP;
	if (!q->live)
		return;
	if (virtq_dev_unmap(&q->vq, mem) < 0)
		core_log(q->v, VDEV_LOG_ERROR, VIRTQ_EBUSY, (int)q->index, -1, 0,
		         "the ring can't be let go of");
	q->todo |= POST_REMAP;
	if (!(q->todo & POST_DRAINS))
		queue_remap(q);
}

/* Look where the ring is now; where that is not known yet, vdev_translated() makes us look again. */
void queue_remap(struct vdev_queue *q)
{
	int rc = virtq_dev_remap(&q->vq);

	if (rc == VIRTQ_EAGAIN)
		return;
	q->todo &= ~(uint32_t)POST_REMAP;
	if (rc == VIRTQ_EFAULT)
		queue_broke(q, "the ring is not translated any more");
}
