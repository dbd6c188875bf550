/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Disks in files and block devices, and the engines that do their input and output. Linux.
 *
 * The format is always raw and never guessed from the contents. The image is held with an
 * open-file-description lock from acquire to release, so that a successor's writes can't be
 * overtaken by ours.
 */
#ifndef VDEV_DISK_FILE_H
#define VDEV_DISK_FILE_H

#include <vdev/disk.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_engine;

/**
 * An io_uring, for one thread, shared by all disks whose channels belong to that thread.
 * @param entries  submission queue entries, a power of two, 1 to 4096
 * @return 0, VIRTQ_ENOTSUP (kernel or build without io_uring), VIRTQ_ENOMEM (limits), VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK int vdev_engine_uring_new(struct vdev_engine **out, const struct vdev_env *env,
                                           unsigned entries);
/**
 * A pool of @p workers threads that use ordinary system calls. The name says that it makes threads:
 * signals blocked, joined by vdev_engine_free(). One engine serves channels of one thread.
 */
VIRTQ_MUST_CHECK int vdev_engine_threads_new(struct vdev_engine **out, const struct vdev_env *env,
                                             unsigned workers);
/** Nothing may be under way and no channel open on it. */
void vdev_engine_free(struct vdev_engine *e);
/**
 * Opt-in: register guest memory for fixed buffers. Owner thread. Falls back silently to ordinary
 * buffers.
 * @return 1 registered, 0 not (limits), or VIRTQ_EBUSY
 */
VIRTQ_MUST_CHECK int vdev_engine_register(struct vdev_engine *e, const struct virtq_region *regions,
                                          uint32_t n);
/** Undo it. Owner thread; nothing under way. */
VIRTQ_MUST_CHECK int vdev_engine_unregister(struct vdev_engine *e);

/** Flags of vdev_disk_file_config. */
enum vdev_disk_file_flag {
	VDEV_DISK_FILE_READONLY = 1,
	VDEV_DISK_FILE_DIRECT = 2, /**< O_DIRECT; unaligned buffers go through a bounce buffer */
	VDEV_DISK_FILE_NOLOCK = 4, /**< the embedder vouches for exclusion */
	/**
	 * Where the file system lies in memory (tmpfs, ramfs), reads and writes of up to 256 KiB are
	 * done inside submit and not handed to an engine: there is no medium to wait for, only pages
	 * that may have been swapped out. Elsewhere this does nothing.
	 */
	VDEV_DISK_FILE_IN_PLACE = 8
};

/** How to open a disk in a file. Zero what is not needed. */
struct vdev_disk_file_config {
	size_t size;      /**< sizeof(struct vdev_disk_file_config) */
	const char *path; /**< or NULL and fd */
	int fd;           /**< used (and duplicated) when path is NULL */
	uint32_t flags;   /**< enum vdev_disk_file_flag */
	/** channel n uses engines[n % nengines]; NULL: plain synchronous calls */
	struct vdev_engine *const *engines;
	unsigned nengines;
};

/**
 * Open an image. Takes no lock yet.
 *
 * A flush or FUA write that fails (other than a FUA write for want of space) is not forgiven: the
 * kernel tells of a failed write-back once, to one caller, and takes the lost data for written.
 * The listener is told (VDEV_DISK_FAILED or VDEV_DISK_GONE, once for the flushes), and from then on
 * every flush and FUA write of this disk ends with VIRTQ_EIO, those included that began before and
 * end after it, until the image is opened anew; with a cfg->fd, by the caller too, whose description
 * this is. Reads and plain writes go on.
 * @return 0, -errno of the file system, VIRTQ_EINVAL (size, type)
 */
VIRTQ_MUST_CHECK int vdev_disk_file_new(struct vdev_disk **out, const struct vdev_env *env,
                                        const struct vdev_disk_file_config *cfg);
/**
 * Look at the file's size again; tells the event listener if it changed. Any thread.
 *
 * Somebody else may have made the file shorter. The disk notices when a read or write finds its end
 * (VDEV_DISK_GONE): from then on writes and zeroes beyond what is there end with VIRTQ_EIO, so that
 * they don't make it long again with holes that read as zeroes, until this finds it whole. Not
 * guarded against: a write beyond the end before anybody noticed, which makes the file longer.
 * @return 0, -errno of the file system, VIRTQ_EINVAL (not a file disk; no bytes, or no whole blocks:
 *         the capacity stays)
 */
VIRTQ_MUST_CHECK int vdev_disk_file_refresh(struct vdev_disk *d);

#ifdef __cplusplus
}
#endif

#endif
