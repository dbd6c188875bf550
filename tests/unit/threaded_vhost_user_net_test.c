/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What vhost-user has for network devices: notices, rings that are disabled while they run, memory that comes and goes
 * under traffic, many back-ends in one loop. The device is a stand-in that takes notices and ends whatever comes.
 */
#include <vdev/model.h>
#include <vdev/vhost_user_front.h>

#include "vu_front.h"

enum { PAIR_QUEUES = 4, MIN_MTU = 68, MAX_MTU = 9000, F_MTU = 3, TRAFFIC = 100, PAGE = 4096 };

/* The stand-in. Counters are atomic. */
struct pair {
	unsigned sent[PAIR_QUEUES];
	unsigned discarded[PAIR_QUEUES];
	unsigned announced;
	unsigned mtu;
	int announce; /* what an announcement leads to */
	uint8_t mac[6];
};

static struct pair pair, pairs[3];
static struct vu_front f, many[3];

static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	struct pair *p = model;
	unsigned *count = vdev_queue_enabled(q) ? p->sent : p->discarded;

	__atomic_fetch_add(&count[vdev_queue_index(q)], n, __ATOMIC_RELAXED);
	vf_end_all(q, chains, n);
	return n;
}

static int notice(void *model, enum vdev_notice what, const void *about)
{
	struct pair *p = model;
	const uint8_t *mac = about;
	uint16_t mtu;

	if (about == NULL)
		return 0;
	if (what == VDEV_NOTICE_ANNOUNCE) {
		if (mac[0] & 1)
			return VIRTQ_EINVAL;
		memcpy(p->mac, mac, 6);
		__atomic_fetch_add(&p->announced, 1, __ATOMIC_RELEASE);
		return p->announce;
	}
	memcpy(&mtu, about, sizeof(mtu));
	if (mtu < MIN_MTU || mtu > MAX_MTU)
		return VIRTQ_EINVAL;
	__atomic_store_n(&p->mtu, mtu, __ATOMIC_RELEASE);
	return 0;
}

static void destroy(void *model)
{
	(void)model;
}

static const struct vdev_model_ops pair_ops = {
	.size = sizeof(pair_ops),
	.name = "pair",
	.device_id = 1,
	.process = process,
	.destroy = destroy,
	.notice = notice,
};
/* As a model that was built before there were notices. */
static const struct vdev_model_ops old_ops = {
	.size = offsetof(struct vdev_model_ops, notice),
	.name = "old",
	.device_id = 1,
	.process = process,
	.destroy = destroy,
	.notice = notice,
};

static struct vdev *make(struct pair *p, const struct vdev_model_ops *ops, uint32_t flags)
{
	struct vdev_model m = {.size = sizeof(m),
	                       .ops = ops,
	                       .model = p,
	                       .features = {{1u << F_MTU, 0}},
	                       .nqueues = PAIR_QUEUES,
	                       .queue_max = 256,
	                       .flags = flags};
	struct vdev *v;

	ck_assert_int_eq(vdev_new(&v, vdev_env_hosted(), &m), 0);
	return v;
}

static void up(int threads)
{
	vf_start_device(&f, make(&pair, &pair_ops, VDEV_MODEL_DISABLED_TOO), threads, NULL);
	vf_connect(&f);
}

static unsigned counted(const unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

START_TEST(notices)
{
	struct vdev *v = make(&pair, &pair_ops, 0);
	const uint16_t mtu = 1500, small = 67;

	ck_assert_int_eq(vdev_notice(v, VDEV_NOTICE_MTU, NULL), 0);
	ck_assert_uint_eq(pair.mtu, 0);
	ck_assert_int_eq(vdev_notice(v, VDEV_NOTICE_MTU, &mtu), 0);
	ck_assert_int_eq(vdev_notice(v, VDEV_NOTICE_MTU, &small), VIRTQ_EINVAL);
	ck_assert_uint_eq(pair.mtu, mtu);
	ck_assert_int_eq(vdev_notice(v, (enum vdev_notice)2, &mtu), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_free(v), 0);
	v = make(&pair, &old_ops, 0);
	ck_assert_int_eq(vdev_notice(v, VDEV_NOTICE_MTU, &mtu), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_notice(v, VDEV_NOTICE_ANNOUNCE, NULL), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_free(v), 0);
}
END_TEST

/* Protocol features come with what the device takes. */
START_TEST(offered_with_the_device)
{
	const uint64_t both = 1u << VU_PROTO_RARP | 1u << VU_PROTO_NET_MTU;

	up(VF_ONE_THREAD);
	vf_negotiate(&f, 0);
	ck_assert_uint_eq(f.protocol & both, both);
	/* Queues, not pairs of them: the protocol's word. */
	ck_assert_uint_eq(vf_get(&f, VU_GET_QUEUE_NUM), PAIR_QUEUES);
	vf_stop(&f);
	vf_start_device(&f, make(&pair, &old_ops, 0), VF_ONE_THREAD, NULL);
	vf_connect(&f);
	vf_negotiate(&f, 0);
	ck_assert_uint_eq(f.protocol & both, 0);
	vf_stop(&f);
}
END_TEST

START_TEST(mtu)
{
	static const uint64_t bad[] = {0, MIN_MTU - 1, MAX_MTU + 1, 0x10000 + 1500, UINT64_MAX};

	up(_i);
	/* Some tell it before they have told features, and again for the next driver. */
	vf_negotiate(&f, 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_NET_SET_MTU, 1500), 0);
	ck_assert_uint_eq(counted(&pair.mtu), 1500);
	vf_memory(&f);
	for (unsigned q = 0; q < 2; q++) {
		vf_ring_setup(&f, q);
		vf_ring_go(&f, q);
	}
	vf_driver_ok(&f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_ne(vf_ack_u64(&f, VU_NET_SET_MTU, bad[i]), 0);
		ck_assert_uint_eq(counted(&pair.mtu), 1500);
		ck_assert_uint_eq(vf_request(&f, i % 2, 1, 0, VF_DATA, 512), 0);
	}
	ck_assert_int_eq(vf_ack_u64(&f, VU_NET_SET_MTU, MAX_MTU), 0);
	ck_assert_uint_eq(counted(&pair.mtu), MAX_MTU);
	vf_stop(&f);
}
END_TEST

START_TEST(announce)
{
	const uint8_t mac[8] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0}, group[8] = {1};

	up(_i);
	vf_up(&f, 0, 2);
	ck_assert_int_eq(vf_ack(&f, VU_SEND_RARP, mac, 8, NULL, 0), 0);
	ck_assert_uint_eq(counted(&pair.announced), 1);
	ck_assert_mem_eq(pair.mac, mac, 6);
	ck_assert_int_ne(vf_ack(&f, VU_SEND_RARP, group, 8, NULL, 0), 0);
	ck_assert_uint_eq(counted(&pair.announced), 1);
	/* A lost announcement is told to who asks, and ends nothing. */
	pair.announce = VIRTQ_ENOMEM;
	ck_assert_int_ne(vf_ack(&f, VU_SEND_RARP, mac, 8, NULL, 0), 0);
	vf_send(&f, VU_SEND_RARP, mac, 8);
	ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
	ck_assert_uint_eq(counted(&pair.announced), 3);
	vf_stop(&f);
}
END_TEST

static void refused(uint32_t request, size_t len, const int *fds, unsigned nfds, const char *why)
{
	const uint8_t payload[16] = {0x10};

	vf_send_raw(&f, request, VU_VERSION, (uint32_t)len, payload, len, fds, nfds);
	vf_expect_closed(&f, why);
	vf_connect(&f);
	vf_negotiate(&f, 0);
}

/* Sizes that are not the protocol's, descriptors, and a feature that was not negotiated. */
START_TEST(wrong_messages)
{
	static const uint32_t requests[] = {VU_SEND_RARP, VU_NET_SET_MTU};
	static const unsigned features[] = {VU_PROTO_RARP, VU_PROTO_NET_MTU};
	const uint32_t request = requests[_i];
	unsigned before;

	up(VF_ONE_THREAD);
	vf_negotiate(&f, 0);
	vf_disconnect(&f);
	before = test_descriptors();
	vf_connect(&f);
	vf_negotiate(&f, 0);
	refused(request, 0, NULL, 0, "wrong size");
	refused(request, 7, NULL, 0, "wrong size");
	refused(request, 9, NULL, 0, "wrong size");
	refused(request, 16, NULL, 0, "wrong size");
	refused(request, 8, &f.memfd, 1, "descriptors");
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, f.protocol & ~(1ull << features[_i])),
	                 0);
	refused(request, 8, NULL, 0, "not negotiated");
	ck_assert_uint_eq(pair.announced, 0);
	ck_assert_uint_eq(pair.mtu, 0);
	/* Without an acknowledgement there is nobody else to tell. */
	if (request == VU_NET_SET_MTU)
		refused(request, 8, NULL, 0, "live with");
	vf_disconnect(&f);
	ck_assert_uint_eq(test_descriptors(), before);
	vf_stop(&f);
}
END_TEST

/* Pairs are enabled and disabled while they run: what is sent on a disabled ring is discarded (started but disabled). */
START_TEST(pairs_come_and_go)
{
	unsigned sent[PAIR_QUEUES] = {0}, discarded[PAIR_QUEUES] = {0};

	up(_i & 1);
	vf_up(&f, _i & 2 ? VF_PACKED : 0, PAIR_QUEUES);
	for (unsigned round = 0; round < 16; round++) {
		const int on = round & 1;

		for (unsigned q = 2; q < PAIR_QUEUES; q++)
			ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, q, (uint32_t)on), 0);
		for (unsigned q = 0; q < PAIR_QUEUES; q++) {
			for (unsigned i = 0; i < 8; i++)
				ck_assert_uint_eq(vf_request(&f, q, 1, 0, VF_DATA, 512), 0);
			*(on || q < 2 ? &sent[q] : &discarded[q]) += 8;
			ck_assert_uint_eq(counted(&pair.sent[q]), sent[q]);
			ck_assert_uint_eq(counted(&pair.discarded[q]), discarded[q]);
		}
	}
	/* A ring that was disabled stops and goes on as any other, and is what it was told to be. */
	ck_assert_int_eq(vf_ack_state(&f, VU_SET_VRING_ENABLE, 2, 0), 0);
	vf_ask_base(&f, 2);
	vf_ring_resume(&f, 2, vf_take_base(&f, 2));
	vf_kick(&f, 2);
	ck_assert_uint_eq(vf_request(&f, 2, 1, 0, VF_DATA, 512), 0);
	ck_assert_uint_eq(counted(&pair.sent[2]), sent[2] + 1);
	vf_stop(&f);
}
END_TEST

struct traffic {
	unsigned queue;
	int over;
	unsigned done;
};

/* Requests one after the other, by no message. */
static void *run_traffic(void *ctx)
{
	struct traffic *t = ctx;

	while (!__atomic_load_n(&t->over, __ATOMIC_ACQUIRE)) {
		ck_assert_uint_eq(vf_request(&f, t->queue, 1, 0, VF_DATA + t->queue * PAGE, PAGE), 0);
		__atomic_fetch_add(&t->done, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int change(uint32_t request, struct vu_region_desc d)
{
	struct vu_mem_reg reg = {.region = d};

	return vf_ack(&f, request, &reg, sizeof(reg), &f.memfd, request == VU_ADD_MEM_REG);
}

/* Slots come and go while rings run. Each change takes effect, and no ring notices those that are not its own. */
START_TEST(slots_under_traffic)
{
	struct traffic t[2] = {{.queue = 0}, {.queue = 1}};
	pthread_t threads[2];
	unsigned before = 0;

	up(_i);
	vf_negotiate(&f, 0);
	ck_assert_int_eq(change(VU_ADD_MEM_REG, vf_region(0, VF_DATA + 2 * PAGE)), 0);
	for (unsigned q = 0; q < 3; q++) {
		vf_ring_setup(&f, q);
		vf_ring_go(&f, q);
	}
	vf_driver_ok(&f);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_traffic, &t[i]), 0);
	for (unsigned round = 0; round < TRAFFIC; round++) {
		const uint32_t at = VF_DATA + (2 + round % 8) * PAGE;

		ck_assert_int_eq(change(VU_ADD_MEM_REG, vf_region(at, PAGE)), 0);
		ck_assert_uint_eq(vf_request(&f, 2, 1, 0, at, PAGE), 0);
		ck_assert_int_eq(change(VU_REM_MEM_REG, vf_region(at, PAGE)), 0);
		before = counted(&t[0].done);
	}
	/* They still run. */
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t end = vdev_os_now() + 20000000000u;
		const unsigned now = i == 0 ? before : counted(&t[1].done);

		while (counted(&t[i].done) == now)
			ck_assert(vdev_os_now() < end);
	}
	for (unsigned i = 0; i < 2; i++) {
		__atomic_store_n(&t[i].over, 1, __ATOMIC_RELEASE);
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(counted(&pair.sent[i]), t[i].done);
	}
	/* What was taken away is out of reach for good. */
	(void)vf_submit(&f, 2, 1, 0, VF_DATA + 2 * PAGE, PAGE);
	ck_assert(vf_signalled(f.rings[2].err, 5000));
	ck_assert_uint_eq(vf_request(&f, 0, 1, 0, VF_DATA, PAGE), 0);
	vf_stop(&f);
}
END_TEST

/* Back-ends in one thread of one loop; one that goes, or is lied to, is nothing to the others. */
START_TEST(one_loop_for_many)
{
	struct vdev_loop *loop;

	ck_assert_int_eq(vdev_loop_new(&loop, vdev_env_hosted(), 1, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		vf_start_device(&many[i], make(&pairs[i], &pair_ops, 0), VF_ONE_THREAD, loop);
		vf_connect(&many[i]);
		vf_up(&many[i], i & 1 ? VF_PACKED : 0, 2);
	}
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < 3; i++)
			ck_assert_uint_eq(vf_request(&many[i], round & 1, 1, 0, VF_DATA, 512), 0);
		if (round & 1) {
			vf_disconnect(&many[1]);
		} else {
			vf_send_raw(&many[1], 999, VU_VERSION, 0, NULL, 0, NULL, 0);
			vf_expect_closed(&many[1], "");
		}
		ck_assert_uint_eq(vf_request(&many[0], 0, 1, 0, VF_DATA, 512), 0);
		ck_assert_uint_eq(vf_request(&many[2], 1, 1, 0, VF_DATA, 512), 0);
		vf_connect(&many[1]);
		vf_up(&many[1], round & 1 ? VF_PACKED : 0, 2);
	}
	ck_assert_uint_eq(counted(&pairs[1].sent[0]) + counted(&pairs[1].sent[1]), 6);
	ck_assert_uint_eq(counted(&pairs[0].sent[0]) + counted(&pairs[0].sent[1]), 12);
	vdev_loop_free(loop);
	for (unsigned i = 0; i < 3; i++)
		vf_stop(&many[i]);
}
END_TEST

/* Our front-end's calls for them. */
START_TEST(front_end)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x57}, group[6] = {3};
	struct vdev_vhost_front_config cfg = {
		.size = sizeof(cfg), .queues = PAIR_QUEUES, .timeout_ms = 20000};
	struct vdev_vhost_front *front;

	vf_start_device(&f, make(&pair, &pair_ops, 0), VF_ONE_THREAD, NULL);
	cfg.path = f.path;
	cfg.withhold = _i ? 1u << VDEV_VHOST_FRONT_RARP | 1u << VDEV_VHOST_FRONT_NET_MTU : 0;
	ck_assert_int_eq(vdev_vhost_front_new(&front, vdev_env_hosted(), &cfg), 0);
	ck_assert_uint_eq(vdev_vhost_front_queue_num(front), PAIR_QUEUES);
	ck_assert_int_eq(vdev_vhost_front_set_mtu(front, 0), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_front_announce(front, NULL), VIRTQ_EINVAL);
	if (_i) {
		ck_assert_int_eq(vdev_vhost_front_set_mtu(front, 1500), VIRTQ_ENOTSUP);
		ck_assert_int_eq(vdev_vhost_front_announce(front, mac), VIRTQ_ENOTSUP);
	} else {
		ck_assert_int_eq(vdev_vhost_front_set_mtu(front, 1500), 0);
		ck_assert_uint_eq(counted(&pair.mtu), 1500);
		ck_assert_int_eq(vdev_vhost_front_set_mtu(front, MAX_MTU + 1), VDEV_VHOST_FRONT_REFUSED);
		ck_assert_int_eq(vdev_vhost_front_announce(front, mac), 0);
		ck_assert_mem_eq(pair.mac, mac, 6);
		ck_assert_int_eq(vdev_vhost_front_announce(front, group), VDEV_VHOST_FRONT_REFUSED);
		/* The next back-end is told the same. */
		__atomic_store_n(&pair.mtu, 0, __ATOMIC_RELEASE);
		ck_assert_int_eq(vdev_vhost_front_reconnect(front, -1), 0);
		ck_assert_uint_eq(counted(&pair.mtu), 1500);
	}
	ck_assert_int_eq(vdev_vhost_front_alive(front), 1);
	vdev_vhost_front_free(front);
	ck_assert_int_eq(vdev_vhost_user_features(f.vu, &(struct virtq_features){{0, 0}}), 0);
	vf_stop(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user for networks");
	TCase *tc = tcase_create("net");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, notices);
	tcase_add_test(tc, offered_with_the_device);
	tcase_add_loop_test(tc, mtu, VF_ONE_THREAD, VF_THREADS + 1);
	tcase_add_loop_test(tc, announce, VF_ONE_THREAD, VF_THREADS + 1);
	tcase_add_loop_test(tc, wrong_messages, 0, 2);
	tcase_add_loop_test(tc, pairs_come_and_go, 0, 4);
	tcase_add_loop_test(tc, slots_under_traffic, VF_ONE_THREAD, VF_THREADS + 1);
	tcase_add_test(tc, one_loop_for_many);
	tcase_add_loop_test(tc, front_end, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
