/* SPDX-License-Identifier: BSD-3-Clause */
/* Cursors over saved state, and its sections. */
#include <string.h>

#include "section.h"

uint32_t vdev_crc32(uint32_t crc, const void *bytes, size_t len)
{
	/* One entry per nibble: states are small and rare, a 1 KiB table would not pay in firmware. */
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
	                                   0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	                                   0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	                                   0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	const uint8_t *p = bytes;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return ~crc;
}

void vdev_put(struct vdev_writer *w, const void *bytes, size_t len)
{
	if (w->error != 0 || len == 0)
		return;
	if (len > w->cap - w->len) {
		w->error = VIRTQ_ENOSPC;
		return;
	}
	memcpy(w->buf + w->len, bytes, len);
	w->len += len;
}

static void put_le(struct vdev_writer *w, uint64_t v, size_t len)
{
	uint8_t b[8];

	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	vdev_put(w, b, len);
}

void vdev_put8(struct vdev_writer *w, uint8_t v)
{
	put_le(w, v, 1);
}

void vdev_put16(struct vdev_writer *w, uint16_t v)
{
	put_le(w, v, 2);
}

void vdev_put32(struct vdev_writer *w, uint32_t v)
{
	put_le(w, v, 4);
}

void vdev_put64(struct vdev_writer *w, uint64_t v)
{
	put_le(w, v, 8);
}

void vdev_get(struct vdev_reader *r, void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (r->error != 0 || len > r->len - r->pos) {
		r->error = VIRTQ_EBADMSG;
		memset(bytes, 0, len);
		return;
	}
	memcpy(bytes, r->buf + r->pos, len);
	r->pos += len;
}

static uint64_t get_le(struct vdev_reader *r, size_t len)
{
	uint8_t b[8];
	uint64_t v = 0;

	vdev_get(r, b, len);
	for (size_t i = 0; i < len; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

uint8_t vdev_get8(struct vdev_reader *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t vdev_get16(struct vdev_reader *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t vdev_get32(struct vdev_reader *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t vdev_get64(struct vdev_reader *r)
{
	return get_le(r, 8);
}

size_t section_begin(struct vdev_writer *w, uint16_t id, uint16_t flags, uint32_t version)
{
	size_t begin = w->len;

	vdev_put16(w, id);
	vdev_put16(w, flags);
	vdev_put32(w, version);
	vdev_put64(w, 0); /* length and checksum, known at the end */
	return begin;
}

/* The checksum covers the header's first 12 bytes and the body. */
static uint32_t section_crc(const uint8_t *header, size_t len)
{
	return vdev_crc32(vdev_crc32(0, header, 12), header + SECTION_HEADER_BYTES, len);
}

void section_end(struct vdev_writer *w, size_t begin)
{
	struct vdev_writer patch;
	size_t len;

	if (w->error != 0)
		return;
	len = w->len - begin - SECTION_HEADER_BYTES;
	patch = (struct vdev_writer){.buf = w->buf + begin + 8, .cap = 8};
	vdev_put32(&patch, (uint32_t)len);
	vdev_put32(&patch, section_crc(w->buf + begin, len));
}

int section_next(struct vdev_reader *r, struct section *out)
{
	const uint8_t *header = r->buf + r->pos;
	uint32_t len;
	uint32_t crc;

	if (r->error != 0)
		return r->error;
	if (r->pos == r->len)
		return 0;
	memset(out, 0, sizeof(*out));
	out->id = vdev_get16(r);
	out->flags = vdev_get16(r);
	out->version = vdev_get32(r);
	len = vdev_get32(r);
	crc = vdev_get32(r);
	if (r->error != 0 || len > r->len - r->pos || crc != section_crc(header, len)) {
		r->error = VIRTQ_EBADMSG;
		return VIRTQ_EBADMSG;
	}
	out->body.buf = r->buf + r->pos;
	out->body.len = len;
	r->pos += len;
	return 1;
}

int section_finished(const struct vdev_reader *body)
{
	return body->error != 0 || body->pos != body->len ? VIRTQ_EBADMSG : 0;
}
