/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net's data path: two devices joined by a cable or a switch. Drivers send chains in every shape with headers of
 * any content, and give buffers of any shape; both negotiate what they like. What arrives is checked against a model
 * (net_data_model.c); what the driver did not give, or what is behind a used length, does not change.
 */
#include <string.h>

#include <vdev/net_switch.h>
#include <vdev/netif_pair.h>

#include "net_data.h"
#include "net_packet.h"

enum {
	GPA = 0x40000000,
	CONTROL = 4096, /* bytes of memory for commands, behind the rings */
	INDIRECT = 16,
	TX_PIECES = 40,
	OPS = 48,
	BURST = 20
};

enum how { HOW_SWITCH = 1, HOW_NO_CLOCK = 2, HOW_CHANGES = 4, HOW_ANY = 8 };

struct rig rig;

static uint8_t memory[2][MEMORY], shadow[2][MEMORY], store[2][STORE];
static struct packet packet;

static uint64_t now(void *ctx)
{
	(void)ctx;
	return rig.now += 100;
}

/* Features a side may do without, a bit of the input each. */
static const uint8_t features[] = {VDEV_NET_F_CSUM,
                                   VDEV_NET_F_HOST_TSO4,
                                   VDEV_NET_F_HOST_TSO6,
                                   VDEV_NET_F_HOST_ECN,
                                   VDEV_NET_F_HOST_UFO,
                                   VDEV_NET_F_HOST_USO,
                                   VDEV_NET_F_HOST_UDP_TUNNEL_GSO,
                                   VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM,
                                   VDEV_NET_F_GUEST_CSUM,
                                   VDEV_NET_F_GUEST_TSO4,
                                   VDEV_NET_F_GUEST_TSO6,
                                   VDEV_NET_F_GUEST_ECN,
                                   VDEV_NET_F_GUEST_UFO,
                                   VDEV_NET_F_GUEST_USO4,
                                   VDEV_NET_F_GUEST_USO6,
                                   VDEV_NET_F_GUEST_UDP_TUNNEL_GSO,
                                   VDEV_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM,
                                   VDEV_NET_F_MRG_RXBUF,
                                   VDEV_NET_F_HASH_REPORT,
                                   VDEV_NET_F_CTRL_VQ,
                                   VIRTQ_F_INDIRECT_DESC,
                                   VIRTQ_F_EVENT_IDX,
                                   VIRTQ_F_IN_ORDER,
                                   VIRTQ_F_RING_PACKED};

static void start(struct side *s)
{
	uint64_t bytes;

	HOLDS(vdev_loopback_start(s->l) == 0);
	while (vdev_run(s->v, 0) != 0) /* queues begin when their owner comes */
		;
	model_start(s);
	if (s->at == 0)
		s->at = (uint32_t)((uint8_t *)vdev_loopback_memory(s->l, NULL, &bytes) - s->mem) + CONTROL;
}

static void side_new(unsigned i, struct input *in)
{
	struct side *s = &rig.side[i];
	struct vdev_net_config net = {.size = sizeof(net), .mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)}};
	struct vdev_loopback_config cfg = {.size = sizeof(cfg),
	                                   .memory = memory[i],
	                                   .bytes = MEMORY,
	                                   .gpa = GPA,
	                                   .indirect_max = INDIRECT};
	uint32_t without = take32(in);
	unsigned mtu = take8(in);

	s->netif.ops = &shim_ops;
	s->peer = &rig.side[1 - i];
	s->mem = memory[i];
	s->shadow = shadow[i];
	s->frames = store[i];
	s->gpa = GPA;
	s->take = UINT32_MAX;
	cfg.queue_size = (uint16_t)(4u << ((without >> 24) % 6));
	s->size = cfg.queue_size;
	if (mtu >= 128) {
		net.mtu = (uint16_t)(68 + (mtu - 128) * 50);
		virtq_features_set(&cfg.wanted, VDEV_NET_F_MTU);
	}
	for (size_t k = 0; k < sizeof(features); k++)
		if ((without >> k & 1) == 0)
			virtq_features_set(&cfg.wanted, features[k]);
	if (without >> 31 == 0)
		virtq_features_set(&cfg.wanted, VDEV_NET_F_RSC_EXT);
	virtq_features_set(&cfg.wanted, VDEV_NET_F_CTRL_GUEST_OFFLOADS);
	HOLDS(vdev_net_new(&s->v, &rig.env, &s->netif, &net) == 0);
	HOLDS(vdev_loopback_new(&s->l, vdev_env_hosted(), s->v, &cfg) == 0);
	start(s);
}

static void rig_new(struct input *in)
{
	struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 64, .ports = 2, .seed = 7};
	struct vdev_netif *ends[2];
	unsigned how = take8(in);

	for (unsigned i = 0; i < 2; i++) {
		memset(memory[i], 0, rig.side[i].at);
		memset(shadow[i], 0, rig.side[i].at);
	}
	memset(&rig, 0, sizeof(rig));
	model_init();
	rig.env = *vdev_env_hosted();
	rig.clock = (how & HOW_NO_CLOCK) == 0;
	rig.env.now = rig.clock ? now : NULL;
	if ((how & HOW_CHANGES) != 0)
		rig.changes = 1 + (int)(how >> 4);
	if ((how & HOW_SWITCH) != 0) {
		HOLDS(vdev_switch_new(&rig.sw, &rig.env, &cfg) == 0);
		HOLDS(vdev_switch_port_new(&ends[0], rig.sw, NULL) == 0);
		HOLDS(vdev_switch_port_new(&ends[1], rig.sw, NULL) == 0);
		rig.unsure = rig.changes != 0;
	} else {
		HOLDS(vdev_netif_pair_new(ends, &rig.env) == 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		rig.side[i].real = ends[i];
		side_new(i, in);
	}
}

static void check_memory(const struct side *s)
{
	uint64_t bytes;
	uint8_t *data = vdev_loopback_memory(s->l, NULL, &bytes);
	size_t from = (size_t)(data - s->mem) + CONTROL;

	HOLDS(memcmp(s->mem + from, s->shadow + from, s->at - from) == 0);
	HOLDS(memcmp(s->mem + s->at, s->shadow + s->at, MEMORY - s->at < 256 ? MEMORY - s->at : 256) ==
	      0);
}

static void rig_end(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (rig.side[i].spoilt)
			model_forget(&rig.side[i]);
	for (unsigned i = 0; i < 2; i++) {
		struct side *s = &rig.side[i];
		struct vdev_net_counters c;

		vdev_net_counters(s->v, &c);
		HOLDS((s->uncounted | s->peer->uncounted) ||
		      (c.sent == s->sent && c.malformed == s->malformed && c.received == s->received));
		check_memory(s);
		vdev_loopback_free(s->l);
		HOLDS(s->to == NULL);
	}
	for (unsigned i = 0; i < 2; i++) {
		HOLDS(vdev_free(rig.side[i].v) == 0);
		vdev_netif_free(rig.side[i].real);
	}
	HOLDS(vdev_switch_free(rig.sw) == 0);
}

/* Room for len bytes of memory, with a few before it that are nobody's. 0: there is none. */
static uint32_t room(struct side *s, uint32_t len, unsigned gap)
{
	uint32_t at = s->at + gap;

	if (len > MEMORY - 256 || at > MEMORY - 256 - len)
		return 0;
	s->at = at + len;
	return at;
}

/* A piece that no device can use: outside of memory, or across its end. */
static struct virtq_seg impossible(struct input *in)
{
	static const struct virtq_seg bad[] = {{GPA - 64, 64},
	                                       {GPA + MEMORY, 64},
	                                       {GPA + MEMORY - 32, 64},
	                                       {GPA - 1, 64},
	                                       {UINT64_MAX - 31, 64},
	                                       {UINT64_MAX - 63, 64},
	                                       {GPA + MEMORY - 32, UINT32_MAX - MEMORY}};

	return bad[take8(in) % (sizeof(bad) / sizeof(bad[0]))];
}

/* The bytes of header and frame, divided; returns how many pieces, 0: there is no room. */
static uint32_t divide(struct side *s, struct input *in, const uint8_t *bytes, uint32_t len,
                       struct virtq_seg *seg)
{
	unsigned shape = take8(in);
	uint32_t n = 0, most = 1 + shape % TX_PIECES, at = 0;
	struct rng rng;

	rng_seed(&rng, shape >= 128 ? take16(in) : shape);
	while (at < len && n < TX_PIECES) {
		uint32_t part = len - at, where;

		if (n == 0 && shape < 80 && most > 1 && part > s->hdr)
			part = s->hdr;
		else if (n + 1 < most)
			part = 1 + rng_below(&rng, rng_one_in(&rng, 3) ? 8 : 2 * (len - at) / (most - n) + 1);
		part = part < len - at ? part : len - at;
		where = room(s, part, rng_below(&rng, 4));
		if (where == 0)
			return 0;
		memcpy(s->mem + where, bytes + at, part);
		memcpy(s->shadow + where, bytes + at, part);
		seg[n++] = (struct virtq_seg){GPA + where, part};
		at += part;
	}
	return n;
}

/* A frame in packet, with what is left to be done to it. Addresses are such that it goes to the other side. */
static void make_frame(struct side *s, struct input *in, unsigned kind)
{
	struct packet_spec spec;
	struct rng rng;
	uint32_t longest = (kind & 1) != 0 ? 65000 : 1500;

	rng_seed(&rng, take16(in));
	if ((kind & 2) != 0) {
		packet.len = VDEV_NET_ETH + rng_below(&rng, (kind & 4) != 0 ? 65600 : 200);
		memset(&packet.offload, 0, sizeof(packet.offload));
		for (uint32_t i = 0; i < packet.len; i++)
			packet.b[i] = (uint8_t)(i * 29 + kind);
	} else {
		packet_random_spec(&spec, &rng, longest);
		if ((kind & 4) != 0) {
			spec.gso = 0;
			spec.outer = 0;
			spec.needs_csum = kind >> 3 & 1;
			spec.payload %= 1500;
		}
		packet_make(&packet, &spec);
	}
	memset(packet.b, 0, 12);
	packet.b[0] = packet.b[6] = 2;
	packet.b[5] = (uint8_t)(1 + (s->peer - rig.side));
	packet.b[11] = (uint8_t)(1 + (s - rig.side));
}

/* Spoil offloads and headers here and there. */
static void spoil(struct input *in, unsigned changes)
{
	for (unsigned i = 0; i < changes; i++) {
		uint32_t at = take8(in);

		if (at < 16)
			((uint8_t *)&packet.offload)[at % sizeof(packet.offload)] = take8(in);
		else
			packet.b[at - 16] ^= take8(in);
		if (at >= 16 && at < 28 && rig.sw != NULL)
			rig.unsure = 1;
	}
}

/* Header and frame as they lie in memory; returns the bytes. */
static uint32_t put_frame(const struct side *s, struct input *in, uint8_t *to)
{
	const struct vdev_net_offload *o = &packet.offload;
	const uint16_t words[5] = {o->hdr_len, o->gso_size, o->csum_start, o->csum_offset, take8(in)};

	memset(to, 0xee, HEADER);
	to[0] = o->flags;
	to[1] = o->gso_type;
	for (unsigned i = 0; i < 5; i++)
		net_put_le16(to + 2 + 2 * i, words[i]);
	if (s->hdr == 24) {
		net_put_le16(to + 20, o->outer_th);
		net_put_le16(to + 22, o->inner_nh);
	}
	memcpy(to + s->hdr, packet.b, packet.len);
	return s->hdr + packet.len;
}

/* Note what becomes of a frame of these bytes, header and all. 0: the store is full. */
static int note(struct side *s, const uint8_t *bytes, uint32_t len)
{
	struct tx *tx = &s->tx[s->tx_end % QUEUE];
	struct vdev_frame f = {.len = len < s->hdr ? 0 : len - s->hdr};

	if (len >= s->hdr && f.len > STORE - s->store)
		return 0;
	*tx = (struct tx){.at = s->store, .len = f.len};
	s->tx_end++;
	if (f.len < VDEV_NET_ETH || f.len > VDEV_NET_MAX_FRAME)
		return 1;
	memcpy(s->frames + s->store, bytes + s->hdr, f.len);
	s->store += f.len;
	f.offload = packet.offload;
	f.offload.flags &= VDEV_NET_NEEDS_CSUM | VDEV_NET_UDP_TUNNEL_CSUM;
	if (s->hdr < 24 || !(f.offload.gso_type & VDEV_NET_GSO_TUNNEL))
		f.offload.outer_th = f.offload.inner_nh = 0;
	if (f.offload.flags == 0 && f.offload.gso_type == 0)
		memset(&f.offload, 0, sizeof(f.offload));
	tx->offload = f.offload;
	/* In a tunnel a sum can't be said to be valid. */
	tx->valid = model_may_send(s, &f) && !(f.offload.gso_type & VDEV_NET_GSO_TUNNEL &&
	                                       packet.offload.flags & VDEV_NET_DATA_VALID);
	return 1;
}

/* Make one chain available. Returns 0 when there is no room for any. */
static int transmit(struct side *s, struct input *in)
{
	static uint8_t bytes[HEADER + sizeof(packet.b) + 256];
	struct virtq_drv *drv = vdev_loopback_drv(s->l, 1);
	struct virtq_seg seg[TX_PIECES + 2];
	unsigned kind = take8(in), evil = 0;
	uint32_t len, n, writable = 0, end = s->tx_end, stored = s->store;
	int rc;

	if (s->tx_end - s->tx_first == QUEUE)
		return 0;
	make_frame(s, in, kind);
	if ((kind & 0x40) != 0)
		spoil(in, 1 + take8(in) % 6);
	len = put_frame(s, in, bytes);
	if ((kind & 0xa0) == 0xa0) { /* cut short, or too long */
		unsigned cut = take8(in);

		len = cut < 128 ? cut : (uint32_t)(s->hdr + VDEV_NET_MAX_FRAME + cut - 131);
	}
	n = divide(s, in, bytes, len, seg);
	if (n == 0 && len != 0)
		return 0;
	if ((kind & 0x90) == 0x90) {
		unsigned how = take8(in);

		if (how >= 240) {
			evil = 1;
			seg[n++] = impossible(in);
		} else if (how >= 200) { /* nothing, which means nothing */
			seg[n++] = (struct virtq_seg){(uint64_t)how << (how - 200), 0};
		} else if (how < 128) { /* a writable piece, which stays as it is */
			seg[n].addr = GPA + room(s, 1 + how, 0);
			seg[n].len = 1 + how;
			writable = seg[n].addr != GPA;
		}
	}
	if (!evil && n + writable <= s->size && !note(s, bytes, len))
		return 0;
	rc = virtq_drv_add(drv, seg, n, writable, s);
	if (rc < 0) {
		s->tx_end = end;
		s->store = stored;
		return 0;
	}
	s->out++;
	return 1;
}

/* Give a buffer to receive into. */
static int give(struct side *s, struct input *in)
{
	struct virtq_drv *drv = vdev_loopback_drv(s->l, 0);
	struct virtq_seg seg[1 + RX_PIECES];
	unsigned shape = take8(in);
	uint32_t n = 1 + (shape & 3), nread = (shape & 0x1c) == 0x1c, len, at;
	struct rx *rx = &s->rx[s->rx_end % QUEUE];

	if (s->rx_end - s->rx_first == QUEUE)
		return 0;
	*rx = (struct rx){.n = n};
	if (nread) /* what a driver must not do, and what nobody looks at */
		seg[0] = (struct virtq_seg){GPA, 64};
	for (uint32_t i = 0; i < n; i++) {
		len = shape < 0x80 ? 1u << (5 + (shape >> 5) * 3)
		                   : (uint32_t)take8(in) * (shape < 0xc0 ? 1 : 280);
		at = room(s, len, i);
		if (at == 0)
			return 0;
		memset(s->mem + at, 0xa5, len);
		memset(s->shadow + at, 0xa5, len);
		rx->piece[i] = (struct virtq_iov){s->mem + at, len};
		rx->bytes += len;
		seg[nread + i] = (struct virtq_seg){GPA + at, len};
	}
	if (shape == 0xff)
		seg[nread + n - 1] = impossible(in);
	if (virtq_drv_add(drv, seg, nread, n, rx) < 0)
		return 0;
	s->spoilt |= shape == 0xff || nread + n > s->size;
	s->rx_end++;
	virtq_drv_publish(drv);
	return 1;
}

/* Back to the beginning, as a driver does that lost its way. */
static void restart(struct side *s)
{
	model_forget(s);
	start(s);
}

/* Let both devices do what there is to do, and take back what was sent. */
static void settle(void)
{
	unsigned runs = 0;

	rig.now += 1000000;
	while ((vdev_run(rig.side[0].v, 0) | vdev_run(rig.side[1].v, 0)) != 0)
		HOLDS(++runs < 1000);
	for (unsigned i = 0; i < 2; i++) {
		struct side *s = &rig.side[i];
		struct virtq_done done;

		if (vdev_queue_broken(s->v, 0) || vdev_queue_broken(s->v, 1)) {
			HOLDS((vdev_status(s->v) & VIRTQ_STATUS_NEEDS_RESET) != 0);
			restart(s);
			continue;
		}
		HOLDS((vdev_status(s->v) & VIRTQ_STATUS_NEEDS_RESET) == 0);
		while (virtq_drv_take(vdev_loopback_drv(s->l, 1), &done, 1) == 1) {
			HOLDS(done.written == 0 && s->out > 0);
			s->out--;
		}
		if (s->take != UINT32_MAX && rig.clock)
			continue;
		HOLDS(s->out == 0);
		for (; s->tx_first != s->tx_end; s->tx_first++) {
			HOLDS(!s->tx[s->tx_first % QUEUE].valid);
			s->malformed++;
		}
	}
}

/* Offloads on and off, by a command that may say what was not negotiated; hashes on and off. */
static void command(struct side *s, struct input *in)
{
	uint8_t out[2 + 13 + NET_HASH_KEY] = {5}, status = 0xff;
	uint64_t bits = take16(in) | (uint64_t)take8(in) << 40 | (uint64_t)take8(in) << 48;
	uint32_t types = take16(in);

	if (!s->controls)
		return;
	bits |= (uint64_t)(types >> 15) << VDEV_NET_F_RSC_EXT;
	types &= 0x1ff;
	if ((bits & 1) == 0) {
		for (unsigned i = 0; i < 8; i++)
			out[2 + i] = (uint8_t)(bits >> 8 * i);
		HOLDS(vdev_loopback_request(s->l, 2, out, 10, &status, 1) == 1);
		HOLDS(status == ((bits & ~s->settable) != 0));
		if (status == 0)
			model_offloads(s, bits);
		return;
	}
	if (!vdev_has(s->v, VDEV_NET_F_HASH_REPORT))
		return;
	out[0] = 4;
	out[1] = 2;
	net_put_le16(out + 2, (uint16_t)types);
	out[14] = NET_HASH_KEY;
	memcpy(out + 15, model_key, NET_HASH_KEY);
	HOLDS(vdev_loopback_request(s->l, 2, out, 15 + NET_HASH_KEY, &status, 1) == 1 && status == 0);
	s->types = types;
}

static void operate(struct input *in)
{
	unsigned op = take8(in);
	struct side *s = &rig.side[op >> 7];
	uint32_t n = 1 + (op >> 3 & 15) % BURST;

	switch (op & 7) {
	case 0:
	case 1:
	case 2:
		while (n-- > 0 && transmit(s, in))
			;
		vdev_loopback_kick(s->l, 1);
		break;
	case 3:
	case 4:
		while (n-- > 0 && give(s, in))
			;
		break;
	case 5:
		command(s, in);
		break;
	case 6:
		s->take = n < 4 ? n - 1 : UINT32_MAX;
		if (s->take == UINT32_MAX)
			s->sink->writable(s->sink->ctx);
		break;
	default:
		if (n == 1)
			restart(s);
		break;
	}
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	rig_new(&in);
	for (int i = 0; i < OPS && !input_end(&in); i++)
		operate(&in);
	for (unsigned i = 0; i < 2; i++)
		rig.side[i].take = UINT32_MAX;
	settle();
	settle();
	rig_end();
	return 0;
}
