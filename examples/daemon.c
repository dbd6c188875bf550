/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemons of the examples share. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon.h"

static void show(void *ctx, const struct vdev_log_entry *e)
{
	const struct daemon *d = ctx;

	if (d->serving && e->level <= VDEV_LOG_INFO)
		fprintf(stderr, "%s: %s: %s (queue %d, value %" PRIu64 ", error %d)\n", d->name, e->source,
		        e->text, e->queue, e->value, e->error);
}

int daemon_fail(const struct daemon *d, const char *what, const char *name, int rc)
{
	const char *why = strerror(-rc);

	if (rc == VIRTQ_EBUSY)
		why = "in use by somebody else";
	fprintf(stderr, "%s: %s %s: %s\n", d->name, what, name, why);
	return 2;
}

/* For on_bus() alone. */
static struct vdev_vhost_user *guarded[DAEMON_SERVED];

/* A front-end that shortens its memory's file costs its connection, not this process. */
static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	for (unsigned i = 0; i < DAEMON_SERVED && guarded[i] != NULL; i++) {
		if (vdev_vhost_user_fault(guarded[i], info->si_addr))
			return;
	}
	signal(sig, SIG_DFL); /* the access is repeated, and ends the process */
}

static int guard(struct vdev_vhost_user *vu)
{
	struct sigaction sa = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	unsigned i = 0;

	while (i < DAEMON_SERVED && guarded[i] != NULL)
		i++;
	if (i == DAEMON_SERVED)
		return VIRTQ_ENOMEM;
	guarded[i] = vu;
	sigaction(SIGBUS, &sa, NULL);
	return 0;
}

static int on_signal(void *ctx, unsigned flags)
{
	struct daemon *d = ctx;
	struct signalfd_siginfo s;

	(void)flags;
	if (read(d->signals, &s, sizeof(s)) != (ssize_t)sizeof(s))
		return 0;
	if (s.ssi_signo == SIGUSR1)
		d->print(d->ctx);
	else if (s.ssi_signo == SIGUSR2)
		d->announce(d->ctx);
	else
		vdev_loop_stop(d->control);
	return 1;
}

/* The threads of the loops have all signals blocked; here they come through a descriptor. */
int daemon_init(struct daemon *d)
{
	sigset_t set;

	d->env = *vdev_env_hosted();
	d->env.log = show;
	d->env.ctx = d;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (d->announce != NULL)
		sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals < 0 ? daemon_fail(d, "can't use", "signals", VIRTQ_EIO) : 0;
}

int daemon_start(struct daemon *d, unsigned threads, uint32_t spin_us)
{
	struct vdev_task task = {.fd = d->signals, .run = on_signal, .ctx = d};
	int rc;

	d->serving = 1; /* before there are threads that look at it */
	rc = vdev_loop_new(&d->queues, &d->env, threads, spin_us);
	if (rc >= 0)
		rc = vdev_loop_new(&d->control, &d->env, 0, 0);
	if (rc >= 0)
		rc = vdev_loop_add(d->control, 0, &task);
	return rc < 0 ? daemon_fail(d, "can't start", "threads", rc) : 0;
}

int daemon_serve(struct daemon *d, struct vdev_vhost_user *vu, unsigned queues,
                 unsigned (*thread_of)(const void *ctx, unsigned q), const void *ctx)
{
	struct vdev_task task;
	int rc = guard(vu);

	vdev_vhost_user_task(vu, &task);
	if (rc >= 0)
		rc = vdev_loop_add(d->control, 0, &task);
	for (unsigned q = 0; q < queues && rc >= 0; q++) {
		rc = vdev_vhost_user_queue_task(vu, q, &task);
		if (rc >= 0)
			rc = vdev_loop_add(d->queues, thread_of(ctx, q), &task);
	}
	return rc < 0 ? daemon_fail(d, "can't serve", "a queue", rc) : 0;
}

int daemon_run(struct daemon *d)
{
	int rc = vdev_loop_run(d->control);

	d->print(d->ctx);
	return rc < 0 ? 1 : 0;
}

void daemon_stop(struct daemon *d)
{
	vdev_loop_free(d->queues);
	vdev_loop_free(d->control);
	signal(SIGBUS, SIG_DFL);
	memset(guarded, 0, sizeof(guarded));
}
