/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses. A bucket is a cache line of four; a new address takes an empty place, or an aged one, or pushes out one of the
 * port that holds most: who makes up addresses pushes out their own.
 */
#include "switch.h"

enum {
	SWEEP_MOST = 1024, /* buckets at once, by a sender */
	PURGE_CHUNK = 256, /* buckets for which the lock is held */
	KEPT_TICKS = 4     /* a full sweep takes a fourth of the ageing time */
};

static struct entry *bucket_of(const struct table *t, uint64_t key)
{
	uint64_t h = (key ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return t->entries + (size_t)((uint32_t)(h >> 32) & t->mask) * WAYS;
}

int table_init(struct table *t, const struct vdev_env *env, uint32_t addresses, uint32_t ports,
               uint32_t ageing_ms, uint64_t seed)
{
	uint32_t buckets = 1;

	while (buckets * WAYS < addresses)
		buckets *= 2;
	memset(t, 0, sizeof(*t));
	t->mask = buckets - 1;
	t->seed = seed;
	if (env->now != NULL) {
		t->ageing = (uint32_t)(((uint64_t)ageing_ms * 1000000 >> TICK_SHIFT) + 1);
		t->swept = (uint32_t)(env->now(env->ctx) >> TICK_SHIFT);
	}
	t->bytes = (size_t)buckets * WAYS * sizeof(struct entry) + LINE - 1;
	t->memory = env->alloc(env->ctx, t->bytes);
	t->learned_bytes = ports * sizeof(*t->learned);
	t->learned = env->alloc(env->ctx, t->learned_bytes);
	if (t->memory == NULL || t->learned == NULL)
		return VIRTQ_ENOMEM;
	memset(t->memory, 0, t->bytes);
	memset(t->learned, 0, t->learned_bytes);
	t->entries = (struct entry *)(((uintptr_t)t->memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
	return 0;
}

struct found table_find(const struct table *t, uint64_t key, uint32_t tick)
{
	struct entry *e = bucket_of(t, key);

	for (unsigned i = 0; i < WAYS; i++, e++) {
		uint64_t value = load_acquire(&e->value);

		if ((value & VALUE_LIVE) == 0 || load_acquire(&e->key) != key ||
		    ((load_relaxed(&e->value) ^ value) & VALUE_FACTS) != 0)
			continue;
		if (value_aged(t, value, tick))
			break;
		return (struct found){e, value};
	}
	return (struct found){NULL, 0};
}

void table_seen(struct entry *e, uint32_t tick)
{
	uint64_t value = load_relaxed(&e->value);

	/* Somebody else's change goes first; there will be another frame. */
	if ((uint32_t)(value >> SEEN_SHIFT) != tick && (value & VALUE_LIVE) != 0)
		(void)__atomic_compare_exchange_n(&e->value, &value,
		                                  (value & VALUE_FACTS) | (uint64_t)tick << SEEN_SHIFT, 0,
		                                  __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/* --- under the lock ---------------------------------------------------------- */

static void learned_add(struct table *t, uint64_t value, int n)
{
	uint32_t *learned = &t->learned[value_port(value)];

	if ((value & VALUE_LIVE) != 0 && (value & VALUE_STATIC) == 0)
		store_relaxed(learned, load_relaxed(learned) + (uint32_t)n);
}

static void clear(struct table *t, struct entry *e)
{
	uint64_t value = load_relaxed(&e->value);

	learned_add(t, value, -1);
	store_relaxed(&e->value,
	              ((value & VALUE_VERSION) + ((uint64_t)1 << VERSION_SHIFT)) & VALUE_VERSION);
}

/* Other facts of an entry in use; who notes at the same time that it was seen is late or early. */
static uint64_t change(struct table *t, struct entry *e, uint64_t value)
{
	uint64_t old = __atomic_exchange_n(&e->value, value, __ATOMIC_ACQ_REL);

	learned_add(t, old, -1);
	learned_add(t, value, 1);
	return value;
}

static uint64_t occupy(struct table *t, struct entry *e, uint64_t key, uint64_t facts,
                       uint32_t tick)
{
	uint64_t value;

	clear(t, e);
	value = load_relaxed(&e->value) | facts | VALUE_LIVE | (uint64_t)tick << SEEN_SHIFT;
	__atomic_store_n(&e->key, key, __ATOMIC_RELEASE);
	store_release(&e->value, value);
	learned_add(t, value, 1);
	return value;
}

static struct entry *in_bucket(struct entry *e, uint64_t key)
{
	for (unsigned i = 0; i < WAYS; i++, e++)
		if ((load_relaxed(&e->value) & VALUE_LIVE) != 0 && load_relaxed(&e->key) == key)
			return e;
	return NULL;
}

/* Whether a is to go rather than b: of a port with more addresses, or longer unseen. */
static int goes_first(const struct table *t, uint64_t a, uint64_t b)
{
	uint32_t na = t->learned[value_port(a)], nb = t->learned[value_port(b)];

	if (na != nb)
		return na > nb;
	return (int32_t)((uint32_t)(a >> SEEN_SHIFT) - (uint32_t)(b >> SEEN_SHIFT)) < 0;
}

/* The place for a new address of port. full: the port may hold no more, and can only exchange. */
static struct entry *place_for(struct table *t, struct entry *e, unsigned port, int full,
                               uint32_t tick)
{
	struct entry *worst = NULL, *own = NULL, *empty = NULL;

	for (unsigned i = 0; i < WAYS; i++, e++) {
		uint64_t value = load_relaxed(&e->value);

		if ((value & VALUE_LIVE) == 0 || value_aged(t, value, tick)) {
			empty = e;
			continue;
		}
		if ((value & VALUE_STATIC) != 0)
			continue;
		if (worst == NULL || goes_first(t, value, load_relaxed(&worst->value)))
			worst = e;
		if (value_port(value) == port &&
		    (own == NULL || goes_first(t, value, load_relaxed(&own->value))))
			own = e;
	}
	/* An aged one of its own counts as long as it is there. */
	if (full)
		return empty != NULL && (load_relaxed(&empty->value) & VALUE_LIVE) != 0 &&
		               value_port(load_relaxed(&empty->value)) == port
		           ? empty
		           : own;
	if (empty != NULL)
		return empty;
	if (worst != NULL && t->learned[value_port(load_relaxed(&worst->value))] >= t->learned[port])
		return worst;
	return own;
}

static enum learn_result learn(struct table *t, uint64_t key, unsigned port, uint32_t most,
                               uint32_t tick, struct found *f)
{
	struct entry *bucket = bucket_of(t, key), *e = in_bucket(bucket, key);
	int full = most != 0 && t->learned[port] >= most;
	uint64_t value;

	if (e != NULL) {
		value = load_relaxed(&e->value);
		if (value_port(value) == port || (value & VALUE_STATIC) != 0) {
			*f = (struct found){e, value};
			table_seen(e, tick);
			return value_port(value) == port ? LEARN_KNOWN : LEARN_STATIC;
		}
		if (full)
			return LEARN_REFUSED;
		value = (value & (VALUE_VERSION | VALUE_LIVE)) | port | (uint64_t)tick << SEEN_SHIFT;
		*f = (struct found){e, change(t, e, value)};
		return LEARN_MOVED;
	}
	e = place_for(t, bucket, port, full, tick);
	if (e == NULL)
		return LEARN_REFUSED;
	*f = (struct found){e, occupy(t, e, key, port, tick)};
	return LEARN_NEW;
}

static int try_lock(struct table *t)
{
	return load_relaxed(&t->lock) == 0 && __atomic_exchange_n(&t->lock, 1, __ATOMIC_ACQUIRE) == 0;
}

enum learn_result table_learn(struct table *t, uint64_t key, unsigned port, uint32_t most,
                              uint32_t tick, struct found *f)
{
	enum learn_result result;

	*f = (struct found){NULL, 0};
	if (!try_lock(t))
		return LEARN_BUSY;
	result = learn(t, key, port, most, tick, f);
	store_release(&t->lock, 0);
	return result;
}

void table_sweep(struct table *t, uint32_t tick)
{
	uint32_t elapsed;
	uint64_t buckets;

	if (t->ageing == 0 || load_relaxed(&t->swept) == tick || !try_lock(t))
		return;
	elapsed = tick - t->swept;
	/* Another thread's clock may be a tick ahead. */
	if (elapsed == 0 || elapsed > UINT32_MAX / 2) {
		store_release(&t->lock, 0);
		return;
	}
	store_relaxed(&t->swept, tick);
	buckets = ((uint64_t)t->mask + 1) * elapsed * KEPT_TICKS / t->ageing + 1;
	buckets = buckets < SWEEP_MOST ? buckets : SWEEP_MOST;
	for (; buckets > 0; buckets--, t->sweep_at++)
		for (unsigned i = 0; i < WAYS; i++) {
			struct entry *e = &t->entries[(size_t)(t->sweep_at & t->mask) * WAYS + i];
			uint64_t value = load_relaxed(&e->value);

			if ((value & VALUE_LIVE) != 0 && value_aged(t, value, tick))
				clear(t, e);
		}
	store_release(&t->lock, 0);
}

/* --- control --------------------------------------------------------------------- */

void table_free(struct table *t, const struct vdev_env *env)
{
	if (t->memory != NULL)
		env->free(env->ctx, t->memory, t->bytes);
	if (t->learned != NULL)
		env->free(env->ctx, t->learned, t->learned_bytes);
}

int table_add_static(struct table *t, struct gates *gs, uint64_t key, unsigned port)
{
	struct entry *bucket = bucket_of(t, key), *e;
	int rc = 0;

	gates_wait_lock(gs, &t->lock);
	e = in_bucket(bucket, key);
	if (e != NULL && (load_relaxed(&e->value) & VALUE_STATIC) != 0) {
		rc = value_port(load_relaxed(&e->value)) == port ? 0 : VIRTQ_EBUSY;
	} else if (e != NULL) {
		(void)change(
			t, e, (load_relaxed(&e->value) & (VALUE_VERSION | VALUE_LIVE)) | VALUE_STATIC | port);
	} else {
		/* As if for a port without any: all that were learned may go. */
		for (unsigned i = 0; i < WAYS; i++) {
			struct entry *at = bucket + i;
			uint64_t value = load_relaxed(&at->value);

			if ((value & VALUE_STATIC) != 0)
				continue;
			if (e == NULL || (value & VALUE_LIVE) == 0 ||
			    ((load_relaxed(&e->value) & VALUE_LIVE) != 0 &&
			     goes_first(t, value, load_relaxed(&e->value))))
				e = at;
		}
		if (e == NULL)
			rc = VIRTQ_ENOSPC;
		else
			(void)occupy(t, e, key, port | VALUE_STATIC, 0);
	}
	gates_unlock(&t->lock);
	return rc;
}

int table_remove_static(struct table *t, struct gates *gs, uint64_t key, unsigned port)
{
	struct entry *e;
	int rc = VIRTQ_EINVAL;

	gates_wait_lock(gs, &t->lock);
	e = in_bucket(bucket_of(t, key), key);
	if (e != NULL && (load_relaxed(&e->value) & VALUE_STATIC) != 0 &&
	    value_port(load_relaxed(&e->value)) == port) {
		clear(t, e);
		rc = 0;
	}
	gates_unlock(&t->lock);
	return rc;
}

void table_purge(struct table *t, struct gates *gs, int port, int statics)
{
	for (uint32_t b = 0; b <= t->mask; b += PURGE_CHUNK) {
		uint32_t end = b + PURGE_CHUNK <= t->mask ? b + PURGE_CHUNK : t->mask + 1;

		gates_wait_lock(gs, &t->lock);
		for (struct entry *e = t->entries + (size_t)b * WAYS,
		                  *stop = t->entries + (size_t)end * WAYS;
		     e < stop; e++) {
			uint64_t value = load_relaxed(&e->value);

			if ((value & VALUE_LIVE) != 0 && (port < 0 || value_port(value) == (unsigned)port) &&
			    (statics || (value & VALUE_STATIC) == 0))
				clear(t, e);
		}
		gates_unlock(&t->lock);
	}
}
