/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a virtio device model implements, and what the core offers it. A model knows requests: it
 * sees chains and completes them; rings, notifications, status, dirty marking, draining and
 * transports are the core's.
 */
#ifndef VDEV_MODEL_H
#define VDEV_MODEL_H

#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_queue;

/** Most chains in one burst given to vdev_model_ops.process. */
#define VDEV_BURST 16

/** Most buffers in one burst given to vdev_model_ops.process_buffers. */
#define VDEV_BUFFERS 32

struct vdev_done;

/** A device model's operations. Const, grows at its end only; optional ones may be NULL. */
struct vdev_model_ops {
	size_t size;      /**< sizeof(struct vdev_model_ops) */
	const char *name; /**< at most 15 characters */
	uint32_t device_id;
	uint32_t state_version;
	/**
	 * Requests have come. Owner thread. Chains and their pieces are the core's and valid only
	 * during the call; what is to be completed later must be copied, pieces too. Every chain that
	 * is taken is completed exactly once by vdev_queue_complete(), here or later on this thread.
	 * @return how many were taken, from the first on. The rest go back to the ring and come again
	 *         after vdev_queue_wake(), at the deadline, or after the next completion; one from inside
	 *         of this call is none of these.
	 */
	uint32_t (*process)(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
	                    uint32_t n);
	/**
	 * Reap the back-end's completions. Owner thread.
	 * @return 1: there may be more; 0: none. Optional.
	 */
	int (*poll)(void *model, struct vdev_queue *q);
	/**
	 * Make the back-end's fd readable at the next completion.
	 * @return 1: there is one already. Optional.
	 */
	int (*arm)(void *model, struct vdev_queue *q);
	/** Back-end's fd for this queue, or -1. Optional. */
	int (*fd)(void *model, struct vdev_queue *q);
	/** When requests that were not taken should be offered again. Optional. */
	uint64_t (*deadline)(void *model, struct vdev_queue *q);
	/** A queue starts or has ended (nothing of it is out). Owner thread. Optional. @{ */
	int (*queue_start)(void *model, struct vdev_queue *q);
	void (*queue_end)(void *model, struct vdev_queue *q);
	/** @} */
	/**
	 * The queue is being stopped, paused or reset (@p cancel): finish what is out soon; with
	 * @p cancel, results do not matter. process is not called until that has ended, unless it is
	 * about translations (vdev_invalidate()), which later chains do not use. The core waits until
	 * all chains are completed. May come again, with @p cancel. Owner thread. Optional.
	 */
	void (*queue_drain)(void *model, struct vdev_queue *q, int cancel);
	/**
	 * Whether the driver's choice is acceptable, beyond dependencies. Called at FEATURES_OK, and for a state that
	 * may be loaded: changes nothing.
	 * @return 1 or 0. Optional.
	 */
	int (*features_ok)(void *model, const struct virtq_features *accepted);
	/** The device has been reset; all queues have ended. Perhaps never started. Any thread. Optional. */
	void (*reset)(void *model);
	/** DRIVER_OK was set, or a device whose saved state says so is resumed. Control thread. Optional. */
	void (*started)(void *model);
	/**
	 * The driver wrote @p len bytes of configuration at @p offset; only writable bytes were taken.
	 * Optional.
	 */
	void (*config_written)(void *model, uint32_t offset, uint32_t len);
	/**
	 * State that the core does not know. Quiesced. As in vdev_function_ops. The configuration space
	 * is the core's and is restored as the source had it: what the model can't live up to, load
	 * refuses. Optional. @{
	 */
	int (*save)(void *model, struct vdev_writer *w);
	int (*load)(void *model, struct vdev_reader *r, uint32_t version, int apply);
	/** @} */
	/** Release the model. */
	void (*destroy)(void *model);
	/**
	 * The host has something to tell that is not in the standard: vdev_notice(). @p about NULL: only
	 * asks whether the model takes such notices. Control thread. Optional.
	 * @return 0; VIRTQ_ENOTSUP: not one for this device as it is; VIRTQ_EINVAL: the device can't live
	 *         with it, and nothing has changed
	 */
	int (*notice)(void *model, enum vdev_notice what, const void *about);
	/**
	 * Requests have come that are a readable buffer each, in a queue of which vdev_queue_buffers() was said: the quick
	 * way. All that is taken is used by this call, with nothing written. Owner thread.
	 * @param sum  payload of those that were taken, and in error how many of them ended with one; zero before
	 * @return how many were taken, as with process
	 */
	uint32_t (*process_buffers)(void *model, struct vdev_queue *q,
	                            const struct virtq_buffer *buffers, uint32_t n,
	                            struct vdev_done *sum);
	/**
	 * The driver's choice is accepted, and FEATURES_OK is about to be shown. Not for a state that is loaded: its
	 * configuration space has what was done then. Control thread. Optional.
	 */
	void (*negotiated)(void *model);
};

/** What a new device is made from. Zero what is not needed. */
struct vdev_model {
	size_t size; /**< sizeof(struct vdev_model) */
	const struct vdev_model_ops *ops;
	void *model;
	/** the device type's own bits; the core adds those of the ring */
	struct virtq_features features;
	uint32_t nqueues;
	/** largest size of each queue; the packed ring may use any up to it */
	uint16_t queue_max;
	uint16_t reserved;
	uint32_t max_chain;  /**< longest chain that the configuration promises, or 0 */
	uint32_t config_len; /**< bytes, at most 4096 */
	const void *config;  /**< initial configuration space; copied */
	/** for each byte, which bits the driver may write; NULL: none. Copied */
	const uint8_t *config_mask;
	uint32_t flags; /**< enum vdev_model_flag */
	uint32_t reserved2;
};

/** Flags of vdev_model. */
enum vdev_model_flag {
	VDEV_MODEL_SHARED = 1, /**< queues may be entered by other threads: vdev_queue_enter() */
	/**
	 * queues that are not enabled are served all the same, and the model looks at vdev_queue_enabled():
	 * a network device receives nothing there, and discards what the driver sends
	 */
	VDEV_MODEL_DISABLED_TOO = 2
};

/**
 * Create a device.
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM; on an error the model is not destroyed
 */
VIRTQ_MUST_CHECK int vdev_new(struct vdev **out, const struct vdev_env *env,
                              const struct vdev_model *m);

/** The model behind a device, when @p ops are its operations; else NULL. */
void *vdev_model_of(struct vdev *v, const struct vdev_model_ops *ops);

/** The device, index, and a place for the model's own pointer of a queue. @{ */
struct vdev *vdev_queue_device(struct vdev_queue *q);
unsigned vdev_queue_index(const struct vdev_queue *q);
void vdev_queue_set_priv(struct vdev_queue *q, void *priv);
void *vdev_queue_priv(const struct vdev_queue *q);
/** @} */
/**
 * Size of the queue as the driver set it, and pieces of its longest chain. Owner thread, in or
 * after queue_start. @{
 */
uint16_t vdev_queue_size(const struct vdev_queue *q);
uint32_t vdev_queue_max_pieces(const struct vdev_queue *q);
/** @} */

/** How a request ended, for the counters. */
struct vdev_done {
	uint32_t written;       /**< bytes written from the start of the writable part (used length) */
	uint32_t error;         /**< 1: ended with an error status */
	uint64_t read_bytes;    /**< payload, device to driver */
	uint64_t written_bytes; /**< payload, driver to device */
	uint64_t discarded_bytes; /**< discarded, erased or zeroed without payload */
};
/** Complete a request: its used entry is shown at the end of the run. Owner thread. */
void vdev_queue_complete(struct vdev_queue *q, const struct virtq_chain *chain,
                         const struct vdev_done *done);
/**
 * Complete @p n requests, neighbours among the chains that process was given.
 * @param written  for each, bytes written from the start of its writable part
 * @param sum      their payload in all, and in error how many ended with an error status; its
 *         written is not looked at
 */
void vdev_queue_complete_burst(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n,
                               const uint32_t *written, const struct vdev_done *sum);
/**
 * Break the queue because of this chain (completed by this call): for what can't be answered in the
 * protocol. Owner thread.
 */
void vdev_queue_fault(struct vdev_queue *q, const struct virtq_chain *chain, const char *why);
/** Have process and poll called again soon. Any thread. */
void vdev_queue_wake(struct vdev_queue *q);
/**
 * Hold notifications of used entries back, until there are @p max_packets that the driver has not been notified of (the
 * queue's size at most), or the first of them is @p max_ns old. Then the driver is notified if it wants that, as
 * ever. Nothing is held back when the queue is drained, stopped, paused or reset. It stays so for a queue that is stopped
 * and started again, until the queue or the device is reset. Any thread; soon in effect.
 * @param max_packets  requests; 0, or a @p max_ns of 0: nothing is held back, and what was is sent
 * @return 0, or VIRTQ_ENOTSUP: there is no vdev_env.now
 */
VIRTQ_MUST_CHECK int vdev_queue_coalesce(struct vdev_queue *q, uint32_t max_packets,
                                         uint64_t max_ns);
/** 1 unless the queue was disabled (vdev_queue_enable()). Any thread; may change at any time. */
int vdev_queue_enabled(const struct vdev_queue *q);
/**
 * 1: new work may be begun: the driver is ready, the device neither quiesced nor suspended, the queue enabled. A model that
 * does something by itself in poll asks this first. It says nothing of a queue that is broken or ending. Any thread; may
 * change at any time, and the owner is woken when it becomes 1.
 */
int vdev_queue_open(const struct vdev_queue *q);
/** In queue_start: readable chains of one descriptor are for vdev_model_ops.process_buffers. */
void vdev_queue_buffers(struct vdev_queue *q);
/** Chains of the queue that are out. Owner thread. */
uint32_t vdev_queue_inflight(const struct vdev_queue *q);

/**
 * Supplies: queues whose chains are not requests but buffers, which the model takes when it has something to put into them.
 * In queue_start the model says that a queue is one; process is then not called for it. Chains are taken and given back by
 * whoever is in the queue: the owner, in poll, or any thread that entered it (of a model with ::VDEV_MODEL_SHARED). None is
 * kept when that ends. The driver is asked for notifications only where poll found nothing to take in a run that is to ask
 * (::VDEV_RUN_ARM); whoever enters looks again by itself. @{
 */
void vdev_queue_supply(struct vdev_queue *q);
/**
 * Enter a queue of a started or stopped device. Any thread that is not in it. Never waits.
 * @return 1: nobody else is in it until vdev_queue_leave(); 0: somebody is, or wants to be: try again or give up;
 *         VIRTQ_ECANCELED: the queue is not set up, and it was not entered
 */
VIRTQ_MUST_CHECK int vdev_queue_enter(struct vdev_queue *q);
/** Show the driver what was given, notify it if it wants that, and leave. Same thread. */
void vdev_queue_leave(struct vdev_queue *q);
/**
 * Take up to @p max chains with their pieces, as in virtq_dev_pop(); @p niov at least vdev_queue_max_pieces().
 * @return how many; 0: there are none now; VIRTQ_ECANCELED: the queue is not served now; VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int vdev_queue_take(struct vdev_queue *q, struct virtq_chain *chains, uint32_t max,
                                     struct virtq_iov *iov, uint32_t niov);
/**
 * Give chains to the driver, in any order; it sees all of them at once, when the queue is left or the poll has ended.
 * @param written  for each, bytes written from the start of its writable part
 * @param sum      payload in all, for the counters
 */
void vdev_queue_give(struct vdev_queue *q, const struct virtq_chain *chains,
                     const uint32_t *written, uint32_t n, const struct vdev_done *sum);
/** Put the last @p n chains that were taken back as they were: they are taken again first. */
void vdev_queue_put_back(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n);
/**
 * The same for writable buffers (virtq_dev_take()): all that were taken are given or put back before anything else is done
 * with the queue. Where none is got, vdev_queue_take() says why. @{
 */
VIRTQ_MUST_CHECK uint32_t vdev_queue_take_buffers(struct vdev_queue *q,
                                                  struct virtq_buffer *buffers, uint32_t max);
void vdev_queue_give_buffers(struct vdev_queue *q, const struct virtq_buffer *buffers,
                             const uint32_t *written, uint32_t n, const struct vdev_done *sum);
void vdev_queue_put_back_buffers(struct vdev_queue *q, const struct virtq_buffer *buffers,
                                 uint32_t n);
/** @} */
/** @} */

/** Negotiated features. Constant from FEATURES_OK to reset. */
int vdev_has(const struct vdev *v, unsigned bit);
/**
 * Change configuration space, count the generation up and notify the driver (held back while
 * suspended). Any one thread.
 */
void vdev_config_update(struct vdev *v, uint32_t offset, const void *bytes, uint32_t len);
/** The device as a whole failed: DEVICE_NEEDS_RESET and a notification. Any thread. */
void vdev_needs_reset(struct vdev *v);
/** The environment the device was made with. */
const struct vdev_env *vdev_env(const struct vdev *v);

/** Copy out of the readable part of a chain, from byte @p offset. @return bytes copied */
size_t vdev_chain_read(const struct virtq_chain *c, uint64_t offset, void *dst, size_t len);
/** Copy into the writable part of a chain, from byte @p offset. @return bytes copied */
size_t vdev_chain_write(const struct virtq_chain *c, uint64_t offset, const void *src, size_t len);
/**
 * The pieces of [@p offset, @p offset + @p len) of the readable (@p write = 0) or writable part.
 * @return pieces, or VIRTQ_ENOSPC, or VIRTQ_EINVAL when the part is shorter
 */
VIRTQ_MUST_CHECK int vdev_chain_slice(const struct virtq_chain *c, int write, uint64_t offset,
                                      uint64_t len, struct virtq_iov *out, uint32_t max);

#ifdef __cplusplus
}
#endif

#endif
