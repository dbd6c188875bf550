/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests in flight: what is the same for both layouts. */
#include "track.h"

#ifndef VIRTQ_NO_DEVICE

size_t virtq_inflight_bytes(uint32_t entries, int packed)
{
	return packed ? 32 + 32 * (size_t)entries : 16 + 16 * (size_t)entries;
}

int virtq_inflight_fresh(const void *region)
{
	return noted16((const uint8_t *)region + AT_VERSION) == 0;
}

void virtq_inflight_clear(void *region)
{
	note16((uint8_t *)region + AT_VERSION, 0);
}

static size_t words(uint32_t n)
{
	return ROUND_UP(2 * (size_t)n);
}

size_t virtq_inflight_scratch(const struct virtq_dev *vq, uint32_t entries)
{
	size_t bytes =
		ROUND_UP(sizeof(struct virtq_track)) + 8 * (size_t)vq->size + 2 * words(vq->size);

	/* next, tail, count, id by entry; head_of by id. */
	return vq->packed ? bytes + 4 * words(entries) + words(vq->size) : bytes;
}

static uint16_t *carve(uint8_t **at, uint32_t n)
{
	uint16_t *p = (uint16_t *)(void *)*at;

	__builtin_memset(p, 0, words(n));
	*at += words(n);
	return p;
}

uint32_t virtq_inflight_left(const struct virtq_dev *vq)
{
	const struct virtq_track *t = track_of(vq);

	return t == NULL ? 0 : t->nreplay - t->replayed;
}

int virtq_inflight_state(const struct virtq_dev *vq, struct virtq_state *out)
{
	return dev_position(vq, out);
}

/* Which of two replays was popped first. */
static int before(const struct virtq_track *t, uint32_t a, uint32_t b)
{
	return t->counters[a] < t->counters[b];
}

static void swap(struct virtq_track *t, uint32_t a, uint32_t b)
{
	uint64_t counter = t->counters[a];
	uint16_t replay = t->replay[a];

	t->counters[a] = t->counters[b];
	t->replay[a] = t->replay[b];
	t->counters[b] = counter;
	t->replay[b] = replay;
}

static void sink(struct virtq_track *t, uint32_t i, uint32_t n)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n)
			return;
		if (child + 1 < n && before(t, child, child + 1))
			child++;
		if (!before(t, i, child))
			return;
		swap(t, i, child);
		i = child;
	}
}

/* By counter. A heap: bounded whatever the counters are, and in place. */
static void sort(struct virtq_track *t)
{
	for (uint32_t i = t->nreplay / 2; i-- > 0;)
		sink(t, i, t->nreplay);
	for (uint32_t n = t->nreplay; n > 1;) {
		swap(t, 0, --n);
		sink(t, 0, n);
	}
}

/* Pop chains of a predecessor again. They count as available no more, and as taken already. */
static int replay(struct virtq_dev *vq, struct virtq_track *t, struct virtq_chain *chains,
                  uint32_t max, struct virtq_iov *iov, uint32_t niov)
{
	struct walk w = {.vq = vq, .mem = dev_mem(vq), .iov = iov, .left = niov};
	uint32_t popped = 0;
	uint16_t id = 0xffff;
	int err = 0;

	if (max > t->nreplay - t->replayed)
		max = t->nreplay - t->replayed;
	for (; popped < max; popped++) {
		uint16_t first = t->replay[t->replayed];
		struct virtq_iov *at = w.iov;

		walk_begin(&w);
		id = vq->packed ? t->id[first] : first;
		err = LAYOUT(vq, track_walk, &w, first);
		if (err == 0)
			err = pieces_check(&w);
		if (err != 0)
			break;
		chain_fill(&chains[popped], &w, at, id, vq->packed ? (uint16_t)(t->count[first] - 1) : 0);
		chain_out(vq, id);
		t->replayed++;
	}
	chains_out(vq, popped);
	return err == 0 ? (int)popped : pop_failed(vq, err, id, popped);
}

static int pop(struct virtq_dev *vq, struct virtq_chain *chains, uint32_t max,
               struct virtq_iov *iov, uint32_t niov)
{
	struct virtq_track *t = track_of(vq);
	uint16_t from = vq->avail;
	int n;

	if (t->replayed < t->nreplay)
		return replay(vq, t, chains, max, iov, niov);
	n = LAYOUT(vq, pop, vq, chains, max, iov, niov);
	if (n <= 0)
		return n;
	LAYOUT(vq, track_popped, vq, from, chains, (uint32_t)n);
	t->fresh = (uint32_t)n > UINT32_MAX - t->fresh ? UINT32_MAX : t->fresh + (uint32_t)n;
	return n;
}

/* The last ones popped are the new ones; before them there may be some that came again. */
static void unpop(struct virtq_dev *vq, const struct virtq_chain *chains, uint32_t n)
{
	struct virtq_track *t = track_of(vq);
	uint32_t again = n > t->fresh ? n - t->fresh : 0;

	t->replayed -= again;
	chains += again;
	n -= again;
	if (n == 0)
		return;
	if (t->fresh != UINT32_MAX)
		t->fresh -= n;
	LAYOUT(vq, track_unpopped, vq, chains, n);
	LAYOUT(vq, unpop, vq, chains, n);
}

/* A driver that reuses what it has not seen used could have more used than there are places to note them. */
static void used(struct virtq_dev *vq, uint16_t id)
{
	struct virtq_track *t = track_of(vq);

	if (unlikely(t->nbatch == vq->size))
		LAYOUT(vq, track_publish, vq);
	t->batch[t->nbatch++] = vq->packed ? t->head_of[id] : id;
}

static void publish(struct virtq_dev *vq)
{
	if (track_of(vq)->nbatch > 0)
		LAYOUT(vq, track_publish, vq);
}

static int config_ok(const struct virtq_dev *vq, const struct virtq_inflight_config *cfg)
{
	if (cfg->size < sizeof(*cfg) || cfg->reserved != 0 || vq->dma != NULL || vq->track != NULL ||
	    vq->inflight > 0)
		return 0;
	if (cfg->entries < vq->size || cfg->entries > VIRTQ_MAX_SIZE)
		return 0;
	if (cfg->region == NULL || (uintptr_t)cfg->region % 8 != 0 ||
	    cfg->region_bytes < virtq_inflight_bytes(cfg->entries, vq->packed))
		return 0;
	return cfg->scratch != NULL && (uintptr_t)cfg->scratch % 8 == 0 &&
	       cfg->scratch_bytes >= virtq_inflight_scratch(vq, cfg->entries);
}

static struct virtq_track *make(struct virtq_dev *vq, const struct virtq_inflight_config *cfg)
{
	static const struct virtq_track_calls calls = {
		.pop = pop, .unpop = unpop, .used = used, .publish = publish, .left = virtq_inflight_left};
	struct virtq_track *t = cfg->scratch;
	uint8_t *at = (uint8_t *)cfg->scratch + ROUND_UP(sizeof(*t));

	*t = (struct virtq_track){.calls = calls, .region = cfg->region, .entries = cfg->entries};
	t->counters = (uint64_t *)(void *)at;
	at += 8 * (size_t)vq->size;
	t->batch = carve(&at, vq->size);
	t->replay = carve(&at, vq->size);
	if (vq->packed) {
		t->next = carve(&at, t->entries);
		t->tail = carve(&at, t->entries);
		t->count = carve(&at, t->entries);
		t->id = carve(&at, t->entries);
		t->head_of = carve(&at, vq->size);
	}
	return t;
}

/* The version is stored last: a region that is half made is a new one. */
static void make_region(struct virtq_dev *vq, struct virtq_track *t)
{
	note64(t->region + AT_FEATURES, 0);
	note16(t->region + AT_ENTRIES, (uint16_t)t->entries);
	LAYOUT(vq, track_make, vq);
	note_barrier();
	note16(t->region + AT_VERSION, TRACK_VERSION);
}

/*
 * What a predecessor wrote to the ring may lack its mark, if it did not live to set it. Where a log is on, all that it can
 * have written is marked.
 */
static void mark_used(struct virtq_dev *vq)
{
	if (!dev_logging(vq))
		return;
	if (vq->packed)
		dev_mark_places(vq, 0, vq->size);
	dev_mark_device_area(vq, 0,
	                     vq->packed ? VIRTQ_PACKED_EVENT_BYTES
	                                : VIRTQ_SPLIT_DEVICE_BYTES((uint32_t)vq->size));
}

static int take_over(struct virtq_dev *vq, struct virtq_track *t, uint16_t version)
{
	int err;

	if (version != TRACK_VERSION || noted64(t->region + AT_FEATURES) != 0 ||
	    noted16(t->region + AT_ENTRIES) != t->entries)
		return VIRTQ_EBADMSG;
	err = LAYOUT(vq, track_recover, vq);
	__builtin_memset(vq->owner, OWNER_NONE, vq->size);
	if (err != 0)
		return err;
	mark_used(vq);
	sort(t);
	if (t->nreplay > 0)
		t->counter = t->counters[t->nreplay - 1] + 1;
	return (int)t->nreplay;
}

int virtq_inflight_attach_sized(struct virtq_dev *vq, size_t vq_size,
                                const struct virtq_inflight_config *cfg)
{
	struct virtq_track *t;
	uint16_t version;
	int rc = 0;

	if (vq_size < sizeof(*vq) || !config_ok(vq, cfg))
		return VIRTQ_EINVAL;
	t = make(vq, cfg);
	vq->track = &t->calls;
	version = noted16(t->region + AT_VERSION);
	if (version == 0)
		make_region(vq, t);
	else
		rc = take_over(vq, t, version);
	if (rc < 0)
		vq->track = NULL;
	return rc;
}

#endif
