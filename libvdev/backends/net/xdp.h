/* SPDX-License-Identifier: BSD-3-Clause */
/* XDP sockets: memory and rings shared with the kernel, and what leads frames there, beside what moves frames. */
#ifndef VDEV_NET_XDP_H
#define VDEV_NET_XDP_H

#include <linux/if_xdp.h>

#include <vdev/netif_xdp.h>

#include "netdev.h"

enum { XDP_CHUNK = 4096 }; /* of memory, for a frame */

/* One of the rings; the kernel is at its other end. mine counts what we have put in or taken out, shown or not. */
struct xdp_ring {
	void *map;
	size_t bytes;
	uint32_t *producer, *consumer, *flags;
	void *entries;
	uint32_t mask;
	uint32_t mine;
};

/* A socket: one queue of the interface. */
struct xdp_queue {
	int fd;
	uint32_t frames; /* of each ring */
	uint8_t *memory; /* chunks: as many for what comes in, then as many for what goes out */
	size_t bytes;
	pthread_mutex_t receiving; /* over the next two */
	struct xdp_ring fill, rx;
	pthread_mutex_t sending; /* over the rest */
	struct xdp_ring tx, done;
	int down;       /* the kernel did not send when last asked */
	uint32_t nfree; /* chunks to send from */
	uint32_t *free; /* their positions */
};

/* Open a socket on this queue, ready to receive. q->fd is -1 where it fails. -EINVAL: there is no such queue. */
VIRTQ_MUST_CHECK int xdp_queue_open(struct xdp_queue *q, int ifindex, uint32_t queue,
                                    uint32_t frames, int generic);
void xdp_queue_close(struct xdp_queue *q);

/* Have the kernel send what is in the ring. 0, or -errno: nothing was sent. */
int xdp_queue_kick(struct xdp_queue *q);
/* Take back chunks that were sent. */
void xdp_queue_reap(struct xdp_queue *q);

/* Lead what arrives at the n queues to their sockets, until the descriptor that is returned is closed. */
VIRTQ_MUST_CHECK int xdp_attach(const struct xdp_queue *q, uint32_t n, int ifindex, int generic);

#endif
