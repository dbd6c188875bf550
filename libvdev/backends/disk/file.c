/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk in a file or block device: opening, what it can do, the image lock, events. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "file.h"
#include "libvdev/os/os.h"

#define MAX_DIRECT_BLOCK 4096u

static struct file_disk *to_file(struct vdev_disk *d)
{
	return (struct file_disk *)d;
}

static int power_of_two(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/* Bytes there are now, or why that can't be said. */
static int look_at_size(const struct file_disk *d, uint64_t *out)
{
	struct stat st;

	if (d->block_device)
		return ioctl(d->fd, BLKGETSIZE64, out) < 0 ? -errno : 0;
	if (fstat(d->fd, &st) < 0)
		return -errno;
	*out = (uint64_t)st.st_size;
	return 0;
}

static int whole_blocks(const struct file_disk *d, uint64_t bytes)
{
	return bytes != 0 && bytes % d->block_size == 0;
}

/* What O_DIRECT asks of offsets, lengths and addresses on a regular file. */
static int probe_direct(struct file_disk *d)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(d->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN)) {
		if (sx.stx_dio_offset_align == 0 || sx.stx_dio_mem_align == 0)
			return VIRTQ_EINVAL;
		d->mem_align = sx.stx_dio_mem_align;
		d->block_size = sx.stx_dio_offset_align < 512 ? 512 : sx.stx_dio_offset_align;
		return 0;
	}
#endif
	/* Older kernels don't say: see which blocks can be read. */
	for (uint32_t size = 512; size <= MAX_DIRECT_BLOCK; size *= 2) {
		_Alignas(MAX_DIRECT_BLOCK) uint8_t buf[MAX_DIRECT_BLOCK];

		if (pread(d->fd, buf, size, 0) < 0)
			continue;
		d->block_size = size;
		d->mem_align = size;
		return 0;
	}
	return VIRTQ_EINVAL;
}

static int probe_device(struct file_disk *d)
{
	int logical = 0, ro = 0;
	unsigned physical = 0, min_io = 0, opt_io = 0;

	if (ioctl(d->fd, BLKSSZGET, &logical) < 0)
		return -errno;
	if (logical < 512 || !power_of_two((uint64_t)logical))
		return VIRTQ_EINVAL;
	d->block_size = (uint32_t)logical;
	d->mem_align = d->block_size;
	if (ioctl(d->fd, BLKPBSZGET, &physical) == 0 && power_of_two(physical))
		d->physical_block = physical;
	if (ioctl(d->fd, BLKIOMIN, &min_io) == 0)
		d->min_io = min_io;
	if (ioctl(d->fd, BLKIOOPT, &opt_io) == 0)
		d->opt_io = opt_io;
	if (ioctl(d->fd, BLKROGET, &ro) == 0 && ro && !d->readonly)
		return -EROFS;
	return 0;
}

static int probe(struct file_disk *d)
{
	struct stat st;
	uint64_t bytes = 0;
	int rc = 0;

	if (fstat(d->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return VIRTQ_EINVAL;
	d->block_device = S_ISBLK(st.st_mode);
	d->block_size = 512;
	if (d->block_device)
		rc = probe_device(d);
	else if (d->direct)
		rc = probe_direct(d);
	if (rc < 0)
		return rc;
	if (!power_of_two(d->block_size) || (d->direct && d->block_size > MAX_DIRECT_BLOCK) ||
	    (d->direct && (!power_of_two(d->mem_align) || d->mem_align > MAX_DIRECT_BLOCK)))
		return VIRTQ_EINVAL;
	if (!d->block_device && power_of_two((uint64_t)st.st_blksize))
		/* What the file system allocates by: a smaller hole frees nothing. */
		d->discard_align = (uint32_t)(st.st_blksize > 65536 ? 65536 : st.st_blksize);
	if (d->physical_block < d->block_size)
		d->physical_block = d->block_size;
	if (d->discard_align < d->block_size)
		d->discard_align = d->block_size;
	rc = look_at_size(d, &bytes);
	if (rc < 0)
		return rc;
	atomic_store(&d->bytes, bytes);
	atomic_store(&d->end, bytes);
	return whole_blocks(d, bytes) ? 0 : VIRTQ_EINVAL;
}

static int in_memory(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	return (uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == RAMFS_MAGIC;
}

/* Opening must not wait for anything (a FIFO's other end), hence O_NONBLOCK until the type is known. */
static int open_path(const char *path, const struct file_disk *d)
{
	int flags = (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, flags | (d->direct ? O_DIRECT : 0));

	return fd < 0 ? -errno : fd;
}

static int take_fd(int fd, struct file_disk *d)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if ((flags & O_APPEND) || (flags & O_PATH))
		return VIRTQ_EINVAL;
	if ((flags & O_ACCMODE) != O_RDWR && !(d->readonly && (flags & O_ACCMODE) == O_RDONLY))
		return VIRTQ_EINVAL;
	/* The description is shared with the caller: not ours to change. */
	if (d->direct && !(flags & O_DIRECT))
		return VIRTQ_EINVAL;
	d->direct = (flags & O_DIRECT) != 0;
	d->dsync = (flags & O_DSYNC) != 0;
	return vdev_os_dup(fd);
}

static int open_image(struct file_disk *d, const struct vdev_disk_file_config *cfg)
{
	int rc;

	d->fd = cfg->path != NULL ? open_path(cfg->path, d) : take_fd(cfg->fd, d);
	if (d->fd < 0)
		return d->fd;
	rc = probe(d);
	if (rc == 0 && cfg->path != NULL)
		rc = vdev_os_nonblock(d->fd, 0);
	d->in_place = (cfg->flags & VDEV_DISK_FILE_IN_PLACE) && !d->block_device && !d->direct &&
	              in_memory(d->fd);
	if (rc < 0)
		close(d->fd);
	return rc;
}

static int valid_config(const struct vdev_disk_file_config *cfg, const struct vdev_env *env)
{
	const uint32_t known = VDEV_DISK_FILE_READONLY | VDEV_DISK_FILE_DIRECT | VDEV_DISK_FILE_NOLOCK |
	                       VDEV_DISK_FILE_IN_PLACE;

	if (cfg == NULL || cfg->size < sizeof(*cfg) || env == NULL || env->size < sizeof(*env) ||
	    env->alloc == NULL || env->free == NULL)
		return 0;
	if ((cfg->path == NULL && cfg->fd < 0) || (cfg->flags & ~known) || cfg->nengines > 4096)
		return 0;
	if ((cfg->engines == NULL) != (cfg->nengines == 0))
		return 0;
	for (unsigned i = 0; i < cfg->nengines; i++)
		if (cfg->engines[i] == NULL)
			return 0;
	return 1;
}

static size_t disk_size(unsigned nengines)
{
	return sizeof(struct file_disk) + nengines * sizeof(struct vdev_engine *);
}

int vdev_disk_file_new(struct vdev_disk **out, const struct vdev_env *env,
                       const struct vdev_disk_file_config *cfg)
{
	struct file_disk *d;
	int rc;

	if (out == NULL || !valid_config(cfg, env))
		return VIRTQ_EINVAL;
	d = env->alloc(env->ctx, disk_size(cfg->nengines));
	if (d == NULL)
		return VIRTQ_ENOMEM;
	memset(d, 0, sizeof(*d));
	d->base.ops = cfg->nengines > 0 ? &file_async_ops : &file_sync_ops;
	d->env = *env;
	d->readonly = (cfg->flags & VDEV_DISK_FILE_READONLY) != 0;
	d->direct = (cfg->flags & VDEV_DISK_FILE_DIRECT) != 0;
	d->nolock = (cfg->flags & VDEV_DISK_FILE_NOLOCK) != 0;
	d->nengines = cfg->nengines;
	for (unsigned i = 0; i < cfg->nengines; i++)
		d->engines[i] = cfg->engines[i];
	rc = open_image(d, cfg);
	if (rc == 0) {
		rc = -pthread_mutex_init(&d->lock, NULL);
		if (rc < 0)
			close(d->fd);
	}
	if (rc < 0) {
		env->free(env->ctx, d, disk_size(cfg->nengines));
		return rc;
	}
	*out = &d->base;
	return 0;
}

void file_disk_destroy(struct vdev_disk *disk)
{
	struct file_disk *d = to_file(disk);
	struct vdev_env env = d->env;

	/* Others may share the description, so closing would not let go of a lock that is still held. */
	d->holders = d->holders > 0 ? 1 : 0;
	if (d->holders > 0)
		file_disk_release(disk);
	close(d->fd);
	pthread_mutex_destroy(&d->lock);
	env.free(env.ctx, d, disk_size(d->nengines));
}

void file_disk_info(struct vdev_disk *disk, struct vdev_disk_info *out)
{
	struct file_disk *d = to_file(disk);
	int writable = !d->readonly;

	*out = (struct vdev_disk_info){
		.bytes = atomic_load_explicit(&d->bytes, memory_order_relaxed),
		.block_size = d->block_size,
		.physical_block = d->physical_block,
		.min_io = d->min_io,
		.opt_io = d->opt_io,
		.discard_align = d->discard_align,
		.readonly = d->readonly,
		.discard = (uint8_t)writable,
		.write_zeroes = (uint8_t)writable,
		.zeroes_may_unmap = (uint8_t)writable,
		.volatile_cache = (uint8_t)writable,
	};
}

/* Locks belong to the open file description: neither fork nor closing another descriptor of the file loses them. */
static int set_lock(const struct file_disk *d, short type)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET};

	if (fcntl(d->fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? VIRTQ_EBUSY : -errno;
}

int file_disk_acquire(struct vdev_disk *disk)
{
	struct file_disk *d = to_file(disk);
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (d->holders == 0 && !d->nolock)
		rc = set_lock(d, d->readonly ? F_RDLCK : F_WRLCK);
	if (rc == 0)
		d->holders++;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void file_disk_release(struct vdev_disk *disk)
{
	struct file_disk *d = to_file(disk);

	pthread_mutex_lock(&d->lock);
	if (d->holders > 0 && --d->holders == 0 && !d->nolock)
		(void)set_lock(d, F_UNLCK);
	pthread_mutex_unlock(&d->lock);
}

void file_disk_on_event(struct vdev_disk *disk, vdev_disk_event_fn fn, void *ctx)
{
	struct file_disk *d = to_file(disk);

	pthread_mutex_lock(&d->lock);
	d->fn = fn;
	d->ctx = ctx;
	pthread_mutex_unlock(&d->lock);
}

void file_disk_event(struct file_disk *d, int event, int error)
{
	/* Called with the lock held: after on_event has returned, the old listener hears no more. */
	pthread_mutex_lock(&d->lock);
	if (d->fn != NULL)
		d->fn(d->ctx, event, error);
	pthread_mutex_unlock(&d->lock);
}

/*
 * Look and store in one, so that nobody brings an older size back. What is not whole blocks is no new capacity, but
 * writes respect it all the same. Returns whether the capacity is another (with resize), or why not.
 */
static int look_again(struct file_disk *d, int resize)
{
	uint64_t bytes = 0;
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = look_at_size(d, &bytes);
	if (rc == 0) {
		atomic_store(&d->end, bytes);
		if (!whole_blocks(d, bytes))
			rc = VIRTQ_EINVAL;
		else if (resize)
			rc = atomic_exchange(&d->bytes, bytes) != bytes;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void file_disk_shorter(struct file_disk *d)
{
	(void)look_again(d, 0);
}

int vdev_disk_file_refresh(struct vdev_disk *disk)
{
	int rc;

	if (disk == NULL || (disk->ops != &file_sync_ops && disk->ops != &file_async_ops))
		return VIRTQ_EINVAL;
	rc = look_again(to_file(disk), 1);
	if (rc <= 0)
		return rc;
	file_disk_event(to_file(disk), VDEV_DISK_RESIZED, 0);
	return 0;
}
