/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_INTEROP_FRONT_CLIENT_H
#define TESTS_INTEROP_FRONT_CLIENT_H

#include <stdint.h>

struct client_options {
	const char *path; /* socket, or image */
	int packed;
	unsigned queues; /* blk: queues; net: pairs */
	unsigned count;  /* blk: MiB; net: frames a pair */
	int reconnect;   /* blk: go on with the next back-end when this one goes */
	int inband;
};

/* One line about why it does not work; returns 1. */
int client_fail(const char *what, int rc);
int client_blk(const struct client_options *o);
int client_image(const struct client_options *o);
int client_net(const struct client_options *o);

#endif
