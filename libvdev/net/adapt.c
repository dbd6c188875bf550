/* SPDX-License-Identifier: BSD-3-Clause */
/* What is to be done to a frame, found out from a copy of its headers; and checksums alone. */
#include "libvdev/net/adapt.h"
#include "libvdev/net/csum.h"
#include "libvdev/net/segment.h"

uint32_t frame_link_bytes(const struct vdev_frame *f)
{
	uint8_t h[VDEV_NET_ETH + 8];
	uint16_t type;
	size_t have = frame_read(f, 0, h, f->len < sizeof(h) ? f->len : sizeof(h));
	uint32_t end = net_parse_eth(h, have, 0, &type);

	return end != 0 ? end : VDEV_NET_ETH;
}

static int too_long(const struct vdev_frame *f, uint32_t mtu)
{
	if (mtu == 0 || f->len <= mtu + VDEV_NET_ETH)
		return 0;
	return f->len > mtu + frame_link_bytes(f);
}

/* The sum of addresses and protocol. */
static uint64_t pseudo_of(const uint8_t *h, const struct net_ip *ip, unsigned proto)
{
	uint64_t sum = net_sum_be16(proto);

	if (ip->version == 4)
		return sum + net_sum(h + ip->nh + 12, 8);
	return sum + net_sum(h + ip->nh + 8, 32);
}

/*
 * The transport's pseudo header without its length. Where a routing header or a home address stands for one of the
 * addresses, the sender knows better: what it stored, less the length.
 */
static uint64_t transport_pseudo(const struct frame_adapt *a)
{
	const struct vdev_net_offload *o = &a->src.offload;
	uint16_t stored;

	if (!a->ip.routed)
		return pseudo_of(a->head, &a->ip, a->ip.proto);
	memcpy(&stored, a->head + o->csum_start + o->csum_offset, 2);
	return (uint64_t)stored + (uint16_t)~net_sum_be16(a->src.len - o->csum_start);
}

/*
 * The IP header(s): where the offloads say, and of the version. Where there is none, or half of one, there is no transport
 * header either: its place is 0 then, and where the offloads say is behind an Ethernet header.
 */
static int find_ip(struct frame_adapt *a, size_t have)
{
	const struct vdev_net_offload *o = &a->src.offload;
	uint16_t type = 0;
	uint32_t nh = net_parse_eth(a->head, have, 0, &type);

	(void)net_parse_ip(a->head, have, nh, &a->ip);
	if (type != (a->ip.version == 4 ? NET_TYPE_IPV4 : NET_TYPE_IPV6) || a->ip.fragment)
		return VIRTQ_EPROTO;
	if (!a->tunnel)
		return a->ip.th == o->csum_start ? 0 : VIRTQ_EPROTO;
	a->outer = a->ip;
	if (a->outer.proto != NET_PROTO_UDP || a->outer.th != o->outer_th)
		return VIRTQ_EPROTO;
	(void)net_parse_ip(a->head, have, o->inner_nh, &a->ip);
	return a->ip.th == o->csum_start && !a->ip.fragment ? 0 : VIRTQ_EPROTO;
}

/* The transport header, whether it is the one that the kind of segmentation goes with, and what is payload then. */
static int find_transport(struct frame_adapt *a, unsigned kind, size_t have)
{
	uint32_t th = a->ip.th;

	a->tcp = kind == VDEV_NET_GSO_TCPV4 || kind == VDEV_NET_GSO_TCPV6;
	if (kind == VDEV_NET_GSO_TCPV4 ? a->ip.version != 4
	                               : kind == VDEV_NET_GSO_TCPV6 && a->ip.version != 6)
		return VIRTQ_EPROTO;
	if (a->ip.proto != (a->tcp ? NET_PROTO_TCP : NET_PROTO_UDP))
		return VIRTQ_EPROTO;
	a->heads = th + 8;
	if (a->tcp) {
		if (th + 20 > have || a->head[th + 12] >> 4 < 5)
			return VIRTQ_EPROTO;
		a->heads = th + (a->head[th + 12] >> 4) * 4u;
	}
	return a->heads <= have ? 0 : VIRTQ_EPROTO;
}

/* How the payload is divided, and whether that gives frames which are allowed. */
static int plan(struct frame_adapt *a, unsigned kind, uint32_t mtu)
{
	uint32_t nh = a->tunnel ? a->outer.nh : a->ip.nh, packet;

	a->size = a->src.offload.gso_size;
	a->payload = a->src.len - a->heads;
	if (kind == VDEV_NET_GSO_UDP) {
		/* All behind the IP header is divided, the UDP header too; in units of 8. */
		a->kind = ADAPT_FRAGMENT;
		a->payload = a->src.len - a->ip.split;
		a->heads = a->ip.split;
		if (a->payload > a->size)
			a->size &= ~7u; /* 0: too many */
	}
	if (a->payload > (uint64_t)a->size * FRAME_SEGMENTS)
		return VIRTQ_EPROTO;
	packet = a->heads - nh + (a->payload < a->size ? a->payload : a->size);
	if (a->kind == ADAPT_FRAGMENT && a->ip.version == 6 && a->payload > a->size)
		packet += 8;
	if (packet > UINT16_MAX)
		return VIRTQ_EPROTO;
	return mtu != 0 && packet > mtu ? VIRTQ_ENOSPC : 0;
}

/* The tunnel's own UDP checksum: asked for, or there (of something that is not what we make). */
static void tunnel_sum(struct frame_adapt *a)
{
	const uint8_t *udp = a->head + a->outer.th;

	a->outer_sum =
		(a->src.offload.flags & VDEV_NET_UDP_TUNNEL_CSUM) != 0 || udp[6] != 0 || udp[7] != 0;
	if (!a->outer_sum)
		return;
	a->outer_pseudo = pseudo_of(a->head, &a->outer, NET_PROTO_UDP);
	if (a->outer.routed) {
		/* As with the transport's: the sum of the whole was begun with the length of the whole. */
		uint16_t stored;

		memcpy(&stored, udp + 6, 2);
		a->outer_pseudo = (uint64_t)stored + (uint16_t)~net_sum_be16(a->src.len - a->outer.th);
	}
	a->partial = 0;
}

static int begin_gso(struct frame_adapt *a, uint32_t takes, uint32_t mtu)
{
	const struct vdev_net_offload *o = &a->src.offload;
	unsigned kind = o->gso_type & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN);
	size_t want = a->src.len < FRAME_HEADERS ? a->src.len : FRAME_HEADERS;
	int err;

	if (frame_read(&a->src, 0, a->head, want) != want)
		return VIRTQ_EINVAL;
	a->kind = ADAPT_SEGMENT;
	a->tunnel = (o->gso_type & VDEV_NET_GSO_TUNNEL) != 0;
	a->partial = (takes & VDEV_NET_TAKES_CSUM) != 0;
	err = find_ip(a, want);
	if (err == 0)
		err = find_transport(a, kind, want);
	if (err != 0)
		return err;
	a->pseudo = transport_pseudo(a);
	if (a->tunnel)
		tunnel_sum(a);
	frame_cursor_init(&a->at, &a->src, a->heads);
	err = plan(a, kind, mtu);
	if (err == 0 && a->kind == ADAPT_FRAGMENT)
		err = fragment_begin(a);
	return err;
}

int frame_adapt_begin(struct frame_adapt *a, const struct vdev_frame *f, uint32_t takes,
                      uint32_t mtu)
{
	int err = vdev_net_offload_check(f);

	a->kind = ADAPT_NONE;
	if (err != 0)
		return err;
	memset(a, 0, offsetof(struct frame_adapt, head));
	a->src = *f;
	a->src.offload.flags &= FRAME_SENDER_FLAGS;
	if ((f->offload.gso_type & ~(unsigned)VDEV_NET_GSO_ECN) == 0) {
		/* ECN alone says nothing. */
		a->src.offload.gso_type = VDEV_NET_GSO_NONE;
		if (a->src.offload.flags == 0)
			memset(&a->src.offload, 0, sizeof(a->src.offload));
		if (too_long(f, mtu))
			return VIRTQ_ENOSPC;
		a->kind = frame_fits(&a->src, takes) ? ADAPT_COPY : ADAPT_SUM;
		return 0;
	}
	if (frame_fits(&a->src, takes)) {
		a->kind = ADAPT_COPY;
		return 0;
	}
	err = begin_gso(a, takes, mtu);
	if (err != 0)
		a->kind = ADAPT_NONE;
	return err;
}

/* The frame with its checksum filled in: two bytes of ours between pieces of the source's. */
static int next_sum(struct frame_adapt *a, struct vdev_frame *out)
{
	uint32_t start = a->src.offload.csum_start, pos = start + a->src.offload.csum_offset;
	uint32_t used = FRAME_PIECES, more;
	struct frame_cursor c;
	size_t got;

	frame_cursor_init(&c, &a->src, 0);
	got = frame_cursor_pieces(&c, pos, a->iov, &used);
	got += frame_cursor_read(&c, a->made, 2);
	a->iov[used].base = a->made;
	a->iov[used++].len = 2;
	more = FRAME_PIECES + 4 - used;
	got += frame_cursor_pieces(&c, a->src.len - pos - 2, a->iov + used, &more);
	/* Where the frame or the room ends too early some of it is missing, whatever is read next. */
	if (got != a->src.len)
		return VIRTQ_EINVAL;
	used += more;
	net_csum_store(a->made, net_sum_pieces(a->iov, used, start));
	out->iov = a->iov;
	out->niov = used;
	out->len = a->src.len;
	return 1;
}

int frame_adapt_next(struct frame_adapt *a, struct vdev_frame *out)
{
	unsigned kind = a->kind;
	int r = 0;

	memset(&out->offload, 0, sizeof(out->offload));
	switch (kind) {
	case ADAPT_COPY:
		*out = a->src;
		a->kind = ADAPT_NONE;
		return 1;
	case ADAPT_SUM:
		r = next_sum(a, out);
		a->kind = ADAPT_NONE;
		break;
	case ADAPT_SEGMENT:
		r = segment_next(a, out);
		break;
	case ADAPT_FRAGMENT:
		r = fragment_next(a, out);
		break;
	default:
		break;
	}
	if (r < 0)
		a->kind = ADAPT_NONE;
	return r;
}
