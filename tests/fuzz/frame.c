/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame as a guest may have written it: made well and then spoiled here and there, or of any bytes; in pieces; with
 * any offloads asked for. What passes the check is adapted for any receiver, while its memory changes from one frame to
 * the next. Whatever comes out is what that receiver takes: lengths, positions, checksums, computed the slow way. Hashes
 * and flows are taken of it, too, and don't depend on how it is divided into pieces.
 */
#include <string.h>

#include "fuzz.h"
#include "libvdev/net/adapt.h"
#include "libvdev/net/hash.h"
#include "net_packet.h"

enum { PIECES = 64, HOW_RAW = 1, HOW_CHANGES = 2, HOW_BYTEWISE = 4, HOW_LONG = 8 };

static struct packet packet;
static struct virtq_iov iov[FRAME_PIECES];
static struct frame_adapt adapt;
static struct net_hash_key key;
static uint8_t got[VDEV_NET_MAX_FRAME + 64], whole[VDEV_NET_MAX_FRAME + 64];

static void take_bytes(struct input *in, void *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = take8(in);
}

/* The frame's bytes and offloads. */
static void make(struct input *in, unsigned how)
{
	struct packet_spec spec;
	struct rng rng;
	unsigned changes;

	if ((how & HOW_RAW) != 0) {
		packet.len = VDEV_NET_ETH + take16(in) % ((how & HOW_LONG) != 0 ? 65536u : 1024u);
		take_bytes(in, &packet.offload, sizeof(packet.offload));
		memset(packet.b, 0, packet.len);
		take_bytes(in, packet.b, in->left < packet.len ? in->left : packet.len);
		return;
	}
	rng_seed(&rng, take32(in));
	packet_random_spec(&spec, &rng, (how & HOW_LONG) != 0 ? 65000 : 3000);
	spec.gso_size = take16(in);
	packet_make(&packet, &spec);
	changes = take8(in) % 8;
	for (unsigned i = 0; i < changes; i++) {
		uint32_t at = take8(in);

		if (at < sizeof(packet.offload))
			((uint8_t *)&packet.offload)[at] = take8(in);
		else
			packet.b[at - sizeof(packet.offload)] ^= take8(in);
	}
}

static int is_zero(const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((const uint8_t *)p)[i] != 0)
			return 0;
	return 1;
}

/* The IP header at ip in got says how long it is, and has a checksum that is right. */
static void check_ip(const struct net_ip *ip, uint32_t len)
{
	const uint8_t *p = got + ip->nh;

	HOLDS(p[0] >> 4 == ip->version);
	if (ip->version == 6) {
		HOLDS(net_get_be16(p + 4) == len - ip->nh - 40);
		return;
	}
	HOLDS(net_get_be16(p + 2) == len - ip->nh);
	HOLDS(packet_sum(p, (uint32_t)ip->th - ip->nh, 0) == 0xffff);
}

/* A transport's checksum. Where the sender knew better than its IP header, so it may have been wrong in any way. */
static void check_sum(const uint8_t *b, const struct net_ip *ip, uint32_t len)
{
	uint32_t bytes = len - ip->th, sum;

	if (ip->routed)
		return;
	sum = ip->version == 4 ? packet_sum(b + ip->nh + 12, 8, 0) : packet_sum(b + ip->nh + 8, 32, 0);
	HOLDS(packet_sum(b + ip->th, bytes, sum + ip->proto + bytes) == 0xffff);
}

static void check_segment(const struct vdev_frame *out, uint32_t done)
{
	HOLDS(out->len <= adapt.heads + adapt.size);
	HOLDS(adapt.tcp == (adapt.ip.proto == 6));
	if (adapt.tcp)
		HOLDS(net_get_be32(got + adapt.ip.th + 4) ==
		      net_get_be32(adapt.head + adapt.ip.th + 4) + done);
	else
		HOLDS(net_get_be16(got + adapt.ip.th + 4) == out->len - adapt.ip.th);
	check_ip(&adapt.ip, out->len);
	if (out->offload.flags != 0) {
		const struct vdev_net_offload *o = &out->offload;
		uint16_t sum = (uint16_t)~packet_sum(got + o->csum_start, out->len - o->csum_start, 0);

		HOLDS(o->csum_start == adapt.ip.th);
		net_put_be16(got + o->csum_start + o->csum_offset, sum);
	}
	check_sum(got, &adapt.ip, out->len);
	if (!adapt.tunnel)
		return;
	check_ip(&adapt.outer, out->len);
	HOLDS(net_get_be16(got + adapt.outer.th + 4) == out->len - adapt.outer.th);
	if (net_get_be16(got + adapt.outer.th + 6) != 0)
		check_sum(got, &adapt.outer, out->len);
}

/* What must hold of any frame that comes out; got is its bytes then. */
static void check_out(const struct vdev_frame *out, uint32_t takes, uint32_t mtu)
{
	HOLDS(out->len >= VDEV_NET_ETH && out->len <= VDEV_NET_MAX_FRAME);
	HOLDS(out->niov <= FRAME_PIECES + 4);
	HOLDS(packet_flatten(out, got) == out->len);
	HOLDS(vdev_net_offload_check(out) == 0);
	HOLDS(frame_fits(out, takes));
	HOLDS(out->offload.gso_type != VDEV_NET_GSO_ECN);
	HOLDS((out->offload.flags & ~FRAME_SENDER_FLAGS) == 0);
	if ((takes & VDEV_NET_TAKES_CSUM) == 0)
		HOLDS(is_zero(&out->offload, sizeof(out->offload)) ||
		      (out->offload.flags == 0 && out->offload.gso_type == 0));
	if (mtu != 0 && out->offload.gso_type == 0)
		HOLDS(out->len <= mtu + VDEV_NET_ETH + 8);
}

static void check_whole(uint32_t total, int changed)
{
	if (changed || adapt.kind != ADAPT_FRAGMENT || total == 0)
		return;
	memcpy(whole, adapt.head, adapt.ip.split);
	check_sum(whole, &adapt.ip, adapt.ip.split + total);
}

static void run(struct vdev_frame *f, struct input *in, unsigned how)
{
	uint32_t takes = take16(in) & VDEV_NET_TAKES_ALL,
			 mtu = take8(in) % 3 == 0 ? 68u + take16(in) : 0;
	uint32_t n = 0, done = 0, kind, heads;
	struct vdev_frame out;
	int r = frame_adapt_begin(&adapt, f, takes, mtu);

	HOLDS(r == 0 || r == VIRTQ_EPROTO || r == VIRTQ_ENOSPC);
	kind = adapt.kind;
	HOLDS(r == 0 || kind == ADAPT_NONE);
	while (r == 0 && frame_adapt_next(&adapt, &out) > 0) {
		HOLDS(++n <= FRAME_SEGMENTS);
		check_out(&out, takes, mtu);
		if (kind == ADAPT_SEGMENT) {
			check_segment(&out, done);
			done += out.len - adapt.heads;
		} else if (kind == ADAPT_FRAGMENT) {
			heads = (uint32_t)out.iov[0].len;
			check_ip(&adapt.ip, out.len);
			memcpy(whole + adapt.ip.split + done, got + heads, out.len - heads);
			done += out.len - heads;
		} else {
			HOLDS(n == 1 && out.len == f->len);
		}
		if ((how & HOW_CHANGES) != 0)
			for (uint32_t at = take8(in); at < 64; at++)
				packet.b[at] ^= take8(in);
	}
	if (r == 0 && (kind == ADAPT_SEGMENT || kind == ADAPT_FRAGMENT)) {
		HOLDS(done == adapt.payload);
		check_whole(done, (how & HOW_CHANGES) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned how = take8(&in);
	uint32_t types, tunnels, value[2], flow;
	struct vdev_frame f, g;
	struct virtq_iov one;
	struct rng rng;
	uint8_t bytes[NET_HASH_KEY];

	make(&in, how);
	rng_seed(&rng, take16(&in));
	packet_pieces(packet.b, packet.len, iov,
	              (how & HOW_BYTEWISE) != 0 ? FRAME_PIECES : 1 + rng_below(&rng, PIECES), &rng, &f);
	f.offload = packet.offload;
	one = (struct virtq_iov){packet.b, packet.len};
	g = (struct vdev_frame){&one, 1, packet.len, packet.offload};
	types = take16(&in);
	tunnels = take16(&in);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rng_next(&rng);
	net_hash_key_set(&key, bytes, sizeof(bytes));
	HOLDS(net_hash(&key, &f, types, tunnels, &value[0]) ==
	      net_hash(&key, &g, types, tunnels, &value[1]));
	HOLDS(value[0] == value[1]);
	flow = net_flow(&f);
	HOLDS(flow == net_flow(&g));
	if (frame_offload_check(&f) == 0)
		run(&f, &in, how);
	return 0;
}
