/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhost-user, front-end side: drive a virtio device that a daemon serves on a UNIX socket. For virtual
 * machine monitors whose guest uses somebody else's device, and for programs that use one themselves
 * with the driver side of libvirtq (virtq/driver.h).
 *
 * The order is: vdev_vhost_front_new() connects and asks what is offered; vdev_vhost_front_accept();
 * vdev_vhost_front_set_memory(); vdev_vhost_front_queue_start() for each queue;
 * vdev_vhost_front_set_status() with DRIVER_OK. Notifications are file descriptors.
 *
 * The back-end is not trusted: whatever it sends is checked (kind, size, flags, descriptors, values), and
 * it is given a time limit for each answer. When it breaks the rules, stays silent or goes, the
 * connection is closed and every later call says VIRTQ_EBROKEN until vdev_vhost_front_reconnect().
 * What it can do to the memory it was given, and to the descriptors, is the caller's to mind: seal
 * memory files against shrinking, lest an access here raises SIGBUS.
 *
 * Results, beside those of each call: VIRTQ_EINVAL (misuse; nothing was sent), VIRTQ_EBROKEN (the
 * connection is gone), VIRTQ_EPROTO (the back-end broke the rules), VIRTQ_EIO (it went), -ETIMEDOUT (it
 * gave no answer), #VDEV_VHOST_FRONT_REFUSED (it said no; the connection stays).
 *
 * Threads: an object belongs to one thread at a time, and calls wait for the back-end's answers, up to
 * the time limit. Only vdev_vhost_front_kick() may come from any thread, without in-band notifications.
 * The rings themselves are their owners'. No threads are made.
 *
 * Callbacks: those of the task (config_changed, call, error) are made by vdev_vhost_front_task() alone, and
 * may call everything but vdev_vhost_front_free(). The others (access_failed, gone, and the translator)
 * are made in the middle of any call that may wait, on its thread: from there whatever would have to ask the
 * back-end something says VIRTQ_EBUSY, vdev_vhost_front_reconnect() too; what tells and looks may be
 * called: vdev_vhost_front_iotlb_update(), vdev_vhost_front_kick() (not in-band),
 * vdev_vhost_front_alive() and the like. Freeing is for after the call: note that it is to be done.
 */
#ifndef VDEV_VHOST_USER_FRONT_H
#define VDEV_VHOST_USER_FRONT_H

#include <vdev/env.h>
#include <vdev/loop.h>
#include <virtq/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_vhost_front;

/** The back-end said no to a request. The value is that of -EREMOTEIO on Linux. */
#define VDEV_VHOST_FRONT_REFUSED (-121)

/** Bits of the protocol's own features that are known here; numbers are the protocol's. */
enum vdev_vhost_front_protocol {
	VDEV_VHOST_FRONT_MQ = 0,
	VDEV_VHOST_FRONT_LOG_SHMFD = 1,
	VDEV_VHOST_FRONT_RARP = 2,
	VDEV_VHOST_FRONT_REPLY_ACK = 3,
	VDEV_VHOST_FRONT_NET_MTU = 4,
	VDEV_VHOST_FRONT_BACKEND_REQ = 5,
	VDEV_VHOST_FRONT_CONFIG = 9,
	VDEV_VHOST_FRONT_INFLIGHT_SHMFD = 12,
	VDEV_VHOST_FRONT_RESET_DEVICE = 13,
	VDEV_VHOST_FRONT_INBAND = 14, /**< notifications as messages; needs REPLY_ACK and BACKEND_REQ */
	VDEV_VHOST_FRONT_MEM_SLOTS = 15,
	VDEV_VHOST_FRONT_STATUS = 16
};

/** What the caller wants to hear; see Callbacks above. Every member may be NULL. */
struct vdev_vhost_front_ops {
	size_t size; /**< sizeof(struct vdev_vhost_front_ops) */
	/** The configuration space changed (section 2.5). */
	void (*config_changed)(void *ctx);
	/** In-band used buffer notification of queue @p q; its call descriptor was made readable too. */
	void (*call)(void *ctx, unsigned q);
	/** In-band error of queue @p q; its error descriptor was made readable too. */
	void (*error)(void *ctx, unsigned q);
	/**
	 * The back-end was not allowed to access @p iova (IOTLB access failure). @p perm: bit 0 read, bit 1
	 * write.
	 */
	void (*access_failed)(void *ctx, uint64_t iova, unsigned perm);
	/**
	 * The connection was closed: result as above, and why, in one line of plain English. Not told for
	 * vdev_vhost_front_new() and vdev_vhost_front_reconnect(), whose results say it.
	 */
	void (*gone)(void *ctx, int result, const char *why);
};

/** Flags of vdev_vhost_front_config. */
enum vdev_vhost_front_flag {
	VDEV_VHOST_FRONT_WANT_INBAND = 1 /**< negotiate in-band notifications if they are offered */
};

/** How to connect. Zero what is not needed. */
struct vdev_vhost_front_config {
	size_t size;      /**< sizeof(struct vdev_vhost_front_config) */
	const char *path; /**< socket to connect to; copied. NULL: fd */
	int fd;           /**< a connected socket, when path is NULL; taken over on success */
	uint32_t flags;   /**< enum vdev_vhost_front_flag */
	unsigned queues;  /**< of the device, 1 to 256 */
	/** milliseconds for the connection to be taken, and for each answer; 0: 10 s */
	uint32_t timeout_ms;
	/** protocol features not to negotiate, bits (1 << enum vdev_vhost_front_protocol) */
	uint64_t withhold;
	const struct vdev_vhost_front_ops *ops; /**< NULL: none. Must live as long as the object */
	/**
	 * Who knows translations, with ACCESS_PLATFORM: asked when the back-end misses one, and for the
	 * addresses of rings; the table of vdev_vhost_front_set_table() comes first. VIRTQ_EAGAIN from
	 * translate: vdev_vhost_front_iotlb_update() will follow. NULL: the table alone.
	 */
	const struct virtq_xlat_ops *xlat;
	void *ctx; /**< for ops */
};

/**
 * Connect; claim the device, ask for its features, negotiate protocol features, open the back-end's
 * channel.
 * @return 0; -ENOENT, -ECONNREFUSED and other -errno of connecting, -ETIMEDOUT when who listens does not take the
 *         connection; results as above; VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_new(struct vdev_vhost_front **out, const struct vdev_env *env,
                                          const struct vdev_vhost_front_config *cfg);
/**
 * Close the connection, free. Queues that are started are not stopped: the back-end may be in the middle
 * of them until it notices. NULL is ignored.
 */
void vdev_vhost_front_free(struct vdev_vhost_front *f);

/**
 * The task of the connection: reads what the back-end says of its own accord, and notices when it goes.
 * Its descriptor stays the same over reconnections; the task does not end by itself.
 */
void vdev_vhost_front_task(struct vdev_vhost_front *f, struct vdev_task *out);

/** 1 while the connection is good, else 0. */
int vdev_vhost_front_alive(const struct vdev_vhost_front *f);
/** Why the connection was closed, "" when it was not. Valid until the next call. */
const char *vdev_vhost_front_why(const struct vdev_vhost_front *f);

/** What the back-end offers, the protocol's own bits (26, 30) left out. Words above 0 are empty. */
void vdev_vhost_front_offered(const struct vdev_vhost_front *f, struct virtq_features *out);
/** Protocol features in use, bits (1 << enum vdev_vhost_front_protocol). */
uint64_t vdev_vhost_front_protocol(const struct vdev_vhost_front *f);
/**
 * How many queues the back-end says it has, at most 256; 0 when it does not say (no MQ). For a network
 * device that is often the number of queue pairs.
 */
unsigned vdev_vhost_front_queue_num(const struct vdev_vhost_front *f);

/**
 * Accept features: those of @p features that are offered and can be carried (bits 0 to 63; ACCESS_PLATFORM
 * needs REPLY_ACK and BACKEND_REQ). Where STATUS is negotiated, device status goes through ACKNOWLEDGE
 * and DRIVER to FEATURES_OK, which must stick (section 3.1.1). Once, until vdev_vhost_front_reset().
 * @param features  in: wanted; out: accepted
 * @return 0, VIRTQ_ENOTSUP (FEATURES_OK did not stick), VIRTQ_EBUSY (accepted already), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_accept(struct vdev_vhost_front *f,
                                             struct virtq_features *features);

/** A stretch of memory that the back-end may access. */
struct vdev_vhost_front_region {
	uint64_t gpa;    /**< guest address of the first byte */
	uint64_t len;    /**< bytes, not 0 */
	void *host;      /**< where the first byte lies here */
	int fd;          /**< the file, duplicated */
	int reserved;    /**< 0 */
	uint64_t offset; /**< of the first byte in the file */
};

/**
 * Name all memory of the device: at first, and whenever it changes. Where memory slots are negotiated
 * only what went and what came is told, removals first; otherwise the whole table is, at most 8 regions.
 * A removal is answered when the back-end no longer touches the region.
 * @param regions  @p n of them in any order, no two of which overlap, neither by guest address nor here
 * @return 0; VIRTQ_ENOSPC: more regions than the back-end has slots for; or as above. When a region was
 *         refused, the others before it have been told; calling again goes on from there.
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_set_memory(struct vdev_vhost_front *f,
                                                 const struct vdev_vhost_front_region *regions,
                                                 unsigned n);

/** Flags of vdev_vhost_front_queue. */
enum vdev_vhost_front_queue_flag {
	VDEV_VHOST_FRONT_OWN_FDS = 1, /**< kick_fd and call_fd are the caller's, and are duplicated */
	VDEV_VHOST_FRONT_NO_KICK = 2, /**< no kicks will come: the back-end has to poll the ring */
	VDEV_VHOST_FRONT_NO_CALL = 4, /**< the caller polls the ring: no used buffer notifications */
	VDEV_VHOST_FRONT_DISABLED = 8 /**< start, but do not enable */
};

/** How to start a queue. Zero what is not needed. */
struct vdev_vhost_front_queue {
	size_t size; /**< sizeof(struct vdev_vhost_front_queue) */
	/**
	 * Where the ring is and at which position it begins: from virtq_drv_state() for a fresh ring, or
	 * with the positions that vdev_vhost_front_queue_stop() told.
	 */
	struct virtq_state state;
	uint32_t flags; /**< enum vdev_vhost_front_queue_flag */
	int kick_fd;    /**< eventfd, with VDEV_VHOST_FRONT_OWN_FDS */
	int call_fd;    /**< eventfd, with VDEV_VHOST_FRONT_OWN_FDS */
	int reserved;
	/**
	 * The driver side, if it is libvirtq's: positions the back-end tells are compared with it, and after
	 * a reconnection it says where the ring goes on. Looked at from inside stop and reconnect alone,
	 * where its owner has to keep still. NULL: somebody else's (a guest's).
	 */
	struct virtq_drv *drv;
	/** log address of the device area, if it lies outside of memory (VRING_ADDR's log); 0: state.device */
	uint64_t used_log;
};

/**
 * Start queue @p q (section 3.1.1, step 7): size, base, addresses, descriptors, enable, and a first kick
 * so that the back-end begins. After vdev_vhost_front_accept() and vdev_vhost_front_set_memory(). After
 * an error the queue and its descriptors are as before, and it runs nowhere. With an in-flight area it may
 * not be larger than that was asked for; what the area says of the queue is forgotten unless the queue goes
 * on where it stopped.
 * @return 0, VIRTQ_EBUSY (started already), VIRTQ_EFAULT (the ring is not in memory), VIRTQ_EBADMSG (the
 *         state contradicts itself), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_queue_start(struct vdev_vhost_front *f, unsigned q,
                                                  const struct vdev_vhost_front_queue *setup);
/**
 * Stop queue @p q. When this returns 0 the back-end no longer touches its ring nor the buffers in it.
 * @param out  receives the state to start it again with; may be NULL
 * @return 0, VIRTQ_EBUSY (not started), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_queue_stop(struct vdev_vhost_front *f, unsigned q,
                                                 struct virtq_state *out);
/** Enable or disable a queue that is started. @return 0, VIRTQ_EBUSY (not started), or as above */
VIRTQ_MUST_CHECK int vdev_vhost_front_queue_enable(struct vdev_vhost_front *f, unsigned q, int on);
/** 1 while queue @p q is started. */
int vdev_vhost_front_queue_started(const struct vdev_vhost_front *f, unsigned q);
/**
 * Notify the back-end of available buffers (section 2.7.13). With in-band notifications this is a message,
 * and the object's thread's to send; otherwise any thread may call at any time, but while the queue is
 * started with descriptors of the caller's. It never waits then, whatever the back-end does to them.
 * @return 0 or as above; with descriptors always 0
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_kick(struct vdev_vhost_front *f, unsigned q);
/**
 * Descriptors of queue @p q: write 8 bytes to kick; readable after a used buffer notification; readable
 * after an error of the queue. They stay open, and the same, until the object is freed or the queue is
 * started with others. The back-end holds them too, and can make them block: read with preadv2() and
 * RWF_NOWAIT, and rather than writing call vdev_vhost_front_kick(). @return the descriptor; -1: no such queue @{
 */
int vdev_vhost_front_kick_fd(const struct vdev_vhost_front *f, unsigned q);
int vdev_vhost_front_call_fd(const struct vdev_vhost_front *f, unsigned q);
int vdev_vhost_front_err_fd(const struct vdev_vhost_front *f, unsigned q);
/** @} */

/**
 * Read or write configuration space (section 2.5), at most 256 bytes in all. Needs CONFIG.
 * @return 0, VIRTQ_ENOTSUP (not negotiated), VDEV_VHOST_FRONT_REFUSED, or as above @{
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_config_read(struct vdev_vhost_front *f, uint32_t offset,
                                                  void *buf, uint32_t len);
VIRTQ_MUST_CHECK int vdev_vhost_front_config_write(struct vdev_vhost_front *f, uint32_t offset,
                                                   const void *buf, uint32_t len);
/** @} */

/**
 * Device status (section 2.1). Without STATUS the back-end hears nothing of it and what was set is read.
 * Setting 0 resets the device as vdev_vhost_front_reset() does.
 * @return 0 (get: the status), or as above @{
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_set_status(struct vdev_vhost_front *f, uint8_t status);
VIRTQ_MUST_CHECK int vdev_vhost_front_status(struct vdev_vhost_front *f);
/** @} */
/**
 * Reset the device (section 2.4): RESET_DEVICE, else status 0, else every started queue is stopped.
 * Afterwards no queue is started, and features are to be accepted again. Memory and the log stay; the in-flight area
 * is given up: where one is wanted, ask for it anew.
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_reset(struct vdev_vhost_front *f);

/**
 * Tell the back-end of a network device the MTU that the driver is told (1 to 65535); again after a
 * reconnection. Before queues are started. Needs NET_MTU, and VIRTIO_NET_F_MTU offered.
 * @return 0, VIRTQ_ENOTSUP, VDEV_VHOST_FRONT_REFUSED: it can't live with that (said with REPLY_ACK;
 *         without, the connection ends), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_set_mtu(struct vdev_vhost_front *f, uint16_t mtu);
/**
 * Have the back-end of a network device tell the network that @p mac is here now, as after a migration of
 * a driver that can't (no GUEST_ANNOUNCE). Needs RARP.
 * @return 0, VIRTQ_ENOTSUP, VDEV_VHOST_FRONT_REFUSED, or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_announce(struct vdev_vhost_front *f, const uint8_t mac[6]);

/**
 * Let the back-end keep, in memory that is shared with us, which buffers it has in flight, so that a
 * successor can go on with them. Before queues are started. Needs INFLIGHT_SHMFD. The area is kept here
 * and given to the next back-end by vdev_vhost_front_reconnect(). It has to be in memory (a memfd), since
 * reading it must not wait for anybody.
 * @param queue_size  of the largest queue
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_inflight(struct vdev_vhost_front *f, uint16_t queue_size);

/**
 * Where the back-end marks the pages it writes: @p bytes of @p fd (not kept) from @p offset, one bit for
 * each 4096 bytes from guest address 0. Needs LOG_SHMFD.
 * @param event_fd  eventfd that the back-end signals when it has marked something, or -1
 * @return 0, VIRTQ_ENOTSUP, VDEV_VHOST_FRONT_REFUSED (it has the log of before again, if there was one), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_set_log(struct vdev_vhost_front *f, int fd, uint64_t offset,
                                              uint64_t bytes, int event_fd);
/** Turn marking on or off, for buffers and used rings. After vdev_vhost_front_set_log(). */
VIRTQ_MUST_CHECK int vdev_vhost_front_logging(struct vdev_vhost_front *f, int on);

/**
 * Translations that are always there: @p n entries sorted by iova, which do not overlap. The table stays
 * the caller's and must not change until the next call. Nothing is sent: back-ends ask for what they need.
 * Take entries out with vdev_vhost_front_iotlb_invalidate() after this call.
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_set_table(struct vdev_vhost_front *f,
                                                const struct virtq_xlat *table, unsigned n);
/**
 * Tell the back-end a translation, in answer to a miss or beforehand. The memory must be in one region.
 * May be called from callbacks. @return 0, VIRTQ_EFAULT (not in memory), VIRTQ_ENOTSUP (no
 * ACCESS_PLATFORM), or as above
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_iotlb_update(struct vdev_vhost_front *f,
                                                   const struct virtq_xlat *entry);
/**
 * Take translations of [@p iova, @p iova + @p len) back. When this returns 0 the back-end no longer uses
 * any of them. Not from callbacks. @return as vdev_vhost_front_iotlb_update(); VIRTQ_EBUSY: from a callback
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_iotlb_invalidate(struct vdev_vhost_front *f, uint64_t iova,
                                                       uint64_t len);

/**
 * Connect again, when the back-end that has the rings has ended, or when it is the one connected to again. Before
 * turning to another one while it lives, stop the queues: else both work on the rings.
 *
 * The same features and protocol features are negotiated, and everything that was told is told again: memory,
 * in-flight area, log, queues, status. Each queue that was started goes on at the right place: a split ring after its
 * used index, a packed one where its driver side or the in-flight area says; every queue is kicked, and its call
 * descriptor made readable once. Without an in-flight area buffers that were out are carried out again, from their beginning; see
 * virtq_drv_rewind(), which is called for queues with a driver side. Take all used buffers before. A guest's split
 * ring (no driver side) goes on at its used index: without an in-flight area that is right only for a device that uses
 * buffers in the order in which they were made available; have an area for others.
 * @param fd  a connected socket, which is taken over on success; -1: connect to the path
 * @return 0; VIRTQ_ENOTSUP: the back-end offers less than before; -ENOENT, -ECONNREFUSED, ...: nobody
 *         listens; VIRTQ_EAGAIN: a queue has used buffers that were not taken; VIRTQ_EBUSY: where a packed ring
 *         goes on is not known (no in-flight area): detach its buffers, forget the queue and try again;
 *         VIRTQ_EBROKEN: a queue's driver side is broken: likewise; VIRTQ_EFAULT: a guest's ring is no longer in
 *         memory; else as vdev_vhost_front_new() and the calls whose doing is told again. After any error the
 *         connection is closed and nothing is forgotten: call again.
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_reconnect(struct vdev_vhost_front *f, int fd);
/**
 * Forget, while there is no connection, that queue @p q was started, and what the in-flight area says of it:
 * it can be started afresh after vdev_vhost_front_reconnect(). @return 0, or VIRTQ_EBUSY (there is a connection)
 */
VIRTQ_MUST_CHECK int vdev_vhost_front_queue_forget(struct vdev_vhost_front *f, unsigned q);

#ifdef __cplusplus
}
#endif

#endif
