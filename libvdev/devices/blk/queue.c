/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue's memory and channel. All that requests will need is allocated when the queue starts:
 * request objects, and a few blocks for requests with more pieces than an object holds.
 */
#include "blk.h"

enum { RETRY_NS = 10000000 };

/*
 * Take hold of the disk's medium. While another process has it (the source of a migration, a
 * predecessor that is about to end) requests wait in the ring; nothing is served without it.
 */
int blk_queue_hold(struct blk_queue *bq)
{
	struct blk_device *b = bq->b;
	int rc = 0;

	bq->deadline = UINT64_MAX;
	if (b->disk_ops->acquire != NULL)
		rc = b->disk_ops->acquire(b->disk);
	if (rc >= 0) {
		bq->holds = 1;
		return 0;
	}
	if (!bq->told)
		vdev_function_log_entry(vdev_function(b->v), VDEV_LOG_WARNING, rc,
		                        (int)vdev_queue_index(bq->q), -1, 0, "blk",
		                        "the disk is held elsewhere; requests wait");
	bq->told = 1;
	if (b->env.now != NULL)
		bq->deadline = b->env.now(b->env.ctx) + RETRY_NS;
	return rc;
}

static void carve(struct blk_queue *bq, uint32_t nreq, uint32_t nblocks)
{
	struct blk_req *r = (struct blk_req *)(bq + 1);
	char *block = (char *)(r + nreq);

	if (bq->sync) {
		bq->quick = (struct blk_quick *)(r + nreq);
		block = (char *)(bq->quick + VDEV_BURST);
		for (uint32_t i = 0; i < VDEV_BURST; i++) {
			bq->quick[i].io.done = blk_quick_done;
			bq->quick_ios[i] = &bq->quick[i].io;
		}
	}

	for (uint32_t i = nreq; i-- > 0;) {
		r[i].io.done = blk_io_done;
		r[i].bq = bq;
		r[i].next = bq->free;
		bq->free = &r[i];
	}
	for (uint32_t i = 0; i < nblocks; i++) {
		memcpy(block, &bq->blocks, sizeof(bq->blocks));
		bq->blocks = block;
		block += bq->block_len * sizeof(struct virtq_iov);
	}
}

static uint32_t requests(const struct blk_device *b, const struct vdev_queue *q, int sync)
{
	uint32_t n = vdev_queue_size(q);

	if (sync)
		return VDEV_BURST;
	if (b->max_inflight != 0 && b->max_inflight < n)
		n = b->max_inflight;
	return n;
}

int blk_queue_start(void *model, struct vdev_queue *q)
{
	struct blk_device *b = model;
	int sync = b->disk_ops->poll == NULL;
	uint32_t pieces = vdev_queue_max_pieces(q);
	uint32_t nreq = requests(b, q, sync);
	uint32_t nblocks = nreq < BLK_BLOCKS ? nreq : BLK_BLOCKS;
	uint32_t block_len = sync ? pieces : 2 * pieces;
	struct blk_queue *bq;
	size_t bytes, blocks;
	int rc;

	if (sync)
		nblocks = 1;
	if (block_len <= BLK_INLINE)
		nblocks = 0;
	bytes = sizeof(*bq) + nreq * sizeof(struct blk_req);
	if (sync)
		bytes += VDEV_BURST * sizeof(struct blk_quick);
	blocks = (size_t)nblocks * block_len * sizeof(struct virtq_iov);
	bytes += blocks;
	bq = b->env.alloc(b->env.ctx, bytes);
	if (bq == NULL)
		return VIRTQ_ENOMEM;
	memset(bq, 0, bytes - blocks); /* blocks are written before they are read */
	bq->b = b;
	bq->q = q;
	bq->disk_ops = b->disk_ops;
	bq->sync = (uint8_t)sync;
	bq->block_len = block_len;
	bq->next_last = &bq->next_first;
	bq->deadline = UINT64_MAX;
	bq->bytes = bytes;
	carve(bq, nreq, nblocks);
	rc = blk_queue_hold(bq);
	if (rc >= 0 || rc == VIRTQ_EBUSY)
		rc = b->disk_ops->open(b->disk, vdev_queue_index(q), &bq->channel);
	if (rc < 0) {
		if (bq->holds && b->disk_ops->release != NULL)
			b->disk_ops->release(b->disk);
		b->env.free(b->env.ctx, bq, bytes);
		return rc;
	}
	vdev_queue_set_priv(q, bq);
	__atomic_store_n(&b->queues[vdev_queue_index(q)], q, __ATOMIC_RELEASE);
	return 0;
}

void blk_queue_end(void *model, struct vdev_queue *q)
{
	struct blk_device *b = model;
	struct blk_queue *bq = vdev_queue_priv(q);

	blk_limit_leave(&b->limit, &bq->waiter);
	b->disk_ops->close(bq->channel);
	if (bq->holds && b->disk_ops->release != NULL)
		b->disk_ops->release(b->disk);
	vdev_queue_set_priv(q, NULL);
	b->env.free(b->env.ctx, bq, bq->bytes);
}

/* Operations of a disk can't be taken back; the rest of a request of several ranges is left out. */
void blk_queue_drain(void *model, struct vdev_queue *q, int cancel)
{
	struct blk_queue *bq = vdev_queue_priv(q);

	(void)model;
	if (cancel)
		bq->cancel = 1;
}
