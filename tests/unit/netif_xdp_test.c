/* SPDX-License-Identifier: BSD-3-Clause */
/* The XDP back-end, on one end of a cable whose other end belongs to the kernel's network. */
#include "check_main.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_xdp.h>

#include "net_ns.h"
#include "net_packet.h"

#define HOST "10.9.0.1"
#define OURS "10.9.0.2"

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 2};

enum { IP = 14, UDP = 34, DATA = 42, LONGEST = VDEV_NETIF_XDP_FRAME };

static struct {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx[2], *tx;
	uint8_t mac[6]; /* the host's */
	int sock;       /* the host's, port 9 */
	int raw;        /* all that comes to the host */
} t;

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A datagram to port 9 of the host, its checksum left to be done. Returns its length. */
static uint32_t datagram(uint8_t *f, const void *data, uint32_t len)
{
	uint32_t udp = 8 + len;

	memset(f, 0, DATA);
	memcpy(f, t.mac, 6);
	memcpy(f + 6, our_mac, 6);
	put16(f + 12, ETH_P_IP);
	f[IP] = 0x45;
	put16(f + IP + 2, 20 + udp);
	f[IP + 8] = 64;
	f[IP + 9] = IPPROTO_UDP;
	ck_assert_int_eq(inet_pton(AF_INET, OURS, f + IP + 12), 1);
	ck_assert_int_eq(inet_pton(AF_INET, HOST, f + IP + 16), 1);
	put16(f + IP + 10, (uint16_t)~packet_sum(f + IP, 20, 0));
	put16(f + UDP, 4000);
	put16(f + UDP + 2, 9);
	put16(f + UDP + 4, udp);
	put16(f + UDP + 6, packet_sum(f + IP + 12, 8, IPPROTO_UDP + udp));
	memcpy(f + DATA, data, len);
	return DATA + len;
}

static const struct vdev_net_offload needs_csum = {
	.flags = VDEV_NET_NEEDS_CSUM, .csum_start = UDP, .csum_offset = 6};

/* queues: of the cable; 0: as the kernel makes them, one. */
static void open_all(const struct vdev_netif_xdp_config *cfg, uint32_t queues, int mtu)
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

static void setup(void)
{
	static const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours"};

	open_all(&cfg, 0, 1500);
}

static void setup_generic(void)
{
	static const struct vdev_netif_xdp_config cfg = {
		.size = sizeof(cfg), .name = "ours", .flags = VDEV_NETIF_XDP_GENERIC};

	open_all(&cfg, 0, 9000);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++)
		if (t.rx[i] != NULL)
			t.netif->ops->close(t.rx[i]);
	t.netif->ops->close(t.tx);
	vdev_netif_free(t.netif);
	close(t.sock);
	close(t.raw);
}

static struct vdev_netif_counters counters(void)
{
	struct vdev_netif_counters k;

	ck_assert_int_eq(vdev_netif_counters(t.netif, &k), 0);
	return k;
}

static void host_sends(const void *data, size_t len, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	ck_assert_int_eq(inet_pton(AF_INET, OURS, &to.sin_addr), 1);
	ck_assert_int_eq(sendto(t.sock, data, len, 0, (struct sockaddr *)&to, sizeof(to)),
	                 (ssize_t)len);
}

static void expect_at_host(const void *data, size_t len)
{
	static char got[70000];

	wait_readable(t.sock);
	ck_assert_int_eq(recv(t.sock, got, sizeof(got), 0), (ssize_t)len);
	ck_assert_mem_eq(got, data, len);
}

/* Wait for frames. Returns how many. */
static uint32_t receive(struct vdev_frame *f, uint32_t max)
{
	int n;

	while ((n = t.netif->ops->receive(t.rx[0], f, max)) == 0) {
		if (t.netif->ops->arm(t.rx[0]) == 0)
			wait_readable(t.netif->ops->fd(t.rx[0]));
	}
	ck_assert_int_gt(n, 0);
	return (uint32_t)n;
}

static const uint8_t *bytes_of(const struct vdev_frame *f)
{
	ck_assert_uint_eq(f->niov, 1);
	ck_assert_uint_eq(f->iov[0].len, f->len);
	ck_assert_uint_eq(f->offload.flags | f->offload.gso_type, 0);
	return f->iov[0].base;
}

static void send_frames(const struct vdev_frame *f, uint32_t n)
{
	ck_assert_uint_eq(t.netif->ops->send(t.tx, f, n), n);
}

START_TEST(host_to_device)
{
	struct vdev_netif_info info;
	struct vdev_frame f;
	const uint8_t *p;

	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.link, 1);
	ck_assert_uint_eq(info.takes, VDEV_NET_TAKES_ALL);
	ck_assert_uint_eq(info.max_pairs, 1);
	host_sends("hello", 5, 7);
	ck_assert_uint_eq(receive(&f, 1), 1);
	ck_assert_uint_ge(f.len, DATA + 5);
	p = bytes_of(&f);
	ck_assert_mem_eq(p, our_mac, 6);
	ck_assert_mem_eq(p + 6, t.mac, 6);
	ck_assert_mem_eq(p + DATA, "hello", 5);
	ck_assert_ptr_null(packet_wrong(f.iov[0].base, f.len, &f.offload));
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_uint_eq(counters().received, 1);
	ck_assert_uint_eq(counters().received_bytes, f.len);
}
END_TEST

/* Round and round the ring, in bursts, whose frames stay until the next call. */
START_TEST(ring_goes_round)
{
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t next = 0, sent = 0;

	while (next < 3000) {
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
END_TEST

/* Frames of every length that the cable carries, whatever is in them. */
START_TEST(all_lengths)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_index("host")};
	uint8_t bytes[1514];
	struct vdev_frame f;

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	memset(bytes, 0xff, 6);
	for (uint32_t len = VDEV_NET_ETH + 1; len <= sizeof(bytes); len++) {
		/* the type: nobody's */
		put16(bytes + 12, 0x88b5);
		ck_assert_int_eq(sendto(t.raw, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)),
		                 (ssize_t)len);
		receive(&f, 1);
		ck_assert_uint_eq(f.len, len);
		ck_assert_mem_eq(bytes_of(&f), bytes, len);
	}
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

/* What finds no room is counted, and the rest comes. */
START_TEST(ring_overflows)
{
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .ring = 64};
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t got = 0, sent = 0;
	int n;

	teardown();
	open_all(&cfg, 0, 1500);
	/* the kernel takes its time to notice */
	for (int i = 0; i < 6000 && counters().receive_dropped == 0; i++)
		for (int k = 0; k < 100; k++, sent++)
			host_sends(&sent, sizeof(sent), 7);
	ck_assert_uint_gt(counters().receive_dropped, 0);
	for (int idle = 0; idle < 100 && got + counters().receive_dropped < sent; idle++) {
		while ((n = t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST)) > 0)
			got += (uint32_t)n;
		ck_assert_int_eq(n, 0);
		usleep(10000);
	}
	ck_assert_uint_ge(got, 64);
	ck_assert_uint_lt(got, sent);
	while (t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST) > 0)
		continue;
	host_sends("again", 5, 7);
	receive(f, 1);
	ck_assert_mem_eq(bytes_of(f) + DATA, "again", 5);
}
END_TEST

/* Longer ones than a chunk holds are dropped, both ways, and not cut. */
START_TEST(long_frames)
{
	static char data[8000];
	static uint8_t bytes[DATA + sizeof(data)];
	struct vdev_netif_info info;
	struct virtq_iov iov = {bytes, 0};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .offload = needs_csum};

	memset(data, 'x', sizeof(data));
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_le(info.mtu + VDEV_NET_ETH, LONGEST);
	host_sends(data, LONGEST - DATA + 1, 7);
	host_sends(data, sizeof(data), 7);
	host_sends(data, LONGEST - DATA, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, LONGEST);
	ck_assert_mem_eq(bytes_of(&f) + DATA, data, LONGEST - DATA);
	ck_assert_uint_eq(counters().receive_dropped, 2);
	f = (struct vdev_frame){.iov = &iov, .niov = 1, .offload = needs_csum};
	iov.len = f.len = datagram(bytes, data, LONGEST - DATA + 1);
	send_frames(&f, 1);
	f.offload = (struct vdev_net_offload){.flags = 0};
	iov.len = f.len = datagram(bytes, data, sizeof(data));
	send_frames(&f, 1);
	ck_assert_uint_eq(counters().sent, 0);
	ck_assert_uint_eq(counters().send_dropped, 2);
	f.offload = needs_csum;
	iov.len = f.len = datagram(bytes, data, LONGEST - DATA);
	send_frames(&f, 1);
	expect_at_host(data, LONGEST - DATA);
	ck_assert_uint_eq(counters().sent, 1);
}
END_TEST

START_TEST(device_to_host)
{
	uint8_t bytes[VDEV_NET_BURST + 4][200];
	struct virtq_iov iov[VDEV_NET_BURST + 4][2];
	struct vdev_frame f[VDEV_NET_BURST + 4];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < VDEV_NET_BURST + 4; i++) {
		char data[8];
		uint32_t len = datagram(bytes[i], data, (uint32_t)snprintf(data, sizeof(data), "%u", i));

		memcpy(bytes[i] + DATA, data, len - DATA);
		iov[i][0] = (struct virtq_iov){bytes[i], 30};
		iov[i][1] = (struct virtq_iov){bytes[i] + 30, len - 30};
		f[i] = (struct vdev_frame){.iov = iov[i], .niov = 2, .len = len, .offload = needs_csum};
		sum += len;
	}
	send_frames(f, VDEV_NET_BURST + 4);
	for (uint32_t i = 0; i < VDEV_NET_BURST + 4; i++) {
		char data[8];

		expect_at_host(data, (size_t)snprintf(data, sizeof(data), "%u", i));
	}
	ck_assert_uint_eq(counters().sent, VDEV_NET_BURST + 4);
	ck_assert_uint_eq(counters().sent_bytes, sum);
	ck_assert_uint_eq(counters().send_dropped, 0);
	/* What we send is not what we receive. */
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 1), 0);
}
END_TEST

/* Chunks come back, round and round. */
START_TEST(device_sends_many)
{
	uint8_t bytes[DATA + 4];
	struct virtq_iov iov = {bytes, sizeof(bytes)};
	const struct vdev_frame f = {
		.iov = &iov, .niov = 1, .len = sizeof(bytes), .offload = needs_csum};

	for (uint32_t i = 0; i < 4000; i++) {
		datagram(bytes, &i, sizeof(i));
		send_frames(&f, 1);
		expect_at_host(&i, sizeof(i));
	}
	ck_assert_uint_eq(counters().sent, 4000);
}
END_TEST

/* A frame that came to the host, or 0: none any more. What it gets is what it has been sent when the call ends. */
static uint32_t at_host(uint8_t *to, size_t room)
{
	ssize_t n;
	struct sockaddr_ll from;
	socklen_t len;

	do {
		len = sizeof(from);
		n = recvfrom(t.raw, to, room, 0, (struct sockaddr *)&from, &len);
	} while (n > 0 && from.sll_pkttype == PACKET_OUTGOING);
	return n > 0 ? (uint32_t)n : 0;
}

/* All that can be left to be done to a frame is done before it leaves. */
START_TEST(offloads_are_done)
{
	static struct packet p;
	static uint8_t got[70000];
	struct virtq_iov iov[8];
	struct rng rng = {.state = 1};
	uint32_t all = 0;

	for (int i = 0; i < 300; i++) {
		struct vdev_netif_counters before = counters();
		struct packet_spec spec;
		struct vdev_frame f;
		uint32_t len, n = 0;

		packet_random_spec(&spec, &rng, 20000);
		if (spec.gso_size > 3000)
			spec.gso_size = 3000;
		if (spec.gso == 0 && spec.payload > 3000)
			spec.payload = 3000;
		packet_make(&p, &spec);
		packet_pieces(p.b, p.len, iov, 8, &rng, &f);
		f.offload = p.offload;
		ck_assert_int_eq(vdev_net_offload_check(&f), 0);
		send_frames(&f, 1);
		ck_assert_uint_eq(counters().send_dropped, before.send_dropped);
		for (; (len = at_host(got, sizeof(got))) > 0; n++) {
			const struct vdev_net_offload none = {.flags = 0};
			const char *wrong = packet_wrong(got, len, &none);

			ck_assert_msg(wrong == NULL, "%d: frame %u of %u bytes: %s", i, n, len, wrong);
			ck_assert_uint_le(len, LONGEST);
		}
		ck_assert_uint_ge(n, 1);
		if (spec.gso != 0 && spec.gso != VDEV_NET_GSO_UDP && spec.payload > 0)
			ck_assert_uint_eq(n, (spec.payload + spec.gso_size - 1u) / spec.gso_size);
		all += n;
	}
	ck_assert_uint_gt(all, 1000);
	ck_assert_uint_eq(counters().sent, 300);
}
END_TEST

/* Frames that make no sense cost themselves only, wherever in the burst they stand. */
START_TEST(nonsense_is_dropped)
{
	static uint8_t bytes[70000];
	uint32_t len = datagram(bytes, "good", 4);
	const struct virtq_iov iov = {bytes, len}, whole = {bytes, sizeof(bytes)};
	const struct vdev_frame good = {.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	struct vdev_frame f[9];

	for (int i = 0; i < 9; i++)
		f[i] = good;
	f[0].offload.csum_start = 60000;
	f[2].offload.gso_type = 77;
	f[2].offload.gso_size = 100;
	/* segments of no size; TCP that isn't; longer than any */
	f[3].offload.gso_type = VDEV_NET_GSO_UDP_L4;
	f[5].offload.gso_type = VDEV_NET_GSO_TCPV4;
	f[5].offload.gso_size = 100;
	f[6].iov = &whole;
	f[6].len = VDEV_NET_MAX_FRAME;
	f[6].offload.flags = 0;
	/* pieces that end before the frame does */
	f[7].len = len + 100;
	send_frames(f, 9);
	for (int i = 0; i < 3; i++)
		expect_at_host("good", 4);
	ck_assert_uint_eq(counters().sent, 3);
	ck_assert_uint_eq(counters().send_dropped, 6);
}
END_TEST

START_TEST(readable_when_armed)
{
	int fd = t.netif->ops->fd(t.rx[0]);
	struct vdev_frame f[2];

	host_sends("a", 1, 7);
	ck_assert_uint_eq(receive(f, 2), 1);
	/* With a frame still in our hands. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(fd), 0);
	host_sends("b", 1, 7);
	wait_readable(fd);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	/* Once, until it is armed again. */
	host_sends("c", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_uint_eq(receive(f, 2), 1);
}
END_TEST

static void count_link(void *ctx)
{
	++*(int *)ctx;
}

/* The kernel takes its time to say so. */
static void refresh_until(int link)
{
	struct vdev_netif_info info;
	int told = 0;

	for (int i = 0; i < 6000; i++) {
		told |= vdev_netif_xdp_refresh(t.netif);
		t.netif->ops->info(t.netif, &info);
		if (told == 1 && info.link == link)
			return;
		usleep(10000);
	}
	ck_abort_msg("the link never became %d", link);
}

START_TEST(interface_down_up_and_gone)
{
	int events = 0, seen, n;
	const struct vdev_net_sink sink = {.size = sizeof(sink), .link = count_link, .ctx = &events};
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, "up", 2);
	const struct virtq_iov iov = {bytes, len};
	const struct vdev_frame up = {.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	uint64_t dropped;
	struct vdev_frame f;

	t.netif->ops->set_sink(t.netif, &sink);
	if_up("ours", 0);
	refresh_until(0);
	ck_assert_int_ge(events, 1);
	for (int i = 0; i < 2000; i++)
		send_frames(&up, 1);
	ck_assert_uint_eq(counters().send_dropped, 2000);
	/* Nobody is kept awake by it. */
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(t.rx[0])), 0);
	seen = events;
	if_up("ours", 1);
	refresh_until(1);
	ck_assert_int_gt(events, seen);
	if_wait("host");
	if_wait("ours");
	/* The host's end forgot whom it knew, and loses what it sends until it has noticed. */
	if_neighbour("host", OURS, our_mac);
	for (int i = 0; (n = t.netif->ops->receive(t.rx[0], &f, 1)) == 0 && i < 6000; i++) {
		host_sends("back", 4, 7);
		usleep(10000);
	}
	ck_assert_int_eq(n, 1);
	ck_assert_mem_eq(bytes_of(&f) + DATA, "back", 4);
	send_frames(&up, 1);
	expect_at_host("up", 2);
	t.netif->ops->set_sink(t.netif, NULL);
	seen = events;
	if_delete("ours");
	while (t.netif->ops->receive(t.rx[0], &f, 1) > 0)
		continue;
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_lt(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	dropped = counters().send_dropped;
	send_frames(&up, 1);
	ck_assert_uint_eq(counters().send_dropped, dropped + 1);
	/* Nobody is told any more. */
	ck_assert_int_eq(vdev_netif_xdp_refresh(t.netif), 1);
	ck_assert_int_eq(events, seen);
}
END_TEST

/* The host's stack hears nothing of what comes while we are there, and all of it when we are gone. */
START_TEST(the_interface_is_ours)
{
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int stack = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct vdev_netif *second = NULL;
	struct vdev_frame f;
	uint8_t got[200];
	const struct vdev_netif_xdp_config again = {.size = sizeof(again), .name = "ours"};

	all.sll_ifindex = if_index("ours");
	ck_assert_int_eq(bind(stack, (struct sockaddr *)&all, sizeof(all)), 0);
	ck_assert_int_eq(vdev_netif_xdp_new(&second, vdev_env_hosted(), &again), -EBUSY);
	host_sends("ours", 4, 7);
	receive(&f, 1);
	ck_assert_int_eq(is_readable(stack), 0);
	t.netif->ops->close(t.rx[0]);
	t.rx[0] = NULL;
	t.netif->ops->close(t.tx);
	vdev_netif_free(t.netif);
	host_sends("free", 4, 7);
	wait_readable(stack);
	ck_assert_int_ge(recv(stack, got, sizeof(got), 0), DATA + 4);
	ck_assert_mem_eq(got + DATA, "free", 4);
	/* and it can be had again, which teardown undoes */
	ck_assert_int_eq(vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), &again), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
	close(stack);
}
END_TEST

/* Frames of all queues come whatever the number of channels, each of a flow by the same one. */
START_TEST(several_channels)
{
	enum { FLOWS = 64 };
	const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours", .pairs = 2};
	struct vdev_netif_channel *none;
	struct vdev_netif_info info;
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t seen[3][2] = {{0}};
	uint8_t where[FLOWS] = {0};

	teardown();
	open_all(&cfg, 3, 1500);
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.max_pairs, 2);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 2, VDEV_NET_SEND, &none), VIRTQ_EINVAL);
	for (uint32_t phase = 0; phase < 3; phase++) {
		uint32_t sent = 0, got = 0;

		t.netif->ops->set_pairs(t.netif, phase == 1 ? 2 : 1);
		for (; sent < 4 * FLOWS; sent++)
			host_sends("x", 1, 1000 + (int)(sent % FLOWS));
		for (uint32_t c = 0, idle = 0; got < sent && idle < 6000; c = !c) {
			int n = t.netif->ops->receive(t.rx[c], f, VDEV_NET_BURST);

			ck_assert_int_ge(n, 0);
			for (int i = 0; i < n; i++) {
				const uint8_t *p = bytes_of(&f[i]);

				if (phase == 1)
					where[(p[36] << 8 | p[37]) - 1000] |= (uint8_t)(1 << c);
			}
			seen[phase][c] += (uint32_t)n;
			got += (uint32_t)n;
			if (n == 0) {
				usleep(1000);
				idle++;
			}
		}
		ck_assert_uint_eq(got, sent);
	}
	ck_assert_uint_eq(seen[0][1], 0);
	ck_assert_uint_eq(seen[2][1], 0);
	ck_assert_uint_gt(seen[1][0], 0);
	ck_assert_uint_gt(seen[1][1], 0);
	for (int i = 0; i < FLOWS; i++)
		ck_assert(where[i] == 1 || where[i] == 2);
	/* The one that is in use is woken by any queue, and the other one by none. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[1]), 0);
	for (int i = 0; i < FLOWS; i++) {
		host_sends("y", 1, 1000 + i);
		ck_assert_uint_eq(receive(f, 1), 1);
	}
	ck_assert_int_eq(is_readable(t.netif->ops->fd(t.rx[1])), 0);
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "nowhere"};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif *n = NULL;

	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), -ENODEV);
	cfg.name = "sixteen_letters_";
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = NULL;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = "host";
	cfg.pairs = 65;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.pairs = 0;
	cfg.ring = 32;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 1000;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 32768;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 0;
	cfg.flags = 2;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.flags = 0;
	cfg.size--;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_xdp_new(&n, env, NULL), VIRTQ_EINVAL);
	cfg.size++;
	ck_assert_int_eq(vdev_netif_xdp_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_xdp_new(NULL, env, &cfg), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_xdp_refresh(NULL), VIRTQ_EINVAL);
}
END_TEST

static TCase *with(Suite *suite, const char *name, SFun begin)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, begin, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return tc;
}

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_xdp");
	const char *missing = xdp_missing();
	TCase *tc, *generic;

	if (missing != NULL) {
		printf("skipped: %s\n", missing);
		exit(77);
	}
	tc = with(suite, "driver", setup);
	generic = with(suite, "generic", setup_generic);
	for (int i = 0; i < 2; i++) {
		TCase *both = i == 0 ? tc : generic;

		tcase_add_test(both, host_to_device);
		tcase_add_test(both, ring_goes_round);
		tcase_add_test(both, device_to_host);
		tcase_add_test(both, readable_when_armed);
		tcase_add_test(both, the_interface_is_ours);
	}
	tcase_add_test(generic, long_frames);
	tcase_add_test(tc, all_lengths);
	tcase_add_test(tc, ring_overflows);
	tcase_add_test(tc, device_sends_many);
	tcase_add_test(generic, offloads_are_done);
	tcase_add_test(tc, nonsense_is_dropped);
	tcase_add_test(tc, interface_down_up_and_gone);
	tcase_add_test(tc, several_channels);
	tcase_add_test(tc, misuse);
	srunner_add_suite(runner, suite);
}
