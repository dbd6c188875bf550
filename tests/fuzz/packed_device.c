/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side of a packed queue against a hostile driver. */
#include "device_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_device(data, size, 1);
	return 0;
}
