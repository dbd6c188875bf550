/* SPDX-License-Identifier: BSD-3-Clause */
/* The split ring across a bus. */
#include "dma.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_DMA) && !defined(VIRTQ_NO_SPLIT)

/* Of out, which holds window descriptors' worth. */
#define OUT_MAX(vq) (2u * (vq)->dma->window)

static uint64_t event_addr(const struct virtq_dev *vq)
{
	return vq->device_addr + 4 + 8 * (uint64_t)vq->size;
}

/* Available entries that are no jobs yet. */
static uint16_t pending(const struct virtq_dev *vq)
{
	return (uint16_t)(vq->avail_seen - vq->avail - vq->dma->njobs);
}

int dma_split_more(const struct virtq_dev *vq)
{
	return pending(vq) != 0;
}

int dma_split_look_again(struct virtq_dev *vq)
{
	return dma_look(vq, LOOK_INDEX, vq->driver_addr + 2, 2);
}

static int look_at_heads(struct virtq_dev *vq, uint32_t room)
{
	struct virtq_dev_dma *d = vq->dma;
	uint16_t at = (uint16_t)((vq->avail + d->njobs) & (vq->size - 1));
	uint32_t n = pending(vq);

	if (n > room)
		n = room;
	if (n > (uint32_t)vq->size - at)
		n = (uint32_t)vq->size - at; /* the rest of the burst is a read of its own */
	d->look_n = (uint16_t)n;
	return dma_look(vq, LOOK_HEADS, vq->driver_addr + 4 + 2 * (uint64_t)at, 2 * n);
}

static void index_arrived(struct virtq_dev *vq)
{
	uint16_t now, before = (uint16_t)(vq->avail_seen - vq->avail);
	uint16_t ahead;

	__builtin_memcpy(&now, vq->dma->look, sizeof(now));
	now = le16(now);
	ahead = (uint16_t)(now - vq->avail);
	/* There is one look at a time, so an honest index is never behind what the last one showed. */
	if (ahead > vq->size - (uint16_t)(vq->avail - vq->used) || ahead < before) {
		dev_break(vq, VIRTQ_FAULT_AVAIL_IDX, 0xffff);
		return;
	}
	vq->avail_seen = now;
	vq->dma->looked = 1;
}

static int read_run(struct virtq_dev *vq, struct dma_job *job)
{
	uint32_t n = DMA_RUN;

	if (n > (uint32_t)vq->size - job->at)
		n = (uint32_t)vq->size - job->at;
	if (n > vq->size - job->count)
		n = vq->size - job->count;
	job->run = (uint16_t)n;
	return dma_job_read(vq, job, vq->desc_addr + (uint64_t)job->at * VIRTQ_DESC_BYTES, n);
}

/*
 * Descriptors from job->at on have arrived: take those that belong to the chain. It often lies in
 * one piece; where it does not, another run is read at the place it goes on.
 */
void dma_split_job(struct virtq_dev *vq, struct dma_job *job)
{
	do {
		while (job->run > 0) {
			struct desc d = dma_desc(dma_cells(vq, job)[job->count], 0);
			uint32_t next = job->at;
			int err;

			if (d.flags & VIRTQ_DESC_INDIRECT) {
				if (d.flags & VIRTQ_DESC_NEXT)
					dma_job_bad(job, VIRTQ_FAULT_INDIRECT_FLAGS);
				else
					(void)dma_job_table(vq, job, &d);
				return;
			}
			job->count++;
			job->run--;
			err = chain_next(&d, vq->size, job->count, &next);
			if (err != 0) {
				dma_job_bad(job, err == CHAIN_END ? VIRTQ_FAULT_NONE : err);
				return;
			}
			if (next != (uint32_t)job->at + 1)
				job->run = 0;
			job->at = (uint16_t)next;
		}
	} while (read_run(vq, job) > 0);
}

static void head_arrived(struct virtq_dev *vq, uint16_t head)
{
	struct dma_job *job = dma_job_new(vq);

	job->id = head;
	if (head >= vq->size) {
		dma_job_bad(job, VIRTQ_FAULT_HEAD);
		return;
	}
	job->at = head;
	dma_split_job(vq, job);
}

void dma_split_looked(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	const uint8_t *raw = (const uint8_t *)d->look;

	if (d->look_kind == LOOK_INDEX) {
		index_arrived(vq);
		return;
	}
	for (uint16_t i = 0; i < d->look_n && !vq->broken; i++) {
		uint16_t head;

		__builtin_memcpy(&head, raw + 2 * (size_t)i, sizeof(head));
		head_arrived(vq, le16(head));
	}
}

void dma_split_pump(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	int rc = 1;

	while (rc > 0 && !vq->broken) {
		uint32_t room = dma_room(vq);

		if (pending(vq) > 0 && room > 0)
			rc = look_at_heads(vq, room);
		else if (pending(vq) == 0 && d->look_more)
			rc = dma_split_look_again(vq);
		else
			return;
		if (rc > 0)
			dma_split_looked(vq);
	}
}

/* Write the used entries collected so far; without the index they mean nothing to the driver. */
static void flush(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	uint64_t addr = vq->device_addr + 4 + 8 * (uint64_t)(d->out_at & (vq->size - 1));

	if (d->out_n > 0)
		(void)dma_write(vq, addr, d->out, 8u * d->out_n);
	d->out_n = 0;
}

void dma_split_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	struct virtq_dev_dma *d = vq->dma;
	uint32_t elem[2] = {le32(id), le32(written)};

	(void)more;
	if (d->out_n == OUT_MAX(vq) || (vq->used & (vq->size - 1)) == 0)
		flush(vq);
	if (d->out_n == 0)
		d->out_at = vq->used;
	__builtin_memcpy((uint8_t *)d->out + 8 * (size_t)d->out_n, elem, sizeof(elem));
	d->out_n++;
	vq->used++;
}

void dma_split_publish(struct virtq_dev *vq)
{
	uint16_t n = (uint16_t)(vq->used - vq->used_shown), idx = le16(vq->used);

	if (n == 0)
		return;
	flush(vq);
	/* Writes take effect in order: the entries, then the index. */
	if (vq->broken || dma_write(vq, vq->device_addr + 2, &idx, sizeof(idx)) != 0)
		return;
	vq->used_shown = vq->used;
	dma_published(vq, n);
}

int dma_split_ask(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	uint64_t addr = vq->driver_addr;

	if (vq->event_idx && !d->wish_known)
		return 1; /* it will be yes */
	if (vq->event_idx)
		addr += 4 + 2 * (uint64_t)vq->size;
	return dma_read(vq, addr, &d->wish_raw, 2, (uint32_t)DMA_TAG_EVENT << 16);
}

int dma_split_wanted(const struct virtq_dev *vq)
{
	const struct virtq_dev_dma *d = vq->dma;
	uint16_t raw;

	__builtin_memcpy(&raw, &d->wish_raw, sizeof(raw));
	return split_wanted(vq, le16(raw), d->wish_used, d->wish_n, d->wish_known);
}

void dma_split_arm(struct virtq_dev *vq)
{
	uint16_t raw = vq->event_idx ? le16(vq->avail) : 0;

	(void)dma_write(vq, vq->event_idx ? event_addr(vq) : vq->device_addr, &raw, sizeof(raw));
}

void dma_split_disarm(struct virtq_dev *vq)
{
	uint16_t raw = le16(VIRTQ_USED_NO_NOTIFY);

	/* With EVENT_IDX flags stay 0, and an event index that is not moved on silences by itself. */
	if (!vq->event_idx)
		(void)dma_write(vq, vq->device_addr, &raw, sizeof(raw));
}

#endif
