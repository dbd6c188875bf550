/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request costs in virtio-blk, from vdev_queue_run() down: ring, device, disk, completion. Driver and device in
 * one thread, memory in four regions with buffers by turns, EVENT_IDX, 4 KiB requests of three descriptors (header,
 * data, status) or of one indirect table of three.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vdev/blk.h>
#include <vdev/function.h>
#include <vdev/vdev.h>
#include <virtq/virtq.h>

enum { REGIONS = 4, REGION_BYTES = 4 << 20, SIZE = 256, BURST_MAX = 64, BLOCK = 4096 };
enum { SLOTS = SIZE, SLOT_BYTES = 8192, HEADER = 16, LINE = 64, TABLE = 4 };
enum { DISK_BYTES = 8 << 20 };

struct options {
	int packed;
	int indirect;
	int write;
	int mem_disk;
	unsigned burst;
	unsigned long long requests;
};

struct bench {
	struct options o;
	struct virtq_mem mem;
	struct virtq_region regions[REGIONS];
	struct virtq_drv drv;
	void *scratch;
	struct vdev_disk *disk;
	struct vdev *v;
	unsigned next; /* slot */
	unsigned more;
	uint64_t sector;
};

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "blk-request: %s failed\n", what);
	exit(1);
}

static void *zeroed(size_t bytes)
{
	void *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);

	need(p != NULL, "allocation");
	return memset(p, 0, (bytes + 4095) / 4096 * 4096);
}

static void set_up_device(struct bench *b)
{
	struct vdev_blk_config cfg = {.size = sizeof(cfg), .queue_max = SIZE};
	const struct vdev_env *env = vdev_env_hosted();

	if (b->o.mem_disk)
		need(vdev_disk_mem_new(&b->disk, env, NULL, DISK_BYTES) == 0, "disk");
	else
		need(vdev_disk_void_new(&b->disk, env, DISK_BYTES) == 0, "disk");
	need(vdev_blk_new(&b->v, env, b->disk, &cfg) == 0, "device");
	need(vdev_function_set_mem(vdev_function(b->v), &b->mem) == 0, "memory");
}

static void set_up_queue(struct bench *b, struct virtq_features *f)
{
	struct virtq_drv_config cfg = {.size = sizeof(cfg), .features = *f, .queue_size = SIZE};
	struct vdev_queue_setup setup = {0};
	size_t ring = virtq_drv_ring_bytes(SIZE, f);
	size_t at = (ring + 15) / 16 * 16;

	cfg.ring = b->regions[0].host;
	cfg.ring_addr = b->regions[0].gpa;
	if (b->o.indirect) {
		cfg.indirect_max = TABLE;
		cfg.indirect = (uint8_t *)b->regions[0].host + at;
		cfg.indirect_addr = b->regions[0].gpa + at;
		at += (size_t)SIZE * TABLE * VIRTQ_DESC_BYTES;
	}
	need(at <= REGION_BYTES / 2, "a ring of half a region");
	cfg.scratch_bytes = virtq_drv_bytes(SIZE, f);
	cfg.scratch = b->scratch = zeroed(cfg.scratch_bytes);
	need(virtq_drv_init(&b->drv, &cfg) == 0, "virtq_drv_init");
	virtq_drv_state(&b->drv, &setup.state);
	need(vdev_queue_start(b->v, 0, &setup) == 0, "vdev_queue_start");
}

static struct bench *set_up(const struct options *o)
{
	struct bench *b = zeroed(sizeof(*b));
	struct virtq_features f = {{0}};

	b->o = *o;
	for (unsigned i = 0; i < REGIONS; i++)
		b->regions[i] = (struct virtq_region){
			.gpa = (uint64_t)(i + 1) << 32, .len = REGION_BYTES, .host = zeroed(REGION_BYTES)};
	need(virtq_mem_init(&b->mem, b->regions, REGIONS) == 0, "virtq_mem_init");
	set_up_device(b);
	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	if (o->packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	if (o->indirect)
		virtq_features_set(&f, VIRTQ_F_INDIRECT_DESC);
	need(vdev_set_status(b->v, VIRTQ_STATUS_ACKNOWLEDGE) == 0 &&
	         vdev_set_status(b->v, VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER) == 0 &&
	         vdev_accept(b->v, &f) == 0 && vdev_set_status(b->v, 0x0b) == 0,
	     "negotiation");
	set_up_queue(b, &f);
	need(vdev_set_status(b->v, 0x0f) == 0, "DRIVER_OK");
	return b;
}

static void tear_down(struct bench *b)
{
	need(vdev_set_status(b->v, 0) == 0, "reset");
	need(vdev_free(b->v) == 0, "vdev_free");
	vdev_disk_free(b->disk);
	virtq_mem_unref(&b->mem);
	for (unsigned i = 0; i < REGIONS; i++)
		free(b->regions[i].host);
	free(b->scratch);
	free(b);
}

/*
 * Header, data and status lie in a region's second half, all three in one slot of it; slots take regions by turns.
 * Header and status share a line, another one in each slot's page, as drivers' requests lie one after the other: at the
 * same place of each page they would fight for one set of the cache.
 */
static void offer(struct bench *b)
{
	unsigned slot = b->next++ % SLOTS;
	const struct virtq_region *r = &b->regions[slot % REGIONS];
	uint64_t at = REGION_BYTES / 2 + (uint64_t)(slot / REGIONS) * SLOT_BYTES;
	uint64_t line = at + (uint64_t)(slot * LINE) % BLOCK;
	uint8_t *header = (uint8_t *)r->host + line;
	struct virtq_seg seg[3] = {{.addr = r->gpa + line, .len = HEADER},
	                           {.addr = r->gpa + at + BLOCK, .len = BLOCK},
	                           {.addr = r->gpa + line + HEADER, .len = 1}};

	memset(header, 0, HEADER);
	header[0] = (uint8_t)b->o.write;
	memcpy(header + 8, &b->sector, 8);
	header[HEADER] = 0xff;
	b->sector = (b->sector + BLOCK / 512) % (DISK_BYTES / 512);
	need(virtq_drv_add(&b->drv, seg, b->o.write ? 2 : 1, b->o.write ? 1 : 2, header + HEADER) == 0,
	     "virtq_drv_add");
}

/* What is measured: the instructions of a request are those of this function, with all it calls. */
static __attribute__((noinline)) void device_side(struct bench *b)
{
	b->more += (unsigned)vdev_queue_run(b->v, 0, 0);
}

static void reap(struct bench *b)
{
	struct virtq_done done[BURST_MAX];
	unsigned got = 0;

	while (got < b->o.burst) {
		int n = virtq_drv_take(&b->drv, done, BURST_MAX);

		need(n > 0, "the device's answer");
		for (int i = 0; i < n; i++)
			need(*(uint8_t *)done[i].cookie == 0, "a request");
		got += (unsigned)n;
	}
	need(virtq_drv_arm(&b->drv) == 0, "virtq_drv_arm");
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/*
 * The same bytes, copied and nothing else: buffers that were used half a round ago and come again half a round on, so
 * that neither side finds them warmer than the other does.
 */
static double bare_copy(struct bench *b, uint8_t *disk)
{
	double start = now_ns();

	for (unsigned i = 0; i < b->o.burst; i++) {
		unsigned slot = (b->next + SLOTS / 2 + i) % SLOTS;
		uint8_t *data = (uint8_t *)b->regions[slot % REGIONS].host + REGION_BYTES / 2 +
		                (size_t)(slot / REGIONS) * SLOT_BYTES + BLOCK;
		size_t at = ((size_t)b->sector * 512 + (size_t)i * BLOCK) % DISK_BYTES;

		if (b->o.write)
			memcpy(disk + at, data, BLOCK);
		else
			memcpy(data, disk + at, BLOCK);
		__asm__ volatile("" ::: "memory");
	}
	return now_ns() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The middle one: bursts in which the machine did something else don't count. */
static double median(double *values, unsigned long long n)
{
	qsort(values, (size_t)n, sizeof(*values), by_value);
	return values[n / 2];
}

/* Nanoseconds of a request, in the middle one of all bursts. */
static void measure(const struct options *o, double *device, double *copied)
{
	struct bench *b = set_up(o);
	uint8_t *copy = o->mem_disk ? zeroed(DISK_BYTES) : NULL;
	unsigned long long bursts = o->requests / o->burst, warm = bursts / 10;
	double *ours = zeroed(bursts * sizeof(*ours)), *bare = zeroed(bursts * sizeof(*bare));

	for (unsigned long long i = 0; i < bursts + warm; i++) {
		double start, spent, spent_bare = 0;

		for (unsigned k = 0; k < o->burst; k++)
			offer(b);
		virtq_drv_publish(&b->drv);
		start = now_ns();
		device_side(b);
		spent = now_ns() - start;
		reap(b);
		if (copy != NULL)
			spent_bare = bare_copy(b, copy);
		if (i >= warm) {
			ours[i - warm] = spent;
			bare[i - warm] = spent_bare;
		}
	}
	*device = median(ours, bursts) / o->burst;
	*copied = median(bare, bursts) / o->burst;
	free(ours);
	free(bare);
	free(copy);
	tear_down(b);
}

static const char help[] =
	"usage: blk-request [--json] [--packed] [--indirect] [--write] [--disk void|mem]\n"
	"                   [--burst 1..64] [--requests N]\n"
	"Nanoseconds of the device side for a 4 KiB request, both sides in one thread; with a memory\n"
	"disk those of a bare copy of the same bytes too. Instructions, from the build tree:\n"
	"  bench blk --instructions\n";

static int read_options(struct options *o, int *json, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*json = 1;
		else if (strcmp(argv[i], "--packed") == 0)
			o->packed = 1;
		else if (strcmp(argv[i], "--indirect") == 0)
			o->indirect = 1;
		else if (strcmp(argv[i], "--write") == 0)
			o->write = 1;
		else if (strcmp(argv[i], "--disk") == 0 && i + 1 < argc)
			o->mem_disk = strcmp(argv[++i], "mem") == 0;
		else if (strcmp(argv[i], "--burst") == 0 && i + 1 < argc)
			o->burst = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--requests") == 0 && i + 1 < argc)
			o->requests = strtoull(argv[++i], NULL, 10);
		else
			return -1;
	}
	return o->burst < 1 || o->burst > BURST_MAX || o->requests < 10 * o->burst ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = {.burst = 32, .requests = 1000000};
	double device, copied;
	int json = 0;

	if (read_options(&o, &json, argc, argv) < 0) {
		fputs(help, stdout);
		return argc < 2 || strcmp(argv[1], "--help") != 0;
	}
	measure(&o, &device, &copied);
	if (json)
		printf("{\"case\":\"blk-request %s %s %s %s burst %u\",\"ours\":%.2f,\"peer\":%.2f,"
		       "\"unit\":\"ns\"}\n",
		       o.mem_disk ? "mem" : "void", o.packed ? "packed" : "split",
		       o.indirect ? "indirect" : "direct", o.write ? "write" : "read", o.burst, device,
		       copied);
	else
		printf("%.2f ns a request, bare copy %.2f ns\n", device, copied);
	return 0;
}
