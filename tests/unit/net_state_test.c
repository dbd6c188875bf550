/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: saved state. What the driver has set goes over, and what makes no sense is refused with nothing changed. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "libvdev/devices/net/net.h"
#include "net_ctrl.h"
#include "rng.h"
#include "state_buffer.h"

static const uint8_t own[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t other[6] = {2, 0, 0, 0, 0, 2};

static void *model(struct net_fixture *f)
{
	return vdev_model_of(f->v, &net_model_ops);
}

static size_t section(struct net_fixture *f, uint8_t *to, size_t room)
{
	struct vdev_writer w = {.buf = to, .cap = room};

	ck_assert_int_eq(net_save(model(f), &w), 0);
	ck_assert_int_eq(w.error, 0);
	return w.len;
}

static int take(struct net_fixture *f, const uint8_t *from, size_t len, int apply)
{
	struct vdev_reader r = {.buf = from, .len = len};

	return net_load(model(f), &r, 1, apply);
}

/* Everything that can be set, with a table or without. */
static void set_all(struct net_fixture *f, int steers)
{
	uint8_t data[1024] = {3, 0, 0, 0, 2, 7, 7, 7, 7, 1, 2, 7, 7,    7, 7, 2,
	                      2, 7, 7, 7, 7, 3, 1, 0, 0, 0, 1, 0, 0x5e, 1, 2, 3};
	const uint8_t coal_all[8] = {9, 0, 0, 0, 200}, coal_vq[12] = {3, 0, 0, 0, 5, 0, 0, 0, 77};

	ck_assert_int_eq(ctrl_value(f, NET_CTRL_RX, NET_RX_PROMISC, 0, 1), CTRL_OK);
	ck_assert_int_eq(ctrl_value(f, NET_CTRL_RX, NET_RX_NOBCAST, 1, 1), CTRL_OK);
	ck_assert_int_eq(ctrl_set(f, NET_CTRL_MAC, 0, data, 4 + 18 + 4 + 6), CTRL_OK);
	ck_assert_int_eq(ctrl_set(f, NET_CTRL_MAC, 1, other, 6), CTRL_OK);
	ck_assert_int_eq(ctrl_value(f, NET_CTRL_VLAN, 0, 4001, 2), CTRL_OK);
	ck_assert_int_eq(ctrl_value(f, NET_CTRL_VLAN, 0, 3, 2), CTRL_OK);
	ck_assert_int_eq(ctrl_value(f, NET_CTRL_GUEST_OFFLOADS, 0, 2, 8), CTRL_OK);
	ck_assert_int_eq(ctrl_set(f, NET_CTRL_NOTF_COAL, 1, coal_all, 8), CTRL_OK);
	ck_assert_int_eq(ctrl_set(f, NET_CTRL_NOTF_COAL, 2, coal_vq, 12), CTRL_OK);
	ck_assert_int_eq(ctrl_value(f, NET_CTRL_HASH_TUNNEL, 0, 0x81, 4), CTRL_OK);
	if (steers) {
		ck_assert_int_eq(ctrl_set(f, NET_CTRL_MQ, 1, data, ctrl_rss(data, 0x1ff, 128, 3, 2, 40)),
		                 CTRL_OK);
		data[0] = 5;
		data[1] = 0;
		ck_assert_int_eq(
			ctrl_set(f, NET_CTRL_RSS_CTX, 1, data, 8 + ctrl_rss(data + 8, 3, 2, 2, 1, 17)),
			CTRL_OK);
	} else {
		memset(data, 0, sizeof(data));
		ck_assert_int_eq(ctrl_value(f, NET_CTRL_MQ, 0, 3, 2), CTRL_OK);
		data[0] = 0x12;
		data[12] = 20;
		data[13] = 0x6d;
		ck_assert_int_eq(ctrl_set(f, NET_CTRL_MQ, 2, data, 33), CTRL_OK);
	}
	ck_assert_int_eq(vdev_net_announce(f->v, NULL), 0);
}

static void fixture(struct net_fixture *f, int packed)
{
	ctrl_init(f, packed, 4);
	net_want(f, VDEV_NET_F_HASH_REPORT);
	f->hdr = 20;
	net_start(f);
	f->at += 1 << 17;
}

/* The old fixture's driver goes on with the new device, where all is as it was. */
START_TEST(goes_on_elsewhere)
{
	static uint8_t before[8192], after[8192];
	static struct state_buffer b;
	struct virtq_region region;
	struct virtq_mem mem;
	struct net_fixture f, to;
	struct vdev *old;
	unsigned got = 0;
	uint8_t shown[8], frame[60] = {0};
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, sizeof(frame));
	const struct vdev_net_sink *sink;
	size_t len;

	fixture(&f, _i & 1);
	set_all(&f, _i / 2);
	(void)net_buffer(&f, 0, 256, 1);
	(void)net_buffer(&f, 1, 256, 1);
	(void)net_buffer(&f, 2, 256, 1);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(f.v), state_buffer_init(&b)), 0);
	len = section(&f, before, sizeof(before));
	ctrl_init(&to, _i & 1, 4);
	ck_assert_int_eq(vdev_net_new(&to.v, &f.env, &to.netif.netif, &to.net_cfg), 0);
	region = (struct virtq_region){.gpa = NET_GPA, .len = NET_BYTES, .host = f.memory};
	ck_assert_int_eq(virtq_mem_init(&mem, &region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(to.v), &mem), 0);
	virtq_mem_unref(&mem);
	ck_assert_int_eq(vdev_function_load(vdev_function(to.v), &b.stream), 0);
	ck_assert_uint_eq(section(&to, after, sizeof(after)), len);
	ck_assert_mem_eq(after, before, len);
	ck_assert_int_eq(vdev_function_resume(vdev_function(to.v)), 0);
	vdev_config_read(to.v, 0, shown, 8);
	ck_assert_mem_eq(shown, other, 6);
	ck_assert_uint_eq(shown[6], 3);
	ck_assert_uint_eq(section(&to, after, sizeof(after)), len);
	ck_assert_mem_eq(after, before, len);
	/* Filters: its new address, and none of the others. */
	sink = to.netif.sink;
	memcpy(frame, own, 6);
	ck_assert_uint_eq(sink->deliver(sink->ctx, &fr, 1, 0), 1);
	for (unsigned q = 0; q < 3; q++)
		ck_assert_ptr_null(net_received(&f, q, NULL));
	memcpy(frame, other, 6);
	ck_assert_uint_eq(sink->deliver(sink->ctx, &fr, 1, 0), 1);
	for (unsigned q = 0; q < 3; q++)
		got += net_received(&f, q, NULL) != NULL;
	ck_assert_uint_eq(got, 1);
	ck_assert_uint_eq(to.netif.pairs, 3);
	ck_assert_uint_eq(to.netif.takes, VDEV_NET_TAKES_CSUM);
	ck_assert_int_eq(vdev_function_reset(vdev_function(to.v)), 0);
	old = to.v;
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(old), NULL), 0);
	ck_assert_int_eq(vdev_free(old), 0);
	fake_netif_clear(&to.netif);
	free(to.memory);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	net_fini(&f);
}
END_TEST

/* Cut short anywhere, or longer: refused. */
START_TEST(cut_short)
{
	static uint8_t state[8192], after[8192];
	struct net_fixture f;
	size_t len;

	fixture(&f, 0);
	set_all(&f, _i);
	len = section(&f, state, sizeof(state));
	for (size_t n = 0; n < len; n++)
		ck_assert_int_lt(take(&f, state, n, 0), 0);
	ck_assert_int_lt(take(&f, state, len + 1, 0), 0);
	ck_assert_int_eq(take(&f, state, len, 0), 0);
	ck_assert_uint_eq(section(&f, after, sizeof(after)), len);
	ck_assert_mem_eq(after, state, len);
	net_fini(&f);
}
END_TEST

/* Damaged in any way: refused, or something that can be set; and nothing has changed either way. */
START_TEST(damaged)
{
	static uint8_t state[8192], bad[8192], after[8192];
	struct net_fixture f;
	unsigned refused = 0;
	struct rng rng;
	size_t len;

	rng_seed(&rng, 41 + (unsigned)_i);
	fixture(&f, 0);
	set_all(&f, _i);
	len = section(&f, state, sizeof(state));
	for (unsigned round = 0; round < 20000; round++) {
		memcpy(bad, state, len);
		for (unsigned k = 0; k <= rng_below(&rng, 3); k++)
			bad[rng_below(&rng, (uint32_t)len)] = (uint8_t)rng_below(&rng, 256);
		refused += take(&f, bad, len, 0) < 0;
	}
	ck_assert_uint_gt(refused, 2000);
	ck_assert_uint_eq(section(&f, after, sizeof(after)), len);
	ck_assert_mem_eq(after, state, len);
	net_fini(&f);
}
END_TEST

static void put_part(struct vdev_writer *w, uint16_t type, uint8_t flags, uint64_t selector,
                     const void *value, uint32_t len)
{
	vdev_put16(w, type);
	vdev_put16(w, flags);
	vdev_put64(w, selector);
	vdev_put32(w, len);
	vdev_put(w, value, len);
}

/* Parts of one's own before what the device says. */
static int with_parts(struct net_fixture *f, void (*parts)(struct vdev_writer *w, int which),
                      int which)
{
	static uint8_t state[8192], made[16384];
	struct vdev_writer w = {.buf = made, .cap = sizeof(made)};
	size_t len = section(f, state, sizeof(state)), own_parts = net_get_le32(state);

	vdev_put32(&w, 0);
	parts(&w, which);
	net_put_le32(made, (uint32_t)w.len - 4);
	vdev_put(&w, state + 4 + own_parts, len - 4 - own_parts);
	ck_assert_int_eq(w.error, 0);
	return take(f, made, w.len, 0);
}

static void one(struct vdev_writer *w, int which)
{
	static uint8_t value[1000];
	const uint64_t table = NET_CTRL_MAC, vlans = NET_CTRL_VLAN, promisc = NET_CTRL_RX;

	memset(value, 0, sizeof(value));
	switch (which) {
	case 0: /* well and good */
		put_part(w, 0x200, 0, table, value, 8);
		put_part(w, 0x200, 0, vlans, value, 512);
		put_part(w, 0x201, 1, 5, value, 3); /* of no importance to us */
		break;
	case 1: /* twice */
		put_part(w, 0x200, 0, promisc, value, 1);
		put_part(w, 0x200, 0, promisc, value, 1);
		break;
	case 2: /* more addresses than there are */
		memset(value, 0xff, 4);
		put_part(w, 0x200, 0, table, value, 16);
		break;
	case 3: /* more than are told apart: that is said elsewhere */
		value[0] = 100;
		put_part(w, 0x200, 0, table, value, 4 + 600 + 4);
		break;
	case 4:
		put_part(w, 0x200, 0, vlans, value, 511);
		break;
	case 5: /* a selector that is not known */
		put_part(w, 0x200, 0, 77, value, 1);
		break;
	case 6:
		put_part(w, 0x201, 0, promisc, value, 1);
		break;
	case 7:
		put_part(w, 0x200, 2, promisc, value, 1);
		break;
	case 8: /* reserved bytes of the selector */
		put_part(w, 0x200, 0, promisc | (uint64_t)1 << 40, value, 1);
		break;
	case 9:
		value[0] = 5; /* pairs of which there are four */
		put_part(w, 0x200, 0, NET_CTRL_MQ, value, 2);
		break;
	case 10:
		value[0] = 2;
		put_part(w, 0x200, 0, promisc, value, 1);
		break;
	}
}

/* CVE-2013-4149 and its kin: counts in a state that its bytes don't bear out. */
START_TEST(parts_that_make_no_sense)
{
	struct net_fixture f;

	fixture(&f, 0);
	ck_assert_int_eq(with_parts(&f, one, 0), 0);
	for (int which = 1; which <= 10; which++)
		ck_assert_int_lt(with_parts(&f, one, which), 0);
	net_fini(&f);
}
END_TEST

/* Counters that the driver reads go round. */
START_TEST(counters_go_round)
{
	uint8_t query[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1}, reply[64], frame[60] = {2, 0, 0, 0, 0, 1};
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, frame, sizeof(frame));
	struct net_fixture f;
	uint32_t got;

	fixture(&f, 0);
	((struct net_device *)model(&f))->rx_count[0].bytes = UINT64_MAX - 9;
	(void)net_buffer(&f, 0, 256, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_int_eq(ctrl_command(&f, NET_CTRL_STATS, 1, query, 16, reply, 64, &got), CTRL_OK);
	ck_assert_uint_eq(net_get_le64(reply + 24), 50);
	CLAUSE("net/ctrl/device-statistics/D7");
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_state");
	TCase *tc = tcase_create("net_state");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, goes_on_elsewhere, 0, 4);
	tcase_add_loop_test(tc, cut_short, 0, 2);
	tcase_add_loop_test(tc, damaged, 0, 2);
	tcase_add_test(tc, parts_that_make_no_sense);
	tcase_add_test(tc, counters_go_round);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
