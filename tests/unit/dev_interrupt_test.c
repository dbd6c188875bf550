/* SPDX-License-Identifier: BSD-3-Clause */
/* Used buffer notifications when pushes, publishes and questions are mixed. */
#include "check_main.h"
#include "ring.h"

#define SIZE 8

static struct guest guest;
static struct ring ring;
static uint32_t offered, used; /* in all */

static void set_up(int packed)
{
	struct ring_config cfg = {.size = SIZE, .region = 0};

	cfg.features = features_of(2, VIRTQ_F_VERSION_1, VIRTQ_F_EVENT_IDX);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	guest_init(&guest, NULL, 0);
	ring_init(&ring, &guest, &cfg);
	ck_assert_int_eq(ring_dev_init(&ring, NULL, 1), 0);
	offered = used = 0;
}

static uint16_t place(uint32_t n)
{
	return (uint16_t)(ring.packed ? n % SIZE | (n / SIZE % 2 == 0 ? VIRTQ_STATE_WRAP : 0) : n);
}

/* The driver wants to hear of used buffer n. */
static void want(uint32_t n)
{
	if (ring.packed)
		raw_driver_event(&ring, place(n), VIRTQ_EVENT_DESC);
	else
		raw_used_event(&ring, place(n));
}

static void use_one(void)
{
	uint16_t id = (uint16_t)(offered++ % SIZE);
	uint32_t none = 0;
	struct virtq_chain c;

	if (ring.packed) {
		raw_packed_offer(&ring, 0x8000, 16, id, 0);
	} else {
		raw_desc(&ring, id, 0x8000, 16, 0, 0);
		raw_offer(&ring, id);
	}
	ck_assert_int_eq(virtq_dev_pop(&ring.dev, &c, 1, ring.iov, ring.niov), 1);
	ck_assert_int_eq(virtq_dev_push(&ring.dev, &c, &none, 1), 0);
	used++;
}

static int asked(void)
{
	return virtq_dev_should_interrupt(&ring.dev);
}

/* What was pushed and not published is not part of the answer, but of the next one. */
START_TEST(interrupt_is_for_what_was_published)
{
	set_up(_i);
	for (uint32_t lap = 0; lap < 3 * SIZE; lap++) {
		uint32_t first = used;

		use_one();
		virtq_dev_publish(&ring.dev);
		use_one(); /* the driver can't see it */
		want(first + 1);
		ck_assert_int_eq(asked(), 0);
		virtq_dev_publish(&ring.dev);
		ck_assert_int_eq(asked(), 1);
		ck_assert_int_eq(asked(), 0);
		want(first + 2);
		use_one();
		ck_assert_int_eq(asked(), 0);
		virtq_dev_publish(&ring.dev);
		want(first + 3);
		ck_assert_int_eq(asked(), 0);
	}
	ring_fini(&ring);
	guest_fini(&guest);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("dev_interrupt");
	TCase *tc = tcase_create("interrupt");

	tcase_add_loop_test(tc, interrupt_is_for_what_was_published, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
