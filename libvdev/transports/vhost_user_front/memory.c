/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory that the back-end may access: the table as it has it, and how that is changed. */
#include <sys/stat.h>

#include "front.h"

static void close_all(const struct front_region *table, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		vdev_os_close(table[i].fd);
}

void front_memory_free(struct vdev_vhost_front *f)
{
	close_all(f->regions, f->nregions);
	f->nregions = 0;
}

/* The address here of [gpa, gpa + len), which lies in one region. */
int front_uva(const struct vdev_vhost_front *f, uint64_t gpa, uint64_t len, uint64_t *out)
{
	for (unsigned i = 0; i < f->nregions; i++) {
		const struct vu_region_desc *d = &f->regions[i].d;

		if (gpa >= d->gpa && gpa - d->gpa < d->len && len <= d->len - (gpa - d->gpa)) {
			*out = d->uva + (gpa - d->gpa);
			return 0;
		}
	}
	return VIRTQ_EFAULT;
}

static int touch(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

static int check(const struct vdev_vhost_front_region *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t host = (uintptr_t)r[i].host;
		uint64_t most = UINT64_MAX - (r[i].gpa > host ? r[i].gpa : host);

		if (r[i].len == 0 || r[i].host == NULL || r[i].fd < 0 || r[i].reserved != 0 ||
		    r[i].len - 1 > most || r[i].len - 1 > UINT64_MAX - r[i].offset)
			return VIRTQ_EINVAL;
		for (unsigned k = 0; k < i; k++)
			if (touch(r[i].gpa, r[i].len, r[k].gpa, r[k].len) ||
			    touch(host, r[i].len, (uintptr_t)r[k].host, r[k].len))
				return VIRTQ_EINVAL;
	}
	return 0;
}

static int fill(struct front_region *out, const struct vdev_vhost_front_region *r)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return VIRTQ_EINVAL;
	*out = (struct front_region){
		.d = {.gpa = r->gpa, .len = r->len, .uva = (uintptr_t)r->host, .offset = r->offset},
		.dev = st.st_dev,
		.ino = st.st_ino,
		.fd = r->fd};
	return 0;
}

static int same(const struct front_region *a, const struct front_region *b)
{
	return a->d.gpa == b->d.gpa && a->d.len == b->d.len && a->d.uva == b->d.uva &&
	       a->d.offset == b->d.offset && a->dev == b->dev && a->ino == b->ino;
}

static int slot_message(struct vdev_vhost_front *f, uint32_t request, const struct front_region *r)
{
	struct vu_mem_reg m = {.region = r->d};
	int add = request == VU_ADD_MEM_REG;
	int rc = front_do(f, request, &m, sizeof(m), add ? &r->fd : NULL, add ? 1 : 0);

	return rc < 0 ? rc : front_sync(f);
}

/* Tell the whole table. */
static int send_table(struct vdev_vhost_front *f)
{
	struct vu_mem_table t = {.count = f->nregions};
	int fds[VU_TABLE_REGIONS];
	int rc;

	for (unsigned i = 0; i < f->nregions; i++) {
		t.regions[i] = f->regions[i].d;
		fds[i] = f->regions[i].fd;
	}
	rc =
		front_do(f, VU_SET_MEM_TABLE, &t, 8 + f->nregions * sizeof(t.regions[0]), fds, f->nregions);
	return rc < 0 ? rc : front_sync(f);
}

/* Tell a back-end that knows of no memory all there is. */
int front_memory_send(struct vdev_vhost_front *f)
{
	int rc = 0;

	if (f->nregions > f->max_slots)
		return front_fail(f, VIRTQ_ENOTSUP, "the back-end offers less than before");
	if (!front_has(f, VU_PROTO_MEM_SLOTS))
		return f->nregions > 0 ? send_table(f) : 0;
	for (unsigned i = 0; i < f->nregions && rc >= 0; i++)
		rc = slot_message(f, VU_ADD_MEM_REG, &f->regions[i]);
	return rc;
}

static int among(const struct front_region *r, const struct front_region *table, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (same(r, &table[i]))
			return 1;
	return 0;
}

/* Remove what went. */
static int remove_old(struct vdev_vhost_front *f, const struct front_region *wanted, unsigned n)
{
	for (unsigned i = f->nregions; i-- > 0;) {
		int rc;

		if (among(&f->regions[i], wanted, n))
			continue;
		rc = slot_message(f, VU_REM_MEM_REG, &f->regions[i]);
		if (rc < 0)
			return rc;
		vdev_os_close(f->regions[i].fd);
		f->nregions--;
		memmove(&f->regions[i], &f->regions[i + 1], (f->nregions - i) * sizeof(f->regions[0]));
	}
	return 0;
}

/* Add what came. */
static int add_new(struct vdev_vhost_front *f, const struct front_region *wanted, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct front_region w = wanted[i];
		int rc;

		if (among(&w, f->regions, f->nregions))
			continue;
		rc = w.fd = vdev_os_dup(w.fd);
		if (rc >= 0)
			rc = slot_message(f, VU_ADD_MEM_REG, &w);
		if (rc < 0) {
			vdev_os_close(w.fd);
			return rc;
		}
		f->regions[f->nregions++] = w;
	}
	return 0;
}

/* A table with descriptors of its own; on failure without any. */
static int make_table(struct front_region *out, const struct front_region *wanted, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int fd = vdev_os_dup(wanted[i].fd);

		if (fd < 0) {
			close_all(out, i);
			return fd;
		}
		out[i] = wanted[i];
		out[i].fd = fd;
	}
	return 0;
}

/* Put another table in place of ours, which becomes the other. */
static void exchange(struct vdev_vhost_front *f, struct front_region *other, unsigned *n)
{
	struct front_region ours[VU_TABLE_REGIONS];
	unsigned nours = f->nregions;

	memcpy(ours, f->regions, nours * sizeof(ours[0]));
	memcpy(f->regions, other, *n * sizeof(ours[0]));
	f->nregions = *n;
	memcpy(other, ours, nours * sizeof(ours[0]));
	*n = nours;
}

/*
 * Put a new table in place of the old one; the back-end either has it or still has the old one. What it misses meanwhile
 * is looked up in the new one.
 */
static int replace(struct vdev_vhost_front *f, const struct front_region *wanted, unsigned n)
{
	struct front_region other[VU_TABLE_REGIONS];
	unsigned old = 0;
	int rc = make_table(other, wanted, n);

	if (rc < 0)
		return rc;
	while (n == f->nregions && old < n && among(&other[old], f->regions, n))
		old++;
	if (old < n) {
		exchange(f, other, &n);
		rc = send_table(f);
		if (rc < 0)
			exchange(f, other, &n);
	}
	close_all(other, n);
	return rc;
}

int vdev_vhost_front_set_memory(struct vdev_vhost_front *f,
                                const struct vdev_vhost_front_region *regions, unsigned n)
{
	int rc;

	if (n > FRONT_MAX_SLOTS || (n > 0 && regions == NULL) || check(regions, n) < 0)
		return VIRTQ_EINVAL;
	rc = front_ready(f);
	if (rc < 0)
		return rc;
	if (n > f->max_slots)
		return VIRTQ_ENOSPC;
	/* Descriptors that are none show before anything is sent. */
	for (unsigned i = 0; i < n; i++)
		if (fill(&f->wanted[i], &regions[i]) < 0)
			return VIRTQ_EINVAL;
	if (!front_has(f, VU_PROTO_MEM_SLOTS))
		return n > 0 ? replace(f, f->wanted, n) : VIRTQ_EINVAL;
	rc = remove_old(f, f->wanted, n);
	return rc < 0 ? rc : add_new(f, f->wanted, n);
}
