/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both sides of a ring in every order that memory allows: no notification is lost, nothing is seen before it is
 * written, nothing comes twice. And each order that the ring code asks for is needed: weaken any one, and some
 * exploration fails; what does is the table of docs/ordering.md.
 *
 * VDEVKIT_ROUNDS > 1: three publishes a side instead of two, and longer bursts.
 * VDEVKIT_ORDERING=FILE: write the table there.
 */
#include "check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirtq/arch.h"
#include "ring_script.h"

#define TESTS_EXPLORE_NO_MACROS
#include "hooks.h"

enum { CASES_MAX = 64, STATES = 1 << 20, TRIES = 3 };
enum { CASE_LOG, CASE_MAP, CASE_RINGS };

static const char *const model_names[] = {"TSO", "PSO", "weak"};

static struct ring_case rings[CASES_MAX];
static uint32_t nrings;
static struct result result;

/* The shapes of traffic, for each layout and way of suppressing notifications. The first two find most. */
static void shapes_add(struct ring_case base, int full)
{
	struct ring_case c = base;

	rings[nrings++] = c;
	c.batch = 1;
	c.lifo = 1;
	rings[nrings++] = c; /* a batch, and not in the order of the ring */
	c.in_order = 1;
	rings[nrings++] = c;
	c = base;
	c.size = 1; /* each slot again and again */
	rings[nrings++] = c;
	c = base;
	c.size = 4;
	c.segs = 2;
	c.batch = 1;
	rings[nrings++] = c; /* chains of two */
	c = base;
	c.segs = 2;
	c.indirect = 2;
	rings[nrings++] = c;
	if (!full)
		return;
	c = base;
	c.size = 4;
	c.burst = 2;
	c.publishes = 2; /* with three, PSO has more states than memory has room for */
	c.batch = 1;
	rings[nrings++] = c;
	c = base;
	c.size = 3;
	if (c.packed)
		rings[nrings++] = c;
}

/* The same for a device that takes and gives buffers. */
static void buffer_shapes_add(struct ring_case base, int full)
{
	struct ring_case c = base;

	c.buffers = 1;
	rings[nrings++] = c;
	c.batch = 1;
	rings[nrings++] = c;
	c.in_order = 1;
	rings[nrings++] = c;
	c.batch = c.in_order = 0;
	c.untake = 1;
	rings[nrings++] = c;
	if (!full)
		return;
	c.size = 4;
	c.burst = 2;
	c.publishes = 2;
	rings[nrings++] = c;
}

static int full(void)
{
	return test_rounds(1) > 1;
}

static void cases_make(uint8_t publishes)
{
	nrings = 0;
	for (uint8_t packed = 0; packed < 2; packed++)
		for (uint8_t event_idx = 0; event_idx < 2; event_idx++) {
			const struct ring_case base = {.packed = packed,
			                               .event_idx = event_idx,
			                               .size = 2,
			                               .segs = 1,
			                               .publishes = publishes,
			                               .burst = 1};

			shapes_add(base, publishes > 2);
			buffer_shapes_add(base, publishes > 2);
		}
}

static void case_name(uint32_t i, char *buf, unsigned n)
{
	if (i >= CASE_RINGS)
		ring_case_name(&rings[i - CASE_RINGS], buf, n);
	else
		snprintf(buf, n, "%s", i == CASE_LOG ? "dirty log" : "references of a map");
}

static void case_run(uint32_t i, enum model model, const struct weakening *w, uint64_t states)
{
	const struct scenario *sc = &ring_scenario;

	if (i == CASE_LOG)
		sc = &log_scenario;
	else if (i == CASE_MAP)
		sc = &map_scenario;
	else
		ring_case_set(&rings[i - CASE_RINGS]);
	explore(sc, model, w, states, &result);
}

static void show(void)
{
	for (uint32_t i = 0; i < result.trace_lines; i++)
		printf("  %s\n", result.trace[i]);
}

static void explore_all(enum model model, uint64_t states)
{
	char name[128];
	uint64_t all = 0;

	for (uint32_t i = 0; i < CASE_RINGS + nrings; i++) {
		case_run(i, model, NULL, states);
		case_name(i, name, sizeof(name));
		if (result.violation != NULL)
			show();
		ck_assert_msg(result.violation == NULL, "%s, %s: %s", model_names[model], name,
		              result.violation);
		ck_assert_uint_gt(result.ends, 0);
		/* Both sides' steps by themselves are dozens: fewer states than this are no interleaving. */
		ck_assert_uint_gt(result.states, i < CASE_RINGS ? 10 : 1000);
		all += result.states;
	}
	printf("%s: %u configurations, %llu states\n", model_names[model], CASE_RINGS + nrings,
	       (unsigned long long)all);
	fflush(stdout);
}

START_TEST(two_publishes)
{
	cases_make(2);
	explore_all((enum model)_i, STATES);
}
END_TEST

START_TEST(three_publishes)
{
	if (!full())
		return;
	cases_make(3);
	explore_all((enum model)_i, UINT64_C(1) << 25);
}
END_TEST

/* Weaker orders than one that a site has; those it has to be tried with. */
static int weaker(int order, int *out)
{
	int n = 0;

	out[n++] = __ATOMIC_RELAXED;
	if (order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST) {
		out[n++] = __ATOMIC_ACQUIRE;
		out[n++] = __ATOMIC_RELEASE;
	}
	if (order == __ATOMIC_SEQ_CST)
		out[n - 2] = __ATOMIC_ACQ_REL; /* stronger than either */
	return order == __ATOMIC_SEQ_CST ? n - 1 : n;
}

/* Which sites each configuration comes to. */
static uint8_t reaches[CASE_RINGS + CASES_MAX][256];

static void reaches_find(void)
{
	for (uint32_t i = 0; i < CASE_RINGS + nrings; i++) {
		ex_site_forget();
		case_run(i, MODEL_TSO, NULL, STATES);
		for (uint32_t s = 0; s < ex_site_count(); s++)
			reaches[i][s] = (uint8_t)ex_site_reached(s);
	}
}

/* Kinds of configurations: in each that comes to a site the site must be needed. */
enum { KIND_PLAIN, KIND_RING, KINDS = KIND_RING + 8, KIND_ANY };

static int kind_of(uint32_t i)
{
	const struct ring_case *c;

	if (i < CASE_RINGS)
		return KIND_PLAIN;
	c = &rings[i - CASE_RINGS];
	return KIND_RING + 4 * c->buffers + 2 * c->packed + c->event_idx;
}

static int kind_reaches(int kind, uint32_t site)
{
	for (uint32_t i = 0; i < CASE_RINGS + nrings; i++)
		if (kind_of(i) == kind && reaches[i][site])
			return 1;
	return 0;
}

/* The first configuration that fails with a site weakened, or -1. tries: how many to look at, of those that come there. */
static int first_failing(uint32_t site, int order, enum model model, int kind, int tries)
{
	struct weakening w = {ex_site_get(site), order};

	for (uint32_t i = 0; i < CASE_RINGS + nrings && tries > 0; i++) {
		if (!reaches[i][site] || (kind != KIND_ANY && kind_of(i) != kind))
			continue;
		case_run(i, model, &w, STATES);
		if (result.violation != NULL)
			return (int)i;
		tries--;
	}
	return -1;
}

static char *file_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	ck_assert_msg(f != NULL, "%s can't be read", path);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(fread(text, 1, (1 << 16) - 1, f), (1 << 16) - 1);
	fclose(f);
	return text;
}

/* 1 when every kind of configuration that comes to a site needs its order, 0 when none does, else -1. */
static int needed(uint32_t site, int order)
{
	int kinds = 0, fail = 0;

	for (int kind = 0; kind < KINDS; kind++) {
		if (!kind_reaches(kind, site))
			continue;
		kinds++;
		if (first_failing(site, order, MODEL_WEAK, kind, CASES_MAX) < 0)
			continue;
		fail++;
		if (strncmp(result.violation, "the explorer", 12) == 0)
			return -1;
	}
	return fail == kinds && kinds > 0 ? 1 : fail == 0 ? 0 : -1;
}

static int listed(const char *text, const char *site, int order)
{
	char key[160];

	snprintf(key, sizeof(key), "\n%s\t%s\t", site, ex_order_name(order));
	return strstr(text, key) != NULL;
}

static uint32_t lines_of(const char *text)
{
	uint32_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

START_TEST(each_order_is_needed)
{
	char *unneeded = file_read(EXPLORE_SRCDIR "/tests/explore/unneeded.tsv");
	uint32_t spared = 0, tried = 0, wrong = 0;

	cases_make(2);
	reaches_find();
	for (uint32_t s = 0; s < ex_site_count(); s++) {
		const char *name = ex_site_name(s);
		int orders[3], n = weaker(ex_site_get(s)->order, orders);

		for (int o = 0; o < n; o++) {
			int need = needed(s, orders[o]), known = listed(unneeded, name, orders[o]);

			tried++;
			spared += known != 0;
			if (need == !known)
				continue;
			printf("%s weakened to %s: needed %d, listed as not needed %d\n", name,
			       ex_order_name(orders[o]), need, known);
			wrong++;
		}
	}
	printf("%u sites, %u weakenings, %u of them not needed\n", ex_site_count(), tried, spared);
	fflush(stdout);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_ge(ex_site_count(), 15);
	/* Nothing is listed that is not in the code. */
	ck_assert_uint_eq(lines_of(unneeded), spared + 2);
	free(unneeded);
}
END_TEST

/* What goes wrong, in the words of the table. */
static const char *verdict(int found)
{
	if (found < 0)
		return "-";
	if (strncmp(result.violation, "lost", 4) == 0)
		return "lost notification";
	if (strncmp(result.violation, "the explorer", 12) == 0)
		return result.violation;
	return "seen too early";
}

static void table_make(char *out, size_t n)
{
	size_t at = 0;

	at += (size_t)snprintf(out, n,
	                       "| where | order | TSO | PSO | weak | found with |\n"
	                       "|---|---|---|---|---|---|\n");
	for (uint32_t s = 0; s < ex_site_count() && at < n; s++) {
		const char *cells[MODELS], *sp = strrchr(ex_site_name(s), ' ');
		char name[128] = "-";
		int found = -1;

		for (int m = 0; m < MODELS; m++) {
			found = first_failing(s, __ATOMIC_RELAXED, (enum model)m, KIND_ANY,
			                      m == MODEL_WEAK ? CASES_MAX : TRIES);
			cells[m] = verdict(found);
		}
		if (found >= 0)
			case_name((uint32_t)found, name, sizeof(name));
		at += (size_t)snprintf(out + at, n - at, "| `%.*s` | %s | %s | %s | %s | %s |\n",
		                       (int)(sp - ex_site_name(s)), ex_site_name(s), sp + 1, cells[0],
		                       cells[1], cells[2], name);
	}
	ck_assert_uint_lt(at, n);
}

START_TEST(table_is_right)
{
	static char table[1 << 15];
	const char *path = getenv("VDEVKIT_ORDERING");
	char *doc = file_read(EXPLORE_SRCDIR "/docs/ordering.md");
	FILE *f;

	cases_make(2);
	reaches_find();
	table_make(table, sizeof(table));
	if (path != NULL) {
		f = fopen(path, "w");
		ck_assert_ptr_nonnull(f);
		fputs(table, f);
		fclose(f);
	}
	if (strstr(doc, table) == NULL)
		printf("the table should be:\n%s", table);
	ck_assert_msg(strstr(doc, table) != NULL, "docs/ordering.md has another table, see the log");
	free(doc);
}
END_TEST

/* The driver writes anything at any time: each field is read once, and what was checked is what is used. */
static void read_once(const struct ring_case *c)
{
	uint32_t twice = 0, once = 0;

	ring_case_set(c);
	ring_scenario.setup(&ring_scenario);
	for (uint32_t k = 0; k < (uint32_t)c->publishes * c->burst; k++)
		ring_add();
	memset(ex_reads, 0, sizeof(ex_reads));
	ck_assert_int_eq(ring_pop(), c->publishes * c->burst);
	for (uint32_t i = 0; i < CELLS; i++) {
		once += ex_reads[i] == 1;
		twice += ex_reads[i] > 1;
	}
	ck_assert_uint_eq(twice, 0);
	ck_assert_uint_ge(once, 8);
	memset(ex_reads, 0, sizeof(ex_reads));
	ring_use();
	memset(ex_reads, 0, sizeof(ex_reads));
	ck_assert_int_eq(ring_take(), c->publishes * c->burst);
	for (once = 0, twice = 0; twice < CELLS; twice++) {
		once += ex_reads[twice] == 1;
		ck_assert_uint_le(ex_reads[twice], 1);
	}
	ck_assert_uint_ge(once, 4);
}

START_TEST(each_field_is_read_once)
{
	cases_make(2);
	for (uint32_t i = 0; i < nrings; i++)
		if (rings[i].size > 1)
			read_once(&rings[i]);
}
END_TEST

static TCase *tcase(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, full() ? 3600 : 300);
	suite_add_tcase(s, tc);
	return tc;
}

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("explore");
	TCase *tc = tcase(s, "interleavings");

	tcase_add_test(tc, each_field_is_read_once);
	srunner_add_suite(runner, s);
#ifdef UNDER_TSAN
	/* There each access carries an order of its own (arch.h): it is other code. */
	return;
#endif
	tcase_add_loop_test(tc, two_publishes, 0, MODELS);
	tcase_add_loop_test(tc, three_publishes, 0, MODELS);
	tc = tcase(s, "orders");
	tcase_add_test(tc, each_order_is_needed);
	tcase_add_test(tc, table_is_right);
}
