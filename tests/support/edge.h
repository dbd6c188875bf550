/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes right before memory that nobody may touch: who reads or writes behind their end dies. */
#ifndef TESTS_SUPPORT_EDGE_H
#define TESTS_SUPPORT_EDGE_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "check_main.h"

enum { EDGE_BYTES = 1 << 18, EDGE_GUARD = 1 << 16 };

/* len bytes at the edge, a copy of those at from unless that is NULL. They stay until the next call in this test. */
static inline uint8_t *edge_copy(const void *from, size_t len)
{
	static uint8_t *area;
	uint8_t *at;

	if (area == NULL) {
		area = mmap(NULL, EDGE_BYTES + EDGE_GUARD, PROT_READ | PROT_WRITE,
		            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(area, MAP_FAILED);
		ck_assert_int_eq(mprotect(area + EDGE_BYTES, EDGE_GUARD, PROT_NONE), 0);
	}
	ck_assert_uint_le(len, EDGE_BYTES);
	at = area + EDGE_BYTES - len;
	if (from != NULL)
		memcpy(at, from, len);
	return at;
}

#endif
