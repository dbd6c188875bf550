/* SPDX-License-Identifier: BSD-3-Clause */
/* What frames may carry each way: by features, and by what the driver has left on of its own. */
#include <vdev/net.h>

#include "settings.h"

/* A feature, and what frames may carry with it. */
struct offload {
	uint8_t feature;
	uint8_t bit;    /* of the command by which the driver turns it off and on */
	uint16_t takes; /* all of these, enum vdev_net_takes */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What the driver takes. */
static const struct offload guest[] = {
	{VDEV_NET_F_GUEST_CSUM, VDEV_NET_F_GUEST_CSUM, VDEV_NET_TAKES_CSUM},
	{VDEV_NET_F_GUEST_TSO4, VDEV_NET_F_GUEST_TSO4, VDEV_NET_TAKES_TSO4},
	{VDEV_NET_F_GUEST_TSO6, VDEV_NET_F_GUEST_TSO6, VDEV_NET_TAKES_TSO6},
	{VDEV_NET_F_GUEST_ECN, VDEV_NET_F_GUEST_ECN, VDEV_NET_TAKES_ECN},
	{VDEV_NET_F_GUEST_UFO, VDEV_NET_F_GUEST_UFO, VDEV_NET_TAKES_UFO},
	{VDEV_NET_F_GUEST_USO4, VDEV_NET_F_GUEST_USO4, VDEV_NET_TAKES_USO4},
	{VDEV_NET_F_GUEST_USO6, VDEV_NET_F_GUEST_USO6, VDEV_NET_TAKES_USO6},
	{VDEV_NET_F_GUEST_UDP_TUNNEL_GSO, NET_TUNNEL_GSO_BIT, VDEV_NET_TAKES_TUNNEL},
	{VDEV_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM, NET_TUNNEL_GSO_CSUM_BIT, VDEV_NET_TAKES_TUNNEL_CSUM},
	/* Drivers send their bits with the others'; what they stand for goes with TSO, and needs none of its own. */
	{VDEV_NET_F_RSC_EXT, VDEV_NET_F_RSC_EXT, 0},
	{VDEV_NET_F_GUEST_HDRLEN, VDEV_NET_F_GUEST_HDRLEN, 0},
};

/* What the driver leaves to be done. */
static const struct offload host[] = {
	{VDEV_NET_F_CSUM, 0, VDEV_NET_TAKES_CSUM},
	{VDEV_NET_F_HOST_TSO4, 0, VDEV_NET_TAKES_TSO4},
	{VDEV_NET_F_HOST_TSO6, 0, VDEV_NET_TAKES_TSO6},
	{VDEV_NET_F_HOST_ECN, 0, VDEV_NET_TAKES_ECN},
	{VDEV_NET_F_HOST_UFO, 0, VDEV_NET_TAKES_UFO},
	{VDEV_NET_F_HOST_USO, 0, VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6},
	{VDEV_NET_F_HOST_UDP_TUNNEL_GSO, 0, VDEV_NET_TAKES_TUNNEL},
	{VDEV_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, 0, VDEV_NET_TAKES_TUNNEL_CSUM},
};

void net_offer_offloads(uint32_t takes, struct virtq_features *f)
{
	for (size_t i = 0; i < COUNT(host); i++)
		if ((takes & host[i].takes) == host[i].takes)
			virtq_features_set(f, host[i].feature);
	for (size_t i = 0; i < COUNT(guest); i++)
		virtq_features_set(f, guest[i].feature);
	if (!(takes & (VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6)))
		virtq_features_clear(f, VDEV_NET_F_RSC_EXT); /* builds on them, 5.1.3.1 */
}

static uint32_t takes_of(const struct virtq_features *has, const struct offload *all, size_t n)
{
	uint32_t takes = 0;

	for (size_t i = 0; i < n; i++)
		if (virtq_features_has(has, all[i].feature))
			takes |= all[i].takes;
	return takes;
}

uint32_t net_guest_takes(const struct virtq_features *has)
{
	return takes_of(has, guest, COUNT(guest));
}

uint32_t net_host_takes(const struct virtq_features *has)
{
	return takes_of(has, host, COUNT(host));
}

uint64_t net_offload_bits(const struct virtq_features *has)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < COUNT(guest); i++)
		if (virtq_features_has(has, guest[i].feature))
			bits |= (uint64_t)1 << guest[i].bit;
	return bits;
}

uint32_t net_offloads(const struct net_settings *s, uint32_t negotiated)
{
	const uint32_t all =
		VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6 | VDEV_NET_TAKES_USO4 | VDEV_NET_TAKES_USO6;
	uint32_t takes = 0;

	if (!s->offloads_set)
		return negotiated;
	for (size_t i = 0; i < COUNT(guest); i++)
		if (s->offloads >> guest[i].bit & 1)
			takes |= guest[i].takes;
	takes &= negotiated;
	/* What goes without saying of features has to be seen to here. */
	if (!(takes & VDEV_NET_TAKES_CSUM))
		return 0;
	if ((takes & all) != all)
		takes &= ~(uint32_t)VDEV_NET_TAKES_TUNNEL;
	if (!(takes & VDEV_NET_TAKES_TUNNEL))
		takes &= ~(uint32_t)VDEV_NET_TAKES_TUNNEL_CSUM;
	if (!(takes & (VDEV_NET_TAKES_TSO4 | VDEV_NET_TAKES_TSO6)))
		takes &= ~(uint32_t)VDEV_NET_TAKES_ECN;
	return takes;
}
