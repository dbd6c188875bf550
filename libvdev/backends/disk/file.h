/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File disks, inside. An operation (struct vdev_disk_io) is a sequence of steps, each one system call's worth; what
 * the next step is and what a step's result means is decided in file_op.c alone. An engine only carries out steps.
 */
#ifndef VDEV_DISK_FILE_IMPL_H
#define VDEV_DISK_FILE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include <vdev/disk_file.h>

#define FILE_IN_PLACE     (256u * 1024) /* bytes of the largest transfer that is done in place */
#define FILE_BOUNCES      4             /* bounce buffers of a channel under O_DIRECT */
#define FILE_BOUNCE_BYTES (128u * 1024) /* each */

struct file_disk {
	struct vdev_disk base;
	struct vdev_env env;
	int fd;
	uint8_t readonly;
	uint8_t direct;
	uint8_t dsync; /* the description is O_DSYNC: each write waits for the medium */
	uint8_t nolock;
	uint8_t block_device;
	uint8_t in_place; /* asked for, and the file system lies in memory */
	uint32_t block_size;
	uint32_t physical_block;
	uint32_t mem_align; /* of buffers, under O_DIRECT */
	uint32_t min_io;
	uint32_t opt_io;
	uint32_t discard_align;
	_Atomic uint64_t bytes;
	_Atomic uint64_t end; /* what there was when it was last looked at: nothing is written beyond */
	/* What the file system turned out not to be able to do. */
	atomic_bool no_punch;
	atomic_bool no_zero_range;
	atomic_bool no_allocate;
	atomic_bool sync_lost; /* acknowledged data may not have reached the medium: for good */
	pthread_mutex_t lock;  /* holders, fn, ctx, stores to bytes, end */
	unsigned holders;
	vdev_disk_event_fn fn;
	void *ctx;
	unsigned nengines;
	struct vdev_engine *engines[]; /* nengines */
};

/* A list of operations, linked through struct file_op. */
struct file_list {
	struct vdev_disk_io *first;
	struct vdev_disk_io *last;
};

struct file_channel {
	struct vdev_disk_channel base;
	struct file_disk *disk;
	struct vdev_engine *engine; /* NULL: synchronous */
	uint32_t under_way;         /* submitted, not done */
	uint32_t bounces_free;      /* bit per buffer */
	void *bounce_mem;
	uint8_t *bounce;          /* FILE_BOUNCES * FILE_BOUNCE_BYTES, aligned */
	struct file_list waiting; /* for a bounce buffer */

	/* The engine's. */
	struct file_list ready;               /* uring: steps that have ended */
	_Atomic(struct vdev_disk_io *) ended; /* threads: operations that have ended, newest first */
	atomic_int armed;
	atomic_uint visitors; /* threads: workers that may still touch the channel */
	int event_fd;
	int epoll_fd;
	int watching; /* uring: the ring is in epoll_fd */
	int slept;    /* event_fd may have been made readable */
	int slot;     /* registered file, or -1 */
};

enum file_step_kind { FILE_READ, FILE_WRITE, FILE_SYNC, FILE_ALLOCATE };

/* One system call. */
struct file_step {
	enum file_step_kind kind;
	int rw_flags;  /* RWF_* */
	int mode;      /* FALLOC_FL_* */
	unsigned niov; /* 0: buf, len */
	const struct iovec *iov;
	void *buf;
	uint64_t len;
	uint64_t offset;
};

/* What an operation has come to; lives in vdev_disk_io.priv. */
struct __attribute__((may_alias)) file_op {
	struct vdev_disk_io *next;
	struct file_channel *ch;
	uint64_t done; /* bytes */
	uint64_t skip; /* bytes of iov[at] that are done */
	uint32_t at;
	int32_t result; /* of the last step; at the end, of the operation */
	uint8_t stage;  /* enum file_stage */
	int8_t bounce;  /* buffer, or FILE_NO_BOUNCE */
	uint16_t retries;
	int32_t error; /* errno behind the result, for the event */
};
_Static_assert(sizeof(struct file_op) <= sizeof(((struct vdev_disk_io *)0)->priv), "fits in priv");
_Static_assert(sizeof(struct iovec) == sizeof(struct virtq_iov) &&
                   offsetof(struct iovec, iov_base) == offsetof(struct virtq_iov, base) &&
                   offsetof(struct iovec, iov_len) == offsetof(struct virtq_iov, len),
               "virtq_iov is laid out as iovec");

enum file_stage {
	FILE_DATA,
	FILE_PUNCH,
	FILE_ZERO_RANGE,
	FILE_ZERO_PUNCH, /* a hole in place of that, */
	FILE_ZERO_FILL,  /* which is given space again */
	FILE_ZERO_WRITE,
	FILE_SETTLE
};
#define FILE_NO_BOUNCE (-1)

static inline struct file_op *file_op(struct vdev_disk_io *io)
{
	return (struct file_op *)io->priv;
}

static inline void file_list_add(struct file_list *l, struct vdev_disk_io *io)
{
	file_op(io)->next = NULL;
	if (l->first == NULL)
		l->first = io;
	else
		file_op(l->last)->next = io;
	l->last = io;
}

static inline struct vdev_disk_io *file_list_take(struct file_list *l)
{
	struct vdev_disk_io *io = l->first;

	if (io != NULL)
		l->first = file_op(io)->next;
	return io;
}

/* file_op.c */
/* Set up. Returns 1 when it needs a bounce buffer, 0, or < 0: it fails with that. */
int file_op_begin(struct file_channel *ch, struct vdev_disk_io *io);
/* The next step. */
void file_op_step(struct vdev_disk_io *io, struct file_step *out);
/* A step returned @p result (bytes or -errno). Returns 1: there is another step; 0: it has ended. Any thread. */
int file_op_advance(struct vdev_disk_io *io, int result);
/* Tell the event listener of how it ended, if it should know. Any thread. */
void file_op_report(struct vdev_disk_io *io);

/* file_step.c */
/* Carry out a step here and now. Returns bytes (0 for those without data) or -errno. */
int file_step_run(const struct file_step *s, int fd);

/* file_channel.c */
extern const struct vdev_disk_ops file_sync_ops;
extern const struct vdev_disk_ops file_async_ops;
/* An operation has ended; its done is called. Channel's thread. */
void file_channel_end(struct file_channel *ch, struct vdev_disk_io *io);

/* file.c */
void file_disk_event(struct file_disk *d, int event, int error);
/* There is less than there should be: see how much. */
void file_disk_shorter(struct file_disk *d);
void file_disk_info(struct vdev_disk *d, struct vdev_disk_info *out);
int file_disk_acquire(struct vdev_disk *d);
void file_disk_release(struct vdev_disk *d);
void file_disk_on_event(struct vdev_disk *d, vdev_disk_event_fn fn, void *ctx);
void file_disk_destroy(struct vdev_disk *d);

/* What an engine implements. All on its thread. */
struct engine_ops {
	int (*attach)(struct vdev_engine *e, struct file_channel *ch);
	void (*detach)(struct vdev_engine *e, struct file_channel *ch);
	/* Carry out the steps of an operation; never fails. */
	void (*start)(struct vdev_engine *e, struct vdev_disk_io *io);
	/* All of a burst has been started. May be NULL. */
	void (*push)(struct vdev_engine *e);
	/* As in vdev_disk_ops. */
	int (*poll)(struct vdev_engine *e, struct file_channel *ch);
	int (*fd)(struct vdev_engine *e, struct file_channel *ch);
	int (*arm)(struct vdev_engine *e, struct file_channel *ch);
	/* May be NULL: nothing to register. */
	int (*reg)(struct vdev_engine *e, const struct virtq_region *regions, uint32_t n);
	int (*unreg)(struct vdev_engine *e);
	void (*destroy)(struct vdev_engine *e);
};

struct vdev_engine {
	const struct engine_ops *ops;
	struct vdev_env env;
	unsigned channels;
};

/* engine.c */
/* Memory for an engine of @p bytes whose first member is the engine, cleared; NULL when there is none. */
void *engine_alloc(const struct engine_ops *ops, const struct vdev_env *env, size_t bytes);

#endif
