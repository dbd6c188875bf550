/* SPDX-License-Identifier: BSD-3-Clause */
#include "netif_rig.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct netif_rig t;

/* --- setting up --------------------------------------------------------------------- */

void rig_begin(int (*refresh)(struct vdev_netif *n), int plain)
{
	memset(&t, 0, sizeof(t));
	t.refresh = refresh;
	t.plain = plain;
}

void rig_cable(uint32_t queues, int mtu)
{
	veth_new_queues("host", "ours", queues);
	if_mtu("host", mtu);
	if_mtu("ours", mtu);
	if (t.plain)
		if_no_offloads("host");
	if_address("host", HOST);
	if_up("host", 1);
	if_up("ours", 1);
	if_wait("host");
	if_wait("ours");
	cable_wait("host", "ours");
	rig_host("host");
}

void rig_host(const char *name)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};

	if_neighbour(name, OURS, our_mac);
	if_get_mac(name, t.mac);
	t.sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(t.sock, (struct sockaddr *)&a, sizeof(a)), 0);
}

void open_channels(unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++)
		ck_assert_int_eq(t.netif->ops->open(t.netif, i, VDEV_NET_RECEIVE, &t.rx[i]), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
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
}

TCase *with(Suite *suite, const char *name, SFun begin)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, begin, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return tc;
}

/* --- frames there and back -------------------------------------------------------------- */

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

int host_raw(void)
{
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int room = 16 << 20;

	all.sll_ifindex = if_index("host");
	ck_assert_int_ge(s, 0);
	(void)!setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	ck_assert_int_eq(bind(s, (struct sockaddr *)&all, sizeof(all)), 0);
	return s;
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
	struct vdev_netif_channel *c = t.rx[0];
	int n;

	while ((n = t.netif->ops->receive(c, f, max)) == 0) {
		if (t.netif->ops->arm(c) == 0)
			wait_readable(t.netif->ops->fd(c));
	}
	ck_assert_int_gt(n, 0);
	return (uint32_t)n;
}

void receive_rest(void)
{
	struct vdev_frame f[VDEV_NET_BURST];

	while (t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST) > 0)
		continue;
}

const uint8_t *bytes_of(const struct vdev_frame *f)
{
	static uint8_t bytes[VDEV_NET_MAX_FRAME];
	size_t at = 0;

	if (t.plain) {
		ck_assert_uint_eq(f->niov, 1);
		ck_assert_uint_eq(f->iov[0].len, f->len);
		ck_assert_uint_eq(f->offload.flags | f->offload.gso_type, 0);
		return f->iov[0].base;
	}
	for (uint32_t i = 0; i < f->niov; i++) {
		memcpy(bytes + at, f->iov[i].base, f->iov[i].len);
		at += f->iov[i].len;
	}
	ck_assert_uint_eq(at, f->len);
	return bytes;
}

void round_the_ring(uint32_t frames)
{
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t next = 0, sent = 0;

	while (next < frames) {
		for (int i = 0; i < 50; i++, sent++)
			host_sends(&sent, sizeof(sent), 7);
		while (next < sent) {
			uint32_t n = receive(f, VDEV_NET_BURST);

			for (uint32_t i = 0; i < n; i++, next++)
				ck_assert_mem_eq(bytes_of(&f[i]) + DATA, &next, sizeof(next));
		}
	}
	ck_assert_uint_eq(counters().receive_dropped, 0);
}

void bursts_at_most(void)
{
	enum { MORE = VDEV_NET_BURST + 8 };
	struct vdev_frame f[MORE + 1];
	int got = 0, n;

	for (int i = 0; i < 2 * MORE; i++)
		host_sends("burst", 5, 7);
	for (int i = 0; got < 2 * MORE && i < 6000; i++) {
		memset(f, 0xee, sizeof(f));
		n = t.netif->ops->receive(t.rx[0], f, MORE);
		ck_assert_int_ge(n, 0);
		ck_assert_int_le(n, VDEV_NET_BURST);
		ck_assert_uint_eq(f[VDEV_NET_BURST].niov, 0xeeeeeeee);
		got += n;
		if (n == 0)
			usleep(10000);
	}
	ck_assert_int_eq(got, 2 * MORE);
}

void send_frames(const struct vdev_frame *f, uint32_t n)
{
	ck_assert_uint_eq(t.netif->ops->send(t.tx, f, n), n);
}

void send_bytes(const uint8_t *bytes, uint32_t len, struct vdev_net_offload o)
{
	const struct virtq_iov iov[2] = {{(uint8_t *)(uintptr_t)bytes, 20},
	                                 {(uint8_t *)(uintptr_t)bytes + 20, len - 20}};
	const struct vdev_frame f = {.iov = iov, .niov = 2, .len = len, .offload = o};

	send_frames(&f, 1);
}

void many_to_host(void)
{
	enum { N = VDEV_NET_BURST + 4 };
	uint8_t bytes[N][200];
	struct virtq_iov iov[N][2];
	struct vdev_frame f[N];
	char data[8];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < N; i++) {
		uint32_t len =
			datagram(bytes[i], t.mac, data, (uint32_t)snprintf(data, sizeof(data), "%u", i));

		iov[i][0] = (struct virtq_iov){bytes[i], 30};
		iov[i][1] = (struct virtq_iov){bytes[i] + 30, len - 30};
		f[i] = (struct vdev_frame){.iov = iov[i], .niov = 2, .len = len, .offload = needs_csum};
		sum += len;
	}
	send_frames(f, N);
	for (uint32_t i = 0; i < N; i++)
		expect_at_host(data, (size_t)snprintf(data, sizeof(data), "%u", i));
	ck_assert_uint_eq(counters().sent, N);
	ck_assert_uint_eq(counters().sent_bytes, sum);
	ck_assert_uint_eq(counters().send_dropped, 0);
	/* What we send is not what we receive. */
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 1), 0);
}

/* --- the interface ------------------------------------------------------------------------ */

void count_link(void *ctx)
{
	++*(int *)ctx;
}

void refresh_until(int link, uint32_t mtu)
{
	struct vdev_netif_info info;
	int told = 0, rc;

	for (int i = 0; i < 6000; i++) {
		rc = t.refresh(t.netif);
		ck_assert_int_ge(rc, 0);
		told |= rc;
		t.netif->ops->info(t.netif, &info);
		if (told && info.link == link && info.mtu == mtu && t.refresh(t.netif) == 0)
			return;
		usleep(10000);
	}
	ck_abort_msg("the link never became %d", link);
}

/* The host's end forgot whom it knew, and loses what it sends until it has noticed that the cable is back. */
static void host_comes_back(void)
{
	struct vdev_frame f;
	int n;

	if_wait("host");
	if_wait("ours");
	if_neighbour("host", OURS, our_mac);
	for (int i = 0; (n = t.netif->ops->receive(t.rx[0], &f, 1)) == 0 && i < 6000; i++) {
		host_sends("back", 4, 7);
		usleep(10000);
	}
	ck_assert_int_eq(n, 1);
	ck_assert_mem_eq(bytes_of(&f) + DATA, "back", 4);
}

void down_up_and_gone(uint32_t tries)
{
	int events = 0, seen;
	const struct vdev_net_sink sink = {.size = sizeof(sink), .link = count_link, .ctx = &events};
	uint8_t up[200];
	uint32_t len = datagram(up, t.mac, "up", 2);
	uint64_t dropped;
	struct vdev_frame f;

	t.netif->ops->set_sink(t.netif, &sink);
	if_up("ours", 0);
	refresh_until(0, 1500);
	ck_assert_int_ge(events, 1);
	for (uint32_t i = 0; i < tries; i++)
		send_bytes(up, len, needs_csum);
	ck_assert_uint_eq(counters().send_dropped, tries);
	/* Nobody is kept awake by it. */
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(t.rx[0])), 0);
	seen = events;
	if_up("ours", 1);
	refresh_until(1, 1500);
	ck_assert_int_gt(events, seen);
	host_comes_back();
	send_bytes(up, len, needs_csum);
	expect_at_host("up", 2);
	t.netif->ops->set_sink(t.netif, NULL);
	seen = events;
	if_delete("ours");
	receive_rest();
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_lt(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	dropped = counters().send_dropped;
	send_bytes(up, len, needs_csum);
	ck_assert_uint_eq(counters().send_dropped, dropped + 1);
	/* Nobody is told any more. */
	ck_assert_int_eq(t.refresh(t.netif), 1);
	ck_assert_int_eq(events, seen);
}

/* --- several queues ----------------------------------------------------------------------- */

enum { FLOWS = 64, EACH = 4, FIRST_PORT = 1000 };

/* Receive so many by two channels, and not one more. Adds up how many came by each, and which flows. */
static void receive_flows(uint32_t wanted, uint32_t seen[2], uint8_t where[FLOWS])
{
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t got = 0;
	int n;

	for (uint32_t c = 0, idle = 0; got < wanted && idle < 6000; c = !c) {
		n = t.netif->ops->receive(t.rx[c], f, VDEV_NET_BURST);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++) {
			const uint8_t *p = bytes_of(&f[i]);

			where[(p[36] << 8 | p[37]) - FIRST_PORT] |= (uint8_t)(1 << c);
		}
		seen[c] += (uint32_t)n;
		got += (uint32_t)n;
		if (n == 0) {
			usleep(1000);
			idle++;
		}
	}
	ck_assert_uint_eq(got, wanted);
	for (int c = 0; c < 2; c++)
		ck_assert_int_eq(t.netif->ops->receive(t.rx[c], f, VDEV_NET_BURST), 0);
}

void flows_by_channels(uint32_t at_least)
{
	struct vdev_netif_channel *none;
	struct vdev_netif_info info;

	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.max_pairs, 2);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 2, VDEV_NET_SEND, &none), VIRTQ_EINVAL);
	for (uint32_t phase = 0; phase < 4; phase++) {
		/* More than there are: all of them. */
		static const uint32_t set[] = {1, 2, 1000, 1};
		uint32_t pairs = set[phase] > 1 ? 2 : 1, seen[2] = {0};
		uint8_t where[FLOWS] = {0};

		t.netif->ops->set_pairs(t.netif, set[phase]);
		for (int i = 0; i < EACH * FLOWS; i++)
			host_sends("x", 1, FIRST_PORT + i % FLOWS);
		receive_flows(EACH * FLOWS, seen, where);
		for (int i = 0; i < FLOWS; i++)
			ck_assert(where[i] == 1 || (where[i] == 2 && pairs == 2));
		if (pairs == 2) {
			ck_assert_uint_ge(seen[0], at_least);
			ck_assert_uint_ge(seen[1], at_least);
		}
	}
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
