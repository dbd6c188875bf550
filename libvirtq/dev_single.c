/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers: chains of one descriptor, of one direction, that come back in the order they were taken and before anything
 * else. The checks are those of every chain; what is left out is all that serves chains of several pieces, of both
 * directions, and out of turn.
 */
#include "dev_wide.h"

#ifndef VIRTQ_NO_DEVICE

#ifdef DEV_BURSTS
/* Whether the quick way is open now. With IN_ORDER nothing else may be out or held back: then the order needs no thought. */
static inline int quick(const struct virtq_dev *vq)
{
	return dev_bursts(vq) && !vq->broken && vq->track == NULL && !dev_logging(vq) &&
	       (!vq->in_order || vq->seq_used == vq->seq);
}

static inline void buffer_fill(struct virtq_buffer *b, void *base, uint64_t len, size_t id)
{
	b->base = base;
	b->len = (uint32_t)len;
	b->id = (uint32_t)id;
}

#ifndef VIRTQ_NO_PACKED
/* Up to n from the queue's place on, which do not go beyond the end of the ring. */
NOINLINE uint32_t packed_take_run(struct virtq_dev *vq, struct virtq_buffer *b, uint32_t n,
                                  unsigned write)
{
	const struct virtq_mem *mem = dev_mem(vq);
	const uint8_t *p = packed_desc(vq, vq->avail), *end = p + (size_t)n * VIRTQ_DESC_BYTES;
	const uint16_t wanted =
		(uint16_t)((vq->avail_wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED) | write);
	uint32_t shift = mem->index_shift;
	uint8_t *owner = vq->owner;
	size_t size = vq->size;

	if (vq->wide) {
		uint32_t done = dev_wide_take(vq, p, b, n, wanted);

		p += (size_t)done * VIRTQ_DESC_BYTES;
		b += done;
	}
	UNROLLED
	for (; p != end; p += VIRTQ_DESC_BYTES, b++) {
		uint64_t addr, len;
		void *base;
		size_t id;

		if (unlikely(shared_load16(p + DESC_FLAGS) != wanted))
			break;
		/* The rest after the flags; pairs with the driver's barrier before it writes them. */
		read_barrier(NULL);
		addr = shared_load64(p);
		len = shared_load32(p + DESC_LEN);
		id = shared_load16(p + DESC_ID);
		forget_origin(len);
		forget_origin(id);
		if (unlikely(id >= size) || unlikely(owner[id] != OWNER_NONE) ||
		    unlikely(!mem_plain(mem, shift, addr, len, &base)))
			break;
		owner[id] = OWNER_NOW;
		buffer_fill(b, base, len, id);
	}
	n = (uint32_t)((size_t)(p - packed_desc(vq, vq->avail)) / VIRTQ_DESC_BYTES);
	advance(vq, &vq->avail, &vq->avail_wrap, n);
	vq->slots_out = (uint16_t)(vq->slots_out + n);
	return n;
}

static uint32_t packed_take(struct virtq_dev *vq, struct virtq_buffer *b, uint32_t n,
                            unsigned write)
{
	uint32_t left = (uint32_t)vq->size - vq->slots_out, end = (uint32_t)vq->size - vq->avail, got;

	if (n > left)
		n = left;
	if (n <= end)
		return packed_take_run(vq, b, n, write);
	got = packed_take_run(vq, b, end, write);
	return got < end ? got : got + packed_take_run(vq, b + got, n - got, write);
}

/*
 * Used descriptors for the n buffers up to the end of the ring, or so many as are out. Readable ones have no length. What
 * is the first one since the last publish is not shown as used yet.
 */
static inline __attribute__((always_inline)) uint32_t packed_give_run(struct virtq_dev *vq,
                                                                      const struct virtq_buffer *b,
                                                                      const uint32_t *written,
                                                                      uint32_t n, const int write)
{
	const uint32_t lap = vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0u;
	const uint32_t flags = write ? lap | VIRTQ_DESC_WRITE : lap;
	uint32_t now = vq->held ? flags : flags ^ VIRTQ_DESC_USED;
	const struct virtq_buffer *first = b, *last = b + n;
	uint8_t *p = packed_desc(vq, vq->used), *owner = vq->owner;
	size_t size = vq->size;

	if (vq->wide) {
		uint32_t done = dev_wide_give(vq, p, b, write ? written : NULL, n, flags, now);

		if (done != 0)
			now = flags;
		p += (size_t)done * VIRTQ_DESC_BYTES;
		b += done;
		if (write)
			written += done;
	}
	UNROLLED
	for (; b != last; b++, p += VIRTQ_DESC_BYTES) {
		size_t id = b->id;
		uint32_t len = 0;

		if (unlikely(id >= size) || unlikely(owner[id] != OWNER_NOW))
			break;
		if (write) {
			len = *written++;
			/* Without a byte that was written there is no WRITE: that, and too much of them, is not for here. */
			if (unlikely(len - 1 >= b->len))
				break;
		}
		owner[id] = OWNER_NONE;
		shared_store32(p + DESC_LEN, len);
		shared_store32(p + DESC_ID, now << 16 | (uint32_t)id);
		now = flags;
	}
	n = (uint32_t)(b - first);
	if (n != 0 && !vq->held) {
		vq->held = 1;
		vq->held_flags = (uint16_t)flags;
		vq->held_place = vq->used;
	}
	return n;
}

static void packed_given(struct virtq_dev *vq, uint32_t n)
{
	advance(vq, &vq->used, &vq->used_wrap, n);
	vq->slots_out = (uint16_t)(vq->slots_out - n);
	vq->held_slots = (uint16_t)(vq->held_slots + n);
}

/* One alone, with whatever length. */
NOINLINE uint32_t packed_give_one(struct virtq_dev *vq, const struct virtq_buffer *b, uint32_t len)
{
	if (b->id >= vq->size || vq->owner[b->id] != OWNER_NOW || len > b->len)
		return 0;
	vq->owner[b->id] = OWNER_NONE;
	packed_use(vq, (uint16_t)b->id, 0, len);
	return 1;
}

/* Use n buffers. Returns how many; fewer: the next one is not out, or not so long. */
static uint32_t packed_give(struct virtq_dev *vq, const struct virtq_buffer *b,
                            const uint32_t *written, uint32_t n, int write)
{
	uint32_t done = 0;

	while (done < n) {
		uint32_t run = (uint32_t)vq->size - vq->used, got;

		if (run > n - done)
			run = n - done;
		got = write ? packed_give_run(vq, b + done, written + done, run, 1)
		            : packed_give_run(vq, b + done, written, run, 0);
		packed_given(vq, got);
		done += got;
		if (unlikely(got < run)) {
			if (packed_give_one(vq, b + done, write ? written[done] : 0) == 0)
				break;
			done++;
		}
	}
	return done;
}
#endif

#ifndef VIRTQ_NO_SPLIT
NOINLINE uint32_t split_take(struct virtq_dev *vq, struct virtq_buffer *b, uint32_t n,
                             unsigned write)
{
	const struct virtq_mem *mem = dev_mem(vq);
	const uint8_t *ring = vq->driver + 4, *table = vq->desc;
	const struct virtq_buffer *first = b;
	uint32_t shift = mem->index_shift, avail = vq->avail, mask = vq->size - 1u;
	uint8_t *owner = vq->owner;
	int left = split_available(vq);

	if (left <= 0)
		return 0;
	if (n > (uint32_t)left)
		n = (uint32_t)left;
	for (const struct virtq_buffer *last = b + n; b != last; b++, avail++) {
		size_t id = shared_load16(ring + 2 * (size_t)(avail & mask));
		const uint8_t *p = table + id * VIRTQ_DESC_BYTES;
		uint64_t addr, rest;
		void *base;

		forget_origin(id);
		if (unlikely(id > mask) || unlikely(owner[id] != OWNER_NONE))
			break;
		addr = shared_load64(p);
		rest = shared_load64(p + DESC_LEN); /* and above it flags and next */
		if (unlikely((uint16_t)(rest >> 32) != write) ||
		    unlikely(!mem_plain(mem, shift, addr, (uint32_t)rest, &base)))
			break;
		owner[id] = OWNER_NOW;
		buffer_fill(b, base, rest, id);
	}
	vq->avail = (uint16_t)avail;
	return (uint32_t)(b - first);
}

static inline __attribute__((always_inline)) uint32_t split_give_run(struct virtq_dev *vq,
                                                                     const struct virtq_buffer *b,
                                                                     const uint32_t *written,
                                                                     uint32_t n, const int write)
{
	uint8_t *ring = vq->device + 4, *owner = vq->owner;
	const struct virtq_buffer *first = b;
	uint32_t used = vq->used, mask = vq->size - 1u;

	for (const struct virtq_buffer *last = b + n; b != last; b++, used++) {
		uint8_t *p = ring + VIRTQ_USED_ELEM_BYTES * (size_t)(used & mask);
		uint32_t len = write ? *written++ : 0;
		size_t id = b->id;

		if (unlikely(id > mask) || unlikely(owner[id] != OWNER_NOW) ||
		    (write && unlikely(len > b->len)))
			break;
		owner[id] = OWNER_NONE;
		shared_store32(p, (uint32_t)id);
		shared_store32(p + 4, len);
	}
	vq->used = (uint16_t)used;
	return (uint32_t)(b - first);
}

static uint32_t split_give(struct virtq_dev *vq, const struct virtq_buffer *b,
                           const uint32_t *written, uint32_t n, int write)
{
	return write ? split_give_run(vq, b, written, n, 1) : split_give_run(vq, b, written, n, 0);
}
#endif

uint32_t virtq_dev_take(struct virtq_dev *vq, struct virtq_buffer *buffers, uint32_t max, int write)
{
	uint32_t n;

	if (unlikely(!quick(vq)))
		return 0;
	n = LAYOUT(vq, take, vq, buffers, max, write ? (unsigned)VIRTQ_DESC_WRITE : 0u);
	vq->seq += n;
	chains_out(vq, n);
	return n;
}

/* Buffers are like any other chains, where marks are to be made. */
static uint32_t give_slowly(struct virtq_dev *vq, const struct virtq_buffer *b,
                            const uint32_t *written, uint32_t n, int write)
{
	static const uint32_t none;

	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_iov iov = {.base = b[i].base, .len = b[i].len};
		const struct virtq_chain c = {.iov = &iov,
		                              .nread = !write,
		                              .nwrite = write != 0,
		                              .read_bytes = write ? 0 : b[i].len,
		                              .write_bytes = write ? b[i].len : 0,
		                              .id = (uint16_t)b[i].id,
		                              .seq = vq->seq - vq->inflight};

		if (b[i].id >= vq->size ||
		    virtq_dev_push(vq, &c, write ? &written[i] : &none, 1) == VIRTQ_EINVAL)
			return i;
	}
	return n;
}

int virtq_dev_give(struct virtq_dev *vq, const struct virtq_buffer *buffers,
                   const uint32_t *written, uint32_t n, int write)
{
	uint32_t given;

	if (unlikely(!dev_bursts(vq)))
		return n == 0 ? 0 : VIRTQ_EINVAL;
	if (unlikely(vq->broken) || unlikely(dev_logging(vq)))
		return give_slowly(vq, buffers, written, n, write) == n ? 0 : VIRTQ_EINVAL;
	given = LAYOUT(vq, give, vq, buffers, written, n, write);
	vq->seq_used += given;
	chains_back(vq, given);
	return likely(given == n) ? 0 : VIRTQ_EINVAL;
}

int virtq_dev_untake(struct virtq_dev *vq, const struct virtq_buffer *buffers, uint32_t n)
{
	if (unlikely(!dev_bursts(vq)))
		return n == 0 ? 0 : VIRTQ_EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (buffers[i].id >= vq->size || vq->owner[buffers[i].id] != OWNER_NOW) {
			while (i-- > 0)
				vq->owner[buffers[i].id] = OWNER_NOW;
			return VIRTQ_EINVAL;
		}
		vq->owner[buffers[i].id] = OWNER_NONE; /* a second mention is refused */
	}
	LAYOUT(vq, untake, vq, n);
	vq->seq -= n;
	chains_back(vq, n);
	return 0;
}
#else
uint32_t virtq_dev_take(struct virtq_dev *vq, struct virtq_buffer *buffers, uint32_t max, int write)
{
	(void)vq;
	(void)buffers;
	(void)max;
	(void)write;
	return 0;
}

int virtq_dev_give(struct virtq_dev *vq, const struct virtq_buffer *buffers,
                   const uint32_t *written, uint32_t n, int write)
{
	(void)vq;
	(void)buffers;
	(void)written;
	(void)write;
	return n == 0 ? 0 : VIRTQ_EINVAL;
}

int virtq_dev_untake(struct virtq_dev *vq, const struct virtq_buffer *buffers, uint32_t n)
{
	(void)vq;
	(void)buffers;
	return n == 0 ? 0 : VIRTQ_EINVAL;
}
#endif

#endif
