/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio-net device behind a loopback and before a fake netif. */
#ifndef TESTS_SUPPORT_NET_FIXTURE_H
#define TESTS_SUPPORT_NET_FIXTURE_H

#include <vdev/loopback.h>
#include <vdev/net.h>
#include <virtq/driver.h>

#include "fake_netif.h"

#define NET_GPA   0x40000000u
#define NET_BYTES (16u << 20)

struct net_fixture {
	struct vdev_env env;
	struct fake_netif netif;
	struct vdev_net_config net_cfg;
	struct vdev_loopback_config cfg;
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *memory;
	uint64_t at; /* of memory: free from here on */
	uint64_t now;
	unsigned interrupts[2 * 64 + 1];
	unsigned config_changes;
	uint32_t hdr; /* bytes of the header */
};

/* Not started; net_cfg, cfg.wanted and netif.info may be changed before net_start(). VERSION_1 and MAC are wanted. */
void net_init(struct net_fixture *f, int packed, int polled);
void net_want(struct net_fixture *f, unsigned bit);
void net_start(struct net_fixture *f);
void net_fini(struct net_fixture *f);
/* Serve everything until there is nothing to do. */
void net_run(struct net_fixture *f);

/* Memory of the guest. */
uint8_t *net_alloc(struct net_fixture *f, uint32_t bytes, uint64_t *gpa);
/* Send hdr and frame, cut into pieces of the lengths in cut (0 ends it; the rest is the last piece); published, not kicked. */
void net_send(struct net_fixture *f, unsigned pair, const void *hdr, const void *frame,
              uint32_t len, const uint32_t *cut);
/* Whether a sent chain came back, and with which length. */
int net_sent(struct net_fixture *f, unsigned pair, uint32_t *written);
/* Give a receive buffer of bytes in n equal pieces; its memory. */
uint8_t *net_buffer(struct net_fixture *f, unsigned pair, uint32_t bytes, uint32_t n);
/* Give the memory of a used one again. */
void net_buffer_again(struct net_fixture *f, unsigned pair, uint8_t *p, uint32_t bytes, uint32_t n);
/* Take a used receive buffer: its memory, or NULL. */
uint8_t *net_received(struct net_fixture *f, unsigned pair, uint32_t *written);
/* Push frames of the netif. */
uint32_t net_push(struct net_fixture *f, const struct vdev_frame *frames, uint32_t n);
/* A frame of one piece. */
struct vdev_frame net_frame(struct virtq_iov *iov, void *bytes, uint32_t len);

#endif
