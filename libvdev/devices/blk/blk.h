/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside virtio-blk.
 *
 * A request object carries one request from process() to its completion. A disk without poll ends
 * every operation inside submit: then chains and pieces stay the core's and nothing is copied but
 * pieces that have to be cut. For other disks the chain and its pieces are copied into the request
 * object first.
 */
#ifndef VDEV_DEVICES_BLK_H
#define VDEV_DEVICES_BLK_H

#include <string.h>

#include <vdev/blk.h>
#include <vdev/model.h>

#include "limit.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Request types (section 5.2.6). */
enum blk_type {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_GET_LIFETIME = 10,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
	BLK_T_SECURE_ERASE = 14
};

enum blk_status { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

enum {
	BLK_HEADER = 16,          /* bytes of type, reserved, sector */
	BLK_RANGE = 16,           /* bytes of one segment of DISCARD and its like */
	BLK_RANGES = 16,          /* segments in one such request */
	BLK_RANGE_MAX = 1 << 22,  /* sectors of one segment: 2 GiB */
	BLK_ZEROES = 1,           /* segments of WRITE_ZEROES that are offered */
	BLK_ZEROES_MAX = 1 << 17, /* sectors of one, and of one operation of the disk: 64 MiB */
	BLK_INLINE = 18,          /* pieces kept in the request object itself */
	BLK_BLOCKS = 64,          /* requests with more pieces under way at a time, at most */
	BLK_ID = 20,
	BLK_LIFETIME = 6,
	BLK_CONFIG = 96,
	BLK_SEG_MAX = 32766,
	BLK_CAN_FLUSH = 1 << 0, /* negotiated features, see blk_device.can */
	BLK_CAN_DISCARD = 1 << 1,
	BLK_CAN_WRITE_ZEROES = 1 << 2,
	BLK_CAN_SECURE_ERASE = 1 << 3,
	BLK_CAN_LIFETIME = 1 << 4,
	BLK_CAN_WCE = 1 << 5
};

/* Places in the configuration space (section 5.2.4). */
enum blk_config_at {
	BLK_AT_CAPACITY = 0,
	BLK_AT_SIZE_MAX = 8,
	BLK_AT_SEG_MAX = 12,
	BLK_AT_GEOMETRY = 16,
	BLK_AT_BLK_SIZE = 20,
	BLK_AT_PHYSICAL_EXP = 24,
	BLK_AT_MIN_IO = 26,
	BLK_AT_OPT_IO = 28,
	BLK_AT_WRITEBACK = 32,
	BLK_AT_NUM_QUEUES = 34,
	BLK_AT_DISCARD_SECTORS = 36,
	BLK_AT_DISCARD_SEG = 40,
	BLK_AT_DISCARD_ALIGN = 44,
	BLK_AT_ZEROES_SECTORS = 48,
	BLK_AT_ZEROES_SEG = 52,
	BLK_AT_ZEROES_UNMAP = 56,
	BLK_AT_ERASE_SECTORS = 60,
	BLK_AT_ERASE_SEG = 64,
	BLK_AT_ERASE_ALIGN = 68
};

struct blk_range {
	uint64_t offset; /* bytes */
	uint64_t len;
	uint32_t flags; /* enum vdev_disk_io_flag */
};

struct blk_queue;

struct blk_req {
	struct vdev_disk_io io; /* first: done() gets it back */
	struct blk_queue *bq;
	const struct virtq_chain *chain; /* the core's, or &copy */
	uint8_t *status;                 /* in guest memory */
	struct blk_req *next;
	uint32_t bytes; /* payload of IN and OUT */
	uint8_t type;
	uint8_t range; /* of ranges: the one under way */
	uint8_t nranges;
	uint8_t flush_after;
	struct virtq_iov *block; /* borrowed for many pieces, or NULL */
	struct virtq_chain copy;
	struct virtq_iov pieces[BLK_INLINE];
	uint64_t at; /* bytes of ranges[range] that have been submitted */
	struct blk_range ranges[BLK_RANGES];
};

/* A read or write that ends inside submit, see burst.c. */
struct blk_quick {
	struct vdev_disk_io io; /* first: done() gets it back */
	uint8_t *status;        /* in guest memory */
	int result;
};

/* A queue that is started. Its owner thread's. */
struct blk_queue {
	struct blk_device *b;
	struct vdev_queue *q;
	struct vdev_disk_channel *channel;
	const struct vdev_disk_ops *disk_ops;
	struct blk_quick *quick;                    /* sync: VDEV_BURST of them, */
	struct vdev_disk_io *quick_ios[VDEV_BURST]; /* and what of each is submitted */
	struct blk_req *free;
	struct blk_req *next_first; /* to be submitted once submit or poll has returned */
	struct blk_req **next_last;
	void *blocks;       /* free blocks, each begins with the address of the next */
	uint32_t block_len; /* pieces in one */
	uint8_t sync;       /* the disk ends everything inside submit */
	uint8_t holds;      /* the disk's medium was acquired */
	uint8_t told;       /* that it can't be */
	uint8_t cancel;
	uint64_t deadline;
	struct blk_waiter waiter;
	size_t bytes; /* of this allocation */
};

struct blk_device {
	struct vdev *v;
	struct vdev_env env;
	struct vdev_disk *disk;
	const struct vdev_disk_ops *disk_ops;
	uint64_t sectors;    /* atomic: the capacity */
	uint32_t block_mask; /* sectors of a logical block, less 1 */
	uint32_t can;        /* atomic: BLK_CAN_*, set with FEATURES_OK */
	uint32_t through;    /* atomic: writes are stable when they end */
	uint32_t volatile_cache;
	uint32_t readonly;
	uint32_t nqueues;
	uint32_t seg_max;
	uint32_t max_inflight;
	uint32_t own_disk;
	char serial[BLK_ID];
	struct blk_limit limit;
	struct vdev_queue **queues; /* atomic: those that were ever started, to wake them */
	size_t bytes;               /* of this allocation */
};

extern const struct vdev_model_ops blk_model_ops;

/* request.c */
uint32_t blk_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                     uint32_t n);
int blk_poll(void *model, struct vdev_queue *q);
void blk_io_done(struct vdev_disk_io *io, int result);

/* burst.c */
/* Serve usual requests from the first chain on, up to one that is not: how many. For disks that end all in submit. */
uint32_t blk_quick(struct blk_queue *bq, const struct virtq_chain *chains, uint32_t n);
void blk_quick_done(struct vdev_disk_io *io, int result);

/* queue.c */
int blk_queue_start(void *model, struct vdev_queue *q);
void blk_queue_end(void *model, struct vdev_queue *q);
void blk_queue_drain(void *model, struct vdev_queue *q, int cancel);
int blk_queue_hold(struct blk_queue *bq);

/* state.c */
int blk_save_state(void *model, struct vdev_writer *w);
int blk_load_state(void *model, struct vdev_reader *r, uint32_t version, int apply);

/* Atomics. @{ */
#define blk_get(p)    __atomic_load_n((p), __ATOMIC_RELAXED)
#define blk_set(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
/* @} */

/* Little-endian fields. @{ */
static inline uint32_t blk_get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t blk_get64(const uint8_t *p)
{
	return blk_get32(p) | (uint64_t)blk_get32(p + 4) << 32;
}
/* @} */

/* Where requests may lie, as it is now. */
struct blk_bounds {
	uint64_t sectors;
	uint64_t bytes;       /* likewise */
	uint32_t block_bytes; /* of a logical block, less 1 */
};

static inline struct blk_bounds blk_bounds(const struct blk_device *b)
{
	uint64_t sectors = blk_get(&b->sectors);

	return (struct blk_bounds){sectors, sectors << 9, b->block_mask << 9 | 511};
}

/* Whether bytes from this sector on are whole blocks within the capacity; 0 bytes too, up to its end. */
static inline int blk_within(const struct blk_bounds *b, uint64_t sector, uint64_t bytes)
{
	return sector <= b->sectors && bytes <= b->bytes - (sector << 9) &&
	       ((sector << 9 | bytes) & b->block_bytes) == 0;
}

/* Whether that is an IN or OUT that moves data. */
static inline int blk_moves(const struct blk_bounds *b, uint64_t sector, uint64_t bytes)
{
	return bytes != 0 && blk_within(b, sector, bytes);
}

/* A transfer; its pieces are the caller's to set. */
static inline void blk_io_set(struct vdev_disk_io *io, uint8_t op, uint8_t flags, uint64_t sector,
                              uint64_t bytes)
{
	io->op = op;
	io->flags = flags;
	io->offset = sector << 9;
	io->len = bytes;
}

/* What was read of guest memory stays as it was read: the compiler may not read it again. */
#define blk_fix(x) __asm__ volatile("" : "+r"(x))

#endif
