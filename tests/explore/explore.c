/* SPDX-License-Identifier: BSD-3-Clause */
#include "explore.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* A side between two steps. */
struct side {
	struct op pending; /* what it does next */
	uint32_t answers;
	uint64_t answer[ANSWERS_MAX]; /* of the accesses of the call that is under way */
	uint8_t priv[PRIVATE_MAX];    /* as it was when that call began */
};

struct state {
	struct side side[2];
	struct memory mem;
};

struct move {
	uint8_t side;
	uint8_t flush;
	uint8_t which;
	uint8_t pad;
};

enum { MOVES_MAX = 2 * (PER_GRANULE + BUFFER) };

struct frame {
	struct state st;
	struct move moves[MOVES_MAX];
	int nmoves;
	int next;
	struct op did; /* for the trace: what led here */
	struct move by;
	uint64_t got;
};

struct seen {
	uint64_t *slot;
	uint64_t mask;
	uint64_t count;
};

static struct {
	const struct scenario *sc;
	struct model_info mi;
	struct result *res;
	struct frame *frames;
	struct seen seen;
} ex;

static int seen_before(struct seen *s, uint64_t h)
{
	uint64_t i;

	h |= h == 0;
	for (i = h & s->mask; s->slot[i] != 0; i = (i + 1) & s->mask)
		if (s->slot[i] == h)
			return 1;
	s->slot[i] = h;
	s->count++;
	return 0;
}

static void seen_grow(struct seen *s)
{
	struct seen bigger = {.mask = s->mask * 2 + 1};

	bigger.slot = calloc(bigger.mask + 1, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		abort();
	for (uint64_t i = 0; s->slot != NULL && i <= s->mask; i++)
		if (s->slot[i] != 0)
			seen_before(&bigger, s->slot[i]);
	free(s->slot);
	*s = bigger;
}

static void state_copy(struct state *to, const struct state *from)
{
	for (int s = 0; s < 2; s++) {
		const struct side *f = &from->side[s];
		struct side *t = &to->side[s];

		t->pending = f->pending;
		t->answers = f->answers;
		memcpy(t->answer, f->answer, f->answers * sizeof(f->answer[0]));
		memcpy(t->priv, f->priv, ex.sc->priv_bytes[s]);
	}
	model_copy(&ex.mi, &to->mem, &from->mem);
}

static uint64_t state_hash(const struct state *st)
{
	uint64_t h = 1;

	for (int s = 0; s < 2; s++) {
		h = hash_bytes(h, st->side[s].priv, ex.sc->priv_bytes[s]);
		h = hash_bytes(h, st->side[s].answer,
		               (unsigned)(st->side[s].answers * sizeof(st->side[s].answer[0])));
		h = hash_word(h, (uint64_t)st->side[s].answers << 8 | st->side[s].pending.kind);
	}
	return model_hash(&ex.mi, &st->mem, h);
}

/* Run a side on to its next access, which is left pending. */
static void side_advance(struct state *st, int s)
{
	struct side *side = &st->side[s];

	for (;;) {
		int through;

		memcpy(ex.sc->priv[s], side->priv, ex.sc->priv_bytes[s]);
		through = run_call(ex.sc->step[s], side->answer, side->answers, &side->pending);
		if (through < 0)
			break;
		memcpy(side->priv, ex.sc->priv[s], ex.sc->priv_bytes[s]);
		side->answers = 0;
		if (through) {
			side->pending = (struct op){.kind = OP_NONE};
			break;
		}
	}
	if (run_violation() != NULL)
		ex.res->violation = run_violation();
}

static void move_add(struct frame *f, int side, int flush, int n)
{
	for (int i = 0; i < n && f->nmoves < MOVES_MAX; i++)
		f->moves[f->nmoves++] =
			(struct move){.side = (uint8_t)side, .flush = (uint8_t)flush, .which = (uint8_t)i};
}

static void find_moves(struct frame *f)
{
	f->nmoves = f->next = 0;
	for (int s = 0; s < 2; s++)
		if (model_private(&ex.mi, &f->st.side[s].pending)) {
			move_add(f, s, 0, 1);
			return;
		}
	for (int s = 0; s < 2; s++) {
		move_add(f, s, 0, model_outcomes(&ex.mi, &f->st.mem, s, &f->st.side[s].pending));
		move_add(f, s, 1, model_flushes(&ex.mi, &f->st.mem, s));
	}
}

static void make_move(struct frame *to, const struct frame *from, const struct move *mv)
{
	struct side *side = &to->st.side[mv->side];

	state_copy(&to->st, &from->st);
	to->by = *mv;
	if (mv->flush) {
		to->did = (struct op){.kind = OP_NONE};
		model_flush(&ex.mi, &to->st.mem, mv->side, mv->which);
		return;
	}
	to->did = side->pending;
	to->got = model_do(&ex.mi, &to->st.mem, mv->side, &side->pending, mv->which);
	side->answer[side->answers++] = to->got;
	side_advance(&to->st, mv->side);
}

/* Nothing can happen any more. */
static void judge_end(struct state *st)
{
	int asleep[2];

	for (int s = 0; s < 2; s++)
		asleep[s] = st->side[s].pending.kind != OP_NONE;
	if (asleep[0] && asleep[1])
		ex.res->violation = "lost notification: both sides sleep";
	else if (asleep[0] || asleep[1])
		ex.res->violation = "lost notification: one side sleeps, the other is through";
	if (ex.res->violation != NULL)
		return;
	ex.res->ends++;
	if (ex.sc->judge == NULL)
		return;
	for (int s = 0; s < 2; s++)
		memcpy(ex.sc->priv[s], st->side[s].priv, ex.sc->priv_bytes[s]);
	run_judge(&ex.mi, &st->mem);
	ex.res->violation = ex.sc->judge();
}

static void trace_line(char *line, size_t n, const struct frame *f)
{
	static const char *const words[] = {"",   "load", "store",  "fence",  "add",
	                                    "or", "swap", "notify", "wake up"};
	char cell[48] = "";
	const char *who = ex.sc->side_name[f->by.side];

	if (f->by.flush) {
		snprintf(line, n, "%-8s a store leaves the buffer (%u)", who, f->by.which);
		return;
	}
	if (f->did.ncells > 0)
		ex.sc->cell_name(f->did.cell, cell, sizeof(cell));
	if (f->did.kind == OP_FENCE)
		snprintf(line, n, "%-8s fence %s", who, ex_order_name(f->did.order));
	else if (f->did.kind == OP_STORE)
		snprintf(line, n, "%-8s store %s = %llx", who, cell, (unsigned long long)f->did.value);
	else if (f->did.ncells > 0)
		snprintf(line, n, "%-8s %s %s: %llx", who, words[f->did.kind], cell,
		         (unsigned long long)f->got);
	else
		snprintf(line, n, "%-8s %s", who, words[f->did.kind]);
}

static void trace(uint32_t depth)
{
	ex.res->trace_lines = depth;
	for (uint32_t i = 1; i <= depth; i++)
		trace_line(ex.res->trace[i - 1], sizeof(ex.res->trace[0]), &ex.frames[i]);
}

static void frame_enter(struct frame *f)
{
	if (f->st.mem.overflow)
		ex.res->violation = "the explorer's own bounds are too small";
	if (ex.res->violation != NULL)
		return;
	find_moves(f);
	if (f->nmoves == 0)
		judge_end(&f->st);
}

static void search(uint64_t max_states)
{
	uint32_t depth = 0;

	frame_enter(&ex.frames[0]);
	while (ex.res->violation == NULL) {
		struct frame *f = &ex.frames[depth];

		if (f->next == f->nmoves) {
			if (depth-- == 0)
				return;
			continue;
		}
		if (depth + 1 == DEPTH_MAX || ex.seen.count >= max_states) {
			ex.res->violation = "the explorer's own bounds are too small";
			break;
		}
		if (ex.seen.count * 2 > ex.seen.mask)
			seen_grow(&ex.seen);
		make_move(f + 1, f, &f->moves[f->next++]);
		ex.res->steps++;
		if (ex.res->violation == NULL && seen_before(&ex.seen, state_hash(&f[1].st)))
			continue;
		depth++;
		if (depth > ex.res->depth)
			ex.res->depth = depth;
		frame_enter(&ex.frames[depth]);
	}
	trace(depth);
}

void explore(const struct scenario *sc, enum model model, const struct weakening *weaken,
             uint64_t max_states, struct result *res)
{
	struct frame *f;

	memset(res, 0, offsetof(struct result, trace));
	ex.sc = sc;
	ex.res = res;
	ex.mi.model = model;
	memcpy(ex.mi.two_writers, sc->two_writers, sizeof(ex.mi.two_writers));
	ex.frames = calloc(DEPTH_MAX, sizeof(*ex.frames));
	if (ex.frames == NULL)
		abort();
	f = &ex.frames[0];
	ex.seen = (struct seen){.mask = 0x3fff};
	seen_grow(&ex.seen);
	run_setup(&f->st.mem, weaken);
	sc->setup(sc);
	for (int s = 0; s < 2; s++) {
		memcpy(f->st.side[s].priv, sc->priv[s], sc->priv_bytes[s]);
		if (res->violation == NULL)
			side_advance(&f->st, s);
	}
	search(max_states);
	res->states = ex.seen.count + 1;
	free(ex.frames);
	free(ex.seen.slot);
	run_end();
}
