/* SPDX-License-Identifier: BSD-3-Clause */
/* Processors, the clock, and how long a cache line travels between two of them. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s failed\n", program_invocation_short_name, what);
	exit(1);
}

void *bench_zeroed(size_t bytes)
{
	size_t rounded = (bytes + 4095) / 4096 * 4096;
	void *p = aligned_alloc(4096, rounded);

	bench_need(p != NULL, "allocation");
	return memset(p, 0, rounded);
}

int bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0 ? 0 : -1;
}

/* As the process was started. */
static cpu_set_t allowed;
static int allowed_known;

void bench_unpin(void)
{
	if (allowed_known)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
}

int bench_two_cpus(int cpu[2])
{
	cpu_set_t set;
	int n = 0;

	if (!allowed_known && sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -1;
	allowed_known = 1;
	set = allowed;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET((size_t)i, &set))
			cpu[n++] = i;
	return n == 2 ? 0 : -1;
}

const char *bench_place_name(enum bench_place place)
{
	static const char *const names[BENCH_PLACES] = {"one core", "sibling", "near", "far", "mixed"};

	return names[place];
}

enum bench_place bench_place_of(double line_ns)
{
	if (line_ns < 80)
		return BENCH_SIBLING;
	return line_ns < 250 ? BENCH_NEAR : BENCH_FAR;
}

enum { BOUTS = 15, TRIPS = 1000, GIVE_UP_NS = 20000000 };

struct line {
	_Alignas(128) uint32_t word;
	_Alignas(128) uint32_t ready;
	int cpu;
};

/* Odd values are the caller's, even ones the answers. */
static void *answer(void *ctx)
{
	struct line *l = ctx;
	uint32_t at = 1;

	(void)bench_pin(l->cpu);
	__atomic_store_n(&l->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_ACQUIRE);

		if (seen == UINT32_MAX)
			return NULL;
		if (seen == at) {
			__atomic_store_n(&l->word, at + 1, __ATOMIC_RELEASE);
			at += 2;
		}
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The time of one bout. Whoever is preempted within it makes it long; the median leaves that out. */
static double bout(struct line *l, uint32_t *at)
{
	uint64_t start = bench_now_ns();

	for (unsigned i = 0; i < TRIPS; i++, *at += 2) {
		__atomic_store_n(&l->word, *at, __ATOMIC_RELEASE);
		while (__atomic_load_n(&l->word, __ATOMIC_ACQUIRE) != *at + 1)
			;
	}
	return (double)(bench_now_ns() - start) / TRIPS;
}

double bench_line_ns(const int cpu[2])
{
	struct line l = {.cpu = cpu[1]};
	uint64_t start;
	double ns[BOUTS];
	uint32_t at = 1;
	size_t n = 0;
	cpu_set_t before;
	pthread_t other;

	bench_need(pthread_getaffinity_np(pthread_self(), sizeof(before), &before) == 0, "affinity");
	bench_need(bench_pin(cpu[0]) == 0, "binding to a processor");
	bench_need(pthread_create(&other, NULL, answer, &l) == 0, "a thread");
	while (!__atomic_load_n(&l.ready, __ATOMIC_ACQUIRE))
		sched_yield();
	for (start = bench_now_ns(); n < BOUTS && (n < 3 || bench_now_ns() - start < GIVE_UP_NS); n++)
		ns[n] = bout(&l, &at);
	__atomic_store_n(&l.word, UINT32_MAX, __ATOMIC_RELEASE);
	pthread_join(other, NULL);
	bench_need(pthread_setaffinity_np(pthread_self(), sizeof(before), &before) == 0, "affinity");
	qsort(ns, n, sizeof(ns[0]), by_size);
	return ns[n / 2];
}
