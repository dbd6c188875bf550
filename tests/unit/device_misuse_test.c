/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side set up or called wrongly: an error, and nothing was touched. Each runs on both layouts. */
#include <string.h>

#include "check_main.h"
#include "ring.h"

enum { SIZE = 8, PART = 4096, GPA = 0x10000, SCRATCH = 65536 };

/* Each part of the ring in a region of its own, so that one of them can lie badly here. */
static _Alignas(4096) uint8_t memory[4][PART + 64];
static uint64_t scratch[SCRATCH / 8];
static struct virtq_region regions[4];
static struct virtq_mem mem;
static struct virtq_dev_config cfg;
static struct virtq_dev vq;

static void set_up(int packed)
{
	memset(memory, 0, sizeof(memory));
	for (unsigned i = 0; i < 4; i++)
		regions[i] = (struct virtq_region){
			.gpa = GPA + (uint64_t)i * 2 * PART, .len = PART, .host = memory[i]};
	ck_assert_int_eq(virtq_mem_init(&mem, regions, 4), 0);
	memset(&cfg, 0, sizeof(cfg));
	cfg.size = sizeof(cfg);
	cfg.mem = &mem;
	cfg.features = features_of(1, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	cfg.state = (struct virtq_state){
		.desc = GPA, .driver = GPA + 2 * PART, .device = GPA + 4 * PART, .size = SIZE};
	virtq_state_fresh(&cfg.state, &cfg.features);
	/* What lies behind the owners of chains would say that chains are out. */
	memset(scratch, 1, sizeof(scratch));
	cfg.scratch = scratch;
	cfg.scratch_bytes = sizeof(scratch);
	memset(&vq, 0x5a, sizeof(vq));
}

static void refused(const struct virtq_dev_config *c, int result)
{
	static const uint8_t untouched[sizeof(vq)];
	uint8_t seen[sizeof(vq)];

	ck_assert_int_eq(virtq_dev_init(&vq, c), result);
	memcpy(seen, &vq, sizeof(seen));
	for (size_t i = 0; i < sizeof(seen); i++)
		seen[i] ^= 0x5a;
	ck_assert_mem_eq(seen, untouched, sizeof(seen));
}

static int no_translation(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)ctx;
	(void)iova;
	(void)write;
	(void)out;
	return VIRTQ_EFAULT;
}

START_TEST(configurations_are_checked)
{
	struct virtq_xlat_ops xlat = {.size = sizeof(xlat), .translate = no_translation};
	struct virtq_platform platform = {.size = sizeof(platform) - 1};
	struct virtq_xlat cache[4];

	for (int i = 0; i < 14; i++) {
		struct virtq_dev_config bad;

		set_up(_i);
		bad = cfg;
		switch (i) {
		case 0:
			bad.size--;
			break;
		case 1:
			bad.scratch = NULL;
			break;
		case 2:
			bad.scratch = (uint8_t *)scratch + 4;
			bad.scratch_bytes -= 8;
			break;
		case 3:
			bad.mem = NULL;
			break;
		case 4:
			bad.flags = 4;
			break;
		case 5:
			bad.max_chain = INT32_MAX / 8 + 1;
			bad.scratch_bytes = SIZE_MAX;
			break;
		case 6:
			xlat.size = 8;
			bad.xlat = &xlat;
			break;
		case 7:
			xlat = (struct virtq_xlat_ops){.size = sizeof(xlat)};
			bad.xlat = &xlat;
			break;
		case 8:
			bad.xlat_entries = 3;
			bad.xlat_cache = cache;
			break;
		case 9:
			bad.xlat_entries = 4;
			break;
		case 10:
			bad.platform = &platform;
			break;
		case 11:
			bad.scratch_bytes = virtq_dev_bytes(&bad) - 1;
			break;
		case 12:
			bad.state.desc++;
			break;
		default:
			bad.state.reserved[1] = 1;
			break;
		}
		refused(&bad, i < 12 ? VIRTQ_EINVAL : VIRTQ_EBADMSG);
	}
	set_up(_i);
	ck_assert_int_eq(virtq_dev_init_sized(&vq, sizeof(vq) - 1, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), 0);
	ck_assert_int_eq(virtq_dev_fini(&vq), 0);
}
END_TEST

/* Addresses are aligned, but what lies there in this process is not; or it is cut, or read-only. */
START_TEST(rings_that_lie_badly_here)
{
	for (unsigned part = 0; part < 3; part++) {
		set_up(_i);
		regions[part].host = memory[part] + (part == 0 ? 4 : 1);
		refused(&cfg, VIRTQ_EFAULT);
		set_up(_i);
		regions[part].len = 3; /* less than any part */
		refused(&cfg, VIRTQ_EFAULT);
		set_up(_i);
		regions[part].flags = VIRTQ_REGION_READONLY;
		/* The device writes its own area, and a packed ring. */
		if (part == 2 || (part == 0 && _i))
			refused(&cfg, VIRTQ_EFAULT);
		else
			ck_assert_int_eq(virtq_dev_init(&vq, &cfg), 0);
		if (part == 2 || (part == 0 && _i))
			continue;
		ck_assert_int_eq(virtq_dev_fini(&vq), 0);
	}
}
END_TEST

START_TEST(calls_that_are_for_other_queues)
{
	struct virtq_chain chain;
	struct virtq_seg seg[64];
	struct virtq_iov iov[64];

	set_up(_i);
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), 0);
	ck_assert_int_eq(virtq_dev_pop_seg(&vq, &chain, 1, seg, 64), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_pop(&vq, &chain, 1, iov, virtq_dev_max_iov(&vq) - 1), VIRTQ_EINVAL);
	ck_assert_int_eq(virtq_dev_pop(&vq, &chain, 1, iov, virtq_dev_max_iov(&vq)), 0);
	ck_assert_int_eq(virtq_dev_fetch(&vq, 1), 0);
	virtq_dev_break(&vq, 0);
	ck_assert_int_eq(virtq_dev_fetch(&vq, 1), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_pop(&vq, &chain, 1, iov, 64), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_pop_seg(&vq, &chain, 1, seg, 64), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_arm(&vq), VIRTQ_EBROKEN);
	ck_assert_int_eq(virtq_dev_should_interrupt(&vq), 0);
	ck_assert_int_eq(virtq_dev_fini(&vq), 0);
}
END_TEST

/* A chain that was not popped, or not from this queue, goes nowhere. */
START_TEST(chains_that_are_not_out)
{
	struct virtq_chain chain = {0};
	uint32_t none = 0;

	set_up(_i);
	ck_assert_int_eq(virtq_dev_init(&vq, &cfg), 0);
	for (uint32_t id = 0; id < 0x10000; id += id < 64 ? 1 : 997) {
		chain.id = (uint16_t)id;
		ck_assert_int_eq(virtq_dev_push(&vq, &chain, &none, 1), VIRTQ_EINVAL);
		ck_assert_int_eq(virtq_dev_release(&vq, &chain, 1), VIRTQ_EINVAL);
		ck_assert_int_eq(virtq_dev_unpop(&vq, &chain, 1), VIRTQ_EINVAL);
	}
	virtq_dev_publish(&vq);
	for (unsigned i = 0; i < sizeof(memory[2]); i++)
		ck_assert_uint_eq(memory[2][i], 0);
	ck_assert_uint_eq(virtq_dev_inflight(&vq), 0);
	ck_assert_int_eq(virtq_dev_fini(&vq), 0);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("device_misuse");
	TCase *tc = tcase_create("misuse");

	tcase_add_loop_test(tc, configurations_are_checked, 0, 2);
	tcase_add_loop_test(tc, rings_that_lie_badly_here, 0, 2);
	tcase_add_loop_test(tc, calls_that_are_for_other_queues, 0, 2);
	tcase_add_loop_test(tc, chains_that_are_not_out, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
