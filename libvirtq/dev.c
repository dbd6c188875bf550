/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: what is the same for both layouts. */
#include "dev.h"

#ifndef VIRTQ_NO_DEVICE

#include "dma.h"

#define ROUND_UP(n) (((n) + 7) & ~(size_t)7)

static size_t busy_bytes(uint32_t size)
{
	return ROUND_UP((size_t)(size + 31) / 32 * 4);
}

static size_t done_bytes(const struct virtq_dev_config *cfg)
{
	if (!virtq_features_has(&cfg->features, VIRTQ_F_IN_ORDER))
		return 0;
	return ROUND_UP((size_t)cfg->state.size * sizeof(struct virtq_dev_done));
}

size_t virtq_dev_bytes(const struct virtq_dev_config *cfg)
{
	if (cfg->state.size == 0 || cfg->state.size > VIRTQ_MAX_SIZE)
		return 0;
	if (cfg->dma != NULL && !virtq_dma_config_ok(cfg))
		return 0;
	return busy_bytes(cfg->state.size) + done_bytes(cfg) + virtq_dma_bytes(cfg);
}

static int config_ok(const struct virtq_dev_config *cfg)
{
	if (cfg->size < sizeof(*cfg) || cfg->scratch == NULL || (uintptr_t)cfg->scratch % 8 != 0)
		return 0;
	if (cfg->mem == NULL && cfg->dma == NULL)
		return 0;
	if ((cfg->flags & ~(uint32_t)VIRTQ_DEV_USED_LOG) != 0 || cfg->max_chain > INT32_MAX / 8)
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
		.busy = cfg->scratch,
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
	__builtin_memset(vq->busy, 0, busy_bytes(s->size));
	if (vq->in_order) {
		vq->done = (struct virtq_dev_done *)((uint8_t *)cfg->scratch + busy_bytes(s->size));
		__builtin_memset(vq->done, 0, done_bytes(cfg));
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
		                     (uint8_t *)cfg->scratch + busy_bytes(fresh.size) + done_bytes(cfg));
	} else {
		err = dev_map_ring(&fresh, cfg->mem);
		if (err == 0)
			err = LAYOUT(&fresh, start, &fresh, &cfg->state);
	}
	if (err != 0)
		return err;
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

int virtq_dev_state(const struct virtq_dev *vq, struct virtq_state *out)
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

uint32_t virtq_dev_inflight(const struct virtq_dev *vq)
{
	return vq->inflight;
}

/* An old map goes when its last chain is back. */
static void map_settle(struct virtq_dev *vq, unsigned i)
{
	if (vq->maps[i].out == 0 && i != vq->cur_map && vq->maps[i].mem != NULL) {
		struct virtq_mem *mem = vq->maps[i].mem;

		vq->maps[i].mem = NULL;
		virtq_mem_unref(mem);
	}
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

int virtq_dev_fetch(struct virtq_dev *vq, uint32_t max)
{
	if (vq->broken)
		return VIRTQ_EBROKEN;
	return vq->dma != NULL ? virtq_dma_fetch(vq, max) : 0;
}

uint32_t virtq_dev_max_iov(const struct virtq_dev *vq)
{
	return vq->max_iov;
}

int virtq_dev_pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                  struct virtq_iov *iov, uint32_t niov)
{
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (unlikely(vq->dma != NULL || niov < vq->max_iov))
		return VIRTQ_EINVAL;
	return LAYOUT(vq, pop, vq, chains, max, iov, niov);
}

int virtq_dev_pop_seg(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
                      struct virtq_seg *seg, uint32_t nseg)
{
	if (vq->broken)
		return VIRTQ_EBROKEN;
	if (vq->dma == NULL || nseg < vq->max_iov)
		return VIRTQ_EINVAL;
	return virtq_dma_pop_seg(vq, chains, max, seg, nseg);
}

static inline int is_out(const struct virtq_dev *vq, const struct virtq_chain *c)
{
	return c->id < vq->size && busy_test(vq, c->id) && c->map < VIRTQ_DEV_MAPS && c->seq < vq->size;
}

static void mark_chain(struct virtq_dev *vq, const struct virtq_chain *c)
{
	const struct virtq_mem *mem = vq->maps[c->map].mem;

	if (vq->dma == NULL)
		virtq_mem_mark_iov(mem, c->iov + c->nread, c->nwrite);
	for (uint32_t i = c->nread; vq->dma != NULL && i < c->nread + c->nwrite; i++)
		virtq_mem_mark(mem, c->seg[i].addr, c->seg[i].len);
}

/*
 * Take n chains off the list of those that are out; all or none. What they may have written is marked, before any
 * used entry of theirs can be seen.
 */
static int take_back(struct virtq_dev *vq, const struct virtq_chain *chains,
                     const uint32_t *written, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];

		if (unlikely(!is_out(vq, c) || (written != NULL && written[i] > c->write_bytes))) {
			while (i-- > 0)
				busy_set(vq, chains[i].id);
			return VIRTQ_EINVAL;
		}
		busy_clear(vq, c->id); /* a second mention in the same burst is refused too */
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];

		if (unlikely(mem_log(vq->maps[c->map].mem) != NULL))
			mark_chain(vq, c);
		vq->maps[c->map].out--;
		if (unlikely(c->map != vq->cur_map))
			map_settle(vq, c->map);
	}
	vq->inflight = (uint16_t)(vq->inflight - n);
	return 0;
}

static int is_last_popped(const struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	uint16_t seq;

	if (n == 0 || n > vq->inflight || !is_out(vq, &chains[0]))
		return 0;
	seq = chains[0].seq;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_out(vq, &chains[i]) || chains[i].seq != seq)
			return 0;
		seq = seq_next(vq, seq);
	}
	return seq == vq->seq;
}

int virtq_dev_unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	int err;

	if (n == 0)
		return 0;
	if (!is_last_popped(vq, chains, n))
		return VIRTQ_EINVAL;
	err = take_back(vq, chains, NULL, n);
	if (err != 0)
		return err;
	vq->seq = chains[0].seq;
	if (vq->dma != NULL)
		virtq_dma_unpop(vq, chains, n);
	else
		LAYOUT(vq, unpop, vq, chains, n);
	return 0;
}

static inline void use(struct virtq_dev *vq, uint16_t id, uint16_t ndesc, uint32_t written)
{
	if (unlikely(vq->dma != NULL))
		virtq_dma_use(vq, id, ndesc, written);
	else
		LAYOUT(vq, use, vq, id, ndesc, written);
}

/* IN_ORDER (section 2.7.9, 2.8.9): keep what is done until everything popped before it is done too. */
static void use_in_order(struct virtq_dev *vq, const struct virtq_chain *c, uint32_t written)
{
	struct virtq_dev_done *d = &vq->done[c->seq];

	*d = (struct virtq_dev_done){.written = written, .id = c->id, .ndesc = c->ndesc, .ready = 1};
	for (d = &vq->done[vq->seq_used]; d->ready; d = &vq->done[vq->seq_used]) {
		d->ready = 0;
		vq->seq_used = seq_next(vq, vq->seq_used);
		use(vq, d->id, d->ndesc, d->written);
	}
}

int virtq_dev_push(struct virtq_dev *vq, const struct virtq_chain *chains, const uint32_t *written,
                   uint32_t n)
{
	int err = take_back(vq, chains, written, n);

	if (unlikely(err != 0))
		return err;
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (vq->in_order) {
		for (uint32_t i = 0; i < n; i++)
			use_in_order(vq, &chains[i], written[i]);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		use(vq, chains[i].id, chains[i].ndesc, written[i]);
	return 0;
}

int virtq_dev_release(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	return take_back(vq, chains, NULL, n);
}

void virtq_dev_publish(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return;
	if (unlikely(vq->dma != NULL))
		virtq_dma_publish(vq);
	else
		LAYOUT(vq, publish, vq);
}

int virtq_dev_should_interrupt(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return 0;
	if (unlikely(vq->dma != NULL))
		return virtq_dma_should_interrupt(vq);
	return LAYOUT(vq, should_interrupt, vq);
}

int virtq_dev_arm(struct virtq_dev *vq)
{
	if (unlikely(vq->broken))
		return VIRTQ_EBROKEN;
	if (unlikely(vq->dma != NULL))
		return virtq_dma_arm(vq);
	return LAYOUT(vq, arm, vq);
}

void virtq_dev_disarm(struct virtq_dev *vq)
{
	if (vq->broken || !vq->armed)
		return;
	if (vq->dma != NULL)
		virtq_dma_disarm(vq);
	else
		LAYOUT(vq, disarm, vq);
}

int virtq_dev_notify_data(const struct virtq_dev *vq, uint32_t data)
{
	uint16_t next = (uint16_t)(data >> 16);

	if (vq->packed)
		return next != (vq->avail | (vq->avail_wrap ? VIRTQ_STATE_WRAP : 0));
	return next != vq->avail;
}

void dev_break(struct virtq_dev *vq, int reason, uint16_t head)
{
	if (vq->broken == DEV_BROKEN)
		return;
	vq->broken = DEV_BROKEN;
	vq->fault = (struct virtq_fault){.reason = (uint16_t)reason, .head = head, .avail = vq->avail};
}

void virtq_dev_break(struct virtq_dev *vq, uint16_t head)
{
	dev_break(vq, VIRTQ_FAULT_DEVICE, head);
}

int virtq_dev_fault(const struct virtq_dev *vq, struct virtq_fault *out)
{
	if (vq->broken != DEV_BROKEN)
		return 0;
	if (out != NULL)
		*out = vq->fault;
	return 1;
}

const char *virtq_fault_name(uint16_t reason)
{
	switch ((enum virtq_fault_reason)reason) {
	case VIRTQ_FAULT_NONE:
		return "none";
	case VIRTQ_FAULT_AVAIL_IDX:
		return "available index too far ahead";
	case VIRTQ_FAULT_HEAD:
		return "head or buffer id outside of the ring";
	case VIRTQ_FAULT_DUPLICATE:
		return "head or buffer id already in flight";
	case VIRTQ_FAULT_NEXT:
		return "next outside of the table";
	case VIRTQ_FAULT_TOO_MANY:
		return "chain too long or circular";
	case VIRTQ_FAULT_TOO_LONG:
		return "chain of 2^32 bytes or more";
	case VIRTQ_FAULT_ORDER:
		return "readable buffer after a writable one";
	case VIRTQ_FAULT_ADDRESS:
		return "buffer outside of guest memory";
	case VIRTQ_FAULT_INDIRECT:
		return "indirect table not negotiated";
	case VIRTQ_FAULT_INDIRECT_LEN:
		return "bad length of an indirect table";
	case VIRTQ_FAULT_INDIRECT_FLAGS:
		return "indirect table where none may be";
	case VIRTQ_FAULT_UNAVAILABLE:
		return "list continues with an unavailable descriptor";
	case VIRTQ_FAULT_DMA:
		return "bus access failed";
	case VIRTQ_FAULT_RING:
		return "ring outside of guest memory";
	case VIRTQ_FAULT_DEVICE:
		return "refused by the device model";
	}
	return "unknown";
}

/* What we write to the ring is marked after it is written: a reader of the log that comes in between must find it. */
static void mark_ring(struct virtq_dev *vq, uint8_t *part, uint32_t offset, uint32_t len)
{
	struct virtq_iov piece = {part + offset, len};

	virtq_mem_mark_iov(dev_mem(vq), &piece, 1);
}

void dev_mark_device_area(struct virtq_dev *vq, uint32_t offset, uint32_t len)
{
	struct virtq_dirty *d = mem_log(dev_mem(vq));

	if (!vq->used_log_set)
		mark_ring(vq, vq->device, offset, len);
	else if (d != NULL)
		virtq_dirty_mark(d, vq->used_log + offset, len);
}

void dev_mark_desc(struct virtq_dev *vq, uint32_t offset, uint32_t len)
{
	mark_ring(vq, vq->desc, offset, len);
}

void virtq_dev_dma_done(struct virtq_dev *vq, uint32_t tag, int result)
{
	if (vq->dma != NULL)
		virtq_dma_done(vq, tag, result);
}

void virtq_dev_dma_count(const struct virtq_dev *vq, struct virtq_dma_count *out)
{
	*out = (struct virtq_dma_count){0};
	if (vq->dma != NULL)
		virtq_dma_count(vq, out);
}

#endif
