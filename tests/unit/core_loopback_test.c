/* SPDX-License-Identifier: BSD-3-Clause */
/* The loopback transport. */
#include "check_main.h"
#include "core_fixture.h"

START_TEST(a_request_comes_back)
{
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	for (int i = 0; i < 100; i++)
		fixture_echo(&f, (unsigned)i % 2);
	ck_assert_uint_gt(f.interrupts[0], 0);
	fixture_fini(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_loopback");
	TCase *tc = tcase_create("core_loopback");

	tcase_add_loop_test(tc, a_request_comes_back, 0, LAYOUTS);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
