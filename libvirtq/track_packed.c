/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests in flight on a packed ring. Used descriptors overwrite available ones, so the region has copies: an entry for
 * each descriptor of a chain that is out, linked in its order; the other entries form the free list. The heads of that
 * list and the used position are there twice, "old" and new. The old ones are what counts, until the ring's flags at the
 * old used position say that the driver has seen what the new ones are for.
 */
#include "track.h"

#if !defined(VIRTQ_NO_DEVICE) && !defined(VIRTQ_NO_PACKED)

enum {
	AT_FREE_HEAD = 12,
	AT_OLD_FREE_HEAD = 14,
	AT_USED = 16, /* eight bytes: struct positions */
	AT_WRAP = 20, /* its second half */
	AT_ENTRY = 32,
	ENTRY_BYTES = 32
};
enum {
	E_INFLIGHT = 0,
	E_NEXT = 2,
	E_LAST = 4,
	E_NUM = 6,
	E_COUNTER = 8,
	E_ID = 16,
	E_FLAGS = 18,
	E_LEN = 20,
	E_ADDR = 24
};

/* The used positions as the region has them: one store changes all, or one each half. */
struct positions {
	uint16_t used;
	uint16_t old_used;
	uint8_t wrap;
	uint8_t old_wrap;
	uint8_t moving; /* the new ones count, whatever the ring says: the old ones are being changed */
	uint8_t padding;
};

static inline uint8_t *entry(const struct virtq_track *t, uint16_t i)
{
	return t->region + AT_ENTRY + (size_t)i * ENTRY_BYTES;
}

static inline uint8_t *flags_at(const struct virtq_dev *vq, uint16_t place)
{
	return vq->desc + (size_t)place * VIRTQ_DESC_BYTES + 14;
}

/* From what the driver knows to what it is to know. Where these are two stores, the ring decides all along. */
static void note_positions(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);
	struct positions p = {
		.used = vq->used, .old_used = t->shown, .wrap = vq->used_wrap, .old_wrap = t->shown_wrap};
	uint64_t word;

	__builtin_memcpy(&word, &p, sizeof(word));
	note64(t->region + AT_USED, word);
}

/*
 * What the driver knows is what it was to know. While the old position and its wrap counter change one after the other,
 * they are neither the one nor the other: then moving says that they don't matter.
 */
static void note_shown(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	if (!WHOLE_64 && (t->shown != vq->used || t->shown_wrap != vq->used_wrap)) {
		const uint8_t moving[4] = {vq->used_wrap, t->shown_wrap, 1, 0};
		uint32_t half;

		__builtin_memcpy(&half, moving, sizeof(half));
		note32(t->region + AT_WRAP, half);
		note_barrier();
	}
	t->shown = vq->used;
	t->shown_wrap = vq->used_wrap;
	note_positions(vq);
}

/* Both heads of the free list at once. */
static void note_free_heads(struct virtq_track *t)
{
	uint16_t heads[2] = {t->free_head, t->free_head};
	uint32_t word;

	__builtin_memcpy(&word, heads, sizeof(word));
	note32(t->region + AT_FREE_HEAD, word);
}

static void put_free(struct virtq_track *t, uint16_t first, uint16_t last, uint32_t n)
{
	t->next[last] = t->free_head;
	note16(entry(t, last) + E_NEXT, t->free_head);
	t->free_head = first;
	t->nfree += n;
}

void packed_track_make(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	t->free_head = 0;
	t->nfree = t->entries;
	for (uint32_t i = 0; i < t->entries; i++) {
		t->next[i] = (uint16_t)(i + 1);
		note16(entry(t, (uint16_t)i) + E_NEXT, (uint16_t)(i + 1));
		note8(entry(t, (uint16_t)i) + E_INFLIGHT, 0);
	}
	note_free_heads(t);
	note_shown(vq);
}

/* --- recovery ---------------------------------------------------------------- */

/* Entries that were seen, by the bits of count[], which is not needed before the chains are known. */
enum { SEEN = 1 };

/* 1: they are in the ring. */
static int read_positions(const uint8_t *region, uint32_t size, struct positions *p)
{
	uint64_t word = noted64(region + AT_USED);

	__builtin_memcpy(p, &word, sizeof(*p));
	return p->used < size && p->old_used < size && p->wrap <= 1 && p->old_wrap <= 1;
}

int virtq_inflight_used(const void *head, uint16_t size, uint16_t used[2])
{
	struct positions p;

	if (virtq_inflight_fresh(head))
		return 0;
	if (!read_positions(head, size, &p))
		return VIRTQ_EBADMSG;
	used[0] = (uint16_t)(p.old_used | p.old_wrap << 15);
	used[1] = (uint16_t)(p.used | p.wrap << 15);
	/* While the old ones are being changed they are none. */
	if (p.moving)
		used[0] = used[1];
	return 1;
}

/* Which used position is true, and which free list: 0, or VIRTQ_EBADMSG. */
static int settle_positions(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);
	uint16_t heads[2];
	uint32_t both = noted32(t->region + AT_FREE_HEAD);
	struct positions p;
	int seen = 0;

	__builtin_memcpy(heads, &both, sizeof(heads));
	if (!read_positions(t->region, vq->size, &p))
		return VIRTQ_EBADMSG;
	if (p.moving)
		seen = 1;
	else if (p.used != p.old_used || p.wrap != p.old_wrap)
		seen = !is_avail(shared_load16(flags_at(vq, p.old_used)), p.old_wrap);
	vq->used = seen ? p.used : p.old_used;
	vq->used_wrap = seen ? p.wrap : p.old_wrap;
	t->shown = p.old_used;
	t->shown_wrap = p.old_wrap;
	t->free_head = heads[seen ? 0 : 1];
	return 0;
}

/* Read the links, and walk the free list: what is in it is not in flight. */
static int read_free_list(struct virtq_track *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->entries; i++)
		t->next[i] = noted16(entry(t, (uint16_t)i) + E_NEXT);
	for (uint16_t i = t->free_head; i < t->entries; i = t->next[i]) {
		if (t->count[i] & SEEN)
			return VIRTQ_EBADMSG;
		t->count[i] = SEEN;
		n++;
	}
	t->nfree = n;
	return 0;
}

/* A chain that is out: its entries are its own. Its slots, or VIRTQ_EBADMSG. */
static int read_chain(struct virtq_dev *vq, uint16_t first)
{
	struct virtq_track *t = track_of(vq);
	uint16_t num = noted16(entry(t, first) + E_NUM), last = first, id;

	/* That it is not too long shows in the sum of all. Each has an id of its own, so they are no more than replay[] holds. */
	if (num == 0)
		return VIRTQ_EBADMSG;
	for (uint16_t k = 0, i = first; k < num; k++) {
		if (i >= t->entries || t->count[i] & SEEN)
			return VIRTQ_EBADMSG;
		t->count[i] = SEEN;
		last = i;
		i = t->next[i];
	}
	id = noted16(entry(t, last) + E_ID);
	if (id >= vq->size || vq->owner[id] != OWNER_NONE)
		return VIRTQ_EBADMSG;
	vq->owner[id] = OWNER_NOW;
	t->id[first] = id;
	t->tail[first] = last;
	t->head_of[id] = first;
	t->counters[t->nreplay] = noted64(entry(t, first) + E_COUNTER);
	t->replay[t->nreplay++] = first;
	return num;
}

static int read_chains(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);
	uint32_t slots = 0;

	for (uint32_t i = 0; i < t->entries; i++) {
		int n;

		/* In the free list, or behind the head of a chain: whatever it says is old. */
		if (t->count[i] & SEEN || noted8(entry(t, (uint16_t)i) + E_INFLIGHT) == 0)
			continue;
		n = read_chain(vq, (uint16_t)i);
		if (n < 0)
			return n;
		slots += (uint32_t)n;
		if (slots > vq->size)
			return VIRTQ_EBADMSG;
	}
	vq->slots_out = (uint16_t)slots;
	return 0;
}

/* Write down what was decided. Each step leaves what a next recovery decides in the same way. */
static void commit(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	for (uint16_t i = t->free_head; i < t->entries; i = t->next[i])
		note8(entry(t, i) + E_INFLIGHT, 0);
	note_barrier();
	for (uint32_t i = 0; i < t->entries; i++)
		if (!(t->count[i] & SEEN))
			put_free(t, (uint16_t)i, (uint16_t)i, 1);
	note_barrier();
	note_free_heads(t);
	note_barrier();
	note_shown(vq);
}

/*
 * Used descriptors behind the first one of a batch are in the ring before the driver may look at them. After a crash
 * they have to go, or the driver would find them when it comes there: their flags become those of what is taken.
 */
static void hide_unpublished(struct virtq_dev *vq)
{
	uint16_t place = vq->used;
	uint8_t wrap = vq->used_wrap;

	for (uint32_t i = 0; i < vq->slots_out; i++) {
		if (!is_avail(shared_load16(flags_at(vq, place)), wrap)) {
			shared_store16(flags_at(vq, place), wrap ? VIRTQ_DESC_AVAIL : VIRTQ_DESC_USED);
			cache_clean(vq->platform, flags_at(vq, place), 2);
			if (dev_logging(vq))
				dev_mark_places(vq, place, 1);
		}
		advance(vq, &place, &wrap, 1);
	}
}

int packed_track_recover(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);
	int err = settle_positions(vq);

	if (err == 0)
		err = read_free_list(t);
	if (err == 0)
		err = read_chains(vq);
	if (err != 0)
		return err;
	commit(vq);
	for (uint32_t i = 0; i < t->entries; i++)
		t->count[i] = 0;
	for (uint32_t i = 0; i < t->nreplay; i++) {
		uint16_t n = 1, first = t->replay[i];

		for (uint16_t e = first; e != t->tail[first]; e = t->next[e])
			n++;
		t->count[first] = n;
	}
	vq->avail = vq->used;
	vq->avail_wrap = vq->used_wrap;
	advance(vq, &vq->avail, &vq->avail_wrap, vq->slots_out);
	hide_unpublished(vq);
	return 0;
}

int packed_track_walk(struct walk *w, uint16_t first)
{
	struct virtq_dev *vq = w->vq;
	const struct virtq_track *t = track_of(vq);
	uint16_t i = first;

	for (uint32_t k = 0; k < t->count[first]; k++, i = t->next[i]) {
		const uint8_t *e = entry(t, i);
		struct desc d = {.addr = noted64(e + E_ADDR),
		                 .len = noted32(e + E_LEN),
		                 .flags = noted16(e + E_FLAGS),
		                 .extra = t->id[first]};
		int err;

		if (d.flags & VIRTQ_DESC_INDIRECT) {
			if (t->count[first] != 1)
				return VIRTQ_FAULT_INDIRECT_FLAGS;
			return chain_indirect(w, &d, 1);
		}
		err = chain_add(w, &d);
		if (err != 0)
			return err;
	}
	return 0;
}

/* --- while it runs ------------------------------------------------------------- */

/* Copy a chain's descriptors. The driver may change them meanwhile, to its own harm: they are checked again. */
static uint16_t copy_chain(struct virtq_dev *vq, uint16_t *place, const struct virtq_chain *c)
{
	struct virtq_track *t = track_of(vq);
	uint16_t last = t->free_head, i = t->free_head;
	uint8_t lap = 0;

	for (uint32_t k = 0; k <= c->more; k++, i = t->next[i]) {
		struct desc d = desc_load(vq->desc + (size_t)*place * VIRTQ_DESC_BYTES, 1);
		uint8_t *e = entry(t, i);

		note64(e + E_ADDR, d.addr);
		note32(e + E_LEN, d.len);
		note16(e + E_ID, c->id);
		note16(e + E_FLAGS, d.flags);
		last = i;
		advance(vq, place, &lap, 1);
	}
	return last;
}

void packed_track_popped(struct virtq_dev *vq, uint16_t from, const struct virtq_chain *chains,
                         uint32_t n)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t i = 0; i < n; i++) {
		const struct virtq_chain *c = &chains[i];
		uint16_t first, last;

		/* Only a driver that reuses what it has not seen used can want more than there are. */
		if (unlikely(t->nfree <= c->more))
			packed_track_publish(vq);
		first = t->free_head;
		last = copy_chain(vq, &from, c);
		t->tail[first] = last;
		t->count[first] = (uint16_t)(c->more + 1);
		t->id[first] = c->id;
		t->head_of[c->id] = first;
		note16(entry(t, first) + E_LAST, last);
		note16(entry(t, first) + E_NUM, t->count[first]);
		note64(entry(t, first) + E_COUNTER, t->counter++);
		note8(entry(t, first) + E_INFLIGHT, 1);
		note_barrier();
		t->free_head = t->next[last];
		t->nfree -= t->count[first];
		note_free_heads(t);
		note_barrier();
	}
}

void packed_track_unpopped(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t i = n; i-- > 0;) {
		uint16_t first = t->head_of[chains[i].id];

		put_free(t, first, t->tail[first], chains[i].more + 1u);
		note_barrier();
		note_free_heads(t);
		note_barrier();
		note8(entry(t, first) + E_INFLIGHT, 0);
		note_barrier();
	}
}

void packed_track_publish(struct virtq_dev *vq)
{
	struct virtq_track *t = track_of(vq);

	for (uint32_t i = 0; i < t->nbatch; i++) {
		uint16_t first = t->batch[i];

		put_free(t, first, t->tail[first], t->count[first]);
	}
	note_barrier();
	note16(t->region + AT_FREE_HEAD, t->free_head);
	note_barrier();
	note_positions(vq);
	note_barrier();
	packed_publish(vq);
	note_barrier();
	for (uint32_t i = 0; i < t->nbatch; i++)
		note8(entry(t, t->batch[i]) + E_INFLIGHT, 0);
	note_barrier();
	note16(t->region + AT_OLD_FREE_HEAD, t->free_head);
	note_barrier();
	note_shown(vq);
	note_barrier();
	t->nbatch = 0;
}

#endif
