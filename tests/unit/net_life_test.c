/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net: what outlives what. Queues that were something else to an earlier driver, that are stopped while commands
 * go through them, that starve while they are turned off, that are freed while others deliver; events that cross.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "libvdev/core/virtio/core.h"
#include "libvdev/devices/net/net.h"
#include "net_ctrl.h"

enum { RX = 0, COAL = 6, PROMISC = 0, FRAME = 60, US = 1000 };

static struct vdev_queue *rx_queue(struct net_fixture *f, unsigned pair)
{
	struct net_device *n = vdev_model_of(f->v, &net_model_ops);

	ck_assert_ptr_nonnull(n);
	return n->rx[pair];
}

static void wants_no(struct net_fixture *f, unsigned bit)
{
	f->cfg.wanted.word[bit / 64] &= ~((uint64_t)1 << bit % 64);
}

/* One command, in queue index, by nothing but a notification: its ack, or -1 where it was not answered. */
static int command(struct net_fixture *f, unsigned index, const void *cmd, uint16_t len)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, index);
	struct virtq_seg seg[2] = {{.len = len}, {.len = 1}};
	uint8_t *out = net_alloc(f, len, &seg[0].addr), *in = net_alloc(f, 1, &seg[1].addr);
	struct virtq_done done;

	memcpy(out, cmd, len);
	*in = 0xa5;
	ck_assert_int_eq(virtq_drv_add(drv, seg, 1, 1, in), 0);
	vdev_loopback_kick(f->l, index);
	return virtq_drv_take(drv, &done, 1) == 1 ? *in : -1;
}

static int promisc(struct net_fixture *f, unsigned index, uint8_t on)
{
	const uint8_t cmd[3] = {RX, PROMISC, on};

	return command(f, index, cmd, sizeof(cmd));
}

static int coalesce(struct net_fixture *f, uint32_t packets, uint32_t usecs)
{
	uint8_t cmd[10] = {COAL, 1};

	for (int i = 0; i < 4; i++) {
		cmd[2 + i] = (uint8_t)(packets >> 8 * i);
		cmd[6 + i] = (uint8_t)(usecs >> 8 * i);
	}
	return command(f, 2 * f->net_cfg.pairs, cmd, sizeof(cmd));
}

static struct vdev_frame to_us(struct virtq_iov *iov)
{
	static uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 1};

	return net_frame(iov, bytes, sizeof(bytes));
}

static void restart(struct net_fixture *f, unsigned q)
{
	struct vdev_queue_setup setup;

	memset(&setup, 0, sizeof(setup));
	ck_assert_int_eq(vdev_queue_stop(f->v, q), 0);
	ck_assert_int_eq(vdev_queue_state(f->v, q, &setup.state), 0);
	ck_assert_int_eq(vdev_queue_start(f->v, q, &setup), 0);
}

/* What was a receive queue to a driver with several pairs is the control queue to the next one, which has but one. */
START_TEST(a_queue_that_was_another)
{
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	net_start(&f);
	ck_assert_int_eq(promisc(&f, 4, 0), CTRL_OK);
	vdev_loopback_free(f.l);
	wants_no(&f, VDEV_NET_F_MQ);
	wants_no(&f, VDEV_NET_F_RSS);
	wants_no(&f, VDEV_NET_F_RSS_CONTEXT);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	ck_assert_int_eq(promisc(&f, 2, 0), CTRL_OK);
	ck_assert_int_eq(promisc(&f, 2, 1), CTRL_OK);
	net_fini(&f);
}
END_TEST

/* What is set of a queue that is stopped waits for its start, and nothing else for that. */
START_TEST(commands_beside_a_stopped_queue)
{
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	net_start(&f);
	ck_assert_int_eq(vdev_queue_stop(f.v, 2), 0);
	ck_assert_int_eq(coalesce(&f, 4, 100), CTRL_OK);
	ck_assert_int_eq(vdev_queue_enter(rx_queue(&f, 1)), VIRTQ_ECANCELED);
	ck_assert_int_eq(promisc(&f, 4, 0), CTRL_OK);
	net_fini(&f);
}
END_TEST

/* A queue that is without buffers while it is disabled waits for frames again when it is enabled. */
START_TEST(starving_and_disabled)
{
	struct virtq_iov iov;
	struct net_fixture f;
	uint32_t armed;

	net_init(&f, _i, 1);
	net_start(&f);
	f.netif.frames[0] = to_us(&iov);
	f.netif.nframes = 1;
	net_run(&f);
	ck_assert_int_eq(vdev_queue_fd(f.v, 0), -1);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 0), 0);
	net_run(&f);
	ck_assert_int_eq(vdev_queue_enable(f.v, 0, 1), 0);
	armed = f.netif.armed;
	net_run(&f);
	ck_assert_uint_gt(f.netif.armed, armed);
	ck_assert_int_ne(vdev_queue_fd(f.v, 0), -1);
	net_fini(&f);
}
END_TEST

/* Frames that come by way of another queue use up what one that starves has waited for: it has to ask for more again. */
START_TEST(starving_beside_another)
{
	static uint8_t large[1000];
	struct virtq_iov iov[2];
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	fake_netif_init(&f.netif, 1);
	net_start(&f);
	(void)net_buffer(&f, 0, 256, 1);
	f.netif.frames[0] = net_frame(&iov[0], large, sizeof(large));
	f.netif.nframes = 1;
	ck_assert_int_eq(vdev_queue_run(f.v, 0, VDEV_RUN_ARM), 0);
	ck_assert_uint_eq(rx_queue(&f, 0)->posted, 0);
	f.netif.frames[1] = to_us(&iov[1]);
	f.netif.nframes = 1;
	ck_assert_int_eq(vdev_queue_run(f.v, 2, VDEV_RUN_ARM), 1);
	ck_assert_ptr_nonnull(net_received(&f, 0, NULL));
	ck_assert_uint_eq(rx_queue(&f, 0)->posted, POST_WAKE);
	net_fini(&f);
}
END_TEST

static struct net_fixture *commanded;

static int (*open_as_ever)(struct vdev_netif *, unsigned, enum vdev_net_way,
                           struct vdev_netif_channel **);

static int open_and_command(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                            struct vdev_netif_channel **out)
{
	if (commanded != NULL)
		ck_assert_int_eq(promisc(commanded, 4, 0), CTRL_OK);
	return open_as_ever(n, pair, way, out);
}

/* Settings that change while a queue starts for the first time are its own too. */
START_TEST(settings_change_at_its_start)
{
	struct net_device *n;
	struct net_rxq *r;
	struct net_fixture f;

	ctrl_init(&f, _i, 2);
	fake_netif_init(&f.netif, 1);
	open_as_ever = f.netif.ops.open;
	f.netif.ops.open = open_and_command;
	net_start(&f);
	n = vdev_model_of(f.v, &net_model_ops);
	n->rx[1] = NULL; /* as if it had never been */
	commanded = &f;
	restart(&f, 2);
	commanded = NULL;
	r = vdev_queue_priv(rx_queue(&f, 1));
	ck_assert_ptr_eq(r->s, net_settings_of(n));
	ck_assert_uint_eq(r->filters, 1);
	net_fini(&f);
}
END_TEST

/*
 * What was given and could not be shown any more leaves nobody to say where a queue has come to; nor does it help that
 * its memory goes before it is stopped.
 */
START_TEST(a_position_that_nobody_knows)
{
	struct virtq_seg nowhere = {.addr = 0x1000, .len = 256};
	struct virtq_iov iov;
	struct vdev_frame frames[2] = {to_us(&iov), to_us(&iov)};
	struct virtq_state state;
	struct net_fixture f;

	net_init(&f, _i, 0);
	net_start(&f);
	(void)net_buffer(&f, 0, 256, 1);
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(f.l, 0), &nowhere, 0, 1, &f), 0);
	virtq_drv_publish(vdev_loopback_drv(f.l, 0));
	ck_assert_uint_eq(net_push(&f, frames, 2), 2);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	for (unsigned q = 1; q < 3; q++)
		ck_assert_int_eq(vdev_queue_stop(f.v, q), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(f.v), NULL), 0);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &state), VIRTQ_EINVAL);
	net_fini(&f);
}
END_TEST

/* A shorter time is for a notification too that is held back already. */
START_TEST(held_back_no_longer_than_now_said)
{
	struct virtq_iov iov;
	struct vdev_frame fr = to_us(&iov);
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	for (int i = 0; i < 4; i++)
		(void)net_buffer(&f, 0, 256, 1);
	f.now = 5000 * US;
	ck_assert_int_eq(coalesce(&f, 100, UINT32_MAX), CTRL_OK);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	f.now += 10 * US;
	ck_assert_int_eq(coalesce(&f, 100, 50), CTRL_OK);
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 0);
	ck_assert_uint_eq(vdev_queue_deadline(f.v, 0), f.now + 40 * US);
	f.now += 40 * US;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 1);
	/* The time that it has waited for is enough. */
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	f.now += 30 * US;
	ck_assert_int_eq(coalesce(&f, 100, 20), CTRL_OK);
	ck_assert_uint_eq(f.interrupts[0], 2);
	/* And a longer one is kept to. */
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_int_eq(coalesce(&f, 100, 1000), CTRL_OK);
	f.now += 20 * US;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 2);
	f.now += 980 * US;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 3);
	net_fini(&f);
}
END_TEST

/* A queue that comes back holds notifications back at once. */
START_TEST(coalesces_from_its_start)
{
	struct virtq_iov iov;
	struct vdev_frame fr = to_us(&iov);
	struct net_fixture f;

	ctrl_init(&f, _i, 1);
	net_start(&f);
	ck_assert_int_eq(coalesce(&f, 100, 50), CTRL_OK);
	restart(&f, 0);
	/* Once more, for the settings of a queue are kept while it is stopped: these are others. */
	ck_assert_int_eq(vdev_queue_coalesce(rx_queue(&f, 0), 0, 0), 0);
	restart(&f, 0);
	(void)net_buffer(&f, 0, 256, 1);
	ck_assert_uint_eq(net_push(&f, &fr, 1), 1);
	ck_assert_uint_eq(f.interrupts[0], 0);
	f.now += 50 * US;
	net_run(&f);
	ck_assert_uint_eq(f.interrupts[0], 1);
	net_fini(&f);
}
END_TEST

/* --- links ---------------------------------------------------------------------------------------- */

static struct fake_netif *crossing;

static uint16_t status_of(struct net_fixture *f)
{
	uint8_t le[2];

	vdev_config_read(f->v, NET_AT_STATUS, le, sizeof(le));
	return net_get_le16(le);
}

/* The link comes up again while it is told that it is down. */
static void info_and_event(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct fake_netif *f = (struct fake_netif *)n;

	*out = f->info;
	if (crossing == f) {
		crossing = NULL;
		f->info.link = 1;
		f->sink->link(f->sink->ctx);
	}
}

START_TEST(links_that_go_up_and_down_at_once)
{
	struct net_fixture f;

	ctrl_init(&f, 0, 1);
	f.netif.ops.info = info_and_event;
	net_start(&f);
	ck_assert_uint_eq(status_of(&f), NET_S_LINK_UP);
	f.netif.info.link = 0;
	crossing = &f.netif;
	f.netif.sink->link(f.netif.sink->ctx);
	ck_assert_uint_eq(status_of(&f), NET_S_LINK_UP);
	net_fini(&f);
}
END_TEST

static void set_sink_and_change(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct fake_netif *f = (struct fake_netif *)n;

	f->info.link = 0;
	f->sink = sink;
}

/* It went down when there was nobody to tell yet. */
START_TEST(a_link_that_went_down_before)
{
	struct net_fixture f;

	ctrl_init(&f, 0, 1);
	f.netif.ops.set_sink = set_sink_and_change;
	net_start(&f);
	ck_assert_uint_eq(status_of(&f), 0);
	net_fini(&f);
}
END_TEST

static void speed_is(struct net_fixture *f, uint32_t speed, uint8_t duplex)
{
	uint8_t le[5];

	vdev_config_read(f->v, NET_AT_SPEED, le, sizeof(le));
	ck_assert_uint_eq(net_get_le32(le), speed);
	ck_assert_uint_eq(le[4], duplex);
}

/* A link that comes up again may have another speed. */
START_TEST(speed)
{
	struct net_fixture f;

	ctrl_init(&f, 0, 1);
	net_start(&f);
	speed_is(&f, UINT32_MAX, 0xff);
	f.netif.info.link = 0;
	f.netif.sink->link(f.netif.sink->ctx);
	f.netif.info.link = 1;
	f.netif.info.speed = 25000;
	f.netif.info.duplex = 1;
	f.netif.sink->link(f.netif.sink->ctx);
	ck_assert_uint_eq(status_of(&f), NET_S_LINK_UP);
	speed_is(&f, 25000, 1);
	f.config_changes = 0;
	f.netif.sink->link(f.netif.sink->ctx);
	ck_assert_uint_eq(f.config_changes, 0);
	net_fini(&f);
}
END_TEST

/* --- the owner is told, and the device goes -------------------------------------------------------- */

struct owned {
	struct net_fixture f;
	unsigned wakes, entered;
};

/* Whoever leaves the queue and wakes its owner is still in it: else the owner might be gone. */
static void woken(void *ctx)
{
	struct owned *o = ctx;

	o->wakes++;
	o->entered += vdev_queue_enter(rx_queue(&o->f, 0)) == 1;
}

START_TEST(the_owner_is_told_from_inside)
{
	struct vdev_owner owner = {.wake = woken};
	struct virtq_iov iov;
	struct vdev_frame fr = to_us(&iov);
	static struct owned o;

	memset(&o, 0, sizeof(o));
	ctrl_init(&o.f, _i, 1);
	net_start(&o.f);
	ck_assert_int_eq(coalesce(&o.f, 100, 50), CTRL_OK);
	(void)net_buffer(&o.f, 0, 256, 1);
	/* Its owner comes late, which a test with one thread may do. */
	owner.ctx = &o;
	rx_queue(&o.f, 0)->owner = owner;
	rx_queue(&o.f, 0)->owned = 1;
	ck_assert_uint_eq(net_push(&o.f, &fr, 1), 1);
	ck_assert_uint_eq(o.wakes, 1);
	ck_assert_uint_eq(o.entered, 0);
	rx_queue(&o.f, 0)->owned = 0;
	net_fini(&o.f);
}
END_TEST

struct pusher {
	pthread_t thread;
	const struct vdev_net_sink *sink;
	uint32_t stop, pushed;
};

static void *push(void *arg)
{
	struct pusher *p = arg;
	struct virtq_iov iov;
	struct vdev_frame fr = to_us(&iov);

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		(void)p->sink->deliver(p->sink->ctx, &fr, 1, 0);
		__atomic_fetch_add(&p->pushed, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static struct pusher pusher;

/* When this has returned nobody delivers any more. */
static void set_sink_and_wait(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	((struct fake_netif *)n)->sink = sink;
	if (sink != NULL)
		return;
	__atomic_store_n(&pusher.stop, 1, __ATOMIC_RELEASE);
	pthread_join(pusher.thread, NULL);
}

/* What is given back can't be used by mistake; and what is not, the driver's side of a device that is gone, is found again. */
static void *held[64];

static void *hold(void *ctx, size_t bytes)
{
	size_t i = 0;

	(void)ctx;
	while (held[i] != NULL)
		ck_assert_uint_lt(++i, sizeof(held) / sizeof(held[0]));
	return held[i] = malloc(bytes);
}

static void give_back(void *p)
{
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		if (held[i] == p)
			held[i] = NULL;
	free(p);
}

static void spoil(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	memset(p, 0xff, bytes);
	give_back(p);
}

/* A device that is quiesced (its state has been saved) is freed while a netif goes on delivering to it. */
START_TEST(freed_under_traffic)
{
	for (unsigned long round = 0; round < test_rounds(20); round++) {
		struct vdev_attachment none = {.size = sizeof(none)};
		struct net_fixture f;
		int rc;

		memset(&pusher, 0, sizeof(pusher));
		net_init(&f, _i, 0);
		f.env.alloc = hold;
		f.env.free = spoil;
		f.netif.ops.set_sink = set_sink_and_wait;
		net_start(&f);
		pusher.sink = f.netif.sink;
		ck_assert_int_eq(pthread_create(&pusher.thread, NULL, push, &pusher), 0);
		while (__atomic_load_n(&pusher.pushed, __ATOMIC_ACQUIRE) < 10)
			sched_yield();
		rc = vdev_function_quiesce(vdev_function(f.v));
		while (rc == VIRTQ_EAGAIN) {
			(void)!vdev_run(f.v, 0);
			rc = vdev_function_quiesce(vdev_function(f.v));
		}
		ck_assert_int_eq(rc, 0);
		ck_assert_int_eq(vdev_function_attach(vdev_function(f.v), &none), 0);
		while ((rc = vdev_free(f.v)) == VIRTQ_EBUSY)
			;
		ck_assert_int_eq(rc, 0);
		ck_assert_uint_eq(f.netif.opened, f.netif.closed);
		for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
			give_back(held[i]);
		fake_netif_clear(&f.netif);
		free(f.memory);
	}
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_life");
	TCase *tc = tcase_create("net_life");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_queue_that_was_another, 0, 2);
	tcase_add_loop_test(tc, commands_beside_a_stopped_queue, 0, 2);
	tcase_add_loop_test(tc, starving_and_disabled, 0, 2);
	tcase_add_loop_test(tc, starving_beside_another, 0, 2);
	tcase_add_loop_test(tc, settings_change_at_its_start, 0, 2);
	tcase_add_loop_test(tc, a_position_that_nobody_knows, 0, 2);
	tcase_add_loop_test(tc, held_back_no_longer_than_now_said, 0, 2);
	tcase_add_loop_test(tc, coalesces_from_its_start, 0, 2);
	tcase_add_test(tc, links_that_go_up_and_down_at_once);
	tcase_add_test(tc, a_link_that_went_down_before);
	tcase_add_test(tc, speed);
	tcase_add_loop_test(tc, the_owner_is_told_from_inside, 0, 2);
	tcase_add_loop_test(tc, freed_under_traffic, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
