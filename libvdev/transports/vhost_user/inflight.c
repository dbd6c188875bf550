/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The area in which requests in flight are noted: made here, kept by the front-end, given back to whoever serves it next.
 * It holds a region for each ring, one behind the other. What is in it comes from outside and is checked by the rings.
 */
#include <sys/stat.h>

#include <virtq/inflight.h>

#include "vu.h"

enum { REGION_ALIGN = 64 };

/* Bytes from one ring's region to the next. */
static uint64_t stride(uint32_t entries, int packed)
{
	uint64_t bytes = virtq_inflight_bytes(entries, packed);

	return (bytes + REGION_ALIGN - 1) & ~(uint64_t)(REGION_ALIGN - 1);
}

/* Before features are known a region is as large as either layout needs it. */
static int maybe_packed(const struct vdev_vhost_user *vu)
{
	return !vu->has_features || (vu->features >> VIRTQ_F_RING_PACKED & 1) != 0;
}

static int check_counts(struct vdev_vhost_user *vu, const struct vu_inflight *d)
{
	if (d->num_queues == 0 || d->num_queues > vu->nrings)
		return vu_refuse(vu, "in-flight area for a wrong number of rings");
	/* All queues of a device have the same limit. */
	if (d->queue_size == 0 || d->queue_size > vdev_queue_max(vu->v, 0))
		return vu_refuse(vu, "in-flight area for rings of a wrong size");
	return 0;
}

int vu_on_get_inflight_fd(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_inflight answer = m->inflight;
	int rc = check_counts(vu, &answer);

	if (rc < 0)
		return rc;
	answer.mmap_offset = 0;
	answer.mmap_size = answer.num_queues * stride(answer.queue_size, maybe_packed(vu));
	vu->reply_fd = vdev_os_memfd("inflight", answer.mmap_size);
	if (vu->reply_fd < 0)
		return vu_refuse(vu, "no memory for the in-flight area");
	/* Front-ends differ in whether the structure is padded: as it came, so it goes. */
	memcpy(vu->reply, &answer, sizeof(answer));
	vu->reply_len = m->h.size;
	return 0;
}

static int area_map(struct vdev_vhost_user *vu, struct vu_area *a, const struct vu_inflight *d,
                    int fd)
{
	uint64_t bytes = d->num_queues * stride(d->queue_size, 1);
	struct stat st;

	if (d->mmap_offset % REGION_ALIGN != 0 ||
	    d->mmap_size < d->num_queues * stride(d->queue_size, maybe_packed(vu)))
		return vu_refuse(vu, "in-flight area of a wrong size or place");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vu_refuse(vu, "the in-flight area is not in a file");
	if (bytes > d->mmap_size)
		bytes = d->mmap_size;
	if (vdev_os_map(&a->map, fd, d->mmap_offset, bytes, 1) < 0)
		return vu_refuse(vu, "the in-flight area can't be mapped, or its file is shorter");
	if (vu_window_open(vu->windows, &a->window, &a->map, 1) < 0)
		return vu_refuse(vu, "too many in-flight areas");
	a->queues = d->num_queues;
	a->entries = d->queue_size;
	return 0;
}

/* No ring runs. */
void vu_inflight_drop(struct vdev_vhost_user *vu)
{
	struct vu_area *a = &vu->area;

	vu_window_close(&a->window);
	vdev_os_unmap(&a->map);
	*a = (struct vu_area){0};
}

int vu_on_set_inflight_fd(struct vdev_vhost_user *vu, struct vu_message *m)
{
	int rc = check_counts(vu, &m->inflight);

	if (rc < 0)
		return rc;
	vu_inflight_drop(vu);
	rc = area_map(vu, &vu->area, &m->inflight, m->fds[0]);
	if (rc < 0) {
		vu_inflight_drop(vu);
		return rc;
	}
	/* The predecessor may have taken the kick: rings do not wait for another one. */
	for (unsigned i = 0; i < vu->area.queues; i++)
		vu_ring_kicked(&vu->rings[i]);
	return 0;
}

/* Where ring i's region is; NULL: its requests are not noted. */
static uint8_t *region_of(const struct vdev_vhost_user *vu, unsigned i, int packed)
{
	const struct vu_area *a = &vu->area;
	uint64_t each = stride(a->entries, packed);

	if (a->map.addr == NULL || i >= a->queues || (i + 1) * each > a->map.len)
		return NULL;
	return (uint8_t *)a->map.addr + i * each;
}

int vu_inflight_on(const struct vdev_vhost_user *vu, unsigned i)
{
	return vu->area.map.addr != NULL && i < vu->area.queues;
}

/*
 * Have a ring that is to start note its requests. Where a predecessor did, the positions are what the region and the
 * ring say: front-ends don't know them after a crash.
 */
int vu_inflight_setup(struct vu_ring *r, int packed, struct vdev_queue_setup *out)
{
	struct vdev_vhost_user *vu = r->vu;
	const uint8_t *used;
	uint8_t *region;

	if (!vu_inflight_on(vu, r->index))
		return 0;
	region = region_of(vu, r->index, packed);
	/* The area was made for other features, or for smaller rings. */
	if (region == NULL || r->num > vu->area.entries)
		return VIRTQ_EINVAL;
	out->inflight = region;
	out->inflight_entries = vu->area.entries;
	out->inflight_bytes = virtq_inflight_bytes(vu->area.entries, packed);
	if (virtq_inflight_fresh(region))
		return 0;
	if (packed) {
		out->state.avail = out->state.used = VIRTQ_STATE_WRAP;
		return 0;
	}
	if (vu_translated(vu)) {
		/* Where the ring is shows when it starts. */
		out->state.flags = VIRTQ_STATE_USED_IN_RING | VIRTQ_STATE_AVAIL_IS_USED;
		return 0;
	}
	used = vu_host(vu, r->addr.used, VIRTQ_SPLIT_DEVICE_BYTES(r->num));
	if (used == NULL || (uintptr_t)used % 4 != 0)
		return VIRTQ_EFAULT;
	out->state.used = __atomic_load_n((const uint16_t *)(const void *)(used + 2), __ATOMIC_RELAXED);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	out->state.used = __builtin_bswap16(out->state.used);
#endif
	out->state.avail = out->state.used;
	out->state.flags = 0;
	return 0;
}

/*
 * The ring has stopped with nothing in flight, and the front-end is going to be told where. From then on it may give the
 * region to somebody else: it becomes a new one before.
 */
void vu_inflight_over(struct vu_ring *r)
{
	struct vdev_vhost_user *vu = r->vu;
	uint8_t *region = region_of(vu, r->index, (vu->features >> VIRTQ_F_RING_PACKED & 1) != 0);

	if (region == NULL)
		return;
	vu->renewed = region;
	memcpy(vu->renewed_head, region, sizeof(vu->renewed_head));
	virtq_inflight_clear(region);
}

/* Where the answer did not go the region alone knows where a packed ring is. */
void vu_inflight_told(struct vdev_vhost_user *vu, int sent)
{
	if (vu->renewed != NULL && sent < 0)
		memcpy(vu->renewed, vu->renewed_head, sizeof(vu->renewed_head));
	vu->renewed = NULL;
}

/*
 * The device was reset: what was in flight is over in a ring that ran then. Regions in which nothing is noted go too, and
 * whole, since those of the next driver may have another size.
 */
void vu_inflight_end(struct vu_ring *r)
{
	struct vdev_vhost_user *vu = r->vu;
	int packed = (vu->features >> VIRTQ_F_RING_PACKED & 1) != 0;
	uint8_t *region = region_of(vu, r->index, packed);

	if (region != NULL && (r->over || virtq_inflight_fresh(region)))
		memset(region, 0, stride(vu->area.entries, packed));
}

/* RESET_DEVICE: nothing of what any driver was told goes on. */
void vu_inflight_forget(struct vdev_vhost_user *vu)
{
	if (vu->area.map.addr != NULL)
		memset(vu->area.map.addr, 0, vu->area.map.len);
}
