/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user front-end against our own back-end: a virtio-blk whose queues have threads. */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front_blk.h"
#include "vu_front.h"

enum { WAIT_MS = 20000 };

static struct vu_front back; /* its back-end alone is used */
static struct front_blk b;

static struct fb_config config(unsigned queues, unsigned flags)
{
	return (struct fb_config){.path = back.path,
	                          .fd = -1,
	                          .queues = queues,
	                          .queue_size = 64,
	                          .flags = flags,
	                          .timeout_ms = WAIT_MS,
	                          .data_bytes = 1 << 20};
}

static void up(unsigned queues, unsigned flags, uint64_t withhold)
{
	struct fb_config c = config(queues, flags);

	c.withhold = withhold;
	vf_start(&back, queues, VF_THREADS);
	ck_assert_int_eq(fb_open(&b, &c), 0);
}

static int gone(void *ctx)
{
	int is;

	(void)ctx;
	pthread_mutex_lock(&back.lock);
	is = back.downs == back.ups;
	pthread_mutex_unlock(&back.lock);
	return is;
}

static void down(void)
{
	fb_close(&b);
	ck_assert(vf_until(gone, NULL));
	vf_stop(&back);
}

/* Write on one queue what another one reads. */
static void work(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		unsigned q = i % b.cfg.queues, other = (i + 1) % b.cfg.queues;

		memset(b.data, (int)(i + 1) & 0xff, 4096);
		ck_assert_int_eq(fb_io(&b, q, 1, 8 * (i % 200), 0, 4096, WAIT_MS), 0);
		memset(b.data + 4096, 0, 4096);
		ck_assert_int_eq(fb_io(&b, other, 0, 8 * (i % 200), 4096, 4096, WAIT_MS), 0);
		ck_assert_int_eq(memcmp(b.data, b.data + 4096, 4096), 0);
	}
	ck_assert_int_eq(fb_io(&b, 0, 4, 0, 0, 0, WAIT_MS), 0);
}

static const unsigned kinds[] = {0,
                                 FB_PACKED,
                                 FB_NO_EVENT_IDX,
                                 FB_PACKED | FB_NO_EVENT_IDX,
                                 FB_INBAND,
                                 FB_PACKED | FB_INBAND,
                                 FB_IN_ORDER,
                                 FB_PACKED | FB_IN_ORDER,
                                 FB_PLATFORM,
                                 FB_PACKED | FB_PLATFORM,
                                 FB_NO_CALL | FB_NO_KICK,
                                 FB_PACKED | FB_NO_CALL | FB_NO_KICK};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

START_TEST(works)
{
	int polled = (kinds[_i / 2] & FB_NO_KICK) != 0;

	/* Polling threads take turns where there are few processors. */
	up(_i % 2 ? (polled ? 2 : 4) : 1, kinds[_i / 2], 0);
	ck_assert_int_eq(virtq_features_has(&b.features, VIRTQ_F_RING_PACKED),
	                 (kinds[_i / 2] & FB_PACKED) != 0);
	ck_assert_int_eq(virtq_features_has(&b.features, VIRTQ_F_ACCESS_PLATFORM),
	                 (kinds[_i / 2] & FB_PLATFORM) != 0);
	ck_assert_uint_eq(b.sectors, 2048);
	ck_assert_uint_eq(vdev_vhost_front_queue_num(b.f), b.cfg.queues);
	work(polled ? 15 : 100);
	down();
}
END_TEST

static struct vdev_vhost_user_iotlb said(void)
{
	struct vdev_vhost_user_iotlb n;

	vdev_vhost_user_iotlb(back.vu, &n);
	return n;
}

/* Translations are told with the rings, taken back, missed and told again. */
START_TEST(translates)
{
	uint64_t misses = 0;

	up(2, FB_PLATFORM | (_i ? FB_PACKED : 0), 0);
	ck_assert(virtq_features_has(&b.features, VIRTQ_F_ACCESS_PLATFORM));
	work(10);
	for (unsigned i = 1; i < 6; i++) {
		ck_assert_int_eq(vdev_vhost_front_iotlb_invalidate(b.f, 0, UINT64_MAX), 0);
		ck_assert_uint_eq(said().invalidates, i);
		work(10);
		ck_assert_uint_gt(said().misses, misses);
		misses = said().misses;
	}
	ck_assert_uint_eq(said().refused, 0);
	down();
}
END_TEST

static int later_misses;
static uint64_t later_iova;

/* Pages of payload are told later, all else at once. */
static int tell_later(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	uint64_t page = (iova - FB_IOVA - FB_GPA) & ~4095ull;

	(void)ctx;
	(void)write;
	*out = (struct virtq_xlat){FB_IOVA + FB_GPA + page, FB_GPA + page, 4096, 3, 0};
	if (page < b.data_at)
		return 0;
	later_misses++;
	later_iova = iova;
	return VIRTQ_EAGAIN;
}

/* A miss is said to be told later, and is, with other requests meanwhile. */
START_TEST(translates_later)
{
	static const struct virtq_xlat_ops xlat = {.size = sizeof(xlat), .translate = tell_later};
	struct fb_config c = config(2, FB_PLATFORM | (_i ? FB_PACKED : 0));
	struct virtq_xlat x = {FB_IOVA + FB_GPA, FB_GPA, 4096, 3, 0};
	struct fb_done done;

	vf_start(&back, 2, VF_THREADS);
	c.xlat = &xlat;
	ck_assert_int_eq(fb_open(&b, &c), 0);
	for (int i = 1; i < 10; i++) {
		ck_assert_int_eq(fb_submit(&b, 0, 0, 0, 0, 4096, NULL), 0);
		ck_assert_int_eq(fb_kick(&b, 0), 0);
		while (later_misses < i)
			fb_wait(&b, 0, 100);
		for (int k = 0; k < 5; k++) {
			ck_assert_int_eq(fb_io(&b, 1, 4, 0, 0, 0, WAIT_MS), 0);
			ck_assert_int_eq(fb_take(&b, 0, &done, 1), 0);
		}
		ck_assert_uint_eq(said().refused, 0);
		x.iova = later_iova & ~4095ull;
		x.gpa = x.iova - FB_IOVA;
		ck_assert_int_eq(vdev_vhost_front_iotlb_update(b.f, &x), 0);
		while (fb_take(&b, 0, &done, 1) == 0)
			fb_wait(&b, 0, 100);
		ck_assert_uint_eq(done.status, 0);
		ck_assert_int_eq(vdev_vhost_front_iotlb_invalidate(b.f, x.iova, 4096), 0);
	}
	down();
}
END_TEST

/* Each protocol feature may be missing. */
START_TEST(works_without)
{
	static const unsigned bits[] = {VDEV_VHOST_FRONT_MQ,           VDEV_VHOST_FRONT_REPLY_ACK,
	                                VDEV_VHOST_FRONT_BACKEND_REQ,  VDEV_VHOST_FRONT_MEM_SLOTS,
	                                VDEV_VHOST_FRONT_STATUS,       VDEV_VHOST_FRONT_LOG_SHMFD,
	                                VDEV_VHOST_FRONT_RESET_DEVICE, VDEV_VHOST_FRONT_INFLIGHT_SHMFD};
	uint64_t without = 1ull << bits[_i];

	up(2, FB_PACKED, without);
	ck_assert_uint_eq(vdev_vhost_front_protocol(b.f) & without, 0);
	work(20);
	ck_assert_int_eq(vdev_vhost_front_reset(b.f), 0);
	ck_assert_int_eq(vdev_vhost_front_accept(b.f, &b.features), 0);
	for (unsigned q = 0; q < 2; q++)
		ck_assert_int_eq(fb_queue_start(&b, q), 0);
	ck_assert_int_eq(
		vdev_vhost_front_set_status(b.f, VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER |
	                                         VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_DRIVER_OK),
		0);
	work(20);
	down();
}
END_TEST

/* Stop and go on from there, again and again, round the end of the ring. */
START_TEST(stops_and_goes_on)
{
	struct vdev_vhost_front_queue setup = {.size = sizeof(setup)};

	up(1, kinds[_i], 0);
	for (unsigned i = 0; i < (kinds[_i] & FB_NO_KICK ? 4 : 20); i++) {
		work(7);
		ck_assert_int_eq(vdev_vhost_front_queue_stop(b.f, 0, &setup.state), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_started(b.f, 0), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_stop(b.f, 0, NULL), VIRTQ_EBUSY);
		/* What is added while it stands still is found when it goes on. */
		ck_assert_int_eq(fb_submit(&b, 0, 4, 0, 0, 0, NULL), 0);
		setup.drv = &b.q[0].drv;
		setup.flags = kinds[_i] & FB_NO_CALL ? VDEV_VHOST_FRONT_NO_CALL : 0;
		if (kinds[_i] & FB_NO_KICK)
			setup.flags |= VDEV_VHOST_FRONT_NO_KICK;
		ck_assert_int_eq(vdev_vhost_front_queue_start(b.f, 0, &setup), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_start(b.f, 0, &setup), VIRTQ_EBUSY);
		for (struct fb_done done; fb_take(&b, 0, &done, 1) == 0;)
			fb_wait(&b, 0, 100);
	}
	down();
}
END_TEST

/*
 * The start of a lap whose base is 0, which some also say of a fresh ring: 64 requests of 3 descriptors in a ring of 64,
 * one of which lies across the place where the ring begins.
 */
START_TEST(goes_on_at_the_start_of_a_lap)
{
	struct vdev_vhost_front_queue setup = {.size = sizeof(setup)};

	up(1, FB_PACKED, 0);
	for (unsigned i = 0; i < 64; i++)
		ck_assert_int_eq(fb_io(&b, 0, 1, 8, 0, 512, WAIT_MS), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_stop(b.f, 0, &setup.state), 0);
	ck_assert_uint_eq(setup.state.avail, 0);
	ck_assert_uint_eq(setup.state.used, 0);
	setup.drv = &b.q[0].drv;
	ck_assert_int_eq(vdev_vhost_front_queue_start(b.f, 0, &setup), 0);
	work(20);
	down();
}
END_TEST

START_TEST(disables_and_enables)
{
	struct fb_done done;

	up(1, kinds[_i], 0);
	work(3);
	ck_assert_int_eq(vdev_vhost_front_queue_enable(b.f, 0, 0), 0);
	ck_assert_int_eq(fb_submit(&b, 0, 4, 0, 0, 0, NULL), 0);
	ck_assert_int_eq(fb_kick(&b, 0), 0);
	ck_assert_int_eq(fb_take(&b, 0, &done, 1), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_enable(b.f, 0, 1), 0);
	ck_assert_int_eq(vdev_vhost_front_kick(b.f, 0), 0);
	while (fb_take(&b, 0, &done, 1) == 0)
		fb_wait(&b, 0, 100);
	work(3);
	down();
}
END_TEST

/* Memory that comes and goes while queues run, by slots and by tables. */
START_TEST(memory_changes)
{
	enum { EXTRA = 6, BYTES = 65536 };
	struct vdev_vhost_front_region r[EXTRA + 1];
	uint64_t withhold = _i & 1 ? 1ull << VDEV_VHOST_FRONT_MEM_SLOTS : 0;
	int fd = vdev_os_memfd("extra", EXTRA * BYTES);

	if (_i & 2)
		withhold |= 1ull << VDEV_VHOST_FRONT_REPLY_ACK;
	up(1, 0, withhold);
	r[0] = (struct vdev_vhost_front_region){
		.gpa = FB_GPA, .len = b.bytes, .host = b.mem, .fd = b.memfd};
	for (unsigned i = 0; i < EXTRA; i++) {
		void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(i * BYTES));

		r[i + 1] = (struct vdev_vhost_front_region){.gpa = 0x10000000 * (i + 10ull),
		                                            .len = BYTES,
		                                            .host = p,
		                                            .fd = fd,
		                                            .offset = i * BYTES};
	}
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned n = 1; n <= EXTRA + 1; n++) {
			ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, n), 0);
			work(2);
		}
		/* One in the middle goes. */
		ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, EXTRA), 0);
		r[EXTRA].gpa += BYTES;
	}
	ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 1), 0);
	work(5);
	/* Misuse changes nothing. */
	r[1].gpa = r[0].gpa + 4096;
	ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 2), VIRTQ_EINVAL);
	r[1].gpa = UINT64_MAX - 4096;
	ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 2), VIRTQ_EINVAL);
	r[1].len = 0;
	ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 2), VIRTQ_EINVAL);
	work(5);
	for (unsigned i = 0; i < EXTRA; i++)
		munmap(r[i + 1].host, BYTES);
	close(fd);
	down();
}
END_TEST

/* A table that is too long for the back-end, and memory it refuses: both leave what there was. */
START_TEST(memory_is_refused)
{
	struct vdev_vhost_front_region r[9] = {{0}};
	int pipes[2];

	up(1, 0, _i ? 1ull << VDEV_VHOST_FRONT_MEM_SLOTS : 0);
	r[0] = (struct vdev_vhost_front_region){
		.gpa = FB_GPA, .len = b.bytes, .host = b.mem, .fd = b.memfd};
	for (unsigned i = 1; i < 9; i++)
		r[i] = (struct vdev_vhost_front_region){.gpa = 0x1000ull * i,
		                                        .len = 0x1000,
		                                        .host = (void *)(uintptr_t)(0x1000 * i),
		                                        .fd = b.memfd};
	if (_i)
		ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 9), VIRTQ_ENOSPC);
	work(2);
	ck_assert_int_eq(pipe(pipes), 0);
	r[1].fd = pipes[0];
	ck_assert_int_eq(vdev_vhost_front_set_memory(b.f, r, 2), VDEV_VHOST_FRONT_REFUSED);
	ck_assert_int_eq(vdev_vhost_front_alive(b.f), 1);
	work(2);
	close(pipes[0]);
	close(pipes[1]);
	down();
}
END_TEST

static unsigned changes;

static void note_change(void *ctx)
{
	(void)ctx;
	changes++;
	ck_assert_int_eq(fb_capacity(&b), 0);
}

static int resized(void *ctx)
{
	struct vdev_task t;

	(void)ctx;
	vdev_vhost_front_task(b.f, &t);
	(void)t.run(t.ctx, 0);
	return b.sectors == 4096;
}

/* The configuration space: read, written where it may be, and told of when it changes. */
START_TEST(config_space)
{
	static const struct vdev_vhost_front_ops ops = {.size = sizeof(ops),
	                                                .config_changed = note_change};
	struct fb_config c = config(1, 0);
	uint8_t all[256], byte = 1;

	vf_start(&back, 1, VF_THREADS);
	c.ops = &ops;
	ck_assert_int_eq(fb_open(&b, &c), 0);
	ck_assert_int_eq(vdev_vhost_front_config_read(b.f, 0, all, 60), 0);
	ck_assert_uint_eq(all[1], 8); /* 2048 sectors */
	ck_assert_int_eq(vdev_vhost_front_config_read(b.f, 200, all, 56), 0);
	ck_assert_int_eq(vdev_vhost_front_config_read(b.f, 200, all, 57), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_config_read(b.f, UINT32_MAX, all, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_config_read(b.f, 0, all, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_config_write(b.f, 32, &byte, 1), 0);
	ck_assert_int_eq(vdev_vhost_front_config_write(b.f, 250, &byte, 1), VDEV_VHOST_FRONT_REFUSED);
	ck_assert_uint_eq(changes, 0);
	/* Control of the device is the control thread's: there it is told. */
	slow_disk_resize(back.disk, 2 << 20);
	ck_assert_int_eq(vdev_blk_resized(back.v), 0);
	ck_assert(vf_until(resized, NULL));
	ck_assert_uint_eq(changes, 1);
	work(5);
	down();
}
END_TEST

/* The log: what the back-end writes is marked, and nothing after it was turned off. */
START_TEST(logs)
{
	enum { LOG_BYTES = 65536 };
	int fd = vdev_os_memfd("log", LOG_BYTES);
	uint8_t *log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	size_t page;

	up(1, kinds[_i], 0);
	page = (FB_GPA + b.data_at) / 4096;
	ck_assert_int_eq(vdev_vhost_front_logging(b.f, 1), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_set_log(b.f, fd, 0, LOG_BYTES, -1), 0);
	ck_assert_int_eq(fb_io(&b, 0, 0, 0, 0, 4096, WAIT_MS), 0);
	ck_assert_uint_eq(log[page / 8], 0);
	ck_assert_int_eq(vdev_vhost_front_logging(b.f, 1), 0);
	ck_assert_int_eq(fb_io(&b, 0, 0, 0, 0, 4096, WAIT_MS), 0);
	ck_assert_uint_ne(log[page / 8] & 1u << page % 8, 0);
	ck_assert_int_eq(vdev_vhost_front_logging(b.f, 0), 0);
	memset(log, 0, LOG_BYTES);
	ck_assert_int_eq(fb_io(&b, 0, 0, 0, 0, 4096, WAIT_MS), 0);
	ck_assert_uint_eq(log[page / 8] & 1u << page % 8, 0);
	munmap(log, LOG_BYTES);
	close(fd);
	down();
}
END_TEST

static void take_all(unsigned q, int until_none_is_out)
{
	uint64_t end = vdev_os_now() + WAIT_MS * 1000000ull;
	struct fb_done done[64];
	int n;

	do {
		n = fb_take(&b, q, done, 64);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert_uint_eq(done[i].status, 0);
		if (n == 0 && until_none_is_out)
			fb_wait(&b, q, 100);
		ck_assert_uint_lt(vdev_os_now(), end);
	} while (n > 0 || (until_none_is_out && virtq_drv_inflight(&b.q[q].drv) > 0));
}

/*
 * The connection is lost with requests out that were not told; another one goes on where the old one ended. (A packed
 * ring can only do that when nothing is out, or in order.)
 */
START_TEST(reconnects)
{
	unsigned flags = kinds[_i];
	int packed = flags & FB_PACKED && !(flags & FB_IN_ORDER);
	int rc;

	up(2, flags, 0);
	for (unsigned round = 0; round < 8; round++) {
		work(9);
		for (unsigned i = 0; i < 2 * round; i++)
			ck_assert_int_eq(fb_submit(&b, i & 1, 1, 300 + i, 8192, 512, NULL), 0);
		for (unsigned q = 0; q < 2 && packed; q++) {
			ck_assert_int_eq(vdev_vhost_front_kick(b.f, q), 0);
			take_all(q, 1);
		}
		do {
			take_all(0, 0);
			take_all(1, 0);
			rc = vdev_vhost_front_reconnect(b.f, -1);
		} while (rc == VIRTQ_EAGAIN);
		ck_assert_int_eq(rc, 0);
		for (unsigned q = 0; q < 2; q++) {
			take_all(q, 1);
			ck_assert_uint_eq(virtq_drv_inflight(&b.q[q].drv), 0);
		}
	}
	work(20);
	down();
}
END_TEST

static int enough;

static void *kick_all_the_time(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		ck_assert_int_eq(vdev_vhost_front_kick(b.f, 0), 0);
		usleep(100);
	}
	return NULL;
}

/* Kicks may come from any thread, at any time. */
START_TEST(any_thread_kicks)
{
	pthread_t other;
	int rc;

	up(2, 0, 0);
	ck_assert_int_eq(vdev_os_thread(&other, "kicker", kick_all_the_time, NULL), 0);
	for (unsigned i = 0; i < 5; i++) {
		struct vdev_vhost_front_queue setup = {.size = sizeof(setup), .drv = &b.q[0].drv};

		work(10);
		do {
			take_all(0, 0);
			take_all(1, 0);
			rc = vdev_vhost_front_reconnect(b.f, -1);
		} while (rc == VIRTQ_EAGAIN);
		ck_assert_int_eq(rc, 0);
		work(10);
		ck_assert_int_eq(vdev_vhost_front_queue_stop(b.f, 0, &setup.state), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_start(b.f, 0, &setup), 0);
	}
	__atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("front");
	TCase *tc = tcase_create("front");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, works, 0, 2 * KINDS);
	tcase_add_loop_test(tc, translates, 0, 2);
	tcase_add_loop_test(tc, translates_later, 0, 2);
	tcase_add_loop_test(tc, works_without, 0, 8);
	tcase_add_loop_test(tc, stops_and_goes_on, 0, KINDS);
	tcase_add_test(tc, goes_on_at_the_start_of_a_lap);
	tcase_add_loop_test(tc, disables_and_enables, 0, 2);
	tcase_add_loop_test(tc, memory_changes, 0, 4);
	tcase_add_loop_test(tc, memory_is_refused, 0, 2);
	tcase_add_test(tc, config_space);
	tcase_add_loop_test(tc, logs, 0, 2);
	tcase_add_loop_test(tc, reconnects, 0, KINDS - 2);
	tcase_add_test(tc, any_thread_kicks);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
