/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving a virtio device, and taking a state that load.c has checked. docs/state-format.md has the layout. */
#include "../function/section.h"
#include "core.h"

static void put_part(struct vdev_writer *w, uint16_t type, uint8_t flags, uint16_t selector,
                     uint32_t len)
{
	vdev_put16(w, type);
	vdev_put8(w, flags);
	vdev_put8(w, 0);
	vdev_put64(w, selector);
	vdev_put32(w, len);
}

static void put_features(struct vdev_writer *w, uint16_t type, uint8_t flags,
                         const struct virtq_features *f)
{
	put_part(w, type, flags, 0, PART_FEATURES_BYTES);
	vdev_put64(w, f->word[0]);
	vdev_put64(w, f->word[1]);
}

static void put_vq_cfg(struct vdev_writer *w, const struct vdev_queue *q)
{
	const struct virtq_state *s = &q->setup.state;

	put_part(w, PART_VQ_CFG, 0, (uint16_t)q->index, PART_VQ_CFG_BYTES);
	vdev_put16(w, s->size);
	vdev_put16(w, 0xffff); /* vectors are the transport's */
	vdev_put16(w, 1);
	vdev_put16(w, 0);
	vdev_put64(w, s->desc);
	vdev_put64(w, s->driver);
	vdev_put64(w, s->device);
}

/* What the standard has a format for: device parts. */
static void put_parts(struct vdev_writer *w, const struct vdev *v)
{
	size_t begin = section_begin(w, SECTION_PARTS, SECTION_REQUIRED, 1);
	struct virtq_features offered;

	vdev_offered(v, &offered);
	put_features(w, PART_DEV_FEATURES, PART_OPTIONAL, &offered);
	put_features(w, PART_DRV_FEATURES, 0, &v->accepted);
	for (uint32_t i = 0; i < v->nqueues; i++)
		if (v->queues[i].started)
			put_vq_cfg(w, &v->queues[i]);
	put_part(w, PART_DEVICE_STATUS, 0, 0, 1);
	vdev_put8(w, vdev_status(v));
	section_end(w, begin);
}

static int put_ring(struct vdev_writer *w, const struct vdev_queue *q)
{
	struct virtq_state s = q->setup.state;
	uint16_t flags = 0;

	if (q->live && !q->broken && virtq_dev_state(&q->vq, &s) < 0)
		return VIRTQ_EBUSY;
	if (vdev_queue_enabled(q))
		flags |= RING_ENABLED;
	if (q->broken)
		flags |= RING_BROKEN;
	if (q->setup.flags & VDEV_QUEUE_USED_LOG)
		flags |= RING_USED_LOG;
	vdev_put16(w, (uint16_t)q->index);
	vdev_put16(w, flags);
	vdev_put16(w, s.avail);
	vdev_put16(w, s.used);
	vdev_put16(w, s.unsignalled);
	vdev_put16(w, s.flags);
	vdev_put32(w, 0);
	vdev_put64(w, q->setup.used_log);
	return 0;
}

static int put_rings(struct vdev_writer *w, const struct vdev *v)
{
	size_t begin = section_begin(w, SECTION_RINGS, SECTION_REQUIRED, 1);
	int rc = 0;

	for (uint32_t i = 0; i < v->nqueues && rc == 0; i++)
		if (v->queues[i].started)
			rc = put_ring(w, &v->queues[i]);
	section_end(w, begin);
	return rc;
}

static void put_config(struct vdev_writer *w, struct vdev *v)
{
	size_t begin = section_begin(w, SECTION_CONFIG, SECTION_REQUIRED, 1);

	vdev_put32(w, v->ops.device_id);
	vdev_put32(w, v->nqueues);
	lock_take(&v->lock);
	vdev_put32(w, v->config_len);
	vdev_put32(w, v->generation);
	vdev_put32(w, (v->suspended ? CONFIG_SUSPENDED : 0) | (v->notify_held ? CONFIG_NOTIFY : 0));
	vdev_put(w, v->config, v->config_len);
	vdev_put(w, v->suspended ? v->shown : v->config, v->config_len);
	lock_give(&v->lock);
	section_end(w, begin);
}

int core_save(struct vdev_function *fn, struct vdev_writer *w)
{
	struct vdev *v = vdev_of(fn);
	size_t begin;
	int rc;

	for (int i = 0; i < FAN_COUNT; i++)
		if (fan_pending(v, (enum fan)i))
			return VIRTQ_EBUSY;
	put_parts(w, v);
	rc = put_rings(w, v);
	if (rc < 0)
		return rc;
	put_config(w, v);
	if (v->ops.save != NULL) {
		begin = section_begin(w, SECTION_MODEL, SECTION_REQUIRED, v->ops.state_version);
		rc = v->ops.save(v->model, w);
		section_end(w, begin);
	}
	return rc < 0 ? rc : 0;
}

/* Start a queue as it was. One that can't be started is restored broken: the guest can still reset. */
static void restore_queue(struct vdev_queue *q, const struct loaded_queue *l)
{
	q->setup = l->setup;
	q->has_state = 0;
	queue_set_enabled(q, (l->flags & RING_ENABLED) != 0);
	store_relaxed(&q->broken, (l->flags & RING_BROKEN) != 0);
	if (!(l->flags & RING_BROKEN)) {
		q->start_mem = q->v->fn.mem;
		virtq_mem_ref(q->start_mem);
	}
	store_release(&q->started, 1);
	if (!(l->flags & RING_BROKEN))
		post(q, POST_START);
}

static void restore_config(struct vdev *v, const struct loaded *l)
{
	lock_take(&v->lock);
	memcpy(v->config, l->config, v->config_len);
	memcpy(v->shown, l->shown, v->config_len);
	v->suspended = (l->config_flags & CONFIG_SUSPENDED) != 0;
	v->notify_held = (l->config_flags & CONFIG_NOTIFY) != 0;
	store_release(&v->generation, l->generation);
	lock_give(&v->lock);
}

static int restore(struct vdev *v, const struct loaded *l)
{
	if (l->sections & 1u << SECTION_MODEL) {
		struct vdev_reader r = l->model;
		int rc = v->ops.load(v->model, &r, l->model_version, 1);

		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (q->started)
			queue_end(q, POST_RESET);
		/* One that was stopped kept a position. */
		q->has_state = 0;
		store_relaxed(&q->enabled, 1);
	}
	v->quiesce = 1;
	v->suspend = (l->status & VIRTQ_STATUS_SUSPEND) != 0;
	v->start_on_resume = (l->status & (VIRTQ_STATUS_DRIVER_OK | VIRTQ_STATUS_SUSPEND)) != 0;
	store_release(&v->open, 0);
	v->accepted = l->accepted;
	memset(&v->features, 0, sizeof(v->features));
	if (l->status & VIRTQ_STATUS_FEATURES_OK)
		v->features = l->accepted;
	restore_config(v, l);
	store_release(&v->status, l->status);
	for (uint32_t i = 0; i < v->nqueues; i++)
		if (l->queues[i].cfg)
			restore_queue(&v->queues[i], &l->queues[i]);
	return 0;
}

int core_load(struct vdev_function *fn, struct vdev_reader *r, uint32_t version, int apply)
{
	struct vdev *v = vdev_of(fn);
	struct loaded l = {0};
	size_t bytes = (v->nqueues + 1) * sizeof(*l.queues);
	int rc;

	(void)version;
	/* An owner's queue ends on its owner's thread: reset the device first. */
	for (uint32_t i = 0; i < v->nqueues; i++)
		if (v->queues[i].started && v->queues[i].owned)
			return VIRTQ_EBUSY;
	l.queues = env_zalloc(&fn->env, bytes);
	if (l.queues == NULL)
		return VIRTQ_ENOMEM;
	rc = load_parse(v, r, &l);
	if (rc == 0 && apply)
		rc = restore(v, &l);
	env_free(&fn->env, l.queues, bytes);
	return rc;
}
