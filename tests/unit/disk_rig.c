/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "libvdev/os/os.h"

struct vdev_engine *rig_engine(int kind)
{
	struct vdev_engine *e = NULL;

	if (kind == RIG_THREADS)
		ck_assert_int_eq(vdev_engine_threads_new(&e, vdev_env_hosted(), 3), 0);
	if (kind == RIG_URING)
		ck_assert_int_eq(vdev_engine_uring_new(&e, vdev_env_hosted(), 8), 0);
	return e;
}

static void on_event(void *ctx, int event, int error)
{
	struct rig *r = ctx;

	r->events[event]++;
	r->last_error = error;
}

int rig_open(struct rig *r, const char *dir, uint64_t bytes, int kind, uint32_t flags)
{
	struct vdev_disk_file_config cfg = {.size = sizeof(cfg), .flags = flags};
	int rc;

	memset(r, 0, sizeof(*r));
	snprintf(r->path, sizeof(r->path), "%s/disk-XXXXXX", dir);
	r->fd = mkstemp(r->path);
	ck_assert_int_ge(r->fd, 0);
	ck_assert_int_eq(ftruncate(r->fd, (off_t)bytes), 0);
	r->engine = rig_engine(kind);
	cfg.path = r->path;
	if (r->engine != NULL) {
		cfg.engines = &r->engine;
		cfg.nengines = 1;
	}
	rc = vdev_disk_file_new(&r->disk, vdev_env_hosted(), &cfg);
	if (rc < 0) {
		rig_close(r);
		return rc;
	}
	r->disk->ops->on_event(r->disk, on_event, r);
	ck_assert_int_eq(r->disk->ops->open(r->disk, 0, &r->ch), 0);
	return 0;
}

int rig_direct_works(const char *dir)
{
	char path[128];
	int fd, direct;

	snprintf(path, sizeof(path), "%s/direct-XXXXXX", dir);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	direct = open(path, O_RDWR | O_DIRECT);
	unlink(path);
	close(fd);
	if (direct < 0) {
		printf("no O_DIRECT in %s: not tested\n", dir);
		return 0;
	}
	close(direct);
	return 1;
}

void rig_close(struct rig *r)
{
	if (r->ch != NULL)
		r->disk->ops->close(r->ch);
	if (r->disk != NULL)
		r->disk->ops->destroy(r->disk);
	vdev_engine_free(r->engine);
	unlink(r->path);
	close(r->fd);
}

void rig_wait(struct vdev_disk_channel *ch, const uint32_t *pending)
{
	const struct vdev_disk_ops *ops = ch->disk->ops;
	uint64_t end = vdev_os_now() + 10000000000u;

	while (*pending > 0) {
		struct pollfd p = {.events = POLLIN};

		ck_assert_msg(vdev_os_now() < end, "%u operations did not end", *pending);
		ck_assert_ptr_nonnull(ops->poll);
		if (ops->poll(ch) || *pending == 0 || ops->arm(ch))
			continue;
		p.fd = ops->fd(ch);
		ck_assert_int_ge(p.fd, 0);
		poll(&p, 1, 10000);
	}
}

void rig_done(struct vdev_disk_io *io, int result)
{
	struct rig_op *op = (struct rig_op *)io;

	op->result = result;
	op->ended++;
	--*op->pending;
}

int rig_io(struct rig *r, int op, unsigned flags, uint64_t offset, void *buf, uint64_t len)
{
	struct virtq_iov iov = {.base = buf, .len = len};
	uint32_t pending = 1;
	struct rig_op o = {.pending = &pending, .result = 1};
	struct vdev_disk_io *io = &o.io;

	o.io = (struct vdev_disk_io){.op = (uint8_t)op,
	                             .flags = (uint8_t)flags,
	                             .niov = buf != NULL,
	                             .iov = &iov,
	                             .offset = offset,
	                             .len = len,
	                             .done = rig_done};
	r->disk->ops->submit(r->ch, &io, 1);
	rig_wait(r->ch, &pending);
	ck_assert_uint_eq(o.ended, 1);
	return o.result;
}
