/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_RING_H
#define TESTS_SUPPORT_RING_H

#include <virtq/virtq.h>

/*
 * A small guest for tests and fuzzers: memory, and rings in it that are driven either by libvirtq's driver side
 * or by hand, one field at a time. What a test gets wrong here (an address outside of memory, no room left) ends
 * the program: these calls return no errors. Does not use Check.
 */

#define GUEST_REGIONS 8

/* Guest memory. Each region is an allocation of its own here, so that a sanitizer sees what runs over its ends. */
struct guest {
	struct virtq_mem mem;
	struct virtq_region regions[GUEST_REGIONS];
	uint64_t
		next[GUEST_REGIONS]; /* first byte of each region that guest_alloc() has not given out */
	uint32_t nregions;
};

/*
 * Guest with the given regions (gpa, len, flags; host is filled in). n = 0: the default ones, 1 MiB each: at 0, after
 * a hole two that meet at 1 GiB + 1 MiB, and one above 4 GiB. Memory is zero. guest_init() takes the reference of
 * virtq_mem_init(); guest_fini() returns it and expects to be the last.
 */
void guest_init(struct guest *g, const struct virtq_region *regions, uint32_t n);
void guest_fini(struct guest *g);

/* Address of fresh guest memory, in any region or in a certain one. align is a power of two. */
uint64_t guest_alloc(struct guest *g, uint64_t len, uint64_t align);
uint64_t guest_alloc_in(struct guest *g, uint32_t region, uint64_t len, uint64_t align);
/* Forget what was given out: the memory is used again. */
void guest_alloc_reset(struct guest *g);
/* Where [gpa, gpa + len) lies here; it is in one region. */
void *guest_at(const struct guest *g, uint64_t gpa, uint64_t len);

/* The features bits given, as a set: features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_EVENT_IDX). */
struct virtq_features features_of(unsigned n, ...);

struct ring_config {
	uint16_t size;
	uint16_t indirect_max; /* of the driver side */
	struct virtq_features features;
	int region;                            /* where the ring lies; -1: anywhere */
	const struct virtq_platform *platform; /* of the driver side */
};

/* A queue. The driver side, the device side and the raw calls share the ring; use what the test is about. */
struct ring {
	struct guest *guest;
	struct virtq_features features;
	struct virtq_state state; /* addresses, size, fresh positions */
	uint16_t size;
	int packed;
	uint8_t *desc; /* the parts, here */
	uint8_t *driver;
	uint8_t *device;
	struct virtq_drv drv;
	void *drv_scratch;
	struct virtq_dev dev;
	void *dev_scratch;     /* NULL: there is no device side */
	struct virtq_iov *iov; /* niov each: pieces for virtq_dev_pop() and virtq_dev_pop_seg() */
	struct virtq_seg *seg;
	uint32_t niov;
	/* The raw driver's place: what raw_offer() and raw_packed_offer() use and move on. */
	uint16_t raw_avail;
	int raw_wrap;
};

/* Set up the ring and the driver side. */
void ring_init(struct ring *r, struct guest *g, const struct ring_config *cfg);
/*
 * Set up the device side as cfg says; features, state, mem unless there is dma, and scratch are filled in. Scratch that is
 * there is from malloc(), and goes when the ring goes. cfg may be NULL. Returns what virtq_dev_init() says; r->iov and
 * r->seg have room for a pop of burst chains.
 */
int ring_dev_init(struct ring *r, const struct virtq_dev_config *cfg, uint32_t burst);
/* Ends the device side, whose chains must all be back, and both sides' memory. */
void ring_fini(struct ring *r);

/* Descriptors of the split ring, and entries of its rings. i is taken modulo the size. */
void raw_desc(struct ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
              uint16_t next);
void raw_avail_entry(struct ring *r, uint16_t i, uint16_t head);
void raw_avail_idx(struct ring *r, uint16_t idx);
void raw_avail_flags(struct ring *r, uint16_t flags);
void raw_used_event(struct ring *r, uint16_t event);
/* The entry, then the index: what an honest driver does. */
void raw_offer(struct ring *r, uint16_t head);
uint16_t raw_used_idx(const struct ring *r);
uint16_t raw_used_flags(const struct ring *r);
uint16_t raw_avail_event(const struct ring *r);
void raw_used(const struct ring *r, uint16_t i, uint32_t *id, uint32_t *len);
/* As a device writes them. */
void raw_used_entry_set(struct ring *r, uint16_t i, uint32_t id, uint32_t len);
void raw_used_idx_set(struct ring *r, uint16_t idx);
void raw_used_flags_set(struct ring *r, uint16_t flags);
void raw_avail_event_set(struct ring *r, uint16_t event);

/* A descriptor of the packed ring, all fields as given. */
void raw_packed(struct ring *r, uint16_t place, uint64_t addr, uint32_t len, uint16_t id,
                uint16_t flags);
struct virtq_packed_desc raw_packed_get(const struct ring *r, uint16_t place);
/* AVAIL and USED for a descriptor that is available, or used, in a lap with this wrap counter. */
uint16_t packed_avail(int wrap);
uint16_t packed_used(int wrap);
/* The next descriptor of the lap, made available at once; flags without AVAIL and USED. */
void raw_packed_offer(struct ring *r, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags);
/* A chain of one descriptor in either layout, made available at once; in a split ring its descriptor is number id. */
void raw_offer_one(struct ring *r, uint16_t id, uint64_t addr, uint32_t len, uint16_t flags);
void raw_driver_event(struct ring *r, uint16_t place_wrap, uint16_t flags);
void raw_device_event(const struct ring *r, uint16_t *place_wrap, uint16_t *flags);
void raw_driver_event_get(const struct ring *r, uint16_t *place_wrap, uint16_t *flags);
void raw_device_event_set(struct ring *r, uint16_t place_wrap, uint16_t flags);

/* Entry i of an indirect table. extra: next in a split ring's table, id in a packed one's. */
void raw_table(struct ring *r, uint64_t table, uint32_t i, uint64_t addr, uint32_t len,
               uint16_t flags, uint16_t extra);

#endif
