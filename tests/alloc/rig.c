/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <string.h>

int rig_blk(struct vdev **v, struct vdev_disk *disk, const struct vdev_blk_config *cfg)
{
	int rc;

	do
		rc = vdev_blk_new(v, inject_env(), disk, cfg);
	while (inject_again(rc));
	return rc;
}

int rig_loopback(struct vdev_loopback **l, struct vdev *v, const struct vdev_loopback_config *cfg)
{
	int rc;

	do
		rc = vdev_loopback_new(l, inject_env(), v, cfg);
	while (inject_again(rc));
	return rc;
}

int rig_start(struct vdev_loopback *l)
{
	int rc;

	do
		rc = vdev_loopback_start(l);
	while (inject_again(rc));
	return rc;
}

int rig_request(struct vdev_loopback *l, unsigned q, uint8_t type, uint8_t sector, uint8_t byte)
{
	uint8_t out[16 + RIG_SECTOR] = {type}, in[RIG_SECTOR + 1];
	uint32_t data = type == 1 ? RIG_SECTOR : 0, wanted = type == 0 ? RIG_SECTOR : 0;
	int64_t got;

	out[8] = sector;
	memset(out + 16, byte, RIG_SECTOR);
	got = vdev_loopback_request(l, q, out, 16 + data, in, wanted + 1);
	if (got == VIRTQ_EBROKEN)
		return VIRTQ_EBROKEN;
	ck_assert_int_eq(got, wanted + 1);
	ck_assert_uint_eq(in[wanted], 0);
	for (uint32_t i = 0; i < wanted; i++)
		ck_assert_uint_eq(in[i], byte);
	return 0;
}

void rig_free(struct vdev_disk *disk, struct vdev *v, struct vdev_loopback *l)
{
	vdev_loopback_free(l);
	if (v != NULL)
		ck_assert_int_eq(vdev_free(v), 0);
	vdev_disk_free(disk);
}
