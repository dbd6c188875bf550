/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device behind a loopback, and requests in any framing. */
#ifndef TESTS_SUPPORT_BLK_FIXTURE_H
#define TESTS_SUPPORT_BLK_FIXTURE_H

#include <vdev/blk.h>
#include <vdev/loopback.h>
#include <vdev/model.h>
#include <virtq/virtq.h>

#include "check_main.h"
#include "slow_disk.h"

#define BLK_FX_BYTES (4u << 20)
#define BLK_FX_GPA   0x40000000u

enum {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_GET_LIFETIME = 10,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
	BLK_T_SECURE_ERASE = 14
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2, BLK_S_UNTOUCHED = 0x5a };

/* What a test runs over: bit 0 packed, bit 1 a disk that ends later, bit 2 in order. */
enum { FX_PACKED = 1, FX_ASYNC = 2, FX_IN_ORDER = 4, FX_KINDS = 4 };

struct blk_fx {
	struct vdev_env env;
	struct slow_disk *disk;
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *memory;
	uint8_t *shared; /* what the rings leave */
	uint64_t shared_gpa;
	uint64_t shared_bytes;
	uint64_t arena; /* offset in it of what is free */
	uint64_t now;   /* the clock */
	unsigned interrupts[16];
	unsigned config_changes;
	long allocated; /* bytes, when 0 nothing leaks */
	long allocations;
};

struct fx_config {
	struct vdev_blk_config blk;
	struct vdev_disk_info *info; /* changes of the disk's, or NULL */
	uint64_t bytes;              /* of the disk; 0: 1 MiB */
	uint64_t features;           /* accepted; 0: all */
	uint64_t refuse;             /* of those, not accepted */
	uint16_t queue_size;         /* 0: 64 */
	uint16_t indirect_max;       /* 0: 40 */
};

/* Device on a slow disk, started. cfg may be NULL. */
void fx_start(struct blk_fx *fx, int kind, const struct fx_config *cfg);
/* Only made, not started, and no loopback yet. */
void fx_make(struct blk_fx *fx, int kind, const struct fx_config *cfg);
/* Attach a loopback and start it. */
void fx_attach(struct blk_fx *fx, int kind, const struct fx_config *cfg);
void fx_stop(struct blk_fx *fx);

/* One request. */
struct fx_req {
	uint32_t type;
	uint64_t sector;
	const void *out; /* payload to the device */
	uint32_t out_len;
	uint32_t in_len; /* payload from the device; the status byte follows it */
	/* Where to cut readable and writable part into descriptors: lengths, 0 ends. NULL: header, data, status apart. */
	const uint32_t *cut_out;
	const uint32_t *cut_in;
	/* Results. */
	uint8_t in[65536];
	uint8_t status;
	int64_t used; /* bytes; -1: not used yet */
	int canary;   /* 1: bytes between the pieces are as they were */
	/* Private. */
	struct virtq_seg seg[256];
	uint32_t nread;
	uint32_t nwrite;
	uint64_t from;
	uint64_t to;
};

/* Make available and notify. */
void fx_submit(struct blk_fx *fx, unsigned q, struct fx_req *r);
/* The same without notifying; fx_kick() follows. */
void fx_add(struct blk_fx *fx, unsigned q, struct fx_req *r);
void fx_kick(struct blk_fx *fx, unsigned q);
/* Serve once and take what was used. @return requests taken */
unsigned fx_reap(struct blk_fx *fx, unsigned q);
/* Serve until r is used; a minute at most. */
void fx_wait(struct blk_fx *fx, unsigned q, struct fx_req *r);
/* All of it. @return status */
uint8_t fx_do(struct blk_fx *fx, unsigned q, struct fx_req *r);

/* The usual ones. @return status */
uint8_t fx_read(struct blk_fx *fx, uint64_t sector, void *to, uint32_t len);
uint8_t fx_write(struct blk_fx *fx, uint64_t sector, const void *from, uint32_t len);
uint8_t fx_plain(struct blk_fx *fx, uint32_t type);

/* One segment of a DISCARD or the like; @return bytes put. */
uint32_t fx_range(uint8_t *to, uint64_t sector, uint32_t sectors, uint32_t flags);
/* A request of segments that are there already, and one of a single segment. @return status */
uint8_t fx_ranges_do(struct blk_fx *fx, uint32_t type, const void *segments, uint32_t len);
uint8_t fx_range_do(struct blk_fx *fx, uint32_t type, uint64_t sector, uint32_t sectors,
                    uint32_t flags);
/* Bytes that look random and differ with seed. */
void fx_pattern(uint8_t *to, size_t len, unsigned seed);

/* A field of the configuration space. */
uint64_t fx_config_get(struct blk_fx *fx, uint32_t offset, unsigned bytes);

#endif
