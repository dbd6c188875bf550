/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of a frame: read its header once, check it, learn where it came from, find where it goes. */
#include "switch.h"

/* Headers that a segment has at least, by enum vdev_net_gso. */
static uint32_t least_headers(unsigned gso)
{
	switch (gso & ~(unsigned)(VDEV_NET_GSO_ECN | VDEV_NET_GSO_TUNNEL)) {
	case VDEV_NET_GSO_TCPV4:
		return 40;
	case VDEV_NET_GSO_TCPV6:
		return 60;
	case VDEV_NET_GSO_UDP:
		return 20;
	default:
		return 28;
	}
}

/*
 * The driver's memory is looked at again for each port. One that changes it meanwhile gets its own frames through a port's
 * MTU, and nothing else.
 */
int beyond_mtu_gso(const struct vdev_frame *f, uint32_t payload, uint32_t mtu)
{
	uint32_t front = f->len - payload, said = frame_header_bytes(f), size = f->offload.gso_size;
	uint32_t least = least_headers(f->offload.gso_type);
	uint8_t version = 0;

	said = said > front ? said - front : 0;
	if ((f->offload.gso_type & ~(unsigned)VDEV_NET_GSO_ECN) == VDEV_NET_GSO_UDP) {
		/* Fragments: in units of 8, the UDP header divided too, and IPv6 has a header more. */
		size &= ~7u;
		said = said > 8 ? said - 8 : 0;
		if (frame_read(f, front, &version, 1) == 1 && version >> 4 == 6)
			said += 8;
	}
	return size + (said > least ? said : least) > mtu;
}

int rate_take(const struct rate *r, struct bucket *frames, struct bucket *bytes, uint64_t now,
              uint32_t len)
{
	if (r->frame_time != 0 && !bucket_take(frames, now, r->frame_time, r->frames_burst))
		return 0;
	if (r->bytes_per_s == 0 ||
	    bucket_take(bytes, now, limit_time(len, r->bytes_per_s), r->bytes_burst))
		return 1;
	if (r->frame_time != 0)
		bucket_give_back(frames, r->frame_time);
	return 0;
}

void rate_give_back(const struct rate *r, struct bucket *frames, struct bucket *bytes, uint32_t len)
{
	if (r->frame_time != 0)
		bucket_give_back(frames, r->frame_time);
	if (r->bytes_per_s != 0)
		bucket_give_back(bytes, limit_time(len, r->bytes_per_s));
}

/* On a port that knows VLANs: which one a frame is of. 1, or 0: it has no place here. */
static int find_vlan(const struct port_conf *conf, size_t n, struct verdict *v)
{
	unsigned type = net_get_be16(v->bytes + 12), tag, vlan;

	v->vlan = conf->vlan;
	v->tag = 0;
	if (type != VLAN_TYPE)
		return conf->vlan != 0 && !type_is_tag(type);
	if (n < HEADER)
		return 0;
	tag = net_get_be16(v->bytes + 14);
	vlan = tag & 0xfff;
	v->tag = tag & 0xf000;
	v->header = HEADER;
	v->payload -= 4;
	if (type_is_tag(net_get_be16(v->bytes + 16)))
		v->payload -= v->payload < 4 ? v->payload : 4;
	/* A priority tag counts as none: what is inside of it must not become a tag in front. */
	if (vlan == 0) {
		net_put_be16(v->bytes + 14, (uint16_t)(v->tag | conf->vlan));
		v->changed = 1;
		return conf->vlan != 0 && !type_is_tag(net_get_be16(v->bytes + 16));
	}
	if (conf->mode == VDEV_SWITCH_ACCESS || vlan == 0xfff || !conf_has_vlan(conf, vlan))
		return 0;
	v->vlan = (uint16_t)vlan;
	return 1;
}

/* Plain ports only look at tags to allow for their length. */
static void skip_tags(size_t n, struct verdict *v)
{
	if (!type_is_tag(net_get_be16(v->bytes + 12)) || n < HEADER)
		return;
	v->payload -= 4;
	if (type_is_tag(net_get_be16(v->bytes + 16)))
		v->payload -= v->payload < 4 ? v->payload : 4;
}

static __attribute__((noinline)) void learn(struct channel *c, const struct port_conf *conf,
                                            uint64_t key)
{
	struct table *t = &c->port->sw->table;

	c->src = table_find(t, key, c->tick);
	c->src_key = key;
	if ((conf->flags & (VDEV_SWITCH_ONLY_STATIC | VDEV_SWITCH_NO_LEARNING)) != 0)
		return;
	if (c->src.entry != NULL &&
	    (value_port(c->src.value) == c->port->slot || (c->src.value & VALUE_STATIC) != 0))
		return;
	switch (table_learn(t, key, c->port->slot, conf->max_learned, c->tick, &c->src)) {
	case LEARN_NEW:
		count(&c->counters[COUNTER(learned)], 1);
		break;
	case LEARN_MOVED:
		count(&c->counters[COUNTER(moved)], 1);
		break;
	case LEARN_REFUSED:
	case LEARN_BUSY:
		count(&c->counters[COUNTER(not_learned)], 1);
		break;
	case LEARN_KNOWN:
	case LEARN_STATIC:
		break;
	}
}

/* Learn the source. 1, or 0: nobody may send from it here. */
static int source(struct channel *c, const struct port_conf *conf, uint64_t key)
{
	unsigned slot = c->port->slot;

	if (unlikely(c->src_key != key || !found_holds(&c->port->sw->table, &c->src, key, c->tick) ||
	             value_port(c->src.value) != slot))
		learn(c, conf, key);
	if (c->src.entry == NULL)
		return (conf->flags & VDEV_SWITCH_ONLY_STATIC) == 0;
	if (value_port(c->src.value) != slot)
		return (c->src.value & VALUE_STATIC) == 0 && (conf->flags & VDEV_SWITCH_ONLY_STATIC) == 0;
	if ((c->src.value & VALUE_STATIC) != 0)
		return 1;
	table_seen(c->src.entry, c->tick);
	return (conf->flags & VDEV_SWITCH_ONLY_STATIC) == 0;
}

static int storm(struct channel *c, const struct port_conf *conf, enum storm kind)
{
	const struct rate *r = &conf->storm[kind];

	return r->frame_time == 0 ||
	       bucket_take(&c->port->storm[kind], c->now, r->frame_time, r->frames_burst);
}

static void drop(struct verdict *v, unsigned reason)
{
	v->fate = FATE_DROP;
	v->reason = (uint8_t)reason;
}

static void many(struct channel *c, const struct port_conf *conf, struct verdict *v,
                 enum storm kind)
{
	if (!storm(c, conf, kind)) {
		drop(v, COUNTER(in_storm));
		return;
	}
	v->fate = FATE_MANY;
	v->storm = (uint8_t)kind;
	v->to = NULL;
}

/* Where it goes. */
static void destination(struct channel *c, const struct port_conf *conf, struct verdict *v,
                        uint64_t mac)
{
	struct vdev_switch *s = c->port->sw;
	uint64_t key = mac | v->vlan;

	if ((v->bytes[0] & 1) != 0) {
		many(c, conf, v, mac == ~UINT64_C(0xffff) ? STORM_BROADCAST : STORM_MULTICAST);
		return;
	}
	if (unlikely(c->dst_key != key || !found_holds(&s->table, &c->dst, key, c->tick))) {
		c->dst = table_find(&s->table, key, c->tick);
		c->dst_key = key;
	}
	if (c->dst.entry == NULL) {
		many(c, conf, v, STORM_UNKNOWN);
		return;
	}
	v->to = load_guarded(&s->ports[value_port(c->dst.value)]);
	if (v->to == c->port)
		drop(v, COUNTER(in_local));
	else if (v->to == NULL) /* it is just leaving */
		many(c, conf, v, STORM_UNKNOWN);
	else
		v->fate = FATE_ONE;
}

/*
 * Like the frame before it, untagged and to a single receiver: then all that was found for that one holds. What it was
 * found in may have changed since, as if this frame had come a little earlier.
 */
static inline int like_before(const struct vdev_frame *f, size_t n, struct verdict *v,
                              const struct verdict *before)
{
	uint64_t a[2], b[2];

	if (before->fate != FATE_ONE || before->header != UNTAGGED || n < HEADER || f->len < n)
		return 0;
	memcpy(&a[0], v->bytes, 8);
	memcpy(&a[1], v->bytes + 6, 8);
	memcpy(&b[0], before->bytes, 8);
	memcpy(&b[1], before->bytes + 6, 8);
	/* A tag that is payload to a plain port has a second one perhaps, or not. */
	if (a[0] != b[0] || a[1] != b[1] || type_is_tag(net_get_be16(v->bytes + 12)))
		return 0;
	v->to = before->to;
	v->vlan = before->vlan;
	v->tag = before->tag;
	v->fate = FATE_ONE;
	v->same = 1;
	return f->len <= VDEV_NET_MAX_FRAME;
}

/* Whoever fills in the checksum would write what was decided by. */
static inline int sum_goes_into(const struct vdev_net_offload *o, unsigned header)
{
	return (o->flags & VDEV_NET_NEEDS_CSUM) != 0 && o->csum_start < header;
}

void decide(struct channel *c, const struct port_conf *conf, const struct vdev_frame *f,
            struct verdict *v, const struct verdict *before)
{
	size_t n = frame_read_first(f, v->bytes, HEADER);
	uint64_t dst, src;

	v->header = UNTAGGED;
	v->charged = 0;
	v->changed = 0;
	v->payload = f->len - UNTAGGED;
	if (before != NULL && !conf->limits_in && like_before(f, n, v, before)) {
		if (unlikely(sum_goes_into(&f->offload, UNTAGGED)))
			drop(v, COUNTER(in_bad));
		else if (unlikely(beyond_mtu(f, v->payload, conf->mtu)))
			drop(v, COUNTER(in_oversized));
		return;
	}
	dst = mac_key(v->bytes);
	src = mac_key(v->bytes + 6);
	v->vlan = 0;
	v->same = 0;
	if (unlikely(n < UNTAGGED || f->len < n || f->len > VDEV_NET_MAX_FRAME || src == 0 ||
	             (v->bytes[6] & 1) != 0)) {
		drop(v, COUNTER(in_bad));
		return;
	}
	if (unlikely(dst >> 20 == UINT64_C(0x0180c200000))) {
		drop(v, COUNTER(in_link_local));
		return;
	}
	if (conf->mode == VDEV_SWITCH_PLAIN) {
		skip_tags(n, v);
	} else if (unlikely(!find_vlan(conf, n, v))) {
		drop(v, COUNTER(in_vlan));
		return;
	}
	if (unlikely(sum_goes_into(&f->offload, v->header))) {
		drop(v, COUNTER(in_bad));
		return;
	}
	if (unlikely(beyond_mtu(f, v->payload, conf->mtu))) {
		drop(v, COUNTER(in_oversized));
		return;
	}
	if (conf->limits_in) {
		if (!rate_take(&conf->in, &c->port->in.frames, &c->port->in.bytes, c->now, f->len)) {
			drop(v, COUNTER(in_limited));
			return;
		}
		v->charged = 1;
	}
	if (unlikely(!source(c, conf, src | v->vlan))) {
		drop(v, COUNTER(in_spoofed));
		return;
	}
	destination(c, conf, v, dst);
}
