/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_NET_NS_H
#define TESTS_SUPPORT_NET_NS_H

#include <stdint.h>

/*
 * Network namespaces of the test's own, so that the machine's network stays as it is, and the interfaces in them. What
 * fails, fails the test.
 */

/* Why there can be none here, or NULL. In a process of its own. */
const char *ns_missing(void);
/* Why there are no XDP sockets in one, for root, or NULL. */
const char *xdp_missing(void);
/* From here on this thread's network is a new and empty one; sockets and taps stay in that they were made in. */
void ns_enter(void);
/* The same without a namespace of users, in which the kernel lets nobody have programs of his own: for root only. */
int ns_enter_as_root(void);

void if_up(const char *name, int up);
/* Wait until frames can be sent by it: the kernel notices a cable when it has time for it. */
void if_wait(const char *name);
/* Wait until a frame goes through a cable: the first one may be lost by the kernel (6.18), once in some dozens of times. */
void cable_wait(const char *from, const char *to);
/* An address with a network of 24 bits. */
void if_address(const char *name, const char *ip);
/* Who has an address, so that nobody has to ask. */
void if_neighbour(const char *name, const char *ip, const uint8_t *mac);
void if_get_mac(const char *name, uint8_t *mac);
void if_mtu(const char *name, int mtu);
int if_index(const char *name);
void if_delete(const char *name);
void veth_new(const char *name, const char *peer);
/* With so many queues at each end. */
void veth_new_queues(const char *name, const char *peer, uint32_t queues);
/* Leave nothing to be done to frames that are sent by it: checksums, segments, tags. */
void if_no_offloads(const char *name);

/* Wait up to 60 s for a descriptor to become readable. */
void wait_readable(int fd);
/* Whether it is, now. */
int is_readable(int fd);

#endif
