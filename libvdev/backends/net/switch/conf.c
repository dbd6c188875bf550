/* SPDX-License-Identifier: BSD-3-Clause */
/* A port's configuration, from the public form into the one that senders use. */
#include "switch.h"

static void rate_set(struct rate *r, const struct vdev_switch_limit *l)
{
	uint64_t frames = l->frames_burst, bytes = l->bytes_burst;

	if (l->frames_per_s != 0) {
		if (frames == 0)
			frames = l->frames_per_s / 10 > 0 ? l->frames_per_s / 10 : 1;
		r->frame_time = limit_time(1, l->frames_per_s);
		r->frames_burst = limit_time(frames, l->frames_per_s);
	}
	if (l->bytes_per_s != 0) {
		if (bytes == 0)
			bytes = l->bytes_per_s / 10 > 0 ? l->bytes_per_s / 10 : 1;
		r->bytes_per_s = l->bytes_per_s;
		r->bytes_burst = limit_time(bytes, l->bytes_per_s);
	}
}

static void storm_set(struct rate *r, uint32_t frames_per_s)
{
	const struct vdev_switch_limit limit = {.frames_per_s = frames_per_s};

	rate_set(r, &limit);
}

static int limits(const struct vdev_switch_limit *l)
{
	return l->frames_per_s != 0 || l->bytes_per_s != 0;
}

/* Which VLANs there are, by mode. */
static int vlans_set(struct port_conf *conf, const struct vdev_switch_port_config *cfg)
{
	if (cfg->vlan > 4094 || (cfg->nvlans != 0 && cfg->vlans == NULL))
		return VIRTQ_EINVAL;
	conf->vlan = cfg->vlan;
	if (cfg->mode == VDEV_SWITCH_PLAIN)
		return cfg->vlan == 0 && cfg->vlans == NULL ? 0 : VIRTQ_EINVAL;
	if (cfg->mode == VDEV_SWITCH_ACCESS) {
		if (cfg->vlans != NULL)
			return VIRTQ_EINVAL;
		conf->vlan = cfg->vlan != 0 ? cfg->vlan : 1;
	} else if (cfg->vlans == NULL) {
		memset(conf->vlans, 0xff, sizeof(conf->vlans));
	}
	for (uint32_t i = 0; i < cfg->nvlans; i++) {
		if (cfg->vlans[i] == 0 || cfg->vlans[i] > 4094)
			return VIRTQ_EINVAL;
		conf->vlans[cfg->vlans[i] / 32] |= 1u << cfg->vlans[i] % 32;
	}
	if (conf->vlan != 0)
		conf->vlans[conf->vlan / 32] |= 1u << conf->vlan % 32;
	return 0;
}

static int acceptable(const struct vdev_switch *s, const struct vdev_switch_port_config *cfg)
{
	const uint32_t flags = VDEV_SWITCH_ONLY_STATIC | VDEV_SWITCH_NO_LEARNING |
	                       VDEV_SWITCH_NO_UNKNOWN | VDEV_SWITCH_STEADY;

	if (cfg->size < sizeof(*cfg) || (cfg->flags & ~flags) != 0 || cfg->mode > VDEV_SWITCH_TRUNK ||
	    (cfg->mac[0] & 1) != 0)
		return 0;
	if (cfg->mtu != 0 && (cfg->mtu < VDEV_NET_MIN_MTU || cfg->mtu > 65535))
		return 0;
	return s->env.now != NULL || (!limits(&cfg->in) && !limits(&cfg->out) &&
	                              (cfg->broadcasts | cfg->multicasts | cfg->unknowns) == 0);
}

int conf_new(struct vdev_switch *s, const struct vdev_switch_port_config *cfg,
             struct port_conf **out)
{
	struct port_conf *conf;
	int rc;

	if (!acceptable(s, cfg))
		return VIRTQ_EINVAL;
	conf = s->env.alloc(s->env.ctx, sizeof(*conf));
	if (conf == NULL)
		return VIRTQ_ENOMEM;
	memset(conf, 0, sizeof(*conf));
	conf->flags = cfg->flags;
	conf->mode = cfg->mode;
	conf->mtu = cfg->mtu;
	conf->max_learned = cfg->max_learned;
	conf->limits_in = (uint32_t)limits(&cfg->in);
	conf->limits_out = (uint32_t)limits(&cfg->out);
	rate_set(&conf->in, &cfg->in);
	rate_set(&conf->out, &cfg->out);
	storm_set(&conf->storm[STORM_BROADCAST], cfg->broadcasts);
	storm_set(&conf->storm[STORM_MULTICAST], cfg->multicasts);
	storm_set(&conf->storm[STORM_UNKNOWN], cfg->unknowns);
	rc = vlans_set(conf, cfg);
	if (rc < 0) {
		s->env.free(s->env.ctx, conf, sizeof(*conf));
		return rc;
	}
	*out = conf;
	return 0;
}
