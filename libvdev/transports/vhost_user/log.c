/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log that the front-end shares with us. */
#include <sys/stat.h>

#include "vu.h"

/* Pages of the log are bits: one byte covers 32 KiB. */
int vu_log_covers(const struct vu_log *log, uint64_t top)
{
	return log == NULL || top >> (VU_LOG_PAGE_SHIFT + 3) < log->bytes;
}

static void log_free(struct vdev_vhost_user *vu, struct vu_log *log)
{
	if (log == NULL)
		return;
	vu_window_close(&log->window);
	vdev_os_unmap(&log->map);
	vu->env.free(vu->env.ctx, log, sizeof(*log));
}

/* Log while the front-end wants it and there is a log. */
void vu_log_switch(struct vdev_vhost_user *vu)
{
	int on = vu->log_all && vu->log != NULL;

	virtq_log_set(vdev_function_log(vu->fn), on ? &vu->log->dirty : NULL);
	__atomic_store_n(&vu->log_on, (uint32_t)on, __ATOMIC_RELAXED);
}

/* The connection is over, and nothing is out. */
void vu_log_drop(struct vdev_vhost_user *vu)
{
	vu->log_all = 0;
	vu_log_switch(vu);
	log_free(vu, vu->log);
	log_free(vu, vu->old_log);
	vu->log = NULL;
	vu->old_log = NULL;
	(void)vu_slot_set(vu, &vu->log_call, -1);
}

static int log_map(struct vdev_vhost_user *vu, struct vu_log *log, const struct vu_log_desc *d,
                   int fd)
{
	size_t word = sizeof(uintptr_t);
	struct stat st;

	/* The offset of a word in memory is that in the file, since whole pages are mapped. */
	if (d->bytes == 0 || d->bytes > SIZE_MAX - word || d->offset % word != 0)
		return vu_refuse(vu, "log of a wrong size or place");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vu_refuse(vu, "the log is not in a file");
	if (vdev_os_map(&log->map, fd, d->offset, d->bytes, 1) < 0)
		return vu_refuse(vu, "the log can't be mapped, or its file is shorter");
	log->bytes = d->bytes;
	if (vu_window_open(vu->windows, &log->window, &log->map, 1) < 0)
		return vu_refuse(vu, "too many logs");
	/* A last word that is only partly the log's is in the same page; its other bits are never set. */
	if (virtq_dirty_init(&log->dirty, 0, VU_LOG_PAGE_SHIFT, log->map.addr,
	                     (size_t)((d->bytes + word - 1) / word), NULL) < 0)
		return vu_refuse(vu, "log of a wrong size or place");
	return 0;
}

/* Nothing marks the old log any more. */
static int replaced(struct vdev_vhost_user *vu, int rc)
{
	uint64_t zero = 0;

	if (rc < 0)
		return vu_refuse(vu, "the log could not be replaced");
	log_free(vu, vu->old_log);
	vu->old_log = NULL;
	memcpy(vu->reply, &zero, sizeof(zero));
	vu->reply_len = sizeof(zero);
	vu_rings_try(vu);
	return 0;
}

int vu_on_set_log_base(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_log *log = vu->env.alloc(vu->env.ctx, sizeof(*log));
	int rc;

	if (log == NULL)
		return vu_refuse(vu, "no memory for the log");
	memset(log, 0, sizeof(*log));
	rc = log_map(vu, log, &m->log, m->fds[0]);
	if (rc == 0 && vu->nregions > 0 && !vu_log_covers(log, vu_mem_top(vu->regions, vu->nregions)))
		rc = vu_refuse(vu, "the log is too small for the memory");
	if (rc < 0) {
		log_free(vu, log);
		return rc;
	}
	vu->old_log = vu->log;
	vu->log = log;
	vu_log_switch(vu);
	return vu->old_log != NULL ? vu_mem_again(vu, replaced) : replaced(vu, 0);
}

int vu_on_set_log_fd(struct vdev_vhost_user *vu, struct vu_message *m)
{
	if (vu_slot_set(vu, &vu->log_call, vu_take_fd(m)) < 0)
		return vu_refuse(vu, "descriptor that can't be notified");
	return 0;
}
