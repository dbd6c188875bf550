/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of the split ring (VIRTIO 1.4 section 2.7). */
#include "dev.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_SPLIT)

/* available ring: flags, idx, ring[size], used_event. The driver writes it. */
static inline const uint8_t *avail_idx(const struct virtq_dev *vq)
{
	return vq->driver + 2;
}

static inline const uint8_t *avail_entry(const struct virtq_dev *vq, uint16_t i)
{
	return vq->driver + 4 + 2 * (size_t)(i & (vq->size - 1));
}

static inline const uint8_t *used_event(const struct virtq_dev *vq)
{
	return vq->driver + 4 + 2 * (size_t)vq->size;
}

/* used ring: flags, idx, ring[size], avail_event. We write it. */
static inline uint32_t used_entry(const struct virtq_dev *vq, uint16_t i)
{
	return 4 + 8 * (uint32_t)(i & (vq->size - 1));
}

static inline uint32_t avail_event(const struct virtq_dev *vq)
{
	return 4 + 8 * (uint32_t)vq->size;
}

int split_start(struct virtq_dev *vq, const struct virtq_state *s)
{
	vq->avail = s->avail;
	vq->avail_seen = s->avail;
	vq->used = s->used;
	if (s->flags & VIRTQ_STATE_USED_IN_RING) {
		vq->used = shared_load16(vq->device + 2);
		if ((uint16_t)(s->avail - vq->used) > vq->size)
			return VIRTQ_EBADMSG;
	}
	vq->used_shown = vq->used;
	return 0;
}

void split_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	out->avail = vq->avail;
	out->used = vq->used;
}

/* How many entries are available: 0 to size, or a negative error when the index makes no sense. */
static int available(struct virtq_dev *vq)
{
	uint16_t n = (uint16_t)(vq->avail_seen - vq->avail);

	if (n != 0)
		return n;
	cache_invalidate(vq->platform, vq->driver, VIRTQ_SPLIT_DRIVER_BYTES(vq->size));
	vq->avail_seen = shared_load16(avail_idx(vq));
	n = (uint16_t)(vq->avail_seen - vq->avail);
	/* What is out, or held back by IN_ORDER, is the device's until it is used: only the rest can have come. */
	if (unlikely(n > vq->size - (uint16_t)(vq->avail - vq->used))) {
		dev_break(vq, VIRTQ_FAULT_AVAIL_IDX, 0xffff);
		return VIRTQ_EBROKEN;
	}
	/* Entries, descriptors and buffers are read after the index; pairs with the driver's barrier before it. */
	read_barrier(vq->platform);
	return n;
}

static inline const uint8_t *desc_at(const struct virtq_dev *vq, uint16_t i)
{
	const uint8_t *p = vq->desc + (size_t)i * VIRTQ_DESC_BYTES;

	cache_invalidate(vq->platform, p, VIRTQ_DESC_BYTES);
	return p;
}

/* Follow the chain from head. Direct descriptors, and perhaps a final one that points at a table. */
static inline int walk_chain(struct walk *w, uint16_t head)
{
	struct virtq_dev *vq = w->vq;
	uint32_t i = head;

	for (;;) {
		struct desc d = desc_load(desc_at(vq, (uint16_t)i), 0);
		int err;

		if (unlikely(d.flags & VIRTQ_DESC_INDIRECT)) {
			if (d.flags & VIRTQ_DESC_NEXT)
				return VIRTQ_FAULT_INDIRECT_FLAGS;
			return chain_indirect(w, &d, 0);
		}
		err = chain_add(w, &d);
		if (unlikely(err != 0))
			return err;
		w->count++;
		err = chain_next(&d, vq->size, w->count, &i);
		if (likely(err != 0))
			return err == CHAIN_END ? 0 : err;
	}
}

static inline int head_check(const struct virtq_dev *vq, uint16_t head)
{
	if (unlikely(head >= vq->size))
		return VIRTQ_FAULT_HEAD;
	return unlikely(busy_test(vq, head)) ? VIRTQ_FAULT_DUPLICATE : 0;
}

int split_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max, struct virtq_iov *iov,
              uint32_t niov)
{
	struct walk w = {.vq = vq, .mem = dev_mem(vq), .iov = iov, .left = niov};
	int n = available(vq), err = 0;
	uint32_t popped = 0;
	uint16_t head = 0xffff;

	if (n <= 0)
		return n;
	if (max > (uint32_t)n)
		max = (uint32_t)n;
	for (; popped < max; popped++) {
		struct virtq_iov *first = w.iov;

		head = shared_load16(avail_entry(vq, vq->avail));
		err = head_check(vq, head);
		if (unlikely(err != 0))
			break;
		w.nread = w.nwrite = w.count = 0;
		w.read_bytes = w.write_bytes = 0;
		err = walk_chain(&w, head);
		if (likely(err == 0))
			err = pieces_check(&w);
		if (unlikely(err != 0))
			break;
		chain_fill(&chains[popped], &w, first, head, 1);
		chain_out(vq, head);
		vq->avail++;
	}
	vq->inflight = (uint16_t)(vq->inflight + popped);
	vq->maps[vq->cur_map].out += popped;
	return likely(err == 0) ? (int)popped : pop_failed(vq, err, head, popped);
}

void split_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	(void)chains;
	vq->avail = (uint16_t)(vq->avail - n);
}

void split_use(struct virtq_dev *vq, uint16_t id, uint16_t ndesc, uint32_t written)
{
	uint32_t elem[2] = {le32(id), le32(written)};

	(void)ndesc;
	__builtin_memcpy(vq->device + used_entry(vq, vq->used), elem, sizeof(elem));
	vq->used++;
}

/* The entries from used_shown to used, in one stretch or two. */
static void mark_used(struct virtq_dev *vq, uint16_t n)
{
	uint32_t first = used_entry(vq, vq->used_shown), end = avail_event(vq), bytes = 8u * n;

	if (bytes > end - first) {
		dev_mark_device_area(vq, first, end - first);
		dev_mark_device_area(vq, 4, bytes - (end - first));
	} else {
		dev_mark_device_area(vq, first, bytes);
	}
	dev_mark_device_area(vq, 2, 2);
}

void split_publish(struct virtq_dev *vq)
{
	uint16_t n = (uint16_t)(vq->used - vq->used_shown);

	if (n == 0)
		return;
	cache_clean(vq->platform, vq->device, VIRTQ_SPLIT_DEVICE_BYTES(vq->size));
	/* Buffers and used entries before the index; pairs with the driver's barrier after reading it. */
	write_barrier(vq->platform);
	shared_store16(vq->device + 2, vq->used);
	cache_clean(vq->platform, vq->device, 4);
	if (dev_logging(vq))
		mark_used(vq, n);
	vq->used_shown = vq->used;
	if (n > UINT16_MAX - vq->unsignalled)
		vq->signalled_known = 0;
	else
		vq->unsignalled = (uint16_t)(vq->unsignalled + n);
}

int split_should_interrupt(struct virtq_dev *vq)
{
	uint16_t n = vq->unsignalled;
	int known = vq->signalled_known;

	if (n == 0 && known)
		return 0;
	vq->unsignalled = 0;
	vq->signalled_known = 1;
	/* Our index before the driver's wish; pairs with the driver's barrier between its wish and our index. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->driver, VIRTQ_SPLIT_DRIVER_BYTES(vq->size));
	return split_wanted(vq, shared_load16(vq->event_idx ? used_event(vq) : vq->driver),
	                    vq->used_shown, n, known);
}

int split_arm(struct virtq_dev *vq)
{
	uint32_t at = vq->event_idx ? avail_event(vq) : 0;

	if (vq->avail_seen != vq->avail)
		return 1;
	shared_store16(vq->device + at, vq->event_idx ? vq->avail : 0);
	cache_clean(vq->platform, vq->device + at, 2);
	if (dev_logging(vq))
		dev_mark_device_area(vq, at, 2);
	vq->armed = 1;
	/* Our wish before the driver's index; pairs with the driver's barrier between its index and our wish. */
	full_barrier(vq->platform);
	cache_invalidate(vq->platform, vq->driver, 4);
	return shared_load16(avail_idx(vq)) != vq->avail;
}

void split_disarm(struct virtq_dev *vq)
{
	/* With EVENT_IDX flags must stay 0 (2.7.10.1), and an event index that is not moved on silences by itself. */
	if (!vq->event_idx) {
		shared_store16(vq->device, VIRTQ_USED_NO_NOTIFY);
		cache_clean(vq->platform, vq->device, 2);
		if (dev_logging(vq))
			dev_mark_device_area(vq, 0, 2);
	}
	vq->armed = 0;
}

#endif
