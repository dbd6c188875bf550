/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: each block is written with what says which block it is, out of order, on every queue, many at a time. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../libvdev/os/os.h"
#include "front_blk.h"
#include "front_client.h"

enum { BLOCK = 4096, DEPTH = 16, READ = 0, WRITE = 1, FLUSH = 4, LIMIT_MS = 30000 };

struct job {
	uint32_t block;
	int busy;
	size_t at; /* its place in the payload */
};

struct client {
	const struct client_options *o;
	struct front_blk b;
	struct job jobs[FB_QUEUES][DEPTH];
	uint32_t blocks;
	uint32_t next;
	uint32_t done;
	uint32_t type;
	unsigned reconnections;
	int halfway;
};

static void pattern(uint8_t *p, uint32_t block)
{
	uint64_t x = block * 0x9e3779b97f4a7c15u + 1;

	for (unsigned i = 0; i < BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, 8);
	}
}

static int right(const uint8_t *p, uint32_t block)
{
	uint8_t want[BLOCK];

	pattern(want, block);
	return memcmp(p, want, BLOCK) == 0;
}

/* The nth block of a permutation: blocks is a power of two. */
static uint32_t nth(const struct client *c, uint32_t n)
{
	return (n * 2654435761u) & (c->blocks - 1);
}

/* The last quarter waits for the loss that is to come: that is sure to be in the middle of the work. */
static int waits_for_loss(const struct client *c)
{
	return c->o->reconnect && c->type == WRITE && c->reconnections == 0 &&
	       c->next >= c->blocks - c->blocks / 4;
}

static int give(struct client *c, unsigned q, struct job *j)
{
	if (c->next >= c->blocks || waits_for_loss(c))
		return 0;
	j->block = nth(c, c->next);
	if (c->type == WRITE)
		pattern(c->b.data + j->at, j->block);
	else
		memset(c->b.data + j->at, 0x55, BLOCK);
	c->next++;
	j->busy = 1;
	return fb_submit(&c->b, q, c->type, j->block * (uint64_t)(BLOCK / FB_SECTOR), j->at, BLOCK, j);
}

static int took(struct client *c, const struct fb_done *d)
{
	struct job *j = d->cookie;

	if (!j->busy || d->status != 0)
		return client_fail("a request failed, status", (int)d->status);
	j->busy = 0;
	c->done++;
	if (c->type == READ && !right(c->b.data + j->at, j->block))
		return client_fail("a block reads wrong", (int)j->block);
	if (c->type == WRITE && !c->halfway && c->done >= c->blocks / 2) {
		c->halfway = 1;
		puts("halfway");
	}
	return 0;
}

static int serve(struct client *c, unsigned q)
{
	struct fb_done done[DEPTH];
	int n = fb_take(&c->b, q, done, DEPTH);

	for (int i = 0; i < n; i++)
		if (took(c, &done[i]))
			return VIRTQ_EIO;
	for (unsigned i = 0; i < DEPTH && n >= 0; i++)
		if (!c->jobs[q][i].busy && give(c, q, &c->jobs[q][i]) < 0)
			return VIRTQ_EIO;
	if (n >= 0 && fb_kick(&c->b, q) < 0)
		return 0; /* it went: that is noticed */
	return n;
}

/*
 * The back-end went: wait for the next. What was out on a packed ring without in-flight area can't be found again by
 * the back-end, so it is put in anew.
 */
static int next_back_end(struct client *c)
{
	uint64_t end = vdev_os_now() + LIMIT_MS * 1000000ull;
	int rc;

	printf("lost: %s\n", vdev_vhost_front_why(c->b.f));
	for (unsigned q = 0; q < c->o->queues; q++)
		if (serve(c, q) < 0)
			return VIRTQ_EIO;
	for (unsigned q = 0; q < c->o->queues && c->o->packed; q++)
		(void)!vdev_vhost_front_queue_forget(c->b.f, q);
	while ((rc = vdev_vhost_front_reconnect(c->b.f, -1)) < 0) {
		if (rc == VIRTQ_EAGAIN) {
			for (unsigned q = 0; q < c->o->queues; q++)
				if (serve(c, q) < 0)
					return VIRTQ_EIO;
		}
		if (vdev_os_now() > end)
			return client_fail("no reconnection", rc);
		usleep(20000);
	}
	for (unsigned q = 0; q < c->o->queues && c->o->packed; q++) {
		rc = fb_queue_start(&c->b, q);
		for (unsigned i = 0; i < DEPTH && rc >= 0; i++) {
			struct job *j = &c->jobs[q][i];

			if (j->busy)
				rc = fb_submit(&c->b, q, c->type, j->block * (uint64_t)(BLOCK / FB_SECTOR), j->at,
				               BLOCK, j);
		}
		if (rc < 0 || fb_kick(&c->b, q) < 0)
			return client_fail("queue can't be started again", rc);
	}
	c->reconnections++;
	return 0;
}

/* Every block, with DEPTH requests on each queue. */
static int every_block(struct client *c, uint32_t type)
{
	uint64_t end = vdev_os_now() + LIMIT_MS * 1000000ull;
	uint32_t before = 0;

	c->type = type;
	c->next = c->done = 0;
	while (c->done < c->blocks) {
		int n = 0;

		for (unsigned q = 0; q < c->o->queues; q++) {
			int rc = serve(c, q);

			if (rc < 0)
				return client_fail("queue", rc);
			n += rc;
		}
		if (!vdev_vhost_front_alive(c->b.f)) {
			if (!c->o->reconnect)
				return client_fail(vdev_vhost_front_why(c->b.f), VIRTQ_EIO);
			if (next_back_end(c))
				return 1;
			end = vdev_os_now() + LIMIT_MS * 1000000ull;
			continue;
		}
		if (c->done != before)
			end = vdev_os_now() + LIMIT_MS * 1000000ull;
		before = c->done;
		if (vdev_os_now() > end)
			return client_fail("requests do not end", -ETIMEDOUT);
		if (n == 0)
			fb_wait(&c->b, c->done % c->o->queues, 5);
	}
	return 0;
}

static int stop_and_go(struct client *c)
{
	struct vdev_vhost_front_queue s = {.size = sizeof(s)};

	for (unsigned q = 0; q < c->o->queues; q++) {
		int rc = vdev_vhost_front_queue_stop(c->b.f, q, &s.state);

		s.drv = &c->b.q[q].drv;
		if (rc >= 0)
			rc = vdev_vhost_front_queue_start(c->b.f, q, &s);
		if (rc < 0)
			return client_fail("stop and start", rc);
	}
	return 0;
}

static uint32_t block_count(const struct client_options *o)
{
	uint32_t n = 1;

	while (n * 2 <= o->count * 256)
		n *= 2;
	return n;
}

int client_blk(const struct client_options *o)
{
	static struct client c;
	struct fb_config cfg = {.path = o->path,
	                        .fd = -1,
	                        .queues = o->queues,
	                        .queue_size = 64,
	                        .timeout_ms = 20000,
	                        .data_bytes = (size_t)o->queues * DEPTH * BLOCK};
	int rc;

	c.o = o;
	if (o->queues > FB_QUEUES)
		return client_fail("too many queues", 0);
	cfg.flags = (o->packed ? (unsigned)FB_PACKED : 0) | (o->inband ? (unsigned)FB_INBAND : 0);
	rc = fb_open(&c.b, &cfg);
	if (rc < 0)
		return client_fail("can't connect", rc);
	c.blocks = block_count(o);
	for (unsigned q = 0; q < o->queues; q++)
		for (unsigned i = 0; i < DEPTH; i++)
			c.jobs[q][i].at = ((size_t)q * DEPTH + i) * BLOCK;
	if (c.b.sectors < c.blocks * (uint64_t)(BLOCK / FB_SECTOR))
		return client_fail("the disk is too small", (int)c.b.sectors);
	if (every_block(&c, WRITE) || stop_and_go(&c))
		return 1;
	rc = fb_io(&c.b, 0, FLUSH, 0, 0, 0, LIMIT_MS);
	if (rc != 0)
		return client_fail("flush", rc);
	if (every_block(&c, READ) || stop_and_go(&c))
		return 1;
	printf("blk ring=%s queues=%u blocks=%u sectors=%llu reconnections=%u protocol=0x%llx "
	       "queue_num=%u\n",
	       virtq_features_has(&c.b.features, VIRTQ_F_RING_PACKED) ? "packed" : "split", o->queues,
	       c.blocks, (unsigned long long)c.b.sectors, c.reconnections,
	       (unsigned long long)vdev_vhost_front_protocol(c.b.f), vdev_vhost_front_queue_num(c.b.f));
	fb_close(&c.b);
	return 0;
}

int client_image(const struct client_options *o)
{
	int fd = open(o->path, O_RDONLY | O_CLOEXEC);
	uint32_t blocks = block_count(o);
	uint8_t buf[BLOCK];

	if (fd < 0)
		return client_fail(o->path, -errno);
	for (uint32_t i = 0; i < blocks; i++)
		if (pread(fd, buf, BLOCK, (off_t)i * BLOCK) != BLOCK || !right(buf, i))
			return client_fail("a block of the image is wrong", (int)i);
	close(fd);
	printf("image blocks=%u\n", blocks);
	return 0;
}
