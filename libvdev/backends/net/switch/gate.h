/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is just inside: senders mark when they look at objects of others, and whoever takes an object away waits until each of
 * those that were inside has left. A sender pays one exchange on a line of its own for a burst.
 *
 * Why it works: entering and taking away are in the one order of sequentially consistent accesses. Either the sender
 * finds what it looks for gone, or it was inside before and is waited for.
 */
#ifndef LIBVDEV_NET_GATE_H
#define LIBVDEV_NET_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "libvdev/core/util.h"

/* What a gate guards. */
#define load_guarded(p)     __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_guarded(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

/* One thread at a time goes through a gate. */
struct gate {
	struct gate *next;
	uint32_t inside; /* odd: somebody is */
};

struct gates {
	uint32_t lock; /* of the list; control only */
	struct gate *first;
	void (*yield)(void *ctx);
	void *ctx;
};

static inline void gate_enter(struct gate *g)
{
	(void)__atomic_exchange_n(&g->inside, load_relaxed(&g->inside) + 1, __ATOMIC_SEQ_CST);
}

static inline void gate_leave(struct gate *g)
{
	store_release(&g->inside, load_relaxed(&g->inside) + 1);
}

/* yield NULL: the system's. */
void gates_init(struct gates *gs, void (*yield)(void *ctx), void *ctx);
/* Wait for a lock that is held for a short time: the list's, or another one. Never by a sender. */
void gates_wait_lock(struct gates *gs, uint32_t *lock);
static inline void gates_unlock(uint32_t *lock)
{
	store_release(lock, 0);
}
void gate_add(struct gates *gs, struct gate *g);
void gate_remove(struct gates *gs, struct gate *g);
/* Everybody who was inside has left. The caller has taken something away before, and isn't inside. */
void gates_pass(struct gates *gs);

/* While one waits for somebody else's store. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
