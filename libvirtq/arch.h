/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What depends on machine and compiler: atomics, fences, little-endian access, hints. Nowhere else.
 *
 * Every access to memory that the other side can see goes through shared_*(): one load or store of
 * the full width that the compiler may neither repeat nor tear. Ordering comes from the fences,
 * which are written where they are needed, each beside the access on the other side that it pairs
 * with.
 */
#ifndef VIRTQ_ARCH_H
#define VIRTQ_ARCH_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/platform.h>
#include <virtq/wire.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Less text, whatever it costs in time: what -Os asks for. */
#if defined(__OPTIMIZE_SIZE__) && !defined(VIRTQ_FOR_SIZE)
#define VIRTQ_FOR_SIZE 1
#endif

/* A loop that is to have the registers to itself. */
#define NOINLINE static __attribute__((noinline))

/* A short loop of which several rounds are to be done at a time. */
#ifdef __clang__
#define UNROLLED _Pragma("unroll 4")
#else
#define UNROLLED _Pragma("GCC unroll 4")
#endif

/* The compiler is not to remember where a value came from, which would cost a register beside it. */
#define forget_origin(v) __asm__("" : "+r"(v))

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define le16(x) __builtin_bswap16(x)
#define le32(x) __builtin_bswap32(x)
#define le64(x) __builtin_bswap64(x)
#else
#define le16(x) ((uint16_t)(x))
#define le32(x) ((uint32_t)(x))
#define le64(x) ((uint64_t)(x))
#endif

/* ThreadSanitizer does not see fences: there, each access carries the order that they give it. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifdef UNDER_TSAN
#define LOAD_ORDER  __ATOMIC_ACQUIRE
#define STORE_ORDER __ATOMIC_RELEASE
#else
#define LOAD_ORDER  __ATOMIC_RELAXED
#define STORE_ORDER __ATOMIC_RELAXED
#endif

#if __GCC_ATOMIC_INT_LOCK_FREE == 2
#define ATOMIC_RMW          1
#define load_once(p)        __atomic_load_n(p, LOAD_ORDER)
#define store_once(p, v)    __atomic_store_n(p, v, STORE_ORDER)
#define load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
/* The value before. */
#define fetch_add(p, v) __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL)
#define fetch_or(p, v)  __atomic_fetch_or(p, v, __ATOMIC_RELEASE)
#define exchange(p, v)  __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL)
#else
/*
 * ARMv6-M and the like: one access is atomic, but the compiler calls a library for it; nothing reads
 * and writes in one. Such machines have one core. There the references of a map belong to one context,
 * and a dirty log needs hooks (virtq_dirty_init() refuses to go without).
 */
#define ATOMIC_RMW       0
#define load_once(p)     (*(const volatile __typeof__(*(p)) *)(p))
#define store_once(p, v) (*(volatile __typeof__(*(p)) *)(p) = (v))
#define load_acquire(p)                                                                            \
	({                                                                                             \
		__typeof__(*(p)) loaded_ = load_once(p);                                                   \
		__atomic_thread_fence(__ATOMIC_ACQUIRE);                                                   \
		loaded_;                                                                                   \
	})
#define store_release(p, v)                                                                        \
	do {                                                                                           \
		__atomic_thread_fence(__ATOMIC_RELEASE);                                                   \
		store_once(p, v);                                                                          \
	} while (0)
#define fetch_add(p, v) ((*(p) += (v)) - (v))
#define fetch_or(p, v)  ((void)(*(p) |= (v)))
#define exchange(p, v)  exchange_words(p, v)
static inline uintptr_t exchange_words(uintptr_t *p, uintptr_t v)
{
	uintptr_t before = *p;

	*p = v;
	return before;
}
#endif

static inline uint16_t shared_load16(const void *p)
{
	return le16(load_once((const uint16_t *)p));
}

static inline uint32_t shared_load32(const void *p)
{
	return le32(load_once((const uint32_t *)p));
}

static inline void shared_store16(void *p, uint16_t v)
{
	store_once((uint16_t *)p, le16(v));
}

static inline void shared_store32(void *p, uint32_t v)
{
	store_once((uint32_t *)p, le32(v));
}

/* Whether 64 bits are one load or store. (VIRTQ_HALVES is for tests of the other way.) */
#if __SIZEOF_POINTER__ >= 8 && !defined(VIRTQ_HALVES)
#define WHOLE_64 1
#else
#define WHOLE_64 0
#endif

/*
 * A machine without 64-bit loads reads the halves apart: a descriptor is copied once, not
 * atomically.
 */
static inline uint64_t shared_load64(const void *p)
{
#if WHOLE_64
	return le64(load_once((const uint64_t *)p));
#else
	const uint32_t *w = p;
	uint64_t lo = load_once(&w[0]);
	uint64_t hi = load_once(&w[1]);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return le64(lo << 32 | hi);
#else
	return hi << 32 | lo;
#endif
#endif
}

static inline void shared_store64(void *p, uint64_t v)
{
#if WHOLE_64
	store_once((uint64_t *)p, le64(v));
#else
	uint32_t *w = p;
	uint64_t x = le64(v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	store_once(&w[0], (uint32_t)(x >> 32));
	store_once(&w[1], (uint32_t)x);
#else
	store_once(&w[0], (uint32_t)x);
	store_once(&w[1], (uint32_t)(x >> 32));
#endif
#endif
}

/* Where the fields of a descriptor are; the address comes first. */
#define DESC_LEN   8
#define DESC_ID    12 /* packed */
#define DESC_FLAGS 14 /* packed */

#define SPLIT_DESC_FLAGS 12
#define SPLIT_DESC_NEXT  14

/*
 * A descriptor in private memory, in the machine's byte order. "extra" is next (split) or id
 * (packed).
 */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t extra;
};

static inline struct desc desc_from(uint64_t addr, uint64_t rest, int packed)
{
	uint16_t a = (uint16_t)(rest >> 32);
	uint16_t b = (uint16_t)(rest >> 48);

	return (struct desc){
		.addr = addr, .len = (uint32_t)rest, .flags = packed ? b : a, .extra = packed ? a : b};
}

/* Copy a descriptor once: the copy is what is checked and used. */
static inline struct desc desc_load(const void *p, int packed)
{
	return desc_from(shared_load64(p), shared_load64((const uint8_t *)p + 8), packed);
}

/* Earlier loads before later loads and stores. Pairs with the other side's write_barrier(). */
static inline void read_barrier(const struct virtq_platform *pf)
{
	if (unlikely(pf != NULL) && pf->read_barrier != NULL)
		pf->read_barrier(pf->ctx);
	else
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Earlier loads and stores before later stores. Pairs with the other side's read_barrier(). */
static inline void write_barrier(const struct virtq_platform *pf)
{
	if (unlikely(pf != NULL) && pf->write_barrier != NULL)
		pf->write_barrier(pf->ctx);
	else
		__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Earlier stores before later loads: each side publishes, then looks at the other's flags. */
static inline void full_barrier(const struct virtq_platform *pf)
{
	if (unlikely(pf != NULL) && pf->barrier != NULL)
		pf->barrier(pf->ctx);
	else
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* For memory that is not coherent: drop our copy before reading what the other side wrote. */
static inline void cache_invalidate(const struct virtq_platform *pf, const void *p, size_t len)
{
	if (unlikely(pf != NULL) && pf->invalidate != NULL)
		pf->invalidate(pf->ctx, p, len);
}

/* For memory that is not coherent: push out what we wrote. */
static inline void cache_clean(const struct virtq_platform *pf, const void *p, size_t len)
{
	if (unlikely(pf != NULL) && pf->clean != NULL)
		pf->clean(pf->ctx, p, len);
}

/* A build for size calls these instead of having them in each place (docs/adr/0013). */
#ifdef VIRTQ_FOR_SIZE
void virtq__read_barrier(const struct virtq_platform *pf);
void virtq__write_barrier(const struct virtq_platform *pf);
void virtq__full_barrier(const struct virtq_platform *pf);
void virtq__cache_invalidate(const struct virtq_platform *pf, const void *p, size_t len);
void virtq__cache_clean(const struct virtq_platform *pf, const void *p, size_t len);
#ifndef ARCH_BODIES
#define read_barrier(pf)             virtq__read_barrier(pf)
#define write_barrier(pf)            virtq__write_barrier(pf)
#define full_barrier(pf)             virtq__full_barrier(pf)
#define cache_invalidate(pf, p, len) virtq__cache_invalidate(pf, p, len)
#define cache_clean(pf, p, len)      virtq__cache_clean(pf, p, len)
#endif
#endif

/*
 * Whether an index that moved from old to now passed event (section 2.7.7): arithmetic modulo 2^16.
 */
static inline int event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

#endif
