/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Tasks: work behind a file descriptor, for any event loop; and a small ready-made loop with
 * threads.
 */
#ifndef VDEV_LOOP_H
#define VDEV_LOOP_H

#include <vdev/env.h>
#include <vdev/vdev.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Poll @p fd for reading; when readable (level), call run. Plain data. */
struct vdev_task {
	int fd; /**< open until the task has been removed or has ended */
	/**
	 * Do the work. @p flags: enum vdev_run_flag; with ::VDEV_RUN_ARM, fd becomes readable for
	 * whatever comes after a return of 0; without it (busy polling), it need not.
	 * @return 1: there is more to do now; 0: nothing; < 0: this task is over, stop polling it
	 */
	int (*run)(void *ctx, unsigned flags);
	void *ctx;
};

struct vdev_loop;

/**
 * A loop of @p threads threads (1 to 64), signals blocked, joined by vdev_loop_free(). 0 threads:
 * none is made, call vdev_loop_run() from a thread of your own.
 * @param spin_us  how long a thread goes on polling after it ran out of work before it sleeps, at most:
 *         a thread whose work comes later than that after falling asleep spins ever less; 0: not at
 *         all; UINT32_MAX: for ever
 */
VIRTQ_MUST_CHECK int vdev_loop_new(struct vdev_loop **out, const struct vdev_env *env,
                                   unsigned threads, uint32_t spin_us);
/** Serve @p task (copied) on thread @p n % threads. Any thread. */
VIRTQ_MUST_CHECK int vdev_loop_add(struct vdev_loop *l, unsigned n, const struct vdev_task *task);
/**
 * Stop serving the task with this @p ctx; returns when it is not running and won't run again. Any
 * thread, but not from inside a task of the same loop thread.
 * @return 0; 1: there is none (it may have ended by itself); VIRTQ_EBUSY: called from inside a
 *         task; VIRTQ_EINVAL
 */
VIRTQ_MUST_CHECK int vdev_loop_remove(struct vdev_loop *l, void *ctx);
/** For loops without threads: serve until vdev_loop_stop(). */
VIRTQ_MUST_CHECK int vdev_loop_run(struct vdev_loop *l);
/** End vdev_loop_run(). Any thread, and signal handlers. */
void vdev_loop_stop(struct vdev_loop *l);
/** Stop and join the threads, free the loop. Tasks are not touched. */
void vdev_loop_free(struct vdev_loop *l);

struct vdev_port;
/**
 * A queue of a device as a task: an fd that covers wake-ups, kicks from an eventfd, the back-end's
 * completions and deadlines. Becomes the queue's owner (vdev_queue_set_owner()).
 */
VIRTQ_MUST_CHECK int vdev_port_new(struct vdev_port **out, const struct vdev_env *env,
                                   struct vdev *v, unsigned q);
/** The task. Serve it on one thread at a time. */
void vdev_port_task(struct vdev_port *p, struct vdev_task *out);
/**
 * The eventfd by which the driver notifies, or -1 for none (then poll with a busy loop or notify
 * otherwise). The port duplicates it. Any one thread; takes effect at once for new notifications.
 */
VIRTQ_MUST_CHECK int vdev_port_set_kick(struct vdev_port *p, int fd);
/** The queue must be stopped and the task no longer served. */
void vdev_port_free(struct vdev_port *p);

#ifdef __cplusplus
}
#endif

#endif
