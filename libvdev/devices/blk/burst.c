/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The quick way, for disks that end everything inside submit: reads and writes in the usual form (a header of its own,
 * whole pieces of data, a status of its own) are read, submitted and completed a burst at a time, without request
 * objects of their own. Whatever is unusual is left to request.c, which says how it is answered.
 */
#include "blk.h"

/* What requests are held against, looked up once a burst. */
struct view {
	struct blk_bounds bounds;
	uint8_t readonly;
	uint8_t write_flags;
};

static struct view look(const struct blk_device *b)
{
	return (struct view){.bounds = blk_bounds(b),
	                     .readonly = b->readonly != 0,
	                     .write_flags = blk_get(&b->through) ? VDEV_DISK_FUA : 0};
}

/*
 * Ask for the lines that the driver wrote, of the whole burst: each is on its way while others are worked on. Drivers
 * like to keep the status in the header's line; where they don't, nothing waits for a store. (Always inline: gcc 12 takes
 * a function that does nothing but this for one that does nothing.)
 */
static inline __attribute__((always_inline)) void prefetch(const struct virtq_chain *c, uint32_t n)
{
	for (const struct virtq_chain *end = c + n; c != end; c++)
		if (likely(c->nread != 0))
			__builtin_prefetch(c->iov->base, 1);
}

/*
 * Make a request's operation, and say how much of its chain will have been written if all goes well: all of a read's, of
 * a write's the status where nothing is before it. 0: it is none of the usual ones, and nothing has happened.
 */
static inline int begin(const struct view *v, const struct virtq_chain *c, struct blk_quick *r,
                        struct vdev_done *sum, uint32_t *written)
{
	const struct virtq_iov *iov = c->iov, *last;
	uint64_t sector, bytes;
	uint32_t type;

	if (unlikely(c->nread == 0 || c->nwrite == 0))
		return 0;
	last = &iov[c->nread + c->nwrite - 1];
	if (unlikely(iov->len != BLK_HEADER || last->len != 1))
		return 0;
	r->status = last->base;
	type = blk_get32(iov->base);
	sector = blk_get64((const uint8_t *)iov->base + 8);
	blk_fix(type);
	blk_fix(sector);
	if (likely(type == BLK_T_IN)) {
		bytes = (uint64_t)c->write_bytes - 1;
		if (unlikely(!blk_moves(&v->bounds, sector, bytes)))
			return 0;
		blk_io_set(&r->io, VDEV_DISK_READ, 0, sector, bytes);
		r->io.iov = iov + c->nread;
		r->io.niov = c->nwrite - 1;
		sum->read_bytes += bytes;
		*written = c->write_bytes;
		return 1;
	}
	bytes = (uint64_t)c->read_bytes - BLK_HEADER;
	if (unlikely(type != BLK_T_OUT || v->readonly || !blk_moves(&v->bounds, sector, bytes)))
		return 0;
	blk_io_set(&r->io, VDEV_DISK_WRITE, v->write_flags, sector, bytes);
	r->io.iov = iov + 1;
	r->io.niov = c->nread - 1;
	sum->written_bytes += bytes;
	*written = c->write_bytes == 1;
	return 1;
}

void blk_quick_done(struct vdev_disk_io *io, int result)
{
	((struct blk_quick *)io)->result = result;
}

/* One that failed. The status alone is written: that is all of a write's answer, and the end of a read's. */
static __attribute__((noinline, cold)) void failed(const struct blk_quick *r, struct vdev_done *sum,
                                                   uint32_t *written)
{
	*(volatile uint8_t *)r->status = r->result == VIRTQ_ENOTSUP ? BLK_S_UNSUPP : BLK_S_IOERR;
	if (r->io.op == VDEV_DISK_READ) {
		sum->read_bytes -= r->io.len;
		*written = 0;
	} else {
		sum->written_bytes -= r->io.len;
	}
	sum->error++;
}

/* All of them have ended. */
static inline void finish(const struct blk_quick *r, uint32_t n, struct vdev_done *sum,
                          uint32_t *written)
{
	for (const struct blk_quick *end = r + n; r != end; r++, written++) {
		if (unlikely(r->result != 0)) {
			if (r->result < 0) {
				failed(r, sum, written);
				continue;
			}
			*written = 0; /* a read that left the buffer alone */
		}
		*(volatile uint8_t *)r->status = BLK_S_OK;
	}
}

uint32_t blk_quick(struct blk_queue *bq, const struct virtq_chain *chains, uint32_t n)
{
	struct blk_quick *quick = bq->quick;
	const struct view v = look(bq->b);
	struct vdev_done sum = {0};
	uint32_t written[VDEV_BURST];
	uint32_t m = 0;

	prefetch(chains, n);
	while (m < n && likely(begin(&v, &chains[m], &quick[m], &sum, &written[m])))
		m++;
	if (unlikely(m == 0))
		return 0;
	bq->disk_ops->submit(bq->channel, bq->quick_ios, m);
	finish(quick, m, &sum, written);
	vdev_queue_complete_burst(bq->q, chains, m, written, &sum);
	return m;
}
