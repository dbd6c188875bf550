/* SPDX-License-Identifier: BSD-3-Clause */
/* Two netifs back to back. */
#include "check_main.h"
#include "net_sink.h"

#include <stdlib.h>
#include <string.h>

#include <vdev/netif_pair.h>

static struct {
	long out;
	long left;
} heap;

static void *heap_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	if (heap.left == 0)
		return NULL;
	heap.left--;
	heap.out += (long)bytes;
	return memset(malloc(bytes), 0xa5, bytes);
}

static void heap_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	heap.out -= (long)bytes;
	free(p);
}

static const struct vdev_env env = {.size = sizeof(env), .alloc = heap_alloc, .free = heap_free};
static struct net_sink sinks[2];
static struct vdev_netif *end[2];
static struct vdev_netif_channel *channel[2];
static struct test_frame t;

static void setup(void)
{
	heap.left = 1000;
	ck_assert_int_eq(vdev_netif_pair_new(end, &env), 0);
	for (unsigned i = 0; i < 2; i++) {
		net_sink_init(&sinks[i]);
		ck_assert_int_eq(end[i]->ops->open(end[i], 3, VDEV_NET_SEND, &channel[i]), 0);
		end[i]->ops->set_sink(end[i], &sinks[i].sink);
	}
	test_frame_plain(&t, 1, 2, -1, 100);
}

static void end_of(unsigned i)
{
	end[i]->ops->close(channel[i]);
	end[i]->ops->set_sink(end[i], NULL);
	vdev_netif_free(end[i]);
}

static void teardown(void)
{
	test_frame_free(&t);
	ck_assert_int_eq(heap.out, 0);
}

START_TEST(each_gets_what_the_other_sends)
{
	struct vdev_frame burst[5] = {t.frame, t.frame, t.frame, t.frame, t.frame};
	struct vdev_netif_counters k;
	struct vdev_netif_info info;

	setup();
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned j = 0; j < 5; j++)
			burst[j] = t.frame;
		burst[2].offload =
			(struct vdev_net_offload){.flags = VDEV_NET_NEEDS_CSUM, .csum_start = 34};
		ck_assert_uint_eq(end[i]->ops->send(channel[i], burst, 5), 5);
		ck_assert_uint_eq(sinks[!i].n, 5);
		ck_assert_uint_eq(sinks[!i].calls, 1);
		ck_assert_uint_eq(sinks[!i].flow, 4);
		ck_assert_ptr_eq(sinks[!i].last_piece[0], t.bytes);
		ck_assert_int_eq(sinks[!i].frames[2].offload.csum_start, 34);
		for (unsigned j = 0; j < 5; j++)
			net_sink_check(&sinks[!i], j, &t, -1);
	}
	end[0]->ops->info(end[0], &info);
	ck_assert_uint_eq(info.link, 1);
	ck_assert_uint_eq(info.takes, VDEV_NET_TAKES_ALL);
	ck_assert_int_eq(vdev_netif_counters(end[0], &k), 0);
	ck_assert_uint_eq(k.sent, 5);
	ck_assert_uint_eq(k.sent_bytes, 500);
	ck_assert_uint_eq(k.received, 5);
	ck_assert_uint_eq(k.received_bytes, 500);
	end_of(0);
	end_of(1);
	teardown();
}
END_TEST

START_TEST(busy_or_not_there)
{
	struct vdev_frame burst[4];
	struct vdev_netif_counters k;

	setup();
	for (unsigned j = 0; j < 4; j++)
		burst[j] = t.frame;
	sinks[1].busy = 3;
	sinks[1].room = 2;
	ck_assert_uint_eq(end[0]->ops->send(channel[0], burst, 4), 2);
	sinks[1].room = SINK_KEPT;
	ck_assert_uint_eq(end[0]->ops->send(channel[0], burst + 2, 2), 2);
	ck_assert_uint_eq(sinks[1].n, 4);
	end[1]->ops->set_sink(end[1], NULL);
	ck_assert_uint_eq(end[0]->ops->send(channel[0], burst, 4), 4);
	ck_assert_uint_eq(sinks[1].n, 4);
	ck_assert_int_eq(vdev_netif_counters(end[0], &k), 0);
	ck_assert_uint_eq(k.sent, 4);
	ck_assert_uint_eq(k.not_taken, 2);
	ck_assert_uint_eq(k.send_dropped, 4);
	ck_assert_int_eq(vdev_netif_counters(end[1], &k), 0);
	ck_assert_uint_eq(k.receive_dropped, 4);
	end_of(0);
	end_of(1);
	teardown();
}
END_TEST

START_TEST(one_end_goes_first)
{
	struct vdev_netif_info info;
	unsigned first = (unsigned)_i;

	setup();
	end_of(first);
	ck_assert_uint_eq(sinks[!first].links, 1);
	end[!first]->ops->info(end[!first], &info);
	ck_assert_uint_eq(info.link, 0);
	ck_assert_uint_eq(end[!first]->ops->send(channel[!first], &t.frame, 1), 1);
	ck_assert_uint_eq(sinks[first].n, 0);
	end_of(!first);
	teardown();
}
END_TEST

START_TEST(misuse_and_no_memory)
{
	struct vdev_netif_channel *c, *receive;
	struct vdev_netif *no[2];

	setup();
	ck_assert_int_eq(vdev_netif_pair_new(NULL, &env), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_pair_new(no, NULL), VIRTQ_EINVAL);
	heap.left = 0;
	ck_assert_int_eq(vdev_netif_pair_new(no, &env), VIRTQ_ENOMEM);
	ck_assert_int_eq(end[0]->ops->open(end[0], 0, VDEV_NET_SEND, &c), VIRTQ_ENOMEM);
	/* Nothing is needed to receive, and nothing sent there. */
	ck_assert_int_eq(end[0]->ops->open(end[0], 0, VDEV_NET_RECEIVE, &receive), 0);
	ck_assert_uint_eq(end[0]->ops->send(receive, &t.frame, 1), 0);
	end[0]->ops->close(receive);
	end_of(0);
	end_of(1);
	teardown();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("netif_pair");
	TCase *tc = tcase_create("netif_pair");

	tcase_add_test(tc, each_gets_what_the_other_sends);
	tcase_add_test(tc, busy_or_not_there);
	tcase_add_loop_test(tc, one_end_goes_first, 0, 2);
	tcase_add_test(tc, misuse_and_no_memory);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
