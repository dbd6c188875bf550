/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Guest memory: an immutable, counted snapshot of which guest addresses lie where in ours.
 *
 * A map never changes. To change memory, make a new map and hand it to the queues; the old one is
 * released when the last buffer that was translated with it has been given back. Every access goes
 * through (address, length) pairs that are checked as one: sums that wrap, gaps, ends of regions,
 * read-only regions.
 */
#ifndef VIRTQ_MEM_H
#define VIRTQ_MEM_H

#include <stddef.h>
#include <stdint.h>

#include <virtq/dirty.h>
#include <virtq/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of a region. */
enum virtq_region_flag {
	VIRTQ_REGION_READONLY = 1, /**< the device may only read it (ROM) */
	VIRTQ_REGION_LOG = 2       /**< virtq_region.log is set; otherwise the log address is the gpa */
};

/** One stretch of guest memory. */
struct virtq_region {
	uint64_t gpa;   /**< guest address of the first byte */
	uint64_t len;   /**< bytes, not 0; gpa + len may be 2^64 at most */
	void *host;     /**< where the first byte lies here */
	uint32_t flags; /**< enum virtq_region_flag */
	uint32_t reserved;
	uint64_t log; /**< log address of the first byte, with VIRTQ_REGION_LOG */
};

/** A piece of memory here; laid out as POSIX struct iovec. */
struct virtq_iov {
	void *base;
	size_t len;
};

/** A piece of memory by its guest (or bus) address. */
struct virtq_seg {
	uint64_t addr;
	uint64_t len;
};

struct virtq_mem;
/** Called once, by whoever drops the last reference, on that thread. */
typedef void (*virtq_mem_release_fn)(struct virtq_mem *mem, void *ctx);

/** Slots of the index of a map's regions; 32-bit machines go without. */
#if UINTPTR_MAX > UINT32_MAX
#define VIRTQ_MEM_INDEX 16
#else
#define VIRTQ_MEM_INDEX 0
#endif

/** A slot of the index: a region to try first for some addresses, perhaps none. Private. */
struct virtq_mem_slot {
	uint64_t end;   /* gpa after its last byte, modulo 2^64 */
	uint64_t len;   /* 0: none */
	uintptr_t host; /* host address of its first byte, less its gpa */
	uint64_t reserved;
};

/** A memory map. Fields are private; initialise with virtq_mem_init(). */
struct virtq_mem {
	const struct virtq_region *regions;
	uint32_t count;
	uint32_t refs;
	uint32_t index_shift;
	uint32_t reserved;
#if VIRTQ_MEM_INDEX > 0
	struct virtq_mem_slot index[VIRTQ_MEM_INDEX]; /* by VIRTQ_MEM_INDEX's worth of address bits */
#endif
	struct virtq_log *log;
	virtq_mem_release_fn release;
	void *ctx;
};

/**
 * Set up a map with one reference, the caller's.
 * @param regions  sorted by gpa, not overlapping, each not empty; stays the caller's and must not
 *         change until the map is released. @p n may be 0: a map of nothing.
 * @return 0, or VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK int virtq_mem_init(struct virtq_mem *mem, const struct virtq_region *regions,
                                    uint32_t n);

/**
 * Name the log switch and what is called at the last release. Before the map is given to anybody.
 */
void virtq_mem_set_log(struct virtq_mem *mem, struct virtq_log *log);
/** @copydoc virtq_mem_set_log */
void virtq_mem_set_release(struct virtq_mem *mem, virtq_mem_release_fn release, void *ctx);

/** Take a further reference. Any thread that holds one. */
void virtq_mem_ref(struct virtq_mem *mem);

/** Give a reference back. Any thread; the last one runs the release function. */
void virtq_mem_unref(struct virtq_mem *mem);

/**
 * Host address of [@p gpa, @p gpa + @p len), which must lie in one region (and, with @p write, in
 * one that is not read-only). Any thread that holds a reference. Nothing is marked: see
 * virtq_mem_mark().
 * @return the address, or NULL. A length of 0 needs a valid address all the same.
 */
void *virtq_mem_at(const struct virtq_mem *mem, uint64_t gpa, uint64_t len, int write);

/**
 * Split [@p gpa, @p gpa + @p len) into contiguous pieces. Regions that meet in guest addresses need
 * not meet here, so a buffer may take several.
 * @return number of pieces (0 for a length of 0 at a valid address), VIRTQ_EFAULT for a range that
 *         is not all mapped (or not writable), VIRTQ_ENOSPC when @p max pieces do not suffice
 */
VIRTQ_MUST_CHECK int virtq_mem_map(const struct virtq_mem *mem, uint64_t gpa, uint64_t len,
                                   int write, struct virtq_iov *iov, uint32_t max);

/** Copy @p len bytes out of guest memory. @return 0 or VIRTQ_EFAULT; then @p dst is all zero. */
VIRTQ_MUST_CHECK int virtq_mem_read(const struct virtq_mem *mem, uint64_t gpa, void *dst,
                                    size_t len);

/**
 * Copy @p len bytes into guest memory and mark them.
 * @return 0, or VIRTQ_EFAULT with nothing written.
 */
VIRTQ_MUST_CHECK int virtq_mem_write(const struct virtq_mem *mem, uint64_t gpa, const void *src,
                                     size_t len);

/** Mark the guest range [@p gpa, @p gpa + @p len) dirty, if logging is on. Any thread. */
void virtq_mem_mark(const struct virtq_mem *mem, uint64_t gpa, uint64_t len);

/**
 * Mark memory that was handed out as host addresses dirty, if logging is on; where several regions
 * map the same memory, all of them are marked. Any thread that holds a reference.
 */
void virtq_mem_mark_iov(const struct virtq_mem *mem, const struct virtq_iov *iov, uint32_t n);

/** What a platform's translation says of an address (ACCESS_PLATFORM, section 6). */
struct virtq_xlat {
	uint64_t iova; /**< the address the entry starts at */
	uint64_t gpa;  /**< where that lies in the memory map */
	uint64_t len;  /**< bytes that are contiguous from there; 0 marks an unused entry */
	uint32_t perm; /**< bit 0 may be read, bit 1 may be written */
	uint32_t reserved;
};

/** Who translates. Called on the queue's owner thread only. */
struct virtq_xlat_ops {
	size_t size; /**< sizeof(struct virtq_xlat_ops) */
	/**
	 * Translate @p iova. The entry must contain @p iova. @p write says which permission is wanted.
	 * @return 0, VIRTQ_EAGAIN when it has been asked for and will be known later (the pop returns
	 *         that, and is repeated; some addresses that follow in the same buffer are asked for
	 *         meanwhile), VIRTQ_EFAULT when there is none.
	 */
	int (*translate)(void *ctx, uint64_t iova, int write, struct virtq_xlat *out);
	void *ctx;
};

#ifdef __cplusplus
}
#endif

#endif
