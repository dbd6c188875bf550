/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hostile front-ends did to other back-ends. After each attack a well-behaved front-end is served, and no descriptor
 * is left over.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rng.h"
#include "vhost_user_rig.h"

START_TEST(CVE_2019_14818_a)
{
	static const unsigned counts[] = {1, 2, 8, 9, 64};

	begin();
	for (unsigned i = 0; i < 5; i++) {
		for (int round = 0; round < 20; round++) {
			if (f.sock < 0)
				vf_connect(&f);
			send_fds(VU_GET_FEATURES, NULL, 0, counts[i]);
			vf_expect_closed(&f, "descriptors");
		}
	}
	end();
}
END_TEST

START_TEST(CVE_2019_14818_b)
{
	begin();
	vf_negotiate(&f, 0);
	vf_memory(&f);
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 256), 0);
	for (int i = 0; i < 200; i++)
		vf_memory(&f);
	end();
}
END_TEST

START_TEST(CVE_2020_10723)
{
	uint64_t index = 0x10000;

	begin();
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_NUM, 0x10000, 64), 1);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_NUM, 0x80000000, 64), 1);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &index, 8, &f.memfd, 1), 1);
	index = 1ull << 40;
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_KICK, &index, 8, &f.memfd, 1), 1);
	end();
}
END_TEST

START_TEST(rust_vmm_38c442d)
{
	begin();
	vf_negotiate(&f, 0);
	for (uint32_t i = 2; i < 300; i++)
		ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_BASE, i, 0), 1);
	end();
}
END_TEST

START_TEST(SPDK_71c1bbeeb5)
{
	uint64_t index = VU_NOFD | 1;

	begin();
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_CALL, VU_NOFD | 1), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_CALL, VU_NOFD | 2), 1);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_CALL, VU_NOFD | 0x200 | 1), 1);
	/* The flag and a descriptor contradict each other; so do none of both. */
	send_fds(VU_SET_VRING_CALL, &index, 8, 1);
	vf_expect_closed(&f, "descriptors");
	vf_connect(&f);
	index = 1;
	send_fds(VU_SET_VRING_CALL, &index, 8, 0);
	vf_expect_closed(&f, "descriptors");
	end();
}
END_TEST

START_TEST(yc_58cd9ea)
{
	static const uint32_t sizes[] = {269, 512, 4096, 0x10000, 0x7fffffff, 0xffffffff};
	uint8_t junk[4096] = {0};

	begin();
	for (uint32_t request = 1; request < VU_REQUESTS; request++) {
		for (unsigned i = 0; i < 6; i++) {
			if (f.sock < 0)
				vf_connect(&f);
			vf_send_raw(&f, request, VU_VERSION, sizes[i], junk, sizeof(junk), NULL, 0);
			vf_expect_closed(&f, "message");
		}
	}
	end();
}
END_TEST

START_TEST(DPDK_d1e390eb13)
{
	struct vu_mem_table t = {.count = 8};

	begin();
	/* More than fit, a message cut off after its descriptors came, and another one with none of its payload. */
	for (int i = 0; i < 50; i++) {
		if (f.sock < 0)
			vf_connect(&f);
		send_fds(VU_SET_MEM_TABLE, &t, sizeof(t), 60);
		vf_expect_closed(&f, "descriptors");
		vf_connect(&f);
		vf_send_raw(&f, VU_SET_MEM_TABLE, VU_VERSION, 72, &t, 10, &f.memfd, 1);
		vf_disconnect(&f);
	}
	end();
}
END_TEST

START_TEST(libvhost_user_3c6e5df1f6)
{
	unsigned char in[64] = {0};
	struct rng rng;

	begin();
	vf_negotiate(&f, 0);
	rng_seed(&rng, 3);
	for (int i = 0; i < 1500; i++) {
		unsigned k = rng_below(&rng, 64);
		struct vu_mem_reg reg = {.region = vf_region(k * 4096, 4096)};

		if (in[k])
			ck_assert_int_eq(vf_ack(&f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
		else
			ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
		in[k] = !in[k];
	}
	end();
}
END_TEST

/* Every message in every order: no crash, and the back-end serves on. */
START_TEST(DPDK_dc023498c9)
{
	struct rng rng;
	unsigned rounds = (unsigned)test_rounds(400);

	begin();
	rng_seed(&rng, 11);
	vf_ask_base(&f, 0);
	ck_assert_uint_eq(vf_take_base(&f, 0), 0);
	for (unsigned i = 0; i < rounds; i++) {
		if (f.sock < 0)
			vf_connect(&f);
		if (rng_one_in(&rng, 3))
			vf_up(&f, rng_one_in(&rng, 2) ? VF_PACKED : 0, 2);
		for (int k = 0; k < 8; k++) {
			uint8_t payload[64];
			uint32_t request = 1 + rng_below(&rng, VU_REQUESTS);
			const struct vu_entry *e = vu_find(request);
			uint32_t size = e == NULL ? 8 : e->min;
			unsigned nfds = e == NULL ? 0 : e->min_fds;

			for (unsigned b = 0; b < sizeof(payload); b++)
				payload[b] = rng_one_in(&rng, 3) ? (uint8_t)rng_next(&rng) : 0;
			if (size > sizeof(payload))
				size = sizeof(payload);
			if (e != NULL && e->kind == VU_FD_BY_FLAG && !(payload[1] & 1))
				nfds = 1;
			send_fds(request, payload, size, nfds);
		}
		vf_disconnect(&f);
	}
	end();
}
END_TEST

START_TEST(rust_vmm_0152e88)
{
	static const uint32_t codes[] = {0, 23, 26, 30, 33, 41, 44, 1000, 0xffffffff};

	begin();
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (f.sock < 0)
			vf_connect(&f);
		vf_send_raw(&f, codes[i], VU_VERSION | VU_FLAG_NEED_REPLY, 0, NULL, 0, NULL, 0);
		vf_expect_closed(&f, "unknown message");
	}
	end();
}
END_TEST

START_TEST(rust_vmm_94be3df)
{
	static const uint32_t gated[] = {VU_SET_LOG_BASE, VU_SET_BACKEND_REQ_FD, VU_GET_CONFIG,
	                                 VU_SET_CONFIG,   VU_VRING_KICK,         VU_GET_MAX_MEM_SLOTS,
	                                 VU_ADD_MEM_REG,  VU_REM_MEM_REG,        VU_SET_STATUS,
	                                 VU_GET_STATUS,   VU_IOTLB_MSG};
	uint8_t zero[64] = {0};

	begin();
	for (unsigned i = 0; i < sizeof(gated) / sizeof(gated[0]); i++) {
		const struct vu_entry *e = vu_find(gated[i]);

		if (f.sock < 0)
			vf_connect(&f);
		vf_negotiate(&f, VF_NO_PROTOCOL);
		send_fds(gated[i], zero, e->min, e->min_fds);
		vf_expect_closed(&f, "not negotiated");
	}
	end();
}
END_TEST

START_TEST(CH_1f0a78b76)
{
	struct vu_config c;

	begin();
	vf_negotiate(&f, 0);
	for (uint32_t size = 1; size <= 64; size++) {
		for (uint32_t sent = 0; sent <= 64; sent++) {
			c = (struct vu_config){.offset = 32, .size = size};
			/* More or fewer bytes than the message says. */
			ck_assert_int_eq(vf_ack(&f, VU_SET_CONFIG, &c, VU_CONFIG_HEADER + sent, NULL, 0),
			                 !(sent == size && 32 + size <= vdev_config_len(f.v)));
		}
	}
	end();
}
END_TEST

START_TEST(CVE_2022_0998)
{
	static const uint32_t bad[][2] = {
		{0xffffffff, 1}, {0xffffff00, 0x100}, {1, 0xffffffff}, {256, 1}, {0, 257}, {1, 256}};
	struct vu_config c;

	begin();
	vf_negotiate(&f, 0);
	for (unsigned i = 0; i < 6; i++) {
		c = (struct vu_config){.offset = bad[i][0], .size = bad[i][1]};
		ck_assert_int_eq(vf_ack(&f, VU_SET_CONFIG, &c, sizeof(c), NULL, 0), 1);
		vf_send(&f, VU_GET_CONFIG, &c, sizeof(c));
		ck_assert_int_eq(vf_answer(&f, VU_GET_CONFIG, &c, sizeof(c)), 0);
	}
	end();
}
END_TEST

static int first_used(void *ctx)
{
	return vf_used_idx(ctx, 0) == 1;
}

START_TEST(DPDK_11a426ee6b)
{
	uint64_t index = 0;
	int call;

	begin();
	vf_up(&f, 0, 2);
	/* A full counter: a write to it would block. Notifications are lost, requests are not. */
	call = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq((int)write(call, &(uint64_t){UINT64_MAX - 1}, 8), 8);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &index, 8, &call, 1), 0);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, 512);
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	ck_assert(vf_until(first_used, &f));
	vf_ask_base(&f, 0);
	ck_assert_uint_eq(vf_take_base(&f, 0), 1);
	close(call);
	end();
}
END_TEST

START_TEST(DPDK_84d56507c2)
{
	begin();
	for (int i = 0; i < 60; i++) {
		vf_up(&f, 0, 2);
		for (unsigned k = 0; k < 16; k++)
			(void)vf_submit(&f, k % 2, 0, 0, VF_DATA, 65536);
		/* In the middle of it, with a message half sent. */
		vf_send_raw(&f, VU_SET_VRING_NUM, VU_VERSION, 8, &i, 3, NULL, 0);
		vf_disconnect(&f);
	}
	end();
}
END_TEST

START_TEST(yc_d20795a)
{
	begin();
	for (int i = 0; i < 30; i++) {
		int fd = vdev_os_memfd("log", 1 << 20);

		vf_up(&f, 0, 2);
		ck_assert_int_eq(set_log(fd, 1 << 20, 0), 8);
		ck_assert_int_eq(set_log(fd, 1 << 19, 0), 8);
		close(fd);
		ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features | 1ull << VU_F_LOG_ALL), 0);
		(void)vf_submit(&f, 0, 0, 0, VF_DATA, 65536);
		vf_disconnect(&f);
	}
	end();
}
END_TEST

static int update(void)
{
	return vf_map(&f, 0, 4096, VU_IOTLB_READ | VU_IOTLB_WRITE);
}

/* Translations, and acknowledgements of misses, at each step before the device is ready. */
START_TEST(QEMU_4d1ccc17f4)
{
	struct vu_iotlb m = {.iova = VF_IOVA, .size = 4096, .uva = VF_UVA, .perm = 3};

	begin();
	for (m.type = 0; m.type < 6; m.type++) {
		if (f.sock < 0)
			vf_connect(&f);
		vf_send(&f, VU_IOTLB_MSG, &m, sizeof(m));
		vf_expect_closed(&f, "not negotiated");
	}
	vf_connect(&f);
	vf_negotiate(&f, 0); /* without ACCESS_PLATFORM */
	vf_memory(&f);
	ck_assert_int_ne(update(), 0);
	ck_assert_int_ne(vf_unmap(&f, 0, 4096), 0);
	vf_disconnect(&f);
	for (int i = 0; i < 3; i++) {
		vf_connect(&f);
		vf_negotiate(&f, VF_IOMMU);
		ck_assert_int_ne(update(), 0); /* no memory yet */
		ck_assert_int_eq(vf_unmap(&f, 0, 0), 0);
		if (i == 0)
			vf_miss_ack(&f, 0); /* nobody asked: the channel is closed */
		vf_memory(&f);
		ck_assert_int_eq(update(), 0);
		ck_assert_int_eq(vf_unmap(&f, 0, 4096), 0);
		if (i > 0) {
			/* A ring that waits for its translation, when the channel goes. */
			vf_ring_setup(&f, 0);
			vf_ring_go(&f, 0);
			vf_kick(&f, 0);
			ck_assert_int_eq(vf_miss(&f, &m, 5000), 1);
			if (i == 1)
				vf_miss_ack(&f, 0);
			vf_miss_ack(&f, 0);
		}
		ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
		vf_disconnect(&f);
	}
	end();
}
END_TEST

/* Everything is taken back, the rings too, while queues are at work on it. */
START_TEST(DPDK_87b639b4ed)
{
	begin();
	for (int packed = 0; packed < 2; packed++) {
		if (f.sock < 0)
			vf_connect(&f);
		vf_up(&f, VF_IOMMU | (packed ? VF_PACKED : 0), 2);
		for (unsigned i = 0; i < 60; i++) {
			unsigned slot[8];

			memset(f.mem + VF_DATA, (int)i, 65536);
			ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA, 16384), 0);
			for (unsigned k = 0; k < 8; k++)
				slot[k] = vf_submit(&f, k % 2, 0, 0, VF_DATA + (1 + k) * 65536, 16384);
			ck_assert_int_eq(vf_unmap(&f, 0, i % 3 == 0 ? VF_BYTES : 65536 * (i % 7)), 0);
			for (unsigned k = 0; k < 8; k++) {
				ck_assert_uint_eq(vf_finish(&f, k % 2, slot[k]), 0);
				ck_assert_mem_eq(f.mem + VF_DATA, f.mem + VF_DATA + (1 + k) * 65536, 16384);
			}
		}
		vf_disconnect(&f);
	}
	end();
}
END_TEST

/* The front-end fills the counters that we notify through, and lets writes and reads wait: nobody of ours does. */
START_TEST(full_counters_that_block)
{
	uint64_t most = UINT64_MAX - 1;
	struct vf_ring *r = &f.rings[0];

	begin();
	vf_up(&f, 0, 2);
	alarm(20);
	(void)vdev_os_drain(r->call);
	ck_assert_int_eq(write(r->call, &most, sizeof(most)), sizeof(most));
	ck_assert_int_ge(vdev_os_nonblock(r->call, 0), 0);
	ck_assert_int_ge(vdev_os_nonblock(r->kick, 0), 0);
	for (int i = 0; i < 20; i++) {
		unsigned slot;

		ck_assert_int_eq(virtq_drv_arm(&r->drv), 0);
		slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
		ck_assert_int_eq(vf_done_within(&f, 0, slot, 5000), 1);
		r->slots[slot].used = 0;
		ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	}
	end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("evil vhost-user");
	TCase *c = tcase_create("vhost-user");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, CVE_2019_14818_a);
	tcase_add_test(c, CVE_2019_14818_b);
	tcase_add_test(c, CVE_2020_10723);
	tcase_add_test(c, rust_vmm_38c442d);
	tcase_add_test(c, SPDK_71c1bbeeb5);
	tcase_add_test(c, yc_58cd9ea);
	tcase_add_test(c, DPDK_d1e390eb13);
	tcase_add_test(c, libvhost_user_3c6e5df1f6);
	tcase_add_test(c, DPDK_dc023498c9);
	tcase_add_test(c, rust_vmm_0152e88);
	tcase_add_test(c, rust_vmm_94be3df);
	tcase_add_test(c, CH_1f0a78b76);
	tcase_add_test(c, CVE_2022_0998);
	tcase_add_test(c, DPDK_11a426ee6b);
	tcase_add_test(c, DPDK_84d56507c2);
	tcase_add_test(c, yc_d20795a);
	tcase_add_test(c, QEMU_4d1ccc17f4);
	tcase_add_test(c, DPDK_87b639b4ed);
	tcase_add_test(c, full_counters_that_block);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
