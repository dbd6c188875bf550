/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_NET_OPTIONS_H
#define EXAMPLES_NET_OPTIONS_H

#include <stdint.h>

enum { NET_SOCKETS = 64, NET_PAIRS = 64, NET_THREADS = 64, NET_VLANS = 64 };

enum net_kind {
	NET_NONE,
	NET_SWITCH,
	NET_PAIR,
	NET_TAP,
	NET_PACKET,
	NET_XDP,
	NET_PCAP,
	NET_ECHO,
	NET_NULL,
	NET_SOURCE
};

/* What a socket's guest is plugged into: one --net. */
struct net_spec {
	enum net_kind kind;
	char *name;         /* of a tap, an interface or a file: the rest of the option */
	uint32_t frame_len; /* of a source; 0: the shortest */
	uint32_t flows;     /* of a source */
	uint64_t count;     /* of a source's channel; 0: no end */
	uint16_t vlan;      /* access or native VLAN of a switch's port */
	int trunk;          /* a port with tags */
	unsigned nvlans;    /* that a trunk has beside its native one; 0: all */
	uint16_t vlans[NET_VLANS];
};

/* The command line of vhost-user-net. */
struct net_options {
	unsigned nsockets;
	const char *sockets[NET_SOCKETS];
	unsigned nnets; /* one for all sockets, or one for each */
	struct net_spec nets[NET_SOCKETS];
	unsigned npcaps;
	const char *pcaps[NET_SOCKETS]; /* the k-th is of the k-th socket */
	unsigned pairs;
	int has_mac;
	uint8_t mac[6]; /* of the first socket's device; the next one's is one more */
	uint16_t mtu;
	unsigned threads; /* 0: one for each queue pair, as far as there are processors */
	int poll;
	uint32_t spin_us;
};

/* Read the command line. Returns 0; 1 when all was said (--help); 2 after one line about what is wrong. */
int net_options_read(struct net_options *o, int argc, char **argv);

/* The --net of a socket. */
const struct net_spec *net_options_net(const struct net_options *o, unsigned socket);

#endif
