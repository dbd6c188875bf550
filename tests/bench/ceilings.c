/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions of a request or a frame may not exceed the ceilings of a file, CEILINGS: callgrind's counts are the same
 * on each run of the benchmark, PROGRAM. They hold for the compiler that they were set with, its -O2, the shared
 * library, and a processor with AVX2; elsewhere, and without valgrind, nothing is tested.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "support/bench.h"

#if defined(__clang__) || __GNUC__ != 12 || !defined(__OPTIMIZE__) || !defined(__x86_64__) ||      \
	defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_BUILD 1
#else
#define OTHER_BUILD (!__builtin_cpu_supports("avx2"))
#endif

enum { FEW = 3200, MANY = 35200, WORDS = 12 };

/* words: the function, or "function-other", then what the program is told behind --one and the number. */
static int64_t count(char **words, unsigned n, int requests)
{
	char function[64], *other, times[16];
	int64_t counted;
	char *argv[WORDS + 3] = {(char *)(uintptr_t)PROGRAM, (char *)(uintptr_t) "--one", times};

	snprintf(times, sizeof(times), "%d", requests);
	memcpy(argv + 3, words + 1, (n - 1) * sizeof(*words));
	snprintf(function, sizeof(function), "%s", words[0]);
	other = strchr(function, '-');
	if (other != NULL)
		*other++ = '\0';
	counted = bench_callgrind(function, argv);
	return other != NULL ? counted - bench_callgrind(other, argv) : counted;
}

/* A line: function, arguments of the program, ceiling, target. Returns 1 when it holds. */
static int line_holds(char *line)
{
	char *words[WORDS], *rest = NULL;
	double ceiling, target, each;
	int64_t few, many;
	unsigned n = 0;

	for (char *w = strtok_r(line, "\t\n", &rest); w != NULL; w = strtok_r(NULL, "\t\n", &rest)) {
		ck_assert_uint_lt(n, WORDS);
		words[n++] = w;
	}
	ck_assert_uint_ge(n, 4);
	target = strtod(words[--n], NULL);
	ceiling = strtod(words[--n], NULL);
	ck_assert_double_gt(ceiling, 0);
	few = count(words, n, FEW);
	many = count(words, n, MANY);
	ck_assert_int_gt(few, 0);
	ck_assert_int_gt(many, few);
	each = (double)(many - few) / (MANY - FEW);
	for (unsigned i = 0; i < n; i++)
		printf("%s ", words[i]);
	printf("- %.1f instructions, ceiling %.1f, target %.0f\n", each, ceiling, target);
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
	if (OTHER_BUILD || system("valgrind --version >/dev/null 2>&1") != 0) {
		printf("not the compiler or processor of these ceilings, or no valgrind: not tested\n");
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
	Suite *suite = suite_create("ceilings");
	TCase *tc = tcase_create("ceilings");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, a_request_stays_below_its_ceiling);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
