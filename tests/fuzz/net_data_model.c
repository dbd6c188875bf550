/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must become of frames. A side's netif sees each frame that its device sends: it is the next one that the driver
 * made available and that made sense. Then the other side's driver has to find it in its buffers, as it is or as
 * frames that it takes.
 */
#include <string.h>

#include "net_data.h"
#include "net_packet.h"

const uint8_t model_key[NET_HASH_KEY] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41};

static struct net_hash_key key;
static struct frame_adapt adapt;
static uint8_t whole[VDEV_NET_MAX_FRAME + 64], want[VDEV_NET_MAX_FRAME + 64 + HEADER],
	got[VDEV_NET_MAX_FRAME + 64 + HEADER];

void model_init(void)
{
	net_hash_key_set(&key, model_key, sizeof(model_key));
}

/* Offloads of a driver, by their feature bits; the command has bits of its own for two of them. */
static const struct {
	uint8_t feature, bit;
	uint16_t takes;
} offloads[] = {
	{VDEV_NET_F_GUEST_CSUM, 1, VDEV_NET_TAKES_CSUM},
	{VDEV_NET_F_GUEST_TSO4, 7, VDEV_NET_TAKES_TSO4},
	{VDEV_NET_F_GUEST_TSO6, 8, VDEV_NET_TAKES_TSO6},
	{VDEV_NET_F_GUEST_ECN, 9, VDEV_NET_TAKES_ECN},
	{VDEV_NET_F_GUEST_UFO, 10, VDEV_NET_TAKES_UFO},
	{VDEV_NET_F_GUEST_UDP_TUNNEL_GSO, 46, VDEV_NET_TAKES_TUNNEL},
	{VDEV_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM, 47, VDEV_NET_TAKES_TUNNEL_CSUM},
	{VDEV_NET_F_GUEST_USO4, 54, VDEV_NET_TAKES_USO4},
	{VDEV_NET_F_GUEST_USO6, 55, VDEV_NET_TAKES_USO6},
	{VDEV_NET_F_RSC_EXT, 61, 0},
};
enum { OFFLOADS = sizeof(offloads) / sizeof(offloads[0]) };

void model_start(struct side *s)
{
	uint8_t mtu[2];

	s->negotiated = 0;
	s->settable = 0;
	s->types = 0;
	for (unsigned i = 0; i < OFFLOADS; i++) {
		if (!vdev_has(s->v, offloads[i].feature))
			continue;
		s->negotiated |= offloads[i].takes;
		s->settable |= UINT64_C(1) << offloads[i].bit;
	}
	s->takes = s->negotiated;
	s->hdr = vdev_has(s->v, VDEV_NET_F_HASH_REPORT) ? 20 : 12;
	if (vdev_has(s->v, VDEV_NET_F_GUEST_UDP_TUNNEL_GSO) ||
	    vdev_has(s->v, VDEV_NET_F_HOST_UDP_TUNNEL_GSO))
		s->hdr = 24;
	s->mergeable = vdev_has(s->v, VDEV_NET_F_MRG_RXBUF);
	s->controls = vdev_has(s->v, VDEV_NET_F_CTRL_VQ);
	s->longest = VDEV_NET_MAX_FRAME;
	if (vdev_has(s->v, VDEV_NET_F_MTU)) {
		vdev_config_read(s->v, 10, mtu, sizeof(mtu));
		s->longest = VDEV_NET_ETH + (uint32_t)(mtu[0] | mtu[1] << 8);
	}
}

void model_offloads(struct side *s, uint64_t bits)
{
	static const uint32_t inner =
		VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6 | VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6;
	uint32_t takes = 0;

	for (unsigned i = 0; i < OFFLOADS; i++)
		if (bits >> offloads[i].bit & 1)
			takes |= offloads[i].takes;
	takes &= s->negotiated;
	/* Each of them means nothing without what it builds upon. */
	if ((takes & inner) != inner)
		takes &= ~(uint32_t)(VDEV_NET_TAKES_TUNNEL | VDEV_NET_TAKES_TUNNEL_CSUM);
	if ((takes & VDEV_NET_TAKES_TUNNEL) == 0)
		takes &= ~(uint32_t)VDEV_NET_TAKES_TUNNEL_CSUM;
	if ((takes & (VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6)) == 0)
		takes &= ~(uint32_t)VDEV_NET_TAKES_ECN;
	s->takes = (takes & VDEV_NET_TAKES_CSUM) != 0 ? takes : 0;
}

/* Any of these features. */
static int any(const struct side *s, unsigned a, unsigned b)
{
	return vdev_has(s->v, a) || vdev_has(s->v, b);
}

/* Frames with something left to be done: what was negotiated, and what makes sense. */
int model_may_send(const struct side *s, const struct vdev_frame *f)
{
	static const uint8_t feature[8] = {[1] = VDEV_NET_F_HOST_TSO4,
	                                   [3] = VDEV_NET_F_HOST_UFO,
	                                   [4] = VDEV_NET_F_HOST_TSO6,
	                                   [5] = VDEV_NET_F_HOST_USO};
	unsigned type = f->offload.gso_type, kind = type & 0x1f;

	if (f->offload.flags == 0 && type == 0)
		return 1;
	if (!vdev_has(s->v, VDEV_NET_F_CSUM))
		return 0;
	if ((type & VDEV_NET_GSO_TUNNEL) != 0 && !vdev_has(s->v, VDEV_NET_F_HOST_UDP_TUNNEL_GSO))
		return 0;
	if ((f->offload.flags & VDEV_NET_UDP_TUNNEL_CSUM) != 0 &&
	    !vdev_has(s->v, VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM))
		return 0;
	if ((type & VDEV_NET_GSO_ECN) != 0 && !vdev_has(s->v, VDEV_NET_F_HOST_ECN))
		return 0;
	if (kind != 0 && (kind >= 8 || feature[kind] == 0 || !any(s, feature[kind], feature[kind])))
		return 0;
	return vdev_net_offload_check(f) == 0;
}

void model_forget(struct side *s)
{
	for (; s->rx_first != s->rx_end; s->rx_first++) {
		const struct rx *rx = &s->rx[s->rx_first % QUEUE];

		for (uint32_t i = 0; i < rx->n; i++) {
			size_t off = (size_t)((uint8_t *)rx->piece[i].base - s->mem);

			memcpy(s->shadow + off, rx->piece[i].base, rx->piece[i].len);
		}
	}
	s->tx_first = s->tx_end;
	s->out = 0;
	s->spoilt = 0;
	s->used_first = s->used_end;
	s->uncounted = 1;
}

/* Take what the driver of s finds used off its ring. */
static void collect(struct side *s)
{
	struct virtq_done done;

	while (virtq_drv_take(vdev_loopback_drv(s->l, 0), &done, 1) == 1) {
		HOLDS(s->used_end - s->used_first < QUEUE);
		s->used[s->used_end++ % QUEUE] = done;
	}
}

/* The ith buffer of those that are used and were not looked at, which has to be the ith that was given. */
static const struct rx *used_at(const struct side *s, uint32_t i, uint32_t *written)
{
	const struct rx *rx = &s->rx[(s->rx_first + i) % QUEUE];
	const struct virtq_done *used = &s->used[(s->used_first + i) % QUEUE];

	if (i >= s->used_end - s->used_first)
		return NULL;
	HOLDS(i < s->rx_end - s->rx_first && used->cookie == rx && used->written <= rx->bytes);
	*written = used->written;
	return rx;
}

/* The first bytes of a buffer. */
static void read_rx(const struct rx *rx, uint32_t bytes, uint8_t *to)
{
	for (uint32_t i = 0; bytes > 0; i++) {
		size_t len = rx->piece[i].len < bytes ? rx->piece[i].len : bytes;

		memcpy(to, rx->piece[i].base, len);
		to += len;
		bytes -= (uint32_t)len;
	}
}

/* The next n used buffers are what memory should hold. */
static void accept(struct side *s, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		uint32_t bytes = 0;
		const struct rx *rx = used_at(s, k, &bytes);

		for (uint32_t i = 0; bytes > 0; i++) {
			size_t len = rx->piece[i].len < bytes ? rx->piece[i].len : bytes;

			memcpy(s->shadow + ((uint8_t *)rx->piece[i].base - s->mem), rx->piece[i].base, len);
			bytes -= (uint32_t)len;
		}
	}
	s->rx_first += n;
	s->used_first += n;
	s->received++;
}

/* Bytes of headers of a frame that is left to be segmented. */
static uint16_t heads(const struct vdev_frame *f)
{
	const uint8_t *frame = (const uint8_t *)f->iov->base;
	uint32_t at = f->offload.csum_start + 12u, bytes = 8;
	uint8_t words = at < f->len ? frame[at] >> 4 : 0;

	if (f->offload.csum_offset == 16)
		bytes = words < 5 ? 20 : words * 4u;
	bytes += f->offload.csum_start;
	if (bytes > f->len)
		bytes = f->len;
	return bytes < 0xffff ? (uint16_t)bytes : 0xffff;
}

/* In how many segments its payload would be on a link. */
static uint16_t segments(const struct vdev_frame *f)
{
	uint32_t n = 0;

	for (uint32_t at = heads(f); at < f->len && n < 0xffff; at += f->offload.gso_size)
		n++;
	return n != 0 ? (uint16_t)n : 1;
}

/* Bytes of up to two tags. */
static uint32_t tags(const struct vdev_frame *f)
{
	const uint8_t *type = (const uint8_t *)f->iov->base + 12;
	uint32_t bytes = 0;

	while (bytes < 8 && ((type[bytes] == 0x81 && type[bytes + 1] == 0) ||
	                     (type[bytes] == 0x88 && type[bytes + 1] == 0xa8)))
		bytes += 4;
	return bytes;
}

/* The header that a driver has to find before a frame in n buffers. */
static void put_header(const struct side *s, const struct vdev_frame *f, uint32_t n, uint8_t *h)
{
	const struct vdev_net_offload *o = &f->offload;
	const uint16_t words[5] = {o->gso_type != 0 ? heads(f) : o->hdr_len, o->gso_size, o->csum_start,
	                           o->csum_offset, (uint16_t)n};
	uint32_t value;
	unsigned report;

	memset(h, 0, HEADER);
	h[0] = o->flags;
	h[1] = o->gso_type;
	for (unsigned i = 0; i < 5; i++)
		net_put_le16(h + 2 + 2 * i, words[i]);
	if (o->gso_type != 0 && vdev_has(s->v, VDEV_NET_F_RSC_EXT)) {
		h[0] |= VDEV_NET_RSC_INFO;
		net_put_le16(h + 6, segments(f));
		net_put_le16(h + 8, 0);
	}
	if (s->hdr >= 20 && s->types != 0) {
		report = net_hash(&key, f, s->types, 0, &value);
		net_put_le16(h + 12, (uint16_t)value);
		net_put_le16(h + 14, (uint16_t)(value >> 16));
		net_put_le16(h + 16, (uint16_t)report);
	}
	if (s->hdr >= 24) {
		net_put_le16(h + 20, o->outer_th);
		net_put_le16(h + 22, o->inner_nh);
	}
}

/* How many buffers have room for so many bytes; 0: all are too few. */
static uint32_t buffers_for(const struct side *s, uint32_t bytes)
{
	uint64_t room = 0;
	uint32_t n = 0;

	while (room < bytes) {
		if (s->rx_first + n == s->rx_end || (n == 1 && !s->mergeable))
			return 0;
		room += s->rx[(s->rx_first + n++) % QUEUE].bytes;
	}
	return n;
}

/* Whether the next n used buffers hold bytes bytes, and those at want. */
static int holds_wanted(const struct side *s, uint32_t n, uint32_t bytes)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t written, left = bytes - at;
		const struct rx *rx = used_at(s, i, &written);

		if (rx == NULL || written != (rx->bytes < left ? (uint32_t)rx->bytes : left))
			return 0;
		read_rx(rx, written, got + at);
		at += written;
	}
	return at == bytes && memcmp(got, want, bytes) == 0;
}

/* What became of a frame: in vain it waited for buffers; it did not fit; it was among others that waited in vain. */
enum fate { ARRIVED, STARVED, UNFIT, MISSED };

/* One frame, in one piece, that is as s takes it. certain: it arrives if there are buffers for it. */
static enum fate arrives(struct side *s, const struct vdev_frame *f, int certain)
{
	uint32_t bytes = s->hdr + f->len, n = buffers_for(s, bytes);

	if (f->len > VDEV_NET_MAX_FRAME ||
	    (f->len > s->longest && f->offload.gso_type == 0 && f->len > s->longest + tags(f)))
		return UNFIT;
	if (n == 0)
		return s->mergeable || s->rx_first == s->rx_end ? STARVED : UNFIT;
	put_header(s, f, n, want);
	memcpy(want + s->hdr, f->iov->base, f->len);
	if (!holds_wanted(s, n, bytes)) {
		HOLDS(!certain);
		return MISSED;
	}
	accept(s, n);
	return ARRIVED;
}

/* A frame that was sent to s. Returns whether what follows it in its burst is as certain. */
static int arrive(struct side *s, const struct tx *tx, int certain)
{
	struct virtq_iov iov = {s->peer->frames + tx->at, tx->len}, one = {whole, 0};
	struct vdev_frame f = {&iov, 1, tx->len, tx->offload}, out;
	enum fate fate;

	/* No switch hands on a frame in whose Ethernet header somebody is to put a checksum. */
	if (rig.sw != NULL && (f.offload.flags & VDEV_NET_NEEDS_CSUM) != 0 &&
	    f.offload.csum_start < VDEV_NET_ETH)
		return certain;
	if (frame_fits(&f, s->takes)) {
		fate = arrives(s, &f, certain);
		return fate != STARVED && certain;
	}
	if (frame_adapt_begin(&adapt, &f, s->takes, s->longest - VDEV_NET_ETH) < 0)
		return certain;
	while (frame_adapt_next(&adapt, &out) > 0) {
		HOLDS(packet_flatten(&out, whole) == out.len);
		one.len = out.len;
		out.iov = &one;
		out.niov = 1;
		fate = arrives(s, &out, certain);
		/* The rest of it is lost for sure. */
		if (fate == STARVED)
			return 0;
	}
	return certain;
}

/* Frames changed under way: only what the used entries say has to be right. */
static void any_arrived(struct side *s)
{
	while (s->used_first != s->used_end) {
		uint64_t bytes = 0, room = 0;
		uint32_t n = 1, have = 0, written;
		uint8_t head[12];

		for (uint32_t i = 0; i < n || have < sizeof(head); i++) {
			const struct rx *rx = used_at(s, i, &written);
			uint32_t part = sizeof(head) - have;

			HOLDS(rx != NULL && bytes == room);
			part = part < written ? part : written;
			read_rx(rx, part, head + have);
			have += part;
			if (part != 0 && have == sizeof(head))
				n = net_get_le16(head + 10);
			HOLDS(n == 1 || s->mergeable);
			bytes += written;
			room += rx->bytes;
		}
		HOLDS(bytes >= s->hdr + VDEV_NET_ETH && bytes <= s->hdr + VDEV_NET_MAX_FRAME);
		accept(s, n);
	}
}

/* What lies in the guest's memory while frames are under way is not what was checked. */
static void change(struct side *s, const struct vdev_frame *frames, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = frames[i].iov[0].base;
		size_t off = (size_t)(p - s->mem), len = frames[i].iov[0].len;

		for (size_t at = len > 50 ? 12 : 0; at < len && at < 60; at += 7) {
			p[at] ^= (uint8_t)(rig.changes + (int)at);
			s->shadow[off + at] = p[at];
		}
	}
}

/* These frames are the next that the driver of s made available. Returns them. */
static void sent(struct side *s, const struct vdev_frame *frames, uint32_t n, const struct tx **out)
{
	uint32_t at = s->tx_first;

	for (uint32_t i = 0; i < n; i++) {
		const struct tx *tx;

		while (at != s->tx_end && !s->tx[at % QUEUE].valid)
			at++;
		HOLDS(at != s->tx_end);
		tx = &s->tx[at++ % QUEUE];
		HOLDS(frames[i].len == tx->len && packet_flatten(&frames[i], got) == tx->len);
		HOLDS(memcmp(&frames[i].offload, &tx->offload, sizeof(tx->offload)) == 0);
		HOLDS(rig.changes || memcmp(got, s->frames + tx->at, tx->len) == 0);
		out[i] = tx;
	}
}

/* The first n of what was sent is through. */
static void passed(struct side *s, uint32_t n)
{
	for (; n > 0; s->tx_first++)
		if (s->tx[s->tx_first % QUEUE].valid)
			n--;
		else
			s->malformed++;
}

static uint32_t shim_send(struct vdev_netif_channel *c, const struct vdev_frame *frames, uint32_t n)
{
	struct side *s = (struct side *)c->netif, *peer = s->peer;
	const struct tx *tx[VDEV_NET_BURST];
	uint32_t take = n < s->take ? n : s->take;
	int certain;

	HOLDS(n > 0 && n <= VDEV_NET_BURST);
	sent(s, frames, n, tx);
	if (take > 0) {
		if (rig.changes)
			change(s, frames, take);
		HOLDS(s->real->ops->send(s->to, frames, take) == take);
		certain = !rig.unsure && !peer->spoilt;
		collect(peer);
		for (uint32_t i = 0; !rig.changes && i < take; i++)
			certain = arrive(peer, tx[i], certain);
		if (rig.changes)
			any_arrived(peer);
		HOLDS(peer->used_first == peer->used_end);
		s->sent += take;
	}
	/* Without a clock nobody comes back to those that were not taken. */
	passed(s, rig.clock ? take : n);
	return take;
}

static void shim_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct side *s = (struct side *)n;

	s->real->ops->info(s->real, out);
}

static int shim_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                     struct vdev_netif_channel **out)
{
	struct side *s = (struct side *)n;

	HOLDS(s->to == NULL && way == VDEV_NET_SEND && pair == 0);
	s->channel.netif = n;
	*out = &s->channel;
	return s->real->ops->open(s->real, pair, way, &s->to);
}

static void shim_close(struct vdev_netif_channel *c)
{
	struct side *s = (struct side *)c->netif;

	s->real->ops->close(s->to);
	s->to = NULL;
}

static void shim_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct side *s = (struct side *)n;

	s->sink = sink;
	s->real->ops->set_sink(s->real, sink);
}

static void shim_destroy(struct vdev_netif *n)
{
	(void)n;
}

const struct vdev_netif_ops shim_ops = {.size = sizeof(struct vdev_netif_ops),
                                        .name = "fuzz",
                                        .info = shim_info,
                                        .open = shim_open,
                                        .close = shim_close,
                                        .send = shim_send,
                                        .set_sink = shim_set_sink,
                                        .destroy = shim_destroy};
