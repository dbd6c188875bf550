/* SPDX-License-Identifier: BSD-3-Clause */
#include "netif_xdp_rig.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_datagram.h"
#include "net_ns.h"

struct xdp_rig t;

void open_all(const struct vdev_netif_xdp_config *cfg, uint32_t queues, int mtu)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	unsigned pairs = cfg->pairs > 0 ? cfg->pairs : 1;
	int room = 16 << 20;

	memset(&t, 0, sizeof(t));
	ck_assert_int_eq(ns_enter_as_root(), 0);
	veth_new_queues("host", "ours", queues);
	if_mtu("host", mtu);
	if_mtu("ours", mtu);
	if_no_offloads("host");
	if_address("host", HOST);
	if_up("host", 1);
	if_up("ours", 1);
	if_wait("host");
	if_wait("ours");
	cable_wait("host", "ours");
	if_neighbour("host", OURS, our_mac);
	if_get_mac("host", t.mac);
	t.sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(t.sock, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), cfg), 0);
	for (unsigned i = 0; i < pairs; i++)
		ck_assert_int_eq(t.netif->ops->open(t.netif, i, VDEV_NET_RECEIVE, &t.rx[i]), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
	all.sll_ifindex = if_index("host");
	t.raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(setsockopt(t.raw, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
	ck_assert_int_eq(bind(t.raw, (struct sockaddr *)&all, sizeof(all)), 0);
}

void setup(void)
{
	static const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours"};

	open_all(&cfg, 0, 1500);
}

void setup_generic(void)
{
	static const struct vdev_netif_xdp_config cfg = {
		.size = sizeof(cfg), .name = "ours", .flags = VDEV_NETIF_XDP_GENERIC};

	open_all(&cfg, 0, 9000);
}

void close_netif(void)
{
	for (int i = 0; i < 2; i++) {
		if (t.rx[i] != NULL)
			t.netif->ops->close(t.rx[i]);
		t.rx[i] = NULL;
	}
	t.netif->ops->close(t.tx);
	vdev_netif_free(t.netif);
}

void teardown(void)
{
	close_netif();
	close(t.sock);
	close(t.raw);
}

struct vdev_netif_counters counters(void)
{
	struct vdev_netif_counters k;

	ck_assert_int_eq(vdev_netif_counters(t.netif, &k), 0);
	return k;
}

void host_sends(const void *data, size_t len, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	ck_assert_int_eq(inet_pton(AF_INET, OURS, &to.sin_addr), 1);
	ck_assert_int_eq(sendto(t.sock, data, len, 0, (struct sockaddr *)&to, sizeof(to)),
	                 (ssize_t)len);
}

void expect_at_host(const void *data, size_t len)
{
	static char got[70000];

	wait_readable(t.sock);
	ck_assert_int_eq(recv(t.sock, got, sizeof(got), 0), (ssize_t)len);
	ck_assert_mem_eq(got, data, len);
}

uint32_t receive(struct vdev_frame *f, uint32_t max)
{
	int n;

	while ((n = t.netif->ops->receive(t.rx[0], f, max)) == 0) {
		if (t.netif->ops->arm(t.rx[0]) == 0)
			wait_readable(t.netif->ops->fd(t.rx[0]));
	}
	ck_assert_int_gt(n, 0);
	return (uint32_t)n;
}

const uint8_t *bytes_of(const struct vdev_frame *f)
{
	ck_assert_uint_eq(f->niov, 1);
	ck_assert_uint_eq(f->iov[0].len, f->len);
	ck_assert_uint_eq(f->offload.flags | f->offload.gso_type, 0);
	return f->iov[0].base;
}

void send_frames(const struct vdev_frame *f, uint32_t n)
{
	ck_assert_uint_eq(t.netif->ops->send(t.tx, f, n), n);
}

TCase *with(Suite *suite, const char *name, SFun begin)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, begin, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return tc;
}
