/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: the control queue. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_ctrl.h"

enum { PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST };
enum {
	RX = 0,
	MAC = 1,
	VLAN = 2,
	ANNOUNCE = 3,
	MQ = 4,
	OFFLOADS = 5,
	COAL = 6,
	TUNNEL = 7,
	CTX = 9
};
enum { STATS = 8 };

static const uint8_t own[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t other[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 9};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Whether a frame to an address gets through; with a tag unless that is < 0. */
static int passes(struct net_fixture *f, const uint8_t *to, int tag)
{
	uint8_t bytes[64] = {0};
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, bytes, sizeof(bytes));
	uint8_t *p;

	memcpy(bytes, to, 6);
	if (tag >= 0) {
		bytes[12] = 0x81;
		bytes[14] = (uint8_t)(0xe0 | tag >> 8); /* and a priority, that does not matter */
		bytes[15] = (uint8_t)tag;
	}
	f->at = 8 << 20;
	(void)net_buffer(f, 0, 256, 1);
	ck_assert_uint_eq(net_push(f, &fr, 1), 1);
	p = net_received(f, 0, NULL);
	if (p == NULL) {
		/* the buffer is still there, for another */
		memcpy(bytes, own, 6);
		memset(bytes + 12, 0, 4);
		ck_assert_int_eq(ctrl_value(f, RX, PROMISC, 1, 1), CTRL_OK);
		ck_assert_uint_eq(net_push(f, &fr, 1), 1);
		ck_assert_ptr_nonnull(net_received(f, 0, NULL));
		ck_assert_int_eq(ctrl_value(f, RX, PROMISC, 0, 1), CTRL_OK);
	}
	return p != NULL;
}

static void mode(struct net_fixture *f, unsigned which, int on)
{
	ck_assert_int_eq(ctrl_value(f, RX, which, (uint64_t)on, 1), CTRL_OK);
}

START_TEST(modes)
{
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	ck_assert(passes(&f, own, -1) && passes(&f, other, -1) && passes(&f, group, -1));
	mode(&f, PROMISC, 0);
	CLAUSE("net/ctrl/rx-filter/D1");
	ck_assert(passes(&f, own, -1));
	ck_assert(!passes(&f, other, -1));
	CLAUSE("net/ctrl/mac-filter/D4");
	ck_assert(!passes(&f, group, -1));
	CLAUSE("net/ctrl/mac-filter/D1");
	ck_assert(passes(&f, everybody, -1));
	mode(&f, ALLMULTI, 1);
	ck_assert(passes(&f, group, -1));
	CLAUSE("net/ctrl/rx-filter/D4");
	ck_assert(!passes(&f, other, -1));
	mode(&f, ALLUNI, 1);
	ck_assert(passes(&f, other, -1));
	CLAUSE("net/ctrl/rx-filter/D6");
	mode(&f, NOMULTI, 1);
	ck_assert(!passes(&f, group, -1));
	CLAUSE("net/ctrl/rx-filter/D7");
	CLAUSE("net/ctrl/rx-filter/D8");
	ck_assert(passes(&f, everybody, -1));
	CLAUSE("net/ctrl/rx-filter/D9");
	mode(&f, NOUNI, 1);
	ck_assert(!passes(&f, own, -1) && !passes(&f, other, -1));
	CLAUSE("net/ctrl/rx-filter/D10");
	CLAUSE("net/ctrl/rx-filter/D11");
	mode(&f, NOBCAST, 1);
	ck_assert(!passes(&f, everybody, -1));
	CLAUSE("net/ctrl/rx-filter/D12");
	CLAUSE("net/ctrl/rx-filter/D13");
	CLAUSE("net/ctrl/rx-filter/D5");
	mode(&f, PROMISC, 1);
	ck_assert(passes(&f, own, -1) && passes(&f, other, -1) && passes(&f, group, -1) &&
	          passes(&f, everybody, -1));
	CLAUSE("net/ctrl/rx-filter/D2");
	CLAUSE("net/ctrl/rx-filter/D3");
	net_fini(&f);
}
END_TEST

/* Two tables as the driver sends them; returns their bytes. */
static uint32_t tables(uint8_t *to, uint32_t uni, uint32_t multi)
{
	uint32_t at = 0;

	for (int kind = 0; kind < 2; kind++) {
		uint32_t n = kind == 0 ? uni : multi;

		memset(to + at, 0, 4);
		to[at] = (uint8_t)n;
		to[at + 1] = (uint8_t)(n >> 8);
		at += 4;
		for (uint32_t i = 0; i < n; i++, at += 6) {
			const uint8_t mac[6] = {(uint8_t)(2 + kind), 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};

			memcpy(to + at, mac, 6);
		}
	}
	return at;
}

START_TEST(addresses)
{
	const uint8_t third[6] = {2, 1, 0, 0, 0, 2}, third_group[6] = {3, 1, 0, 0, 0, 2};
	uint8_t data[2048], shown[6];
	struct net_fixture f;
	uint32_t len;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	mode(&f, PROMISC, 0);
	ck_assert(!passes(&f, third, -1) && !passes(&f, third_group, -1));
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 3, 3)), CTRL_OK);
	ck_assert(passes(&f, third, -1) && passes(&f, third_group, -1) && passes(&f, own, -1));
	CLAUSE("net/ctrl/mac-filter/D2");
	ck_assert(!passes(&f, other, -1) && !passes(&f, group, -1));
	/* More than are told apart: then all of that kind. */
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 65, 0)), CTRL_OK);
	ck_assert(passes(&f, third, -1) && passes(&f, other, -1) && !passes(&f, third_group, -1));
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 0, 200)), CTRL_OK);
	ck_assert(!passes(&f, third, -1) && passes(&f, group, -1));
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 64, 64)), CTRL_OK);
	ck_assert(passes(&f, third, -1) && !passes(&f, other, -1) && !passes(&f, group, -1));
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 0, 0)), CTRL_OK);
	ck_assert(!passes(&f, third, -1));
	/* Wrong in some way: nothing changes. */
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, tables(data, 3, 3)), CTRL_OK);
	len = tables(data, 2, 0);
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, len - 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, len + 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, len - 4), CTRL_ERR);
	data[4] |= 1; /* a group among the others */
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, len), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MAC, 0, data, 0), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MAC, 2, data, 6), CTRL_ERR);
	ck_assert(passes(&f, third, -1) && passes(&f, third_group, -1));
	/* The driver's own address. */
	ck_assert_int_eq(ctrl_set(&f, MAC, 1, other, 5), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MAC, 1, group, 6), CTRL_ERR);
	ck_assert(passes(&f, own, -1));
	ck_assert_int_eq(ctrl_set(&f, MAC, 1, other, 6), CTRL_OK);
	vdev_config_read(f.v, 0, shown, 6);
	ck_assert_mem_eq(shown, other, 6);
	CLAUSE("net/ctrl/mac-filter/D3");
	ck_assert(passes(&f, other, -1) && !passes(&f, own, -1));
	/* All that ends with a reset. */
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	vdev_config_read(f.v, 0, shown, 6);
	ck_assert_mem_eq(shown, own, 6);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	ck_assert(passes(&f, other, -1) && passes(&f, group, -1));
	mode(&f, PROMISC, 0);
	ck_assert(!passes(&f, other, -1) && !passes(&f, third, -1) && passes(&f, own, -1));
	CLAUSE("net/ctrl/mac-filter/D1");
	net_fini(&f);
}
END_TEST

START_TEST(vlans)
{
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	ck_assert(passes(&f, own, 5));
	mode(&f, PROMISC, 0);
	ck_assert(!passes(&f, own, 5) && passes(&f, own, -1));
	CLAUSE("net/ctrl/vlan-filtering/D2b");
	ck_assert_int_eq(ctrl_value(&f, VLAN, 0, 5, 2), CTRL_OK);
	ck_assert_int_eq(ctrl_value(&f, VLAN, 0, 4095, 2), CTRL_OK);
	ck_assert(passes(&f, own, 5) && passes(&f, own, 4095) && !passes(&f, own, 6));
	CLAUSE("net/ctrl/vlan-filtering/D2a");
	ck_assert(!passes(&f, other, 5)); /* the address counts too */
	ck_assert_int_eq(ctrl_value(&f, VLAN, 1, 5, 2), CTRL_OK);
	ck_assert(!passes(&f, own, 5) && passes(&f, own, 4095));
	ck_assert_int_eq(ctrl_value(&f, VLAN, 0, 4096, 2), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, VLAN, 0, 1, 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, VLAN, 0, 1, 3), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, VLAN, 2, 1, 2), CTRL_ERR);
	net_fini(&f);
	ctrl_init(&f, _i, 1);
	virtq_features_clear(&f.cfg.wanted, VDEV_NET_F_CTRL_VLAN);
	net_start(&f);
	mode(&f, PROMISC, 0);
	ck_assert(passes(&f, own, 5) && passes(&f, own, 4095));
	CLAUSE("net/ctrl/vlan-filtering/D1");
	net_fini(&f);
}
END_TEST

/* Each command needs its feature. */
START_TEST(not_negotiated)
{
	static const struct {
		uint8_t class, command, len;
	} all[] = {{RX, PROMISC, 1}, {RX, NOUNI, 1},   {MAC, 0, 8},    {MAC, 1, 6},   {VLAN, 0, 2},
	           {VLAN, 1, 2},     {ANNOUNCE, 0, 0}, {MQ, 0, 2},     {MQ, 1, 11},   {MQ, 2, 13},
	           {OFFLOADS, 0, 8}, {COAL, 0, 8},     {COAL, 1, 8},   {COAL, 2, 12}, {COAL, 3, 4},
	           {TUNNEL, 0, 4},   {STATS, 0, 0},    {STATS, 1, 16}, {CTX, 0, 0},   {CTX, 1, 19},
	           {CTX, 2, 19},     {CTX, 3, 2},      {10, 0, 0},     {255, 255, 1}};
	struct net_fixture f;
	uint8_t data[64] = {0}, reply[64];
	uint32_t got;

	net_init(&f, 0, 0);
	f.net_cfg.pairs = 1;
	net_want(&f, VDEV_NET_F_CTRL_VQ);
	net_start(&f);
	data[0] = 1;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ck_assert_int_eq(
			ctrl_command(&f, all[i].class, all[i].command, data, all[i].len, reply, 32, &got),
			CTRL_ERR);
	ck_assert_uint_eq(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	net_fini(&f);
}
END_TEST

START_TEST(offloads)
{
	struct vdev_net_counters n;
	struct net_fixture f;
	uint8_t bytes[100] = {2, 0, 0, 0, 0, 1}, *p;
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, bytes, sizeof(bytes));

	ctrl_init(&f, _i, 1);
	net_start(&f);
	bytes[12] = 0x88; /* no IP: a checksum is filled in where it is asked for, and no more */
	bytes[13] = 0xb5;
	fr.offload.flags = VDEV_NET_NEEDS_CSUM;
	fr.offload.csum_start = 40;
	fr.offload.csum_offset = 6;
	(void)net_buffer(&f, 0, 256, 1);
	(void)net_buffer(&f, 0, 256, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	p = net_received(&f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p[0], VDEV_NET_NEEDS_CSUM);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_CSUM | 1 << 8, 8), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1, 8), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, (uint64_t)1 << 46, 8), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 0, 4), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 1, 0, 8), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 0, 8), CTRL_OK);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	vdev_net_counters(f.v, &n);
	p = net_received(&f, 0, NULL);
	if (p != NULL)
		ck_assert_uint_eq(p[0] & VDEV_NET_NEEDS_CSUM, 0); /* filled in for it */
	else
		ck_assert_uint_eq(n.unfit, 1);
	ck_assert_int_eq(ctrl_value(&f, OFFLOADS, 0, 1 << VDEV_NET_F_GUEST_CSUM, 8), CTRL_OK);
	(void)net_buffer(&f, 0, 256, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	p = net_received(&f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p[0], VDEV_NET_NEEDS_CSUM);
	net_fini(&f);
}
END_TEST

START_TEST(announcing)
{
	struct net_fixture f;
	uint8_t status[2];

	ctrl_init(&f, _i, 1);
	net_start(&f);
	ck_assert_int_eq(vdev_net_announce(f.v, NULL), 0);
	vdev_config_read(f.v, 6, status, 2);
	ck_assert_uint_eq(status[0], 3);
	ck_assert_uint_eq(f.config_changes, 1);
	ck_assert_uint_eq(f.netif.nsent, 0);
	ck_assert_int_eq(ctrl_set(&f, ANNOUNCE, 1, NULL, 0), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, ANNOUNCE, 0, "", 1), CTRL_ERR);
	vdev_config_read(f.v, 6, status, 2);
	ck_assert_uint_eq(status[0], 3);
	ck_assert_int_eq(ctrl_set(&f, ANNOUNCE, 0, NULL, 0), CTRL_OK);
	vdev_config_read(f.v, 6, status, 2);
	ck_assert_uint_eq(status[0], 1);
	CLAUSE("net/ctrl/gratuitous-packet-sending/D1");
	net_fini(&f);
	/* A driver that can't: the device says it. */
	net_init(&f, _i, 0);
	net_start(&f);
	ck_assert_int_eq(vdev_net_announce(f.v, NULL), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 1);
	ck_assert_uint_eq(f.netif.sent[0].len, 60);
	ck_assert_mem_eq(f.netif.sent[0].bytes, everybody, 6);
	ck_assert_mem_eq(f.netif.sent[0].bytes + 6, own, 6);
	ck_assert_int_eq(vdev_net_announce(f.v, other), 0);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 2);
	ck_assert_mem_eq(f.netif.sent[1].bytes + 6, other, 6);
	net_fini(&f);
	/* And has nothing to say where nobody has told it an address. */
	net_init(&f, _i, 0);
	memset(f.net_cfg.mac, 0, sizeof(f.net_cfg.mac));
	memset(f.netif.info.mac, 0, sizeof(f.netif.info.mac));
	net_start(&f);
	ck_assert_int_eq(vdev_net_announce(f.v, NULL), VIRTQ_ENOTSUP);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 0);
	net_fini(&f);
}
END_TEST

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static void query(uint8_t *to, unsigned vq, uint64_t kinds)
{
	memset(to, 0, 16);
	to[0] = (uint8_t)vq;
	to[1] = (uint8_t)(vq >> 8);
	to[2] = 0x77; /* reserved */
	for (int i = 0; i < 8; i++)
		to[8 + i] = (uint8_t)(kinds >> 8 * i);
}

START_TEST(statistics)
{
	const uint64_t cvq = (uint64_t)1 << 32;
	uint8_t bytes[60] = {2, 0, 0, 0, 0, 1}, data[64], r[512], hdr[12] = {0};
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, bytes, sizeof(bytes));
	struct net_fixture f;
	uint32_t got;

	ctrl_init(&f, _i, 2);
	net_start(&f);
	ck_assert_int_eq(ctrl_command(&f, STATS, 0, NULL, 0, r, 64, &got), CTRL_OK);
	ck_assert_uint_eq(got, 8);
	ck_assert_uint_eq(le64(r), cvq | 0x70007);
	CLAUSE("net/ctrl/device-statistics/D1");
	(void)net_buffer(&f, 0, 256, 1);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1); /* there is one buffer */
	net_send(&f, 1, hdr, bytes, sizeof(bytes), NULL);
	vdev_loopback_kick(f.l, 3);
	query(data, 0, 1);
	query(data + 16, 3, 0x10000 | 0x20000);
	query(data + 32, 4, cvq);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 48, r, 512, &got), CTRL_OK);
	ck_assert_uint_eq(got, 56 + 56 + 24 + 24);
	ck_assert_uint_eq(r[0], 0);
	ck_assert_uint_eq(r[2], 0);
	ck_assert_uint_eq(r[6], 56);
	ck_assert_uint_eq(le64(r + 16), 1);  /* packets */
	ck_assert_uint_eq(le64(r + 24), 60); /* bytes */
	ck_assert_uint_eq(le64(r + 40), 1);  /* drops */
	ck_assert_uint_eq(le64(r + 48), 1);  /* for want of buffers */
	ck_assert_uint_eq(r[56], 16);
	ck_assert_uint_eq(r[58], 3);
	CLAUSE("net/ctrl/device-statistics/D5");
	ck_assert_uint_ge(le64(r + 64), 1); /* notifications */
	ck_assert_uint_eq(le64(r + 72), 1);
	ck_assert_uint_eq(le64(r + 80), 60);
	ck_assert_uint_eq(r[112], 17);
	ck_assert_uint_eq(r[118], 24);
	CLAUSE("net/ctrl/device-statistics/D4");
	ck_assert_uint_eq(le64(r + 120), 1);
	ck_assert_uint_eq(r[136], 32);
	ck_assert_uint_eq(r[138], 4);
	ck_assert_uint_eq(le64(r + 144), 2);
	ck_assert_uint_eq(le64(r + 152), 2);
	/* Less room: as much as fits, and not a byte more. */
	memset(r, 0xee, sizeof(r));
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 48, r, 60, &got), CTRL_OK);
	ck_assert_uint_eq(got, 60);
	ck_assert_uint_eq(r[60], 0xee);
	CLAUSE("net/ctrl/device-statistics/D6");
	/* One that is wrong fails all. */
	query(data + 16, 5, 1);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 32, r, 512, &got), CTRL_ERR);
	query(data + 16, 5, 0);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 32, r, 512, &got), CTRL_ERR);
	query(data + 16, 0, 0x10000); /* not of this kind of queue */
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 32, r, 512, &got), CTRL_ERR);
	query(data + 16, 0, (uint64_t)1 << 63);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 32, r, 512, &got), CTRL_ERR);
	query(data + 16, 0, 8); /* speed */
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 32, r, 512, &got), CTRL_ERR);
	CLAUSE("net/ctrl/device-statistics/D2");
	CLAUSE("net/ctrl/device-statistics/D3");
	query(data + 16, 0, 1);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 31, r, 512, &got), CTRL_ERR);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 0, r, 512, &got), CTRL_ERR);
	net_fini(&f);
	ctrl_init(&f, _i, 1);
	virtq_features_clear(&f.cfg.wanted, VDEV_NET_F_GUEST_TSO4);
	net_start(&f);
	query(data, 0, 4);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 16, r, 512, &got), CTRL_ERR);
	CLAUSE("net/ctrl/device-statistics/D2");
	net_fini(&f);
}
END_TEST

/* A frame that has to come again, since the netif does not take it, counts when it has gone out. */
START_TEST(statistics_of_frames_that_wait)
{
	uint8_t bytes[100] = {2, 0, 0, 0, 0, 1}, data[16], r[128];
	uint8_t hdr[12] = {1, 1, 54, 0, 20, 0, 34, 0, 16, 0}; /* NEEDS_CSUM, GSO_TCPV4 */
	struct net_fixture f;
	uint32_t got;

	ctrl_init(&f, _i & 1, 1);
	net_start(&f);
	f.netif.take = 0;
	f.at = 8 << 20; /* out of the way of commands */
	net_send(&f, 0, hdr, bytes, sizeof(bytes), _i & 2 ? (uint32_t[]){12, 0} : NULL);
	vdev_loopback_kick(f.l, 1);
	for (int i = 0; i < 3; i++) {
		f.now += 1000000;
		net_run(&f);
	}
	ck_assert_uint_gt(f.netif.sends, 2);
	query(data, 1, 0x20000 | 0x40000);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 16, r, 128, &got), CTRL_OK);
	ck_assert_uint_eq(got, 24 + 56);
	ck_assert_uint_eq(le64(r + 8), 0);
	ck_assert_uint_eq(le64(r + 16), 0);
	ck_assert_uint_eq(le64(r + 32), 0);
	f.netif.take = UINT32_MAX;
	f.netif.sink->writable(f.netif.sink->ctx);
	net_run(&f);
	ck_assert_uint_eq(f.netif.nsent, 1);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 16, r, 128, &got), CTRL_OK);
	ck_assert_uint_eq(le64(r + 8), 0);    /* as they are */
	ck_assert_uint_eq(le64(r + 16), 1);   /* with a checksum left to be done */
	ck_assert_uint_eq(le64(r + 32), 1);   /* segmented */
	ck_assert_uint_eq(le64(r + 40), 100); /* bytes of those */
	net_fini(&f);
}
END_TEST

/* All that did not go out is a drop: makes no sense, the netif takes nothing and there is no clock, queue disabled. */
START_TEST(statistics_of_what_is_dropped)
{
	uint8_t bytes[100] = {2, 0, 0, 0, 0, 1}, data[16], r[128], hdr[12] = {0};
	struct net_fixture f;
	uint32_t got;

	ctrl_init(&f, _i & 1, 1);
	f.env.now = NULL;
	net_start(&f);
	f.netif.take = 0;
	for (uint32_t len = 13; len <= 15; len++)
		net_send(&f, 0, hdr, bytes, len, _i & 2 ? (uint32_t[]){12, 0} : NULL);
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(vdev_queue_enable(f.v, 1, 0), 0);
	net_send(&f, 0, hdr, bytes, 60, NULL);
	vdev_loopback_kick(f.l, 1);
	query(data, 1, 0x10000);
	ck_assert_int_eq(ctrl_command(&f, STATS, 1, data, 16, r, 128, &got), CTRL_OK);
	ck_assert_uint_eq(le64(r + 16), 0);
	ck_assert_uint_eq(le64(r + 40), 4);
	ck_assert_uint_eq(le64(r + 48), 1);
	net_fini(&f);
}
END_TEST

/* What the configuration space says of all this. */
START_TEST(what_is_offered)
{
	struct virtq_features f128;
	struct net_fixture f;
	uint8_t c[28];

	ctrl_init(&f, 0, 64);
	net_start(&f);
	vdev_config_read(f.v, 0, c, sizeof(c));
	ck_assert_uint_eq(c[8] | c[9] << 8, 64);
	CLAUSE("net/config-layout/D1");
	ck_assert_uint_ge(c[17], 40);
	CLAUSE("net/config-layout/D7");
	ck_assert_uint_ge(c[18] | c[19] << 8, 128);
	CLAUSE("net/config-layout/D8");
	ck_assert_uint_eq(c[20] | c[21] << 8, 0x1ff);
	ck_assert_uint_eq(c[24] | c[25] << 8, 0x1ff);
	ck_assert_uint_eq(vdev_queue_count(f.v), 129);
	vdev_offered(f.v, &f128);
	ck_assert(virtq_features_has(&f128, VDEV_NET_F_CTRL_VQ));
	CLAUSE("net/config-layout/D13");
	CLAUSE("net/config-layout/D14");
	net_fini(&f);
	/* Without a clock nothing can be held back. */
	ctrl_init(&f, 0, 1);
	f.env.now = NULL;
	net_start(&f);
	vdev_offered(f.v, &f128);
	ck_assert(!virtq_features_has(&f128, VDEV_NET_F_NOTF_COAL));
	ck_assert(!virtq_features_has(&f128, VDEV_NET_F_VQ_NOTF_COAL));
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_ctrl");
	TCase *tc = tcase_create("net_ctrl");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, modes, 0, 2);
	tcase_add_loop_test(tc, addresses, 0, 2);
	tcase_add_loop_test(tc, vlans, 0, 2);
	tcase_add_test(tc, not_negotiated);
	tcase_add_loop_test(tc, offloads, 0, 2);
	tcase_add_loop_test(tc, announcing, 0, 2);
	tcase_add_loop_test(tc, statistics, 0, 2);
	tcase_add_loop_test(tc, statistics_of_frames_that_wait, 0, 4);
	tcase_add_loop_test(tc, statistics_of_what_is_dropped, 0, 4);
	tcase_add_test(tc, what_is_offered);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
