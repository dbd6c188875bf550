/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: the MTU that a driver is told, and what frames it lets through. */
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "net_fixture.h"

enum { MTU = 1000, HDR = 12, ETH = 14, TAG = 4 };

static uint8_t frame[16384];

/* A frame of payload bytes behind its header and tags. Returns its length. */
static uint32_t make(uint32_t payload, unsigned tags)
{
	uint32_t at = 12;

	for (uint32_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + payload);
	frame[0] = 2;
	for (unsigned i = 0; i < tags; i++, at += TAG) {
		frame[at] = i + 1 < tags ? 0x88 : 0x81;
		frame[at + 1] = i + 1 < tags ? 0xa8 : 0;
	}
	frame[at] = 0x88; /* for experiments */
	frame[at + 1] = 0xb5;
	return payload + ETH + tags * TAG;
}

static void start(struct net_fixture *f, int packed, uint16_t mtu)
{
	net_init(f, packed, 0);
	net_want(f, VDEV_NET_F_MTU);
	f->net_cfg.mtu = mtu;
}

/* No more than the MTU behind header and tags, whatever the buffers and the pieces of the frame. */
START_TEST(received)
{
	static const uint32_t payloads[] = {50, MTU - 1, MTU, MTU + 1, MTU + 4, MTU + 8, 1400};
	struct vdev_net_counters n;
	struct net_fixture f;
	uint64_t dropped = 0;

	start(&f, _i & 1, MTU);
	if (_i & 2)
		net_want(&f, VDEV_NET_F_MRG_RXBUF);
	net_start(&f);
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
		for (unsigned how = 0; how < 12; how++) {
			unsigned tags = how % 3, ecn = how / 3 % 2, pieces = 1 + how / 6;
			uint32_t len = make(payloads[i], tags), written;
			struct virtq_iov iov[2] = {{frame, len}};
			struct vdev_frame fr = {.iov = iov, .niov = pieces, .len = len};
			uint8_t *p;

			if (pieces == 2) {
				iov[0].len = 13;
				iov[1] = (struct virtq_iov){frame + 13, len - 13};
			}
			fr.offload.gso_type = ecn ? VDEV_NET_GSO_ECN : VDEV_NET_GSO_NONE;
			(void)net_buffer(&f, 0, 2048, pieces);
			ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
			p = net_received(&f, 0, &written);
			if (payloads[i] > MTU) {
				ck_assert_ptr_null(p);
				CLAUSE("net/config-layout/D5");
				dropped++;
				/* the buffer is still there: for one that may */
				fr = net_frame(iov, frame, make(50, 0));
				ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
				len = fr.len;
				p = net_received(&f, 0, &written);
			}
			ck_assert_ptr_nonnull(p);
			ck_assert_uint_eq(written, HDR + len);
			ck_assert_mem_eq(p + HDR, frame, len);
		}
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.oversized + n.unfit, dropped);
	ck_assert_uint_eq(dropped, 4 * 12);
	net_fini(&f);
}
END_TEST

/* What is left to the driver to segment is as long as it is. */
START_TEST(segmented_by_the_driver)
{
	static uint8_t tcp[54 + 3000];
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, tcp, sizeof(tcp));
	struct net_fixture f;
	uint32_t written;

	start(&f, _i, MTU);
	net_want(&f, VDEV_NET_F_GUEST_CSUM);
	net_want(&f, VDEV_NET_F_GUEST_TSO4);
	net_start(&f);
	tcp[46] = 0x50;
	fr.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                       .gso_type = VDEV_NET_GSO_TCPV4,
	                                       .gso_size = 900,
	                                       .csum_start = 34,
	                                       .csum_offset = 16};
	(void)net_buffer(&f, 0, 4096, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_nonnull(net_received(&f, 0, &written));
	ck_assert_uint_eq(written, HDR + sizeof(tcp));
	net_fini(&f);
}
END_TEST

/* Whatever is no longer than the MTU goes out as it is. */
START_TEST(sent)
{
	static const uint16_t mtus[] = {68, MTU, 1500, 9000};
	static const uint8_t hdr[HDR] = {0};
	uint16_t mtu = mtus[_i / 2];
	struct net_fixture f;

	start(&f, _i & 1, mtu);
	net_start(&f);
	for (uint32_t payload = mtu < 200 ? 46 : mtu - 100u; payload <= mtu; payload++)
		for (unsigned tags = 0; tags < 3; tags++) {
			uint32_t len = make(payload, tags), cut[16] = {payload % 3 == 0 ? 0 : HDR, 500};

			f.at = 1 << 20;
			net_send(&f, 0, hdr, frame, len, cut);
			vdev_loopback_kick(f.l, 1);
			ck_assert_uint_eq(f.netif.nsent, 1);
			ck_assert_uint_eq(f.netif.sent[0].len, len);
			ck_assert_mem_eq(f.netif.sent[0].bytes, frame, len);
			CLAUSE("net/config-layout/D6");
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			fake_netif_clear(&f.netif);
		}
	net_fini(&f);
}
END_TEST

/* Unless whoever makes the device asks for less, a driver is told what the netif can do, and of none where it has no limit. */
START_TEST(shown)
{
	static const struct {
		uint32_t netif;
		uint16_t asked, shown; /* 0: not offered */
	} all[] = {{0, 0, 0},          {1280, 0, 1280},   {1500, 0, 1500},
	           {65535, 0, 65535},  {0, 1280, 1280},   {9000, 1280, 1280},
	           {9000, 9000, 9000}, {0, 65535, 65535}, {1500, 68, 68}};
	struct virtq_features offered;
	struct net_fixture f;
	uint8_t mtu[2];

	net_init(&f, 0, 0);
	f.netif.info.mtu = all[_i].netif;
	f.net_cfg.mtu = all[_i].asked;
	net_start(&f);
	vdev_offered(f.v, &offered);
	vdev_config_read(f.v, 10, mtu, 2);
	ck_assert_int_eq(virtq_features_has(&offered, VDEV_NET_F_MTU) != 0, all[_i].shown != 0);
	ck_assert_uint_eq(mtu[0] | mtu[1] << 8, all[_i].shown);
	if (all[_i].asked == 0)
		CLAUSE("net/config-layout/D3");
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_mtu");
	TCase *tc = tcase_create("net_mtu");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, received, 0, 4);
	tcase_add_loop_test(tc, segmented_by_the_driver, 0, 2);
	tcase_add_loop_test(tc, sent, 0, 8);
	tcase_add_loop_test(tc, shown, 0, 9);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
