/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a ring between two threads that trust each other costs: pointers in an array, a null pointer is a free place,
 * no index is shared. A request goes one way and comes back in a ring of its own. Nothing is checked, nothing can be
 * suppressed, and no memory is looked up: a limit, not a virtqueue.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "ring_bench.h"

enum { PLACES = 256, OUT_MAX = 64 };

struct spsc {
	_Alignas(128) void *place[PLACES];
	_Alignas(128) uint32_t put_at; /* the producer's own */
	_Alignas(128) uint32_t get_at; /* the consumer's own */
};

struct pair {
	struct spsc there, back;
	_Alignas(128) int ready, stop;
	int cpu;
};

static int put(struct spsc *s, void *p)
{
	void **place = &s->place[s->put_at % PLACES];

	if (__atomic_load_n(place, __ATOMIC_ACQUIRE) != NULL)
		return 0;
	__atomic_store_n(place, p, __ATOMIC_RELEASE);
	s->put_at++;
	return 1;
}

static void *get(struct spsc *s)
{
	void **place = &s->place[s->get_at % PLACES];
	void *p = __atomic_load_n(place, __ATOMIC_ACQUIRE);

	if (p != NULL) {
		__atomic_store_n(place, NULL, __ATOMIC_RELEASE);
		s->get_at++;
	}
	return p;
}

double spsc_one_core(void *ctx, uint64_t ns)
{
	struct pair *pair = bench_zeroed(sizeof(*pair));
	const struct ring_kind *kind = ctx;
	uint64_t start = bench_now_ns(), spent = 0, n = 0;

	for (; spent < ns; spent = bench_now_ns() - start) {
		for (unsigned i = 0; i < 256; i++, n += kind->burst) {
			for (uint32_t k = 0; k < kind->burst; k++)
				bench_need(put(&pair->there, pair), "put");
			for (uint32_t k = 0; k < kind->burst; k++)
				bench_need(put(&pair->back, get(&pair->there)), "put");
			for (uint32_t k = 0; k < kind->burst; k++)
				bench_need(get(&pair->back) != NULL, "get");
		}
	}
	free(pair);
	return (double)spent / (double)n;
}

static void *answers(void *ctx)
{
	struct pair *pair = ctx;

	(void)bench_pin(pair->cpu);
	__atomic_store_n(&pair->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&pair->stop, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 64; i++) {
			void *p = get(&pair->there);

			if (p == NULL)
				break;
			bench_need(put(&pair->back, p), "put");
		}
	}
	return NULL;
}

double spsc_two_cores(void *ctx, uint64_t ns)
{
	struct pair *pair = bench_zeroed(sizeof(*pair));
	const struct ring_kind *kind = ctx;
	uint64_t start, spent = 0, n = 0;
	uint32_t out = 0;
	pthread_t thread;
	int cpu[2];

	bench_need(bench_two_cpus(cpu) == 0, "two processors");
	bench_need(bench_pin(cpu[0]) == 0, "binding to a processor");
	pair->cpu = cpu[1];
	bench_need(pthread_create(&thread, NULL, answers, pair) == 0, "a thread");
	while (!__atomic_load_n(&pair->ready, __ATOMIC_ACQUIRE))
		sched_yield();
	for (start = bench_now_ns(); spent < ns; spent = bench_now_ns() - start) {
		for (unsigned i = 0; i < 256; i++) {
			for (uint32_t k = 0; k < kind->burst && out < OUT_MAX && put(&pair->there, pair); k++)
				out++;
			for (; out > 0 && get(&pair->back) != NULL; out--)
				n++;
		}
	}
	while (out > 0)
		out -= get(&pair->back) != NULL;
	__atomic_store_n(&pair->stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	bench_unpin();
	free(pair);
	return n > 0 ? (double)spent / (double)n : -1;
}
