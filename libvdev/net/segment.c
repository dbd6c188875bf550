/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments and fragments. Headers are patched in a->made; a->head stays as it came. */
#include "libvdev/net/segment.h"
#include "libvdev/net/csum.h"

enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80, MORE_FRAGMENTS = 0x2000, FRAGMENT_HEADER = 8 };

/* The IP header at ip in h for a frame of len bytes, number of its kind. */
static void put_ip(uint8_t *h, const struct net_ip *ip, uint32_t len, uint32_t number)
{
	uint8_t *p = h + ip->nh;

	if (ip->version == 6) {
		net_put_be16(p + 4, (uint16_t)(len - ip->nh - 40u));
		return;
	}
	net_put_be16(p + 2, (uint16_t)(len - ip->nh));
	net_put_be16(p + 4, (uint16_t)(net_get_be16(p + 4) + number));
	net_put_be16(p + 10, 0);
	net_csum_store(p + 10, net_sum(p, (size_t)ip->th - ip->nh));
}

static void put_tcp(uint8_t *tcp, const struct frame_adapt *a, int last)
{
	net_put_be32(tcp + 4, net_get_be32(tcp + 4) + a->done);
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (a->index > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
}

/* Sums from the inside out: the outer one covers the inner. */
static void put_sums(struct frame_adapt *a, const struct vdev_frame *seg)
{
	const struct vdev_net_offload *o = &a->src.offload;
	uint32_t th = a->ip.th;
	uint8_t *at = a->made + th + o->csum_offset;
	uint64_t sum = a->pseudo + net_sum_be16(seg->len - th);

	net_sum_store(at, sum);
	if (!a->partial)
		net_csum_store(at, net_sum_pieces(seg->iov, seg->niov, th));
	if (!a->tunnel)
		return;
	at = a->made + a->outer.th + 6;
	net_put_be16(at, 0);
	if (a->outer_sum) {
		net_sum_store(at, a->outer_pseudo + net_sum_be16(seg->len - a->outer.th));
		net_csum_store(at, net_sum_pieces(seg->iov, seg->niov, a->outer.th));
	}
}

/* What is left to the receiver of a segment. */
static void leave_sum(const struct frame_adapt *a, struct vdev_frame *out)
{
	if (!a->partial)
		return;
	out->offload.flags = VDEV_NET_NEEDS_CSUM;
	out->offload.hdr_len = (uint16_t)a->heads;
	out->offload.csum_start = a->src.offload.csum_start;
	out->offload.csum_offset = a->src.offload.csum_offset;
}

int segment_next(struct frame_adapt *a, struct vdev_frame *out)
{
	uint32_t left = a->payload - a->done, len = left < a->size ? left : a->size;
	uint32_t pieces = FRAME_PIECES;

	/* Without payload there is one segment all the same. */
	if (left == 0 && a->index > 0)
		return 0;
	memcpy(a->made, a->head, a->heads);
	a->iov[0].base = a->made;
	a->iov[0].len = a->heads;
	if (frame_cursor_pieces(&a->at, len, a->iov + 1, &pieces) != len)
		return VIRTQ_EINVAL;
	out->iov = a->iov;
	out->niov = pieces + 1;
	out->len = a->heads + len;
	if (a->tcp)
		put_tcp(a->made + a->ip.th, a, len == left);
	else
		net_put_be16(a->made + a->ip.th + 4, (uint16_t)(out->len - a->ip.th));
	put_ip(a->made, &a->ip, out->len, a->index);
	if (a->tunnel) {
		net_put_be16(a->made + a->outer.th + 4, (uint16_t)(out->len - a->outer.th));
		put_ip(a->made, &a->outer, out->len, a->index);
	}
	put_sums(a, out);
	leave_sum(a, out);
	a->done += len;
	a->index++;
	return 1;
}

/* A number for IPv6 fragments, of what tells the datagram from others: addresses, ports, checksum, length. */
static uint32_t fragment_number(const struct frame_adapt *a)
{
	uint64_t v = a->src.len;

	for (uint32_t at = a->ip.nh + 8u; at < a->ip.nh + 40u; at += 4)
		v = (v ^ net_get_be32(a->head + at)) * 0x9e3779b97f4a7c15u;
	v = (v ^ net_get_be32(a->head + a->ip.th)) * 0x9e3779b97f4a7c15u;
	v = (v ^ net_get_be32(a->head + a->ip.th + 4)) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(v >> 32);
}

int fragment_begin(struct frame_adapt *a)
{
	uint32_t th = a->ip.th, udp_end = th + 8, bytes = a->src.len - th, n = FRAME_PIECES;
	struct frame_cursor c = a->at;
	uint64_t sum;

	/* The header is ours, with the length the datagram has; the rest is summed where it lies. */
	net_put_be16(a->head + th + 4, (uint16_t)bytes);
	net_sum_store(a->head + th + 6, a->pseudo + net_sum_be16(bytes));
	sum = net_sum(a->head + th, 8);
	frame_cursor_init(&c, &a->src, udp_end);
	if (frame_cursor_pieces(&c, a->src.len - udp_end, a->iov, &n) != a->src.len - udp_end)
		return VIRTQ_EINVAL;
	sum += net_sum_pieces(a->iov, n, 0);
	net_csum_store(a->head + th + 6, sum);
	a->ident = fragment_number(a);
	/* From here on the payload begins behind the UDP header, which comes from a->head. */
	frame_cursor_init(&a->at, &a->src, udp_end);
	return 0;
}

/* Options that belong to the first fragment alone become no operation in the others. */
static void clear_options(uint8_t *h, const struct net_ip *ip)
{
	uint32_t at = ip->nh + 20u, end = ip->th, len;

	while (at < end && h[at] != 0) {
		if (h[at] == 1) {
			at++;
			continue;
		}
		if (at + 1 >= end)
			return;
		len = h[at + 1];
		if (len < 2 || at + len > end)
			return;
		if ((h[at] & 0x80) == 0)
			memset(h + at, 1, len);
		at += len;
	}
}

/* The headers of a fragment; returns their length. */
static uint32_t put_fragment(struct frame_adapt *a, uint32_t len, int more)
{
	uint8_t *h = a->made, *p = h + a->ip.nh;
	uint32_t bytes = a->heads;

	memcpy(h, a->head, bytes);
	if (a->done == 0 && !more) {
		put_ip(h, &a->ip, bytes + len, 0);
		return bytes;
	}
	if (a->ip.version == 4) {
		net_put_be16(p + 6, (uint16_t)(a->done / 8 | (more ? MORE_FRAGMENTS : 0)));
		if (a->done > 0)
			clear_options(h, &a->ip);
	} else {
		p = h + bytes;
		p[0] = h[a->ip.next_at];
		p[1] = 0;
		net_put_be16(p + 2, (uint16_t)(a->done | (more ? 1u : 0)));
		net_put_be32(p + 4, a->ident);
		h[a->ip.next_at] = NET_PROTO_FRAGMENT;
		bytes += FRAGMENT_HEADER;
	}
	put_ip(h, &a->ip, bytes + len, 0);
	return bytes;
}

int fragment_next(struct frame_adapt *a, struct vdev_frame *out)
{
	uint32_t left = a->payload - a->done, len = left < a->size ? left : a->size;
	uint32_t own_end = a->ip.th + 8u - a->ip.split, own = 0, used = 1, pieces = FRAME_PIECES;

	if (left == 0)
		return 0;
	a->iov[0].base = a->made;
	a->iov[0].len = put_fragment(a, len, len < left);
	if (a->done < own_end) {
		/* Part of our copy, with the checksum. */
		own = own_end - a->done < len ? own_end - a->done : len;
		a->iov[1].base = a->head + a->ip.split + a->done;
		a->iov[1].len = own;
		used = 2;
	}
	if (frame_cursor_pieces(&a->at, len - own, a->iov + used, &pieces) != len - own)
		return VIRTQ_EINVAL;
	out->iov = a->iov;
	out->niov = used + pieces;
	out->len = (uint32_t)a->iov[0].len + len;
	a->done += len;
	a->index++;
	return 1;
}
