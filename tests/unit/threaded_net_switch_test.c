/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that come, change and go while several threads send. Whatever belongs to a port is given back, and overwritten, as
 * soon as the call that takes it away has returned: a sender that still looked at it would be seen. For ThreadSanitizer too.
 */
#include "check_main.h"
#include "net_sink.h"
#include "rng.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <vdev/net_switch.h>
#include <vdev/netif_pair.h>

enum { SENDERS = 3, STAY = 3, COMING = 3, BURST = 8, ROUNDS = 100 };

/* A device that receives, as the queue of one would: who finds it locked goes away. */
struct receiver {
	struct vdev_net_sink sink;
	int lock;
	uint64_t frames, bytes; /* under the lock */
};

static uint32_t receive(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	struct receiver *r = ctx;

	(void)flow;
	if (__atomic_exchange_n(&r->lock, 1, __ATOMIC_ACQUIRE) != 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t sum = 0;

		for (uint32_t k = 0; k < frames[i].niov; k++)
			sum += (uint32_t)frames[i].iov[k].len;
		ck_assert_uint_eq(sum, frames[i].len);
		r->bytes += sum;
	}
	r->frames += n;
	__atomic_store_n(&r->lock, 0, __ATOMIC_RELEASE);
	return n;
}

static void no_link(void *ctx)
{
	(void)ctx;
}

static struct receiver *receiver_new(void)
{
	struct receiver *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->sink = (struct vdev_net_sink){.size = sizeof(r->sink),
	                                 .deliver = receive,
	                                 .link = no_link,
	                                 .writable = no_link,
	                                 .ctx = r};
	return r;
}

static void receiver_free(struct receiver *r)
{
	memset(r, 0xee, sizeof(*r));
	free(r);
}

struct sender {
	pthread_t thread;
	struct vdev_netif *port;
	unsigned pair;
	int *stop;
	uint64_t taken, sent_bytes, seed;
	unsigned macs; /* addresses it sends to, from 1 on */
	unsigned own;
};

/* Bursts to all and to single ones, from an address of its own. Its channel is opened and closed here. */
static void *send_all_the_time(void *arg)
{
	struct sender *s = arg;
	static _Thread_local struct test_frame t[BURST];
	struct vdev_frame burst[BURST];
	struct vdev_netif_channel *c;
	struct rng rng;
	unsigned n = 0;

	rng_seed(&rng, s->seed);
	ck_assert_int_eq(s->port->ops->open(s->port, s->pair, VDEV_NET_SEND, &c), 0);
	while (!__atomic_load_n(s->stop, __ATOMIC_RELAXED)) {
		uint32_t took;

		for (unsigned i = 0; i < BURST; i++) {
			unsigned dst = 1 + rng_below(&rng, s->macs);

			test_frame_plain(&t[i], rng_one_in(&rng, 8) ? ~0u : dst, s->own, -1,
			                 60 + 8 * rng_below(&rng, 20));
			burst[i] = t[i].frame;
		}
		took = s->port->ops->send(c, burst, BURST);
		ck_assert_uint_le(took, BURST);
		s->taken += took;
		for (unsigned i = 0; i < BURST; i++) {
			s->sent_bytes += i < took ? burst[i].len : 0;
			test_frame_free(&t[i]);
		}
		if (++n % 64 == 0) {
			s->port->ops->close(c);
			ck_assert_int_eq(s->port->ops->open(s->port, s->pair, VDEV_NET_SEND, &c), 0);
		}
		if (took < BURST || n % 16 == 0)
			sched_yield(); /* or a busy machine hardly lets the others run */
	}
	s->port->ops->close(c);
	return NULL;
}

static void senders_start(struct sender *s, struct vdev_netif *const *port, unsigned nports,
                          unsigned macs, int *stop)
{
	for (unsigned i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){.port = port[i % nports],
		                       .pair = i / nports,
		                       .stop = stop,
		                       .seed = i,
		                       .macs = macs,
		                       .own = 1 + i % nports};
		ck_assert_int_eq(pthread_create(&s[i].thread, NULL, send_all_the_time, &s[i]), 0);
	}
}

static void senders_stop(struct sender *s, int *stop)
{
	__atomic_store_n(stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < SENDERS; i++)
		ck_assert_int_eq(pthread_join(s[i].thread, NULL), 0);
}

static struct vdev_netif *port_new(struct vdev_switch *s, uint32_t flags)
{
	const struct vdev_switch_port_config cfg = {.size = sizeof(cfg), .flags = flags};
	struct vdev_netif *n;

	ck_assert_int_eq(vdev_switch_port_new(&n, s, &cfg), 0);
	return n;
}

static void *announce(void *arg)
{
	struct vdev_netif *port = arg;
	struct vdev_netif_channel *c;
	static _Thread_local struct test_frame t;

	ck_assert_int_eq(port->ops->open(port, 0, VDEV_NET_SEND, &c), 0);
	test_frame_plain(&t, ~0u, STAY + 1, -1, 60);
	ck_assert_uint_eq(test_frame_send(c, &t), 1);
	test_frame_free(&t);
	port->ops->close(c);
	return NULL;
}

/* One life of a port that comes and goes. */
static void come_and_go(struct vdev_switch *sw, struct rng *rng, uint64_t *received)
{
	struct vdev_netif *port = port_new(sw, 0);
	struct receiver *r = receiver_new();
	const struct vdev_switch_port_config limited = {
		.size = sizeof(limited), .in = {.frames_per_s = 1000000}, .mtu = 1500};
	struct vdev_switch_counters c;
	pthread_t thread;

	port->ops->set_sink(port, &r->sink);
	ck_assert_int_eq(pthread_create(&thread, NULL, announce, port), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	for (unsigned n = rng_below(rng, 4); n > 0; n--)
		sched_yield();
	if (rng_one_in(rng, 2))
		ck_assert_int_eq(vdev_switch_port_set(port, &limited), 0);
	if (rng_one_in(rng, 3)) {
		ck_assert_int_eq(vdev_switch_port_set_link(port, 0), 0);
		ck_assert_int_eq(vdev_switch_port_set_link(port, 1), 0);
	}
	if (rng_one_in(rng, 4))
		ck_assert_int_eq(vdev_switch_flush(sw, NULL), 0);
	port->ops->set_sink(port, NULL);
	ck_assert_int_eq(vdev_switch_port_counters(port, &c), 0);
	ck_assert_uint_eq(c.out, r->frames);
	ck_assert_uint_eq(c.out_bytes, r->bytes);
	*received += r->frames;
	receiver_free(r);
	if (rng_one_in(rng, 2)) {
		/* Another device in its place. */
		r = receiver_new();
		port->ops->set_sink(port, &r->sink);
		sched_yield();
		port->ops->set_sink(port, NULL);
		receiver_free(r);
	}
	vdev_netif_free(port);
}

static void check_sums(struct vdev_netif *const *port, struct receiver *const *r,
                       const struct sender *s)
{
	uint64_t taken = 0, bytes = 0, in = 0, in_bytes = 0;

	for (unsigned i = 0; i < SENDERS; i++) {
		taken += s[i].taken;
		bytes += s[i].sent_bytes;
	}
	for (unsigned i = 0; i < STAY; i++) {
		struct vdev_switch_counters c;

		ck_assert_int_eq(vdev_switch_port_counters(port[i], &c), 0);
		/* What was taken and isn't counted as sent was to an address behind the same port. */
		in += c.in + c.in_local;
		in_bytes += c.in_bytes + c.in_local;
		ck_assert_uint_eq(c.out, r[i]->frames);
		ck_assert_uint_eq(c.out_bytes, r[i]->bytes);
		ck_assert_uint_eq(c.in_bad + c.in_vlan + c.in_spoofed + c.out_vlan + c.out_pieces, 0);
	}
	ck_assert_uint_eq(in, taken);
	ck_assert_uint_le(in_bytes, bytes);
	ck_assert_uint_gt(taken, 0);
}

START_TEST(ports_come_and_go_under_traffic)
{
	unsigned long rounds = test_rounds(ROUNDS);
	struct vdev_netif *port[STAY];
	struct receiver *r[STAY];
	struct sender s[SENDERS];
	struct vdev_switch *sw;
	struct rng rng;
	uint64_t received = 0;
	int stop = 0;

	rng_seed(&rng, 1);
	ck_assert_int_eq(vdev_switch_new(&sw, vdev_env_hosted(), NULL), 0);
	for (unsigned i = 0; i < STAY; i++) {
		port[i] = port_new(sw, i == 1 ? VDEV_SWITCH_STEADY : 0);
		r[i] = receiver_new();
		port[i]->ops->set_sink(port[i], &r[i]->sink);
	}
	/* Two of the senders are channels of one port. */
	senders_start(s, port, STAY - 1, STAY + 1, &stop);
	for (unsigned long k = 0; k < rounds; k++)
		come_and_go(sw, &rng, &received);
	senders_stop(s, &stop);
	check_sums(port, r, s);
	for (unsigned i = 0; i < STAY; i++) {
		port[i]->ops->set_sink(port[i], NULL);
		vdev_netif_free(port[i]);
		receiver_free(r[i]);
	}
	ck_assert_int_eq(vdev_switch_free(sw), 0);
}
END_TEST

struct churn {
	pthread_t thread;
	struct vdev_switch *sw;
	unsigned long rounds;
	uint64_t seed, received;
};

static void *churn(void *arg)
{
	struct churn *c = arg;
	struct rng rng;

	rng_seed(&rng, c->seed);
	for (unsigned long k = 0; k < c->rounds; k++)
		come_and_go(c->sw, &rng, &c->received);
	return NULL;
}

/* Several threads take ports away at the same time, and wait for senders and for each other. */
START_TEST(several_come_and_go_at_once)
{
	struct churn c[COMING];
	struct vdev_netif *port;
	struct sender s[SENDERS];
	struct receiver *r = receiver_new();
	struct vdev_switch *sw;
	int stop = 0;

	ck_assert_int_eq(vdev_switch_new(&sw, vdev_env_hosted(), NULL), 0);
	port = port_new(sw, 0);
	port->ops->set_sink(port, &r->sink);
	senders_start(s, &port, 1, STAY + 1, &stop);
	for (unsigned i = 0; i < COMING; i++) {
		c[i] = (struct churn){.sw = sw, .rounds = test_rounds(ROUNDS / COMING), .seed = i};
		ck_assert_int_eq(pthread_create(&c[i].thread, NULL, churn, &c[i]), 0);
	}
	for (unsigned i = 0; i < COMING; i++)
		ck_assert_int_eq(pthread_join(c[i].thread, NULL), 0);
	senders_stop(s, &stop);
	port->ops->set_sink(port, NULL);
	vdev_netif_free(port);
	receiver_free(r);
	ck_assert_int_eq(vdev_switch_free(sw), 0);
}
END_TEST

/* Addresses that several threads learn, move and look for in a table that is too small. */
START_TEST(a_crowded_table)
{
	const struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 4};
	unsigned long rounds = test_rounds(4000);
	struct vdev_netif *port[STAY];
	struct receiver *r[STAY];
	struct sender s[SENDERS];
	struct vdev_switch *sw;
	int stop = 0;

	ck_assert_int_eq(vdev_switch_new(&sw, vdev_env_hosted(), &cfg), 0);
	for (unsigned i = 0; i < STAY; i++) {
		port[i] = port_new(sw, 0);
		r[i] = receiver_new();
		port[i]->ops->set_sink(port[i], &r[i]->sink);
	}
	/* One address for all: it moves with each frame. */
	senders_start(s, port, STAY, 40, &stop);
	for (unsigned long k = 0; k < rounds; k++) {
		uint8_t mac[VDEV_NET_MAC];
		struct vdev_netif *n = vdev_switch_find(sw, test_mac(mac, 1 + (unsigned)(k % STAY)), 0);

		ck_assert(n == NULL || n == port[k % STAY]);
		ck_assert_uint_le(vdev_switch_learned(sw, NULL), 8);
		if (k % 256 == 0) {
			ck_assert_int_eq(vdev_switch_flush(sw, NULL), 0);
			ck_assert_int_eq(vdev_switch_port_add_mac(port[0], test_mac(mac, 7), 0), 0);
			ck_assert_int_eq(vdev_switch_port_remove_mac(port[0], mac, 0), 0);
			sched_yield();
		}
	}
	senders_stop(s, &stop);
	check_sums(port, r, s);
	for (unsigned i = 0; i < STAY; i++) {
		port[i]->ops->set_sink(port[i], NULL);
		vdev_netif_free(port[i]);
		receiver_free(r[i]);
	}
	ck_assert_int_eq(vdev_switch_free(sw), 0);
}
END_TEST

START_TEST(a_pair_whose_sinks_change)
{
	unsigned long rounds = test_rounds(ROUNDS);
	struct vdev_netif *end[2];
	struct sender s[SENDERS];
	int stop = 0;

	ck_assert_int_eq(vdev_netif_pair_new(end, vdev_env_hosted()), 0);
	senders_start(s, end, 1, 2, &stop);
	for (unsigned long k = 0; k < rounds; k++) {
		struct receiver *r = receiver_new();

		end[1]->ops->set_sink(end[1], &r->sink);
		sched_yield();
		end[1]->ops->set_sink(end[1], NULL);
		receiver_free(r);
	}
	vdev_netif_free(end[1]); /* while the other side sends */
	senders_stop(s, &stop);
	vdev_netif_free(end[0]);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_net_switch");
	TCase *tc = tcase_create("threaded_net_switch");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, ports_come_and_go_under_traffic);
	tcase_add_test(tc, several_come_and_go_at_once);
	tcase_add_test(tc, a_crowded_table);
	tcase_add_test(tc, a_pair_whose_sinks_change);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
