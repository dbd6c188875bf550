/* SPDX-License-Identifier: BSD-3-Clause */
/* The examples that need nothing from outside do what they say. Runs in the build tree. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "check_main.h"

/* What a program prints; it must succeed. */
static void run(const char *command, char *out, size_t size)
{
	FILE *p = popen(command, "r");
	size_t n;
	int status;

	ck_assert_ptr_nonnull(p);
	n = fread(out, 1, size - 1, p);
	out[n] = '\0';
	status = pclose(p);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %x", command,
	              (unsigned)status);
}

START_TEST(embed_loopback_blk)
{
	char out[256];

	run("examples/embed-loopback-blk", out, sizeof(out));
	ck_assert_str_eq(out, "read back: hello, sector 5\n");
}
END_TEST

START_TEST(custom_device)
{
	char first[256], second[256];

	run("examples/custom-device", first, sizeof(first));
	run("examples/custom-device", second, sizeof(second));
	ck_assert_uint_eq(strlen(first), 33);
	for (int i = 0; i < 32; i++)
		ck_assert(isxdigit((unsigned char)first[i]));
	ck_assert_str_ne(first, second); /* 16 random bytes: the same again once in 2^128 runs */
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("examples");
	TCase *tc = tcase_create("examples");

	tcase_add_test(tc, embed_loopback_blk);
	tcase_add_test(tc, custom_device);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
