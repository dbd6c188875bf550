/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Token buckets that any number of threads take from. A bucket is one number: the time at which it will be full again. Times are
 * sixteenths of nanoseconds, so that rates up to a billion a second come out right within a few percent.
 */
#ifndef LIBVDEV_NET_LIMIT_H
#define LIBVDEV_NET_LIMIT_H

#include "gate.h"

enum { LIMIT_TRIES = 64 };
#define LIMIT_SECOND UINT64_C(16000000000)

struct bucket {
	uint64_t full_at;
};

/* How long n take at so many per second; bounded, never 0. rate > 0. */
static inline uint64_t limit_time(uint64_t n, uint64_t rate)
{
	const uint64_t most = UINT64_MAX / 4;
	uint64_t seconds = 0, t;

	if (n > UINT64_MAX / LIMIT_SECOND) {
		seconds = n / rate;
		n %= rate;
		if (seconds >= most / LIMIT_SECOND)
			return most;
		while (n > UINT64_MAX / LIMIT_SECOND) {
			n /= 2;
			rate /= 2;
		}
	}
	t = seconds * LIMIT_SECOND + n * LIMIT_SECOND / rate;
	return t > 0 ? t : 1;
}

/* Whether there is enough in it: then it is taken. More than a whole bucket is had from a full one. */
static inline int bucket_take(struct bucket *b, uint64_t now, uint64_t cost, uint64_t burst)
{
	uint64_t old = load_relaxed(&b->full_at);

	for (unsigned tries = 0; tries < LIMIT_TRIES; tries++) {
		uint64_t base = old > now ? old : now;

		if (base > now && base - now + cost > burst)
			return 0;
		if (__atomic_compare_exchange_n(&b->full_at, &old, base + cost, 1, __ATOMIC_RELAXED,
		                                __ATOMIC_RELAXED))
			return 1;
	}
	return 0;
}

/* What was taken, perhaps before somebody emptied the debt. */
static inline void bucket_give_back(struct bucket *b, uint64_t cost)
{
	uint64_t old = load_relaxed(&b->full_at);

	for (unsigned tries = 0; tries < LIMIT_TRIES; tries++)
		if (__atomic_compare_exchange_n(&b->full_at, &old, old > cost ? old - cost : 0, 1,
		                                __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return;
}

#endif
