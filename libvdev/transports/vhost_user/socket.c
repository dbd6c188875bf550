/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages in and out, and the descriptors that come with them. A message is collected piece by piece without ever
 * waiting, and looked at when all of it is there; only its header is judged before, so that no more is read than the
 * table allows.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vu.h"

int vu_poll_add(struct vdev_vhost_user *vu, int fd, uint32_t events, struct vu_source *s)
{
	struct epoll_event ev = {.events = events, .data = {.ptr = s}};

	return epoll_ctl(vu->ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* Any thread. */
void vu_poll_set(struct vdev_vhost_user *vu, int fd, uint32_t events, struct vu_source *s)
{
	struct epoll_event ev = {.events = events, .data = {.ptr = s}};

	(void)epoll_ctl(vu->ep, EPOLL_CTL_MOD, fd, &ev);
}

/* Before a descriptor is closed: the other side may keep its file open, and with it our registration. */
void vu_poll_del(struct vdev_vhost_user *vu, int fd)
{
	(void)epoll_ctl(vu->ep, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * Read messages, or leave them in the socket while one is being carried out. A connection that can't be watched (any
 * more) would hang: it ends.
 */
void vu_watch(struct vdev_vhost_user *vu, int on)
{
	if (vu->fd < 0 || vu->watched == on)
		return;
	if (!on)
		vu_poll_del(vu, vu->fd);
	vu->watched = on;
	if (on && vu_poll_add(vu, vu->fd, EPOLLIN, &vu->connection_source) < 0) {
		vu->watched = 0;
		vu_close(vu, "the connection can't be polled");
	}
}

void vu_drop_fds(struct vu_message *m)
{
	for (unsigned i = 0; i < m->nfds; i++)
		vdev_os_close(m->fds[i]);
	m->nfds = 0;
}

/* The message's first descriptor becomes the caller's; -1 when there is none. */
int vu_take_fd(struct vu_message *m)
{
	int fd = -1;

	if (m->nfds > 0) {
		fd = m->fds[0];
		m->fds[0] = -1;
	}
	return fd;
}

/* Descriptors first: whatever is wrong with the message, they are ours to close. */
static int receive_some(struct vdev_vhost_user *vu, size_t want)
{
	struct vu_message *m = &vu->m;
	int fds[VU_MAX_FDS];
	unsigned n = 0;
	ssize_t got;
	char *at;

	if (m->have < sizeof(m->h))
		at = (char *)&m->h + m->have;
	else
		at = (char *)m->bytes + (m->have - sizeof(m->h));
	got = vdev_os_recv_fds(vu->fd, at, want - m->have, fds, VU_MAX_FDS, &n);
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
	if (got <= 0) {
		vu->why = m->have == 0 ? "the front-end went" : "the front-end went within a message";
		return VIRTQ_EIO;
	}
	if (n > VU_MAX_FDS)
		return vu_refuse(vu, "more descriptors than a message can have");
	m->have += (size_t)got;
	return 0;
}

static int judge_header(struct vdev_vhost_user *vu)
{
	struct vu_message *m = &vu->m;

	if ((m->h.flags & 3) != VU_VERSION)
		return vu_refuse(vu, "message of an unknown version");
	if (m->h.flags & VU_FLAG_REPLY)
		return vu_refuse(vu, "an answer that nobody asked for");
	m->entry = vu_find(m->h.request);
	if (m->entry == NULL)
		return vu_refuse(vu, "unknown message");
	if (m->h.size < m->entry->min || m->h.size > m->entry->max)
		return vu_refuse(vu, "message of a wrong size");
	return 0;
}

/* Collect one message. 1: it is there; 0: not yet; < 0: the connection is to be closed. */
static int receive_one(struct vdev_vhost_user *vu)
{
	struct vu_message *m = &vu->m;
	int rc = 0;

	while (rc == 0) {
		if (m->have < sizeof(m->h)) {
			rc = receive_some(vu, sizeof(m->h));
			if (rc == 0 && m->have == sizeof(m->h))
				rc = judge_header(vu);
			continue;
		}
		if (m->have == sizeof(m->h) + m->h.size)
			return 1;
		rc = receive_some(vu, sizeof(m->h) + m->h.size);
	}
	return rc == VIRTQ_EAGAIN ? 0 : rc;
}

/* Read and carry out messages, a bounded number of them. */
void vu_receive(struct vdev_vhost_user *vu)
{
	for (int i = 0; i < 16 && vu->fd >= 0 && vu->then == NULL; i++) {
		int rc = receive_one(vu);

		if (rc == 0) {
			vu_iotlb_judge(vu);
			return;
		}
		if (rc < 0) {
			vu_close(vu, vu->why);
			return;
		}
		vu_dispatch(vu);
	}
}

/* Answer the message. A front-end that does not read its answers is not waited for. */
int vu_send(struct vdev_vhost_user *vu, const void *payload, size_t len)
{
	struct {
		struct vu_header h;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} out;

	out.h.request = vu->m.h.request;
	out.h.flags = VU_VERSION | VU_FLAG_REPLY;
	out.h.size = (uint32_t)len;
	if (len > 0)
		memcpy(out.bytes, payload, len);
	return vdev_os_send_fds(vu->fd, &out, sizeof(out.h) + len, &vu->reply_fd, vu->reply_fd >= 0, 0);
}

int vu_slot_init(struct vdev_vhost_user *vu, struct vu_slot *s)
{
	s->fd = vdev_os_dup(vu->dummy);
	s->set = VU_NOTIFY_NONE;
	return s->fd < 0 ? s->fd : 0;
}

/*
 * Whether notifications may go through @p fd: an eventfd, which like its kin has no file type. Not something with
 * contents, nor a pipe, whose reader may go and leave us a SIGPIPE. (That it does not block holds as long as the
 * front-end leaves it so: nobody relies on that.)
 */
int vu_notifiable(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0 && vdev_os_nonblock(fd, 1) >= 0;
}

/* Point the slot to @p fd, which is closed in every case; -1: to nowhere. */
int vu_slot_set(struct vdev_vhost_user *vu, struct vu_slot *s, int fd)
{
	int rc = 0;

	if (fd >= 0 && !vu_notifiable(fd))
		rc = VIRTQ_EINVAL;
	if (rc == 0) {
		if (fd < 0)
			__atomic_store_n(&s->set, VU_NOTIFY_NONE, __ATOMIC_RELEASE);
		if (dup3(fd >= 0 ? fd : vu->dummy, s->fd, O_CLOEXEC) < 0)
			rc = -errno;
		else if (fd >= 0)
			__atomic_store_n(&s->set, VU_NOTIFY_FD, __ATOMIC_RELEASE);
	}
	vdev_os_close(fd);
	return rc;
}

/* Any thread. What can't be notified is not worth a word: the front-end took its end away. */
void vu_slot_signal(const struct vdev_vhost_user *vu, const struct vu_slot *s)
{
	vdev_os_bell_ring(&vu->bell, s->fd);
}
