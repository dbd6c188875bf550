/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>

#include "gate.h"

static void yield_to_others(void *ctx)
{
	(void)ctx;
	(void)sched_yield();
}

void gates_init(struct gates *gs, void (*yield)(void *ctx), void *ctx)
{
	gs->lock = 0;
	gs->first = NULL;
	gs->yield = yield != NULL ? yield : yield_to_others;
	gs->ctx = ctx;
}

void gates_wait_lock(struct gates *gs, uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0)
		gs->yield(gs->ctx);
}

void gate_add(struct gates *gs, struct gate *g)
{
	g->inside = 0;
	gates_wait_lock(gs, &gs->lock);
	g->next = gs->first;
	gs->first = g;
	gates_unlock(&gs->lock);
}

void gate_remove(struct gates *gs, struct gate *g)
{
	struct gate **at = &gs->first;

	gates_wait_lock(gs, &gs->lock);
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	gates_unlock(&gs->lock);
}

void gates_pass(struct gates *gs)
{
	gates_wait_lock(gs, &gs->lock);
	for (struct gate *g = gs->first; g != NULL; g = g->next) {
		uint32_t seen = load_guarded(&g->inside);

		while ((seen & 1) != 0 && load_acquire(&g->inside) == seen)
			gs->yield(gs->ctx);
	}
	gates_unlock(&gs->lock);
}
