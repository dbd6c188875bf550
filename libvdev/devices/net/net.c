/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what is offered, the configuration space, how a device comes and goes. */
#include "net.h"

static void get_info(const struct net_device *n, struct vdev_netif_info *info)
{
	memset(info, 0, sizeof(*info));
	n->netif->ops->info(n->netif, info);
}

/* A config change only where there is one. */
static void show(struct net_device *n, enum net_config_at at, const uint8_t *now, uint32_t len)
{
	uint8_t shown[VDEV_NET_MAC];

	vdev_config_read(n->v, at, shown, len);
	if (memcmp(shown, now, len) != 0)
		vdev_config_update(n->v, at, now, len);
}

/*
 * Show the link as it is now. Its speed does not change while the driver sees it up. Any thread; who is overtaken by
 * another change looks again.
 */
void net_show_link(struct net_device *n)
{
	struct vdev_netif_info info;
	uint8_t speed[5];
	uint8_t up;

	get_info(n, &info);
	do {
		up = info.link;
		net_put_le32(speed, info.speed);
		speed[4] = info.duplex;
		if (!(__atomic_load_n(&n->status, __ATOMIC_SEQ_CST) & NET_S_LINK_UP))
			show(n, NET_AT_SPEED, speed, sizeof(speed));
		net_status(n, up ? NET_S_LINK_UP : 0, up ? 0 : NET_S_LINK_UP);
		get_info(n, &info);
	} while (info.link != up);
}

static void net_link(void *ctx)
{
	net_show_link(ctx);
}

/* Back to what the device was made with. */
static void net_reset(void *model)
{
	struct net_device *n = model;

	net_ctrl_reset(n);
	net_tell_takes(n, 0);
	show(n, NET_AT_MAC, n->mac, sizeof(n->mac));
	net_status(n, 0, NET_S_ANNOUNCE);
	/* Whoever was to be announced has gone. */
	__atomic_store_n(&n->rarp_wanted, 0, __ATOMIC_RELAXED);
}

static void net_destroy(void *model)
{
	struct net_device *n = model;

	if (n->netif->ops->set_sink != NULL)
		n->netif->ops->set_sink(n->netif, NULL);
	if (n->own_netif)
		vdev_netif_free(n->netif);
	n->env.free(n->env.ctx, n, n->bytes);
}

/* Somebody else tells the driver its MTU: the device has to live with it, and it does not change under a driver. */
static int told_mtu(struct net_device *n, uint16_t mtu)
{
	struct vdev_netif_info info;
	uint8_t was[2], now[2];

	get_info(n, &info);
	if (mtu < VDEV_NET_MIN_MTU || (info.mtu != 0 && mtu > info.mtu))
		return VIRTQ_EINVAL;
	vdev_config_read(n->v, NET_AT_MTU, was, sizeof(was));
	if (mtu == net_get_le16(was))
		return 0;
	if (vdev_status(n->v) & VIRTQ_STATUS_DRIVER_OK)
		return VIRTQ_EINVAL;
	net_put_le16(now, mtu);
	vdev_config_update(n->v, NET_AT_MTU, now, sizeof(now));
	return 0;
}

static int net_notice(void *model, enum vdev_notice what, const void *about)
{
	struct net_device *n = model;
	struct virtq_features offered;
	uint8_t mac[VDEV_NET_MAC];
	uint16_t mtu;

	vdev_offered(n->v, &offered);
	if (what == VDEV_NOTICE_MTU) {
		if (!virtq_features_has(&offered, VDEV_NET_F_MTU))
			return VIRTQ_ENOTSUP;
		if (about == NULL)
			return 0;
		memcpy(&mtu, about, sizeof(mtu));
		return told_mtu(n, mtu);
	}
	if (about == NULL)
		return 0;
	memcpy(mac, about, sizeof(mac));
	return mac[0] & 1 ? VIRTQ_EINVAL : vdev_net_announce(n->v, mac);
}

const struct vdev_model_ops net_model_ops = {
	.size = sizeof(struct vdev_model_ops),
	.name = "net",
	.device_id = 1,
	.state_version = 1,
	.process = net_process,
	.process_buffers = net_process_buffers,
	.poll = net_poll,
	.arm = net_arm,
	.fd = net_fd,
	.deadline = net_deadline,
	.queue_start = net_queue_start,
	.queue_end = net_queue_end,
	.reset = net_reset,
	.started = net_started,
	.save = net_save,
	.load = net_load,
	.destroy = net_destroy,
	.notice = net_notice,
};

/* What the driver sets by the control queue. */
static void offer_control(const struct vdev_net_config *cfg, int clock, struct virtq_features *f,
                          uint8_t *config)
{
	static const uint8_t always[] = {VDEV_NET_F_CTRL_VQ,        VDEV_NET_F_CTRL_RX,
	                                 VDEV_NET_F_CTRL_RX_EXTRA,  VDEV_NET_F_CTRL_VLAN,
	                                 VDEV_NET_F_CTRL_MAC_ADDR,  VDEV_NET_F_CTRL_GUEST_OFFLOADS,
	                                 VDEV_NET_F_GUEST_ANNOUNCE, VDEV_NET_F_HASH_REPORT,
	                                 VDEV_NET_F_HASH_TUNNEL,    VDEV_NET_F_DEVICE_STATS};

	for (size_t i = 0; i < sizeof(always); i++)
		virtq_features_set(f, always[i]);
	if (cfg->pairs > 1) {
		virtq_features_set(f, VDEV_NET_F_MQ);
		virtq_features_set(f, VDEV_NET_F_RSS);
		virtq_features_set(f, VDEV_NET_F_RSS_CONTEXT);
	}
	if (clock) {
		virtq_features_set(f, VDEV_NET_F_NOTF_COAL);
		virtq_features_set(f, VDEV_NET_F_VQ_NOTF_COAL);
	}
	config[NET_AT_KEY_MAX] = NET_KEY;
	net_put_le16(config + NET_AT_TABLE_MAX, NET_TABLE);
	net_put_le32(config + NET_AT_HASH_TYPES, NET_HASH_ALL);
	net_put_le32(config + NET_AT_TUNNEL_TYPES, NET_TUNNEL_ALL);
}

static void offer(const struct vdev_net_config *cfg, const struct vdev_netif_info *info,
                  struct virtq_features *f, uint8_t *config)
{
	static const uint8_t none[VDEV_NET_MAC];

	memset(f, 0, sizeof(*f));
	memset(config, 0, NET_CONFIG);
	net_offer_offloads(info->takes, f);
	virtq_features_set(f, VDEV_NET_F_MRG_RXBUF);
	virtq_features_set(f, VDEV_NET_F_STATUS);
	if (memcmp(cfg->mac, none, sizeof(none)) != 0) {
		virtq_features_set(f, VDEV_NET_F_MAC);
		memcpy(config + NET_AT_MAC, cfg->mac, sizeof(cfg->mac));
	}
	net_put_le16(config + NET_AT_STATUS, info->link ? NET_S_LINK_UP : 0);
	net_put_le16(config + NET_AT_PAIRS, (uint16_t)cfg->pairs);
	if (cfg->mtu != 0) {
		virtq_features_set(f, VDEV_NET_F_MTU);
		net_put_le16(config + NET_AT_MTU, cfg->mtu);
	}
	virtq_features_set(f, VDEV_NET_F_SPEED_DUPLEX);
	net_put_le32(config + NET_AT_SPEED, info->speed);
	config[NET_AT_DUPLEX] = info->duplex;
}

/* The configuration with defaults filled in, whatever its maker's size of it. */
static int settle_config(struct vdev_net_config *to, const struct vdev_net_config *from,
                         const struct vdev_netif_info *info)
{
	static const uint8_t none[VDEV_NET_MAC];

	memset(to, 0, sizeof(*to));
	if (from != NULL) {
		if (from->size < offsetof(struct vdev_net_config, pairs) + sizeof(from->pairs))
			return VIRTQ_EINVAL;
		memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	}
	if (to->pairs == 0)
		to->pairs = 1;
	if (to->queue_max == 0)
		to->queue_max = NET_QUEUE_MAX;
	if (to->mtu == 0)
		to->mtu = (uint16_t)info->mtu;
	if (memcmp(to->mac, none, sizeof(none)) == 0 && info->has_mac)
		memcpy(to->mac, info->mac, sizeof(to->mac));
	if (to->pairs > NET_PAIRS || (info->max_pairs != 0 && to->pairs > info->max_pairs) ||
	    to->queue_max > VIRTQ_MAX_SIZE || to->mac[0] & 1)
		return VIRTQ_EINVAL;
	if (to->mtu != 0 && (to->mtu < VDEV_NET_MIN_MTU || (info->mtu != 0 && to->mtu > info->mtu)))
		return VIRTQ_EINVAL;
	return 0;
}

static int make(struct net_device *n, const struct vdev_env *env, const struct vdev_net_config *cfg,
                const struct vdev_netif_info *info)
{
	uint8_t config[NET_CONFIG];
	struct vdev_model m;

	memset(&m, 0, sizeof(m));
	m.size = sizeof(m);
	m.ops = &net_model_ops;
	m.model = n;
	m.nqueues = 2 * cfg->pairs + 1;
	m.queue_max = cfg->queue_max;
	m.config_len = NET_CONFIG;
	m.config = config;
	m.flags = VDEV_MODEL_SHARED | VDEV_MODEL_DISABLED_TOO;
	offer(cfg, info, &m.features, config);
	offer_control(cfg, env->now != NULL, &m.features, config);
	return vdev_new(&n->v, env, &m);
}

static size_t device_bytes(uint32_t pairs)
{
	size_t pair =
		2 * sizeof(struct vdev_queue *) + sizeof(struct net_rx_count) + sizeof(struct net_tx_count);

	return sizeof(struct net_device) + pairs * pair;
}

static void layout(struct net_device *n, uint32_t pairs)
{
	n->rx_count = (struct net_rx_count *)(n + 1);
	n->tx_count = (struct net_tx_count *)(n->rx_count + pairs);
	n->rx = (struct vdev_queue **)(n->tx_count + pairs);
	n->tx = n->rx + pairs;
}

int vdev_net_new(struct vdev **out, const struct vdev_env *env, struct vdev_netif *netif,
                 const struct vdev_net_config *given)
{
	struct vdev_netif_info info;
	struct vdev_net_config cfg;
	struct net_device *n;
	size_t bytes;
	int rc;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || env->alloc == NULL ||
	    env->free == NULL || netif == NULL)
		return VIRTQ_EINVAL;
	memset(&info, 0, sizeof(info));
	netif->ops->info(netif, &info);
	if (settle_config(&cfg, given, &info) < 0)
		return VIRTQ_EINVAL;
	bytes = device_bytes(cfg.pairs);
	n = env->alloc(env->ctx, bytes);
	if (n == NULL)
		return VIRTQ_ENOMEM;
	memset(n, 0, bytes);
	layout(n, cfg.pairs);
	n->bytes = bytes;
	n->env = *env;
	n->netif = netif;
	n->pairs = cfg.pairs;
	memcpy(n->mac, cfg.mac, sizeof(n->mac));
	n->status = info.link ? NET_S_LINK_UP : 0;
	net_ctrl_reset(n);
	n->sink = (struct vdev_net_sink){.size = sizeof(n->sink),
	                                 .deliver = net_deliver,
	                                 .link = net_link,
	                                 .writable = net_writable,
	                                 .ctx = n};
	rc = make(n, env, &cfg, &info);
	if (rc < 0) {
		env->free(env->ctx, n, bytes);
		return rc;
	}
	n->own_netif = cfg.own_netif;
	if (netif->ops->set_sink != NULL)
		netif->ops->set_sink(netif, &n->sink);
	net_show_link(n); /* it may have changed when there was nobody to tell */
	*out = n->v;
	return 0;
}

void vdev_net_counters(struct vdev *v, struct vdev_net_counters *out)
{
	const struct net_device *n = v != NULL ? vdev_model_of(v, &net_model_ops) : NULL;

	memset(out, 0, sizeof(*out));
	if (n == NULL)
		return;
	out->not_ready = net_counted(&n->not_ready);
	for (uint32_t i = 0; i < n->pairs; i++) {
		const struct net_rx_count *r = &n->rx_count[i];
		const struct net_tx_count *t = &n->tx_count[i];

		out->received += net_counted(&r->frames);
		out->received_bytes += net_counted(&r->bytes);
		out->no_buffers += net_counted(&r->no_buffers);
		out->too_short += net_counted(&r->too_short);
		out->oversized += net_counted(&r->oversized);
		out->unfit += net_counted(&r->unfit);
		out->filtered += net_counted(&r->filtered);
		out->segmented += net_counted(&r->segmented);
		out->summed += net_counted(&r->summed);
		out->sent += net_counted(&t->frames);
		out->sent_bytes += net_counted(&t->bytes);
		out->malformed += net_counted(&t->malformed);
		out->discarded += net_counted(&t->discarded);
		out->lost += net_counted(&t->lost);
	}
}
