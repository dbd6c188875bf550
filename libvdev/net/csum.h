/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Internet checksums. A sum is one of 16-bit words as this processor loads them, not folded yet; as ones' complement
 * sums don't care for the order of bytes, one that is folded and stored again is right on any processor.
 */
#ifndef LIBVDEV_NET_CSUM_H
#define LIBVDEV_NET_CSUM_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/mem.h>

/* Sum of len bytes; a last odd one counts as if a zero followed. Below 2^16. */
uint64_t net_sum(const void *p, size_t len);
/* Sum of the bytes of pieces from byte skip on. */
uint64_t net_sum_pieces(const struct virtq_iov *iov, uint32_t n, size_t skip);

/* A number in network order as it counts in a sum. */
static inline uint16_t net_sum_be16(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return (uint16_t)v;
#else
	return __builtin_bswap16((uint16_t)v);
#endif
}

static inline uint16_t net_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Store the sum (of a pseudo header, to be summed on) at p. */
static inline void net_sum_store(uint8_t *p, uint64_t sum)
{
	uint16_t v = net_sum_fold(sum);

	__builtin_memcpy(p, &v, 2);
}

/* Store the checksum that a sum makes at p; never zero, which says that there is none. */
static inline void net_csum_store(uint8_t *p, uint64_t sum)
{
	uint16_t v = (uint16_t)~net_sum_fold(sum);

	v = v == 0 ? 0xffff : v;
	__builtin_memcpy(p, &v, 2);
}

#endif
