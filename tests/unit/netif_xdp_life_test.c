/* SPDX-License-Identifier: BSD-3-Clause */
/* The XDP back-end: the interface and its queues, whom they belong to, and what becomes of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_datagram.h"
#include "net_ns.h"
#include "netif_xdp_rig.h"

START_TEST(interface_down_up_and_gone)
{
	struct vdev_netif_info info;

	down_up_and_gone(2000);
	/* What we can send is still known. */
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.mtu, VDEV_NETIF_XDP_FRAME - VDEV_NET_ETH - 8);
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

/* Frames of all queues come whatever the number of channels. */
START_TEST(several_channels)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = 2};
	struct vdev_frame f;

	teardown();
	open_all(&cfg, 3, 1500);
	flows_by_channels(1);
	/* The one that is in use is woken by any queue, and the other one by none. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[1]), 0);
	for (int i = 0; i < 64; i++) {
		host_sends("y", 1, 1000 + i);
		ck_assert_uint_eq(receive(&f, 1), 1);
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

	test_needs(xdp_missing());
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
