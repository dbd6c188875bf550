/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_DAEMON_H
#define EXAMPLES_DAEMON_H

#include <vdev/loop.h>
#include <vdev/vhost_user.h>

enum { DAEMON_SERVED = 64 };

/*
 * What the daemons of the examples share: a thread that talks with front-ends, a loop of threads that serve queues, signals.
 */
struct daemon {
	const char *name;            /* of the program, in front of what it says */
	void (*print)(void *ctx);    /* counters, on SIGUSR1 and at the end */
	void (*announce)(void *ctx); /* on SIGUSR2; NULL: that ends the program, as ever */
	void *ctx;                   /* of both */
	struct vdev_env env;         /* whose log is shown, from daemon_start() on */
	struct vdev_loop *queues;    /* threads */
	struct vdev_loop *control;   /* the main thread */
	int serving;
	int signals;
};

/* A daemon that can do nothing yet but say something. Signals come through a descriptor from here on. Returns 0 or 2. */
int daemon_init(struct daemon *d);

/* One line about why the daemon can't start. Returns 2. */
int daemon_fail(const struct daemon *d, const char *what, const char *name, int rc);

/* Make threads for queues, which poll for spin_us before they sleep. Returns 0 or 2. */
int daemon_start(struct daemon *d, unsigned threads, uint32_t spin_us);

/* Serve a device: its messages, and queue q on the thread of number thread_of(ctx, q). Returns 0 or 2. */
int daemon_serve(struct daemon *d, struct vdev_vhost_user *vu, unsigned queues,
                 unsigned (*thread_of)(const void *ctx, unsigned q), const void *ctx);

/* Run until SIGTERM or SIGINT. Returns the program's exit status. */
int daemon_run(struct daemon *d);

/* Stop serving; what was served can be freed then. */
void daemon_stop(struct daemon *d);

#endif
