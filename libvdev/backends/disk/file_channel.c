/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels of a file disk: starting and ending operations, bounce buffers. */
#include <errno.h>

#include "file.h"
#include "libvdev/os/os.h"

#define BOUNCE_ALIGN 4096u
#define BOUNCE_ALLOC ((size_t)FILE_BOUNCES * FILE_BOUNCE_BYTES + BOUNCE_ALIGN)

static struct file_channel *to_channel(struct vdev_disk_channel *c)
{
	return (struct file_channel *)c;
}

static void free_channel(struct file_channel *ch)
{
	const struct vdev_env *env = &ch->disk->env;

	if (ch->bounce_mem != NULL)
		env->free(env->ctx, ch->bounce_mem, BOUNCE_ALLOC);
	env->free(env->ctx, ch, sizeof(*ch));
}

static int new_channel(struct file_disk *d, struct file_channel **out)
{
	struct file_channel *ch = d->env.alloc(d->env.ctx, sizeof(*ch));

	if (ch == NULL)
		return VIRTQ_ENOMEM;
	*ch = (struct file_channel){.base = {.disk = &d->base},
	                            .disk = d,
	                            .bounces_free = (1u << FILE_BOUNCES) - 1,
	                            .event_fd = -1,
	                            .epoll_fd = -1,
	                            .slot = -1};
	if (d->direct) {
		uintptr_t at;

		ch->bounce_mem = d->env.alloc(d->env.ctx, BOUNCE_ALLOC);
		if (ch->bounce_mem == NULL) {
			free_channel(ch);
			return VIRTQ_ENOMEM;
		}
		at = (uintptr_t)ch->bounce_mem;
		ch->bounce = (uint8_t *)ch->bounce_mem + (-at & (BOUNCE_ALIGN - 1));
	}
	*out = ch;
	return 0;
}

static int sync_open(struct vdev_disk *disk, unsigned n, struct vdev_disk_channel **out)
{
	struct file_channel *ch;
	int rc = new_channel((struct file_disk *)disk, &ch);

	(void)n;
	if (rc == 0)
		*out = &ch->base;
	return rc;
}

static int async_open(struct vdev_disk *disk, unsigned n, struct vdev_disk_channel **out)
{
	struct file_disk *d = (struct file_disk *)disk;
	struct vdev_engine *e = d->engines[n % d->nengines];
	struct file_channel *ch;
	int rc = new_channel(d, &ch);

	if (rc < 0)
		return rc;
	ch->engine = e;
	rc = e->ops->attach(e, ch);
	if (rc < 0) {
		free_channel(ch);
		return rc;
	}
	e->channels++;
	*out = &ch->base;
	return 0;
}

static void channel_close(struct vdev_disk_channel *c)
{
	struct file_channel *ch = to_channel(c);

	if (ch->engine != NULL) {
		ch->engine->ops->detach(ch->engine, ch);
		ch->engine->channels--;
	}
	free_channel(ch);
}

/* A file system in memory has no page to wait for; an engine would make two switches of threads out of a copy. */
static int in_place(const struct file_channel *ch, const struct vdev_disk_io *io)
{
	return ch->disk->in_place && io->op <= VDEV_DISK_WRITE && io->len <= FILE_IN_PLACE;
}

static void start(struct file_channel *ch, struct vdev_disk_io *io)
{
	if (ch->engine != NULL && !in_place(ch, io)) {
		ch->engine->ops->start(ch->engine, io);
		return;
	}
	for (;;) {
		struct file_step s;

		file_op_step(io, &s);
		if (!file_op_advance(io, file_step_run(&s, ch->disk->fd)))
			break;
	}
	file_channel_end(ch, io);
}

/* Start an operation that wants a bounce buffer, or put it behind those that wait for one. */
static void start_bounced(struct file_channel *ch, struct vdev_disk_io *io)
{
	int n;

	if (ch->bounces_free == 0) {
		file_list_add(&ch->waiting, io);
		return;
	}
	n = __builtin_ctz(ch->bounces_free);
	ch->bounces_free &= ~(1u << n);
	file_op(io)->bounce = (int8_t)n;
	start(ch, io);
}

static void channel_submit(struct vdev_disk_channel *c, struct vdev_disk_io *const *ios, uint32_t n)
{
	struct file_channel *ch = to_channel(c);

	for (uint32_t i = 0; i < n; i++) {
		struct vdev_disk_io *io = ios[i];
		int rc = file_op_begin(ch, io);

		ch->under_way++;
		if (rc > 0) {
			start_bounced(ch, io);
		} else if (rc < 0 || (io->len == 0 && io->op != VDEV_DISK_FLUSH)) {
			file_op(io)->result = rc;
			file_channel_end(ch, io);
		} else {
			start(ch, io);
		}
	}
	if (ch->engine != NULL && ch->engine->ops->push != NULL)
		ch->engine->ops->push(ch->engine);
}

void file_channel_end(struct file_channel *ch, struct vdev_disk_io *io)
{
	struct file_op *op = file_op(io);
	int result = op->result;
	struct vdev_disk_io *next = NULL;

	file_op_report(io);
	if (op->bounce != FILE_NO_BOUNCE) {
		ch->bounces_free |= 1u << op->bounce;
		next = file_list_take(&ch->waiting);
	}
	/* Before done, which may bring more: whoever waits longest comes first. */
	if (next != NULL)
		start_bounced(ch, next);
	ch->under_way--;
	io->done(io, result); /* io is the caller's again */
}

static int channel_poll(struct vdev_disk_channel *c)
{
	struct file_channel *ch = to_channel(c);

	return ch->engine->ops->poll(ch->engine, ch);
}

static int channel_fd(struct vdev_disk_channel *c)
{
	struct file_channel *ch = to_channel(c);

	return ch->engine->ops->fd(ch->engine, ch);
}

static int channel_arm(struct vdev_disk_channel *c)
{
	struct file_channel *ch = to_channel(c);

	return ch->engine->ops->arm(ch->engine, ch);
}

const struct vdev_disk_ops file_sync_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "file",
	.info = file_disk_info,
	.open = sync_open,
	.close = channel_close,
	.submit = channel_submit,
	.acquire = file_disk_acquire,
	.release = file_disk_release,
	.on_event = file_disk_on_event,
	.destroy = file_disk_destroy,
};

const struct vdev_disk_ops file_async_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "file",
	.info = file_disk_info,
	.open = async_open,
	.close = channel_close,
	.submit = channel_submit,
	.poll = channel_poll,
	.fd = channel_fd,
	.arm = channel_arm,
	.acquire = file_disk_acquire,
	.release = file_disk_release,
	.on_event = file_disk_on_event,
	.destroy = file_disk_destroy,
};
