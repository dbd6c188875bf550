/* SPDX-License-Identifier: BSD-3-Clause */
#include "iotlb_cache.h"

#include <string.h>

#include <virtq/error.h>

enum { FIRST_ROOM = 64 };

void vu_cache_init(struct vu_cache *c, const struct vdev_env *env, uint32_t max)
{
	*c = (struct vu_cache){.env = *env, .max = max, .random = 1};
}

static void free_entries(struct vu_cache *c)
{
	if (c->entry != NULL)
		c->env.free(c->env.ctx, c->entry, c->room * sizeof(*c->entry));
}

void vu_cache_free(struct vu_cache *c)
{
	free_entries(c);
	c->entry = NULL;
	c->n = c->room = 0;
}

/* The first entry that does not end before iova. */
static uint32_t at_or_after(const struct vu_cache *c, uint64_t iova)
{
	uint32_t lo = 0, hi = c->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->entry[mid].last < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct vu_xlat *vu_cache_find(const struct vu_cache *c, uint64_t iova)
{
	uint32_t i = at_or_after(c, iova);

	return i < c->n && c->entry[i].first <= iova ? &c->entry[i] : NULL;
}

static void take_out(struct vu_cache *c, uint32_t from, uint32_t n)
{
	if (n == 0)
		return;
	memmove(&c->entry[from], &c->entry[from + n], (c->n - from - n) * sizeof(*c->entry));
	c->n -= n;
}

static int grow(struct vu_cache *c)
{
	uint32_t room = c->room == 0 ? FIRST_ROOM : 2 * c->room;
	struct vu_xlat *bigger;

	if (room > c->max)
		room = c->max;
	if (room == c->room)
		return 0;
	bigger = c->env.alloc(c->env.ctx, room * sizeof(*bigger));
	if (bigger == NULL)
		return 0;
	if (c->n > 0)
		memcpy(bigger, c->entry, c->n * sizeof(*bigger));
	free_entries(c);
	c->entry = bigger;
	c->room = room;
	return 1;
}

/*
 * Room for one more. Which one goes is left to chance: whatever the order in which a long chain asks for its pages, in
 * the end they are all here at the same time.
 */
static int make_room(struct vu_cache *c)
{
	if (c->n < c->room || grow(c))
		return 0;
	if (c->n == 0)
		return VIRTQ_ENOMEM;
	c->random ^= c->random << 13;
	c->random ^= c->random >> 17;
	c->random ^= c->random << 5;
	take_out(c, c->random % c->n, 1);
	c->evicted++;
	return 0;
}

static void put_in(struct vu_cache *c, uint32_t at, const struct vu_xlat *x)
{
	memmove(&c->entry[at + 1], &c->entry[at], (c->n - at) * sizeof(*c->entry));
	c->entry[at] = *x;
	c->n++;
}

void vu_cache_remove(struct vu_cache *c, uint64_t first, uint64_t last)
{
	uint32_t i, end;
	struct vu_xlat *e;

	if (c->n == 0)
		return; /* perhaps there never was any entry, nor room for one */
	i = at_or_after(c, first);
	e = &c->entry[i];
	if (i < c->n && e->first < first) {
		struct vu_xlat rest = *e;

		e->last = first - 1;
		i++;
		if (rest.last > last) {
			/* A hole in the middle. Without room for what lies behind it that is forgotten too. */
			rest.gpa += last + 1 - rest.first;
			rest.first = last + 1;
			if (c->n < c->room || grow(c))
				put_in(c, i, &rest);
			return;
		}
	}
	for (end = i; end < c->n && c->entry[end].last <= last; end++)
		;
	take_out(c, i, end - i);
	e = &c->entry[i];
	if (i < c->n && e->first <= last) {
		e->gpa += last + 1 - e->first;
		e->first = last + 1;
	}
}

/* Whether anything in [x->first, x->last] was otherwise, or allowed what x does not. */
static int differs(const struct vu_cache *c, const struct vu_xlat *x)
{
	for (uint32_t i = at_or_after(c, x->first); i < c->n && c->entry[i].first <= x->last; i++) {
		const struct vu_xlat *e = &c->entry[i];

		if (e->gpa - e->first != x->gpa - x->first || e->perm & ~x->perm)
			return 1;
	}
	return 0;
}

/* b goes on where a ends, in every respect. */
static int follows(const struct vu_xlat *a, const struct vu_xlat *b)
{
	return a->last + 1 == b->first && a->perm == b->perm && a->gpa - a->first == b->gpa - b->first;
}

int vu_cache_insert(struct vu_cache *c, const struct vu_xlat *x)
{
	int other = differs(c, x);
	struct vu_xlat *e;
	uint32_t i;
	int rc;

	vu_cache_remove(c, x->first, x->last);
	rc = make_room(c);
	if (rc < 0)
		return rc;
	i = at_or_after(c, x->first);
	put_in(c, i, x);
	e = c->entry;
	if (i + 1 < c->n && follows(&e[i], &e[i + 1])) {
		e[i].last = e[i + 1].last;
		take_out(c, i + 1, 1);
	}
	if (i > 0 && follows(&e[i - 1], &e[i])) {
		e[i - 1].last = e[i].last;
		take_out(c, i, 1);
	}
	return other;
}
