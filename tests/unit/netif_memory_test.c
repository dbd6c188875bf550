/* SPDX-License-Identifier: BSD-3-Clause */
/* Back-ends on the host's network, with each allocation or call of the kernel failing in turn: nothing is left behind. */
#include "check_main.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vdev/netif_packet.h>
#include <vdev/netif_pcap.h>
#include <vdev/netif_simple.h>
#include <vdev/netif_tap.h>
#include <vdev/netif_xdp.h>

#include "net_ns.h"
#include "netif_kernel.h"

static struct {
	int left; /* allocations until one fails; < 0: none does */
	long out; /* bytes */
} heap;

static void *heap_alloc(void *ctx, size_t bytes)
{
	void *p;

	(void)ctx;
	if (heap.left == 0)
		return NULL;
	if (heap.left > 0)
		heap.left--;
	p = malloc(bytes);
	ck_assert_ptr_nonnull(p);
	heap.out += (long)bytes;
	return p;
}

static void heap_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	heap.out -= (long)bytes;
	free(p);
}

static const struct vdev_env env = {.size = sizeof(env), .alloc = heap_alloc, .free = heap_free};

static int new_tap(struct vdev_netif **out)
{
	const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .name = "t0", .pairs = 3};

	return vdev_netif_tap_new(out, &env, &cfg);
}

static int new_packet(struct vdev_netif **out)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "b", .pairs = 2, .ring = 16};

	return vdev_netif_packet_new(out, &env, &cfg);
}

static int new_xdp(struct vdev_netif **out)
{
	const struct vdev_netif_xdp_config cfg = {
		.size = sizeof(cfg), .name = "b", .pairs = 2, .ring = 64};

	return vdev_netif_xdp_new(out, &env, &cfg);
}

static int new_pcap(struct vdev_netif **out)
{
	struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg), .own_netif = 1};
	struct vdev_netif *inner;
	int rc = vdev_netif_echo_new(&inner, &env);

	if (rc < 0)
		return rc;
	cfg.fd = memfd_create("capture", MFD_CLOEXEC);
	rc = vdev_netif_pcap_new(out, &env, inner, &cfg);
	close(cfg.fd);
	if (rc < 0)
		vdev_netif_free(inner);
	return rc;
}

enum { PACKET = 1, XDP = 3 };
static int (*const make[])(struct vdev_netif **) = {new_tap, new_packet, new_pcap, new_xdp};

/* A netif and a channel each way. Returns 0, or what the first failure was. */
static int life(int kind)
{
	struct vdev_netif *n;
	struct vdev_netif_channel *c[2];
	int rc = make[kind](&n);

	if (rc < 0)
		return rc;
	rc = n->ops->open(n, 0, VDEV_NET_SEND, &c[0]);
	if (rc == 0) {
		rc = n->ops->open(n, 0, VDEV_NET_RECEIVE, &c[1]);
		if (rc == 0)
			n->ops->close(c[1]);
		n->ops->close(c[0]);
	}
	vdev_netif_free(n);
	return rc;
}

/* A network with an interface. Returns how many descriptors there are. */
static unsigned begin(int kind)
{
	if (kind < XDP)
		ns_enter();
	else
		ck_assert_int_eq(ns_enter_as_root(), 0);
	veth_new("a", "b");
	return test_descriptors();
}

START_TEST(no_memory)
{
	unsigned before = begin(_i);
	int failures = 0, rc;

	for (int left = 0;; left++) {
		heap.left = left;
		rc = life(_i);
		ck_assert_int_eq(heap.out, 0);
		ck_assert_uint_eq(test_descriptors(), before);
		if (rc == 0)
			break;
		ck_assert_int_eq(rc, VIRTQ_ENOMEM);
		failures++;
	}
	/* The netif, and each channel. */
	ck_assert_int_ge(failures, 3);
	heap.left = -1;
	ck_assert_int_eq(life(_i), 0);
}
END_TEST

/* Whoever opens is told just what the kernel said, of any call whose failure matters. */
static void each_call_refused(int kind)
{
	unsigned before = begin(kind), at = 0;
	long mappings = kernel.mappings;
	int rc;

	heap.left = -1;
	do {
		kernel.calls = 0;
		kernel.at = ++at;
		kernel.what = NULL;
		rc = life(kind);
		ck_assert_msg(rc == (kernel.what == NULL || kernel.optional ? 0 : -KERNEL_ODD),
		              "call %u (%s): %d", at, kernel.what, rc);
		ck_assert_int_eq(heap.out, 0);
		ck_assert_uint_eq(test_descriptors(), before);
		ck_assert_msg(kernel.mappings == mappings, "call %u (%s): %ld mappings", at, kernel.what,
		              kernel.mappings - mappings);
	} while (kernel.what != NULL);
	ck_assert_uint_gt(at, 20);
}

START_TEST(packet_sockets_refused)
{
	each_call_refused(PACKET);
}
END_TEST

START_TEST(xdp_sockets_refused)
{
	each_call_refused(XDP);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_memory");
	TCase *tc = tcase_create("memory");

	test_needs(ns_missing());
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, no_memory, 0, xdp_missing() == NULL ? XDP + 1 : XDP);
	tcase_add_test(tc, packet_sockets_refused);
	if (xdp_missing() == NULL)
		tcase_add_test(tc, xdp_sockets_refused);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
