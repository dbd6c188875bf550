/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-blk (section 5.2): what is offered, the configuration space, and the cache mode. */
#include "blk.h"

enum { QUEUES_MAX = 256, QUEUE_MAX = 256, SEG_MAX = 126 };

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

/*
 * Whether writes have to be stable when they end: with CONFIG_WCE as the driver chose, without
 * FLUSH always, since the driver could not ask for it (5.2.6.2, cases 1 and 2).
 */
static void refresh_cache_mode(struct blk_device *b)
{
	uint32_t can = blk_get(&b->can);
	uint8_t writeback = 1;

	if (can & BLK_CAN_WCE)
		vdev_config_read(b->v, BLK_AT_WRITEBACK, &writeback, 1);
	blk_set(&b->through, b->volatile_cache && (!(can & BLK_CAN_FLUSH) || !writeback));
}

/* Show the driver what changed about the disk, if anything did. */
static void show_disk(struct blk_device *b)
{
	struct vdev_disk_info info;
	uint8_t now[8], shown[8];

	memset(&info, 0, sizeof(info));
	b->disk_ops->info(b->disk, &info);
	blk_set(&b->sectors, info.bytes >> 9);
	put64(now, info.bytes >> 9);
	vdev_config_read(b->v, BLK_AT_CAPACITY, shown, sizeof(shown));
	/* A suspended device shows what was; what it will show may have changed there and back again. */
	if (memcmp(now, shown, sizeof(now)) != 0 || vdev_status(b->v) & VIRTQ_STATUS_SUSPEND)
		vdev_config_update(b->v, BLK_AT_CAPACITY, now, sizeof(now));
}

/* 5.2.5.2: the mode without FLUSH. */
static void blk_negotiated(void *model)
{
	static const uint8_t off = 0;
	struct blk_device *b = model;

	if (vdev_has(b->v, VDEV_BLK_F_CONFIG_WCE) && !vdev_has(b->v, VDEV_BLK_F_FLUSH))
		vdev_config_write(b->v, BLK_AT_WRITEBACK, &off, 1);
}

static void blk_started(void *model)
{
	static const struct {
		uint8_t bit;
		uint8_t can;
	} map[] = {{VDEV_BLK_F_FLUSH, BLK_CAN_FLUSH},
	           {VDEV_BLK_F_DISCARD, BLK_CAN_DISCARD},
	           {VDEV_BLK_F_WRITE_ZEROES, BLK_CAN_WRITE_ZEROES},
	           {VDEV_BLK_F_SECURE_ERASE, BLK_CAN_SECURE_ERASE},
	           {VDEV_BLK_F_LIFETIME, BLK_CAN_LIFETIME},
	           {VDEV_BLK_F_CONFIG_WCE, BLK_CAN_WCE}};
	struct blk_device *b = model;
	uint32_t can = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (vdev_has(b->v, map[i].bit))
			can |= map[i].can;
	blk_set(&b->can, can);
	refresh_cache_mode(b);
	show_disk(b); /* a configuration space that was loaded is that of the disk over there */
}

static void blk_reset(void *model)
{
	struct blk_device *b = model;

	blk_set(&b->can, 0);
	blk_set(&b->through, 0);
}

static void blk_config_written(void *model, uint32_t offset, uint32_t len)
{
	(void)offset;
	(void)len;
	refresh_cache_mode(model);
}

static int blk_arm(void *model, struct vdev_queue *q)
{
	struct blk_queue *bq = vdev_queue_priv(q);

	(void)model;
	if (bq->sync || bq->disk_ops->arm == NULL)
		return 0;
	return bq->disk_ops->arm(bq->channel);
}

static int blk_fd(void *model, struct vdev_queue *q)
{
	struct blk_queue *bq = vdev_queue_priv(q);

	(void)model;
	if (bq->sync || bq->disk_ops->fd == NULL)
		return -1;
	return bq->disk_ops->fd(bq->channel);
}

static uint64_t blk_deadline(void *model, struct vdev_queue *q)
{
	struct blk_queue *bq = vdev_queue_priv(q);

	(void)model;
	return bq->deadline;
}

static void blk_destroy(void *model)
{
	struct blk_device *b = model;

	if (b->own_disk)
		vdev_disk_free(b->disk);
	b->env.free(b->env.ctx, b, b->bytes);
}

const struct vdev_model_ops blk_model_ops = {
	.size = sizeof(struct vdev_model_ops),
	.name = "blk",
	.device_id = 2,
	.state_version = 1,
	.process = blk_process,
	.poll = blk_poll,
	.arm = blk_arm,
	.fd = blk_fd,
	.deadline = blk_deadline,
	.queue_start = blk_queue_start,
	.queue_end = blk_queue_end,
	.queue_drain = blk_queue_drain,
	.negotiated = blk_negotiated,
	.reset = blk_reset,
	.started = blk_started,
	.config_written = blk_config_written,
	.save = blk_save_state,
	.load = blk_load_state,
	.destroy = blk_destroy,
};

static uint8_t log2_of(uint32_t v)
{
	uint8_t n = 0;

	while (v >>= 1)
		n++;
	return n;
}

/* Sectors, for a field that says what multiples suit. */
static uint32_t align_of(const struct vdev_disk_info *info)
{
	return (info->discard_align != 0 ? info->discard_align : info->block_size) >> 9;
}

static void offer_size(const struct vdev_blk_config *cfg, const struct vdev_disk_info *info,
                       struct virtq_features *f, uint8_t *config)
{
	virtq_features_set(f, VDEV_BLK_F_SEG_MAX);
	put32(config + BLK_AT_SEG_MAX, cfg->seg_max);
	virtq_features_set(f, VDEV_BLK_F_BLK_SIZE);
	put32(config + BLK_AT_BLK_SIZE, info->block_size);
	if (cfg->size_max != 0) {
		virtq_features_set(f, VDEV_BLK_F_SIZE_MAX);
		put32(config + BLK_AT_SIZE_MAX, cfg->size_max);
	}
	if (cfg->geometry.cylinders != 0 || cfg->geometry.heads != 0 || cfg->geometry.sectors != 0) {
		virtq_features_set(f, VDEV_BLK_F_GEOMETRY);
		put16(config + BLK_AT_GEOMETRY, cfg->geometry.cylinders);
		config[BLK_AT_GEOMETRY + 2] = cfg->geometry.heads;
		config[BLK_AT_GEOMETRY + 3] = cfg->geometry.sectors;
	}
	if (info->physical_block > info->block_size || info->min_io != 0 || info->opt_io != 0) {
		uint32_t min_io = info->min_io / info->block_size;

		virtq_features_set(f, VDEV_BLK_F_TOPOLOGY);
		if (info->physical_block > info->block_size)
			config[BLK_AT_PHYSICAL_EXP] = log2_of(info->physical_block / info->block_size);
		put16(config + BLK_AT_MIN_IO, min_io < 0xffff ? min_io : 0xffff);
		put32(config + BLK_AT_OPT_IO, info->opt_io / info->block_size);
	}
	if (cfg->nqueues > 1)
		virtq_features_set(f, VDEV_BLK_F_MQ);
	put16(config + BLK_AT_NUM_QUEUES, cfg->nqueues);
}

/* What changes the disk without writing data; a read-only one does none of it. */
static void offer_ranges(const struct vdev_disk_info *info, struct virtq_features *f,
                         uint8_t *config)
{
	if (info->discard) {
		virtq_features_set(f, VDEV_BLK_F_DISCARD);
		put32(config + BLK_AT_DISCARD_SECTORS, BLK_RANGE_MAX);
		put32(config + BLK_AT_DISCARD_SEG, BLK_RANGES);
		put32(config + BLK_AT_DISCARD_ALIGN, align_of(info));
	}
	if (info->write_zeroes) {
		virtq_features_set(f, VDEV_BLK_F_WRITE_ZEROES);
		/* Some disks have to write them, and a queue that stops waits for what is out. */
		put32(config + BLK_AT_ZEROES_SECTORS, BLK_ZEROES_MAX);
		put32(config + BLK_AT_ZEROES_SEG, BLK_ZEROES);
		config[BLK_AT_ZEROES_UNMAP] = info->zeroes_may_unmap != 0;
	}
	if (info->secure_erase) {
		virtq_features_set(f, VDEV_BLK_F_SECURE_ERASE);
		put32(config + BLK_AT_ERASE_SECTORS, BLK_RANGE_MAX);
		put32(config + BLK_AT_ERASE_SEG, BLK_RANGES);
		put32(config + BLK_AT_ERASE_ALIGN, align_of(info));
	}
}

static void offer(const struct vdev_blk_config *cfg, const struct vdev_disk_info *info,
                  int readonly, struct virtq_features *f, uint8_t *config)
{
	memset(f, 0, sizeof(*f));
	memset(config, 0, BLK_CONFIG);
	put64(config + BLK_AT_CAPACITY, info->bytes >> 9);
	offer_size(cfg, info, f, config);
	virtq_features_set(f, VDEV_BLK_F_FLUSH);
	virtq_features_set(f, VDEV_BLK_F_CONFIG_WCE);
	config[BLK_AT_WRITEBACK] = info->volatile_cache != 0;
	if (readonly)
		virtq_features_set(f, VDEV_BLK_F_RO);
	else
		offer_ranges(info, f, config);
	if (info->has_lifetime)
		virtq_features_set(f, VDEV_BLK_F_LIFETIME);
}

/* The configuration with defaults filled in, whatever its maker's size of it. */
static int settle_config(struct vdev_blk_config *to, const struct vdev_blk_config *from)
{
	memset(to, 0, sizeof(*to));
	if (from != NULL) {
		if (from->size < offsetof(struct vdev_blk_config, nqueues) + sizeof(from->nqueues))
			return VIRTQ_EINVAL;
		memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	}
	if (to->nqueues == 0)
		to->nqueues = 1;
	if (to->queue_max == 0)
		to->queue_max = QUEUE_MAX;
	if (to->seg_max == 0)
		to->seg_max = SEG_MAX;
	if (to->nqueues > QUEUES_MAX || to->queue_max > VIRTQ_MAX_SIZE || to->seg_max > BLK_SEG_MAX)
		return VIRTQ_EINVAL;
	return 0;
}

static int info_ok(const struct vdev_disk_info *i)
{
	return i->block_size >= 512 && (i->block_size & (i->block_size - 1)) == 0 &&
	       (i->physical_block & (i->physical_block - 1)) == 0;
}

static int make(struct blk_device *b, const struct vdev_env *env, const struct vdev_blk_config *cfg,
                const struct vdev_disk_info *info)
{
	uint8_t config[BLK_CONFIG], mask[BLK_CONFIG];
	struct vdev_model m;

	memset(&m, 0, sizeof(m));
	memset(mask, 0, sizeof(mask));
	mask[BLK_AT_WRITEBACK] = 1;
	m.size = sizeof(m);
	m.ops = &blk_model_ops;
	m.model = b;
	m.nqueues = cfg->nqueues;
	m.queue_max = cfg->queue_max;
	m.max_chain = cfg->seg_max + 2;
	m.config_len = BLK_CONFIG;
	m.config = config;
	m.config_mask = mask;
	offer(cfg, info, (int)b->readonly, &m.features, config);
	return vdev_new(&b->v, env, &m);
}

int vdev_blk_new(struct vdev **out, const struct vdev_env *env, struct vdev_disk *disk,
                 const struct vdev_blk_config *given)
{
	struct vdev_disk_info info;
	struct vdev_blk_config cfg;
	struct blk_device *b;
	size_t bytes;
	int rc;

	if (out == NULL || env == NULL || env->size < sizeof(*env) || env->alloc == NULL ||
	    env->free == NULL || disk == NULL || settle_config(&cfg, given) < 0)
		return VIRTQ_EINVAL;
	memset(&info, 0, sizeof(info));
	disk->ops->info(disk, &info);
	if (!info_ok(&info))
		return VIRTQ_EINVAL;
	bytes = sizeof(*b) + cfg.nqueues * sizeof(*b->queues);
	b = env->alloc(env->ctx, bytes);
	if (b == NULL)
		return VIRTQ_ENOMEM;
	memset(b, 0, bytes);
	b->bytes = bytes;
	b->env = *env;
	b->disk = disk;
	b->disk_ops = disk->ops;
	b->sectors = info.bytes >> 9;
	b->block_mask = (info.block_size >> 9) - 1;
	b->volatile_cache = info.volatile_cache != 0;
	b->readonly = info.readonly || cfg.readonly;
	b->nqueues = cfg.nqueues;
	b->seg_max = cfg.seg_max;
	b->max_inflight = cfg.max_inflight;
	b->queues = (struct vdev_queue **)(b + 1);
	memcpy(b->serial, cfg.serial, sizeof(b->serial));
	rc = blk_limit_set(&b->limit, &cfg.limit, env);
	if (rc == 0)
		rc = make(b, env, &cfg, &info);
	if (rc < 0) {
		env->free(env->ctx, b, bytes);
		return rc;
	}
	b->own_disk = cfg.own_disk;
	*out = b->v;
	return 0;
}

int vdev_blk_resized(struct vdev *v)
{
	struct blk_device *b = v != NULL ? vdev_model_of(v, &blk_model_ops) : NULL;

	if (b == NULL)
		return VIRTQ_EINVAL;
	show_disk(b);
	return 0;
}

int vdev_blk_set_limit(struct vdev *v, const struct vdev_blk_limit *limit)
{
	struct blk_device *b = v != NULL ? vdev_model_of(v, &blk_model_ops) : NULL;
	int rc;

	if (b == NULL || limit == NULL)
		return VIRTQ_EINVAL;
	rc = blk_limit_set(&b->limit, limit, &b->env);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < b->nqueues; i++) {
		struct vdev_queue *q = __atomic_load_n(&b->queues[i], __ATOMIC_ACQUIRE);

		if (q != NULL)
			vdev_queue_wake(q);
	}
	return 0;
}
