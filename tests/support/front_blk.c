/* SPDX-License-Identifier: BSD-3-Clause */
#include "front_blk.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../libvdev/os/os.h"

enum { BLK_F_FLUSH = 9, BLK_F_MQ = 12, HEADER = 16, STATUS_AT = 16, REQUEST_BYTES = 32 };
enum { PAGE = 4096 };

static void fatal(const char *what)
{
	fprintf(stderr, "front_blk: %s\n", what);
	abort();
}

static void *get(size_t n, size_t bytes)
{
	void *p = calloc(n > 0 ? n : 1, bytes);

	if (p == NULL)
		fatal("no memory");
	return p;
}

static size_t page_up(size_t n)
{
	return (n + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static uint64_t device_address(const struct front_blk *b, size_t offset)
{
	uint64_t gpa = FB_GPA + offset;

	return virtq_features_has(&b->features, VIRTQ_F_ACCESS_PLATFORM) ? gpa + FB_IOVA : gpa;
}

static void make_memory(struct front_blk *b)
{
	const struct fb_config *c = &b->cfg;
	size_t at = 0;

	for (unsigned q = 0; q < c->queues; q++) {
		b->q[q].ring_at = at;
		at += page_up(VIRTQ_SPLIT_DESC_BYTES(c->queue_size) + 128 +
		              VIRTQ_SPLIT_DRIVER_BYTES(c->queue_size) +
		              VIRTQ_SPLIT_DEVICE_BYTES(c->queue_size));
		b->q[q].requests_at = at;
		at += page_up((size_t)c->queue_size * REQUEST_BYTES);
	}
	b->data_at = at;
	b->bytes = page_up(at + c->data_bytes);
	b->memfd = vdev_os_memfd("front_blk", b->bytes);
	if (b->memfd < 0)
		fatal("no memfd");
	b->mem = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b->memfd, 0);
	if (b->mem == MAP_FAILED)
		fatal("no mapping");
	b->data = b->mem + b->data_at;
}

static int negotiate(struct front_blk *b)
{
	struct virtq_features *f = &b->features;
	struct virtq_features offered;

	vdev_vhost_front_offered(b->f, &offered);
	*f = (struct virtq_features){{1ull << BLK_F_FLUSH | 1ull << BLK_F_MQ, 0}};
	virtq_features_set(f, VIRTQ_F_VERSION_1);
	if (!(b->cfg.flags & FB_NO_EVENT_IDX))
		virtq_features_set(f, VIRTQ_F_EVENT_IDX);
	if (b->cfg.flags & FB_PACKED)
		virtq_features_set(f, VIRTQ_F_RING_PACKED);
	if (b->cfg.flags & FB_IN_ORDER)
		virtq_features_set(f, VIRTQ_F_IN_ORDER);
	if (b->cfg.flags & FB_PLATFORM)
		virtq_features_set(f, VIRTQ_F_ACCESS_PLATFORM);
	return vdev_vhost_front_accept(b->f, f);
}

int fb_capacity(struct front_blk *b)
{
	uint8_t le[8];
	int rc = vdev_vhost_front_config_read(b->f, 0, le, sizeof(le));

	b->sectors = 0;
	for (unsigned i = 0; i < 8 && rc >= 0; i++)
		b->sectors |= (uint64_t)le[i] << 8 * i;
	return rc;
}

int fb_queue_start(struct front_blk *b, unsigned i)
{
	struct fb_queue *q = &b->q[i];
	unsigned size = b->cfg.queue_size;
	struct vdev_vhost_front_queue setup = {.size = sizeof(setup), .drv = &q->drv};
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = b->features,
	                               .queue_size = (uint16_t)size,
	                               .ring = b->mem + q->ring_at,
	                               .ring_addr = device_address(b, q->ring_at)};
	int rc;

	free(q->scratch);
	free(q->slots);
	free(q->free);
	q->slots = get(size, sizeof(*q->slots));
	q->free = get(size, sizeof(*q->free));
	for (q->nfree = 0; q->nfree < size; q->nfree++)
		q->free[q->nfree] = size - 1 - q->nfree;
	cfg.scratch_bytes = virtq_drv_bytes((uint16_t)size, &b->features);
	cfg.scratch = q->scratch = get(1, cfg.scratch_bytes);
	rc = virtq_drv_init(&q->drv, &cfg);
	if (rc < 0)
		return rc;
	if (b->cfg.flags & FB_NO_CALL)
		setup.flags |= VDEV_VHOST_FRONT_NO_CALL;
	if (b->cfg.flags & FB_NO_KICK)
		setup.flags |= VDEV_VHOST_FRONT_NO_KICK;
	virtq_drv_state(&q->drv, &setup.state);
	return vdev_vhost_front_queue_start(b->f, i, &setup);
}

static int set_up(struct front_blk *b)
{
	struct vdev_vhost_front_region r = {
		.gpa = FB_GPA, .len = b->bytes, .host = b->mem, .fd = b->memfd};
	int rc = negotiate(b);

	if (rc >= 0)
		rc = vdev_vhost_front_set_memory(b->f, &r, 1);
	b->xlat = (struct virtq_xlat){FB_GPA + FB_IOVA, FB_GPA, b->bytes, 3, 0};
	if (rc >= 0 && b->cfg.xlat == NULL)
		rc = vdev_vhost_front_set_table(b->f, &b->xlat, 1);
	if (rc >= 0 && b->cfg.flags & FB_INFLIGHT &&
	    vdev_vhost_front_protocol(b->f) >> VDEV_VHOST_FRONT_INFLIGHT_SHMFD & 1)
		rc = vdev_vhost_front_inflight(b->f, (uint16_t)b->cfg.queue_size);
	for (unsigned i = 0; i < b->cfg.queues && rc >= 0; i++)
		rc = fb_queue_start(b, i);
	if (rc >= 0)
		rc = vdev_vhost_front_set_status(b->f, VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER |
		                                           VIRTQ_STATUS_FEATURES_OK |
		                                           VIRTQ_STATUS_DRIVER_OK);
	if (rc >= 0)
		rc = fb_capacity(b);
	return rc;
}

int fb_open(struct front_blk *b, const struct fb_config *cfg)
{
	struct vdev_vhost_front_config fc = {.size = sizeof(fc),
	                                     .path = cfg->path,
	                                     .fd = cfg->fd,
	                                     .queues = cfg->queues,
	                                     .timeout_ms = cfg->timeout_ms,
	                                     .withhold = cfg->withhold,
	                                     .ops = cfg->ops,
	                                     .xlat = cfg->xlat,
	                                     .ctx = cfg->ctx};
	int rc;

	memset(b, 0, sizeof(*b));
	b->cfg = *cfg;
	b->memfd = -1;
	b->env = *vdev_env_hosted();
	if (cfg->queues == 0 || cfg->queues > FB_QUEUES)
		fatal("too many queues");
	if (cfg->flags & FB_INBAND)
		fc.flags |= VDEV_VHOST_FRONT_WANT_INBAND;
	rc = vdev_vhost_front_new(&b->f, &b->env, &fc);
	if (rc < 0)
		return rc;
	make_memory(b);
	rc = set_up(b);
	if (rc < 0)
		fb_close(b);
	return rc < 0 ? rc : 0;
}

void fb_close(struct front_blk *b)
{
	vdev_vhost_front_free(b->f);
	for (unsigned i = 0; i < FB_QUEUES; i++) {
		free(b->q[i].scratch);
		free(b->q[i].slots);
		free(b->q[i].free);
	}
	if (b->mem != NULL)
		munmap(b->mem, b->bytes);
	if (b->memfd >= 0)
		close(b->memfd);
	memset(b, 0, sizeof(*b));
	b->memfd = -1;
}

int fb_submit(struct front_blk *b, unsigned i, uint32_t type, uint64_t sector, size_t at,
              uint32_t bytes, void *cookie)
{
	struct fb_queue *q = &b->q[i];
	struct virtq_seg seg[3];
	uint8_t *request;
	unsigned slot;
	size_t offset;
	uint32_t n = 0, nread;
	int rc;

	if (q->nfree == 0)
		return VIRTQ_ENOSPC;
	slot = q->free[q->nfree - 1];
	offset = q->requests_at + (size_t)slot * REQUEST_BYTES;
	request = b->mem + offset;
	memset(request, 0, HEADER);
	request[0] = (uint8_t)type;
	for (unsigned k = 0; k < 8; k++)
		request[8 + k] = (uint8_t)(sector >> 8 * k);
	request[STATUS_AT] = 0xff;
	seg[n++] = (struct virtq_seg){device_address(b, offset), HEADER};
	if (bytes > 0)
		seg[n++] = (struct virtq_seg){device_address(b, b->data_at + at), bytes};
	nread = type == 1 ? n : 1;
	seg[n++] = (struct virtq_seg){device_address(b, offset + STATUS_AT), 1};
	rc = virtq_drv_add(&q->drv, seg, nread, n - nread, &q->slots[slot]);
	if (rc < 0)
		return rc;
	q->nfree--;
	q->slots[slot] = (struct fb_slot){.busy = 1, .bytes = bytes, .cookie = cookie};
	virtq_drv_publish(&q->drv);
	return 0;
}

int fb_kick(struct front_blk *b, unsigned i)
{
	if (!virtq_drv_should_kick(&b->q[i].drv) || b->cfg.flags & FB_NO_KICK)
		return 0;
	return vdev_vhost_front_kick(b->f, i);
}

int fb_take(struct front_blk *b, unsigned i, struct fb_done *out, unsigned max)
{
	struct fb_queue *q = &b->q[i];
	struct virtq_done done[64];
	int n = virtq_drv_take(&q->drv, done, max < 64 ? max : 64);

	for (int k = 0; k < n; k++) {
		struct fb_slot *s = done[k].cookie;
		unsigned slot = (unsigned)(s - q->slots);
		const uint8_t *request = b->mem + q->requests_at + (size_t)slot * REQUEST_BYTES;

		if (!s->busy)
			fatal("a request came back twice");
		s->busy = 0;
		q->free[q->nfree++] = slot;
		out[k] = (struct fb_done){s->cookie, request[STATUS_AT], done[k].written};
	}
	return n;
}

void fb_wait(struct front_blk *b, unsigned i, int ms)
{
	struct vdev_task t;
	struct pollfd p[2];

	if (virtq_drv_arm(&b->q[i].drv))
		return;
	vdev_vhost_front_task(b->f, &t);
	p[0] = (struct pollfd){.fd = vdev_vhost_front_call_fd(b->f, i), .events = POLLIN};
	p[1] = (struct pollfd){.fd = t.fd, .events = POLLIN};
	if (b->cfg.flags & FB_NO_CALL) {
		sched_yield();
		ms = 0;
	}
	(void)poll(p, 2, ms);
	if (p[1].revents)
		(void)t.run(t.ctx, 0);
	(void)vdev_os_drain_foreign(p[0].fd);
}

int fb_io(struct front_blk *b, unsigned i, uint32_t type, uint64_t sector, size_t at,
          uint32_t bytes, int ms)
{
	uint64_t end = vdev_os_now() + (uint64_t)ms * 1000000u;
	struct fb_done done;
	int rc = fb_submit(b, i, type, sector, at, bytes, NULL);

	if (rc >= 0)
		rc = fb_kick(b, i);
	while (rc >= 0) {
		rc = fb_take(b, i, &done, 1);
		if (rc > 0)
			return (int)done.status;
		if (rc == 0 && !vdev_vhost_front_alive(b->f))
			return VIRTQ_EBROKEN;
		if (rc == 0 && vdev_os_now() > end)
			return -ETIMEDOUT;
		if (rc == 0)
			fb_wait(b, i, 100);
	}
	return rc;
}
