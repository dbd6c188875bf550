/* SPDX-License-Identifier: BSD-3-Clause */
/* Forged states: a live device's own, of which tests spoil the meaning while checksums stay right. */
#ifndef TESTS_SUPPORT_STATE_FORGE_H
#define TESTS_SUPPORT_STATE_FORGE_H

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"
#include "state_reseal.h"

enum {
	FORGE_PARTS = 1,
	FORGE_RINGS = 2,
	FORGE_CONFIG = 3,
	FORGE_MODEL = 4,
	FORGE_VQ_CFG = 64 /* first VQ_CFG part in FORGE_PARTS */,
	FORGE_STATUS = 160
};

struct forge {
	struct fixture f;
	struct state_buffer good; /* of a live device with two queues */
	struct state_buffer b;    /* to be spoiled */
};

extern struct forge forge;

/* Save the state of a device with two queues that has been used; forge.b is the copy to spoil. */
void forge_begin(void);
/* Throw the spoiled copy away. */
void forge_fresh(void);
/* The body of a section of forge.b. */
uint8_t *forge_body(unsigned id);
/* A little-endian number. */
void forge_put(uint8_t *at, uint64_t value, unsigned bytes);
/* Put n zero bytes at the end of a section, moving what follows; where they are. */
uint8_t *forge_grow(unsigned id, uint32_t n);
/* Make checksums and lengths right and load. */
int forge_load(void);
/* The same, which must be refused; the copy is fresh again. */
void forge_refused(void);
/* The device that refused still works. */
void forge_end(void);

#endif
