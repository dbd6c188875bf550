/* SPDX-License-Identifier: BSD-3-Clause */
/* What a driver lays out in memory, made of the input. */
#include "device_driver.h"

const struct virtq_region fuzz_regions[FUZZ_REGIONS] = {
	{.gpa = 0, .len = 0x4000},
	{.gpa = 0x10000, .len = 0x1000},
	{.gpa = 0x11000, .len = 0x1000}, /* meets the one before */
	{.gpa = 0x20000, .len = 0x1000, .flags = VIRTQ_REGION_READONLY},
	{.gpa = 0x100000000, .len = 0x1000},
	{.gpa = (uint64_t)0 - 0x1000, .len = 0x1000}, /* up to 2^64 */
};

/* Any address, but mostly one in or about a region. */
uint64_t fuzz_addr(struct input *in)
{
	uint8_t how = take8(in);
	const struct virtq_region *r = &fuzz_regions[how % FUZZ_REGIONS];

	switch (how / FUZZ_REGIONS % 4) {
	case 0:
		return r->gpa + take16(in) % r->len;
	case 1:
		return r->gpa + r->len - take8(in);
	case 2:
		return r->gpa + 16u * take8(in);
	default:
		return (uint64_t)take32(in) << (take8(in) & 63);
	}
}

uint32_t fuzz_len(struct input *in)
{
	uint8_t how = take8(in);

	switch (how % 8) {
	case 0:
		return 0;
	case 1:
		return take32(in);
	case 2:
		return take16(in);
	case 3:
		return 16u * (how / 8);
	default:
		return how;
	}
}

static void write_desc(struct ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
                       uint16_t extra)
{
	if (r->packed)
		raw_packed(r, i, addr, len, extra, flags);
	else
		raw_desc(r, i, addr, len, flags, extra);
}

void fuzz_any_desc(struct input *in, struct ring *r)
{
	uint16_t i = take8(in), flags = take8(in) & 7;
	uint64_t addr = fuzz_addr(in);
	uint32_t len = fuzz_len(in);

	if (r->packed)
		flags |= (uint16_t)((take8(in) & 1 ? VIRTQ_DESC_AVAIL : 0) |
		                    (take8(in) & 1 ? VIRTQ_DESC_USED : 0));
	write_desc(r, i, addr, len, flags, take8(in));
}

/* A chain as an honest driver would lay it out, except for what the input spoils. */
void fuzz_honest_chain(struct input *in, struct ring *r)
{
	uint8_t n = (uint8_t)(1 + take8(in) % 6), nread = take8(in) % 7;
	uint8_t id = take8(in);
	uint16_t at = r->packed ? 0 : id;

	for (uint8_t i = 0; i < n; i++, at++) {
		uint16_t flags =
			(uint16_t)((i + 1 < n ? VIRTQ_DESC_NEXT : 0) | (i >= nread ? VIRTQ_DESC_WRITE : 0));
		uint64_t addr = fuzz_addr(in);
		uint32_t len = fuzz_len(in);

		if (r->packed)
			raw_packed_offer(r, addr, len, id, flags);
		else
			raw_desc(r, at, addr, len, flags, (uint16_t)((at + 1) % r->size));
	}
	if (!r->packed)
		raw_offer(r, (uint16_t)(id % r->size));
}

void fuzz_indirect_chain(struct input *in, struct ring *r)
{
	uint8_t n = (uint8_t)(1 + take8(in) % 10), nread = take8(in) % 11;
	uint8_t spoil = take8(in), id = take8(in);
	uint64_t table = 0x10e00 + (uint64_t)take8(in) * 4; /* over the border, too */
	uint32_t len = spoil & 1 ? fuzz_len(in) : 16u * n;

	for (uint8_t i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)((i + 1 < n && !r->packed ? VIRTQ_DESC_NEXT : 0) |
		                            (i >= nread ? VIRTQ_DESC_WRITE : 0));
		uint64_t at = table + 16u * i;

		if (spoil & 2)
			flags ^= take8(in) & 7;
		if (at < 0x11000 && at + 16 > 0x11000)
			continue; /* half in one region, half in the next: whatever is there */
		raw_table(r, at, 0, fuzz_addr(in), fuzz_len(in), flags,
		          spoil & 4 ? take8(in) : (uint16_t)(i + 1));
	}
	if (r->packed) {
		raw_packed_offer(r, table, len, id,
		                 (uint16_t)(VIRTQ_DESC_INDIRECT | (spoil & 8 ? take8(in) & 3 : 0)));
		return;
	}
	raw_desc(r, id, table, len, (uint16_t)(VIRTQ_DESC_INDIRECT | (spoil & 8 ? take8(in) & 3 : 0)),
	         take8(in));
	raw_offer(r, (uint16_t)(id % r->size));
}

/* Any bytes anywhere in the ring. */
void fuzz_scribble(struct input *in, struct ring *r)
{
	size_t bytes = (size_t)(r->state.device - r->state.desc) + 4 +
	               (r->packed ? 0 : (size_t)VIRTQ_SPLIT_DEVICE_BYTES(r->size) - 4);
	size_t at = take16(in) % bytes;
	uint8_t n = take8(in) % 17;

	for (; n > 0 && at < bytes; n--, at++)
		r->desc[at] = take8(in);
}

void fuzz_driver_fields(struct input *in, struct ring *r)
{
	if (r->packed) {
		raw_driver_event(r, take16(in), take8(in) & 3);
		return;
	}
	switch (take8(in) % 5) {
	case 0:
		raw_avail_idx(r, take16(in));
		break;
	case 1:
		raw_avail_entry(r, take8(in), take16(in));
		break;
	case 2:
		raw_avail_flags(r, take16(in));
		break;
	case 3:
		raw_used_event(r, take16(in));
		break;
	default:
		raw_offer(r, take8(in));
	}
}
