/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device's driver over our vhost-user front-end, for tests and benchmarks: memory, rings, requests. Not a
 * library's face: what can't fail in a test ends the program with a word.
 */
#ifndef TESTS_SUPPORT_FRONT_BLK_H
#define TESTS_SUPPORT_FRONT_BLK_H

#include <vdev/vhost_user_front.h>
#include <virtq/virtq.h>

enum { FB_QUEUES = 8, FB_SECTOR = 512 };
#define FB_GPA 0x40000000u

enum fb_flag {
	FB_PACKED = 1,
	FB_INBAND = 2,
	FB_IN_ORDER = 4,
	FB_NO_EVENT_IDX = 8,
	FB_NO_CALL = 16,  /* polled by us */
	FB_NO_KICK = 32,  /* polled by the back-end */
	FB_INFLIGHT = 64, /* ask for an in-flight area, if that is offered */
	FB_PLATFORM = 128 /* ACCESS_PLATFORM, if offered: device addresses are FB_IOVA and up */
};

/* With FB_PLATFORM device addresses are guest addresses plus this. */
#define FB_IOVA 0x100000000000ull

struct fb_config {
	const char *path;
	int fd; /* when path is NULL */
	unsigned queues;
	unsigned queue_size;
	unsigned flags; /* enum fb_flag */
	uint64_t withhold;
	uint32_t timeout_ms;
	size_t data_bytes; /* shared memory for payload */
	const struct vdev_vhost_front_ops *ops;
	const struct virtq_xlat_ops *xlat; /* with FB_PLATFORM, instead of a table */
	void *ctx;
};

/* A request: header, status, and what it is about. Its number is its place in both arrays. */
struct fb_slot {
	int busy;
	uint32_t bytes;
	void *cookie;
};

struct fb_queue {
	struct virtq_drv drv;
	void *scratch;
	struct fb_slot *slots;
	unsigned *free;
	unsigned nfree;
	size_t ring_at; /* offsets in the memory */
	size_t requests_at;
};

struct front_blk {
	struct vdev_vhost_front *f;
	struct vdev_env env;
	struct fb_config cfg;
	struct virtq_features features;
	struct virtq_xlat xlat;
	int memfd;
	uint8_t *mem;
	size_t bytes;
	size_t data_at; /* offset of the payload */
	uint8_t *data;
	uint64_t sectors; /* capacity */
	struct fb_queue q[FB_QUEUES];
};

/* A request that is done. */
struct fb_done {
	void *cookie;
	unsigned status; /* of virtio-blk: 0 OK */
	uint32_t written;
};

/* Connect, negotiate, start all queues. 0 or the front-end's error, with everything given back. */
int fb_open(struct front_blk *b, const struct fb_config *cfg);
void fb_close(struct front_blk *b);
/* Start a queue afresh: whatever was out is forgotten, in the order in which it was taken back. */
int fb_queue_start(struct front_blk *b, unsigned q);
/* Capacity as the device says now. */
int fb_capacity(struct front_blk *b);
/*
 * Put a request into the ring and show it; at is an offset in the payload. type as of virtio-blk: 0 read, 1 write, 4 flush.
 * 0 or VIRTQ_ENOSPC and others of virtq_drv_add().
 */
int fb_submit(struct front_blk *b, unsigned q, uint32_t type, uint64_t sector, size_t at,
              uint32_t bytes, void *cookie);
/* Kick if the device wants it. */
int fb_kick(struct front_blk *b, unsigned q);
/* What is done, up to max; or VIRTQ_EBROKEN. */
int fb_take(struct front_blk *b, unsigned q, struct fb_done *out, unsigned max);
/* Wait until something may have been done, at most ms. */
void fb_wait(struct front_blk *b, unsigned q, int ms);
/* One request, waited for at most ms: its status, -ETIMEDOUT or an error. */
int fb_io(struct front_blk *b, unsigned q, uint32_t type, uint64_t sector, size_t at,
          uint32_t bytes, int ms);

#endif
