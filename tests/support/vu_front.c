/* SPDX-License-Identifier: BSD-3-Clause */
#include "vu_front.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000 };

/*
 * A port takes descriptors of back-ends out of its epoll set after they were closed. By then the number may be that of a
 * socket of ours, which is in no such set: nothing happens, but to ThreadSanitizer it looks like a race for it.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:watch_backend\n";
}

static void note_log(void *ctx, const struct vdev_log_entry *e)
{
	(void)ctx;
	if (getenv("VF_LOG") != NULL)
		fprintf(stderr, "# %s: %s (queue %d, value %llx, error %d)\n", e->source, e->text, e->queue,
		        (unsigned long long)e->value, e->error);
}

static void note_connection(void *ctx, int up, const char *why)
{
	struct vu_front *f = ctx;

	pthread_mutex_lock(&f->lock);
	if (up)
		f->ups++;
	else
		f->downs++;
	snprintf(f->why, sizeof(f->why), "%s", why);
	pthread_mutex_unlock(&f->lock);
}

int vf_until(int (*fn)(void *ctx), void *ctx)
{
	uint64_t end = vdev_os_now() + TIMEOUT_MS * 1000000ull;

	while (!fn(ctx)) {
		if (vdev_os_now() > end)
			return 0;
		usleep(1000);
	}
	return 1;
}

static void add(struct vdev_loop *loop, unsigned thread, const struct vdev_task *task)
{
	ck_assert_int_ge(vdev_loop_add(loop, thread, task), 0);
}

void vf_start_remote(struct vu_front *f)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	f->sock = f->channel = -1;
	memset(f->perm, VU_IOTLB_READ | VU_IOTLB_WRITE, sizeof(f->perm));
	f->env = *vdev_env_hosted();
	f->env.log = note_log;
	for (unsigned q = 0; q < VF_QUEUES; q++)
		f->rings[q].kick = f->rings[q].call = f->rings[q].err = -1;
	strcpy(f->dir, "/tmp/vdevkit-vf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
	f->memfd = vdev_os_memfd("guest", VF_BYTES);
	ck_assert_int_ge(f->memfd, 0);
	f->mem = mmap(NULL, VF_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	ck_assert_ptr_ne(f->mem, MAP_FAILED);
}

/* A back-end for the device, and who serves it. */
static void serve_device(struct vu_front *f, int threads, struct vdev_loop *loop)
{
	struct vdev_vhost_user_config cfg = {
		.size = sizeof(cfg), .path = f->path, .fd = -1, .connection = note_connection, .ctx = f};
	unsigned queues = threads == VF_THREADS ? vdev_queue_count(f->v) : 0;
	struct vdev_task task;

	if (threads == VF_THREADS)
		cfg.flags = VDEV_VHOST_USER_QUEUE_TASKS;
	ck_assert_int_eq(vdev_vhost_user_new(&f->vu, &f->env, f->v, &cfg), 0);
	if (loop == NULL) {
		ck_assert_int_eq(vdev_loop_new(&f->loop, &f->env, 1 + queues, 0), 0);
		loop = f->loop;
	}
	vdev_vhost_user_task(f->vu, &task);
	add(loop, 0, &task);
	for (unsigned q = 0; q < queues; q++) {
		ck_assert_int_eq(vdev_vhost_user_queue_task(f->vu, q, &task), 0);
		add(loop, 1 + q, &task);
	}
}

void vf_start(struct vu_front *f, unsigned queues, int threads)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .nqueues = queues, .queue_max = 256};

	vf_start_remote(f);
	f->disk = slow_disk_new(1 << 20, 0);
	ck_assert_int_eq(vdev_blk_new(&f->v, &f->env, &f->disk->disk, &blk), 0);
	serve_device(f, threads, NULL);
}

void vf_start_device(struct vu_front *f, struct vdev *v, int threads, struct vdev_loop *loop)
{
	vf_start_remote(f);
	f->v = v;
	serve_device(f, threads, loop);
}

static void drop_rings(struct vu_front *f)
{
	for (unsigned q = 0; q < VF_QUEUES; q++) {
		struct vf_ring *r = &f->rings[q];

		vdev_os_close(r->kick);
		vdev_os_close(r->call);
		vdev_os_close(r->err);
		free(r->scratch);
		memset(r, 0, sizeof(*r));
		r->kick = r->call = r->err = -1;
	}
	vdev_os_close(f->channel);
	f->channel = -1;
}

void vf_stop(struct vu_front *f)
{
	vdev_os_close(f->sock);
	f->sock = -1;
	drop_rings(f);
	if (f->v != NULL) {
		vdev_loop_free(f->loop);
		vdev_vhost_user_free(f->vu);
		ck_assert_int_eq(vdev_free(f->v), 0);
		if (f->disk != NULL)
			slow_disk_free(f->disk);
	}
	munmap(f->mem, VF_BYTES);
	close(f->memfd);
	ck_assert_int_ne(access(f->path, F_OK), 0);
	rmdir(f->dir);
	pthread_mutex_destroy(&f->lock);
}

void vf_connect(struct vu_front *f)
{
	struct timeval tv = {.tv_sec = TIMEOUT_MS / 1000};

	f->sock = vdev_os_sock_connect(f->path, TIMEOUT_MS);
	ck_assert_int_ge(f->sock, 0);
	f->connects++;
	ck_assert_int_ge(vdev_os_nonblock(f->sock, 0), 0);
	ck_assert_int_eq(setsockopt(f->sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	f->features = 0;
	f->protocol = 0;
}

static int all_down(void *ctx)
{
	struct vu_front *f = ctx;
	int down;

	pthread_mutex_lock(&f->lock);
	down = f->downs >= f->connects;
	pthread_mutex_unlock(&f->lock);
	return down;
}

void vf_disconnect(struct vu_front *f)
{
	close(f->sock);
	f->sock = -1;
	ck_assert(vf_until(all_down, f));
	drop_rings(f);
}

void vf_expect_closed(struct vu_front *f, const char *why)
{
	char byte;
	ssize_t got = recv(f->sock, &byte, 1, 0);

	/* What we sent and it did not read turns its close into a reset. */
	ck_assert_msg(got == 0 || (got < 0 && errno == ECONNRESET), "not closed: %zd", got);
	ck_assert(vf_until(all_down, f));
	pthread_mutex_lock(&f->lock);
	ck_assert_msg(strstr(f->why, why) != NULL, "closed because: %s", f->why);
	pthread_mutex_unlock(&f->lock);
	close(f->sock);
	f->sock = -1;
	drop_rings(f);
}

void vf_send_raw(struct vu_front *f, uint32_t request, uint32_t flags, uint32_t size,
                 const void *payload, size_t len, const int *fds, unsigned nfds)
{
	uint8_t out[sizeof(struct vu_header) + 4096];
	struct vu_header h = {request, flags, size};

	memcpy(out, &h, sizeof(h));
	if (len > 0)
		memcpy(out + sizeof(h), payload, len);
	/* A back-end that has closed already is what some tests are about. */
	(void)!vdev_os_send_fds(f->sock, out, sizeof(h) + len, fds, nfds, TIMEOUT_MS);
}

void vf_send(struct vu_front *f, uint32_t request, const void *payload, size_t len)
{
	vf_send_raw(f, request, VU_VERSION, (uint32_t)len, payload, len, NULL, 0);
}

static ssize_t receive(struct vu_front *f, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = recv(f->sock, (char *)buf + have, len - have, 0);

		if (got <= 0) {
			ck_assert_msg(got == 0 || errno == ECONNRESET, "no answer");
			return -1;
		}
		have += (size_t)got;
	}
	return (ssize_t)have;
}

int vf_answer(struct vu_front *f, uint32_t request, void *buf, size_t len)
{
	struct vu_header h;

	if (receive(f, &h, sizeof(h)) < 0)
		return -1;
	ck_assert_uint_eq(h.request, request);
	ck_assert_uint_eq(h.flags, VU_VERSION | VU_FLAG_REPLY);
	ck_assert_uint_le(h.size, len);
	if (h.size > 0 && receive(f, buf, h.size) < 0)
		return -1;
	return (int)h.size;
}

int vf_answer_fd(struct vu_front *f, uint32_t request, void *buf, size_t len, int *fd)
{
	struct pollfd p = {.fd = f->sock, .events = POLLIN};
	struct vu_header h;
	unsigned n = 0;

	*fd = -1;
	ck_assert_int_eq(poll(&p, 1, TIMEOUT_MS), 1);
	if (vdev_os_recv_fds(f->sock, &h, sizeof(h), fd, 1, &n) != (ssize_t)sizeof(h))
		return -1;
	ck_assert_uint_eq(h.request, request);
	ck_assert_uint_eq(h.flags, VU_VERSION | VU_FLAG_REPLY);
	ck_assert_uint_le(h.size, len);
	if (h.size > 0 && receive(f, buf, h.size) < 0)
		return -1;
	return (int)h.size;
}

int vf_silent(struct vu_front *f, int ms)
{
	struct pollfd p = {.fd = f->sock, .events = POLLIN};

	return poll(&p, 1, ms) == 0;
}

int vf_ack(struct vu_front *f, uint32_t request, const void *payload, size_t len, const int *fds,
           unsigned nfds)
{
	uint64_t ack = 0;
	int got;

	vf_send_raw(f, request, VU_VERSION | VU_FLAG_NEED_REPLY, (uint32_t)len, payload, len, fds,
	            nfds);
	got = vf_answer(f, request, &ack, sizeof(ack));
	if (got < 0)
		return -1;
	ck_assert_int_eq(got, sizeof(ack));
	return (int)ack;
}

int vf_ack_u64(struct vu_front *f, uint32_t request, uint64_t value)
{
	return vf_ack(f, request, &value, sizeof(value), NULL, 0);
}

int vf_ack_state(struct vu_front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = {index, num};

	return vf_ack(f, request, &s, sizeof(s), NULL, 0);
}

uint64_t vf_get(struct vu_front *f, uint32_t request)
{
	uint64_t value = 0;

	vf_send(f, request, NULL, 0);
	ck_assert_int_eq(vf_answer(f, request, &value, sizeof(value)), sizeof(value));
	return value;
}

/* Where no acknowledgements are negotiated a question shows that the message went well. */
static void must(struct vu_front *f, uint32_t request, const void *payload, size_t len,
                 const int *fds, unsigned nfds)
{
	if (f->protocol >> VU_PROTO_REPLY_ACK & 1) {
		ck_assert_int_eq(vf_ack(f, request, payload, len, fds, nfds), 0);
		return;
	}
	vf_send_raw(f, request, VU_VERSION, (uint32_t)len, payload, len, fds, nfds);
	ck_assert_uint_ne(vf_get(f, VU_GET_FEATURES), 0);
}

static void must_u64(struct vu_front *f, uint32_t request, uint64_t value)
{
	must(f, request, &value, sizeof(value), NULL, 0);
}

static void must_state(struct vu_front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = {index, num};

	must(f, request, &s, sizeof(s), NULL, 0);
}

static int has(uint64_t word, unsigned bit)
{
	return (word >> bit & 1) != 0;
}

static void open_channel(struct vu_front *f)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->channel = pair[0];
	must(f, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
}

void vf_negotiate(struct vu_front *f, int kind)
{
	uint64_t offered;

	f->kind = kind;
	vf_send(f, VU_SET_OWNER, NULL, 0);
	offered = vf_get(f, VU_GET_FEATURES);
	ck_assert(has(offered, VU_F_PROTOCOL));
	f->features = 1ull << VIRTQ_F_VERSION_1 | 1ull << VIRTQ_F_EVENT_IDX;
	if (kind & VF_PACKED)
		f->features |= 1ull << VIRTQ_F_RING_PACKED;
	if (kind & VF_IOMMU) {
		/* It is offered to those who have the channel. */
		ck_assert(!has(offered, VIRTQ_F_ACCESS_PLATFORM));
		f->features |= 1ull << VIRTQ_F_ACCESS_PLATFORM;
	}
	if (kind & VF_IN_ORDER)
		f->features |= 1ull << VIRTQ_F_IN_ORDER;
	if (!(kind & VF_NO_PROTOCOL)) {
		uint64_t drop = 0;

		f->features |= 1ull << VU_F_PROTOCOL;
		if (!(kind & VF_INBAND))
			drop |= 1ull << VU_PROTO_INBAND;
		if (kind & VF_NO_STATUS)
			drop |= 1ull << VU_PROTO_STATUS;
		f->protocol = vf_get(f, VU_GET_PROTOCOL_FEATURES) & ~drop;
		must_u64(f, VU_SET_PROTOCOL_FEATURES, f->protocol);
		open_channel(f);
	}
	must_u64(f, VU_SET_FEATURES, f->features);
	if (has(f->protocol, VU_PROTO_STATUS))
		must_u64(f, VU_SET_STATUS,
		         VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK);
}

struct vu_region_desc vf_region(uint64_t offset, uint64_t len)
{
	return (struct vu_region_desc){
		.gpa = VF_GPA + offset, .len = len, .uva = VF_UVA + offset, .offset = offset};
}

void vf_memory(struct vu_front *f)
{
	struct vu_mem_table t = {.count = 1};

	t.regions[0] = vf_region(0, VF_BYTES);
	must(f, VU_SET_MEM_TABLE, &t, 8 + 32, &f->memfd, 1);
}

static uint64_t uva(const struct vu_front *f, uint64_t addr)
{
	return f->kind & VF_IOMMU ? addr : addr - VF_GPA + VF_UVA;
}

static void set_fd(struct vu_front *f, uint32_t request, unsigned q, int fd)
{
	uint64_t index = q;

	must(f, request, &index, sizeof(index), &fd, 1);
}

static void tell_ring(struct vu_front *f, unsigned q, uint32_t base)
{
	struct vf_ring *r = &f->rings[q];
	struct vu_vring_addr a = {.index = q,
	                          .desc = uva(f, r->state.desc),
	                          .avail = uva(f, r->state.driver),
	                          .used = uva(f, r->state.device)};

	must_state(f, VU_SET_VRING_NUM, q, r->state.size);
	must_state(f, VU_SET_VRING_BASE, q, base);
	must(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
}

void vf_ring_setup(struct vu_front *f, unsigned q)
{
	struct vf_ring *r = &f->rings[q];
	struct virtq_features features = {{f->features & ~(1ull << VU_F_PROTOCOL), 0}};
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = features,
	                               .queue_size = VF_RING,
	                               .ring = f->mem + q * 65536,
	                               .ring_addr = vf_bus(f, q * 65536)};
	uint32_t fresh = VIRTQ_STATE_WRAP | (uint32_t)VIRTQ_STATE_WRAP << 16;

	free(r->scratch);
	cfg.scratch_bytes = virtq_drv_bytes(VF_RING, &features);
	r->scratch = calloc(1, cfg.scratch_bytes);
	cfg.scratch = r->scratch;
	ck_assert_int_eq(virtq_drv_init(&r->drv, &cfg), 0);
	virtq_drv_state(&r->drv, &r->state);
	memset(r->slots, 0, sizeof(r->slots));
	tell_ring(f, q, f->kind & VF_PACKED ? fresh : 0);
	if (r->call < 0)
		r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->err < 0)
		r->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!(f->kind & VF_INBAND)) {
		set_fd(f, VU_SET_VRING_CALL, q, r->call);
		set_fd(f, VU_SET_VRING_ERR, q, r->err);
	}
}

void vf_ring_go(struct vu_front *f, unsigned q)
{
	struct vf_ring *r = &f->rings[q];

	vdev_os_close(r->kick);
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!(f->kind & VF_INBAND))
		set_fd(f, VU_SET_VRING_KICK, q, r->kick);
	if (f->features >> VU_F_PROTOCOL & 1)
		must_state(f, VU_SET_VRING_ENABLE, q, 1);
}

void vf_driver_ok(struct vu_front *f)
{
	if (has(f->protocol, VU_PROTO_STATUS))
		must_u64(f, VU_SET_STATUS,
		         VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK |
		             VIRTQ_STATUS_DRIVER_OK);
}

void vf_up(struct vu_front *f, int kind, unsigned queues)
{
	if (f->sock < 0)
		vf_connect(f);
	vf_negotiate(f, kind);
	vf_memory(f);
	for (unsigned q = 0; q < queues; q++) {
		vf_ring_setup(f, q);
		vf_ring_go(f, q);
	}
	vf_driver_ok(f);
}

void vf_ask_base(struct vu_front *f, unsigned q)
{
	struct vu_vring_state s = {q, 0};

	vf_send(f, VU_GET_VRING_BASE, &s, sizeof(s));
}

uint32_t vf_take_base(struct vu_front *f, unsigned q)
{
	struct vu_vring_state s = {0};

	ck_assert_int_eq(vf_answer(f, VU_GET_VRING_BASE, &s, sizeof(s)), sizeof(s));
	ck_assert_uint_eq(s.index, q);
	return s.num;
}

void vf_ring_resume(struct vu_front *f, unsigned q, uint32_t base)
{
	tell_ring(f, q, base);
	vf_ring_go(f, q);
}

int vf_signalled(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, ms) <= 0)
		return 0;
	return vdev_os_drain(fd) > 0;
}

void vf_end_all(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n)
{
	const uint8_t ok = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct vdev_done done = {.written = chains[i].write_bytes};

		ck_assert_uint_eq(vdev_chain_write(&chains[i], (uint64_t)chains[i].write_bytes - 1, &ok, 1),
		                  1);
		vdev_queue_complete(q, &chains[i], &done);
	}
}

const int vf_iommu_kinds[VF_IOMMU_KINDS] = {0, VF_PACKED, VF_NO_STATUS, VF_PACKED | VF_IN_ORDER};

void vf_up_iommu(struct vu_front *f, int kind, unsigned queues)
{
	vf_start(f, queues, VF_THREADS);
	vf_up(f, vf_iommu_kinds[kind] | VF_IOMMU, queues);
}

struct vdev_vhost_user_iotlb vf_iotlb(const struct vu_front *f)
{
	struct vdev_vhost_user_iotlb n;

	vdev_vhost_user_iotlb(f->vu, &n);
	return n;
}
