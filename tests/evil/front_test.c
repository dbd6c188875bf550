/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back-ends that lie to our front-end. One is a thread that answers rightly until a request comes for which the table
 * has something else; whatever that is, the call ends with an error in time, the connection is over, and no descriptor
 * is left behind.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vdev/vhost_user_front.h>

#include "vu_front.h"

enum { ANY = -1, LIMIT_MS = 1500, BYTES = 65536 };

/* What is wrong with the answer. */
enum lie {
	OTHER_REQUEST, /* it is the answer to something else */
	NO_REPLY_FLAG,
	WRONG_VERSION,
	NEED_REPLY_SET,
	TOO_SHORT,
	TOO_LONG,
	HUGE_SIZE, /* the header says 4 GiB */
	ONE_FD,    /* a descriptor where none belongs */
	MANY_FDS,
	NO_FD, /* none where one belongs */
	HANGS_UP,
	HANGS_UP_WITHIN, /* in the middle of the header */
	HANGS_UP_BEFORE_PAYLOAD,
	SILENCE,
	HALF_AND_SILENCE,
	TWICE, /* the answer, and once more */
	SAYS_NO,
	WRONG_VALUE, /* value is told */
	LIES
};

struct back {
	int sock;
	pthread_t thread;
	uint32_t lie_at; /* request */
	enum lie lie;
	uint64_t value;
	int channel;
	int lied;
	int fills; /* every eventfd it is given, and lets writes to it wait */
};

static struct back back;
static int pair[2];
static int gone_calls, gone_rc;

static void gone(void *ctx, int rc, const char *why)
{
	(void)ctx;
	ck_assert_ptr_nonnull(why);
	gone_calls++;
	gone_rc = rc;
}

static const struct vdev_vhost_front_ops ops = {.size = sizeof(ops), .gone = gone};

static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	if ((st.st_mode & S_IFMT) != 0)
		return;
	ck_assert_int_eq(write(fd, &most, sizeof(most)), sizeof(most));
	ck_assert_int_ge(vdev_os_nonblock(fd, 0), 0);
}

static int receive(int sock, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		int fds[8];
		unsigned n;
		struct pollfd p = {.fd = sock, .events = POLLIN};
		ssize_t got;

		(void)poll(&p, 1, -1);
		got = vdev_os_recv_fds(sock, (char *)buf + have, len - have, fds, 8, &n);
		for (unsigned i = 0; i < n; i++) {
			if (back.fills)
				fill(fds[i]);
			/* The first one of SET_BACKEND_REQ_FD is kept: it is asked for below. */
			if (back.channel < 0 && n == 1)
				back.channel = fds[i];
			else
				close(fds[i]);
		}
		if (got <= 0 && got != -EAGAIN)
			return 0;
		have += got > 0 ? (size_t)got : 0;
	}
	return 1;
}

/* Payload of the right answer; its length, or -1 when there is none to give. */
static int right_answer(const struct vu_header *h, uint8_t *payload, int *fd)
{
	uint64_t v = 0;
	struct vu_inflight area = {.mmap_size = 4096, .num_queues = 1, .queue_size = 64};

	switch (h->request) {
	case VU_GET_FEATURES:
		v = 1ull << VIRTQ_F_VERSION_1 | 1ull << VU_F_PROTOCOL | 1ull << VU_F_LOG_ALL |
		    1ull << VIRTQ_F_ACCESS_PLATFORM;
		break;
	case VU_GET_PROTOCOL_FEATURES:
		v = UINT64_MAX;
		break;
	case VU_GET_QUEUE_NUM:
		v = 1;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		v = 8;
		break;
	case VU_GET_STATUS:
		v = 0xb;
		break;
	case VU_GET_VRING_BASE:
		return 8;
	case VU_GET_CONFIG:
		return (int)h->size;
	case VU_SET_LOG_BASE:
		return 0;
	case VU_GET_INFLIGHT_FD:
		*fd = vdev_os_memfd("area", 4096);
		memcpy(payload, &area, sizeof(area));
		return sizeof(area);
	default:
		if (!(h->flags & VU_FLAG_NEED_REPLY))
			return -1;
		break;
	}
	memcpy(payload, &v, sizeof(v));
	return 8;
}

static void say(const struct vu_header *h, const uint8_t *payload, size_t len, const int *fds,
                unsigned nfds, size_t cut)
{
	uint8_t out[1024];

	memcpy(out, h, sizeof(*h));
	memcpy(out + sizeof(*h), payload, len);
	len += sizeof(*h);
	(void)!vdev_os_send_fds(back.sock, out, cut < len ? cut : len, fds, nfds, 1000);
}

static int nothing_more(void)
{
	uint8_t rest[64];

	while (receive(back.sock, rest, 1))
		continue;
	return 0;
}

/* Answer with what is wrong. 0: the conversation is over. */
static int tell_lie(struct vu_header h, uint8_t *payload, int len, int fd)
{
	int fds[9];
	unsigned nfds = fd >= 0 ? 1 : 0;
	size_t cut = SIZE_MAX;

	back.lied = 1;
	if (len < 0)
		len = 8;
	h.flags = VU_VERSION | VU_FLAG_REPLY;
	h.size = (uint32_t)len;
	for (unsigned i = 0; i < 9; i++)
		fds[i] = i == 0 && fd >= 0 ? dup(fd) : eventfd(0, 0);
	switch (back.lie) {
	case OTHER_REQUEST:
		h.request = h.request == VU_GET_FEATURES ? 3 : 1;
		break;
	case NO_REPLY_FLAG:
		h.flags = VU_VERSION;
		break;
	case WRONG_VERSION:
		h.flags = 2 | VU_FLAG_REPLY;
		break;
	case NEED_REPLY_SET:
		h.flags |= VU_FLAG_NEED_REPLY;
		break;
	case TOO_SHORT:
		h.size = (uint32_t)--len;
		break;
	case TOO_LONG:
		h.size = (uint32_t)(len += 300);
		break;
	case HUGE_SIZE:
		h.size = UINT32_MAX;
		break;
	case ONE_FD:
		nfds++;
		break;
	case MANY_FDS:
		nfds = 9;
		break;
	case NO_FD:
		nfds = 0;
		break;
	case HANGS_UP:
		cut = 0;
		break;
	case HANGS_UP_WITHIN:
		cut = 5;
		break;
	case HANGS_UP_BEFORE_PAYLOAD:
		cut = sizeof(h);
		break;
	case SILENCE:
		cut = 0;
		break;
	case HALF_AND_SILENCE:
		cut = 14;
		break;
	case SAYS_NO:
	case WRONG_VALUE:
		memcpy(payload, &back.value, 8);
		break;
	default:
		break;
	}
	if (cut > 0)
		say(&h, payload, (size_t)len, fds, nfds, cut);
	if (back.lie == TWICE)
		say(&h, payload, (size_t)len, NULL, 0, cut);
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
	if (back.lie == SILENCE || back.lie == HALF_AND_SILENCE)
		return nothing_more();
	return back.lie == TWICE || back.lie == SAYS_NO || back.lie == WRONG_VALUE;
}

static void *be_back(void *arg)
{
	struct vu_header h;
	uint8_t payload[512 + 300];

	(void)arg;
	while (receive(back.sock, &h, sizeof(h))) {
		int fd = -1, len;

		ck_assert_uint_le(h.size, 512);
		memset(payload, 0, sizeof(payload));
		if (h.size > 0 && !receive(back.sock, payload, h.size))
			break;
		len = right_answer(&h, payload, &fd);
		if (h.request == back.lie_at && !back.lied) {
			if (!tell_lie(h, payload, len, fd)) {
				vdev_os_close(fd);
				break;
			}
		} else if (len >= 0) {
			struct vu_header out = {h.request, VU_VERSION | VU_FLAG_REPLY, (uint32_t)len};

			say(&out, payload, (size_t)len, &fd, fd >= 0 ? 1 : 0, SIZE_MAX);
		}
		vdev_os_close(fd);
	}
	close(back.sock);
	return NULL;
}

/* Everything a front-end does, up to the first error. */
static int whole_life(struct vdev_vhost_front *f)
{
	static _Alignas(4096) uint8_t scratch[16384];
	struct virtq_features features = {{1ull << VIRTQ_F_VERSION_1, 0}};
	int fd = vdev_os_memfd("mem", BYTES), log = vdev_os_memfd("log", BYTES);
	uint8_t *mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct vdev_vhost_front_region r = {.gpa = 0x10000, .len = BYTES, .host = mem, .fd = fd};
	struct vdev_vhost_front_queue q = {.size = sizeof(q)};
	struct virtq_drv drv;
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = features,
	                               .queue_size = 64,
	                               .ring = mem,
	                               .ring_addr = 0x10000,
	                               .scratch = scratch,
	                               .scratch_bytes = sizeof(scratch)};
	uint8_t config[16];
	int rc = vdev_vhost_front_accept(f, &features);

	ck_assert_int_eq(virtq_drv_init(&drv, &cfg), 0);
	virtq_drv_state(&drv, &q.state);
	q.drv = &drv;
	if (rc >= 0)
		rc = vdev_vhost_front_set_memory(f, &r, 1);
	if (rc >= 0)
		rc = vdev_vhost_front_config_read(f, 0, config, sizeof(config));
	if (rc >= 0)
		rc = vdev_vhost_front_config_write(f, 0, config, 1);
	if (rc >= 0)
		rc = vdev_vhost_front_inflight(f, 64);
	if (rc >= 0)
		rc = vdev_vhost_front_set_log(f, log, 0, BYTES, -1);
	if (rc >= 0)
		rc = vdev_vhost_front_queue_start(f, 0, &q);
	if (rc >= 0)
		rc = vdev_vhost_front_set_status(f, 0xf);
	if (rc >= 0)
		rc = vdev_vhost_front_logging(f, 1);
	if (rc >= 0)
		rc = vdev_vhost_front_queue_enable(f, 0, 0);
	if (rc >= 0)
		rc = vdev_vhost_front_queue_stop(f, 0, NULL);
	if (rc >= 0)
		rc = vdev_vhost_front_set_memory(f, NULL, 0);
	if (rc >= 0)
		rc = vdev_vhost_front_reset(f);
	munmap(mem, BYTES);
	close(fd);
	close(log);
	return rc;
}

static int fills;

/* Run a life against a back-end that lies once. Returns how it ended; *f is what is left, or NULL. */
static int live(uint32_t request, enum lie lie, uint64_t value)
{
	struct vdev_vhost_front_config cfg = {
		.size = sizeof(cfg),
		.queues = 1,
		.ops = &ops,
		.timeout_ms = lie == SILENCE || lie == HALF_AND_SILENCE ? 60 : 20000};
	struct vdev_vhost_front *f;
	int rc;

	gone_calls = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	back = (struct back){.sock = pair[1],
	                     .lie_at = request,
	                     .lie = lie,
	                     .value = value,
	                     .channel = -1,
	                     .fills = fills};
	ck_assert_int_eq(vdev_os_thread(&back.thread, "liar", be_back, NULL), 0);
	cfg.fd = pair[0];
	rc = vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg);
	if (rc < 0) {
		/* What could not be taken over is still the caller's. */
		ck_assert_int_eq(close(pair[0]), 0);
		ck_assert_int_eq(gone_calls, 0);
	} else {
		rc = whole_life(f);
		if (rc < 0 && rc != VDEV_VHOST_FRONT_REFUSED) {
			struct virtq_features none = {{0, 0}};

			ck_assert_int_eq(vdev_vhost_front_alive(f), 0);
			ck_assert_int_eq(gone_calls, 1);
			ck_assert_int_eq(gone_rc, rc);
			ck_assert_uint_gt(strlen(vdev_vhost_front_why(f)), 5);
			ck_assert_int_eq(vdev_vhost_front_accept(f, &none), VIRTQ_EBROKEN);
			ck_assert_int_eq(vdev_vhost_front_status(f), VIRTQ_EBROKEN);
			ck_assert_int_eq(vdev_vhost_front_set_memory(f, NULL, 0), VIRTQ_EBROKEN);
		}
		vdev_vhost_front_free(f);
	}
	pthread_join(back.thread, NULL);
	vdev_os_close(back.channel);
	return rc;
}

/* Requests that have an answer, in the order of a life. */
static const uint32_t asked[] = {VU_GET_FEATURES,       VU_GET_PROTOCOL_FEATURES,
                                 VU_GET_QUEUE_NUM,      VU_GET_MAX_MEM_SLOTS,
                                 VU_SET_BACKEND_REQ_FD, VU_SET_STATUS,
                                 VU_SET_FEATURES,       VU_GET_STATUS,
                                 VU_ADD_MEM_REG,        VU_GET_CONFIG,
                                 VU_SET_CONFIG,         VU_GET_INFLIGHT_FD,
                                 VU_SET_INFLIGHT_FD,    VU_SET_LOG_BASE,
                                 VU_SET_VRING_NUM,      VU_SET_VRING_BASE,
                                 VU_SET_VRING_ADDR,     VU_SET_VRING_CALL,
                                 VU_SET_VRING_ERR,      VU_SET_VRING_KICK,
                                 VU_SET_VRING_ENABLE,   VU_GET_VRING_BASE,
                                 VU_REM_MEM_REG,        VU_RESET_DEVICE};
enum { ASKED = sizeof(asked) / sizeof(asked[0]) };

START_TEST(a_life_without_lies)
{
	ck_assert_int_eq(live(0, LIES, 0), 0);
	ck_assert_int_eq(gone_calls, 0);
}
END_TEST

START_TEST(CH_7044_CH_7190)
{
	uint32_t request = asked[_i];
	unsigned before;

	(void)live(0, LIES, 0);
	before = vf_open_fds();
	for (enum lie lie = OTHER_REQUEST; lie < SAYS_NO; lie++) {
		int rc;

		if (lie == NO_FD && request != VU_GET_INFLIGHT_FD)
			continue;
		/* There is nothing shorter than nothing, and no second half of a header that short. */
		if (lie == TOO_SHORT && request == VU_SET_LOG_BASE)
			continue;
		if ((lie == HALF_AND_SILENCE || lie == HANGS_UP_BEFORE_PAYLOAD) &&
		    request == VU_SET_LOG_BASE)
			continue;
		/* The last answer of all, with nobody who would look for more. */
		if (lie == TWICE && request == VU_RESET_DEVICE)
			continue;
		rc = live(request, lie, 0);
		ck_assert_msg(rc < 0 && rc != VDEV_VHOST_FRONT_REFUSED, "request %u, lie %d: %d", request,
		              lie, rc);
		if (lie == SILENCE || lie == HALF_AND_SILENCE)
			ck_assert_int_eq(rc, -ETIMEDOUT);
		else if (lie >= HANGS_UP && lie <= HANGS_UP_BEFORE_PAYLOAD)
			ck_assert_int_eq(rc, VIRTQ_EIO);
		else
			ck_assert_int_eq(rc, VIRTQ_EPROTO);
		ck_assert_uint_eq(vf_open_fds(), before);
	}
}
END_TEST

/* No is an answer: the connection stays. */
START_TEST(no_is_an_answer)
{
	static const uint32_t refusable[] = {VU_SET_FEATURES,  VU_ADD_MEM_REG,     VU_SET_CONFIG,
	                                     VU_SET_VRING_NUM, VU_SET_INFLIGHT_FD, VU_SET_VRING_KICK};

	ck_assert_int_eq(live(refusable[_i], SAYS_NO, 1), VDEV_VHOST_FRONT_REFUSED);
	ck_assert_int_eq(gone_calls, 0);
}
END_TEST

/* Values that can't be. */
START_TEST(values_that_can_not_be)
{
	/* A status of 9 bits; the position of another queue; one ahead of what was published. */
	ck_assert_int_eq(live(VU_GET_STATUS, WRONG_VALUE, 0x10b), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_VRING_BASE, WRONG_VALUE, 1), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_VRING_BASE, WRONG_VALUE, 5ull << 32), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_VRING_BASE, WRONG_VALUE, 0x10000ull << 32), VIRTQ_EPROTO);
	/* Another part of the configuration space. */
	ck_assert_int_eq(live(VU_GET_CONFIG, WRONG_VALUE, 1), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_CONFIG, WRONG_VALUE, 1ull << 32), VIRTQ_EPROTO);
	/* An in-flight area beyond its file. */
	ck_assert_int_eq(live(VU_GET_INFLIGHT_FD, WRONG_VALUE, 4097), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_INFLIGHT_FD, WRONG_VALUE, UINT64_MAX), VIRTQ_EPROTO);
	ck_assert_int_eq(live(VU_GET_INFLIGHT_FD, WRONG_VALUE, 0), VIRTQ_EPROTO);
	/* No room for memory at all, more queues than there can be: limits, and no lies. */
	ck_assert_int_eq(live(VU_GET_QUEUE_NUM, WRONG_VALUE, UINT64_MAX), 0);
	ck_assert_int_eq(live(VU_GET_MAX_MEM_SLOTS, WRONG_VALUE, UINT64_MAX), 0);
}
END_TEST

/* Descriptors that we notify through are full, and would block. */
START_TEST(full_counters_that_block)
{
	alarm(20);
	fills = 1;
	ck_assert_int_eq(live(0, LIES, 0), 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("evil back-ends");
	TCase *tc = tcase_create("front");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_life_without_lies);
	tcase_add_loop_test(tc, CH_7044_CH_7190, 0, ASKED);
	tcase_add_test(tc, full_counters_that_block);
	tcase_add_loop_test(tc, no_is_an_answer, 0, 6);
	tcase_add_test(tc, values_that_can_not_be);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
