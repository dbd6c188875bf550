/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_MEM_TEST_H
#define TESTS_UNIT_MEM_TEST_H

#include "check_main.h"
#include "ring.h"

enum { PAGE = 4096 };

TCase *mem_dirty_tests(void);
TCase *mem_queue_tests(void);

#endif
