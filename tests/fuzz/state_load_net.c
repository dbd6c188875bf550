/* SPDX-License-Identifier: BSD-3-Clause */
/* States of a network device: what its driver set by commands, as device parts and as a section of its own. */
#include <vdev/loopback.h>
#include <vdev/net.h>
#include <virtq/virtq.h>

#include "fake_netif.h"
#include "state_load.h"
#include "state_reseal.h"

enum { PAIRS = 3, COMMAND = 200, HOW_SEALED = 1, HOW_USED = 2, HOW_MADE = 4, HOW_PACKED = 8 };

static void net_new(struct vdev **out, struct fake_netif *netif, const struct vdev_env *env)
{
	struct vdev_net_config cfg = {
		.size = sizeof(cfg), .pairs = PAIRS, .queue_max = 64, .mac = {2, 0, 0, 0, 0, 1}};

	fake_netif_init(netif, 0);
	HOLDS(vdev_net_new(out, env, &netif->netif, &cfg) == 0);
}

/* Likely commands, by class, command and bytes. */
static void command(struct vdev_loopback *l, struct input *in)
{
	static const uint8_t forms[][3] = {{0, 0, 1}, {0, 5, 1},  {1, 1, 6},  {2, 0, 2},  {4, 0, 2},
	                                   {5, 0, 8}, {4, 2, 53}, {4, 1, 21}, {7, 0, 4},  {1, 0, 20},
	                                   {6, 0, 8}, {6, 1, 8},  {6, 2, 16}, {9, 1, 29}, {2, 1, 2}};
	uint8_t out[2 + COMMAND], status, form = take8(in);
	uint32_t len;

	form %= sizeof(forms) / sizeof(forms[0]);
	len = forms[form][2];
	out[0] = forms[form][0];
	out[1] = forms[form][1];
	for (uint32_t i = 0; i < len; i++)
		out[2 + i] = take8(in);
	HOLDS(vdev_loopback_request(l, 2 * PAIRS, out, 2 + len, &status, 1) == 1);
}

/* The state of a device that is in use, with its settings, into state_input. */
static void make(struct input *in, const struct vdev_env *env, uint8_t how, void *ram)
{
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = ram, .bytes = STATE_RAM, .gpa = STATE_GPA, .queue_size = 16};
	unsigned commands = take8(in) % 16, changes;
	struct fake_netif netif;
	struct vdev_loopback *l;
	struct vdev *v;

	net_new(&v, &netif, env);
	vdev_offered(v, &cfg.wanted);
	if ((how & HOW_PACKED) == 0)
		virtq_features_clear(&cfg.wanted, VIRTQ_F_RING_PACKED);
	HOLDS(vdev_loopback_new(&l, env, v, &cfg) == 0);
	HOLDS(vdev_loopback_start(l) == 0);
	while (commands-- > 0)
		command(l, in);
	HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
	HOLDS(vdev_function_save(vdev_function(v), state_buffer_init(&state_input)) == 0);
	for (changes = take8(in) % 8; changes > 0; changes--)
		state_input.bytes[take16(in) % state_input.len] = take8(in);
	HOLDS(vdev_function_resume(vdev_function(v)) == 0);
	vdev_loopback_free(l);
	HOLDS(vdev_free(v) == 0);
	fake_netif_clear(&netif);
}

void state_load_net(const uint8_t *data, size_t size, const struct vdev_env *env,
                    const struct virtq_region *region)
{
	struct input in = {data + 1, size - 1};
	struct fake_netif netif;
	struct virtq_mem mem;
	struct vdev *v;

	if ((data[0] & HOW_MADE) != 0) {
		memset(region->host, 0, STATE_RAM);
		make(&in, env, data[0], region->host);
		if ((data[0] & HOW_SEALED) != 0)
			state_reseal(state_input.bytes, state_input.len);
	}
	HOLDS(virtq_mem_init(&mem, region, 1) == 0);
	net_new(&v, &netif, env);
	HOLDS(vdev_function_set_mem(vdev_function(v), &mem) == 0);
	if ((data[0] & HOW_USED) != 0)
		HOLDS(vdev_set_status(v, VIRTQ_STATUS_ACKNOWLEDGE) == 0);
	state_load(v);
	HOLDS(vdev_free(v) == 0);
	HOLDS(netif.opened == netif.closed);
	fake_netif_clear(&netif);
}
