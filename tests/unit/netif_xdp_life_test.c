/* SPDX-License-Identifier: BSD-3-Clause */
/* The XDP back-end: the interface and its queues, whom they belong to, and what becomes of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_datagram.h"
#include "net_ns.h"
#include "netif_xdp_rig.h"

static void count_link(void *ctx)
{
	++*(int *)ctx;
}

/* The kernel takes its time to say so. */
static void refresh_until(int link)
{
	struct vdev_netif_info info;
	int told = 0;

	for (int i = 0; i < 6000; i++) {
		told |= vdev_netif_xdp_refresh(t.netif);
		t.netif->ops->info(t.netif, &info);
		if (told == 1 && info.link == link)
			return;
		usleep(10000);
	}
	ck_abort_msg("the link never became %d", link);
}

START_TEST(interface_down_up_and_gone)
{
	int events = 0, seen, n;
	const struct vdev_net_sink sink = {.size = sizeof(sink), .link = count_link, .ctx = &events};
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "up", 2);
	const struct virtq_iov iov = {bytes, len};
	const struct vdev_frame up = {.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	uint64_t dropped;
	struct vdev_frame f;

	t.netif->ops->set_sink(t.netif, &sink);
	if_up("ours", 0);
	refresh_until(0);
	ck_assert_int_ge(events, 1);
	for (int i = 0; i < 2000; i++)
		send_frames(&up, 1);
	ck_assert_uint_eq(counters().send_dropped, 2000);
	/* Nobody is kept awake by it. */
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(t.rx[0])), 0);
	seen = events;
	if_up("ours", 1);
	refresh_until(1);
	ck_assert_int_gt(events, seen);
	if_wait("host");
	if_wait("ours");
	/* The host's end forgot whom it knew, and loses what it sends until it has noticed. */
	if_neighbour("host", OURS, our_mac);
	for (int i = 0; (n = t.netif->ops->receive(t.rx[0], &f, 1)) == 0 && i < 6000; i++) {
		host_sends("back", 4, 7);
		usleep(10000);
	}
	ck_assert_int_eq(n, 1);
	ck_assert_mem_eq(bytes_of(&f) + DATA, "back", 4);
	send_frames(&up, 1);
	expect_at_host("up", 2);
	t.netif->ops->set_sink(t.netif, NULL);
	seen = events;
	if_delete("ours");
	while (t.netif->ops->receive(t.rx[0], &f, 1) > 0)
		continue;
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_lt(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	dropped = counters().send_dropped;
	send_frames(&up, 1);
	ck_assert_uint_eq(counters().send_dropped, dropped + 1);
	/* Nobody is told any more. */
	ck_assert_int_eq(vdev_netif_xdp_refresh(t.netif), 1);
	ck_assert_int_eq(events, seen);
}
END_TEST

/* The host's stack hears nothing of what comes while we are there, and all of it when we are gone. */
START_TEST(the_interface_is_ours)
{
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int stack = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct vdev_netif *second = NULL;
	struct vdev_frame f;
	uint8_t got[200];
	const struct vdev_netif_xdp_config again = {.size = sizeof(again), .name = "ours"};

	all.sll_ifindex = if_index("ours");
	ck_assert_int_eq(bind(stack, (struct sockaddr *)&all, sizeof(all)), 0);
	ck_assert_int_eq(vdev_netif_xdp_new(&second, vdev_env_hosted(), &again), -EBUSY);
	host_sends("ours", 4, 7);
	receive(&f, 1);
	ck_assert_int_eq(is_readable(stack), 0);
	close_netif();
	host_sends("free", 4, 7);
	wait_readable(stack);
	ck_assert_int_ge(recv(stack, got, sizeof(got), 0), DATA + 4);
	ck_assert_mem_eq(got + DATA, "free", 4);
	/* and it can be had again, which teardown undoes */
	ck_assert_int_eq(vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), &again), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
	close(stack);
}
END_TEST

/* A process that is killed leaves the interface as it was: at once without a program, and soon free for the next. */
START_TEST(killed)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours"};
	struct vdev_netif *n = NULL;
	int ready[2], status, rc = -EBUSY;
	char c;
	pid_t pid;

	close_netif();
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		while (vdev_netif_xdp_new(&n, vdev_env_hosted(), &cfg) == -EBUSY)
			continue;
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	for (int i = 0; i < 100 && rc == -EBUSY; i++)
		rc = vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), &cfg);
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
	close(ready[0]);
	close(ready[1]);
}
END_TEST

/* Frames of all queues come whatever the number of channels, each of a flow by the same one. */
START_TEST(several_channels)
{
	enum { FLOWS = 64 };
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = 2};
	struct vdev_netif_channel *none;
	struct vdev_netif_info info;
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t seen[3][2] = {{0}};
	uint8_t where[FLOWS] = {0};

	teardown();
	open_all(&cfg, 3, 1500);
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.max_pairs, 2);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 2, VDEV_NET_SEND, &none), VIRTQ_EINVAL);
	for (uint32_t phase = 0; phase < 3; phase++) {
		uint32_t sent = 0, got = 0;

		t.netif->ops->set_pairs(t.netif, phase == 1 ? 2 : 1);
		for (; sent < 4 * FLOWS; sent++)
			host_sends("x", 1, 1000 + (int)(sent % FLOWS));
		for (uint32_t c = 0, idle = 0; got < sent && idle < 6000; c = !c) {
			int n = t.netif->ops->receive(t.rx[c], f, VDEV_NET_BURST);

			ck_assert_int_ge(n, 0);
			for (int i = 0; i < n; i++) {
				const uint8_t *p = bytes_of(&f[i]);

				if (phase == 1)
					where[(p[36] << 8 | p[37]) - 1000] |= (uint8_t)(1 << c);
			}
			seen[phase][c] += (uint32_t)n;
			got += (uint32_t)n;
			if (n == 0) {
				usleep(1000);
				idle++;
			}
		}
		ck_assert_uint_eq(got, sent);
	}
	ck_assert_uint_eq(seen[0][1], 0);
	ck_assert_uint_eq(seen[2][1], 0);
	ck_assert_uint_gt(seen[1][0], 0);
	ck_assert_uint_gt(seen[1][1], 0);
	for (int i = 0; i < FLOWS; i++)
		ck_assert(where[i] == 1 || where[i] == 2);
	/* The one that is in use is woken by any queue, and the other one by none. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[1]), 0);
	for (int i = 0; i < FLOWS; i++) {
		host_sends("y", 1, 1000 + i);
		ck_assert_uint_eq(receive(f, 1), 1);
	}
	ck_assert_int_eq(is_readable(t.netif->ops->fd(t.rx[1])), 0);
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

static struct {
	uint32_t got; /* frames */
	int over;
} threads;

static void *receiver(void *ctx)
{
	struct vdev_netif_channel *c = ctx;
	struct vdev_frame f[VDEV_NET_BURST];
	int n = 0;

	while (n >= 0 && !__atomic_load_n(&threads.over, __ATOMIC_ACQUIRE)) {
		n = t.netif->ops->receive(c, f, VDEV_NET_BURST);
		for (int i = 0; i < n; i++)
			if (bytes_of(&f[i])[DATA] == 'x')
				__atomic_fetch_add(&threads.got, 1, __ATOMIC_RELAXED);
		if (n == 0)
			usleep(500);
	}
	return NULL;
}

/* Each frame comes once, whoever a queue belongs to just then; and others send meanwhile. */
START_TEST(pairs_change_under_way)
{
	enum { ROUNDS = 40, EACH = 48 };
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = 2};
	uint8_t bytes[200];
	struct virtq_iov iov = {bytes, 0};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .offload = needs_csum};
	pthread_t thread[2];

	teardown();
	open_all(&cfg, 3, 1500);
	iov.len = f.len = datagram(bytes, t.mac, "sent", 4);
	memset(&threads, 0, sizeof(threads));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, receiver, t.rx[i]), 0);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		for (int i = 0; i < EACH; i++) {
			host_sends("x", 1, 1000 + i);
			if (i % 8 == 0)
				t.netif->ops->set_pairs(t.netif, 1 + (unsigned)(i / 8 + (int)round) % 2);
		}
		send_frames(&f, 1);
		expect_at_host("sent", 4);
		for (int i = 0; __atomic_load_n(&threads.got, __ATOMIC_RELAXED) < round * EACH && i < 60000;
		     i++)
			usleep(1000);
		ck_assert_uint_eq(__atomic_load_n(&threads.got, __ATOMIC_RELAXED), round * EACH);
	}
	__atomic_store_n(&threads.over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	ck_assert_uint_eq(counters().received, ROUNDS * EACH);
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "nowhere"};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif *n = NULL;

	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), -ENODEV);
	cfg.name = "sixteen_letters_";
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = NULL;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = "host";
	cfg.pairs = 65;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.pairs = 0;
	cfg.ring = 32;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 1000;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 32768;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 0;
	cfg.flags = 2;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.flags = 0;
	cfg.size--;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, NULL), VIRTQ_EINVAL);
	cfg.size++;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_xdp_new(NULL, env, &cfg), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_xdp_refresh(NULL), VIRTQ_EINVAL);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_xdp_life");
	TCase *tc;
	const char *missing = xdp_missing();

	if (missing != NULL) {
		printf("skipped: %s\n", missing);
		exit(77);
	}
	tc = with(suite, "driver", setup);
	tcase_add_test(tc, the_interface_is_ours);
	tcase_add_test(tc, killed);
	tcase_add_test(tc, interface_down_up_and_gone);
	tcase_add_test(tc, several_channels);
	tcase_add_test(tc, pairs_change_under_way);
	tcase_add_test(tc, misuse);
	tcase_add_test(with(suite, "generic", setup_generic), the_interface_is_ours);
	srunner_add_suite(runner, suite);
}
