/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of virtio-net's control queue that lie. Tests named after rows of hostile ways are listed in net_ctrl_rows.tsv. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "libvdev/devices/net/net.h"
#include "net_ctrl.h"
#include "rng.h"

enum { STATE = 8192 };

/* All that a driver can set, as a saved state has it. */
static size_t settings(struct net_fixture *f, uint8_t *to)
{
	struct vdev_writer w = {.buf = to, .cap = STATE};

	ck_assert_int_eq(net_save(vdev_model_of(f->v, &net_model_ops), &w), 0);
	return w.len;
}

/* A command that is refused, after which all is as it was. */
static void refused(struct net_fixture *f, unsigned class, unsigned command, const void *data,
                    uint32_t len)
{
	static uint8_t before[STATE], after[STATE];
	size_t bytes = settings(f, before);

	ck_assert_int_eq(ctrl_set(f, class, command, data, len), CTRL_ERR);
	ck_assert_uint_eq(settings(f, after), bytes);
	ck_assert_mem_eq(after, before, bytes);
	ck_assert_uint_eq(vdev_status(f->v) & VIRTQ_STATUS_NEEDS_RESET, 0);
}

static void start(struct net_fixture *f, uint32_t pairs)
{
	ctrl_init(f, 0, pairs);
	net_start(f);
}

/* Counts of addresses that wrap, alone or with what came before them. */
START_TEST(CVE_2014_0150)
{
	static const uint32_t counts[] = {0xffffffff, 0xfffffffe, 0x2aaaaaab, 0x2aaaaaaa, 0x15555556,
	                                  0x80000000, 0x40000000, 0xaaaaaaab, 65536,      3};
	uint8_t data[4 + 12 + 4 + 12];
	struct net_fixture f;

	start(&f, 1);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		memset(data, 0, sizeof(data));
		net_put_le32(data, counts[i]);
		for (uint32_t len = 0; len <= sizeof(data); len++)
			if (counts[i] != 3 || len != 4 + 18 + 4)
				refused(&f, NET_CTRL_MAC, NET_MAC_TABLE_SET, data, len);
		/* the second one, behind two that are well */
		memset(data, 0, sizeof(data));
		net_put_le32(data, 2);
		data[4 + 12 + 4] = 1;
		data[4 + 12 + 10] = 1;
		net_put_le32(data + 16, counts[i]);
		for (uint32_t len = 0; len <= sizeof(data); len++)
			refused(&f, NET_CTRL_MAC, NET_MAC_TABLE_SET, data, len);
	}
	net_fini(&f);
}
END_TEST

/* Queues that are not there, in a table or instead of it. */
START_TEST(CVE_2024_6505)
{
	static const uint16_t bad[] = {4, 5, 64, 0x3fff, 0x7fff, 0x8000, 0x8001, 0xffff};
	uint8_t rss[512], frame[64] = {2, 0, 0, 0, 0, 1};
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, sizeof(frame));
	struct vdev_net_counters n;
	struct net_fixture f;
	uint32_t len;

	start(&f, 4);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (uint32_t at = 0; at < 8; at++) {
			len = ctrl_rss(rss, 0x1ff, 8, 4, 4, 40);
			net_put_le16(rss + 8 + 2 * at, bad[i]);
			refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
		}
		len = ctrl_rss(rss, 0x1ff, 8, 4, 4, 40);
		net_put_le16(rss + 6, bad[i]);
		refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
		len = ctrl_rss(rss, 0x1ff, 8, 4, bad[i] == 4 ? 0 : bad[i], 40);
		refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
	}
	/* Those that are there, and then are not any more. */
	len = ctrl_rss(rss, 0x1ff, 8, 4, 4, 40);
	net_put_le16(rss + 6, 3);
	ck_assert_int_eq(ctrl_set(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len), CTRL_OK);
	ck_assert_int_eq(vdev_queue_reset(f.v, 6), 0);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1); /* not IP: unclassified */
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 1);
	net_fini(&f);
}
END_TEST

/* Sizes of tables: one that wraps to none, no power of two, longer than offered, longer than what is there. */
START_TEST(QEMU_cd76e8fcbe)
{
	static const uint16_t masks[] = {0xffff, 0x7fff, 0xff, 2, 4, 5, 126, 128};
	static uint8_t rss[4096];
	struct net_fixture f;
	uint32_t len;

	start(&f, 4);
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		for (len = 0; len < 400; len += 3) {
			(void)ctrl_rss(rss, 0x1ff, 128, 4, 4, 40);
			net_put_le16(rss + 4, masks[i]);
			refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
		}
		if (masks[i] < 1000) {
			len = ctrl_rss(rss, 0x1ff, masks[i] + 1u, 4, 4, 40);
			refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
		}
	}
	for (uint32_t key = 0; key < 256; key++) {
		len = ctrl_rss(rss, 0x1ff, 4, 4, 4, key);
		if (key == 0 || key > 40)
			refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len);
		refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len - 1);
		refused(&f, NET_CTRL_MQ, NET_MQ_RSS_CONFIG, rss, len + 1);
	}
	net_fini(&f);
}
END_TEST

/* Pairs beyond what the device has, which the protocol would allow. */
START_TEST(CH_0e085592b)
{
	struct net_fixture f;

	start(&f, 4);
	for (uint32_t pairs = 0; pairs < 0x10000; pairs += pairs < 70 ? 1 : 101) {
		uint8_t data[2] = {(uint8_t)pairs, (uint8_t)(pairs >> 8)};

		if (pairs >= 1 && pairs <= 4)
			ck_assert_int_eq(ctrl_set(&f, NET_CTRL_MQ, NET_MQ_PAIRS_SET, data, 2), CTRL_OK);
		else
			refused(&f, NET_CTRL_MQ, NET_MQ_PAIRS_SET, data, 2);
	}
	net_fini(&f);
}
END_TEST

/* Chains that are no commands. */
START_TEST(chains_of_any_form)
{
	struct virtq_seg seg[8];
	struct virtq_done done;
	struct virtq_drv *drv;
	struct net_fixture f;
	uint64_t gpa;
	uint8_t *p;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	f.at += 1 << 17;
	drv = vdev_loopback_drv(f.l, 2);
	/* Class and command in descriptors of their own, and nothing but the ack, or less than a command. */
	for (uint32_t out = 0; out <= 3; out++) {
		p = net_alloc(&f, 64, &gpa);
		memset(p, 0, 64);
		p[32] = 0xa5;
		for (uint32_t i = 0; i < out; i++)
			seg[i] = (struct virtq_seg){.addr = gpa + i, .len = 1};
		seg[out] = (struct virtq_seg){.addr = gpa + 32, .len = 1};
		seg[out + 1] = (struct virtq_seg){.addr = gpa + 33, .len = 7};
		ck_assert_int_eq(virtq_drv_add(drv, seg, (uint16_t)out, 2, p), 0);
		vdev_loopback_kick(f.l, 2);
		ck_assert_int_eq(virtq_drv_take(drv, &done, 1), 1);
		ck_assert_uint_eq(done.written, 1);
		ck_assert_uint_eq(p[32], out == 3 ? CTRL_OK : CTRL_ERR);
	}
	/* No room for an ack: nothing can be said, and the queue is broken; the others go on. */
	p = net_alloc(&f, 64, &gpa);
	seg[0] = (struct virtq_seg){.addr = gpa, .len = 3};
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 0, p), 0);
	vdev_loopback_kick(f.l, 2);
	ck_assert_int_eq(vdev_queue_broken(f.v, 2), 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	net_fini(&f);
}
END_TEST

/* More than a command may have. */
START_TEST(longest_commands)
{
	static uint8_t data[60000];
	struct net_fixture f;

	start(&f, 1);
	net_put_le32(data, (32768 - 2 - 8) / 6);
	for (size_t i = 0; i < (32768 - 2 - 8) / 6; i++)
		data[4 + 6 * i] = 2;
	ck_assert_int_eq(ctrl_set(&f, NET_CTRL_MAC, 0, data, 8 + (32768 - 2 - 8) / 6 * 6), CTRL_OK);
	net_put_le32(data, 6000);
	for (size_t i = 0; i < 6000; i++)
		data[4 + 6 * i] = 2;
	refused(&f, NET_CTRL_MAC, 0, data, 8 + 36000);
	refused(&f, NET_CTRL_MAC, 0, data, sizeof(data));
	net_fini(&f);
}
END_TEST

/* Any bytes for any command: an answer each, and what is refused has changed nothing. */
START_TEST(any_bytes)
{
	static const uint8_t lens[8] = {0, 1, 1, 2, 2, 4, 8, 12};
	static uint8_t data[1024], before[STATE], after[STATE], reply[CTRL_ROOM];
	struct net_fixture f;
	unsigned fine = 0;
	struct rng rng;

	rng_seed(&rng, 7 + (unsigned)_i);
	ctrl_init(&f, _i, 4);
	net_want(&f, VDEV_NET_F_HASH_REPORT);
	net_start(&f);
	for (unsigned round = 0; round < 3000; round++) {
		unsigned class = rng_below(&rng, 11), command = rng_below(&rng, 5);
		uint32_t len = rng_one_in(&rng, 2) ? lens[rng_below(&rng, 8)] : rng_below(&rng, 400);
		uint32_t room = rng_below(&rng, 3) * rng_below(&rng, 200);
		size_t bytes = settings(&f, before);
		int ack;

		for (uint32_t i = 0; i < len; i++)
			data[i] = (uint8_t)(rng_one_in(&rng, 2) ? rng_below(&rng, 3) : rng_next(&rng));
		ack = ctrl_command(&f, class, command, data, len, reply, room, NULL);
		fine += ack == CTRL_OK;
		if (ack == CTRL_OK)
			continue;
		ck_assert_uint_eq(settings(&f, after), bytes);
		ck_assert_mem_eq(after, before, bytes);
	}
	ck_assert_uint_gt(fine, 30);
	ck_assert_uint_eq(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_ctrl");
	TCase *tc = tcase_create("net_ctrl");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, CVE_2014_0150);
	tcase_add_test(tc, CVE_2024_6505);
	tcase_add_test(tc, QEMU_cd76e8fcbe);
	tcase_add_test(tc, CH_0e085592b);
	tcase_add_loop_test(tc, chains_of_any_form, 0, 2);
	tcase_add_test(tc, longest_commands);
	tcase_add_loop_test(tc, any_bytes, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
