/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the harness of the vhost-user back-end. */
#ifndef TESTS_FUZZ_VHOST_USER_H
#define TESTS_FUZZ_VHOST_USER_H

#include <stdint.h>
#include <sys/un.h>

#include <virtq/virtq.h>

#include "../../libvdev/transports/vhost_user/vu.h"
#include "fuzz.h"
#include "slow_disk.h"

enum { MEM = 1 << 20, QUEUES = 2, RING = 64, RING_AREA = 0x4000, AREA = 4096 };
/* Where in guest memory requests and indirect tables lie. */
enum { SLOTS_AT = 0x10000, TABLES_AT = 0x40000, DATA_AT = 0x80000 };
enum {
	FD_GUEST, /* sealed */
	FD_LOG,
	FD_CALL,
	FD_CHANNEL, /* new in each run */
	FD_NULL,
	FD_KICK,
	FD_LOOSE, /* memory that may shrink, and does */
	FD_SMALL,
	FD_EPOLL,
	FD_PIPE,
	FD_FOLDER,
	FDS
};
/* How a run begins. */
enum {
	HOW_WELL = 1, /* with running rings: what may go wrong then is not found by chance */
	HOW_PACKED = 2,
	HOW_INDIRECT = 4,
	HOW_IN_ORDER = 8,
	HOW_INBAND = 16,
	HOW_STATUS = 32,
	HOW_LISTEN = 64, /* the back-end listens: it may be connected to again */
	HOW_SYNC = 128   /* the disk ends all operations at once */
};

struct front_ring {
	struct virtq_drv drv;
	void *scratch;
	struct virtq_state state;
};

struct front {
	struct input in;
	uint8_t how;
	int sock;
	int channel; /* our end of the one for the back-end's requests */
	struct sockaddr_un listener;
	socklen_t listener_len;
	struct vdev_task task;
	int over;
	struct vdev *v;
	struct slow_disk *disk;
	struct front_ring rings[QUEUES];
	unsigned slot;
	int iommu; /* addresses are translated, in the end to themselves */
};

/* --- vhost_user.c --------------------------------------------------------------------- */

extern int fds[FDS];
extern uint8_t *guest; /* its memory */
extern const uint8_t no_area[AREA];

/* The back-end does what there is to do. */
void vu_serve(struct front *f);
/* Numbers that mean something: small ones, addresses of the guest's and front-end's, all ones, anything. */
uint64_t take_number(struct input *in);

/* --- vhost_user_honest.c: what an honest front-end does ---------------------------------- */

/* Connect, memory and all, and start the rings. */
void honest_begin(struct front *f);
/* A request whose parts are mostly right. */
void honest_request(struct front *f);
void honest_take(struct front *f);
/* The configuration space; what network devices are told. */
void honest_config(struct front *f);
/* Regions that come and go beside those of the table, or translations. */
void honest_region(struct front *f);
void honest_log(struct front *f);
void honest_ring_again(struct front *f);
/* The rings stop, and go on with an area of requests in flight that somebody may have written to. */
void honest_inflight(struct front *f);

#endif
