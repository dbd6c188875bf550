/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk in memory. Everything ends inside submit. Channels copy without a lock: requests that
 * overlap in time and place have no defined result on any disk.
 */
#include <string.h>

#include <vdev/disk.h>

struct mem_disk {
	struct vdev_disk disk; /* first */
	struct vdev_disk_channel channel;
	struct vdev_env env;
	uint8_t *base;
	uint64_t bytes;
	void *owned; /* what base lies in, if that is ours */
};

/* Blocks of a disk lie like pages, whatever the allocator gives: copies to other places take a fifth longer. */
enum { ALIGN = 4096 };

static void mem_info(struct vdev_disk *d, struct vdev_disk_info *out)
{
	memset(out, 0, sizeof(*out));
	out->bytes = ((struct mem_disk *)d)->bytes;
	out->block_size = 512;
	out->physical_block = 512;
	out->discard = 1;
	out->write_zeroes = 1;
	out->secure_erase = 1;
}

static int mem_open(struct vdev_disk *d, unsigned n, struct vdev_disk_channel **out)
{
	(void)n;
	*out = &((struct mem_disk *)d)->channel;
	return 0;
}

static void mem_close(struct vdev_disk_channel *c)
{
	(void)c;
}

static void copy(struct vdev_disk_io *io, uint8_t *at)
{
	for (uint32_t k = 0; k < io->niov; k++) {
		if (io->op == VDEV_DISK_READ)
			memcpy(io->iov[k].base, at, io->iov[k].len);
		else
			memcpy(at, io->iov[k].base, io->iov[k].len);
		at += io->iov[k].len;
	}
}

static int perform(struct mem_disk *disk, struct vdev_disk_io *io)
{
	switch (io->op) {
	case VDEV_DISK_READ:
	case VDEV_DISK_WRITE:
		copy(io, disk->base + io->offset);
		return 0;
	case VDEV_DISK_WRITE_ZEROES:
	case VDEV_DISK_SECURE_ERASE:
		memset(disk->base + io->offset, 0, (size_t)io->len);
		return 0;
	case VDEV_DISK_FLUSH:
	case VDEV_DISK_DISCARD: /* undefined afterwards: what was there will do */
		return 0;
	default:
		return VIRTQ_ENOTSUP;
	}
}

static void mem_submit(struct vdev_disk_channel *c, struct vdev_disk_io *const *ios, uint32_t n)
{
	struct mem_disk *disk = (struct mem_disk *)c->disk;

	for (uint32_t i = 0; i < n; i++)
		ios[i]->done(ios[i], perform(disk, ios[i]));
}

static void mem_on_event(struct vdev_disk *d, vdev_disk_event_fn fn, void *ctx)
{
	(void)d; /* nothing ever happens to it */
	(void)fn;
	(void)ctx;
}

static void mem_destroy(struct vdev_disk *d)
{
	struct mem_disk *disk = (struct mem_disk *)d;
	struct vdev_env env = disk->env;

	if (disk->owned != NULL)
		env.free(env.ctx, disk->owned, (size_t)disk->bytes + ALIGN - 1);
	env.free(env.ctx, disk, sizeof(*disk));
}

static const struct vdev_disk_ops mem_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "mem",
	.info = mem_info,
	.open = mem_open,
	.close = mem_close,
	.submit = mem_submit,
	.on_event = mem_on_event,
	.destroy = mem_destroy,
};

int vdev_disk_mem_new(struct vdev_disk **out, const struct vdev_env *env, void *base,
                      uint64_t bytes)
{
	struct mem_disk *disk;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || env->alloc == NULL ||
	    env->free == NULL || bytes == 0 || bytes % 512 != 0 || bytes > SIZE_MAX - ALIGN)
		return VIRTQ_EINVAL;
	disk = env->alloc(env->ctx, sizeof(*disk));
	if (disk == NULL)
		return VIRTQ_ENOMEM;
	memset(disk, 0, sizeof(*disk));
	disk->disk.ops = &mem_ops;
	disk->channel.disk = &disk->disk;
	disk->env = *env;
	disk->bytes = bytes;
	disk->base = base;
	if (base == NULL) {
		disk->owned = env->alloc(env->ctx, (size_t)bytes + ALIGN - 1);
		if (disk->owned == NULL) {
			env->free(env->ctx, disk, sizeof(*disk));
			return VIRTQ_ENOMEM;
		}
		disk->base = (uint8_t *)disk->owned + (-(uintptr_t)disk->owned & (ALIGN - 1));
		memset(disk->base, 0, (size_t)bytes);
	}
	*out = &disk->disk;
	return 0;
}
