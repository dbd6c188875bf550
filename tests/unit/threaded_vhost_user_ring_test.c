/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user: when rings start and stop, and who waits for whom. */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu_front.h"

static struct vu_front f;

static uint64_t requests(void)
{
	struct vdev_counters c;
	uint64_t n = 0;

	for (unsigned q = 0; q < vdev_queue_count(f.v); q++) {
		vdev_queue_counters(f.v, q, &c);
		n += c.requests;
	}
	return n;
}

/* Not a proof that nothing happens, but time enough for what should not. */
static void nothing_happens(void)
{
	uint64_t before = requests();

	usleep(50000);
	ck_assert_uint_eq(requests(), before);
}

START_TEST(work)
{
	static const int kinds[] = {0,
	                            VF_PACKED,
	                            VF_NO_PROTOCOL,
	                            VF_PACKED | VF_NO_PROTOCOL,
	                            VF_NO_STATUS,
	                            VF_INBAND,
	                            VF_PACKED | VF_INBAND,
	                            VF_PACKED | VF_IN_ORDER};
	int kind = kinds[_i / 2];

	vf_start(&f, 2, _i % 2);
	vf_up(&f, kind, 2);
	for (unsigned i = 0; i < 300; i++) {
		unsigned q = i % 2;

		memset(f.mem + VF_DATA, (int)(i & 0xff), 4096);
		ck_assert_uint_eq(vf_request(&f, q, 1, 8 * (i % 200), VF_DATA, 4096), 0);
		memset(f.mem + VF_DATA, 0, 4096);
		ck_assert_uint_eq(vf_request(&f, 1 - q, 0, 8 * (i % 200), VF_DATA, 4096), 0);
		ck_assert_uint_eq(f.mem[VF_DATA + 4095], i & 0xff);
	}
	ck_assert_uint_eq(requests(), 600);
	vf_stop(&f);
}
END_TEST

/* "The back-end must start ring upon receiving a kick." */
START_TEST(starts_with_a_kick)
{
	unsigned slot;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	ck_assert(!vdev_queue_started(f.v, 0));
	nothing_happens();
	ck_assert(!vdev_queue_started(f.v, 0));
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	ck_assert(vdev_queue_started(f.v, 0));
	vf_stop(&f);
}
END_TEST

/* A kick that comes before the rest is not lost. */
START_TEST(starts_when_all_is_known)
{
	uint64_t index = 0;
	unsigned slot;

	vf_start(&f, 1, _i);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	f.rings[0].kick = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_KICK, &index, 8, &f.rings[0].kick, 1), 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	nothing_happens();
	vf_memory(&f);
	vf_ring_setup(&f, 0);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
	nothing_happens(); /* the driver is not ready */
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	vf_stop(&f);
}
END_TEST

/* Without a kick descriptor the ring starts at once and is polled. */
START_TEST(polled)
{
	vf_start(&f, 1, _i);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	vf_memory(&f);
	vf_ring_setup(&f, 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	vf_driver_ok(&f);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_KICK, VU_NOFD), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_ask_base(&f, 0);
	ck_assert_uint_eq(vf_take_base(&f, 0), 20);
	vf_stop(&f);
}
END_TEST

START_TEST(enabling)
{
	unsigned slot;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, 0, 0), 0);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
	vf_kick(&f, 0);
	nothing_happens();
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_ENABLE, 0, 2), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(no_enabling_without_protocol_features)
{
	vf_start(&f, 1, _i);
	vf_up(&f, VF_NO_PROTOCOL, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_send(&f, VU_SET_VRING_ENABLE, &(struct vu_vring_state){0, 0}, 8);
	vf_expect_closed(&f, "SET_VRING_ENABLE");
	vf_stop(&f);
}
END_TEST

/* Stop, look at the position, go on; a kick alone does not wake a stopped ring. */
START_TEST(stop_and_go)
{
	int packed = _i / 2;
	uint32_t base, expect = 0;
	uint32_t wrap = VIRTQ_STATE_WRAP;

	vf_start(&f, 1, _i % 2);
	vf_up(&f, packed ? VF_PACKED : 0, 1);
	for (unsigned round = 0; round < 50; round++) {
		unsigned slot;

		for (unsigned i = 0; i < 7; i++)
			ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
		vf_ask_base(&f, 0);
		base = vf_take_base(&f, 0);
		expect += packed ? 7 * 3 : 7;
		if (packed && expect >= VF_RING) {
			expect -= VF_RING;
			wrap ^= VIRTQ_STATE_WRAP;
		}
		if (packed)
			ck_assert_uint_eq(base, (expect | wrap) | (expect | wrap) << 16);
		else
			ck_assert_uint_eq(base, expect);
		ck_assert(!vdev_queue_started(f.v, 0));
		slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
		vf_kick(&f, 0);
		if (round == 0)
			nothing_happens();
		vf_ring_resume(&f, 0, base);
		vf_kick(&f, 0);
		ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
		expect += packed ? 3 : 1;
		if (packed && expect >= VF_RING) {
			expect -= VF_RING;
			wrap ^= VIRTQ_STATE_WRAP;
		}
	}
	vf_stop(&f);
}
END_TEST

/* Front-ends that give 0, or half a position, for a fresh packed ring. */
START_TEST(packed_start)
{
	static const uint32_t bases[] = {0, VIRTQ_STATE_WRAP};

	vf_start(&f, 1, VF_ONE_THREAD);
	vf_connect(&f);
	vf_negotiate(&f, VF_PACKED);
	vf_memory(&f);
	vf_ring_setup(&f, 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_BASE, 0, bases[_i]), 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_stop(&f);
}
END_TEST

/* A second lap that really is one is not taken for a fresh ring. */
START_TEST(packed_second_lap)
{
	uint32_t base;

	vf_start(&f, 1, VF_ONE_THREAD);
	vf_up(&f, VF_PACKED, 1);
	/* 32 * 2: each takes two descriptors. The status (unsupported: flushes were not negotiated) is no matter. */
	for (int i = 0; i < 32; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 4, 0, 0, 0), 2);
	vf_ask_base(&f, 0);
	base = vf_take_base(&f, 0);
	ck_assert_uint_eq(base, 0);
	vf_ring_resume(&f, 0, base);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(running_rings_are_not_changed)
{
	struct vu_vring_addr a = {.index = 0, .desc = VF_UVA, .avail = VF_UVA, .used = VF_UVA};
	uint64_t v1 = 1ull << VIRTQ_F_VERSION_1 | 1ull << VU_F_PROTOCOL;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 32), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_BASE, 0, 0), 0);
	ck_assert_int_ne(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
	ck_assert_int_ne(vf_ack_u64(&f, VU_SET_FEATURES, v1), 0);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_send(&f, VU_SET_PROTOCOL_FEATURES, &v1, 8);
	vf_expect_closed(&f, "while a ring runs");
	vf_stop(&f);
}
END_TEST

START_TEST(ring_sizes)
{
	vf_start(&f, 1, VF_ONE_THREAD);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 0), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 48), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 512), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 0x10040), 0);
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_NUM, 0, 256), 0);
	ck_assert_int_ne(vf_ack_state(&f, VU_SET_VRING_BASE, 0, 0x10000), 0);
	vf_stop(&f);
}
END_TEST

/* Notifications follow a new call descriptor while the ring runs. */
START_TEST(call_descriptor_changes)
{
	struct vf_ring *r = &f.rings[0];
	uint64_t index = 0;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	for (int i = 0; i < 50; i++) {
		int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &index, 8, &fresh, 1), 0);
		close(r->call);
		r->call = fresh;
		/* What was used under the old one may not have been told. */
		ck_assert(vf_signalled(r->call, 5000));
		ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	}
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_CALL, VU_NOFD), 0);
	(void)vf_signalled(r->call, 0);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, 512);
	ck_assert(!vf_signalled(r->call, 50));
	vf_stop(&f);
}
END_TEST

/* A new kick descriptor while the ring runs; what was kicked in between is found. */
START_TEST(kick_descriptor_changes)
{
	struct vf_ring *r = &f.rings[0];
	uint64_t index = 0;

	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	for (int i = 0; i < 50; i++) {
		int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		unsigned slot;

		close(r->kick);
		r->kick = fresh;
		slot = vf_submit(&f, 0, 0, 0, VF_DATA, 512);
		ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_KICK, &index, 8, &fresh, 1), 0);
		ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	}
	vf_stop(&f);
}
END_TEST

/* A driver that breaks its queue. */
static void break_queue(unsigned q)
{
	uint16_t *avail = (uint16_t *)(void *)(f.mem + (f.rings[q].state.driver - VF_GPA));

	__atomic_store_n(&avail[1], (uint16_t)(avail[1] + 1000), __ATOMIC_RELEASE);
	vf_kick(&f, q);
}

START_TEST(broken_queue)
{
	struct vf_ring *r = &f.rings[0];
	uint32_t base;

	vf_start(&f, 2, _i);
	vf_up(&f, 0, 2);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	break_queue(0);
	ck_assert(vf_signalled(r->err, 5000));
	ck_assert(!vf_signalled(f.rings[1].err, 0));
	ck_assert(vf_get(&f, VU_GET_STATUS) & VIRTQ_STATUS_NEEDS_RESET);
	/* The other one goes on. */
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	/* GET_VRING_BASE, or a reset, recovers. */
	vf_ask_base(&f, 0);
	base = vf_take_base(&f, 0);
	ck_assert_uint_eq(base, 1);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	break_queue(0);
	ck_assert(vf_signalled(r->err, 5000));
	ck_assert_int_eq(vf_ack(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, f.features), 0);
	ck_assert_int_eq(
		vf_ack_u64(&f, VU_SET_STATUS,
	               VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK),
		0);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(broken_queue_told_inband)
{
	struct {
		struct vu_header h;
		struct vu_vring_state s;
	} in;

	vf_start(&f, 1, _i);
	vf_up(&f, VF_INBAND, 1);
	vf_kick(&f, 0);
	break_queue(0);
	do {
		ck_assert_int_eq(recv(f.channel, &in.h, sizeof(in.h), MSG_WAITALL), sizeof(in.h));
		if (in.h.size == sizeof(in.s))
			ck_assert_int_eq(recv(f.channel, &in.s, sizeof(in.s), MSG_WAITALL), sizeof(in.s));
	} while (in.h.request != VU_BE_VRING_ERR);
	ck_assert_uint_eq(in.s.index, 0);
	ck_assert(in.h.flags & VU_FLAG_NEED_REPLY);
	vf_stop(&f);
}
END_TEST

/* What tells the front-end that nothing of its memory is touched any more. */
enum letting_go { GET_BASE, REM_REG, SET_TABLE, RESET, STATUS_0, NEW_LOG, LETTING_GO };

static void ask_to_let_go(enum letting_go how)
{
	struct vu_mem_reg reg = {.region = vf_region(VF_DATA, 65536)};
	struct vu_mem_table t = {.count = 1};
	uint64_t zero = 0;
	uint32_t flags = VU_VERSION | VU_FLAG_NEED_REPLY;
	struct vu_log_desc log = {.bytes = 1 << 20};
	int fd;

	switch (how) {
	case GET_BASE:
		vf_ask_base(&f, 0);
		break;
	case REM_REG:
		vf_send_raw(&f, VU_REM_MEM_REG, flags, sizeof(reg), &reg, sizeof(reg), NULL, 0);
		break;
	case SET_TABLE:
		t.regions[0] = vf_region(0, VF_DATA);
		vf_send_raw(&f, VU_SET_MEM_TABLE, flags, 40, &t, 40, &f.memfd, 1);
		break;
	case RESET:
		vf_send_raw(&f, VU_RESET_DEVICE, flags, 0, NULL, 0, NULL, 0);
		break;
	case STATUS_0:
		vf_send_raw(&f, VU_SET_STATUS, flags, 8, &zero, 8, NULL, 0);
		break;
	default:
		fd = vdev_os_memfd("log", 1 << 20);
		vf_send_raw(&f, VU_SET_LOG_BASE, flags, sizeof(log), &log, sizeof(log), &fd, 1);
		close(fd);
		break;
	}
}

static void take_answer(enum letting_go how)
{
	uint64_t ack = 1;

	if (how == GET_BASE) {
		ck_assert_uint_eq(vf_take_base(&f, 0), 1);
		return;
	}
	ck_assert_int_eq(recv(f.sock, &(struct vu_header){0}, sizeof(struct vu_header), MSG_WAITALL),
	                 sizeof(struct vu_header));
	ck_assert_int_eq(recv(f.sock, &ack, sizeof(ack), MSG_WAITALL), sizeof(ack));
	ck_assert_uint_eq(ack, 0);
}

static void add_region(uint64_t offset, uint64_t len)
{
	struct vu_mem_reg reg = {.region = vf_region(offset, len)};

	ck_assert_int_eq(vf_ack(&f, VU_ADD_MEM_REG, &reg, sizeof(reg), &f.memfd, 1), 0);
}

static int one_held(void *ctx)
{
	(void)ctx;
	return slow_disk_held(f.disk) == 1;
}

/*
 * A READ is held by the disk for half a second. Until it has ended there is no answer; after the answer the memory belongs
 * to the front-end: what it writes there stays.
 */
START_TEST(waits_for_a_held_read)
{
	enum letting_go how = (enum letting_go)(_i / 2);
	struct vu_log_desc log = {.bytes = 1 << 20};
	uint64_t zero;
	uint64_t began;
	int fd;

	vf_start(&f, 1, _i % 2);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	add_region(0, VF_DATA);
	add_region(VF_DATA, 65536);
	vf_ring_setup(&f, 0);
	vf_ring_go(&f, 0);
	vf_driver_ok(&f);
	if (how == NEW_LOG) {
		fd = vdev_os_memfd("log", 1 << 20);
		vf_send_raw(&f, VU_SET_LOG_BASE, VU_VERSION, sizeof(log), &log, sizeof(log), &fd, 1);
		ck_assert_int_eq(vf_answer(&f, VU_SET_LOG_BASE, &zero, 8), 8);
		close(fd);
	}
	memset(f.disk->data, 0x77, 4096);
	slow_disk_delay(f.disk, 500);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, 4096);
	ck_assert(vf_until(one_held, NULL));
	began = vdev_os_now();
	ask_to_let_go(how);
	ck_assert(vf_silent(&f, 200));
	take_answer(how);
	ck_assert_uint_ge(vdev_os_now() - began, 200000000u);
	ck_assert_uint_eq(slow_disk_held(f.disk), 0);
	/* The read has ended, wholly, before the answer. */
	ck_assert_uint_eq(f.mem[VF_DATA + 4095], 0x77);
	memset(f.mem + VF_DATA, 0xa5, 65536);
	usleep(300000);
	for (unsigned i = 0; i < 65536; i++)
		ck_assert_uint_eq(f.mem[VF_DATA + i], 0xa5);
	vf_stop(&f);
}
END_TEST

/* The front-end goes while a request is held; the next one is served when it has ended. */
START_TEST(disconnect_with_a_held_read)
{
	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	slow_disk_delay(f.disk, 300);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, 4096);
	ck_assert(vf_until(one_held, NULL));
	vf_disconnect(&f);
	vf_connect(&f);
	slow_disk_delay(f.disk, 0);
	vf_up(&f, 0, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 4096), 0);
	ck_assert_uint_eq(slow_disk_held(f.disk), 0);
	vf_stop(&f);
}
END_TEST

/* The back-end is freed while a front-end is there and a request is held. */
START_TEST(free_with_a_held_read)
{
	vf_start(&f, 1, _i);
	vf_up(&f, 0, 1);
	slow_disk_delay(f.disk, 200);
	(void)vf_submit(&f, 0, 0, 0, VF_DATA, 4096);
	ck_assert(vf_until(one_held, NULL));
	vdev_loop_free(f.loop);
	f.loop = NULL;
	vdev_vhost_user_free(f.vu);
	f.vu = NULL;
	ck_assert_uint_eq(slow_disk_held(f.disk), 0);
	vf_stop(&f);
}
END_TEST

/* Two queues on two threads: one is held, the other does not care, nor do messages. */
START_TEST(queues_do_not_wait_for_each_other)
{
	unsigned slot;

	vf_start(&f, 2, VF_THREADS);
	vf_up(&f, 0, 2);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA, 512), 0);
	slow_disk_hold(f.disk, 1);
	slot = vf_submit(&f, 0, 0, 0, VF_DATA, 4096);
	ck_assert(vf_until(one_held, NULL));
	slow_disk_hold(f.disk, 0);
	vf_ask_base(&f, 0);
	for (int i = 0; i < 50; i++)
		ck_assert_uint_eq(vf_request(&f, 1, 0, 0, VF_DATA + 8192, 4096), 0);
	ck_assert(vf_silent(&f, 0));
	slow_disk_release(f.disk, 1, 0, 0);
	ck_assert_uint_eq(vf_take_base(&f, 0), 2);
	vf_ring_resume(&f, 0, 2);
	ck_assert_uint_eq(vf_finish(&f, 0, slot), 0);
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user rings");
	TCase *c = tcase_create("rings");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, work, 0, 16);
	tcase_add_loop_test(c, starts_with_a_kick, 0, 2);
	tcase_add_loop_test(c, starts_when_all_is_known, 0, 2);
	tcase_add_loop_test(c, polled, 0, 2);
	tcase_add_loop_test(c, enabling, 0, 2);
	tcase_add_loop_test(c, no_enabling_without_protocol_features, 0, 2);
	tcase_add_loop_test(c, stop_and_go, 0, 4);
	tcase_add_loop_test(c, packed_start, 0, 2);
	tcase_add_test(c, packed_second_lap);
	tcase_add_loop_test(c, running_rings_are_not_changed, 0, 2);
	tcase_add_test(c, ring_sizes);
	tcase_add_loop_test(c, call_descriptor_changes, 0, 2);
	tcase_add_loop_test(c, kick_descriptor_changes, 0, 2);
	tcase_add_loop_test(c, broken_queue, 0, 2);
	tcase_add_loop_test(c, broken_queue_told_inband, 0, 2);
	tcase_add_loop_test(c, waits_for_a_held_read, 0, 2 * LETTING_GO);
	tcase_add_loop_test(c, disconnect_with_a_held_read, 0, 2);
	tcase_add_loop_test(c, free_with_a_held_read, 0, 2);
	tcase_add_test(c, queues_do_not_wait_for_each_other);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
