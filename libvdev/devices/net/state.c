/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a saved state says of a network device: what its driver set by the control queue. Where the standard has a device
 * part for that (5.1.5.1) it is one; the rest follows in a form of our own. Loading carries the commands out on a copy, with
 * the checks that they have coming from a driver. docs/state-format.md has the layout. No frame is ever part of it.
 */
#include "net.h"

enum {
	PART_CVQ_CFG = 0x200,
	PART_HEADER = 16,
	PART_OPTIONAL = 1,
	VLAN_BYTES = NET_VLANS / 8,
	RSS_BYTES = 8 + 2 * NET_TABLE + 2 + 1 + NET_KEY,
	VALUE_BYTES = 2 * (4 + NET_MACS * VDEV_NET_MAC) /* the longest value */
};

enum {
	FLAG_OFFLOADS = 1 << 0,
	FLAG_UNI_OVERFLOW = 1 << 1,
	FLAG_MULTI_OVERFLOW = 1 << 2,
	FLAG_ANNOUNCE = 1 << 3,
	FLAG_ALL = (1 << 4) - 1
};

/* The selectors that have a part, in the order they are written. */
static const struct {
	uint8_t class, command;
} selectors[] = {
	{NET_CTRL_RX, NET_RX_PROMISC},     {NET_CTRL_RX, NET_RX_ALLMULTI},
	{NET_CTRL_RX, NET_RX_ALLUNI},      {NET_CTRL_RX, NET_RX_NOMULTI},
	{NET_CTRL_RX, NET_RX_NOUNI},       {NET_CTRL_RX, NET_RX_NOBCAST},
	{NET_CTRL_MAC, NET_MAC_TABLE_SET}, {NET_CTRL_MAC, NET_MAC_ADDR_SET},
	{NET_CTRL_VLAN, NET_VLAN_ADD},     {NET_CTRL_MQ, NET_MQ_PAIRS_SET},
	{NET_CTRL_MQ, NET_MQ_HASH_CONFIG}, {NET_CTRL_MQ, NET_MQ_RSS_CONFIG},
};

static size_t put_macs(uint8_t *to, const struct net_macs *t)
{
	net_put_le32(to, t->n);
	memcpy(to + 4, t->mac, (size_t)t->n * VDEV_NET_MAC);
	return 4 + (size_t)t->n * VDEV_NET_MAC;
}

static size_t put_key(uint8_t *to, const struct net_rss *rss)
{
	to[0] = rss->key_len;
	memcpy(to + 1, rss->key, rss->key_len);
	return 1 + (size_t)rss->key_len;
}

static size_t put_rss(uint8_t *to, const struct net_rss *rss)
{
	size_t at = 8;

	net_put_le32(to, rss->types);
	net_put_le16(to + 4, rss->mask);
	net_put_le16(to + 6, rss->unclassified);
	for (uint32_t i = 0; i <= rss->mask; i++, at += 2)
		net_put_le16(to + at, rss->table[i]);
	net_put_le16(to + at, rss->max_tx);
	return at + 2 + put_key(to + at + 2, rss);
}

/* What the driver would send to bring a setting about. 0: there is nothing to be said of it. */
static size_t value_of(const struct net_settings *s, unsigned class, unsigned command, uint8_t *to)
{
	switch (class) {
	case NET_CTRL_RX:
		to[0] = s->modes[command];
		return 1;
	case NET_CTRL_MAC:
		if (command == NET_MAC_TABLE_SET) {
			size_t first = put_macs(to, &s->uni);

			return first + put_macs(to + first, &s->multi);
		}
		memcpy(to, s->mac, VDEV_NET_MAC);
		return s->has_mac ? VDEV_NET_MAC : 0;
	case NET_CTRL_VLAN: /* the whole table */
		for (size_t i = 0; i < VLAN_BYTES / 4; i++)
			net_put_le32(to + 4 * i, s->vlans[i]);
		return VLAN_BYTES;
	default:
		if (command == NET_MQ_RSS_CONFIG)
			return s->steers ? put_rss(to, &s->rss) : 0;
		if (command == NET_MQ_PAIRS_SET) {
			net_put_le16(to, s->pairs);
			return s->steers ? 0 : 2;
		}
		if (s->steers || s->rss.key_len == 0)
			return 0;
		memset(to, 0, 12);
		net_put_le32(to, s->rss.types);
		return 12 + put_key(to + 12, &s->rss);
	}
}

static void put_parts(struct vdev_writer *w, const struct net_settings *s)
{
	uint8_t value[VALUE_BYTES];

	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		size_t len = value_of(s, selectors[i].class, selectors[i].command, value);

		if (len == 0)
			continue;
		vdev_put16(w, PART_CVQ_CFG);
		vdev_put16(w, 0);
		vdev_put64(w, selectors[i].class | (uint64_t)selectors[i].command << 8);
		vdev_put32(w, (uint32_t)len);
		vdev_put(w, value, len);
	}
}

static void put_contexts(struct vdev_writer *w, const struct net_settings *s)
{
	uint8_t value[RSS_BYTES];
	uint32_t n = 0;

	for (uint32_t i = 0; i < NET_CONTEXTS; i++)
		n += s->ctx_used[i];
	vdev_put32(w, n);
	for (uint32_t i = 0; i < NET_CONTEXTS; i++) {
		size_t len;

		if (!s->ctx_used[i])
			continue;
		len = put_rss(value, &s->ctx[i]);
		vdev_put16(w, (uint16_t)(i + 1));
		vdev_put16(w, (uint16_t)len);
		vdev_put(w, value, len);
	}
}

static void put_coal(struct vdev_writer *w, const struct net_coal *c)
{
	vdev_put32(w, __atomic_load_n(&c->packets, __ATOMIC_RELAXED));
	vdev_put32(w, __atomic_load_n(&c->usecs, __ATOMIC_RELAXED));
}

static uint16_t mtu_of(const struct net_device *n)
{
	uint8_t mtu[2];

	vdev_config_read(n->v, NET_AT_MTU, mtu, sizeof(mtu));
	return net_get_le16(mtu);
}

int net_save(void *model, struct vdev_writer *w)
{
	const struct net_device *n = model;
	const struct net_settings *s = net_settings_of(n);
	uint32_t flags = (s->offloads_set ? FLAG_OFFLOADS : 0) |
	                 (s->uni.overflow ? FLAG_UNI_OVERFLOW : 0) |
	                 (s->multi.overflow ? FLAG_MULTI_OVERFLOW : 0);
	size_t begin = w->len, end;

	if (__atomic_load_n(&n->status, __ATOMIC_SEQ_CST) & NET_S_ANNOUNCE)
		flags |= FLAG_ANNOUNCE;
	vdev_put32(w, 0); /* bytes of parts, known below */
	put_parts(w, s);
	end = w->len;
	if (w->error == 0)
		net_put_le32(w->buf + begin, (uint32_t)(end - begin - 4));
	vdev_put32(w, flags);
	vdev_put16(w, mtu_of(n));
	vdev_put16(w, 0);
	vdev_put64(w, s->offloads);
	vdev_put32(w, s->tunnels);
	put_contexts(w, s);
	put_coal(w, &n->coal.rx);
	put_coal(w, &n->coal.tx);
	for (uint32_t i = 0; i < 2 * n->pairs; i++) {
		const struct net_coal *all = i % 2 == 0 ? &n->coal.rx : &n->coal.tx;

		/* A queue that is off has what it would begin with. */
		put_coal(w, vdev_queue_started(n->v, i) ? &n->coal.vq[i] : all);
	}
	return w->error;
}

/* A load that is under way: what is made, and how. */
struct load {
	struct net_settings *s;
	struct net_coalescing coal;
	struct net_limits limits;
	uint32_t seen; /* selectors */
	uint8_t cmd[2 + 8 + VALUE_BYTES];
};

/* What the driver once sent. */
static int carry_out(struct load *l, unsigned class, unsigned command, size_t len)
{
	struct net_result result = {0};

	l->cmd[0] = (uint8_t) class;
	l->cmd[1] = (uint8_t)command;
	return net_command(l->s, &l->coal, &l->limits, l->cmd, 2 + len, &result) == NET_OK
	           ? 0
	           : VIRTQ_EBADMSG;
}

static int get_value(struct load *l, struct vdev_reader *r, unsigned class, unsigned command,
                     uint32_t len)
{
	vdev_get(r, l->cmd + 2, len);
	if (r->error != 0)
		return VIRTQ_EBADMSG;
	if (class != NET_CTRL_VLAN)
		return carry_out(l, class, command, len);
	if (len != VLAN_BYTES)
		return VIRTQ_EBADMSG;
	for (size_t i = 0; i < VLAN_BYTES / 4; i++)
		l->s->vlans[i] = net_get_le32(l->cmd + 2 + 4 * i);
	return 0;
}

static int get_part(struct load *l, struct vdev_reader *r)
{
	uint16_t type = vdev_get16(r);
	uint8_t flags = vdev_get8(r), reserved = vdev_get8(r);
	uint64_t selector = vdev_get64(r);
	uint32_t len = vdev_get32(r);

	if (r->error != 0 || reserved != 0 || flags > PART_OPTIONAL || len > r->len - r->pos)
		return VIRTQ_EBADMSG;
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		if (type != PART_CVQ_CFG ||
		    selector != (selectors[i].class | (uint64_t)selectors[i].command << 8))
			continue;
		if (l->seen >> i & 1 || len > VALUE_BYTES)
			return VIRTQ_EBADMSG;
		l->seen |= (uint32_t)1 << i;
		return get_value(l, r, selectors[i].class, selectors[i].command, len);
	}
	if (!(flags & PART_OPTIONAL))
		return VIRTQ_ENOTSUP;
	r->pos += len;
	return 0;
}

static int get_parts(struct load *l, struct vdev_reader *r)
{
	uint32_t bytes = vdev_get32(r);
	struct vdev_reader parts = {.buf = r->buf + r->pos, .len = bytes};
	int rc = 0;

	if (r->error != 0 || bytes > r->len - r->pos)
		return VIRTQ_EBADMSG;
	while (rc == 0 && parts.pos < parts.len)
		rc = get_part(l, &parts);
	r->pos += bytes;
	return rc;
}

static int get_contexts(struct load *l, struct vdev_reader *r)
{
	uint32_t n = vdev_get32(r);
	int rc = r->error != 0 || n > NET_CONTEXTS ? VIRTQ_EBADMSG : 0;

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		uint16_t id = vdev_get16(r), len = vdev_get16(r);

		if (len > RSS_BYTES)
			return VIRTQ_EBADMSG;
		memset(l->cmd + 2, 0, 8);
		net_put_le16(l->cmd + 2, id);
		vdev_get(r, l->cmd + 10, len);
		rc = r->error != 0 ? VIRTQ_EBADMSG
		                   : carry_out(l, NET_CTRL_RSS_CTX, NET_CTX_ADD, 8 + (size_t)len);
	}
	return rc;
}

static void get_coal(struct vdev_reader *r, struct net_coal *c)
{
	c->packets = vdev_get32(r);
	c->usecs = vdev_get32(r);
}

/* What has no part. */
static int get_rest(struct load *l, const struct net_device *n, struct vdev_reader *r,
                    uint32_t *flags)
{
	uint16_t mtu, reserved, ours = mtu_of(n);
	uint32_t tunnels;
	int rc;

	*flags = vdev_get32(r);
	mtu = vdev_get16(r);
	reserved = vdev_get16(r);
	vdev_get(r, l->cmd + 2, 8);
	if (r->error != 0 || *flags & ~(uint32_t)FLAG_ALL || reserved != 0)
		return VIRTQ_EBADMSG;
	if (ours != 0 && mtu > ours)
		return VIRTQ_ENOTSUP;
	if (*flags & FLAG_OFFLOADS)
		rc = carry_out(l, NET_CTRL_GUEST_OFFLOADS, 0, 8);
	else
		rc = net_get_le64(l->cmd + 2) != 0 ? VIRTQ_EBADMSG : 0;
	if (rc < 0)
		return rc;
	/* Of addresses that are not told apart the table has none, and only the flag says so. */
	if (l->s->uni.overflow || l->s->multi.overflow ||
	    (*flags & FLAG_UNI_OVERFLOW && l->s->uni.n != 0) ||
	    (*flags & FLAG_MULTI_OVERFLOW && l->s->multi.n != 0))
		return VIRTQ_EBADMSG;
	l->s->uni.overflow = (*flags & FLAG_UNI_OVERFLOW) != 0;
	l->s->multi.overflow = (*flags & FLAG_MULTI_OVERFLOW) != 0;
	tunnels = vdev_get32(r);
	net_put_le32(l->cmd + 2, tunnels);
	rc = carry_out(l, NET_CTRL_HASH_TUNNEL, 0, 4);
	if (rc == 0)
		rc = get_contexts(l, r);
	get_coal(r, &l->coal.rx);
	get_coal(r, &l->coal.tx);
	for (uint32_t i = 0; i < 2 * n->pairs; i++)
		get_coal(r, &l->coal.vq[i]);
	if (rc == 0 && (r->error != 0 || r->pos != r->len))
		rc = VIRTQ_EBADMSG;
	return rc;
}

static void apply(struct net_device *n, const struct load *l, uint32_t flags)
{
	__atomic_store_n(&n->current, n->current ^ 1, __ATOMIC_RELEASE);
	n->coal = l->coal;
	memset(n->coal_restored, 1, sizeof(n->coal_restored));
	memset(n->flows, 0, sizeof(n->flows));
	__atomic_store_n(&n->ctrl, NET_NO_CTRL, __ATOMIC_RELEASE);
	__atomic_store_n(&n->spread, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&n->steers, 0, __ATOMIC_RELAXED);
	__atomic_fetch_and(&n->status, ~(uint32_t)NET_S_ANNOUNCE, __ATOMIC_SEQ_CST);
	if (flags & FLAG_ANNOUNCE)
		__atomic_fetch_or(&n->status, NET_S_ANNOUNCE, __ATOMIC_SEQ_CST);
}

int net_load(void *model, struct vdev_reader *r, uint32_t version, int do_apply)
{
	static const uint8_t no_mac[VDEV_NET_MAC];
	struct net_device *n = model;
	struct load l;
	uint32_t flags;
	int rc;

	if (version != net_model_ops.state_version)
		return VIRTQ_ENOTSUP;
	memset(&l, 0, sizeof(l));
	/* Nobody reads the copy that is not shown: no command is under way in a device that is quiesced. */
	l.s = &n->settings[n->current ^ 1];
	memset(&l.limits.has, 0xff, sizeof(l.limits.has));
	l.limits.pairs = n->pairs;
	l.limits.contexts = NET_CONTEXTS;
	net_settings_init(l.s, no_mac);
	rc = get_parts(&l, r);
	if (rc == 0)
		rc = get_rest(&l, n, r, &flags);
	if (rc == 0 && do_apply)
		apply(n, &l, flags);
	return rc;
}

/* The driver is ready, or a device that was loaded goes on: what is shown of the link is what it is here. */
void net_started(void *model)
{
	struct net_device *n = model;

	net_tell_takes(n, 1);
	net_show_link(n);
}
