/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: which receive queue a frame gets into, and what the driver is told of its hash. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check_main.h"
#include "clause.h"
#include "libvdev/devices/net/net.h"
#include "net_ctrl.h"

enum { MQ = 4, TUNNEL = 7, CTX = 9, FRAME = 54 };

/* An IPv4 TCP frame of a conversation, or its answer. */
static void tcp4(uint8_t *b, unsigned flow, int answer)
{
	const uint8_t a[6] = {10, 0, 0, 1, (uint8_t)(flow >> 8), (uint8_t)flow},
				  c[6] = {10, 0, 9, 9, 0, 80};

	memset(b, 0, FRAME);
	b[0] = 2;
	b[5] = 1;
	b[12] = 8;
	b[14] = 0x45;
	b[17] = 40;
	b[22] = 64;
	b[23] = 6;
	memcpy(b + 26, answer ? c : a, 4);
	memcpy(b + 30, answer ? a : c, 4);
	memcpy(b + 34, (answer ? c : a) + 4, 2);
	memcpy(b + 36, (answer ? a : c) + 4, 2);
	b[46] = 0x50;
}

/* Some buffers in each queue. */
static void start(struct net_fixture *f)
{
	net_start(f);
	f->at += 1 << 17; /* commands lie before */
	for (unsigned p = 0; p < f->net_cfg.pairs; p++)
		for (unsigned i = 0; i < 4; i++)
			(void)net_buffer(f, p, 256, 1);
}

/* Which queue a frame comes out of, -1: none; its header to hdr. */
static int arrives(struct net_fixture *f, uint8_t *bytes, uint32_t len, uint8_t *hdr)
{
	struct virtq_iov iov;
	struct vdev_frame fr = net_frame(&iov, bytes, len);
	int at = -1;
	uint8_t *p;

	ck_assert_uint_eq(net_push(f, &fr, 1), 1);
	for (unsigned q = 0; q < f->net_cfg.pairs; q++) {
		while ((p = net_received(f, q, NULL)) != NULL) {
			ck_assert_int_eq(at, -1);
			at = (int)q;
			ck_assert_mem_eq(p + f->hdr, bytes, len);
			if (hdr != NULL)
				memcpy(hdr, p, f->hdr);
			net_buffer_again(f, q, p, 256, 1);
		}
	}
	return at;
}

static int arrives_tcp(struct net_fixture *f, unsigned flow, uint8_t *hdr)
{
	uint8_t b[FRAME];

	tcp4(b, flow, 1);
	return arrives(f, b, sizeof(b), hdr);
}

static void sends(struct net_fixture *f, unsigned pair, unsigned flow)
{
	uint8_t b[FRAME], hdr[24] = {0};

	tcp4(b, flow, 0);
	net_send(f, pair, hdr, b, sizeof(b), NULL);
	vdev_loopback_kick(f->l, 2 * pair + 1);
	ck_assert_int_eq(net_sent(f, pair, NULL), 1);
	fake_netif_clear(&f->netif);
}

START_TEST(flows_come_back_where_they_go_out)
{
	struct net_fixture f;
	unsigned first = 0;

	ctrl_init(&f, _i, 4);
	start(&f);
	for (unsigned flow = 1; flow < 40; flow++)
		ck_assert_int_eq(arrives_tcp(&f, flow, NULL), 0);
	CLAUSE("net/ctrl/auto-steering/D1");
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 0, 2), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 5, 2), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 0x8000, 2), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 4, 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 4, 2), CTRL_OK);
	ck_assert_uint_eq(f.netif.pairs, 4);
	for (unsigned flow = 1; flow < 40; flow++) {
		sends(&f, flow % 4, flow);
		ck_assert_int_eq(arrives_tcp(&f, flow, NULL), (int)(flow % 4));
		sends(&f, (flow + 1) % 4, flow); /* it has moved */
		ck_assert_int_eq(arrives_tcp(&f, flow, NULL), (int)((flow + 1) % 4));
	}
	CLAUSE("net/automatic-receive-steering-in-multiqueue/N1");
	CLAUSE("net/automatic-receive-steering-in-multiqueue/N2");
	/* Unknown ones go to some queue, always the same. */
	for (unsigned flow = 1000; flow < 1100; flow++) {
		int at = arrives_tcp(&f, flow, NULL);

		ck_assert(at >= 0 && at < 4);
		ck_assert_int_eq(arrives_tcp(&f, flow, NULL), at);
		CLAUSE("net/automatic-receive-steering-in-multiqueue/N3");
		first += at == 0;
	}
	ck_assert_uint_lt(first, 80);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	for (unsigned flow = 1; flow < 40; flow++)
		ck_assert_int_lt(arrives_tcp(&f, flow, NULL), 2);
	CLAUSE("net/ctrl/auto-steering/D2");
	net_fini(&f);
}
END_TEST

/* Conversations of several queues in one burst, whichever way round. */
START_TEST(mixed_bursts)
{
	static const uint8_t flows[] = {1, 2, 1, 1, 2, 2, 2, 1};
	enum { BURST = sizeof(flows) };
	uint8_t b[BURST][FRAME], *p;
	struct vdev_frame fr[BURST];
	struct virtq_iov iov[BURST];
	struct net_fixture f;

	ctrl_init(&f, _i & 1, 2);
	start(&f);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	sends(&f, (unsigned)_i / 2, 1);
	sends(&f, 1 - (unsigned)_i / 2, 2);
	for (unsigned i = 0; i < BURST; i++) {
		tcp4(b[i], flows[i], 1);
		b[i][FRAME - 1] = (uint8_t)i;
		fr[i] = net_frame(&iov[i], b[i], FRAME);
	}
	ck_assert_uint_eq(net_push(&f, fr, BURST), BURST);
	for (unsigned i = 0; i < BURST; i++) {
		p = net_received(&f, flows[i] == 1 ? (unsigned)_i / 2 : 1 - (unsigned)_i / 2, NULL);
		ck_assert_ptr_nonnull(p);
		ck_assert_mem_eq(p + f.hdr, b[i], FRAME);
	}
	net_fini(&f);
}
END_TEST

START_TEST(queues_that_are_reset)
{
	struct vdev_net_counters n;
	uint8_t b[FRAME], rss[64];
	uint64_t before;
	struct virtq_iov iov;
	struct net_fixture f;
	struct vdev_frame fr = net_frame(&iov, b, sizeof(b));

	ctrl_init(&f, _i, 2);
	start(&f);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	sends(&f, 1, 7);
	ck_assert_int_eq(arrives_tcp(&f, 7, NULL), 1);
	ck_assert_int_eq(vdev_queue_reset(f.v, 2), 0);
	tcp4(b, 7, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_ptr_nonnull(net_received(&f, 0, NULL));
	CLAUSE("net/ctrl/auto-steering/D3");
	/* A table says where to, and nowhere else. */
	ck_assert_int_eq(ctrl_set(&f, MQ, 1, rss, ctrl_rss(rss, 0x1ff, 2, 2, 2, 40)), CTRL_OK);
	for (unsigned flow = 0; flow < 50; flow++) {
		tcp4(b, flow, 1);
		ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
		if (net_received(&f, 0, NULL) != NULL)
			(void)net_buffer(&f, 0, 256, 1);
	}
	vdev_net_counters(f.v, &n);
	ck_assert_uint_gt(n.not_ready, 5);
	ck_assert_uint_lt(n.not_ready, 45);
	CLAUSE("net/ctrl/rss/rss-processing/D2");
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	before = n.not_ready;
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, before + 1);
	CLAUSE("net/ctrl/auto-steering/D4");
	net_fini(&f);
}
END_TEST

static void woken(void *ctx)
{
	(void)ctx;
}

/* A queue whose owner has not begun it yet gets no frames; they go where somebody is. */
START_TEST(queues_that_are_not_begun)
{
	const struct vdev_owner owner = {.wake = woken};
	struct vdev_net_counters n;
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	ck_assert_int_eq(vdev_net_new(&f.v, &f.env, &f.netif.netif, &f.net_cfg), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 2, &owner), 0);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	f.at = 1 << 19; /* rings and commands lie before */
	for (unsigned i = 0; i < 8; i++)
		(void)net_buffer(&f, i % 2, 256, 1);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	sends(&f, 1, 7); /* which is where its answers belong */
	ck_assert_int_eq(arrives_tcp(&f, 7, NULL), 0);
	while (vdev_queue_run(f.v, 2, VDEV_RUN_ARM))
		;
	ck_assert_int_eq(arrives_tcp(&f, 7, NULL), 1);
	vdev_net_counters(f.v, &n);
	ck_assert_uint_eq(n.not_ready, 0);
	if (vdev_set_status(f.v, 0) == VIRTQ_EAGAIN)
		while (vdev_queue_run(f.v, 2, VDEV_RUN_ARM))
			;
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 2, NULL), 0);
	net_fini(&f);
}
END_TEST

/* Toeplitz, bit by bit. */
static uint32_t toeplitz(const uint8_t *key, const uint8_t *in, size_t len)
{
	uint32_t window =
		(uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
	uint32_t hash = 0;

	for (size_t i = 0; i < len * 8; i++) {
		size_t next = i + 32;

		if (in[i / 8] >> (7 - i % 8) & 1)
			hash ^= window;
		window = window << 1 | (next / 8 < 40 ? key[next / 8] >> (7 - next % 8) & 1u : 0u);
	}
	return hash;
}

START_TEST(table_of_the_driver)
{
	uint8_t rss[1024], b[FRAME], hdr[24];
	uint32_t len, value;
	struct net_fixture f;

	ctrl_init(&f, _i, 4);
	net_want(&f, VDEV_NET_F_HASH_REPORT);
	f.hdr = 20;
	start(&f);
	/* Addresses and ports of TCP over IPv4; 16 entries, over three queues, what is not hashed in the last. */
	len = ctrl_rss(rss, 1 << 1, 16, 3, 4, 40);
	rss[6] = 3;
	ck_assert_int_eq(ctrl_set(&f, MQ, 1, rss, len), CTRL_OK);
	CLAUSE("net/hash-calculation-for-incoming-packets/N1");
	CLAUSE("net/hash-calculation-for-incoming-packets/N2");
	ck_assert_uint_eq(f.netif.pairs, 4);
	for (unsigned flow = 0; flow < 100; flow++) {
		tcp4(b, flow, 1);
		value = toeplitz(rss + len - 40, b + 26, 12);
		ck_assert_int_eq(arrives(&f, b, FRAME, hdr), (int)(value % 16 % 3));
		ck_assert_uint_eq(hdr[12] | (uint32_t)hdr[13] << 8 | (uint32_t)hdr[14] << 16 |
		                      (uint32_t)hdr[15] << 24,
		                  value);
		ck_assert_uint_eq(hdr[16], 2); /* TCPv4 */
		ck_assert_uint_eq(hdr[17], 0);
		b[23] = 17; /* of UDP nothing is hashed */
		ck_assert_int_eq(arrives(&f, b, FRAME, hdr), 3);
		ck_assert_uint_eq(hdr[16], 0);
	}
	CLAUSE("net/ctrl/rss/rss-processing/D1");
	/* Back to the other way by the other command. */
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 1, 2), CTRL_OK);
	for (unsigned flow = 0; flow < 20; flow++)
		ck_assert_int_eq(arrives_tcp(&f, flow, hdr), 0);
	CLAUSE("net/device-operation-in-multiqueue-mode/N1");
	ck_assert_uint_eq(hdr[16], 2); /* still told */
	net_fini(&f);
}
END_TEST

START_TEST(hashes_alone)
{
	uint8_t data[64] = {3}, hdr[24];
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_want(&f, VDEV_NET_F_HASH_REPORT);
	net_want(&f, VDEV_NET_F_HASH_TUNNEL);
	f.hdr = 20;
	start(&f);
	ck_assert_int_eq(arrives_tcp(&f, 5, hdr), 0);
	ck_assert_uint_eq(hdr[16], 0); /* none until told */
	data[12] = 40;
	for (int i = 0; i < 40; i++)
		data[13 + i] = (uint8_t)(i + 1);
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 52), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 54), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 53), CTRL_OK);
	CLAUSE("net/hash-calculation-for-incoming-packets/N3");
	CLAUSE("net/hash-calculation/N1");
	ck_assert_int_eq(arrives_tcp(&f, 5, hdr), 0);
	ck_assert_uint_eq(hdr[16], 2);
	data[12] = 41;
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 54), CTRL_ERR);
	data[12] = 0; /* no key for something */
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 13), CTRL_ERR);
	data[1] = 2; /* an unknown type */
	data[12] = 40;
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 53), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 1 << 9, 4), CTRL_ERR);
	CLAUSE("net/ctrl/inner-header-hash/D2");
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 0x1ff, 3), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 1, 0x1ff, 4), CTRL_ERR);
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 0x1ff, 4), CTRL_OK);
	ck_assert_int_eq(arrives_tcp(&f, 5, hdr), 0);
	ck_assert_uint_eq(hdr[16], 2); /* no tunnel: the outer header */
	CLAUSE("net/ctrl/inner-header-hash/D1");
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 0, 4), CTRL_OK);
	memset(data, 0, sizeof(data));
	ck_assert_int_eq(ctrl_set(&f, MQ, 2, data, 13), CTRL_OK);
	ck_assert_int_eq(arrives_tcp(&f, 5, hdr), 0);
	ck_assert_uint_eq(hdr[16], 0);
	net_fini(&f);
}
END_TEST

/* A tunnel whose inner conversation counts where the driver said so. */
START_TEST(inner_headers)
{
	uint8_t rss[128], inner[FRAME], b[20 + FRAME], hdr[24], plain[24];
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	net_want(&f, VDEV_NET_F_HASH_REPORT);
	f.hdr = 20;
	start(&f);
	ck_assert_int_eq(ctrl_set(&f, MQ, 1, rss, ctrl_rss(rss, 0x1ff, 2, 2, 2, 40)), CTRL_OK);
	tcp4(inner, 9, 1);
	ck_assert_int_ge(arrives(&f, inner, FRAME, plain), 0);
	tcp4(b, 77, 1); /* IP in IP */
	b[23] = 4;
	b[17] = 60;
	memcpy(b + 34, inner + 14, FRAME - 14);
	ck_assert_int_ge(arrives(&f, b, sizeof(b), hdr), 0);
	ck_assert_uint_eq(hdr[16], 1); /* the outer addresses */
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 1 << 7, 4), CTRL_OK);
	ck_assert_int_ge(arrives(&f, b, sizeof(b), hdr), 0);
	ck_assert_uint_eq(hdr[16], 2);
	ck_assert_mem_eq(hdr + 12, plain + 12, 4);
	ck_assert_int_eq(ctrl_value(&f, TUNNEL, 0, 0, 4), CTRL_OK);
	ck_assert_int_ge(arrives(&f, b, sizeof(b), hdr), 0);
	ck_assert_uint_eq(hdr[16], 1);
	CLAUSE("net/ctrl/inner-header-hash/D3");
	net_fini(&f);
}
END_TEST

START_TEST(contexts)
{
	uint8_t data[256] = {1}, reply[8];
	struct net_fixture f;
	uint32_t got, len;

	ctrl_init(&f, _i, 2);
	net_start(&f);
	ck_assert_int_eq(ctrl_command(&f, CTX, 0, NULL, 0, reply, 8, &got), CTRL_OK);
	ck_assert_uint_eq(got, 2);
	ck_assert_uint_ge(reply[0] | reply[1] << 8, 1);
	CLAUSE("net/ctrl/rss-context/D1");
	ck_assert_int_eq(ctrl_command(&f, CTX, 0, NULL, 0, reply, 1, &got), CTRL_ERR);
	len = 8 + ctrl_rss(data + 8, 0x1ff, 4, 2, 2, 40);
	ck_assert_int_eq(ctrl_set(&f, CTX, 2, data, len), CTRL_ERR); /* not there */
	ck_assert_int_eq(ctrl_set(&f, CTX, 3, data, 2), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len - 1), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, 7), CTRL_ERR);
	data[3] = 9; /* reserved */
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len), CTRL_OK);
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len), CTRL_ERR); /* twice */
	ck_assert_int_eq(ctrl_set(&f, CTX, 2, data, len), CTRL_OK);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_ERR); /* not while there is one */
	data[0] = 0;
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len), CTRL_ERR);
	data[0] = reply[0] == 255 ? 255 : 9;
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len), CTRL_ERR);
	data[0] = 1;
	ck_assert_int_eq(ctrl_set(&f, CTX, 3, data, 3), CTRL_ERR);
	ck_assert_int_eq(ctrl_set(&f, CTX, 3, data, 2), CTRL_OK);
	ck_assert_int_eq(ctrl_value(&f, MQ, 0, 2, 2), CTRL_OK);
	ck_assert_int_eq(ctrl_set(&f, CTX, 1, data, len), CTRL_OK);
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	ck_assert_int_eq(ctrl_set(&f, CTX, 2, data, len), CTRL_ERR);
	CLAUSE("net/ctrl/rss-context/D2");
	net_fini(&f);
}
END_TEST

/* Somebody who delivers all the time, while the driver changes its mind. */
struct sender {
	struct net_fixture *f;
	unsigned stop;
};

static void *deliver(void *ctx)
{
	struct sender *s = ctx;
	uint8_t b[8][FRAME];
	struct vdev_frame frames[8];
	struct virtq_iov iov[8];

	for (unsigned i = 0; i < 8; i++) {
		tcp4(b[i], i * 31, 1);
		frames[i] = net_frame(&iov[i], b[i], FRAME);
	}
	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		uint32_t done = 0;

		while (done < 8 && !__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
			done += net_push(s->f, &frames[done], 8 - done);
			sched_yield();
		}
	}
	return NULL;
}

START_TEST(changed_under_way)
{
	struct sender s[2];
	pthread_t thread[2];
	struct net_fixture f;
	uint8_t rss[1024];
	struct virtq_done done;

	ctrl_init(&f, _i, 4);
	net_want(&f, VDEV_NET_F_HASH_REPORT);
	f.hdr = 20;
	start(&f);
	for (int i = 0; i < 2; i++) {
		s[i] = (struct sender){.f = &f};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, deliver, &s[i]), 0);
	}
	for (unsigned round = 0; round < 200; round++) {
		ck_assert_int_eq(
			ctrl_set(&f, MQ, 1, rss, ctrl_rss(rss, 0x1ff, 1u << round % 8, 1 + round % 4, 4, 40)),
			CTRL_OK);
		ck_assert_int_eq(ctrl_value(&f, 0, 0, round % 2, 1), CTRL_OK);
		ck_assert_int_eq(ctrl_value(&f, 5, 0, round % 2 ? 2 : 0, 8), CTRL_OK);
		ck_assert_int_eq(ctrl_value(&f, MQ, 0, 1 + round % 4, 2), CTRL_OK);
		for (unsigned q = 0; q < 4; q++)
			while (virtq_drv_take(vdev_loopback_drv(f.l, 2 * q), &done, 1) == 1)
				net_buffer_again(&f, q, done.cookie, 256, 1);
	}
	for (int i = 0; i < 2; i++) {
		__atomic_store_n(&s[i].stop, 1, __ATOMIC_RELEASE);
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	}
	ck_assert_uint_eq(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	net_fini(&f);
}
END_TEST

/* A command waits until nobody is in a receive queue; the control queue's thread does not go to sleep over it. */
START_TEST(command_waits_for_who_is_inside)
{
	struct vdev_queue *rx;
	struct virtq_done done;
	struct virtq_seg seg[2];
	struct net_fixture f;
	uint8_t *p;

	ctrl_init(&f, _i, 1);
	start(&f);
	rx = ((const struct net_device *)f.netif.sink->ctx)->rx[0];
	p = net_alloc(&f, 16, &seg[0].addr);
	memcpy(p, "\0\0\1\377", 4); /* class RX, PROMISC, on; and the place of the ack */
	seg[0].len = 3;
	seg[1] = (struct virtq_seg){.addr = seg[0].addr + 3, .len = 1};
	ck_assert_int_eq(vdev_queue_enter(rx), 1);
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 2), seg, 1, 1, p), 0);
	virtq_drv_publish(vdev_loopback_drv(f.l, 2));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(vdev_queue_run(f.v, 2, VDEV_RUN_ARM), 1);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(f.l, 2), &done, 1), 0);
	vdev_queue_leave(rx);
	net_run(&f);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(f.l, 2), &done, 1), 1);
	ck_assert_uint_eq(p[3], CTRL_OK);
	ck_assert_int_eq(vdev_queue_run(f.v, 2, VDEV_RUN_ARM), 0);
	net_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_steer");
	TCase *tc = tcase_create("net_steer");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, flows_come_back_where_they_go_out, 0, 2);
	tcase_add_loop_test(tc, mixed_bursts, 0, 4);
	tcase_add_loop_test(tc, queues_that_are_not_begun, 0, 2);
	tcase_add_loop_test(tc, queues_that_are_reset, 0, 2);
	tcase_add_loop_test(tc, table_of_the_driver, 0, 2);
	tcase_add_loop_test(tc, hashes_alone, 0, 2);
	tcase_add_loop_test(tc, inner_headers, 0, 2);
	tcase_add_loop_test(tc, contexts, 0, 2);
	tcase_add_loop_test(tc, changed_under_way, 0, 2);
	tcase_add_loop_test(tc, command_waits_for_who_is_inside, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
