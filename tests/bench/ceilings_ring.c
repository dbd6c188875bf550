/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions of a request in a ring may not exceed the ceilings of ceilings_ring.tsv: callgrind's counts are the same
 * on each run. They hold for the compiler that they were set with, its -O2, and the shared library; elsewhere, and
 * without valgrind, nothing is tested.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "support/bench.h"

#if defined(__clang__) || __GNUC__ != 12 || !defined(__OPTIMIZE__) || !defined(__x86_64__) ||      \
	defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_COMPILER 1
#else
#define OTHER_COMPILER 0
#endif

enum { FEW = 3200, MANY = 35200 };

static int64_t count(const char *function, const char *layout, const char *form, const char *burst,
                     int requests)
{
	char times[16];
	char *argv[] = {(char *)(uintptr_t) "tests/bench/ring",
	                (char *)(uintptr_t) "--one",
	                times,
	                (char *)(uintptr_t)layout,
	                (char *)(uintptr_t)form,
	                (char *)(uintptr_t)burst,
	                NULL};

	snprintf(times, sizeof(times), "%d", requests);
	return bench_callgrind(function, argv);
}

/* A line: function, layout, form, burst, ceiling, target. Returns 1 when it holds. */
static int line_holds(const char *line)
{
	char function[32], layout[16], form[16], burst[8];
	double ceiling, target, each;
	int64_t few, many;

	ck_assert_int_eq(sscanf(line, "%31s %15s %15s %7s %lf %lf", function, layout, form, burst,
	                        &ceiling, &target),
	                 6);
	few = count(function, layout, form, burst, FEW);
	many = count(function, layout, form, burst, MANY);
	ck_assert_int_gt(few, 0);
	ck_assert_int_gt(many, few);
	each = (double)(many - few) / (MANY - FEW);
	printf("%s, %s %s, burst %s: %.1f instructions, ceiling %.1f, target %.0f\n", function, layout,
	       form, burst, each, ceiling, target);
	ck_assert_double_gt(each, 20);
	if (each < ceiling * 0.9 && each > target)
		printf("  lower the ceiling\n");
	return each <= ceiling;
}

START_TEST(a_request_stays_below_its_ceiling)
{
	FILE *f = fopen(CEILINGS, "r");
	unsigned lines = 0, bad = 0;
	char line[256];

	ck_assert_ptr_nonnull(f);
	if (OTHER_COMPILER || system("valgrind --version >/dev/null 2>&1") != 0) {
		printf("not the compiler of these ceilings, or no valgrind: not tested\n");
		fclose(f);
		return;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		lines++;
		bad += !line_holds(line);
	}
	fclose(f);
	ck_assert_uint_gt(lines, 0);
	ck_assert_uint_eq(bad, 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ceilings_ring");
	TCase *tc = tcase_create("ceilings_ring");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, a_request_stays_below_its_ceiling);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
