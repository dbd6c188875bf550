/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_NETIF_TAP_RIG_H
#define TESTS_UNIT_NETIF_TAP_RIG_H

/* A tap in a network of its own, and its host. */

#include "check_main.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_tap.h>

#include "net_datagram.h"
#include "net_ns.h"

static struct {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx, *tx;
	char name[VDEV_NETIF_NAME];
	uint8_t mac[6]; /* the host's */
	int sock;       /* the host's, port 9 */
} t;

static int udp_socket(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

static void open_tap(const struct vdev_netif_tap_config *cfg)
{
	ck_assert_int_eq(vdev_netif_tap_new(&t.netif, vdev_env_hosted(), cfg), 0);
	ck_assert_int_eq(vdev_netif_tap_name(t.netif, t.name), 0);
	if_address(t.name, HOST);
	if_up(t.name, 1);
	if_neighbour(t.name, OURS, our_mac);
	if_get_mac(t.name, t.mac);
	t.sock = udp_socket(9);
}

static void open_channels(void)
{
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_RECEIVE, &t.rx), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
}

static void setup(void)
{
	const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg)};

	ns_enter();
	open_tap(&cfg);
	open_channels();
}

static void teardown(void)
{
	t.netif->ops->close(t.rx);
	t.netif->ops->close(t.tx);
	vdev_netif_free(t.netif);
	close(t.sock);
}

static struct vdev_netif_counters counters(void)
{
	struct vdev_netif_counters k;

	ck_assert_int_eq(vdev_netif_counters(t.netif, &k), 0);
	return k;
}

static void send_frame(const uint8_t *bytes, uint32_t len, struct vdev_net_offload o)
{
	const struct virtq_iov iov[2] = {{(uint8_t *)(uintptr_t)bytes, 20},
	                                 {(uint8_t *)(uintptr_t)bytes + 20, len - 20}};
	const struct vdev_frame f = {.iov = iov, .niov = 2, .len = len, .offload = o};

	ck_assert_uint_eq(t.netif->ops->send(t.tx, &f, 1), 1);
}

static void expect_at_host(const char *data, size_t len)
{
	static char got[70000];

	wait_readable(t.sock);
	ck_assert_int_eq(recv(t.sock, got, sizeof(got), 0), (ssize_t)len);
	ck_assert_mem_eq(got, data, len);
}

static void host_sends(const void *data, size_t len, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	ck_assert_int_eq(inet_pton(AF_INET, OURS, &to.sin_addr), 1);
	ck_assert_int_eq(sendto(t.sock, data, len, 0, (struct sockaddr *)&to, sizeof(to)),
	                 (ssize_t)len);
}

/* Wait for one frame on a channel. */
static void receive_on(struct vdev_netif_channel *c, struct vdev_frame *f)
{
	int n;

	while ((n = t.netif->ops->receive(c, f, 1)) == 0) {
		if (t.netif->ops->arm(c) == 0)
			wait_readable(t.netif->ops->fd(c));
	}
	ck_assert_int_eq(n, 1);
}

#endif
