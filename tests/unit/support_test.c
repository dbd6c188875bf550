/* SPDX-License-Identifier: BSD-3-Clause */
/* The test support itself. */
#include "check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void shared_step(void)
{
	CLAUSE("test/shared");
}

static void read_back(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

START_TEST(clauses_are_booked_on_the_running_test)
{
	char path[] = "clause-XXXXXX";
	char buf[512];
	int fd = mkstemp(path);
	int status;
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	pid = fork();
	if (pid == 0) {
		setenv("VDEVKIT_CLAUSES", path, 1);
		CLAUSE("test/direct");
		shared_step();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	read_back(path, buf, sizeof(buf));
	unlink(path);
	ck_assert_str_eq(buf, "support_test\tclauses_are_booked_on_the_running_test\ttest/direct\n"
	                      "support_test\tclauses_are_booked_on_the_running_test\ttest/shared\n");
}
END_TEST

START_TEST(rounds_are_multiplied)
{
	unsetenv("VDEVKIT_ROUNDS");
	ck_assert_uint_eq(test_rounds(7), 7);
	setenv("VDEVKIT_ROUNDS", "3", 1);
	ck_assert_uint_eq(test_rounds(7), 21);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("support");
	TCase *tc = tcase_create("support");

	tcase_add_test(tc, clauses_are_booked_on_the_running_test);
	tcase_add_test(tc, rounds_are_multiplied);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
