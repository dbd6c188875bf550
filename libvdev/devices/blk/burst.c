/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The quick way, for disks that end everything inside submit: reads and writes in the usual form (a header of its own,
 * whole pieces of data, a status of its own) are read, submitted and completed a burst at a time, without request
 * objects of their own. Whatever is unusual is left to request.c, which says how it is answered.
 */
#include "blk.h"

/* How far ahead of itself the burst fetches what the driver wrote, and the line where the status goes. */
enum { AHEAD = 12, LINE = 64 };

/* What requests are held against, looked up once a burst. */
struct view {
	uint64_t sectors;
	uint32_t block_bytes; /* less 1 */
	uint32_t block_mask;  /* sectors of a block, less 1 */
	uint8_t readonly;
	uint8_t write_flags;
};

static struct view look(const struct blk_device *b)
{
	return (struct view){.sectors = blk_get(&b->sectors),
	                     .block_bytes = (b->block_mask << 9) | 511,
	                     .block_mask = b->block_mask,
	                     .readonly = b->readonly != 0,
	                     .write_flags = blk_get(&b->through) ? VDEV_DISK_FUA : 0};
}

/* Drivers like to keep header and status in one line: then it is fetched once, to be written. */
static inline void prefetch(const struct virtq_chain *c)
{
	const struct virtq_iov *last;

	if (unlikely(c->nread == 0 || c->nwrite == 0))
		return;
	last = &c->iov[c->nread + c->nwrite - 1];
	__builtin_prefetch(last->base, 1);
	if (((uintptr_t)c->iov->base ^ (uintptr_t)last->base) >= LINE)
		__builtin_prefetch(c->iov->base, 0);
}

/* Make a usual request's operation. 0: it is not a usual one, nothing has happened. */
static inline int begin(const struct view *v, const struct virtq_chain *c, struct blk_quick *r)
{
	const struct virtq_iov *iov = c->iov;
	const struct virtq_iov *last;
	uint32_t type, bytes;
	uint64_t sector;

	if (unlikely(c->nread == 0 || c->nwrite == 0))
		return 0;
	last = iov + c->nread + c->nwrite - 1;
	if (unlikely(iov->len != BLK_HEADER || last->len != 1))
		return 0;
	type = blk_get32(iov->base);
	sector = blk_get64((const uint8_t *)iov->base + 8);
	blk_fix(type);
	blk_fix(sector);
	if (likely(type == BLK_T_IN)) {
		r->io.op = VDEV_DISK_READ;
		r->io.flags = 0;
		r->io.iov = iov + c->nread;
		r->io.niov = c->nwrite - 1;
		bytes = c->write_bytes - 1;
	} else {
		if (unlikely(type != BLK_T_OUT || v->readonly))
			return 0;
		r->io.op = VDEV_DISK_WRITE;
		r->io.flags = v->write_flags;
		r->io.iov = iov + 1;
		r->io.niov = c->nread - 1;
		bytes = c->read_bytes - BLK_HEADER;
	}
	if (unlikely(bytes == 0 || (bytes & v->block_bytes) != 0 || (sector & v->block_mask) != 0 ||
	             sector > v->sectors || bytes >> 9 > v->sectors - sector))
		return 0;
	r->io.offset = sector << 9;
	r->io.len = bytes;
	r->status = last->base;
	return 1;
}

void blk_quick_done(struct vdev_disk_io *io, int result)
{
	((struct blk_quick *)io)->result = result;
}

static __attribute__((noinline, cold)) void failed(const struct blk_quick *r, struct vdev_done *sum)
{
	*(volatile uint8_t *)r->status = r->result == VIRTQ_ENOTSUP ? BLK_S_UNSUPP : BLK_S_IOERR;
	sum->error++;
}

/* All of them have ended. */
static void finish(struct blk_queue *bq, const struct virtq_chain *chains, uint32_t n)
{
	struct vdev_done sum = {0};
	uint32_t written[VDEV_BURST];

	for (uint32_t i = 0; i < n; i++) {
		const struct blk_quick *r = &bq->quick[i];
		uint32_t all = chains[i].write_bytes;

		written[i] = all == 1;
		if (unlikely(r->result < 0)) {
			failed(r, &sum);
			continue;
		}
		*(volatile uint8_t *)r->status = BLK_S_OK;
		if (r->io.op == VDEV_DISK_WRITE) {
			sum.written_bytes += r->io.len;
		} else {
			written[i] = likely(r->result != VDEV_DISK_UNTOUCHED) ? all : 0;
			sum.read_bytes += r->io.len;
		}
	}
	vdev_queue_complete_burst(bq->q, chains, n, written, &sum);
}

uint32_t blk_quick(struct blk_queue *bq, const struct virtq_chain *chains, uint32_t n)
{
	struct vdev_disk_io *ios[VDEV_BURST];
	const struct view v = look(bq->b);
	uint32_t m;

	for (m = 0; m < AHEAD && m < n; m++)
		prefetch(&chains[m]);
	for (m = 0; m < n; m++) {
		struct blk_quick *r = &bq->quick[m];

		if (likely(m + AHEAD < n))
			prefetch(&chains[m + AHEAD]);
		if (unlikely(!begin(&v, &chains[m], r)))
			break;
		ios[m] = &r->io;
	}
	if (m == 0)
		return 0;
	bq->disk_ops->submit(bq->channel, ios, m);
	finish(bq, chains, m);
	return m;
}
