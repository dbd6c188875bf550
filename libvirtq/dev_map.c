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

/* Where a further map can be kept beside those that chains are out of. VIRTQ_EAGAIN: nowhere. */
static int map_place(const struct virtq_dev *vq)
{
	for (int i = 0; i < VIRTQ_DEV_MAPS; i++)
		if (vq->maps[i].mem == NULL)
			return i;
	return VIRTQ_EAGAIN;
}

/* What is popped from here on is of this map. */
static void map_enter(struct virtq_dev *vq, int place, struct virtq_mem *mem)
{
	struct virtq_mem *before = vq->maps[place].mem;

	virtq_mem_ref(mem);
	if (place != vq->cur_map)
		owners_age(vq, vq->cur_map);
	vq->maps[place].mem = mem;
	vq->cur_map = (uint8_t)place;
	if (before != NULL)
		virtq_mem_unref(before);
}

int virtq_dev_set_mem(struct virtq_dev *vq, struct virtq_mem *mem)
{
	int place = vq->cur_map, err;

	if (mem == NULL || vq->dma != NULL || vq->broken == DEV_UNMAPPED)
		return VIRTQ_EINVAL;
	if (vq->maps[place].out > 0) /* else nobody needs the old one any more */
		place = map_place(vq);
	if (place < 0)
		return place;
	err = dev_map_ring(vq, mem);
	if (err == 0)
		map_enter(vq, place, mem);
	return err;
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
	int place;

	if (vq->dma != NULL)
		return VIRTQ_EINVAL;
	if (vq->maps[vq->cur_map].out == 0)
		return 0;
	place = map_place(vq);
	if (place < 0)
		return place;
	map_enter(vq, place, vq->maps[vq->cur_map].mem);
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
