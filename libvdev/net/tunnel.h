/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBVDEV_NET_TUNNEL_H
#define LIBVDEV_NET_TUNNEL_H

#include "libvdev/net/parse.h"

/*
 * Which kinds of enum net_hash_tunnel the packet at ip is, 0: none. *inner: position of what it carries, *type: its
 * enum net_type (NET_TYPE_TEB for a frame).
 */
uint32_t net_tunnel_of(const uint8_t *h, size_t have, const struct net_ip *ip, uint32_t *inner,
                       uint16_t *type);

#endif
