/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What of our address space is a front-end's memory, in a form that a signal handler on any thread may read: control
 * fills entries, whoever unmaps empties them. The table is counted, since a region may outlive the back-end.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "vu.h"

struct window {
	uintptr_t at; /* 0: free; written last */
	size_t bytes;
	size_t page; /* what is replaced at a time */
};

struct vu_windows {
	struct vdev_env env;
	size_t bytes;
	uint32_t refs;
	uint32_t n;
	struct window w[];
};

struct vu_windows *vu_windows_new(const struct vdev_env *env, unsigned n)
{
	size_t bytes = sizeof(struct vu_windows) + n * sizeof(struct window);
	struct vu_windows *ws = env->alloc(env->ctx, bytes);

	if (ws == NULL)
		return NULL;
	memset(ws, 0, bytes);
	ws->env = *env;
	ws->bytes = bytes;
	ws->refs = 1;
	ws->n = n;
	return ws;
}

void vu_windows_put(struct vu_windows *ws)
{
	struct vdev_env env;

	if (ws == NULL || __atomic_sub_fetch(&ws->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	env = ws->env;
	env.free(env.ctx, ws, ws->bytes);
}

int vu_window_open(struct vu_windows *ws, struct vu_window *out, const struct vdev_os_map *map,
                   uint64_t unit)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 0; i < ws->n; i++) {
		struct window *w = &ws->w[i];

		if (__atomic_load_n(&w->at, __ATOMIC_ACQUIRE) != 0)
			continue;
		__atomic_store_n(&w->bytes, map->total, __ATOMIC_RELAXED);
		__atomic_store_n(&w->page, unit > page ? (size_t)unit : page, __ATOMIC_RELAXED);
		__atomic_store_n(&w->at, (uintptr_t)map->base, __ATOMIC_RELEASE);
		__atomic_fetch_add(&ws->refs, 1, __ATOMIC_RELAXED);
		*out = (struct vu_window){.ws = ws, .i = i};
		return 0;
	}
	return VIRTQ_ENOSPC;
}

void vu_window_close(struct vu_window *w)
{
	if (w->ws == NULL)
		return;
	__atomic_store_n(&w->ws->w[w->i].at, 0, __ATOMIC_RELEASE);
	vu_windows_put(w->ws);
	w->ws = NULL;
}

/* The page that holds an address of a front-end's memory. 1: found. The window of a faulting access can't be closed. */
static int find(const struct vu_windows *ws, uintptr_t addr, uintptr_t *page, size_t *bytes)
{
	for (uint32_t i = 0; i < ws->n; i++) {
		const struct window *w = &ws->w[i];
		uintptr_t at = __atomic_load_n(&w->at, __ATOMIC_ACQUIRE);

		if (at == 0 || addr < at || addr - at >= __atomic_load_n(&w->bytes, __ATOMIC_RELAXED))
			continue;
		*bytes = __atomic_load_n(&w->page, __ATOMIC_RELAXED);
		*page = addr & ~(uintptr_t)(*bytes - 1);
		return 1;
	}
	return 0;
}

int vdev_vhost_user_fault(struct vdev_vhost_user *vu, const void *addr)
{
	int saved = errno;
	int ours = 0;
	uintptr_t page;
	size_t bytes;

	if (vu != NULL && find(vu->windows, (uintptr_t)addr, &page, &bytes)) {
		ours = mmap((void *)page, bytes, PROT_READ | PROT_WRITE,
		            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
		__atomic_store_n(&vu->shrunk, 1, __ATOMIC_RELEASE);
		vdev_os_signal(vu->wake);
	}
	errno = saved;
	return ours;
}
