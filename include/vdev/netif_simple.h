/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Network back-ends of memory alone, for measurements, tests and firmware: one that forgets, one that sends back, one that
 * makes frames. Each counts (vdev_netif_counters()) and is destroyed with vdev_netif_free().
 */
#ifndef VDEV_NETIF_SIMPLE_H
#define VDEV_NETIF_SIMPLE_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Frames that are sent are forgotten, with whatever offloads; nothing comes in. Any number of pairs.
 * @param env  copied; its functions must outlive the netif
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_netif_null_new(struct vdev_netif **out, const struct vdev_env *env);

/**
 * Each frame that is sent comes back to the sink before send returns, source and destination addresses swapped and all
 * else, offloads included, as it was. The sender's memory is not written. Frames that the sink is too busy for are not
 * taken; without a sink they are dropped and counted. The flow is the number of the pair. A sending channel takes 72 KiB.
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_netif_echo_new(struct vdev_netif **out, const struct vdev_env *env);

/** What a source makes. Zero what is not needed. */
struct vdev_netif_source_config {
	size_t size;               /**< sizeof(struct vdev_netif_source_config) */
	uint8_t dst[VDEV_NET_MAC]; /**< destination address of all frames */
	uint8_t src[VDEV_NET_MAC];
	/** bytes of a frame without its check sequence: 42 to 65549; 0: 60, the shortest of Ethernet */
	uint32_t frame_len;
	uint32_t
		flows; /**< conversations of a channel, one frame of each in turn; 0: 1; at most 65536 */
	uint64_t count; /**< frames of each channel, then it falls silent; 0: no end */
};

/**
 * A receiving channel yields as many frames as it is asked for, UDP over IPv4 with right checksums, whose flows differ in
 * source address and port; no two channels share a flow. What is sent is forgotten. There is no descriptor to wait
 * for: arm says 1 as long as frames are left. A receiving channel takes flows * frame_len bytes.
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_netif_source_new(struct vdev_netif **out, const struct vdev_env *env,
                                           const struct vdev_netif_source_config *cfg);

#ifdef __cplusplus
}
#endif

#endif
