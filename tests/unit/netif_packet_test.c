/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet socket back-end, on one end of a cable whose other end belongs to the kernel's network. */
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

#include <vdev/netif_packet.h>

#include "net_datagram.h"
#include "net_ns.h"
#include "net_packet.h"

static struct {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx[2], *tx;
	uint8_t mac[6]; /* the host's */
	int sock;       /* the host's, port 9 */
} t;

static struct vdev_netif_packet_config config = {.size = sizeof(config), .name = "ours"};

static void open_all(const struct vdev_netif_packet_config *cfg)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
	unsigned pairs = cfg->pairs > 0 ? cfg->pairs : 1;

	ns_enter();
	veth_new("host", "ours");
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
	ck_assert_int_eq(vdev_netif_packet_new(&t.netif, vdev_env_hosted(), cfg), 0);
	for (unsigned i = 0; i < pairs; i++)
		ck_assert_int_eq(t.netif->ops->open(t.netif, i, VDEV_NET_RECEIVE, &t.rx[i]), 0);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 0, VDEV_NET_SEND, &t.tx), 0);
}

static void setup(void)
{
	open_all(&config);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++)
		if (t.rx[i] != NULL)
			t.netif->ops->close(t.rx[i]);
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
	static uint8_t bytes[VDEV_NET_MAX_FRAME];
	size_t at = 0;

	for (uint32_t i = 0; i < f->niov; i++) {
		memcpy(bytes + at, f->iov[i].base, f->iov[i].len);
		at += f->iov[i].len;
	}
	ck_assert_uint_eq(at, f->len);
	return bytes;
}

START_TEST(host_to_device)
{
	struct vdev_frame f;
	const uint8_t *p;

	host_sends("hello", 5, 7);
	ck_assert_uint_eq(receive(&f, 1), 1);
	ck_assert_uint_eq(f.len, DATA + 5);
	p = bytes_of(&f);
	ck_assert_mem_eq(p, our_mac, 6);
	ck_assert_mem_eq(p + 6, t.mac, 6);
	ck_assert_mem_eq(p + DATA, "hello", 5);
	/* The kernel left the checksum to the cable's other end. */
	ck_assert_uint_eq(f.offload.flags, VDEV_NET_NEEDS_CSUM);
	ck_assert_uint_eq(f.offload.csum_start, UDP);
	ck_assert_uint_eq(f.offload.csum_offset, 6);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], &f, 1), 0);
	ck_assert_uint_eq(counters().received, 1);
	ck_assert_uint_eq(counters().received_bytes, DATA + 5);
}
END_TEST

/* Round and round the ring, in bursts, whose frames stay until the next call. */
START_TEST(ring_goes_round)
{
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t next = 0, sent = 0;

	while (next < 1000) {
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

/* What finds no room in the ring is counted, and the rest comes. */
START_TEST(ring_overflows)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .ring = 8, .frame_max = 2000};
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t got = 0;
	int n;

	teardown();
	memset(&t, 0, sizeof(t));
	open_all(&cfg);
	for (uint32_t i = 0; i < 3000; i++)
		host_sends(&i, sizeof(i), 7);
	while ((n = t.netif->ops->receive(t.rx[0], f, VDEV_NET_BURST)) > 0)
		got += (uint32_t)n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_ge(got, 8);
	ck_assert_uint_lt(got, 3000);
	ck_assert_uint_eq(counters().receive_dropped, 3000 - got);
	/* Told once only by the kernel. */
	ck_assert_uint_eq(counters().receive_dropped, 3000 - got);
	host_sends("again", 5, 7);
	receive(f, 1);
	ck_assert_mem_eq(bytes_of(f) + DATA, "again", 5);
}
END_TEST

/* Frames longer than the slots are dropped, not cut. */
START_TEST(long_frames)
{
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .frame_max = 500};
	char data[1400];
	struct vdev_frame f;

	teardown();
	memset(&t, 0, sizeof(t));
	memset(data, 'x', sizeof(data));
	open_all(&cfg);
	host_sends(data, sizeof(data), 7);
	host_sends(data, 500 - DATA, 7);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, 500);
	ck_assert_uint_eq(counters().receive_dropped, 1);
}
END_TEST

/* The kernel takes tags out of frames. They are back in what we hand on. */
START_TEST(tags_are_put_back)
{
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_index("host")};
	uint8_t bytes[100];
	struct vdev_frame f;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(bytes, our_mac, 6);
	memcpy(bytes + 6, t.mac, 6);
	packet_put16(bytes + 12, 0x8100);
	packet_put16(bytes + 14, 0x6123);
	packet_put16(bytes + 16, 0x88b5);
	ck_assert_int_eq(sendto(s, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)), 100);
	receive(&f, 1);
	ck_assert_uint_eq(f.len, 100);
	ck_assert_uint_eq(f.niov, 3);
	ck_assert_mem_eq(bytes_of(&f), bytes, 100);
	close(s);
}
END_TEST

static void send_frames(const struct vdev_frame *f, uint32_t n)
{
	ck_assert_uint_eq(t.netif->ops->send(t.tx, f, n), n);
}

START_TEST(device_to_host)
{
	uint8_t bytes[VDEV_NET_BURST + 4][200];
	struct virtq_iov iov[VDEV_NET_BURST + 4][2];
	struct vdev_frame f[VDEV_NET_BURST + 4];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < VDEV_NET_BURST + 4; i++) {
		char data[8];
		uint32_t len =
			datagram(bytes[i], t.mac, data, (uint32_t)snprintf(data, sizeof(data), "%u", i));

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

/* Frames of one byte a piece: several share a call, one has more than a call takes. */
START_TEST(device_sends_many_pieces)
{
	enum { LEN = DATA + 1400 };
	static uint8_t bytes[LEN];
	static char data[1400];
	static struct virtq_iov iov[8][LEN];
	static const uint32_t niov[8] = {1, 500, 400, 121, 1023, 1024, LEN, 2};
	struct vdev_frame f[8];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	datagram(bytes, t.mac, data, sizeof(data));
	for (uint32_t k = 0; k < 8; k++) {
		for (uint32_t i = 0; i < niov[k]; i++)
			iov[k][i] = (struct virtq_iov){&bytes[i], i + 1 < niov[k] ? 1 : LEN - i};
		f[k] =
			(struct vdev_frame){.iov = iov[k], .niov = niov[k], .len = LEN, .offload = needs_csum};
	}
	send_frames(f, 8);
	for (uint32_t k = 0; k < 8; k++)
		expect_at_host(data, sizeof(data));
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

/* What the kernel refuses costs itself only, wherever in the burst it stands. */
START_TEST(refused_frames_are_dropped)
{
	static uint8_t bytes[4000];
	char data[3000] = "good";
	uint32_t len = datagram(bytes, t.mac, data, 4);
	static uint8_t too_long[4000];
	uint32_t long_len = datagram(too_long, t.mac, data, 3000);
	const struct virtq_iov good_iov = {bytes, len}, long_iov = {too_long, long_len},
						   gone_iov = {(void *)(uintptr_t)4096, len};
	const struct vdev_frame good = {.iov = &good_iov, .niov = 1, .len = len, .offload = needs_csum};
	struct vdev_frame bad_csum = good, bad_gso = good, f[8];

	bad_csum.offload.csum_start = 60000;
	bad_gso.offload.gso_type = 77;
	f[0] = bad_csum;
	f[1] = good;
	f[2] = bad_gso;
	f[3] = (struct vdev_frame){.iov = &long_iov, .niov = 1, .len = long_len};
	f[4] = good;
	f[5] = (struct vdev_frame){.iov = &gone_iov, .niov = 1, .len = len};
	f[6] = good;
	f[7] = bad_csum;
	send_frames(f, 8);
	for (int i = 0; i < 3; i++)
		expect_at_host("good", 4);
	ck_assert_uint_eq(counters().sent, 3);
	ck_assert_uint_eq(counters().send_dropped, 5);
}
END_TEST

/* What means nothing, or is a hint only, is no reason for the kernel to drop a frame. */
START_TEST(odd_offloads)
{
	uint8_t bytes[200];
	uint32_t len = datagram(bytes, t.mac, "odd", 3);
	const struct virtq_iov iov = {bytes, len};
	struct vdev_frame f[3];

	for (int i = 0; i < 3; i++)
		f[i] = (struct vdev_frame){.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	f[0].offload.gso_type = VDEV_NET_GSO_ECN;
	f[1].offload.hdr_len = (uint16_t)(len + 1);
	f[2].offload.hdr_len = 65535;
	send_frames(f, 3);
	for (int i = 0; i < 3; i++)
		expect_at_host("odd", 3);
	ck_assert_uint_eq(counters().send_dropped, 0);
}
END_TEST

START_TEST(readable_when_armed)
{
	int fd = t.netif->ops->fd(t.rx[0]);
	struct vdev_frame f[2];

	host_sends("a", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 1);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	/* With a frame still in our hands. */
	ck_assert_int_eq(t.netif->ops->arm(t.rx[0]), 0);
	ck_assert_int_eq(is_readable(fd), 0);
	host_sends("b", 1, 7);
	wait_readable(fd);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
	host_sends("c", 1, 7);
	ck_assert_int_eq(is_readable(fd), 0);
	ck_assert_int_eq(t.netif->ops->receive(t.rx[0], f, 2), 1);
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
		told |= vdev_netif_packet_refresh(t.netif);
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
	uint32_t len = datagram(bytes, t.mac, "up", 2);
	const struct virtq_iov iov = {bytes, len};
	const struct vdev_frame up = {.iov = &iov, .niov = 1, .len = len, .offload = needs_csum};
	uint64_t dropped;
	struct vdev_frame f;

	t.netif->ops->set_sink(t.netif, &sink);
	if_up("ours", 0);
	refresh_until(0);
	ck_assert_int_ge(events, 1);
	send_frames(&up, 1);
	ck_assert_uint_eq(counters().send_dropped, 1);
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
	ck_assert_int_eq(vdev_netif_packet_refresh(t.netif), 1);
	ck_assert_int_eq(events, seen);
}
END_TEST

/* Each frame comes once, and all of a flow by the same channel; the number of channels may change. */
START_TEST(several_channels)
{
	enum { FLOWS = 64 };
	const struct vdev_netif_packet_config cfg = {
		.size = sizeof(cfg), .name = "ours", .pairs = 2, .frame_max = 2000};
	struct vdev_netif_channel *none;
	struct vdev_netif_info info;
	struct vdev_frame f[VDEV_NET_BURST];
	uint32_t seen[3][2] = {{0}};
	uint8_t where[FLOWS] = {0};

	teardown();
	memset(&t, 0, sizeof(t));
	open_all(&cfg);
	t.netif->ops->info(t.netif, &info);
	ck_assert_uint_eq(info.max_pairs, 2);
	ck_assert_int_eq(t.netif->ops->open(t.netif, 2, VDEV_NET_SEND, &none), VIRTQ_EINVAL);
	for (uint32_t phase = 0; phase < 3; phase++) {
		uint32_t sent = 0, got = 0;

		t.netif->ops->set_pairs(t.netif, phase == 1 ? 2 : 1);
		for (; sent < 4 * FLOWS; sent++)
			host_sends("x", 1, 1000 + (int)(sent % FLOWS));
		for (uint32_t c = 0; c < 2; c++) {
			int n;

			while ((n = t.netif->ops->receive(t.rx[c], f, VDEV_NET_BURST)) > 0) {
				for (int i = 0; i < n; i++) {
					const uint8_t *p = bytes_of(&f[i]);

					if (phase == 1)
						where[(p[36] << 8 | p[37]) - 1000] |= (uint8_t)(1 << c);
				}
				seen[phase][c] += (uint32_t)n;
				got += (uint32_t)n;
			}
		}
		ck_assert_uint_eq(got, sent);
	}
	ck_assert_uint_eq(seen[0][1], 0);
	ck_assert_uint_eq(seen[2][1], 0);
	ck_assert_uint_gt(seen[1][0], FLOWS / 4);
	ck_assert_uint_gt(seen[1][1], FLOWS / 4);
	for (int i = 0; i < FLOWS; i++)
		ck_assert(where[i] == 1 || where[i] == 2);
	ck_assert_uint_eq(counters().receive_dropped, 0);
}
END_TEST

START_TEST(misuse)
{
	struct vdev_netif_packet_config cfg = {.size = sizeof(cfg), .name = "nowhere"};
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_netif *n = NULL;

	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), -ENODEV);
	cfg.name = "sixteen_letters_";
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = NULL;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.name = "ours";
	cfg.pairs = 65;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.pairs = 0;
	cfg.frame_max = 81;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.frame_max = VDEV_NET_MAX_FRAME + 1;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.frame_max = 0;
	cfg.ring = 65537;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	cfg.ring = 0;
	cfg.size--;
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_new(&n, env, NULL), VIRTQ_EINVAL);
	cfg.size++;
	ck_assert_int_eq(vdev_netif_packet_new(&n, NULL, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_packet_new(NULL, env, &cfg), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_packet_refresh(NULL), VIRTQ_EINVAL);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_packet");
	TCase *tc = tcase_create("packet");
	const char *missing = ns_missing();

	if (missing != NULL) {
		printf("skipped: %s\n", missing);
		exit(77);
	}
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, host_to_device);
	tcase_add_test(tc, ring_goes_round);
	tcase_add_test(tc, ring_overflows);
	tcase_add_test(tc, long_frames);
	tcase_add_test(tc, tags_are_put_back);
	tcase_add_test(tc, device_to_host);
	tcase_add_test(tc, device_sends_many_pieces);
	tcase_add_test(tc, refused_frames_are_dropped);
	tcase_add_test(tc, odd_offloads);
	tcase_add_test(tc, readable_when_armed);
	tcase_add_test(tc, interface_down_up_and_gone);
	tcase_add_test(tc, several_channels);
	tcase_add_test(tc, misuse);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
