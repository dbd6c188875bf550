/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues: started, notified, stopped. */
#include "front.h"

/* Where the parts of a ring are, in the addresses that the back-end is to be told. */
static int ring_addresses(const struct vdev_vhost_front *f, const struct front_queue *q,
                          struct vu_vring_addr *a)
{
	const struct virtq_state *s = &q->state;
	int rc;

	a->log = q->used_log != 0 ? q->used_log : s->device;
	a->flags = f->logging ? VU_ADDR_LOG : 0;
	if (front_feature(f, VIRTQ_F_ACCESS_PLATFORM)) {
		a->desc = s->desc;
		a->avail = s->driver;
		a->used = s->device;
		return 0;
	}
	rc = front_uva(f, s->desc, VIRTQ_SPLIT_DESC_BYTES(s->size), &a->desc);
	if (rc >= 0)
		rc = front_uva(f, s->driver, driver_bytes(f, s->size), &a->avail);
	if (rc >= 0)
		rc = front_uva(f, s->device, device_bytes(f, s->size), &a->used);
	return rc;
}

int front_queue_addr(struct vdev_vhost_front *f, unsigned q)
{
	struct vu_vring_addr a = {.index = q};
	int rc = ring_addresses(f, &f->queues[q], &a);

	return rc < 0 ? rc : front_do(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
}

static int send_fd(struct vdev_vhost_front *f, uint32_t request, unsigned q, int fd)
{
	uint64_t value = q | (fd < 0 ? (uint64_t)VU_NOFD : 0);

	return front_do(f, request, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

static int send_fds(struct vdev_vhost_front *f, unsigned i)
{
	const struct front_queue *q = &f->queues[i];
	int inband = front_has(f, VU_PROTO_INBAND);
	int rc = 0;

	if (q->flags & VDEV_VHOST_FRONT_NO_CALL)
		rc = send_fd(f, VU_SET_VRING_CALL, i, -1);
	else if (!inband)
		rc = send_fd(f, VU_SET_VRING_CALL, i, q->call);
	if (rc >= 0 && !inband)
		rc = send_fd(f, VU_SET_VRING_ERR, i, q->err);
	if (rc >= 0 && q->flags & VDEV_VHOST_FRONT_NO_KICK)
		rc = send_fd(f, VU_SET_VRING_KICK, i, -1);
	else if (rc >= 0 && !inband)
		rc = send_fd(f, VU_SET_VRING_KICK, i, q->kick);
	return rc;
}

/* Stop a queue on the other side. Where it did is in f->in. */
static int ask_base(struct vdev_vhost_front *f, unsigned i)
{
	struct vu_vring_state s = {i, 0};
	int rc = front_tell(f, VU_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);

	return rc < 0 ? rc : front_wait(f, VU_GET_VRING_BASE, sizeof(s), sizeof(s));
}

/* A queue that was refused has its kick descriptor, and may go by that: stop it. The refusal, or how that failed. */
static int refused(struct vdev_vhost_front *f, unsigned i)
{
	int rc = ask_base(f, i);

	return rc < 0 ? rc : VDEV_VHOST_FRONT_REFUSED;
}

/* Everything about a queue, from its state, up to enabling it. */
int front_queue_begin(struct vdev_vhost_front *f, unsigned i)
{
	const struct front_queue *q = &f->queues[i];
	uint32_t base = q->state.avail;
	int rc = 0;

	if (is_packed(f))
		base |= (uint32_t)q->state.used << 16;
	if (front_feature(f, VIRTQ_F_ACCESS_PLATFORM))
		rc = front_iotlb_ring(f, &q->state);
	if (rc >= 0)
		rc = front_do_state(f, VU_SET_VRING_NUM, i, q->state.size);
	if (rc >= 0)
		rc = front_do_state(f, VU_SET_VRING_BASE, i, base);
	if (rc >= 0)
		rc = front_queue_addr(f, i);
	if (rc >= 0)
		rc = send_fds(f, i);
	if (rc >= 0 && f->offered & BIT(VU_F_PROTOCOL)) {
		rc = front_do_state(f, VU_SET_VRING_ENABLE, i, q->enabled ? 1 : 0);
		if (rc == VDEV_VHOST_FRONT_REFUSED)
			rc = refused(f, i);
	}
	return rc < 0 ? rc : front_sync(f);
}

/* The first kick, without which a back-end does not begin. */
int front_queue_go(struct vdev_vhost_front *f, unsigned i)
{
	return f->queues[i].flags & VDEV_VHOST_FRONT_NO_KICK ? 0 : vdev_vhost_front_kick(f, i);
}

static int setup_ok(const struct vdev_vhost_front *f, const struct vdev_vhost_front_queue *s)
{
	const uint32_t known = VDEV_VHOST_FRONT_OWN_FDS | VDEV_VHOST_FRONT_NO_KICK |
	                       VDEV_VHOST_FRONT_NO_CALL | VDEV_VHOST_FRONT_DISABLED;

	if (s == NULL || s->size < sizeof(*s) || s->flags & ~known || s->reserved != 0)
		return 0;
	if (s->flags & VDEV_VHOST_FRONT_OWN_FDS && (s->kick_fd < 0 || s->call_fd < 0))
		return 0;
	/* Without the protocol's features rings are always enabled. */
	return !(s->flags & VDEV_VHOST_FRONT_DISABLED) || f->offered & BIT(VU_F_PROTOCOL);
}

/* The caller's descriptors in place of ours, which stay open. */
static int take_fds(struct front_queue *q, const struct vdev_vhost_front_queue *s)
{
	int kick, call;

	if (!(s->flags & VDEV_VHOST_FRONT_OWN_FDS))
		return 0;
	kick = vdev_os_dup(s->kick_fd);
	call = vdev_os_dup(s->call_fd);
	if (kick < 0 || call < 0) {
		vdev_os_close(kick);
		vdev_os_close(call);
		return VIRTQ_EINVAL;
	}
	q->kick = kick;
	q->call = call;
	return 0;
}

/* Of two pairs of descriptors, which may be one: keep one. */
static void drop_fds(const struct front_queue *q, const struct front_queue *keep)
{
	if (q->kick == keep->kick)
		return;
	vdev_os_close(q->kick);
	vdev_os_close(q->call);
}

static int may_start(const struct vdev_vhost_front *f, unsigned i,
                     const struct vdev_vhost_front_queue *setup)
{
	int rc = front_ready(f);

	if (i >= f->nqueues || !setup_ok(f, setup))
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (f->queues[i].started)
		return VIRTQ_EBUSY;
	if (!f->accepted || (f->inflight.fd >= 0 && setup->state.size > f->inflight_size))
		return VIRTQ_EINVAL;
	return virtq_state_check(&setup->state, &f->features);
}

static int goes_on(const struct virtq_state *a, const struct virtq_state *b)
{
	return a->size == b->size && a->desc == b->desc && a->driver == b->driver &&
	       a->device == b->device && a->avail == b->avail && a->used == b->used;
}

/* Tell all of it, from the state that is in place. */
static int start(struct vdev_vhost_front *f, unsigned i, const struct vdev_vhost_front_queue *setup,
                 const struct front_queue *was)
{
	struct front_queue *q = &f->queues[i];
	struct vu_vring_addr a = {0};
	int rc = ring_addresses(f, q, &a);

	if (rc >= 0)
		rc = take_fds(q, setup);
	if (rc < 0)
		return rc;
	if (!goes_on(&q->state, &was->state))
		front_record_forget(f, i);
	rc = front_queue_begin(f, i);
	if (rc < 0)
		return rc;
	q->started = 1;
	rc = front_queue_go(f, i);
	return rc == VDEV_VHOST_FRONT_REFUSED ? refused(f, i) : rc;
}

int vdev_vhost_front_queue_start(struct vdev_vhost_front *f, unsigned i,
                                 const struct vdev_vhost_front_queue *setup)
{
	struct front_queue *q, was;
	int rc = may_start(f, i, setup);

	if (rc < 0)
		return rc;
	q = &f->queues[i];
	was = *q;
	q->state = setup->state;
	q->used_log = setup->used_log;
	q->drv = setup->drv;
	q->flags = setup->flags;
	q->enabled = !(setup->flags & VDEV_VHOST_FRONT_DISABLED);
	rc = start(f, i, setup, &was);
	if (rc >= 0) {
		drop_fds(&was, q);
		return rc;
	}
	drop_fds(q, &was);
	was.call_due = q->call_due;
	was.err_due = q->err_due;
	*q = was;
	return rc;
}

/* Whether a ring can have stopped there: nothing beyond what the driver showed, nothing it has taken. */
static int base_ok(const struct front_queue *q, int packed, uint32_t base)
{
	uint16_t size = q->state.size;
	struct virtq_state now;

	if (packed && ((base & 0x7fff) >= size || (base >> 16 & 0x7fff) >= size))
		return 0;
	if (!packed && base > 0xffff)
		return 0;
	if (q->drv == NULL)
		return 1;
	virtq_drv_position(q->drv, &now);
	if (packed && virtq_drv_inflight(q->drv) > 0)
		return 1;
	if (packed)
		return (base & 0xffff) == now.avail && (base >> 16 == 0 || base >> 16 == now.avail);
	return (uint16_t)(base - now.used) <= (uint16_t)(now.avail - now.used);
}

int vdev_vhost_front_queue_stop(struct vdev_vhost_front *f, unsigned i, struct virtq_state *out)
{
	struct vu_vring_state s;
	struct front_queue *q;
	int rc = front_ready(f);

	if (i >= f->nqueues)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	q = &f->queues[i];
	if (!q->started)
		return VIRTQ_EBUSY;
	rc = ask_base(f, i);
	if (rc < 0)
		return rc;
	s = f->in.state;
	if (s.index != i)
		return front_fail(f, VIRTQ_EPROTO, "the position of another queue");
	if (!base_ok(q, is_packed(f), s.num))
		return front_fail(f, VIRTQ_EPROTO, "a position where the queue can't be");
	q->started = 0;
	q->state.avail = (uint16_t)s.num;
	/* Some tell the available half alone: nothing is in flight any more. */
	q->state.used = (uint16_t)(s.num > 0xffff ? s.num >> 16 : s.num);
	if (out != NULL)
		*out = q->state;
	return 0;
}

int front_stop_all(struct vdev_vhost_front *f)
{
	int rc = 0;

	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++)
		if (f->queues[i].started)
			rc = vdev_vhost_front_queue_stop(f, i, NULL);
	return rc;
}

int vdev_vhost_front_queue_enable(struct vdev_vhost_front *f, unsigned i, int on)
{
	int rc = front_ready(f);

	if (i >= f->nqueues || !(f->offered & BIT(VU_F_PROTOCOL)))
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!f->queues[i].started)
		return VIRTQ_EBUSY;
	rc = front_do_state(f, VU_SET_VRING_ENABLE, i, on != 0);
	if (rc >= 0)
		f->queues[i].enabled = on != 0;
	return rc < 0 ? rc : front_sync(f);
}

int vdev_vhost_front_queue_started(const struct vdev_vhost_front *f, unsigned i)
{
	return i < f->nqueues && f->queues[i].started;
}

int vdev_vhost_front_kick(struct vdev_vhost_front *f, unsigned i)
{
	int rc;

	if (i >= f->nqueues)
		return VIRTQ_EINVAL;
	if (!__atomic_load_n(&f->inband, __ATOMIC_RELAXED)) {
		vdev_os_bell_ring(&f->bell, f->queues[i].kick);
		return 0;
	}
	rc = front_ready(f);
	return rc < 0 ? rc : front_do_state(f, VU_VRING_KICK, i, 0);
}

int vdev_vhost_front_kick_fd(const struct vdev_vhost_front *f, unsigned i)
{
	return i < f->nqueues ? f->queues[i].kick : -1;
}

int vdev_vhost_front_call_fd(const struct vdev_vhost_front *f, unsigned i)
{
	return i < f->nqueues ? f->queues[i].call : -1;
}

int vdev_vhost_front_err_fd(const struct vdev_vhost_front *f, unsigned i)
{
	return i < f->nqueues ? f->queues[i].err : -1;
}
