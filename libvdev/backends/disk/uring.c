/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine on io_uring: one ring for one thread, shared by the channels of that thread. Whoever polls takes all
 * completions off the ring and hands each to its channel; a channel ends its own operations only, when it is polled.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "file.h"
#include "libvdev/os/os.h"

#define MAX_ENTRIES 4096u

#ifdef HAVE_LIBURING
#include <liburing.h>

#define REAP      64u
#define SLOTS     256u
#define MAX_FIXED 1024u        /* the kernel's limit on older releases */
#define FIXED_MAX (1ull << 30) /* bytes of one registered buffer */

struct uring {
	struct vdev_engine base;
	struct io_uring ring;
	unsigned empty;     /* polls in a row that took nothing although something is in the kernel */
	unsigned in_kernel; /* steps whose completions have not been taken */
	unsigned most;      /* of them: as many as the completion queue holds */
	struct file_list backlog; /* steps that found no room */
	int files;                /* a table of registered files exists */
	uint64_t used_slots[SLOTS / 64];
	struct iovec *fixed; /* registered memory */
	unsigned nfixed;
	unsigned last_fixed; /* where the last buffer was found */
};

static struct uring *to_uring(struct vdev_engine *e)
{
	return (struct uring *)e;
}

/* The registered buffer that holds all of [p, p + len), or -1. */
static int find_fixed(struct uring *u, const void *p, uint64_t len)
{
	uintptr_t at = (uintptr_t)p;

	for (unsigned i = 0; i < u->nfixed; i++) {
		unsigned n = (u->last_fixed + i) % u->nfixed;
		uintptr_t base = (uintptr_t)u->fixed[n].iov_base;

		if (at >= base && len <= u->fixed[n].iov_len && at - base <= u->fixed[n].iov_len - len) {
			u->last_fixed = n;
			return (int)n;
		}
	}
	return -1;
}

static void prepare_transfer(struct uring *u, struct io_uring_sqe *sqe, const struct file_step *s,
                             int fd)
{
	int fixed = u->nfixed > 0 && s->niov == 0 ? find_fixed(u, s->buf, s->len) : -1;

	if (s->kind == FILE_READ) {
		if (s->niov > 0)
			io_uring_prep_readv(sqe, fd, s->iov, s->niov, s->offset);
		else if (fixed >= 0)
			io_uring_prep_read_fixed(sqe, fd, s->buf, (unsigned)s->len, s->offset, fixed);
		else
			io_uring_prep_read(sqe, fd, s->buf, (unsigned)s->len, s->offset);
	} else {
		if (s->niov > 0)
			io_uring_prep_writev(sqe, fd, s->iov, s->niov, s->offset);
		else if (fixed >= 0)
			io_uring_prep_write_fixed(sqe, fd, s->buf, (unsigned)s->len, s->offset, fixed);
		else
			io_uring_prep_write(sqe, fd, s->buf, (unsigned)s->len, s->offset);
	}
	sqe->rw_flags = s->rw_flags;
}

static void prepare(struct uring *u, struct io_uring_sqe *sqe, struct vdev_disk_io *io)
{
	struct file_channel *ch = file_op(io)->ch;
	int fd = ch->slot >= 0 ? ch->slot : ch->disk->fd;
	struct file_step s;

	file_op_step(io, &s);
	switch (s.kind) {
	case FILE_SYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case FILE_ALLOCATE:
		io_uring_prep_fallocate(sqe, fd, s.mode, (off_t)s.offset, (off_t)s.len);
		break;
	default:
		prepare_transfer(u, sqe, &s, fd);
	}
	if (ch->slot >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

/* Put the next step of an operation into the submission queue. Returns 0 when there is no room now. */
static int try_start(struct uring *u, struct vdev_disk_io *io)
{
	struct io_uring_sqe *sqe;

	if (u->in_kernel >= u->most)
		return 0;
	sqe = io_uring_get_sqe(&u->ring);
	if (sqe == NULL) {
		if (io_uring_submit(&u->ring) < 0)
			return 0;
		sqe = io_uring_get_sqe(&u->ring);
		if (sqe == NULL)
			return 0;
	}
	prepare(u, sqe, io);
	u->in_kernel++;
	return 1;
}

static void uring_start(struct vdev_engine *e, struct vdev_disk_io *io)
{
	struct uring *u = to_uring(e);

	if (u->backlog.first != NULL || !try_start(u, io))
		file_list_add(&u->backlog, io);
}

static void uring_push(struct vdev_engine *e)
{
	struct uring *u = to_uring(e);

	while (u->backlog.first != NULL) {
		struct vdev_disk_io *io = u->backlog.first;
		struct vdev_disk_io *next = file_op(io)->next;

		if (!try_start(u, io))
			break;
		u->backlog.first = next;
	}
	/* Failures (no memory now, interrupted) leave the entries where they are; the next push tries again. */
	if (io_uring_sq_ready(&u->ring) > 0)
		(void)io_uring_submit(&u->ring);
}

/* Take completions off the ring. Returns how many. */
static unsigned take(struct uring *u, struct file_channel *self)
{
	struct io_uring_cqe *cqes[REAP];
	unsigned n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP);

	for (unsigned i = 0; i < n; i++) {
		struct vdev_disk_io *io = io_uring_cqe_get_data(cqes[i]);
		struct file_channel *ch = file_op(io)->ch;

		file_op(io)->result = cqes[i]->res;
		file_list_add(&ch->ready, io);
		/* Another channel sleeps, and the ring won't wake it any more. */
		if (ch != self && atomic_exchange_explicit(&ch->armed, 0, memory_order_relaxed))
			vdev_os_signal(ch->event_fd);
	}
	io_uring_cq_advance(&u->ring, n);
	u->in_kernel -= n;
	return n;
}

/* Empty polls until the workers are let in; and where fewer steps than FEW are in the kernel. */
enum { PATIENCE = 16, PATIENCE_FEW = 4, FEW = 4 };

/*
 * Nothing has come. What the kernel can't do at once it gives to threads of its own, perhaps on this very processor:
 * whoever polls without a pause keeps them from it.
 */
static void let_workers_in(struct uring *u)
{
	/* Of few steps none is likely to come while we look: who polls more for them only makes them wait. */
	if (++u->empty < (u->in_kernel < FEW ? PATIENCE_FEW : PATIENCE))
		return;
	u->empty = 0;
	sched_yield();
}

static int uring_poll(struct vdev_engine *e, struct file_channel *ch)
{
	struct uring *u = to_uring(e);
	struct file_list mine;
	struct vdev_disk_io *io;
	unsigned n;

	if (ch->slept) {
		ch->slept = 0;
		if (!atomic_exchange_explicit(&ch->armed, 0, memory_order_relaxed))
			(void)vdev_os_drain(ch->event_fd);
	}
	n = u->in_kernel > 0 ? take(u, ch) : 0;
	if (n > 0)
		u->empty = 0;
	else if (u->in_kernel > 0)
		let_workers_in(u);
	/* The list as it is now: what done submits and completes comes with the next poll. */
	mine = ch->ready;
	ch->ready = (struct file_list){NULL, NULL};
	while ((io = file_list_take(&mine)) != NULL) {
		if (file_op_advance(io, file_op(io)->result))
			uring_start(e, io);
		else
			file_channel_end(ch, io);
	}
	uring_push(e);
	return n == REAP || ch->ready.first != NULL;
}

static int uring_fd(struct vdev_engine *e, struct file_channel *ch)
{
	(void)e;
	return ch->epoll_fd;
}

/*
 * The ring's descriptor is readable while completions lie in it. It counts for a channel only while the channel has
 * something under way, so that a ring shared by many disks wakes those concerned.
 */
static void watch(struct uring *u, struct file_channel *ch)
{
	int want = ch->under_way > 0;

	if (want == ch->watching || (u->base.channels == 1 && ch->watching))
		return;
	if (!want)
		vdev_os_epoll_del(ch->epoll_fd, u->ring.ring_fd);
	else if (vdev_os_epoll_add(ch->epoll_fd, u->ring.ring_fd, u) < 0)
		return;
	ch->watching = want;
}

static int uring_arm(struct vdev_engine *e, struct file_channel *ch)
{
	struct uring *u = to_uring(e);

	uring_push(e);
	/* What the kernel did not take now must be offered again, and nothing would wake us for it. */
	if (ch->ready.first != NULL || io_uring_sq_ready(&u->ring) > 0 ||
	    io_uring_cq_ready(&u->ring) > 0)
		return 1;
	watch(u, ch);
	if (ch->under_way > 0 && !ch->watching)
		return 1;
	ch->slept = 1;
	atomic_store_explicit(&ch->armed, 1, memory_order_relaxed);
	return 0;
}

/* --- registered files and memory ------------------------------------------ */

static void take_slot(struct uring *u, struct file_channel *ch)
{
	for (unsigned n = 0; u->files && n < SLOTS; n++) {
		if (u->used_slots[n / 64] & (1ull << (n % 64)))
			continue;
		if (io_uring_register_files_update(&u->ring, n, &ch->disk->fd, 1) != 1)
			return;
		u->used_slots[n / 64] |= 1ull << (n % 64);
		ch->slot = (int)n;
		return;
	}
}

static void give_slot(struct uring *u, struct file_channel *ch)
{
	unsigned n = (unsigned)ch->slot;
	int none = -1;

	if (ch->slot < 0)
		return;
	(void)io_uring_register_files_update(&u->ring, n, &none, 1);
	u->used_slots[n / 64] &= ~(1ull << (n % 64));
}

static int uring_attach(struct vdev_engine *e, struct file_channel *ch)
{
	int rc;

	ch->event_fd = vdev_os_eventfd();
	if (ch->event_fd < 0)
		return ch->event_fd;
	ch->epoll_fd = vdev_os_epoll();
	rc = ch->epoll_fd < 0 ? ch->epoll_fd : vdev_os_epoll_add(ch->epoll_fd, ch->event_fd, ch);
	if (rc < 0) {
		vdev_os_close(ch->epoll_fd);
		vdev_os_close(ch->event_fd);
		return rc;
	}
	take_slot(to_uring(e), ch);
	return 0;
}

static void uring_detach(struct vdev_engine *e, struct file_channel *ch)
{
	give_slot(to_uring(e), ch);
	vdev_os_close(ch->epoll_fd);
	vdev_os_close(ch->event_fd);
}

/* Cut regions into pieces that can be registered. With iov NULL, count them. Returns how many. */
static uint64_t cut(const struct virtq_region *regions, uint32_t n, struct iovec *iov)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t done = 0;

		while (done < regions[i].len && count <= MAX_FIXED) {
			uint64_t left = regions[i].len - done;
			uint64_t part = left < FIXED_MAX ? left : FIXED_MAX;

			/* The kernel pins for writing; memory that is read-only here could not be. */
			if (regions[i].flags & VIRTQ_REGION_READONLY)
				break;
			if (iov != NULL)
				iov[count] = (struct iovec){.iov_base = (uint8_t *)regions[i].host + done,
				                            .iov_len = (size_t)part};
			count++;
			done += part;
		}
	}
	return count;
}

static int uring_reg(struct vdev_engine *e, const struct virtq_region *regions, uint32_t n)
{
	struct uring *u = to_uring(e);
	const struct vdev_env *env = &e->env;
	uint64_t count = cut(regions, n, NULL);

	if (u->nfixed > 0 || u->in_kernel > 0 || u->backlog.first != NULL)
		return VIRTQ_EBUSY;
	if (count == 0 || count > MAX_FIXED)
		return 0;
	u->fixed = env->alloc(env->ctx, (size_t)count * sizeof(*u->fixed));
	if (u->fixed == NULL)
		return 0;
	(void)cut(regions, n, u->fixed);
	if (io_uring_register_buffers(&u->ring, u->fixed, (unsigned)count) < 0) {
		env->free(env->ctx, u->fixed, (size_t)count * sizeof(*u->fixed));
		u->fixed = NULL;
		return 0;
	}
	u->nfixed = (unsigned)count;
	u->last_fixed = 0;
	return 1;
}

static int uring_unreg(struct vdev_engine *e)
{
	struct uring *u = to_uring(e);
	int rc;

	if (u->nfixed == 0)
		return 0;
	if (u->in_kernel > 0 || u->backlog.first != NULL)
		return VIRTQ_EBUSY;
	rc = io_uring_unregister_buffers(&u->ring);
	if (rc < 0)
		return rc;
	e->env.free(e->env.ctx, u->fixed, u->nfixed * sizeof(*u->fixed));
	u->fixed = NULL;
	u->nfixed = 0;
	return 0;
}

static void uring_destroy(struct vdev_engine *e)
{
	struct uring *u = to_uring(e);
	struct vdev_env env = e->env;

	io_uring_queue_exit(&u->ring);
	if (u->fixed != NULL)
		env.free(env.ctx, u->fixed, u->nfixed * sizeof(*u->fixed));
	env.free(env.ctx, u, sizeof(*u));
}

static const struct engine_ops uring_ops = {
	.attach = uring_attach,
	.detach = uring_detach,
	.start = uring_start,
	.push = uring_push,
	.poll = uring_poll,
	.fd = uring_fd,
	.arm = uring_arm,
	.reg = uring_reg,
	.unreg = uring_unreg,
	.destroy = uring_destroy,
};

static int set_up_ring(struct uring *u, unsigned entries)
{
	/* Completions are noticed when we look, without an interrupt to this thread. */
	struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
	                                     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	                            .cq_entries = entries * 4};
	int rc = io_uring_queue_init_params(entries, &u->ring, &p);

	if (rc == -EINVAL) { /* before Linux 5.19 */
		p = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		                             .cq_entries = entries * 4};
		rc = io_uring_queue_init_params(entries, &u->ring, &p);
	}
	u->most = p.cq_entries;
	return rc;
}

int vdev_engine_uring_new(struct vdev_engine **out, const struct vdev_env *env, unsigned entries)
{
	struct uring *u;
	int rc;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || entries == 0 ||
	    entries > MAX_ENTRIES || (entries & (entries - 1)) != 0)
		return VIRTQ_EINVAL;
	u = engine_alloc(&uring_ops, env, sizeof(*u));
	if (u == NULL)
		return VIRTQ_ENOMEM;
	rc = set_up_ring(u, entries);
	if (rc < 0) {
		env->free(env->ctx, u, sizeof(*u));
		/* EPERM: switched off by the administrator. */
		return rc == -ENOSYS || rc == -EPERM || rc == -EACCES ? VIRTQ_ENOTSUP : rc;
	}
	u->files = io_uring_register_files_sparse(&u->ring, SLOTS) == 0;
	*out = &u->base;
	return 0;
}

#else

int vdev_engine_uring_new(struct vdev_engine **out, const struct vdev_env *env, unsigned entries)
{
	if (out == NULL || env == NULL || entries == 0 || entries > MAX_ENTRIES ||
	    (entries & (entries - 1)) != 0)
		return VIRTQ_EINVAL;
	return VIRTQ_ENOTSUP;
}

#endif
