/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SIZE_MAX_ = 4,
	ASKED = 0x1100,
	ANSWERED = 0x2200,
	DATA_BYTES = 8,
	IOVS = 128,
	TABLE_MAX = 2
};
enum { GPA = 0x10000 };

static struct ring_case rc;

/* Where things lie in shared memory. */
static struct {
	uint32_t driver;
	uint32_t device;
	uint32_t data;
	uint32_t tables;
	uint32_t end;
} at;

static struct virtq_mem mem;
static struct virtq_region region;
static struct virtq_iov iov[IOVS]; /* of one call: what matters of it is kept below */

/* Private memory of each side: all that its next calls depend on. */
static struct {
	struct virtq_drv vq;
	uint64_t scratch[4 * SIZE_MAX_];
	uint8_t pc;
	uint8_t added;
	uint8_t shown;
	uint8_t taken;
	uint8_t back; /* bit i: buffer i came back */
	uint8_t pad[3];
} drv;

static struct {
	struct virtq_dev vq;
	uint64_t scratch[16];
	struct virtq_chain chains[SIZE_MAX_];
	struct virtq_buffer buffers[SIZE_MAX_];
	uint8_t pc;
	uint8_t popped;
	uint8_t used;
	uint8_t n;
	uint8_t i;
	uint8_t pad[3];
} dev;

static unsigned total(void)
{
	return (unsigned)rc.publishes * rc.burst;
}

/* Buffer k's words: what the driver asks, and where the device answers. */
static uint32_t asked_at(unsigned k)
{
	return at.data + k % rc.size * DATA_BYTES;
}

static uint32_t answered_at(unsigned k)
{
	return asked_at(k) + (rc.segs == 2 ? 4 : 0);
}

enum { D_ADD, D_PUBLISH, D_KICK, D_TAKE, D_ARM, D_SLEEP, D_DISARM };

static int driver_add(void)
{
	unsigned k = drv.added;
	struct virtq_seg seg[2] = {{GPA + asked_at(k), 2}, {GPA + answered_at(k), 2}};
	int err;

	ex_data_store(ex_base() + asked_at(k), (uint16_t)(ASKED + k));
	err = virtq_drv_add(&drv.vq, rc.segs == 2 ? seg : &seg[1], rc.segs == 2, 1,
	                    (void *)(uintptr_t)(k + 1));
	if (err != 0)
		ex_violation("the driver could not add although there was room");
	drv.added++;
	if (drv.added % rc.burst == 0)
		drv.pc = D_PUBLISH;
	return 0;
}

/* After a look at the used ring: is there something to add? */
static int driver_turn(uint8_t otherwise)
{
	uint32_t need = (rc.segs == 2 && !rc.indirect ? 2u : 1u) * rc.burst;

	drv.pc = drv.added < total() && virtq_drv_free(&drv.vq) >= need ? D_ADD : otherwise;
	return 0;
}

static int driver_take(void)
{
	struct virtq_done out[SIZE_MAX_];
	int n = virtq_drv_take(&drv.vq, out, SIZE_MAX_);

	if (n < 0)
		ex_violation("the driver took what the device wrote for nonsense");
	for (int i = 0; i < n; i++) {
		unsigned k = (unsigned)(uintptr_t)out[i].cookie - 1;

		if (k >= drv.added || drv.back >> k & 1)
			ex_violation("the driver got a buffer twice");
		if (out[i].written != 2 ||
		    ex_data_load(ex_base() + answered_at(k)) != (uint16_t)(ANSWERED + k))
			ex_violation("the driver saw a used buffer before what the device wrote there");
		drv.back |= (uint8_t)(1 << k);
		drv.taken++;
	}
	if (drv.taken == total())
		return 1;
	return driver_turn(n > 0 ? D_TAKE : D_ARM);
}

static int driver_step(void)
{
	int more;

	switch (drv.pc) {
	case D_ADD:
		return driver_add();
	case D_PUBLISH:
		virtq_drv_publish(&drv.vq);
		drv.shown++;
		drv.pc = D_KICK;
		return 0;
	case D_KICK:
		more = virtq_drv_should_kick(&drv.vq);
		if (more)
			ex_notify();
		return driver_turn(D_DISARM);
	case D_TAKE:
		return driver_take();
	case D_ARM:
		more = virtq_drv_arm(&drv.vq);
		drv.pc = more ? D_TAKE : D_SLEEP;
		return 0;
	case D_SLEEP:
		ex_wait();
		drv.pc = D_DISARM;
		return 0;
	default:
		virtq_drv_disarm(&drv.vq);
		drv.pc = D_TAKE;
		return 0;
	}
}

enum { V_DISARM, V_POP, V_HANDLE, V_PUBLISH, V_INTERRUPT, V_ARM, V_SLEEP };

static void chain_check(struct virtq_chain *c, unsigned k)
{
	if (k >= total())
		ex_violation("the device popped more than was added");
	if (c->nread != (rc.segs == 2) || c->nwrite != 1 || c->write_bytes != 2 ||
	    (uint8_t *)c->iov[c->nread].base != ex_base() + answered_at(k) ||
	    (c->nread == 1 && (uint8_t *)c->iov[0].base != ex_base() + asked_at(k)))
		ex_violation("the device saw an entry before the driver had written it");
	if (ex_data_load(ex_base() + asked_at(k)) != (uint16_t)(ASKED + k))
		ex_violation("the device saw an entry before the buffer's contents");
	c->iov = NULL; /* where that was changes nothing */
}

static int device_pop(void)
{
	int n = virtq_dev_pop(&dev.vq, dev.chains, SIZE_MAX_, iov, IOVS);

	if (n < 0)
		ex_violation("the device took what the driver wrote for nonsense");
	for (int i = 0; i < n; i++)
		chain_check(&dev.chains[i], (unsigned)(dev.popped + i));
	dev.popped = (uint8_t)(dev.popped + n);
	dev.n = (uint8_t)n;
	dev.i = 0;
	dev.pc = n > 0 ? V_HANDLE : V_ARM;
	return 0;
}

/* The quick way: buffers. */
static void buffer_check(const struct virtq_buffer *b, unsigned k)
{
	if (k >= total())
		ex_violation("the device took more than was added");
	if (b->len != 2 || (uint8_t *)b->base != ex_base() + answered_at(k))
		ex_violation("the device saw an entry before the driver had written it");
	if (ex_data_load(ex_base() + asked_at(k)) != (uint16_t)(ASKED + k))
		ex_violation("the device saw an entry before the buffer's contents");
}

static int device_take(void)
{
	uint32_t n = virtq_dev_take(&dev.vq, dev.buffers, SIZE_MAX_, 1);

	for (uint32_t i = 0; i < n; i++)
		buffer_check(&dev.buffers[i], dev.popped + i);
	if (rc.untake && n > 1) {
		if (virtq_dev_untake(&dev.vq, &dev.buffers[1], n - 1) != 0)
			ex_violation("the device could not put buffers back");
		memset(&dev.buffers[1], 0, (n - 1) * sizeof(dev.buffers[0]));
		n = 1;
	}
	dev.popped = (uint8_t)(dev.popped + n);
	dev.n = (uint8_t)n;
	dev.i = 0;
	dev.pc = n > 0 ? V_HANDLE : V_ARM;
	return 0;
}

/* All of them at once, or one. */
static int device_give(void)
{
	static const uint32_t written[SIZE_MAX_] = {2, 2, 2, 2};
	uint32_t n = rc.batch ? dev.n : 1;

	for (uint32_t i = dev.i; i < dev.i + n; i++) {
		unsigned k = (unsigned)(dev.popped - dev.n) + i;

		ex_data_store(ex_base() + answered_at(k), (uint16_t)(ANSWERED + k));
	}
	if (virtq_dev_give(&dev.vq, &dev.buffers[dev.i], written, n, 1) != 0)
		ex_violation("the device could not give");
	dev.used = (uint8_t)(dev.used + n);
	dev.i = (uint8_t)(dev.i + n);
	dev.pc = V_PUBLISH;
	if (dev.i == dev.n)
		memset(dev.buffers, 0, sizeof(dev.buffers));
	return 0;
}

static int device_handle(void)
{
	unsigned i = rc.lifo ? (unsigned)(dev.n - 1 - dev.i) : dev.i;
	unsigned k = (unsigned)(dev.popped - dev.n) + i;
	uint32_t written = 2;

	ex_data_store(ex_base() + answered_at(k), (uint16_t)(ANSWERED + k));
	if (virtq_dev_push(&dev.vq, &dev.chains[i], &written, 1) != 0)
		ex_violation("the device could not push");
	dev.used++;
	dev.i++;
	if (!rc.batch || dev.i == dev.n)
		dev.pc = V_PUBLISH;
	if (dev.i == dev.n)
		memset(dev.chains, 0, sizeof(dev.chains));
	return 0;
}

static int device_step(void)
{
	int more;

	switch (dev.pc) {
	case V_DISARM:
		virtq_dev_disarm(&dev.vq);
		dev.pc = V_POP;
		return 0;
	case V_POP:
		return rc.buffers ? device_take() : device_pop();
	case V_HANDLE:
		return rc.buffers ? device_give() : device_handle();
	case V_PUBLISH:
		virtq_dev_publish(&dev.vq);
		dev.pc = V_INTERRUPT;
		return 0;
	case V_INTERRUPT:
		more = virtq_dev_should_interrupt(&dev.vq);
		if (more)
			ex_notify();
		dev.pc = dev.i < dev.n ? V_HANDLE : V_POP;
		return dev.used == total();
	case V_ARM:
		more = virtq_dev_arm(&dev.vq);
		if (more < 0)
			ex_violation("the device could not arm");
		dev.pc = more ? V_POP : V_SLEEP;
		return 0;
	default:
		ex_wait();
		dev.pc = V_DISARM;
		return 0;
	}
}

/* Setting up: by the ring code's own calls, whose accesses are no steps yet. */

static struct virtq_features features(void)
{
	struct virtq_features f = {{0, 0}};

	virtq_features_set(&f, VIRTQ_F_VERSION_1);
	if (rc.packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	if (rc.event_idx)
		virtq_features_set(&f, VIRTQ_F_EVENT_IDX);
	if (rc.in_order)
		virtq_features_set(&f, VIRTQ_F_IN_ORDER);
	if (rc.indirect)
		virtq_features_set(&f, VIRTQ_F_INDIRECT_DESC);
	return f;
}

static void must(int ok)
{
	if (!ok)
		abort();
}

static void lay_out(const struct virtq_state *s)
{
	struct virtq_features f = features();

	at.driver = (uint32_t)(s->driver - GPA);
	at.device = (uint32_t)(s->device - GPA);
	at.data = ((uint32_t)virtq_drv_ring_bytes(rc.size, &f) + 15) & ~15u;
	at.tables = (at.data + rc.size * DATA_BYTES + 15) & ~15u;
	at.end = at.tables + (uint32_t)rc.size * rc.indirect * VIRTQ_DESC_BYTES;
	must(at.end <= 2 * CELLS);
	memset(ring_scenario.two_writers, 0, sizeof(ring_scenario.two_writers));
	for (uint32_t i = 0; i < CELLS; i++)
		ring_scenario.two_writers[i] =
			(rc.packed && 2 * i < at.driver) || (2 * i >= at.data && 2 * i < at.tables);
}

static void ring_setup(const struct scenario *sc)
{
	struct virtq_drv_config d = {
		.size = sizeof(d), .features = features(), .queue_size = rc.size, .ring_addr = GPA};
	struct virtq_dev_config v = {.size = sizeof(v), .features = features(), .mem = &mem};
	struct virtq_state s;

	(void)sc;
	memset(&drv, 0, sizeof(drv));
	memset(&dev, 0, sizeof(dev));
	d.ring = ex_base();
	d.scratch = drv.scratch;
	d.scratch_bytes = sizeof(drv.scratch);
	must(virtq_drv_init(&drv.vq, &d) == 0);
	virtq_drv_state(&drv.vq, &s);
	lay_out(&s);
	if (rc.indirect) {
		d.indirect_max = rc.indirect;
		d.indirect = ex_base() + at.tables;
		d.indirect_addr = GPA + at.tables;
		must(virtq_drv_init(&drv.vq, &d) == 0);
	}
	region = (struct virtq_region){.gpa = GPA, .len = 2 * CELLS, .host = ex_base()};
	must(virtq_mem_init(&mem, &region, 1) == 0);
	v.state = s;
	v.scratch = dev.scratch;
	v.scratch_bytes = sizeof(dev.scratch);
	must(virtq_dev_init(&dev.vq, &v) == 0);
	must(virtq_dev_max_iov(&dev.vq) <= IOVS);
}

static const char *ring_judge(void)
{
	if (virtq_drv_inflight(&drv.vq) != 0 || virtq_dev_inflight(&dev.vq) != 0)
		return "a buffer is still out";
	return dev.popped != total() || drv.shown != rc.publishes ? "not everything was done" : NULL;
}

static const char *ring_cell(unsigned cell, char *buf, unsigned n)
{
	static const char *const packed_fields[] = {"addr", "", "", "", "len", "", "id", "flags"};
	static const char *const split_fields[] = {"addr", "", "", "", "len", "", "flags", "next"};
	unsigned byte = 2 * cell, used;

	if (byte < at.driver)
		snprintf(buf, n, "desc[%u].%s", byte / 16,
		         (rc.packed ? packed_fields : split_fields)[byte % 16 / 2]);
	else if (byte >= at.tables)
		snprintf(buf, n, "table+%u", byte - at.tables);
	else if (byte >= at.data)
		snprintf(buf, n, "buffer %u+%u", (byte - at.data) / DATA_BYTES, byte % DATA_BYTES);
	else if (rc.packed)
		snprintf(buf, n, "%s event", byte < at.device ? "driver's" : "device's");
	else if ((used = byte >= at.device) != 0 && byte >= at.device + 4 + 8u * rc.size)
		snprintf(buf, n, "avail_event");
	else if (!used && byte >= at.driver + 4 + 2u * rc.size)
		snprintf(buf, n, "used_event");
	else if (byte - (used ? at.device : at.driver) < 4)
		snprintf(buf, n, "%s.%s", used ? "used" : "avail", byte % 4 == 0 ? "flags" : "idx");
	else if (used)
		snprintf(buf, n, "used.ring[%u].%s", (byte - at.device - 4) / 8,
		         (byte - at.device - 4) % 8 < 4 ? "id" : "len");
	else
		snprintf(buf, n, "avail.ring[%u]", (byte - at.driver - 4) / 2);
	return buf;
}

struct scenario ring_scenario = {.setup = ring_setup,
                                 .step = {driver_step, device_step},
                                 .judge = ring_judge,
                                 .priv = {&drv, &dev},
                                 .priv_bytes = {sizeof(drv), sizeof(dev)},
                                 .cell_name = ring_cell,
                                 .side_name = {"driver", "device"}};

_Static_assert(sizeof(drv) <= PRIVATE_MAX && sizeof(dev) <= PRIVATE_MAX, "PRIVATE_MAX");

void ring_case_set(const struct ring_case *c)
{
	rc = *c;
}

void ring_case_name(const struct ring_case *c, char *buf, unsigned n)
{
	snprintf(buf, n, "%s%s%s%s, size %u, %ux%u buffers of %u%s%s%s%s",
	         c->packed ? "packed" : "split", c->event_idx ? " EVENT_IDX" : "",
	         c->in_order ? " IN_ORDER" : "", c->indirect ? " INDIRECT" : "", c->size, c->publishes,
	         c->burst, c->segs, c->batch ? ", used in batches" : "", c->lifo ? ", backwards" : "",
	         c->buffers ? ", the quick way" : "", c->untake ? ", one at a time" : "");
}

void ring_add(void)
{
	driver_add();
	virtq_drv_publish(&drv.vq);
}

int ring_pop(void)
{
	if (rc.buffers)
		return dev.n = (uint8_t)virtq_dev_take(&dev.vq, dev.buffers, total(), 1);
	return dev.n = (uint8_t)virtq_dev_pop(&dev.vq, dev.chains, total(), iov, IOVS);
}

void ring_use(void)
{
	const uint32_t written[SIZE_MAX_] = {2, 2, 2, 2};

	if (rc.buffers)
		must(virtq_dev_give(&dev.vq, dev.buffers, written, dev.n, 1) == 0);
	else
		must(virtq_dev_push(&dev.vq, dev.chains, written, dev.n) == 0);
	virtq_dev_publish(&dev.vq);
}

int ring_take(void)
{
	struct virtq_done out[SIZE_MAX_];

	return virtq_drv_take(&drv.vq, out, total());
}
