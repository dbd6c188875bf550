/* SPDX-License-Identifier: BSD-3-Clause */
/* Back-ends of network devices: what an embedder may get wrong. Nothing changes then, and nothing is left. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/net_switch.h>
#include <vdev/netif_packet.h>
#include <vdev/netif_pair.h>
#include <vdev/netif_pcap.h>
#include <vdev/netif_simple.h>
#include <vdev/netif_tap.h>
#include <vdev/netif_xdp.h>

#include "check_main.h"
#include "fake_netif.h"

#define ENV vdev_env_hosted()

static const uint8_t mac[VDEV_NET_MAC] = {2, 0, 0, 0, 0, 9};

START_TEST(sources)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg)};
	struct vdev_net_offload none = {0};
	struct vdev_netif_channel *c;
	struct vdev_frame f[VDEV_NET_BURST + 8];
	struct vdev_env bad = *ENV;
	struct vdev_netif *n;

	bad.alloc = NULL;
	ck_assert_int_eq(vdev_netif_source_new(NULL, ENV, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_source_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_source_new(&n, &bad, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_source_new(&n, ENV, NULL), VIRTQ_EINVAL);
	cfg.size--;
	ck_assert_int_eq(vdev_netif_source_new(&n, ENV, &cfg), VIRTQ_EINVAL);
	cfg.size++;
	ck_assert_int_eq(vdev_netif_source_new(&n, ENV, &cfg), 0);
	/* More than a burst is never given. */
	memset(f, 0xee, sizeof(f));
	ck_assert_int_eq(n->ops->open(n, 0, VDEV_NET_RECEIVE, &c), 0);
	ck_assert_int_eq(n->ops->receive(c, f, VDEV_NET_BURST + 8), VDEV_NET_BURST);
	ck_assert_mem_eq(&f[VDEV_NET_BURST - 1].offload, &none, sizeof(none));
	for (size_t i = 0; i < sizeof(f[0]); i++)
		ck_assert_uint_eq(((uint8_t *)&f[VDEV_NET_BURST])[i], 0xee);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

START_TEST(captures)
{
	struct vdev_netif_pcap_config cfg = {.size = sizeof(cfg), .fd = -1};
	struct vdev_netif_pcap_status status;
	struct vdev_env bad = *ENV;
	struct fake_netif inner;
	struct vdev_netif *n;
	int pair[2];

	fake_netif_init(&inner, 0);
	bad.free = NULL;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cfg.fd = pair[0];
	ck_assert_int_eq(vdev_netif_pcap_new(NULL, ENV, &inner.netif, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, NULL, &inner.netif, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, &bad, &inner.netif, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, ENV, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, ENV, &inner.netif, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_new(&n, ENV, &inner.netif, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_status(&inner.netif, &status), VIRTQ_EINVAL);
	ck_assert_uint_eq(inner.destroyed, 0);
	close(pair[0]);
	close(pair[1]);
	cfg.path = "/dev/null";
	ck_assert_int_eq(vdev_netif_pcap_new(&n, ENV, &inner.netif, &cfg), 0);
	ck_assert_int_eq(vdev_netif_pcap_status(n, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_status(NULL, &status), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pcap_status(n, &status), 0);
	vdev_netif_free(n);
}
END_TEST

/* Interfaces that aren't there, and netifs of other kinds. */
START_TEST(interfaces)
{
	struct vdev_netif_packet_config packet = {.size = sizeof(packet), .name = "no-such-if"};
	struct vdev_netif_tap_config tap = {.size = sizeof(tap), .name = "x"};
	const int fds[1] = {-1};
	char name[VDEV_NETIF_NAME];
	struct fake_netif other;
	struct vdev_netif *n;

	fake_netif_init(&other, 0);
	ck_assert_int_eq(vdev_netif_packet_new(&n, ENV, NULL), VIRTQ_EINVAL);
	ck_assert_int_lt(vdev_netif_packet_new(&n, ENV, &packet), 0);
	packet.name = "a-name-of-16-byt";
	ck_assert_int_eq(vdev_netif_packet_new(&n, ENV, &packet), VIRTQ_EINVAL);
	packet.name = NULL;
	ck_assert_int_eq(vdev_netif_packet_new(&n, ENV, &packet), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_refresh(NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_refresh(&other.netif), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_xdp_refresh(&other.netif), VIRTQ_EINVAL);
	tap.fds = fds;
	ck_assert_int_eq(vdev_netif_tap_new(&n, ENV, &tap), VIRTQ_EINVAL);
	tap.name = NULL;
	ck_assert_int_lt(vdev_netif_tap_new(&n, ENV, &tap), 0); /* no descriptor at all */
	tap.fds = NULL;
	tap.name = "a-name-of-16-byt";
	ck_assert_int_eq(vdev_netif_tap_new(&n, ENV, &tap), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_name(NULL, name), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_name(&other.netif, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_name(&other.netif, name), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_refresh(NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_refresh(&other.netif), VIRTQ_EINVAL);
}
END_TEST

START_TEST(switches)
{
	const uint16_t vlans[] = {5, 0}, beyond[] = {5, 4095};
	struct vdev_switch_port_config cfg = {
		.size = sizeof(cfg), .mode = VDEV_SWITCH_TRUNK, .vlans = vlans, .nvlans = 2};
	struct vdev_switch *s, *another;
	struct vdev_netif *port, *there, *foreign;
	struct fake_netif other;

	fake_netif_init(&other, 0);
	ck_assert_int_eq(vdev_switch_new(&s, ENV, NULL), 0);
	ck_assert_int_eq(vdev_switch_new(&another, ENV, NULL), 0);
	ck_assert_int_eq(vdev_switch_port_new(&port, s, &cfg), VIRTQ_EINVAL);
	cfg.vlans = beyond;
	ck_assert_int_eq(vdev_switch_port_new(&port, s, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_new(&port, s, NULL), 0);
	ck_assert_int_eq(vdev_switch_port_new(&foreign, another, NULL), 0);
	ck_assert_int_eq(vdev_switch_port_add_mac(port, mac, 0), 0);
	ck_assert_ptr_eq(vdev_switch_find(s, mac, 0), port);
	ck_assert_int_eq(vdev_switch_port_add_mac(port, mac, 4095), VIRTQ_EINVAL);
	ck_assert_ptr_null(vdev_switch_find(s, mac, 4095));
	ck_assert_ptr_null(vdev_switch_find(NULL, mac, 0));
	ck_assert_ptr_null(vdev_switch_find(s, NULL, 0));
	ck_assert_int_eq(vdev_switch_port_remove_mac(NULL, mac, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_remove_mac(&other.netif, mac, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_remove_mac(port, NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_remove_mac(port, mac, 4095), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_flush(s, foreign), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_flush(s, &other.netif), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_flush(NULL, NULL), VIRTQ_EINVAL);
	ck_assert_uint_eq(vdev_switch_learned(s, foreign), 0);
	ck_assert_ptr_eq(vdev_switch_find(s, mac, 0), port);
	/* A static address of another port is refused, and with it all that came in the same configuration. */
	cfg = (struct vdev_switch_port_config){.size = sizeof(cfg)};
	memcpy(cfg.mac, mac, sizeof(mac));
	ck_assert_int_eq(vdev_switch_port_new(&there, s, &cfg), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_switch_port_new(&there, s, NULL), 0);
	ck_assert_int_eq(vdev_switch_port_set(there, &cfg), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_switch_free(s), VIRTQ_EBUSY);
	vdev_netif_free(there);
	vdev_netif_free(port);
	vdev_netif_free(foreign);
	ck_assert_int_eq(vdev_switch_free(s), 0);
	ck_assert_int_eq(vdev_switch_free(another), 0);
}
END_TEST

static void no_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	(void)n;
	(void)out;
	ck_abort_msg("what is there is not what it seems to be");
}

START_TEST(counters_of_an_older_back_end)
{
	/* Behind its end there is something else. */
	struct vdev_netif_ops ops = {.size = offsetof(struct vdev_netif_ops, counters),
	                             .counters = no_counters};
	struct vdev_netif n = {.ops = &ops};
	struct vdev_netif_counters k;

	ck_assert_int_eq(vdev_netif_counters(&n, &k), VIRTQ_ENOTSUP);
	ops.size = sizeof(ops);
	ops.counters = NULL;
	ck_assert_int_eq(vdev_netif_counters(&n, &k), VIRTQ_ENOTSUP);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_misuse");
	TCase *tc = tcase_create("netif_misuse");

	tcase_add_test(tc, sources);
	tcase_add_test(tc, captures);
	tcase_add_test(tc, interfaces);
	tcase_add_test(tc, switches);
	tcase_add_test(tc, counters_of_an_older_back_end);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
