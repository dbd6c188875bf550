/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the hosted part needs of Linux, in one place. Not installed. All results: >= 0, or -errno.
 * Descriptors that are made here are close-on-exec.
 */
#ifndef VDEV_OS_OS_H
#define VDEV_OS_OS_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <virtq/error.h>

/* --- event and timer descriptors, not blocking --------------------------- */

/* An eventfd. */
VIRTQ_MUST_CHECK int vdev_os_eventfd(void);
/* Make an eventfd of our own readable. Any thread, signal handlers too (errno is kept). */
void vdev_os_signal(int fd);
/* Make an eventfd or timer not readable. Returns what it counted, 0 when it was not readable. */
uint64_t vdev_os_drain(int fd);
/*
 * The same for an eventfd that came from somebody else, who may have left it blocking or reads it as well. Never
 * waits.
 */
uint64_t vdev_os_drain_foreign(int fd);
/*
 * What makes eventfds readable that somebody else holds as well, without ever waiting. @p idle is an eventfd of our own
 * that outlives it. Any number of threads ring; giving one up takes the kernel some 30 ms, so one for an object. There is
 * no failure: where the kernel does not help, a hostile holder has a chance to make the ringing thread wait.
 */
struct vdev_os_bell {
	unsigned long ctx; /* 0: none */
	int idle;
};
void vdev_os_bell_init(struct vdev_os_bell *b, int idle);
void vdev_os_bell_free(struct vdev_os_bell *b);
void vdev_os_bell_ring(const struct vdev_os_bell *b, int fd);
/* A timer (CLOCK_MONOTONIC), not set. */
VIRTQ_MUST_CHECK int vdev_os_timer(void);
/* Readable @p ns from now (0: at once); UINT64_MAX: never. */
void vdev_os_timer_set(int fd, uint64_t ns);
/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t vdev_os_now(void);

/* Duplicate, close-on-exec. */
VIRTQ_MUST_CHECK int vdev_os_dup(int fd);
/* Close when >= 0; errno is kept. */
void vdev_os_close(int fd);
/* Set or clear O_NONBLOCK of the open file description. */
VIRTQ_MUST_CHECK int vdev_os_nonblock(int fd, int on);

/* --- epoll, with a pointer for each descriptor ----------------------------- */

VIRTQ_MUST_CHECK int vdev_os_epoll(void);
VIRTQ_MUST_CHECK int vdev_os_epoll_add(int ep, int fd, void *ctx);
void vdev_os_epoll_del(int ep, int fd);
/* As vdev_os_epoll_del, for a number that may be closed, or somebody else's file, by now. */
void vdev_os_epoll_forget(int ep, int fd);

/* --- threads ---------------------------------------------------------------- */

/*
 * Start a thread with all signals blocked. @p name: at most 15 characters, shown by ps. VIRTQ_ENOMEM: no more
 * threads.
 */
VIRTQ_MUST_CHECK int vdev_os_thread(pthread_t *out, const char *name, void *(*fn)(void *),
                                    void *arg);

/* --- Unix stream sockets, not blocking --------------------------------------- */

/*
 * Listen on @p path. A socket that nobody listens on any more is replaced. -EADDRINUSE: somebody listens there;
 * -EEXIST: something there is not a socket; -ENAMETOOLONG.
 */
VIRTQ_MUST_CHECK int vdev_os_sock_listen(const char *path);
/*
 * Connect to @p path. Waits up to @p timeout_ms while the other side's backlog is full (-1: for ever), then -ETIMEDOUT.
 * -ENOENT, -ECONNREFUSED, -ENAMETOOLONG; never -EAGAIN.
 */
VIRTQ_MUST_CHECK int vdev_os_sock_connect(const char *path, int timeout_ms);
/* -EAGAIN: nobody is waiting. */
VIRTQ_MUST_CHECK int vdev_os_sock_accept(int fd);
/*
 * Receive at most @p len bytes and at most @p max descriptors with them (close-on-exec); descriptors beyond @p max are
 * closed, and *nfds then is max + 1. Returns bytes, 0 at the end of the stream, -EAGAIN when there is nothing. *nfds
 * is set in every case; the caller owns fds[0 .. min(*nfds, max) - 1]. max <= VDEV_OS_FDS.
 */
#define VDEV_OS_FDS 64
VIRTQ_MUST_CHECK ssize_t vdev_os_recv_fds(int sock, void *buf, size_t len, int *fds, unsigned max,
                                          unsigned *nfds);
/*
 * Send all @p len bytes (at least 1) and @p nfds descriptors with the first of them; waits up to @p timeout_ms for
 * room when the socket is full (-1: for ever). Returns 0, -EPIPE, -ETIMEDOUT. No SIGPIPE is raised.
 */
VIRTQ_MUST_CHECK int vdev_os_send_fds(int sock, const void *buf, size_t len, const int *fds,
                                      unsigned nfds, int timeout_ms);

/* --- memory ------------------------------------------------------------------ */

/* A mapping of a file; offset and length need not be page-aligned. */
struct vdev_os_map {
	void *addr; /* the byte at the offset that was asked for */
	size_t len; /* as asked for */
	void *base; /* what is really mapped: page-aligned */
	size_t total;
};

/*
 * Map [@p offset, @p offset + @p len) of @p fd shared. -EINVAL: wraps, or the file is shorter (a regular file or
 * memfd; for others the kernel decides). The descriptor may be closed afterwards.
 */
VIRTQ_MUST_CHECK int vdev_os_map(struct vdev_os_map *out, int fd, uint64_t offset, uint64_t len,
                                 int write);
/* Private anonymous memory, page-aligned. */
VIRTQ_MUST_CHECK int vdev_os_map_anon(struct vdev_os_map *out, size_t len);
void vdev_os_unmap(struct vdev_os_map *map);
/* A memfd of @p bytes bytes that is sealed against shrinking and growing. */
VIRTQ_MUST_CHECK int vdev_os_memfd(const char *name, uint64_t bytes);
/* 1 when @p fd can't shrink any more (F_SEAL_SHRINK), else 0. */
int vdev_os_sealed(int fd);
/* 1 when @p fd is a file in memory (memfd, tmpfs, hugetlbfs), which nobody else has to answer for. Never waits. */
int vdev_os_in_memory(int fd);
/* Size of the file behind @p fd. */
VIRTQ_MUST_CHECK int vdev_os_size(int fd, uint64_t *out);

#endif
