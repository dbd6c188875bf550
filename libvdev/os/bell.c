/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notifying through an eventfd that somebody else holds too. Whether a write() to it may wait depends on O_NONBLOCK of
 * the open file, which the other side can clear, and on its counter, which the other side can fill: at any moment, also
 * between a look and the write. Nor does an eventfd take RWF_NOWAIT for writing. The kernel's own increments never wait,
 * though, and asynchronous I/O ends with one of them where it is asked to (IOCB_FLAG_RESFD): so a notification is an
 * operation that is over at once. It costs about twice what a write() does, and is one system call all the same.
 */
#include <linux/aio_abi.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"

/* Operations that end at once still leave a record each, until they are collected: when there is no room for more. */
enum { OPERATIONS = 1, COLLECT = 64, ATTEMPTS = 3 };

void vdev_os_bell_init(struct vdev_os_bell *b, int idle)
{
	aio_context_t ctx = 0;

	b->idle = idle;
	/* There is a limit for the whole machine, and kernels and sandboxes without. */
	if (syscall(SYS_io_setup, OPERATIONS, &ctx) < 0)
		ctx = 0;
	b->ctx = ctx;
}

void vdev_os_bell_free(struct vdev_os_bell *b)
{
	if (b->ctx != 0)
		(void)syscall(SYS_io_destroy, (aio_context_t)b->ctx);
	b->ctx = 0;
}

/* Without asynchronous I/O: right unless the other side changes something between the look and the write. */
static void write_if_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT && vdev_os_nonblock(fd, 1) >= 0)
		vdev_os_signal(fd);
}

static int increment(const struct vdev_os_bell *b, int fd)
{
	struct iocb cb = {.aio_lio_opcode = IOCB_CMD_POLL,
	                  .aio_fildes = (uint32_t)b->idle,
	                  .aio_buf = POLLOUT,
	                  .aio_flags = IOCB_FLAG_RESFD,
	                  .aio_resfd = (uint32_t)fd};
	struct iocb *list = &cb;

	return (int)syscall(SYS_io_submit, (aio_context_t)b->ctx, 1L, &list);
}

static void collect(const struct vdev_os_bell *b)
{
	struct io_event records[COLLECT];
	struct timespec at_once = {0, 0};

	while (syscall(SYS_io_getevents, (aio_context_t)b->ctx, 0L, (long)COLLECT, records, &at_once) ==
	       COLLECT)
		continue;
}

void vdev_os_bell_ring(const struct vdev_os_bell *b, int fd)
{
	int saved = errno;
	int rung = 0;

	for (int i = 0; i < ATTEMPTS && b->ctx != 0 && !rung; i++) {
		rung = increment(b, fd) == 1;
		if (!rung && errno != EAGAIN)
			break;
		if (!rung)
			collect(b);
	}
	if (!rung)
		write_if_room(fd);
	errno = saved;
}
