/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loads what comes as a saved state. The first byte says how: bit 0, with checksums made right, so that the meaning is
 * tried and not only the seal; bit 1, with a device that is in use already. What is refused changes nothing; what is
 * taken saves as the same state, and runs.
 */
#include <string.h>

#include "echo.h"
#include "fuzz.h"
#include "state_buffer.h"
#include "state_reseal.h"

enum { RAM = 65536, GPA = 0x40000000, QUEUES = 2 };

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

static struct state_buffer input;
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

static void load(struct vdev *v)
{
	int rc;

	HOLDS(vdev_function_quiesce(vdev_function(v)) == 0);
	save(v, &before);
	rc = vdev_function_load(vdev_function(v), &input.stream);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vdev_env env = {.size = sizeof(env), .alloc = env_alloc, .free = env_release};
	struct virtq_region region = {.gpa = GPA, .len = RAM};
	struct virtq_mem mem;
	struct echo echo;

	if (size < 1 || size > sizeof(input.bytes))
		return 0;
	state_buffer_init(&input);
	input.len = size - 1;
	memcpy(input.bytes, data + 1, input.len);
	if (data[0] & 1)
		state_reseal(input.bytes, input.len);
	region.host = malloc(RAM);
	HOLDS(region.host != NULL);
	/* Rings full of what the state itself is made of. */
	for (size_t i = 0; i < RAM; i++)
		((uint8_t *)region.host)[i] = input.len > 0 ? input.bytes[i % input.len] : 0;
	HOLDS(virtq_mem_init(&mem, &region, 1) == 0);
	HOLDS(echo_new(&echo, &env, QUEUES, 64) == 0);
	HOLDS(vdev_function_set_mem(vdev_function(echo.v), &mem) == 0);
	if (data[0] & 2)
		HOLDS(vdev_set_status(echo.v, VIRTQ_STATUS_ACKNOWLEDGE) == 0);
	load(echo.v);
	HOLDS(vdev_free(echo.v) == 0);
	HOLDS(echo.queue_starts == echo.queue_ends);
	free(region.host);
	return 0;
}
