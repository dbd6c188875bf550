/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What libFuzzer (or standalone_main.c) calls with one input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input, taken from the front. At its end it gives zeros, and input_end() says so. */
struct input {
	const uint8_t *p;
	size_t left;
};

static inline int input_end(const struct input *in)
{
	return in->left == 0;
}

static inline uint8_t take8(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint16_t take16(struct input *in)
{
	uint16_t lo = take8(in);

	return (uint16_t)(lo | take8(in) << 8);
}

static inline uint32_t take32(struct input *in)
{
	uint32_t lo = take16(in);

	return lo | (uint32_t)take16(in) << 16;
}

/* What must always hold, whatever the input. */
#define HOLDS(cond)                                                                                \
	do {                                                                                           \
		if (!(cond)) {                                                                             \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);              \
			abort();                                                                               \
		}                                                                                          \
	} while (0)

#endif
