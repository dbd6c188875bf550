/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side for memory across a bus: what is the same for both layouts. */
#include "dma.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_DMA)

#define TAG(kind, slot) ((uint32_t)(kind) << 16 | (uint32_t)(slot))
/* As LAYOUT(), for the halves that are of this kind of memory. */
#if defined(VIRTQ_NO_SPLIT)
#define DMA_LAYOUT(vq, name, ...) dma_packed_##name(__VA_ARGS__)
#elif defined(VIRTQ_NO_PACKED)
#define DMA_LAYOUT(vq, name, ...) dma_split_##name(__VA_ARGS__)
#else
#define DMA_LAYOUT(vq, name, ...)                                                                  \
	((vq)->packed ? dma_packed_##name(__VA_ARGS__) : dma_split_##name(__VA_ARGS__))
#endif
static uint32_t chain_limit(const struct virtq_dev_config *cfg)
{
	return cfg->max_chain > cfg->state.size ? cfg->max_chain : cfg->state.size;
}

/* A list that ends within a few places of the last head is found whole. */
static size_t look_cap(const struct virtq_dev_config *cfg)
{
	return (size_t)cfg->dma_window + DMA_RUN - 1;
}

int virtq_dma_config_ok(const struct virtq_dev_config *cfg)
{
	const struct virtq_dma *ops = cfg->dma;

	if (ops->size < sizeof(*ops) || ops->read == NULL || ops->write == NULL)
		return 0;
	if (cfg->dma_window == 0 || cfg->dma_window > DMA_WINDOW_MAX)
		return 0;
	/* Half of what size_t can count leaves room for all else. */
	return chain_limit(cfg) <= SIZE_MAX / 2 / VIRTQ_DESC_BYTES / cfg->dma_window;
}

size_t virtq_dma_bytes(const struct virtq_dev_config *cfg)
{
	size_t window = cfg->dma_window, cap = look_cap(cfg);

	if (cfg->dma == NULL)
		return 0;
	return ROUND_UP(sizeof(struct virtq_dev_dma)) + ROUND_UP(window * sizeof(struct dma_job)) +
	       ROUND_UP(cap) + (cap + window + window * chain_limit(cfg)) * VIRTQ_DESC_BYTES;
}

int virtq_dma_init(struct virtq_dev *vq, const struct virtq_dev_config *cfg, void *scratch)
{
	struct virtq_dev_dma *d = scratch;
	uint8_t *p = (uint8_t *)scratch + ROUND_UP(sizeof(*d));
	size_t cap = look_cap(cfg);
	int err;

	if (cfg->state.flags & VIRTQ_STATE_USED_IN_RING)
		return VIRTQ_EINVAL; /* it would have to be waited for */
	*d = (struct virtq_dev_dma){.ops = cfg->dma, .window = (uint16_t)cfg->dma_window};
	d->jobs = (struct dma_job *)p;
	p += ROUND_UP(d->window * sizeof(struct dma_job));
	d->seen = p;
	p += ROUND_UP(cap);
	d->look = (uint64_t(*)[2])p;
	d->out = d->look + cap;
	d->cells = d->out + d->window;
	__builtin_memset(d->jobs, 0, d->window * sizeof(struct dma_job));
	vq->dma = d;
	vq->xlat = NULL; /* whoever does the transfers translates */
	vq->xlat_entries = 0;
	err = LAYOUT(vq, start, vq, &cfg->state);
	d->at = vq->avail;
	d->at_wrap = vq->avail_wrap;
	d->shown = vq->used;
	d->shown_wrap = vq->used_wrap;
	return err;
}

int virtq_dma_busy(const struct virtq_dev *vq)
{
	return vq->dma->under_way > 0;
}

void virtq_dma_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	const struct virtq_dev_dma *d = vq->dma;

	LAYOUT(vq, state, vq, out);
	if (d->wish == WISH_NONE)
		return;
	/* A question that is under way is asked anew by the successor. */
	if (!d->wish_known || d->wish_n > UINT16_MAX - out->unsignalled)
		out->flags &= (uint16_t)~VIRTQ_STATE_SIGNALLED;
	else
		out->unsignalled = (uint16_t)(out->unsignalled + d->wish_n);
}

void virtq_dma_count(const struct virtq_dev *vq, struct virtq_dma_count *out)
{
	out->reads = vq->dma->reads;
	out->writes = vq->dma->writes;
}

int dma_read(struct virtq_dev *vq, uint64_t addr, void *dst, uint32_t len, uint32_t tag)
{
	struct virtq_dev_dma *d = vq->dma;
	int rc = d->ops->read(d->ops->ctx, addr, dst, len, tag);

	d->reads++;
	if (rc == 0)
		d->under_way++;
	else if (rc < 0)
		dev_break(vq, VIRTQ_FAULT_DMA, 0xffff);
	return rc;
}

/* What we write to the ring is in the log of whoever gave us a map to look it up in. */
static void mark(struct virtq_dev *vq, uint64_t addr, uint32_t len)
{
	uint64_t offset = addr - vq->device_addr;
	uint64_t area = vq->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(vq->size);

	if (vq->used_log_set && offset < area)
		virtq_dirty_mark(mem_log(dev_mem(vq)), vq->used_log + offset, len);
	else
		virtq_mem_mark(dev_mem(vq), addr, len);
}

int dma_write(struct virtq_dev *vq, uint64_t addr, const void *src, uint32_t len)
{
	struct virtq_dev_dma *d = vq->dma;
	int rc = d->ops->write(d->ops->ctx, addr, src, len);

	d->writes++;
	if (rc < 0)
		dev_break(vq, VIRTQ_FAULT_DMA, 0xffff);
	if (dev_logging(vq))
		mark(vq, addr, len);
	return rc < 0 ? rc : 0;
}

static uint16_t slot_of(const struct virtq_dev_dma *d, uint32_t nth)
{
	uint32_t slot = d->first + nth;

	return (uint16_t)(slot >= d->window ? slot - d->window : slot);
}

uint32_t dma_room(const struct virtq_dev *vq)
{
	const struct virtq_dev_dma *d = vq->dma;
	uint32_t n = 0, max = d->want > d->njobs ? (uint32_t)d->want - d->njobs : 0;

	/* Slots whose job was dropped while reading are not free yet. */
	while (n < max && d->jobs[slot_of(d, d->njobs + n)].state == JOB_FREE)
		n++;
	return n;
}

struct dma_job *dma_job_new(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;
	struct dma_job *job = &d->jobs[slot_of(d, d->njobs)];

	*job = (struct dma_job){.state = JOB_DIRECT, .id = 0xffff};
	d->njobs++;
	return job;
}

void dma_job_bad(struct dma_job *job, int fault)
{
	job->fault = (uint8_t)fault;
	job->state = JOB_READY;
}

int dma_job_read(struct virtq_dev *vq, struct dma_job *job, uint64_t addr, uint32_t n)
{
	uint32_t slot = (uint32_t)(job - vq->dma->jobs);
	int rc = dma_read(vq, addr, dma_cells(vq, job) + job->count, n * VIRTQ_DESC_BYTES,
	                  TAG(DMA_TAG_JOB, slot));

	job->busy = rc == 0;
	return rc;
}

int dma_job_table(struct virtq_dev *vq, struct dma_job *job, const struct desc *d)
{
	int err = indirect_check(vq, d, job->count), rc;

	if (err == 0 && d->len - 1 > UINT64_MAX - d->addr)
		err = VIRTQ_FAULT_ADDRESS;
	if (err != 0) {
		dma_job_bad(job, err);
		return 1;
	}
	job->entries = d->len / VIRTQ_DESC_BYTES;
	job->state = JOB_TABLE;
	rc = dma_job_read(vq, job, d->addr, job->entries);
	if (rc > 0)
		job->state = JOB_READY;
	return rc;
}

int dma_look(struct virtq_dev *vq, enum dma_look kind, uint64_t addr, uint32_t len)
{
	struct virtq_dev_dma *d = vq->dma;
	int rc;

	d->look_kind = (uint8_t)kind;
	if (kind != LOOK_HEADS)
		d->look_more = d->looked = 0;
	d->look_busy = 1;
	rc = dma_read(vq, addr, d->look, len, TAG(DMA_TAG_LOOK, 0));
	if (rc != 0)
		d->look_busy = 0;
	return rc;
}

static void pump(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	if (vq->broken || d->look_busy)
		return;
	if (d->arm == ARM_WAITS) {
		/* Only a look that starts after the wish was written counts. */
		d->arm = ARM_LOOKS;
		if (dma_room(vq) == 0 && d->want < d->window)
			d->want++;
		if (DMA_LAYOUT(vq, look_again, vq) > 0)
			DMA_LAYOUT(vq, looked, vq);
	}
	if (!vq->broken && !d->look_busy)
		DMA_LAYOUT(vq, pump, vq);
}

int virtq_dma_fetch(struct virtq_dev *vq, uint32_t max)
{
	struct virtq_dev_dma *d = vq->dma;

	if (max > d->window)
		max = d->window;
	if (max > d->njobs) {
		d->want = (uint16_t)max;
		/* A look that is under way is as good; asking anew each time, it would never end. */
		if (!d->look_busy || d->look_kind == LOOK_HEADS)
			d->look_more = 1;
		pump(vq);
	}
	return vq->broken ? VIRTQ_EBROKEN : 0;
}

static void job_done(struct virtq_dev *vq, uint32_t slot)
{
	struct dma_job *job = &vq->dma->jobs[slot];

	job->busy = 0;
	if (job->dropped)
		*job = (struct dma_job){.state = JOB_FREE};
	else if (vq->broken)
		return;
	else if (job->state == JOB_TABLE)
		job->state = JOB_READY;
	else
		DMA_LAYOUT(vq, job, vq, job);
}

static void look_done(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	d->look_busy = 0;
	if (!vq->broken)
		DMA_LAYOUT(vq, looked, vq);
}

void virtq_dma_done(struct virtq_dev *vq, uint32_t tag, int result)
{
	struct virtq_dev_dma *d = vq->dma;
	uint32_t slot = tag & 0xffff;
	int ours = 0;

	switch (tag >> 16) {
	case DMA_TAG_LOOK:
		ours = d->look_busy;
		break;
	case DMA_TAG_EVENT:
		ours = d->wish == WISH_READS;
		break;
	case DMA_TAG_JOB:
		ours = slot < d->window && d->jobs[slot].busy;
		break;
	}
	if (!ours)
		return; /* nothing that we started */
	d->under_way--;
	if (result < 0)
		dev_break(vq, VIRTQ_FAULT_DMA, 0xffff);
	if (tag >> 16 == DMA_TAG_EVENT)
		d->wish = WISH_READ;
	else if (tag >> 16 == DMA_TAG_LOOK)
		look_done(vq);
	else
		job_done(vq, slot);
	pump(vq);
}

/* Check what was collected and hand it out, or say what is wrong with it. */
static int build(struct walk *w, const struct dma_job *job)
{
	struct virtq_dev *vq = w->vq;
	uint64_t(*cell)[2] = dma_cells(vq, job);
	uint32_t i = 0, seen = 0;
	int err;

	for (; w->count < job->count; w->count++) {
		struct desc d = dma_desc(cell[w->count], vq->packed);

		err = chain_add(w, &d);
		if (err != 0)
			return err;
	}
	if (job->fault != VIRTQ_FAULT_NONE || job->entries == 0)
		return job->fault;
	cell += job->count;
	do {
		struct desc d = dma_desc(cell[i], vq->packed);

		err = chain_table_step(w, &d, vq->packed, job->entries, &seen, &i);
	} while (err == 0);
	return err == CHAIN_END ? 0 : err;
}

static int pop_check(const struct virtq_dev *vq, uint16_t id, uint32_t slots)
{
	int err = head_check(vq, id);

	if (err != 0)
		return err;
	return vq->packed && slots + vq->slots_out > vq->size ? VIRTQ_FAULT_TOO_MANY : 0;
}

static int pop_ready(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                     struct virtq_seg *seg, uint32_t nseg)
{
	struct virtq_dev_dma *d = vq->dma;
	struct walk w = {.vq = vq, .seg = seg, .left = nseg};
	uint32_t popped = 0;
	uint16_t head = 0xffff;
	int err = 0;

	for (; popped < max && d->njobs > 0 && d->jobs[d->first].state == JOB_READY; popped++) {
		struct dma_job *job = &d->jobs[d->first];
		const struct virtq_seg *start = w.seg;
		uint16_t slots = (uint16_t)(vq->packed && job->entries == 0 ? job->count : 1);

		head = job->id;
		w.nread = w.nwrite = w.count = 0;
		w.read_bytes = w.write_bytes = 0;
		err = build(&w, job);
		if (err == 0)
			err = pop_check(vq, head, slots);
		if (err != 0)
			break;
		chain_fill(&chains[popped], &w, NULL, head, (uint16_t)(slots - 1));
		chains[popped].seg = start;
		chain_out(vq, head);
		if (vq->packed) {
			advance(vq, &vq->avail, &vq->avail_wrap, slots);
			vq->slots_out = (uint16_t)(vq->slots_out + slots);
		} else {
			vq->avail++;
		}
		job->state = JOB_FREE;
		d->first = slot_of(d, 1);
		d->njobs--;
	}
	chains_out(vq, popped);
	return err == 0 ? (int)popped : pop_failed(vq, err, head, popped);
}

int virtq_dma_pop_seg(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                      struct virtq_seg *seg, uint32_t nseg)
{
	struct virtq_dev_dma *d = vq->dma;
	int n, told;

	if (max == 0)
		return 0;
	n = pop_ready(vq, chains, max, seg, nseg);
	if (n != 0)
		return n;
	/* A look that ended, and all that it found was popped: that is an answer, but only once. */
	told = d->looked;
	d->looked = 0;
	if (d->njobs == 0 && !d->look_busy && !d->look_more && told && !DMA_LAYOUT(vq, more, vq))
		return 0;
	n = virtq_dma_fetch(vq, max);
	if (n == 0)
		n = pop_ready(vq, chains, max, seg, nseg);
	if (n != 0)
		return n;
	if (d->njobs == 0 && d->under_way == 0 && d->looked) {
		d->looked = 0;
		return 0; /* the bus answered at once */
	}
	return VIRTQ_EAGAIN;
}

void virtq_dma_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	struct virtq_dev_dma *d = vq->dma;

	/* What was read ahead comes after these chains: it is dropped and will be read again. */
	for (uint32_t i = 0; i < d->njobs; i++) {
		struct dma_job *job = &d->jobs[slot_of(d, i)];

		if (job->busy)
			job->dropped = 1;
		else
			job->state = JOB_FREE;
	}
	d->first = slot_of(d, d->njobs);
	d->njobs = 0;
	d->look_n = d->look_i = 0; /* also of a look under way: what it brings is ignored */
	d->list_open = d->look_open = d->stop = d->looked = 0;
	d->arm = ARM_NONE; /* what it found goes back to the ring */
	LAYOUT(vq, unpop, vq, chains, n);
	d->at = vq->avail;
	d->at_wrap = vq->avail_wrap;
}

void virtq_dma_use(struct virtq_dev *vq, uint16_t id, uint16_t more, uint32_t written)
{
	if (!vq->broken)
		DMA_LAYOUT(vq, use, vq, id, more, written);
}

void virtq_dma_publish(struct virtq_dev *vq)
{
	DMA_LAYOUT(vq, publish, vq);
}

void dma_published(struct virtq_dev *vq, uint32_t n)
{
	if (n > (uint32_t)UINT16_MAX - vq->unsignalled)
		vq->signalled_known = 0;
	else
		vq->unsignalled = (uint16_t)(vq->unsignalled + n);
}

/*
 * The driver's wish is read after what was published, and one answer is about all that was published before the
 * question. Where more was published meanwhile, yes is good for that too, and no is asked again.
 */
int virtq_dma_should_interrupt(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	for (;;) {
		if (d->wish == WISH_NONE) {
			int rc;

			if (vq->unsignalled == 0 && vq->signalled_known)
				return 0;
			d->wish_n = vq->unsignalled;
			d->wish_known = vq->signalled_known;
			d->wish_used = vq->packed ? d->shown : vq->used_shown;
			d->wish_wrap = d->shown_wrap;
			vq->unsignalled = 0;
			vq->signalled_known = 1;
			rc = DMA_LAYOUT(vq, ask, vq);
			if (rc < 0)
				return 0; /* broken */
			d->wish = rc == 0 ? WISH_READS : WISH_READ;
		}
		if (d->wish == WISH_READS)
			return VIRTQ_EAGAIN;
		d->wish = WISH_NONE;
		if (DMA_LAYOUT(vq, wanted, vq)) {
			vq->unsignalled = 0;
			vq->signalled_known = 1;
			return 1;
		}
	}
}

int virtq_dma_arm(struct virtq_dev *vq)
{
	struct virtq_dev_dma *d = vq->dma;

	if (d->njobs > 0 || DMA_LAYOUT(vq, more, vq)) {
		d->arm = ARM_NONE;
		return 1;
	}
	if (d->arm != ARM_NONE && (d->arm_at != vq->avail || d->arm_wrap != vq->avail_wrap))
		d->arm = ARM_NONE; /* things were popped since: it waits for the wrong place */
	if (d->arm == ARM_NONE) {
		d->arm_at = vq->avail;
		d->arm_wrap = vq->avail_wrap;
		DMA_LAYOUT(vq, arm, vq);
		vq->armed = 1;
		d->arm = ARM_WAITS;
		pump(vq);
	}
	if (vq->broken)
		return VIRTQ_EBROKEN;
	if (d->njobs > 0 || DMA_LAYOUT(vq, more, vq)) {
		d->arm = ARM_NONE;
		return 1;
	}
	/* Until the look that counts has ended there is one; then a list that was found may be read a second time. */
	if (d->look_busy)
		return VIRTQ_EAGAIN;
	d->arm = ARM_NONE;
	d->looked = 0;
	return 0;
}

void virtq_dma_disarm(struct virtq_dev *vq)
{
	DMA_LAYOUT(vq, disarm, vq);
	vq->armed = 0;
	vq->dma->arm = ARM_NONE;
}

#endif
