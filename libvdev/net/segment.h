/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames made from one: segments of TCP and UDP, fragments of IP. */
#ifndef LIBVDEV_NET_SEGMENT_H
#define LIBVDEV_NET_SEGMENT_H

#include "libvdev/net/adapt.h"

/* The next one, as frame_adapt_next() gives it. */
VIRTQ_MUST_CHECK int segment_next(struct frame_adapt *a, struct vdev_frame *out);
/* Prepare what all fragments need of the datagram: its checksum, its number. */
VIRTQ_MUST_CHECK int fragment_begin(struct frame_adapt *a);
VIRTQ_MUST_CHECK int fragment_next(struct frame_adapt *a, struct vdev_frame *out);

#endif
