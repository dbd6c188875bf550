/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saved states did to their readers. Checksums are right throughout: only the meaning is wrong. Each test is
 * named after its row in rows.tsv; after each, the device that refused still works.
 */
#include <string.h>

#include "check_main.h"
#include "state_forge.h"

/* More queues than there are. */
START_TEST(CVE_2013_4151)
{
	forge_begin();
	for (uint32_t n = 3; n != 0; n *= 3) {
		forge_put(forge_body(FORGE_CONFIG) + 4, n, 4);
		forge_refused();
		if (n > 0x40000000)
			break;
	}
	forge_put(forge_body(FORGE_CONFIG) + 4, UINT32_MAX, 4);
	forge_refused();
	/* A third queue's ring. */
	forge_put(forge_grow(FORGE_RINGS, 24), 2, 2);
	forge_refused();
	forge_end();
}
END_TEST

/* Queue indices beyond the queues. */
START_TEST(CVE_2013_6399)
{
	static const uint16_t indices[] = {2, 255, 256, 0x8000, 0xffff};

	forge_begin();
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 4, indices[i], 2);
		forge_refused();
		forge_put(forge_body(FORGE_RINGS), indices[i], 2);
		forge_refused();
		forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 6, indices[i],
		          6); /* the rest of the selector */
		forge_refused();
	}
	forge_end();
}
END_TEST

/* Requests in flight: there is no place for them in a state; what is appended is refused. */
START_TEST(CVE_2013_4535)
{
	forge_begin();
	for (uint32_t n = 1; n < 64; n++) {
		memset(forge_grow(FORGE_RINGS, n), 0xff, n);
		forge_refused();
		memset(forge_grow(FORGE_MODEL, n), 0xff, n);
		forge_refused();
	}
	forge_end();
}
END_TEST

/* Lengths that do not go with what they measure. */
START_TEST(CVE_2013_4149)
{
	forge_begin();
	for (uint32_t len = 0; len < 300; len++) {
		if (len == 32)
			continue;
		forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 12, len, 4);
		forge_refused();
	}
	forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 12, UINT32_MAX, 4);
	forge_refused();
	forge_end();
}
END_TEST

/* A configuration of another length. */
START_TEST(CVE_2014_0182)
{
	static const uint32_t lengths[] = {0, 1, 15, 17, 32, 4096, 0x10000, 0x7fffffff, UINT32_MAX};

	forge_begin();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		forge_put(forge_body(FORGE_CONFIG) + 8, lengths[i], 4);
		forge_refused();
	}
	forge_grow(FORGE_CONFIG, 2);
	forge_put(forge_body(FORGE_CONFIG) + 8, 17, 4);
	forge_refused();
	forge_grow(FORGE_CONFIG, 1);
	forge_refused();
	forge_end();
}
END_TEST

/* The same thing twice. */
START_TEST(QEMU_b0ee78ff31)
{
	uint8_t copy[48];

	forge_begin();
	forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 48 + 4, 0,
	          2); /* both VQ_CFG parts for queue 0 */
	forge_refused();
	memcpy(copy, forge_body(FORGE_PARTS) + FORGE_VQ_CFG, 48); /* and a second one for it */
	memcpy(forge_grow(FORGE_PARTS, 48), copy, 48);
	forge_refused();
	forge_put(forge_body(FORGE_RINGS) + 24, 0, 2);
	forge_refused();
	memcpy(copy, forge_body(FORGE_PARTS) + 32, 32); /* DRV_FEATURES again */
	memcpy(forge_grow(FORGE_PARTS, 32), copy, 32);
	forge_refused();
	memcpy(copy, forge_body(FORGE_PARTS) + FORGE_STATUS, 17);
	memcpy(forge_grow(FORGE_PARTS, 17), copy, 17);
	forge_refused();
	forge_end();
}
END_TEST

/* A guest that spoils its ring before the save must not make the state impossible to restore. */
START_TEST(QEMU_d68cdae30e)
{
	struct vdev_queue_setup setup = {0};

	forge_begin();
	virtq_drv_state(vdev_loopback_drv(forge.f.l, 0), &setup.state);
	forge.f.memory[setup.state.driver - FIXTURE_GPA + 3] = 0x77;
	ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.b)), 0);
	ck_assert_int_eq(forge_load(), 0);
	ck_assert_int_eq(vdev_queue_broken(forge.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	ck_assert_int_eq(vdev_queue_broken(forge.f.v, 0),
	                 1); /* as it would have been without the move */
	fixture_echo(&forge.f, 1);
	/* And broken before the save: restored broken. */
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(forge.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.b)), 0);
	ck_assert_int_eq(forge_load(), 0);
	ck_assert_int_eq(vdev_queue_broken(forge.f.v, 0), 1);
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	fixture_echo(&forge.f, 1);
	ck_assert_int_eq(vdev_loopback_start(forge.f.l), 0);
	forge_end();
}
END_TEST

/* Status, features, queues and configuration that contradict each other. */
START_TEST(FC_14108ca14)
{
	forge_begin();
	for (unsigned s = 0; s < 256; s++) {
		if ((s & 8) != 0 && (s & (16 | 32)) == 0)
			continue; /* possible with two queues that are set up */
		forge_body(FORGE_PARTS)[FORGE_STATUS + 16] = (uint8_t)s;
		forge_refused();
	}
	forge_put(forge_body(FORGE_CONFIG) + 16, 1, 4);
	forge_refused();
	forge_put(forge_body(FORGE_PARTS) + 32 + 16, 0, 8); /* features without VERSION_1 */
	forge_refused();
	forge_put(forge_body(FORGE_PARTS) + 32 + 16, UINT64_MAX, 8);
	forge_refused();
	forge_put(forge_body(FORGE_PARTS) + 32 + 24, UINT64_MAX, 8);
	forge_refused();
	forge_end();
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

	forge_begin();
	for (unsigned part = 0; part < 3; part++)
		for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
			forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 24 + 8 * part, addresses[i], 8);
			forge_refused();
		}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		forge_put(forge_body(FORGE_PARTS) + FORGE_VQ_CFG + 16, sizes[i], 2);
		forge_refused();
	}
	forge_put(forge_body(FORGE_RINGS) + 4, 0x4000,
	          2); /* available and used further apart than the ring is long */
	forge_refused();
	forge_put(forge_body(FORGE_RINGS) + 10, 0xfff0, 2);
	forge_refused();
	forge_end();
}
END_TEST

/* A queue that was never set up has no ring in the state, and none is looked for. */
START_TEST(CH_8702)
{
	forge_begin();
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	ck_assert_int_eq(vdev_queue_reset(forge.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(forge.f.v)), 0);
	ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.b)), 0);
	ck_assert_uint_lt(forge.b.len, forge.good.len);
	ck_assert_int_eq(forge_load(), 0);
	ck_assert_int_eq(vdev_queue_started(forge.f.v, 0), 0);
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	vdev_queue_kick(forge.f.v, 0);
	fixture_echo(&forge.f, 1);
	ck_assert_int_eq(vdev_loopback_start(forge.f.l), 0);
	forge_end();
}
END_TEST

/* Headers that say more or less than there is. */
START_TEST(CVE_2023_50711)
{
	forge_begin();
	for (uint32_t len = 0; len < 700; len++) {
		forge_fresh();
		if (len == forge.good.len - STATE_HEADER_BYTES)
			continue;
		forge_put(forge.b.bytes + 32, len, 4);
		forge_put(forge.b.bytes + 44, vdev_crc32(0, forge.b.bytes, 44), 4);
		forge.b.pos = 0;
		ck_assert_int_lt(vdev_function_load(vdev_function(forge.f.v), &forge.b.stream), 0);
	}
	for (unsigned id = FORGE_PARTS; id <= FORGE_MODEL; id++) {
		static const uint32_t lengths[] = {0, 1, 5, 0x7fffffff, UINT32_MAX, UINT32_MAX - 15};

		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			forge_fresh();
			forge_put(forge_body(id) - 8, lengths[i], 4);
			forge.b.pos = 0;
			ck_assert_int_lt(forge_load(), 0);
		}
	}
	forge_fresh();
	forge_end();
}
END_TEST

/* A buffer was made available while the device was away, and its notification went nowhere. */
START_TEST(FC_5958)
{
	forge_begin();
	ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
	vdev_loopback_free(forge.f.l);
	virtq_features_set(&forge.f.cfg.wanted, VIRTQ_F_EVENT_IDX);
	ck_assert_int_eq(vdev_loopback_new(&forge.f.l, &forge.f.env, forge.f.v, &forge.f.cfg), 0);
	fixture_start(&forge.f);
	for (int i = 0; i < 20; i++) {
		fixture_echo(&forge.f, 0);
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(forge.f.v)), 0);
		ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.b)),
		                 0);
		fixture_add(&forge.f, 0, 0, 1, 8, 8);
		virtq_drv_publish(vdev_loopback_drv(forge.f.l, 0));
		(void)!virtq_drv_should_kick(vdev_loopback_drv(forge.f.l, 0)); /* and nobody hears it */
		ck_assert_int_eq(forge_load(), 0);
		ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
		ck_assert_uint_eq(fixture_take(&forge.f, 0), 1);
		/* The next notification is asked for. */
		fixture_add(&forge.f, 0, 0, 1, 8, 8);
		virtq_drv_publish(vdev_loopback_drv(forge.f.l, 0));
		ck_assert_int_eq(virtq_drv_should_kick(vdev_loopback_drv(forge.f.l, 0)), 1);
		vdev_queue_kick(forge.f.v, 0);
		ck_assert_uint_eq(fixture_take(&forge.f, 0), 1);
	}
	forge_end();
}
END_TEST

/* The model's own state is missing. */
START_TEST(openvmm_4039)
{
	forge_begin();
	forge_body(FORGE_MODEL)[-16] = 0x55; /* an optional section that nobody knows */
	forge_body(0x55)[-14] = 0;
	forge_refused();
	ck_assert_uint_eq(forge.f.echo.state, 0x1234);
	forge.f.echo.state = 99;
	ck_assert_int_eq(forge_load(), 0);
	ck_assert_uint_eq(forge.f.echo.state, 0x1234);
	forge_end();
}
END_TEST

/* What is saved can always be loaded. */
START_TEST(kata_13791)
{
	forge_begin();
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(vdev_function_resume(vdev_function(forge.f.v)), 0);
		for (int j = 0; j < i; j++)
			fixture_echo(&forge.f, (unsigned)j % 2);
		vdev_config_update(forge.f.v, (uint32_t)i % 8, "z", 1);
		if (i % 10 == 3)
			vdev_needs_reset(forge.f.v);
		if (i % 10 == 5)
			ck_assert_int_eq(vdev_loopback_start(forge.f.l), 0);
		ck_assert_int_eq(vdev_function_quiesce(vdev_function(forge.f.v)), 0);
		ck_assert_int_eq(vdev_function_save(vdev_function(forge.f.v), state_buffer_init(&forge.b)),
		                 0);
		ck_assert_int_eq(forge_load(), 0);
	}
	forge_end();
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
