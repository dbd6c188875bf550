/* SPDX-License-Identifier: BSD-3-Clause */
#include "check_main.h"

#include <arpa/inet.h>
#include <string.h>

#include "net_datagram.h"
#include "net_packet.h"

const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 2};

const struct vdev_net_offload needs_csum = {
	.flags = VDEV_NET_NEEDS_CSUM, .csum_start = UDP, .csum_offset = 6};

uint32_t datagram(uint8_t *f, const uint8_t *to, const void *data, uint32_t len)
{
	uint32_t udp = 8 + len;

	memset(f, 0, DATA);
	memcpy(f, to, 6);
	memcpy(f + 6, our_mac, 6);
	packet_put16(f + 12, 0x0800);
	f[IP] = 0x45;
	packet_put16(f + IP + 2, 20 + udp);
	f[IP + 8] = 64;
	f[IP + 9] = 17;
	ck_assert_int_eq(inet_pton(AF_INET, OURS, f + IP + 12), 1);
	ck_assert_int_eq(inet_pton(AF_INET, HOST, f + IP + 16), 1);
	packet_put16(f + IP + 10, (uint16_t)~packet_sum(f + IP, 20, 0));
	packet_put16(f + UDP, 4000);
	packet_put16(f + UDP + 2, 9);
	packet_put16(f + UDP + 4, udp);
	packet_put16(f + UDP + 6, packet_sum(f + IP + 12, 8, 17 + udp));
	memcpy(f + DATA, data, len);
	return DATA + len;
}
