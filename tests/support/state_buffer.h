/* SPDX-License-Identifier: BSD-3-Clause */
/* A saved state in memory. */
#ifndef TESTS_SUPPORT_STATE_BUFFER_H
#define TESTS_SUPPORT_STATE_BUFFER_H

#include <string.h>

#include <vdev/stream.h>

struct state_buffer {
	struct vdev_stream stream;
	size_t len;
	size_t pos;
	int error; /* what put and get answer, when not 0 */
	uint8_t bytes[65536];
};

static inline int state_buffer_put(void *ctx, const void *bytes, size_t len)
{
	struct state_buffer *b = ctx;

	if (b->error != 0)
		return b->error;
	if (len > sizeof(b->bytes) - b->len)
		return VIRTQ_ENOSPC;
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static inline int state_buffer_get(void *ctx, void *bytes, size_t len)
{
	struct state_buffer *b = ctx;

	if (b->error != 0)
		return b->error;
	if (len > b->len - b->pos)
		return VIRTQ_EIO;
	memcpy(bytes, b->bytes + b->pos, len);
	b->pos += len;
	return 0;
}

static inline const struct vdev_stream *state_buffer_init(struct state_buffer *b)
{
	b->stream = (struct vdev_stream){sizeof(b->stream), state_buffer_put, state_buffer_get, b};
	b->len = b->pos = 0;
	b->error = 0;
	return &b->stream;
}

#endif
