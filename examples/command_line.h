/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_COMMAND_LINE_H
#define EXAMPLES_COMMAND_LINE_H

#include <stdint.h>

struct option; /* of getopt.h */

/* How a program's command line is read. */
struct command_line {
	const char *program;
	const char *usage;          /* printed for the option 'h' */
	const struct option *known; /* in flag each has NULL */
	/* Take option c of them, with its value in optarg. 0, or what command_line_read() is to return. */
	int (*take)(void *options, int c);
};

/* Returns 0; 1 when all was said (--help); 2 after one line about what is wrong. */
int command_line_read(const struct command_line *l, void *options, int argc, char **argv);
/* That line. Returns 2. */
int command_line_bad(const char *program, const char *what, const char *value);

/* A decimal number from least to most; *end is what follows it. 0, or -1. */
int read_number(const char *s, char **end, uint64_t least, uint64_t most, uint64_t *out);
/* The same, with nothing behind it. */
int read_whole(const char *s, uint64_t least, uint64_t most, uint64_t *out);

#endif
