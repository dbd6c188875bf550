/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user: memory regions and the dirty log. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rng.h"
#include "vu_front.h"

enum { PAGE = 4096, LOG_BYTES = (VF_GPA + VF_BYTES) / PAGE / 8 };

static struct vu_front f;

static int add(struct vu_region_desc d, int fd)
{
	struct vu_mem_reg reg = {.region = d};

	return vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &fd, 1);
}

static int rem(struct vu_region_desc d)
{
	struct vu_mem_reg reg = {.region = d};

	return vf_ack(&f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0);
}

static void up(int threads)
{
	vf_start(&f, 1, threads);
	vf_connect(&f);
	vf_negotiate(&f, 0);
}

/* At least 509 regions at a time; any may go, and the device works across their borders all along. */
START_TEST(many_slots)
{
	struct vu_region_desc d;
	uint64_t slots;
	struct rng rng;
	unsigned n;

	rng_seed(&rng, 1);
	up(_i);
	slots = vf_get(&f, VU_GET_MAX_MEM_SLOTS);
	ck_assert_uint_ge(slots, 509);
	/* Rings and headers in the first, data in pages of its own region each, elsewhere in the front-end's space. */
	ck_assert_int_eq(add(vf_region(0, VF_DATA), f.memfd), 0);
	for (n = 0; n + 1 < slots; n++) {
		d = vf_region(VF_DATA + n * PAGE, PAGE);
		d.uva += (uint64_t)n * 65536;
		ck_assert_int_eq(add(d, f.memfd), 0);
	}
	d = vf_region(0, PAGE);
	d.gpa = d.uva = 0x1000;
	ck_assert_int_ne(add(d, f.memfd), 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	for (int i = 0; i < 100; i++) {
		unsigned at = rng_below(&rng, 500);
		uint64_t sector = 8 * rng_below(&rng, 200);

		memset(f.mem + VF_DATA + at * PAGE, i, 5 * PAGE);
		ck_assert_uint_eq(vf_request(&f, 0, 1, sector, VF_DATA + at * PAGE + 512, 4 * PAGE), 0);
		ck_assert_uint_eq(f.disk->data[sector * 512 + 4 * PAGE - 1], (uint8_t)i);
		d = vf_region(VF_DATA + (at + 2) * PAGE, PAGE);
		d.uva += (uint64_t)(at + 2) * 65536;
		ck_assert_int_eq(rem(d), 0);
		ck_assert_int_ne(rem(d), 0);
		ck_assert_int_eq(add(d, f.memfd), 0);
	}
	vf_stop(&f);
}
END_TEST

/* A buffer in memory that was taken away breaks the queue and touches nothing. */
START_TEST(removed_memory_is_out_of_reach)
{
	up(_i);
	ck_assert_int_eq(add(vf_region(0, VF_DATA), f.memfd), 0);
	ck_assert_int_eq(add(vf_region(VF_DATA, PAGE), f.memfd), 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	/* The ring's own memory can't go. */
	ck_assert_int_ne(rem(vf_region(0, VF_DATA)), 0);
	ck_assert_int_eq(rem(vf_region(VF_DATA, PAGE)), 0);
	memset(f.mem + VF_DATA, 0x11, PAGE);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, PAGE);
	ck_assert(vf_signalled(f.rings[0].err, 5000));
	ck_assert_uint_eq(f.mem[VF_DATA], 0x11);
	vf_stop(&f);
}
END_TEST

START_TEST(refused_regions)
{
	struct vu_mem_table t = {.count = 2};
	struct vu_region_desc d;
	int fds[2] = {f.memfd, f.memfd};
	unsigned before;
	int other;

	up(VF_ONE_THREAD);
	before = test_descriptors();
	other = memfd_create("other", MFD_CLOEXEC);
	fds[0] = fds[1] = f.memfd;
	/* empty, beyond the file, wrapping in each way */
	ck_assert_int_ne(add(vf_region(0, 0), f.memfd), 0);
	ck_assert_int_ne(add(vf_region(0, VF_BYTES + PAGE), f.memfd), 0);
	ck_assert_int_ne(add(vf_region(VF_BYTES, PAGE), f.memfd), 0);
	d = vf_region(0, PAGE);
	d.gpa = UINT64_MAX - 10;
	ck_assert_int_ne(add(d, f.memfd), 0);
	d = vf_region(0, PAGE);
	d.uva = UINT64_MAX - 10;
	ck_assert_int_ne(add(d, f.memfd), 0);
	d = vf_region(0, PAGE);
	d.offset = UINT64_MAX - 10;
	ck_assert_int_ne(add(d, f.memfd), 0);
	d = vf_region(0, PAGE);
	d.len = UINT64_MAX;
	ck_assert_int_ne(add(d, f.memfd), 0);
	/* not a file */
	ck_assert_int_ne(add(vf_region(0, PAGE), f.sock), 0);
	/* overlaps, in guest's or front-end's addresses */
	ck_assert_int_eq(add(vf_region(0, 4 * PAGE), f.memfd), 0);
	ck_assert_int_ne(add(vf_region(0, 3 * PAGE), f.memfd), 0);
	d = vf_region(0, 4 * PAGE);
	d.offset += PAGE;
	ck_assert_int_ne(add(d, f.memfd), 0);
	ck_assert_int_ge(other, 0);
	ck_assert_int_eq(ftruncate(other, VF_BYTES), 0);
	ck_assert_int_ne(add(vf_region(0, 4 * PAGE), other), 0);
	close(other);
	d = vf_region(3 * PAGE, PAGE);
	d.uva += 1 << 30;
	ck_assert_int_ne(add(d, f.memfd), 0);
	d = vf_region(3 * PAGE, PAGE);
	d.gpa += 1 << 30;
	ck_assert_int_ne(add(d, f.memfd), 0);
	/* what is removed must be what was added */
	ck_assert_int_ne(rem(vf_region(0, PAGE)), 0);
	d = vf_region(0, 4 * PAGE);
	d.uva++;
	ck_assert_int_ne(rem(d), 0);
	ck_assert_int_eq(rem(vf_region(0, 4 * PAGE)), 0);
	/* tables: overlap, more or fewer regions than descriptors, none, too many */
	t.regions[0] = vf_region(0, 2 * PAGE);
	t.regions[1] = vf_region(PAGE, 2 * PAGE);
	ck_assert_int_ne(vf_ack(&f, VU_SET_MEM_TABLE, &t, 72, fds, 2), 0);
	t.regions[1] = vf_region(2 * PAGE, 2 * PAGE);
	ck_assert_int_eq(vf_ack(&f, VU_SET_MEM_TABLE, &t, 72, fds, 2), 0);
	ck_assert_int_ne(vf_ack(&f, VU_SET_MEM_TABLE, &t, 72, fds, 1), 0);
	ck_assert_int_ne(vf_ack(&f, VU_SET_MEM_TABLE, &t, 40, fds, 2), 0);
	t.count = 0;
	ck_assert_int_ne(vf_ack(&f, VU_SET_MEM_TABLE, &t, 72, fds, 1), 0);
	t.count = 0xffffffff;
	ck_assert_int_ne(vf_ack(&f, VU_SET_MEM_TABLE, &t, 72, fds, 1), 0);
	ck_assert_uint_eq(test_descriptors(), before);
	vf_stop(&f);
}
END_TEST

/* Offsets that are no multiple of a page, and guest addresses that are none either. */
/* One that was added several times, as for several queue pairs, is there until it was removed as often. */
START_TEST(region_added_again)
{
	unsigned before;

	up(_i);
	ck_assert_int_eq(add(vf_region(0, VF_DATA), f.memfd), 0);
	ck_assert_int_eq(add(vf_region(VF_DATA, PAGE), f.memfd), 0);
	before = test_descriptors();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(add(vf_region(VF_DATA, PAGE), f.memfd), 0);
	ck_assert_uint_eq(test_descriptors(), before);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
		ck_assert_int_eq(rem(vf_region(VF_DATA, PAGE)), 0);
	}
	ck_assert_int_ne(rem(vf_region(VF_DATA, PAGE)), 0);
	memset(f.mem + VF_DATA, 0x11, PAGE);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, PAGE);
	ck_assert(vf_signalled(f.rings[0].err, 5000));
	ck_assert_uint_eq(f.mem[VF_DATA], 0x11);
	vf_stop(&f);
}
END_TEST

START_TEST(unaligned_region)
{
	struct vu_region_desc d = {
		.gpa = 0x123, .len = 0x1500, .uva = 0x456, .offset = VF_DATA + 0x789};

	up(VF_ONE_THREAD);
	ck_assert_int_eq(add(vf_region(0, VF_DATA), f.memfd), 0);
	ck_assert_int_eq(add(d, f.memfd), 0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	memset(f.disk->data, 0x3c, PAGE);
	/* The request's data at guest address 0x123. */
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, (uint32_t)(0x123u - VF_GPA), PAGE), 0);
	ck_assert_uint_eq(f.mem[VF_DATA + 0x788], 0);
	ck_assert_uint_eq(f.mem[VF_DATA + 0x789], 0x3c);
	ck_assert_uint_eq(f.mem[VF_DATA + 0x789 + PAGE - 1], 0x3c);
	ck_assert_uint_eq(f.mem[VF_DATA + 0x789 + PAGE], 0);
	vf_stop(&f);
}
END_TEST

struct log {
	int fd;
	uint8_t *bits;
};

static struct log log_new(uint64_t bytes)
{
	struct log l = {.fd = vdev_os_memfd("log", bytes)};

	ck_assert_int_ge(l.fd, 0);
	l.bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l.fd, 0);
	ck_assert_ptr_ne(l.bits, MAP_FAILED);
	return l;
}

static void log_free(struct log *l, uint64_t bytes)
{
	munmap(l->bits, bytes);
	close(l->fd);
}

static int set_log(const struct log *l, uint64_t bytes, uint64_t offset)
{
	struct vu_log_desc d = {bytes, offset};
	uint64_t answer = 1;

	vf_send_raw(&f, VU_SET_LOG_BASE, VU_VERSION, sizeof(d), &d, sizeof(d), &l->fd, 1);
	if (vf_answer(&f, VU_SET_LOG_BASE, &answer, 8) != 8)
		return -1;
	return (int)answer;
}

static int logged(const struct log *l, uint64_t gpa)
{
	return l->bits[gpa / PAGE / 8] >> (gpa / PAGE % 8) & 1;
}

/* Turn logging on or off as QEMU does: features, then each ring's address. */
static void log_all(int on)
{
	const struct virtq_state *s = &f.rings[0].state;
	struct vu_vring_addr a = {.flags = on ? VU_ADDR_LOG : 0,
	                          .desc = s->desc - VF_GPA + VF_UVA,
	                          .avail = s->driver - VF_GPA + VF_UVA,
	                          .used = s->device - VF_GPA + VF_UVA,
	                          .log = s->device};
	uint64_t features = f.features | (on ? 1ull << VU_F_LOG_ALL : 0);

	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, features), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
}

/* Every page that differs from the snapshot, unless we wrote it ourselves, is marked. */
static void compare(const struct log *l, const uint8_t *before)
{
	unsigned changed = 0;

	for (uint32_t at = 0; at < VF_BYTES; at += PAGE) {
		if (memcmp(f.mem + at, before + at, PAGE) == 0)
			continue;
		changed++;
		ck_assert_msg(logged(l, VF_GPA + at), "page %x was written and not marked", at);
	}
	ck_assert_uint_gt(changed, 0);
}

static int one_held(void *ctx)
{
	(void)ctx;
	return slow_disk_held(f.disk) == 1;
}

/* Dirty marks against the truth: reads that go well, fail after touching a part, and are cut off. */
START_TEST(log_tells_the_truth)
{
	uint8_t *before = malloc(VF_BYTES);
	struct log l = log_new(LOG_BYTES);
	struct rng rng;

	rng_seed(&rng, (uint64_t)_i + 1);
	vf_start(&f, 1, _i % 2);
	vf_up(&f, _i / 2 ? VF_PACKED : 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	ck_assert_int_eq(set_log(&l, LOG_BYTES, 0), 0);
	log_all(1);
	for (unsigned i = 0; i < 1 << 20; i++)
		f.disk->data[i] = (uint8_t)(rng_below(&rng, 255) + 1);
	for (int round = 0; round < 40; round++) {
		uint32_t at = VF_DATA + rng_below(&rng, 256) * PAGE + rng_below(&rng, 8) * 512;
		uint32_t len = (1 + rng_below(&rng, 60)) * 512;
		int how = (int)rng_below(&rng, 3);
		uint8_t got;

		memset(l.bits, 0, LOG_BYTES);
		memset(f.mem + VF_DATA, 0, VF_BYTES - VF_DATA);
		memcpy(before, f.mem, VF_BYTES);
		if (how == 1)
			slow_disk_fail(f.disk, VIRTQ_EIO, rng_below(&rng, len) + 1);
		if (how == 2) {
			unsigned slot;

			/* It is out when the ring is to stop: it ends, well or not, and is marked, before the answer. */
			slow_disk_hold(f.disk, 1);
			slot = vf_submit(&f, 0, 0, 0, at, len);
			ck_assert(vf_until(one_held, NULL));
			slow_disk_hold(f.disk, 0);
			memcpy(before, f.mem, VF_BYTES);
			vf_ask_base(&f, 0);
			slow_disk_release(f.disk, 1, round % 2 ? VIRTQ_EIO : 0, len / 2);
			vf_ring_resume(&f, 0, vf_take_base(&f, 0));
			compare(&l, before);
			(void)vf_finish(&f, 0, slot);
			continue;
		}
		got = vf_request(&f, 0, 0, 0, at, len);
		ck_assert_uint_eq(got, how == 1);
		slow_disk_fail(f.disk, 0, 0);
		compare(&l, before);
		/* And not everything is. */
		ck_assert(!logged(&l, VF_GPA + (at > VF_DATA + (1 << 20) ? VF_DATA : VF_BYTES - PAGE)));
	}
	/* Off: nothing is marked any more. */
	log_all(0);
	memset(l.bits, 0, LOG_BYTES);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	for (unsigned i = 0; i < LOG_BYTES; i++)
		ck_assert_uint_eq(l.bits[i], 0);
	vf_stop(&f);
	log_free(&l, LOG_BYTES);
	free(before);
}
END_TEST

/* Turning the log on covers what is out already; a second log takes over from the first. */
START_TEST(log_covers_what_is_out)
{
	struct log l = log_new(LOG_BYTES), second = log_new(LOG_BYTES);
	unsigned slot;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	memset(f.disk->data, 0x99, PAGE);
	slow_disk_delay(f.disk, 300);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, PAGE);
	usleep(50000);
	ck_assert_int_eq(set_log(&l, LOG_BYTES, 0), 0);
	log_all(1);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	ck_assert(logged(&l, VF_GPA + VF_DATA));
	slow_disk_delay(f.disk, 0);
	ck_assert_int_eq(set_log(&second, LOG_BYTES, 0), 0);
	memset(l.bits, 0, LOG_BYTES);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA + PAGE, PAGE), 0);
	ck_assert(logged(&second, VF_GPA + VF_DATA + PAGE));
	ck_assert(!logged(&l, VF_GPA + VF_DATA + PAGE));
	vf_stop(&f);
	log_free(&l, LOG_BYTES);
	log_free(&second, LOG_BYTES);
}
END_TEST

/* The used ring is logged where the front-end says, which may be outside of memory; it may change while the ring runs. */
START_TEST(used_ring_has_a_log_address)
{
	uint64_t bytes = LOG_BYTES + 4096, where = VF_GPA + VF_BYTES + 16 * PAGE;
	struct log l = log_new(bytes);
	const struct virtq_state *s = &f.rings[0].state;
	struct vu_vring_addr a = {.flags = VU_ADDR_LOG, .log = where};

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	a.desc = s->desc - VF_GPA + VF_UVA;
	a.avail = s->driver - VF_GPA + VF_UVA;
	a.used = s->device - VF_GPA + VF_UVA;
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	ck_assert_int_eq(set_log(&l, bytes, 0), 0);
	log_all(1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	ck_assert(logged(&l, s->device));
	ck_assert(!logged(&l, where));
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
	memset(l.bits, 0, bytes);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	ck_assert(logged(&l, where));
	ck_assert(!logged(&l, s->device));
	/* Its last byte must be within the log. */
	a.log = bytes * 8 * PAGE - 100;
	ck_assert_int_ne(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
	a.log = UINT64_MAX;
	ck_assert_int_ne(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
	vf_stop(&f);
	log_free(&l, bytes);
}
END_TEST

/* A log whose end is in the middle of a word, at an offset in its file. */
START_TEST(log_of_an_odd_size)
{
	uint64_t bytes = LOG_BYTES + 3;
	struct log l = log_new(4096 + bytes);

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	ck_assert_int_eq(set_log(&l, bytes, 4096), 0);
	log_all(1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_BYTES - PAGE, PAGE), 0);
	l.bits += 4096;
	ck_assert(logged(&l, VF_GPA + VF_BYTES - PAGE));
	l.bits -= 4096;
	for (unsigned i = 0; i < 4096; i++)
		ck_assert_uint_eq(l.bits[i], 0);
	vf_stop(&f);
	log_free(&l, 4096 + bytes);
}
END_TEST

START_TEST(refused_logs)
{
	static const struct {
		uint64_t bytes, offset;
	} bad[] = {
		{0, 0},
		{LOG_BYTES / 2, 0}, /* smaller than the memory */
		{LOG_BYTES, 8},     /* beyond the file */
		{LOG_BYTES, UINT64_MAX - 7},
		{UINT64_MAX, 8},
		{LOG_BYTES - 8, 4},
	};
	struct log l = log_new(LOG_BYTES);

	vf_start(&f, 1, VF_ONE_THREAD);
	vf_up(&f, 0, 1);
	ck_assert_int_eq(set_log(&l, bad[_i].bytes, bad[_i].offset), -1);
	vf_expect_closed(&f, "log");
	vf_up(&f, 0, 1);
	ck_assert_int_eq(set_log(&l, LOG_BYTES, 0), 0);
	log_all(1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, PAGE), 0);
	vf_stop(&f);
	log_free(&l, LOG_BYTES);
}
END_TEST

/* With logging announced, no ring runs before there is a log: nothing is written unmarked. */
START_TEST(no_write_before_the_log)
{
	struct log l = log_new(LOG_BYTES);
	unsigned slot;

	vf_start(&f, 1, _i);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features | 1ull << VU_F_LOG_ALL), 0);
	vf_memory(&f);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, PAGE);
	usleep(50000);
	ck_assert(!vdev_queue_started(f.v, 0));
	ck_assert_int_eq(set_log(&l, LOG_BYTES, 0), 0);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	ck_assert(logged(&l, VF_GPA + VF_DATA));
	vf_stop(&f);
	log_free(&l, LOG_BYTES);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user memory");
	TCase *c = tcase_create("memory");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, many_slots, 0, 2);
	tcase_add_loop_test(c, removed_memory_is_out_of_reach, 0, 2);
	tcase_add_test(c, refused_regions);
	tcase_add_loop_test(c, region_added_again, 0, 2);
	tcase_add_test(c, unaligned_region);
	tcase_add_loop_test(c, log_tells_the_truth, 0, 4);
	tcase_add_loop_test(c, log_covers_what_is_out, 0, 2);
	tcase_add_loop_test(c, used_ring_has_a_log_address, 0, 2);
	tcase_add_loop_test(c, log_of_an_odd_size, 0, 2);
	tcase_add_loop_test(c, refused_logs, 0, 6);
	tcase_add_loop_test(c, no_write_before_the_log, 0, 2);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
