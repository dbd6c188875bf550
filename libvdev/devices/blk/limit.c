/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate limit: two token buckets, operations and bytes, which the queues of a device share. Time is
 * counted in whole microseconds so that rates up to 2^43 a second multiply without overflow; what
 * is left of a microsecond, and of a token, is kept.
 *
 * Queues that find too little stand in line: small requests of one would otherwise keep the tokens of a large one of
 * another from ever gathering.
 */
#include "blk.h"

enum { NS_PER_US = 1000, US_PER_S = 1000000 };
/* How long the first in line may take to come. */
enum { PATIENCE_NS = 10000000 };

#define RATE_MAX  ((uint64_t)1 << 43)
#define BURST_MAX ((uint64_t)1 << 62)

static void lock(struct blk_limit *l)
{
	while (__atomic_exchange_n(&l->lock, 1, __ATOMIC_ACQUIRE) != 0)
		while (blk_get(&l->lock) != 0)
			;
}

static void unlock(struct blk_limit *l)
{
	__atomic_store_n(&l->lock, 0, __ATOMIC_RELEASE);
}

static void setup(struct blk_bucket *b, uint64_t rate, uint64_t burst)
{
	b->rate = rate;
	b->burst = burst != 0 ? burst : rate / 10;
	if (b->burst == 0)
		b->burst = 1;
	b->level = (int64_t)b->burst;
	b->rest = 0;
}

/* What gathered in us microseconds. */
static void fill(struct blk_bucket *b, uint64_t us)
{
	uint64_t seconds = us / US_PER_S;
	uint64_t part, missing;

	if (b->rate == 0 || b->level >= (int64_t)b->burst)
		return;
	missing =
		b->burst - (uint64_t)b->level; /* level may be negative: the sum is right all the same */
	if (seconds > missing / b->rate) {
		b->level = (int64_t)b->burst;
		b->rest = 0;
		return;
	}
	part = us % US_PER_S * b->rate + b->rest;
	b->rest = part % US_PER_S;
	part = seconds * b->rate + part / US_PER_S;
	if (part >= missing) {
		b->level = (int64_t)b->burst;
		b->rest = 0;
	} else {
		b->level += (int64_t)part;
	}
}

static void refill(struct blk_limit *l, uint64_t now)
{
	uint64_t us;

	if (now <= l->last)
		return;
	us = (now - l->last) / NS_PER_US;
	if (us == 0)
		return;
	l->last += us * NS_PER_US;
	fill(&l->ops, us);
	fill(&l->bytes, us);
}

/* What must be there for n tokens: all of them, or a full bucket for more than that. */
static int64_t needed(const struct blk_bucket *b, uint64_t n)
{
	return (int64_t)(n < b->burst ? n : b->burst);
}

/* Nanoseconds until level is there. */
static uint64_t wait_ns(const struct blk_bucket *b, int64_t level)
{
	uint64_t missing, us;

	if (b->rate == 0 || b->level >= level)
		return 0;
	missing = (uint64_t)level - (uint64_t)b->level;
	if (missing / b->rate > UINT64_MAX / NS_PER_US / US_PER_S / 4)
		return UINT64_MAX / 4;
	us = missing / b->rate * US_PER_S + (missing % b->rate * US_PER_S + b->rate - 1) / b->rate;
	return us * NS_PER_US;
}

int blk_limit_set(struct blk_limit *l, const struct vdev_blk_limit *cfg, const struct vdev_env *env)
{
	int on = cfg->ops_per_s != 0 || cfg->bytes_per_s != 0;

	if (cfg->ops_per_s > RATE_MAX || cfg->bytes_per_s > RATE_MAX || cfg->ops_burst > BURST_MAX ||
	    cfg->bytes_burst > BURST_MAX || (on && env->now == NULL))
		return VIRTQ_EINVAL;
	lock(l);
	setup(&l->ops, cfg->ops_per_s, cfg->ops_burst);
	setup(&l->bytes, cfg->bytes_per_s, cfg->bytes_burst);
	if (on)
		l->last = env->now(env->ctx);
	blk_set(&l->on, (uint32_t)on);
	unlock(l);
	return 0;
}

/* Nanoseconds until an operation of so many bytes may go. */
static uint64_t wait_for(const struct blk_limit *l, uint64_t bytes)
{
	uint64_t ops = wait_ns(&l->ops, needed(&l->ops, 1));
	uint64_t more = wait_ns(&l->bytes, needed(&l->bytes, bytes));

	return more > ops ? more : ops;
}

static void join(struct blk_limit *l, struct blk_waiter *w, uint64_t bytes)
{
	struct blk_waiter **at = &l->first;

	w->bytes = bytes;
	if (w->waits)
		return;
	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
	w->next = NULL;
	w->waits = 1;
}

static void leave(struct blk_limit *l, struct blk_waiter *w)
{
	struct blk_waiter **at = &l->first;

	if (!w->waits)
		return;
	if (l->first == w)
		l->until = 0;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->waits = 0;
}

/* Whether another one is first. It is passed over when it does not come in time: its queue may be paused. */
static int must_wait(struct blk_limit *l, const struct blk_waiter *w, uint64_t now, uint64_t *when)
{
	while (l->first != NULL && l->first != w) {
		uint64_t wait = wait_for(l, l->first->bytes);

		if (wait > 0) {
			*when = l->last + wait;
			return 1;
		}
		if (l->until == 0)
			l->until = now + PATIENCE_NS;
		if (now < l->until) {
			*when = l->until;
			return 1;
		}
		leave(l, l->first);
	}
	return 0;
}

int blk_limit_take(struct blk_limit *l, struct blk_waiter *w, uint64_t now, uint64_t bytes,
                   uint64_t *when)
{
	int may = 0;

	lock(l);
	refill(l, now);
	if (!must_wait(l, w, now, when)) {
		uint64_t wait = wait_for(l, bytes);

		may = wait == 0;
		*when = may ? *when : l->last + wait;
	}
	if (may) {
		leave(l, w);
		if (l->ops.rate != 0)
			l->ops.level -= 1;
		if (l->bytes.rate != 0)
			l->bytes.level -= (int64_t)bytes;
	} else {
		join(l, w, bytes);
	}
	unlock(l);
	return may;
}

void blk_limit_leave(struct blk_limit *l, struct blk_waiter *w)
{
	lock(l);
	leave(l, w);
	unlock(l);
}

void blk_limit_levels(struct blk_limit *l, uint64_t now, int64_t level[2])
{
	lock(l);
	refill(l, now);
	level[0] = l->ops.level;
	level[1] = l->bytes.level;
	unlock(l);
}

/* Levels of another device: its burst may have been larger than ours. */
void blk_limit_restore(struct blk_limit *l, uint64_t now, const int64_t level[2])
{
	lock(l);
	l->last = now;
	l->ops.rest = 0;
	l->bytes.rest = 0;
	l->ops.level = level[0] < (int64_t)l->ops.burst ? level[0] : (int64_t)l->ops.burst;
	l->bytes.level = level[1] < (int64_t)l->bytes.burst ? level[1] : (int64_t)l->bytes.burst;
	unlock(l);
}
