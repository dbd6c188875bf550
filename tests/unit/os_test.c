/* SPDX-License-Identifier: BSD-3-Clause */
/* The helpers around system calls. */
#include "check_main.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vdev/env.h>

#include "libvdev/os/os.h"

static int readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(eventfds_and_timers)
{
	int fd = vdev_os_eventfd(), timer = vdev_os_timer();

	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_uint_eq(vdev_os_drain(fd), 0);
	vdev_os_signal(fd);
	vdev_os_signal(fd);
	ck_assert_int_eq(readable(fd, 0), 1);
	ck_assert_uint_eq(vdev_os_drain(fd), 2);
	ck_assert_int_eq(readable(fd, 0), 0);
	ck_assert_int_eq(readable(timer, 0), 0);
	vdev_os_timer_set(timer, 0);
	ck_assert_int_eq(readable(timer, 5000), 1);
	ck_assert_uint_ge(vdev_os_drain(timer), 1);
	vdev_os_timer_set(timer, 1000000);
	ck_assert_int_eq(readable(timer, 5000), 1);
	vdev_os_timer_set(timer, UINT64_MAX); /* never, and no longer due either */
	ck_assert_int_eq(readable(timer, 10), 0);
	vdev_os_timer_set(timer, UINT64_MAX - 1); /* far away */
	ck_assert_int_eq(readable(timer, 10), 0);
	close(fd);
	close(timer);
}
END_TEST

/* Fill an eventfd, so that a write that may block does. */
static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;

	ck_assert_int_ge(vdev_os_nonblock(fd, 1), 0);
	(void)vdev_os_drain(fd);
	ck_assert_int_eq(write(fd, &most, sizeof(most)), sizeof(most));
	ck_assert_int_ge(vdev_os_nonblock(fd, 0), 0);
}

/* Every ring counts, however many there are, and a full counter is no matter; with the kernel's help and without. */
START_TEST(bells_never_block)
{
	int fd = vdev_os_eventfd(), idle = vdev_os_eventfd();
	struct vdev_os_bell b;

	alarm(20);
	vdev_os_bell_init(&b, idle);
	if (_i)
		vdev_os_bell_free(&b);
	for (int i = 0; i < 5000; i++)
		vdev_os_bell_ring(&b, fd);
	ck_assert_uint_eq(vdev_os_drain(fd), 5000);
	fill(fd);
	errno = 77;
	for (int i = 0; i < 200; i++)
		vdev_os_bell_ring(&b, fd);
	vdev_os_bell_ring(&b, -1);
	ck_assert_int_eq(errno, 77);
	ck_assert_int_eq(readable(fd, 0), 1);
	vdev_os_bell_free(&b);
	close(fd);
	close(idle);
}
END_TEST

static unsigned rings;
static int race_fd, filling;

static unsigned rung(void)
{
	return __atomic_load_n(&rings, __ATOMIC_RELAXED);
}

/* The other side: empty, and full until something was rung. Result: whether that took no end. */
static void *fill_and_empty(void *arg)
{
	uint64_t n = UINT64_MAX - 1, end = vdev_os_now() + 500000000u, *stuck = arg;

	while (vdev_os_now() < end && !*stuck) {
		unsigned before = rung();
		uint64_t limit = vdev_os_now() + 5000000000u;

		(void)vdev_os_drain_foreign(race_fd);
		for (volatile unsigned i = 0; i < before % 64; i++)
			continue;
		__atomic_store_n(&filling, 1, __ATOMIC_RELAXED);
		(void)!write(race_fd, &n, sizeof(n));
		__atomic_store_n(&filling, 0, __ATOMIC_RELAXED);
		before = rung();
		while (rung() - before < 3 && !*stuck)
			*stuck = vdev_os_now() > limit;
	}
	(void)vdev_os_drain_foreign(race_fd);
	return NULL;
}

START_TEST(bells_never_block_in_a_race)
{
	int idle = vdev_os_eventfd();
	unsigned waits = 0;
	struct vdev_os_bell b;
	uint64_t stuck = 0;
	pthread_t other;

	race_fd = eventfd(0, EFD_CLOEXEC);
	vdev_os_bell_init(&b, idle);
	if (b.ctx == 0)
		return; /* nor can it be done here */
	ck_assert_int_eq(vdev_os_thread(&other, "other", fill_and_empty, &stuck), 0);
	while (pthread_tryjoin_np(other, NULL) != 0) {
		vdev_os_bell_ring(&b, race_fd);
		__atomic_fetch_add(&rings, 1, __ATOMIC_RELAXED);
		/* Ours came first, and now it is the other that waits for room. */
		waits = __atomic_load_n(&filling, __ATOMIC_RELAXED) ? waits + 1 : 0;
		if (waits > 50)
			(void)vdev_os_drain_foreign(race_fd);
	}
	ck_assert_uint_eq(stuck, 0);
	vdev_os_bell_free(&b);
	close(race_fd);
	close(idle);
}
END_TEST

START_TEST(foreign_descriptors_never_block)
{
	int fd = eventfd(0, EFD_CLOEXEC), pipe_fds[2];

	alarm(10); /* a read that waits would end here */
	ck_assert_uint_eq(vdev_os_drain_foreign(fd), 0);
	vdev_os_signal(fd);
	ck_assert_uint_eq(vdev_os_drain_foreign(fd), 1);
	ck_assert_uint_eq(vdev_os_drain_foreign(fd), 0);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_uint_eq(vdev_os_drain_foreign(pipe_fds[0]), 0);
	ck_assert_int_eq(write(pipe_fds[1], "abc", 3), 3);
	ck_assert_uint_eq(vdev_os_drain_foreign(pipe_fds[0]), 0); /* not a count */
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

START_TEST(a_socket_belongs_to_whoever_listens)
{
	char dir[] = "sock-XXXXXX", path[64], longer[200];
	int a, b, c;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_int_eq(vdev_os_sock_listen(longer), -ENAMETOOLONG);
	ck_assert_int_eq(vdev_os_sock_listen(""), -ENOENT);
	ck_assert_int_eq(vdev_os_sock_listen("no/such/dir/s"), -ENOENT);
	ck_assert_int_eq(vdev_os_sock_connect(path, 5000), -ENOENT);
	a = vdev_os_sock_listen(path);
	ck_assert_int_ge(a, 0);
	ck_assert_int_eq(vdev_os_sock_accept(a), -EAGAIN);
	ck_assert_int_eq(vdev_os_sock_listen(path), -EADDRINUSE);
	(void)!readable(a, 1000);
	while ((c = vdev_os_sock_accept(a)) >= 0) /* the probe's connection */
		close(c);
	b = vdev_os_sock_connect(path, 5000);
	ck_assert_int_ge(b, 0);
	ck_assert_int_eq(readable(a, 5000), 1);
	c = vdev_os_sock_accept(a);
	ck_assert_int_ge(c, 0);
	ck_assert_int_ne(fcntl(c, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(c, F_GETFD) & FD_CLOEXEC, 0);
	close(b);
	close(c);
	close(a);
	/* Stale now. */
	ck_assert_int_eq(vdev_os_sock_connect(path, 5000), -ECONNREFUSED);
	a = vdev_os_sock_listen(path);
	ck_assert_int_ge(a, 0);
	close(a);
	unlink(path);
	/* A file that is not a socket is not ours to take away. */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(vdev_os_sock_listen(path), -EEXIST);
	unlink(path);
	rmdir(dir);
}
END_TEST

static void tick(int signal)
{
	(void)signal;
}

/* Who listens does not take connections: that is waited for, but not for ever, whatever interrupts. */
START_TEST(connections_that_nobody_takes)
{
	const struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	const struct sigaction act = {.sa_handler = tick};
	char dir[] = "full-XXXXXX", path[64];
	unsigned before;
	int s;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	s = test_full_listener(path);
	before = open_files();
	ck_assert_int_eq(vdev_os_sock_connect(path, 0), -ETIMEDOUT);
	ck_assert_int_eq(vdev_os_sock_connect(path, 60), -ETIMEDOUT);
	ck_assert_int_eq(sigaction(SIGALRM, &act, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ck_assert_int_eq(vdev_os_sock_connect(path, 100), -ETIMEDOUT);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	ck_assert_int_eq(vdev_os_sock_listen(path), -EADDRINUSE);
	ck_assert_uint_eq(open_files(), before);
	/* Room again. */
	ck_assert_int_ge(vdev_os_sock_accept(s), 0);
	ck_assert_int_ge(vdev_os_sock_connect(path, 60), 0);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* Daemons that start together on a stale socket: exactly one gets it, and it can be reached. */
START_TEST(only_one_of_many_listens)
{
	char path[] = "race-XXXXXX";
	int go[2], stay[2], result[2];

	close(mkstemp(path));
	unlink(path);
	for (int round = 0; round < 20; round++) {
		int won = 0, stale = vdev_os_sock_listen(path);
		uint8_t word;

		ck_assert_int_ge(stale, 0);
		close(stale);
		ck_assert_int_eq(pipe(go), 0);
		ck_assert_int_eq(pipe(stay), 0);
		ck_assert_int_eq(pipe(result), 0);
		for (int i = 0; i < 6; i++) {
			if (fork() == 0) {
				int rc;

				close(go[1]);
				close(stay[1]);
				(void)!read(go[0], &word, 1);
				rc = vdev_os_sock_listen(path);
				word = rc >= 0 ? 1 : rc == -EADDRINUSE ? 0 : 99;
				(void)!write(result[1], &word, 1);
				/* The winner stays until the parent has looked. */
				(void)!read(stay[0], &word, 1);
				_exit(0);
			}
		}
		close(go[1]);
		close(go[0]);
		for (int i = 0; i < 6; i++) {
			ck_assert_int_eq(read(result[0], &word, 1), 1);
			ck_assert_uint_ne(word, 99);
			won += word;
		}
		ck_assert_int_eq(won, 1);
		close(result[0]);
		close(result[1]);
		close(stay[0]);
		close(stay[1]);
		while (wait(NULL) > 0)
			continue;
	}
	unlink(path);
}
END_TEST

START_TEST(descriptors_travel)
{
	int sv[2], fds[4], got[4];
	char buf[16];
	unsigned n, before;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, got, 4, &n), -EAGAIN);
	ck_assert_uint_eq(n, 0);
	for (int i = 0; i < 4; i++)
		fds[i] = vdev_os_eventfd();
	before = open_files();
	ck_assert_int_eq(vdev_os_send_fds(sv[0], "hello", 5, fds, 3, 1000), 0);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, got, 4, &n), 5);
	ck_assert_uint_eq(n, 3);
	ck_assert_mem_eq(buf, "hello", 5);
	vdev_os_signal(got[2]);
	ck_assert_uint_eq(vdev_os_drain(fds[2]), 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_ne(fcntl(got[i], F_GETFD) & FD_CLOEXEC, 0);
		close(got[i]);
	}
	/* Too many: the rest is closed, and we are told. */
	ck_assert_int_eq(vdev_os_send_fds(sv[0], "x", 1, fds, 4, 1000), 0);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, got, 2, &n), 1);
	ck_assert_uint_eq(n, 3);
	close(got[0]);
	close(got[1]);
	ck_assert_int_eq(vdev_os_send_fds(sv[0], "x", 1, fds, 4, 1000), 0);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, NULL, 0, &n), 1);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(open_files(), before);
	ck_assert_int_eq(vdev_os_send_fds(sv[0], "", 0, NULL, 0, 0), -EINVAL);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, got, VDEV_OS_FDS + 1, &n), -EINVAL);
	close(sv[0]);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 16, got, 4, &n), 0);
	ck_assert_int_eq(vdev_os_send_fds(sv[1], "x", 1, NULL, 0, 0), -EPIPE); /* and no signal */
	close(sv[1]);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}
END_TEST

/* More descriptors than this process may have. */
START_TEST(descriptors_that_find_no_room)
{
	int sv[2], fds[8], got[8], lowest;
	struct rlimit limit = {.rlim_max = 1024};
	char buf[4];
	unsigned n, before;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	for (int i = 0; i < 8; i++)
		fds[i] = vdev_os_eventfd();
	ck_assert_int_eq(vdev_os_send_fds(sv[0], "x", 1, fds, 8, 1000), 0);
	before = open_files();
	lowest = dup(0);
	close(lowest);
	limit.rlim_cur = (rlim_t)lowest + 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(vdev_os_recv_fds(sv[1], buf, 4, got, 8, &n), 1);
	/* Not quietly fewer: more than could be, so that no message is taken for whole. */
	ck_assert_uint_eq(n, 9);
	for (int i = 0; i < 8; i++)
		vdev_os_close(got[i]);
	ck_assert_uint_eq(open_files(), before);
}
END_TEST

START_TEST(a_full_socket_times_out)
{
	static char big[1 << 20];
	uint64_t from = vdev_os_now();
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	ck_assert_int_eq(vdev_os_send_fds(sv[0], big, sizeof(big), NULL, 0, 50), -ETIMEDOUT);
	ck_assert_uint_ge(vdev_os_now() - from, 50000000);
	close(sv[0]);
	close(sv[1]);
}
END_TEST

START_TEST(mappings_stay_inside_of_files)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size;
	struct vdev_os_map m = {0};
	int fd = vdev_os_memfd("test", 3 * page), plain = memfd_create("plain", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vdev_os_sealed(fd), 1);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_eq(vdev_os_sealed(plain), 0);
	ck_assert_int_eq(vdev_os_sealed(0), 0);
	ck_assert_int_eq(vdev_os_size(fd, &size), 0);
	ck_assert_uint_eq(size, 3 * page);
	ck_assert_int_eq(vdev_os_size(999, &size), -EBADF);
	ck_assert_int_eq(vdev_os_map(&m, fd, 0, 0, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, fd, 0, 3 * page + 1, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, fd, 3 * page, 1, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, fd, UINT64_MAX - 10, 20, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, fd, 100, UINT64_MAX - 50, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, plain, 0, 1, 1), -EINVAL);
	ck_assert_int_eq(vdev_os_map(&m, 999, 0, page, 1), -EBADF);
	/* From the middle of a page to the middle of another. */
	ck_assert_int_eq(pwrite(fd, "here", 4, (off_t)page + 10), 4);
	ck_assert_int_eq(vdev_os_map(&m, fd, page + 10, page, 1), 0);
	ck_assert_mem_eq(m.addr, "here", 4);
	((char *)m.addr)[page - 1] = 'z';
	ck_assert_uint_eq(m.len, page);
	vdev_os_unmap(&m);
	ck_assert_ptr_null(m.base);
	vdev_os_unmap(&m); /* twice is fine */
	ck_assert_int_eq(vdev_os_map(&m, fd, 2 * page + 9, 1, 0), 0);
	ck_assert_int_eq(*(char *)m.addr, 'z');
	vdev_os_unmap(&m);
	ck_assert_int_eq(vdev_os_map_anon(&m, 0), -EINVAL);
	ck_assert_int_eq(vdev_os_map_anon(&m, 5000), 0);
	memset(m.addr, 1, 5000);
	vdev_os_unmap(&m);
	close(fd);
	close(plain);
}
END_TEST

START_TEST(hosted_environment)
{
	const struct vdev_env *env = vdev_env_hosted();
	uint64_t t = env->now(env->ctx);
	void *p = env->alloc(env->ctx, 1000);

	ck_assert_ptr_nonnull(p);
	memset(p, 0, 1000);
	env->free(env->ctx, p, 1000);
	ck_assert_uint_eq(env->size, sizeof(*env));
	ck_assert_uint_ge(env->now(env->ctx), t);
	ck_assert_ptr_eq(env, vdev_env_hosted());
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("os");
	TCase *tc = tcase_create("os");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, eventfds_and_timers);
	tcase_add_loop_test(tc, bells_never_block, 0, 2);
	tcase_add_test(tc, bells_never_block_in_a_race);
	tcase_add_test(tc, foreign_descriptors_never_block);
	tcase_add_test(tc, a_socket_belongs_to_whoever_listens);
	tcase_add_test(tc, connections_that_nobody_takes);
	tcase_add_test(tc, only_one_of_many_listens);
	tcase_add_test(tc, descriptors_travel);
	tcase_add_test(tc, descriptors_that_find_no_room);
	tcase_add_test(tc, a_full_socket_times_out);
	tcase_add_test(tc, mappings_stay_inside_of_files);
	tcase_add_test(tc, hosted_environment);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
