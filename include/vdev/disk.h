/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a disk is to a device model. A back-end implements it, virtio-blk (and later NVMe and
 * virtio-scsi) uses it; neither sees the other.
 *
 * Threads: a channel belongs to one thread at a time; channels of one disk work in parallel.
 */
#ifndef VDEV_DISK_H
#define VDEV_DISK_H

#include <stddef.h>
#include <stdint.h>

#include <vdev/env.h>
#include <virtq/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an operation does. */
enum vdev_disk_op {
	VDEV_DISK_READ,
	VDEV_DISK_WRITE,
	VDEV_DISK_FLUSH,
	VDEV_DISK_DISCARD,      /**< contents become undefined; a back-end may do nothing */
	VDEV_DISK_WRITE_ZEROES, /**< reads as zeroes afterwards */
	VDEV_DISK_SECURE_ERASE,
	VDEV_DISK_CANCEL /**< not submitted: number of operations */
};

/** Flags of vdev_disk_io. */
enum vdev_disk_io_flag {
	VDEV_DISK_FUA = 1,  /**< write: on stable storage before it is done */
	VDEV_DISK_UNMAP = 2 /**< write zeroes: the range may be deallocated */
};

/** How an operation that went well ended, if not with 0. */
enum vdev_disk_result {
	/** a read that left its buffers as they were: there is nothing behind the disk, see vdev_disk_void_new() */
	VDEV_DISK_UNTOUCHED = 1
};

/** One operation. The caller's memory, untouched by the caller from submit to done. */
struct vdev_disk_io {
	uint8_t op;    /**< enum vdev_disk_op */
	uint8_t flags; /**< enum vdev_disk_io_flag */
	uint16_t reserved;
	uint32_t niov;
	const struct virtq_iov *iov; /**< immutable; sums up to len. Only for READ and WRITE */
	uint64_t offset;             /**< bytes; within the disk, as the caller has checked */
	uint64_t len;                /**< bytes */
	/**
	 * It has ended. On the channel's thread, from inside submit or poll.
	 * @p result 0: all of it was done; > 0: likewise, see enum vdev_disk_result; < 0: -errno (VIRTQ_EIO, VIRTQ_ENOSPC, VIRTQ_ENOTSUP, ...).
	 *         No part of any buffer will be touched any more.
	 */
	void (*done)(struct vdev_disk_io *io, int result);
	uint64_t priv[6]; /**< the back-end's, from submit to done */
};

/** What a disk can do. */
struct vdev_disk_info {
	uint64_t bytes;          /**< capacity, a multiple of 512 */
	uint32_t block_size;     /**< logical block, power of two, 512 or more */
	uint32_t physical_block; /**< bytes, power of two multiple of block_size */
	uint32_t min_io;         /**< bytes, suggested smallest access, 0: unknown */
	uint32_t opt_io;         /**< bytes, suggested access, 0: unknown */
	uint32_t discard_align;  /**< bytes, 0: block_size */
	uint8_t readonly;
	uint8_t discard;      /**< discards are worth sending */
	uint8_t write_zeroes; /**< cheaper than writing them */
	uint8_t zeroes_may_unmap;
	uint8_t secure_erase;
	uint8_t volatile_cache; /**< completed writes need a flush to be stable */
	uint8_t has_lifetime;   /**< lifetime[] holds what the device reports */
	uint8_t reserved;
	uint16_t lifetime[3]; /**< pre-eol info, estimate typ A, estimate typ B: eMMC's encoding */
	uint16_t reserved2;
};

/** What happened to a disk by itself, told to the embedder. */
enum vdev_disk_event {
	VDEV_DISK_RESIZED, /**< capacity changed */
	VDEV_DISK_FULL,    /**< a write found no space */
	VDEV_DISK_GONE,    /**< the medium is gone or became shorter than it was */
	VDEV_DISK_FAILED   /**< an operation failed otherwise */
};
/**
 * Tells the embedder that a disk changed or failed: an enum vdev_disk_event and the errno behind
 * it, or 0. Must not call back into the disk: note it, signal, return.
 */
typedef void (*vdev_disk_event_fn)(void *ctx, int event, int error);

struct vdev_disk;
struct vdev_disk_channel;

/** What a back-end implements. Const, grows at its end only. */
struct vdev_disk_ops {
	size_t size; /**< sizeof(struct vdev_disk_ops) */
	const char *name;
	/** Any thread. */
	void (*info)(struct vdev_disk *d, struct vdev_disk_info *out);
	/** A channel for queue @p n of a device. On its thread. @return 0 or VIRTQ_E* */
	int (*open)(struct vdev_disk *d, unsigned n, struct vdev_disk_channel **out);
	/** Nothing may be under way. On its thread. */
	void (*close)(struct vdev_disk_channel *c);
	/**
	 * Start @p n operations. Each ends with its done, perhaps from inside this call. Never fails as
	 * a whole.
	 */
	void (*submit)(struct vdev_disk_channel *c, struct vdev_disk_io *const *ios, uint32_t n);
	/**
	 * Reap. NULL where done always comes from inside submit.
	 * @return 1: there may be more; 0: none now
	 */
	int (*poll)(struct vdev_disk_channel *c);
	/** fd that is readable when poll would reap something after arm, or -1. NULL with poll. */
	int (*fd)(struct vdev_disk_channel *c);
	/**
	 * Make fd readable at the next completion.
	 * @return 1: there is one already; 0. NULL with poll.
	 */
	int (*arm)(struct vdev_disk_channel *c);
	/**
	 * Take hold of the medium (the image lock) before requests are replayed or served; and let go
	 * of it. Counted: each device that starts takes, each that stops gives. NULL: nothing to hold.
	 * @return 0, VIRTQ_EBUSY
	 */
	int (*acquire)(struct vdev_disk *d);
	void (*release)(struct vdev_disk *d);
	/** Who is told of events; from any thread. */
	void (*on_event)(struct vdev_disk *d, vdev_disk_event_fn fn, void *ctx);
	/** All channels are closed. */
	void (*destroy)(struct vdev_disk *d);
};

/** A disk; first member of the back-end's own struct. */
struct vdev_disk {
	const struct vdev_disk_ops *ops;
};

/** A channel; first member of the back-end's own struct. */
struct vdev_disk_channel {
	struct vdev_disk *disk;
};

/** Destroy a disk. NULL is fine. */
void vdev_disk_free(struct vdev_disk *d);

/** A disk of zeroes that forgets what is written, for measurements. @p bytes a multiple of 512. */
VIRTQ_MUST_CHECK int vdev_disk_null_new(struct vdev_disk **out, const struct vdev_env *env,
                                        uint64_t bytes);
/**
 * A disk that does nothing at all: what is written is forgotten, and a read leaves its buffers as they are, which the
 * driver is told (VDEV_DISK_UNTOUCHED). For measuring what is around a disk. @p bytes a multiple of 512.
 */
VIRTQ_MUST_CHECK int vdev_disk_void_new(struct vdev_disk **out, const struct vdev_env *env,
                                        uint64_t bytes);
/**
 * A disk in the caller's memory @p base (which must outlive it), or in memory of its own from @p
 * env when NULL.
 */
VIRTQ_MUST_CHECK int vdev_disk_mem_new(struct vdev_disk **out, const struct vdev_env *env,
                                       void *base, uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
