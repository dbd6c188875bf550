/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end: honest until the input has it lie: with a value, a form, descriptors, an end within a message. Its turn
 * comes when the front-end waits: there is only one thread.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "front.h"

struct message {
	struct vu_header h;
	uint8_t bytes[VU_MAX_PAYLOAD];
	int fds[VU_MAX_FDS];
	unsigned nfds;
};

struct fuzz *fuzzed;
int area = -1, event = -1;

uint64_t take_number(struct input *in)
{
	uint8_t how = take8(in);

	switch (how & 3) {
	case 0:
		return how >> 2;
	case 1:
		return GPA + ((uint64_t)take8(in) << 8);
	case 2:
		return UINT64_MAX - (how >> 2);
	default:
		return (uint64_t)1 << (how >> 2);
	}
}

static void drop_fds(struct message *m)
{
	for (unsigned i = 0; i < m->nfds && i < VU_MAX_FDS; i++)
		vdev_os_close(m->fds[i]);
	m->nfds = 0;
}

void back_end_hang_up(struct fuzz *z)
{
	vdev_os_close(z->b.sock);
	vdev_os_close(z->b.channel);
	z->b.sock = z->b.channel = -1;
	z->strange = 1;
}

/* What the front-end says is always right. */
static void check_message(const struct fuzz *z, const struct message *m)
{
	const struct vu_entry *e = vu_find(m->h.request);
	uint64_t value;

	HOLDS(e != NULL && (m->h.flags & ~(uint32_t)VU_FLAG_NEED_REPLY) == VU_VERSION);
	HOLDS(m->h.size >= e->min && m->h.size <= e->max);
	HOLDS(m->nfds >= e->min_fds && m->nfds <= e->max_fds);
	HOLDS(e->needs < 0 || z->b.agreed >> e->needs & 1);
	HOLDS(!(m->h.flags & VU_FLAG_NEED_REPLY) || z->b.agreed >> VU_PROTO_REPLY_ACK & 1);
	memcpy(&value, m->bytes, sizeof(value));
	HOLDS(e->kind != VU_FD_BY_FLAG || (value & VU_NOFD ? 0u : 1u) == m->nfds);
	if (!z->strange && m->h.request == VU_SET_PROTOCOL_FEATURES)
		HOLDS((value & ~z->b.protocol) == 0);
	if (!z->strange && m->h.request == VU_SET_FEATURES)
		HOLDS((value & ~z->b.features) == 0);
}

/* Where the queue would go on. */
static uint32_t position(struct fuzz *z, unsigned i)
{
	struct queue *q = &z->q[i % QUEUES];
	struct virtq_state s;

	if (q->scratch == NULL)
		return 0;
	if (q->dev_scratch != NULL) {
		HOLDS(virtq_dev_state(&q->dev, &s) == 0);
	} else {
		virtq_drv_position(&q->drv, &s);
		s.used = s.avail;
	}
	return s.avail |
	       (virtq_features_has(&z->features, VIRTQ_F_RING_PACKED) ? (uint32_t)s.used << 16 : 0);
}

/* The honest answer's payload, or 0 bytes and no answer. *fd: what goes with it. */
static uint32_t honest(struct fuzz *z, const struct message *m, uint8_t *out, int *fd)
{
	union {
		struct vu_vring_state state;
		struct vu_config config;
		struct vu_inflight area;
		uint64_t value;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} a;
	uint32_t len = sizeof(a.value);

	memcpy(a.bytes, m->bytes, sizeof(a.bytes));
	switch (m->h.request) {
	case VU_GET_FEATURES:
		a.value = z->b.features;
		break;
	case VU_GET_PROTOCOL_FEATURES:
		a.value = z->b.protocol;
		break;
	case VU_GET_QUEUE_NUM:
		a.value = QUEUES;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		a.value = 8;
		break;
	case VU_GET_STATUS:
		a.value = z->b.status;
		break;
	case VU_GET_VRING_BASE:
		a.state.num = position(z, a.state.index);
		break;
	case VU_GET_CONFIG:
		for (uint32_t i = 0; i < a.config.size && i < VU_MAX_CONFIG; i++)
			a.config.bytes[i] = z->b.config[(a.config.offset + i) % CONFIG];
		len = m->h.size;
		break;
	case VU_GET_INFLIGHT_FD:
		a.area.mmap_size = AREA;
		a.area.mmap_offset = 0;
		*fd = area;
		len = m->h.size;
		break;
	default:
		a.value = 0;
		if (m->h.request != VU_SET_LOG_BASE && !(m->h.flags & VU_FLAG_NEED_REPLY))
			return 0;
	}
	memcpy(out, a.bytes, len);
	return len;
}

/* What a message does to the back-end. */
static void carry_out(struct fuzz *z, struct message *m)
{
	uint64_t value;

	memcpy(&value, m->bytes, sizeof(value));
	if (m->h.request == VU_SET_PROTOCOL_FEATURES)
		z->b.agreed = value;
	if (m->h.request == VU_SET_STATUS)
		z->b.status = value;
	if (m->h.request == VU_RESET_DEVICE)
		z->b.status = 0;
	if (m->h.request == VU_SET_BACKEND_REQ_FD && m->nfds == 1) {
		vdev_os_close(z->b.channel);
		z->b.channel = m->fds[0];
		m->nfds = 0;
	}
}

static void put(int sock, const struct message *m, size_t len)
{
	if (sock >= 0 && len > 0)
		(void)!vdev_os_send_fds(sock, m, len, m->fds, m->nfds, 0);
}

/* The planned lie, in place of the honest answer. */
static void lie(struct fuzz *z, struct message *m)
{
	size_t len = sizeof(m->h) + m->h.size;

	z->strange = 1;
	switch (z->lie % 10) {
	case 0:
		m->bytes[take8(&z->in) % 24] ^= take8(&z->in);
		break;
	case 1: {
		uint64_t n = take_number(&z->in);

		memcpy(m->bytes + (z->lie / 10 & 3) * 4, &n, sizeof(n));
		break;
	}
	case 2:
		m->h.request = take8(&z->in);
		break;
	case 3:
		m->h.flags = take8(&z->in);
		break;
	case 4:
		m->h.size = take8(&z->in);
		len = sizeof(m->h) + m->h.size;
		break;
	case 5:
		m->h.size = (uint32_t)take_number(&z->in);
		put(z->b.sock, m, len);
		/* And there is a lot of it. */
		for (unsigned n = take8(&z->in) % 8; n > 0 && z->b.sock >= 0; n--)
			(void)!send(z->b.sock, m->bytes, sizeof(m->bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	case 6:
		for (m->nfds = 0; m->nfds < 1u + z->lie / 10 % VU_MAX_FDS; m->nfds++)
			m->fds[m->nfds] = z->lie & 1 ? area : event;
		break;
	case 7:
		put(z->b.sock, m, take8(&z->in) % (len + 1));
		back_end_hang_up(z);
		return;
	case 8:
		put(z->b.sock, m, len);
		break;
	default:
		back_end_say(z);
	}
	put(z->b.sock, m, len);
}

static void answer(struct fuzz *z, const struct message *asked)
{
	struct message m = {.h = {asked->h.request, VU_VERSION | VU_FLAG_REPLY, 0}};
	int fd = -1;

	m.h.size = honest(z, asked, m.bytes, &fd);
	if (m.h.size == 0)
		return;
	m.nfds = fd >= 0;
	m.fds[0] = fd;
	if (z->lie_in > 0 && --z->lie_in == 0)
		lie(z, &m);
	else
		put(z->b.sock, &m, sizeof(m.h) + m.h.size);
}

void back_end_turn(struct fuzz *z)
{
	struct message m;
	uint8_t sink[256];
	unsigned n;

	while (z->b.sock >= 0) {
		memset(m.bytes, 0, sizeof(m.bytes));
		if (vdev_os_recv_fds(z->b.sock, &m.h, sizeof(m.h), m.fds, VU_MAX_FDS, &m.nfds) !=
		    sizeof(m.h))
			break;
		HOLDS(m.h.size <= sizeof(m.bytes) && m.nfds <= VU_MAX_FDS);
		HOLDS(m.h.size == 0 ||
		      recv(z->b.sock, m.bytes, m.h.size, MSG_DONTWAIT) == (ssize_t)m.h.size);
		check_message(z, &m);
		carry_out(z, &m);
		answer(z, &m);
		drop_fds(&m);
	}
	while (z->b.channel >= 0 && vdev_os_recv_fds(z->b.channel, sink, sizeof(sink), NULL, 0, &n) > 0)
		;
}

/* In place of libc's: where the front-end waits, it is the back-end's turn. One that has nothing to say goes. */
int poll(struct pollfd *p, nfds_t n, int ms)
{
	const struct timespec none = {0, 0};
	long rc;

	(void)ms;
	if (fuzzed != NULL)
		back_end_turn(fuzzed);
	rc = syscall(SYS_ppoll, p, n, &none, NULL, 0);
	if (rc == 0 && fuzzed != NULL) {
		back_end_hang_up(fuzzed);
		rc = syscall(SYS_ppoll, p, n, &none, NULL, 0);
	}
	return (int)rc;
}

void back_end_say(struct fuzz *z)
{
	uint8_t how = take8(&z->in);
	static const uint8_t requests[] = {VU_BE_CONFIG_CHANGE, VU_BE_VRING_CALL, VU_BE_VRING_ERR,
	                                   VU_BE_IOTLB_MSG};
	struct message m = {
		.h = {requests[how & 3], VU_VERSION | (how & 4 ? VU_FLAG_NEED_REPLY : 0), 0}};
	struct vu_vring_state state = {how >> 3 & 3, 0};
	struct vu_iotlb io = {.perm = how >> 3 & 3,
	                      .type = how & 32 ? VU_IOTLB_ACCESS_FAIL : VU_IOTLB_MISS};

	z->strange = 1; /* not all of it may come now */
	if (m.h.request == VU_BE_IOTLB_MSG) {
		io.iova = take_number(&z->in);
		m.h.size = sizeof(io);
		memcpy(m.bytes, &io, sizeof(io));
	} else if (m.h.request != VU_BE_CONFIG_CHANGE) {
		m.h.size = sizeof(state);
		memcpy(m.bytes, &state, sizeof(state));
	}
	if (how & 64)
		((uint8_t *)&m.h)[take8(&z->in) % sizeof(m.h)] = take8(&z->in);
	put(how & 128 ? z->b.sock : z->b.channel, &m,
	    sizeof(m.h) + (m.h.size < sizeof(m.bytes) ? m.h.size : sizeof(m.bytes)));
}
