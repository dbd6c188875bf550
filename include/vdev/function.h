/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A device function: what any device has, virtio or not. Guest memory, interrupts, reset, quiesce,
 * save and load. Transports, migration and buses see a device through this; a register-level device
 * implements it directly, virtio devices do so through the virtio core (vdev.h).
 *
 * Threads: control calls are made by one thread at a time (any). What can't be done at once returns
 * VIRTQ_EAGAIN, goes on by itself, and ends with vdev_attachment.done.
 */
#ifndef VDEV_FUNCTION_H
#define VDEV_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

#include <vdev/env.h>
#include <vdev/stream.h>
#include <virtq/device.h>
#include <virtq/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Control operations that may end later. */
enum vdev_op {
	VDEV_OP_RESET,       /**< the whole device; nothing is pinned any more */
	VDEV_OP_QUIESCE,     /**< nothing is in flight, nothing will be started, state may be saved */
	VDEV_OP_RESUME,      /**< goes on after a quiesce */
	VDEV_OP_SET_MEM,     /**< the old memory map is no longer used by anything */
	VDEV_OP_QUEUE_RESET, /**< one queue (RING_RESET) */
	VDEV_OP_QUEUE_STOP,  /**< one queue; its position is kept */
	VDEV_OP_SUSPEND,     /**< device status SUSPEND */
	VDEV_OP_INVALIDATE   /**< no buffer translated by the given range is out any more */
};

/** What whoever attaches a function to the outside (a transport) provides. */
struct vdev_attachment {
	size_t size; /**< sizeof(struct vdev_attachment) */
	/**
	 * Interrupt @p n: for virtio, used buffer notification of queue n. On the queue's owner thread; for a receive queue
	 * of a network device on that of whoever delivers to it, one at a time.
	 */
	void (*interrupt)(void *ctx, unsigned n);
	/** Configuration change notification. On any thread. */
	void (*config_changed)(void *ctx);
	/**
	 * A control operation that returned VIRTQ_EAGAIN has ended, with 0 or VIRTQ_E*. On the thread
	 * that finished it (often a queue's owner). Must not call control functions from inside: note
	 * it, signal, return.
	 */
	void (*done)(void *ctx, int op, unsigned queue, int result);
	/** A queue broke. On the thread that serves it, as interrupt. NEEDS_RESET is set already. */
	void (*broken)(void *ctx, unsigned queue, const struct virtq_fault *fault);
	void *ctx;
};

/** A window of registers. */
struct vdev_region_info {
	uint64_t bytes;
	uint32_t flags; /**< 0 for now */
	uint32_t reserved;
};

struct vdev_function;

/**
 * What a kind of device implements. Const, grows at its end only; NULL where it has no such thing.
 */
struct vdev_function_ops {
	size_t size;      /**< sizeof(struct vdev_function_ops) */
	const char *name; /**< for logs and saved state, at most 15 characters */
	uint32_t state_version;
	uint32_t nregions;
	const struct vdev_region_info *regions;
	/** Back to power-on. @return 0, or VIRTQ_EAGAIN and then vdev_function_done() */
	int (*reset)(struct vdev_function *fn);
	/**
	 * Start nothing new and finish what is under way.
	 * @return 0, or VIRTQ_EAGAIN and then vdev_function_done()
	 */
	int (*quiesce)(struct vdev_function *fn);
	int (*resume)(struct vdev_function *fn);
	/** Use @p mem (reference held by the function) from now on. @return as above */
	int (*set_mem)(struct vdev_function *fn, struct virtq_mem *mem);
	/** Quiesced only. */
	int (*save)(struct vdev_function *fn, struct vdev_writer *w);
	/**
	 * Called twice with the same bytes: first @p apply = 0 to check everything and change nothing,
	 * then 1.
	 */
	int (*load)(struct vdev_function *fn, struct vdev_reader *r, uint32_t version, int apply);
	/**
	 * Register access.
	 * @return 0, VIRTQ_EINVAL, or VIRTQ_EAGAIN: hold the processor and repeat after done
	 */
	int (*access)(struct vdev_function *fn, unsigned region, int write, uint64_t offset, void *buf,
	              size_t len);
	/** Release everything. Quiesced or never started only. */
	void (*destroy)(struct vdev_function *fn);
};

/** A control operation that is under way. Private. */
struct vdev_pending {
	uint32_t on;
	uint32_t parts; /* of the call itself, of the device; pins are counted apart */
	int result;
};

/** A device function; first member of the device's own struct. Fields are private to core. */
struct vdev_function {
	const struct vdev_function_ops *ops;
	struct vdev_env env;
	struct vdev_attachment attachment;
	struct virtq_mem *mem;
	struct virtq_mem *old_mem; /* being replaced, until SET_MEM has ended */
	struct virtq_log log;
	uint32_t lock;     /* guards what follows; never held over a callback */
	uint32_t pins;     /* buffers mapped with vdev_function_map() */
	uint32_t old_pins; /* those of them that lie in old_mem */
	uint32_t active;   /* used since it was created or reset */
	uint32_t quiesced;
	struct vdev_pending pending[4]; /* RESET, QUIESCE, RESUME, SET_MEM */
	uint32_t callers; /* who is in the attachment, from any thread: it stays until they are out */
	uint32_t reserved0;
	uint64_t reserved[3];
};

/** Set up the common part. For implementers of devices. @return 0 or VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_function_init(struct vdev_function *fn,
                                        const struct vdev_function_ops *ops,
                                        const struct vdev_env *env);

/**
 * Attach to the outside; NULL detaches. Not while queues are served or control operations are under way.
 * Waits for other threads that are in config_changed or done of the attachment there was: afterwards nothing
 * of it is called any more. So not from inside of these.
 * @return 0, VIRTQ_EINVAL, VIRTQ_EBUSY
 */
VIRTQ_MUST_CHECK int vdev_function_attach(struct vdev_function *fn,
                                          const struct vdev_attachment *a);

/**
 * The switch of the dirty log; every map given to this function is tied to it by
 * vdev_function_set_mem().
 */
struct virtq_log *vdev_function_log(struct vdev_function *fn);

/**
 * Give the function guest memory, or take it away (NULL). It takes a reference and sets the map's log
 * switch to its own. What is popped or mapped from now on uses the new map.
 * @return 0; VIRTQ_EAGAIN: the old map is still pinned, ::VDEV_OP_SET_MEM follows; else nothing changed:
 *         VIRTQ_EBUSY: an earlier change has not ended; VIRTQ_EFAULT: a started ring does not lie in @p mem
 */
VIRTQ_MUST_CHECK int vdev_function_set_mem(struct vdev_function *fn, struct virtq_mem *mem);

/**
 * Reset. It overtakes whatever else is under way, which ends too; a device that is quiesced stays so.
 * @return 0, or VIRTQ_EAGAIN and ::VDEV_OP_RESET follows (once, however often it was asked for)
 */
VIRTQ_MUST_CHECK int vdev_function_reset(struct vdev_function *fn);
/**
 * Quiesce: finish what is under way and start nothing new, whatever the driver does, until resumed.
 * @return 0 (also when it is quiesced already), VIRTQ_EAGAIN and ::VDEV_OP_QUIESCE follows, or VIRTQ_EBUSY
 *         while a resume is under way
 */
VIRTQ_MUST_CHECK int vdev_function_quiesce(struct vdev_function *fn);
/**
 * Go on after a quiesce. Each queue is looked at: no notification that came meanwhile is lost.
 * @return 0 (also when it is not quiesced), VIRTQ_EAGAIN and ::VDEV_OP_RESUME follows, or VIRTQ_EBUSY while a
 *         quiesce is under way
 */
VIRTQ_MUST_CHECK int vdev_function_resume(struct vdev_function *fn);
/**
 * Save the state into a stream (docs/state-format.md) with one put. Quiesced only, else VIRTQ_EBUSY.
 * @return 0, VIRTQ_EBUSY, VIRTQ_EINVAL, VIRTQ_ENOMEM, VIRTQ_ENOTSUP (the device has no state), VIRTQ_ENOSPC
 *         (more than 16 MiB), or the stream's error
 */
VIRTQ_MUST_CHECK int vdev_function_save(struct vdev_function *fn, const struct vdev_stream *s);
/**
 * Load a state. The stream is not trusted: it is taken whole or not at all (VIRTQ_EBADMSG,
 * VIRTQ_ENOTSUP, VIRTQ_ENOMEM, or the stream's own error). The function must be quiesced, reset or never
 * started, and no queue that has an owner may be started, else VIRTQ_EBUSY; it is quiesced afterwards. A
 * queue of a state that was taken may still find no memory when it starts: it comes back broken, with
 * NEEDS_RESET, and the driver may reset.
 */
VIRTQ_MUST_CHECK int vdev_function_load(struct vdev_function *fn, const struct vdev_stream *s);
/** Register access of a register-level device; checks region and bounds. */
VIRTQ_MUST_CHECK int vdev_function_access(struct vdev_function *fn, unsigned region, int write,
                                          uint64_t offset, void *buf, size_t len);
/**
 * Destroy the device. It must be quiesced, reset, or never started, else VIRTQ_EBUSY, and no thread may be
 * serving its queues any more. NULL is fine.
 */
VIRTQ_MUST_CHECK int vdev_function_free(struct vdev_function *fn);

/** A buffer in guest memory that a register-level device holds. */
struct vdev_map {
	struct virtq_mem *mem; /**< private */
	const struct virtq_iov *iov;
	uint32_t n;
	int write; /**< private */
};

/** Map guest memory and pin it. Any thread. @return pieces, VIRTQ_EFAULT, VIRTQ_ENOSPC */
VIRTQ_MUST_CHECK int vdev_function_map(struct vdev_function *fn, uint64_t gpa, uint64_t len,
                                       int write, struct virtq_iov *iov, uint32_t max,
                                       struct vdev_map *out);
/** Mark what was mapped for writing as dirty, and unpin. Any thread. */
void vdev_function_unmap(struct vdev_function *fn, struct vdev_map *map);
/** Buffers that are mapped now. */
uint32_t vdev_function_pins(const struct vdev_function *fn);

/** Raise interrupt @p n. For implementers of devices. */
void vdev_function_interrupt(struct vdev_function *fn, unsigned n);
/** A control operation has ended. For implementers of devices. Any thread. */
void vdev_function_done(struct vdev_function *fn, int op, unsigned queue, int result);
/** Log. For implementers of devices and transports. Any thread. @p text must be constant. */
void vdev_function_log_entry(const struct vdev_function *fn, int level, int error, int queue,
                             int head, uint64_t value, const char *source, const char *text);

#ifdef __cplusplus
}
#endif

#endif
