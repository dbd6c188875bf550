/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Saved state: a versioned, checksummed stream of sections (docs/state-format.md), and the cursors
 * with which devices write and read their own section.
 */
#ifndef VDEV_STREAM_H
#define VDEV_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a saved state goes to or comes from. All of @p len or an error < 0, which is passed on. */
struct vdev_stream {
	size_t size; /**< sizeof(struct vdev_stream) */
	int (*put)(void *ctx, const void *bytes, size_t len);
	int (*get)(void *ctx, void *bytes, size_t len);
	void *ctx;
};

/** Writes a section into the caller's memory. An overflow sticks in error. Fields may be read. */
struct vdev_writer {
	uint8_t *buf;
	size_t cap;
	size_t len; /**< bytes written */
	int error;  /**< 0 or VIRTQ_ENOSPC */
};

/** Reads a section. Reading past the end sticks in error, and yields zeroes. Fields may be read. */
struct vdev_reader {
	const uint8_t *buf;
	size_t len;
	size_t pos; /**< bytes read */
	int error;  /**< 0 or VIRTQ_EBADMSG */
};

/** Append little-endian values. @{ */
void vdev_put8(struct vdev_writer *w, uint8_t v);
void vdev_put16(struct vdev_writer *w, uint16_t v);
void vdev_put32(struct vdev_writer *w, uint32_t v);
void vdev_put64(struct vdev_writer *w, uint64_t v);
void vdev_put(struct vdev_writer *w, const void *bytes, size_t len);
/** @} */
/** Take little-endian values. @{ */
uint8_t vdev_get8(struct vdev_reader *r);
uint16_t vdev_get16(struct vdev_reader *r);
uint32_t vdev_get32(struct vdev_reader *r);
uint64_t vdev_get64(struct vdev_reader *r);
void vdev_get(struct vdev_reader *r, void *bytes, size_t len);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
