/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive queues between threads: several that deliver, the queue's owner on a loop, the driver, and control, which stops,
 * disables, quiesces and moves memory meanwhile. Every frame is received once, in its sender's order, or counted as
 * lost. Meant for ThreadSanitizer too. _i & 1: packed; _i & 2: merged buffers; _i & 4: IN_ORDER.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vdev/loop.h>

#include "check_main.h"
#include "libvdev/os/os.h"
#include "net_fixture.h"
#include "rng.h"

enum { SENDERS = 3, FRAMES = 1000, BURST = 8, SLOTS = 64, SLOT = 256, HDR = 12, LONGEST = 220 };
enum { AT_SENDER = 14, AT_SEQ = 18, AT_DATA = 22 };

#define PATIENCE 60000000000u

struct sender {
	pthread_t thread;
	struct rig *rig;
	uint32_t number;
	uint64_t busy, sent;
};

struct rig {
	struct net_fixture f;
	struct vdev_loop *loop;
	struct vdev_port *ports[2];
	int kicks[2];
	int wake; /* of a netif that is polled: always readable while there are frames */
	struct virtq_region region;
	struct virtq_mem maps[2];
	struct sender senders[SENDERS];
	pthread_t driver;
	uint32_t bytes; /* of a buffer */
	int stop;       /* the driver ends */
	int enough;     /* senders may end */
	int ended;      /* and have */
	uint64_t received;
	uint32_t last[SENDERS]; /* number of the last frame of each, from 1 on */
	uint8_t *slots;
	uint64_t gpa;
	/* The polled netif's. */
	uint32_t made;
	uint8_t frames[VDEV_NET_BURST][LONGEST];
	struct virtq_iov iov[VDEV_NET_BURST];
};

static struct rig rig;

#define MUST(cond)                                                                                 \
	do {                                                                                           \
		if (!(cond))                                                                               \
			ck_abort_msg(#cond);                                                                   \
	} while (0)

static void deadline(uint64_t end)
{
	MUST(vdev_os_now() < end);
	sched_yield();
}

static uint32_t frame_len(uint32_t seq)
{
	return 60 + seq * 13 % (LONGEST - 60);
}

static struct vdev_frame make(uint8_t *frame, struct virtq_iov *iov, uint32_t sender, uint32_t seq)
{
	uint32_t len = frame_len(seq);

	memset(frame, 2, AT_SENDER);
	memcpy(frame + AT_SENDER, &sender, sizeof(sender));
	memcpy(frame + AT_SEQ, &seq, sizeof(seq));
	for (uint32_t i = AT_DATA; i < len; i++)
		frame[i] = (uint8_t)(seq + i);
	return net_frame(iov, frame, len);
}

/* --- those that deliver --------------------------------------------------------------------------- */

static void *send_all(void *arg)
{
	static __thread uint8_t bytes[BURST][LONGEST];
	struct sender *s = arg;
	const struct vdev_net_sink *sink = s->rig->f.netif.sink;
	uint64_t end = vdev_os_now() + PATIENCE;
	struct vdev_frame frames[BURST];
	struct virtq_iov iov[BURST];
	uint32_t seq = 0, n = 0, done;

	while (seq < FRAMES || !__atomic_load_n(&s->rig->enough, __ATOMIC_RELAXED)) {
		n = 1 + seq % BURST;
		for (uint32_t i = 0; i < n; i++)
			frames[i] = make(bytes[i], &iov[i], s->number, seq + i + 1);
		for (uint32_t at = 0; at < n; at += done) {
			done = sink->deliver(sink->ctx, &frames[at], n - at, 0);
			MUST(done <= n - at);
			if (done == 0) {
				s->busy++;
				deadline(end);
			}
		}
		seq += n;
		deadline(end);
	}
	s->sent = seq;
	__atomic_fetch_add(&s->rig->ended, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* A netif that is asked: sender 0, which has no more than so many. */
static int receive(struct vdev_netif_channel *c, struct vdev_frame *frames, uint32_t max)
{
	uint32_t n = 0;

	(void)c;
	for (; n < max && rig.made < SENDERS * FRAMES; n++)
		frames[n] = make(rig.frames[n], &rig.iov[n], 0, ++rig.made);
	return (int)n;
}

static int receive_fd(struct vdev_netif_channel *c)
{
	(void)c;
	return rig.wake;
}

static int receive_arm(struct vdev_netif_channel *c)
{
	uint64_t n;

	(void)c;
	if (rig.made < SENDERS * FRAMES)
		return 1;
	/* there will be none: nothing to wake up for */
	return read(rig.wake, &n, sizeof(n)) < 0 ? 0 : 0;
}

/* --- the driver ----------------------------------------------------------------------------------- */

static struct virtq_drv *drv(void)
{
	return vdev_loopback_drv(rig.f.l, 0);
}

static void add(uint8_t *slot)
{
	struct virtq_seg seg = {rig.gpa + (uint64_t)(slot - rig.slots), rig.bytes};

	memset(slot, 0xee, rig.bytes);
	MUST(virtq_drv_add(drv(), &seg, 0, 1, slot) == 0);
}

static void publish(void)
{
	virtq_drv_publish(drv());
	if (virtq_drv_should_kick(drv()))
		vdev_os_signal(rig.kicks[0]);
}

static void check_frame(const uint8_t *frame, uint32_t len)
{
	uint32_t sender, seq;

	memcpy(&sender, frame + AT_SENDER, sizeof(sender));
	memcpy(&seq, frame + AT_SEQ, sizeof(seq));
	MUST(sender < SENDERS);
	MUST(seq > rig.last[sender]);
	MUST(len == frame_len(seq));
	for (uint32_t i = AT_DATA; i < len; i++)
		MUST(frame[i] == (uint8_t)(seq + i));
	rig.last[sender] = seq;
	__atomic_fetch_add(&rig.received, 1, __ATOMIC_RELAXED);
}

/* The next used buffer: all of a frame's come at once. */
static uint8_t *next_used(uint32_t *written, int must)
{
	struct virtq_done done;
	int n = virtq_drv_take(drv(), &done, 1);

	MUST(n >= 0);
	MUST(n == 1 || !must);
	if (n == 0)
		return NULL;
	*written = done.written;
	return done.cookie;
}

static int take_frame(void)
{
	uint8_t frame[LONGEST + HDR], *slot;
	uint32_t written, at = 0, n;

	slot = next_used(&written, 0);
	if (slot == NULL)
		return 0;
	n = slot[10] | (uint32_t)slot[11] << 8;
	MUST(n > 0 && (rig.bytes < SLOT || n == 1));
	for (;;) {
		MUST(written <= rig.bytes && at + written <= sizeof(frame));
		memcpy(frame + at, slot, written);
		at += written;
		add(slot);
		if (--n == 0)
			break;
		MUST(written == rig.bytes);
		slot = next_used(&written, 1);
	}
	check_frame(frame + HDR, at - HDR);
	return 1;
}

static void *drive(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < SLOTS; i++)
		add(rig.slots + (size_t)i * SLOT);
	publish();
	while (!__atomic_load_n(&rig.stop, __ATOMIC_ACQUIRE)) {
		unsigned n = 0;

		while (n < 16 && take_frame())
			n++;
		if (n != 0)
			publish();
		else
			sched_yield();
	}
	return NULL;
}

/* --- control -------------------------------------------------------------------------------------- */

static void quiesce_and_resume(uint64_t end)
{
	struct vdev_function *fn = vdev_function(rig.f.v);

	while (vdev_function_quiesce(fn) != 0)
		deadline(end);
	sched_yield();
	while (vdev_function_resume(fn) != 0)
		deadline(end);
}

static void stop_and_start(uint64_t end)
{
	struct vdev_queue_setup setup = {0};
	struct virtq_state at;
	int rc;

	/* Asked for again and again: it may not end the queue's next life. */
	while ((rc = vdev_queue_stop(rig.f.v, 0)) != 0) {
		MUST(rc == VIRTQ_EAGAIN);
		deadline(end);
	}
	virtq_drv_state(drv(), &setup.state);
	MUST(vdev_queue_state(rig.f.v, 0, &at) == 0);
	setup.state.avail = at.avail;
	setup.state.used = at.used;
	setup.state.flags = at.flags;
	setup.state.unsignalled = at.unsignalled;
	while ((rc = vdev_queue_start(rig.f.v, 0, &setup)) == VIRTQ_EBUSY)
		deadline(end); /* the stop's end is being reported */
	ck_assert_msg(rc == 0 || rc == VIRTQ_EAGAIN, "the start says %d", rc);
}

static void change_memory(unsigned which, uint64_t end)
{
	int rc;

	while ((rc = vdev_function_set_mem(vdev_function(rig.f.v), &rig.maps[which])) == VIRTQ_EBUSY)
		deadline(end);
	MUST(rc == 0 || rc == VIRTQ_EAGAIN);
}

static void disable_and_enable(void)
{
	MUST(vdev_queue_enable(rig.f.v, 0, 0) == 0);
	sched_yield();
	MUST(vdev_queue_enable(rig.f.v, 0, 1) == 0);
}

/* One thing. A stop loses what a polled netif had given; while a queue is disabled what that gives is thrown away. */
static void control(unsigned round, int stops, int disables, uint64_t end)
{
	switch (round % 5) {
	case 0:
		quiesce_and_resume(end);
		break;
	case 1:
		change_memory(round / 5 % 2, end);
		break;
	case 2:
		if (disables)
			disable_and_enable();
		break;
	case 3:
		if (stops)
			stop_and_start(end);
		break;
	default:
		usleep(200);
	}
}

static void start(int way, int polled)
{
	struct vdev_task task;
	uint64_t bytes;

	memset(&rig, 0, sizeof(rig));
	net_init(&rig.f, way & 1, polled);
	rig.bytes = way & 2 ? 64 : SLOT;
	if (way & 2)
		net_want(&rig.f, VDEV_NET_F_MRG_RXBUF);
	if (way & 4)
		net_want(&rig.f, VIRTQ_F_IN_ORDER);
	rig.wake = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (polled) {
		rig.f.netif.ops.receive = receive;
		rig.f.netif.ops.fd = receive_fd;
		rig.f.netif.ops.arm = receive_arm;
	}
	rig.f.cfg.queue_size = SLOTS;
	rig.f.env = *vdev_env_hosted();
	MUST(vdev_net_new(&rig.f.v, &rig.f.env, &rig.f.netif.netif, &rig.f.net_cfg) == 0);
	MUST(vdev_loopback_new(&rig.f.l, &rig.f.env, rig.f.v, &rig.f.cfg) == 0);
	MUST(vdev_loop_new(&rig.loop, &rig.f.env, 1, 0) == 0);
	for (unsigned q = 0; q < 2; q++) {
		rig.kicks[q] = eventfd(0, EFD_CLOEXEC);
		MUST(vdev_port_new(&rig.ports[q], &rig.f.env, rig.f.v, q) == 0);
		MUST(vdev_port_set_kick(rig.ports[q], rig.kicks[q]) == 0);
		vdev_port_task(rig.ports[q], &task);
		MUST(vdev_loop_add(rig.loop, 0, &task) == 0);
	}
	rig.region = (struct virtq_region){.gpa = NET_GPA, .len = NET_BYTES, .host = rig.f.memory};
	for (unsigned i = 0; i < 2; i++)
		MUST(virtq_mem_init(&rig.maps[i], &rig.region, 1) == 0);
	rig.slots = vdev_loopback_memory(rig.f.l, &rig.gpa, &bytes);
	MUST(bytes >= SLOTS * SLOT);
	MUST(vdev_loopback_start(rig.f.l) == 0);
	MUST(pthread_create(&rig.driver, NULL, drive, NULL) == 0);
}

static void finish(void)
{
	struct vdev_task task;

	__atomic_store_n(&rig.stop, 1, __ATOMIC_RELEASE);
	MUST(pthread_join(rig.driver, NULL) == 0);
	MUST(vdev_loopback_reset(rig.f.l) == 0);
	for (unsigned q = 0; q < 2; q++) {
		vdev_port_task(rig.ports[q], &task);
		MUST(vdev_loop_remove(rig.loop, task.ctx) == 0);
		vdev_port_free(rig.ports[q]);
		close(rig.kicks[q]);
	}
	vdev_loop_free(rig.loop);
	close(rig.wake);
	net_fini(&rig.f);
	for (unsigned i = 0; i < 2; i++) {
		MUST(rig.maps[i].refs == 1);
		virtq_mem_unref(&rig.maps[i]);
	}
}

/* All that the device says it gave has come. */
static struct vdev_net_counters wait_for_received(uint64_t end)
{
	struct vdev_net_counters n;

	for (;;) {
		vdev_net_counters(rig.f.v, &n);
		if (__atomic_load_n(&rig.received, __ATOMIC_RELAXED) >= n.received)
			return n;
		deadline(end);
	}
}

START_TEST(delivered_by_many)
{
	uint64_t end = vdev_os_now() + PATIENCE;
	struct vdev_net_counters n;
	unsigned round = 0;
	uint64_t sent = 0;

	start(_i, 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		rig.senders[i] = (struct sender){.rig = &rig, .number = i};
		MUST(pthread_create(&rig.senders[i].thread, NULL, send_all, &rig.senders[i]) == 0);
	}
	while (__atomic_load_n(&rig.ended, __ATOMIC_ACQUIRE) < SENDERS) {
		control(round++, 1, 1, end);
		__atomic_store_n(&rig.enough,
		                 round >= 30 && __atomic_load_n(&rig.received, __ATOMIC_RELAXED) != 0,
		                 __ATOMIC_RELAXED);
	}
	for (uint32_t i = 0; i < SENDERS; i++) {
		MUST(pthread_join(rig.senders[i].thread, NULL) == 0);
		sent += rig.senders[i].sent;
	}
	n = wait_for_received(end);
	ck_assert_uint_eq(rig.received, n.received);
	ck_assert_uint_eq(n.received + n.no_buffers + n.not_ready, sent);
	ck_assert_uint_eq(n.too_short + n.oversized + n.unfit + n.filtered, 0);
	ck_assert_uint_gt(n.received, 0);
	finish();
}
END_TEST

/* Frames that are asked for wait until there are buffers: none is lost, whatever control does. */
START_TEST(polled_by_the_owner)
{
	uint64_t end = vdev_os_now() + PATIENCE;
	struct vdev_net_counters n;
	unsigned round = 0;

	start(_i, 1);
	while (__atomic_load_n(&rig.received, __ATOMIC_RELAXED) < SENDERS * FRAMES) {
		control(round++, 0, 0, end);
		deadline(end);
	}
	n = wait_for_received(end);
	ck_assert_uint_eq(n.received, SENDERS * FRAMES);
	ck_assert_uint_eq(n.no_buffers + n.not_ready + n.too_short, 0);
	finish();
}
END_TEST

/* The same where queues stop: what the netif had given is lost, and nothing comes twice or out of order. */
START_TEST(polled_and_stopped)
{
	uint64_t end = vdev_os_now() + PATIENCE;
	unsigned round = 0, stops;

	start(_i, 1);
	for (; round < 30 || __atomic_load_n(&rig.received, __ATOMIC_RELAXED) == 0; round++) {
		control(round, 1, 0, end);
		deadline(end);
	}
	stops = round / 5 + 1;
	/* what is left comes, and of the last burst only what was lost may be missing */
	while (__atomic_load_n(&rig.received, __ATOMIC_RELAXED) + (uint64_t)stops * VDEV_NET_BURST <
	       SENDERS * FRAMES)
		deadline(end);
	finish();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_net");
	TCase *tc = tcase_create("threaded_net");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, delivered_by_many, 0, 8);
	tcase_add_loop_test(tc, polled_by_the_owner, 0, 4);
	tcase_add_loop_test(tc, polled_and_stopped, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
