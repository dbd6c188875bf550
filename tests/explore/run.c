/* SPDX-License-Identifier: BSD-3-Clause */
/* The hooks: what an access of the code under test does, and the list of places that ask for an order. */
#include "run.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TESTS_EXPLORE_NO_MACROS
#include "hooks.h"

enum { SITES_MAX = 256, ALIASES_MAX = 4 };

extern struct ex_site *const __start_ex_sites[];
extern struct ex_site *const __stop_ex_sites[];

void (*ex_before)(const struct op *op);
uint32_t ex_reads[CELLS];

static struct {
	uint8_t *base;
	uint16_t plain[CELLS]; /* the memory when nothing is explored */
	uint16_t *cells;       /* memory of accesses that are not steps */
	const struct model_info *judge_mi;
	const struct memory *judge_mem;
	struct weakening weaken;
	struct ex_site *at;
	const char *violation;
	struct {
		const uint8_t *p;
		uint32_t n;
		unsigned cell;
	} alias[ALIASES_MAX];
	unsigned naliases;
	/* The call that runs. */
	int running;
	jmp_buf out;
	const uint64_t *answer;
	uint32_t answers;
	uint32_t given;
	struct op *pending;
} run;

static struct {
	struct ex_site *site[SITES_MAX];
	char name[SITES_MAX][96];
	uint8_t reached[SITES_MAX];
	uint32_t n;
} sites;

uint8_t *ex_base(void)
{
	if (run.base == NULL) {
		void *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			abort();
		run.base = p;
		run.cells = run.plain;
	}
	return run.base;
}

void ex_alias(const void *p, uint32_t n, unsigned cell)
{
	if (run.naliases == ALIASES_MAX)
		abort();
	run.alias[run.naliases].p = p;
	run.alias[run.naliases].n = n;
	run.alias[run.naliases++].cell = cell;
}

/* The cell of an address, or -1 for private memory. */
static int cell_of(const void *p, size_t n)
{
	uintptr_t at = (uintptr_t)p, base = (uintptr_t)ex_base();

	if (at - base < 4096) {
		if (at % 2 != 0 || n % 2 != 0 || at - base + n > 2 * CELLS)
			abort();
		return (int)((at - base) / 2);
	}
	for (unsigned i = 0; i < run.naliases; i++) {
		uintptr_t from = (uintptr_t)run.alias[i].p;

		if (at - from < run.alias[i].n)
			return (int)(run.alias[i].cell + (at - from) / 2);
	}
	return -1;
}

void run_setup(struct memory *m, const struct weakening *weaken)
{
	ex_base();
	memset(m->first, 0, sizeof(m->first));
	run.cells = m->first;
	run.weaken = weaken != NULL ? *weaken : (struct weakening){NULL, 0};
	run.violation = NULL;
	run.naliases = 0;
}

void run_judge(const struct model_info *mi, const struct memory *m)
{
	run.judge_mi = mi;
	run.judge_mem = m;
}

uint16_t ex_newest(unsigned cell)
{
	return model_newest(run.judge_mi, run.judge_mem, cell);
}

void run_end(void)
{
	run.cells = run.plain;
	run.naliases = 0;
	run.weaken.site = NULL;
}

const char *run_violation(void)
{
	return run.violation;
}

int run_call(int (*step)(void), const uint64_t *answer, uint32_t answers, struct op *pending)
{
	int through;

	run.answer = answer;
	run.answers = answers;
	run.given = 0;
	run.pending = pending;
	run.at = NULL;
	run.running = 1;
	if (_setjmp(run.out) != 0) {
		run.running = 0;
		return -1;
	}
	through = step();
	run.running = 0;
	return through;
}

void ex_violation(const char *what)
{
	if (!run.running)
		abort();
	run.violation = what;
	*run.pending = (struct op){.kind = OP_NONE};
	_longjmp(run.out, 1);
}

/* An access without an exploration. */
static uint64_t plain_op(const struct op *op)
{
	uint64_t v = 0, w = op->value;

	for (unsigned i = 0; i < op->ncells; i++) {
		if (op->kind == OP_LOAD)
			ex_reads[op->cell + i]++;
		v |= (uint64_t)run.cells[op->cell + i] << 16 * i;
	}
	if (op->kind == OP_ADD)
		w = v + op->value;
	if (op->kind == OP_OR)
		w = v | op->value;
	for (unsigned i = 0; i < op->ncells && op->kind != OP_LOAD; i++)
		run.cells[op->cell + i] = (uint16_t)(w >> 16 * i);
	return v;
}

static uint64_t do_op(const struct op *op)
{
	if (!run.running)
		return plain_op(op);
	if (run.given < run.answers)
		return run.answer[run.given++];
	if (run.answers == ANSWERS_MAX)
		ex_violation("the explorer's own bounds are too small");
	*run.pending = *op;
	_longjmp(run.out, 1);
}

static int weakened(int order, struct ex_site *site)
{
	if (site == NULL || order == __ATOMIC_RELAXED)
		return order;
	if (ex_site_count() > 0 && run.running)
		sites.reached[site->place] = 1;
	if (run.weaken.site != NULL && run.weaken.site->place == site->place)
		return run.weaken.order;
	return order;
}

void ex_at(struct ex_site *site)
{
	run.at = site;
}

void ex_fence(int order)
{
	struct op op = {.kind = OP_FENCE};

	if (run.at == NULL)
		abort(); /* a fence that nobody can weaken */
	op.order = (uint8_t)weakened(order, run.at);
	op.line = (uint16_t)run.at->line;
	run.at = NULL;
	if (op.order != __ATOMIC_RELAXED && run.running)
		do_op(&op);
}

static uint64_t access_op(enum op_kind kind, int cell, uint64_t v, size_t width, int order,
                          struct ex_site *site)
{
	struct op op = {.kind = (uint8_t)kind,
	                .cell = (uint8_t)cell,
	                .ncells = (uint8_t)(width / 2),
	                .order = (uint8_t)weakened(order, site),
	                .line = site != NULL ? (uint16_t)site->line : 0,
	                .value = v};

	if (width < 2 || width > 8 || cell % 4 + (int)width / 2 > 4)
		abort(); /* no machine does this in one */
	if (ex_before != NULL)
		ex_before(&op);
	return do_op(&op);
}

uint64_t ex_load(const void *p, size_t width, int order, struct ex_site *site)
{
	int cell = cell_of(p, width);
	uint64_t v = 0;

	if (cell >= 0)
		return access_op(OP_LOAD, cell, 0, width, order, site);
	weakened(order, site);
	memcpy(&v, p, width);
	return v;
}

void ex_store(void *p, uint64_t v, size_t width, int order, struct ex_site *site)
{
	int cell = cell_of(p, width);

	if (cell >= 0)
		access_op(OP_STORE, cell, v, width, order, site);
	else
		memcpy(p, &v, width);
}

uint64_t ex_rmw(void *p, uint64_t v, size_t width, enum ex_rmw what, int order,
                struct ex_site *site)
{
	static const enum op_kind kinds[] = {OP_ADD, OP_OR, OP_SWAP};
	int cell = cell_of(p, width);
	uint64_t old = 0, now;

	if (cell >= 0)
		return access_op(kinds[what], cell, v, width, order, site);
	memcpy(&old, p, width);
	now = what == EX_ADD ? old + v : what == EX_OR ? old | v : v;
	memcpy(p, &now, width);
	return old;
}

/* A copy to or from shared memory is one access for each aligned word of four bytes, or less: nobody promises more. */
static size_t word_at(const uint8_t *p, size_t n)
{
	return (uintptr_t)p % 4 == 0 && n >= 4 ? 4 : 2;
}

void ex_copy(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;
	int out = cell_of(to, n) >= 0, in = cell_of(from, n) >= 0;

	if (!out && !in)
		memcpy(to, from, n);
	while ((out || in) && n > 0) {
		size_t w = word_at(out ? t : f, n);
		uint64_t v = 0;

		if (in)
			v = ex_load(f, w, __ATOMIC_RELAXED, NULL);
		else
			memcpy(&v, f, w);
		if (out)
			ex_store(t, v, w, __ATOMIC_RELAXED, NULL);
		else
			memcpy(t, &v, w);
		t += w;
		f += w;
		n -= w;
	}
}

void ex_set(void *to, int byte, size_t n)
{
	uint8_t *t = to;
	uint16_t v = (uint16_t)((byte & 0xff) * 0x101);

	if (cell_of(to, n) < 0) {
		memset(to, byte, n);
		return;
	}
	for (; n > 0; n -= 2, t += 2)
		ex_store(t, v, 2, __ATOMIC_RELAXED, NULL);
}

uint16_t ex_data_load(const void *p)
{
	return (uint16_t)ex_load(p, 2, __ATOMIC_RELAXED, NULL);
}

void ex_data_store(void *p, uint16_t v)
{
	ex_store(p, v, 2, __ATOMIC_RELAXED, NULL);
}

void ex_notify(void)
{
	do_op(&(struct op){.kind = OP_NOTIFY});
}

void ex_wait(void)
{
	do_op(&(struct op){.kind = OP_WAIT});
}

/* Sites. */

static int site_compare(const void *a, const void *b)
{
	const struct ex_site *x = *(const struct ex_site *const *)a;
	const struct ex_site *y = *(const struct ex_site *const *)b;
	int c = strcmp(x->file, y->file);

	return c != 0 ? c : x->line - y->line;
}

const char *ex_order_name(int order)
{
	switch (order) {
	case __ATOMIC_RELAXED:
		return "none";
	case __ATOMIC_ACQUIRE:
		return "acquire";
	case __ATOMIC_RELEASE:
		return "release";
	case __ATOMIC_ACQ_REL:
		return "acquire+release";
	default:
		return "full";
	}
}

static void sites_name(uint32_t i)
{
	const struct ex_site *s = sites.site[i];
	const char *slash = strrchr(s->file, '/');
	const char *func = strncmp(s->func, "virtq__", 7) == 0 ? s->func + 7 : s->func; /* names.h */
	char nth[16] = "";
	int before = 1;

	for (uint32_t j = 0; j < i; j++)
		before += strcmp(sites.site[j]->file, s->file) == 0 &&
		          strcmp(sites.site[j]->func, s->func) == 0 && sites.site[j]->order == s->order;
	if (before > 1)
		snprintf(nth, sizeof(nth), " %d", before);
	snprintf(sites.name[i], sizeof(sites.name[i]), "%s %s %s%s",
	         slash != NULL ? slash + 1 : s->file, func, ex_order_name(s->order), nth);
}

uint32_t ex_site_count(void)
{
	uint32_t n = 0;

	if (sites.n > 0)
		return sites.n;
	for (struct ex_site *const *p = __start_ex_sites; p < __stop_ex_sites; p++)
		if ((*p)->order != __ATOMIC_RELAXED && n < SITES_MAX)
			sites.site[n++] = *p;
	qsort(sites.site, n, sizeof(sites.site[0]), site_compare);
	/* The same place may be there several times: once for each file that includes it. */
	for (uint32_t i = 0; i < n; i++) {
		struct ex_site *s = sites.site[i];

		if (sites.n == 0 || site_compare(&s, &sites.site[sites.n - 1]) != 0) {
			sites.site[sites.n] = s;
			sites_name(sites.n++);
		}
		s->place = (int)sites.n - 1;
	}
	return sites.n;
}

struct ex_site *ex_site_get(uint32_t i)
{
	return i < ex_site_count() ? sites.site[i] : NULL;
}

const char *ex_site_name(uint32_t i)
{
	return sites.name[i];
}

int ex_site_reached(uint32_t i)
{
	return sites.reached[i];
}

void ex_site_forget(void)
{
	memset(sites.reached, 0, sizeof(sites.reached));
}
