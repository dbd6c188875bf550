/* SPDX-License-Identifier: BSD-3-Clause */
#include "echo.h"

#include <string.h>

static void echo(struct vdev_queue *q, const struct virtq_chain *c)
{
	uint8_t buf[256];
	struct vdev_done done = {0};
	uint64_t at = 0;
	size_t n;

	while ((n = vdev_chain_read(c, at, buf, sizeof(buf))) != 0) {
		size_t w = vdev_chain_write(c, at, buf, n);

		done.written += (uint32_t)w;
		at += n;
		if (w < n)
			break;
	}
	done.read_bytes = done.written;
	done.written_bytes = c->read_bytes;
	done.error = c->write_bytes < c->read_bytes;
	vdev_queue_complete(q, c, &done);
}

static void keep(struct echo *e, struct vdev_queue *q, const struct virtq_chain *c)
{
	struct echo_held *h = &e->held[e->nheld];

	h->q = q;
	h->chain = *c;
	memcpy(h->iov, c->iov, (c->nread + c->nwrite) * sizeof(h->iov[0]));
	h->chain.iov = h->iov;
	__atomic_store_n(&e->nheld, e->nheld + 1, __ATOMIC_RELEASE);
}

static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	struct echo *e = model;

	__atomic_fetch_add(&e->offered, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&e->bursts, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < n; i++) {
		int hold = __atomic_load_n(&e->hold, __ATOMIC_RELAXED);

		if (i == e->take || (hold && e->nheld == ECHO_HELD))
			return i;
		if (e->fault)
			vdev_queue_fault(q, &chains[i], "echo was told to fail");
		else if (hold)
			keep(e, q, &chains[i]);
		else
			echo(q, &chains[i]);
	}
	return n;
}

void echo_finish(struct echo *e, uint32_t n)
{
	uint32_t i;

	if (n > e->nheld)
		n = e->nheld;
	for (i = 0; i < n; i++)
		echo(e->held[i].q, &e->held[i].chain);
	for (; i < e->nheld; i++) {
		e->held[i - n] = e->held[i];
		e->held[i - n].chain.iov = e->held[i - n].iov;
	}
	__atomic_store_n(&e->nheld, e->nheld - n, __ATOMIC_RELEASE);
}

static int poll(void *model, struct vdev_queue *q)
{
	(void)q;
	struct echo *e = model;

	__atomic_fetch_add(&e->polls, 1, __ATOMIC_RELAXED);
	if (e->poll_finishes != 0)
		echo_finish(e, e->poll_finishes);
	return 0;
}

static int arm(void *model, struct vdev_queue *q)
{
	(void)q;
	__atomic_fetch_add(&((struct echo *)model)->arms, 1, __ATOMIC_RELAXED);
	return 0;
}

static int fd(void *model, struct vdev_queue *q)
{
	(void)model;
	return 1000 + (int)vdev_queue_index(q);
}

static uint64_t deadline(void *model, struct vdev_queue *q)
{
	(void)q;
	return ((struct echo *)model)->deadline;
}

static int queue_start(void *model, struct vdev_queue *q)
{
	struct echo *e = model;

	if (e->start_error != 0)
		return e->start_error;
	if (e->supply)
		vdev_queue_supply(q);
	__atomic_store_n(&e->queue, q, __ATOMIC_RELAXED);
	__atomic_fetch_add(&e->queue_starts, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&e->status_queue, vdev_status(e->v), __ATOMIC_RELAXED);
	return 0;
}

static void queue_end(void *model, struct vdev_queue *q)
{
	struct echo *e = model;

	__atomic_fetch_add(&e->queue_ends, 1, __ATOMIC_RELAXED);
	if (e->on_end != NULL)
		e->on_end(e, vdev_queue_index(q));
}

static void queue_drain(void *model, struct vdev_queue *q, int cancel)
{
	struct echo *e = model;

	(void)q;
	__atomic_fetch_add(&e->drains, 1, __ATOMIC_RELAXED);
	if (cancel)
		__atomic_fetch_add(&e->cancels, 1, __ATOMIC_RELAXED);
	if (e->drain_finishes)
		echo_finish(e, ECHO_HELD);
}

static int features_ok(void *model, const struct virtq_features *f)
{
	struct echo *e = model;

	e->status_features = e->v != NULL ? vdev_status(e->v) : 0;
	return !virtq_features_has(f, ECHO_FEATURE_NEEDS) || virtq_features_has(f, ECHO_FEATURE);
}

static void reset(void *model)
{
	((struct echo *)model)->resets++;
}

static void started(void *model)
{
	struct echo *e = model;

	e->started++;
	e->status_started = vdev_status(e->v);
}

static void config_written(void *model, uint32_t offset, uint32_t len)
{
	struct echo *e = model;

	e->config_writes++;
	e->config_at = offset;
	e->config_len = len;
}

static int save(void *model, struct vdev_writer *w)
{
	vdev_put32(w, ((struct echo *)model)->state);
	return 0;
}

static int load(void *model, struct vdev_reader *r, uint32_t version, int apply)
{
	uint32_t state = vdev_get32(r);

	if (version != 7 || state == 0xbad)
		return VIRTQ_EBADMSG;
	if (apply)
		((struct echo *)model)->state = state;
	return 0;
}

static void destroy(void *model)
{
	struct echo *e = model;

	e->destroyed++;
}

const struct vdev_model_ops echo_ops = {
	.size = sizeof(echo_ops),
	.name = "echo",
	.device_id = 0x7e,
	.state_version = 7,
	.process = process,
	.poll = poll,
	.arm = arm,
	.fd = fd,
	.deadline = deadline,
	.queue_start = queue_start,
	.queue_end = queue_end,
	.queue_drain = queue_drain,
	.features_ok = features_ok,
	.reset = reset,
	.started = started,
	.config_written = config_written,
	.save = save,
	.load = load,
	.destroy = destroy,
};

int echo_new(struct echo *e, const struct vdev_env *env, uint32_t nqueues, uint16_t queue_max)
{
	static const uint8_t config[ECHO_CONFIG] = {1, 2,  3,  4,  5,    6,  7,  8,
	                                            9, 10, 11, 12, 0xdd, 14, 15, 16};
	static const uint8_t mask[ECHO_CONFIG] = {
		[8] = 0xff, [9] = 0xff, [10] = 0xff, [11] = 0xff, [12] = 0x0f};
	struct vdev_model m = {.size = sizeof(m),
	                       .ops = &echo_ops,
	                       .model = e,
	                       .nqueues = nqueues,
	                       .queue_max = queue_max,
	                       .max_chain = 0,
	                       .config_len = ECHO_CONFIG,
	                       .config = config,
	                       .config_mask = mask};

	memset(e, 0, sizeof(*e));
	e->take = UINT32_MAX;
	e->deadline = UINT64_MAX;
	e->state = 0x1234;
	virtq_features_set(&m.features, ECHO_FEATURE);
	virtq_features_set(&m.features, ECHO_FEATURE_NEEDS);
	return vdev_new(&e->v, env, &m);
}
