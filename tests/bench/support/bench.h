/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What benchmarks share: alternating windows of ours and a peer's, the cache-line round trip between the same two
 * cores around each window, the placement class that follows from it, tables and JSON lines, instruction counts.
 *
 * Timings never decide a test: these programs only print them.
 */
#ifndef BENCH_SUPPORT_BENCH_H
#define BENCH_SUPPORT_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

uint64_t bench_now_ns(void);

/* Give up with a message when a step of the benchmark itself fails. */
void bench_need(int ok, const char *what);

/* Zeroed memory that starts on a page; free() it. */
void *bench_zeroed(size_t bytes);

/* Bind the calling thread to a processor. 0, or < 0. */
int bench_pin(int cpu);

/* Let the calling thread run anywhere again that the process could run when it first asked for processors. */
void bench_unpin(void);

/* Two processors that this process may use. 0, or < 0 when there is only one. */
int bench_two_cpus(int cpu[2]);

/* How far apart two virtual processors are at the moment, by what a cache line needs there and back. */
enum bench_place {
	BENCH_ONE_CORE, /* nothing crosses */
	BENCH_SIBLING,  /* under 80 ns */
	BENCH_NEAR,     /* under 250 ns */
	BENCH_FAR,
	BENCH_MIXED, /* the probes before and after a window disagree: not compared */
	BENCH_PLACES
};
const char *bench_place_name(enum bench_place place);
enum bench_place bench_place_of(double line_ns);

/* The cache-line round trip between two processors, ns: the median over several short bouts; about 5 ms. */
double bench_line_ns(const int cpu[2]);

/* One of the two that are compared. */
struct bench_side {
	const char *name; /* NULL: there is nobody to compare with */
	/* Work for about so many ns. The figure in the case's unit, or < 0 when this window gave none. */
	double (*window)(void *ctx, uint64_t ns);
	void *ctx;
};

struct bench_case {
	const char *bench;
	const char *name;
	const char *unit;
	int more_is_better; /* IOPS and the like; otherwise ns and the like */
	const int
		*cpu; /* the two processors to probe around each window, or NULL: one core does it all */
	unsigned windows;   /* of each side */
	uint64_t window_ns; /* 0.2 to 0.3 s, less when in a hurry */
	struct bench_side ours;
	struct bench_side peer;
};

/* Median and quartiles of what a side reached in one placement class. */
struct bench_spread {
	unsigned windows;
	double median, low, high;
};

struct bench_result {
	struct bench_spread ours[BENCH_PLACES];
	struct bench_spread peer[BENCH_PLACES];
	struct bench_spread line[BENCH_PLACES]; /* cache-line round trips, ns */
};

/* Run both sides in alternating windows. */
void bench_run(const struct bench_case *c, struct bench_result *out);

/*
 * Print a result: a row of a table, or with json a JSON object on a line, for each placement class that occurred.
 * Keys: bench, case, ours, peer, unit, ratio (above 1: better than the peer; null where there is none), peer_name,
 * placement, line_ns, and for the spread windows, ours_low, ours_high, peer_low, peer_high (quartiles).
 */
void bench_print(FILE *to, const struct bench_case *c, const struct bench_result *r, int json);
void bench_print_head(FILE *to, int json);

/* A figure that is counted, not timed: the same row or object, without spread. peer < 0: there is none. */
void bench_print_count(FILE *to, const char *bench, const char *name, const char *unit, double ours,
                       const char *peer_name, double peer, int json);

/*
 * Instructions that a program spends in one function with all that it calls, counted by valgrind.
 * argv is the program and its arguments; its output is thrown away. 0: the function was never entered; < 0: no valgrind, or it failed.
 */
int64_t bench_callgrind(const char *function, char *const argv[]);

/* This very program, for bench_callgrind(). */
const char *bench_self(void);

/* Processes of a benchmark. All that were started and not ended are ended with this one, by their ids. */
struct bench_process {
	pid_t pid; /* 0: none */
	int err;   /* its stderr, or -1 */
	char socket[96];
};

/* Start argv, confined to processor cpu (< 0: anywhere). With keep, what it writes to stderr is kept for bench_process_end(). 0 or -1. */
int bench_process_start(struct bench_process *d, char *const argv[], int cpu, int keep);
/* Confine all of its threads, the kernel's workers among them. */
void bench_process_confine(const struct bench_process *d, int cpu);
/* Stop it for a while, and let it go on. Returns when it has stopped. */
void bench_process_pause(const struct bench_process *d);
void bench_process_resume(const struct bench_process *d);
/* Processor time that it has used, ns. */
uint64_t bench_process_cpu(const struct bench_process *d);
/* End it and wait. Returns the instructions that callgrind counted, where it ran under it, or -1. */
int64_t bench_process_end(struct bench_process *d);
/* Whether a program is there. */
int bench_have(const char *program);
/* A program of the build tree that this one lies in, two folders deep. Static storage. */
const char *bench_program(const char *name);

#endif
