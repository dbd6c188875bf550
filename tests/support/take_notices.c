/* SPDX-License-Identifier: BSD-3-Clause */
#include "take_notices.h"

#include "../../libvdev/core/virtio/core.h"

static int taken(void *model, enum vdev_notice what, const void *about)
{
	uint8_t mac[6];
	uint16_t mtu;

	(void)model;
	if (about == NULL)
		return 0;
	if (what == VDEV_NOTICE_MTU) {
		memcpy(&mtu, about, sizeof(mtu));
		return mtu < 68 ? VIRTQ_EINVAL : 0;
	}
	memcpy(mac, about, sizeof(mac));
	if (mac[0] & 1)
		return VIRTQ_EINVAL;
	return mac[5] == 0 ? VIRTQ_ENOMEM : 0; /* announcements may fail */
}

void take_notices(struct vdev *v)
{
	v->ops.notice = taken;
}
