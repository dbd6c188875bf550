/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net: what an embedder may get wrong when it makes a device. */
#include <stddef.h>
#include <string.h>

#include <vdev/net.h>

#include "check_main.h"
#include "fake_netif.h"

static const uint8_t group[VDEV_NET_MAC] = {1, 0, 0, 0, 0, 1};

static int make(struct fake_netif *n, const struct vdev_net_config *cfg)
{
	struct vdev *v = NULL;
	int rc = vdev_net_new(&v, vdev_env_hosted(), &n->netif, cfg);

	if (rc == 0)
		ck_assert_int_eq(vdev_free(v), 0);
	else
		ck_assert_ptr_null(v);
	return rc;
}

START_TEST(things_that_must_be_there)
{
	struct vdev_env env = *vdev_env_hosted();
	struct fake_netif n;
	struct vdev *v;

	fake_netif_init(&n, 0);
	ck_assert_int_eq(vdev_net_new(NULL, &env, &n.netif, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_net_new(&v, NULL, &n.netif, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_net_new(&v, &env, NULL, NULL), VIRTQ_EINVAL);
	env.size--;
	ck_assert_int_eq(vdev_net_new(&v, &env, &n.netif, NULL), VIRTQ_EINVAL);
	env = *vdev_env_hosted();
	env.alloc = NULL;
	ck_assert_int_eq(vdev_net_new(&v, &env, &n.netif, NULL), VIRTQ_EINVAL);
	env = *vdev_env_hosted();
	env.free = NULL;
	ck_assert_int_eq(vdev_net_new(&v, &env, &n.netif, NULL), VIRTQ_EINVAL);
	ck_assert_int_eq(make(&n, NULL), 0);
}
END_TEST

START_TEST(configurations)
{
	const struct vdev_net_config plain = {.size = sizeof(plain)};
	struct vdev_net_config c = plain;
	struct fake_netif n;

	fake_netif_init(&n, 0);
	c.size = offsetof(struct vdev_net_config, pairs);
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c.size += sizeof(c.pairs);
	ck_assert_int_eq(make(&n, &c), 0);
	c = plain;
	c.pairs = 64;
	ck_assert_int_eq(make(&n, &c), 0);
	c.pairs = 65;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	n.info.max_pairs = 3;
	c.pairs = 3;
	ck_assert_int_eq(make(&n, &c), 0);
	c.pairs = 4;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c = plain;
	c.queue_max = VIRTQ_MAX_SIZE;
	ck_assert_int_eq(make(&n, &c), 0);
	c.queue_max = VIRTQ_MAX_SIZE + 1;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c = plain;
	memcpy(c.mac, group, sizeof(group));
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
}
END_TEST

/* The device's MTU is that of the netif, or less. */
START_TEST(mtus)
{
	struct vdev_net_config c = {.size = sizeof(c)};
	struct fake_netif n;

	fake_netif_init(&n, 0);
	c.mtu = 67;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c.mtu = 68;
	ck_assert_int_eq(make(&n, &c), 0);
	c.mtu = 65535;
	ck_assert_int_eq(make(&n, &c), 0);
	n.info.mtu = 1500;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c.mtu = 1501;
	ck_assert_int_eq(make(&n, &c), VIRTQ_EINVAL);
	c.mtu = 1500;
	ck_assert_int_eq(make(&n, &c), 0);
	c.mtu = 0;
	ck_assert_int_eq(make(&n, &c), 0);
}
END_TEST

/* What is told here is the less of the two. */
START_TEST(mtu_that_is_shown)
{
	struct vdev_net_config c = {.size = sizeof(c), .mtu = 900};
	struct fake_netif n;
	uint8_t mtu[2];
	struct vdev *v;

	fake_netif_init(&n, 0);
	n.info.mtu = 1500;
	ck_assert_int_eq(vdev_net_new(&v, vdev_env_hosted(), &n.netif, _i == 0 ? &c : NULL), 0);
	vdev_config_read(v, 10, mtu, sizeof(mtu));
	ck_assert_uint_eq(mtu[0] | mtu[1] << 8, _i == 0 ? 900 : 1500);
	ck_assert_int_eq(vdev_free(v), 0);
}
END_TEST

/* Counters of a netif that is older than they are. */
START_TEST(old_netif)
{
	struct vdev_netif_counters out;
	struct fake_netif n;

	fake_netif_init(&n, 0);
	ck_assert_int_eq(vdev_netif_counters(&n.netif, &out), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_netif_counters(NULL, &out), VIRTQ_EINVAL);
	ck_assert_int_eq(vdev_netif_counters(&n.netif, NULL), VIRTQ_EINVAL);
	n.ops.size = offsetof(struct vdev_netif_ops, counters);
	/* what lies there then is something else */
	n.ops.counters = (void (*)(struct vdev_netif *, struct vdev_netif_counters *))(uintptr_t)8;
	ck_assert_int_eq(vdev_netif_counters(&n.netif, &out), VIRTQ_ENOTSUP);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_misuse");
	TCase *tc = tcase_create("net_misuse");

	tcase_add_test(tc, things_that_must_be_there);
	tcase_add_test(tc, configurations);
	tcase_add_test(tc, mtus);
	tcase_add_loop_test(tc, mtu_that_is_shown, 0, 2);
	tcase_add_test(tc, old_netif);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
