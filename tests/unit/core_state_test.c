/* SPDX-License-Identifier: BSD-3-Clause */
/* Saved state of virtio devices: after every step of a driver, in the middle of traffic, and damaged in every way. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"
#include "state_reseal.h"

enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8, SUSPEND = 16 };

/* A second device over the same memory, as a migration's target sees it. */
struct target {
	struct echo echo;
	struct virtq_region region;
	struct virtq_mem mem;
	unsigned interrupts;
	unsigned config_changes;
};

static void interrupt(void *ctx, unsigned q)
{
	(void)q;
	((struct target *)ctx)->interrupts++;
}

static void config_changed(void *ctx)
{
	((struct target *)ctx)->config_changes++;
}

static void target_init(struct target *t, struct fixture *f, uint32_t nqueues)
{
	struct vdev_attachment a = {
		.size = sizeof(a), .interrupt = interrupt, .config_changed = config_changed, .ctx = t};

	memset(t, 0, sizeof(*t));
	ck_assert_int_eq(echo_new(&t->echo, &f->env, nqueues, 64), 0);
	t->region = (struct virtq_region){.gpa = FIXTURE_GPA, .len = FIXTURE_BYTES, .host = f->memory};
	ck_assert_int_eq(virtq_mem_init(&t->mem, &t->region, 1), 0);
	ck_assert_int_eq(vdev_function_set_mem(vdev_function(t->echo.v), &t->mem), 0);
	ck_assert_int_eq(vdev_function_attach(vdev_function(t->echo.v), &a), 0);
}

static void target_fini(struct target *t)
{
	ck_assert_int_eq(vdev_function_reset(vdev_function(t->echo.v)), 0);
	ck_assert_int_eq(vdev_free(t->echo.v), 0);
	ck_assert_uint_eq(t->echo.queue_starts, t->echo.queue_ends);
}

static void save(struct vdev *v, struct state_buffer *b)
{
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(v), state_buffer_init(b)), 0);
}

static int load(struct vdev *v, struct state_buffer *b)
{
	b->pos = 0;
	return vdev_function_load(vdev_function(v), &b->stream);
}

/* What a driver can see of two devices. */
static void expect_same(struct vdev *a, struct vdev *b)
{
	struct virtq_features fa;
	struct virtq_features fb;
	uint8_t ca[ECHO_CONFIG];
	uint8_t cb[ECHO_CONFIG];

	ck_assert_uint_eq(vdev_status(a), vdev_status(b));
	vdev_accepted(a, &fa);
	vdev_accepted(b, &fb);
	ck_assert_mem_eq(&fa, &fb, sizeof(fa));
	for (unsigned bit = 0; bit < 128; bit++)
		ck_assert_int_eq(vdev_has(a, bit), vdev_has(b, bit));
	vdev_config_read(a, 0, ca, sizeof(ca));
	vdev_config_read(b, 0, cb, sizeof(cb));
	ck_assert_mem_eq(ca, cb, sizeof(ca));
	ck_assert_uint_eq(vdev_config_generation(a), vdev_config_generation(b));
	for (unsigned q = 0; q < vdev_queue_count(a); q++) {
		struct virtq_state sa = {0};
		struct virtq_state sb = {0};

		ck_assert_int_eq(vdev_queue_started(a, q), vdev_queue_started(b, q));
		ck_assert_int_eq(vdev_queue_broken(a, q), vdev_queue_broken(b, q));
		if (!vdev_queue_started(a, q) || vdev_queue_broken(a, q))
			continue;
		ck_assert_int_eq(vdev_queue_state(a, q, &sa), 0);
		ck_assert_int_eq(vdev_queue_state(b, q, &sb), 0);
		ck_assert_mem_eq(&sa, &sb, sizeof(sa));
	}
}

/* Save, load into a fresh device, compare, throw it away; the first goes on. */
static void round_trip(struct fixture *f)
{
	static struct state_buffer b;
	static struct state_buffer again;
	struct target t;

	target_init(&t, f, vdev_queue_count(f->v));
	save(f->v, &b);
	ck_assert_int_eq(load(t.echo.v, &b), 0);
	expect_same(f->v, t.echo.v);
	ck_assert_uint_eq(t.echo.state, f->echo.state);
	/* What was loaded saves as the same bytes. */
	ck_assert_int_eq(vdev_function_save(vdev_function(t.echo.v), state_buffer_init(&again)), 0);
	ck_assert_uint_eq(again.len, b.len);
	ck_assert_mem_eq(again.bytes, b.bytes, b.len);
	/* And once more over the loaded state. */
	ck_assert_int_eq(load(t.echo.v, &b), 0);
	expect_same(f->v, t.echo.v);
	target_fini(&t);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f->v)), 0);
}

/* A queue that was stopped before is, after a load, what the source says: never started. */
START_TEST(load_forgets_stopped_queues)
{
	static struct state_buffer b;
	struct virtq_state state;
	struct target fresh;
	struct fixture f;

	fixture_init(&f, _i, 2);
	target_init(&fresh, &f, 2);
	save(fresh.echo.v, &b);
	fixture_start(&f);
	ck_assert_int_eq(vdev_queue_stop(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_state(f.v, 0, &state), 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(f.v)), 0);
	ck_assert_int_eq(load(f.v, &b), 0);
	for (unsigned q = 0; q < 2; q++)
		ck_assert_int_eq(vdev_queue_state(f.v, q, &state), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	target_fini(&fresh);
	fixture_fini(&f);
}
END_TEST

START_TEST(every_step_of_a_driver)
{
	struct vdev_queue_setup setup[2] = {0};
	struct virtq_features features;
	uint8_t status = 0;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f); /* for the rings that it lays out */
	for (unsigned q = 0; q < 2; q++)
		virtq_drv_state(vdev_loopback_drv(f.l, q), &setup[q].state);
	vdev_loopback_features(f.l, &features);
	ck_assert_int_eq(vdev_set_status(f.v, 0), 0);
	round_trip(&f);
	for (uint8_t bit = ACK; bit <= DRIVER; bit = (uint8_t)(bit * 2)) {
		status |= bit;
		ck_assert_int_eq(vdev_set_status(f.v, status), 0);
		round_trip(&f);
	}
	ck_assert_int_eq(vdev_accept(f.v, &features), 0);
	round_trip(&f);
	status |= FEATURES;
	ck_assert_int_eq(vdev_set_status(f.v, status), 0);
	round_trip(&f);
	for (unsigned q = 0; q < 2; q++) {
		ck_assert_int_eq(vdev_queue_start(f.v, q, &setup[q]), 0);
		round_trip(&f);
		ck_assert_int_eq(vdev_queue_enable(f.v, q, 0), 0);
		round_trip(&f);
		ck_assert_int_eq(vdev_queue_enable(f.v, q, 1), 0);
	}
	status |= OK;
	ck_assert_int_eq(vdev_set_status(f.v, status), 0);
	round_trip(&f);
	vdev_config_update(f.v, 0, "abc", 3);
	vdev_config_write(f.v, 8, "wxyz", 4);
	round_trip(&f);
	fixture_echo(&f, 1);
	round_trip(&f);
	ck_assert_int_eq(vdev_set_status(f.v, status | SUSPEND), 0);
	vdev_config_update(f.v, 0, "def", 3);
	round_trip(&f);
	ck_assert_uint_eq(vdev_status(f.v), (status & ~(unsigned)OK) | SUSPEND);
	ck_assert_int_eq(vdev_set_status(f.v, status), 0);
	round_trip(&f);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	round_trip(&f);
	f.echo.fault = 1;
	fixture_add(&f, 1, 0, 1, 8, 8);
	vdev_loopback_kick(f.l, 1);
	ck_assert_int_eq(vdev_queue_broken(f.v, 1), 1);
	round_trip(&f);
	fixture_fini(&f);
}
END_TEST

/* The driver is served by one device, then by another that was loaded from the first, and so on. */
START_TEST(traffic_goes_on_elsewhere)
{
	static struct state_buffer b;
	struct target t[2];
	struct vdev *serving;
	unsigned next = 0;
	struct fixture f;

	fixture_init(&f, _i % LAYOUTS, 1);
	if (_i >= LAYOUTS)
		virtq_features_set(&f.cfg.wanted, VIRTQ_F_EVENT_IDX);
	vdev_loopback_free(f.l);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f);
	serving = f.v;
	for (unsigned round = 0; round < 50; round++) {
		struct target *to = &t[next];
		struct virtq_drv *drv = vdev_loopback_drv(f.l, 0);
		unsigned n = 1 + round % 4;

		/* Some are served before, some wait in the ring. */
		for (unsigned i = 0; i < n; i++)
			fixture_add(&f, 0, i, (uint8_t)(round + i), 8, 8);
		virtq_drv_publish(drv);
		vdev_queue_kick(serving, 0);
		save(serving, &b);
		for (unsigned i = 0; i < n; i++)
			fixture_add(&f, 0, 8 + i, (uint8_t)(100 + round + i), 8, 8);
		virtq_drv_publish(drv); /* its notification is lost with the first device */
		target_init(to, &f, 1);
		ck_assert_int_eq(load(to->echo.v, &b), 0);
		ck_assert_uint_eq(to->echo.started, 0);
		ck_assert_uint_eq(to->echo.offered, 0);
		ck_assert_int_eq(vdev_function_resume(vdev_function(to->echo.v)), 0);
		ck_assert_uint_eq(to->echo.started, 1);
		ck_assert_uint_eq(fixture_take(&f, 0), 2 * n);
		for (unsigned i = 0; i < n; i++) {
			ck_assert_uint_eq(fixture_in(&f, i)[7], (uint8_t)(round + i));
			ck_assert_uint_eq(fixture_in(&f, 8 + i)[7], (uint8_t)(100 + round + i));
		}
		/* The old one ends; it is not resumed. */
		if (serving != f.v)
			target_fini(&t[!next]);
		serving = to->echo.v;
		next = !next;
	}
	target_fini(&t[!next]);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(a_suspended_device_resumes_elsewhere)
{
	static struct state_buffer b;
	struct target t;
	uint8_t buf[3];
	uint8_t live;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	fixture_start(&f);
	live = vdev_status(f.v);
	ck_assert_int_eq(vdev_set_status(f.v, live | SUSPEND), 0);
	vdev_config_update(f.v, 0, "new", 3);
	save(f.v, &b);
	target_init(&t, &f, 1);
	ck_assert_int_eq(load(t.echo.v, &b), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(t.echo.v)), 0);
	ck_assert_uint_eq(t.config_changes, 0);
	vdev_config_read(t.echo.v, 0, buf, 3);
	ck_assert_uint_eq(buf[0], 1); /* still what it was at the suspend */
	ck_assert_int_eq(vdev_set_status(t.echo.v, live), 0);
	ck_assert_uint_eq(t.config_changes, 1);
	vdev_config_read(t.echo.v, 0, buf, 3);
	ck_assert_mem_eq(buf, "new", 3);
	target_fini(&t);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(damage_leaves_the_target_alone)
{
	static struct state_buffer b;
	static struct state_buffer before;
	static struct state_buffer after;
	struct target t;
	size_t len;
	struct fixture f;

	fixture_init(&f, _i, 2);
	fixture_start(&f);
	fixture_echo(&f, 0);
	save(f.v, &b);
	target_init(&t, &f, 2);
	ck_assert_int_eq(vdev_set_status(t.echo.v, ACK), 0);
	t.echo.state = 4711;
	save(t.echo.v, &before);
	len = b.len;
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit += 3) {
			b.bytes[i] ^= (uint8_t)(1 << bit);
			ck_assert_int_lt(load(t.echo.v, &b), 0);
			b.bytes[i] ^= (uint8_t)(1 << bit);
		}
	for (b.len = 0; b.len < len; b.len++)
		ck_assert_int_lt(load(t.echo.v, &b), 0);
	for (unsigned fail = 1; fail < 3; fail++) {
		f.alloc_fail = fail;
		ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_ENOMEM);
	}
	f.alloc_fail = 0;
	ck_assert_int_eq(vdev_function_save(vdev_function(t.echo.v), state_buffer_init(&after)), 0);
	ck_assert_uint_eq(after.len, before.len);
	ck_assert_mem_eq(after.bytes, before.bytes, before.len);
	ck_assert_uint_eq(t.echo.queue_starts, 0);
	ck_assert_int_eq(load(t.echo.v, &b), 0);
	target_fini(&t);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

static void reseal(struct state_buffer *b)
{
	state_reseal(b->bytes, b->len);
}

/* Where a section of the device's own lies. */
static uint8_t *section(struct state_buffer *b, unsigned id)
{
	uint8_t *at = b->bytes + 48 + SECTION_HEADER_BYTES;

	while (at < b->bytes + b->len && at[0] != id)
		at += 16 + ((uint32_t)at[8] | (uint32_t)at[9] << 8);
	ck_assert(at < b->bytes + b->len);
	return at;
}

/* Each contradiction, well-formed and with right checksums. */
START_TEST(contradictions_are_refused)
{
	/* section, byte within its body, new value */
	static const struct {
		unsigned id, at;
		int value;
		const char *why;
	} cases[] = {
		{1, 32 + 16 + 3, 0x80, "feature that is not offered"},
		{1, 32 + 16 + 4, 0x00, "no VERSION_1"},
		{1, 64 + 4, 9, "queue beyond the last"},
		{1, 64 + 4, 1, "the same queue twice"},
		{1, 64 + 16, 0, "size 0"},
		{1, 64 + 17, 1, "size above the largest"},
		{1, 64 + 20, 0, "queue that is not enabled"},
		{1, 64 + 24, 1, "ring that is not aligned"},
		{1, 64 + 27, 0, "ring outside of memory"},
		{1, 160 + 16, 0x04, "DRIVER_OK without FEATURES_OK"},
		{1, 160 + 16, 0x1f, "suspended and live"},
		{1, 160 + 16, 0x1b, "suspended, but the configuration is not"},
		{1, 160 + 16, 0x20, "unknown status bit"},
		{1, 160 + 16, 0x03, "queues without features"},
		{1, 160 + 12, 2, "part with another length"},
		{1, 160 + 1, 9, "part that is not known"},
		{1, 3, 1, "reserved byte"},
		{2, 0, 9, "positions of a queue beyond the last"},
		{2, 0, 1, "positions of one queue twice"},
		{2, 2, 3, "broken queue on a healthy device"},
		{2, 3, 1, "unknown flag of a queue"},
		{2, 10, 0x80, "unknown flag of a ring"},
		{2, 12, 1, "reserved word"},
		{2, 16, 1, "log address without its flag"},
		{3, 0, 0x7f, "another device type"},
		{3, 4, 3, "another number of queues"},
		{3, 8, 15, "another length of the configuration"},
		{3, 16, 1, "configuration frozen, but not suspended"},
		{3, 16, 0x80, "unknown flag of the configuration"},
		{4, 1, 0x0b, "model's state that it refuses"},
	};
	static struct state_buffer good;
	static struct state_buffer b;
	struct target t;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	f.echo.state = 0x1bad;
	fixture_start(&f);
	save(f.v, &good);
	target_init(&t, &f, 2);
	reseal(&good);
	ck_assert_int_eq(load(t.echo.v, (b = good, b.stream.ctx = &b, &b)), 0);
	ck_assert_int_eq(vdev_function_reset(vdev_function(t.echo.v)), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *at;

		b = good;
		b.stream.ctx = &b;
		at = section(&b, cases[i].id) + 16 + cases[i].at;
		ck_assert_msg(*at != cases[i].value, "%s: nothing changes", cases[i].why);
		*at = (uint8_t)cases[i].value;
		reseal(&b);
		ck_assert_msg(load(t.echo.v, &b) < 0, "%s", cases[i].why);
		ck_assert_uint_eq(vdev_status(t.echo.v), 0);
		ck_assert_int_eq(vdev_queue_started(t.echo.v, 0), 0);
	}
	target_fini(&t);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

/* Sections: unknown ones by their flag, missing ones, double ones, newer ones. */
START_TEST(sections_by_the_rules)
{
	static struct state_buffer good;
	static struct state_buffer b;
	struct target t;
	uint8_t *at;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 1);
	fixture_start(&f);
	save(f.v, &good);
	target_init(&t, &f, 1);
	/* An optional one that nobody knows. */
	b = good;
	b.stream.ctx = &b;
	memset(b.bytes + b.len, 0, 20);
	b.bytes[b.len] = 0x99;
	b.bytes[b.len + 8] = 4;
	b.len += 20;
	reseal(&b);
	ck_assert_int_eq(load(t.echo.v, &b), 0);
	ck_assert_int_eq(vdev_function_reset(vdev_function(t.echo.v)), 0);
	/* The same, required. */
	b.bytes[b.len - 18] = 1;
	reseal(&b);
	ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_ENOTSUP);
	/* A known one twice. */
	b.bytes[b.len - 20] = 2;
	reseal(&b);
	ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_EBADMSG);
	for (unsigned id = 1; id <= 4; id++) {
		/* Missing: turned into an optional one that is not known. */
		b = good;
		b.stream.ctx = &b;
		at = section(&b, id);
		at[0] = 0x99;
		at[2] = 0;
		reseal(&b);
		ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_EBADMSG);
		/* Newer. */
		b = good;
		b.stream.ctx = &b;
		section(&b, id)[4] = 99;
		reseal(&b);
		ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_ENOTSUP);
	}
	/* A newer format, another device, too large. */
	b = good;
	b.stream.ctx = &b;
	b.bytes[8] = 2;
	reseal(&b);
	ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_ENOTSUP);
	b = good;
	b.stream.ctx = &b;
	b.bytes[16] = 'X';
	reseal(&b);
	ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_EBADMSG);
	b = good;
	b.stream.ctx = &b;
	b.bytes[35] = 0x7f;
	ck_assert_int_eq(load(t.echo.v, &b), VIRTQ_EBADMSG);
	target_fini(&t);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(loading_needs_a_device_at_rest)
{
	static struct state_buffer b;
	struct fixture f;

	fixture_init(&f, LAYOUT_PACKED, 1);
	fixture_start(&f);
	ck_assert_int_eq(vdev_function_save(vdev_function(f.v), state_buffer_init(&b)), VIRTQ_EBUSY);
	save(f.v, &b);
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	ck_assert_int_eq(load(f.v, &b), VIRTQ_EBUSY);
	fixture_echo(&f, 0);
	/* A queue that can't be started on the target is there, broken; the guest can reset. */
	ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
	f.echo.start_error = VIRTQ_EIO;
	ck_assert_int_eq(load(f.v, &b), 0);
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
	ck_assert_uint_ne(vdev_status(f.v) & VIRTQ_STATUS_NEEDS_RESET, 0);
	f.echo.start_error = 0;
	ck_assert_int_eq(vdev_function_resume(vdev_function(f.v)), 0);
	ck_assert_int_eq(vdev_loopback_start(f.l), 0);
	fixture_echo(&f, 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(checksums)
{
	ck_assert_uint_eq(vdev_crc32(0, "123456789", 9), 0xcbf43926);
	ck_assert_uint_eq(vdev_crc32(vdev_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
	ck_assert_uint_eq(vdev_crc32(0, "", 0), 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("core_state");
	TCase *tc = tcase_create("core_state");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, load_forgets_stopped_queues, 0, LAYOUTS);
	tcase_add_loop_test(tc, every_step_of_a_driver, 0, LAYOUTS);
	tcase_add_loop_test(tc, traffic_goes_on_elsewhere, 0, 2 * LAYOUTS);
	tcase_add_test(tc, a_suspended_device_resumes_elsewhere);
	tcase_add_loop_test(tc, damage_leaves_the_target_alone, 0, LAYOUTS);
	tcase_add_test(tc, contradictions_are_refused);
	tcase_add_test(tc, sections_by_the_rules);
	tcase_add_test(tc, loading_needs_a_device_at_rest);
	tcase_add_test(tc, checksums);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
