/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk for virtual machines: a virtio-blk device served over vhost-user. One front-end at a time, any number one after
 * the other. The main thread talks with the front-end; each queue is served by a thread of the loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <vdev/blk.h>
#include <vdev/disk_file.h>

#include "daemon.h"
#include "options.h"

enum { MAX_THREADS = 64, URING_ENTRIES = 256, WORKERS = 4 };

struct blk_daemon {
	struct daemon base;
	struct options opt;
	unsigned threads;
	unsigned told; /* bit per kind of disk event that was shown */
	struct vdev_engine *engines[MAX_THREADS];
	struct vdev_disk *disk;
	int locked;
	struct vdev *blk;
	struct vdev_vhost_user *vu;
};

/* Something happened to the disk. Any thread. Each kind is told once, lest a guest fill the log. */
static void disk_event(void *ctx, int event, int error)
{
	static const char *const what[] = {[VDEV_DISK_RESIZED] = "has another size",
	                                   [VDEV_DISK_FULL] = "found no space for a write",
	                                   [VDEV_DISK_GONE] = "is gone, or shorter than it was",
	                                   [VDEV_DISK_FAILED] = "failed"};
	struct blk_daemon *d = ctx;
	unsigned bit = 1u << event;

	if (event < 0 || (size_t)event >= sizeof(what) / sizeof(what[0]) ||
	    __atomic_fetch_or(&d->told, bit, __ATOMIC_RELAXED) & bit)
		return;
	fprintf(stderr, "vhost-user-blk: the disk %s (error %d)\n", what[event], error);
}

static int open_engine(struct blk_daemon *d, struct vdev_engine **out)
{
	int rc = VIRTQ_ENOTSUP;

	if (d->opt.engine != ENGINE_THREADS)
		rc = vdev_engine_uring_new(out, &d->base.env, URING_ENTRIES);
	if (rc < 0 && d->opt.engine != ENGINE_URING)
		rc = vdev_engine_threads_new(out, &d->base.env, WORKERS);
	return rc;
}

static int open_file(struct blk_daemon *d)
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
	return vdev_disk_file_new(&d->disk, &d->base.env, &cfg);
}

/*
 * Open the disk, and hold it: a second daemon on the same image must not start. With --wait it may, and has requests wait
 * until the first one, or a write that it left to the kernel, has let go.
 */
static int open_disk(struct blk_daemon *d)
{
	const char *name = "disk";
	int rc;

	if (d->opt.disk == DISK_FILE) {
		name = d->opt.path;
		rc = open_file(d);
	} else if (d->opt.disk == DISK_MEM) {
		rc = vdev_disk_mem_new(&d->disk, &d->base.env, NULL, d->opt.bytes);
	} else if (d->opt.disk == DISK_VOID) {
		rc = vdev_disk_void_new(&d->disk, &d->base.env, d->opt.bytes);
	} else {
		rc = vdev_disk_null_new(&d->disk, &d->base.env, d->opt.bytes);
	}
	if (rc >= 0 && d->disk->ops->acquire != NULL) {
		rc = d->disk->ops->acquire(d->disk);
		d->locked = rc >= 0;
		if (rc == VIRTQ_EBUSY && d->opt.wait)
			rc = 0;
	}
	if (rc >= 0)
		d->disk->ops->on_event(d->disk, disk_event, d);
	return rc < 0 ? daemon_fail(&d->base, "can't use", name, rc) : 0;
}

static int open_device(struct blk_daemon *d)
{
	struct vdev_blk_config blk = {.size = sizeof(blk),
	                              .nqueues = d->opt.queues,
	                              .queue_max = 1024,
	                              .readonly = (uint32_t)d->opt.readonly,
	                              .serial = "vdevkit"};
	struct vdev_vhost_user_config vu = {
		.size = sizeof(vu), .path = d->opt.socket, .fd = -1, .flags = VDEV_VHOST_USER_QUEUE_TASKS};
	int rc = vdev_blk_new(&d->blk, &d->base.env, d->disk, &blk);

	if (rc < 0)
		return daemon_fail(&d->base, "can't make", "the device", rc);
	rc = vdev_vhost_user_new(&d->vu, &d->base.env, d->blk, &vu);
	if (rc < 0)
		return daemon_fail(&d->base, "can't listen on", d->opt.socket, rc);
	return 0;
}

static void print_counters(void *ctx)
{
	const struct blk_daemon *d = ctx;
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

/* Queue q's thread, where its engine is too. */
static unsigned thread_of(const void *ctx, unsigned q)
{
	const struct blk_daemon *d = ctx;

	return q % d->threads;
}

static void close_all(struct blk_daemon *d)
{
	daemon_stop(&d->base);
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
	static struct blk_daemon d = {
		.base = {.name = "vhost-user-blk", .print = print_counters, .ctx = &d}};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	int rc = options_read(&d.opt, argc, argv);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	d.threads = d.opt.queues;
	if (processors > 0 && d.threads > (unsigned long)processors)
		d.threads = (unsigned)processors;
	rc = daemon_init(&d.base);
	if (rc == 0)
		rc = open_disk(&d);
	if (rc == 0)
		rc = open_device(&d);
	if (rc == 0)
		rc = daemon_start(&d.base, d.threads, d.opt.poll ? UINT32_MAX : d.opt.spin_us);
	if (rc == 0)
		rc = daemon_serve(&d.base, d.vu, d.opt.queues, thread_of, &d);
	if (rc == 0)
		rc = daemon_run(&d.base);
	close_all(&d);
	return rc;
}
