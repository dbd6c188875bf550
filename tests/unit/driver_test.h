/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_DRIVER_TEST_H
#define TESTS_UNIT_DRIVER_TEST_H

#include "check_main.h"
#include "ring.h"

/* A queue whose device is played by hand: it does what a test says, right or wrong. */
struct rig {
	struct guest guest;
	struct ring ring;
	struct virtq_drv *drv;
	uint16_t avail; /* next entry or place to read, and to use */
	uint16_t used;
	int avail_wrap;
	int used_wrap;
};

#define FEATURES(...) features_of(sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned), __VA_ARGS__)

void rig_init(struct rig *rig, uint16_t size, uint16_t indirect_max, struct virtq_features f);
void rig_init_platform(struct rig *rig, uint16_t size, struct virtq_features f,
                       const struct virtq_platform *pf);
void rig_fini(struct rig *rig);

/* Add one buffer of nread + nwrite pieces of 16 bytes each; expects it to work. The cookie is (void *)tag. */
void rig_add(struct rig *rig, uint32_t nread, uint32_t nwrite, uintptr_t tag);
/* Take one buffer; expects it to be this one. */
void rig_take(struct rig *rig, uintptr_t tag, uint32_t written);
void rig_take_none(struct rig *rig);

/* The next available buffer: its head or id; *slots gets what it takes of the ring. Fails if there is none. */
uint16_t rig_pop(struct rig *rig, uint16_t *slots);
int rig_pop_ready(struct rig *rig);
/* Use a buffer. slots: how far the packed ring moves on. */
void rig_use(struct rig *rig, uint32_t id, uint32_t len, uint16_t slots);
/* IN_ORDER: one used entry for count buffers that take slots in all. */
void rig_use_batch(struct rig *rig, uint32_t last_id, uint32_t len, uint16_t count, uint16_t slots);

extern const unsigned layouts[2]; /* a feature that picks the layout: VERSION_1 or RING_PACKED */

TCase *driver_lies_case(void);
TCase *driver_split_case(void);
TCase *driver_packed_case(void);
TCase *driver_rewind_case(void);

#endif
