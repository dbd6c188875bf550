/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A network back-end that takes an interface of the host for itself: frames come and go past the host's stack (AF_XDP). Linux
 * 5.9 or newer; needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
 *
 * Whatever arrives at the interface goes to the device, and to nobody else, until the netif is freed or the process ends,
 * however it ends. Frames lie in memory shared with the kernel (with the hardware, where the driver can); a burst is
 * received without a system call and sent with one, or with none. vdev_netif_packet_new() is the one for an interface that
 * the host goes on using, and for links between kernels on one machine: there segments and checksums are left to the other end, as
 * here they can't.
 *
 * Checksums, segmentation and fragmentation of what is sent are done here, in software. Of a frame that comes in only its
 * bytes are seen: whatever the interface or the sending kernel keeps beside them is lost. So on a network card VLAN tags must be
 * left in the frames (`ethtool -K IF rxvlan off`), and the other end of a veth pair must not leave work to be done
 * (`ethtool -K PEER tx off tso off gso off txvlan off`). Frames longer than VDEV_NETIF_XDP_FRAME are dropped both ways.
 *
 * The interface is set to hear everything. Frames for which there is no room are dropped and counted, likewise ones sent while the
 * interface is down.
 */
#ifndef VDEV_NETIF_XDP_H
#define VDEV_NETIF_XDP_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Sizes. */
enum vdev_netif_xdp_size {
	VDEV_NETIF_XDP_FRAME = 3840, /**< bytes of the longest frame */
	VDEV_NETIF_XDP_QUEUES = 64   /**< queues of an interface that are served */
};

/** Bits of vdev_netif_xdp_config.flags. */
enum vdev_netif_xdp_flag {
	/**
	 * Take frames in the kernel's general place, not in the driver: slower, and works with each. It is also used where the driver
	 * refuses
	 */
	VDEV_NETIF_XDP_GENERIC = 1
};

/** How to open an interface. Zero what is not needed. */
struct vdev_netif_xdp_config {
	size_t size;      /**< sizeof(struct vdev_netif_xdp_config) */
	const char *name; /**< the interface, in the network namespace of the calling thread */
	uint32_t pairs;   /**< queue pairs at most; 0: 1; at most 64 */
	uint32_t ring;    /**< frames of a ring, a power of two; 0: 1024; 64 to 16384 */
	uint32_t flags;   /**< enum vdev_netif_xdp_flag */
	uint32_t reserved;
};

/**
 * Open an interface: all queues that it has now, up to VDEV_NETIF_XDP_QUEUES (what comes in by further ones stays with the host).
 * Queue q is received by pair q modulo the number of pairs in use; which frames come to it is the hardware's choice. Each
 * takes 8 KiB * ring of memory that stays resident (RLIMIT_MEMLOCK, without CAP_IPC_LOCK).
 * @param env  copied; its functions must outlive the netif
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM, -errno of the kernel (-EPERM; -ENODEV: no such interface; -EBUSY: somebody else has
 *         taken it, and not just now left it; -EAFNOSUPPORT: this kernel was built without)
 */
VIRTQ_MUST_CHECK int vdev_netif_xdp_new(struct vdev_netif **out, const struct vdev_env *env,
                                        const struct vdev_netif_xdp_config *cfg);
/**
 * Look whether the interface's link or MTU is another than last told, and tell the sink if so. Any thread but from inside of a
 * sink.
 * @return 1: told, 0: as it was, VIRTQ_EINVAL (not such a netif)
 */
VIRTQ_MUST_CHECK int vdev_netif_xdp_refresh(struct vdev_netif *n);

#ifdef __cplusplus
}
#endif

#endif
