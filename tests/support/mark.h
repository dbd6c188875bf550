/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_MARK_H
#define TESTS_SUPPORT_MARK_H

#include <check.h>

/*
 * Check, included through here. It writes down where a test is, with a system call, whenever an assertion holds: most
 * of the time of tests that assert in loops. Here an assertion does so the first time only that it is met, so what is
 * said of a test that crashed or took too long ("after this point") is the last line that it had come to anew.
 */
#define _mark_point(file, line)                                                                    \
	((void)__extension__({                                                                         \
		static char met_;                                                                          \
		if (!__atomic_load_n(&met_, __ATOMIC_RELAXED)) {                                           \
			__atomic_store_n(&met_, 1, __ATOMIC_RELAXED);                                          \
			_mark_point(file, line);                                                               \
		}                                                                                          \
	}))

#endif
