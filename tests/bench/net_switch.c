/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From guest to guest through the switch, on two processors: a sending driver and its device's thread on one, the
 * receiving driver, which reads a word of each line, on the other. Beside it the same bytes copied by memcpy and read by a
 * thread that trusts: what the machine allows.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <vdev/net.h>
#include <vdev/net_switch.h>
#include <virtq/virtq.h>

#include "net_bench.h"

enum {
	REGIONS = 4,
	REGION_BYTES = 2 << 20,
	RX_AT = 256 << 10,  /* in each region: buffers to receive */
	TX_AT = 1280 << 10, /* and frames to send */
	PAGE_BYTES = 4096,
	GUESTS = 4,
	HEADERS = 14 + 20 + 20,
	SEGMENT = 1448,
	SEGMENTS = 45, /* what Linux puts into 64 KiB */
	PIECES = 17,
	LARGE_OUT = 12, /* frames on their way at most: there are buffers for all of them */
	SPLIT_OUT = 20,
	SPLIT_RING = 1024, /* for their segments */
	SMALL_OUT = 160,
	PATIENCE_S = 30
};

struct guest {
	struct virtq_mem mem;
	struct virtq_region regions[REGIONS];
	struct vdev_netif *port;
	struct vdev *v;
	struct virtq_drv drv[2]; /* receives, sends */
	void *scratch[2];
	const struct guest *to; /* whom it sends to */
	unsigned index, next;
	uint32_t room;        /* of a buffer to receive */
	uint32_t left;        /* buffers of the frame that comes in, still to come */
	uint64_t sent, bytes; /* frames; received */
	uint64_t sum;         /* of what was read, so that it is read */
	/* Frames received, by their sender: what the senders look at. */
	_Alignas(128) uint64_t from[GUESTS];
};

struct switch_rig {
	const struct net_flow *flow;
	struct vdev_switch *sw;
	struct guest *guest[GUESTS]; /* 0 and 2 send, 1 and 3 receive */
	int cpu[2];
	_Alignas(128) int ready, stop,
		quiet; /* quiet: the second sender has begun nothing since stop */
};

static int is_large(const struct net_flow *f)
{
	return f->len > 1514;
}

/* --- a guest -------------------------------------------------------------------------------------- */

static uint64_t place(const struct guest *g, uint32_t base, unsigned slot, uint8_t **host)
{
	const struct virtq_region *r = &g->regions[slot % REGIONS];
	uint64_t at = base + (uint64_t)(slot / REGIONS) * PAGE_BYTES;

	*host = (uint8_t *)r->host + at;
	return r->gpa + at;
}

static uint16_t ring_size(const struct net_flow *flow, unsigned q)
{
	return q == 0 && flow->segmented ? SPLIT_RING : NET_RING;
}

static void queue_start(struct guest *g, unsigned q, uint16_t size, const struct virtq_features *f)
{
	struct virtq_region *r = &g->regions[q];
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = *f,
	                               .queue_size = size,
	                               .ring = r->host,
	                               .ring_addr = r->gpa,
	                               .indirect_max = q == 1 ? PIECES : 0,
	                               .indirect = g->regions[2].host,
	                               .indirect_addr = g->regions[2].gpa};
	struct vdev_queue_setup setup = {0};

	cfg.scratch_bytes = virtq_drv_bytes(size, f);
	cfg.scratch = g->scratch[q] = bench_zeroed(cfg.scratch_bytes);
	bench_need(virtq_drv_init(&g->drv[q], &cfg) == 0, "virtq_drv_init");
	virtq_drv_state(&g->drv[q], &setup.state);
	bench_need(vdev_queue_start(g->v, q, &setup) == 0, "vdev_queue_start");
}

static void negotiate(struct guest *g, const struct net_flow *flow)
{
	static const unsigned bits[] = {
		VIRTQ_F_VERSION_1, VIRTQ_F_EVENT_IDX,    VIRTQ_F_INDIRECT_DESC, VDEV_NET_F_MRG_RXBUF,
		VDEV_NET_F_CSUM,   VDEV_NET_F_HOST_TSO4, VDEV_NET_F_GUEST_CSUM, VDEV_NET_F_GUEST_TSO4};
	const uint8_t found = VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER;
	struct virtq_features f = {{0}};

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]) - (flow->segmented ? 2 : 0); i++)
		virtq_features_set(&f, bits[i]);
	if (flow->packed)
		virtq_features_set(&f, VIRTQ_F_RING_PACKED);
	bench_need(vdev_set_status(g->v, VIRTQ_STATUS_ACKNOWLEDGE) == 0 &&
	               vdev_set_status(g->v, found) == 0 && vdev_accept(g->v, &f) == 0 &&
	               vdev_set_status(g->v, found | VIRTQ_STATUS_FEATURES_OK) == 0 &&
	               vdev_status(g->v) & VIRTQ_STATUS_FEATURES_OK,
	           "negotiation");
	queue_start(g, 0, ring_size(flow, 0), &f);
	queue_start(g, 1, ring_size(flow, 1), &f);
	bench_need(vdev_set_status(g->v, found | VIRTQ_STATUS_FEATURES_OK | VIRTQ_STATUS_DRIVER_OK) ==
	               0,
	           "DRIVER_OK");
}

static void offer(struct guest *g, uint8_t *buffer)
{
	struct virtq_seg seg = {.len = g->room};

	for (unsigned i = 0; i < REGIONS; i++) {
		const uint8_t *host = g->regions[i].host;

		if (buffer >= host && buffer < host + REGION_BYTES)
			seg.addr = g->regions[i].gpa + (uint64_t)(buffer - host);
	}
	bench_need(virtq_drv_add(&g->drv[0], &seg, 0, 1, buffer) == 0, "virtq_drv_add");
}

static struct guest *guest_new(struct switch_rig *r, unsigned index)
{
	struct vdev_switch_port_config port = {.size = sizeof(port),
	                                       .mac = {2, 0, 0, 0, 0, (uint8_t)index}};
	const struct vdev_env *env = vdev_env_hosted();
	struct guest *g = bench_zeroed(sizeof(*g));
	uint8_t *buffer;

	g->index = index;
	g->room = is_large(r->flow) ? PAGE_BYTES : PAGE_BYTES / 2;
	for (unsigned i = 0; i < REGIONS; i++)
		g->regions[i] = (struct virtq_region){.gpa = (uint64_t)(i + 1) << 32,
		                                      .len = REGION_BYTES,
		                                      .host = bench_zeroed(REGION_BYTES)};
	bench_need(virtq_mem_init(&g->mem, g->regions, REGIONS) == 0, "virtq_mem_init");
	bench_need(vdev_switch_port_new(&g->port, r->sw, &port) == 0, "a port");
	bench_need(vdev_net_new(&g->v, env, g->port, NULL) == 0, "vdev_net_new");
	bench_need(vdev_function_set_mem(vdev_function(g->v), &g->mem) == 0, "memory");
	negotiate(g, r->flow);
	for (unsigned i = 0; i < ring_size(r->flow, 0); i++) {
		(void)place(g, RX_AT, i, &buffer);
		/* Short frames begin at another line in each, as those of an allocator do. */
		offer(g, buffer + (is_large(r->flow) ? 0 : i * 64 % 2048));
	}
	virtq_drv_publish(&g->drv[0]);
	return g;
}

static void guest_free(struct guest *g)
{
	bench_need(vdev_set_status(g->v, 0) == 0 && vdev_free(g->v) == 0, "reset");
	vdev_netif_free(g->port);
	virtq_mem_unref(&g->mem);
	for (unsigned i = 0; i < REGIONS; i++)
		free(g->regions[i].host);
	free(g->scratch[0]);
	free(g->scratch[1]);
	free(g);
}

/* --- sending -------------------------------------------------------------------------------------- */

static uint32_t may_be_out(const struct net_flow *f)
{
	uint32_t n = is_large(f) ? LARGE_OUT : SMALL_OUT;

	if (f->segmented)
		n = SPLIT_OUT;
	return f->senders > 1 ? n / 2 : n;
}

/* Headers as a driver has them: virtio's, Ethernet, IPv4, TCP. */
static void write_headers(const struct guest *g, const struct net_flow *f, uint8_t *p)
{
	static const uint8_t large[] = {1, 1, HEADERS, 0, SEGMENT & 0xff, SEGMENT >> 8, 34, 0, 16, 0};
	static const uint8_t ip[] = {0x45, 0, 0,  0, 0, 1, 0x40, 0, 64, 6,
	                             0,    0, 10, 9, 0, 1, 10,   9, 0,  2};
	uint8_t *frame = p + NET_HEADER;

	memset(p, 0, NET_HEADER + HEADERS);
	if (is_large(f))
		memcpy(p, large, sizeof(large));
	frame[0] = frame[6] = 2;
	frame[5] = (uint8_t)g->to->index;
	frame[11] = (uint8_t)g->index;
	frame[12] = 8;
	memcpy(frame + 14, ip, sizeof(ip));
	frame[16] = (uint8_t)((f->len - 14) >> 8);
	frame[17] = (uint8_t)(f->len - 14);
	frame[46] = 5 << 4;
	frame[47] = 0x10;
}

static void add_frame(struct guest *g, const struct net_flow *f)
{
	struct virtq_seg seg[PIECES];
	uint32_t n = 1, left = f->len - HEADERS;
	unsigned slots = 64 * REGIONS;
	unsigned slot = g->next;
	uint8_t *p;

	if (is_large(f))
		slots = (f->segmented ? SPLIT_OUT : LARGE_OUT) * PIECES;
	seg[0].addr = place(g, TX_AT, slot, &p) + slot * 64 % 2048;
	write_headers(g, f, p + slot * 64 % 2048);
	seg[0].len = NET_HEADER + (is_large(f) ? HEADERS : f->len);
	for (; is_large(f) && left > 0; n++) {
		seg[n].addr = place(g, TX_AT, slot + n, &p);
		seg[n].len = left < PAGE_BYTES ? left : PAGE_BYTES;
		left -= (uint32_t)seg[n].len;
	}
	g->next = (slot + n) % slots;
	bench_need(virtq_drv_add(&g->drv[1], seg, n, 0, g) == 0, "virtq_drv_add");
}

/* What came back, a burst that there is room for, and the device's part. */
static void send_step(struct guest *g, const struct net_flow *f, int more)
{
	uint64_t there = __atomic_load_n(&g->to->from[g->index], __ATOMIC_ACQUIRE);
	uint32_t out = (uint32_t)(g->sent - there / (f->segmented ? SEGMENTS : 1u));
	uint32_t burst = is_large(f) ? 4 : NET_BURST, most = may_be_out(f);
	struct virtq_done done[NET_BURST];

	bench_need(virtq_drv_take(&g->drv[1], done, NET_BURST) >= 0, "virtq_drv_take");
	if (virtq_drv_inflight(&g->drv[1]) + burst > most || out + burst > most)
		burst = 0; /* a whole one or none: what is looked at costs a line's way */
	for (uint32_t i = 0; more && i < burst; i++, g->sent++)
		add_frame(g, f);
	virtq_drv_publish(&g->drv[1]);
	(void)!vdev_queue_run(g->v, 1, 0);
}

/* --- receiving ------------------------------------------------------------------------------------ */

static uint64_t read_lines(const uint8_t *p, uint32_t len)
{
	uint64_t sum = 0, word;

	for (uint32_t i = 0; i + sizeof(word) <= len; i += 64) {
		memcpy(&word, p + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static void receive_step(struct guest *g)
{
	struct virtq_done done[NET_BURST];
	uint64_t news[GUESTS] = {0};
	int n = virtq_drv_take(&g->drv[0], done, NET_BURST);

	bench_need(n >= 0, "virtq_drv_take");
	if (n == 0)
		return;
	for (int i = 0; i < n; i++) {
		uint8_t *p = done[i].cookie;

		if (g->left == 0) {
			g->left = (uint32_t)(p[10] | p[11] << 8);
			news[p[NET_HEADER + 11] % GUESTS]++;
			g->bytes -= NET_HEADER;
		}
		g->left--;
		g->bytes += done[i].written;
		g->sum += read_lines(p, done[i].written);
		offer(g, p);
	}
	virtq_drv_publish(&g->drv[0]);
	/* Of the last one some buffers may be still to come: a sender has room for that. */
	for (unsigned i = 0; i < GUESTS; i++)
		if (news[i] != 0)
			__atomic_store_n(&g->from[i], g->from[i] + news[i], __ATOMIC_RELEASE);
}

/* --- a window ------------------------------------------------------------------------------------- */

/* The other processor: those who receive, and the second sender. */
static void *other(void *ctx)
{
	struct switch_rig *r = ctx;

	(void)bench_pin(r->cpu[1]);
	__atomic_store_n(&r->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		int stop = __atomic_load_n(&r->stop, __ATOMIC_ACQUIRE);

		if (stop == 2)
			return NULL;
		if (stop)
			__atomic_store_n(&r->quiet, 1, __ATOMIC_RELEASE);
		receive_step(r->guest[1]);
		if (r->flow->apart)
			receive_step(r->guest[3]);
		if (r->flow->senders > 1)
			send_step(r->guest[2], r->flow, !stop);
	}
}

static int all_there(const struct switch_rig *r)
{
	uint64_t times = r->flow->segmented ? SEGMENTS : 1;

	if (!__atomic_load_n(&r->quiet, __ATOMIC_ACQUIRE))
		return 0;
	for (unsigned i = 0; i < 2 * r->flow->senders; i += 2) {
		const struct guest *g = r->guest[i];

		if (__atomic_load_n(&g->to->from[i], __ATOMIC_ACQUIRE) != g->sent * times)
			return 0;
	}
	return 1;
}

static void rig_new(struct switch_rig *r)
{
	bench_need(bench_two_cpus(r->cpu) == 0, "two processors");
	bench_need(vdev_switch_new(&r->sw, vdev_env_hosted(), NULL) == 0, "a switch");
	for (unsigned i = 0; i < GUESTS; i++)
		r->guest[i] = guest_new(r, i);
	r->guest[0]->to = r->guest[1];
	r->guest[2]->to = r->guest[r->flow->apart ? 3 : 1];
}

static void rig_free(struct switch_rig *r, struct net_flow *f)
{
	struct vdev_switch_counters c;

	for (unsigned i = 0; i < GUESTS; i += 2) {
		bench_need(vdev_switch_port_counters(r->guest[i]->port, &c) == 0, "counters");
		f->not_taken += c.not_taken;
		f->frames += c.in;
	}
	for (unsigned i = 0; i < GUESTS; i++)
		guest_free(r->guest[i]);
	bench_need(vdev_switch_free(r->sw) == 0, "vdev_switch_free");
	free(r);
}

double net_switch_window(void *ctx, uint64_t ns)
{
	struct net_flow *f = ctx;
	struct switch_rig *r = bench_zeroed(sizeof(*r));
	uint64_t start, spent = 0, bytes, frames;
	pthread_t thread;

	r->flow = f;
	rig_new(r);
	bench_need(bench_pin(r->cpu[0]) == 0, "binding to a processor");
	bench_need(pthread_create(&thread, NULL, other, r) == 0, "a thread");
	while (!__atomic_load_n(&r->ready, __ATOMIC_ACQUIRE))
		sched_yield();
	for (start = bench_now_ns(); spent < ns; spent = bench_now_ns() - start)
		for (unsigned i = 0; i < 64; i++)
			send_step(r->guest[0], f, 1);
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELEASE);
	while (!all_there(r)) {
		send_step(r->guest[0], f, 0);
		bench_need(bench_now_ns() - start < ns + PATIENCE_S * UINT64_C(1000000000),
		           "the arrival of every frame");
	}
	spent = bench_now_ns() - start;
	__atomic_store_n(&r->stop, 2, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	bench_unpin();
	bytes = r->guest[1]->bytes + r->guest[3]->bytes;
	frames = r->guest[0]->sent + r->guest[2]->sent;
	rig_free(r, f);
	return f->mpps ? (double)frames * 1000 / (double)spent : (double)bytes * 8 / (double)spent;
}

/* --- the limit ------------------------------------------------------------------------------------ */

struct copies {
	const struct net_flow *flow;
	uint8_t *from, *to;
	uint32_t places, stride;
	int cpu;
	_Alignas(128) uint64_t put;
	_Alignas(128) uint64_t got;
	_Alignas(128) int stop;
	uint64_t sum;
};

static void *reads(void *ctx)
{
	struct copies *c = ctx;
	uint64_t got = 0;

	(void)bench_pin(c->cpu);
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		uint64_t put = __atomic_load_n(&c->put, __ATOMIC_ACQUIRE);

		if (put == got)
			continue;
		for (; got < put; got++)
			c->sum += read_lines(c->to + got % c->places * c->stride, c->flow->len);
		__atomic_store_n(&c->got, got, __ATOMIC_RELEASE);
	}
	return NULL;
}

double net_memcpy_window(void *ctx, uint64_t ns)
{
	struct copies *c = bench_zeroed(sizeof(*c));
	const struct net_flow *f = ctx;
	uint32_t burst = is_large(f) ? 4 : NET_BURST;
	uint64_t start, spent = 0, put = 0;
	pthread_t thread;
	int cpu[2];

	c->flow = f;
	c->places = is_large(f) ? LARGE_OUT : SMALL_OUT;
	c->stride = is_large(f) ? PIECES * PAGE_BYTES : PAGE_BYTES + 64;
	c->from = bench_zeroed((size_t)c->places * c->stride);
	c->to = bench_zeroed((size_t)c->places * c->stride);
	bench_need(bench_two_cpus(cpu) == 0, "two processors");
	c->cpu = cpu[1];
	bench_need(bench_pin(cpu[0]) == 0, "binding to a processor");
	bench_need(pthread_create(&thread, NULL, reads, c) == 0, "a thread");
	for (start = bench_now_ns(); spent < ns; spent = bench_now_ns() - start) {
		for (unsigned i = 0; i < 64; i++) {
			if (put + burst - __atomic_load_n(&c->got, __ATOMIC_ACQUIRE) > c->places)
				continue;
			for (uint32_t k = 0; k < burst; k++, put++)
				memcpy(c->to + put % c->places * c->stride, c->from + put % c->places * c->stride,
				       f->len);
			__atomic_store_n(&c->put, put, __ATOMIC_RELEASE);
		}
	}
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	bench_unpin();
	free(c->from);
	free(c->to);
	free(c);
	return f->mpps ? (double)put * 1000 / (double)spent : (double)put * f->len * 8 / (double)spent;
}

const uint32_t net_large = HEADERS + SEGMENTS * SEGMENT;
