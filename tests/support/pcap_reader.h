/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_PCAP_READER_H
#define TESTS_SUPPORT_PCAP_READER_H

#include <stddef.h>
#include <stdint.h>

/* A reader of captures that shares nothing with the library. */

enum { PCAP_HEAD = 24, PCAP_RECORD = 16, PCAP_RECORDS = 4096 };

struct capture_file {
	uint8_t *bytes;
	size_t len;
	uint32_t snaplen;
	uint32_t n;
	struct {
		uint64_t ns;
		uint32_t kept, len;
		const uint8_t *data;
	} r[PCAP_RECORDS];
};

/* What was read last. */
extern struct capture_file file;

/* Read the capture at fd; whatever is not as it should be fails the test. */
void read_capture(int fd);

#endif
