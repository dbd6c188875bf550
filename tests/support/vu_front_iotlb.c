/* SPDX-License-Identifier: BSD-3-Clause */
/* The front-end's IOMMU. */
#include <poll.h>
#include <sys/socket.h>

#include "vu_front.h"

int vf_miss(struct vu_front *f, struct vu_iotlb *out, int ms)
{
	struct pollfd p = {.fd = f->channel, .events = POLLIN};
	struct vu_header h;

	do {
		if (poll(&p, 1, ms) <= 0)
			return 0;
		ck_assert_int_eq(recv(f->channel, &h, sizeof(h), MSG_WAITALL), sizeof(h));
		/* A queue that broke changes the configuration, or rather the status. */
	} while (h.request == VU_BE_CONFIG_CHANGE && h.size == 0);
	ck_assert_uint_eq(h.request, VU_BE_IOTLB_MSG);
	ck_assert_uint_eq(h.flags, VU_VERSION | VU_FLAG_NEED_REPLY);
	ck_assert_uint_eq(h.size, sizeof(*out));
	ck_assert_int_eq(recv(f->channel, out, sizeof(*out), MSG_WAITALL), sizeof(*out));
	return 1;
}

void vf_miss_ack(struct vu_front *f, uint64_t result)
{
	struct {
		struct vu_header h;
		uint8_t ack[8];
	} out = {.h = {VU_BE_IOTLB_MSG, VU_VERSION | VU_FLAG_REPLY, 8}};

	memcpy(out.ack, &result, sizeof(result));
	ck_assert_int_eq(send(f->channel, &out, 20, MSG_NOSIGNAL), 20);
}

int vf_map(struct vu_front *f, uint64_t offset, uint64_t len, uint8_t perm)
{
	struct vu_iotlb m = {.iova = VF_IOVA + offset,
	                     .size = len,
	                     .uva = VF_UVA + offset,
	                     .perm = perm,
	                     .type = VU_IOTLB_UPDATE};

	return vf_ack(f, VU_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

void vf_send_unmap(struct vu_front *f, uint64_t offset, uint64_t len)
{
	struct vu_iotlb m = {.iova = VF_IOVA + offset, .size = len, .type = VU_IOTLB_INVALIDATE};

	vf_send_raw(f, VU_IOTLB_MSG, VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(m), &m, sizeof(m), NULL,
	            0);
}

int vf_unmap(struct vu_front *f, uint64_t offset, uint64_t len)
{
	uint64_t ack = 0;

	vf_send_unmap(f, offset, len);
	if (vf_answer(f, VU_IOTLB_MSG, &ack, sizeof(ack)) < 0)
		return -1;
	return (int)ack;
}

int vf_serve(struct vu_front *f, int ms)
{
	struct vu_iotlb m;
	uint64_t page;

	if (!vf_miss(f, &m, ms))
		return 0;
	if (m.type == VU_IOTLB_ACCESS_FAIL) {
		f->denied = m;
		vf_miss_ack(f, 0);
		return 1;
	}
	ck_assert_uint_eq(m.type, VU_IOTLB_MISS);
	f->misses++;
	page = (m.iova - VF_IOVA) / VF_PAGE;
	if (page >= VF_PAGES || f->perm[page] == 0) {
		vf_miss_ack(f, 1);
		return 1;
	}
	ck_assert_int_eq(vf_map(f, page * VF_PAGE, VF_PAGE, f->perm[page]), 0);
	vf_miss_ack(f, 0);
	return 1;
}
