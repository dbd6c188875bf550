/* SPDX-License-Identifier: BSD-3-Clause */
/* A run of the front-end's harness, and the back-end in it. */
#ifndef TESTS_FUZZ_FRONT_H
#define TESTS_FUZZ_FRONT_H

#include <vdev/vhost_user_front.h>
#include <virtq/virtq.h>

#include "fuzz.h"

enum { QUEUES = 2, RING = 16, REGIONS = 3, REGION = 0x8000, STEPS = 64, CONFIG = 64, FDS = 64 };
enum { GPA = 0x100000, RING_AREA = 0x1000, AREA = 4096 };
enum {
	HOW_PACKED = 1,
	HOW_INBAND = 2,
	HOW_IOMMU = 4,
	HOW_IN_ORDER = 8,
	HOW_OLD = 16,
	HOW_FEWER = 32,
	HOW_BARE = 64, /* begins without features and memory */
	HOW_LIE = 128  /* a lie is planned from the start */
};

struct back {
	int sock;
	int channel;
	uint64_t features; /* as offered */
	uint64_t protocol;
	uint64_t agreed;
	uint64_t status;
	uint8_t config[CONFIG];
};

struct queue {
	struct virtq_drv drv;
	struct virtq_state state;
	struct virtq_dev dev;
	void *scratch;
	void *dev_scratch; /* NULL: nobody serves the ring */
	int out[RING];     /* buffers of the driver */
};

struct fuzz {
	struct input in;
	uint8_t how;
	struct vdev_vhost_front *f;
	struct vdev_task task;
	struct back b;
	struct queue q[QUEUES];
	struct virtq_features features; /* accepted */
	int strange; /* something was said or done that an honest back-end does not */
	int tainted; /* for good: rings or notes of requests were scribbled into, or a lie agreed to */
	unsigned lie_in; /* answers until the lie, 0: none is planned */
	uint8_t lie;
	struct virtq_xlat table[2];
	long allocated;
};

extern struct fuzz *fuzzed; /* whose back-end has its turn when somebody waits, or NULL */
extern int area;            /* a file: for requests in flight, and as a log */
extern int event;

uint64_t take_number(struct input *in);
/* Read what the front-end has said, and answer. */
void back_end_turn(struct fuzz *z);
void back_end_hang_up(struct fuzz *z);
/* A request of the back-end's own, right or wrong. */
void back_end_say(struct fuzz *z);

#endif
