/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: what a change of translations asks of a queue. None of it is on the path of requests. */
#include "dev.h"

#ifndef VIRTQ_NO_DEVICE

int virtq_dev_renew(struct virtq_dev *vq)
{
	unsigned old = vq->cur_map, i = 0;

	if (vq->dma != NULL)
		return VIRTQ_EINVAL;
	if (vq->maps[old].out == 0)
		return 0;
	while (i < VIRTQ_DEV_MAPS && vq->maps[i].mem != NULL)
		i++;
	if (i == VIRTQ_DEV_MAPS)
		return VIRTQ_EAGAIN;
	virtq_mem_ref(vq->maps[old].mem);
	vq->maps[i].mem = vq->maps[old].mem;
	vq->cur_map = (uint8_t)i;
	return 0;
}

int virtq_dev_older(const struct virtq_dev *vq)
{
	/* A place that is not the current one is emptied when its last chain is back. */
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS; i++)
		if (i != vq->cur_map && vq->maps[i].mem != NULL)
			return 1;
	return 0;
}

int virtq_dev_unmap(struct virtq_dev *vq, struct virtq_mem *mem)
{
	struct virtq_mem *old = vq->maps[vq->cur_map].mem;

	if (vq->dma != NULL)
		return VIRTQ_EINVAL;
	if (vq->inflight > 0)
		return VIRTQ_EBUSY;
	if (!vq->broken && ((!vq->packed && vq->used != vq->used_shown) || vq->held))
		return VIRTQ_EBUSY;
	if (mem != NULL) {
		virtq_mem_ref(mem);
		vq->maps[vq->cur_map].mem = mem;
		virtq_mem_unref(old);
	}
	if (!vq->broken)
		vq->broken = DEV_UNMAPPED;
	return 0;
}

int virtq_dev_remap(struct virtq_dev *vq)
{
	int err;

	if (vq->broken != DEV_UNMAPPED)
		return vq->broken ? VIRTQ_EBROKEN : 0;
	err = dev_map_ring(vq, dev_mem(vq));
	if (err == 0)
		vq->broken = 0;
	return err;
}

#endif
