/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue's memory: translated addresses, and maps that change under it. */
#include "mem_test.h"

#include <stdlib.h>
#include <string.h>

#define MIB  UINT64_C(0x100000)
#define GIB  UINT64_C(0x40000000)
#define RING UINT64_C(0x8000000000000000) /* where the driver says the ring is */
#define DATA UINT64_C(0x70000000)         /* where it says its buffers are */

enum { SIZE = 8, ENTRIES = 4, PAGES = 6 };

/* The platform: page[i] is at DATA + i * PAGE; the rest is the ring. */
static struct virtq_xlat page[PAGES], ring_entry[2];
static unsigned asked, later; /* questions; the next so many are not answered yet */

static struct virtq_xlat cache[ENTRIES];
static struct guest guest;
static struct ring ring;
static unsigned offered;

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	const struct virtq_xlat *x = NULL;

	ck_assert_ptr_eq(ctx, page);
	(void)write; /* the queue looks at the answer's permission */
	asked++;
	if (later > 0) {
		later--;
		return VIRTQ_EAGAIN;
	}
	for (unsigned i = 0; i < PAGES; i++)
		if (iova - page[i].iova < page[i].len)
			x = &page[i];
	for (unsigned i = 0; i < 2; i++)
		if (iova - ring_entry[i].iova < ring_entry[i].len)
			x = &ring_entry[i];
	if (x == NULL)
		return VIRTQ_EFAULT;
	*out = *x;
	return 0;
}

static const struct virtq_xlat_ops xlat_ops = {sizeof(xlat_ops), translate, page};

static void set_up_driver(int packed, int translated)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	if (translated)
		virtq_features_set(&cfg.features, VIRTQ_F_ACCESS_PLATFORM);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	for (unsigned i = 0; i < PAGES; i++)
		page[i] = (struct virtq_xlat){
			.iova = DATA + i * PAGE, .gpa = GIB + 2 * i * PAGE, .len = PAGE, .perm = 3};
	ring_entry[0] = (struct virtq_xlat){.iova = RING, .gpa = 0, .len = MIB, .perm = 3};
	ring_entry[1] = (struct virtq_xlat){0};
	asked = later = offered = 0;
}

static int start(uint32_t entries)
{
	struct virtq_dev_config cfg = {.size = sizeof(cfg),
	                               .state = ring.state,
	                               .xlat = &xlat_ops,
	                               .xlat_cache = cache,
	                               .xlat_entries = entries};

	cfg.state.desc += RING;
	cfg.state.driver += RING;
	cfg.state.device += RING;
	return ring_dev_init(&ring, &cfg, 1);
}

static void set_up(int packed, uint32_t entries)
{
	set_up_driver(packed, 1);
	ck_assert_int_eq(start(entries), 0);
	asked = 0;
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static void offer(uint64_t addr, uint32_t len, uint16_t flags)
{
	raw_offer_one(&ring, (uint16_t)(offered++ % SIZE), addr, len, flags);
}

static int pop(struct virtq_chain *c)
{
	return virtq_dev_pop(&ring.dev, c, 1, ring.iov, ring.niov);
}

static void give_back(const struct virtq_chain *c)
{
	uint32_t none = 0;

	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, &none, 1), 0);
	virtq_dev_publish(&ring.dev);
}

/* One buffer at addr: it is in one piece, at gpa, and n questions were asked for it. */
static void one(uint64_t addr, uint64_t gpa, unsigned n)
{
	struct virtq_chain c;

	asked = 0;
	offer(addr, 16, 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.nread, 1);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, gpa, 16));
	ck_assert_uint_eq(c.iov[0].len, 16);
	ck_assert_uint_eq(asked, n);
	give_back(&c);
}

static void broken(void)
{
	struct virtq_fault f;
	struct virtq_chain c;

	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &f), 1);
	ck_assert_uint_eq(f.reason, VIRTQ_FAULT_ADDRESS);
}

START_TEST(xlat_hits_and_misses)
{
	struct virtq_chain c;

	set_up(_i, ENTRIES);
	later = 1;
	offer(DATA + 0x10, 16, 0);
	ck_assert_int_eq(pop(&c), VIRTQ_EAGAIN);
	ck_assert_uint_eq(asked, 1);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, NULL), 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(asked, 2);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB + 0x10, 16));
	give_back(&c);
	one(DATA, GIB, 0);
	one(DATA + PAGE - 16, GIB + PAGE - 16, 0);
	one(DATA + PAGE, GIB + 2 * PAGE, 1);
	one(DATA, GIB, 0);
	one(DATA + 4 * PAGE, GIB + 8 * PAGE, 1); /* has the first one's place in the cache */
	one(DATA, GIB, 1);
	tear_down();
	set_up(_i, 0); /* no cache */
	one(DATA, GIB, 1);
	one(DATA, GIB, 1);
	tear_down();
}
END_TEST

START_TEST(xlat_permission)
{
	for (unsigned write = 0; write < 2; write++) {
		set_up(_i, ENTRIES);
		page[0].perm = write ? 1 : 2;
		cache[(DATA >> 12) % ENTRIES] = page[0]; /* known, but not for this */
		offer(DATA, 16, write ? VIRTQ_DESC_WRITE : 0);
		broken();
		ck_assert_uint_eq(asked, 1);
		tear_down();
	}
	set_up(_i, ENTRIES);
	offer(DATA + PAGES * PAGE, 16, 0); /* nobody's */
	broken();
	tear_down();
}
END_TEST

START_TEST(invalidate_forgets)
{
	struct virtq_chain c;

	set_up(_i, ENTRIES);
	one(DATA, GIB, 1);
	page[0].gpa = 5 * GIB;
	virtq_dev_invalidate(&ring.dev, DATA + PAGE, UINT64_MAX - DATA - PAGE);
	virtq_dev_invalidate(&ring.dev, 0, DATA);
	virtq_dev_invalidate(&ring.dev, DATA, 0);
	one(DATA, GIB, 0); /* none of them touched it */
	offer(DATA, 16, 0);
	ck_assert_int_eq(pop(&c), 1);
	virtq_dev_invalidate(&ring.dev, DATA + PAGE - 1, 1);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB, 16)); /* what is out keeps its address */
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	give_back(&c);
	one(DATA, 5 * GIB, 1);
	page[0].gpa = GIB;
	virtq_dev_invalidate(&ring.dev, DATA - 1, 2);
	one(DATA, GIB, 1);
	page[0].len = 0;
	cache[ENTRIES - 1] = (struct virtq_xlat){.iova = UINT64_MAX, .len = 1, .perm = 3};
	virtq_dev_invalidate(&ring.dev, 0, UINT64_MAX);
	ck_assert_uint_eq(cache[ENTRIES - 1].len, 0); /* everything, the last byte too */
	offer(DATA, 16, 0);
	broken();
	tear_down();
}
END_TEST

START_TEST(xlat_cuts_at_pages)
{
	struct virtq_chain c;
	uint64_t table = DATA + 4 * PAGE - 16;

	set_up(_i, ENTRIES);
	one(DATA, GIB, 1);
	later = 1; /* the second page's */
	offer(DATA + PAGE - 8, 16, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(pop(&c), VIRTQ_EAGAIN);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.nwrite, 2);
	ck_assert_uint_eq(c.write_bytes, 16);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB + PAGE - 8, 8));
	ck_assert_ptr_eq(c.iov[1].base, guest_at(&guest, GIB + 2 * PAGE, 8));
	ck_assert_uint_eq(c.iov[0].len, 8);
	ck_assert_uint_eq(c.iov[1].len, 8);
	give_back(&c);
	page[2].gpa = GIB + MIB - 16; /* one page, over two regions that meet */
	offer(DATA + 2 * PAGE, 48, 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.nread, 2);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB + MIB - 16, 16));
	ck_assert_ptr_eq(c.iov[1].base, guest_at(&guest, GIB + MIB, 32));
	give_back(&c);
	/* An indirect table whose entries lie in different pages. */
	raw_table(&ring, GIB + 7 * PAGE - 16, 0, DATA, 24, VIRTQ_DESC_NEXT, 1);
	raw_table(&ring, GIB + 8 * PAGE, 0, DATA + PAGE, 40, VIRTQ_DESC_WRITE, 0);
	offer(table, 32, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.read_bytes, 24);
	ck_assert_uint_eq(c.write_bytes, 40);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB, 24));
	ck_assert_ptr_eq(c.iov[1].base, guest_at(&guest, GIB + 2 * PAGE, 40));
	give_back(&c);
	tear_down();
}
END_TEST

/* A table that is not known yet, or not at all; its address would be that of other memory. */
START_TEST(xlat_of_a_table)
{
	struct virtq_chain c;

	set_up(_i, ENTRIES);
	page[1].iova = GIB + MIB;
	raw_table(&ring, page[1].gpa, 0, DATA, 24, 0, 0);
	raw_table(&ring, page[1].iova, 0, DATA, 48, 0, 0);
	later = 1;
	offer(page[1].iova, 16, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(pop(&c), VIRTQ_EAGAIN);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_uint_eq(c.read_bytes, 24);
	give_back(&c);
	page[1].len = 0;
	virtq_dev_invalidate(&ring.dev, 0, UINT64_MAX);
	offer(page[1].iova, 16, VIRTQ_DESC_INDIRECT);
	broken();
	tear_down();
}
END_TEST

/* Half of a table is before the end of the addresses; what would be its other half is memory. */
START_TEST(table_over_the_end)
{
	set_up(_i, ENTRIES);
	page[0].iova = UINT64_MAX - PAGE + 1;
	page[1].iova = 0;
	raw_table(&ring, page[0].gpa + PAGE - 16, 0, DATA + 2 * PAGE, 24, VIRTQ_DESC_NEXT, 1);
	raw_table(&ring, page[1].gpa, 0, DATA + 2 * PAGE, 24, 0, 0);
	offer(UINT64_MAX - 15, 32, VIRTQ_DESC_INDIRECT);
	broken();
	tear_down();
}
END_TEST

START_TEST(xlat_of_the_ring)
{
	set_up_driver(_i, 1);
	ring_entry[0].len = 0;
	ck_assert_int_eq(start(ENTRIES), VIRTQ_EFAULT);
	ring_entry[0].len = MIB;
	ring_entry[0].perm = 1; /* the device area has to be written */
	ck_assert_int_eq(start(ENTRIES), VIRTQ_EFAULT);
	ring_entry[0].perm = 3;
	later = 1;
	ck_assert_int_eq(start(ENTRIES), VIRTQ_EAGAIN);
	/* Cut in the middle of the descriptors: well if it goes on there, else not. */
	ring_entry[0].len = ring.state.desc + 64;
	ring_entry[1] = (struct virtq_xlat){
		.iova = RING + ring.state.desc + 64, .gpa = MIB / 2, .len = MIB / 2, .perm = 3};
	ck_assert_int_eq(start(ENTRIES), VIRTQ_EFAULT);
	ring_entry[1].gpa = ring.state.desc + 64;
	ck_assert_int_eq(start(ENTRIES), 0);
	one(DATA, GIB, 1);
	tear_down();
}
END_TEST

START_TEST(ring_is_let_go_of)
{
	struct virtq_mem other, *before;
	struct virtq_state s;
	struct virtq_chain c;

	set_up(_i, ENTRIES);
	before = &guest.mem;
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), 0); /* it is where it was */
	one(DATA, GIB, 1);
	offer(DATA, 16, 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), VIRTQ_EBUSY);
	give_back(&c);
	offer(DATA, 16, 0);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), 0);
	/* Whatever is called: nothing of the ring is touched, and nothing is broken. */
	ring.dev.desc = ring.dev.driver = ring.dev.device = NULL;
	ck_assert_int_eq(pop(&c), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_should_interrupt(&ring.dev), 0);
	virtq_dev_disarm(&ring.dev);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, NULL), 0);
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, before), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_state(&ring.dev, &s), 0);
	ck_assert_uint_eq(s.avail & 0x7fff, 2);
	virtq_dev_invalidate(&ring.dev, 0, UINT64_MAX);
	later = 1;
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), VIRTQ_EAGAIN);
	ring_entry[0].perm = 1;
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), VIRTQ_EFAULT);
	virtq_dev_invalidate(&ring.dev, RING, MIB);
	ring_entry[0].perm = 2; /* a packed ring's descriptors are read and written */
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), VIRTQ_EFAULT);
	ring_entry[0].perm = 3;
	/* Another map meanwhile: the old one is not held. */
	ck_assert_int_eq(virtq_mem_init(&other, guest.regions, guest.mem.count), 0);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, &other), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, before), 0);
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), 0);
	ck_assert_int_eq(pop(&c), 1);
	ck_assert_ptr_eq(c.iov[0].base, guest_at(&guest, GIB, 16));
	give_back(&c);
	one(DATA + PAGE, GIB + 2 * PAGE, 1);
	/* A fault stays one. */
	virtq_dev_break(&ring.dev, 0);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), 0);
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, NULL), 1);
	tear_down();
}
END_TEST

START_TEST(older_chains_are_told_apart)
{
	struct virtq_chain c[VIRTQ_DEV_MAPS + 1];
	unsigned n = 0;

	set_up(_i, ENTRIES);
	ck_assert_int_eq(virtq_dev_renew(&ring.dev), 0); /* nothing is out */
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 0);
	for (; n < VIRTQ_DEV_MAPS; n++) {
		offer(DATA, 16, 0);
		ck_assert_int_eq(pop(&c[n]), 1);
		ck_assert_int_eq(virtq_dev_renew(&ring.dev), n + 1 < VIRTQ_DEV_MAPS ? 0 : VIRTQ_EAGAIN);
	}
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 1);
	/* The newest does not count, in whatever order they come back. */
	give_back(&c[1]);
	give_back(&c[0]);
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 1);
	give_back(&c[2]);
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_renew(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 1);
	offer(DATA, 16, 0);
	ck_assert_int_eq(pop(&c[0]), 1);
	give_back(&c[3]);
	ck_assert_int_eq(virtq_dev_older(&ring.dev), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &guest.mem), 1);
	give_back(&c[0]);
	tear_down();
}
END_TEST

static unsigned releases[VIRTQ_DEV_MAPS + 1];
static struct virtq_mem maps[VIRTQ_DEV_MAPS + 1];

static void count_release(struct virtq_mem *mem, void *ctx)
{
	(void)ctx;
	releases[mem - maps]++;
}

START_TEST(maps_are_pinned)
{
	struct virtq_dev_config cfg = {.size = sizeof(cfg), .mem = &maps[0]};
	struct virtq_chain c[VIRTQ_DEV_MAPS];
	struct virtq_iov iov[VIRTQ_DEV_MAPS];
	struct virtq_region moved[4], none[1];
	uint8_t *other = calloc(1, MIB);
	struct virtq_mem bare;

	ck_assert_ptr_nonnull(other);
	set_up_driver(_i, 0);
	memset(releases, 0, sizeof(releases));
	memcpy(moved, guest.regions, sizeof(moved));
	moved[1].host = other;
	for (unsigned i = 0; i <= VIRTQ_DEV_MAPS; i++) {
		ck_assert_int_eq(virtq_mem_init(&maps[i], i == 0 ? guest.regions : moved, 4), 0);
		virtq_mem_set_release(&maps[i], count_release, NULL);
	}
	ck_assert_int_eq(ring_dev_init(&ring, &cfg, 1), 0);
	none[0] = guest.regions[3];
	ck_assert_int_eq(virtq_mem_init(&bare, none, 1), 0);
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &bare), VIRTQ_EFAULT); /* without the ring */
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &bare), 0);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, NULL), 0);
	virtq_mem_unref(&maps[0]); /* only the queue holds it now */
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS; i++) {
		offer(GIB, 16, 0);
		ck_assert_int_eq(pop(&c[i]), 1);
		ck_assert_ptr_eq(c[i].iov[0].base, i == 0 ? guest.regions[1].host : other);
		iov[i] = c[i].iov[0];
		c[i].iov = &iov[i];
		ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &maps[i]), 1);
		ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &maps[i + 1]),
		                 i + 1 < VIRTQ_DEV_MAPS ? 0 : VIRTQ_EAGAIN);
		if (i + 1 < VIRTQ_DEV_MAPS)
			virtq_mem_unref(&maps[i + 1]);
	}
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &maps[VIRTQ_DEV_MAPS]), 0);
	for (unsigned i = 0; i < VIRTQ_DEV_MAPS - 1; i++) {
		ck_assert_uint_eq(releases[i], 0);
		give_back(&c[i]);
		ck_assert_uint_eq(releases[i], 1);
		ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &maps[i]), 0);
	}
	/* The last one is the current map: it stays until another comes. */
	give_back(&c[VIRTQ_DEV_MAPS - 1]);
	ck_assert_int_eq(virtq_dev_uses_mem(&ring.dev, &maps[VIRTQ_DEV_MAPS - 1]), 1);
	ck_assert_uint_eq(releases[VIRTQ_DEV_MAPS - 1], 0);
	ck_assert_int_eq(virtq_dev_set_mem(&ring.dev, &maps[VIRTQ_DEV_MAPS]), 0);
	ck_assert_uint_eq(releases[VIRTQ_DEV_MAPS - 1], 1);
	virtq_mem_unref(&maps[VIRTQ_DEV_MAPS]);
	ck_assert_uint_eq(releases[VIRTQ_DEV_MAPS], 0);
	ring_fini(&ring);
	ck_assert_uint_eq(releases[VIRTQ_DEV_MAPS], 1);
	guest_fini(&guest);
	free(other);
}
END_TEST

START_TEST(notify_data_is_compared)
{
	set_up_driver(_i, 0);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, 1), 0);
	for (uint32_t n = 0; n < 3 * SIZE; n++) {
		uint32_t at = _i ? n % SIZE | (n / SIZE % 2 == 0 ? VIRTQ_STATE_WRAP : 0) : n;

		ck_assert_int_eq(virtq_dev_notify_data(&ring.dev, at << 16), 0);
		ck_assert_int_eq(virtq_dev_notify_data(&ring.dev, at << 16 | 0xffff), 0);
		ck_assert_int_eq(virtq_dev_notify_data(&ring.dev, (at ^ 1) << 16), 1);
		ck_assert_int_eq(virtq_dev_notify_data(&ring.dev, (at ^ VIRTQ_STATE_WRAP) << 16), 1);
		one(GIB, GIB, 0);
	}
	tear_down();
}
END_TEST

START_TEST(faults_have_names)
{
	for (unsigned i = 0; i <= VIRTQ_FAULT_DEVICE; i++) {
		const char *name = virtq_fault_name((uint16_t)i);

		ck_assert_uint_gt(strlen(name), 3);
		ck_assert_str_ne(name, "unknown");
		for (unsigned j = 0; j < i; j++)
			ck_assert_str_ne(name, virtq_fault_name((uint16_t)j));
	}
	ck_assert_str_eq(virtq_fault_name(VIRTQ_FAULT_DEVICE + 1), "unknown");
	ck_assert_str_eq(virtq_fault_name(0xffff), "unknown");
}
END_TEST

TCase *mem_queue_tests(void)
{
	TCase *tc = tcase_create("queue");

	tcase_add_loop_test(tc, xlat_hits_and_misses, 0, 2);
	tcase_add_loop_test(tc, xlat_permission, 0, 2);
	tcase_add_loop_test(tc, invalidate_forgets, 0, 2);
	tcase_add_loop_test(tc, xlat_cuts_at_pages, 0, 2);
	tcase_add_loop_test(tc, xlat_of_a_table, 0, 2);
	tcase_add_loop_test(tc, table_over_the_end, 0, 2);
	tcase_add_loop_test(tc, xlat_of_the_ring, 0, 2);
	tcase_add_loop_test(tc, ring_is_let_go_of, 0, 2);
	tcase_add_loop_test(tc, older_chains_are_told_apart, 0, 2);
	tcase_add_loop_test(tc, maps_are_pinned, 0, 2);
	tcase_add_loop_test(tc, notify_data_is_compared, 0, 2);
	tcase_add_test(tc, faults_have_names);
	return tc;
}
