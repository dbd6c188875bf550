/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver and a device, one ring, and what each must find in it. */
#ifndef TESTS_EXPLORE_RING_SCRIPT_H
#define TESTS_EXPLORE_RING_SCRIPT_H

#include <virtq/virtq.h>

#include "explore.h"

struct ring_case {
	uint16_t size;
	uint8_t packed;
	uint8_t event_idx;
	uint8_t in_order;
	uint8_t indirect;  /* entries of each table; 0: none */
	uint8_t segs;      /* 1: a buffer that is read, then written; 2: one readable, one writable */
	uint8_t publishes; /* of the driver */
	uint8_t burst;     /* buffers added for each of them */
	uint8_t batch;     /* the device publishes once for all that it popped, else each by itself */
	uint8_t lifo;      /* and pushes the youngest first */
	uint8_t buffers;   /* the device takes and gives buffers instead of chains; segs is 1 */
	uint8_t untake;    /* and puts all but the first back each time */
};

/*
 * The driver adds, publishes, asks and kicks; takes, and with nothing to take arms and sleeps; disarms when woken. The
 * device likewise. Each buffer has a word of its own in the driver's and in the device's direction, which the other
 * side checks, and has to come exactly once.
 */
extern struct scenario ring_scenario;

/* What ring_scenario does from now on. */
void ring_case_set(const struct ring_case *c);
void ring_case_name(const struct ring_case *c, char *buf, unsigned n);

/* The same calls outside of an exploration, after ring_scenario.setup(): all buffers at once. */
void ring_add(void);
int ring_pop(void);
void ring_use(void);
int ring_take(void);

/* The two that are not about a ring: the dirty log, and the references of a memory map. */
extern struct scenario log_scenario;
extern struct scenario map_scenario;

#endif
