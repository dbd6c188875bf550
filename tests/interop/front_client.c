/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Works on a device that somebody else serves over vhost-user, and says what it found; for front.test.
 *
 * front_client blk SOCKET    write, flush, read and verify a disk
 * front_client image FILE    verify what blk left in an image
 * front_client net SOCKET    send frames and expect each back with its addresses swapped
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front_client.h"

int client_fail(const char *what, int rc)
{
	fprintf(stderr, "front_client: %s: %s (%d)\n", what, rc < 0 ? strerror(-rc) : "wrong", rc);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"packed", no_argument, NULL, 'p'},      {"queues", required_argument, NULL, 'q'},
		{"count", required_argument, NULL, 'n'}, {"reconnect", no_argument, NULL, 'r'},
		{"inband", no_argument, NULL, 'i'},      {NULL, 0, NULL, 0}};
	struct client_options o = {.queues = 1, .count = 8};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'p':
			o.packed = 1;
			break;
		case 'q':
			o.queues = (unsigned)atoi(optarg);
			break;
		case 'n':
			o.count = (unsigned)atoi(optarg);
			break;
		case 'r':
			o.reconnect = 1;
			break;
		case 'i':
			o.inband = 1;
			break;
		default:
			return 2;
		}
	}
	if (optind + 2 != argc || o.queues == 0 || o.count == 0)
		return 2;
	o.path = argv[optind + 1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(argv[optind], "blk") == 0)
		return client_blk(&o);
	if (strcmp(argv[optind], "image") == 0)
		return client_image(&o);
	if (strcmp(argv[optind], "net") == 0)
		return client_net(&o);
	return 2;
}
