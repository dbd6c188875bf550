/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: queues that are not there, channels that don't open, offloads of tunnels, frames that wait for buffers. */
#include <string.h>

#include "check_main.h"
#include "echo.h"
#include "net_fixture.h"

/* Offloads inside of a tunnel are for those who negotiated them, though all headers have room for their positions. */
START_TEST(tunnels_as_negotiated)
{
	static const struct {
		uint8_t wanted, flags, goes;
	} cases[] = {
		{0, 1, 0},
		{VDEV_NET_F_HOST_UDP_TUNNEL_GSO, 1, 1},
		{VDEV_NET_F_HOST_UDP_TUNNEL_GSO, 9, 0},
		{VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, 9, 0}, /* which means nothing alone */
	};
	uint8_t hdr[24] = {cases[_i].flags, 0x21, 0, 0, 100, 0, 98, 0, 16, 0, 0, 0};
	uint8_t frame[600] = {0};
	struct vdev_net_counters n;
	struct net_fixture f;

	hdr[20] = 34;
	hdr[22] = 64;
	net_init(&f, 0, 0);
	net_want(&f, VDEV_NET_F_CSUM);
	net_want(&f, VDEV_NET_F_HOST_TSO4);
	net_want(&f, VDEV_NET_F_GUEST_UDP_TUNNEL_GSO);
	if (cases[_i].wanted != 0)
		net_want(&f, cases[_i].wanted);
	f.hdr = 24;
	net_start(&f);
	net_send(&f, 0, hdr, frame, sizeof(frame), NULL);
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	ck_assert_uint_eq(f.netif.nsent, cases[_i].goes);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.malformed, !cases[_i].goes);
	net_fini(&f);
}
END_TEST

/* Queues that the driver can't use, by what it accepted: what it puts there stays there. */
START_TEST(queues_without_a_part)
{
	static const uint8_t hdr[12];
	uint8_t frame[60] = {0};
	struct net_fixture f;

	net_init(&f, _i, 0);
	f.net_cfg.pairs = 2;
	net_start(&f);
	net_send(&f, 1, hdr, frame, sizeof(frame), NULL);
	(void)net_buffer(&f, 1, 256, 1);
	vdev_queue_kick(f.v, 2);
	vdev_queue_kick(f.v, 3);
	net_run(&f);
	ck_assert_int_eq(net_sent(&f, 1, NULL), 0);
	ck_assert_ptr_null(net_received(&f, 1, NULL));
	ck_assert_uint_eq(f.netif.nsent, 0);
	ck_assert_int_eq(vdev_queue_fd(f.v, 2), -1);
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 3), UINT64_MAX);
	net_fini(&f);
}
END_TEST

/* Only queues that receive from a netif which is asked have something to poll. */
START_TEST(descriptors)
{
	struct net_fixture f;

	net_init(&f, 0, _i);
	net_start(&f);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), _i ? 0 : -1);
	ck_assert_int_eq(vdev_queue_fd(f.v, 1), -1);
	net_fini(&f);
}
END_TEST

/* A frame that something is to be done to waits for buffers as others do, and comes once. */
START_TEST(adapted_frames_wait)
{
	uint8_t bytes[100] = {0}, *p;
	struct vdev_net_counters n;
	struct net_fixture f;
	struct virtq_iov iov;
	uint32_t written;

	net_init(&f, _i % 2, 1);
	if (_i >= 2)
		net_want(&f, VDEV_NET_F_MRG_RXBUF);
	net_start(&f);
	f.netif.frames[0] = net_frame(&iov, bytes, sizeof(bytes));
	f.netif.frames[0].offload.flags = VDEV_NET_NEEDS_CSUM;
	f.netif.frames[0].offload.csum_start = 34;
	f.netif.frames[0].offload.csum_offset = 16;
	f.netif.nframes = 1;
	net_run(&f);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.received + n.no_buffers + n.too_short, 0);
	p = net_buffer(&f, 0, 256, 1);
	vdev_loopback_kick(f.l, 0);
	net_run(&f);
	ck_assert_ptr_eq(net_received(&f, 0, &written), p);
	ck_assert_uint_eq(written, 12 + sizeof(bytes));
	ck_assert_uint_eq(p[0], 0);
	ck_assert_uint_eq(p[12 + 50] | p[12 + 51], 0xff); /* the sum of nothing */
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.received, 1);
	ck_assert_uint_eq(n.summed, 1);
	net_fini(&f);
}
END_TEST

/* Announcing is for network devices. */
START_TEST(other_devices)
{
	struct echo echo;

	ck_assert_int_eq(echo_new(&echo, vdev_env_hosted(), 1, 64), 0);
	ck_assert_int_eq(vdev_net_announce(echo.v, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_net_announce(NULL, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_free(echo.v), 0);
}
END_TEST

static int open_to_send(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                        struct vdev_netif_channel **out)
{
	static struct vdev_netif_channel channel;

	(void)pair;
	channel.netif = n;
	*out = &channel;
	return way == VDEV_NET_SEND ? 0 : VIRTQ_EIO;
}

static void closed(struct vdev_netif_channel *c)
{
	(void)c;
}

/* A channel to receive with that does not open. */
START_TEST(no_channel_to_receive)
{
	struct net_fixture f;

	net_init(&f, 0, 1);
	f.netif.ops.open = open_to_send;
	f.netif.ops.close = closed;
	ck_assert_int_eq(vdev_net_new(&f.v, &f.env, &f.netif.netif, &f.net_cfg), 0);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	ck_assert_int_lt(vdev_loopback_start(f.l), 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_queue");
	TCase *tc = tcase_create("net_queue");

	tcase_add_loop_test(tc, tunnels_as_negotiated, 0, 4);
	tcase_add_loop_test(tc, queues_without_a_part, 0, 2);
	tcase_add_loop_test(tc, descriptors, 0, 2);
	tcase_add_loop_test(tc, adapted_frames_wait, 0, 4);
	tcase_add_test(tc, other_devices);
	tcase_add_test(tc, no_channel_to_receive);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
