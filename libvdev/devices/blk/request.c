/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of virtio-blk (section 5.2.6). What the driver wrote is copied once, checked, and used
 * from the copy; the status byte is the last writable byte wherever the driver's descriptors put it
 * (2.7.4: framing means nothing).
 *
 * The used length is what was really written from the start of the writable part on (2.7.8.2): all
 * of it for a read that went well, nothing for one that failed. See docs/adr/0002.
 */
#include "blk.h"

/* What begin() says of a chain. */
enum begun {
	BEGUN_DONE,   /* completed */
	BEGUN_SUBMIT, /* its operation is to be submitted */
	BEGUN_NO_ROOM,
	BEGUN_NOT_NOW /* the rate limit says so */
};

struct header {
	uint32_t type;
	uint64_t sector;
};

static inline void read_header(const struct virtq_chain *c, struct header *h)
{
	uint8_t bytes[BLK_HEADER];

	if (likely(c->iov[0].len >= BLK_HEADER))
		memcpy(bytes, c->iov[0].base, BLK_HEADER);
	else
		(void)vdev_chain_read(c, 0, bytes, BLK_HEADER);
	h->type = blk_get32(bytes);
	h->sector = blk_get64(bytes + 8);
	blk_fix(h->type);
	blk_fix(h->sector);
}

/*
 * Complete: data bytes were written at the start of the writable part, the status at its end. The
 * caller has set done's counts of payload.
 */
static inline void complete(struct vdev_queue *q, const struct virtq_chain *c, uint8_t *status,
                            uint8_t code, uint32_t data, struct vdev_done *done)
{
	*(volatile uint8_t *)status = code;
	done->written = data + 1 == c->write_bytes ? data + 1 : data;
	done->error = code != BLK_S_OK;
	vdev_queue_complete(q, c, done);
}

static enum begun answer(struct blk_queue *bq, const struct virtq_chain *c, uint8_t code,
                         uint32_t data)
{
	const struct virtq_iov *last = &c->iov[c->nread + c->nwrite - 1];
	struct vdev_done done = {0};

	complete(bq->q, c, (uint8_t *)last->base + last->len - 1, code, data, &done);
	return BEGUN_DONE;
}

/* A block of pieces from the queue's store, and back. */
static struct virtq_iov *block_take(struct blk_queue *bq)
{
	void *block = bq->blocks;

	if (block != NULL)
		memcpy(&bq->blocks, block, sizeof(bq->blocks));
	return block;
}

static void block_give(struct blk_queue *bq, struct virtq_iov *block)
{
	memcpy(block, &bq->blocks, sizeof(bq->blocks));
	bq->blocks = block;
}

static inline void req_free(struct blk_queue *bq, struct blk_req *r)
{
	if (unlikely(r->block != NULL)) {
		block_give(bq, r->block);
		r->block = NULL;
	}
	r->next = bq->free;
	bq->free = r;
}

/*
 * Take a request object for c, with room for extra pieces beside the chain's own copy.
 * NULL: none is free, or no block for so many pieces.
 */
static inline struct blk_req *req_new(struct blk_queue *bq, const struct virtq_chain *c,
                                      uint32_t extra, struct virtq_iov **room)
{
	struct blk_req *r = bq->free;
	struct virtq_iov *pieces;
	uint32_t copied = bq->sync ? 0 : c->nread + c->nwrite;

	if (unlikely(r == NULL))
		return NULL;
	pieces = r->pieces;
	if (unlikely(copied + extra > BLK_INLINE)) {
		pieces = block_take(bq);
		if (pieces == NULL)
			return NULL;
		r->block = pieces;
	}
	bq->free = r->next;
	if (bq->sync) {
		r->chain = c;
	} else {
		memcpy(pieces, c->iov, copied * sizeof(*pieces));
		r->copy = *c;
		r->copy.iov = pieces;
		r->chain = &r->copy;
	}
	r->status =
		(uint8_t *)c->iov[c->nread + c->nwrite - 1].base + c->iov[c->nread + c->nwrite - 1].len - 1;
	*room = pieces + copied;
	return r;
}

/* The limit, which is asked when nothing else can keep the request from being taken. */
static inline int admitted(struct blk_queue *bq, uint64_t bytes)
{
	struct blk_device *b = bq->b;

	if (likely(!blk_get(&b->limit.on)))
		return 1;
	return blk_limit_take(&b->limit, &bq->waiter, b->env.now(b->env.ctx), bytes, &bq->deadline);
}

/* Pieces of the payload that are the chain's own as they are: how many; 0: they have to be cut. */
static inline uint32_t whole_pieces(const struct virtq_chain *c, int out)
{
	if (out)
		return c->iov[0].len == BLK_HEADER ? c->nread - 1 : 0;
	return c->iov[c->nread + c->nwrite - 1].len == 1 ? c->nwrite - 1 : 0;
}

/* IN and OUT. */
static inline enum begun begin_data(struct blk_queue *bq, const struct virtq_chain *c,
                                    const struct header *h, struct blk_req **out)
{
	const struct blk_device *b = bq->b;
	int write = h->type == BLK_T_OUT;
	uint32_t bytes = write ? c->read_bytes - BLK_HEADER : c->write_bytes - 1;
	const struct blk_bounds bounds = blk_bounds(b);
	uint32_t whole, most;
	struct virtq_iov *room;
	struct blk_req *r;
	int n;

	if (unlikely(!blk_moves(&bounds, h->sector, bytes) || (write && b->readonly))) {
		int good = bytes == 0 && blk_within(&bounds, h->sector, 0) && !(write && b->readonly);

		if (!admitted(bq, 0))
			return BEGUN_NOT_NOW;
		return answer(bq, c, good ? BLK_S_OK : BLK_S_IOERR, 0);
	}
	whole = whole_pieces(c, write);
	most = write ? c->nread : c->nwrite;
	r = req_new(bq, c, whole != 0 ? 0 : most, &room);
	if (unlikely(r == NULL))
		return BEGUN_NO_ROOM;
	if (unlikely(!admitted(bq, bytes))) {
		req_free(bq, r);
		return BEGUN_NOT_NOW;
	}
	if (likely(whole != 0)) {
		r->io.iov = &r->chain->iov[write ? 1 : c->nread];
		r->io.niov = whole;
	} else {
		n = vdev_chain_slice(c, !write, write ? BLK_HEADER : 0, bytes, room, most);
		if (unlikely(n < 0)) {
			req_free(bq, r);
			return answer(bq, c, BLK_S_IOERR, 0);
		}
		r->io.iov = room;
		r->io.niov = (uint32_t)n;
	}
	blk_io_set(&r->io, write ? VDEV_DISK_WRITE : VDEV_DISK_READ,
	           write && blk_get(&b->through) ? VDEV_DISK_FUA : 0, h->sector, bytes);
	r->bytes = bytes;
	r->type = (uint8_t)h->type;
	r->range = 0;
	r->nranges = 0;
	r->flush_after = 0;
	*out = r;
	return BEGUN_SUBMIT;
}

/* The next operation of a request of several. 0: there is none. */
static int next_op(struct blk_req *r)
{
	while (r->range < r->nranges) {
		const struct blk_range *range = &r->ranges[r->range];
		uint64_t len = range->len - r->at;
		uint64_t at = range->offset + r->at;

		if (r->type == BLK_T_WRITE_ZEROES && len > (uint64_t)BLK_ZEROES_MAX << 9) {
			len = (uint64_t)BLK_ZEROES_MAX << 9;
			r->at += len;
		} else {
			r->at = 0;
			r->range++;
		}
		if (len == 0)
			continue;
		r->io.op = r->type == BLK_T_DISCARD        ? VDEV_DISK_DISCARD
		           : r->type == BLK_T_WRITE_ZEROES ? VDEV_DISK_WRITE_ZEROES
		                                           : VDEV_DISK_SECURE_ERASE;
		r->io.flags = (uint8_t)range->flags;
		r->io.offset = at;
		r->io.len = len;
		return 1;
	}
	if (!r->flush_after)
		return 0;
	r->flush_after = 0;
	r->io.op = VDEV_DISK_FLUSH;
	r->io.flags = 0;
	r->io.offset = 0;
	r->io.len = 0;
	return 1;
}

/*
 * Read the segments of a DISCARD or the like and check them all before anything is done. Zeroes are taken in as many
 * and as long segments as once were offered: a driver that looked then may live on, here or from a saved state.
 */
static uint8_t read_ranges(const struct blk_device *b, const struct virtq_chain *c, uint32_t type,
                           struct blk_range *ranges, uint32_t n)
{
	const struct blk_bounds bounds = blk_bounds(b);
	uint8_t bytes[BLK_RANGES * BLK_RANGE];
	uint8_t code = BLK_S_OK;

	(void)vdev_chain_read(c, BLK_HEADER, bytes,
	                      n * BLK_RANGE); /* all of it: n is of what there is */
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = bytes + i * BLK_RANGE;
		uint64_t sector = blk_get64(p);
		uint32_t count = blk_get32(p + 8);
		uint32_t flags = blk_get32(p + 12);

		if (flags > (type == BLK_T_WRITE_ZEROES))
			return BLK_S_UNSUPP;
		if (count > BLK_RANGE_MAX || !blk_within(&bounds, sector, (uint64_t)count << 9)) {
			code = BLK_S_IOERR;
			continue;
		}
		ranges[i].offset = sector << 9;
		ranges[i].len = (uint64_t)count << 9;
		ranges[i].flags = flags ? VDEV_DISK_UNMAP : 0;
	}
	return code;
}

/* DISCARD, WRITE_ZEROES, SECURE_ERASE. */
static enum begun begin_ranges(struct blk_queue *bq, const struct virtq_chain *c, uint32_t type,
                               struct blk_req **out)
{
	const struct blk_device *b = bq->b;
	uint32_t bytes = c->read_bytes - BLK_HEADER;
	uint32_t n = bytes / BLK_RANGE;
	int through = type != BLK_T_DISCARD && blk_get(&b->through);
	struct virtq_iov *room;
	struct blk_req *r;
	uint8_t code;

	if (bytes == 0 || bytes % BLK_RANGE != 0 || n > BLK_RANGES)
		return admitted(bq, 0) ? answer(bq, c, BLK_S_IOERR, 0) : BEGUN_NOT_NOW;
	r = req_new(bq, c, 0, &room);
	if (r == NULL)
		return BEGUN_NO_ROOM;
	if (!admitted(bq, 0)) {
		req_free(bq, r);
		return BEGUN_NOT_NOW;
	}
	r->type = (uint8_t)type;
	r->bytes = 0;
	r->range = 0;
	r->at = 0;
	r->nranges = (uint8_t)n;
	r->flush_after = (uint8_t)through;
	r->io.iov = NULL;
	r->io.niov = 0;
	code = read_ranges(b, c, type, r->ranges, n);
	if (code != BLK_S_OK || !next_op(r)) {
		req_free(bq, r);
		return answer(bq, c, code, 0);
	}
	*out = r;
	return BEGUN_SUBMIT;
}

static enum begun begin_flush(struct blk_queue *bq, const struct virtq_chain *c,
                              struct blk_req **out)
{
	struct virtq_iov *room;
	struct blk_req *r;

	/* Without a cache that forgets, what has completed is stable already. */
	if (!bq->b->volatile_cache)
		return admitted(bq, 0) ? answer(bq, c, BLK_S_OK, 0) : BEGUN_NOT_NOW;
	r = req_new(bq, c, 0, &room);
	if (r == NULL)
		return BEGUN_NO_ROOM;
	if (!admitted(bq, 0)) {
		req_free(bq, r);
		return BEGUN_NOT_NOW;
	}
	r->type = BLK_T_FLUSH;
	r->bytes = 0;
	r->range = 0;
	r->nranges = 0;
	r->flush_after = 1;
	r->io.iov = NULL;
	r->io.niov = 0;
	(void)next_op(r);
	*out = r;
	return BEGUN_SUBMIT;
}

static enum begun begin_id(struct blk_queue *bq, const struct virtq_chain *c)
{
	uint32_t room = c->write_bytes - 1;
	uint32_t n = room < BLK_ID ? room : BLK_ID;

	n = (uint32_t)vdev_chain_write(c, 0, bq->b->serial, n);
	return answer(bq, c, BLK_S_OK, n);
}

/* A value that the standard reserves is told as "undefined" (5.2.6.2). */
static void put_lifetime(uint8_t *p, uint16_t value, uint16_t most)
{
	p[0] = value > most ? 0 : (uint8_t)value;
	p[1] = 0;
}

static enum begun begin_lifetime(struct blk_queue *bq, const struct virtq_chain *c)
{
	struct vdev_disk_info info;
	uint8_t bytes[BLK_LIFETIME];

	if (c->write_bytes - 1 < BLK_LIFETIME)
		return answer(bq, c, BLK_S_IOERR, 0);
	memset(&info, 0, sizeof(info));
	bq->disk_ops->info(bq->b->disk, &info);
	if (!info.has_lifetime)
		return answer(bq, c, BLK_S_IOERR, 0);
	put_lifetime(bytes, info.lifetime[0], 3);
	put_lifetime(bytes + 2, info.lifetime[1], 11);
	put_lifetime(bytes + 4, info.lifetime[2], 11);
	return answer(bq, c, BLK_S_OK, (uint32_t)vdev_chain_write(c, 0, bytes, sizeof(bytes)));
}

/* All types but IN and OUT. One whose feature was not negotiated is refused like an unknown one. */
static enum begun begin_other(struct blk_queue *bq, const struct virtq_chain *c, uint32_t type,
                              struct blk_req **out)
{
	uint32_t can = blk_get(&bq->b->can);

	switch (type) {
	case BLK_T_FLUSH:
		if (can & BLK_CAN_FLUSH)
			return begin_flush(bq, c, out);
		break;
	case BLK_T_DISCARD:
		if (can & BLK_CAN_DISCARD)
			return begin_ranges(bq, c, type, out);
		break;
	case BLK_T_WRITE_ZEROES:
		if (can & BLK_CAN_WRITE_ZEROES)
			return begin_ranges(bq, c, type, out);
		break;
	case BLK_T_SECURE_ERASE:
		if (can & BLK_CAN_SECURE_ERASE)
			return begin_ranges(bq, c, type, out);
		break;
	case BLK_T_GET_ID:
		return admitted(bq, 0) ? begin_id(bq, c) : BEGUN_NOT_NOW;
	case BLK_T_GET_LIFETIME:
		if (can & BLK_CAN_LIFETIME)
			return admitted(bq, 0) ? begin_lifetime(bq, c) : BEGUN_NOT_NOW;
		break;
	default:
		break;
	}
	return admitted(bq, 0) ? answer(bq, c, BLK_S_UNSUPP, 0) : BEGUN_NOT_NOW;
}

static inline enum begun begin(struct blk_queue *bq, const struct virtq_chain *c,
                               struct blk_req **out)
{
	struct header h;

	if (unlikely(c->write_bytes == 0)) {
		/* Nowhere to put a status: 2.7.8.2 lets us use it with nothing written. */
		static const struct vdev_done nothing = {.error = 1};

		vdev_queue_complete(bq->q, c, &nothing);
		return BEGUN_DONE;
	}
	if (unlikely(c->read_bytes < BLK_HEADER))
		return answer(bq, c, BLK_S_IOERR, 0);
	read_header(c, &h);
	if (likely(h.type <= BLK_T_OUT))
		return begin_data(bq, c, &h, out);
	return begin_other(bq, c, h.type, out);
}

/* Submit the next operations of requests of several. The list may grow again meanwhile. */
static void submit_next(struct blk_queue *bq)
{
	struct vdev_disk_io *ios[VDEV_BURST];

	while (bq->next_first != NULL) {
		uint32_t n = 0;

		while (n < VDEV_BURST && bq->next_first != NULL) {
			ios[n++] = &bq->next_first->io;
			bq->next_first = bq->next_first->next;
		}
		if (bq->next_first == NULL)
			bq->next_last = &bq->next_first;
		bq->disk_ops->submit(bq->channel, ios, n);
	}
}

static inline void submit(struct blk_queue *bq, struct vdev_disk_io *const *ios, uint32_t n)
{
	bq->disk_ops->submit(bq->channel, ios, n);
	if (unlikely(bq->next_first != NULL))
		submit_next(bq);
}

/* Serve the quick way what can be served so: how many from this chain on. */
static inline uint32_t quick(struct blk_queue *bq, const struct virtq_chain *chains, uint32_t n)
{
	return bq->sync && likely(!blk_get(&bq->b->limit.on)) ? blk_quick(bq, chains, n) : 0;
}

/* Each by itself, from chain i on; kept apart so that the quick way need not pay for its registers. */
static __attribute__((noinline)) uint32_t process_each(struct blk_queue *bq,
                                                       const struct virtq_chain *chains, uint32_t i,
                                                       uint32_t n)
{
	struct vdev_disk_io *ios[VDEV_BURST];
	struct blk_req *r;
	uint32_t m = 0;

	while (i < n) {
		enum begun begun = begin(bq, &chains[i], &r);

		if (likely(begun == BEGUN_SUBMIT)) {
			ios[m++] = &r->io;
		} else if (begun == BEGUN_NO_ROOM && m != 0) {
			/* Those that end in it, all or some, make room again: nothing else would say so afterwards. */
			submit(bq, ios, m);
			m = 0;
			continue;
		} else if (unlikely(begun != BEGUN_DONE)) {
			break;
		}
		i++;
		/* What is under way was asked for before. */
		if (m == 0)
			i += quick(bq, &chains[i], n - i);
	}
	if (likely(m != 0))
		submit(bq, ios, m);
	return i;
}

uint32_t blk_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                     uint32_t n)
{
	struct blk_queue *bq = vdev_queue_priv(q);
	uint32_t i;

	(void)model;
	bq->deadline = UINT64_MAX;
	if (unlikely(!bq->holds) && blk_queue_hold(bq) < 0)
		return 0;
	i = quick(bq, chains, n);
	return likely(i == n) ? n : process_each(bq, chains, i, n);
}

int blk_poll(void *model, struct vdev_queue *q)
{
	struct blk_queue *bq = vdev_queue_priv(q);
	int more;

	(void)model;
	if (bq->sync)
		return 0;
	more = bq->disk_ops->poll(bq->channel);
	if (unlikely(bq->next_first != NULL))
		submit_next(bq);
	return more;
}

static uint64_t range_bytes(const struct blk_req *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->nranges; i++)
		sum += r->ranges[i].len;
	return sum;
}

/* data: bytes at the start of the writable part that were written. */
static inline void finish(struct blk_req *r, uint8_t code, uint32_t data)
{
	struct blk_queue *bq = r->bq;
	uint32_t bytes = code == BLK_S_OK ? r->bytes : 0;
	int in = r->type == BLK_T_IN;
	struct vdev_done done = {.read_bytes = in ? bytes : 0, .written_bytes = in ? 0 : bytes};

	if (unlikely(r->nranges != 0) && code == BLK_S_OK)
		done.discarded_bytes = range_bytes(r);
	complete(bq->q, r->chain, r->status, code, data, &done);
	req_free(bq, r);
}

/* The disk has ended an operation; it is the disk's no more. */
void blk_io_done(struct vdev_disk_io *io, int result)
{
	struct blk_req *r = (struct blk_req *)io;

	if (unlikely(result < 0)) {
		finish(r, result == VIRTQ_ENOTSUP ? BLK_S_UNSUPP : BLK_S_IOERR, 0);
		return;
	}
	if (likely(r->bytes != 0)) {
		finish(r, BLK_S_OK, r->type == BLK_T_IN && result != VDEV_DISK_UNTOUCHED ? r->bytes : 0);
		return;
	}
	if (r->bq->cancel && (r->range < r->nranges || r->flush_after)) {
		finish(r, BLK_S_IOERR, 0);
		return;
	}
	if (!next_op(r)) {
		finish(r, BLK_S_OK, 0);
		return;
	}
	/* Not from inside the disk's own call: recursion would grow with the driver's segments. */
	r->next = NULL;
	*r->bq->next_last = r;
	r->bq->next_last = &r->next;
}
