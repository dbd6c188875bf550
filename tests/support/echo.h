/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device model for tests of the core: copies what is readable in a chain to what is writable. It can finish at
 * once, hold requests until told, take only some, and fail in every way that a model may.
 */
#ifndef TESTS_SUPPORT_ECHO_H
#define TESTS_SUPPORT_ECHO_H

#include <vdev/model.h>

enum {
	ECHO_QUEUES = 4,
	ECHO_HELD = 64,
	ECHO_PIECES = 16,
	ECHO_CONFIG =
		16, /* bytes: 0-7 the device's, 8-11 writable, 12 low nibble writable, rest the device's */
	ECHO_FEATURE = 3,      /* a feature of the device type */
	ECHO_FEATURE_NEEDS = 4 /* another, that the model accepts only with ECHO_FEATURE */
};

struct echo_held {
	struct virtq_chain chain;
	struct virtq_iov iov[ECHO_PIECES];
	struct vdev_queue *q;
};

struct echo {
	struct vdev *v;
	/* How to behave. */
	int hold;               /* keep requests until echo_finish() */
	uint32_t take;          /* at most so many of each burst */
	uint64_t deadline;      /* when refused ones should come again */
	int fault;              /* break the queue with each request */
	int start_error;        /* what queue_start answers */
	int supply;             /* queues that start are supplies, which nobody takes from */
	int drain_finishes;     /* whether queue_drain finishes what is held */
	uint32_t poll_finishes; /* how many held ones each poll finishes */
	/* Called from each queue_end, when not NULL. */
	void (*on_end)(struct echo *e, unsigned q);
	/* What happened. */
	struct echo_held held[ECHO_HELD];
	uint32_t nheld;
	uint32_t offered;
	uint32_t bursts;
	uint32_t started, resets, destroyed, config_writes;
	struct vdev_queue *queue; /* that was started last */
	uint32_t queue_starts, queue_ends, drains, cancels, polls, arms;
	uint32_t config_at, config_len;
	uint32_t state; /* saved in the model's section; 0xbad is refused */
	uint8_t status_features, status_queue, status_started; /* what the device status was then */
};

extern const struct vdev_model_ops echo_ops;

/* Create one; with more than 0 queues of at most queue_max. */
int echo_new(struct echo *e, const struct vdev_env *env, uint32_t nqueues, uint16_t queue_max);
/* Finish up to n held requests, oldest first. */
void echo_finish(struct echo *e, uint32_t n);

#endif
