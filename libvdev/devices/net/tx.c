/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transmission (5.1.6.2). Frames are handed on where they lie: the netif takes them in the call, so that nothing is
 * kept, and a chain is used as soon as its frame has gone.
 */
#include "net.h"

/* Whether the driver may leave this to be done: offloads follow what was accepted, not what was offered. */
static int negotiated(const struct vdev_frame *f, uint32_t may)
{
	unsigned kind = f->offload.gso_type;

	if (!(may & VDEV_NET_TAKES_CSUM))
		return 0;
	if (kind & VDEV_NET_GSO_TUNNEL && !(may & VDEV_NET_TAKES_TUNNEL))
		return 0;
	if (f->offload.flags & VDEV_NET_UDP_TUNNEL_CSUM && !(may & VDEV_NET_TAKES_TUNNEL_CSUM))
		return 0;
	if (kind & VDEV_NET_GSO_ECN && !(may & VDEV_NET_TAKES_ECN))
		return 0;
	switch (kind & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN)) {
	case VDEV_NET_GSO_NONE:
		return 1;
	case VDEV_NET_GSO_TCPV4:
		return (may & VDEV_NET_TAKES_TSO4) != 0;
	case VDEV_NET_GSO_TCPV6:
		return (may & VDEV_NET_TAKES_TSO6) != 0;
	case VDEV_NET_GSO_UDP:
		return (may & VDEV_NET_TAKES_UFO) != 0;
	case VDEV_NET_GSO_UDP_L4:
		return (may & (VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6)) != 0;
	}
	return 0;
}

/* A frame to which something is left to be done. 0: it makes no sense. */
static __attribute__((noinline)) int offloaded(struct net_txq *t, const uint8_t *hdr,
                                               struct vdev_frame *f)
{
	net_hdr_get(hdr, t->hdr, &f->offload);
	if (!(f->offload.gso_type & VDEV_NET_GSO_TUNNEL))
		f->offload.outer_th = f->offload.inner_nh = 0;
	if (!(f->offload.flags & FRAME_SENDER_FLAGS) && f->offload.gso_type == 0) {
		memset(&f->offload, 0, sizeof(f->offload));
		return 1;
	}
	if (!negotiated(f, t->may) || vdev_net_offload_check(f) < 0)
		return 0;
	/* What a receiver says of a frame is not for a sender to say. */
	f->offload.flags &= FRAME_SENDER_FLAGS;
	t->offloaded = 1;
	return 1;
}

/* What is left to be done to a frame: mostly nothing. 0: what its header, in the driver's memory, says makes no sense. */
static inline int look(struct net_txq *t, const uint8_t *hdr, struct vdev_frame *f)
{
	uint8_t copy[NET_HDR_MAX];
	uint16_t todo;

	memcpy(&todo, hdr, sizeof(todo)); /* flags and gso_type */
	net_fix(todo);
	memset(&f->offload, 0, sizeof(f->offload));
	if (likely(todo == 0))
		return 1;
	memcpy(copy, hdr, t->hdr);
	return offloaded(t, copy, f);
}

/* A header or first piece in any form. 0: too short, or in too many pieces. */
static __attribute__((noinline)) int begin_slowly(struct net_txq *t, const struct virtq_chain *c,
                                                  struct virtq_iov **iov, struct virtq_iov *end,
                                                  struct vdev_frame *f)
{
	uint8_t hdr[NET_HDR_MAX];
	int pieces;

	if (c->read_bytes < t->hdr + VDEV_NET_ETH || c->read_bytes - t->hdr > VDEV_NET_MAX_FRAME)
		return 0;
	if (vdev_chain_read(c, 0, hdr, t->hdr) != t->hdr)
		return 0;
	pieces = vdev_chain_slice(c, 0, t->hdr, c->read_bytes - t->hdr, *iov, (uint32_t)(end - *iov));
	if (pieces < 0)
		return 0;
	f->iov = *iov;
	f->niov = (uint32_t)pieces;
	f->len = c->read_bytes - t->hdr;
	*iov += pieces;
	return offloaded(t, hdr, f);
}

/*
 * Make a frame of a chain. The usual ones: header and frame in one piece, or the header in a piece of its own. 0: it is
 * none.
 */
static inline int begin(struct net_txq *t, const struct virtq_chain *c, struct virtq_iov **iov,
                        struct virtq_iov *end, struct vdev_frame *f)
{
	const struct virtq_iov *first = c->iov;
	uint32_t len = c->read_bytes - t->hdr;

	/* In one comparison: shorter than header and frame may be wraps round, and is too long then. */
	if (unlikely(c->nread == 0 || len - VDEV_NET_ETH > VDEV_NET_MAX_FRAME - VDEV_NET_ETH))
		return 0;
	if (c->nread == 1) {
		**iov = (struct virtq_iov){.base = (uint8_t *)first->base + t->hdr, .len = len};
		f->iov = (*iov)++;
		f->niov = 1;
	} else if (likely(first->len == t->hdr)) {
		f->iov = first + 1;
		f->niov = c->nread - 1;
	} else {
		return begin_slowly(t, c, iov, end, f);
	}
	f->len = len;
	return look(t, first->base, f);
}

/* Statistics of what was left to be done to frames that went out: those that did not come again. */
static __attribute__((noinline)) void count_offloads(struct net_txq *t, uint32_t n)
{
	struct net_tx_count *c = t->count;

	for (const struct vdev_frame *f = t->frames; f != t->frames + n; f++) {
		if (f->offload.flags & VDEV_NET_NEEDS_CSUM)
			net_count(&c->needs_csum, 1);
		if (f->offload.gso_type != VDEV_NET_GSO_NONE) {
			net_count(&c->gso, 1);
			net_count(&c->gso_bytes, f->len);
		}
	}
	t->offloaded = 0;
}

/* The first n frames that were made go out. Returns how many did. */
static inline uint32_t send(struct net_txq *t, uint32_t n)
{
	uint32_t taken = t->send(t->channel, t->frames, n);

	net_count(&t->count->frames, taken);
	if (unlikely(t->offloaded))
		count_offloads(t, taken);
	if (unlikely(__atomic_load_n(&t->n->spread, __ATOMIC_RELAXED) > 1))
		net_learn(t->n, vdev_queue_index(t->q) / 2, t->frames, taken);
	return taken;
}

/* Chains whose frames went out, so many bytes, or are lost. */
static void use(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n, uint64_t bytes)
{
	static const uint32_t written[VDEV_BURST];
	const struct vdev_done sum = {.written_bytes = bytes};

	vdev_queue_complete_burst(q, chains, n, written, &sum);
}

/* Send a run of frames, and use the chains of those that were taken. Returns how many. */
static uint32_t send_chains(struct net_txq *t, const struct virtq_chain *chains, uint32_t n)
{
	uint32_t taken = send(t, n);
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < taken; i++)
		bytes += t->frames[i].len;
	net_count(&t->count->bytes, bytes);
	if (likely(taken != 0))
		use(t->q, chains, taken, bytes);
	return taken;
}

/*
 * The netif left n frames. 1: they come again. Without a clock nobody would come back to them: then they are lost, as frames
 * may be, and counted.
 */
static __attribute__((noinline, cold)) int come_again(struct net_txq *t, uint32_t n)
{
	const struct vdev_env *env = &t->n->env;

	if (env->now == NULL) {
		net_count(&t->count->lost, n);
		return 0;
	}
	t->deadline = env->now(env->ctx) + NET_RETRY_NS;
	return 1;
}

static __attribute__((noinline, cold)) uint32_t later(struct net_txq *t,
                                                      const struct virtq_chain *chains, uint32_t n)
{
	if (come_again(t, n))
		return 0;
	use(t->q, chains, n, 0);
	return n;
}

static __attribute__((noinline, cold)) void drop(struct net_txq *t, const struct virtq_chain *c)
{
	const struct vdev_done done = {.error = 1};

	net_count(&t->count->malformed, 1);
	vdev_queue_complete(t->q, c, &done);
}

/* Make frames of buffers that hold header and frame, up to the first that is none. Returns how many. */
static inline uint32_t begin_buffers(struct net_txq *t, const struct virtq_buffer *b, uint32_t n,
                                     uint64_t *bytes)
{
	const struct virtq_buffer *first = b, *last = b + n;
	struct vdev_frame *f = t->frames;
	struct virtq_iov *iov = t->iov;
	uint32_t hdr_len = t->hdr;

	for (; b != last; b++, f++, iov++) {
		uint32_t len = b->len - hdr_len;
		uint8_t *hdr = b->base;

		if (unlikely(len - VDEV_NET_ETH > VDEV_NET_MAX_FRAME - VDEV_NET_ETH))
			break;
		iov->base = hdr + hdr_len;
		iov->len = len;
		f->iov = iov;
		f->niov = 1;
		f->len = len;
		if (!look(t, hdr, f))
			break;
		*bytes += len;
	}
	return (uint32_t)(b - first);
}

/* The quick way: a burst of buffers. What is sent on a queue that is disabled is discarded, here and there. */
uint32_t net_process_buffers(void *model, struct vdev_queue *q, const struct virtq_buffer *b,
                             uint32_t n, struct vdev_done *sum)
{
	struct net_txq *t = vdev_queue_priv(q);
	uint64_t bytes = 0;
	uint32_t done = 0;

	(void)model;
	if (unlikely(!vdev_queue_enabled(q))) {
		net_count(&t->count->discarded, n);
		return n;
	}
	while (done < n) {
		uint32_t run = begin_buffers(t, &b[done], n - done, &bytes), taken;

		if (likely(run != 0)) {
			taken = send(t, run);
			done += taken;
			if (unlikely(taken < run)) {
				for (uint32_t i = taken; i < run; i++)
					bytes -= t->frames[i].len;
				if (come_again(t, run - taken))
					break;
				done += run - taken;
			}
		}
		if (unlikely(done < n)) {
			net_count(&t->count->malformed, 1);
			sum->error++;
			done++;
		}
	}
	net_count(&t->count->bytes, bytes);
	sum->written_bytes = bytes;
	return done;
}

uint32_t net_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                     uint32_t n)
{
	struct net_txq *t = vdev_queue_priv(q);
	uint32_t first = 0;

	if (unlikely(t == NULL))
		return 0;
	if (unlikely(net_role(model, q) == NET_CTRL))
		return net_ctrl_process(q, chains, n);
	if (unlikely(!vdev_queue_enabled(q))) {
		net_count(&t->count->discarded, n);
		use(q, chains, n, 0);
		return n;
	}
	while (first < n) {
		struct virtq_iov *iov = t->iov, *end = t->iov + t->niov;
		uint32_t run = 0, taken;

		while (first + run < n &&
		       likely(begin(t, &chains[first + run], &iov, end, &t->frames[run])))
			run++;
		if (likely(run != 0)) {
			taken = send_chains(t, &chains[first], run);
			first += taken;
			if (unlikely(taken < run)) {
				taken = later(t, &chains[first], run - taken);
				if (taken == 0)
					return first;
				first += taken;
			}
		}
		if (unlikely(first < n))
			drop(t, &chains[first++]);
	}
	return n;
}

uint64_t net_deadline(void *model, struct vdev_queue *q)
{
	const struct net_txq *t = vdev_queue_priv(q);

	if (t == NULL || net_role(model, q) != NET_TX)
		return UINT64_MAX;
	return t->deadline;
}

/* The netif takes frames again. */
void net_writable(void *ctx)
{
	struct net_device *n = ctx;

	for (uint32_t i = 0; i < n->pairs; i++) {
		struct vdev_queue *q = __atomic_load_n(&n->tx[i], __ATOMIC_ACQUIRE);

		if (q != NULL)
			vdev_queue_wake(q);
	}
}

/* Say where the driver is now, for one that can't. */
int net_tx_poll(struct vdev_queue *q)
{
	struct net_txq *t = vdev_queue_priv(q);
	struct net_device *n = t->n;
	uint8_t frame[60];
	struct virtq_iov iov = {.base = frame, .len = sizeof(frame)};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .len = sizeof(frame)};

	if (likely(!__atomic_load_n(&n->rarp_wanted, __ATOMIC_RELAXED)) || vdev_queue_index(q) != 1 ||
	    !vdev_queue_open(q))
		return 0;
	net_lock(n);
	net_rarp(frame, n->rarp);
	__atomic_store_n(&n->rarp_wanted, 0, __ATOMIC_RELAXED);
	net_unlock(n);
	(void)t->send(t->channel, &f, 1); /* if it is not taken it is lost, as frames may be */
	return 0;
}
