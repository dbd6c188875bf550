/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Device side of a virtqueue, split or packed: fetch, pop, push, publish, should_interrupt, arm.
 *
 * The ring is hostile: whatever the driver can write is read once, checked, and used from the copy.
 * A driver that breaks the rules breaks the queue, which stays broken until it is set up anew;
 * nothing else happens.
 *
 * Threads: a queue has one owner at a time, and every call here is the owner's, except where it
 * says so. Memory: all of it is the caller's. Nothing is allocated, nothing is global.
 */
#ifndef VIRTQ_DEVICE_H
#define VIRTQ_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/error.h>
#include <virtq/mem.h>
#include <virtq/platform.h>
#include <virtq/state.h>
#include <virtq/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Why a queue broke. */
enum virtq_fault_reason {
	VIRTQ_FAULT_NONE,
	VIRTQ_FAULT_AVAIL_IDX,      /**< available index further ahead than the ring is long */
	VIRTQ_FAULT_HEAD,           /**< head or buffer id outside of the ring */
	VIRTQ_FAULT_DUPLICATE,      /**< head or buffer id that is still in flight */
	VIRTQ_FAULT_NEXT,           /**< next outside of the table */
	VIRTQ_FAULT_TOO_MANY,       /**< chain longer than allowed, or circular */
	VIRTQ_FAULT_TOO_LONG,       /**< more than 2^32 bytes in all */
	VIRTQ_FAULT_ORDER,          /**< readable element after a writable one */
	VIRTQ_FAULT_ADDRESS,        /**< buffer outside of guest memory */
	VIRTQ_FAULT_INDIRECT,       /**< indirect table although not negotiated */
	VIRTQ_FAULT_INDIRECT_LEN,   /**< length of an indirect table is 0, odd or above the limit */
	VIRTQ_FAULT_INDIRECT_FLAGS, /**< nested, or with NEXT, or mixed into a packed list */
	/** packed list that runs into a descriptor that is not available */
	VIRTQ_FAULT_UNAVAILABLE,
	VIRTQ_FAULT_DMA,   /**< reading or writing across the bus failed */
	VIRTQ_FAULT_RING,  /**< the ring itself is outside of guest memory */
	VIRTQ_FAULT_DEVICE /**< the device model said so, virtq_dev_break() */
};

/** What broke a queue. */
struct virtq_fault {
	uint16_t reason; /**< enum virtq_fault_reason */
	uint16_t head;   /**< head or id of the chain, where one was known, else 0xffff */
	uint16_t avail;  /**< position of the available entry */
	uint16_t reserved;
};

/**
 * A chain of descriptors that was popped: one request. First all device-readable pieces, then all
 * device-writable ones. Plain data that may be copied; the pieces are immutable, use cursors of
 * your own over them. Empty pieces are left out. Each popped chain goes back exactly once, by
 * virtq_dev_push(), virtq_dev_release() or virtq_dev_unpop(); until then it pins its memory map.
 */
struct virtq_chain {
	__extension__ union {
		const struct virtq_iov *iov; /**< mapped memory: where the pieces lie here */
		const struct virtq_seg *seg; /**< memory across a bus: their bus addresses */
	};
	uint32_t nread;       /**< readable pieces, iov[0 .. nread) */
	uint32_t nwrite;      /**< writable pieces, iov[nread .. nread + nwrite) */
	uint32_t read_bytes;  /**< sum of the readable pieces; 2^32 in all is refused */
	uint32_t write_bytes; /**< sum of the writable pieces */
	uint16_t id;          /**< head of the chain, or buffer id */
	uint16_t more;        /**< private: further places of the packed ring that it takes */
	uint32_t seq;         /**< private: order of popping, modulo 2^32 */
};

/** How to set up a queue. Zero what is not needed. */
struct virtq_dev_config {
	size_t size;                    /**< sizeof(struct virtq_dev_config) */
	struct virtq_mem *mem;          /**< guest memory; the queue takes a reference of its own */
	struct virtq_features features; /**< as negotiated; bits the ring does not know are ignored */
	struct virtq_state state;       /**< where to start */
	/** virtq_dev_bytes() bytes, aligned to 8, until virtq_dev_fini() */
	void *scratch;
	size_t scratch_bytes;
	uint32_t max_chain; /**< longest chain; the queue size where that is larger */
	uint32_t flags;     /**< enum virtq_dev_flag */
	uint64_t used_log;  /**< with VIRTQ_DEV_USED_LOG: log address of the device area */
	const struct virtq_xlat_ops *xlat; /**< with ACCESS_PLATFORM, if addresses are translated */
	/** @p xlat_entries entries (a power of two), the caller's */
	struct virtq_xlat *xlat_cache;
	uint32_t xlat_entries;
	uint32_t dma_window; /**< with dma: chains read ahead, 1 to 256; max_chain * 16 bytes each */
	const struct virtq_platform *platform; /**< NULL: coherent memory, compiler's fences */
	const struct virtq_dma *dma;           /**< memory across a bus; mem, if any, is for its log */
};

/** Flags of virtq_dev_config. */
enum virtq_dev_flag {
	VIRTQ_DEV_USED_LOG = 1, /**< used_log is set: the device area has a log address of its own */
	/** use no vector registers, though the processor has them: for who may not touch them, and for tests */
	VIRTQ_DEV_NO_WIDE = 2
};

/** Memory maps of which buffers may be out at a time, the current one included. */
#define VIRTQ_DEV_MAPS 4

/** Borders between regions that the buffers of one chain may cross, whatever the map. */
#define VIRTQ_DEV_BORDERS 32

/** Device side of a queue. Fields are private; initialise with virtq_dev_init(). */
struct virtq_dev {
	uint8_t *desc;
	uint8_t *driver;
	uint8_t *device;
	uint16_t size;
	uint16_t avail;      /* split: free-running; packed: place */
	uint16_t avail_seen; /* split: last avail->idx read */
	uint16_t used;       /* split: free-running; packed: place */
	uint16_t used_shown; /* split: used->idx in memory */
	uint16_t unsignalled;
	uint8_t packed;
	uint8_t avail_wrap;
	uint8_t used_wrap;
	uint8_t cur_map;
	uint8_t indirect;
	uint8_t event_idx;
	uint8_t in_order;
	uint8_t signalled_known;
	uint8_t armed;
	uint8_t broken;
	uint16_t held_flags; /* packed: flags of the first used descriptor, held back until publish */
	uint16_t held_place;
	uint16_t held_slots; /* packed: slots used since the last publish */
	uint8_t held;
	uint8_t used_log_set;
	uint16_t inflight;  /* chains out */
	uint16_t slots_out; /* packed: ring slots out */
	uint32_t seq;       /* of the next chain popped, free-running */
	uint32_t seq_used;  /* IN_ORDER: of the next chain to be used */
	uint32_t max_chain;
	uint32_t max_iov;
	uint8_t *owner;              /* of each head or id: 0, or whose chain is out under it */
	struct virtq_dev_done *done; /* IN_ORDER: completions held back */
	uint16_t done_mask;
	uint8_t wide;    /* packed: descriptors are looked at four at a time */
	uint8_t plain;   /* memory is mapped, and addresses are the map's own */
	uint8_t several; /* the last chain had several pieces; only a hint */
	const struct virtq_xlat_ops *xlat;
	struct virtq_xlat *xlat_cache;
	uint32_t xlat_entries;
	struct virtq_fault fault;
	const struct virtq_platform *platform;
	struct virtq_dev_dma *dma;
	struct virtq_track_calls *track; /* requests in flight are noted */
	struct {
		struct virtq_mem *mem;
		uint32_t out;
	} maps[VIRTQ_DEV_MAPS];
	uint64_t desc_addr;
	uint64_t driver_addr;
	uint64_t device_addr;
	uint64_t used_log;
};

/**
 * Bytes of scratch memory that a queue needs.
 * @param cfg  size, features, state.size, max_chain, dma and dma_window are looked at
 * @return bytes, or 0 when the configuration can't be
 */
size_t virtq_dev_bytes(const struct virtq_dev_config *cfg);

/** Set up a queue from a state. See virtq_dev_init(). */
VIRTQ_MUST_CHECK int virtq_dev_init_sized(struct virtq_dev *vq, size_t vq_size,
                                          const struct virtq_dev_config *cfg);

/**
 * Set up a queue from a state, fresh or saved: the only way in.
 *
 * Each ring part must lie whole in one region of memory, aligned (sections 2.7, 2.8), else nothing
 * is set up.
 * @return 0, VIRTQ_EINVAL (configuration), VIRTQ_EBADMSG (state), VIRTQ_EFAULT (ring outside of
 *         memory), VIRTQ_EAGAIN (translation not known yet), VIRTQ_ENOTSUP (layout left out of this
 *         build)
 */
VIRTQ_MUST_CHECK static inline int virtq_dev_init(struct virtq_dev *vq,
                                                  const struct virtq_dev_config *cfg)
{
	return virtq_dev_init_sized(vq, sizeof(*vq), cfg);
}

/**
 * Let go of the memory maps. No chain may be out, and no read across the bus under way. Afterwards
 * only virtq_dev_init() may be called.
 * @return 0, or VIRTQ_EBUSY with nothing changed
 */
VIRTQ_MUST_CHECK int virtq_dev_fini(struct virtq_dev *vq);

/**
 * Save the state. No chain may be out, everything pushed must be published, and no request of a
 * predecessor may wait to be popped again (virtq_inflight_left(); see virtq_inflight_state()).
 * @return 0, or VIRTQ_EBUSY
 */
VIRTQ_MUST_CHECK int virtq_dev_state(const struct virtq_dev *vq, struct virtq_state *out);

/** Chains that are out: popped and not yet given back. */
uint32_t virtq_dev_inflight(const struct virtq_dev *vq);

/**
 * Change to a new memory map: later pops use it, chains that are out keep theirs. The queue takes a
 * reference of @p mem and drops those of the old map when its last chain is back.
 * @return 0; VIRTQ_EFAULT when the ring does not lie in the new map; VIRTQ_EAGAIN when chains of
 *         too many maps are out (#VIRTQ_DEV_MAPS), or where the ring is translated to is not known
 *         yet; VIRTQ_EINVAL: no map, memory across a bus, or a ring that was let go of
 *         (virtq_dev_unmap()). On error nothing is changed.
 */
VIRTQ_MUST_CHECK int virtq_dev_set_mem(struct virtq_dev *vq, struct virtq_mem *mem);

/** 1 when chains popped under @p mem are still out, or it is the current map; else 0. */
int virtq_dev_uses_mem(const struct virtq_dev *vq, const struct virtq_mem *mem);

/**
 * Forget cached translations that touch [@p iova, @p iova + @p len); a length of 2^64 - 1 means all.
 * Chains that are out keep their addresses, and so does the ring: whoever tells the platform that the
 * range is free waits for the chains (virtq_dev_renew()), and lets go of a ring that lies there
 * (virtq_dev_unmap()).
 */
void virtq_dev_invalidate(struct virtq_dev *vq, uint64_t iova, uint64_t len);

/**
 * Tell the chains that are out from those that will be popped: virtq_dev_older() says when the former
 * are back. The queue goes on meanwhile.
 * @return 0; VIRTQ_EAGAIN when too many are told apart already (#VIRTQ_DEV_MAPS); VIRTQ_EINVAL for
 *         memory across a bus
 */
VIRTQ_MUST_CHECK int virtq_dev_renew(struct virtq_dev *vq);

/** 1 while a chain is out that was popped before the last virtq_dev_renew() or change of map. */
int virtq_dev_older(const struct virtq_dev *vq);

/**
 * Let go of the ring, and of the memory map if @p mem is another one: nothing of either is touched
 * until virtq_dev_remap() has found the ring again. No chain may be out and everything pushed must be
 * published. Until then pops say VIRTQ_EBROKEN, though the queue has no fault, and the position is
 * kept.
 * @param mem  the map from now on (the queue takes a reference); NULL: the same
 * @return 0, VIRTQ_EBUSY with nothing changed, VIRTQ_EINVAL for memory across a bus
 */
VIRTQ_MUST_CHECK int virtq_dev_unmap(struct virtq_dev *vq, struct virtq_mem *mem);

/**
 * Find the ring again, through translations if there are.
 * @return 0 (also when it was never let go of); VIRTQ_EAGAIN: a translation is not known yet, try
 *         again; VIRTQ_EFAULT: it is not in memory; VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int virtq_dev_remap(struct virtq_dev *vq);

/**
 * Start reading up to @p max chains. For mapped memory there is nothing to do.
 * @return 0, or VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int virtq_dev_fetch(struct virtq_dev *vq, uint32_t max);

/** A read that virtq_dma.read started has finished; @p result is 0, or < 0 if it failed. */
void virtq_dev_dma_done(struct virtq_dev *vq, uint32_t tag, int result);

/**
 * Pieces that a chain may have at most: what @p iov of virtq_dev_pop() must at least hold. It stays
 * what it was when the queue was set up, whatever its memory becomes.
 *
 * Where buffers cross borders between regions there are more pieces than descriptors. As many as
 * the map then had regions, and at least #VIRTQ_DEV_BORDERS, may do so; a chain of which more do
 * breaks the queue.
 */
uint32_t virtq_dev_max_iov(const struct virtq_dev *vq);

/**
 * Take up to @p max chains, in the order the driver made them available.
 * @param chains  receives the chains
 * @param iov     receives their pieces, packed; must outlive the chains or be copied with them. A
 *         chain that does not fit into what is left of it ends the burst.
 * @param niov    length of @p iov, at least virtq_dev_max_iov()
 * @return number of chains; 0: there are none; VIRTQ_EAGAIN: there are, but what is needed to read
 *         the first (a fetch, a translation) has not arrived; VIRTQ_EBROKEN: the queue is broken,
 *         see virtq_dev_fault() (chains before the bad one were returned by an earlier call)
 */
VIRTQ_MUST_CHECK int virtq_dev_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                                   struct virtq_iov *iov, uint32_t niov);

/**
 * virtq_dev_pop() for memory across a bus: the pieces are bus addresses, which nobody has checked. It
 * starts reading by itself where virtq_dev_fetch() has not; 0 says that there were none when the
 * ring was last looked at.
 */
VIRTQ_MUST_CHECK int virtq_dev_pop_seg(struct virtq_dev *vq, struct virtq_chain *chains,
                                       uint32_t max, struct virtq_seg *seg, uint32_t nseg);

/**
 * Give the last @p n chains that were popped back to the ring untouched; they will be popped again.
 * Only when nothing was popped since, and none of them was given back otherwise.
 * @param chains  as popped, in that order
 * @return 0, or VIRTQ_EINVAL with nothing changed
 */
VIRTQ_MUST_CHECK int virtq_dev_unpop(struct virtq_dev *vq, const struct virtq_chain *chains,
                                     uint32_t n);

/**
 * Use chains: mark what was handed out for writing as dirty and write used entries. The driver sees
 * them with the next virtq_dev_publish(). With IN_ORDER, a chain that is pushed before an older one
 * is held back here until that one has been pushed too.
 * @param written  for each chain, bytes written from the start of its writable part; all of the
 *         first that many bytes must have been written (section 2.7.8.2)
 * @return 0; VIRTQ_EINVAL with nothing changed when a chain is not out or @p written exceeds its
 *         writable part; VIRTQ_EBROKEN: the chains are given back (marked, unpinned), but the
 *         driver will not see them
 */
VIRTQ_MUST_CHECK int virtq_dev_push(struct virtq_dev *vq, const struct virtq_chain *chains,
                                    const uint32_t *written, uint32_t n);

/**
 * Give chains back without using them, because their queue is being reset: mark what was handed out
 * for writing as dirty and unpin.
 * @return 0, or VIRTQ_EINVAL with nothing changed when a chain is not out
 */
VIRTQ_MUST_CHECK int virtq_dev_release(struct virtq_dev *vq, const struct virtq_chain *chains,
                                       uint32_t n);

/** A chain of one descriptor in mapped memory. */
struct virtq_buffer {
	void *base;
	uint32_t len;
	uint32_t id; /**< head of the chain, or buffer id */
};

/**
 * The quick way for chains of one descriptor of one direction, in queues whose chains are used as soon as they are taken:
 * all that were taken are given or put back, in that order, before anything else is done with the queue. Checks, marks and
 * accounts are those of virtq_dev_pop() and virtq_dev_push(). With IN_ORDER it is closed while anything is out.
 * @param write  1: writable ones; 0: readable ones
 * @return how many; fewer than @p max: there are no more, or the next chain is not such a one, or this queue has no quick
 *         way now: ask virtq_dev_pop(), when these have been given
 */
uint32_t virtq_dev_take(struct virtq_dev *vq, struct virtq_buffer *buffers, uint32_t max,
                        int write);
/**
 * Use the first @p n of the buffers that are out; the driver sees them with the next virtq_dev_publish().
 * @param written  for each, bytes written from its start; not looked at for readable ones
 * @param write    as taken
 * @return 0; VIRTQ_EINVAL: one is not out, or is shorter than that; those before it have been given
 */
VIRTQ_MUST_CHECK int virtq_dev_give(struct virtq_dev *vq, const struct virtq_buffer *buffers,
                                    const uint32_t *written, uint32_t n, int write);
/**
 * Put the last @p n buffers that were taken back as they were.
 * @return 0, or VIRTQ_EINVAL with nothing changed
 */
VIRTQ_MUST_CHECK int virtq_dev_untake(struct virtq_dev *vq, const struct virtq_buffer *buffers,
                                      uint32_t n);

/** Show the driver everything that was pushed, with one store. Nothing pushed: nothing happens. */
void virtq_dev_publish(struct virtq_dev *vq);

/**
 * Whether the driver wants a used buffer notification for what was published since this was last
 * asked (sections 2.7.7, 2.8.10). To be asked once after each publish.
 * @return 1 or 0; across a bus also VIRTQ_EAGAIN: ask again
 */
VIRTQ_MUST_CHECK int virtq_dev_should_interrupt(struct virtq_dev *vq);

/**
 * Ask the driver for a notification of the next available buffer, then look once more.
 * @return 1: more arrived meanwhile, pop again; 0: a notification will come; across a bus also
 *         VIRTQ_EAGAIN: not known yet, call again (a notification that comes meanwhile is one that
 *         was asked for); VIRTQ_EBROKEN
 */
VIRTQ_MUST_CHECK int virtq_dev_arm(struct virtq_dev *vq);

/** Tell the driver that notifications are not needed now. A hint: it may notify all the same. */
void virtq_dev_disarm(struct virtq_dev *vq);

/**
 * What the data of a notification says (NOTIFICATION_DATA, section 2.9).
 * @return 1 when it points beyond what was popped; 0 when it says nothing new. Only a hint: the
 *         ring decides.
 */
int virtq_dev_notify_data(const struct virtq_dev *vq, uint32_t data);

/** Break the queue for a reason of the device model's. @p head is reported as is. */
void virtq_dev_break(struct virtq_dev *vq, uint16_t head);

/** Why the queue is broken. @return 1 and @p out filled (if not NULL) when it is, else 0. */
int virtq_dev_fault(const struct virtq_dev *vq, struct virtq_fault *out);

/** A short English name of a fault reason, for logs. Any thread. */
const char *virtq_fault_name(uint16_t reason);

/** Operations across the bus since the queue was set up. Zero for mapped memory. */
struct virtq_dma_count {
	uint64_t reads;
	uint64_t writes;
};

/** Read the counts of operations across the bus. */
void virtq_dev_dma_count(const struct virtq_dev *vq, struct virtq_dma_count *out);

#ifdef __cplusplus
}
#endif

#endif
