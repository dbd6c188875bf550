/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O addresses that the front-end translates (ACCESS_PLATFORM). Queues ask here on their own threads; what is not
 * known is asked of the front-end over the back-end channel, and the queue goes on to something else until the
 * answer has come. Nobody waits for it: not the queue's thread, not control.
 *
 * The front-end answers a miss by an update over the connection, and by an acknowledgement over the channel. One of
 * failure says that there is no translation; which holds only when all that was sent over the connection before has been
 * read, and brought none. One of success without a translation says that it will come later.
 *
 * What an entry says is kept as a guest address, of the memory table at that time: the table changes when all
 * translations have been forgotten.
 */
#include "vu.h"

/*
 * A translation may be in so many regions of the memory table. Each is an entry of its own, for which the others move: with
 * a table of many small regions and a full cache one message would keep us busy for long.
 */
enum { PAGE = 4096, MAX_ENTRIES = 32768, MAX_PIECES = 64 };

void vu_iotlb_init(struct vdev_vhost_user *vu)
{
	pthread_mutex_init(&vu->tlb.lock, NULL);
	vu_cache_init(&vu->tlb.cache, &vu->env, MAX_ENTRIES);
}

void vu_iotlb_free(struct vdev_vhost_user *vu)
{
	vu_cache_free(&vu->tlb.cache);
	pthread_mutex_destroy(&vu->tlb.lock);
}

static uint32_t needed(const struct vu_miss *m)
{
	return m->write ? VU_IOTLB_WRITE : VU_IOTLB_READ;
}

static int allowed(struct vu_tlb *t, const struct vu_miss *m)
{
	const struct vu_xlat *x = vu_cache_find(&t->cache, m->iova);

	return x != NULL && x->perm & needed(m);
}

/* With the lock held: a miss is over. Its place is free when no acknowledgement of it can come any more. */
static void miss_over(struct vu_miss *m)
{
	int out = m->state == VU_MISS_SENT || m->state == VU_MISS_DONE;

	m->state = out ? VU_MISS_DONE : VU_MISS_FREE;
}

/* With the lock held: misses that are known now. 1 when there were any. */
static int resolve(struct vu_tlb *t)
{
	int any = 0;

	for (unsigned i = 0; i < VU_MISSES; i++) {
		struct vu_miss *m = &t->misses[i];

		if (m->state == VU_MISS_FREE || m->state == VU_MISS_DONE)
			continue;
		if (allowed(t, m)) {
			miss_over(m);
			any = 1;
		} else if (m->state == VU_MISS_PROMISED && vu_cache_find(&t->cache, m->iova) != NULL) {
			/* It came, and does not allow this: unless there is more of it to read. */
			m->state = VU_MISS_ANSWERED;
			__atomic_store_n(&t->answered, 1, __ATOMIC_RELAXED);
		}
	}
	return any;
}

/* With the lock held: where a further miss is noted, or NULL. */
static struct vu_miss *free_miss(struct vu_tlb *t)
{
	struct vu_miss *refused = NULL;

	for (unsigned i = 0; i < VU_MISSES; i++) {
		if (t->misses[i].state == VU_MISS_FREE)
			return &t->misses[i];
		/* One that nobody came back for. */
		if (t->misses[i].state == VU_MISS_REFUSED)
			refused = &t->misses[i];
	}
	return refused;
}

/* With the lock held: note that a translation is wanted. *fresh: it is to be asked for. */
static int ask(struct vu_tlb *t, uint64_t iova, int write, int *fresh)
{
	struct vu_miss *m;

	for (m = t->misses; m < t->misses + VU_MISSES; m++) {
		if (m->state == VU_MISS_FREE || m->state == VU_MISS_DONE || m->write != (write != 0))
			continue;
		if (m->state == VU_MISS_REFUSED && m->iova == iova) {
			m->state = VU_MISS_FREE;
			return VIRTQ_EFAULT;
		}
		if (m->state != VU_MISS_REFUSED && m->iova / PAGE == iova / PAGE)
			return VIRTQ_EAGAIN;
	}
	m = free_miss(t);
	if (m == NULL)
		return VIRTQ_EAGAIN; /* whoever's comes first wakes us */
	*m = (struct vu_miss){.iova = iova, .write = write != 0, .state = VU_MISS_DUE};
	t->n.misses++;
	*fresh = 1;
	return VIRTQ_EAGAIN;
}

/* Owner threads. */
static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	struct vdev_vhost_user *vu = ctx;
	struct vu_tlb *t = &vu->tlb;
	const struct vu_xlat *x;
	int rc = 0, fresh = 0;

	pthread_mutex_lock(&t->lock);
	x = vu_cache_find(&t->cache, iova);
	if (x != NULL && x->perm & (write ? VU_IOTLB_WRITE : VU_IOTLB_READ))
		*out = (struct virtq_xlat){
			.iova = x->first, .gpa = x->gpa, .len = x->last - x->first + 1, .perm = x->perm};
	else
		rc = ask(t, iova, write, &fresh);
	pthread_mutex_unlock(&t->lock);
	if (fresh)
		vu_channel_miss(vu);
	return rc;
}

int vu_iotlb_attach(struct vdev_vhost_user *vu)
{
	const struct virtq_xlat_ops ops = {sizeof(ops), translate, vu};

	return vdev_set_xlat(vu->v, &ops);
}

/* The next message for the front-end, to be sent by the channel. Its number, or -1 when there is none. Any thread. */
int vu_iotlb_next(struct vdev_vhost_user *vu, struct vu_iotlb *out)
{
	struct vu_tlb *t = &vu->tlb;
	int which = -1;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&t->lock);
	for (int i = 0; i < VU_MISSES && which < 0; i++) {
		struct vu_miss *m = &t->misses[i];

		if (m->state != VU_MISS_DUE)
			continue;
		m->state = VU_MISS_SENT;
		out->iova = m->iova;
		out->perm = (uint8_t)needed(m);
		out->type = VU_IOTLB_MISS;
		which = i;
	}
	if (which < 0 && t->denied_due) {
		t->denied_due = 0;
		*out = t->denied;
		which = VU_NO_MISS;
	}
	pthread_mutex_unlock(&t->lock);
	return which;
}

/* It could not be sent. */
void vu_iotlb_unsent(struct vdev_vhost_user *vu, int which)
{
	struct vu_tlb *t = &vu->tlb;

	pthread_mutex_lock(&t->lock);
	if (which == VU_NO_MISS)
		t->denied_due = 1;
	else if (t->misses[which].state == VU_MISS_SENT)
		t->misses[which].state = VU_MISS_DUE;
	else
		t->misses[which].state = VU_MISS_FREE;
	pthread_mutex_unlock(&t->lock);
}

/* The front-end has acknowledged a miss: well (0), or not. */
void vu_iotlb_answered(struct vdev_vhost_user *vu, int which, uint64_t result)
{
	struct vu_tlb *t = &vu->tlb;
	struct vu_miss *m;

	if (which == VU_NO_MISS)
		return;
	m = &t->misses[which];
	pthread_mutex_lock(&t->lock);
	m->state = m->state == VU_MISS_SENT ? VU_MISS_ANSWERED : VU_MISS_FREE;
	m->no = result != 0;
	__atomic_store_n(&t->answered, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

/* With the lock held: what an acknowledgement means, now that all that was sent before it has been read. */
static enum vu_miss_state verdict(struct vu_tlb *t, const struct vu_miss *m)
{
	if (allowed(t, m))
		return VU_MISS_FREE;
	if (!m->no && vu_cache_find(&t->cache, m->iova) == NULL)
		return VU_MISS_PROMISED;
	return VU_MISS_REFUSED;
}

/* All that the front-end sent has been read. */
void vu_iotlb_judge(struct vdev_vhost_user *vu)
{
	struct vu_tlb *t = &vu->tlb;
	int denied = 0, any = 0;

	if (!__atomic_load_n(&t->answered, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&t->lock);
	t->answered = 0;
	for (unsigned i = 0; i < VU_MISSES; i++) {
		struct vu_miss *m = &t->misses[i];

		if (m->state != VU_MISS_ANSWERED)
			continue;
		m->state = (uint8_t)verdict(t, m);
		any |= m->state != VU_MISS_PROMISED;
		if (m->state != VU_MISS_REFUSED)
			continue;
		t->n.refused++;
		/* It is mapped, but not for this. */
		if (vu_cache_find(&t->cache, m->iova) != NULL) {
			t->denied = (struct vu_iotlb){
				.iova = m->iova, .perm = (uint8_t)needed(m), .type = VU_IOTLB_ACCESS_FAIL};
			t->denied_due = denied = 1;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (denied)
		vu_channel_miss(vu);
	if (any)
		vdev_translated(vu->v);
}

/*
 * Forget everything: no ring runs, or the memory table changes. Queues that wait ask again, but for what is promised. With
 * nobody who waits, answers that are still to come are nobody's: they must not say anything to whoever asks next.
 */
void vu_iotlb_forget(struct vdev_vhost_user *vu)
{
	struct vu_tlb *t = &vu->tlb;
	int nobody = !vu_any_started(vu);

	pthread_mutex_lock(&t->lock);
	vu_cache_remove(&t->cache, 0, UINT64_MAX);
	for (unsigned i = 0; i < VU_MISSES; i++) {
		struct vu_miss *m = &t->misses[i];

		if (nobody)
			miss_over(m);
		else if (m->state == VU_MISS_REFUSED)
			m->state = VU_MISS_FREE;
	}
	pthread_mutex_unlock(&t->lock);
}

/* The connection is over, and with it the channel. */
void vu_iotlb_reset(struct vdev_vhost_user *vu)
{
	struct vu_tlb *t = &vu->tlb;

	vu_iotlb_forget(vu);
	pthread_mutex_lock(&t->lock);
	memset(t->misses, 0, sizeof(t->misses));
	t->denied_due = 0;
	t->answered = 0;
	pthread_mutex_unlock(&t->lock);
}

static int done(struct vdev_vhost_user *vu, int rc)
{
	return rc < 0 ? vu_refuse(vu, "translations could not be taken back") : 0;
}

/* Nothing translates by what was in the range any more when this has ended. */
static int let_go(struct vdev_vhost_user *vu, uint64_t iova, uint64_t size)
{
	int rc;

	vu_expect(vu, VDEV_OP_INVALIDATE, 0);
	rc = vdev_invalidate(vu->v, iova, size);
	return vu_wait(vu, rc, done);
}

static int invalidate(struct vdev_vhost_user *vu, const struct vu_iotlb *m)
{
	struct vu_tlb *t = &vu->tlb;
	uint64_t first = m->iova, size = m->size, last = first + (size - 1);

	/* QEMU's size is 0 where it means all there is; a range that wraps can't be meant either. */
	if (size == 0 || last < first) {
		first = 0;
		size = last = UINT64_MAX;
	}
	pthread_mutex_lock(&t->lock);
	vu_cache_remove(&t->cache, first, last);
	for (unsigned i = 0; i < VU_MISSES; i++)
		if (t->misses[i].state == VU_MISS_REFUSED && t->misses[i].iova - first <= last - first)
			t->misses[i].state = VU_MISS_FREE;
	t->n.invalidates++;
	pthread_mutex_unlock(&t->lock);
	return let_go(vu, first, size);
}

/* The part of [uva, uva + len) that is in the region which holds its start, and where that lies; 0: in none. */
static uint64_t piece(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t len, uint64_t *gpa)
{
	for (unsigned i = 0; i < vu->nregions; i++) {
		const struct vu_region_desc *d = &vu->regions[i]->d;
		uint64_t offset = uva - d->uva;

		if (uva < d->uva || offset >= d->len)
			continue;
		*gpa = d->gpa + offset;
		return len < d->len - offset ? len : d->len - offset;
	}
	return 0;
}

/* In how many regions it is, up to one more than may be; 0: a part of it is in none. */
static unsigned pieces(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t len)
{
	uint64_t gpa, part;
	unsigned n;

	for (n = 0; len > 0 && n <= MAX_PIECES; uva += part, len -= part, n++) {
		part = piece(vu, uva, len, &gpa);
		if (part == 0)
			return 0;
	}
	return n;
}

/* With the lock held. 1: something else was there; 0: not; < 0. */
static int insert(struct vdev_vhost_user *vu, const struct vu_iotlb *m)
{
	uint64_t iova = m->iova, uva = m->uva, left = m->size, part;
	int other = 0;

	for (; left > 0; iova += part, uva += part, left -= part) {
		struct vu_xlat x = {.first = iova, .perm = m->perm};
		int rc;

		part = piece(vu, uva, left, &x.gpa);
		x.last = iova + (part - 1);
		rc = vu_cache_insert(&vu->tlb.cache, &x);
		if (rc < 0)
			return rc;
		other |= rc;
	}
	return other;
}

static int update(struct vdev_vhost_user *vu, const struct vu_iotlb *m)
{
	struct vu_tlb *t = &vu->tlb;
	int rc, any = 0;
	unsigned n;

	if (m->size == 0 || m->iova + (m->size - 1) < m->iova || m->uva + (m->size - 1) < m->uva)
		return vu_refuse(vu, "a translation is empty or wraps");
	if (m->perm == 0 || m->perm > (VU_IOTLB_READ | VU_IOTLB_WRITE))
		return vu_refuse(vu, "a translation without a permission, or with an unknown one");
	n = pieces(vu, m->uva, m->size);
	if (n == 0)
		return vu_refuse(vu, "a translation leads out of the memory table");
	if (n > MAX_PIECES)
		return vu_refuse(vu, "a translation lies in too many memory regions");
	pthread_mutex_lock(&t->lock);
	rc = insert(vu, m);
	if (rc >= 0)
		any = resolve(t);
	t->n.updates += rc >= 0;
	pthread_mutex_unlock(&t->lock);
	if (rc < 0)
		return vu_refuse(vu, "no memory for a translation");
	if (any)
		vdev_translated(vu->v);
	/* A mapping that was changed without a word: as if that had been said. */
	return rc > 0 ? let_go(vu, m->iova, m->size) : 0;
}

int vu_on_iotlb(struct vdev_vhost_user *vu, struct vu_message *m)
{
	if (!vu_translated(vu))
		return vu_refuse(vu, "a translation without ACCESS_PLATFORM");
	switch (m->iotlb.type) {
	case VU_IOTLB_UPDATE:
		return update(vu, &m->iotlb);
	case VU_IOTLB_INVALIDATE:
		return invalidate(vu, &m->iotlb);
	default:
		return vu_refuse(vu, "an IOTLB message that only we send, or an unknown one");
	}
}

void vdev_vhost_user_iotlb(struct vdev_vhost_user *vu, struct vdev_vhost_user_iotlb *out)
{
	struct vu_tlb *t = &vu->tlb;

	pthread_mutex_lock(&t->lock);
	*out = t->n;
	out->entries = t->cache.n;
	out->evicted = t->cache.evicted;
	pthread_mutex_unlock(&t->lock);
}
