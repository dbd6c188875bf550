/* SPDX-License-Identifier: BSD-3-Clause */
#include "slow_disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NEVER UINT64_MAX

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(int ok)
{
	if (!ok)
		abort();
}

/* Make the fd readable when the next of the channel's operations is due. Locked. */
static void set_timer(struct slow_disk *d, struct slow_channel *c)
{
	struct itimerspec t;
	uint64_t due = NEVER;

	memset(&t, 0, sizeof(t));
	for (unsigned i = 0; i < d->nheld; i++)
		if (d->held[i].channel == c && d->held[i].due < due)
			due = d->held[i].due;
	if (due == NEVER && !c->armed)
		return;
	c->armed = due != NEVER;
	if (due != NEVER) {
		t.it_value.tv_sec = (time_t)(due / 1000000000u);
		t.it_value.tv_nsec = (long)(due % 1000000000u);
		if (due == 0)
			t.it_value.tv_nsec = 1;
	}
	must(timerfd_settime(c->fd, TFD_TIMER_ABSTIME, &t, NULL) == 0);
}

/*
 * A driver may have two requests under way for the same sectors, or its buffers; then it must not care what it gets,
 * and ThreadSanitizer neither.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACY_COPY
#endif
#endif
#if defined(RACY_COPY) || defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"))) static void copy_bytes(void *to, const void *from, size_t n)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	for (size_t i = 0; i < n; i++)
		t[i] = f[i];
}
#else
static void copy_bytes(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}
#endif

/* Copy between buffers and disk, at most so many bytes. */
static void copy(struct slow_disk *d, const struct vdev_disk_io *io, uint64_t most)
{
	uint8_t *at = d->data + io->offset;

	for (uint32_t k = 0; k < io->niov && most != 0; k++) {
		size_t n = io->iov[k].len < most ? io->iov[k].len : (size_t)most;

		if (io->op == VDEV_DISK_READ)
			copy_bytes(io->iov[k].base, at, n);
		else
			copy_bytes(at, io->iov[k].base, n);
		at += n;
		most -= n;
	}
}

static void finish(struct slow_disk *d, struct vdev_disk_io *io, int result, uint64_t touch)
{
	int data = io->op == VDEV_DISK_READ || io->op == VDEV_DISK_WRITE;

	must(io->op == VDEV_DISK_FLUSH ||
	     (io->offset <= d->info.bytes && io->len <= d->info.bytes - io->offset));
	if (data)
		copy(d, io, result == 0 ? io->len : touch);
	else if (result == 0 && (io->op == VDEV_DISK_WRITE_ZEROES || io->op == VDEV_DISK_SECURE_ERASE))
		memset(d->data + io->offset, 0, (size_t)io->len);
	io->done(io, result);
}

static void slow_info(struct vdev_disk *disk, struct vdev_disk_info *out)
{
	struct slow_disk *d = (struct slow_disk *)disk;

	pthread_mutex_lock(&d->lock);
	*out = d->info;
	pthread_mutex_unlock(&d->lock);
}

static int slow_open(struct vdev_disk *disk, unsigned n, struct vdev_disk_channel **out)
{
	struct slow_disk *d = (struct slow_disk *)disk;
	struct slow_channel *c;

	if (n >= SLOW_CHANNELS)
		return VIRTQ_EINVAL;
	if (d->open_error != 0)
		return d->open_error;
	c = &d->channels[n];
	pthread_mutex_lock(&d->lock);
	must(!c->open);
	c->open = 1;
	d->opens++;
	c->channel.disk = disk;
	c->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	must(c->fd >= 0);
	c->armed = 0;
	pthread_mutex_unlock(&d->lock);
	*out = &c->channel;
	return 0;
}

static void slow_close(struct vdev_disk_channel *channel)
{
	struct slow_channel *c = (struct slow_channel *)channel;
	struct slow_disk *d = (struct slow_disk *)channel->disk;

	pthread_mutex_lock(&d->lock);
	must(c->open);
	for (unsigned i = 0; i < d->nheld; i++)
		must(d->held[i].channel != c);
	c->open = 0;
	d->closes++;
	close(c->fd);
	pthread_mutex_unlock(&d->lock);
}

/* Note an operation. 1: it ends now, with *result. Locked. */
static int note(struct slow_disk *d, struct slow_channel *c, struct vdev_disk_io *io, int *result,
                uint64_t *touch)
{
	struct slow_held *h;
	uint64_t sum = 0;

	if (d->nlog < SLOW_LOG)
		d->log[d->nlog++] = (struct slow_op){io->op, io->flags, io->niov, io->offset, io->len};
	for (uint32_t k = 0; k < io->niov; k++)
		sum += io->iov[k].len;
	must((io->op != VDEV_DISK_READ && io->op != VDEV_DISK_WRITE) || sum == io->len);
	*result = d->result;
	*touch = d->touch;
	if (d->result != 0 && d->fail_after > 0) {
		d->fail_after--;
		*result = 0;
	}
	if (!d->hold && d->delay_ms == 0)
		return 1;
	must(d->nheld < SLOW_HELD);
	h = &d->held[d->nheld++];
	h->io = io;
	h->channel = c;
	h->due = d->hold ? NEVER : now_ns() + d->delay_ms * 1000000ull;
	h->result = *result;
	h->touch = *touch;
	set_timer(d, c);
	return 0;
}

static void slow_submit(struct vdev_disk_channel *channel, struct vdev_disk_io *const *ios,
                        uint32_t n)
{
	struct slow_channel *c = (struct slow_channel *)channel;
	struct slow_disk *d = (struct slow_disk *)channel->disk;

	must(n > 0);
	pthread_mutex_lock(&d->lock);
	d->submits++;
	pthread_mutex_unlock(&d->lock);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t touch;
		int result, now;

		pthread_mutex_lock(&d->lock);
		now = note(d, c, ios[i], &result, &touch);
		pthread_mutex_unlock(&d->lock);
		if (now)
			finish(d, ios[i], result, touch);
	}
}

static int slow_poll(struct vdev_disk_channel *channel)
{
	struct slow_channel *c = (struct slow_channel *)channel;
	struct slow_disk *d = (struct slow_disk *)channel->disk;
	uint64_t now = now_ns();
	struct slow_held h;

	for (;;) {
		unsigned i = 0;

		pthread_mutex_lock(&d->lock);
		while (i < d->nheld && (d->held[i].channel != c || d->held[i].due > now))
			i++;
		if (i == d->nheld)
			break;
		h = d->held[i];
		d->nheld--;
		memmove(&d->held[i], &d->held[i + 1], (d->nheld - i) * sizeof(d->held[0]));
		pthread_mutex_unlock(&d->lock);
		finish(d, h.io, h.result, h.touch);
	}
	set_timer(d, c);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int slow_fd(struct vdev_disk_channel *channel)
{
	return ((struct slow_channel *)channel)->fd;
}

static int slow_arm(struct vdev_disk_channel *channel)
{
	struct slow_channel *c = (struct slow_channel *)channel;
	struct slow_disk *d = (struct slow_disk *)channel->disk;
	uint64_t now = now_ns();
	int ready = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nheld; i++)
		ready |= d->held[i].channel == c && d->held[i].due <= now;
	pthread_mutex_unlock(&d->lock);
	return ready;
}

static int slow_acquire(struct vdev_disk *disk)
{
	struct slow_disk *d = (struct slow_disk *)disk;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	d->acquire_calls++;
	if (d->busy)
		rc = VIRTQ_EBUSY;
	else
		d->acquired++;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void slow_give(struct vdev_disk *disk)
{
	struct slow_disk *d = (struct slow_disk *)disk;

	pthread_mutex_lock(&d->lock);
	must(d->acquired > 0);
	d->acquired--;
	pthread_mutex_unlock(&d->lock);
}

static void slow_on_event(struct vdev_disk *disk, vdev_disk_event_fn fn, void *ctx)
{
	(void)disk;
	(void)fn;
	(void)ctx;
}

static void slow_destroy(struct vdev_disk *disk)
{
	struct slow_disk *d = (struct slow_disk *)disk;

	must(d->nheld == 0 && d->acquired == 0);
	for (unsigned i = 0; i < SLOW_CHANNELS; i++)
		must(!d->channels[i].open);
	pthread_mutex_destroy(&d->lock);
	free(d->data);
	free(d);
}

static const struct vdev_disk_ops slow_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "slow",
	.info = slow_info,
	.open = slow_open,
	.close = slow_close,
	.submit = slow_submit,
	.poll = slow_poll,
	.fd = slow_fd,
	.arm = slow_arm,
	.acquire = slow_acquire,
	.release = slow_give,
	.on_event = slow_on_event,
	.destroy = slow_destroy,
};

static const struct vdev_disk_ops sync_ops = {
	.size = sizeof(struct vdev_disk_ops),
	.name = "sync",
	.info = slow_info,
	.open = slow_open,
	.close = slow_close,
	.submit = slow_submit,
	.acquire = slow_acquire,
	.release = slow_give,
	.on_event = slow_on_event,
	.destroy = slow_destroy,
};

struct slow_disk *slow_disk_new(uint64_t bytes, int sync)
{
	struct slow_disk *d = calloc(1, sizeof(*d));

	must(d != NULL);
	d->data = calloc(1, (size_t)bytes);
	d->room = bytes;
	must(d->data != NULL);
	pthread_mutex_init(&d->lock, NULL);
	d->disk.ops = sync ? &sync_ops : &slow_ops;
	d->info.bytes = bytes;
	d->info.block_size = 512;
	d->info.physical_block = 512;
	d->info.discard = 1;
	d->info.write_zeroes = 1;
	d->info.zeroes_may_unmap = 1;
	d->info.secure_erase = 1;
	d->info.volatile_cache = 1;
	return d;
}

void slow_disk_free(struct slow_disk *d)
{
	vdev_disk_free(&d->disk);
}

void slow_disk_hold(struct slow_disk *d, int on)
{
	pthread_mutex_lock(&d->lock);
	d->hold = on;
	pthread_mutex_unlock(&d->lock);
}

void slow_disk_delay(struct slow_disk *d, unsigned ms)
{
	pthread_mutex_lock(&d->lock);
	d->delay_ms = ms;
	pthread_mutex_unlock(&d->lock);
}

void slow_disk_fail(struct slow_disk *d, int result, uint64_t touch)
{
	pthread_mutex_lock(&d->lock);
	d->result = result;
	d->touch = touch;
	d->fail_after = -1;
	pthread_mutex_unlock(&d->lock);
}

unsigned slow_disk_held(struct slow_disk *d)
{
	unsigned n;

	pthread_mutex_lock(&d->lock);
	n = d->nheld;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void slow_disk_release(struct slow_disk *d, unsigned n, int result, uint64_t touch)
{
	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nheld && n != 0; i++) {
		if (d->held[i].due != NEVER)
			continue;
		d->held[i].due = 0;
		d->held[i].result = result;
		d->held[i].touch = touch;
		set_timer(d, d->held[i].channel);
		n--;
	}
	pthread_mutex_unlock(&d->lock);
}

void slow_disk_resize(struct slow_disk *d, uint64_t bytes)
{
	pthread_mutex_lock(&d->lock);
	if (bytes > d->room) {
		d->data = realloc(d->data, (size_t)bytes);
		d->room = bytes;
	}
	must(d->data != NULL);
	if (bytes > d->info.bytes)
		memset(d->data + d->info.bytes, 0, (size_t)(bytes - d->info.bytes));
	d->info.bytes = bytes;
	pthread_mutex_unlock(&d->lock);
}

unsigned slow_disk_count(struct slow_disk *d, int op)
{
	unsigned n = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->nlog; i++)
		n += d->log[i].op == op;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void slow_disk_clear(struct slow_disk *d)
{
	pthread_mutex_lock(&d->lock);
	d->nlog = 0;
	d->submits = 0;
	pthread_mutex_unlock(&d->lock);
}
