/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory as the front-end names it. A region is mapped once and counted; each change makes a new snapshot of the
 * whole table, and a region is unmapped when the last snapshot that has it is released, on whatever thread that is.
 *
 * A file that may still be shortened can turn an access into SIGBUS, whose handler is the embedder's and asks
 * vdev_vhost_user_fault(). Whether it can is told in the log.
 */
#include <sys/stat.h>
#include <sys/vfs.h>

#include "vu.h"

#define HUGETLBFS 0x958458f6

struct snapshot {
	struct virtq_mem mem;
	struct vdev_env env;
	size_t bytes;
	unsigned n;
	struct vu_region **held;
	struct virtq_region regions[];
};

static void region_put(struct vu_region *r)
{
	struct vdev_env env = r->env;

	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	vu_window_close(&r->window);
	vdev_os_unmap(&r->map);
	env.free(env.ctx, r, sizeof(*r));
}

/* Any thread. */
static void snapshot_release(struct virtq_mem *mem, void *ctx)
{
	struct snapshot *s = ctx;
	struct vdev_env env = s->env;

	(void)mem;
	for (unsigned i = 0; i < s->n; i++)
		region_put(s->held[i]);
	env.free(env.ctx, s, s->bytes);
}

static struct virtq_mem *snapshot_new(struct vdev_vhost_user *vu, struct vu_region *const *regions,
                                      unsigned n)
{
	size_t bytes = sizeof(struct snapshot) + n * (sizeof(struct virtq_region) + sizeof(void *));
	struct snapshot *s = vu->env.alloc(vu->env.ctx, bytes);

	if (s == NULL)
		return NULL;
	memset(s, 0, bytes);
	s->env = vu->env;
	s->bytes = bytes;
	s->n = n;
	s->held = (struct vu_region **)(void *)(s->regions + n);
	for (unsigned i = 0; i < n; i++)
		s->regions[i] = (struct virtq_region){
			.gpa = regions[i]->d.gpa, .len = regions[i]->d.len, .host = regions[i]->host};
	if (virtq_mem_init(&s->mem, s->regions, n) < 0) {
		vu->env.free(vu->env.ctx, s, bytes);
		return NULL;
	}
	for (unsigned i = 0; i < n; i++) {
		s->held[i] = regions[i];
		__atomic_fetch_add(&regions[i]->refs, 1, __ATOMIC_RELAXED);
	}
	virtq_mem_set_release(&s->mem, snapshot_release, s);
	return &s->mem;
}

/* The function is to use a new map. VIRTQ_EAGAIN: something still uses the old one. */
static int give(struct vdev_vhost_user *vu, struct vu_region *const *regions, unsigned n)
{
	struct virtq_mem *mem = snapshot_new(vu, regions, n);
	int rc;

	if (mem == NULL)
		return vu_refuse(vu, "no memory for the memory map");
	vu_expect(vu, VDEV_OP_SET_MEM, 0);
	rc = vdev_function_set_mem(vu->fn, mem);
	virtq_mem_unref(mem);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		return vu_refuse(vu, "a running ring does not lie in the new memory map");
	return rc;
}

/* The same memory in a new map: over when whatever used the old one has ended. */
int vu_mem_again(struct vdev_vhost_user *vu, vu_then then)
{
	int rc = give(vu, vu->regions, vu->nregions);

	return rc < 0 && rc != VIRTQ_EAGAIN ? rc : vu_wait(vu, rc, then);
}

static int changed(struct vdev_vhost_user *vu, int rc)
{
	if (rc < 0)
		return vu_refuse(vu, "the memory map could not be changed");
	vu_rings_try(vu);
	return 0;
}

uint64_t vu_mem_top(struct vu_region *const *regions, unsigned n)
{
	return n == 0 ? 0 : regions[n - 1]->d.gpa + (regions[n - 1]->d.len - 1);
}

static int wraps(uint64_t at, uint64_t len)
{
	return at + (len - 1) < at;
}

static int meet(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a <= b + (blen - 1) && b <= a + (alen - 1);
}

/* Files of huge pages are mapped in whole ones. */
static uint64_t granule(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || (uint64_t)fs.f_type != HUGETLBFS || fs.f_bsize <= 0)
		return 1;
	return (uint64_t)fs.f_bsize;
}

static int map(struct vdev_vhost_user *vu, struct vu_region *r, int fd)
{
	uint64_t unit = granule(fd);
	uint64_t skip = r->d.offset % unit;
	uint64_t len = r->d.len + skip;

	if (len % unit != 0 && len + (unit - len % unit) > len)
		len += unit - len % unit;
	if (vdev_os_map(&r->map, fd, r->d.offset - skip, len, 1) < 0)
		return vu_refuse(vu, "a memory region can't be mapped, or its file is shorter");
	if (vu_window_open(vu->windows, &r->window, &r->map, unit) < 0) {
		vdev_os_unmap(&r->map);
		return vu_refuse(vu, "too many memory regions");
	}
	r->host = (char *)r->map.addr + skip;
	if (!vdev_os_sealed(fd) && !vu->warned) {
		vu->warned = 1;
		vu_log_entry(vu, VDEV_LOG_INFO, 0, -1, r->d.gpa,
		             "guest memory is in a file that may be shortened");
	}
	return 0;
}

static int region_new(struct vdev_vhost_user *vu, struct vu_region **out,
                      const struct vu_region_desc *d, int fd)
{
	struct stat st;
	struct vu_region *r;
	int rc;

	if (d->len == 0 || wraps(d->gpa, d->len) || wraps(d->uva, d->len) || wraps(d->offset, d->len))
		return vu_refuse(vu, "a memory region is empty or wraps");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vu_refuse(vu, "a memory region is not in a file");
	r = vu->env.alloc(vu->env.ctx, sizeof(*r));
	if (r == NULL)
		return vu_refuse(vu, "no memory for a memory region");
	*r = (struct vu_region){.refs = 1, .env = vu->env, .d = *d, .dev = st.st_dev, .ino = st.st_ino};
	rc = map(vu, r, fd);
	if (rc < 0)
		vu->env.free(vu->env.ctx, r, sizeof(*r));
	else
		*out = r;
	return rc;
}

/* Put @p r in its place in a sorted table; nothing in it may meet. */
static int insert(struct vdev_vhost_user *vu, struct vu_region **table, unsigned *n,
                  struct vu_region *r)
{
	unsigned at = *n;

	for (unsigned i = 0; i < *n; i++) {
		const struct vu_region_desc *d = &table[i]->d;

		if (meet(d->gpa, d->len, r->d.gpa, r->d.len) || meet(d->uva, d->len, r->d.uva, r->d.len))
			return vu_refuse(vu, "memory regions overlap");
	}
	while (at > 0 && table[at - 1]->d.gpa > r->d.gpa)
		at--;
	memmove(table + at + 1, table + at, (*n - at) * sizeof(*table));
	table[at] = r;
	(*n)++;
	return 0;
}

static void put_all(struct vu_region **table, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		region_put(table[i]);
}

static int log_fits(struct vdev_vhost_user *vu, struct vu_region *const *table, unsigned n)
{
	if (!vu->log_on || vu_log_covers(vu->log, vu_mem_top(table, n)))
		return 0;
	return vu_refuse(vu, "the log is too small for the memory");
}

/* Go over to the table in spare, which has references of its own to its regions. */
static int adopt(struct vdev_vhost_user *vu, unsigned n)
{
	struct vu_region **old = vu->regions;
	unsigned nold = vu->nregions;
	int rc = log_fits(vu, vu->spare, n);

	if (rc < 0)
		return rc;
	/* They lead into the old table. Queues ask again, and are told when the new one is in use everywhere. */
	vu_iotlb_forget(vu);
	rc = give(vu, vu->spare, n);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		return rc;
	vu->regions = vu->spare;
	vu->nregions = n;
	vu->spare = old;
	put_all(old, nold);
	return vu_wait(vu, rc, changed);
}

int vu_on_set_mem_table(struct vdev_vhost_user *vu, struct vu_message *m)
{
	unsigned n = 0;
	int rc = 0;

	if (m->table.count == 0 || m->table.count > VU_TABLE_REGIONS || m->table.count != m->nfds ||
	    m->h.size < 8 + 32 * m->table.count)
		return vu_refuse(vu, "memory table of a wrong length");
	if (m->table.count > vu->max_regions)
		return vu_refuse(vu, "too many memory regions");
	for (unsigned i = 0; i < m->table.count && rc == 0; i++) {
		struct vu_region *r;

		rc = region_new(vu, &r, &m->table.regions[i], m->fds[i]);
		if (rc < 0)
			break;
		rc = insert(vu, vu->spare, &n, r);
		if (rc < 0)
			region_put(r);
	}
	if (rc == 0)
		rc = adopt(vu, n);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		put_all(vu->spare, n);
	return rc;
}

/* A copy of the table, with references of its own, to be changed. */
static unsigned copy_table(struct vdev_vhost_user *vu)
{
	for (unsigned i = 0; i < vu->nregions; i++) {
		vu->spare[i] = vu->regions[i];
		__atomic_fetch_add(&vu->spare[i]->refs, 1, __ATOMIC_RELAXED);
	}
	return vu->nregions;
}

/* The region of the same addresses in the same place of the same file, or NULL. */
static struct vu_region *same(struct vdev_vhost_user *vu, const struct vu_region_desc *d, int fd)
{
	struct stat st;

	for (unsigned i = 0; i < vu->nregions; i++) {
		struct vu_region *r = vu->regions[i];

		if (r->d.gpa == d->gpa && r->d.uva == d->uva && r->d.len == d->len &&
		    r->d.offset == d->offset)
			return fstat(fd, &st) == 0 && st.st_dev == r->dev && st.st_ino == r->ino ? r : NULL;
	}
	return NULL;
}

/*
 * QEMU up to 8.0 adds and removes each region of a device with several queue pairs once for each pair. It goes when it was
 * removed as often as it was added.
 */
int vu_on_add_mem_reg(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_region *r = same(vu, &m->reg.region, m->fds[0]);
	unsigned n;
	int rc;

	if (r != NULL && r->again != UINT32_MAX) {
		r->again++;
		return 0;
	}
	if (vu->nregions == vu->max_regions)
		return vu_refuse(vu, "too many memory regions");
	rc = region_new(vu, &r, &m->reg.region, m->fds[0]);
	if (rc < 0)
		return rc;
	n = copy_table(vu);
	rc = insert(vu, vu->spare, &n, r);
	if (rc < 0)
		region_put(r);
	else
		rc = adopt(vu, n);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		put_all(vu->spare, n);
	return rc;
}

int vu_on_rem_mem_reg(struct vdev_vhost_user *vu, struct vu_message *m)
{
	const struct vu_region_desc *d = &m->reg.region;
	struct vu_region *gone;
	unsigned at = 0;
	unsigned n;
	int rc;

	while (at < vu->nregions &&
	       (vu->regions[at]->d.gpa != d->gpa || vu->regions[at]->d.uva != d->uva ||
	        vu->regions[at]->d.len != d->len))
		at++;
	if (at == vu->nregions)
		return vu_refuse(vu, "no such memory region");
	if (vu->regions[at]->again != 0) {
		vu->regions[at]->again--;
		return 0;
	}
	n = copy_table(vu);
	gone = vu->spare[at];
	memmove(vu->spare + at, vu->spare + at + 1, (n - at - 1) * sizeof(*vu->spare));
	region_put(gone);
	rc = adopt(vu, n - 1);
	if (rc < 0 && rc != VIRTQ_EAGAIN)
		put_all(vu->spare, n - 1);
	return rc;
}

int vu_on_get_max_mem_slots(struct vdev_vhost_user *vu, struct vu_message *m)
{
	uint64_t n = vu->max_regions;

	(void)m;
	memcpy(vu->reply, &n, sizeof(n));
	vu->reply_len = sizeof(n);
	return 0;
}

/* Where the front-end's own address lies in guest memory. 1: found. */
int vu_uva_to_gpa(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t *gpa)
{
	for (unsigned i = 0; i < vu->nregions; i++) {
		const struct vu_region_desc *d = &vu->regions[i]->d;

		if (uva >= d->uva && uva - d->uva < d->len) {
			*gpa = d->gpa + (uva - d->uva);
			return 1;
		}
	}
	return 0;
}

/* Where @p len bytes at the front-end's own address lie here, or NULL. */
void *vu_host(const struct vdev_vhost_user *vu, uint64_t uva, uint64_t len)
{
	for (unsigned i = 0; i < vu->nregions; i++) {
		const struct vu_region *r = vu->regions[i];

		if (uva >= r->d.uva && uva - r->d.uva < r->d.len && len <= r->d.len - (uva - r->d.uva))
			return (char *)r->host + (uva - r->d.uva);
	}
	return NULL;
}

/* The connection is over, and the function has no map any more. */
void vu_mem_drop(struct vdev_vhost_user *vu)
{
	put_all(vu->regions, vu->nregions);
	vu->nregions = 0;
	vu->warned = 0;
}
