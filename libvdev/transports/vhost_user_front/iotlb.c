/* SPDX-License-Identifier: BSD-3-Clause */
/* Translated addresses: what is told the back-end, and what it asks for. */
#include "front.h"

/* Whether the entry says where iova is, with this permission. */
static int covers(const struct virtq_xlat *x, uint64_t iova, unsigned perm)
{
	return x->len > 0 && iova >= x->iova && iova - x->iova < x->len && (x->perm & perm) == perm;
}

/* In the table: the last entry that begins at or before iova. */
static const struct virtq_xlat *look_up(const struct vdev_vhost_front *f, uint64_t iova)
{
	unsigned lo = 0, hi = f->ntable;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (f->table[mid].iova <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? &f->table[lo - 1] : NULL;
}

/* Translate for perm (bit 0 read, bit 1 write). 0, VIRTQ_EAGAIN, or VIRTQ_EFAULT. */
int front_translate(struct vdev_vhost_front *f, uint64_t iova, unsigned perm,
                    struct virtq_xlat *out)
{
	const struct virtq_xlat *x = look_up(f, iova);
	int rc;

	if (x != NULL && covers(x, iova, perm)) {
		*out = *x;
		return 0;
	}
	if (f->cfg.xlat == NULL)
		return VIRTQ_EFAULT;
	f->inside++;
	rc = f->cfg.xlat->translate(f->cfg.xlat->ctx, iova, (perm & 2) != 0, out);
	f->inside--;
	if (rc < 0)
		return rc == VIRTQ_EAGAIN ? rc : VIRTQ_EFAULT;
	return covers(out, iova, perm) ? 0 : VIRTQ_EFAULT;
}

/* Send an update; its answer is waited for by whoever waits next. */
int front_iotlb_send(struct vdev_vhost_front *f, const struct virtq_xlat *x)
{
	struct vu_iotlb m = {
		.iova = x->iova, .size = x->len, .perm = (uint8_t)(x->perm & 3), .type = VU_IOTLB_UPDATE};
	int rc = front_uva(f, x->gpa, x->len, &m.uva);

	if (rc < 0)
		return rc;
	rc = front_tell(f, VU_IOTLB_MSG, VU_FLAG_NEED_REPLY, &m, sizeof(m), NULL, 0);
	if (rc >= 0)
		f->unacked++;
	return rc;
}

/* Part of an entry that may span several regions: what lies in the region of iova. */
static int send_around(struct vdev_vhost_front *f, const struct virtq_xlat *x, uint64_t iova)
{
	uint64_t gpa = x->gpa + (iova - x->iova);

	for (unsigned i = 0; i < f->nregions; i++) {
		const struct vu_region_desc *d = &f->regions[i].d;
		struct virtq_xlat part = *x;
		uint64_t skip, left;

		if (gpa < d->gpa || gpa - d->gpa >= d->len)
			continue;
		skip = d->gpa > x->gpa ? d->gpa - x->gpa : 0;
		part.gpa += skip;
		part.iova += skip;
		part.len -= skip;
		left = d->len - (part.gpa - d->gpa);
		if (part.len > left)
			part.len = left;
		return front_iotlb_send(f, &part);
	}
	return VIRTQ_EFAULT;
}

/* The back-end misses a translation, or was not allowed something. < 0: there is none. */
int front_iotlb_asked(struct vdev_vhost_front *f, const struct vu_iotlb *m)
{
	const struct vdev_vhost_front_ops *ops = f->cfg.ops;
	struct virtq_xlat x;
	int rc;

	if (m->type != VU_IOTLB_MISS && m->type != VU_IOTLB_ACCESS_FAIL)
		return front_fail(f, VIRTQ_EPROTO, "IOTLB message that is not the back-end's to send");
	if (m->perm == 0 || m->perm > (VU_IOTLB_READ | VU_IOTLB_WRITE))
		return front_fail(f, VIRTQ_EPROTO, "IOTLB message without a permission");
	if (m->type == VU_IOTLB_ACCESS_FAIL) {
		f->inside++;
		if (ops != NULL && ops->access_failed != NULL)
			ops->access_failed(f->cfg.ctx, m->iova, m->perm);
		f->inside--;
		return 0;
	}
	rc = front_translate(f, m->iova, m->perm, &x);
	if (rc == VIRTQ_EAGAIN)
		return 0;
	return rc < 0 ? rc : send_around(f, &x, m->iova);
}

static int tell_range(struct vdev_vhost_front *f, uint64_t iova, uint64_t len, unsigned perm)
{
	uint64_t end = iova + len;

	while (iova < end) {
		struct virtq_xlat x;
		int rc = front_translate(f, iova, perm, &x);

		if (rc == VIRTQ_EAGAIN)
			return 0; /* it will be missed, and told then */
		if (rc >= 0)
			rc = send_around(f, &x, iova);
		if (rc < 0)
			return rc;
		if (x.len - (iova - x.iova) >= end - iova)
			return 0;
		iova = x.iova + x.len;
	}
	return 0;
}

/* What was refused before is no answer to what is told next. */
static int settle_before(struct vdev_vhost_front *f)
{
	int rc = front_settle(f);

	return rc == VDEV_VHOST_FRONT_REFUSED ? 0 : rc;
}

/* Tell where a ring is before it starts: some back-ends do not ask for that. */
int front_iotlb_ring(struct vdev_vhost_front *f, const struct virtq_state *s)
{
	int rc = settle_before(f);

	if (rc >= 0)
		rc = tell_range(f, s->desc, VIRTQ_SPLIT_DESC_BYTES(s->size), is_packed(f) ? 3 : 1);
	if (rc >= 0)
		rc = tell_range(f, s->driver, driver_bytes(f, s->size), 1);
	if (rc >= 0)
		rc = tell_range(f, s->device, device_bytes(f, s->size), 3);
	return rc < 0 ? rc : front_settle(f);
}

/* Where a device address of this many bytes is here, or NULL. */
void *front_host(struct vdev_vhost_front *f, uint64_t addr, uint64_t len)
{
	uint64_t uva;

	if (front_feature(f, VIRTQ_F_ACCESS_PLATFORM)) {
		struct virtq_xlat x;

		if (front_translate(f, addr, 1, &x) < 0 || len > x.len - (addr - x.iova))
			return NULL;
		addr = x.gpa + (addr - x.iova);
	}
	return front_uva(f, addr, len, &uva) < 0 ? NULL : (void *)(uintptr_t)uva;
}

int vdev_vhost_front_set_table(struct vdev_vhost_front *f, const struct virtq_xlat *table,
                               unsigned n)
{
	if (n > 0 && table == NULL)
		return VIRTQ_EINVAL;
	for (unsigned i = 0; i < n; i++) {
		const struct virtq_xlat *x = &table[i];

		if (x->len == 0 || x->len - 1 > UINT64_MAX - x->iova || x->len - 1 > UINT64_MAX - x->gpa ||
		    x->perm == 0 || x->perm > 3)
			return VIRTQ_EINVAL;
		if (i > 0 && (x->iova < x[-1].iova || x->iova - x[-1].iova < x[-1].len))
			return VIRTQ_EINVAL;
	}
	f->table = table;
	f->ntable = n;
	return 0;
}

int vdev_vhost_front_iotlb_update(struct vdev_vhost_front *f, const struct virtq_xlat *entry)
{
	int rc;

	if (entry == NULL || entry->len == 0 || entry->len - 1 > UINT64_MAX - entry->iova ||
	    entry->perm == 0 || entry->perm > 3)
		return VIRTQ_EINVAL;
	if (f->fd < 0)
		return VIRTQ_EBROKEN;
	if (!front_feature(f, VIRTQ_F_ACCESS_PLATFORM))
		return VIRTQ_ENOTSUP;
	if (f->inside)
		return front_iotlb_send(f, entry);
	rc = settle_before(f);
	if (rc >= 0)
		rc = front_iotlb_send(f, entry);
	return rc < 0 ? rc : front_settle(f);
}

int vdev_vhost_front_iotlb_invalidate(struct vdev_vhost_front *f, uint64_t iova, uint64_t len)
{
	struct vu_iotlb m = {.iova = iova, .size = len, .type = VU_IOTLB_INVALIDATE};
	int rc = front_ready(f);

	if (len == 0 || len - 1 > UINT64_MAX - iova)
		return VIRTQ_EINVAL;
	if (rc < 0)
		return rc;
	if (!front_feature(f, VIRTQ_F_ACCESS_PLATFORM))
		return VIRTQ_ENOTSUP;
	rc = settle_before(f);
	if (rc < 0)
		return rc;
	rc = front_tell(f, VU_IOTLB_MSG, VU_FLAG_NEED_REPLY, &m, sizeof(m), NULL, 0);
	if (rc < 0)
		return rc;
	f->unacked++;
	return front_settle(f);
}
