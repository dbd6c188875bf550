/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device whose caches are not coherent: it sees a copy of memory, which the hooks bring up to date. The driver works on
 * memory itself, field by field. _i & 1: packed.
 */
#include <string.h>

#include "check_main.h"
#include "ring.h"

enum { SIZE = 4, MEMORY = 0x10000, BORDER = 0xc000, TABLE = 3, LAPS = 5 };

static struct guest guest;
static struct ring ring;
static _Alignas(4096) uint8_t cache[MEMORY];
static struct virtq_mem mem;
/* The ring lies in the first; a table may lie across the border. */
static const struct virtq_region cached[] = {
	{.gpa = 0, .len = BORDER, .host = cache},
	{.gpa = BORDER, .len = MEMORY - BORDER, .host = cache + BORDER},
};

static uint8_t *memory_of(const void *p, size_t len)
{
	size_t at = (size_t)((const uint8_t *)p - cache);

	ck_assert(at < MEMORY && len <= MEMORY - at);
	return guest_at(&guest, at, 1);
}

static void clean(void *ctx, const void *p, size_t len)
{
	(void)ctx;
	memcpy(memory_of(p, len), p, len);
}

static void invalidate(void *ctx, const void *p, size_t len)
{
	(void)ctx;
	/* No more than was asked for: what lies beside it may be ours, and not yet written out. */
	ck_assert_uint_le(len, VIRTQ_SPLIT_DESC_BYTES(SIZE));
	memcpy(cache + ((const uint8_t *)p - cache), memory_of(p, len), len);
}

static const struct virtq_platform platform = {
	.size = sizeof(platform), .clean = clean, .invalidate = invalidate};

static void set_up(int packed)
{
	const struct virtq_region memory = {.gpa = 0, .len = MEMORY};
	struct ring_config cfg = {.size = SIZE};
	struct virtq_dev_config dev = {.size = sizeof(dev), .mem = &mem, .platform = &platform};

	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, &memory, 1);
	ring_init(&ring, &guest, &cfg);
	memset(cache, 0xa5, sizeof(cache));
	/* Fresh as the driver made it. */
	memcpy(cache, guest_at(&guest, 0, MEMORY), 0x1000);
	ck_assert_int_eq(virtq_mem_init(&mem, cached, 2), 0);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, 1), 0);
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static void pop(struct virtq_chain *c, uint16_t id, uint32_t nread)
{
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, c, 1, ring.iov, ring.niov), 1);
	ck_assert_uint_eq(c->id, id);
	ck_assert_uint_eq(c->nread, nread);
	ck_assert_uint_eq(c->nwrite, 1);
}

/* The driver finds used entry n. */
static void use(const struct virtq_chain *c, unsigned n, uint32_t written)
{
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, &written, 1), 0);
	virtq_dev_publish(&ring.dev);
	if (ring.packed) {
		struct virtq_packed_desc d = raw_packed_get(&ring, (uint16_t)(n % SIZE));

		ck_assert_uint_eq(d.id, c->id);
		ck_assert_uint_eq(d.len, written);
		ck_assert_uint_eq(d.flags, packed_used(n / SIZE % 2 == 0) | VIRTQ_DESC_WRITE);
	} else {
		uint32_t id, len;

		ck_assert_uint_eq(raw_used_idx(&ring), n + 1);
		raw_used(&ring, (uint16_t)n, &id, &len);
		ck_assert_uint_eq(id, c->id);
		ck_assert_uint_eq(len, written);
	}
}

START_TEST(direct_descriptors)
{
	struct virtq_chain c;

	set_up(_i & 1);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 0);
	for (unsigned n = 0; n < LAPS * SIZE; n++) {
		const uint16_t id = (uint16_t)(n * 3 % SIZE);

		raw_offer_one(&ring, id, 0x8000 + 64 * n, 16 + n, VIRTQ_DESC_WRITE);
		ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1);
		pop(&c, id, 0);
		ck_assert_ptr_eq(c.iov[0].base, cache + 0x8000 + 64 * n);
		ck_assert_uint_eq(c.iov[0].len, 16 + n);
		use(&c, n, 1 + n);
	}
	tear_down();
}
END_TEST

/* Each lap the table says something else. It lies in one piece, or oddly, or across two regions. */
START_TEST(indirect_tables)
{
	static const uint64_t places[] = {0x9000, 0x9001, BORDER - 24};
	struct virtq_chain c;

	set_up(_i & 1);
	for (unsigned n = 0; n < LAPS * SIZE; n++) {
		const uint64_t table = places[_i / 2];
		const uint16_t id = (uint16_t)(n % SIZE);
		const uint64_t data = 0x8000 + 64 * n;

		for (uint32_t k = 0; k < TABLE; k++)
			raw_table(&ring, table, k, data + 16 * k, 8 + k,
			          (uint16_t)((k + 1 < TABLE && !ring.packed ? VIRTQ_DESC_NEXT : 0) |
			                     (k + 1 == TABLE ? VIRTQ_DESC_WRITE : 0)),
			          (uint16_t)(ring.packed ? 0 : k + 1));
		raw_offer_one(&ring, id, table, TABLE * VIRTQ_DESC_BYTES, VIRTQ_DESC_INDIRECT);
		pop(&c, id, TABLE - 1);
		for (uint32_t k = 0; k < TABLE; k++) {
			ck_assert_ptr_eq(c.iov[k].base, cache + data + 16 * k);
			ck_assert_uint_eq(c.iov[k].len, 8 + k);
		}
		use(&c, n, 1);
	}
	tear_down();
}
END_TEST

/* A table that begins in memory and ends outside of it. */
START_TEST(a_table_over_the_end)
{
	struct virtq_chain c;
	struct virtq_fault fault = {0};

	set_up(_i & 1);
	raw_table(&ring, MEMORY - 16, 0, 0x8000, 16, VIRTQ_DESC_NEXT, 1);
	raw_offer_one(&ring, 0, MEMORY - 16, 2 * VIRTQ_DESC_BYTES, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, &c, 1, ring.iov, ring.niov), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_ADDRESS);
	tear_down();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring cache");
	TCase *tc = tcase_create("cache");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, direct_descriptors, 0, 2);
	tcase_add_loop_test(tc, indirect_tables, 0, 6);
	tcase_add_loop_test(tc, a_table_over_the_end, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
