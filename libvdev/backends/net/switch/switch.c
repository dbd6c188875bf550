/* SPDX-License-Identifier: BSD-3-Clause */
/* A switch as a whole: its making and end, and what it knows. */
#include "switch.h"

static uint64_t seed_of(const struct vdev_switch *s, const struct vdev_switch_config *cfg)
{
	uint64_t seed = (uint64_t)(uintptr_t)s * UINT64_C(0x9e3779b97f4a7c15);

	if (cfg->seed != 0)
		return cfg->seed;
	if (s->env.now != NULL)
		seed ^= s->env.now(s->env.ctx) * UINT64_C(0xd6e8feb86659fd93);
	return seed;
}

static void destroy(struct vdev_switch *s)
{
	struct vdev_env env = s->env;

	table_free(&s->table, &env);
	if (s->ports != NULL)
		env.free(env.ctx, s->ports, s->nports * sizeof(*s->ports));
	if (s->taken != NULL)
		env.free(env.ctx, s->taken, s->nports);
	env.free(env.ctx, s->memory, sizeof(*s) + LINE - 1);
}

int vdev_switch_new(struct vdev_switch **out, const struct vdev_env *env,
                    const struct vdev_switch_config *cfg)
{
	static const struct vdev_switch_config defaults = {.size = sizeof(defaults)};
	struct vdev_switch *s;
	void *memory;

	if (cfg == NULL)
		cfg = &defaults;
	if (out == NULL || !env_usable(env) || cfg->size < sizeof(*cfg) ||
	    cfg->addresses > ADDRESSES_MAX || cfg->ports > PORTS_MAX)
		return VIRTQ_EINVAL;
	memory = switch_alloc(env, sizeof(*s), (void **)&s);
	if (memory == NULL)
		return VIRTQ_ENOMEM;
	s->memory = memory;
	copy_sized(&s->env, sizeof(s->env), env, env->size);
	s->nports = cfg->ports != 0 ? cfg->ports : 64;
	gates_init(&s->gates, cfg->yield, cfg->ctx);
	s->ports = env->alloc(env->ctx, s->nports * sizeof(*s->ports));
	s->taken = env->alloc(env->ctx, s->nports);
	if (s->ports == NULL || s->taken == NULL ||
	    table_init(&s->table, &s->env, cfg->addresses != 0 ? cfg->addresses : 4096, s->nports,
	               cfg->ageing_ms != 0 ? cfg->ageing_ms : 300000, seed_of(s, cfg)) < 0) {
		destroy(s);
		return VIRTQ_ENOMEM;
	}
	memset(s->ports, 0, s->nports * sizeof(*s->ports));
	memset(s->taken, 0, s->nports);
	*out = s;
	return 0;
}

int vdev_switch_free(struct vdev_switch *s)
{
	if (s == NULL)
		return 0;
	for (uint32_t i = 0; i < s->nports; i++)
		if (s->taken[i])
			return VIRTQ_EBUSY;
	destroy(s);
	return 0;
}

static uint32_t tick_now(const struct vdev_switch *s)
{
	return s->env.now != NULL ? (uint32_t)(s->env.now(s->env.ctx) >> TICK_SHIFT) : 0;
}

struct vdev_netif *vdev_switch_find(struct vdev_switch *s, const uint8_t mac[VDEV_NET_MAC],
                                    uint16_t vlan)
{
	struct switch_port *port;
	struct found f;

	if (s == NULL || mac == NULL)
		return NULL;
	f = table_find(&s->table, mac_key(mac) | vlan, tick_now(s));
	if (f.entry == NULL)
		return NULL;
	port = load_guarded(&s->ports[value_port(f.value)]);
	return port != NULL ? &port->netif : NULL;
}

int vdev_switch_flush(struct vdev_switch *s, struct vdev_netif *port)
{
	struct switch_port *p = switch_port_of(port);

	if (s == NULL || (port != NULL && (p == NULL || p->sw != s)))
		return VIRTQ_EINVAL;
	table_purge(&s->table, &s->gates, p != NULL ? (int)p->slot : -1, 0);
	return 0;
}

uint32_t vdev_switch_learned(struct vdev_switch *s, struct vdev_netif *port)
{
	struct switch_port *p = switch_port_of(port);
	uint32_t n = 0;

	if (s == NULL || (port != NULL && (p == NULL || p->sw != s)))
		return 0;
	if (p != NULL)
		return load_relaxed(&s->table.learned[p->slot]);
	for (uint32_t i = 0; i < s->nports; i++)
		n += load_relaxed(&s->table.learned[i]);
	return n;
}
