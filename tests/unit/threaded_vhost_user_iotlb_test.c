/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user behind an IOMMU: misses, updates and invalidations, answered well, late, out of order, in part, with wrong
 * permissions, or never.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rng.h"
#include "vu_front.h"

enum { READ = 0, WRITE = 1, OK = 0, R = VU_IOTLB_READ, W = VU_IOTLB_WRITE, RW = R | W };
enum { REQUEST = 1 << 20, MS = 5000 };

static struct vu_front f;

/* Pages are asked for once, whoever wants them, and again when they were taken back. */
START_TEST(requests_behind_an_iommu)
{
	unsigned misses;

	vf_up_iommu(&f, _i, 2);
	memset(f.mem + VF_DATA, 0x5c, 65536);
	ck_assert_uint_eq(vf_request(&f, 0, WRITE, 0, VF_DATA, 65536), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA + 65536 - 512, 65536), OK);
	ck_assert_mem_eq(f.mem + VF_DATA, f.mem + VF_DATA + 65536 - 512, 65536 - 512);
	misses = f.misses;
	ck_assert_uint_ge(misses, 32);
	ck_assert_uint_eq(vf_request(&f, 0, WRITE, 8, VF_DATA, 65536), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 8, VF_DATA + 65536 - 512, 65536), OK);
	ck_assert_uint_eq(f.misses, misses);
	ck_assert_uint_eq(vf_iotlb(&f).misses, misses);
	ck_assert_uint_eq(vf_iotlb(&f).updates, misses);
	ck_assert_int_eq(vf_unmap(&f, VF_DATA + 4096, 4096), 0);
	ck_assert_uint_eq(vf_request(&f, 0, WRITE, 8, VF_DATA, 65536), OK);
	ck_assert_uint_eq(f.misses, misses + 1);
	ck_assert_uint_eq(vf_iotlb(&f).invalidates, 1);
	ck_assert_uint_eq(vf_iotlb(&f).refused, 0);
	vf_stop(&f);
}
END_TEST

/* While one queue waits, the other works; control too. Then the answer comes, late. */
START_TEST(late_answers)
{
	struct vu_iotlb m;
	unsigned late;

	vf_up_iommu(&f, _i, 2);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
	late = vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
	ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
	ck_assert_uint_eq(m.type, VU_IOTLB_MISS);
	ck_assert_uint_eq(m.iova, VF_IOVA + VF_DATA + 65536);
	ck_assert_uint_eq(m.perm, W);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
	ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
	ck_assert_int_eq(f.rings[0].slots[late].done, 0);
	vf_kick(&f, 0); /* a kick is no answer */
	ck_assert_int_eq(vf_miss(&f, &m, 50), 0);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 4096, RW), 0);
	ck_assert_uint_eq(vf_finish(&f, 0, late), OK);
	vf_miss_ack(&f, 0);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	vf_stop(&f);
}
END_TEST

/* Misses of one buffer are out together; their answers come in another order, and in parts of other sizes. */
START_TEST(answers_out_of_order_and_in_part)
{
	struct vu_iotlb m[9];
	unsigned slot, n = 0;

	vf_up_iommu(&f, _i, 1);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	slot = vf_submit(&f, 0, READ, 0, VF_DATA + 65536 + 100, 8 * 4096);
	while (n < 9) {
		ck_assert_int_eq(vf_miss(&f, &m[n], MS), 1);
		ck_assert_uint_eq(m[n].type, VU_IOTLB_MISS);
		ck_assert_uint_eq(m[n].iova / 4096, (VF_IOVA + VF_DATA + 65536) / 4096 + n);
		n++;
	}
	/* The last page by halves, the first two in one, the others backwards. */
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536 + 8 * 4096 + 60, 4096 - 60, RW), 0);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536 + 8 * 4096, 60, RW), 0);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 8192, RW), 0);
	for (n = 7; n >= 3; n--)
		ck_assert_int_eq(vf_map(&f, VF_DATA + 65536 + n * 4096, 4096, RW), 0);
	ck_assert_int_eq(f.rings[0].slots[slot].done, 0);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536 + 2 * 4096, 4096, RW), 0);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
	for (n = 0; n < 9; n++)
		vf_miss_ack(&f, 0);
	ck_assert_int_eq(vf_miss(&f, m, 20), 0);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA + 65536, 8 * 4096), OK);
	vf_stop(&f);
}
END_TEST

static int is_broken(void *ctx)
{
	(void)ctx;
	return vdev_queue_broken(f.v, 0);
}

static void expect_broken(void)
{
	uint64_t end = vdev_os_now() + MS * 1000000ull;

	while (!is_broken(NULL)) {
		(void)vf_serve(&f, 20);
		ck_assert_uint_lt(vdev_os_now(), end);
	}
	ck_assert_int_eq(vf_signalled(f.rings[0].err, MS), 1);
}

/* Refused, or mapped for the other direction: the queue breaks, the other goes on, and a stop and start heals it. */
START_TEST(no_permission)
{
	static const struct {
		uint32_t type;
		uint8_t perm, unmapped;
	} cases[] = {{READ, R, 0}, {WRITE, W, 0}, {READ, 0, 1}, {WRITE, 0, 1}};
	uint32_t page = VF_DATA / VF_PAGE + 20;

	for (unsigned i = 0; i < 4; i++) {
		vf_up_iommu(&f, _i, 2);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
		f.perm[page] = cases[i].perm;
		(void)vf_submit(&f, 0, cases[i].type, 0, page * VF_PAGE, 512);
		expect_broken();
		ck_assert_uint_ge(vf_iotlb(&f).refused, 1);
		/* Mapped, but not for this: the front-end is told. */
		if (!cases[i].unmapped) {
			if (f.denied.type == 0)
				ck_assert_int_eq(vf_serve(&f, MS), 1);
			ck_assert_uint_eq(f.denied.type, VU_IOTLB_ACCESS_FAIL);
			ck_assert_uint_eq(f.denied.iova, VF_IOVA + page * VF_PAGE);
			ck_assert_uint_eq(f.denied.perm, cases[i].type == WRITE ? R : W);
		}
		ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
		vf_ask_base(&f, 0);
		(void)vf_take_base(&f, 0);
		f.perm[page] = RW;
		ck_assert_int_eq(vf_unmap(&f, 0, VF_BYTES), 0);
		memset(f.mem, 0, 65536);
		vf_ring_setup(&f, 0);
		vf_ring_go(&f, 0);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, page * VF_PAGE, 512), OK);
		vf_stop(&f);
	}
}
END_TEST

/* An update that gives less than was asked for, then one that gives the rest. */
START_TEST(permission_comes_later)
{
	struct vu_iotlb m;
	unsigned slot;

	vf_up_iommu(&f, _i, 1);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	slot = vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
	ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 4096, R), 0);
	ck_assert_int_eq(vf_miss(&f, &m, 50), 0); /* not over before it is acknowledged */
	ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
	ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 4096, RW), 0);
	vf_miss_ack(&f, 0);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
	vf_stop(&f);
}
END_TEST

/* Acknowledged well, but not told yet: the queue waits for what is to come, which may turn out to be too little. */
START_TEST(translation_comes_after_its_answer)
{
	struct vu_iotlb m;
	unsigned slot;

	vf_up_iommu(&f, _i, 2);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
	for (int little = 0; little < 2; little++) {
		slot = vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
		ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
		vf_miss_ack(&f, 0);
		for (int i = 0; i < 10; i++) {
			ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
			ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
		}
		vf_kick(&f, 0);
		ck_assert_int_eq(vf_miss(&f, &m, 20), 0); /* it is not asked for again */
		ck_assert_int_eq(vdev_queue_broken(f.v, 0), 0);
		ck_assert_uint_eq(vf_iotlb(&f).refused, 0);
		ck_assert_int_eq(vf_map(&f, VF_DATA + 65536, 4096, little ? R : RW), 0);
		if (!little) {
			ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
			ck_assert_int_eq(vf_unmap(&f, VF_DATA + 65536, 4096), 0);
		}
	}
	expect_broken();
	ck_assert_uint_eq(vf_iotlb(&f).refused, 1);
	vf_stop(&f);
}
END_TEST

/* The front-end never answers. Nothing that it asks for itself waits for that. */
START_TEST(never_answered)
{
	struct vu_iotlb m;

	for (int op = 0; op < 5; op++) {
		for (int ring = 0; ring < 2; ring++) {
			vf_up_iommu(&f, _i, 2);
			f.deaf = 1;
			if (ring) {
				vf_kick(&f, 0);
			} else {
				f.deaf = 0;
				ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
				f.deaf = 1;
				(void)vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 8192);
			}
			ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
			if (op == 0) {
				vf_ask_base(&f, 0);
				(void)vf_take_base(&f, 0);
			} else if (op == 1) {
				ck_assert_int_eq(vf_ack(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
			} else if (op == 2) {
				ck_assert_int_eq(vf_unmap(&f, 0, VF_BYTES), 0);
			} else if (op == 3) {
				vf_memory(&f);
			}
			vf_disconnect(&f);
			f.deaf = 0;
			vf_up(&f, vf_iommu_kinds[_i] | VF_IOMMU, 2);
			ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA + 65536, 8192), OK);
			vf_stop(&f);
		}
	}
}
END_TEST

/* The acknowledgement comes when the buffers that lie in the range are let go of, and not before. */
START_TEST(invalidation_waits_for_buffers)
{
	uint64_t ack = 1;
	unsigned slot, other;

	vf_up_iommu(&f, _i, 2);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 8192), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA + 65536, 8192), OK);
	slow_disk_hold(f.disk, 1);
	slot = vf_submit(&f, 0, READ, 0, VF_DATA, 8192);
	while (slow_disk_held(f.disk) == 0)
		usleep(1000);
	memset(f.mem + VF_DATA, 0xaa, 8192);
	vf_send_unmap(&f, VF_DATA + 4096, 4096);
	ck_assert_int_eq(vf_silent(&f, 100), 1);
	/* Meanwhile queues go on taking requests: of this one too, and they don't put the end off. */
	slow_disk_hold(f.disk, 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA + 65536, 8192), OK);
		other = vf_submit(&f, 0, READ, 0, VF_DATA, 512);
		if (!(vf_iommu_kinds[_i] & VF_IN_ORDER))
			ck_assert_uint_eq(vf_finish(&f, 0, other), OK);
	}
	ck_assert_int_eq(vf_silent(&f, 50), 1);
	slow_disk_hold(f.disk, 1);
	ck_assert_uint_eq(slow_disk_held(f.disk), 1);
	slow_disk_release(f.disk, 1, 0, 0);
	slow_disk_hold(f.disk, 0);
	ck_assert_int_eq(vf_answer(&f, VU_IOTLB_MSG, &ack, sizeof(ack)), 8);
	ck_assert_uint_eq(ack, 0);
	/* From here on the range is somebody else's. */
	ck_assert_uint_eq(f.mem[VF_DATA + 8191], 0);
	memset(f.mem + VF_DATA + 4096, 0xbb, 4096);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
	for (int i = 0; i < 4096; i++)
		if (f.mem[VF_DATA + 4096 + (unsigned)i] != 0xbb)
			ck_abort_msg("written after the answer, at %d", i);
	vf_stop(&f);
}
END_TEST

/* The ring's own pages: nothing of it is touched after the answer, until it has been asked for and told. */
START_TEST(ring_is_taken_back)
{
	static uint8_t copy[65536];
	uint64_t ack = 1;
	struct vu_iotlb m;
	unsigned slot, held;

	vf_up_iommu(&f, _i, 2);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
	slow_disk_hold(f.disk, 1);
	held = vf_submit(&f, 0, READ, 0, VF_DATA, 512);
	while (slow_disk_held(f.disk) == 0)
		usleep(1000);
	vf_send_unmap(&f, 0, 65536);
	ck_assert_int_eq(vf_silent(&f, 50), 1);
	slow_disk_hold(f.disk, 0);
	slow_disk_release(f.disk, 1, 0, 0);
	ck_assert_int_eq(vf_answer(&f, VU_IOTLB_MSG, &ack, sizeof(ack)), 8);
	ck_assert_uint_eq(ack, 0);
	slot = vf_submit(&f, 0, READ, 0, VF_DATA, 512);
	memcpy(copy, f.mem, sizeof(copy));
	memset(f.mem, 0xee, sizeof(copy));
	vf_kick(&f, 0);
	ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
	ck_assert_uint_lt(m.iova - VF_IOVA, 65536);
	ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 512), OK);
	for (unsigned i = 0; i < sizeof(copy); i++)
		if (f.mem[i] != 0xee)
			ck_abort_msg("the ring was written at %u", i);
	memcpy(f.mem, copy, sizeof(copy));
	ck_assert_int_eq(vf_map(&f, 0, 65536, RW), 0);
	vf_miss_ack(&f, 0);
	ck_assert_uint_eq(vf_finish(&f, 0, held), OK);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
	vf_stop(&f);
}
END_TEST

static int iotlb(uint64_t iova, uint64_t size, uint64_t uva, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = {.iova = iova, .size = size, .uva = uva, .perm = perm, .type = type};

	return vf_ack(&f, VU_IOTLB_MSG, &m, 26, NULL, 0);
}

/* What can't be a translation is refused and has no effect; ranges that mean everything do. */
START_TEST(odd_ranges)
{
	uint64_t entries;

	vf_up_iommu(&f, _i, 1);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 8192), OK);
	entries = vf_iotlb(&f).entries;
	ck_assert_int_eq(iotlb(0, 0, VF_UVA, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(UINT64_MAX - 4094, 4096, VF_UVA, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, 4096, UINT64_MAX - 4094, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, 0, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, 4, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA - 1, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, VF_BYTES + 1, VF_UVA, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, UINT64_MAX, VF_UVA, RW, VU_IOTLB_UPDATE), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, RW, VU_IOTLB_MISS), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, RW, VU_IOTLB_ACCESS_FAIL), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, RW, 0), 1);
	ck_assert_int_eq(iotlb(0, 4096, VF_UVA, RW, 5), 1);
	ck_assert_uint_eq(vf_iotlb(&f).entries, entries);
	ck_assert_int_eq(iotlb(UINT64_MAX - 4095, 4096, VF_UVA, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_int_eq(iotlb(0, VF_BYTES, VF_UVA, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_eq(vf_iotlb(&f).entries, entries + 2);
	for (int i = 0; i < 3; i++) {
		uint64_t all[3][2] = {{0, 0}, {4096, UINT64_MAX}, {0, UINT64_MAX}};

		ck_assert_int_eq(iotlb(UINT64_MAX - 8191, 8192, VF_UVA, RW, VU_IOTLB_UPDATE), 0);
		ck_assert_int_eq(iotlb(all[i][0], all[i][1], 0, 0, VU_IOTLB_INVALIDATE), 0);
		ck_assert_uint_le(vf_iotlb(&f).entries, i == 2);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 8192), OK);
	}
	vf_stop(&f);
}
END_TEST

/* A page moves, without a word or after one: the next request finds it where it is. */
START_TEST(remapped)
{
	vf_up_iommu(&f, _i, 1);
	for (int i = 0; i < 2; i++) {
		uint64_t iova = VF_IOVA + VF_DATA;

		ck_assert_int_eq(vf_map(&f, VF_DATA, 4096, RW), 0);
		memset(f.mem + VF_DATA, 0x11, 8192);
		ck_assert_uint_eq(vf_request(&f, 0, WRITE, 0, VF_DATA, 512), OK);
		if (i)
			ck_assert_int_eq(vf_unmap(&f, VF_DATA, 4096), 0);
		ck_assert_int_eq(iotlb(iova, 4096, VF_UVA + VF_DATA + 4096, RW, VU_IOTLB_UPDATE), 0);
		memset(f.mem + VF_DATA, 0x22, 4096);
		memset(f.mem + VF_DATA + 4096, 0x33, 4096);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
		ck_assert_uint_eq(f.mem[VF_DATA], 0x22);
		ck_assert_uint_eq(f.mem[VF_DATA + 4096], 0x11);
	}
	vf_stop(&f);
}
END_TEST

/* Each write is marked where the page really is, and nowhere else; so is the ring. */
START_TEST(dirty_pages_are_guest_pages)
{
	enum { LOG_BYTES = (VF_GPA + VF_BYTES) / 4096 / 8 };
	struct vu_log_desc d = {.bytes = LOG_BYTES};
	int fd = vdev_os_memfd("log", LOG_BYTES);
	uint8_t *log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t reply, first = VF_GPA / 4096, target = (VF_GPA + VF_DATA + 12 * 4096) / 4096;

	ck_assert_ptr_ne(log, MAP_FAILED);
	vf_up_iommu(&f, _i, 1);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	vf_send_raw(&f, VU_SET_LOG_BASE, VU_VERSION, sizeof(d), &d, sizeof(d), &fd, 1);
	ck_assert_int_eq(vf_answer(&f, VU_SET_LOG_BASE, &reply, sizeof(reply)), 8);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features | 1ull << VU_F_LOG_ALL), 0);
	/* The page is elsewhere than its address says. */
	ck_assert_int_eq(vf_unmap(&f, VF_DATA, 4096), 0);
	ck_assert_int_eq(
		iotlb(VF_IOVA + VF_DATA, 4096, VF_UVA + VF_DATA + 12 * 4096, RW, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	for (uint64_t page = 0; page < LOG_BYTES * 8ull; page++) {
		int set = log[page / 8] >> page % 8 & 1;
		int ring = page >= first && page < first + 16;
		int header = page >= first + REQUEST / 4096 && page < first + REQUEST / 4096 + 8;

		if (page == target)
			ck_assert_int_eq(set, 1);
		else if (!ring && !header)
			ck_assert_int_eq(set, 0);
	}
	/* The used ring's page: the device area of split, the descriptors of packed. */
	{
		const struct virtq_state *s = &f.rings[0].state;
		uint64_t at = vf_iommu_kinds[_i] & VF_PACKED ? s->desc : s->device;
		uint64_t page = (at - VF_IOVA + VF_GPA) / 4096;

		ck_assert_int_ne(log[page / 8] >> page % 8 & 1, 0);
	}
	vf_stop(&f);
	munmap(log, LOG_BYTES);
	close(fd);
}
END_TEST

/* Memory changes under a running queue: everything is asked for anew, the ring too. */
START_TEST(memory_table_changes)
{
	unsigned misses;

	vf_up_iommu(&f, _i, 2);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 8192), OK);
		ck_assert_uint_eq(vf_request(&f, 1, READ, 0, VF_DATA, 8192), OK);
		misses = f.misses;
		vf_memory(&f);
		vf_memory(&f);
		ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 8192), OK);
		ck_assert_uint_gt(f.misses, misses);
	}
	vf_stop(&f);
}
END_TEST

/* The channel comes late, or is replaced while misses are out: they are asked for on the new one. */
START_TEST(channel_is_replaced)
{
	struct vu_iotlb m;
	unsigned slot;
	int pair[2];

	vf_up_iommu(&f, _i, 1);
	ck_assert_uint_eq(vf_request(&f, 0, READ, 0, VF_DATA, 512), OK);
	slot = vf_submit(&f, 0, READ, 0, VF_DATA + 65536, 512);
	ck_assert_int_eq(vf_miss(&f, &m, MS), 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
	close(pair[1]);
	close(f.channel);
	f.channel = pair[0];
	ck_assert_uint_eq(vf_finish(&f, 0, slot), OK);
	vf_stop(&f);
}
END_TEST

/* Load on several queues while pages come and go: data is always the page's that it should be. */
START_TEST(pages_come_and_go)
{
	struct rng rng;

	rng_seed(&rng, (uint64_t)_i + 1);
	vf_up_iommu(&f, _i, 2);
	for (int i = 0; i < 150; i++) {
		unsigned q = (unsigned)rng_below(&rng, 2), a, b;
		uint32_t data = VF_DATA + (uint32_t)rng_below(&rng, 64) * 2048;
		uint32_t bytes = 512 * (1 + (uint32_t)rng_below(&rng, 24));

		for (uint32_t k = 0; k < bytes; k++)
			f.mem[data + k] = (uint8_t)rng_below(&rng, 256);
		a = vf_submit(&f, q, WRITE, q * 64, data, bytes);
		if (rng_below(&rng, 2))
			ck_assert_int_eq(vf_unmap(&f, rng_below(&rng, 64) * 65536, 65536), 0);
		ck_assert_uint_eq(vf_finish(&f, q, a), OK);
		b = vf_submit(&f, q, READ, q * 64, VF_DATA + (1 << 20), bytes);
		if (rng_below(&rng, 3) == 0)
			ck_assert_int_eq(vf_unmap(&f, 0, VF_BYTES), 0);
		ck_assert_uint_eq(vf_finish(&f, q, b), OK);
		ck_assert_mem_eq(f.mem + data, f.mem + VF_DATA + (1 << 20), bytes);
	}
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user IOTLB");
	TCase *c = tcase_create("iotlb");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, requests_behind_an_iommu, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, late_answers, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, answers_out_of_order_and_in_part, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, no_permission, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, permission_comes_later, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, translation_comes_after_its_answer, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, never_answered, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, invalidation_waits_for_buffers, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, ring_is_taken_back, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, odd_ranges, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, remapped, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, dirty_pages_are_guest_pages, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, memory_table_changes, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, channel_is_replaced, 0, VF_IOMMU_KINDS);
	tcase_add_loop_test(c, pages_come_and_go, 0, VF_IOMMU_KINDS);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
