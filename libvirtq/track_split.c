/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests in flight on a split ring. An entry for each descriptor says whether it is the head of a chain that is out.
 * Used heads form a list, newest first, and the region has its own used index: where that differs from the ring's, the
 * first entries of the list are used although they may still say otherwise.
 */
#include "track.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_SPLIT)

enum { AT_LAST_BATCH = 12, AT_USED_IDX = 14, AT_ENTRY = 16, ENTRY_BYTES = 16 };
enum { E_INFLIGHT = 0, E_NEXT = 6, E_COUNTER = 8 };

static inline uint8_t *entry(const struct virtq_track *t, uint16_t i)
{
	return t->region + AT_ENTRY + (size_t)i * ENTRY_BYTES;
}

void split_track_make(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t i = 0; i < t->entries; i++)
		note8(entry(t, (uint16_t)i) + E_INFLIGHT, 0);
	note16(t->region + AT_LAST_BATCH, 0);
	note16(t->region + AT_USED_IDX, vq->used);
}

/* Finish what was being published: n entries of the list have been seen used. */
static int finish_batch(struct virtq_dev *vq, uint16_t n)
{
	struct virtq_track *t = track_of(vq);
	uint16_t i = t->last_used;

	for (uint16_t k = 0; k < n; k++) {
		uint16_t next;

		if (i >= vq->size || vq->owner[i] != OWNER_NONE)
			return VIRTQ_EBADMSG;
		vq->owner[i] = OWNER_NOW;
		next = noted16(entry(t, i) + E_NEXT);
		i = next;
	}
	for (uint32_t k = 0; k < vq->size; k++)
		if (vq->owner[k] != OWNER_NONE)
			note8(entry(t, (uint16_t)k) + E_INFLIGHT, 0);
	return 0;
}

/* The heads that are out, but not those of the batch (which have an owner here). */
static void collect(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t k = 0; k < vq->size; k++) {
		uint16_t i = (uint16_t)k;

		if (vq->owner[i] != OWNER_NONE || noted8(entry(t, i) + E_INFLIGHT) == 0)
			continue;
		t->counters[t->nreplay] = noted64(entry(t, i) + E_COUNTER);
		t->replay[t->nreplay++] = i;
	}
}

int split_track_recover(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);
	/* The ring's own index says what was used, whatever the state was made from. */
	uint16_t used = shared_load16(vq->device + 2);
	uint16_t behind = (uint16_t)(used - noted16(t->region + AT_USED_IDX));
	t->last_used = noted16(t->region + AT_LAST_BATCH);
	if (behind > vq->size) {
		/* Not this ring's, as it is now. With nothing out that does not matter. */
		collect(vq);
		if (t->nreplay > 0)
			return VIRTQ_EBADMSG;
	} else {
		if (finish_batch(vq, behind) != 0)
			return VIRTQ_EBADMSG;
		collect(vq);
	}
	note_barrier();
	vq->used = vq->used_shown = used;
	note16(t->region + AT_USED_IDX, used);
	vq->avail = (uint16_t)(used + t->nreplay);
	vq->avail_seen = vq->avail;
	return 0;
}

int split_track_walk(struct walk *w, uint16_t first)
{
	return split_walk(w, first);
}

void split_track_popped(struct virtq_dev *vq, uint16_t from, const struct virtq_chain *chains,
                        uint32_t n)
{
	struct virtq_track *t = track_of(vq);

	(void)from;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *e = entry(t, chains[i].id);

		note64(e + E_COUNTER, t->counter++);
		note_barrier();
		note8(e + E_INFLIGHT, 1);
		note_barrier();
	}
}

/* Last one first: what stays noted is always the first part of what was popped. */
void split_track_unpopped(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	struct virtq_track *t = track_of(vq);

	while (n-- > 0) {
		note8(entry(t, chains[n].id) + E_INFLIGHT, 0);
		note_barrier();
	}
}

void split_track_publish(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t i = 0; i < t->nbatch; i++) {
		note16(entry(t, t->batch[i]) + E_NEXT, t->last_used);
		t->last_used = t->batch[i];
	}
	note_barrier();
	note16(t->region + AT_LAST_BATCH, t->last_used);
	note_barrier();
	split_publish(vq);
	note_barrier();
	for (uint32_t i = 0; i < t->nbatch; i++)
		note8(entry(t, t->batch[i]) + E_INFLIGHT, 0);
	note_barrier();
	note16(t->region + AT_USED_IDX, vq->used);
	note_barrier();
	t->nbatch = 0;
}

#endif
