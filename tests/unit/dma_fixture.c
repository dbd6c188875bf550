/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

struct guest guest;
struct ring ring;
struct dma_mem mem;
struct virtq_chain chains[BURST];

void set_up(int packed, uint16_t size, uint32_t delay, uint32_t window, int event_idx)
{
	struct virtq_features f = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	struct ring_config cfg = {.size = size, .region = 0};
	struct virtq_dev_config dev = {.dma_window = window, .dma = &mem.ops};

	if (packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	if (event_idx)
		virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	cfg.features = f;
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	dma_mem_init(&mem, &guest, delay, 1);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, BURST), 0);
}

void tear_down(void)
{
	dma_mem_drain(&mem, &ring.dev);
	ring_fini(&ring);
	guest_fini(&guest);
}

/* A buffer of one descriptor, by hand. */
void offer(uint16_t id, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (ring.packed) {
		raw_packed_offer(&ring, addr, len, id, flags);
	} else {
		raw_desc(&ring, id, addr, len, flags, 0);
		raw_offer(&ring, id);
	}
}

int pop(uint32_t max)
{
	return virtq_dev_pop_seg(&ring.dev, chains, max, ring.seg, ring.niov);
}

/* Time passes until pop says something else than "not yet". */
int pop_wait(uint32_t max)
{
	int n;

	while ((n = pop(max)) == VIRTQ_EAGAIN) {
		ck_assert_uint_ne(mem.npending, 0);
		dma_mem_step(&mem, &ring.dev);
	}
	return n;
}

void fetch(uint32_t max)
{
	ck_assert_int_eq(virtq_dev_fetch(&ring.dev, max), 0);
	dma_mem_drain(&mem, &ring.dev);
}

void push(uint32_t from, uint32_t n)
{
	uint32_t written[BURST];

	for (uint32_t i = 0; i < n; i++)
		written[i] = chains[from + i].write_bytes;
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains + from, written, n), 0);
}

int should_interrupt(void)
{
	int rc;

	while ((rc = virtq_dev_should_interrupt(&ring.dev)) == VIRTQ_EAGAIN)
		dma_mem_drain(&mem, &ring.dev);
	return rc;
}

int arm(void)
{
	int rc;

	while ((rc = virtq_dev_arm(&ring.dev)) == VIRTQ_EAGAIN)
		dma_mem_drain(&mem, &ring.dev);
	return rc;
}

uint16_t fault(void)
{
	struct virtq_fault f = {0};

	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &f), 1);
	return f.reason;
}
