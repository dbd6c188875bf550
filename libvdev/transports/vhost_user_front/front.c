/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting, what is negotiated, the task. */
#include "front.h"

#define OWN_BITS (BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL))

static const uint64_t known_protocol =
	BIT(VU_PROTO_MQ) | BIT(VU_PROTO_LOG_SHMFD) | BIT(VU_PROTO_REPLY_ACK) |
	BIT(VU_PROTO_BACKEND_REQ) | BIT(VU_PROTO_CONFIG) | BIT(VU_PROTO_INFLIGHT_SHMFD) |
	BIT(VU_PROTO_RESET_DEVICE) | BIT(VU_PROTO_INBAND) | BIT(VU_PROTO_MEM_SLOTS) |
	BIT(VU_PROTO_STATUS) | BIT(VU_PROTO_RARP) | BIT(VU_PROTO_NET_MTU);

/* Which of the protocol features that are offered to take. */
static uint64_t choose_protocol(const struct vdev_vhost_front *f, uint64_t offered)
{
	uint64_t need = BIT(VU_PROTO_REPLY_ACK) | BIT(VU_PROTO_BACKEND_REQ);
	uint64_t p = offered & known_protocol & ~f->cfg.withhold;

	if (!(f->cfg.flags & VDEV_VHOST_FRONT_WANT_INBAND) || (p & need) != need)
		p &= ~BIT(VU_PROTO_INBAND);
	return p;
}

static int less(struct vdev_vhost_front *f)
{
	return front_fail(f, VIRTQ_ENOTSUP, "the back-end offers less than before");
}

static int negotiate_protocol(struct vdev_vhost_front *f, int again)
{
	uint64_t offered, p;
	int rc = front_get_u64(f, VU_GET_PROTOCOL_FEATURES, &offered);

	if (rc < 0)
		return rc;
	p = again ? f->protocol : choose_protocol(f, offered);
	if (p & ~offered)
		return less(f);
	/* How its success could be asked for is only being agreed upon. */
	rc = front_tell(f, VU_SET_PROTOCOL_FEATURES, 0, &p, sizeof(p), NULL, 0);
	f->protocol = p;
	__atomic_store_n(&f->inband, front_has(f, VU_PROTO_INBAND) ? 1u : 0u, __ATOMIC_RELAXED);
	return rc;
}

/* Some features need protocol features (ACCESS_PLATFORM), and may be offered to those alone who have taken them. */
static int ask_again(struct vdev_vhost_front *f)
{
	uint64_t offered;
	int rc = front_get_u64(f, VU_GET_FEATURES, &offered);

	if (rc < 0)
		return rc;
	if (!(offered & BIT(VU_F_PROTOCOL)))
		return less(f);
	f->offered = offered;
	return 0;
}

/* Ask for what the back-end can hold. */
static int ask_limits(struct vdev_vhost_front *f)
{
	uint64_t n = 0;
	int rc = 0;

	if (front_has(f, VU_PROTO_MQ)) {
		rc = front_get_u64(f, VU_GET_QUEUE_NUM, &n);
		f->queue_num = n > FRONT_MAX_QUEUES ? FRONT_MAX_QUEUES : (unsigned)n;
	}
	f->max_slots = VU_TABLE_REGIONS;
	if (rc >= 0 && front_has(f, VU_PROTO_MEM_SLOTS)) {
		rc = front_get_u64(f, VU_GET_MAX_MEM_SLOTS, &n);
		f->max_slots = n > FRONT_MAX_SLOTS ? FRONT_MAX_SLOTS : (unsigned)n;
	}
	return rc;
}

static int negotiate(struct vdev_vhost_front *f, int again)
{
	uint64_t offered, before = f->protocol;
	int rc;

	/* Nothing of the protocol's features holds before it is agreed upon. */
	f->protocol = 0;
	rc = front_do(f, VU_SET_OWNER, NULL, 0, NULL, 0);
	if (rc >= 0)
		rc = front_get_u64(f, VU_GET_FEATURES, &offered);
	f->protocol = before;
	if (rc < 0)
		return rc;
	if (again && f->offered & ~offered & BIT(VU_F_PROTOCOL))
		return less(f);
	f->offered = offered;
	if (offered & BIT(VU_F_PROTOCOL)) {
		rc = negotiate_protocol(f, again);
		if (rc >= 0)
			rc = ask_again(f);
		if (rc >= 0)
			rc = ask_limits(f);
		if (rc >= 0)
			rc = front_channel_open(f);
	} else {
		f->max_slots = VU_TABLE_REGIONS;
	}
	if (rc >= 0 && again && f->logging && !(f->offered & BIT(VU_F_LOG_ALL)))
		return less(f);
	return rc >= 0 && again && f->features.word[0] & ~f->offered ? less(f) : rc;
}

/* A descriptor of our own for a socket that was given: that one keeps its number until all has gone well. */
static int adopt(int given)
{
	int rc = vdev_os_nonblock(given, 1);

	return rc < 0 ? rc : vdev_os_dup(given);
}

/* Take a connected socket, or connect; then negotiate. On failure what was given is still the caller's. */
int front_open(struct vdev_vhost_front *f, int given, int again)
{
	int fd = given < 0 ? vdev_os_sock_connect(f->path, front_timeout_ms(f)) : adopt(given);
	int rc;

	if (fd < 0)
		return fd;
	rc = vdev_os_epoll_add(f->ep, fd, f);
	if (rc < 0) {
		vdev_os_close(fd);
		return rc;
	}
	f->fd = fd;
	f->why = "";
	rc = negotiate(f, again);
	if (rc < 0)
		front_close(f);
	return rc;
}

static void destroy(struct vdev_vhost_front *f)
{
	front_close(f);
	front_memory_free(f);
	front_area_close(&f->log);
	front_area_close(&f->inflight);
	vdev_os_close(f->log_event);
	for (unsigned i = 0; i < f->nqueues; i++) {
		vdev_os_close(f->queues[i].kick);
		vdev_os_close(f->queues[i].call);
		vdev_os_close(f->queues[i].err);
	}
	vdev_os_bell_free(&f->bell);
	vdev_os_close(f->wake);
	vdev_os_close(f->ep);
	if (f->regions != NULL)
		f->env.free(f->env.ctx, f->regions, sizeof(f->regions[0]) * 2 * FRONT_MAX_SLOTS);
	if (f->path != NULL)
		f->env.free(f->env.ctx, f->path, f->path_bytes);
	f->env.free(f->env.ctx, f, f->bytes);
}

static int open_fds(struct vdev_vhost_front *f)
{
	int rc = f->ep = vdev_os_epoll();

	if (rc >= 0)
		rc = f->wake = vdev_os_eventfd();
	if (rc >= 0)
		rc = vdev_os_epoll_add(f->ep, f->wake, f);
	if (rc >= 0)
		vdev_os_bell_init(&f->bell, f->wake);
	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++) {
		struct front_queue *q = &f->queues[i];

		rc = q->kick = vdev_os_eventfd();
		if (rc >= 0)
			rc = q->call = vdev_os_eventfd();
		if (rc >= 0)
			rc = q->err = vdev_os_eventfd();
	}
	return rc;
}

static int check(const struct vdev_env *env, const struct vdev_vhost_front_config *cfg)
{
	if (env == NULL || env->alloc == NULL || env->free == NULL || cfg == NULL ||
	    cfg->size < sizeof(*cfg))
		return VIRTQ_EINVAL;
	if (cfg->flags & ~(uint32_t)VDEV_VHOST_FRONT_WANT_INBAND || cfg->queues == 0 ||
	    cfg->queues > FRONT_MAX_QUEUES || (cfg->path == NULL && cfg->fd < 0))
		return VIRTQ_EINVAL;
	if (cfg->ops != NULL && cfg->ops->size < sizeof(*cfg->ops))
		return VIRTQ_EINVAL;
	if (cfg->xlat != NULL && cfg->xlat->size < sizeof(*cfg->xlat))
		return VIRTQ_EINVAL;
	return 0;
}

static struct vdev_vhost_front *make(const struct vdev_env *env,
                                     const struct vdev_vhost_front_config *cfg)
{
	size_t bytes = sizeof(struct vdev_vhost_front) + cfg->queues * sizeof(struct front_queue);
	struct vdev_vhost_front *f = env->alloc(env->ctx, bytes);

	if (f == NULL)
		return NULL;
	memset(f, 0, bytes);
	f->env = *env;
	f->cfg = *cfg;
	f->bytes = bytes;
	f->nqueues = cfg->queues;
	f->why = "";
	f->ep = f->wake = f->fd = f->channel = f->log_event = f->log.fd = f->inflight.fd = -1;
	for (unsigned i = 0; i < f->nqueues; i++)
		f->queues[i].kick = f->queues[i].call = f->queues[i].err = -1;
	if (f->cfg.timeout_ms == 0)
		f->cfg.timeout_ms = FRONT_TIMEOUT_MS;
	f->regions = env->alloc(env->ctx, sizeof(f->regions[0]) * 2 * FRONT_MAX_SLOTS);
	if (cfg->path != NULL) {
		f->path_bytes = strlen(cfg->path) + 1;
		f->path = env->alloc(env->ctx, f->path_bytes);
	}
	if (f->regions == NULL || (cfg->path != NULL && f->path == NULL)) {
		destroy(f);
		return NULL;
	}
	f->wanted = f->regions + FRONT_MAX_SLOTS;
	if (cfg->path != NULL)
		memcpy(f->path, cfg->path, f->path_bytes);
	return f;
}

int vdev_vhost_front_new(struct vdev_vhost_front **out, const struct vdev_env *env,
                         const struct vdev_vhost_front_config *cfg)
{
	struct vdev_vhost_front *f;
	int rc = check(env, cfg);

	if (rc < 0 || out == NULL)
		return VIRTQ_EINVAL;
	f = make(env, cfg);
	if (f == NULL)
		return VIRTQ_ENOMEM;
	f->quiet = 1;
	rc = open_fds(f);
	if (rc >= 0)
		rc = front_open(f, cfg->path != NULL ? -1 : cfg->fd, 0);
	f->quiet = 0;
	if (rc < 0) {
		destroy(f);
		return rc;
	}
	if (cfg->path == NULL)
		vdev_os_close(cfg->fd);
	*out = f;
	return 0;
}

void vdev_vhost_front_free(struct vdev_vhost_front *f)
{
	if (f != NULL)
		destroy(f);
}

/* Make the callbacks that are due. */
static void call_back(struct vdev_vhost_front *f)
{
	static const struct vdev_vhost_front_ops none = {.size = sizeof(none)};
	const struct vdev_vhost_front_ops *ops = f->cfg.ops != NULL ? f->cfg.ops : &none;

	(void)vdev_os_drain(f->wake);
	if (f->config_due) {
		f->config_due = 0;
		if (ops->config_changed != NULL)
			ops->config_changed(f->cfg.ctx);
	}
	for (unsigned i = 0; i < f->nqueues; i++) {
		struct front_queue *q = &f->queues[i];
		int call = q->call_due, err = q->err_due;

		q->call_due = q->err_due = 0;
		if (call && ops->call != NULL)
			ops->call(f->cfg.ctx, i);
		if (err && ops->error != NULL)
			ops->error(f->cfg.ctx, i);
	}
}

/* What is readable stays so (level): more than a bounded number of messages is left for the next time. */
static int run(void *ctx, unsigned flags)
{
	struct vdev_vhost_front *f = ctx;

	(void)flags;
	(void)front_channel_serve(f);
	(void)front_listen(f);
	call_back(f);
	return 0;
}

void vdev_vhost_front_task(struct vdev_vhost_front *f, struct vdev_task *out)
{
	*out = (struct vdev_task){.fd = f->ep, .run = run, .ctx = f};
}

int vdev_vhost_front_alive(const struct vdev_vhost_front *f)
{
	return f->fd >= 0;
}

const char *vdev_vhost_front_why(const struct vdev_vhost_front *f)
{
	return f->why;
}

void vdev_vhost_front_offered(const struct vdev_vhost_front *f, struct virtq_features *out)
{
	*out = (struct virtq_features){{f->offered & ~OWN_BITS, 0}};
}

uint64_t vdev_vhost_front_protocol(const struct vdev_vhost_front *f)
{
	return f->protocol;
}

unsigned vdev_vhost_front_queue_num(const struct vdev_vhost_front *f)
{
	return f->queue_num;
}

/* The features that were accepted, and the protocol's bits among them. */
int front_send_features(struct vdev_vhost_front *f)
{
	uint64_t bits = f->features.word[0] | (f->offered & BIT(VU_F_PROTOCOL));

	if (f->logging)
		bits |= BIT(VU_F_LOG_ALL);
	return front_do_u64(f, VU_SET_FEATURES, bits);
}

int vdev_vhost_front_accept(struct vdev_vhost_front *f, struct virtq_features *features)
{
	const uint8_t begun = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER;
	int rc = front_ready(f);

	if (features == NULL)
		return VIRTQ_EINVAL;
	if (rc >= 0 && f->accepted)
		rc = VIRTQ_EBUSY;
	if (rc < 0)
		return rc;
	features->word[0] &= f->offered & ~OWN_BITS;
	features->word[1] = 0;
	if (!front_has(f, VU_PROTO_BACKEND_REQ) || !front_has(f, VU_PROTO_REPLY_ACK))
		virtq_features_clear(features, VIRTQ_F_ACCESS_PLATFORM);
	f->features = *features;
	rc = vdev_vhost_front_set_status(f, begun);
	if (rc >= 0)
		rc = front_send_features(f);
	if (rc >= 0)
		rc = vdev_vhost_front_set_status(f, begun | VIRTQ_STATUS_FEATURES_OK);
	if (rc >= 0)
		rc = vdev_vhost_front_status(f);
	if (rc < 0)
		return rc;
	if (!(rc & VIRTQ_STATUS_FEATURES_OK))
		return VIRTQ_ENOTSUP;
	f->accepted = 1;
	return 0;
}
