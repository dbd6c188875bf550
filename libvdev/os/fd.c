/* SPDX-License-Identifier: BSD-3-Clause */
/* Event, timer and epoll descriptors; threads. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os.h"

static int result(int rc)
{
	return rc < 0 ? -errno : rc;
}

int vdev_os_eventfd(void)
{
	return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void vdev_os_signal(int fd)
{
	int saved = errno;
	uint64_t one = 1;

	/* The only failure of a valid eventfd is a full counter: then it is readable already. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	errno = saved;
}

uint64_t vdev_os_drain(int fd)
{
	uint64_t n = 0;
	ssize_t got;

	do
		got = read(fd, &n, sizeof(n));
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(n) ? n : 0;
}

uint64_t vdev_os_drain_foreign(int fd)
{
	uint64_t n = 0;
	struct iovec iov = {.iov_base = &n, .iov_len = sizeof(n)};
	ssize_t got;

	do
		got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EOPNOTSUPP) {
		/* Not an eventfd, or an old kernel. */
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (vdev_os_nonblock(fd, 1) == 0 && poll(&p, 1, 0) == 1)
			return vdev_os_drain(fd);
		return 0;
	}
	return got == (ssize_t)sizeof(n) ? n : 0;
}

int vdev_os_timer(void)
{
	return result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

void vdev_os_timer_set(int fd, uint64_t ns)
{
	struct itimerspec t = {{0, 0}, {0, 0}};

	if (ns != UINT64_MAX) {
		/* All zero would disarm. The kernel takes seconds up to the range of its clock only. */
		uint64_t s = ns / 1000000000u;

		t.it_value.tv_sec = s > INT32_MAX ? INT32_MAX : (time_t)s;
		t.it_value.tv_nsec = (long)(ns % 1000000000u);
		if (ns == 0)
			t.it_value.tv_nsec = 1;
	}
	(void)timerfd_settime(fd, 0, &t, NULL);
}

uint64_t vdev_os_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int vdev_os_dup(int fd)
{
	return result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void vdev_os_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

int vdev_os_nonblock(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return result(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

int vdev_os_epoll(void)
{
	return result(epoll_create1(EPOLL_CLOEXEC));
}

int vdev_os_epoll_add(int ep, int fd, void *ctx)
{
	struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = ctx}};

	return result(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
}

void vdev_os_epoll_del(int ep, int fd)
{
	struct epoll_event ev = {.events = 0};

	(void)epoll_ctl(ep, EPOLL_CTL_DEL, fd, &ev);
}

void vdev_os_epoll_forget(int ep, int fd)
{
	struct epoll_event ev = {.events = 0};

	/* The kernel looks for the number and its file together. ThreadSanitizer would see a use of the new file. */
	(void)syscall(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, fd, &ev);
}

int vdev_os_thread(pthread_t *out, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int rc;

	/*
	 * The new thread inherits the mask: no window in which it could take a signal. Not those that an access of its
	 * own raises: blocked, they would end the process although the embedder has a handler.
	 */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGTRAP);
	rc = pthread_sigmask(SIG_SETMASK, &all, &old);
	if (rc != 0)
		return -rc;
	rc = pthread_create(out, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* Too many threads, or no stack for one more. VIRTQ_EAGAIN says something else. */
	if (rc == EAGAIN)
		return VIRTQ_ENOMEM;
	if (rc != 0)
		return -rc;
	(void)pthread_setname_np(*out, name);
	return 0;
}
