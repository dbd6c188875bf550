/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saved states did to their readers. Checksums are right throughout: only the meaning is wrong. Each test is
 * named after its row in rows.tsv; after each, the device that refused still works.
 */
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"
#include "state_buffer.h"
#include "state_reseal.h"

enum {
	PARTS = 1,
	RINGS = 2,
	CONFIG = 3,
	MODEL = 4,
	VQ_CFG = 64 /* first VQ_CFG part in PARTS */,
	STATUS = 160
};

struct evil {
	struct fixture f;
	struct state_buffer good; /* of a live device with two queues */
	struct state_buffer b;    /* to be spoiled */
};

static struct evil e;

static void fresh_copy(void)
{
	e.b = e.good;
	e.b.stream.ctx = &e.b;
	e.b.pos = 0;
}

static void begin(void)
{
	memset(&e, 0, sizeof(e));
	fixture_init(&e.f, LAYOUT_SPLIT, 2);
	fixture_start(&e.f);
	fixture_echo(&e.f, 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(e.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.good)), 0);
	fresh_copy();
}

/* The body of a section. */
static uint8_t *body(unsigned id)
{
	uint8_t *at = e.b.bytes + STATE_HEADER_BYTES + SECTION_HEADER_BYTES;

	while (at < e.b.bytes + e.b.len && at[0] != id)
		at += 16 + ((uint32_t)at[8] | (uint32_t)at[9] << 8);
	ck_assert(at < e.b.bytes + e.b.len);
	return at + SECTION_HEADER_BYTES;
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

/* Put n bytes at the end of a section, moving what follows. */
static uint8_t *grow(unsigned id, uint32_t n)
{
	uint8_t *at = body(id);
	uint32_t len = (uint32_t)at[-8] | (uint32_t)at[-7] << 8;

	ck_assert_uint_le(e.b.len + n, sizeof(e.b.bytes));
	memmove(at + len + n, at + len, (size_t)(e.b.bytes + e.b.len - (at + len)));
	memset(at + len, 0, n);
	put(at - 8, len + n, 4);
	e.b.len += n;
	return at + len;
}

static int load(void)
{
	state_reseal(e.b.bytes, e.b.len);
	e.b.pos = 0;
	return vdev_function_load(vdev_function(e.f.v), &e.b.stream);
}

static void refused(void)
{
	ck_assert_int_lt(load(), 0);
	fresh_copy();
}

static void end(void)
{
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	fixture_echo(&e.f, 0);
	fixture_echo(&e.f, 1);
	fixture_fini(&e.f);
}

/* More queues than there are. */
START_TEST(CVE_2013_4151)
{
	begin();
	for (uint32_t n = 3; n != 0; n *= 3) {
		put(body(CONFIG) + 4, n, 4);
		refused();
		if (n > 0x40000000)
			break;
	}
	put(body(CONFIG) + 4, UINT32_MAX, 4);
	refused();
	/* A third queue's ring. */
	put(grow(RINGS, 24), 2, 2);
	refused();
	end();
}
END_TEST

/* Queue indices beyond the queues. */
START_TEST(CVE_2013_6399)
{
	static const uint16_t indices[] = {2, 255, 256, 0x8000, 0xffff};

	begin();
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		put(body(PARTS) + VQ_CFG + 4, indices[i], 2);
		refused();
		put(body(RINGS), indices[i], 2);
		refused();
		put(body(PARTS) + VQ_CFG + 6, indices[i], 6); /* the rest of the selector */
		refused();
	}
	end();
}
END_TEST

/* Requests in flight: there is no place for them in a state; what is appended is refused. */
START_TEST(CVE_2013_4535)
{
	begin();
	for (uint32_t n = 1; n < 64; n++) {
		memset(grow(RINGS, n), 0xff, n);
		refused();
		memset(grow(MODEL, n), 0xff, n);
		refused();
	}
	end();
}
END_TEST

/* Lengths that do not go with what they measure. */
START_TEST(CVE_2013_4149)
{
	begin();
	for (uint32_t len = 0; len < 300; len++) {
		if (len == 32)
			continue;
		put(body(PARTS) + VQ_CFG + 12, len, 4);
		refused();
	}
	put(body(PARTS) + VQ_CFG + 12, UINT32_MAX, 4);
	refused();
	end();
}
END_TEST

/* A configuration of another length. */
START_TEST(CVE_2014_0182)
{
	static const uint32_t lengths[] = {0, 1, 15, 17, 32, 4096, 0x10000, 0x7fffffff, UINT32_MAX};

	begin();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		put(body(CONFIG) + 8, lengths[i], 4);
		refused();
	}
	grow(CONFIG, 2);
	put(body(CONFIG) + 8, 17, 4);
	refused();
	grow(CONFIG, 1);
	refused();
	end();
}
END_TEST

/* The same thing twice. */
START_TEST(QEMU_b0ee78ff31)
{
	uint8_t copy[48];

	begin();
	put(body(PARTS) + VQ_CFG + 48 + 4, 0, 2); /* both VQ_CFG for queue 0 */
	refused();
	memcpy(copy, body(PARTS) + VQ_CFG, 48); /* and a second one for it */
	memcpy(grow(PARTS, 48), copy, 48);
	refused();
	put(body(RINGS) + 24, 0, 2);
	refused();
	memcpy(copy, body(PARTS) + 32, 32); /* DRV_FEATURES again */
	memcpy(grow(PARTS, 32), copy, 32);
	refused();
	memcpy(copy, body(PARTS) + STATUS, 17);
	memcpy(grow(PARTS, 17), copy, 17);
	refused();
	end();
}
END_TEST

/* A guest that spoils its ring before the save must not make the state impossible to restore. */
START_TEST(QEMU_d68cdae30e)
{
	struct vdev_queue_setup setup = {0};

	begin();
	virtq_drv_state(vdev_loopback_drv(e.f.l, 0), &setup.state);
	e.f.memory[setup.state.driver - FIXTURE_GPA + 3] = 0x77;
	ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.b)), 0);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(vdev_queue_broken(e.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	ck_assert_int_eq(vdev_queue_broken(e.f.v, 0), 1); /* as it would have been without the move */
	fixture_echo(&e.f, 1);
	/* And broken before the save: restored broken. */
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(e.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.b)), 0);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(vdev_queue_broken(e.f.v, 0), 1);
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	fixture_echo(&e.f, 1);
	ck_assert_int_eq(vdev_loopback_start(e.f.l), 0);
	end();
}
END_TEST

/* Status, features, queues and configuration that contradict each other. */
START_TEST(FC_14108ca14)
{
	begin();
	for (unsigned s = 0; s < 256; s++) {
		if ((s & 8) != 0 && (s & (16 | 32)) == 0)
			continue; /* possible with two queues that are set up */
		body(PARTS)[STATUS + 16] = (uint8_t)s;
		refused();
	}
	put(body(CONFIG) + 16, 1, 4);
	refused();
	put(body(PARTS) + 32 + 16, 0, 8); /* features without VERSION_1 */
	refused();
	put(body(PARTS) + 32 + 16, UINT64_MAX, 8);
	refused();
	put(body(PARTS) + 32 + 24, UINT64_MAX, 8);
	refused();
	end();
}
END_TEST

/* Rings that a driver could not have set up either. */
START_TEST(FC_e3b727f27)
{
	static const uint64_t addresses[] = {0,
	                                     1,
	                                     0x1000,
	                                     FIXTURE_GPA - 16,
	                                     FIXTURE_GPA + FIXTURE_BYTES - 16,
	                                     FIXTURE_GPA + FIXTURE_BYTES,
	                                     UINT64_MAX - 15,
	                                     UINT64_MAX};
	static const uint16_t sizes[] = {0, 3, 17, 128, 32768, 65535};

	begin();
	for (unsigned part = 0; part < 3; part++)
		for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
			put(body(PARTS) + VQ_CFG + 24 + 8 * part, addresses[i], 8);
			refused();
		}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put(body(PARTS) + VQ_CFG + 16, sizes[i], 2);
		refused();
	}
	put(body(RINGS) + 4, 0x4000, 2); /* available and used further apart than the ring is long */
	refused();
	put(body(RINGS) + 10, 0xfff0, 2);
	refused();
	end();
}
END_TEST

/* A queue that was never set up has no ring in the state, and none is looked for. */
START_TEST(CH_8702)
{
	begin();
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	ck_assert_int_eq(vdev_queue_reset(e.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(e.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.b)), 0);
	ck_assert_uint_lt(e.b.len, e.good.len);
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(vdev_queue_started(e.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	vdev_queue_kick(e.f.v, 0);
	fixture_echo(&e.f, 1);
	ck_assert_int_eq(vdev_loopback_start(e.f.l), 0);
	end();
}
END_TEST

/* Headers that say more or less than there is. */
START_TEST(CVE_2023_50711)
{
	begin();
	for (uint32_t len = 0; len < 700; len++) {
		fresh_copy();
		if (len == e.good.len - STATE_HEADER_BYTES)
			continue;
		put(e.b.bytes + 32, len, 4);
		put(e.b.bytes + 44, vdev_crc32(0, e.b.bytes, 44), 4);
		e.b.pos = 0;
		ck_assert_int_lt(vdev_function_load(vdev_function(e.f.v), &e.b.stream), 0);
	}
	for (unsigned id = PARTS; id <= MODEL; id++) {
		static const uint32_t lengths[] = {0, 1, 5, 0x7fffffff, UINT32_MAX, UINT32_MAX - 15};

		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			fresh_copy();
			put(body(id) - 8, lengths[i], 4);
			e.b.pos = 0;
			ck_assert_int_lt(load(), 0);
		}
	}
	fresh_copy();
	end();
}
END_TEST

/* A buffer was made available while the device was away, and its notification went nowhere. */
START_TEST(FC_5958)
{
	begin();
	ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
	vdev_loopback_free(e.f.l);
	virtq_features_set(&e.f.cfg.wanted, VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(vdev_loopback_new(&e.f.l, &e.f.env, e.f.v, &e.f.cfg), 0);
	fixture_start(&e.f);
	for (int i = 0; i < 20; i++) {
		fixture_echo(&e.f, 0);
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(e.f.v)), 0);
		ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.b)), 0);
		fixture_add(&e.f, 0, 0, 1, 8, 8);
		virtq_drv_publish(vdev_loopback_drv(e.f.l, 0));
		(void)!virtq_drv_should_kick(vdev_loopback_drv(e.f.l, 0)); /* and nobody hears it */
		ck_assert_int_eq(load(), 0);
		ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
		ck_assert_uint_eq(fixture_take(&e.f, 0), 1);
		/* The next notification is asked for. */
		fixture_add(&e.f, 0, 0, 1, 8, 8);
		virtq_drv_publish(vdev_loopback_drv(e.f.l, 0));
		ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(e.f.l, 0)), 1);
		vdev_queue_kick(e.f.v, 0);
		ck_assert_uint_eq(fixture_take(&e.f, 0), 1);
	}
	end();
}
END_TEST

/* The model's own state is missing. */
START_TEST(openvmm_4039)
{
	begin();
	body(MODEL)[-16] = 0x55; /* an optional section that nobody knows */
	body(0x55)[-14] = 0;
	refused();
	ck_assert_uint_eq(e.f.echo.state, 0x1234);
	e.f.echo.state = 99;
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(e.f.echo.state, 0x1234);
	end();
}
END_TEST

/* What is saved can always be loaded. */
START_TEST(kata_13791)
{
	begin();
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(vdev_function_resume(vdev_function(e.f.v)), 0);
		for (int j = 0; j < i; j++)
			fixture_echo(&e.f, (unsigned)j % 2);
		vdev_config_update(e.f.v, (uint32_t)i % 8, "z", 1);
		if (i % 10 == 3)
			vdev_needs_reset(e.f.v);
		if (i % 10 == 5)
			ck_assert_int_eq(vdev_loopback_start(e.f.l), 0);
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(e.f.v)), 0);
		ck_assert_int_eq(vdev_function_save(vdev_function(e.f.v), state_buffer_init(&e.b)), 0);
		ck_assert_int_eq(load(), 0);
	}
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_core_restore");
	TCase *tc = tcase_create("evil_core_restore");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, CVE_2013_4151);
	tcase_add_test(tc, CVE_2013_6399);
	tcase_add_test(tc, CVE_2013_4535);
	tcase_add_test(tc, CVE_2013_4149);
	tcase_add_test(tc, CVE_2014_0182);
	tcase_add_test(tc, QEMU_b0ee78ff31);
	tcase_add_test(tc, QEMU_d68cdae30e);
	tcase_add_test(tc, FC_14108ca14);
	tcase_add_test(tc, FC_e3b727f27);
	tcase_add_test(tc, CH_8702);
	tcase_add_test(tc, CVE_2023_50711);
	tcase_add_test(tc, FC_5958);
	tcase_add_test(tc, openvmm_4039);
	tcase_add_test(tc, kata_13791);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
