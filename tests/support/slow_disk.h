/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk in memory for tests. It can hold operations until told or for a time, fail them (before or
 * after touching some of the buffers), end them inside submit, and notes what it was asked for.
 * Buffers are only touched when an operation ends: a device that lets go of memory too early is
 * caught.
 *
 * Threads: submit and poll on the channel's thread, everything else from any thread.
 */
#ifndef TESTS_SUPPORT_SLOW_DISK_H
#define TESTS_SUPPORT_SLOW_DISK_H

#include <pthread.h>

#include <vdev/disk.h>

enum { SLOW_LOG = 512, SLOW_HELD = 512, SLOW_CHANNELS = 16 };

struct slow_op {
	uint8_t op;
	uint8_t flags;
	uint32_t niov;
	uint64_t offset;
	uint64_t len;
};

struct slow_held {
	struct vdev_disk_io *io;
	struct slow_channel *channel;
	uint64_t due; /* ns; UINT64_MAX: until told */
	int result;
	uint64_t touch; /* bytes of a read's buffers that are written when it fails */
};

struct slow_channel {
	struct vdev_disk_channel channel; /* first */
	int fd;
	int open;
	int armed; /* fd has a time, past or to come */
};

struct slow_disk {
	struct vdev_disk disk; /* first */
	struct vdev_disk_info
		info; /* may be changed before a device is made, and with slow_disk_resize() */
	uint8_t *data;
	uint64_t room; /* bytes that data has room for: as many as the disk ever had */
	pthread_mutex_t lock;
	struct slow_channel channels[SLOW_CHANNELS];
	struct slow_held held[SLOW_HELD];
	unsigned nheld;
	int hold;
	unsigned delay_ms;
	int result;     /* of operations from now on */
	int fail_after; /* operations that still go well before result applies; -1: none */
	uint64_t touch;
	struct slow_op log[SLOW_LOG];
	unsigned nlog;
	unsigned submits;
	unsigned opens, closes;
	int open_error; /* what open answers; 0: it goes well */
	int acquired;   /* times */
	int busy;       /* acquire answers VIRTQ_EBUSY */
	unsigned acquire_calls;
};

/* sync: everything ends inside submit, and holding is not possible. Checks that the memory is there. */
struct slow_disk *slow_disk_new(uint64_t bytes, int sync);
/* Also by vdev_disk_free(). */
void slow_disk_free(struct slow_disk *d);
/* Hold what is submitted from now on until it is released (1), or not (0). */
void slow_disk_hold(struct slow_disk *d, int on);
/* Let each operation take so long; 0: at once. */
void slow_disk_delay(struct slow_disk *d, unsigned ms);
/* Operations from now on end with this, a read after touching so many bytes of its buffers. 0: they go well. */
void slow_disk_fail(struct slow_disk *d, int result, uint64_t touch);
/* How many operations are held or under way. */
unsigned slow_disk_held(struct slow_disk *d);
/* End the oldest n held operations with a result (touch as above); the channel's poll does the rest. */
void slow_disk_release(struct slow_disk *d, unsigned n, int result, uint64_t touch);
/* Change the capacity; the contents of what is new are 0. */
void slow_disk_resize(struct slow_disk *d, uint64_t bytes);
/* How many operations of a kind were submitted since the log was cleared, and clearing it. */
unsigned slow_disk_count(struct slow_disk *d, int op);
void slow_disk_clear(struct slow_disk *d);

#endif
