/* SPDX-License-Identifier: BSD-3-Clause */
/* A netif that writes down what goes through another one. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vdev/netif_pcap.h>

#include "libvdev/core/util.h"
#include "libvdev/net/adapt.h"
#include "libvdev/os/os.h"

enum {
	TAPE = 128 << 10, /* bytes written at a time at most */
	WHOLE = 262144,   /* what readers take for no limit */
	ETHERNET = 1
};

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy;
	uint32_t snaplen;
	uint32_t link;
};

struct record_header {
	uint32_t sec, nsec;
	uint32_t kept, len;
};

/* Records that are being prepared. */
struct tape {
	uint32_t used;
	uint32_t records;
	struct record_header next; /* its time is that of all of a burst */
	struct frame_adapt adapt;
	uint8_t bytes[TAPE];
};

struct pcap {
	struct vdev_netif netif; /* first */
	struct vdev_env env;
	struct vdev_netif *inner;
	int own_inner;
	uint32_t snaplen;
	uint64_t max_bytes;
	off_t start; /* of our bytes in the file */
	int fd;
	pthread_mutex_t lock; /* over the file and the next */
	struct vdev_netif_pcap_status status;
	const struct vdev_net_sink *sink;
	struct vdev_net_sink own; /* what the inner one has instead of it */
	pthread_mutex_t pushed_lock;
	struct tape pushed; /* for frames that come by no channel */
};

struct pcap_channel {
	struct vdev_netif_channel channel; /* first */
	struct vdev_netif_channel *inner;
	struct tape tape;
};

static struct pcap *to_pcap(struct vdev_netif *n)
{
	return (struct pcap *)n;
}

static struct pcap_channel *to_channel(struct vdev_netif_channel *c)
{
	return (struct pcap_channel *)c;
}

/* --- the file ------------------------------------------------------------------- */

/* Write all of it. Returns 0, or -errno, when some of it may have been written. */
static int write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t done = write(fd, at, len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : VIRTQ_EIO;
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

static void end_capture(struct pcap *p, int error)
{
	struct vdev_log_entry e = {.level = VDEV_LOG_WARNING,
	                           .error = error,
	                           .queue = -1,
	                           .head = -1,
	                           .value = p->status.bytes,
	                           .source = "pcap",
	                           .text = "the capture has ended, its file can't be written"};

	store_relaxed(&p->status.error, error);
	/* Readers don't like half a record. Where it can't be cut off they will say so. */
	(void)!ftruncate(p->fd, p->start + (off_t)p->status.bytes);
	if (p->env.log != NULL)
		p->env.log(p->env.ctx, &e);
}

static void flush(struct pcap *p, struct tape *t)
{
	int rc;

	if (t->used == 0)
		return;
	pthread_mutex_lock(&p->lock);
	rc = p->status.error;
	if (rc == 0) {
		rc = p->max_bytes > 0 && p->status.bytes + t->used > p->max_bytes
		         ? VIRTQ_ENOSPC
		         : write_all(p->fd, t->bytes, t->used);
		if (rc < 0)
			end_capture(p, rc);
	}
	if (rc == 0) {
		p->status.bytes += t->used;
		p->status.frames += t->records;
	} else {
		p->status.lost += t->records;
	}
	pthread_mutex_unlock(&p->lock);
	t->used = 0;
	t->records = 0;
}

static void put_whole(struct pcap *p, struct tape *t, const struct vdev_frame *f)
{
	uint32_t kept = f->len < p->snaplen ? f->len : p->snaplen;
	uint8_t *at;

	if (t->used + sizeof(t->next) + kept > TAPE)
		flush(p, t);
	at = t->bytes + t->used;
	/* Its pieces are all there, or the bytes that are missing are none of another frame. */
	t->next.kept = (uint32_t)frame_read(f, 0, at + sizeof(t->next), kept);
	t->next.len = f->len;
	memcpy(at, &t->next, sizeof(t->next));
	t->used += (uint32_t)sizeof(t->next) + t->next.kept;
	t->records++;
}

/* What is left to be done to a frame is done. */
static void put_frame(struct pcap *p, struct tape *t, const struct vdev_frame *f)
{
	struct vdev_frame out;
	int rc;

	if (likely(frame_fits(f, 0))) {
		put_whole(p, t, f);
		return;
	}
	rc = frame_adapt_begin(&t->adapt, f, 0, 0);
	/* It makes no sense: then at least let it be seen. */
	if (rc < 0)
		put_whole(p, t, f);
	while (rc >= 0 && (rc = frame_adapt_next(&t->adapt, &out)) > 0)
		put_whole(p, t, &out);
}

static void record(struct pcap *p, struct tape *t, const struct vdev_frame *frames, uint32_t n)
{
	struct timespec now;

	if (n == 0)
		return;
	if (load_relaxed(&p->status.error) != 0) {
		pthread_mutex_lock(&p->lock);
		p->status.lost += n;
		pthread_mutex_unlock(&p->lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	t->next.sec = (uint32_t)now.tv_sec;
	t->next.nsec = (uint32_t)now.tv_nsec;
	for (uint32_t i = 0; i < n; i++)
		put_frame(p, t, &frames[i]);
	flush(p, t);
}

/* --- frames ----------------------------------------------------------------------- */

static uint32_t pcap_send(struct vdev_netif_channel *channel, const struct vdev_frame *frames,
                          uint32_t n)
{
	struct pcap_channel *c = to_channel(channel);
	uint32_t taken = c->inner->netif->ops->send(c->inner, frames, n);

	record(to_pcap(channel->netif), &c->tape, frames, taken);
	return taken;
}

static int pcap_receive(struct vdev_netif_channel *channel, struct vdev_frame *frames, uint32_t max)
{
	struct pcap_channel *c = to_channel(channel);
	int n = c->inner->netif->ops->receive(c->inner, frames, max);

	if (n > 0)
		record(to_pcap(channel->netif), &c->tape, frames, (uint32_t)n);
	return n;
}

static uint32_t own_deliver(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	struct pcap *p = ctx;
	uint32_t taken = p->sink->deliver(p->sink->ctx, frames, n, flow);

	if (taken > 0) {
		pthread_mutex_lock(&p->pushed_lock);
		record(p, &p->pushed, frames, taken);
		pthread_mutex_unlock(&p->pushed_lock);
	}
	return taken;
}

static void own_link(void *ctx)
{
	struct pcap *p = ctx;

	if (p->sink->link != NULL)
		p->sink->link(p->sink->ctx);
}

static void own_writable(void *ctx)
{
	struct pcap *p = ctx;

	if (p->sink->writable != NULL)
		p->sink->writable(p->sink->ctx);
}

static void pcap_set_sink(struct vdev_netif *n, const struct vdev_net_sink *sink)
{
	struct pcap *p = to_pcap(n);

	if (op_of(p->inner->ops, set_sink) == NULL)
		return;
	/* When the inner one has let go of ours, nobody reads which one it stands for. */
	p->inner->ops->set_sink(p->inner, NULL);
	p->sink = sink;
	if (sink != NULL)
		p->inner->ops->set_sink(p->inner, &p->own);
}

/* --- all else is the inner one's ---------------------------------------------------- */

static void pcap_info(struct vdev_netif *n, struct vdev_netif_info *out)
{
	struct vdev_netif *inner = to_pcap(n)->inner;

	inner->ops->info(inner, out);
}

static int pcap_open(struct vdev_netif *n, unsigned pair, enum vdev_net_way way,
                     struct vdev_netif_channel **out)
{
	struct pcap *p = to_pcap(n);
	struct pcap_channel *c = p->env.alloc(p->env.ctx, sizeof(*c));
	int rc;

	if (c == NULL)
		return VIRTQ_ENOMEM;
	c->channel.netif = n;
	c->tape.used = 0;
	c->tape.records = 0;
	rc = p->inner->ops->open(p->inner, pair, way, &c->inner);
	if (rc < 0) {
		env_free(&p->env, c, sizeof(*c));
		return rc;
	}
	*out = &c->channel;
	return 0;
}

static void pcap_close(struct vdev_netif_channel *channel)
{
	struct pcap_channel *c = to_channel(channel);
	struct pcap *p = to_pcap(channel->netif);

	p->inner->ops->close(c->inner);
	env_free(&p->env, c, sizeof(*c));
}

static int pcap_fd(struct vdev_netif_channel *channel)
{
	struct vdev_netif_channel *inner = to_channel(channel)->inner;

	return inner->netif->ops->fd(inner);
}

static int pcap_arm(struct vdev_netif_channel *channel)
{
	struct vdev_netif_channel *inner = to_channel(channel)->inner;

	return inner->netif->ops->arm(inner);
}

static int pcap_set_takes(struct vdev_netif *n, uint32_t takes)
{
	struct vdev_netif *inner = to_pcap(n)->inner;

	return op_of(inner->ops, set_takes) != NULL ? inner->ops->set_takes(inner, takes) : 0;
}

static void pcap_set_pairs(struct vdev_netif *n, uint32_t pairs)
{
	struct vdev_netif *inner = to_pcap(n)->inner;

	if (op_of(inner->ops, set_pairs) != NULL)
		inner->ops->set_pairs(inner, pairs);
}

static void pcap_counters(struct vdev_netif *n, struct vdev_netif_counters *out)
{
	/* Zero where it does not count. */
	(void)!vdev_netif_counters(to_pcap(n)->inner, out);
}

static void pcap_destroy(struct vdev_netif *n)
{
	struct pcap *p = to_pcap(n);
	struct vdev_env env = p->env;

	if (p->own_inner)
		vdev_netif_free(p->inner);
	vdev_os_close(p->fd);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->pushed_lock);
	env_free(&env, p, sizeof(*p));
}

static const struct vdev_netif_ops polled_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "pcap",
	.info = pcap_info,
	.open = pcap_open,
	.close = pcap_close,
	.send = pcap_send,
	.receive = pcap_receive,
	.fd = pcap_fd,
	.arm = pcap_arm,
	.set_sink = pcap_set_sink,
	.set_takes = pcap_set_takes,
	.set_pairs = pcap_set_pairs,
	.destroy = pcap_destroy,
	.counters = pcap_counters,
};

/* For a netif that pushes. */
static const struct vdev_netif_ops pushing_ops = {
	.size = sizeof(struct vdev_netif_ops),
	.name = "pcap",
	.info = pcap_info,
	.open = pcap_open,
	.close = pcap_close,
	.send = pcap_send,
	.set_sink = pcap_set_sink,
	.set_takes = pcap_set_takes,
	.set_pairs = pcap_set_pairs,
	.destroy = pcap_destroy,
	.counters = pcap_counters,
};

/* --- opening ------------------------------------------------------------------------ */

static int open_file(struct pcap *p, const struct vdev_netif_pcap_config *cfg)
{
	struct file_header h = {.magic = 0xa1b23c4d, /* nanoseconds, in this processor's order */
	                        .major = 2,
	                        .minor = 4,
	                        .snaplen = p->snaplen,
	                        .link = ETHERNET};
	struct stat st;
	int rc;

	/* What is in it concerns nobody else. Opening a pipe does not wait for its reader. */
	if (cfg->path != NULL)
		p->fd = open(cfg->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600);
	else
		p->fd = vdev_os_dup(cfg->fd);
	if (p->fd < 0)
		return cfg->path != NULL ? -errno : p->fd;
	if (fstat(p->fd, &st) < 0)
		return -errno;
	/* Those make the writer wait, or end it with a signal. */
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return VIRTQ_EINVAL;
	rc = write_all(p->fd, &h, sizeof(h));
	if (rc < 0)
		return rc;
	/* Of one that is appended to it is only known now. Where that is no use there is nothing that could be cut off, either. */
	p->start = lseek(p->fd, 0, SEEK_CUR) - (off_t)sizeof(h);
	p->status.bytes = sizeof(h);
	return 0;
}

int vdev_netif_pcap_new(struct vdev_netif **out, const struct vdev_env *env,
                        struct vdev_netif *inner, const struct vdev_netif_pcap_config *cfg)
{
	struct pcap *p;
	int rc;

	if (out == NULL || !env_usable(env) || inner == NULL || cfg == NULL ||
	    cfg->size < sizeof(*cfg) || cfg->own_netif > 1)
		return VIRTQ_EINVAL;
	p = env_zalloc(env, sizeof(*p));
	if (p == NULL)
		return VIRTQ_ENOMEM;
	p->netif.ops = op_of(inner->ops, receive) != NULL ? &polled_ops : &pushing_ops;
	copy_sized(&p->env, sizeof(p->env), env, env->size);
	p->inner = inner;
	p->snaplen = cfg->snaplen > 0 && cfg->snaplen < WHOLE ? cfg->snaplen : WHOLE;
	p->max_bytes = cfg->max_bytes;
	p->own = (struct vdev_net_sink){.size = sizeof(p->own),
	                                .deliver = own_deliver,
	                                .link = own_link,
	                                .writable = own_writable,
	                                .ctx = p};
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->pushed_lock, NULL);
	rc = open_file(p, cfg);
	if (rc < 0) {
		pcap_destroy(&p->netif);
		return rc;
	}
	p->own_inner = (int)cfg->own_netif;
	*out = &p->netif;
	return 0;
}

int vdev_netif_pcap_status(struct vdev_netif *n, struct vdev_netif_pcap_status *out)
{
	struct pcap *p = to_pcap(n);

	if (n == NULL || out == NULL || (n->ops != &polled_ops && n->ops != &pushing_ops))
		return VIRTQ_EINVAL;
	pthread_mutex_lock(&p->lock);
	*out = p->status;
	pthread_mutex_unlock(&p->lock);
	return 0;
}
