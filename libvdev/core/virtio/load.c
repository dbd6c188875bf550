/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a saved virtio device. The bytes are not trusted: every field is checked here, and against the others. */
#include "../function/section.h"
#include "core.h"

enum {
	STATUS_BITS = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_DRIVER_OK |
	              VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_SUSPEND | VIRTQ_STATUS_NEEDS_RESET |
	              VIRTQ_STATUS_FAILED,
	RING_BITS = RING_ENABLED | RING_BROKEN | RING_USED_LOG,
	CONFIG_BITS = CONFIG_SUSPENDED | CONFIG_NOTIFY
};

static int get_vq_cfg(const struct vdev *v, struct vdev_reader *r, uint64_t selector,
                      struct loaded *l)
{
	struct loaded_queue *q;
	struct virtq_state *s;

	if (selector >= v->nqueues)
		return VIRTQ_EBADMSG;
	q = &l->queues[selector];
	if (q->cfg)
		return VIRTQ_EBADMSG;
	q->cfg = 1;
	s = &q->setup.state;
	s->size = vdev_get16(r);
	vdev_get16(r); /* vector */
	if (vdev_get16(r) != 1 || vdev_get16(r) != 0)
		return VIRTQ_EBADMSG;
	s->desc = vdev_get64(r);
	s->driver = vdev_get64(r);
	s->device = vdev_get64(r);
	return s->size == 0 || s->size > v->queue_max ? VIRTQ_EBADMSG : 0;
}

static void get_features(struct vdev_reader *r, struct virtq_features *f)
{
	f->word[0] = vdev_get64(r);
	f->word[1] = vdev_get64(r);
}

/* Parts of which there is one; 0 for others. */
static uint32_t single(uint16_t type)
{
	return type == PART_VQ_CFG ? 0 : 1u << (type & 31);
}

static int get_part(struct vdev *v, uint16_t type, uint8_t flags, uint64_t selector,
                    struct vdev_reader *body, struct loaded *l)
{
	struct virtq_features offered;

	if (type != PART_DEV_FEATURES && type != PART_DRV_FEATURES && type != PART_DEVICE_STATUS &&
	    type != PART_VQ_CFG)
		return flags & PART_OPTIONAL ? 0 : VIRTQ_ENOTSUP;
	if (l->parts & single(type) || (type != PART_VQ_CFG && selector != 0))
		return VIRTQ_EBADMSG;
	l->parts |= single(type);
	switch (type) {
	case PART_DEV_FEATURES:
		get_features(body,
		             &offered); /* for the reader of a dump; what counts is what was accepted */
		break;
	case PART_DRV_FEATURES:
		get_features(body, &l->accepted);
		break;
	case PART_DEVICE_STATUS:
		l->status = vdev_get8(body);
		break;
	default:
		return get_vq_cfg(v, body, selector, l) < 0 ? VIRTQ_EBADMSG : section_finished(body);
	}
	return section_finished(body);
}

static int get_parts(struct vdev *v, struct vdev_reader *r, struct loaded *l)
{
	while (r->pos < r->len) {
		uint16_t type = vdev_get16(r);
		uint8_t flags = vdev_get8(r);
		uint8_t reserved = vdev_get8(r);
		uint64_t selector = vdev_get64(r);
		uint32_t len = vdev_get32(r);
		struct vdev_reader body;
		int rc;

		if (r->error != 0 || reserved != 0 || len > r->len - r->pos)
			return VIRTQ_EBADMSG;
		body = (struct vdev_reader){.buf = r->buf + r->pos, .len = len};
		r->pos += len;
		rc = get_part(v, type, flags, selector, &body, l);
		if (rc < 0)
			return rc;
	}
	if (!(l->parts & single(PART_DRV_FEATURES)) || !(l->parts & single(PART_DEVICE_STATUS)))
		return VIRTQ_EBADMSG;
	return 0;
}

static int get_rings(const struct vdev *v, struct vdev_reader *r, struct loaded *l)
{
	while (r->pos < r->len) {
		uint16_t index = vdev_get16(r);
		struct loaded_queue *q;

		if (index >= v->nqueues || l->queues[index].ring)
			return VIRTQ_EBADMSG;
		q = &l->queues[index];
		q->ring = 1;
		q->flags = vdev_get16(r);
		q->setup.state.avail = vdev_get16(r);
		q->setup.state.used = vdev_get16(r);
		q->setup.state.unsignalled = vdev_get16(r);
		q->setup.state.flags = vdev_get16(r);
		if (vdev_get32(r) != 0 || q->flags & ~RING_BITS)
			return VIRTQ_EBADMSG;
		q->setup.used_log = vdev_get64(r);
		if (q->flags & RING_USED_LOG)
			q->setup.flags = VDEV_QUEUE_USED_LOG;
		else if (q->setup.used_log != 0)
			return VIRTQ_EBADMSG;
	}
	return r->error;
}

static int get_config(const struct vdev *v, struct vdev_reader *r, struct loaded *l)
{
	uint32_t flags;

	if (vdev_get32(r) != v->ops.device_id || vdev_get32(r) != v->nqueues ||
	    vdev_get32(r) != v->config_len)
		return VIRTQ_EBADMSG;
	l->generation = vdev_get32(r);
	flags = vdev_get32(r);
	if (flags & ~(uint32_t)CONFIG_BITS || r->len - r->pos != 2 * (size_t)v->config_len)
		return VIRTQ_EBADMSG;
	l->config_flags = (uint16_t)flags;
	l->config = r->buf + r->pos;
	l->shown = l->config + v->config_len;
	r->pos = r->len;
	return 0;
}

static int get_model(struct vdev *v, const struct section *s, struct loaded *l)
{
	struct vdev_reader r = s->body;
	int rc;

	if (v->ops.load == NULL || s->version > v->ops.state_version)
		return VIRTQ_ENOTSUP;
	l->model = s->body;
	l->model_version = s->version;
	rc = v->ops.load(v->model, &r, s->version, 0);
	return rc < 0 ? rc : section_finished(&r);
}

static int get_section(struct vdev *v, struct section *s, struct loaded *l)
{
	int rc;

	if (s->id < SECTION_PARTS || s->id > SECTION_MODEL)
		return s->flags & SECTION_REQUIRED ? VIRTQ_ENOTSUP : 0;
	if (l->sections & 1u << s->id)
		return VIRTQ_EBADMSG;
	l->sections |= 1u << s->id;
	if (s->id == SECTION_MODEL)
		return get_model(v, s, l);
	if (s->version != 1)
		return VIRTQ_ENOTSUP;
	if (s->id == SECTION_PARTS)
		rc = get_parts(v, &s->body, l);
	else if (s->id == SECTION_RINGS)
		rc = get_rings(v, &s->body, l);
	else
		rc = get_config(v, &s->body, l);
	return rc < 0 ? rc : section_finished(&s->body);
}

/* Whether the status goes with the features, as it only can on a device that followed the rules. */
static int check_status(const struct vdev *v, const struct loaded *l)
{
	uint8_t status = l->status;
	int suspended = (status & VIRTQ_STATUS_SUSPEND) != 0;

	if (status & ~STATUS_BITS)
		return VIRTQ_EBADMSG;
	if (status & (VIRTQ_STATUS_DRIVER_OK | VIRTQ_STATUS_SUSPEND) &&
	    !(status & VIRTQ_STATUS_FEATURES_OK))
		return VIRTQ_EBADMSG;
	if (suspended &&
	    (status & VIRTQ_STATUS_DRIVER_OK || !virtq_features_has(&l->accepted, VIRTQ_F_SUSPEND)))
		return VIRTQ_EBADMSG;
	if (suspended != ((l->config_flags & CONFIG_SUSPENDED) != 0))
		return VIRTQ_EBADMSG;
	/* Features that this device does not have: a valid state, of a better device. */
	if (status & VIRTQ_STATUS_FEATURES_OK && !features_acceptable(v, &l->accepted))
		return VIRTQ_ENOTSUP;
	return 0;
}

/* Whether a queue that starts from this state lies in our memory. Translated rings show when they start. */
static int ring_here(const struct vdev *v, const struct loaded *l, const struct virtq_state *s)
{
	if (v->fn.mem == NULL)
		return 0;
	if (v->has_xlat && virtq_features_has(&l->accepted, VIRTQ_F_ACCESS_PLATFORM))
		return 1;
	return queue_ring_in(s, virtq_features_has(&l->accepted, VIRTQ_F_RING_PACKED), v->fn.mem);
}

static int check_queues(const struct vdev *v, const struct loaded *l)
{
	for (uint32_t i = 0; i < v->nqueues; i++) {
		const struct loaded_queue *q = &l->queues[i];

		if (q->cfg != q->ring)
			return VIRTQ_EBADMSG;
		if (!q->cfg)
			continue;
		if (!(l->status & VIRTQ_STATUS_FEATURES_OK))
			return VIRTQ_EBADMSG;
		if (q->flags & RING_BROKEN && !(l->status & VIRTQ_STATUS_NEEDS_RESET))
			return VIRTQ_EBADMSG;
		if (virtq_state_check(&q->setup.state, &l->accepted) < 0)
			return VIRTQ_EBADMSG;
		if (!(q->flags & RING_BROKEN) && !ring_here(v, l, &q->setup.state))
			return VIRTQ_EBADMSG;
	}
	return 0;
}

int load_parse(struct vdev *v, struct vdev_reader *r, struct loaded *l)
{
	const uint32_t needed = 1u << SECTION_PARTS | 1u << SECTION_RINGS | 1u << SECTION_CONFIG;
	struct section s;
	int rc;

	while ((rc = section_next(r, &s)) > 0) {
		rc = get_section(v, &s, l);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	if ((l->sections & needed) != needed)
		return VIRTQ_EBADMSG;
	/* A model with a state of its own never leaves it out. */
	if (v->ops.save != NULL && !(l->sections & 1u << SECTION_MODEL))
		return VIRTQ_EBADMSG;
	rc = check_status(v, l);
	return rc < 0 ? rc : check_queues(v, l);
}
