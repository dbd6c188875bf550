/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a receiver of frames has not negotiated, done in software: checksums, segmentation of TCP and UDP, IP
 * fragmentation, all of that inside of UDP tunnels.
 *
 *	if (frame_fits(f, takes)) ... f itself
 *	r = frame_adapt_begin(&a, f, takes, mtu);
 *	while (r == 0 && (r = frame_adapt_next(&a, &out)) > 0) ... out
 *	r < 0: f made no sense, drop (the rest of) it
 *
 * Headers are made in memory of struct frame_adapt, payload stays where it is. The source is never written.
 */
#ifndef LIBVDEV_NET_ADAPT_H
#define LIBVDEV_NET_ADAPT_H

#include "libvdev/net/frame.h"
#include "libvdev/net/parse.h"

enum frame_adapt_kind { ADAPT_NONE, ADAPT_COPY, ADAPT_SUM, ADAPT_SEGMENT, ADAPT_FRAGMENT };

/* About 18 KiB, of which begin touches the first few lines and as much as there are headers. All private. */
struct frame_adapt {
	struct vdev_frame src;
	struct frame_cursor at; /* next payload */
	uint8_t kind;           /* enum frame_adapt_kind; NONE: all is done */
	uint8_t partial;        /* sums are left to the receiver */
	uint8_t tunnel;
	uint8_t outer_sum; /* the tunnel's UDP header wants one */
	uint8_t tcp;
	uint8_t reserved[3];
	uint32_t heads;   /* bytes of headers before the payload */
	uint32_t payload; /* bytes */
	uint32_t done;    /* of them */
	uint32_t size;    /* of them in a frame */
	uint32_t index;   /* of the next frame */
	uint32_t ident;   /* of IPv6 fragments */
	uint64_t pseudo;  /* sum of the transport's pseudo header without its length */
	uint64_t outer_pseudo;
	struct net_ip ip;                /* next to the transport header */
	struct net_ip outer;             /* with tunnel */
	uint8_t head[FRAME_HEADERS];     /* headers as they came */
	uint8_t made[FRAME_HEADERS + 8]; /* headers of the frame that next gave last */
	struct virtq_iov iov[FRAME_PIECES + 4];
};

/*
 * Begin to make of f what a receiver with these enum vdev_net_takes and this MTU (0: any) takes, if
 * vdev_net_offload_check() passes it. f's pieces must stay until the last frame_adapt_next().
 * Returns 0, VIRTQ_EPROTO (also: the headers aren't what the offloads say), VIRTQ_ENOSPC (longer than the MTU; frames that stay
 * unsegmented are no matter of that), VIRTQ_EINVAL (also: pieces shorter than the frame).
 */
VIRTQ_MUST_CHECK int frame_adapt_begin(struct frame_adapt *a, const struct vdev_frame *f,
                                       uint32_t takes, uint32_t mtu);
/*
 * The next frame, which stays until the next call.
 * Returns 1, 0 (there is none any more), VIRTQ_EINVAL (pieces shorter than the frame, or more than FRAME_PIECES in one).
 */
VIRTQ_MUST_CHECK int frame_adapt_next(struct frame_adapt *a, struct vdev_frame *out);

/* Bytes of a frame that are no IP packet's: Ethernet header and tags. */
uint32_t frame_link_bytes(const struct vdev_frame *f);

#endif
