/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of the benchmark of block devices: daemons, their client, fio. */
#ifndef BENCH_BLK_BENCH_H
#define BENCH_BLK_BENCH_H

#include <stdint.h>
#include <sys/types.h>

#include <vdev/vhost_user_front.h>
#include <virtq/virtq.h>

#include "support/bench.h"

enum { BLK_QUEUE = 512, BLK_DEPTH_MAX = 128, BLK_BLOCK = 4096, BLK_ARGS = 24 };
#define BLK_DISK_BYTES (64u << 20)

/* blk_daemon.c: processes. All that were started and not ended are ended with this one, by their ids. */
struct blk_daemon {
	pid_t pid; /* 0: none */
	int err;   /* its stderr, or -1 */
	char socket[96];
};

/* Start argv, confined to processor cpu (< 0: anywhere). With keep, what it writes to stderr is kept for blk_daemon_counted(). 0 or -1. */
int blk_daemon_start(struct blk_daemon *d, char *const argv[], int cpu, int keep);
/* Confine all of its threads, the kernel's workers among them. */
void blk_daemon_confine(const struct blk_daemon *d, int cpu);
/* Stop it for a while, and let it go on. Returns when it has stopped. */
void blk_daemon_pause(const struct blk_daemon *d);
void blk_daemon_resume(const struct blk_daemon *d);
/* Processor time that it has used, ns. */
uint64_t blk_daemon_cpu(const struct blk_daemon *d);
/* End it and wait. Returns the instructions that callgrind counted, where it ran under it, or -1. */
int64_t blk_daemon_end(struct blk_daemon *d);
/* Whether a program is there. */
int blk_have(const char *program);
/* A program of the build tree that this one lies in, two folders deep. Static storage. */
const char *blk_program(const char *name);

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
