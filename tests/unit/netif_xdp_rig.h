/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_NETIF_XDP_RIG_H
#define TESTS_UNIT_NETIF_XDP_RIG_H

#include <vdev/netif_xdp.h>

#include "netif_rig.h"

/* The XDP back-end on one end of a cable. queues: of the cable; 0: as the kernel makes them, one. */
void open_all(const struct vdev_netif_xdp_config *cfg, uint32_t queues, int mtu);
/* One queue, in the driver; in the general place, and with long frames. */
void setup(void);
void setup_generic(void);

#endif
