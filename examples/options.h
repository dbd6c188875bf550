/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <stdint.h>

enum disk_kind { DISK_NONE, DISK_FILE, DISK_MEM, DISK_NULL, DISK_VOID };
enum engine_kind { ENGINE_BEST, ENGINE_URING, ENGINE_THREADS };

/* The command line of vhost-user-blk. */
struct options {
	const char *socket;
	enum disk_kind disk;
	char path[4096]; /* of a file */
	uint64_t bytes;  /* of memory and null disks */
	int direct;
	enum engine_kind engine;
	unsigned queues;
	int readonly;
	int poll;
	uint32_t spin_us;
	int wait;
};

/* Read the command line. Returns 0; 1 when all was said (--help); 2 after one line about what is wrong. */
int options_read(struct options *o, int argc, char **argv);

#endif
