/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

static void fail(const char *what)
{
	fprintf(stderr, "test support: %s\n", what);
	abort();
}

static void *zeroed(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (p == NULL)
		fail("no memory");
	return memset(p, 0, bytes);
}

void guest_init(struct guest *g, const struct virtq_region *regions, uint32_t n)
{
	static const struct virtq_region usual[] = {
		{.gpa = 0, .len = MIB},
		{.gpa = GIB, .len = MIB},
		{.gpa = GIB + MIB, .len = MIB},
		{.gpa = 5 * GIB, .len = MIB},
	};

	if (n == 0) {
		regions = usual;
		n = sizeof(usual) / sizeof(usual[0]);
	}
	if (n > GUEST_REGIONS)
		fail("too many regions");
	*g = (struct guest){.nregions = n};
	for (uint32_t i = 0; i < n; i++) {
		g->regions[i] = regions[i];
		g->regions[i].host = zeroed((size_t)regions[i].len);
	}
	if (virtq_mem_init(&g->mem, g->regions, n) != 0)
		fail("bad regions");
}

void guest_fini(struct guest *g)
{
	if (g->mem.refs != 1)
		fail("references to guest memory are left");
	virtq_mem_unref(&g->mem);
	for (uint32_t i = 0; i < g->nregions; i++)
		free(g->regions[i].host);
}

static int alloc_in(struct guest *g, uint32_t i, uint64_t len, uint64_t align, uint64_t *gpa)
{
	const struct virtq_region *r = &g->regions[i];
	uint64_t at = (r->gpa + g->next[i] + align - 1) / align * align - r->gpa;

	if (at > r->len || len > r->len - at)
		return 0;
	g->next[i] = at + len;
	*gpa = r->gpa + at;
	return 1;
}

uint64_t guest_alloc_in(struct guest *g, uint32_t region, uint64_t len, uint64_t align)
{
	uint64_t gpa = 0;

	if (region >= g->nregions || !alloc_in(g, region, len, align, &gpa))
		fail("no guest memory left in this region");
	return gpa;
}

uint64_t guest_alloc(struct guest *g, uint64_t len, uint64_t align)
{
	uint64_t gpa = 0;
	uint32_t i = 0;

	while (i < g->nregions &&
	       ((g->regions[i].flags & VIRTQ_REGION_READONLY) || !alloc_in(g, i, len, align, &gpa)))
		i++;
	if (i == g->nregions)
		fail("no guest memory left");
	return gpa;
}

void guest_alloc_reset(struct guest *g)
{
	memset(g->next, 0, sizeof(g->next));
}

void *guest_at(const struct guest *g, uint64_t gpa, uint64_t len)
{
	for (uint32_t i = 0; i < g->nregions; i++) {
		const struct virtq_region *r = &g->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa <= r->len && len <= r->len - (gpa - r->gpa))
			return (uint8_t *)r->host + (gpa - r->gpa);
	}
	fail("address outside of guest memory");
	return NULL;
}

struct virtq_features features_of(unsigned n, ...)
{
	struct virtq_features f = {{0, 0}};
	va_list args;

	va_start(args, n);
	while (n-- > 0)
		virtq_features_set(&f, va_arg(args, unsigned));
	va_end(args);
	return f;
}

/* Guest memory for the ring or the tables. */
static uint64_t ring_alloc(struct guest *g, const struct ring_config *cfg, uint64_t bytes)
{
	if (cfg->region >= 0)
		return guest_alloc_in(g, (uint32_t)cfg->region, bytes, 64);
	return guest_alloc(g, bytes, 64);
}

void ring_init(struct ring *r, struct guest *g, const struct ring_config *cfg)
{
	size_t bytes = virtq_drv_ring_bytes(cfg->size, &cfg->features);
	uint64_t tables = (uint64_t)cfg->size * cfg->indirect_max * VIRTQ_DESC_BYTES;
	struct virtq_drv_config c = {
		.size = sizeof(c),
		.features = cfg->features,
		.queue_size = cfg->size,
		.indirect_max = cfg->indirect_max,
		.scratch_bytes = virtq_drv_bytes(cfg->size, &cfg->features),
		.platform = cfg->platform,
	};

	if (bytes == 0)
		fail("bad ring size");
	memset(r, 0, sizeof(*r));
	c.ring_addr = ring_alloc(g, cfg, bytes);
	c.ring = guest_at(g, c.ring_addr, bytes);
	if (tables > 0) {
		c.indirect_addr = ring_alloc(g, cfg, tables);
		c.indirect = guest_at(g, c.indirect_addr, tables);
	}
	c.scratch = zeroed(c.scratch_bytes);
	if (virtq_drv_init(&r->drv, &c) != 0)
		fail("the driver side can't be set up");
	r->guest = g;
	r->features = cfg->features;
	r->size = cfg->size;
	r->packed = virtq_features_has(&cfg->features, VIRTQ_F_RING_PACKED);
	r->drv_scratch = c.scratch;
	virtq_drv_state(&r->drv, &r->state);
	r->desc = guest_at(g, r->state.desc, VIRTQ_SPLIT_DESC_BYTES(r->size));
	r->driver = guest_at(g, r->state.driver,
	                     r->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(r->size));
	r->device = guest_at(g, r->state.device,
	                     r->packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(r->size));
	r->raw_wrap = 1;
}

int ring_dev_init(struct ring *r, const struct virtq_dev_config *cfg, uint32_t burst)
{
	struct virtq_dev_config c = {.size = sizeof(c)};
	int err;

	if (cfg != NULL)
		c = *cfg;
	c.size = sizeof(c);
	if (c.mem == NULL && c.dma == NULL)
		c.mem = &r->guest->mem;
	c.features = r->features;
	if (c.state.size == 0)
		c.state = r->state;
	if (c.scratch == NULL) {
		c.scratch_bytes = virtq_dev_bytes(&c);
		c.scratch = zeroed(c.scratch_bytes);
	}
	err = virtq_dev_init(&r->dev, &c);
	if (err != 0) {
		free(c.scratch);
		return err;
	}
	r->dev_scratch = c.scratch;
	r->niov = virtq_dev_max_iov(&r->dev) * burst;
	r->iov = zeroed(r->niov * sizeof(*r->iov));
	r->seg = zeroed(r->niov * sizeof(*r->seg));
	return 0;
}

void ring_fini(struct ring *r)
{
	if (r->dev_scratch != NULL) {
		if (virtq_dev_fini(&r->dev) != 0)
			fail("chains are still out");
		free(r->dev_scratch);
		free(r->iov);
		free(r->seg);
	}
	free(r->drv_scratch);
	memset(r, 0, sizeof(*r));
}

static void store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_SEQ_CST);
}

static uint16_t load16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_SEQ_CST));
}

static void store32(void *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)p, htole32(v), __ATOMIC_SEQ_CST);
}

static uint32_t load32(const void *p)
{
	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_SEQ_CST));
}

/* The fields in the order they lie in; the last one is what tells a packed descriptor's state. */
static void desc_write(uint8_t *p, uint64_t addr, uint32_t len, uint16_t lo, uint16_t hi)
{
	__atomic_store_n((uint64_t *)p, htole64(addr), __ATOMIC_SEQ_CST);
	store32(p + 8, len);
	store16(p + 12, lo);
	store16(p + 14, hi);
}

void raw_desc(struct ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
              uint16_t next)
{
	desc_write(r->desc + (size_t)(i % r->size) * VIRTQ_DESC_BYTES, addr, len, flags, next);
}

void raw_avail_entry(struct ring *r, uint16_t i, uint16_t head)
{
	store16(r->driver + 4 + 2 * (size_t)(i % r->size), head);
}

void raw_avail_idx(struct ring *r, uint16_t idx)
{
	store16(r->driver + 2, idx);
}

void raw_avail_flags(struct ring *r, uint16_t flags)
{
	store16(r->driver, flags);
}

void raw_used_event(struct ring *r, uint16_t event)
{
	store16(r->driver + 4 + 2 * (size_t)r->size, event);
}

void raw_offer(struct ring *r, uint16_t head)
{
	raw_avail_entry(r, r->raw_avail, head);
	raw_avail_idx(r, ++r->raw_avail);
}

uint16_t raw_used_idx(const struct ring *r)
{
	return load16(r->device + 2);
}

uint16_t raw_used_flags(const struct ring *r)
{
	return load16(r->device);
}

uint16_t raw_avail_event(const struct ring *r)
{
	return load16(r->device + 4 + 8 * (size_t)r->size);
}

void raw_used(const struct ring *r, uint16_t i, uint32_t *id, uint32_t *len)
{
	const uint8_t *p = r->device + 4 + 8 * (size_t)(i % r->size);

	*id = load32(p);
	*len = load32(p + 4);
}

void raw_used_entry_set(struct ring *r, uint16_t i, uint32_t id, uint32_t len)
{
	uint8_t *p = r->device + 4 + 8 * (size_t)(i % r->size);

	store32(p, id);
	store32(p + 4, len);
}

void raw_used_idx_set(struct ring *r, uint16_t idx)
{
	store16(r->device + 2, idx);
}

void raw_used_flags_set(struct ring *r, uint16_t flags)
{
	store16(r->device, flags);
}

void raw_avail_event_set(struct ring *r, uint16_t event)
{
	store16(r->device + 4 + 8 * (size_t)r->size, event);
}

void raw_packed(struct ring *r, uint16_t place, uint64_t addr, uint32_t len, uint16_t id,
                uint16_t flags)
{
	desc_write(r->desc + (size_t)(place % r->size) * VIRTQ_DESC_BYTES, addr, len, id, flags);
}

struct virtq_packed_desc raw_packed_get(const struct ring *r, uint16_t place)
{
	const uint8_t *p = r->desc + (size_t)(place % r->size) * VIRTQ_DESC_BYTES;
	uint64_t addr;

	memcpy(&addr, p, sizeof(addr));
	return (struct virtq_packed_desc){
		.addr = le64toh(addr), .len = load32(p + 8), .id = load16(p + 12), .flags = load16(p + 14)};
}

uint16_t packed_avail(int wrap)
{
	return wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED;
}

uint16_t packed_used(int wrap)
{
	return wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;
}

void raw_packed_offer(struct ring *r, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	raw_packed(r, r->raw_avail, addr, len, id, (uint16_t)(flags | packed_avail(r->raw_wrap)));
	if (++r->raw_avail == r->size) {
		r->raw_avail = 0;
		r->raw_wrap = !r->raw_wrap;
	}
}

static void event_set(uint8_t *p, uint16_t place_wrap, uint16_t flags)
{
	store32(p, (uint32_t)flags << 16 | place_wrap);
}

static void event_get(const uint8_t *p, uint16_t *place_wrap, uint16_t *flags)
{
	uint32_t v = load32(p);

	*place_wrap = (uint16_t)v;
	*flags = (uint16_t)(v >> 16);
}

void raw_offer_one(struct ring *r, uint16_t id, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (r->packed) {
		raw_packed_offer(r, addr, len, id, flags);
	} else {
		raw_desc(r, id, addr, len, flags, 0);
		raw_offer(r, id);
	}
}

void raw_driver_event(struct ring *r, uint16_t place_wrap, uint16_t flags)
{
	event_set(r->driver, place_wrap, flags);
}

void raw_device_event_set(struct ring *r, uint16_t place_wrap, uint16_t flags)
{
	event_set(r->device, place_wrap, flags);
}

void raw_driver_event_get(const struct ring *r, uint16_t *place_wrap, uint16_t *flags)
{
	event_get(r->driver, place_wrap, flags);
}

void raw_device_event(const struct ring *r, uint16_t *place_wrap, uint16_t *flags)
{
	event_get(r->device, place_wrap, flags);
}

void raw_table(struct ring *r, uint64_t table, uint32_t i, uint64_t addr, uint32_t len,
               uint16_t flags, uint16_t extra)
{
	uint8_t *p = guest_at(r->guest, table + (uint64_t)i * VIRTQ_DESC_BYTES, VIRTQ_DESC_BYTES);
	uint16_t lo = r->packed ? extra : flags, hi = r->packed ? flags : extra;
	uint64_t le = htole64(addr);
	uint32_t len_le = htole32(len);

	lo = htole16(lo);
	hi = htole16(hi);
	memcpy(p, &le, 8); /* a table may lie at any address */
	memcpy(p + 8, &len_le, 4);
	memcpy(p + 12, &lo, 2);
	memcpy(p + 14, &hi, 2);
}
