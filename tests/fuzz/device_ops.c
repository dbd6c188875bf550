/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_ops.h"

#include <string.h>

#include "device_driver.h"
#include "dma_mem.h"

#define OUT   256
#define BURST 8
#define XLATS 4
/* What the log covers, in pages from address 0; the device area's own log address lies in it, too. */
#define LOG_WORDS 2
#define LOG_PAGES (LOG_WORDS * 8 * sizeof(uintptr_t))
#define USED_LOG  0x40000

struct out {
	struct virtq_chain chain;
	void *pieces; /* copy of what the chain points at */
};

struct fuzz {
	struct input in;
	struct guest guest;
	struct virtq_mem other; /* a map with less memory in it */
	struct ring ring;
	struct virtq_dev_config cfg;
	struct dma_mem *bus; /* NULL: mapped memory */
	struct virtq_xlat cache[XLATS];
	struct virtq_xlat_ops xlat;
	struct virtq_platform platform;
	struct virtq_dirty dirty;
	struct virtq_log log;
	uintptr_t logged[LOG_WORDS];
	struct out out[OUT];
	uint32_t nout;
	uint32_t last; /* chains of the last pop, which can be put back */
};

/* A translation that changes nothing, knows no odd pages in 16, and sometimes is not there yet. */
static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	struct fuzz *f = ctx;

	(void)write;
	if ((iova >> 12 & 15) == 15)
		return VIRTQ_EFAULT;
	if (take8(&f->in) % 16 == 15)
		return VIRTQ_EAGAIN;
	*out = (struct virtq_xlat){.iova = iova & ~(uint64_t)0xfff, .len = 0x1000, .perm = 3};
	out->gpa = out->iova;
	return 0;
}

/* --- what a platform is told, and the log ------------------------------------------------------- */

static void platform_barrier(void *ctx)
{
	(void)ctx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Caches are only cared for where the ring, or a table, lies. */
static void platform_cache(void *ctx, const void *p, size_t len)
{
	const struct fuzz *f = ctx;

	HOLDS(len > 0);
	for (uint32_t i = 0; i < FUZZ_REGIONS; i++) {
		const struct virtq_region *r = &f->guest.regions[i];
		uintptr_t at = (uintptr_t)p - (uintptr_t)r->host;

		if (at < r->len && len <= r->len - at)
			return;
	}
	HOLDS(p == NULL); /* none of these: outside of guest memory */
}

/* Across a bus, nobody looks whether buffers lie in memory: what doesn't is not logged. */
static int is_memory(uint64_t page)
{
	for (uint32_t i = 0; i < FUZZ_REGIONS; i++)
		if ((page << 12) - fuzz_regions[i].gpa < fuzz_regions[i].len)
			return 1;
	return 0;
}

static int is_logged(const struct fuzz *f, uint64_t page)
{
	return ((const uint8_t *)f->logged)[page / 8] >> page % 8 & 1;
}

/* Every page that the other side may have written through this chain is marked once it has gone back. */
static void expect_logged(const struct fuzz *f, const struct virtq_chain *c)
{
	for (uint32_t i = c->nread; f->log.current != NULL && i < c->nread + c->nwrite; i++) {
		uint64_t addr = 0, len = f->bus != NULL ? c->seg[i].len : c->iov[i].len;

		if (f->bus != NULL) {
			addr = c->seg[i].addr;
		} else {
			for (uint32_t j = 0; j < FUZZ_REGIONS; j++) {
				const struct virtq_region *r = &f->guest.regions[j];
				uintptr_t at = (uintptr_t)c->iov[i].base - (uintptr_t)r->host;

				if (at < r->len)
					addr = r->gpa + at;
			}
		}
		HOLDS(len > 0);
		for (uint64_t page = addr >> 12; page <= (addr + len - 1) >> 12 && is_memory(page); page++)
			HOLDS(page >= LOG_PAGES || is_logged(f, page));
	}
}

/* Logging is turned on or off at any time, and what was logged is taken away. */
static void change_log(struct fuzz *f)
{
	uintptr_t out[LOG_WORDS];

	if (f->dirty.nwords == 0)
		return;
	if (take8(&f->in) & 1)
		virtq_log_set(&f->log, f->log.current == NULL ? &f->dirty : NULL);
	HOLDS(virtq_dirty_take(&f->dirty, 0, LOG_WORDS, out) >= 0);
}

static void time_passes(struct fuzz *f)
{
	if (f->bus != NULL)
		dma_mem_step(f->bus, &f->ring.dev);
}

/* --- the device --------------------------------------------------------------------------------- */

/* Touch every byte: it must be there, and writable where it says so. */
static void touch(struct fuzz *f, const struct virtq_chain *c)
{
	uint64_t read_bytes = 0, write_bytes = 0;
	static uint8_t buf[0x4000];

	for (uint32_t i = 0; i < c->nread + c->nwrite; i++) {
		int write = i >= c->nread;

		if (f->bus != NULL) {
			*(write ? &write_bytes : &read_bytes) += c->seg[i].len;
			continue;
		}
		*(write ? &write_bytes : &read_bytes) += c->iov[i].len;
		HOLDS(c->iov[i].len > 0 && c->iov[i].len <= sizeof(buf));
		if (!write)
			memcpy(buf, c->iov[i].base, c->iov[i].len);
		/* Never into the ring: that would only be another way to scribble. */
		else if ((uintptr_t)c->iov[i].base - (uintptr_t)f->guest.regions[0].host >= 0x4000)
			memset(c->iov[i].base, 0xdd, c->iov[i].len);
		if (write)
			HOLDS((uintptr_t)c->iov[i].base - (uintptr_t)f->guest.regions[3].host >= 0x1000);
	}
	HOLDS(read_bytes == c->read_bytes && write_bytes == c->write_bytes);
}

static void keep(struct fuzz *f, const struct virtq_chain *c)
{
	size_t bytes = (c->nread + c->nwrite) *
	               (f->bus != NULL ? sizeof(struct virtq_seg) : sizeof(struct virtq_iov));
	struct out *o = &f->out[f->nout++];

	for (uint32_t i = 0; i + 1 < f->nout; i++)
		HOLDS(f->out[i].chain.id != c->id);
	HOLDS(c->id < f->ring.size && c->nread + c->nwrite <= f->ring.niov);
	touch(f, c);
	o->chain = *c;
	o->pieces = malloc(bytes > 0 ? bytes : 1);
	HOLDS(o->pieces != NULL);
	if (f->bus != NULL) {
		memcpy(o->pieces, c->seg, bytes);
		o->chain.seg = o->pieces;
	} else {
		memcpy(o->pieces, c->iov, bytes);
		o->chain.iov = o->pieces;
	}
}

static void check_broken(struct fuzz *f)
{
	struct virtq_fault fault;

	HOLDS(virtq_dev_fault(&f->ring.dev, &fault) == 1);
	HOLDS(fault.reason != VIRTQ_FAULT_NONE && virtq_fault_name(fault.reason) != NULL);
	HOLDS(virtq_dev_arm(&f->ring.dev) == VIRTQ_EBROKEN);
}

static void pop(struct fuzz *f)
{
	struct virtq_chain chains[BURST];
	uint32_t max = 1 + take8(&f->in) % BURST;
	struct ring *r = &f->ring;
	int n;

	if (max > OUT - f->nout)
		max = OUT - f->nout;
	if (f->bus != NULL) {
		if (virtq_dev_fetch(&r->dev, max) != 0)
			check_broken(f);
		time_passes(f);
		n = virtq_dev_pop_seg(&r->dev, chains, max, r->seg, r->niov);
	} else {
		n = virtq_dev_pop(&r->dev, chains, max, r->iov, r->niov);
	}
	if (n == VIRTQ_EBROKEN)
		check_broken(f);
	else
		HOLDS(n >= 0 || n == VIRTQ_EAGAIN);
	f->last = n > 0 ? (uint32_t)n : 0;
	for (int i = 0; i < n; i++)
		keep(f, &chains[i]);
	HOLDS(virtq_dev_inflight(&r->dev) == f->nout);
}

/* A buffer as the chain that it is; iov is where its piece goes. */
static struct virtq_chain buffer_chain(const struct virtq_buffer *b, int write,
                                       struct virtq_iov *iov)
{
	*iov = (struct virtq_iov){.base = b->base, .len = b->len};
	return (struct virtq_chain){.iov = iov,
	                            .nread = !write,
	                            .nwrite = write != 0,
	                            .read_bytes = write ? 0 : b->len,
	                            .write_bytes = write ? b->len : 0,
	                            .id = (uint16_t)b->id};
}

/* The quick way: buffers are taken, and given or put back, before anything else is done; but logging may begin. */
static void buffers(struct fuzz *f)
{
	struct virtq_buffer b[2 * BURST];
	uint32_t written[2 * BURST], max = take8(&f->in) % (2 * BURST + 1), n, given, much;
	int write = take8(&f->in) & 1;
	struct virtq_dev *vq = &f->ring.dev;
	struct virtq_chain c;
	struct virtq_iov iov;

	n = virtq_dev_take(vq, b, max, write);
	HOLDS(n <= max && (n == 0 || f->bus == NULL));
	if (n == 0)
		return;
	HOLDS(virtq_dev_inflight(vq) == f->nout + n);
	for (uint32_t i = 0; i < n; i++) {
		c = buffer_chain(&b[i], write, &iov);
		HOLDS(b[i].id < f->ring.size);
		for (uint32_t k = 0; k < f->nout; k++)
			HOLDS(f->out[k].chain.id != b[i].id);
		for (uint32_t k = 0; k < i; k++)
			HOLDS(b[k].id != b[i].id);
		touch(f, &c);
		written[i] = take16(&f->in) % (b[i].len + 1);
	}
	if (take8(&f->in) & 1)
		change_log(f);
	given = take8(&f->in) % (n + 1);
	much = b[0].len + 1;
	HOLDS(!write || virtq_dev_give(vq, b, &much, 1, 1) == VIRTQ_EINVAL);
	HOLDS(virtq_dev_give(vq, b, written, given, write) == 0);
	for (uint32_t i = 0; i < given; i++) {
		c = buffer_chain(&b[i], write, &iov);
		expect_logged(f, &c);
		HOLDS(virtq_dev_give(vq, &b[i], &written[i], 1, write) == VIRTQ_EINVAL);
	}
	HOLDS(virtq_dev_untake(vq, b + given, n - given) == 0);
	HOLDS(virtq_dev_inflight(vq) == f->nout);
	f->last = 0;
}

static void forget(struct fuzz *f, uint32_t at)
{
	free(f->out[at].pieces);
	memmove(&f->out[at], &f->out[at + 1], (--f->nout - at) * sizeof(f->out[0]));
	f->last = 0;
}

static void push(struct fuzz *f)
{
	uint32_t at, written;
	int rc;

	if (f->nout == 0)
		return;
	at = take8(&f->in) % f->nout;
	written = take16(&f->in);
	rc = virtq_dev_push(&f->ring.dev, &f->out[at].chain, &written, 1);
	if (written > f->out[at].chain.write_bytes) {
		HOLDS(rc == VIRTQ_EINVAL);
		return;
	}
	HOLDS(rc == (virtq_dev_fault(&f->ring.dev, NULL) ? VIRTQ_EBROKEN : 0));
	expect_logged(f, &f->out[at].chain);
	written = 0;
	HOLDS(virtq_dev_push(&f->ring.dev, &f->out[at].chain, &written, 1) == VIRTQ_EINVAL);
	forget(f, at);
	HOLDS(virtq_dev_inflight(&f->ring.dev) == f->nout);
}

static void unpop(struct fuzz *f)
{
	struct virtq_chain chains[BURST];
	uint32_t n = take8(&f->in) % (f->last + 1);

	for (uint32_t i = 0; i < n; i++)
		chains[i] = f->out[f->nout - n + i].chain;
	HOLDS(virtq_dev_unpop(&f->ring.dev, chains, n) == 0);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t last = f->last;

		forget(f, f->nout - 1);
		f->last = last - 1;
	}
}

static void release_all(struct fuzz *f)
{
	while (f->nout > 0) {
		HOLDS(virtq_dev_release(&f->ring.dev, &f->out[f->nout - 1].chain, 1) == 0);
		expect_logged(f, &f->out[f->nout - 1].chain);
		forget(f, f->nout - 1);
	}
	HOLDS(virtq_dev_inflight(&f->ring.dev) == 0);
}

static void notify(struct fuzz *f)
{
	int rc;

	virtq_dev_publish(&f->ring.dev);
	rc = virtq_dev_should_interrupt(&f->ring.dev);
	HOLDS(rc == 0 || rc == 1 || (f->bus != NULL && rc == VIRTQ_EAGAIN));
	time_passes(f);
}

static void arm(struct fuzz *f)
{
	int rc = virtq_dev_arm(&f->ring.dev);

	HOLDS(rc == 0 || rc == 1 || rc == VIRTQ_EBROKEN || (f->bus != NULL && rc == VIRTQ_EAGAIN));
	if (take8(&f->in) & 1)
		virtq_dev_disarm(&f->ring.dev);
	(void)virtq_dev_notify_data(&f->ring.dev, take32(&f->in));
}

static int start(struct fuzz *f)
{
	return ring_dev_init(&f->ring, &f->cfg, 2);
}

/* Stop, and start again from the state, perhaps a spoilt one. 0: there is a device side. */
static int restart(struct fuzz *f)
{
	struct ring *r = &f->ring;
	struct virtq_state state = r->state;
	uint8_t spoil = take8(&f->in);
	int rc;

	release_all(f);
	virtq_dev_publish(&r->dev);
	if (f->bus != NULL)
		dma_mem_drain(f->bus, &r->dev);
	rc = virtq_dev_state(&r->dev, &state);
	HOLDS(rc == 0 || rc == VIRTQ_EBUSY);
	HOLDS(virtq_dev_fini(&r->dev) == 0);
	if (spoil & 1) {
		state.avail = take16(&f->in);
		state.used = take16(&f->in);
		state.flags = take8(&f->in) & 7;
		state.unsignalled = take16(&f->in);
	}
	if (spoil & 2)
		state.driver = fuzz_addr(&f->in);
	f->cfg.state = state;
	free(r->dev_scratch);
	free(r->iov);
	free(r->seg);
	r->dev_scratch = NULL;
	return start(f);
}

static void change_map(struct fuzz *f)
{
	int rc = virtq_dev_set_mem(&f->ring.dev, take8(&f->in) & 1 ? &f->other : &f->guest.mem);

	if (f->bus != NULL)
		HOLDS(rc == VIRTQ_EINVAL);
	else
		HOLDS(rc == 0 || rc == VIRTQ_EAGAIN || rc == VIRTQ_EFAULT);
	virtq_dev_invalidate(&f->ring.dev, fuzz_addr(&f->in), fuzz_len(&f->in));
}

/* --- putting it together ------------------------------------------------------------------------ */

/* Caches to be cared for, a log, a device area with a log address of its own. */
static void configure_more(struct fuzz *f, uint8_t bits)
{
	if (bits & 1) {
		f->platform = (struct virtq_platform){.size = sizeof(f->platform),
		                                      .clean = platform_cache,
		                                      .invalidate = platform_cache,
		                                      .ctx = f};
		if (bits & 2)
			f->platform.barrier = f->platform.read_barrier = f->platform.write_barrier =
				platform_barrier;
		f->cfg.platform = &f->platform;
	}
	if (bits & 4) {
		HOLDS(virtq_dirty_init(&f->dirty, 0, 12, f->logged, LOG_WORDS, NULL) == 0);
		virtq_mem_set_log(&f->guest.mem, &f->log);
		virtq_mem_set_log(&f->other, &f->log);
		f->cfg.mem = &f->guest.mem;
		virtq_log_set(&f->log, bits & 8 ? &f->dirty : NULL);
		if (bits & 16) {
			f->cfg.flags = VIRTQ_DEV_USED_LOG;
			f->cfg.used_log = USED_LOG;
		}
	}
}

static int configure(struct fuzz *f, int packed)
{
	uint8_t bits = take8(&f->in), size = take8(&f->in);
	struct ring_config c = {.region = 0};

	virtq_features_set(&c.features, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&c.features, VIRTQ_F_RING_PACKED);
	if (bits & 1)
		virtq_features_set(&c.features, VIRTQ_F_EVENT_IDX);
	if (bits & 2)
		virtq_features_set(&c.features, VIRTQ_F_IN_ORDER);
	if (bits & 4)
		virtq_features_set(&c.features, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		c.size = (uint16_t)(1 + size % 40);
	else
		c.size = (uint16_t)(1u << size % 7);
	ring_init(&f->ring, &f->guest, &c);
	f->cfg = (struct virtq_dev_config){.size = sizeof(f->cfg)};
	if (bits & 8)
		f->cfg.max_chain = take8(&f->in);
	if (bits & 16) {
		virtq_features_set(&f->ring.features, VIRTQ_F_ACCESS_PLATFORM);
		f->xlat =
			(struct virtq_xlat_ops){.size = sizeof(f->xlat), .translate = translate, .ctx = f};
		f->cfg.xlat = &f->xlat;
		f->cfg.xlat_cache = f->cache;
		f->cfg.xlat_entries = bits & 32 ? XLATS : 0;
	} else if (bits & 64) {
		f->bus = malloc(sizeof(*f->bus));
		HOLDS(f->bus != NULL);
		dma_mem_init(f->bus, &f->guest, take8(&f->in) % 4, take8(&f->in));
		f->bus->fail_one_in = take8(&f->in);
		f->cfg.dma = &f->bus->ops;
		f->cfg.dma_window = 1u + take8(&f->in) % 16;
	}
	if (bits & 128)
		configure_more(f, take8(&f->in));
	return start(f);
}

static void rare(struct fuzz *f)
{
	uint8_t what = take8(&f->in);

	switch (what % 8) {
	case 0:
		release_all(f);
		break;
	case 1:
	case 2:
	case 3:
		change_log(f);
		break;
	case 4: /* the device model refuses what it got */
		if (what == 4)
			virtq_dev_break(&f->ring.dev, take8(&f->in));
		break;
	default:
		HOLDS(f->bus != NULL || virtq_dev_uses_mem(&f->ring.dev, &f->guest.mem) ||
		      virtq_dev_uses_mem(&f->ring.dev, &f->other));
	}
}

static int step(struct fuzz *f)
{
	uint8_t op = take8(&f->in);

	switch (op % 16) {
	case 0:
		fuzz_any_desc(&f->in, &f->ring);
		break;
	case 1:
	case 2:
		fuzz_honest_chain(&f->in, &f->ring);
		break;
	case 3:
	case 4:
		fuzz_indirect_chain(&f->in, &f->ring);
		break;
	case 5:
		fuzz_scribble(&f->in, &f->ring);
		break;
	case 6:
		fuzz_driver_fields(&f->in, &f->ring);
		break;
	case 7:
		pop(f);
		break;
	case 8:
		if (op < 128)
			pop(f);
		else
			buffers(f);
		break;
	case 9:
		push(f);
		break;
	case 10:
		notify(f);
		break;
	case 11:
		arm(f);
		break;
	case 12:
		unpop(f);
		break;
	case 13:
		rare(f);
		break;
	case 14:
		if (take8(&f->in) % 4 == 0)
			return restart(f);
		break;
	default:
		change_map(f);
	}
	return 0;
}

void fuzz_device(const uint8_t *data, size_t size, int packed)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	int rc;

	HOLDS(f != NULL);
	f->in = (struct input){data, size};
	guest_init(&f->guest, fuzz_regions, FUZZ_REGIONS);
	HOLDS(virtq_mem_init(&f->other, f->guest.regions, 3) == 0);
	rc = configure(f, packed);
	while (rc == 0 && !input_end(&f->in))
		rc = step(f);
	if (f->ring.dev_scratch != NULL) {
		release_all(f);
		if (f->bus != NULL)
			dma_mem_drain(f->bus, &f->ring.dev);
	}
	ring_fini(&f->ring);
	HOLDS(f->other.refs == 1);
	guest_fini(&f->guest);
	free(f->bus);
	free(f);
}
