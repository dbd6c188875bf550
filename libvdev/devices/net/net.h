/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside virtio-net (section 5.1).
 *
 * A transmit queue is served by its owner: chains become frames that lie where the driver put them, and the netif takes
 * them in the call. A receive queue is a supply of buffers (vdev_queue_supply()): its owner fills them where the netif is
 * one to be asked, and any thread does where the netif pushes, having entered the queue.
 */
#ifndef LIBVDEV_DEVICES_NET_H
#define LIBVDEV_DEVICES_NET_H

#include <stdint.h>
#include <string.h>

#include <vdev/model.h>
#include <vdev/net.h>

#include "../../net/adapt.h"
#include "../../net/frame.h"
#include "settings.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
	NET_PAIRS = 64,
	NET_QUEUE_MAX = 1024,
	NET_HDR_MAX = NET_HDR_TUNNEL,
	NET_PIECES = 128, /* pieces of a burst that are copied, at least */
	NET_RX_CHAINS =
		320, /* buffers that are taken at a time, at most: several of the longest frames' */
	NET_RETRY_NS = 20000, /* until frames that the netif did not take are offered again */
	NET_FLOWS = 1024,     /* flows whose queue is remembered */
	NET_CONFIG = 28
};

#define NET_NO_CTRL UINT32_MAX

/* Places in the configuration space (5.1.4). */
enum net_config_at {
	NET_AT_MAC = 0,
	NET_AT_STATUS = 6,
	NET_AT_PAIRS = 8,
	NET_AT_MTU = 10,
	NET_AT_SPEED = 12,
	NET_AT_DUPLEX = 16,
	NET_AT_KEY_MAX = 17,
	NET_AT_TABLE_MAX = 18,
	NET_AT_HASH_TYPES = 20,
	NET_AT_TUNNEL_TYPES = 24
};

enum { NET_S_LINK_UP = 1, NET_S_ANNOUNCE = 2 };

/* What became of frames. Each has one writer at a time: whoever is in the queue. */
struct net_rx_count {
	uint64_t frames, bytes;
	uint64_t no_buffers, too_short, oversized, unfit, filtered;
	uint64_t segmented, summed;
	uint64_t valid, needs_csum, gso, gso_bytes;
};

struct net_tx_count {
	uint64_t frames, bytes;
	uint64_t malformed, discarded, lost;
	uint64_t needs_csum, gso, gso_bytes;
};

struct net_device;

/* A receive queue that is started. Of whoever is in it. */
struct net_rxq {
	struct net_device *n;
	struct vdev_queue *q;
	struct net_rx_count *count;
	struct vdev_netif_channel *channel; /* of a netif that is asked, else NULL */
	uint32_t hdr;                       /* bytes of struct virtio_net_hdr */
	uint32_t negotiated;                /* enum vdev_net_takes: what the driver negotiated */
	uint32_t takes;                     /* and of it has left on */
	const struct net_settings *s;       /* see docs/adr/0017 */
	struct virtq_features has;          /* negotiated */
	uint32_t longest;                   /* bytes of a frame without tags that is no GSO, at most */
	uint8_t mergeable;
	uint8_t flags;   /* of the header, that the driver may see */
	uint8_t filters; /* the driver does not want all frames */
	uint8_t hashes;  /* and is told their hashes */
	uint8_t starved; /* frames wait for buffers */
	uint8_t over;    /* there will be no frames from channel any more */
	uint8_t closed;  /* the last time buffers were asked for, the queue was not being served */
	uint32_t first, npending;
	struct vdev_frame
		*pending; /* VDEV_NET_BURST of them, from channel: [first, first + npending) are left */
	uint32_t nchains, niov; /* room */
	struct virtq_chain *chains;
	uint32_t *written;
	struct virtq_iov *iov;
	struct frame_adapt *adapt;
	size_t bytes; /* of this allocation */
};

/* A transmit queue that is started. Its owner's. */
struct net_txq {
	struct net_device *n;
	struct vdev_queue *q;
	struct net_tx_count *count;
	struct vdev_netif_channel *channel;
	uint32_t (*send)(struct vdev_netif_channel *, const struct vdev_frame *, uint32_t);
	uint32_t hdr;
	uint32_t may; /* enum vdev_net_takes: what the driver negotiated to leave to be done */
	uint64_t deadline;
	uint8_t
		offloaded; /* among frames that were made is one to which something is left to be done */
	struct vdev_frame frames[VDEV_BUFFERS];
	uint32_t niov; /* room */
	struct virtq_iov *iov;
	size_t bytes; /* of this allocation */
};

struct net_device {
	struct vdev *v;
	struct vdev_env env;
	struct vdev_netif *netif;
	struct vdev_net_sink sink;
	uint32_t pairs;
	uint32_t own_netif;
	uint64_t not_ready;        /* atomic */
	uint8_t mac[VDEV_NET_MAC]; /* as made */
	uint32_t ctrl;        /* atomic: index of the control queue that was started, or NET_NO_CTRL */
	uint32_t status;      /* atomic: NET_S_*, as it should be shown */
	uint32_t rarp_lock;   /* guards rarp */
	uint32_t rarp_wanted; /* atomic: queue 1 is to send one */
	uint8_t rarp[VDEV_NET_MAC];
	uint32_t
		current; /* atomic: the copy of the settings that is shown; the control queue's owner writes */
	uint32_t spread;          /* atomic: receive queues that frames are spread over */
	uint32_t steers;          /* atomic: by the driver's table */
	uint8_t flows[NET_FLOWS]; /* atomic, each: the pair where a flow goes out, and 1 */
	uint8_t coal_restored[NET_VQS];
	uint8_t roles[NET_VQS + 1]; /* enum net_role, of queues that are started, by index */
	struct net_coalescing coal;
	struct net_settings settings[2];
	struct vdev_queue **rx;        /* atomic: queues that were ever started, by pair */
	struct vdev_queue **tx;        /* likewise */
	struct net_rx_count *rx_count; /* by pair */
	struct net_tx_count *tx_count;
	size_t bytes; /* of this allocation */
};

extern const struct vdev_model_ops net_model_ops;

/* net.c */
void net_show_link(struct net_device *n);

/* queue.c */
int net_queue_start(void *model, struct vdev_queue *q);
void net_queue_end(void *model, struct vdev_queue *q);
/* driver: 0: there is none. */
void net_tell_takes(struct net_device *n, int driver);

/* tx.c */
uint32_t net_process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                     uint32_t n);
uint32_t net_process_buffers(void *model, struct vdev_queue *q, const struct virtq_buffer *b,
                             uint32_t n, struct vdev_done *sum);
uint64_t net_deadline(void *model, struct vdev_queue *q);
void net_writable(void *ctx);
int net_tx_poll(struct vdev_queue *q);

/* rx.c */
/* Give frames to the driver, in the order they came; whoever calls is in the queue. Returns how many are dealt with. */
uint32_t net_rx_fill(struct net_rxq *r, const struct vdev_frame *frames, uint32_t n);
uint32_t net_deliver(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow);
int net_poll(void *model, struct vdev_queue *q);
int net_arm(void *model, struct vdev_queue *q);
int net_fd(void *model, struct vdev_queue *q);

/* What was set or negotiated has changed; whoever calls is in the queue. */
void net_rx_settings(struct net_rxq *r);

/* ctrl.c */
uint32_t net_ctrl_process(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n);
int net_ctrl_poll(struct vdev_queue *q);
int net_ctrl_busy(struct vdev_queue *q);
int net_ctrl_start(struct net_device *n, struct vdev_queue *q);
void net_ctrl_end(struct net_device *n, struct vdev_queue *q);
void net_ctrl_reset(struct net_device *n);
void net_limits(const struct net_device *n, struct net_limits *l);
void net_coalesce_start(struct net_device *n, struct vdev_queue *q);
void net_status(struct net_device *n, uint32_t set, uint32_t clear);
void net_spread(struct net_device *n);
void net_spread_begin(struct net_device *n, unsigned pair);

void net_lock(struct net_device *n);
void net_unlock(struct net_device *n);

/* state.c */
int net_save(void *model, struct vdev_writer *w);
int net_load(void *model, struct vdev_reader *r, uint32_t version, int do_apply);
void net_started(void *model);

/* steer.c */
/* These frames went out of that pair's queue. */
void net_learn(struct net_device *n, unsigned pair, const struct vdev_frame *frames,
               uint32_t count);
unsigned net_steer(const struct net_device *n, const struct net_settings *s,
                   const struct vdev_frame *f);
/*
 * Frames to where they belong, from inside of one receive queue; what finds no buffers there is lost. Returns how many are
 * dealt with: fewer, where somebody is in another queue.
 */
uint32_t net_rx_spread(struct net_rxq *home, const struct vdev_frame *frames, uint32_t count);
/* Whether frames from the channel of r itself, which a netif spread by its own lights, may be for others. */
int net_poll_spreads(const struct net_rxq *r);
/* Frames for the receive queue of one pair, from outside of it. 0: somebody is in it; 1: they are dealt with. */
int net_deliver_to(struct net_device *n, unsigned pair, const struct vdev_frame *frames,
                   uint32_t count);
/* As net_deliver(), to more than one queue. */
uint32_t net_deliver_spread(struct net_device *n, const struct vdev_frame *frames, uint32_t count);

/* The settings as last shown. */
static inline const struct net_settings *net_settings_of(const struct net_device *n)
{
	return &n->settings[__atomic_load_n(&n->current, __ATOMIC_ACQUIRE)];
}

/* Whether frames may have to go to several queues. */
static inline int net_spreads(const struct net_device *n)
{
	return __atomic_load_n(&n->spread, __ATOMIC_RELAXED) > 1 ||
	       __atomic_load_n(&n->steers, __ATOMIC_RELAXED);
}

/* Counters with one writer and any readers; as in the core, halves of two values may be seen on 32-bit machines. @{ */
static inline void net_count(uint64_t *counter, uint64_t n)
{
#if __SIZEOF_POINTER__ >= 8
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
#else
	*(volatile uint64_t *)counter += n;
#endif
}

static inline uint64_t net_counted(const uint64_t *counter)
{
#if __SIZEOF_POINTER__ >= 8
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
#else
	return *(const volatile uint64_t *)counter;
#endif
}
/* @} */

/* What was read of guest memory stays as it was read: the compiler may not read it again. */
#define net_fix(x) __asm__ volatile("" : "+r"(x))

/* What a queue is to the driver, from its start on. */
enum net_role { NET_RX, NET_TX, NET_CTRL, NET_NONE };
static inline enum net_role net_role(const struct net_device *n, const struct vdev_queue *q)
{
	return (enum net_role)n->roles[vdev_queue_index(q)];
}

/* Queue pairs that the driver may use, by what it accepted. */
uint32_t net_pairs(const struct net_device *n);

#endif
