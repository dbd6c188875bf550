/* SPDX-License-Identifier: BSD-3-Clause */
/* A device and its driver in one process. The driver follows section 3.1.1 as any driver would. */
#include <string.h>

#include <vdev/loopback.h>
#include <virtq/driver.h>

enum {
	DEFAULT_SIZE = 256,
	ALIGN = 16,
	PATIENCE_RUNS =
		1 << 24 /* runs of the device before something counts as stuck, where there is no clock */
};
#define PATIENCE_NS 30000000000u

/* For calls whose failure changes nothing here. */
static void ignore(int rc)
{
	(void)rc;
}

/* The memory map, apart from the loopback: the device may hold it for longer. */
struct shared_map {
	struct virtq_mem mem;
	struct virtq_region region;
	struct vdev_env env;
};

struct queue {
	struct virtq_drv drv;
	int ready;
	void *scratch;
	size_t scratch_bytes;
	uint64_t ring; /* offset in the shared memory */
	uint64_t indirect;
	uint64_t indirect_bytes;
	uint16_t size;
};

struct vdev_loopback {
	struct vdev_env env;
	struct vdev *v;
	struct vdev_loopback_config cfg;
	struct shared_map *map;
	struct virtq_features features;
	uint64_t used; /* bytes at the front that the rings take */
	uint32_t nqueues;
	uint32_t reset_done;
	struct queue queues[];
};

static void interrupt(void *ctx, unsigned n)
{
	struct vdev_loopback *l = ctx;

	if (l->cfg.interrupt != NULL)
		l->cfg.interrupt(l->cfg.ctx, n);
}

static void config_changed(void *ctx)
{
	interrupt(ctx, UINT32_MAX);
}

static void done(void *ctx, int op, unsigned queue, int result)
{
	struct vdev_loopback *l = ctx;

	(void)queue;
	(void)result;
	if (op == VDEV_OP_RESET)
		__atomic_store_n(&l->reset_done, 1, __ATOMIC_RELEASE);
}

static void map_released(struct virtq_mem *mem, void *ctx)
{
	struct shared_map *map = ctx;
	struct vdev_env env = map->env;

	(void)mem;
	env.free(env.ctx, map, sizeof(*map));
}

static int new_map(struct vdev_loopback *l)
{
	struct shared_map *map = l->env.alloc(l->env.ctx, sizeof(*map));
	int rc;

	if (map == NULL)
		return VIRTQ_ENOMEM;
	memset(map, 0, sizeof(*map));
	map->env = l->env;
	map->region =
		(struct virtq_region){.gpa = l->cfg.gpa, .len = l->cfg.bytes, .host = l->cfg.memory};
	rc = virtq_mem_init(&map->mem, &map->region, 1);
	if (rc < 0) {
		l->env.free(l->env.ctx, map, sizeof(*map));
		return rc;
	}
	virtq_mem_set_release(&map->mem, map_released, map);
	l->map = map;
	rc = vdev_function_set_mem(vdev_function(l->v), &map->mem);
	if (rc < 0 && rc != VIRTQ_EAGAIN) {
		virtq_mem_unref(&map->mem);
		return rc;
	}
	return 0;
}

/* What of a uint16 default the queue can have. */
static uint16_t queue_size(const struct vdev_loopback *l, unsigned q)
{
	uint16_t max = vdev_queue_max(l->v, q);
	uint16_t size = l->cfg.queue_size;

	if (size != 0)
		return size;
	size = max < DEFAULT_SIZE ? max : DEFAULT_SIZE;
	if (virtq_features_has(&l->cfg.wanted, VIRTQ_F_RING_PACKED))
		return size;
	while (size & (size - 1))
		size &= (uint16_t)(size - 1);
	return size;
}

static uint64_t take(struct vdev_loopback *l, uint64_t bytes)
{
	uint64_t at = l->used;

	l->used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
	return at;
}

/* Give every queue its part of the shared memory. Room for either layout: which one it is, is negotiated later. */
static int lay_out(struct vdev_loopback *l)
{
	const struct virtq_features split = {{0}};
	uintptr_t skew = (uintptr_t)l->cfg.memory % ALIGN;

	l->used = skew != 0 ? ALIGN - skew : 0;
	if ((l->cfg.gpa + l->used) % ALIGN != 0)
		return VIRTQ_EINVAL;
	for (uint32_t i = 0; i < l->nqueues; i++) {
		struct queue *q = &l->queues[i];
		struct virtq_features packed = {{0}};
		size_t a;
		size_t b;

		virtq_features_set(&packed, VIRTQ_F_RING_PACKED);
		virtq_features_set(&packed, VIRTQ_F_VERSION_1);
		q->size = queue_size(l, i);
		a = virtq_drv_ring_bytes(q->size, &split);
		b = virtq_drv_ring_bytes(q->size, &packed);
		if (q->size == 0 || q->size > vdev_queue_max(l->v, i) || (a == 0 && b == 0))
			return VIRTQ_EINVAL;
		q->ring = take(l, a > b ? a : b);
		q->indirect_bytes = (uint64_t)q->size * l->cfg.indirect_max * VIRTQ_DESC_BYTES;
		q->indirect = take(l, q->indirect_bytes);
		if (l->used > l->cfg.bytes)
			return VIRTQ_ENOSPC;
	}
	return 0;
}

int vdev_loopback_new(struct vdev_loopback **out, const struct vdev_env *env, struct vdev *v,
                      const struct vdev_loopback_config *cfg)
{
	const struct vdev_attachment none = {.size = sizeof(none)};
	struct vdev_attachment a = none;
	struct vdev_loopback *l;
	uint32_t n;
	size_t bytes;
	int rc;

	if (out == NULL || env == NULL || v == NULL || cfg == NULL || cfg->size != sizeof(*cfg) ||
	    cfg->memory == NULL)
		return VIRTQ_EINVAL;
	n = cfg->nqueues != 0 ? cfg->nqueues : vdev_queue_count(v);
	if (n > vdev_queue_count(v))
		return VIRTQ_EINVAL;
	bytes = sizeof(*l) + n * sizeof(l->queues[0]);
	l = env->alloc(env->ctx, bytes);
	if (l == NULL)
		return VIRTQ_ENOMEM;
	memset(l, 0, bytes);
	l->env = *env;
	l->v = v;
	l->cfg = *cfg;
	l->nqueues = n;
	a.interrupt = interrupt;
	a.config_changed = config_changed;
	a.done = done;
	a.ctx = l;
	rc = lay_out(l);
	/* First, since a device that is busy refuses and is left as it was. */
	if (rc == 0)
		rc = vdev_function_attach(vdev_function(v), &a);
	if (rc == 0) {
		rc = new_map(l);
		if (rc < 0)
			ignore(vdev_function_attach(vdev_function(v), NULL));
	}
	if (rc < 0) {
		env->free(env->ctx, l, bytes);
		return rc;
	}
	*out = l;
	return 0;
}

/* Set up the driver side of queue i and tell the device. */
static int start_queue(struct vdev_loopback *l, uint32_t i)
{
	struct queue *q = &l->queues[i];
	uint8_t *base = l->cfg.memory;
	struct virtq_drv_config cfg = {
		.size = sizeof(cfg), .features = l->features, .queue_size = q->size};
	struct vdev_queue_setup setup = {0};
	int rc;

	cfg.ring = base + q->ring;
	cfg.ring_addr = l->cfg.gpa + q->ring;
	if (virtq_features_has(&l->features, VIRTQ_F_INDIRECT_DESC) && l->cfg.indirect_max != 0) {
		cfg.indirect_max = l->cfg.indirect_max;
		cfg.indirect = base + q->indirect;
		cfg.indirect_addr = l->cfg.gpa + q->indirect;
	}
	if (q->scratch == NULL) {
		q->scratch_bytes = virtq_drv_bytes(q->size, &l->features);
		if (q->scratch_bytes == 0)
			return VIRTQ_EINVAL;
		q->scratch = l->env.alloc(l->env.ctx, q->scratch_bytes);
		if (q->scratch == NULL)
			return VIRTQ_ENOMEM;
	}
	cfg.scratch = q->scratch;
	cfg.scratch_bytes = q->scratch_bytes;
	rc = virtq_drv_init(&q->drv, &cfg);
	if (rc < 0)
		return rc;
	virtq_drv_state(&q->drv, &setup.state);
	rc = vdev_queue_start(l->v, i, &setup);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		return rc;
	q->ready = 1;
	return 0;
}

/* How long to wait for a device. */
struct patience {
	uint64_t until;
	uint32_t runs;
};

static struct patience patience_new(const struct vdev_loopback *l)
{
	return (struct patience){.until =
	                             l->env.now != NULL ? l->env.now(l->env.ctx) + PATIENCE_NS : 0};
}

/* 1 while it lasts. */
static int patient(const struct vdev_loopback *l, struct patience *p)
{
	p->runs++;
	if (l->env.now == NULL)
		return p->runs < PATIENCE_RUNS;
	return p->runs % 64 != 0 || l->env.now(l->env.ctx) < p->until;
}

static void drop_queues(struct vdev_loopback *l)
{
	for (uint32_t i = 0; i < l->nqueues; i++) {
		struct queue *q = &l->queues[i];

		if (q->scratch != NULL)
			l->env.free(l->env.ctx, q->scratch, q->scratch_bytes);
		q->scratch = NULL;
		q->ready = 0;
	}
}

/* The steps of 3.1.1 after the reset. */
static int initialise(struct vdev_loopback *l)
{
	uint8_t status = VIRTQ_STATUS_ACKNOWLEDGE;
	int rc = vdev_set_status(l->v, status);

	status |= VIRTQ_STATUS_DRIVER;
	if (rc == 0)
		rc = vdev_set_status(l->v, status);
	if (rc < 0)
		return rc;
	vdev_offered(l->v, &l->features);
	for (int i = 0; i < 2; i++)
		l->features.word[i] &= l->cfg.wanted.word[i];
	virtq_features_set(&l->features, VIRTQ_F_VERSION_1);
	rc = vdev_accept(l->v, &l->features);
	status |= VIRTQ_STATUS_FEATURES_OK;
	if (rc == 0)
		rc = vdev_set_status(l->v, status);
	if (rc < 0)
		return rc;
	if (!(vdev_status(l->v) & VIRTQ_STATUS_FEATURES_OK))
		return VIRTQ_ENOTSUP;
	for (uint32_t i = 0; i < l->nqueues && rc == 0; i++)
		rc = start_queue(l, i);
	if (rc < 0)
		return rc;
	return vdev_set_status(l->v, (uint8_t)(status | VIRTQ_STATUS_DRIVER_OK));
}

int vdev_loopback_start(struct vdev_loopback *l)
{
	int rc = vdev_loopback_reset(l);

	if (rc < 0)
		return rc;
	rc = initialise(l);
	if (rc < 0 && !(vdev_status(l->v) & VIRTQ_STATUS_DRIVER_OK))
		ignore(vdev_set_status(l->v, (uint8_t)(vdev_status(l->v) | VIRTQ_STATUS_FAILED)));
	return rc;
}

int vdev_loopback_reset(struct vdev_loopback *l)
{
	struct patience p = patience_new(l);
	int rc;

	__atomic_store_n(&l->reset_done, 0, __ATOMIC_RELEASE);
	rc = vdev_set_status(l->v, 0);
	while (rc == VIRTQ_EAGAIN && patient(l, &p)) {
		ignore(vdev_run(l->v, 0));
		if (__atomic_load_n(&l->reset_done, __ATOMIC_ACQUIRE))
			rc = 0;
	}
	if (rc == 0)
		drop_queues(l);
	return rc;
}

struct virtq_drv *vdev_loopback_drv(struct vdev_loopback *l, unsigned q)
{
	return q < l->nqueues && l->queues[q].ready ? &l->queues[q].drv : NULL;
}

void *vdev_loopback_memory(struct vdev_loopback *l, uint64_t *gpa, uint64_t *bytes)
{
	if (gpa != NULL)
		*gpa = l->cfg.gpa + l->used;
	if (bytes != NULL)
		*bytes = l->cfg.bytes - l->used;
	return (uint8_t *)l->cfg.memory + l->used;
}

void vdev_loopback_kick(struct vdev_loopback *l, unsigned q)
{
	struct virtq_drv *drv = vdev_loopback_drv(l, q);

	if (drv == NULL)
		return;
	virtq_drv_publish(drv);
	if (virtq_drv_should_kick(drv))
		vdev_queue_kick(l->v, q);
}

/* Wait for the one buffer that is out. */
static int64_t await(struct vdev_loopback *l, unsigned q, struct virtq_drv *drv)
{
	struct patience p = patience_new(l);

	while (patient(l, &p)) {
		struct virtq_done used;
		int n = virtq_drv_take(drv, &used, 1);

		if (n < 0)
			return n;
		if (n > 0)
			return used.written;
		if (vdev_queue_broken(l->v, q))
			return VIRTQ_EBROKEN;
		if (!vdev_queue_owned(l->v, q))
			ignore(vdev_queue_run(l->v, q, 0));
	}
	return VIRTQ_EAGAIN;
}

int64_t vdev_loopback_request(struct vdev_loopback *l, unsigned q, const void *out,
                              uint32_t out_len, void *in, uint32_t in_len)
{
	struct virtq_drv *drv = vdev_loopback_drv(l, q);
	struct virtq_seg seg[2];
	uint64_t gpa;
	uint64_t room;
	uint8_t *mem = vdev_loopback_memory(l, &gpa, &room);
	uint32_t n = 0;
	int64_t got;
	int rc;

	if (drv == NULL || (uint64_t)out_len + in_len > room || virtq_drv_inflight(drv) != 0)
		return VIRTQ_EINVAL;
	if (out_len != 0) {
		memcpy(mem, out, out_len);
		seg[n++] = (struct virtq_seg){.addr = gpa, .len = out_len};
	}
	if (in_len != 0)
		seg[n++] = (struct virtq_seg){.addr = gpa + out_len, .len = in_len};
	rc = virtq_drv_add(drv, seg, out_len != 0, in_len != 0, l);
	if (rc < 0) /* also when both are empty */
		return rc;
	vdev_loopback_kick(l, q);
	got = await(l, q, drv);
	if (got > 0)
		memcpy(in, mem + out_len, got < in_len ? (size_t)got : in_len);
	return got;
}

void vdev_loopback_features(const struct vdev_loopback *l, struct virtq_features *out)
{
	*out = l->features;
}

void vdev_loopback_free(struct vdev_loopback *l)
{
	struct vdev_env env;
	size_t bytes;

	if (l == NULL)
		return;
	env = l->env;
	bytes = sizeof(*l) + l->nqueues * sizeof(l->queues[0]);
	if (vdev_loopback_reset(l) < 0) {
		/* A device that is stuck keeps its memory map, and us, whom it will call when it ends. */
		virtq_mem_unref(&l->map->mem);
		drop_queues(l);
		l->cfg.interrupt = NULL;
		return;
	}
	ignore(vdev_function_set_mem(vdev_function(l->v), NULL));
	ignore(vdev_function_attach(vdev_function(l->v), NULL));
	virtq_mem_unref(&l->map->mem);
	drop_queues(l);
	env.free(env.ctx, l, bytes);
}
