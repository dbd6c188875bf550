/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client: a vhost-user front-end that sets one queue up and keeps so many 4 KiB requests at random places under
 * way. A slot has a header and a status in one cache line, as Linux has them, and a page of data.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "blk_bench.h"

enum { HEADERS = 64 << 10, DATA = 1 << 20, MEMORY = 2 << 20, LINE = 64, TAKE = 32 };
enum { STATUS_AT = 16, PATIENCE_MS = 10000 };
#define GPA 0x40000000u

/* A clock that costs little; ticks_per_ns() is measured over each window. */
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return bench_now_ns();
#endif
}

/* --- the connection --------------------------------------------------------- */

static int connect_to(struct blk_client *c, const char *path)
{
	const struct vdev_vhost_front_config cfg = {
		.size = sizeof(cfg), .path = path, .queues = 1, .timeout_ms = 60000};
	int rc = -1;

	/* Under valgrind a daemon takes its time to start. */
	for (int i = 0; i < 3000 && rc < 0; i++) {
		rc = vdev_vhost_front_new(&c->front, vdev_env_hosted(), &cfg);
		if (rc < 0)
			usleep(10000);
	}
	return rc;
}

static int set_up_ring(struct blk_client *c, const struct virtq_features *f)
{
	struct virtq_drv_config cfg = {.size = sizeof(cfg), .features = *f, .queue_size = BLK_QUEUE};
	struct vdev_vhost_front_queue q = {.size = sizeof(q), .drv = &c->drv};

	cfg.ring = c->mem;
	cfg.ring_addr = GPA;
	cfg.scratch_bytes = virtq_drv_bytes(BLK_QUEUE, f);
	cfg.scratch = c->scratch = bench_zeroed(cfg.scratch_bytes);
	bench_need(virtq_drv_ring_bytes(BLK_QUEUE, f) <= HEADERS, "room for the ring");
	bench_need(virtq_drv_init(&c->drv, &cfg) == 0, "virtq_drv_init");
	virtq_drv_state(&c->drv, &q.state);
	return vdev_vhost_front_queue_start(c->front, 0, &q);
}

static int set_up(struct blk_client *c, int packed)
{
	const struct vdev_vhost_front_region region = {
		.gpa = GPA, .len = MEMORY, .host = c->mem, .fd = c->memfd};
	struct virtq_features f = {{0}};

	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	if (packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	if (vdev_vhost_front_accept(c->front, &f) < 0 ||
	    packed != virtq_features_has(&f, VIRTQ_F_RING_PACKED) ||
	    vdev_vhost_front_set_memory(c->front, &region, 1) < 0 || set_up_ring(c, &f) < 0 ||
	    vdev_vhost_front_set_status(c->front, 0x0f) < 0)
		return -1;
	c->kick = vdev_vhost_front_kick_fd(c->front, 0);
	c->call = vdev_vhost_front_call_fd(c->front, 0);
	return 0;
}

int blk_client_open(struct blk_client *c, const char *socket, int packed)
{
	memset(c, 0, sizeof(*c));
	c->random = 2463534242u;
	c->memfd = memfd_create("blk-bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bench_need(c->memfd >= 0 && ftruncate(c->memfd, MEMORY) == 0 &&
	               fcntl(c->memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0,
	           "memory of the client");
	c->mem = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, c->memfd, 0);
	bench_need(c->mem != MAP_FAILED, "memory of the client");
	return connect_to(c, socket) < 0 ? -1 : set_up(c, packed);
}

void blk_client_close(struct blk_client *c)
{
	if (c->mem == NULL)
		return;
	vdev_vhost_front_free(c->front);
	close(c->memfd);
	munmap(c->mem, MEMORY);
	free(c->scratch);
	c->mem = NULL;
}

/* --- latencies ---------------------------------------------------------------- */

enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, BUCKETS = 40 * SUB };

/* A power of two and five bits behind it: within 3 %. */
static unsigned bucket_of(uint64_t t)
{
	unsigned top;

	if (t < SUB)
		return (unsigned)t;
	top = 63u - (unsigned)__builtin_clzll(t);
	top = (top - SUB_BITS + 1) * SUB + (unsigned)(t >> (top - SUB_BITS) & (SUB - 1));
	return top < BUCKETS ? top : BUCKETS - 1;
}

static double middle_of(unsigned bucket)
{
	unsigned shift = bucket / SUB;

	if (shift == 0)
		return bucket;
	return ((double)(bucket % SUB + SUB) + 0.5) * (double)(1ull << (shift - 1));
}

static double percentile(const uint32_t *counts, uint64_t all, double part)
{
	uint64_t want = (uint64_t)((double)all * part), seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += counts[i];
		if (seen > want)
			return middle_of(i);
	}
	return 0;
}

/* --- the load ------------------------------------------------------------------- */

struct run {
	struct blk_client *c;
	const struct blk_load *load;
	uint64_t left; /* requests to send still */
	uint64_t done;
	uint32_t counts[BUCKETS];
};

static uint8_t *header_of(struct blk_client *c, unsigned slot)
{
	return c->mem + HEADERS + (size_t)slot * LINE;
}

static void send_one(struct run *r, unsigned slot, uint64_t now)
{
	struct blk_client *c = r->c;
	uint64_t at = GPA + HEADERS + (uint64_t)slot * LINE, sector;
	struct virtq_seg seg[3] = {{.addr = at, .len = 16},
	                           {.addr = GPA + DATA + (uint64_t)slot * BLK_BLOCK, .len = BLK_BLOCK},
	                           {.addr = at + STATUS_AT, .len = 1}};
	uint32_t type = (uint32_t)r->load->write;

	c->random ^= c->random << 13;
	c->random ^= c->random >> 17;
	c->random ^= c->random << 5;
	sector = (uint64_t)(c->random % (BLK_DISK_BYTES / BLK_BLOCK)) * (BLK_BLOCK / 512);
	memcpy(header_of(c, slot), &type, sizeof(type));
	memcpy(header_of(c, slot) + 8, &sector, sizeof(sector));
	header_of(c, slot)[STATUS_AT] = 0xff;
	c->sent_at[slot] = now;
	r->left--;
	bench_need(virtq_drv_add(&c->drv, seg, r->load->write ? 2 : 1, r->load->write ? 1 : 2,
	                         header_of(c, slot)) == 0,
	           "virtq_drv_add");
}

static void kick(struct blk_client *c)
{
	const uint64_t one = 1;

	virtq_drv_publish(&c->drv);
	if (!virtq_drv_should_kick(&c->drv))
		return;
	c->kicks++;
	bench_need(write(c->kick, &one, sizeof(one)) == (ssize_t)sizeof(one), "kick");
}

/* Take what has been used, and send as much again. Taken requests, or -1. */
static int turn(struct run *r)
{
	struct virtq_done done[TAKE];
	struct blk_client *c = r->c;
	int n = virtq_drv_take(&c->drv, done, TAKE);
	uint64_t now;

	if (n <= 0)
		return n;
	now = ticks();
	for (int i = 0; i < n; i++) {
		const uint8_t *header = done[i].cookie;
		unsigned slot = (unsigned)(header - (c->mem + HEADERS)) / LINE;

		if (header[STATUS_AT] != 0)
			return -1;
		r->counts[bucket_of(now - c->sent_at[slot])]++;
		if (r->left > 0)
			send_one(r, slot, now);
	}
	kick(c);
	r->done += (uint64_t)n;
	return n;
}

static void take_calls(struct blk_client *c)
{
	uint64_t n;

	if (read(c->call, &n, sizeof(n)) == (ssize_t)sizeof(n))
		c->calls += n;
}

/* Until something may have been used. 0, or -1 when nothing comes. */
static int sleep_until_called(struct blk_client *c)
{
	struct pollfd p = {.fd = c->call, .events = POLLIN};

	if (virtq_drv_arm(&c->drv) == 1)
		return 0;
	if (poll(&p, 1, PATIENCE_MS) != 1)
		return -1;
	take_calls(c);
	return 0;
}

static void relax(void)
{
#if defined(__x86_64__)
	_mm_pause();
#endif
}

/* Go on until the time is over or all are sent; then (end = UINT64_MAX) until all are back. */
static int go(struct run *r, uint64_t end)
{
	uint64_t patience = bench_now_ns() + PATIENCE_MS * 1000000ull;
	unsigned idle = 0, turns = 0;

	while (virtq_drv_inflight(&r->c->drv) > 0) {
		int n = turn(r);

		if (n < 0)
			return -1;
		if (n == 0 && r->load->notified && sleep_until_called(r->c) < 0)
			return -1;
		if (n == 0 && !r->load->notified) {
			relax();
			idle++;
		}
		if ((++turns & 63) == 0 || r->load->notified || (idle & 255) == 255) {
			uint64_t now = bench_now_ns();

			if (now >= end)
				return 0;
			if (n > 0)
				patience = now + PATIENCE_MS * 1000000ull;
			else if (now > patience)
				return -1;
		}
	}
	return 0;
}

int blk_client_run(struct blk_client *c, const struct blk_load *load, uint64_t ns,
                   uint64_t requests, struct blk_window *out)
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t start = bench_now_ns(), tick = ticks();
	double spent, per_us;
	int rc;

	bench_need(r != NULL, "allocation");
	*r = (struct run){.c = c, .load = load, .left = requests != 0 ? requests : UINT64_MAX};
	c->kicks = c->calls = 0;
	if (!load->notified)
		virtq_drv_disarm(&c->drv);
	for (unsigned i = 0; i < load->depth && r->left > 0; i++)
		send_one(r, i, ticks());
	kick(c);
	rc = go(r, requests != 0 ? UINT64_MAX : start + ns);
	spent = (double)(bench_now_ns() - start);
	per_us = (double)(ticks() - tick) / spent * 1000.0;
	*out = (struct blk_window){.requests = r->done,
	                           .iops = (double)r->done / spent * 1e9,
	                           .p50 = percentile(r->counts, r->done, 0.5) / per_us,
	                           .p99 = percentile(r->counts, r->done, 0.99) / per_us};
	r->left = 0;
	if (rc == 0)
		rc = go(r, UINT64_MAX);
	take_calls(c);
	out->kicks = c->kicks;
	out->calls = c->calls;
	free(r);
	return rc;
}
