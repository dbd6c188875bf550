/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading frames piece by piece, and what may be left to be done to one. */
#include "libvdev/net/frame.h"

void frame_cursor_init(struct frame_cursor *c, const struct vdev_frame *f, uint32_t at)
{
	c->iov = f->iov;
	c->left = f->niov;
	c->off = at;
	while (c->left > 0 && c->off >= c->iov->len) {
		c->off -= c->iov->len;
		c->iov++;
		c->left--;
	}
}

/* The next stretch of at most len bytes that lie together, or none. */
static size_t stretch(struct frame_cursor *c, size_t len, const uint8_t **at)
{
	size_t n;

	while (c->left > 0 && c->off >= c->iov->len) {
		c->off = 0;
		c->iov++;
		c->left--;
	}
	if (c->left == 0)
		return 0;
	n = c->iov->len - c->off;
	n = n < len ? n : len;
	*at = (const uint8_t *)c->iov->base + c->off;
	c->off += n;
	return n;
}

size_t frame_cursor_read(struct frame_cursor *c, void *to, size_t len)
{
	const uint8_t *from = NULL;
	size_t done = 0, n;

	while (done < len && (n = stretch(c, len - done, &from)) > 0) {
		memcpy((uint8_t *)to + done, from, n);
		done += n;
	}
	return done;
}

size_t frame_cursor_pieces(struct frame_cursor *c, size_t len, struct virtq_iov *out, uint32_t *n)
{
	const uint8_t *from = NULL;
	uint32_t room = *n, used = 0;
	size_t done = 0, part;

	while (done < len && used < room && (part = stretch(c, len - done, &from)) > 0) {
		out[used].base = (void *)(uintptr_t)from;
		out[used++].len = part;
		done += part;
	}
	*n = used;
	return done;
}

size_t frame_read(const struct vdev_frame *f, uint32_t at, void *to, size_t len)
{
	struct frame_cursor c;

	if (f->niov > 0 && at < f->iov->len && f->iov->len - at >= len) {
		memcpy(to, (const uint8_t *)f->iov->base + at, len);
		return len;
	}
	frame_cursor_init(&c, f, at);
	return frame_cursor_read(&c, to, len);
}

/* Offsets that a tunnel goes with: outer UDP header, something behind it, inner network and transport headers. */
static int tunnel_check(const struct vdev_net_offload *o)
{
	if ((o->gso_type & VDEV_NET_GSO_TUNNEL) == VDEV_NET_GSO_TUNNEL)
		return VIRTQ_EPROTO;
	if ((o->flags & VDEV_NET_DATA_VALID) != 0)
		return VIRTQ_EPROTO;
	if (o->outer_th < VDEV_NET_ETH + 20u || o->inner_nh < o->outer_th + 8u ||
	    o->csum_start < o->inner_nh + 20u)
		return VIRTQ_EPROTO;
	return 0;
}

/* A gso_type other than none: that it is one, and that the rest goes with it. */
static int gso_check(const struct vdev_net_offload *o)
{
	unsigned kind = o->gso_type & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN);
	int tcp = kind == VDEV_NET_GSO_TCPV4 || kind == VDEV_NET_GSO_TCPV6;

	if (!tcp && kind != VDEV_NET_GSO_UDP && kind != VDEV_NET_GSO_UDP_L4)
		return VIRTQ_EPROTO;
	if (!tcp && (o->gso_type & VDEV_NET_GSO_ECN) != 0)
		return VIRTQ_EPROTO;
	if (kind == VDEV_NET_GSO_UDP && (o->gso_type & VDEV_NET_GSO_TUNNEL) != 0)
		return VIRTQ_EPROTO;
	if ((o->flags & VDEV_NET_NEEDS_CSUM) == 0 || o->gso_size == 0)
		return VIRTQ_EPROTO;
	if (o->csum_start < VDEV_NET_ETH + 20u || o->csum_offset != (tcp ? 16 : 6))
		return VIRTQ_EPROTO;
	return 0;
}

int vdev_net_offload_check(const struct vdev_frame *f)
{
	const struct vdev_net_offload *o;
	int err = 0;

	if (f == NULL || f->len < VDEV_NET_ETH || f->len > VDEV_NET_MAX_FRAME)
		return VIRTQ_EINVAL;
	o = &f->offload;
	if ((o->flags & VDEV_NET_NEEDS_CSUM) != 0 &&
	    (uint32_t)o->csum_start + o->csum_offset + 2 > f->len)
		return VIRTQ_EPROTO;
	if ((o->gso_type & VDEV_NET_GSO_TUNNEL) != 0)
		err = tunnel_check(o);
	else if ((o->flags & VDEV_NET_UDP_TUNNEL_CSUM) != 0)
		return VIRTQ_EPROTO;
	if (err == 0 && (o->gso_type & ~(unsigned)VDEV_NET_GSO_ECN) != 0)
		err = gso_check(o);
	return err;
}

uint16_t frame_header_bytes(const struct vdev_frame *f)
{
	unsigned kind = f->offload.gso_type & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN);
	uint32_t bytes = 8;
	uint8_t words = 0;

	if (kind == VDEV_NET_GSO_TCPV4 || kind == VDEV_NET_GSO_TCPV6) {
		(void)frame_read(f, f->offload.csum_start + 12u, &words, 1);
		bytes = words >> 4 < 5 ? 20 : (words >> 4) * 4u;
	}
	bytes += f->offload.csum_start;
	if (bytes > f->len)
		bytes = f->len;
	return bytes < UINT16_MAX ? (uint16_t)bytes : UINT16_MAX;
}

uint16_t frame_segments(const struct vdev_frame *f)
{
	uint32_t payload = f->len - frame_header_bytes(f), size = f->offload.gso_size;
	uint32_t n = size != 0 ? (payload + size - 1) / size : 0;

	if (n == 0)
		return 1;
	return n < UINT16_MAX ? (uint16_t)n : UINT16_MAX;
}

/* The IP version of the header at byte at, 0 where there is none. */
static unsigned version_at(const struct vdev_frame *f, uint32_t at)
{
	uint8_t b = 0;

	return frame_read(f, at, &b, 1) == 1 ? b >> 4 : 0;
}

/* The IP version of a frame without tunnel, by the type that its tags lead to. */
static unsigned frame_version(const struct vdev_frame *f)
{
	uint8_t h[VDEV_NET_ETH + 8];
	size_t have = frame_read(f, 0, h, sizeof(h));

	for (size_t at = 12; at + 2 <= have; at += 4) {
		uint16_t type = net_get_be16(h + at);

		if (type == 0x0800)
			return 4;
		if (type == 0x86dd)
			return 6;
		if (type != 0x8100 && type != 0x88a8)
			break;
	}
	return 0;
}

/* Which of enum vdev_net_takes a receiver of this frame must have, CSUM apart; 0: no receiver takes it. */
static uint32_t gso_needs(const struct vdev_frame *f, uint32_t takes)
{
	unsigned type = f->offload.gso_type;
	uint32_t uso = takes & (VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6), need = 0;
	unsigned version;

	switch (type & ~(unsigned)(VDEV_NET_GSO_TUNNEL | VDEV_NET_GSO_ECN)) {
	case VDEV_NET_GSO_TCPV4:
		need = VDEV_NET_TAKES_TSO4;
		break;
	case VDEV_NET_GSO_TCPV6:
		need = VDEV_NET_TAKES_TSO6;
		break;
	case VDEV_NET_GSO_UDP:
		need = VDEV_NET_TAKES_UFO;
		break;
	case VDEV_NET_GSO_UDP_L4:
		if (uso == 0 || uso == (VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6)) {
			need = VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6;
			break;
		}
		version = (type & VDEV_NET_GSO_TUNNEL) != 0 ? version_at(f, f->offload.inner_nh)
		                                            : frame_version(f);
		need = version == 4 ? VDEV_NET_TAKES_USO4 : version == 6 ? VDEV_NET_TAKES_USO6 : 0;
		break;
	default:
		break;
	}
	return need;
}

int frame_fits_gso(const struct vdev_frame *f, uint32_t takes)
{
	uint32_t need = gso_needs(f, takes);

	if (need == 0)
		return 0;
	if ((f->offload.gso_type & VDEV_NET_GSO_ECN) != 0)
		need |= VDEV_NET_TAKES_ECN;
	if ((f->offload.gso_type & VDEV_NET_GSO_TUNNEL) != 0)
		need |= VDEV_NET_TAKES_TUNNEL;
	if ((f->offload.flags & VDEV_NET_UDP_TUNNEL_CSUM) != 0)
		need |= VDEV_NET_TAKES_TUNNEL_CSUM;
	return (takes & need) == need;
}
