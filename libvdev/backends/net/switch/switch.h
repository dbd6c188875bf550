/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch from inside. A sender's thread goes: gate, decide.c (read the header, find the receiver), deliver.c (build what
 * leaves, give it to the receiver's sink), gate. Everything it looks at in other ports is guarded by its gate.
 */
#ifndef LIBVDEV_NET_SWITCH_H
#define LIBVDEV_NET_SWITCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vdev/net_switch.h>

#include "gate.h"
#include "give.h"
#include "libvdev/net/frame.h"
#include "limit.h"

enum {
	LINE = 64,
	WAYS = 4,                  /* addresses of a bucket: one cache line */
	HEADER = 18,               /* addresses, a tag, a type */
	UNTAGGED = 14,             /* without the tag */
	TICK_SHIFT = 28,           /* a tick of the table's clock is 2^28 ns */
	POOL = FRAME_PIECES + 128, /* pieces of what is delivered at once */
	TRIES_ONE = 6,             /* for a busy receiver, before the frames are given back */
	TRIES_MANY = 16,           /* before they are dropped for one of many */
	PORTS_MAX = 1024,
	ADDRESSES_MAX = 1 << 20,
	VLAN_TYPE = 0x8100
};

/* --- table.c: which address lies where ---------------------------------------- */

/*
 * Written under the table's lock, read without. The value of an entry in use changes in one store; an entry is taken for
 * another address by showing it empty first, with the next version. So who finds the same value before and after reading
 * the key has a pair that belonged together.
 */
struct entry {
	uint64_t key;   /* address << 16 | VLAN */
	uint64_t value; /* see below; 0 in a new table */
};

#define VALUE_PORT    UINT64_C(0x0fff)
#define VALUE_STATIC  UINT64_C(0x1000)
#define VALUE_LIVE    UINT64_C(0x2000)
#define VALUE_VERSION UINT64_C(0xffffc000)
enum { VERSION_SHIFT = 14, SEEN_SHIFT = 32 };
/* All of it but when the address was last seen. */
#define VALUE_FACTS UINT64_C(0xffffffff)

struct table {
	struct entry *entries;
	void *memory;
	size_t bytes;
	uint32_t mask;   /* of buckets */
	uint32_t ageing; /* ticks; 0: there is no clock */
	uint64_t seed;
	uint32_t *learned; /* of each port; written under the lock */
	size_t learned_bytes;
	uint32_t lock __attribute__((aligned(LINE))); /* senders only try it */
	uint32_t swept;                               /* tick of the last look for aged ones */
	uint32_t sweep_at;                            /* bucket */
};

/* An entry that was found, and what it said then. */
struct found {
	struct entry *entry; /* NULL: none */
	uint64_t value;
};

enum learn_result { LEARN_KNOWN, LEARN_NEW, LEARN_MOVED, LEARN_REFUSED, LEARN_BUSY, LEARN_STATIC };

static inline unsigned value_port(uint64_t value)
{
	return (unsigned)(value & VALUE_PORT);
}

/* Without a clock there is but one tick. */
static inline int value_aged(const struct table *t, uint64_t value, uint32_t tick)
{
	int32_t age = (int32_t)(tick - (uint32_t)(value >> SEEN_SHIFT));

	return (value & VALUE_STATIC) == 0 && age > 0 && (uint32_t)age > t->ageing;
}

/* Whether what was found for this key still holds. Versions come again, after 2^18 other addresses. */
static inline int found_holds(const struct table *t, const struct found *f, uint64_t key,
                              uint32_t tick)
{
	uint64_t value;

	if (f->entry == NULL)
		return 0;
	value = load_acquire(&f->entry->value);
	return ((value ^ f->value) & VALUE_FACTS) == 0 && load_acquire(&f->entry->key) == key &&
	       !value_aged(t, value, tick);
}

int table_init(struct table *t, const struct vdev_env *env, uint32_t addresses, uint32_t ports,
               uint32_t ageing_ms, uint64_t seed);
void table_free(struct table *t, const struct vdev_env *env);
/* Aged ones are not found. */
struct found table_find(const struct table *t, uint64_t key, uint32_t tick);
/*
 * The address was seen at port, which may hold so many (0: any number). *f: the entry, unless it was refused. When somebody else
 * writes, nothing is done: the next frame will do.
 */
enum learn_result table_learn(struct table *t, uint64_t key, unsigned port, uint32_t most,
                              uint32_t tick, struct found *f);
/* Note that it was seen, at most once a tick. */
void table_seen(struct entry *e, uint32_t tick);
/* Forget some aged ones, when it is time to. */
void table_sweep(struct table *t, uint32_t tick);
/* Control. VIRTQ_EBUSY, VIRTQ_ENOSPC */
int table_add_static(struct table *t, struct gates *gs, uint64_t key, unsigned port);
int table_remove_static(struct table *t, struct gates *gs, uint64_t key, unsigned port);
/* Forget what was learned at port (-1: at all), with statics too. */
void table_purge(struct table *t, struct gates *gs, int port, int statics);

/* --- switch.c, port.c ------------------------------------------------------------ */

/* Indices into counters; the public struct is an array of them. */
#define COUNTER(name) (offsetof(struct vdev_switch_counters, name) / sizeof(uint64_t))
enum { COUNTERS = sizeof(struct vdev_switch_counters) / sizeof(uint64_t) };

struct rate {
	uint64_t frame_time; /* of one; 0: no limit */
	uint64_t frames_burst;
	uint64_t bytes_per_s;
	uint64_t bytes_burst;
};

enum storm { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, STORMS };

/* A port's configuration; replaced as a whole. */
struct port_conf {
	uint32_t flags;
	uint16_t mode;
	uint16_t vlan; /* access: its own; trunk: native; plain: 0 */
	uint32_t mtu;
	uint32_t max_learned;
	uint32_t limits_in, limits_out; /* whether there are any */
	struct rate in, out;
	struct rate storm[STORMS];
	uint32_t vlans[4096 / 32]; /* allowed, tagged or not */
};

struct switch_port {
	struct vdev_netif netif;           /* first */
	struct vdev_netif_channel receive; /* on which nothing ever comes */
	void *memory;
	struct vdev_switch *sw;
	unsigned slot;
	struct port_conf *conf;           /* guarded */
	const struct vdev_net_sink *sink; /* guarded */
	uint32_t up;
	uint32_t mtu; /* these for info, which looks at nothing that is guarded */
	uint32_t speed;
	uint64_t mac;              /* address << 16, or 0 */
	struct channel *channels;  /* under the gates' lock */
	uint64_t closed[COUNTERS]; /* of channels that are gone, likewise */
	struct {
		struct bucket frames, bytes;
	} in __attribute__((aligned(LINE))), out __attribute__((aligned(LINE)));
	struct bucket storm[STORMS];
	/* of what leaves, by all senders */
	uint64_t counters[COUNTERS] __attribute__((aligned(LINE)));
};

struct vdev_switch {
	void *memory;
	struct vdev_env env;
	struct gates gates;
	struct table table;
	uint32_t nports;            /* slots that there are */
	uint32_t used;              /* slots below which all ports are; guarded, grows */
	struct switch_port **ports; /* by slot, guarded */
	uint8_t *taken;             /* slots, under the gates' lock */
};

/* --- a sending channel -------------------------------------------------------------- */

enum fate { FATE_DROP, FATE_ONE, FATE_MANY };

/* What was decided about a frame. */
struct verdict {
	struct switch_port *to; /* FATE_ONE */
	uint16_t vlan;          /* 0: of plain ports */
	uint16_t tag;           /* 802.1Q tag control information, without the VLAN */
	uint8_t fate;
	uint8_t reason;    /* counter of a dropped one */
	uint8_t header;    /* bytes in front: 14, or 18 with a tag that counts */
	uint8_t storm;     /* FATE_MANY: enum storm */
	uint8_t charged;   /* its port's limit was charged */
	uint8_t same;      /* addresses and type are those of the frame before */
	uint8_t changed;   /* bytes are no longer what came */
	uint8_t dropped;   /* on the way out: counter, or 0 */
	uint32_t payload;  /* bytes behind header and tags */
	uint8_t bytes[20]; /* the header */
};

struct channel {
	struct vdev_netif_channel channel; /* first */
	void *memory;
	struct gate gate __attribute__((aligned(LINE)));
	struct switch_port *port;
	struct channel *next; /* of the port */
	uint32_t flow;
	uint32_t steady; /* VDEV_SWITCH_STEADY of its port */
	uint32_t tick;
	uint64_t now;              /* in the limits' unit */
	uint64_t src_key, dst_key; /* of the last frame */
	struct found src, dst;
	uint64_t counters[COUNTERS];
	uint32_t nout;
	uint32_t pieces;               /* of pool in use */
	uint32_t from[VDEV_NET_BURST]; /* which frame became out[i] */
	struct verdict verdicts[VDEV_NET_BURST];
	struct vdev_frame out[VDEV_NET_BURST];
	uint8_t headers[VDEV_NET_BURST][20];
	struct virtq_iov pool[POOL];
};

static inline int conf_has_vlan(const struct port_conf *conf, unsigned vlan)
{
	return (conf->vlans[vlan / 32] >> vlan % 32 & 1) != 0;
}

/* Six bytes in the upper part of a number, as in a key. */
static inline uint64_t mac_key(const uint8_t *p)
{
	return (uint64_t)net_get_be32(p) << 32 | (uint64_t)net_get_be16(p + 4) << 16;
}

static inline int type_is_tag(unsigned type)
{
	return type == VLAN_TYPE || type == 0x88a8 || type == 0x9100;
}

/* Whether a frame that is longer than an MTU will be when it has been segmented. */
int beyond_mtu_gso(const struct vdev_frame *f, uint32_t payload, uint32_t mtu);

/* Whether a frame would be longer than an MTU where it ends up; payload without tags. */
static inline int beyond_mtu(const struct vdev_frame *f, uint32_t payload, uint32_t mtu)
{
	/* ECN alone says nothing. */
	return mtu != 0 && payload > mtu &&
	       ((f->offload.gso_type & ~(unsigned)VDEV_NET_GSO_ECN) == VDEV_NET_GSO_NONE ||
	        beyond_mtu_gso(f, payload, mtu));
}

/* Take one frame of so many bytes from a limit's buckets. */
int rate_take(const struct rate *r, struct bucket *frames, struct bucket *bytes, uint64_t now,
              uint32_t len);
void rate_give_back(const struct rate *r, struct bucket *frames, struct bucket *bytes,
                    uint32_t len);
/*
 * What becomes of a frame. before: the verdict on the one before it in the same burst, or NULL.
 */
void decide(struct channel *c, const struct port_conf *conf, const struct vdev_frame *f,
            struct verdict *v, const struct verdict *before);
uint32_t switch_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                     uint32_t n);
/* Cleared memory that begins a cache line; what to free, or NULL. */
void *switch_alloc(const struct vdev_env *env, size_t bytes, void **aligned);
/* A netif that is a port of a switch, or NULL. */
struct switch_port *switch_port_of(struct vdev_netif *n);
/* Check a configuration and make one of it that senders use. */
int conf_new(struct vdev_switch *s, const struct vdev_switch_port_config *cfg,
             struct port_conf **out);

#endif
