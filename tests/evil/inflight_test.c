/* SPDX-License-Identifier: BSD-3-Clause */
/* Areas of requests in flight: wrong sizes from a front-end, and contents from whoever wrote there last. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"
#include "rng.h"
#include "vu_front.h"

enum { ENTRIES = 8 };

static struct vu_front f;

static int set_area(const struct vu_inflight *a, int fd)
{
	return vf_ack(&f, VU_SET_INFLIGHT_FD, a, sizeof(*a), &fd, 1);
}

static void begin(int kind)
{
	vf_start(&f, 2, VF_ONE_THREAD);
	vf_connect(&f);
	vf_negotiate(&f, kind);
	vf_memory(&f);
}

START_TEST(CVE_2020_10726)
{
	unsigned before;

	begin(0);
	before = test_descriptors();
	for (int i = 0; i < 100; i++) {
		struct vu_inflight a = {.num_queues = 2, .queue_size = VF_RING};
		int fd;

		vf_send(&f, VU_GET_INFLIGHT_FD, &a, sizeof(a));
		ck_assert_int_eq(vf_answer_fd(&f, VU_GET_INFLIGHT_FD, &a, sizeof(a), &fd), sizeof(a));
		ck_assert_int_eq(set_area(&a, fd), 0);
		close(fd);
		ck_assert_uint_eq(test_descriptors(), before);
	}
	ck_assert_uint_eq(f.connects, 1);
	vf_stop(&f);
}
END_TEST

/* Counts beyond what the device has. */
START_TEST(CVE_2021_3839)
{
	static const struct vu_inflight bad[] = {
		{.num_queues = 3, .queue_size = 64},     {.num_queues = 0xffff, .queue_size = 0xffff},
		{.num_queues = 0, .queue_size = 64},     {.num_queues = 2, .queue_size = 0},
		{.num_queues = 2, .queue_size = 0x8000},
	};
	int fd = vdev_os_memfd("area", 1 << 20);

	begin(0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vu_inflight a = bad[i];

		a.mmap_size = 1 << 20;
		ck_assert_int_ne(set_area(&a, fd), 0);
		vf_send(&f, VU_GET_INFLIGHT_FD, &a, sizeof(a));
		vf_expect_closed(&f, "in-flight area");
		vf_connect(&f);
		vf_negotiate(&f, 0);
		vf_memory(&f);
	}
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	close(fd);
	vf_stop(&f);
}
END_TEST

START_TEST(libvhost_user_set_inflight_fd)
{
	uint64_t need = 2 * ((virtq_inflight_bytes(VF_RING, 0) + 63) & ~63u);
	int fd = vdev_os_memfd("area", need), pair[2];
	struct vu_inflight a = {.num_queues = 2, .queue_size = VF_RING, .mmap_size = need};
	const struct vu_inflight good = a;

	begin(0);
	a.mmap_size = need - 1;
	ck_assert_int_ne(set_area(&a, fd), 0);
	a = good;
	a.mmap_offset = 64; /* the file is too short for that */
	ck_assert_int_ne(set_area(&a, fd), 0);
	a.mmap_offset = UINT64_MAX - 63;
	ck_assert_int_ne(set_area(&a, fd), 0);
	a.mmap_offset = 1;
	ck_assert_int_ne(set_area(&a, fd), 0);
	a = good;
	a.mmap_size = UINT64_MAX;
	ck_assert_int_ne(set_area(&a, fd), 0);
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_ne(set_area(&good, pair[0]), 0);
	close(pair[0]);
	close(pair[1]);
	ck_assert_int_eq(set_area(&good, fd), 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	/* Not while a ring uses it. */
	vf_send_raw(&f, VU_SET_INFLIGHT_FD, VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(good), &good,
	            sizeof(good), &fd, 1);
	vf_expect_closed(&f, "while a ring runs");
	close(fd);
	vf_stop(&f);
}
END_TEST

/* A region that contradicts itself: its ring does not start and says so, the other one works. */
START_TEST(yc_155f232_DPDK_abd207e5fa)
{
	uint64_t each = (virtq_inflight_bytes(VF_RING, _i) + 63) & ~63u;
	struct vu_inflight a = {.num_queues = 2, .queue_size = VF_RING, .mmap_size = 2 * each};
	int fd = vdev_os_memfd("area", 2 * each);
	uint16_t *region = mmap(NULL, (size_t)(2 * each), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	begin(_i ? VF_PACKED : 0);
	ck_assert_ptr_ne(region, MAP_FAILED);
	region[4] = 1;       /* version */
	region[5] = VF_RING; /* entries */
	if (_i)
		region[8] = 0xffff; /* the used position */
	else
		region[7] = (uint16_t)-5; /* the used index: a batch of five, a list that goes in circles */
	ck_assert_int_eq(set_area(&a, fd), 0);
	for (unsigned q = 0; q < 2; q++) {
		vf_ring_setup(&f, q);
		vf_ring_go(&f, q);
	}
	vf_driver_ok(&f);
	ck_assert(vf_signalled(f.rings[0].err, 5000));
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	munmap(region, (size_t)(2 * each));
	close(fd);
	vf_stop(&f);
}
END_TEST

/* --- the ring layer alone, with whatever a region may say -------------------------- */

static _Alignas(8) uint8_t region[32 + 32 * ENTRIES];
static _Alignas(8) uint8_t track[4096];

static int attach(struct ring *r)
{
	struct virtq_inflight_config in = {.size = sizeof(in),
	                                   .region = region,
	                                   .region_bytes = sizeof(region),
	                                   .entries = ENTRIES,
	                                   .scratch = track,
	                                   .scratch_bytes = sizeof(track)};

	return virtq_inflight_attach(&r->dev, &in);
}

/* Serve what comes, a bounded while. */
static void serve(struct ring *r)
{
	struct virtq_chain c[4];

	for (int i = 0; i < 64; i++) {
		uint32_t zero[4] = {0};
		int n = virtq_dev_pop(&r->dev, c, 4, r->iov, r->niov);

		if (n <= 0)
			break;
		ck_assert_int_le(n, 4);
		ck_assert_uint_le(virtq_dev_inflight(&r->dev), ENTRIES);
		if (i == 0)
			(void)!virtq_dev_unpop(&r->dev, c, (uint32_t)n);
		else
			(void)!virtq_dev_push(&r->dev, c, zero, (uint32_t)n);
		virtq_dev_publish(&r->dev);
	}
}

static void corrupt(struct rng *rng, uint32_t bytes)
{
	static const uint16_t words[] = {0, 1, 7, 8, 9, 0xffff, 0x8000, 3};

	for (uint32_t n = 1 + rng_below(rng, 4); n > 0; n--) {
		uint32_t at = rng_below(rng, bytes / 2) * 2;

		if (at >= 8 && at < 12)
			continue; /* version and size: checked apart, and nothing else would be reached */
		memcpy(region + at, &words[rng_below(rng, 8)], 2);
	}
}

/* Valid regions with requests in flight, spoiled at random: refused, or served within the ring's bounds. */
START_TEST(spoiled_regions)
{
	struct virtq_features features = features_of(1, VIRTQ_F_VERSION_1);
	struct rng rng;
	int refused = 0, accepted = 0;

	if (_i)
		features.word[0] |= 1ull << VIRTQ_F_RING_PACKED;
	rng_seed(&rng, (uint64_t)_i);
	for (int round = 0; round < 3000; round++) {
		struct virtq_region memory = {.len = 16384};
		struct ring_config cfg = {.size = ENTRIES, .features = features};
		struct guest g;
		struct ring r;
		struct virtq_chain c[4];
		int rc;

		guest_init(&g, &memory, 1);
		ring_init(&r, &g, &cfg);
		memset(region, 0, sizeof(region));
		ck_assert_int_eq(ring_dev_init(&r, NULL, 4), 0);
		ck_assert_int_eq(attach(&r), 0);
		for (int i = 0; i < 4; i++) {
			struct virtq_seg seg[2] = {{64, 8}, {128, 8}};

			ck_assert_int_eq(virtq_drv_add(&r.drv, seg, 1, (uint32_t)i % 2, &r), 0);
		}
		virtq_drv_publish(&r.drv);
		rc = virtq_dev_pop(&r.dev, c, 4, r.iov, r.niov);
		ck_assert_int_eq(rc, 4);
		ck_assert_int_eq(virtq_dev_release(&r.dev, c, 4), 0);
		ck_assert_int_eq(virtq_dev_fini(&r.dev), 0);
		free(r.dev_scratch);
		free(r.iov);
		free(r.seg);
		r.dev_scratch = NULL;
		corrupt(&rng, (uint32_t)virtq_inflight_bytes(ENTRIES, _i));
		ck_assert_int_eq(ring_dev_init(&r, NULL, 4), 0);
		rc = attach(&r);
		if (rc >= 0) {
			accepted++;
			ck_assert_int_le(rc, ENTRIES);
			serve(&r);
		} else {
			refused++;
			ck_assert_int_eq(rc, VIRTQ_EBADMSG);
		}
		ring_fini(&r);
		guest_fini(&g);
	}
	ck_assert_int_gt(refused, 100);
	ck_assert_int_gt(accepted, 100);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("evil inflight");
	TCase *c = tcase_create("inflight");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, CVE_2020_10726);
	tcase_add_test(c, CVE_2021_3839);
	tcase_add_test(c, libvhost_user_set_inflight_fd);
	tcase_add_loop_test(c, yc_155f232_DPDK_abd207e5fa, 0, 2);
	tcase_add_loop_test(c, spoiled_regions, 0, 2);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
