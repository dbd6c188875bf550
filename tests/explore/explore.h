/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Explores everything that two sides can do to each other through shared memory, one access being one step.
 *
 * A side is a script: a row of calls (of the ring code, mostly), each of which depends on nothing but the side's
 * private memory and what it reads. So a side is put into any state by copying its private memory back and running the
 * call that is under way again with the answers that its accesses got; no stacks are kept.
 */
#ifndef TESTS_EXPLORE_EXPLORE_H
#define TESTS_EXPLORE_EXPLORE_H

#include <stdint.h>

#include "model.h"

struct ex_site;

enum { PRIVATE_MAX = 1536, ANSWERS_MAX = 64, DEPTH_MAX = 600 };

struct scenario {
	/* Sets up the sides' private memory and, by plain calls, the shared one. Called before each exploration. */
	void (*setup)(const struct scenario *sc);
	/* The next call of a side. Returns 1 when it is through with its script. */
	int (*step[2])(void);
	/* Judges an end that both sides have reached: NULL, or what is wrong. May be NULL. */
	const char *(*judge)(void);
	void *priv[2];
	uint32_t priv_bytes[2];
	const char *(*cell_name)(unsigned cell, char *buf, unsigned n);
	const char *side_name[2];
	uint8_t two_writers[CELLS];
};

/* What to weaken: one site, to an order. site NULL: nothing. */
struct weakening {
	struct ex_site *site;
	int order;
};

struct result {
	const char *violation; /* NULL: none */
	uint64_t states;
	uint64_t steps;
	uint64_t ends; /* states in which both sides are through */
	uint32_t depth;
	uint32_t trace_lines;
	char trace[DEPTH_MAX][96]; /* how it came to the violation */
};

/* Explore all. max_states bounds the memory; to reach it is a violation too. */
void explore(const struct scenario *sc, enum model model, const struct weakening *weaken,
             uint64_t max_states, struct result *res);

/* For scripts. */

/* Shared memory: cell i is at 2 * i. It can't be touched but through the hooks and these. */
uint8_t *ex_base(void);
uint16_t ex_data_load(const void *p);
void ex_data_store(void *p, uint16_t v);
/* Wake the other side; wait until it wakes us. */
void ex_notify(void);
void ex_wait(void);
/* Something is wrong: the exploration ends. Does not return. */
_Noreturn void ex_violation(const char *what);
/* n bytes of private memory at p stand for shared ones from a cell on. */
void ex_alias(const void *p, uint32_t n, unsigned cell);
/* The cell's newest value, for judge(). */
uint16_t ex_newest(unsigned cell);
/* Called before each access of the code under test, if set. */
extern void (*ex_before)(const struct op *op);

/* Sites. */
uint32_t ex_site_count(void);
/* In the order of files and lines; the same place compiled twice is there once. NULL past the end. */
struct ex_site *ex_site_get(uint32_t i);
/* "dev_split.c split_publish release", with " 2" where a function has several. */
const char *ex_site_name(uint32_t i);
/* Whether an exploration came there since ex_site_forget(). */
int ex_site_reached(uint32_t i);
void ex_site_forget(void);
const char *ex_order_name(int order);

/* Outside of explorations accesses go straight to the memory. How often each cell was read since the last clear. */
extern uint32_t ex_reads[CELLS];

#endif
