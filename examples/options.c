/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-blk. */
#include <getopt.h>
#include <string.h>

#include "command_line.h"
#include "options.h"

enum { SPIN_US = 50 };

static const char usage[] =
	"usage: vhost-user-blk --socket PATH --disk DISK [--queues N] [--readonly] [--poll]\n"
	"                      [--wait]\n"
	"\n"
	"Serves a disk to one vhost-user front-end at a time.\n"
	"\n"
	"  --socket PATH   socket to listen on\n"
	"  --disk DISK     file:PATH[,direct=on|off][,engine=uring|threads]  a raw image\n"
	"                  (in tmpfs without an engine unless one is named)\n"
	"                  mem:SIZE    a disk in memory, empty at the start\n"
	"                  null:SIZE   reads zeroes, forgets what is written\n"
	"                  void:SIZE   does nothing: reads leave buffers as they are (for measuring)\n"
	"                  SIZE in bytes, or with K, M, G or T behind it\n"
	"  --queues N      1 (default) to 64, each on a thread of its own as far as there are "
	"processors\n"
	"  --readonly      offer the disk read-only\n"
	"  --wait          while somebody else holds the disk, wait instead of giving up\n"
	"  --poll          never sleep: quicker, and busy all the time\n"
	"  --spin US       otherwise poll for up to US microseconds before sleeping, 0 to 1000\n"
	"                  (default 50); less where work comes seldom\n"
	"\n"
	"SIGUSR1, and the end by SIGTERM or SIGINT, print one line of counters (JSON).\n";

static int bad(const char *what, const char *value)
{
	return command_line_bad("vhost-user-blk", what, value);
}

static int read_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	uint64_t n;

	if (read_number(s, &end, 0, UINT64_MAX, &n) < 0)
		return -1;
	unit = *end == '\0' ? NULL : strchr(units, *end);
	if (unit != NULL) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (n > UINT64_MAX >> shift)
			return -1;
		n <<= shift;
		end++;
	}
	*out = n;
	return *end != '\0' || n == 0 || n % 512 != 0 ? -1 : 0;
}

static int read_file_option(struct options *o, const char *word)
{
	if (strcmp(word, "direct=on") == 0)
		o->direct = 1;
	else if (strcmp(word, "direct=off") == 0)
		o->direct = 0;
	else if (strcmp(word, "engine=uring") == 0)
		o->engine = ENGINE_URING;
	else if (strcmp(word, "engine=threads") == 0)
		o->engine = ENGINE_THREADS;
	else
		return -1;
	return 0;
}

static int read_disk(struct options *o, const char *s)
{
	char *word;

	if (strncmp(s, "mem:", 4) == 0) {
		o->disk = DISK_MEM;
		return read_size(s + 4, &o->bytes) < 0 ? bad("not a disk size", s + 4) : 0;
	}
	if (strncmp(s, "null:", 5) == 0) {
		o->disk = DISK_NULL;
		return read_size(s + 5, &o->bytes) < 0 ? bad("not a disk size", s + 5) : 0;
	}
	if (strncmp(s, "void:", 5) == 0) {
		o->disk = DISK_VOID;
		return read_size(s + 5, &o->bytes) < 0 ? bad("not a disk size", s + 5) : 0;
	}
	if (strncmp(s, "file:", 5) != 0 || strlen(s + 5) >= sizeof(o->path))
		return bad("not a disk", s);
	o->disk = DISK_FILE;
	strcpy(o->path, s + 5);
	word = strchr(o->path, ',');
	while (word != NULL) {
		char *next = strchr(word + 1, ',');

		*word++ = '\0';
		if (next != NULL)
			*next = '\0';
		if (read_file_option(o, word) < 0)
			return bad("unknown disk option", word);
		word = next;
	}
	return o->path[0] == '\0' ? bad("not a disk", s) : 0;
}

static int read_queues(struct options *o, const char *s)
{
	uint64_t n;

	if (read_whole(s, 1, 64, &n) < 0)
		return bad("not a number of queues from 1 to 64", s);
	o->queues = (unsigned)n;
	return 0;
}

static int read_spin(struct options *o, const char *s)
{
	uint64_t n;

	if (read_whole(s, 0, 1000, &n) < 0)
		return bad("not a time from 0 to 1000 microseconds", s);
	o->spin_us = (uint32_t)n;
	return 0;
}

static int take_option(void *options, int c)
{
	struct options *o = options;

	switch (c) {
	case 's':
		o->socket = optarg;
		return 0;
	case 'd':
		return read_disk(o, optarg);
	case 'q':
		return read_queues(o, optarg);
	case 'r':
		o->readonly = 1;
		return 0;
	case 'w':
		o->wait = 1;
		return 0;
	case 'p':
		o->poll = 1;
		return 0;
	case 'u':
		return read_spin(o, optarg);
	}
	return 0;
}

int options_read(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {{"socket", required_argument, NULL, 's'},
	                                      {"disk", required_argument, NULL, 'd'},
	                                      {"queues", required_argument, NULL, 'q'},
	                                      {"readonly", no_argument, NULL, 'r'},
	                                      {"poll", no_argument, NULL, 'p'},
	                                      {"spin", required_argument, NULL, 'u'},
	                                      {"wait", no_argument, NULL, 'w'},
	                                      {"help", no_argument, NULL, 'h'},
	                                      {NULL, 0, NULL, 0}};
	static const struct command_line line = {
		.program = "vhost-user-blk", .usage = usage, .known = known, .take = take_option};
	int rc;

	*o = (struct options){.queues = 1, .spin_us = SPIN_US};
	rc = command_line_read(&line, o, argc, argv);
	if (rc != 0)
		return rc;
	if (o->socket == NULL)
		return bad("missing option", "--socket");
	if (o->disk == DISK_NONE)
		return bad("missing option", "--disk");
	return 0;
}
