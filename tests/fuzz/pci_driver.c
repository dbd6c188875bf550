/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's access to registers against a device made of the input, over PCI, PCI's window and
 * MMIO: capabilities are spoiled, and so is any value that is read.
 */
#include <string.h>

#include "fake_virtio.h"
#include "fuzz.h"

#define POLLS         8
#define MOST_ACCESSES 4000 /* of one call: 100 tries of 8 fields and some more */

struct fuzz {
	struct input in;
	struct fake fake;
	struct vdev_pci_access inner;
	struct vdev_mmio_access inner_mmio;
	struct vdev_pci_driver pci;
	struct vdev_mmio_driver mmio;
	struct vdev_driver *d;
	struct virtq_drv vq[2];
	struct vdev_driver_queue q[2];
	int started[2]; /* the queue object was filled in */
	void *ring[2], *scratch[2];
	unsigned accesses, reads;
	uint16_t spoiled; /* which of 16 reads */
};

/* --- What the driver may touch ------------------------------------------------------------------ */

static void touch(struct fuzz *f, uint64_t at, uint32_t width, uint64_t end)
{
	HOLDS(width == 1 || width == 2 || width == 4);
	HOLDS(at % width == 0 && at < end && width <= end - at);
	HOLDS(++f->accesses <= MOST_ACCESSES);
}

/* The true value, or now and then another one. */
static uint32_t spoil(struct fuzz *f, uint32_t value, uint32_t width)
{
	uint8_t how;

	if (!(f->spoiled >> f->reads++ % 16 & 1) || f->in.left == 0)
		return value;
	how = f->in.p[--f->in.left]; /* from the end of the input: calls are at its front */
	if (how < 0x80)
		return value;
	value = how < 0xe0 ? value ^ 1u << how % (8 * width) : how < 0xf8 ? take32(&f->in) : UINT32_MAX;
	return width == 4 ? value : value & ((1u << 8 * width) - 1);
}

static uint32_t config_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fuzz *f = ctx;

	touch(f, at, width, 256);
	return spoil(f, f->inner.config_read(&f->fake, at, width), width);
}

static void config_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fuzz *f = ctx;

	touch(f, at, width, 256);
	f->inner.config_write(&f->fake, at, width, value);
}

static uint64_t bar_bytes(void *ctx, unsigned bar)
{
	HOLDS(bar <= 5);
	return ((struct fuzz *)ctx)->fake.bar_bytes[bar];
}

static uint32_t bar_read(void *ctx, unsigned bar, uint64_t at, uint32_t width)
{
	struct fuzz *f = ctx;

	HOLDS(bar <= 5);
	touch(f, at, width, f->fake.bar_bytes[bar]);
	return spoil(f, f->inner.bar_read(&f->fake, bar, at, width), width);
}

static void bar_write(void *ctx, unsigned bar, uint64_t at, uint32_t width, uint32_t value)
{
	struct fuzz *f = ctx;

	HOLDS(bar <= 5);
	touch(f, at, width, f->fake.bar_bytes[bar]);
	f->inner.bar_write(&f->fake, bar, at, width, value);
}

static uint32_t mmio_read(void *ctx, uint32_t at, uint32_t width)
{
	struct fuzz *f = ctx;

	touch(f, at, width, f->inner_mmio.bytes);
	HOLDS(at >= 0x100 || width == 4);
	return spoil(f, f->inner_mmio.read(&f->fake, at, width), width);
}

static void mmio_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct fuzz *f = ctx;

	touch(f, at, width, f->inner_mmio.bytes);
	HOLDS(at >= 0x100 || width == 4);
	f->inner_mmio.write(&f->fake, at, width, value);
}

/* --- Setting up --------------------------------------------------------------------------------- */

static void open_mmio(struct fuzz *f)
{
	struct vdev_mmio_access a = {
		.size = sizeof(a), .read = mmio_read, .write = mmio_write, .ctx = f, .polls = POLLS};

	f->inner_mmio = fake_mmio(&f->fake);
	a.bytes = f->inner_mmio.bytes;
	if (vdev_mmio_driver_init(&f->mmio, &a) > 0)
		f->d = vdev_mmio_driver_device(&f->mmio);
}

static void open_pci(struct fuzz *f, int window)
{
	struct vdev_pci_access a = {.size = sizeof(a),
	                            .config_read = config_read,
	                            .config_write = config_write,
	                            .ctx = f,
	                            .polls = POLLS};

	f->inner = fake_pci(&f->fake);
	if (!window) {
		a.bar_bytes = bar_bytes;
		a.bar_read = bar_read;
		a.bar_write = bar_write;
	}
	fake_usual_caps(&f->fake);
	for (uint8_t n = take8(&f->in) % 16; n > 0; n--) {
		uint8_t at = take8(&f->in);

		f->fake.config[at] = take8(&f->in);
	}
	if (vdev_pci_driver_init(&f->pci, &a) > 0)
		f->d = vdev_pci_driver_device(&f->pci);
}

static void configure(struct fuzz *f)
{
	uint8_t way = take8(&f->in), bad = take8(&f->in);

	fake_init(&f->fake);
	f->fake.bar_bytes[0] = way & 0x10 ? 0x20 : 0;
	f->fake.reset_delay = bad & 3;
	f->fake.queue_reset_delay = bad >> 2 & 3;
	f->fake.generation_moves = bad & 0x10 ? -1 : 0;
	f->fake.refuse_features = (bad & 0x60) == 0x60;
	f->fake.queues[0].max = f->fake.queues[0].size = (uint16_t)(1u << (way >> 5));
	f->spoiled = take16(&f->in);
	f->fake.admin_index = take8(&f->in);
	f->fake.admin_num = take8(&f->in) % 4;
	if (way % 4 == 3)
		open_mmio(f);
	else
		open_pci(f, way % 4 == 2);
}

/* What a call may answer. */
static void outcome(int rc)
{
	HOLDS(rc == 0 || rc == VIRTQ_EIO || rc == VIRTQ_EAGAIN || rc == VIRTQ_EINVAL ||
	      rc == VIRTQ_ENOTSUP || rc == VIRTQ_EPROTO || rc == VIRTQ_EBROKEN || rc == VIRTQ_ENOSPC ||
	      rc == VIRTQ_EBUSY);
}

/* --- Calls -------------------------------------------------------------------------------------- */

static struct virtq_features take_features(struct fuzz *f)
{
	struct virtq_features want = {{0, 0}};

	want.word[0] = (uint64_t)take16(&f->in) << 28;
	want.word[1] = take8(&f->in);
	return want;
}

static void negotiate(struct fuzz *f)
{
	struct virtq_features want = take_features(f), offered, got;

	if (vdev_driver_negotiate(f->d, &want, NULL) != 0)
		return;
	vdev_driver_offered(f->d, &offered);
	vdev_driver_features(f->d, &got);
	HOLDS(virtq_features_subset(&got, &offered));
	HOLDS(virtq_features_has(&got, VIRTQ_F_VERSION_1));
	HOLDS((got.word[0] & ~(want.word[0] | UINT64_C(1) << 32)) == 0 &&
	      (got.word[1] & ~want.word[1]) == 0);
}

static void start_queue(struct fuzz *f, unsigned i)
{
	struct virtq_drv_config c = {.size = sizeof(c), .ring_addr = 0x100000u * (i + 1)};
	uint16_t index = take8(&f->in) % 4, vector = take8(&f->in) % 8;
	int max = vdev_driver_queue_max(f->d, index), packed;
	struct vdev_pci_place place;

	if (max < 0)
		return;
	vdev_driver_features(f->d, &c.features);
	packed = virtq_features_has(&c.features, VIRTQ_F_RING_PACKED);
	HOLDS(max >= 1 && max <= VIRTQ_MAX_SIZE && (packed || (max & (max - 1)) == 0));
	c.queue_size = (uint16_t)(max > 64 ? 64 : max);
	free(f->ring[i]);
	free(f->scratch[i]);
	c.scratch_bytes = virtq_drv_bytes(c.queue_size, &c.features);
	c.scratch = f->scratch[i] = malloc(c.scratch_bytes);
	c.ring = f->ring[i] =
		aligned_alloc(64, (virtq_drv_ring_bytes(c.queue_size, &c.features) + 63) / 64 * 64);
	HOLDS(virtq_drv_init(&f->vq[i], &c) == 0);
	if (vdev_driver_queue_start(&f->q[i], f->d, index, &f->vq[i],
	                            vector == 7 ? VDEV_DRIVER_NO_VECTOR : vector) == 0 &&
	    f->d == &f->pci.driver) {
		HOLDS(vdev_pci_driver_notify_place(&f->q[i], &place, &index) == 0);
		HOLDS(place.bytes == 2 || place.bytes == 4);
	}
	/* The object was filled in unless the phase did not allow it; then it is still all zero. */
	f->started[i] = f->q[i].driver != NULL;
}

static void queue_call(struct fuzz *f, unsigned i, uint8_t what)
{
	struct virtq_seg seg = {0x1000, 16};

	if (!f->started[i])
		return;
	switch (what % 4) {
	case 0:
		if (virtq_drv_add(&f->vq[i], &seg, 1, 0, f) == 0)
			(void)vdev_driver_kick(&f->q[i]);
		break;
	case 1:
		vdev_driver_notify(&f->q[i]);
		break;
	case 2:
		outcome(vdev_driver_queue_reset(&f->q[i]));
		break;
	default:
		outcome(vdev_mmio_driver_queue_stop(&f->q[i]));
	}
}

static void config_call(struct fuzz *f)
{
	struct vdev_driver_field field[2];

	for (int i = 0; i < 2; i++)
		field[i] = (struct vdev_driver_field){take8(&f->in), 1u << take8(&f->in) % 4, 0};
	outcome(vdev_driver_config_read(f->d, field, 2));
	outcome(vdev_driver_config_write(f->d, &field[0]));
}

static void pci_call(struct fuzz *f, uint8_t what)
{
	uint16_t first;
	int n;

	if (f->d != &f->pci.driver)
		return;
	switch (what % 4) {
	case 0:
		n = vdev_pci_driver_admin_queues(&f->pci, &first);
		HOLDS(n <= 0 || n <= 0x10000 - first);
		break;
	case 1:
		outcome(vdev_pci_driver_set_message(&f->pci, take16(&f->in), UINT64_MAX, 1));
		break;
	case 2:
		outcome(vdev_pci_driver_set_msix(&f->pci, what & 4));
		break;
	default:
		outcome(vdev_pci_driver_set_config_vector(&f->pci, take16(&f->in)));
	}
}

static void step(struct fuzz *f)
{
	uint8_t what = take8(&f->in);

	f->accesses = 0;
	switch (what % 12) {
	case 0:
		outcome(vdev_driver_begin(f->d));
		break;
	case 1:
		negotiate(f);
		break;
	case 2:
	case 3:
		start_queue(f, what % 2);
		break;
	case 4:
		outcome(vdev_driver_ready(f->d));
		break;
	case 5:
		f->fake.interrupts = take8(&f->in);
		vdev_driver_interrupts_done(f->d, vdev_driver_interrupts(f->d));
		break;
	case 6:
		config_call(f);
		break;
	case 7:
	case 8:
		queue_call(f, what % 2, take8(&f->in));
		break;
	case 9:
		pci_call(f, take8(&f->in));
		break;
	case 10:
		if (vdev_driver_suspend(f->d) == 0)
			outcome(vdev_driver_resume(f->d));
		break;
	default:
		if (vdev_driver_reset(f->d) == 0)
			HOLDS(vdev_driver_phase(f->d) == VDEV_DRIVER_RESET);
		if (what & 0x80)
			vdev_driver_fail(f->d);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	HOLDS(f != NULL);
	f->in = (struct input){data, size};
	configure(f);
	while (f->d != NULL && !input_end(&f->in))
		step(f);
	for (unsigned i = 0; i < 2; i++) {
		free(f->ring[i]);
		free(f->scratch[i]);
	}
	free(f);
	return 0;
}
