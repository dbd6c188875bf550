/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhost-user, back-end side: any virtio device served to a front-end (QEMU, user-mode-linux, DPDK,
 * ...) over a UNIX socket. One front-end at a time; when it goes, the next may come.
 *
 * Threads: control (vdev_vhost_user_run()) is one thread; each queue is a task of its own which may
 * be served by that thread or by any other one. Without further ado control serves the queues too.
 *
 * Network devices: MTU and announcements are offered where the device takes notices of them
 * (vdev_notice()). Front-ends (QEMU, DPDK) keep the control queue to themselves and do not pass on CTRL_VQ, with or
 * without the features that need it: a driver's choice of queue pairs comes as rings that are enabled or disabled
 * while they run (vdev_queue_enabled()). The number of queues that is told is that of rings, as the protocol has it.
 *
 * A front-end's memory and log are in files that it chooses. Where it may choose one whose pages come when
 * somebody likes (FUSE, a network file system), the threads that serve it may wait for them: give such
 * front-ends threads of their own.
 */
#ifndef VDEV_VHOST_USER_H
#define VDEV_VHOST_USER_H

#include <vdev/loop.h>
#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_vhost_user;

/** Flags of vdev_vhost_user_config. */
enum vdev_vhost_user_flag {
	VDEV_VHOST_USER_CONNECT = 1, /**< connect to the path instead of listening on it */
	/** the embedder serves vdev_vhost_user_queue_task() of every queue */
	VDEV_VHOST_USER_QUEUE_TASKS = 2
};

/** How a device is to be served. Zero what is not needed. */
struct vdev_vhost_user_config {
	size_t size; /**< sizeof(struct vdev_vhost_user_config) */
	/** socket; created, and removed at the end. A socket nobody listens on is replaced. NULL: fd */
	const char *path;
	int fd;             /**< a connected or listening socket, when path is NULL; taken over */
	uint32_t flags;     /**< enum vdev_vhost_user_flag */
	uint32_t mem_slots; /**< memory regions at most; 0: 512 */
	uint32_t reserved;
	/**
	 * A connection came (up = 1), or went and nothing of it is used any more (0, with the reason).
	 * Control thread. May be NULL.
	 */
	void (*connection)(void *ctx, int up, const char *why);
	void *ctx;
};

/**
 * Serve @p v. It attaches itself to the device, which must outlive it.
 * @return 0, -EADDRINUSE (someone listens there), -ETIMEDOUT (VDEV_VHOST_USER_CONNECT: who listens takes no connection
 *         within 10 s), other -errno, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_vhost_user_new(struct vdev_vhost_user **out, const struct vdev_env *env,
                                         struct vdev *v, const struct vdev_vhost_user_config *cfg);
/** The control task: accepts, reads messages, answers. */
void vdev_vhost_user_task(struct vdev_vhost_user *vu, struct vdev_task *out);
/** The task of queue @p q, with VDEV_VHOST_USER_QUEUE_TASKS. @return 0 or VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_vhost_user_queue_task(struct vdev_vhost_user *vu, unsigned q,
                                                struct vdev_task *out);
/**
 * What was negotiated last: the features with which the latest ring started, in this connection or an
 * earlier one. Control thread.
 * @return 1, or 0 when no ring has started yet (then @p out is empty)
 */
int vdev_vhost_user_features(const struct vdev_vhost_user *vu, struct virtq_features *out);
/**
 * What was said about translated addresses (ACCESS_PLATFORM) since the back-end was made. One update may lie in 64 regions
 * of the memory table at most; others are refused.
 */
struct vdev_vhost_user_iotlb {
	uint64_t misses;      /**< translations that queues asked the front-end for */
	uint64_t updates;     /**< translations it told */
	uint64_t invalidates; /**< ranges it took back */
	uint64_t refused; /**< misses it has no translation for, or not one that allows the access */
	uint64_t evicted; /**< translations forgotten for want of room */
	uint64_t entries; /**< known now; neighbours that go on from one another are one */
	uint64_t reserved[2];
};
/** Read them. Any thread. */
void vdev_vhost_user_iotlb(struct vdev_vhost_user *vu, struct vdev_vhost_user_iotlb *out);
/**
 * For a handler of SIGBUS, which is the embedder's: a front-end that shortens the file behind its
 * memory makes accesses fail that were checked. If @p addr (siginfo_t.si_addr) lies in memory of the
 * front-end, an empty page is put there so that the access can be repeated, and control closes the
 * connection. Any thread; safe in a signal handler; not during or after vdev_vhost_user_free(). Threads
 * of this library leave SIGBUS unblocked.
 * @return 1: return from the handler; 0: none of ours, or there is no help
 */
int vdev_vhost_user_fault(struct vdev_vhost_user *vu, const void *addr);
/**
 * Close the connection and the socket, free. All its tasks must no longer be served. Drains what is
 * in flight (blocking).
 */
void vdev_vhost_user_free(struct vdev_vhost_user *vu);

#ifdef __cplusplus
}
#endif

#endif
