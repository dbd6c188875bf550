/* SPDX-License-Identifier: BSD-3-Clause */
/* The packed ring across a bus. */
#include "dma.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_DMA) && !defined(VIRTQ_NO_PACKED)

#define LEN_ID_FLAGS 8
#define FLAGS_AT     14

static uint64_t place_addr(const struct virtq_dev *vq, uint16_t place)
{
	return vq->desc_addr + (uint64_t)place * VIRTQ_DESC_BYTES;
}

static struct desc looked_at(const struct virtq_dev *vq, uint16_t i)
{
	return dma_desc(vq->dma->look[i], 1);
}

int dma_packed_more(const struct virtq_dev *vq)
{
	const struct virtq_dev_dma *d = vq->dma;

	return !d->look_busy && d->look_i < d->look_n &&
	       is_avail(looked_at(vq, d->look_i).flags, d->at_wrap);
}

/* Read a run from the place of the next chain on, for room chains. d->seen is set up for it. */
static int look_from(struct virtq_dev *vq, uint32_t room)
{
	struct virtq_dev_dma *d = vq->dma;
	uint32_t n = room + DMA_RUN - 1;

	if (n > (uint32_t)vq->size - d->at)
		n = (uint32_t)vq->size - d->at; /* what follows is a read of its own */
	d->look_i = 0;
	d->look_n = (uint16_t)n;
	d->look_open = 1;
	return dma_look(vq, LOOK_RING, place_addr(vq, d->at), n * VIRTQ_DESC_BYTES);
}

/* Descriptors that were seen available once and are read now: only then a list hangs together. */
static int look_twice(struct virtq_dev *vq, uint32_t room)
{
	struct virtq_dev_dma *d = vq->dma;
	uint32_t left = (uint32_t)d->look_n - d->look_i;

	for (uint32_t i = 0; i < (uint32_t)d->window + DMA_RUN - 1; i++)
		d->seen[i] =
			i < left && is_avail(looked_at(vq, (uint16_t)(d->look_i + i)).flags, d->at_wrap);
	return look_from(vq, room);
}

int dma_packed_look_again(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	uint32_t room = dma_room(vq);

	__builtin_memset(d->seen, 0, (size_t)d->window + DMA_RUN - 1);
	return look_from(vq, room > 0 ? room : 1);
}

void dma_packed_looked(struct virtq_dev *vq)
{
	(void)vq; /* the pump parses what has arrived */
}

static void at_advance(struct virtq_dev *vq, uint32_t n)
{
	advance(vq, &vq->dma->at, &vq->dma->at_wrap, n);
}

/* The youngest job knows how long it is, or that it is bad. */
static void list_end(struct virtq_dev *vq, struct dma_job *job, int fault)
{
	struct virtq_dev_dma *d = vq->dma;

	dma_job_bad(job, fault);
	if (fault != VIRTQ_FAULT_NONE) {
		d->stop = 1;
		d->look_n = d->look_i = 0;
	} else {
		at_advance(vq, job->count);
	}
	d->list_open = 0;
}

/* Take one more descriptor of a list. 1: it goes on. */
static int list_take(struct virtq_dev *vq, struct dma_job *job, const struct desc *d)
{
	int err = job->count > 0 ? packed_rest_check(d, job->wrap) : 0;

	if (err != 0) {
		list_end(vq, job, err);
		return 0;
	}
	job->count++;
	advance(vq, &job->at, &job->wrap, 1);
	if (d->flags & VIRTQ_DESC_NEXT) {
		if (job->count < vq->size)
			return 1;
		list_end(vq, job, VIRTQ_FAULT_TOO_MANY);
		return 0;
	}
	job->id = d->extra; /* that of the last one (2.8.6) */
	list_end(vq, job, VIRTQ_FAULT_NONE);
	return 0;
}

static int read_rest(struct virtq_dev *vq, struct dma_job *job)
{
	uint32_t n = DMA_RUN;

	if (n > (uint32_t)vq->size - job->at)
		n = (uint32_t)vq->size - job->at;
	if (n > vq->size - job->count)
		n = vq->size - job->count;
	job->run = (uint16_t)n;
	return dma_job_read(vq, job, place_addr(vq, job->at), n);
}

/* More of a list that reached beyond what the look showed has arrived. */
void dma_packed_job(struct virtq_dev *vq, struct dma_job *job)
{
	do {
		for (; job->run > 0; job->run--) {
			struct desc d = dma_desc(dma_cells(vq, job)[job->count], 1);

			if (!list_take(vq, job, &d))
				return;
		}
	} while (read_rest(vq, job) > 0);
}

/* A list whose head was seen available before it was read. */
static void list_start(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	struct dma_job *job = dma_job_new(vq);
	uint64_t(*cell)[2] = dma_cells(vq, job);

	job->at = d->at;
	job->wrap = d->at_wrap;
	d->list_open = 1;
	while (d->look_i < d->look_n) {
		struct desc desc = looked_at(vq, d->look_i);

		cell[job->count][0] = d->look[d->look_i][0];
		cell[job->count][1] = d->look[d->look_i][1];
		d->look_i++;
		if (!list_take(vq, job, &desc))
			return;
	}
	dma_packed_job(vq, job);
}

/* A chain that is one descriptor: its flags came no earlier than the rest of it. */
static void single_start(struct virtq_dev *vq, const struct desc *desc)
{
	struct virtq_dev_dma *d = vq->dma;
	struct dma_job *job = dma_job_new(vq);

	job->id = desc->extra;
	if (!(desc->flags & VIRTQ_DESC_INDIRECT)) {
		dma_cells(vq, job)[0][0] = d->look[d->look_i][0];
		dma_cells(vq, job)[0][1] = d->look[d->look_i][1];
		job->count = 1;
		job->state = JOB_READY;
	} else if (desc->flags & VIRTQ_DESC_NEXT) {
		list_end(vq, job, VIRTQ_FAULT_INDIRECT_FLAGS);
		return;
	} else {
		(void)dma_job_table(vq, job, desc);
	}
	d->look_i++;
	at_advance(vq, 1);
}

/* Make jobs of what the look shows. 1: look again; 0: nothing to do before something arrives. */
static int parse(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	while (d->look_i < d->look_n) {
		struct desc desc = looked_at(vq, d->look_i);

		if (d->stop || d->list_open || vq->broken || dma_room(vq) == 0)
			return 0;
		if (!is_avail(desc.flags, d->at_wrap)) {
			d->look_n = d->look_i = 0;
			d->look_open = 0;
			d->looked = !d->look_more; /* what is shown was read before somebody asked anew */
			return d->look_more;
		}
		if (!(desc.flags & VIRTQ_DESC_NEXT) || desc.flags & VIRTQ_DESC_INDIRECT)
			single_start(vq, &desc);
		else if (d->seen[d->look_i])
			list_start(vq);
		else
			return 1;
	}
	return (d->look_more || d->look_open) && !d->stop && !d->list_open && dma_room(vq) > 0;
}

void dma_packed_pump(struct virtq_dev *vq)
{
	int rc = 1;

	while (rc > 0 && !vq->broken && parse(vq))
		rc = look_twice(vq, dma_room(vq));
}

/*
 * Write the used descriptors collected so far. The very first since the last publish still says "not used", so that
 * the driver, which reads in ring order, sees none of them.
 */
static void flush(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	if (d->out_n > 0) /* the address of the first is of no use to the driver (2.8.5) */
		(void)dma_write(vq, place_addr(vq, d->out_at) + LEN_ID_FLAGS, &d->out[0][1],
		                (uint32_t)d->out_n * VIRTQ_DESC_BYTES - LEN_ID_FLAGS);
	d->out_n = 0;
}

void dma_packed_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	struct virtq_dev_dma *d = vq->dma;
	uint16_t flags = vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;
	uint16_t write = written > 0 ? VIRTQ_DESC_WRITE : 0;

	if (d->out_n == d->window || (d->out_n > 0 && vq->used != d->out_at + d->out_n))
		flush(vq);
	if (d->out_n == 0)
		d->out_at = vq->used;
	if (!vq->held) {
		vq->held = 1;
		vq->held_place = vq->used;
		vq->held_flags = flags | write;
		flags ^= VIRTQ_DESC_USED;
	}
	d->out[d->out_n][0] = 0;
	d->out[d->out_n][1] =
		le64((uint64_t)(uint16_t)(flags | write) << 48 | (uint64_t)id << 32 | written);
	d->out_n++;
	advance(vq, &vq->used, &vq->used_wrap, more + 1u);
	vq->slots_out = (uint16_t)(vq->slots_out - more - 1);
	d->out_slots = (uint16_t)(d->out_slots + more + 1);
}

void dma_packed_publish(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	uint16_t flags = le16(vq->held_flags);

	if (!vq->held)
		return;
	flush(vq);
	/* Writes take effect in order: everything else, then these flags. */
	if (vq->broken ||
	    dma_write(vq, place_addr(vq, vq->held_place) + FLAGS_AT, &flags, sizeof(flags)) != 0)
		return;
	vq->held = 0;
	d->shown = vq->used;
	d->shown_wrap = vq->used_wrap;
	dma_published(vq, d->out_slots);
	d->out_slots = 0;
}

int dma_packed_ask(struct virtq_dev *vq)
{
	return dma_read(vq, vq->driver_addr, &vq->dma->wish_raw, VIRTQ_PACKED_EVENT_BYTES,
	                (uint32_t)DMA_TAG_EVENT << 16);
}

int dma_packed_wanted(const struct virtq_dev *vq)
{
	const struct virtq_dev_dma *d = vq->dma;

	return packed_wanted(vq, le32(d->wish_raw), place_with_wrap(d->wish_used, d->wish_wrap),
	                     d->wish_n, d->wish_known);
}

static void event_write(struct virtq_dev *vq, uint16_t place, uint32_t flags)
{
	uint32_t raw = le32(flags << 16 | place);

	(void)dma_write(vq, vq->device_addr, &raw, sizeof(raw));
}

void dma_packed_arm(struct virtq_dev *vq)
{
	if (vq->event_idx)
		event_write(vq, place_with_wrap(vq->avail, vq->avail_wrap), VIRTQ_EVENT_DESC);
	else
		event_write(vq, 0, VIRTQ_EVENT_ENABLE);
}

void dma_packed_disarm(struct virtq_dev *vq)
{
	event_write(vq, 0, VIRTQ_EVENT_DISABLE);
}

#endif
