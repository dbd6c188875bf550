/* SPDX-License-Identifier: BSD-3-Clause */
/* Back-ends of the host's network when descriptors run out: each step fails as a whole, and leaves none open. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vdev/netif_packet.h>
#include <vdev/netif_tap.h>

#include "check_main.h"
#include "net_ns.h"

enum { SPARE = 6 };

/* What is made, and may not be made in part. */
typedef int make(void);

static struct vdev_netif *netif;
static unsigned pairs;
static struct vdev_netif_channel *channel;

static int make_packet(void)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .pairs = pairs, .ring = 32, .frame_max = 2000};

	return vdev_netif_packet_new(&netif, vdev_env_hosted(), &cfg);
}

static int make_tap(void)
{
	const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = pairs};

	return vdev_netif_tap_new(&netif, vdev_env_hosted(), &cfg);
}

static int make_send(void)
{
	return netif->ops->open(netif, pairs - 1, VDEV_NET_SEND, &channel);
}

static int make_receive(void)
{
	return netif->ops->open(netif, pairs - 1, VDEV_NET_RECEIVE, &channel);
}

static void drop_netif(void)
{
	vdev_netif_free(netif);
}

static void drop_channel(void)
{
	netif->ops->close(channel);
}

/* So many more descriptors than there are now; < 0: as many as before. */
static void allow(int more)
{
	static struct rlimit all;
	struct rlimit r;
	int next;

	if (all.rlim_cur == 0)
		ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
	r = all;
	if (more >= 0) {
		next = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(next);
		r.rlim_cur = (rlim_t)(next + more);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static void in_want(make *f, void (*drop)(void))
{
	unsigned before = test_descriptors(), needs;
	int rc;

	ck_assert_int_eq(f(), 0);
	needs = test_descriptors() - before;
	drop();
	ck_assert_uint_eq(test_descriptors(), before);
	for (unsigned more = 0;; more++) {
		ck_assert_uint_le(more, needs + SPARE);
		allow((int)more);
		rc = f();
		allow(-1);
		if (rc == 0)
			break;
		ck_assert_int_lt(rc, 0);
		ck_assert_uint_eq(test_descriptors(), before);
	}
	ck_assert_uint_eq(test_descriptors(), before + needs);
	drop();
	ck_assert_uint_eq(test_descriptors(), before);
}

START_TEST(packet_sockets)
{
	pairs = 1 + (unsigned)_i;
	ns_enter();
	veth_new("host", "ours");
	if_up("host", 1);
	if_up("ours", 1);
	in_want(make_packet, drop_netif);
	ck_assert_int_eq(make_packet(), 0);
	in_want(make_send, drop_channel);
	in_want(make_receive, drop_channel);
	/* More pairs than there are: all of them. */
	netif->ops->set_pairs(netif, 1000);
	netif->ops->set_pairs(netif, 0);
	vdev_netif_free(netif);
}
END_TEST

START_TEST(taps)
{
	pairs = 1 + (unsigned)_i;
	ns_enter();
	in_want(make_tap, drop_netif);
	ck_assert_int_eq(make_tap(), 0);
	in_want(make_receive, drop_channel);
	ck_assert_int_eq(vdev_netif_tap_name(netif, NULL), VIRTQ_EINVAL);
	netif->ops->set_pairs(netif, 1000);
	netif->ops->set_pairs(netif, 0);
	vdev_netif_free(netif);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_limits");
	TCase *tc = tcase_create("netif_limits");

	test_needs(ns_missing());
	tcase_add_loop_test(tc, packet_sockets, 0, 2);
	tcase_add_loop_test(tc, taps, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
