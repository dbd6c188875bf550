/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A network back-end on a tap interface: what the device sends comes out of the host's interface, and what the host sends to
 * it goes to the device. Linux.
 *
 * Offloads pass through (IFF_VNET_HDR), both ways, as far as the kernel and the driver have them. A frame that the kernel
 * refuses, for what a guest put into its header, for want of memory or because the interface is down, is dropped and counted
 * (vdev_netif_counters()); nothing that a guest sends ends a channel.
 */
#ifndef VDEV_NETIF_TAP_H
#define VDEV_NETIF_TAP_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of an interface's name with its end, as IFNAMSIZ. */
enum vdev_netif_name { VDEV_NETIF_NAME = 16 };

/** How to open a tap. Zero what is not needed. */
struct vdev_netif_tap_config {
	size_t size; /**< sizeof(struct vdev_netif_tap_config) */
	/**
	 * The interface, in the network namespace of the calling thread. One that does not exist is made, and goes when the netif
	 * goes; "%d" in the name becomes a free number. NULL: "tap%d", or the descriptors
	 */
	const char *name;
	/**
	 * Descriptors of queues of one interface that somebody else opened (IFF_TAP, IFF_NO_PI), one for each pair, attached;
	 * NULL: by name. They are duplicated, and set not to block. Without IFF_VNET_HDR no offloads pass
	 */
	const int *fds;
	uint32_t pairs; /**< queue pairs at most (IFF_MULTI_QUEUE); 0: 1; at most 256 */
	uint32_t reserved;
};

/**
 * Open a tap, and of its queues use the first. A receiving channel takes 2 MiB, of which few are touched while frames are
 * short.
 * @param env  copied; its functions must outlive the netif
 * @return 0, VIRTQ_EINVAL (also: not a tap), VIRTQ_ENOMEM, -errno of the kernel (-EPERM, -EBUSY: somebody else has it open)
 */
VIRTQ_MUST_CHECK int vdev_netif_tap_new(struct vdev_netif **out, const struct vdev_env *env,
                                        const struct vdev_netif_tap_config *cfg);
/**
 * The interface's name, as it is now. Any thread.
 * @return 0, VIRTQ_EINVAL (not a tap), -errno (it is gone)
 */
VIRTQ_MUST_CHECK int vdev_netif_tap_name(struct vdev_netif *n, char name[VDEV_NETIF_NAME]);
/**
 * Look whether the interface's link or MTU is another than last told, and tell the sink if so. Whoever changes the interface
 * calls it, or somebody who watches it by netlink, or a timer. Any thread but from inside of a sink.
 * @return 1: told, 0: as it was, VIRTQ_EINVAL (not a tap)
 */
VIRTQ_MUST_CHECK int vdev_netif_tap_refresh(struct vdev_netif *n);

#ifdef __cplusplus
}
#endif

#endif
