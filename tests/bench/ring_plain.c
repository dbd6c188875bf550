/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device side is held against: plain loops that make the same checks of direct chains, for one queue in one
 * fixed form. Indices, ids, flags, order, lengths, regions, chains without end; no tables, log, maps that change,
 * platforms or faults with names.
 */
#include <stdlib.h>

#include "ring_bench.h"

struct plain_chain {
	uint32_t first, nread, nwrite, write_bytes;
	uint16_t id, slots;
};

struct plain {
	struct plain_chain chains[RING_BURST];
	uint8_t out[RING_SIZE];
	uint32_t last; /* region that was found last */
	uint16_t avail, used, out_slots;
	uint8_t avail_wrap, used_wrap;
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b; /* flags and next, or id and flags */
};

struct plain *ring_plain_new(void)
{
	struct plain *p = bench_zeroed(sizeof(*p));

	p->avail_wrap = p->used_wrap = 1;
	return p;
}

static inline void *find(const struct ring_rig *r, struct plain *p, uint64_t gpa, uint32_t len)
{
	for (uint32_t i = 0, at = p->last; i < RING_REGIONS; i++, at = (at + 1) % RING_REGIONS) {
		const struct virtq_region *g = &r->regions[at];

		if (gpa - g->gpa < g->len && len <= g->len - (gpa - g->gpa)) {
			p->last = at;
			return (uint8_t *)g->host + (gpa - g->gpa);
		}
	}
	return NULL;
}

/* Check one descriptor and write its piece. */
static inline void piece(struct ring_rig *r, struct plain *p, struct plain_chain *c,
                         uint64_t *bytes, uint64_t addr, uint32_t len, int write)
{
	uint32_t at = c->first + c->nread + c->nwrite;
	void *host = find(r, p, addr, len);

	if (host == NULL || at == RING_IOV || len == 0 || (!write && c->nwrite > 0))
		abort();
	r->iov[at] = (struct virtq_iov){host, len};
	*bytes += len;
	if (write) {
		c->nwrite++;
		c->write_bytes += len;
	} else {
		c->nread++;
	}
}

static inline struct desc load(const uint8_t *p)
{
	uint64_t rest = __atomic_load_n((const uint64_t *)(const void *)(p + 8), __ATOMIC_RELAXED);

	return (struct desc){__atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED),
	                     (uint32_t)rest, (uint16_t)(rest >> 32), (uint16_t)(rest >> 48)};
}

static void split(struct ring_rig *r, struct plain *p)
{
	const uint16_t *avail = (const uint16_t *)(const void *)r->dev.driver;
	uint16_t *used = (uint16_t *)(void *)r->dev.device;
	uint32_t *entries = (uint32_t *)(void *)(r->dev.device + 4), pieces = 0, n;
	uint16_t old = p->used;

	n = (uint16_t)(__atomic_load_n(&avail[1], __ATOMIC_ACQUIRE) - p->avail);
	if (n > RING_SIZE || n > RING_BURST)
		abort();
	for (uint32_t k = 0; k < n; k++) {
		struct plain_chain *c = &p->chains[k];
		uint16_t i = __atomic_load_n(&avail[2 + p->avail % RING_SIZE], __ATOMIC_RELAXED);
		uint32_t count = 0;
		uint64_t bytes = 0;
		struct desc d;

		if (i >= RING_SIZE || p->out[i])
			abort();
		*c = (struct plain_chain){.first = pieces, .id = i};
		for (;; i = d.b) {
			d = load(r->dev.desc + i * 16u);
			if (d.a & VIRTQ_DESC_INDIRECT || ++count > RING_SIZE)
				abort();
			piece(r, p, c, &bytes, d.addr, d.len, d.a & VIRTQ_DESC_WRITE);
			if (!(d.a & VIRTQ_DESC_NEXT))
				break;
			if (d.b >= RING_SIZE)
				abort();
		}
		if (bytes > UINT32_MAX)
			abort();
		pieces += count;
		p->out[c->id] = 1;
		p->avail++;
	}
	for (uint32_t k = 0; k < n; k++, p->used++) {
		const struct plain_chain *c = &p->chains[k];

		if (!p->out[c->id] || r->written[k] > c->write_bytes)
			abort();
		p->out[c->id] = 0;
		__atomic_store_n(&entries[p->used % RING_SIZE * 2], c->id, __ATOMIC_RELAXED);
		__atomic_store_n(&entries[p->used % RING_SIZE * 2 + 1], r->written[k], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&used[1], p->used, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	n = __atomic_load_n(&avail[2 + RING_SIZE], __ATOMIC_RELAXED);
	r->interrupts += (uint16_t)(p->used - n - 1) < (uint16_t)(p->used - old);
}

static inline void step(uint16_t *place, uint8_t *wrap, uint32_t n)
{
	uint32_t to = *place + n;

	if (to >= RING_SIZE) {
		to -= RING_SIZE;
		*wrap ^= 1;
	}
	*place = (uint16_t)to;
}

static inline int is_there(uint16_t flags, int wrap)
{
	return ((flags & VIRTQ_DESC_AVAIL) != 0) == wrap && ((flags & VIRTQ_DESC_USED) != 0) != wrap;
}

static uint32_t packed_pop(struct ring_rig *r, struct plain *p)
{
	uint32_t pieces = 0, n = 0;

	for (; n < r->kind.burst; n++) {
		const uint8_t *at = r->dev.desc + p->avail * 16u;
		struct plain_chain *c = &p->chains[n];
		uint64_t bytes = 0;
		struct desc d;

		if (!is_there(__atomic_load_n((const uint16_t *)(const void *)(at + 14), __ATOMIC_ACQUIRE),
		              p->avail_wrap))
			break;
		*c = (struct plain_chain){.first = pieces};
		for (;;) {
			d = load(r->dev.desc + p->avail * 16u);
			if (!is_there(d.b, p->avail_wrap) || d.b & VIRTQ_DESC_INDIRECT ||
			    ++p->out_slots > RING_SIZE)
				abort();
			piece(r, p, c, &bytes, d.addr, d.len, d.b & VIRTQ_DESC_WRITE);
			c->slots++;
			step(&p->avail, &p->avail_wrap, 1);
			if (!(d.b & VIRTQ_DESC_NEXT))
				break;
		}
		c->id = d.a;
		if (c->id >= RING_SIZE || p->out[c->id] || bytes > UINT32_MAX)
			abort();
		pieces += c->slots;
		p->out[c->id] = 1;
	}
	return n;
}

static void packed(struct ring_rig *r, struct plain *p)
{
	uint32_t n = packed_pop(r, p), event, done = 0;
	uint16_t *first = (uint16_t *)(void *)(r->dev.desc + p->used * 16u + 14), held = 0;

	for (uint32_t k = 0; k < n; k++) {
		const struct plain_chain *c = &p->chains[k];
		uint8_t *at = r->dev.desc + p->used * 16u;
		uint32_t flags = p->used_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;

		if (!p->out[c->id] || r->written[k] > c->write_bytes)
			abort();
		p->out[c->id] = 0;
		flags |= r->written[k] > 0 ? VIRTQ_DESC_WRITE : 0;
		__atomic_store_n((uint32_t *)(void *)(at + 8), r->written[k], __ATOMIC_RELAXED);
		if (k == 0) {
			held = (uint16_t)flags;
			__atomic_store_n((uint16_t *)(void *)(at + 12), c->id, __ATOMIC_RELAXED);
		} else {
			__atomic_store_n((uint32_t *)(void *)(at + 12), flags << 16 | c->id, __ATOMIC_RELAXED);
		}
		step(&p->used, &p->used_wrap, c->slots);
		done += c->slots;
	}
	if (n == 0)
		return;
	p->out_slots = (uint16_t)(p->out_slots - done);
	__atomic_store_n(first, held, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n((const uint32_t *)(const void *)r->dev.driver, __ATOMIC_RELAXED);
	n = (event & 0x7fff) - ((event >> 15 & 1) != p->used_wrap ? RING_SIZE : 0u);
	r->interrupts += (event >> 16 & 3) == VIRTQ_EVENT_DESC && (uint16_t)(p->used - n - 1) < done;
}

__attribute__((noinline)) void plain_side(struct ring_rig *r)
{
	if (r->kind.packed)
		packed(r, r->plain);
	else
		split(r, r->plain);
}
