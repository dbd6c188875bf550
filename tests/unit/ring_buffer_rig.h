/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring to which a driver offers buffers by hand, with a device side for the quick way. */
#ifndef TESTS_UNIT_RING_BUFFER_RIG_H
#define TESTS_UNIT_RING_BUFFER_RIG_H

#include "check_main.h"
#include "ring.h"

enum { SIZE = 8, RW = VIRTQ_DESC_WRITE, PAGE = 4096 };

#define MIB UINT64_C(0x100000)
/* All of it in the index of regions, which is as large as it has to be for what lies here. */
#define LOW (2 * MIB)
#define ROM (5 * MIB)
#define BUF (LOW + 0x8000)

static const struct virtq_region regions[] = {
	{.gpa = 0, .len = MIB},
	{.gpa = LOW, .len = MIB},
	{.gpa = LOW + MIB, .len = MIB},
	{.gpa = ROM, .len = MIB, .flags = VIRTQ_REGION_READONLY},
};

static struct guest guest;
static struct ring ring;
static struct virtq_log log_switch;

static inline void set_up_ring(int packed, unsigned feature)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(3, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC, feature);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, regions, 4);
	virtq_mem_set_log(&guest.mem, &log_switch);
	virtq_log_set(&log_switch, NULL);
	ring_init(&ring, &guest, &cfg);
}

static inline void set_up(int packed, unsigned feature)
{
	set_up_ring(packed, feature);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, SIZE), 0);
}

static inline void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static inline uint32_t take(struct virtq_buffer *b, uint32_t max)
{
	return virtq_dev_take(&ring.dev, b, max, 1);
}

static inline int pop(struct virtq_chain *c)
{
	return virtq_dev_pop(&ring.dev, c, 1, ring.iov, ring.niov);
}

#endif
