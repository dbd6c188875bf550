/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests that try to hurt others through the switch. */
#include "../unit/net_switch_rig.h"
#include "check_main.h"

#include "rng.h"

#include <pthread.h>
#include <sched.h>

static struct rig rig;

static uint32_t send_frame(unsigned port, const struct test_frame *t)
{
	return test_frame_send(rig.channel[port], t);
}

static unsigned came(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n; i++)
		n += rig.sink[i]->n;
	return n;
}

/* --- addresses ------------------------------------------------------------------ */

/* Made-up addresses push out made-up addresses; memory does not grow; who is there stays known, and who comes is learned. */
START_TEST(flood_of_addresses)
{
	const struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 64, .seed = 7};
	static struct test_frame t;
	struct rng rng;
	long out;

	rng_seed(&rng, 1);
	rig_begin(&rig, &cfg);
	for (unsigned i = 0; i < 4; i++)
		rig_port(&rig, NULL);
	out = rig.out;
	for (unsigned i = 0; i < 4; i++)
		rig_send(&rig, 1 + i % 2, ~0u, 10 + i, -1);
	test_frame_plain(&t, 10, 0, -1, 60);
	for (unsigned n = 0; n < 20000; n++) {
		for (unsigned b = 7; b < 12; b++)
			t.bytes[b] = (uint8_t)rng_below(&rng, 256);
		send_frame(0, &t);
		for (unsigned i = 0; i < 4; i++)
			ck_assert_uint_eq(rig_where(&rig, 10 + i, 0), 1 + i % 2);
		ck_assert_uint_le(vdev_switch_learned(rig.sw, NULL), 64);
		rig_clear(&rig);
	}
	ck_assert_uint_gt(vdev_switch_learned(rig.sw, rig.port[0]), 40);
	/* Somebody new. */
	for (unsigned i = 0; i < 8; i++) {
		rig_send(&rig, 3, ~0u, 100 + i, -1);
		ck_assert_uint_eq(rig_where(&rig, 100 + i, 0), 3);
	}
	ck_assert_int_eq(rig.out, out);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/* Not even where none of its own is in the way: who holds more than others gets no place of theirs. */
START_TEST(flood_of_addresses_on_a_full_table)
{
	const struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 64, .seed = 7};
	unsigned known[64], n = 0;

	rig_begin(&rig, &cfg);
	for (unsigned i = 0; i < 5; i++)
		rig_port(&rig, NULL);
	for (unsigned i = 0; i < 1000; i++)
		rig_send(&rig, 0, ~0u, 10000 + i, -1);
	for (unsigned i = 0; i < 40; i++)
		rig_send(&rig, 1 + i % 4, ~0u, 10 + i, -1);
	ck_assert_uint_gt(vdev_switch_learned(rig.sw, rig.port[0]), 12);
	for (unsigned i = 0; i < 40; i++)
		if (rig_where(&rig, 10 + i, 0) == 1 + i % 4)
			known[n++] = i;
	ck_assert_uint_gt(n, 32);
	for (unsigned i = 0; i < 20000; i++)
		rig_send(&rig, 0, ~0u, 20000 + i, -1);
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(rig_where(&rig, 10 + known[i], 0), 1 + known[i] % 4);
	ck_assert_uint_gt(rig_counters(&rig, 0).not_learned, 0);
	rig_end(&rig);
}
END_TEST

START_TEST(flood_of_addresses_against_a_limit)
{
	const struct vdev_switch_port_config limited = {.max_learned = 5};

	rig_begin(&rig, NULL);
	rig_port(&rig, &limited);
	rig_port(&rig, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		rig_send(&rig, 0, ~0u, 1000 + i, -1);
		ck_assert_uint_le(vdev_switch_learned(rig.sw, rig.port[0]), 5);
	}
	ck_assert_uint_eq(rig_counters(&rig, 0).learned + rig_counters(&rig, 0).not_learned, 1000);
	ck_assert_uint_gt(rig_counters(&rig, 0).not_learned, 900);
	/* Nor by taking others' addresses. */
	for (unsigned i = 0; i < 20; i++)
		rig_send(&rig, 1, ~0u, 5000 + i, -1);
	for (unsigned i = 0; i < 20; i++)
		rig_send(&rig, 0, ~0u, 5000 + i, -1);
	ck_assert_uint_eq(rig_counters(&rig, 0).moved, 0);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[0]), 5);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[1]), 20);
	/* Aged ones make room. */
	for (unsigned i = 0; i < 200; i++) {
		rig.now += UINT64_C(3000000000);
		rig_send(&rig, 1, ~0u, 5000, -1);
	}
	rig_send(&rig, 0, ~0u, 7000, -1);
	ck_assert_uint_eq(rig_where(&rig, 7000, 0), 0);
	rig_end(&rig);
}
END_TEST

START_TEST(addresses_of_others)
{
	const struct vdev_switch_port_config strict = {.flags = VDEV_SWITCH_ONLY_STATIC,
	                                               .mac = {2, 0, 0, 0, 0, 1}},
										 named = {.mac = {2, 0, 0, 0, 0, 2}};
	struct vdev_netif_info info;
	uint8_t mac[VDEV_NET_MAC];

	rig_begin(&rig, NULL);
	rig_port(&rig, &strict);
	rig_port(&rig, &named);
	rig_port(&rig, NULL);
	rig.port[0]->ops->info(rig.port[0], &info);
	ck_assert_int_eq(info.has_mac, 1);
	ck_assert_int_eq(memcmp(info.mac, strict.mac, 6), 0);
	/* Only its own. */
	rig_send(&rig, 0, ~0u, 1, -1);
	ck_assert_uint_eq(came(), 2);
	rig_clear(&rig);
	rig_send(&rig, 0, ~0u, 2, -1);
	rig_send(&rig, 0, ~0u, 3, -1);
	rig_send(&rig, 0, ~0u, 1, -1); /* and what was found for another frame does not count */
	rig_send(&rig, 0, ~0u, 3, -1);
	ck_assert_uint_eq(came(), 2);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_spoofed, 3);
	ck_assert_uint_eq(rig_where(&rig, 3, 0), ~0u);
	/* Who may send from any address can't from one that is another's. */
	rig_clear(&rig);
	rig_send(&rig, 2, ~0u, 1, -1);
	rig_send(&rig, 2, ~0u, 2, -1);
	rig_send(&rig, 1, ~0u, 1, -1);
	ck_assert_uint_eq(came(), 0);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 2, 0), 1);
	ck_assert_uint_eq(rig_counters(&rig, 2).in_spoofed, 2);
	/* What was learned elsewhere before becomes its owner's. */
	rig_send(&rig, 2, ~0u, 9, -1);
	ck_assert_uint_eq(rig_where(&rig, 9, 0), 2);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, 9), 0), 0);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[1], mac, 0), VIRTQ_EBUSY);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[2]), 0);
	rig_clear(&rig);
	rig_send(&rig, 2, ~0u, 9, -1);
	ck_assert_uint_eq(came(), 0);
	rig_send(&rig, 0, ~0u, 9, -1);
	ck_assert_uint_eq(came(), 2);
	ck_assert_int_eq(vdev_switch_port_remove_mac(rig.port[1], mac, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_switch_port_remove_mac(rig.port[0], mac, 0), 0);
	rig_send(&rig, 0, ~0u, 9, -1);
	ck_assert_uint_eq(came(), 2);
	/* They do not age, and no flood pushes them out. */
	rig.now += UINT64_C(1000000000000);
	for (unsigned i = 0; i < 5000; i++)
		rig_send(&rig, 2, 1, 10000 + i, -1);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 2, 0), 1);
	rig_end(&rig);
}
END_TEST

/* A full bucket of static addresses is an error, and no reason to lose one. */
START_TEST(no_room_for_statics)
{
	const struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 4};
	uint8_t mac[VDEV_NET_MAC];

	rig_begin(&rig, &cfg);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 50, -1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, i), 0), 0);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, 4), 0), VIRTQ_ENOSPC);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(rig_where(&rig, i, 0), 0);
	rig_send(&rig, 1, ~0u, 50, -1);
	ck_assert_uint_eq(rig_counters(&rig, 1).not_learned, 1);
	rig_end(&rig);
}
END_TEST

/* --- VLANs -------------------------------------------------------------------------- */

static void put_tag(struct test_frame *t, uint32_t at, unsigned type, unsigned tag)
{
	const uint8_t bytes[] = {(uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(tag >> 8),
	                         (uint8_t)tag};

	memcpy(t->bytes + at, bytes, 4);
}

START_TEST(hopping_over_vlans_with_two_tags)
{
	const struct vdev_switch_port_config access10 = {.mode = VDEV_SWITCH_ACCESS, .vlan = 10},
										 access20 = {.mode = VDEV_SWITCH_ACCESS, .vlan = 20},
										 native10 = {.mode = VDEV_SWITCH_TRUNK, .vlan = 10},
										 all = {.mode = VDEV_SWITCH_TRUNK};
	static const unsigned types[] = {0x8100, 0x88a8, 0x9100}, outer[] = {0, 10, 20, 0xe000, 0xffff};
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, &access10);
	rig_port(&rig, &access20);
	rig_port(&rig, &native10);
	rig_port(&rig, &all);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < 3; j++)
			for (unsigned k = 0; k < 5; k++) {
				test_frame_plain(&t, ~0u, 100, -1, 80);
				put_tag(&t, 12, types[i], outer[k]);
				put_tag(&t, 16, types[j], 20);
				ck_assert_uint_eq(send_frame(0, &t), 1);
				ck_assert_uint_eq(came(), 0);
				test_frame_free(&t);
			}
	/* Types of tags that the switch doesn't know are no way around it either. */
	for (unsigned i = 1; i < 3; i++) {
		test_frame_plain(&t, ~0u, 100, -1, 80);
		put_tag(&t, 12, types[i], 20);
		for (unsigned port = 0; port < 4; port++)
			send_frame(port, &t);
		ck_assert_uint_eq(came(), 0);
		test_frame_free(&t);
	}
	/* From a trunk: inside of a VLAN they may be anything, but not come out as one where the outer one is taken off. */
	test_frame_plain(&t, ~0u, 100, -1, 80);
	put_tag(&t, 12, 0x8100, 10);
	put_tag(&t, 16, 0x8100, 20);
	send_frame(3, &t);
	ck_assert_uint_eq(came(), 0);
	send_frame(2, &t);
	ck_assert_uint_eq(rig.sink[3]->n, 1);
	ck_assert_int_eq(memcmp(rig.sink[3]->bytes[0], t.bytes, 80), 0);
	ck_assert_uint_eq(came(), 1);
	test_frame_free(&t);
	/* A tag cut off, in every way. */
	for (uint32_t len = 14; len < 18; len++) {
		test_frame_plain(&t, ~0u, 100, 20, 80);
		t.frame.len = len;
		t.iov[0].len = len;
		rig_clear(&rig);
		for (unsigned port = 0; port < 4; port++)
			send_frame(port, &t);
		ck_assert_uint_eq(came(), 0);
		test_frame_free(&t);
	}
	rig_end(&rig);
}
END_TEST

/* --- frames that are none ----------------------------------------------------------------- */

START_TEST(runts_and_giants)
{
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	for (uint32_t len = 0; len < 14; len++) {
		test_frame_plain(&t, ~0u, 100, -1, 60);
		t.frame.len = len;
		t.iov[0].len = len;
		t.frame.niov = len > 0;
		ck_assert_uint_eq(send_frame(0, &t), 1);
		test_frame_free(&t);
	}
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 14);
	test_frame_plain(&t, ~0u, 100, -1, VDEV_NET_MAX_FRAME + 1);
	send_frame(0, &t);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 15);
	t.frame.len--;
	t.iov[0].len--;
	send_frame(0, &t);
	ck_assert_uint_eq(came(), 1);
	test_frame_free(&t);
	/* Sources that can't be. */
	test_frame_plain(&t, ~0u, 100, -1, 60);
	t.bytes[6] |= 1;
	send_frame(0, &t);
	memset(t.bytes + 6, 0, 6);
	send_frame(0, &t);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_bad, 17);
	ck_assert_uint_eq(came(), 1);
	/* Nothing but a header. */
	test_frame_free(&t);
	rig_clear(&rig);
	test_frame_plain(&t, ~0u, 100, -1, 14);
	send_frame(0, &t);
	net_sink_check(rig.sink[1], 0, &t, -1);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(what_no_bridge_forwards)
{
	const uint8_t group[] = {0x01, 0x80, 0xc2, 0, 0, 0};
	uint8_t src[VDEV_NET_MAC];
	static struct test_frame t;

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	test_frame_init(&t, group, test_mac(src, 100), -1, 60);
	for (unsigned i = 0; i < 16; i++) {
		t.bytes[5] = (uint8_t)i;
		send_frame(0, &t);
	}
	ck_assert_uint_eq(came(), 0);
	ck_assert_uint_eq(rig_counters(&rig, 0).in_link_local, 16);
	t.bytes[5] = 16;
	send_frame(0, &t);
	ck_assert_uint_eq(came(), 1);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

START_TEST(very_many_pieces)
{
	static struct test_frame t[8];
	struct vdev_frame burst[8];

	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	/* Together more than there is room for: in several calls, in order. */
	for (unsigned i = 0; i < 8; i++) {
		test_frame_plain(&t[i], ~0u, 100, -1, 900 + i);
		test_frame_cut(&t[i], 1, 100 + 90 * i);
		burst[i] = t[i].frame;
	}
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 8), 8);
	ck_assert_uint_eq(rig.sink[1]->n, 8);
	ck_assert_uint_gt(rig.sink[1]->calls, 2);
	for (unsigned i = 0; i < 8; i++) {
		net_sink_check(rig.sink[1], i, &t[i], -1);
		test_frame_free(&t[i]);
	}
	/* And the same where the receiver goes away in the middle. */
	rig_clear(&rig);
	rig_send(&rig, 1, ~0u, 1, -1);
	for (unsigned i = 0; i < 8; i++) {
		test_frame_plain(&t[i], 1, 100, -1, 900 + i);
		test_frame_cut(&t[i], 1, 100 + 90 * i);
		burst[i] = t[i].frame;
	}
	for (unsigned room = 0; room <= 8; room++) {
		net_sink_clear(rig.sink[1]);
		rig.sink[1]->room = room;
		ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, 8), room);
		ck_assert_uint_eq(rig.sink[1]->n, room);
	}
	for (unsigned i = 0; i < 8; i++)
		test_frame_free(&t[i]);
	/* Alone too many. */
	rig.sink[1]->room = SINK_KEPT;
	rig_clear(&rig);
	test_frame_plain(&t[0], ~0u, 100, -1, 1500);
	test_frame_cut(&t[0], 1, 1025);
	ck_assert_uint_eq(send_frame(0, &t[0]), 1);
	ck_assert_uint_eq(came(), 0);
	ck_assert_uint_eq(rig_counters(&rig, 1).out_pieces, 1);
	test_frame_cut(&t[0], 1, 1024);
	ck_assert_uint_eq(send_frame(0, &t[0]), 1);
	net_sink_check(rig.sink[1], 0, &t[0], -1);
	test_frame_free(&t[0]);
	rig_end(&rig);
}
END_TEST

/* --- frames that change under way ----------------------------------------------------------- */

static void rewrite(void *ctx)
{
	struct test_frame *t = ctx;

	/* Another address, somebody else's name, a tag, a frame that no bridge forwards. */
	static const uint8_t header[] = {1, 0x80, 0xc2, 0,    0, 0, 2,  0,    0,
	                                 0, 0,    77,   0x81, 0, 0, 20, 0x81, 0};

	memcpy(t->bytes, header, sizeof(header));
}

/* The first receiver's driver is the accomplice: it changes the frame before the others have it. */
START_TEST(changed_between_receivers)
{
	const struct vdev_switch_port_config access = {.mode = VDEV_SWITCH_ACCESS, .vlan = 10},
										 native = {.mode = VDEV_SWITCH_TRUNK, .vlan = 10},
										 *conf[2][3] = {{NULL, NULL, NULL},
	                                                    {&access, &native, &access}};
	static struct test_frame t, before;

	for (unsigned cut = 0; cut < 2; cut++) {
		rig_begin(&rig, NULL);
		for (unsigned i = 0; i < 3; i++)
			rig_port(&rig, conf[_i][i]);
		test_frame_plain(&t, ~0u, 100, -1, 80);
		test_frame_plain(&before, ~0u, 100, -1, 80);
		if (cut)
			test_frame_cut(&t, 5, 8);
		rig.sink[1]->before = rewrite;
		rig.sink[1]->before_ctx = &t;
		ck_assert_uint_eq(send_frame(0, &t), 1);
		for (unsigned i = 1; i < 3; i++) {
			ck_assert_uint_eq(rig.sink[i]->n, 1);
			ck_assert_int_eq(memcmp(rig.sink[i]->bytes[0], before.bytes, 14), 0);
		}
		test_frame_free(&t);
		test_frame_free(&before);
		rig_end(&rig);
	}
}
END_TEST

struct flipper {
	volatile uint8_t *bytes;
	int stop;
};

/* A guest is no thread that a sanitizer knows of. */
__attribute__((no_sanitize("thread"))) static void *flip(void *arg)
{
	struct flipper *f = arg;
	struct rng rng;

	rng_seed(&rng, 5);
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		static const uint8_t types[][2] = {{8, 0}, {0x81, 0}, {0x88, 0xa8}};
		const uint8_t *type = types[rng_below(&rng, 3)];

		f->bytes[12] = type[0];
		f->bytes[13] = type[1];
		f->bytes[11] = (uint8_t)(99 + rng_below(&rng, 3));
		f->bytes[5] = (uint8_t)rng_below(&rng, 4);
		f->bytes[16] = 0x81;
	}
	return NULL;
}

/* By another processor at any time. Whatever arrives has kept the rules. */
static void race(struct test_frame *t)
{
	unsigned long rounds = test_rounds(20000);

	for (unsigned long k = 0; k < rounds; k++) {
		rig_clear(&rig);
		ck_assert_uint_eq(send_frame(0, t), 1);
		for (unsigned i = 1; i < 3; i++)
			for (unsigned n = 0; n < rig.sink[i]->n; n++) {
				const uint8_t *got = rig.sink[i]->bytes[n];

				ck_assert_uint_eq(got[11], 100);
				/* Halves of two types may come together, but not those of a tag. */
				ck_assert(got[12] != 0x81 || got[13] != 0);
				ck_assert(got[12] != 0x88 || got[13] != 0xa8);
			}
		if (k % 64 == 0)
			sched_yield();
	}
}

START_TEST(changed_by_another_processor)
{
	const struct vdev_switch_port_config access = {.mode = VDEV_SWITCH_ACCESS,
	                                               .vlan = 10,
	                                               .flags = VDEV_SWITCH_ONLY_STATIC},
										 native = {.mode = VDEV_SWITCH_TRUNK, .vlan = 10};
	static struct test_frame t;
	struct flipper f = {0};
	uint8_t mac[VDEV_NET_MAC];
	pthread_t thread;

	rig_begin(&rig, NULL);
	rig_port(&rig, &access);
	rig_port(&rig, &native);
	rig_port(&rig, &native);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[0], test_mac(mac, 100), 0), 0);
	test_frame_plain(&t, 1, 100, -1, 60);
	f.bytes = t.bytes;
	ck_assert_int_eq(pthread_create(&thread, NULL, flip, &f), 0);
	race(&t);
	__atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_gt(rig_counters(&rig, 0).in, 0);
	ck_assert_uint_eq(rig_counters(&rig, 1).out_vlan, 0);
	test_frame_free(&t);
	rig_end(&rig);
}
END_TEST

/* --- storms --------------------------------------------------------------------------------- */

START_TEST(storms)
{
	const struct vdev_switch_port_config guarded = {
		.broadcasts = 100, .multicasts = 200, .unknowns = 300};
	const uint8_t group[] = {0x33, 0x33, 0, 0, 0, 1};
	uint8_t src[VDEV_NET_MAC];
	static struct test_frame all, some, unknown, known;

	rig_begin(&rig, NULL);
	rig_port(&rig, &guarded);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	test_frame_plain(&all, ~0u, 100, -1, 60);
	test_frame_init(&some, group, test_mac(src, 100), -1, 60);
	test_frame_plain(&unknown, 55, 100, -1, 60);
	test_frame_plain(&known, 1, 100, -1, 60);
	for (unsigned second = 0; second < 3; second++) {
		unsigned kinds[3] = {0};

		for (unsigned i = 0; i < 1000; i++) {
			rig_clear(&rig);
			send_frame(0, &all);
			kinds[0] += rig.sink[1]->n;
			rig_clear(&rig);
			send_frame(0, &some);
			kinds[1] += rig.sink[1]->n;
			rig_clear(&rig);
			send_frame(0, &unknown);
			kinds[2] += rig.sink[1]->n;
			rig_clear(&rig);
			ck_assert_uint_eq(send_frame(0, &known), 1);
			ck_assert_uint_eq(rig.sink[1]->n, 1); /* what goes to one is not held up */
			rig.now += 1000000;
		}
		for (unsigned k = 0; k < 3; k++) {
			ck_assert_uint_ge(kinds[k], 100 * (k + 1) - 1);
			ck_assert_uint_le(kinds[k], 110 * (k + 1) + 1);
		}
	}
	ck_assert_uint_gt(rig_counters(&rig, 0).in_storm, 6000);
	/* Others are not counted with it. */
	rig_clear(&rig);
	for (unsigned i = 0; i < 200; i++)
		rig_send(&rig, 1, ~0u, 1, -1);
	ck_assert_uint_eq(rig.sink[0]->n, 200);
	test_frame_free(&all);
	test_frame_free(&some);
	test_frame_free(&unknown);
	test_frame_free(&known);
	rig_end(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_net_switch");
	TCase *tc = tcase_create("evil_net_switch");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, flood_of_addresses);
	tcase_add_test(tc, flood_of_addresses_on_a_full_table);
	tcase_add_test(tc, flood_of_addresses_against_a_limit);
	tcase_add_test(tc, addresses_of_others);
	tcase_add_test(tc, no_room_for_statics);
	tcase_add_test(tc, hopping_over_vlans_with_two_tags);
	tcase_add_test(tc, runts_and_giants);
	tcase_add_test(tc, what_no_bridge_forwards);
	tcase_add_test(tc, very_many_pieces);
	tcase_add_loop_test(tc, changed_between_receivers, 0, 2);
	tcase_add_test(tc, changed_by_another_processor);
	tcase_add_test(tc, storms);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
