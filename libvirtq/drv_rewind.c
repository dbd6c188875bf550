/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side: positions, and going on with a device that has forgotten what it had in flight. */
#include "drv.h"

#ifndef VIRTQ_NO_DRIVER

void virtq_drv_position(const struct virtq_drv *vq, struct virtq_state *out)
{
	virtq_drv_state(vq, out);
	out->avail = vq->avail_shown;
	out->used = vq->used;
	if (vq->packed && vq->used_wrap)
		out->used |= VIRTQ_STATE_WRAP;
}

/*
 * The available ring from the used index on says what the device takes next, so what is out has to stand there. The
 * entries are those of the latest buffers, and some of these have come back where older ones have not.
 */
static void list_again(struct virtq_drv *vq)
{
	uint16_t at = vq->used;

	for (uint32_t id = 0; id < vq->size && at != vq->avail_shown; id++) {
		const struct virtq_drv_slot *s = &vq->slots[id];
		uint8_t *p = vq->driver + 4 + 2 * (size_t)(at & (vq->size - 1));

		if (s->ndesc == 0 || (vq->unshown != 0 && s->publishes == vq->publishes))
			continue;
		shared_store16(p, (uint16_t)id);
		cache_clean(vq->platform, p, 2);
		at++;
	}
}

static int pending(struct virtq_drv *vq)
{
	uint16_t flags;

	if (!vq->packed) {
		cache_invalidate(vq->platform, vq->device, 4);
		return shared_load16(vq->device + 2) != vq->used;
	}
	if (vq->in_batch)
		return 1;
	if ((uint32_t)vq->free_count + vq->unshown >= vq->size)
		return 0;
	cache_invalidate(vq->platform, vq->desc + (size_t)vq->used * VIRTQ_DESC_BYTES,
	                 VIRTQ_DESC_BYTES);
	flags = shared_load16(vq->desc + (size_t)vq->used * VIRTQ_DESC_BYTES + 14) &
	        (VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED);
	return flags == (vq->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0);
}

int virtq_drv_rewind(struct virtq_drv *vq, int recorded)
{
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (pending(vq))
		return VIRTQ_EAGAIN;
	vq->unkicked = 0;
	if (recorded || vq->in_order)
		return 0;
	if (vq->packed)
		return vq->inflight == 0 || vq->free_count + (uint32_t)vq->unshown == vq->size
		           ? 0
		           : VIRTQ_EBUSY;
	list_again(vq);
	return 0;
}

#endif
