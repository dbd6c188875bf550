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
#include <unistd.h>

#include "no_aio.h"
#include "take_notices.h"
#include "vhost_user.h"
#include <vdev/blk.h>

enum { STEPS = 96, DISK = 1 << 16 };

int fds[FDS] = {-1};
uint8_t *guest;
const uint8_t no_area[AREA];
static struct vdev_vhost_user *serving; /* for the signal handler */

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
	HOLDS(ftruncate(fds[FD_LOOSE], MEM) == 0 && pwrite(fds[FD_SMALL], no_area, AREA, 0) == AREA);
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

void vu_serve(struct front *f)
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

uint64_t take_number(struct input *in)
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
	vu_serve(f);
	/* While the back-end waits for its disk it lets nobody in, and there is only so much room to queue up. */
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	HOLDS(f->sock >= 0);
	HOLDS(connect(f->sock, (struct sockaddr *)&f->listener, f->listener_len) == 0 ||
	      errno == EAGAIN);
	vu_serve(f);
	how = take8(&f->in);
	f->iommu = how >> 1 & 1;
	if (how & 1)
		honest_begin(f);
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
		honest_take(f);
		break;
	case 8:
	case 9:
		disk(f);
		break;
	case 10:
		honest_config(f);
		break;
	case 11:
		honest_region(f);
		break;
	case 12:
		honest_log(f);
		break;
	case 13:
		honest_ring_again(f);
		break;
	case 14:
		channel(f);
		break;
	case 15:
		connect_again(f);
		break;
	case 16:
		honest_inflight(f);
		break;
	default:
		honest_request(f);
	}
	vu_serve(f);
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
	vu_serve(f);
	if (f->how & HOW_WELL) {
		honest_begin(f);
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
