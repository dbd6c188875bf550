/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Put before each source of libvirtq that tests/unit/inflight_crash_test.c is made of: before each of the library's
 * stores to shared memory the test is asked whether the device dies here.
 */
#ifndef TESTS_UNIT_CRASH_STORE_H
#define TESTS_UNIT_CRASH_STORE_H

void crash_point(void);

#define __atomic_store_n(p, v, order) (crash_point(), __atomic_store_n(p, v, order))

#endif
