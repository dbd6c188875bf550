/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that sends what comes. Each step takes a few bytes: either a message of the right form with contents from the
 * input, or bytes as they are; with descriptors (guest memory, a log, an eventfd, sockets) of its choice. At the
 * end the back-end must let go of everything: no descriptor is left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vdev/blk.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "fuzz.h"

enum { STEPS = 64, MEM = 1 << 20, FDS = 6 };

static int fds[FDS] = {-1, -1, -1, -1, -1, -1};
static uint8_t *guest;

struct front {
	int sock;
	struct vdev_task task;
	int over;
};

static void open_fds(void)
{
	int pair[2];

	if (fds[0] >= 0)
		return;
	fds[0] = vdev_os_memfd("guest", MEM);
	fds[1] = vdev_os_memfd("log", MEM);
	fds[2] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	fds[3] = pair[0];
	fds[4] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[5] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	guest = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	HOLDS(guest != MAP_FAILED);
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	HOLDS(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void serve(struct front *f)
{
	uint8_t sink[4096];

	for (int i = 0; i < 20 && !f->over; i++) {
		int rc = f->task.run(f->task.ctx, VDEV_RUN_ARM);

		f->over = rc < 0;
		if (rc <= 0)
			break;
	}
	while (recv(f->sock, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

/* Numbers that mean something: small ones, addresses of the guest's and front-end's, all ones, anything. */
static uint64_t take_number(struct input *in)
{
	uint8_t how = take8(in);

	switch (how % 6) {
	case 0:
		return how / 6 % 8;
	case 1:
		return (uint64_t)take8(in) << 12;
	case 2:
		return (uint64_t)1 << (take8(in) & 63);
	case 3:
		return UINT64_MAX - take8(in);
	case 4:
		return MEM;
	default:
		return take32(in);
	}
}

static size_t make_payload(struct input *in, const struct vu_entry *e, uint8_t *out)
{
	size_t len = e->min;
	/* Tables and register-like payloads are made of 64-bit numbers, ring messages of 32-bit ones. */
	size_t step = e->max == 8 && e->kind != VU_FD_BY_FLAG ? 4 : 8;

	if (e->max > e->min && take8(in) & 1)
		len += take8(in) % (e->max - e->min + 1u);
	for (size_t at = 0; at < len; at += step) {
		uint64_t n = take_number(in);

		memcpy(out + at, &n, len - at < step ? len - at : step);
	}
	return len;
}

static void send_message(struct front *f, struct input *in)
{
	struct {
		struct vu_header h;
		uint8_t bytes[1024];
	} m;
	uint8_t how = take8(in);
	uint8_t which = take8(in);
	const struct vu_entry *e = vu_find(which % VU_REQUESTS);
	unsigned nfds = how & 7;
	int some[8];
	size_t len;

	memset(&m, 0, sizeof(m));
	if (e == NULL || how & 0x80) {
		m.h.request = which;
		m.h.flags = take8(in);
		m.h.size = (uint32_t)take_number(in);
		len = take8(in);
		for (size_t i = 0; i < len; i++)
			m.bytes[i] = take8(in);
	} else {
		m.h.request = which % VU_REQUESTS;
		m.h.flags = VU_VERSION | (how & 0x40 ? VU_FLAG_NEED_REPLY : 0);
		len = make_payload(in, e, m.bytes);
		m.h.size = (uint32_t)len;
		if (how & 0x20)
			nfds = e->min_fds;
	}
	for (unsigned i = 0; i < nfds; i++)
		some[i] = fds[take8(in) % FDS];
	if (vdev_os_send_fds(f->sock, &m, sizeof(m.h) + len, some, nfds, 0) < 0)
		return;
}

static void tell(struct front *f, uint32_t request, const void *payload, size_t len, int fd)
{
	struct {
		struct vu_header h;
		uint8_t bytes[64];
	} m = {.h = {request, VU_VERSION, (uint32_t)len}};

	memcpy(m.bytes, payload, len);
	HOLDS(vdev_os_send_fds(f->sock, &m, sizeof(m.h) + len, &fd, fd >= 0, 0) == 0);
	serve(f);
	HOLDS(!f->over);
}

static void tell_u64(struct front *f, uint32_t request, uint64_t value, int fd)
{
	tell(f, request, &value, sizeof(value), fd);
}

static void tell_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	tell(f, request, &(struct vu_vring_state){index, num}, sizeof(struct vu_vring_state), -1);
}

/* A well-behaved beginning, up to running rings: what may go wrong then is not found by chance. */
static void begin_well(struct front *f, int packed)
{
	struct vu_mem_table t = {.count = 1, .regions = {{.len = MEM}}};
	uint64_t one = 1;

	memset(guest, 0, MEM);
	tell_u64(f, VU_SET_PROTOCOL_FEATURES,
	         one << VU_PROTO_REPLY_ACK | one << VU_PROTO_LOG_SHMFD | one << VU_PROTO_BACKEND_REQ |
	             one << VU_PROTO_CONFIG | one << VU_PROTO_MEM_SLOTS,
	         -1);
	tell_u64(f, VU_SET_FEATURES,
	         one << VIRTQ_F_VERSION_1 | one << VIRTQ_F_EVENT_IDX | one << VU_F_PROTOCOL |
	             (packed ? one << VIRTQ_F_RING_PACKED : 0),
	         -1);
	tell(f, VU_SET_MEM_TABLE, &t, 40, fds[0]);
	for (uint32_t q = 0; q < 2; q++) {
		uint64_t at = q * 0x4000u;
		struct vu_vring_addr a = {
			.index = q, .desc = at, .avail = at + 0x1000, .used = at + 0x2000};

		tell_state(f, VU_SET_VRING_NUM, q, 64);
		tell_state(f, VU_SET_VRING_BASE, q, 0);
		tell(f, VU_SET_VRING_ADDR, &a, sizeof(a), -1);
		tell_u64(f, VU_SET_VRING_CALL, q, fds[2]);
		tell_state(f, VU_SET_VRING_ENABLE, q, 1);
		/* Each has a kick of its own: whoever is told first takes it. */
		vdev_os_signal(fds[q == 0 ? 2 : 5]);
		tell_u64(f, VU_SET_VRING_KICK, q, fds[q == 0 ? 2 : 5]);
		serve(f);
	}
}

/* Front-ends write into rings too. */
static void scribble(struct input *in)
{
	uint32_t at = take16(in) % (MEM - 16);
	uint64_t n = take_number(in);

	memcpy(guest + at, &n, sizeof(n));
	vdev_os_signal(fds[2]);
	vdev_os_signal(fds[5]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vdev_vhost_user_config cfg = {.size = sizeof(cfg)};
	struct vdev_blk_config blk = {.size = sizeof(blk), .nqueues = 2, .queue_max = 64};
	struct vdev_vhost_user *vu;
	struct vdev_disk *disk;
	struct front f = {0};
	struct vdev *v;
	unsigned before;
	uint8_t how;
	int pair[2];

	open_fds();
	before = count_fds();
	HOLDS(vdev_disk_null_new(&disk, vdev_env_hosted(), 1 << 20) == 0);
	HOLDS(vdev_blk_new(&v, vdev_env_hosted(), disk, &blk) == 0);
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	f.sock = pair[0];
	cfg.fd = pair[1];
	HOLDS(vdev_vhost_user_new(&vu, vdev_env_hosted(), v, &cfg) == 0);
	vdev_vhost_user_task(vu, &f.task);
	how = take8(&in);
	if (how & 1)
		begin_well(&f, how & 2);
	HOLDS(!(how & 1) || (vdev_queue_started(v, 0) && vdev_queue_started(v, 1)));
	for (int i = 0; i < STEPS && !input_end(&in) && !f.over; i++) {
		if (take8(&in) % 4 == 0)
			scribble(&in);
		else
			send_message(&f, &in);
		serve(&f);
	}
	close(f.sock);
	f.sock = -1;
	vdev_vhost_user_free(vu);
	HOLDS(vdev_free(v) == 0);
	vdev_disk_free(disk);
	/* The other end of a channel that was passed may hold messages with descriptors in them: none are sent. */
	HOLDS(count_fds() == before);
	return 0;
}
