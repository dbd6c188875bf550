/* SPDX-License-Identifier: BSD-3-Clause */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "config.h"
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

enum { MOST = 1000, MAGIC = 0x616c6c6f };
enum mode { ONE, LASTING };

static struct {
	enum mode mode;
	unsigned n;
	atomic_int paused; /* > 0: nothing is counted */
	atomic_int hosted; /* malloc counts: Check, which is linked in too, uses it at any time */
	atomic_uint count, hits;
	unsigned retries;
	_Atomic(const char *) where;
	atomic_long memory, mappings;
	atomic_ullong clock;
} now = {.paused = 1};

/* 1: this allocation is to fail. */
static int fails(const char *what)
{
	unsigned count;

	if (atomic_load(&now.paused) > 0)
		return 0;
	count = atomic_fetch_add(&now.count, 1) + 1;
	if (now.mode == ONE ? count != now.n : count < now.n)
		return 0;
	if (atomic_fetch_add(&now.hits, 1) == 0)
		atomic_store(&now.where, what);
	return 1;
}

void *__real_malloc(size_t bytes);

/* --- memory through the environment --------------------------------------------------------------- */

struct block {
	size_t bytes;
	uint64_t magic;
};

static void *env_alloc(void *ctx, size_t bytes)
{
	struct block *b;

	(void)ctx;
	if (fails("memory"))
		return NULL;
	b = __real_malloc(sizeof(*b) + bytes);
	ck_assert_ptr_nonnull(b);
	*b = (struct block){bytes, MAGIC};
	memset(b + 1, 0xa5, bytes); /* nothing relies on zeroes */
	atomic_fetch_add(&now.memory, 1);
	return b + 1;
}

static void env_free(void *ctx, void *p, size_t bytes)
{
	struct block *b = (struct block *)p - 1;

	(void)ctx;
	ck_assert_uint_eq(b->magic, MAGIC);
	ck_assert_uint_eq(b->bytes, bytes);
	b->magic = 0;
	atomic_fetch_sub(&now.memory, 1);
	free(b);
}

static uint64_t env_now(void *ctx)
{
	(void)ctx;
	return atomic_fetch_add(&now.clock, 5000) + 5000;
}

/* INJECT_LOG=1 shows what the library says. */
static void env_log(void *ctx, const struct vdev_log_entry *e)
{
	(void)ctx;
	if (getenv("INJECT_LOG") != NULL)
		fprintf(stderr, "# %u (%s) %s: %s (error %d, queue %d)\n", now.n, now.where, e->source,
		        e->text, e->error, e->queue);
}

const struct vdev_env *inject_env(void)
{
	static const struct vdev_env env = {
		.size = sizeof(env), .alloc = env_alloc, .free = env_free, .log = env_log, .now = env_now};

	return &env;
}

/* --- what the linker brings here ------------------------------------------------------------------ */

#define FAIL(what, error)                                                                          \
	do {                                                                                           \
		if (fails(what)) {                                                                         \
			errno = (error);                                                                       \
			return -1;                                                                             \
		}                                                                                          \
	} while (0)

void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return atomic_load(&now.hosted) && fails("malloc") ? NULL : __real_malloc(bytes);
}

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
	FAIL("eventfd", EMFILE);
	return __real_eventfd(count, flags);
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
	FAIL("timerfd_create", EMFILE);
	return __real_timerfd_create(clock, flags);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
	FAIL("epoll_create1", EMFILE);
	return __real_epoll_create1(flags);
}

int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
	/* max_user_watches. Changing and taking away need no memory. */
	if (op == EPOLL_CTL_ADD)
		FAIL("epoll_ctl", ENOSPC);
	return __real_epoll_ctl(ep, op, fd, e);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (command == F_DUPFD_CLOEXEC || command == F_DUPFD)
		FAIL("dup", EMFILE);
	return __real_fcntl(fd, command, arg);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	FAIL("open", EMFILE);
	return __real_open(path, flags, 0);
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	FAIL("socket", EMFILE);
	return __real_socket(domain, type, protocol);
}

int __real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	FAIL("accept4", EMFILE);
	return __real_accept4(fd, addr, len, flags);
}

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags)
{
	FAIL("memfd_create", EMFILE);
	return __real_memfd_create(name, flags);
}

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (fails("mmap")) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	p = __real_mmap(at, len, prot, flags, fd, offset);
	if (p != MAP_FAILED)
		atomic_fetch_add(&now.mappings, 1);
	return p;
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	atomic_fetch_sub(&now.mappings, 1);
	return __real_munmap(at, len);
}

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
	return fails("pthread_create") ? EAGAIN : __real_pthread_create(out, attr, fn, arg);
}

#ifdef HAVE_LIBURING
int __real_io_uring_queue_init_params(unsigned n, struct io_uring *r, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *r, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *r, struct io_uring_params *p)
{
	return fails("io_uring_setup") ? -ENOMEM : __real_io_uring_queue_init_params(n, r, p);
}

int __real_io_uring_register_files_sparse(struct io_uring *r, unsigned n);
int __wrap_io_uring_register_files_sparse(struct io_uring *r, unsigned n);
int __wrap_io_uring_register_files_sparse(struct io_uring *r, unsigned n)
{
	return fails("register_files") ? -ENOMEM : __real_io_uring_register_files_sparse(r, n);
}

int __real_io_uring_register_buffers(struct io_uring *r, const struct iovec *iov, unsigned n);
int __wrap_io_uring_register_buffers(struct io_uring *r, const struct iovec *iov, unsigned n);
int __wrap_io_uring_register_buffers(struct io_uring *r, const struct iovec *iov, unsigned n)
{
	return fails("register_buffers") ? -ENOMEM : __real_io_uring_register_buffers(r, iov, n);
}
#endif

/* --- the driver ----------------------------------------------------------------------------------- */

void inject_pause(void)
{
	atomic_fetch_add(&now.paused, 1);
}

void inject_go_on(void)
{
	atomic_fetch_sub(&now.paused, 1);
}

void inject_hosted(int on)
{
	atomic_store(&now.hosted, on);
}

int inject_hit(void)
{
	return atomic_load(&now.hits) > 0;
}

const char *inject_what(void)
{
	static char what[64];

	snprintf(what, sizeof(what), "allocation %u (%s)", now.n, now.where);
	return what;
}

int inject_lasting(void)
{
	return now.mode == LASTING;
}

int inject_again(int rc)
{
	if (rc >= 0)
		return 0;
	ck_assert_msg(inject_hit(), "failed by itself: %d", rc);
	ck_assert_msg(rc == VIRTQ_ENOMEM || rc == -EMFILE || rc == VIRTQ_ENOSPC,
	              "allocation %u (%s): no clean error: %d", now.n, now.where, rc);
	if (inject_lasting())
		return 0;
	ck_assert_msg(now.retries++ == 0, "allocation %u (%s): the second attempt failed too, %d",
	              now.n, now.where, rc);
	return 1;
}

/* How many allocations there were. */
static unsigned run(const char *name, inject_scenario scenario, enum mode mode, unsigned n)
{
	unsigned fds = test_descriptors();
	int rc;
	long memory = atomic_load(&now.memory), mappings = atomic_load(&now.mappings);

	now.mode = mode;
	now.n = n;
	now.retries = 0;
	atomic_store(&now.count, 0);
	atomic_store(&now.hits, 0);
	atomic_store(&now.where, NULL);
	inject_go_on();
	rc = scenario();
	inject_pause();
	if (!inject_hit() || mode == ONE)
		ck_assert_msg(rc == 0, "%s, allocation %u (%s): ended with %d", name, n, now.where, rc);
	ck_assert_msg(atomic_load(&now.memory) == memory, "%s, allocation %u (%s): %ld blocks left",
	              name, n, now.where, atomic_load(&now.memory) - memory);
	ck_assert_msg(test_descriptors() == fds, "%s, allocation %u (%s): %u descriptors then", name, n,
	              now.where, test_descriptors());
	ck_assert_msg(atomic_load(&now.mappings) == mappings,
	              "%s, allocation %u (%s): %ld mappings left", name, n, now.where,
	              atomic_load(&now.mappings) - mappings);
	return atomic_load(&now.count);
}

void inject_run(const char *name, inject_scenario scenario, unsigned at_least)
{
	unsigned all = run(name, scenario, ONE, MOST);

	ck_assert_msg(all >= at_least && all < MOST, "%s: %u allocations, not %u", name, all, at_least);
	for (int mode = ONE; mode <= LASTING; mode++) {
		unsigned n = 0;

		do {
			ck_assert_uint_lt(++n, MOST);
			(void)run(name, scenario, (enum mode)mode, n);
		} while (inject_hit());
		ck_assert_msg(n > at_least, "%s: only %u allocations", name, n - 1);
	}
}
