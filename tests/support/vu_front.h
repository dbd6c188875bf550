/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost-user front-end for tests: raw messages, and the driver of a block device behind them. The back-end (a virtio-blk
 * on a slow disk) runs in threads of a loop in the same process; what the two share is a memfd mapped twice.
 */
#ifndef TESTS_SUPPORT_VU_FRONT_H
#define TESTS_SUPPORT_VU_FRONT_H

#include <vdev/blk.h>
#include <vdev/model.h>
#include <vdev/vhost_user.h>
#include <virtq/virtq.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "check_main.h"
#include "slow_disk.h"

#define VF_GPA   0x40000000u
#define VF_UVA   0x7e0000000000u
#define VF_IOVA  0x5200000000u
#define VF_BYTES (4u << 20)
#define VF_DATA  (2u << 20) /* offset of what rings and requests leave free */

enum { VF_QUEUES = 4, VF_RING = 64, VF_SECTOR = 512 };
/* How the back-end is served: by the control task alone, or each queue on a thread of its own. */
enum { VF_ONE_THREAD, VF_THREADS };
/* How the front-end negotiates. */
enum {
	VF_PACKED = 1,
	VF_NO_PROTOCOL = 2,
	VF_INBAND = 4,
	VF_NO_STATUS = 8,
	VF_IN_ORDER = 16,
	VF_IOMMU = 32
};
enum { VF_PAGE = 4096, VF_PAGES = VF_BYTES / VF_PAGE };

struct vf_slot {
	int used; /* a request is out */
	int done;
};

struct vf_ring {
	struct virtq_drv drv;
	struct virtq_state state;
	void *scratch;
	int kick, call, err;
	struct vf_slot slots[VF_RING];
};

struct vu_front {
	struct vdev_env env;
	struct slow_disk *disk;
	struct vdev *v;
	struct vdev_vhost_user *vu;
	struct vdev_loop *loop; /* NULL: somebody else's */
	char path[64];
	char dir[48];
	int sock;
	int channel; /* our end of the back-end channel, or -1 */
	int memfd;
	uint8_t *mem;
	uint64_t features;
	uint64_t protocol;
	int kind;
	struct vf_ring rings[VF_QUEUES];
	/* With VF_IOMMU: what vf_finish() does about misses, and what it answers for each page. */
	int deaf;               /* nothing */
	uint8_t perm[VF_PAGES]; /* 0: there is no mapping */
	unsigned misses;        /* that it took */
	struct vu_iotlb denied; /* the last access that was told to be denied */
	/* What the back-end told: of log entries, and of its connections. */
	pthread_mutex_t lock;
	char why[128];
	unsigned ups, downs;
	unsigned connects; /* of ours */
};

/* Device, back-end and its threads; nothing is connected yet. */
void vf_start(struct vu_front *f, unsigned queues, int threads);
/*
 * The same with another device, which is freed by vf_stop(). Its requests are made as if it were a block device. With a
 * loop the back-end is a task of that one's first thread; the loop goes before vf_stop().
 */
void vf_start_device(struct vu_front *f, struct vdev *v, int threads, struct vdev_loop *loop);
/* Behind an IOMMU, with each of these kinds: up, and what was said of translations since. */
enum { VF_IOMMU_KINDS = 4 };
extern const int vf_iommu_kinds[VF_IOMMU_KINDS];
void vf_up_iommu(struct vu_front *f, int kind, unsigned queues);
struct vdev_vhost_user_iotlb vf_iotlb(const struct vu_front *f);
/* For a device of one's own: requests end as if they were disk reads, their last byte being status 0. */
void vf_end_all(struct vdev_queue *q, const struct virtq_chain *chains, uint32_t n);
/* Memory, directory and socket's name alone: the device is somebody else's process. */
void vf_start_remote(struct vu_front *f);
void vf_stop(struct vu_front *f);
void vf_connect(struct vu_front *f);
/* Hang up, and wait until the back-end has noticed and let go. */
void vf_disconnect(struct vu_front *f);
/* Wait until the back-end has closed the connection, for a reason that has this text in it. */
void vf_expect_closed(struct vu_front *f, const char *why);

/* Send a message as it is. size is what the header says, len the bytes that really follow. */
void vf_send_raw(struct vu_front *f, uint32_t request, uint32_t flags, uint32_t size,
                 const void *payload, size_t len, const int *fds, unsigned nfds);
void vf_send(struct vu_front *f, uint32_t request, const void *payload, size_t len);
/* An answer's payload within 5 s: its length, or -1 at the end of the connection. */
int vf_answer(struct vu_front *f, uint32_t request, void *buf, size_t len);
/* The same with a descriptor; -1 when none came. */
int vf_answer_fd(struct vu_front *f, uint32_t request, void *buf, size_t len, int *fd);
/* 1 when nothing comes within ms. */
int vf_silent(struct vu_front *f, int ms);
/* With need_reply: what the acknowledgement says, or -1 when the connection ended. */
int vf_ack(struct vu_front *f, uint32_t request, const void *payload, size_t len, const int *fds,
           unsigned nfds);
int vf_ack_u64(struct vu_front *f, uint32_t request, uint64_t value);
int vf_ack_state(struct vu_front *f, uint32_t request, uint32_t index, uint32_t num);
/* Ask for a number. */
uint64_t vf_get(struct vu_front *f, uint32_t request);

/* Features and protocol features, up to SET_FEATURES and FEATURES_OK. */
void vf_negotiate(struct vu_front *f, int kind);
/* The memfd as one region. */
void vf_memory(struct vu_front *f);
/* A region of the memfd. */
struct vu_region_desc vf_region(uint64_t offset, uint64_t len);
/* Number, base, addresses, call and error descriptors of a ring, but no kick. Acked. */
void vf_ring_setup(struct vu_front *f, unsigned q);
/* The kick descriptor; enabling where that is needed. */
void vf_ring_go(struct vu_front *f, unsigned q);
void vf_driver_ok(struct vu_front *f);
/* All of the above for the first queues. */
void vf_up(struct vu_front *f, int kind, unsigned queues);
/* GET_VRING_BASE: asks, and takes the answer. */
void vf_ask_base(struct vu_front *f, unsigned q);
uint32_t vf_take_base(struct vu_front *f, unsigned q);
/* Go on with a ring that was stopped, where it was. */
void vf_ring_resume(struct vu_front *f, unsigned q, uint32_t base);

/* Get an area for requests in flight of rings of VF_RING entries. */
void vf_area(struct vu_front *f, unsigned queues, struct vu_inflight *area, int *fd);
/* A back-end that pops n requests of ring 0 and dies: the library alone, since no other could be stopped just there. */
void vf_pop_and_die(struct vu_front *f, const struct vu_inflight *area, int fd, int n);
/* Of a split ring: what the device has shown. */
uint16_t vf_used_idx(const struct vu_front *f, unsigned q);

/* Where the device is told that a place in our memory is; below it, where offset wraps. */
uint64_t vf_bus(const struct vu_front *f, uint32_t offset);
/* Put a request into the ring and tell the device. data is an offset in the memory. Returns its slot. */
unsigned vf_submit(struct vu_front *f, unsigned q, uint32_t type, uint64_t sector, uint32_t data,
                   uint32_t bytes);
void vf_kick(struct vu_front *f, unsigned q);
/*
 * With VF_IOMMU rings and requests are at VF_IOVA, mapped a page at a time and when asked for. A miss is taken off the
 * channel within ms (1: there was one), and acknowledged.
 */
int vf_miss(struct vu_front *f, struct vu_iotlb *out, int ms);
void vf_miss_ack(struct vu_front *f, uint64_t result);
/* The acknowledgement of an update of VF_IOVA + offset, and of an invalidation. */
int vf_map(struct vu_front *f, uint64_t offset, uint64_t len, uint8_t perm);
int vf_unmap(struct vu_front *f, uint64_t offset, uint64_t len);
/* The same without waiting for it. */
void vf_send_unmap(struct vu_front *f, uint64_t offset, uint64_t len);
/* Answer one miss as perm has it. 1: there was one within ms. */
int vf_serve(struct vu_front *f, int ms);
/* Wait for a slot, 5 s: its status byte. */
uint8_t vf_finish(struct vu_front *f, unsigned q, unsigned slot);
/* Whether a slot is used within ms. */
int vf_done_within(struct vu_front *f, unsigned q, unsigned slot, int ms);
/* Both. */
uint8_t vf_request(struct vu_front *f, unsigned q, uint32_t type, uint64_t sector, uint32_t data,
                   uint32_t bytes);
/* 1 when the descriptor becomes readable within ms. Takes what it holds. */
int vf_signalled(int fd, int ms);
/* Poll until fn says 1, 5 s. */
int vf_until(int (*fn)(void *ctx), void *ctx);

#endif
