/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames whose offloads or headers lie, or change while they are looked at. They lie right before a page that isn't there. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check_main.h"
#include "libvdev/net/adapt.h"
#include "libvdev/net/hash.h"
#include "net_packet.h"

enum { ROOM = 1 << 17 };

static struct packet packet;
static struct frame_adapt adapt;
static struct virtq_iov one, two[2];
static struct net_hash_key key;
static uint8_t got[VDEV_NET_MAX_FRAME + 64];
static uint8_t *fence; /* the page that isn't there */
static uint8_t *room;

static void setup(void)
{
	room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(room, MAP_FAILED);
	fence = room + ROOM;
	ck_assert_int_eq(mprotect(fence, 4096, PROT_NONE), 0);
}

static void teardown(void)
{
	munmap(room, ROOM + 4096);
}

/* The first len bytes of the packet, ending at the fence. */
static struct vdev_frame at_fence(uint32_t len)
{
	struct vdev_frame f = {.iov = &one, .niov = 1, .len = len, .offload = packet.offload};

	memcpy(fence - len, packet.b, len);
	one = (struct virtq_iov){fence - len, len};
	return f;
}

/* Everything is done to a frame that could be; returns what beginning to adapt it said. */
static int all_of(const struct vdev_frame *f)
{
	struct vdev_frame out;
	uint32_t value, n = 0;
	int r;

	net_flow(f);
	net_hash(&key, f, NET_HASH_ALL, NET_TUNNEL_ALL, &value);
	frame_fits(f, VDEV_NET_TAKES_CSUM | VDEV_NET_TAKES_USO4);
	r = frame_adapt_begin(&adapt, f, 0, 0);
	if (r != 0) {
		ck_assert_int_eq(frame_adapt_next(&adapt, &out), 0);
		return r;
	}
	while (frame_adapt_next(&adapt, &out) > 0) {
		ck_assert_uint_le(out.len, VDEV_NET_MAX_FRAME);
		ck_assert_uint_eq(packet_flatten(&out, got), out.len);
		ck_assert_uint_le(++n, FRAME_SEGMENTS);
	}
	return 0;
}

static const struct packet_spec tcp4 = {
	.version = 4, .tcp = 1, .payload = 3000, .gso = VDEV_NET_GSO_TCPV4, .gso_size = 1000};
static const struct packet_spec tunnelled = {.version = 6,
                                             .tcp = 1,
                                             .outer = 4,
                                             .payload = 3000,
                                             .gso = VDEV_NET_GSO_TCPV6,
                                             .gso_size = 1000};

/* Headers are looked at once: they may be gone when segments are made. */
START_TEST(DPDK_3429dc98d9)
{
	const struct packet_spec *s = _i % 2 ? &tunnelled : &tcp4;
	struct vdev_frame f, out;
	const char *wrong;
	int n = 0;

	packet_make(&packet, s);
	memcpy(room + 4096, packet.b + packet.payload_at, s->payload);
	memcpy(room + 4096 - packet.payload_at, packet.b, packet.payload_at);
	two[0] = (struct virtq_iov){room + 4096 - packet.payload_at, packet.payload_at};
	two[1] = (struct virtq_iov){room + 4096, s->payload};
	f = (struct vdev_frame){two, 2, packet.len, packet.offload};
	ck_assert_int_eq(frame_adapt_begin(&adapt, &f, _i < 2 ? 0 : VDEV_NET_TAKES_CSUM, 1500), 0);
	ck_assert_int_eq(mprotect(room, 4096, PROT_NONE), 0);
	memset(&f, 0xff, sizeof(f));
	for (; frame_adapt_next(&adapt, &out) > 0; n++) {
		ck_assert_uint_eq(packet_flatten(&out, got), out.len);
		wrong = packet_wrong(got, out.len, &out.offload);
		ck_assert_msg(wrong == NULL, "%s", wrong);
	}
	ck_assert_int_eq(n, 3);
}
END_TEST

/* The bytes that a hostile guest changes all the time, and what to. */
struct flipper {
	uint8_t *at;
	uint8_t a, b;
	int stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		*(volatile uint8_t *)f->at = f->a;
		*(volatile uint8_t *)f->at = f->b;
	}
	return NULL;
}

/* The other thread is the hostile guest: that it races with the one look at the headers is what is tested. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^flip$\n";
}

START_TEST(headers_rewritten_meanwhile)
{
	/* Each of them makes other headers of what follows: their length, their kind. */
	static const struct {
		uint8_t at, a, b;
	} flips[] = {{12, 8, 0x86}, {14, 0x45, 0x4f}, {14, 0x45, 0x65}, {20, 0, 0x20},
	             {23, 6, 17},   {46, 0x50, 0xf0}, {46, 0x50, 0},    {46, 0x50, 0x80}};
	struct flipper f = {.a = flips[_i].a, .b = flips[_i].b};
	unsigned long made = 0, refused = 0;
	struct vdev_frame frame;
	pthread_t thread;

	packet_make(&packet, &tcp4);
	frame = at_fence(packet.len);
	f.at = (uint8_t *)one.base + flips[_i].at;
	ck_assert_int_eq(pthread_create(&thread, NULL, flip, &f), 0);
	for (unsigned long round = test_rounds(3000); round > 0; round--) {
		uint32_t heads = 0, payload = 0;
		struct vdev_frame out;
		int r = frame_adapt_begin(&adapt, &frame, 0, 1500);

		if (r != 0) {
			ck_assert(r == VIRTQ_EPROTO);
			refused++;
			continue;
		}
		made++;
		while (frame_adapt_next(&adapt, &out) > 0) {
			const char *wrong;

			ck_assert_uint_eq(packet_flatten(&out, got), out.len);
			/* One look at the headers gave all of them, and it was good. */
			wrong = packet_wrong(got, out.len, &out.offload);
			ck_assert_msg(wrong == NULL, "%s", wrong);
			ck_assert_int_eq(heads == 0 || heads == out.iov[0].len, 1);
			heads = (uint32_t)out.iov[0].len;
			payload += out.len - heads;
		}
		ck_assert_uint_eq(heads + payload, frame.len);
	}
	__atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(made + refused, 0);
}
END_TEST

START_TEST(CVE_2024_11614)
{
	static const uint32_t lengths[] = {16, 17, 60, 61, 1514, 65000};
	struct vdev_frame f;

	packet_make(&packet, &tcp4);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t len = lengths[i];

		packet.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM};
		f = at_fence(len);
		for (uint32_t start = len - 3; start < len + 4; start++)
			for (uint32_t offset = 0; offset < 6; offset++) {
				f.offload.csum_start = (uint16_t)start;
				f.offload.csum_offset = (uint16_t)offset;
				ck_assert_int_eq(vdev_net_offload_check(&f),
				                 start + offset + 2 <= len ? 0 : VIRTQ_EPROTO);
				ck_assert_int_eq(all_of(&f), start + offset + 2 <= len ? 0 : VIRTQ_EPROTO);
				/* The sum would be small in 16 bits. */
				f.offload.csum_offset = (uint16_t)(0x10000 - start + offset);
				ck_assert_int_eq(vdev_net_offload_check(&f), VIRTQ_EPROTO);
				ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
			}
	}
}
END_TEST

START_TEST(DPDK_63bff5d105)
{
	struct vdev_frame f;

	for (unsigned type = 1; type < 256; type++) {
		packet_make(&packet, &tcp4);
		packet.offload.gso_type = (uint8_t)type;
		packet.offload.gso_size = 0;
		f = at_fence(packet.len);
		if (type == VDEV_NET_GSO_ECN)
			continue; /* none */
		ck_assert_int_eq(vdev_net_offload_check(&f), VIRTQ_EPROTO);
		ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
		/* Any size does not make a kind that isn't one, nor another kind of what this is. */
		f.offload.gso_size = 1000;
		f.offload.outer_th = 34;
		f.offload.inner_nh = 42;
		if ((type | VDEV_NET_GSO_ECN) != (VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN))
			ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
		f.offload.flags = 0;
		ck_assert_int_eq(vdev_net_offload_check(&f), VIRTQ_EPROTO);
	}
}
END_TEST

struct lie {
	const struct packet_spec *spec;
	uint32_t at; /* byte; from ONE on: of the offloads */
	uint8_t value;
};

static const struct packet_spec udp4 = {
	.version = 4, .payload = 3000, .gso = VDEV_NET_GSO_UDP, .gso_size = 1000};
static const struct packet_spec udp6 = {.version = 6,
                                        .payload = 3000,
                                        .gso = VDEV_NET_GSO_UDP_L4,
                                        .gso_size = 1000,
                                        .ext = PACKET_HOPS | PACKET_DEST};

static const struct lie lies[] = {
	{&tcp4, 12, 9}, /* another kind of frame */
	{&tcp4, 13, 1},
	{&tcp4, 14, 0x44}, /* headers shorter than they can be */
	{&tcp4, 14, 0x46}, /* or longer than the transport's place */
	{&tcp4, 14, 0x55}, /* no version */
	{&tcp4, 14, 0x65}, /* another one */
	{&tcp4, 20, 0x20}, /* a fragment */
	{&tcp4, 21, 1},
	{&tcp4, 23, 17}, /* another transport */
	{&tcp4, 23, 47},
	{&tcp4, 34 + 12, 0x40}, /* its header shorter than it can be */
	{&tcp4, 34 + 12, 0},
	{&udp4, 23, 6},
	{&udp4, 20, 0x20},
	{&udp6, 14 + 6, 17}, /* extensions that are none */
	{&udp6, 14 + 6, 59},
	{&udp6, 14 + 41, 1},   /* longer */
	{&udp6, 14 + 41, 255}, /* beyond the frame's headers */
	{&udp6, 14 + 48, 6},
	{&udp6, 14 + 48, 44},
	{&tunnelled, 14 + 9, 6}, /* the tunnel is none */
	{&tunnelled, 14, 0x46},
	{&tunnelled, 20, 0x20},
	{&tunnelled, 14 + 50, 0x45}, /* its inside is something else */
	{&tunnelled, 14 + 50 + 6, 17},
	{&tunnelled, 14 + 50 + 6, 0},
	{&tunnelled, 14 + 90 + 12, 0x10},
};

START_TEST(headers_that_lie)
{
	const struct lie *lie = &lies[_i];
	struct vdev_frame f;

	packet_make(&packet, lie->spec);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), 0);
	ck_assert_uint_ne(packet.b[lie->at], lie->value);
	packet.b[lie->at] = lie->value;
	f = at_fence(packet.len);
	ck_assert_int_eq(vdev_net_offload_check(&f), 0);
	ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
}
END_TEST

/* Frames that end within their headers, at each place. */
START_TEST(headers_cut_off)
{
	static const struct packet_spec *const specs[] = {&tcp4, &udp4, &udp6, &tunnelled};
	struct vdev_frame f;

	packet_make(&packet, specs[_i]);
	packet.b[packet.th + 12] = _i == 0 || _i == 3 ? 0xf0 : packet.b[packet.th + 12];
	for (uint32_t len = VDEV_NET_ETH; len < packet.payload_at + 40; len++) {
		f = at_fence(len);
		if (len < packet.payload_at)
			ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
		else
			all_of(&f);
		/* Pieces that end before the frame does, which is somebody's mistake. */
		if (vdev_net_offload_check(&f) == 0 && len > 15) {
			one.base = (uint8_t *)one.base + 1;
			one.len--;
			all_of(&f);
			one.len = 15;
			ck_assert_int_lt(frame_adapt_begin(&adapt, &f, 0, 0), 0);
		}
	}
}
END_TEST

/* What a frame may cost: its segments are counted before any is made. */
START_TEST(segments_without_end)
{
	struct packet_spec s = tcp4;
	struct vdev_frame f;

	s.gso_size = 1;
	s.payload = FRAME_SEGMENTS;
	packet_make(&packet, &s);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), 0);
	s.payload = FRAME_SEGMENTS + 1;
	packet_make(&packet, &s);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
	/* A segment as long as an IP packet can be, and one that is longer. */
	s.gso_size = 0xffff;
	s.payload = 65535 - 40;
	packet_make(&packet, &s);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), 0);
	s.payload++;
	packet_make(&packet, &s);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
	/* Fragments come in units of eight bytes. */
	s = udp4;
	s.gso_size = 7;
	packet_make(&packet, &s);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
	/* More headers than there is memory for. */
	s = udp6;
	packet_make(&packet, &s);
	memmove(packet.b + 14 + 48 + 520, packet.b + 14 + 48, 4000);
	memset(packet.b + 14 + 48, 0, 520);
	packet.b[14 + 40] = 60;
	packet.b[14 + 48] = 60;
	packet.b[14 + 48 + 1] = 64;
	packet.len += 520;
	packet.offload.csum_start = (uint16_t)(packet.offload.csum_start + 520);
	f = at_fence(packet.len);
	ck_assert_int_eq(all_of(&f), VIRTQ_EPROTO);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_net_frame");
	TCase *tc = tcase_create("evil_net_frame");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, DPDK_3429dc98d9, 0, 4);
	tcase_add_test(tc, CVE_2024_11614);
	tcase_add_test(tc, DPDK_63bff5d105);
	tcase_add_loop_test(tc, headers_rewritten_meanwhile, 0, 8);
	tcase_add_loop_test(tc, headers_that_lie, 0, (int)(sizeof(lies) / sizeof(lies[0])));
	tcase_add_loop_test(tc, headers_cut_off, 0, 4);
	tcase_add_test(tc, segments_without_end);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
