/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-net's control queue: commands of any bytes or of a likely form, frames in between, and saved states. Each command is
 * answered; one that is refused has changed nothing; what was set can be saved, and what was saved loaded; a frame
 * comes out of a queue that is in use, whole, or of none.
 */
#include <string.h>

#include <vdev/loopback.h>

#include "fake_netif.h"
#include "fuzz.h"
#include "libvdev/devices/net/net.h"

enum {
	MEMORY = 1 << 20,
	GPA = 0x40000000,
	QUEUE = 64,
	ROOM = 600,
	STATE = 8192,
	SLOT = 256,
	OPS = 64
};

struct rig {
	struct fake_netif netif;
	struct vdev *v;
	struct vdev_loopback *l;
	uint32_t pairs, hdr;
};

static uint8_t memory[MEMORY];
static uint8_t state[STATE], again[STATE];

static size_t save(struct rig *r, uint8_t *to)
{
	struct vdev_writer w = {.buf = to, .cap = STATE};

	HOLDS(net_save(vdev_model_of(r->v, &net_model_ops), &w) == 0);
	return w.len;
}

static int load(struct rig *r, const uint8_t *from, size_t len)
{
	struct vdev_reader in = {.buf = from, .len = len};

	return net_load(vdev_model_of(r->v, &net_model_ops), &in, 1, 0);
}

static void unchanged(struct rig *r, size_t len)
{
	HOLDS(save(r, again) == len && memcmp(state, again, len) == 0);
}

/* A receive buffer of queue q, in a slot of memory behind what commands use. */
static void give(struct rig *r, unsigned q, unsigned slot)
{
	struct virtq_seg seg = {.len = SLOT};
	uint64_t bytes;

	(void)vdev_loopback_memory(r->l, &seg.addr, &bytes);
	seg.addr += 4096 + (uint64_t)slot * SLOT;
	HOLDS(virtq_drv_add(vdev_loopback_drv(r->l, 2 * q), &seg, 0, 1,
	                    (void *)(uintptr_t)(slot + 1)) == 0);
	virtq_drv_publish(vdev_loopback_drv(r->l, 2 * q));
}

static void start(struct rig *r, struct input *in)
{
	static const uint8_t some[] = {
		VDEV_NET_F_CTRL_VQ,      VDEV_NET_F_CTRL_RX,        VDEV_NET_F_CTRL_RX_EXTRA,
		VDEV_NET_F_CTRL_VLAN,    VDEV_NET_F_CTRL_MAC_ADDR,  VDEV_NET_F_CTRL_GUEST_OFFLOADS,
		VDEV_NET_F_DEVICE_STATS, VDEV_NET_F_GUEST_ANNOUNCE, VDEV_NET_F_NOTF_COAL,
		VDEV_NET_F_VQ_NOTF_COAL, VDEV_NET_F_GUEST_CSUM,     VDEV_NET_F_MQ,
		VDEV_NET_F_RSS,          VDEV_NET_F_RSS_CONTEXT,    VDEV_NET_F_HASH_REPORT,
		VDEV_NET_F_HASH_TUNNEL};
	struct vdev_net_config net = {.size = sizeof(net), .mac = {2, 0, 0, 0, 0, 1}};
	struct vdev_loopback_config cfg = {.size = sizeof(cfg),
	                                   .memory = memory,
	                                   .bytes = sizeof(memory),
	                                   .gpa = GPA,
	                                   .queue_size = QUEUE};
	unsigned without = take16(in), how = take8(in);

	memset(r, 0, sizeof(*r));
	fake_netif_init(&r->netif, 0);
	net.pairs = 1 + how % 8;
	for (size_t i = 0; i < sizeof(some); i++)
		if (i == 0 || !(without >> i & 1))
			virtq_features_set(&cfg.wanted, some[i]);
	virtq_features_set(&cfg.wanted, VDEV_NET_F_MAC);
	if (how & 0x80)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	HOLDS(vdev_net_new(&r->v, vdev_env_hosted(), &r->netif.netif, &net) == 0);
	HOLDS(vdev_loopback_new(&r->l, vdev_env_hosted(), r->v, &cfg) == 0);
	if (vdev_loopback_start(r->l) < 0)
		return; /* features that don't go together */
	r->pairs = vdev_has(r->v, VDEV_NET_F_MQ) || vdev_has(r->v, VDEV_NET_F_RSS) ? net.pairs : 1;
	r->hdr = vdev_has(r->v, VDEV_NET_F_HASH_REPORT) ? NET_HDR_HASH : NET_HDR_PLAIN;
	for (unsigned q = 0; q < r->pairs; q++)
		give(r, q, q);
}

/* The likely form of a configuration with a table; returns its bytes. */
static uint32_t table(struct input *in, uint8_t *to, uint32_t pairs)
{
	uint32_t entries = 1u << take8(in) % 9, key = (uint32_t)take8(in) % 44, at = 8;

	net_put_le32(to, take16(in) % 512);
	net_put_le16(to + 4, (uint16_t)(entries - 1));
	net_put_le16(to + 6, (uint16_t)(take8(in) % (pairs + 1)));
	for (uint32_t i = 0; i < entries; i++, at += 2)
		net_put_le16(to + at, (uint16_t)(take8(in) % (take8(in) < 250 ? pairs : pairs + 1)));
	net_put_le16(to + at, (uint16_t)(1 + take8(in) % pairs));
	to[at + 2] = (uint8_t)key;
	memset(to + at + 3, (int)key, key);
	return at + 3 + key;
}

static void command(struct rig *r, struct input *in)
{
	static uint8_t out[2 + 2048], reply[1 + ROOM];
	unsigned how = take8(in);
	uint32_t len = 0, room = how & 0x40 ? (uint32_t)take16(in) % ROOM : 0;
	size_t before = save(r, state);
	int64_t got;

	out[0] = take8(in) % 11;
	out[1] = take8(in) % 5;
	if ((how & 3) == 0) {
		len = table(in, out + 2, r->pairs);
	} else if ((how & 3) == 1) {
		net_put_le16(out + 2, (uint16_t)(1 + take8(in) % 9));
		memset(out + 4, 0, 6);
		len = 8 + table(in, out + 10, r->pairs);
	} else {
		len = (uint32_t)take8(in) % ((how & 3) == 2 ? 16 : 200);
		for (uint32_t i = 0; i < len; i++)
			out[2 + i] = take8(in);
	}
	reply[0] = 0xff;
	got = vdev_loopback_request(r->l, 2 * r->pairs, out, 2 + len, reply, 1 + room);
	HOLDS(got >= 1 && got <= 1 + (int64_t)room && reply[0] <= NET_ERR);
	if (reply[0] == NET_ERR) {
		HOLDS(got == 1);
		unchanged(r, before);
	}
}

static void frame(struct rig *r, struct input *in)
{
	uint8_t bytes[64] = {0}, *mem;
	struct virtq_iov iov = {.base = bytes, .len = sizeof(bytes)};
	struct vdev_frame f = {.iov = &iov, .niov = 1, .len = sizeof(bytes)};
	struct virtq_done done;
	unsigned arrived = 0;
	uint64_t room;

	for (size_t i = 0; i < 6; i++)
		bytes[i] = take8(in);
	bytes[12] = take8(in) & 1 ? 0x81 : 8;
	bytes[14] = 0x45;
	bytes[17] = 50;
	bytes[23] = take8(in) & 1 ? 6 : 17;
	bytes[29] = take8(in);
	bytes[35] = take8(in);
	HOLDS(r->netif.sink->deliver(r->netif.sink->ctx, &f, 1, 0) == 1);
	mem = vdev_loopback_memory(r->l, NULL, &room);
	for (unsigned q = 0; q < r->pairs; q++) {
		while (virtq_drv_take(vdev_loopback_drv(r->l, 2 * q), &done, 1) == 1) {
			unsigned slot = (unsigned)(uintptr_t)done.cookie - 1;
			const uint8_t *at = mem + 4096 + slot * SLOT;

			HOLDS(slot == q && done.written == r->hdr + sizeof(bytes));
			HOLDS(memcmp(at + r->hdr, bytes, sizeof(bytes)) == 0);
			HOLDS(at[NET_HDR_NUM_BUFFERS] == 1);
			arrived++;
			give(r, q, slot);
		}
	}
	HOLDS(arrived <= 1);
}

/* A state as it was saved, and one that is spoiled or of any bytes. */
static void states(struct rig *r, struct input *in)
{
	static uint8_t bad[STATE];
	size_t len = save(r, state);
	unsigned changes = take8(in) % 8;

	HOLDS(load(r, state, len) == 0);
	unchanged(r, len);
	memcpy(bad, state, len);
	for (unsigned i = 0; i < changes; i++)
		bad[take16(in) % len] = take8(in);
	(void)load(r, bad, len - take8(in) % 4);
	unchanged(r, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct rig r;

	start(&r, &in);
	for (int i = 0; r.pairs != 0 && i < OPS && !input_end(&in); i++) {
		unsigned op = take8(&in) % 8;

		if (op < 5)
			command(&r, &in);
		else if (op < 7)
			frame(&r, &in);
		else
			states(&r, &in);
	}
	if (r.pairs != 0)
		HOLDS((vdev_status(r.v) & VIRTQ_STATUS_NEEDS_RESET) == 0);
	vdev_loopback_free(r.l);
	HOLDS(vdev_free(r.v) == 0);
	fake_netif_clear(&r.netif);
	return 0;
}
