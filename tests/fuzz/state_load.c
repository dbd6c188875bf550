/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loads what comes as a saved state. The first byte says how: bit 0, with checksums made right, so that the meaning is
 * tried and not only the seal; bit 1, with a device that is in use already; bit 2, a state that a running device was
 * saved as, with some bytes changed, and the rings it belongs to: then its driver goes on with them. What is refused
 * changes nothing; what is taken saves as the same state, and runs. Bit 7, a network device's (state_load_net.c).
 */
#include <string.h>

#include <vdev/loopback.h>
#include <virtq/virtq.h>

#include "echo.h"
#include "state_load.h"
#include "state_reseal.h"

enum { RAM = STATE_RAM, GPA = STATE_GPA, QUEUES = 2 };

static void *env_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return malloc(bytes);
}

static void env_release(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	free(p);
}

struct state_buffer state_input;
static struct state_buffer before;
static struct state_buffer after;

static void expect_same(const struct state_buffer *a, const struct state_buffer *b)
{
	HOLDS(a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

/* Whatever state it is in, it goes on, and can be reset. */
static void exercise(struct vdev *v)
{
	HOLDS(vdev_function_resume(vdev_function(v)) == 0);
	for (unsigned q = 0; q < QUEUES; q++)
		vdev_queue_kick(v, q);
	for (int i = 0; i < 100 && vdev_run(v, 0); i++)
		;
	(void)!vdev_set_status(v, (uint8_t)(vdev_status(v) | VIRTQ_STATUS_DRIVER_OK));
	for (int i = 0; i < 100 && vdev_run(v, 0); i++)
		;
	vdev_config_update(v, 0, "x", 1);
	HOLDS(vdev_function_reset(vdev_function(v)) == 0);
	HOLDS(vdev_status(v) == 0);
}

static void save(struct vdev *v, struct state_buffer *b)
{
	HOLDS(vdev_function_save(vdev_function(v), state_buffer_init(b)) == 0);
}

void state_load(struct vdev *v)
{
	int rc;

	HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
	save(v, &before);
	rc = vdev_function_load(vdev_function(v), &state_input.stream);
	if (rc < 0) {
		save(v, &after);
		expect_same(&before, &after);
		HOLDS(vdev_function_resume(vdev_function(v)) == 0);
		HOLDS(vdev_function_reset(vdev_function(v)) == 0);
		return;
	}
	save(v, &before);
	before.pos = 0;
	HOLDS(vdev_function_load(vdev_function(v), &before.stream) == 0);
	save(v, &after);
	expect_same(&before, &after);
	exercise(v);
}

/* --- a state that was saved, and its driver ------------------------------------------------------ */

enum {
	HOW_MADE = 4,
	HOW_PACKED = 8,
	HOW_IN_ORDER = 16,
	HOW_EVENT_IDX = 32,
	HOW_QUIET = 64,
	HOW_NET = 128
};

struct source {
	struct input in;
	struct echo echo;
	struct vdev_loopback *l;
	uint8_t *shared;
	uint64_t gpa;
	uint64_t bytes;
};

static void offer(struct source *s, struct vdev *v)
{
	uint8_t how = take8(&s->in);
	struct virtq_drv *drv = vdev_loopback_drv(s->l, how & 1);
	struct virtq_seg seg[4];
	uint32_t n = 1 + (how >> 1 & 1), writable = 1 + (how >> 2 & 1);

	for (uint32_t i = 0; i < n + writable; i++)
		seg[i] = (struct virtq_seg){s->gpa + (take8(&s->in) * 64u) % s->bytes, 1u + (how >> 3)};
	(void)!virtq_drv_add(drv, seg, n, writable, s);
	virtq_drv_publish(drv);
	if (virtq_drv_should_kick(drv) || how & 128)
		vdev_queue_kick(v, how & 1);
}

static void take_used(struct source *s)
{
	struct virtq_done done[8];

	for (unsigned q = 0; q < QUEUES; q++) {
		int n = virtq_drv_take(vdev_loopback_drv(s->l, q), done, 8);

		for (int i = 0; i < n; i++)
			HOLDS(done[i].cookie == s);
		(void)!virtq_drv_arm(vdev_loopback_drv(s->l, q));
	}
}

/* A device that has run for a while, quiesced; its state is the input of what follows, with some bytes changed. */
static void source_make(struct source *s, const struct vdev_env *env, uint8_t how, void *ram)
{
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = ram, .bytes = RAM, .gpa = GPA, .queue_size = 16};
	struct vdev_function *fn;
	uint8_t rounds = take8(&s->in) % 24, changes;

	HOLDS(echo_new(&s->echo, env, QUEUES, 64) == 0);
	fn = vdev_function(s->echo.v);
	virtq_features_set(&cfg.wanted, VIRTQ_F_VERSION_1);
	virtq_features_set(&cfg.wanted, VIRTQ_F_SUSPEND);
	virtq_features_set(&cfg.wanted, VIRTQ_F_RING_RESET);
	if (how & HOW_PACKED)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	if (how & HOW_IN_ORDER)
		virtq_features_set(&cfg.wanted, VIRTQ_F_IN_ORDER);
	if (how & HOW_EVENT_IDX)
		virtq_features_set(&cfg.wanted, VIRTQ_F_EVENT_IDX);
	HOLDS(vdev_loopback_new(&s->l, env, s->echo.v, &cfg) == 0);
	HOLDS(vdev_loopback_start(s->l) == 0);
	s->shared = vdev_loopback_memory(s->l, &s->gpa, &s->bytes);
	s->bytes -= 64;
	while (rounds-- > 0) {
		offer(s, s->echo.v);
		(void)!vdev_run(s->echo.v, 0);
		if (!(how & HOW_QUIET))
			take_used(s);
	}
	HOLDS(vdev_function_quiesce(fn) == 0);
	if (how & HOW_QUIET) /* there is something to do as soon as it goes on */
		offer(s, s->echo.v);
	HOLDS(vdev_function_save(fn, state_buffer_init(&state_input)) == 0);
	for (changes = take8(&s->in) % 8; changes > 0; changes--)
		state_input.bytes[take16(&s->in) % state_input.len] = take8(&s->in);
}

/* Its driver goes on with the device that the state was loaded into. */
static void go_on(struct source *s, struct vdev *v, uint8_t *ram)
{
	HOLDS(vdev_function_resume(vdev_function(v)) == 0);
	for (int i = 0; i < 64 && !input_end(&s->in); i++) {
		uint8_t op = take8(&s->in);

		switch (op % 8) {
		case 0:
			take_used(s);
			break;
		case 1:
			for (unsigned q = 0; q < QUEUES; q++)
				vdev_queue_kick(v, q);
			break;
		case 2:
			ram[take16(&s->in)] = take8(&s->in);
			break;
		case 3:
			if (op & 8)
				(void)!vdev_queue_reset(v, op >> 4 & 1);
			break;
		case 4:
			HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
			save(v, &before);
			HOLDS(vdev_function_resume(vdev_function(v)) == 0);
			break;
		default:
			offer(s, v);
		}
		for (int runs = 0; runs < 8 && vdev_run(v, op & 64 ? VDEV_RUN_ARM : 0); runs++)
			;
	}
	HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
}

static void made(const uint8_t *data, size_t size, const struct vdev_env *env,
                 const struct virtq_region *region, struct echo *echo)
{
	static struct source s;
	struct vdev *v = echo->v;

	memset(&s, 0, sizeof(s));
	s.in = (struct input){data + 1, size - 1};
	memset(region->host, 0, RAM);
	source_make(&s, env, data[0], region->host);
	if (data[0] & 1)
		state_reseal(state_input.bytes, state_input.len);
	HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
	if (vdev_function_load(vdev_function(v), &state_input.stream) == 0)
		go_on(&s, v, region->host);
	/* And once more as any other state, whatever the rings hold now. */
	state_input.pos = 0;
	state_load(v);
	vdev_loopback_free(s.l);
	HOLDS(vdev_free(s.echo.v) == 0);
}

/* Rings full of what the state itself is made of. */
static void fill(uint8_t *ram, size_t bytes)
{
	size_t n = state_input.len < bytes ? state_input.len : bytes;

	if (n == 0) {
		memset(ram, 0, bytes);
		return;
	}
	memcpy(ram, state_input.bytes, n);
	for (size_t part; n < bytes; n += part) {
		part = n < bytes - n ? n : bytes - n; /* n is a multiple of the input's length here */
		memcpy(ram + n, ram, part);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vdev_env env = {.size = sizeof(env), .alloc = env_alloc, .free = env_release};
	struct virtq_region region = {.gpa = GPA, .len = RAM};
	struct virtq_mem mem;
	struct echo echo;

	if (size < 1 || size > sizeof(state_input.bytes))
		return 0;
	state_buffer_init(&state_input);
	state_input.len = size - 1;
	memcpy(state_input.bytes, data + 1, state_input.len);
	if (data[0] & 1)
		state_reseal(state_input.bytes, state_input.len);
	region.host = malloc(RAM);
	HOLDS(region.host != NULL);
	fill(region.host, RAM);
	if (data[0] & HOW_NET) {
		state_load_net(data, size, &env, &region);
		free(region.host);
		return 0;
	}
	HOLDS(virtq_mem_init(&mem, &region, 1) == 0);
	HOLDS(echo_new(&echo, &env, QUEUES, 64) == 0);
	HOLDS(vdev_function_set_mem(vdev_function(echo.v), &mem) == 0);
	if (data[0] & 2)
		HOLDS(vdev_set_status(echo.v, VIRTQ_STATUS_ACKNOWLEDGE) == 0);
	if (data[0] & HOW_MADE)
		made(data, size, &env, &region, &echo);
	else
		state_load(echo.v);
	HOLDS(vdev_free(echo.v) == 0);
	HOLDS(echo.queue_starts == echo.queue_ends);
	free(region.host);
	return 0;
}
