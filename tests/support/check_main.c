/* SPDX-License-Identifier: BSD-3-Clause */
#include "check_main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

int test_full_listener(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_lt(snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path), sizeof(sa.sun_path));
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(s, 0), 0);
	for (int i = 0; i < 16; i++) {
		int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (connect(c, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			continue; /* it waits until the test's process ends */
		ck_assert_int_eq(errno, EAGAIN);
		close(c);
		return s;
	}
	ck_abort_msg("a backlog without end");
	return -1;
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
