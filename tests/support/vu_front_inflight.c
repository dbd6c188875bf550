/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests in flight, as a front-end keeps them, and a back-end that dies of some. */
#include <stdlib.h>
#include <sys/mman.h>

#include <virtq/inflight.h>

#include "vu_front.h"

void vf_area(struct vu_front *f, unsigned queues, struct vu_inflight *area, int *fd)
{
	*area = (struct vu_inflight){.num_queues = (uint16_t)queues, .queue_size = VF_RING};
	vf_send(f, VU_GET_INFLIGHT_FD, area, sizeof(*area));
	ck_assert_int_eq(vf_answer_fd(f, VU_GET_INFLIGHT_FD, area, sizeof(*area), fd), sizeof(*area));
	ck_assert_int_ge(*fd, 0);
}

uint16_t vf_used_idx(const struct vu_front *f, unsigned q)
{
	uint16_t used;

	memcpy(&used, f->mem + (f->rings[q].state.device - VF_GPA) + 2, sizeof(used));
	return used;
}

void vf_pop_and_die(struct vu_front *f, const struct vu_inflight *area, int fd, int n)
{
	struct virtq_region region = {.gpa = VF_GPA, .len = VF_BYTES, .host = f->mem};
	struct virtq_dev_config cfg = {.size = sizeof(cfg), .state = f->rings[0].state};
	struct virtq_inflight_config in = {
		.size = sizeof(in), .entries = VF_RING, .region_bytes = (size_t)area->mmap_size};
	struct virtq_chain chains[8];
	struct virtq_iov iov[256];
	struct virtq_mem mem;
	struct virtq_dev dev;

	ck_assert_int_eq(virtq_mem_init(&mem, &region, 1), 0);
	cfg.mem = &mem;
	cfg.features = (struct virtq_features){{f->features & ~(1ull << VU_F_PROTOCOL), 0}};
	if (!(f->kind & VF_PACKED))
		cfg.state.avail = cfg.state.used = vf_used_idx(f, 0);
	cfg.scratch_bytes = virtq_dev_bytes(&cfg);
	cfg.scratch = malloc(cfg.scratch_bytes);
	ck_assert_int_eq(virtq_dev_init(&dev, &cfg), 0);
	in.region = mmap(NULL, (size_t)area->mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(in.region, MAP_FAILED);
	in.scratch_bytes = virtq_inflight_scratch(&dev, VF_RING);
	in.scratch = malloc(in.scratch_bytes);
	ck_assert_int_ge(virtq_inflight_attach(&dev, &in), 0);
	ck_assert_int_eq(virtq_dev_pop(&dev, chains, (uint32_t)n, iov, 256), n);
	munmap(in.region, (size_t)area->mmap_size);
	free(in.scratch);
	free(cfg.scratch);
}
