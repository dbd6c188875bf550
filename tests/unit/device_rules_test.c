/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side's rules about what is out, what was published, and when the ring may be let go. On both layouts. */
#include <string.h>

#include "check_main.h"
#include "ring.h"

enum { SIZE = 8, BUF = 0x8000, BURST = 4 };

#define GIB UINT64_C(0x40000000)
#define MIB UINT64_C(0x100000)

static struct guest guest;
static struct ring ring;
static struct virtq_chain chains[BURST];
static const uint32_t none[BURST];

static void set_up(int packed, unsigned feature)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(3, VIRTQ_F_VERSION_1, VIRTQ_F_INDIRECT_DESC, feature);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, BURST), 0);
}

static void tear_down(void)
{
	ring_fini(&ring);
	guest_fini(&guest);
}

static int pop(uint32_t max)
{
	return virtq_dev_pop(&ring.dev, chains, max, ring.iov, ring.niov);
}

static void pop_fresh(uint32_t n)
{
	for (uint16_t id = 0; id < n; id++)
		raw_offer_one(&ring, id, BUF, 16, 0);
	ck_assert_int_eq(pop(n), (int)n);
}

static void refused(const struct virtq_chain *c, uint32_t n)
{
	ck_assert_int_eq(virtq_dev_push(&ring.dev, c, none, n), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_release(&ring.dev, c, n), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, c, n), VIRTQ_EINVAL);
}

/* With IN_ORDER a chain that was pushed waits for an older one; it is not its owner's any more. */
START_TEST(a_chain_that_waits_for_its_turn)
{
	set_up(_i, VIRTQ_F_IN_ORDER);
	pop_fresh(2);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chains[1], none, 1), 0);
	refused(&chains[1], 1);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &chains[0], none, 1), 0);
	virtq_dev_publish(&ring.dev);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 0);
	tear_down();
}
END_TEST

/* What is unpopped are the last ones, in their order, each once. */
START_TEST(only_the_last_ones_are_unpopped)
{
	struct virtq_chain c[2];

	set_up(_i, VIRTQ_F_VERSION_1);
	pop_fresh(3);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains, 2), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains, 0), 0);
	c[0] = chains[2];
	c[1] = chains[1];
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, c, 2), VIRTQ_EINVAL);
	/* As the last ones by their count, but one is not out, and one is twice. */
	c[0] = chains[1];
	c[1] = chains[2];
	c[1].id = 5;
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, c, 2), VIRTQ_EINVAL);
	c[1].id = chains[1].id;
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, c, 2), VIRTQ_EINVAL);
	c[1].id = 0xffff;
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, c, 2), VIRTQ_EINVAL);
	ck_assert_uint_eq(virtq_dev_inflight(&ring.dev), 3);
	/* None of that changed anything. */
	ck_assert_int_eq(virtq_dev_unpop(&ring.dev, chains, 3), 0);
	ck_assert_int_eq(pop(BURST), 3);
	ck_assert_uint_eq(chains[0].id, 0);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 3), 0);
	tear_down();
}
END_TEST

/* A queue whose chains may have MANY pieces; whoever pops has room for one of them. */
enum { MANY = 64, TABLE = 0x4000 };

static uint32_t set_up_many(int packed)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};
	struct virtq_dev_config dev = {.max_chain = MANY};

	set_up(packed, VIRTQ_F_VERSION_1);
	cfg.features = ring.features;
	ring_fini(&ring);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, &dev, 2), 0);
	ck_assert_uint_lt(virtq_dev_max_iov(&ring.dev), 2 * MANY);
	return virtq_dev_max_iov(&ring.dev);
}

/* A table of MANY buffers, all the same. */
static void offer_many(uint16_t id, uint64_t addr, uint32_t len)
{
	for (uint32_t i = 0; i < MANY; i++)
		raw_table(&ring, TABLE, i, addr, len, i < MANY - 1 ? VIRTQ_DESC_NEXT : 0,
		          (uint16_t)(i + 1));
	raw_offer_one(&ring, id, TABLE, MANY * VIRTQ_DESC_BYTES, VIRTQ_DESC_INDIRECT);
}

/* A chain of more pieces than whoever pops was told to have room for, and the first one at that. */
START_TEST(more_pieces_than_there_is_room)
{
	struct virtq_fault fault = {0};
	uint32_t most = set_up_many(_i);

	offer_many(0, GIB + MIB - 8, 16); /* each of them over the border of two regions */
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, chains, 1, ring.iov, most), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_fault(&ring.dev, &fault), 1);
	ck_assert_uint_eq(fault.reason, VIRTQ_FAULT_TOO_MANY);
	tear_down();
}
END_TEST

/* Two that have as many as they may: the second comes with the next burst. */
START_TEST(pieces_for_one_chain)
{
	uint32_t most = set_up_many(_i);

	ring.iov[most].base = &guest; /* nobody writes here */
	for (uint16_t id = 0; id < 2; id++)
		offer_many(id, BUF, 16);
	for (uint16_t id = 0; id < 2; id++) {
		ck_assert_int_eq(virtq_dev_pop(&ring.dev, &chains[id], 2, ring.iov, most), 1);
		ck_assert_uint_eq(chains[id].id, id);
		ck_assert_uint_eq(chains[id].nread, MANY);
		ck_assert_ptr_eq(ring.iov[most].base, &guest);
	}
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 2), 0);
	tear_down();
}
END_TEST

/* A ring that has something to be published is not let go; one that is broken has nothing. */
START_TEST(unmap_waits_for_publish)
{
	set_up(_i, VIRTQ_F_VERSION_1);
	pop_fresh(2);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 2), 0);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), VIRTQ_EBUSY);
	virtq_dev_publish(&ring.dev);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), 0);
	ck_assert_int_eq(virtq_dev_remap(&ring.dev), 0);
	pop_fresh(2);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 2), 0);
	virtq_dev_break(&ring.dev, 0);
	ck_assert_int_eq(virtq_dev_unmap(&ring.dev, NULL), 0);
	tear_down();
}
END_TEST

/* What an index once showed is there, whatever the index says since. */
START_TEST(what_was_seen_stays)
{
	set_up(0, VIRTQ_F_VERSION_1);
	raw_offer_one(&ring, 0, BUF, 16, 0);
	raw_offer_one(&ring, 1, BUF, 16, 0);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 1), 0);
	raw_avail_idx(&ring, 99);
	ck_assert_int_eq(virtq_dev_arm(&ring.dev), 1);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, chains, none, 1), 0);
	ck_assert_int_eq(pop(1), VIRTQ_EBROKEN);
	tear_down();
}
END_TEST

/* A state that leaves the used position of a split ring to what stands there: the position it begins at, or an error. */
static int begin(uint16_t avail, uint16_t flags)
{
	struct ring_config cfg = {
		.size = SIZE, .region = 0, .features = features_of(1, VIRTQ_F_VERSION_1)};
	struct virtq_dev_config dev = {.size = sizeof(dev)};
	struct virtq_state state;
	int rc;

	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	raw_used_idx_set(&ring, 100);
	dev.state = ring.state;
	dev.state.avail = avail;
	dev.state.flags |= flags;
	rc = ring_dev_init(&ring, &dev, BURST);
	if (rc == 0) {
		ck_assert_int_eq(virtq_dev_state(&ring.dev, &state), 0);
		ck_assert_uint_eq(state.used, 100);
		rc = state.avail;
	}
	tear_down();
	return rc;
}

START_TEST(positions_from_the_ring)
{
	const uint16_t used = VIRTQ_STATE_USED_IN_RING, both = used | VIRTQ_STATE_AVAIL_IS_USED;

	ck_assert_int_eq(begin(100, used), 100);
	ck_assert_int_eq(begin(100 + SIZE, used), 100 + SIZE);
	ck_assert_int_eq(begin(100 + SIZE + 1, used), VIRTQ_EBADMSG);
	ck_assert_int_eq(begin(99, used), VIRTQ_EBADMSG);
	ck_assert_int_eq(begin(99, both), 100);
	ck_assert_int_eq(begin(102, both), 100);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("device_rules");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, a_chain_that_waits_for_its_turn, 0, 2);
	tcase_add_loop_test(tc, only_the_last_ones_are_unpopped, 0, 2);
	tcase_add_loop_test(tc, more_pieces_than_there_is_room, 0, 2);
	tcase_add_loop_test(tc, pieces_for_one_chain, 0, 2);
	tcase_add_loop_test(tc, unmap_waits_for_publish, 0, 2);
	tcase_add_test(tc, what_was_seen_stays);
	tcase_add_test(tc, positions_from_the_ring);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
