/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the vhost-user back-end.
 *
 * Everything here belongs to the control thread, except for what is marked "any": that is read or written by queue
 * owners too, in the callbacks of the attachment. Owners never see a descriptor that control may close: theirs are
 * slots, descriptor numbers that live as long as the back-end and are pointed elsewhere by the kernel (dup3).
 */
#ifndef VDEV_VHOST_USER_VU_H
#define VDEV_VHOST_USER_VU_H

#include <pthread.h>
#include <string.h>

#include <vdev/vhost_user.h>
#include <virtq/inflight.h>

#include "../../os/os.h"
#include "iotlb_cache.h"
#include "wire.h"

/* The message being received or carried out: a private copy, read once. */
struct vu_message {
	struct vu_header h;
	__extension__ union {
		uint64_t u64;
		struct vu_vring_state state;
		struct vu_vring_addr addr;
		struct vu_mem_table table;
		struct vu_mem_reg reg;
		struct vu_log_desc log;
		struct vu_inflight inflight;
		struct vu_config config;
		struct vu_iotlb iotlb;
		uint8_t bytes[VU_MAX_PAYLOAD];
	};
	size_t have; /* bytes received, header included */
	int fds[VU_MAX_FDS];
	unsigned nfds;
	const struct vu_entry *entry;
};

/* What epoll tells about. */
enum vu_source_kind { VU_LISTENER, VU_CONNECTION, VU_WAKE, VU_BACKEND, VU_KICK, VU_PORT };
struct vu_source {
	enum vu_source_kind kind;
	struct vu_ring *ring;
};

/* How a vring's notifications leave. any: atomic. */
enum vu_notify { VU_NOTIFY_NONE, VU_NOTIFY_FD };

/* A descriptor number that owners may write to at any time. */
struct vu_slot {
	int fd;
	uint32_t set; /* any: enum vu_notify */
};

struct vu_ring {
	struct vdev_vhost_user *vu;
	unsigned index;
	struct vdev_port *port;
	struct vdev_task task; /* the port's */
	struct vu_source kick_source;
	struct vu_source port_source;
	struct vu_vring_addr addr;
	uint32_t num;
	uint32_t base; /* as SET_VRING_BASE has it */
	int has_num;
	int has_addr;
	int has_base;
	int enabled;
	int kicked;        /* it may start as soon as all is known */
	int started;       /* the core's queue is */
	int ran;           /* it was, at some time in this connection */
	int over;          /* it was, when the device status became 0 */
	int kick_fd;       /* or -1 */
	int watched;       /* kick_fd is in our epoll */
	int hot;           /* its port has more to do or is not armed, where we serve it */
	uint64_t used_log; /* while started */
	uint32_t polled;   /* any: no kicks will come, look all the time */
	struct vu_slot call;
	struct vu_slot err;
	uint32_t call_due; /* any: to be told over the back-end channel */
	uint32_t err_due;  /* any */
};

/* A place in the table of what is mapped; empty when ws is NULL. */
struct vu_windows;
struct vu_window {
	struct vu_windows *ws;
	uint32_t i;
};

/* A mapped region, shared by the table and by snapshots. */
struct vu_region {
	uint32_t refs; /* any: atomic */
	struct vdev_env env;
	struct vu_region_desc d;
	struct vdev_os_map map;
	struct vu_window window;
	void *host;
	uint64_t dev, ino; /* its file */
	uint32_t again;    /* times it was added besides the first */
};

/* The guest's log, mapped. */
struct vu_log {
	struct vdev_os_map map;
	struct vu_window window;
	struct virtq_dirty dirty;
	uint64_t bytes;
};

/* The area in which requests in flight are noted; map.addr is NULL when there is none. */
struct vu_area {
	struct vdev_os_map map;
	struct vu_window window;
	uint16_t queues;
	uint16_t entries; /* of each ring */
};

/* The channel for our requests. One of those with an answer, and a number of misses, are out at a time. */
enum { VU_ASKED = 16 };
struct vu_channel {
	pthread_mutex_t lock;
	int fd;
	int unanswered;           /* a request is out whose answer we wait for */
	int stuck;                /* the socket is full; epoll watches for room */
	uint8_t misses[VU_ASKED]; /* that are to be acknowledged, in turn */
	unsigned nmisses;
	unsigned before; /* of them, before the request */
	uint8_t in[20];
	size_t have;
	uint32_t config_due; /* any */
};

/* A translation that a queue wants and the front-end has not told. */
enum vu_miss_state {
	VU_MISS_FREE,
	VU_MISS_DUE,      /* to be asked for */
	VU_MISS_SENT,     /* asked for */
	VU_MISS_DONE,     /* known, or not wanted any more; the acknowledgement is still to come */
	VU_MISS_ANSWERED, /* acknowledged; what was sent before that is to be read yet */
	VU_MISS_PROMISED, /* acknowledged well, and not known: it is to come */
	VU_MISS_REFUSED   /* there is none: told to the first that asks again */
};
struct vu_miss {
	uint64_t iova;
	uint8_t write;
	uint8_t no;    /* the acknowledgement was one of failure */
	uint8_t state; /* enum vu_miss_state */
};
enum { VU_MISSES = 64, VU_NO_MISS = VU_MISSES };

/* Translated addresses. The lock guards all of it, and is taken inside of the channel's. */
struct vu_tlb {
	pthread_mutex_t lock;
	struct vu_cache cache;
	struct vu_miss misses[VU_MISSES];
	struct vu_iotlb denied; /* an access that was mapped, but not allowed */
	int denied_due;
	uint32_t answered; /* some miss was acknowledged */
	struct vdev_vhost_user_iotlb n;
};

struct vdev_vhost_user;
/* Goes on when a control operation has ended. 0, < 0 or VIRTQ_EAGAIN as handlers. */
typedef int (*vu_then)(struct vdev_vhost_user *vu, int rc);

struct vdev_vhost_user {
	struct vdev_env env;
	struct vdev *v;
	struct vdev_function *fn;
	struct vdev_vhost_user_config cfg;
	char *path;
	size_t path_bytes;
	size_t bytes;
	int ep;
	int wake;
	int dummy;   /* what slots point to when they are not set */
	int reserve; /* given up where a front-end can't be accepted for lack of one; or -1 */
	int listener;
	int fd;      /* the connection, or -1 */
	int watched; /* fd is in our epoll */
	int closing;
	int over;      /* there will be no further connection */
	uint32_t idle; /* runs since epoll was asked, while busy polling */
	struct vu_source listener_source, connection_source, wake_source, backend_source;

	struct vu_message m;
	uint8_t reply[VU_MAX_PAYLOAD];
	size_t reply_len;
	int reply_fd; /* goes with the reply, and is closed; or -1 */
	const char *why;

	/* The control operation that is waited for. */
	vu_then then;
	vu_then stopped; /* after vu_stop_all() */
	vu_then reset;   /* after vu_reset() */
	unsigned next;
	int expect_op; /* any */
	unsigned expect_queue;
	uint32_t ended; /* any: 1 when it has, with this result: */
	int result;

	uint64_t offered;
	uint64_t protocol_offered;
	uint64_t protocol; /* any */
	uint64_t features; /* as SET_FEATURES said, the device's part */
	int has_features;
	int protocol_acked; /* bit 30 */
	int log_all;
	struct virtq_features last; /* of the last ring that started */
	int any_ring;
	int warned;

	struct vu_region **regions; /* sorted by guest address */
	struct vu_region **spare;   /* room for the next table */
	unsigned nregions;
	unsigned max_regions;
	struct vu_windows *windows; /* any: a signal handler reads it */
	uint32_t shrunk;            /* any: memory was missing where some is mapped */

	struct vu_log *log;
	struct vu_log *old_log;
	struct vu_slot log_call;
	struct vdev_os_bell bell; /* any: for all that the front-end holds */
	uint32_t log_on;          /* any */

	struct vu_area area;
	uint8_t *renewed; /* a region that is new again once the answer has been sent, or NULL */
	_Alignas(8) uint8_t renewed_head[VIRTQ_INFLIGHT_HEAD]; /* what it said */
	struct vu_tlb tlb;
	struct vu_channel channel;
	unsigned nrings;
	struct vu_ring rings[];
};

/* What a message may look like and when it may come. */
struct vu_entry {
	int (*handle)(struct vdev_vhost_user *vu, struct vu_message *m);
	uint16_t min; /* payload, bytes */
	uint16_t max;
	uint8_t min_fds;
	uint8_t max_fds;
	uint8_t kind; /* enum vu_kind */
	int8_t needs; /* bit of the protocol features, or -1 */
	uint8_t when; /* enum vu_when */
};
enum vu_kind {
	VU_PLAIN,
	VU_REPLIES,   /* has an answer of its own */
	VU_FD_BY_FLAG /* one descriptor, none with VU_NOFD */
};
enum vu_when {
	VU_ANY_TIME,
	VU_RING_STOPPED, /* the ring of the payload does not run */
	VU_ALL_STOPPED   /* no ring runs */
};

static inline int vu_has(const struct vdev_vhost_user *vu, unsigned bit)
{
	return (__atomic_load_n(&vu->protocol, __ATOMIC_RELAXED) >> bit & 1) != 0;
}

/* Addresses of rings and buffers are the front-end's IOMMU's. */
static inline int vu_translated(const struct vdev_vhost_user *vu)
{
	return (vu->features >> VIRTQ_F_ACCESS_PLATFORM & 1) != 0;
}

/* Refuse a message: its handler returns this. Without somebody who waits for an answer the connection ends. */
static inline int vu_refuse(struct vdev_vhost_user *vu, const char *why)
{
	vu->why = why;
	return VIRTQ_EPROTO;
}

/* table.c */
const struct vu_entry *vu_find(uint32_t request);
int vu_check(struct vdev_vhost_user *vu, const struct vu_entry *e, const struct vu_message *m);
void vu_dispatch(struct vdev_vhost_user *vu);
void vu_finish(struct vdev_vhost_user *vu, int rc);

/* socket.c */
void vu_watch(struct vdev_vhost_user *vu, int on);
int vu_poll_add(struct vdev_vhost_user *vu, int fd, uint32_t events, struct vu_source *s);
void vu_poll_set(struct vdev_vhost_user *vu, int fd, uint32_t events, struct vu_source *s);
void vu_poll_del(struct vdev_vhost_user *vu, int fd);
void vu_receive(struct vdev_vhost_user *vu);
int vu_send(struct vdev_vhost_user *vu, const void *payload, size_t len);
void vu_drop_fds(struct vu_message *m);
int vu_take_fd(struct vu_message *m);
int vu_notifiable(int fd);
int vu_slot_init(struct vdev_vhost_user *vu, struct vu_slot *s);
int vu_slot_set(struct vdev_vhost_user *vu, struct vu_slot *s, int fd);
void vu_slot_signal(const struct vdev_vhost_user *vu, const struct vu_slot *s);

/* control.c */
void vu_expect(struct vdev_vhost_user *vu, int op, unsigned queue);
int vu_wait(struct vdev_vhost_user *vu, int rc, vu_then then);
void vu_done(void *ctx, int op, unsigned queue, int result);
void vu_go_on(struct vdev_vhost_user *vu);
int vu_stop_all(struct vdev_vhost_user *vu, vu_then then);
int vu_reset(struct vdev_vhost_user *vu, vu_then then);
int vu_on_reset_device(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_status(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_get_status(struct vdev_vhost_user *vu, struct vu_message *m);
void vu_opened(struct vdev_vhost_user *vu, int fd);
void vu_close(struct vdev_vhost_user *vu, const char *why);
void vu_listen(struct vdev_vhost_user *vu);
void vu_log_entry(struct vdev_vhost_user *vu, int level, int error, int queue, uint64_t value,
                  const char *text);

/* features.c */
int vu_on_get_features(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_features(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_get_protocol_features(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_protocol_features(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_get_queue_num(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_owner(struct vdev_vhost_user *vu, struct vu_message *m);

/* mem.c */
int vu_on_set_mem_table(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_add_mem_reg(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_rem_mem_reg(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_get_max_mem_slots(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_uva_to_gpa(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t *gpa);
void *vu_host(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t len);
int vu_mem_again(struct vdev_vhost_user *vu, vu_then then);
uint64_t vu_mem_top(struct vu_region *const *regions, unsigned n);
void vu_mem_drop(struct vdev_vhost_user *vu);

/* window.c */
struct vu_windows *vu_windows_new(const struct vdev_env *env, unsigned n);
void vu_windows_put(struct vu_windows *ws);
int vu_window_open(struct vu_windows *ws, struct vu_window *out, const struct vdev_os_map *map,
                   uint64_t unit);
void vu_window_close(struct vu_window *w);

/* ring.c */
int vu_ring_init(struct vdev_vhost_user *vu, unsigned index);
struct vu_ring *vu_ring_of(struct vdev_vhost_user *vu, uint64_t index);
void vu_ring_forget(struct vu_ring *r);
void vu_ring_free(struct vu_ring *r);
void vu_ring_kicked(struct vu_ring *r);
void vu_ring_try(struct vu_ring *r);
void vu_rings_try(struct vdev_vhost_user *vu);
void vu_rings_enable(struct vdev_vhost_user *vu);
void vu_ring_stopped(struct vu_ring *r);
void vu_ring_no_kick(struct vu_ring *r);
int vu_any_started(const struct vdev_vhost_user *vu);
int vu_on_set_vring_num(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_addr(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_base(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_get_vring_base(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_kick(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_call(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_err(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_vring_enable(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_vring_kick(struct vdev_vhost_user *vu, struct vu_message *m);

/* iotlb.c */
void vu_iotlb_init(struct vdev_vhost_user *vu);
void vu_iotlb_free(struct vdev_vhost_user *vu);
int vu_iotlb_attach(struct vdev_vhost_user *vu);
int vu_iotlb_next(struct vdev_vhost_user *vu, struct vu_iotlb *out);
void vu_iotlb_unsent(struct vdev_vhost_user *vu, int which);
void vu_iotlb_answered(struct vdev_vhost_user *vu, int which, uint64_t result);
void vu_iotlb_judge(struct vdev_vhost_user *vu);
void vu_iotlb_forget(struct vdev_vhost_user *vu);
void vu_iotlb_reset(struct vdev_vhost_user *vu);
int vu_on_iotlb(struct vdev_vhost_user *vu, struct vu_message *m);

/* log.c */
int vu_on_set_log_base(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_log_fd(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_log_covers(const struct vu_log *log, uint64_t top);
void vu_log_switch(struct vdev_vhost_user *vu);
void vu_log_drop(struct vdev_vhost_user *vu);

/* inflight.c */
int vu_on_get_inflight_fd(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_inflight_fd(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_inflight_on(const struct vdev_vhost_user *vu, unsigned i);
int vu_inflight_setup(struct vu_ring *r, int packed, struct vdev_queue_setup *out);
void vu_inflight_over(struct vu_ring *r);
void vu_inflight_told(struct vdev_vhost_user *vu, int sent);
void vu_inflight_end(struct vu_ring *r);
void vu_inflight_forget(struct vdev_vhost_user *vu);
void vu_inflight_drop(struct vdev_vhost_user *vu);

/* config.c */
int vu_on_get_config(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_set_config(struct vdev_vhost_user *vu, struct vu_message *m);

/* notice.c */
uint64_t vu_notices(struct vdev_vhost_user *vu);
int vu_on_send_rarp(struct vdev_vhost_user *vu, struct vu_message *m);
int vu_on_net_set_mtu(struct vdev_vhost_user *vu, struct vu_message *m);

/* backend_req.c */
int vu_on_set_backend_req_fd(struct vdev_vhost_user *vu, struct vu_message *m);
void vu_channel_event(struct vdev_vhost_user *vu);
void vu_channel_flush(struct vdev_vhost_user *vu);
void vu_channel_close(struct vdev_vhost_user *vu);
void vu_channel_miss(struct vdev_vhost_user *vu);
void vu_interrupt(void *ctx, unsigned n);
void vu_config_changed(void *ctx);
void vu_broken(void *ctx, unsigned queue, const struct virtq_fault *fault);

#endif
