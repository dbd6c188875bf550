/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk for virtual machines: a virtio-blk device served over vhost-user. One front-end at a time, any number one after
 * the other. The main thread talks with the front-end; each queue is served by a thread of the loop.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <vdev/blk.h>
#include <vdev/disk_file.h>
#include <vdev/loop.h>
#include <vdev/vhost_user.h>

#include "options.h"

enum { MAX_THREADS = 64, URING_ENTRIES = 256, WORKERS = 4 };

struct daemon {
	struct options opt;
	struct vdev_env env;
	int serving; /* from here on the library's log entries are shown */
	int signals;
	unsigned threads;
	unsigned told; /* bit per kind of disk event that was shown */
	struct vdev_engine *engines[MAX_THREADS];
	struct vdev_disk *disk;
	int locked;
	struct vdev *blk;
	struct vdev_vhost_user *vu;
	struct vdev_loop *queues;
	struct vdev_loop *control;
};

static void show(void *ctx, const struct vdev_log_entry *e)
{
	const struct daemon *d = ctx;

	if (d->serving && e->level <= VDEV_LOG_INFO)
		fprintf(stderr, "vhost-user-blk: %s: %s (queue %d, value %" PRIu64 ", error %d)\n",
		        e->source, e->text, e->queue, e->value, e->error);
}

/* Something happened to the disk. Any thread. Each kind is told once, lest a guest fill the log. */
static void disk_event(void *ctx, int event, int error)
{
	static const char *const what[] = {[VDEV_DISK_RESIZED] = "has another size",
	                                   [VDEV_DISK_FULL] = "found no space for a write",
	                                   [VDEV_DISK_GONE] = "is gone, or shorter than it was",
	                                   [VDEV_DISK_FAILED] = "failed"};
	struct daemon *d = ctx;
	unsigned bit = 1u << event;

	if (event < 0 || (size_t)event >= sizeof(what) / sizeof(what[0]) ||
	    __atomic_fetch_or(&d->told, bit, __ATOMIC_RELAXED) & bit)
		return;
	fprintf(stderr, "vhost-user-blk: the disk %s (error %d)\n", what[event], error);
}

/* For on_bus() alone. */
static struct vdev_vhost_user *guarded;

/* A front-end that shortens its memory's file costs its connection, not this process. */
static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!vdev_vhost_user_fault(guarded, info->si_addr))
		signal(sig, SIG_DFL); /* the access is repeated, and ends the process */
}

static void guard(struct daemon *d)
{
	struct sigaction sa = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

	guarded = d->vu;
	sigaction(SIGBUS, &sa, NULL);
}

/* One line about why the daemon can't start. */
static int fail(const char *what, const char *name, int rc)
{
	const char *why = strerror(-rc);

	if (rc == VIRTQ_EBUSY)
		why = "in use by somebody else";
	fprintf(stderr, "vhost-user-blk: %s %s: %s\n", what, name, why);
	return 2;
}

static int open_engine(struct daemon *d, struct vdev_engine **out)
{
	int rc = VIRTQ_ENOTSUP;

	if (d->opt.engine != ENGINE_THREADS)
		rc = vdev_engine_uring_new(out, &d->env, URING_ENTRIES);
	if (rc < 0 && d->opt.engine != ENGINE_URING)
		rc = vdev_engine_threads_new(out, &d->env, WORKERS);
	return rc;
}

static int open_file(struct daemon *d)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .path = d->opt.path, .fd = -1};
	int rc;

	for (unsigned i = 0; i < d->threads; i++) {
		rc = open_engine(d, &d->engines[i]);
		if (rc < 0)
			return rc;
	}
	cfg.engines = d->engines;
	cfg.nengines = d->threads;
	cfg.flags = (d->opt.readonly ? VDEV_DISK_FILE_READONLY : 0u) |
	            (d->opt.direct ? VDEV_DISK_FILE_DIRECT : 0u) |
	            (d->opt.engine == ENGINE_BEST ? VDEV_DISK_FILE_IN_PLACE : 0u);
	return vdev_disk_file_new(&d->disk, &d->env, &cfg);
}

/*
 * Open the disk, and hold it: a second daemon on the same image must not start. With --wait it may, and has requests wait
 * until the first one, or a write that it left to the kernel, has let go.
 */
static int open_disk(struct daemon *d)
{
	const char *name = "disk";
	int rc;

	if (d->opt.disk == DISK_FILE) {
		name = d->opt.path;
		rc = open_file(d);
	} else if (d->opt.disk == DISK_MEM) {
		rc = vdev_disk_mem_new(&d->disk, &d->env, NULL, d->opt.bytes);
	} else if (d->opt.disk == DISK_VOID) {
		rc = vdev_disk_void_new(&d->disk, &d->env, d->opt.bytes);
	} else {
		rc = vdev_disk_null_new(&d->disk, &d->env, d->opt.bytes);
	}
	if (rc >= 0 && d->disk->ops->acquire != NULL) {
		rc = d->disk->ops->acquire(d->disk);
		d->locked = rc >= 0;
		if (rc == VIRTQ_EBUSY && d->opt.wait)
			rc = 0;
	}
	if (rc >= 0)
		d->disk->ops->on_event(d->disk, disk_event, d);
	return rc < 0 ? fail("can't use", name, rc) : 0;
}

static int open_device(struct daemon *d)
{
	struct vdev_blk_config blk = {.size = sizeof(blk),
	                              .nqueues = d->opt.queues,
	                              .queue_max = 1024,
	                              .readonly = (uint32_t)d->opt.readonly,
	                              .serial = "vdevkit"};
	struct vdev_vhost_user_config vu = {
		.size = sizeof(vu), .path = d->opt.socket, .fd = -1, .flags = VDEV_VHOST_USER_QUEUE_TASKS};
	int rc = vdev_blk_new(&d->blk, &d->env, d->disk, &blk);

	if (rc < 0)
		return fail("can't make", "the device", rc);
	rc = vdev_vhost_user_new(&d->vu, &d->env, d->blk, &vu);
	if (rc < 0)
		return fail("can't listen on", d->opt.socket, rc);
	guard(d);
	return 0;
}

static void print_counters(const struct daemon *d)
{
	struct vdev_counters sum = {0}, c;
	struct vdev_vhost_user_iotlb tlb;
	struct virtq_features f;
	int started = vdev_vhost_user_features(d->vu, &f);
	const char *ring = virtq_features_has(&f, VIRTQ_F_RING_PACKED) ? "packed" : "split";

	for (unsigned q = 0; q < vdev_queue_count(d->blk); q++) {
		vdev_queue_counters(d->blk, q, &c);
		sum.requests += c.requests;
		sum.read_bytes += c.read_bytes;
		sum.written_bytes += c.written_bytes;
		sum.discarded_bytes += c.discarded_bytes;
		sum.kicks += c.kicks;
		sum.interrupts += c.interrupts;
		sum.errors += c.errors;
	}
	vdev_vhost_user_iotlb(d->vu, &tlb);
	printf("{\"requests\":%" PRIu64 ",\"read_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64
	       ",\"discarded_bytes\":%" PRIu64 ",\"kicks\":%" PRIu64 ",\"interrupts\":%" PRIu64
	       ",\"errors\":%" PRIu64 ",\"iotlb_misses\":%" PRIu64 ",\"iotlb_updates\":%" PRIu64
	       ",\"iotlb_invalidates\":%" PRIu64 ",\"ring\":\"%s\",\"features\":\"0x%" PRIx64 "\"}\n",
	       sum.requests, sum.read_bytes, sum.written_bytes, sum.discarded_bytes, sum.kicks,
	       sum.interrupts, sum.errors, tlb.misses, tlb.updates, tlb.invalidates,
	       started ? ring : "none", f.word[0]);
	fflush(stdout);
}

static int on_signal(void *ctx, unsigned flags)
{
	struct daemon *d = ctx;
	struct signalfd_siginfo s;

	(void)flags;
	if (read(d->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return 0;
	if (s.ssi_signo == SIGUSR1)
		print_counters(d);
	else
		vdev_loop_stop(d->control);
	return 1;
}

/* The threads of the loops have all signals blocked; here they come through a descriptor. */
static int open_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals < 0 ? fail("can't use", "signals", VIRTQ_EIO) : 0;
}

static int open_loops(struct daemon *d)
{
	struct vdev_task task = {.fd = d->signals, .run = on_signal, .ctx = d};
	int rc;

	d->serving = 1; /* before there are threads that look at it */
	rc = vdev_loop_new(&d->queues, &d->env, d->threads, d->opt.poll ? UINT32_MAX : d->opt.spin_us);

	if (rc >= 0)
		rc = vdev_loop_new(&d->control, &d->env, 0, 0);
	if (rc >= 0)
		rc = vdev_loop_add(d->control, 0, &task);
	vdev_vhost_user_task(d->vu, &task);
	if (rc >= 0)
		rc = vdev_loop_add(d->control, 0, &task);
	/* Queue q on thread q % threads, where its engine is too. */
	for (unsigned q = 0; q < d->opt.queues && rc >= 0; q++) {
		rc = vdev_vhost_user_queue_task(d->vu, q, &task);
		if (rc >= 0)
			rc = vdev_loop_add(d->queues, q, &task);
	}
	return rc < 0 ? fail("can't start", "threads", rc) : 0;
}

static void close_all(struct daemon *d)
{
	vdev_loop_free(d->queues);
	vdev_loop_free(d->control);
	signal(SIGBUS, SIG_DFL);
	vdev_vhost_user_free(d->vu);
	if (d->blk != NULL && vdev_free(d->blk) < 0)
		fputs("vhost-user-blk: the device is still busy\n", stderr);
	if (d->locked)
		d->disk->ops->release(d->disk);
	vdev_disk_free(d->disk);
	for (unsigned i = 0; i < d->threads; i++)
		vdev_engine_free(d->engines[i]);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	int rc = options_read(&d.opt, argc, argv);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	d.env = *vdev_env_hosted();
	d.env.log = show;
	d.env.ctx = &d;
	d.threads = d.opt.queues;
	if (processors > 0 && d.threads > (unsigned long)processors)
		d.threads = (unsigned)processors;
	rc = open_signals(&d);
	if (rc == 0)
		rc = open_disk(&d);
	if (rc == 0)
		rc = open_device(&d);
	if (rc == 0)
		rc = open_loops(&d);
	if (rc == 0) {
		rc = vdev_loop_run(d.control) < 0 ? 1 : 0;
		print_counters(&d);
	}
	close_all(&d);
	return rc;
}
