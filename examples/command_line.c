/* SPDX-License-Identifier: BSD-3-Clause */
#include "command_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

int command_line_bad(const char *program, const char *what, const char *value)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, value);
	return 2;
}

int read_number(const char *s, char **end, uint64_t least, uint64_t most, uint64_t *out)
{
	unsigned long long n;

	errno = 0;
	n = strtoull(s, end, 10);
	*out = n;
	return *s < '0' || *s > '9' || errno != 0 || n < least || n > most ? -1 : 0;
}

int read_whole(const char *s, uint64_t least, uint64_t most, uint64_t *out)
{
	char *end;

	return read_number(s, &end, least, most, out) < 0 || *end != '\0' ? -1 : 0;
}

int command_line_read(const struct command_line *l, void *options, int argc, char **argv)
{
	int c, rc;

	while ((c = getopt_long(argc, argv, ":", l->known, NULL)) != -1) {
		if (c == 'h') {
			fputs(l->usage, stdout);
			return 1;
		}
		if (c == ':')
			return command_line_bad(l->program, "option without its value", argv[optind - 1]);
		if (c == '?')
			return command_line_bad(l->program, "unknown option", argv[optind - 1]);
		rc = l->take(options, c);
		if (rc != 0)
			return rc;
	}
	if (optind < argc)
		return command_line_bad(l->program, "unknown argument", argv[optind]);
	return 0;
}
