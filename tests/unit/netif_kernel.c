/* SPDX-License-Identifier: BSD-3-Clause */
#include "netif_kernel.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Newer than some headers. */
#define IGNORE_OUTGOING        23
#define FANOUT_IGNORE_OUTGOING 0x4000

struct kernel kernel;
static int xdp_sockets; /* since the calls are counted */
static int bound_again; /* the next bind() tries once more what was busy, who knows how often */

static int refuses(const char *what, int optional)
{
	if (kernel.calls == 0)
		xdp_sockets = 0;
	if (++kernel.calls != kernel.at)
		return 0;
	kernel.what = what;
	kernel.optional = optional;
	errno = KERNEL_ODD;
	return 1;
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	if (refuses("socket", 0))
		return -1;
	xdp_sockets += domain == AF_XDP;
	bound_again = 0;
	return __real_socket(domain, type, protocol);
}

int __real_bind(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len)
{
	int rc;

	if (!bound_again && refuses("bind", 0))
		return -1;
	rc = __real_bind(fd, a, len);
	bound_again = rc < 0 && errno == EBUSY;
	return rc;
}

static int is_unknown(int level, int name, const void *value)
{
	return kernel.old && level == SOL_PACKET &&
	       (name == IGNORE_OUTGOING ||
	        (name == PACKET_FANOUT && (*(const int *)value >> 16 & FANOUT_IGNORE_OUTGOING)));
}

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	void (*joining)(void) = kernel.joining;

	if (refuses("setsockopt",
	            (level == SOL_PACKET && name == IGNORE_OUTGOING) ||
	                (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_SNDBUFFORCE))))
		return -1;
	if (is_unknown(level, name, value)) {
		errno = EINVAL;
		return -1;
	}
	if (level == SOL_PACKET && name == PACKET_FANOUT && joining != NULL) {
		kernel.joining = NULL;
		joining();
	}
	kernel.spreads += level == SOL_PACKET && name == PACKET_FANOUT_DATA;
	return __real_setsockopt(fd, level, name, value, len);
}

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return refuses("getsockopt", 0) ? -1 : __real_getsockopt(fd, level, name, value, len);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	kernel.names += request == SIOCGIFNAME;
	/* What is not known of an interface is not told. */
	return refuses("ioctl", request != SIOCGIFINDEX) ? -1 : __real_ioctl(fd, request, arg);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
	return refuses("epoll_create1", 0) ? -1 : __real_epoll_create1(flags);
}

int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
	/* The others need no memory. */
	return op == EPOLL_CTL_ADD && refuses("epoll_ctl", 0) ? -1 : __real_epoll_ctl(ep, op, fd, e);
}

int __real_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	int rc = __real_pthread_mutex_init(m, attr);

	/* Those of an XDP queue need nothing that could be missing. */
	return refuses("pthread_mutex_init", xdp_sockets > 0) ? KERNEL_ODD : rc;
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
	const union bpf_attr *attr;
	unsigned long size;
	va_list args;
	int cmd;

	va_start(args, nr);
	cmd = va_arg(args, int);
	attr = va_arg(args, const union bpf_attr *);
	size = va_arg(args, unsigned long);
	va_end(args);
	/* What the driver refuses may go in the general place. */
	if (nr == SYS_bpf &&
	    refuses("bpf", cmd == BPF_LINK_CREATE && !(attr->link_create.flags & XDP_FLAGS_SKB_MODE)))
		return -1;
	return __real_syscall(nr, cmd, attr, size);
}

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (refuses("mmap", 0))
		return MAP_FAILED;
	p = __real_mmap(at, len, prot, flags, fd, offset);
	kernel.mappings += p != MAP_FAILED;
	if (p != MAP_FAILED && fd >= 0)
		kernel.shared = p;
	return p;
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	kernel.mappings--;
	return __real_munmap(at, len);
}

ssize_t __real_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *a,
                      socklen_t alen);
ssize_t __wrap_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *a,
                      socklen_t alen);
ssize_t __wrap_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *a,
                      socklen_t alen)
{
	if (kernel.busy) {
		errno = EAGAIN;
		return -1;
	}
	return __real_sendto(fd, data, len, flags, a, alen);
}
