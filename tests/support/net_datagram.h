/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_NET_DATAGRAM_H
#define TESTS_SUPPORT_NET_DATAGRAM_H

#include <stdint.h>

#include <vdev/netif.h>

/* Datagrams from a back-end's end of a cable to the other end, which is the kernel's. */

#define HOST "10.9.0.1"
#define OURS "10.9.0.2"

extern const uint8_t our_mac[6];

/* Where in such a frame headers and data begin. */
enum { IP = 14, UDP = 34, DATA = 42 };

/* A datagram to port 9 of the host, its checksum left to be done. Returns its length. */
uint32_t datagram(uint8_t *f, const uint8_t *to, const void *data, uint32_t len);
/* What is said of it. */
extern const struct vdev_net_offload needs_csum;

#endif
