/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_RING_MODEL_H
#define TESTS_UNIT_RING_MODEL_H

/* The plain model of a queue that ring_model_test holds against both sides of a real one. */

#include <stdint.h>

#include "check_main.h"
#include "dma_mem.h"
#include "ring.h"
#include "rng.h"

#define REQS        320
#define PIECES      12
#define PIECE_BYTES 40
#define SLAB        (PIECES * PIECE_BYTES)
#define OUT_PIECES  (PIECES + 4)

struct req {
	struct virtq_seg seg[PIECES];
	uint32_t nread;
	uint32_t count;
	uint32_t read_bytes;
	uint32_t write_bytes;
	uint32_t written;
	uint32_t serial;
	int pushed;
	uint64_t slab; /* guest memory of its pieces */
	struct virtq_chain chain;
	struct virtq_iov iov[OUT_PIECES];
	struct virtq_seg bus[OUT_PIECES];
};

/* A queue of requests, by their index. */
struct fifo {
	uint16_t at[REQS];
	uint32_t first;
	uint32_t count;
};

static inline void fifo_put(struct fifo *f, uint16_t v)
{
	f->at[(f->first + f->count++) % REQS] = v;
}

static inline void fifo_unget(struct fifo *f, uint16_t v)
{
	f->first = (f->first + REQS - 1) % REQS;
	f->at[f->first] = v;
	f->count++;
}

static inline uint16_t fifo_get(struct fifo *f)
{
	uint16_t v = f->at[f->first];

	f->first = (f->first + 1) % REQS;
	f->count--;
	return v;
}

struct model {
	struct rng rng;
	uint64_t seed;
	struct guest guest;
	struct virtq_mem other; /* a second map of the same memory */
	struct ring ring;
	struct virtq_dev_config cfg;
	struct dma_mem *bus; /* NULL: mapped memory */
	struct req reqs[REQS];
	uint32_t max_pieces;
	uint32_t table_max; /* pieces that go into an indirect table; 0: none */
	uint32_t burst;
	uint32_t free; /* descriptors */
	int in_order;
	int drv_awake, dev_awake;
	int kick_due, interrupt_due; /* published, not yet asked */
	int arming, kicked;          /* across a bus: the device is going to sleep; a kick came since */
	uint32_t serial;
	uint64_t done;
	struct fifo idle, added, avail, order, pushed, visible;
	uint16_t out[REQS]; /* popped, not pushed, in order of popping */
	uint32_t nout;
};

/* A failure says which seed shows it. */
#define MUST(m, cond)                                                                              \
	do {                                                                                           \
		if (!(cond))                                                                               \
			ck_abort_msg("seed %llu, request %u: " #cond, (unsigned long long)(m)->seed,           \
			             (m)->serial);                                                             \
	} while (0)

/* A byte of a request. */
static inline uint8_t content(uint32_t serial, uint32_t i, int written)
{
	return (uint8_t)(serial * 151 + i * 7 + (written ? 89 : 0) + (serial >> 8));
}

/* Memory as the driver sees it. */
static inline void guest_copy(struct model *m, uint64_t gpa, void *buf, uint32_t len, int write)
{
	if (write)
		MUST(m, virtq_mem_write(&m->guest.mem, gpa, buf, len) == 0);
	else
		MUST(m, virtq_mem_read(&m->guest.mem, gpa, buf, len) == 0);
}

/* ring_model_driver.c: what the driver does, and what must come of it. */
void drv_add(struct model *m);
void drv_publish(struct model *m);
void drv_ask(struct model *m);
void drv_take(struct model *m);
void drv_sleep(struct model *m);

#endif
