/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's rings and requests. */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu_front.h"

enum { TIMEOUT_MS = 5000, REQUESTS = 1 << 20 }; /* requests' headers begin there */

uint64_t vf_bus(const struct vu_front *f, uint32_t offset)
{
	return f->kind & VF_IOMMU ? VF_IOVA + offset : (uint32_t)(VF_GPA + offset);
}

static void take_used(struct vu_front *f, unsigned q)
{
	struct vf_ring *r = &f->rings[q];
	struct virtq_done done[VF_RING];
	int n = virtq_drv_take(&r->drv, done, VF_RING);

	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		struct vf_slot *s = done[i].cookie;

		ck_assert(s->used && !s->done);
		s->done = 1;
	}
}

static uint32_t slot_at(unsigned q, unsigned slot)
{
	return REQUESTS + (q * VF_RING + slot) * 32;
}

unsigned vf_submit(struct vu_front *f, unsigned q, uint32_t type, uint64_t sector, uint32_t data,
                   uint32_t bytes)
{
	struct vf_ring *r = &f->rings[q];
	int reads = type != 1;
	struct virtq_seg seg[3];
	uint32_t at;
	unsigned i = 0;
	int n = 0;

	while (r->slots[i].used)
		ck_assert_uint_lt(++i, VF_RING);
	at = slot_at(q, i);
	memcpy(f->mem + at, &type, 4);
	memset(f->mem + at + 4, 0, 4);
	memcpy(f->mem + at + 8, &sector, 8);
	f->mem[at + 16] = 0x5a;
	seg[n++] = (struct virtq_seg){vf_bus(f, at), 16};
	if (bytes > 0)
		seg[n++] = (struct virtq_seg){vf_bus(f, data), bytes};
	seg[n++] = (struct virtq_seg){vf_bus(f, at + 16), 1};
	r->slots[i] = (struct vf_slot){.used = 1};
	reads = bytes > 0 && reads;
	ck_assert_int_eq(
		virtq_drv_add(&r->drv, seg, (uint32_t)(n - 1 - reads), (uint32_t)(1 + reads), &r->slots[i]),
		0);
	virtq_drv_publish(&r->drv);
	if (virtq_drv_should_kick(&r->drv) > 0)
		vf_kick(f, q);
	return i;
}

void vf_kick(struct vu_front *f, unsigned q)
{
	if (f->kind & VF_INBAND)
		ck_assert_int_eq(vf_ack_state(f, VU_VRING_KICK, q, 0), 0);
	else
		vdev_os_signal(f->rings[q].kick);
}

/* Sleep until the device has done something. */
static void wait_for_device(struct vu_front *f, struct vf_ring *r)
{
	struct pollfd p[2] = {{.fd = r->call, .events = POLLIN}, {.fd = f->channel, .events = POLLIN}};

	if (!(f->kind & VF_IOMMU) || f->deaf) {
		(void)vf_signalled(r->call, TIMEOUT_MS);
		return;
	}
	(void)poll(p, 2, TIMEOUT_MS);
	if (p[0].revents != 0)
		(void)vdev_os_drain(r->call);
	if (p[1].revents != 0)
		(void)vf_serve(f, 0);
}

/* Take in-band notifications, and answer them. */
static int channel_signalled(struct vu_front *f, int ms)
{
	struct pollfd p = {.fd = f->channel, .events = POLLIN};
	struct {
		struct vu_header h;
		struct vu_vring_state s;
	} in;
	struct {
		struct vu_header h;
		uint8_t ack[8];
	} out = {.ack = {0}};

	if (poll(&p, 1, ms) <= 0)
		return 0;
	ck_assert_int_eq(recv(f->channel, &in.h, sizeof(in.h), MSG_WAITALL), sizeof(in.h));
	if (in.h.size > 0)
		ck_assert_int_eq(recv(f->channel, &in.s, in.h.size, MSG_WAITALL), in.h.size);
	out.h = (struct vu_header){in.h.request, VU_VERSION | VU_FLAG_REPLY, 8};
	if (in.h.flags & VU_FLAG_NEED_REPLY)
		ck_assert_int_eq(send(f->channel, &out, 20, MSG_NOSIGNAL), 20);
	return 1;
}

uint8_t vf_finish(struct vu_front *f, unsigned q, unsigned slot)
{
	struct vf_ring *r = &f->rings[q];
	uint64_t end = vdev_os_now() + TIMEOUT_MS * 1000000ull;

	take_used(f, q);
	while (!r->slots[slot].done) {
		int more = virtq_drv_arm(&r->drv);

		ck_assert_int_ge(more, 0);
		if (!more && f->kind & VF_INBAND)
			(void)channel_signalled(f, TIMEOUT_MS);
		else if (!more)
			wait_for_device(f, r);
		take_used(f, q);
		ck_assert_msg(vdev_os_now() < end, "a request takes too long");
	}
	r->slots[slot].used = 0;
	return f->mem[slot_at(q, slot) + 16];
}

int vf_done_within(struct vu_front *f, unsigned q, unsigned slot, int ms)
{
	uint64_t end = vdev_os_now() + (uint64_t)ms * 1000000;

	do {
		take_used(f, q);
		if (f->rings[q].slots[slot].done)
			return 1;
		usleep(1000);
	} while (vdev_os_now() < end);
	return 0;
}

uint8_t vf_request(struct vu_front *f, unsigned q, uint32_t type, uint64_t sector, uint32_t data,
                   uint32_t bytes)
{
	return vf_finish(f, q, vf_submit(f, q, type, sector, data, bytes));
}
