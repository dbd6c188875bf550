/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A learning Ethernet switch (IEEE 802.1D, 802.1Q) whose ports are netifs.
 *
 * Frames go straight from the sender's memory into the receiving device, on the sender's thread: the switch has no queue and
 * no thread. For a known receiver that is busy for a moment frames are not taken, and wait in the sender's ring; what goes to many
 * ports is tried a few times for each, and dropped for that port then.
 *
 * What a frame's fate depends on (addresses, tag, type) is read once and handed on from private memory, so that a guest
 * which rewrites a frame under way can't get around a check.
 *
 * Threads: channels of ports as netif.h says. Everything else here is control: any thread, not from inside of a sink or of
 * send, and for one port one thread at a time. Ports come and go while frames flow. Those calls, open and close wait, at most as long as
 * senders that are just in send need to finish their burst; senders wait for nothing.
 */
#ifndef VDEV_NET_SWITCH_H
#define VDEV_NET_SWITCH_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_switch;

/** What a new switch is made from. Zero what is not needed. */
struct vdev_switch_config {
	size_t size; /**< sizeof(struct vdev_switch_config) */
	uint32_t
		addresses;  /**< room for that many, rounded up to a power of two; 0: 4096; at most 2^20 */
	uint32_t ports; /**< at most so many at a time; 0: 64; at most 1024 */
	/** how long an address that isn't seen is known, rounded to a quarter of a second; 0: 300,000 ms */
	uint32_t ageing_ms;
	uint32_t reserved;
	uint64_t
		seed; /**< of the hash of addresses; 0: made from the clock. One that guests can't guess */
	/** called while waiting for senders; NULL: sched_yield() */
	void (*yield)(void *ctx);
	void *ctx;
};

/** How a port treats VLAN tags (802.1Q, type 0x8100). */
enum vdev_switch_mode {
	/** tags are payload. Plain ports make a network of their own, apart from all VLANs */
	VDEV_SWITCH_PLAIN,
	/** of one VLAN, untagged in both directions. Tagged frames are dropped, but for priority tags (VLAN 0) */
	VDEV_SWITCH_ACCESS,
	/** of several VLANs, tagged; frames of the native one are untagged */
	VDEV_SWITCH_TRUNK
};

/** Bits of vdev_switch_port_config.flags. */
enum vdev_switch_port_flag {
	/** frames from another address than the port's static ones are dropped */
	VDEV_SWITCH_ONLY_STATIC = 1,
	VDEV_SWITCH_NO_LEARNING = 2,
	/** frames for unknown addresses are not sent out here */
	VDEV_SWITCH_NO_UNKNOWN = 4,
	/**
	 * frames that come from here don't change under way: what is behind it is no guest. Saves copying their headers.
	 */
	VDEV_SWITCH_STEADY = 8
};

/** How much may pass per second; what is beyond it is dropped. 0: no limit. */
struct vdev_switch_limit {
	uint64_t frames_per_s;
	uint64_t bytes_per_s;
	uint64_t frames_burst; /**< at once after a rest; 0: a tenth of a second's worth, at least 1 */
	/** bytes likewise. A longer frame passes after a rest, and owes the difference */
	uint64_t bytes_burst;
};

/** What a port is made from. Zero what is not needed. */
struct vdev_switch_port_config {
	size_t size;    /**< sizeof(struct vdev_switch_port_config) */
	uint32_t flags; /**< enum vdev_switch_port_flag */
	uint16_t mode;  /**< enum vdev_switch_mode */
	/** 1 to 4094: the VLAN of an access port (0: 1), the native one of a trunk (0: untagged frames are dropped) */
	uint16_t vlan;
	const uint16_t *vlans; /**< of a trunk, beside the native one; copied; NULL: all */
	uint32_t nvlans;
	/** bytes behind the Ethernet header (tags don't count), 68 to 65535; longer frames are dropped. 0: any */
	uint32_t mtu;
	uint32_t max_learned; /**< addresses that this port may fill the table with; 0: no limit */
	uint32_t speed;       /**< Mbit/s that the device is told; 0: unknown */
	/** not all 0: the device's address, told to it and static on the port's own VLAN */
	uint8_t mac[VDEV_NET_MAC];
	uint8_t reserved[2];
	struct vdev_switch_limit in;  /**< from the device. All limits need vdev_env.now */
	struct vdev_switch_limit out; /**< to the device */
	/** frames per second from the device to all, with a burst of a tenth of a second; 0: no limit */
	uint32_t broadcasts;
	uint32_t multicasts; /**< likewise to groups */
	uint32_t unknowns;   /**< likewise to addresses not known */
	uint32_t reserved2;
};

/** What passed through a port, and what did not. Frames where nothing else is said. */
struct vdev_switch_counters {
	uint64_t in; /**< from the device, taken and sent on */
	uint64_t in_bytes;
	uint64_t in_flooded;  /**< of those to more than one port: groups and unknown addresses */
	uint64_t learned;     /**< addresses */
	uint64_t moved;       /**< addresses that were known elsewhere before */
	uint64_t not_learned; /**< frames whose address found no room, or was beyond max_learned */
	uint64_t not_taken;   /**< given back to the sender, the receiver was busy; counted each time */
	/** dropped: no Ethernet frame; its source is a group or 0; a checksum is to be put into its header */
	uint64_t in_bad;
	uint64_t in_link_local; /**< dropped: to 01:80:c2:00:00:00 to 0f, which no bridge forwards */
	uint64_t in_vlan; /**< dropped: a tag that does not belong here, or none where one is needed */
	uint64_t in_oversized; /**< dropped: beyond the port's MTU */
	uint64_t in_limited;   /**< dropped: beyond the limit */
	uint64_t in_storm;     /**< dropped: too many to all, to groups, to unknown addresses */
	uint64_t in_spoofed;   /**< dropped: source address not allowed here */
	uint64_t in_local;     /**< dropped: the receiver is behind the same port */
	uint64_t in_down;      /**< dropped: this port's link is down */
	uint64_t out;          /**< to the device, taken by it */
	uint64_t out_bytes;
	uint64_t out_no_device; /**< dropped: there is none, or the link is down */
	uint64_t out_busy;      /**< dropped: one of many receivers, and busy for too long */
	uint64_t
		out_vlan; /**< dropped: not of this port's VLANs, or tagged inside of what leaves untagged */
	uint64_t out_oversized; /**< dropped: beyond the port's MTU, or the longest frame with a tag */
	uint64_t out_limited;   /**< dropped: beyond the limit */
	uint64_t out_pieces;    /**< dropped: in more than 1024 pieces */
	uint64_t reserved[8];
};

/**
 * Create a switch.
 * @param env  copied; its functions must outlive the switch. Without now nothing ages
 * @param cfg  NULL: all defaults
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_switch_new(struct vdev_switch **out, const struct vdev_env *env,
                                     const struct vdev_switch_config *cfg);
/** Destroy a switch without ports. NULL is fine. @return 0, VIRTQ_EBUSY: there are ports */
VIRTQ_MUST_CHECK int vdev_switch_free(struct vdev_switch *s);

/**
 * Add a port. vdev_netif_free() removes it while others go on: it returns when no sender looks at it any more, and what was learned
 * there is forgotten. A sending channel takes 22 KiB.
 * @param cfg  copied; NULL: a plain port
 * @return 0; VIRTQ_EINVAL; VIRTQ_ENOMEM; VIRTQ_ENOSPC: as many ports as there may be, or no room for its static
 *         address; VIRTQ_EBUSY: its address is static at another port
 */
VIRTQ_MUST_CHECK int vdev_switch_port_new(struct vdev_netif **out, struct vdev_switch *s,
                                          const struct vdev_switch_port_config *cfg);
/**
 * Change all of a port's configuration; limits begin anew. What was learned there is forgotten when mode or VLANs
 * change; static addresses stay, and the new one is added. A device learns of a new mac or mtu when it asks.
 * @return as vdev_switch_port_new(), nothing changed then; VIRTQ_EINVAL: @p port isn't one
 */
VIRTQ_MUST_CHECK int vdev_switch_port_set(struct vdev_netif *port,
                                          const struct vdev_switch_port_config *cfg);
/** Put the link up (1) or down (0); the device is told. Nothing passes while it is down. @return 0, VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_switch_port_set_link(struct vdev_netif *port, int up);
/**
 * An address that lies behind @p port for good: it doesn't age, is not learned elsewhere, and nobody else may send from it.
 * @param vlan  1 to 4094; 0: the port's own, as in its configuration (its native one, or none where that is plain)
 * @return 0; VIRTQ_EINVAL; VIRTQ_EBUSY: static at another port; VIRTQ_ENOSPC: too many static ones like it
 */
VIRTQ_MUST_CHECK int vdev_switch_port_add_mac(struct vdev_netif *port,
                                              const uint8_t mac[VDEV_NET_MAC], uint16_t vlan);
/** Take it back. @return 0, VIRTQ_EINVAL: it isn't static here */
VIRTQ_MUST_CHECK int vdev_switch_port_remove_mac(struct vdev_netif *port,
                                                 const uint8_t mac[VDEV_NET_MAC], uint16_t vlan);
/** Read the counters of a port. @return 0, VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_switch_port_counters(struct vdev_netif *port,
                                               struct vdev_switch_counters *out);

/**
 * Where an address lies now.
 * @param vlan  0: of the plain ports
 * @return the port, or NULL: not known
 */
struct vdev_netif *vdev_switch_find(struct vdev_switch *s, const uint8_t mac[VDEV_NET_MAC],
                                    uint16_t vlan);
/** Forget what was learned at @p port, or at all (NULL). @return 0, VIRTQ_EINVAL */
VIRTQ_MUST_CHECK int vdev_switch_flush(struct vdev_switch *s, struct vdev_netif *port);
/** How many learned addresses of @p port the table holds, or of all (NULL); aged ones until their place was needed. */
uint32_t vdev_switch_learned(struct vdev_switch *s, struct vdev_netif *port);

#ifdef __cplusplus
}
#endif

#endif
