/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_EVIL_RING_SMALL_H
#define TESTS_EVIL_RING_SMALL_H

/* Every combination of what the other side of a small ring may write: what both sides' tests begin with. */

#include "check_main.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <virtq/virtq.h>

enum { PAGE = 4096, RING_MAX = 4, NEAR = 0xf00 };

#define MEM_GPA  UINT64_C(0x10000)
#define RING_GPA UINT64_C(0x100000)
#define INSIDE   (MEM_GPA + NEAR)
#define LAST     (MEM_GPA + PAGE - 1)

/* A descriptor's fields; extra is next (split) or id (packed). */
struct field {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t extra;
};

/* The ring that is tried, and what came of it. */
static int packed;
static uint16_t size;
static unsigned long combos, good, bad, none;

/* A page between two without permissions. */
static uint8_t *guarded(void)
{
	uint8_t *p = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	return p + PAGE;
}

static void desc_put(uint8_t *p, const struct field *f)
{
	struct virtq_split_desc s = {f->addr, f->len, f->flags, f->extra};
	struct virtq_packed_desc q = {f->addr, f->len, f->extra, f->flags};

	if (packed)
		memcpy(p, &q, sizeof(q));
	else
		memcpy(p, &s, sizeof(s));
}

#define N(a) ((uint32_t)(sizeof(a) / sizeof((a)[0])))

/* Number of values of next or id: 0 to size, and the largest. */
static uint32_t extras(void)
{
	return size + 2u;
}

static uint16_t extra_at(uint32_t i)
{
	return i == size + 1u ? 0xffff : (uint16_t)i;
}

static void counted(unsigned long want)
{
	printf("%s ring of %u: %lu combinations, %lu chains, %lu broken, %lu nothing\n",
	       packed ? "packed" : "split", size, combos, good, bad, none);
	fflush(stdout);
	ck_assert_uint_eq(combos, want);
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_gt(bad, 0);
}

#endif
