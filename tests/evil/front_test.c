/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back-ends that lie to our front-end. One is a thread that answers rightly until a request comes for which the table
 * has something else; whatever that is, the call ends with an error in time, the connection is over, and no descriptor
 * is left behind.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/vhost_user_front.h>

#include "liar.h"

enum { BYTES = 65536 };

static struct liar back;
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
	back = (struct liar){
		.sock = pair[1], .lie_at = request, .lie = lie, .value = value, .fills = fills};
	liar_start(&back);
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
	liar_end(&back);
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
	before = test_descriptors();
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
		ck_assert_uint_eq(test_descriptors(), before);
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
