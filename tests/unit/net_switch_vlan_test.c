/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: VLANs, tags that come and go, and ports that change between them. */
#include "check_main.h"
#include "net_switch_rig.h"

static struct rig rig;

static const uint16_t some_vlans[] = {20, 30};
static const struct vdev_switch_port_config access10 = {.mode = VDEV_SWITCH_ACCESS, .vlan = 10},
											access20 = {.mode = VDEV_SWITCH_ACCESS, .vlan = 20},
											trunk = {.mode = VDEV_SWITCH_TRUNK,
                                                     .vlan = 10,
                                                     .vlans = some_vlans,
                                                     .nvlans = 2},
											trunk_all = {.mode = VDEV_SWITCH_TRUNK};

static void vlan_rig(void)
{
	rig_begin(&rig, NULL);
	rig_port(&rig, &access10);  /* 0 */
	rig_port(&rig, &access20);  /* 1 */
	rig_port(&rig, &trunk);     /* 2 */
	rig_port(&rig, &trunk_all); /* 3 */
	rig_port(&rig, &access10);  /* 4 */
	rig_port(&rig, NULL);       /* 5: plain */
}

START_TEST(tags_come_and_go)
{
	static struct test_frame t;
	static const int out10[] = {-2, -2, -1, 10, -1, -2}, out20[] = {-2, -2, 20, 20, -2, -2};

	vlan_rig();
	for (unsigned cut = 0; cut < 3; cut++) {
		for (unsigned from = 0; from < 2; from++) {
			rig_clear(&rig);
			test_frame_plain(&t, ~0u, 100, -1, 200);
			if (cut > 0)
				test_frame_cut(&t, cut == 1 ? 1 : 13, 30);
			ck_assert_uint_eq(test_frame_send(rig.channel[from], &t), 1);
			for (unsigned i = 0; i < 6; i++) {
				int vlan = from == 0 ? out10[i] : out20[i];

				ck_assert_uint_eq(rig.sink[i]->n, vlan != -2);
				if (vlan != -2)
					net_sink_check(rig.sink[i], 0, &t, vlan);
			}
			test_frame_free(&t);
		}
		/* And back: tagged from a trunk, to the VLAN's ports. */
		rig_clear(&rig);
		test_frame_plain(&t, ~0u, 3, 20, 200);
		if (cut > 0)
			test_frame_cut(&t, cut == 1 ? 1 : 17, 30);
		ck_assert_uint_eq(test_frame_send(rig.channel[3], &t), 1);
		net_sink_check(rig.sink[1], 0, &t, -1);
		net_sink_check(rig.sink[2], 0, &t, 20);
		ck_assert_uint_eq(rig.sink[0]->n + rig.sink[4]->n + rig.sink[5]->n, 0);
		test_frame_free(&t);
	}
	/* The same address in two VLANs is two addresses. */
	ck_assert_uint_eq(rig_where(&rig, 100, 10), 0);
	ck_assert_uint_eq(rig_where(&rig, 100, 20), 1);
	ck_assert_uint_eq(rig_where(&rig, 100, 0), ~0u);
	rig_clear(&rig);
	rig_send(&rig, 2, 100, 2, -1); /* native */
	rig_send(&rig, 2, 100, 2, 20);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	ck_assert_uint_eq(rig.sink[3]->n, 0);
	rig_end(&rig);
}
END_TEST

START_TEST(tags_that_do_not_belong_are_dropped)
{
	vlan_rig();
	rig_send(&rig, 0, ~0u, 100, 10); /* access: even its own */
	rig_send(&rig, 0, ~0u, 100, 20);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_vlan, 2);
	rig_send(&rig, 2, ~0u, 100, 40); /* not allowed */
	rig_send(&rig, 2, ~0u, 100, 0xfff);
	ck_assert_uint_eq(rig_counters(&rig, 2).in_vlan, 2);
	rig_send(&rig, 3, ~0u, 100, -1); /* no native one */
	rig_send(&rig, 3, ~0u, 100, 0);
	ck_assert_uint_eq(rig_counters(&rig, 3).in_vlan, 2);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(rig.sink[i]->n, 0);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, NULL), 0);
	/* A priority tag is none; the priority stays where there is a tag. */
	rig_send(&rig, 0, ~0u, 100, 0xa000);
	ck_assert_uint_eq(rig.sink[4]->n, 1);
	ck_assert_uint_eq(rig.sink[4]->frames[0].len, 56);
	ck_assert_uint_eq(rig.sink[3]->frames[0].len, 60);
	ck_assert_uint_eq(rig.sink[3]->bytes[0][14], 0xa0);
	ck_assert_uint_eq(rig.sink[3]->bytes[0][15], 10);
	rig_end(&rig);
}
END_TEST

static const struct vdev_net_offload todo = {.flags = VDEV_NET_NEEDS_CSUM,
                                             .gso_type =
                                                 VDEV_NET_GSO_TUNNEL_V4 | VDEV_NET_GSO_TCPV4,
                                             .hdr_len = 104,
                                             .gso_size = 1000,
                                             .csum_start = 84,
                                             .csum_offset = 16,
                                             .outer_th = 34,
                                             .inner_nh = 64};

static void check_offload(const struct net_sink *s, int by)
{
	const struct vdev_net_offload *o = &s->frames[0].offload;

	ck_assert_uint_eq(s->n, 1);
	ck_assert_int_eq(o->flags, todo.flags);
	ck_assert_int_eq(o->gso_type, todo.gso_type);
	ck_assert_int_eq(o->gso_size, todo.gso_size);
	ck_assert_int_eq(o->csum_offset, todo.csum_offset);
	ck_assert_int_eq(o->hdr_len, todo.hdr_len + by);
	ck_assert_int_eq(o->csum_start, todo.csum_start + by);
	ck_assert_int_eq(o->outer_th, todo.outer_th + by);
	ck_assert_int_eq(o->inner_nh, todo.inner_nh + by);
}

START_TEST(positions_move_with_the_tag)
{
	static struct test_frame t;

	vlan_rig();
	test_frame_plain(&t, ~0u, 100, -1, 3000);
	t.frame.offload = todo;
	test_frame_send(rig.channel[0], &t);
	check_offload(rig.sink[2], 0);
	check_offload(rig.sink[3], 4);
	check_offload(rig.sink[4], 0);
	test_frame_free(&t);
	rig_clear(&rig);
	test_frame_plain(&t, ~0u, 101, 10, 3000);
	t.frame.offload = todo;
	test_frame_send(rig.channel[3], &t);
	check_offload(rig.sink[0], -4);
	check_offload(rig.sink[2], -4);
	/* A header that would begin in front of the tag. */
	rig_clear(&rig);
	t.frame.offload.outer_th = 15;
	test_frame_send(rig.channel[3], &t);
	ck_assert_uint_eq(rig.sink[0]->n, 0);
	ck_assert_uint_eq(rig_counters(&rig, 0).out_oversized, 1);
	/* What is not in use is left alone. */
	t.frame.offload = (struct vdev_net_offload){.csum_start = 5, .outer_th = 3, .inner_nh = 2};
	test_frame_send(rig.channel[3], &t);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	ck_assert_uint_eq(rig.sink[0]->frames[0].offload.csum_start, 5);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(links_and_configurations_change)
{
	struct vdev_switch_port_config cfg = access10;
	struct vdev_netif_info info;

	vlan_rig();
	rig_send(&rig, 0, ~0u, 100, -1);
	rig_clear(&rig);
	ck_assert_int_eq(vdev_switch_port_set_link(rig.port[0], 0), 0);
	ck_assert_int_eq(vdev_switch_port_set_link(rig.port[0], 0), 0);
	ck_assert_uint_eq(rig.sink[0]->links, 1);
	rig.port[0]->ops->info(rig.port[0], &info);
	ck_assert_uint_eq(info.link, 0);
	ck_assert_uint_eq(rig_send(&rig, 0, ~0u, 100, -1), 1);
	ck_assert_uint_eq(rig_send(&rig, 4, 100, 4, -1), 1);
	ck_assert_uint_eq(rig.sink[0]->n + rig.sink[4]->n, 0);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_down, 1);
	ck_assert_uint_eq(rig_counters(&rig, 0).out_no_device, 1);
	ck_assert_int_eq(vdev_switch_port_set_link(rig.port[0], 1), 0);
	ck_assert_uint_eq(rig.sink[0]->links, 2);
	ck_assert_uint_eq(rig_send(&rig, 4, 100, 4, -1), 1);
	ck_assert_uint_eq(rig.sink[0]->n, 1);

	/* Into another VLAN. */
	cfg.size = sizeof(cfg);
	cfg.vlan = 20;
	cfg.mtu = 9000;
	ck_assert_int_eq(vdev_switch_port_set(rig.port[0], &cfg), 0);
	ck_assert_uint_eq(rig_where(&rig, 100, 10), ~0u);
	rig.port[0]->ops->info(rig.port[0], &info);
	ck_assert_uint_eq(info.mtu, 9000);
	rig_clear(&rig);
	rig_send(&rig, 4, 100, 4, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 0);
	rig_send(&rig, 1, 100, 1, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	ck_assert_int_eq(vdev_switch_flush(rig.sw, rig.port[4]), 0);
	ck_assert_uint_eq(rig_where(&rig, 4, 10), ~0u);
	ck_assert_uint_eq(rig_where(&rig, 1, 20), 1);
	ck_assert_int_eq(vdev_switch_flush(rig.sw, NULL), 0);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, NULL), 0);
	rig_end(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch_vlan");
	TCase *tc = tcase_create("net_switch_vlan");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, tags_come_and_go);
	tcase_add_test(tc, tags_that_do_not_belong_are_dropped);
	tcase_add_test(tc, positions_move_with_the_tag);
	tcase_add_test(tc, links_and_configurations_change);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
