/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both sides of a queue, each doing whatever it may at random, against a plain model: queues of requests. What must
 * hold: each request made available is popped once, in order, with the bytes the driver wrote; what the device
 * wrote, how much, and the cookie come back; and a side that sleeps until it is notified, as should_kick and
 * should_interrupt say, never sleeps while there is something to do.
 */
#include <stdlib.h>
#include <string.h>

#include "ring_model.h"

/* One of the device's pieces. */
static uint32_t piece_len(const struct model *m, const struct req *q, uint32_t i)
{
	return (uint32_t)(m->bus ? q->bus[i].len : q->iov[i].len);
}

static void piece_copy(struct model *m, const struct req *q, uint32_t i, uint8_t *buf, uint32_t len,
                       int write)
{
	if (m->bus)
		guest_copy(m, q->bus[i].addr, buf, len, write);
	else if (write)
		memcpy(q->iov[i].base, buf, len);
	else
		memcpy(buf, q->iov[i].base, len);
}

/* --- the device --------------------------------------------------------------------------------- */

static void chain_check(struct model *m, struct req *q)
{
	const struct virtq_chain *c = &q->chain;
	uint8_t buf[PIECE_BYTES];
	uint32_t at = 0, room = 0;

	MUST(m, c->read_bytes == q->read_bytes);
	MUST(m, c->write_bytes == q->write_bytes);
	for (uint32_t i = 0; i < c->nread; i++) {
		uint32_t len = piece_len(m, q, i);

		MUST(m, len > 0 && len <= PIECE_BYTES);
		piece_copy(m, q, i, buf, len, 0);
		for (uint32_t k = 0; k < len; k++, at++)
			MUST(m, buf[k] == content(q->serial, at, 0));
	}
	MUST(m, at == q->read_bytes);
	for (uint32_t i = 0; i < c->nwrite; i++)
		room += piece_len(m, q, c->nread + i);
	MUST(m, room == q->write_bytes);
}

static int pop(struct model *m, struct virtq_chain *chains, uint32_t max)
{
	struct ring *r = &m->ring;

	if (!m->bus)
		return virtq_dev_pop(&r->dev, chains, max, r->iov, r->niov);
	MUST(m, virtq_dev_fetch(&r->dev, max) == 0);
	return virtq_dev_pop_seg(&r->dev, chains, max, r->seg, r->niov);
}

static void dev_pop(struct model *m)
{
	uint32_t max = 1 + rng_below(&m->rng, m->burst), keep;
	struct virtq_chain chains[32];
	int n;

	if (!m->dev_awake)
		return;
	n = pop(m, chains, max);
	if (m->bus && n == VIRTQ_EAGAIN)
		return;
	MUST(m, n >= 0);
	/* Not all that is there need come at once, but some must. */
	MUST(m, (uint32_t)n <= (m->avail.count < max ? m->avail.count : max));
	MUST(m, n > 0 || m->avail.count == 0 || m->bus);
	keep = (uint32_t)n;
	if (n > 0 && rng_one_in(&m->rng, 6)) {
		uint32_t back = 1 + rng_below(&m->rng, (uint32_t)n);

		keep -= back;
		MUST(m, virtq_dev_unpop(&m->ring.dev, chains + keep, back) == 0);
	}
	for (uint32_t i = 0; i < keep; i++) {
		struct virtq_chain *c = &chains[i];
		uint16_t at = fifo_get(&m->avail);
		struct req *q = &m->reqs[at];

		MUST(m, c->nread + c->nwrite <= OUT_PIECES);
		if (m->bus)
			memcpy(q->bus, c->seg, (c->nread + c->nwrite) * sizeof(*c->seg));
		else
			memcpy(q->iov, c->iov, (c->nread + c->nwrite) * sizeof(*c->iov));
		q->chain = *c;
		if (m->bus)
			q->chain.seg = q->bus;
		else
			q->chain.iov = q->iov;
		chain_check(m, q);
		fifo_put(&m->order, at);
		m->out[m->nout++] = at;
	}
	MUST(m, virtq_dev_inflight(&m->ring.dev) == m->nout);
}

static void req_serve(struct model *m, struct req *q)
{
	uint8_t buf[PIECE_BYTES];
	uint32_t at = 0;

	q->written = rng_below(&m->rng, q->write_bytes + 1);
	if (rng_one_in(&m->rng, 3))
		q->written = q->write_bytes;
	for (uint32_t i = 0; at < q->written; i++) {
		uint32_t len = piece_len(m, q, q->chain.nread + i);

		if (len > q->written - at)
			len = q->written - at;
		for (uint32_t k = 0; k < len; k++)
			buf[k] = content(q->serial, at + k, 1);
		piece_copy(m, q, q->chain.nread + i, buf, len, 1);
		at += len;
	}
}

/* What the model expects of a push: with IN_ORDER older requests first. */
static void note_pushed(struct model *m, uint16_t at)
{
	m->reqs[at].pushed = 1;
	if (!m->in_order) {
		fifo_get(&m->order);
		fifo_put(&m->pushed, at);
		return;
	}
	while (m->order.count > 0 && m->reqs[m->order.at[m->order.first]].pushed)
		fifo_put(&m->pushed, fifo_get(&m->order));
}

static void dev_push(struct model *m)
{
	uint32_t n = 1 + rng_below(&m->rng, m->burst), written[32] = {0};
	struct virtq_chain chains[32] = {0};
	uint16_t at[32];

	if (n > m->nout)
		n = m->nout;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = rng_one_in(&m->rng, 2) ? 0 : rng_below(&m->rng, m->nout);

		at[i] = m->out[k];
		memmove(m->out + k, m->out + k + 1, (--m->nout - k) * sizeof(*m->out));
		req_serve(m, &m->reqs[at[i]]);
		chains[i] = m->reqs[at[i]].chain;
		written[i] = m->reqs[at[i]].written;
	}
	MUST(m, virtq_dev_push(&m->ring.dev, chains, written, n) == 0);
	for (uint32_t i = 0; i < n; i++)
		note_pushed(m, at[i]);
	MUST(m, virtq_dev_inflight(&m->ring.dev) == m->nout);
}

static void dev_publish(struct model *m)
{
	virtq_dev_publish(&m->ring.dev);
	while (m->pushed.count > 0) {
		fifo_put(&m->visible, fifo_get(&m->pushed));
		m->interrupt_due = 1;
	}
}

static void dev_ask(struct model *m)
{
	int wanted;

	if (!m->interrupt_due)
		return;
	wanted = virtq_dev_should_interrupt(&m->ring.dev);
	if (m->bus && wanted == VIRTQ_EAGAIN)
		return;
	MUST(m, wanted >= 0);
	m->interrupt_due = 0;
	if (wanted)
		m->drv_awake = 1;
}

/*
 * Across a bus the last look may take a while. What the driver shows meanwhile is found or the driver has seen that
 * a notification is wanted, so that one comes: it counts although nobody sleeps yet.
 */
static void dev_sleep(struct model *m)
{
	int more;

	if (!m->dev_awake)
		return;
	if (!m->arming)
		m->kicked = 0;
	more = virtq_dev_arm(&m->ring.dev);
	m->arming = m->bus && more == VIRTQ_EAGAIN;
	if (m->arming)
		return;
	MUST(m, more >= 0);
	if (!m->bus)
		MUST(m, more == (m->avail.count > 0));
	m->dev_awake = more || m->kicked;
}

/* Stop the device where it is and start another one from its state. */
static void dev_restart(struct model *m)
{
	struct ring *r = &m->ring;
	struct virtq_dev_config cfg = m->cfg;
	struct virtq_state state;

	if (m->nout > 0 || m->pushed.count > 0)
		return;
	if (m->bus)
		dma_mem_drain(m->bus, &r->dev);
	MUST(m, virtq_dev_state(&r->dev, &state) == 0);
	MUST(m, virtq_dev_fini(&r->dev) == 0);
	cfg.state = state;
	if (!r->packed && !m->bus && rng_one_in(&m->rng, 2)) {
		cfg.state.flags |= VIRTQ_STATE_USED_IN_RING;
		cfg.state.used = 0;
	}
	if (rng_one_in(&m->rng, 2) && !m->interrupt_due)
		cfg.state.flags &= (uint16_t)~VIRTQ_STATE_SIGNALLED;
	free(r->dev_scratch);
	free(r->iov);
	free(r->seg);
	MUST(m, ring_dev_init(r, &cfg, m->burst) == 0);
	m->dev_awake = 1;
	m->arming = 0;
}

static void dev_change_map(struct model *m)
{
	int rc;

	if (m->bus)
		return;
	rc = virtq_dev_set_mem(&m->ring.dev, rng_one_in(&m->rng, 2) ? &m->other : &m->guest.mem);
	MUST(m, rc == 0 || (rc == VIRTQ_EAGAIN && m->nout > 0));
}

/* --- putting it together ------------------------------------------------------------------------ */

static void step(struct model *m, int adding)
{
	switch (rng_below(&m->rng, 16)) {
	case 0:
	case 1:
	case 2:
		if (adding)
			drv_add(m);
		break;
	case 3:
		drv_publish(m);
		break;
	case 4:
		drv_ask(m);
		break;
	case 5:
		drv_take(m);
		break;
	case 6:
		drv_sleep(m);
		break;
	case 7:
	case 8:
		dev_pop(m);
		break;
	case 9:
	case 10:
		dev_push(m);
		break;
	case 11:
		dev_publish(m);
		break;
	case 12:
		dev_ask(m);
		break;
	case 13:
		dev_sleep(m);
		break;
	case 14:
		if (m->drv_awake && rng_one_in(&m->rng, 3))
			virtq_drv_disarm(&m->ring.drv);
		if (m->dev_awake && rng_one_in(&m->rng, 3))
			virtq_dev_disarm(&m->ring.dev);
		break;
	default:
		if (rng_one_in(&m->rng, 8))
			dev_restart(m);
		else if (rng_one_in(&m->rng, 8))
			dev_change_map(m);
	}
	if (m->bus && !rng_one_in(&m->rng, 3))
		dma_mem_step(m->bus, &m->ring.dev);
	/* No lost notifications: who sleeps has nothing to do, or the other side has still to be asked. */
	MUST(m, m->drv_awake || m->visible.count == 0 || m->interrupt_due);
	MUST(m, m->dev_awake || m->avail.count == 0 || m->kick_due);
}

static void drain(struct model *m)
{
	for (unsigned i = 0; m->idle.count < REQS; i++) {
		MUST(m, i < 100000);
		step(m, 0);
	}
	MUST(m, m->free == m->ring.size);
}

/* The queue is reset in the middle: everything comes back on both sides, each request once. */
static void reset(struct model *m)
{
	uint32_t left = REQS - m->idle.count;
	struct virtq_chain chains[REQS];
	void *cookie;

	for (uint32_t i = 0; i < m->nout; i++)
		chains[i] = m->reqs[m->out[i]].chain;
	MUST(m, virtq_dev_release(&m->ring.dev, chains, m->nout) == 0);
	MUST(m, virtq_dev_inflight(&m->ring.dev) == 0);
	for (uint32_t i = 0; i < m->idle.count; i++)
		m->reqs[m->idle.at[(m->idle.first + i) % REQS]].serial = 0;
	for (; virtq_drv_detach(&m->ring.drv, &cookie) == 1; left--) {
		struct req *q = cookie;

		MUST(m, left > 0 && q->serial != 0);
		q->serial = 0;
	}
	MUST(m, left == 0);
}

static void slabs(struct model *m)
{
	/* Some lie across the border of the two regions that meet. */
	uint64_t border = m->guest.regions[2].gpa - SLAB / 2;

	guest_alloc_in(&m->guest, 2, SLAB, 1);
	for (uint16_t i = 0; i < REQS; i++) {
		m->reqs[i].slab = i == 0 ? border : guest_alloc_in(&m->guest, i % 4, SLAB, 1);
		fifo_put(&m->idle, i);
	}
}

static void model_init(struct model *m, int packed, int bus, uint64_t seed)
{
	struct rng *rng = &m->rng;
	struct ring_config c = {.region = -1};

	memset(m, 0, sizeof(*m));
	rng_seed(rng, m->seed = seed);
	guest_init(&m->guest, NULL, 0);
	MUST(m, virtq_mem_init(&m->other, m->guest.regions, m->guest.nregions) == 0);
	virtq_features_set(&c.features, VIRTQ_F_VERSION_1);
	if (packed)
		virtq_features_set(&c.features, VIRTQ_F_RING_PACKED);
	if (rng_one_in(rng, 2))
		virtq_features_set(&c.features, VIRTQ_F_EVENT_IDX);
	m->in_order = rng_one_in(rng, 2);
	if (m->in_order)
		virtq_features_set(&c.features, VIRTQ_F_IN_ORDER);
	if (packed)
		c.size = (uint16_t)(1 + rng_below(rng, rng_one_in(rng, 4) ? 256 : 12));
	else
		c.size = (uint16_t)(1u << rng_below(rng, 9));
	if (rng_one_in(rng, 2)) {
		virtq_features_set(&c.features, VIRTQ_F_INDIRECT_DESC);
		c.indirect_max = (uint16_t)rng_below(rng, PIECES + 1);
	}
	ring_init(&m->ring, &m->guest, &c);
	m->table_max = c.indirect_max;
	if (!packed && m->table_max > c.size)
		m->table_max = c.size;
	m->max_pieces = c.size > m->table_max ? c.size : m->table_max;
	if (m->max_pieces > PIECES)
		m->max_pieces = PIECES;
	m->max_pieces = 1 + rng_below(rng, m->max_pieces);
	m->burst = 1 + rng_below(rng, 32);
	m->free = c.size;
	m->drv_awake = m->dev_awake = 1;
	m->cfg = (struct virtq_dev_config){.size = sizeof(m->cfg), .max_chain = PIECES};
	if (bus) {
		m->bus = malloc(sizeof(*m->bus));
		MUST(m, m->bus != NULL);
		dma_mem_init(m->bus, &m->guest, rng_below(rng, 5), seed);
		m->cfg.dma = &m->bus->ops;
		m->cfg.dma_window = 1 + rng_below(rng, 32);
	}
	slabs(m);
	MUST(m, ring_dev_init(&m->ring, &m->cfg, m->burst) == 0);
}

static void model_fini(struct model *m)
{
	if (m->bus)
		dma_mem_drain(m->bus, &m->ring.dev);
	ring_fini(&m->ring);
	MUST(m, m->other.refs == 1);
	guest_fini(&m->guest);
	free(m->bus);
}

static void run(int packed, int bus)
{
	struct model *m = malloc(sizeof(*m));
	unsigned long runs = test_rounds(60);
	const char *only = getenv("VDEVKIT_SEED");
	uint64_t done = 0;

	ck_assert_ptr_nonnull(m);
	for (unsigned long seed = 0; seed < runs; seed++) {
		model_init(m, packed, bus, only ? strtoull(only, NULL, 0) : seed);
		for (unsigned i = 0; i < 4000; i++)
			step(m, 1);
		if (rng_one_in(&m->rng, 3))
			reset(m);
		else
			drain(m);
		done += m->done;
		model_fini(m);
	}
	ck_assert_uint_ge(done, runs * 100); /* it did something */
	free(m);
}

START_TEST(mapped_memory)
{
	run(_i, 0);
}
END_TEST

START_TEST(memory_across_a_bus)
{
	run(_i, 1);
}
END_TEST

/* So many requests through a small ring that its indices wrap. */
START_TEST(past_the_end_of_the_indices)
{
	struct model *m = malloc(sizeof(*m));

	ck_assert_ptr_nonnull(m);
	for (uint64_t seed = 1000; seed < 1002; seed++) {
		model_init(m, _i, 0, seed);
		for (unsigned i = 0; m->done < 70000; i++) {
			MUST(m, i < 10000000);
			step(m, 1);
		}
		drain(m);
		model_fini(m);
	}
	free(m);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("ring model");
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, mapped_memory, 0, 2);
	tcase_add_loop_test(tc, memory_across_a_bus, 0, 2);
	tcase_add_loop_test(tc, past_the_end_of_the_indices, 0, 2);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
