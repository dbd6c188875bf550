/* SPDX-License-Identifier: BSD-3-Clause */
/* Rate limit of a block device. */
#ifndef VDEV_DEVICES_BLK_LIMIT_H
#define VDEV_DEVICES_BLK_LIMIT_H

#include <vdev/blk.h>

/* One token bucket. */
struct blk_bucket {
	uint64_t rate;  /* per second; 0: no limit */
	uint64_t burst; /* most that gathers */
	int64_t level;  /* below 0: owed */
	uint64_t rest;  /* millionths of a token */
};

/* A queue, as the limit knows it. All its own. */
struct blk_waiter {
	struct blk_waiter *next;
	uint64_t bytes;
	int waits; /* in line */
};

/* Both buckets, shared by the queues. */
struct blk_limit {
	uint32_t on;              /* atomic */
	uint32_t lock;            /* held for a few instructions */
	uint64_t last;            /* when the buckets were filled last, ns */
	struct blk_waiter *first; /* in line: nobody is served before it, */
	uint64_t until;           /* until this time; 0: its tokens have not gathered yet */
	struct blk_bucket ops;
	struct blk_bucket bytes;
};

/* Set up with full buckets. VIRTQ_EINVAL: too large to count, or no clock; nothing has changed. */
int blk_limit_set(struct blk_limit *l, const struct vdev_blk_limit *cfg,
                  const struct vdev_env *env);
/* Take one operation of so many bytes. 1: it may go; 0: not before *when, and w stands in line. */
int blk_limit_take(struct blk_limit *l, struct blk_waiter *w, uint64_t now, uint64_t bytes,
                   uint64_t *when);
/* w comes no more. */
void blk_limit_leave(struct blk_limit *l, struct blk_waiter *w);
/* What is in the buckets now, operations and bytes; and the same for another device to go on with. */
void blk_limit_levels(struct blk_limit *l, uint64_t now, int64_t level[2]);
void blk_limit_restore(struct blk_limit *l, uint64_t now, const int64_t level[2]);

#endif
