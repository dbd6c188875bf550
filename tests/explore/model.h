/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What memory may do. A state of memory is plain data that can be copied and hashed; a step of a side is an op, and
 * an op may have several outcomes.
 *
 * MODEL_TSO   each side has a FIFO buffer of stores (x86).
 * MODEL_PSO   stores to different places leave the buffer in any order, unless a write barrier is between them.
 * MODEL_WEAK  as C11 without load-to-store reordering: a store is a message; a load may return any message that is not
 *             older than what its side must know of that place by coherence, by an acquire of what a release covered,
 *             or by the order of full barriers. Both loads and stores are reordered.
 */
#ifndef TESTS_EXPLORE_MODEL_H
#define TESTS_EXPLORE_MODEL_H

#include <stdint.h>

enum model { MODEL_TSO, MODEL_PSO, MODEL_WEAK, MODELS };

/* Shared memory is cells of 16 bits; an access of up to four cells that is within eight bytes is one step. */
enum { CELLS = 192, GRANULES = CELLS / 4, EVENTS = 120, PER_GRANULE = 40, BUFFER = 24 };

enum op_kind { OP_NONE, OP_LOAD, OP_STORE, OP_FENCE, OP_ADD, OP_OR, OP_SWAP, OP_NOTIFY, OP_WAIT };

struct op {
	uint8_t kind;
	uint8_t cell;
	uint8_t ncells;
	uint8_t order; /* __ATOMIC_* */
	uint16_t line; /* where, for the trace: of the site, or 0 */
	uint16_t pad;
	uint64_t value;
};

/* A store under MODEL_WEAK. rel: how many of its side's earlier stores an acquiring reader then knows. */
struct event {
	uint8_t granule;
	uint8_t mask; /* of the granule's cells */
	uint8_t rel;
	uint8_t pad;
	uint16_t v[4];
};

struct weak {
	uint8_t n[2];     /* stores of each side */
	uint8_t floor[2]; /* stores of the other side that this one knows */
	uint8_t acq[2];   /* those that an acquire fence would let it know */
	uint8_t rel[2];   /* own stores before the last release fence */
	uint8_t sc[2];    /* own stores before the last full fence */
	uint8_t noted[2]; /* stores of the other side that its notification carries */
	uint8_t seen
		[2]
		[CELLS]; /* newest event of the granule that the side has read or written there; 0: none */
	uint8_t ngran[GRANULES];
	uint8_t order[GRANULES][PER_GRANULE]; /* events of a granule: side << 7 | number */
	struct event ev[2][EVENTS];
};

struct buffered {
	struct {
		uint8_t cell;
		uint8_t ncells; /* 0: a write barrier */
		uint16_t v[4];
	} q[2][BUFFER];
	uint8_t nq[2];
};

struct memory {
	uint8_t notified[2];
	uint8_t overflow; /* the bounds above did not suffice: the exploration is worth nothing */
	uint8_t pad[5];
	uint16_t first[CELLS]; /* memory; under MODEL_WEAK, as it was in the beginning */
	union {
		struct weak weak;
		struct buffered buf;
	};
};

/* Cells that both sides write: the order of such stores matters under MODEL_WEAK. */
struct model_info {
	enum model model;
	uint8_t two_writers[CELLS];
};

/*
 * How many outcomes the op has for this side now; 0: it has to wait. Under the buffered models the buffers' own steps
 * come apart, see model_flushes().
 */
int model_outcomes(const struct model_info *mi, const struct memory *m, int side,
                   const struct op *op);
/* Do it; returns what the op returns. */
uint64_t model_do(const struct model_info *mi, struct memory *m, int side, const struct op *op,
                  int outcome);
/* Whether the op can be done at once, whatever the other side does: it neither sees nor shows anything. */
int model_private(const struct model_info *mi, const struct op *op);
/* How many stores may leave the side's buffer next, and let one leave. */
int model_flushes(const struct model_info *mi, const struct memory *m, int side);
void model_flush(const struct model_info *mi, struct memory *m, int side, int which);
/* The newest value of a cell, all stores done. */
uint16_t model_newest(const struct model_info *mi, const struct memory *m, unsigned cell);
uint64_t model_hash(const struct model_info *mi, const struct memory *m, uint64_t h);
void model_copy(const struct model_info *mi, struct memory *to, const struct memory *from);

static inline uint64_t hash_word(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

uint64_t hash_bytes(uint64_t h, const void *p, unsigned n);

#endif
