/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user: what each message says and does, and how wrong ones end. */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vu_front.h"

#define BIT(n) (1ull << (n))

static struct vu_front f;

static void up(void)
{
	vf_start(&f, 2, VF_ONE_THREAD);
	vf_connect(&f);
}

START_TEST(features)
{
	uint64_t offered, protocol;

	up();
	offered = vf_get(&f, VU_GET_FEATURES);
	ck_assert(offered & BIT(VIRTQ_F_VERSION_1));
	ck_assert(offered & BIT(VIRTQ_F_RING_PACKED));
	ck_assert(offered & BIT(VIRTQ_F_EVENT_IDX));
	ck_assert(offered & BIT(VU_F_LOG_ALL));
	ck_assert(offered & BIT(VU_F_PROTOCOL));
	/* What has no meaning here: the kick carries no data, the status may not be told. */
	ck_assert(!(offered & BIT(VIRTQ_F_NOTIFICATION_DATA)));
	ck_assert(!(offered & BIT(VIRTQ_F_SUSPEND)));
	ck_assert(!(offered & BIT(VIRTQ_F_ACCESS_PLATFORM)));
	protocol = vf_get(&f, VU_GET_PROTOCOL_FEATURES);
	ck_assert_uint_eq(protocol, BIT(VU_PROTO_MQ) | BIT(VU_PROTO_LOG_SHMFD) |
	                                BIT(VU_PROTO_REPLY_ACK) | BIT(VU_PROTO_BACKEND_REQ) |
	                                BIT(VU_PROTO_CONFIG) | BIT(VU_PROTO_BACKEND_SEND_FD) |
	                                BIT(VU_PROTO_INFLIGHT_SHMFD) | BIT(VU_PROTO_RESET_DEVICE) |
	                                BIT(VU_PROTO_INBAND) | BIT(VU_PROTO_MEM_SLOTS) |
	                                BIT(VU_PROTO_STATUS));
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, protocol), 0);
	/* With a back-end channel addresses may be translated. */
	ck_assert(vf_get(&f, VU_GET_FEATURES) & BIT(VIRTQ_F_ACCESS_PLATFORM));
	ck_assert_uint_eq(vf_get(&f, VU_GET_QUEUE_NUM), 2);
	ck_assert_uint_ge(vf_get(&f, VU_GET_MAX_MEM_SLOTS), 509);
	/* Not offered: refused, and the connection goes on where an answer is wanted. */
	ck_assert_int_ne(vf_ack_u64(&f, VU_SET_FEATURES, BIT(63)), 0);
	ck_assert_int_ne(vf_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, BIT(17)), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, BIT(VIRTQ_F_VERSION_1)), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(inband_needs_its_companions)
{
	uint64_t wanted = BIT(VU_PROTO_INBAND) | BIT(VU_PROTO_REPLY_ACK);

	up();
	vf_send_raw(&f, VU_SET_PROTOCOL_FEATURES, VU_VERSION | VU_FLAG_NEED_REPLY, 8, &wanted, 8, NULL,
	            0);
	vf_expect_closed(&f, "in-band");
	vf_stop(&f);
}
END_TEST

START_TEST(no_ack_unless_negotiated)
{
	uint64_t owner = 0;

	up();
	vf_send_raw(&f, VU_SET_OWNER, VU_VERSION | VU_FLAG_NEED_REPLY, 0, &owner, 0, NULL, 0);
	ck_assert(vf_silent(&f, 50));
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, BIT(VU_PROTO_REPLY_ACK)), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	/* Without the flag, nothing. */
	vf_send(&f, VU_SET_OWNER, NULL, 0);
	ck_assert(vf_silent(&f, 50));
	/* A message with an answer of its own has no second one. */
	vf_send_raw(&f, VU_GET_FEATURES, VU_VERSION | VU_FLAG_NEED_REPLY, 0, NULL, 0, NULL, 0);
	ck_assert_int_eq(vf_answer(&f, VU_GET_FEATURES, &owner, 8), 8);
	ck_assert(vf_silent(&f, 50));
	vf_stop(&f);
}
END_TEST

START_TEST(status)
{
	uint8_t ok = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK;

	up();
	vf_negotiate(&f, 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), ok);
	/* Bits do not go away by themselves. */
	ck_assert_int_ne(vf_ack_u64(&f, VU_SET_STATUS, VIRTQ_STATUS_ACKNOWLEDGE), 0);
	ck_assert_int_ne(vf_ack_u64(&f, VU_SET_STATUS, 0x100), 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), ok);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, ok | VIRTQ_STATUS_DRIVER_OK), 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), ok | VIRTQ_STATUS_DRIVER_OK);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, 0), 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), 0);
	/* Without VERSION_1 FEATURES_OK does not stick. */
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_FEATURES, BIT(VU_F_PROTOCOL)), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_STATUS, ok), 0);
	ck_assert_uint_eq(vf_get(&f, VU_GET_STATUS), VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER);
	vf_stop(&f);
}
END_TEST

static int get_config(uint32_t offset, uint32_t size, struct vu_config *c)
{
	*c = (struct vu_config){.offset = offset, .size = size};
	vf_send(&f, VU_GET_CONFIG, c, VU_CONFIG_HEADER + size);
	memset(c, 0xff, sizeof(*c));
	return vf_answer(&f, VU_GET_CONFIG, c, sizeof(*c));
}

static int set_config(uint32_t offset, uint32_t size, uint32_t flags, uint8_t byte)
{
	struct vu_config c = {.offset = offset, .size = size, .flags = flags};

	memset(c.bytes, byte, sizeof(c.bytes));
	return vf_ack(&f, VU_SET_CONFIG, &c, VU_CONFIG_HEADER + (size & 0xff), NULL, 0);
}

START_TEST(config_space)
{
	struct vu_config c;
	uint64_t capacity;

	up();
	vf_negotiate(&f, 0);
	ck_assert_int_eq(get_config(0, 60, &c), VU_CONFIG_HEADER + 60);
	memcpy(&capacity, c.bytes, 8);
	ck_assert_uint_eq(capacity, 2048);
	ck_assert_int_eq(get_config(2, 1, &c), VU_CONFIG_HEADER + 1);
	/* Bytes that the device does not have read as 0, a range that nobody has is refused. */
	ck_assert_int_eq(get_config(200, 56, &c), VU_CONFIG_HEADER + 56);
	ck_assert_uint_eq(c.bytes[55], 0);
	ck_assert_int_eq(get_config(200, 57, &c), 0);
	/* The capacity can't be written, writeback (byte 32) can. */
	ck_assert_int_eq(set_config(0, 8, 0, 0x55), 0);
	ck_assert_int_eq(set_config(32, 1, 0, 0), 0);
	ck_assert_int_eq(get_config(0, 60, &c), VU_CONFIG_HEADER + 60);
	ck_assert_mem_eq(c.bytes, &capacity, 8);
	ck_assert_int_ne(set_config(255, 2, 0, 0), 0);
	ck_assert_int_ne(set_config(0xfffffff0, 32, 0, 0), 0);
	ck_assert_int_ne(set_config(32, 1, 2, 0), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(config_change_is_told)
{
	struct {
		struct vu_header h;
	} in;

	up();
	vf_up(&f, 0, 1);
	slow_disk_resize(f.disk, 2 << 20);
	ck_assert_int_eq(vdev_blk_resized(f.v), 0);
	ck_assert_int_eq(recv(f.channel, &in, sizeof(in), MSG_WAITALL), sizeof(in));
	ck_assert_uint_eq(in.h.request, VU_BE_CONFIG_CHANGE);
	ck_assert_uint_eq(in.h.size, 0);
	vf_stop(&f);
}
END_TEST

/* Every message that has a fixed form: one byte short, one too many. */
static const struct {
	uint32_t request;
	uint16_t size;
	uint8_t fds;
} forms[] = {
	{VU_SET_FEATURES, 8, 0},     {VU_SET_LOG_BASE, 16, 1},         {VU_SET_VRING_NUM, 8, 0},
	{VU_SET_VRING_ADDR, 40, 0},  {VU_SET_VRING_BASE, 8, 0},        {VU_GET_VRING_BASE, 8, 0},
	{VU_SET_VRING_KICK, 8, 1},   {VU_SET_VRING_CALL, 8, 1},        {VU_SET_VRING_ERR, 8, 1},
	{VU_SET_VRING_ENABLE, 8, 0}, {VU_SET_PROTOCOL_FEATURES, 8, 0}, {VU_VRING_KICK, 8, 0},
	{VU_ADD_MEM_REG, 40, 1},     {VU_REM_MEM_REG, 40, 0},          {VU_SET_STATUS, 8, 0},
};

static void send_form(uint32_t request, uint32_t size, unsigned nfds)
{
	uint8_t zero[512] = {0};
	int fds[8];

	for (unsigned i = 0; i < nfds; i++)
		fds[i] = f.memfd;
	vf_send_raw(&f, request, VU_VERSION, size, zero, size, fds, nfds);
}

START_TEST(wrong_sizes)
{
	up();
	vf_negotiate(&f, VF_INBAND);
	send_form(forms[_i].request, forms[_i].size - 1u, forms[_i].fds);
	vf_expect_closed(&f, "wrong size");
	vf_connect(&f);
	vf_negotiate(&f, VF_INBAND);
	send_form(forms[_i].request, forms[_i].size + 1u, forms[_i].fds);
	vf_expect_closed(&f, "wrong size");
	vf_connect(&f);
	ck_assert_uint_ne(vf_get(&f, VU_GET_FEATURES), 0);
	vf_stop(&f);
}
END_TEST

START_TEST(wrong_descriptors)
{
	unsigned before;

	up();
	vf_negotiate(&f, VF_INBAND);
	vf_disconnect(&f);
	before = test_descriptors();
	vf_connect(&f);
	vf_negotiate(&f, VF_INBAND);
	send_form(forms[_i].request, forms[_i].size, forms[_i].fds + 2u);
	vf_expect_closed(&f, "descriptors");
	if (forms[_i].fds > 0) {
		vf_connect(&f);
		vf_negotiate(&f, VF_INBAND);
		send_form(forms[_i].request, forms[_i].size, 0);
		vf_expect_closed(&f, "descriptors");
	}
	ck_assert_uint_eq(test_descriptors(), before);
	vf_stop(&f);
}
END_TEST

/* Ring messages check their index in its full width. */
START_TEST(wrong_index)
{
	static const uint32_t bad[] = {2, 255, 256, 0x10000, 0x80000000, 0xffffffff};
	static const uint32_t requests[] = {VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ENABLE,
	                                    VU_VRING_KICK};
	struct vu_vring_addr a = {0};

	up();
	vf_negotiate(&f, VF_INBAND);
	vf_memory(&f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned k = 0; k < sizeof(requests) / sizeof(requests[0]); k++)
			ck_assert_int_eq(vf_ack_state(&f, requests[k], bad[i], 1), 1);
		a.index = bad[i];
		ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 1);
	}
	/* One with an answer of its own can only end the connection. */
	vf_ask_base(&f, 2);
	vf_expect_closed(&f, "no such ring");
	vf_stop(&f);
}
END_TEST

START_TEST(notification_descriptors)
{
	uint64_t value = 1;
	int ev, pair[2];

	up();
	vf_negotiate(&f, 0);
	ev = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &value, 8, &ev, 1), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_ERR, &value, 8, &ev, 1), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_KICK, &value, 8, &ev, 1), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_CALL, 1 | VU_NOFD), 0);
	ck_assert_int_eq(vf_ack_u64(&f, VU_SET_VRING_ERR, 1 | VU_NOFD), 0);
	/* Files and pipes are no place for notifications. */
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &value, 8, &f.memfd, 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_KICK, &value, 8, &f.memfd, 1), 1);
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_VRING_CALL, &value, 8, &pair[1], 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_SET_LOG_FD, NULL, 0, &ev, 1), 0);
	ck_assert_int_eq(vf_ack(&f, VU_SET_LOG_FD, NULL, 0, &pair[1], 1), 1);
	ck_assert_int_eq(vf_ack(&f, VU_SET_BACKEND_REQ_FD, NULL, 0, &ev, 1), 1);
	close(pair[0]);
	close(pair[1]);
	close(ev);
	vf_stop(&f);
}
END_TEST

START_TEST(in_pieces)
{
	struct vu_header h = {VU_GET_QUEUE_NUM, VU_VERSION, 8};
	uint8_t all[20] = {0};
	uint64_t n = 0;

	up();
	memcpy(all, &h, sizeof(h));
	for (unsigned i = 0; i < sizeof(all); i++) {
		ck_assert(vf_silent(&f, 2));
		ck_assert_int_eq(send(f.sock, all + i, 1, 0), 1);
	}
	ck_assert_int_eq(vf_answer(&f, VU_GET_QUEUE_NUM, &n, 8), 8);
	ck_assert_uint_eq(n, 2);
	vf_stop(&f);
}
END_TEST

START_TEST(reconnect)
{
	unsigned before = 0;

	vf_start(&f, 2, _i);
	for (unsigned i = 0; i < 20; i++) {
		vf_up(&f, i % 3 == 0 ? VF_PACKED : i % 3 == 1 ? VF_NO_PROTOCOL : 0, 2);
		ck_assert_uint_eq(vf_request(&f, i % 2, 0, 0, VF_DATA, 4096), 0);
		vf_disconnect(&f);
		if (i == 0)
			before = test_descriptors();
	}
	ck_assert_uint_eq(test_descriptors(), before);
	vf_stop(&f);
}
END_TEST

START_TEST(object)
{
	struct vdev_vhost_user_config cfg = {.size = sizeof(cfg), .fd = -1};
	struct vdev_vhost_user *second;
	struct vdev_task task;
	struct virtq_features got;

	up();
	cfg.path = f.path;
	/* Somebody listens there; no socket; nonsense. */
	ck_assert_int_eq(vdev_vhost_user_new(&second, &f.env, f.v, &cfg), -EADDRINUSE);
	cfg.path = NULL;
	ck_assert_int_eq(vdev_vhost_user_new(&second, &f.env, f.v, &cfg), VIRTQ_EINVAL);
	cfg.fd = f.memfd;
	ck_assert_int_lt(vdev_vhost_user_new(&second, &f.env, f.v, &cfg), 0);
	cfg.flags = 0x80;
	ck_assert_int_eq(vdev_vhost_user_new(&second, &f.env, f.v, &cfg), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_user_queue_task(f.vu, 0, &task), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_vhost_user_features(f.vu, &got), 0);
	vf_up(&f, VF_PACKED, 1);
	ck_assert_uint_eq(vf_request(&f, 0, 0, 0, VF_DATA, 512), 0);
	vf_disconnect(&f);
	ck_assert_int_eq(vdev_vhost_user_features(f.vu, &got), 1);
	ck_assert(virtq_features_has(&got, VIRTQ_F_RING_PACKED));
	vf_stop(&f);
}
END_TEST

/* A connected socket instead of a path: the task ends with the connection. */
START_TEST(connected_socket)
{
	struct slow_disk *disk = slow_disk_new(1 << 20, 1);
	struct vdev_vhost_user_config cfg = {.size = sizeof(cfg)};
	struct vdev_vhost_user *vu;
	struct vdev_task task;
	struct vdev *v;
	int pair[2];

	ck_assert_int_eq(vdev_blk_new(&v, vdev_env_hosted(), &disk->disk, NULL), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cfg.fd = pair[1];
	ck_assert_int_eq(vdev_vhost_user_new(&vu, vdev_env_hosted(), v, &cfg), 0);
	vdev_vhost_user_task(vu, &task);
	ck_assert_int_eq(task.run(task.ctx, VDEV_RUN_ARM), 0);
	memset(&f, 0, sizeof(f));
	f.sock = pair[0];
	vf_send(&f, VU_GET_QUEUE_NUM, NULL, 0);
	ck_assert_int_ge(task.run(task.ctx, VDEV_RUN_ARM), 0);
	close(pair[0]);
	for (int i = 0; i < 4 && task.run(task.ctx, VDEV_RUN_ARM) >= 0; i++)
		;
	ck_assert_int_lt(task.run(task.ctx, VDEV_RUN_ARM), 0);
	vdev_vhost_user_free(vu);
	ck_assert_int_eq(vdev_free(v), 0);
	slow_disk_free(disk);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("vhost-user messages");
	TCase *c = tcase_create("messages");
	int n = (int)(sizeof(forms) / sizeof(forms[0]));

	tcase_set_timeout(c, 60);
	tcase_add_test(c, features);
	tcase_add_test(c, inband_needs_its_companions);
	tcase_add_test(c, no_ack_unless_negotiated);
	tcase_add_test(c, status);
	tcase_add_test(c, config_space);
	tcase_add_test(c, config_change_is_told);
	tcase_add_loop_test(c, wrong_sizes, 0, n);
	tcase_add_loop_test(c, wrong_descriptors, 0, n);
	tcase_add_test(c, wrong_index);
	tcase_add_test(c, notification_descriptors);
	tcase_add_test(c, in_pieces);
	tcase_add_loop_test(c, reconnect, VF_ONE_THREAD, VF_THREADS + 1);
	tcase_add_test(c, object);
	tcase_add_test(c, connected_socket);
	suite_add_tcase(s, c);
	srunner_add_suite(runner, s);
}
