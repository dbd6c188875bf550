/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix sockets, and descriptors over them. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os.h"

static int set_path(struct sockaddr_un *sa, const char *path)
{
	size_t n = strlen(path);

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (n == 0)
		return -ENOENT;
	if (n >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	memcpy(sa->sun_path, path, n);
	return 0;
}

/* Have a connect that blocks end in time; 1: that is over. */
static int limit_to(int fd, uint64_t end)
{
	uint64_t now = vdev_os_now(), us;
	struct timeval tv;

	if (now >= end)
		return 1;
	us = (end - now) / 1000u + 1; /* none is for ever */
	tv = (struct timeval){(time_t)(us / 1000000u), (suseconds_t)(us % 1000000u)};
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

/* Connect a socket that blocks if there is something to wait for. What a signal interrupts goes on for the rest of the time. */
static int connect_in_time(int fd, const struct sockaddr_un *sa, int timeout_ms)
{
	uint64_t end = vdev_os_now() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;

	do {
		int rc = timeout_ms > 0 ? limit_to(fd, end) : 0;

		if (rc != 0)
			return rc < 0 ? rc : -ETIMEDOUT;
		if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
			return 0;
	} while (errno == EINTR);
	return errno == EAGAIN ? -ETIMEDOUT : -errno;
}

/* Connect within this time: 0: at once or not at all; < 0: for ever. A backlog that stays full is -ETIMEDOUT. */
static int connect_to(const struct sockaddr_un *sa, int timeout_ms)
{
	int block = timeout_ms != 0 ? 0 : SOCK_NONBLOCK;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | block, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect_in_time(fd, sa, timeout_ms);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

/* Whether a stale socket lies at the path: 1 yes, 0 nothing there, or why it can't be taken away. */
static int stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = connect_to(sa, 0);
	if (fd == -ECONNREFUSED)
		return 1;
	if (fd == -ENOENT)
		return 0;
	vdev_os_close(fd);
	/* Connected, or a backlog that is full: somebody is there. */
	return fd >= 0 || fd == -ETIMEDOUT ? -EADDRINUSE : fd;
}

/*
 * Two daemons that start together must not take away each other's fresh socket, so looking, removing, binding and
 * listening happen under a lock on the folder.
 */
static int lock_folder(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;
	int fd;

	strcpy(dir, path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		strcpy(dir, ".");
	else if (slash == dir)
		dir[1] = '\0';
	else
		*slash = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			break;
	return fd;
}

static int listen_locked(const struct sockaddr_un *sa)
{
	int rc = stale(sa);
	int fd;

	if (rc < 0)
		return rc;
	if (rc == 1 && unlink(sa->sun_path) < 0 && errno != ENOENT)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 || listen(fd, 16) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int vdev_os_sock_listen(const char *path)
{
	struct sockaddr_un sa;
	int rc = set_path(&sa, path);
	int lock;

	if (rc < 0)
		return rc;
	lock = lock_folder(sa.sun_path);
	if (lock < 0)
		return lock;
	rc = listen_locked(&sa);
	close(lock);
	return rc;
}

int vdev_os_sock_connect(const char *path, int timeout_ms)
{
	struct sockaddr_un sa;
	int rc = set_path(&sa, path);
	int fd;

	if (rc < 0)
		return rc;
	fd = connect_to(&sa, timeout_ms);
	if (fd < 0)
		return fd;
	rc = vdev_os_nonblock(fd, 1);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

int vdev_os_sock_accept(int fd)
{
	int got;

	/* A peer that is gone again before it was accepted is no error of ours. */
	do
		got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (got < 0 && (errno == EINTR || errno == ECONNABORTED));
	return got < 0 ? -errno : got;
}

union fd_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE((VDEV_OS_FDS + 1) * sizeof(int))];
};

/* Take the descriptors out of a message; beyond max they are closed. */
static unsigned take_fds(struct msghdr *msg, int *fds, unsigned max)
{
	unsigned n = 0;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < max)
				fds[n] = fd;
			else
				close(fd);
			n += n <= max;
		}
	}
	/* The kernel dropped some: too many, or no room for them in this process. */
	if (msg->msg_flags & MSG_CTRUNC)
		n = max + 1;
	return n;
}

ssize_t vdev_os_recv_fds(int sock, void *buf, size_t len, int *fds, unsigned max, unsigned *nfds)
{
	union fd_control control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned taken;
	ssize_t got;

	*nfds = 0;
	if (max > VDEV_OS_FDS)
		return -EINVAL;
	do {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (unsigned i = 0; i < max; i++)
		fds[i] = -1;
	taken = take_fds(&msg, fds, max);
	*nfds = taken;
	return got;
}

static int wait_writable(int sock, uint64_t deadline)
{
	struct pollfd p = {.fd = sock, .events = POLLOUT};
	int ms = -1;

	if (deadline != UINT64_MAX) {
		uint64_t now = vdev_os_now();

		if (now >= deadline)
			return -ETIMEDOUT;
		ms = (int)((deadline - now) / 1000000u) + 1;
	}
	return poll(&p, 1, ms) < 0 && errno != EINTR ? -errno : 0;
}

int vdev_os_send_fds(int sock, const void *buf, size_t len, const int *fds, unsigned nfds,
                     int timeout_ms)
{
	uint64_t deadline = UINT64_MAX;
	union fd_control control;
	size_t sent = 0;

	if (len == 0 || nfds > VDEV_OS_FDS)
		return -EINVAL;
	if (timeout_ms >= 0)
		deadline = vdev_os_now() + (uint64_t)timeout_ms * 1000000u;
	memset(&control, 0, sizeof(control));
	while (sent < len) {
		struct iovec iov = {.iov_base = (char *)(uintptr_t)buf + sent, .iov_len = len - sent};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		/* Descriptors go with the first byte, exactly once. */
		if (sent == 0 && nfds > 0) {
			control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
			control.align.cmsg_level = SOL_SOCKET;
			control.align.cmsg_type = SCM_RIGHTS;
			memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
			msg.msg_control = control.buf;
			msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		}
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			int rc = wait_writable(sock, deadline);

			if (rc < 0)
				return rc;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
