/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vrings. A ring starts when it has been kicked (or is to be polled) and everything about it is known; until its first
 * kick its kick descriptor is watched here, afterwards by its port. GET_VRING_BASE stops it. Whether it is enabled is
 * another matter: what a device does with a running ring that is not, is the device's to know (vdev_queue_enable()).
 */
#include <sys/epoll.h>

#include "vu.h"

static int is_packed(const struct vdev_vhost_user *vu)
{
	return (vu->features >> VIRTQ_F_RING_PACKED & 1) != 0;
}

/* The one place where an index that came from outside becomes a ring. */
struct vu_ring *vu_ring_of(struct vdev_vhost_user *vu, uint64_t index)
{
	if (index >= vu->nrings) {
		vu->why = "no such ring";
		return NULL;
	}
	return &vu->rings[index];
}

static struct vu_ring *ring_of_u64(struct vdev_vhost_user *vu, uint64_t u64)
{
	return vu_ring_of(vu, u64 & ~(uint64_t)VU_NOFD);
}

int vu_any_started(const struct vdev_vhost_user *vu)
{
	for (unsigned i = 0; i < vu->nrings; i++)
		if (vu->rings[i].started)
			return 1;
	return 0;
}

static int unwatch_kick(struct vu_ring *r)
{
	int was = r->watched;

	if (was)
		vu_poll_del(r->vu, r->kick_fd);
	r->watched = 0;
	return was;
}

/* No kicks from now on, by whatever way. */
void vu_ring_no_kick(struct vu_ring *r)
{
	(void)unwatch_kick(r);
	if (r->port != NULL && vdev_port_set_kick(r->port, -1) < 0)
		vu_log_entry(r->vu, VDEV_LOG_WARNING, 0, (int)r->index, 0,
		             "kick descriptor can't be taken off");
	vdev_os_close(r->kick_fd);
	r->kick_fd = -1;
	r->kicked = 0;
	__atomic_store_n(&r->polled, 0, __ATOMIC_RELAXED);
}

/* The queue has stopped: note where. 1: that is known, and nothing is in flight. */
static int note_position(struct vu_ring *r)
{
	struct virtq_state s;

	r->started = 0;
	/* Whatever ends while no ring runs we may not be told of. */
	if (!vu_any_started(r->vu))
		vu_iotlb_forget(r->vu);
	if (vdev_queue_state(r->vu->v, r->index, &s) < 0)
		return 0;
	r->base = s.avail;
	if (is_packed(r->vu))
		r->base |= (uint32_t)s.used << 16;
	r->has_base = 1;
	return s.avail == s.used;
}

void vu_ring_stopped(struct vu_ring *r)
{
	(void)note_position(r);
	vu_ring_no_kick(r);
}

/* Tell that a ring could not be started. */
static void failed(struct vu_ring *r, int rc, const char *why)
{
	r->kicked = 0;
	vu_log_entry(r->vu, VDEV_LOG_ERROR, rc, (int)r->index, 0, why);
	vu_broken(r->vu, r->index, NULL);
}

/* Whether any descriptor of a packed ring was ever marked used, as far as the ring still shows. */
static int seen_use(const struct vu_ring *r)
{
	const uint8_t *desc = vu_host(r->vu, r->addr.desc, r->num * (uint64_t)VIRTQ_DESC_BYTES);

	for (uint32_t i = 0; desc != NULL && i < r->num; i++)
		if (__atomic_load_n(desc + (size_t)i * VIRTQ_DESC_BYTES + 15, __ATOMIC_RELAXED) & 0x80)
			return 1;
	return desc == NULL;
}

/* The positions of a packed ring, as the front-end gave them or not. */
static void packed_positions(const struct vu_ring *r, struct virtq_state *s)
{
	uint32_t base = r->base;
	int in_order = (r->vu->features >> VIRTQ_F_IN_ORDER & 1) != 0;

	/*
	 * Some front-ends (user-mode-linux) say 0 for any fresh ring, which in a packed one is the start of the second
	 * lap. A ring without any mark of use tells the two apart: at the end of a lap there are some, though not each
	 * descriptor of a list has one.
	 */
	if (base == 0 && !in_order && !vu_translated(r->vu) && !seen_use(r))
		base = VIRTQ_STATE_WRAP;
	if (!r->has_base)
		base = VIRTQ_STATE_WRAP;
	s->avail = (uint16_t)base;
	/* Others give only the available half: nothing was in flight then. */
	s->used = (uint16_t)(base >> 16 != 0 ? base >> 16 : base);
}

/* Where the ring's parts are as the device sees it. 1: well. */
static int ring_at(const struct vdev_vhost_user *vu, const struct vu_vring_addr *a,
                   struct virtq_state *s)
{
	if (vu_translated(vu)) {
		s->desc = a->desc;
		s->driver = a->avail;
		s->device = a->used;
		return 1;
	}
	return vu_uva_to_gpa(vu, a->desc, &s->desc) && vu_uva_to_gpa(vu, a->avail, &s->driver) &&
	       vu_uva_to_gpa(vu, a->used, &s->device);
}

static int make_setup(struct vu_ring *r, struct vdev_queue_setup *out)
{
	const struct vu_vring_addr *a = &r->addr;
	struct virtq_state *s = &out->state;

	memset(out, 0, sizeof(*out));
	s->size = (uint16_t)r->num;
	if (!ring_at(r->vu, a, s))
		return VIRTQ_EFAULT;
	if (is_packed(r->vu)) {
		packed_positions(r, s);
	} else {
		s->avail = (uint16_t)(r->has_base ? r->base : 0);
		s->flags = VIRTQ_STATE_USED_IN_RING;
	}
	r->used_log = s->device;
	/*
	 * Translated, the ring is logged where it is found to lie. (Some front-ends, QEMU among them, then give its I/O
	 * address as that of the log.)
	 */
	if (a->flags & VU_ADDR_LOG && !vu_translated(r->vu)) {
		out->flags |= VDEV_QUEUE_USED_LOG;
		out->used_log = a->log;
		r->used_log = a->log;
	}
	return vu_inflight_setup(r, is_packed(r->vu), out);
}

/* Where no status messages come, a ring that starts says that the driver is ready. 1: go on; 0: not yet; < 0: never. */
static int features_settled(struct vdev_vhost_user *vu)
{
	uint8_t status = vdev_status(vu->v);

	if (status & VIRTQ_STATUS_FEATURES_OK)
		return 1;
	if (vu_has(vu, VU_PROTO_STATUS))
		return 0;
	status |= VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK;
	if (vdev_set_status(vu->v, status) < 0 || !(vdev_status(vu->v) & VIRTQ_STATUS_FEATURES_OK))
		return VIRTQ_ENOTSUP;
	return 1;
}

static void driver_ok(struct vdev_vhost_user *vu)
{
	uint8_t status = vdev_status(vu->v);

	if (vu_has(vu, VU_PROTO_STATUS) || status & VIRTQ_STATUS_DRIVER_OK)
		return;
	if (vdev_set_status(vu->v, status | VIRTQ_STATUS_DRIVER_OK) < 0)
		vu_log_entry(vu, VDEV_LOG_ERROR, 0, -1, status, "the device can't be made ready");
}

/* All that the front-end has to say before a ring can start has been said. */
static int complete(const struct vu_ring *r)
{
	const struct vdev_vhost_user *vu = r->vu;

	if (!r->kicked || !r->has_num || !r->has_addr || !vu->has_features || vu->nregions == 0)
		return 0;
	/* Writes must not be lost between SET_FEATURES and SET_LOG_BASE. */
	return !(vu->log_all && vu->log == NULL && vu_has(vu, VU_PROTO_LOG_SHMFD));
}

/* Start the ring if it is to be started and can be. */
void vu_ring_try(struct vu_ring *r)
{
	struct vdev_vhost_user *vu = r->vu;
	struct vdev_queue_setup setup;
	int rc;

	if (r->started || vu->fd < 0 || !complete(r))
		return;
	rc = features_settled(vu);
	if (rc == 0)
		return;
	if (rc < 0) {
		failed(r, rc, "the device does not accept the features");
		return;
	}
	rc = make_setup(r, &setup);
	if (rc < 0) {
		failed(r, rc,
		       rc == VIRTQ_EFAULT ? "the ring does not lie in guest memory"
		                          : "the in-flight area is not for this ring");
		return;
	}
	rc = vdev_queue_enable(vu->v, r->index, r->enabled);
	if (rc >= 0)
		rc = vdev_queue_start(vu->v, r->index, &setup);
	if (rc < 0 && rc != VIRTQ_EAGAIN) {
		failed(r, rc, "the ring can't be started");
		return;
	}
	r->started = r->ran = 1;
	vu->any_ring = 1;
	vdev_accepted(vu->v, &vu->last);
	if (vdev_port_set_kick(r->port, r->kick_fd) < 0) {
		/* It costs time, but the ring does not hang. */
		vu_log_entry(vu, VDEV_LOG_WARNING, 0, (int)r->index, 0,
		             "the kick descriptor can't be watched: the ring is looked at all the time");
		__atomic_store_n(&r->polled, 1, __ATOMIC_RELAXED);
	}
	driver_ok(vu);
}

void vu_rings_try(struct vdev_vhost_user *vu)
{
	for (unsigned i = 0; i < vu->nrings; i++)
		vu_ring_try(&vu->rings[i]);
}

static int enable(struct vu_ring *r, int on)
{
	r->enabled = on;
	return r->started ? vdev_queue_enable(r->vu->v, r->index, on) : 0;
}

/* Where nobody can enable rings, they are. */
void vu_rings_enable(struct vdev_vhost_user *vu)
{
	for (unsigned i = 0; i < vu->nrings; i++)
		if (enable(&vu->rings[i], 1) < 0)
			vu_log_entry(vu, VDEV_LOG_ERROR, 0, (int)i, 0, "the ring can't be enabled");
}

/* The watched kick descriptor is readable. It stays so: the port will find the kick. */
void vu_ring_kicked(struct vu_ring *r)
{
	if (!unwatch_kick(r))
		return;
	r->kicked = 1;
	vu_ring_try(r);
}

int vu_on_set_vring_num(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = vu_ring_of(vu, m->state.index);

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (m->state.num == 0 || m->state.num > vdev_queue_max(vu->v, r->index))
		return vu_refuse(vu, "size of a ring out of range");
	if (vu->has_features && !is_packed(vu) && (m->state.num & (m->state.num - 1)) != 0)
		return vu_refuse(vu, "size of a split ring is no power of two");
	r->num = m->state.num;
	r->has_num = 1;
	vu_ring_try(r);
	return 0;
}

/* The ring runs again, with the log address that was set meanwhile. */
static int restarted(struct vdev_vhost_user *vu, int rc)
{
	struct vu_ring *r = &vu->rings[vu->next];

	(void)rc;
	(void)note_position(r);
	r->kicked = 1;
	vu_ring_try(r);
	return r->started ? 0 : vu_refuse(vu, "the ring can't go on");
}

/* Only where the used ring is logged may change while a ring runs. */
static int change_running(struct vdev_vhost_user *vu, struct vu_ring *r,
                          const struct vu_vring_addr *a)
{
	uint64_t used_log = a->log;

	if (a->desc != r->addr.desc || a->avail != r->addr.avail || a->used != r->addr.used)
		return vu_refuse(vu, "addresses of a running ring");
	if (vu_translated(vu)) {
		r->addr = *a;
		return 0;
	}
	if (!(a->flags & VU_ADDR_LOG) && !vu_uva_to_gpa(vu, a->used, &used_log))
		return vu_refuse(vu, "the ring does not lie in guest memory");
	r->addr = *a;
	if (used_log == r->used_log)
		return 0;
	vu->next = r->index;
	vu_expect(vu, VDEV_OP_QUEUE_STOP, r->index);
	return vu_wait(vu, vdev_queue_stop(vu->v, r->index), restarted);
}

int vu_on_set_vring_addr(struct vdev_vhost_user *vu, struct vu_message *m)
{
	const struct vu_vring_addr *a = &m->addr;
	struct vu_ring *r = vu_ring_of(vu, a->index);
	struct virtq_state at;

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (vu->nregions > 0 && !ring_at(vu, a, &at))
		return vu_refuse(vu, "the ring does not lie in guest memory");
	if (a->flags & VU_ADDR_LOG && vu->log != NULL && !vu_translated(vu)) {
		uint64_t last = VIRTQ_SPLIT_DEVICE_BYTES(r->num) - 1;

		if (is_packed(vu))
			last = VIRTQ_PACKED_EVENT_BYTES - 1;
		if (a->log + last < a->log || !vu_log_covers(vu->log, a->log + last))
			return vu_refuse(vu, "the used ring's log address is outside of the log");
	}
	if (r->started)
		return change_running(vu, r, a);
	r->addr = *a;
	r->has_addr = 1;
	vu_ring_try(r);
	return 0;
}

int vu_on_set_vring_base(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = vu_ring_of(vu, m->state.index);

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (m->state.num > 0xffff && vu->has_features && !is_packed(vu))
		return vu_refuse(vu, "position of a ring out of range");
	r->base = m->state.num;
	r->has_base = 1;
	return 0;
}

/* The ring has stopped: say where. */
static int tell_base(struct vdev_vhost_user *vu, int rc)
{
	struct vu_ring *r = &vu->rings[vu->next];
	struct vu_vring_state answer = {.index = r->index};

	(void)rc;
	/* From here on the front-end knows where it is: a region would say that it is still there. */
	if (r->started && note_position(r))
		vu_inflight_over(r);
	vu_ring_no_kick(r);
	answer.num = r->base;
	if (!r->has_base)
		answer.num = is_packed(vu) ? VIRTQ_STATE_WRAP | (uint32_t)VIRTQ_STATE_WRAP << 16 : 0;
	memcpy(vu->reply, &answer, sizeof(answer));
	vu->reply_len = sizeof(answer);
	return 0;
}

int vu_on_get_vring_base(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = vu_ring_of(vu, m->state.index);

	if (r == NULL)
		return VIRTQ_EPROTO;
	vu->next = r->index;
	vu_expect(vu, VDEV_OP_QUEUE_STOP, r->index);
	return vu_wait(vu, vdev_queue_stop(vu->v, r->index), tell_base);
}

int vu_on_set_vring_kick(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = ring_of_u64(vu, m->u64);
	int kicked;

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (!(m->u64 & VU_NOFD) && !vu_notifiable(m->fds[0]))
		return vu_refuse(vu, "descriptor that can't be polled");
	/* A ring that waits for something else than its kick goes on waiting for that only. */
	kicked = r->kicked;
	vu_ring_no_kick(r);
	r->kick_fd = vu_take_fd(m);
	if (r->started) {
		r->kicked = kicked;
		__atomic_store_n(&r->polled, r->kick_fd < 0, __ATOMIC_RELAXED);
		if (vdev_port_set_kick(r->port, r->kick_fd) < 0)
			return vu_refuse(vu, "descriptor that can't be polled");
		vdev_queue_kick(vu->v, r->index);
	} else if (r->kick_fd < 0) {
		__atomic_store_n(&r->polled, 1, __ATOMIC_RELAXED);
		r->kicked = 1;
		vu_ring_try(r);
	} else {
		if (vu_poll_add(vu, r->kick_fd, EPOLLIN, &r->kick_source) < 0)
			return vu_refuse(vu, "descriptor that can't be polled");
		r->watched = 1;
		/* A predecessor may have taken the kick and died of it. */
		if (vu_inflight_on(vu, r->index))
			vu_ring_kicked(r);
	}
	return 0;
}

static int set_slot(struct vdev_vhost_user *vu, struct vu_message *m, int err)
{
	struct vu_ring *r = ring_of_u64(vu, m->u64);

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (vu_slot_set(vu, err ? &r->err : &r->call, vu_take_fd(m)) < 0)
		return vu_refuse(vu, "descriptor that can't be notified");
	/* A predecessor may have used buffers and died before it could tell. */
	if (!err && !(m->u64 & VU_NOFD))
		vu_slot_signal(vu, &r->call);
	return 0;
}

int vu_on_set_vring_call(struct vdev_vhost_user *vu, struct vu_message *m)
{
	return set_slot(vu, m, 0);
}

int vu_on_set_vring_err(struct vdev_vhost_user *vu, struct vu_message *m)
{
	return set_slot(vu, m, 1);
}

int vu_on_set_vring_enable(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = vu_ring_of(vu, m->state.index);

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (m->state.num > 1)
		return vu_refuse(vu, "a ring is enabled or it is not");
	/* Some front-ends enable before they have set features. */
	if (vu->has_features && !vu->protocol_acked)
		return vu_refuse(vu, "SET_VRING_ENABLE without protocol features");
	return enable(r, (int)m->state.num);
}

int vu_on_vring_kick(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_ring *r = vu_ring_of(vu, m->state.index);

	if (r == NULL)
		return VIRTQ_EPROTO;
	if (!r->started) {
		(void)unwatch_kick(r);
		r->kicked = 1;
		vu_ring_try(r);
	}
	if (r->started)
		vdev_queue_kick(vu->v, r->index);
	return 0;
}

int vu_ring_init(struct vdev_vhost_user *vu, unsigned index)
{
	struct vu_ring *r = &vu->rings[index];
	int rc;

	r->vu = vu;
	r->index = index;
	r->kick_fd = -1;
	r->hot = 1;
	r->kick_source = (struct vu_source){VU_KICK, r};
	r->port_source = (struct vu_source){VU_PORT, r};
	rc = vu_slot_init(vu, &r->call);
	if (rc >= 0)
		rc = vu_slot_init(vu, &r->err);
	if (rc >= 0)
		rc = vdev_port_new(&r->port, &vu->env, vu->v, index);
	if (rc >= 0)
		vdev_port_task(r->port, &r->task);
	return rc;
}

/* Back to what it was before the connection. */
void vu_ring_forget(struct vu_ring *r)
{
	vu_ring_no_kick(r);
	(void)vu_slot_set(r->vu, &r->call, -1);
	(void)vu_slot_set(r->vu, &r->err, -1);
	r->started = r->ran = 0;
	r->enabled = 0;
	r->has_num = 0;
	r->has_addr = 0;
	r->has_base = 0;
	r->base = 0;
	__atomic_store_n(&r->call_due, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->err_due, 0, __ATOMIC_RELAXED);
}

void vu_ring_free(struct vu_ring *r)
{
	if (r->port != NULL)
		vdev_port_free(r->port);
	vdev_os_close(r->call.fd);
	vdev_os_close(r->err.fd);
	vdev_os_close(r->kick_fd);
}
