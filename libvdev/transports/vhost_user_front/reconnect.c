/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end went, and another one takes its place: tell it everything again, and where each ring goes on. */
#include <unistd.h>

#include <virtq/inflight.h>

#include "front.h"

/* A guest's split ring: every buffer before the used index is done with. */
static int from_used_ring(struct vdev_vhost_front *f, struct front_queue *q)
{
	const uint8_t *p = front_host(f, q->state.device, 4);
	uint8_t idx[2];

	if (p == NULL)
		return VIRTQ_EFAULT;
	idx[0] = __atomic_load_n(p + 2, __ATOMIC_RELAXED);
	idx[1] = __atomic_load_n(p + 3, __ATOMIC_RELAXED);
	q->state.used = (uint16_t)(idx[0] | idx[1] << 8);
	q->state.avail = q->state.used;
	return 0;
}

/* Whether the descriptor at this position is still as the driver made it available. */
static int untouched(struct vdev_vhost_front *f, const struct front_queue *q, uint16_t position)
{
	uint64_t place = position & ~(unsigned)VIRTQ_STATE_WRAP;
	int wrap = position >> 15;
	const uint8_t *p = front_host(f, q->state.desc + place * VIRTQ_DESC_BYTES, VIRTQ_DESC_BYTES);
	uint8_t lo, hi;

	if (p == NULL)
		return 1;
	lo = __atomic_load_n(p + 14, __ATOMIC_RELAXED);
	hi = __atomic_load_n(p + 15, __ATOMIC_RELAXED);
	return lo >> 7 == wrap && hi >> 7 != wrap;
}

/* A guest's packed ring: what the back-end recorded, which is not trusted. */
static int from_record(struct vdev_vhost_front *f, unsigned i)
{
	_Alignas(8) uint8_t head[VIRTQ_INFLIGHT_HEAD];
	struct front_queue *q = &f->queues[i];
	uint16_t used[2];
	int rc;

	if (f->inflight.fd < 0)
		return VIRTQ_EBUSY;
	if (f->inflight.bytes / f->nqueues < sizeof(head) ||
	    pread(f->inflight.fd, head, sizeof(head), (off_t)front_record_at(f, i)) !=
	        (ssize_t)sizeof(head))
		return VIRTQ_EBUSY;
	rc = virtq_inflight_used(head, q->state.size, used);
	if (rc < 0)
		return VIRTQ_EBUSY;
	/* It never came to fetch anything: the ring is where it was started. */
	if (rc == 0)
		return 0;
	q->state.used = used[used[0] != used[1] && !untouched(f, q, used[0])];
	q->state.avail = q->state.used;
	return 0;
}

/* Where the ring goes on: after the last buffer that was used. */
static int find_position(struct vdev_vhost_front *f, unsigned i)
{
	struct front_queue *q = &f->queues[i];
	struct virtq_state now;
	int rc;

	if (q->drv == NULL)
		return is_packed(f) ? from_record(f, i) : from_used_ring(f, q);
	rc = virtq_drv_rewind(q->drv, f->inflight.fd >= 0);
	if (rc < 0)
		return rc;
	virtq_drv_position(q->drv, &now);
	q->state.used = now.used;
	q->state.avail = now.used;
	return 0;
}

static int tell_status(struct vdev_vhost_front *f, uint8_t status)
{
	return front_has(f, VU_PROTO_STATUS) && status != 0 ? front_do_u64(f, VU_SET_STATUS, status)
	                                                    : 0;
}

/* The device, up to where queues are started. */
static int tell_device(struct vdev_vhost_front *f)
{
	const uint8_t begun = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER;
	int rc = front_mtu_send(f);

	if (f->accepted && rc >= 0) {
		rc = tell_status(f, begun);
		if (rc >= 0)
			rc = front_send_features(f);
		if (rc >= 0)
			rc = tell_status(f, begun | VIRTQ_STATUS_FEATURES_OK);
	}
	if (rc >= 0)
		rc = front_memory_send(f);
	if (rc >= 0)
		rc = front_log_send(f);
	if (rc >= 0)
		rc = front_inflight_send(f);
	return rc;
}

static int tell_queues(struct vdev_vhost_front *f)
{
	int rc = 0;

	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++)
		if (f->queues[i].started)
			rc = front_queue_begin(f, i);
	if (rc >= 0)
		rc = tell_status(f, f->status);
	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++) {
		if (!f->queues[i].started)
			continue;
		rc = front_queue_go(f, i);
		/* What was used before the end may never have been told. */
		if (!(f->queues[i].flags & VDEV_VHOST_FRONT_NO_CALL))
			vdev_os_bell_ring(&f->bell, f->queues[i].call);
	}
	return rc;
}

static int connect_again(struct vdev_vhost_front *f, int fd)
{
	const uint64_t offered = f->offered;
	int rc = front_open(f, fd, 1);

	if (rc >= 0)
		rc = tell_device(f);
	/*
	 * Not before somebody answers: if the old connection was lost and not its back-end, that one let go of the rings
	 * before it took the new one.
	 */
	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++)
		if (f->queues[i].started)
			rc = find_position(f, i);
	if (rc >= 0)
		rc = tell_queues(f);
	if (rc < 0) {
		front_close(f);
		f->offered = offered; /* the next one need not offer what this one did */
	}
	return rc;
}

int vdev_vhost_front_reconnect(struct vdev_vhost_front *f, int fd)
{
	int rc;

	if (fd < 0 && f->path == NULL)
		return VIRTQ_EINVAL;
	if (f->inside)
		return VIRTQ_EBUSY;
	f->quiet = 1;
	front_close(f);
	rc = connect_again(f, fd);
	f->quiet = 0;
	if (rc < 0)
		return rc;
	vdev_os_close(fd);
	return 0;
}

int vdev_vhost_front_queue_forget(struct vdev_vhost_front *f, unsigned q)
{
	if (q >= f->nqueues)
		return VIRTQ_EINVAL;
	if (f->fd >= 0)
		return VIRTQ_EBUSY;
	f->queues[q].started = 0;
	front_record_forget(f, q);
	return 0;
}
