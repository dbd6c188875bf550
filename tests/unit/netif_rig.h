/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_NETIF_RIG_H
#define TESTS_UNIT_NETIF_RIG_H

#include <vdev/netif.h>

#include "check_main.h"
#include "net_datagram.h"
#include "net_ns.h"

/*
 * A back-end on an interface of the host, whose own network is the other side: in a network namespace of the test's own, and
 * mostly at one end ("ours") of a cable whose other end ("host") is the kernel's. A test program opens the netif, and
 * says what is particular to its kind.
 */
struct netif_rig {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx[2], *tx;
	uint8_t mac[6]; /* the host's */
	int sock;       /* the host's, port 9 */
	int (*refresh)(struct vdev_netif *n);
	int plain; /* frames are received in one piece, with nothing left to be done to them */
};

extern struct netif_rig t;

/* Forget the one before. The caller is in a namespace. */
void rig_begin(int (*refresh)(struct vdev_netif *n), int plain);
/* Lay the cable. queues: at each end, 0: as the kernel makes them, one. */
void rig_cable(uint32_t queues, int mtu);
/* The host uses an interface, which is up. */
void rig_host(const char *name);
/* Of the first pairs, and a sending one of the first. */
void open_channels(unsigned pairs);
/* The netif alone; what is open of it. */
void close_netif(void);
/* And the rest. */
void teardown(void);
/* A case that begins so, and ends with teardown(). */
TCase *with(Suite *suite, const char *name, SFun begin);

struct vdev_netif_counters counters(void);
void host_sends(const void *data, size_t len, int port);
/* A socket for frames as they are at the host's end of the cable: all that come, and those that are sent. */
int host_raw(void);
void expect_at_host(const void *data, size_t len);
/* Wait for frames by the first channel. Returns how many. */
uint32_t receive(struct vdev_frame *f, uint32_t max);
/* All there is at once, and thrown away. */
void receive_rest(void);
/* The bytes of a frame that was received, until the next call. */
const uint8_t *bytes_of(const struct vdev_frame *f);
/* All are taken. */
void send_frames(const struct vdev_frame *f, uint32_t n);
/* One frame, in two pieces. */
void send_bytes(const uint8_t *bytes, uint32_t len, struct vdev_net_offload o);

/* A sink's: ctx is an int. */
void count_link(void *ctx);
/* Until the interface is so, and this has been told. The kernel takes its time to say so. */
void refresh_until(int link, uint32_t mtu);

/* --- tests that hold for several kinds ------------------------------------------------ */

/* More than a burst goes to the host. */
void many_to_host(void);
/* Round and round the ring, in bursts, whose frames stay until the next call. */
void round_the_ring(uint32_t frames);
/* However many are asked for, no more than a burst is received at once. */
void bursts_at_most(void);
/* The interface goes down, comes up, and is deleted. tries: frames sent while it is down, all of which are lost. */
void down_up_and_gone(uint32_t tries);
/*
 * With two pairs open: each frame comes once, and all of a flow by the same channel, while the number in use changes; each
 * of two gets so many at least.
 */
void flows_by_channels(uint32_t at_least);

#endif
