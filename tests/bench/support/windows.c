/* SPDX-License-Identifier: BSD-3-Clause */
/* Alternating windows, and how their results are printed. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { WINDOWS_MAX = 256 };

struct samples {
	unsigned n;
	double v[WINDOWS_MAX];
};

struct collected {
	struct samples ours[BENCH_PLACES], peer[BENCH_PLACES], line[BENCH_PLACES];
};

static void put(struct samples *s, double v)
{
	if (s->n < WINDOWS_MAX)
		s->v[s->n++] = v;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct bench_spread spread_of(struct samples *s)
{
	struct bench_spread out = {.windows = s->n};

	if (s->n == 0)
		return out;
	qsort(s->v, s->n, sizeof(s->v[0]), by_size);
	out.median = s->n % 2 != 0 ? s->v[s->n / 2] : (s->v[s->n / 2 - 1] + s->v[s->n / 2]) / 2;
	out.low = s->v[s->n / 4];
	out.high = s->v[(3 * s->n - 1) / 4];
	return out;
}

static void one_window(const struct bench_case *c, const struct bench_side *side,
                       struct samples *to, struct samples *lines)
{
	enum bench_place place = BENCH_ONE_CORE;
	double before = 0, after = 0, v;

	if (side->window == NULL)
		return;
	if (c->cpu != NULL)
		before = bench_line_ns(c->cpu);
	v = side->window(side->ctx, c->window_ns);
	if (c->cpu != NULL) {
		after = bench_line_ns(c->cpu);
		place = bench_place_of(before);
		if (place != bench_place_of(after))
			place = BENCH_MIXED;
		put(&lines[place], before);
		put(&lines[place], after);
	}
	if (v >= 0)
		put(&to[place], v);
}

void bench_run(const struct bench_case *c, struct bench_result *out)
{
	struct collected *all = calloc(1, sizeof(*all));

	bench_need(all != NULL, "allocation");
	for (unsigned i = 0; i < c->windows; i++) {
		/* Whoever goes first changes, so that a drift helps neither. */
		if (i % 2 == 0)
			one_window(c, &c->ours, all->ours, all->line);
		one_window(c, &c->peer, all->peer, all->line);
		if (i % 2 != 0)
			one_window(c, &c->ours, all->ours, all->line);
	}
	for (unsigned p = 0; p < BENCH_PLACES; p++) {
		out->ours[p] = spread_of(&all->ours[p]);
		out->peer[p] = spread_of(&all->peer[p]);
		out->line[p] = spread_of(&all->line[p]);
	}
	free(all);
}

static void number(FILE *to, int json, int there, double v)
{
	if (json)
		fprintf(to, there ? "%.2f" : "null", v);
	else if (there)
		fprintf(to, " %10.1f", v);
	else
		fprintf(to, " %10s", "-");
}

static void row(FILE *to, const char *bench, const char *name, const char *unit, const char *place,
                const char *peer_name, const double *ours, const double *peer, double ratio,
                int json)
{
	if (!json) {
		fprintf(to, "%-42s %-8s", name, place);
		number(to, 0, ours != NULL, ours != NULL ? *ours : 0);
		number(to, 0, peer != NULL, peer != NULL ? *peer : 0);
		if (ratio > 0)
			fprintf(to, " %6.2f", ratio);
		else
			fprintf(to, " %6s", "-");
		fprintf(to, "  %s", unit);
		if (peer_name != NULL)
			fprintf(to, "; peer: %s", peer_name);
		return;
	}
	fprintf(to, "{\"bench\":\"%s\",\"case\":\"%s\",\"ours\":", bench, name);
	number(to, 1, ours != NULL, ours != NULL ? *ours : 0);
	fputs(",\"peer\":", to);
	number(to, 1, peer != NULL, peer != NULL ? *peer : 0);
	fprintf(to, ",\"unit\":\"%s\",\"ratio\":", unit);
	if (ratio > 0)
		fprintf(to, "%.3f", ratio);
	else
		fputs("null", to);
	if (peer_name != NULL)
		fprintf(to, ",\"peer_name\":\"%s\"", peer_name);
	fprintf(to, ",\"placement\":\"%s\"", place);
}

static double ratio_of(double ours, double peer, int more_is_better)
{
	if (ours <= 0 || peer <= 0)
		return 0;
	return more_is_better ? ours / peer : peer / ours;
}

void bench_print_head(FILE *to, int json)
{
	if (!json)
		fprintf(to, "%-42s %-8s %10s %10s %6s\n", "case", "place", "ours", "peer", "ratio");
}

void bench_print(FILE *to, const struct bench_case *c, const struct bench_result *r, int json)
{
	for (unsigned p = 0; p < BENCH_PLACES; p++) {
		const struct bench_spread *ours = &r->ours[p], *peer = &r->peer[p], *line = &r->line[p];
		double ratio =
			p == BENCH_MIXED ? 0 : ratio_of(ours->median, peer->median, c->more_is_better);

		if (ours->windows == 0 && peer->windows == 0)
			continue;
		row(to, c->bench, c->name, c->unit, bench_place_name(p), c->peer.name,
		    ours->windows > 0 ? &ours->median : NULL, peer->windows > 0 ? &peer->median : NULL,
		    ratio, json);
		if (json) {
			fputs(",\"line_ns\":", to);
			number(to, 1, line->windows > 0, line->median);
			fprintf(to,
			        ",\"windows\":%u,\"ours_low\":%.2f,\"ours_high\":%.2f,\"peer_windows\":%u,"
			        "\"peer_low\":%.2f,\"peer_high\":%.2f}\n",
			        ours->windows, ours->low, ours->high, peer->windows, peer->low, peer->high);
		} else {
			fprintf(to, "; %u windows, quartiles %.1f-%.1f", ours->windows, ours->low, ours->high);
			if (line->windows > 0)
				fprintf(to, "; line %.0f ns", line->median);
			fputc('\n', to);
		}
	}
	fflush(to);
}

void bench_print_count(FILE *to, const char *bench, const char *name, const char *unit, double ours,
                       const char *peer_name, double peer, int json)
{
	row(to, bench, name, unit, bench_place_name(BENCH_ONE_CORE), peer_name, &ours,
	    peer >= 0 ? &peer : NULL, peer >= 0 ? ratio_of(ours, peer, 0) : 0, json);
	fputs(json ? "}\n" : "\n", to);
	fflush(to);
}
