/* SPDX-License-Identifier: BSD-3-Clause */
#include "pcap_reader.h"

#include "check_main.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct capture_file file;

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

void read_capture(int fd)
{
	size_t at = PCAP_HEAD;
	off_t len = lseek(fd, 0, SEEK_END);

	free(file.bytes);
	memset(&file, 0, sizeof(file));
	file.bytes = malloc((size_t)len);
	file.len = (size_t)len;
	ck_assert_int_eq(pread(fd, file.bytes, file.len, 0), len);
	ck_assert_uint_ge(file.len, PCAP_HEAD);
	ck_assert_uint_eq(u32(file.bytes), 0xa1b23c4d);
	ck_assert_uint_eq(u32(file.bytes + 4), 2 | 4 << 16);
	ck_assert_uint_eq(u32(file.bytes + 8), 0);
	ck_assert_uint_eq(u32(file.bytes + 12), 0);
	file.snaplen = u32(file.bytes + 16);
	ck_assert_uint_eq(u32(file.bytes + 20), 1);
	while (at < file.len) {
		const uint8_t *p = file.bytes + at;

		ck_assert_uint_le(at + PCAP_RECORD, file.len);
		ck_assert_uint_lt(file.n, PCAP_RECORDS);
		file.r[file.n].ns = u32(p) * 1000000000ull + u32(p + 4);
		ck_assert_uint_lt(u32(p + 4), 1000000000);
		file.r[file.n].kept = u32(p + 8);
		file.r[file.n].len = u32(p + 12);
		file.r[file.n].data = p + PCAP_RECORD;
		at += PCAP_RECORD + u32(p + 8);
		ck_assert_uint_le(u32(p + 8), u32(p + 12));
		ck_assert_uint_le(u32(p + 8), file.snaplen);
		file.n++;
	}
	ck_assert_uint_eq(at, file.len);
}
