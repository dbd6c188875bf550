/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations that take their time, and the two that use most of them: reset and the end of a connection. While one is
 * under way no message is read; queues are served all along. What is to be done when it has ended is kept as
 * a function (vu->then), so the control task never waits.
 */
#include <sys/epoll.h>

#include "vu.h"

void vu_log_entry(struct vdev_vhost_user *vu, int level, int error, int queue, uint64_t value,
                  const char *text)
{
	vdev_function_log_entry(vu->fn, level, error, queue, -1, value, "vhost-user", text);
}

/* Before the operation is asked for: it may end on another thread before the call returns. */
void vu_expect(struct vdev_vhost_user *vu, int op, unsigned queue)
{
	__atomic_store_n(&vu->ended, 0, __ATOMIC_RELAXED);
	vu->expect_queue = queue;
	__atomic_store_n(&vu->expect_op, op, __ATOMIC_RELEASE);
}

/* What the asking call returned: go on at once, or when it has ended. */
int vu_wait(struct vdev_vhost_user *vu, int rc, vu_then then)
{
	if (rc != VIRTQ_EAGAIN)
		return then(vu, rc);
	vu->then = then;
	return VIRTQ_EAGAIN;
}

/* Any thread. Other operations than ours are the embedder's. */
void vu_done(void *ctx, int op, unsigned queue, int result)
{
	struct vdev_vhost_user *vu = ctx;

	if (__atomic_load_n(&vu->expect_op, __ATOMIC_ACQUIRE) != op)
		return;
	if (op == VDEV_OP_QUEUE_STOP && queue != vu->expect_queue)
		return;
	vu->result = result;
	__atomic_store_n(&vu->ended, 1, __ATOMIC_RELEASE);
	vdev_os_signal(vu->wake);
}

/* Go on when the operation has ended. */
void vu_go_on(struct vdev_vhost_user *vu)
{
	while (vu->then != NULL && __atomic_load_n(&vu->ended, __ATOMIC_ACQUIRE)) {
		vu_then then = vu->then;
		int closing = vu->closing;
		int rc;

		vu->then = NULL;
		__atomic_store_n(&vu->ended, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&vu->expect_op, -1, __ATOMIC_RELEASE);
		rc = then(vu, vu->result);
		if (!closing && !(rc == VIRTQ_EAGAIN && vu->then != NULL))
			vu_finish(vu, rc);
	}
	/* What misses are waiting for may be in the socket. */
	if (vu->then == NULL && __atomic_load_n(&vu->tlb.answered, __ATOMIC_RELAXED))
		vu_receive(vu);
	if (vu->then == NULL && __atomic_load_n(&vu->shrunk, __ATOMIC_ACQUIRE))
		vu_close(vu, "memory of the front-end was taken away");
}

static int stop_rest(struct vdev_vhost_user *vu);

static int stopped_one(struct vdev_vhost_user *vu, int rc)
{
	(void)rc; /* a queue that is not there has stopped */
	vu_ring_stopped(&vu->rings[vu->next++]);
	return stop_rest(vu);
}

static int stop_rest(struct vdev_vhost_user *vu)
{
	for (; vu->next < vu->nrings; vu->next++) {
		struct vu_ring *r = &vu->rings[vu->next];
		int rc;

		if (!r->started)
			continue;
		vu_expect(vu, VDEV_OP_QUEUE_STOP, r->index);
		rc = vdev_queue_stop(vu->v, r->index);
		if (rc == VIRTQ_EAGAIN)
			return vu_wait(vu, rc, stopped_one);
		vu_ring_stopped(r);
	}
	return vu->stopped(vu, 0);
}

/* Stop every ring, one after the other; all of them drain meanwhile. Positions are kept. */
int vu_stop_all(struct vdev_vhost_user *vu, vu_then then)
{
	vu->stopped = then;
	vu->next = 0;
	return stop_rest(vu);
}

static int reset_now(struct vdev_vhost_user *vu, int rc)
{
	(void)rc;
	vu_expect(vu, VDEV_OP_RESET, 0);
	return vu_wait(vu, vdev_function_reset(vu->fn), vu->reset);
}

/* Reset the device; rings stop first, so that GET_VRING_BASE can still tell where. */
int vu_reset(struct vdev_vhost_user *vu, vu_then then)
{
	vu->reset = then;
	return vu_stop_all(vu, reset_now);
}

static int reset_over(struct vdev_vhost_user *vu, int rc)
{
	return rc < 0 ? vu_refuse(vu, "the device could not be reset") : 0;
}

static int device_was_reset(struct vdev_vhost_user *vu, int rc)
{
	for (unsigned i = 0; i < vu->nrings; i++) {
		vu->rings[i].enabled = !vu->protocol_acked;
		vu->rings[i].has_base = 0;
	}
	vu_inflight_forget(vu);
	return reset_over(vu, rc);
}

int vu_on_reset_device(struct vdev_vhost_user *vu, struct vu_message *m)
{
	(void)m;
	return vu_reset(vu, device_was_reset);
}

/*
 * What was in flight in rings that ran is over. The front-end had stopped the others, perhaps for a guest that is only paused
 * (QEMU), whose requests then wait in the area: where the guest did reset its device, the area is the front-end's to renew.
 */
static int status_was_reset(struct vdev_vhost_user *vu, int rc)
{
	for (unsigned i = 0; i < vu->nrings; i++)
		if (vu->rings[i].ran)
			vu_inflight_end(&vu->rings[i]);
	return reset_over(vu, rc);
}

int vu_on_set_status(struct vdev_vhost_user *vu, struct vu_message *m)
{
	int rc;

	if (m->u64 > 0xff)
		return vu_refuse(vu, "device status of more than eight bits");
	if (m->u64 == 0) {
		for (unsigned i = 0; i < vu->nrings; i++)
			vu->rings[i].over = vu->rings[i].started;
		return vu_reset(vu, status_was_reset);
	}
	rc = vdev_set_status(vu->v, (uint8_t)m->u64);
	if (rc < 0)
		return vu_refuse(vu, "device status that may not follow this one");
	vu_rings_try(vu);
	return 0;
}

int vu_on_get_status(struct vdev_vhost_user *vu, struct vu_message *m)
{
	uint64_t status = vdev_status(vu->v);

	(void)m;
	memcpy(vu->reply, &status, sizeof(status));
	vu->reply_len = sizeof(status);
	return 0;
}

/* A front-end is there. */
void vu_opened(struct vdev_vhost_user *vu, int fd)
{
	if (vu->listener >= 0)
		vu_poll_set(vu, vu->listener, 0, &vu->listener_source);
	vu->fd = fd;
	vu->m.have = 0;
	vu_log_entry(vu, VDEV_LOG_INFO, 0, -1, 0, "a front-end connected");
	if (vu->cfg.connection != NULL)
		vu->cfg.connection(vu->cfg.ctx, 1, "");
	vu_watch(vu, 1);
}

/* Wait for the next front-end. */
void vu_listen(struct vdev_vhost_user *vu)
{
	if (vu->listener < 0)
		vu->over = 1;
	else
		vu_poll_set(vu, vu->listener, EPOLLIN, &vu->listener_source);
}

static int closed(struct vdev_vhost_user *vu, int rc)
{
	(void)rc;
	vu_log_drop(vu);
	vu_inflight_drop(vu);
	vu_mem_drop(vu);
	vu_iotlb_reset(vu);
	for (unsigned i = 0; i < vu->nrings; i++)
		vu_ring_forget(&vu->rings[i]);
	vu->protocol_acked = 0;
	vu->has_features = 0;
	vu->features = 0;
	vu->closing = 0;
	__atomic_store_n(&vu->shrunk, 0, __ATOMIC_RELAXED);
	if (vu->cfg.connection != NULL)
		vu->cfg.connection(vu->cfg.ctx, 0, vu->why);
	vu_listen(vu);
	return 0;
}

static int close_mem(struct vdev_vhost_user *vu, int rc)
{
	if (rc < 0)
		vu_log_entry(vu, VDEV_LOG_ERROR, rc, -1, 0, "the device could not be reset");
	for (unsigned i = 0; i < vu->nrings; i++)
		vu->rings[i].started = 0;
	vu_expect(vu, VDEV_OP_SET_MEM, 0);
	return vu_wait(vu, vdev_function_set_mem(vu->fn, NULL), closed);
}

/* The connection ends: what the front-end gave us is given back once nothing uses it. */
void vu_close(struct vdev_vhost_user *vu, const char *why)
{
	int fd = vu->fd;

	if (fd < 0)
		return;
	vu_watch(vu, 0);
	vu->fd = -1;
	vu->closing = 1;
	vu_drop_fds(&vu->m);
	vu->m.have = 0;
	vu_log_entry(vu, VDEV_LOG_INFO, 0, -1, 0, why);
	vu->why = why;
	__atomic_store_n(&vu->protocol, 0, __ATOMIC_RELEASE);
	vu_channel_close(vu);
	for (unsigned i = 0; i < vu->nrings; i++)
		vu_ring_no_kick(&vu->rings[i]);
	vdev_os_close(fd);
	vu_expect(vu, VDEV_OP_RESET, 0);
	(void)vu_wait(vu, vdev_function_reset(vu->fn), close_mem);
}
