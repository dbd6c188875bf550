/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front-end, and a back-end whose every byte comes from the input. All of it lies in the sockets before it
 * is asked for, and ends there, so nothing ever waits. Input: flags, a length, the connection's bytes of that length,
 * and those of the back-end's channel. With a flag, answers get right headers, so that more of them are looked at.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/vhost_user_front.h>

#include "../../libvdev/os/os.h"
#include "../../libvdev/transports/vhost_user/wire.h"
#include "fuzz.h"

enum { BYTES = 65536, RING = 16, RIGHT_HEADERS = 1, GIVE_FD = 2, INBAND = 4 };

/* The requests that are answered, in the order in which drive() makes them. */
static const uint8_t order[] = {VU_GET_FEATURES,       VU_GET_PROTOCOL_FEATURES,
                                VU_GET_QUEUE_NUM,      VU_GET_MAX_MEM_SLOTS,
                                VU_SET_BACKEND_REQ_FD, VU_SET_STATUS,
                                VU_SET_FEATURES,       VU_SET_STATUS,
                                VU_GET_STATUS,         VU_ADD_MEM_REG,
                                VU_GET_CONFIG,         VU_GET_INFLIGHT_FD,
                                VU_SET_INFLIGHT_FD,    VU_IOTLB_MSG,
                                VU_IOTLB_MSG,          VU_IOTLB_MSG,
                                VU_SET_VRING_NUM,      VU_SET_VRING_BASE,
                                VU_SET_VRING_ADDR,     VU_SET_VRING_CALL,
                                VU_SET_VRING_ERR,      VU_SET_VRING_KICK,
                                VU_SET_VRING_ENABLE,   VU_GET_VRING_BASE};

static void fill(int sock, struct input *in, size_t len, unsigned flags)
{
	uint8_t bytes[4096];
	int fd = flags & GIVE_FD ? vdev_os_memfd("area", 4096) : -1;

	for (unsigned i = 0; len > 0 && i < 64; i++) {
		size_t n = 0;

		if (flags & RIGHT_HEADERS) {
			struct vu_header h = {order[i % sizeof(order)], VU_VERSION | VU_FLAG_REPLY, 8};

			if (h.request == VU_GET_INFLIGHT_FD)
				h.size = 24;
			if (h.request == VU_GET_CONFIG)
				h.size = VU_CONFIG_HEADER + 8;
			memcpy(bytes, &h, sizeof(h));
			n = sizeof(h);
			for (uint32_t k = 0; k < h.size && len > 0; k++, len--)
				bytes[n++] = take8(in);
		} else {
			while (n < sizeof(bytes) && len > 0) {
				bytes[n++] = take8(in);
				len--;
			}
		}
		(void)!vdev_os_send_fds(
			sock, bytes, n, &fd,
			fd >= 0 && (!(flags & RIGHT_HEADERS) || order[i % sizeof(order)] == VU_GET_INFLIGHT_FD)
				? 1
				: 0,
			0);
	}
	vdev_os_close(fd);
}

/* What the front-end sent, up to the descriptor of the channel. */
static int find_channel(int sock)
{
	uint8_t bytes[4096];
	int fds[8], channel = -1;
	unsigned n;

	while (vdev_os_recv_fds(sock, bytes, sizeof(bytes), fds, 8, &n) > 0) {
		for (unsigned i = 0; i < n && i < 8; i++) {
			if (channel < 0)
				channel = fds[i];
			else
				close(fds[i]);
		}
	}
	return channel;
}

static void drain(int sock)
{
	int fd = find_channel(sock);

	vdev_os_close(fd);
}

static void drive(struct vdev_vhost_front *f, uint8_t *mem, int memfd)
{
	static _Alignas(64) uint8_t scratch[4096];
	struct virtq_features features = {{UINT64_MAX & ~(1ull << VIRTQ_F_RING_PACKED), UINT64_MAX}};
	struct vdev_vhost_front_region r = {.gpa = 0x10000, .len = BYTES, .host = mem, .fd = memfd};
	struct virtq_xlat x = {.iova = 0x10000, .gpa = 0x10000, .len = BYTES, .perm = 3};
	struct vdev_vhost_front_queue q = {.size = sizeof(q)};
	struct virtq_drv drv;
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .queue_size = RING,
	                               .ring = mem,
	                               .ring_addr = 0x10000,
	                               .scratch = scratch,
	                               .scratch_bytes = sizeof(scratch)};
	struct vdev_task task;
	uint8_t config[8];
	int rc = vdev_vhost_front_accept(f, &features);

	vdev_vhost_front_task(f, &task);
	HOLDS(rc < 0 || features.word[1] == 0);
	cfg.features = features;
	HOLDS(virtq_drv_init(&drv, &cfg) == 0);
	virtq_drv_state(&drv, &q.state);
	q.drv = &drv;
	(void)!vdev_vhost_front_set_table(f, &x, 1);
	(void)!vdev_vhost_front_set_memory(f, &r, 1);
	(void)!vdev_vhost_front_config_read(f, 0, config, sizeof(config));
	(void)!vdev_vhost_front_inflight(f, RING);
	(void)!vdev_vhost_front_queue_start(f, 0, &q);
	(void)task.run(task.ctx, 0);
	rc = vdev_vhost_front_queue_stop(f, 0, &q.state);
	/* Nothing was ever published. */
	HOLDS(rc < 0 || (q.state.avail == 0 && q.state.used == 0));
	(void)!vdev_vhost_front_iotlb_invalidate(f, 0x10000, BYTES);
	(void)task.run(task.ctx, 0);
	(void)!vdev_vhost_front_reset(f);
	HOLDS(!vdev_vhost_front_alive(f) || vdev_vhost_front_why(f)[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size < 8192 ? size : 8192};
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg), .queues = 1, .timeout_ms = 1};
	struct vdev_vhost_front *f;
	unsigned flags = take8(&in);
	size_t len = take16(&in);
	int pair[2], channel, memfd;
	uint8_t *mem;

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	fill(pair[1], &in, len < in.left ? len : in.left, flags);
	shutdown(pair[1], SHUT_WR);
	cfg.fd = pair[0];
	cfg.flags = flags & INBAND ? VDEV_VHOST_FRONT_WANT_INBAND : 0;
	if (vdev_vhost_front_new(&f, vdev_env_hosted(), &cfg) < 0) {
		close(pair[0]);
		drain(pair[1]);
		close(pair[1]);
		return 0;
	}
	memfd = vdev_os_memfd("mem", BYTES);
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	HOLDS(mem != MAP_FAILED);
	channel = find_channel(pair[1]);
	if (channel >= 0)
		fill(channel, &in, in.left, 0);
	drive(f, mem, memfd);
	vdev_vhost_front_free(f);
	drain(pair[1]);
	close(pair[1]);
	vdev_os_close(channel);
	munmap(mem, BYTES);
	close(memfd);
	return 0;
}
