/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of threads. Operations wait in one list; a worker takes one, carries out all of its steps, and puts it on
 * its channel's list of ended ones. The channel's thread picks them up there. The lists link the operations
 * themselves, so they are bounded by what the channels have under way.
 */
#include <sched.h>
#include <unistd.h>

#include "file.h"
#include "libvdev/os/os.h"

#define MAX_WORKERS 256u

struct pool {
	struct vdev_engine base;
	pthread_mutex_t lock; /* todo, idle, quit */
	pthread_cond_t work;
	struct file_list todo;
	unsigned idle;
	int quit;
	unsigned workers;
	pthread_t threads[];
};

static struct pool *to_pool(struct vdev_engine *e)
{
	return (struct pool *)e;
}

static void carry_out(struct vdev_disk_io *io)
{
	struct file_channel *ch = file_op(io)->ch;
	struct vdev_disk_io *head;
	struct file_step s;

	do
		file_op_step(io, &s);
	while (file_op_advance(io, file_step_run(&s, ch->disk->fd)));

	/* While we are a visitor, the channel can't be closed, although its thread may end the operation at once. */
	atomic_fetch_add(&ch->visitors, 1);
	head = atomic_load(&ch->ended);
	do
		file_op(io)->next = head;
	while (!atomic_compare_exchange_weak(&ch->ended, &head, io));
	/* Pairs with pool_arm(): either it sees the operation or we see that it armed. */
	if (atomic_exchange(&ch->armed, 0))
		vdev_os_signal(ch->event_fd);
	atomic_fetch_sub(&ch->visitors, 1);
}

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->quit) {
		struct vdev_disk_io *io = file_list_take(&p->todo);

		if (io == NULL) {
			p->idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		carry_out(io);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int pool_attach(struct vdev_engine *e, struct file_channel *ch)
{
	(void)e;
	ch->event_fd = vdev_os_eventfd();
	return ch->event_fd < 0 ? ch->event_fd : 0;
}

static void pool_detach(struct vdev_engine *e, struct file_channel *ch)
{
	(void)e;
	while (atomic_load(&ch->visitors) != 0)
		sched_yield();
	vdev_os_close(ch->event_fd);
}

static void pool_start(struct vdev_engine *e, struct vdev_disk_io *io)
{
	struct pool *p = to_pool(e);
	int wake;

	pthread_mutex_lock(&p->lock);
	file_list_add(&p->todo, io);
	wake = p->idle > 0;
	pthread_mutex_unlock(&p->lock);
	if (wake)
		pthread_cond_signal(&p->work);
}

static int pool_poll(struct vdev_engine *e, struct file_channel *ch)
{
	struct vdev_disk_io *io, *next, *oldest = NULL;

	(void)e;
	if (ch->slept) {
		ch->slept = 0;
		atomic_store(&ch->armed, 0);
		(void)vdev_os_drain(ch->event_fd);
	}
	if (atomic_load_explicit(&ch->ended, memory_order_relaxed) == NULL)
		return 0;
	for (io = atomic_exchange(&ch->ended, NULL); io != NULL; io = next) {
		next = file_op(io)->next;
		file_op(io)->next = oldest;
		oldest = io;
	}
	for (io = oldest; io != NULL; io = next) {
		next = file_op(io)->next;
		file_channel_end(ch, io);
	}
	return atomic_load_explicit(&ch->ended, memory_order_relaxed) != NULL;
}

static int pool_fd(struct vdev_engine *e, struct file_channel *ch)
{
	(void)e;
	return ch->event_fd;
}

static int pool_arm(struct vdev_engine *e, struct file_channel *ch)
{
	(void)e;
	ch->slept = 1;
	atomic_exchange(&ch->armed, 1);
	if (atomic_load(&ch->ended) == NULL)
		return 0;
	atomic_exchange(&ch->armed, 0);
	return 1;
}

static void stop_workers(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->quit = 1;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_broadcast(&p->work);
	for (unsigned i = 0; i < p->workers; i++)
		pthread_join(p->threads[i], NULL);
}

static size_t pool_size(unsigned workers)
{
	return sizeof(struct pool) + workers * sizeof(pthread_t);
}

static void pool_release(struct pool *p, unsigned workers)
{
	struct vdev_env env = p->base.env;

	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	env.free(env.ctx, p, pool_size(workers));
}

static void pool_destroy(struct vdev_engine *e)
{
	struct pool *p = to_pool(e);

	stop_workers(p);
	pool_release(p, p->workers);
}

static const struct engine_ops pool_ops = {
	.attach = pool_attach,
	.detach = pool_detach,
	.start = pool_start,
	.poll = pool_poll,
	.fd = pool_fd,
	.arm = pool_arm,
	.destroy = pool_destroy,
};

int vdev_engine_threads_new(struct vdev_engine **out, const struct vdev_env *env, unsigned workers)
{
	struct pool *p;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || workers == 0 ||
	    workers > MAX_WORKERS)
		return VIRTQ_EINVAL;
	p = engine_alloc(&pool_ops, env, pool_size(workers));
	if (p == NULL)
		return VIRTQ_ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	for (; p->workers < workers; p->workers++) {
		int rc = vdev_os_thread(&p->threads[p->workers], "vdev-disk", worker, p);

		if (rc < 0) {
			stop_workers(p);
			pool_release(p, workers);
			return rc;
		}
	}
	*out = &p->base;
	return 0;
}
