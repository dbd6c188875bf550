/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an operation on a file consists of: splitting, going on after a short transfer, bouncing, falling back, and
 * the meaning of errors. No system calls here; used by every engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "file.h"

#define MAX_RETRIES 1000       /* in a row, without any progress */
#define MAX_STEP    (1u << 30) /* bytes of one buffer in one call */
#define ZERO_PAGE   4096u
#define ZERO_PAGES  64u

/* Zeroes to write where the file system can't make any itself: one page, many times. */
static const _Alignas(ZERO_PAGE) uint8_t zero_page[ZERO_PAGE];
#define Z1                                                                                         \
	{                                                                                              \
		.iov_base = (void *)(uintptr_t)zero_page, .iov_len = ZERO_PAGE                             \
	}
#define Z4  Z1, Z1, Z1, Z1
#define Z16 Z4, Z4, Z4, Z4

/* Direct input and output want buffers that fit the device; others go through memory of ours. */
static int aligned(const struct file_disk *d, const struct vdev_disk_io *io)
{
	for (uint32_t i = 0; i < io->niov; i++)
		if (((uintptr_t)io->iov[i].base & (d->mem_align - 1)) != 0 ||
		    (io->iov[i].len & (d->block_size - 1)) != 0)
			return 0;
	return 1;
}

static int knows_not(const atomic_bool *flag)
{
	return atomic_load_explicit(flag, memory_order_relaxed);
}

/* Zeroes that take up space, where the file system can't make them in one go (tmpfs). */
static uint8_t zero_stage(const struct file_disk *d)
{
	return knows_not(&d->no_punch) || knows_not(&d->no_allocate) ? FILE_ZERO_WRITE
	                                                             : FILE_ZERO_PUNCH;
}

static uint8_t first_stage(const struct file_disk *d, const struct vdev_disk_io *io)
{
	if (io->op == VDEV_DISK_FLUSH)
		return FILE_SETTLE;
	if (io->op == VDEV_DISK_DISCARD)
		return FILE_PUNCH;
	if (io->op != VDEV_DISK_WRITE_ZEROES)
		return FILE_DATA;
	if ((io->flags & VDEV_DISK_UNMAP) && !knows_not(&d->no_punch))
		return FILE_PUNCH;
	return knows_not(&d->no_zero_range) ? zero_stage(d) : FILE_ZERO_RANGE;
}

/* Whether its success says that something is on stable storage. */
static int vouches(const struct file_disk *d, const struct vdev_disk_io *io)
{
	return io->op == VDEV_DISK_FLUSH ||
	       (io->op != VDEV_DISK_READ && (d->dsync || (io->flags & VDEV_DISK_FUA)));
}

static int check(const struct file_disk *d, const struct vdev_disk_io *io)
{
	if (io->op >= VDEV_DISK_SECURE_ERASE)
		return VIRTQ_ENOTSUP;
	if (vouches(d, io) && atomic_load(&d->sync_lost))
		return VIRTQ_EIO;
	if (io->op == VDEV_DISK_FLUSH)
		return 0;
	if (io->op != VDEV_DISK_READ && d->readonly)
		return VIRTQ_EIO;
	if (io->offset > INT64_MAX || io->len > INT64_MAX - io->offset)
		return VIRTQ_EINVAL;
	/* Somebody else made the image shorter: a write would make it long again, with zeroes where data was. */
	if ((io->op == VDEV_DISK_WRITE || io->op == VDEV_DISK_WRITE_ZEROES) &&
	    io->offset + io->len > atomic_load_explicit(&d->end, memory_order_relaxed))
		return VIRTQ_EIO;
	/* Half a block could only be written by reading the other half first, which nobody else may see. */
	if (d->direct && ((io->offset | io->len) & (d->block_size - 1)) != 0)
		return VIRTQ_EINVAL;
	return 0;
}

int file_op_begin(struct file_channel *ch, struct vdev_disk_io *io)
{
	struct file_op *op = file_op(io);
	int rc = check(ch->disk, io);

	*op = (struct file_op){.ch = ch, .bounce = FILE_NO_BOUNCE};
	if (rc < 0)
		return rc;
	op->stage = first_stage(ch->disk, io);
	return ch->disk->direct && op->stage == FILE_DATA && !aligned(ch->disk, io);
}

/* The operation's place in its pieces moves on by n bytes; with copy, bytes move as well. */
static void move(struct vdev_disk_io *io, uint64_t n, uint8_t *copy, int to_pieces)
{
	struct file_op *op = file_op(io);

	op->done += n;
	while (n > 0 && op->at < io->niov) {
		uint8_t *base = (uint8_t *)io->iov[op->at].base + op->skip;
		uint64_t left = io->iov[op->at].len - op->skip;
		uint64_t part = left < n ? left : n;

		if (copy != NULL) {
			if (to_pieces)
				memcpy(base, copy, (size_t)part);
			else
				memcpy(copy, base, (size_t)part);
			copy += part;
		}
		n -= part;
		op->skip += part;
		if (part == left) {
			op->at++;
			op->skip = 0;
		}
	}
}

static uint8_t *bounce_of(const struct file_op *op)
{
	return op->ch->bounce + (size_t)op->bounce * FILE_BOUNCE_BYTES;
}

static void step_bounce(struct vdev_disk_io *io, struct file_step *s)
{
	struct file_op *op = file_op(io);
	uint64_t left = io->len - op->done;

	s->buf = bounce_of(op);
	s->len = left < FILE_BOUNCE_BYTES ? left : FILE_BOUNCE_BYTES;
	if (io->op == VDEV_DISK_WRITE) {
		struct file_op here = *op;

		move(io, s->len, s->buf, 0);
		*op = here; /* it counts when it has been written */
	}
}

static void step_data(struct vdev_disk_io *io, struct file_step *s)
{
	struct file_op *op = file_op(io);

	s->kind = io->op == VDEV_DISK_READ ? FILE_READ : FILE_WRITE;
	s->rw_flags = s->kind == FILE_WRITE && (io->flags & VDEV_DISK_FUA) ? RWF_DSYNC : 0;
	s->offset = io->offset + op->done;
	if (op->bounce != FILE_NO_BOUNCE) {
		step_bounce(io, s);
		return;
	}
	/* Skip pieces of no bytes: alone they would look like the end of the file. */
	while (op->at + 1 < io->niov && io->iov[op->at].len == op->skip) {
		op->at++;
		op->skip = 0;
	}
	if (op->skip > 0 || op->at + 1 >= io->niov) {
		/* The rest of one piece: the caller's list can't be changed to begin in the middle. */
		uint64_t left = io->iov[op->at].len - op->skip;

		s->buf = (uint8_t *)io->iov[op->at].base + op->skip;
		s->len = left < MAX_STEP ? left : MAX_STEP;
		return;
	}
	s->iov = (const struct iovec *)(const void *)&io->iov[op->at];
	s->niov = io->niov - op->at < IOV_MAX ? io->niov - op->at : IOV_MAX;
}

static void step_zeroes(struct vdev_disk_io *io, struct file_step *s)
{
	static const struct iovec zeroes[ZERO_PAGES] = {Z16, Z16, Z16, Z16};
	struct file_op *op = file_op(io);
	uint64_t left = io->len - op->done;

	s->kind = FILE_WRITE;
	s->rw_flags = io->flags & VDEV_DISK_FUA ? RWF_DSYNC : 0;
	s->offset = io->offset + op->done;
	if (left < ZERO_PAGE) {
		s->buf = (void *)(uintptr_t)zero_page;
		s->len = left;
		return;
	}
	s->iov = zeroes;
	s->niov = left / ZERO_PAGE < ZERO_PAGES ? (unsigned)(left / ZERO_PAGE) : ZERO_PAGES;
}

void file_op_step(struct vdev_disk_io *io, struct file_step *out)
{
	*out = (struct file_step){.offset = io->offset, .len = io->len};
	switch ((enum file_stage)file_op(io)->stage) {
	case FILE_DATA:
		step_data(io, out);
		break;
	case FILE_ZERO_WRITE:
		step_zeroes(io, out);
		break;
	case FILE_PUNCH:
	case FILE_ZERO_PUNCH:
		out->kind = FILE_ALLOCATE;
		out->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		break;
	case FILE_ZERO_RANGE:
		out->kind = FILE_ALLOCATE;
		out->mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		break;
	case FILE_ZERO_FILL:
		out->kind = FILE_ALLOCATE;
		out->mode = FALLOC_FL_KEEP_SIZE;
		break;
	case FILE_SETTLE:
		out->kind = FILE_SYNC;
		break;
	}
}

static int end(struct file_op *op, int result, int error)
{
	op->result = result;
	op->error = error;
	return 0;
}

/* It went well. What began before another's sync failed may have been told nothing of an error that was its own too. */
static int end_well(struct vdev_disk_io *io)
{
	struct file_op *op = file_op(io);
	const struct file_disk *d = op->ch->disk;

	return end(op, vouches(d, io) && atomic_load(&d->sync_lost) ? VIRTQ_EIO : 0, 0);
}

static int of_space(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/*
 * Whether an error may be that of a write to the medium, perhaps of data acknowledged long ago. The kernel says so to
 * one caller of a description, once, and takes the pages for clean: the next sync would succeed. Nor is a drive
 * believed which drops its cache. Errors of space and of the buffer are a write's own, before anything is synced.
 */
static int may_have_lost(struct vdev_disk_io *io, int error)
{
	const struct file_op *op = file_op(io);

	if (op->stage == FILE_SETTLE)
		return 1;
	if (op->stage != FILE_ZERO_WRITE && (op->stage != FILE_DATA || io->op != VDEV_DISK_WRITE))
		return 0;
	return vouches(op->ch->disk, io) && !of_space(error) && error != EFAULT;
}

static int unsupported(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS || error == EPERM;
}

/* A stage that the file system can't do: another in its place, remembered. Returns whether there is one. */
static int other_way(struct file_op *op)
{
	struct file_disk *d = op->ch->disk;
	atomic_bool *no;

	switch ((enum file_stage)op->stage) {
	case FILE_PUNCH:
		no = &d->no_punch;
		op->stage = FILE_ZERO_RANGE;
		break;
	case FILE_ZERO_RANGE:
		no = &d->no_zero_range;
		op->stage = zero_stage(d);
		break;
	case FILE_ZERO_PUNCH:
		no = &d->no_punch;
		op->stage = FILE_ZERO_WRITE;
		break;
	case FILE_ZERO_FILL:
		no = &d->no_allocate;
		op->stage = FILE_ZERO_WRITE;
		break;
	default:
		return 0;
	}
	atomic_store_explicit(no, 1, memory_order_relaxed);
	return 1;
}

/* A step failed. Returns 1 when there is another way. */
static int failed(struct vdev_disk_io *io, int error)
{
	struct file_op *op = file_op(io);
	struct file_disk *d = op->ch->disk;

	/* ECANCELED: the thread that submitted it ended; nobody cancels otherwise. */
	if ((error == EINTR || error == EAGAIN || error == ECANCELED) && op->retries++ < MAX_RETRIES)
		return 1;
	if (unsupported(error) && other_way(op))
		return io->op == VDEV_DISK_DISCARD ? end(op, 0, 0) : 1; /* a discard is a hint */
	if (may_have_lost(io, error) && atomic_exchange(&d->sync_lost, 1) && op->stage == FILE_SETTLE)
		return end(op, VIRTQ_EIO, 0); /* has been told */
	if (op->stage == FILE_SETTLE)
		return end(op, VIRTQ_EIO, error); /* more space won't bring it back */
	if (of_space(error) && !d->block_device)
		return end(op, VIRTQ_ENOSPC, error);
	if (error == ENOMEM)
		return end(op, VIRTQ_ENOMEM, error);
	return end(op, VIRTQ_EIO, error);
}

/* Data was transferred. Returns 1 when more is to do. */
static int transferred(struct vdev_disk_io *io, uint64_t n)
{
	struct file_op *op = file_op(io);
	const struct file_disk *d = op->ch->disk;

	/* Direct transfers go on at a block only; the half block is done again. */
	if (d->direct && op->done + n < io->len)
		n &= ~(uint64_t)(d->block_size - 1);
	if (n == 0) /* inside of the disk, so the file has become shorter */
		return end(op, VIRTQ_EIO, ENODEV);
	op->retries = 0;
	if (op->bounce != FILE_NO_BOUNCE && io->op == VDEV_DISK_READ)
		move(io, n, bounce_of(op), 1);
	else
		move(io, n, NULL, 0);
	return op->done < io->len ? 1 : end_well(io);
}

int file_op_advance(struct vdev_disk_io *io, int result)
{
	struct file_op *op = file_op(io);

	if (result < 0)
		return failed(io, -result);
	switch ((enum file_stage)op->stage) {
	case FILE_DATA:
	case FILE_ZERO_WRITE:
		return transferred(io, (uint64_t)result);
	case FILE_ZERO_PUNCH:
		op->stage = FILE_ZERO_FILL;
		return 1;
	case FILE_PUNCH:
	case FILE_ZERO_RANGE:
	case FILE_ZERO_FILL:
		if (!(io->flags & VDEV_DISK_FUA))
			break;
		op->stage = FILE_SETTLE;
		return 1;
	case FILE_SETTLE:
		break;
	}
	return end_well(io);
}

void file_op_report(struct vdev_disk_io *io)
{
	const struct file_op *op = file_op(io);
	int event = VDEV_DISK_FAILED;

	if (op->error == 0)
		return;
	if (op->result == VIRTQ_ENOSPC)
		event = VDEV_DISK_FULL;
	else if (op->error == ENODEV || op->error == ENXIO || op->error == ESTALE ||
	         (op->error == ENOSPC && op->ch->disk->block_device))
		event = VDEV_DISK_GONE;
	if (event == VDEV_DISK_GONE && !op->ch->disk->block_device)
		file_disk_shorter(op->ch->disk);
	file_disk_event(op->ch->disk, event, -op->error);
}
