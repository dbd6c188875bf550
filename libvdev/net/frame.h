/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: reading them, what is left to be done to them and doing it, hashes. For network devices and back-ends.
 *
 * A frame's bytes may change at any time. Whatever decides something is copied first and used from the copy; what is
 * only carried along (payload, and what a checksum is taken over) is read where it lies.
 */
#ifndef LIBVDEV_NET_FRAME_H
#define LIBVDEV_NET_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vdev/netif.h>
#include <virtq/error.h>

/* Sizes. */
enum frame_size {
	FRAME_HEADERS =
		512, /* bytes of headers, the inner ones of a tunnel too, that segmentation copes with */
	FRAME_PIECES = 1024,   /* pieces of a frame that frame_adapt copes with */
	FRAME_SEGMENTS = 8192, /* segments that a frame may become */
	NET_HDR_PLAIN = 12,    /* struct virtio_net_hdr */
	NET_HDR_HASH = 20,     /* with hash_value, hash_report */
	NET_HDR_TUNNEL = 24,   /* with outer_th_offset, inner_nh_offset too */
	NET_HDR_LEN = 2,       /* hdr_len */
	NET_HDR_SEGMENTS = 6,  /* with RSC_INFO, in place of csum_start */
	NET_HDR_DUP_ACKS = 8,  /* likewise, of csum_offset */
	NET_HDR_NUM_BUFFERS = 10,
	NET_HDR_HASH_VALUE = 12,
	NET_HDR_HASH_REPORT = 16
};

/* Flags that a sender means something by. */
#define FRAME_SENDER_FLAGS (VDEV_NET_NEEDS_CSUM | VDEV_NET_UDP_TUNNEL_CSUM)

/* A position in a frame. */
struct frame_cursor {
	const struct virtq_iov *iov;
	uint32_t left; /* pieces, the current one too */
	size_t off;    /* in the current one */
};

/* At byte at of f, or at its end. */
void frame_cursor_init(struct frame_cursor *c, const struct vdev_frame *f, uint32_t at);
/* Copy the next len bytes; returns how many there were. */
size_t frame_cursor_read(struct frame_cursor *c, void *to, size_t len);
/*
 * The next len bytes as pieces, no copy. *n: in the number of pieces there is room for, out how many they are. Returns
 * how many bytes: less than len where the frame or the room ends.
 */
size_t frame_cursor_pieces(struct frame_cursor *c, size_t len, struct virtq_iov *out, uint32_t *n);

/* Copy len bytes from byte at of f on; returns how many there were. */
size_t frame_read(const struct vdev_frame *f, uint32_t at, void *to, size_t len);

/* Copy the first len bytes, a constant, and have the compiler not read them in f again. Returns how many there were. */
static inline size_t frame_read_first(const struct vdev_frame *f, void *to, size_t len)
{
	size_t n = len;

	if (f->niov > 0 && f->iov->len >= len)
		memcpy(to, f->iov->base, len);
	else
		n = frame_read(f, 0, to, len);
	__asm__ volatile("" ::: "memory");
	return n;
}

/* vdev_net_offload_check(), quick for a frame to which nothing is left to be done. */
static inline int frame_offload_check(const struct vdev_frame *f)
{
	if (__builtin_expect(((f->offload.flags & FRAME_SENDER_FLAGS) | f->offload.gso_type) == 0, 1))
		return 0;
	return vdev_net_offload_check(f);
}

/* Bytes of all headers of a frame with a gso_type, the (inner) transport header too, as that says of itself; its length at most. */
uint16_t frame_header_bytes(const struct vdev_frame *f);
/* In how many segments its payload was, or will be, on a link. */
uint16_t frame_segments(const struct vdev_frame *f);

/* frame_fits() for what isn't the same for all frames of a kind. */
int frame_fits_gso(const struct vdev_frame *f, uint32_t takes);

/* Whether a receiver with these enum vdev_net_takes takes f as it is. Of a frame that the check passed. */
static inline int frame_fits(const struct vdev_frame *f, uint32_t takes)
{
	unsigned gso = f->offload.gso_type;

	if (__builtin_expect((f->offload.flags & FRAME_SENDER_FLAGS) == 0 && gso == 0, 1))
		return 1;
	if ((takes & VDEV_NET_TAKES_CSUM) == 0)
		return 0;
	if (gso == VDEV_NET_GSO_NONE)
		return 1;
	if (gso == VDEV_NET_GSO_TCPV4)
		return (takes & VDEV_NET_TAKES_TSO4) != 0;
	if (gso == VDEV_NET_GSO_TCPV6)
		return (takes & VDEV_NET_TAKES_TSO6) != 0;
	return frame_fits_gso(f, takes);
}

/*
 * A number for the conversation that a frame belongs to, the same for both directions; 0 where there is none (not IP).
 * Cheap, and nobody's secret: for spreading frames, not for telling them apart.
 */
uint32_t net_flow(const struct vdev_frame *f);
/* A RARP frame that makes switches learn where mac is now. */
void net_rarp(uint8_t frame[60], const uint8_t mac[VDEV_NET_MAC]);

static inline uint16_t net_get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline void net_put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline uint16_t net_get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void net_put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t net_get_be32(const uint8_t *p)
{
	return (uint32_t)net_get_be16(p) << 16 | net_get_be16(p + 2);
}

static inline void net_put_be32(uint8_t *p, uint32_t v)
{
	net_put_be16(p, (uint16_t)(v >> 16));
	net_put_be16(p + 2, (uint16_t)v);
}

/*
 * What a struct virtio_net_hdr of len bytes (NET_HDR_*), copied from the guest before, leaves to be done. Flags that
 * nobody knows are cleared; num_buffers and the hash are not looked at.
 */
static inline void net_hdr_get(const uint8_t *hdr, size_t len, struct vdev_net_offload *o)
{
	o->flags = hdr[0] & (VDEV_NET_NEEDS_CSUM | VDEV_NET_DATA_VALID | VDEV_NET_RSC_INFO |
	                     VDEV_NET_UDP_TUNNEL_CSUM);
	o->gso_type = hdr[1];
	o->hdr_len = net_get_le16(hdr + 2);
	o->gso_size = net_get_le16(hdr + 4);
	o->csum_start = net_get_le16(hdr + 6);
	o->csum_offset = net_get_le16(hdr + 8);
	o->outer_th = len >= NET_HDR_TUNNEL ? net_get_le16(hdr + 20) : 0;
	o->inner_nh = len >= NET_HDR_TUNNEL ? net_get_le16(hdr + 22) : 0;
}

/* The other way. num_buffers becomes 1, the hash 0 (NONE), for the caller to set. */
static inline void net_hdr_put(uint8_t *hdr, size_t len, const struct vdev_net_offload *o)
{
	hdr[0] = o->flags;
	hdr[1] = o->gso_type;
	net_put_le16(hdr + 2, o->hdr_len);
	net_put_le16(hdr + 4, o->gso_size);
	net_put_le16(hdr + 6, o->csum_start);
	net_put_le16(hdr + 8, o->csum_offset);
	net_put_le16(hdr + NET_HDR_NUM_BUFFERS, 1);
	if (len > NET_HDR_PLAIN)
		memset(hdr + NET_HDR_PLAIN, 0, len - NET_HDR_PLAIN);
	if (len >= NET_HDR_TUNNEL) {
		net_put_le16(hdr + 20, o->outer_th);
		net_put_le16(hdr + 22, o->inner_nh);
	}
}

#endif
