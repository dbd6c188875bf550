/* SPDX-License-Identifier: BSD-3-Clause */
/* A netif for tests of network devices: keeps what is sent, pushes or yields what it is told, refuses when told. */
#ifndef TESTS_SUPPORT_FAKE_NETIF_H
#define TESTS_SUPPORT_FAKE_NETIF_H

#include <vdev/netif.h>

enum { FAKE_FRAMES = 64, FAKE_CHANNELS = 64 };

struct fake_sent {
	uint8_t *bytes;
	uint32_t len, niov;
	unsigned pair;
	struct vdev_net_offload offload;
};

struct fake_netif {
	struct vdev_netif netif;
	struct vdev_netif_ops ops;
	struct vdev_netif_info info;
	const struct vdev_net_sink *sink;
	/* How to behave. */
	uint32_t take;   /* frames of one send at most */
	int open_error;  /* what open answers */
	int takes_error; /* what set_takes answers */
	/* What was sent. */
	struct fake_sent sent[FAKE_FRAMES];
	uint32_t nsent, sends;
	/* What receive yields, from first on, and what it answers when that is over. */
	struct vdev_frame frames[FAKE_FRAMES];
	uint32_t first, nframes;
	int over;
	/* What happened. */
	uint32_t opened, closed, destroyed, armed, pairs, takes, told;
	struct fake_channel {
		struct vdev_netif_channel channel;
		struct fake_netif *f;
		unsigned pair;
	} channels[2][FAKE_CHANNELS];
};

/* One that pushes, or with polled one that is asked; takes all offloads. */
void fake_netif_init(struct fake_netif *f, int polled);
/* Forget what was sent. */
void fake_netif_clear(struct fake_netif *f);

#endif
