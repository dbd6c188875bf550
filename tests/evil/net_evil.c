/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_evil.h"

#include <string.h>

#include "check_main.h"

const uint8_t no_hdr[24];

struct vdev_net_counters counters(const struct net_fixture *f)
{
	struct vdev_net_counters n;

	vdev_net_counters(f->v, &n);
	return n;
}

void fill(uint8_t *frame, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
}

int broken(const struct net_fixture *f)
{
	return (vdev_status(f->v) & VIRTQ_STATUS_NEEDS_RESET) != 0;
}

/* Offer these pieces in a queue, and tell the device. */
void offer(struct net_fixture *f, unsigned q, const struct virtq_seg *seg, uint32_t nread,
           uint32_t nwrite)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, q);

	ck_assert_int_eq(virtq_drv_add(drv, seg, nread, nwrite, f), 0);
	virtq_drv_publish(drv);
	vdev_loopback_kick(f->l, q);
	net_run(f);
}

/* The device works: a frame goes out, and one comes in. */
void works(struct net_fixture *f)
{
	static uint8_t frame[LONG];
	uint32_t sent = f->netif.nsent;
	struct vdev_frame fr;
	struct virtq_iov iov;
	uint8_t *p;

	ck_assert_int_eq(broken(f), 0);
	fill(frame, LONG, 77);
	net_send(f, 0, no_hdr, frame, LONG, NULL);
	vdev_loopback_kick(f->l, 1);
	net_run(f);
	ck_assert_uint_eq(f->netif.nsent, sent + 1);
	ck_assert_mem_eq(f->netif.sent[sent].bytes, frame, LONG);
	fake_netif_clear(&f->netif);
	while (net_sent(f, 0, NULL))
		;
	(void)net_buffer(f, 0, BUFFER, 1);
	fr = net_frame(&iov, frame, LONG);
	ck_assert_uint_eq(net_push(f, &fr, 1), 1);
	p = net_received(f, 0, NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_mem_eq(p + f->hdr, frame, LONG);
}

/* After a reset, on fresh memory. */
void works_after_reset(struct net_fixture *f)
{
	uint64_t bytes;

	ck_assert_int_eq(vdev_loopback_reset(f->l), 0);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
	f->at = (uint64_t)((uint8_t *)vdev_loopback_memory(f->l, NULL, &bytes) - f->memory);
	works(f);
}
