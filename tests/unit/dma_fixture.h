/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_DMA_FIXTURE_H
#define TESTS_UNIT_DMA_FIXTURE_H

#include "check_main.h"
#include "dma_mem.h"
#include "ring.h"

#define BURST 16

/* A guest with one queue, whose device side reaches it across a bus. */
extern struct guest guest;
extern struct ring ring;
extern struct dma_mem mem;
extern struct virtq_chain chains[BURST];

void set_up(int packed, uint16_t size, uint32_t delay, uint32_t window, int event_idx);
void tear_down(void);
/* A buffer of one descriptor, by hand. */
void offer(uint16_t id, uint64_t addr, uint32_t len, uint16_t flags);
int pop(uint32_t max);
/* Time passes until pop says something else than "not yet". */
int pop_wait(uint32_t max);
void fetch(uint32_t max);
/* chains[from ...), all of their writable bytes. */
void push(uint32_t from, uint32_t n);
int should_interrupt(void);
int arm(void);
uint16_t fault(void);

#endif
