/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device side for memory across a bus. dev.c calls virtq_dma_*() when a queue has DMA operations.
 *
 * Reading ahead has two stages. The "look" finds out what is available: one read at a time, of the
 * available index and then a run of its ring, or of a run of packed descriptors. Each chain found is
 * a job in a window of dma_window; the jobs read the rest of their descriptors side by side and
 * become ready in any order, but are popped in that of the ring.
 */
#ifndef LIBVIRTQ_DMA_H
#define LIBVIRTQ_DMA_H

#include <virtq/device.h>

#include "dev.h"

#ifndef VIRTQ_NO_DMA

#define DMA_WINDOW_MAX 256
/* Descriptors read at once while following a chain of whose length nothing is known. */
#define DMA_RUN 4

enum dma_tag { DMA_TAG_LOOK = 1, DMA_TAG_EVENT = 2, DMA_TAG_JOB = 3 };

enum dma_job_state { JOB_FREE, JOB_DIRECT, JOB_TABLE, JOB_READY };

/* A chain that is being read. Its descriptors are collected, in order, in its share of the cells. */
struct dma_job {
	uint8_t state;
	uint8_t busy;    /* a read is under way */
	uint8_t dropped; /* nobody wants it any more; free once the read has ended */
	uint8_t fault;   /* virtq_fault_reason found after the direct descriptors */
	uint8_t wrap;
	uint16_t at;      /* index or place of the descriptor to look at next */
	uint16_t id;      /* head of the chain, or buffer id */
	uint16_t run;     /* descriptors of the read that is under way or was not yet looked at */
	uint32_t count;   /* direct descriptors collected */
	uint32_t entries; /* entries of the indirect table that follows them */
};

enum dma_look { LOOK_INDEX, LOOK_HEADS, LOOK_RING };
enum dma_arm { ARM_NONE, ARM_WAITS, ARM_LOOKS };
enum dma_wish { WISH_NONE, WISH_READS, WISH_READ };

struct virtq_dev_dma {
	const struct virtq_dma *ops;
	uint64_t reads;
	uint64_t writes;
	struct dma_job *jobs;
	uint64_t (*cells)[2]; /* vq->max_chain descriptors as read, for each job */
	uint64_t (*look)[2];  /* where a look's reads land */
	uint64_t (*out)[2];   /* used entries not yet written */
	uint8_t *seen; /* packed: for each place of look, whether an earlier look saw it available */
	uint32_t under_way; /* reads */
	uint16_t window;
	uint16_t first; /* oldest job */
	uint16_t njobs;
	uint16_t want; /* jobs that there may be */
	uint8_t look_kind;
	uint8_t look_busy;
	uint8_t look_more; /* look again when what is known has become jobs */
	uint8_t looked;    /* what the last look knew has not been told by pop */
	uint8_t look_open; /* packed: the last look did not reach a place that is not available */
	uint8_t stop;      /* packed: a bad list; where the next one begins is unknown */
	uint8_t list_open; /* packed: the youngest job does not know its length yet */
	uint8_t at_wrap;
	uint16_t at;     /* packed: place of look[look_i] */
	uint16_t look_n; /* entries asked for, or there */
	uint16_t look_i;
	uint8_t arm;
	uint8_t arm_wrap;
	uint16_t arm_at; /* what was written when arming */
	uint8_t wish;
	uint8_t wish_known;
	uint8_t wish_wrap;
	uint8_t shown_wrap; /* packed: used place as published; split: vq->used_shown */
	uint16_t shown;
	uint16_t wish_used; /* used position when the driver's wish was asked for */
	uint16_t wish_n;    /* entries or slots that it is about */
	uint16_t out_at;    /* index or place of out[0] */
	uint16_t out_n;
	uint16_t out_slots; /* packed: slots used since the last publish */
	uint32_t wish_raw;
};

int virtq_dma_config_ok(const struct virtq_dev_config *cfg);
size_t virtq_dma_bytes(const struct virtq_dev_config *cfg);
int virtq_dma_init(struct virtq_dev *vq, const struct virtq_dev_config *cfg, void *scratch);
int virtq_dma_busy(const struct virtq_dev *vq);
void virtq_dma_state(const struct virtq_dev *vq, struct virtq_state *out);
int virtq_dma_fetch(struct virtq_dev *vq, uint32_t max);
void virtq_dma_done(struct virtq_dev *vq, uint32_t tag, int result);
int virtq_dma_pop_seg(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                      struct virtq_seg *seg, uint32_t nseg);
void virtq_dma_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
void virtq_dma_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written);
void virtq_dma_publish(struct virtq_dev *vq);
int virtq_dma_should_interrupt(struct virtq_dev *vq);
int virtq_dma_arm(struct virtq_dev *vq);
void virtq_dma_disarm(struct virtq_dev *vq);
void virtq_dma_count(const struct virtq_dev *vq, struct virtq_dma_count *out);

/* Between dma.c and the layouts. */

/* Start a read. 1: done already; 0: dma_*() will be told; < 0: failed, the queue is broken now. */
int dma_read(struct virtq_dev *vq, uint64_t addr, void *dst, uint32_t len, uint32_t tag);
/* 0, or < 0: failed, the queue is broken now. Marks what it writes. */
int dma_write(struct virtq_dev *vq, uint64_t addr, const void *src, uint32_t len);
/* A new job at the end of the window; there must be room. */
struct dma_job *dma_job_new(struct virtq_dev *vq);
/* How many jobs may be added now. */
uint32_t dma_room(const struct virtq_dev *vq);
/* Read n descriptors from addr behind those that the job has. Result as dma_read(). */
int dma_job_read(struct virtq_dev *vq, struct dma_job *job, uint64_t addr, uint32_t n);
/* Go on with an indirect table. Result as dma_read(); 1 also when the table can't be. */
int dma_job_table(struct virtq_dev *vq, struct dma_job *job, const struct desc *d);
/* A chain that is bad from here on. What was collected before is checked first, when it is popped. */
void dma_job_bad(struct dma_job *job, int fault);
/* Account for n more entries (split) or slots (packed) that the driver can see. */
void dma_published(struct virtq_dev *vq, uint32_t n);
/* Start a look of len bytes. Result as dma_read(). */
int dma_look(struct virtq_dev *vq, enum dma_look kind, uint64_t addr, uint32_t len);

static inline uint64_t (*dma_cells(const struct virtq_dev *vq, const struct dma_job *job))[2]
{
	return vq->dma->cells + (size_t)(job - vq->dma->jobs) * vq->max_chain;
}

static inline struct desc dma_desc(const uint64_t raw[2], int packed)
{
	return desc_from(le64(raw[0]), le64(raw[1]), packed);
}

/* What a layout does with an arrived look, and to go on looking. */
void dma_split_looked(struct virtq_dev *vq);
void dma_split_pump(struct virtq_dev *vq);
int dma_split_look_again(struct virtq_dev *vq);
int dma_split_more(const struct virtq_dev *vq);
void dma_split_job(struct virtq_dev *vq, struct dma_job *job);
void dma_split_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written);
void dma_split_publish(struct virtq_dev *vq);
int dma_split_ask(struct virtq_dev *vq);
int dma_split_wanted(const struct virtq_dev *vq);
void dma_split_arm(struct virtq_dev *vq);
void dma_split_disarm(struct virtq_dev *vq);

void dma_packed_looked(struct virtq_dev *vq);
void dma_packed_pump(struct virtq_dev *vq);
int dma_packed_look_again(struct virtq_dev *vq);
int dma_packed_more(const struct virtq_dev *vq);
void dma_packed_job(struct virtq_dev *vq, struct dma_job *job);
void dma_packed_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written);
void dma_packed_publish(struct virtq_dev *vq);
int dma_packed_ask(struct virtq_dev *vq);
int dma_packed_wanted(const struct virtq_dev *vq);
void dma_packed_arm(struct virtq_dev *vq);
void dma_packed_disarm(struct virtq_dev *vq);

#else /* VIRTQ_NO_DMA: no queue has DMA operations, init refuses them */

#define virtq_dma_config_ok(cfg)         ((void)(cfg), 1)
#define virtq_dma_bytes(cfg)             ((void)(cfg), (size_t)0)
#define virtq_dma_init(vq, cfg, scratch) ((void)(vq), (void)(cfg), (void)(scratch), VIRTQ_ENOTSUP)
#define virtq_dma_busy(vq)               ((void)(vq), 0)
#define virtq_dma_state(vq, out)         ((void)(vq), (void)(out))
#define virtq_dma_fetch(vq, max)         ((void)(vq), (void)(max), VIRTQ_EBROKEN)
#define virtq_dma_done(vq, tag, result)  ((void)(vq), (void)(tag), (void)(result))
#define virtq_dma_pop_seg(vq, chains, max, seg, nseg)                                              \
	((void)(chains), (void)(max), (void)(seg), (void)(nseg), VIRTQ_EBROKEN)
#define virtq_dma_unpop(vq, chains, n)       ((void)(vq))
#define virtq_dma_use(vq, id, more, written) ((void)(vq))
#define virtq_dma_publish(vq)                ((void)(vq))
#define virtq_dma_should_interrupt(vq)       ((void)(vq), 0)
#define virtq_dma_arm(vq)                    ((void)(vq), VIRTQ_EBROKEN)
#define virtq_dma_disarm(vq)                 ((void)(vq))
#define virtq_dma_count(vq, out)             ((void)(vq), (void)(out))

#endif
#endif
