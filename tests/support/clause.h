/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_CLAUSE_H
#define TESTS_SUPPORT_CLAUSE_H

/*
 * CLAUSE("basic/status/D1"): the assertion beside it shows this clause of the standard. Appends
 * "program test id" to the file that VDEVKIT_CLAUSES names, nothing when it is not set. One write()
 * with O_APPEND, so it works from Check's forked tests. scripts/conformance counts an id only when
 * the test passed.
 */
#define CLAUSE(id) clause_record(id)

void clause_record(const char *id);
/* Called by START_TEST with the name of the test that begins. */
void clause_enter(const char *test);

#endif
