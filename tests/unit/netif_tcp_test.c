/* SPDX-License-Identifier: BSD-3-Clause */
/* Two hosts with TCP between them, whose frames we carry: offloads that one kernel leaves undone, and the other does. */
#include "check_main.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_packet.h>
#include <vdev/netif_tap.h>

#include "net_ns.h"

struct host {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx, *tx;
	uint32_t large; /* frames that came in as one although they are many */
};

/* A network with a host of address ip, whose frames come to us by a tap, or out of a cable. */
static void host_new(struct host *h, const char *ip, int tap)
{
	const struct vdev_netif_tap_config by_tap = {.size = sizeof(by_tap), .name = "host"};
	const struct vdev_netif_packet_config by_cable = {.size = sizeof(by_cable), .name = "ours"};

	ns_enter();
	if (tap) {
		ck_assert_int_eq(vdev_netif_tap_new(&h->netif, vdev_env_hosted(), &by_tap), 0);
	} else {
		veth_new("host", "ours");
		if_up("ours", 1);
		ck_assert_int_eq(vdev_netif_packet_new(&h->netif, vdev_env_hosted(), &by_cable), 0);
	}
	if_address("host", ip);
	if_up("host", 1);
	ck_assert_int_eq(h->netif->ops->open(h->netif, 0, VDEV_NET_RECEIVE, &h->rx), 0);
	ck_assert_int_eq(h->netif->ops->open(h->netif, 0, VDEV_NET_SEND, &h->tx), 0);
}

static void takes_set(struct host *h, uint32_t takes)
{
	if (h->netif->ops->set_takes != NULL)
		ck_assert_int_eq(h->netif->ops->set_takes(h->netif, takes), 0);
}

static void host_free(struct host *h)
{
	h->netif->ops->close(h->rx);
	h->netif->ops->close(h->tx);
	vdev_netif_free(h->netif);
}

/* Frames that came out of one host go into the other as they are. */
static void carry(struct host *from, struct host *to)
{
	struct vdev_frame f[VDEV_NET_BURST];
	int n = from->netif->ops->receive(from->rx, f, VDEV_NET_BURST);

	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++)
		from->large += f[i].offload.gso_type == VDEV_NET_GSO_TCPV4 && f[i].len > 1514;
	ck_assert_uint_eq(to->netif->ops->send(to->tx, f, (uint32_t)n), (uint32_t)n);
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 2654435761u >> 13);
}

enum { TCP_BYTES = 4 << 20, PART = 65536 };

/* Send and receive what there is room for. Returns 0 when all has arrived. */
static int stream(int out, int in, size_t *sent, size_t *got)
{
	static uint8_t part[PART];
	size_t len = TCP_BYTES - *sent < PART ? TCP_BYTES - *sent : PART;
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		part[i] = byte_at(*sent + i);
	if (len > 0 && (n = send(out, part, len, MSG_NOSIGNAL)) > 0)
		*sent += (size_t)n;
	while ((n = recv(in, part, PART, 0)) > 0) {
		uint32_t wrong = 0;

		for (ssize_t i = 0; i < n; i++)
			wrong += part[i] != byte_at(*got + (size_t)i);
		ck_assert_uint_eq(wrong, 0);
		*got += (size_t)n;
	}
	return *got < TCP_BYTES;
}

static const struct {
	int tap_a, tap_b;
	uint32_t takes;
} kinds[] = {
	{1, 1, 0}, {1, 1, VDEV_NET_TAKES_ALL}, {0, 0, VDEV_NET_TAKES_ALL}, {1, 0, VDEV_NET_TAKES_ALL}};

START_TEST(tcp_between_two_hosts)
{
	uint32_t takes = kinds[_i].takes;
	struct host a = {.large = 0}, b = {.large = 0};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	socklen_t len = sizeof(to);
	int listener, out, in = -1;
	size_t sent = 0, got = 0;

	host_new(&a, "10.8.0.1", kinds[_i].tap_a);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(inet_pton(AF_INET, "10.8.0.1", &to.sin_addr), 1);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&to, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	host_new(&b, "10.8.0.2", kinds[_i].tap_b);
	out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	takes_set(&a, takes);
	takes_set(&b, takes);
	ck_assert(connect(out, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS);
	while (in < 0) {
		carry(&a, &b);
		carry(&b, &a);
		in = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	while (stream(out, in, &sent, &got)) {
		carry(&b, &a);
		carry(&a, &b);
	}
	/* The kernel left the segmentation to us, and took it back on the other side; or not. */
	if (takes)
		ck_assert_uint_gt(b.large, 0);
	else
		ck_assert_uint_eq(b.large, 0);
	close(in);
	close(out);
	close(listener);
	host_free(&a);
	host_free(&b);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_tcp");
	TCase *tc = tcase_create("tcp");

	test_needs(ns_missing());
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, tcp_between_two_hosts, 0, sizeof(kinds) / sizeof(kinds[0]));
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
