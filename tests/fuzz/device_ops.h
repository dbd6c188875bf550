/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_DEVICE_OPS_H
#define TESTS_FUZZ_DEVICE_OPS_H

#include "fuzz.h"

/* The device side of a queue against a driver made of the input: memory of the ring, and the calls made. */
void fuzz_device(const uint8_t *data, size_t size, int packed);

#endif
