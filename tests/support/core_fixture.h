/* SPDX-License-Identifier: BSD-3-Clause */
/* An echo device behind a loopback, for tests of the core. */
#ifndef TESTS_SUPPORT_CORE_FIXTURE_H
#define TESTS_SUPPORT_CORE_FIXTURE_H

#include <vdev/loopback.h>
#include <virtq/driver.h>

#include "echo.h"

#define FIXTURE_BYTES (1u << 20)
#define FIXTURE_GPA   0x40000000u

struct fixture {
	struct vdev_env env;
	struct echo echo;
	struct vdev *v;
	struct vdev_loopback *l;
	struct vdev_loopback_config cfg;
	uint8_t *memory;
	uint64_t now;
	uint64_t tick; /* by how much now moves on with each look */
	unsigned reads;
	/* Called at each look at the clock, when not NULL. */
	void (*on_clock)(struct fixture *f);
	unsigned allocations; /* that are not freed */
	unsigned alloc_fail;  /* fail the n-th from now on, counted from 1; 0: never */
	int guarded; /* what is allocated ends where memory ends; set while nothing of it is kept */
	unsigned interrupts[ECHO_QUEUES];
	unsigned config_changes;
	unsigned logs;
	struct vdev_log_entry last_log;
	unsigned log_lock;
	/* Told by an attachment of the test's own, see fixture_watch(). */
	unsigned done[8];
	int done_result[8];
	unsigned done_queue[8];
	unsigned broken;
	struct virtq_fault fault;
	/* Called from each interrupt, when not NULL. */
	void (*on_interrupt)(struct fixture *f, unsigned q);
};

/* What the tests run over. */
enum { LAYOUT_SPLIT, LAYOUT_PACKED, LAYOUT_IN_ORDER, LAYOUT_PACKED_IN_ORDER, LAYOUTS };

/* Device and loopback, not started. */
void fixture_init(struct fixture *f, int layout, uint32_t nqueues);
/* Reset, free, and check that no memory is left. */
void fixture_fini(struct fixture *f);
/* Start the device and check that it did. */
void fixture_start(struct fixture *f);
/* Replace the loopback's attachment by one that notes everything (interrupts and changes too). */
void fixture_watch(struct fixture *f);
/* Make a request of out_len bytes of byte available in queue q, with a writable part of in_len bytes; slot names its memory. */
void fixture_add(struct fixture *f, unsigned q, unsigned slot, uint8_t byte, uint32_t out_len,
                 uint32_t in_len);
/* The writable part of a slot. */
uint8_t *fixture_in(struct fixture *f, unsigned slot);
uint64_t fixture_in_gpa(struct fixture *f, unsigned slot);
/* Take used buffers; returns how many. */
unsigned fixture_take(struct fixture *f, unsigned q);
/* One whole request, checked. */
void fixture_echo(struct fixture *f, unsigned q);

#endif
