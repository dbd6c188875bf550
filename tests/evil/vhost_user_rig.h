/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_EVIL_VHOST_USER_RIG_H
#define TESTS_EVIL_VHOST_USER_RIG_H

/* A back-end that is attacked, and must go on as if nothing had been. */

#include "vu_front.h"

static struct vu_front f;
static unsigned fds_before;

static void begin(void)
{
	vf_start(&f, 2, VF_THREADS);
	vf_up(&f, 0, 2);
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 4096), 0);
	vf_disconnect(&f);
	fds_before = test_descriptors();
	vf_connect(&f);
}

/* The back-end goes on: here on this connection, or on the next one. */
static void end(void)
{
	if (f.sock >= 0)
		vf_disconnect(&f);
	ck_assert_uint_eq(test_descriptors(), fds_before);
	vf_up(&f, 0, 2);
	ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA, 4096), 0);
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 4096), 0);
	vf_stop(&f);
}

static void send_fds(uint32_t request, const void *payload, size_t len, unsigned nfds)
{
	int fds[64];

	for (unsigned i = 0; i < nfds; i++)
		fds[i] = f.memfd;
	vf_send_raw(&f, request, VU_VERSION, (uint32_t)len, payload, len, fds, nfds);
}

/* Returns the bytes of the answer, or -1: the connection is closed. */
static int set_log(int fd, uint64_t bytes, uint64_t offset)
{
	struct vu_log_desc d = {bytes, offset};
	uint64_t answer;

	vf_send_raw(&f, VU_SET_LOG_BASE, VU_VERSION, sizeof(d), &d, sizeof(d), &fd, 1);
	return vf_answer(&f, VU_SET_LOG_BASE, &answer, 8);
}

#endif
