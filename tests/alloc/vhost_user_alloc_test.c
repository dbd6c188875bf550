/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user back-end, when memory or descriptors run out: it answers that a message failed and the front-end may
 * say it again, or it closes the connection and the next one may come. Front-end and back-end share this thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vdev/blk.h>
#include <vdev/vhost_user.h>
#include <virtq/virtq.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "inject.h"

enum {
	MEM = 1 << 18,
	GPA = 0x40000000,
	SECTOR = 512,
	RING = 16,
	DATA_AT = 0x8000,
	REG_AT = 0x20000,
	LOG = 65536
};

static char folder[] = "/tmp/vdevkit-alloc-XXXXXX";
static char path[64];
static int memfd, logfd;
static uint8_t *mem;
static uint64_t features;
static uint32_t flags; /* of the back-end */

struct rig {
	struct vdev_disk *disk;
	struct vdev *v;
	struct vdev_vhost_user *vu;
	struct vdev_task task;
	int over;
	int sock;
	int kick, call;
	struct virtq_drv drv;
	uint8_t scratch[4096];
};

/* What the front-end has must not fail. */
static void files_make(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	memfd = vdev_os_memfd("guest", MEM);
	logfd = vdev_os_memfd("log", LOG);
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_ge(logfd, 0);
	mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ck_assert_ptr_ne(mem, MAP_FAILED);
}

static void files_remove(void)
{
	munmap(mem, MEM);
	close(memfd);
	close(logfd);
	rmdir(folder);
}

static void serve(struct rig *r)
{
	struct vdev_task queue;

	if (flags & VDEV_VHOST_USER_QUEUE_TASKS)
		ck_assert_int_eq(vdev_vhost_user_queue_task(r->vu, 0, &queue), 0);
	for (int i = 0; i < 30 && !r->over; i++) {
		if (flags & VDEV_VHOST_USER_QUEUE_TASKS)
			(void)!queue.run(queue.ctx, VDEV_RUN_ARM);
		r->over = r->task.run(r->task.ctx, VDEV_RUN_ARM) < 0;
	}
}

/* --- a front-end ---------------------------------------------------------------------------------- */

static void hang_up(struct rig *r)
{
	if (r->sock >= 0)
		close(r->sock);
	r->sock = -1;
	serve(r);
}

static void call_up(struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	hang_up(r);
	strcpy(a.sun_path, path);
	inject_pause();
	r->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inject_go_on();
	ck_assert_int_ge(r->sock, 0);
	ck_assert_int_eq(connect(r->sock, (struct sockaddr *)&a, sizeof(a)), 0);
	serve(r);
}

/* Send a message, take its answer: bytes of payload, or < 0 when there is none. */
static int exchange(struct rig *r, uint32_t request, const void *payload, size_t len, int fd,
                    void *answer, size_t room)
{
	struct {
		struct vu_header h;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} m = {.h = {request, VU_VERSION | VU_FLAG_NEED_REPLY, (uint32_t)len}};
	struct vu_header h;
	ssize_t got;

	if (len > 0)
		memcpy(m.bytes, payload, len);
	if (vdev_os_send_fds(r->sock, &m, sizeof(m.h) + len, &fd, fd >= 0, 0) < 0)
		return -1;
	serve(r);
	got = recv(r->sock, &h, sizeof(h), MSG_DONTWAIT);
	if (got != sizeof(h))
		return -1;
	ck_assert_uint_eq(h.request, request);
	ck_assert_uint_le(h.size, room);
	if (h.size > 0)
		ck_assert_int_eq(recv(r->sock, answer, h.size, MSG_DONTWAIT), h.size);
	return (int)h.size;
}

/* A message that is acknowledged: 0, or VIRTQ_ENOMEM when it was not carried out. */
static int tell(struct rig *r, uint32_t request, const void *payload, size_t len, int fd)
{
	uint64_t ack = 1;
	int got = exchange(r, request, payload, len, fd, &ack, sizeof(ack));

	if (got < 0)
		return VIRTQ_ENOMEM;
	/* SET_LOG_BASE has an answer of its own, empty or not. */
	return request == VU_SET_LOG_BASE || ack == 0 ? 0 : VIRTQ_ENOMEM;
}

static int tell_u64(struct rig *r, uint32_t request, uint64_t value, int fd)
{
	return tell(r, request, &value, sizeof(value), fd);
}

static int tell_state(struct rig *r, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = {index, num};

	return tell(r, request, &s, sizeof(s), -1);
}

static int table(struct rig *r)
{
	struct vu_mem_table t = {.count = 1, .regions = {{.gpa = GPA, .len = REG_AT, .uva = GPA}}};

	return tell(r, VU_SET_MEM_TABLE, &t, 8 + 32, memfd);
}

static int region(struct rig *r, uint32_t request)
{
	struct vu_mem_reg m = {
		.region = {
			.gpa = GPA + REG_AT, .len = MEM - REG_AT, .uva = GPA + REG_AT, .offset = REG_AT}};

	return tell(r, request, &m, sizeof(m), request == VU_ADD_MEM_REG ? memfd : -1);
}

static int log_base(struct rig *r)
{
	struct vu_log_desc d = {.bytes = LOG};

	/* The log has a bit for each page from address 0 on. */
	return tell(r, VU_SET_LOG_BASE, &d, sizeof(d), logfd);
}

static void driver_side(struct rig *r)
{
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features.word = {features},
	                               .queue_size = RING,
	                               .ring = mem,
	                               .ring_addr = GPA,
	                               .scratch = r->scratch};

	memset(mem, 0, DATA_AT);
	cfg.scratch_bytes = virtq_drv_bytes(RING, &cfg.features);
	ck_assert_uint_le(cfg.scratch_bytes, sizeof(r->scratch));
	ck_assert_int_eq(virtq_drv_init(&r->drv, &cfg), 0);
}

/* All of a ring's messages. */
static int ring(struct rig *r)
{
	struct virtq_state s;
	struct vu_vring_addr a;
	int rc;

	driver_side(r);
	virtq_drv_state(&r->drv, &s);
	a = (struct vu_vring_addr){.desc = s.desc, .avail = s.driver, .used = s.device};
	rc = tell_state(r, VU_SET_VRING_NUM, 0, RING);
	if (rc == 0)
		rc = tell_state(r, VU_SET_VRING_BASE, 0,
		                features >> VIRTQ_F_RING_PACKED & 1 ? 0x80008000 : 0);
	if (rc == 0)
		rc = tell(r, VU_SET_VRING_ADDR, &a, sizeof(a), -1);
	if (rc == 0)
		rc = tell_u64(r, VU_SET_VRING_CALL, 0, r->call);
	if (rc == 0)
		rc = tell_u64(r, VU_SET_VRING_KICK, 0, r->kick);
	if (rc == 0)
		rc = tell_state(r, VU_SET_VRING_ENABLE, 0, 1);
	return rc;
}

static int ring_down(struct rig *r)
{
	struct vu_vring_state s = {0, 0}, base;

	return exchange(r, VU_GET_VRING_BASE, &s, sizeof(s), -1, &base, sizeof(base)) < 0 ? VIRTQ_ENOMEM
	                                                                                  : 0;
}

/* A sector written: 0, or VIRTQ_ENOMEM when the ring does not run. */
static int request(struct rig *r)
{
	struct virtq_seg seg[3] = {
		{GPA + DATA_AT, 16}, {GPA + DATA_AT + 64, SECTOR}, {GPA + DATA_AT + 1024, 1}};
	struct virtq_done done;

	memset(mem + DATA_AT, 0, 16);
	mem[DATA_AT] = 1;
	mem[DATA_AT + 1024] = 0x5a;
	ck_assert_int_eq(virtq_drv_add(&r->drv, seg, 2, 1, r), 0);
	virtq_drv_publish(&r->drv);
	vdev_os_signal(r->kick);
	for (int i = 0; i < 4; i++) {
		serve(r);
		if (virtq_drv_take(&r->drv, &done, 1) == 1) {
			ck_assert_uint_eq(mem[DATA_AT + 1024], 0);
			return 0;
		}
	}
	ck_assert_msg(vdev_queue_broken(r->v, 0) || !vdev_queue_started(r->v, 0) || r->over,
	              "%s: the request hangs", inject_what());
	return VIRTQ_ENOMEM;
}

/* --- scenarios ------------------------------------------------------------------------------------ */

static int rig_make(struct rig *r)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .queue_max = 64};
	struct vdev_vhost_user_config cfg = {
		.size = sizeof(cfg), .path = path, .flags = flags, .mem_slots = 4};
	int rc;

	memset(r, 0, sizeof(*r));
	r->sock = -1;
	inject_pause();
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	inject_go_on();
	do
		rc = vdev_disk_null_new(&r->disk, inject_env(), 65536);
	while (inject_again(rc));
	if (rc < 0)
		return rc;
	do
		rc = vdev_blk_new(&r->v, inject_env(), r->disk, &blk);
	while (inject_again(rc));
	if (rc < 0)
		return rc;
	do {
		rc = vdev_vhost_user_new(&r->vu, inject_env(), r->v, &cfg);
		/* Nothing is left of an attempt that failed. */
		ck_assert(rc == 0 || access(path, F_OK) != 0);
	} while (inject_again(rc));
	if (rc == 0)
		vdev_vhost_user_task(r->vu, &r->task);
	return rc;
}

static void rig_free(struct rig *r)
{
	if (r->sock >= 0)
		close(r->sock);
	vdev_vhost_user_free(r->vu);
	if (r->v != NULL)
		ck_assert_int_eq(vdev_free(r->v), 0);
	vdev_disk_free(r->disk);
	close(r->kick);
	close(r->call);
}

static int listen_only(void)
{
	struct rig r;
	int rc = rig_make(&r);

	rig_free(&r);
	return rc;
}

/* From the connection to a request that has ended. */
static int session(struct rig *r)
{
	uint64_t protocol = 1ull << VU_PROTO_REPLY_ACK | 1ull << VU_PROTO_LOG_SHMFD |
	                    1ull << VU_PROTO_MEM_SLOTS | 1ull << VU_PROTO_CONFIG;
	uint64_t unused;
	int rc;

	call_up(r);
	/* Without acknowledgements as yet; the question shows that somebody is there. */
	if (exchange(r, VU_GET_FEATURES, NULL, 0, -1, &unused, sizeof(unused)) < 0)
		return VIRTQ_ENOMEM;
	rc = tell_u64(r, VU_SET_PROTOCOL_FEATURES, protocol, -1);
	if (rc == 0)
		rc = tell_u64(r, VU_SET_FEATURES, features | 1ull << VU_F_PROTOCOL, -1);
	if (rc == 0)
		rc = table(r);
	if (rc == 0)
		rc = region(r, VU_ADD_MEM_REG);
	if (rc == 0)
		rc = ring(r);
	if (rc == 0)
		rc = request(r);
	if (rc == 0)
		rc = region(r, VU_REM_MEM_REG);
	if (rc == 0)
		rc = region(r, VU_ADD_MEM_REG);
	if (rc == 0)
		rc = tell_u64(r, VU_SET_FEATURES, features | 1ull << VU_F_PROTOCOL | 1ull << VU_F_LOG_ALL,
		              -1);
	if (rc == 0)
		rc = log_base(r);
	if (rc == 0)
		rc = request(r);
	if (rc == 0)
		rc = table(r);
	if (rc == 0)
		rc = ring_down(r);
	if (rc == 0)
		rc = ring(r);
	if (rc == 0)
		rc = request(r);
	hang_up(r);
	return rc;
}

/* Whatever went wrong, the next connection goes well. */
static int sessions(void)
{
	struct rig r;
	int rc = rig_make(&r);

	if (rc == 0) {
		do
			rc = session(&r);
		while (inject_again(rc));
		hang_up(&r);
		ck_assert(!vdev_queue_started(r.v, 0));
	}
	rig_free(&r);
	return rc;
}

/* A message that failed is said again, in the same connection. */
static int say_again(void)
{
	struct rig r;
	int rc = rig_make(&r);
	uint64_t protocol = 1ull << VU_PROTO_REPLY_ACK | 1ull << VU_PROTO_MEM_SLOTS, unused;

	if (rc == 0) {
		inject_pause();
		call_up(&r);
		ck_assert_int_ge(exchange(&r, VU_GET_FEATURES, NULL, 0, -1, &unused, sizeof(unused)), 0);
		ck_assert_int_eq(tell_u64(&r, VU_SET_PROTOCOL_FEATURES, protocol, -1), 0);
		ck_assert_int_eq(tell_u64(&r, VU_SET_FEATURES, features | 1ull << VU_F_PROTOCOL, -1), 0);
		inject_go_on();
		do
			rc = table(&r);
		while (inject_again(rc));
	}
	for (int i = 0; rc == 0 && i < 2; i++) {
		do
			rc = region(&r, VU_ADD_MEM_REG);
		while (inject_again(rc));
		if (rc < 0)
			break;
		do
			rc = region(&r, VU_REM_MEM_REG);
		while (inject_again(rc));
	}
	rig_free(&r);
	return rc;
}

START_TEST(a_back_end_listens_or_is_not_there)
{
	inject_run("listen", listen_only, 14);
}
END_TEST

START_TEST(a_connection_goes_well_or_ends)
{
	features = 1ull << VIRTQ_F_VERSION_1 | 1ull << VIRTQ_F_EVENT_IDX;
	if (_i & 2)
		flags = VDEV_VHOST_USER_QUEUE_TASKS;
	if (_i & 1)
		features |= 1ull << VIRTQ_F_RING_PACKED;
	inject_run("session", sessions, 40);
}
END_TEST

START_TEST(a_refused_message_may_be_said_again)
{
	features = 1ull << VIRTQ_F_VERSION_1;
	inject_run("again", say_again, 22);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost_user_alloc");
	TCase *t = tcase_create("vhost_user");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, files_make, files_remove);
	tcase_add_test(t, a_back_end_listens_or_is_not_there);
	tcase_add_loop_test(t, a_connection_goes_well_or_ends, 0, 4);
	tcase_add_test(t, a_refused_message_may_be_said_again);
	suite_add_tcase(s, t);
	srunner_add_suite(runner, s);
}
