/* SPDX-License-Identifier: BSD-3-Clause */
#include "check_main.h"

#include <stdlib.h>

unsigned long test_rounds(unsigned long rounds)
{
	const char *factor = getenv("VDEVKIT_ROUNDS");
	unsigned long n = factor ? strtoul(factor, NULL, 10) : 1;

	return n ? rounds * n : rounds;
}

int main(void)
{
	SRunner *runner = srunner_create(NULL);
	const char *tap = getenv("VDEVKIT_TAP");
	int failed;

	test_suites(runner);
	if (tap)
		srunner_set_tap(runner, tap);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
