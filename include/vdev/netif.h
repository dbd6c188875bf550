/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a network interface device model is plugged into: a tap, a port of a switch, another device. A back-end
 * implements it, virtio-net (and later e1000) uses it; neither sees the other.
 *
 * Frames go in bursts, as arrays of struct vdev_frame, each with the offloads that whoever sent it left to be done
 * (struct vdev_net_offload). Nothing is queued on the way: when a call that was given frames returns, nobody looks at
 * those any more that were taken, and their memory is the caller's again.
 *
 * Two ways for frames to come in: a netif that has something to poll (a tap) is asked for them, vdev_netif_ops.receive; one
 * in which others push (a port of a switch) gives them to the sink, on the thread of whoever pushes.
 *
 * Threads: a channel belongs to one thread at a time; channels of one netif work in parallel. A sink takes frames from any
 * number of threads at a time.
 */
#ifndef VDEV_NETIF_H
#define VDEV_NETIF_H

#include <stddef.h>
#include <stdint.h>

#include <vdev/env.h>
#include <virtq/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Sizes. */
enum vdev_net_size {
	VDEV_NET_MAC = 6,  /**< bytes of an address */
	VDEV_NET_ETH = 14, /**< bytes of an Ethernet header without tags */
	VDEV_NET_MIN_MTU = 68,
	VDEV_NET_MAX_FRAME =
		65535 + 14 + 8, /**< bytes of the longest frame: a whole IP packet with two tags */
	VDEV_NET_BURST = 32 /**< most frames of one call */
};

/** Bits of vdev_net_offload.flags: those of struct virtio_net_hdr (5.1.6). */
enum vdev_net_flag {
	VDEV_NET_NEEDS_CSUM = 1, /**< a checksum is to be filled in: csum_start, csum_offset */
	VDEV_NET_DATA_VALID = 2, /**< checksums have been looked at, and are right */
	VDEV_NET_RSC_INFO = 4,
	VDEV_NET_UDP_TUNNEL_CSUM = 8 /**< the outer UDP checksum too */
};

/** Kinds of vdev_net_offload.gso_type, likewise. */
enum vdev_net_gso {
	VDEV_NET_GSO_NONE = 0,
	VDEV_NET_GSO_TCPV4 = 1,
	VDEV_NET_GSO_UDP = 3, /**< fragments of one datagram (UFO) */
	VDEV_NET_GSO_TCPV6 = 4,
	VDEV_NET_GSO_UDP_L4 = 5,       /**< several datagrams (USO) */
	VDEV_NET_GSO_TUNNEL_V4 = 0x20, /**< bit: inside of UDP over IPv4 */
	VDEV_NET_GSO_TUNNEL_V6 = 0x40, /**< bit: inside of UDP over IPv6 */
	VDEV_NET_GSO_TUNNEL = 0x60,
	VDEV_NET_GSO_ECN = 0x80 /**< bit: TCP with congestion marks */
};

/**
 * What is left to be done to a frame: struct virtio_net_hdr in the order of this processor. Positions count from the frame's
 * first byte. Whoever hands it on has checked it (vdev_net_offload_check()).
 */
struct vdev_net_offload {
	uint8_t flags;     /**< enum vdev_net_flag */
	uint8_t gso_type;  /**< enum vdev_net_gso */
	uint16_t hdr_len;  /**< bytes of all headers; a hint that nobody relies on */
	uint16_t gso_size; /**< payload bytes of a segment, with a gso_type */
	uint16_t
		csum_start; /**< with NEEDS_CSUM: where to begin summing, the (inner) transport header */
	uint16_t csum_offset; /**< and where the sum belongs, from there */
	uint16_t outer_th;    /**< with a tunnel: outer transport header */
	uint16_t inner_nh;    /**< with a tunnel: inner network header */
};

/**
 * An Ethernet frame on its way. Its bytes may lie in a guest's memory and change at any time: what decides something is read
 * once into memory of one's own.
 */
struct vdev_frame {
	const struct virtq_iov *iov; /**< pieces, from the destination address on; sum up to len */
	uint32_t niov;
	uint32_t len; /**< bytes, VDEV_NET_ETH to VDEV_NET_MAX_FRAME */
	struct vdev_net_offload offload;
};

/** Offloads that a receiver of frames takes as they are; the others are done for it in software. */
enum vdev_net_takes {
	VDEV_NET_TAKES_CSUM = 1 << 0,
	VDEV_NET_TAKES_TSO4 = 1 << 1, /**< these all imply CSUM @{ */
	VDEV_NET_TAKES_TSO6 = 1 << 2,
	VDEV_NET_TAKES_ECN = 1 << 3, /**< with TSO4 or TSO6 */
	VDEV_NET_TAKES_UFO = 1 << 4,
	VDEV_NET_TAKES_USO4 = 1 << 5,
	VDEV_NET_TAKES_USO6 = 1 << 6,
	VDEV_NET_TAKES_TUNNEL = 1 << 7, /**< TSO and USO inside of UDP; with TSO4, TSO6, USO4, USO6 */
	VDEV_NET_TAKES_TUNNEL_CSUM = 1 << 8, /**< @} and with the outer checksum; with TUNNEL */
	VDEV_NET_TAKES_ALL = (1 << 9) - 1
};

/** What a netif is. */
struct vdev_netif_info {
	uint32_t takes; /**< enum vdev_net_takes: what send does, or hands on */
	uint32_t mtu;   /**< bytes behind the Ethernet header, 68 to 65535; 0: no limit of its own */
	uint32_t speed; /**< Mbit/s; UINT32_MAX: unknown */
	uint8_t duplex; /**< 1 full, 0 half, 0xff unknown */
	uint8_t link;   /**< 1: up */
	uint8_t has_mac;
	uint8_t mac[VDEV_NET_MAC]; /**< with has_mac: what the device behind it should have */
	uint8_t reserved;
	uint32_t max_pairs; /**< channels of each direction at most; 0: any number */
};

/** Who takes what comes in, for a netif that pushes. Const while it is set. */
struct vdev_net_sink {
	size_t size; /**< sizeof(struct vdev_net_sink) */
	/**
	 * Frames for the device. Any thread, several at a time; not from inside of deliver itself.
	 * @param flow  a number by which frames of one conversation are told from others, or 0
	 * @return how many were taken, from the first on; for those there was no room they were dropped and counted by the
	 *         receiver. Fewer than @p n: somebody else is just delivering there; try again, or drop them
	 */
	uint32_t (*deliver)(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow);
	/** The link went up or down, or speed changed: vdev_netif_ops.info says how. Any thread. */
	void (*link)(void *ctx);
	/** Frames that send did not take may be tried again. Any thread. */
	void (*writable)(void *ctx);
	void *ctx;
};

/** Which way a channel's frames go. */
enum vdev_net_way { VDEV_NET_SEND, VDEV_NET_RECEIVE };

/** What went through a netif. All of them frames, if not bytes. */
struct vdev_netif_counters {
	uint64_t sent; /**< taken by send, and not dropped */
	uint64_t sent_bytes;
	uint64_t send_dropped; /**< taken by send, and lost */
	uint64_t not_taken;    /**< given to send and not taken, counted each time */
	uint64_t received;     /**< given to the device: by receive, or taken by the sink */
	uint64_t received_bytes;
	uint64_t receive_dropped; /**< came in, and were lost on the way to the device */
	uint64_t reserved[5];
};

struct vdev_netif;
struct vdev_netif_channel;

/** What a back-end implements. Const, grows at its end only. */
struct vdev_netif_ops {
	size_t size; /**< sizeof(struct vdev_netif_ops) */
	const char *name;
	/** Any thread. */
	void (*info)(struct vdev_netif *n, struct vdev_netif_info *out);
	/** A channel for queue pair @p pair. On its thread. @return 0 or VIRTQ_E* */
	int (*open)(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
	            struct vdev_netif_channel **out);
	/** On its thread. */
	void (*close)(struct vdev_netif_channel *c);
	/**
	 * Send frames. What was taken is sent, or lost as frames may be (and counted).
	 * @return how many were taken, from the first on; the rest may be tried again, best after writable
	 */
	uint32_t (*send)(struct vdev_netif_channel *c, const struct vdev_frame *frames, uint32_t n);
	/**
	 * Take frames that came in. They and their memory stay until the next call on this channel. NULL for a netif that
	 * pushes.
	 * @return how many, at most @p max; 0: none now; < 0: -errno, there will be none any more
	 */
	int (*receive)(struct vdev_netif_channel *c, struct vdev_frame *frames, uint32_t max);
	/** fd that is readable when receive has something, or -1. NULL without receive. */
	int (*fd)(struct vdev_netif_channel *c);
	/** Make fd readable at the next frame. @return 1: there is one already; 0. NULL without receive. */
	int (*arm)(struct vdev_netif_channel *c);
	/**
	 * Where frames and events go; NULL: nowhere, and when that has returned none is on its way any more. Control
	 * thread, never from inside of a sink. May be NULL, where there never are any.
	 */
	void (*set_sink)(struct vdev_netif *n, const struct vdev_net_sink *sink);
	/**
	 * What the driver takes from now on (enum vdev_net_takes), for a netif whose source can do with less: told when a
	 * driver is ready, when it turns offloads on or off, and 0 when the device is reset. Frames with more are
	 * no mistake: they are adapted on their way. Any one thread. NULL: it doesn't care.
	 * @return 0, or -errno: frames come as before
	 */
	int (*set_takes)(struct vdev_netif *n, uint32_t takes);
	/**
	 * How many pairs of channels are in use from now on: a netif that spreads frames over channels uses the first so
	 * many. Any one thread. May be NULL.
	 */
	void (*set_pairs)(struct vdev_netif *n, uint32_t pairs);
	/** All channels are closed, and there is no sink. */
	void (*destroy)(struct vdev_netif *n);
	/** Any thread. NULL: it does not count. */
	void (*counters)(struct vdev_netif *n, struct vdev_netif_counters *out);
};

/** A netif; first member of the back-end's own struct. */
struct vdev_netif {
	const struct vdev_netif_ops *ops;
};

/** A channel; first member of the back-end's own struct. */
struct vdev_netif_channel {
	struct vdev_netif *netif;
};

/**
 * Whether what a frame says is left to be done to it (vdev_frame.offload) makes sense, as whoever makes frames from what a
 * guest wrote must find out first: flags, gso_type, gso_size and the positions go together and lie inside the frame
 * (5.1.6.2.2, net/tx-packets/D8, D10, D11). hdr_len is not looked at, flags that are not known are ignored. Does not read
 * the frame's bytes: that the headers are what gso_type says is found out when something is done by it. Any thread.
 * @return 0, VIRTQ_EPROTO (it doesn't: drop the frame), VIRTQ_EINVAL (the length can't be a frame's)
 */
VIRTQ_MUST_CHECK int vdev_net_offload_check(const struct vdev_frame *f);

/** Destroy a netif. NULL is fine. */
void vdev_netif_free(struct vdev_netif *n);
/**
 * What went through a netif since it was made. Any thread.
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOTSUP (it does not count)
 */
VIRTQ_MUST_CHECK int vdev_netif_counters(struct vdev_netif *n, struct vdev_netif_counters *out);

#ifdef __cplusplus
}
#endif

#endif
