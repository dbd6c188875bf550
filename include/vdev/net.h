/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * virtio-net (section 5.1).
 */
#ifndef VDEV_NET_H
#define VDEV_NET_H

#include <vdev/netif.h>
#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Feature bits of the device type (5.1.3). */
enum vdev_net_feature {
	VDEV_NET_F_CSUM = 0,
	VDEV_NET_F_GUEST_CSUM = 1,
	VDEV_NET_F_CTRL_GUEST_OFFLOADS = 2,
	VDEV_NET_F_MTU = 3,
	VDEV_NET_F_MAC = 5,
	VDEV_NET_F_GUEST_TSO4 = 7,
	VDEV_NET_F_GUEST_TSO6 = 8,
	VDEV_NET_F_GUEST_ECN = 9,
	VDEV_NET_F_GUEST_UFO = 10,
	VDEV_NET_F_HOST_TSO4 = 11,
	VDEV_NET_F_HOST_TSO6 = 12,
	VDEV_NET_F_HOST_ECN = 13,
	VDEV_NET_F_HOST_UFO = 14,
	VDEV_NET_F_MRG_RXBUF = 15,
	VDEV_NET_F_STATUS = 16,
	VDEV_NET_F_CTRL_VQ = 17,
	VDEV_NET_F_CTRL_RX = 18,
	VDEV_NET_F_CTRL_VLAN = 19,
	VDEV_NET_F_CTRL_RX_EXTRA = 20,
	VDEV_NET_F_GUEST_ANNOUNCE = 21,
	VDEV_NET_F_MQ = 22,
	VDEV_NET_F_CTRL_MAC_ADDR = 23,
	VDEV_NET_F_DEVICE_STATS = 50,
	VDEV_NET_F_HASH_TUNNEL = 51,
	VDEV_NET_F_VQ_NOTF_COAL = 52,
	VDEV_NET_F_NOTF_COAL = 53,
	VDEV_NET_F_GUEST_USO4 = 54,
	VDEV_NET_F_GUEST_USO6 = 55,
	VDEV_NET_F_HOST_USO = 56,
	VDEV_NET_F_HASH_REPORT = 57,
	VDEV_NET_F_GUEST_HDRLEN = 59,
	VDEV_NET_F_RSS = 60,
	VDEV_NET_F_RSC_EXT = 61,
	VDEV_NET_F_SPEED_DUPLEX = 63,
	VDEV_NET_F_RSS_CONTEXT = 64,
	VDEV_NET_F_GUEST_UDP_TUNNEL_GSO = 65,
	VDEV_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM = 66,
	VDEV_NET_F_HOST_UDP_TUNNEL_GSO = 67,
	VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM = 68
};

/** What a new network device is made from. Zero what is not needed. */
struct vdev_net_config {
	size_t size;    /**< sizeof(struct vdev_net_config) */
	uint32_t pairs; /**< queue pairs at most; 0: 1; at most 64 */
	/** largest queue size; 0: 1024; a power of two where split rings are wanted */
	uint16_t queue_max;
	uint16_t mtu; /**< 0: the netif's, or not offered; 68 to 65535, and no more than the netif's */
	uint8_t mac[VDEV_NET_MAC]; /**< all 0: the netif's, or not offered; no group address */
	uint8_t reserved[2];
	uint32_t own_netif; /**< 1: vdev_free() destroys the netif too, after vdev_net_new() */
	uint32_t reserved2;
};

/**
 * Create a virtio-net device on @p netif, which must outlive it. Queues: receive and transmit of each pair in turn, then the
 * control queue; without MQ and RSS negotiated the control queue is queue 2.
 * @param cfg  NULL: all defaults
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_net_new(struct vdev **out, const struct vdev_env *env,
                                  struct vdev_netif *netif, const struct vdev_net_config *cfg);

/**
 * Have the driver tell the network where it is now (GUEST_ANNOUNCE), as after a migration; where the driver can't, the
 * device sends a RARP frame for @p mac itself (NULL: its own address), once it can transmit. Any one thread.
 * A reset of the device takes it back.
 * @return 0, VIRTQ_EINVAL (not a virtio-net), VIRTQ_ENOTSUP (the driver can't, and there is no address)
 */
VIRTQ_MUST_CHECK int vdev_net_announce(struct vdev *v, const uint8_t *mac);

/** What a device has done besides the counters of its queues. All of them frames. */
struct vdev_net_counters {
	uint64_t received; /**< given to the driver */
	uint64_t received_bytes;
	uint64_t no_buffers; /**< dropped: the driver had given no buffers, or too few */
	uint64_t too_short;  /**< dropped: did not fit into the buffer of a driver that can't merge */
	uint64_t not_ready;  /**< dropped: no queue to receive with */
	uint64_t filtered;   /**< dropped by the driver's filters */
	uint64_t oversized;  /**< dropped: longer than the driver takes */
	uint64_t segmented;  /**< were segmented for the driver */
	uint64_t summed;     /**< had a checksum filled in for the driver */
	uint64_t sent;       /**< given to the netif */
	uint64_t sent_bytes;
	uint64_t malformed; /**< dropped: the driver's header or frame made no sense */
	uint64_t unfit;     /**< dropped: not what the driver takes, and it could not be made so */
	uint64_t discarded; /**< dropped: sent on a queue that is disabled */
	uint64_t lost; /**< dropped: the netif took no more, and there is no vdev_env.now to wait by */
	uint64_t reserved;
};
/** Read them. Any thread. */
void vdev_net_counters(struct vdev *v, struct vdev_net_counters *out);

#ifdef __cplusplus
}
#endif

#endif
