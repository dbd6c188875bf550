/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_DEVICE_DRIVER_H
#define TESTS_FUZZ_DEVICE_DRIVER_H

#include "fuzz.h"
#include "ring.h"

/* A guest's memory, in all the ways that regions can lie. */
#define FUZZ_REGIONS 6
extern const struct virtq_region fuzz_regions[FUZZ_REGIONS];

/* Any address, but mostly one in or about a region; and a length, mostly a small one. @{ */
uint64_t fuzz_addr(struct input *in);
uint32_t fuzz_len(struct input *in);
/* @} */

/* What the driver does next: any descriptor, a chain (with what the input spoils), bytes or fields of the ring. @{ */
void fuzz_any_desc(struct input *in, struct ring *r);
void fuzz_honest_chain(struct input *in, struct ring *r);
void fuzz_indirect_chain(struct input *in, struct ring *r);
void fuzz_scribble(struct input *in, struct ring *r);
void fuzz_driver_fields(struct input *in, struct ring *r);
/* @} */

#endif
