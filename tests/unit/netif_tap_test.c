/* SPDX-License-Identifier: BSD-3-Clause */
/* The tap back-end, with the kernel's own network as the other side. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/netif_tap.h>

#include "edge.h"
#include "net_packet.h"
#include "netif_rig.h"

static char ours[VDEV_NETIF_NAME];

static void open_tap(const struct vdev_netif_tap_config *cfg)
{
	rig_begin(vdev_netif_tap_refresh, 0);
	ck_assert_int_eq(vdev_netif_tap_new(&t.netif, vdev_env_hosted(), cfg), 0);
	ck_assert_int_eq(vdev_netif_tap_name(t.netif, ours), 0);
	if_address(ours, HOST);
	if_up(ours, 1);
	rig_host(ours);
}

static void setup(void)
{
	const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg)};

	ns_enter();
	open_tap(&cfg);
	open_channels(1);
}

/* --- frames there and back ------------------------------------------------------------ */

START_TEST(host_to_device)
{
	struct vdev_frame f;
	const uint8_t *p;

	host_sends("hello", 5, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, DATA + 5);
	ck_assert_uint_eq(f.niov, 1);
	p = f.iov[0].base;
	ck_assert_mem_eq(p, our_mac, 6);
	ck_assert_mem_eq(p + 6, t.mac, 6);
	ck_assert_mem_eq(p + DATA, "hello", 5);
	/* Nobody said that the driver can do checksums. */
	ck_assert_uint_eq(f.offload.flags & VDEV_NET_NEEDS_CSUM, 0);
	ck_assert_uint_eq(packet_sum(p + UDP, 13, packet_sum(p + IP + 12, 8, 17 + 13)), 0xffff);
	ck_assert_int_eq(t.netif->ops->set_takes(t.netif, VDEV_NET_TAKES_CSUM), 0);
	host_sends("there", 5, 7);
	receive(&f, 1);
	p = f.iov[0].base;
	ck_assert_uint_eq(f.offload.flags, VDEV_NET_NEEDS_CSUM);
	ck_assert_uint_eq(f.offload.csum_start, UDP);
	ck_assert_uint_eq(f.offload.csum_offset, 6);
	ck_assert_mem_eq(p + DATA, "there", 5);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_uint_eq(counters().received, 2);
	ck_assert_uint_eq(counters().received_bytes, 2 * (DATA + 5));
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

/* All of a burst stay where they are until the next call; longest frames too. */
START_TEST(host_sends_a_burst)
{
	enum { N = VDEV_NET_BURST + 3 };
	struct vdev_frame f[N];
	static uint8_t data[N][9000];
	int done = 0;

	if_mtu(ours, 9028);
	for (int i = 0; i < N; i++) {
		memset(data[i], i, sizeof(data[i]));
		host_sends(data[i], sizeof(data[i]), 7);
	}
	for (int want = VDEV_NET_BURST; done < N; want = N - VDEV_NET_BURST) {
		int n = t.netif->ops->receive(t.rx[0], f, N);

		ck_assert_int_eq(n, want);
		for (int i = 0; i < n; i++) {
			ck_assert_uint_eq(f[i].len, DATA + 9000);
			ck_assert_mem_eq((uint8_t *)f[i].iov[0].base + DATA, data[done + i], 9000);
		}
		done += n;
	}
}
END_TEST

START_TEST(device_to_host)
{
	uint8_t bytes[2000];
	uint32_t len;

	len = datagram(bytes, t.mac, "ahoy", 4);
	/* The kernel looks at the checksum only if it has to cross something: it is right, or this frame is lost. */
	send_bytes(bytes, len, needs_csum);
	expect_at_host("ahoy", 4);
	packet_put16(bytes + UDP + 6, (uint16_t)~packet_sum(bytes + UDP, len - UDP, 0));
	send_bytes(bytes, len, (struct vdev_net_offload){.flags = 0});
	expect_at_host("ahoy", 4);
	/* One that is wrong and said to be done goes nowhere. */
	bytes[DATA]++;
	send_bytes(bytes, len, (struct vdev_net_offload){.flags = 0});
	bytes[DATA]--;
	send_bytes(bytes, len, (struct vdev_net_offload){.flags = 0});
	expect_at_host("ahoy", 4);
	ck_assert_int_eq(is_readable(t.sock), 0);
	ck_assert_uint_eq(counters().sent, 4);
	ck_assert_uint_eq(counters().sent_bytes, 4 * len);
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

START_TEST(device_sends_many_pieces)
{
	enum { LEN = DATA + 1400 };
	static uint8_t bytes[LEN];
	static char data[1400];
	static struct virtq_iov iov[LEN];
	static const uint32_t niov[] = {1, 2, 1022, 1023, 1024, 1025, LEN};

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	datagram(bytes, t.mac, data, sizeof(data));
	for (size_t k = 0; k < sizeof(niov) / sizeof(niov[0]); k++) {
		struct vdev_frame f = {.iov = iov, .niov = niov[k], .len = LEN, .offload = needs_csum};

		for (uint32_t i = 0; i < niov[k]; i++)
			iov[i] = (struct virtq_iov){&bytes[i], i + 1 < niov[k] ? 1 : LEN - i};
		ck_assert_uint_eq(t.netif->ops->send(t.tx, &f, 1), 1);
		expect_at_host(data, sizeof(data));
	}
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

/* Several datagrams in one frame, each way: the kernel cuts ours, and does not cut its own for a driver that can. */
START_TEST(datagrams_in_one)
{
	enum { SIZE = 1000, LEN = 3500 };
	static char data[LEN];
	static uint8_t bytes[DATA + LEN];
	struct vdev_net_offload o = needs_csum;
	struct vdev_netif_info info;
	struct vdev_frame f;
	int size = SIZE;

	t.netif->ops->info(t.netif, &info);
	if (!(info.takes & VDEV_NET_TAKES_USO4))
		return; /* before Linux 6.2 */
	for (int i = 0; i < LEN; i++)
		data[i] = (char)(i * 13);
	o.gso_type = VDEV_NET_GSO_UDP_L4;
	o.gso_size = SIZE;
	o.hdr_len = DATA;
	send_bytes(bytes, datagram(bytes, t.mac, data, LEN), o);
	for (int at = 0; at < LEN; at += SIZE)
		expect_at_host(data + at, (size_t)(at + SIZE <= LEN ? SIZE : LEN - at));
	ck_assert_int_eq(setsockopt(t.sock, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	ck_assert_int_eq(t.netif->ops->set_takes(t.netif, VDEV_NET_TAKES_ALL), 0);
	host_sends(data, LEN, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, DATA + LEN);
	ck_assert_uint_eq(f.offload.gso_type, VDEV_NET_GSO_UDP_L4);
	ck_assert_uint_eq(f.offload.gso_size, SIZE);
	ck_assert_uint_eq(f.offload.flags, VDEV_NET_NEEDS_CSUM);
	ck_assert_mem_eq((uint8_t *)f.iov[0].base + DATA, data, LEN);
	ck_assert_int_eq(t.netif->ops->set_takes(t.netif, 0), 0);
	host_sends(data, LEN, 7);
	for (int at = 0; at < LEN; at += SIZE) {
		receive(&f, 1);
		ck_assert_uint_eq(f.offload.gso_type, VDEV_NET_GSO_NONE);
		ck_assert_mem_eq((uint8_t *)f.iov[0].base + DATA, data + at, f.len - DATA);
	}
}
END_TEST

/* What means nothing, or is a hint only, is no reason for the kernel to drop a frame. */
START_TEST(odd_offloads)
{
	static const struct vdev_net_offload odd[] = {
		{.gso_type = VDEV_NET_GSO_ECN}, {.hdr_len = DATA + 4}, {.hdr_len = 65535}};
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "odd", 3);

	for (unsigned i = 0; i < 3; i++) {
		struct vdev_net_offload o = needs_csum;

		o.gso_type = odd[i].gso_type;
		o.hdr_len = odd[i].hdr_len;
		send_bytes(bytes, len, o);
		ck_assert_uint_eq(counters().sent, i + 1);
		expect_at_host("odd", 3);
	}
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

/* --- waiting --------------------------------------------------------------------------- */

START_TEST(readable_when_armed)
{
	int fd = t.netif->ops->fd(t.rx[0]);
	struct vdev_frame f[2];

	/* Whoever polls is not woken for it. */
	host_sends("a", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	/* A frame that is there before arming counts. */
	if (t.netif->ops->arm(t.rx[0]) == 0)
		ck_assert_int_eq(is_readable(fd), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(fd), 0);
	host_sends("b", 1, 7);
	wait_readable(fd);
	/* Until it is looked at. */
	ck_assert_int_eq(is_readable(fd), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	host_sends("c", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
}
END_TEST

/* --- what a guest may do ----------------------------------------------------------------- */

/* Headers that the kernel refuses cost their own frame only. */
START_TEST(CH_17fefa1e4)
{
	static const struct vdev_net_offload bad[] = {
		{.flags = VDEV_NET_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535},
		{.flags = VDEV_NET_NEEDS_CSUM, .csum_start = 2000, .csum_offset = 6},
		{.gso_type = 77, .gso_size = 100, .hdr_len = 54},
		{.gso_type = VDEV_NET_GSO_TCPV4, .gso_size = 0},
		{.flags = VDEV_NET_NEEDS_CSUM,
	     .gso_type = VDEV_NET_GSO_TCPV4,
	     .gso_size = 0,
	     .csum_start = UDP,
	     .csum_offset = 6},
	};
	enum { BAD = sizeof(bad) / sizeof(bad[0]) };
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "still here", 10);
	const struct virtq_iov iov = {bytes, len};
	struct vdev_frame frames[BAD + 2];

	for (size_t i = 0; i < BAD; i++)
		frames[i] = (struct vdev_frame){.iov = &iov, .niov = 1, .len = len, .offload = bad[i]};
	frames[BAD] = (struct vdev_frame){.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	frames[BAD + 1] = frames[BAD];
	/* The whole burst is taken, and the good ones at its end arrive. */
	ck_assert_uint_eq(t.netif->ops->send(t.tx, frames, BAD + 2), BAD + 2);
	expect_at_host("still here", 10);
	expect_at_host("still here", 10);
	ck_assert_uint_eq(counters().send_dropped, BAD);
	ck_assert_uint_eq(counters().sent, 2);
}
END_TEST

/* Guest memory that has gone away under a frame. */
START_TEST(unmapped_memory_is_dropped)
{
	const struct virtq_iov iov = {(void *)(uintptr_t)4096, 100};
	const struct vdev_frame f = {.iov = &iov, .niov = 1, .len = 100};

	ck_assert_uint_eq(t.netif->ops->send(t.tx, &f, 1), 1);
	ck_assert_uint_eq(counters().send_dropped, 1);
}
END_TEST

/* --- the interface ------------------------------------------------------------------------ */

static uint32_t no_frames(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	(void)ctx;
	(void)frames;
	(void)flow;
	ck_abort_msg("nothing is pushed");
	return n;
}

START_TEST(interface_down_and_up)
{
	int events = 0, seen;
	const struct vdev_net_sink sink = {
		.size = sizeof(sink), .deliver = no_frames, .link = count_link, .ctx = &events};
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "up", 2);
	struct vdev_frame f;

	t.netif->ops->set_sink(t.netif, &sink);
	/* It was made down, and came up. */
	refresh_until(1, 1500);
	ck_assert_int_ge(events, 1);
	seen = events;
	ck_assert_int_eq(vdev_netif_tap_refresh(t.netif), 0);
	ck_assert_int_eq(events, seen);
	if_up(ours, 0);
	refresh_until(0, 1500);
	ck_assert_int_gt(events, seen);
	seen = events;
	send_bytes(bytes, len, needs_csum);
	ck_assert_uint_eq(counters().send_dropped, 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	if_mtu(ours, 1400);
	if_up(ours, 1);
	refresh_until(1, 1400);
	ck_assert_int_gt(events, seen);
	seen = events;
	send_bytes(bytes, len, needs_csum);
	expect_at_host("up", 2);
	/* Nobody is told any more. */
	t.netif->ops->set_sink(t.netif, NULL);
	if_up(ours, 0);
	refresh_until(0, 1400);
	ck_assert_int_eq(events, seen);
}
END_TEST

START_TEST(interface_gone)
{
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "?", 1);
	char name[VDEV_NETIF_NAME];
	struct vdev_netif_info info;
	struct vdev_frame f;

	if_delete(ours);
	ck_assert_int_lt(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	send_bytes(bytes, len, needs_csum);
	ck_assert_uint_eq(counters().send_dropped, 1);
	ck_assert_int_eq(vdev_netif_tap_name(t.netif, name), -ENODEV);
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.link, 0);
}
END_TEST

/* --- several queues ----------------------------------------------------------------------- */

static void flows_until(struct vdev_netif_channel *const *c, int wanted)
{
	int seen = 0;
	struct vdev_frame f[VDEV_NET_BURST];

	/* 2,000 ports: that all of them go the same way is no chance to speak of. */
	for (int port = 1; port <= 2000 && seen != wanted; port++) {
		host_sends("flow", 4, port);
		for (int i = 0; i < 2; i++)
			if (t.netif->ops->receive(c[i], f, VDEV_NET_BURST) > 0)
				seen |= 1 << i;
	}
	ck_assert_int_eq(seen, wanted);
}

START_TEST(several_queues)
{
	const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .name = "mq%d", .pairs = 2};
	struct vdev_netif_channel *c[2], *s, *none;
	struct vdev_netif_info info;
	struct vdev_frame f;
	uint8_t bytes[200];
	uint32_t len;

	ns_enter();
	open_tap(&cfg);
	ck_assert_str_eq(ours, "mq0");
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.max_pairs, 2);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 2, VDEV_NET_SEND, &none), VIRTQ_EINVAL);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(t.netif->ops->open(t.netif, i, VDEV_NET_RECEIVE, &c[i]), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 1, VDEV_NET_SEND, &s), 0);
	/* In the beginning there is one. The other sleeps, undisturbed. */
	flows_until(c, 1);
	ck_assert_int_eq(t.netif->ops->arm(c[1]), 0);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(c[1])), 0);
	t.netif->ops->set_pairs(t.netif, 2);
	for (int port = 1; port <= 2000 && !is_readable(t.netif->ops->fd(c[1])); port++)
		host_sends("flow", 4, port);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(c[1])), 1);
	ck_assert_int_eq(t.netif->ops->receive(c[1], &f, 1), 1);
	ck_assert_int_eq(is_readable(t.netif->ops->fd(c[1])), 0);
	flows_until(c, 3);
	/* The second sends like the first. */
	t.tx = s;
	len = datagram(bytes, t.mac, "two", 3);
	send_bytes(bytes, len, needs_csum);
	expect_at_host("two", 3);
	t.netif->ops->set_pairs(t.netif, 1);
	while (t.netif->ops->receive(c[0], &f, 1) > 0)
		continue;
	flows_until(c, 1);
	/* And again: a queue comes back, whether it is waited for or not. */
	t.netif->ops->set_pairs(t.netif, 7);
	flows_until(c, 3);
	ck_assert_int_eq(t.netif->ops->arm(c[1]), 0);
	t.netif->ops->set_pairs(t.netif, 0);
	ck_assert_int_eq(t.netif->ops->receive(c[1], &f, 1), 0);
	ck_assert_int_eq(t.netif->ops->arm(c[1]), 0);
	t.netif->ops->close(c[1]);
	t.netif->ops->set_pairs(t.netif, 2);
	t.netif->ops->close(c[0]);
	t.netif->ops->close(s);
	vdev_netif_free(t.netif);
	close(t.sock);
}
END_TEST

static uint8_t *at_edge;

/* The first, for the netif, ends where memory does. */
static void *alloc_at_edge(void *ctx, size_t bytes)
{
	(void)ctx;
	if (at_edge != NULL || bytes % sizeof(void *) != 0)
		return malloc(bytes);
	return at_edge = edge_copy(NULL, bytes);
}

static void free_at_edge(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	if (p != at_edge)
		free(p);
}

START_TEST(no_more_pairs_than_there_are)
{
	struct vdev_env env = *vdev_env_hosted();
	struct vdev_netif *n;

	ns_enter();
	env.alloc = alloc_at_edge;
	env.free = free_at_edge;
	/* One of the two numbers makes it a size that can lie there. */
	for (uint32_t own = 2; own <= 3; own++) {
		const struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .pairs = own};

		at_edge = NULL;
		ck_assert_int_eq(vdev_netif_tap_new(&n, &env, &cfg), 0);
		if (at_edge == (uint8_t *)n)
			break;
		vdev_netif_free(n);
	}
	ck_assert_ptr_eq(at_edge, (uint8_t *)n);
	n->ops->set_pairs(n, 4);
	n->ops->set_pairs(n, 1);
	n->ops->set_pairs(n, 300);
	vdev_netif_free(n);
}
END_TEST

/* --- descriptors from elsewhere -------------------------------------------------------------- */

static int tun(const char *name, int flags)
{
	struct ifreq r;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	memset(&r, 0, sizeof(r));
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	r.ifr_flags = (short)flags;
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &r), 0);
	return fd;
}

START_TEST(given_descriptor)
{
	int offloads = _i;
	int fd;
	struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .fds = &fd};
	struct vdev_netif_info info;
	uint8_t bytes[200];
	uint32_t len;
	struct vdev_frame f;

	ns_enter();
	fd = tun("given", IFF_TAP | IFF_NO_PI | (offloads ? IFF_VNET_HDR : 0));
	open_tap(&cfg);
	open_channels(1);
	/* It is ours as well now. */
	close(fd);
	ck_assert_str_eq(ours, "given");
	t.netif->ops->info(t.netif, &info);
	ck_assert_int_eq(info.takes != 0, offloads);
	ck_assert_int_eq(t.netif->ops->set_takes(t.netif, VDEV_NET_TAKES_ALL), 0);
	len = datagram(bytes, t.mac, "given", 5);
	packet_put16(bytes + UDP + 6, (uint16_t)~packet_sum(bytes + UDP, len - UDP, 0));
	send_bytes(bytes, len, (struct vdev_net_offload){.flags = 0});
	expect_at_host("given", 5);
	host_sends("back", 4, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, DATA + 4);
	ck_assert_mem_eq((uint8_t *)f.iov[0].base + DATA, "back", 4);
	ck_assert_int_eq(f.offload.flags == VDEV_NET_NEEDS_CSUM, offloads);
	teardown();
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_tap_config cfg = {.size = sizeof(cfg), .name = "sixteen_letters_"};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif *n = NULL;
	char name[VDEV_NETIF_NAME];
	int fd;

	ns_enter();
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = "x";
	ck_assert_int_eq(vdev_netif_tap_new(NULL, env, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, NULL), VIRTQ_EINVAL);
	cfg.pairs = 257;
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.pairs = 0;
	cfg.size--;
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.size++;
	/* Not a tap at all, one of IP packets. */
	cfg.name = NULL;
	cfg.fds = &fd;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_lt(vdev_netif_tap_new(&n, env, &cfg), 0);
	close(fd);
	fd = tun("a", IFF_TUN | IFF_NO_PI);
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, &cfg), VIRTQ_EINVAL);
	close(fd);
	fd = tun("b", IFF_TAP | IFF_NO_PI);
	/* Somebody has it already. */
	cfg.fds = NULL;
	cfg.name = "b";
	ck_assert_int_eq(vdev_netif_tap_new(&n, env, &cfg), VIRTQ_EBUSY);
	close(fd);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_tap_name(NULL, name), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_tap_refresh(NULL), VIRTQ_EINVAL);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_tap");
	TCase *tc, *own = tcase_create("own");

	test_needs(ns_missing());
	tc = with(suite, "tap", setup);
	tcase_add_test(tc, host_to_device);
	tcase_add_test(tc, host_sends_a_burst);
	tcase_add_test(tc, device_to_host);
	tcase_add_test(tc, device_sends_many_pieces);
	tcase_add_test(tc, datagrams_in_one);
	tcase_add_test(tc, odd_offloads);
	tcase_add_test(tc, readable_when_armed);
	tcase_add_test(tc, CH_17fefa1e4);
	tcase_add_test(tc, unmapped_memory_is_dropped);
	tcase_add_test(tc, interface_down_and_up);
	tcase_add_test(tc, interface_gone);
	tcase_add_test(own, several_queues);
	tcase_add_test(own, no_more_pairs_than_there_are);
	tcase_add_loop_test(own, given_descriptor, 0, 2);
	tcase_add_test(own, misuse);
	suite_add_tcase(suite, own);
	srunner_add_suite(runner, suite);
}
