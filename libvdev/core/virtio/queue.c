/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a queue: started from a state, broken, drained, ended. */
#include "core.h"

static void log_queue(const struct vdev_queue *q, int level, int error, int head, const char *text)
{
	core_log(q->v, level, error, (int)q->index, head, 0, text);
}

/* How many pieces are offered to the model at a time: the longest chain, or a burst of ordinary ones. */
static uint32_t pool_size(const struct vdev_queue *q)
{
	uint32_t longest = virtq_dev_max_iov(&q->vq);

	return longest > VDEV_BURST * 8 ? longest : VDEV_BURST * 8;
}

static void free_memory(struct vdev_queue *q)
{
	const struct vdev_env *env = &q->v->fn.env;

	env_free(env, q->iov, q->niov * sizeof(*q->iov));
	env_free(env, q->scratch, q->scratch_bytes);
	env_free(env, q->xlat_cache, XLAT_ENTRIES * sizeof(*q->xlat_cache));
	env_free(env, q->track, q->track_bytes);
	q->iov = NULL;
	q->track = NULL;
	q->scratch = NULL;
	q->xlat_cache = NULL;
	q->niov = 0;
}

static int init_ring(struct vdev_queue *q)
{
	struct vdev *v = q->v;
	const struct vdev_env *env = &v->fn.env;
	struct virtq_dev_config cfg = {.size = sizeof(cfg),
	                               .mem = q->start_mem,
	                               .features = v->features,
	                               .state = q->setup.state,
	                               .max_chain = v->max_chain,
	                               .used_log = q->setup.used_log};

	if (q->setup.flags & VDEV_QUEUE_USED_LOG)
		cfg.flags |= VIRTQ_DEV_USED_LOG;
	if (q->scratch == NULL) {
		q->scratch_bytes = virtq_dev_bytes(&cfg);
		q->scratch = env_zalloc(env, q->scratch_bytes);
		if (q->scratch == NULL)
			return VIRTQ_ENOMEM;
	}
	if (queue_translated(q)) {
		if (q->xlat_cache == NULL)
			q->xlat_cache = env_zalloc(env, XLAT_ENTRIES * sizeof(*q->xlat_cache));
		if (q->xlat_cache == NULL)
			return VIRTQ_ENOMEM;
		queue_xlat(q, &cfg);
	}
	cfg.scratch = q->scratch;
	cfg.scratch_bytes = q->scratch_bytes;
	return virtq_dev_init(&q->vq, &cfg);
}

/* Have requests in flight noted, and those of a predecessor served again. */
static int init_inflight(struct vdev_queue *q)
{
	struct virtq_inflight_config cfg = {.size = sizeof(cfg),
	                                    .region = q->setup.inflight,
	                                    .region_bytes = q->setup.inflight_bytes,
	                                    .entries = q->setup.inflight_entries};
	int rc;

	if (cfg.region == NULL)
		return 0;
	cfg.scratch_bytes = virtq_inflight_scratch(&q->vq, cfg.entries);
	q->track = env_zalloc(&q->v->fn.env, cfg.scratch_bytes);
	if (q->track == NULL)
		return VIRTQ_ENOMEM;
	q->track_bytes = cfg.scratch_bytes;
	cfg.scratch = q->track;
	rc = virtq_inflight_attach(&q->vq, &cfg);
	if (rc > 0)
		core_log(q->v, VDEV_LOG_INFO, 0, (int)q->index, -1, (uint64_t)rc,
		         "requests of a predecessor are carried out again");
	return rc < 0 ? rc : 0;
}

static void drop_start_mem(struct vdev_queue *q)
{
	if (q->start_mem != NULL)
		virtq_mem_unref(q->start_mem);
	q->start_mem = NULL;
}

/* Close a ring that has nothing out. */
static void fini_ring(struct vdev_queue *q)
{
	if (virtq_dev_fini(&q->vq) < 0)
		log_queue(q, VDEV_LOG_ERROR, VIRTQ_EBUSY, -1, "ring closed with buffers out");
}

/* Set up ring and model's queue. VIRTQ_EAGAIN: a translation is not known yet, try again when woken. */
int queue_begin(struct vdev_queue *q)
{
	int rc = init_ring(q);

	if (rc == VIRTQ_EAGAIN)
		return rc;
	if (rc < 0)
		goto failed;
	drop_start_mem(q);
	rc = init_inflight(q);
	if (rc < 0)
		goto ring;
	q->iov = q->v->fn.env.alloc(q->v->fn.env.ctx, pool_size(q) * sizeof(*q->iov));
	if (q->iov == NULL) {
		rc = VIRTQ_ENOMEM;
		goto ring;
	}
	q->niov = pool_size(q);
	q->nburst = 0;
	q->ndone = 0;
	q->stalled = 0;
	q->armed = ARMED_PERHAPS;
	q->pushed = 0;
	q->waiting = 0;
	q->supply = 0;
	q->plain = 0;
	if (q->ops->queue_start != NULL && (rc = q->ops->queue_start(q->model, q)) < 0)
		goto ring;
	coalesce_begin(q); /* after the model, which may have had something to say to that */
	q->live = 1;
	return 0;
ring:
	fini_ring(q);
failed:
	drop_start_mem(q);
	free_memory(q);
	return rc;
}

/* The queue is broken: 2.1, and whoever attached us is told which and why. */
void queue_broke(struct vdev_queue *q, const char *why)
{
	struct vdev *v = q->v;
	struct virtq_fault fault = {.reason = VIRTQ_FAULT_RING, .head = 0xffff};

	if (load_relaxed(&q->broken))
		return;
	if (q->live)
		(void)virtq_dev_fault(&q->vq, &fault);
	store_release(&q->broken, 1);
	count(&q->n.faults, 1);
	log_queue(q, VDEV_LOG_ERROR, VIRTQ_EBROKEN, fault.head == 0xffff ? -1 : fault.head,
	          why != NULL ? why : virtq_fault_name(fault.reason));
	vdev_needs_reset(v);
	if (v->fn.attachment.broken != NULL)
		v->fn.attachment.broken(v->fn.attachment.ctx, q->index, &fault);
}

/* Whether a ring's parts lie in a map. */
int queue_ring_in(const struct virtq_state *s, int packed, const struct virtq_mem *mem)
{
	uint32_t desc = packed ? VIRTQ_PACKED_DESC_BYTES(s->size) : VIRTQ_SPLIT_DESC_BYTES(s->size);
	uint32_t driver = packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(s->size);
	uint32_t device = packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(s->size);

	return virtq_mem_at(mem, s->desc, desc, packed) != NULL &&
	       virtq_mem_at(mem, s->driver, driver, 0) != NULL &&
	       virtq_mem_at(mem, s->device, device, 1) != NULL;
}

/* Rings behind a translation are looked at when they are started. */
int queue_ring_ok(const struct vdev *v, const struct virtq_state *s, const struct virtq_mem *mem)
{
	if (mem == NULL)
		return 0;
	if (v->has_xlat && vdev_has(v, VIRTQ_F_ACCESS_PLATFORM))
		return 1;
	return queue_ring_in(s, vdev_has(v, VIRTQ_F_RING_PACKED), mem);
}

/* 1 when the ring can't go on with the new map. */
static int switch_mem(struct vdev_queue *q)
{
	struct virtq_mem *mem = q->v->new_mem;
	int rc = 0;

	if (q->live && queue_translated(q)) {
		/* Nobody can say where the ring is before we have answered for the old map. */
		virtq_dev_invalidate(&q->vq, 0, UINT64_MAX);
		q->todo |= POST_UNMAP;
	} else if (q->live) {
		rc = virtq_dev_set_mem(&q->vq, mem);
	} else if (q->start_mem != NULL) {
		drop_start_mem(q);
		q->start_mem = mem;
		if (mem != NULL)
			virtq_mem_ref(mem);
	}
	if (rc >= 0)
		return 0;
	queue_broke(q, "the ring does not lie in the new memory map");
	q->todo |= POST_KILL;
	return 1;
}

/* The model finishes what is out, soon. */
static void drain(struct vdev_queue *q)
{
	if (q->live && q->ops->queue_drain != NULL)
		q->ops->queue_drain(q->model, q, (q->todo & POST_CANCELS) != 0);
}

/* Take over what control asked for. */
void queue_take_posted(struct vdev_queue *q)
{
	uint32_t bits = __atomic_exchange_n(&q->posted, 0, __ATOMIC_ACQ_REL);
	uint32_t fresh = bits & ~q->todo;
	int killed = 0;

	q->todo |= bits & (POST_START | POST_SET_MEM | POST_INVALIDATE | POST_DRAINS);
	if (bits & POST_WAKE)
		q->stalled = 0;
	if (bits & POST_COALESCE && q->live)
		coalesce_take(q);
	if (q->todo & POST_START && !(q->todo & POST_ENDS)) {
		int rc = queue_begin(q);

		if (rc != VIRTQ_EAGAIN)
			q->todo &= ~(uint32_t)POST_START;
		if (rc < 0 && rc != VIRTQ_EAGAIN)
			queue_broke(q, "the queue can't be started");
	}
	if (fresh & POST_SET_MEM)
		killed = switch_mem(q);
	if (fresh & POST_INVALIDATE)
		queue_invalidate(q);
	if (q->todo & POST_REMAP && !(q->todo & POST_DRAINS))
		queue_remap(q);
	if (killed || q->todo & POST_UNMAP || fresh & (POST_INVALIDATE | POST_DRAINS))
		drain(q);
}

/* End the queue: nothing is out. Keeps the position for a stop, nothing for a reset. */
void queue_end(struct vdev_queue *q, uint32_t why)
{
	int alive = !(why & (POST_STOP | POST_CANCELS));
	/* Before it is read, the region may know of another position than the setup. */
	int known = q->setup.inflight == NULL && !q->lost;

	q->state = q->setup.state;
	if (q->live) {
		/* What a predecessor left and nobody served stays noted. */
		known = virtq_inflight_state(&q->vq, &q->state) == 0;
		if (!known)
			log_queue(q, VDEV_LOG_WARNING, VIRTQ_EBUSY, -1, "position of the ring is not known");
		if (q->ops->queue_end != NULL)
			q->ops->queue_end(q->model, q);
		fini_ring(q);
		q->live = 0;
	}
	q->coalesce.pending = 0;
	drop_start_mem(q);
	free_memory(q);
	q->todo &= ~(uint32_t)(POST_START | POST_KILL | POST_UNMAP | POST_REMAP);
	if (alive) {
		/* For the stop that follows: there will be no ring to ask. */
		q->setup.state = q->state;
		q->lost = !known;
		return;
	}
	q->lost = 0;
	q->has_state = known && !(why & POST_CANCELS);
	if (why & POST_CANCELS) {
		/* A reset of the device may come of a lost connection: who keeps the regions knows what is over. */
		if (why & POST_QUEUE_RESET && q->setup.inflight != NULL)
			virtq_inflight_clear(q->setup.inflight);
		memset(&q->state, 0, sizeof(q->state));
		memset(&q->setup, 0, sizeof(q->setup));
		coalesce_reset(q);
		store_relaxed(&q->enabled, 1);
	}
	store_release(&q->broken, 0);
	store_release(&q->started, 0);
}

/*
 * Whether requests of a predecessor are still to be served, and can be: a queue that is drained ends with nothing in
 * flight, theirs included. While the model can't take them, or it is not known where their buffers are, nobody is
 * kept waiting: they stay noted. So do the buffers of a supply: they end when there is something to put into them.
 */
int queue_replays(const struct vdev_queue *q)
{
	const uint32_t no = POST_CANCELS | POST_KILL | POST_UNMAP | POST_REMAP;

	return q->live && !q->supply && virtq_inflight_left(&q->vq) > 0 && !(q->todo & no) &&
	       !q->stalled && !q->waiting && !load_relaxed(&q->broken) && load_relaxed(&q->enabled) &&
	       status_has(q->v, VIRTQ_STATUS_DRIVER_OK);
}

/* Answer what has come to its end. */
void queue_finish(struct vdev_queue *q)
{
	uint32_t over = 0;

	if (q->todo & POST_DRAINS && !(q->live && virtq_dev_inflight(&q->vq) != 0) &&
	    !queue_replays(q)) {
		over = q->todo & POST_DRAINS & ~(uint32_t)(POST_KILL | POST_UNMAP);
		if (q->todo & POST_ENDS)
			queue_end(q, q->todo);
		else if (q->todo & POST_UNMAP)
			queue_unmap(q);
	}
	if (q->todo & POST_INVALIDATE && !(q->todo & POST_UNMAP) &&
	    !(q->live && virtq_dev_older(&q->vq)))
		over |= POST_INVALIDATE;
	if (q->todo & POST_SET_MEM) {
		const struct virtq_mem *old = q->v->old_mem; /* ours to look at until we have answered */

		if (!(q->live && old != NULL && virtq_dev_uses_mem(&q->vq, old)))
			over |= POST_SET_MEM;
	}
	if (over != 0)
		ack(q, over);
}
