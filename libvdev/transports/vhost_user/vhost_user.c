/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end as an object: made, served, freed. */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu.h"

#define BIT(n) ((uint64_t)1 << (n))

enum { EVENTS = 16, LOOK_EVERY = 64, MAX_RINGS = 256, DEFAULT_SLOTS = 512, MAX_SLOTS = 4096 };
enum { CONNECT_MS = 10000 };

/* Bits whose meaning does not reach us through this transport. */
static const uint64_t not_here = BIT(VIRTQ_F_NOTIFICATION_DATA) | BIT(VIRTQ_F_NOTIF_CONFIG_DATA) |
                                 BIT(VIRTQ_F_SR_IOV) | BIT(VIRTQ_F_ADMIN_VQ) |
                                 BIT(VIRTQ_F_SUSPEND) | BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL);

static const uint64_t protocol_features =
	BIT(VU_PROTO_MQ) | BIT(VU_PROTO_LOG_SHMFD) | BIT(VU_PROTO_REPLY_ACK) |
	BIT(VU_PROTO_BACKEND_REQ) | BIT(VU_PROTO_CONFIG) | BIT(VU_PROTO_BACKEND_SEND_FD) |
	BIT(VU_PROTO_INFLIGHT_SHMFD) | BIT(VU_PROTO_RESET_DEVICE) | BIT(VU_PROTO_INBAND) |
	BIT(VU_PROTO_MEM_SLOTS) | BIT(VU_PROTO_STATUS);

/*
 * There is no descriptor left for a front-end, and the listener stays readable until it has been accepted: with the one kept
 * for this it is, and hung up on. It may try again.
 */
static void turn_away(struct vdev_vhost_user *vu, int why)
{
	int fd;

	vdev_os_close(vu->reserve);
	fd = vdev_os_sock_accept(vu->listener);
	vdev_os_close(fd);
	vu->reserve = vdev_os_eventfd();
	if (fd >= 0)
		vu_log_entry(vu, VDEV_LOG_WARNING, why, -1, 0, "no descriptor for a front-end");
}

static void accept_one(struct vdev_vhost_user *vu)
{
	int fd;

	if (vu->fd >= 0 || vu->closing || vu->over)
		return;
	fd = vdev_os_sock_accept(vu->listener);
	if (fd >= 0)
		vu_opened(vu, fd);
	else if (fd == -EMFILE || fd == -ENFILE)
		turn_away(vu, fd);
}

static void handle(struct vdev_vhost_user *vu, const struct vu_source *s)
{
	switch (s->kind) {
	case VU_LISTENER:
		accept_one(vu);
		break;
	case VU_CONNECTION:
		vu_receive(vu);
		break;
	case VU_WAKE:
		(void)vdev_os_drain(vu->wake);
		break;
	case VU_BACKEND:
		vu_channel_event(vu);
		break;
	case VU_KICK:
		vu_ring_kicked(s->ring);
		break;
	case VU_PORT:
		s->ring->hot = 1;
		break;
	}
}

/* Look what has come, waiting up to @p ms. 1: there may be more. */
static int look(struct vdev_vhost_user *vu, int ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(vu->ep, ev, EVENTS, ms);

	for (int i = 0; i < n; i++)
		handle(vu, ev[i].data.ptr);
	vu_go_on(vu);
	return n == EVENTS;
}

/* A ring whose driver does not kick is never at rest. */
static int ring_run(void *ctx, unsigned flags)
{
	struct vu_ring *r = ctx;
	int rc = r->task.run(r->task.ctx, flags);

	return rc == 0 && __atomic_load_n(&r->polled, __ATOMIC_RELAXED) ? 1 : rc;
}

/* Serve the queues on this thread. */
static int serve(struct vdev_vhost_user *vu, unsigned flags)
{
	int more = 0;

	for (unsigned i = 0; i < vu->nrings; i++) {
		struct vu_ring *r = &vu->rings[i];
		int busy;

		if (!r->hot && flags & VDEV_RUN_ARM)
			continue;
		busy = ring_run(r, flags) > 0;
		/* One that was not asked to arm would not wake us: it has its turn before we sleep. */
		r->hot = busy || !(flags & VDEV_RUN_ARM);
		more |= busy;
	}
	vu_go_on(vu);
	return more;
}

static int control_run(void *ctx, unsigned flags)
{
	struct vdev_vhost_user *vu = ctx;
	int more = 0;

	/* While polling busily the socket is worth a system call only now and then. */
	if (flags & VDEV_RUN_ARM || ++vu->idle >= LOOK_EVERY) {
		vu->idle = 0;
		more = look(vu, 0);
	}
	if (!(vu->cfg.flags & VDEV_VHOST_USER_QUEUE_TASKS))
		more |= serve(vu, flags);
	if (vu->over && vu->fd < 0 && !vu->closing)
		return VIRTQ_ECANCELED;
	return more;
}

void vdev_vhost_user_task(struct vdev_vhost_user *vu, struct vdev_task *out)
{
	*out = (struct vdev_task){.fd = vu->ep, .run = control_run, .ctx = vu};
}

int vdev_vhost_user_queue_task(struct vdev_vhost_user *vu, unsigned q, struct vdev_task *out)
{
	if (q >= vu->nrings || !(vu->cfg.flags & VDEV_VHOST_USER_QUEUE_TASKS))
		return VIRTQ_EINVAL;
	*out = (struct vdev_task){.fd = vu->rings[q].task.fd, .run = ring_run, .ctx = &vu->rings[q]};
	return 0;
}

int vdev_vhost_user_features(const struct vdev_vhost_user *vu, struct virtq_features *out)
{
	*out = vu->last;
	return vu->any_ring;
}

static int is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) < 0)
		return -errno;
	return on != 0;
}

/* The descriptor becomes ours only when all else has succeeded. */
static int adopt_fd(struct vdev_vhost_user *vu, int *connected)
{
	int rc = is_listening(vu->cfg.fd);

	if (rc < 0)
		return rc;
	if (rc > 0)
		vu->listener = vu->cfg.fd;
	else
		*connected = vu->cfg.fd;
	rc = vdev_os_nonblock(vu->cfg.fd, 1);
	return rc < 0 ? rc : 0;
}

static int open_socket(struct vdev_vhost_user *vu, int *connected)
{
	size_t bytes;
	int fd;

	if (vu->cfg.path == NULL)
		return adopt_fd(vu, connected);
	bytes = strlen(vu->cfg.path) + 1;
	if (vu->cfg.flags & VDEV_VHOST_USER_CONNECT) {
		fd = vdev_os_sock_connect(vu->cfg.path, CONNECT_MS);
		*connected = fd;
		return fd < 0 ? fd : 0;
	}
	vu->path = vu->env.alloc(vu->env.ctx, bytes);
	if (vu->path == NULL)
		return VIRTQ_ENOMEM;
	vu->path_bytes = bytes;
	memcpy(vu->path, vu->cfg.path, bytes);
	fd = vdev_os_sock_listen(vu->path);
	if (fd < 0)
		return fd;
	vu->listener = fd;
	return 0;
}

static int init_events(struct vdev_vhost_user *vu)
{
	int rc;

	vu->ep = vdev_os_epoll();
	if (vu->ep < 0)
		return vu->ep;
	vu->wake = vdev_os_eventfd();
	if (vu->wake < 0)
		return vu->wake;
	vu->dummy = vdev_os_eventfd();
	if (vu->dummy < 0)
		return vu->dummy;
	vu->reserve = vdev_os_eventfd();
	if (vu->reserve < 0)
		return vu->reserve;
	vdev_os_bell_init(&vu->bell, vu->dummy);
	rc = vu_slot_init(vu, &vu->log_call);
	if (rc < 0)
		return rc;
	return vu_poll_add(vu, vu->wake, EPOLLIN, &vu->wake_source);
}

static int add_port(struct vdev_vhost_user *vu, struct vu_ring *r)
{
	return vu_poll_add(vu, r->task.fd, EPOLLIN, &r->port_source);
}

static int init_rings(struct vdev_vhost_user *vu)
{
	int rc = 0;

	for (unsigned i = 0; i < vu->nrings && rc >= 0; i++) {
		rc = vu_ring_init(vu, i);
		if (rc >= 0 && !(vu->cfg.flags & VDEV_VHOST_USER_QUEUE_TASKS))
			rc = add_port(vu, &vu->rings[i]);
	}
	return rc;
}

static int init_tables(struct vdev_vhost_user *vu)
{
	size_t bytes = vu->max_regions * sizeof(*vu->regions);

	vu->regions = vu->env.alloc(vu->env.ctx, bytes);
	vu->spare = vu->env.alloc(vu->env.ctx, bytes);
	/* A table and the one it replaces, two logs likewise, and the in-flight area. */
	vu->windows = vu_windows_new(&vu->env, 2 * vu->max_regions + 2 * VU_TABLE_REGIONS + 3);
	return vu->regions == NULL || vu->spare == NULL || vu->windows == NULL ? VIRTQ_ENOMEM : 0;
}

static int attach(struct vdev_vhost_user *vu)
{
	struct vdev_attachment a = {.size = sizeof(a),
	                            .interrupt = vu_interrupt,
	                            .config_changed = vu_config_changed,
	                            .done = vu_done,
	                            .broken = vu_broken,
	                            .ctx = vu};
	struct virtq_features f;
	int rc;

	vdev_offered(vu->v, &f);
	vu->offered = f.word[0] & ~not_here;
	vu->protocol_offered = protocol_features | vu_notices(vu);
	rc = vdev_function_attach(vu->fn, &a);
	if (rc < 0)
		return rc;
	rc = vu_iotlb_attach(vu);
	if (rc < 0)
		(void)!vdev_function_attach(vu->fn, NULL);
	return rc;
}

/* Give back whatever there is; the connection is closed. */
static void release(struct vdev_vhost_user *vu)
{
	size_t bytes = vu->max_regions * sizeof(*vu->regions);
	struct vdev_env env = vu->env;

	for (unsigned i = 0; i < vu->nrings; i++)
		vu_ring_free(&vu->rings[i]);
	vdev_os_bell_free(&vu->bell);
	vdev_os_close(vu->log_call.fd);
	vdev_os_close(vu->dummy);
	vdev_os_close(vu->reserve);
	vdev_os_close(vu->wake);
	/* While we listen nobody else takes the path: afterwards it could be another one's socket. */
	if (vu->path != NULL && vu->listener >= 0)
		(void)unlink(vu->path);
	vdev_os_close(vu->listener);
	vdev_os_close(vu->ep);
	if (vu->path != NULL)
		env.free(env.ctx, vu->path, vu->path_bytes);
	if (vu->regions != NULL)
		env.free(env.ctx, vu->regions, bytes);
	if (vu->spare != NULL)
		env.free(env.ctx, vu->spare, bytes);
	vu_windows_put(vu->windows);
	vu_iotlb_free(vu);
	pthread_mutex_destroy(&vu->channel.lock);
	env.free(env.ctx, vu, vu->bytes);
}

static struct vdev_vhost_user *make(const struct vdev_env *env, struct vdev *v,
                                    const struct vdev_vhost_user_config *cfg)
{
	unsigned n = vdev_queue_count(v);
	size_t bytes = sizeof(struct vdev_vhost_user) + n * sizeof(struct vu_ring);
	struct vdev_vhost_user *vu = env->alloc(env->ctx, bytes);

	if (vu == NULL)
		return NULL;
	memset(vu, 0, bytes);
	vu->env = *env;
	vu->bytes = bytes;
	vu->v = v;
	vu->fn = vdev_function(v);
	vu->cfg = *cfg;
	vu->max_regions = cfg->mem_slots == 0 ? DEFAULT_SLOTS : cfg->mem_slots;
	vu->ep = vu->wake = vu->dummy = vu->listener = vu->fd = vu->channel.fd = vu->log_call.fd = -1;
	vu->reply_fd = vu->reserve = -1;
	vu->expect_op = -1;
	vu->nrings = n;
	vu->listener_source.kind = VU_LISTENER;
	vu->connection_source.kind = VU_CONNECTION;
	vu->wake_source.kind = VU_WAKE;
	vu->backend_source.kind = VU_BACKEND;
	for (unsigned i = 0; i < n; i++)
		vu->rings[i].call.fd = vu->rings[i].err.fd = vu->rings[i].kick_fd = -1;
	pthread_mutex_init(&vu->channel.lock, NULL);
	vu_iotlb_init(vu);
	return vu;
}

static int check(const struct vdev_env *env, const struct vdev *v,
                 const struct vdev_vhost_user_config *cfg)
{
	uint32_t known = VDEV_VHOST_USER_CONNECT | VDEV_VHOST_USER_QUEUE_TASKS;

	if (env == NULL || env->alloc == NULL || env->free == NULL || v == NULL || cfg == NULL ||
	    cfg->size < sizeof(*cfg))
		return VIRTQ_EINVAL;
	if (cfg->flags & ~known || cfg->mem_slots > MAX_SLOTS || cfg->reserved != 0 ||
	    (cfg->path == NULL && cfg->fd < 0))
		return VIRTQ_EINVAL;
	return vdev_queue_count(v) > MAX_RINGS ? VIRTQ_EINVAL : 0;
}

int vdev_vhost_user_new(struct vdev_vhost_user **out, const struct vdev_env *env, struct vdev *v,
                        const struct vdev_vhost_user_config *cfg)
{
	struct vdev_vhost_user *vu;
	int connected = -1;
	int rc = check(env, v, cfg);

	if (rc < 0 || out == NULL)
		return rc < 0 ? rc : VIRTQ_EINVAL;
	vu = make(env, v, cfg);
	if (vu == NULL)
		return VIRTQ_ENOMEM;
	rc = init_tables(vu);
	if (rc >= 0)
		rc = init_events(vu);
	if (rc >= 0)
		rc = open_socket(vu, &connected);
	/* Once and for all, so that listening again needs nothing that may be lacking then. */
	if (rc >= 0 && vu->listener >= 0)
		rc = vu_poll_add(vu, vu->listener, 0, &vu->listener_source);
	/* The device is touched last: a second back-end on a path that is in use leaves the first alone. */
	if (rc >= 0)
		rc = init_rings(vu);
	if (rc >= 0)
		rc = attach(vu);
	if (rc < 0) {
		if (connected >= 0 && cfg->path != NULL)
			vdev_os_close(connected);
		if (cfg->path == NULL)
			vu->listener = -1;
		release(vu);
		return rc;
	}
	if (connected >= 0)
		vu_opened(vu, connected);
	else
		vu_listen(vu);
	*out = vu;
	return 0;
}

void vdev_vhost_user_free(struct vdev_vhost_user *vu)
{
	if (vu == NULL)
		return;
	/* From here on this thread serves everything. */
	if (vu->cfg.flags & VDEV_VHOST_USER_QUEUE_TASKS)
		for (unsigned i = 0; i < vu->nrings; i++)
			(void)add_port(vu, &vu->rings[i]);
	vu->over = 1;
	for (unsigned i = 0; i < vu->nrings; i++)
		vu->rings[i].hot = 1;
	while (vu->then != NULL || vu->fd >= 0) {
		if (vu->then == NULL)
			vu_close(vu, "the device is no longer served");
		else if (!serve(vu, VDEV_RUN_ARM) && vu->then != NULL)
			(void)look(vu, 100);
	}
	if (vdev_set_xlat(vu->v, NULL) < 0)
		vu_log_entry(vu, VDEV_LOG_ERROR, VIRTQ_EBUSY, -1, 0, "a queue still runs");
	if (vdev_function_attach(vu->fn, NULL) < 0)
		vu_log_entry(vu, VDEV_LOG_ERROR, VIRTQ_EBUSY, -1, 0, "the device is still busy");
	release(vu);
}
