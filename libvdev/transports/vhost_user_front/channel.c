/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end's own requests, over a socket pair that we made. */
#include <sys/socket.h>

#include "front.h"

int front_channel_open(struct vdev_vhost_front *f)
{
	int pair[2];
	int rc;

	if (!front_has(f, VU_PROTO_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return front_fail(f, -errno, "no socket pair can be made");
	rc = vdev_os_epoll_add(f->ep, pair[0], f);
	if (rc < 0) {
		vdev_os_close(pair[0]);
		vdev_os_close(pair[1]);
		return front_fail(f, rc, "the back-end's channel can't be polled");
	}
	f->channel = pair[0];
	f->asked.have = 0;
	rc = front_do(f, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	vdev_os_close(pair[1]);
	return rc;
}

void front_channel_close(struct vdev_vhost_front *f)
{
	if (f->channel < 0)
		return;
	vdev_os_epoll_del(f->ep, f->channel);
	vdev_os_close(f->channel);
	f->channel = -1;
}

/* Payload that a request must have, or -1 when it may not come at all. */
static int size_of(const struct vdev_vhost_front *f, uint32_t request)
{
	switch (request) {
	case VU_BE_CONFIG_CHANGE:
		return front_has(f, VU_PROTO_CONFIG) ? 0 : -1;
	case VU_BE_VRING_CALL:
	case VU_BE_VRING_ERR:
		return front_has(f, VU_PROTO_INBAND) ? (int)sizeof(struct vu_vring_state) : -1;
	case VU_BE_IOTLB_MSG:
		return front_feature(f, VIRTQ_F_ACCESS_PLATFORM) ? (int)sizeof(struct vu_iotlb) : -1;
	default:
		return -1;
	}
}

static int judge(struct vdev_vhost_front *f)
{
	const struct vu_header *h = &f->asked.h;
	int size = size_of(f, h->request);

	if ((h->flags & ~(uint32_t)VU_FLAG_NEED_REPLY) != VU_VERSION)
		return front_fail(f, VIRTQ_EPROTO, "request of the back-end with wrong flags");
	if (size < 0)
		return front_fail(f, VIRTQ_EPROTO, "request of the back-end that was not negotiated");
	if (h->size != (uint32_t)size)
		return front_fail(f, VIRTQ_EPROTO, "request of the back-end of a wrong size");
	return 0;
}

static int notification(struct vdev_vhost_front *f, const struct front_request *m)
{
	struct front_queue *q;

	if (m->state.index >= f->nqueues)
		return front_fail(f, VIRTQ_EPROTO, "notification of a queue that is not there");
	q = &f->queues[m->state.index];
	if (m->h.request == VU_BE_VRING_CALL) {
		q->call_due = 1;
		vdev_os_bell_ring(&f->bell, q->call);
	} else {
		q->err_due = 1;
		vdev_os_bell_ring(&f->bell, q->err);
	}
	vdev_os_signal(f->wake);
	return 0;
}

/* Answer the request if that is wanted. */
static int answer(struct vdev_vhost_front *f, uint64_t value)
{
	struct {
		struct vu_header h;
		uint8_t value[8];
	} out = {.h = {f->asked.h.request, VU_VERSION | VU_FLAG_REPLY, 8}};

	if (!(f->asked.h.flags & VU_FLAG_NEED_REPLY) || !front_has(f, VU_PROTO_REPLY_ACK))
		return 0;
	memcpy(out.value, &value, sizeof(value));
	if (vdev_os_send_fds(f->channel, &out, sizeof(out), NULL, 0, 0) < 0)
		return front_fail(f, VIRTQ_EPROTO, "the back-end does not take its answers");
	return 0;
}

/* A whole request is there. */
static int carry_out(struct vdev_vhost_front *f)
{
	struct front_request *m = &f->asked;
	int rc = 0;

	if (m->h.request == VU_BE_IOTLB_MSG) {
		rc = front_iotlb_asked(f, &m->iotlb);
	} else if (m->h.request == VU_BE_CONFIG_CHANGE) {
		f->config_due = 1;
		vdev_os_signal(f->wake);
	} else {
		rc = notification(f, m);
	}
	if (f->fd < 0)
		return rc;
	return answer(f, rc < 0);
}

/* Collect one request. 1: it is there; 0: not yet; < 0: the connection is over. */
static int collect(struct vdev_vhost_front *f)
{
	struct front_request *m = &f->asked;

	while (f->channel >= 0) {
		size_t want = sizeof(m->h);
		unsigned nfds;
		ssize_t got;
		char *at = (char *)&m->h + m->have;

		if (m->have >= sizeof(m->h)) {
			want += m->h.size;
			at = (char *)m->bytes + (m->have - sizeof(m->h));
		}
		if (m->have == want)
			return 1;
		got = vdev_os_recv_fds(f->channel, at, want - m->have, NULL, 0, &nfds);
		if (got == -EAGAIN)
			return 0;
		if (nfds > 0)
			return front_fail(f, VIRTQ_EPROTO, "request of the back-end with descriptors");
		if (got <= 0) {
			/* It may do without; what is wrong with it shows on the connection. */
			front_channel_close(f);
			return 0;
		}
		m->have += (size_t)got;
		if (m->have == sizeof(m->h) && judge(f) < 0)
			return VIRTQ_EPROTO;
	}
	return 0;
}

/* Read and carry out requests, a bounded number of them. */
int front_channel_serve(struct vdev_vhost_front *f)
{
	for (int i = 0; i < 16 && f->channel >= 0; i++) {
		int rc = collect(f);

		if (rc <= 0)
			return rc;
		rc = carry_out(f);
		f->asked.have = 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}
