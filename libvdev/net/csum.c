/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums over memory, 32 bytes at a time: halves of 64-bit words go into sums of their own, so that nothing can carry. */
#include <string.h>

#include "libvdev/net/csum.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t sum_of(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, v;
	uint32_t v32 = 0;
	uint16_t v16 = 0;

	for (; len >= 32; len -= 32, p += 32) {
		v = load64(p);
		a += v & 0xffffffff;
		b += v >> 32;
		v = load64(p + 8);
		c += v & 0xffffffff;
		d += v >> 32;
		v = load64(p + 16);
		a += v & 0xffffffff;
		b += v >> 32;
		v = load64(p + 24);
		c += v & 0xffffffff;
		d += v >> 32;
	}
	for (; len >= 4; len -= 4, p += 4) {
		memcpy(&v32, p, 4);
		a += v32;
	}
	if (len >= 2) {
		memcpy(&v16, p, 2);
		b += v16;
		p += 2;
		len -= 2;
	}
	if (len > 0) {
		v16 = 0;
		memcpy(&v16, p, 1);
		c += v16;
	}
	return a + b + c + d;
}

uint64_t net_sum(const void *p, size_t len)
{
	return net_sum_fold(sum_of(p, len));
}

uint64_t net_sum_pieces(const struct virtq_iov *iov, uint32_t n, size_t skip)
{
	uint64_t sum = 0;
	uint16_t part;
	unsigned odd = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t len = iov[i].len;

		if (len <= skip) {
			skip -= len;
			continue;
		}
		len -= skip;
		part = (uint16_t)net_sum((const uint8_t *)iov[i].base + skip, len);
		skip = 0;
		/* What begins at an odd byte has its bytes the other way round in the words of the whole. */
		sum += odd ? __builtin_bswap16(part) : part;
		odd ^= (unsigned)len & 1;
	}
	return sum;
}
