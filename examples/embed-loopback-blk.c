/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk as a library: device and driver in one process. Writes a sector, reads it back. */
#include <stdio.h>
#include <string.h>

#include <vdev/blk.h>
#include <vdev/loopback.h>

static _Alignas(4096) char memory[1 << 20];

int main(void)
{
	const struct vdev_env *env = vdev_env_hosted();
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = memory, .bytes = sizeof(memory)};
	struct vdev_blk_config blk = {.size = sizeof(blk), .own_disk = 1};
	struct { /* 5.2.6: type, reserved, sector, data */
		unsigned char header[16];
		char data[512];
	} request = {{1 /* OUT */, [8] = 5 /* sector */}, "hello, sector 5"};
	char answer[513]; /* data, status */
	struct vdev_loopback *driver;
	struct vdev_disk *disk;
	struct vdev *dev;

	if (vdev_disk_mem_new(&disk, env, NULL, 64 << 20) || vdev_blk_new(&dev, env, disk, &blk) ||
	    vdev_loopback_new(&driver, env, dev, &cfg) || vdev_loopback_start(driver))
		return 1;
	if (vdev_loopback_request(driver, 0, &request, sizeof(request), answer, 1) != 1 || answer[0])
		return 1;
	request.header[0] = 0; /* IN */
	if (vdev_loopback_request(driver, 0, request.header, 16, answer, 513) != 513 || answer[512])
		return 1;
	printf("read back: %s\n", answer);
	vdev_loopback_free(driver);
	return vdev_free(dev) || strcmp(answer, request.data) != 0;
}
