/* SPDX-License-Identifier: BSD-3-Clause */
/* What all engines have in common. */
#include <string.h>

#include "file.h"

void *engine_alloc(const struct engine_ops *ops, const struct vdev_env *env, size_t bytes)
{
	struct vdev_engine *e = env->alloc(env->ctx, bytes);

	if (e == NULL)
		return NULL;
	memset(e, 0, bytes);
	e->ops = ops;
	e->env = *env;
	return e;
}

void vdev_engine_free(struct vdev_engine *e)
{
	if (e != NULL)
		e->ops->destroy(e);
}

int vdev_engine_register(struct vdev_engine *e, const struct virtq_region *regions, uint32_t n)
{
	if (e == NULL || (regions == NULL && n > 0))
		return VIRTQ_EINVAL;
	return e->ops->reg != NULL ? e->ops->reg(e, regions, n) : 0;
}

int vdev_engine_unregister(struct vdev_engine *e)
{
	if (e == NULL)
		return VIRTQ_EINVAL;
	return e->ops->unreg != NULL ? e->ops->unreg(e) : 0;
}
