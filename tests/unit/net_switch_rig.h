/* SPDX-License-Identifier: BSD-3-Clause */
/* A switch with some ports, a channel and a sink each, a clock that is set by hand, and an allocator that counts. */
#ifndef TESTS_UNIT_NET_SWITCH_RIG_H
#define TESTS_UNIT_NET_SWITCH_RIG_H

#include <stdlib.h>
#include <string.h>

#include <vdev/net_switch.h>

#include "mark.h"
#include "net_sink.h"

enum { RIG_PORTS = 8 };

struct rig {
	uint64_t now;
	long out;  /* bytes allocated */
	long left; /* allocations that still go well; < 0: any number */
	struct vdev_env env;
	struct vdev_switch *sw;
	unsigned n;
	struct vdev_netif *port[RIG_PORTS];
	struct vdev_netif_channel *channel[RIG_PORTS];
	struct net_sink *sink[RIG_PORTS];
};

static void *rig_alloc(void *ctx, size_t bytes)
{
	struct rig *r = ctx;
	void *p;

	if (r->left == 0)
		return NULL;
	if (r->left > 0)
		r->left--;
	p = malloc(bytes);
	ck_assert_ptr_nonnull(p);
	r->out += (long)bytes;
	return memset(p, 0xa5, bytes);
}

static void rig_free(void *ctx, void *p, size_t bytes)
{
	((struct rig *)ctx)->out -= (long)bytes;
	free(p);
}

static uint64_t rig_now(void *ctx)
{
	return ((struct rig *)ctx)->now;
}

/* cfg NULL: defaults with a known seed. */
static inline void rig_begin(struct rig *r, const struct vdev_switch_config *cfg)
{
	static const struct vdev_switch_config seeded = {.size = sizeof(seeded), .seed = 1};

	memset(r, 0, sizeof(*r));
	r->left = -1;
	r->now = UINT64_C(1000000000000);
	r->env = (struct vdev_env){
		.size = sizeof(r->env), .alloc = rig_alloc, .free = rig_free, .now = rig_now, .ctx = r};
	ck_assert_int_eq(vdev_switch_new(&r->sw, &r->env, cfg != NULL ? cfg : &seeded), 0);
}

/* One more port. cfg NULL: plain. size is filled in. */
static inline unsigned rig_port(struct rig *r, const struct vdev_switch_port_config *cfg)
{
	struct vdev_switch_port_config copy = {.size = sizeof(copy)};
	unsigned i = r->n++;

	ck_assert_uint_lt(i, RIG_PORTS);
	if (cfg != NULL)
		copy = *cfg;
	copy.size = sizeof(copy);
	ck_assert_int_eq(vdev_switch_port_new(&r->port[i], r->sw, &copy), 0);
	ck_assert_int_eq(r->port[i]->ops->open(r->port[i], 0, VDEV_NET_SEND, &r->channel[i]), 0);
	r->sink[i] = malloc(sizeof(*r->sink[i]));
	net_sink_init(r->sink[i]);
	r->port[i]->ops->set_sink(r->port[i], &r->sink[i]->sink);
	return i;
}

static inline void rig_port_end(struct rig *r, unsigned i)
{
	if (r->port[i] == NULL)
		return;
	r->port[i]->ops->close(r->channel[i]);
	r->port[i]->ops->set_sink(r->port[i], NULL);
	vdev_netif_free(r->port[i]);
	free(r->sink[i]);
	r->port[i] = NULL;
}

static inline void rig_end(struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++)
		rig_port_end(r, i);
	ck_assert_int_eq(vdev_switch_free(r->sw), 0);
	ck_assert_int_eq(r->out, 0);
}

static inline struct vdev_switch_counters rig_counters(struct rig *r, unsigned i)
{
	struct vdev_switch_counters c;

	ck_assert_int_eq(vdev_switch_port_counters(r->port[i], &c), 0);
	return c;
}

static inline void rig_clear(struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->port[i] != NULL)
			net_sink_clear(r->sink[i]);
}

/* From test_mac(src) at a port to test_mac(dst), 60 bytes. How many were taken. */
static inline uint32_t rig_send(struct rig *r, unsigned port, unsigned dst, unsigned src, int vlan)
{
	struct test_frame *t = malloc(sizeof(*t));
	uint32_t taken;

	test_frame_plain(t, dst, src, vlan, 60);
	taken = test_frame_send(r->channel[port], t);
	test_frame_free(t);
	free(t);
	return taken;
}

static inline unsigned rig_where(struct rig *r, unsigned mac, uint16_t vlan)
{
	uint8_t a[VDEV_NET_MAC];
	struct vdev_netif *n = vdev_switch_find(r->sw, test_mac(a, mac), vlan);

	for (unsigned i = 0; i < r->n; i++)
		if (n != NULL && r->port[i] == n)
			return i;
	return ~0u;
}

#endif
