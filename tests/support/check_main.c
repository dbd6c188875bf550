/* SPDX-License-Identifier: BSD-3-Clause */
#include "check_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned long test_rounds(unsigned long rounds)
{
	const char *factor = getenv("VDEVKIT_ROUNDS");
	unsigned long n = factor ? strtoul(factor, NULL, 10) : 1;

	return n ? rounds * n : rounds;
}

void test_needs(const char *missing)
{
	if (missing == NULL)
		return;
	printf("skipped: %s\n", missing);
	exit(77);
}

unsigned test_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		char to[64] = "";

		if (readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1) > 0 && strncmp(to, "pipe:", 5) != 0)
			n++;
	}
	closedir(d);
	return n;
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
