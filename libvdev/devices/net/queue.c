/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue's memory and channel. All that frames will need is allocated when the queue starts. */
#include "net.h"

uint32_t net_pairs(const struct net_device *n)
{
	return vdev_has(n->v, VDEV_NET_F_MQ) || vdev_has(n->v, VDEV_NET_F_RSS) ? n->pairs : 1;
}

/* What queue index is to a driver that accepted what this one did. */
static enum net_role role_of(const struct net_device *n, unsigned index)
{
	unsigned queues = 2 * net_pairs(n);

	if (index < queues)
		return index % 2 == 0 ? NET_RX : NET_TX;
	return index == queues && vdev_has(n->v, VDEV_NET_F_CTRL_VQ) ? NET_CTRL : NET_NONE;
}

static uint32_t header_bytes(const struct net_device *n)
{
	if (vdev_has(n->v, VDEV_NET_F_GUEST_UDP_TUNNEL_GSO) ||
	    vdev_has(n->v, VDEV_NET_F_HOST_UDP_TUNNEL_GSO))
		return NET_HDR_TUNNEL;
	return vdev_has(n->v, VDEV_NET_F_HASH_REPORT) ? NET_HDR_HASH : NET_HDR_PLAIN;
}

/* Tell the netif what the driver takes; all is adapted here, if the netif does not go by it. */
void net_tell_takes(struct net_device *n, int driver)
{
	const struct vdev_netif_ops *ops = n->netif->ops;
	struct virtq_features has;

	if (ops->set_takes == NULL)
		return;
	vdev_accepted(n->v, &has);
	(void)ops->set_takes(n->netif,
	                     driver ? net_offloads(net_settings_of(n), net_guest_takes(&has)) : 0);
}

/* Bytes of an array that is followed by others. */
static size_t padded(size_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

static int rx_start(struct net_device *n, struct vdev_queue *q, unsigned pair)
{
	const struct vdev_netif_ops *ops = n->netif->ops;
	uint32_t pieces = vdev_queue_max_pieces(q);
	uint32_t niov = 2 * NET_RX_CHAINS + pieces;
	size_t chains = padded(NET_RX_CHAINS * sizeof(struct virtq_chain));
	size_t written = padded(NET_RX_CHAINS * sizeof(uint32_t));
	size_t pending = padded(ops->receive != NULL ? VDEV_NET_BURST * sizeof(struct vdev_frame) : 0);
	size_t own = padded(sizeof(struct net_rxq)), adapt = padded(sizeof(struct frame_adapt));
	size_t bytes = own + adapt + chains + written + pending + niov * sizeof(struct virtq_iov);
	struct net_rxq *r = n->env.alloc(n->env.ctx, bytes);
	uint8_t mtu[2];
	int rc = 0;

	if (r == NULL)
		return VIRTQ_ENOMEM;
	memset(r, 0, sizeof(*r));
	r->n = n;
	r->q = q;
	r->bytes = bytes;
	r->count = &n->rx_count[pair];
	r->hdr = header_bytes(n);
	vdev_accepted(n->v, &r->has);
	r->negotiated = net_guest_takes(&r->has);
	r->longest = VDEV_NET_MAX_FRAME;
	if (vdev_has(n->v, VDEV_NET_F_MTU)) {
		vdev_config_read(n->v, NET_AT_MTU, mtu, sizeof(mtu));
		r->longest = net_get_le16(mtu) + (uint32_t)VDEV_NET_ETH;
	}
	r->mergeable = vdev_has(n->v, VDEV_NET_F_MRG_RXBUF) != 0;
	r->nchains = NET_RX_CHAINS;
	r->niov = niov;
	r->adapt = (struct frame_adapt *)((char *)r + own);
	r->chains = (struct virtq_chain *)((char *)r->adapt + adapt);
	r->written = (uint32_t *)((char *)r->chains + chains);
	r->pending = (struct vdev_frame *)((char *)r->written + written);
	r->iov = (struct virtq_iov *)((char *)r->pending + pending);
	if (ops->receive != NULL)
		rc = ops->open(n->netif, pair, VDEV_NET_RECEIVE, &r->channel);
	if (rc < 0) {
		n->env.free(n->env.ctx, r, bytes);
		return rc;
	}
	vdev_queue_supply(q);
	vdev_queue_set_priv(q, r);
	/* A command that has shown other settings by now finds this queue; or it has not, and they are seen here. */
	__atomic_store_n(&n->rx[pair], q, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	net_rx_settings(r);
	net_coalesce_start(n, q);
	net_spread_begin(n, pair);
	return 0;
}

static int tx_start(struct net_device *n, struct vdev_queue *q, unsigned pair)
{
	uint32_t pieces = vdev_queue_max_pieces(q);
	uint32_t niov = pieces > NET_PIECES ? pieces : NET_PIECES;
	size_t own = padded(sizeof(struct net_txq));
	size_t bytes = own + niov * sizeof(struct virtq_iov);
	struct net_txq *t = n->env.alloc(n->env.ctx, bytes);
	struct virtq_features has;
	int rc;

	if (t == NULL)
		return VIRTQ_ENOMEM;
	memset(t, 0, sizeof(*t));
	t->n = n;
	t->q = q;
	t->bytes = bytes;
	t->count = &n->tx_count[pair];
	t->send = n->netif->ops->send;
	t->hdr = header_bytes(n);
	vdev_accepted(n->v, &has);
	t->may = net_host_takes(&has);
	t->deadline = UINT64_MAX;
	t->niov = niov;
	t->iov = (struct virtq_iov *)((char *)t + own);
	rc = n->netif->ops->open(n->netif, pair, VDEV_NET_SEND, &t->channel);
	if (rc < 0) {
		n->env.free(n->env.ctx, t, bytes);
		return rc;
	}
	vdev_queue_buffers(q);
	vdev_queue_set_priv(q, t);
	__atomic_store_n(&n->tx[pair], q, __ATOMIC_RELEASE);
	net_coalesce_start(n, q);
	return 0;
}

int net_queue_start(void *model, struct vdev_queue *q)
{
	struct net_device *n = model;
	unsigned index = vdev_queue_index(q);

	n->roles[index] = (uint8_t)role_of(n, index);
	switch (net_role(n, q)) {
	case NET_RX:
		return rx_start(n, q, index / 2);
	case NET_TX:
		return tx_start(n, q, index / 2);
	case NET_CTRL:
		return net_ctrl_start(n, q);
	default:
		/* Not there for this driver, by what it accepted: what it puts there stays there. */
		vdev_queue_set_priv(q, NULL);
		return 0;
	}
}

void net_queue_end(void *model, struct vdev_queue *q)
{
	struct net_device *n = model;
	void *priv = vdev_queue_priv(q);
	struct vdev_netif_channel *channel;
	size_t bytes;

	if (priv == NULL)
		return;
	if (net_role(n, q) == NET_CTRL) {
		net_ctrl_end(n, q);
		return;
	}
	if (net_role(n, q) == NET_RX) {
		channel = ((struct net_rxq *)priv)->channel;
		bytes = ((struct net_rxq *)priv)->bytes;
	} else {
		channel = ((struct net_txq *)priv)->channel;
		bytes = ((struct net_txq *)priv)->bytes;
	}
	if (channel != NULL)
		n->netif->ops->close(channel);
	vdev_queue_set_priv(q, NULL);
	n->env.free(n->env.ctx, priv, bytes);
}
