/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: setting a queue up and saving it. */
#include "dev_wide.h"

#ifndef VIRTQ_NO_DEVICE

#include "dma.h"

static size_t owner_bytes(uint32_t size)
{
	return ROUND_UP((size_t)size);
}

/* A power of two, so that a free-running order of popping finds its place with a mask. */
static size_t done_count(const struct virtq_dev_config *cfg)
{
	size_t n = 1;

	if (!virtq_features_has(&cfg->features, VIRTQ_F_IN_ORDER))
		return 0;
	while (n < cfg->state.size)
		n *= 2;
	return n;
}

static size_t done_bytes(const struct virtq_dev_config *cfg)
{
	return ROUND_UP(done_count(cfg) * sizeof(struct virtq_dev_done));
}

size_t virtq_dev_bytes(const struct virtq_dev_config *cfg)
{
	if (cfg->state.size == 0 || cfg->state.size > VIRTQ_MAX_SIZE)
		return 0;
	if (cfg->dma != NULL && !virtq_dma_config_ok(cfg))
		return 0;
	return owner_bytes(cfg->state.size) + done_bytes(cfg) + virtq_dma_bytes(cfg);
}

static int config_ok(const struct virtq_dev_config *cfg)
{
	if (cfg->size < sizeof(*cfg) || cfg->scratch == NULL || (uintptr_t)cfg->scratch % 8 != 0)
		return 0;
	if (cfg->mem == NULL && cfg->dma == NULL)
		return 0;
	if ((cfg->flags & ~(uint32_t)(VIRTQ_DEV_USED_LOG | VIRTQ_DEV_NO_WIDE)) != 0 ||
	    cfg->max_chain > INT32_MAX / 8)
		return 0;
	if (cfg->xlat != NULL && (cfg->xlat->size < sizeof(*cfg->xlat) || cfg->xlat->translate == NULL))
		return 0;
	if ((cfg->xlat_entries & (cfg->xlat_entries - 1)) != 0 ||
	    (cfg->xlat_entries > 0 && cfg->xlat_cache == NULL))
		return 0;
	if (cfg->platform != NULL && cfg->platform->size < sizeof(*cfg->platform))
		return 0;
	return cfg->scratch_bytes >= virtq_dev_bytes(cfg) && virtq_dev_bytes(cfg) > 0;
}

static int layout_built(const struct virtq_dev_config *cfg)
{
#if defined(VIRTQ_NO_SPLIT)
	return virtq_features_has(&cfg->features, VIRTQ_F_RING_PACKED);
#elif defined(VIRTQ_NO_PACKED)
	return !virtq_features_has(&cfg->features, VIRTQ_F_RING_PACKED);
#else
	(void)cfg;
	return 1;
#endif
}

/* Where a part of the ring lies here: whole in one region, even when a translation cuts it in pieces. */
static int part_at(struct virtq_dev *vq, const struct virtq_mem *mem, uint64_t addr, uint32_t bytes,
                   int write, uint8_t **out)
{
	uint64_t gpa = addr, first = addr;

	for (uint64_t done = 0; vq->xlat != NULL && done < bytes;) {
		uint64_t len = bytes - done;
		int err = xlat_lookup(vq, addr + done, &len, write, &gpa);

		if (err != 0)
			return err;
		if (done == 0)
			first = gpa;
		else if (gpa != first + done)
			return VIRTQ_EFAULT;
		done += len;
	}
	*out = virtq_mem_at(mem, first, bytes, write);
	return *out != NULL ? 0 : VIRTQ_EFAULT;
}

int dev_map_ring(struct virtq_dev *vq, const struct virtq_mem *mem)
{
	uint8_t *desc = NULL, *driver = NULL, *device = NULL;
	uint32_t n = vq->size;
	int err;

	err = part_at(vq, mem, vq->desc_addr, n * VIRTQ_DESC_BYTES, 0, &desc);
	if (err == 0 && vq->packed)
		err = part_at(vq, mem, vq->desc_addr, n * VIRTQ_DESC_BYTES, 1, &desc);
	if (err == 0)
		err = part_at(vq, mem, vq->driver_addr,
		              vq->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(n), 0,
		              &driver);
	if (err == 0)
		err = part_at(vq, mem, vq->device_addr,
		              vq->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(n), 1,
		              &device);
	if (err != 0)
		return err;
	/* The addresses are aligned; this is about memory that starts at an odd place here. */
	if ((uintptr_t)desc % 8 != 0 ||
	    (uintptr_t)driver % 4 != (vq->packed ? 0 : vq->driver_addr % 4) ||
	    (uintptr_t)device % 4 != 0)
		return VIRTQ_EFAULT;
	vq->desc = desc;
	vq->driver = driver;
	vq->device = device;
	return 0;
}

static void take_config(struct virtq_dev *vq, const struct virtq_dev_config *cfg)
{
	const struct virtq_state *s = &cfg->state;
	const struct virtq_features *f = &cfg->features;

	*vq = (struct virtq_dev){
		.size = s->size,
		.packed = (uint8_t)virtq_features_has(f, VIRTQ_F_RING_PACKED),
		.indirect = (uint8_t)virtq_features_has(f, VIRTQ_F_INDIRECT_DESC),
		.event_idx = (uint8_t)virtq_features_has(f, VIRTQ_F_EVENT_IDX),
		.in_order = (uint8_t)virtq_features_has(f, VIRTQ_F_IN_ORDER),
		.max_chain = cfg->max_chain > s->size ? cfg->max_chain : s->size,
		.owner = cfg->scratch,
		.platform = cfg->platform,
		.desc_addr = s->desc,
		.driver_addr = s->driver,
		.device_addr = s->device,
		.used_log = cfg->used_log,
		.used_log_set = (cfg->flags & VIRTQ_DEV_USED_LOG) != 0,
		.signalled_known = (s->flags & VIRTQ_STATE_SIGNALLED) != 0,
		.unsignalled = s->unsignalled,
		.armed = 1, /* memory of a fresh ring asks for notifications */
	};
	vq->wide = (uint8_t)(vq->packed && !(cfg->flags & VIRTQ_DEV_NO_WIDE) && dev_wide_here());
	__builtin_memset(vq->owner, 0, owner_bytes(s->size));
	if (vq->in_order) {
		vq->done = (struct virtq_dev_done *)((uint8_t *)cfg->scratch + owner_bytes(s->size));
		__builtin_memset(vq->done, 0, done_bytes(cfg));
		vq->done_mask = (uint16_t)(done_count(cfg) - 1);
	}
	if (virtq_features_has(f, VIRTQ_F_ACCESS_PLATFORM) && cfg->xlat != NULL) {
		vq->xlat = cfg->xlat;
		vq->xlat_cache = cfg->xlat_cache;
		vq->xlat_entries = cfg->xlat_entries;
		for (uint32_t i = 0; i < vq->xlat_entries; i++)
			vq->xlat_cache[i].len = 0;
	}
}

/*
 * Each border between regions can cut one buffer of an honest chain; translation cuts at every page. Others size their
 * memory by this, so a later map does not change it.
 */
static uint32_t piece_limit(const struct virtq_dev *vq, const struct virtq_mem *mem)
{
	uint32_t borders;

	if (vq->dma != NULL)
		return vq->max_chain;
	borders = mem->count > VIRTQ_DEV_BORDERS ? mem->count : VIRTQ_DEV_BORDERS;
	return vq->xlat != NULL ? vq->max_chain * 4 + borders + 1024 : vq->max_chain + borders;
}

int virtq_dev_init_sized(struct virtq_dev *vq, size_t vq_size, const struct virtq_dev_config *cfg)
{
	struct virtq_dev fresh;
	int err;

	if (vq_size < sizeof(*vq) || !config_ok(cfg))
		return VIRTQ_EINVAL;
	if (!layout_built(cfg))
		return VIRTQ_ENOTSUP;
	err = virtq_state_check(&cfg->state, &cfg->features);
	if (err != 0)
		return err;
	take_config(&fresh, cfg);
	if (cfg->dma != NULL) {
		err = virtq_dma_init(&fresh, cfg,
		                     (uint8_t *)cfg->scratch + owner_bytes(fresh.size) + done_bytes(cfg));
	} else {
		err = dev_map_ring(&fresh, cfg->mem);
		if (err == 0)
			err = LAYOUT(&fresh, start, &fresh, &cfg->state);
	}
	if (err != 0)
		return err;
	fresh.plain = fresh.dma == NULL && fresh.xlat == NULL;
	fresh.max_iov = piece_limit(&fresh, cfg->mem);
	fresh.maps[0].mem = cfg->mem;
	if (cfg->mem != NULL)
		virtq_mem_ref(cfg->mem);
	*vq = fresh;
	return 0;
}

int virtq_dev_fini(struct virtq_dev *vq)
{
	if (vq->inflight > 0 || (vq->dma != NULL && virtq_dma_busy(vq)))
		return VIRTQ_EBUSY;
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS; i++) {
		if (vq->maps[i].mem != NULL)
			virtq_mem_unref(vq->maps[i].mem);
		vq->maps[i].mem = NULL;
	}
	vq->broken = DEV_BROKEN;
	return 0;
}

int dev_position(const struct virtq_dev *vq, struct virtq_state *out)
{
	if (vq->inflight > 0 || (!vq->packed && vq->used != vq->used_shown) || vq->held)
		return VIRTQ_EBUSY;
	*out = (struct virtq_state){
		.desc = vq->desc_addr,
		.driver = vq->driver_addr,
		.device = vq->device_addr,
		.size = vq->size,
		.unsignalled = vq->unsignalled,
		.flags = vq->signalled_known ? VIRTQ_STATE_SIGNALLED : 0,
	};
	if (vq->dma != NULL)
		virtq_dma_state(vq, out);
	else
		LAYOUT(vq, state, vq, out);
	return 0;
}

int virtq_dev_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	if (vq->track != NULL && vq->track->left(vq) > 0)
		return VIRTQ_EBUSY;
	return dev_position(vq, out);
}

#endif
