/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_ctrl.h"

#include <string.h>

#include "check_main.h"

void ctrl_init(struct net_fixture *f, int packed, uint32_t pairs)
{
	static const uint8_t wanted[] = {
		VDEV_NET_F_CTRL_VQ,        VDEV_NET_F_CTRL_RX,       VDEV_NET_F_CTRL_RX_EXTRA,
		VDEV_NET_F_CTRL_VLAN,      VDEV_NET_F_CTRL_MAC_ADDR, VDEV_NET_F_CTRL_GUEST_OFFLOADS,
		VDEV_NET_F_GUEST_ANNOUNCE, VDEV_NET_F_STATUS,        VDEV_NET_F_DEVICE_STATS,
		VDEV_NET_F_NOTF_COAL,      VDEV_NET_F_VQ_NOTF_COAL,  VDEV_NET_F_GUEST_CSUM,
		VDEV_NET_F_GUEST_TSO4,     VDEV_NET_F_CSUM,          VDEV_NET_F_HOST_TSO4,
		VDEV_NET_F_MRG_RXBUF};
	static const uint8_t spread[] = {VDEV_NET_F_MQ, VDEV_NET_F_RSS, VDEV_NET_F_RSS_CONTEXT,
	                                 VDEV_NET_F_HASH_TUNNEL};

	net_init(f, packed, 0);
	f->net_cfg.pairs = pairs;
	f->cfg.queue_size = 256;
	for (size_t i = 0; i < sizeof(wanted); i++)
		net_want(f, wanted[i]);
	for (size_t i = 0; pairs > 1 && i < sizeof(spread); i++)
		net_want(f, spread[i]);
}

int ctrl_command(struct net_fixture *f, unsigned class, unsigned command, const void *data,
                 uint32_t len, void *reply, uint32_t room, uint32_t *got)
{
	static uint8_t out[1 << 16], in[1 + CTRL_ROOM];
	int64_t written;

	ck_assert_uint_le(len + 2, sizeof(out));
	ck_assert_uint_le(room, CTRL_ROOM);
	out[0] = (uint8_t) class;
	out[1] = (uint8_t)command;
	if (len != 0)
		memcpy(out + 2, data, len);
	memset(in, 0xa5, sizeof(in));
	written = vdev_loopback_request(f->l, 2 * f->net_cfg.pairs, out, len + 2, in, 1 + room);
	ck_assert_int_ge(written, 1);
	ck_assert_int_le(written, 1 + (int64_t)room);
	ck_assert_uint_le(in[0], CTRL_ERR);
	if (in[0] == CTRL_ERR)
		ck_assert_int_eq(written, 1);
	if (reply != NULL)
		memcpy(reply, in + 1, (size_t)written - 1);
	if (got != NULL)
		*got = (uint32_t)written - 1;
	return in[0];
}

int ctrl_set(struct net_fixture *f, unsigned class, unsigned command, const void *data,
             uint32_t len)
{
	uint32_t got;
	int ack = ctrl_command(f, class, command, data, len, NULL, 0, &got);

	ck_assert_uint_eq(got, 0);
	return ack;
}

int ctrl_value(struct net_fixture *f, unsigned class, unsigned command, uint64_t value,
               uint32_t bytes)
{
	uint8_t le[8];

	for (int i = 0; i < 8; i++)
		le[i] = (uint8_t)(value >> 8 * i);
	return ctrl_set(f, class, command, le, bytes);
}

uint32_t ctrl_rss(uint8_t *to, uint32_t types, uint32_t entries, uint32_t n, uint32_t max_tx,
                  uint32_t key_len)
{
	uint32_t at = 8;

	memset(to, 0, 8);
	to[0] = (uint8_t)types;
	to[1] = (uint8_t)(types >> 8);
	to[4] = (uint8_t)(entries - 1);
	to[5] = (uint8_t)((entries - 1) >> 8);
	for (uint32_t i = 0; i < entries; i++, at += 2) {
		to[at] = (uint8_t)(i % n);
		to[at + 1] = 0;
	}
	to[at++] = (uint8_t)max_tx;
	to[at++] = (uint8_t)(max_tx >> 8);
	to[at++] = (uint8_t)key_len;
	for (uint32_t i = 0; i < key_len; i++)
		to[at++] = (uint8_t)(i * 37 + 11);
	return at;
}
