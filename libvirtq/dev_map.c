/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: what a change of memory or of translations asks of a queue. None of it is on the path of requests. */
#include "dev.h"

#ifndef VIRTQ_NO_DEVICE

/* The chains that are out are those of an older map, which is at this place. */
static void owners_age(struct virtq_dev *vq, unsigned map)
{
	for (uint32_t id = 0; id < vq->size; id++)
		if (vq->owner[id] == OWNER_NOW)
			vq->owner[id] = (uint8_t)(OWNER_OLD + map);
}

int virtq_dev_set_mem(struct virtq_dev *vq, struct virtq_mem *mem)
{
	unsigned old = vq->cur_map, i = 0;
	int err;

	if (mem == NULL || vq->dma != NULL || vq->broken == DEV_UNMAPPED)
		return VIRTQ_EINVAL;
	if (vq->maps[old].out == 0) {
		i = old; /* nobody needs the old one any more */
	} else {
		while (i < VIRTQ_DEV_MAPS && vq->maps[i].mem != NULL)
			i++;
		if (i == VIRTQ_DEV_MAPS)
			return VIRTQ_EAGAIN;
	}
	err = dev_map_ring(vq, mem);
	if (err != 0)
		return err;
	virtq_mem_ref(mem);
	if (i != old)
		owners_age(vq, old);
	if (vq->maps[i].mem != NULL)
		virtq_mem_unref(vq->maps[i].mem);
	vq->maps[i].mem = mem;
	vq->cur_map = (uint8_t)i;
	return 0;
}

int virtq_dev_uses_mem(const struct virtq_dev *vq, const struct virtq_mem *mem)
{
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS; i++)
		if (vq->maps[i].mem == mem && mem != NULL)
			return 1;
	return 0;
}

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
	owners_age(vq, old);
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
