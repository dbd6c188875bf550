/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver side of a queue against a device made of the input: it may write anything to the ring. */
#include <string.h>

#include "fuzz.h"
#include "ring.h"

#define SLOTS 64

static const struct virtq_region regions[] = {{.gpa = 0, .len = 0x10000}};

/* A buffer that is out; the cookie points at it. */
struct buffer {
	int out;
	uint32_t writable;
};

struct fuzz {
	struct input in;
	struct guest guest;
	struct ring ring;
	struct buffer buffers[SLOTS];
	uint32_t nout;
	/* The device, when it does as it should. */
	uint16_t avail, used;
	int avail_wrap, used_wrap;
	struct virtq_platform platform;
};

static void platform_barrier(void *ctx)
{
	(void)ctx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Caches are only cared for where the ring, or a table, lies. */
static void platform_cache(void *ctx, const void *p, size_t len)
{
	const struct fuzz *f = ctx;
	uintptr_t at = (uintptr_t)p - (uintptr_t)f->guest.regions[0].host;

	HOLDS(len > 0 && at < f->guest.regions[0].len && len <= f->guest.regions[0].len - at);
}

static void add(struct fuzz *f)
{
	uint32_t nread = take8(&f->in) % 6, nwrite = take8(&f->in) % 6;
	uint32_t before = virtq_drv_free(&f->ring.drv);
	struct virtq_seg seg[12];
	struct buffer *b = f->buffers;
	uint64_t total = 0;
	int rc;

	while (b->out)
		b++; /* never all of them: the ring is smaller */
	b->writable = 0;
	for (uint32_t i = 0; i < nread + nwrite; i++) {
		seg[i].addr = take16(&f->in);
		seg[i].len = take8(&f->in) % 16 == 15 ? take32(&f->in) : take8(&f->in);
		total += seg[i].len;
		if (i >= nread)
			b->writable += (uint32_t)seg[i].len;
	}
	rc = virtq_drv_add(&f->ring.drv, seg, nread, nwrite, b);
	if (rc != 0) {
		HOLDS(rc == VIRTQ_ENOSPC || rc == VIRTQ_EINVAL || rc == VIRTQ_EBROKEN);
		HOLDS(virtq_drv_free(&f->ring.drv) == before);
		return;
	}
	HOLDS(total <= UINT32_MAX && nread + nwrite > 0);
	HOLDS(virtq_drv_free(&f->ring.drv) < before);
	b->out = 1;
	f->nout++;
}

static void take(struct fuzz *f)
{
	uint32_t max = take8(&f->in) % 9;
	struct virtq_done done[8];
	int n = virtq_drv_take(&f->ring.drv, done, max);

	if (n == VIRTQ_EBROKEN) {
		HOLDS(virtq_drv_take(&f->ring.drv, done, 8) == VIRTQ_EBROKEN);
		HOLDS(virtq_drv_arm(&f->ring.drv) == 1);
		return;
	}
	HOLDS(n >= 0 && (uint32_t)n <= max);
	for (int i = 0; i < n; i++) {
		struct buffer *b = done[i].cookie;

		HOLDS(b >= f->buffers && b < f->buffers + SLOTS && b->out);
		HOLDS(done[i].written <= b->writable);
		b->out = 0;
		f->nout--;
	}
}

static void step_on(const struct fuzz *f, uint16_t *place, int *wrap, uint16_t n)
{
	*place = (uint16_t)(*place + n);
	if (*place >= f->ring.size) {
		*place = (uint16_t)(*place - f->ring.size);
		*wrap = !*wrap;
	}
}

/* Use the next buffer as it should be, perhaps with another length or id. */
static void honest_split(struct fuzz *f, uint8_t spoil)
{
	struct ring *r = &f->ring;
	uint16_t idx, head;

	memcpy(&idx, r->driver + 2, sizeof(idx));
	if (idx == f->avail)
		return;
	memcpy(&head, r->driver + 4 + 2 * (size_t)(f->avail++ % r->size), sizeof(head));
	raw_used_entry_set(r, f->used, spoil & 1 ? take32(&f->in) : head,
	                   spoil & 2 ? take32(&f->in) : 0);
	f->used++;
	if (!(spoil & 4))
		raw_used_idx_set(r, f->used);
}

static void honest_packed(struct fuzz *f, uint8_t spoil)
{
	struct ring *r = &f->ring;
	const uint16_t both = VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
	struct virtq_packed_desc d;
	uint16_t n = 0;

	do {
		d = raw_packed_get(r, f->avail);
		if ((d.flags & both) != packed_avail(f->avail_wrap))
			return;
		step_on(f, &f->avail, &f->avail_wrap, 1);
		n++;
	} while ((d.flags & VIRTQ_DESC_NEXT) && n < r->size);
	raw_packed(r, f->used, 0, spoil & 2 ? take32(&f->in) : 0, spoil & 1 ? take8(&f->in) : d.id,
	           packed_used(f->used_wrap));
	/* Several at once: only the last of a batch is named, at the place of the first (IN_ORDER). */
	if (!(spoil & 4))
		step_on(f, &f->used, &f->used_wrap, n);
}

static void device_fields(struct fuzz *f)
{
	struct ring *r = &f->ring;

	switch (take8(&f->in) % 7) {
	case 0:
		if (!r->packed)
			raw_used_entry_set(r, take8(&f->in), take8(&f->in), take8(&f->in));
		break;
	case 1:
		if (!r->packed)
			raw_used_idx_set(r, (uint16_t)(f->used + take8(&f->in)));
		break;
	case 2:
		if (!r->packed)
			raw_avail_event_set(r, take16(&f->in));
		break;
	case 3:
		if (r->packed)
			raw_device_event_set(r, take16(&f->in), take16(&f->in));
		break;
	default:
		if (r->packed)
			raw_packed(r, take8(&f->in), 0, take8(&f->in), take8(&f->in),
			           packed_used(take8(&f->in) & 1));
	}
}

/* Any bytes anywhere in the ring, the driver's own part too. */
static void scribble(struct fuzz *f)
{
	size_t bytes = virtq_drv_ring_bytes(f->ring.size, &f->ring.features);
	size_t at = take16(&f->in) % bytes;
	uint8_t n = take8(&f->in) % 17;

	for (; n > 0 && at < bytes; n--, at++)
		f->ring.desc[at] = take8(&f->in);
}

static void step(struct fuzz *f)
{
	struct virtq_drv *vq = &f->ring.drv;
	int rc;

	switch (take8(&f->in) % 12) {
	case 0:
	case 1:
	case 2:
		add(f);
		break;
	case 3:
		virtq_drv_publish(vq);
		break;
	case 4:
		rc = virtq_drv_should_kick(vq);
		HOLDS(rc == 0 || rc == 1);
		HOLDS(virtq_drv_should_kick(vq) == 0);
		(void)virtq_drv_notify_data(vq, 1);
		break;
	case 5:
	case 6:
		take(f);
		break;
	case 7:
		rc = virtq_drv_arm(vq);
		HOLDS(rc == 0 || rc == 1);
		if (take8(&f->in) & 1)
			virtq_drv_disarm(vq);
		break;
	case 8:
	case 9:
		if (f->ring.packed)
			honest_packed(f, take8(&f->in));
		else
			honest_split(f, take8(&f->in));
		break;
	case 10:
		device_fields(f);
		break;
	default:
		scribble(f);
	}
	HOLDS(virtq_drv_inflight(vq) == f->nout);
	HOLDS(virtq_drv_free(vq) + f->nout <= f->ring.size);
}

static void configure(struct fuzz *f)
{
	uint8_t bits = take8(&f->in), size = take8(&f->in);
	struct ring_config c = {.region = -1};

	if (bits & 1)
		virtq_features_set(&c.features, VIRTQ_F_RING_PACKED);
	if (bits & 2)
		virtq_features_set(&c.features, VIRTQ_F_EVENT_IDX);
	if (bits & 4)
		virtq_features_set(&c.features, VIRTQ_F_IN_ORDER);
	if (bits & 8) {
		virtq_features_set(&c.features, VIRTQ_F_INDIRECT_DESC);
		c.indirect_max = take8(&f->in) % 12;
	}
	if (bits & 16) {
		f->platform = (struct virtq_platform){.size = sizeof(f->platform),
		                                      .clean = platform_cache,
		                                      .invalidate = platform_cache,
		                                      .ctx = f};
		if (bits & 32)
			f->platform.barrier = f->platform.read_barrier = f->platform.write_barrier =
				platform_barrier;
		c.platform = &f->platform;
	}
	if (bits & 1)
		c.size = (uint16_t)(1 + size % 40);
	else
		c.size = (uint16_t)(1u << size % 6);
	ring_init(&f->ring, &f->guest, &c);
	f->avail_wrap = f->used_wrap = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	void *cookie;

	HOLDS(f != NULL);
	f->in = (struct input){data, size};
	guest_init(&f->guest, regions, 1);
	configure(f);
	while (!input_end(&f->in))
		step(f);
	/* After a reset everything that is out comes back, once each. */
	while (virtq_drv_detach(&f->ring.drv, &cookie) == 1) {
		struct buffer *b = cookie;

		HOLDS(b->out);
		b->out = 0;
		f->nout--;
	}
	HOLDS(f->nout == 0);
	ring_fini(&f->ring);
	guest_fini(&f->guest);
	free(f);
	return 0;
}
