/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of the benchmark of block devices: the client of its daemons, fio. */
#ifndef BENCH_BLK_BENCH_H
#define BENCH_BLK_BENCH_H

#include <stdint.h>
#include <sys/types.h>

#include <vdev/vhost_user_front.h>
#include <virtq/virtq.h>

#include "support/bench.h"

enum { BLK_QUEUE = 512, BLK_DEPTH_MAX = 128, BLK_BLOCK = 4096, BLK_ARGS = 24 };
#define BLK_DISK_BYTES (64u << 20)

/* blk_client.c: the driver. */
struct blk_client {
	struct vdev_vhost_front *front;
	int memfd, kick, call;
	uint8_t *mem;
	struct virtq_drv drv;
	void *scratch;
	uint32_t random;
	uint64_t sent_at[BLK_DEPTH_MAX];
	uint64_t kicks, calls;
};

/* How a window is driven, and what came of it. */
struct blk_load {
	unsigned depth;
	int write;
	int notified; /* sleep until the device notifies; else look at the used ring all the time */
};
struct blk_window {
	double iops;
	double p50, p99; /* us */
	uint64_t requests;
	uint64_t kicks, calls;
};

/* Connect within some seconds and set the device up. 0 or -1. */
int blk_client_open(struct blk_client *c, const char *socket, int packed);
void blk_client_close(struct blk_client *c);
/* For so many ns, or (when not 0) exactly so many requests. 0, or -1 when the device failed. */
int blk_client_run(struct blk_client *c, const struct blk_load *load, uint64_t ns,
                   uint64_t requests, struct blk_window *out);

/* blk_fio.c */
/* IOPS of fio with io_uring on a file, confined to cpu with its workers; -1: no fio, or it failed. */
double blk_fio(const char *path, unsigned depth, int write, int cpu, unsigned ms);

#endif
