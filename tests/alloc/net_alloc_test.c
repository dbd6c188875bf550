/* SPDX-License-Identifier: BSD-3-Clause */
/* Network devices and their back-ends of memory, when memory runs out: two devices through a switch, and each kind alone. */
#include <string.h>

#include <vdev/net.h>
#include <vdev/net_switch.h>
#include <vdev/netif_pair.h>
#include <vdev/netif_simple.h>

#include "rig.h"

enum { HDR = 12, FRAME = 100, BUFFERS = 4 };

static _Alignas(4096) uint8_t ram[2][RIG_RAM];
static int packed;

/* A guest: device, driver, and the memory behind the rings. */
struct guest {
	struct vdev *v;
	struct vdev_loopback *l;
	uint8_t *mem;
	uint64_t gpa;
};

static int guest_make(struct guest *g, unsigned which, struct vdev_netif *netif)
{
	struct vdev_net_config net = {.size = sizeof(net), .queue_max = 16, .pairs = 2};
	struct vdev_loopback_config cfg = {.size = sizeof(cfg),
	                                   .memory = ram[which],
	                                   .bytes = RIG_RAM,
	                                   .gpa = RIG_GPA,
	                                   .wanted.word[0] = (uint64_t)1 << VIRTQ_F_VERSION_1};
	uint64_t bytes;
	int rc;

	net.mac[0] = 2;
	net.mac[5] = (uint8_t)(which + 1);
	virtq_features_set(&cfg.wanted, VDEV_NET_F_CTRL_VQ);
	virtq_features_set(&cfg.wanted, VDEV_NET_F_MQ);
	virtq_features_set(&cfg.wanted, VDEV_NET_F_MRG_RXBUF);
	if (packed)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	do
		rc = vdev_net_new(&g->v, inject_env(), netif, &net);
	while (inject_again(rc));
	if (rc == 0)
		rc = rig_loopback(&g->l, g->v, &cfg);
	if (rc == 0)
		rc = rig_start(g->l);
	if (rc == 0)
		g->mem = vdev_loopback_memory(g->l, &g->gpa, &bytes);
	return rc;
}

static void guest_buffers(struct guest *g)
{
	for (unsigned i = 0; i < BUFFERS; i++) {
		const struct virtq_seg seg = {.addr = g->gpa + 4096 + 2048 * i, .len = 2048};

		ck_assert_int_eq(
			virtq_drv_add(vdev_loopback_drv(g->l, 0), &seg, 0, 1, g->mem + 4096 + (size_t)2048 * i),
			0);
	}
	vdev_loopback_kick(g->l, 0);
}

/* A frame to the guest of that number. Sending needs no memory: it goes well whatever fails. */
static void guest_send(struct guest *g, uint8_t to, uint8_t from)
{
	const struct virtq_seg seg = {.addr = g->gpa, .len = HDR + FRAME};
	struct virtq_done done;

	memset(g->mem, 0, HDR + FRAME);
	g->mem[HDR] = g->mem[HDR + 6] = 2;
	g->mem[HDR + 5] = to;
	g->mem[HDR + 11] = from;
	ck_assert_int_eq(virtq_drv_add(vdev_loopback_drv(g->l, 1), &seg, 1, 0, g->mem), 0);
	vdev_loopback_kick(g->l, 1);
	ck_assert_int_eq(virtq_drv_take(vdev_loopback_drv(g->l, 1), &done, 1), 1);
}

/* Whether a frame from that guest came. */
static int guest_got(struct guest *g, uint8_t from)
{
	struct virtq_done done;

	if (virtq_drv_take(vdev_loopback_drv(g->l, 0), &done, 1) != 1)
		return 0;
	ck_assert_uint_eq(done.written, HDR + FRAME);
	ck_assert_uint_eq(((uint8_t *)done.cookie)[HDR + 11], from);
	return 1;
}

static void guest_free(struct guest *g)
{
	if (g->l != NULL)
		vdev_loopback_free(g->l);
	if (g->v != NULL)
		ck_assert_int_eq(vdev_free(g->v), 0);
}

/* Two guests on these ends, each of which is heard by the other. */
static int talk(struct vdev_netif *const ends[2])
{
	struct guest g[2] = {{.v = NULL}, {.v = NULL}};
	int rc = guest_make(&g[0], 0, ends[0]);

	if (rc == 0)
		rc = guest_make(&g[1], 1, ends[1]);
	if (rc == 0) {
		guest_buffers(&g[0]);
		guest_buffers(&g[1]);
		guest_send(&g[0], 2, 1);
		ck_assert_int_eq(guest_got(&g[1], 1), 1);
		guest_send(&g[1], 1, 2);
		ck_assert_int_eq(guest_got(&g[0], 2), 1);
		ck_assert_int_eq(vdev_loopback_reset(g[1].l), 0);
		guest_send(&g[0], 2, 1); /* nobody is there */
	}
	guest_free(&g[0]);
	guest_free(&g[1]);
	return rc;
}

static int through_switch(void)
{
	struct vdev_switch_config cfg = {.size = sizeof(cfg), .addresses = 64, .ports = 4, .seed = 1};
	struct vdev_switch_port_config port = {.size = sizeof(port)};
	struct vdev_netif *ends[2] = {NULL, NULL};
	struct vdev_switch *s = NULL;
	int rc;

	do
		rc = vdev_switch_new(&s, inject_env(), &cfg);
	while (inject_again(rc));
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		do
			rc = vdev_switch_port_new(&ends[i], s, &port);
		while (inject_again(rc));
	if (rc == 0)
		rc = talk(ends);
	vdev_netif_free(ends[0]);
	vdev_netif_free(ends[1]);
	ck_assert_int_eq(vdev_switch_free(s), 0);
	return rc;
}

static int back_to_back(void)
{
	struct vdev_netif *ends[2] = {NULL, NULL};
	int rc;

	do
		rc = vdev_netif_pair_new(ends, inject_env());
	while (inject_again(rc));
	if (rc == 0)
		rc = talk(ends);
	if (rc == 0 || ends[0] != NULL) {
		vdev_netif_free(ends[0]);
		vdev_netif_free(ends[1]);
	}
	return rc;
}

static int simple(void)
{
	struct vdev_netif_source_config cfg = {.size = sizeof(cfg), .frame_len = FRAME, .count = 2};

	for (unsigned kind = 0; kind < 3; kind++) {
		struct guest g = {.v = NULL};
		struct vdev_netif *n = NULL;
		int rc;

		do
			rc = kind == 0   ? vdev_netif_null_new(&n, inject_env())
			     : kind == 1 ? vdev_netif_echo_new(&n, inject_env())
			                 : vdev_netif_source_new(&n, inject_env(), &cfg);
		while (inject_again(rc));
		if (rc == 0)
			rc = guest_make(&g, 0, n);
		if (rc == 0) {
			guest_buffers(&g);
			guest_send(&g, 2, 1);
			if (kind == 1) /* the addresses are swapped */
				ck_assert_int_eq(guest_got(&g, 2), 1);
		}
		guest_free(&g);
		vdev_netif_free(n);
		if (rc < 0)
			return rc;
	}
	return 0;
}

START_TEST(two_guests_talk_or_say_why_not)
{
	packed = _i;
	inject_run("two guests through a switch", through_switch, 16);
	inject_run("two guests back to back", back_to_back, 12);
}
END_TEST

START_TEST(simple_back_ends)
{
	packed = _i;
	inject_run("null, echo, source", simple, 12);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("net_alloc");
	TCase *t = tcase_create("net_alloc");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, two_guests_talk_or_say_why_not, 0, 2);
	tcase_add_loop_test(t, simple_back_ends, 0, 2);
	suite_add_tcase(s, t);
	srunner_add_suite(runner, s);
}
