/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what a host tells the device beside the driver: notices, and queues that are disabled while they run. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_ctrl.h"

static const uint8_t no_hdr[24];
static uint8_t bytes[60] = {0x52, 0x54};

START_TEST(told_of_an_mtu)
{
	static const uint16_t bad[] = {0, 67, 9001, 65535};
	const uint16_t jumbo = 9000, small = 1400;
	struct net_fixture f;
	uint8_t mtu[2];

	net_init(&f, _i, 0);
	f.netif.info.mtu = 9000;
	f.net_cfg.mtu = 1500;
	net_want(&f, VDEV_NET_F_MTU);
	net_start(&f);
	/* The driver has seen it: it stays. */
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, NULL), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &(uint16_t){1500}), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &jumbo), VIRTQ_EINVAL);
	vdev_config_read(f.v, 10, mtu, 2);
	ck_assert_uint_eq(mtu[0] | mtu[1] << 8, 1500);
	CLAUSE("net/config-layout/D4");
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &jumbo), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &bad[i]), VIRTQ_EINVAL);
	vdev_config_read(f.v, 10, mtu, 2);
	ck_assert_uint_eq(mtu[0] | mtu[1] << 8, jumbo);
	CLAUSE("net/config-layout/D2");
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &small), 0);
	vdev_config_read(f.v, 10, mtu, 2);
	ck_assert_uint_eq(mtu[0] | mtu[1] << 8, small);
	net_fini(&f);
}
END_TEST

START_TEST(no_mtu_to_be_told)
{
	struct net_fixture f;

	net_init(&f, 0, 0);
	net_start(&f);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, NULL), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_MTU, &(uint16_t){1500}), VIRTQ_ENOTSUP);
	net_fini(&f);
}
END_TEST

/*
 * As the netif has it, or not known. The standard contradicts itself: 1 is full duplex where the field is described, which
 * is how drivers read it, and 0 in the requirement.
 */
START_TEST(speed_and_duplex)
{
	static const struct {
		uint32_t speed;
		uint8_t duplex;
	} links[] = {{25000, 1}, {10, 0}, {UINT32_MAX, 0xff}};
	struct net_fixture f;
	uint8_t c[5];

	net_init(&f, 0, 0);
	f.netif.info.speed = links[_i].speed;
	f.netif.info.duplex = links[_i].duplex;
	net_want(&f, VDEV_NET_F_SPEED_DUPLEX);
	net_start(&f);
	vdev_config_read(f.v, 12, c, sizeof(c));
	ck_assert_uint_eq((uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 |
	                      (uint32_t)c[3] << 24,
	                  links[_i].speed);
	CLAUSE("net/config-layout/D10");
	ck_assert_uint_eq(c[4], links[_i].duplex);
	CLAUSE("net/config-layout/D11");
	net_fini(&f);
}
END_TEST

/* A link that changes speed while it is up is not shown to a driver that was told otherwise. */
START_TEST(speed_that_changes)
{
	struct net_fixture f;
	uint8_t before[5], c[5], status[2];

	net_init(&f, 0, 0);
	f.netif.info.speed = 1000;
	f.netif.info.duplex = 1;
	net_want(&f, VDEV_NET_F_SPEED_DUPLEX);
	net_want(&f, VDEV_NET_F_STATUS);
	net_start(&f);
	vdev_config_read(f.v, 12, before, sizeof(before));
	f.netif.info.speed = 100;
	f.netif.info.duplex = 0;
	f.netif.sink->link(f.netif.sink->ctx);
	net_run(&f);
	vdev_config_read(f.v, 6, status, sizeof(status));
	ck_assert_uint_eq(status[0] & 1, 1);
	vdev_config_read(f.v, 12, c, sizeof(c));
	ck_assert_mem_eq(c, before, sizeof(c));
	CLAUSE("net/config-layout/D12");
	net_fini(&f);
}
END_TEST

START_TEST(told_to_announce)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 9}, group[6] = {1};
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, NULL), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, group), VIRTQ_EINVAL);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, mac), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 1);
	ck_assert_mem_eq(f.netif.sent[0].bytes + 6, mac, 6);
	/* Elsewhere the driver may still be at work: nothing is said before this device goes on. */
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, mac), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 1);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 2);
	ck_assert_int_eq(vdev_queue_enable(f.v, 1, 0), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, mac), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 2);
	ck_assert_int_eq(vdev_queue_enable(f.v, 1, 1), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 3);
	/* Nor of a driver that is gone by then. */
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_notice(f.v, VDEV_NOTICE_ANNOUNCE, mac), 0);
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 3);
	net_fini(&f);
}
END_TEST

static void send_one(struct net_fixture *f, unsigned pair, const uint32_t *cut)
{
	uint32_t written = 99;

	net_send(f, pair, no_hdr, bytes, sizeof(bytes), cut);
	vdev_loopback_kick(f->l, 2 * pair + 1);
	net_run(f);
	ck_assert_int_eq(net_sent(f, pair, &written), 1);
	ck_assert_uint_eq(written, 0);
}

/* What is sent on a disabled queue is used, and goes nowhere. */
START_TEST(disabled_senders)
{
	static const uint32_t cuts[2][16] = {{0}, {5, 20}};
	struct vdev_net_counters counted;
	struct net_fixture f;

	net_init(&f, _i & 1, 0);
	net_start(&f);
	for (unsigned round = 0; round < 6; round++) {
		ck_assert_int_eq(vdev_queue_enable(f.v, 1, round & 1), 0);
		for (unsigned i = 0; i < 3; i++)
			send_one(&f, 0, cuts[_i / 2]);
		ck_assert_uint_eq(f.netif.nsent, round & 1 ? 3 : 0);
		fake_netif_clear(&f.netif);
	}
	vdev_net_counters(f.v, &counted);
	ck_assert_uint_eq(counted.sent, 9);
	ck_assert_uint_eq(counted.discarded, 9);
	ck_assert_uint_eq(counted.malformed, 0);
	net_fini(&f);
}
END_TEST

static unsigned got(struct net_fixture *f, unsigned pair)
{
	uint32_t written;
	unsigned n = 0;

	while (net_received(f, pair, &written) != NULL)
		n++;
	return n;
}

/* Frames in the netif, pushed or to be fetched, so many of as many flows. */
static void frames_come(struct net_fixture *f, int polled, unsigned n)
{
	static struct virtq_iov iov;
	struct vdev_frame frame = net_frame(&iov, bytes, sizeof(bytes));

	for (unsigned i = 0; i < n && !polled; i++)
		ck_assert_uint_eq(net_push(f, &frame, 1), 1);
	if (polled) {
		for (unsigned i = 0; i < n; i++)
			f->netif.frames[i] = frame;
		f->netif.first = 0;
		f->netif.nframes = n;
	}
	net_run(f);
}

/* Nothing is received on a disabled queue; nothing comes late, either. */
START_TEST(disabled_receiver)
{
	struct vdev_net_counters n;
	struct net_fixture f;

	net_init(&f, _i & 1, _i / 2);
	net_start(&f);
	for (unsigned i = 0; i < 8; i++)
		(void)net_buffer(&f, 0, 2048, 1);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	frames_come(&f, _i / 2, 3);
	ck_assert_uint_eq(got(&f, 0), 0);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 3);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	net_run(&f);
	ck_assert_uint_eq(got(&f, 0), 0);
	frames_come(&f, _i / 2, 2);
	ck_assert_uint_eq(got(&f, 0), 2);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 3);
	net_fini(&f);
}
END_TEST

/* Front-ends that keep the control queue: MQ without CTRL_VQ, and pairs are in use as their queues are enabled. */
START_TEST(pairs_by_enabling)
{
	struct net_fixture f;
	unsigned n[3] = {8, 8, 8}, all; /* buffers to be given */

	net_init(&f, _i & 1, 0);
	f.net_cfg.pairs = 3;
	net_want(&f, VDEV_NET_F_MQ);
	net_start(&f);
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned pair = 0; pair < 3; pair++) {
			for (; n[pair] > 0; n[pair]--)
				(void)net_buffer(&f, pair, 2048, 1);
			ck_assert_int_eq(vdev_queue_enable(f.v, 2 * pair, round >> pair & 1), 0);
		}
		frames_come(&f, 0, 8);
		all = 0;
		for (unsigned pair = 0; pair < 3; pair++) {
			n[pair] = got(&f, pair);
			ck_assert(round >> pair & 1 || n[pair] == 0);
			all += n[pair];
		}
		ck_assert_uint_eq(all, round != 0 ? 8 : 0);
	}
	net_fini(&f);
}
END_TEST

/* Notifications that the driver wants held back come before their time where a queue is stopped. */
START_TEST(stopped_with_notifications_held_back)
{
	static const uint8_t coal[8] = {100, 0, 0, 0, 0, 0, 16};
	struct virtq_iov iov;
	struct vdev_frame frame = net_frame(&iov, bytes, sizeof(bytes));
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	ck_assert_int_eq(ctrl_set(&f, 6, 1, coal, sizeof(coal)), CTRL_OK);
	net_run(&f);
	for (unsigned i = 0; i < 4; i++)
		(void)net_buffer(&f, 0, 256, 1);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_eq(net_push(&f, &frame, 1), 1);
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_uint_eq(f.interrupts[0], 1);
	CLAUSE("net/ctrl/notifications-coalescing/D7");
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("network device and host");
	TCase *tc = tcase_create("host");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, told_of_an_mtu, 0, 2);
	tcase_add_test(tc, no_mtu_to_be_told);
	tcase_add_loop_test(tc, speed_and_duplex, 0, 3);
	tcase_add_test(tc, speed_that_changes);
	tcase_add_loop_test(tc, told_to_announce, 0, 2);
	tcase_add_loop_test(tc, disabled_senders, 0, 4);
	tcase_add_loop_test(tc, disabled_receiver, 0, 4);
	tcase_add_loop_test(tc, pairs_by_enabling, 0, 2);
	tcase_add_loop_test(tc, stopped_with_notifications_held_back, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
