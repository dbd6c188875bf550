/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of virtio-net's control queue, for tests. */
#ifndef TESTS_SUPPORT_NET_CTRL_H
#define TESTS_SUPPORT_NET_CTRL_H

#include "net_fixture.h"

enum { CTRL_ROOM = 4096, CTRL_OK = 0, CTRL_ERR = 1 };

/* All features that the control queue's commands need; pairs 1 to 64, a queue of 256. */
void ctrl_init(struct net_fixture *f, int packed, uint32_t pairs);
/* One command. Returns its ack; what follows the ack goes to reply, and *got says how much. */
int ctrl_command(struct net_fixture *f, unsigned class, unsigned command, const void *data,
                 uint32_t len, void *reply, uint32_t room, uint32_t *got);
/* Without a reply. */
int ctrl_set(struct net_fixture *f, unsigned class, unsigned command, const void *data,
             uint32_t len);
/* The same with one little-endian value of so many bytes. */
int ctrl_value(struct net_fixture *f, unsigned class, unsigned command, uint64_t value,
               uint32_t bytes);
/* struct virtio_net_rss_config; returns its bytes. Its table is filled with pairs 0, 1, ... of n in turn. */
uint32_t ctrl_rss(uint8_t *to, uint32_t types, uint32_t entries, uint32_t n, uint32_t max_tx,
                  uint32_t key_len);

#endif
