/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the virtio core.
 *
 * Who touches what: fields of a queue marked "owner" belong to its owner thread (without an owner: to whoever calls),
 * those marked "control" to the thread that makes control calls, and the rest is atomic. Control asks owners
 * for things by setting bits in posted; the owner takes them over into todo and answers with ack().
 */
#ifndef VDEV_CORE_VIRTIO_H
#define VDEV_CORE_VIRTIO_H

#include <vdev/model.h>

#include "../function/internal.h"
#include "../util.h"

/* What is asked of a queue's owner. */
enum post {
	POST_START = 1 << 0,
	POST_WAKE = 1 << 1,
	POST_SET_MEM = 1 << 2,
	POST_INVALIDATE = 1 << 5, /* waits for what was popped before it, while more is popped */
	/* These wait until nothing is out, and until they have ended nothing is popped: */
	POST_QUIESCE = 1 << 3,
	POST_SUSPEND = 1 << 4,
	/* and these end the queue: */
	POST_STOP = 1 << 6,
	POST_QUEUE_RESET = 1 << 7,
	POST_RESET = 1 << 8,
	POST_KILL = 1 << 9, /* by the owner itself: the ring is gone, the queue stays there, broken */
	/* By the owner itself: the ring is to be let go of; and then until it has been found again. */
	POST_UNMAP = 1 << 10,
	POST_REMAP = 1 << 11,
	POST_COALESCE = 1 << 12,  /* take new settings over */
	TODO_COALESCES = 1 << 13, /* not asked for: notifications may be held back, see coalesce.c */

	POST_CANCELS = POST_QUEUE_RESET | POST_RESET,
	POST_ENDS = POST_STOP | POST_CANCELS | POST_KILL,
	POST_DRAINS = POST_QUIESCE | POST_SUSPEND | POST_UNMAP | POST_ENDS,
	POST_HOLDS = POST_DRAINS | POST_REMAP /* nothing is popped */
};

/* Operations of the whole device that queues answer. */
enum fan { FAN_RESET, FAN_QUIESCE, FAN_SUSPEND, FAN_SET_MEM, FAN_INVALIDATE, FAN_COUNT };

enum {
	RUN_BURSTS = 8,    /* bursts of one vdev_queue_run() */
	RUN_ROUNDS = 128,  /* rounds of a kick that is served in the call */
	XLAT_ENTRIES = 64, /* cached translations of a queue */
	MAX_QUEUES = 4096,
	MAX_CONFIG = 4096
};

/* Whether a queue is enabled, and, not 0, served. */
enum enabled { QUEUE_HELD, QUEUE_ENABLED, QUEUE_DISABLED };

/* Whether the driver is asked for notifications. A fresh ring asks; one that goes on may have been left without. */
enum armed { DISARMED, ARMED, ARMED_PERHAPS };

struct counters {
	uint64_t requests;
	uint64_t read_bytes;
	uint64_t written_bytes;
	uint64_t kicks;
	uint64_t interrupts;
	uint64_t errors;
	uint64_t faults;
	uint64_t bursts;
	uint64_t discarded_bytes;
};

/* Notifications held back, see coalesce.c. */
struct coalesce {
	uint32_t packets; /* used entries at most, 0: none is held back */
	uint8_t pending;  /* one is held back */
	uint8_t told;     /* the owner knows */
	uint64_t ns;
	uint64_t base;  /* count of requests at the last notification */
	uint64_t since; /* with pending: when it was held back first */
	uint64_t due;   /* and when it is sent at the latest */
	uint64_t timer; /* when the owner runs by itself; written by it alone */
	/* As asked for, under the device's lock. */
	uint32_t set_packets;
	uint64_t set_ns;
};

struct vdev_queue {
	/* Shared: other threads write here. */
	uint32_t posted;
	uint32_t asked;  /* operations of the queue alone that are not answered yet */
	uintptr_t kicks; /* by vdev_queue_kick(), any thread */
	uint8_t started;
	uint8_t enabled; /* enum enabled */
	uint8_t broken;
	uint8_t asking;          /* it may wait for a translation, unless told since */
	struct vdev_owner owner; /* control, while not started */
	uint8_t owned;
	uint8_t disabled; /* constant: enum enabled, when it is not */
	uint8_t shared;   /* constant: others than the owner may be inside, see vdev_queue_enter() */
	uint32_t entered; /* shared: somebody is */
	uint32_t wakers;  /* threads that are waking the owner: it stays until they have */

	/* Owner, on the path of requests. */
	_Alignas(64) struct vdev *v;
	const struct vdev_model_ops *ops;
	void *model;
	void *priv;
	struct virtq_iov *iov;
	uint32_t niov;
	uint32_t nburst; /* chains that process() is looking at; 0 outside of it */
	uint32_t ndone;  /* the first of them that are completed and not pushed yet */
	uint32_t todo;
	uint8_t live; /* ring and model's queue are set up */
	uint8_t running;
	uint8_t again;
	uint8_t stalled; /* the model did not take all */
	uint8_t armed;   /* enum armed */
	uint8_t arming;  /* the run is one with VDEV_RUN_ARM */
	uint8_t pushed;  /* something is to be published */
	uint8_t waiting; /* pop waits for a translation */
	uint8_t supply;  /* chains are taken by the model, see vdev_queue_supply() */
	uint8_t plain;   /* see vdev_queue_buffers() */
	uint8_t has_state;
	uint8_t lost;  /* the ring has gone before the queue was stopped, and its position with it */
	uint32_t sync; /* posts whose end the call itself reports */
	uint32_t index;
	struct counters n;
	struct virtq_dev vq;
	uint32_t written[VDEV_BURST];
	struct virtq_chain chains[VDEV_BURST];
	struct virtq_buffer buffers[VDEV_BUFFERS];

	/* Owner, now and then. */
	struct coalesce coalesce;
	struct vdev_queue_setup setup;
	struct virtq_state state; /* position of a stopped queue */
	struct virtq_mem *start_mem;
	void *scratch;
	size_t scratch_bytes;
	void *track; /* while requests in flight are noted */
	size_t track_bytes;
	struct virtq_xlat *xlat_cache;
	struct virtq_xlat_ops xlat; /* the device's, for this queue */
};

struct vdev {
	struct vdev_function fn;         /* first */
	struct vdev_function_ops fn_ops; /* the core's, with the model's name */
	struct vdev_model_ops ops;
	const struct vdev_model_ops *ops_given;
	void *model;
	uint32_t nqueues;
	uint16_t queue_max;
	uint32_t max_chain;
	struct virtq_features model_features;
	struct virtq_features withheld;
	struct virtq_features accepted; /* as the driver writes it */
	struct virtq_features features; /* latched with FEATURES_OK */
	struct virtq_xlat_ops xlat;
	int has_xlat;

	uint32_t lock; /* guards left, config and settings of queues; never held over a callback */
	uint32_t left[FAN_COUNT];
	uint32_t status;           /* atomic */
	uint32_t open;             /* atomic: queues may be served */
	uint32_t quiesce;          /* control: asked for and not resumed yet */
	uint32_t suspend;          /* control: likewise */
	uint32_t start_on_resume;  /* control: a running state was loaded */
	struct virtq_mem *new_mem; /* control, for owners while SET_MEM is pending */
	struct virtq_mem *old_mem;
	uint64_t invalid_iova;
	uint64_t invalid_len;

	uint32_t config_len;
	uint32_t generation;
	uint32_t suspended; /* the driver sees shown instead of config */
	uint32_t notify_held;
	uint8_t *config;
	uint8_t *shown;
	uint8_t *initial;
	uint8_t *mask;

	void *allocation;
	size_t allocation_bytes;
	struct vdev_queue *queues;
};

static inline struct vdev *vdev_of(struct vdev_function *fn)
{
	return (struct vdev *)fn;
}

static inline int status_has(const struct vdev *v, uint32_t bits)
{
	return (load_acquire(&v->status) & bits) == bits;
}

static inline void queue_set_enabled(struct vdev_queue *q, int on)
{
	store_release(&q->enabled, on ? QUEUE_ENABLED : q->disabled);
}

/* features.c */
extern const struct virtq_features core_features;
int features_acceptable(const struct vdev *v, const struct virtq_features *f);

/* status.c */
void gate_update(struct vdev *v);
void status_suspended(struct vdev *v);
void status_reset(struct vdev *v);

/* config.c */
void config_notify(struct vdev *v);
void config_suspend(struct vdev *v);
void config_release(struct vdev *v);
void config_reset(struct vdev *v);

/* control.c */
void post(struct vdev_queue *q, uint32_t bits);
void ack(struct vdev_queue *q, uint32_t bits);
int core_reset(struct vdev_function *fn);
int core_quiesce(struct vdev_function *fn);
int core_resume(struct vdev_function *fn);
int core_set_mem(struct vdev_function *fn, struct virtq_mem *mem);
int suspend_begin(struct vdev *v);
void wake_all(struct vdev *v);
int fan_pending(struct vdev *v, enum fan op);
void fan_begin(struct vdev *v, enum fan op);
int fan_out(struct vdev *v, enum fan op);

/* queue.c */
int queue_begin(struct vdev_queue *q);
void queue_take_posted(struct vdev_queue *q);
void queue_finish(struct vdev_queue *q);
void queue_end(struct vdev_queue *q, uint32_t why);
int queue_ring_in(const struct virtq_state *s, int packed, const struct virtq_mem *mem);
int queue_ring_ok(const struct vdev *v, const struct virtq_state *s, const struct virtq_mem *mem);
void queue_broke(struct vdev_queue *q, const char *why);
int queue_replays(const struct vdev_queue *q);

/* xlat.c */
int queue_translated(const struct vdev_queue *q);
void queue_xlat(struct vdev_queue *q, struct virtq_dev_config *cfg);
void queue_invalidate(struct vdev_queue *q);
void queue_unmap(struct vdev_queue *q);
void queue_remap(struct vdev_queue *q);

/* coalesce.c */
int coalesce_holds(struct vdev_queue *q);
void coalesce_check(struct vdev_queue *q);
void coalesce_send(struct vdev_queue *q);
void coalesce_timer(struct vdev_queue *q);
int coalesce_untold(struct vdev_queue *q);
void coalesce_take(struct vdev_queue *q);
void coalesce_begin(struct vdev_queue *q);
void coalesce_reset(struct vdev_queue *q);

/* run.c */
int queue_wake_owner(struct vdev_queue *q);
void queue_flush(struct vdev_queue *q);
void queue_notify(struct vdev_queue *q);
void queue_service(struct vdev_queue *q);
void queue_serve_inline(struct vdev_queue *q);
int queue_may_serve(struct vdev_queue *q);
int queue_hold(struct vdev_queue *q);
void queue_let_go(struct vdev_queue *q);

/* state.c, load.c */
enum { SECTION_PARTS = 1, SECTION_RINGS = 2, SECTION_CONFIG = 3, SECTION_MODEL = 4 };
enum {
	PART_DEV_FEATURES = 0x100,
	PART_DRV_FEATURES = 0x101,
	PART_DEVICE_STATUS = 0x103,
	PART_VQ_CFG = 0x104,
	PART_OPTIONAL = 1,
	PART_HEADER_BYTES = 16,
	PART_FEATURES_BYTES = 16,
	PART_VQ_CFG_BYTES = 32
};
enum { RING_ENABLED = 1, RING_BROKEN = 2, RING_USED_LOG = 4 };
enum { CONFIG_SUSPENDED = 1, CONFIG_NOTIFY = 2 };

struct loaded_queue {
	struct vdev_queue_setup setup;
	uint16_t flags; /* RING_* */
	uint8_t cfg;    /* a VQ_CFG part came */
	uint8_t ring;   /* its ring positions came */
};

/* A saved state, read and not yet taken. Pointers lead into the stream's bytes. */
struct loaded {
	uint32_t sections; /* bits of those that came */
	uint32_t parts;    /* likewise, by the low bits of their types */
	struct virtq_features accepted;
	uint8_t status;
	uint32_t generation;
	uint16_t config_flags;
	const uint8_t *config;
	const uint8_t *shown;
	struct vdev_reader model;
	uint32_t model_version;
	struct loaded_queue *queues;
};
int load_parse(struct vdev *v, struct vdev_reader *r, struct loaded *l);
int core_save(struct vdev_function *fn, struct vdev_writer *w);
int core_load(struct vdev_function *fn, struct vdev_reader *r, uint32_t version, int apply);

/* Account for n requests that ended. */
static inline void queue_counted(struct vdev_queue *q, uint32_t n, const struct vdev_done *sum)
{
	count(&q->n.requests, n);
	count(&q->n.read_bytes, sum->read_bytes);
	count(&q->n.written_bytes, sum->written_bytes);
	if (unlikely(sum->error != 0))
		count(&q->n.errors, sum->error);
}

/* There is work: no more notifications are needed until the queue is armed again. */
static inline void queue_disarm(struct vdev_queue *q)
{
	if (unlikely(q->armed)) {
		q->armed = 0;
		virtq_dev_disarm(&q->vq);
	}
}

static inline void core_log(const struct vdev *v, int level, int error, int queue, int head,
                            uint64_t value, const char *text)
{
	vdev_function_log_entry(&v->fn, level, error, queue, head, value, "core", text);
}

#endif
