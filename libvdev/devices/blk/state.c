/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a saved state says of a block device, beside the configuration space and the queues, which
 * the core saves. The disk's contents and how the device was configured are the embedder's; this
 * names what a driver relies on, so that a disk which is too small or of another block size is
 * refused. No request is ever part of it.
 */
#include "blk.h"

static uint64_t now_of(const struct blk_device *b)
{
	return b->env.now != NULL ? b->env.now(b->env.ctx) : 0;
}

int blk_save_state(void *model, struct vdev_writer *w)
{
	struct blk_device *b = model;
	int64_t level[2];

	blk_limit_levels(&b->limit, now_of(b), level);
	vdev_put64(w, blk_get(&b->sectors));
	vdev_put32(w, b->block_mask + 1);
	vdev_put32(w, b->seg_max);
	vdev_put32(w, b->readonly);
	vdev_put32(w, b->limit.on);
	vdev_put64(w, (uint64_t)level[0]);
	vdev_put64(w, (uint64_t)level[1]);
	return w->error;
}

int blk_load_state(void *model, struct vdev_reader *r, uint32_t version, int apply)
{
	struct blk_device *b = model;
	uint64_t sectors, ours = blk_get(&b->sectors);
	uint32_t block, seg_max, readonly, limited;
	int64_t level[2];

	if (version != blk_model_ops.state_version)
		return VIRTQ_ENOTSUP;
	sectors = vdev_get64(r);
	block = vdev_get32(r);
	seg_max = vdev_get32(r);
	readonly = vdev_get32(r);
	limited = vdev_get32(r);
	level[0] = (int64_t)vdev_get64(r);
	level[1] = (int64_t)vdev_get64(r);
	if (r->error != 0 || r->pos != r->len)
		return VIRTQ_EBADMSG;
	if (readonly > 1 || limited > 1 || block == 0 || (block & (block - 1)) != 0 ||
	    sectors > UINT64_MAX >> 9 || seg_max == 0)
		return VIRTQ_EBADMSG;
	/* An owed level is at most one request's; nothing that lasts for ages is believed. */
	if (level[0] < -1 || level[1] < -((int64_t)1 << 32))
		return VIRTQ_EBADMSG;
	if (sectors > ours || block != b->block_mask + 1 || seg_max > b->seg_max ||
	    readonly != b->readonly)
		return VIRTQ_ENOTSUP;
	if (!apply)
		return 0;
	if (limited)
		blk_limit_restore(&b->limit, now_of(b), level);
	return 0;
}
