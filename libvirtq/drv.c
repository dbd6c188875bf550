/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver side: what is the same for both layouts. */
#include "drv.h"

#ifndef VIRTQ_NO_DRIVER

/* Call the layout that the queue has. A layout that is left out can't have been set up. */
#if defined(VIRTQ_NO_SPLIT)
#define LAYOUT(vq, name, ...) drv_packed_##name(__VA_ARGS__)
#elif defined(VIRTQ_NO_PACKED)
#define LAYOUT(vq, name, ...) drv_split_##name(__VA_ARGS__)
#else
#define LAYOUT(vq, name, ...)                                                                      \
	((vq)->packed ? drv_packed_##name(__VA_ARGS__) : drv_split_##name(__VA_ARGS__))
#endif

/* Each part that one side writes gets cache lines of its own, if the ring starts on one. */
#define PART_ALIGN(n) (((n) + 63) & ~(size_t)63)

static int is_packed(const struct virtq_features *f)
{
	return virtq_features_has(f, VIRTQ_F_RING_PACKED);
}

static int size_ok(uint16_t size, const struct virtq_features *f)
{
	if (size == 0 || size > VIRTQ_MAX_SIZE)
		return 0;
	return is_packed(f) || (size & (size - 1)) == 0;
}

static size_t driver_at(uint16_t size)
{
	return PART_ALIGN((size_t)size * VIRTQ_DESC_BYTES);
}

static size_t device_at(uint16_t size, const struct virtq_features *f)
{
	size_t bytes = is_packed(f) ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(size);

	return driver_at(size) + PART_ALIGN(bytes);
}

size_t virtq_drv_ring_bytes(uint16_t queue_size, const struct virtq_features *features)
{
	size_t bytes;

	if (!size_ok(queue_size, features))
		return 0;
	bytes = is_packed(features) ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(queue_size);
	return device_at(queue_size, features) + bytes;
}

size_t virtq_drv_bytes(uint16_t queue_size, const struct virtq_features *features)
{
	if (!size_ok(queue_size, features))
		return 0;
	return queue_size * sizeof(struct virtq_drv_slot);
}

static int indirect_ok(const struct virtq_drv_config *cfg)
{
	uint64_t bytes = (uint64_t)cfg->queue_size * cfg->indirect_max * VIRTQ_DESC_BYTES;

	if (cfg->indirect_max == 0)
		return 1;
	if (!virtq_features_has(&cfg->features, VIRTQ_F_INDIRECT_DESC) ||
	    cfg->indirect_max > VIRTQ_MAX_SIZE)
		return 0;
	if (cfg->indirect == NULL || (uintptr_t)cfg->indirect % 16 != 0 || cfg->indirect_addr % 16 != 0)
		return 0;
	return bytes - 1 <= UINT64_MAX - cfg->indirect_addr;
}

static int config_ok(const struct virtq_drv_config *cfg)
{
	const struct virtq_features *f = &cfg->features;

	if (cfg->size < sizeof(*cfg) || !size_ok(cfg->queue_size, f) || cfg->reserved != 0)
		return 0;
	if (cfg->ring == NULL || (uintptr_t)cfg->ring % 16 != 0 || cfg->ring_addr % 16 != 0)
		return 0;
	if (virtq_drv_ring_bytes(cfg->queue_size, f) - 1 > UINT64_MAX - cfg->ring_addr)
		return 0;
	if (cfg->scratch == NULL || (uintptr_t)cfg->scratch % 8 != 0 ||
	    cfg->scratch_bytes < virtq_drv_bytes(cfg->queue_size, f))
		return 0;
	if (cfg->platform != NULL && cfg->platform->size < sizeof(*cfg->platform))
		return 0;
	return indirect_ok(cfg);
}

static int layout_built(const struct virtq_features *f)
{
#if defined(VIRTQ_NO_SPLIT)
	return is_packed(f);
#elif defined(VIRTQ_NO_PACKED)
	return !is_packed(f);
#else
	(void)f;
	return 1;
#endif
}

int virtq_drv_init_sized(struct virtq_drv *vq, size_t vq_size, const struct virtq_drv_config *cfg)
{
	const struct virtq_features *f = &cfg->features;
	uint16_t size = cfg->queue_size;

	if (vq_size < sizeof(*vq) || !config_ok(cfg))
		return VIRTQ_EINVAL;
	if (!layout_built(f))
		return VIRTQ_ENOTSUP;
	*vq = (struct virtq_drv){
		.desc = cfg->ring,
		.driver = (uint8_t *)cfg->ring + driver_at(size),
		.device = (uint8_t *)cfg->ring + device_at(size, f),
		.indirect = cfg->indirect,
		.slots = cfg->scratch,
		.indirect_addr = cfg->indirect_addr,
		.platform = cfg->platform,
		.ring_addr = cfg->ring_addr,
		.size = size,
		.indirect_max = cfg->indirect_max,
		.free_count = size,
		.packed = (uint8_t)is_packed(f),
		.event_idx = (uint8_t)virtq_features_has(f, VIRTQ_F_EVENT_IDX),
		.in_order = (uint8_t)virtq_features_has(f, VIRTQ_F_IN_ORDER),
	};
	/* In a circle: what IN_ORDER demands (2.7.5.2), and as good as any other order without it. */
	for (uint32_t i = 0; i < size; i++)
		vq->slots[i] = (struct virtq_drv_slot){.next = (uint16_t)(i + 1u == size ? 0 : i + 1)};
	__builtin_memset(cfg->ring, 0, virtq_drv_ring_bytes(size, f));
	LAYOUT(vq, start, vq);
	cache_clean(vq->platform, cfg->ring, virtq_drv_ring_bytes(size, f));
	return 0;
}

void virtq_drv_state(const struct virtq_drv *vq, struct virtq_state *out)
{
	struct virtq_features f = {{0}};

	*out = (struct virtq_state){.desc = vq->ring_addr,
	                            .driver = vq->ring_addr + (uint64_t)(vq->driver - vq->desc),
	                            .device = vq->ring_addr + (uint64_t)(vq->device - vq->desc),
	                            .size = vq->size};
	if (vq->packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	virtq_state_fresh(out, &f);
}

void drv_table_fill(struct virtq_drv *vq, const struct drv_buffer *b, uint16_t id)
{
	uint8_t *table = vq->indirect + drv_table_offset(vq, id);

	for (uint32_t i = 0; i < b->count; i++) {
		uint16_t flags = drv_desc_flags(b, i), next = 0;
		uint8_t *p = table + (size_t)i * VIRTQ_DESC_BYTES;

		if (vq->packed) { /* only WRITE is defined within a table (2.8.7), and order is place */
			drv_desc_store(p, b->seg[i].addr, (uint32_t)b->seg[i].len, 0, flags);
			continue;
		}
		if (i + 1 < b->count) {
			flags |= VIRTQ_DESC_NEXT;
			next = (uint16_t)(i + 1);
		}
		drv_desc_store(p, b->seg[i].addr, (uint32_t)b->seg[i].len, flags, next);
	}
	cache_clean(vq->platform, table, (size_t)b->count * VIRTQ_DESC_BYTES);
}

/* The longest indirect table that may be used: a chain is never longer than a split ring (2.7.5.3.1). */
static uint32_t table_max(const struct virtq_drv *vq)
{
	if (!vq->packed && vq->indirect_max > vq->size)
		return vq->size;
	return vq->indirect_max;
}

/* Check the pieces and sum them up. */
static int buffer_check(const struct virtq_drv *vq, struct drv_buffer *b)
{
	uint64_t total = 0, readable = 0;

	if (b->count == 0 || b->count < b->nread || (b->count > vq->size && b->count > table_max(vq)))
		return VIRTQ_EINVAL;
	for (uint32_t i = 0; i < b->count; i++) {
		if (b->seg[i].len > UINT32_MAX - total)
			return VIRTQ_EINVAL;
		total += b->seg[i].len;
		if (i < b->nread)
			readable = total;
	}
	b->writable = (uint32_t)(total - readable);
	b->indirect = b->count > 1 && b->count <= table_max(vq);
	return 0;
}

int virtq_drv_add(struct virtq_drv *vq, const struct virtq_seg *seg, uint32_t nread,
                  uint32_t nwrite, void *cookie)
{
	struct drv_buffer b = {.seg = seg, .nread = nread, .count = nread + nwrite, .cookie = cookie};
	int err;

	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	err = buffer_check(vq, &b);
	if (unlikely(err != 0))
		return err;
	if ((b.indirect ? 1 : b.count) > vq->free_count)
		return VIRTQ_ENOSPC;
	LAYOUT(vq, add, vq, &b);
	return 0;
}

void virtq_drv_publish(struct virtq_drv *vq)
{
	if (unlikely(vq->broken) || vq->unshown == 0)
		return;
	LAYOUT(vq, publish, vq);
	drv_unkicked_add(vq, vq->unshown);
	vq->unshown = 0;
	vq->publishes++;
}

int virtq_drv_should_kick(struct virtq_drv *vq)
{
	uint32_t n = vq->unkicked;

	if (unlikely(vq->broken) || n == 0)
		return 0;
	vq->unkicked = 0;
	/* What was published before the device's wish; pairs with its barrier between its wish and its last look. */
	full_barrier(vq->platform);
	return LAYOUT(vq, should_kick, vq, n);
}

uint32_t virtq_drv_notify_data(const struct virtq_drv *vq, uint16_t vqn)
{
	return (uint32_t)vq->avail_shown << 16 | vqn;
}

int virtq_drv_take(struct virtq_drv *vq, struct virtq_done *out, uint32_t max)
{
	int n;

	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (max == 0)
		return 0;
	n = LAYOUT(vq, take, vq, out, max);
	/* What came before the nonsense is returned first. */
	return unlikely(vq->broken) && n == 0 ? VIRTQ_EBROKEN : n;
}

int virtq_drv_arm(struct virtq_drv *vq)
{
	if (unlikely(vq->broken))
		return 1;
	return LAYOUT(vq, arm, vq);
}

void virtq_drv_disarm(struct virtq_drv *vq)
{
	if (!vq->broken)
		LAYOUT(vq, disarm, vq);
}

uint32_t virtq_drv_free(const struct virtq_drv *vq)
{
	return vq->free_count;
}

uint32_t virtq_drv_inflight(const struct virtq_drv *vq)
{
	return vq->inflight;
}

int virtq_drv_detach(struct virtq_drv *vq, void **cookie)
{
	struct virtq_done done;

	while (vq->detach_at < vq->size) {
		uint16_t id = vq->detach_at++;

		if (vq->slots[id].ndesc == 0)
			continue;
		vq->broken = 1; /* the ring does not know: nothing but a fresh start can follow */
		drv_done(vq, id, 0, &done);
		*cookie = done.cookie;
		return 1;
	}
	vq->detach_at = 0;
	return 0;
}

#endif
