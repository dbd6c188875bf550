/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net in one process: the device, a driver's rings, and a back-end of memory alone. */
#ifndef BENCH_NET_BENCH_H
#define BENCH_NET_BENCH_H

#include <stdint.h>

#include "support/bench.h"

enum { NET_RING = 256, NET_BURST = 32, NET_HEADER = 12 };

struct net_kind {
	int receive; /* the device receives, from a source of frames; otherwise it sends into nothing */
	int packed;
	int mergeable;
	int in_order;
	int hashed;     /* received frames come with their hashes */
	uint32_t burst; /* at most NET_BURST */
	uint32_t len;   /* bytes of a frame, 60 to 1514 */
};

struct net_rig;
struct net_rig *net_rig_new(const struct net_kind *kind);
void net_rig_free(struct net_rig *r);

/* The driver gives a burst of frames or of empty buffers; the device does its part; the driver takes them back. */
void net_offer(struct net_rig *r);
void device_side(struct net_rig *r);
void net_reap(struct net_rig *r);

/* net_pmd.c: frames a second through vhost-user, with testpmd in front. */
enum net_way { NET_TO_HOST, NET_TO_GUEST, NET_LOOP };
struct net_load {
	enum net_way way;
	int packed, in_order, mergeable;
	uint32_t len; /* bytes of a frame */
};
/* Whether all that it takes is there. */
int net_pmd_there(void);
/* Ours and DPDK's net_vhost in alternating windows. 0; -1: a program did not do its part. */
int net_pmd_run(const struct net_load *load, const char *name, unsigned windows, uint64_t window_ns,
                int json);

/* net_switch.c: from guest to guest in one process. */
struct net_flow {
	uint32_t len; /* bytes of a frame; net_large: TCP to be segmented */
	int packed;
	int segmented;    /* the receiver takes no large frames: they are segmented for it */
	unsigned senders; /* 1 or 2 */
	int apart;        /* each has a receiver of its own */
	int mpps;         /* the unit: frames, else Gbit/s */
	uint64_t frames,
		not_taken; /* in all windows: sent, and given back since the receiver was busy */
};
extern const uint32_t net_large;
double net_switch_window(void *ctx, uint64_t ns);
/* The same bytes by memcpy between the same two processors. */
double net_memcpy_window(void *ctx, uint64_t ns);

#endif
