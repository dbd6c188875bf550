/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: frames like the one before, in other pieces than that. */
#include "check_main.h"
#include "net_switch_rig.h"

enum { BURST = 32 };

static struct rig rig;
static struct test_frame t[BURST];

static void begin(void)
{
	rig_begin(&rig, NULL);
	rig_port(&rig, NULL);
	rig_port(&rig, NULL);
	rig_send(&rig, 1, ~0u, 1, -1);
	rig_clear(&rig);
}

/* The pieces of a frame to where none of them lies before the next one. */
static void scatter(struct test_frame *f)
{
	static uint8_t room[16][SINK_BYTES];
	static unsigned used;

	for (uint32_t i = f->frame.niov; i-- > 0; used++) {
		uint8_t *to = room[used % 16] + 64 * (used % 3);

		ck_assert_uint_le(f->iov[i].len, SINK_BYTES - 128);
		memset(room[used % 16], 0xe7, SINK_BYTES);
		f->iov[i].base = memcpy(to, f->iov[i].base, f->iov[i].len);
	}
}

/* All from and to the same two, in one burst. */
static void send_all(unsigned n)
{
	struct vdev_frame burst[BURST];

	for (unsigned i = 0; i < n; i++)
		burst[i] = t[i].frame;
	ck_assert_uint_eq(rig.port[0]->ops->send(rig.channel[0], burst, n), n);
	ck_assert_uint_eq(rig.sink[1]->n, n);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_eq(rig.sink[1]->frames[i].len, t[i].frame.len);
		net_sink_check(rig.sink[1], i, &t[i], -1);
		test_frame_free(&t[i]);
	}
	rig_end(&rig);
}

START_TEST(of_other_pieces)
{
	static const uint32_t lens[] = {60, 60, 60, 14, 60, 14, 300, 300, 60, 15};
	static const uint32_t first[] = {0, 30, 0, 0, 14, 14, 1, 0, 13, 0};
	unsigned n = sizeof(lens) / sizeof(lens[0]);

	begin();
	for (unsigned i = 0; i < n; i++) {
		test_frame_plain(&t[i], 1, 100, -1, lens[i]);
		if (first[i] != 0 && first[i] < lens[i])
			test_frame_cut(&t[i], first[i], 2);
		if (_i == 1 && t[i].frame.niov > 1)
			scatter(&t[i]);
	}
	send_all(n);
}
END_TEST

/* As many pieces as there is room for, and more frames behind them. */
START_TEST(behind_many_pieces)
{
	begin();
	for (unsigned i = 0; i < BURST; i++) {
		test_frame_plain(&t[i], 1, 100, -1, 1200);
		if (i < 3)
			test_frame_cut(&t[i], 3, 300 + 10 * (unsigned)_i);
	}
	send_all(BURST);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_switch_pieces");
	TCase *tc = tcase_create("net_switch_pieces");

	tcase_add_loop_test(tc, of_other_pieces, 0, 2);
	tcase_add_loop_test(tc, behind_many_pieces, 0, 10);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
