/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the driver has set by the control queue (5.1.6.5), as plain data, and what a command makes of it. Nothing here
 * touches guest memory or a queue: ctrl.c does.
 *
 * Those that receive read a copy that does not change while they do, see docs/adr/0017.
 */
#ifndef LIBVDEV_DEVICES_NET_SETTINGS_H
#define LIBVDEV_DEVICES_NET_SETTINGS_H

#include <stdint.h>
#include <string.h>

#include <vdev/netif.h>
#include <virtq/wire.h>

#include "../../net/hash.h"

enum {
	NET_MACS = 64, /* addresses of a kind that are told apart; of more, all of the kind are taken */
	NET_VLANS = 4096,
	NET_TABLE = 128,  /* entries of an indirection table */
	NET_KEY = 40,     /* bytes of a key */
	NET_CONTEXTS = 8, /* RSS contexts */
	NET_VQS = 2 * 64, /* receive and transmit queues at most */
	NET_TUNNEL_GSO_BIT =
		46, /* of the command's offloads: where the feature's number would not do */
	NET_TUNNEL_GSO_CSUM_BIT = 47
};

/* Classes and commands. */
enum net_class {
	NET_CTRL_RX = 0,
	NET_CTRL_MAC = 1,
	NET_CTRL_VLAN = 2,
	NET_CTRL_ANNOUNCE = 3,
	NET_CTRL_MQ = 4,
	NET_CTRL_GUEST_OFFLOADS = 5,
	NET_CTRL_NOTF_COAL = 6,
	NET_CTRL_HASH_TUNNEL = 7,
	NET_CTRL_STATS = 8,
	NET_CTRL_RSS_CTX = 9
};

enum { NET_OK = 0, NET_ERR = 1 };

/* Modes of reception, by the numbers of their commands. */
enum net_rx_mode {
	NET_RX_PROMISC,
	NET_RX_ALLMULTI,
	NET_RX_ALLUNI,
	NET_RX_NOMULTI,
	NET_RX_NOUNI,
	NET_RX_NOBCAST,
	NET_RX_MODES
};

enum { NET_MAC_TABLE_SET = 0, NET_MAC_ADDR_SET = 1 };
enum { NET_VLAN_ADD = 0, NET_VLAN_DEL = 1 };
enum { NET_MQ_PAIRS_SET = 0, NET_MQ_RSS_CONFIG = 1, NET_MQ_HASH_CONFIG = 2 };
enum { NET_COAL_TX_SET = 0, NET_COAL_RX_SET = 1, NET_COAL_VQ_SET = 2, NET_COAL_VQ_GET = 3 };
enum { NET_STATS_QUERY = 0, NET_STATS_GET = 1 };
enum { NET_CTX_CAP_GET = 0, NET_CTX_ADD = 1, NET_CTX_MOD = 2, NET_CTX_DEL = 3 };

/* Addresses of a kind. */
struct net_macs {
	uint16_t n;
	uint16_t overflow; /* 1: there were more than are told apart; n is 0 */
	uint8_t mac[NET_MACS][VDEV_NET_MAC];
};

/* A way of spreading frames over receive queues by their hash. Queues are numbers of pairs. */
struct net_rss {
	uint32_t types; /* enum net_hash_type */
	uint16_t mask;
	uint16_t unclassified;
	uint16_t table[NET_TABLE];
	uint16_t max_tx; /* transmit queues that the driver may use */
	uint8_t key_len;
	uint8_t key[NET_KEY];
};

/* What receiving goes by. */
struct net_settings {
	uint8_t modes[NET_RX_MODES];
	uint8_t mac[VDEV_NET_MAC];
	uint8_t has_mac; /* it is known what the driver takes itself to be */
	uint8_t steers;  /* 1: by rss; 0: a flow comes back where it goes out */
	uint8_t offloads_set;
	uint16_t pairs; /* in use, by the driver's word */
	struct net_macs uni, multi;
	uint32_t vlans[NET_VLANS / 32];
	uint64_t offloads;       /* with offloads_set, by the command's bits */
	struct net_rss rss;      /* types and key also without steers: what is reported */
	uint32_t tunnels;        /* enum net_hash_tunnel */
	struct net_hash_key key; /* made of rss.key */
	uint8_t ctx_used[NET_CONTEXTS];
	struct net_rss ctx[NET_CONTEXTS];
};

/* How far notifications are held back. Each word by itself is atomic: queues look here when they start. */
struct net_coal {
	uint32_t packets, usecs;
};

struct net_coalescing {
	struct net_coal rx, tx;
	struct net_coal vq[NET_VQS];
};

/* What the device and its driver have agreed on. */
struct net_limits {
	struct virtq_features has; /* negotiated */
	uint32_t pairs;            /* at most */
	uint64_t rx_on, tx_on;     /* queues that are started, a bit each */
	uint32_t contexts;
};

/* What a command has changed. */
enum net_did {
	NET_DID_FILTER = 1 << 0, /* modes, addresses, VLANs */
	NET_DID_MAC = 1 << 1,    /* mac too: shown in the configuration space */
	NET_DID_STEER = 1 << 2,  /* pairs, rss, tunnels */
	NET_DID_OFFLOADS = 1 << 3,
	NET_DID_ANNOUNCE = 1 << 4,
	NET_DID_COAL = 1 << 5,
	NET_DID_CONTEXT = 1 << 6,
	/* those that whoever receives has to see */
	NET_DID_SHOW = NET_DID_FILTER | NET_DID_STEER | NET_DID_OFFLOADS | NET_DID_CONTEXT
};

struct net_result {
	uint8_t *reply; /* room for command-specific-result */
	size_t room;
	size_t len;   /* of it, used */
	uint32_t did; /* enum net_did */
	/* Values of a kind of statistics of queue index, without their header. Returns how many there are. */
	uint32_t (*stats)(void *ctx, unsigned kind, unsigned index, uint64_t *values);
	void *ctx;
};

/* As after a reset. */
void net_settings_init(struct net_settings *s, const uint8_t mac[VDEV_NET_MAC]);
/*
 * Carry a command out: class, command and what belongs to it, all in private memory. Returns NET_OK; or NET_ERR, and
 * nothing has changed.
 */
int net_command(struct net_settings *s, struct net_coalescing *c, const struct net_limits *l,
                const uint8_t *cmd, size_t len, struct net_result *r);

/* stats.c */
int net_stats_command(const struct net_limits *l, unsigned command, const uint8_t *data, size_t len,
                      struct net_result *r);
/* Kinds of statistics that there are for a queue, given what was negotiated. */
uint64_t net_stats_kinds(const struct net_limits *l, unsigned index);
enum { NET_STAT_VALUES = 8 }; /* values of a kind at most */
enum net_stat_kind {
	NET_STAT_RX_BASIC = 0,
	NET_STAT_RX_CSUM = 1,
	NET_STAT_RX_GSO = 2,
	NET_STAT_TX_BASIC = 16,
	NET_STAT_TX_CSUM = 17,
	NET_STAT_TX_GSO = 18,
	NET_STAT_CVQ = 32
};

/* filter.c: whether the driver wants a frame of len bytes that begins with these (18, or all there are). */
int net_filter(const struct net_settings *s, const struct virtq_features *has, const uint8_t *first,
               size_t len);

/* offload.c; takes are those of enum vdev_net_takes */
/* Offer what the driver may leave to be done for such a netif, and all that it may take itself. */
void net_offer_offloads(uint32_t takes, struct virtq_features *f);
/* What the driver takes, and what it may leave to be done, by what it negotiated. */
uint32_t net_guest_takes(const struct virtq_features *has);
uint32_t net_host_takes(const struct virtq_features *has);
/* Offloads that the driver may turn off and on, as bits of the command. */
uint64_t net_offload_bits(const struct virtq_features *has);
/* What it has left on, of what it negotiated. */
uint32_t net_offloads(const struct net_settings *s, uint32_t negotiated);

/* A key or address is given and changed by the driver; so many bytes are what they say. */
static inline uint32_t net_get_le32(const uint8_t *p)
{
	return net_get_le16(p) | (uint32_t)net_get_le16(p + 2) << 16;
}

static inline uint64_t net_get_le64(const uint8_t *p)
{
	return net_get_le32(p) | (uint64_t)net_get_le32(p + 4) << 32;
}

static inline void net_put_le32(uint8_t *p, uint32_t v)
{
	net_put_le16(p, (uint16_t)v);
	net_put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void net_put_le64(uint8_t *p, uint64_t v)
{
	net_put_le32(p, (uint32_t)v);
	net_put_le32(p + 4, (uint32_t)(v >> 32));
}

#endif
