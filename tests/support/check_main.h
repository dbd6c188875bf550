/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_CHECK_MAIN_H
#define TESTS_SUPPORT_CHECK_MAIN_H

#include "clause.h"
#include "mark.h"

/*
 * What each test program includes. It defines test_suites(), which adds its suites to the runner;
 * main() is in check_main.c. Environment: CK_RUN_SUITE, CK_RUN_CASE, CK_VERBOSITY, CK_FORK as Check
 * has them, VDEVKIT_TAP=FILE for one TAP line a test case, VDEVKIT_CLAUSES=FILE as in clause.h,
 * VDEVKIT_ROUNDS=N multiplies the rounds of randomised tests (see test_rounds()).
 */
void test_suites(SRunner *runner);

/* rounds, times VDEVKIT_ROUNDS when that is set. */
unsigned long test_rounds(unsigned long rounds);

/* Say so and end the program, as one that can't run here; NULL: nothing is missing. */
void test_needs(const char *missing);

/* Open descriptors of this process, without pipes: those may be ones that a sanitizer looks up names through. */
unsigned test_descriptors(void);

/* Listen on path, with as many connections waiting as find room: the next one has to wait. The listener; none are taken. */
int test_full_listener(const char *path);

/*
 * Check's own START_TEST with the test's name noted on entry, so that CLAUSE() in a function which
 * several tests share is booked on the test that runs.
 */
#undef START_TEST
#define START_TEST(test_name)                                                                      \
	static void test_name##_body(int _i);                                                          \
	static void test_name##_fn(int _i)                                                             \
	{                                                                                              \
		clause_enter(#test_name);                                                                  \
		test_name##_body(_i);                                                                      \
	}                                                                                              \
	static const TTest test_name##_ttest = {#test_name, test_name##_fn, __FILE__, __LINE__};       \
	static const TTest *test_name = &test_name##_ttest;                                            \
	static void test_name##_body(int _i CK_ATTRIBUTE_UNUSED)

#endif
