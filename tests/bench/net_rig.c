/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device and driver in one thread. Memory in four regions with buffers by turns, EVENT_IDX. A frame to be sent is one
 * descriptor with the header in front, as drivers make it; a buffer to receive is one of 2 KiB.
 */
#include <stdlib.h>
#include <string.h>

#include <vdev/net.h>
#include <vdev/netif_simple.h>
#include <virtq/virtq.h>

#include "net_bench.h"

enum { REGIONS = 4, REGION_BYTES = 1 << 20, SLOT_BYTES = 4096, ROOM = 2048 };
enum {
	CTRL = 2,          /* the control queue of one pair */
	HASH_TYPES = 0x3f, /* all of IP, TCP and UDP */
	HASH_KEY = 40
};

struct net_rig {
	struct net_kind kind;
	struct virtq_mem mem;
	struct virtq_region regions[REGIONS];
	struct virtq_drv drv;
	void *scratch, *ctrl_scratch;
	struct vdev_netif *netif;
	struct vdev *v;
	unsigned queue;
	uint32_t header; /* bytes in front of a received frame */
	unsigned next;   /* slot */
	unsigned more;
	uint64_t frames; /* that the device was given or gave, as its driver counts */
};

static void device_set_up(struct net_rig *r)
{
	struct vdev_netif_source_config source = {
		.size = sizeof(source), .dst = {0x52, 1}, .src = {0x52, 2}, .frame_len = r->kind.len};
	const struct vdev_env *env = vdev_env_hosted();

	if (r->kind.receive)
		bench_need(vdev_netif_source_new(&r->netif, env, &source) == 0, "source");
	else
		bench_need(vdev_netif_null_new(&r->netif, env) == 0, "null");
	bench_need(vdev_net_new(&r->v, env, r->netif, NULL) == 0, "vdev_net_new");
	bench_need(vdev_function_set_mem(vdev_function(r->v), &r->mem) == 0, "memory");
}

/* A queue whose ring takes the first half of a region. Returns the driver's memory. */
static void *queue_set_up(struct net_rig *r, const struct virtq_features *f, unsigned queue,
                          struct virtq_drv *drv, const struct virtq_region *region)
{
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = *f,
	                               .queue_size = NET_RING,
	                               .ring = region->host,
	                               .ring_addr = region->gpa};
	struct vdev_queue_setup setup = {0};

	bench_need(virtq_drv_ring_bytes(NET_RING, f) <= REGION_BYTES / 2, "a ring of half a region");
	cfg.scratch_bytes = virtq_drv_bytes(NET_RING, f);
	cfg.scratch = bench_zeroed(cfg.scratch_bytes);
	bench_need(virtq_drv_init(drv, &cfg) == 0, "virtq_drv_init");
	virtq_drv_state(drv, &setup.state);
	bench_need(vdev_queue_start(r->v, queue, &setup) == 0, "vdev_queue_start");
	return cfg.scratch;
}

/* Ask for all hashes, as Linux does where it may (5.1.6.5.6.4). */
static void ask_for_hashes(struct net_rig *r, struct virtq_drv *ctrl)
{
	enum { COMMAND = 2, CONFIG = 4 + 8 + 1 + HASH_KEY };
	const struct virtq_region *region = &r->regions[2];
	uint8_t *p = region->host;
	struct virtq_seg seg[2] = {{.addr = region->gpa, .len = COMMAND + CONFIG},
	                           {.addr = region->gpa + COMMAND + CONFIG, .len = 1}};
	struct virtq_done done;

	p[0] = 4; /* VIRTIO_NET_CTRL_MQ */
	p[1] = 2; /* VIRTIO_NET_CTRL_MQ_HASH_CONFIG */
	p[COMMAND] = HASH_TYPES;
	p[COMMAND + CONFIG - HASH_KEY - 1] = HASH_KEY;
	for (uint8_t i = 0; i < HASH_KEY; i++)
		p[COMMAND + CONFIG - HASH_KEY + i] = (uint8_t)(i * 73 + 1);
	p[COMMAND + CONFIG] = 0xff;
	bench_need(virtq_drv_add(ctrl, seg, 1, 1, p) == 0, "virtq_drv_add");
	virtq_drv_publish(ctrl);
	r->more += (unsigned)vdev_queue_run(r->v, CTRL, 0);
	bench_need(virtq_drv_take(ctrl, &done, 1) == 1 && p[COMMAND + CONFIG] == 0, "hashes");
}

struct net_rig *net_rig_new(const struct net_kind *kind)
{
	const uint8_t found = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER;
	struct net_rig *r = bench_zeroed(sizeof(*r));
	struct virtq_features f = {{0}};
	struct virtq_drv ctrl;

	r->kind = *kind;
	r->queue = kind->receive ? 0 : 1;
	for (unsigned i = 0; i < REGIONS; i++)
		r->regions[i] = (struct virtq_region){.gpa = (uint64_t)(i + 1) << 32,
		                                      .len = REGION_BYTES,
		                                      .host = bench_zeroed(REGION_BYTES)};
	bench_need(virtq_mem_init(&r->mem, r->regions, REGIONS) == 0, "virtq_mem_init");
	device_set_up(r);
	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	if (kind->packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	if (kind->in_order)
		virtq_features_set(&f, VIRTQ_F_IN_ORDER);
	if (kind->mergeable)
		virtq_features_set(&f, VDEV_NET_F_MRG_RXBUF);
	if (kind->hashed) {
		virtq_features_set(&f, VDEV_NET_F_CTRL_VQ);
		virtq_features_set(&f, VDEV_NET_F_HASH_REPORT);
	}
	bench_need(vdev_set_status(r->v, VIRTQ_STATUS_ACKNOWLEDGE) == 0 &&
	               vdev_set_status(r->v, found) == 0 && vdev_accept(r->v, &f) == 0 &&
	               vdev_set_status(r->v, found | VIRTQ_STATUS_FEATURES_OK) == 0 &&
	               vdev_status(r->v) & VIRTQ_STATUS_FEATURES_OK,
	           "negotiation");
	r->header = kind->hashed ? NET_HEADER + 8 : NET_HEADER;
	r->scratch = queue_set_up(r, &f, r->queue, &r->drv, &r->regions[0]);
	if (kind->hashed)
		r->ctrl_scratch = queue_set_up(r, &f, CTRL, &ctrl, &r->regions[1]);
	bench_need(vdev_set_status(r->v, found | VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_DRIVER_OK) ==
	               0,
	           "DRIVER_OK");
	if (kind->hashed)
		ask_for_hashes(r, &ctrl);
	return r;
}

void net_rig_free(struct net_rig *r)
{
	struct vdev_net_counters n;

	vdev_net_counters(r->v, &n);
	bench_need((r->kind.receive ? n.received : n.sent) == r->frames, "every frame");
	bench_need(vdev_set_status(r->v, 0) == 0, "reset");
	bench_need(vdev_free(r->v) == 0, "vdev_free");
	vdev_netif_free(r->netif);
	virtq_mem_unref(&r->mem);
	for (unsigned i = 0; i < REGIONS; i++)
		free(r->regions[i].host);
	free(r->scratch);
	free(r->ctrl_scratch);
	free(r);
}

/* Slots take regions by turns, each a page in the region's second half; frames begin at another line in each. */
static void offer_one(struct net_rig *r)
{
	unsigned slot = r->next++ % (REGIONS * (REGION_BYTES / 2 / SLOT_BYTES));
	const struct virtq_region *region = &r->regions[slot % REGIONS];
	uint64_t at = REGION_BYTES / 2 + (uint64_t)(slot / REGIONS) * SLOT_BYTES + slot * 64 % ROOM;
	uint8_t *p = (uint8_t *)region->host + at;
	const uint32_t in = r->kind.receive ? 1 : 0;
	struct virtq_seg seg = {.addr = region->gpa + at,
	                        .len = r->kind.receive ? ROOM : NET_HEADER + r->kind.len};

	if (!r->kind.receive) {
		memset(p, 0, NET_HEADER);
		p[NET_HEADER] = 0x52;
	}
	bench_need(virtq_drv_add(&r->drv, &seg, 1 - in, in, p) == 0, "virtq_drv_add");
}

__attribute__((noinline)) void net_offer(struct net_rig *r)
{
	for (uint32_t i = 0; i < r->kind.burst; i++)
		offer_one(r);
	virtq_drv_publish(&r->drv);
}

/* What is measured: the instructions of a frame are those of this function, with all it calls. */
__attribute__((noinline)) void device_side(struct net_rig *r)
{
	r->more += (unsigned)vdev_queue_run(r->v, r->queue, 0);
}

__attribute__((noinline)) void net_reap(struct net_rig *r)
{
	struct virtq_done done[NET_BURST];
	uint32_t got = 0;

	while (got < r->kind.burst) {
		int n = virtq_drv_take(&r->drv, done, NET_BURST);

		bench_need(n > 0, "the device's answer");
		for (int i = 0; i < n; i++)
			bench_need(done[i].written == (r->kind.receive ? r->header + r->kind.len : 0),
			           "a frame's length");
		got += (uint32_t)n;
	}
	r->frames += got;
	bench_need(virtq_drv_arm(&r->drv) == 0, "virtq_drv_arm");
}
