/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions of a block request may not exceed these ceilings: callgrind's counts are the same on each run. They hold
 * for the compiler that they were set with; elsewhere, and without valgrind, nothing is tested.
 */
#include <string.h>

#include "check_main.h"
#include "support/bench.h"

#if defined(__clang__) || __GNUC__ != 12 || !defined(__OPTIMIZE__) || !defined(__x86_64__) ||      \
	defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_COMPILER 1
#else
#define OTHER_COMPILER 0
#endif

/* Warm-up is a tenth of the requests, so the difference of the two runs is of 1.1 times that many. */
#define FEW    "6400"
#define MANY   "22400"
#define COUNTS ((22400 - 6400) * 1.1)

enum { ARGS = 8 };

static const struct {
	const char *args[ARGS];
	const char *function;
	double most;
} ceilings[] = {
	/* Device, disk and completion, in bursts of 32: all but the ring. */
	{{"--disk", "void"}, "vdev__blk_process", 98},
	{{"--disk", "void", "--write"}, "vdev__blk_process", 103},
	/* The ring too. */
	{{"--disk", "void"}, "device_side", 364},
	{{"--disk", "void", "--packed"}, "device_side", 386},
	{{"--disk", "void", "--indirect"}, "device_side", 400},
	{{"--disk", "void", "--packed", "--indirect"}, "device_side", 400},
};

static int64_t count(unsigned i, const char *requests)
{
	char *argv[ARGS + 4] = {(char *)(uintptr_t)bench_program("tests/bench/blk-request")};
	int64_t n;
	unsigned k = 0;

	for (; k < ARGS && ceilings[i].args[k] != NULL; k++)
		argv[k + 1] = (char *)(uintptr_t)ceilings[i].args[k];
	argv[++k] = (char *)(uintptr_t) "--requests";
	argv[++k] = (char *)(uintptr_t)requests;
	n = bench_callgrind(ceilings[i].function, argv);
	ck_assert_int_gt(n, 0);
	return n;
}

START_TEST(a_request_stays_below_its_ceiling)
{
	double each;

	if (OTHER_COMPILER || !bench_have("valgrind")) {
		printf("not the compiler of these ceilings, or no valgrind: not tested\n");
		return;
	}
	each = (double)(count((unsigned)_i, MANY) - count((unsigned)_i, FEW)) / COUNTS;
	printf("%s %s %s: %.1f instructions a request, ceiling %.0f\n", ceilings[_i].function,
	       ceilings[_i].args[1], ceilings[_i].args[2] != NULL ? ceilings[_i].args[2] : "", each,
	       ceilings[_i].most);
	ck_assert_double_gt(each, 20);
	ck_assert_double_le(each, ceilings[_i].most);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ceilings_blk");
	TCase *tc = tcase_create("ceilings_blk");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, a_request_stays_below_its_ceiling, 0,
	                    (int)(sizeof(ceilings) / sizeof(ceilings[0])));
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
