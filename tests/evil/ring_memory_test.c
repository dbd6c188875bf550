/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of hostile.tsv about addresses, regions, lengths; see rows.tsv. Mapped memory only, but where it says so. */
#include <endian.h>
#include <string.h>

#include "ring_fixture.h"

#define TABLE UINT64_C(0x4000)
#define BUF   UINT64_C(0x8000)

START_TEST(DPDK_c6ae7de0de)
{
	evil_start(_i, NULL);
	/* The first entry is in memory, the second is not. */
	evil_table(R0_END - 16, 1, BUF, 16, VIRTQ_DESC_NEXT);
	evil_offer(0, R0_END - 16, 32, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_ADDRESS);
	evil_reset();
	/* Even the first one lies half outside. */
	evil_offer(0, R0_END - 8, 16, VIRTQ_DESC_INDIRECT);
	evil_breaks(VIRTQ_FAULT_ADDRESS);
	evil_end();
}
END_TEST

START_TEST(CVE_2018_1059)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{R0_END - 16, 17}, {R0_END - 1, 0x10000}, {R2_END - 4096, 4097}, {NOWHERE, 1}, {R1 - 1, 2}};

	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 10; i++) {
		evil_offer(0, bad[i / 2].addr, bad[i / 2].len, i % 2 ? VIRTQ_DESC_WRITE : 0);
		evil_breaks(VIRTQ_FAULT_ADDRESS);
		evil_reset();
	}
	evil_end();
}
END_TEST

/* Contiguous for the guest, not here. */
START_TEST(libvhost_user_293084a719)
{
	const uint64_t table = R2 - 24; /* even one entry is cut */
	uint8_t entry[32] = {0};
	uint64_t addr = htole64(BUF);
	uint32_t len = htole32(16);

	evil_start(_i, NULL);
	evil_offer(0, R2 - 100, 300, VIRTQ_DESC_WRITE);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nwrite, 2);
	ck_assert_uint_eq(ev.chains[0].write_bytes, 300);
	ck_assert(evil_piece_is(&ev.chains[0], 0, R2 - 100, 100));
	ck_assert(evil_piece_is(&ev.chains[0], 1, R2, 200));
	for (uint32_t i = 0; i < 2; i++) {
		memcpy(entry + 16 * i, &addr, 8);
		memcpy(entry + 16 * i + 8, &len, 4);
	}
	if (!ev.packed) {
		entry[12] = VIRTQ_DESC_NEXT;
		entry[14] = 1;
	}
	ck_assert_int_eq(virtq_mem_write(&ev.guest.mem, table, entry, sizeof(entry)), 0);
	evil_offer(1, table, 32, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 2);
	ck_assert(evil_piece_is(&ev.chains[0], 1, BUF, 16));
	evil_end();
}
END_TEST

/* What is written through the pieces of such a buffer arrives where the guest looks for it, and nowhere else. */
START_TEST(CH_669bef1bb)
{
	uint8_t seen[302], n = 0;

	evil_start(_i, NULL);
	evil_offer(0, R2 - 100, 300, VIRTQ_DESC_WRITE);
	ck_assert_int_eq(evil_pop(1), 1);
	for (uint32_t i = 0; i < ev.chains[0].nwrite; i++) {
		const struct virtq_iov *v = &ev.chains[0].iov[i];

		for (size_t k = 0; k < v->len; k++)
			((uint8_t *)v->base)[k] = ++n;
	}
	evil_push(&ev.chains[0], 300);
	ck_assert_int_eq(virtq_mem_read(&ev.guest.mem, R2 - 101, seen, sizeof(seen)), 0);
	ck_assert_uint_eq(seen[0], 0);
	ck_assert_uint_eq(seen[301], 0);
	for (uint32_t i = 0; i < 300; i++)
		ck_assert_uint_eq(seen[i + 1], (uint8_t)(i + 1));
	evil_end();
}
END_TEST

START_TEST(CH_e2b9fa261)
{
	struct virtq_iov iov[4];
	uint8_t b[2];

	evil_start(_i, NULL);
	ck_assert_int_eq(virtq_mem_map(&ev.guest.mem, NOWHERE, 0, 0, iov, 4), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_map(&ev.guest.mem, BUF, 0, 0, iov, 4), 0);
	ck_assert_ptr_null(virtq_mem_at(&ev.guest.mem, NOWHERE, 0, 0));
	ck_assert_ptr_null(virtq_mem_at(&ev.guest.mem, R2 - 1, 2, 0)); /* no one pointer for it */
	ck_assert_int_eq(virtq_mem_map(&ev.guest.mem, R2 - 1, 2, 0, iov, 4), 2);
	ck_assert_int_eq(virtq_mem_map(&ev.guest.mem, R2 - 1, 2, 0, iov, 1), VIRTQ_ENOSPC);
	ck_assert_int_eq(virtq_mem_read(&ev.guest.mem, R2_END - 1, b, 2), VIRTQ_EFAULT);
	evil_offer(0, NOWHERE, 0, VIRTQ_DESC_WRITE);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread + ev.chains[0].nwrite, 0);
	evil_end();
}
END_TEST

/* Each of the lengths around what fits. */
START_TEST(CVE_2019_18960)
{
	evil_start(_i, NULL);
	for (uint32_t left = 1; left < 70; left += 17) {
		evil_offer(0, R0_END - left, left, 0);
		evil_one();
		evil_offer(0, R0_END - left, left + 1, 0);
		evil_breaks(VIRTQ_FAULT_ADDRESS);
		evil_reset();
		evil_offer(0, R0_END - left, UINT32_MAX, 0);
		evil_breaks(VIRTQ_FAULT_ADDRESS);
		evil_reset();
		evil_offer(0, R0_END - left, 0x80000000u, VIRTQ_DESC_WRITE);
		evil_breaks(VIRTQ_FAULT_ADDRESS);
		evil_reset();
	}
	evil_end();
}
END_TEST

/* All modes: sums that wrap are refused even where addresses mean nothing to us. */
START_TEST(openvmm_c3df92315)
{
	static const uint64_t addr[] = {UINT64_MAX, UINT64_MAX - 14, UINT64_MAX - 0xfff};

	evil_start(_i, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		evil_offer(0, addr[i], 0x2000, VIRTQ_DESC_WRITE);
		evil_breaks(VIRTQ_FAULT_ADDRESS);
		evil_reset();
		evil_offer(0, addr[i], 0x80, VIRTQ_DESC_INDIRECT);
		if (i < 2) {
			evil_breaks(VIRTQ_FAULT_ADDRESS);
			evil_reset();
		} else {
			ck_assert_int_eq(evil_pop(1), VIRTQ_EBROKEN);
			evil_reset();
		}
	}
	evil_end();
}
END_TEST

/* Memory up to the very top: an offset within a buffer there must not come out at address 0. */
START_TEST(openvmm_547661407)
{
	static uint8_t top[4096], bottom[4096], src[64];
	const struct virtq_region r[] = {{0, sizeof(bottom), bottom, 0, 0, 0},
	                                 {UINT64_MAX - 4095, sizeof(top), top, 0, 0, 0}};
	struct virtq_mem mem;
	struct virtq_iov iov[2];

	evil_start(_i, NULL);
	memset(src, 0xee, sizeof(src));
	ck_assert_int_eq(virtq_mem_init(&mem, r, 2), 0);
	ck_assert_int_eq(virtq_mem_map(&mem, UINT64_MAX - 15, 16, 1, iov, 2), 1);
	ck_assert_ptr_eq(iov[0].base, top + 4080);
	ck_assert_int_eq(virtq_mem_map(&mem, UINT64_MAX - 15, 17, 1, iov, 2), VIRTQ_EFAULT);
	ck_assert_ptr_null(virtq_mem_at(&mem, UINT64_MAX - 15, 17, 1));
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX - 15, src, 64), VIRTQ_EFAULT);
	ck_assert_int_eq(virtq_mem_write(&mem, UINT64_MAX - 15, src, 16), 0);
	for (uint32_t i = 0; i < 4096; i++) {
		ck_assert_uint_eq(bottom[i], 0);
		ck_assert_uint_eq(top[i], i < 4080 ? 0 : 0xee);
	}
	evil_end();
}
END_TEST

START_TEST(FC_5b99f414e)
{
	evil_start(_i, NULL);
	evil_offer(0, R0_END - 4096, 4096, VIRTQ_DESC_WRITE);
	evil_one();
	ck_assert(evil_piece_is(&ev.chains[0], 0, R0_END - 4096, 4096));
	evil_offer(0, R2_END - 1, 1, 0);
	evil_one();
	ck_assert(evil_piece_is(&ev.chains[0], 0, R2_END - 1, 1));
	evil_table(R2_END - 32, 2, BUF, 16, 0); /* a table too */
	evil_offer(0, R2_END - 32, 32, VIRTQ_DESC_INDIRECT);
	evil_one();
	evil_end();
}
END_TEST

/* Set up another queue with parts of the ring where they may not be. */
static int init_at(uint64_t desc, uint64_t driver, uint64_t device, struct virtq_mem *mem)
{
	static uint64_t scratch[512];
	struct virtq_dev vq;
	struct virtq_dev_config cfg = {.size = sizeof(cfg),
	                               .mem = mem,
	                               .features = ev.q.ring.features,
	                               .state = ev.q.ring.state,
	                               .scratch = scratch,
	                               .scratch_bytes = sizeof(scratch)};
	int rc;

	cfg.state.desc = desc;
	cfg.state.driver = driver;
	cfg.state.device = device;
	rc = virtq_dev_init(&vq, &cfg);
	if (rc == 0)
		ck_assert_int_eq(virtq_dev_fini(&vq), 0);
	return rc;
}

START_TEST(FC_mmio_gap)
{
	const uint64_t at = 0x10000;
	struct virtq_mem *mem;

	evil_start(_i, NULL);
	mem = &ev.guest.mem;
	ck_assert_int_eq(init_at(at, at + 0x1000, at + 0x2000, mem), 0);
	ck_assert_int_eq(init_at(R0_END - 64, at, at, mem), VIRTQ_EFAULT); /* over the end */
	ck_assert_int_eq(init_at(at, NOWHERE, at, mem), VIRTQ_EFAULT);
	ck_assert_int_eq(init_at(at, at, NOWHERE, mem), VIRTQ_EFAULT);
	ck_assert_int_eq(init_at(R2 - 64, at, at, mem), VIRTQ_EFAULT); /* over a border of regions */
	ck_assert_int_eq(init_at(at + 8, at, at, mem), VIRTQ_EBADMSG); /* not aligned */
	ck_assert_int_eq(init_at(at, at + 1, at, mem), VIRTQ_EBADMSG);
	ck_assert_int_eq(init_at(at, at, at + 2, mem), VIRTQ_EBADMSG);
	ck_assert_int_eq(init_at(UINT64_MAX - 15, at, at, mem), VIRTQ_EBADMSG); /* sums that wrap */
	evil_end();
}
END_TEST

START_TEST(S0087_S0089)
{
	static uint8_t rom[4096] __attribute__((aligned(64)));
	const struct virtq_region r = {0, sizeof(rom), rom, VIRTQ_REGION_READONLY, 0, 0};
	struct virtq_iov iov[64];
	struct virtq_chain c;
	struct virtq_mem mem;
	uint64_t scratch[64];
	struct virtq_dev vq;
	struct virtq_dev_config cfg = {.size = sizeof(cfg)};

	evil_start(_i, NULL);
	/* In what is not ours to write. */
	ck_assert_int_eq(virtq_mem_init(&mem, &r, 1), 0);
	ck_assert_int_eq(init_at(0, 0x400, 0x800, &mem), VIRTQ_EFAULT);
	/* All parts at one place: nonsense, and harmless. */
	cfg.mem = &ev.guest.mem;
	cfg.features = ev.q.ring.features;
	cfg.state = ev.q.ring.state;
	cfg.state.desc = cfg.state.driver = cfg.state.device = 0x10000;
	cfg.scratch = scratch;
	cfg.scratch_bytes = sizeof(scratch);
	for (uint32_t fill = 0; fill < 256; fill++) {
		uint32_t zero = 0;

		memset(guest_at(&ev.guest, 0x10000, 256), (int)fill, 256);
		ck_assert_int_eq(virtq_dev_init(&vq, &cfg), 0);
		for (uint32_t i = 0; i < 20; i++) { /* it has 8 descriptors: it can't go on for ever */
			int n = virtq_dev_pop(&vq, &c, 1, iov, 64);

			if (n <= 0)
				break;
			ck_assert_int_eq(virtq_dev_push(&vq, &c, &zero, 1), 0);
			virtq_dev_publish(&vq);
			(void)!virtq_dev_should_interrupt(&vq);
		}
		ck_assert_int_eq(virtq_dev_fini(&vq), 0);
	}
	evil_end();
}
END_TEST

START_TEST(CVE_2016_6490)
{
	evil_start(_i, NULL); /* all modes */
	evil_list(0, 8, BUF, 0, 0);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread + ev.chains[0].nwrite, 0);
	ck_assert_uint_eq(ev.chains[0].read_bytes, 0);
	evil_table(TABLE, 8, BUF, 0, VIRTQ_DESC_WRITE);
	evil_offer(0, TABLE, 8 * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread + ev.chains[0].nwrite, 0);
	evil_end();
}
END_TEST

/* Nowhere, with a length of 0: there is nothing to follow a pointer to. */
START_TEST(CVE_2020_10725)
{
	evil_start(_i, NULL);
	evil_table(TABLE, 3, NOWHERE, 0, VIRTQ_DESC_WRITE);
	raw_table(&ev.q.ring, TABLE, 1, BUF, 16, VIRTQ_DESC_NEXT, 2);
	evil_offer(0, TABLE, 48, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 1);
	ck_assert_uint_eq(ev.chains[0].nwrite, 0);
	ck_assert(evil_piece_is(&ev.chains[0], 0, BUF, 16));
	evil_end();
}
END_TEST

START_TEST(crosvm_c2b694fb3)
{
	evil_start(_i, NULL);
	raw_table(&ev.q.ring, TABLE, 0, BUF, 16, VIRTQ_DESC_NEXT, 1);
	raw_table(&ev.q.ring, TABLE, 1, BUF + 16, 0, VIRTQ_DESC_NEXT, 2);
	raw_table(&ev.q.ring, TABLE, 2, BUF + 32, 0, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 3);
	raw_table(&ev.q.ring, TABLE, 3, BUF + 48, 5, VIRTQ_DESC_WRITE, 0);
	evil_offer(0, TABLE, 64, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 1);
	ck_assert_uint_eq(ev.chains[0].nwrite, 1);
	ck_assert(evil_piece_is(&ev.chains[0], 1, BUF + 48, 5));
	evil_end();
}
END_TEST

START_TEST(CVE_2016_7422)
{
	evil_start(_i, NULL);
	evil_table(TABLE, 3, BUF, 16, VIRTQ_DESC_WRITE);
	raw_table(&ev.q.ring, TABLE, 1, BUF, 0xfffff000, VIRTQ_DESC_NEXT, 2); /* after a good one */
	evil_offer(0, TABLE, 48, VIRTQ_DESC_INDIRECT);
	if (ev.dma) { /* legal there: the bus knows what it can map; just not 2^32 in all */
		evil_one();
		evil_table(TABLE, 3, BUF, 0xfffff000, VIRTQ_DESC_WRITE);
		evil_offer(0, TABLE, 48, VIRTQ_DESC_INDIRECT);
		evil_breaks(VIRTQ_FAULT_TOO_LONG);
	} else {
		evil_breaks(VIRTQ_FAULT_ADDRESS);
	}
	ck_assert_uint_eq(virtq_dev_inflight(&ev.q.ring.dev), 0); /* no half of a chain is out */
	evil_end();
}
END_TEST

/*
 * Buffers that all cross a border between regions: more pieces than whoever popped the chain has been
 * told to expect, though the burst as a whole has room for them.
 */
START_TEST(more_pieces_than_promised)
{
	const struct evil_config cfg = {.max_chain = 64};
	const uint64_t table = 0x4000;
	uint32_t most;

	evil_start(_i, &cfg);
	most = virtq_dev_max_iov(&ev.q.ring.dev);
	ck_assert_uint_gt(2 * 64, most);
	evil_table(table, most - 64, R2 - 8, 16, 0);
	evil_offer(0, table, (most - 64) * 16, VIRTQ_DESC_INDIRECT);
	evil_one();
	ck_assert_uint_eq(ev.chains[0].nread, 2 * (most - 64));
	evil_offer(1, R2, 16, 0);
	evil_table(table, 64, R2 - 8, 16, 0);
	evil_offer(2, table, 64 * 16, VIRTQ_DESC_INDIRECT);
	ck_assert_int_eq(evil_pop(EVIL_CHAINS), 1); /* the good one before it */
	evil_breaks(VIRTQ_FAULT_TOO_MANY);
	evil_release(1);
	evil_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_memory");
	TCase *tc = tcase_create("memory");

	tcase_add_loop_test(tc, DPDK_c6ae7de0de, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CVE_2018_1059, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, libvhost_user_293084a719, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CH_669bef1bb, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CH_e2b9fa261, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CVE_2019_18960, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, openvmm_c3df92315, 0, EVIL_MODES);
	tcase_add_loop_test(tc, openvmm_547661407, 0, 1);
	tcase_add_loop_test(tc, FC_5b99f414e, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, FC_mmio_gap, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, S0087_S0089, 0, EVIL_DMA_SPLIT);
	tcase_add_loop_test(tc, CVE_2016_6490, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2020_10725, 0, EVIL_MODES);
	tcase_add_loop_test(tc, crosvm_c2b694fb3, 0, EVIL_MODES);
	tcase_add_loop_test(tc, CVE_2016_7422, 0, EVIL_MODES);
	tcase_add_loop_test(tc, more_pieces_than_promised, 0, EVIL_DMA_SPLIT);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
