/* SPDX-License-Identifier: BSD-3-Clause */
#include "clause.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *current_test;

void clause_enter(const char *test)
{
	current_test = test;
}

void clause_record(const char *id)
{
	const char *path = getenv("VDEVKIT_CLAUSES");
	char line[256];
	int len, fd;

	if (!path)
		return;
	len = snprintf(line, sizeof(line), "%s\t%s\t%s\n", program_invocation_short_name,
	               current_test ? current_test : "-", id);
	if (len < 0 || (size_t)len >= sizeof(line))
		abort();
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}
