/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Put before each file of the ring code (-include), so that the same source runs inside the explorer: each access to
 * memory that two sides share becomes a step, and each place that asks for an order becomes a site that can be
 * weakened. The code itself is not touched: the compiler's atomics and copies are replaced by macros of their names.
 *
 * The shared memory is mapped without any permission, so an access that bypasses these hooks ends the program.
 */
#ifndef TESTS_EXPLORE_HOOKS_H
#define TESTS_EXPLORE_HOOKS_H

/* Vectors are loaded and stored past the hooks. The plain loops have the same orders. */
#define VIRTQ_NO_WIDE 1

#include <stddef.h>
#include <stdint.h>

/* A place in the source that asks for an order. Pointers to all of them lie in one section, executed or not. */
struct ex_site {
	const char *file;
	const char *func;
	int line;
	int order;
	int fence; /* else an access */
	int place; /* in the sorted list, once that is made */
};

void ex_at(struct ex_site *site);
void ex_fence(int order);
uint64_t ex_load(const void *p, size_t width, int order, struct ex_site *site);
void ex_store(void *p, uint64_t v, size_t width, int order, struct ex_site *site);
enum ex_rmw { EX_ADD, EX_OR, EX_SWAP };
uint64_t ex_rmw(void *p, uint64_t v, size_t width, enum ex_rmw what, int order,
                struct ex_site *site);
void ex_copy(void *to, const void *from, size_t n);
void ex_set(void *to, int byte, size_t n);

#ifndef TESTS_EXPLORE_NO_MACROS

#define EX_SITE(o, is_fence)                                                                       \
	({                                                                                             \
		static struct ex_site site_ = {__FILE__, __func__, __LINE__, (o), (is_fence), 0};          \
		static struct ex_site *const listed_ __attribute__((section("ex_sites"), used)) = &site_;  \
		&site_;                                                                                    \
	})

#define __atomic_load_n(p, o)                                                                      \
	((__typeof__(*(p)))(uintptr_t)ex_load((const void *)(p), sizeof(*(p)), o, EX_SITE(o, 0)))
#define __atomic_store_n(p, v, o)                                                                  \
	ex_store((void *)(p), (uint64_t)(uintptr_t)(v), sizeof(*(p)), o, EX_SITE(o, 0))
#define EX_RMW(p, v, what, o)                                                                      \
	((__typeof__(*(p)))ex_rmw((p), (uint64_t)(v), sizeof(*(p)), what, o, EX_SITE(o, 0)))
#define __atomic_fetch_add(p, v, o)  EX_RMW(p, v, EX_ADD, o)
#define __atomic_fetch_or(p, v, o)   EX_RMW(p, v, EX_OR, o)
#define __atomic_exchange_n(p, v, o) EX_RMW(p, v, EX_SWAP, o)
#define __atomic_thread_fence(o)     ex_fence(o)
#define __builtin_memcpy(d, s, n)    ex_copy(d, s, n)
#define __builtin_memset(d, c, n)    ex_set(d, c, n)

#include "libvirtq/arch.h"

/* From here on a fence is a site of its own, and a barrier is one where it is called. */
#undef __atomic_thread_fence
#define __atomic_thread_fence(o) (ex_at(EX_SITE(o, 1)), ex_fence(o))
#define read_barrier(pf)         (ex_at(EX_SITE(__ATOMIC_ACQUIRE, 1)), read_barrier(pf))
#define write_barrier(pf)        (ex_at(EX_SITE(__ATOMIC_RELEASE, 1)), write_barrier(pf))
#define full_barrier(pf)         (ex_at(EX_SITE(__ATOMIC_SEQ_CST, 1)), full_barrier(pf))

#endif

#endif
