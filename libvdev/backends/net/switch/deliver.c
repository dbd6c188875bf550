/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames on their way out: the header from private memory, with or without a tag, then the pieces of the original. All for one
 * receiver are given to it together.
 */
#include "switch.h"

/* A frame leaves with a header of so many bytes: 14, or 18 with a tag. 0: it doesn't leave here. */
static unsigned leaves_with(const struct port_conf *conf, const struct verdict *v)
{
	if (conf->mode == VDEV_SWITCH_PLAIN)
		return v->vlan == 0 ? UNTAGGED : 0;
	if (v->vlan == 0 || !conf_has_vlan(conf, v->vlan))
		return 0;
	if (v->vlan != conf->vlan)
		return HEADER;
	/* What would be a tag in front then could lead into another VLAN. */
	if (v->header == HEADER && type_is_tag(net_get_be16(v->bytes + 16)))
		return 0;
	return UNTAGGED;
}

static void put_header(uint8_t *to, const struct verdict *v, unsigned header)
{
	memcpy(to, v->bytes, 12);
	if (header == HEADER) {
		net_put_be16(to + 12, VLAN_TYPE);
		net_put_be16(to + 14, (uint16_t)(v->tag | v->vlan));
	}
	memcpy(to + header - 2, v->bytes + v->header - 2, 2);
}

/* Positions in a frame whose header gets longer or shorter. 0: they don't fit then. */
static int shift(struct vdev_net_offload *o, int by)
{
	int least = by < 0 ? HEADER : 0, most = 65535 - 4;

	if ((o->flags & VDEV_NET_NEEDS_CSUM) != 0) {
		if (o->csum_start > most)
			return 0;
		o->csum_start = (uint16_t)(o->csum_start + by);
	}
	if ((o->gso_type & VDEV_NET_GSO_TUNNEL) != 0) {
		if (o->outer_th < least || o->outer_th > most || o->inner_nh < least || o->inner_nh > most)
			return 0;
		o->outer_th = (uint16_t)(o->outer_th + by);
		o->inner_nh = (uint16_t)(o->inner_nh + by);
	}
	if (o->hdr_len >= HEADER && o->hdr_len <= most)
		o->hdr_len = (uint16_t)(o->hdr_len + by);
	return 1;
}

/* The pieces of f behind its header into the pool, from there on. How many; 0: none or no room. */
static uint32_t body(const struct vdev_frame *f, unsigned header, struct virtq_iov *to,
                     uint32_t room)
{
	struct frame_cursor cursor;
	const struct virtq_iov *first = f->iov;

	if (likely(first->len > header)) {
		if (f->niov > room)
			return 0;
		to->base = (uint8_t *)first->base + header;
		to->len = first->len - header;
		for (uint32_t i = 1; i < f->niov; i++)
			to[i] = first[i];
		return f->niov;
	}
	frame_cursor_init(&cursor, f, header);
	if (cursor.left > room)
		return 0;
	return frame_cursor_pieces(&cursor, f->len - header, to, &room) == f->len - header ? room : 0;
}

enum built { BUILT, BUILT_NOT, BUILT_FULL };

static enum built not_built(struct verdict *v, unsigned reason)
{
	v->dropped = (uint8_t)reason;
	return BUILT_NOT;
}

static enum built build_frame(struct channel *c, const struct vdev_frame *f, struct verdict *v,
                              unsigned header)
{
	struct vdev_frame *out = &c->out[c->nout];
	struct virtq_iov *iov = &c->pool[c->pieces];
	uint32_t n = 0, len = f->len - v->header;
	uint8_t *bytes = v->bytes;

	if (unlikely(f->niov > FRAME_PIECES))
		return not_built(v, COUNTER(out_pieces));
	if (unlikely(f->niov >= POOL - c->pieces))
		return BUILT_FULL;
	if (len > 0 && (n = body(f, v->header, iov + 1, POOL - c->pieces - 1)) == 0)
		return not_built(v, COUNTER(out_pieces));
	out->offload = f->offload;
	if (header != v->header) {
		if (!shift(&out->offload, (int)header - v->header) || len + header > VDEV_NET_MAX_FRAME)
			return not_built(v, COUNTER(out_oversized));
		bytes = c->headers[c->nout];
		put_header(bytes, v, header);
	}
	*iov = (struct virtq_iov){bytes, header};
	out->iov = iov;
	out->niov = n + 1;
	out->len = len + header;
	c->pieces += n + 1;
	return BUILT;
}

/* One frame for a port. When it isn't to leave there v->dropped says why, unless it was not meant for it anyway. */
static enum built build(struct channel *c, struct switch_port *to, const struct port_conf *conf,
                        const struct vdev_frame *f, struct verdict *v)
{
	unsigned header = leaves_with(conf, v);
	uint32_t pieces = c->pieces;
	enum built built = BUILT;

	v->dropped = 0;
	if (unlikely(header == 0))
		return v->fate == FATE_ONE ? not_built(v, COUNTER(out_vlan)) : BUILT_NOT;
	if (v->fate == FATE_MANY && v->storm == STORM_UNKNOWN &&
	    (conf->flags & VDEV_SWITCH_NO_UNKNOWN) != 0)
		return BUILT_NOT;
	if (unlikely(beyond_mtu(f, v->payload, conf->mtu)))
		return not_built(v, COUNTER(out_oversized));
	if (c->steady && header == v->header && !v->changed)
		c->out[c->nout] = *f;
	else
		built = build_frame(c, f, v, header);
	if (built != BUILT || !conf->limits_out ||
	    rate_take(&conf->out, &to->out.frames, &to->out.bytes, c->now, c->out[c->nout].len))
		return built;
	c->pieces = pieces;
	return not_built(v, COUNTER(out_limited));
}

/* A frame in one piece that goes as the one before it went: untagged, to a port that asks nothing of it. */
static inline int build_like_before(struct channel *c, const struct vdev_frame *f,
                                    struct verdict *v)
{
	struct vdev_frame *out = &c->out[c->nout];
	struct virtq_iov *iov = &c->pool[c->pieces];

	/* Like another one that was longer than its header it is so too. */
	if (unlikely(f->niov != 1 || c->pieces + 2 > POOL))
		return 0;
	iov[0].base = v->bytes;
	iov[0].len = UNTAGGED;
	iov[1].base = (uint8_t *)f->iov->base + UNTAGGED;
	iov[1].len = f->len - UNTAGGED;
	out->iov = iov;
	out->niov = 2;
	out->len = f->len;
	out->offload = f->offload;
	v->dropped = 0;
	c->pieces += 2;
	return 1;
}

/* As many of n frames from the i-th on as there is room for. How many were looked at. */
static uint32_t build_some(struct channel *c, struct switch_port *to, const struct port_conf *conf,
                           const struct vdev_frame *frames, uint32_t i, uint32_t n)
{
	/* Whether the last one left with the header that it came with, and so would one like it. */
	int asks = conf->mtu != 0 || conf->limits_out || c->steady, as_it_came = 0;
	uint32_t end = i + n, at = i;

	c->nout = 0;
	c->pieces = 0;
	for (; at < end; at++) {
		struct verdict *v = &c->verdicts[at];
		enum built built;

		if (v->same && as_it_came && build_like_before(c, &frames[at], v)) {
			c->from[c->nout++] = at;
			continue;
		}
		built = build(c, to, conf, &frames[at], v);
		if (built == BUILT_FULL)
			break;
		as_it_came = !asks && built == BUILT && c->out[c->nout].iov->base == v->bytes;
		if (built == BUILT)
			c->from[c->nout++] = at;
	}
	return at - i;
}

static void add(struct switch_port *to, unsigned counter, uint64_t n)
{
	(void)__atomic_fetch_add(&to->counters[counter], n, __ATOMIC_RELAXED);
}

/* Count what went out, and what did not, of the used frames from the i-th on. */
static void settle(struct channel *c, struct switch_port *to, uint32_t i, uint32_t used,
                   uint32_t took)
{
	uint64_t bytes = 0;

	if (took < used)
		for (uint32_t end = i + used; i < end; i++)
			if (c->verdicts[i].dropped != 0)
				add(to, c->verdicts[i].dropped, 1);
	if (took == 0)
		return;
	for (uint32_t k = 0; k < took; k++)
		bytes += c->out[k].len;
	add(to, COUNTER(out), took);
	add(to, COUNTER(out_bytes), bytes);
}

/* n frames from the i-th on to one port. How many are done with. */
static uint32_t emit(struct channel *c, struct switch_port *to, const struct vdev_frame *frames,
                     uint32_t i, uint32_t n)
{
	const struct port_conf *conf = load_guarded(&to->conf);
	const struct vdev_net_sink *sink = load_guarded(&to->sink);
	int many = c->verdicts[i].fate == FATE_MANY;

	if (!load_relaxed(&to->up))
		sink = NULL;
	for (uint32_t done = 0, used; done < n; done += used) {
		uint32_t at = i + done, took = 0;

		used = build_some(c, to, conf, frames, at, n - done);
		if (c->nout > 0 && sink != NULL)
			took = give(sink, c->out, c->nout, c->flow, many ? TRIES_MANY : TRIES_ONE);
		if (unlikely(took < c->nout)) {
			if (sink != NULL && !many) {
				if (conf->limits_out)
					for (uint32_t k = took; k < c->nout; k++)
						rate_give_back(&conf->out, &to->out.frames, &to->out.bytes, c->out[k].len);
				used = c->from[took] - at;
				settle(c, to, at, used, took);
				return done + used;
			}
			add(to, sink == NULL ? COUNTER(out_no_device) : COUNTER(out_busy), c->nout - took);
		}
		settle(c, to, at, used, took);
	}
	return n;
}

static void flood(struct channel *c, const struct vdev_frame *frames, uint32_t i, uint32_t n)
{
	struct vdev_switch *s = c->port->sw;
	uint32_t used = load_guarded(&s->used);

	for (uint32_t slot = 0; slot < used; slot++) {
		struct switch_port *to = load_guarded(&s->ports[slot]);

		if (to != NULL && to != c->port)
			(void)emit(c, to, frames, i, n);
	}
}

/* How many from the i-th on have the same fate. */
static uint32_t run_of(const struct channel *c, uint32_t i, uint32_t n)
{
	const struct verdict *first = &c->verdicts[i];
	uint32_t end = i + 1;

	while (end < n && c->verdicts[end].fate == first->fate && c->verdicts[end].to == first->to)
		end++;
	return end - i;
}

static void count_in(struct channel *c, const struct vdev_frame *frames, uint32_t i, uint32_t n)
{
	unsigned fate = c->verdicts[i].fate;
	uint64_t bytes = 0;

	if (fate == FATE_DROP) {
		for (uint32_t k = i; k < i + n; k++)
			count(&c->counters[c->verdicts[k].reason], 1);
		return;
	}
	for (uint32_t k = i; k < i + n; k++)
		bytes += frames[k].len;
	count(&c->counters[COUNTER(in)], n);
	count(&c->counters[COUNTER(in_bytes)], bytes);
	if (fate == FATE_MANY)
		count(&c->counters[COUNTER(in_flooded)], n);
}

/* Frames that were decided and will come again: they have cost nothing. */
static void undo(struct channel *c, const struct port_conf *conf, const struct vdev_frame *frames,
                 uint32_t i, uint32_t n)
{
	struct switch_port *port = c->port;

	count(&c->counters[COUNTER(not_taken)], n - i);
	for (; i < n; i++) {
		const struct verdict *v = &c->verdicts[i];

		if (v->charged)
			rate_give_back(&conf->in, &port->in.frames, &port->in.bytes, frames[i].len);
		if (v->fate == FATE_MANY && conf->storm[v->storm].frame_time != 0)
			bucket_give_back(&port->storm[v->storm], conf->storm[v->storm].frame_time);
	}
}

static uint32_t send_burst(struct channel *c, const struct port_conf *conf,
                           const struct vdev_frame *frames, uint32_t n)
{
	uint32_t i = 0;

	for (uint32_t k = 0; k < n; k++)
		decide(c, conf, &frames[k], &c->verdicts[k], k > 0 ? &c->verdicts[k - 1] : NULL);
	while (i < n) {
		uint32_t run = run_of(c, i, n), done = run;

		if (c->verdicts[i].fate == FATE_ONE)
			done = emit(c, c->verdicts[i].to, frames, i, run);
		else if (c->verdicts[i].fate == FATE_MANY)
			flood(c, frames, i, run);
		if (done > 0)
			count_in(c, frames, i, done);
		i += done;
		if (done < run) {
			undo(c, conf, frames, i, n);
			break;
		}
	}
	return i;
}

static void look_at_clock(struct channel *c)
{
	struct vdev_switch *s = c->port->sw;
	uint32_t tick;
	uint64_t now;

	if (s->env.now == NULL)
		return;
	now = s->env.now(s->env.ctx);
	c->now = now << 4;
	tick = (uint32_t)(now >> TICK_SHIFT);
	if (tick != c->tick) {
		c->tick = tick;
		table_sweep(&s->table, tick);
	}
}

uint32_t switch_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                     uint32_t n)
{
	struct switch_port *port = (struct switch_port *)channel->netif;
	struct channel *c = (struct channel *)channel;
	const struct port_conf *conf;
	uint32_t done = 0;

	if (channel == &port->receive)
		return 0;
	look_at_clock(c);
	gate_enter(&c->gate);
	conf = load_guarded(&port->conf);
	c->steady = (conf->flags & VDEV_SWITCH_STEADY) != 0;
	if (unlikely(!load_relaxed(&port->up))) {
		count(&c->counters[COUNTER(in_down)], n);
		done = n;
	}
	while (done < n) {
		uint32_t burst = n - done < VDEV_NET_BURST ? n - done : VDEV_NET_BURST;
		uint32_t took = send_burst(c, conf, frames + done, burst);

		done += took;
		if (took < burst)
			break;
	}
	gate_leave(&c->gate);
	return done;
}
