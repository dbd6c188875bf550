/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics that the driver asks for by the control queue (5.1.6.5.12). */
#include <vdev/net.h>

#include "settings.h"

enum {
	QUERY_BYTES = 16, /* of one entry of the command */
	HEADER_BYTES = 8, /* of one reply */
	MOST_QUERIES = 4 * (NET_VQS + 1)
};

#define KIND(kind) ((uint64_t)1 << (kind))

uint64_t net_stats_kinds(const struct net_limits *l, unsigned index)
{
	int has_csum = virtq_features_has(&l->has, VDEV_NET_F_CSUM);
	int has_guest_csum = virtq_features_has(&l->has, VDEV_NET_F_GUEST_CSUM);
	int gso = virtq_features_has(&l->has, VDEV_NET_F_HOST_TSO4) ||
	          virtq_features_has(&l->has, VDEV_NET_F_HOST_TSO6) ||
	          virtq_features_has(&l->has, VDEV_NET_F_HOST_USO);
	int guest_gso = virtq_features_has(&l->has, VDEV_NET_F_GUEST_TSO4) ||
	                virtq_features_has(&l->has, VDEV_NET_F_GUEST_TSO6);

	if (index > 2 * l->pairs)
		return 0;
	if (index == 2 * l->pairs)
		return KIND(NET_STAT_CVQ);
	if (index % 2 == 0)
		return KIND(NET_STAT_RX_BASIC) | (has_guest_csum ? KIND(NET_STAT_RX_CSUM) : 0) |
		       (guest_gso ? KIND(NET_STAT_RX_GSO) : 0);
	return KIND(NET_STAT_TX_BASIC) | (has_csum ? KIND(NET_STAT_TX_CSUM) : 0) |
	       (gso ? KIND(NET_STAT_TX_GSO) : 0);
}

/* Append to the reply what there is room for: the driver sees by its length what is missing. */
static void put(struct net_result *r, const uint8_t *bytes, size_t len)
{
	size_t left = r->room - r->len;

	if (len > left)
		len = left;
	memcpy(r->reply + r->len, bytes, len);
	r->len += len;
}

static void put_kind(struct net_result *r, unsigned kind, unsigned index)
{
	uint8_t bytes[HEADER_BYTES + 8 * NET_STAT_VALUES] = {0};
	uint64_t values[NET_STAT_VALUES] = {0};
	uint32_t n = r->stats(r->ctx, kind, index, values);

	bytes[0] = (uint8_t)kind;
	net_put_le16(bytes + 2, (uint16_t)index);
	net_put_le16(bytes + 6, (uint16_t)(HEADER_BYTES + 8 * n));
	for (uint32_t i = 0; i < n; i++)
		net_put_le64(bytes + HEADER_BYTES + (size_t)8 * i, values[i]);
	put(r, bytes, HEADER_BYTES + (size_t)8 * n);
}

static int query(const struct net_limits *l, size_t len, struct net_result *r)
{
	uint8_t bytes[8];

	if (len != 0 || r->room < sizeof(bytes))
		return NET_ERR;
	net_put_le64(bytes,
	             net_stats_kinds(l, 0) | net_stats_kinds(l, 1) | net_stats_kinds(l, 2 * l->pairs));
	put(r, bytes, sizeof(bytes));
	return NET_OK;
}

int net_stats_command(const struct net_limits *l, unsigned command, const uint8_t *data, size_t len,
                      struct net_result *r)
{
	if (!virtq_features_has(&l->has, VDEV_NET_F_DEVICE_STATS))
		return NET_ERR;
	if (command == NET_STATS_QUERY)
		return query(l, len, r);
	if (command != NET_STATS_GET || len == 0 || len % QUERY_BYTES != 0 ||
	    len / QUERY_BYTES > MOST_QUERIES)
		return NET_ERR;
	/* One that is wrong is enough to refuse all. */
	for (size_t at = 0; at < len; at += QUERY_BYTES)
		if (net_get_le16(data + at) > 2 * l->pairs ||
		    net_get_le64(data + at + 8) & ~net_stats_kinds(l, net_get_le16(data + at)))
			return NET_ERR;
	for (size_t at = 0; at < len; at += QUERY_BYTES) {
		unsigned index = net_get_le16(data + at);
		uint64_t kinds = net_get_le64(data + at + 8);

		for (unsigned kind = 0; kinds != 0 && r->len < r->room; kind++, kinds >>= 1)
			if (kinds & 1)
				put_kind(r, kind, index);
	}
	return NET_OK;
}
