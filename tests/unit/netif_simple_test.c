/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-ends of memory alone: one that forgets, one that sends back, one that makes frames. */
#include "check_main.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <vdev/netif_simple.h>

#include "net_packet.h"

/* --- an allocator that counts, and fails on demand -------------------------- */

static struct {
	long out;
	int allocs_left; /* < 0: any number */
} heap;

static void *heap_alloc(void *ctx, size_t bytes)
{
	void *p;

	(void)ctx;
	if (heap.allocs_left == 0)
		return NULL;
	if (heap.allocs_left > 0)
		heap.allocs_left--;
	p = malloc(bytes);
	ck_assert_ptr_nonnull(p);
	__atomic_fetch_add(&heap.out, (long)bytes, __ATOMIC_RELAXED);
	return memset(p, 0xa5, bytes);
}

static void heap_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	__atomic_fetch_sub(&heap.out, (long)bytes, __ATOMIC_RELAXED);
	free(p);
}

static const struct vdev_env env = {.size = sizeof(env), .alloc = heap_alloc, .free = heap_free};

static void setup(void)
{
	heap.out = 0;
	heap.allocs_left = -1;
}

static struct vdev_netif_channel *channel(struct vdev_netif *n, unsigned pair,
                                          enum vdev_net_way way)
{
	struct vdev_netif_channel *c;

	ck_assert_int_eq(n->ops->open(n, pair, way, &c), 0);
	ck_assert_ptr_eq(c->netif, n);
	return c;
}

static struct vdev_netif_counters counters(struct vdev_netif *n)
{
	struct vdev_netif_counters k;

	ck_assert_int_eq(vdev_netif_counters(n, &k), 0);
	return k;
}

/* --- a sink that keeps what it is given -------------------------------------- */

enum { KEPT = 128, BYTES = 2048 };

static struct {
	uint8_t bytes[KEPT][BYTES];
	struct vdev_frame frames[KEPT];
	uint32_t n;
	uint32_t room; /* frames taken before it is busy */
	uint32_t flow;
	uint32_t calls;
} kept;

static uint32_t keep(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	uint32_t k = 0;

	ck_assert_ptr_eq(ctx, &kept);
	ck_assert_uint_le(n, VDEV_NET_BURST);
	kept.flow = flow;
	kept.calls++;
	for (; k < n && kept.n < kept.room; k++) {
		uint32_t at = 0;

		for (uint32_t i = 0; i < frames[k].niov; i++) {
			const struct virtq_iov *p = &frames[k].iov[i];

			if (at + p->len <= BYTES)
				memcpy(kept.bytes[kept.n] + at, p->base, p->len);
			at += (uint32_t)p->len;
		}
		ck_assert_uint_eq(at, frames[k].len);
		kept.frames[kept.n++] = frames[k];
	}
	return k;
}

static void nothing(void *ctx)
{
	(void)ctx;
	ck_abort_msg("nothing ever happens to the link");
}

static const struct vdev_net_sink sink = {
	.size = sizeof(sink), .deliver = keep, .link = nothing, .writable = nothing, .ctx = &kept};

static struct vdev_netif *echo_with_sink(void)
{
	struct vdev_netif *n;

	memset(&kept, 0, sizeof(kept));
	kept.room = KEPT;
	ck_assert_int_eq(vdev_netif_echo_new(&n, &env), 0);
	n->ops->set_sink(n, &sink);
	return n;
}

static void fill(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed * 31 + i * 7);
}

static void assert_turned(const uint8_t *got, const uint8_t *sent, size_t len)
{
	ck_assert_mem_eq(got, sent + 6, 6);
	ck_assert_mem_eq(got + 6, sent, 6);
	ck_assert_mem_eq(got + 12, sent + 12, len - 12);
}

/* --- null ---------------------------------------------------------------------- */

START_TEST(null_forgets_and_counts)
{
	struct vdev_netif *n;
	struct vdev_netif_info info;
	struct vdev_netif_channel *a, *b;
	uint8_t bytes[100] = {0};
	const struct virtq_iov iov = {bytes, sizeof(bytes)};
	struct vdev_frame frames[3] = {{.iov = &iov, .niov = 1, .len = 100},
	                               {.iov = &iov, .niov = 1, .len = 100},
	                               {.iov = &iov, .niov = 1, .len = 60}};

	ck_assert_int_eq(vdev_netif_null_new(&n, &env), 0);
	memset(&info, 0xff, sizeof(info));
	n->ops->info(n, &info);
	ck_assert_uint_eq(info.takes, VDEV_NET_TAKES_ALL);
	ck_assert_uint_eq(info.link, 1);
	ck_assert_uint_eq(info.mtu, 0);
	ck_assert_uint_eq(info.max_pairs, 0);
	ck_assert_uint_eq(info.has_mac, 0);
	a = channel(n, 0, VDEV_NET_SEND);
	b = channel(n, 1, VDEV_NET_SEND);
	ck_assert_uint_eq(n->ops->send(a, frames, 3), 3);
	ck_assert_uint_eq(n->ops->send(b, frames, 1), 1);
	/* What a channel counted stays when it is closed. */
	n->ops->close(a);
	ck_assert_uint_eq(counters(n).sent, 4);
	ck_assert_uint_eq(counters(n).sent_bytes, 360);
	ck_assert_uint_eq(counters(n).received, 0);
	n->ops->close(b);
	ck_assert_uint_eq(counters(n).sent, 4);
	vdev_netif_free(n);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

/* --- echo ---------------------------------------------------------------------- */

START_TEST(echo_swaps_the_addresses)
{
	struct vdev_netif *n = echo_with_sink();
	struct vdev_netif_channel *c = channel(n, 3, VDEV_NET_SEND);
	struct vdev_netif_channel *r = channel(n, 3, VDEV_NET_RECEIVE);
	uint8_t bytes[1514], before[1514];
	const struct virtq_iov iov = {bytes, sizeof(bytes)};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .len = 1514};

	f.offload = (struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM,
	                                      .gso_type = VDEV_NET_GSO_TCPV4,
	                                      .hdr_len = 54,
	                                      .gso_size = 100,
	                                      .csum_start = 34,
	                                      .csum_offset = 16};
	fill(bytes, sizeof(bytes), 1);
	memcpy(before, bytes, sizeof(bytes));
	ck_assert_uint_eq(n->ops->send(c, &f, 1), 1);
	ck_assert_uint_eq(kept.n, 1);
	ck_assert_uint_eq(kept.flow, 3);
	assert_turned(kept.bytes[0], bytes, sizeof(bytes));
	ck_assert_mem_eq(&kept.frames[0].offload, &f.offload, sizeof(f.offload));
	/* The sender's memory is as it was. */
	ck_assert_mem_eq(bytes, before, sizeof(bytes));
	ck_assert_uint_eq(counters(n).sent, 1);
	ck_assert_uint_eq(counters(n).received_bytes, 1514);
	n->ops->set_sink(n, NULL);
	n->ops->close(r);
	n->ops->close(c);
	vdev_netif_free(n);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

/* Cut 60 bytes at every two places, empty pieces too. */
START_TEST(echo_takes_any_pieces)
{
	struct vdev_netif *n = echo_with_sink();
	struct vdev_netif_channel *c = channel(n, 0, VDEV_NET_SEND);
	uint8_t bytes[60];

	fill(bytes, sizeof(bytes), 9);
	for (size_t x = 0; x <= 60; x++) {
		for (size_t y = x; y <= 60; y++) {
			/* Pieces of an exact allocation each, so that a sanitizer sees a byte too many. */
			uint8_t *one = malloc(x + 1), *two = malloc(y - x + 1), *three = malloc(61 - y);
			const struct virtq_iov iov[] = {{one + 1, x}, {two + 1, y - x}, {three + 1, 60 - y}};
			struct vdev_frame f = {.iov = iov, .niov = 3, .len = 60};

			memcpy(one + 1, bytes, x);
			memcpy(two + 1, bytes + x, y - x);
			memcpy(three + 1, bytes + y, 60 - y);
			kept.n = 0;
			ck_assert_uint_eq(n->ops->send(c, &f, 1), 1);
			ck_assert_uint_eq(kept.n, 1);
			assert_turned(kept.bytes[0], bytes, 60);
			free(one);
			free(two);
			free(three);
		}
	}
	n->ops->set_sink(n, NULL);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

/* Frames of one byte a piece, of which only a few fit into one delivery, or none. */
START_TEST(echo_takes_many_pieces)
{
	enum { LEN = 1500 };
	static const uint32_t pieces[] = {60, 200, 255, 256, 257, 300, LEN};
	struct vdev_netif *n = echo_with_sink();
	struct vdev_netif_channel *c = channel(n, 0, VDEV_NET_SEND);
	static uint8_t bytes[7][LEN];
	static struct virtq_iov iov[7][LEN];
	struct vdev_frame frames[VDEV_NET_BURST];
	uint32_t total = 0;

	for (uint32_t i = 0; i < 7; i++) {
		fill(bytes[i], LEN, i);
		for (uint32_t k = 0; k < pieces[i]; k++)
			iov[i][k] = (struct virtq_iov){&bytes[i][k], 1};
	}
	for (uint32_t i = 0; i < VDEV_NET_BURST; i++) {
		uint32_t which = i * 5 % 7;

		frames[i] =
			(struct vdev_frame){.iov = iov[which], .niov = pieces[which], .len = pieces[which]};
		total += pieces[which];
	}
	ck_assert_uint_eq(n->ops->send(c, frames, VDEV_NET_BURST), VDEV_NET_BURST);
	ck_assert_uint_eq(kept.n, VDEV_NET_BURST);
	for (uint32_t i = 0; i < VDEV_NET_BURST; i++)
		assert_turned(kept.bytes[i], bytes[i * 5 % 7], frames[i].len);
	ck_assert_uint_eq(counters(n).received_bytes, total);
	n->ops->set_sink(n, NULL);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

/* A busy sink leaves the rest to the sender, whichever frame it stops at. */
START_TEST(echo_leaves_what_the_sink_did_not_take)
{
	struct vdev_netif *n = echo_with_sink();
	struct vdev_netif_channel *c = channel(n, 0, VDEV_NET_SEND);
	uint8_t bytes[VDEV_NET_BURST + 8][64];
	struct virtq_iov iov[VDEV_NET_BURST + 8];
	struct vdev_frame frames[VDEV_NET_BURST + 8];
	uint64_t left = 0;

	for (uint32_t i = 0; i < VDEV_NET_BURST + 8; i++) {
		fill(bytes[i], 64, i);
		iov[i] = (struct virtq_iov){bytes[i], 64};
		frames[i] = (struct vdev_frame){.iov = &iov[i], .niov = 1, .len = 64};
	}
	for (uint32_t room = 0; room <= VDEV_NET_BURST + 8; room++) {
		kept.n = 0;
		kept.room = room;
		ck_assert_uint_eq(n->ops->send(c, frames, VDEV_NET_BURST + 8), room);
		for (uint32_t i = 0; i < room; i++)
			assert_turned(kept.bytes[i], bytes[i], 64);
		left += VDEV_NET_BURST + 8 - room;
		ck_assert_uint_eq(counters(n).not_taken, left);
	}
	n->ops->set_sink(n, NULL);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

START_TEST(echo_without_a_sink_drops)
{
	struct vdev_netif *n = echo_with_sink();
	struct vdev_netif_channel *c = channel(n, 0, VDEV_NET_SEND);
	uint8_t bytes[64] = {0};
	const struct virtq_iov iov = {bytes, 64};
	const struct vdev_frame frames[2] = {{.iov = &iov, .niov = 1, .len = 64},
	                                     {.iov = &iov, .niov = 1, .len = 64}};

	n->ops->set_sink(n, NULL);
	ck_assert_uint_eq(n->ops->send(c, frames, 2), 2);
	ck_assert_uint_eq(kept.n, 0);
	ck_assert_uint_eq(counters(n).send_dropped, 2);
	ck_assert_uint_eq(counters(n).sent, 0);
	n->ops->set_sink(n, &sink);
	ck_assert_uint_eq(n->ops->send(c, frames, 1), 1);
	ck_assert_uint_eq(kept.n, 1);
	n->ops->set_sink(n, NULL);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

/* --- source -------------------------------------------------------------------- */

static void assert_udp(const struct vdev_frame *f, const struct vdev_netif_source_config *cfg)
{
	const uint8_t *p = f->iov[0].base;

	ck_assert_uint_eq(f->niov, 1);
	ck_assert_uint_eq(f->len, cfg->frame_len);
	ck_assert_uint_eq(f->iov[0].len, cfg->frame_len);
	ck_assert_uint_eq(f->offload.flags, 0);
	ck_assert_uint_eq(f->offload.gso_type, VDEV_NET_GSO_NONE);
	ck_assert_mem_eq(p, cfg->dst, 6);
	ck_assert_mem_eq(p + 6, cfg->src, 6);
	ck_assert_uint_eq(packet_get16(p + 12), 0x0800);
	ck_assert_uint_eq(p[14], 0x45);
	ck_assert_uint_eq(packet_get16(p + 16), f->len - 14);
	ck_assert_uint_eq(p[23], 17);
	ck_assert_uint_eq(packet_sum(p + 14, 20, 0), 0xffff);
	ck_assert_uint_eq(packet_get16(p + 38), f->len - 34);
	ck_assert_uint_ne(packet_get16(p + 40), 0);
	ck_assert_uint_eq(packet_sum(p + 34, f->len - 34, packet_sum(p + 26, 8, 17 + f->len - 34)),
	                  0xffff);
}

START_TEST(source_makes_udp_of_all_flows)
{
	static const uint32_t lens[] = {42, 43, 60, 1514, 9014, 65549};
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg),
	                                       .dst = {2, 0, 0, 0, 0, 1},
	                                       .src = {2, 0, 0, 0, 0, 2},
	                                       .frame_len = lens[_i],
	                                       .flows = 7};
	struct vdev_netif *n;
	struct vdev_netif_channel *c[2];
	uint64_t seen[14];
	struct vdev_frame frames[VDEV_NET_BURST];

	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), 0);
	for (unsigned pair = 0; pair < 2; pair++) {
		c[pair] = channel(n, pair, VDEV_NET_RECEIVE);
		ck_assert_int_eq(n->ops->fd(c[pair]), -1);
		ck_assert_int_eq(n->ops->arm(c[pair]), 1);
		ck_assert_int_eq(n->ops->receive(c[pair], frames, 5), 5);
		/* The second burst goes on with the sixth flow, and comes round. */
		ck_assert_int_eq(n->ops->receive(c[pair], frames + 5, 3), 3);
		ck_assert_ptr_eq(frames[0].iov, frames[7].iov);
		for (uint32_t i = 0; i < 7; i++) {
			const uint8_t *p = frames[i].iov[0].base;

			assert_udp(&frames[i], &cfg);
			seen[pair * 7 + i] = (uint64_t)packet_get16(p + 28) << 16 | packet_get16(p + 34);
			for (uint32_t k = 0; k < pair * 7 + i; k++)
				ck_assert_uint_ne(seen[k], seen[pair * 7 + i]);
		}
	}
	ck_assert_int_eq(n->ops->receive(c[0], frames, VDEV_NET_BURST), VDEV_NET_BURST);
	ck_assert_uint_eq(counters(n).received, 16 + VDEV_NET_BURST);
	ck_assert_uint_eq(counters(n).received_bytes, (16ull + VDEV_NET_BURST) * cfg.frame_len);
	n->ops->close(c[0]);
	n->ops->close(c[1]);
	vdev_netif_free(n);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

START_TEST(source_falls_silent)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg), .count = 40};
	struct vdev_netif *n;
	struct vdev_netif_channel *c, *tx;
	struct vdev_frame frames[VDEV_NET_BURST];

	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), 0);
	c = channel(n, 0, VDEV_NET_RECEIVE);
	ck_assert_int_eq(n->ops->receive(c, frames, VDEV_NET_BURST), VDEV_NET_BURST);
	ck_assert_int_eq(n->ops->arm(c), 1);
	ck_assert_int_eq(n->ops->receive(c, frames, VDEV_NET_BURST), 40 - VDEV_NET_BURST);
	ck_assert_uint_eq(frames[0].len, 60);
	ck_assert_int_eq(n->ops->arm(c), 0);
	ck_assert_int_eq(n->ops->receive(c, frames, VDEV_NET_BURST), 0);
	tx = channel(n, 0, VDEV_NET_SEND);
	ck_assert_uint_eq(n->ops->send(tx, frames, 8), 8);
	ck_assert_uint_eq(counters(n).sent, 8);
	n->ops->close(tx);
	n->ops->close(c);
	vdev_netif_free(n);
}
END_TEST

/* --- misuse and memory --------------------------------------------------------- */

START_TEST(misuse_changes_nothing)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg)};
	struct vdev_env bad = env;
	struct vdev_netif *n = NULL;
	struct vdev_netif_counters k;

	bad.alloc = NULL;
	ck_assert_int_eq(vdev_netif_null_new(NULL, &env), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_null_new(&n, &bad), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_echo_new(&n, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_echo_new(NULL, &env), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_source_new(&n, &env, NULL), VIRTQ_EINVAL);
	cfg.size--;
	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), VIRTQ_EINVAL);
	cfg.size++;
	cfg.frame_len = 41;
	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), VIRTQ_EINVAL);
	cfg.frame_len = 65550;
	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), VIRTQ_EINVAL);
	cfg.frame_len = 60;
	cfg.flows = 65537;
	ck_assert_int_eq(vdev_netif_source_new(&n, &env, &cfg), VIRTQ_EINVAL);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(vdev_netif_counters(NULL, &k), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_null_new(&n, &env), 0);
	ck_assert_int_eq(vdev_netif_counters(n, NULL), VIRTQ_EINVAL);
	vdev_netif_free(n);
	vdev_netif_free(NULL);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

START_TEST(no_memory_leaves_nothing_behind)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg)};
	struct vdev_netif *n[3] = {NULL, NULL, NULL};
	struct vdev_netif_channel *c;

	heap.allocs_left = 0;
	ck_assert_int_eq(vdev_netif_null_new(&n[0], &env), VIRTQ_ENOMEM);
	ck_assert_int_eq(vdev_netif_echo_new(&n[1], &env), VIRTQ_ENOMEM);
	ck_assert_int_eq(vdev_netif_source_new(&n[2], &env, &cfg), VIRTQ_ENOMEM);
	heap.allocs_left = 3;
	ck_assert_int_eq(vdev_netif_null_new(&n[0], &env), 0);
	ck_assert_int_eq(vdev_netif_echo_new(&n[1], &env), 0);
	ck_assert_int_eq(vdev_netif_source_new(&n[2], &env, &cfg), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(n[i]->ops->open(n[i], 0, VDEV_NET_SEND, &c), VIRTQ_ENOMEM);
		ck_assert_int_eq(n[i]->ops->open(n[i], 0, VDEV_NET_RECEIVE, &c), VIRTQ_ENOMEM);
		vdev_netif_free(n[i]);
	}
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

/* --- threads --------------------------------------------------------------------- */

struct target {
	uint32_t alive;
	uint64_t got;
};

static uint32_t hit(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	struct target *t = ctx;

	(void)frames;
	(void)flow;
	/* A sink that was taken away must not be called any more. */
	if (__atomic_load_n(&t->alive, __ATOMIC_RELAXED) != 1)
		abort();
	__atomic_fetch_add(&t->got, n, __ATOMIC_RELAXED);
	return n;
}

struct sender {
	pthread_t thread;
	struct vdev_netif *netif;
	unsigned pair;
	uint32_t *stop;
	uint64_t sent;
};

static void *send_until_stopped(void *arg)
{
	struct sender *s = arg;
	struct vdev_netif_channel *c = channel(s->netif, s->pair, VDEV_NET_SEND);
	uint8_t bytes[64] = {0};
	const struct virtq_iov iov = {bytes, 64};
	const struct vdev_frame f = {.iov = &iov, .niov = 1, .len = 64};

	for (unsigned i = 0; !__atomic_load_n(s->stop, __ATOMIC_RELAXED); i++) {
		s->sent += s->netif->ops->send(c, &f, 1);
		if (i % 64 == 0)
			sched_yield(); /* or a busy machine hardly lets the others run */
	}
	s->netif->ops->close(c);
	return NULL;
}

START_TEST(echo_loses_its_sink_under_load)
{
	struct vdev_netif *n;
	struct sender s[2];
	uint32_t stop = 0;
	uint64_t got = 0, sent = 0;
	unsigned long rounds = test_rounds(200);

	ck_assert_int_eq(vdev_netif_echo_new(&n, &env), 0);
	for (unsigned i = 0; i < 2; i++) {
		s[i] = (struct sender){.netif = n, .pair = i, .stop = &stop};
		ck_assert_int_eq(pthread_create(&s[i].thread, NULL, send_until_stopped, &s[i]), 0);
	}
	for (unsigned long i = 0; i < rounds; i++) {
		struct target t = {.alive = 1};
		const struct vdev_net_sink own = {.size = sizeof(own), .deliver = hit, .ctx = &t};

		n->ops->set_sink(n, &own);
		(void)counters(n);
		/* Often enough take it away in the middle of something. */
		while (i % 16 == 0 && __atomic_load_n(&t.got, __ATOMIC_RELAXED) == 0)
			sched_yield();
		n->ops->set_sink(n, NULL);
		__atomic_store_n(&t.alive, 2, __ATOMIC_RELAXED);
		got += t.got;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(s[i].thread, NULL), 0);
		sent += s[i].sent;
	}
	ck_assert_uint_eq(counters(n).received, got);
	ck_assert_uint_eq(counters(n).send_dropped + got, sent);
	vdev_netif_free(n);
	ck_assert_int_eq(heap.out, 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_simple");
	TCase *tc = tcase_create("netif_simple");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, null_forgets_and_counts);
	tcase_add_test(tc, echo_swaps_the_addresses);
	tcase_add_test(tc, echo_takes_any_pieces);
	tcase_add_test(tc, echo_takes_many_pieces);
	tcase_add_test(tc, echo_leaves_what_the_sink_did_not_take);
	tcase_add_test(tc, echo_without_a_sink_drops);
	tcase_add_loop_test(tc, source_makes_udp_of_all_flows, 0, 6);
	tcase_add_test(tc, source_falls_silent);
	tcase_add_test(tc, misuse_changes_nothing);
	tcase_add_test(tc, no_memory_leaves_nothing_behind);
	tcase_add_test(tc, echo_loses_its_sink_under_load);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
