/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of the model. */
#include "ring_model.h"

static void req_build(struct model *m, struct req *q)
{
	uint8_t buf[PIECE_BYTES];
	uint32_t at = 0;

	q->serial = ++m->serial;
	q->count = 1 + rng_below(&m->rng, m->max_pieces);
	q->nread = rng_below(&m->rng, q->count + 1);
	q->read_bytes = q->write_bytes = 0;
	q->pushed = 0;
	for (uint32_t i = 0; i < q->count; i++) {
		uint32_t len = rng_one_in(&m->rng, 10) ? 0 : rng_below(&m->rng, PIECE_BYTES + 1);
		uint32_t *bytes = i < q->nread ? &q->read_bytes : &q->write_bytes;

		for (uint32_t k = 0; k < len; k++)
			buf[k] = i < q->nread ? content(q->serial, *bytes + k, 0) : 0xee;
		q->seg[i] = (struct virtq_seg){q->slab + at, len};
		guest_copy(m, q->seg[i].addr, buf, len, 1);
		*bytes += len;
		at += PIECE_BYTES;
	}
}

static uint32_t descriptors_of(const struct model *m, const struct req *q)
{
	return q->count > 1 && q->count <= m->table_max ? 1 : q->count;
}

void drv_add(struct model *m)
{
	for (uint32_t n = 1 + rng_below(&m->rng, m->burst); n > 0 && m->idle.count > 0; n--) {
		uint16_t i = fifo_get(&m->idle);
		struct req *q = &m->reqs[i];
		int rc;

		req_build(m, q);
		rc = virtq_drv_add(&m->ring.drv, q->seg, q->nread, q->count - q->nread, q);
		if (descriptors_of(m, q) > m->free) {
			MUST(m, rc == VIRTQ_ENOSPC);
			fifo_unget(&m->idle, i);
			break;
		}
		MUST(m, rc == 0);
		m->free -= descriptors_of(m, q);
		fifo_put(&m->added, i);
	}
	MUST(m, virtq_drv_free(&m->ring.drv) == m->free);
	MUST(m, virtq_drv_inflight(&m->ring.drv) == REQS - m->idle.count);
}

void drv_publish(struct model *m)
{
	virtq_drv_publish(&m->ring.drv);
	while (m->added.count > 0) {
		fifo_put(&m->avail, fifo_get(&m->added));
		m->kick_due = 1;
	}
}

void drv_ask(struct model *m)
{
	if (!m->kick_due)
		return;
	m->kick_due = 0;
	if (virtq_drv_should_kick(&m->ring.drv))
		m->dev_awake = m->kicked = 1;
}

/* What came back must be what the device wrote, and nothing more. */
static void req_check(struct model *m, const struct req *q)
{
	uint8_t buf[PIECE_BYTES];
	uint32_t at = 0;

	for (uint32_t i = q->nread; i < q->count; i++) {
		guest_copy(m, q->seg[i].addr, buf, (uint32_t)q->seg[i].len, 0);
		for (uint32_t k = 0; k < q->seg[i].len; k++, at++)
			MUST(m, buf[k] == (at < q->written ? content(q->serial, at, 1) : 0xee));
	}
}

void drv_take(struct model *m)
{
	struct virtq_done done[16];
	uint32_t max = 1 + rng_below(&m->rng, 16);
	int n;

	if (!m->drv_awake)
		return;
	n = virtq_drv_take(&m->ring.drv, done, max);
	MUST(m, n >= 0);
	MUST(m, (uint32_t)n == (m->visible.count < max ? m->visible.count : max));
	for (int i = 0; i < n; i++) {
		uint16_t at = fifo_get(&m->visible);
		struct req *q = &m->reqs[at];

		MUST(m, done[i].cookie == q);
		MUST(m, done[i].written == q->written);
		req_check(m, q);
		m->free += descriptors_of(m, q);
		fifo_put(&m->idle, at);
		m->done++;
	}
	MUST(m, virtq_drv_free(&m->ring.drv) == m->free);
}

void drv_sleep(struct model *m)
{
	int more;

	if (!m->drv_awake)
		return;
	more = virtq_drv_arm(&m->ring.drv);
	MUST(m, more == (m->visible.count > 0));
	m->drv_awake = more;
}
