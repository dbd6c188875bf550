/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: frames too long for a port, and more than its limits let pass. */
#include "check_main.h"
#include "net_switch_rig.h"

static struct rig rig;

START_TEST(mtu_of_both_sides)
{
	struct vdev_switch_port_config small = {.mtu = 1000};
	struct vdev_netif_info info;
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &small);
	rig_port(&rig, NULL);
	rig.port[0]->ops->info(rig.port[0], &info);
	ck_assert_uint_eq(info.mtu, 1000);
	for (unsigned from = 0; from < 2; from++)
		for (uint32_t len = 1014; len < 1024; len++) {
			int tag = len > 1018 ? -1 : (int)(len & 1);

			rig_clear(&rig);
			test_frame_plain(&t, ~0u, from, tag > 0 ? 5 : -1, len);
			ck_assert_uint_eq(test_frame_send(rig.channel[from], &t), 1);
			ck_assert_uint_eq(rig.sink[!from]->n, len - 14 - (tag > 0 ? 4 : 0) <= 1000);
			test_frame_free(&t);
		}
	ck_assert_uint_eq(rig_counters(&rig, 0).in_oversized, 7);
	ck_assert_uint_eq(rig_counters(&rig, 0).out_oversized, 7);
	/* What will be segmented counts by its segments. */
	test_frame_plain(&t, ~0u, 1, -1, 20000);
	t.frame.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                            .gso_type = VDEV_NET_GSO_TCPV4,
	                                            .gso_size = 960,
	                                            .csum_start = 34};
	t.bytes[34 + 12] = 5 << 4;
	rig_clear(&rig);
	test_frame_send(rig.channel[1], &t);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	t.frame.offload.gso_size = 961;
	test_frame_send(rig.channel[1], &t);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	t.frame.offload.gso_type = VDEV_NET_GSO_UDP_L4;
	test_frame_send(rig.channel[1], &t);
	ck_assert_uint_eq(rig.sink[0]->n, 2);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/* Options, extension headers and what is around a tunnelled packet are in each segment. */
START_TEST(mtu_and_long_headers)
{
	static const struct {
		uint8_t gso_type;
		uint16_t csum_start; /* in a frame with a tag */
		uint32_t headers;
		uint8_t version;
	} all[] = {
		{VDEV_NET_GSO_TCPV4, 18 + 20, 20 + 32, 4},
		{VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN, 18 + 60, 60 + 32, 4},
		{VDEV_NET_GSO_TCPV6, 18 + 48, 48 + 32, 6},
		{VDEV_NET_GSO_TCPV6 | VDEV_NET_GSO_TUNNEL_V4, 18 + 28 + 8 + 14 + 40, 90 + 32, 4},
		{VDEV_NET_GSO_UDP_L4, 18 + 24, 24 + 8, 4},
		{VDEV_NET_GSO_UDP, 18 + 24, 24, 4},
		{VDEV_NET_GSO_UDP, 18 + 40, 40 + 8, 6},
		{VDEV_NET_GSO_TCPV4, 17, 40, 4}, /* makes no sense: as many as there are at least */
	};
	int fragments = all[_i].gso_type == VDEV_NET_GSO_UDP;
	const struct vdev_switch_port_config small = {.mtu = 1000};
	static struct test_frame t;
	uint8_t *length;

	rig_begin(&rig, NULL);
	rig_port(&rig, &small);
	rig_port(&rig, NULL);
	test_frame_plain(&t, ~0u, 1, 5, 20000);
	t.frame.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                            .gso_type = all[_i].gso_type,
	                                            .csum_start = all[_i].csum_start};
	length = t.bytes + all[_i].csum_start + 12;
	*length = 8 << 4 | 15;
	t.bytes[18] = (uint8_t)(all[_i].version << 4);
	for (int more = 0; more < 2; more++) {
		/* Fragments are as long as a multiple of 8. */
		uint32_t size = 1000 - all[_i].headers + (uint32_t)(fragments ? 7 + more : more);

		t.frame.offload.gso_size = (uint16_t)size;
		rig_clear(&rig);
		test_frame_send(rig.channel[1], &t);
		ck_assert_uint_eq(rig.sink[0]->n, !more);
	}
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/* Taken and passed of n frames that are sent at once. */
static unsigned passes(unsigned from, unsigned to, unsigned dst, unsigned n)
{
	unsigned before = rig.sink[to]->n;

	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(rig_send(&rig, from, dst, from == 0 ? 100 : 1, -1), 1);
	return rig.sink[to]->n - before;
}

START_TEST(limits_of_frames_and_bytes)
{
	struct vdev_switch_port_config cfg = {.in = {.frames_per_s = 1000}};

	rig_begin(&rig, NULL);
	rig_port(&rig, &cfg);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_clear(&rig);
	ck_assert_uint_eq(passes(0, 1, 1, 150), 100); /* a tenth of a second's worth */
	ck_assert_uint_eq(rig_counters(&rig, 0).in_limited, 50);
	rig.now += 10500000;
	ck_assert_uint_eq(passes(0, 1, 1, 20), 10);
	/* Not taken is not charged. */
	rig_clear(&rig);
	rig.now += UINT64_C(10000000000);
	rig.sink[1]->room = 0;
	for (unsigned i = 0; i < 500; i++)
		ck_assert_uint_eq(rig_send(&rig, 0, 1, 100, -1), 0);
	rig.sink[1]->room = SINK_KEPT;
	ck_assert_uint_eq(passes(0, 1, 1, 150), 100);

	cfg = (struct vdev_switch_port_config){.size = sizeof(cfg),
	                                       .out = {.bytes_per_s = 60000, .bytes_burst = 600}};
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &cfg), 0);
	rig_clear(&rig);
	ck_assert_uint_eq(passes(1, 0, 100, 20), 10);
	ck_assert_uint_eq(rig_counters(&rig, 0).out_limited, 10);
	rig.now += 3000000;
	ck_assert_uint_eq(passes(1, 0, 100, 20), 3);
	rig.now += 3000000;
	rig.sink[0]->busy = 1000;
	ck_assert_uint_eq(rig_send(&rig, 1, 100, 1, -1), 0);
	rig.sink[0]->busy = 0;
	ck_assert_uint_eq(passes(1, 0, 100, 20), 3);
	rig_end(&rig);
}
END_TEST

START_TEST(long_frames_pass_a_small_bucket_and_owe)
{
	struct vdev_switch_port_config cfg = {.in = {.bytes_per_s = 1000, .bytes_burst = 10}};
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &cfg);
	rig_port(&rig, NULL);
	test_frame_plain(&t, ~0u, 100, -1, 1000);
	ck_assert_uint_eq(test_frame_send(rig.channel[0], &t), 1);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	rig.now += 900000000;
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	rig.now += 200000000;
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig.sink[1]->n, 2);
	/* But not at another rate. */
	cfg.size = sizeof(cfg);
	cfg.in.bytes_per_s = 1;
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &cfg), 0);
	test_frame_send(rig.channel[0], &t);
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig.sink[1]->n, 3);
	cfg.in.bytes_per_s = 1000000;
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &cfg), 0);
	test_frame_send(rig.channel[0], &t);
	ck_assert_uint_eq(rig.sink[1]->n, 4);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(very_high_limits_are_none)
{
	static const uint64_t rates[] = {1000000000, 100000000000, 100000000000000, UINT64_MAX};

	for (unsigned i = 0; i < 4; i++) {
		struct vdev_switch_port_config cfg = {
			.in = {.bytes_per_s = rates[i], .frames_per_s = rates[i]},
			.out = {.bytes_per_s = rates[i],
		            .bytes_burst = UINT64_MAX,
		            .frames_per_s = 1000,
		            .frames_burst = UINT64_MAX}};

		rig_begin(&rig, NULL);
		rig_port(&rig, &cfg);
		rig_port(&rig, &cfg);
		ck_assert_uint_eq(passes(0, 1, ~0u, 200), 200);
		rig_end(&rig);
	}
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch_limit");
	TCase *tc = tcase_create("net_switch_limit");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, mtu_of_both_sides);
	tcase_add_loop_test(tc, mtu_and_long_headers, 0, 8);
	tcase_add_test(tc, limits_of_frames_and_bytes);
	tcase_add_test(tc, long_frames_pass_a_small_bucket_and_owe);
	tcase_add_test(tc, very_high_limits_are_none);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
