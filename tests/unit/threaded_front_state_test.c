/* SPDX-License-Identifier: BSD-3-Clause */
/* What the front-end remembers, when a back-end refuses something, goes, or is followed by another one. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/vhost_user_front.h>
#include <virtq/inflight.h>

#include "liar.h"

enum { BYTES = 65536, SIZE = 64, WRAP = VIRTQ_STATE_WRAP };
#define GPA 0x10000u

static struct liar back;
static struct vdev_vhost_front *f;
static uint8_t *mem;
static int memfd;
static uint64_t withhold;
static const struct virtq_xlat_ops *xlat;
static const struct vdev_vhost_front_ops *ops;

static int pair(void)
{
	int s[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	back.sock = s[1];
	return s[0];
}

static unsigned asked(uint32_t request)
{
	return __atomic_load_n(&back.count[request], __ATOMIC_RELAXED);
}

static int accept_some(unsigned feature)
{
	struct virtq_features features = {{1ull << VIRTQ_F_VERSION_1 | 1ull << feature, 0}};

	return vdev_vhost_front_accept(f, &features);
}

static void up(unsigned feature)
{
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg),
	                                      .queues = 1,
	                                      .timeout_ms = 20000,
	                                      .withhold = withhold,
	                                      .ops = ops,
	                                      .xlat = xlat};
	struct vdev_vhost_front_region r = {.gpa = GPA, .len = BYTES};

	back.extra = 1ull << feature;
	cfg.fd = pair();
	liar_start(&back);
	ck_assert_int_eq(vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg), 0);
	ck_assert_int_eq(accept_some(feature), 0);
	memfd = vdev_os_memfd("mem", BYTES);
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	r.host = mem;
	r.fd = memfd;
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, &r, 1), 0);
}

static void down(void)
{
	vdev_vhost_front_free(f);
	liar_end(&back);
	munmap(mem, BYTES);
	close(memfd);
}

/* A guest's queue, of which nothing is known but where it is. */
static struct vdev_vhost_front_queue guest_queue(uint16_t position)
{
	return (struct vdev_vhost_front_queue){.size = sizeof(struct vdev_vhost_front_queue),
	                                       .state = {.size = SIZE,
	                                                 .avail = position,
	                                                 .used = position,
	                                                 .desc = GPA,
	                                                 .driver = GPA + 4096,
	                                                 .device = GPA + 8192}};
}

/* The next back-end takes over. Closes its socket if it can't. */
static int reconnect_to(struct liar next)
{
	struct liar old;
	int fd, rc;

	if (vdev_vhost_front_alive(f))
		ck_assert_int_eq(shutdown(back.sock, SHUT_RDWR), 0);
	pthread_join(back.thread, NULL);
	old = back;
	vdev_os_close(old.channel);
	back = next;
	back.extra = old.extra;
	fd = pair();
	liar_start(&back);
	rc = vdev_vhost_front_reconnect(f, fd);
	if (rc < 0)
		close(fd);
	__atomic_store_n(&back.area_fd, old.area_fd, __ATOMIC_RELEASE);
	return rc;
}

/* Where is the next one told that the queue goes on? */
static uint32_t base_after_reconnection(void)
{
	ck_assert_int_eq(reconnect_to((struct liar){0}), 0);
	ck_assert_uint_eq(asked(VU_SET_VRING_BASE), 1);
	return __atomic_load_n(&back.base, __ATOMIC_RELAXED);
}

static void record(uint16_t version, uint16_t old_used, uint16_t used)
{
	_Alignas(8) uint8_t head[VIRTQ_INFLIGHT_HEAD] = {0};
	uint16_t at[] = {version, SIZE, 0, 0, used & 0x7fff, old_used & 0x7fff};

	memcpy(head + 8, at, sizeof(at));
	head[20] = (uint8_t)(used >> 15);
	head[21] = (uint8_t)(old_used >> 15);
	ck_assert_int_eq(pwrite(liar_area(&back), head, sizeof(head), 0), sizeof(head));
}

/* Flags of the descriptor at a place of the ring: AVAIL, USED. */
static void flags(unsigned place, int avail, int used)
{
	mem[place * 16 + 15] = (uint8_t)(used << 7);
	mem[place * 16 + 14] = (uint8_t)(avail << 7);
}

/* A guest's packed ring goes on where the record says, which was started somewhere. */
START_TEST(packed_ring_goes_on_as_recorded)
{
	static const struct {
		uint16_t version, start, old_used, used;
		int avail, dev;
		uint16_t goes_on;
	} cases[] = {
		/* Nothing was fetched: where it was started, in either lap. */
		{0, 5 | WRAP, 0, 0, 1, 0, 5 | WRAP},
		{0, 5, 0, 0, 0, 1, 5},
		{0, WRAP, 0, 0, 1, 0, WRAP},
		/* Nothing was used that the driver has not seen. */
		{1, WRAP, 7 | WRAP, 7 | WRAP, 1, 0, 7 | WRAP},
		/* It was, and the ring says so or not yet. */
		{1, WRAP, 7 | WRAP, 9 | WRAP, 1, 0, 7 | WRAP},
		{1, WRAP, 7 | WRAP, 9 | WRAP, 1, 1, 9 | WRAP},
		{1, WRAP, 7, 9, 0, 0, 9},
		{1, WRAP, 60 | WRAP, 3, 1, 1, 3},
		/* The driver has put something else there since. */
		{1, WRAP, 7 | WRAP, 9 | WRAP, 0, 1, 9 | WRAP},
		/* All of a lap at once. */
		{1, WRAP, 7 | WRAP, 7, 1, 1, 7},
		{1, WRAP, 7 | WRAP, 7, 1, 0, 7 | WRAP},
	};
	struct vdev_vhost_front_queue q = guest_queue(cases[_i].start);
	uint32_t is = cases[_i].goes_on;

	up(VIRTQ_F_RING_PACKED);
	ck_assert_int_eq(vdev_vhost_front_inflight(f, SIZE), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	record(cases[_i].version, cases[_i].old_used, cases[_i].used);
	flags(cases[_i].old_used & 0x7fff, cases[_i].avail, cases[_i].dev);
	ck_assert_uint_eq(base_after_reconnection(), is | is << 16);
	/* And again. */
	ck_assert_uint_eq(base_after_reconnection(), is | is << 16);
	down();
}
END_TEST

/* Positions that can't be are no positions. */
START_TEST(record_is_not_trusted)
{
	struct vdev_vhost_front_queue q = guest_queue(WRAP);
	int fd;

	up(VIRTQ_F_RING_PACKED);
	ck_assert_int_eq(vdev_vhost_front_inflight(f, SIZE), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	record(1, SIZE, 3);
	shutdown(back.sock, SHUT_RDWR);
	liar_end(&back);
	back = (struct liar){.extra = back.extra};
	fd = pair();
	liar_start(&back);
	ck_assert_int_eq(vdev_vhost_front_reconnect(f, fd), VIRTQ_EBUSY);
	close(fd);
	down();
}
END_TEST

static uint16_t version(void)
{
	uint8_t v[2];

	ck_assert_int_eq(pread(liar_area(&back), v, 2, 8), 2);
	return (uint16_t)(v[0] | v[1]);
}

/* A queue that is forgotten, or starts elsewhere than it stopped, has nothing in flight any more. */
START_TEST(record_is_forgotten)
{
	struct vdev_vhost_front_queue q = guest_queue(WRAP);

	up(VIRTQ_F_RING_PACKED);
	ck_assert_int_eq(vdev_vhost_front_inflight(f, SIZE), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	record(1, 7 | WRAP, 7 | WRAP);
	ck_assert_int_eq(vdev_vhost_front_queue_forget(f, 0), VIRTQ_EBUSY);
	if (_i) {
		ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, &q.state), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
		ck_assert_uint_eq(version(), 1);
		ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, NULL), 0);
		q = guest_queue(WRAP);
		ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	} else {
		int bad = open("/", O_PATH | O_CLOEXEC);

		ck_assert_int_lt(vdev_vhost_front_reconnect(f, bad), 0);
		close(bad);
		ck_assert_uint_eq(version(), 1);
		ck_assert_int_eq(vdev_vhost_front_queue_forget(f, 0), 0);
		ck_assert_int_eq(vdev_vhost_front_queue_started(f, 0), 0);
	}
	ck_assert_uint_eq(version(), 0);
	down();
}
END_TEST

/* What can't be made not to block is the caller's still. */
START_TEST(given_socket_stays_the_callers)
{
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg), .queues = 1};

	cfg.fd = open("/", O_PATH | O_CLOEXEC);
	ck_assert_int_ge(cfg.fd, 0);
	ck_assert_int_lt(vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg), 0);
	ck_assert_int_eq(close(cfg.fd), 0);
}
END_TEST

/* A region whose descriptor is none: the others stay with the back-end, by slots and by tables. */
START_TEST(memory_without_a_file)
{
	struct vdev_vhost_front_region r[2] = {{.gpa = GPA, .len = BYTES / 2},
	                                       {.gpa = 4 * GPA, .len = BYTES / 2, .offset = BYTES / 2}};
	unsigned fds;

	withhold = _i ? 1ull << VDEV_VHOST_FRONT_MEM_SLOTS : 0;
	up(VIRTQ_F_EVENT_IDX);
	r[0].host = mem;
	r[1].host = mem + BYTES / 2;
	r[0].fd = r[1].fd = memfd;
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, r, 2), 0);
	ck_assert_uint_eq(asked(VU_ADD_MEM_REG), _i ? 0 : 3);
	ck_assert_uint_eq(asked(VU_REM_MEM_REG), _i ? 0 : 1); /* what up() named */
	ck_assert_uint_eq(asked(VU_SET_MEM_TABLE), _i ? 2 : 0);
	fds = test_descriptors();
	r[1].fd = 9999;
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, r, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, r + 1, 1), VIRTQ_EINVAL);
	r[1].fd = memfd;
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, r, 2), 0); /* as it was */
	ck_assert_uint_eq(asked(VU_ADD_MEM_REG), _i ? 0 : 3);
	ck_assert_uint_eq(asked(VU_REM_MEM_REG), _i ? 0 : 1);
	ck_assert_uint_eq(asked(VU_SET_MEM_TABLE), _i ? 2 : 0);
	ck_assert_uint_eq(test_descriptors(), fds);
	down();
}
END_TEST

/* While writes are marked, a successor that can't mark them is one that offers less. */
START_TEST(successor_without_a_log)
{
	const struct liar lacks = {.lacks = 1ull << VU_F_LOG_ALL};
	int log;

	up(VIRTQ_F_EVENT_IDX);
	log = vdev_os_memfd("log", BYTES);
	ck_assert_int_eq(vdev_vhost_front_set_log(f, log, 0, BYTES, -1), 0);
	ck_assert_int_eq(reconnect_to(lacks), 0); /* it need not */
	ck_assert_int_eq(vdev_vhost_front_logging(f, 1), VIRTQ_ENOTSUP);
	ck_assert_int_eq(reconnect_to((struct liar){0}), 0);
	ck_assert_int_eq(vdev_vhost_front_logging(f, 1), 0);
	ck_assert_int_eq(reconnect_to(lacks), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_vhost_front_alive(f), 0);
	ck_assert_int_eq(reconnect_to((struct liar){0}), 0);
	close(log);
	down();
}
END_TEST

static int has_fds(void *ctx)
{
	return test_descriptors() == *(unsigned *)ctx; /* the other side closes some, in its own time */
}

/* A log that is refused is not one: what there was stays, also for the next back-end. */
START_TEST(log_is_refused)
{
	const struct liar refuses = {.lie_at = VU_SET_LOG_FD, .lie = SAYS_NO, .value = 1};
	unsigned fds;
	int log, event;

	back = refuses;
	up(VIRTQ_F_EVENT_IDX);
	log = vdev_os_memfd("log", BYTES);
	event = vdev_os_eventfd();
	fds = test_descriptors();
	if (_i)
		ck_assert_int_eq(vdev_vhost_front_set_log(f, log, 0, BYTES, -1), 0);
	ck_assert_int_eq(vdev_vhost_front_set_log(f, log, BYTES / 2, BYTES / 2, event),
	                 VDEV_VHOST_FRONT_REFUSED);
	ck_assert_int_eq(vdev_vhost_front_alive(f), 1);
	fds += _i != 0;
	ck_assert(vf_until(has_fds, &fds));
	ck_assert_uint_eq(asked(VU_SET_LOG_BASE), _i ? 3 : 1); /* the one of before again */
	ck_assert_int_eq(vdev_vhost_front_logging(f, 1), _i ? 0 : VIRTQ_EINVAL);
	ck_assert_int_eq(reconnect_to(refuses), 0);
	ck_assert_uint_eq(asked(VU_SET_LOG_BASE), _i ? 1 : 0);
	ck_assert_uint_eq(asked(VU_SET_LOG_FD), 0);
	close(log);
	close(event);
	down();
}
END_TEST

/* Who listens does not take the connection: no longer is that waited for than for an answer. */
START_TEST(nobody_takes_the_connection)
{
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg), .queues = 1, .timeout_ms = 60};
	char dir[] = "full-XXXXXX", path[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	close(test_full_listener(path)); /* nobody at all, first */
	cfg.path = path;
	ck_assert_int_eq(vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg), -ECONNREFUSED);
	unlink(path);
	(void)test_full_listener(path);
	ck_assert_int_eq(vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg), -ETIMEDOUT);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* A queue that the in-flight area has no room for; an area that is not in memory. */
START_TEST(inflight_limits)
{
	struct vdev_vhost_front_queue q = guest_queue(0);
	struct virtq_state old;

	up(VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(vdev_vhost_front_inflight(f, SIZE / 2), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), VIRTQ_EINVAL);
	ck_assert_uint_eq(asked(VU_SET_VRING_NUM), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_started(f, 0), 0);
	q.state.size = SIZE / 2;
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, &old), 0);
	ck_assert_uint_eq(old.size, SIZE / 2);
	down();

	back = (struct liar){.area = "/proc/self/exe"};
	up(VIRTQ_F_EVENT_IDX);
	{
		int exe = open(back.area, O_RDONLY | O_CLOEXEC);
		int in_memory = vdev_os_in_memory(exe);

		close(exe);
		ck_assert_int_eq(vdev_os_in_memory(memfd), 1);
		ck_assert_int_eq(vdev_vhost_front_inflight(f, SIZE), in_memory ? 0 : VIRTQ_EPROTO);
	}
	down();
}
END_TEST

/* A start that is refused, early or late, leaves nothing of it; the next one may succeed. */
START_TEST(refused_start_leaves_nothing)
{
	static const uint32_t at[] = {VU_SET_VRING_NUM, VU_SET_VRING_ADDR, VU_SET_VRING_KICK,
	                              VU_SET_VRING_ENABLE};
	struct vdev_vhost_front_queue q = guest_queue(7);
	struct virtq_state s;
	unsigned fds;
	int kick, call;

	back = (struct liar){.lie_at = at[_i], .lie = SAYS_NO, .value = 1};
	up(VIRTQ_F_EVENT_IDX);
	kick = vdev_vhost_front_kick_fd(f, 0);
	call = vdev_vhost_front_call_fd(f, 0);
	q.flags = VDEV_VHOST_FRONT_OWN_FDS;
	q.kick_fd = eventfd(0, EFD_CLOEXEC);
	q.call_fd = eventfd(0, EFD_CLOEXEC);
	fds = test_descriptors();
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), VDEV_VHOST_FRONT_REFUSED);
	ck_assert_int_eq(vdev_vhost_front_alive(f), 1);
	ck_assert_int_eq(vdev_vhost_front_queue_started(f, 0), 0);
	ck_assert_int_eq(vdev_vhost_front_kick_fd(f, 0), kick);
	ck_assert_int_eq(vdev_vhost_front_call_fd(f, 0), call);
	ck_assert(vf_until(has_fds, &fds));
	/* The back-end has all it needs to begin, from the kick on. */
	ck_assert_uint_eq(asked(VU_GET_VRING_BASE), at[_i] == VU_SET_VRING_ENABLE);
	ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, &s), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	ck_assert_int_ne(vdev_vhost_front_kick_fd(f, 0), kick);
	ck_assert(vf_until(has_fds, &fds));
	ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, &s), 0);
	ck_assert_uint_eq(s.size, SIZE);
	close(q.kick_fd);
	close(q.call_fd);
	down();
}
END_TEST

static int updates;

static int updated(void *ctx)
{
	(void)ctx;
	return __atomic_load_n(&updates, __ATOMIC_ACQUIRE) > 0;
}

static void miss(const struct liar *l)
{
	struct {
		struct vu_header h;
		uint8_t m[sizeof(struct vu_iotlb)];
	} out = {.h = {VU_BE_IOTLB_MSG, VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(struct vu_iotlb)}};
	struct vu_iotlb m = {.iova = GPA, .perm = VU_IOTLB_READ, .type = VU_IOTLB_MISS};

	memcpy(out.m, &m, sizeof(m));
	ck_assert_int_eq(vdev_os_send_fds(l->channel, &out, sizeof(out), NULL, 0, 1000), 0);
}

/* Misses something while an invalidation is to be answered, and does not read any more. */
static void miss_and_go(struct liar *l, const struct vu_header *h, const void *payload)
{
	(void)payload;
	if (h->request != VU_IOTLB_MSG)
		return;
	shutdown(l->sock, SHUT_RD);
	miss(l);
	ck_assert(vf_until(updated, NULL));
}

static int tell_at_once(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	struct virtq_xlat x = {iova, GPA, 4096, 3, 0};
	struct vdev_vhost_front_queue q = guest_queue(0);

	(void)ctx;
	(void)write;
	(void)out;
	/* Nothing else can be asked for in the middle of that. */
	ck_assert_int_eq(accept_some(VIRTQ_F_EVENT_IDX), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_status(f), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_reset(f), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_reconnect(f, memfd), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_set_memory(f, NULL, 0), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_queue_stop(f, 0, NULL), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_iotlb_invalidate(f, 0, 4096), VIRTQ_EBUSY);
	ck_assert_int_eq(vdev_vhost_front_kick(f, 0), 0);
	ck_assert_int_lt(vdev_vhost_front_iotlb_update(f, &x), 0);
	__atomic_store_n(&updates, 1, __ATOMIC_RELEASE);
	return VIRTQ_EAGAIN;
}

START_TEST(invalidation_that_was_not_answered)
{
	static const struct virtq_xlat_ops translator = {.size = sizeof(translator),
	                                                 .translate = tell_at_once};

	xlat = &translator;
	back = (struct liar){.on = miss_and_go};
	up(VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_vhost_front_iotlb_invalidate(f, 0, 4096), VIRTQ_EBROKEN);
	ck_assert_int_eq(updates, 1);
	ck_assert_int_eq(vdev_vhost_front_alive(f), 0);
	down();
}
END_TEST

/* Misses something when the driver is ready. */
static void miss_when_ready(struct liar *l, const struct vu_header *h, const void *payload)
{
	if (h->request == VU_SET_STATUS && *(const uint8_t *)payload & VIRTQ_STATUS_DRIVER_OK)
		miss(l);
}

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)ctx;
	(void)write;
	*out = (struct virtq_xlat){iova - iova % 4096, iova - iova % 4096, 4096, 3, 0};
	return 0;
}

static int told_translation(void *ctx)
{
	struct vdev_task t;

	(void)ctx;
	vdev_vhost_front_task(f, &t);
	(void)t.run(t.ctx, 0);
	return asked(VU_IOTLB_MSG) == 1;
}

/* The answer to a miss was refused. That says nothing of what is told later. */
START_TEST(refused_answer_to_a_miss)
{
	static const struct virtq_xlat_ops translator = {.size = sizeof(translator),
	                                                 .translate = translate};
	const struct virtq_xlat x = {GPA, GPA, 4096, 3, 0};
	struct vdev_vhost_front_queue q = guest_queue(0);

	xlat = &translator;
	back = (struct liar){.on = miss_when_ready, .lie_at = VU_IOTLB_MSG, .lie = SAYS_NO, .value = 1};
	up(VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_vhost_front_set_status(f, 0xf), 0);
	ck_assert(vf_until(told_translation, NULL));
	ck_assert_int_eq(vdev_vhost_front_status(f), 0xb); /* its refusal came before this */
	if (_i == 0)
		ck_assert_int_eq(vdev_vhost_front_queue_start(f, 0, &q), 0);
	else if (_i == 1)
		ck_assert_int_eq(vdev_vhost_front_iotlb_update(f, &x), 0);
	else
		ck_assert_int_eq(vdev_vhost_front_iotlb_invalidate(f, GPA, 4096), 0);
	down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("front state");
	TCase *tc = tcase_create("front-state");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, packed_ring_goes_on_as_recorded, 0, 11);
	tcase_add_test(tc, record_is_not_trusted);
	tcase_add_loop_test(tc, record_is_forgotten, 0, 2);
	tcase_add_test(tc, given_socket_stays_the_callers);
	tcase_add_loop_test(tc, memory_without_a_file, 0, 2);
	tcase_add_test(tc, successor_without_a_log);
	tcase_add_loop_test(tc, log_is_refused, 0, 2);
	tcase_add_test(tc, nobody_takes_the_connection);
	tcase_add_test(tc, inflight_limits);
	tcase_add_loop_test(tc, refused_start_leaves_nothing, 0, 4);
	tcase_add_test(tc, invalidation_that_was_not_answered);
	tcase_add_loop_test(tc, refused_answer_to_a_miss, 0, 3);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
