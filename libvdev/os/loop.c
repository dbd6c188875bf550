/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop. A thread keeps its tasks in two states: active ones are called in turn without arming; a task that had
 * nothing to do for the spinning time is armed and then called only when its descriptor says so.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <vdev/loop.h>

#include "os.h"

#define EVENTS      64
#define MAX_THREADS 64u
/* Spinning for less than this is not worth the looks at the clock. */
#define SPIN_LEAST_NS 4000u
#define LOOK_NS                                                                                    \
	20000u /* while some tasks are active: how often the others' descriptors are looked at */

struct entry {
	struct vdev_task task;
	struct entry *next;       /* all of the thread; under its lock */
	struct entry **active_at; /* where the pointer to us lies, NULL when armed */
	struct entry *active_next;
	int leaving; /* under the lock: vdev_loop_remove() waits */
	int gone;    /* under the lock */
	int known;   /* the thread has seen it */
};

struct loop_thread {
	struct vdev_loop *loop;
	pthread_t thread;
	pthread_t runner;     /* who runs it, while running */
	pthread_mutex_t lock; /* all, leaving, gone, running */
	pthread_cond_t left;
	struct entry *all;
	int running;
	atomic_int changed; /* entries came or want to leave, or stop */
	atomic_int stop;
	int epoll_fd;
	int wake_fd;
	struct entry *active; /* the thread's own */
	unsigned armed;       /* how many are armed */
};

struct vdev_loop {
	struct vdev_env env;
	uint32_t spin_us;
	unsigned nthreads; /* that are ours */
	unsigned count;    /* of threads[]: at least 1 */
	struct loop_thread threads[];
};

static void activate(struct loop_thread *t, struct entry *e)
{
	if (e->active_at != NULL)
		return;
	e->active_next = t->active;
	if (t->active != NULL)
		t->active->active_at = &e->active_next;
	e->active_at = &t->active;
	t->active = e;
	if (e->known)
		t->armed--;
	e->known = 1;
}

static void deactivate(struct loop_thread *t, struct entry *e)
{
	if (e->active_at == NULL)
		return;
	*e->active_at = e->active_next;
	if (e->active_next != NULL)
		e->active_next->active_at = e->active_at;
	e->active_at = NULL;
	t->armed++;
}

/* Lock held. Out of all lists; not freed. */
static void unlink_entry(struct loop_thread *t, struct entry *e)
{
	struct entry **at = &t->all;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->active_at != NULL)
		deactivate(t, e);
	if (e->known)
		t->armed--;
	vdev_os_epoll_del(t->epoll_fd, e->task.fd);
}

static void free_entry(const struct vdev_loop *l, struct entry *e)
{
	l->env.free(l->env.ctx, e, sizeof(*e));
}

/* Lock held. Somebody waits in vdev_loop_remove() and frees it, or nobody does. */
static void finish_entry(struct loop_thread *t, struct entry *e)
{
	unlink_entry(t, e);
	if (e->leaving) {
		e->gone = 1;
		pthread_cond_broadcast(&t->left);
	} else {
		free_entry(t->loop, e);
	}
}

static void take_changes(struct loop_thread *t)
{
	struct entry *e, *next;

	if (!atomic_exchange(&t->changed, 0))
		return;
	pthread_mutex_lock(&t->lock);
	for (e = t->all; e != NULL; e = next) {
		next = e->next;
		if (e->leaving)
			finish_entry(t, e);
		else if (!e->known)
			activate(t, e);
	}
	pthread_mutex_unlock(&t->lock);
}

/* Call each active task once. Returns whether any had work. */
static int round_of_work(struct loop_thread *t, unsigned flags)
{
	struct entry *e, *next;
	int busy = 0;

	for (e = t->active; e != NULL; e = next) {
		int rc = e->task.run(e->task.ctx, flags);

		next = e->active_next;
		if (rc > 0) {
			busy = 1;
		} else if (rc < 0) {
			pthread_mutex_lock(&t->lock);
			finish_entry(t, e);
			pthread_mutex_unlock(&t->lock);
		} else if (flags & VDEV_RUN_ARM) {
			deactivate(t, e);
		}
	}
	return busy;
}

static void look_at_events(struct loop_thread *t, int timeout)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(t->epoll_fd, ev, EVENTS, timeout);

	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == NULL)
			(void)vdev_os_drain(t->wake_fd);
		else
			activate(t, ev[i].data.ptr);
	}
}

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Sleep until an event. What comes so soon after there was nothing to do (idle; 0: now) that polling would have met it
 * makes the spinning time grow, up to what was asked for; what takes longer makes it shrink, in the end to nothing: a
 * thread whose work comes seldom does not spin.
 */
static uint64_t sleep_and_learn(struct loop_thread *t, uint64_t spin_ns, uint64_t idle)
{
	const uint64_t most = (uint64_t)t->loop->spin_us * 1000u;

	if (idle == 0)
		idle = vdev_os_now();
	look_at_events(t, -1);
	if (vdev_os_now() - idle >= most)
		return spin_ns / 2 < SPIN_LEAST_NS ? 0 : spin_ns / 2;
	spin_ns = spin_ns * 2 < SPIN_LEAST_NS ? SPIN_LEAST_NS : spin_ns * 2;
	return spin_ns < most ? spin_ns : most;
}

/* Spin while there is work and for the spinning time after it; then arm, then sleep. */
static void serve(struct loop_thread *t)
{
	const uint32_t spin_us = t->loop->spin_us;
	uint64_t spin_ns = (uint64_t)spin_us * 1000u;
	uint64_t worked = 0, looked = 0;

	while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
		uint64_t now;

		if (atomic_load_explicit(&t->changed, memory_order_relaxed))
			take_changes(t);
		if (t->active == NULL) {
			if (spin_us == 0)
				look_at_events(t, -1);
			else
				spin_ns = sleep_and_learn(t, spin_ns, worked);
			worked = 0;
			continue;
		}
		if (round_of_work(t, spin_us > 0 ? 0 : VDEV_RUN_ARM)) {
			worked = 0; /* the time is taken when work has run out */
		} else if (spin_us == 0) {
			continue;
		} else {
			pause_a_little();
		}
		if (spin_us == UINT32_MAX && t->armed == 0)
			continue;
		now = vdev_os_now();
		if (worked == 0)
			worked = now;
		if (t->armed > 0 && now - looked > LOOK_NS) {
			look_at_events(t, 0);
			looked = now;
		}
		if (spin_us > 0 && spin_us != UINT32_MAX && now - worked >= spin_ns &&
		    round_of_work(t, VDEV_RUN_ARM))
			worked = 0;
	}
}

static void *thread_main(void *arg)
{
	struct loop_thread *t = arg;

	pthread_mutex_lock(&t->lock);
	t->runner = pthread_self();
	pthread_mutex_unlock(&t->lock);
	serve(t);
	return NULL;
}

static void free_thread(struct loop_thread *t)
{
	while (t->all != NULL) {
		struct entry *e = t->all;

		t->all = e->next;
		free_entry(t->loop, e);
	}
	vdev_os_close(t->epoll_fd);
	vdev_os_close(t->wake_fd);
	pthread_cond_destroy(&t->left);
	pthread_mutex_destroy(&t->lock);
}

static int init_thread(struct vdev_loop *l, struct loop_thread *t)
{
	int rc;

	*t = (struct loop_thread){.loop = l, .epoll_fd = -1};
	t->wake_fd = vdev_os_eventfd();
	if (t->wake_fd < 0)
		return t->wake_fd;
	t->epoll_fd = vdev_os_epoll();
	rc = t->epoll_fd < 0 ? t->epoll_fd : vdev_os_epoll_add(t->epoll_fd, t->wake_fd, NULL);
	if (rc < 0) {
		vdev_os_close(t->epoll_fd);
		vdev_os_close(t->wake_fd);
		return rc;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->left, NULL);
	return 0;
}

static void end_thread(struct loop_thread *t)
{
	atomic_store(&t->stop, 1);
	vdev_os_signal(t->wake_fd);
	pthread_join(t->thread, NULL);
}

static size_t loop_size(unsigned count)
{
	return sizeof(struct vdev_loop) + count * sizeof(struct loop_thread);
}

void vdev_loop_free(struct vdev_loop *l)
{
	struct vdev_env env;

	if (l == NULL)
		return;
	env = l->env;
	for (unsigned i = 0; i < l->nthreads; i++)
		end_thread(&l->threads[i]);
	for (unsigned i = 0; i < l->count; i++)
		free_thread(&l->threads[i]);
	env.free(env.ctx, l, loop_size(l->count));
}

int vdev_loop_new(struct vdev_loop **out, const struct vdev_env *env, unsigned threads,
                  uint32_t spin_us)
{
	unsigned count = threads > 0 ? threads : 1;
	struct vdev_loop *l;
	unsigned made = 0;
	int rc = 0;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || threads > MAX_THREADS)
		return VIRTQ_EINVAL;
	l = env->alloc(env->ctx, loop_size(count));
	if (l == NULL)
		return VIRTQ_ENOMEM;
	memset(l, 0, loop_size(count));
	l->env = *env;
	l->spin_us = spin_us;
	while (rc == 0 && made < count) {
		rc = init_thread(l, &l->threads[made]);
		made += rc == 0;
	}
	l->count = made;
	while (rc == 0 && l->nthreads < threads) {
		struct loop_thread *t = &l->threads[l->nthreads];

		t->running = 1;
		rc = vdev_os_thread(&t->thread, "vdev-loop", thread_main, t);
		l->nthreads += rc == 0;
	}
	if (rc < 0) {
		for (unsigned i = 0; i < l->nthreads; i++)
			end_thread(&l->threads[i]);
		for (unsigned i = 0; i < made; i++)
			free_thread(&l->threads[i]);
		env->free(env->ctx, l, loop_size(count));
		return rc;
	}
	*out = l;
	return 0;
}

int vdev_loop_add(struct vdev_loop *l, unsigned n, const struct vdev_task *task)
{
	struct loop_thread *t;
	struct entry *e;
	int rc;

	if (l == NULL || task == NULL || task->run == NULL || task->fd < 0)
		return VIRTQ_EINVAL;
	t = &l->threads[n % l->count];
	e = l->env.alloc(l->env.ctx, sizeof(*e));
	if (e == NULL)
		return VIRTQ_ENOMEM;
	*e = (struct entry){.task = *task};
	/* Under the lock as a whole: an event may come at once, but the thread sees us in its list first. */
	pthread_mutex_lock(&t->lock);
	rc = vdev_os_epoll_add(t->epoll_fd, task->fd, e);
	if (rc == 0) {
		e->next = t->all;
		t->all = e;
		atomic_store(&t->changed, 1);
	}
	pthread_mutex_unlock(&t->lock);
	if (rc < 0) {
		free_entry(l, e);
		return rc;
	}
	vdev_os_signal(t->wake_fd);
	return 0;
}

/* Lock held. */
static struct entry *find(struct loop_thread *t, const void *ctx)
{
	struct entry *e = t->all;

	while (e != NULL && (e->task.ctx != ctx || e->leaving))
		e = e->next;
	return e;
}

/* 0: removed; 1: not here. */
static int remove_from(struct loop_thread *t, const void *ctx)
{
	struct entry *e;

	pthread_mutex_lock(&t->lock);
	e = find(t, ctx);
	if (e == NULL || (t->running && pthread_equal(t->runner, pthread_self()))) {
		pthread_mutex_unlock(&t->lock);
		return e == NULL ? 1 : VIRTQ_EBUSY;
	}
	e->leaving = 1;
	if (!t->running) {
		unlink_entry(t, e);
	} else {
		atomic_store(&t->changed, 1);
		vdev_os_signal(t->wake_fd);
		while (!e->gone)
			pthread_cond_wait(&t->left, &t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	free_entry(t->loop, e);
	return 0;
}

int vdev_loop_remove(struct vdev_loop *l, void *ctx)
{
	if (l == NULL)
		return VIRTQ_EINVAL;
	for (unsigned i = 0; i < l->count; i++) {
		int rc = remove_from(&l->threads[i], ctx);

		if (rc != 1)
			return rc;
	}
	return 1;
}

int vdev_loop_run(struct vdev_loop *l)
{
	struct loop_thread *t;

	if (l == NULL || l->nthreads > 0)
		return VIRTQ_EINVAL;
	t = &l->threads[0];
	pthread_mutex_lock(&t->lock);
	if (t->running) {
		pthread_mutex_unlock(&t->lock);
		return VIRTQ_EBUSY;
	}
	t->running = 1;
	t->runner = pthread_self();
	pthread_mutex_unlock(&t->lock);
	serve(t);
	pthread_mutex_lock(&t->lock);
	t->running = 0;
	/* Whoever asked for removal meanwhile must not wait for a thread that has left. */
	for (struct entry *e = t->all, *next; e != NULL; e = next) {
		next = e->next;
		if (e->leaving)
			finish_entry(t, e);
	}
	pthread_mutex_unlock(&t->lock);
	atomic_store(&t->stop, 0);
	return 0;
}

void vdev_loop_stop(struct vdev_loop *l)
{
	if (l == NULL || l->nthreads > 0)
		return;
	atomic_store(&l->threads[0].stop, 1);
	vdev_os_signal(l->threads[0].wake_fd);
}
