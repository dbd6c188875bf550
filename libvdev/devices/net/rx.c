/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reception (5.1.6.4). Buffers are taken when frames are there, filled straight from where the frames lie, and shown to
 * the driver all at once when whoever fills them leaves the queue. None is kept: what is left over goes back.
 */
#include "net.h"

/* Buffers that were taken, and how far they have been used. */
struct fill {
	struct net_rxq *r;
	uint32_t taken;
	uint32_t used;    /* of them, whole frames */
	uint32_t iov_end; /* pieces they take */
	uint64_t frames, bytes;
};

/* Where in the writable part of a chain the next byte goes. */
struct sink_at {
	const struct virtq_iov *iov;
	size_t off;
};

/*
 * Copy len bytes; there is room for them. Here and below a driver that is sent its own frames may have them lie in the
 * buffer they go to: what it gets is its own affair, but memcpy() must not be told of it.
 */
static void put(struct sink_at *at, const uint8_t *from, size_t len)
{
	while (len != 0) {
		size_t room = at->iov->len - at->off;

		if (room > len)
			room = len;
		memmove((uint8_t *)at->iov->base + at->off, from, room);
		from += room;
		len -= room;
		at->off += room;
		if (at->off == at->iov->len) {
			at->iov++;
			at->off = 0;
		}
	}
}

/* Take more buffers, up to n. 1: there are some. */
static int more(struct fill *f, uint32_t n)
{
	struct net_rxq *r = f->r;
	uint32_t room = r->nchains - f->taken;
	int got;

	if (n > room)
		n = room;
	if (n == 0 || r->niov - f->iov_end < vdev_queue_max_pieces(r->q))
		return 0;
	got = vdev_queue_take(r->q, &r->chains[f->taken], n, &r->iov[f->iov_end], r->niov - f->iov_end);
	r->closed = got == VIRTQ_ECANCELED;
	if (got <= 0)
		return 0;
	for (uint32_t i = f->taken; i < f->taken + (uint32_t)got; i++)
		f->iov_end += r->chains[i].nread + r->chains[i].nwrite;
	f->taken += (uint32_t)got;
	return 1;
}

/* Give what was filled, and put back the rest. */
static void finish(struct fill *f)
{
	struct net_rxq *r = f->r;
	const struct vdev_done sum = {.read_bytes = f->bytes};

	vdev_queue_put_back(r->q, &r->chains[f->used], f->taken - f->used);
	if (f->used != 0)
		vdev_queue_give(r->q, r->chains, r->written, f->used, &sum);
	net_count(&r->count->frames, f->frames);
	net_count(&r->count->bytes, f->bytes);
	*f = (struct fill){.r = r};
}

/* Header and frame into the buffers [used, used + n), which have room for them. */
static void copy(struct fill *f, const struct vdev_frame *frame, const uint8_t *hdr, uint32_t n)
{
	struct net_rxq *r = f->r;
	const struct virtq_chain *c = &r->chains[f->used];
	uint32_t left = r->hdr + frame->len; /* of header and frame */
	struct frame_cursor from;
	uint32_t at = 0;

	frame_cursor_init(&from, frame, 0);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t room = c[i].write_bytes < left ? c[i].write_bytes : left;
		struct sink_at to = {.iov = &c[i].iov[c[i].nread]};

		r->written[f->used + i] = room;
		left -= room;
		if (at < r->hdr) {
			uint32_t head = r->hdr - at < room ? r->hdr - at : room;

			put(&to, hdr + at, head);
			at += head;
			room -= head;
		}
		while (room != 0) {
			struct virtq_iov piece;
			uint32_t one = 1;
			size_t len = frame_cursor_pieces(&from, room, &piece, &one);

			put(&to, piece.base, len);
			room -= (uint32_t)len;
		}
	}
}

enum { DONE = 1, NO_BUFFERS = 0, DROPPED = 2 };

/* How many buffers the frame needs from used on: those that are taken, or more. 0: there are not enough. */
static uint32_t gather(struct fill *f, uint32_t bytes)
{
	struct net_rxq *r = f->r;
	uint64_t room = 0;
	uint32_t n = 0;

	while (room < bytes) {
		if (f->used + n == f->taken && !more(f, 1 + (uint32_t)((bytes - room) / 2048)))
			return 0;
		room += r->chains[f->used + n].write_bytes;
		n++;
	}
	return n;
}

void net_rx_settings(struct net_rxq *r)
{
	r->s = net_settings_of(r->n);
	r->takes = net_offloads(r->s, r->negotiated);
	r->flags = r->takes & VDEV_NET_TAKES_CSUM ? VDEV_NET_NEEDS_CSUM | VDEV_NET_DATA_VALID : 0;
	if (r->takes & VDEV_NET_TAKES_TUNNEL_CSUM)
		r->flags |= VDEV_NET_UDP_TUNNEL_CSUM;
	r->hashes = virtq_features_has(&r->has, VDEV_NET_F_HASH_REPORT) && r->s->rss.types != 0;
	r->filters =
		!r->s->modes[NET_RX_PROMISC] && (virtq_features_has(&r->has, VDEV_NET_F_CTRL_RX) ||
	                                     virtq_features_has(&r->has, VDEV_NET_F_CTRL_VLAN));
}

/* Whether the driver wants it. */
static int wants(const struct net_rxq *r, const struct vdev_frame *frame)
{
	uint8_t first[VDEV_NET_ETH + 4];

	return net_filter(r->s, &r->has, first, frame_read(frame, 0, first, sizeof(first)));
}

/* Whether it wants all of them: then they may go the quick way. */
static __attribute__((noinline)) int wants_all(const struct net_rxq *r,
                                               const struct vdev_frame *frames, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!wants(r, &frames[i]))
			return 0;
	return 1;
}

/* Tell the driver a frame's hash. */
static void tell_hash(const struct net_rxq *r, const struct vdev_frame *frame, uint8_t *hdr)
{
	uint32_t value;
	unsigned report = net_hash(&r->s->key, frame, r->s->rss.types, r->s->tunnels, &value);

	net_put_le32(hdr + NET_HDR_HASH_VALUE, value);
	net_put_le16(hdr + NET_HDR_HASH_REPORT, (uint16_t)report);
}

/* Statistics of what is left to the driver. */
static void count_offload(const struct net_rxq *r, const struct vdev_frame *frame,
                          const uint8_t *hdr)
{
	struct net_rx_count *c = r->count;

	if (hdr[0] & VDEV_NET_NEEDS_CSUM)
		net_count(&c->needs_csum, 1);
	else if (hdr[0] & VDEV_NET_DATA_VALID)
		net_count(&c->valid, 1);
	if (hdr[1] != VDEV_NET_GSO_NONE) {
		net_count(&c->gso, 1);
		net_count(&c->gso_bytes, frame->len);
	}
}

/*
 * What the driver is told of a frame that is left to it to segment: its sender's word for it is not enough. With
 * RSC_EXT it is told what the frame was made of instead of where its checksum is: no acknowledgement goes missing on
 * its way here, so none that came twice is in it.
 */
static void tell_gso(const struct net_rxq *r, const struct vdev_frame *frame, uint8_t *hdr)
{
	net_put_le16(hdr + NET_HDR_LEN, frame_header_bytes(frame));
	hdr[0] &=
		(uint8_t) ~(hdr[1] & VDEV_NET_GSO_TUNNEL ? VDEV_NET_DATA_VALID : VDEV_NET_UDP_TUNNEL_CSUM);
	if (!virtq_features_has(&r->has, VDEV_NET_F_RSC_EXT))
		return;
	hdr[0] |= VDEV_NET_RSC_INFO;
	net_put_le16(hdr + NET_HDR_SEGMENTS, frame_segments(frame));
	net_put_le16(hdr + NET_HDR_DUP_ACKS, 0);
}

/* Any frame, into any buffers. */
static __attribute__((noinline)) int give_slowly(struct fill *f, const struct vdev_frame *frame)
{
	struct net_rxq *r = f->r;
	uint8_t hdr[NET_HDR_MAX];
	uint32_t n = 1;

	if (!r->mergeable) {
		if (f->used == f->taken && !more(f, 1))
			return NO_BUFFERS;
		if (r->chains[f->used].write_bytes < r->hdr + frame->len) {
			net_count(&r->count->too_short, 1);
			return DROPPED;
		}
	} else {
		n = gather(f, r->hdr + frame->len);
		if (n == 0)
			return NO_BUFFERS;
	}
	net_hdr_put(hdr, r->hdr, &frame->offload);
	hdr[0] &= r->flags;
	if (hdr[1] != VDEV_NET_GSO_NONE)
		tell_gso(r, frame, hdr);
	if (r->hashes)
		tell_hash(r, frame, hdr);
	count_offload(r, frame, hdr);
	net_put_le16(hdr + NET_HDR_NUM_BUFFERS, (uint16_t)n);
	copy(f, frame, hdr, n);
	f->used += n;
	f->frames++;
	f->bytes += frame->len;
	return DONE;
}

/* The usual frame and buffer, of one piece each, with nothing left to be done. */
static inline int give(struct fill *f, const struct vdev_frame *frame)
{
	struct net_rxq *r = f->r;
	const struct virtq_chain *c = &r->chains[f->used];
	const struct virtq_iov *to;
	uint8_t *hdr;

	if (unlikely(f->used == f->taken || frame->niov != 1 || c->nread != 0 ||
	             frame->offload.gso_type != 0 || frame->offload.flags != 0 || r->hashes))
		return give_slowly(f, frame);
	to = c->iov;
	if (unlikely(c->write_bytes < r->hdr + frame->len || to->len < r->hdr + frame->len))
		return give_slowly(f, frame);
	hdr = to->base;
	memset(hdr, 0, NET_HDR_PLAIN);
	hdr[NET_HDR_NUM_BUFFERS] = 1;
	if (unlikely(r->hdr > NET_HDR_PLAIN))
		memset(hdr + NET_HDR_PLAIN, 0, r->hdr - NET_HDR_PLAIN);
	memmove(hdr + r->hdr, frame->iov->base, frame->len);
	r->written[f->used++] = r->hdr + frame->len;
	f->frames++;
	f->bytes += frame->len;
	return DONE;
}

/* No frame may be cut: what is longer than the driver was told is not for it. Tags don't count. */
static int longer_than_told(const struct net_rxq *r, const struct vdev_frame *frame)
{
	return frame->offload.gso_type == 0 &&
	       frame->len > r->longest - VDEV_NET_ETH + frame_link_bytes(frame);
}

static inline int too_long(const struct net_rxq *r, const struct vdev_frame *frame)
{
	return unlikely(frame->len > r->longest) &&
	       (frame->len > VDEV_NET_MAX_FRAME || longer_than_told(r, frame));
}

static int give_checked(struct fill *f, const struct vdev_frame *frame)
{
	int rc;

	if (unlikely(too_long(f->r, frame))) {
		net_count(&f->r->count->oversized, 1);
		return DROPPED;
	}
	rc = give(f, frame);
	if (likely(rc != NO_BUFFERS) || f->used == 0)
		return rc;
	/* The room for buffers is taken up, perhaps, rather than the buffers. */
	finish(f);
	return give_slowly(f, frame);
}

/* Waiting does not help a frame for which all buffers that a driver can give are too few. */
static int hopeless(const struct fill *f)
{
	const struct net_rxq *r = f->r;

	return f->taken >= vdev_queue_size(r->q) || f->taken == r->nchains ||
	       r->niov - f->iov_end < vdev_queue_max_pieces(r->q);
}

/*
 * Do what the driver does not take: one frame becomes one or several. When buffers run out in the middle the rest is
 * lost, as it may be on any link; before the first one they may be waited for.
 */
static __attribute__((noinline)) int give_adapted(struct fill *f, const struct vdev_frame *frame)
{
	struct net_rxq *r = f->r;
	struct vdev_frame part;
	uint32_t parts = 0;
	int rc = frame_adapt_begin(r->adapt, frame, r->takes, r->longest - VDEV_NET_ETH);

	while (rc == 0 && (rc = frame_adapt_next(r->adapt, &part)) > 0) {
		rc = give_checked(f, &part);
		if (rc == NO_BUFFERS && parts == 0)
			return NO_BUFFERS;
		if (rc == NO_BUFFERS) {
			net_count(&r->count->no_buffers, 1);
			return DONE;
		}
		parts++;
		rc = 0;
	}
	if (rc < 0) {
		net_count(&r->count->unfit, 1);
		return DROPPED;
	}
	net_count(frame->offload.gso_type != 0 ? &r->count->segmented : &r->count->summed, 1);
	return DONE;
}

/* Copies of about the shortest frame's length, which are most of all copies, are worth no call. */
static inline void copy_piece(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len - 49 > 64 - 49) {
		memmove(to, from, len);
		return;
	}
	memmove(to, from, 16);
	memmove(to + 16, from + 16, 16);
	memmove(to + 32, from + 32, 16);
	memmove(to + len - 16, from + len - 16, 16);
}

/* A header that says nothing but that the frame is in one buffer, in two stores. */
static inline void plain_header(uint8_t *to, uint32_t bytes)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const uint32_t one = 1u << 16;
#else
	const uint32_t one = 1u << 8;
#endif
	memset(to, 0, 8);
	memcpy(to + 8, &one, sizeof(one));
	if (bytes > NET_HDR_PLAIN)
		memset(to + NET_HDR_PLAIN, 0, bytes - NET_HDR_PLAIN);
}

/* Into one buffer: header, and a frame to which nothing is left to be done. */
static inline void fill_buffer(uint8_t *to, const struct vdev_frame *frame, uint32_t hdr)
{
	const struct virtq_iov *iov = frame->iov;

	plain_header(to, hdr);
	to += hdr;
	copy_piece(to, iov->base, iov->len);
	for (uint32_t i = 1; unlikely(i < frame->niov); i++) {
		to += iov->len;
		iov++;
		copy_piece(to, iov->base, iov->len);
	}
}

/* Frames into so many buffers that were taken. Returns how many, up to the first that takes more thought. */
static inline __attribute__((always_inline)) uint32_t fill_run(
	const struct net_rxq *r, const struct virtq_buffer *b, const struct vdev_frame *f, uint32_t n,
	uint32_t *written, uint64_t *bytes, const uint32_t hdr, const int hashes)
{
	const struct vdev_frame *first = f, *last = f + n;
	uint32_t longest = r->longest;
	uint64_t sum = 0;

	for (; f != last; f++, b++, written++) {
		uint32_t len = f->len;
		uint16_t todo;

		memcpy(&todo, &f->offload, sizeof(todo)); /* flags and gso_type */
		if (unlikely(todo != 0) || unlikely(len > longest) || unlikely(hdr + len > b->len))
			break;
		sum += len;
		*written = hdr + len;
		fill_buffer(b->base, f, hdr);
		if (hashes)
			tell_hash(r, f, b->base);
	}
	*bytes = sum;
	return (uint32_t)(f - first);
}

/* The quick way: frames that fit a buffer of one piece each. Returns how many, from the first on. */
static uint32_t fill_buffers(struct net_rxq *r, const struct vdev_frame *frames, uint32_t n)
{
	struct virtq_buffer b[VDEV_NET_BURST];
	uint32_t written[VDEV_NET_BURST];
	struct vdev_done sum = {0};
	uint32_t got = vdev_queue_take_buffers(r->q, b, n < VDEV_NET_BURST ? n : VDEV_NET_BURST);

	if (likely(r->hdr == NET_HDR_PLAIN))
		n = fill_run(r, b, frames, got, written, &sum.read_bytes, NET_HDR_PLAIN, 0);
	else
		n = fill_run(r, b, frames, got, written, &sum.read_bytes, r->hdr, r->hashes);
	if (unlikely(n < got))
		vdev_queue_put_back_buffers(r->q, &b[n], got - n);
	if (likely(n != 0))
		vdev_queue_give_buffers(r->q, b, written, n, &sum);
	net_count(&r->count->frames, n);
	net_count(&r->count->bytes, sum.read_bytes);
	return n;
}

uint32_t net_rx_fill(struct net_rxq *r, const struct vdev_frame *frames, uint32_t n)
{
	struct fill f = {.r = r};
	int filter = unlikely(r->filters) && !wants_all(r, frames, n);
	uint32_t i = 0, quick;

	if (likely(!filter)) {
		do {
			quick = fill_buffers(r, &frames[i], n - i);
			i += quick;
		} while (i < n && quick == VDEV_NET_BURST);
		if (likely(i == n))
			return n;
	}
	(void)more(&f, n - i);
	for (; i < n; i++) {
		int rc;

		if (unlikely(filter) && !wants(r, &frames[i])) {
			net_count(&r->count->filtered, 1);
			continue;
		}
		if (likely(frame_fits(&frames[i], r->takes)))
			rc = give_checked(&f, &frames[i]);
		else
			rc = give_adapted(&f, &frames[i]);
		if (unlikely(rc == NO_BUFFERS)) {
			if (!hopeless(&f))
				break;
			net_count(&r->count->too_short, 1);
			finish(&f);
		}
	}
	finish(&f);
	return i;
}

/* Any thread. */
uint32_t net_deliver(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	struct net_device *net = ctx;

	(void)flow;
	if (unlikely(net_spreads(net)))
		return net_deliver_spread(net, frames, n);
	return net_deliver_to(net, 0, frames, n) ? n : 0;
}

/* Ask the netif for frames, and keep those for which there are no buffers. */
int net_poll(void *model, struct vdev_queue *q)
{
	struct net_rxq *r = vdev_queue_priv(q);
	int n;

	switch (net_role(model, q)) {
	case NET_RX:
		break;
	case NET_TX:
		return net_tx_poll(q);
	case NET_CTRL:
		return net_ctrl_poll(q);
	default:
		return 0;
	}
	if (r->channel == NULL)
		return 0;
	if (r->npending == 0) {
		n = r->n->netif->ops->receive(r->channel, r->pending, VDEV_NET_BURST);
		if (n <= 0) {
			r->over = n < 0;
			return 0;
		}
		r->first = 0;
		r->npending = (uint32_t)n;
	}
	r->starved = 0;
	if (unlikely(net_poll_spreads(r))) {
		n = (int)net_rx_spread(r, &r->pending[r->first], r->npending);
		r->first += (uint32_t)n;
		r->npending -= (uint32_t)n;
		return 1; /* what is left waits for somebody to leave another queue */
	}
	n = (int)net_rx_fill(r, &r->pending[r->first], r->npending);
	r->first += (uint32_t)n;
	r->npending -= (uint32_t)n;
	r->starved = r->npending != 0;
	return !r->starved;
}

/* While there are no buffers it does not matter that there are frames. */
static int waits_for_frames(const struct net_rxq *r)
{
	return r->channel != NULL && !r->starved && !r->over;
}

int net_arm(void *model, struct vdev_queue *q)
{
	struct net_rxq *r = vdev_queue_priv(q);
	const struct vdev_netif_ops *ops;

	if (net_role(model, q) == NET_CTRL)
		return net_ctrl_busy(q);
	if (net_role(model, q) != NET_RX || !waits_for_frames(r))
		return 0;
	ops = r->n->netif->ops;
	return ops->arm != NULL ? ops->arm(r->channel) : 0;
}

int net_fd(void *model, struct vdev_queue *q)
{
	const struct net_rxq *r = vdev_queue_priv(q);

	if (net_role(model, q) != NET_RX || !waits_for_frames(r))
		return -1;
	return r->n->netif->ops->fd != NULL ? r->n->netif->ops->fd(r->channel) : -1;
}
