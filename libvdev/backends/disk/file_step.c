/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps as ordinary system calls: for the thread pool and for synchronous disks. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"

static ssize_t transfer(const struct file_step *s, int fd)
{
	struct iovec one = {.iov_base = s->buf, .iov_len = (size_t)s->len};
	const struct iovec *iov = s->niov > 0 ? s->iov : &one;
	int niov = s->niov > 0 ? (int)s->niov : 1;

	if (s->niov == 0 && s->rw_flags == 0)
		return s->kind == FILE_READ ? pread(fd, s->buf, (size_t)s->len, (off_t)s->offset)
		                            : pwrite(fd, s->buf, (size_t)s->len, (off_t)s->offset);
	if (s->kind == FILE_READ)
		return preadv(fd, iov, niov, (off_t)s->offset);
	if (s->rw_flags == 0)
		return pwritev(fd, iov, niov, (off_t)s->offset);
	return pwritev2(fd, iov, niov, (off_t)s->offset, s->rw_flags);
}

int file_step_run(const struct file_step *s, int fd)
{
	ssize_t rc;

	do {
		switch (s->kind) {
		case FILE_SYNC:
			rc = fdatasync(fd);
			break;
		case FILE_ALLOCATE:
			rc = fallocate(fd, s->mode, (off_t)s->offset, (off_t)s->len);
			break;
		default:
			rc = transfer(s, fd);
		}
	} while (rc < 0 && errno == EINTR);
	/* One call moves less than 2 GiB. */
	return rc < 0 ? -errno : (int)rc;
}
