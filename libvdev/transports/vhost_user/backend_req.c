/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What we tell the front-end of our own accord: notifications of rings and configuration, through descriptors or
 * over the back-end channel. All of it says "look again", so what can't be sent now is a flag that is sent later,
 * once. Owners call in here at any time; nobody ever waits.
 */
#include <sys/epoll.h>
#include <sys/stat.h>

#include "vu.h"

/* As it goes out: nothing lies between header and payload, whatever the payload's alignment. */
struct request {
	struct vu_header h;
	uint8_t payload[sizeof(struct vu_iotlb)];
};

/* With the lock held. */
static void drop(struct vdev_vhost_user *vu)
{
	struct vu_channel *c = &vu->channel;

	if (c->fd >= 0) {
		vu_poll_del(vu, c->fd);
		vdev_os_close(c->fd);
	}
	/* Another channel may come, and they are asked for there. */
	for (unsigned i = 0; i < c->nmisses; i++)
		vu_iotlb_unsent(vu, c->misses[i]);
	c->nmisses = 0;
	c->before = 0;
	c->fd = -1;
	c->unanswered = 0;
	c->stuck = 0;
	c->have = 0;
}

/* Send one request. 1: sent; 0: later. With the lock held. */
static int send_request(struct vdev_vhost_user *vu, const struct request *r)
{
	struct vu_channel *c = &vu->channel;
	/* A message this short goes into the socket whole or not at all. */
	int rc = vdev_os_send_fds(c->fd, r, sizeof(r->h) + r->h.size, NULL, 0, 0);

	if (rc == 0)
		return 1;
	if (rc != -ETIMEDOUT) {
		drop(vu);
		return 0;
	}
	if (!c->stuck)
		vu_poll_set(vu, c->fd, EPOLLIN | EPOLLOUT, &vu->backend_source);
	c->stuck = 1;
	return 0;
}

static int take_due(uint32_t *due)
{
	return __atomic_load_n(due, __ATOMIC_RELAXED) && __atomic_exchange_n(due, 0, __ATOMIC_ACQ_REL);
}

/* With the lock held: send @p request if it is due. 0: nothing more can be sent now. */
static int send_due(struct vdev_vhost_user *vu, uint32_t *due, uint32_t request, unsigned index,
                    uint32_t size, int want_answer)
{
	struct vu_channel *c = &vu->channel;
	struct request r = {.h = {request, VU_VERSION, size}};
	struct vu_vring_state state = {index, 0};

	if (c->fd < 0 || c->unanswered || c->stuck)
		return 0;
	if (!take_due(due))
		return 1;
	memcpy(r.payload, &state, sizeof(state));
	want_answer = want_answer && vu_has(vu, VU_PROTO_REPLY_ACK);
	if (want_answer)
		r.h.flags |= VU_FLAG_NEED_REPLY;
	if (send_request(vu, &r)) {
		c->unanswered = want_answer;
		c->before = c->nmisses;
		return 1;
	}
	__atomic_store_n(due, 1, __ATOMIC_RELEASE);
	return 0;
}

/* With the lock held: ask for translations that are wanted. */
static void send_misses(struct vdev_vhost_user *vu)
{
	struct vu_channel *c = &vu->channel;
	struct request r = {
		.h = {VU_BE_IOTLB_MSG, VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(struct vu_iotlb)}};

	while (c->fd >= 0 && !c->stuck && c->nmisses < VU_ASKED) {
		struct vu_iotlb m;
		int which = vu_iotlb_next(vu, &m);

		if (which < 0)
			return;
		memcpy(r.payload, &m, sizeof(m));
		if (!send_request(vu, &r)) {
			vu_iotlb_unsent(vu, which);
			return;
		}
		c->misses[c->nmisses++] = (uint8_t)which;
	}
}

/* Any thread. */
void vu_channel_miss(struct vdev_vhost_user *vu)
{
	pthread_mutex_lock(&vu->channel.lock);
	send_misses(vu);
	pthread_mutex_unlock(&vu->channel.lock);
}

static int flush_ring(struct vdev_vhost_user *vu, struct vu_ring *r)
{
	uint32_t size = sizeof(struct vu_vring_state);

	return send_due(vu, &r->call_due, VU_BE_VRING_CALL, r->index, size, 1) &&
	       send_due(vu, &r->err_due, VU_BE_VRING_ERR, r->index, size, 1);
}

/* Send whatever is due. */
void vu_channel_flush(struct vdev_vhost_user *vu)
{
	pthread_mutex_lock(&vu->channel.lock);
	send_misses(vu);
	(void)send_due(vu, &vu->channel.config_due, VU_BE_CONFIG_CHANGE, 0, 0, 0);
	for (unsigned i = 0; i < vu->nrings; i++)
		if (!flush_ring(vu, &vu->rings[i]))
			break;
	pthread_mutex_unlock(&vu->channel.lock);
}

static void notify_inband(struct vu_ring *r, uint32_t *due)
{
	struct vdev_vhost_user *vu = r->vu;

	__atomic_store_n(due, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&vu->channel.lock);
	(void)flush_ring(vu, r);
	pthread_mutex_unlock(&vu->channel.lock);
}

/* Owner threads. */
void vu_interrupt(void *ctx, unsigned n)
{
	struct vdev_vhost_user *vu = ctx;
	struct vu_ring *r = &vu->rings[n];

	if (__atomic_load_n(&vu->log_on, __ATOMIC_RELAXED) &&
	    __atomic_load_n(&vu->log_call.set, __ATOMIC_RELAXED))
		vu_slot_signal(vu, &vu->log_call);
	if (__atomic_load_n(&r->call.set, __ATOMIC_ACQUIRE) == VU_NOTIFY_FD)
		vu_slot_signal(vu, &r->call);
	else if (vu_has(vu, VU_PROTO_INBAND))
		notify_inband(r, &r->call_due);
}

/* Owner threads. */
void vu_broken(void *ctx, unsigned queue, const struct virtq_fault *fault)
{
	struct vdev_vhost_user *vu = ctx;
	struct vu_ring *r = &vu->rings[queue];

	(void)fault;
	if (__atomic_load_n(&r->err.set, __ATOMIC_ACQUIRE) == VU_NOTIFY_FD)
		vu_slot_signal(vu, &r->err);
	else if (vu_has(vu, VU_PROTO_INBAND))
		notify_inband(r, &r->err_due);
}

/* Any thread. */
void vu_config_changed(void *ctx)
{
	struct vdev_vhost_user *vu = ctx;

	if (!vu_has(vu, VU_PROTO_CONFIG) || !vu_has(vu, VU_PROTO_BACKEND_REQ))
		return;
	__atomic_store_n(&vu->channel.config_due, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&vu->channel.lock);
	(void)send_due(vu, &vu->channel.config_due, VU_BE_CONFIG_CHANGE, 0, 0, 0);
	pthread_mutex_unlock(&vu->channel.lock);
}

/* With the lock held: take an answer. 1: all of it came. */
static int take_answer(struct vdev_vhost_user *vu)
{
	struct vu_channel *c = &vu->channel;
	unsigned nfds;
	ssize_t got = vdev_os_recv_fds(c->fd, c->in + c->have, sizeof(c->in) - c->have, NULL, 0, &nfds);
	struct vu_header h;
	uint64_t result;

	if (got == -EAGAIN)
		return 0;
	if (got <= 0 || nfds > 0 || (!c->unanswered && c->nmisses == 0)) {
		drop(vu);
		return 0;
	}
	c->have += (size_t)got;
	if (c->have < sizeof(c->in))
		return 0;
	c->have = 0;
	memcpy(&h, c->in, sizeof(h));
	memcpy(&result, c->in + sizeof(h), sizeof(result));
	if ((h.flags & 3) != VU_VERSION || !(h.flags & VU_FLAG_REPLY) || h.size != 8) {
		drop(vu);
		return 1;
	}
	if (c->unanswered && c->before == 0) {
		c->unanswered = 0;
		return 1;
	}
	vu_iotlb_answered(vu, c->misses[0], result);
	c->before -= c->unanswered != 0;
	c->nmisses--;
	memmove(c->misses, c->misses + 1, c->nmisses);
	return 1;
}

/* An answer, room in the socket, or its end. */
void vu_channel_event(struct vdev_vhost_user *vu)
{
	struct vu_channel *c = &vu->channel;

	pthread_mutex_lock(&c->lock);
	if (c->fd >= 0 && c->stuck) {
		c->stuck = 0;
		vu_poll_set(vu, c->fd, EPOLLIN, &vu->backend_source);
	}
	if (c->fd >= 0)
		(void)take_answer(vu);
	pthread_mutex_unlock(&c->lock);
	vu_channel_flush(vu);
}

void vu_channel_close(struct vdev_vhost_user *vu)
{
	pthread_mutex_lock(&vu->channel.lock);
	drop(vu);
	__atomic_store_n(&vu->channel.config_due, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&vu->channel.lock);
}

int vu_on_set_backend_req_fd(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct stat st;
	int rc = 0;

	if (fstat(m->fds[0], &st) < 0 || !S_ISSOCK(st.st_mode))
		return vu_refuse(vu, "the back-end channel is not a socket");
	pthread_mutex_lock(&vu->channel.lock);
	drop(vu);
	rc = vu_poll_add(vu, m->fds[0], EPOLLIN, &vu->backend_source);
	if (rc >= 0)
		vu->channel.fd = vu_take_fd(m);
	pthread_mutex_unlock(&vu->channel.lock);
	if (rc < 0)
		return vu_refuse(vu, "the back-end channel can't be polled");
	vu_channel_flush(vu);
	return 0;
}
