/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole hosted stack on threads: virtio-blk on a file, each queue a port on a loop, the driver on the test's own
 * thread. Notifications come through eventfds only, so a lost wake-up is a test that ends at its deadline. Meant for
 * ThreadSanitizer too.
 */
#include "check_main.h"
#include "disk_rig.h"
#include "rng.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vdev/blk.h>
#include <vdev/loop.h>
#include <vdev/loopback.h>
#include <virtq/driver.h>

#include "libvdev/os/os.h"

enum { QUEUES = 2, SLOTS = 8, BLOCK = 4096, SLOT_BYTES = 8192, BYTES = 1 << 20, MEMORY = 1 << 20 };

struct slot {
	uint8_t *mem; /* header, data, status */
	uint64_t gpa;
	uint64_t block;
	int busy;
	int write;
	uint8_t fill;
};

struct stack {
	char path[32];
	int fd;
	struct vdev_engine *engines[QUEUES];
	struct vdev_disk *disk;
	struct vdev *v;
	void *memory;
	struct vdev_loopback *l;
	struct vdev_loop *loop;
	struct vdev_port *ports[QUEUES];
	int kicks[QUEUES];
	uint64_t sent[QUEUES]; /* notifications */
	struct slot slots[QUEUES][SLOTS];
	uint8_t model[BYTES / BLOCK]; /* what each block is filled with */
	struct rng rng;
};

static void make_disk(struct stack *s, int kind, const struct vdev_blk_limit *limit)
{
	struct vdev_disk_file_config file = {.size = sizeof(file), .path = s->path};
	struct vdev_blk_config blk = {.size = sizeof(blk), .nqueues = QUEUES};

	strcpy(s->path, "port-XXXXXX");
	s->fd = mkstemp(s->path);
	ck_assert_int_eq(ftruncate(s->fd, BYTES), 0);
	for (unsigned q = 0; q < QUEUES; q++)
		s->engines[q] = rig_engine(kind);
	if (kind != RIG_SYNC) {
		file.engines = s->engines;
		file.nengines = QUEUES;
	}
	if (limit != NULL)
		blk.limit = *limit;
	ck_assert_int_eq(vdev_disk_file_new(&s->disk, vdev_env_hosted(), &file), 0);
	ck_assert_int_eq(vdev_blk_new(&s->v, vdev_env_hosted(), s->disk, &blk), 0);
}

static void go(struct stack *s)
{
	ck_assert_int_eq(vdev_loopback_start(s->l), 0);
	for (unsigned q = 0; q < QUEUES; q++)
		for (unsigned i = 0; i < SLOTS; i++)
			s->slots[q][i].busy = 0;
}

static void stack_start(struct stack *s, int kind, int packed, uint32_t spin,
                        const struct vdev_blk_limit *limit)
{
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .bytes = MEMORY, .gpa = 0x10000, .queue_size = 32};
	uint64_t gpa, bytes;
	uint8_t *mem;

	memset(s, 0, sizeof(*s));
	rng_seed(&s->rng, (uint64_t)(kind * 2 + packed));
	make_disk(s, kind, limit);
	cfg.memory = s->memory = aligned_alloc(4096, MEMORY);
	virtq_features_set(&cfg.wanted, VDEV_BLK_F_MQ);
	if (packed)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	else
		virtq_features_set(&cfg.wanted, VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(vdev_loop_new(&s->loop, vdev_env_hosted(), QUEUES, spin), 0);
	ck_assert_int_eq(vdev_loopback_new(&s->l, vdev_env_hosted(), s->v, &cfg), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		struct vdev_task task;

		/* Blocking, as a front-end may have left it: nobody may ever wait in it. */
		s->kicks[q] = eventfd(0, EFD_CLOEXEC);
		ck_assert_int_eq(vdev_port_new(&s->ports[q], vdev_env_hosted(), s->v, q), 0);
		ck_assert_int_eq(vdev_port_set_kick(s->ports[q], s->kicks[q]), 0);
		vdev_port_task(s->ports[q], &task);
		ck_assert_int_eq(vdev_loop_add(s->loop, q, &task), 0);
	}
	mem = vdev_loopback_memory(s->l, &gpa, &bytes);
	ck_assert_uint_ge(bytes, QUEUES * SLOTS * SLOT_BYTES);
	for (unsigned i = 0; i < QUEUES * SLOTS; i++)
		s->slots[i / SLOTS][i % SLOTS] =
			(struct slot){.mem = mem + i * SLOT_BYTES, .gpa = gpa + i * SLOT_BYTES};
	go(s);
}

static void reset(struct stack *s)
{
	uint64_t end = vdev_os_now() + 20000000000u;

	if (vdev_set_status(s->v, 0) == VIRTQ_EAGAIN)
		while (vdev_status(s->v) != 0) {
			ck_assert_msg(vdev_os_now() < end, "the reset does not end");
			sched_yield();
		}
}

static void stack_stop(struct stack *s)
{
	reset(s);
	for (unsigned q = 0; q < QUEUES; q++) {
		struct vdev_task task;

		vdev_port_task(s->ports[q], &task);
		ck_assert_int_eq(vdev_loop_remove(s->loop, task.ctx), 0);
		vdev_port_free(s->ports[q]);
		close(s->kicks[q]);
	}
	vdev_loop_free(s->loop);
	vdev_loopback_free(s->l);
	ck_assert_int_eq(vdev_free(s->v), 0);
	vdev_disk_free(s->disk);
	for (unsigned q = 0; q < QUEUES; q++)
		vdev_engine_free(s->engines[q]);
	free(s->memory);
	unlink(s->path);
	close(s->fd);
}

/* Make a request available. Each queue has its own half of the blocks, each slot its own of those. */
static void add(struct stack *s, unsigned q, unsigned i)
{
	struct slot *x = &s->slots[q][i];
	uint64_t sector;
	struct virtq_seg seg[3];

	x->block = (rng_below(&s->rng, BYTES / BLOCK / QUEUES / SLOTS) * SLOTS + i) * QUEUES + q;
	x->write = (int)rng_below(&s->rng, 2);
	x->fill = (uint8_t)rng_below(&s->rng, 256);
	x->busy = 1;
	sector = x->block * (BLOCK / 512);
	memset(x->mem, 0, 16);
	x->mem[0] = (uint8_t)x->write;
	memcpy(x->mem + 8, &sector, sizeof(sector));
	memset(x->mem + 512, x->write ? x->fill : 0xEE, BLOCK);
	x->mem[16] = 0x5A;
	seg[0] = (struct virtq_seg){.addr = x->gpa, .len = 16};
	seg[1] = (struct virtq_seg){.addr = x->gpa + 512, .len = BLOCK};
	seg[2] = (struct virtq_seg){.addr = x->gpa + 16, .len = 1};
	ck_assert_int_eq(
		virtq_drv_add(vdev_loopback_drv(s->l, q), seg, x->write ? 2 : 1, x->write ? 1 : 2, x), 0);
}

static void kick(struct stack *s, unsigned q)
{
	struct virtq_drv *drv = vdev_loopback_drv(s->l, q);

	virtq_drv_publish(drv);
	if (virtq_drv_should_kick(drv)) {
		vdev_os_signal(s->kicks[q]);
		s->sent[q]++;
	}
}

/* All of it holds what it was filled with. */
static void check_block(const uint8_t *block, uint8_t fill)
{
	ck_assert_uint_eq(block[0], fill);
	ck_assert_int_eq(memcmp(block, block + 1, BLOCK - 1), 0);
}

static unsigned take(struct stack *s, unsigned q)
{
	struct virtq_done done;
	unsigned n = 0;

	while (virtq_drv_take(vdev_loopback_drv(s->l, q), &done, 1) == 1) {
		struct slot *x = done.cookie;

		ck_assert_int_eq(x->mem[16], 0);
		if (x->write)
			s->model[x->block] = x->fill;
		else
			check_block(x->mem + 512, s->model[x->block]);
		x->busy = 0;
		n++;
	}
	return n;
}

/* Until everything of queue q is done. */
static void finish(struct stack *s, unsigned q, unsigned n)
{
	uint64_t end = vdev_os_now() + 20000000000u;

	while (n > 0) {
		n -= take(s, q);
		ck_assert_msg(vdev_os_now() < end, "%u requests of queue %u do not end", n, q);
		sched_yield();
	}
}

static void burst(struct stack *s, unsigned n)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		for (unsigned i = 0; i < n; i++)
			add(s, q, i);
		kick(s, q);
	}
	for (unsigned q = 0; q < QUEUES; q++)
		finish(s, q, n);
}

static const uint32_t spins[] = {0, 100, UINT32_MAX};

/* All engines, both layouts, all ways of spinning: 18 combinations. */
START_TEST(requests_resets_and_restarts)
{
	/* Threads that never sleep leave little of a small machine to the driver. */
	unsigned long rounds = test_rounds(spins[_i / 3 % 3] == UINT32_MAX ? 20 : 64);
	static struct stack s;

	stack_start(&s, _i % 3, _i / 9, spins[_i / 3 % 3], NULL);
	for (unsigned long r = 0; r < rounds; r++) {
		burst(&s, 1 + (unsigned)(r % SLOTS));
		/* Channels are closed and opened: the same descriptor numbers, other files behind them. */
		if (r % 16 == 15) {
			reset(&s);
			go(&s);
		}
		/* Let everything fall asleep now and then. */
		if (r % 32 == 7)
			usleep(2000);
	}
	stack_stop(&s);
}
END_TEST

START_TEST(kicks_are_counted)
{
	struct vdev_counters c;
	static struct stack s;

	stack_start(&s, RIG_SYNC, 0, 0, NULL);
	for (int r = 0; r < 50; r++)
		burst(&s, 2);
	reset(&s);
	for (unsigned q = 0; q < QUEUES; q++) {
		vdev_queue_counters(s.v, q, &c);
		ck_assert_uint_eq(c.requests, 100);
		ck_assert_uint_gt(c.kicks, 0);
		ck_assert_uint_le(c.kicks, s.sent[q]);
	}
	go(&s);
	stack_stop(&s);
}
END_TEST

/* Requests beyond the rate come again by the port's timer alone. */
START_TEST(deadlines_wake_the_queue)
{
	const struct vdev_blk_limit limit = {.ops_per_s = 200, .ops_burst = 1};
	static struct stack s;
	uint64_t from;

	stack_start(&s, _i, 0, 0, &limit);
	from = vdev_os_now();
	for (unsigned i = 0; i < SLOTS; i++)
		add(&s, 0, i);
	kick(&s, 0);
	finish(&s, 0, SLOTS);
	/* The first is free; seven more at 5 ms each. */
	ck_assert_uint_ge(vdev_os_now() - from, 34000000);
	stack_stop(&s);
}
END_TEST

/* The driver's eventfd is exchanged, taken away and given back under way. */
START_TEST(notifications_move_to_another_descriptor)
{
	static struct stack s;

	stack_start(&s, RIG_URING, 0, spins[_i], NULL);
	for (unsigned r = 0; r < 60; r++) {
		int fresh = eventfd(0, EFD_CLOEXEC | (r & 1 ? EFD_NONBLOCK : 0));

		add(&s, 0, 0);
		if (r % 3 == 0) { /* the old one is signalled just before it goes */
			kick(&s, 0);
			ck_assert_int_eq(vdev_port_set_kick(s.ports[0], fresh), 0);
		} else {
			if (r % 3 == 1)
				ck_assert_int_eq(vdev_port_set_kick(s.ports[0], -1), 0);
			ck_assert_int_eq(vdev_port_set_kick(s.ports[0], fresh), 0);
		}
		close(s.kicks[0]);
		s.kicks[0] = fresh;
		if (r % 3 != 0)
			kick(&s, 0);
		finish(&s, 0, 1);
	}
	stack_stop(&s);
}
END_TEST

/*
 * A stopped queue's descriptors are closed, and the driver's next eventfd gets one of their numbers, before the port
 * had a chance to arm. The tasks are run by hand, so that it happens for certain.
 */
START_TEST(numbers_of_closed_descriptors_come_again)
{
	static struct stack s;
	struct vdev_task task[QUEUES];
	struct pollfd p;

	stack_start(&s, _i, 0, 0, NULL);
	for (unsigned q = 0; q < QUEUES; q++) {
		vdev_port_task(s.ports[q], &task[q]);
		ck_assert_int_eq(vdev_loop_remove(s.loop, task[q].ctx), 0);
	}
	for (unsigned r = 0; r < 20; r++) {
		for (unsigned q = 0; q < QUEUES; q++)
			while (task[q].run(task[q].ctx, VDEV_RUN_ARM) > 0)
				continue;
		(void)!vdev_set_status(s.v, 0);
		for (unsigned n = 0; n < 100 && vdev_status(s.v) != 0; n++)
			for (unsigned q = 0; q < QUEUES; q++)
				(void)!task[q].run(task[q].ctx, 0);
		ck_assert_uint_eq(vdev_status(s.v), 0);
		/* Now the first free numbers are those of the channels. */
		ck_assert_int_eq(vdev_port_set_kick(s.ports[0], s.kicks[0]), 0);
		go(&s);
		for (unsigned n = 0; n < 100; n++)
			(void)!task[r % QUEUES].run(task[r % QUEUES].ctx, 0);
		for (unsigned q = 0; q < QUEUES; q++)
			while (task[q].run(task[q].ctx, VDEV_RUN_ARM) > 0)
				continue;
		p = (struct pollfd){.fd = task[0].fd, .events = POLLIN};
		/* What came of set_kick is no longer there ... */
		for (unsigned n = 0; n < 10 && poll(&p, 1, 0) == 1; n++)
			while (task[0].run(task[0].ctx, VDEV_RUN_ARM) > 0)
				continue;
		ck_assert_int_eq(poll(&p, 1, 0), 0);
		add(&s, 0, 0);
		kick(&s, 0);
		/* ... and what comes of the driver is. */
		ck_assert_int_eq(poll(&p, 1, 5000), 1);
		while (s.slots[0][0].busy) {
			(void)!task[0].run(task[0].ctx, 0);
			(void)take(&s, 0);
		}
	}
	for (unsigned q = 0; q < QUEUES; q++)
		ck_assert_int_eq(vdev_loop_add(s.loop, q, &task[q]), 0);
	stack_stop(&s);
}
END_TEST

START_TEST(misuse_is_refused)
{
	struct vdev_port *p = NULL;
	static struct stack s;
	int file;

	stack_start(&s, RIG_SYNC, 0, 0, NULL);
	ck_assert_int_eq(vdev_port_new(NULL, vdev_env_hosted(), s.v, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_port_new(&p, NULL, s.v, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_port_new(&p, vdev_env_hosted(), NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_port_new(&p, vdev_env_hosted(), s.v, QUEUES), VIRTQ_EINVAL);
	ck_assert_ptr_null(p);
	vdev_port_free(NULL);
	ck_assert_int_eq(vdev_port_set_kick(NULL, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_port_set_kick(s.ports[0], 999), -9); /* EBADF */
	file = open(s.path, O_RDWR);
	ck_assert_int_eq(vdev_port_set_kick(s.ports[0], file), -1); /* EPERM: can't be polled */
	close(file);
	burst(&s, 3); /* the one it had is still in place */
	stack_stop(&s);
}
END_TEST

START_TEST(the_shortest_way_to_a_disk)
{
	struct vdev *v = NULL;
	char path[] = "open-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(vdev_blk_open(&v, NULL, "no/such/file", 0), -2);
	ck_assert_int_eq(vdev_blk_open(&v, NULL, path, 0), VIRTQ_EINVAL); /* empty */
	ck_assert_int_eq(ftruncate(fd, 8192), 0);
	ck_assert_int_eq(vdev_blk_open(&v, NULL, path, 8), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_open(NULL, NULL, path, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_blk_open(&v, NULL, NULL, 0), VIRTQ_EINVAL);
	ck_assert_ptr_null(v);
	for (unsigned flags = 0; flags < 2; flags++) {
		struct virtq_features offered;

		ck_assert_int_eq(vdev_blk_open(&v, NULL, path, flags), 0);
		ck_assert_uint_eq(vdev_id(v), 2);
		vdev_offered(v, &offered);
		ck_assert_int_eq(virtq_features_has(&offered, VDEV_BLK_F_RO), (int)flags);
		ck_assert_int_eq(vdev_free(v), 0);
	}
	close(fd);
	unlink(path);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_port");
	TCase *tc = tcase_create("threaded_port");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, requests_resets_and_restarts, 0, 18);
	tcase_add_test(tc, kicks_are_counted);
	tcase_add_loop_test(tc, deadlines_wake_the_queue, 0, RIG_ENGINES);
	tcase_add_loop_test(tc, notifications_move_to_another_descriptor, 0, 3);
	tcase_add_loop_test(tc, numbers_of_closed_descriptors_come_again, 0, RIG_ENGINES);
	tcase_add_test(tc, misuse_is_refused);
	tcase_add_test(tc, the_shortest_way_to_a_disk);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
