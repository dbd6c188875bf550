/* SPDX-License-Identifier: BSD-3-Clause */
#include "function_test_device.h"

#include <string.h>

static int wait_for(struct copier *c, int op)
{
	if (!c->busy)
		return 0;
	c->waits |= 1 << op;
	return VIRTQ_EAGAIN;
}

static int reset(struct vdev_function *fn)
{
	struct copier *c = (struct copier *)fn;

	memset(c->regs, 0, sizeof(c->regs));
	c->cancelled = c->busy;
	return wait_for(c, VDEV_OP_RESET);
}

static int quiesce(struct vdev_function *fn)
{
	((struct copier *)fn)->stopped = 1;
	return wait_for((struct copier *)fn, VDEV_OP_QUIESCE);
}

static int resume(struct vdev_function *fn)
{
	((struct copier *)fn)->stopped = 0;
	return 0;
}

static int save(struct vdev_function *fn, struct vdev_writer *w)
{
	for (int i = 0; i < COPIER_BYTES / 8; i++)
		vdev_put64(w, ((struct copier *)fn)->regs[i]);
	return 0;
}

static int load(struct vdev_function *fn, struct vdev_reader *r, uint32_t version, int apply)
{
	uint64_t regs[COPIER_BYTES / 8];

	for (int i = 0; i < COPIER_BYTES / 8; i++)
		regs[i] = vdev_get64(r);
	if (version != 1 || regs[COPIER_GO / 8] != 0)
		return VIRTQ_EBADMSG;
	if (apply)
		memcpy(((struct copier *)fn)->regs, regs, sizeof(regs));
	return 0;
}

static void start(struct copier *c)
{
	uint64_t len = c->regs[COPIER_LEN / 8];

	if (c->busy || c->stopped)
		return;
	if (vdev_function_map(&c->fn, c->regs[COPIER_SRC / 8], len, 0, &c->iov[0], 1, &c->src) != 1)
		return;
	if (vdev_function_map(&c->fn, c->regs[COPIER_DST / 8], len, 1, &c->iov[1], 1, &c->dst) != 1) {
		vdev_function_unmap(&c->fn, &c->src);
		return;
	}
	c->busy = 1;
}

void copier_step(struct copier *c)
{
	int waits = c->waits;

	if (!c->busy)
		return;
	if (!c->cancelled) {
		memcpy(c->iov[1].base, c->iov[0].base, c->iov[0].len);
		c->regs[COPIER_DONE / 8]++;
	}
	c->busy = c->cancelled = c->waits = 0;
	for (int op = 0; op < 8;
	     op++) /* the device is done; that its buffers are still mapped is the function's matter */
		if (waits & 1 << op)
			vdev_function_done(&c->fn, op, 0, 0);
	vdev_function_unmap(&c->fn, &c->src);
	vdev_function_unmap(&c->fn, &c->dst);
	vdev_function_interrupt(&c->fn, 0);
}

static int access(struct vdev_function *fn, unsigned region, int write, uint64_t offset, void *buf,
                  size_t len)
{
	struct copier *c = (struct copier *)fn;

	(void)region;
	if (len != 8 || offset % 8 != 0)
		return VIRTQ_EINVAL;
	if (!write)
		memcpy(buf, &c->regs[offset / 8], 8);
	else if (c->busy)
		return VIRTQ_EAGAIN;
	else if (offset == COPIER_GO)
		start(c);
	else if (offset != COPIER_DONE)
		memcpy(&c->regs[offset / 8], buf, 8);
	return 0;
}

static void destroy(struct vdev_function *fn)
{
	((struct copier *)fn)->destroyed = 1;
}

int copier_init(struct copier *c, const struct vdev_env *env)
{
	static const struct vdev_region_info regions[] = {{.bytes = COPIER_BYTES}};
	static const struct vdev_function_ops ops = {.size = sizeof(ops),
	                                             .name = "copier",
	                                             .state_version = 1,
	                                             .nregions = 1,
	                                             .regions = regions,
	                                             .reset = reset,
	                                             .quiesce = quiesce,
	                                             .resume = resume,
	                                             .save = save,
	                                             .load = load,
	                                             .access = access,
	                                             .destroy = destroy};

	memset(c, 0, sizeof(*c));
	return vdev_function_init(&c->fn, &ops, env);
}
