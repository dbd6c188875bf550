/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_packet.h"

#include <string.h>

uint16_t packet_sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++) {
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
		while (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static uint16_t pseudo(const uint8_t *src, const uint8_t *dst, uint32_t addr, unsigned proto,
                       uint32_t len)
{
	return packet_sum(dst, addr, (uint32_t)packet_sum(src, addr, 0) + proto + len);
}

/* Where an IPv6 packet says that its pseudo header's addresses are. */
struct addresses {
	const uint8_t *src, *dst;
};

static uint32_t put_tlv(uint8_t *p, unsigned next, unsigned kind)
{
	memset(p, 0, 24);
	p[0] = (uint8_t)next;
	switch (kind) {
	case PACKET_ROUTING:
		p[1] = 2;
		p[2] = 2;
		p[3] = 1;
		memset(p + 8, 0x77, 16);
		return 24;
	case PACKET_HOME:
		p[1] = 2;
		p[2] = 1;
		p[3] = 2;
		p[6] = 201;
		p[7] = 16;
		memset(p + 8, 0x55, 16);
		return 24;
	default:
		p[2] = 1;
		p[3] = 4;
		return 8;
	}
}

/* An IPv6 header and what extends it. Returns the bytes. */
static uint32_t put_ip6(uint8_t *p, unsigned ext, unsigned proto, struct addresses *a)
{
	static const unsigned order[] = {PACKET_HOPS, PACKET_ROUTING, PACKET_DEST, PACKET_HOME};
	static const uint8_t number[] = {0, 43, 60, 60};
	uint32_t at = 40;
	uint8_t *next = p + 6;

	memset(p, 0, 40);
	p[0] = 0x60;
	p[7] = 64;
	for (unsigned i = 0; i < 32; i++)
		p[8 + i] = (uint8_t)(0x20 + i * 7);
	a->src = p + 8;
	a->dst = p + 24;
	for (unsigned i = 0; i < 4; i++) {
		if ((ext & order[i]) == 0)
			continue;
		*next = number[i];
		next = p + at;
		if (order[i] == PACKET_ROUTING)
			a->dst = p + at + 8;
		if (order[i] == PACKET_HOME)
			a->src = p + at + 8;
		at += put_tlv(p + at, proto, order[i]);
	}
	*next = (uint8_t)proto;
	return at;
}

static uint32_t put_ip4(uint8_t *p, unsigned ext, unsigned proto, uint16_t id, struct addresses *a)
{
	static const uint8_t options[8] = {0x94, 4, 0, 0, 7, 3, 4, 1};
	uint32_t bytes = 20;

	memset(p, 0, 20);
	p[1] = 2;
	packet_put16(p + 4, id);
	p[8] = 64;
	p[9] = (uint8_t)proto;
	for (unsigned i = 0; i < 8; i++)
		p[12 + i] = (uint8_t)(10 + i * 3);
	if ((ext & PACKET_IP_OPTIONS) != 0) {
		memcpy(p + 20, options, 8);
		bytes = 28;
	}
	p[0] = (uint8_t)(0x40 | bytes / 4);
	a->src = p + 12;
	a->dst = p + 16;
	return bytes;
}

static uint32_t put_ip(uint8_t *p, unsigned version, unsigned ext, unsigned proto, uint16_t id,
                       struct addresses *a)
{
	return version == 4 ? put_ip4(p, ext, proto, id, a) : put_ip6(p, ext, proto, a);
}

/* Lengths and header checksum, now that the length is known. */
static void end_ip(uint8_t *p, uint32_t bytes)
{
	if (p[0] >> 4 == 6) {
		packet_put16(p + 4, bytes - 40);
		return;
	}
	packet_put16(p + 2, bytes);
	packet_put16(p + 10, 0);
	packet_put16(p + 10, (uint16_t)~packet_sum(p, (p[0] & 15u) * 4, 0));
}

static uint32_t put_eth(uint8_t *p, unsigned tags, unsigned version)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	uint32_t at = 12;

	memcpy(p, macs, 12);
	for (; tags > 0; tags--, at += 4) {
		packet_put16(p + at, tags == 2 ? 0x88a8 : 0x8100);
		packet_put16(p + at + 2, 100 + tags);
	}
	packet_put16(p + at, version == 4 ? 0x0800 : 0x86dd);
	return at + 2;
}

static uint32_t put_transport(uint8_t *p, const struct packet_spec *s)
{
	uint32_t bytes = s->tcp ? ((s->ext & PACKET_TCP_OPTIONS) != 0 ? 32 : 20) : 8;

	memset(p, 0, bytes);
	packet_put16(p, 1234);
	packet_put16(p + 2, 80);
	if (!s->tcp) {
		packet_put16(p + 4, 8 + s->payload);
		return 8;
	}
	packet_put16(p + 4, s->seq >> 16);
	packet_put16(p + 6, s->seq & 0xffff);
	p[12] = (uint8_t)(bytes / 4 << 4);
	p[13] = s->tcp_flags;
	packet_put16(p + 14, 8192);
	memset(p + 20, 1, bytes - 20);
	return bytes;
}

/* A transport's checksum: complete, or begun for somebody else to complete. */
static void end_transport(uint8_t *p, uint32_t len, unsigned at, uint16_t begun, int partial)
{
	uint16_t sum;

	packet_put16(p + at, begun);
	if (partial)
		return;
	sum = (uint16_t)~packet_sum(p, len, 0);
	packet_put16(p + at, sum != 0 ? sum : 0xffff);
}

static uint32_t put_outer(struct packet *p, const struct packet_spec *s, struct addresses *a)
{
	uint32_t at = put_eth(p->b, s->tags, s->outer);

	p->outer_nh = at;
	at += put_ip(p->b + at, s->outer, 0, 17, (uint16_t)(s->id + 77), a);
	p->outer_th = at;
	memset(p->b + at, 0, 16);
	packet_put16(p->b + at, 40000);
	packet_put16(p->b + at + 2, 4789);
	p->b[at + 8] = 8;
	return at + 16;
}

void packet_make(struct packet *p, const struct packet_spec *s)
{
	struct addresses a = {0}, outer = {0};
	unsigned proto = s->tcp ? 6 : 17, field = s->tcp ? 16 : 6;
	uint32_t at = 0;

	memset(&p->offload, 0, sizeof(p->offload));
	p->outer_nh = p->outer_th = 0;
	if (s->outer != 0)
		at = put_outer(p, s, &outer);
	p->nh = at + put_eth(p->b + at, s->outer != 0 ? 0 : s->tags, s->version);
	p->th = p->nh + put_ip(p->b + p->nh, s->version, s->ext, proto, s->id, &a);
	p->payload_at = p->th + put_transport(p->b + p->th, s);
	for (uint32_t i = 0; i < s->payload; i++)
		p->b[p->payload_at + i] = (uint8_t)(i * 2654435761u >> 13);
	p->len = p->payload_at + s->payload;
	end_ip(p->b + p->nh, p->len - p->nh);
	end_transport(p->b + p->th, p->len - p->th, field,
	              pseudo(a.src, a.dst, s->version == 4 ? 4 : 16, proto, p->len - p->th),
	              s->needs_csum || s->gso != 0);
	if (s->needs_csum || s->gso != 0) {
		p->offload.flags = VDEV_NET_NEEDS_CSUM;
		p->offload.csum_start = (uint16_t)p->th;
		p->offload.csum_offset = (uint16_t)field;
	}
	p->offload.gso_type = (uint8_t)s->gso;
	p->offload.gso_size = s->gso != 0 ? s->gso_size : 0;
	if (s->outer == 0)
		return;
	packet_put16(p->b + p->outer_th + 4, p->len - p->outer_th);
	end_ip(p->b + p->outer_nh, p->len - p->outer_nh);
	if (s->outer_sum)
		packet_put16(p->b + p->outer_th + 6, pseudo(outer.src, outer.dst, s->outer == 4 ? 4 : 16,
		                                            17, p->len - p->outer_th));
	if (s->gso == 0)
		return;
	p->offload.gso_type |= s->outer == 4 ? VDEV_NET_GSO_TUNNEL_V4 : VDEV_NET_GSO_TUNNEL_V6;
	p->offload.flags |= s->outer_sum ? VDEV_NET_UDP_TUNNEL_CSUM : 0;
	p->offload.outer_th = (uint16_t)p->outer_th;
	p->offload.inner_nh = (uint16_t)p->nh;
}

void packet_tcp(uint8_t *b, uint32_t payload)
{
	const struct packet_spec s = {.version = 4, .tcp = 1, .payload = payload, .needs_csum = 1};
	static struct packet p;

	packet_make(&p, &s);
	memcpy(b, p.b, p.len);
}

void packet_random_spec(struct packet_spec *s, struct rng *rng, uint32_t max)
{
	memset(s, 0, sizeof(*s));
	s->tags = rng_below(rng, 3);
	s->version = rng_below(rng, 2) ? 4 : 6;
	s->tcp = rng_below(rng, 2);
	s->outer = rng_one_in(rng, 3) ? (rng_below(rng, 2) ? 4 : 6) : 0;
	s->outer_sum = s->outer != 0 && rng_below(rng, 2);
	s->ext = rng_below(rng, 64) & rng_below(rng, 64);
	if ((s->ext & PACKET_HOME) != 0)
		s->ext &= ~(unsigned)PACKET_DEST;
	s->payload = rng_below(rng, 1u << rng_below(rng, 17)) % (max + 1);
	s->gso_size = (uint16_t)(8 + rng_below(rng, 1u << rng_below(rng, 14)));
	s->gso =
		s->tcp ? (s->version == 4 ? VDEV_NET_GSO_TCPV4 : VDEV_NET_GSO_TCPV6) : VDEV_NET_GSO_UDP_L4;
	if (!s->tcp && s->outer == 0 && rng_below(rng, 2))
		s->gso = VDEV_NET_GSO_UDP;
	s->tcp_flags = (uint8_t)rng_next(rng);
	s->seq = (uint32_t)rng_next(rng);
	s->id = (uint16_t)rng_next(rng);
}

void packet_pieces(const uint8_t *bytes, uint32_t len, struct virtq_iov *iov, uint32_t n,
                   struct rng *rng, struct vdev_frame *f)
{
	uint32_t at = 0, used = 0;

	while (used + 1 < n && at < len) {
		uint32_t most = rng_one_in(rng, 4) ? 3 : 2 * (len - at) / (n - used) + 2;
		uint32_t part = rng_below(rng, most);

		part = part < len - at ? part : len - at;
		iov[used].base = (void *)(uintptr_t)(bytes + at);
		iov[used++].len = part;
		at += part;
	}
	iov[used].base = (void *)(uintptr_t)(bytes + at);
	iov[used++].len = len - at;
	f->iov = iov;
	f->niov = used;
	f->len = len;
}

uint32_t packet_flatten(const struct vdev_frame *f, uint8_t *to)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < f->niov; i++) {
		memcpy(to + at, f->iov[i].base, f->iov[i].len);
		at += (uint32_t)f->iov[i].len;
	}
	return at;
}

/* Skip IPv6 extension headers. Returns the transport's position, 0 for a fragment; *proto too. */
static uint32_t walk6(const uint8_t *p, struct addresses *a, unsigned *proto)
{
	uint32_t at = 40, len;

	a->src = p + 8;
	a->dst = p + 24;
	*proto = p[6];
	for (;;) {
		if (*proto == 44)
			return 0;
		if (*proto != 0 && *proto != 43 && *proto != 60)
			return at;
		len = 8 + p[at + 1] * 8u;
		if (*proto == 43 && p[at + 2] == 2)
			a->dst = p + at + 8;
		if (*proto == 60 && p[at + 6] == 201)
			a->src = p + at + 8;
		*proto = p[at];
		at += len;
	}
}

static const char *wrong_ip(const uint8_t *p, uint32_t len);

/* A UDP or TCP header and what follows. */
static const char *wrong_transport(const uint8_t *p, uint32_t len, const struct addresses *a,
                                   uint32_t addr, unsigned proto)
{
	const char *inner;

	if (proto == 17 && packet_get16(p + 4) != len)
		return "UDP length";
	if (proto == 17 && packet_get16(p + 6) == 0 && packet_get16(p + 2) != 4789)
		return "no UDP checksum";
	if ((proto == 6 || packet_get16(p + 6) != 0) &&
	    packet_sum(p, len, pseudo(a->src, a->dst, addr, proto, len)) != 0xffff)
		return proto == 6 ? "TCP checksum" : "UDP checksum";
	if (proto != 17 || packet_get16(p + 2) != 4789)
		return NULL;
	inner = wrong_ip(p + 30, len - 30);
	return inner;
}

static const char *wrong_ip(const uint8_t *p, uint32_t len)
{
	struct addresses a;
	unsigned proto;
	uint32_t th;

	if (p[0] >> 4 == 4) {
		th = (p[0] & 15u) * 4;
		if (packet_get16(p + 2) != len)
			return "IPv4 length";
		if (packet_sum(p, th, 0) != 0xffff)
			return "IPv4 checksum";
		if ((packet_get16(p + 6) & 0x3fff) != 0)
			return NULL;
		proto = p[9];
		a.src = p + 12;
		a.dst = p + 16;
		return wrong_transport(p + th, len - th, &a, 4, proto);
	}
	if (p[0] >> 4 != 6)
		return "IP version";
	if (packet_get16(p + 4) != len - 40)
		return "IPv6 length";
	th = walk6(p, &a, &proto);
	return th == 0 ? NULL : wrong_transport(p + th, len - th, &a, 16, proto);
}

const char *packet_wrong(uint8_t *b, uint32_t len, const struct vdev_net_offload *o)
{
	uint32_t nh = 12;

	if (o->gso_type != 0 || (o->flags & ~VDEV_NET_NEEDS_CSUM) != 0)
		return "offloads";
	if (o->flags != 0) {
		uint16_t sum = (uint16_t)~packet_sum(b + o->csum_start, len - o->csum_start, 0);

		packet_put16(b + o->csum_start + o->csum_offset, sum != 0 ? sum : 0xffff);
	}
	while (packet_get16(b + nh) == 0x8100 || packet_get16(b + nh) == 0x88a8)
		nh += 4;
	return wrong_ip(b + nh + 2, len - nh - 2);
}
