/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that sends what comes. Each step is a message of the right form with contents from the input, or bytes
 * as they are, with descriptors (guest memory of several kinds, a log, eventfds, sockets, files) of its choice; or
 * what an honest front-end does (requests in running rings, memory that comes and goes, a log, rings that stop and
 * go on, a new connection), so that the rest meets a back-end that is busy; or what happens on the back-end's side
 * (the disk holds, fails and ends operations, and changes its size). At the end the back-end must let go of
 * everything: no descriptor is left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vdev/blk.h>
#include <virtq/virtq.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "fuzz.h"
#include "no_aio.h"
#include "slow_disk.h"
#include "take_notices.h"

enum { STEPS = 96, MEM = 1 << 20, QUEUES = 2, RING = 64, RING_AREA = 0x4000, DISK = 1 << 16 };
/* Where in guest memory requests and indirect tables lie. */
enum { SLOTS_AT = 0x10000, TABLES_AT = 0x40000, DATA_AT = 0x80000 };
enum {
	FD_GUEST, /* sealed */
	FD_LOG,
	FD_CALL,
	FD_CHANNEL, /* new in each run */
	FD_NULL,
	FD_KICK,
	FD_LOOSE, /* memory that may shrink, and does */
	FD_SMALL,
	FD_EPOLL,
	FD_PIPE,
	FD_FOLDER,
	FDS
};
/* How a run begins. */
enum {
	HOW_WELL = 1, /* with running rings: what may go wrong then is not found by chance */
	HOW_PACKED = 2,
	HOW_INDIRECT = 4,
	HOW_IN_ORDER = 8,
	HOW_INBAND = 16,
	HOW_STATUS = 32,
	HOW_LISTEN = 64, /* the back-end listens: it may be connected to again */
	HOW_SYNC = 128   /* the disk ends all operations at once */
};

static int fds[FDS] = {-1};
static uint8_t *guest;
static const uint8_t no_area[4096];
static struct vdev_vhost_user *serving; /* for the signal handler */

struct front_ring {
	struct virtq_drv drv;
	void *scratch;
	struct virtq_state state;
};

struct front {
	struct input in;
	uint8_t how;
	int sock;
	int channel; /* our end of the one for the back-end's requests */
	struct sockaddr_un listener;
	socklen_t listener_len;
	struct vdev_task task;
	int over;
	struct vdev *v;
	struct slow_disk *disk;
	struct front_ring rings[QUEUES];
	unsigned slot;
	int iommu; /* addresses are translated, in the end to themselves */
};

/* What an embedder's handler does; memory that is nobody's is a crash, as ever. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (serving == NULL || !vdev_vhost_user_fault(serving, info->si_addr))
		signal(sig, SIG_DFL);
}

/* Those that stay the same in all runs. */
static void open_fds(void)
{
	struct sigaction bus = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	int ends[2];

	if (fds[FD_GUEST] >= 0)
		return;
	no_aio();
	fds[FD_GUEST] = vdev_os_memfd("guest", MEM);
	fds[FD_LOG] = vdev_os_memfd("log", MEM);
	fds[FD_CALL] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[FD_KICK] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[FD_LOOSE] = memfd_create("loose", MFD_CLOEXEC);
	fds[FD_SMALL] = vdev_os_memfd("small", 4096);
	fds[FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	HOLDS(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
	fds[FD_PIPE] = ends[1];
	fds[FD_FOLDER] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	guest = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_GUEST], 0);
	HOLDS(guest != MAP_FAILED && sigaction(SIGBUS, &bus, NULL) == 0);
}

/* As they were at the start of any other run. */
static void fresh_fds(struct front *f)
{
	int pair[2];

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	fds[FD_CHANNEL] = pair[0];
	f->channel = pair[1];
	HOLDS(ftruncate(fds[FD_LOOSE], MEM) == 0 && pwrite(fds[FD_SMALL], no_area, 4096, 0) == 4096);
	vdev_os_drain(fds[FD_CALL]);
	vdev_os_drain(fds[FD_KICK]);
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

/* --- an honest front-end ------------------------------------------------------------------------- */

static void tell(struct front *f, uint32_t request, const void *payload, size_t len,
                 const int *some, unsigned nfds)
{
	struct {
		struct vu_header h;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} m = {.h = {request, VU_VERSION, (uint32_t)len}};

	memcpy(m.bytes, payload, len);
	(void)!vdev_os_send_fds(f->sock, &m, sizeof(m.h) + len, some, nfds, 0);
	serve(f);
}

static void tell_u64(struct front *f, uint32_t request, uint64_t value)
{
	tell(f, request, &value, sizeof(value), NULL, 0);
}

static void tell_fd(struct front *f, uint32_t request, uint64_t value, int fd)
{
	tell(f, request, &value, sizeof(value), &fd, 1);
}

static void tell_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	tell(f, request, &(struct vu_vring_state){index, num}, sizeof(struct vu_vring_state), NULL, 0);
}

static uint64_t features_of_run(const struct front *f)
{
	const uint64_t one = 1;

	return one << VIRTQ_F_VERSION_1 | one << VIRTQ_F_EVENT_IDX |
	       (f->how & HOW_PACKED ? one << VIRTQ_F_RING_PACKED : 0) |
	       (f->how & HOW_INDIRECT ? one << VIRTQ_F_INDIRECT_DESC : 0) |
	       (f->iommu ? one << VIRTQ_F_ACCESS_PLATFORM : 0) |
	       (f->how & HOW_IN_ORDER ? one << VIRTQ_F_IN_ORDER : 0);
}

/* Our driver side, at the start of an empty ring. */
static void driver_side(struct front *f, unsigned q)
{
	struct front_ring *r = &f->rings[q];
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features.word = {features_of_run(f)},
	                               .queue_size = RING,
	                               .ring = guest + q * RING_AREA,
	                               .ring_addr = q * RING_AREA};

	if (f->how & HOW_INDIRECT) {
		cfg.indirect_max = 16;
		cfg.indirect_addr = TABLES_AT + q * RING * 16 * VIRTQ_DESC_BYTES;
		cfg.indirect = guest + cfg.indirect_addr;
	}
	memset(guest + q * RING_AREA, 0, RING_AREA);
	cfg.scratch_bytes = virtq_drv_bytes(RING, &cfg.features);
	free(r->scratch);
	cfg.scratch = r->scratch = calloc(1, cfg.scratch_bytes);
	HOLDS(virtq_drv_init(&r->drv, &cfg) == 0);
	virtq_drv_state(&r->drv, &r->state);
}

static void ring_up(struct front *f, unsigned q)
{
	const struct virtq_state *s = &f->rings[q].state;
	struct vu_vring_addr a = {.index = q, .desc = s->desc, .avail = s->driver, .used = s->device};
	/* Each has a kick of its own: whoever is told first takes it. */
	int kick = fds[q == 0 ? FD_CALL : FD_KICK];

	tell_state(f, VU_SET_VRING_NUM, q, RING);
	tell_state(f, VU_SET_VRING_BASE, q, f->how & HOW_PACKED ? 0x80008000 : 0);
	tell(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	if (!(f->how & HOW_INBAND))
		tell_fd(f, VU_SET_VRING_CALL, q, fds[FD_CALL]);
	tell_state(f, VU_SET_VRING_ENABLE, q, 1);
	vdev_os_signal(kick);
	tell_fd(f, VU_SET_VRING_KICK, q, kick);
	serve(f);
}

/* Memory that is there to stay, and above it some that isn't. */
static void memory(struct front *f)
{
	struct vu_mem_table t = {.count = 2,
	                         .regions = {{.len = MEM}, {.gpa = MEM, .len = MEM, .uva = MEM}}};
	int both[2] = {fds[FD_GUEST], fds[FD_LOOSE]};

	tell(f, VU_SET_MEM_TABLE, &t, 8 + 2 * 32, both, 2);
}

static void translation(struct front *f, uint8_t type, uint64_t at, uint64_t len)
{
	struct vu_iotlb m = {.iova = at, .size = len, .uva = at, .perm = 3, .type = type};

	tell(f, VU_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

/* What the back-end is told of its IOMMU, right or wrong. */
static void iotlb(struct front *f)
{
	uint8_t how = take8(&f->in);
	uint64_t at = (uint64_t)take8(&f->in) << 12, len = (uint64_t)(1 + (how >> 4)) << 12;
	struct vu_iotlb m = {.iova = at, .size = len, .uva = at, .perm = 3, .type = VU_IOTLB_UPDATE};

	switch (how & 7) {
	case 0:
		m.perm = take8(&f->in) & 7;
		break;
	case 1:
		m.uva = take_number(&f->in);
		break;
	case 2:
		m.size = take_number(&f->in);
		m.type = take8(&f->in) & 7;
		break;
	case 3:
		translation(f, VU_IOTLB_INVALIDATE, 0, how & 8 ? MEM : 0);
		m.size = MEM;
		m.iova = m.uva = 0;
		break;
	default:
		m.type = how & 1 ? VU_IOTLB_INVALIDATE : VU_IOTLB_UPDATE;
		m.uva ^= how & 8 ? 4096 : 0;
	}
	tell(f, VU_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

static void begin_well(struct front *f)
{
	const uint64_t one = 1;
	uint64_t protocol =
		one << VU_PROTO_REPLY_ACK | one << VU_PROTO_LOG_SHMFD | one << VU_PROTO_BACKEND_REQ |
		one << VU_PROTO_CONFIG | one << VU_PROTO_MEM_SLOTS | one << VU_PROTO_RESET_DEVICE |
		one << VU_PROTO_INFLIGHT_SHMFD | one << VU_PROTO_RARP | one << VU_PROTO_NET_MTU;

	if (f->how & HOW_INBAND)
		protocol |= one << VU_PROTO_INBAND | one << VU_PROTO_BACKEND_SEND_FD;
	if (f->how & HOW_STATUS)
		protocol |= one << VU_PROTO_STATUS;
	memset(guest, 0, TABLES_AT);
	tell_u64(f, VU_SET_PROTOCOL_FEATURES, protocol);
	if (f->how & HOW_INBAND)
		tell_fd(f, VU_SET_BACKEND_REQ_FD, 0, fds[FD_CHANNEL]);
	tell_u64(f, VU_SET_FEATURES, features_of_run(f) | one << VU_F_PROTOCOL);
	if (f->how & HOW_STATUS)
		tell_u64(f, VU_SET_STATUS,
		         VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK);
	memory(f);
	if (f->iommu)
		translation(f, VU_IOTLB_UPDATE, 0, MEM);
	for (unsigned q = 0; q < QUEUES; q++) {
		driver_side(f, q);
		ring_up(f, q);
	}
	if (f->how & HOW_STATUS)
		tell_u64(f, VU_SET_STATUS, 15);
}

/* A request whose parts are mostly right. */
static void request(struct front *f)
{
	static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 0, 1};
	unsigned q = take8(&f->in) % QUEUES;
	struct front_ring *r = &f->rings[q];
	uint64_t at = SLOTS_AT + f->slot++ % 64 * 0x800;
	uint8_t kind = take8(&f->in), type = types[kind & 7];
	struct virtq_seg seg[8] = {{.addr = at, .len = 16}};
	uint32_t n = 1, nread, sector = take8(&f->in) % 130;

	if (r->scratch == NULL)
		return;
	memset(guest + at, 0, 0x40);
	guest[at] = type;
	memcpy(guest + at + 8, &sector, sizeof(sector));
	if (type == 11 || type == 13) {
		guest[at + 16] = take8(&f->in) % 130;
		guest[at + 24] = take8(&f->in) % 9;
		seg[0].len = 32;
	}
	nread = kind & 1 ? 6 : 1;
	for (; type < 2 && n < 2u + (kind >> 3 & 3); n++) {
		uint16_t where = take16(&f->in);

		seg[n].addr = (where & 1 ? MEM : DATA_AT) + (uint64_t)(where >> 1) * 8;
		seg[n].len = kind & 32 ? take8(&f->in) * 4u + 1 : 512;
	}
	if (type == 8)
		seg[n++] = (struct virtq_seg){.addr = DATA_AT, .len = 20};
	if (type != 1 || nread > n)
		nread = type == 1 ? n : 1;
	seg[n++] = (struct virtq_seg){.addr = at + 0x700, .len = 1};
	(void)!virtq_drv_add(&r->drv, seg, nread, n - nread, r);
	if (kind & 64)
		return; /* more will follow */
	virtq_drv_publish(&r->drv);
	if (virtq_drv_should_kick(&r->drv) || kind & 128)
		vdev_os_signal(fds[q == 0 ? FD_CALL : FD_KICK]);
}

static void take_used(struct front *f)
{
	struct virtq_done done[8];

	for (unsigned q = 0; q < QUEUES; q++) {
		if (f->rings[q].scratch == NULL)
			continue;
		(void)!virtq_drv_take(&f->rings[q].drv, done, 8);
		(void)!virtq_drv_arm(&f->rings[q].drv);
	}
}

/* The disk's side. */
static void disk(struct front *f)
{
	uint8_t what = take8(&f->in);

	switch (what & 7) {
	case 0:
	case 1:
		if (!(f->how & HOW_SYNC))
			slow_disk_hold(f->disk, what & 1);
		break;
	case 2:
	case 3:
		slow_disk_release(f->disk, what >> 4, what & 8 ? VIRTQ_EIO : 0, 100);
		break;
	case 4:
		slow_disk_fail(f->disk, what & 8 ? VIRTQ_EIO : 0, what >> 4);
		break;
	case 5:
		if (slow_disk_held(f->disk) == 0) {
			slow_disk_resize(f->disk, DISK / 2 + (uint64_t)(what >> 4) * 4096);
			HOLDS(vdev_blk_resized(f->v) == 0);
		}
		break;
	case 6:
		HOLDS(ftruncate(fds[FD_LOOSE], what & 8 ? MEM : what >> 4 << 12) == 0);
		break;
	default:
		HOLDS(ftruncate(fds[FD_LOOSE], MEM) == 0);
	}
}

static void config(struct front *f)
{
	struct vu_config c;
	uint8_t how = take8(&f->in);
	uint32_t bytes;

	if (how >= 192) { /* what network devices are told */
		tell_u64(f, how & 1 ? VU_SEND_RARP : VU_NET_SET_MTU, take_number(&f->in));
		return;
	}
	memset(&c, 0, sizeof(c));
	c.offset = how & 4 ? (uint32_t)take_number(&f->in) : take8(&f->in) % 70;
	c.size = how & 8 ? (uint32_t)take_number(&f->in) : take8(&f->in) % 70;
	c.flags = how >> 4 & 3;
	bytes = c.size < VU_MAX_CONFIG ? c.size : take8(&f->in);
	for (uint32_t i = 0; how & 1 && i < bytes && i < 16; i++)
		c.bytes[i] = take8(&f->in);
	tell(f, how & 1 ? VU_SET_CONFIG : VU_GET_CONFIG, &c,
	     VU_CONFIG_HEADER + (how & 2 ? take8(&f->in) : bytes), NULL, 0);
}

/* Regions that come and go beside those of the table. */
static void region(struct front *f)
{
	uint8_t how = take8(&f->in);
	uint64_t at = 2 * MEM + (uint64_t)(how >> 1 & 3) * 65536;
	struct vu_mem_reg reg = {
		.region = {.gpa = at, .len = 65536, .uva = at, .offset = how >> 3 & 1 ? 65536 : 0}};

	if (how & 128) {
		iotlb(f);
		return;
	}
	if (how & 32)
		reg.region.len = take_number(&f->in);
	if (how & 64)
		reg.region.offset = take_number(&f->in);
	if (how & 1)
		tell(f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0);
	else
		tell(f, VU_ADD_MEM_REG, &reg, sizeof(reg), &fds[how & 16 ? FD_LOOSE : FD_GUEST], 1);
}

static void log_on(struct front *f)
{
	uint8_t how = take8(&f->in);
	struct vu_log_desc d = {.bytes = how & 1 ? 64 : 256, .offset = how & 2 ? 4096 : 0};
	const struct virtq_state *s = &f->rings[how >> 3 & 1].state;
	struct vu_vring_addr a = {.index = (uint32_t)(how >> 3 & 1),
	                          .flags = (uint32_t)(how >> 4 & 1),
	                          .desc = s->desc,
	                          .avail = s->driver,
	                          .used = s->device,
	                          .log = s->device + (how & 32 ? 4096 : 0)};

	tell(f, VU_SET_LOG_BASE, &d, sizeof(d), &fds[FD_LOG], 1);
	if (how & 64)
		tell_fd(f, VU_SET_LOG_FD, 0, fds[FD_CALL]);
	tell_u64(f, VU_SET_FEATURES,
	         features_of_run(f) | (uint64_t)1 << VU_F_PROTOCOL |
	             (uint64_t)(how & 4 ? 0 : 1) << VU_F_LOG_ALL);
	tell(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
}

static void ring_again(struct front *f)
{
	unsigned q = take8(&f->in) % QUEUES;

	tell_state(f, VU_GET_VRING_BASE, q, 0);
	driver_side(f, q);
	ring_up(f, q);
}

/* The rings stop, and go on with an area of requests in flight that somebody may have written to. */
static void inflight(struct front *f)
{
	uint8_t how = take8(&f->in);
	unsigned queues = f->how & HOW_PACKED ? 1 : QUEUES; /* what fits into the small file */
	struct vu_inflight a = {.mmap_size = 4096, .num_queues = (uint16_t)queues, .queue_size = RING};

	for (unsigned q = 0; q < QUEUES; q++)
		tell_state(f, VU_GET_VRING_BASE, q, 0);
	if (how & 1)
		HOLDS(pwrite(fds[FD_SMALL], no_area, sizeof(no_area), 0) == sizeof(no_area));
	for (unsigned n = how >> 1 & 7; n > 0; n--) {
		uint64_t word = take_number(&f->in);
		/* The header, and the first entries: the rest is like them. */
		off_t at = take8(&f->in) * 2;

		HOLDS(pwrite(fds[FD_SMALL], &word, sizeof(word), at) == sizeof(word));
	}
	if (how & 16)
		tell(f, VU_GET_INFLIGHT_FD, &a, how & 32 ? 20 : sizeof(a), NULL, 0);
	tell(f, VU_SET_INFLIGHT_FD, &a, sizeof(a), &fds[FD_SMALL], 1);
	for (unsigned q = 0; q < QUEUES; q++) {
		if (how & 64)
			driver_side(f, q);
		ring_up(f, q);
	}
}

/* Answers to the back-end's requests, or what looks like some. */
static void channel(struct front *f)
{
	uint8_t how = take8(&f->in), sink[256];
	struct {
		struct vu_header h;
		uint64_t value;
	} m = {.h = {how & 7, VU_VERSION | VU_FLAG_REPLY, 8}};
	size_t len = sizeof(m.h) + 8;

	if (f->channel < 0)
		return;
	if (how & 32)
		m.h.flags = take8(&f->in);
	if (how & 64)
		m.h.size = take8(&f->in);
	if (how & 128)
		len = take8(&f->in) % (len + 1);
	while (recv(f->channel, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	(void)!send(f->channel, &m, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if ((how & 24) == 24) {
		close(f->channel);
		f->channel = -1;
	}
}

static void connect_again(struct front *f)
{
	uint8_t how;

	if (!(f->how & HOW_LISTEN))
		return;
	close(f->sock);
	serve(f);
	/* While the back-end waits for its disk it lets nobody in, and there is only so much room to queue up. */
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	HOLDS(f->sock >= 0);
	HOLDS(connect(f->sock, (struct sockaddr *)&f->listener, f->listener_len) == 0 ||
	      errno == EAGAIN);
	serve(f);
	how = take8(&f->in);
	f->iommu = how >> 1 & 1;
	if (how & 1)
		begin_well(f);
}

/* Front-ends write into rings too. */
static void scribble(struct input *in)
{
	uint32_t at = (uint32_t)take16(in) % (MEM - 16u);
	uint64_t n = take_number(in);

	memcpy(guest + at, &n, sizeof(n));
	vdev_os_signal(fds[FD_CALL]);
	vdev_os_signal(fds[FD_KICK]);
}

static void step(struct front *f)
{
	switch (take8(&f->in) % 20) {
	case 0:
		scribble(&f->in);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		send_message(f, &f->in);
		break;
	case 7:
		take_used(f);
		break;
	case 8:
	case 9:
		disk(f);
		break;
	case 10:
		config(f);
		break;
	case 11:
		region(f);
		break;
	case 12:
		log_on(f);
		break;
	case 13:
		ring_again(f);
		break;
	case 14:
		channel(f);
		break;
	case 15:
		connect_again(f);
		break;
	case 16:
		inflight(f);
		break;
	default:
		request(f);
	}
	serve(f);
}

/* --- putting it together ------------------------------------------------------------------------ */

/* The socket that the back-end takes over. */
static int open_socket(struct front *f)
{
	int pair[2], fd;

	if (!(f->how & HOW_LISTEN)) {
		HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
		f->sock = pair[0];
		return pair[1];
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	f->listener.sun_family = AF_UNIX;
	f->listener_len = sizeof(f->listener);
	/* With no more than the family, the kernel finds a name. */
	HOLDS(fd >= 0 && bind(fd, (struct sockaddr *)&f->listener, sizeof(sa_family_t)) == 0);
	HOLDS(getsockname(fd, (struct sockaddr *)&f->listener, &f->listener_len) == 0);
	HOLDS(listen(fd, 4) == 0);
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(f->sock >= 0);
	HOLDS(connect(f->sock, (struct sockaddr *)&f->listener, f->listener_len) == 0);
	return fd;
}

static void start(struct front *f)
{
	struct vdev_vhost_user_config cfg = {.size = sizeof(cfg), .fd = open_socket(f)};
	struct vdev_blk_config blk = {.size = sizeof(blk),
	                              .nqueues = QUEUES,
	                              .queue_max = RING,
	                              .seg_max = 14,
	                              .max_inflight = 16};

	f->disk = slow_disk_new(DISK, f->how & HOW_SYNC);
	HOLDS(vdev_blk_new(&f->v, vdev_env_hosted(), &f->disk->disk, &blk) == 0);
	take_notices(f->v);
	HOLDS(vdev_vhost_user_new(&serving, vdev_env_hosted(), f->v, &cfg) == 0);
	vdev_vhost_user_task(serving, &f->task);
	serve(f);
	if (f->how & HOW_WELL) {
		begin_well(f);
		HOLDS(!f->over);
		HOLDS(vdev_queue_started(f->v, 0) && vdev_queue_started(f->v, 1));
	}
}

static void stop(struct front *f)
{
	struct vdev_vhost_user *vu = serving;

	close(f->sock);
	f->sock = -1;
	slow_disk_hold(f->disk, 0);
	slow_disk_release(f->disk, SLOW_HELD, 0, 0);
	vdev_vhost_user_free(vu);
	serving = NULL;
	HOLDS(vdev_free(f->v) == 0);
	slow_disk_free(f->disk);
	for (unsigned q = 0; q < QUEUES; q++)
		free(f->rings[q].scratch);
	vdev_os_close(f->channel);
	vdev_os_close(fds[FD_CHANNEL]);
	fds[FD_CHANNEL] = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct front f = {.in = {data, size}};
	unsigned before;

	open_fds();
	before = count_fds();
	f.how = take8(&f.in);
	fresh_fds(&f);
	start(&f);
	for (int i = 0; i < STEPS && !input_end(&f.in) && !f.over; i++)
		step(&f);
	stop(&f);
	HOLDS(count_fds() == before);
	return 0;
}
