/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_DISK_RIG_H
#define TESTS_UNIT_DISK_RIG_H

#include <stdint.h>

#include <vdev/disk_file.h>

/* A file disk in a new file, with one channel. */
enum rig_engine { RIG_SYNC, RIG_THREADS, RIG_URING, RIG_ENGINES };

struct rig {
	char path[128];
	int fd; /* of the test's own, O_RDWR */
	struct vdev_engine *engine;
	struct vdev_disk *disk;
	struct vdev_disk_channel *ch;
	unsigned events[8]; /* how often each enum vdev_disk_event came */
	int last_error;
};

/* Any of the engines; NULL for RIG_SYNC. Fails the test when it can't be made. */
struct vdev_engine *rig_engine(int kind);
/* A file of @p bytes in @p dir and a disk on it. Returns 0, or what vdev_disk_file_new() said. */
int rig_open(struct rig *r, const char *dir, uint64_t bytes, int kind, uint32_t flags);
/* Whether files in @p dir can be opened with O_DIRECT; says so when they can't. */
int rig_direct_works(const char *dir);
void rig_close(struct rig *r);
/* Serve one channel until *pending is 0; at most ten seconds. */
void rig_wait(struct vdev_disk_channel *ch, const uint32_t *pending);
/* One operation on one buffer, to its end. Returns its result. */
int rig_io(struct rig *r, int op, unsigned flags, uint64_t offset, void *buf, uint64_t len);

/* An operation that counts down *pending when it ends. */
struct rig_op {
	struct vdev_disk_io io;
	uint32_t *pending;
	int result;
	unsigned ended;
};
void rig_done(struct vdev_disk_io *io, int result);

#endif
