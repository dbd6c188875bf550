/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A network back-end on an interface of the host, beside the host's own stack: what arrives at the interface goes to the
 * device, what the device sends leaves by the interface (AF_PACKET). Linux; needs CAP_NET_RAW.
 *
 * Frames are received from a ring that the kernel fills, without a system call, and sent a burst a call. Checksums and
 * segmentation are left to the interface as far as it can do them. The interface is set to hear everything. What the host
 * itself sends by the interface is not received. A frame that the kernel refuses is dropped and counted, likewise when too
 * many are under way.
 */
#ifndef VDEV_NETIF_PACKET_H
#define VDEV_NETIF_PACKET_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to open an interface. Zero what is not needed. */
struct vdev_netif_packet_config {
	size_t size;      /**< sizeof(struct vdev_netif_packet_config) */
	const char *name; /**< the interface, in the network namespace of the calling thread */
	uint32_t pairs;   /**< queue pairs at most; 0: 1; at most 64 */
	uint32_t ring;    /**< frames that a pair's ring holds at least; 0: 256; at most 65536 */
	/**
	 * bytes of the longest frame that is received; 0: 65557. An interface without receive offloads (GRO, LRO) needs only its
	 * MTU and 18. Longer ones are dropped
	 */
	uint32_t frame_max;
	uint32_t reserved;
};

/**
 * Open an interface. Rings take pairs * ring * (frame_max + 128) bytes of the kernel's memory.
 * @param env  copied; its functions must outlive the netif
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM, -errno of the kernel (-EPERM; -ENODEV: no such interface)
 */
VIRTQ_MUST_CHECK int vdev_netif_packet_new(struct vdev_netif **out, const struct vdev_env *env,
                                           const struct vdev_netif_packet_config *cfg);
/**
 * Look whether the interface's link or MTU is another than last told, and tell the sink if so. Any thread but from inside of a
 * sink.
 * @return 1: told, 0: as it was, VIRTQ_EINVAL (not such a netif)
 */
VIRTQ_MUST_CHECK int vdev_netif_packet_refresh(struct vdev_netif *n);

#ifdef __cplusplus
}
#endif

#endif
