/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control queue (5.1.6.5): commands come as chains, each is copied once and carried out by net_command().
 *
 * Two copies of the settings: one that those who receive read, one for the next command. Whoever receives is in some
 * receive queue while it reads them; so when this thread has been in every receive queue after it has shown the new ones,
 * nobody reads the old ones any more, the driver's command is in effect, and only then is it used. See docs/adr/0017.
 */
#include "net.h"

enum {
	CMD_MAX = 32768,   /* bytes of a command: some 5,400 addresses */
	REPLY_MAX = 24576, /* bytes of a result: all statistics of all queues */
	NET_US = 1000      /* nanoseconds */
};

struct net_ctrlq {
	struct net_device *n;
	struct vdev_queue *q;
	uint64_t commands, oks;
	struct net_result result;
	uint8_t busy; /* a command waits until every receive queue goes by it */
	uint32_t passed;
	struct virtq_chain chain; /* its own */
	uint8_t *cmd;
	uint32_t niov;
	struct virtq_iov *iov;
	size_t bytes; /* of this allocation */
};

void net_limits(const struct net_device *n, struct net_limits *l)
{
	memset(l, 0, sizeof(*l));
	vdev_accepted(n->v, &l->has);
	l->pairs = net_pairs(n);
	l->contexts = NET_CONTEXTS;
	for (uint32_t i = 0; i < l->pairs; i++) {
		l->rx_on |= (uint64_t)(vdev_queue_started(n->v, 2 * i) != 0) << i;
		l->tx_on |= (uint64_t)(vdev_queue_started(n->v, 2 * i + 1) != 0) << i;
	}
}

static struct vdev_queue *queue_at(const struct net_device *n, uint32_t index)
{
	return __atomic_load_n(index % 2 == 0 ? &n->rx[index / 2] : &n->tx[index / 2],
	                       __ATOMIC_ACQUIRE);
}

static void coalesce(struct vdev_queue *q, const struct net_coal *c)
{
	uint64_t usecs = __atomic_load_n(&c->usecs, __ATOMIC_RELAXED);

	/* Not offered without a clock, and then there is nothing to hold back. */
	if (vdev_queue_coalesce(q, __atomic_load_n(&c->packets, __ATOMIC_RELAXED), usecs * NET_US) < 0)
		return;
}

/* A queue begins: with what was set for all of its kind, whatever was set for it before. */
void net_coalesce_start(struct net_device *n, struct vdev_queue *q)
{
	unsigned index = vdev_queue_index(q);
	struct net_coal *all = index % 2 == 0 ? &n->coal.rx : &n->coal.tx, *own = &n->coal.vq[index];

	if (n->coal_restored[index]) {
		n->coal_restored[index] = 0;
	} else {
		__atomic_store_n(&own->packets, __atomic_load_n(&all->packets, __ATOMIC_RELAXED),
		                 __ATOMIC_RELAXED);
		__atomic_store_n(&own->usecs, __atomic_load_n(&all->usecs, __ATOMIC_RELAXED),
		                 __ATOMIC_RELAXED);
	}
	coalesce(q, own);
}

static void apply_coalescing(struct net_device *n)
{
	for (uint32_t i = 0; i < 2 * net_pairs(n); i++) {
		struct vdev_queue *q = queue_at(n, i);

		if (q != NULL)
			coalesce(q, &n->coal.vq[i]);
	}
}

void net_lock(struct net_device *n)
{
	while (__atomic_exchange_n(&n->rarp_lock, 1, __ATOMIC_ACQUIRE))
		;
}

void net_unlock(struct net_device *n)
{
	__atomic_store_n(&n->rarp_lock, 0, __ATOMIC_RELEASE);
}

/* Show the driver the status as it is. Whoever writes last looks once more, so that it is the last that stays. */
static void show_status(struct net_device *n)
{
	uint8_t shown[2], now[2];
	uint32_t status;

	do {
		status = __atomic_load_n(&n->status, __ATOMIC_SEQ_CST);
		net_put_le16(now, (uint16_t)status);
		vdev_config_read(n->v, NET_AT_STATUS, shown, sizeof(shown));
		if (memcmp(now, shown, sizeof(now)) != 0)
			vdev_config_update(n->v, NET_AT_STATUS, now, sizeof(now));
	} while (__atomic_load_n(&n->status, __ATOMIC_SEQ_CST) != status);
}

/* Set and clear bits of the status that the driver reads. Any thread. */
void net_status(struct net_device *n, uint32_t set, uint32_t clear)
{
	__atomic_fetch_or(&n->status, set, __ATOMIC_SEQ_CST);
	__atomic_fetch_and(&n->status, ~clear, __ATOMIC_SEQ_CST);
	show_status(n);
}

/* How many receive queues frames are spread over. Without a control queue whoever starts queues says so by that. */
void net_spread(struct net_device *n)
{
	uint32_t pairs = net_settings_of(n)->pairs;

	__atomic_store_n(&n->spread, pairs, __ATOMIC_RELAXED);
	__atomic_store_n(&n->steers, net_settings_of(n)->steers, __ATOMIC_RELAXED);
	if (n->netif->ops->set_pairs != NULL)
		n->netif->ops->set_pairs(n->netif, pairs);
}

/* Without a control queue (a front-end keeps it to itself) the receive queues that are started are those in use. */
void net_spread_begin(struct net_device *n, unsigned pair)
{
	uint32_t now = __atomic_load_n(&n->spread, __ATOMIC_RELAXED);

	while (__atomic_load_n(&n->ctrl, __ATOMIC_ACQUIRE) == NET_NO_CTRL && now <= pair)
		if (__atomic_compare_exchange_n(&n->spread, &now, pair + 1, 0, __ATOMIC_RELAXED,
		                                __ATOMIC_RELAXED))
			break;
}

/* All but some: those are counted elsewhere, perhaps a little earlier. */
static uint64_t others(uint64_t all, uint64_t some)
{
	return all > some ? all - some : 0;
}

/* Values of statistics. */
static uint32_t rx_values(const struct net_device *n, unsigned kind, unsigned index, uint64_t *v)
{
	const struct net_rx_count *c = &n->rx_count[index / 2];
	uint64_t frames = net_counted(&c->frames), short_of = net_counted(&c->no_buffers);
	struct vdev_counters core;

	switch (kind) {
	case NET_STAT_RX_BASIC:
		vdev_queue_counters(n->v, index, &core);
		v[0] = core.kicks;
		v[1] = frames;
		v[2] = net_counted(&c->bytes);
		v[3] = core.interrupts;
		v[4] = short_of + net_counted(&c->too_short) + net_counted(&c->oversized) +
		       net_counted(&c->unfit) + net_counted(&c->filtered);
		v[5] = short_of;
		return 6;
	case NET_STAT_RX_CSUM:
		v[0] = net_counted(&c->valid);
		v[1] = net_counted(&c->needs_csum);
		v[2] = others(frames, v[0] + v[1]);
		return 4; /* none is known to be wrong: that is for the driver to find */
	default:
		v[0] = net_counted(&c->gso);
		v[1] = net_counted(&c->gso_bytes);
		return 4; /* frames are not joined */
	}
}

static uint32_t tx_values(const struct net_device *n, unsigned kind, unsigned index, uint64_t *v)
{
	const struct net_tx_count *c = &n->tx_count[index / 2];
	struct vdev_counters core;

	switch (kind) {
	case NET_STAT_TX_BASIC:
		vdev_queue_counters(n->v, index, &core);
		v[0] = core.kicks;
		v[1] = net_counted(&c->frames);
		v[2] = net_counted(&c->bytes);
		v[3] = core.interrupts;
		v[5] = net_counted(&c->malformed);
		v[4] = v[5] + net_counted(&c->discarded) + net_counted(&c->lost);
		return 6;
	case NET_STAT_TX_CSUM:
		v[1] = net_counted(&c->needs_csum);
		v[0] = others(net_counted(&c->frames), v[1]);
		return 2;
	default:
		/* Whoever receives them segments them if need be; here they go as they came. */
		v[0] = v[4] = net_counted(&c->gso);
		v[1] = v[5] = net_counted(&c->gso_bytes);
		return 6;
	}
}

static uint32_t stats(void *ctx, unsigned kind, unsigned index, uint64_t *values)
{
	const struct net_ctrlq *c = ctx;

	if (kind == NET_STAT_CVQ) {
		values[0] = c->commands;
		values[1] = c->oks + 1; /* this one too, or nobody sees it */
		return 2;
	}
	return kind < NET_STAT_TX_BASIC ? rx_values(c->n, kind, index, values)
	                                : tx_values(c->n, kind, index, values);
}

/* Be in every receive queue once. 1: done; 0: somebody is in one of them. */
static int pass(struct net_ctrlq *c)
{
	struct net_device *n = c->n;
	uint32_t pairs =
		net_pairs(n); /* beyond those are queues that were others to an earlier driver */

	for (; c->passed < pairs; c->passed++) {
		struct vdev_queue *q = __atomic_load_n(&n->rx[c->passed], __ATOMIC_ACQUIRE);
		int rc = q != NULL ? vdev_queue_enter(q) : VIRTQ_ECANCELED;

		if (rc == 0)
			return 0;
		if (rc < 0)
			continue; /* it looks for itself when it starts */
		net_rx_settings(vdev_queue_priv(q));
		vdev_queue_leave(q);
	}
	return 1;
}

/* Everybody goes by the new settings: tell the driver. */
static void answer(struct net_ctrlq *c, const struct virtq_chain *chain, uint8_t ack)
{
	const struct net_result *r = &c->result;
	struct net_device *n = c->n;
	struct vdev_done done = {.error = ack != NET_OK};

	if (ack == NET_OK) {
		c->oks++;
		if (r->did & NET_DID_MAC && vdev_has(n->v, VDEV_NET_F_MAC))
			vdev_config_update(n->v, NET_AT_MAC, net_settings_of(n)->mac, VDEV_NET_MAC);
		if (r->did & NET_DID_OFFLOADS)
			net_tell_takes(n, 1);
		if (r->did & NET_DID_ANNOUNCE)
			net_status(n, 0, NET_S_ANNOUNCE);
		if (r->did & NET_DID_COAL)
			apply_coalescing(n);
		done.written = 1 + (uint32_t)vdev_chain_write(chain, 1, r->reply, r->len);
	} else {
		done.written = 1;
	}
	(void)vdev_chain_write(chain, 0, &ack, 1);
	vdev_queue_complete(c->q, chain, &done);
}

/* The command has been carried out on the other copy: show it. 1: in effect. */
static int show(struct net_ctrlq *c)
{
	struct net_device *n = c->n;

	if (!(c->result.did & NET_DID_SHOW))
		return 1;
	__atomic_store_n(&n->current, n->current ^ 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with that of a receive queue that starts */
	if (c->result.did & NET_DID_STEER)
		net_spread(n);
	c->passed = 0;
	return pass(c);
}

static uint8_t carry_out(struct net_ctrlq *c, const struct virtq_chain *chain)
{
	struct net_device *n = c->n;
	struct net_settings *next = &n->settings[n->current ^ 1];
	struct net_limits limits;
	size_t room = chain->write_bytes - 1;

	c->commands++;
	c->result.did = 0;
	c->result.room = room < REPLY_MAX ? room : REPLY_MAX;
	if (chain->read_bytes > CMD_MAX)
		return NET_ERR;
	if (vdev_chain_read(chain, 0, c->cmd, chain->read_bytes) != chain->read_bytes)
		return NET_ERR;
	net_limits(n, &limits);
	*next = n->settings[n->current];
	return (uint8_t)net_command(next, &n->coal, &limits, c->cmd, chain->read_bytes, &c->result);
}

static void keep(struct net_ctrlq *c, const struct virtq_chain *chain)
{
	c->busy = 1;
	c->chain = *chain;
	c->chain.iov = c->iov;
	memcpy(c->iov, chain->iov, (chain->nread + chain->nwrite) * sizeof(*c->iov));
}

uint32_t net_ctrl_process(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n)
{
	struct net_ctrlq *c = vdev_queue_priv(q);
	uint32_t i;

	for (i = 0; i < n && !c->busy; i++) {
		uint8_t ack;

		if (chains[i].write_bytes == 0) {
			vdev_queue_fault(q, &chains[i], "a command without room for its ack");
			return i + 1;
		}
		ack = carry_out(c, &chains[i]);
		if (ack == NET_OK && !show(c))
			keep(c, &chains[i]);
		else
			answer(c, &chains[i], ack);
	}
	return i;
}

int net_ctrl_poll(struct vdev_queue *q)
{
	struct net_ctrlq *c = vdev_queue_priv(q);

	if (!c->busy)
		return 0;
	if (pass(c)) {
		c->busy = 0;
		answer(c, &c->chain, NET_OK);
	}
	return 1;
}

/* Nobody would come back to a command that waits for others, if this thread went to sleep. */
int net_ctrl_busy(struct vdev_queue *q)
{
	const struct net_ctrlq *c = vdev_queue_priv(q);

	return c->busy;
}

int net_ctrl_start(struct net_device *n, struct vdev_queue *q)
{
	uint32_t pieces = vdev_queue_max_pieces(q);
	size_t own = (sizeof(struct net_ctrlq) + 15) / 16 * 16;
	size_t bytes = own + pieces * sizeof(struct virtq_iov) + CMD_MAX + REPLY_MAX;
	struct net_ctrlq *c = n->env.alloc(n->env.ctx, bytes);

	if (c == NULL)
		return VIRTQ_ENOMEM;
	memset(c, 0, sizeof(*c));
	c->n = n;
	c->q = q;
	c->bytes = bytes;
	c->niov = pieces;
	c->iov = (struct virtq_iov *)((char *)c + own);
	c->cmd = (uint8_t *)(c->iov + pieces);
	c->result.reply = c->cmd + CMD_MAX;
	c->result.stats = stats;
	c->result.ctx = c;
	vdev_queue_set_priv(q, c);
	__atomic_store_n(&n->ctrl, vdev_queue_index(q), __ATOMIC_RELEASE);
	net_spread(n);
	return 0;
}

void net_ctrl_end(struct net_device *n, struct vdev_queue *q)
{
	struct net_ctrlq *c = vdev_queue_priv(q);

	vdev_queue_set_priv(q, NULL);
	n->env.free(n->env.ctx, c, c->bytes);
}

void net_ctrl_reset(struct net_device *n)
{
	n->current = 0;
	net_settings_init(&n->settings[0], n->mac);
	memset(&n->coal, 0, sizeof(n->coal));
	memset(n->coal_restored, 0, sizeof(n->coal_restored));
	memset(n->flows, 0, sizeof(n->flows));
	__atomic_store_n(&n->ctrl, NET_NO_CTRL, __ATOMIC_RELEASE);
	__atomic_store_n(&n->spread, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&n->steers, 0, __ATOMIC_RELAXED);
}

int vdev_net_announce(struct vdev *v, const uint8_t *mac)
{
	static const uint8_t none[VDEV_NET_MAC];
	struct net_device *n = v != NULL ? vdev_model_of(v, &net_model_ops) : NULL;
	uint8_t own[VDEV_NET_MAC];
	struct vdev_queue *q;

	if (n == NULL)
		return VIRTQ_EINVAL;
	if (vdev_has(v, VDEV_NET_F_GUEST_ANNOUNCE) && vdev_has(v, VDEV_NET_F_STATUS) &&
	    __atomic_load_n(&n->ctrl, __ATOMIC_ACQUIRE) != NET_NO_CTRL) {
		net_status(n, NET_S_ANNOUNCE, 0);
		return 0;
	}
	if (mac == NULL) {
		vdev_config_read(v, NET_AT_MAC, own, sizeof(own));
		mac = own;
	}
	if (memcmp(mac, none, sizeof(none)) == 0)
		return VIRTQ_ENOTSUP;
	net_lock(n);
	memcpy(n->rarp, mac, sizeof(n->rarp));
	__atomic_store_n(&n->rarp_wanted, 1, __ATOMIC_RELAXED);
	net_unlock(n);
	q = __atomic_load_n(&n->tx[0], __ATOMIC_ACQUIRE);
	if (q != NULL)
		vdev_queue_wake(q);
	return 0;
}
