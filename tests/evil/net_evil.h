/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests of network devices under evil drivers share. */
#ifndef TESTS_EVIL_NET_EVIL_H
#define TESTS_EVIL_NET_EVIL_H

#include "net_fixture.h"

enum { HDR = 12, BUFFER = 1526, LONG = 60 };

extern const uint8_t no_hdr[24];

struct vdev_net_counters counters(const struct net_fixture *f);
void fill(uint8_t *frame, uint32_t len, uint8_t seed);
/* The device needs a reset. */
int broken(const struct net_fixture *f);
/* Offer these pieces in a queue, and tell the device. */
void offer(struct net_fixture *f, unsigned q, const struct virtq_seg *seg, uint32_t nread,
           uint32_t nwrite);
/* The device works: a frame goes out, and one comes in. */
void works(struct net_fixture *f);
/* After a reset, on fresh memory. */
void works_after_reset(struct net_fixture *f);

#endif
