/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core needs of the compiler: atomics, a small lock, counters, checks of versioned structs. */
#ifndef VDEV_CORE_UTIL_H
#define VDEV_CORE_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vdev/env.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Keeps rare paths from costing the usual one registers. */
#define rare __attribute__((noinline, cold))

#define load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Held for a few instructions of control work, never on the path of requests, never over a callback. */
static inline void lock_take(uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0)
		while (load_relaxed(lock) != 0)
			;
}

static inline void lock_give(uint32_t *lock)
{
	store_release(lock, 0);
}

/*
 * A counter with one writer and any readers. Where 64-bit stores are not atomic a reader may see the
 * halves of two values: a lock would cost every request more than that is worth.
 */
#if __SIZEOF_POINTER__ >= 8
static inline void count(uint64_t *counter, uint64_t n)
{
	store_relaxed(counter, load_relaxed(counter) + n);
}

static inline uint64_t counted(const uint64_t *counter)
{
	return load_relaxed(counter);
}
#else
static inline void count(volatile uint64_t *counter, uint64_t n)
{
	*counter += n;
}

static inline uint64_t counted(const volatile uint64_t *counter)
{
	return *counter;
}
#endif

/* Whether field of the versioned struct at p lies within the size that its maker stated. */
#define has_field(p, field) ((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))
/* A function of a versioned table of operations, or NULL. */
#define op_of(p, field) (has_field(p, field) ? (p)->field : NULL)

/* Copy a versioned struct of any size into ours; what it lacks is zero. */
static inline void copy_sized(void *to, size_t own, const void *from, size_t size)
{
	memset(to, 0, own);
	memcpy(to, from, size < own ? size : own);
}

/* Length of a name, at most 16. */
static inline size_t name_len(const char *name)
{
	size_t n = 0;

	while (n < 16 && name[n] != 0)
		n++;
	return n;
}

/* An environment that memory can be had from, and given back to. */
static inline int env_usable(const struct vdev_env *env)
{
	return env != NULL && has_field(env, free) && env->alloc != NULL && env->free != NULL;
}

static inline void *env_zalloc(const struct vdev_env *env, size_t bytes)
{
	void *p = env->alloc(env->ctx, bytes);

	if (p != NULL)
		memset(p, 0, bytes);
	return p;
}

static inline void env_free(const struct vdev_env *env, void *p, size_t bytes)
{
	if (p != NULL)
		env->free(env->ctx, p, bytes);
}

#endif
