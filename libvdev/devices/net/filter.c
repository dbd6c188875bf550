/* SPDX-License-Identifier: BSD-3-Clause */
/* Which frames the driver wants (5.1.6.5.1 to 5.1.6.5.3). */
#include <vdev/net.h>

#include "settings.h"

enum { TAG = 0x8100, TAG_OUTER = 0x88a8 };

static int in_table(const struct net_macs *t, const uint8_t *mac)
{
	if (t->overflow)
		return 1;
	for (uint32_t i = 0; i < t->n; i++)
		if (memcmp(t->mac[i], mac, VDEV_NET_MAC) == 0)
			return 1;
	return 0;
}

static int wants_address(const struct net_settings *s, const uint8_t *to)
{
	static const uint8_t everybody[VDEV_NET_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (memcmp(to, everybody, sizeof(everybody)) == 0)
		return !s->modes[NET_RX_NOBCAST];
	if (to[0] & 1)
		return !s->modes[NET_RX_NOMULTI] && (s->modes[NET_RX_ALLMULTI] || in_table(&s->multi, to));
	if (s->modes[NET_RX_NOUNI])
		return 0;
	/* A driver that was told no address and told us none has some of its own. */
	return s->modes[NET_RX_ALLUNI] || !s->has_mac || memcmp(to, s->mac, VDEV_NET_MAC) == 0 ||
	       in_table(&s->uni, to);
}

int net_filter(const struct net_settings *s, const struct virtq_features *has, const uint8_t *first,
               size_t len)
{
	uint32_t type, id;

	if (s->modes[NET_RX_PROMISC])
		return 1;
	if (len < VDEV_NET_ETH)
		return 0;
	if (virtq_features_has(has, VDEV_NET_F_CTRL_VLAN) && len >= VDEV_NET_ETH + 4) {
		type = net_get_be16(first + 12);
		id = net_get_be16(first + 14) % NET_VLANS;
		if ((type == TAG || type == TAG_OUTER) && !(s->vlans[id / 32] >> (id % 32) & 1))
			return 0;
	}
	return !virtq_features_has(has, VDEV_NET_F_CTRL_RX) || wants_address(s, first);
}
