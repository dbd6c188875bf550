/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the vhost-user front-end.
 *
 * A request is sent and its answer waited for within one call. Meanwhile the back-end's own requests are served, since
 * it may be unable to answer before they are; what they lead to beyond the socket waits for the task, but for
 * translations.
 */
#ifndef VDEV_VHOST_USER_FRONT_FRONT_H
#define VDEV_VHOST_USER_FRONT_FRONT_H

#include <string.h>

#include <vdev/vhost_user_front.h>

#include "../../os/os.h"
#include "../vhost_user/wire.h"

#define BIT(n) ((uint64_t)1 << (n))

enum { FRONT_MAX_SLOTS = 512, FRONT_MAX_QUEUES = 256, FRONT_TIMEOUT_MS = 10000 };
enum { FRONT_NET_F_MTU = 3 }; /* of a network device */

/* An answer, or what there is of it: a private copy. */
struct front_answer {
	struct vu_header h;
	__extension__ union {
		uint64_t u64;
		struct vu_vring_state state;
		struct vu_config config;
		struct vu_inflight inflight;
		uint8_t bytes[VU_MAX_PAYLOAD];
	};
	size_t have;
	int fds[VU_MAX_FDS];
	unsigned nfds;
};

/* A request of the back-end, likewise. */
struct front_request {
	struct vu_header h;
	__extension__ union {
		struct vu_vring_state state;
		struct vu_iotlb iotlb;
		uint8_t bytes[64];
	};
	size_t have;
};

/* A region as the back-end has it. d.uva is its address here. */
struct front_region {
	struct vu_region_desc d;
	uint64_t dev; /* which file */
	uint64_t ino;
	int fd;
};

struct front_queue {
	struct virtq_state state; /* as it was started, or where it stopped */
	struct virtq_drv *drv;
	uint64_t used_log;
	uint32_t flags;
	int started;
	int enabled;
	int kick;
	int call;
	int err;
	int call_due; /* callbacks that the task makes */
	int err_due;
};

/* Memory that is shared with the back-end for its own use, and its place in the file. */
struct front_area {
	int fd;
	uint64_t offset;
	uint64_t bytes;
};

struct vdev_vhost_front {
	struct vdev_env env;
	struct vdev_vhost_front_config cfg;
	size_t bytes;
	char *path;
	size_t path_bytes;
	int ep;
	int wake;                 /* readable when the task has callbacks to make */
	struct vdev_os_bell bell; /* for what the back-end, or the caller, holds too */
	int fd;                   /* the connection, or -1 */
	int channel;
	int inside; /* a callback is being made from within a wait */
	int quiet; /* results are told by returning them alone: nobody is told that the connection went */
	const char *why;

	struct front_answer in;
	uint32_t expect; /* request whose answer is waited for, or 0 */
	uint32_t expect_max;
	uint32_t unacked; /* IOTLB messages without answer so far */
	int unwilling;    /* one of them was refused */
	struct front_request asked;
	int config_due;

	uint64_t offered; /* as GET_FEATURES said */
	uint64_t protocol;
	uint32_t inband; /* any thread: atomic */
	unsigned queue_num;
	unsigned max_slots;
	struct virtq_features features;
	int accepted;
	uint8_t status;
	uint16_t mtu; /* that was told, or 0 */

	struct front_region *regions;
	unsigned nregions;
	struct front_region
		*wanted; /* room for a new list, behind them; descriptors in it are the caller's */
	struct front_area log;
	int log_event;
	int logging;
	struct front_area inflight;
	uint16_t inflight_size; /* of the largest queue that it has room for */
	const struct virtq_xlat *table;
	unsigned ntable;

	unsigned nqueues;
	struct front_queue queues[];
};

static inline int front_has(const struct vdev_vhost_front *f, unsigned bit)
{
	return (f->protocol >> bit & 1) != 0;
}

static inline int front_feature(const struct vdev_vhost_front *f, unsigned bit)
{
	return virtq_features_has(&f->features, bit);
}

/* The time limit, as what takes an int wants it. */
static inline int front_timeout_ms(const struct vdev_vhost_front *f)
{
	return f->cfg.timeout_ms > INT32_MAX ? INT32_MAX : (int)f->cfg.timeout_ms;
}

/* message.c */
int front_fail(struct vdev_vhost_front *f, int rc, const char *why);
void front_close(struct vdev_vhost_front *f);
int front_ready(const struct vdev_vhost_front *f);
int front_tell(struct vdev_vhost_front *f, uint32_t request, uint32_t flags, const void *payload,
               size_t len, const int *fds, unsigned nfds);
int front_wait(struct vdev_vhost_front *f, uint32_t request, uint32_t min, uint32_t max);
int front_do(struct vdev_vhost_front *f, uint32_t request, const void *payload, size_t len,
             const int *fds, unsigned nfds);
int front_do_u64(struct vdev_vhost_front *f, uint32_t request, uint64_t value);
int front_do_state(struct vdev_vhost_front *f, uint32_t request, uint32_t index, uint32_t num);
int front_get_u64(struct vdev_vhost_front *f, uint32_t request, uint64_t *out);
int front_sync(struct vdev_vhost_front *f);
int front_settle(struct vdev_vhost_front *f);
int front_listen(struct vdev_vhost_front *f);
void front_drop_fds(struct vdev_vhost_front *f);
int front_take_fd(struct vdev_vhost_front *f);

/* channel.c */
int front_channel_open(struct vdev_vhost_front *f);
void front_channel_close(struct vdev_vhost_front *f);
int front_channel_serve(struct vdev_vhost_front *f);

/* front.c */
int front_send_features(struct vdev_vhost_front *f);
int front_open(struct vdev_vhost_front *f, int fd, int again);

/* memory.c */
int front_memory_send(struct vdev_vhost_front *f);
void front_memory_free(struct vdev_vhost_front *f);
int front_uva(const struct vdev_vhost_front *f, uint64_t gpa, uint64_t len, uint64_t *out);

/* queue.c */
int front_queue_begin(struct vdev_vhost_front *f, unsigned q);
int front_queue_go(struct vdev_vhost_front *f, unsigned q);
int front_queue_addr(struct vdev_vhost_front *f, unsigned q);
int front_stop_all(struct vdev_vhost_front *f);

/* device.c */
int front_mtu_send(struct vdev_vhost_front *f);
int front_log_send(struct vdev_vhost_front *f);
int front_inflight_send(struct vdev_vhost_front *f);
void front_area_close(struct front_area *a);
uint64_t front_record_at(const struct vdev_vhost_front *f, unsigned q);
void front_record_forget(struct vdev_vhost_front *f, unsigned q);

/* iotlb.c */
int front_translate(struct vdev_vhost_front *f, uint64_t iova, unsigned perm,
                    struct virtq_xlat *out);
int front_iotlb_send(struct vdev_vhost_front *f, const struct virtq_xlat *x);
int front_iotlb_asked(struct vdev_vhost_front *f, const struct vu_iotlb *m);
int front_iotlb_ring(struct vdev_vhost_front *f, const struct virtq_state *s);
void *front_host(struct vdev_vhost_front *f, uint64_t addr, uint64_t len);

/* Which layout was negotiated. */
static inline int is_packed(const struct vdev_vhost_front *f)
{
	return front_feature(f, VIRTQ_F_RING_PACKED);
}

/* Bytes of the parts of a ring of this size. Descriptors are the same in both layouts. */
static inline uint32_t driver_bytes(const struct vdev_vhost_front *f, uint16_t size)
{
	return is_packed(f) ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(size);
}

static inline uint32_t device_bytes(const struct vdev_vhost_front *f, uint16_t size)
{
	return is_packed(f) ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(size);
}

#endif
