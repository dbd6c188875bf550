/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_NETIF_XDP_RIG_H
#define TESTS_UNIT_NETIF_XDP_RIG_H

#include <vdev/netif_xdp.h>

#include "check_main.h"

/* The XDP back-end on one end of a cable, in a network namespace of the test's own; the other end is the kernel's. */

struct xdp_rig {
	struct vdev_netif *netif;
	struct vdev_netif_channel *rx[2], *tx;
	uint8_t mac[6]; /* the host's */
	int sock;       /* the host's, port 9 */
	int raw;        /* all that comes to the host */
};

extern struct xdp_rig t;

/* queues: of the cable; 0: as the kernel makes them, one. */
void open_all(const struct vdev_netif_xdp_config *cfg, uint32_t queues, int mtu);
/* One queue, in the driver; in the general place, and with long frames. */
void setup(void);
void setup_generic(void);
void teardown(void);
/* The netif alone. Whoever calls it makes another one. */
void close_netif(void);
/* A case with either of them. */
TCase *with(Suite *suite, const char *name, SFun begin);

struct vdev_netif_counters counters(void);
void host_sends(const void *data, size_t len, int port);
void expect_at_host(const void *data, size_t len);
/* Wait for frames. Returns how many. */
uint32_t receive(struct vdev_frame *f, uint32_t max);
/* The bytes of one that was received: in one piece, nothing left to be done. */
const uint8_t *bytes_of(const struct vdev_frame *f);
void send_frames(const struct vdev_frame *f, uint32_t n);

#endif
