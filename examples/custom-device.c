/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device model of one's own: an entropy device (section 5.4). It has one queue, whose buffers it
 * fills with random bytes. Rings, negotiation, reset, migration and dirty marking come with the
 * core; any transport of the library serves it. Here a loopback does, and the program prints some
 * of the bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <vdev/loopback.h>
#include <vdev/model.h>

enum { ENTROPY_ID = 4, MOST = 4096 };

struct entropy {
	unsigned long long given; /* bytes; goes along when the device moves */
};

/* Random bytes into the writable pieces, up to MOST. How many. */
static uint32_t fill(const struct virtq_chain *c)
{
	uint32_t sum = 0;

	for (uint32_t i = c->nread; i < c->nread + c->nwrite && sum < MOST; i++) {
		size_t want = c->iov[i].len < MOST - sum ? c->iov[i].len : MOST - sum;
		ssize_t n = getrandom(c->iov[i].base, want, 0);

		if (n > 0)
			sum += (uint32_t)n;
		if (n < 0 || (size_t)n < want)
			break; /* the used length says how far it went */
	}
	return sum;
}

/* Requests have come: complete each, once. More than the writable part is never asked for. */
static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	struct entropy *e = model;

	for (uint32_t i = 0; i < n; i++) {
		struct vdev_done done = {.written = fill(&chains[i])};

		done.error = done.written == 0;
		done.read_bytes = done.written;
		e->given += done.written;
		vdev_queue_complete(q, &chains[i], &done);
	}
	return n;
}

static int save(void *model, struct vdev_writer *w)
{
	vdev_put64(w, ((struct entropy *)model)->given);
	return w->error;
}

static int load(void *model, struct vdev_reader *r, uint32_t version, int apply)
{
	uint64_t given = vdev_get64(r);

	if (version != 1)
		return VIRTQ_ENOTSUP;
	if (r->error || r->pos != r->len)
		return VIRTQ_EBADMSG;
	if (apply)
		((struct entropy *)model)->given = given;
	return 0;
}

static const struct vdev_model_ops ops = {
	.size = sizeof(ops),
	.name = "entropy",
	.device_id = ENTROPY_ID,
	.state_version = 1,
	.process = process,
	.save = save,
	.load = load,
	.destroy = free,
};

static int entropy_new(struct vdev **out)
{
	struct vdev_model m = {.size = sizeof(m), .ops = &ops, .nqueues = 1, .queue_max = 64};
	int rc;

	m.model = calloc(1, sizeof(struct entropy));
	if (m.model == NULL)
		return VIRTQ_ENOMEM;
	rc = vdev_new(out, vdev_env_hosted(), &m);
	if (rc < 0)
		free(m.model);
	return rc;
}

int main(void)
{
	static _Alignas(4096) char memory[1 << 16];
	struct vdev_loopback_config cfg = {
		.size = sizeof(cfg), .memory = memory, .bytes = sizeof(memory)};
	struct vdev_loopback *driver;
	unsigned char bytes[16];
	struct vdev *dev;

	if (entropy_new(&dev) || vdev_loopback_new(&driver, vdev_env_hosted(), dev, &cfg) ||
	    vdev_loopback_start(driver))
		return 1;
	if (vdev_loopback_request(driver, 0, NULL, 0, bytes, sizeof(bytes)) != sizeof(bytes))
		return 1;
	for (size_t i = 0; i < sizeof(bytes); i++)
		printf("%02x", bytes[i]);
	printf("\n");
	vdev_loopback_free(driver);
	return vdev_free(dev) < 0;
}
