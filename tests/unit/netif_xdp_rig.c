/* SPDX-License-Identifier: BSD-3-Clause */
#include "netif_xdp_rig.h"

void open_all(const struct vdev_netif_xdp_config *cfg, uint32_t queues, int mtu)
{
	rig_begin(vdev_netif_xdp_refresh, 1);
	ck_assert_int_eq(ns_enter_as_root(), 0);
	rig_cable(queues, mtu);
	ck_assert_int_eq(vdev_netif_xdp_new(&t.netif, vdev_env_hosted(), cfg), 0);
	open_channels(cfg->pairs > 0 ? cfg->pairs : 1);
}

void setup(void)
{
	static const struct vdev_netif_xdp_config cfg = {.size = sizeof(cfg), .name = "ours"};

	open_all(&cfg, 0, 1500);
}

void setup_generic(void)
{
	static const struct vdev_netif_xdp_config cfg = {
		.size = sizeof(cfg), .name = "ours", .flags = VDEV_NETIF_XDP_GENERIC};

	open_all(&cfg, 0, 9000);
}
