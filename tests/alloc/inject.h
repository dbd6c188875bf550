/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocations that fail: the n-th, or all from the n-th on. Counted are those through vdev_env, and the system and
 * library calls with which libvdev's outer part gets something of its own: descriptors, mappings, threads, rings of
 * the kernel's, malloc of the hosted environment (wrapped by the linker, see Makemodule.am).
 */
#ifndef TESTS_ALLOC_INJECT_H
#define TESTS_ALLOC_INJECT_H

#include <vdev/env.h>

#include "check_main.h"

/* Hands out memory that is counted; its clock moves on by itself. Use it for all objects of a scenario. */
const struct vdev_env *inject_env(void);

/*
 * A scenario makes objects, uses them, and gives back all of them. It returns 0, or what went wrong. Each call
 * that may fail is made so:
 *
 *	do
 *		rc = vdev_something_new(&it, ...);
 *	while (inject_again(rc));
 *
 * When just one allocation fails, the call is made again and then has to succeed. When all fail from some point on,
 * it gives up, and what the scenario has got by then must still be fit to be freed.
 */
typedef int (*inject_scenario)(void);

/*
 * Run a scenario with its first, second, ... allocation failing, until none failed; then the same with all
 * allocations failing from there on. It must have at least so many. Afterwards nothing may be left: memory,
 * descriptors, mappings.
 */
void inject_run(const char *name, inject_scenario scenario, unsigned at_least);

/* 1: a failure was injected, the error is a clean one, and it is worth trying again. */
int inject_again(int rc);
/* 1 when an allocation has failed in this run: what is not answered by an error may have suffered. */
int inject_hit(void);
/* What failed, for messages. */
const char *inject_what(void);
/* 1 when whatever failed goes on failing. */
int inject_lasting(void);
/* Whether malloc counts too: around calls of the library that use the hosted environment. */
void inject_hosted(int on);
/* What the test itself allocates does not count. Nest. */
void inject_pause(void);
void inject_go_on(void);

#endif
