/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet sockets: what opens and spreads them, beside what moves frames. */
#ifndef VDEV_NET_PACKET_H
#define VDEV_NET_PACKET_H

#include <linux/if_packet.h>

#include <vdev/netif_packet.h>

#include "netdev.h"

/* A socket with its ring. */
struct packet_queue {
	int fd;
	uint8_t *map;
	size_t bytes;
	uint32_t frames; /* slots */
	uint32_t slot;   /* bytes of one */
	uint32_t block;  /* bytes of a block of the ring, which holds */
	uint32_t per_block;
	uint32_t next; /* slot, the owner's */
	uint32_t held; /* slots before it that are not given back yet */
};

/* Receive frames of interface ifindex, at least frames of them of frame_max bytes. q->fd is -1 where it fails. */
VIRTQ_MUST_CHECK int packet_queue_open(struct packet_queue *q, int ifindex, uint32_t frames,
                                       uint32_t frame_max);
void packet_queue_close(struct packet_queue *q);
/* A socket to send with. */
VIRTQ_MUST_CHECK int packet_sender_open(int ifindex);

/*
 * Give each frame to one of n sockets; to the first, until packet_spread() says otherwise. They have been open since, so
 * frames that came more than once are thrown away.
 */
VIRTQ_MUST_CHECK int packet_join(struct packet_queue *q, uint32_t n);
/* Spread frames over the first n by their addresses and ports. */
VIRTQ_MUST_CHECK int packet_spread(const struct packet_queue *first, uint32_t n);

static inline struct tpacket2_hdr *packet_slot(const struct packet_queue *q, uint32_t i)
{
	return (struct tpacket2_hdr *)(void *)(q->map + (size_t)(i / q->per_block) * q->block +
	                                       (size_t)(i % q->per_block) * q->slot);
}

#endif
