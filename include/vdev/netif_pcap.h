/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A netif around another one that writes the frames of both directions to a file, which Wireshark and tcpdump open (pcap with
 * nanoseconds). Linux.
 *
 * Frames are written as they would be on a wire: checksums filled in, segmented. Those that were not taken are not written. What
 * is sent lies in the guest's memory and may change between being sent and being written; an answer that comes while a
 * frame is being sent stands before it in the file.
 *
 * Threads prepare what they write each by itself, and wait for one another only while it goes to the file: a write to the
 * page cache, at most 128 KiB. When that fails (a full disk) the capture ends with the last whole frame, and the traffic goes
 * on.
 */
#ifndef VDEV_NETIF_PCAP_H
#define VDEV_NETIF_PCAP_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to capture. Zero what is not needed. */
struct vdev_netif_pcap_config {
	size_t size;        /**< sizeof(struct vdev_netif_pcap_config) */
	const char *path;   /**< created for its owner only, or emptied; or NULL and fd */
	int fd;             /**< used (and duplicated) when path is NULL; a file, not a pipe */
	uint32_t snaplen;   /**< bytes that are kept of a frame at most; 0: all */
	uint64_t max_bytes; /**< of the file; then the capture ends; 0: no limit */
	uint32_t own_netif; /**< 1: vdev_netif_free() destroys the inner netif too */
	uint32_t reserved;
};

/**
 * Capture what goes through @p inner, which is used through the new netif alone from then on and outlives it unless owned.
 * A channel takes 150 KiB.
 * @param env  copied; its functions must outlive the netif; its log hears of a capture that ended
 * @return 0, VIRTQ_EINVAL (also: a pipe or socket), VIRTQ_ENOMEM, -errno of the file system
 */
VIRTQ_MUST_CHECK int vdev_netif_pcap_new(struct vdev_netif **out, const struct vdev_env *env,
                                         struct vdev_netif *inner,
                                         const struct vdev_netif_pcap_config *cfg);

/** How a capture is going. */
struct vdev_netif_pcap_status {
	uint64_t frames; /**< in the file; each segment counts */
	uint64_t bytes;  /**< of the file */
	uint64_t lost;   /**< frames that are not in the file because the capture had ended */
	int error;       /**< why it ended, -errno; VIRTQ_ENOSPC for max_bytes as well; 0: it goes on */
	uint32_t reserved;
};
/** @return 0, VIRTQ_EINVAL (not such a netif). Any thread. */
VIRTQ_MUST_CHECK int vdev_netif_pcap_status(struct vdev_netif *n,
                                            struct vdev_netif_pcap_status *out);

#ifdef __cplusplus
}
#endif

#endif
