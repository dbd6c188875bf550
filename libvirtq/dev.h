/* SPDX-License-Identifier: BSD-3-Clause */
/* Between dev.c, which is what users call, and the layouts. */
#ifndef LIBVIRTQ_DEV_H
#define LIBVIRTQ_DEV_H

#include <virtq/device.h>

#include "chain.h"

/* Call the layout that the queue has. A layout that is left out can't have been set up. */
#if defined(VIRTQ_NO_SPLIT)
#define LAYOUT(vq, name, ...) packed_##name(__VA_ARGS__)
#elif defined(VIRTQ_NO_PACKED)
#define LAYOUT(vq, name, ...) split_##name(__VA_ARGS__)
#else
#define LAYOUT(vq, name, ...)                                                                      \
	((vq)->packed ? packed_##name(__VA_ARGS__) : split_##name(__VA_ARGS__))
#endif

/* A completion that IN_ORDER holds back. One for each place in the order of popping. */
struct virtq_dev_done {
	uint32_t written;
	uint16_t id;
	uint16_t ndesc;
	uint16_t ready;
	uint16_t reserved;
};

/* What virtq_dev.broken says: why the ring may not be touched. */
enum { DEV_BROKEN = 1, DEV_UNMAPPED = 2 };

/* Find all three parts of the ring in a map. 0, or VIRTQ_EAGAIN or VIRTQ_EFAULT with nothing changed. */
int dev_map_ring(struct virtq_dev *vq, const struct virtq_mem *mem);

/* Latch a fault. The first one stays. */
void dev_break(struct virtq_dev *vq, int reason, uint16_t head);

/* What a write of ours to the ring itself leaves in the log; offset is within the device area. */
void dev_mark_device_area(struct virtq_dev *vq, uint32_t offset, uint32_t len);
void dev_mark_desc(struct virtq_dev *vq, uint32_t offset, uint32_t len);

static inline const struct virtq_mem *dev_mem(const struct virtq_dev *vq)
{
	return vq->maps[vq->cur_map].mem;
}

static inline int dev_logging(const struct virtq_dev *vq)
{
	return mem_log(dev_mem(vq)) != NULL;
}

static inline uint32_t busy_bit(uint16_t id)
{
	return (uint32_t)1 << (id % 32);
}

static inline int busy_test(const struct virtq_dev *vq, uint16_t id)
{
	return (vq->busy[id / 32] & busy_bit(id)) != 0;
}

static inline void busy_set(struct virtq_dev *vq, uint16_t id)
{
	vq->busy[id / 32] |= busy_bit(id);
}

static inline void busy_clear(struct virtq_dev *vq, uint16_t id)
{
	vq->busy[id / 32] &= ~busy_bit(id);
}

/* The next place in the order of popping: 0 to size - 1, by compare, since packed sizes are any number. */
static inline uint16_t seq_next(const struct virtq_dev *vq, uint16_t seq)
{
	return (uint16_t)(seq + 1) == vq->size ? 0 : (uint16_t)(seq + 1);
}

/* Account for a chain that is popped whole. */
static inline void chain_out(struct virtq_dev *vq, uint16_t id)
{
	busy_set(vq, id);
	vq->seq = seq_next(vq, vq->seq);
}

/* A chain is whole: whether it has no more pieces than virtq_dev_max_iov() promises. */
static inline int pieces_check(const struct walk *w)
{
	return unlikely(w->nread + w->nwrite > w->vq->max_iov) ? VIRTQ_FAULT_TOO_MANY : 0;
}

/* Turn the result of a failed walk into pop's: chains that were popped before are returned first. */
static inline int pop_failed(struct virtq_dev *vq, int why, uint16_t head, uint32_t popped)
{
	if (why == VIRTQ_ENOSPC && popped == 0)
		why = VIRTQ_FAULT_TOO_MANY; /* it had all the room that a chain may need */
	if (why > 0)
		dev_break(vq, why, head);
	if (popped > 0)
		return (int)popped;
	return why == VIRTQ_EAGAIN ? why : VIRTQ_EBROKEN;
}

/* What the driver's event fields say, however they were read. "used" is our position, the last n steps of which the
 * question is about. */

/* Split ring: flags or used_event (2.7.7). */
static inline int split_wanted(const struct virtq_dev *vq, uint16_t wish, uint16_t used, uint16_t n,
                               int known)
{
	if (!vq->event_idx)
		return (wish & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
	return !known || event_passed(wish, used, (uint16_t)(used - n));
}

/* AVAIL equals our wrap counter and USED does not (2.8.1). */
static inline int is_avail(uint16_t flags, int wrap)
{
	return ((flags & VIRTQ_DESC_AVAIL) != 0) == wrap && ((flags & VIRTQ_DESC_USED) != 0) != wrap;
}

static inline uint16_t place_with_wrap(uint16_t place, int wrap)
{
	return (uint16_t)(place | (wrap ? VIRTQ_STATE_WRAP : 0));
}

/* Move a place on by n <= size steps; a whole lap ends where it began, with the counter turned. */
static inline void advance(const struct virtq_dev *vq, uint16_t *place, uint8_t *wrap, uint32_t n)
{
	uint32_t to = *place + n;

	if (to >= vq->size) {
		to -= vq->size;
		*wrap ^= 1;
	}
	*place = (uint16_t)to;
}

/* A further descriptor of a list. The driver shows the head last: the rest must be available by now. */
static inline int packed_rest_check(const struct desc *d, int wrap)
{
	if (!is_avail(d->flags, wrap))
		return VIRTQ_FAULT_UNAVAILABLE;
	return d->flags & VIRTQ_DESC_INDIRECT ? VIRTQ_FAULT_INDIRECT_FLAGS : 0;
}

/* Packed ring: place and flags (2.8.10). */
static inline int packed_wanted(const struct virtq_dev *vq, uint32_t wish, uint16_t used,
                                uint16_t n, int known)
{
	uint16_t event = wish & (uint16_t)~VIRTQ_STATE_WRAP, now = used & (uint16_t)~VIRTQ_STATE_WRAP;

	switch ((wish >> 16) & 3) {
	case VIRTQ_EVENT_DISABLE:
		return 0;
	case VIRTQ_EVENT_DESC:
		if (!vq->event_idx || !known || n >= vq->size)
			return 1;
		if ((used ^ wish) & VIRTQ_STATE_WRAP)
			event = (uint16_t)(event - vq->size);
		return event_passed(event, now, (uint16_t)(now - n));
	default:
		return 1;
	}
}

/* The layouts. */
int split_start(struct virtq_dev *vq, const struct virtq_state *s);
void split_state(const struct virtq_dev *vq, struct virtq_state *out);
int split_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max, struct virtq_iov *iov,
              uint32_t niov);
void split_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
void split_use(struct virtq_dev *vq, uint16_t id, uint16_t ndesc, uint32_t written);
void split_publish(struct virtq_dev *vq);
int split_should_interrupt(struct virtq_dev *vq);
int split_arm(struct virtq_dev *vq);
void split_disarm(struct virtq_dev *vq);

int packed_start(struct virtq_dev *vq, const struct virtq_state *s);
void packed_state(const struct virtq_dev *vq, struct virtq_state *out);
int packed_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov);
void packed_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
void packed_use(struct virtq_dev *vq, uint16_t id, uint16_t ndesc, uint32_t written);
void packed_publish(struct virtq_dev *vq);
int packed_should_interrupt(struct virtq_dev *vq);
int packed_arm(struct virtq_dev *vq);
void packed_disarm(struct virtq_dev *vq);

#endif
