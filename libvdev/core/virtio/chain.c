/* SPDX-License-Identifier: BSD-3-Clause */
/* Access to parts of a chain by offset. Offsets come from wherever they come: nothing here trusts them. */
#include <string.h>

#include <vdev/model.h>

/* Where copying in or out has got to. */
struct cursor {
	const struct virtq_iov *iov;
	uint32_t n;
	size_t skip; /* bytes of iov[0] */
};

/* Go to byte offset of the pieces; at the end n is 0. */
static struct cursor cursor_at(const struct virtq_iov *iov, uint32_t n, uint64_t offset)
{
	while (n != 0 && offset >= iov->len) {
		offset -= iov->len;
		iov++;
		n--;
	}
	return (struct cursor){.iov = iov, .n = n, .skip = n != 0 ? (size_t)offset : 0};
}

/* The next piece, at most len bytes of it; 0 bytes at the end. */
static size_t cursor_next(struct cursor *c, size_t len, uint8_t **at)
{
	size_t got;

	while (c->n != 0 && c->skip == c->iov->len) {
		c->iov++;
		c->n--;
		c->skip = 0;
	}
	if (c->n == 0 || len == 0)
		return 0;
	got = c->iov->len - c->skip;
	if (got > len)
		got = len;
	*at = (uint8_t *)c->iov->base + c->skip;
	c->skip += got;
	return got;
}

size_t vdev_chain_read(const struct virtq_chain *c, uint64_t offset, void *dst, size_t len)
{
	struct cursor at = cursor_at(c->iov, c->nread, offset);
	uint8_t *src;
	size_t done = 0;
	size_t n;

	while ((n = cursor_next(&at, len - done, &src)) != 0) {
		memcpy((uint8_t *)dst + done, src, n);
		done += n;
	}
	return done;
}

size_t vdev_chain_write(const struct virtq_chain *c, uint64_t offset, const void *src, size_t len)
{
	struct cursor at = cursor_at(c->iov + c->nread, c->nwrite, offset);
	uint8_t *dst;
	size_t done = 0;
	size_t n;

	while ((n = cursor_next(&at, len - done, &dst)) != 0) {
		memcpy(dst, (const uint8_t *)src + done, n);
		done += n;
	}
	return done;
}

int vdev_chain_slice(const struct virtq_chain *c, int write, uint64_t offset, uint64_t len,
                     struct virtq_iov *out, uint32_t max)
{
	uint64_t part = write ? c->write_bytes : c->read_bytes;
	struct cursor at;
	uint32_t n = 0;

	if (offset > part || len > part - offset)
		return VIRTQ_EINVAL;
	at = write ? cursor_at(c->iov + c->nread, c->nwrite, offset)
	           : cursor_at(c->iov, c->nread, offset);
	while (len != 0) {
		uint8_t *base;
		size_t got = cursor_next(&at, len < SIZE_MAX ? (size_t)len : SIZE_MAX, &base);

		if (got == 0)
			return VIRTQ_EINVAL;
		if (n == max)
			return VIRTQ_ENOSPC;
		out[n++] = (struct virtq_iov){.base = base, .len = got};
		len -= got;
	}
	return (int)n;
}
