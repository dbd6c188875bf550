/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch's table of addresses: who has to make room, what is too old, and two who write at once. */
#include "check_main.h"
#include "libvdev/backends/net/switch/switch.h"
#include "net_switch_rig.h"

#include <pthread.h>
#include <sched.h>

enum { TICK = 1 << 28 };

/* All addresses fall into one bucket. */
static const struct vdev_switch_config tiny = {.size = sizeof(tiny), .addresses = WAYS};
static struct rig rig;

static void begin(const struct vdev_switch_config *cfg, unsigned ports)
{
	rig_begin(&rig, cfg);
	for (unsigned i = 0; i < ports; i++)
		rig_port(&rig, NULL);
}

/* A port's device shows itself, later than those before. */
static void show(unsigned port, unsigned mac)
{
	rig.now += TICK;
	ck_assert_uint_eq(rig_send(&rig, port, ~0u, mac, -1), 1);
}

/* --- who makes room ------------------------------------------------------------ */

/* Who may hold two and shows a third loses the one that was seen least lately. */
START_TEST(a_full_port_gives_its_oldest)
{
	const struct vdev_switch_port_config two = {.max_learned = 2};

	rig_begin(&rig, &tiny);
	rig_port(&rig, &two);
	rig_port(&rig, NULL);
	show(1, 50);
	show(0, 1);
	show(0, 2);
	if (_i == 1)
		show(0, 1);
	show(0, 3);
	ck_assert_uint_eq(rig_where(&rig, 3, 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 2 - (unsigned)_i, 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 1 + (unsigned)_i, 0), ~0u);
	ck_assert_uint_eq(rig_where(&rig, 50, 0), 1);
	ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[0]), 2);
	ck_assert_uint_eq(rig_counters(&rig, 0).learned, 3);
	rig_end(&rig);
}
END_TEST

/* Each port but the last shows one address: the bucket is full. */
static void begin_full(void)
{
	begin(&tiny, WAYS + 1);
	for (unsigned i = 0; i < WAYS; i++)
		show(i, 1 + i);
}

/* A static address takes a place that is empty, wherever in the bucket it is. */
START_TEST(a_static_address_pushes_out_nobody)
{
	uint8_t mac[VDEV_NET_MAC];
	unsigned kept = (unsigned)_i;

	begin_full();
	for (unsigned i = 0; i < WAYS; i++)
		if (i != kept)
			ck_assert_int_eq(vdev_switch_flush(rig.sw, rig.port[i]), 0);
	for (unsigned i = 1; i < WAYS; i++)
		ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[WAYS], test_mac(mac, 100 + i), 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 1 + kept, 0), kept);
	/* There is no empty one any more. */
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[WAYS], test_mac(mac, 100), 0), 0);
	ck_assert_uint_eq(rig_where(&rig, 1 + kept, 0), ~0u);
	for (unsigned i = 0; i < WAYS; i++)
		ck_assert_uint_eq(rig_where(&rig, 100 + i, 0), WAYS);
	rig_end(&rig);
}
END_TEST

/* And if there is none, that of the address that was seen least lately. */
START_TEST(a_static_address_pushes_out_the_oldest)
{
	uint8_t mac[VDEV_NET_MAC];
	unsigned oldest = (unsigned)_i;

	begin_full();
	for (unsigned i = 0; i < WAYS; i++)
		if (i != oldest)
			show(i, 1 + i);
	ck_assert_int_eq(vdev_switch_port_add_mac(rig.port[WAYS], test_mac(mac, 100), 0), 0);
	for (unsigned i = 0; i < WAYS; i++)
		ck_assert_uint_eq(rig_where(&rig, 1 + i, 0), i != oldest ? i : ~0u);
	rig_end(&rig);
}
END_TEST

/* --- what is too old -------------------------------------------------------------- */

/* Clocks of two processors differ a little: what was seen in a moment that is still to come is not old. */
START_TEST(seen_by_a_clock_that_is_ahead)
{
	begin(NULL, 3);
	show(0, 100);
	rig.now -= 2 * (uint64_t)TICK;
	ck_assert_uint_eq(rig_where(&rig, 100, 0), 0);
	rig_clear(&rig);
	ck_assert_uint_eq(rig_send(&rig, 1, 100, 1, -1), 1);
	ck_assert_uint_eq(rig_send(&rig, 1, 100, 1, -1), 1);
	ck_assert_uint_eq(rig.sink[0]->n, 2);
	ck_assert_uint_eq(rig.sink[2]->n, 0);
	rig_end(&rig);
}
END_TEST

/* What a channel remembers gets too old as well, also when nobody has come to sweep it away. */
START_TEST(remembered_for_too_long)
{
	const struct vdev_switch_config cfg = {.size = sizeof(cfg), .ageing_ms = 10000};

	begin(&cfg, 3);
	show(0, 100);
	rig_send(&rig, 1, 100, 1, -1);
	rig_clear(&rig);
	rig.now += UINT64_C(20000000000);
	rig.sw->table.lock = 1; /* somebody writes just now */
	ck_assert_uint_eq(rig_send(&rig, 1, 100, 1, -1), 1);
	rig.sw->table.lock = 0;
	ck_assert_uint_eq(rig.sink[0]->n, 1);
	ck_assert_uint_eq(rig.sink[2]->n, 1);
	ck_assert_uint_eq(rig_counters(&rig, 1).in_flooded, 1);
	rig_end(&rig);
}
END_TEST

/* --- who sends from where ------------------------------------------------------------ */

/* Who has only addresses of their own can't borrow one that was learned elsewhere. */
START_TEST(learned_elsewhere)
{
	const struct vdev_switch_port_config strict = {.flags = VDEV_SWITCH_ONLY_STATIC,
	                                               .mac = {2, 0, 0, 0, 0, 1}};

	begin(NULL, 2);
	rig_port(&rig, &strict);
	show(0, 9);
	rig_clear(&rig);
	show(2, 9);
	show(2, 9);
	ck_assert_uint_eq(rig.sink[0]->n + rig.sink[1]->n, 0);
	ck_assert_uint_eq(rig_counters(&rig, 2).in_spoofed, 2);
	ck_assert_uint_eq(rig_where(&rig, 9, 0), 0);
	show(2, 1);
	ck_assert_uint_eq(rig.sink[0]->n + rig.sink[1]->n, 2);
	rig_end(&rig);
}
END_TEST

/* --- two at once ------------------------------------------------------------------------ */

/* Nobody waits for who writes: the frame goes, and the next one is learned from. */
START_TEST(while_another_one_writes)
{
	begin(NULL, 2);
	rig.sw->table.lock = 1;
	show(0, 1);
	ck_assert_uint_eq(rig.sw->table.lock, 1);
	ck_assert_uint_eq(rig.sink[1]->n, 1);
	ck_assert_uint_eq(rig_counters(&rig, 0).not_learned, 1);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), ~0u);
	rig.sw->table.lock = 0;
	show(0, 1);
	ck_assert_uint_eq(rig_where(&rig, 1, 0), 0);
	rig_end(&rig);
}
END_TEST

struct learner {
	pthread_t thread;
	struct table *table;
	unsigned port;
	unsigned *ready;
};

/* Until the two have met often enough, if the machine lets them. */
static void *learn_all_the_time(void *arg)
{
	struct learner *l = arg;
	unsigned long rounds = test_rounds(3000000), met = 0;
	int was_busy = 0;
	struct found f;

	(void)__atomic_sub_fetch(l->ready, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(l->ready, __ATOMIC_RELAXED) != 0)
		sched_yield();
	for (unsigned long i = 0; i < rounds && met < 5000; i++) {
		uint64_t key = (1 + (i + l->port) % 7) << 16;
		int busy = table_learn(l->table, key, l->port, 0, (uint32_t)i, &f) == LEARN_BUSY;

		met += busy && !was_busy;
		was_busy = busy;
	}
	return NULL;
}

/* They push out and take over each other's: how many each port has is right at the end, for only one of them writes at a time. */
START_TEST(two_learn_at_once)
{
	unsigned ready = 2, found[2] = {0, 0};
	struct learner l[2];
	struct table *t;

	begin(&tiny, 2);
	t = &rig.sw->table;
	for (unsigned i = 0; i < 2; i++) {
		l[i] = (struct learner){.table = t, .port = i, .ready = &ready};
		ck_assert_int_eq(pthread_create(&l[i].thread, NULL, learn_all_the_time, &l[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(l[i].thread, NULL), 0);
	for (unsigned i = 0; i < WAYS; i++)
		if ((t->entries[i].value & VALUE_LIVE) != 0)
			found[value_port(t->entries[i].value)]++;
	ck_assert_uint_eq(found[0] + found[1], WAYS);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_eq(vdev_switch_learned(rig.sw, rig.port[i]), found[i]);
	rig_end(&rig);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch_table");
	TCase *tc = tcase_create("net_switch_table");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_full_port_gives_its_oldest, 0, 2);
	tcase_add_loop_test(tc, a_static_address_pushes_out_nobody, 0, WAYS);
	tcase_add_loop_test(tc, a_static_address_pushes_out_the_oldest, 0, WAYS);
	tcase_add_test(tc, seen_by_a_clock_that_is_ahead);
	tcase_add_test(tc, remembered_for_too_long);
	tcase_add_test(tc, learned_elsewhere);
	tcase_add_test(tc, while_another_one_writes);
	tcase_add_test(tc, two_learn_at_once);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
