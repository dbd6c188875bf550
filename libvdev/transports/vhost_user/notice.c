/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages for devices of a certain type. What they are about is the device's to know (vdev_notice()). */
#include "vu.h"

/* Protocol features that come with what the device takes notice of. */
uint64_t vu_notices(struct vdev_vhost_user *vu)
{
	uint64_t bits = 0;

	if (vdev_notice(vu->v, VDEV_NOTICE_ANNOUNCE, NULL) >= 0)
		bits |= (uint64_t)1 << VU_PROTO_RARP;
	if (vdev_notice(vu->v, VDEV_NOTICE_MTU, NULL) >= 0)
		bits |= (uint64_t)1 << VU_PROTO_NET_MTU;
	return bits;
}

int vu_on_send_rarp(struct vdev_vhost_user *vu, struct vu_message *m)
{
	int rc = vdev_notice(vu->v, VDEV_NOTICE_ANNOUNCE, m->bytes);

	if (rc == VIRTQ_EINVAL)
		return vu_refuse(vu, "an address that can't be announced");
	if (rc < 0 && m->h.flags & VU_FLAG_NEED_REPLY)
		return vu_refuse(vu, "the device could not announce itself");
	/* An announcement is a frame among others, and frames may be lost: no reason to end a connection. */
	if (rc < 0)
		vu_log_entry(vu, VDEV_LOG_WARNING, rc, -1, 0, "the device could not announce itself");
	return 0;
}

/*
 * It comes before or after SET_FEATURES (QEMU tells it first), so that its feature was negotiated is not asked for: the
 * device offers it.
 */
int vu_on_net_set_mtu(struct vdev_vhost_user *vu, struct vu_message *m)
{
	uint16_t mtu = (uint16_t)m->u64;

	if (m->u64 > UINT16_MAX || vdev_notice(vu->v, VDEV_NOTICE_MTU, &mtu) < 0)
		return vu_refuse(vu, "an MTU that the device can't live with");
	return 0;
}
