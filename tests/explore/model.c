/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <stddef.h>
#include <string.h>

uint64_t hash_bytes(uint64_t h, const void *p, unsigned n)
{
	const uint8_t *b = p;
	uint64_t v;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&v, b, 8);
		h = hash_word(h, v);
	}
	v = 0;
	memcpy(&v, b, n);
	return n > 0 ? hash_word(h, v) : h;
}

static int acquires(const struct op *op)
{
	return op->order == __ATOMIC_ACQUIRE || op->order == __ATOMIC_ACQ_REL ||
	       op->order == __ATOMIC_SEQ_CST;
}

static int releases(const struct op *op)
{
	return op->order == __ATOMIC_RELEASE || op->order == __ATOMIC_ACQ_REL ||
	       op->order == __ATOMIC_SEQ_CST;
}

static uint8_t max8(uint8_t a, uint8_t b)
{
	return a > b ? a : b;
}

static uint64_t changed(const struct op *op, uint64_t old)
{
	if (op->kind == OP_ADD)
		old += op->value;
	else if (op->kind == OP_OR)
		old |= op->value;
	else
		old = op->value;
	return op->ncells == 4 ? old : old & ((UINT64_C(1) << 16 * op->ncells) - 1);
}

static int is_rmw(const struct op *op)
{
	return op->kind == OP_ADD || op->kind == OP_OR || op->kind == OP_SWAP;
}

/* MODEL_WEAK. Events of a granule are numbered from 1 in the order in which they came; 0 is how memory began. */

static const struct event *event_of(const struct weak *w, unsigned granule, unsigned at)
{
	uint8_t id = w->order[granule][at - 1];

	return &w->ev[id >> 7][id & 0x7f];
}

static int touches(const struct event *e, unsigned cell)
{
	return e->mask >> cell % 4 & 1;
}

/* The newest event of a cell at or before one of its granule. */
static uint8_t last_at(const struct weak *w, unsigned cell, unsigned at)
{
	while (at > 0 && !touches(event_of(w, cell / 4, at), cell))
		at--;
	return (uint8_t)at;
}

/* The oldest event that a side may still read from a cell. */
static uint8_t oldest(const struct weak *w, int side, unsigned cell)
{
	unsigned g = cell / 4, at;

	for (at = w->ngran[g]; at > w->seen[side][cell]; at--) {
		uint8_t id = w->order[g][at - 1];

		if (id >> 7 != side && (id & 0x7f) < w->floor[side] && touches(event_of(w, g, at), cell))
			break;
	}
	return (uint8_t)at;
}

static uint16_t value_at(const struct memory *m, unsigned cell, unsigned at)
{
	at = last_at(&m->weak, cell, at);
	return at == 0 ? m->first[cell] : event_of(&m->weak, cell / 4, at)->v[cell % 4];
}

/* The points of the granule's history at which a load may happen, all cells at once. */
static int weak_points(const struct memory *m, int side, const struct op *op, uint8_t *points)
{
	const struct weak *w = &m->weak;
	uint8_t mask = (uint8_t)(((1u << op->ncells) - 1) << op->cell % 4);
	unsigned at = 0, g = op->cell / 4;
	int n = 0;

	if (is_rmw(op)) {
		points[0] = w->ngran[g];
		return 1;
	}
	for (unsigned i = 0; i < op->ncells; i++)
		at = max8((uint8_t)at, oldest(w, side, op->cell + i));
	points[n++] = (uint8_t)at;
	while (++at <= w->ngran[g])
		if (event_of(w, g, at)->mask & mask)
			points[n++] = (uint8_t)at;
	return n;
}

static uint64_t weak_read(struct memory *m, int side, const struct op *op, unsigned at)
{
	struct weak *w = &m->weak;
	uint64_t v = 0;

	for (unsigned i = 0; i < op->ncells; i++) {
		unsigned cell = op->cell + i;
		uint8_t from = last_at(w, cell, at);

		v |= (uint64_t)value_at(m, cell, at) << 16 * i;
		if (from == 0)
			continue;
		w->seen[side][cell] = max8(w->seen[side][cell], from);
		if (w->order[cell / 4][from - 1] >> 7 != side)
			w->acq[side] = max8(w->acq[side], event_of(w, cell / 4, from)->rel);
	}
	if (acquires(op))
		w->floor[side] = max8(w->floor[side], w->acq[side]);
	return v;
}

static void weak_write(struct memory *m, int side, const struct op *op, uint64_t v)
{
	struct weak *w = &m->weak;
	unsigned g = op->cell / 4;
	struct event *e = &w->ev[side][w->n[side]];

	if (w->n[side] == EVENTS - 1 || w->ngran[g] == PER_GRANULE - 1) {
		m->overflow = 1;
		return;
	}
	*e = (struct event){.granule = (uint8_t)g, .rel = releases(op) ? w->n[side] : w->rel[side]};
	w->order[g][w->ngran[g]++] = (uint8_t)(side << 7 | w->n[side]);
	if (releases(op))
		e->rel++; /* this one too */
	w->n[side]++;
	for (unsigned i = 0; i < op->ncells; i++) {
		e->mask |= (uint8_t)(1 << (op->cell + i) % 4);
		e->v[(op->cell + i) % 4] = (uint16_t)(v >> 16 * i);
		w->seen[side][op->cell + i] = w->ngran[g];
	}
}

static void weak_fence(struct weak *w, int side, const struct op *op)
{
	if (acquires(op))
		w->floor[side] = max8(w->floor[side], w->acq[side]);
	if (op->order == __ATOMIC_SEQ_CST) {
		w->floor[side] = max8(w->floor[side], w->sc[!side]);
		w->sc[side] = w->n[side];
	}
	if (releases(op))
		w->rel[side] = w->n[side];
}

static uint64_t weak_do(struct memory *m, int side, const struct op *op, int outcome)
{
	struct weak *w = &m->weak;
	uint8_t points[PER_GRANULE];
	uint64_t v = 0;

	switch (op->kind) {
	case OP_FENCE:
		weak_fence(w, side, op);
		break;
	case OP_NOTIFY:
		w->noted[!side] = w->n[side];
		break;
	case OP_WAIT:
		w->floor[side] = max8(w->floor[side], w->noted[side]);
		break;
	case OP_STORE:
		weak_write(m, side, op, op->value);
		break;
	default:
		weak_points(m, side, op, points);
		v = weak_read(m, side, op, points[outcome]);
		if (is_rmw(op))
			weak_write(m, side, op, changed(op, v));
	}
	return v;
}

/* MODEL_TSO, MODEL_PSO. */

static uint16_t buffered_cell(const struct memory *m, int side, unsigned cell)
{
	const struct buffered *b = &m->buf;

	for (int i = b->nq[side] - 1; i >= 0; i--)
		if (b->q[side][i].cell <= cell && cell < b->q[side][i].cell + b->q[side][i].ncells)
			return b->q[side][i].v[cell - b->q[side][i].cell];
	return m->first[cell];
}

static void buffer_put(struct memory *m, int side, unsigned cell, unsigned ncells, uint64_t v)
{
	struct buffered *b = &m->buf;
	unsigned n = b->nq[side];

	if (ncells == 0 && (n == 0 || b->q[side][n - 1].ncells == 0))
		return; /* a barrier with nothing before it */
	if (n == BUFFER) {
		m->overflow = 1;
		return;
	}
	memset(&b->q[side][n], 0, sizeof(b->q[side][n]));
	b->q[side][n].cell = (uint8_t)cell;
	b->q[side][n].ncells = (uint8_t)ncells;
	for (unsigned i = 0; i < ncells; i++)
		b->q[side][n].v[i] = (uint16_t)(v >> 16 * i);
	b->nq[side]++;
}

static void buffer_drop(struct buffered *b, int side, unsigned i)
{
	b->nq[side]--;
	memmove(&b->q[side][i], &b->q[side][i + 1], (b->nq[side] - i) * sizeof(b->q[side][0]));
	memset(&b->q[side][b->nq[side]], 0, sizeof(b->q[side][0]));
}

static uint64_t buffered_do(const struct model_info *mi, struct memory *m, int side,
                            const struct op *op)
{
	uint64_t v = 0;

	if (op->kind == OP_FENCE) {
		if (releases(op) && mi->model == MODEL_PSO)
			buffer_put(m, side, 0, 0, 0);
		return 0;
	}
	if (op->kind == OP_NOTIFY || op->kind == OP_WAIT)
		return 0;
	if (op->kind != OP_STORE)
		for (unsigned i = 0; i < op->ncells; i++)
			v |= (uint64_t)buffered_cell(m, side, op->cell + i) << 16 * i;
	if (is_rmw(op)) {
		for (unsigned i = 0; i < op->ncells; i++)
			m->first[op->cell + i] = (uint16_t)(changed(op, v) >> 16 * i);
	} else if (op->kind == OP_STORE) {
		if (releases(op) && mi->model == MODEL_PSO)
			buffer_put(m, side, 0, 0, 0);
		buffer_put(m, side, op->cell, op->ncells, op->value);
	}
	return v;
}

static int buffered_waits(const struct memory *m, int side, const struct op *op)
{
	int drains = is_rmw(op) || op->kind == OP_NOTIFY ||
	             (op->kind == OP_FENCE && op->order == __ATOMIC_SEQ_CST);

	return drains && m->buf.nq[side] > 0;
}

/* Which places of the buffer may leave now. */
static int flush_places(const struct model_info *mi, const struct memory *m, int side,
                        uint8_t *places)
{
	const struct buffered *b = &m->buf;
	int n = 0;

	for (unsigned i = 0; i < b->nq[side]; i++) {
		unsigned from = b->q[side][i].cell, to = from + b->q[side][i].ncells, j;

		if (from == to || (mi->model == MODEL_TSO && i > 0))
			break;
		for (j = 0; j < i; j++)
			if (b->q[side][j].cell < to &&
			    from < (unsigned)b->q[side][j].cell + b->q[side][j].ncells)
				break;
		if (j == i)
			places[n++] = (uint8_t)i;
	}
	return n;
}

int model_flushes(const struct model_info *mi, const struct memory *m, int side)
{
	uint8_t places[BUFFER];

	return mi->model == MODEL_WEAK ? 0 : flush_places(mi, m, side, places);
}

void model_flush(const struct model_info *mi, struct memory *m, int side, int which)
{
	struct buffered *b = &m->buf;
	uint8_t places[BUFFER], i;

	flush_places(mi, m, side, places);
	i = places[which];
	for (unsigned c = 0; c < b->q[side][i].ncells; c++)
		m->first[b->q[side][i].cell + c] = b->q[side][i].v[c];
	buffer_drop(b, side, i);
	while (b->nq[side] > 0 && b->q[side][0].ncells == 0)
		buffer_drop(b, side, 0);
}

/* Either kind. */

int model_outcomes(const struct model_info *mi, const struct memory *m, int side,
                   const struct op *op)
{
	uint8_t points[PER_GRANULE];

	if (op->kind == OP_NONE || (op->kind == OP_WAIT && !m->notified[side]))
		return 0;
	if (mi->model != MODEL_WEAK)
		return !buffered_waits(m, side, op);
	if (op->kind == OP_LOAD)
		return weak_points(m, side, op, points);
	return 1;
}

uint64_t model_do(const struct model_info *mi, struct memory *m, int side, const struct op *op,
                  int outcome)
{
	if (op->kind == OP_NOTIFY)
		m->notified[!side] = 1;
	if (op->kind == OP_WAIT)
		m->notified[side] = 0;
	if (mi->model == MODEL_WEAK)
		return weak_do(m, side, op, outcome);
	return buffered_do(mi, m, side, op);
}

int model_private(const struct model_info *mi, const struct op *op)
{
	if (op->kind == OP_FENCE)
		return op->order != __ATOMIC_SEQ_CST;
	if (op->kind != OP_STORE)
		return 0;
	if (mi->model != MODEL_WEAK)
		return 1;
	/* A message more takes nothing from a reader: it may go on reading the older ones. */
	for (unsigned i = 0; i < op->ncells; i++)
		if (mi->two_writers[op->cell + i])
			return 0;
	return 1;
}

uint16_t model_newest(const struct model_info *mi, const struct memory *m, unsigned cell)
{
	if (mi->model == MODEL_WEAK)
		return value_at(m, cell, m->weak.ngran[cell / 4]);
	return m->first[cell];
}

uint64_t model_hash(const struct model_info *mi, const struct memory *m, uint64_t h)
{
	const struct weak *w = &m->weak;

	h = hash_bytes(h, m->notified, sizeof(m->notified));
	if (mi->model != MODEL_WEAK) {
		h = hash_bytes(h, m->first, sizeof(m->first));
		for (int s = 0; s < 2; s++)
			h = hash_bytes(hash_word(h, m->buf.nq[s]), m->buf.q[s],
			               (unsigned)(m->buf.nq[s] * sizeof(m->buf.q[0][0])));
		return h;
	}
	h = hash_bytes(h, w->n, offsetof(struct weak, ngran));
	for (int s = 0; s < 2; s++)
		h = hash_bytes(h, w->ev[s], (unsigned)(w->n[s] * sizeof(struct event)));
	/* The order within a granule is given by each side's own order, but for whose turn it was. */
	for (unsigned g = 0; g < GRANULES; g++)
		for (unsigned i = 0; i < w->ngran[g]; i++)
			h = hash_word(h, (uint64_t)g << 8 | w->order[g][i]);
	return h;
}

void model_copy(const struct model_info *mi, struct memory *to, const struct memory *from)
{
	size_t n = offsetof(struct memory, weak);

	if (mi->model != MODEL_WEAK) {
		memcpy(to, from, n + sizeof(from->buf));
		return;
	}
	memcpy(to, from, n + offsetof(struct weak, ev));
	for (int s = 0; s < 2; s++)
		memcpy(to->weak.ev[s], from->weak.ev[s], from->weak.n[s] * sizeof(struct event));
}
