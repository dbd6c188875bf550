/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration space, status, reset; the log and the in-flight area. */
#include <unistd.h>

#include <virtq/inflight.h>

#include "front.h"

static int config_ok(const struct vdev_vhost_front *f, uint32_t offset, const void *buf,
                     uint32_t len)
{
	int rc = front_ready(f);

	if (buf == NULL || len == 0 || len > VU_MAX_CONFIG || offset > VU_MAX_CONFIG - len)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	return front_has(f, VU_PROTO_CONFIG) ? 0 : VIRTQ_ENOTSUP;
}

int vdev_vhost_front_config_read(struct vdev_vhost_front *f, uint32_t offset, void *buf,
                                 uint32_t len)
{
	struct vu_config c = {.offset = offset, .size = len};
	const struct vu_config *got = &f->in.config;
	int rc = config_ok(f, offset, buf, len);

	if (rc >= 0)
		rc = front_tell(f, VU_GET_CONFIG, 0, &c, VU_CONFIG_HEADER + len, NULL, 0);
	if (rc >= 0)
		rc = front_wait(f, VU_GET_CONFIG, 0, VU_CONFIG_HEADER + len);
	if (rc < 0)
		return rc;
	if (f->in.h.size == 0)
		return VDEV_VHOST_FRONT_REFUSED;
	if (f->in.h.size != VU_CONFIG_HEADER + len || got->offset != offset || got->size != len)
		return front_fail(f, VIRTQ_EPROTO, "another part of the configuration space");
	memcpy(buf, got->bytes, len);
	return 0;
}

int vdev_vhost_front_config_write(struct vdev_vhost_front *f, uint32_t offset, const void *buf,
                                  uint32_t len)
{
	struct vu_config c = {.offset = offset, .size = len};
	int rc = config_ok(f, offset, buf, len);

	if (rc < 0)
		return rc;
	memcpy(c.bytes, buf, len);
	return front_do(f, VU_SET_CONFIG, &c, VU_CONFIG_HEADER + len, NULL, 0);
}

int vdev_vhost_front_set_status(struct vdev_vhost_front *f, uint8_t status)
{
	int rc = front_ready(f);

	if (rc < 0)
		return rc;
	if (status == 0)
		return vdev_vhost_front_reset(f);
	if (front_has(f, VU_PROTO_STATUS))
		rc = front_do_u64(f, VU_SET_STATUS, status);
	if (rc >= 0)
		f->status = status;
	return rc;
}

int vdev_vhost_front_status(struct vdev_vhost_front *f)
{
	uint64_t status;
	int rc = front_ready(f);

	if (rc < 0)
		return rc;
	if (!front_has(f, VU_PROTO_STATUS))
		return f->status;
	rc = front_get_u64(f, VU_GET_STATUS, &status);
	if (rc < 0)
		return rc;
	if (status > 0xff)
		return front_fail(f, VIRTQ_EPROTO, "a device status of more than 8 bits");
	return (int)status;
}

int vdev_vhost_front_reset(struct vdev_vhost_front *f)
{
	int rc = front_ready(f);

	if (rc < 0)
		return rc;
	if (front_has(f, VU_PROTO_RESET_DEVICE))
		rc = front_do(f, VU_RESET_DEVICE, NULL, 0, NULL, 0);
	else if (front_has(f, VU_PROTO_STATUS))
		rc = front_do_u64(f, VU_SET_STATUS, 0);
	else
		rc = front_stop_all(f);
	if (rc >= 0)
		rc = front_sync(f);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < f->nqueues; i++)
		f->queues[i].started = 0;
	f->status = 0;
	f->accepted = 0;
	front_area_close(&f->inflight);
	return 0;
}

/* Tell of the MTU again. */
int front_mtu_send(struct vdev_vhost_front *f)
{
	return f->mtu == 0 ? 0 : front_do_u64(f, VU_NET_SET_MTU, f->mtu);
}

int vdev_vhost_front_set_mtu(struct vdev_vhost_front *f, uint16_t mtu)
{
	const uint16_t was = f->mtu;
	int rc = front_ready(f);

	if (mtu == 0)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!front_has(f, VU_PROTO_NET_MTU) || !(f->offered & BIT(FRONT_NET_F_MTU)))
		return VIRTQ_ENOTSUP;
	f->mtu = mtu;
	rc = front_mtu_send(f);
	if (rc < 0)
		f->mtu = was;
	return rc;
}

int vdev_vhost_front_announce(struct vdev_vhost_front *f, const uint8_t mac[6])
{
	uint8_t payload[8] = {0};
	int rc = front_ready(f);

	if (mac == NULL)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!front_has(f, VU_PROTO_RARP))
		return VIRTQ_ENOTSUP;
	memcpy(payload, mac, 6);
	return front_do(f, VU_SEND_RARP, payload, sizeof(payload), NULL, 0);
}

void front_area_close(struct front_area *a)
{
	vdev_os_close(a->fd);
	*a = (struct front_area){.fd = -1};
}

/* Where the area has its record of queue q. */
uint64_t front_record_at(const struct vdev_vhost_front *f, unsigned q)
{
	return f->inflight.offset + q * (f->inflight.bytes / f->nqueues);
}

/* The queue begins afresh: what is recorded of it is over. It is the back-end's file, so what fails is its loss. */
void front_record_forget(struct vdev_vhost_front *f, unsigned q)
{
	uint8_t none[VIRTQ_INFLIGHT_HEAD] = {0};

	if (f->inflight.fd >= 0)
		(void)!pwrite(f->inflight.fd, none, sizeof(none), (off_t)front_record_at(f, q));
}

/* Give the back-end the in-flight area, if there is one. */
int front_inflight_send(struct vdev_vhost_front *f)
{
	struct vu_inflight m = {.mmap_size = f->inflight.bytes,
	                        .mmap_offset = f->inflight.offset,
	                        .num_queues = (uint16_t)f->nqueues,
	                        .queue_size = f->inflight_size};

	if (f->inflight.fd < 0)
		return 0;
	return front_do(f, VU_SET_INFLIGHT_FD, &m, sizeof(m), &f->inflight.fd, 1);
}

/*
 * Take the area out of the answer. It is never mapped here: its file is the back-end's to shorten. Nor may reading it be
 * a question that somebody else answers in his own time, as on FUSE.
 */
static int take_area(struct vdev_vhost_front *f)
{
	const struct vu_inflight *m = &f->in.inflight;
	uint64_t size;

	/* With the padding of the structure in C, or without. */
	if (f->in.h.size != VU_INFLIGHT_BYTES && f->in.h.size != sizeof(*m))
		return front_fail(f, VIRTQ_EPROTO, "answer of a wrong size");
	if (m->mmap_size == 0 && f->in.nfds == 0)
		return VDEV_VHOST_FRONT_REFUSED;
	if (f->in.nfds != 1)
		return front_fail(f, VIRTQ_EPROTO, "in-flight area with a wrong number of descriptors");
	if (!vdev_os_in_memory(f->in.fds[0]))
		return front_fail(f, VIRTQ_EPROTO, "in-flight area that is not in memory");
	if (m->mmap_size == 0 || m->mmap_size - 1 > UINT64_MAX - m->mmap_offset ||
	    vdev_os_size(f->in.fds[0], &size) < 0 || m->mmap_offset > size ||
	    m->mmap_size > size - m->mmap_offset)
		return front_fail(f, VIRTQ_EPROTO, "in-flight area beyond the end of its file");
	front_area_close(&f->inflight);
	f->inflight = (struct front_area){
		.fd = front_take_fd(f), .offset = m->mmap_offset, .bytes = m->mmap_size};
	return 0;
}

int vdev_vhost_front_inflight(struct vdev_vhost_front *f, uint16_t queue_size)
{
	struct vu_inflight m = {.num_queues = (uint16_t)f->nqueues, .queue_size = queue_size};
	int rc = front_ready(f);

	if (queue_size == 0 || queue_size > VIRTQ_MAX_SIZE)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!front_has(f, VU_PROTO_INFLIGHT_SHMFD))
		return VIRTQ_ENOTSUP;
	for (unsigned i = 0; i < f->nqueues; i++)
		if (f->queues[i].started)
			return VIRTQ_EBUSY;
	rc = front_tell(f, VU_GET_INFLIGHT_FD, 0, &m, sizeof(m), NULL, 0);
	if (rc >= 0)
		rc = front_wait(f, VU_GET_INFLIGHT_FD, VU_INFLIGHT_BYTES, sizeof(m));
	if (rc >= 0)
		rc = take_area(f);
	if (rc < 0)
		return rc;
	f->inflight_size = queue_size;
	rc = front_inflight_send(f);
	if (rc < 0)
		front_area_close(&f->inflight);
	return rc;
}

/* Tell of the log again. */
int front_log_send(struct vdev_vhost_front *f)
{
	struct vu_log_desc d = {f->log.bytes, f->log.offset};
	int rc;

	if (f->log.fd < 0)
		return 0;
	rc = front_tell(f, VU_SET_LOG_BASE, 0, &d, sizeof(d), &f->log.fd, 1);
	if (rc >= 0)
		rc = front_wait(f, VU_SET_LOG_BASE, 0, sizeof(d));
	if (rc >= 0 && f->log_event >= 0)
		rc = front_do(f, VU_SET_LOG_FD, NULL, 0, &f->log_event, 1);
	return rc < 0 ? rc : 0;
}

/* The file may have been taken, and the event refused: back to the log of before. The refusal, or how that failed. */
static int log_again(struct vdev_vhost_front *f)
{
	int rc = front_log_send(f);

	return rc < 0 ? rc : VDEV_VHOST_FRONT_REFUSED;
}

int vdev_vhost_front_set_log(struct vdev_vhost_front *f, int fd, uint64_t offset, uint64_t bytes,
                             int event_fd)
{
	const struct front_area was = f->log;
	const int was_event = f->log_event;
	int rc = front_ready(f);
	int file, event = -1;

	if (fd < 0 || bytes == 0 || bytes - 1 > UINT64_MAX - offset)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!front_has(f, VU_PROTO_LOG_SHMFD))
		return VIRTQ_ENOTSUP;
	file = vdev_os_dup(fd);
	if (event_fd >= 0 && file >= 0)
		event = vdev_os_dup(event_fd);
	if (file < 0 || (event_fd >= 0 && event < 0)) {
		vdev_os_close(file);
		return VIRTQ_EINVAL;
	}
	f->log = (struct front_area){.fd = file, .offset = offset, .bytes = bytes};
	f->log_event = event;
	rc = front_log_send(f);
	if (rc < 0) {
		f->log = was;
		f->log_event = was_event;
		vdev_os_close(file);
		vdev_os_close(event);
		return rc == VDEV_VHOST_FRONT_REFUSED ? log_again(f) : rc;
	}
	vdev_os_close(was.fd);
	vdev_os_close(was_event);
	return 0;
}

int vdev_vhost_front_logging(struct vdev_vhost_front *f, int on)
{
	int was = f->logging;
	int rc = front_ready(f);

	if (rc < 0)
		return rc;
	if (!f->accepted || f->log.fd < 0)
		return VIRTQ_EINVAL;
	if (!(f->offered & BIT(VU_F_LOG_ALL)))
		return VIRTQ_ENOTSUP;
	f->logging = on != 0;
	rc = front_send_features(f);
	for (unsigned i = 0; i < f->nqueues && rc >= 0; i++)
		if (f->queues[i].started)
			rc = front_queue_addr(f, i);
	if (rc >= 0)
		rc = front_sync(f);
	if (rc < 0)
		f->logging = was;
	return rc;
}
