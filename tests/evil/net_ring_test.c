/* SPDX-License-Identifier: BSD-3-Clause */
/* What drivers did to the rings of other network devices, and how those did. _i & 1: packed. */
#include <pthread.h>
#include <string.h>

#include <vdev/netif_simple.h>

#include "check_main.h"
#include "net_fixture.h"
#include "rng.h"

enum { HDR = 12, BUFFER = 1526, LONG = 60 };

static const uint8_t no_hdr[24];

static struct vdev_net_counters counters(const struct net_fixture *f)
{
	struct vdev_net_counters n;

	vdev_net_counters(f->v, &n);
	return n;
}

static void fill(uint8_t *frame, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
}

static int broken(const struct net_fixture *f)
{
	return (vdev_status(f->v) & VIRTQ_STATUS_NEEDS_RESET) != 0;
}

/* Offer these pieces in a queue, and tell the device. */
static void offer(struct net_fixture *f, unsigned q, const struct virtq_seg *seg, uint32_t nread,
                  uint32_t nwrite)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, q);

	ck_assert_int_eq(virtq_drv_add(drv, seg, nread, nwrite, f), 0);
	virtq_drv_publish(drv);
	vdev_loopback_kick(f->l, q);
	net_run(f);
}

/* The device works: a frame goes out, and one comes in. */
static void works(struct net_fixture *f)
{
	static uint8_t frame[LONG];
	uint32_t sent = f->netif.nsent;
	struct vdev_frame fr;
	struct virtq_iov iov;
	uint8_t *p;

	ck_assert_int_eq(broken(f), 0);
	fill(frame, LONG, 77);
	net_send(f, 0, no_hdr, frame, LONG, NULL);
	vdev_loopback_kick(f->l, 1);
	net_run(f);
	ck_assert_uint_eq(f->netif.nsent, sent + 1);
	ck_assert_mem_eq(f->netif.sent[sent].bytes, frame, LONG);
	fake_netif_clear(&f->netif);
	while (net_sent(f, 0, NULL))
		;
	(void)net_buffer(f, 0, BUFFER, 1);
	fr = net_frame(&iov, frame, LONG);
	ck_assert_uint_eq(net_push(f, &fr, 1), 1);
	p = net_received(f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_mem_eq(p + f->hdr, frame, LONG);
}

/* After a reset, on fresh memory. */
static void works_after_reset(struct net_fixture *f)
{
	uint64_t bytes;

	ck_assert_int_eq(vdev_loopback_reset(f->l), 0);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
	f->at = (uint64_t)((uint8_t *)vdev_loopback_memory(f->l, NULL, &bytes) - f->memory);
	works(f);
}

/* A chain of total bytes in pieces of piece each, from memory of the guest; what it is sent as, or that it is not. */
static void send_in_pieces(struct net_fixture *f, uint32_t total, uint32_t piece)
{
	struct virtq_seg seg[64];
	uint32_t n = 0, before = (uint32_t)counters(f).malformed, written = 99;
	uint64_t gpa;
	uint8_t *p;

	f->at = 1 << 20;
	p = net_alloc(f, total, &gpa);
	fill(p, total, (uint8_t)total);
	memset(p, 0, total < f->hdr ? total : f->hdr);
	for (uint32_t at = 0; at < total; at += seg[n++].len)
		seg[n] = (struct virtq_seg){gpa + at, total - at < piece ? total - at : piece};
	ck_assert_uint_le(n, 63);
	if (n == 0)
		seg[n++] = (struct virtq_seg){gpa, 0};
	offer(f, 1, seg, n, 0);
	ck_assert_int_eq(net_sent(f, 0, &written), 1);
	ck_assert_uint_eq(written, 0);
	if (total < f->hdr + VDEV_NET_ETH) {
		ck_assert_uint_eq(f->netif.nsent, 0);
		ck_assert_uint_eq(counters(f).malformed, before + 1);
		return;
	}
	ck_assert_uint_eq(f->netif.nsent, 1);
	ck_assert_uint_eq(f->netif.sent[0].len, total - f->hdr);
	ck_assert_mem_eq(f->netif.sent[0].bytes, p + f->hdr, total - f->hdr);
	fake_netif_clear(&f->netif);
}

/* Headers of all lengths that there are. */
static void want_header(struct net_fixture *f, unsigned which)
{
	if (which >= 1) {
		net_want(f, VDEV_NET_F_CTRL_VQ);
		net_want(f, VDEV_NET_F_HASH_REPORT);
		f->hdr = 20;
	}
	if (which >= 2) {
		net_want(f, VDEV_NET_F_CSUM);
		net_want(f, VDEV_NET_F_HOST_TSO4);
		net_want(f, VDEV_NET_F_HOST_TSO6);
		net_want(f, VDEV_NET_F_HOST_USO);
		net_want(f, VDEV_NET_F_HOST_UDP_TUNNEL_GSO);
		f->hdr = 24;
	}
}

START_TEST(CVE_2022_2132)
{
	struct net_fixture f;

	net_init(&f, _i & 1, 0);
	want_header(&f, (unsigned)_i / 2);
	f.cfg.queue_size = 64;
	net_start(&f);
	for (uint32_t piece = 1; piece <= 27; piece++)
		for (uint32_t total = 0; total <= 62; total++)
			send_in_pieces(&f, total, piece);
	works(&f);
	net_fini(&f);
}
END_TEST

/* Too short, in one piece and next to good ones: each is used, and the others go. */
START_TEST(QEMU_d4f471eb7e)
{
	static uint8_t frame[LONG];
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	for (uint32_t len = 1; len < HDR + VDEV_NET_ETH; len++) {
		uint64_t malformed = counters(&f).malformed;
		struct virtq_seg seg = {.len = len};

		f.at = 1 << 20;
		for (unsigned i = 0; i < 6; i++) {
			if (i % 3 == 1) {
				(void)net_alloc(&f, len, &seg.addr);
				ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 1), &seg, 1, 0, &f), 0);
			} else {
				fill(frame, LONG, (uint8_t)i);
				net_send(&f, 0, no_hdr, frame, LONG, NULL);
			}
		}
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		ck_assert_uint_eq(f.netif.nsent, 4);
		ck_assert_uint_eq(counters(&f).malformed, malformed + 2);
		for (unsigned i = 0, k = 0; i < 6; i++) {
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			fill(frame, LONG, (uint8_t)i);
			if (i % 3 != 1)
				ck_assert_mem_eq(f.netif.sent[k++].bytes, frame, LONG);
		}
		fake_netif_clear(&f.netif);
	}
	works(&f);
	net_fini(&f);
}
END_TEST

/* Again and again: nothing stays out, nothing stalls. */
START_TEST(CVE_2015_7295)
{
	static uint8_t frame[BUFFER];
	struct vdev_net_counters n;
	struct net_fixture f;
	struct vdev_frame fr;
	struct virtq_iov iov;

	net_init(&f, _i & 1, 0);
	if (_i & 2)
		net_want(&f, VDEV_NET_F_MRG_RXBUF);
	net_start(&f);
	for (unsigned i = 0; i < 16; i++)
		(void)net_buffer(&f, 0, 1 + i * 4, 1 + i % 2);
	fr = net_frame(&iov, frame, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_null(net_received(&f, 0, NULL));
	}
	n = counters(&f);
	ck_assert_uint_eq(n.too_short, 1000);
	ck_assert_uint_eq(n.received, 0);
	/* what fits is received, in the very same buffers */
	fr = net_frame(&iov, frame, 14);
	if (_i & 2) {
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_nonnull(net_received(&f, 0, NULL));
	}
	works_after_reset(&f);
	net_fini(&f);
}
END_TEST

/* A frame takes several buffers, and one of them is nowhere: the frame is not seen, and all comes back. */
static void nowhere_in_the_middle(int way, uint32_t good, uint64_t nowhere)
{
	struct virtq_seg seg = {.addr = nowhere, .len = 100};
	static uint8_t frame[1000];
	uint8_t *buffer[8], untouched[100];
	struct net_fixture f;
	struct vdev_frame fr;
	struct virtq_iov iov;

	net_init(&f, way & 1, 0);
	net_want(&f, VDEV_NET_F_MRG_RXBUF);
	if (way & 2)
		net_want(&f, VIRTQ_F_IN_ORDER);
	net_start(&f);
	for (uint32_t i = 0; i < good; i++) {
		buffer[i] = net_buffer(&f, 0, 100, 1 + i % 2);
		memset(buffer[i], 0xee, 100);
	}
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &seg, 0, 1, &f), 0);
	(void)net_buffer(&f, 0, 1000, 1);
	fr = net_frame(&iov, frame, 1000);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_int_eq(broken(&f), 1);
	ck_assert_ptr_null(net_received(&f, 0, NULL));
	memset(untouched, 0xee, sizeof(untouched));
	for (uint32_t i = 0; i < good; i++)
		ck_assert_mem_eq(buffer[i], untouched, 100);
	ck_assert_uint_eq(counters(&f).received, 0);
	/* more of them change nothing */
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	works_after_reset(&f);
	net_fini(&f); /* which would find memory that is still referred to */
}

START_TEST(CVE_2022_26353)
{
	for (uint32_t good = 0; good < 8; good++)
		nowhere_in_the_middle(_i, good, UINT64_C(1) << 40);
}
END_TEST

/* The header's count of buffers is written with the header: never later, never alone. */
START_TEST(CVE_2021_3748)
{
	for (uint32_t good = 1; good < 8; good++)
		nowhere_in_the_middle(_i, good, NET_GPA + NET_BYTES - 50);
}
END_TEST

/* The longest header, and frames as short as they may be behind it. */
START_TEST(CVE_2023_6693)
{
	struct net_fixture f;
	uint8_t *p;

	for (unsigned which = 1; which < 3; which++) {
		struct vdev_frame fr;
		struct virtq_iov iov;
		static uint8_t frame[LONG];

		net_init(&f, _i, 0);
		want_header(&f, which);
		f.cfg.queue_size = 64;
		net_start(&f);
		for (uint32_t total = f.hdr - 1; total <= f.hdr + 20; total++) {
			send_in_pieces(&f, total, 1 << 16);
			send_in_pieces(&f, total, HDR);
			send_in_pieces(&f, total, f.hdr);
			send_in_pieces(&f, total, 5);
		}
		/* and as much is written, all of it, where it is received */
		f.at = 2 << 20;
		p = net_buffer(&f, 0, f.hdr + LONG, 1);
		memset(p, 0xee, f.hdr + LONG);
		fr = net_frame(&iov, frame, LONG);
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		ck_assert_ptr_eq(net_received(&f, 0, NULL), p);
		ck_assert_mem_eq(p + 12, no_hdr, f.hdr - 12);
		works(&f);
		net_fini(&f);
	}
}
END_TEST

static void *no_memory(void *ctx, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	return NULL;
}

/* A chain of n pieces of len each, all the same memory. */
static void send_huge(struct net_fixture *f, uint32_t n, uint32_t len)
{
	static struct virtq_seg seg[512];

	for (uint32_t i = 0; i < n; i++)
		seg[i] = (struct virtq_seg){NET_GPA + NET_BYTES - len, len};
	offer(f, 1, seg, n, 0);
}

/* As long as a chain can be, without a byte of memory for it. */
START_TEST(FC_4526)
{
	struct net_fixture f;

	net_init(&f, _i, 0);
	f.net_cfg.queue_max = 512;
	f.cfg.queue_size = 512;
	net_start(&f);
	f.env.alloc = no_memory; /* the device has its own copy; whoever asks now has ours */
	send_huge(&f, 1, HDR + VDEV_NET_MAX_FRAME + 1);
	send_huge(&f, 2, HDR + VDEV_NET_MAX_FRAME);
	send_huge(&f, 1, 8 << 20);
	send_huge(&f, 100, 8 << 20);
	send_huge(&f, 2, UINT16_MAX);
	ck_assert_uint_eq(counters(&f).malformed, 5);
	ck_assert_uint_eq(f.netif.nsent, 0);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
	works(&f);
	net_fini(&f);
}
END_TEST

/* Sums near and above what 31 and 32 bits hold, which are a frame's length when they wrap round. */
START_TEST(QEMU_b528bb2840)
{
	static const uint32_t over[] = {0, 1, HDR, HDR + VDEV_NET_ETH, HDR + LONG, BUFFER};
	struct virtq_seg seg[300];
	struct net_fixture f;

	for (unsigned bits = 31; bits <= 32; bits++) {
		for (size_t k = 0; k < sizeof(over) / sizeof(over[0]); k++) {
			uint32_t n = 0;

			net_init(&f, _i, 0);
			f.net_cfg.queue_max = 512;
			f.cfg.queue_size = 512;
			net_start(&f);
			seg[n++] = (struct virtq_seg){NET_GPA + (1 << 20), HDR};
			for (uint64_t left = (UINT64_C(1) << bits) + over[k] - HDR; left != 0; n++) {
				uint32_t len = left < 15u << 20 ? (uint32_t)left : 15u << 20;

				seg[n] = (struct virtq_seg){NET_GPA + (1 << 20), len};
				left -= len;
			}
			offer(&f, 1, seg, n, 0);
			ck_assert_uint_eq(f.netif.nsent, 0);
			ck_assert_int_eq(broken(&f), bits == 32 && over[k] != 0);
			if (!broken(&f)) {
				ck_assert_uint_eq(counters(&f).malformed, 1);
				ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			}
			works_after_reset(&f);
			net_fini(&f);
		}
	}
}
END_TEST

/* --- frames that come back ---------------------------------------------------------------------- */

static unsigned depth, deepest;

/* What a driver could do in its interrupt: tell the device to send, in the middle of its sending. */
static void kick_again(void *ctx, unsigned q)
{
	struct net_fixture *f = ctx;

	if (q == UINT32_MAX || f->l == NULL || depth > 100)
		return;
	depth++;
	if (deepest < depth)
		deepest = depth;
	vdev_loopback_kick(f->l, 1);
	vdev_loopback_kick(f->l, 0);
	depth--;
}

/* A device whose netif gives back what it sends, from inside. */
static void start_echo(struct net_fixture *f, int way, int mergeable)
{
	uint64_t bytes;
	struct vdev_netif *echo;

	net_init(f, way & 1, 0);
	if (way & 2)
		net_want(f, VIRTQ_F_IN_ORDER);
	if (mergeable)
		net_want(f, VDEV_NET_F_MRG_RXBUF);
	f->cfg.interrupt = kick_again;
	f->cfg.ctx = f;
	f->cfg.queue_size = 64;
	ck_assert_int_eq(vdev_netif_echo_new(&echo, &f->env), 0);
	f->net_cfg.own_netif = 1;
	ck_assert_int_eq(vdev_net_new(&f->v, &f->env, echo, &f->net_cfg), 0);
	ck_assert_int_eq(vdev_loopback_new(&f->l, &f->env, f->v, &f->cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
	f->at = (uint64_t)((uint8_t *)vdev_loopback_memory(f->l, NULL, &bytes) - f->memory);
	depth = deepest = 0;
}

START_TEST(CVE_2023_3019)
{
	static uint8_t frame[LONG];
	struct net_fixture f;
	uint8_t *p;

	start_echo(&f, _i, 0);
	for (unsigned round = 0; round < 20; round++) {
		f.at = 1 << 20;
		for (uint8_t i = 0; i < 40; i++) {
			(void)net_buffer(&f, 0, BUFFER, 1);
			fill(frame, LONG, i);
			net_send(&f, 0, no_hdr, frame, LONG, NULL);
		}
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		for (uint8_t i = 0; i < 40; i++) {
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			p = net_received(&f, 0, NULL);
			ck_assert_ptr_nonnull(p);
			fill(frame, LONG, i);
			ck_assert_mem_eq(p + HDR + 12, frame + 12, LONG - 12);
			ck_assert_mem_eq(p + HDR, frame + 6, 6);
		}
	}
	ck_assert_uint_gt(deepest, 0);
	ck_assert_uint_le(deepest, 4);
	ck_assert_uint_eq(counters(&f).received, 800);
	net_fini(&f);
}
END_TEST

/* What is sent lies in the very buffer in which it comes back. */
START_TEST(received_where_it_is_sent)
{
	static const uint32_t lens[] = {14, 49, 60, 64, 65, 200, 1514};
	struct net_fixture f;

	start_echo(&f, _i, _i & 4);
	for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
		for (int off = -70; off < 70; off += 3) {
			uint64_t gpa = NET_GPA + (1 << 20);
			struct virtq_seg seg[] = {{gpa, HDR + lens[k]},
			                          {gpa + (uint64_t)(int64_t)off, BUFFER / 2},
			                          {gpa + (uint64_t)(int64_t)off + BUFFER / 2, BUFFER / 2}};

			memset(f.memory + (1 << 20) - 100, 0, 4096);
			offer(&f, 0, &seg[1], 0, k % 2 ? 2 : 1);
			offer(&f, 1, seg, 1, 0);
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
			(void)net_received(&f, 0, NULL);
			while (off % 9 == 0 && virtq_drv_inflight(vdev_loopback_drv(f.l, 0)) > 32)
				works_after_reset(&f);
		}
	}
	ck_assert_int_eq(broken(&f), 0);
	ck_assert_uint_gt(counters(&f).received, 100);
	net_fini(&f);
}
END_TEST

/* --- memory that is not what it seems ------------------------------------------------------------- */

/* Two receive buffers in the same place: the driver gets what it asked for. */
START_TEST(buffers_that_overlap)
{
	static uint8_t frame[2][200];
	struct vdev_frame fr[2];
	struct net_fixture f;
	struct virtq_iov iov[2];

	for (uint32_t off = 0; off < 300; off += 7) {
		struct virtq_seg seg = {.addr = NET_GPA + (1 << 20), .len = 400};
		struct virtq_done done[2];

		net_init(&f, _i & 1, 0);
		if (_i & 2)
			net_want(&f, VDEV_NET_F_MRG_RXBUF);
		net_start(&f);
		offer(&f, 0, &seg, 0, 1);
		seg.addr += off;
		offer(&f, 0, &seg, 0, 1);
		for (uint8_t i = 0; i < 2; i++) {
			fill(frame[i], 200, i);
			fr[i] = net_frame(&iov[i], frame[i], 200);
		}
		ck_assert_uint_eq(net_push(&f, fr, 2), 2);
		ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(f.l, 0), done, 2), 2);
		ck_assert_uint_eq(done[0].written, HDR + 200);
		ck_assert_uint_eq(done[1].written, HDR + 200);
		ck_assert_mem_eq(f.memory + (1 << 20) + off + HDR, frame[1], 200);
		net_fini(&f);
	}
}
END_TEST

/* A receive buffer over the receive queue itself: whatever becomes of the queue, the device is there after a reset. */
START_TEST(buffer_over_the_ring)
{
	static uint8_t frame[4][1514];
	struct rng rng;
	unsigned survived = 0;

	rng_seed(&rng, (uint64_t)_i);
	for (unsigned round = 0; round < 60; round++) {
		struct virtq_state at;
		struct vdev_frame fr[4];
		struct net_fixture f;
		struct virtq_iov iov[4];
		uint64_t part;

		net_init(&f, _i & 1, 0);
		if (_i & 2)
			net_want(&f, VDEV_NET_F_MRG_RXBUF);
		if (_i & 4)
			net_want(&f, VIRTQ_F_IN_ORDER);
		net_start(&f);
		virtq_drv_state(vdev_loopback_drv(f.l, 0), &at);
		part = round % 3 == 0 ? at.desc : round % 3 == 1 ? at.driver : at.device;
		for (unsigned i = 0; i < 12; i++) {
			struct virtq_seg seg = {part + 4 * (uint64_t)rng_below(&rng, 32), BUFFER};

			if (rng_below(&rng, 2))
				(void)net_buffer(&f, 0, BUFFER, 1);
			else
				ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &seg, 0, 1, &f), 0);
		}
		virtq_drv_publish(vdev_loopback_drv(f.l, 0));
		for (unsigned push = 0; push < 8; push++) {
			for (unsigned i = 0; i < 4; i++) {
				/* bytes that could be part of a ring, or anything */
				for (unsigned k = 0; k < sizeof(frame[i]); k++)
					frame[i][k] = (uint8_t)(rng_below(&rng, 2) ? 0 : rng_next(&rng) >> 32);
				fr[i] = net_frame(&iov[i], frame[i], 14 + rng_below(&rng, 1500));
			}
			ck_assert_uint_eq(net_push(&f, fr, 4), 4);
			net_run(&f);
		}
		survived += !broken(&f);
		works_after_reset(&f);
		net_fini(&f);
	}
	ck_assert_uint_lt(survived, 60); /* it was not in vain */
}
END_TEST

struct scribbler {
	uint8_t *at;
	size_t bytes;
	int stop;
};

static __attribute__((no_sanitize("thread"))) void *scribble(void *arg)
{
	struct scribbler *s = arg;
	struct rng rng;

	rng_seed(&rng, 5);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		for (unsigned i = 0; i < 64; i++)
			__atomic_store_n(&s->at[rng_below(&rng, (uint32_t)s->bytes)],
			                 (uint8_t)(rng_next(&rng) >> 32), __ATOMIC_RELAXED);
	return NULL;
}

/* Headers and frames change while they are sent and received: what is sent is something, and the device lives. */
START_TEST(frames_that_change)
{
	enum { CHAINS = 8, ROUNDS = 400 };
	struct scribbler s = {0};
	struct net_fixture f;
	uint64_t sent = 0;
	pthread_t thread;

	start_echo(&f, _i, _i & 4);
	s.at = f.memory + (1 << 20);
	s.bytes = 2048;
	ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &s), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		f.at = 2 << 20;
		for (uint32_t i = 0; i < CHAINS; i++) {
			struct virtq_seg seg[3] = {{NET_GPA + (1 << 20) + i * 8, i % 2 ? HDR : 5},
			                           {NET_GPA + (1 << 20) + 20 + i * 8, 100 + 100 * i},
			                           {NET_GPA + (1 << 20) + 200, 3}};

			(void)net_buffer(&f, 0, BUFFER, 1 + i % 3);
			ck_assert_int_eq(
				virtq_drv_add(vdev_loopback_drv(f.l, 1), i % 4 == 3 ? &seg[1] : seg,
			                  i % 4 == 3 ? 1 : 2 + i % 2, 0, &f),
				0);
		}
		virtq_drv_publish(vdev_loopback_drv(f.l, 1));
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		for (uint32_t i = 0; i < CHAINS; i++)
			ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
		while (net_received(&f, 0, NULL))
			;
		if (virtq_drv_free(vdev_loopback_drv(f.l, 0)) < 3 * CHAINS) {
			sent += counters(&f).sent;
			ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
			ck_assert_int_eq(vdev_loopback_start(f.l), 0);
		}
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(broken(&f), 0);
	ck_assert_uint_gt(sent + counters(&f).sent + counters(&f).malformed, 0);
	net_fini(&f);
}
END_TEST

/* What the driver did not accept it is not given, whatever was offered; nor does it get away with asking for it. */
START_TEST(FC_4680)
{
	static const uint8_t kinds[] = {VDEV_NET_GSO_TCPV4, VDEV_NET_GSO_TCPV6, VDEV_NET_GSO_UDP,
	                                VDEV_NET_GSO_UDP_L4, VDEV_NET_GSO_TCPV4 | VDEV_NET_GSO_ECN};
	static uint8_t frame[3000];
	struct net_fixture f;
	struct virtq_iov iov;
	uint32_t written;
	uint8_t *p;

	net_init(&f, _i, 0);
	f.cfg.queue_size = 64;
	net_start(&f);
	fill(frame, sizeof(frame), 3);
	memcpy(frame + 12, (uint8_t[]){8, 0, 0x45, 0, 0x0b, 0xaa, 0, 1, 0, 0, 64, 6, 0, 0}, 14);
	frame[46] = 0x50; /* TCP header of 20 bytes */
	for (size_t i = 0; i <= sizeof(kinds); i++) {
		struct vdev_frame fr = net_frame(&iov, frame, sizeof(frame));
		uint64_t malformed = counters(&f).malformed;
		uint8_t hdr[HDR] = {VDEV_NET_NEEDS_CSUM, i ? kinds[i - 1] : 0, 54, 0, 200, 0, 34, 0, 16};

		f.at = 1 << 20;
		for (unsigned k = 0; k < 20; k++)
			(void)net_buffer(&f, 0, BUFFER, 1);
		fr.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
		                                       .gso_type = i ? kinds[i - 1] : 0,
		                                       .hdr_len = 54,
		                                       .gso_size = 200,
		                                       .csum_start = 34,
		                                       .csum_offset = 16};
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		while ((p = net_received(&f, 0, &written)) != NULL) {
			ck_assert_uint_eq(p[0], 0);
			ck_assert_uint_eq(p[1], 0);
			ck_assert_uint_le(written, BUFFER);
		}
		net_send(&f, 0, hdr, frame, sizeof(frame), NULL);
		vdev_loopback_kick(f.l, 1);
		net_run(&f);
		ck_assert_int_eq(net_sent(&f, 0, NULL), 1);
		ck_assert_uint_eq(f.netif.nsent, 0);
		ck_assert_uint_eq(counters(&f).malformed, malformed + 1);
		works_after_reset(&f);
	}
	ck_assert_uint_gt(counters(&f).segmented, 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil net ring");
	TCase *tc = tcase_create("evil net ring");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, CVE_2022_2132, 0, 6);
	tcase_add_loop_test(tc, QEMU_d4f471eb7e, 0, 2);
	tcase_add_loop_test(tc, CVE_2015_7295, 0, 4);
	tcase_add_loop_test(tc, CVE_2022_26353, 0, 4);
	tcase_add_loop_test(tc, CVE_2021_3748, 0, 4);
	tcase_add_loop_test(tc, CVE_2023_6693, 0, 2);
	tcase_add_loop_test(tc, FC_4526, 0, 2);
	tcase_add_loop_test(tc, QEMU_b528bb2840, 0, 2);
	tcase_add_loop_test(tc, CVE_2023_3019, 0, 4);
	tcase_add_loop_test(tc, FC_4680, 0, 2);
	tcase_add_loop_test(tc, received_where_it_is_sent, 0, 8);
	tcase_add_loop_test(tc, buffers_that_overlap, 0, 4);
	tcase_add_loop_test(tc, buffer_over_the_ring, 0, 8);
	tcase_add_loop_test(tc, frames_that_change, 0, 8);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
