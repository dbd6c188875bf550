/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the search and the code that runs inside it. */
#ifndef TESTS_EXPLORE_RUN_H
#define TESTS_EXPLORE_RUN_H

#include "explore.h"

/* Until run_end(): accesses outside of run_call() go to m's cells, which are cleared. */
void run_setup(struct memory *m, const struct weakening *weaken);
/* Let judge() see a memory. */
void run_judge(const struct model_info *mi, const struct memory *m);
void run_end(void);
/*
 * Run one call of a script with the answers that its first accesses got. -1: it wants another, in *pending, or there is
 * a violation; else what the call returned.
 */
int run_call(int (*step)(void), const uint64_t *answer, uint32_t answers, struct op *pending);
const char *run_violation(void);

#endif
