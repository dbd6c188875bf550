/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the embedder lends the library: memory, a clock, a place for log entries. No globals: every
 * object is created with one of these and keeps a copy of it.
 */
#ifndef VDEV_ENV_H
#define VDEV_ENV_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How urgent a log entry is. */
enum vdev_log_level { VDEV_LOG_ERROR, VDEV_LOG_WARNING, VDEV_LOG_INFO, VDEV_LOG_DEBUG };

/** One log entry. Valid during the callback only. */
struct vdev_log_entry {
	int level;          /**< enum vdev_log_level */
	int error;          /**< VIRTQ_E*, or 0 */
	int queue;          /**< queue index, or -1 */
	int head;           /**< head of the chain concerned, or -1 */
	uint64_t value;     /**< a number that belongs to the text (a request type, a length), or 0 */
	const char *source; /**< "core", "blk", "vhost-user", ... */
	const char *text;   /**< one line of plain English, no newline */
};

/** What the library borrows. Callbacks may come from any thread that calls into the library. */
struct vdev_env {
	size_t size; /**< sizeof(struct vdev_env) */
	/**
	 * Memory aligned for any type, not cleared, or NULL. Only called while objects are set up, not
	 * per request.
	 */
	void *(*alloc)(void *ctx, size_t bytes);
	/** @p bytes as allocated. */
	void (*free)(void *ctx, void *p, size_t bytes);
	/** May be NULL. Must not call back into the library. */
	void (*log)(void *ctx, const struct vdev_log_entry *entry);
	/** Nanoseconds of a clock that never goes back. May be NULL: then rate limits are refused. */
	uint64_t (*now)(void *ctx);
	void *ctx;
};

/**
 * The hosted default: malloc, CLOCK_MONOTONIC, no log. In the outer part of libvdev; firmware names
 * its own. Any thread; the result is constant.
 */
const struct vdev_env *vdev_env_hosted(void);

#ifdef __cplusplus
}
#endif

#endif
