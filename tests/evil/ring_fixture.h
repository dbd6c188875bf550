/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_EVIL_RING_FIXTURE_H
#define TESTS_EVIL_RING_FIXTURE_H

#include "check_main.h"
#include "dma_mem.h"
#include "ring.h"

/*
 * A guest with two queues: the driver of the first is evil, by hand; that of the second is honest. A test's loop index
 * is its mode. EVIL_SPLIT and EVIL_PACKED are mapped memory; memory across a bus has the same rings.
 */
enum evil_mode { EVIL_SPLIT, EVIL_PACKED, EVIL_DMA_SPLIT, EVIL_DMA_PACKED, EVIL_MODES };

#define EVIL_CHAINS 64

/* The regions of guest memory: see guest_init(). The rings lie in the last. */
#define R0_END   UINT64_C(0x100000)
#define R1       UINT64_C(0x40000000)
#define R2       (R1 + 0x100000) /* meets R1 here, but not in the host */
#define R2_END   (R2 + 0x100000)
#define NOWHERE  UINT64_C(0x20000000)
#define RING_GPA 3 /* region */

struct evil_queue {
	struct ring ring;
	struct dma_mem mem;
};

struct evil {
	int packed;
	int dma;
	struct guest guest;
	struct evil_queue q;     /* the evil one */
	struct evil_queue other; /* the honest one */
	struct virtq_chain chains[EVIL_CHAINS];
	uint32_t honest; /* requests that were served on the other queue */
};

extern struct evil ev;

struct evil_config {
	uint16_t size;      /* 0: 8 */
	uint32_t max_chain; /* 0: the queue size */
	int direct_only;    /* INDIRECT_DESC is not negotiated */
	int event_idx;
	int in_order;
	const struct virtq_platform *platform;
};

void evil_start(int mode, const struct evil_config *cfg); /* cfg may be NULL */
/* A well-formed request on the other queue still works; then all is taken down. */
void evil_end(void);
/* The same check in between. */
void evil_other_works(void);

/* Pop, across a bus after all reads have come in. */
int evil_pop(uint32_t max);
/* The queue breaks with this reason, and stays broken. */
void evil_breaks(uint16_t reason);
/* One chain comes, ev.chains[0]; it is pushed with all of its writable part. */
void evil_one(void);
void evil_push(const struct virtq_chain *c, uint32_t written);
/* Give back what is out after a break. */
void evil_release(uint32_t n);
/* Take the evil queue down and set it up anew, as after a reset. */
void evil_reset(void);
/* Piece i of a chain is this stretch of guest memory. */
int evil_piece_is(const struct virtq_chain *c, uint32_t i, uint64_t gpa, uint64_t len);

/* A chain of one descriptor. */
void evil_offer(uint16_t id, uint64_t addr, uint32_t len, uint16_t flags);
/* A chain of n direct descriptors, id, id + 1, ... in a split table; extra flags on the last one. */
void evil_list(uint16_t id, uint32_t n, uint64_t addr, uint32_t len, uint16_t last);
/* An indirect table of n entries at table, all of them [addr, len), linked; extra flags on the last one. */
void evil_table(uint64_t table, uint32_t n, uint64_t addr, uint32_t len, uint16_t last);

#endif
