/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Two netifs back to back, as by a cable: what is sent to one comes out of the other.
 */
#ifndef VDEV_NETIF_PAIR_H
#define VDEV_NETIF_PAIR_H

#include <vdev/netif.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Create a pair. Frames go into the other side's sink on the sender's thread, as they are. Those that it is too busy for
 * are not taken; while there is no sink they are dropped. Each end is destroyed by itself (vdev_netif_free()); the link of
 * the one that is left is down then, and its device is told. Threads: as netif.h says; open, close, set_sink and
 * vdev_netif_free() wait at most until senders that are just in send have finished their burst, and must not come from inside of a
 * sink. A channel takes some 100 bytes.
 * @param out  both ends
 * @param env  copied; its functions must outlive both
 * @return 0, VIRTQ_EINVAL, VIRTQ_ENOMEM
 */
VIRTQ_MUST_CHECK int vdev_netif_pair_new(struct vdev_netif *out[2], const struct vdev_env *env);

#ifdef __cplusplus
}
#endif

#endif
