/* SPDX-License-Identifier: BSD-3-Clause */
#include "dev_wide.h"

#ifdef DEV_WIDE
#include <cpuid.h>

/* Four words. A descriptor is two of them: its address; and length, id and flags, from the lowest bit up. */
typedef uint64_t wide __attribute__((vector_size(32)));
typedef uint64_t wide_at __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t half_at __attribute__((vector_size(16), aligned(8), may_alias));
typedef long long wide_signed __attribute__((vector_size(32)));

#define WIDE   __attribute__((target("avx2")))
#define INLINE static inline WIDE __attribute__((always_inline))

#define FLAGS (UINT64_MAX << FLAGS_SHIFT)

enum { GROUP = 4, ID_SHIFT = 32, FLAGS_SHIFT = 48, OS_SAVES = 1 << 27, AVX2 = 1 << 5, YMM = 6 };

_Static_assert(sizeof(struct virtq_buffer) == VIRTQ_DESC_BYTES &&
                   offsetof(struct virtq_buffer, len) == DESC_LEN &&
                   offsetof(struct virtq_buffer, id) == DESC_ID,
               "a buffer is its descriptor with another address and no flags");

int dev_wide_here(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OS_SAVES))
		return 0;
	/* The registers that are saved when a thread loses the processor. */
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (a & YMM) == YMM && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & AVX2) != 0;
}

/* One load, of shared memory too: no word of it is torn, and the compiler does not repeat it. */
INLINE wide load(const void *p)
{
	return *(const volatile wide_at *)p;
}

/* The second word of the descriptor i places on from p: one store, from a vector register. */
INLINE void store(uint8_t *p, size_t i, uint64_t v)
{
	*(volatile uint64_t *)(void *)(p + i * VIRTQ_DESC_BYTES + DESC_LEN) = v;
}

INLINE wide all(uint64_t v)
{
	return (wide){0} + v;
}

INLINE int any(wide v)
{
	return !__builtin_ia32_ptestz256((wide_signed)v, (wide_signed)v);
}

/* All ones where a > b, as numbers with a sign, which is all that the processor compares. */
INLINE wide above(wide a, wide b)
{
	return (wide)((wide_signed)a > (wide_signed)b);
}

/* First and second words of four descriptors, in the order 0, 2, 1, 3, which is what the processor does best. */
INLINE wide first_words(wide x, wide y)
{
	return __builtin_shufflevector(x, y, 0, 4, 2, 6);
}

INLINE wide second_words(wide x, wide y)
{
	return __builtin_shufflevector(x, y, 1, 5, 3, 7);
}

/* The same two words of two slots. */
INLINE wide two(const uint8_t *a, const uint8_t *b)
{
	const half_at x = *(const half_at *)(const void *)a, y = *(const half_at *)(const void *)b;

	return __builtin_shufflevector(x, y, 0, 1, 2, 3);
}

/*
 * mem_plain() of four: what is to be added to the addresses, and *bad where one is not plain. What is left of a region is
 * a negative number when the address is far off, and then any length is above it.
 */
INLINE wide plain(const struct virtq_mem *mem, wide gpa, wide len, wide *bad)
{
	const wide at = gpa >> mem->index_shift & MEM_SLOT_MASK;
	const uint8_t *slots = (const uint8_t *)mem->index;
	const uint8_t *a = slots + at[0], *b = slots + at[1], *c = slots + at[2], *d = slots + at[3];
	const wide ac = two(a, c), bd = two(b, d);
	const wide left = first_words(ac, bd) - gpa, room = second_words(ac, bd);

	*bad = above(left, room) | above(len, left) | (wide)(len == 0);
	a += offsetof(struct virtq_mem_slot, host);
	b += offsetof(struct virtq_mem_slot, host);
	c += offsetof(struct virtq_mem_slot, host);
	d += offsetof(struct virtq_mem_slot, host);
	return first_words(two(a, c), two(b, d));
}

WIDE uint32_t dev_wide_take(struct virtq_dev *vq, const uint8_t *p, struct virtq_buffer *b,
                            uint32_t n, uint32_t flags)
{
	const wide mask = {0, FLAGS, 0, FLAGS};
	const wide wanted = all((uint64_t)flags << FLAGS_SHIFT);
	const wide last_id = all((uint64_t)vq->size << ID_SHIFT) - 1;
	const struct virtq_mem *mem = dev_mem(vq);
	uint8_t *owner = vq->owner;
	uint32_t done = 0;

	for (; n - done >= GROUP; done += GROUP, p += (size_t)GROUP * VIRTQ_DESC_BYTES, b += GROUP) {
		wide x = load(p), y = load(p + sizeof(x)), gpa, rest, bad, base;

		if (any(((x ^ wanted) | (y ^ wanted)) & mask))
			break;
		/* The rest after the flags, by other loads; pairs with the driver's barrier before it writes them. */
		read_barrier(NULL);
		x = load(p);
		y = load(p + sizeof(x));
		gpa = first_words(x, y);
		rest = second_words(x, y) & ~FLAGS;
		base = plain(mem, gpa, rest & UINT32_MAX, &bad) + gpa;
		if (any(bad | above(rest, last_id)))
			break;
		*(wide_at *)(void *)b = first_words(base, rest);
		*(wide_at *)(void *)(b + 2) = second_words(base, rest);
		UNROLLED
		for (uint32_t i = 0; i < GROUP; i++) {
			if (unlikely(owner[b[i].id] != OWNER_NONE))
				return done + i;
			owner[b[i].id] = OWNER_NOW;
		}
	}
	return done;
}

INLINE uint32_t give(struct virtq_dev *vq, uint8_t *p, const struct virtq_buffer *b,
                     const uint32_t *written, uint32_t n, uint32_t flags, uint32_t first_flags,
                     const int write)
{
	const wide used = all((uint64_t)flags << FLAGS_SHIFT), last_id = all(vq->size - 1u);
	wide now = {(uint64_t)first_flags << FLAGS_SHIFT, used[1], used[2], used[3]};
	uint8_t *owner = vq->owner;
	uint32_t done = 0;

	for (; n - done >= GROUP; done += GROUP, p += (size_t)GROUP * VIRTQ_DESC_BYTES, b += GROUP) {
		const wide x = *(const wide_at *)(const void *)b,
				   y = *(const wide_at *)(const void *)(b + 2);
		const wide rest = second_words(x, y), ids = rest >> ID_SHIFT;
		wide out = now | ids << ID_SHIFT, bad = above(ids, last_id);

		if (write) {
			const wide len = {written[0], written[2], written[1], written[3]};

			/* Without a byte that was written there is no WRITE: that, and too much of them, is not for here. */
			bad |= above(len, rest & UINT32_MAX) | (wide)(len == 0);
			out |= len;
			written += GROUP;
		}
		if (any(bad))
			break;
		UNROLLED
		for (uint32_t i = 0; i < GROUP; i++) {
			if (unlikely(owner[b[i].id] != OWNER_NOW)) {
				while (i-- > 0)
					owner[b[i].id] = OWNER_NOW;
				return done;
			}
			owner[b[i].id] = OWNER_NONE;
		}
		store(p, 0, out[0]);
		store(p, 1, out[2]);
		store(p, 2, out[1]);
		store(p, 3, out[3]);
		now = used;
	}
	return done;
}

WIDE uint32_t dev_wide_give(struct virtq_dev *vq, uint8_t *p, const struct virtq_buffer *b,
                            const uint32_t *written, uint32_t n, uint32_t flags,
                            uint32_t first_flags)
{
	return written != NULL ? give(vq, p, b, written, n, flags, first_flags, 1)
	                       : give(vq, p, b, NULL, n, flags, first_flags, 0);
}
#endif
