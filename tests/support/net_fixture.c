/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "check_main.h"

static void *env_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return malloc(bytes);
}

static void env_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	free(p);
}

static uint64_t env_now(void *ctx)
{
	return ((struct net_fixture *)ctx)->now;
}

static void interrupt(void *ctx, unsigned q)
{
	struct net_fixture *f = ctx;

	if (q == UINT32_MAX)
		f->config_changes++;
	else
		f->interrupts[q]++;
}

void net_init(struct net_fixture *f, int packed, int polled)
{
	memset(f, 0, sizeof(*f));
	f->env = (struct vdev_env){
		.size = sizeof(f->env), .alloc = env_alloc, .free = env_free, .now = env_now, .ctx = f};
	fake_netif_init(&f->netif, polled);
	f->net_cfg = (struct vdev_net_config){.size = sizeof(f->net_cfg), .mac = {2, 0, 0, 0, 0, 1}};
	f->memory = aligned_alloc(4096, NET_BYTES);
	ck_assert_ptr_nonnull(f->memory);
	memset(f->memory, 0, NET_BYTES);
	f->cfg = (struct vdev_loopback_config){.size = sizeof(f->cfg),
	                                       .memory = f->memory,
	                                       .bytes = NET_BYTES,
	                                       .gpa = NET_GPA,
	                                       .queue_size = 16,
	                                       .interrupt = interrupt,
	                                       .ctx = f};
	f->hdr = 12;
	if (packed)
		net_want(f, VIRTQ_F_RING_PACKED);
	net_want(f, VIRTQ_F_RING_RESET);
	net_want(f, VDEV_NET_F_MAC);
}

void net_want(struct net_fixture *f, unsigned bit)
{
	virtq_features_set(&f->cfg.wanted, bit);
}

void net_start(struct net_fixture *f)
{
	uint64_t bytes;

	ck_assert_int_eq(vdev_net_new(&f->v, &f->env, &f->netif.netif, &f->net_cfg), 0);
	ck_assert_int_eq(vdev_loopback_new(&f->l, &f->env, f->v, &f->cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(f->l), 0);
	f->at = (uint64_t)((uint8_t *)vdev_loopback_memory(f->l, NULL, &bytes) - f->memory);
}

void net_fini(struct net_fixture *f)
{
	vdev_loopback_free(f->l);
	ck_assert_int_eq(vdev_free(f->v), 0);
	ck_assert_uint_eq(f->netif.opened, f->netif.closed);
	ck_assert_ptr_null(f->netif.sink);
	fake_netif_clear(&f->netif);
	free(f->memory);
}

void net_run(struct net_fixture *f)
{
	for (int i = 0; i < 1000 && vdev_run(f->v, VDEV_RUN_ARM); i++)
		;
}

uint8_t *net_alloc(struct net_fixture *f, uint32_t bytes, uint64_t *gpa)
{
	uint8_t *p = f->memory + f->at;

	ck_assert_uint_le(f->at + bytes, NET_BYTES);
	*gpa = NET_GPA + f->at;
	f->at += (bytes + 15u) / 16 * 16;
	return p;
}

void net_send(struct net_fixture *f, unsigned pair, const void *hdr, const void *frame,
              uint32_t len, const uint32_t *cut)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, 2 * pair + 1);
	uint32_t total = f->hdr + len, at = 0, n = 0;
	struct virtq_seg seg[16];
	uint64_t gpa;
	uint8_t *p = net_alloc(f, total, &gpa);

	memcpy(p, hdr, f->hdr);
	memcpy(p + f->hdr, frame, len);
	while (at < total) {
		uint32_t piece = total - at;

		if (cut != NULL && cut[n] != 0 && cut[n] < piece)
			piece = cut[n];
		seg[n++] = (struct virtq_seg){.addr = gpa + at, .len = piece};
		ck_assert_uint_lt(n, 16);
		at += piece;
	}
	ck_assert_int_eq(virtq_drv_add(drv, seg, (uint16_t)n, 0, p), 0);
	virtq_drv_publish(drv);
}

int net_sent(struct net_fixture *f, unsigned pair, uint32_t *written)
{
	struct virtq_done done;

	if (virtq_drv_take(vdev_loopback_drv(f->l, 2 * pair + 1), &done, 1) != 1)
		return 0;
	if (written != NULL)
		*written = done.written;
	return 1;
}

uint8_t *net_buffer(struct net_fixture *f, unsigned pair, uint32_t bytes, uint32_t n)
{
	uint64_t gpa;
	uint8_t *p = net_alloc(f, bytes, &gpa);

	net_buffer_again(f, pair, p, bytes, n);
	return p;
}

void net_buffer_again(struct net_fixture *f, unsigned pair, uint8_t *p, uint32_t bytes, uint32_t n)
{
	struct virtq_drv *drv = vdev_loopback_drv(f->l, 2 * pair);
	uint64_t gpa = NET_GPA + (uint64_t)(p - f->memory);
	struct virtq_seg seg[16];

	for (uint32_t i = 0; i < n; i++)
		seg[i] = (struct virtq_seg){.addr = gpa + (uint64_t)i * (bytes / n),
		                            .len = i == n - 1 ? bytes - i * (bytes / n) : bytes / n};
	ck_assert_int_eq(virtq_drv_add(drv, seg, 0, (uint16_t)n, p), 0);
	virtq_drv_publish(drv);
}

uint8_t *net_received(struct net_fixture *f, unsigned pair, uint32_t *written)
{
	struct virtq_done done;

	if (virtq_drv_take(vdev_loopback_drv(f->l, 2 * pair), &done, 1) != 1)
		return NULL;
	if (written != NULL)
		*written = done.written;
	return done.cookie;
}

uint32_t net_push(struct net_fixture *f, const struct vdev_frame *frames, uint32_t n)
{
	return f->netif.sink->deliver(f->netif.sink->ctx, frames, n, 0);
}

struct vdev_frame net_frame(struct virtq_iov *iov, void *bytes, uint32_t len)
{
	*iov = (struct virtq_iov){.base = bytes, .len = len};
	return (struct vdev_frame){.iov = iov, .niov = 1, .len = len};
}
