/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's side of small rings, and every combination of what a used entry may say, out of a small alphabet: the driver
 * takes buffers that it gave, or breaks. The ring ends at a page without permissions.
 */
#include "check_main.h"

#include "ring_small.h"

static uint8_t *buffers;

static struct virtq_drv drv;
static uint64_t drv_scratch[32];
static uint8_t *drv_ring;

/* The driver side in a guarded page, at its end; "added" buffers of 8 writable bytes are out, cookies 1 and up. */
static void driver_make(unsigned added)
{
	struct virtq_drv_config cfg = {.size = sizeof(cfg), .queue_size = size, .ring_addr = RING_GPA};
	struct virtq_seg seg = {INSIDE, 8};
	size_t bytes;

	virtq_features_set(&cfg.features, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	bytes = virtq_drv_ring_bytes(size, &cfg.features);
	if (buffers == NULL)
		buffers = guarded();
	drv_ring = buffers + PAGE - ((bytes + 15) & ~(size_t)15);
	cfg.ring = drv_ring;
	cfg.scratch = drv_scratch;
	cfg.scratch_bytes = sizeof(drv_scratch);
	ck_assert_int_eq(virtq_drv_init(&drv, &cfg), 0);
	for (uintptr_t i = 0; i < added; i++)
		ck_assert_int_eq(virtq_drv_add(&drv, &seg, 0, 1, (void *)(i + 1)), 0);
	virtq_drv_publish(&drv);
}

static const uint32_t used_lens[] = {0, 8, 9, UINT32_MAX};

/* What take should return for used entries (id, len), n of which are shown: how many, and whether it breaks. */
static int want_taken(const uint32_t *id, const uint32_t *len, uint32_t n, unsigned added)
{
	uint32_t i;

	if (n > added)
		return VIRTQ_EBROKEN;
	for (i = 0; i < n; i++)
		if (id[i] >= added || len[i] > 8 || (i == 1 && id[1] == id[0]))
			break;
	return i == 0 && n > 0 ? VIRTQ_EBROKEN : (int)i;
}

static void take_check(const uint32_t *id, const uint32_t *len, uint32_t n, unsigned added)
{
	struct virtq_done out[RING_MAX + 1];
	int want = want_taken(id, len, n, added), got = virtq_drv_take(&drv, out, RING_MAX + 1);

	combos++;
	if (got != want)
		ck_abort_msg("%s ring of %u, %u out, %u used, ids %x %x, lengths %x %x: %d, not %d",
		             packed ? "packed" : "split", size, added, n, id[0], id[1], len[0], len[1], got,
		             want);
	for (int i = 0; i < got; i++)
		if ((uintptr_t)out[i].cookie != id[i] + 1 || out[i].written != len[i])
			ck_abort_msg("another buffer than was used");
	if (virtq_drv_inflight(&drv) != added - (unsigned)(got > 0 ? got : 0))
		ck_abort_msg("wrong count of buffers that are out");
	good += got > 0;
	bad += got < 0;
	none += got == 0;
}

/* Ids: 0 to size, the largest; split: also one that is right in its low half. */
static uint32_t used_id(uint32_t i)
{
	return i == size + 2u ? 0x10000 : extra_at(i);
}

static void used_split(const uint32_t *id, const uint32_t *len, uint16_t idx)
{
	uint8_t *used = drv_ring + (drv.device - drv.desc);

	for (uint32_t i = 0; i < 2 && i < size; i++) {
		memcpy(used + 4 + 8 * i, &id[i], 4);
		memcpy(used + 8 + 8 * i, &len[i], 4);
	}
	memcpy(used + 2, &idx, 2);
}

static void used_packed(const uint32_t *id, const uint32_t *len, uint32_t shown)
{
	for (uint32_t i = 0; i < 2 && i < size; i++) {
		struct field f = {INSIDE, len[i], 0, (uint16_t)id[i]};

		/* Used in this lap, or as the driver left it. */
		if (i < shown)
			f.flags = VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED;
		else
			f.flags = VIRTQ_DESC_AVAIL;
		desc_put(drv_ring + 16 * i, &f);
	}
}

static void used_all(unsigned added)
{
	static const uint16_t idxs[] = {0, 1, 2, 3, 4, 5, 0x7fff, 0xffff};
	uint32_t ids = extras() + (packed ? 0 : 1), n = ids * N(used_lens);
	struct virtq_drv drv_fresh;
	uint64_t slots[32];
	uint8_t ring[PAGE];
	size_t bytes = (size_t)(buffers + PAGE - drv_ring);

	drv_fresh = drv;
	memcpy(slots, drv_scratch, sizeof(slots));
	memcpy(ring, drv_ring, bytes);
	for (uint32_t i = 0; i < n * n * (packed ? 3 : N(idxs)); i++) {
		uint32_t at = i / (n * n), v[2] = {i % n, i / n % n}, id[2], len[2], shown;

		for (int k = 0; k < 2; k++) {
			id[k] = used_id(v[k] / N(used_lens));
			len[k] = used_lens[v[k] % N(used_lens)];
		}
		memcpy(drv_ring, ring, bytes);
		if (packed) {
			shown = at > added ? added
			                   : at; /* places that were never made available are not looked at */
			used_packed(id, len, at);
		} else {
			shown = idxs[at];
			if (shown > 2 && shown <= added)
				continue; /* two entries are written */
			used_split(id, len, idxs[at]);
		}
		take_check(id, len, shown, added);
		drv = drv_fresh;
		memcpy(drv_scratch, slots, sizeof(slots));
	}
}

START_TEST(used_entries)
{
	static const struct {
		int packed;
		uint16_t size;
		unsigned long combos;
	} rings[] = {{0, 1, 4096}, {0, 2, 9600}, {0, 4, 29008}, {1, 1, 864},
	             {1, 2, 2304}, {1, 3, 4800}, {1, 4, 8640}};

	packed = rings[_i].packed;
	size = rings[_i].size;
	combos = good = bad = none = 0;
	for (unsigned added = 0; added <= size; added++) {
		driver_make(added);
		used_all(added);
	}
	counted(rings[_i].combos);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_small_used");
	TCase *tc = tcase_create("driver side");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, used_entries, 0, 7);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
