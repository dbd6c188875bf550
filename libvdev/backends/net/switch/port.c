/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports: how they come, change and go while others send. */
#include "switch.h"

void *switch_alloc(const struct vdev_env *env, size_t bytes, void **aligned)
{
	void *memory = env->alloc(env->ctx, bytes + LINE - 1);

	if (memory == NULL)
		return NULL;
	*aligned = (void *)(((uintptr_t)memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
	memset(*aligned, 0, bytes);
	return memory;
}

/* --- a port as a netif --------------------------------------------------------- */

static void port_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct switch_port *p = (struct switch_port *)n;
	uint64_t mac = load_relaxed(&p->mac);

	memset(out, 0, sizeof(*out));
	out->takes = VDEV_NET_TAKES_ALL;
	out->mtu = load_relaxed(&p->mtu);
	out->speed = load_relaxed(&p->speed);
	out->duplex = 1;
	out->link = (uint8_t)load_relaxed(&p->up);
	if (mac != 0) {
		out->has_mac = 1;
		net_put_be32(out->mac, (uint32_t)(mac >> 32));
		net_put_be16(out->mac + 4, (uint16_t)(mac >> 16));
	}
}

static int port_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                     struct vdev_netif_channel **out)
{
	struct switch_port *p = (struct switch_port *)n;
	struct vdev_switch *s = p->sw;
	struct channel *c;
	void *memory;

	if (way == VDEV_NET_RECEIVE) { /* nothing to do on it: frames go to the sink */
		*out = &p->receive;
		return 0;
	}
	memory = switch_alloc(&s->env, sizeof(*c), (void **)&c);
	if (memory == NULL)
		return VIRTQ_ENOMEM;
	c->memory = memory;
	c->channel.netif = n;
	c->port = p;
	/* Never 0, and another one for each channel. */
	c->flow = ((uint32_t)p->slot << 16 | (pair & 0xffff)) + 1;
	gates_wait_lock(&s->gates, &s->gates.lock);
	c->next = p->channels;
	p->channels = c;
	gates_unlock(&s->gates.lock);
	gate_add(&s->gates, &c->gate);
	*out = &c->channel;
	return 0;
}

static void port_close(struct vdev_netif_channel *channel)
{
	struct switch_port *p = (struct switch_port *)channel->netif;
	struct channel *c = (struct channel *)channel, **at = &p->channels;
	struct vdev_switch *s = p->sw;

	if (channel == &p->receive)
		return;
	gate_remove(&s->gates, &c->gate);
	gates_wait_lock(&s->gates, &s->gates.lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (unsigned i = 0; i < COUNTERS; i++)
		p->closed[i] += c->counters[i];
	gates_unlock(&s->gates.lock);
	s->env.free(s->env.ctx, c->memory, sizeof(*c) + LINE - 1);
}

static void port_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct switch_port *p = (struct switch_port *)n;

	store_guarded(&p->sink, sink);
	gates_pass(&p->sw->gates);
}

static void port_destroy(struct vdev_netif *n)
{
	struct switch_port *p = (struct switch_port *)n;
	struct vdev_switch *s = p->sw;

	store_guarded(&s->ports[p->slot], NULL);
	gates_pass(&s->gates);
	/* Nobody learns anything here any more: its channels are closed. */
	table_purge(&s->table, &s->gates, (int)p->slot, 1);
	gates_wait_lock(&s->gates, &s->gates.lock);
	s->taken[p->slot] = 0;
	gates_unlock(&s->gates.lock);
	s->env.free(s->env.ctx, p->conf, sizeof(*p->conf));
	s->env.free(s->env.ctx, p->memory, sizeof(*p) + LINE - 1);
}

static void port_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	struct vdev_switch_counters c;

	memset(out, 0, sizeof(*out));
	if (vdev_switch_port_counters(n, &c) < 0)
		return;
	out->sent = c.in;
	out->sent_bytes = c.in_bytes;
	out->send_dropped = c.in_bad + c.in_link_local + c.in_vlan + c.in_oversized + c.in_limited +
	                    c.in_storm + c.in_spoofed + c.in_local + c.in_down;
	out->not_taken = c.not_taken;
	out->received = c.out;
	out->received_bytes = c.out_bytes;
	out->receive_dropped =
		c.out_no_device + c.out_busy + c.out_vlan + c.out_oversized + c.out_limited + c.out_pieces;
}

static const struct vdev_netif_ops port_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "switch",
	.info = port_info,
	.open = port_open,
	.close = port_close,
	.send = switch_send,
	.set_sink = port_set_sink,
	.destroy = port_destroy,
	.counters = port_counters,
};

struct switch_port *switch_port_of(struct vdev_netif *n)
{
	return n != NULL && n->ops == &port_ops ? (struct switch_port *)n : NULL;
}

/* --- making and changing ------------------------------------------------------------ */

static const struct vdev_switch_port_config plain = {.size = sizeof(plain)};

/* A free place, or VIRTQ_ENOSPC. */
static int take_slot(struct vdev_switch *s)
{
	int slot = VIRTQ_ENOSPC;

	gates_wait_lock(&s->gates, &s->gates.lock);
	for (uint32_t i = 0; i < s->nports; i++)
		if (!s->taken[i]) {
			s->taken[i] = 1;
			if (s->used <= i)
				store_guarded(&s->used, i + 1);
			slot = (int)i;
			break;
		}
	gates_unlock(&s->gates.lock);
	return slot;
}

static void leave_slot(struct vdev_switch *s, int slot)
{
	gates_wait_lock(&s->gates, &s->gates.lock);
	s->taken[slot] = 0;
	gates_unlock(&s->gates.lock);
}

static void tell(struct switch_port *p, const struct vdev_switch_port_config *cfg)
{
	store_relaxed(&p->mtu, cfg->mtu);
	store_relaxed(&p->speed, cfg->speed != 0 ? cfg->speed : UINT32_MAX);
	store_relaxed(&p->mac, mac_key(cfg->mac));
}

static int static_mac(struct switch_port *p, const struct port_conf *conf, const uint8_t *mac)
{
	uint64_t key = mac_key(mac);

	if (key == 0)
		return 0;
	if (conf->mode == VDEV_SWITCH_TRUNK && conf->vlan == 0)
		return 0; /* no VLAN that would be its own */
	return table_add_static(&p->sw->table, &p->sw->gates, key | conf->vlan, p->slot);
}

int vdev_switch_port_new(struct vdev_netif **out, struct vdev_switch *s,
                         const struct vdev_switch_port_config *cfg)
{
	struct port_conf *conf = NULL;
	struct switch_port *p;
	void *memory;
	int rc;

	if (cfg == NULL)
		cfg = &plain;
	if (out == NULL || s == NULL)
		return VIRTQ_EINVAL;
	rc = conf_new(s, cfg, &conf);
	if (rc < 0)
		return rc;
	memory = switch_alloc(&s->env, sizeof(*p), (void **)&p);
	rc = memory != NULL ? take_slot(s) : VIRTQ_ENOMEM;
	if (rc >= 0) {
		p->memory = memory;
		p->netif.ops = &port_ops;
		p->receive.netif = &p->netif;
		p->sw = s;
		p->slot = (unsigned)rc;
		p->conf = conf;
		p->up = 1;
		tell(p, cfg);
		rc = static_mac(p, conf, cfg->mac);
		if (rc < 0)
			leave_slot(s, (int)p->slot);
	}
	if (rc < 0) {
		s->env.free(s->env.ctx, conf, sizeof(*conf));
		if (memory != NULL)
			s->env.free(s->env.ctx, memory, sizeof(*p) + LINE - 1);
		return rc;
	}
	store_guarded(&s->ports[p->slot], p);
	*out = &p->netif;
	return 0;
}

int vdev_switch_port_set(struct vdev_netif *port, const struct vdev_switch_port_config *cfg)
{
	struct switch_port *p = switch_port_of(port);
	struct port_conf *conf = NULL, *old;
	struct vdev_switch *s;
	int rc;

	if (p == NULL || cfg == NULL)
		return VIRTQ_EINVAL;
	s = p->sw;
	rc = conf_new(s, cfg, &conf);
	if (rc < 0)
		return rc;
	rc = static_mac(p, conf, cfg->mac);
	if (rc < 0) {
		s->env.free(s->env.ctx, conf, sizeof(*conf));
		return rc;
	}
	tell(p, cfg);
	old = p->conf;
	store_guarded(&p->conf, conf);
	gates_pass(&s->gates);
	/* A debt of the old rate would be one of hours at a new one. */
	store_relaxed(&p->in.frames.full_at, 0);
	store_relaxed(&p->in.bytes.full_at, 0);
	store_relaxed(&p->out.frames.full_at, 0);
	store_relaxed(&p->out.bytes.full_at, 0);
	for (unsigned i = 0; i < STORMS; i++)
		store_relaxed(&p->storm[i].full_at, 0);
	if (old->mode != conf->mode || old->vlan != conf->vlan ||
	    memcmp(old->vlans, conf->vlans, sizeof(old->vlans)) != 0)
		table_purge(&s->table, &s->gates, (int)p->slot, 0);
	s->env.free(s->env.ctx, old, sizeof(*old));
	return 0;
}

int vdev_switch_port_set_link(struct vdev_netif *port, int up)
{
	struct switch_port *p = switch_port_of(port);
	const struct vdev_net_sink *sink;
	struct gate gate;

	if (p == NULL || (up != 0 && up != 1))
		return VIRTQ_EINVAL;
	if (__atomic_exchange_n(&p->up, (uint32_t)up, __ATOMIC_RELAXED) == (uint32_t)up)
		return 0;
	/* As a sender would, so that taking the sink away waits for this too. */
	gate_add(&p->sw->gates, &gate);
	gate_enter(&gate);
	sink = load_guarded(&p->sink);
	if (sink != NULL && sink->link != NULL)
		sink->link(sink->ctx);
	gate_leave(&gate);
	gate_remove(&p->sw->gates, &gate);
	return 0;
}

/* --- addresses and counters ------------------------------------------------------------ */

/* The key of a static address, or 0: there is no such. */
static uint64_t static_key(const struct switch_port *p, const uint8_t *mac, uint16_t vlan)
{
	if (mac == NULL || (mac[0] & 1) != 0 || mac_key(mac) == 0)
		return 0;
	if (vlan == 0)
		vlan = p->conf->vlan;
	if (p->conf->mode == VDEV_SWITCH_PLAIN
	        ? vlan != 0
	        : vlan == 0 || vlan > 4094 || !conf_has_vlan(p->conf, vlan))
		return 0;
	return mac_key(mac) | vlan;
}

int vdev_switch_port_add_mac(struct vdev_netif *port, const uint8_t mac[VDEV_NET_MAC],
                             uint16_t vlan)
{
	struct switch_port *p = switch_port_of(port);
	uint64_t key = p != NULL ? static_key(p, mac, vlan) : 0;

	if (key == 0)
		return VIRTQ_EINVAL;
	return table_add_static(&p->sw->table, &p->sw->gates, key, p->slot);
}

int vdev_switch_port_remove_mac(struct vdev_netif *port, const uint8_t mac[VDEV_NET_MAC],
                                uint16_t vlan)
{
	struct switch_port *p = switch_port_of(port);

	if (p == NULL || mac == NULL)
		return VIRTQ_EINVAL;
	if (vlan == 0)
		vlan = p->conf->vlan;
	return table_remove_static(&p->sw->table, &p->sw->gates, mac_key(mac) | vlan, p->slot);
}

int vdev_switch_port_counters(struct vdev_netif *port, struct vdev_switch_counters *out)
{
	struct switch_port *p = switch_port_of(port);
	uint64_t *to = (uint64_t *)out;

	if (p == NULL || out == NULL)
		return VIRTQ_EINVAL;
	gates_wait_lock(&p->sw->gates, &p->sw->gates.lock);
	for (unsigned i = 0; i < COUNTERS; i++) {
		to[i] = p->closed[i] + load_relaxed(&p->counters[i]);
		for (const struct channel *c = p->channels; c != NULL; c = c->next)
			to[i] += load_relaxed(&c->counters[i]);
	}
	gates_unlock(&p->sw->gates.lock);
	return 0;
}
