/* SPDX-License-Identifier: BSD-3-Clause */
#include "qtest_rig.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MMIO_BASE  UINT64_C(0xfeb00000)
#define MMIO_BYTES 512
#define MMIO_SLOTS 24
#define NEED_MS    60000

void die(const struct rig *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	if (r->q.lost != NULL)
		printf(" (%s)", r->q.lost);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct patience patience(void)
{
	return (struct patience){now_ms() + NEED_MS};
}

void wait_on(const struct rig *r, const struct patience *p, const char *what)
{
	if (now_ms() > p->end || r->q.lost != NULL)
		die(r, "%s does not come; status 0x%x", what,
		    (unsigned)vdev_driver_status((struct vdev_driver *)(uintptr_t)r->d));
	usleep(50);
}

uint8_t *rig_at(const struct rig *r, uint64_t addr)
{
	return r->q.ram + addr;
}

/* --- The machine -------------------------------------------------------------------------------- */

static const char *on_off(int on)
{
	return on ? "on" : "off";
}

static void start_machine(struct rig *r)
{
	static const char *const machines[] = {"pc", "q35", "microvm"};
	const struct spec *s = &r->spec;
	const char *qemu = getenv("VDEV_QEMU");
	char device[256], node[512];
	const char *args[] = {"-device", device,    s->rng ? "-object" : "-blockdev",
	                      node,      "-global", "virtio-mmio.force-legacy=false",
	                      NULL};
	int mmio = s->machine == MACHINE_MICROVM;

	/* A transitional device wherever the options allow it. */
	snprintf(
		device, sizeof(device),
		"%s,id=dev,packed=%s,iommu_platform=%s,event_idx=%s,indirect_desc=%s,queue_reset=%s%s%s",
		s->rng ? (mmio ? "virtio-rng-device,rng=node" : "virtio-rng-pci,rng=node,vectors=2")
		: mmio ? "virtio-blk-device,drive=node,serial=vdevkit"
			   : "virtio-blk-pci,drive=node,serial=vdevkit,vectors=2",
		on_off(s->packed), on_off(s->platform), on_off(s->event_idx), on_off(s->indirect),
		on_off(s->queue_reset),
		mmio          ? ""
		: s->platform ? ",disable-legacy=on"
					  : "",
		!mmio && s->machine == MACHINE_PC && !s->window ? ",modern-pio-notify=on" : "");
	if (s->rng)
		snprintf(node, sizeof(node), "rng-builtin,id=node");
	else
		snprintf(node, sizeof(node), "driver=raw,node-name=node,file.driver=file,file.filename=%s",
		         r->image);
	if (!mmio)
		args[4] = NULL;
	if (qtest_start(&r->q, qemu != NULL ? qemu : "qemu-system-x86_64", machines[s->machine],
	                RAM_BYTES, args) != 0)
		die(r, "the machine does not start");
}

static uint32_t mmio_read(void *ctx, uint32_t at, uint32_t width)
{
	struct rig *r = ctx;

	return qtest_read(&r->q, 0, r->mmio_base + at, width);
}

static void mmio_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	struct rig *r = ctx;

	qtest_write(&r->q, 0, r->mmio_base + at, width, value);
}

static void find_mmio(struct rig *r, int type)
{
	struct vdev_mmio_access a = {
		.size = sizeof(a), .read = mmio_read, .write = mmio_write, .ctx = r, .bytes = MMIO_BYTES};
	int empty = 0;

	for (unsigned i = 0; i < MMIO_SLOTS; i++) {
		int rc;

		r->mmio_base = MMIO_BASE + MMIO_BYTES * (uint64_t)i;
		rc = vdev_mmio_driver_init(&r->mmio, &a);
		if (rc == type) {
			CHECK(r, empty > 0 || i == 0);
			r->d = vdev_mmio_driver_device(&r->mmio);
			return;
		}
		CHECK(r, rc == 0);
		empty++;
	}
	die(r, "no device in any of the places");
}

static void find_pci(struct rig *r, int type)
{
	struct vdev_pci_access a;

	if (qtest_pci_find(&r->fn, &r->q, 0x1af4) != 0)
		die(r, "no function on the bus");
	a = qtest_pci_access(&r->fn, !r->spec.window);
	CHECK(r, vdev_pci_driver_init(&r->pci, &a) == type);
	r->d = vdev_pci_driver_device(&r->pci);
	CHECK(r, vdev_pci_driver_vectors(&r->pci) == 2);
}

void rig_begin(struct rig *r, const struct spec *spec, const char *image)
{
	memset(r, 0, sizeof(*r));
	r->spec = *spec;
	r->image = image;
	start_machine(r);
	if (spec->machine == MACHINE_MICROVM)
		find_mmio(r, spec->rng ? 4 : 2);
	else
		find_pci(r, spec->rng ? 4 : 2);
}

static struct virtq_features wanted(const struct spec *s)
{
	struct virtq_features f = {{0, 0}};

	for (unsigned bit = 0; bit < 24; bit++)
		if (!s->rng && (bit == 1 || bit == 2 || bit == 6 || bit == 9))
			virtq_features_set(&f, bit); /* SIZE_MAX, SEG_MAX, BLK_SIZE, FLUSH */
	virtq_features_set(&f, VIRTQ_F_INDIRECT_DESC);
	virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	virtq_features_set(&f, VIRTQ_F_IN_ORDER);
	virtq_features_set(&f, VIRTQ_F_ACCESS_PLATFORM);
	virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	virtq_features_set(&f, VIRTQ_F_RING_RESET);
	virtq_features_set(&f, VIRTQ_F_NOTIFICATION_DATA);
	return f;
}

void rig_negotiate(struct rig *r)
{
	const struct spec *s = &r->spec;
	struct virtq_features want = wanted(s);

	CHECK(r, vdev_driver_begin(r->d) == 0);
	CHECK(r, vdev_driver_negotiate(r->d, &want, NULL) == 0);
	vdev_driver_features(r->d, &r->features);
	CHECK(r, virtq_features_has(&r->features, VIRTQ_F_RING_PACKED) == s->packed);
	CHECK(r, virtq_features_has(&r->features, VIRTQ_F_ACCESS_PLATFORM) == s->platform);
	CHECK(r, virtq_features_has(&r->features, VIRTQ_F_EVENT_IDX) == s->event_idx);
	CHECK(r, virtq_features_has(&r->features, VIRTQ_F_INDIRECT_DESC) == s->indirect);
	CHECK(r, virtq_features_has(&r->features, VIRTQ_F_RING_RESET) == s->queue_reset);
	if (s->msix) {
		memset(rig_at(r, AT_MESSAGES), 0, 8);
		CHECK(r, vdev_pci_driver_set_msix(&r->pci, 1) == 0);
		CHECK(r, vdev_pci_driver_set_config_vector(&r->pci, 0) == 0);
		for (unsigned i = 0; i < 2; i++)
			CHECK(r, vdev_pci_driver_set_message(&r->pci, i, AT_MESSAGES + 4 * i, 1) == 0);
	}
}

void rig_start_queue(struct rig *r, uint16_t size)
{
	struct virtq_drv_config c = {.size = sizeof(c), .queue_size = size, .features = r->features};
	int max = vdev_driver_queue_max(r->d, 0);

	CHECK(r, max > 0);
	r->size = c.queue_size = size < max ? size : (uint16_t)max;
	c.ring = rig_at(r, AT_RING);
	c.ring_addr = AT_RING;
	if (r->spec.indirect) {
		c.indirect_max = INDIRECT_MAX;
		c.indirect = rig_at(r, AT_INDIRECT);
		c.indirect_addr = AT_INDIRECT;
	}
	c.scratch_bytes = virtq_drv_bytes(r->size, &r->features);
	CHECK(r, virtq_drv_ring_bytes(r->size, &r->features) <= AT_INDIRECT - AT_RING);
	free(r->scratch);
	c.scratch = r->scratch = malloc(c.scratch_bytes);
	CHECK(r, virtq_drv_init(&r->vq, &c) == 0);
	CHECK(r, vdev_driver_queue_start(&r->queue, r->d, 0, &r->vq,
	                                 r->spec.msix ? 1 : VDEV_DRIVER_NO_VECTOR) == 0);
}

void rig_up(struct rig *r)
{
	rig_negotiate(r);
	rig_start_queue(r, QUEUE_SIZE);
	CHECK(r, vdev_driver_ready(r->d) == 0);
}

void rig_end(struct rig *r)
{
	CHECK(r, vdev_driver_reset(r->d) == 0);
	CHECK(r, r->q.lost == NULL);
	qtest_stop(&r->q, 1);
	free(r->scratch);
	r->scratch = NULL;
}

/* --- Interrupts and notifications --------------------------------------------------------------- */

static int message(struct rig *r, unsigned vector)
{
	uint32_t *word = (uint32_t *)(void *)rig_at(r, AT_MESSAGES + 4 * vector);

	return __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL) != 0;
}

static int by_register(struct rig *r, unsigned which)
{
	/* On PCI the status of the line must agree. */
	int level = r->spec.machine != MACHINE_MICROVM && qtest_pci_config_read(&r->fn, 6, 2) & 8;
	unsigned why = vdev_driver_interrupts(r->d);

	CHECK(r, !level || why != 0);
	vdev_driver_interrupts_done(r->d, why);
	return (why & which) != 0;
}

int rig_interrupted(struct rig *r)
{
	int yes = r->spec.msix ? message(r, 1) : by_register(r, VDEV_DRIVER_INTERRUPT_QUEUE);

	r->interrupts += (unsigned)yes;
	return yes;
}

int rig_config_interrupted(struct rig *r)
{
	return r->spec.msix ? message(r, 0) : by_register(r, VDEV_DRIVER_INTERRUPT_CONFIG);
}

void rig_sleep(struct rig *r)
{
	struct patience p = patience();

	while (virtq_drv_arm(&r->vq) == 0) {
		while (!rig_interrupted(r))
			wait_on(r, &p, "the interrupt");
		if (virtq_drv_arm(&r->vq) == 1)
			return;
		/* A late one, for what was taken before. */
		wait_on(r, &p, "a used buffer");
	}
}

void rig_kick(struct rig *r)
{
	r->publishes++;
	r->kicks += (unsigned)vdev_driver_kick(&r->queue);
}

void rig_settle(struct rig *r)
{
	for (int i = 0; i < 3; i++)
		(void)qtest_read(&r->q, 0, AT_MESSAGES + 64, 4);
}
