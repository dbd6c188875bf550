/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue as a task. One epoll descriptor covers what can call for the queue: the driver's eventfd, completions of the
 * back-end, a timer for deadlines, and wake-ups by other threads. While the queue is polled none of them is touched.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <vdev/loop.h>

#include "os.h"

struct vdev_port {
	struct vdev_env env;
	struct vdev *v;
	unsigned q;
	int epoll_fd;
	int wake_fd;
	int timer_fd;
	int backend_fd; /* in epoll_fd, or -1 */
	int slept;      /* the last run armed and had nothing to do */
	int timer_set;
	uint64_t deadline;    /* with timer_set */
	atomic_int armed;     /* whoever wakes must signal */
	pthread_mutex_t lock; /* kick_fd */
	int kick_fd;
};

/* Any thread. What is to be seen has been posted before. */
static void wake(void *ctx)
{
	struct vdev_port *p = ctx;

	if (atomic_exchange(&p->armed, 0))
		vdev_os_signal(p->wake_fd);
}

/* Take notifications off the driver's eventfd. Returns whether there were any. */
static int take_kicks(struct vdev_port *p)
{
	uint64_t n;

	pthread_mutex_lock(&p->lock);
	n = p->kick_fd >= 0 ? vdev_os_drain_foreign(p->kick_fd) : 0;
	pthread_mutex_unlock(&p->lock);
	if (n > 0)
		vdev_queue_count_kick(p->v, p->q, n);
	return n > 0;
}

/* We have slept: find out why, and make descriptors unreadable again. */
static void take_events(struct vdev_port *p)
{
	struct epoll_event ev[4];
	int n;

	/* Mostly it is the driver: save the question who it was. Anybody else is found the next time. */
	if (take_kicks(p))
		return;
	n = epoll_wait(p->epoll_fd, ev, 4, 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == &p->wake_fd) {
			(void)vdev_os_drain(p->wake_fd);
		} else if (ev[i].data.ptr == &p->timer_fd) {
			(void)vdev_os_drain(p->timer_fd);
			p->timer_set = 0;
		} else if (ev[i].data.ptr == &p->kick_fd) {
			(void)take_kicks(p);
		}
		/* The back-end's is emptied by its own poll. */
	}
}

/* The queue may have been stopped and started since: another descriptor, or another one by the same number. */
static int watch_backend(struct vdev_port *p)
{
	int fd = vdev_queue_fd(p->v, p->q);
	int rc;

	/* The old one may be closed, and its number the kick descriptor's by now. */
	pthread_mutex_lock(&p->lock);
	if (fd != p->backend_fd && p->backend_fd >= 0 && p->backend_fd != p->kick_fd)
		vdev_os_epoll_forget(p->epoll_fd, p->backend_fd);
	pthread_mutex_unlock(&p->lock);
	p->backend_fd = fd;
	if (fd < 0)
		return 0;
	rc = vdev_os_epoll_add(p->epoll_fd, fd, &p->backend_fd);
	return rc == -EEXIST ? 0 : rc;
}

static void watch_deadline(struct vdev_port *p)
{
	uint64_t deadline = vdev_queue_deadline(p->v, p->q);
	uint64_t now;

	if (deadline == UINT64_MAX || p->env.now == NULL) {
		if (p->timer_set)
			vdev_os_timer_set(p->timer_fd, UINT64_MAX);
		p->timer_set = 0;
		return;
	}
	if (p->timer_set && deadline == p->deadline)
		return;
	/* The environment's clock need not be the system's: only the distance counts. */
	now = p->env.now(p->env.ctx);
	vdev_os_timer_set(p->timer_fd, deadline > now ? deadline - now : 0);
	p->timer_set = 1;
	p->deadline = deadline;
}

static int run(void *ctx, unsigned flags)
{
	struct vdev_port *p = ctx;
	int rc;

	if (p->slept) {
		p->slept = 0;
		atomic_store_explicit(&p->armed, 0, memory_order_relaxed);
		take_events(p);
	}
	if (!(flags & VDEV_RUN_ARM))
		return vdev_queue_run(p->v, p->q, flags) > 0;
	/* Before looking for posted work: whoever posts later sees that a signal is needed. */
	p->slept = 1;
	atomic_exchange(&p->armed, 1);
	rc = vdev_queue_run(p->v, p->q, flags);
	if (rc > 0)
		return 1;
	watch_deadline(p);
	/* Without room for the descriptor nothing would wake us: go on polling. */
	return watch_backend(p) < 0;
}

static int open_fds(struct vdev_port *p)
{
	int rc;

	p->epoll_fd = vdev_os_epoll();
	if (p->epoll_fd < 0)
		return p->epoll_fd;
	p->wake_fd = vdev_os_eventfd();
	if (p->wake_fd < 0)
		return p->wake_fd;
	p->timer_fd = vdev_os_timer();
	if (p->timer_fd < 0)
		return p->timer_fd;
	rc = vdev_os_epoll_add(p->epoll_fd, p->wake_fd, &p->wake_fd);
	return rc < 0 ? rc : vdev_os_epoll_add(p->epoll_fd, p->timer_fd, &p->timer_fd);
}

static void destroy(struct vdev_port *p)
{
	struct vdev_env env = p->env;

	vdev_os_close(p->epoll_fd);
	vdev_os_close(p->wake_fd);
	vdev_os_close(p->timer_fd);
	vdev_os_close(p->kick_fd);
	pthread_mutex_destroy(&p->lock);
	env.free(env.ctx, p, sizeof(*p));
}

int vdev_port_new(struct vdev_port **out, const struct vdev_env *env, struct vdev *v, unsigned q)
{
	struct vdev_port *p;
	int rc;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || v == NULL ||
	    q >= vdev_queue_count(v))
		return VIRTQ_EINVAL;
	p = env->alloc(env->ctx, sizeof(*p));
	if (p == NULL)
		return VIRTQ_ENOMEM;
	*p = (struct vdev_port){.env = *env,
	                        .v = v,
	                        .q = q,
	                        .epoll_fd = -1,
	                        .wake_fd = -1,
	                        .timer_fd = -1,
	                        .kick_fd = -1,
	                        .backend_fd = -1};
	pthread_mutex_init(&p->lock, NULL);
	rc = open_fds(p);
	if (rc == 0) {
		const struct vdev_owner owner = {.wake = wake, .ctx = p};

		rc = vdev_queue_set_owner(v, q, &owner);
	}
	if (rc < 0) {
		destroy(p);
		return rc;
	}
	*out = p;
	return 0;
}

void vdev_port_task(struct vdev_port *p, struct vdev_task *out)
{
	*out = (struct vdev_task){.fd = p->epoll_fd, .run = run, .ctx = p};
}

int vdev_port_set_kick(struct vdev_port *p, int fd)
{
	int copy = -1, rc = 0;

	if (p == NULL)
		return VIRTQ_EINVAL;
	if (fd >= 0) {
		copy = vdev_os_dup(fd);
		if (copy < 0)
			return copy;
	}
	pthread_mutex_lock(&p->lock);
	if (copy >= 0)
		rc = vdev_os_epoll_add(p->epoll_fd, copy, &p->kick_fd);
	if (rc < 0) {
		pthread_mutex_unlock(&p->lock);
		vdev_os_close(copy);
		return rc;
	}
	if (p->kick_fd >= 0) {
		vdev_os_epoll_del(p->epoll_fd, p->kick_fd);
		vdev_os_close(p->kick_fd);
	}
	p->kick_fd = copy;
	pthread_mutex_unlock(&p->lock);
	/* What the old one had counted must not be lost. */
	wake(p);
	return 0;
}

void vdev_port_free(struct vdev_port *p)
{
	if (p == NULL)
		return;
	(void)!vdev_queue_set_owner(p->v, p->q, NULL);
	destroy(p);
}
