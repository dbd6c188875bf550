/* SPDX-License-Identifier: BSD-3-Clause */
/* Between drv.c, which is what users call, and the layouts. */
#ifndef LIBVIRTQ_DRV_H
#define LIBVIRTQ_DRV_H

#include <virtq/driver.h>

#include "arch.h"

/*
 * What is known in private of a descriptor (split) or a buffer id (packed). cookie, writable, publishes and ndesc
 * are those of a buffer and kept with its head or id.
 */
struct virtq_drv_slot {
	void *cookie;
	size_t publishes;  /* what virtq_drv.publishes was when the buffer was added */
	uint32_t writable; /* bytes of its writable part */
	uint16_t ndesc;    /* descriptors of the ring that it takes; 0: nothing is out under this id */
	uint16_t next;     /* split: next of the chain or of the free ones; packed: next free id */
};

/* A buffer that is being added: it has been checked, and there is room for it. */
struct drv_buffer {
	const struct virtq_seg *seg;
	uint32_t nread;
	uint32_t count; /* pieces, readable and writable */
	uint32_t writable;
	int indirect;
	void *cookie;
};

static inline uint16_t drv_desc_flags(const struct drv_buffer *b, uint32_t i)
{
	return i < b->nread ? 0 : VIRTQ_DESC_WRITE;
}

/* Where the indirect table of a head or id lies, here and for the device. */
static inline size_t drv_table_offset(const struct virtq_drv *vq, uint16_t id)
{
	return (size_t)id * vq->indirect_max * VIRTQ_DESC_BYTES;
}

/* Write a descriptor that the device may not look at yet. lo and hi are its last two fields as they lie in memory. */
static inline void drv_desc_store(uint8_t *p, uint64_t addr, uint32_t len, uint16_t lo, uint16_t hi)
{
	shared_store64(p, addr);
	shared_store64(p + 8, len | (uint64_t)lo << 32 | (uint64_t)hi << 48);
}

/* Write the indirect table of a buffer. */
void drv_table_fill(struct virtq_drv *vq, const struct drv_buffer *b, uint16_t id);

/* Note that a buffer is out under a head or id. */
static inline void drv_out(struct virtq_drv *vq, const struct drv_buffer *b, uint16_t id,
                           uint32_t ndesc)
{
	struct virtq_drv_slot *s = &vq->slots[id];

	s->cookie = b->cookie;
	s->writable = b->writable;
	s->publishes = vq->publishes;
	s->ndesc = (uint16_t)ndesc;
	vq->free_count = (uint16_t)(vq->free_count - ndesc);
	vq->inflight++;
}

/* Whether the device may use a buffer under this id and say so many bytes of it. The id is not yet checked at all. */
static inline int drv_used_ok(const struct virtq_drv *vq, uint32_t id, uint32_t written)
{
	const struct virtq_drv_slot *s;

	if (unlikely(id >= vq->size))
		return 0;
	s = &vq->slots[id];
	if (unlikely(s->ndesc == 0 || written > s->writable))
		return 0;
	return likely(vq->unshown == 0) || s->publishes != vq->publishes;
}

static inline void drv_done(struct virtq_drv *vq, uint16_t id, uint32_t written,
                            struct virtq_done *out)
{
	struct virtq_drv_slot *s = &vq->slots[id];

	*out = (struct virtq_done){.cookie = s->cookie, .written = written};
	vq->free_count = (uint16_t)(vq->free_count + s->ndesc);
	vq->inflight--;
	s->cookie = NULL;
	s->ndesc = 0;
}

/* IN_ORDER: the bytes written of the oldest buffer. A batch has one used entry, for its last buffer; the others
 * count as written whole (section 2.7.9). */
static inline uint32_t drv_batch_written(struct virtq_drv *vq)
{
	if (vq->oldest != vq->batch_id)
		return vq->slots[vq->oldest].writable;
	vq->in_batch = 0;
	return vq->batch_len;
}

static inline void drv_unkicked_add(struct virtq_drv *vq, uint32_t n)
{
	/* Whoever never asks must not make it wrap; from 2^16 on the answer is the same. */
	vq->unkicked += n;
	if (unlikely(vq->unkicked > 0x10000))
		vq->unkicked = 0x10000;
}

/* The layouts. add has room and can't fail. take never gets max = 0. */
void drv_split_start(struct virtq_drv *vq);
void drv_split_add(struct virtq_drv *vq, const struct drv_buffer *b);
void drv_split_publish(struct virtq_drv *vq);
int drv_split_should_kick(struct virtq_drv *vq, uint32_t n);
int drv_split_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max);
int drv_split_arm(struct virtq_drv *vq);
void drv_split_disarm(struct virtq_drv *vq);

void drv_packed_start(struct virtq_drv *vq);
void drv_packed_add(struct virtq_drv *vq, const struct drv_buffer *b);
void drv_packed_publish(struct virtq_drv *vq);
int drv_packed_should_kick(struct virtq_drv *vq, uint32_t n);
int drv_packed_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max);
int drv_packed_arm(struct virtq_drv *vq);
void drv_packed_disarm(struct virtq_drv *vq);

#endif
