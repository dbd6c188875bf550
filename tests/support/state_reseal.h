/* SPDX-License-Identifier: BSD-3-Clause */
/* Makes lengths and checksums of a changed state right again, from the inside out: then only its meaning is wrong. */
#ifndef TESTS_SUPPORT_STATE_RESEAL_H
#define TESTS_SUPPORT_STATE_RESEAL_H

#include <stddef.h>
#include <stdint.h>

#include "libvdev/core/function/section.h"

enum { STATE_HEADER_BYTES = 48 };

static inline void reseal_put(uint8_t *at, uint32_t value)
{
	struct vdev_writer w = {.buf = at, .cap = 4};

	vdev_put32(&w, value);
}

/* The checksum of a section whose length field is right. */
static inline void reseal_section(uint8_t *at, uint32_t len)
{
	reseal_put(at + 12, vdev_crc32(vdev_crc32(0, at, 12), at + SECTION_HEADER_BYTES, len));
}

/* What is too short for its own parts is left alone, and stays wrong. */
static inline void state_reseal(uint8_t *bytes, size_t len)
{
	uint8_t *device = bytes + STATE_HEADER_BYTES;
	size_t at = STATE_HEADER_BYTES + SECTION_HEADER_BYTES;

	if (len < STATE_HEADER_BYTES + SECTION_HEADER_BYTES)
		return;
	while (at + SECTION_HEADER_BYTES <= len) {
		struct vdev_reader r = {.buf = bytes + at + 8, .len = 4};
		uint32_t n = vdev_get32(&r);

		if (n > len - at - SECTION_HEADER_BYTES)
			break;
		reseal_section(bytes + at, n);
		at += SECTION_HEADER_BYTES + n;
	}
	reseal_put(device + 8, (uint32_t)(len - STATE_HEADER_BYTES - SECTION_HEADER_BYTES));
	reseal_section(device, (uint32_t)(len - STATE_HEADER_BYTES - SECTION_HEADER_BYTES));
	reseal_put(bytes + 32, (uint32_t)(len - STATE_HEADER_BYTES));
	reseal_put(bytes + 44, vdev_crc32(0, bytes, 44));
}

#endif
