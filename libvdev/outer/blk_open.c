/* SPDX-License-Identifier: BSD-3-Clause */
/* The shortest way to a disk: sugar that knows both a device and a back-end. */
#include <vdev/blk.h>
#include <vdev/disk_file.h>

int vdev_blk_open(struct vdev **out, struct virtq_mem *mem, const char *path, unsigned flags)
{
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_disk_file_config file = {.size = sizeof(file), .path = path};
	struct vdev_blk_config cfg = {.size = sizeof(cfg), .own_disk = 1};
	struct vdev_disk *disk;
	struct vdev *v;
	int rc;

	if (out == NULL || path == NULL || (flags & ~(unsigned)VDEV_BLK_READONLY))
		return VIRTQ_EINVAL;
	if (flags & VDEV_BLK_READONLY)
		file.flags = VDEV_DISK_FILE_READONLY;
	rc = vdev_disk_file_new(&disk, env, &file);
	if (rc < 0)
		return rc;
	rc = vdev_blk_new(&v, env, disk, &cfg);
	if (rc < 0) {
		vdev_disk_free(disk);
		return rc;
	}
	if (mem != NULL)
		rc = vdev_function_set_mem(vdev_function(v), mem);
	if (rc < 0) {
		/* Never started, so this can't fail. */
		(void)!vdev_free(v);
		return rc;
	}
	*out = v;
	return 0;
}
