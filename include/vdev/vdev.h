/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A virtio device as transports and embedders see it: identity, features, status, configuration
 * space, queues. (What a device model implements is in model.h; what any device has, in
 * function.h.)
 *
 * Threads: each queue has one owner thread at a time, which calls vdev_queue_run(). Control calls
 * are made by one thread at a time, any thread. A queue with an owner (vdev_queue_set_owner()) gets
 * control operations posted: the call returns VIRTQ_EAGAIN, wakes the owner, and
 * vdev_attachment.done tells the end. A queue without one belongs to whoever calls; operations are
 * then carried out in the call as far as they can be, and everything must come from one thread at a
 * time.
 */
#ifndef VDEV_VDEV_H
#define VDEV_VDEV_H

#include <stddef.h>
#include <stdint.h>

#include <vdev/function.h>
#include <virtq/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev;

/** The device as a function: reset, quiesce, resume, memory, save, load, free. */
struct vdev_function *vdev_function(struct vdev *v);
/** Same as vdev_function_free(vdev_function(v)). */
VIRTQ_MUST_CHECK int vdev_free(struct vdev *v);

/** Device id of the standard (section 5): 2 block, 1 network, ... */
uint32_t vdev_id(const struct vdev *v);
/** How many queues the device has. */
unsigned vdev_queue_count(const struct vdev *v);
/** Largest size of queue @p q, or 0 where there is no such queue. */
uint16_t vdev_queue_max(const struct vdev *v, unsigned q);

/** What is offered: the model's features and the core's, closed under dependencies (2.2.1). */
void vdev_offered(const struct vdev *v, struct virtq_features *out);
/** Withhold bits that the transport or the embedder does not want offered. Before ACKNOWLEDGE. */
VIRTQ_MUST_CHECK int vdev_withhold(struct vdev *v, const struct virtq_features *bits);
/** What the driver wrote so far. */
void vdev_accepted(const struct vdev *v, struct virtq_features *out);
/** The driver's features. Ignored with VIRTQ_EINVAL once FEATURES_OK is set. */
VIRTQ_MUST_CHECK int vdev_accept(struct vdev *v, const struct virtq_features *features);

/** Device status as the driver reads it (2.1). Any thread. */
uint8_t vdev_status(const struct vdev *v);
/**
 * The driver writes the device status. 0 resets. FEATURES_OK does not stick when the feature set
 * can't be accepted. SUSPEND and resume are VIRTIO 1.4 section "Device Suspend".
 * @return 0; VIRTQ_EAGAIN: ::VDEV_OP_RESET or ::VDEV_OP_SUSPEND follows, and until then
 *         vdev_status() shows the old value; VIRTQ_EINVAL: the write breaks the rules and is
 *         ignored
 */
VIRTQ_MUST_CHECK int vdev_set_status(struct vdev *v, uint8_t status);

/** Configuration space (2.5): bytes outside read as 0 and ignore writes. Any one thread. @{ */
uint32_t vdev_config_len(const struct vdev *v);
void vdev_config_read(struct vdev *v, uint32_t offset, void *buf, uint32_t len);
void vdev_config_write(struct vdev *v, uint32_t offset, const void *buf, uint32_t len);
/** Changes whenever several fields changed together. */
uint32_t vdev_config_generation(const struct vdev *v);
/** @} */

/** How the driver set up a queue. */
struct vdev_queue_setup {
	struct virtq_state state; /**< addresses, size, positions */
	uint32_t flags;           /**< enum vdev_queue_flag */
	uint32_t reserved;
	uint64_t used_log; /**< with VDEV_QUEUE_USED_LOG */
	/**
	 * Where requests in flight are noted (virtq_inflight_config.region), or NULL. It must stay
	 * until the queue has stopped or was reset; requests that it lists are served first. The
	 * queue's own reset clears it. After a reset of the device, or to start a stopped queue
	 * elsewhere, whoever keeps it does so (virtq_inflight_clear()).
	 */
	void *inflight;
	size_t inflight_bytes;
	uint32_t inflight_entries;
	uint32_t reserved2;
};
/** Flags of vdev_queue_setup. */
enum vdev_queue_flag {
	VDEV_QUEUE_USED_LOG = 1 /**< used_log is a log address for the device area */
};

/**
 * Start queue @p q from @p setup. The queue begins to be served when the device is DRIVER_OK.
 * @return 0, VIRTQ_EAGAIN (posted; errors then break the queue), VIRTQ_EINVAL, VIRTQ_EBADMSG,
 *         VIRTQ_EFAULT, VIRTQ_EBUSY (started already)
 */
VIRTQ_MUST_CHECK int vdev_queue_start(struct vdev *v, unsigned q,
                                      const struct vdev_queue_setup *setup);
/** 1 when queue @p q is started (even if broken). */
int vdev_queue_started(const struct vdev *v, unsigned q);
/** 1 when queue @p q is broken. Any thread. */
int vdev_queue_broken(const struct vdev *v, unsigned q);
/**
 * A started queue that is not enabled is not served (vhost-user SET_VRING_ENABLE), or only so far
 * that nothing comes of it: a network device discards what the driver sends. Started queues are
 * enabled unless told.
 * @return 0 or VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK int vdev_queue_enable(struct vdev *v, unsigned q, int on);
/**
 * Stop queue @p q, its chains drained; broken queues too. Afterwards vdev_queue_state() tells the
 * position.
 * @return 0 (also when it is not started), or VIRTQ_EAGAIN and ::VDEV_OP_QUEUE_STOP follows
 */
VIRTQ_MUST_CHECK int vdev_queue_stop(struct vdev *v, unsigned q);
/**
 * Reset queue @p q to what it was before it was ever started (2.6.1).
 * @return 0, or VIRTQ_EAGAIN and ::VDEV_OP_QUEUE_RESET follows
 */
VIRTQ_MUST_CHECK int vdev_queue_reset(struct vdev *v, unsigned q);
/**
 * Position of a stopped queue (or of a started one while the device is quiesced). Requests in flight
 * that were taken over and not served when it was stopped are between its used and its available
 * position.
 * @return 0; VIRTQ_EBUSY: it runs, or requests that were taken over are still to be served;
 *         VIRTQ_EINVAL: there is no such queue, or its position is not known
 */
VIRTQ_MUST_CHECK int vdev_queue_state(const struct vdev *v, unsigned q, struct virtq_state *out);
/**
 * Forget translations of [@p iova, @p iova + @p len), a length of 2^64 - 1 being everything, and wait for
 * what may have been translated by them: chains that are out. Queues take new chains meanwhile, which
 * ask for the range anew. A queue whose ring lies there does not: it drains, leaves the ring alone, asks
 * where it is now, and then goes on.
 * @return 0: no chain is out that was popped before this call; VIRTQ_EAGAIN: ::VDEV_OP_INVALIDATE follows;
 *         VIRTQ_EBUSY: an earlier one has not ended
 */
VIRTQ_MUST_CHECK int vdev_invalidate(struct vdev *v, uint64_t iova, uint64_t len);
/**
 * Who translates addresses, with ACCESS_PLATFORM. Before queues are started; NULL: nobody. Called
 * on owner threads, and for receive queues of network devices by whoever delivers to them.
 */
VIRTQ_MUST_CHECK int vdev_set_xlat(struct vdev *v, const struct virtq_xlat_ops *ops);

/**
 * Translations became known, or it became known that there are none: queues that were told VIRTQ_EAGAIN
 * ask again. Any thread if the queues have owners, else the one thread; not from inside translate.
 */
void vdev_translated(struct vdev *v);

/** What a host may have to tell a device of a certain type, beside what is in the standard. */
enum vdev_notice {
	/**
	 * network: const uint8_t [6], an address. Tell the network that it is here now, as after a
	 * migration, for a driver that can't (no GUEST_ANNOUNCE)
	 */
	VDEV_NOTICE_ANNOUNCE,
	/**
	 * network: const uint16_t *, what somebody else will tell the driver the MTU is. Taken by devices
	 * that offer VIRTIO_NET_F_MTU
	 */
	VDEV_NOTICE_MTU
};
/**
 * Tell it. Control thread.
 * @param about  as said there; NULL: only ask whether the device takes such notices
 * @return 0; VIRTQ_ENOTSUP: it doesn't; VIRTQ_EINVAL: it can't live with that, and nothing changed; or
 *         what went wrong
 */
VIRTQ_MUST_CHECK int vdev_notice(struct vdev *v, enum vdev_notice what, const void *about);

/** How to wake the owner of a queue. */
struct vdev_owner {
	void (*wake)(void *ctx); /**< make the owner call vdev_queue_run() soon. Any thread */
	void *ctx;
};
/**
 * Name the owner of queue @p q (copied), or nobody (NULL). While the queue is not started, and when an
 * earlier owner has come back from the vdev_queue_run() that ended it. Waits for other threads that are
 * waking that owner at this moment (vdev_queue_kick(), vdev_translated(), a model's vdev_queue_wake() and
 * vdev_queue_coalesce()): afterwards it is not called any more. So not from inside of vdev_owner.wake.
 */
VIRTQ_MUST_CHECK int vdev_queue_set_owner(struct vdev *v, unsigned q,
                                          const struct vdev_owner *owner);

/** 1 when queue @p q has an owner. Control thread. */
int vdev_queue_owned(const struct vdev *v, unsigned q);

/**
 * The driver notified queue @p q. Counts it; wakes the owner, or serves the queue at once where
 * there is none: not without end, and completions that come later are not seen, so vdev_run() has to
 * follow now and then. Any thread if there is an owner.
 */
void vdev_queue_kick(struct vdev *v, unsigned q);
/** Count a notification that reached the owner by itself (an eventfd it polls). Owner. */
void vdev_queue_count_kick(struct vdev *v, unsigned q, uint64_t n);

/** Flags of vdev_queue_run() and vdev_run(). */
enum vdev_run_flag {
	/** before returning 0, ask driver and back-end for notifications and look once more */
	VDEV_RUN_ARM = 1
};
/**
 * Serve queue @p q: what was posted, completions of the back-end, new requests (a bounded number).
 * Owner.
 * @return 1: there is more to do now; 0: nothing to do (also when the queue is stopped or broken)
 */
VIRTQ_MUST_CHECK int vdev_queue_run(struct vdev *v, unsigned q, unsigned flags);
/**
 * When the queue wants vdev_queue_run() without any event: a time of vdev_env.now, or UINT64_MAX.
 * Owner, after run.
 */
uint64_t vdev_queue_deadline(const struct vdev *v, unsigned q);
/**
 * A file descriptor that is readable when the back-end has completions for queue @p q, or -1. Valid
 * while the queue is started. Owner.
 */
int vdev_queue_fd(const struct vdev *v, unsigned q);

/**
 * Serve all queues that have no owner once, for embedders with one thread.
 * @return 1 when there is more to do now, else 0
 */
VIRTQ_MUST_CHECK int vdev_run(struct vdev *v, unsigned flags);

/** What a queue has done since the device was created. */
struct vdev_counters {
	uint64_t requests;
	uint64_t read_bytes;      /**< device to driver */
	uint64_t written_bytes;   /**< driver to device */
	uint64_t kicks;           /**< available buffer notifications that came in */
	uint64_t interrupts;      /**< used buffer notifications sent */
	uint64_t errors;          /**< requests that ended with an error status */
	uint64_t faults;          /**< times the queue broke */
	uint64_t bursts;          /**< pops that returned at least one chain */
	uint64_t discarded_bytes; /**< discarded, erased or zeroed without payload */
	uint64_t reserved[7];
};
/** Read the counters of queue @p q. Any thread. */
void vdev_queue_counters(const struct vdev *v, unsigned q, struct vdev_counters *out);

#ifdef __cplusplus
}
#endif

#endif
