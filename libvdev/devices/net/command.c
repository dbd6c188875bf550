/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the control queue (5.1.6.5). Each is checked whole, against what was offered and negotiated, before
 * anything of it is done.
 */
#include <vdev/net.h>

#include "settings.h"

/* What comes behind class and command. */
struct data {
	const uint8_t *p;
	size_t len;
};

static int has(const struct net_limits *l, unsigned bit)
{
	return virtq_features_has(&l->has, bit);
}

void net_settings_init(struct net_settings *s, const uint8_t mac[VDEV_NET_MAC])
{
	static const uint8_t none[VDEV_NET_MAC];

	memset(s, 0, sizeof(*s));
	/* All that comes, until the driver says otherwise: it may well not know how to. */
	s->modes[NET_RX_PROMISC] = 1;
	s->pairs = 1;
	s->has_mac = memcmp(mac, none, sizeof(none)) != 0;
	memcpy(s->mac, mac, sizeof(s->mac));
	net_hash_key_set(&s->key, s->rss.key, 0);
}

static int rx_mode(struct net_settings *s, const struct net_limits *l, unsigned command,
                   struct data d, struct net_result *r)
{
	unsigned needs = command > NET_RX_ALLMULTI ? VDEV_NET_F_CTRL_RX_EXTRA : VDEV_NET_F_CTRL_RX;

	if (command >= NET_RX_MODES || !has(l, needs) || d.len != 1 || d.p[0] > 1)
		return NET_ERR;
	s->modes[command] = d.p[0];
	r->did |= NET_DID_FILTER;
	return NET_OK;
}

/* One of the two tables. Returns its bytes, or 0: it is longer than what is there, or has addresses of the other kind. */
static size_t mac_table(struct data d, int group, struct net_macs *to)
{
	uint32_t n;

	if (d.len < 4)
		return 0;
	n = net_get_le32(d.p);
	if (n > (d.len - 4) / VDEV_NET_MAC)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if ((d.p[4 + i * VDEV_NET_MAC] & 1) != group)
			return 0;
	to->overflow = n > NET_MACS;
	to->n = to->overflow ? 0 : (uint16_t)n;
	memcpy(to->mac, d.p + 4, (size_t)to->n * VDEV_NET_MAC);
	return 4 + (size_t)n * VDEV_NET_MAC;
}

static int mac_tables(struct net_settings *s, struct data d, struct net_result *r)
{
	struct net_macs uni, multi;
	size_t first = mac_table(d, 0, &uni), second;

	if (first == 0)
		return NET_ERR;
	d.p += first;
	d.len -= first;
	second = mac_table(d, 1, &multi);
	if (second == 0 || second != d.len)
		return NET_ERR;
	s->uni = uni;
	s->multi = multi;
	r->did |= NET_DID_FILTER;
	return NET_OK;
}

static int mac(struct net_settings *s, const struct net_limits *l, unsigned command, struct data d,
               struct net_result *r)
{
	if (command == NET_MAC_TABLE_SET && has(l, VDEV_NET_F_CTRL_RX))
		return mac_tables(s, d, r);
	if (command != NET_MAC_ADDR_SET || !has(l, VDEV_NET_F_CTRL_MAC_ADDR) || d.len != VDEV_NET_MAC ||
	    d.p[0] & 1)
		return NET_ERR;
	memcpy(s->mac, d.p, VDEV_NET_MAC);
	s->has_mac = 1;
	r->did |= NET_DID_FILTER | NET_DID_MAC;
	return NET_OK;
}

static int vlan(struct net_settings *s, const struct net_limits *l, unsigned command, struct data d,
                struct net_result *r)
{
	uint32_t id, bit;

	if (command > NET_VLAN_DEL || !has(l, VDEV_NET_F_CTRL_VLAN) || d.len != 2)
		return NET_ERR;
	id = net_get_le16(d.p);
	if (id >= NET_VLANS)
		return NET_ERR;
	bit = (uint32_t)1 << (id % 32);
	if (command == NET_VLAN_ADD)
		s->vlans[id / 32] |= bit;
	else
		s->vlans[id / 32] &= ~bit;
	r->did |= NET_DID_FILTER;
	return NET_OK;
}

static int announce(const struct net_limits *l, unsigned command, struct data d,
                    struct net_result *r)
{
	if (command != 0 || !has(l, VDEV_NET_F_GUEST_ANNOUNCE) || d.len != 0)
		return NET_ERR;
	r->did |= NET_DID_ANNOUNCE;
	return NET_OK;
}

/* The tail of a configuration of hashes: length and bytes of the key. */
static int hash_key(struct data d, uint32_t types, struct net_rss *to)
{
	if (d.len < 1 || d.p[0] > NET_KEY || d.len != 1 + (size_t)d.p[0] ||
	    (types & ~(uint32_t)NET_HASH_ALL) || (types != 0 && d.p[0] == 0))
		return NET_ERR;
	to->types = types;
	to->key_len = d.p[0];
	memset(to->key, 0, sizeof(to->key));
	memcpy(to->key, d.p + 1, to->key_len);
	return NET_OK;
}

/* struct rss_rq_id: the number of a pair, or NET_VQS where there is no such queue. */
static uint16_t rq_id(const uint8_t *p, const struct net_limits *l)
{
	uint16_t id = net_get_le16(p);

	return id < l->pairs ? id : NET_VQS; /* the reserved bit makes it too large */
}

/* struct virtio_net_rss_config. */
static int rss_config(struct data d, const struct net_limits *l, struct net_rss *to)
{
	uint32_t entries, types;

	if (d.len < 8)
		return NET_ERR;
	types = net_get_le32(d.p);
	entries = (uint32_t)net_get_le16(d.p + 4) + 1; /* 65536 with all bits set: not 0 */
	to->unclassified = rq_id(d.p + 6, l);
	if (entries > NET_TABLE || (entries & (entries - 1)) != 0 || to->unclassified == NET_VQS)
		return NET_ERR;
	d.p += 8;
	d.len -= 8;
	if (d.len < 2 * (size_t)entries + 2)
		return NET_ERR;
	to->mask = (uint16_t)(entries - 1);
	memset(to->table, 0, sizeof(to->table));
	for (uint32_t i = 0; i < entries; i++, d.p += 2) {
		to->table[i] = rq_id(d.p, l);
		if (to->table[i] == NET_VQS)
			return NET_ERR;
	}
	to->max_tx = net_get_le16(d.p);
	if (to->max_tx == 0 || to->max_tx > l->pairs)
		return NET_ERR;
	d.p += 2;
	d.len -= 2 * (size_t)entries + 2;
	return hash_key(d, types, to);
}

static int any_context(const struct net_settings *s)
{
	for (int i = 0; i < NET_CONTEXTS; i++)
		if (s->ctx_used[i])
			return 1;
	return 0;
}

static int pairs_set(struct net_settings *s, const struct net_limits *l, struct data d)
{
	uint32_t pairs;

	if (!has(l, VDEV_NET_F_MQ) || d.len != 2)
		return NET_ERR;
	pairs = net_get_le16(d.p);
	if (pairs == 0 || pairs > l->pairs || any_context(s))
		return NET_ERR;
	s->pairs = (uint16_t)pairs;
	s->steers = 0;
	return NET_OK;
}

static int rss_set(struct net_settings *s, const struct net_limits *l, struct data d)
{
	struct net_rss rss;

	if (!has(l, VDEV_NET_F_RSS) || rss_config(d, l, &rss) != NET_OK)
		return NET_ERR;
	s->rss = rss;
	s->steers = 1;
	/* Whatever the table names is in use, and as many to transmit with. */
	s->pairs = rss.max_tx > rss.unclassified ? rss.max_tx : (uint16_t)(rss.unclassified + 1);
	for (uint32_t i = 0; i <= rss.mask; i++)
		if (rss.table[i] >= s->pairs)
			s->pairs = (uint16_t)(rss.table[i] + 1);
	net_hash_key_set(&s->key, s->rss.key, s->rss.key_len);
	return NET_OK;
}

static int hash_set(struct net_settings *s, const struct net_limits *l, struct data d)
{
	struct net_rss rss = s->rss;
	uint32_t types;

	if (!has(l, VDEV_NET_F_HASH_REPORT) || d.len < 12)
		return NET_ERR;
	types = net_get_le32(d.p);
	/* What is reserved lies where drivers that know only the longer form write something. */
	d.p += 12;
	d.len -= 12;
	if (hash_key(d, types, &rss) != NET_OK)
		return NET_ERR;
	s->rss = rss;
	s->steers = 0;
	net_hash_key_set(&s->key, s->rss.key, s->rss.key_len);
	return NET_OK;
}

static int mq(struct net_settings *s, const struct net_limits *l, unsigned command, struct data d,
              struct net_result *r)
{
	int rc = NET_ERR;

	if (command == NET_MQ_PAIRS_SET)
		rc = pairs_set(s, l, d);
	else if (command == NET_MQ_RSS_CONFIG)
		rc = rss_set(s, l, d);
	else if (command == NET_MQ_HASH_CONFIG)
		rc = hash_set(s, l, d);
	if (rc == NET_OK)
		r->did |= NET_DID_STEER;
	return rc;
}

static int guest_offloads(struct net_settings *s, const struct net_limits *l, unsigned command,
                          struct data d, struct net_result *r)
{
	uint64_t want;

	if (command != 0 || !has(l, VDEV_NET_F_CTRL_GUEST_OFFLOADS) || d.len != 8)
		return NET_ERR;
	want = net_get_le64(d.p);
	if (want & ~net_offload_bits(&l->has))
		return NET_ERR;
	s->offloads = want;
	s->offloads_set = 1;
	r->did |= NET_DID_OFFLOADS;
	return NET_OK;
}

static void coal_store(struct net_coal *c, const uint8_t *p)
{
	__atomic_store_n(&c->packets, net_get_le32(p), __ATOMIC_RELAXED);
	__atomic_store_n(&c->usecs, net_get_le32(p + 4), __ATOMIC_RELAXED);
}

static int vq_on(const struct net_limits *l, uint32_t index)
{
	uint64_t on = index % 2 == 0 ? l->rx_on : l->tx_on;

	return index / 2 < l->pairs && (on >> (index / 2) & 1);
}

static int coal_all(struct net_coalescing *c, const struct net_limits *l, int tx, struct data d,
                    struct net_result *r)
{
	if (!has(l, VDEV_NET_F_NOTF_COAL) || d.len != 8)
		return NET_ERR;
	coal_store(tx ? &c->tx : &c->rx, d.p);
	for (uint32_t i = (uint32_t)tx; i < 2 * l->pairs; i += 2)
		coal_store(&c->vq[i], d.p);
	r->did |= NET_DID_COAL;
	return NET_OK;
}

static int coal(struct net_coalescing *c, const struct net_limits *l, unsigned command,
                struct data d, struct net_result *r)
{
	const struct net_coal *at;
	uint32_t index;

	if (command == NET_COAL_TX_SET || command == NET_COAL_RX_SET)
		return coal_all(c, l, command == NET_COAL_TX_SET, d, r);
	if (!has(l, VDEV_NET_F_VQ_NOTF_COAL) || d.len < 4)
		return NET_ERR;
	index = net_get_le16(d.p);
	if (!vq_on(l, index))
		return NET_ERR;
	if (command == NET_COAL_VQ_SET && d.len == 12) {
		coal_store(&c->vq[index], d.p + 4);
		r->did |= NET_DID_COAL;
		return NET_OK;
	}
	if (command != NET_COAL_VQ_GET || d.len != 4 || r->room < 8)
		return NET_ERR;
	at = &c->vq[index];
	net_put_le32(r->reply, __atomic_load_n(&at->packets, __ATOMIC_RELAXED));
	net_put_le32(r->reply + 4, __atomic_load_n(&at->usecs, __ATOMIC_RELAXED));
	r->len = 8;
	return NET_OK;
}

static int hash_tunnel(struct net_settings *s, const struct net_limits *l, unsigned command,
                       struct data d, struct net_result *r)
{
	uint32_t types;

	if (command != 0 || !has(l, VDEV_NET_F_HASH_TUNNEL) || d.len != 4)
		return NET_ERR;
	types = net_get_le32(d.p);
	if (types & ~(uint32_t)NET_TUNNEL_ALL)
		return NET_ERR;
	s->tunnels = types;
	r->did |= NET_DID_STEER;
	return NET_OK;
}

/* RSS contexts. Only flow filters could send frames their way, and there are none: they are kept as the driver set them. */
static int rss_ctx(struct net_settings *s, const struct net_limits *l, unsigned command,
                   struct data d, struct net_result *r)
{
	struct net_rss rss;
	uint32_t id;

	if (!has(l, VDEV_NET_F_RSS_CONTEXT))
		return NET_ERR;
	if (command == NET_CTX_CAP_GET) {
		if (d.len != 0 || r->room < 2)
			return NET_ERR;
		net_put_le16(r->reply, (uint16_t)l->contexts);
		r->len = 2;
		return NET_OK;
	}
	if (command > NET_CTX_DEL || d.len < 2)
		return NET_ERR;
	id = net_get_le16(d.p);
	if (id == 0 || id > l->contexts || s->ctx_used[id - 1] != (command != NET_CTX_ADD))
		return NET_ERR;
	if (command == NET_CTX_DEL) {
		if (d.len != 2)
			return NET_ERR;
		memset(&s->ctx[id - 1], 0, sizeof(s->ctx[0]));
	} else {
		if (d.len < 8)
			return NET_ERR;
		d.p += 8;
		d.len -= 8;
		if (rss_config(d, l, &rss) != NET_OK)
			return NET_ERR;
		s->ctx[id - 1] = rss;
	}
	s->ctx_used[id - 1] = command != NET_CTX_DEL;
	r->did |= NET_DID_CONTEXT;
	return NET_OK;
}

int net_command(struct net_settings *s, struct net_coalescing *c, const struct net_limits *l,
                const uint8_t *cmd, size_t len, struct net_result *r)
{
	struct data d;
	unsigned command;

	r->len = 0;
	r->did = 0;
	if (len < 2)
		return NET_ERR;
	command = cmd[1];
	d.p = cmd + 2;
	d.len = len - 2;
	switch (cmd[0]) {
	case NET_CTRL_RX:
		return rx_mode(s, l, command, d, r);
	case NET_CTRL_MAC:
		return mac(s, l, command, d, r);
	case NET_CTRL_VLAN:
		return vlan(s, l, command, d, r);
	case NET_CTRL_ANNOUNCE:
		return announce(l, command, d, r);
	case NET_CTRL_MQ:
		return mq(s, l, command, d, r);
	case NET_CTRL_GUEST_OFFLOADS:
		return guest_offloads(s, l, command, d, r);
	case NET_CTRL_NOTF_COAL:
		return coal(c, l, command, d, r);
	case NET_CTRL_HASH_TUNNEL:
		return hash_tunnel(s, l, command, d, r);
	case NET_CTRL_STATS:
		return net_stats_command(l, command, d.p, d.len, r);
	case NET_CTRL_RSS_CTX:
		return rss_ctx(s, l, command, d, r);
	}
	return NET_ERR;
}
