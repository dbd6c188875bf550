/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBVDEV_NET_GIVE_H
#define LIBVDEV_NET_GIVE_H

#include <vdev/netif.h>

#include "gate.h"

enum { LONGEST_REST = 6 /* power of two of turns, between tries */ };

/*
 * Frames for a receiver to whom somebody else may just be giving some: tries again so often, at growing distances. Returns
 * how many it took, at most n.
 */
static inline uint32_t give(const struct vdev_net_sink *sink, const struct vdev_frame *frames,
                            uint32_t n, uint32_t flow, unsigned tries)
{
	uint32_t done = 0;

	for (unsigned k = 0;; k++) {
		uint32_t took = sink->deliver(sink->ctx, frames + done, n - done, flow);

		done += took < n - done ? took : n - done;
		if (done == n || k == tries)
			return done;
		for (unsigned i = 0; i < 1u << (k < LONGEST_REST ? k : LONGEST_REST); i++)
			cpu_relax();
	}
}

#endif
