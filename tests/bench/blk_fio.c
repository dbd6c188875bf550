/* SPDX-License-Identifier: BSD-3-Clause */
/* fio on the same kind of file: what io_uring itself gives on one processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk_bench.h"

/* Fields of fio's terse output, version 3. */
enum { READ_IOPS = 7, WRITE_IOPS = 48 };

static double field(char *line, unsigned n)
{
	char *save = NULL, *at = line;

	for (unsigned i = 0; i < n && at != NULL; i++) {
		at = strchr(at, ';');
		at = at != NULL ? at + 1 : NULL;
	}
	(void)save;
	return at != NULL ? strtod(at, NULL) : -1;
}

double blk_fio(const char *path, unsigned depth, int write, int cpu, unsigned ms)
{
	char command[1024], line[8192];
	double iops = -1;
	FILE *in;

	if (!bench_have("fio"))
		return -1;
	snprintf(command, sizeof(command),
	         "exec taskset -c %d fio --name=bench --filename=%s --ioengine=io_uring --direct=0 "
	         "--rw=%s --bs=%d --iodepth=%u --size=%u --runtime=%ums --time_based --thread "
	         "--output-format=terse --terse-version=3 2>/dev/null",
	         cpu, path, write ? "randwrite" : "randread", BLK_BLOCK, depth, BLK_DISK_BYTES, ms);
	in = popen(command, "r"); /* NOLINT: the command is ours */
	if (in == NULL)
		return -1;
	while (fgets(line, sizeof(line), in) != NULL)
		if (line[0] == '3')
			iops = field(line, write ? WRITE_IOPS : READ_IOPS);
	if (pclose(in) != 0)
		return -1;
	return iops;
}
