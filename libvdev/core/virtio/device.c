/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio device comes and goes. */
#include "core.h"

enum { ALIGN = 64 };

/* Bits that a device type may offer by itself: section 2.2, "0 to 23, 41, 42 and 50 to 127". */
static int own_features(const struct virtq_features *f)
{
	uint64_t own = 0xffffffu | (uint64_t)3 << 41 | ~(uint64_t)0 << 50;

	return (f->word[0] & ~own) == 0;
}

static int check_model(const struct vdev_model *m)
{
	if (m == NULL || !has_field(m, config_mask) || m->ops == NULL ||
	    m->ops->size < offsetof(struct vdev_model_ops, poll) || m->ops->name == NULL ||
	    m->ops->process == NULL)
		return VIRTQ_EINVAL;
	if (has_field(m, flags) && m->flags & ~(uint32_t)(VDEV_MODEL_SHARED | VDEV_MODEL_DISABLED_TOO))
		return VIRTQ_EINVAL;
	if (m->nqueues > MAX_QUEUES || m->config_len > MAX_CONFIG ||
	    (m->config_len != 0 && m->config == NULL))
		return VIRTQ_EINVAL;
	if (m->nqueues != 0 && (m->queue_max == 0 || m->queue_max > VIRTQ_MAX_SIZE))
		return VIRTQ_EINVAL;
	return own_features(&m->features) ? 0 : VIRTQ_EINVAL;
}

static void destroy(struct vdev_function *fn)
{
	struct vdev *v = vdev_of(fn);
	struct vdev_env env = fn->env;

	/* Quiesced queues may still be set up; their owners are gone, but others may be inside for a moment. */
	for (uint32_t i = 0; i < v->nqueues; i++) {
		struct vdev_queue *q = &v->queues[i];

		if (!load_acquire(&q->started))
			continue;
		while (!queue_hold(q))
			;
		queue_end(q, POST_RESET);
		queue_let_go(q);
	}
	if (v->ops.destroy != NULL)
		v->ops.destroy(v->model);
	env_free(&env, v->allocation, v->allocation_bytes);
}

static const struct vdev_function_ops core_ops = {
	.size = sizeof(core_ops),
	.state_version = 1,
	.reset = core_reset,
	.quiesce = core_quiesce,
	.resume = core_resume,
	.set_mem = core_set_mem,
	.save = core_save,
	.load = core_load,
	.destroy = destroy,
};

static void init_queue(struct vdev *v, uint32_t i, const struct vdev_model *m)
{
	struct vdev_queue *q = &v->queues[i];

	q->v = v;
	q->ops = &v->ops;
	q->model = v->model;
	q->index = i;
	q->enabled = QUEUE_ENABLED;
	q->shared = has_field(m, flags) && m->flags & VDEV_MODEL_SHARED;
	if (has_field(m, flags) && m->flags & VDEV_MODEL_DISABLED_TOO)
		q->disabled = QUEUE_DISABLED;
}

static void init_config(struct vdev *v, uint8_t *at, const struct vdev_model *m)
{
	uint32_t len = m->config_len;

	v->config_len = len;
	v->config = at;
	v->shown = at + len;
	v->initial = at + 2 * (size_t)len;
	v->mask = at + 3 * (size_t)len;
	if (len != 0) {
		memcpy(v->config, m->config, len);
		memcpy(v->initial, m->config, len);
	}
	if (m->config_mask != NULL)
		memcpy(v->mask, m->config_mask, len);
}

int vdev_new(struct vdev **out, const struct vdev_env *env, const struct vdev_model *m)
{
	size_t queues = (sizeof(struct vdev) + ALIGN - 1) / ALIGN * ALIGN;
	struct vdev *v;
	size_t bytes;
	void *memory;
	int rc = check_model(m);

	if (out == NULL || !env_usable(env))
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	bytes = queues + m->nqueues * sizeof(struct vdev_queue) + 4 * (size_t)m->config_len + ALIGN;
	memory = env_zalloc(env, bytes);
	if (memory == NULL)
		return VIRTQ_ENOMEM;
	v = (struct vdev *)(((uintptr_t)memory + ALIGN - 1) / ALIGN * ALIGN);
	v->fn_ops = core_ops;
	v->fn_ops.name = m->ops->name;
	rc = vdev_function_init(&v->fn, &v->fn_ops, env);
	if (rc < 0) {
		env_free(env, memory, bytes);
		return rc;
	}
	v->allocation = memory;
	v->allocation_bytes = bytes;
	copy_sized(&v->ops, sizeof(v->ops), m->ops, m->ops->size);
	v->ops_given = m->ops;
	v->model = m->model;
	v->model_features = m->features;
	v->nqueues = m->nqueues;
	v->queue_max = m->queue_max;
	v->max_chain = m->max_chain;
	v->queues = (struct vdev_queue *)((uint8_t *)v + queues);
	for (uint32_t i = 0; i < v->nqueues; i++)
		init_queue(v, i, m);
	init_config(v, (uint8_t *)(v->queues + v->nqueues), m);
	*out = v;
	return 0;
}

void *vdev_model_of(struct vdev *v, const struct vdev_model_ops *ops)
{
	return v != NULL && v->ops_given == ops ? v->model : NULL;
}

struct vdev_function *vdev_function(struct vdev *v)
{
	return &v->fn;
}

int vdev_free(struct vdev *v)
{
	return v == NULL ? 0 : vdev_function_free(&v->fn);
}

uint32_t vdev_id(const struct vdev *v)
{
	return v->ops.device_id;
}

unsigned vdev_queue_count(const struct vdev *v)
{
	return v->nqueues;
}

uint16_t vdev_queue_max(const struct vdev *v, unsigned q)
{
	return q < v->nqueues ? v->queue_max : 0;
}

int vdev_notice(struct vdev *v, enum vdev_notice what, const void *about)
{
	if (what != VDEV_NOTICE_ANNOUNCE && what != VDEV_NOTICE_MTU)
		return VIRTQ_EINVAL;
	return v->ops.notice == NULL ? VIRTQ_ENOTSUP : v->ops.notice(v->model, what, about);
}

const struct vdev_env *vdev_env(const struct vdev *v)
{
	return &v->fn.env;
}
