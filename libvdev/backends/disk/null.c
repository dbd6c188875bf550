/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk of zeroes that forgets what is written, and one that does nothing at all. One channel, which holds nothing.
 * Everything ends inside submit, so it is also the shortest example of a disk.
 */
#include <string.h>

#include <vdev/disk.h>

struct null_disk {
	struct vdev_disk disk; /* first */
	struct vdev_disk_channel channel;
	struct vdev_env env;
	uint64_t bytes;
};

static void null_info(struct vdev_disk *d, struct vdev_disk_info *out)
{
	memset(out, 0, sizeof(*out));
	out->bytes = ((struct null_disk *)d)->bytes;
	out->block_size = 512;
	out->physical_block = 512;
	out->discard = 1;
	out->write_zeroes = 1;
	out->zeroes_may_unmap = 1;
}

static int null_open(struct vdev_disk *d, unsigned n, struct vdev_disk_channel **out)
{
	(void)n;
	*out = &((struct null_disk *)d)->channel;
	return 0;
}

static void null_close(struct vdev_disk_channel *c)
{
	(void)c;
}

static void null_submit(struct vdev_disk_channel *c, struct vdev_disk_io *const *ios, uint32_t n)
{
	(void)c;
	for (uint32_t i = 0; i < n; i++) {
		struct vdev_disk_io *io = ios[i];

		if (io->op == VDEV_DISK_READ)
			for (uint32_t k = 0; k < io->niov; k++)
				memset(io->iov[k].base, 0, io->iov[k].len);
		io->done(io, 0);
	}
}

static void void_submit(struct vdev_disk_channel *c, struct vdev_disk_io *const *ios, uint32_t n)
{
	(void)c;
	for (uint32_t i = 0; i < n; i++)
		ios[i]->done(ios[i], ios[i]->op == VDEV_DISK_READ ? VDEV_DISK_UNTOUCHED : 0);
}

static void null_on_event(struct vdev_disk *d, vdev_disk_event_fn fn, void *ctx)
{
	(void)d; /* nothing ever happens to it */
	(void)fn;
	(void)ctx;
}

static void null_destroy(struct vdev_disk *d)
{
	struct null_disk *disk = (struct null_disk *)d;

	disk->env.free(disk->env.ctx, disk, sizeof(*disk));
}

static const struct vdev_disk_ops null_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "null",
	.info = null_info,
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
	.on_event = null_on_event,
	.destroy = null_destroy,
};

static const struct vdev_disk_ops void_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "void",
	.info = null_info,
	.open = null_open,
	.close = null_close,
	.submit = void_submit,
	.on_event = null_on_event,
	.destroy = null_destroy,
};

static int make(struct vdev_disk **out, const struct vdev_env *env, uint64_t bytes,
                const struct vdev_disk_ops *ops)
{
	struct null_disk *disk;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || env->alloc == NULL ||
	    env->free == NULL || bytes % 512 != 0)
		return VIRTQ_EINVAL;
	disk = env->alloc(env->ctx, sizeof(*disk));
	if (disk == NULL)
		return VIRTQ_ENOMEM;
	memset(disk, 0, sizeof(*disk));
	disk->disk.ops = ops;
	disk->channel.disk = &disk->disk;
	disk->env = *env;
	disk->bytes = bytes;
	*out = &disk->disk;
	return 0;
}

int vdev_disk_null_new(struct vdev_disk **out, const struct vdev_env *env, uint64_t bytes)
{
	return make(out, env, bytes, &null_ops);
}

int vdev_disk_void_new(struct vdev_disk **out, const struct vdev_env *env, uint64_t bytes)
{
	return make(out, env, bytes, &void_ops);
}
