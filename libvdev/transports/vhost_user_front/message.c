/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and their answers. An answer is collected piece by piece; its header is judged before any more is read, so
 * that it can't be longer than what was asked for, and it has to be the answer to that.
 */
#include <poll.h>

#include "front.h"

void front_drop_fds(struct vdev_vhost_front *f)
{
	for (unsigned i = 0; i < f->in.nfds; i++)
		vdev_os_close(f->in.fds[i]);
	f->in.nfds = 0;
}

/* The descriptor of an answer that has one becomes the caller's. */
int front_take_fd(struct vdev_vhost_front *f)
{
	f->in.nfds = 0;
	return f->in.fds[0];
}

/* Close the connection, and nothing else. */
void front_close(struct vdev_vhost_front *f)
{
	front_drop_fds(f);
	front_channel_close(f);
	if (f->fd >= 0) {
		vdev_os_epoll_del(f->ep, f->fd);
		vdev_os_close(f->fd);
	}
	f->fd = -1;
	f->in.have = 0;
	f->unacked = 0;
	f->unwilling = 0;
	f->expect = 0;
}

/* The connection is over. Returns rc. */
int front_fail(struct vdev_vhost_front *f, int rc, const char *why)
{
	const struct vdev_vhost_front_ops *ops = f->cfg.ops;
	int was = f->fd >= 0;

	front_close(f);
	if (!was)
		return rc;
	f->why = why;
	if (f->env.log != NULL) {
		struct vdev_log_entry e = {.level = VDEV_LOG_WARNING,
		                           .error = rc,
		                           .queue = -1,
		                           .head = -1,
		                           .source = "vhost-user front",
		                           .text = why};

		f->env.log(f->env.ctx, &e);
	}
	if (!f->quiet && ops != NULL && ops->gone != NULL) {
		f->inside++;
		ops->gone(f->cfg.ctx, rc, why);
		f->inside--;
	}
	return rc;
}

/* Whether a request may be sent now. */
int front_ready(const struct vdev_vhost_front *f)
{
	if (f->inside)
		return VIRTQ_EBUSY;
	return f->fd < 0 ? VIRTQ_EBROKEN : 0;
}

static uint64_t deadline(const struct vdev_vhost_front *f)
{
	return vdev_os_now() + f->cfg.timeout_ms * 1000000ull;
}

/* Send a message. */
int front_tell(struct vdev_vhost_front *f, uint32_t request, uint32_t flags, const void *payload,
               size_t len, const int *fds, unsigned nfds)
{
	struct {
		struct vu_header h;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} out = {.h = {request, VU_VERSION | flags, (uint32_t)len}};
	int rc;

	if (f->fd < 0)
		return VIRTQ_EBROKEN;
	if (len > 0)
		memcpy(out.bytes, payload, len);
	rc = vdev_os_send_fds(f->fd, &out, sizeof(out.h) + len, fds, nfds, front_timeout_ms(f));
	if (rc == -ETIMEDOUT)
		return front_fail(f, rc, "the back-end does not take messages");
	return rc < 0 ? front_fail(f, VIRTQ_EIO, "the back-end went") : 0;
}

/* Is this header one that may come now? */
static int judge(struct vdev_vhost_front *f)
{
	const struct vu_header *h = &f->in.h;

	if (h->flags != (VU_VERSION | VU_FLAG_REPLY))
		return front_fail(f, VIRTQ_EPROTO, "answer with wrong flags");
	if (f->unacked > 0 && h->request == VU_IOTLB_MSG)
		return h->size == 8 ? 0 : front_fail(f, VIRTQ_EPROTO, "answer of a wrong size");
	if (f->expect == 0)
		return front_fail(f, VIRTQ_EPROTO, "an answer that nobody asked for");
	if (h->request != f->expect)
		return front_fail(f, VIRTQ_EPROTO, "the answer to something else");
	if (h->size > f->expect_max)
		return front_fail(f, VIRTQ_EPROTO, "answer of a wrong size");
	return 0;
}

static int receive_some(struct vdev_vhost_front *f, size_t want)
{
	struct front_answer *m = &f->in;
	unsigned n = 0;
	int fds[VU_MAX_FDS];
	char *at = (char *)&m->h + m->have;
	ssize_t got;

	if (m->have >= sizeof(m->h))
		at = (char *)m->bytes + (m->have - sizeof(m->h));
	got = vdev_os_recv_fds(f->fd, at, want - m->have, fds, VU_MAX_FDS, &n);
	for (unsigned i = 0; i < n && i < VU_MAX_FDS; i++) {
		if (m->nfds < VU_MAX_FDS) {
			m->fds[m->nfds++] = fds[i];
		} else {
			vdev_os_close(fds[i]);
			n = VU_MAX_FDS + 1;
		}
	}
	if (got == -EAGAIN)
		return VIRTQ_EAGAIN;
	if (got <= 0)
		return front_fail(f, VIRTQ_EIO,
		                  m->have == 0 ? "the back-end went"
		                               : "the back-end went within a message");
	if (n > VU_MAX_FDS)
		return front_fail(f, VIRTQ_EPROTO, "more descriptors than a message can have");
	m->have += (size_t)got;
	return 0;
}

/* Collect one answer. 1: it is there; 0: not yet; < 0: the connection is over. */
static int collect(struct vdev_vhost_front *f)
{
	struct front_answer *m = &f->in;
	int rc = 0;

	while (rc == 0) {
		if (m->have < sizeof(m->h)) {
			rc = receive_some(f, sizeof(m->h));
			if (rc == 0 && m->have == sizeof(m->h))
				rc = judge(f);
			continue;
		}
		if (m->have == sizeof(m->h) + m->h.size)
			return 1;
		rc = receive_some(f, sizeof(m->h) + m->h.size);
	}
	return rc == VIRTQ_EAGAIN ? 0 : rc;
}

/* The answer that is there is one to an IOTLB message: note it. 1: it was one. */
static int note_iotlb(struct vdev_vhost_front *f)
{
	if (f->unacked == 0 || f->in.h.request != VU_IOTLB_MSG)
		return 0;
	f->unacked--;
	f->unwilling |= f->in.u64 != 0;
	f->in.have = 0;
	return 1;
}

/* Wait until the back-end says something, serving its requests. */
static int pause_for(struct vdev_vhost_front *f, uint64_t end)
{
	struct pollfd p[2] = {{.fd = f->fd, .events = POLLIN}, {.fd = f->channel, .events = POLLIN}};
	uint64_t now = vdev_os_now();
	uint64_t ms;

	if (now >= end)
		return front_fail(f, -ETIMEDOUT, "the back-end gives no answer");
	ms = (end - now) / 1000000u + 1;
	(void)poll(p, 2, ms > 60000 ? 60000 : (int)ms);
	if (p[1].revents == 0)
		return 0;
	return front_channel_serve(f);
}

/* Wait for the answer to a request, of min to max bytes; it is then in f->in, and its descriptors too. */
int front_wait(struct vdev_vhost_front *f, uint32_t request, uint32_t min, uint32_t max)
{
	uint64_t end = deadline(f);
	int rc = 0;

	f->expect = request;
	f->expect_max = max;
	while (rc >= 0) {
		rc = collect(f);
		if (rc == 0) {
			rc = pause_for(f, end);
		} else if (rc > 0) {
			if (f->in.nfds > 0 && request != VU_GET_INFLIGHT_FD)
				return front_fail(f, VIRTQ_EPROTO, "answer with descriptors");
			if (note_iotlb(f))
				continue;
			f->expect = 0;
			f->in.have = 0;
			if (f->in.h.size < min)
				return front_fail(f, VIRTQ_EPROTO, "answer of a wrong size");
			memset(f->in.bytes + f->in.h.size, 0, sizeof(f->in.bytes) - f->in.h.size);
			return 0;
		}
	}
	return rc;
}

/* Wait until every IOTLB message has been answered. */
int front_settle(struct vdev_vhost_front *f)
{
	uint64_t end = deadline(f);
	int rc = 0;

	while (rc >= 0 && f->unacked > 0) {
		rc = collect(f);
		if (rc == 0)
			rc = pause_for(f, end);
		else if (rc > 0 && f->in.nfds > 0)
			return front_fail(f, VIRTQ_EPROTO, "answer with descriptors");
		else if (rc > 0)
			(void)note_iotlb(f);
	}
	/* What a translator said meanwhile may have ended the connection, and with it what was waited for. */
	if (rc >= 0 && f->fd < 0)
		return VIRTQ_EBROKEN;
	if (rc >= 0 && f->unwilling) {
		f->unwilling = 0;
		return VDEV_VHOST_FRONT_REFUSED;
	}
	return rc < 0 ? rc : 0;
}

/* Nobody waits: what does come? */
int front_listen(struct vdev_vhost_front *f)
{
	for (int i = 0; i < 16 && f->fd >= 0; i++) {
		int rc = collect(f);

		if (rc <= 0)
			return rc;
		if (f->in.nfds > 0)
			return front_fail(f, VIRTQ_EPROTO, "answer with descriptors");
		(void)note_iotlb(f);
	}
	return 0;
}

/* Send a request that has no answer of its own; its success is asked for where that can be done. */
int front_do(struct vdev_vhost_front *f, uint32_t request, const void *payload, size_t len,
             const int *fds, unsigned nfds)
{
	int ack = front_has(f, VU_PROTO_REPLY_ACK);
	int rc = front_tell(f, request, ack ? VU_FLAG_NEED_REPLY : 0, payload, len, fds, nfds);

	if (rc < 0 || !ack)
		return rc;
	rc = front_wait(f, request, 8, 8);
	if (rc < 0)
		return rc;
	return f->in.u64 != 0 ? VDEV_VHOST_FRONT_REFUSED : 0;
}

int front_do_u64(struct vdev_vhost_front *f, uint32_t request, uint64_t value)
{
	return front_do(f, request, &value, sizeof(value), NULL, 0);
}

int front_do_state(struct vdev_vhost_front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = {index, num};

	return front_do(f, request, &s, sizeof(s), NULL, 0);
}

int front_get_u64(struct vdev_vhost_front *f, uint32_t request, uint64_t *out)
{
	int rc = front_tell(f, request, 0, NULL, 0, NULL, 0);

	if (rc >= 0)
		rc = front_wait(f, request, 8, 8);
	if (rc >= 0)
		*out = f->in.u64;
	return rc < 0 ? rc : 0;
}

/* Where success can't be asked for: everything sent so far has been carried out when a question is answered. */
int front_sync(struct vdev_vhost_front *f)
{
	uint64_t ignored;

	if (front_has(f, VU_PROTO_REPLY_ACK))
		return 0;
	return front_get_u64(f, VU_GET_FEATURES, &ignored);
}
