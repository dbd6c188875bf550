/* SPDX-License-Identifier: BSD-3-Clause */
/* Two network devices joined by a cable or a switch, and what the drivers of both know of it. */
#ifndef TESTS_FUZZ_NET_DATA_H
#define TESTS_FUZZ_NET_DATA_H

#include <vdev/loopback.h>
#include <vdev/model.h>
#include <vdev/net.h>

#include "fuzz.h"
#include "libvdev/net/adapt.h"
#include "libvdev/net/hash.h"

enum {
	MEMORY = 1 << 20,
	STORE = 1 << 21, /* bytes of frames that are sent, in all */
	QUEUE = 128,     /* of the largest queue */
	RX_PIECES = 4,
	HEADER = NET_HDR_TUNNEL
};

/* A frame as its driver made it available. */
struct tx {
	uint32_t at, len; /* in the store */
	int valid;        /* it is to be sent, rather than dropped */
	struct vdev_net_offload offload;
};

/* A buffer that a driver gave to receive into. */
struct rx {
	struct virtq_iov piece[RX_PIECES]; /* base: in memory */
	uint32_t n;
	uint64_t bytes;
};

/* A device, the driver of it, and its netif, which looks at what is sent. */
struct side {
	struct vdev_netif netif; /* first */
	struct vdev_netif_channel channel;
	struct vdev_netif *real;
	struct vdev_netif_channel *to; /* real's */
	const struct vdev_net_sink *sink;
	struct side *peer;
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *mem, *shadow; /* what memory should hold */
	uint64_t gpa;
	uint32_t size;  /* of its queues: longer chains break them */
	uint32_t at;    /* bytes of memory that are in use */
	uint32_t store; /* of the frames' store, where this side's end */
	uint8_t *frames;
	/* What was negotiated and set. */
	uint32_t hdr, takes, negotiated, longest, types;
	uint64_t settable; /* bits of the command that the driver may set */
	int mergeable, controls;
	/* Transmission: from first to end, modulo QUEUE. */
	struct tx tx[QUEUE];
	uint32_t tx_first, tx_end;
	uint32_t out;  /* chains that have not come back */
	uint32_t take; /* frames that the netif takes in a call */
	/* Reception, likewise. */
	struct rx rx[QUEUE];
	uint32_t rx_first, rx_end;
	struct virtq_done used[QUEUE]; /* taken off the ring, and not looked at */
	uint32_t used_first, used_end;
	int spoilt; /* one of them will break the queue, and what was put into others may be lost */
	/* What the device should have counted. */
	uint64_t sent, malformed, received;
	int uncounted; /* a queue broke, nobody knows how far it came */
};

struct rig {
	struct side side[2];
	struct vdev_switch *sw;
	struct vdev_env env;
	int clock;
	int changes; /* drivers change frames while they are under way */
	int unsure;  /* addresses were such that a switch may lose frames */
	uint64_t now;
};

extern struct rig rig;

/* The netif between a device and the real one. */
extern const struct vdev_netif_ops shim_ops;

/* What was negotiated, as the model sees it. After a start. */
void model_start(struct side *s);
/* The driver switched these offloads on (bits of the command). */
void model_offloads(struct side *s, uint64_t bits);
/* Whether what a header says may be sent by s. */
int model_may_send(const struct side *s, const struct vdev_frame *f);
/* Of what came out of a queue that broke, or was reset, nothing is known. */
void model_forget(struct side *s);
/* A key that hashes are made with. */
extern const uint8_t model_key[NET_HASH_KEY];
void model_init(void);

#endif
