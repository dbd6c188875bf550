/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests in flight, noted in memory that outlives us (virtq/inflight.h).
 *
 * A crash is a stop between two stores of the owner's: what was stored before is there, nothing else is. So only the
 * order of our own stores matters, which note_barrier() keeps.
 *
 * The region is written, and read when it is attached; what is needed later is kept here, but for the descriptors of
 * what comes again on a packed ring: they are read, and checked, when it is popped.
 */
#ifndef LIBVIRTQ_TRACK_H
#define LIBVIRTQ_TRACK_H

#include <virtq/inflight.h>

#include "dev.h"

enum { TRACK_VERSION = 1 };

/* The start of a region, the same in both layouts. */
enum { AT_FEATURES = 0, AT_VERSION = 8, AT_ENTRIES = 10 };

struct virtq_track {
	struct virtq_track_calls calls; /* first */
	uint8_t *region;
	uint32_t entries;
	uint32_t nreplay;
	uint32_t replayed; /* of these, popped again */
	uint32_t fresh;    /* others popped since; stops counting at its end */
	uint32_t nbatch;
	uint32_t nfree;     /* packed: entries that are free */
	uint16_t free_head; /* packed: the first of them */
	uint16_t last_used; /* split: head of the list of used ones */
	uint64_t counter;   /* of the next chain */
	uint16_t shown;     /* packed: the used position that the driver knows */
	uint8_t shown_wrap;
	uint16_t *batch;    /* used since the last publish; split: heads; packed: first entries */
	uint16_t *replay;   /* likewise */
	uint64_t *counters; /* of each replay, while they are sorted */
	/* Packed. By entry: the next one; of a chain's first one: the last one, how many, the buffer id. */
	uint16_t *next;
	uint16_t *tail;
	uint16_t *count;
	uint16_t *id;
	uint16_t *head_of; /* by buffer id: the first entry of the chain */
};

static inline struct virtq_track *track_of(const struct virtq_dev *vq)
{
	return (struct virtq_track *)vq->track;
}

static inline void note_barrier(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The region is in the machine's byte order. */
static inline void note8(uint8_t *p, uint8_t v)
{
	store_once(p, v);
}

static inline void note16(uint8_t *p, uint16_t v)
{
	store_once((uint16_t *)(void *)p, v);
}

static inline void note32(uint8_t *p, uint32_t v)
{
	store_once((uint32_t *)(void *)p, v);
}

static inline void note64(uint8_t *p, uint64_t v)
{
	shared_store64(p, le64(v));
}

static inline uint8_t noted8(const uint8_t *p)
{
	return load_once(p);
}

static inline uint16_t noted16(const uint8_t *p)
{
	return load_once((const uint16_t *)(const void *)p);
}

static inline uint32_t noted32(const uint8_t *p)
{
	return load_once((const uint32_t *)(const void *)p);
}

static inline uint64_t noted64(const uint8_t *p)
{
	return le64(shared_load64(p));
}

/* track_split.c, track_packed.c */
void split_track_make(struct virtq_dev *vq);
void packed_track_make(struct virtq_dev *vq);
/* Find out what is out: fill replay[] and counters[], move the queue's positions. */
int split_track_recover(struct virtq_dev *vq);
int packed_track_recover(struct virtq_dev *vq);
/* Chains that were popped: from is the available place before. */
void split_track_popped(struct virtq_dev *vq, uint16_t from, const struct virtq_chain *chains,
                        uint32_t n);
void packed_track_popped(struct virtq_dev *vq, uint16_t from, const struct virtq_chain *chains,
                         uint32_t n);
void split_track_unpopped(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
void packed_track_unpopped(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n);
void split_track_publish(struct virtq_dev *vq);
void packed_track_publish(struct virtq_dev *vq);
/* Walk a chain again. */
int split_track_walk(struct walk *w, uint16_t first);
int packed_track_walk(struct walk *w, uint16_t first);

#endif
