/* SPDX-License-Identifier: BSD-3-Clause */
/* Chapter 2: a device. It turns text to capitals, or backwards when the driver negotiates that. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdev/loopback.h>
#include <vdev/model.h>

enum { F_BACKWARDS = 0, DEVICE_ID = 63, MOST = 64 };

struct shout {
	int backwards;  /* negotiated */
	unsigned count; /* of requests */
};

/* Requests come in bursts; each chain is completed exactly once. */
static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	struct shout *s = model;

	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];
		struct vdev_done done = {.error = 1};

		if (c->nread == 1 && c->nwrite == 1 && c->write_bytes >= c->read_bytes) {
			const char *in = c->iov[0].base;
			char *out = c->iov[1].base;
			uint32_t len = c->read_bytes;

			for (uint32_t k = 0; k < len; k++)
				out[k] = s->backwards ? in[len - 1 - k] : (char)toupper((unsigned char)in[k]);
			done = (struct vdev_done){.written = len, .read_bytes = len, .written_bytes = len};
		}
		s->count++;
		vdev_queue_complete(q, c, &done);
	}
	return n;
}

/* The driver has chosen. Any subset of what was offered is fine. */
static int features_ok(void *model, const struct virtq_features *accepted)
{
	((struct shout *)model)->backwards = virtq_features_has(accepted, F_BACKWARDS);
	return 1;
}

static const struct vdev_model_ops ops = {
	.size = sizeof(ops),
	.name = "shout",
	.device_id = DEVICE_ID,
	.process = process,
	.features_ok = features_ok,
};

static int talk(struct vdev *dev, int packed, int backwards)
{
	static _Alignas(4096) char memory[1 << 16];
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = memory, .bytes = sizeof(memory)};
	const char *text = "hello, device";
	struct vdev_loopback *driver;
	char answer[MOST] = "";
	int64_t n;

	if (packed)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	if (backwards)
		virtq_features_set(&cfg.wanted, F_BACKWARDS);
	/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, queues, DRIVER_OK: section 3.1.1. */
	if (vdev_loopback_new(&driver, vdev_env_hosted(), dev, &cfg) < 0)
		return -1;
	n = vdev_loopback_start(driver);
	if (n == 0)
		n = vdev_loopback_request(driver, 0, text, (uint32_t)strlen(text), answer, MOST - 1);
	printf("%-6s %-9s \"%s\" -> \"%s\"\n", packed ? "packed" : "split",
	       backwards ? "backwards" : "", text, answer);
	vdev_loopback_free(driver);
	return n == (int64_t)strlen(text) ? 0 : -1;
}

int main(void)
{
	struct shout shout = {.count = 0};
	struct vdev_model m = {
		.size = sizeof(m), .ops = &ops, .model = &shout, .nqueues = 1, .queue_max = 16};
	struct vdev *dev;
	int bad = 0;

	virtq_features_set(&m.features, F_BACKWARDS);
	if (vdev_new(&dev, vdev_env_hosted(), &m) < 0)
		return 1;
	for (int i = 0; i < 4; i++)
		bad |= talk(dev, i & 1, i >> 1);
	printf("%u requests; one device, four drivers after each other\n", shout.count);
	return vdev_free(dev) < 0 || bad;
}
