/* SPDX-License-Identifier: BSD-3-Clause */
/* The hosted default environment. */
#include <stdlib.h>

#include <vdev/env.h>

#include "os.h"

static void *env_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return malloc(bytes);
}

static void env_free(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	free(p);
}

static uint64_t env_now(void *ctx)
{
	(void)ctx;
	return vdev_os_now();
}

const struct vdev_env *vdev_env_hosted(void)
{
	static const struct vdev_env hosted = {
		.size = sizeof(struct vdev_env),
		.alloc = env_alloc,
		.free = env_free,
		.now = env_now,
	};

	return &hosted;
}
